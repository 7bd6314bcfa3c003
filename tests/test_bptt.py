"""Backward passes by hand against autograd, torch.nn, finite differences and closed forms."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unrolled.bptt import (
    SLOPES,
    gradient_flow,
    jacobian_products,
    lstm_backward,
    lstm_forward,
    rnn_backward,
    rnn_forward,
    spectral_radius,
    step_jacobians,
)
from unrolled.cells import NONLINEARITIES, LSTMState, RNNCell
from unrolled.layers import GRU, LSTM, RNN, Recurrent, Stacked

CLOSE = {"rtol": 1e-10, "atol": 1e-10}
SIZES = st.integers(1, 5)


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_network(batch, time, inputs, hidden):
    """Inputs, first state, and the weights of a plain network."""
    return (
        numbers(batch, time, inputs, seed=1),
        numbers(batch, hidden, seed=2) / 2,
        numbers(hidden, inputs, seed=3),
        numbers(hidden, hidden, seed=4),
        numbers(hidden, seed=5),
    )


def lstm_network(batch, time, inputs, hidden):
    x, h_0, *_ = plain_network(batch, time, inputs, hidden)
    weights = plain_network(batch, time, inputs, 4 * hidden)[2:]
    state = LSTMState(h_0, numbers(batch, hidden, seed=6))
    return x, state, weights[0], weights[1][:, :hidden].contiguous(), weights[2]


def leaves(*tensors):
    return [tensor.clone().requires_grad_() for tensor in tensors]


def by_autograd(x, h_0, weight_ih, weight_hh, bias, grad_outputs, nonlinearity, window=None):
    """The same network, written once more for autograd; its gradients in the order of ours."""
    x, h_0, weight_ih, weight_hh, bias = inputs = leaves(x, h_0, weight_ih, weight_hh, bias)
    h, states, sums = h_0, [], []
    for t in range(x.shape[1]):
        if window and t and t % window == 0:
            h = h.detach()
        z = nn.functional.linear(x[:, t], weight_ih, bias) + nn.functional.linear(h, weight_hh)
        h = NONLINEARITIES[nonlinearity](z)
        states.append(h)
        sums.append(z)
    loss = (torch.stack(states, 1) * grad_outputs).sum()
    found = torch.autograd.grad(loss, [*inputs, *states, *sums])
    time = len(states)
    return *found[:5], torch.stack(found[5 : 5 + time], 1), torch.stack(found[5 + time :], 1)


@given(batch=SIZES, time=SIZES, inputs=SIZES, hidden=SIZES)
@settings(deadline=None, max_examples=15)
@pytest.mark.parametrize("nonlinearity", SLOPES)
def test_the_plain_backward_pass_equals_autograd(nonlinearity, batch, time, inputs, hidden):
    network = plain_network(batch, time, inputs, hidden)
    trace = rnn_forward(*network, nonlinearity)
    grad_outputs = numbers(batch, time, hidden, seed=7)
    ours = rnn_backward(trace, grad_outputs, *network[2:4], nonlinearity)
    expected = by_autograd(*network, grad_outputs, nonlinearity)
    for name, got, want in zip(ours._fields, ours, expected, strict=True):
        torch.testing.assert_close(got, want, **CLOSE, msg=lambda text, name=name: name + text)


def test_every_nonlinearity_of_the_cell_has_a_slope():
    assert SLOPES.keys() == NONLINEARITIES.keys()


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_the_plain_passes_equal_torch_rnn(nonlinearity):
    theirs = nn.RNN(3, 4, batch_first=True, nonlinearity=nonlinearity).double()
    cell = RNN.from_torch(theirs).layers[0].cell
    (x,) = leaves(numbers(2, 6, 3))
    outputs, _ = theirs(x)
    grad_outputs = numbers(2, 6, 4, seed=1)
    outputs.backward(grad_outputs)
    zeros = torch.zeros(2, 4).double()
    trace = rnn_forward(x.detach(), zeros, cell.weight_ih, cell.weight_hh, cell.bias, nonlinearity)
    ours = rnn_backward(trace, grad_outputs, cell.weight_ih, cell.weight_hh, nonlinearity)
    torch.testing.assert_close(trace.h[:, 1:], outputs.detach(), **CLOSE)
    torch.testing.assert_close(ours.x, x.grad, **CLOSE)
    torch.testing.assert_close(ours.weight_ih, theirs.weight_ih_l0.grad, **CLOSE)
    torch.testing.assert_close(ours.weight_hh, theirs.weight_hh_l0.grad, **CLOSE)
    torch.testing.assert_close(ours.bias, theirs.bias_hh_l0.grad, **CLOSE)


@given(batch=SIZES, time=SIZES, inputs=SIZES, hidden=SIZES)
@settings(deadline=None, max_examples=15)
def test_the_lstm_passes_equal_torch_lstm(batch, time, inputs, hidden):
    theirs = nn.LSTM(inputs, hidden, batch_first=True).double()
    cell = LSTM.from_torch(theirs).layers[0].cell
    (x, h_0, c_0) = leaves(numbers(batch, time, inputs), *numbers(2, batch, hidden, seed=1))
    outputs, _ = theirs(x, (h_0[None], c_0[None]))
    grad_outputs = numbers(batch, time, hidden, seed=2)
    outputs.backward(grad_outputs)
    state = LSTMState(h_0.detach(), c_0.detach())
    trace = lstm_forward(x.detach(), state, cell.weight_ih, cell.weight_hh, cell.bias)
    ours = lstm_backward(trace, grad_outputs, cell.weight_ih, cell.weight_hh)
    torch.testing.assert_close(trace.h[:, 1:], outputs.detach(), **CLOSE)
    torch.testing.assert_close(ours.x, x.grad, **CLOSE)
    torch.testing.assert_close(ours.state.h, h_0.grad, **CLOSE)
    torch.testing.assert_close(ours.state.c, c_0.grad, **CLOSE)
    torch.testing.assert_close(ours.weight_ih, theirs.weight_ih_l0.grad, **CLOSE)
    torch.testing.assert_close(ours.weight_hh, theirs.weight_hh_l0.grad, **CLOSE)
    torch.testing.assert_close(ours.bias, theirs.bias_hh_l0.grad, **CLOSE)


def lstm_by_autograd(x, state, weight_ih, weight_hh, bias, grad_outputs, window=None):
    """Give the LSTM's gradients by its weights, and by h, c and the sums of each step."""
    weight_ih, weight_hh, bias = weights = leaves(weight_ih, weight_hh, bias)
    h, c = state
    steps = []
    for t in range(x.shape[1]):
        if window and t and t % window == 0:
            h, c = h.detach(), c.detach()
        z = x[:, t] @ weight_ih.T + h @ weight_hh.T + bias
        i, f, g, o = z.chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        steps.append((h, c, z))
    outputs = torch.stack([h for h, _, _ in steps], 1)
    inputs = [*weights, *(tensor for step in steps for tensor in step)]
    found = torch.autograd.grad((outputs * grad_outputs).sum(), inputs)
    return *found[:3], *(torch.stack(found[3 + k :: 3], 1) for k in range(3))


