"""Exercises that answer back: `check`, `hint`, `solution`, `catalogue`.

Each chapter has a module `chNN` with a tuple `EXERCISES`; a new one is found by its name.
"""
# An exercise has an id, whatever Python's own `id` does.
# ruff: noqa: A001, A002

import difflib
import functools
import importlib
import pkgutil
import random
import re
from collections.abc import Callable
from typing import Any

from torch import Tensor

from unrolled.exercises.calling import exceptions, misfit, untouched
from unrolled.exercises.diagnosis import diagnose, recognised
from unrolled.exercises.exercise import Case, Draw, Exercise, Mistake
from unrolled.exercises.guard import Guarded, run_guarded, source_file
from unrolled.exercises.outcome import Attempt, Outcome, alike, run_case
from unrolled.exercises.report import Hints, Report, Source
from unrolled.exercises.wording import listed

__all__ = [
    "Case",
    "Draw",
    "Exercise",
    "Hints",
    "Mistake",
    "Report",
    "Source",
    "catalogue",
    "check",
    "hint",
    "solution",
]

# How long a submission may take, in seconds.
TIME_LIMIT = 5.0
# References and listed mistakes take milliseconds; no exercise should come near this.
OWN_LIMIT = 60.0

_hints_shown: dict[str, int] = {}


@functools.cache
def _all_exercises() -> dict[str, Exercise]:
    found: dict[str, Exercise] = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
        if not re.fullmatch(r"ch\d\d", module):
            continue
        for exercise in importlib.import_module(f"{__name__}.{module}").EXERCISES:
            if exercise.id in found or exercise.chapter != module.removeprefix("ch"):
                raise ValueError(f"exercise {exercise.id} in {module} has a wrong or taken id")
            found[exercise.id] = exercise
    return dict(sorted(found.items(), key=lambda item: [int(n) for n in item[0].split(".")]))


def catalogue() -> dict[str, Exercise]:
    """All exercises of all chapters by id, in order.

    Returns
    -------
    dict of str to Exercise

    Examples
    --------
    >>> all(exercise.id == id for id, exercise in catalogue().items())
    True
    """
    return dict(_all_exercises())


def _find(id: str) -> Exercise:
    exercises = _all_exercises()
    if id in exercises:
        return exercises[id]
    if numbers := re.fullmatch(r"\s*0*(\d+)\D+0*(\d+)\s*", str(id)):
        meant = f"{int(numbers[1]):02}.{numbers[2]}"
        if meant in exercises:
            raise ValueError(f"there is no exercise {id!r}: did you mean {meant!r}?")
        chapter = meant.partition(".")[0]
        own = [e.id for e in exercises.values() if e.chapter == chapter]
        if len(own) < int(numbers[2]) and own:
            raise ValueError(
                f"{meant} has no check: the exercises of chapter {chapter} that answer back are "
                f"{own[0]} to {own[-1]}; the others are done on paper or are projects, and their "
                "solutions, where there are any, are folded below them in the chapter"
            )
    near = difflib.get_close_matches(str(id), exercises, n=3, cutoff=0.4) or list(exercises)
    raise ValueError(
        f"there is no exercise {id!r}; the id is a text and comes first, as {_quoted(near[:3])}"
    )


def _quoted(ids: list[str]) -> str:
    return " or ".join(f'"{id}"' for id in ids)


def check(id: str, submission: Callable[..., Any]) -> Report:
    """Compare an answer with the reference, on inputs that are drawn anew at each call.

    Nothing that the answer does reaches the notebook: arguments are copies, what is global (random
    states, default dtype, warnings) is put back, and after five seconds the answer is stopped.

    Parameters
    ----------
    id : str
        Id of the exercise, as "02.1".
    submission : callable
        The function or class that the exercise asks for.

    Returns
    -------
    Report
        Shows itself as the last line of a cell.

    Raises
    ------
    ValueError
        For an unknown id; the message names the nearest.
    """
    return check_with_seed(_find(id), submission, random.SystemRandom().getrandbits(62))


