"""The tasks of the project: `python tools/tasks.py TASK`, or `make TASK`.

Each task first makes the environment `.venv`, or mends it, so none of them needs any preparation.
Standard library only, on Linux, macOS and Windows. The file must be readable by old Pythons too,
so that they can say which Python is needed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BUILD = ROOT / "_build"
PYTHONS = ((3, 13), (3, 12), (3, 11))
WINDOWS = os.name == "nt"

TASKS = {
    "book": "build the site of the book in _build/html",
    "test": "check everything: code, exercises, notebooks, pages (every change must pass)",
    "test-slow": "the same and the long checks: seeds, mutants, a rehearsal of Colab",
    "serve": "build the site and show it on this machine",
    "lab": "open the notebooks in JupyterLab",
    "record": "repeat a recorded run: make record NAME=name",
    "bench": "compare speeds side by side; write benchmarks/results.json and its page",
    "lock": "remake requirements.txt from pyproject.toml",
    "repository": "set the project's address everywhere: make repository URL=https://...",
    "help": "show this list",
}


class TaskError(Exception):
    """Something that a person has to mend; the message says what and how."""


# --- Which Python -----------------------------------------------------------------------------


def python_candidates() -> Iterator[list[str]]:
    """Give the commands that may start a Python, the running one first."""
    # Inside a virtual environment this is the Python that it was made from.
    yield [getattr(sys, "_base_executable", None) or sys.executable]
    for major, minor in PYTHONS:
        yield ["py", f"-{major}.{minor}"] if WINDOWS else [f"python{major}.{minor}"]
    yield ["python3"]
    yield ["python"]


def probe(command: list[str]) -> tuple[str | None, str]:
    """Try a Python: its path where it can make the environment, and what was found."""
    name = " ".join(command)
    if shutil.which(command[0]) is None:
        return None, f"{name}: not there"
    program = (
        "import sys; print(sys.executable, *sys.version_info[:2], sep='\\n'); import ensurepip"
    )
    result = subprocess.run([*command, "-c", program], capture_output=True, text=True)
    lines = result.stdout.splitlines()
    if len(lines) != 3:
        return None, f"{name}: does not start"
    version = (int(lines[1]), int(lines[2]))
    found = f"{name}: Python {version[0]}.{version[1]}"
    if version not in PYTHONS:
        return None, found
    if result.returncode != 0:
        return None, f"{found} without venv (on Debian and Ubuntu: apt install python3-venv)"
    return lines[0], found


def find_python() -> str:
    """Find a Python that the book runs with.

    Returns
    -------
    str
        The path of the interpreter.

    Raises
    ------
    TaskError
        There is none; the message lists what was found.
    """
    found = []
    for command in python_candidates():
        path, words = probe(command)
        if path is not None:
            return path
        found.append(words)
    raise TaskError(
        "Python 3.11, 3.12 or 3.13 is needed, with its venv module, and was not found.\n"
        + "\n".join(f"  {words}" for words in found)
        + "\nInstall one (https://www.python.org/downloads/), then run the same command again."
    )


# --- The environment --------------------------------------------------------------------------


def venv_python(venv: Path) -> Path:
    """Give the path of an environment's interpreter."""
    return venv / "Scripts" / "python.exe" if WINDOWS else venv / "bin" / "python"


def site_packages(venv: Path) -> Path | None:
    """Give the folder of an environment's packages, None where it has none."""
    pattern = "Lib/site-packages" if WINDOWS else "lib/python3.*/site-packages"
    return next(venv.glob(pattern), None)


def installed(venv: Path) -> list[str]:
    """List an environment's packages with their versions, pip left out: it may renew itself."""
    folder = site_packages(venv)
    names = sorted(path.name for path in folder.glob("*.dist-info")) if folder else []
    return [name for name in names if not name.startswith("pip-")]


