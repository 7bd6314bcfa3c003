"""The Sphinx extension: its functions one by one, and small books that it builds."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from IPython.display import Code

from sphinx_unrolled import course, pages, pictures, solutions
from unrolled.exercises import catalogue
from unrolled.figures.palette import COLOURS

ROOT = Path(__file__).resolve().parents[2]
LIGHT, DARK = COLOURS["state"]
DRAWING = f"""<?xml version="1.0" encoding="utf-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="72pt" height="36pt" viewBox="0 0 72 36"
 xmlns="http://www.w3.org/2000/svg" version="1.1">
 <metadata><x>made by a program</x></metadata>
 <defs><style type="text/css">*{{stroke-linejoin: round; stroke-linecap: butt}}</style></defs>
 <g id="figure_1"><path id="patch_1" d="M 0 0 z" style="fill: {LIGHT}; stroke: #123456"/>
 <rect fill="{LIGHT.upper()}" width="1" height="1" clip-path="url(#clip)"/>
 <use xlink:href="#glyph" style="fill: {LIGHT}"/></g>
 <defs><path id="glyph" d="M 1 1"/><clipPath id="clip"><rect width="1" height="1"/></clipPath>
 </defs>
</svg>"""


def draw(prefix="one-", alt="A line"):
    return pictures.inline_svg(DRAWING, alt, prefix, pictures.colour_variables())


# --- Pictures ---------------------------------------------------------------------------------


def test_a_picture_is_one_element_for_html():
    svg = draw()
    assert svg.startswith("<svg ")
    for gone in ("<?xml", "DOCTYPE", "metadata", "made by", "<style", "xmlns", "ns0:", "xlink"):
        assert gone not in svg


def test_a_picture_is_named_with_its_alt_text():
    root = BeautifulSoup(draw(alt='A "line" < 3 & more'), "html.parser").svg
    assert root["role"] == "img"
    assert root["aria-label"] == 'A "line" < 3 & more'


def test_a_picture_scales_up_to_its_own_width():
    root = BeautifulSoup(draw(), "html.parser").svg
    assert "width" not in root.attrs
    assert "height" not in root.attrs
    assert root["viewbox"] == "0 0 72 36"
    assert "max-width:72pt" in root["style"]


def test_every_colour_of_the_palette_becomes_its_variable_and_no_other():
    svg = draw()
    variable = f"var(--unrolled-state, {LIGHT})"
    assert svg.count(variable) == 3
    assert LIGHT not in svg.lower().replace(variable, "")
    assert "stroke: #123456" in svg


def test_each_light_colour_has_one_variable():
    assert len(pictures.colour_variables()) == len(COLOURS)


def test_ids_are_told_apart_and_references_follow():
    root = BeautifulSoup(draw("a-") + draw("b-"), "html.parser")
    ids = [tag["id"] for tag in root.find_all(id=True)]
    assert sorted(ids) == ["a-clip", "a-glyph", "b-clip", "b-glyph"]
    assert [use["href"] for use in root.find_all("use")] == ["#a-glyph", "#b-glyph"]
    clipped = [rect["clip-path"] for rect in root.select("rect[clip-path]")]
    assert clipped == ["url(#a-clip)", "url(#b-clip)"]


def test_the_palette_is_light_and_on_a_dark_screen_dark():
    light, _, dark = pictures.palette_css().partition("@media screen")
    assert light.startswith(":root {")
    assert f"--unrolled-state: {LIGHT};" in light
    assert 'html[data-theme="dark"] {' in dark
    assert f"--unrolled-state: {DARK};" in dark
    assert light.count("--unrolled-") == dark.count("--unrolled-") == len(COLOURS)


# --- The course, the buttons, docstrings ------------------------------------------------------


def test_the_course_has_sixteen_chapters_in_six_parts():
    chapters = [chapter for part in course.COURSE.values() for chapter in part]
    assert [chapter.number for chapter in chapters] == list(range(1, 17))
    assert len(course.COURSE) == len(course.ROMAN) == 6


def test_every_notebook_is_a_chapter_of_the_course():
    known = {chapter.page for part in course.COURSE.values() for chapter in part}
    there = {f"chapters/{path.stem}" for path in (ROOT / "chapters").glob("*.ipynb")}
    assert there
    assert there <= known


def test_sources_in_docstrings_become_a_list():
    lines = ["A cell [1]_.", "", ".. [1] J. L. Elman, 1990,", "   Figure 2."]
    pages.plain_references(None, "class", "name", None, None, lines)
    assert lines == ["A cell [1].", "", "1. \\J. L. Elman, 1990,", "   Figure 2."]


def test_without_an_address_there_are_no_buttons_for_it(tmp_path):
    project = tmp_path / "pyproject.toml"
    project.write_text("[project]\nname = 'x'\n[project.urls]\n", "utf-8")
    assert pages.repository_options(project) == {}


# --- Small books ------------------------------------------------------------------------------

NOTEBOOK_URL = "me/book/blob/main/chapters/02-recurrent-cell.ipynb"


INDEX = """# Book

