"""The tests are tested: a fault that nobody notices is a missing test."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "unrolled"
NO_FAULT = [
    Mutant("none", "__init__.py", "", "", tests) for tests in sorted({m.tests for m in MUTANTS})
]


def mutated(mutant):
    """The file's text with the fault in it."""
    text = (PACKAGE / mutant.file).read_text(encoding="utf-8")
    return text.replace(mutant.old, mutant.new) if mutant.old else text


def run_tests(mutant, folder):
    """Run the tests of a mutant's module on a copy of the package that has the fault."""
    shutil.copytree(PACKAGE, folder / "src" / "unrolled")
    for name in ("runs", "weights"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "src" / "unrolled" / mutant.file).write_text(mutated(mutant), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", mutant.tests]
    environment = os.environ | {"PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_changes_one_place(mutant):
    text = (PACKAGE / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1, f"{mutant.old!r} stands {text.count(mutant.old)} times"
    compile(mutated(mutant), mutant.file, "exec")
    assert (ROOT / mutant.tests).exists()


def test_names_are_different():
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names)


@pytest.mark.slow
@pytest.mark.parametrize("copy", NO_FAULT, ids=lambda copy: copy.tests)
def test_an_unchanged_copy_passes(copy, tmp_path):
    ended = run_tests(copy, tmp_path)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_noticed(mutant, tmp_path):
    ended = run_tests(mutant, tmp_path)
    assert ended.returncode == 1, f"survived, or broke the collection:\n{ended.stdout}"
    assert "failed" in ended.stdout