@pytest.mark.parametrize("window", [None, 1, 2, 3, 7, 20])
def test_the_lstm_backward_pass_equals_autograd_step_by_step_and_in_windows(window):
    network = lstm_network(2, 7, 3, 4)
    grad_outputs = numbers(2, 7, 4, seed=7)
    ours = lstm_backward(lstm_forward(*network), grad_outputs, *network[2:4], window)
    expected = lstm_by_autograd(*network, grad_outputs, window)
    parts = (ours.weight_ih, ours.weight_hh, ours.bias, ours.h, ours.c, ours.z)
    for got, want in zip(parts, expected, strict=True):
        torch.testing.assert_close(got, want, **CLOSE)


@pytest.mark.parametrize("window", [1, 2, 3, 7, 20])
def test_windows_cut_the_gradient_as_detach_does(window):
    network = plain_network(2, 7, 3, 4)
    grad_outputs = numbers(2, 7, 4, seed=7)
    trace = rnn_forward(*network)
    ours = rnn_backward(trace, grad_outputs, *network[2:4], window=window)
    for got, want in zip(
        ours, by_autograd(*network, grad_outputs, "tanh", window=window), strict=True
    ):
        torch.testing.assert_close(got, want, **CLOSE)
    whole = rnn_backward(trace, grad_outputs, *network[2:4])
    assert torch.equal(ours.weight_hh, whole.weight_hh) == (window >= 7)