```{course-map}
```

```{glossary}
state
状态
  A memory {cite}`b,d`.
```

```{bibliography}
```
"""
CODE = Code("x = 1  # one", language="python")._repr_html_()


def small_book(folder, *, repository="", alt="A line", first="02.1"):
    """Build a book of three pages with our configuration; give the process."""
    for part in ("assets", "assets_templates", "tools"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    configuration = (ROOT / "_config.yml").read_text("utf-8")
    assert "execute_notebooks: cache" in configuration
    configuration = configuration.replace("execute_notebooks: cache", 'execute_notebooks: "off"')
    (folder / "_config.yml").write_text(configuration, "utf-8")
    address = f'Repository = "{repository}"\n' if repository else ""
    (folder / "pyproject.toml").write_text(f'[project]\nname = "x"\n[project.urls]\n{address}')
    (folder / "references.bib").write_text(
        "".join(f"@misc{{{key}, author={{{key}, A}}, title={{C}}, year=2000}}" for key in "bd")
    )
    files = ["02-recurrent-cell", "solutions"]
    (folder / "_toc.yml").write_text(
        "format: jb-book\nroot: chapters/index\nchapters:\n"
        + "".join(f"  - file: chapters/{name}\n" for name in files)
    )
    chapters = folder / "chapters"
    chapters.mkdir()
    (chapters / "index.md").write_text(INDEX, "utf-8")
    (chapters / "solutions.md").write_text("# Solutions\n\n```{exercise-solutions}\n```\n")
    names = [first, *(name for name in catalogue() if name != "02.1")]
    statements = [f"({solutions.label_of(name)})=\n## Exercise {name}\n\nDo it." for name in names]
    text = "# Cell\n\nSee {numref}`fig-line`.\n\n" + "\n\n".join(statements)
    output = nbformat.v4.new_output("display_data", {"image/svg+xml": DRAWING})
    code = nbformat.v4.new_output("display_data", {"text/html": CODE})
    figure = {"figure": {"name": "fig-line", "caption": "A caption."}, "image": {"alt": alt}}
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell(text),
            nbformat.v4.new_code_cell("draw()", outputs=[output], metadata={"mystnb": figure}),
            nbformat.v4.new_code_cell("show()", outputs=[code]),
        ],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3"},
            "language_info": {"name": "python"},
        },
    )
    nbformat.write(notebook, chapters / "02-recurrent-cell.ipynb")
    build = "from jupyter_book.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", build, "build", str(folder), "-W", "-n", "--keep-going"],
        capture_output=True,
        text=True,
        check=False,
    )


def soup(folder, name):
    path = folder / "_build" / "html" / "chapters" / f"{name}.html"
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


@pytest.fixture(scope="module")
def plain_book(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    built = small_book(folder)
    assert built.returncode == 0, built.stderr
    return folder


def test_a_figure_has_its_drawing_its_number_and_its_caption(plain_book):
    page = soup(plain_book, "02-recurrent-cell")
    figure = page.select_one("figure#fig-line")
    assert figure.select_one("svg.unrolled-figure")["aria-label"] == "A line"
    assert figure.figcaption.get_text(" ", strip=True).startswith("Fig. 2.1 A caption.")
    assert page.select_one('p > a[href="#fig-line"]').get_text() == "Fig. 2.1"


def test_the_map_links_the_chapters_that_are_there(plain_book):
    page = soup(plain_book, "index")
    links = page.select(".course-map a")
    assert [link["href"] for link in links] == ["02-recurrent-cell.html"]
    assert links[0].get_text() == "Chapter 2: The recurrent cell"
    planned = page.select(".cell-planned")
    assert len(planned) == 15
    assert all("to come" in cell.get_text() for cell in planned)


def test_each_solution_has_its_exercise_its_code_and_its_mistakes(plain_book):
    page, chapter = soup(plain_book, "solutions"), soup(plain_book, "02-recurrent-cell")
    for exercise in catalogue().values():
        name = exercise.id.replace(".", "-")
        section = page.find(id=f"solution-{name}")
        assert section.find(["h3"]).get_text().startswith(f"{exercise.id} {exercise.title}")
        assert section.p.a.get_text() == "Read the exercise in its chapter"
        assert section.p.a["href"] == f"02-recurrent-cell.html#{solutions.label_of(exercise.id)}"
        assert chapter.find(id=solutions.label_of(exercise.id))
        folds = section.find_all("details")
        assert exercise.source.strip() == folds[0].pre.get_text().strip()
        assert len(folds[1].find_all("dt")) == len(exercise.mistakes)


def test_shown_code_brings_no_style_sheet_of_its_own(plain_book):
    assert CODE.startswith("<style>")
    article = soup(plain_book, "02-recurrent-cell").article
    assert article.select_one(".text_html .highlight").get_text().strip() == "x = 1  # one"
    assert not article.find("style")


def test_chinese_terms_say_that_they_are_chinese(plain_book):
    terms = soup(plain_book, "index").select("dl.glossary dt")
    assert [(term.get("lang"), term["id"]) for term in terms[:1]] == [(None, "term-state")]
    assert terms[1]["lang"] == "zh"


def test_a_bibliography_is_a_list_that_citations_reach(plain_book):
    page = soup(plain_book, "index")
    (listed,) = page.select("dl.bibliography")
    entries = listed.select("dt")
    assert len(entries) == 2
    for entry in entries:
        assert page.select_one(f'p a[href="#{entry["id"]}"]').get_text() in entry.get_text()
    assert not page.select('[role="list"], [role="doc-biblioentry"]')


def test_mathjax_and_palette_are_in_the_site(plain_book):
    static = plain_book / "_build" / "html" / "_static"
    assert (static / "palette.css").read_text("utf-8") == pictures.palette_css()
    vendor = static / "vendor" / "mathjax"
    assert (vendor / "tex-mml-chtml.js").is_file()
    weight = sum(path.stat().st_size for path in vendor.rglob("*") if path.is_file())
    assert weight < 3_500_000


def test_a_plain_copy_offers_the_notebook_and_sends_nobody_anywhere(plain_book):
    page = soup(plain_book, "02-recurrent-cell")
    button = page.select_one(".notebook-button")
    target = plain_book / "_build" / "html" / "chapters" / button["href"]
    assert nbformat.read(target, 4).cells
    assert " ".join(button.get_text().split()) == "Download this notebook"
    assert not page.select('.bd-header-article a[href^="http"]')
    assert not soup(plain_book, "index").select(".notebook-button")


def test_with_an_address_a_chapter_opens_elsewhere_too(tmp_path):
    built = small_book(tmp_path, repository="https://github.com/me/book")
    assert built.returncode == 0, built.stderr
    page = soup(tmp_path, "02-recurrent-cell")
    links = [link["href"] for link in page.select('.bd-header-article a[href^="http"]')]
    assert f"https://colab.research.google.com/github/{NOTEBOOK_URL}" in links
    assert any(link.startswith("https://mybinder.org/v2/gh/me/book/main") for link in links)
    assert "https://github.com/me/book" in links
    assert any(link.startswith("https://github.com/me/book/issues/new") for link in links)
    assert any(link.startswith(f"https://github.com/{NOTEBOOK_URL}") for link in links)
    assert page.select_one(".notebook-button")


def test_a_picture_without_alt_text_and_an_exercise_without_statement_fail(tmp_path):
    built = small_book(tmp_path, alt="", first="02.99")
    assert built.returncode != 0
    assert "This picture has no alt text" in built.stderr
    assert "undefined label: 'exercise-02-1'" in built.stderr
