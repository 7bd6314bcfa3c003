"""Exercises of chapter 2, the recurrent cell."""
# Answers, right and wrong, look as readers write them.
# ruff: noqa: ANN001, ANN202, ANN204, D102, D401

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unrolled.exercises.exercise import Case, Draw, Exercise, Mistake
from unrolled.exercises.outcome import alike

AXES = {
    "x_t": ("batch", "input"),
    "x": ("batch", "time", "input"),
    "h": ("batch", "hidden"),
    "h0": ("batch", "hidden"),
    "weight_ih": ("hidden", "input"),
    "bias": ("hidden",),
    "new state": ("batch", "hidden"),
    "outputs": ("batch", "time", "hidden"),
    "final state": ("batch", "hidden"),
}


def _weights(draw: Draw, inputs: int, hidden: int) -> dict[str, Tensor]:
    # Small enough that the tanh does not saturate: there all mistakes look alike.
    return {
        "weight_ih": draw.normal(hidden, inputs, scale=0.5),
        "weight_hh": draw.normal(hidden, hidden, scale=0.5),
        "bias": draw.normal(hidden, scale=0.5),
    }


# --- 02.1 ----------------------------------------------------------------------------------------


def rnn_step(x_t: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor) -> Tensor:
    """One step of time: the new state from an input and the old state."""
    return torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + bias)  # (batch, hidden)


def _step_cases(draw: Draw) -> list[Case]:
    def case(name: str, batch: int, inputs: int, hidden: int, scale: float = 0.5) -> Case:
        x_t, h = draw.normal(batch, inputs), draw.normal(batch, hidden, scale=scale)
        return Case(name, {"x_t": x_t, "h": h, **_weights(draw, inputs, hidden)})

    batch, inputs, hidden = draw.sizes(3)
    return [
        case("several sequences", batch, inputs, hidden),
        case("as many inputs as hidden units", batch, hidden, hidden),
        case("a batch of one", 1, inputs, hidden),
        case("a state of zeros", batch, inputs, hidden, scale=0.0),
    ]


def _forgot_the_state(x_t, h, weight_ih, weight_hh, bias):
    return torch.tanh(x_t @ weight_ih.T + bias)


def _forgot_the_tanh(x_t, h, weight_ih, weight_hh, bias):
    return x_t @ weight_ih.T + h @ weight_hh.T + bias


def _forgot_the_bias(x_t, h, weight_ih, weight_hh, bias):
    return torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T)


def _tanh_of_each_part(x_t, h, weight_ih, weight_hh, bias):
    return torch.tanh(x_t @ weight_ih.T) + torch.tanh(h @ weight_hh.T) + bias


def _tanh_of_each_part_with_the_bias_inside(x_t, h, weight_ih, weight_hh, bias):
    return torch.tanh(x_t @ weight_ih.T + bias) + torch.tanh(h @ weight_hh.T)


def _sigmoid_for_tanh(x_t, h, weight_ih, weight_hh, bias):
    return torch.sigmoid(x_t @ weight_ih.T + h @ weight_hh.T + bias)


def _weights_not_transposed(x_t, h, weight_ih, weight_hh, bias):
    return torch.tanh(x_t @ weight_ih + h @ weight_hh + bias)


def _weight_hh_not_transposed(x_t, h, weight_ih, weight_hh, bias):
    return torch.tanh(x_t @ weight_ih.T + h @ weight_hh + bias)


def _state_without_its_weight(x_t, h, weight_ih, weight_hh, bias):
    return torch.tanh(x_t @ weight_ih.T + h + bias)


def _weights_exchanged(x_t, h, weight_ih, weight_hh, bias):
    return torch.tanh(x_t @ weight_hh.T + h @ weight_ih.T + bias)


def _state_outside_the_tanh(x_t, h, weight_ih, weight_hh, bias):
    return torch.tanh(x_t @ weight_ih.T + bias) + h @ weight_hh.T


def _bias_outside_the_tanh(x_t, h, weight_ih, weight_hh, bias):
    return torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T) + bias


def _old_state_added(x_t, h, weight_ih, weight_hh, bias):
    return h + torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + bias)


def _tanh_of_the_first_product(x_t, h, weight_ih, weight_hh, bias):
    return torch.tanh(x_t @ weight_ih.T) + h @ weight_hh.T + bias


def _products_multiplied(x_t, h, weight_ih, weight_hh, bias):
    return torch.tanh((x_t @ weight_ih.T) * (h @ weight_hh.T) + bias)


def _reshape_for_transpose(x_t, h, weight_ih, weight_hh, bias):
    reshaped = weight_ih.reshape(weight_ih.shape[1], weight_ih.shape[0])
    return torch.tanh(x_t @ reshaped + h @ weight_hh.T + bias)


def _changes_h_in_place(x_t, h, weight_ih, weight_hh, bias):
    h[:] = torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + bias)
    return h


