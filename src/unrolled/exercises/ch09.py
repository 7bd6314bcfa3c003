"""Exercises of chapter 9, gradients that fall and grow."""
# Answers, right and wrong, look as readers write them.
# ruff: noqa: ANN001, ANN202

import functools
import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrolled.exercises import ch03
from unrolled.exercises.exercise import Case, Draw, Exercise, Mistake
from unrolled.exercises.wording import kind_of

Answer = Callable[..., Any]

# --- 09.1 ----------------------------------------------------------------------------------------


def clip_by_global_norm(gradients: list[Tensor], max_norm: float) -> tuple[list[Tensor], float]:
    """Make the gradient at most `max_norm` long, over all tensors; zeros where it is not finite."""
    norm = float(torch.cat([g.flatten() for g in gradients]).norm())
    if norm in (float("inf"), float("-inf")) or norm != norm:  # NaN differs from itself
        return [torch.zeros_like(g) for g in gradients], norm
    scale = max_norm / norm if norm > max_norm else 1.0
    return [scale * g for g in gradients], norm


_PLACES = ("first", "second", "third")


def _finite(gradients: list[Tensor]) -> bool:
    return all(bool(g.isfinite().all()) for g in gradients)


def _is_number(value: object) -> bool:
    if isinstance(value, Tensor):
        return value.dim() == 0
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _kind(value: object, count: int) -> str:
    if _is_number(value):
        return "a number"
    if not isinstance(value, list):
        return kind_of(value)
    others = [kind_of(g) for g in value if not isinstance(g, Tensor)]
    if others:
        return f"{kind_of(value)} with {others[0]} in it"
    return "a list with a tensor for each gradient" if len(value) == count else kind_of(value)


_CLIP_ANSWER = "a list with a tensor for each gradient and a number"


