"""Every cell against torch.nn's cell, and what it refuses."""

import math

import pytest
import torch
from torch import nn

from unrolled.cells import GRUCell, LSTMCell, LSTMState, RNNCell
from unrolled.layers import map_state

CLOSE = {"rtol": 1e-10, "atol": 1e-10}
CELLS = [RNNCell, GRUCell, LSTMCell]


def with_the_weights_of(ours, theirs):
    """Copy a torch.nn cell's weights; the biases of the GRU's candidate stay two."""
    hidden = ours.hidden_size
    bias = theirs.bias_ih + theirs.bias_hh
    with torch.no_grad():
        if isinstance(ours, GRUCell):
            bias[2 * hidden :] = theirs.bias_ih[2 * hidden :]
            ours.bias_hn.copy_(theirs.bias_hh[2 * hidden :])
        ours.weight_ih.copy_(theirs.weight_ih)
        ours.weight_hh.copy_(theirs.weight_hh)
        ours.bias.copy_(bias)
    return ours


PAIRS = {
    "tanh": (lambda: RNNCell(3, 4), lambda: nn.RNNCell(3, 4)),
    "relu": (lambda: RNNCell(3, 4, "relu"), lambda: nn.RNNCell(3, 4, nonlinearity="relu")),
    "GRU": (lambda: GRUCell(3, 4), lambda: nn.GRUCell(3, 4)),
    "LSTM": (lambda: LSTMCell(3, 4), lambda: nn.LSTMCell(3, 4)),
}


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("with_state", [False, True])
def test_a_cell_equals_torch_in_values_and_gradients(kind, with_state):
    torch.manual_seed(0)
    make_ours, make_theirs = PAIRS[kind]
    theirs = make_theirs().double()
    ours = with_the_weights_of(make_ours().double(), theirs)
    x_t, state, c = torch.randn(3, 5, 4).double()
    x_t = x_t[:, :3]
    if kind == "LSTM":
        state = LSTMState(state, c)
    state = state if with_state else None
    output, new = ours(x_t, state)
    expected = theirs(x_t, state)
    expected = expected if kind == "LSTM" else (expected,)
    parts = new if kind == "LSTM" else (new,)
    assert torch.equal(output, parts[0])
    for part, other in zip(parts, expected, strict=True):
        torch.testing.assert_close(part, other, **CLOSE)
    sum(part.sin().sum() for part in parts).backward()
    sum(part.sin().sum() for part in expected).backward()
    torch.testing.assert_close(ours.weight_ih.grad, theirs.weight_ih.grad, **CLOSE)
    torch.testing.assert_close(ours.weight_hh.grad, theirs.weight_hh.grad, **CLOSE)
    torch.testing.assert_close(ours.bias.grad, theirs.bias_ih.grad, **CLOSE)
    if kind == "GRU":
        torch.testing.assert_close(ours.bias_hn.grad, theirs.bias_hh.grad[8:], **CLOSE)


def test_reset_before_is_the_equation_of_cho_et_al():
    torch.manual_seed(0)
    cell = GRUCell(3, 4, reset="before").double()
    x_t, h = torch.randn(5, 3).double(), torch.randn(5, 4).double()
    input_r, input_z, input_n = (x_t @ cell.weight_ih.T + cell.bias).chunk(3, 1)
    weight_r, weight_z, weight_n = cell.weight_hh.chunk(3)
    r = 1 / (1 + torch.exp(-(input_r + h @ weight_r.T)))
    z = 1 / (1 + torch.exp(-(input_z + h @ weight_z.T)))
    n = torch.tanh(input_n + (r * h) @ weight_n.T)
    torch.testing.assert_close(cell(x_t, h)[0], (1 - z) * n + z * h, **CLOSE)
    assert "bias_hn" not in dict(cell.named_parameters())


def test_the_two_places_of_the_reset_gate_differ():
    torch.manual_seed(0)
    before, after = GRUCell(3, 4, reset="before").double(), GRUCell(3, 4).double()
    after.load_state_dict({**before.state_dict(), "bias_hn": torch.zeros(4)})
    x_t, h = torch.randn(5, 3).double(), torch.randn(5, 4).double()
    torch.testing.assert_close(before(x_t)[0], after(x_t)[0], **CLOSE)  # nothing to reset
    assert (before(x_t, h)[0] - after(x_t, h)[0]).abs().max() > 1e-3


