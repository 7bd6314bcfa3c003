"""What a run decides at each step: every gate and every state, against formulas written out."""

import pytest
import torch

from unrolled.bptt import lstm_forward
from unrolled.cells import GRUCell, LSTMState
from unrolled.layers import GRU, LSTM, RNN, Recurrent, gates, map_state, states

EXACT = {"rtol": 1e-12, "atol": 1e-12}
LENGTHS = torch.tensor([5, 2, 1])


def sequence(layer):
    """A batch of three, and a first state of the layer's kind that is not zero."""
    x = torch.randn(3, 5, layer.input_size, dtype=torch.float64)
    return x, map_state(lambda h: torch.randn(3, 4, dtype=torch.float64), layer.initial_state(3))


def parts(state):
    """The tensors of a state or of gates."""
    return (state,) if isinstance(state, torch.Tensor) else tuple(state)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_the_gates_of_an_lstm_are_those_of_its_equations():
    layer = LSTM(2, 4).double()
    x, (first,) = sequence(layer)
    cell = layer.layers[0].cell
    trace = lstm_forward(x, first, cell.weight_ih, cell.weight_hh, cell.bias)
    found, (h, c) = gates(layer, x, (first,)), states(layer, x, (first,))
    for name in "ifgo":
        torch.testing.assert_close(getattr(found, name), getattr(trace, name), **EXACT)
    torch.testing.assert_close(h, trace.h[:, 1:], **EXACT)
    torch.testing.assert_close(c, trace.c[:, 1:], **EXACT)


@pytest.mark.parametrize("reset", ["after", "before"])
def test_the_gates_of_a_gru_are_those_of_its_equations(reset):
    layer = Recurrent(GRUCell(2, 4, reset=reset)).double()
    x, first = sequence(layer)
    found, after = gates(layer, x, first), states(layer, x, first)
    (w_r, w_z, w_n), (u_r, u_z, u_n) = layer.cell.weight_ih.chunk(3), layer.cell.weight_hh.chunk(3)
    b_r, b_z, b_n = layer.cell.bias.chunk(3)
    h = first
    for t in range(5):
        r = torch.sigmoid(x[:, t] @ w_r.T + h @ u_r.T + b_r)
        z = torch.sigmoid(x[:, t] @ w_z.T + h @ u_z.T + b_z)
        if reset == "after":
            n = torch.tanh(x[:, t] @ w_n.T + b_n + r * (h @ u_n.T + layer.cell.bias_hn))
        else:
            n = torch.tanh(x[:, t] @ w_n.T + b_n + (r * h) @ u_n.T)
        h = (1 - z) * n + z * h
        for gate, expected in zip(found, (r, z, n), strict=True):
            torch.testing.assert_close(gate[:, t], expected, **EXACT)
        torch.testing.assert_close(after[:, t], h, **EXACT)


@pytest.mark.parametrize("kind", [RNN, GRU, LSTM])
def test_states_of_a_network_are_its_outputs_and_end_in_its_final_state(kind):
    layer = kind(2, 4).double()
    x, first = sequence(layer)
    outputs, (final,) = layer(x, first)
    after = states(layer, x, first)
    torch.testing.assert_close(after.h if kind is LSTM else after, outputs, **EXACT)
    for part, last in zip(parts(after), parts(final), strict=True):
        torch.testing.assert_close(part[:, -1], last, **EXACT)


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_padding_gives_zeros_and_changes_nothing(kind):
    layer = kind(2, 4).double()
    x, first = sequence(layer)
    x[1, 2:], x[2, 1:] = float("nan"), float("inf")
    for function in (gates, states):
        padded = function(layer, x, first, LENGTHS)
        for row, length in enumerate(LENGTHS):
            own = map_state(lambda h, row=row: h[row : row + 1], first)
            alone = function(layer, x[row : row + 1, :length], own)
            for gate, expected in zip(parts(padded), parts(alone), strict=True):
                torch.testing.assert_close(gate[row, :length], expected[0], **EXACT)
                assert not gate[row, length:].any()


def test_gates_carry_gradients():
    layer = LSTM(2, 4)
    gates(layer, torch.randn(1, 5, 2)).f.sum().backward()
    assert layer.layers[0].cell.weight_hh.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("layer", "state", "error"),
    [
        (LSTM(2, 4, num_layers=2), None, "the layer is LSTM, with more than one cell"),
        (LSTM(2, 4, bidirectional=True), None, "measure the recurrent layers one by one"),
        (RNN(2, 4), None, "the layer's cell is RNNCell; expected one with gates"),
        (LSTM(2, 4), LSTMState(torch.zeros(3, 4), torch.zeros(3, 4)), "2 parts; expected a tuple"),
        (GRU(2, 4), torch.zeros(3, 4), "the state has Tensor"),
        (GRU(2, 4), (torch.zeros(2, 4),), r"the state is \(2, 4\)"),
        (GRU(7, 4), None, "this layer was made for 7"),
    ],
)
def test_gates_refuse_what_does_not_fit(layer, state, error):
    with pytest.raises(ValueError, match=error):
        gates(layer, torch.randn(3, 5, 2), state)
