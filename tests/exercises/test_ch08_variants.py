"""Chapter 8: answers written otherwise than in the list get what their values deserve."""

import inspect
import math

import numpy as np
import pytest
import torch
from variants import SEEDS, assert_passes, assert_told, message

from unrolled import bptt
from unrolled.cells import LSTMCell, LSTMState, RNNCell
from unrolled.exercises import catalogue, check_with_seed
from unrolled.exercises.ch08 import given
from unrolled.layers import map_state

# --- Right answers --------------------------------------------------------------------------------


def backward_by_the_package(x, h, weight_ih, weight_hh, grad_outputs):
    z = torch.atanh(h[:, 1:])
    found = bptt.rnn_backward(bptt.RNNTrace(x, z, h), grad_outputs, weight_ih, weight_hh)
    return found.weight_ih, found.weight_hh, found.bias


def backward_from_zero(x, h, weight_ih, weight_hh, grad_outputs):
    grad_ih = grad_hh = grad_bias = carried = 0
    for t in reversed(range(x.shape[1])):
        delta = (grad_outputs[:, t] + carried) * (1 + h[:, t + 1]) * (1 - h[:, t + 1])
        grad_ih = grad_ih + torch.einsum("bh,bi->hi", delta, x[:, t])
        grad_hh = grad_hh + torch.einsum("bh,bk->hk", delta, h[:, t])
        grad_bias = grad_bias + delta.sum(0)
        carried = torch.matmul(delta, weight_hh)
    return grad_ih, grad_hh, grad_bias


def backward_with_all_deltas_first(x, h, weight_ih, weight_hh, grad_outputs):
    deltas = torch.zeros_like(grad_outputs)
    for t in range(x.shape[1] - 1, -1, -1):
        later = deltas[:, t + 1] @ weight_hh if t + 1 < x.shape[1] else 0
        deltas[:, t] = (grad_outputs[:, t] + later) * (1 - h[:, t + 1].square())
    flat = deltas.flatten(0, 1)
    return flat.T @ x.flatten(0, 1), flat.T @ h[:, :-1].flatten(0, 1), flat.sum(0)


def backward_by_products_of_jacobians(x, h, weight_ih, weight_hh, grad_outputs):
    # Each loss is sent back on its own, along every way: quadratic, and right.
    slopes = 1 - h[:, 1:] ** 2
    jacobians = slopes[..., None] * weight_hh  # (batch, time, hidden, hidden)
    by_ih, by_hh, by_bias = 0, 0, 0
    for last in range(x.shape[1]):
        grad_h = grad_outputs[:, last]
        for t in range(last, -1, -1):
            delta = grad_h * slopes[:, t]
            by_ih = by_ih + delta.T @ x[:, t]
            by_hh = by_hh + delta.T @ h[:, t]
            by_bias = by_bias + delta.sum(0)
            grad_h = torch.einsum("bh,bhk->bk", grad_h, jacobians[:, t])
    return by_ih, by_hh, by_bias


def leaky_with_deltas_first(x, h, candidates, weight_hh, rate, grad_outputs):
    total, totals = 0, []
    for t in reversed(range(x.shape[1])):
        total = total + grad_outputs[:, t]
        totals.append(total)
        through = (rate * total * (1 - candidates[:, t] ** 2)) @ weight_hh
        total = through + total - rate * total
    totals = torch.stack(totals[::-1], dim=1)
    deltas = (rate * totals * (1 - candidates**2)).flatten(0, 1)
    by_rate = (totals * (candidates - h[:, :-1])).sum()
    return deltas.T @ x.flatten(0, 1), deltas.T @ h[:, :-1].flatten(0, 1), deltas.sum(0), by_rate


def leaky_by_autograd(x, h, candidates, weight_hh, rate, grad_outputs):
    # With zeros for weight_ih and what is missing for a bias at each step, every value is the same.
    weight_ih = x.new_zeros(len(weight_hh), x.shape[2])
    bias = x.new_zeros(len(weight_hh))
    parameters = [p.clone().requires_grad_() for p in (weight_ih, weight_hh, bias, rate)]
    weight_ih, weight, bias, share = parameters
    offsets = torch.atanh(candidates) - h[:, :-1] @ weight_hh.T
    state, loss = h[:, 0], 0
    for t in range(x.shape[1]):
        z = x[:, t] @ weight_ih.T + state @ weight.T + bias + offsets[:, t]
        state = (1 - share) * state + share * torch.tanh(z)
        loss = loss + (state * grad_outputs[:, t]).sum()
    return torch.autograd.grad(loss, parameters)


