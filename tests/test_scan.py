"""The scan equals the loop, in values and gradients; MinGRU is a layer as any other."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unrolled.layers import Bidirectional, Stacked, final_hidden
from unrolled.scan import MinGRU, associative_scan


def by_loop(decay, increment, initial):
    h, states = initial, []
    for a, b in zip(decay.unbind(1), increment.unbind(1), strict=True):
        h = a * h + b
        states.append(h)
    return torch.stack(states, dim=1)


def inputs(time, batch=2, hidden=3, dtype=torch.float64):
    torch.manual_seed(time)
    decay = torch.rand(batch, time, hidden, dtype=dtype, requires_grad=True)
    increment = torch.randn(batch, time, hidden, dtype=dtype, requires_grad=True)
    initial = torch.randn(batch, hidden, dtype=dtype, requires_grad=True)
    return decay, increment, initial


@pytest.mark.parametrize("time", [*range(1, 18), 63, 64, 65, 1000])
def test_the_scan_equals_the_loop(time):
    leaves = inputs(time)
    direction = torch.randn(2, time, 3, dtype=torch.float64)
    found, expected = associative_scan(*leaves), by_loop(*leaves)
    torch.testing.assert_close(found, expected)
    ours, theirs = (
        torch.autograd.grad((states * direction).sum(), leaves) for states in (found, expected)
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("time", [1, 2, 7])
def test_the_gradients_are_those_of_finite_differences(time):
    assert torch.autograd.gradcheck(associative_scan, inputs(time))


def test_without_a_first_state_it_begins_with_zeros():
    decay, increment, initial = inputs(5)
    found = associative_scan(decay, increment)
    torch.testing.assert_close(found, by_loop(decay, increment, torch.zeros_like(initial)))


def test_decays_of_zero_and_above_one():
    """Nothing is divided, and no logarithm is taken: a unit may forget all, or grow."""
    decay, increment, initial = (leaf.detach() for leaf in inputs(40))
    decay[:, 7] = 0.0
    decay[:, 20:] += 1.0
    decay[:, 30] = -1.0
    expected = by_loop(decay, increment, initial)
    torch.testing.assert_close(associative_scan(decay, increment, initial), expected)


def test_single_precision_over_many_steps():
    decay, increment, initial = (leaf.detach() for leaf in inputs(4096, dtype=torch.float32))
    decay = 0.999 + 0.001 * decay
    found = associative_scan(decay, increment, initial).double()
    expected = by_loop(decay.double(), increment.double(), initial.double())
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_the_number_of_rounds_grows_with_the_logarithm(monkeypatch):
    from unrolled import scan

    rounds, join = [], scan._join
    monkeypatch.setattr(scan, "_join", lambda *parts: (rounds.append(1), join(*parts))[1])
    for time, expected in [(64, 7), (1024, 11), (1000, 10)]:
        rounds.clear()
        associative_scan(*(leaf.detach() for leaf in inputs(time)))
        assert len(rounds) == expected


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 5, 3), (2, 4, 3), (2, 3)), r"decay has shape \(2, 5, 3\) and increment \(2, 4, 3\)"),
        (((5, 3), (5, 3), (3,)), r"expected \(batch, time, hidden\) for both"),
        (((2, 0, 3), (2, 0, 3), (2, 3)), "at least one step"),
        (((2, 5, 3), (2, 5, 3), (2, 4)), r"initial has shape \(2, 4\); .* = \(2, 3\)"),
    ],
)
def test_shapes_that_do_not_fit(shapes, message):
    with pytest.raises(ValueError, match=message):
        associative_scan(*(torch.ones(shape) for shape in shapes))


# --- MinGRU --------------------------------------------------------------------------------------


def stepwise(layer, x, h):
    """The equations of the docstring, one step at a time."""
    weight, bias = layer.weight_ih, layer.bias
    outputs = []
    for x_t in x.unbind(1):
        z, candidate = F.linear(x_t, weight, bias).chunk(2, dim=1)
        h = (1 - z.sigmoid()) * h + z.sigmoid() * candidate
        outputs.append(h)
    return torch.stack(outputs, dim=1), h


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return MinGRU(3, 5).double()


def test_it_equals_its_equations_step_by_step(layer):
    x, h = torch.randn(4, 9, 3, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    outputs, state = layer(x, h)
    expected, final = stepwise(layer, x, h)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(state, final)
    grads = [
        torch.autograd.grad(out.square().sum(), list(layer.parameters()))
        for out in (outputs, expected)
    ]
    torch.testing.assert_close(*grads)


def test_a_sequence_in_two_parts(layer):
    x = torch.randn(2, 8, 3, dtype=torch.float64)
    whole, final = layer(x)
    first, state = layer(x[:, :3])
    second, last = layer(x[:, 3:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(last, final)


@pytest.mark.parametrize("padding", [0.0, 7.0, math.nan, math.inf])
def test_padding_changes_nothing(layer, padding):
    x, lengths = torch.randn(3, 6, 3, dtype=torch.float64), torch.tensor([6, 1, 4])
    mask = torch.arange(6) >= lengths[:, None]
    x = x.masked_fill(mask[:, :, None], padding).requires_grad_()
    outputs, state = layer(x, lengths=lengths)
    gradient, *weights = torch.autograd.grad(
        outputs.square().sum() + state.sum(), [x, *layer.parameters()]
    )
    assert (outputs[mask] == 0).all()
    assert (gradient[mask] == 0).all()
    assert all(weight.isfinite().all() for weight in weights)
    for row, length in enumerate(lengths):
        alone, final = layer(x[row : row + 1, :length])
        torch.testing.assert_close(outputs[row : row + 1, :length], alone)
        torch.testing.assert_close(state[row : row + 1], final)


def test_it_can_be_stacked_and_turned():
    torch.manual_seed(0)
    both = Bidirectional(MinGRU(3, 4), MinGRU(3, 4))
    deep = Stacked([both, MinGRU(8, 5)], dropout=0.1)
    outputs, state = deep(torch.randn(2, 7, 3), lengths=torch.tensor([7, 2]))
    assert outputs.shape == (2, 7, 5)
    assert final_hidden(state).shape == (2, 5)
    torch.testing.assert_close(state[-1][1], outputs[1, 1])


def test_the_bias_of_the_gate_says_how_much_is_kept():
    torch.manual_seed(0)
    for bias, kept in [(0.0, 0.5), (-3.0, 0.9526)]:
        layer = MinGRU(3, 500, gate_bias=bias)
        new, _ = layer.parts(torch.zeros(1, 1, 3))
        assert 1 - new.mean().item() == pytest.approx(kept, abs=1e-4)


def test_its_parameters_are_a_third_of_those_of_a_gru():
    """Two gates of three, and nothing that reads the state."""
    weights = sum(weight.numel() for weight in MinGRU(64, 64).parameters())
    assert weights == 2 * 64 * 64 + 2 * 64
    assert sum(w.numel() for w in nn.GRU(64, 64).parameters()) == 3 * (2 * 64 * 64 + 2 * 64)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MinGRU(0, 5), "input_size is 0"),
        (lambda: MinGRU(3, 5)(torch.ones(7, 3)), "expected .batch, time, 3."),
        (lambda: MinGRU(3, 5)(torch.ones(2, 7, 4)), "this layer was made for 3"),
        (lambda: MinGRU(3, 5)(torch.ones(2, 7, 3), torch.ones(2, 4)), "the state has shape"),
        (lambda: MinGRU(3, 5)(torch.ones(2, 7, 3), lengths=torch.tensor([8, 1])), "8"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
