"""Exercises of chapter 16, beyond."""
# Answers, right and wrong, look as readers write them.
# ruff: noqa: ANN001, ANN202

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from unrolled.exercises.exercise import Case, Draw, Exercise, Mistake
from unrolled.exercises.wording import kind_of

Answer = Callable[..., Any]

# --- 16.1 ----------------------------------------------------------------------------------------


def combine(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Join two steps of h = a h + b, each a pair (a, b), to the one step that does both."""
    first_decay, first_increment = first
    second_decay, second_increment = second
    # a2 (a1 h + b1) + b2 = (a2 a1) h + (a2 b1 + b2)
    return second_decay * first_decay, second_decay * first_increment + second_increment


def _combine_cases(draw: Draw) -> list[Case]:
    def case(name: str, *shape: int, first: float | None = None, second: float | None = None):
        tensors = {
            f"{which}_{what}": draw.normal(*shape)
            for which in ("first", "second")
            for what in ("decay", "increment")
        }
        for which, number in {"first": first, "second": second}.items():
            if number is not None:
                tensors[f"{which}_decay"] = torch.full_like(tensors["first_decay"], number)
        return Case(name, tensors)

    batch, pairs, hidden = draw.sizes(3)
    return [
        case("all pairs of a sequence", batch, pairs, hidden),
        case("a single pair of steps", batch, hidden),
        case("decays of one", batch, hidden, first=1.0, second=1.0),
        case("a first step that forgets all", batch, hidden, first=0.0),
        case("a second step that forgets all", batch, hidden, second=0.0),
    ]


def _run_combine(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    first_decay, first_increment, second_decay, second_increment = arguments.values()
    came = submission((first_decay, first_increment), (second_decay, second_increment))
    if not isinstance(came, tuple) or len(came) != 2:
        return {"answer": kind_of(came)}
    return {"answer": "a tuple of 2", "decay": came[0], "increment": came[1]}


def _joined_in_the_wrong_order(first, second):
    return combine(second, first)


def _increments_added(first, second):
    return second[0] * first[0], first[1] + second[1]


def _decays_added(first, second):
    return second[0] + first[0], second[0] * first[1] + second[1]


def _decay_of_the_second(first, second):
    return second[0], second[0] * first[1] + second[1]


def _decay_of_the_first(first, second):
    return first[0], second[0] * first[1] + second[1]


def _own_decay_for_each(first, second):
    return second[0] * first[0], first[0] * first[1] + second[0] * second[1]


def _first_increment_with_its_own_decay(first, second):
    return second[0] * first[0], first[0] * first[1] + second[1]


def _first_increment_with_both_decays(first, second):
    return second[0] * first[0], second[0] * first[0] * first[1] + second[1]


def _both_increments_decayed(first, second):
    return second[0] * first[0], second[0] * (first[1] + second[1])


def _increments_multiplied(first, second):
    return second[0] * first[0], second[0] * first[1] * second[1]


def _second_increment_lost(first, second):
    return second[0] * first[0], second[0] * first[1]


def _first_increment_lost(first, second):
    return second[0] * first[0], second[1]


def _one_minus_the_decay(first, second):
    return second[0] * first[0], second[0] * first[1] + (1 - second[0]) * second[1]


def _increment_before_the_decay(first, second):
    return combine(first, second)[::-1]


def _decays_without_a_gradient(first, second):
    decay, increment = combine(first, second)
    return decay.detach(), increment


COMBINE = Exercise(
    id="16.1",
    title="Two steps joined to one",
    solution=combine,
    cases=_combine_cases,
    run=_run_combine,
    results=("answer", "decay", "increment"),
    gradients=True,
    hints=(
        "Write both steps down: h' = a1 h + b1, then h'' = a2 h' + b2. Put the first into the "
        "second and multiply out. What stands before h, and what stands alone?",
        "What stands before h is a2 a1. What stands alone is b2, and b1 after the second step has "
        "decayed it.",
        "Return a tuple of two: `second_decay * first_decay`, and `second_decay * first_increment "
        "+ second_increment`.",
    ),
    mistakes=(
        Mistake(
            _joined_in_the_wrong_order,
            "You join the steps in the wrong order: `second` happens after `first`, so it is the "
            "first increment that is decayed, by the second step.",
        ),
        Mistake(
            _increments_added,
            "You add the increments as they are: what the first step has added is a part of the "
            "state by then, and the second step decays it.",
        ),
        Mistake(
            _decays_added,
            "You add the decays: a state that is halved and halved again is a quarter, a product.",
        ),
        Mistake(
            _decay_of_the_second,
            "Your decay is that of the second step alone: the state from before both steps goes "
            "through both.",
        ),
        Mistake(
            _decay_of_the_first,
            "Your decay is that of the first step alone: the second step decays the same state "
            "once more.",
        ),
        Mistake(
            _own_decay_for_each,
            "You multiply each increment by the decay of its own step: a step decays what was "
            "there *before* it, and adds its increment whole.",
        ),
        Mistake(
            _first_increment_with_its_own_decay,
            "You multiply the first increment by the first decay: it comes after that decay, and "
            "before the second.",
        ),
        Mistake(
            _first_increment_with_both_decays,
            "You multiply the first increment by both decays: the first step had decayed the state "
            "before it added its increment, so that only the second decay is left to come.",
        ),
        Mistake(
            _both_increments_decayed,
            "You multiply both increments by the second decay: the second increment is added after "
            "it, and nothing comes later.",
        ),
        Mistake(
            _increments_multiplied,
            "You multiply the increments: they are added, one after the other.",
        ),
        Mistake(_second_increment_lost, "The second increment is missing: it is added last."),
        Mistake(
            _first_increment_lost,
            "The first increment is missing: after the second step, its decayed rest is left.",
        ),
        Mistake(
            _one_minus_the_decay,
            "You multiply the second increment by one minus the decay: that is how a gated unit "
            "makes its increment, before this. Here `second_increment` is already what is added.",
        ),
        Mistake(
            _increment_before_the_decay,
            "Your results are exchanged: first the decay, then the increment, as in the pairs that "
            "come in.",
        ),
        Mistake(
            _decays_without_a_gradient,
            "Right forwards, but your decay is detached: nothing before these two steps would get "
            "a gradient through it.",
        ),
    ),
)

# --- 16.2 ----------------------------------------------------------------------------------------

# Calls of torch are counted for so many steps, and for a sixteenth of them.
_MANY = 256
_CALLS, _NUMBERS = "less than 3 times as large", "less than 64 times as large"


def scan(decay: Tensor, increment: Tensor) -> Tensor:
    """All states of h = a h + b from zeros: each round joins stretches twice as long."""
    states, time, reach = increment, increment.shape[1], 1
    while reach < time:
        # Every step joins the stretch that ends with it and the one that ends before that.
        later = decay[:, reach:] * states[:, :-reach] + states[:, reach:]
        states = torch.cat([states[:, :reach], later], dim=1)  # (batch, time, hidden)
        later = decay[:, reach:] * decay[:, :-reach]
        decay = torch.cat([decay[:, :reach], later], dim=1)
        reach = 2 * reach
    return states


class _Count(TorchFunctionMode):
    """Counts calls of torch, and the numbers that they give."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.numbers = 0

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        self.calls += 1
        self.numbers += result.numel() if isinstance(result, Tensor) else 0
        return result


def _run_counted(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    """Compare the states, and how the work grows with the steps; the first argument has them."""
    with _Count() as many:
        states = submission(*arguments.values())
    results = {
        "states": states,
        "number of calls of torch": _CALLS,
        "count of numbers computed": _NUMBERS,
    }
    steps = next(iter(arguments.values())).shape[1]
    if steps < _MANY:
        return results
    short = [
        value.detach()[:, : steps // 16] if value.dim() == 3 else value.detach()
        for value in arguments.values()
    ]
    with _Count() as few:
        submission(*short)
    for name, limit, of in [
        ("number of calls of torch", 3, lambda count: count.calls),
        ("count of numbers computed", 64, lambda count: count.numbers),
    ]:
        growth = of(many) / max(of(few), 1)
        if growth >= limit:
            # To a power of two, so that all loops say the same.
            size = f"about {2 ** round(math.log2(growth))} times as large"
            results[name] = f"{size} for {steps} steps as for {steps // 16}"
    return results


def _scan_cases(draw: Draw) -> list[Case]:
    def case(name: str, time: int, *, decay: str = "any", rows: int = 0) -> Case:
        shape = (rows or batch, time, hidden)
        decays = torch.sigmoid(draw.normal(*shape, scale=2.0))
        if decay == "of every sign":
            decays = draw.normal(*shape)
        if decay == "zero":
            decays = decays * draw.integers(0, 1, *shape)
            decays[:, time // 2] = 0.0
        if decay == "small":
            decays = 1e-8 * decays
        return Case(name, {"decay": decays, "increment": draw.normal(*shape)})

    batch, hidden = draw.sizes(2, low=2, high=4)
    odd = [11, 13, 14, 19, 21][int(draw.integers(0, 4, 1))]
    return [
        case("a number of steps that is no power of two", odd),
        case("a power of two", 16),
        case("a single step", 1),
        case("two steps", 2),
        case("decays of every sign", odd, decay="of every sign"),
        case("decays that are exactly 0", odd, decay="zero"),
        case("a batch of one", odd, rows=1),
        case(f"{_MANY} steps", _MANY, rows=2),
        case("steps that forget quickly", 60, decay="small", rows=2),
    ]


_Round = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


def _distances(time: int) -> list[int]:
    """Give 1, 2, 4 and so on, below the number of steps."""
    return [2**n for n in range(max(time - 1, 0).bit_length())]


def _with_rounds(join: _Round, decay: Tensor, increment: Tensor, reaches: Any = None) -> Tensor:
    """Scan with rounds of one's own, `join(states, decay, reach) -> (states, decay)`."""
    states = increment
    for reach in _distances(increment.shape[1]) if reaches is None else reaches:
        states, decay = join(states, decay, reach)
    return states


def _join(states: Tensor, decay: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Do a round as it should be."""
    return _joined_states(states, decay, reach), _joined_decay(decay, reach)


def _joined_states(states: Tensor, decay: Tensor, reach: int) -> Tensor:
    later = decay[:, reach:] * states[:, :-reach] + states[:, reach:]
    return torch.cat([states[:, :reach], later], dim=1)


def _joined_decay(decay: Tensor, reach: int) -> Tensor:
    return torch.cat([decay[:, :reach], decay[:, reach:] * decay[:, :-reach]], dim=1)


def _loop_over_time(decay, increment):
    h, states = torch.zeros_like(increment[:, 0]), []
    for t in range(increment.shape[1]):
        h = decay[:, t] * h + increment[:, t]
        states.append(h)
    return torch.stack(states, dim=1)


def _both_halves_by_themselves(decay, increment):
    time = increment.shape[1]
    if time == 1:
        return increment
    half = time // 2
    left = _both_halves_by_themselves(decay[:, :half], increment[:, :half])
    right = _both_halves_by_themselves(decay[:, half:], increment[:, half:])
    right = right + decay[:, half:].cumprod(dim=1) * left[:, -1:]
    return torch.cat([left, right], dim=1)


def _divided_by_a_product(decay, increment):
    product = decay.cumprod(dim=1)
    return product * (increment / product).cumsum(dim=1)


def _divided_by_an_exp(decay, increment):
    logs = decay.log().cumsum(dim=1)
    return logs.exp() * (increment * (-logs).exp()).cumsum(dim=1)


def _every_pair_of_steps(decay, increment):
    time = increment.shape[1]
    earlier = torch.ones(time, time, dtype=torch.bool).tril(-1)[None, :, :, None]
    factors = torch.where(earlier, decay[:, :, None], 1.0)  # (batch, t, s, hidden)
    products = factors.cumprod(dim=1)
    seen = torch.ones(time, time, dtype=torch.bool).tril()[None, :, :, None]
    return (products * seen * increment[:, None]).sum(dim=2)


def _decays_not_joined(decay, increment):
    return _with_rounds(lambda s, d, n: (_joined_states(s, d, n), d), decay, increment)


def _decays_joined_first(decay, increment):
    def join(states, decay, reach):
        decay = _joined_decay(decay, reach)
        return _joined_states(states, decay, reach), decay

    return _with_rounds(join, decay, increment)


def _reach_grows_by_one(decay, increment):
    return _with_rounds(_join, decay, increment, range(1, increment.shape[1]))


def _reach_stays_one(decay, increment):
    rounds = len(_distances(increment.shape[1]))
    return _with_rounds(_join, decay, increment, rounds * [1])


def _wrapped_round(decay, increment):
    def join(states, decay, reach):
        return decay * states.roll(reach, dims=1) + states, decay * decay.roll(reach, dims=1)

    return _with_rounds(join, decay, increment)


def _last_round_missing(decay, increment):
    time = increment.shape[1]
    return _with_rounds(_join, decay, increment, _distances(time)[: int(math.log2(time))])


def _neighbours_alone_joined(decay, increment):
    return _with_rounds(_join, decay, increment, _distances(increment.shape[1])[:1])


def _decays_of_the_earlier_stretch(decay, increment):
    def join(states, decay, reach):
        later = decay[:, :-reach] * states[:, :-reach] + states[:, reach:]
        return torch.cat([states[:, :reach], later], dim=1), _joined_decay(decay, reach)

    return _with_rounds(join, decay, increment)


def _sums_without_decay(decay, increment):
    return increment.cumsum(dim=1)


def _own_increment_decayed(decay, increment):
    return scan(decay, decay * increment)


def _decays_one_step_early(decay, increment):
    return scan(torch.cat([decay[:, 1:], torch.ones_like(decay[:, :1])], dim=1), increment)


def _back_from_the_end(decay, increment):
    return scan(decay.flip(1), increment.flip(1)).flip(1)


def _from_the_end_and_not_flipped_back(decay, increment):
    return scan(decay.flip(1), increment.flip(1))


def _mean_in_place_of_a_sum(decay, increment):
    return scan(decay, (1 - decay) * increment)


def _overwritten_in_rounds(decay, increment):
    states, decay = increment.clone(), decay.clone()
    for reach in _distances(increment.shape[1]):
        states[:, reach:] += decay[:, reach:] * states[:, :-reach]
        decay[:, reach:] = decay[:, reach:] * decay[:, :-reach]
    return states


def _decays_detached(decay, increment):
    return scan(decay.detach(), increment)


_DIVIDED = (
    "You divide by the product of all decays so far: after many steps that forget it is rounded to "
    "0, and one decay of 0 is enough, so that 0 / 0 gives NaN. (A sum of logarithms has the same "
    "trouble, and no logarithm of a decay below zero.) Join stretches; nothing is divided there."
)
_A_LOOP = (
    "The states are right, but the number of calls of torch grows with the steps: there is a loop "
    "over time, or a function that calls itself for one half and then for the other. Do a whole "
    "round, for all steps, in one call, and double the stretches."
)

SCAN = Exercise(
    id="16.2",
    title="A scan",
    solution=scan,
    cases=_scan_cases,
    run=_run_counted,
    results=("states", "number of calls of torch", "count of numbers computed"),
    axes=dict.fromkeys(("decay", "increment", "states"), ("batch", "time", "hidden")),
    gradients=True,
    hints=(
        "At first each step knows a stretch of one step: its own. If every step joins its stretch "
        "with that of its neighbour to the left, which stretch does it know then? With whom does "
        "it join next?",
        "After a round with the reach n, the stretch of each step is 2n steps long, so the next "
        "reach is 2n. `x[:, n:]` are the later partners, `x[:, :-n]` the earlier ones. The first n "
        "steps have no partner, and stay.",
        "In each round: `later = decay[:, n:] * states[:, :-n] + states[:, n:]`, then "
        "`torch.cat([states[:, :n], later], dim=1)`, and the same for the decays with `decay[:, "
        "n:] * decay[:, :-n]`. The states come first, since they need the old decays.",
    ),
    mistakes=(
        Mistake(_loop_over_time, _A_LOOP),
        Mistake(_divided_by_a_product, _DIVIDED),
        Mistake(
            _every_pair_of_steps,
            "Right, and without a loop, but you compute a number for each *pair* of steps, as "
            "attention does: 16 times the steps are 256 times the numbers. A scan needs about as "
            "many for each round as there are steps.",
        ),
        Mistake(
            _decays_not_joined,
            "Your decays stay those of single steps: once a stretch is longer, what comes from "
            "before it has gone through all its decays. Join these in each round, too.",
        ),
        Mistake(
            _decays_joined_first,
            "You join the decays before the states: then the state of the earlier stretch is "
            "decayed by its own steps once more. Use the decays as they were before the round.",
        ),
        Mistake(
            _reach_grows_by_one,
            "Your reach grows by one in each round: after the first, each step knows two steps, "
            "and its partner is two steps away; then four. Stretches that overlap count steps "
            "twice.",
        ),
        Mistake(
            _reach_stays_one,
            "You join neighbours in every round: after the first, the stretch of a neighbour "
            "overlaps with one's own, and its steps are counted twice. The reach doubles.",
        ),
        Mistake(
            _wrapped_round,
            "`roll` goes round in a circle, so that the first steps get what the last ones know: "
            "a step without a partner to its left stays as it is.",
        ),
        Mistake(
            _last_round_missing,
            "A round is missing unless the number of steps is a power of two: go on while the "
            "reach is smaller than the number of steps. Logarithms have to be rounded up.",
        ),
        Mistake(
            _neighbours_alone_joined,
            "You do one round: now each step knows itself and its neighbour. Go on, with stretches "
            "twice as long each time.",
        ),
        Mistake(
            _decays_of_the_earlier_stretch,
            "You take the decays of the earlier stretch: what it ends with is decayed by the steps "
            "of the *later* one, `decay[:, n:]`.",
        ),
        Mistake(
            _sums_without_decay,
            "Your states are plain sums of the increments: the decays are not used.",
        ),
        Mistake(
            _own_increment_decayed,
            "You decay the increments by their own step: the decay is for the state that comes in.",
        ),
        Mistake(
            _decays_one_step_early,
            "Your decays come one step early: `decay[:, t]` decays the state that step t gets from "
            "step t - 1.",
        ),
        Mistake(
            _back_from_the_end,
            "Your scan runs backwards in time: each step joins with those to its *left*. "
            "Only the gradients go the other way.",
        ),
        Mistake(
            _from_the_end_and_not_flipped_back,
            "Your scan begins at the last step: time runs from the first.",
        ),
        Mistake(
            _mean_in_place_of_a_sum,
            "You multiply the increments by one minus the decay: a MinGRU does that before its "
            "scan, and here they are added as they come.",
        ),
        Mistake(
            _overwritten_in_rounds,
            "Right forwards, but you overwrite states that the backward pass needs: make new "
            "tensors with `torch.cat` in each round.",
        ),
        Mistake(
            _decays_detached,
            "Right forwards, but your decays are detached: no gate would learn what to keep.",
        ),
    ),
    inherited=(
        Mistake(_both_halves_by_themselves, _A_LOOP),
        Mistake(_divided_by_an_exp, _DIVIDED),
    ),
)

# --- 16.3 ----------------------------------------------------------------------------------------


def min_gru(
    x: Tensor,
    initial: Tensor,
    weight_gate: Tensor,
    bias_gate: Tensor,
    weight_candidate: Tensor,
    bias_candidate: Tensor,
) -> Tensor:
    """All states of a MinGRU at once: gates and candidates of all steps, then a scan."""
    gate = torch.sigmoid(x @ weight_gate.T + bias_gate)  # (batch, time, hidden)
    decay, increment = 1 - gate, gate * (x @ weight_candidate.T + bias_candidate)
    # The first step has a state to decay, the others get theirs in the scan.
    first = decay[:, :1] * initial[:, None] + increment[:, :1]
    states, reach = torch.cat([first, increment[:, 1:]], dim=1), 1
    while reach < x.shape[1]:
        later = decay[:, reach:] * states[:, :-reach] + states[:, reach:]
        states = torch.cat([states[:, :reach], later], dim=1)
        later = decay[:, reach:] * decay[:, :-reach]
        decay = torch.cat([decay[:, :reach], later], dim=1)
        reach = 2 * reach
    return states


def _min_gru_cases(draw: Draw) -> list[Case]:
    def case(
        name: str,
        time: int,
        inputs: int,
        *,
        zeros: bool = False,
        bias: float = 0.0,
        rows: int = 0,
    ) -> Case:
        initial = draw.normal(rows or batch, hidden)
        arguments = {
            "x": draw.normal(rows or batch, time, inputs),
            "initial": torch.zeros_like(initial) if zeros else initial,
            "weight_gate": draw.normal(hidden, inputs, scale=0.5),
            "bias_gate": bias + draw.normal(hidden, scale=0.5),
            "weight_candidate": draw.normal(hidden, inputs, scale=0.5),
            "bias_candidate": draw.normal(hidden, scale=0.5),
        }
        return Case(name, arguments)

    batch, hidden, inputs = draw.sizes(3, low=2, high=4)
    time = [7, 9, 11, 13][int(draw.integers(0, 3, 1))]
    return [
        case("a first state", time, inputs),
        case("a first state of zeros", time, inputs, zeros=True),
        case("one size for inputs and states", time, hidden),
        case("a single step", 1, inputs),
        case("gates that keep nearly everything", time, inputs, bias=-6.0),
        case("a batch of one", time, inputs, rows=1),
        case(f"{_MANY} steps", _MANY, inputs, rows=2),
        case("gates that forget quickly", 60, inputs, bias=14.0, rows=2),
    ]


def _halves(x, weight_gate, bias_gate, weight_candidate, bias_candidate):
    """Give gates and candidates."""
    gate = torch.sigmoid(x @ weight_gate.T + bias_gate)
    return gate, x @ weight_candidate.T + bias_candidate


def _from(initial: Tensor, decay: Tensor, increment: Tensor) -> Tensor:
    """Scan from a first state."""
    first = decay[:, :1] * initial[:, None] + increment[:, :1]
    return scan(decay, torch.cat([first, increment[:, 1:]], dim=1))


def _loop_over_steps(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    gate, candidate = _halves(x, weight_gate, bias_gate, weight_candidate, bias_candidate)
    h, states = initial, []
    for t in range(x.shape[1]):
        h = (1 - gate[:, t]) * h + gate[:, t] * candidate[:, t]
        states.append(h)
    return torch.stack(states, dim=1)


def _divided_by_all_that_is_kept(
    x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate
):
    gate, candidate = _halves(x, weight_gate, bias_gate, weight_candidate, bias_candidate)
    kept = (1 - gate).cumprod(dim=1)
    return kept * (initial[:, None] + (gate * candidate / kept).cumsum(dim=1))


def _every_pair(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    gate, candidate = _halves(x, weight_gate, bias_gate, weight_candidate, bias_candidate)
    kept = (1 - gate).cumprod(dim=1)
    return _every_pair_of_steps(1 - gate, gate * candidate) + kept * initial[:, None]


def _first_state_not_used(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    return min_gru(x, 0 * initial, weight_gate, bias_gate, weight_candidate, bias_candidate)


def _first_state_at_every_step(
    x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate
):
    gate, candidate = _halves(x, weight_gate, bias_gate, weight_candidate, bias_candidate)
    return scan(1 - gate, gate * candidate + (1 - gate) * initial[:, None])


def _first_state_not_decayed(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    gate, candidate = _halves(x, weight_gate, bias_gate, weight_candidate, bias_candidate)
    increment = gate * candidate
    increment = torch.cat([increment[:, :1] + initial[:, None], increment[:, 1:]], dim=1)
    return scan(1 - gate, increment)


def _first_state_added_behind_the_scan(
    x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate
):
    gate, candidate = _halves(x, weight_gate, bias_gate, weight_candidate, bias_candidate)
    return scan(1 - gate, gate * candidate) + initial[:, None]


def _gate_turned_round(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    return min_gru(x, initial, -weight_gate, -bias_gate, weight_candidate, bias_candidate)


def _candidate_not_gated(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    gate, candidate = _halves(x, weight_gate, bias_gate, weight_candidate, bias_candidate)
    return _from(initial, 1 - gate, candidate)


def _state_not_decayed(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    gate, candidate = _halves(x, weight_gate, bias_gate, weight_candidate, bias_candidate)
    return initial[:, None] + (gate * candidate).cumsum(dim=1)


def _tanh_around_the_candidate(
    x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate
):
    gate, candidate = _halves(x, weight_gate, bias_gate, weight_candidate, bias_candidate)
    return _from(initial, 1 - gate, gate * torch.tanh(candidate))


def _sigmoid_around_the_candidate(
    x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate
):
    gate, candidate = _halves(x, weight_gate, bias_gate, weight_candidate, bias_candidate)
    return _from(initial, 1 - gate, gate * torch.sigmoid(candidate))


def _gate_without_sigmoid(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    gate = x @ weight_gate.T + bias_gate
    return _from(initial, 1 - gate, gate * (x @ weight_candidate.T + bias_candidate))


def _gate_and_candidate_exchanged(
    x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate
):
    return min_gru(x, initial, weight_candidate, bias_candidate, weight_gate, bias_gate)


def _bias_of_the_gate_missing(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    return min_gru(x, initial, weight_gate, 0 * bias_gate, weight_candidate, bias_candidate)


def _bias_of_the_candidate_missing(
    x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate
):
    return min_gru(x, initial, weight_gate, bias_gate, weight_candidate, 0 * bias_candidate)


def _weights_not_transposed(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    return min_gru(x, initial, weight_gate.T, bias_gate, weight_candidate.T, bias_candidate)


def _gate_of_the_step_before(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    gate, candidate = _halves(x, weight_gate, bias_gate, weight_candidate, bias_candidate)
    decay = 1 - gate
    moved = torch.cat([decay[:, :1], decay[:, :-1]], dim=1)
    return _from(initial, moved, gate * candidate)


def _gate_detached(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    gate, candidate = _halves(x, weight_gate, bias_gate, weight_candidate, bias_candidate)
    return _from(initial, 1 - gate.detach(), gate.detach() * candidate)


MIN_GRU = Exercise(
    id="16.3",
    title="A MinGRU without a loop",
    solution=min_gru,
    cases=_min_gru_cases,
    run=_run_counted,
    results=("states", "number of calls of torch", "count of numbers computed"),
    axes={
        "x": ("batch", "time", "input"),
        "initial": ("batch", "hidden"),
        "weight_gate": ("hidden", "input"),
        "bias_gate": ("hidden",),
        "weight_candidate": ("hidden", "input"),
        "bias_candidate": ("hidden",),
        "states": ("batch", "time", "hidden"),
    },
    gradients=True,
    hints=(
        "Which of the lines of a MinGRU needs a state? Do all the others for all steps at once, as "
        "in a plain linear layer.",
        "With a = 1 - z and b = z times the candidate it is the recurrence of exercise 16.2. What "
        "is left is the first state: which step reads it, and what does it do to it?",
        "Put `decay[:, 0] * initial + increment[:, 0]` in the place of the first increment, with "
        "`torch.cat` along the time, and scan as in exercise 16.2.",
    ),
    mistakes=(
        Mistake(
            _loop_over_steps,
            "The states are right, but the number of calls of torch grows with the steps: gates "
            "and candidates of all steps are known before the first state is, so that a scan can "
            "take the place of your loop.",
        ),
        Mistake(
            _divided_by_all_that_is_kept,
            "You divide by the product of everything that is kept: where gates forget, it is "
            "rounded to 0 after some steps, and 0 / 0 gives NaN. Join stretches, as in "
            "exercise 16.2; nothing is divided there.",
        ),
        Mistake(
            _every_pair,
            "Right, and without a loop, but you compute a number for each *pair* of steps: 16 "
            "times the steps are 256 times the numbers. Scan.",
        ),
        Mistake(
            _first_state_not_used,
            "Your states do not depend on `initial`: the first step decays it as every step decays "
            "the state before it.",
        ),
        Mistake(
            _first_state_at_every_step,
            "Every step of yours gets the first state anew: only the first step reads it, and the "
            "scan hands it on.",
        ),
        Mistake(
            _first_state_not_decayed,
            "The first step adds the first state whole: it decays it, by `1 - gate[:, 0]`.",
        ),
        Mistake(
            _first_state_added_behind_the_scan,
            "You add the first state to all states in the end: each step decays what is left of "
            "it, so it goes in before the scan, at the first step.",
        ),
        Mistake(
            _gate_turned_round,
            "Your gate is turned round: here `gate` says how much of the *candidate* comes in, and "
            "`1 - gate` how much of the state is kept. The GRU of chapter 11 has it the other "
            "way.",
        ),
        Mistake(
            _candidate_not_gated,
            "Your candidate comes in whole: the increment is `gate * candidate`.",
        ),
        Mistake(
            _state_not_decayed,
            "Your states add up and nothing is forgotten: the state before is multiplied by "
            "`1 - gate`.",
        ),
        Mistake(
            _tanh_around_the_candidate,
            "There is a tanh around your candidate: a GRU has one, a MinGRU has none.",
        ),
        Mistake(
            _sigmoid_around_the_candidate,
            "There is a sigmoid around your candidate: the gate has one, the candidate none.",
        ),
        Mistake(
            _gate_without_sigmoid,
            "Your gate lacks the sigmoid, so that it is not between 0 and 1.",
        ),
        Mistake(
            _gate_and_candidate_exchanged,
            "`weight_gate` makes your candidate, and `weight_candidate` your gate: exchange them.",
        ),
        Mistake(_bias_of_the_gate_missing, "Your gate lacks its bias, `bias_gate`."),
        Mistake(_bias_of_the_candidate_missing, "Your candidate lacks its bias."),
        Mistake(
            _weights_not_transposed,
            "The weights are (hidden, input), so it is `x @ weight_gate.T`: without the `.T` it "
            "works by chance where both sizes are equal.",
        ),
        Mistake(
            _gate_of_the_step_before,
            "Your decays come one step late: step t decays the state before it by its own "
            "`1 - gate[:, t]`.",
        ),
        Mistake(
            _gate_detached,
            "Right forwards, but your gate is detached: it never learns what to keep.",
        ),
    ),
)

# --- 16.4 ----------------------------------------------------------------------------------------


def self_attention(
    x: Tensor,
    positions: Tensor,
    weight_query: Tensor,
    weight_key: Tensor,
    weight_value: Tensor,
) -> tuple[Tensor, Tensor]:
    """Every step looks at itself and at the steps before it: outputs, and weights."""
    time = x.shape[1]
    x = x + positions[:time]  # (batch, time, input)
    query, keys, values = x @ weight_query.T, x @ weight_key.T, x @ weight_value.T
    scores = query @ keys.transpose(1, 2) / query.shape[2] ** 0.5  # (batch, time, time)
    later = torch.ones(time, time, dtype=torch.bool).triu(diagonal=1)
    weights = scores.masked_fill(later, -torch.inf).softmax(dim=2)
    return weights @ values, weights


def _self_attention_cases(draw: Draw) -> list[Case]:
    def case(
        name: str,
        time: int,
        sizes: tuple[int, int, int],
        *,
        more: int = 3,
        rows: int = 0,
        scale: float = 1.0,
    ) -> Case:
        inputs, size, outputs = sizes
        arguments = {
            "x": draw.normal(rows or batch, time, inputs, scale=scale),
            "positions": draw.normal(time + more, inputs),
            "weight_query": draw.normal(size, inputs),
            "weight_key": draw.normal(size, inputs),
            "weight_value": draw.normal(outputs, inputs),
        }
        return Case(name, arguments)

    batch, *sizes = draw.sizes(4, low=2, high=6)
    inputs, size, outputs = sizes
    return [
        case("more positions than steps", 8, (inputs, size, outputs)),
        case("as many positions as steps", 8, (inputs, size, outputs), more=0),
        case("one size for everything", 7, (size, size, size)),
        case("a single step", 1, (inputs, size, outputs)),
        case("two steps", 2, (inputs, size, outputs)),
        case("a batch of one", 8, (inputs, size, outputs), rows=1),
        case("scores in the thousands", 9, (inputs, size, outputs), scale=60.0),
    ]


def _run_self_attention(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    came = submission(*arguments.values())
    if not isinstance(came, tuple) or len(came) != 2:
        return {"answer": kind_of(came)}
    batch, time, _ = arguments["x"].shape
    right = [(batch, time, len(arguments["weight_value"])), (batch, time, time)]
    shapes = [tuple(getattr(result, "shape", ())) for result in came]
    if shapes == right[::-1] != right:
        return {"answer": "the weights and then the outputs"}
    results: dict[str, Any] = {"answer": "the outputs and then the weights"}
    if shapes[1] == right[1]:
        # A row that looks nowhere is NaN, and looks at nothing later either.
        ahead = came[1].detach().nan_to_num(0.0).triu(diagonal=1).nonzero()
        results["number of steps that it looks ahead"] = (
            int((ahead[:, 2] - ahead[:, 1]).max()) if len(ahead) else 0
        )
    return {**results, "weights": came[1], "outputs": came[0]}


def _projections(x, positions, weight_query, weight_key, weight_value):
    x = x + positions[: x.shape[1]]
    return x @ weight_query.T, x @ weight_key.T, x @ weight_value.T


def _scores(query, keys):
    return query @ keys.transpose(1, 2) / query.shape[2] ** 0.5


def _later(time: int, diagonal: int = 1) -> Tensor:
    return torch.ones(time, time, dtype=torch.bool).triu(diagonal=diagonal)


def _seen(scores, values, hidden):
    weights = scores.masked_fill(hidden, -torch.inf).softmax(dim=2)
    return weights @ values, weights


def _nothing_hidden(x, positions, weight_query, weight_key, weight_value):
    query, keys, values = _projections(x, positions, weight_query, weight_key, weight_value)
    return _seen(_scores(query, keys), values, _later(x.shape[1], x.shape[1]))


def _next_step_seen(x, positions, weight_query, weight_key, weight_value):
    query, keys, values = _projections(x, positions, weight_query, weight_key, weight_value)
    return _seen(_scores(query, keys), values, _later(x.shape[1], 2))


def _itself_hidden(x, positions, weight_query, weight_key, weight_value):
    query, keys, values = _projections(x, positions, weight_query, weight_key, weight_value)
    return _seen(_scores(query, keys), values, _later(x.shape[1], 0))


def _earlier_hidden(x, positions, weight_query, weight_key, weight_value):
    query, keys, values = _projections(x, positions, weight_query, weight_key, weight_value)
    return _seen(_scores(query, keys), values, _later(x.shape[1]).T)


def _only_later_seen(x, positions, weight_query, weight_key, weight_value):
    query, keys, values = _projections(x, positions, weight_query, weight_key, weight_value)
    return _seen(_scores(query, keys), values, ~_later(x.shape[1]))


def _hidden_after_the_softmax(x, positions, weight_query, weight_key, weight_value):
    query, keys, values = _projections(x, positions, weight_query, weight_key, weight_value)
    weights = _scores(query, keys).softmax(dim=2).tril()
    return weights @ values, weights


def _hidden_after_and_divided(x, positions, weight_query, weight_key, weight_value):
    query, keys, values = _projections(x, positions, weight_query, weight_key, weight_value)
    weights = _scores(query, keys).softmax(dim=2).tril()
    weights = weights / weights.sum(dim=2, keepdim=True)
    return weights @ values, weights


def _scores_cut_to_zero(x, positions, weight_query, weight_key, weight_value):
    query, keys, values = _projections(x, positions, weight_query, weight_key, weight_value)
    weights = _scores(query, keys).tril().softmax(dim=2)
    return weights @ values, weights


def _no_root(x, positions, weight_query, weight_key, weight_value):
    root = len(weight_key) ** 0.5
    return self_attention(x, positions, root * weight_query, weight_key, weight_value)


def _divided_by_the_size(x, positions, weight_query, weight_key, weight_value):
    root = len(weight_key) ** 0.5
    return self_attention(x, positions, weight_query / root, weight_key, weight_value)


def _root_of_the_input_size(x, positions, weight_query, weight_key, weight_value):
    ratio = (len(weight_key) / x.shape[2]) ** 0.5
    return self_attention(x, positions, weight_query * ratio, weight_key, weight_value)


def _no_positions(x, positions, weight_query, weight_key, weight_value):
    return self_attention(x, 0 * positions, weight_query, weight_key, weight_value)


def _one_position_for_all(x, positions, weight_query, weight_key, weight_value):
    return self_attention(
        x, positions[:1].expand_as(positions), weight_query, weight_key, weight_value
    )


def _positions_from_the_end(x, positions, weight_query, weight_key, weight_value):
    return self_attention(x, positions[-x.shape[1] :], weight_query, weight_key, weight_value)


def _positions_multiplied(x, positions, weight_query, weight_key, weight_value):
    x = x * positions[: x.shape[1]]
    return self_attention(x, 0 * positions, weight_query, weight_key, weight_value)


def _values_without_positions(x, positions, weight_query, weight_key, weight_value):
    _, weights = self_attention(x, positions, weight_query, weight_key, weight_value)
    return weights @ (x @ weight_value.T), weights


def _positions_for_queries_alone(x, positions, weight_query, weight_key, weight_value):
    query, _, _ = _projections(x, positions, weight_query, weight_key, weight_value)
    return _seen(_scores(query, x @ weight_key.T), x @ weight_value.T, _later(x.shape[1]))


def _softmax_over_the_queries(x, positions, weight_query, weight_key, weight_value):
    query, keys, values = _projections(x, positions, weight_query, weight_key, weight_value)
    hidden = _later(x.shape[1])
    weights = _scores(query, keys).masked_fill(hidden, -torch.inf).softmax(dim=1)
    return weights @ values, weights


def _queries_and_keys_exchanged(x, positions, weight_query, weight_key, weight_value):
    return self_attention(x, positions, weight_key, weight_query, weight_value)


def _keys_for_the_queries(x, positions, weight_query, weight_key, weight_value):
    return self_attention(x, positions, weight_key, weight_key, weight_value)


def _inputs_for_the_values(x, positions, weight_query, weight_key, weight_value):
    _, weights = self_attention(x, positions, weight_query, weight_key, weight_value)
    return weights @ (x + positions[: x.shape[1]]), weights


def _weights_before_the_outputs(x, positions, weight_query, weight_key, weight_value):
    return self_attention(x, positions, weight_query, weight_key, weight_value)[::-1]


def _weights_detached(x, positions, weight_query, weight_key, weight_value):
    _, weights = self_attention(x, positions, weight_query, weight_key, weight_value)
    values = (x + positions[: x.shape[1]]) @ weight_value.T
    return weights.detach() @ values, weights


_TURNED = (
    "Your mask is turned round: each step looks to the right. What comes later is hidden, and in "
    "(queries, steps) that is what lies above the diagonal."
)

SELF_ATTENTION = Exercise(
    id="16.4",
    title="Self-attention that does not see ahead",
    solution=self_attention,
    cases=_self_attention_cases,
    run=_run_self_attention,
    results=("answer", "number of steps that it looks ahead", "weights", "outputs"),
    axes={
        "x": ("batch", "time", "input"),
        "positions": ("positions", "input"),
        "weight_query": ("size", "input"),
        "weight_key": ("size", "input"),
        "weight_value": ("output", "input"),
        "weights": ("batch", "queries", "steps"),
        "outputs": ("batch", "time", "output"),
    },
    gradients=True,
    hints=(
        "Queries, keys and values are all made of `x + positions[:time]`, by three matrices. From "
        "there on it is the dot product of chapter 14 with a mask.",
        "`query @ keys.transpose(1, 2) / query.shape[2] ** 0.5` is (batch, time, time), a row for "
        "each step that asks. Which entries of a row may a step not see: those left or right of "
        "the diagonal? And the diagonal itself?",
        "`torch.ones(time, time, dtype=torch.bool).triu(diagonal=1)` is true above the diagonal. "
        "Fill these scores with minus infinity, then `softmax(dim=2)`, then `weights @ values`.",
    ),
    mistakes=(
        Mistake(
            _nothing_hidden,
            "Your steps see what comes later: for a language model that is the answer itself. "
            "Scores above the diagonal get minus infinity.",
        ),
        Mistake(
            _next_step_seen,
            "Your mask is off by one: each step sees the *next* one, too, which is exactly the "
            "token that a language model has to guess. Begin to hide at `diagonal=1`.",
        ),
        Mistake(
            _itself_hidden,
            "Your mask is off by one: a step may see itself. The first has nothing else to look "
            "at, and a softmax of nothing but minus infinity is NaN.",
        ),
        Mistake(_earlier_hidden, _TURNED),
        Mistake(
            _hidden_after_the_softmax,
            "You cut the later steps off after the softmax: their weights are lost, and what is "
            "left adds up to less than 1. Mask the scores, before the softmax.",
        ),
        Mistake(
            _hidden_after_and_divided,
            "You cut the later steps off after the softmax and divide again: where a later score "
            "is far above the others, the softmax has rounded these to 0, and 0 / 0 is NaN. Mask "
            "the scores, before the softmax.",
        ),
        Mistake(
            _scores_cut_to_zero,
            "Your later steps have the score 0, and 0 is a score like any other. What may not be "
            "seen gets minus infinity.",
        ),
        Mistake(
            _no_root,
            "Your scores are not divided by the root of the size of queries and keys.",
        ),
        Mistake(
            _divided_by_the_size,
            "You divide the scores by the size of the keys rather than by its root.",
        ),
        Mistake(
            _root_of_the_input_size,
            "You divide by the root of the *input* size: the dot product adds up over the numbers "
            "of a key, `weight_key.shape[0]` of them.",
        ),
        Mistake(
            _no_positions,
            "Your steps do not know where they stand: add `positions[:time]` to `x` first.",
        ),
        Mistake(
            _one_position_for_all,
            "All your steps have the first position: `positions[:time]` has one for each step.",
        ),
        Mistake(
            _positions_from_the_end,
            "You take the last positions of the table: the first step has the first one, "
            "`positions[:time]`.",
        ),
        Mistake(
            _positions_multiplied,
            "You multiply the inputs by the positions: they are added.",
        ),
        Mistake(
            _values_without_positions,
            "Your values are made of `x` without its positions. Some models do that; here queries, "
            "keys and values are made of the same sum.",
        ),
        Mistake(
            _positions_for_queries_alone,
            "Only your queries have positions: a step knows then where it stands itself, and not "
            "where the others do. Add them to `x`, once, before all three.",
        ),
        Mistake(
            _softmax_over_the_queries,
            "Your softmax goes over the steps that ask: the weights of one of them add up to 1 "
            "over what it sees, `dim=2`.",
        ),
        Mistake(
            _queries_and_keys_exchanged,
            "Queries and keys are exchanged: `weight_query` is for the step that asks, the row of "
            "the scores.",
        ),
        Mistake(
            _keys_for_the_queries,
            "Your queries are the keys: `weight_query` is not used, so that each step looks for "
            "what it is like itself.",
        ),
        Mistake(
            _inputs_for_the_values,
            "You mix the inputs: what is mixed are the values, `weight_value` of them.",
        ),
        Mistake(
            _weights_before_the_outputs,
            "Your results are exchanged: first the outputs, then the weights.",
        ),
        Mistake(
            _weights_detached,
            "Right forwards, but the weights are detached before they weight the values, so that "
            "no step learns where to look.",
        ),
    ),
    inherited=(Mistake(_only_later_seen, _TURNED),),
)

EXERCISES = (COMBINE, SCAN, MIN_GRU, SELF_ATTENTION)
