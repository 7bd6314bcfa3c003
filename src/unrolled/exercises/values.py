"""Results of the right form with wrong numbers: how they differ says where to look."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unrolled.exercises.exercise import Exercise
from unrolled.exercises.outcome import Attempt, alike, is_zero
from unrolled.exercises.wording import about, called, listed, right_only, rounded, sizes

# Relations between what came (first) and what was expected.
RELATIONS: tuple[tuple[Callable[[Tensor, Tensor], bool], str], ...] = (
    (
        lambda got, want: torch.allclose(got, want, rtol=1e-5, atol=1e-6),
        "is right up to rounding: somewhere the numbers pass through `float32`",
    ),
    (lambda got, want: alike(got, -want), "is right up to its sign"),
    (
        lambda got, want: _is_squashed(want) and alike(got, torch.atanh(want)),
        "is right but for the tanh around it",
    ),
    (
        lambda got, want: _is_squashed(want) and alike(got, torch.sigmoid(torch.atanh(want))),
        "has a sigmoid where the tanh should be",
    ),
    (
        lambda got, want: _is_squashed(want) and alike(got, torch.relu(torch.atanh(want))),
        "has a relu where the tanh should be",
    ),
    (
        lambda got, want: _is_squashed(want) and alike(got, torch.atanh(want).clamp(-1, 1)),
        "is cut off at -1 and 1 where the tanh should be",
    ),
    (lambda got, want: alike(got, torch.tanh(want)), "went through tanh once too often"),
    (lambda got, want: alike(got, torch.sigmoid(want)), "went through a sigmoid too many"),
    (lambda got, want: alike(got, torch.relu(want)), "went through a relu too many"),
    (
        lambda got, want: got.dim() == 2 and len(set(got.shape)) == 1 and alike(got, want.T),
        "is transposed",
    ),
)

REDUCTIONS: tuple[tuple[Callable[[Tensor, int], Tensor], str], ...] = (
    (torch.mean, "mean"),
    (torch.sum, "sum"),
    (torch.amax, "maximum"),
    (torch.amin, "minimum"),
)

# What a single entry along an axis is called, where the axis is not called after it.
ONE_OF = {"batch": "sequence", "time": "step", "vocab": "token"}
ONE_OF |= {"queries": "query", "steps": "step"}
ONE_OF |= {axis: f"{axis} unit" for axis in ("input", "hidden", "output")}

# How often an argument stands in a sum beyond what it should.
SIGNS = ((1, "is added once too often"), (-1, "is missing"), (-2, "has the wrong sign"))


def _is_squashed(value: Tensor) -> bool:
    return bool((value.abs() < 1).all()) and bool(value.any())


Axes = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Pair:
    """A wrong tensor, the right one, and the sizes of the case."""

    got: Tensor
    want: Tensor
    axes: tuple[str, ...]
    sizes: dict[str, int]

    def at_step(self, index: int) -> "Pair":
        """Take one step of time out of both."""
        place = self.axes.index("time")
        axes = self.axes[:place] + self.axes[place + 1 :]
        return Pair(self.got.select(place, index), self.want.select(place, index), axes, self.sizes)

    def wrong_along(self, axis: str) -> list[int]:
        """Find the indices along an axis at which something differs."""
        place = self.axes.index(axis)
        slices = zip(self.got.unbind(place), self.want.unbind(place), strict=True)
        return [index for index, (a, b) in enumerate(slices) if not alike(a, b)]


def _factor(pairs: Sequence[Pair]) -> str:
    factors = []
    for pair in pairs:
        square = (pair.want * pair.want).sum().item()
        factor = (pair.got * pair.want).sum().item() / square if square else 1.0
        if not alike(pair.got, factor * pair.want) or not factor:
            return ""
        factors.append(factor)
    if all(math.isclose(factor, factors[0], rel_tol=1e-6) for factor in factors):
        return f"is right but for a constant factor of {rounded(factors[0])}"
    for axis in pairs[0].sizes:
        counts = [pair.sizes.get(axis, 0) for pair in pairs]
        if all(math.isclose(f * n, 1, rel_tol=1e-6) for f, n in zip(factors, counts, strict=True)):
            return f"is divided by the size of the {axis} axis: a mean where a sum belongs?"
        if all(math.isclose(f, n, rel_tol=1e-6) for f, n in zip(factors, counts, strict=True)):
            return f"is multiplied by the size of the {axis} axis: a sum where a mean belongs?"
    return ""


def _constant(pairs: Sequence[Pair]) -> str:
    constants = [(pair.got - pair.want).mean().item() for pair in pairs]
    if any(
        not alike(p.got, p.want + c) or not math.isclose(c, constants[0], rel_tol=1e-6)
        for p, c in zip(pairs, constants, strict=True)
    ):
        return ""
    return f"is right but for {rounded(constants[0])} added everywhere"


def _relation(pairs: Sequence[Pair]) -> str:
    if not pairs[0].got.is_floating_point():
        return ""
    for holds, text in RELATIONS:
        if all(holds(pair.got, pair.want) for pair in pairs):
            return text
    if sum(pair.got.numel() for pair in pairs) == 1:  # one number is any multiple of another
        return ""
    return _factor(pairs) or _constant(pairs)


def _along_batch(pairs: Sequence[Pair]) -> str:
    # One sequence alone says nothing about the others.
    pairs = [pair for pair in pairs if "batch" in pair.axes and pair.sizes["batch"] > 1]
    if not pairs:
        return ""
    rows = [pair.got.movedim(pair.axes.index("batch"), 0) for pair in pairs]
    if all(alike(row, row[:1].expand_as(row)) for row in rows):
        return "is the same for every sequence of the batch, and should depend on the sequence"
    if all(pair.wrong_along("batch") == list(range(1, pair.sizes["batch"])) for pair in pairs):
        return "is right for the first sequence of the batch only"
    wanted = [pair.want.movedim(pair.axes.index("batch"), 0) for pair in pairs]
    if all(_same_rows(*both) for both in zip(rows, wanted, strict=True)):
        return "has the sequences of the batch in another order"
    return ""


def _same_rows(first: Tensor, second: Tensor) -> bool:
    return all(
        any(alike(row, other) for other in b)
        for a, b in ((first, second), (second, first))
        for row in a
    )


def _from_another_step(pairs: Sequence[Pair], wrong: Sequence[Attempt], axes: Axes) -> str:
    """Say which step of an argument was taken, where another one was to be chosen."""
    pair, arguments = pairs[0], wrong[0].case.arguments
    if not pair.axes:  # a single number: nothing was chosen step by step
        return ""
    for argument, value in arguments.items():
        names = axes.get(argument, ())
        if "time" not in names or tuple(n for n in names if n != "time") != pair.axes:
            continue
        steps = value.movedim(names.index("time"), 0)  # (time, *pair.axes)
        for row, (got, want) in enumerate(zip(pair.got, pair.want, strict=True)):
            took = [t for t, step in enumerate(steps) if alike(step[row], got)]
            right = [t for t, step in enumerate(steps) if alike(step[row], want)]
            if not took or not right:
                break
            if took != right:
                return (
                    f"comes from another step: for sequence {row + 1}, you take step "
                    f"{took[0] + 1} of `{argument}` rather than step {right[0] + 1}"
                )
    return ""


def _reduced(pairs: Sequence[Pair], wrong: Sequence[Attempt], axes: Axes) -> str:
    """Say which axis was summed, averaged or searched for a maximum, of an argument or a result."""
    for name in [*_in_all(wrong), *wrong[0].expected.results]:
        names = axes.get(name, ())
        for place, axis in enumerate(names):
            if (*names[:place], *names[place + 1 :]) != pairs[0].axes:
                continue
            values = [{**a.case.arguments, **a.expected.results}[name] for a in wrong]
            if not values[0].is_floating_point():
                continue
            for reduce, word in REDUCTIONS:
                if all(alike(p.got, reduce(v, place)) for p, v in zip(pairs, values, strict=True)):
                    label = f"`{name}`" if name in wrong[0].case.arguments else f"the {name}"
                    return f"is the {word} of {label} over the {axis} axis"
    return ""


def _misplaced(pairs: Sequence[Pair]) -> str:
    def sorted_alike(order: Callable[[Tensor], Tensor]) -> bool:
        return all(alike(order(pair.got), order(pair.want)) for pair in pairs)

    if any(pair.want.dtype == torch.bool for pair in pairs):
        return ""  # with two values, equal counts say nothing
    for place, axis in enumerate(pairs[0].axes):
        if sorted_alike(lambda tensor, place=place: tensor.sort(dim=place).values):
            return f"has the right numbers along the {axis} axis, in the wrong order"
    if sorted_alike(lambda tensor: tensor.flatten().sort().values):
        return (
            "has the right numbers in the wrong places: is there a `reshape` where a `transpose` "
            "should be, or a `.T` too many?"
        )
    return ""


def _with_time(pairs: Sequence[Pair]) -> list[Pair]:
    return [pair for pair in pairs if "time" in pair.axes and pair.sizes["time"] > 1]


def _moved_in_time(pairs: Sequence[Pair]) -> str:
    pairs = _with_time(pairs)
    if not pairs:
        return ""
    moved = [
        [tensor.movedim(pair.axes.index("time"), 0) for tensor in (pair.got, pair.want)]
        for pair in pairs
    ]
    if all(alike(got.flip(0), want) for got, want in moved):
        return "has the steps in reverse order"
    if all(alike(got[1:], want[:-1]) for got, want in moved):
        return "comes one step late: at step 2 stands what belongs to step 1"
    if all(alike(got[:-1], want[1:]) for got, want in moved):
        return "comes one step early: at step 1 stands what belongs to step 2"
    if all(alike(got, got[:1].expand_as(got)) for got, want in moved):
        return "is the same at every step: is one tensor overwritten again and again?"
    return ""


def _along_time(pairs: Sequence[Pair]) -> str:
    pairs = _with_time(pairs)
    if not pairs:
        return ""
    longest = max(pairs, key=lambda pair: pair.sizes["time"])
    wrong, count = longest.wrong_along("time"), longest.sizes["time"]
    if len(wrong) == count:
        first = _relation([pair.at_step(0) for pair in pairs])
        return f"differs from step 1 on{': that step ' if first else ''}{first}"
    if wrong == list(range(wrong[0], count)) and wrong[0]:
        right, step = wrong[0], wrong[0] + 1
        steps = (
            "step 1 is" if right == 1 else f"steps 1 {'and' if right == 2 else 'to'} {right} are"
        )
        if step == count:
            return f"is right but for the last step, {step}"
        return f"starts well: {steps} right, from step {step} on it differs"
    steps = listed([str(index + 1) for index in wrong[:5]])
    return f"is wrong at step {steps} of {count}" if len(wrong) < 6 else ""


def _in_all(wrong: Sequence[Attempt]) -> list[str]:
    """List the arguments of the first case that all the others have, too."""
    first, *others = (attempt.case.arguments for attempt in wrong)
    return [name for name in first if all(name in arguments for arguments in others)]


def _argument_itself(name: str, wrong: Sequence[Attempt]) -> str:
    for argument in _in_all(wrong):
        if all(alike(a.outcome.results[name], a.case.arguments[argument]) for a in wrong):
            return f"is just `{argument}`, as it came in"
    return ""


def _too_much(pairs: Sequence[Pair], wrong: Sequence[Attempt]) -> str:
    """Say which argument was added once too often, or left out of a sum."""
    views = [("", [pair.got - pair.want for pair in pairs])]
    if all(bool((t.abs() < 1).all()) for pair in pairs for t in (pair.got, pair.want)):
        inside = [torch.atanh(pair.got) - torch.atanh(pair.want) for pair in pairs]
        views.append((" inside the tanh", inside))
    for argument in _in_all(wrong):
        given = [attempt.case.arguments[argument] for attempt in wrong]
        for place, differences in views:
            for sign, text in SIGNS:
                if all(_is_sum(d, g, sign) for d, g in zip(differences, given, strict=True)):
                    return f"is right but for `{argument}`, which {text}{place}"
    return ""


def _is_sum(difference: Tensor, value: object, sign: int) -> bool:
    """Whether a difference is this value, in every row."""
    if not isinstance(value, Tensor) or value.dim() == 0 or not value.any():
        return False
    shape = difference.shape
    fits = value.dim() <= len(shape) and value.shape == shape[len(shape) - value.dim() :]
    return fits and alike(difference, sign * value.expand(shape))


def _independent(name: str, wrong: Sequence[Attempt]) -> str:
    """Name the arguments that should matter and do not, which their gradients tell."""
    unused = []
    for argument in wrong[0].case.arguments:
        key = name, argument
        matters = [a for a in wrong if not is_zero(a.expected.gradients.get(key))]
        if matters and all(is_zero(a.outcome.gradients.get(key)) for a in matters):
            unused.append(f"`{argument}`")
    blocked = any(name in a.outcome.cut_off or a.outcome.backward_error for a in wrong)
    if not unused or blocked:
        return ""
    used = "is it used" if len(unused) == 1 else "are they used"
    return f"does not depend on {listed(unused, 'or')}: {used}?"


def _largest(name: str, pair: Pair) -> str:
    difference = (pair.got.double() - pair.want.double()).abs()
    index = int(difference.argmax())
    size = rounded(difference.flatten()[index].item())
    places = []
    for axis, place in zip(pair.axes, np.unravel_index(index, pair.got.shape), strict=False):
        places.append(f"{ONE_OF.get(axis, axis)} {place + 1}")
    at = f", at {listed(places)}" if places else ""
    if pair.want.dtype == torch.bool:
        got, want = (bool(side.flatten()[index]) for side in (pair.got, pair.want))
        return f"Your {called(name)} is {got}{at}, expected {want}."
    return f"The largest difference in your {called(name)} is {size}{at}."


def _tensor_values(
    name: str, exercise: Exercise, attempts: Sequence[Attempt], wrong: Sequence[Attempt]
) -> list[str]:
    pairs = []
    for attempt in wrong:
        got, want = attempt.outcome.results[name], attempt.expected.results[name]
        axes = exercise.axes.get(name, ())
        known = sizes(exercise, attempt.case.arguments)
        known.update(zip(axes, want.shape, strict=True) if axes else {})
        pairs.append(Pair(got, want, axes, known))
    where = right_only(attempts)
    largest = _largest(name, pairs[0])
    calculated = pairs[0].got.is_floating_point()  # whole numbers and truth values are chosen
    found = (
        _relation(pairs)
        or _argument_itself(name, wrong)
        or (_too_much(pairs, wrong) if calculated else "")
        or _along_batch(pairs)
        or _from_another_step(pairs, wrong, exercise.axes)
        or (_reduced(pairs, wrong, exercise.axes) if calculated else "")
        or _independent(name, wrong)
        or _moved_in_time(pairs)
        or _misplaced(pairs)
        or _along_time(pairs)
    )
    if not found:
        first = about(name, "has the right shape, but other values.")
        return [*where, largest] if where else [first, largest]
    return [about(name, found if found.endswith("?") else f"{found}."), *where, largest]


def _fact_is_constant(name: str, attempts: Sequence[Attempt]) -> list[str]:
    """Say so where a number is the same in all cases and should not be."""
    came, expected = (
        [outcome.results.get(name) for outcome in outcomes]
        for outcomes in zip(*((a.outcome, a.expected) for a in attempts), strict=True)
    )
    if any(value != came[0] for value in came) or all(value == expected[0] for value in expected):
        return []
    arguments = listed([f"`{argument}`" for argument in attempts[0].case.arguments])
    return [about(name, f"is {came[0]} in all cases, and should depend on {arguments}.")]


def _fact_values(name: str, attempts: Sequence[Attempt], wrong: Sequence[Attempt]) -> list[str]:
    got, want = wrong[0].outcome.results[name], wrong[0].expected.results[name]
    if isinstance(got, dict) and isinstance(want, dict):
        key = next(k for k in want if not alike(got.get(k), want[k]))
        return [about(key, f"has {name} {got.get(key)}, expected {want[key]}.")]
    if constant := _fact_is_constant(name, attempts):
        return constant
    case = f", with {wrong[0].case.name}" if isinstance(want, int) else ""
    return [about(name, f"is {got}, expected {want}{case}."), *right_only(attempts)]


def values(exercise: Exercise, attempts: Sequence[Attempt]) -> list[str]:
    """Diagnose wrong numbers in the right form."""
    for name in attempts[0].expected.results:
        wrong = [a for a in attempts if a.difference == name]
        if wrong and isinstance(wrong[0].expected.results[name], Tensor):
            return _tensor_values(name, exercise, attempts, wrong)
        if wrong:
            return _fact_values(name, attempts, wrong)
    return []
