"""Results of the wrong form: nothing, another type, another shape, NaN, changed arguments."""

import inspect
import itertools
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from unrolled.exercises.exercise import Exercise
from unrolled.exercises.outcome import Attempt, Outcome, Unusual
from unrolled.exercises.wording import about, called, kind_of, listed, right_only, sizes


def nothing_returned(exercise: Exercise, attempts: Sequence[Attempt]) -> list[str]:
    """Diagnose a function that returned None."""
    wrong = [a for a in attempts if a.outcome.returned is None]
    if not wrong:
        return []
    return [
        "Your function returned `None`: is there a `return` at its end?",
        *right_only(attempts),
    ]


def _wanted_kind(exercise: Exercise, expected: Outcome) -> str:
    names = [called(name) for name in exercise.results]
    if len(names) > 1:
        return f"a tuple of {len(names)}: {listed(names)}"
    return f"{kind_of(expected.results[exercise.results[0]])}: the {names[0]}"


def structure(exercise: Exercise, attempts: Sequence[Attempt]) -> list[str]:
    """Diagnose a list where a tensor was expected, a tuple of the wrong length and so on."""
    for attempt in attempts:
        came, expected = attempt.outcome, attempt.expected
        if not came.results:
            wanted = _wanted_kind(exercise, expected)
            return [f"Your function returned {kind_of(came.returned)}, expected {wanted}."]
        for name, value in came.results.items():
            wanted_value = expected.results.get(name)
            if type(value) is type(wanted_value) or (
                isinstance(value, Tensor) and isinstance(wanted_value, Tensor)
            ):
                continue
            first = about(name, f"is {kind_of(value)}, expected {kind_of(wanted_value)}")
            return [first + _structure_advice(value, wanted_value)]
    return []


def _structure_advice(value: object, wanted: object) -> str:
    if value is None:
        return ": is there a `return`?"
    if isinstance(wanted, Tensor):
        if inspect.isgenerator(value):
            return ": `return` gives one result, `yield` many."
        if isinstance(value, np.ndarray):
            return ": stay with torch, since NumPy carries no gradient."
        if isinstance(value, list) and value and isinstance(value[0], Tensor):
            return ": `torch.stack` or `torch.cat` makes one tensor of a list."
        if isinstance(value, tuple):
            return ": return only what is asked for."
        if isinstance(value, Unusual):
            return ", an ordinary one, where the inputs are."
        if isinstance(value, int) and value == 0:
            return ": if it is the 0 that it began with, nothing was added to it. Does a loop run?"
        if isinstance(value, int | float):
            return ": did `.item()` or an index take a number out of it?"
    if isinstance(wanted, int):
        if isinstance(value, list | tuple):
            return ": `sum` adds up what is in it."
        if isinstance(value, float):
            return ": use `//` rather than `/`, or no division at all."
        if isinstance(value, Tensor):
            return ": Python's own numbers are enough here."
    return "."


def _axes_text(axes: Sequence[str]) -> str:
    return f"({', '.join(axes)})"


def _shape_reason(axes: tuple[str, ...], known: dict[str, int], got: Sequence[int]) -> str:
    """Say what to look at, when a shape is `got` and should be the sizes of `axes`."""
    got, wanted = list(got), [known[axis] for axis in axes]
    if not got:
        return "it is a single number, so all axes were summed or averaged away"
    for order in itertools.permutations(range(len(axes))):
        if [wanted[place] for place in order] == got:
            moved = [axes[place] for place in order]
            if moved[0] != axes[0]:
                return f"{axes[0]} comes first, and yours looks like {_axes_text(moved)}"
            return f"the axes are {_axes_text(axes)}, and yours look like {_axes_text(moved)}"
    if [size for size in got if size != 1] == [size for size in wanted if size != 1]:
        if len(got) > len(wanted):
            return "there is an axis of size 1 too many: `squeeze(dim)` takes it away"
        if len(got) < len(wanted):
            return "an axis of size 1 is missing: one sequence is still a batch, of size 1"
    for axis, size in known.items():
        for place in range(len(wanted) + 1):
            if axis not in axes and [*wanted[:place], size, *wanted[place:]] == got:
                return f"it still has {'an' if axis[0] in 'aeiou' else 'a'} {axis} axis"
    for place, size in enumerate(got):
        if [*got[:place], *got[place + 1 :]] == wanted:
            return f"there is an axis of size {size} too many"
    for place, axis in enumerate(axes):
        if [*wanted[:place], *wanted[place + 1 :]] == got:
            return f"the {axis} axis is missing"
    if len(got) == len(wanted):
        place = next(i for i, size in enumerate(got) if size != wanted[i])
        same = [axis for axis, size in known.items() if size == got[place] and axis != axes[place]]
        if axes[place] == "time" and abs(got[place] - wanted[place]) == 1:
            if got[place] < wanted[place]:
                return "one step is missing: does the loop stop early?"
            return "there is one step too many: does the first state stand among them?"
        hint = f", the size of {same[0]}," if same else ""
        return f"the {axes[place]} axis has size {got[place]}{hint} rather than {wanted[place]}"
    for place in range(len(wanted) - 1):
        for other in range(place + 1, len(wanted)):
            rest = [size for i, size in enumerate(wanted) if i not in (place, other)]
            if sorted(got) == sorted([*rest, wanted[place] * wanted[other]]):
                return (
                    f"the {axes[place]} and {axes[other]} axes have become one: `torch.stack` "
                    "makes a new axis, `torch.cat` does not"
                )
    return f"the axes are {_axes_text(axes)}"