def test_the_plain_backward_pass_agrees_with_finite_differences():
    x, h_0, weight_ih, weight_hh, bias = network = plain_network(2, 6, 3, 4)
    grad_outputs = numbers(2, 6, 4, seed=7)
    ours = rnn_backward(rnn_forward(*network), grad_outputs, weight_ih, weight_hh)

    def loss(weight):
        return (rnn_forward(x, h_0, weight_ih, weight, bias).h[:, 1:] * grad_outputs).sum()

    epsilon, slopes = 1e-6, torch.zeros_like(weight_hh)
    for place in range(weight_hh.numel()):
        step = torch.zeros_like(weight_hh)
        step.view(-1)[place] = epsilon
        slopes.view(-1)[place] = (loss(weight_hh + step) - loss(weight_hh - step)) / (2 * epsilon)
    torch.testing.assert_close(ours.weight_hh, slopes, rtol=1e-6, atol=1e-7)


def test_the_linear_case_has_a_closed_form():
    # h_T = sum over t of W^(T-t) U x_t: by x_t, the sum of h_T has the gradient U^T (W^T)^(T-t) 1
    x, _, weight_ih, weight_hh, _ = plain_network(2, 6, 3, 4)
    h_0, bias = torch.zeros(2, 4).double(), torch.zeros(4).double()
    trace = rnn_forward(x, h_0, weight_ih, weight_hh, bias, "identity")
    at_the_end = torch.zeros_like(trace.z)
    at_the_end[:, -1] = 1
    ours = rnn_backward(trace, at_the_end, weight_ih, weight_hh, "identity")
    for t in range(6):
        power = torch.linalg.matrix_power(weight_hh.T, 5 - t)
        expected = weight_ih.T @ power @ torch.ones(4).double()
        torch.testing.assert_close(ours.x[:, t], expected.expand(2, -1), **CLOSE)


def test_a_parameter_may_be_given_and_no_graph_is_built():
    cell = RNNCell(3, 4).double()
    weights = (cell.weight_ih, cell.weight_hh, cell.bias)
    trace = rnn_forward(numbers(2, 5, 3), torch.zeros(2, 4).double(), *weights)
    gradients = rnn_backward(trace, torch.ones_like(trace.z), cell.weight_ih, cell.weight_hh)
    assert not any(tensor.requires_grad for tensor in (*trace, *gradients))


# --- What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "shape", "expected"),
    [
        (0, (2, 3), r"x has shape \(2, 3\); expected \(batch, time, 3\)"),
        (0, (2, 5, 7), "made for 3"),
        (1, (1, 4), r"h_0 has shape \(1, 4\); expected \(batch, hidden\) = \(2, 4\)"),
        (2, (3, 3), r"weight_ih has shape \(3, 3\); expected \(rows, input\) = \(4, 3\)"),
        (3, (4, 3), r"weight_hh has shape \(4, 3\); expected \(hidden, hidden\)"),
        (4, (1, 4), r"bias has shape \(1, 4\); expected \(rows,\) = \(4,\)"),
    ],
)
def test_a_wrong_shape_is_refused(place, shape, expected):
    network = list(plain_network(2, 5, 3, 4))
    network[place] = torch.zeros(shape).double()
    with pytest.raises(ValueError, match=expected):
        rnn_forward(*network)


def test_an_lstm_refuses_the_weights_of_a_plain_network_and_a_wrong_state():
    x, state, weight_ih, weight_hh, bias = lstm_network(2, 5, 3, 4)
    with pytest.raises(ValueError, match=r"weight_hh has shape \(4, 4\); expected \(4 \* hidden"):
        lstm_forward(x, state, weight_ih, weight_hh[:4], bias)
    with pytest.raises(ValueError, match=r"the state's c has shape \(1, 4\)"):
        lstm_forward(x, LSTMState(state.h, state.c[:1]), weight_ih, weight_hh, bias)


@pytest.mark.parametrize("network", ["plain", "lstm"])
@pytest.mark.parametrize("window", [0, -1, 2.5, True])
def test_a_window_is_a_whole_number_of_steps(network, window):
    if network == "plain":
        given = plain_network(2, 5, 3, 4)
        forward, backward = rnn_forward, rnn_backward
    else:
        given = lstm_network(2, 5, 3, 4)
        forward, backward = lstm_forward, lstm_backward
    with pytest.raises(ValueError, match=f"window is {window}; expected a whole number"):
        backward(forward(*given), torch.ones(2, 5, 4).double(), *given[2:4], window=window)