STEP = Exercise(
    id="02.1",
    title="One step of time",
    solution=rnn_step,
    cases=_step_cases,
    results=("new state",),
    axes=AXES,
    gradients=True,
    hints=(
        "The state that comes out has the shape of the state that goes in, (batch, hidden). Which "
        "two products have that shape?",
        "`x_t` is (batch, input) and `weight_ih` is (hidden, input), so the product needs the "
        "transpose: `x_t @ weight_ih.T` is (batch, hidden).",
        "Add both products and the bias, and take one `torch.tanh` of the sum.",
    ),
    mistakes=(
        Mistake(
            _forgot_the_state,
            "Your new state does not depend on the old one: without `h @ weight_hh.T` the cell has "
            "no memory.",
        ),
        Mistake(
            _forgot_the_tanh,
            "Your sum is right, but the tanh around it is missing: it keeps the state between -1 "
            "and 1.",
        ),
        Mistake(_forgot_the_bias, "Both products are there, but the bias is missing from the sum."),
        Mistake(
            _tanh_of_each_part,
            "Your tanh is taken of each product: add everything first, the bias too, then take one "
            "tanh, or the sum leaves the range from -1 to 1.",
        ),
        Mistake(
            _tanh_of_each_part_with_the_bias_inside,
            "Your two parts each have a tanh of their own: one tanh of the sum of all parts is "
            "meant.",
        ),
        Mistake(
            _sigmoid_for_tanh,
            "You squash with a sigmoid, from 0 to 1: this cell takes the tanh, from -1 to 1.",
        ),
        Mistake(
            _weights_not_transposed,
            "Your weights are not transposed: `weight_ih` is (hidden, input), and a row of `x_t` "
            "needs `weight_ih.T`; the same goes for `weight_hh`.",
        ),
        Mistake(
            _weight_hh_not_transposed,
            "Your `weight_hh` is not transposed: it is square, so torch cannot notice, but "
            "`h @ weight_hh.T` is meant.",
        ),
        Mistake(
            _state_without_its_weight,
            "You add the old state as it is: it goes through its weight first, `h @ weight_hh.T`.",
        ),
        Mistake(
            _weights_exchanged,
            "Your two weights are exchanged: `weight_ih` leads from the input to the hidden state, "
            "`weight_hh` from hidden to hidden.",
        ),
        Mistake(
            _state_outside_the_tanh,
            "Your old state stays outside the tanh: add `h @ weight_hh.T` before you squash.",
        ),
        Mistake(
            _bias_outside_the_tanh,
            "Your bias stays outside the tanh: add it before you squash.",
        ),
        Mistake(
            _old_state_added,
            "You add the tanh to the old state: in this cell the tanh is the new state, and the "
            "old one comes in through `weight_hh` only.",
        ),
        Mistake(
            _tanh_of_the_first_product,
            "Your tanh ends after the first product: put brackets around the whole sum.",
        ),
        Mistake(
            _products_multiplied,
            "You multiply the two products with each other: add them, and the bias.",
        ),
        Mistake(
            _reshape_for_transpose,
            "Your `reshape` or `view` gives the right shape, but it does not transpose: it fills "
            "the numbers in row by row. Use `.T`.",
        ),
        Mistake(
            _changes_h_in_place,
            "Your step writes into `h`, so the caller loses the old state: make a new tensor and "
            "return it.",
        ),
    ),
)

# --- 02.2 ----------------------------------------------------------------------------------------


def rnn(
    x: Tensor, h0: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """All steps of time: the states after each step, and the last one."""
    h = h0  # (batch, hidden)
    states = []
    for x_t in x.unbind(dim=1):  # (batch, input)
        h = torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + bias)
        states.append(h)
    return torch.stack(states, dim=1), h  # (batch, time, hidden), (batch, hidden)


def _rnn_cases(draw: Draw) -> list[Case]:
    def case(
        name: str, batch: int, time: int, inputs: int, hidden: int, scale: float = 0.5
    ) -> Case:
        x, h0 = draw.normal(batch, time, inputs), draw.normal(batch, hidden, scale=scale)
        return Case(name, {"x": x, "h0": h0, **_weights(draw, inputs, hidden)})

    batch, time, inputs, hidden = draw.sizes(4)
    time = time + 1  # three steps at least, so that first, middle and last differ
    batch = batch + 1 if batch == time else batch
    inputs, hidden = (size + 7 if size in (batch, time) else size for size in (inputs, hidden))
    return [
        case("several sequences", batch, time, inputs, hidden),
        case("as many sequences as steps", time, time, inputs, hidden),
        case("a single step", batch, 1, inputs, hidden),
        case("a batch of one", 1, time, inputs, hidden),
        case("a first state of zeros", batch, time, inputs, hidden, scale=0.0),
    ]


def _loops_over_the_batch(x, h0, weight_ih, weight_hh, bias):
    h, states = h0, []
    for x_t in x:
        h = torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + bias)
        states.append(h)
    return torch.stack(states, dim=1), h


def _loops_over_the_batch_and_stacks_there(x, h0, weight_ih, weight_hh, bias):
    h, states = h0, []
    for x_t in x:
        h = torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + bias)
        states.append(h)
    return torch.stack(states), h


def _starts_from_h0_at_each_step(x, h0, weight_ih, weight_hh, bias):
    states = []
    for x_t in x.unbind(dim=1):
        h = torch.tanh(x_t @ weight_ih.T + h0 @ weight_hh.T + bias)
        states.append(h)
    return torch.stack(states, dim=1), h


def _detaches_at_each_step(x, h0, weight_ih, weight_hh, bias):
    h, states = h0, []
    for x_t in x.unbind(dim=1):
        h = torch.tanh(x_t @ weight_ih.T + h.detach() @ weight_hh.T + bias)
        states.append(h)
    return torch.stack(states, dim=1), h


