"""The house: the environment, the pins, the steps of the checks, the form of the notebooks."""

import ast
import importlib.metadata
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest
import pytest_socket
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import checks
import lock
import tasks

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))


# --- The choice of a Python ---------------------------------------------------------------------


def fake_python(folder, name, version, *, venv=True):
    """Put a program on the path that answers as a Python of some version would."""
    program = folder / name
    lines = f"{program}\\n{version[0]}\\n{version[1]}"
    program.write_text(f"#!/bin/sh\nprintf '{lines}\\n'\nexit {0 if venv else 1}\n")
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def pythons(tmp_path, monkeypatch):
    """An empty path, on which a test puts Pythons; the running one is too old."""
    if os.name == "nt":
        pytest.skip("the programs that play Python are shell scripts")
    monkeypatch.setenv("PATH", str(tmp_path))
    running = fake_python(tmp_path, "running", (3, 8))
    monkeypatch.setattr(sys, "_base_executable", running)
    return tmp_path


def test_running_python_comes_first(pythons, monkeypatch):
    running = fake_python(pythons, "running", (3, 11))
    fake_python(pythons, "python3.13", (3, 13))
    assert tasks.find_python() == running


def test_newest_python_on_the_path_comes_next(pythons):
    fake_python(pythons, "python3", (3, 11))
    fake_python(pythons, "python3.12", (3, 12))
    newest = fake_python(pythons, "python3.13", (3, 13))
    assert tasks.find_python() == newest


def test_python_without_venv_is_passed_over(pythons):
    fake_python(pythons, "python3.13", (3, 13), venv=False)
    other = fake_python(pythons, "python3.11", (3, 11))
    assert tasks.find_python() == other


def test_no_python_says_what_was_found_and_what_is_needed(pythons):
    fake_python(pythons, "python3.12", (3, 12), venv=False)
    fake_python(pythons, "python3", (3, 14))
    with pytest.raises(tasks.TaskError) as error:
        tasks.find_python()
    message = str(error.value)
    assert "Python 3.11, 3.12 or 3.13 is needed" in message
    assert "running: Python 3.8\n" in message
    assert "python3.12: Python 3.12 without venv (on Debian and Ubuntu: apt install" in message
    assert "python3: Python 3.14\n" in message
    assert "python3.11: not there" in message


def test_an_unknown_task_and_none(capsys):
    assert tasks.main(["bake"]) == 2
    assert "There is no task 'bake'" in capsys.readouterr().err
    assert tasks.main([]) == 0
    assert "make TASK" in capsys.readouterr().out


def test_make_forwards_every_task():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split()
    assert sorted(phony) == sorted(tasks.TASKS)


# --- The environment ----------------------------------------------------------------------------

BACKEND = """
import pathlib, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        wheel.writestr("demo.pth", str(pathlib.Path("src").resolve()))
        wheel.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: demo\\nVersion: 1.0\\n")
        wheel.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("demo-1.0.dist-info/RECORD", "")
    return name
"""  # noqa: E501


def write_wheel(folder, name):
    """Write a wheel with one module and one command."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    meta = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", "import sys\n\ndef main():\n    print(sys.prefix)\n")
        wheel.writestr(f"{meta}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(
            f"{meta}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{meta}/entry_points.txt", f"[console_scripts]\n{name}={name}:main\n")
        wheel.writestr(f"{meta}/RECORD", "")
    return path


def write_tree(root):
    """Write a small project whose environment needs no network."""
    (root / "src").mkdir(parents=True)
    (root / "src" / "demo.py").write_text("")
    (root / "backend.py").write_text(BACKEND)
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "demo"\nversion = "1.0"\n[tool.ruff]\nline-length = 100\n'
    )
    pins = [f"{name} @ {write_wheel(root, name).as_uri()}" for name in ("apple", "pear")]
    (root / "requirements.txt").write_text("\n".join(pins) + "\n")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small project with a finished environment; not to be changed."""
    root = tmp_path_factory.mktemp("finished") / "tree"
    write_tree(root)
    tasks.prepare(root, root / ".venv")
    return root


