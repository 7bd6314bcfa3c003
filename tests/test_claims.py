"""The conclusions of the chapters hold for other seeds, and fail where they should."""

from collections import defaultdict
from pathlib import Path

import nbformat
import pytest

from claims import CLAIMS

CHAPTERS = Path(__file__).parents[1] / "chapters"
NULLS = [(claim, name) for claim in CLAIMS for name in claim.nulls]
SEEDS = [(claim, name) for claim in CLAIMS for name in claim.seeds]
# Claims that need the same training are looked at in one run.
RUNS = defaultdict(list)
for claim, name in SEEDS:
    RUNS[claim.chapter, claim.seeds[name]].append(claim)


def cells(chapter):
    """The code cells of a chapter by their ids."""
    notebook = nbformat.read(CHAPTERS / f"{chapter}.ipynb", as_version=4)
    return {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "code"}


def run(chapter, wanted, change, names):
    """Run some cells of a chapter in their order, one of them changed."""
    sources = cells(chapter)
    assert sources[change.cell].count(change.old) == 1
    sources[change.cell] = sources[change.cell].replace(change.old, change.new)
    for cell, source in sources.items():
        if cell in wanted:
            exec(compile(source, f"{chapter}:{cell}", "exec"), names)


def label(value):
    return value if isinstance(value, str) else f"{value.chapter}:{value.cell}"


def test_every_claim_of_a_chapter_is_listed_with_a_null():
    found = {
        (path.stem, cell)
        for path in CHAPTERS.glob("*.ipynb")
        for cell in cells(path.stem)
        if cell.endswith("-claim")
    }
    assert found == {(claim.chapter, claim.cell) for claim in CLAIMS}
    assert all(claim.nulls for claim in CLAIMS)


@pytest.mark.parametrize(("claim", "name"), NULLS + SEEDS, ids=label)
def test_change_fits_the_chapter(claim, name):
    change = (claim.nulls | claim.seeds)[name]
    sources = cells(claim.chapter)
    assert {*claim.needs, claim.cell} <= set(sources)
    assert change.cell in claim.needs
    assert sources[change.cell].count(change.old) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("claim", "name"), NULLS, ids=label)
def test_claim_fails_under_the_null(claim, name):
    names = {}
    run(claim.chapter, claim.needs, claim.nulls[name], names)
    with pytest.raises(AssertionError):
        exec(cells(claim.chapter)[claim.cell], names)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chapter", "change"), RUNS, ids=lambda value: value if isinstance(value, str) else value.new
)
def test_claims_hold_for_other_seeds(chapter, change):
    wanted = {cell for claim in RUNS[chapter, change] for cell in (*claim.needs, claim.cell)}
    run(chapter, wanted, change, {})
