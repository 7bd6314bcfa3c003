"""What a submission did with one case, and whether two submissions did the same."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from unrolled.exercises.exercise import Case, Exercise
from unrolled.exercises.guard import Place, TimeUp, place_of_error, source_file


@dataclass
class Outcome:
    """What came of one case.

    `gradients` maps (probe, argument) to a gradient, None where none arrived. A probe is the name
    of a result, weighted with random numbers and summed; for a result with a time axis there is one
    more, "NAME at the last step".
    """

    error: BaseException | None = None
    place: Place | None = None
    returned: Any = None
    results: dict[str, Any] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    cut_off: tuple[str, ...] = ()  # floating results through which no gradient can flow
    backward_error: BaseException | None = None
    gradients: dict[tuple[str, str], Tensor | None] = field(default_factory=dict)


def _fresh(value: Any, leaf: Tensor | None) -> Any:
    if isinstance(value, Tensor):
        # A clone of a leaf, not the leaf: changing a leaf in place would be an error of its own.
        return value.clone() if leaf is None else leaf.clone()
    if isinstance(value, list):
        return [_fresh(item, None) for item in value]
    return value


@dataclass(frozen=True)
class Unusual:
    """Stands for a tensor of a kind that torch itself hardly compares."""

    kind: str


def _kept(value: Any) -> Any:
    """Copy a result, so that nothing that comes later can change it."""
    if not isinstance(value, Tensor):
        return value
    if value.is_nested or value.layout != torch.strided:
        return Unusual(f"a {'nested' if value.is_nested else 'sparse'} tensor")
    if value.device.type != "cpu":
        return Unusual(f"a tensor on `{value.device}`")
    if value.is_floating_point() and value.element_size() == 1:
        return Unusual(f"a tensor of `{value.dtype}`")
    return value.detach().clone()


def named_results(exercise: Exercise, returned: Any) -> dict[str, Any]:
    """Results by name; empty where what was returned does not have the right structure."""
    names = exercise.results
    if exercise.run is not None:
        return dict(returned)
    if len(names) == 1:
        return {names[0]: returned}
    if isinstance(returned, tuple) and len(returned) == len(names):
        return dict(zip(names, returned, strict=True))
    return {}


def _probes(exercise: Exercise, results: Mapping[str, Any]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    probes = {}
    for name, result in results.items():
        if not (isinstance(result, Tensor) and result.requires_grad):
            continue
        weights = torch.randn(result.shape, generator=generator, dtype=torch.float64)
        weighted = result * weights.to(result.dtype)
        probes[name] = weighted.sum()
        axes = exercise.axes.get(name, ())
        if "time" in axes and len(axes) == result.dim() and result.numel():
            probes[f"{name} at the last step"] = weighted.select(axes.index("time"), -1).sum()
    return probes


def run_case(exercise: Exercise, submission: Callable[..., Any], case: Case, seed: int) -> Outcome:
    """Call a submission on fresh copies of a case's arguments, torch's generator set to `seed`.

    Everything that the submission raises becomes part of the outcome, but for `TimeUp`.
    """
    leaves = {
        name: value.clone().requires_grad_()
        for name, value in case.arguments.items()
        if exercise.gradients and isinstance(value, Tensor) and value.is_floating_point()
    }
    arguments = {name: _fresh(value, leaves.get(name)) for name, value in case.arguments.items()}
    passed = dict(arguments)
    # Submission, reference and mistakes see the same random numbers. (Not `torch.manual_seed`,
    # which would also set the generators of other devices.)
    torch.default_generator.manual_seed(seed)
    outcome = Outcome()
    try:
        if exercise.run is None:
            outcome.returned = submission(*arguments.values())
        else:
            outcome.returned = exercise.run(submission, arguments)
    except TimeUp:
        raise
    except BaseException as error:
        outcome.error = error
        outcome.place = place_of_error(error.__traceback__, source_file(submission))
        # The traceback holds the frames, and so every tensor of the call.
        error.__traceback__ = None
        return outcome
    outcome.changed = tuple(
        name for name, value in case.arguments.items() if not alike(passed[name], value, exact=True)
    )
    live = named_results(exercise, outcome.returned)
    outcome.results = {name: _kept(value) for name, value in live.items()}
    if exercise.gradients:
        _add_gradients(exercise, outcome, leaves, live)
    return outcome


def _add_gradients(
    exercise: Exercise,
    outcome: Outcome,
    leaves: Mapping[str, Tensor],
    live: Mapping[str, Any],
) -> None:
    outcome.cut_off = tuple(
        name
        for name, value in live.items()
        if isinstance(value, Tensor) and value.is_floating_point() and not value.requires_grad
    )
    try:
        for probe, scalar in _probes(exercise, live).items():
            found = torch.autograd.grad(
                scalar, list(leaves.values()), retain_graph=True, allow_unused=True
            )
            for name, gradient in zip(leaves, found, strict=True):
                outcome.gradients[probe, name] = gradient
    except TimeUp:
        raise
    except BaseException as error:
        outcome.backward_error = error


def alike(first: Any, second: Any, *, exact: bool = False) -> bool:
    """Whether two results are the same: type, structure, shape, dtype, values.

    Values may differ by rounding (1e-8 for `float64`, 1e-4 for less), unless `exact`.
    """
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        if first.shape != second.shape or first.dtype != second.dtype:
            return False
        if exact or not first.is_floating_point():
            return torch.equal(torch.nan_to_num(first), torch.nan_to_num(second))
        tolerance = 1e-8 if first.dtype == torch.float64 else 1e-4
        return torch.allclose(first, second, rtol=tolerance, atol=tolerance, equal_nan=True)
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=1e-8, abs_tol=1e-8) or first != first != second
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return (
            isinstance(first, list) == isinstance(second, list)
            and len(first) == len(second)
            and all(alike(a, b, exact=exact) for a, b in zip(first, second, strict=True))
        )
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(
            alike(first[key], second[key], exact=exact) for key in first
        )
    try:
        return type(first) is type(second) and bool(first == second)
    except Exception:  # a foreign type that does not like to be compared
        return False


def _same_error(first: BaseException | None, second: BaseException | None) -> bool:
    def words(error: BaseException | None) -> tuple[str, list[str]]:
        # `a + b` and `b + a` fail with the same sizes in another order.
        text = str(error)
        return re.sub(r"\d+", "", text), sorted(re.findall(r"\d+", text))

    return type(first) is type(second) and words(first) == words(second)


def is_zero(gradient: Tensor | None) -> bool:
    """Whether a gradient did not arrive, or is zero everywhere."""
    return gradient is None or not gradient.any()


def _same_gradients(first: Outcome, second: Outcome) -> bool:
    def given(outcome: Outcome) -> dict[tuple[str, str], Tensor | None]:
        return {key: None if is_zero(value) else value for key, value in outcome.gradients.items()}

    return (
        first.cut_off == second.cut_off
        and _same_error(first.backward_error, second.backward_error)
        and alike(given(first), given(second))
    )


def first_difference(outcome: Outcome, expected: Outcome) -> str | None:
    """Name the first thing in which an outcome differs: what to mend first.

    Returns
    -------
    str or None
        "error", "structure", "changed", the name of a result, "gradients"; None where all is right.
    """
    if not _same_error(outcome.error, expected.error):
        return "error"
    if expected.results and not outcome.results:
        return "structure"
    if outcome.changed != expected.changed:
        return "changed"
    for name in expected.results:
        missing = name not in outcome.results
        if missing or not alike(outcome.results[name], expected.results[name]):
            return name
    return None if _same_gradients(outcome, expected) else "gradients"


def same_at(key: str | None, first: Outcome, second: Outcome) -> bool:
    """Whether two outcomes agree in what `first_difference` named."""
    if key == "error":
        return _same_error(first.error, second.error)
    if key == "structure":
        return alike(first.returned, second.returned)
    if key == "changed":
        return first.changed == second.changed
    if key == "gradients":
        return _same_gradients(first, second)
    if key is None:
        return True
    both = key in first.results and key in second.results
    return both and alike(first.results[key], second.results[key])


@dataclass(frozen=True)
class Attempt:
    """One case, what was expected and what came."""

    case: Case
    expected: Outcome
    outcome: Outcome

    @property
    def difference(self) -> str | None:
        """What is wrong first, None where all is right."""
        return first_difference(self.outcome, self.expected)
