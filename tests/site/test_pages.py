"""The gates, held against every page of the built site."""

import gates
import pytest

PAGE_GATES = [
    gates.duplicate_ids,
    gates.missing_alt,
    gates.outside_loads,
    gates.unresolved_markup,
    gates.figure_colours,
]
SITE_GATES = [gates.broken_links, gates.heavy_pages]
# Made by Sphinx, without our text: their headings are its own.
MADE = ("genindex.html", "py-modindex.html", "search.html", "index.html", "_modules/")


@pytest.fixture(scope="module")
def pages(site):
    return gates.read_site(site)


def test_the_site_has_its_pages(pages):
    names = {page.name for page in pages}
    assert {"index.html", "chapters/index.html", "chapters/solutions.html"} <= names


@pytest.mark.parametrize("gate", PAGE_GATES, ids=lambda gate: gate.__name__)
def test_every_page(gate, pages):
    problems = [problem for page in pages for problem in gate(page)]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("gate", SITE_GATES, ids=lambda gate: gate.__name__)
def test_the_whole_site(gate, pages):
    problems = gate(pages)
    assert not problems, "\n".join(problems)


def test_style_sheets_load_nothing_from_elsewhere(site):
    problems = gates.outside_loads_of_styles(site.resolve())
    assert not problems, "\n".join(problems)


def test_headings_are_in_order(pages):
    ours = [page for page in pages if not page.name.startswith(MADE)]
    problems = [problem for page in ours for problem in gates.heading_order(page)]
    assert not problems, "\n".join(problems)
