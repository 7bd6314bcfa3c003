"""Exercises of chapter 10, the LSTM."""
# Answers, right and wrong, look as readers write them.
# ruff: noqa: ANN001, ANN002, ANN202, D401

import copy
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unrolled.exercises.exercise import Case, Draw, Exercise, Mistake
from unrolled.exercises.wording import kind_of

Answer = Callable[..., Any]

AXES = {
    "x_t": ("batch", "input"),
    "h": ("batch", "hidden"),
    "c": ("batch", "hidden"),
    "weight_ih": ("4 * hidden", "input"),
    "weight_hh": ("4 * hidden", "hidden"),
    "bias": ("4 * hidden",),
    "peep_i": ("hidden",),
    "peep_f": ("hidden",),
    "peep_o": ("hidden",),
    "new h": ("batch", "hidden"),
    "new c": ("batch", "hidden"),
}

# --- 10.1 ----------------------------------------------------------------------------------------


def lstm_step(
    x_t: Tensor, h: Tensor, c: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: the new h and the new c."""
    z = x_t @ weight_ih.T + h @ weight_hh.T + bias  # (batch, 4 * hidden)
    i, f, g, o = z.chunk(4, dim=1)  # (batch, hidden) each
    i, f, o = torch.sigmoid(i), torch.sigmoid(f), torch.sigmoid(o)
    c = f * c + i * torch.tanh(g)
    return o * torch.tanh(c), c


def _step_arguments(
    draw: Draw, batch: int, inputs: int, hidden: int, scale: float = 1.0
) -> dict[str, Tensor]:
    return {
        "x_t": draw.normal(batch, inputs),
        "h": draw.normal(batch, hidden, scale=0.5 * scale),
        "c": draw.normal(batch, hidden, scale=1.5 * scale),
        "weight_ih": draw.normal(4 * hidden, inputs, scale=0.5),
        "weight_hh": draw.normal(4 * hidden, hidden, scale=0.5),
        "bias": draw.normal(4 * hidden, scale=0.5),
    }


def _step_cases(draw: Draw) -> list[Case]:
    batch, inputs, hidden = draw.sizes(3)
    return [
        Case("several sequences", _step_arguments(draw, batch, inputs, hidden)),
        Case("as many inputs as hidden units", _step_arguments(draw, batch, hidden, hidden)),
        Case("a batch of one", _step_arguments(draw, 1, inputs, hidden)),
        Case("a first state of zeros", _step_arguments(draw, batch, inputs, hidden, scale=0.0)),
    ]


def _run_step(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    came = submission(*arguments.values())
    if not isinstance(came, tuple | list) or len(came) != 2:
        return {"answer": kind_of(came)}
    h, c = came
    return {"answer": "h and c, two tensors", "new c": c, "new h": h}  # h is made of c


def _sums(x_t, h, weight_ih, weight_hh, bias):
    """The sums of i, f, g and o before their activations."""
    return (x_t @ weight_ih.T + h @ weight_hh.T + bias).chunk(4, dim=1)


def _gates(x_t, h, weight_ih, weight_hh, bias):
    """The gates i, f, o and the candidate g after their activations, in torch's order."""
    i, f, g, o = _sums(x_t, h, weight_ih, weight_hh, bias)
    return torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)


def _rows_from(order: str, weight: Tensor) -> Tensor:
    """Bring blocks of rows that stand in `order` into torch's."""
    blocks = weight.chunk(4)
    return torch.cat([blocks[order.index(gate)] for gate in "ifgo"])


def _reading(order: str, step: Answer) -> Answer:
    """Make of a right step one that reads the rows in another order."""

    def read(x_t, h, c, weight_ih, weight_hh, bias, *peepholes):
        weights = (_rows_from(order, weight) for weight in (weight_ih, weight_hh, bias))
        return step(x_t, h, c, *weights, *peepholes)

    return read


def _order_i_f_o_g(x_t, h, c, weight_ih, weight_hh, bias):
    return _reading("ifog", lstm_step)(x_t, h, c, weight_ih, weight_hh, bias)


def _input_and_forget_gate_exchanged(x_t, h, c, weight_ih, weight_hh, bias):
    return _reading("figo", lstm_step)(x_t, h, c, weight_ih, weight_hh, bias)


def _no_forget_gate(x_t, h, c, weight_ih, weight_hh, bias):
    i, _, g, o = _gates(x_t, h, weight_ih, weight_hh, bias)
    c = c + i * g
    return o * torch.tanh(c), c


def _no_input_gate(x_t, h, c, weight_ih, weight_hh, bias):
    _, f, g, o = _gates(x_t, h, weight_ih, weight_hh, bias)
    c = f * c + g
    return o * torch.tanh(c), c