def _run_clip(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    # Asked before the call: it may write into what it is given.
    finite, count = _finite(arguments["gradients"]), len(arguments["gradients"])
    expected = _norm(arguments["gradients"]).item()
    came = submission(*arguments.values())
    if not isinstance(came, tuple | list) or len(came) != 2:
        return {"answer": kind_of(came)}
    clipped, norm = came
    if isinstance(clipped, tuple):
        clipped = list(clipped)
    results: dict[str, Any] = {"answer": f"{_kind(clipped, count)} and {_kind(norm, count)}"}
    if results["answer"] != _CLIP_ANSWER:
        return results
    state = "finite" if _finite(clipped) else "not finite"
    if not finite and state == "finite":
        state = "finite, but not zeros" if any(bool(g.any()) for g in clipped) else "zeros"
    if finite:
        results |= {f"{place} gradient": g for place, g in zip(_PLACES, clipped, strict=False)}
    if math.isclose(norm, expected, rel_tol=1e-4):
        norm = expected  # so that the text below is the same
    return results | {"clipped gradients": state, "norm before clipping": f"{norm:.4g}"}


def _clip_cases(draw: Draw) -> list[Case]:
    def case(name: str, norms: list[float], max_norm: float) -> Case:
        # `float32`, so that the tiny number that torch's own function adds to the norm is allowed.
        shapes = ((hidden, inputs), (hidden, hidden), (hidden,))
        gradients = [draw.normal(*shape, dtype=torch.float32) for shape in shapes[: len(norms)]]
        gradients = [n * g / g.norm() for n, g in zip(norms, gradients, strict=True)]
        return Case(name, {"gradients": gradients, "max_norm": max_norm})

    def spoilt(name: str, value: float) -> Case:
        made = case(name, together, limit)
        made.arguments["gradients"][1][0, 0] = value
        return made

    inputs, hidden = draw.sizes(2, low=3)
    limit = 0.5 * draw.sizes(1, low=5, high=9)[0]
    together = [0.8 * limit, 0.8 * limit, 0.4 * limit]
    return [
        case("a norm above the limit", [3 * limit, 0.2 * limit, 0.5 * limit], limit),
        case("a norm below the limit", [0.3 * limit, 0.5 * limit, 0.1 * limit], limit),
        case("tensors that are large only together", together, limit),
        case("a gradient that has exploded", [700.0, 200.0, 900.0], 0.25),
        case("a single tensor", [2 * limit], limit),
        case("gradients of zero", [0.0, 0.0, 0.0], limit),
        spoilt("an infinity in the gradient", math.inf),
        spoilt("a NaN in the gradient", math.nan),
    ]


def _norm(gradients: list[Tensor]) -> Tensor:
    return torch.cat([g.flatten() for g in gradients]).norm()


def _zeros_where_not_finite(clip: Answer) -> Answer:
    """Make of a wrong answer one that is right where the gradient is not finite."""

    @functools.wraps(clip)
    def guarded(gradients, max_norm):
        if not _finite(gradients):
            return clip_by_global_norm(gradients, max_norm)
        return clip(gradients, max_norm)

    return guarded


def _and_the_norm(clip: Answer) -> Answer:
    """Make of an answer to exercise 03.3 one to this exercise."""

    @_zeros_where_not_finite
    def answer(gradients, max_norm):
        norm = _norm(gradients).item()
        return clip(gradients, max_norm), norm

    return answer


def _scaled(gradients: list[Tensor], max_norm: float) -> list[Tensor]:
    """Clip, with no thought of what is not finite."""
    return [min(1.0, max_norm / _norm(gradients)) * g for g in gradients]


@_zeros_where_not_finite
def _each_tensor_by_itself(gradients, max_norm):
    return [_scaled([g], max_norm)[0] for g in gradients], _norm(gradients)


@_zeros_where_not_finite
def _clipped_by_value(gradients, max_norm):
    return [g.clamp(-max_norm, max_norm) for g in gradients], _norm(gradients)


@_zeros_where_not_finite
def _always_scaled_but_zeros(gradients, max_norm):
    norm = _norm(gradients)
    return [max_norm / norm * g if norm > 0 else g for g in gradients], norm


@_zeros_where_not_finite
def _always_scaled(gradients, max_norm):
    norm = _norm(gradients)
    return [max_norm / norm * g for g in gradients], norm


@_zeros_where_not_finite
def _divided_by_a_norm_of_zero(gradients, max_norm):
    norm = _norm(gradients).item()
    scale = min(1.0, max_norm / norm)
    return [scale * g for g in gradients], norm


@_zeros_where_not_finite
def _zero_divided_by_zero(gradients, max_norm):
    norm = _norm(gradients)
    return [g / norm * torch.clamp(norm, max=max_norm) for g in gradients], norm


@_zeros_where_not_finite
def _norms_added_up(gradients, max_norm):
    norm = sum(g.norm() for g in gradients).item()
    return [min(1.0, max_norm / norm) * g if norm else g for g in gradients], norm


@_zeros_where_not_finite
def _in_place(gradients, max_norm):
    norm = _norm(gradients)
    for g in gradients:
        g *= min(1.0, max_norm / norm)
    return gradients, norm


@_zeros_where_not_finite
def _norm_after_clipping(gradients, max_norm):
    clipped = _scaled(gradients, max_norm)
    return clipped, _norm(clipped)


def _norm_after_all(gradients, max_norm):
    clipped, _ = clip_by_global_norm(gradients, max_norm)
    return clipped, _norm(clipped)


@_zeros_where_not_finite
def _squared_norm(gradients, max_norm):
    return _scaled(gradients, max_norm), _norm(gradients) ** 2


@_zeros_where_not_finite
def _scale_instead_of_norm(gradients, max_norm):
    return _scaled(gradients, max_norm), min(1.0, max_norm / _norm(gradients))


@_zeros_where_not_finite
def _norm_of_the_last_tensor(gradients, max_norm):
    return _scaled(gradients, max_norm), gradients[-1].norm()


@_zeros_where_not_finite
def _sum_of_the_norms_returned(gradients, max_norm):
    return _scaled(gradients, max_norm), sum(g.norm() for g in gradients)


def _torch_finds_no_grad(gradients, max_norm):
    norm = torch.nn.utils.clip_grad_norm_(gradients, max_norm)
    return gradients, norm


def _one_norm_for_each_tensor(gradients, max_norm):
    return _scaled(gradients, max_norm), [g.norm() for g in gradients]


def _norm_not_returned(gradients, max_norm):
    return _scaled(gradients, max_norm)


def _norm_first(gradients, max_norm):
    return _norm(gradients), _scaled(gradients, max_norm)


def _not_finite_as_any_other(gradients, max_norm):
    return _scaled(gradients, max_norm), _norm(gradients)


def _infinity_as_any_other(gradients, max_norm):
    norm = _norm(gradients)
    if norm.isnan():
        return [torch.zeros_like(g) for g in gradients], norm
    return _scaled(gradients, max_norm), norm


def _nan_as_any_other(gradients, max_norm):
    norm = _norm(gradients)
    if norm.isinf():
        return [torch.zeros_like(g) for g in gradients], norm
    return _scaled(gradients, max_norm), norm


def _only_the_spoilt_numbers_to_zero(gradients, max_norm):
    finite = [torch.nan_to_num(g, 0.0, 0.0, 0.0) for g in gradients]
    return clip_by_global_norm(finite, max_norm)[0], _norm(gradients)


def _cleaned_before_the_norm(gradients, max_norm):
    finite = [torch.nan_to_num(g, 0.0, 0.0, 0.0) for g in gradients]
    return clip_by_global_norm(finite, max_norm)


def _a_norm_of_zero_where_not_finite(gradients, max_norm):
    clipped, norm = clip_by_global_norm(gradients, max_norm)
    return clipped, norm if math.isfinite(norm) else 0.0


_ALWAYS_SCALED = (
    "You scale small gradients, too, and make them longer: below the limit they stay as they are, "
    "so the scale is never above 1."
)
_ZERO_NORM = (
    "Right but for gradients of zero, where you divide by a norm of 0: divide only where the norm "
    "is above the limit."
)
_AS_ANY_OTHER = (
    "Right as long as the gradient is finite. With an infinity or a NaN in it no factor makes it "
    "shorter, since 0 times infinity is NaN: return tensors of zeros there, and the norm as it is."
)
_AFTER_CLIPPING = (
    "You return the norm after clipping, which is never above the limit and says nothing: keep the "
    "norm that you computed before."
)
_ONLY_THE_SPOILT = (
    "You take out the single numbers that are not finite and keep the rest: that is another "
    "direction, which nobody has computed. All tensors become zeros, and the norm stays as it is."
)


def _without_guards(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """Take the special cases out of what is wrong in the usual ones."""
    codes = [(getattr(m.code, "__wrapped__", None), m.message) for m in mistakes]
    return [Mistake(code, message) for code, message in codes if code is not None]


_CLIP_MISTAKES = (
    Mistake(
        _each_tensor_by_itself,
        "You clip each tensor by a norm of its own, so the direction of the whole gradient "
        "changes: one norm over all tensors, and one scale for all.",
    ),
    Mistake(
        _clipped_by_value,
        "You cut off single numbers, as `clamp` does, and the gradient turns: multiply all "
        "numbers with the same scale, so that only the length changes.",
    ),
    Mistake(_always_scaled_but_zeros, _ALWAYS_SCALED),
    Mistake(_divided_by_a_norm_of_zero, _ZERO_NORM),
    Mistake(
        _norms_added_up,
        "You add up the norms of the tensors: the norm of all is the root of the sum of their "
        "squares, as with the sides of a right triangle.",
    ),
    Mistake(
        _in_place,
        "You change the tensors that you were given: return new ones, as "
        "`[scale * g for g in gradients]` makes them.",
    ),
    Mistake(_norm_after_clipping, _AFTER_CLIPPING),
    Mistake(
        _squared_norm,
        "Your gradients are right, but the norm that you return is squared: take the root.",
    ),
    Mistake(
        _scale_instead_of_norm,
        "Your gradients are right, but you return the scale: the norm before clipping is "
        "asked for.",
    ),
    Mistake(
        _norm_of_the_last_tensor,
        "Your gradients are right, but the norm that you return is that of the last tensor "
        "alone: one over all tensors is asked for.",
    ),
    Mistake(
        _sum_of_the_norms_returned,
        "Your gradients are right, but the norm that you return is the sum of the tensors' "
        "norms: the norm of all is the root of the sum of their squares.",
    ),
    Mistake(
        _torch_finds_no_grad,
        "`clip_grad_norm_` clips the `.grad` of parameters, in place. The tensors here are the "
        "gradients themselves and have no `.grad`, so it finds a norm of 0 and does nothing.",
    ),
    Mistake(
        _one_norm_for_each_tensor,
        "You return one norm for each tensor: all tensors together have one norm.",
    ),
    Mistake(
        _norm_not_returned,
        "You return the clipped gradients alone: the norm before clipping comes second, as in "
        "`return clipped, norm`.",
    ),
    Mistake(
        _norm_first,
        "Your two results are in the other order: the clipped gradients first, then the norm.",
    ),
    Mistake(_not_finite_as_any_other, _AS_ANY_OTHER),
    Mistake(
        _infinity_as_any_other,
        "Right with a NaN, but not with an infinity: its norm is infinite, and 0 times "
        "infinity is NaN. Return zeros there, too; `math.isfinite` knows both.",
    ),
    Mistake(
        _nan_as_any_other,
        "Right with an infinity, but not with a NaN, which is neither above nor below any "
        "limit. Return zeros there, too; `math.isfinite` knows both.",
    ),
    Mistake(_only_the_spoilt_numbers_to_zero, _ONLY_THE_SPOILT),
    Mistake(
        _a_norm_of_zero_where_not_finite,
        "Your gradients are right, but where the norm is not finite, return it as it is: it "
        "is how the caller learns that this step went wrong.",
    ),
)

_CLIP_INHERITED = (
    Mistake(_always_scaled, _ALWAYS_SCALED),
    Mistake(_zero_divided_by_zero, _ZERO_NORM),
    # What is wrong with the gradients is wrong here as it was in chapter 3; on what is returned,
    # the two exercises differ.
    *(
        Mistake(_and_the_norm(mistake.code), mistake.message)
        for mistake in ch03.CLIP.mistakes
        if "return" not in mistake.message
        and mistake.name not in {listed.name for listed in _CLIP_MISTAKES}
    ),
)

CLIP = Exercise(
    id="09.1",
    title="Clipping, and a norm to look at",
    solution=clip_by_global_norm,
    cases=_clip_cases,
    run=_run_clip,
    results=(
        "answer",
        *(f"{place} gradient" for place in _PLACES),
        "clipped gradients",
        "norm before clipping",
    ),
    hints=(
        "All numbers of all tensors make one long vector, and `norm` is its length. Compute it "
        "first: everything else depends on it, and it is returned as it is.",
        "Three cases: the norm is not finite (`math.isfinite` says so), it is above the limit, or "
        "neither.",
        "Not finite: `[torch.zeros_like(g) for g in gradients]`. Above the limit: a scale of "
        "`max_norm / norm`. Otherwise: a scale of 1. Then `[scale * g for g in gradients]`, which "
        "makes new tensors.",
    ),
    mistakes=_CLIP_MISTAKES,
    inherited=(
        *_CLIP_INHERITED,
        *_without_guards((*_CLIP_MISTAKES, *_CLIP_INHERITED)),
        Mistake(_norm_after_all, _AFTER_CLIPPING),
        Mistake(_cleaned_before_the_norm, _ONLY_THE_SPOILT),
    ),
)

# --- 09.2 ----------------------------------------------------------------------------------------


def horizon(radius: float, share: float) -> float:
    """Count the steps after which at most `share` of a gradient is left: radius**steps <= share."""
    if radius >= 1:
        return float("inf")  # it never gets so small
    steps = 1
    while radius**steps > share:
        steps += 1
    return steps


def _run_horizon(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    came = submission(*arguments.values())
    if isinstance(came, Tensor) and came.dim() == 0:
        came = came.item()
    kind = _number_text(came) if _is_number(came) else kind_of(came)
    if arguments["radius"] >= 1:
        return {"answer": f"{kind} from a radius of 1 on"}
    if not _is_number(came) or not math.isfinite(came) or came != int(came):
        return {"answer": kind}
    return {"answer": "a whole number", "horizon": int(came)}


def _number_text(value: float) -> str:
    if math.isinf(value):
        return "`math.inf`" if value > 0 else "`-math.inf`"
    return f"the number {value:.4g}"


def _horizon_cases(draw: Draw) -> list[Case]:
    def case(radius: float, steps: float, digits: int = 3) -> Case:
        # After the last whole step before `steps` more is left, after the next one less.
        share = float(f"{radius**steps:.{digits}g}")
        name = f"a radius of {radius:g} and a share of {share:g}"
        return Case(name, {"radius": radius, "share": share})

    def between(low: int, high: int) -> int:
        return int(draw.integers(low, high, 1))

    below, above = between(85, 89) / 100, between(90, 95) / 100
    share, large = between(5, 50) / 100, between(105, 150) / 100
    return [
        case(below, between(12, 30) + between(20, 35) / 100),
        case(above, between(12, 30) + between(65, 80) / 100),
        case(between(9970, 9990) / 10_000, between(1500, 3000) + 0.3, digits=6),
        case(0.5, between(3, 6), digits=6),  # exactly reached
        Case("a radius of 0", {"radius": 0.0, "share": share}),
        Case("a radius of 1", {"radius": 1.0, "share": share}),
        Case("a radius above 1", {"radius": large, "share": share}),
    ]


def _exact(radius: float, share: float) -> float:
    """Solve radius**steps = share for the steps."""
    return math.log(share) / math.log(radius)


def _never_from_one_on(steps: Answer) -> Answer:
    def guarded(radius, share):
        return math.inf if radius >= 1 else steps(radius, share)

    return guarded


def _with_special_radii(steps: Answer) -> Answer:
    """Make of a wrong answer one that is right for radii of 0 and from 1 on."""

    @functools.wraps(steps)
    def guarded(radius, share):
        return horizon(radius, share) if radius == 0 or radius >= 1 else steps(radius, share)

    return guarded


@_with_special_radii
def _rounded_down(radius, share):
    return math.floor(_exact(radius, share))


@_with_special_radii
def _rounded_to_the_nearest(radius, share):
    return round(_exact(radius, share))


@_with_special_radii
def _not_rounded(radius, share):
    return _exact(radius, share)


@_with_special_radii
def _less_than_the_share(radius, share):
    return math.floor(_exact(radius, share)) + 1


@_with_special_radii
def _last_step_with_more(radius, share):
    return math.ceil(_exact(radius, share)) - 1


@_with_special_radii
def _one_step_too_many(radius, share):
    return math.ceil(_exact(radius, share)) + 1


@_with_special_radii
def _fraction_upside_down(radius, share):
    return math.ceil(math.log(radius) / math.log(share))


@_with_special_radii
def _two_kinds_of_logarithm(radius, share):
    return math.ceil(math.log10(share) / math.log(radius))


@_with_special_radii
def _other_two_kinds_of_logarithm(radius, share):
    return math.ceil(math.log(share) / math.log10(radius))


@_with_special_radii
def _two_and_natural_logarithm(radius, share):
    return math.ceil(math.log2(share) / math.log(radius))


@_with_special_radii
def _natural_and_two_logarithm(radius, share):
    return math.ceil(math.log(share) / math.log2(radius))


@_with_special_radii
def _near_one_only(radius, share):
    return math.ceil(math.log(share) / (radius - 1))


@_with_special_radii
def _the_same_loss_each_step(radius, share):
    return math.ceil((1 - share) / (1 - radius))


@_with_special_radii
def _down_to_one_in_e(radius, share):
    return math.ceil(1 / (1 - radius))


@_with_special_radii
def _down_to_one_in_e_exactly(radius, share):
    return math.ceil(-1 / math.log(radius))


@_with_special_radii
def _down_to_a_half(radius, share):
    return math.ceil(math.log(0.5) / math.log(radius))


@_with_special_radii
def _share_that_is_lost(radius, share):
    return math.ceil(math.log(1 - share) / math.log(radius))


@_with_special_radii
def _squared(radius, share):
    return math.ceil(_exact(radius, share) / 2)


@_with_special_radii
def _sign_lost(radius, share):
    return math.ceil(-_exact(radius, share))


def _no_special_radii(radius, share):
    return math.ceil(_exact(radius, share))


def _minus_something_above_one(radius, share):
    if radius in (0, 1):
        return horizon(radius, share)
    return math.ceil(_exact(radius, share))


def _logarithm_of_zero(radius, share):
    return math.inf if radius >= 1 else math.ceil(_exact(radius, share))


def _cut_off_without_special_radii(radius, share):
    return int(_exact(radius, share))


def _numpy_without_special_radii(radius, share):
    with np.errstate(all="ignore"):
        return np.ceil(np.log(share) / np.log(radius))


_TWO_KINDS = (
    "Your two logarithms are of different kinds: their quotient is right with any one kind, "
    "`math.log` above and below, or `math.log10`."
)
_NO_SHARE = (
    "Your answer does not depend on `share`: how many steps it takes to be down to a tenth is one "
    "question, to a hundredth another."
)
_NO_SPECIAL_RADII = (
    "Right for radii between 0 and 1. The logarithm of 0 does not exist, and from a radius of 1 on "
    "no number of steps is enough: answer these two without a logarithm, before the others."
)

_ROUNDED_DOWN = (
    "You round down: after so many steps a little more than `share` is still left. Round up, as "
    "`math.ceil` does."
)

_HORIZON_MISTAKES = (
    Mistake(_rounded_down, _ROUNDED_DOWN),
    Mistake(
        _rounded_to_the_nearest,
        "You round to the nearest whole number, so that now and then a little too much is still "
        "left: round up, as `math.ceil` does.",
    ),
    Mistake(
        _not_rounded,
        "Your formula is right, but a network takes whole steps: round up, as `math.ceil` does.",
    ),
    Mistake(
        _less_than_the_share,
        "Right, but where `share` is reached exactly you go one step on: at most `share` is "
        "enough, it need not be less.",
    ),
    Mistake(
        _last_step_with_more,
        "You return the last step after which more than `share` is left: the first one after "
        "which it is not comes next.",
    ),
    Mistake(
        _one_step_too_many,
        "You count one step too many: before the first step all of it is left, and after n steps "
        "`radius**n`.",
    ),
    Mistake(
        _fraction_upside_down,
        "Your fraction is upside down: from `radius**n = share` follows `n * log(radius) = "
        "log(share)`.",
    ),
    Mistake(_two_kinds_of_logarithm, _TWO_KINDS),
    Mistake(
        _near_one_only,
        "You divide by `radius - 1` where the logarithm of the radius belongs: near 1 the two are "
        "nearly equal, but only there.",
    ),
    Mistake(
        _the_same_loss_each_step,
        "You let the same amount be lost in each step: it is the same part of what is left, so "
        "that after n steps `radius**n` is left.",
    ),
    Mistake(_down_to_one_in_e, _NO_SHARE),
    Mistake(
        _share_that_is_lost,
        "You take `share` as the part that is lost: it is the part that is left.",
    ),
    Mistake(
        _squared,
        "Your answer is half of what it should be: the square of the gradient falls twice as fast, "
        "but its size is asked for.",
    ),
    Mistake(
        _sign_lost,
        "Your answer is negative: both logarithms are, so their quotient is not, and no minus is "
        "needed.",
    ),
    Mistake(_no_special_radii, _NO_SPECIAL_RADII),
    Mistake(
        _minus_something_above_one,
        "Right up to a radius of 1. Above it your answer is negative, as if time ran backwards: no "
        "number of steps is enough, so answer `math.inf`.",
    ),
    Mistake(
        _logarithm_of_zero,
        "Right but for a radius of 0, which has no logarithm: nothing is left after the first "
        "step, so one step is enough.",
    ),
)
_HORIZON_INHERITED = (
    Mistake(_other_two_kinds_of_logarithm, _TWO_KINDS),
    Mistake(_two_and_natural_logarithm, _TWO_KINDS),
    Mistake(_natural_and_two_logarithm, _TWO_KINDS),
    Mistake(_down_to_one_in_e_exactly, _NO_SHARE),
    Mistake(_down_to_a_half, _NO_SHARE),
)

HORIZON = Exercise(
    id="09.2",
    title="How far does it reach?",
    solution=horizon,
    cases=_horizon_cases,
    run=_run_horizon,
    results=("answer", "horizon"),
    hints=(
        "After one step `radius` of the gradient is left, after two steps `radius**2`. When is "
        "`radius**n` at most `share`? A loop that counts is enough.",
        "Without a loop: take the logarithm of both sides. That of a number below 1 is negative, "
        "so the sign of the inequality turns round when you divide by it.",
        "`math.ceil(math.log(share) / math.log(radius))` for radii between 0 and 1. Before that, "
        "answer a radius of 0 (one step) and from 1 on (`math.inf`).",
    ),
    mistakes=_HORIZON_MISTAKES,
    inherited=(
        *_HORIZON_INHERITED,
        *_without_guards((*_HORIZON_MISTAKES, *_HORIZON_INHERITED)),
        *(
            Mistake(_never_from_one_on(mistake.code), mistake.message)
            for mistake in _without_guards((*_HORIZON_MISTAKES, *_HORIZON_INHERITED))
        ),
        Mistake(_cut_off_without_special_radii, _ROUNDED_DOWN),
        Mistake(_numpy_without_special_radii, _NO_SPECIAL_RADII),
    ),
)

# --- 09.3 ----------------------------------------------------------------------------------------


def jacobian_between(h: Tensor, weight_hh: Tensor, start: int, end: int) -> Tensor:
    """How the state after step `end` of a tanh network depends on that after step `start`."""
    batch, _, hidden = h.shape
    product = torch.eye(hidden, dtype=h.dtype).expand(batch, hidden, hidden)
    for t in range(start + 1, end + 1):
        slope = 1 - h[:, t].square()  # (batch, hidden)
        product = slope[:, :, None] * (weight_hh @ product)  # (batch, hidden, hidden)
    return product


def _jacobian_cases(draw: Draw) -> list[Case]:
    def case(name: str, start: int, end: int, batch: int) -> Case:
        h = draw.normal(batch, time + 1, hidden).tanh()
        weight_hh = draw.normal(hidden, hidden, scale=hidden**-0.5)
        return Case(name, {"h": h, "weight_hh": weight_hh, "start": start, "end": end})

    time = draw.sizes(1, low=6, high=7)[0]
    batch, hidden = draw.sizes(2, low=2, high=4)
    start = draw.sizes(1, low=1, high=2)[0]
    return [
        case("several steps between", start, start + 3, batch),
        case("one step between", start + 1, start + 2, batch),
        case("start and end at one state", start, start, batch),
        case("all steps", 0, time, batch),
        case("a batch of one", 0, 3, 1),
    ]


def _slope(h: Tensor, t: int) -> Tensor:
    return torch.diag_embed(1 - h[:, t].square())  # (batch, hidden, hidden)


def _product(h: Tensor, steps: range, one: Callable[[int], Tensor]) -> Tensor:
    """Multiply the Jacobians of single steps, the last one leftmost."""
    product = torch.eye(h.shape[2], dtype=h.dtype).repeat(len(h), 1, 1)
    for t in steps:
        product = one(t) @ product
    return product


def _by_another_slope(slope: Callable[[Tensor], Tensor]) -> Answer:
    def jacobian(h, weight_hh, start, end):
        def one(t):
            return torch.diag_embed(slope(h[:, t])) @ weight_hh

        return _product(h, range(start + 1, end + 1), one)

    return jacobian


def _steps_in_the_other_order(h, weight_hh, start, end):
    product = torch.eye(h.shape[2], dtype=h.dtype).repeat(len(h), 1, 1)
    for t in range(start + 1, end + 1):
        product = product @ _slope(h, t) @ weight_hh
    return product


def _slope_on_the_right(h, weight_hh, start, end):
    return _product(h, range(start + 1, end + 1), lambda t: weight_hh @ _slope(h, t))


def _slope_along_the_columns(h, weight_hh, start, end):
    product = torch.eye(h.shape[2], dtype=h.dtype).repeat(len(h), 1, 1)
    for t in range(start + 1, end + 1):
        product = weight_hh @ product @ _slope(h, t)
    return product


def _weights_transposed(h, weight_hh, start, end):
    return jacobian_between(h, weight_hh.T, start, end)


def _transposed(h, weight_hh, start, end):
    return jacobian_between(h, weight_hh, start, end).transpose(1, 2)


def _transposed_in_the_other_order(h, weight_hh, start, end):
    return _product(h, range(start + 1, end + 1), lambda t: weight_hh.T @ _slope(h, t))


def _slope_of_the_state_before(h, weight_hh, start, end):
    return _product(h, range(start, end), lambda t: _slope(h, t) @ weight_hh)


def _slope_of_the_state_after(h, weight_hh, start, end):
    return _product(h, range(start + 1, end + 1), lambda t: _slope(h, t + 1) @ weight_hh)


def _one_step_too_many(h, weight_hh, start, end):
    return _product(h, range(start, end + 1), lambda t: _slope(h, t) @ weight_hh)


def _last_step_left_out(h, weight_hh, start, end):
    return jacobian_between(h, weight_hh, start, max(start, end - 1))


def _first_step_left_out(h, weight_hh, start, end):
    return jacobian_between(h, weight_hh, min(start + 1, end), end)


def _without_the_slopes(h, weight_hh, start, end):
    return torch.linalg.matrix_power(weight_hh, end - start).repeat(len(h), 1, 1)


def _weights_to_a_power_after_the_slopes(h, weight_hh, start, end):
    slopes = _product(h, range(start + 1, end + 1), lambda t: _slope(h, t))
    return slopes @ torch.linalg.matrix_power(weight_hh, end - start)


def _slope_without_the_square(h, weight_hh, start, end):
    return _by_another_slope(lambda state: 1 - state)(h, weight_hh, start, end)


def _slope_of_tanh_once_more(h, weight_hh, start, end):
    return _by_another_slope(lambda state: 1 - state.tanh() ** 2)(h, weight_hh, start, end)


def _slope_of_the_sigmoid(h, weight_hh, start, end):
    return _by_another_slope(lambda state: state * (1 - state))(h, weight_hh, start, end)


def _number_by_number(h, weight_hh, start, end):
    product = torch.ones_like(weight_hh).repeat(len(h), 1, 1)
    for t in range(start + 1, end + 1):
        product = product * (_slope(h, t) @ weight_hh)
    return product


def _number_by_number_from_the_identity(h, weight_hh, start, end):
    product = torch.eye(h.shape[2], dtype=h.dtype).repeat(len(h), 1, 1)
    for t in range(start + 1, end + 1):
        product = product * (_slope(h, t) @ weight_hh)
    return product


def _added_up(h, weight_hh, start, end):
    if start == end:
        return jacobian_between(h, weight_hh, start, end)
    return sum(_slope(h, t) @ weight_hh for t in range(start + 1, end + 1))


def _mean_over_the_batch(h, weight_hh, start, end):
    return jacobian_between(h, weight_hh, start, end).mean(0)


def _at_least_one_step(h, weight_hh, start, end):
    return jacobian_between(h, weight_hh, start, max(end, start + 1))


def _zeros_for_no_step(h, weight_hh, start, end):
    product = jacobian_between(h, weight_hh, start, end)
    return product if end > start else torch.zeros_like(product)


def _nothing_for_no_step(h, weight_hh, start, end):
    return jacobian_between(h, weight_hh, start, end) if end > start else None


def _one_identity_for_all(h, weight_hh, start, end):
    product = jacobian_between(h, weight_hh, start, end)
    return product if end > start else product[0]


def _ones_for_no_step(h, weight_hh, start, end):
    product = jacobian_between(h, weight_hh, start, end)
    return product if end > start else torch.ones_like(product)


_NO_STEP = (
    "Right with one step and more. Between a state and itself lies no step, and a state depends "
    "on itself one to one: the identity, for each sequence of the batch."
)
_WRONG_SIDE = (
    "Your slopes stand on the wrong side: tanh comes after the weights, so its slope scales the "
    "rows of `weight_hh`, as `slope[:, :, None] * weight_hh` does."
)
_NUMBER_BY_NUMBER = (
    "You multiply the Jacobians number by number: the chain rule takes the matrix product, `@`."
)

JACOBIAN = Exercise(
    id="09.3",
    title="From one state to a later one",
    solution=jacobian_between,
    cases=_jacobian_cases,
    results=("Jacobian",),
    axes={
        "h": ("batch", "time + 1", "hidden"),
        "weight_hh": ("hidden", "hidden"),
        "Jacobian": ("batch", "hidden", "hidden"),
    },
    hints=(
        "One step first: `h_t = tanh(z_t)`, and `z_t` depends on the state before through "
        "`weight_hh`. The slope of tanh at `z_t` can be had from `h_t` alone.",
        "The Jacobian of one step has the slope `1 - h_t**2` of unit i in row i: "
        "`(1 - h[:, t].square())[:, :, None] * weight_hh`, (batch, hidden, hidden). Which `t` are "
        "there between `start` and `end`?",
        "The chain rule puts later steps further left. Begin with the identity, `torch.eye`, and "
        "for `t` from `start + 1` to `end` multiply the Jacobian of step `t` from the left.",
    ),
    mistakes=(
        Mistake(
            _steps_in_the_other_order,
            "Your Jacobians stand in the wrong order: a later step stands further left, so "
            "multiply from the left, `step @ product`.",
        ),
        Mistake(_slope_on_the_right, _WRONG_SIDE),
        Mistake(
            _weights_transposed,
            "Your weights are transposed: a state is a column in the equation, so `weight_hh` "
            "itself is the derivative. The transpose in `h @ weight_hh.T` comes from rows.",
        ),
        Mistake(
            _transposed,
            "Your Jacobian is transposed, as a gradient is multiplied with it on its way back: "
            "here rows belong to the state at `end`, and columns to the one at `start`.",
        ),
        Mistake(
            _transposed_in_the_other_order,
            "You multiply transposed Jacobians, as a gradient is on its way back, but from the "
            "wrong side. The Jacobian itself has the slope on the left, `diag(slope) @ weight_hh`.",
        ),
        Mistake(
            _slope_of_the_state_before,
            "You take the slope from the state before each step: the step to `h_t` has the slope "
            "`1 - h_t**2`, so the steps are `start + 1` to `end`.",
        ),
        Mistake(
            _slope_of_the_state_after,
            "You take the slope one state too late: `h` begins with the first state, so `h[:, t]` "
            "is the state after step `t`.",
        ),
        Mistake(
            _one_step_too_many,
            "You take one step too many: the step that leads to `start` itself does not lie "
            "between the two, so begin with `start + 1`.",
        ),
        Mistake(
            _last_step_left_out,
            "The step that leads to `end` is missing: `range` stops one before its second number.",
        ),
        Mistake(
            _first_step_left_out,
            "The first step is missing: the one from `start` to `start + 1` belongs to it.",
        ),
        Mistake(
            _without_the_slopes,
            "You leave out the slopes of tanh: a power of `weight_hh` would be right for a linear "
            "network.",
        ),
        Mistake(
            _weights_to_a_power_after_the_slopes,
            "You collect all slopes on the left and all weights on the right, but matrices do not "
            "change places: slope and weights take turns, step by step.",
        ),
        Mistake(
            _slope_without_the_square,
            "You take `1 - h` for the slope of tanh: it is `1 - h**2`.",
        ),
        Mistake(
            _slope_of_tanh_once_more,
            "You take tanh of the state once more: `h` has been through it, so the slope is "
            "`1 - h**2`.",
        ),
        Mistake(
            _slope_of_the_sigmoid,
            "You take the slope of the sigmoid, `h * (1 - h)`: that of tanh is `1 - h**2`.",
        ),
        Mistake(
            _added_up,
            "You add up the Jacobians of the steps: what goes through one step after another is "
            "multiplied. A sum belongs to weights that are used at many steps.",
        ),
        Mistake(_number_by_number, _NUMBER_BY_NUMBER),
        Mistake(
            _mean_over_the_batch,
            "You take the mean over the batch: each sequence has other states, and so a Jacobian "
            "of its own.",
        ),
        Mistake(_at_least_one_step, _NO_STEP),
    ),
    inherited=(
        Mistake(_slope_along_the_columns, _WRONG_SIDE),
        Mistake(_number_by_number_from_the_identity, _NUMBER_BY_NUMBER),
        Mistake(_zeros_for_no_step, _NO_STEP),
        Mistake(_ones_for_no_step, _NO_STEP),
        Mistake(_nothing_for_no_step, _NO_STEP),
        Mistake(_one_identity_for_all, _NO_STEP),
    ),
)

# --- 09.4 ----------------------------------------------------------------------------------------


def with_radius(weight: Tensor, radius: float) -> Tensor:
    """Scale a matrix so that its largest eigenvalue has the absolute value `radius`."""
    return weight * (radius / torch.linalg.eigvals(weight).abs().max())


def _radius(matrix: Tensor) -> float:
    return torch.linalg.eigvals(matrix.detach()).abs().max().item()


_MULTIPLE = "a multiple of `weight`"


def _nearly(first: Tensor, second: Tensor) -> bool:
    """Whether two matrices are the same up to what is lost in `float32`."""
    return torch.allclose(first, second, rtol=1e-5, atol=1e-6)


def _relation(matrix: Tensor, weight: Tensor) -> str:
    """Say how a matrix comes from `weight`."""
    for dim, name in (
        ((0, 1), _MULTIPLE),
        (1, "`weight` with each row scaled by itself"),
        (0, "`weight` with each column scaled by itself"),
    ):
        scale = (matrix * weight).sum(dim, keepdim=True) / weight.square().sum(dim, keepdim=True)
        if _nearly(matrix, scale * weight):
            return name
    square = matrix @ matrix.T
    if _nearly(square, square[0, 0] * torch.eye(len(matrix), dtype=matrix.dtype)):
        return "an orthogonal matrix, scaled"
    return f"another matrix than {_MULTIPLE}"


def _run_radius(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    weight = arguments["weight"].clone()  # the submission may write into it
    came = submission(*arguments.values())
    if not isinstance(came, Tensor) or came.shape != weight.shape or came.dtype != weight.dtype:
        return {"matrix": came}
    form = {"matrix": torch.zeros_like(came)}  # the values follow, part by part
    if not came.isfinite().all():
        return {**form, "result": "not finite"}
    result = {**form, "result": _relation(came, weight)}
    if result["result"] != _MULTIPLE:
        return result
    return {**result, "spectral radius": f"{_radius(came):.4g}", "scaled matrix": came}


def _radius_cases(draw: Draw) -> list[Case]:
    def case(name: str, eigenvalues: list[complex], radius: float, scale: float = 1.0) -> Case:
        # A complex number stands for a pair, of which the other is its mirror image.
        blocks = [
            torch.tensor([[e.real, e.imag], [-e.imag, e.real]] if e.imag else [[e.real]])
            for e in map(complex, eigenvalues)
        ]
        block = torch.block_diag(*blocks).double()
        turn = torch.linalg.qr(draw.normal(*block.shape))[0]
        # Numbers above the diagonal change the singular values, not the eigenvalues.
        upper = draw.normal(*block.shape).triu(2)
        weight = scale * turn @ (block + upper) @ turn.T
        return Case(name, {"weight": weight, "radius": radius})

    def between(low: int, high: int) -> float:
        return int(draw.integers(low, high, 1)) / 100

    size, below, above = between(120, 250), between(60, 95), between(105, 140)
    pair = complex(0.45 * size, (1 - 0.45**2) ** 0.5 * size)
    real = [0.8 * size, -0.4 * size]
    symmetric = draw.normal(4, 4)
    angle = torch.tensor(between(40, 120))
    cosine, sine = float(angle.cos()), float(angle.sin())
    turned = torch.tensor([[cosine, -sine], [sine, cosine]]).double()
    return [
        case("complex eigenvalues", [real[0], pair, real[1]], below),
        case("a negative eigenvalue that is the largest", [-size, 0.7 * size, 0.2 * size], above),
        case("a positive eigenvalue that is the largest", [0.5 * size, -0.3 * size, size], below),
        Case("a symmetric matrix", {"weight": symmetric + symmetric.T, "radius": above}),
        Case("a rotation", {"weight": turned, "radius": above}),
        Case("a single unit", {"weight": torch.tensor([[-size]]).double(), "radius": below}),
        case("a small matrix", [real[0], pair, real[1]], 1.0, scale=0.02),
    ]


def _by_largest_singular_value(weight, radius):
    return weight * (radius / torch.linalg.matrix_norm(weight, 2))


def _by_root_of_the_squares(weight, radius):
    return weight * (radius / weight.norm())


def _by_largest_number(weight, radius):
    return weight * (radius / weight.abs().max())


def _by_largest_row_sum(weight, radius):
    return weight * (radius / weight.abs().sum(dim=1).max())


def _by_largest_column_sum(weight, radius):
    return weight * (radius / weight.abs().sum(dim=0).max())


def _by_largest_real_part(weight, radius):
    return weight * (radius / torch.linalg.eigvals(weight).real.max())


def _by_largest_absolute_real_part(weight, radius):
    return weight * (radius / torch.linalg.eigvals(weight).real.abs().max())


def _by_real_part_of_the_largest(weight, radius):
    eigenvalues = torch.linalg.eigvals(weight)
    return weight * (radius / eigenvalues[eigenvalues.abs().argmax()].real)


def _by_absolute_real_part_of_the_largest(weight, radius):
    eigenvalues = torch.linalg.eigvals(weight)
    return weight * (radius / eigenvalues[eigenvalues.abs().argmax()].real.abs())


def _by_the_eigenvalue_itself(weight, radius):
    eigenvalues = torch.linalg.eigvals(weight)
    return weight * (radius / eigenvalues[eigenvalues.abs().argmax()])


def _largest_of_complex_numbers(weight, radius):
    return weight * (radius / torch.linalg.eigvals(weight).max())


def _as_if_symmetric(weight, radius):
    return weight * (radius / torch.linalg.eigvalsh(weight).abs().max())


def _by_mean_eigenvalue(weight, radius):
    return weight * (radius / torch.linalg.eigvals(weight).abs().mean())


def _by_squared_radius(weight, radius):
    return weight * (radius / torch.linalg.eigvals(weight).abs().max() ** 2)


def _always_to_one(weight, radius):
    return weight / torch.linalg.eigvals(weight).abs().max()


def _only_multiplied(weight, radius):
    return weight * radius


def _divided_by_both(weight, radius):
    return weight / (radius * torch.linalg.eigvals(weight).abs().max())


def _quotient_upside_down(weight, radius):
    return weight * torch.linalg.eigvals(weight).abs().max() / radius


def _orthogonal(weight, radius):
    return radius * torch.linalg.qr(weight)[0]


def _orthogonal_with_positive_diagonal(weight, radius):
    q, r = torch.linalg.qr(weight)
    return radius * q * r.diagonal().sign()


def _nearest_orthogonal(weight, radius):
    u, _, vh = torch.linalg.svd(weight)
    return radius * u @ vh


def _each_row_by_itself(weight, radius):
    return weight * (radius / weight.norm(dim=1, keepdim=True))


def _each_column_by_itself(weight, radius):
    return weight * (radius / weight.norm(dim=0))


def _in_place_too(weight, radius):
    weight *= radius / torch.linalg.eigvals(weight).abs().max()
    return weight


def _only_where_too_large(weight, radius):
    return weight * min(1.0, radius / torch.linalg.eigvals(weight).abs().max())


_REAL_PARTS = (
    "You look at the real parts alone: an eigenvalue that turns vectors is complex, and what it "
    "does to their length is its absolute value, `abs()` of the complex number."
)
_ORTHOGONAL = (
    "You put an orthogonal matrix in place of `weight`: its radius is right, but all its "
    "eigenvalues have been moved to it. Multiply `weight` by one number, so that nothing else "
    "changes."
)
_SUM_OF_A_LINE = (
    "You divide by a largest sum of absolute values, which is a norm too: a norm is never below "
    "the spectral radius, and mostly above. Take the eigenvalues."
)
_LINE_BY_LINE = (
    "You scale each row or column by itself, so that eigenvalues and directions change: one number "
    "for the whole matrix."
)

RADIUS = Exercise(
    id="09.4",
    title="A matrix of a given radius",
    solution=with_radius,
    cases=_radius_cases,
    run=_run_radius,
    results=("matrix", "result", "spectral radius", "scaled matrix"),
    axes={
        "weight": ("hidden", "hidden"),
        "matrix": ("hidden", "hidden"),
        "scaled matrix": ("hidden", "hidden"),
    },
    hints=(
        "A matrix that is multiplied by a number has all its eigenvalues multiplied by it. Which "
        "number brings the largest to `radius`?",
        "`torch.linalg.eigvals` gives the eigenvalues of any square matrix, as complex numbers. "
        "Large is meant in absolute value: on which circle of the plane do they lie?",
        "Divide by `torch.linalg.eigvals(weight).abs().max()` and multiply by `radius`.",
    ),
    mistakes=(
        Mistake(
            _by_largest_singular_value,
            "You divide by the largest singular value, how far one step can stretch a vector: the "
            "radius, which decides about many steps, comes from the eigenvalues.",
        ),
        Mistake(
            _by_root_of_the_squares,
            "You divide by `norm`, the root of the sum of squares: the spectral radius is the "
            "largest absolute eigenvalue.",
        ),
        Mistake(
            _by_largest_number,
            "You divide by the largest number in the matrix: the spectral radius is the largest "
            "absolute eigenvalue.",
        ),
        Mistake(_by_largest_row_sum, _SUM_OF_A_LINE),
        Mistake(_by_largest_absolute_real_part, _REAL_PARTS),
        Mistake(
            _by_largest_real_part,
            "You take the largest real part: an eigenvalue may be negative or complex and still be "
            "the largest, so take `abs()` before `max()`.",
        ),
        Mistake(
            _by_the_eigenvalue_itself,
            "You divide by the eigenvalue itself, a complex number, and so the matrix becomes "
            "complex: divide by its absolute value.",
        ),
        Mistake(
            _largest_of_complex_numbers,
            "Complex numbers have no largest: `eigvals(...)` gives them, so take `abs()` before "
            "`max()`.",
        ),
        Mistake(
            _as_if_symmetric,
            "`eigvalsh` is for symmetric matrices and reads only one half of the numbers: take "
            "`eigvals`.",
        ),
        Mistake(
            _by_mean_eigenvalue,
            "You divide by the mean of the absolute eigenvalues: the largest decides, since its "
            "power outgrows all others.",
        ),
        Mistake(
            _by_squared_radius,
            "You divide by the square of the radius that `weight` has: by the radius itself is "
            "right.",
        ),
        Mistake(
            _always_to_one,
            "You scale to a radius of 1 and leave it there: `radius` is missing.",
        ),
        Mistake(
            _only_multiplied,
            "You multiply by `radius`, but `weight` has a radius of its own: divide by that one, "
            "too.",
        ),
        Mistake(
            _divided_by_both,
            "You divide by `radius`: divide by the radius that `weight` has, and multiply by the "
            "one that it should have.",
        ),
        Mistake(
            _quotient_upside_down,
            "Your quotient is upside down: divide by the radius that `weight` has, and multiply by "
            "the one that it should have.",
        ),
        Mistake(_orthogonal, _ORTHOGONAL),
        Mistake(_each_row_by_itself, _LINE_BY_LINE),
        Mistake(
            _in_place_too,
            "You scale the matrix that you were given: return a new one, as `weight * scale` makes "
            "it.",
        ),
        Mistake(
            _only_where_too_large,
            "You only make large matrices smaller: one with a smaller radius is to be made larger, "
            "so there is no `min` here.",
        ),
    ),
    inherited=(
        Mistake(_by_largest_column_sum, _SUM_OF_A_LINE),
        Mistake(_by_real_part_of_the_largest, _REAL_PARTS),
        Mistake(_by_absolute_real_part_of_the_largest, _REAL_PARTS),
        Mistake(_orthogonal_with_positive_diagonal, _ORTHOGONAL),
        Mistake(_nearest_orthogonal, _ORTHOGONAL),
        Mistake(_each_column_by_itself, _LINE_BY_LINE),
    ),
)

EXERCISES = (CLIP, HORIZON, JACOBIAN, RADIUS)
