"""Exercises of chapter 8, backpropagation through time."""
# Answers, right and wrong, look as readers write them.
# ruff: noqa: ANN001, ANN202, D401

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrolled.cells import LSTMCell, LSTMState, RNNCell
from unrolled.exercises.exercise import Case, Draw, Exercise, Mistake
from unrolled.layers import map_state

# --- 08.1 ----------------------------------------------------------------------------------------


def rnn_backward(
    x: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, grad_outputs: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the weights and the bias of a tanh network, from the last step to the first."""
    grad_weight_ih, grad_weight_hh = torch.zeros_like(weight_ih), torch.zeros_like(weight_hh)
    grad_bias = weight_hh.new_zeros(len(weight_hh))  # (hidden,)
    carried = torch.zeros_like(h[:, 0])  # (batch, hidden), what comes back from step t + 1
    for t in range(x.shape[1], 0, -1):  # as the text counts: h[:, t] is the state after step t
        grad_h = grad_outputs[:, t - 1] + carried  # (batch, hidden)
        delta = grad_h * (1 - h[:, t] ** 2)  # (batch, hidden), before the tanh
        grad_weight_ih += delta.T @ x[:, t - 1]
        grad_weight_hh += delta.T @ h[:, t - 1]
        grad_bias += delta.sum(dim=0)
        carried = delta @ weight_hh
    return grad_weight_ih, grad_weight_hh, grad_bias


def _backward_cases(draw: Draw) -> list[Case]:
    def case(
        name: str, batch: int, inputs: int, steps: int, first: float = 0.5, last_only: bool = False
    ) -> Case:
        # Small enough that the slopes are neither all 1 nor all 0: there mistakes look alike.
        weight_ih = draw.normal(hidden, inputs, scale=0.5)
        weight_hh = draw.normal(hidden, hidden, scale=0.6)
        bias = draw.normal(hidden, scale=0.3)
        x = draw.normal(batch, steps, inputs)
        states = [draw.normal(batch, hidden, scale=first)]
        for x_t in x.unbind(dim=1):
            states.append(torch.tanh(x_t @ weight_ih.T + states[-1] @ weight_hh.T + bias))
        grad_outputs = draw.normal(batch, steps, hidden)
        if last_only:
            grad_outputs[:, :-1] = 0
        return Case(
            name,
            {
                "x": x,
                "h": torch.stack(states, dim=1),
                "weight_ih": weight_ih,
                "weight_hh": weight_hh,
                "grad_outputs": grad_outputs,
            },
        )

    time = draw.sizes(1, low=7, high=8)[0]
    batch, inputs, hidden = draw.sizes(3, low=2, high=6)
    return [
        case("a loss at every step", batch, inputs, time),
        case("a loss at the last step only", batch, inputs, time, last_only=True),
        case("a first state of zeros", batch, inputs, time, first=0.0),
        case("as many inputs as hidden units", batch, hidden, time),
        case("two steps", batch, inputs, 2),
        case("a single step", batch, inputs, 1),
        case("a batch of one", 1, inputs, time),
    ]


# From the gradient of a step's own loss, what comes back from the later step, and the slope of the
# tanh: delta, and what goes on to the earlier step.
Back = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _slopes(h: Tensor) -> Tensor:
    return 1 - h[:, 1:] ** 2  # (batch, time, hidden)


def _deltas(slopes: Tensor, grad_outputs: Tensor, back: Back) -> Tensor:
    """Walk from the last step to the first: the deltas, (batch, time, hidden)."""
    carried, deltas = torch.zeros_like(grad_outputs[:, 0]), []
    for direct, slope in zip(
        reversed(grad_outputs.unbind(1)), reversed(slopes.unbind(1)), strict=True
    ):
        delta, carried = back(direct, carried, slope)
        deltas.append(delta)
    return torch.stack(deltas[::-1], dim=1)


def _right_way(weight_hh: Tensor) -> Back:
    def back(direct, carried, slope):
        delta = (direct + carried) * slope
        return delta, delta @ weight_hh

    return back


def _over_batch_and_time(deltas: Tensor, x: Tensor, before: Tensor) -> tuple[Tensor, ...]:
    """Add the weights' gradients up, `before` being the states that each step began with."""
    flat = deltas.flatten(0, 1)  # (batch * time, hidden)
    return flat.T @ x.flatten(0, 1), flat.T @ before.flatten(0, 1), flat.sum(dim=0)


def _sums(x: Tensor, h: Tensor, grad_outputs: Tensor, back: Back) -> tuple[Tensor, ...]:
    return _over_batch_and_time(_deltas(_slopes(h), grad_outputs, back), x, h[:, :-1])


def _nothing_from_the_later_steps(x, h, weight_ih, weight_hh, grad_outputs):
    return _sums(x, h, grad_outputs, lambda direct, carried, slope: (direct * slope, carried))


def _one_step_back_only(x, h, weight_ih, weight_hh, grad_outputs):
    def back(direct, carried, slope):
        return (direct + carried) * slope, direct * slope @ weight_hh

    return _sums(x, h, grad_outputs, back)


def _only_the_loss_of_the_last_step(x, h, weight_ih, weight_hh, grad_outputs):
    last = torch.zeros_like(grad_outputs)
    last[:, -1] = grad_outputs[:, -1]
    return rnn_backward(x, h, weight_ih, weight_hh, last)


def _the_last_step_counted_twice(x, h, weight_ih, weight_hh, grad_outputs):
    last = grad_outputs.clone()
    last[:, -1] *= 2
    return rnn_backward(x, h, weight_ih, weight_hh, last)


def _from_the_first_step_to_the_last(x, h, weight_ih, weight_hh, grad_outputs):
    slopes, outputs = _slopes(h).flip(1), grad_outputs.flip(1)
    deltas = _deltas(slopes, outputs, _right_way(weight_hh)).flip(1)
    return _over_batch_and_time(deltas, x, h[:, :-1])


def _no_slope(x, h, weight_ih, weight_hh, grad_outputs):
    return _over_batch_and_time(
        _deltas(torch.ones_like(grad_outputs), grad_outputs, _right_way(weight_hh)), x, h[:, :-1]
    )


def _slope_of_the_state_before(x, h, weight_ih, weight_hh, grad_outputs):
    deltas = _deltas(1 - h[:, :-1] ** 2, grad_outputs, _right_way(weight_hh))
    return _over_batch_and_time(deltas, x, h[:, :-1])


def _state_not_squared(x, h, weight_ih, weight_hh, grad_outputs):
    deltas = _deltas(1 - h[:, 1:], grad_outputs, _right_way(weight_hh))
    return _over_batch_and_time(deltas, x, h[:, :-1])


def _tanh_taken_twice(x, h, weight_ih, weight_hh, grad_outputs):
    deltas = _deltas(1 - torch.tanh(h[:, 1:]) ** 2, grad_outputs, _right_way(weight_hh))
    return _over_batch_and_time(deltas, x, h[:, :-1])


def _slope_of_a_sigmoid(x, h, weight_ih, weight_hh, grad_outputs):
    deltas = _deltas(h[:, 1:] * (1 - h[:, 1:]), grad_outputs, _right_way(weight_hh))
    return _over_batch_and_time(deltas, x, h[:, :-1])


def _slope_for_the_weights_only(x, h, weight_ih, weight_hh, grad_outputs):
    def back(direct, carried, slope):
        total = direct + carried
        return total * slope, total @ weight_hh

    return _sums(x, h, grad_outputs, back)


def _slope_on_the_way_back_only(x, h, weight_ih, weight_hh, grad_outputs):
    def back(direct, carried, slope):
        total = direct + carried
        return total, total * slope @ weight_hh

    return _sums(x, h, grad_outputs, back)


def _slope_for_the_own_loss_only(x, h, weight_ih, weight_hh, grad_outputs):
    def back(direct, carried, slope):
        delta = direct * slope + carried
        return delta, delta @ weight_hh

    return _sums(x, h, grad_outputs, back)


def _slope_for_what_comes_back_only(x, h, weight_ih, weight_hh, grad_outputs):
    def back(direct, carried, slope):
        delta = direct + carried * slope
        return delta, delta @ weight_hh

    return _sums(x, h, grad_outputs, back)


def _weight_hh_transposed(x, h, weight_ih, weight_hh, grad_outputs):
    return _sums(x, h, grad_outputs, _right_way(weight_hh.T))


def _back_without_the_weight(x, h, weight_ih, weight_hh, grad_outputs):
    return _sums(x, h, grad_outputs, _right_way(torch.eye(len(weight_hh), dtype=h.dtype)))


def _state_after_the_step(x, h, weight_ih, weight_hh, grad_outputs):
    deltas = _deltas(_slopes(h), grad_outputs, _right_way(weight_hh))
    return _over_batch_and_time(deltas, x, h[:, 1:])


def _first_state_left_out(x, h, weight_ih, weight_hh, grad_outputs):
    deltas = _deltas(_slopes(h), grad_outputs, _right_way(weight_hh))
    before = torch.cat([torch.zeros_like(h[:, :1]), h[:, 1:-1]], dim=1)
    return _over_batch_and_time(deltas, x, before)


def _first_step_left_out(x, h, weight_ih, weight_hh, grad_outputs):
    deltas = _deltas(_slopes(h), grad_outputs, _right_way(weight_hh))
    return _over_batch_and_time(deltas[:, 1:], x[:, 1:], h[:, 1:-1])


def _last_step_left_out(x, h, weight_ih, weight_hh, grad_outputs):
    return rnn_backward(x[:, :-1], h[:, :-1], weight_ih, weight_hh, grad_outputs[:, :-1])


def _overwritten_at_each_step(x, h, weight_ih, weight_hh, grad_outputs):
    deltas = _deltas(_slopes(h), grad_outputs, _right_way(weight_hh))
    return _over_batch_and_time(deltas[:, :1], x[:, :1], h[:, :1])


def _last_step_only(x, h, weight_ih, weight_hh, grad_outputs):
    deltas = _deltas(_slopes(h), grad_outputs, _right_way(weight_hh))
    return _over_batch_and_time(deltas[:, -1:], x[:, -1:], h[:, -2:-1])


def _bias_summed_over_the_units(x, h, weight_ih, weight_hh, grad_outputs):
    by_x, by_h, by_bias = rnn_backward(x, h, weight_ih, weight_hh, grad_outputs)
    return by_x, by_h, by_bias.sum().expand(by_bias.shape)


def _weight_hh_overwritten(x, h, weight_ih, weight_hh, grad_outputs):
    by_x, _, by_bias = rnn_backward(x, h, weight_ih, weight_hh, grad_outputs)
    _, by_h, _ = _overwritten_at_each_step(x, h, weight_ih, weight_hh, grad_outputs)
    return by_x, by_h, by_bias


def _bias_overwritten(x, h, weight_ih, weight_hh, grad_outputs):
    by_x, by_h, _ = rnn_backward(x, h, weight_ih, weight_hh, grad_outputs)
    return by_x, by_h, _overwritten_at_each_step(x, h, weight_ih, weight_hh, grad_outputs)[2]


def _carried_and_added_up(x, h, weight_ih, weight_hh, grad_outputs):
    def back(direct, carried, slope):
        delta = (direct + carried) * slope
        return delta, carried + delta @ weight_hh

    return _sums(x, h, grad_outputs, back)


def _input_of_the_step_before(x, h, weight_ih, weight_hh, grad_outputs):
    deltas = _deltas(_slopes(h), grad_outputs, _right_way(weight_hh))
    return _over_batch_and_time(deltas, x.roll(1, 1), h[:, :-1])  # x[:, -1] in step 1


def _counted_as_the_states_are(x, h, weight_ih, weight_hh, grad_outputs):
    return x[:, x.shape[1]]


def _mean_over_the_batch(x, h, weight_ih, weight_hh, grad_outputs):
    found = rnn_backward(x, h, weight_ih, weight_hh, grad_outputs)
    return tuple(gradient / len(x) for gradient in found)


def _mean_over_the_steps(x, h, weight_ih, weight_hh, grad_outputs):
    found = rnn_backward(x, h, weight_ih, weight_hh, grad_outputs)
    return tuple(gradient / x.shape[1] for gradient in found)


def _mean_of_the_bias_over_the_batch(x, h, weight_ih, weight_hh, grad_outputs):
    by_x, by_h, by_bias = rnn_backward(x, h, weight_ih, weight_hh, grad_outputs)
    return by_x, by_h, by_bias / len(x)


def _gradient_of_weight_hh_transposed(x, h, weight_ih, weight_hh, grad_outputs):
    by_x, by_h, by_bias = rnn_backward(x, h, weight_ih, weight_hh, grad_outputs)
    return by_x, by_h.T, by_bias


_NO_TERM_FROM_LATER = (
    "Each of your steps hears of its own loss only: a state acts on all later ones, too, so what "
    "comes back from the next step, `delta @ weight_hh`, is added to the gradient of the state."
)

_OVERWRITTEN = (
    "You return what step 1 adds, and lose the others: the weights and the bias are the same at "
    "each step, so their gradients add up, with `+=` rather than `=`."
)
_MEAN = (
    "You divide by the number of sequences: whether the loss is a mean is said by `grad_outputs` "
    "already, so add up over the batch."
)

BACKWARD = Exercise(
    id="08.1",
    title="The backward pass by hand",
    solution=rnn_backward,
    cases=_backward_cases,
    results=("gradient of weight_ih", "gradient of weight_hh", "gradient of the bias"),
    axes={
        "x": ("batch", "time", "input"),
        "h": ("batch", "states", "hidden"),
        "weight_ih": ("hidden", "input"),
        "grad_outputs": ("batch", "time", "hidden"),
        "gradient of weight_ih": ("hidden", "input"),
        "gradient of the bias": ("hidden",),
    },
    hints=(
        "Begin with the last state. Nothing comes after it, so its gradient is `grad_outputs` of "
        "that step. What is its gradient before the tanh, and what does it send to the state "
        "before?",
        "Three lines for each step t, from the last to the first: the whole gradient of the state, "
        "`grad_h = grad_outputs[:, t - 1] + carried`; before the tanh, "
        "`delta = grad_h * (1 - h[:, t] ** 2)`; and for the step before, "
        "`carried = delta @ weight_hh`.",
        "The weights are the same at each step, so their gradients add up: "
        "`grad_weight_ih += delta.T @ x[:, t - 1]` and `grad_weight_hh += delta.T @ h[:, t - 1]`, "
        "with the state that the step began with. The bias gets `delta.sum(dim=0)`.",
    ),
    mistakes=(
        Mistake(_nothing_from_the_later_steps, _NO_TERM_FROM_LATER),
        Mistake(
            _one_step_back_only,
            "What you send back to the step before is made of the step's own loss only, so nothing "
            "reaches further than one step: send back what arrived from later, too.",
        ),
        Mistake(
            _only_the_loss_of_the_last_step,
            "You use the last step of `grad_outputs` only: each state's own loss is added when the "
            "walk comes to it.",
        ),
        Mistake(
            _from_the_first_step_to_the_last,
            "You walk from the first step to the last: what a later step sends back must be known "
            "first, so begin at the end.",
        ),
        Mistake(
            _no_slope,
            "The slope of the tanh is missing: before the tanh, the gradient is "
            "`grad_h * (1 - h[:, t] ** 2)`.",
        ),
        Mistake(
            _slope_of_the_state_before,
            "You take the slope at the state before the step: h_0 stands first, so the state after "
            "step t is `h[:, t]`, while its input is `x[:, t - 1]`.",
        ),
        Mistake(
            _state_not_squared,
            "You take `1 - h` for the slope: it is `1 - h ** 2`, since the derivative of tanh(z) "
            "is 1 - tanh(z)^2.",
        ),
        Mistake(
            _slope_for_the_weights_only,
            "You send back the gradient as it is after the tanh: the state before acts through the "
            "tanh, so `delta`, with the slope in it, goes through `weight_hh`.",
        ),
        Mistake(
            _slope_for_the_own_loss_only,
            "The slope multiplies the step's own loss only: add what comes back from later first, "
            "and multiply the sum.",
        ),
        Mistake(
            _weight_hh_transposed,
            "On the way back you multiply with `weight_hh.T`: the way forward was "
            "`h @ weight_hh.T`, so the way back is `delta @ weight_hh`.",
        ),
        Mistake(
            _back_without_the_weight,
            "You send `delta` back as it is: the state before went through `weight_hh`, so its "
            "gradient is `delta @ weight_hh`.",
        ),
        Mistake(
            _state_after_the_step,
            "Your gradient of `weight_hh` is made with the state after each step: the weight meets "
            "the state before it, `h[:, t - 1]`.",
        ),
        Mistake(
            _first_state_left_out,
            "Right where the first state is zeros: `weight_hh` meets h_0, too, in step 1, so "
            "`h[:, 0]` belongs into its gradient.",
        ),
        Mistake(
            _first_step_left_out,
            "Step 1 is missing: your loop stops before it, or its index never comes to the first "
            "entry of `x`.",
        ),
        Mistake(_overwritten_at_each_step, _OVERWRITTEN),
        Mistake(
            _carried_and_added_up,
            "You add to what comes from later what it was before: that has gone into the gradient "
            "of the state already, so `carried = delta @ weight_hh`, with `=`. What adds up over "
            "the steps are the gradients of the weights.",
        ),
    ),
    inherited=(
        Mistake(
            _the_last_step_counted_twice,
            "The loss of the last step counts twice: begin with zeros for what comes from later, "
            "since each step adds its own `grad_outputs` in the loop.",
        ),
        Mistake(
            _tanh_taken_twice,
            "You take the tanh of `h`, which is a tanh already: the slope is `1 - h ** 2`.",
        ),
        Mistake(
            _slope_of_a_sigmoid,
            "`h * (1 - h)` is the slope of a sigmoid: that of the tanh is `1 - h ** 2`.",
        ),
        Mistake(
            _slope_on_the_way_back_only,
            "The weights stand inside the tanh, too: their gradients are made of `delta`, with the "
            "slope in it, as what goes back is.",
        ),
        Mistake(
            _slope_for_what_comes_back_only,
            "The slope multiplies only what comes back from later: add the step's own loss first, "
            "and multiply the sum.",
        ),
        Mistake(
            _last_step_only,
            "You return what the last step adds to the weights' gradients: every step used the "
            "same weights, so all of them add.",
        ),
        Mistake(_mean_over_the_batch, _MEAN),
        Mistake(_mean_of_the_bias_over_the_batch, _MEAN),
        Mistake(
            _mean_over_the_steps,
            "You divide by the number of steps: each step is one more way in which a weight acts "
            "on the loss, so the gradients add up.",
        ),
        Mistake(
            _gradient_of_weight_hh_transposed,
            "Your gradient of `weight_hh` is transposed, which its shape does not show: as with "
            "`weight_ih`, it is `delta.T @ h`, not `h.T @ delta`.",
        ),
        Mistake(
            _last_step_left_out,
            "The last step is missing: with the states counted from 0, it is `h[:, x.shape[1]]`, "
            "since there is one state more than there are steps.",
        ),
        Mistake(
            _bias_summed_over_the_units,
            "Your gradient of the bias is one number for all units: each unit has a bias of its "
            "own, so `delta.sum(dim=0)` adds up over the batch only.",
        ),
        Mistake(_weight_hh_overwritten, _OVERWRITTEN),
        Mistake(_bias_overwritten, _OVERWRITTEN),
        Mistake(
            _input_of_the_step_before,
            "Each of your steps takes the input of the step before: the input that leads to "
            "`h[:, t]` is `x[:, t - 1]`, since h_0 stands in front of the states only.",
        ),
        Mistake(
            _counted_as_the_states_are,
            "Your index runs past the end: h_0 stands in front of the states only, so the input "
            "and the entry of `grad_outputs` that belong to `h[:, t]` are those at `t - 1`.",
        ),
    ),
)

# --- 08.2 ----------------------------------------------------------------------------------------


def leaky_backward(
    x: Tensor,
    h: Tensor,
    candidates: Tensor,
    weight_hh: Tensor,
    rate: Tensor,
    grad_outputs: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of weight_ih, weight_hh, the bias and the rate."""
    by_ih, by_hh, by_bias, by_rate = 0, 0, 0, 0
    carried = torch.zeros_like(h[:, 0])  # (batch, hidden), from the later step
    for t in reversed(range(x.shape[1])):  # from h[:, t] to h[:, t + 1]
        grad_h = grad_outputs[:, t] + carried
        delta = rate * grad_h * (1 - candidates[:, t] ** 2)
        by_ih = by_ih + delta.T @ x[:, t]
        by_hh = by_hh + delta.T @ h[:, t]
        by_bias = by_bias + delta.sum(dim=0)
        by_rate = by_rate + (grad_h * (candidates[:, t] - h[:, t])).sum()
        carried = delta @ weight_hh + (1 - rate) * grad_h
    return by_ih, by_hh, by_bias, by_rate


def given(
    x: Tensor,
    h: Tensor,
    candidates: Tensor,
    weight_hh: Tensor,
    rate: Tensor,
    grad_outputs: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of weight_ih, weight_hh, the bias and the rate."""
    by_ih, by_hh, by_bias, by_rate = 0, 0, 0, 0
    carried = torch.zeros_like(h[:, 0])  # (batch, hidden), from the later step
    for t in reversed(range(x.shape[1])):  # from h[:, t] to h[:, t + 1]
        grad_h = grad_outputs[:, t] + carried
        delta = rate * grad_h * (1 - candidates[:, t] ** 2)
        by_ih = by_ih + delta.T @ x[:, t]
        by_hh = by_hh + delta.T @ h[:, t]
        by_bias = by_bias + delta.sum(dim=0)
        by_rate = (grad_h * (candidates[:, t] - h[:, t])).sum()
        carried = delta @ weight_hh
    return by_ih, by_hh, by_bias, by_rate


def _leaky_cases(draw: Draw) -> list[Case]:
    def case(
        name: str, batch: int, steps: int, rate: float | None = None, last_only: bool = False
    ) -> Case:
        weight_ih = draw.normal(hidden, inputs, scale=0.5)
        weight_hh = draw.normal(hidden, hidden, scale=0.6)
        chosen = 0.3 + 0.1 * draw.integers(0, 3, 1).double()[0] if rate is None else rate
        rate_tensor = torch.as_tensor(chosen, dtype=torch.float64)
        x = draw.normal(batch, steps, inputs)
        states, candidates = [draw.normal(batch, hidden, scale=0.5)], []
        for x_t in x.unbind(dim=1):
            candidates.append(torch.tanh(x_t @ weight_ih.T + states[-1] @ weight_hh.T))
            states.append(states[-1] + rate_tensor * (candidates[-1] - states[-1]))
        grad_outputs = draw.normal(batch, steps, hidden)
        if last_only:
            grad_outputs[:, :-1] = 0
        return Case(
            name,
            {
                "x": x,
                "h": torch.stack(states, dim=1),
                "candidates": torch.stack(candidates, dim=1),
                "weight_hh": weight_hh,
                "rate": rate_tensor,
                "grad_outputs": grad_outputs,
            },
        )

    time = draw.sizes(1, low=7, high=8)[0]
    batch, inputs, hidden = draw.sizes(3, low=2, high=6)
    return [
        case("a loss at every step", batch, time),
        case("a loss at the last step only", batch, time, last_only=True),
        case("a rate of 1", batch, time, rate=1.0),
        case("a single step", batch, 1),
        case("a batch of one", 1, time),
    ]


# From delta, the whole gradient of the state, that of the step's own loss and what came from later:
# what goes on to the earlier step.
Carry = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def _leaky(
    x: Tensor,
    h: Tensor,
    candidates: Tensor,
    rate: Tensor,
    grad_outputs: Tensor,
    carry: Carry,
    added: bool = True,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Do as the given code, with another way back, and with the rate's gradient added or not."""
    carried = torch.zeros_like(h[:, 0])
    deltas, by_rate = [], torch.zeros_like(rate)
    for t in reversed(range(x.shape[1])):
        direct = grad_outputs[:, t]
        total = direct + carried
        delta = rate * total * (1 - candidates[:, t] ** 2)
        deltas.append(delta)
        own = (total * (candidates[:, t] - h[:, t])).sum()
        by_rate = by_rate + own if added else own
        carried = carry(delta, total, direct, carried)
    sums = _over_batch_and_time(torch.stack(deltas[::-1], dim=1), x, h[:, :-1])
    return (*sums, by_rate)


def _both_ways(weight_hh: Tensor, rate: Tensor) -> Carry:
    return lambda delta, total, direct, carried: delta @ weight_hh + (1 - rate) * total


def _both_faults(x, h, candidates, weight_hh, rate, grad_outputs):
    return given(x, h, candidates, weight_hh, rate, grad_outputs)


def _one_way_back_only(x, h, candidates, weight_hh, rate, grad_outputs):
    return _leaky(x, h, candidates, rate, grad_outputs, lambda delta, *_: delta @ weight_hh)


def _rate_overwritten_at_each_step(x, h, candidates, weight_hh, rate, grad_outputs):
    carry = _both_ways(weight_hh, rate)
    return _leaky(x, h, candidates, rate, grad_outputs, carry, added=False)


def _straight_way_only(x, h, candidates, weight_hh, rate, grad_outputs):
    def carry(delta, total, direct, carried):
        return (1 - rate) * total

    return _leaky(x, h, candidates, rate, grad_outputs, carry)


def _straight_way_without_its_share(x, h, candidates, weight_hh, rate, grad_outputs):
    def carry(delta, total, direct, carried):
        return delta @ weight_hh + total

    return _leaky(x, h, candidates, rate, grad_outputs, carry)


def _rate_for_one_minus_rate(x, h, candidates, weight_hh, rate, grad_outputs):
    def carry(delta, total, direct, carried):
        return delta @ weight_hh + rate * total

    return _leaky(x, h, candidates, rate, grad_outputs, carry)


def _own_loss_only_on_the_straight_way(x, h, candidates, weight_hh, rate, grad_outputs):
    def carry(delta, total, direct, carried):
        return delta @ weight_hh + (1 - rate) * direct

    return _leaky(x, h, candidates, rate, grad_outputs, carry)


def _later_steps_only_on_the_straight_way(x, h, candidates, weight_hh, rate, grad_outputs):
    def carry(delta, total, direct, carried):
        return delta @ weight_hh + (1 - rate) * carried

    return _leaky(x, h, candidates, rate, grad_outputs, carry)


def _delta_on_the_straight_way(x, h, candidates, weight_hh, rate, grad_outputs):
    def carry(delta, total, direct, carried):
        return delta @ weight_hh + (1 - rate) * delta

    return _leaky(x, h, candidates, rate, grad_outputs, carry)


def _straight_way_through_the_weight(x, h, candidates, weight_hh, rate, grad_outputs):
    def carry(delta, total, direct, carried):
        return (delta + (1 - rate) * total) @ weight_hh

    return _leaky(x, h, candidates, rate, grad_outputs, carry)


def _carried_added_up(x, h, candidates, weight_hh, rate, grad_outputs):
    def carry(delta, total, direct, carried):
        return carried + delta @ weight_hh

    return _leaky(x, h, candidates, rate, grad_outputs, carry)


def _both_ways_added_up(x, h, candidates, weight_hh, rate, grad_outputs):
    def carry(delta, total, direct, carried):
        return carried + delta @ weight_hh + (1 - rate) * total

    return _leaky(x, h, candidates, rate, grad_outputs, carry)


def _shares_of_both_ways(x, h, candidates, weight_hh, rate, grad_outputs):
    def carry(delta, total, direct, carried):
        return rate * (delta @ weight_hh) + (1 - rate) * total

    return _leaky(x, h, candidates, rate, grad_outputs, carry)


def _weight_turned_over(x, h, candidates, weight_hh, rate, grad_outputs):
    return _leaky(x, h, candidates, rate, grad_outputs, _both_ways(weight_hh.T, rate))


def _mean_of_the_rate_over_the_steps(x, h, candidates, weight_hh, rate, grad_outputs):
    *others, by_rate = leaky_backward(x, h, candidates, weight_hh, rate, grad_outputs)
    return (*others, by_rate / x.shape[1])


def _rate_of_the_last_step(x, h, candidates, weight_hh, rate, grad_outputs):
    *others, _ = leaky_backward(x, h, candidates, weight_hh, rate, grad_outputs)
    last = grad_outputs[:, -1] * (candidates[:, -1] - h[:, -2])
    return (*others, last.sum())


def _rate_taken_out_of_delta(x, h, candidates, weight_hh, rate, grad_outputs):
    *weights, by_rate = _leaky(
        x, h, candidates, rate, grad_outputs, lambda delta, total, *_: delta / rate @ weight_hh
    )
    return (*(gradient / rate for gradient in weights), by_rate)


def _rate_taken_out_of_delta_and_both_ways(x, h, candidates, weight_hh, rate, grad_outputs):
    def carry(delta, total, direct, carried):
        return delta / rate @ weight_hh + (1 - rate) * total

    *weights, by_rate = _leaky(x, h, candidates, rate, grad_outputs, carry)
    return (*(gradient / rate for gradient in weights), by_rate)


def _slope_at_the_state(x, h, candidates, weight_hh, rate, grad_outputs):
    *weights, _ = leaky_backward(x, h, h[:, 1:], weight_hh, rate, grad_outputs)
    return (*weights, leaky_backward(x, h, candidates, weight_hh, rate, grad_outputs)[3])


def _rate_without_the_old_state(x, h, candidates, weight_hh, rate, grad_outputs):
    *weights, by_rate = leaky_backward(x, h, candidates, weight_hh, rate, grad_outputs)
    totals = _totals(candidates, weight_hh, rate, grad_outputs)
    return (*weights, by_rate + (totals * h[:, :-1]).sum())


def _first_step_never_reached(x, h, candidates, weight_hh, rate, grad_outputs):
    by_ih, by_hh, by_bias, by_rate = 0, 0, 0, torch.zeros_like(rate)
    carried = torch.zeros_like(h[:, 0])
    for t in range(x.shape[1] - 1, 0, -1):
        total = grad_outputs[:, t] + carried
        delta = rate * total * (1 - candidates[:, t] ** 2)
        by_ih = by_ih + delta.T @ x[:, t]
        by_hh = by_hh + delta.T @ h[:, t]
        by_bias = by_bias + delta.sum(dim=0)
        by_rate = by_rate + (total * (candidates[:, t] - h[:, t])).sum()
        carried = delta @ weight_hh + (1 - rate) * total
    return by_ih, by_hh, by_bias, by_rate


def _totals(candidates: Tensor, weight_hh: Tensor, rate: Tensor, grad_outputs: Tensor) -> Tensor:
    """Whole gradients of the states, (batch, time, hidden)."""

    def back(direct, carried, slope):
        total = direct + carried
        return total, (rate * total * slope) @ weight_hh + (1 - rate) * total

    return _deltas(1 - candidates**2, grad_outputs, back)


_ONE_WAY = (
    "Your gradient of the rate adds up now, but what comes back from a later step does not: h_t-1 "
    "acts on h_t in two ways, through the tanh and straight, as `(1 - rate) * h_t-1`. The gradient "
    "takes both ways back."
)
_ADDED_UP = (
    "You add to `carried` what it was before: that has gone into `grad_h` already, and would count "
    "at every earlier step again. What is missing is a second way from h_t back to h_t-1."
)
_RATE_OVERWRITTEN = (
    "The weights are right now, but your gradient of the rate is that of step 1 alone: the rate "
    "acts at each step, so its gradients add up as the others do."
)

_RATE_NEEDED = (
    "The rate in `delta` was right as it stood: only that share of the candidate goes into h_t, "
    "so only that share of the gradient goes back through it."
)

LEAKY = Exercise(
    id="08.2",
    title="A backward pass, repaired",
    solution=leaky_backward,
    start=given,
    cases=_leaky_cases,
    results=(
        "gradient of weight_ih",
        "gradient of weight_hh",
        "gradient of the bias",
        "gradient of the rate",
    ),
    axes={
        "x": ("batch", "time", "input"),
        "h": ("batch", "states", "hidden"),
        "candidates": ("batch", "time", "hidden"),
        "grad_outputs": ("batch", "time", "hidden"),
        "gradient of weight_ih": ("hidden", "input"),
        "gradient of the bias": ("hidden",),
        "gradient of the rate": (),
    },
    hints=(
        "Draw one step: on how many ways does h_t-1 reach h_t? And how often does each of the four "
        "parameters act, over all steps?",
        "With a rate of 1 the network is the plain one of exercise 08.1, and three of the four "
        "gradients are right: look for what a rate below 1 adds, and what that sends back. With a "
        "single step all four are right: look for what should add up.",
        "In h_t = (1 - rate) h_t-1 + rate candidate_t the first term sends "
        "`(1 - rate) * grad_h` straight back to h_t-1, beside `delta @ weight_hh`. And `by_rate` "
        "is overwritten at each step.",
    ),
    mistakes=(
        Mistake(
            _both_faults,
            "The two faults are still there, however it is written: with a rate of 1 three of the "
            "four gradients are right, and with a single step all of them. Look at what goes back "
            "to the earlier state, and at what should add up.",
        ),
        Mistake(_one_way_back_only, _ONE_WAY),
        Mistake(_rate_overwritten_at_each_step, _RATE_OVERWRITTEN),
        Mistake(
            _straight_way_only,
            "The straight way back is there now, but the one through the tanh and `weight_hh` is "
            "gone: a state's gradient is the sum over both.",
        ),
        Mistake(
            _straight_way_without_its_share,
            "The straight way back has no factor: h_t-1 goes into h_t with the share `1 - rate`, "
            "and so does the gradient back.",
        ),
        Mistake(
            _rate_for_one_minus_rate,
            "On the straight way, the state keeps the share `1 - rate`, not `rate`: "
            "h_t = (1 - rate) h_t-1 + rate candidate_t.",
        ),
        Mistake(
            _own_loss_only_on_the_straight_way,
            "On the straight way you send back the gradient of the step's own loss only: the whole "
            "gradient of the state goes back, `grad_h`, with what came from later steps.",
        ),
        Mistake(
            _later_steps_only_on_the_straight_way,
            "On the straight way you send back only what came from later: the whole gradient of "
            "the state goes back, `grad_h`, with the step's own loss.",
        ),
        Mistake(
            _delta_on_the_straight_way,
            "On the straight way you send `delta` back: that one has been through the tanh, and "
            "the straight way leads past it, so `grad_h` goes back.",
        ),
        Mistake(
            _straight_way_through_the_weight,
            "You send both ways through `weight_hh`: only the way through the tanh meets it, the "
            "straight one leads past it.",
        ),
        Mistake(_carried_added_up, _ADDED_UP),
        Mistake(
            _both_ways_added_up,
            "Both ways are there now, but you also add what `carried` was before: that has gone "
            "into `grad_h` already, so it would count twice.",
        ),
        Mistake(
            _shares_of_both_ways,
            "The way through the tanh has its rate twice: it is in `delta` already.",
        ),
        Mistake(
            _weight_turned_over,
            "`delta @ weight_hh` was right as it stood: the way forward multiplies by "
            "`weight_hh.T`, so the way back does by `weight_hh`.",
        ),
        Mistake(
            _mean_of_the_rate_over_the_steps,
            "You divide the gradient of the rate by the number of steps: each step is one more way "
            "in which the rate acts on the loss, so they add up.",
        ),
        Mistake(
            _rate_of_the_last_step,
            "Your gradient of the rate is that of the last step alone: the rate acts at each step, "
            "so its gradients add up.",
        ),
    ),
    inherited=(
        Mistake(
            _first_step_never_reached,
            "Your loop ends before the first step: `reversed(range(n))` goes down to 0, "
            "`range(n - 1, 0, -1)` to 1.",
        ),
        Mistake(_rate_taken_out_of_delta, _RATE_NEEDED),
        Mistake(_rate_taken_out_of_delta_and_both_ways, _RATE_NEEDED),
        Mistake(
            _slope_at_the_state,
            "The slope was right as it stood: it is taken at the candidate, which came out of the "
            "tanh, not at the state.",
        ),
        Mistake(
            _rate_without_the_old_state,
            "In your gradient of the rate the old state is missing: h_t is h_t-1 and `rate` times "
            "the difference of candidate and h_t-1, as the given line has it.",
        ),
    ),
)

# --- 08.3 ----------------------------------------------------------------------------------------


def truncated(x: Tensor, state, step, window: int) -> Tensor:
    """Outputs of all steps, with a gradient that stops where a window begins."""
    outputs = []
    for t, x_t in enumerate(x.unbind(dim=1)):  # (batch, input)
        if t > 0 and t % window == 0:
            if isinstance(state, Tensor):
                state = state.detach()
            else:  # an LSTMState: its kind, made anew of detached parts
                state = type(state)(*(part.detach() for part in state))
        output, state = step(x_t, state)
        outputs.append(output)
    return torch.stack(outputs, dim=1)  # (batch, time, hidden)


def _truncated_cases(draw: Draw) -> list[Case]:
    def case(name: str, time: int, window: int, batch: int, lstm: bool = False) -> Case:
        gates = 4 if lstm else 1
        states = {"h_0": draw.normal(batch, hidden, scale=0.5)}
        if lstm:
            states["c_0"] = draw.normal(batch, hidden)
        weights = {
            "weight_ih": draw.normal(gates * hidden, inputs, scale=0.5),
            "weight_hh": draw.normal(gates * hidden, hidden, scale=0.5),
            "bias": draw.normal(gates * hidden, scale=0.5),
        }
        return Case(
            name, {"x": draw.normal(batch, time, inputs), **states, **weights, "window": window}
        )

    batch, inputs, hidden = draw.sizes(3, low=2, high=4)
    window = 5  # no other size
    return [
        case("a plain cell", 2 * window + 2, window, batch),
        case("windows of equal length", 2 * window, window, batch),
        case("a single window", window, window, batch),
        case("fewer steps than a window has", window - 1, window, batch),
        case("windows of one step", 4, 1, batch),
        # The last, since the others have no c_0.
        case("an LSTM", window + 2, window, batch, lstm=True),
    ]


def _run_truncated(submission: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    x, h_0, window = arguments["x"], arguments["h_0"], arguments["window"]
    state = LSTMState(h_0, arguments["c_0"]) if "c_0" in arguments else h_0
    kind = LSTMCell if "c_0" in arguments else RNNCell
    cell = kind(x.shape[2], h_0.shape[1])
    for name in ("weight_ih", "weight_hh", "bias"):
        delattr(cell, name)  # a parameter; in its place a tensor through which the gradient flows
        setattr(cell, name, arguments[name])
    return {"outputs": submission(x, state, cell, window)}


def _walked(x: Tensor, state, step, before: Callable[[Any, int], Any]) -> Tensor:
    """Run over all steps; `before` may change the state before a step."""
    outputs = []
    for t, x_t in enumerate(x.unbind(dim=1)):
        output, state = step(x_t, before(state, t))
        outputs.append(output)
    return torch.stack(outputs, dim=1)


def _detached(state):
    return map_state(Tensor.detach, state)


def _no_border(x, state, step, window):
    return _walked(x, state, step, lambda state, t: state)


def _detached_at_each_step(x, state, step, window):
    return _walked(x, state, step, lambda state, t: _detached(state) if t else state)


def _detached_at_each_step_and_at_the_start(x, state, step, window):
    return _walked(x, state, step, lambda state, t: _detached(state))


def _first_state_detached(x, state, step, window):
    return truncated(x, _detached(state), step, window)


def _only_the_first_state_detached(x, state, step, window):
    return _no_border(x, _detached(state), step, window)


def _one_step_early(x, state, step, window):
    return _walked(x, state, step, lambda s, t: _detached(s) if (t + 1) % window == 0 else s)


def _one_step_late(x, state, step, window):
    return _walked(
        x, state, step, lambda s, t: _detached(s) if t > 1 and (t - 1) % window == 0 else s
    )


def _cut_one_step_late_and_at_the_first(x, state, step, window):
    outputs = []
    for t, x_t in enumerate(x.unbind(dim=1)):
        output, state = step(x_t, state)
        if t % window == 0:
            state = _detached(state)
        outputs.append(output)
    return torch.stack(outputs, dim=1)


def _at_the_first_border_only(x, state, step, window):
    return _walked(x, state, step, lambda s, t: _detached(s) if t == window else s)


def _at_every_step_after_the_first_window(x, state, step, window):
    return _walked(x, state, step, lambda s, t: _detached(s) if t >= window else s)


def _not_before_the_last_short_window(x, state, step, window):
    def before(state, t):
        return _detached(state) if t and t % window == 0 and t + window <= x.shape[1] else state

    return _walked(x, state, step, before)


def _windows_counted_from_the_end(x, state, step, window):
    def before(state, t):
        return _detached(state) if t and (x.shape[1] - t) % window == 0 else state

    return _walked(x, state, step, before)


def _as_many_windows_as_a_window_has_steps(x, state, step, window):
    return truncated(x, state, step, -(-x.shape[1] // window))


def _output_detached_where_a_window_ends(x, state, step, window):
    outputs = []
    for t, x_t in enumerate(x.unbind(dim=1)):
        output, state = step(x_t, state)
        if (t + 1) % window == 0:
            output, state = output.detach(), _detached(state)
        outputs.append(output)
    return torch.stack(outputs, dim=1)


def _state_detached_in_place(x, state, step, window):
    def before(state, t):
        if t and t % window == 0:
            map_state(Tensor.detach_, state)
        return state

    return _walked(x, state, step, before)


def _one_step_of_each_window_without_gradient(x, state, step, window):
    outputs = []
    for t, x_t in enumerate(x.unbind(dim=1)):
        with torch.set_grad_enabled(not (t and t % window == 0)):
            output, state = step(x_t, state)
        outputs.append(output)
    return torch.stack(outputs, dim=1)


def _zeros_at_each_border(x, state, step, window):
    def before(state, t):
        return map_state(torch.zeros_like, state) if t and t % window == 0 else state

    return _walked(x, state, step, before)


def _zeros_at_the_start_of_all_windows(x, state, step, window):
    def before(state, t):
        return map_state(torch.zeros_like, state) if t % window == 0 else state

    return _walked(x, state, step, before)


def _state_never_goes_on(x, state, step, window):
    return torch.stack([step(x_t, state)[0] for x_t in x.unbind(dim=1)], dim=1)


def _each_window_from_the_first_state(x, state, step, window):
    first = state
    return _walked(x, state, step, lambda state, t: first if t % window == 0 else state)


def _each_window_from_the_first_state_detached(x, state, step, window):
    first = state

    def before(state, t):
        return state if t % window else _detached(first) if t else first

    return _walked(x, state, step, before)


def _only_h_detached(x, state, step, window):
    def before(state, t):
        if not t or t % window:
            return state
        return state.detach() if isinstance(state, Tensor) else state._replace(h=state.h.detach())

    return _walked(x, state, step, before)


def _only_c_detached(x, state, step, window):
    def before(state, t):
        if not t or t % window:
            return state
        return state.detach() if isinstance(state, Tensor) else state._replace(c=state.c.detach())

    return _walked(x, state, step, before)


def _a_pair_taken_for_a_tensor(x, state, step, window):
    return _walked(x, state, step, lambda s, t: s.detach() if t and t % window == 0 else s)


def _a_plain_tuple_for_an_lstm_state(x, state, step, window):
    def before(state, t):
        if not t or t % window:
            return state
        return state.detach() if isinstance(state, Tensor) else tuple(s.detach() for s in state)

    return _walked(x, state, step, before)


def _parts_of_an_lstm_state_exchanged(x, state, step, window):
    def before(state, t):
        if not t or t % window:
            return state
        return _detached(state) if isinstance(state, Tensor) else LSTMState(*_detached(state)[::-1])

    return _walked(x, state, step, before)


def _short_window_dropped(x, state, step, window):
    return truncated(x[:, : x.shape[1] // window * window], state, step, window)


def _last_outputs_of_the_windows(x, state, step, window):
    outputs = truncated(x, state, step, window)
    return outputs[:, window - 1 :: window]


_NO_BORDER = (
    "Right forwards, but the gradient crosses all borders: where a window begins that has another "
    "one before it, go on with the detached state. `state.detach()` alone changes nothing, its "
    "result counts."
)
_EVERY_STEP = (
    "Right forwards, but the gradient goes back one step only: you detach at each step, and it "
    "should be where a window begins, every `window` steps."
)
_FORGETS = (
    "Your state begins anew with zeros in each window, so the network forgets what it has read: "
    "the numbers cross a border, detached, only the gradient does not."
)
_FROM_THE_FIRST = (
    "Each of your windows begins with the first state: only the first one does, the others go on "
    "with the state at the end of the window before, detached."
)
_BORDER_LATE = (
    "Right forwards, but your borders come one step late: with steps counted from 0, a window "
    "begins where `t % window == 0`, and the state is detached before that step is taken."
)

TRUNCATED = Exercise(
    id="08.3",
    title="Truncation for any cell",
    solution=truncated,
    cases=_truncated_cases,
    run=_run_truncated,
    results=("outputs",),
    axes={
        "x": ("batch", "time", "input"),
        "h_0": ("batch", "hidden"),
        "c_0": ("batch", "hidden"),
        "outputs": ("batch", "time", "hidden"),
    },
    gradients=True,
    hints=(
        "Write the loop without any window first: `output, state = step(x[:, t], state)`. The "
        "values are right then. Before which of the steps must the state lose its history?",
        "With steps t = 0, 1, 2, ..., a window begins where `t % window == 0`. The first one has "
        "no border before it: there the gradient may flow into the first state.",
        "An LSTM's state has two tensors, and the gradient flows through both: "
        "`LSTMState(state.h.detach(), state.c.detach())`, or for any state "
        "`map_state(torch.Tensor.detach, state)`, from `unrolled.layers`.",
    ),
    mistakes=(
        Mistake(_no_border, _NO_BORDER),
        Mistake(_detached_at_each_step, _EVERY_STEP),
        Mistake(
            _first_state_detached,
            "Right forwards, but no gradient reaches the first state: it belongs to the first "
            "window, and no border lies before that. Detach where `t > 0` only.",
        ),
        Mistake(
            _one_step_early,
            "Right forwards, but your borders come one step early: with steps counted from 0, a "
            "window begins where `t % window == 0`, not `(t + 1) % window == 0`.",
        ),
        Mistake(_one_step_late, _BORDER_LATE),
        Mistake(
            _at_the_first_border_only,
            "Right forwards, but you cut at the first border only: `t == window` is true once, "
            "`t % window == 0` at each border.",
        ),
        Mistake(
            _not_before_the_last_short_window,
            "Right forwards, but the gradient crosses the border before the last window where that "
            "is shorter than the others: it is a window, too.",
        ),
        Mistake(
            _as_many_windows_as_a_window_has_steps,
            "Right forwards, but `window` is the number of steps in a window, not the number of "
            "windows: `x.split(window, dim=1)` cuts so, `x.chunk(window, dim=1)` does not.",
        ),
        Mistake(
            _output_detached_where_a_window_ends,
            "Right forwards, but the last output of each window is cut off, so that its own loss "
            "teaches nothing: keep the output first, and detach only the state that goes on.",
        ),
        Mistake(
            _state_detached_in_place,
            "Right forwards, but `detach_` cuts the tensor itself, and that is also the output "
            "that you have kept: `detach` makes a new tensor and leaves the old one whole.",
        ),
        Mistake(_zeros_at_each_border, _FORGETS),
        Mistake(_each_window_from_the_first_state, _FROM_THE_FIRST),
        Mistake(
            _only_h_detached,
            "Right but for an LSTM: you detach `h`, and the gradient goes on through `c`, which is "
            "the wider road of the two. Detach both.",
        ),
        Mistake(
            _a_pair_taken_for_a_tensor,
            "Right for the plain cell, but the state of an LSTM is two tensors, which are detached "
            "one by one: `LSTMState(state.h.detach(), state.c.detach())`.",
        ),
        Mistake(
            _short_window_dropped,
            "The steps after the last full window are missing: they are a window, too, a shorter "
            "one.",
        ),
        Mistake(
            _state_never_goes_on,
            "Each of your steps begins with the first state: `step` gives the output and the next "
            "state, with which the next step begins, `output, state = step(x[:, t], state)`.",
        ),
    ),
    inherited=(
        Mistake(_detached_at_each_step_and_at_the_start, _EVERY_STEP),
        Mistake(_cut_one_step_late_and_at_the_first, _BORDER_LATE),
        Mistake(_zeros_at_the_start_of_all_windows, _FORGETS),
        Mistake(_each_window_from_the_first_state_detached, _FROM_THE_FIRST),
        Mistake(
            _only_the_first_state_detached,
            "Right forwards, but you detach the first state only: that one keeps its gradient, and "
            "the later windows begin with a detached one.",
        ),
        Mistake(
            _at_every_step_after_the_first_window,
            "Right forwards and in the first window, but from there on you detach at each step: "
            "only every `window` steps a new window begins.",
        ),
        Mistake(
            _windows_counted_from_the_end,
            "Right forwards, but you count the windows from the end: the first one begins with "
            "step 1 and is full, the last may be shorter.",
        ),
        Mistake(
            _one_step_of_each_window_without_gradient,
            "Right forwards, but `no_grad` around a step cuts off its weights and its input, too: "
            "only the state that comes in loses its history, by `detach`.",
        ),
        Mistake(
            _only_c_detached,
            "Right but for an LSTM: you detach `c`, and the gradient goes on through `h`. Detach "
            "both.",
        ),
        Mistake(
            _a_plain_tuple_for_an_lstm_state,
            "Both parts are detached, but an LSTM wants its own kind of state back: "
            "`LSTMState(h, c)`, not a plain tuple.",
        ),
        Mistake(
            _parts_of_an_lstm_state_exchanged,
            "Right but for an LSTM: `h` and `c` change places at a border. The order is "
            "`LSTMState(h, c)`.",
        ),
        Mistake(
            _last_outputs_of_the_windows,
            "You return one output for each window: the outputs of all steps are asked for.",
        ),
    ),
)

# --- 08.4 ----------------------------------------------------------------------------------------


def finite_differences(function, parameter: Tensor, epsilon: float) -> Tensor:
    """Gradient of a function with one number as its result, from pairs of values."""
    gradient = parameter.new_zeros(parameter.shape)
    with torch.no_grad():
        for index in range(parameter.numel()):
            shift = parameter.new_zeros(parameter.shape)
            shift.view(-1)[index] = epsilon
            pair = function(parameter + shift) - function(parameter - shift)
            gradient.view(-1)[index] = pair / (2 * epsilon)
    return gradient


def _difference_cases(draw: Draw) -> list[Case]:
    def function(*shape: int) -> Callable[[Tensor], Tensor]:
        # Bent enough that one side, both sides and the exact slope are three different things.
        by_cube, by_exp, by_tanh = draw.normal(*shape), draw.normal(*shape), draw.normal(*shape)

        def loss(parameter: Tensor) -> Tensor:
            apart = by_cube * parameter**3 + by_exp * torch.exp(parameter)
            return apart.sum() + torch.tanh(0.3 * (by_tanh * parameter).sum())

        return loss

    def case(name: str, parameter: Tensor, epsilon: float) -> Case:
        loss = function(*parameter.shape)
        return Case(name, {"function": loss, "parameter": parameter, "epsilon": epsilon})

    rows, columns = draw.sizes(2, low=2, high=3)
    epsilon = 0.1 * float(draw.integers(1, 3, 1))
    return [
        case("a matrix", draw.normal(rows, columns), epsilon),
        case("a vector", draw.normal(columns), epsilon),
        case("a single number", draw.normal(), epsilon),
        case("three axes", draw.normal(rows, columns, 2), epsilon),
        case("a matrix that is the transpose of another", draw.normal(columns, rows).T, epsilon),
        case("a small epsilon", draw.normal(columns), 1e-4),
    ]


def _run_difference(submission: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    parameter = torch.nn.Parameter(arguments["parameter"].clone())
    gradient = submission(arguments["function"], parameter, arguments["epsilon"])
    exact = _by_autograd(arguments["function"], parameter, arguments["epsilon"])
    # One answer, whichever small epsilon it was made with.
    same_form = isinstance(gradient, Tensor) and gradient.shape == exact.shape
    if same_form and torch.allclose(gradient.double(), exact, rtol=1e-4, atol=1e-4):
        gradient = exact.to(gradient.dtype)
    return {"gradient": gradient, "parameter afterwards": parameter.detach()}


def _one_by_one(parameter: Tensor, quotient: Callable[[Tensor], Tensor]) -> Tensor:
    """Fill a gradient entry by entry; `quotient` gets a tensor with a single 1."""
    gradient = parameter.new_zeros(parameter.shape)
    with torch.no_grad():
        for index in range(parameter.numel()):
            one = parameter.new_zeros(parameter.shape)
            one.view(-1)[index] = 1
            gradient.view(-1)[index] = quotient(one)
    return gradient


def _forward_difference(function, parameter, epsilon):
    def quotient(one):
        return (function(parameter + epsilon * one) - function(parameter)) / epsilon

    return _one_by_one(parameter, quotient)


def _backward_difference(function, parameter, epsilon):
    def quotient(one):
        return (function(parameter) - function(parameter - epsilon * one)) / epsilon

    return _one_by_one(parameter, quotient)


def _divided_by_epsilon(function, parameter, epsilon):
    return 2 * finite_differences(function, parameter, epsilon)


def _multiplied_by_epsilon(function, parameter, epsilon):
    # As `(up - down) / 2 * epsilon` does.
    return epsilon**2 * finite_differences(function, parameter, epsilon)


def _not_divided(function, parameter, epsilon):
    return 2 * epsilon * finite_differences(function, parameter, epsilon)


def _down_minus_up(function, parameter, epsilon):
    return -finite_differences(function, parameter, epsilon)


def _half_of_epsilon_to_either_side(function, parameter, epsilon):
    return finite_differences(function, parameter, epsilon / 2)


def _epsilon_in_proportion(function, parameter, epsilon):
    def quotient(one):
        shift = epsilon * parameter.abs() * one
        return (function(parameter + shift) - function(parameter - shift)) / (2 * shift.sum())

    return _one_by_one(parameter, quotient)


def _by_autograd(function, parameter, epsilon):
    return torch.autograd.grad(function(parameter), parameter)[0]


def _all_entries_moved_at_once(function, parameter, epsilon):
    with torch.no_grad():
        pair = function(parameter + epsilon) - function(parameter - epsilon)
    return torch.full_like(parameter, pair.item() / (2 * epsilon))


def _all_entries_moved_at_once_and_one_number_returned(function, parameter, epsilon):
    with torch.no_grad():
        return (function(parameter + epsilon) - function(parameter - epsilon)) / (2 * epsilon)


def _rows_moved_as_a_whole(function, parameter, epsilon):
    gradient = parameter.new_zeros(parameter.shape)
    with torch.no_grad():
        for row in range(len(parameter)):
            shift = parameter.new_zeros(parameter.shape)
            shift[row] = epsilon
            pair = function(parameter + shift) - function(parameter - shift)
            gradient[row] = pair / (2 * epsilon)
    return gradient


def _by_rows_and_columns(parameter: Tensor, entry: Callable[[int, int], Tensor], rows, columns):
    gradient = parameter.new_zeros(parameter.shape)
    with torch.no_grad():
        for row in range(rows):
            for column in range(columns):
                gradient[row, column] = entry(row, column)
    return gradient


def _matrix_entry(function, parameter, epsilon) -> Callable[[int, int], Tensor]:
    def entry(row, column):
        shift = parameter.new_zeros(parameter.shape)
        shift[row, column] = epsilon
        return (function(parameter + shift) - function(parameter - shift)) / (2 * epsilon)

    return entry


def _for_matrices_only(function, parameter, epsilon):
    rows, columns = parameter.shape
    entry = _matrix_entry(function, parameter, epsilon)
    return _by_rows_and_columns(parameter, entry, rows, columns)


def _for_matrices_only_by_shape(function, parameter, epsilon):
    entry = _matrix_entry(function, parameter, epsilon)
    return _by_rows_and_columns(parameter, entry, parameter.shape[0], parameter.shape[1])


def _for_matrices_only_by_size(function, parameter, epsilon):
    entry = _matrix_entry(function, parameter, epsilon)
    return _by_rows_and_columns(parameter, entry, parameter.size(0), parameter.size(1))


def _in_place_where_a_gradient_is_kept(function, parameter, epsilon):
    for index in range(parameter.numel()):
        parameter.view(-1)[index] += epsilon
    return parameter


def _in_place_where_a_gradient_is_kept_by_place(function, parameter, epsilon):
    for place in np.ndindex(*parameter.shape):
        parameter[place] += epsilon
    return parameter


def _in_place_where_a_gradient_is_kept_by_assignment(function, parameter, epsilon):
    for place in np.ndindex(*parameter.shape):
        parameter[place] = parameter[place] + epsilon
    return parameter


def _in_place_where_a_gradient_is_kept_by_index(function, parameter, epsilon):
    for index in range(parameter.numel()):
        parameter[index] += epsilon
    return parameter


def _a_view_of_the_transposed(function, parameter, epsilon):
    parameter.view(-1)
    return finite_differences(function, parameter, epsilon)


def _not_put_back(function, parameter, epsilon):
    gradient = parameter.new_zeros(parameter.shape)
    with torch.no_grad():
        for place in np.ndindex(*parameter.shape):
            parameter[place] += epsilon
            up = function(parameter)
            parameter[place] -= 2 * epsilon
            down = function(parameter)
            gradient[place] = (up - down) / (2 * epsilon)
    return gradient


def _one_side_divided_by_two_epsilon(function, parameter, epsilon):
    return _forward_difference(function, parameter, epsilon) / 2


def _one_shift_for_all_entries(function, parameter, epsilon):
    shift = parameter.new_zeros(parameter.shape)

    def quotient(one):
        shift.add_(epsilon * one)
        return (function(parameter + shift) - function(parameter - shift)) / (2 * epsilon)

    return _one_by_one(parameter, quotient)


def _return_inside_the_loop(function, parameter, epsilon):
    gradient = finite_differences(function, parameter, epsilon)
    gradient.view(-1)[1:] = 0
    return gradient


def _as_many_entries_as_rows(function, parameter, epsilon):
    gradient = finite_differences(function, parameter, epsilon)
    gradient.view(-1)[len(parameter) :] = 0
    return gradient


def _one_copy_for_all_entries(function, parameter, epsilon):
    return _not_put_back(function, parameter.detach().clone(), epsilon)


def _two_names_for_one_tensor(function, parameter, epsilon):
    return torch.zeros_like(parameter)  # up and down are one tensor, so their values are equal


def _a_flat_copy_of_the_transposed(function, parameter, epsilon):
    gradient = finite_differences(function, parameter, epsilon)
    return gradient if parameter.is_contiguous() else torch.zeros_like(gradient)


def _numpy_of_a_parameter(function, parameter, epsilon):
    return parameter.numpy()


def _function_given_a_flat_copy(function, parameter, epsilon):
    flat = parameter.detach().flatten()
    return finite_differences(function, flat, epsilon).reshape(parameter.shape)


def _gradient_left_flat(function, parameter, epsilon):
    return finite_differences(function, parameter, epsilon).flatten()


_ONE_SIDE = (
    "You compare with the value at the parameter itself: central differences go `epsilon` to both "
    "sides, and divide by `2 * epsilon`. That is nearer to the slope, by a power of epsilon."
)
_MATRICES = (
    "Right for a matrix, but a parameter may have any number of axes: count its entries by "
    "`parameter.numel()`, and reach entry `index` by `.view(-1)[index]` of a new tensor."
)
_KEPT = (
    "You change a parameter that torch keeps a gradient for: change a copy of it, "
    "`parameter.detach().clone()`, or add a tensor with a single `epsilon` in it."
)

_PILED_UP = (
    "The moves of all entries pile up in one tensor: put each entry back before you move the next "
    "one, or make a new tensor for each."
)

DIFFERENCES = Exercise(
    id="08.4",
    title="A gradient from values alone",
    solution=finite_differences,
    cases=_difference_cases,
    run=_run_difference,
    results=("gradient", "parameter afterwards"),
    hints=(
        "One entry of the parameter after the other: move it up by `epsilon`, ask the function, "
        "move it down by `epsilon`, ask again. All other entries stay where they are.",
        "The entry of the gradient is (value above - value below) / (2 * epsilon). A tensor of "
        "zeros with `epsilon` in a single place moves one entry of a sum.",
        "`shift = torch.zeros(parameter.shape, dtype=parameter.dtype)`, then "
        "`shift.view(-1)[index] = epsilon` reaches entry `index` whatever the shape is; "
        "`function(parameter + shift)` leaves the parameter alone. Work under `torch.no_grad()`.",
    ),
    mistakes=(
        Mistake(_forward_difference, _ONE_SIDE),
        Mistake(
            _divided_by_epsilon,
            "Your gradient is twice too large: from one side to the other it is `2 * epsilon`.",
        ),
        Mistake(
            _multiplied_by_epsilon,
            "You multiply by epsilon: `/ 2 * epsilon` divides by 2 and multiplies, while "
            "`/ (2 * epsilon)` divides by both.",
        ),
        Mistake(
            _not_divided,
            "You return the differences: divide them by the distance, `2 * epsilon`.",
        ),
        Mistake(
            _down_minus_up,
            "The sign is wrong: the value above comes first, and that below is taken from it.",
        ),
        Mistake(
            _by_autograd,
            "Your gradient is nearer to the exact one than this `epsilon` allows: is it made with "
            "an epsilon of your own, or by autograd, which is what is to be checked? Move each "
            "entry by the caller's `epsilon`, and ask the function for values only.",
        ),
        Mistake(
            _all_entries_moved_at_once,
            "You move all entries at once, which adds all their slopes up: move one, and leave "
            "the others where they are.",
        ),
        Mistake(
            _rows_moved_as_a_whole,
            "You move a whole row at once: each entry has a slope of its own, so move one after "
            "the other, `parameter.numel()` in all.",
        ),
        Mistake(_for_matrices_only, _MATRICES),
        Mistake(_in_place_where_a_gradient_is_kept, _KEPT),
        Mistake(
            _a_view_of_the_transposed,
            "`view(-1)` cannot flatten a matrix that is the transpose of another, nor a "
            "`zeros_like` of it, which lies in memory as the matrix does: "
            "`parameter.new_zeros(parameter.shape)` can be flattened.",
        ),
        Mistake(
            _not_put_back,
            "An entry is not put back before the next one is moved, so the later ones are measured "
            "elsewhere, and the parameter is another one afterwards. Is the old value kept as "
            "`parameter[i]`? That moves along: `.item()` makes a number of it.",
        ),
        Mistake(
            _one_side_divided_by_two_epsilon,
            "You compare with the value at the parameter itself, and divide by `2 * epsilon`: from "
            "`epsilon` above, the way to `epsilon` below is twice as long, `-= 2 * epsilon`.",
        ),
        Mistake(
            _one_copy_for_all_entries,
            _PILED_UP,
        ),
        Mistake(
            _two_names_for_one_tensor,
            "Both values are the same: the function gets one tensor twice, or one that was never "
            "moved. `up = parameter` is a second name, not a copy, and `flatten` may copy what "
            "should be moved.",
        ),
        Mistake(
            _a_flat_copy_of_the_transposed,
            "Right but for a transposed matrix: of that, and of a `zeros_like` of it, `flatten` "
            "and `reshape` give a copy, so that what you write goes nowhere. "
            "`parameter.new_zeros(parameter.shape).view(-1)` is no copy.",
        ),
    ),
    inherited=(
        Mistake(_backward_difference, _ONE_SIDE),
        Mistake(_for_matrices_only_by_shape, _MATRICES),
        Mistake(_for_matrices_only_by_size, _MATRICES),
        Mistake(_in_place_where_a_gradient_is_kept_by_index, _KEPT),
        Mistake(_in_place_where_a_gradient_is_kept_by_place, _KEPT),
        Mistake(_in_place_where_a_gradient_is_kept_by_assignment, _KEPT),
        Mistake(_one_shift_for_all_entries, _PILED_UP),
        Mistake(
            _return_inside_the_loop,
            "Only the first entry is filled in: does the `return` stand inside the loop?",
        ),
        Mistake(
            _as_many_entries_as_rows,
            "`len(parameter)` is the size of the first axis: `parameter.numel()` counts all "
            "entries, also those of a single number.",
        ),
        Mistake(
            _all_entries_moved_at_once_and_one_number_returned,
            "You move all entries at once, which gives one number, the sum of all their slopes: "
            "move one entry, and leave the others where they are.",
        ),
        Mistake(
            _half_of_epsilon_to_either_side,
            "You move by half of `epsilon`: the entry goes by a whole `epsilon` to either side, "
            "and the distance is `2 * epsilon`.",
        ),
        Mistake(
            _epsilon_in_proportion,
            "You move each entry in proportion to its size: `epsilon` is the distance itself, the "
            "same for all entries.",
        ),
        Mistake(
            _gradient_left_flat,
            "Your gradient is flat: it has the shape of the parameter, so "
            "`.reshape(parameter.shape)` at the end.",
        ),
        Mistake(
            _numpy_of_a_parameter,
            "A parameter keeps a gradient, and NumPy cannot have that: `parameter.detach()` is the "
            "same numbers without it. Torch alone is enough here.",
        ),
        Mistake(
            _function_given_a_flat_copy,
            "The function wants a tensor of the parameter's shape: flatten the places, not what "
            "you give to the function, or give it `flat.reshape(parameter.shape)`.",
        ),
    ),
)

EXERCISES = (BACKWARD, LEAKY, TRUNCATED, DIFFERENCES)