def truncated_with_the_package(x, state, step, window):
    outputs = []
    for t in range(x.shape[1]):
        if t and not t % window:
            state = map_state(torch.Tensor.detach, state)
        output, state = step(x[:, t], state)
        outputs.append(output)
    return torch.stack(outputs, dim=1)


def truncated_window_by_window(x, state, step, window):
    outputs = []
    for piece in x.split(window, dim=1):
        for x_t in piece.unbind(1):
            output, state = step(x_t, state)
            outputs.append(output[:, None])
        state = map_state(torch.Tensor.detach, state)
    return torch.cat(outputs, dim=1)


def truncated_for_both_kinds(x, state, step, window):
    outputs, countdown = [], window
    for t in range(x.shape[1]):
        if countdown == 0:
            if isinstance(state, LSTMState):
                state = LSTMState(state.h.detach(), state.c.detach())
            else:
                state = state.detach()
            countdown = window
        output, state = step(x[:, t, :], state)
        outputs.append(output)
        countdown -= 1
    return torch.stack(outputs).transpose(0, 1)


def differences_in_place(function, parameter, epsilon):
    gradient = torch.zeros(parameter.shape, dtype=parameter.dtype)
    for index in np.ndindex(*parameter.shape):
        old = parameter.data[index].item()
        parameter.data[index] = old + epsilon
        up = function(parameter).item()
        parameter.data[index] = old - epsilon
        down = function(parameter).item()
        parameter.data[index] = old
        gradient[index] = (up - down) / (2 * epsilon)
    return gradient


def differences_put_back_by_adding(function, parameter, epsilon):
    gradient = torch.zeros_like(parameter)
    with torch.no_grad():
        for index in np.ndindex(*parameter.shape):
            parameter[index] += epsilon
            up = function(parameter)
            parameter[index] -= 2 * epsilon
            gradient[index] = (up - function(parameter)) / (2 * epsilon)
            parameter[index] += epsilon
    return gradient


def differences_with_unit_vectors(function, parameter, epsilon):
    slopes = []
    for one in torch.eye(parameter.numel(), dtype=parameter.dtype):
        shift = epsilon * one.reshape(parameter.shape)
        slopes.append((function(parameter + shift) - function(parameter - shift)) / 2 / epsilon)
    return torch.stack(slopes).reshape(parameter.shape)


def differences_of_copies(function, parameter, epsilon):
    gradient = torch.empty_like(parameter)
    for index in np.ndindex(*parameter.shape):
        up, down = parameter.detach().clone(), parameter.detach().clone()
        up[index] += epsilon
        down[index] -= epsilon
        gradient[index] = (function(up) - function(down)) / (2 * epsilon)
    return gradient


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("08.1", backward_by_the_package),
        ("08.1", backward_from_zero),
        ("08.1", backward_with_all_deltas_first),
        ("08.1", backward_by_products_of_jacobians),
        ("08.2", leaky_with_deltas_first),
        ("08.2", leaky_by_autograd),
        ("08.3", truncated_with_the_package),
        ("08.3", truncated_window_by_window),
        ("08.3", truncated_for_both_kinds),
        ("08.4", differences_in_place),
        ("08.4", differences_put_back_by_adding),
        ("08.4", differences_with_unit_vectors),
        ("08.4", differences_of_copies),
    ],
)
def test_right_answers_written_otherwise_pass(key, answer, seeds):
    assert_passes(key, answer, seeds)


# --- The references against autograd -------------------------------------------------------------