def _stacks_along_the_first_axis(x, h0, weight_ih, weight_hh, bias):
    h, states = h0, []
    for x_t in x.unbind(dim=1):
        h = torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + bias)
        states.append(h)
    return torch.stack(states), h


def _weight_hh_not_transposed_in_the_loop(x, h0, weight_ih, weight_hh, bias):
    return rnn(x, h0, weight_ih, weight_hh.T, bias)


def _runs_backwards(x, h0, weight_ih, weight_hh, bias):
    return rnn(x.flip(1), h0, weight_ih, weight_hh, bias)


def _runs_backwards_and_turns_the_outputs(x, h0, weight_ih, weight_hh, bias):
    outputs, h = rnn(x.flip(1), h0, weight_ih, weight_hh, bias)
    return outputs.flip(1), h


def _keeps_the_state_before_each_step(x, h0, weight_ih, weight_hh, bias):
    h, states = h0, []
    for x_t in x.unbind(dim=1):
        states.append(h)
        h = torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + bias)
    return torch.stack(states, dim=1), h


def _final_state_is_the_first(x, h0, weight_ih, weight_hh, bias):
    outputs, _ = rnn(x, h0, weight_ih, weight_hh, bias)
    return outputs, outputs[:, 0]


def _final_state_is_h0(x, h0, weight_ih, weight_hh, bias):
    outputs, _ = rnn(x, h0, weight_ih, weight_hh, bias)
    return outputs, h0


def _final_state_of_the_last_sequence(x, h0, weight_ih, weight_hh, bias):
    outputs, _ = rnn(x, h0, weight_ih, weight_hh, bias)
    return outputs, outputs[-1]


def _at_each_step(step: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, Tensor]]:
    @functools.wraps(step)
    def run(x, h0, weight_ih, weight_hh, bias):
        h, states = h0, []
        for x_t in x.unbind(dim=1):
            h = step(x_t, h, weight_ih, weight_hh, bias)
            states.append(h)
        return torch.stack(states, dim=1), h

    del run.__wrapped__  # its arguments are its own
    return run


RNN = Exercise(
    id="02.2",
    title="All steps of time",
    solution=rnn,
    cases=_rnn_cases,
    results=("outputs", "final state"),
    axes=AXES,
    gradients=True,
    hints=(
        "`x` is (batch, time, input): time is the second axis. What is `x[:, t]`, and what is "
        "`x[t]`?",
        "Keep one variable `h`. Begin with `h0`, and let each step replace it, so that the next "
        "step sees the new state.",
        "Append each new state to a list; `torch.stack(states, dim=1)` puts the time axis where "
        "the input has it. The last `h` is the final state.",
    ),
    mistakes=(
        Mistake(
            _loops_over_the_batch,
            "Your loop runs over the sequences, not over time: `x` is (batch, time, input), so the "
            "input of one step is `x[:, t]`.",
        ),
        Mistake(
            _loops_over_the_batch_and_stacks_there,
            "Your loop runs over the first axis of `x`, and that is the batch: take `x[:, t]` at "
            "step t, and stack the states with `dim=1`.",
        ),
        Mistake(
            _starts_from_h0_at_each_step,
            "Each of your steps starts from `h0`: pass on the state that the step before has made.",
        ),
        Mistake(
            _detaches_at_each_step,
            "Right forwards, but the gradient goes back one step only: the state is detached at "
            "each step, so the network cannot learn what to remember.",
        ),
        Mistake(
            _stacks_along_the_first_axis,
            "Your outputs are (time, batch, hidden): batch comes first, so stack with `dim=1`.",
        ),
        Mistake(
            _weight_hh_not_transposed_in_the_loop,
            "Your `weight_hh` is not transposed: it is square, so torch cannot notice, but each "
            "step takes `h @ weight_hh.T`.",
        ),
        Mistake(
            _runs_backwards,
            "Your loop runs from the last step to the first: begin with `x[:, 0]`.",
        ),
        Mistake(
            _runs_backwards_and_turns_the_outputs,
            "Your network reads each sequence from its end, as a backward layer does: begin with "
            "`x[:, 0]`, and leave the outputs in the order in which they come.",
        ),
        Mistake(
            _keeps_the_state_before_each_step,
            "Your outputs begin with `h0`: keep each state after its step, not before it.",
        ),
        Mistake(
            _final_state_is_the_first,
            "Your outputs are right, but your final state is the one after step 1: return the "
            "state after the last step.",
        ),
        Mistake(
            _final_state_is_h0,
            "Your outputs are right, but you return `h0` as final state: return the state after "
            "the last step.",
        ),
        Mistake(
            _final_state_of_the_last_sequence,
            "Your final state is `outputs[-1]`, all steps of the last sequence: `outputs[:, -1]` "
            "is the last step of all sequences.",
        ),
    ),
    inherited=tuple(
        Mistake(_at_each_step(mistake.code), mistake.message)
        for mistake in STEP.mistakes
        if mistake.code is not _weight_hh_not_transposed  # has a message of its own here
    ),
)

# --- 02.3 ----------------------------------------------------------------------------------------


def joined_weight(weight_ih: Tensor, weight_hh: Tensor) -> Tensor:
    """The one matrix W with `cat([x_t, h]) @ W.T` equal to the sum of both products."""
    return torch.cat([weight_ih, weight_hh], dim=1)  # (hidden, input + hidden)


