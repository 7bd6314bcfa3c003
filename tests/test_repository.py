"""The address of the project: one place, and equal everywhere."""

import re
import shutil
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

import repository

ROOT = Path(__file__).resolve().parent.parent
FIRST = "https://github.com/some-one/unrolled.book"
SECOND = "https://github.com/another/course_2"
FILES = ("pyproject.toml", "README.md", "CITATION.cff")


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A copy of what holds the address, where the tool works."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "chapters", tmp_path / "chapters")
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    return tmp_path


def texts(tree):
    paths = [*(tree / name for name in FILES), *sorted((tree / "chapters").glob("*.ipynb"))]
    return {path.relative_to(tree): path.read_text(encoding="utf-8") for path in paths}


def setup_cells(tree):
    for path in sorted((tree / "chapters").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        yield repository.find_setup(notebook, path).source


def test_places_of_the_tree_are_equal():
    """The setup cell of every chapter is the one of the tool, and has the address of pyproject."""
    expected = repository.with_address(ROOT, repository.read_address(ROOT))
    assert {path: path.read_text(encoding="utf-8") for path in expected} == expected


def test_address_is_set_everywhere(tree):
    assert repository.main([FIRST]) == 0
    assert repository.read_address(tree) == FIRST
    settings = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["urls"] == {"Repository": FIRST}
    citation = yaml.safe_load((tree / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == FIRST
    assert f"git clone {FIRST} unrolled\n" in (tree / "README.md").read_text(encoding="utf-8")
    cells = list(setup_cells(tree))
    assert cells
    assert all(f'address = "{FIRST}"' in cell for cell in cells)


def test_only_the_address_changes(tree):
    before = texts(tree)
    repository.main([FIRST])
    for path, text in texts(tree).items():
        new = [line for line in text.splitlines() if line not in before[path].splitlines()]
        assert all(FIRST in line for line in new), path
        assert 1 <= len(new) <= 2, path
    for path in (tree / "chapters").glob("*.ipynb"):
        old = nbformat.reads(before[path.relative_to(tree)], nbformat.NO_CONVERT)
        now = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        assert [cell.id for cell in now.cells] == [cell.id for cell in old.cells]


def test_again_changes_nothing_and_another_address_replaces(tree):
    repository.main([FIRST])
    once = texts(tree)
    repository.main([f"{FIRST}/"])
    assert texts(tree) == once
    repository.main([f"{SECOND}.git"])
    other = {path: text.replace(FIRST, SECOND) for path, text in once.items()}
    assert texts(tree) == other


@pytest.mark.parametrize(
    "arguments",
    [
        [""],
        ["github.com/a/b"],
        ["http://github.com/a/b"],
        ["https://github.com/a"],
        ["https://github.com/a/b/c"],
        ["https://github.com/a/b c"],
        ['https://github.com/a/b"'],
        ["https://github.com/a/b; rm -r"],
        ["https://example.org/a/b"],
        [FIRST, SECOND],
    ],
)
def test_bad_addresses_are_refused(tree, arguments, capsys):
    before = texts(tree)
    assert repository.main(arguments) == 2
    assert "expected the project's address on GitHub" in capsys.readouterr().err
    assert texts(tree) == before


def test_without_an_address_new_chapters_get_the_present_one(tree):
    repository.main([])
    assert repository.read_address(tree) == repository.read_address(ROOT)
    repository.main([FIRST])
    before = texts(tree)
    path = next((tree / "chapters").glob("*.ipynb"))
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    repository.find_setup(notebook, path).source = "pass"
    nbformat.write(notebook, path)
    assert repository.main([]) == 0
    assert texts(tree) == before


def test_a_chapter_without_setup_is_named_and_nothing_written(tree):
    path = tree / "chapters" / "99-bare.ipynb"
    cells = [nbformat.v4.new_markdown_cell("# Bare"), nbformat.v4.new_code_cell("1 + 1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    before = texts(tree)
    with pytest.raises(ValueError, match=r"99-bare\.ipynb: its first code cell must have the tag"):
        repository.main([FIRST])
    assert texts(tree) == before


def test_setup_cell_is_short_and_says_what_to_do():
    cell = repository.setup_cell("")
    assert len(cell.splitlines()) <= 15
    assert all(len(line) <= 80 for line in cell.splitlines())
    program = re.sub(r"(?m)^    %pip.*", "    pass", cell).replace(
        '"unrolled"', '"no_such_package"'
    )
    with pytest.raises(ModuleNotFoundError, match="run `make lab`"):
        exec(program, {})


def test_setup_cell_does_nothing_where_the_package_is(capsys):
    names = {}
    exec(repository.setup_cell(FIRST).replace("    %pip", "    assert False  # %pip"), names)
    assert not {"address", "keep"} & set(names)
    assert capsys.readouterr().out == ""