def test_the_backward_pass_equals_that_of_torch():
    torch.manual_seed(0)
    layer = torch.nn.RNN(3, 5, batch_first=True).double()
    x, h_0, grad_outputs = (
        torch.randn(*shape, dtype=torch.float64) for shape in ((2, 6, 3), (2, 5), (2, 6, 5))
    )
    outputs, _ = layer(x, h_0[None])
    outputs.backward(grad_outputs)
    h = torch.cat([h_0[:, None], outputs.detach()], dim=1)
    weights = layer.weight_ih_l0.detach(), layer.weight_hh_l0.detach()
    found = catalogue()["08.1"].solution(x, h, *weights, grad_outputs)
    wanted = layer.weight_ih_l0.grad, layer.weight_hh_l0.grad, layer.bias_ih_l0.grad
    torch.testing.assert_close(found, wanted, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("window", [1, 3, 4, 7, 20])
@pytest.mark.parametrize("kind", [RNNCell, LSTMCell])
def test_the_truncated_run_has_the_gradients_of_the_hand_written_one(kind, window):
    torch.manual_seed(0)
    cell = kind(3, 4).double()
    state = map_state(torch.randn_like, cell.initial_state(2))
    x, grad_outputs = (torch.randn(2, 7, size, dtype=torch.float64) for size in (3, 4))
    outputs = catalogue()["08.3"].solution(x, state, cell, window)
    outputs.backward(grad_outputs)
    weights = [p.detach() for p in (cell.weight_ih, cell.weight_hh, cell.bias)]
    name = "rnn" if kind is RNNCell else "lstm"
    trace = getattr(bptt, f"{name}_forward")(x, state, *weights)
    by_hand = getattr(bptt, f"{name}_backward")(trace, grad_outputs, *weights[:2], window=window)
    for parameter in ("weight_ih", "weight_hh", "bias"):
        torch.testing.assert_close(
            getattr(cell, parameter).grad, getattr(by_hand, parameter), atol=1e-10, rtol=1e-10
        )


def test_the_code_to_repair_is_right_with_a_rate_of_one_and_with_a_single_step():
    # As the statement says, so that it could be believed.
    exercise = catalogue()["08.2"]
    assert not check_with_seed(exercise, given, 0).attempted
    torch.manual_seed(0)
    for steps, rate, right in ((6, 1.0, 3), (1, 0.4, 4), (6, 0.4, 0)):
        x, weight_ih, weight_hh, h_0, grad_outputs = (
            torch.randn(*shape, dtype=torch.float64)
            for shape in ((2, steps, 3), (4, 3), (4, 4), (2, 4), (2, steps, 4))
        )
        states, candidates = [h_0], []
        for x_t in x.unbind(1):
            candidates.append(torch.tanh(x_t @ weight_ih.T + states[-1] @ weight_hh.T))
            states.append((1 - rate) * states[-1] + rate * candidates[-1])
        trace = torch.stack(states, 1), torch.stack(candidates, 1)
        arguments = (x, *trace, weight_hh, torch.tensor(rate, dtype=torch.float64), grad_outputs)
        pairs = zip(given(*arguments), exercise.solution(*arguments), strict=True)
        assert sum(torch.allclose(*pair) for pair in pairs) == right


# --- Wrong answers that are on the list, written otherwise ----------------------------------------


def rewritten(function, *replacements):
    """The source of a function with other text here and there, as a reader changes it."""
    source = inspect.getsource(function)
    for old, new in replacements:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    names = {"torch": torch, "Tensor": torch.Tensor}
    exec(source, names)
    return names[function.__name__]


def solved(key, *replacements):
    """The reference of an exercise with a slip of the pen."""
    return rewritten(catalogue()[key].solution, *replacements)


def backward_without_carrying(x, h, weight_ih, weight_hh, grad_outputs):
    deltas = (grad_outputs * (1 - h[:, 1:] ** 2)).flatten(0, 1)
    return deltas.T @ x.flatten(0, 1), deltas.T @ h[:, :-1].flatten(0, 1), deltas.sum(0)


def backward_in_two_passes(x, h, weight_ih, weight_hh, grad_outputs):
    direct = grad_outputs * (1 - h[:, 1:] ** 2)
    deltas = direct.clone()
    deltas[:, :-1] += (direct[:, 1:] @ weight_hh) * (1 - h[:, 1:-1] ** 2)
    flat = deltas.flatten(0, 1)
    return flat.T @ x.flatten(0, 1), flat.T @ h[:, :-1].flatten(0, 1), flat.sum(0)


def truncated_with_a_truth_value(x, state, step, window):
    outputs, first = [], True
    for start in range(0, x.shape[1], window):
        for t in range(start, min(start + window, x.shape[1])):
            output, state = step(x[:, t], state)
            outputs.append(output)
        if first:
            state, first = map_state(torch.Tensor.detach, state), False
    return torch.stack(outputs, dim=1)


def truncated_full_windows(x, state, step, window):
    outputs = []
    for window_number in range(x.shape[1] // window):
        if window_number:
            state = map_state(torch.Tensor.detach, state)
        for t in range(window):
            output, state = step(x[:, window_number * window + t], state)
            outputs.append(output)
    return torch.stack(outputs, dim=1)


def truncated_by_chunks(x, state, step, window):
    outputs = []
    for number, piece in enumerate(x.chunk(window, dim=1)):
        state = map_state(torch.Tensor.detach, state) if number else state
        for x_t in piece.unbind(1):
            output, state = step(x_t, state)
            outputs.append(output)
    return torch.stack(outputs, dim=1)


def differences_with_two_names(function, parameter, epsilon):
    gradient = torch.zeros_like(parameter)
    with torch.no_grad():
        for index in np.ndindex(*parameter.shape):
            up = down = parameter
            up[index] += epsilon
            down[index] -= epsilon
            gradient[index] = (function(up) - function(down)) / (2 * epsilon)
    return gradient


def differences_that_keep_a_view(function, parameter, epsilon):
    gradient = torch.zeros_like(parameter)
    values = parameter.data
    for index in np.ndindex(*parameter.shape):
        old = values[index]  # a view, which moves along
        values[index] += epsilon
        up = function(parameter)
        values[index] -= 2 * epsilon
        gradient[index] = (up - function(parameter)).detach() / (2 * epsilon)
        values[index] = old
    return gradient


def differences_restored_at_the_end(function, parameter, epsilon):
    before = parameter.detach().clone()
    gradient = differences_that_keep_a_view(function, parameter, epsilon)
    parameter.data.copy_(before)
    return gradient


def differences_with_a_flat_copy(function, parameter, epsilon):
    gradient, flat = torch.zeros(parameter.numel(), dtype=parameter.dtype), parameter.data.flatten()
    for index in range(len(flat)):
        old = flat[index].item()
        flat[index] = old + epsilon
        up = function(parameter).item()
        flat[index] = old - epsilon
        gradient[index] = (up - function(parameter).item()) / (2 * epsilon)
        flat[index] = old
    return gradient.reshape(parameter.shape)


def differences_by_jacobian(function, parameter, epsilon):
    return torch.autograd.functional.jacobian(function, parameter.detach())


CARRIED = "carried = delta @ weight_hh + (1 - rate) * grad_h"


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "mistake"),
    [
        ("08.1", backward_without_carrying, "nothing from the later steps"),
        ("08.1", backward_in_two_passes, "one step back only"),
        (
            "08.1",
            solved("08.1", ("delta @ weight_hh", "delta @ weight_hh.T")),
            "weight hh transposed",
        ),
        ("08.1", solved("08.1", (" * (1 - h[:, t] ** 2)", "")), "no slope"),
        ("08.1", solved("08.1", ("(1 - h[:, t] ** 2)", "(1 - h[:, t])")), "state not squared"),
        (
            "08.1",
            solved("08.1", ("1 - h[:, t] ** 2", "1 - h[:, t - 1] ** 2")),
            "slope of the state before",
        ),
        ("08.1", solved("08.1", ("carried = delta", "carried += delta")), "carried and added up"),
        (
            "08.1",
            solved("08.1", ("range(x.shape[1], 0, -1)", "range(x.shape[1], 1, -1)")),
            "first step left out",
        ),
        (
            "08.1",
            solved("08.1", ("range(x.shape[1], 0, -1)", "range(1, x.shape[1] + 1)")),
            "from the first step to the last",
        ),
        ("08.1", solved("08.1", ("@ h[:, t - 1]", "@ h[:, t]")), "state after the step"),
        (
            "08.1",
            solved("08.1", ("carried = delta @", "carried = grad_h @")),
            "slope for the weights only",
        ),
        (
            "08.1",
            solved("08.1", ("_ih += ", "_ih = "), ("_hh += ", "_hh = "), ("_bias += ", "_bias = ")),
            "overwritten at each step",
        ),
        ("08.2", solved("08.2", (CARRIED, "carried = delta @ weight_hh")), "one way back only"),
        (
            "08.2",
            solved("08.2", ("by_rate = by_rate + ", "by_rate = ")),
            "rate overwritten at each step",
        ),
        ("08.2", solved("08.2", (CARRIED, "carried = (1 - rate) * grad_h")), "straight way only"),
        (
            "08.2",
            solved("08.2", (CARRIED, "carried = delta @ weight_hh + (1 - rate) * delta")),
            "delta on the straight way",
        ),
        (
            "08.2",
            solved("08.2", (CARRIED, "carried += delta @ weight_hh")),
            "carried added up",
        ),
        (
            "08.2",
            rewritten(given, ("by_bias, by_rate = 0, 0, 0, 0", "by_bias, by_rate = [0] * 4")),
            "both faults",
        ),
        ("08.3", truncated_with_a_truth_value, "at the first border only"),
        ("08.3", truncated_full_windows, "short window dropped"),
        ("08.3", truncated_by_chunks, "as many windows as a window has steps"),
        ("08.3", solved("08.3", ("t > 0 and t % window", "t % window")), "first state detached"),
        ("08.3", solved("08.3", ("t > 0 and t % window == 0", "False")), "no border"),
        ("08.3", solved("08.3", ("t > 0 and t % window == 0", "t")), "detached at each step"),
        ("08.3", solved("08.3", ("output, state = ", "output, _ = ")), "state never goes on"),
        ("08.4", differences_with_two_names, "two names for one tensor"),
        ("08.4", differences_that_keep_a_view, "not put back"),
        ("08.4", differences_restored_at_the_end, "one copy for all entries"),
        ("08.4", differences_with_a_flat_copy, "a flat copy of the transposed"),
        ("08.4", differences_by_jacobian, "by autograd"),
        ("08.4", solved("08.4", ("(2 * epsilon)", "2 * epsilon")), "multiplied by epsilon"),
        ("08.4", solved("08.4", ("(2 * epsilon)", "epsilon")), "divided by epsilon"),
        (
            "08.4",
            solved("08.4", ("function(parameter - shift)", "function(parameter)")),
            "one side divided by two epsilon",
        ),
        ("08.4", solved("08.4", ("[index] = epsilon", "[index] = epsilon = 1e-3")), "by autograd"),
    ],
)
def test_mistakes_written_otherwise_get_the_same_message(key, answer, mistake, seeds):
    for seed in seeds:
        report = check_with_seed(catalogue()[key], answer, seed)
        assert report.attempted
        assert report.messages[0] == message(key, mistake)


