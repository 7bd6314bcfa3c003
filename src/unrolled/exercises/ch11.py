"""Exercises of chapter 11, the GRU and the gated family."""
# Answers, right and wrong, look as readers write them.
# ruff: noqa: ANN001, ANN202

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unrolled.exercises import ch10
from unrolled.exercises.exercise import Case, Draw, Exercise, Mistake
from unrolled.exercises.wording import kind_of

Answer = Callable[..., Any]

AXES = {
    "x_t": ("batch", "input"),
    "h": ("batch", "hidden"),
    "c": ("batch", "hidden"),
    "weight_ih": ("3 * hidden", "input"),
    "weight_hh": ("3 * hidden", "hidden"),
    "bias": ("3 * hidden",),
    "bias_ih": ("3 * hidden",),
    "bias_hh": ("3 * hidden",),
    "new state": ("batch", "hidden"),
    "new h": ("batch", "hidden"),
    "new c": ("batch", "hidden"),
    "new weight_ih": ("3 * hidden", "input"),
    "new weight_hh": ("3 * hidden", "hidden"),
    "new bias": ("3 * hidden",),
}


def _weights(draw: Draw, inputs: int, hidden: int) -> dict[str, Tensor]:
    return {
        "weight_ih": draw.normal(3 * hidden, inputs, scale=0.5),
        "weight_hh": draw.normal(3 * hidden, hidden, scale=0.5),
    }


# --- 11.1 ----------------------------------------------------------------------------------------


def gru_step(
    x_t: Tensor,
    h: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
) -> Tensor:
    """One step of a GRU as in torch, the reset after the product: the new h."""
    input_r, input_z, input_n = (x_t @ weight_ih.T + bias_ih).chunk(3, dim=1)
    state_r, state_z, state_n = (h @ weight_hh.T + bias_hh).chunk(3, dim=1)
    r = torch.sigmoid(input_r + state_r)  # (batch, hidden), as all below
    z = torch.sigmoid(input_z + state_z)
    n = torch.tanh(input_n + r * state_n)
    return (1 - z) * n + z * h


def _gru_cases(draw: Draw) -> list[Case]:
    def case(name: str, batch: int, inputs: int, state: float = 0.7, bias: float = 0.7) -> Case:
        arguments = {
            "x_t": draw.normal(batch, inputs),
            "h": draw.normal(batch, hidden, scale=state),
            **_weights(draw, inputs, hidden),
            "bias_ih": draw.normal(3 * hidden, scale=bias),
            "bias_hh": draw.normal(3 * hidden, scale=bias),
        }
        return Case(name, arguments)

    batch, inputs, hidden = draw.sizes(3)
    return [
        case("several sequences", batch, inputs),
        case("as many inputs as hidden units", batch, hidden),
        case("a batch of one", 1, inputs),
        case("a first state of zeros", batch, inputs, state=0.0),
        case("biases of zero", batch, inputs, bias=0.0),
    ]