def _exchanged(attempt: Attempt) -> str:
    """Say so where all results are there, in another order."""
    came, wanted = (
        [getattr(value, "shape", None) for value in outcome.results.values()]
        for outcome in (attempt.outcome, attempt.expected)
    )
    if came == wanted or not any(list(order) == wanted for order in itertools.permutations(came)):
        return ""
    names = [called(name) for name in attempt.expected.results]
    return f"Your results are in another order: expected {listed(names, 'then')}."


def shapes(exercise: Exercise, attempts: Sequence[Attempt]) -> list[str]:
    """Diagnose a wrong shape."""
    if exchanged := _exchanged(attempts[0]):
        return [exchanged]
    for name in exercise.results:
        wrong = [
            a
            for a in attempts
            if isinstance(a.outcome.results.get(name), Tensor)
            and a.outcome.results[name].shape != a.expected.results[name].shape
        ]
        if not wrong:
            continue
        attempt = wrong[0]
        got, wanted = (tuple(o.results[name].shape) for o in (attempt.outcome, attempt.expected))
        first = about(name, f"has shape {got}, expected {wanted}")
        reason = ""
        axes = exercise.axes.get(name)
        if axes is not None:
            known = sizes(exercise, attempt.case.arguments)
            known.update(zip(axes, wanted, strict=True))
            reason = f": {_shape_reason(axes, known, got)}"
        return [
            f"{first}{reason}{'' if reason.endswith('?') else '.'}",
            *right_only(attempts),
        ]
    return []


def dtypes(exercise: Exercise, attempts: Sequence[Attempt]) -> list[str]:
    """Diagnose a wrong type of numbers."""
    for attempt in attempts:
        for name, value in attempt.outcome.results.items():
            wanted = attempt.expected.results[name]
            if not isinstance(value, Tensor) or value.dtype == wanted.dtype:
                continue
            got, expected = (str(t.dtype).removeprefix("torch.") for t in (value, wanted))
            reason = "the type should follow the inputs"
            if got == "float32":
                reason += ", but somewhere `float32` is fixed, as in `torch.zeros` without `dtype`"
            return [about(name, f"is `{got}`, expected `{expected}`: {reason}.")]
    return []


def not_finite(exercise: Exercise, attempts: Sequence[Attempt]) -> list[str]:
    """Diagnose NaN or infinity where there should be none."""
    for name in exercise.results:
        wrong = []
        for attempt in attempts:
            value, wanted = (o.results.get(name) for o in (attempt.outcome, attempt.expected))
            if not (isinstance(value, Tensor) and isinstance(wanted, Tensor)):
                continue
            if wanted.isfinite().all() and not value.isfinite().all():
                wrong.append(attempt)
        if wrong:
            value = wrong[0].outcome.results[name]
            kind = "NaN" if value.isnan().any() else "infinity"
            reason = "is there a division by zero, a logarithm, or `torch.empty` left unfilled"
            return [about(name, f"contains {kind}: {reason}?"), *right_only(attempts)]
    return []


def changed_arguments(exercise: Exercise, attempts: Sequence[Attempt]) -> list[str]:
    """Diagnose a function that wrote into what it was given."""
    wrong = [a for a in attempts if a.outcome.changed]
    if not wrong:
        return []
    names = listed([f"`{name}`" for name in wrong[0].outcome.changed])
    return [
        f"Your function changes its argument {names} in place, so the caller's tensor is another "
        "one afterwards: make a new tensor, as `h = h + ...` does and `h += ...` or `h[...] = ...` "
        "does not."
    ]