@pytest.fixture
def tree(finished, tmp_path):
    """A copy of that project, finished where it stands."""
    root = tmp_path / "tree"
    shutil.copytree(finished, root, symlinks=True)
    venv = root / ".venv"
    tasks.write_stamp(venv, tasks.stamp_of(root, venv))
    assert tasks.is_ready(root, venv)
    return root


def imports(root, *names):
    """Tell whether the environment of a tree imports some modules."""
    command = [str(tasks.venv_python(root / ".venv")), "-c", f"import {', '.join(names)}"]
    return subprocess.run(command, capture_output=True).returncode == 0


def test_environment_from_nothing(finished):
    assert tasks.is_ready(finished, finished / ".venv")
    assert imports(finished, "apple", "pear", "demo")


def test_nothing_is_done_to_a_ready_environment(tree, capsys):
    before = (tree / ".venv" / "stamp.json").stat().st_mtime_ns
    start = time.perf_counter()
    tasks.prepare(tree, tree / ".venv")
    assert time.perf_counter() - start < 0.2
    assert (tree / ".venv" / "stamp.json").stat().st_mtime_ns == before
    assert capsys.readouterr().out == ""


def site_of(root):
    return tasks.site_packages(root / ".venv")


def remove_stamp(root):
    (root / ".venv" / "stamp.json").unlink()


def cut_stamp(root):
    stamp = root / ".venv" / "stamp.json"
    stamp.write_text(stamp.read_text()[:40])


def change_pins(root):
    with (root / "requirements.txt").open("a") as file:
        file.write(f"plum @ {write_wheel(root, 'plum').as_uri()}\n")


