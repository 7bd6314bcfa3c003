"""A rehearsal of Colab: a bare environment, and a chapter's notebook alone in an empty folder."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import repository
import tasks

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
# What the package is built from.
SOURCES = ("src", "runs", "weights", "pyproject.toml", "README.md", "LICENSE")
# The torch of the book, so that nothing large is fetched; its neighbours are others than ours.
NEIGHBOURS = ("numpy==2.2.6", "matplotlib==3.10.1", "ipython==8.31.0")
BARE = ("torch==2.13.0", "ipykernel", "nbclient", *NEIGHBOURS)
EXECUTE = """
import sys, nbformat, nbclient
notebook = nbformat.read(sys.argv[1], as_version=4)
try:
    nbclient.NotebookClient(notebook, timeout=600).execute()
finally:
    setup = next(cell for cell in notebook.cells if cell.cell_type == "code")
    print(*(one.get("text") for one in setup.outputs))
"""
VERSIONS = """
import json
from importlib.metadata import distributions
print(json.dumps({one.name.lower(): one.version for one in distributions()}))
"""

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket]


def run(*command, folder=None):
    result = subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a repository with the project as it is now."""
    folder = tmp_path_factory.mktemp("repository")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder)
    git = ("git", "-C", folder, "-c", "user.name=test", "-c", "user.email=test@localhost")
    run("git", "init", "--quiet", folder)
    run(*git, "add", "--all")
    run(*git, "commit", "--quiet", "--message", "the project")
    return folder.as_uri()


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of a bare environment that has a torch."""
    venv = tmp_path_factory.mktemp("bare") / "venv"
    run(sys.executable, "-m", "venv", venv)
    python = tasks.venv_python(venv)
    # An old pip takes no package from a repository on the same machine.
    run(python, "-m", "pip", "install", "--quiet", "--upgrade", "pip")
    run(python, "-m", "pip", "install", "--quiet", *BARE)
    return python


def torch_record(python):
    """Give what changes when torch is installed again: its list of files, and the time of that."""
    folder = tasks.site_packages(python.parent.parent)
    record = next(folder.glob("torch-*.dist-info")) / "RECORD"
    return hashlib.sha256(record.read_bytes()).hexdigest(), record.stat().st_mtime_ns


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_alone_in_a_bare_environment(chapter, python, address, tmp_path):
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "unrolled")
    versions, record = json.loads(run(python, "-c", VERSIONS)), torch_record(python)
    assert "unrolled" not in versions

    notebook = nbformat.read(chapter, as_version=nbformat.NO_CONVERT)
    repository.find_setup(notebook, chapter).source = repository.setup_cell(address)
    nbformat.write(notebook, tmp_path / chapter.name)
    run(python, "-c", EXECUTE, tmp_path / chapter.name, folder=tmp_path)

    after = json.loads(run(python, "-c", VERSIONS))
    assert "unrolled" in after
    assert torch_record(python) == record
    assert {name: after[name] for name in versions} == versions