# --- Wrong answers that are not on the list -------------------------------------------------------


def backward_that_writes_into_the_argument(x, h, weight_ih, weight_hh, grad_outputs):
    for t in range(x.shape[1] - 1, 0, -1):
        grad_outputs[:, t - 1] += grad_outputs[:, t] * (1 - h[:, t + 1] ** 2) @ weight_hh
    return backward_without_carrying(x, h, weight_ih, weight_hh, grad_outputs)


def with_the_weights_transposed(*arguments):
    by_ih, by_hh, by_bias = backward_from_zero(*arguments)
    return by_ih.T, by_hh.T, by_bias


def truncated_in_windows_that_move_along(x, state, step, window):
    states = [state]
    for x_t in x.unbind(1):
        states.append(step(x_t, states[-1])[1])
    outputs = []
    for t in range(x.shape[1]):
        start = max(0, t + 1 - window)
        at = map_state(torch.Tensor.detach, states[start]) if start else state
        for u in range(start, t + 1):
            output, at = step(x[:, u], at)
        outputs.append(output)
    return torch.stack(outputs, dim=1)


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "expected"),
    [
        ("08.1", backward_that_writes_into_the_argument, "changes its argument `grad_outputs`"),
        (
            "08.1",
            with_the_weights_transposed,
            "hidden comes first, and yours looks like (input, hidden)",
        ),
        ("08.1", lambda *args: backward_from_zero(*args)[::-1], "in another order"),
        (
            "08.1",
            lambda *args: list(backward_from_zero(*args)),
            "a list of 3, expected a tuple of 3",
        ),
        (
            "08.1",
            solved("08.1", ("delta.sum(dim=0)", "delta.sum(dim=0).mean()")),
            "gradient of the bias",
        ),
        ("08.1", solved("08.1", ("delta.T @ x", "delta @ x")), "Your code stops with"),
        (
            "08.2",
            solved("08.2", ("h[:, t])).sum()", "h[:, t])).sum().item()")),
            "Your gradient of the rate is a plain number",
        ),
        (
            "08.2",
            solved("08.2", ("h[:, t])).sum()", "h[:, t])).sum(0)")),
            "it still has a hidden axis",
        ),
        (
            "08.2",
            solved("08.2", ("+ (1 - rate)", "- (1 - rate)")),
            "It is right with a rate of 1 and a single step",
        ),
        ("08.3", solved("08.3", ("dim=1)  # (batch", "dim=0)  # (batch")), "batch comes first"),
        (
            "08.3",
            solved("08.3", ("output, state = step", "output = state = step")),
            "the state is tuple",
        ),
        ("08.3", lambda x, state, step, window: step(x, state), "a cell takes one time step"),
        ("08.3", truncated_in_windows_that_move_along, "is a detach missing?"),
        (
            "08.3",
            lambda x, *others: truncated_with_the_package(x.detach(), *others),
            "no gradient",
        ),
        (
            "08.4",
            lambda f, p, epsilon: differences_in_place(f, p, epsilon).float(),
            "Your gradient is `float32`",
        ),
        (
            "08.4",
            lambda f, p, epsilon: differences_in_place(f, p, epsilon).tolist(),
            "expected a tensor",
        ),
        ("08.4", lambda f, p, epsilon: f(p), "has shape ()"),
        ("08.4", lambda function, parameter, epsilon: None, "is there a `return`?"),
    ],
)
def test_other_wrong_answers_get_a_helpful_sentence(key, answer, expected, seeds):
    assert_told(key, answer, expected, seeds)