def remove_package(root):
    for path in site_of(root).glob("apple*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def interrupt_package(root):
    """Leave a package as a pip that was killed just before its end leaves it."""
    remove_stamp(root)
    (site_of(root) / "apple.py").write_text("raise ImportError('half written')")
    (site_of(root) / "apple-1.0.dist-info" / "RECORD").write_text("")
    (site_of(root) / "~pple-1.0.dist-info").mkdir()


def lose_python(root):
    tasks.venv_python(root / ".venv").unlink()


def break_pip(root):
    remove_stamp(root)
    shutil.rmtree(site_of(root) / "pip" / "_internal")


def interrupt_venv(root):
    """Leave the environment as a `python -m venv` that was killed leaves it."""
    remove_stamp(root)
    shutil.rmtree(site_of(root))
    (root / ".venv" / "unfinished").touch()


def interrupt_removal(root):
    """Leave the environment as a removal that was killed leaves it."""
    remove_stamp(root)
    (site_of(root) / "apple.py").unlink()
    (root / ".venv" / "unfinished").touch()


DAMAGES = [
    change_pins,
    remove_package,
    interrupt_package,
    lose_python,
    *(
        # The same in other guises.
        pytest.param(damage, marks=pytest.mark.slow)
        for damage in (remove_stamp, cut_stamp, break_pip, interrupt_venv, interrupt_removal)
    ),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_environment_is_mended(tree, damage):
    damage(tree)
    assert not tasks.is_ready(tree, tree / ".venv")
    tasks.prepare(tree, tree / ".venv")
    assert tasks.is_ready(tree, tree / ".venv")
    assert imports(tree, "apple", "pear", "demo", *(["plum"] if damage is change_pins else []))
    assert not list(site_of(tree).glob("~*"))


def test_what_a_reader_put_there_stays(tree):
    remove_stamp(tree)
    (site_of(tree) / "own.py").write_text("")
    tasks.prepare(tree, tree / ".venv")
    assert imports(tree, "own", "apple")


def test_moved_environment_is_mended(tree, tmp_path):
    moved = tmp_path / "moved"
    tree.rename(moved)
    assert not tasks.is_ready(moved, moved / ".venv")
    tasks.prepare(moved, moved / ".venv")
    assert tasks.is_ready(moved, moved / ".venv")
    command = tasks.venv_python(moved / ".venv").with_name("apple")
    result = subprocess.run([command], capture_output=True, text=True)
    assert Path(result.stdout.strip()) == moved / ".venv"
    where = [str(tasks.venv_python(moved / ".venv")), "-c", "import demo; print(demo.__file__)"]
    result = subprocess.run(where, capture_output=True, text=True)
    assert Path(result.stdout.strip()) == moved / "src" / "demo.py"


def test_interrupted_mending_of_a_moved_environment_still_knows(tree, tmp_path, monkeypatch):
    moved = tmp_path / "moved"
    tree.rename(moved)
    with monkeypatch.context() as patch:
        patch.setattr(tasks, "install", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            tasks.prepare(moved, moved / ".venv")
    seen = []
    monkeypatch.setattr(tasks, "install", lambda *_, moved: seen.append(moved))
    tasks.prepare(moved, moved / ".venv")
    assert seen == [True]


def test_failed_installation_shows_the_end_of_the_log(tree, capsys):
    with (tree / "requirements.txt").open("a") as file:
        file.write("no-such-wheel @ file:///nowhere/no_such_wheel-1.0-py3-none-any.whl\n")
    with pytest.raises(tasks.TaskError) as error:
        tasks.prepare(tree, tree / ".venv")
    assert "no_such_wheel" in str(error.value)
    assert str(tree / ".venv" / "install.log") in str(error.value)
    assert not tasks.is_ready(tree, tree / ".venv")


def test_two_calls_at_once(tree):
    remove_stamp(tree)
    program = (
        f"import sys, pathlib; sys.path.insert(0, {str(ROOT / 'tools')!r}); import tasks\n"
        f"root = pathlib.Path({str(tree)!r}); tasks.prepare(root, root / '.venv')"
    )
    calls = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [call.communicate()[0] for call in calls]
    assert [call.returncode for call in calls] == [0, 0]
    assert sorted(text.startswith("Another call is making .venv") for text in said) == [False, True]
    assert "".join(said).count("Installing") == 1


@pytest.mark.skipif(os.name == "nt", reason="there the lock ends with the call")
def test_what_a_killed_call_started_still_holds_the_lock(tmp_path, capsys):
    started, done = tmp_path / "started", tmp_path / "done"
    pip = f"open({str(started)!r}, 'w'); import time; time.sleep(2); open({str(done)!r}, 'w')"
    program = (
        f"import sys, pathlib; sys.path.insert(0, {str(ROOT / 'tools')!r}); import tasks\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "with tasks.locked(folder / 'lock', '') as lock, (folder / 'log').open('w+') as log:\n"
        f"    tasks.quiet([sys.executable, '-c', {pip!r}], log, lock, 'Waiting')\n"
    )
    call = subprocess.Popen([sys.executable, "-c", program])
    while not started.exists():
        time.sleep(0.05)
    call.kill()
    call.wait()
    with tasks.locked(tmp_path / "lock", "waiting"):
        assert done.exists()
    assert capsys.readouterr().out == "waiting\n"


@pytest.mark.slow
@pytest.mark.enable_socket
@pytest.mark.skipif(os.name == "nt", reason="a kill is a signal")
def test_killed_installations_are_mended(tmp_path):
    """The real environment of the book, killed at several moments on its way."""
    root = tmp_path / "tree"
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("runs", "weights", "tools"):
        shutil.copytree(ROOT / name, root / name)
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root)
    program = "import sys; sys.path.insert(0, 'tools'); import tasks; tasks.prepare()"
    command = [sys.executable, "-c", program]
    for seconds in (1, 4, 15, 30, 45):
        call = subprocess.Popen(command, cwd=root, start_new_session=True)
        time.sleep(seconds)
        os.killpg(call.pid, signal.SIGKILL)
        call.wait()
    subprocess.run(command, cwd=root, check=True)

    python = tasks.venv_python(root / ".venv")
    subprocess.run([python, "-m", "pip", "check"], check=True)
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=json"], capture_output=True, text=True, check=True
    )
    versions = {
        canonicalize_name(one["name"]): one["version"].partition("+")[0]
        for one in json.loads(listed.stdout)
    }
    assert pinned().items() <= versions.items()
    # The files of every package are those of its record: `pip check` looks at metadata only.
    program = (
        "from importlib.metadata import distributions\n"
        "for one in distributions():\n"
        "    assert one.files, one.name\n"
        "    for file in one.files:\n"
        "        size = file.locate().stat().st_size\n"
        "        assert file.size in (None, size), file\n"
    )
    subprocess.run([python, "-c", program], check=True)
    imported = "import torch, matplotlib, jupyterlab, jupyter_book, playwright, unrolled"
    subprocess.run([python, "-c", imported], check=True)


def test_key_of_the_environment(tree):
    key = tasks.environment_key(tree)
    settings = tree / "pyproject.toml"
    text = settings.read_text()
    settings.write_text(text.replace("line-length = 100", "line-length = 99"))
    assert tasks.environment_key(tree) == key
    settings.write_text(text.replace('version = "1.0"', 'version = "1.1"'))
    assert tasks.environment_key(tree) != key
    settings.write_text(text)
    change_pins(tree)
    assert tasks.environment_key(tree) != key


# --- The network --------------------------------------------------------------------------------


def test_network_is_refused_to_a_test_and_to_what_it_starts():
    blocked = pytest.raises(pytest_socket.SocketConnectBlockedError)
    with pytest.warns(UserWarning, match="192.0.2.1"), blocked:
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    program = "import urllib.request; print(urllib.request.getproxies()['https'])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.strip() == checks.OFFLINE["https_proxy"]


# --- The pins -----------------------------------------------------------------------------------


def pinned():
    """Give the pins that apply to this Python and system: name to version."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if not line.startswith("#")]
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in requirements
        if one.marker is None or one.marker.evaluate()
    }


def needed(distribution, extra=""):
    """List what a distribution needs here."""
    for text in importlib.metadata.requires(distribution) or []:
        one = Requirement(text)
        if one.marker is None or one.marker.evaluate({"extra": extra}):
            yield one


def is_cuda(requirement):
    """Tell what only torch needs, and only on Linux."""
    marker = str(requirement.marker or "").replace("platform_system", "sys_platform").lower()
    return 'sys_platform == "linux"' in marker


def test_pins_are_plain():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        assert line.startswith("#") or re.match(r"[a-z0-9-]+==[^ /:]+( ; .+)?$", line), line


def test_everything_that_the_project_needs_is_pinned_and_installed():
    pins = pinned()
    seen = set()
    wanted = [one for extra in ("", "book", "test") for one in needed("unrolled", extra)]
    while wanted:
        one = wanted.pop()
        name = canonicalize_name(one.name)
        assert name in pins, f"{one} is not in requirements.txt: run `make lock`"
        assert one.specifier.contains(pins[name], prereleases=True), f"{one}, pinned {pins[name]}"
        installed = importlib.metadata.version(name).partition("+")[0]
        assert installed == pins[name], f"{name} {installed} is installed, {pins[name]} is pinned"
        for extra in {"", *one.extras} - {extra for seen_name, extra in seen if seen_name == name}:
            seen.add((name, extra))
            wanted += [
                more for more in needed(name, extra) if not (name == "torch" and is_cuda(more))
            ]
    # pip itself is whatever the Python brought.
    assert set(pins) - {name for name, _ in seen} == set()


def test_fixed_versions():
    pins = pinned()
    fixed = ("torch==2.13.0", "jupyter-book==1.0.4.post1", "d2l==0.17.0")
    assert [f"{name}=={pins[name]}" for name in ("torch", "jupyter-book", "d2l")] == list(fixed)


def test_cuda_libraries_are_told_from_the_rest():
    lines = [
        "cuda-toolkit==13 ; sys_platform == 'linux'  # via torch",
        "nvidia-cublas==1 ; sys_platform == 'linux'  # via cuda-toolkit, nvidia-cudnn",
        "nvidia-cudnn==2 ; sys_platform == 'linux'  # via torch",
        "pexpect==4 ; sys_platform == 'linux'  # via ipython",
        "shared==5 ; sys_platform == 'linux'  # via ipython, torch",
        "sympy==6  # via torch",
        "torch==7  # via unrolled (pyproject.toml)",
    ]
    pins = [lock.LINE.match(line) for line in lines]
    assert lock.cuda_libraries(pins) == {"cuda-toolkit", "nvidia-cublas", "nvidia-cudnn"}


def test_nothing_installed_contradicts_itself():
    result = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_reasons_of_the_dependencies_are_written_down():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## Why each dependency")[2].partition("\n## ")[0]
    listed = re.findall(r"^- `([^`]+)`: \S", section, re.MULTILINE)
    extras = PROJECT["optional-dependencies"].values()
    wanted = [
        Requirement(one).name for group in (PROJECT["dependencies"], *extras) for one in group
    ]
    assert sorted(listed) == sorted(wanted)


# --- The steps of the checks --------------------------------------------------------------------


def say(words, status=0):
    return ["-c", f"import sys; print({words!r}); sys.exit({status})"]


@pytest.fixture(autouse=True)
def old_site(monkeypatch, tmp_path):
    """The site of an earlier call, in a folder of the test."""
    monkeypatch.setattr(checks, "SITE", tmp_path / "old-site")
    (tmp_path / "old-site").mkdir()
    return tmp_path / "old-site"


def run_checks(monkeypatch, capsys, *steps):
    """Run some steps; give the exit status and what was printed."""
    monkeypatch.setattr(checks, "steps", lambda slow: list(steps))
    status = checks.main([])
    return status, capsys.readouterr().out


def test_checks_that_pass(monkeypatch, capsys):
    status, said = run_checks(monkeypatch, capsys, checks.Step("one", say("quiet")))
    assert status == 0
    assert re.fullmatch(r"one +passed +\d+\.\d s\n1 passed, 0 failed\n", said)


def test_what_passed_is_noted_with_its_seconds(monkeypatch, capsys, tmp_path):
    """`make bench` shows it. What failed may have ended early, so it is not noted."""
    steps = [checks.Step("one", say("quiet")), checks.Step("two", say("quiet"))]
    run_checks(monkeypatch, capsys, *steps)
    noted = json.loads((tmp_path / "seconds.json").read_text())["make test"]
    assert list(noted) == ["one", "two", "all"]
    assert noted["all"] == pytest.approx(noted["one"] + noted["two"], abs=0.11)
    run_checks(monkeypatch, capsys, checks.Step("one", say("a reason", 3)))
    assert json.loads((tmp_path / "seconds.json").read_text())["make test"] == noted


def test_seconds_are_noted_in_place_of_the_last_ones(tmp_path):
    folder = tmp_path / "new"
    tasks.note_seconds(folder, "chapters", {"one": 1.23, "two": 2.0})
    tasks.note_seconds(folder, "chapters", {"two": 3.0})
    tasks.note_seconds(folder, "make book", {"cold": 9.0})
    noted = json.loads((folder / "seconds.json").read_text())
    assert noted == {"chapters": {"one": 1.2, "two": 3.0}, "make book": {"cold": 9.0}}
    (folder / "seconds.json").write_text("{")  # half written by a call that was killed
    tasks.note_seconds(folder, "chapters", {"one": 1.0})
    assert json.loads((folder / "seconds.json").read_text()) == {"chapters": {"one": 1.0}}


def test_a_failure_fails_the_whole_and_the_rest_runs(monkeypatch, capsys):
    steps = [checks.Step("one", say("a reason", 3)), checks.Step("two", say("quiet"))]
    status, said = run_checks(monkeypatch, capsys, *steps)
    assert status == 1
    assert "a reason" in said
    assert re.search(r"^one +FAILED", said, re.MULTILINE)
    assert re.search(r"^two +passed", said, re.MULTILINE)
    assert said.endswith("\n1 passed, 1 failed\n")


def test_the_site_of_an_earlier_call_is_not_checked(monkeypatch, capsys, old_site):
    look = ["-c", "import os, sys; sys.exit(os.path.exists(os.environ['UNROLLED_SITE']))"]
    status, _ = run_checks(monkeypatch, capsys, checks.Step("pages", look))
    assert status == 0
    assert not old_site.exists()


def test_what_was_not_run_stands_at_the_end(monkeypatch, capsys):
    steps = [
        checks.Step("pages", say("SKIPPED [2] tests/test_x.py:7: no data here")),
        checks.Step("browser", say("quiet"), missing="no Chromium"),
    ]
    status, said = run_checks(monkeypatch, capsys, *steps)
    assert status == 0
    last = said.splitlines()[-5:]
    assert last == [
        "Not run:",
        "  pages, in part: no data here",
        "  browser: no Chromium",
        "",
        "1 passed, 0 failed, 2 skipped",
    ]


def test_chromium_is_looked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(checks, "PROGRAMS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    assert checks.find_chromium() is None
    browser = next(step for step in checks.steps(slow=False) if step.name == "browser")
    assert "no Chromium" in browser.missing
    own = fake_python(tmp_path, "own-chromium", (3, 11))
    monkeypatch.setenv("CHROMIUM", own)
    assert checks.find_chromium() == own


def test_steps_cover_every_chapter_and_every_test():
    listed = {step.name: step.command for step in checks.steps(slow=True)}
    for name in ("stripped notebooks", "notebooks"):
        assert {str(path) for path in CHAPTERS} <= set(listed[name])
    assert listed["slow tests"][-3:] == ["-m", "slow", "tests"]


# --- The form of the notebooks ------------------------------------------------------------------


def code_cells(path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request):
    return request.param


def test_code_cells_are_short(chapter):
    lengths = {cell.id: len(cell.source.splitlines()) for cell in code_cells(chapter)}
    assert {name: length for name, length in lengths.items() if length > 25} == {}


def test_outputs_are_kept_where_they_are_compared(chapter):
    tagged = [(cell, cell.metadata.get("tags", [])) for cell in code_cells(chapter)]
    compared = [(cell, tags) for cell, tags in tagged if "nbval-check-output" in tags]
    assert len(compared) >= 3
    assert [
        cell.id for cell, tags in compared if "keep_output" not in tags or not cell.outputs
    ] == []


def test_figures_have_captions_and_alternatives(chapter):
    for cell in code_cells(chapter):
        figure = cell.metadata.get("mystnb", {})
        if figure:
            assert figure["figure"]["name"]
            assert figure["figure"]["caption"]
            assert figure["image"]["alt"]


def test_notebook_is_written_as_by_nbformat(chapter):
    text = chapter.read_text(encoding="utf-8")
    assert text == nbformat.writes(nbformat.reads(text, nbformat.NO_CONVERT)) + "\n"


# --- The package --------------------------------------------------------------------------------

# A module imports only from those named for it; what is missing here imports what it likes.
BELOW = {
    "cells": set(),
    "layers": {"cells"},
    "scan": {"cells", "layers"},
    "bptt": {"cells", "layers"},
    "attention": {"cells", "layers", "scan"},
    "models": {"cells", "layers", "scan", "attention", "data"},
    "decoding": {"cells", "layers", "scan", "attention", "models", "data"},
    "processes": {"cells", "layers"},
    "checkpoints": {"cells", "layers", "processes"},
    "training": {
        *("cells", "layers", "scan", "attention", "models"),
        *("processes", "checkpoints", "figures"),
    },
}
BELOW |= {"data": {"data"}, "metrics": set(), "figures": {"figures"}, "ngrams": set()}
BELOW |= {"proofread": set()}
BELOW |= {"translator": {"attention", "data", "decoding", "layers", "models"}}
#: What every module may import.
ANYWHERE = {"__version__", "checking"}


def imported_modules(package, path):
    """List the modules of the package that one of its files imports."""
    inside = ("unrolled", *path.relative_to(package).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else ()
            start = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{start}.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("unrolled."))


def test_imports_run_one_way():
    package = ROOT / "src" / "unrolled"
    wrong = []
    for path in sorted(package.rglob("*.py")):
        module = path.relative_to(package).with_suffix("").parts[0]
        if module in BELOW:
            allowed = BELOW[module] | ANYWHERE
            others = set(imported_modules(package, path)) - allowed
            wrong += [f"{module} imports {other}" for other in others]
    assert wrong == []