def test_gradients_of_another_shape_and_unknown_nonlinearities_are_refused():
    network = plain_network(2, 5, 3, 4)
    trace = rnn_forward(*network)
    with pytest.raises(ValueError, match=r"grad_outputs has shape \(2, 4\); expected \(batch, t"):
        rnn_backward(trace, torch.ones(2, 4).double(), *network[2:4])
    with pytest.raises(ValueError, match="'swish'; expected one of 'tanh', 'sigmoid'"):
        rnn_forward(*network, "swish")
    with pytest.raises(ValueError, match="'swish'"):
        rnn_backward(trace, torch.ones_like(trace.z), *network[2:4], "swish")


# --- Gradient flow and Jacobians -----------------------------------------------------------------


def slow_flow(layer, x, of, part):
    """Jacobians one pair of steps at a time, each by running the rest anew from a leaf."""
    cell, batch = layer.layers[0].cell, len(x)
    norms = torch.zeros(of + 1, batch).double()
    state, states = cell.initial_state(batch), []
    for t in range(of + 1):
        _, state = cell(x[:, t], state)
        states.append(state)
    for b in range(batch):
        for t in range(of + 1):

            def last(leaf, t=t, b=b):
                state = states[t]
                if isinstance(state, LSTMState):
                    row = LSTMState(state.h[b : b + 1], state.c[b : b + 1])
                    if part == "h":
                        row = LSTMState(leaf[None], row.c)
                    else:  # the output gate of step t stays what it was
                        o = row.h / torch.tanh(row.c)
                        row = LSTMState(o * torch.tanh(leaf[None]), leaf[None])
                else:
                    row = leaf[None]
                for later in range(t + 1, of + 1):
                    _, row = cell(x[b : b + 1, later], row)
                return (getattr(row, part) if isinstance(row, LSTMState) else row)[0]

            start = getattr(states[t], part) if isinstance(states[t], LSTMState) else states[t]
            jacobian = torch.autograd.functional.jacobian(last, start[b].detach())
            norms[t, b] = torch.linalg.svdvals(jacobian)[0]
    return norms.mean(1)


@pytest.mark.parametrize(("kind", "part"), [(RNN, "h"), (GRU, "h"), (LSTM, "h"), (LSTM, "c")])
@pytest.mark.parametrize("of", [-1, 3])
def test_gradient_flow_equals_one_pair_of_steps_at_a_time(kind, part, of):
    torch.manual_seed(0)
    layer = kind(3, 4).double()
    x = numbers(2, 6, 3)
    ours = gradient_flow(layer, x, of=of, part=part)
    torch.testing.assert_close(ours, slow_flow(layer, x, of % 6, part), **CLOSE)
    assert ours.shape == (of % 6 + 1,)
    assert abs(ours[-1] - 1) < 1e-12


@pytest.mark.parametrize("nonlinearity", SLOPES)
def test_gradient_flow_equals_the_product_of_the_jacobians(nonlinearity):
    torch.manual_seed(0)
    layer = RNN(3, 4, nonlinearity=nonlinearity).double()
    cell = layer.layers[0].cell
    x = numbers(2, 6, 3)
    zeros = torch.zeros(2, 4).double()
    trace = rnn_forward(x, zeros, cell.weight_ih, cell.weight_hh, cell.bias, nonlinearity)
    products = jacobian_products(step_jacobians(trace, cell.weight_hh, nonlinearity))
    norms = torch.linalg.matrix_norm(products, ord=2).mean(0)
    torch.testing.assert_close(gradient_flow(layer, x)[:-1], norms[1:], **CLOSE)


@pytest.mark.parametrize("radius", [0.5, 1.0, 1.5])
def test_a_linear_orthogonal_recurrence_has_exactly_the_powers_of_its_radius(radius):
    layer = RNN(3, 8, nonlinearity="identity").double()
    nn.init.orthogonal_(layer.layers[0].cell.weight_hh, gain=radius)
    flow = gradient_flow(layer, numbers(2, 100, 3))
    powers = radius ** torch.arange(99, -1, -1).double()
    torch.testing.assert_close(flow, powers, rtol=1e-9, atol=0)