def _no_output_gate(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, g, _ = _gates(x_t, h, weight_ih, weight_hh, bias)
    c = f * c + i * g
    return torch.tanh(c), c


def _no_tanh_around_c(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = _gates(x_t, h, weight_ih, weight_hh, bias)
    c = f * c + i * g
    return o * c, c


def _sigmoid_for_the_candidate(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = _sums(x_t, h, weight_ih, weight_hh, bias)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.sigmoid(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _candidate_without_tanh(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = _sums(x_t, h, weight_ih, weight_hh, bias)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * g
    return torch.sigmoid(o) * torch.tanh(c), c


def _tanh_for_the_gates(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = _sums(x_t, h, weight_ih, weight_hh, bias)
    c = torch.tanh(f) * c + torch.tanh(i) * torch.tanh(g)
    return torch.tanh(o) * torch.tanh(c), c


def _gates_without_activation(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = _sums(x_t, h, weight_ih, weight_hh, bias)
    c = f * c + i * torch.tanh(g)
    return o * torch.tanh(c), c


def _sigmoid_around_c(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = _gates(x_t, h, weight_ih, weight_hh, bias)
    c = f * c + i * g
    return o * torch.sigmoid(c), c


def _h_from_the_old_c(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = _gates(x_t, h, weight_ih, weight_hh, bias)
    return o * torch.tanh(c), f * c + i * g


def _c_squashed(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = _gates(x_t, h, weight_ih, weight_hh, bias)
    c = torch.tanh(f * c + i * g)
    return o * c, c


def _c_squashed_twice(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = _gates(x_t, h, weight_ih, weight_hh, bias)
    c = torch.tanh(f * c + i * g)
    return o * torch.tanh(c), c


def _forget_gate_turned_round(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = _gates(x_t, h, weight_ih, weight_hh, bias)
    c = (1 - f) * c + i * g
    return o * torch.tanh(c), c


def _forget_gate_times_the_whole_sum(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = _gates(x_t, h, weight_ih, weight_hh, bias)
    c = f * (c + i * g)
    return o * torch.tanh(c), c


def _one_minus_the_forget_gate(x_t, h, c, weight_ih, weight_hh, bias):
    _, f, g, o = _gates(x_t, h, weight_ih, weight_hh, bias)
    c = f * c + (1 - f) * g
    return o * torch.tanh(c), c


def _h_forgotten(x_t, h, c, weight_ih, weight_hh, bias):
    return lstm_step(x_t, 0 * h, c, weight_ih, weight_hh, bias)


def _bias_forgotten(x_t, h, c, weight_ih, weight_hh, bias):
    return lstm_step(x_t, h, c, weight_ih, weight_hh, 0 * bias)


def _c_fed_back(x_t, h, c, weight_ih, weight_hh, bias):
    return lstm_step(x_t, c, c, weight_ih, weight_hh, bias)


def _c_first(x_t, h, c, weight_ih, weight_hh, bias):
    h, c = lstm_step(x_t, h, c, weight_ih, weight_hh, bias)
    return c, h


def _only_h_returned(x_t, h, c, weight_ih, weight_hh, bias):
    h, _ = lstm_step(x_t, h, c, weight_ih, weight_hh, bias)
    return h


def _as_torch_returns_it(x_t, h, c, weight_ih, weight_hh, bias):
    h, c = lstm_step(x_t, h, c, weight_ih, weight_hh, bias)
    return h, (h, c)


def _cut_along_the_batch(x_t, h, c, weight_ih, weight_hh, bias):
    z = x_t @ weight_ih.T + h @ weight_hh.T + bias
    i, f, g, o = z.chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _sums_mixed_by_a_view(x_t, h, c, weight_ih, weight_hh, bias):
    z = x_t @ weight_ih.T + h @ weight_hh.T + bias
    i, f, g, o = z.view(4, *h.shape)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _gates_between_each_other(x_t, h, c, weight_ih, weight_hh, bias):
    z = x_t @ weight_ih.T + h @ weight_hh.T + bias
    i, f, g, o = (z[:, first::4] for first in range(4))
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _c_in_place(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = _gates(x_t, h, weight_ih, weight_hh, bias)
    c[:] = f * c + i * g
    return o * torch.tanh(c), c


def _c_detached(x_t, h, c, weight_ih, weight_hh, bias):
    return lstm_step(x_t, h, c.detach(), weight_ih, weight_hh, bias)


def _h_detached(x_t, h, c, weight_ih, weight_hh, bias):
    return lstm_step(x_t, h.detach(), c, weight_ih, weight_hh, bias)


def _new_c_detached(x_t, h, c, weight_ih, weight_hh, bias):
    h, c = lstm_step(x_t, h, c, weight_ih, weight_hh, bias)
    return h, c.detach()


_IFOG = (
    "Your gates stand in the order i, f, o, g: in `torch.nn` the candidate g comes third and the "
    "output gate o last, i, f, g, o."
)
_FIGO = (
    "Your input gate and your forget gate are exchanged: the rows stand in the order i, f, g, o, "
    "and f multiplies the old c, as in `c = f * c + i * g`."
)
_SQUASHED = (
    "Your c is squashed: it is the sum as it is and may grow beyond 1. The tanh stands in h alone, "
    "as in `h = o * tanh(c)`."
)
_BETWEEN = (
    "You take every fourth column for a gate: each gate has a block of its own, `hidden` columns "
    "next to each other, as `z.chunk(4, dim=1)` cuts them."
)


# Orders that people write or meet; nobody begins with the candidate or the output gate.
_ORDERS = ["".join(order) for order in itertools.permutations("ifgo") if order[0] in "if"]


# What goes wrong outside the sums before the activations, and so with peepholes, too.
_STEP_MISTAKES = (
    Mistake(
        _no_forget_gate,
        "Your old c is added as it is, and never forgotten: multiply it by f first, as in "
        "`c = f * c + i * g`.",
    ),
    Mistake(
        _no_input_gate,
        "Your candidate goes into c unasked: multiply it by the input gate, as in "
        "`c = f * c + i * g`.",
    ),
    Mistake(
        _no_output_gate,
        "Your c is right, but the output gate is missing from h: `h = o * tanh(c)`.",
    ),
    Mistake(
        _no_tanh_around_c,
        "Your c is right, but in h the tanh around it is missing: c may grow beyond 1, and "
        "`h = o * tanh(c)` stays between -1 and 1.",
    ),
    Mistake(
        _sigmoid_for_the_candidate,
        "Your candidate g goes through a sigmoid: only i, f and o are gates, from 0 to 1. The "
        "candidate takes the tanh, so that it can lower c, too.",
    ),
    Mistake(
        _candidate_without_tanh,
        "Your candidate g goes into c as a bare sum: take its tanh first.",
    ),
    Mistake(
        _tanh_for_the_gates,
        "Your gates go through tanh: i, f and o take the sigmoid, from 0 for closed to 1 for open. "
        "Only the candidate g and the c in h take the tanh.",
    ),
    Mistake(
        _sigmoid_around_c,
        "Your c is right, but in h a sigmoid stands around it: `h = o * tanh(c)`.",
    ),
    Mistake(
        _h_from_the_old_c,
        "Your c is right, but your h is made of the old c: take the new one in `h = o * tanh(c)`.",
    ),
    Mistake(_c_squashed, _SQUASHED),
    Mistake(
        _forget_gate_turned_round,
        "Your forget gate is turned round: in spite of its name it says how much of c is kept, "
        "`f * c` rather than `(1 - f) * c`.",
    ),
    Mistake(
        _forget_gate_times_the_whole_sum,
        "Your forget gate also multiplies what is new: f belongs to the old c alone, as in "
        "`c = f * c + i * g`.",
    ),
    Mistake(
        _one_minus_the_forget_gate,
        "You let in `1 - f` of the candidate, as a coupled cell does: here the input gate i is a "
        "gate of its own, with rows of its own.",
    ),
)

STEP = Exercise(
    id="10.1",
    title="One step of an LSTM",
    solution=lstm_step,
    cases=_step_cases,
    run=_run_step,
    results=("answer", "new c", "new h"),
    axes=AXES,
    gradients=True,
    hints=(
        "Begin as in a plain cell: one sum of two products and the bias. Here it is (batch, "
        "4 * hidden), four blocks next to each other: `z.chunk(4, dim=1)`.",
        "In torch's order the blocks are i, f, g, o. Three of them are gates and take the sigmoid; "
        "g is what might be written, and takes the tanh.",
        "`c = f * c + i * g`: keep some of the old, let in some of the new. Then "
        "`h = o * tanh(c)`, with the new c. Return h first.",
    ),
    mistakes=(
        Mistake(_order_i_f_o_g, _IFOG),
        Mistake(_input_and_forget_gate_exchanged, _FIGO),
        *_STEP_MISTAKES,
        Mistake(
            _gates_without_activation,
            "Your gates are bare sums: a sigmoid brings i, f and o between 0 and 1.",
        ),
        Mistake(
            _h_forgotten,
            "Your new state does not depend on the old h: the sum has two products, and "
            "`h @ weight_hh.T` is missing.",
        ),
        Mistake(_bias_forgotten, "Both products are there, but the bias is missing from the sum."),
        Mistake(
            _c_fed_back,
            "Your gates look at c: `weight_hh` is multiplied with h, and c does not go through a "
            "matrix at all.",
        ),
        Mistake(
            _c_first,
            "Your two results are in the other order: h first, then c, as in `return h, c`.",
        ),
        Mistake(
            _only_h_returned,
            "You return h alone: the next step needs c, too, as in `return h, c`.",
        ),
        Mistake(
            _cut_along_the_batch,
            "You cut the sum along the batch: the four gates stand next to each other along the "
            "last axis, `z.chunk(4, dim=1)`.",
        ),
        Mistake(
            _sums_mixed_by_a_view,
            "Your `view` or `reshape` mixes sequences and gates: it fills the numbers in row by "
            "row. Cut the columns with `z.chunk(4, dim=1)`.",
        ),
        Mistake(_gates_between_each_other, _BETWEEN),
        Mistake(
            _c_in_place,
            "Your step writes into `c`, so the caller loses the old state: make a new tensor and "
            "return it.",
        ),
        Mistake(
            _c_detached,
            "Right forwards, but the old c is detached: the gradient that goes back along c is "
            "what an LSTM is for.",
        ),
        Mistake(
            _h_detached,
            "Right forwards, but the old h is detached: the gates learn nothing from what they do "
            "to later steps.",
        ),
        Mistake(
            _new_c_detached,
            "Right forwards, but the c that you return is detached: the next step's gradient ends "
            "there.",
        ),
    ),
    inherited=(
        *(
            Mistake(
                _reading(order, lstm_step),
                f"Your gates stand in the order {', '.join(order)}: here, as in `torch.nn`, the "
                "rows are those of i, f, g, o.",
            )
            for order in _ORDERS
            if order not in ("ifgo", "ifog", "figo")
        ),
        Mistake(_c_squashed_twice, _SQUASHED),
        Mistake(
            _as_torch_returns_it,
            "You return the output and a state of two, as the layers do: here h and c alone, "
            "`return h, c`.",
        ),
    ),
)

# --- 10.2 ----------------------------------------------------------------------------------------


def peephole_step(
    x_t: Tensor,
    h: Tensor,
    c: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor,
    peep_i: Tensor,
    peep_f: Tensor,
    peep_o: Tensor,
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM whose gates look at c: the new h and the new c."""
    z = x_t @ weight_ih.T + h @ weight_hh.T + bias  # (batch, 4 * hidden)
    i, f, g, o = z.chunk(4, dim=1)  # (batch, hidden) each
    i, f = torch.sigmoid(i + peep_i * c), torch.sigmoid(f + peep_f * c)
    c = f * c + i * torch.tanh(g)
    o = torch.sigmoid(o + peep_o * c)
    return o * torch.tanh(c), c


def _peephole_cases(draw: Draw) -> list[Case]:
    def case(name: str, batch: int, scale: float = 1.0, peep: float = 1.0) -> Case:
        names = ("peep_i", "peep_f", "peep_o")
        peepholes = {name: draw.normal(hidden, scale=peep) for name in names}
        return Case(name, {**_step_arguments(draw, batch, inputs, hidden, scale), **peepholes})

    batch, inputs, hidden = draw.sizes(3)
    return [
        case("several sequences", batch),
        case("as many sequences as units", hidden),
        case("a batch of one", 1),
        case("a first state of zeros", batch, scale=0.0),
        case("peepholes of zero", batch, peep=0.0),
    ]


def _output_gate_sees_the_old_c(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    i, f, g, o = _sums(x_t, h, weight_ih, weight_hh, bias)
    i, f = torch.sigmoid(i + peep_i * c), torch.sigmoid(f + peep_f * c)
    o = torch.sigmoid(o + peep_o * c)
    c = f * c + i * torch.tanh(g)
    return o * torch.tanh(c), c


def _no_peepholes(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    return lstm_step(x_t, h, c, weight_ih, weight_hh, bias)


def _no_peephole_of_the_input_gate(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    return peephole_step(x_t, h, c, weight_ih, weight_hh, bias, 0 * peep_i, peep_f, peep_o)


def _no_peephole_of_the_forget_gate(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    return peephole_step(x_t, h, c, weight_ih, weight_hh, bias, peep_i, 0 * peep_f, peep_o)


def _no_peephole_of_the_output_gate(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    return peephole_step(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, 0 * peep_o)


def _peepholes_of_i_and_f_exchanged(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    return peephole_step(x_t, h, c, weight_ih, weight_hh, bias, peep_f, peep_i, peep_o)


def _outside_the_sigmoid(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    i, f, g, o = _gates(x_t, h, weight_ih, weight_hh, bias)
    c = (f + peep_f * c) * c + (i + peep_i * c) * g
    return (o + peep_o * c) * torch.tanh(c), c


def _look_at_h(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    i, f, g, o = _sums(x_t, h, weight_ih, weight_hh, bias)
    i, f = torch.sigmoid(i + peep_i * h), torch.sigmoid(f + peep_f * h)
    c = f * c + i * torch.tanh(g)
    return torch.sigmoid(o + peep_o * h) * torch.tanh(c), c


def _look_at_tanh_of_c(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    i, f, g, o = _sums(x_t, h, weight_ih, weight_hh, bias)
    i = torch.sigmoid(i + peep_i * torch.tanh(c))
    f = torch.sigmoid(f + peep_f * torch.tanh(c))
    c = f * c + i * torch.tanh(g)
    return torch.sigmoid(o + peep_o * torch.tanh(c)) * torch.tanh(c), c


def _output_gate_looks_at_tanh_of_c(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    i, f, g, o = _sums(x_t, h, weight_ih, weight_hh, bias)
    i, f = torch.sigmoid(i + peep_i * c), torch.sigmoid(f + peep_f * c)
    c = f * c + i * torch.tanh(g)
    return torch.sigmoid(o + peep_o * torch.tanh(c)) * torch.tanh(c), c


def _added_as_biases(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    more = torch.cat([peep_i, peep_f, torch.zeros_like(peep_i), peep_o])
    return lstm_step(x_t, h, c, weight_ih, weight_hh, bias + more)


def _as_matrix_products(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    i, f, g, o = _sums(x_t, h, weight_ih, weight_hh, bias)
    i, f = torch.sigmoid(i + c @ peep_i), torch.sigmoid(f + c @ peep_f)
    c = f * c + i * torch.tanh(g)
    return torch.sigmoid(o + c @ peep_o) * torch.tanh(c), c


def _one_number_for_a_sequence(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    i, f, g, o = _sums(x_t, h, weight_ih, weight_hh, bias)
    i = torch.sigmoid(i + (c * peep_i).sum(1, keepdim=True))
    f = torch.sigmoid(f + (c * peep_f).sum(1, keepdim=True))
    c = f * c + i * torch.tanh(g)
    return torch.sigmoid(o + (c * peep_o).sum(1, keepdim=True)) * torch.tanh(c), c


def _forget_gate_sees_what_the_input_gate_let_in(
    x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o
):
    i, f, g, o = _sums(x_t, h, weight_ih, weight_hh, bias)
    new = torch.sigmoid(i + peep_i * c) * torch.tanh(g)
    c = torch.sigmoid(f + peep_f * (c + new)) * c + new
    return torch.sigmoid(o + peep_o * c) * torch.tanh(c), c


def _new_h_first_of_two(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    h, c = peephole_step(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o)
    return c, h


def _new_c_in_place(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    h, new = peephole_step(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o)
    c[:] = new
    return h, c


def _looks_at_detached_c(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    i, f, g, o = _sums(x_t, h, weight_ih, weight_hh, bias)
    i = torch.sigmoid(i + peep_i * c.detach())
    f = torch.sigmoid(f + peep_f * c.detach())
    c = f * c + i * torch.tanh(g)
    return torch.sigmoid(o + peep_o * c.detach()) * torch.tanh(c), c


def _output_gate_looks_at_detached_c(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    i, f, g, o = _sums(x_t, h, weight_ih, weight_hh, bias)
    i, f = torch.sigmoid(i + peep_i * c), torch.sigmoid(f + peep_f * c)
    c = f * c + i * torch.tanh(g)
    return torch.sigmoid(o + peep_o * c.detach()) * torch.tanh(c), c


def _all_of_c_detached(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    c = c.detach()
    return peephole_step(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o)


_DETACHED_LOOK = (
    "Right forwards, but the gates look at a detached c: in 1997 such paths were cut, here the "
    "gradient goes back through the peepholes, too."
)


def _with_peepholes(step: Answer) -> Answer:
    """Make of a wrong LSTM step one whose gates look at c."""

    def looking(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
        # What the gates see is a bias that differs from sequence to sequence.
        nothing = torch.zeros_like(c)
        old = torch.cat([peep_i * c, peep_f * c, nothing, nothing], dim=1)
        _, new = step(x_t, h, c, weight_ih, weight_hh, bias + old)
        both = torch.cat([peep_i * c, peep_f * c, nothing, peep_o * new], dim=1)
        return step(x_t, h, c, weight_ih, weight_hh, bias + both)

    return looking


PEEPHOLES = Exercise(
    id="10.2",
    title="Peepholes",
    solution=peephole_step,
    cases=_peephole_cases,
    run=_run_step,
    results=("answer", "new c", "new h"),
    axes=AXES,
    gradients=True,
    hints=(
        "All is as in 10.1, but for one more term in the sum of each gate, before its sigmoid. The "
        "candidate has no peephole.",
        "A unit's gate looks at its own c alone, so a peephole is one number for each unit: "
        "`peep_i * c`, with `*` and not `@`.",
        "Which c? The input and the forget gate stand before the update and see the old one. The "
        "output gate comes last: compute the new c first, then `o + peep_o * c`.",
    ),
    mistakes=(
        Mistake(
            _output_gate_sees_the_old_c,
            "Your c is right, but your output gate looks at the old c: it is computed after the "
            "update, and sees the new one.",
        ),
        Mistake(
            _no_peepholes,
            "Right as an LSTM without peepholes: add `peep_i * c`, `peep_f * c` and `peep_o * c` "
            "to the sums of the three gates.",
        ),
        Mistake(
            _no_peephole_of_the_input_gate,
            "Your input gate has no peephole: add `peep_i * c` to its sum.",
        ),
        Mistake(
            _no_peephole_of_the_forget_gate,
            "Your forget gate has no peephole: add `peep_f * c` to its sum.",
        ),
        Mistake(
            _no_peephole_of_the_output_gate,
            "Your c is right, but your output gate has no peephole: add `peep_o` times the new c "
            "to its sum.",
        ),
        Mistake(
            _peepholes_of_i_and_f_exchanged,
            "Your peepholes of the input and the forget gate are exchanged: `peep_i` belongs to i.",
        ),
        Mistake(
            _outside_the_sigmoid,
            "Your peepholes stay outside the sigmoid: add them to the sums first, so that a gate "
            "stays between 0 and 1.",
        ),
        Mistake(
            _look_at_h,
            "Your peepholes look at h, which the gates see anyway: they look at c, which no gate "
            "has seen so far.",
        ),
        Mistake(
            _look_at_tanh_of_c,
            "Your peepholes look at the tanh of c: they look at c itself, which may be large.",
        ),
        Mistake(
            _output_gate_looks_at_tanh_of_c,
            "Your c is right, but your output gate looks at its tanh: it looks at c itself.",
        ),
        Mistake(
            _added_as_biases,
            "You add the peepholes as if they were biases: each is multiplied by c first, as in "
            "`peep_i * c`.",
        ),
        Mistake(
            _as_matrix_products,
            "Your `c @ peep_i` is one number for each sequence, over all units: each gate looks at "
            "the c of its own unit, `peep_i * c`.",
        ),
        Mistake(
            _forget_gate_sees_what_the_input_gate_let_in,
            "Your forget gate looks at a c to which something was added already: the input and the "
            "forget gate both see the old c.",
        ),
        Mistake(
            _new_h_first_of_two,
            "Your two results are in the other order: h first, then c, as in `return h, c`.",
        ),
        Mistake(
            _new_c_in_place,
            "Your step writes into `c`, so the caller loses the old state: make a new tensor and "
            "return it.",
        ),
        Mistake(_looks_at_detached_c, _DETACHED_LOOK),
        Mistake(
            _all_of_c_detached,
            "Right forwards, but the old c is detached: the gradient that goes back along c is "
            "what an LSTM is for.",
        ),
    ),
    inherited=(
        Mistake(_output_gate_looks_at_detached_c, _DETACHED_LOOK),
        Mistake(
            _one_number_for_a_sequence,
            "Your peepholes add up all units of a sequence: each gate looks at the c of its own "
            "unit, `peep_i * c`, with no sum.",
        ),
        Mistake(_reading("figo", peephole_step), _FIGO),
        Mistake(_reading("ifog", peephole_step), _IFOG),
        *(Mistake(_with_peepholes(m.code), m.message) for m in _STEP_MISTAKES),
    ),
)

# --- 10.3 ----------------------------------------------------------------------------------------


def reorder_gates(weight: Tensor, hidden_size: int, order: str) -> Tensor:
    """The rows of a matrix or of a bias, from another library's order to that of torch."""
    blocks = dict(zip(order, weight.split(hidden_size), strict=True))  # (hidden, ...) each
    return torch.cat([blocks[gate] for gate in "ifgo"])


# Orders that are not their own way back, so that both directions differ.
_ONE_WAY = [
    order for order in _ORDERS if [*map(order.index, "ifgo")] != [*map("ifgo".index, order)]
]


def _reorder_cases(draw: Draw) -> list[Case]:
    def case(name: str, order: str, hidden: int, *columns: int) -> Case:
        weight = draw.normal(4 * hidden, *columns)
        return Case(name, {"weight": weight, "hidden_size": hidden, "order": order})

    def other(*but: str) -> str:
        orders = [order for order in _ONE_WAY if order not in but]
        return orders[int(draw.integers(0, len(orders) - 1, 1))]

    inputs, hidden = draw.sizes(2)
    drawn = other("iofg")
    another = other("iofg", drawn)
    return [
        case('a matrix in the order "iofg"', "iofg", hidden, inputs),
        case(f'a matrix in the order "{drawn}"', drawn, hidden, hidden),
        case(f'a bias in the order "{another}"', another, hidden),
        case('the order "figo"', "figo", hidden, inputs),
        case("torch's own order", "ifgo", hidden, inputs),
        case("one hidden unit", drawn, 1, inputs),
    ]


def _as_it_came(weight, hidden_size, order):
    return weight


def _the_other_way_round(weight, hidden_size, order):
    blocks = dict(zip("ifgo", weight.split(hidden_size), strict=True))
    return torch.cat([blocks[gate] for gate in order])


def _to_i_f_o_g(weight, hidden_size, order):
    blocks = dict(zip(order, weight.split(hidden_size), strict=True))
    return torch.cat([blocks[gate] for gate in "ifog"])


def _to_f_i_g_o(weight, hidden_size, order):
    blocks = dict(zip(order, weight.split(hidden_size), strict=True))
    return torch.cat([blocks[gate] for gate in "figo"])


def _by_the_alphabet(weight, hidden_size, order):
    blocks = dict(zip(order, weight.split(hidden_size), strict=True))
    return torch.cat([blocks[gate] for gate in sorted(order)])


def _always_from_one_order(weight, hidden_size, order):
    return reorder_gates(weight, hidden_size, "iofg")


def _last_two_swapped(weight, hidden_size, order):
    i, f, o, g = weight.split(hidden_size)
    return torch.cat([i, f, g, o])


def _single_rows(weight, hidden_size, order):
    return weight[[order.index(gate) for gate in "ifgo"]]


def _every_fourth_row(weight, hidden_size, order):
    rows = weight.unflatten(0, (hidden_size, 4))
    return rows[:, [order.index(gate) for gate in "ifgo"]].flatten(0, 1)


def _columns(weight, hidden_size, order):
    return reorder_gates(weight.T, hidden_size, order).T


def _blocks_on_an_axis_of_their_own(weight, hidden_size, order):
    return weight.unflatten(0, (4, hidden_size))[[order.index(gate) for gate in "ifgo"]]


def _a_bias_becomes_a_matrix(weight, hidden_size, order):
    blocks = weight.view(4, hidden_size, -1)[[order.index(gate) for gate in "ifgo"]]
    return blocks.reshape(4 * hidden_size, -1)


def _rows_overwritten_before_they_are_read(weight, hidden_size, order):
    new = weight.clone()
    for to, gate in enumerate("ifgo"):
        start = order.index(gate) * hidden_size
        new[to * hidden_size : (to + 1) * hidden_size] = new[start : start + hidden_size].clone()
    return new


def _rows_in_place(weight, hidden_size, order):
    weight[:] = reorder_gates(weight, hidden_size, order)
    return weight


_ROWS_BETWEEN = (
    "You take every fourth row for a gate: each gate has a block of its own, `hidden_size` rows "
    "next to each other, as `weight.split(hidden_size)` cuts them."
)

REORDER = Exercise(
    id="10.3",
    title="Weights from elsewhere",
    solution=reorder_gates,
    cases=_reorder_cases,
    results=("reordered weight",),
    hints=(
        "The gates are four blocks of `hidden_size` rows each. `weight.split(hidden_size)` gives "
        "the four, and works for a matrix and a bias alike.",
        "The first block belongs to the gate that `order` names first. A `dict` from the letter to "
        "the block lets you forget about places.",
        '`torch.cat([blocks[gate] for gate in "ifgo"])`, with `blocks` made by '
        "`dict(zip(order, weight.split(hidden_size)))`.",
    ),
    mistakes=(
        Mistake(
            _the_other_way_round,
            "You go the other way round, from torch's order to the other one: `order` says how the "
            "blocks stand now, and i, f, g, o is where they should end.",
        ),
        Mistake(_as_it_came, "You return the weight as it came: its blocks are to be reordered."),
        Mistake(
            _to_i_f_o_g,
            "You end in the order i, f, o, g: in `torch.nn` the candidate g comes third and the "
            "output gate o last.",
        ),
        Mistake(
            _to_f_i_g_o,
            "You end in the order f, i, g, o: in `torch.nn` the input gate i comes first.",
        ),
        Mistake(
            _by_the_alphabet,
            "You end in the order of the alphabet, f, g, i, o: the order of torch is i, f, g, o.",
        ),
        Mistake(
            _always_from_one_order,
            'Right for the order "iofg" alone: read the places from `order`, which differs from '
            "library to library.",
        ),
        Mistake(
            _last_two_swapped,
            "You exchange the last two blocks, whatever `order` says: read the places from it.",
        ),
        Mistake(
            _single_rows,
            "You take four single rows: each gate has a block of `hidden_size` rows.",
        ),
        Mistake(_every_fourth_row, _ROWS_BETWEEN),
        Mistake(
            _columns,
            "You reorder columns: the gates are blocks of rows, along the first axis.",
        ),
        Mistake(
            _blocks_on_an_axis_of_their_own,
            "Your blocks are in the right order, but on an axis of their own: put them below each "
            "other again, so that the result has the shape of `weight`.",
        ),
        Mistake(
            _a_bias_becomes_a_matrix,
            "Right for a matrix, but your bias has become a matrix of one column: the result has "
            "the shape of `weight`.",
        ),
        Mistake(
            _rows_overwritten_before_they_are_read,
            "Your blocks are overwritten before they are read: take them from `weight`, and write "
            "into a tensor of its own.",
        ),
        Mistake(
            _rows_in_place,
            "You change the weight that you were given: return a new tensor, as `torch.cat` makes "
            "it.",
        ),
    ),
)

# --- 10.4 ----------------------------------------------------------------------------------------


def set_forget_bias(module: torch.nn.LSTM, value: float) -> None:
    """Let the forget gates' total bias be `value`, in each layer and direction."""
    forget = slice(module.hidden_size, 2 * module.hidden_size)  # the second of i, f, g, o
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.startswith("bias_ih"):
                parameter[forget] = value
            elif name.startswith("bias_hh"):
                parameter[forget] = 0.0


_GATE_NAMES = ("input gates", "forget gates", "candidates", "output gates")


def _layers(module: torch.nn.LSTM) -> dict[str, str]:
    """Suffix of the parameters of each layer and direction, and what to call it."""
    ways = {"": " forward", "_reverse": " backward"} if module.bidirectional else {"": ""}
    return {
        f"_l{layer}{suffix}": f"layer {layer + 1}{way}"
        for layer in range(module.num_layers)
        for suffix, way in ways.items()
    }


def _numbers(values: Tensor) -> str:
    # With 0.0 added, minus zero is zero.
    low, high = (f"{round(value.item(), 3) + 0.0:.3f}" for value in values.aminmax())
    return low if low == high else f"from {low} to {high}"


def _what_changed(before: dict[str, Tensor], module: torch.nn.LSTM) -> str:
    """Say what has changed beside the biases of the forget gates."""
    changed = []
    for name, parameter in module.named_parameters():
        blocks = zip(_GATE_NAMES, parameter.chunk(4), before[name].chunk(4), strict=True)
        for gate, now, then in blocks:
            mine = name.startswith("bias") and gate == "forget gates"
            if not (mine or torch.equal(now, then)):
                changed.append(f"the {gate} in `{name}` (now {_numbers(now)})")
    return f"changed, first {changed[0]}" if changed else "as it was"


def _run_forget(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    *sizes, layers, both, value = arguments.values()
    module = torch.nn.LSTM(*sizes, num_layers=layers, bidirectional=both)
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    held = dict(module.named_parameters())
    submission(module, value)
    now = dict(module.named_parameters())
    same = now.keys() == held.keys() and all(now[name] is held[name] for name in held)
    results: dict[str, Any] = {"set of parameters": "the same" if same else "another"}
    if not same:
        return results
    forget = slice(module.hidden_size, 2 * module.hidden_size)
    results["total forget bias"] = {
        where: _numbers((now[f"bias_ih{suffix}"] + now[f"bias_hh{suffix}"]).detach()[forget])
        for suffix, where in _layers(module).items()
    }
    results["rest of the module"] = _what_changed(before, module)
    learns = all(parameter.requires_grad for parameter in now.values())
    results["parameters' `requires_grad`"] = str(learns)
    return results


def _forget_cases(draw: Draw) -> list[Case]:
    def case(name: str, layers: int, both: bool, value: float, hidden: int = 0) -> Case:
        inputs, units = draw.sizes(2)
        arguments = {"input_size": inputs, "hidden_size": hidden or units, "num_layers": layers}
        return Case(name, {**arguments, "bidirectional": both, "value": value})

    def drawn() -> float:
        return int(draw.integers(15, 40, 1)) / 10

    return [
        case("two layers in both directions", 2, True, drawn()),
        case("one layer", 1, False, 1.0),
        case("three layers", 3, False, drawn()),
        case("one layer in both directions", 1, True, drawn()),
        case("a value below 0", 1, False, -drawn()),
        case("a value of 0", 2, False, 0.0),
        case("one hidden unit", 1, False, drawn(), hidden=1),
    ]


def _biases(module: torch.nn.LSTM, *kinds: str) -> list[Tensor]:
    """All biases of these kinds, and what is written into them does not count as a step."""
    found = module.named_parameters()
    return [p.data for name, p in found if name.startswith(kinds or "bias")]


def _second_block(module: torch.nn.LSTM) -> slice:
    return slice(module.hidden_size, 2 * module.hidden_size)


def _both_biases(module, value):
    for bias in _biases(module):
        bias[_second_block(module)] = value


def _only_bias_ih(module, value):
    for bias in _biases(module, "bias_ih"):
        bias[_second_block(module)] = value


def _only_bias_hh(module, value):
    for bias in _biases(module, "bias_hh"):
        bias[_second_block(module)] = value


def _first_block(module, value):
    for bias in _biases(module, "bias_ih"):
        bias[: module.hidden_size] = value
    for bias in _biases(module, "bias_hh"):
        bias[: module.hidden_size] = 0.0


def _third_block(module, value):
    for bias in _biases(module, "bias_ih"):
        bias[2 * module.hidden_size : 3 * module.hidden_size] = value
    for bias in _biases(module, "bias_hh"):
        bias[2 * module.hidden_size : 3 * module.hidden_size] = 0.0


def _last_block(module, value):
    for bias in _biases(module, "bias_ih"):
        bias[3 * module.hidden_size :] = value
    for bias in _biases(module, "bias_hh"):
        bias[3 * module.hidden_size :] = 0.0


def _whole_bias(module, value):
    for bias in _biases(module, "bias_ih"):
        bias[:] = value
    for bias in _biases(module, "bias_hh"):
        bias[:] = 0.0


def _other_gates_to_zero(module, value):
    for bias in _biases(module):
        bias[:] = 0.0
    for bias in _biases(module, "bias_ih"):
        bias[_second_block(module)] = value


def _only_the_first_layer(module, value):
    for bias in _biases(module, "bias_ih_l0"):
        bias[_second_block(module)] = value
    for bias in _biases(module, "bias_hh_l0"):
        bias[_second_block(module)] = 0.0


def _only_the_first_layer_forward(module, value):
    module.bias_ih_l0.data[_second_block(module)] = value
    module.bias_hh_l0.data[_second_block(module)] = 0.0


def _only_forward(module, value):
    for layer in range(module.num_layers):
        getattr(module, f"bias_ih_l{layer}").data[_second_block(module)] = value
        getattr(module, f"bias_hh_l{layer}").data[_second_block(module)] = 0.0


def _added_to_what_was_drawn(module, value):
    for bias in _biases(module, "bias_ih"):
        bias[_second_block(module)] += value


def _to_each_half_of_what_is_missing(module, value):
    for bias in _biases(module):
        bias[_second_block(module)] += value / 2


def _written_with_gradients_on(module, value):
    forget = _second_block(module)
    for layer in range(module.num_layers):
        getattr(module, f"bias_ih_l{layer}")[forget] = value


def _new_parameters(module, value):
    for name, parameter in list(module.named_parameters()):
        if name.startswith("bias"):
            bias = parameter.detach().clone()
            bias[_second_block(module)] = value / 2
            setattr(module, name, torch.nn.Parameter(bias))


def _a_copy_is_changed(module, value):
    module = copy.deepcopy(module)
    set_forget_bias(module, value)
    return module


def _no_longer_learnt(module, value):
    for name, parameter in module.named_parameters():
        if name.startswith("bias"):
            parameter.requires_grad_(False)
    set_forget_bias(module, value)


_ONE_OF_TWO = (
    "You set only one of the two biases: they add up, and what was drawn for the other one is "
    "still there. Set it to 0, or give each of them half of `value`."
)
_ADDED = (
    "You add to the bias that was drawn: the total should be `value` itself, so write it in "
    "place of what was there."
)

FORGET = Exercise(
    id="10.4",
    title="A forget bias for torch.nn",
    solution=set_forget_bias,
    cases=_forget_cases,
    run=_run_forget,
    results=(
        "set of parameters",
        "total forget bias",
        "rest of the module",
        "parameters' `requires_grad`",
    ),
    hints=(
        "Print the names of `module.named_parameters()` for two layers in both directions: which "
        "of them are biases, and how many has each layer?",
        "A bias has four blocks of `module.hidden_size` numbers, i, f, g, o: the forget gate's is "
        "the second.",
        "`bias_ih` and `bias_hh` are added: give one of them `value` and the other 0. Write into "
        "them, `bias[start:end] = value`, under `torch.no_grad()`.",
    ),
    mistakes=(
        Mistake(
            _both_biases,
            "You give `value` to both biases: they add up, so the total is twice that. Half in "
            "each is right, or `value` in one and 0 in the other.",
        ),
        Mistake(_only_bias_ih, _ONE_OF_TWO),
        Mistake(
            _first_block,
            "You set the first block, which is the input gate's: the order is i, f, g, o, so the "
            "forget gate's comes second.",
        ),
        Mistake(
            _third_block,
            "You set the third block, which is the candidate's: the order is i, f, g, o, so the "
            "forget gate's comes second.",
        ),
        Mistake(
            _last_block,
            "You set the last block, which is the output gate's: the order is i, f, g, o, so the "
            "forget gate's comes second.",
        ),
        Mistake(
            _whole_bias,
            "You set the whole bias: that opens the other gates, too, and moves the candidate. "
            "Only the second block is the forget gate's.",
        ),
        Mistake(
            _other_gates_to_zero,
            "Your forget gates are right, but the biases of the other gates are no longer what "
            "they were: nothing else should change.",
        ),
        Mistake(
            _only_the_first_layer,
            "Right for the first layer, but the others are as they were: their biases end in "
            "`_l1`, `_l2` and so on.",
        ),
        Mistake(
            _only_the_first_layer_forward,
            "Right for the first layer, forward: the biases of further layers end in `_l1`, `_l2`, "
            "those of the backward direction in `_reverse`.",
        ),
        Mistake(
            _only_forward,
            "Right for the forward direction, but the backward one is as it was: its biases end in "
            "`_reverse`.",
        ),
        Mistake(_added_to_what_was_drawn, _ADDED),
        Mistake(
            _written_with_gradients_on,
            "Parameters are changed in place under `with torch.no_grad():`, so that autograd does "
            "not take it for a part of the computation.",
        ),
        Mistake(
            _new_parameters,
            "You put new parameters in place of the old ones: an optimiser that holds the old ones "
            "would train what nobody uses. Write into those that are there.",
        ),
        Mistake(
            _a_copy_is_changed,
            "The module that you were given is as it was: change its own parameters, not a copy, "
            "and write into them, since `bias = value` only names something else `bias`.",
        ),
        Mistake(
            _no_longer_learnt,
            "The values are right, but the biases are no longer learnt: leave `requires_grad` as "
            "it is, and write under `torch.no_grad()`.",
        ),
    ),
    inherited=(
        Mistake(_only_bias_hh, _ONE_OF_TWO),
        Mistake(_to_each_half_of_what_is_missing, _ADDED),
    ),
)

EXERCISES = (STEP, PEEPHOLES, REORDER, FORGET)