def _joined_cases(draw: Draw) -> list[Case]:
    def case(name: str, inputs: int, hidden: int) -> Case:
        weights = _weights(draw, inputs, hidden)
        return Case(name, {name: weights[name] for name in ("weight_ih", "weight_hh")})

    inputs, hidden = draw.sizes(2)
    return [
        case("different sizes of input and state", inputs, hidden),
        case("as many inputs as hidden units", hidden, hidden),
        case("a single input", 1, hidden),
    ]


def _order_exchanged(weight_ih, weight_hh):
    return torch.cat([weight_hh, weight_ih], dim=1)


def _added(weight_ih, weight_hh):
    return weight_ih + weight_hh


def _joined_along_the_wrong_axis(weight_ih, weight_hh):
    return torch.cat([weight_ih, weight_hh], dim=0)


def _transposed(weight_ih, weight_hh):
    return torch.cat([weight_ih, weight_hh], dim=1).T


def _each_transposed(weight_ih, weight_hh):
    return torch.cat([weight_ih.T, weight_hh.T], dim=1)


JOINED = Exercise(
    id="02.3",
    title="One matrix for both",
    solution=joined_weight,
    cases=_joined_cases,
    results=("matrix",),
    axes={**AXES, "matrix": ("hidden", "input + hidden")},
    gradients=True,
    hints=(
        "`torch.cat([x_t, h], dim=1)` is (batch, input + hidden). Which shape must the matrix "
        "have, so that its transpose fits?",
        "The first columns of the matrix meet the numbers of `x_t`, the others those of `h`.",
        "`torch.cat` along the axis that counts columns, `dim=1`, with `weight_ih` first.",
    ),
    mistakes=(
        Mistake(
            _order_exchanged,
            "Your two blocks are exchanged: `x_t` comes first in `cat([x_t, h])`, so the columns "
            "of `weight_ih` come first, too.",
        ),
        Mistake(
            _added,
            "You add the two matrices: put them side by side, since each has its own part of "
            "`cat([x_t, h])` to meet.",
        ),
        Mistake(
            _joined_along_the_wrong_axis,
            "You put one matrix below the other: they share the rows, hidden, and go side by side, "
            "along `dim=1`.",
        ),
        Mistake(
            _transposed,
            "Your matrix is transposed: it is (hidden, input + hidden) like every weight here, and "
            "the product takes the transpose.",
        ),
        Mistake(
            _each_transposed,
            "You transpose both matrices before joining them: leave them as they are, (hidden, "
            "input) and (hidden, hidden), and put them side by side.",
        ),
    ),
)

# --- 02.4 ----------------------------------------------------------------------------------------


def count_parameters(input_size: int, hidden_size: int, output_size: int) -> int:
    """Number of parameters of our `RNNCell` and a linear read-out with bias."""
    cell = hidden_size * input_size + hidden_size * hidden_size + hidden_size
    readout = output_size * hidden_size + output_size
    return cell + readout


def _count_cases(draw: Draw) -> list[Case]:
    cases = []
    for _ in range(3):
        # From 3 on: 2 + 2 = 2 * 2, and a wrong formula must not be right by chance.
        inputs, hidden, outputs = draw.sizes(3, low=3, high=12)
        name = f"{inputs} inputs, {hidden} hidden units and {outputs} outputs"
        arguments = {"input_size": inputs, "hidden_size": hidden, "output_size": outputs}
        cases.append(Case(name, arguments))
    return cases


def _two_biases(input_size, hidden_size, output_size):
    cell = hidden_size * (input_size + hidden_size + 2)
    return cell + output_size * (hidden_size + 1)


def _no_bias_in_the_cell(input_size, hidden_size, output_size):
    return hidden_size * (input_size + hidden_size) + output_size * (hidden_size + 1)


def _no_bias_in_the_readout(input_size, hidden_size, output_size):
    return hidden_size * (input_size + hidden_size + 1) + output_size * hidden_size


def _no_bias_at_all(input_size, hidden_size, output_size):
    return hidden_size * (input_size + hidden_size) + output_size * hidden_size


def _state_to_state_forgotten(input_size, hidden_size, output_size):
    return hidden_size * (input_size + 1) + output_size * (hidden_size + 1)


def _readout_forgotten(input_size, hidden_size, output_size):
    return hidden_size * (input_size + hidden_size + 1)


def _readout_sees_the_input(input_size, hidden_size, output_size):
    cell = hidden_size * (input_size + hidden_size + 1)
    return cell + output_size * (input_size + hidden_size + 1)


def _biases_of_one_number(input_size, hidden_size, output_size):
    return hidden_size * (input_size + hidden_size) + 1 + output_size * hidden_size + 1


def _readout_bias_for_each_unit(input_size, hidden_size, output_size):
    cell = hidden_size * (input_size + hidden_size + 1)
    return cell + output_size * hidden_size + hidden_size