# --- Numbers in the text --------------------------------------------------------------------------


def linear(w, h=2.0, xs=(1.0, -2.0, 1.0)):
    states = []
    for x in xs:
        h = w * h + x
        states.append(h)
    return states


def test_three_steps_of_one_weight():
    assert linear(0.5) == [2, -1, 0.5]
    assert linear(0.6)[-1] == pytest.approx(0.592)
    assert linear(0.4)[-1] == pytest.approx(0.488)
    loss = {w: (linear(w)[-1] - 1.5) ** 2 / 2 for w in (0.4, 0.5, 0.6)}
    assert loss == pytest.approx({0.4: 0.512072, 0.5: 0.5, 0.6: 0.412232})
    assert (loss[0.6] - loss[0.4]) / 0.2 == pytest.approx(-0.4992)
    assert (loss[0.6] - loss[0.5]) / 0.1 == pytest.approx(-0.878, abs=5e-4)
    assert abs(-0.4992 + 0.5) < 0.5 / 600


@pytest.mark.parametrize(
    ("targets", "by_weight", "by_first"),
    [((None, None, 1.5), -0.5, -0.125), ((1.0, 0.0, 1.5), -1.5, 0.125)],
)
def test_three_steps_by_hand_equal_autograd(targets, by_weight, by_first):
    w, h_0 = (torch.tensor(value, requires_grad=True) for value in (0.5, 2.0))
    states = zip(linear(w, h_0), targets, strict=True)
    loss = sum((h - y) ** 2 / 2 for h, y in states if y is not None)
    found = torch.autograd.grad(loss, [w, h_0])
    assert [g.item() for g in found] == pytest.approx([by_weight, by_first])


