"""Right values with wrong gradients: where does the way back end."""

from collections.abc import Sequence

from unrolled.exercises.calling import advice_for
from unrolled.exercises.exercise import Exercise
from unrolled.exercises.outcome import Attempt, alike, is_zero
from unrolled.exercises.wording import called, error_text, right_only, rounded


def _stopped_at(exercise: Exercise, attempt: Attempt) -> int:
    """Find the step at which the gradient of something late in time ends; 0 if at none."""
    for (probe, name), want in attempt.expected.gradients.items():
        axes = exercise.axes.get(name, ())
        late = probe.endswith("at the last step") or "time" not in exercise.axes.get(probe, ())
        got = attempt.outcome.gradients.get((probe, name))
        if not late or "time" not in axes or want is None or got is None:
            continue
        steps, wanted = (g.movedim(axes.index("time"), 0).flatten(1) for g in (got, want))
        missing = [i for i in range(len(steps)) if wanted[i].any() and not steps[i].any()]
        if missing == list(range(len(missing))) and missing and len(missing) < len(steps):
            return len(missing) + 1
    return 0


def _reaches_back(exercise: Exercise, attempt: Attempt) -> str:
    """Say so where the gradient of the last step goes back further than it should."""
    for (probe, name), want in attempt.expected.gradients.items():
        axes = exercise.axes.get(name, ())
        got = attempt.outcome.gradients.get((probe, name))
        if not probe.endswith("at the last step") or "time" not in axes:
            continue
        if is_zero(want) or is_zero(got):
            continue
        steps, wanted = (g.movedim(axes.index("time"), 0).flatten(1).any(1) for g in (got, want))
        came, right = (int(reached.nonzero()[0]) for reached in (steps, wanted))
        if came < right:
            return (
                f"the gradient of the last step goes back to step {came + 1}, and should end at "
                f"step {right + 1}: is a detach missing?"
            )
    return ""


def _unreached(attempt: Attempt) -> str:
    """Name the argument that no gradient reaches though it should."""
    probes: dict[str, list[tuple[str, str]]] = {}
    for key in attempt.expected.gradients:
        probes.setdefault(key[1], []).append(key)
    for name, keys in probes.items():
        came = any(not is_zero(attempt.outcome.gradients.get(key)) for key in keys)
        if not came and any(not is_zero(attempt.expected.gradients[key]) for key in keys):
            return name
    return ""


def _different(attempt: Attempt) -> str:
    """Say of which argument the gradient differs, and by how much."""
    for (probe, name), want in attempt.expected.gradients.items():
        got = attempt.outcome.gradients.get((probe, name))
        if not alike(got, want):
            given = [gradient for gradient in (got, want) if gradient is not None]
            largest = (given[0] - given[1] if len(given) == 2 else given[0]).abs().max().item()
            return f"`{name}` differs by up to {rounded(largest)}"
    return ""


def gradients(exercise: Exercise, attempts: Sequence[Attempt]) -> list[str]:
    """Diagnose right values with wrong gradients."""
    wrong = [a for a in attempts if a.difference == "gradients"]
    if not wrong:
        return []
    first, where = wrong[0], right_only(attempts, forwards=False)
    cut_off = [name for name in first.outcome.cut_off if name not in first.expected.cut_off]
    stopped = [step for attempt in wrong if (step := _stopped_at(exercise, attempt))]
    advice: list[str] = []
    if cut_off:
        text = (
            f"no gradient can flow back through your {called(cut_off[0])}: look for `detach`, "
            "`.data`, `no_grad`, `.item()` or NumPy"
        )
    elif error := first.outcome.backward_error:
        text = f"the backward pass stops with {error_text(error)}"
        advice = advice_for(error)
    elif stopped:
        text = f"the gradient stops at step {stopped[0]}: is there a detach?"
    elif found := next(filter(None, (_reaches_back(exercise, attempt) for attempt in wrong)), ""):
        text = found
    elif name := _unreached(first):
        text = (
            f"no gradient reaches `{name}`: is it detached, or copied with `.data`, "
            "`torch.tensor` or `torch.nn.Parameter`?"
        )
    else:
        text = (
            f"the gradient of {_different(first)}: does a detached copy take part in the "
            "computation?"
        )
    return [f"Right forwards, but {text}{'' if text.endswith('?') else '.'}", *advice, *where]