def _halves(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    """Give what the input and what the state contribute to the sums of r, z and n."""
    from_input = (x_t @ weight_ih.T + bias_ih).chunk(3, dim=1)
    from_state = (h @ weight_hh.T + bias_hh).chunk(3, dim=1)
    return from_input, from_state


def _both_gates(from_input, from_state):
    return [torch.sigmoid(a + b) for a, b in zip(from_input[:2], from_state[:2], strict=True)]


def _in_order(order: str, weights: tuple[Tensor, ...]) -> list[Tensor]:
    """Bring blocks of rows that stand in `order` into torch's, r, z, n."""
    blocks = [weight.chunk(3) for weight in weights]
    return [torch.cat([rows[order.index(gate)] for gate in "rzn"]) for rows in blocks]


def _reset_before_the_product(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    from_input, from_state = _halves(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)
    r, z = _both_gates(from_input, from_state)
    product = (r * h) @ weight_hh.chunk(3)[2].T + bias_hh.chunk(3)[2]
    return (1 - z) * torch.tanh(from_input[2] + product) + z * h


def _bias_hn_outside_the_reset(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    both = bias_ih + bias_hh
    return gru_step(x_t, h, weight_ih, weight_hh, both, torch.zeros_like(both))


def _all_biases_inside_the_reset(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    both = bias_ih + bias_hh
    return gru_step(x_t, h, weight_ih, weight_hh, torch.zeros_like(both), both)


def _z_and_r_exchanged(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    weights = _in_order("zrn", (weight_ih, weight_hh, bias_ih, bias_hh))
    return gru_step(x_t, h, *weights)


def _candidate_first(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    weights = _in_order("nrz", (weight_ih, weight_hh, bias_ih, bias_hh))
    return gru_step(x_t, h, *weights)


def _z_with_the_other_sign(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    from_input, from_state = _halves(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)
    r, z = _both_gates(from_input, from_state)
    n = torch.tanh(from_input[2] + r * from_state[2])
    return z * n + (1 - z) * h


def _z_and_r_exchanged_and_the_other_sign(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    weights = _in_order("zrn", (weight_ih, weight_hh, bias_ih, bias_hh))
    return _z_with_the_other_sign(x_t, h, *weights)


def _reset_before_and_the_other_sign(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    from_input, from_state = _halves(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)
    r, z = _both_gates(from_input, from_state)
    product = (r * h) @ weight_hh.chunk(3)[2].T + bias_hh.chunk(3)[2]
    return z * torch.tanh(from_input[2] + product) + (1 - z) * h


def _no_reset_gate(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    from_input, from_state = _halves(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)
    _, z = _both_gates(from_input, from_state)
    return (1 - z) * torch.tanh(from_input[2] + from_state[2]) + z * h


def _reset_times_the_whole_sum(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    from_input, from_state = _halves(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)
    r, z = _both_gates(from_input, from_state)
    return (1 - z) * torch.tanh(r * (from_input[2] + from_state[2])) + z * h


def _reset_of_the_input(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    from_input, from_state = _halves(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)
    r, z = _both_gates(from_input, from_state)
    return (1 - z) * torch.tanh(r * from_input[2] + from_state[2]) + z * h


def _reset_turned_round(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    from_input, from_state = _halves(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)
    r, z = _both_gates(from_input, from_state)
    return (1 - z) * torch.tanh(from_input[2] + (1 - r) * from_state[2]) + z * h


def _candidate_added_whole(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    from_input, from_state = _halves(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)
    r, z = _both_gates(from_input, from_state)
    return torch.tanh(from_input[2] + r * from_state[2]) + z * h


def _sigmoid_for_the_candidate(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    from_input, from_state = _halves(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)
    r, z = _both_gates(from_input, from_state)
    return (1 - z) * torch.sigmoid(from_input[2] + r * from_state[2]) + z * h


def _candidate_without_tanh(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    from_input, from_state = _halves(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)
    r, z = _both_gates(from_input, from_state)
    return (1 - z) * (from_input[2] + r * from_state[2]) + z * h


def _tanh_around_the_state(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    return torch.tanh(gru_step(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh))


def _bias_hh_forgotten(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    return gru_step(x_t, h, weight_ih, weight_hh, bias_ih, 0 * bias_hh)


def _four_blocks(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    from_input = (x_t @ weight_ih.T + bias_ih).split(h.shape[1], dim=1)
    from_state = (h @ weight_hh.T + bias_hh).split(h.shape[1], dim=1)
    i, f, n, _ = (a + b for a, b in zip(from_input, from_state, strict=True))
    return torch.sigmoid(i) * torch.tanh(n) + torch.sigmoid(f) * h


def _cut_along_the_batch(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    input_r, input_z, input_n = (x_t @ weight_ih.T + bias_ih).chunk(3)
    state_r, state_z, state_n = (h @ weight_hh.T + bias_hh).chunk(3)
    r, z = torch.sigmoid(input_r + state_r), torch.sigmoid(input_z + state_z)
    return (1 - z) * torch.tanh(input_n + r * state_n) + z * h


def _h_in_place(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    h[:] = gru_step(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)
    return h


def _h_detached(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    return gru_step(x_t, h.detach(), weight_ih, weight_hh, bias_ih, bias_hh)


def _reset_looks_at_a_detached_h(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    from_input, from_state = _halves(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)
    r, z = _both_gates(from_input, from_state)
    return (1 - z) * torch.tanh(from_input[2] + r.detach() * from_state[2]) + z * h


def _kept_h_detached(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    from_input, from_state = _halves(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)
    r, z = _both_gates(from_input, from_state)
    n = torch.tanh(from_input[2] + r * from_state[2])
    return (1 - z) * n + z * h.detach()


_SIGN = (
    "Your z has the other sign: here and in `torch.nn` it is what is kept, "
    "`(1 - z) * n + z * h`. Chung et al. (2014) and Wikipedia have it the other way round."
)

GRU = Exercise(
    id="11.1",
    title="One step of the GRU of torch.nn",
    solution=gru_step,
    cases=_gru_cases,
    results=("new state",),
    axes=AXES,
    gradients=True,
    hints=(
        "Keep what comes from the input and what comes from the state apart, each with its own "
        "bias: two tensors (batch, 3 * hidden), and `chunk(3, dim=1)` cuts both into r, z, n.",
        "For r and z the two halves are added and go through a sigmoid. For n the reset gate comes "
        "between: it multiplies all that the state contributes, its bias included.",
        "`n = tanh(input_n + r * state_n)`, and then `(1 - z) * n + z * h`: z is what is kept.",
    ),
    mistakes=(
        Mistake(
            _reset_before_the_product,
            "Your reset gate acts before the product: that is the cell of Cho et al. (2014), not "
            "torch's. Here r multiplies what comes out of the matrix, as in `r * (h @ W.T + b)`.",
        ),
        Mistake(
            _bias_hn_outside_the_reset,
            "The last third of `bias_hh` stands inside the reset's product, and yours outside: in "
            "n the reset gate multiplies `h @ W.T` and its bias together.",
        ),
        Mistake(
            _all_biases_inside_the_reset,
            "In n both of your biases stand inside the reset's product: that of `bias_ih` belongs "
            "to the input's half, outside.",
        ),
        Mistake(
            _z_and_r_exchanged,
            "Your z and r are exchanged: in `torch.nn` the rows stand in the order r, z, n. It is "
            "Keras and ONNX that begin with z.",
        ),
        Mistake(_z_with_the_other_sign, _SIGN),
        Mistake(
            _z_and_r_exchanged_and_the_other_sign,
            "Two things at once: your z and r are exchanged, for the rows stand in the order r, "
            "z, n, and z has the other sign, for it is what is kept: `(1 - z) * n + z * h`.",
        ),
        Mistake(
            _reset_before_and_the_other_sign,
            "Two things at once: your reset gate acts before the product, and z has the other "
            "sign. In torch it is `r * (h @ W.T + b)` within n, and `(1 - z) * n + z * h`.",
        ),
        Mistake(
            _no_reset_gate,
            "Your cell has no reset gate: in n, what comes from the state is multiplied by r.",
        ),
        Mistake(
            _reset_times_the_whole_sum,
            "Your reset gate also multiplies what comes from the input: it hides the old state "
            "from the candidate, and nothing else.",
        ),
        Mistake(
            _reset_of_the_input,
            "Your reset gate multiplies what comes from the input: it belongs to the other half, "
            "to what comes from the state.",
        ),
        Mistake(
            _reset_turned_round,
            "Your reset gate is turned round: in spite of its name it says how much of the state "
            "the candidate sees, `r * ...` rather than `(1 - r) * ...`.",
        ),
        Mistake(
            _candidate_added_whole,
            "Your candidate is added whole: what is new gets the share that is not kept, "
            "`(1 - z) * n + z * h`.",
        ),
        Mistake(
            _sigmoid_for_the_candidate,
            "Your candidate n goes through a sigmoid: only r and z are gates, from 0 to 1. The "
            "candidate takes the tanh.",
        ),
        Mistake(
            _candidate_without_tanh,
            "Your candidate n is a bare sum: take its tanh before it is mixed with h.",
        ),
        Mistake(
            _tanh_around_the_state,
            "Your new state goes through tanh once more: the candidate has its tanh, and the "
            "mixture of n and h is the state as it is.",
        ),
        Mistake(
            _bias_hh_forgotten,
            "`bias_hh` is missing: it is added to what comes from the state, in all three blocks.",
        ),
        Mistake(
            _four_blocks,
            "Three gates, not four, if the candidate is counted: the blocks of a GRU are r, z and "
            "n, and four are those of an LSTM.",
        ),
        Mistake(
            _cut_along_the_batch,
            "You cut the sums along the batch: the three blocks stand next to each other along "
            "the last axis, `chunk(3, dim=1)`.",
        ),
        Mistake(
            _h_in_place,
            "Your step writes into `h`, so the caller loses the old state: make a new tensor and "
            "return it.",
        ),
        Mistake(
            _h_detached,
            "Right forwards, but the old h is detached: no gradient gets back to the step before.",
        ),
        Mistake(
            _kept_h_detached,
            "Right forwards, but in `z * h` the h is detached: that is the way on which a gradient "
            "goes far back.",
        ),
        Mistake(
            _reset_looks_at_a_detached_h,
            "Right forwards, but your r is detached: the rows of the reset gate learn nothing.",
        ),
    ),
    inherited=(
        Mistake(
            _candidate_first,
            "Your candidate stands first: in `torch.nn` the rows stand in the order r, z, n.",
        ),
    ),
)

# --- 11.2 ----------------------------------------------------------------------------------------


def coupled_step(
    x_t: Tensor, h: Tensor, c: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM that writes as much as it forgets: the new h and the new c."""
    f, g, o = (x_t @ weight_ih.T + h @ weight_hh.T + bias).chunk(3, dim=1)
    f = torch.sigmoid(f)  # (batch, hidden)
    c = f * c + (1 - f) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _coupled_cases(draw: Draw) -> list[Case]:
    def case(name: str, batch: int, inputs: int, state: float = 1.0) -> Case:
        arguments = {
            "x_t": draw.normal(batch, inputs),
            "h": draw.normal(batch, hidden, scale=0.5 * state),
            "c": draw.normal(batch, hidden, scale=1.5 * state),
            **_weights(draw, inputs, hidden),
            "bias": draw.normal(3 * hidden, scale=0.5),
        }
        return Case(name, arguments)

    batch, inputs, hidden = draw.sizes(3)
    return [
        case("several sequences", batch, inputs),
        case("as many inputs as hidden units", batch, hidden),
        case("a batch of one", 1, inputs),
        case("a first state of zeros", batch, inputs, state=0.0),
    ]


def _of_four_blocks(step: Answer) -> Answer:
    """Make of a wrong LSTM step one with coupled gates: -f in the place of i makes i = 1 - f."""

    @functools.wraps(step)
    def coupled(x_t, h, c, weight_ih, weight_hh, bias):
        weights = [torch.cat([-w.chunk(3)[0], w]) for w in (weight_ih, weight_hh, bias)]
        return step(x_t, h, c, *weights)

    return coupled


def _three_blocks(x_t, h, weight_ih, weight_hh, bias):
    return (x_t @ weight_ih.T + h @ weight_hh.T + bias).chunk(3, dim=1)


def _f_and_its_rest_exchanged(x_t, h, c, weight_ih, weight_hh, bias):
    f, g, o = _three_blocks(x_t, h, weight_ih, weight_hh, bias)
    f = torch.sigmoid(f)
    c = (1 - f) * c + f * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _input_gate_equal_to_f(x_t, h, c, weight_ih, weight_hh, bias):
    f, g, o = _three_blocks(x_t, h, weight_ih, weight_hh, bias)
    f = torch.sigmoid(f)
    c = f * c + f * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _one_minus_the_bare_sum(x_t, h, c, weight_ih, weight_hh, bias):
    f, g, o = _three_blocks(x_t, h, weight_ih, weight_hh, bias)
    c = torch.sigmoid(f) * c + torch.sigmoid(1 - f) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _bare_sum_for_i(x_t, h, c, weight_ih, weight_hh, bias):
    f, g, o = _three_blocks(x_t, h, weight_ih, weight_hh, bias)
    c = torch.sigmoid(f) * c + (1 - f) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _order_f_o_g(x_t, h, c, weight_ih, weight_hh, bias):
    f, o, g = _three_blocks(x_t, h, weight_ih, weight_hh, bias)
    f = torch.sigmoid(f)
    c = f * c + (1 - f) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _coupled_to_the_output_gate(x_t, h, c, weight_ih, weight_hh, bias):
    f, g, o = _three_blocks(x_t, h, weight_ih, weight_hh, bias)
    o = torch.sigmoid(o)
    c = torch.sigmoid(f) * c + (1 - o) * torch.tanh(g)
    return o * torch.tanh(c), c


def _cut_in_four(x_t, h, c, weight_ih, weight_hh, bias):
    z = x_t @ weight_ih.T + h @ weight_hh.T + bias
    i, f, g, o = z.split(h.shape[1], dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _cut_in_four_by_chunk(x_t, h, c, weight_ih, weight_hh, bias):
    return ch10.lstm_step(x_t, h, c, weight_ih, weight_hh, bias)


def _h_and_c_merged(x_t, h, c, weight_ih, weight_hh, bias):
    f, g, o = _three_blocks(x_t, h, weight_ih, weight_hh, bias)
    f = torch.sigmoid(f)
    c = f * h + (1 - f) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _c_in_place(x_t, h, c, weight_ih, weight_hh, bias):
    h, c[:] = coupled_step(x_t, h, c, weight_ih, weight_hh, bias)
    return h, c


def _c_detached(x_t, h, c, weight_ih, weight_hh, bias):
    return coupled_step(x_t, h, c.detach(), weight_ih, weight_hh, bias)


def _rest_of_a_detached_gate(x_t, h, c, weight_ih, weight_hh, bias):
    f, g, o = _three_blocks(x_t, h, weight_ih, weight_hh, bias)
    f = torch.sigmoid(f)
    c = f * c + (1 - f.detach()) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


_IN_FOUR = (
    "You cut the rows in four: here are three blocks, f, g and o. The input gate has no rows of "
    "its own, `i = 1 - f`."
)

# What can go wrong here as in exercise 10.1, by the names of its mistakes.
_AS_IN_A_WHOLE_LSTM = (
    "no forget gate",
    "no input gate",
    "no output gate",
    "no tanh around c",
    "sigmoid for the candidate",
    "candidate without tanh",
    "sigmoid around c",
    "h from the old c",
    "c squashed",
    "forget gate times the whole sum",
    "h forgotten",
    "bias forgotten",
    "c fed back",
    "c first",
    "only h returned",
    "h detached",
    "new c detached",
)

COUPLED = Exercise(
    id="11.2",
    title="An LSTM with coupled gates",
    solution=coupled_step,
    cases=_coupled_cases,
    run=ch10.STEP.run,
    results=ch10.STEP.results,
    axes=AXES,
    gradients=True,
    hints=(
        "One sum of two products and the bias, as in 10.1, but (batch, 3 * hidden): "
        "`chunk(3, dim=1)` gives f, g, o.",
        "The input gate is what f leaves over, `1 - f`, taken after the sigmoid.",
        "`c = f * c + (1 - f) * g`, a weighted mean of the old and the new. Then "
        "`h = o * tanh(c)`, and h is returned first.",
    ),
    mistakes=(
        Mistake(
            _f_and_its_rest_exchanged,
            "Your f and 1 - f are exchanged: f is what is kept of the old c, and `1 - f` is what "
            "is let in of the candidate.",
        ),
        Mistake(
            _input_gate_equal_to_f,
            "Your input gate is f itself: coupled means that it is what f leaves over, `1 - f`.",
        ),
        Mistake(
            _one_minus_the_bare_sum,
            "You take 1 minus the sum, and then the sigmoid: the gate is `1 - f` after the "
            "sigmoid, which is the sigmoid of minus the sum.",
        ),
        Mistake(
            _bare_sum_for_i,
            "Your input gate is 1 minus the bare sum of f: take the sigmoid first.",
        ),
        Mistake(
            _order_f_o_g,
            "Your g and o are exchanged: the rows stand in the order f, g, o.",
        ),
        Mistake(
            _coupled_to_the_output_gate,
            "Your input gate is what the output gate leaves over: here it is tied to the forget "
            "gate, `1 - f`.",
        ),
        Mistake(_cut_in_four, _IN_FOUR),
        Mistake(
            _h_and_c_merged,
            "Your forget gate keeps the old h: this is still an LSTM, with a state of two, and f "
            "multiplies c.",
        ),
        Mistake(
            _c_in_place,
            "Your step writes into `c`, so the caller loses the old state: make a new tensor and "
            "return it.",
        ),
        Mistake(
            _c_detached,
            "Right forwards, but the old c is detached: the gradient along c ends here.",
        ),
        Mistake(
            _rest_of_a_detached_gate,
            "Right forwards, but in `1 - f` the gate is detached: f learns from what is kept, and "
            "has to learn from what is let in, too.",
        ),
    ),
    inherited=(
        Mistake(_cut_in_four_by_chunk, _IN_FOUR),
        *(
            Mistake(_of_four_blocks(mistake.code), mistake.message)
            for mistake in ch10.STEP.mistakes
            if mistake.name in _AS_IN_A_WHOLE_LSTM
        ),
    ),
)

# --- 11.3 ----------------------------------------------------------------------------------------


def count_parameters(
    kind: str,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    bidirectional: bool = False,
) -> int:
    """How many parameters torch.nn.RNN, GRU or LSTM has."""
    blocks = {"RNN": 1, "GRU": 3, "LSTM": 4}[kind]
    directions = 2 if bidirectional else 1
    total = 0
    for layer in range(num_layers):
        reads = input_size if layer == 0 else directions * hidden_size
        block = hidden_size * (reads + hidden_size + 2)  # two matrices and two biases
        total += directions * blocks * block
    return total


def _count_cases(draw: Draw) -> list[Case]:
    def case(name: str, kind: str, layers: int = 1, both: bool = False) -> Case:
        inputs, hidden = (size.item() for size in 10 * draw.integers(1, 9, 2))
        # The input is never as wide as one direction or two.
        arguments = {"kind": kind, "input_size": inputs + 3, "hidden_size": hidden}
        return Case(name, {**arguments, "num_layers": layers, "bidirectional": both})

    return [
        case("a GRU of three layers in both directions", "GRU", 3, True),
        case("an LSTM of two layers in both directions", "LSTM", 2, True),
        case("an RNN of two layers in both directions", "RNN", 2, True),
        case("one layer of a GRU", "GRU"),
        case("one layer of an LSTM", "LSTM"),
        case("one layer of an RNN", "RNN"),
        case("a GRU of two layers", "GRU", 2),
        case("one layer of an LSTM in both directions", "LSTM", 1, True),
    ]


_BLOCKS = {"RNN": 1, "GRU": 3, "LSTM": 4}


def _one_bias_counted(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    once = _BLOCKS[kind] * hidden_size * num_layers * (1 + bidirectional)
    return count_parameters(kind, input_size, hidden_size, num_layers, bidirectional) - once


def _no_bias_counted(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    once = _BLOCKS[kind] * hidden_size * num_layers * (1 + bidirectional)
    return count_parameters(kind, input_size, hidden_size, num_layers, bidirectional) - 2 * once


def _as_in_this_book(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    less = _BLOCKS[kind] - (kind == "GRU")
    less *= hidden_size * num_layers * (1 + bidirectional)
    return count_parameters(kind, input_size, hidden_size, num_layers, bidirectional) - less


def _b_hn_besides(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    more = hidden_size * num_layers * (1 + bidirectional) if kind == "GRU" else 0
    return count_parameters(kind, input_size, hidden_size, num_layers, bidirectional) + more


def _four_blocks_in_a_gru(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    kind = "LSTM" if kind == "GRU" else kind
    return count_parameters(kind, input_size, hidden_size, num_layers, bidirectional)


def _only_gates_counted(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    blocks = {"RNN": 1, "GRU": 2, "LSTM": 3}[kind]
    one = count_parameters("RNN", input_size, hidden_size, num_layers, bidirectional)
    return blocks * one


def _one_block_for_all(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    return count_parameters("RNN", input_size, hidden_size, num_layers, bidirectional)


def _every_layer_reads_the_input(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    return num_layers * count_parameters(kind, input_size, hidden_size, 1, bidirectional)


def _second_layer_reads_one_direction(
    kind, input_size, hidden_size, num_layers=1, bidirectional=False
):
    return (1 + bidirectional) * count_parameters(kind, input_size, hidden_size, num_layers)


def _one_direction_counted(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    whole = count_parameters(kind, input_size, hidden_size, num_layers, bidirectional)
    return whole // (1 + bidirectional)


def _directions_ignored(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    return count_parameters(kind, input_size, hidden_size, num_layers)


def _states_of_both_directions(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    return count_parameters(kind, input_size, (1 + bidirectional) * hidden_size, num_layers)


def _layers_ignored(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    return count_parameters(kind, input_size, hidden_size, 1, bidirectional)


COUNT = Exercise(
    id="11.3",
    title="How many parameters?",
    solution=count_parameters,
    cases=_count_cases,
    results=("number of parameters",),
    hints=(
        "Print the names and shapes of `named_parameters()` for a `torch.nn.GRU` of two layers in "
        "both directions. Which are there, and how many rows have they?",
        "One block of one layer and one direction has a matrix (hidden, what it reads), one "
        "(hidden, hidden), and two biases. An RNN has one block, a GRU three, an LSTM four.",
        "The first layer reads `input_size` numbers; every further one reads what the layer below "
        "says, in two directions `2 * hidden_size`. Each direction has weights of its own.",
    ),
    mistakes=(
        Mistake(
            _one_bias_counted,
            "You count one bias for each block: `torch.nn` keeps two, `bias_ih` and `bias_hh`.",
        ),
        Mistake(
            _no_bias_counted,
            "You count no biases: `torch.nn` keeps two for each block, `bias_ih` and `bias_hh`.",
        ),
        Mistake(
            _as_in_this_book,
            "That is the number of this book's layers, with one bias and b_hn: `torch.nn` keeps "
            "two biases for each block.",
        ),
        Mistake(
            _b_hn_besides,
            "You count b_hn besides the two biases: in `torch.nn` it is the last third of "
            "`bias_hh`.",
        ),
        Mistake(
            _four_blocks_in_a_gru,
            "Your GRU has the parameters of an LSTM: it has three blocks, r, z and n, not four.",
        ),
        Mistake(
            _only_gates_counted,
            "You count the gates, but the candidate has rows, too: a GRU has three blocks, r, z "
            "and n, an LSTM four, i, f, g and o.",
        ),
        Mistake(
            _one_block_for_all,
            "Right for an RNN, but each gate has matrices and biases of its own: a GRU has three "
            "blocks, an LSTM four.",
        ),
        Mistake(
            _every_layer_reads_the_input,
            "All your layers read `input_size` numbers: from the second on, a layer reads what "
            "the layer below says.",
        ),
        Mistake(
            _second_layer_reads_one_direction,
            "Your second layer reads one direction: with `bidirectional` it reads both next to "
            "each other, `2 * hidden_size` numbers.",
        ),
        Mistake(
            _one_direction_counted,
            "Your layers read both directions, but you count the weights of one: the backward "
            "direction has as many of its own.",
        ),
        Mistake(
            _directions_ignored,
            "Right for one direction, but `bidirectional` is not used: the backward direction has "
            "weights of its own, and a further layer reads both.",
        ),
        Mistake(
            _states_of_both_directions,
            "Your two directions are one layer of twice the size: each has a state of its own, "
            "and a matrix (hidden, hidden) that reads only that.",
        ),
        Mistake(
            _layers_ignored,
            "Right for one layer, but `num_layers` is not used: every further layer has its own "
            "weights.",
        ),
    ),
)

# --- 11.4 ----------------------------------------------------------------------------------------


def to_other_sign(
    weight_ih: Tensor, weight_hh: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights with which a cell whose z is what is renewed computes the same."""

    def turned(weight: Tensor) -> Tensor:
        r, z, n = weight.chunk(3)
        return torch.cat([r, -z, n])  # 1 - sigmoid(a) is sigmoid(-a)

    return turned(weight_ih), turned(weight_hh), turned(bias)


def _sign_cases(draw: Draw) -> list[Case]:
    def case(name: str, inputs: int, hidden: int) -> Case:
        return Case(
            name, {**_weights(draw, inputs, hidden), "bias": draw.normal(3 * hidden, scale=0.5)}
        )

    inputs, hidden = draw.sizes(2)
    return [
        case("several units", inputs, hidden),
        case("as many inputs as hidden units", hidden, hidden),
        case("one unit", inputs, 1),
    ]


_THREE = "three tensors"


def _run_sign(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    came = submission(*arguments.values())
    if not isinstance(came, tuple | list) or len(came) != 3:
        return {"answer": kind_of(came)}
    new = {f"new {name}": weight for name, weight in zip(arguments, came, strict=True)}
    return {"answer": _THREE, **new}


def _changing(*blocks: int, how: Answer = torch.neg) -> Answer:
    """Change the blocks of rows with these numbers."""

    def change(weight):
        parts = list(weight.chunk(3))
        for block in blocks:
            parts[block] = how(parts[block])
        return torch.cat(parts)

    return change


_turned = _changing(1)


def _everything_turned(weight_ih, weight_hh, bias):
    return -weight_ih, -weight_hh, -bias


def _nothing_turned(weight_ih, weight_hh, bias):
    return weight_ih.clone(), weight_hh.clone(), bias.clone()


def _bias_left(weight_ih, weight_hh, bias):
    return _turned(weight_ih), _turned(weight_hh), bias.clone()


def _only_the_bias(weight_ih, weight_hh, bias):
    return weight_ih.clone(), weight_hh.clone(), _turned(bias)


def _weight_hh_left(weight_ih, weight_hh, bias):
    return _turned(weight_ih), weight_hh.clone(), _turned(bias)


def _weight_ih_left(weight_ih, weight_hh, bias):
    return weight_ih.clone(), _turned(weight_hh), _turned(bias)


def _first_block(weight_ih, weight_hh, bias):
    return tuple(map(_changing(0), (weight_ih, weight_hh, bias)))


def _last_block(weight_ih, weight_hh, bias):
    return tuple(map(_changing(2), (weight_ih, weight_hh, bias)))


def _both_gates_turned(weight_ih, weight_hh, bias):
    return tuple(map(_changing(0, 1), (weight_ih, weight_hh, bias)))


def _one_minus_the_rows(weight_ih, weight_hh, bias):
    change = _changing(1, how=lambda rows: 1 - rows)
    return tuple(map(change, (weight_ih, weight_hh, bias)))


def _one_minus_the_bias(weight_ih, weight_hh, bias):
    change = _changing(1, how=lambda rows: 1 - rows)
    return _turned(weight_ih), _turned(weight_hh), change(bias)


def _blocks_exchanged(weight_ih, weight_hh, bias):
    def exchanged(weight):
        r, z, n = weight.chunk(3)
        return torch.cat([z, r, n])

    return exchanged(weight_ih), exchanged(weight_hh), exchanged(bias)


def _every_third_row(weight_ih, weight_hh, bias):
    new = [weight.clone() for weight in (weight_ih, weight_hh, bias)]
    for weight in new:
        weight[1::3] *= -1
    return tuple(new)


def _in_place(weight_ih, weight_hh, bias):
    hidden = weight_hh.shape[1]
    for weight in (weight_ih, weight_hh, bias):
        weight[hidden : 2 * hidden] *= -1
    return weight_ih, weight_hh, bias


def _bias_not_returned(weight_ih, weight_hh, bias):
    return _turned(weight_ih), _turned(weight_hh)


def _matrices_exchanged(weight_ih, weight_hh, bias):
    return _turned(weight_hh), _turned(weight_ih), _turned(bias)


def _bias_first(weight_ih, weight_hh, bias):
    return _turned(bias), _turned(weight_ih), _turned(weight_hh)


_ANOTHER_ORDER = (
    "Your numbers are right, but in another order: `weight_ih` is returned first, then "
    "`weight_hh`, then `bias`."
)

SIGN = Exercise(
    id="11.4",
    title="The other sign of the update gate",
    solution=to_other_sign,
    cases=_sign_cases,
    run=_run_sign,
    results=("answer", "new weight_ih", "new weight_hh", "new bias"),
    axes=AXES,
    hints=(
        "The other cell computes the same if its z is 1 minus ours, at each step. What is 1 minus "
        "a sigmoid?",
        "`1 - sigmoid(a)` is `sigmoid(-a)`: the whole sum a of the update gate gets the other "
        "sign. Which numbers stand in that sum?",
        "Three kinds of numbers: the middle block of `weight_ih`, of `weight_hh` and of `bias`. "
        "Put `torch.cat([r, -z, n])` together from `chunk(3)`. A bias b_hn belongs to n, and "
        "stays as it is.",
    ),
    mistakes=(
        Mistake(
            _everything_turned,
            "You turn the sign of all rows: the reset gate and the candidate are the same in both "
            "cells. Only the rows of z, the middle block, change.",
        ),
        Mistake(
            _nothing_turned,
            "Your weights are as they were: the other cell would keep where ours renews. The rows "
            "of z need the other sign.",
        ),
        Mistake(
            _bias_left,
            "Right for both matrices, but the bias of z stands in the same sum: it needs the other "
            "sign, too.",
        ),
        Mistake(
            _only_the_bias,
            "Right for the bias, but the rows of z in both matrices stand in the same sum: they "
            "need the other sign, too.",
        ),
        Mistake(
            _weight_hh_left,
            "`weight_hh` is as it was: what z sees of the old state stands in the same sum and "
            "needs the other sign, too.",
        ),
        Mistake(
            _weight_ih_left,
            "`weight_ih` is as it was: what z sees of the input stands in the same sum and needs "
            "the other sign, too.",
        ),
        Mistake(
            _first_block,
            "You turn the sign of the first block, which is the reset gate's: the order is r, z, "
            "n, so that of z is the middle one.",
        ),
        Mistake(
            _last_block,
            "You turn the sign of the last block, which is the candidate's: the order is r, z, n, "
            "so that of z is the middle one.",
        ),
        Mistake(
            _both_gates_turned,
            "You turn the sign of both gates: the reset gate is the same in both cells, and only "
            "z has the other meaning.",
        ),
        Mistake(
            _one_minus_the_rows,
            "You take 1 minus the rows of z: it is the gate that becomes 1 minus itself. For its "
            "sum that is the other sign, since `1 - sigmoid(a)` is `sigmoid(-a)`.",
        ),
        Mistake(
            _one_minus_the_bias,
            "Right for both matrices, but you take 1 minus the bias: its sign alone changes, as "
            "that of the whole sum does.",
        ),
        Mistake(
            _blocks_exchanged,
            "You exchange the blocks of r and z: that is another order, not the other sign. The "
            "blocks stay where they are, and that of z is multiplied by -1.",
        ),
        Mistake(
            _every_third_row,
            "You turn every third row: the gates are blocks of `hidden` rows, and that of z is the "
            "middle one.",
        ),
        Mistake(
            _in_place,
            "You change the weights that you were given, and the first cell would no longer "
            "compute what it did: return new tensors.",
        ),
        Mistake(
            _bias_not_returned,
            "You return two tensors: `weight_ih`, `weight_hh` and `bias` are asked for, in this "
            "order.",
        ),
        Mistake(_matrices_exchanged, _ANOTHER_ORDER),
    ),
    inherited=(Mistake(_bias_first, _ANOTHER_ORDER),),
)

EXERCISES = (GRU, COUPLED, COUNT, SIGN)