COUNT = Exercise(
    id="02.4",
    title="Counting parameters",
    solution=count_parameters,
    cases=_count_cases,
    results=("number of parameters",),
    hints=(
        "Write down the shape of each tensor that is learnt, and multiply its sizes.",
        "The cell has `weight_ih`, `weight_hh` and one `bias`; the read-out has a weight (output, "
        "hidden) and a bias (output).",
        "The number of steps does not occur: the same weights are used at each step.",
    ),
    mistakes=(
        Mistake(
            _two_biases,
            "You count two biases in the cell, as `torch.nn.RNN` has them: ours has one, since "
            "only their sum matters.",
        ),
        Mistake(
            _no_bias_in_the_cell, "You left out the bias of the cell: one number for each unit."
        ),
        Mistake(
            _no_bias_in_the_readout,
            "You left out the bias of the read-out: one number for each output.",
        ),
        Mistake(
            _no_bias_at_all, "You left out the biases: the cell has one, the read-out another."
        ),
        Mistake(
            _biases_of_one_number,
            "You count each bias as one number: the cell has one for each unit, the read-out one "
            "for each output.",
        ),
        Mistake(
            _readout_bias_for_each_unit,
            "Your read-out has a bias for each unit: it has one for each output.",
        ),
        Mistake(
            _state_to_state_forgotten,
            "You left out `weight_hh`, from state to state: it is (hidden, hidden).",
        ),
        Mistake(
            _readout_forgotten,
            "You count the cell only: the read-out has a weight (output, hidden) and a bias, too.",
        ),
        Mistake(
            _readout_sees_the_input,
            "Your read-out looks at the input, too: it is linear in the state alone, so its weight "
            "is (output, hidden).",
        ),
    ),
)

# --- 02.5 ----------------------------------------------------------------------------------------