def check_with_seed(
    exercise: Exercise,
    submission: Callable[..., Any],
    seed: int,
    time_limit: float = TIME_LIMIT,
) -> Report:
    """`check` with chosen inputs and time limit, for tests.

    Parameters
    ----------
    exercise : Exercise
    submission : callable
    seed : int
        Decides the cases.
    time_limit : float
        In seconds.

    Returns
    -------
    Report
    """
    if messages := misfit(exercise, submission):
        return _report(exercise, messages)
    cases: list[Case] = []
    expected: list[Outcome] = []

    def run_reference() -> None:
        cases.extend(exercise.cases(Draw(seed)))
        expected.extend(run_case(exercise, exercise.solution, case, seed) for case in cases)

    came: list[Outcome] = []

    def run_submission() -> None:
        came.extend(run_case(exercise, submission, case, seed) for case in cases)

    run_guarded(run_reference, OWN_LIMIT, seed)
    run = run_guarded(run_submission, time_limit, seed, source_file(submission))
    notes = _notes(run)
    if not run.in_time:
        return _report(exercise, [_too_slow(run, time_limit), *notes], run.printed)
    attempts = [Attempt(*parts) for parts in zip(cases, expected, came, strict=True)]
    if untouched(exercise, submission, attempts):
        gentle = "Not attempted yet: put your own code in place of `raise NotImplementedError`."
        if exercise.start is not None:
            gentle = (
                "Not attempted yet: this is the code as it stands in the chapter, with its faults."
            )
        return _report(exercise, [gentle], attempted=False)
    if all(attempt.difference is None for attempt in attempts):
        what = "values and gradients" if exercise.gradients else "everything that is compared"
        praise = f"Right in {what}, in {len(cases)} cases."
        return _report(exercise, [praise, *notes], run.printed, passed=True)
    messages = _mistake(exercise, attempts, seed) or _unsteady(exercise, submission, attempts, seed)
    return _report(exercise, [*(messages or diagnose(exercise, attempts)), *notes], run.printed)


def _report(
    exercise: Exercise,
    messages: list[str],
    printed: str = "",
    *,
    passed: bool = False,
    attempted: bool = True,
) -> Report:
    return Report(exercise.id, exercise.title, passed, attempted, tuple(messages), printed)


def _mistake(exercise: Exercise, attempts: list[Attempt], seed: int) -> list[str]:
    """Give the message of the listed mistake that behaves as the submission does."""
    found: list[Mistake | None] = []
    known = (*exercise.mistakes, *exercise.inherited)

    def run(mistake: Mistake, case: Case) -> Outcome:
        return run_case(exercise, mistake.code, case, seed)

    run_guarded(lambda: found.append(recognised(attempts, known, run)), OWN_LIMIT, seed)
    messages = [mistake.message for mistake in found if mistake]
    # Where it stopped with an exception, the reader's line helps, too.
    return [*messages, *exceptions(exercise, attempts)[:1]] if messages else []


def _unsteady(
    exercise: Exercise, submission: Callable[..., Any], attempts: list[Attempt], seed: int
) -> list[str]:
    """Say so where the same arguments give something else when the code is called again."""
    wrong = next(attempt for attempt in attempts if attempt.difference is not None)
    if not isinstance(wrong.outcome.results.get(wrong.difference or ""), Tensor):
        return []
    again: list[Outcome] = []

    def run_again() -> None:
        again.append(run_case(exercise, submission, wrong.case, seed + 1))

    run = run_guarded(run_again, TIME_LIMIT, seed)
    if not run.in_time or alike(again[0].results, wrong.outcome.results):
        return []
    return [
        "Your code gives another answer when it is called again with the same arguments: is "
        "something random, or kept from one call to the next?"
    ]


def _too_slow(run: Guarded, time_limit: float) -> str:
    at = f"; it was at {run.place}" if run.place else ""
    return (
        f"Your code did not return within {time_limit:g} seconds{at}: is there a loop that never "
        "ends?"
    )


def _notes(run: Guarded) -> list[str]:
    notes = []
    if run.changed:
        calls = listed([f"`{call}`" for call in run.changed])
        notes.append(
            f"Your code calls {calls}, which changes something for the whole notebook; the check "
            "has put it back, and a function like this one should leave it alone."
        )
    if not run.stopped:
        notes.append(
            "It could not be stopped and still runs in the background: restart the kernel if the "
            "notebook is slow now."
        )
    return notes


def hint(id: str) -> Hints:
    """Show one more hint at each call.

    Parameters
    ----------
    id : str
        Id of the exercise, as "02.1".

    Returns
    -------
    Hints
        All hints so far; it says so when there are no more.

    Raises
    ------
    ValueError
        For an unknown id.
    """
    hints = _find(id).hints
    before = _hints_shown.get(id, 0)
    _hints_shown[id] = min(before + 1, len(hints))
    return Hints(id, hints[: _hints_shown[id]], len(hints), repeated=before == len(hints))


def solution(id: str) -> Source:
    """Show the source of the reference solution.

    Parameters
    ----------
    id : str
        Id of the exercise, as "02.1".

    Returns
    -------
    Source

    Raises
    ------
    ValueError
        For an unknown id.
    """
    return Source(_find(id).source.rstrip())
