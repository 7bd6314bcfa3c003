"""The conclusions of the chapters hold for other seeds, and fail where they should."""

from pathlib import Path

import nbformat
import pytest

from claims import CLAIMS

CHAPTERS = Path(__file__).parents[1] / "chapters"
NULLS = [(claim, name) for claim in CLAIMS for name in claim.nulls]
SEEDS = [(claim, name) for claim in CLAIMS for name in claim.seeds]


def cells(chapter):
    """The code cells of a chapter by their ids."""
    notebook = nbformat.read(CHAPTERS / f"{chapter}.ipynb", as_version=4)
    return {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "code"}


def run(claim, change):
    """Run the cells that a claim needs, one of them changed; then the claim's own."""
    sources = cells(claim.chapter)
    assert sources[change.cell].count(change.old) == 1
    sources[change.cell] = sources[change.cell].replace(change.old, change.new)
    names = {}
    for cell in claim.needs:
        exec(compile(sources[cell], f"{claim.chapter}:{cell}", "exec"), names)
    return lambda: exec(
        compile(sources[claim.cell], f"{claim.chapter}:{claim.cell}", "exec"), names
    )


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
    conclude = run(claim, claim.nulls[name])
    with pytest.raises(AssertionError):
        conclude()


@pytest.mark.slow
@pytest.mark.parametrize(("claim", "name"), SEEDS, ids=label)
def test_claim_holds_for_other_seeds(claim, name):
    run(claim, claim.seeds[name])()
