"""Runs a reader's code so that the notebook stays as it was, whatever that code does.

The code runs in a thread of its own (so grad mode and default device, which belong to a thread, are
fresh) and is stopped when its time is over. Printing is caught, and what is global is put back.
"""

import builtins
import contextlib
import ctypes
import inspect
import io
import linecache
import random
import sys
import sysconfig
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any, NoReturn

import numpy as np
import torch
from IPython import get_ipython

# How long a thread may take to end after it was told to.
GRACE = 2.0
# How much of what the code prints is kept.
KEPT_LINES = 10
KEPT_CHARACTERS = 2000


class TimeUp(BaseException):
    """Raised inside a submission when its time is over.

    Not an `Exception`, so that `except Exception` lets it through.
    """


# --- Places in the reader's code ---------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A line of the reader's code."""

    file: str
    line: int
    text: str
    code: CodeType

    def __str__(self) -> str:
        in_cell = self.file.startswith("<") or "ipykernel" in self.file or "ipython" in self.file
        where = f"line {self.line} of {'your cell' if in_cell else Path(self.file).name}"
        return f"{where}, `{self.text}`" if self.text else where


def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    # Where torch is installed is a library folder even where sysconfig does not know it (Colab).
    folders += [str(Path(torch.__file__).parents[1]), str(Path(__file__).parents[1])]
    return tuple(str(Path(folder)) for folder in folders)


_LIBRARIES = _library_folders()


def _is_the_readers(file: str, own_file: str | None) -> bool:
    if file == own_file or file.startswith(("<ipython-input", "<stdin>", "<string>", "<python-")):
        return True
    return not file.startswith(("<", *_LIBRARIES))


def source_file(submission: object) -> str | None:
    """File in which a function or class was written, None where Python does not know."""
    submission = getattr(submission, "func", submission)  # functools.partial
    if not inspect.isroutine(submission):
        kind = submission if isinstance(submission, type) else type(submission)
        functions = [value for value in vars(kind).values() if inspect.isfunction(value)]
        submission = functions[0] if functions else None
    code = getattr(inspect.unwrap(submission) if submission else None, "__code__", None)
    return code.co_filename if code else None


def _innermost(steps: Iterable[tuple[FrameType, int]], own_file: str | None) -> Place | None:
    place = None
    for frame, line in steps:
        file = frame.f_code.co_filename
        if _is_the_readers(file, own_file):
            text = linecache.getline(file, line, frame.f_globals).strip()
            place = Place(file, line, text[:80], frame.f_code)
    return place


def place_of_error(trace: TracebackType | None, own_file: str | None) -> Place | None:
    """Find the reader's innermost line in a traceback: where *their* code was."""
    steps = []
    while trace is not None:
        steps.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    return _innermost(steps, own_file)


def _place_of_thread(thread: threading.Thread, own_file: str | None) -> Place | None:
    frame = sys._current_frames().get(thread.ident or -1)
    steps = []
    while frame is not None:
        steps.append((frame, frame.f_lineno))
        frame = frame.f_back
    return _innermost(reversed(steps), own_file)


# --- What is put back --------------------------------------------------------------------------


class Printed(io.TextIOBase):
    """Keeps the beginning of what is printed and counts the lines of the rest."""

    def __init__(self) -> None:
        self._kept = ""
        self._lines = 0

    def writable(self) -> bool:
        """Say that one can write here."""
        return True

    def write(self, text: str) -> int:
        """Keep the beginning, count the rest."""
        if len(self._kept) < KEPT_CHARACTERS:
            self._kept += text[: KEPT_CHARACTERS - len(self._kept)]
        self._lines += text.count("\n")
        return len(text)

    @property
    def text(self) -> str:
        """The first lines, and how many more there were."""
        lines = self._kept.splitlines()
        shown = lines[:KEPT_LINES]
        more = self._lines - len(shown)
        return "\n".join([*shown, f"... and {more:,} more lines"] if more > 0 else shown)


class _NoInput(io.TextIOBase):
    """Stands for the keyboard, which would make a check wait for ever."""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> str:
        raise EOFError("nobody can type during a check")

    readline = read


def _no_input(prompt: object = "") -> NoReturn:
    raise EOFError("nobody can type during a check")


@dataclass(frozen=True)
class _Setting:
    """Something global, with the call that changes it."""

    call: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


_SETTINGS = (
    _Setting("torch.set_default_dtype", torch.get_default_dtype, torch.set_default_dtype),
    _Setting(
        "torch.use_deterministic_algorithms",
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda flags: torch.use_deterministic_algorithms(flags[0], warn_only=flags[1]),
    ),
    _Setting(
        "torch.autograd.set_detect_anomaly",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda flags: torch.autograd.set_detect_anomaly(*flags),
    ),
    _Setting("sys.setrecursionlimit", sys.getrecursionlimit, sys.setrecursionlimit),
)


@contextlib.contextmanager
def _random_states_kept() -> Iterator[None]:
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    # Asking a CUDA device that is not in use yet would start it.
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        np.random.set_state(states[2])
        if devices is not None:
            torch.cuda.set_rng_state_all(devices)