class RepairedCell(torch.nn.Module):
    """The popular cell, with weights that an optimiser can see and that do not saturate."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        scale = hidden_size**-0.5
        self.weight_ih = torch.nn.Parameter(scale * torch.randn(hidden_size, input_size))
        self.weight_hh = torch.nn.Parameter(scale * torch.randn(hidden_size, hidden_size))
        self.bias = torch.nn.Parameter(torch.zeros(hidden_size))

    def forward(self, x_t: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(x_t @ self.weight_ih.T + h @ self.weight_hh.T + self.bias)


PARAMETERS = ("weight_ih", "weight_hh", "bias")


def _kind_of_weight(cell: torch.nn.Module, name: str) -> str:
    value = getattr(cell, name, None)
    registered = dict(cell.named_parameters())
    if name in registered:
        fixed = not registered[name].requires_grad
        return "a parameter with `requires_grad=False`" if fixed else "a registered parameter"
    if name in dict(cell.named_buffers()):
        return "a buffer, which no optimiser sees"
    if isinstance(value, Tensor):
        tracked = value.requires_grad
        if not value.is_leaf:
            return "computed from another tensor, and so a plain tensor"
        return f"a plain tensor{' with `requires_grad=True`' if tracked else ''}"
    if value is not None:
        return f"a `{type(value).__name__}`"
    if registered:
        return f"missing (your parameters are called {', '.join(f'`{n}`' for n in registered)})"
    hidden_in = [
        attribute
        for attribute, held in vars(cell).items()
        if isinstance(held, list | tuple | dict) and not attribute.startswith("_")
    ]
    if hidden_in:
        return f"missing (`{hidden_in[0]}` is a plain {type(getattr(cell, hidden_in[0])).__name__})"
    return "missing after `__init__`"


def _kind_of_numbers(weight: Tensor) -> str:
    if not weight.isfinite().all():
        return "not filled with numbers"
    first = weight.flatten()[0]
    if bool((weight == first).all()):
        return f"{first.item():g} everywhere, so that all units begin alike"
    return "random"


def _kind_of_start(cell: torch.nn.Module) -> str:
    """Say where the states of a new cell are, and which weight drives them there."""
    weights = {name: getattr(cell, name) for name in PARAMETERS}
    hidden, inputs = weights["weight_ih"].shape
    h = torch.zeros(32, hidden)
    at_the_ends = []
    with torch.no_grad():
        for _ in range(40):
            x_t = torch.randn(32, inputs)
            h = cell(x_t, h)
            if not isinstance(h, Tensor) or h.shape != (32, hidden):
                return "of another form"
            at_the_ends.append((h.abs() > 0.99).double().mean().item())
        # About a tenth where weights are as large as they may be, three quarters with `randn`.
        if sum(at_the_ends) / len(at_the_ends) < 0.3:
            return "between -1 and 1"
        sums = {
            "weight_hh": h @ weights["weight_hh"].T,
            "weight_ih": x_t @ weights["weight_ih"].T,
            "bias": weights["bias"],
        }
    # tanh(2) is 0.96.
    large = next((name for name in sums if sums[name].abs().mean() > 2), "all sums together")
    positive = large == "weight_hh" and bool((weights[large] >= 0).all())
    by = f"{large}{', which is all positive' if positive else ''}"
    return f"at -1 or 1 in many units, driven there by {by}"


def _run_repaired(submission: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    cell = submission(arguments["input_size"], arguments["hidden_size"])
    results: dict[str, Any] = {name: _kind_of_weight(cell, name) for name in PARAMETERS}
    if set(results.values()) != {"a registered parameter"}:
        return results
    weights = {name: getattr(cell, name) for name in PARAMETERS}
    results["shape"] = {name: tuple(weight.shape) for name, weight in weights.items()}
    if any(weights[name].shape != arguments[name].shape for name in PARAMETERS):
        return results
    further = [f"`{name}`" for name, _ in cell.named_parameters() if name not in PARAMETERS]
    results["list of further parameters"] = " and ".join(further) or "empty"
    for name in ("weight_ih", "weight_hh"):
        results[f"new {name}"] = _kind_of_numbers(weights[name].detach())
    start = _kind_of_start(submission(arguments["input_size"], arguments["hidden_size"]))
    _set_weights(weights, arguments)
    first = cell(arguments["x_t"], arguments["h"])
    if isinstance(first, Tensor) and first.requires_grad:
        first.square().sum().backward()
        with torch.no_grad():
            # What `torch.optim.SGD` does; importing that takes seconds.
            for parameter in cell.parameters():
                parameter -= 0.1 * parameter.grad if parameter.grad is not None else 0.0
    moved = {name: not torch.equal(getattr(cell, name), arguments[name]) for name in PARAMETERS}
    _set_weights(weights, arguments)
    second = cell(arguments["x_t"], arguments["h"])
    same = alike(first, second)
    results["answer at a second call"] = "the same" if same else "another one"
    results["new state"] = second
    for name in PARAMETERS:
        results[f"{name} after a step of training"] = "changed" if moved[name] else "unchanged"
    results["state of a new cell"] = start  # last: it means nothing where the step is wrong
    return results


def _set_weights(weights: dict[str, Tensor], arguments: dict[str, Any]) -> None:
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(arguments[name])


def _repaired_cases(draw: Draw) -> list[Case]:
    def case(name: str, batch: int, inputs: int, hidden: int) -> Case:
        tensors = {
            "x_t": draw.normal(batch, inputs),
            "h": draw.normal(batch, hidden, scale=0.5),
            "weight_ih": draw.normal(hidden, inputs, scale=inputs**-0.5),
            "weight_hh": draw.normal(hidden, hidden, scale=hidden**-0.5),
            "bias": draw.normal(hidden, scale=0.5),
        }
        tensors = {key: value.float() for key, value in tensors.items()}  # as the parameters are
        return Case(name, {"input_size": inputs, "hidden_size": hidden, **tensors})

    # Large enough that the size of random weights can be judged.
    batch, (inputs, hidden) = draw.sizes(1)[0], draw.sizes(2, low=48, high=96)
    return [
        case("several sequences", batch, inputs, hidden),
        case("a batch of one", 1, inputs, hidden),
    ]


class _PlainTensors(torch.nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.weight_ih = torch.randn(hidden_size, input_size)
        self.weight_hh = torch.randn(hidden_size, hidden_size)
        self.bias = torch.zeros(hidden_size)

    def forward(self, x_t, h):
        return torch.tanh(x_t @ self.weight_ih.T + h @ self.weight_hh.T + self.bias)


class _OnlyRequiresGrad(torch.nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        scale = hidden_size**-0.5
        self.weight_ih = (scale * torch.randn(hidden_size, input_size)).requires_grad_()
        self.weight_hh = (scale * torch.randn(hidden_size, hidden_size)).requires_grad_()
        self.bias = torch.zeros(hidden_size, requires_grad=True)

    def forward(self, x_t, h):
        return torch.tanh(x_t @ self.weight_ih.T + h @ self.weight_hh.T + self.bias)


class _PlainList(torch.nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        scale = hidden_size**-0.5
        self.weights = [
            torch.nn.Parameter(scale * torch.randn(hidden_size, input_size)),
            torch.nn.Parameter(scale * torch.randn(hidden_size, hidden_size)),
            torch.nn.Parameter(torch.zeros(hidden_size)),
        ]

    def forward(self, x_t, h):
        weight_ih, weight_hh, bias = self.weights
        return torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + bias)


class _Buffers(torch.nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        scale = hidden_size**-0.5
        self.register_buffer("weight_ih", scale * torch.randn(hidden_size, input_size))
        self.register_buffer("weight_hh", scale * torch.randn(hidden_size, hidden_size))
        self.register_buffer("bias", torch.zeros(hidden_size))

    def forward(self, x_t, h):
        return torch.tanh(x_t @ self.weight_ih.T + h @ self.weight_hh.T + self.bias)


class _ScaledParameters(RepairedCell):
    def __init__(self, input_size, hidden_size):
        torch.nn.Module.__init__(self)
        scale = hidden_size**-0.5
        self.weight_ih = scale * torch.nn.Parameter(torch.randn(hidden_size, input_size))
        self.weight_hh = scale * torch.nn.Parameter(torch.randn(hidden_size, hidden_size))
        self.bias = torch.nn.Parameter(torch.zeros(hidden_size))


class _UnscaledRandn(torch.nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.weight_ih = torch.nn.Parameter(torch.randn(hidden_size, input_size))
        self.weight_hh = torch.nn.Parameter(torch.randn(hidden_size, hidden_size))
        self.bias = torch.nn.Parameter(torch.zeros(hidden_size))

    def forward(self, x_t, h):
        return torch.tanh(x_t @ self.weight_ih.T + h @ self.weight_hh.T + self.bias)


class _UnscaledInputWeight(RepairedCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.weight_ih = torch.nn.Parameter(torch.randn(hidden_size, input_size))


class _AllPositive(RepairedCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        scale = hidden_size**-0.5
        self.weight_ih = torch.nn.Parameter(scale * torch.rand(hidden_size, input_size))
        self.weight_hh = torch.nn.Parameter(scale * torch.rand(hidden_size, hidden_size))


class _ScaledInForward(_UnscaledRandn):
    def forward(self, x_t, h):
        scale = h.shape[1] ** -0.5
        s = x_t @ (scale * self.weight_ih).T + h @ (scale * self.weight_hh).T
        return torch.tanh(s + self.bias)


class _Zeros(torch.nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.weight_ih = torch.nn.Parameter(torch.zeros(hidden_size, input_size))
        self.weight_hh = torch.nn.Parameter(torch.zeros(hidden_size, hidden_size))
        self.bias = torch.nn.Parameter(torch.zeros(hidden_size))

    def forward(self, x_t, h):
        return torch.tanh(x_t @ self.weight_ih.T + h @ self.weight_hh.T + self.bias)


class _MadeInForward(torch.nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size

    def forward(self, x_t, h):
        scale = self.hidden_size**-0.5
        weight_ih = torch.nn.Parameter(scale * torch.randn(self.hidden_size, self.input_size))
        weight_hh = torch.nn.Parameter(scale * torch.randn(self.hidden_size, self.hidden_size))
        bias = torch.nn.Parameter(torch.zeros(self.hidden_size))
        return torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + bias)


class _DataInForward(RepairedCell):
    def forward(self, x_t, h):
        weight_ih, weight_hh = self.weight_ih.data, self.weight_hh.data
        return torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + self.bias.data)


def _in_a_cell(step: Callable[..., Tensor]) -> type[RepairedCell]:
    class Cell(RepairedCell):
        def forward(self, x_t, h):
            return step(x_t, h, self.weight_ih, self.weight_hh, self.bias)

    Cell.__name__ = step.__name__
    return Cell


REPAIRED = Exercise(
    id="02.5",
    title="Repair the popular cell",
    solution=RepairedCell,
    cases=_repaired_cases,
    run=_run_repaired,
    results=(
        *PARAMETERS,
        "shape",
        "list of further parameters",
        "new weight_ih",
        "new weight_hh",
        "answer at a second call",
        "new state",
        *(f"{name} after a step of training" for name in PARAMETERS),
        "state of a new cell",
    ),
    axes=AXES,
    gradients=True,
    hints=(
        "What does `list(RepairedCell(3, 4).parameters())` give? An optimiser sees only what "
        "stands there.",
        "A module registers what is assigned to `self` as a `torch.nn.Parameter`, in `__init__`, "
        "after `super().__init__()`.",
        "A unit adds up `hidden_size` terms from the state. Their signs are random, so they cancel "
        "in part: the sum of H terms of size 1 has a size of about sqrt(H). If each weight is "
        "about `hidden_size**-0.5` in size, the sum stays about 1.",
    ),
    mistakes=(
        Mistake(
            _PlainTensors,
            "Your weights are plain tensors, so `parameters()` does not list them and no optimiser "
            "changes them: wrap each in `torch.nn.Parameter`.",
        ),
        Mistake(
            _OnlyRequiresGrad,
            "Your weights get gradients, but no optimiser finds them: `requires_grad=True` does "
            "not register a tensor, `torch.nn.Parameter` does.",
        ),
        Mistake(
            _PlainList,
            "Your parameters are in a plain list, where a module does not look: assign each to "
            "`self` by its name, `weight_ih`, `weight_hh`, `bias`.",
        ),
        Mistake(
            _Buffers,
            "Your weights are buffers: those are saved with the module but never trained; use "
            "`torch.nn.Parameter`.",
        ),
        Mistake(
            _UnscaledRandn,
            "Your weights are registered, but too large: many units start at -1 or 1, and the "
            "state turns chaotic; scale them by `hidden_size**-0.5`.",
        ),
        Mistake(
            _ScaledParameters,
            "A `Parameter` that is multiplied or divided is a plain tensor again: scale first, "
            "then wrap, as in `torch.nn.Parameter(scale * torch.randn(...))`.",
        ),
        Mistake(
            _UnscaledInputWeight,
            "Your `weight_ih` is too large: inputs of size 1 alone drive the units to -1 or 1, "
            "and the old state hardly counts; scale it as you scale `weight_hh`.",
        ),
        Mistake(
            _AllPositive,
            "Your weights are all positive, so the sums grow with the number of units: draw around "
            "zero, with `torch.randn` or `uniform_(-bound, bound)`.",
        ),
        Mistake(
            _ScaledInForward,
            "Your `forward` scales the weights at each call: scale them once, in `__init__`, and "
            "use them as they are.",
        ),
        Mistake(
            _Zeros,
            "Your weights all begin at zero: the state is zero, whatever comes in, and no gradient "
            "can pass from state to state. Begin with small random numbers.",
        ),
        Mistake(
            _MadeInForward,
            "Your module has no weights after `__init__`: assign them to `self` there. A local "
            "name is forgotten, and weights made in `forward` are new random numbers at each call.",
        ),
        Mistake(
            _DataInForward,
            "Right forwards, but your `forward` cuts the weights off from the gradient by `.data`, "
            "`detach` or `no_grad`: use the parameters themselves.",
        ),
    ),
    inherited=tuple(
        Mistake(_in_a_cell(mistake.code), mistake.message) for mistake in STEP.mistakes
    ),
)

# --- 02.6 ----------------------------------------------------------------------------------------


def last_states(outputs: Tensor, lengths: Tensor) -> Tensor:
    """The state at the true end of each sequence."""
    rows = torch.arange(outputs.shape[0], device=outputs.device)  # (batch,)
    return outputs[rows, lengths - 1]  # (batch, hidden)


def _last_cases(draw: Draw) -> list[Case]:
    def case(name: str, lengths: Tensor, time: int, hidden: int) -> Case:
        # What stands past the end is noise: only the lengths tell where it begins.
        return Case(name, {"outputs": draw.normal(len(lengths), time, hidden), "lengths": lengths})

    def padded_with_zeros(case: Case) -> Case:
        outputs, lengths = case.arguments.values()
        true = torch.arange(outputs.shape[1]) < lengths[:, None]  # (batch, time)
        arguments = {"outputs": outputs * true[:, :, None], "lengths": lengths}
        return Case("padding of zeros", arguments)

    batch, time, hidden = draw.sizes(3, low=3)
    order = torch.randperm(time - 1, generator=draw.generator) + 1
    # At least two lengths, none of them the full one, and the first is not the longest: then
    # nobody is right by chance.
    order[:2] = order[:2].sort().values
    different = order[torch.arange(batch) % len(order)]
    return [
        case("sequences of different lengths", different, time, hidden),
        case("sequences of full length", torch.full((batch,), time), time, hidden),
        case("sequences of one step", torch.ones(batch, dtype=torch.int64), time, hidden),
        case("a batch of one", different[:1], time, hidden),
        padded_with_zeros(case("", different, time, hidden)),
    ]


def _last_step_of_all(outputs, lengths):
    return outputs[:, -1]


def _one_step_too_far(outputs, lengths):
    rows = torch.arange(outputs.shape[0])
    return outputs[rows, lengths.clamp(max=outputs.shape[1] - 1)]


def _one_step_too_far_without_a_clamp(outputs, lengths):
    return outputs[torch.arange(outputs.shape[0]), lengths]


def _one_step_too_early(outputs, lengths):
    return outputs[torch.arange(outputs.shape[0]), lengths - 2]


def _first_length_for_all(outputs, lengths):
    return outputs[:, int(lengths[0]) - 1]


def _longest_length_for_all(outputs, lengths):
    return outputs[:, int(lengths.max()) - 1]


def _mean_over_time(outputs, lengths):
    return outputs.mean(dim=1)


def _mean_over_true_steps(outputs, lengths):
    steps = torch.arange(outputs.shape[1])
    mask = (steps < lengths[:, None]).to(outputs.dtype)
    return (outputs * mask[:, :, None]).sum(dim=1) / lengths[:, None]


def _all_sequences_at_all_lengths(outputs, lengths):
    return outputs[:, lengths - 1]


def _max_over_true_steps(outputs, lengths):
    true = torch.arange(outputs.shape[1]) < lengths[:, None]
    return outputs.masked_fill(~true[:, :, None], -torch.inf).amax(dim=1)


def _last_row_that_is_not_zero(outputs, lengths):
    filled = (outputs != 0).any(dim=2)  # (batch, time)
    steps = torch.arange(outputs.shape[1]) * filled
    return outputs[torch.arange(outputs.shape[0]), steps.argmax(dim=1)]


LAST = Exercise(
    id="02.6",
    title="The state at the true end",
    solution=last_states,
    cases=_last_cases,
    results=("states",),
    axes={**AXES, "lengths": ("batch",), "states": ("batch", "hidden")},
    gradients=True,
    hints=(
        "A sequence of length 3 ends at index 2 of the time axis.",
        "Two index tensors of the same shape pick one element a pair: `outputs[rows, steps]` with "
        "both (batch,) takes one state from each row.",
        "`rows` counts the sequences: `torch.arange(outputs.shape[0])`.",
    ),
    mistakes=(
        Mistake(
            _last_step_of_all,
            "You take the last step of the padded batch: a shorter sequence has ended before, at "
            "its own length.",
        ),
        Mistake(
            _one_step_too_far,
            "You look one step too far, into the padding: a sequence of length 3 ends at index 2.",
        ),
        Mistake(
            _one_step_too_far_without_a_clamp,
            "Your index is one too large, and past the end for a full sequence: a sequence of "
            "length 3 ends at index 2.",
        ),
        Mistake(
            _one_step_too_early,
            "You look one step before the end: a sequence of length 3 ends at index 2, at "
            "`lengths - 1`.",
        ),
        Mistake(
            _first_length_for_all,
            "You use one and the same length for all sequences: each row of the batch has its own "
            "end.",
        ),
        Mistake(
            _longest_length_for_all,
            "You use the longest length for all sequences: each row of the batch has its own end.",
        ),
        Mistake(
            _mean_over_time,
            "You take the mean over all steps, padding included: one state is meant, the one at "
            "the true end.",
        ),
        Mistake(
            _mean_over_true_steps,
            "You leave out the padding, but take a mean over the true steps: the state at the last "
            "of them is meant.",
        ),
        Mistake(
            _max_over_true_steps,
            "You leave out the padding, but take a maximum over the true steps: the state at the "
            "last of them is meant.",
        ),
        Mistake(
            _last_row_that_is_not_zero,
            "You take the last row that is not zero. Padding need not be zero: use `lengths`.",
        ),
        Mistake(
            _all_sequences_at_all_lengths,
            "Your index takes every length from every sequence, (batch, batch, hidden): give the "
            "rows an index of their own, `torch.arange(batch)`, so that row and length go in "
            "pairs.",
        ),
    ),
)

EXERCISES = (STEP, RNN, JOINED, COUNT, REPAIRED, LAST)
