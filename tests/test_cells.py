"""Every cell against torch.nn's cell, and what it refuses."""

import math

import pytest
import torch
from torch import nn

from unrolled.cells import RNNCell

CLOSE = {"rtol": 1e-10, "atol": 1e-10}


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("with_state", [False, True])
def test_rnn_cell_equals_torch(nonlinearity, with_state):
    torch.manual_seed(0)
    theirs = nn.RNNCell(3, 4, nonlinearity=nonlinearity).double()
    ours = RNNCell(3, 4, nonlinearity).double()
    with torch.no_grad():
        ours.weight_ih.copy_(theirs.weight_ih)
        ours.weight_hh.copy_(theirs.weight_hh)
        ours.bias.copy_(theirs.bias_ih + theirs.bias_hh)
    x_t, state = torch.randn(2, 5, 3).double()[0], torch.randn(5, 4).double()
    state = state if with_state else None
    output, new = ours(x_t, state)
    expected = theirs(x_t, state)
    torch.testing.assert_close(output, expected, **CLOSE)
    assert torch.equal(output, new)
    output.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(ours.weight_ih.grad, theirs.weight_ih.grad, **CLOSE)
    torch.testing.assert_close(ours.weight_hh.grad, theirs.weight_hh.grad, **CLOSE)
    torch.testing.assert_close(ours.bias.grad, theirs.bias_ih.grad, **CLOSE)


def test_identity_gives_a_linear_recurrence():
    cell = RNNCell(2, 3, "identity").double()
    x_t, h = torch.randn(4, 2).double(), torch.randn(4, 3).double()
    expected = x_t @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias
    torch.testing.assert_close(cell(x_t, h)[0], expected, **CLOSE)


def test_the_two_halves_make_the_step():
    cell = RNNCell(2, 3)
    x = torch.randn(4, 5, 2)
    h = torch.randn(4, 3)
    torch.testing.assert_close(cell.step(cell.project(x)[:, 2], h)[0], cell(x[:, 2], h)[0])


def test_initial_weights_are_uniform_within_one_over_root_hidden():
    torch.manual_seed(0)
    cell = RNNCell(100, 64)
    for parameter in cell.parameters():
        assert parameter.abs().max() <= 1 / math.sqrt(64)
        assert parameter.abs().max() > 0.9 / math.sqrt(64)
    assert {name for name, _ in cell.named_parameters()} == {"weight_ih", "weight_hh", "bias"}


def test_initial_state_has_the_type_of_the_weights():
    state = RNNCell(2, 3).double().initial_state(4)
    assert state.dtype == torch.float64
    assert torch.equal(state, torch.zeros(4, 3, dtype=torch.float64))


BAD = [
    (lambda: RNNCell(0, 3), "input_size is 0; expected a whole number of at least 1"),
    (lambda: RNNCell(2, 3.0), "hidden_size is 3.0"),
    (lambda: RNNCell(2, True), "hidden_size is True"),
    (lambda: RNNCell(2, 3, "Tanh"), "nonlinearity is 'Tanh'; expected one of 'tanh'"),
    (lambda: RNNCell(2, 3)(torch.zeros(4, 7, 2)), r"x_t has shape \(4, 7, 2\).*one time step"),
    (lambda: RNNCell(2, 3)(torch.zeros(4, 3)), r"expected \(batch, 2\)"),
    (lambda: RNNCell(2, 3)(torch.zeros(4, 2), torch.zeros(4, 2)), r"\(4, 2\).*= \(4, 3\)"),
    (lambda: RNNCell(2, 3)(torch.zeros(4, 2), (torch.zeros(4, 3),)), "the state is tuple"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
