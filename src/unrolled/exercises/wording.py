"""The words that all diagnoses share."""

import inspect
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from unrolled.exercises.exercise import Exercise
from unrolled.exercises.outcome import Attempt, Unusual


def listed(words: Sequence[str], last: str = "and") -> str:
    """Join words as a sentence does: "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def called(name: str) -> str:
    """Put those words of a name that are code into backticks."""
    return re.sub(r"\w+_\w+", r"`\g<0>`", name)


VERBS = {"is": "are", "has": "have", "does": "do", "comes": "come", "starts": "start"}
VERBS |= {"contains": "contain", "differs": "differ"}


def about(name: str, rest: str) -> str:
    """Begin a sentence on a result: "Your state is ...", "Your outputs are ..."."""
    head = name.partition(" of ")[0]
    plural = head.endswith("s") and not head.endswith(("as", "ss", "us"))
    verb, _, others = rest.partition(" ")
    return f"Your {called(name)} {VERBS.get(verb, verb) if plural else verb} {others}"


def rounded(value: float) -> str:
    """Give three digits: nobody needs more of a difference."""
    return f"{value:.3g}"


def right_only(attempts: Sequence[Attempt], *, forwards: bool = True) -> list[str]:
    """Say which cases are right, whatever is wrong with the others, and which are not.

    Where something is wrong `forwards`, gradients are not looked at yet.
    """
    right = (None, "gradients") if forwards else (None,)
    good = [attempt.case.name for attempt in attempts if attempt.difference in right]
    bad = [attempt.case.name for attempt in attempts if attempt.difference not in right]
    if not good:
        return []
    if len(good) == 1 and len(bad) > 1:
        return [f"It is right with {good[0]} only."]
    return [f"It is right with {listed(good)}, but not with {listed(bad, 'or')}."]


def sizes(exercise: Exercise, arguments: dict[str, Any]) -> dict[str, int]:
    """Read the size of each named axis off the arguments of a case."""
    found: dict[str, int] = {}
    for name, value in arguments.items():
        axes = exercise.axes.get(name, ())
        if isinstance(value, Tensor) and value.dim() == len(axes):
            found.update(zip(axes, value.shape, strict=True))
    return found


def kind_of(value: object) -> str:
    """Say in words what a value is."""
    if value is None:
        return "`None`"
    if isinstance(value, Tensor):
        return "a tensor"
    if isinstance(value, Unusual):
        return value.kind
    if isinstance(value, np.ndarray):
        return "a NumPy array"
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return f"a {kind} of {len(value)}" if len(value) else f"an empty {kind}"
    if isinstance(value, type):
        return f"the class `{value.__name__}`"
    if inspect.isgenerator(value):
        return "a generator"
    if callable(value):
        return f"`{getattr(value, '__name__', type(value).__name__)}`, a function or object to call"
    name = {"int": "a whole number", "float": "a plain number, a `float`", "str": "a text"}
    return name.get(type(value).__name__, f"a `{type(value).__name__}`")


def error_text(error: BaseException) -> str:
    """Give the type of an exception and the first line of its message."""
    lines = str(error).replace("`", "'").strip().splitlines()
    first = textwrap.shorten(lines[0], 160, placeholder=" ...").removesuffix(".") if lines else ""
    return f"`{type(error).__name__}: {first}`" if first else f"`{type(error).__name__}`"