def environment_key(root: Path) -> str:
    """Hash everything in the tree that says what the environment must contain."""
    # Only here, where the Python is new enough to have it.
    import tomllib

    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    project = {
        key: settings["project"].get(key)
        for key in ("name", "version", "dependencies", "optional-dependencies", "scripts")
    }
    parts = [
        (root / "requirements.txt").read_text(encoding="utf-8"),
        project,
        settings["build-system"],
        settings.get("tool", {}).get("hatch"),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def interpreter_mark(venv: Path) -> list[str | int]:
    """Describe the interpreter behind an environment, so that its replacement is noticed."""
    path = venv_python(venv).resolve(strict=True)
    return [str(path), path.stat().st_size, path.stat().st_mtime_ns]


def stamp_of(root: Path, venv: Path) -> dict[str, object]:
    """Describe a finished environment."""
    return {
        "key": environment_key(root),
        "folder": str(venv),
        "python": interpreter_mark(venv),
        "packages": installed(venv),
    }


def read_stamp(venv: Path) -> dict[str, object]:
    """Read what the last finished installation left, an empty dict without one."""
    try:
        return json.loads((venv / "stamp.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def write_stamp(venv: Path, stamp: dict[str, object]) -> None:
    """Write the stamp in one step, so that half of it is never read."""
    new = venv / "stamp.new"
    new.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    new.replace(venv / "stamp.json")


def is_ready(root: Path, venv: Path) -> bool:
    """Tell whether an environment is finished, of today's tree, and where it was made."""
    stamp = read_stamp(venv)
    try:
        now = stamp_of(root, venv)
    except OSError:
        return False
    # What a reader installed beside it does no harm.
    missing = set(stamp.pop("packages", [""])) - set(now.pop("packages"))
    return stamp == now and not missing


def works(venv: Path) -> bool:
    """Tell whether an environment's Python runs, is of a right version, and has a pip."""
    if (venv / "unfinished").exists() or not venv_python(venv).exists():
        return False
    program = f"import sys; assert sys.version_info[:2] in {PYTHONS}; import pip._internal.cli.main"
    command = [str(venv_python(venv)), "-c", program]
    return subprocess.run(command, capture_output=True).returncode == 0


def quiet(command: list[str], log: IO[str], lock: int, doing: str) -> None:
    """Run a command with its output in a log; where it fails, show the end of that."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH")}
    start = log.tell()
    result = subprocess.run(
        command,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
        env=environment,
        # The command holds the lock as well: it may outlive this process when that is killed.
        pass_fds=() if WINDOWS else (lock,),
    )
    if result.returncode != 0:
        log.seek(start)
        last = log.read().splitlines()[-15:]
        raise TaskError(
            f"{doing} failed. The last lines of {log.name}:\n"
            + "\n".join(f"  {line}" for line in last)
            + "\nMend the cause, then run the same command again: it goes on from here."
        )


def create(python: str, venv: Path, lock: int) -> None:
    """Make an empty environment in place of whatever is there."""
    if venv.exists():
        # Remembered first, so that half an old environment is never taken for a whole one.
        (venv / "unfinished").touch()
        for path in venv.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != "unfinished":
                path.unlink()
    venv.mkdir(exist_ok=True)
    (venv / "unfinished").touch()
    with (venv / "install.log").open("w+", encoding="utf-8", errors="replace") as log:
        quiet([python, "-m", "venv", str(venv)], log, lock, "Making .venv")
    (venv / "unfinished").unlink()


def drop_remains(venv: Path) -> None:
    """Remove what an interrupted pip left and would take for installed packages.

    pip writes the record of a package last; it lists the file INSTALLER only then.
    """
    folder = site_packages(venv)
    for path in [*folder.glob("~*"), *folder.glob("*.dist-info")]:
        record = path / "RECORD"
        if path.name.startswith("~") or not (
            record.is_file() and "INSTALLER" in record.read_text(encoding="utf-8")
        ):
            shutil.rmtree(path, ignore_errors=True)


def install(root: Path, venv: Path, lock: int, *, moved: bool) -> None:
    """Install the pinned packages and the package of the book."""
    drop_remains(venv)
    pip = [str(venv_python(venv)), "-m", "pip", "--disable-pip-version-check", "install"]
    pins = root / "requirements.txt"
    with (venv / "install.log").open("w+", encoding="utf-8", errors="replace") as log:
        if moved:
            # The commands in it name the folder that it was made in, so they are written again;
            # torch has none that we use, and is heavy.
            rest = venv / "all-but-torch.txt"
            lines = pins.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if not line.startswith("torch==")]
            rest.write_text("\n".join(kept), encoding="utf-8")
            again = [*pip, "--force-reinstall", "--no-deps", "-r", str(rest)]
            quiet(again, log, lock, "Installing into the moved .venv")
        quiet([*pip, "-r", str(pins)], log, lock, "Installing the packages")
        package = [*pip, "--no-deps", "--no-build-isolation", "--editable", str(root)]
        quiet(package, log, lock, "Installing unrolled")


@contextlib.contextmanager
def locked(path: Path, busy: str) -> Iterator[int]:
    """Let one process at a time through; the system frees the lock of a killed one.

    Parameters
    ----------
    path
        The file that is locked.
    busy
        What to say before waiting for another process.

    Yields
    ------
    int
        The descriptor of the locked file.
    """
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        said = False
        while True:
            try:
                if WINDOWS:
                    import msvcrt

                    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                else:
                    import fcntl

                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if not said:
                    print(busy, flush=True)
                said = True
                time.sleep(0.2)
        yield file.fileno()


def prepare(root: Path = ROOT, venv: Path = VENV) -> Path:
    """Make or mend the environment where that is needed.

    Returns
    -------
    Path
        Its interpreter.

    Raises
    ------
    TaskError
        There is no Python for it, or an installation failed.
    """
    python = venv_python(venv)
    if is_ready(root, venv):
        return python
    waiting = "Another call is making .venv: waiting for it."
    with locked(root / "_build" / "environment.lock", waiting) as lock:
        if is_ready(root, venv):
            return python
        if not works(venv):
            create(find_python(), venv, lock)
        folder = read_stamp(venv).get("folder", str(venv))
        # From here on it is unfinished, but where it was made is still known.
        write_stamp(venv, {"folder": folder})
        print(
            "Installing the book's packages into .venv: some minutes the first time, about 2 GB"
            + (" (more with CUDA: see the README)" if sys.platform == "linux" else ""),
            flush=True,
        )
        install(root, venv, lock, moved=folder != str(venv))
        write_stamp(venv, stamp_of(root, venv))
    return python


# --- The tasks --------------------------------------------------------------------------------


def note_seconds(folder: Path, group: str, seconds: dict[str, float]) -> None:
    """Note in a build folder how long some things took, in place of what was noted of them before.

    `make bench` shows what the last builds and checks have noted.
    """
    path = folder / "seconds.json"
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        noted = {}
    noted.setdefault(group, {}).update({name: round(one, 1) for name, one in seconds.items()})
    folder.mkdir(exist_ok=True)
    path.write_text(json.dumps(noted, indent=1), encoding="utf-8")


def run(*command: str | Path) -> int:
    """Run a command to its end; an interrupt goes to it, and it ends as it likes."""
    # The book's files are UTF-8, also where the system's own encoding is another.
    environment = {**os.environ, "PYTHONUTF8": "1"}
    with subprocess.Popen([str(part) for part in command], cwd=ROOT, env=environment) as process:
        while True:
            with contextlib.suppress(KeyboardInterrupt):
                return process.wait()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing of it."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(folder: Path) -> int:
    """Show a site on this machine until it is interrupted."""
    handler = functools.partial(QuietHandler, directory=str(folder))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 8000), handler)
    except OSError:  # another program has that port: any free one
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    print(f"The book is at http://127.0.0.1:{server.server_port}/ (Ctrl+C ends this)", flush=True)
    with server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


def perform(task: str, arguments: list[str]) -> int:
    """Do one task in the environment, and give its exit status."""
    python = prepare()
    if task == "serve":
        return run(python, "tools/book.py") or serve(BUILD / "html")
    commands: dict[str, list[str]] = {
        "book": ["tools/book.py"],
        "test": ["tools/checks.py"],
        "test-slow": ["tools/checks.py", "--slow"],
        "lab": ["-m", "jupyterlab", "chapters"],
        "record": ["-m", "unrolled", "train"],
        "bench": ["benchmarks"],
        "lock": ["tools/lock.py"],
        "repository": ["tools/repository.py"],
    }
    return run(python, *commands[task], *arguments)


def usage() -> str:
    """Describe the tasks."""
    lines = [f"  {name:<11} {words}" for name, words in TASKS.items()]
    return "Use: python tools/tasks.py TASK, or make TASK. The tasks:\n" + "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Do what the command line says.

    Parameters
    ----------
    arguments
        The task and what it needs.

    Returns
    -------
    int
        The exit status.
    """
    task, rest = (arguments or ["help"])[0], arguments[1:]
    if task == "help":
        print(usage())
        return 0
    if task not in TASKS:
        print(f"There is no task {task!r}. {usage()}", file=sys.stderr)
        return 2
    try:
        if sys.version_info[:2] not in PYTHONS:
            return run(find_python(), __file__, *arguments)
        return perform(task, rest)
    except TaskError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