def test_terms_of_three_steps():
    x = torch.tensor([[[1.0], [-2.0], [1.0]]], dtype=torch.float64)
    one, h_0 = torch.ones(1, 1, dtype=torch.float64), torch.full((1, 1), 2.0, dtype=torch.float64)
    trace = bptt.rnn_forward(x, h_0, one, 0.5 * one, 0 * one[0], nonlinearity="identity")
    grad_outputs = torch.zeros_like(x)
    grad_outputs[:, -1] = trace.h[:, -1] - 1.5
    found = bptt.rnn_backward(trace, grad_outputs, one, 0.5 * one, nonlinearity="identity")
    terms = (found.z * trace.h[:, :-1])[0, :, 0]
    assert terms.tolist() == [-0.5, -1, 1]
    assert terms.flip(0).cumsum(0).tolist() == [1, 0, -0.5]


def test_segments_of_checkpointing():
    assert min(s + math.ceil(1000 / s) for s in range(1, 1001)) == 64 == 32 + math.ceil(1000 / 32)
    assert round(1000 / 64) == 16

    def lstm(s):
        return 2 * 1000 / s + 6 * s

    best = min(range(1, 1001), key=lstm)
    assert (best, round(lstm(best)), round(6000 / lstm(best))) == (18, 219, 27)

    def levels(k):
        return (k + 1) * 1000 ** (1 / (k + 1))

    assert [round(levels(k)) for k in (1, 2, 3)] == [63, 30, 22]
    assert min(range(1, 30), key=levels) == 6
    assert (round(levels(6)), (6 + 3) / 3) == (19, 3)
    assert (round(levels(2) - levels(3)), round(levels(3) - levels(6))) == (8, 4)


def test_how_far_a_loss_of_a_window_goes_back():
    reach = [t % 20 + 1 for t in range(2000)]
    assert sum(reach) / len(reach) == 10.5
    assert sum(steps > 19 for steps in reach) / len(reach) == 1 / 20