def test_gradient_flow_needs_no_gradients_of_the_weights_and_leaves_none():
    layer = RNN(3, 4)
    x = torch.randn(2, 5, 3)
    before = gradient_flow(layer, x)
    layer.requires_grad_(False)
    with torch.no_grad():
        assert torch.equal(gradient_flow(layer, x), before)
    layer.requires_grad_(True)
    gradient_flow(layer, x)
    assert all(parameter.grad is None for parameter in layer.parameters())
    assert not before.requires_grad


def test_gradient_flow_takes_a_recurrent_layer_or_a_stack_of_one():
    layer = RNN(3, 4)
    x = torch.randn(2, 5, 3)
    alone = layer.layers[0]
    assert isinstance(alone, Recurrent)
    assert torch.equal(gradient_flow(alone, x), gradient_flow(layer, x))
    assert torch.equal(gradient_flow(Stacked([alone]), x), gradient_flow(layer, x))


@pytest.mark.parametrize(
    "layer",
    [RNN(3, 4, num_layers=2), RNN(3, 4, bidirectional=True), nn.RNN(3, 4), RNNCell(3, 4)],
    ids=["deep", "bidirectional", "torch", "cell"],
)
def test_gradient_flow_refuses_what_is_not_one_recurrent_layer(layer):
    with pytest.raises(ValueError, match="expected a Recurrent, or an RNN, GRU or LSTM of one"):
        gradient_flow(layer, torch.randn(2, 5, 3))


def test_gradient_flow_refuses_steps_parts_and_inputs_that_are_not_there():
    x = torch.randn(2, 5, 3)
    with pytest.raises(ValueError, match="of is 5; expected a step from 0 to 4"):
        gradient_flow(RNN(3, 4), x, of=5)
    with pytest.raises(ValueError, match="of is -6"):
        gradient_flow(RNN(3, 4), x, of=-6)
    with pytest.raises(ValueError, match="part is 'c'; expected one of 'h'"):
        gradient_flow(GRU(3, 4), x, part="c")
    with pytest.raises(ValueError, match="part is 'f'; expected one of 'h', 'c'"):
        gradient_flow(LSTM(3, 4), x, part="f")
    with pytest.raises(ValueError, match="made for 3"):
        gradient_flow(RNN(3, 4), torch.randn(2, 5, 4))


def test_jacobians_are_those_of_autograd():
    x, h_0, *weights = plain_network(1, 4, 3, 5)
    trace = rnn_forward(x, h_0, *weights)

    def states_from(h, start):
        return rnn_by_hand(x[:, start:], h[None], weights)[0]

    products = jacobian_products(step_jacobians(trace, weights[1]))
    for t in range(4):
        expected = torch.autograd.functional.jacobian(
            lambda h, t=t: states_from(h, t), trace.h[0, t]
        )
        torch.testing.assert_close(products[0, t], expected, **CLOSE)


def rnn_by_hand(x, h, weights):
    weight_ih, weight_hh, bias = weights
    for x_t in x.unbind(1):
        h = torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + bias)
    return h


def test_what_is_not_a_jacobian_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 4, 5\); expected \(batch, time"):
        jacobian_products(torch.zeros(3, 4, 5))
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4, 5\)"):
        jacobian_products(torch.zeros(2, 3, 4, 5))
    trace = rnn_forward(*plain_network(1, 4, 3, 5))
    with pytest.raises(ValueError, match=r"weight_hh has shape \(4, 4\)"):
        step_jacobians(trace, torch.zeros(4, 4).double())


def test_the_spectral_radius_counts_complex_eigenvalues_and_no_norm():
    turn = torch.tensor([[0.0, -2.0], [2.0, 0.0]])  # eigenvalues 2i and -2i
    assert spectral_radius(turn) == pytest.approx(2)
    shear = torch.tensor([[0.5, 100.0], [0.0, -0.5]])
    assert spectral_radius(shear) == pytest.approx(0.5)
    with pytest.raises(ValueError, match=r"shape \(2, 3\); expected a square one"):
        spectral_radius(torch.zeros(2, 3))