@contextlib.contextmanager
def _kept(seed: int, changed: list[str]) -> Iterator[None]:
    """Put everything global back, and note in `changed` which calls had altered it."""
    before = [setting.read() for setting in _SETTINGS]
    with _random_states_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.set_default_dtype(torch.float32)
        start = [setting.read() for setting in _SETTINGS]
        # Not `torch.manual_seed`, which would also set the generators of other devices.
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            # Nobody else uses this seed: another one means that somebody set it.
            if torch.default_generator.initial_seed() != seed:
                changed.append("torch.manual_seed")
            for setting, at_start, value in zip(_SETTINGS, start, before, strict=True):
                now = setting.read()
                if now != at_start:
                    changed.append(setting.call)
                if now != value:  # writing can be slow: torch imports its compiler for one of them
                    setting.write(value)


@contextlib.contextmanager
def _streams_kept(printed: Printed) -> Iterator[None]:
    before = sys.stdin, builtins.input, threading.excepthook

    def silent_about_time(args: threading.ExceptHookArgs) -> None:
        # A second `TimeUp` may arrive while the thread is ending because of the first.
        if args.exc_type is not TimeUp:
            before[2](args)

    sys.stdin, builtins.input, threading.excepthook = _NoInput(), _no_input, silent_about_time
    shell = get_ipython()
    if shell is not None:
        # IPython's own `exit` ends the kernel without an exception.
        shell.ask_exit = sys.exit
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            yield
    finally:
        sys.stdin, builtins.input, threading.excepthook = before
        if shell is not None:
            del shell.ask_exit


# --- The guard ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Guarded:
    """How a guarded run went."""

    in_time: bool
    stopped: bool  # False: the thread is still running
    place: Place | None  # where the code was when its time was over
    printed: str
    changed: tuple[str, ...]  # the calls that altered something global


class _Worker(threading.Thread):
    """Runs `work`; `TimeUp` can be raised in it until it has ended."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(name="exercise", daemon=True)
        self.work = work
        self.errors: list[BaseException] = []
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Run the work; what it raises is kept."""
        begun = False
        while True:
            try:
                if not begun:
                    begun = True
                    self.work()
                self._end()
                return
            except TimeUp:
                pass
            except BaseException as error:
                self.errors.append(error)

    def _end(self) -> None:
        with self._lock:
            self._ended.set()
            self._raise(None)

    def _raise(self, kind: type[TimeUp] | None) -> None:
        # None takes back what was not delivered: nothing may be raised in Python's own code that
        # ends a thread.
        waiting = ctypes.py_object() if kind is None else ctypes.py_object(kind)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident or 0), waiting)

    def interrupt(self) -> None:
        """Raise `TimeUp` in the thread."""
        with self._lock:
            if not self._ended.is_set():
                self._raise(TimeUp)

    def has_ended(self, seconds: float = 0.0) -> bool:
        """Wait for the end."""
        # Not `join`: Ctrl-C during it makes Python 3.11 take a running thread for dead.
        return self._ended.wait(seconds) or not self.is_alive()


def _wait(worker: _Worker, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    # In slices, because on some systems Ctrl-C cannot interrupt a wait.
    while not (ended := worker.has_ended(max(0.0, min(deadline - time.monotonic(), 0.1)))):
        if time.monotonic() >= deadline:
            break
    return ended


def _stop(worker: _Worker) -> bool:
    """Raise `TimeUp` in the thread until it ends or the grace is over."""
    deadline = time.monotonic() + GRACE
    interval = sys.getswitchinterval()
    # Code such as `while True: try: ... except: pass` catches the exception almost everywhere;
    # switching often gives it many chances to arrive at the one place outside the `try`.
    sys.setswitchinterval(1e-5)
    try:
        while time.monotonic() < deadline:
            worker.interrupt()
            if worker.has_ended(0.001):
                return True
    finally:
        sys.setswitchinterval(interval)
    return False


def run_guarded(
    work: Callable[[], None], seconds: float, seed: int, own_file: str | None = None
) -> Guarded:
    """Run `work` in a thread for at most `seconds`.

    Parameters
    ----------
    work : callable
        Takes nothing, returns nothing. It must let `TimeUp` through.
    seconds : float
        Time limit.
    seed : int
        Seed of torch's generator during the run, one that nobody would choose.
    own_file : str, optional
        File that holds the reader's code, for `Guarded.place`.

    Returns
    -------
    Guarded
        Also when the time was over.

    Raises
    ------
    Exception
        What `work` raised. A `KeyboardInterrupt` of the reader's stops the thread and goes on.
    """
    changed: list[str] = []
    printed = Printed()
    place, stopped = None, True
    worker = _Worker(work)
    with _kept(seed, changed), _streams_kept(printed):
        worker.start()
        in_time = False
        try:
            in_time = _wait(worker, seconds)
        finally:
            if not in_time:
                place = _place_of_thread(worker, own_file)
                stopped = _stop(worker)
    if in_time and worker.errors:
        raise worker.errors[0]
    return Guarded(in_time, stopped, place, printed.text, tuple(changed))