@pytest.mark.parametrize("forget_bias", [0.0, 1.0, 3.0])
def test_the_forget_bias_is_added_to_the_forget_gate_alone(forget_bias):
    torch.manual_seed(0)
    cell = LSTMCell(2, 50, forget_bias)
    bound = 1 / math.sqrt(50)
    for gate, bias in zip("ifgo", cell.bias.chunk(4), strict=True):
        centre = forget_bias if gate == "f" else 0.0
        assert (bias - centre).abs().max() <= bound + 1e-6
        assert bias.std() > 0.4 * bound


def test_identity_gives_a_linear_recurrence():
    cell = RNNCell(2, 3, "identity").double()
    x_t, h = torch.randn(4, 2).double(), torch.randn(4, 3).double()
    expected = x_t @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias
    torch.testing.assert_close(cell(x_t, h)[0], expected, **CLOSE)


@pytest.mark.parametrize("kind", CELLS)
def test_the_two_halves_make_the_step(kind):
    cell = kind(2, 3)
    x = torch.randn(4, 5, 2)
    state = map_state(torch.randn_like, cell.initial_state(4))
    in_halves = cell.step(cell.project(x)[:, 2], state)
    torch.testing.assert_close(in_halves[0], cell(x[:, 2], state)[0])


@pytest.mark.parametrize("kind", CELLS)
def test_initial_weights_are_uniform_within_one_over_root_hidden(kind):
    torch.manual_seed(0)
    options = {"forget_bias": 0.0} if kind is LSTMCell else {}
    cell = kind(100, 64, **options)
    for parameter in cell.parameters():
        assert parameter.abs().max() <= 1 / math.sqrt(64)
        assert parameter.abs().max() > 0.9 / math.sqrt(64)
    names = {name for name, _ in cell.named_parameters()}
    assert names - {"bias_hn"} == {"weight_ih", "weight_hh", "bias"}


@pytest.mark.parametrize("kind", CELLS)
def test_initial_state_has_the_type_of_the_weights(kind):
    state = kind(2, 3).double().initial_state(4)
    for part in state if kind is LSTMCell else (state,):
        assert part.dtype == torch.float64
        assert torch.equal(part, torch.zeros(4, 3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (RNNCell(2, 3, "relu"), "RNNCell(2, 3, nonlinearity='relu')"),
        (GRUCell(2, 3, reset="before"), "GRUCell(2, 3, reset='before')"),
        (LSTMCell(2, 3), "LSTMCell(2, 3)"),
    ],
)
def test_a_cell_shows_its_sizes(cell, shown):
    assert repr(cell) == shown


H, X = torch.zeros(4, 3), torch.zeros(4, 2)
BAD = [
    (lambda: RNNCell(0, 3), "input_size is 0; expected a whole number of at least 1"),
    (lambda: RNNCell(2, 3.0), "hidden_size is 3.0"),
    (lambda: GRUCell(2, True), "hidden_size is True"),
    (lambda: RNNCell(2, 3, "Tanh"), "nonlinearity is 'Tanh'; expected one of 'tanh'"),
    (lambda: GRUCell(2, 3, "first"), "reset is 'first'; expected one of 'after', 'before'"),
    (lambda: RNNCell(2, 3)(torch.zeros(4, 7, 2)), r"x_t has shape \(4, 7, 2\).*one time step"),
    (lambda: LSTMCell(2, 3)(torch.zeros(4, 3)), r"expected \(batch, 2\)"),
    (lambda: RNNCell(2, 3)(X, X), r"\(4, 2\).*= \(4, 3\)"),
    (lambda: GRUCell(2, 3)(X, (H,)), "the state is tuple"),
    (lambda: LSTMCell(2, 3)(X, H), r"the state is Tensor; expected an LSTMState\(h, c\)"),
    (lambda: LSTMCell(2, 3)(X, (H, H)), "the state is tuple; expected an LSTMState"),
    (lambda: LSTMCell(2, 3)(X, LSTMState(H, X)), r"\(4, 2\).*= \(4, 3\)"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
