"""The build of the book, on a small book: what is executed, what is made, what survives a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("01-one", "02-two", "03-three")


def slowly(*values):
    """Give parameters that `make test` leaves to `make test-slow`."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


def write_chapter(tree, name, code="print(6 * 7)"):
    """Write a chapter; each execution is noted in executed.txt."""
    log = f"open('../executed.txt', 'a').write('{name}\\n')"
    cells = [new_markdown_cell(f"# Chapter {name}"), new_code_cell(log), new_code_cell(code)]
    cells[1].metadata["tags"] = ["remove-output"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = tree / "chapters" / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


def write_contents(tree, *names):
    lines = ["format: jb-book", "root: chapters/index", "chapters:"]
    lines += [f"- file: chapters/{name}" for name in names]
    (tree / "_toc.yml").write_text("\n".join(lines) + "\n")


def write_book(tree):
    """Write a book of three small chapters, with the real tool that builds it."""
    (tree / "tools").mkdir(parents=True)
    (tree / "chapters").mkdir()
    (tree / "src").mkdir()
    for name in ("book.py", "tasks.py"):
        shutil.copy(ROOT / "tools" / name, tree / "tools")
    for name in ("requirements.txt", "references.bib", "pyproject.toml", "src/code.py"):
        (tree / name).write_text("")
    (tree / "chapters" / "index.md").write_text("# Small book\n")
    for name in NAMES:
        write_chapter(tree, name)
    write_contents(tree, *NAMES)
    (tree / "_config.yml").write_text(
        "title: Small\nauthor: Unrolled\nonly_build_toc_files: true\n"
        "execute:\n  execute_notebooks: cache\nexclude_patterns: ['.*', '.*/**']\n"
    )


def build(tree, *options, status=0):
    """Build a book; give what was said, and what was executed."""
    (tree / "executed.txt").write_text("")
    command = [sys.executable, str(tree / "tools" / "book.py"), *options]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == status, result.stdout + result.stderr
    executed = sorted((tree / "executed.txt").read_text().split())
    # A kernel's sockets may complain on stderr while Python ends, after the last word.
    return result.stderr + result.stdout, executed


def contents(site):
    """Give every file of a site."""
    return {
        path.relative_to(site).as_posix(): path.read_bytes()
        for path in sorted(site.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A book that was built once, and what the build said; not to be changed."""
    tree = tmp_path_factory.mktemp("built") / "tree"
    write_book(tree)
    said, executed = build(tree)
    assert executed == sorted(NAMES)
    return tree, said


@pytest.fixture
def book(built, tmp_path):
    """A copy of the built book, to be changed."""
    tree = tmp_path / "tree"
    shutil.copytree(built[0], tree)
    return tree


def test_a_build_says_where_the_site_is(built):
    tree, said = built
    index = tree / "_build" / "html" / "index.html"
    assert index.as_uri() in said.splitlines()[-1]
    assert "Warning" not in said
    assert "WARNING" not in said
    assert 'href="chapters/index.html"' in index.read_text()
    assert ">42\n<" in (tree / "_build" / "html" / "chapters" / "01-one.html").read_text()


def test_a_build_notes_how_long_it_took(book):
    """`make bench` shows it."""
    noted = json.loads((book / "_build" / "seconds.json").read_text())
    assert sorted(noted["chapters"]) == sorted(NAMES)
    assert set(noted["make book"]) == {"cold"}
    assert noted["make book"]["cold"] > max(noted["chapters"].values()) > 0
    write_chapter(book, "02-two", "import time; time.sleep(2)")
    build(book)
    build(book)
    later = json.loads((book / "_build" / "seconds.json").read_text())
    assert set(later["make book"]) == {"cold", "in part", "with nothing changed"}
    assert later["chapters"]["02-two"] >= 2
    assert later["chapters"]["01-one"] == noted["chapters"]["01-one"]


def test_nothing_changed(book):
    before = (book / "_build" / "html").stat().st_mtime_ns
    _, executed = build(book)
    assert executed == []
    assert (book / "_build" / "html").stat().st_mtime_ns == before


def test_a_changed_page_is_made_anew_and_nothing_executed(book):
    (book / "chapters" / "index.md").write_text("# Another title\n")
    _, executed = build(book)
    assert executed == []
    assert "Another title" in (book / "_build" / "html" / "chapters" / "index.html").read_text()


def test_a_changed_chapter_is_executed_alone(book):
    write_chapter(book, "02-two", "print('a' + 'nother')")
    _, executed = build(book)
    assert executed == ["02-two"]
    assert "another\n" in (book / "_build" / "html" / "chapters" / "02-two.html").read_text()


@pytest.mark.parametrize(
    "name", ["src/code.py", *slowly("src/new.py", "requirements.txt", "runs/a.json")]
)
def test_what_stands_behind_the_outputs_discards_them(book, name):
    (book / name).parent.mkdir(exist_ok=True)
    (book / name).write_text("# changed\n")
    _, executed = build(book)
    assert executed == sorted(NAMES)


def test_a_removed_chapter_leaves_no_page(book):
    write_contents(book, *NAMES[:2])
    _, executed = build(book)
    assert executed == []
    assert not list((book / "_build" / "html").rglob("03-three*"))


def test_a_chapter_that_fails_is_shown_and_the_old_site_stays(book):
    before = contents(book / "_build" / "html")
    write_chapter(book, "02-two", "first = 1\nfirst / 0")
    for _ in range(2):
        said, executed = build(book, status=1)
        assert executed == ["02-two"]
        assert "chapters/02-two.ipynb failed." in said
        assert "first = 1\nfirst / 0" in said
        assert "ZeroDivisionError: division by zero" in said
        assert "\x1b[" not in said
    assert contents(book / "_build" / "html") == before


def test_a_warning_fails_each_time(book):
    (book / "chapters" / "index.md").write_text("# Small book\n\n[](nowhere.md)\n")
    for _ in range(2):
        said, _ = build(book, status=1)
        assert "nowhere" in said


def test_another_folder_gets_a_whole_site_each_time(book, tmp_path):
    other = tmp_path / "other" / "site"
    build(book, "--output", str(other))
    assert contents(other) == contents(book / "_build" / "html")
    (other / "stale.html").write_text("old")
    _, executed = build(book, "--output", str(other))
    assert executed == []
    assert contents(other) == contents(book / "_build" / "html")


# --- Interrupted builds -------------------------------------------------------------------------


def mended(tree):
    """Build again after an interrupt; give what that executed, the site being like a clean one."""
    _, executed = build(tree)
    build(tree, "--output", str(tree / "clean"))
    assert contents(tree / "_build" / "html") == contents(tree / "clean")
    left = {path.name for path in (tree / "_build").iterdir()}
    assert left == {".jupyter_cache", "book.lock", "html", "outputs.key", "seconds.json"}
    return executed


def lose_a_page(tree):
    (tree / "_build" / "html" / "chapters" / "01-one.html").unlink()


def cut_a_page(tree):
    page = tree / "_build" / "html" / "chapters" / "01-one.html"
    page.write_bytes(page.read_bytes()[:1000])


def between_the_names(tree):
    (tree / "_build" / "html").rename(tree / "_build" / ".old")


@pytest.mark.parametrize("damage", [between_the_names, *slowly(lose_a_page, cut_a_page)])
def test_a_damaged_site_is_made_anew(book, damage):
    damage(book)
    assert mended(book) == []


def cut_the_outputs(tree):
    for path in (tree / "_build" / ".jupyter_cache").rglob("base.ipynb"):
        path.write_bytes(path.read_bytes()[:300])


def lose_the_outputs(tree):
    for path in (tree / "_build" / ".jupyter_cache").rglob("base.ipynb"):
        path.unlink()


def lose_the_tables(tree):
    (tree / "_build" / ".jupyter_cache" / "global.db").write_bytes(b"")


def spoil_the_tables(tree):
    (tree / "_build" / ".jupyter_cache" / "global.db").write_bytes(b"no data base" * 1000)


@pytest.mark.parametrize(
    "damage", [cut_the_outputs, *slowly(lose_the_outputs, lose_the_tables, spoil_the_tables)]
)
def test_a_damaged_cache_is_mended(book, damage):
    damage(book)
    (book / "chapters" / "index.md").write_text("# Small book, changed\n")
    assert mended(book) == sorted(NAMES)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a kill is a signal")
@pytest.mark.parametrize("moment", range(12))
def test_a_killed_build_is_mended(tmp_path, moment):
    tree = tmp_path / "tree"
    write_book(tree)
    for name in NAMES:
        write_chapter(tree, name, "import time; time.sleep(0.5); print(6 * 7)")
    start = time.perf_counter()
    build(tree)
    whole = time.perf_counter() - start
    shutil.rmtree(tree / "_build")

    command = [sys.executable, str(tree / "tools" / "book.py")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        # The first moments of a build only import.
        time.sleep(whole * (0.2 + 0.8 * moment / 12))
        process.send_signal(signal.SIGKILL)
    assert set(mended(tree)) <= set(NAMES)
