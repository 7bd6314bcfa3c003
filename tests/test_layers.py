"""Every layer against torch.nn in float64, on shapes that Hypothesis draws."""

from collections import namedtuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unrolled.cells import RNNCell
from unrolled.layers import LSTM, RNN, Recurrent, Stacked, final_hidden, map_state, step_mask

CLOSE = {"rtol": 1e-10, "atol": 1e-10}


@st.composite
def problems(draw):
    """Sizes, lengths (some equal, some 1, or none), depth and the options of torch.nn.RNN."""
    batch, time = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    lengths = st.lists(st.integers(1, time), min_size=batch, max_size=batch)
    return {
        "batch": batch,
        "time": time,
        "lengths": draw(st.none() | lengths | st.just([1] * batch) | st.just([time] * batch)),
        "input_size": draw(st.integers(1, 4)),
        "hidden_size": draw(st.integers(1, 5)),
        "num_layers": draw(st.integers(1, 3)),
        "nonlinearity": draw(st.sampled_from(["tanh", "relu"])),
        "bias": draw(st.booleans()),
        "with_state": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**16)),
    }


def reference(module, x, state, lengths):
    """What torch.nn computes, with packed sequences where there are lengths."""
    if lengths is None:
        return module(x, state)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    outputs, final = module(packed, state)
    return pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])[0], final


@settings(deadline=None, max_examples=60)
@given(problems())
def test_rnn_equals_torch_in_values_and_gradients(problem):
    torch.manual_seed(problem["seed"])
    sizes = problem["input_size"], problem["hidden_size"], problem["num_layers"]
    module = nn.RNN(
        *sizes, nonlinearity=problem["nonlinearity"], bias=problem["bias"], batch_first=True
    ).double()
    layer = RNN.from_torch(module)
    lengths = None if problem["lengths"] is None else torch.tensor(problem["lengths"])
    shape = problem["num_layers"], problem["batch"], problem["hidden_size"]
    values = torch.randn(problem["batch"], problem["time"], problem["input_size"]).double()
    state_values = torch.randn(shape).double() if problem["with_state"] else torch.zeros(shape)
    ours, theirs = (values.clone().requires_grad_() for _ in range(2))
    our_h0, their_h0 = (state_values.double().clone().requires_grad_() for _ in range(2))

    given_state = tuple(our_h0) if problem["with_state"] else None
    outputs, state = layer(ours, given_state, lengths)
    expected, expected_state = reference(
        module, theirs, their_h0 if problem["with_state"] else None, lengths
    )
    torch.testing.assert_close(outputs, expected, **CLOSE)
    torch.testing.assert_close(torch.stack(state), expected_state, **CLOSE)
    torch.testing.assert_close(final_hidden(state), expected_state[-1], **CLOSE)

    weights, state_weights = torch.randn_like(expected), torch.randn_like(expected_state)
    ((outputs * weights).sum() + (torch.stack(state) * state_weights).sum()).backward()
    ((expected * weights).sum() + (expected_state * state_weights).sum()).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, **CLOSE)
    if problem["with_state"]:
        torch.testing.assert_close(our_h0.grad, their_h0.grad, **CLOSE)
    for depth, recurrent in enumerate(layer.layers):
        for name in ("weight_ih", "weight_hh"):
            gradient = getattr(module, f"{name}_l{depth}").grad
            torch.testing.assert_close(getattr(recurrent.cell, name).grad, gradient, **CLOSE)
        if problem["bias"]:  # the gradient of a sum is the gradient of each of its terms
            for name in ("bias_ih", "bias_hh"):
                gradient = getattr(module, f"{name}_l{depth}").grad
                torch.testing.assert_close(recurrent.cell.bias.grad, gradient, **CLOSE)


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf"), 1e300])
@pytest.mark.parametrize("residual", [False, True])
def test_padding_never_matters(poison, residual):
    torch.manual_seed(0)
    layers = [Recurrent(RNNCell(3, 3, "identity")) for _ in range(2)]
    stack = Stacked(layers, residual=residual).double()
    lengths = torch.tensor([5, 1, 3])
    past = torch.tensor([[0, 0, 0, 0, 0], [0, 1, 1, 1, 1], [0, 0, 0, 1, 1]]).bool()
    clean = torch.randn(3, 5, 3, dtype=torch.float64)
    clean[past] = 0
    results = []
    for fill in (0.0, poison):
        x = clean.clone()
        x[past] = fill
        x.requires_grad_()
        stack.zero_grad()
        outputs, state = stack(x, lengths=lengths)
        (outputs.square().sum() + sum(h.sum() for h in state)).backward()
        gradients = [parameter.grad.clone() for parameter in stack.parameters()]
        results.append([outputs.detach(), *state, x.grad, *gradients])
        assert (outputs[past] == 0).all()
        assert (x.grad[past] == 0).all()
    for zeros, poisoned in zip(*results, strict=True):
        assert torch.isfinite(poisoned).all()
        assert torch.equal(zeros, poisoned)


def test_step_mask_is_true_before_the_end():
    mask = step_mask(torch.tensor([1, 3, 2]), 3)
    assert mask.int().tolist() == [[1, 0, 0], [1, 1, 1], [1, 1, 0]]


def test_final_state_is_the_state_at_the_true_end():
    torch.manual_seed(0)
    layer = RNN(2, 3, num_layers=2)
    x = torch.randn(3, 6, 2)
    lengths = [6, 2, 4]
    _, together = layer(x, lengths=torch.tensor(lengths))
    for row, length in enumerate(lengths):
        _, alone = layer(x[row : row + 1, :length])
        for h_together, h_alone in zip(together, alone, strict=True):
            torch.testing.assert_close(h_together[row : row + 1], h_alone)


def test_two_windows_with_the_state_carried_equal_one():
    torch.manual_seed(0)
    layer = RNN(2, 3, num_layers=2).double()
    x = torch.randn(2, 7, 2, dtype=torch.float64)
    whole, end = layer(x)
    first, state = layer(x[:, :3])
    second, carried_end = layer(x[:, 3:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, **CLOSE)
    torch.testing.assert_close(final_hidden(carried_end), final_hidden(end), **CLOSE)


def test_residual_adds_a_layers_input():
    torch.manual_seed(0)
    below, above = RNN(2, 3), RNN(3, 3)
    x = torch.randn(2, 4, 2)
    outputs, _ = Stacked([below, above], residual=True)(x)
    middle, _ = below(x)
    torch.testing.assert_close(outputs, above(middle)[0] + middle)


def test_dropout_acts_between_layers_in_training_only():
    torch.manual_seed(0)
    one, two = RNN(2, 50, dropout=0.5), RNN(2, 50, num_layers=2, dropout=0.5)
    x = torch.randn(1, 3, 2)
    assert torch.equal(one(x)[0], one(x)[0])
    assert not torch.equal(two(x)[0], two(x)[0])
    seen = []
    two.layers[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    two(x)
    assert 0.2 < (seen[0] == 0).float().mean() < 0.8
    two.eval()
    assert torch.equal(two(x)[0], two(x)[0])


def test_from_torch_copies_type_mode_and_weights():
    module = nn.RNN(2, 3, num_layers=2, dropout=0.25).double().eval()
    layer = RNN.from_torch(module)
    assert layer.dropout.p == 0.25
    assert not layer.training
    assert {parameter.dtype for parameter in layer.parameters()} == {torch.float64}
    with torch.no_grad():
        layer.layers[0].cell.weight_hh.zero_()
    assert module.weight_hh_l0.abs().sum() > 0
    with pytest.raises(TypeError, match="LSTM came; expected a torch"):
        RNN.from_torch(nn.LSTM(2, 3))
    with pytest.raises(ValueError, match="proj_size=2 came"):
        LSTM.from_torch(nn.LSTM(2, 3, proj_size=2))


Pair = namedtuple("Pair", "h c")


def test_map_state_reaches_every_tensor_and_keeps_the_kind():
    ones, zeros = torch.ones(2, 3), torch.zeros(2, 3)
    state = (ones, Pair(ones, zeros))
    doubled = map_state(torch.add, state, state)
    assert isinstance(doubled[1], Pair)
    assert torch.equal(doubled[0], 2 * ones)
    assert torch.equal(doubled[1].c, zeros)
    with pytest.raises(ValueError, match="states of kind tuple, Tensor"):
        map_state(torch.add, state, ones)
    with pytest.raises(ValueError, match="states of kind list"):
        map_state(torch.neg, [ones])
    with pytest.raises(ValueError, match=r"\[2, 1\] parts"):
        map_state(torch.add, state, (ones,))


BAD_INPUTS = [
    ({"x": torch.zeros(4, 2)}, ValueError, r"x has shape \(4, 2\).*x\[None\]"),
    ({"x": torch.zeros(1, 4, 5)}, ValueError, "x has 5 features.*made for 2"),
    ({"x": torch.zeros(1, 0, 2)}, ValueError, "at least one sequence and step"),
    ({"lengths": torch.tensor([4, 0])}, ValueError, "lengths go from 0 to 4; expected 1 to 4"),
    ({"lengths": torch.tensor([5, 1])}, ValueError, "lengths go from 1 to 5; expected 1 to 4"),
    ({"lengths": torch.tensor([4.0, 2.0])}, TypeError, "torch.float32; expected an int64"),
    ({"lengths": [4, 2]}, TypeError, "lengths is list"),
    ({"lengths": torch.tensor([4])}, ValueError, "1 lengths came for a batch of 2"),
    ({"lengths": torch.tensor([[4, 2]])}, ValueError, r"lengths has shape \(1, 2\)"),
    ({"state": torch.zeros(2, 3)}, ValueError, "the state has Tensor; expected a tuple of 1"),
    ({"state": (torch.zeros(2, 3),) * 2}, ValueError, "the state has 2 parts"),
    ({"state": (torch.zeros(1, 3),)}, ValueError, r"the state is \(1, 3\).*\(2, 3\)"),
    ({"state": ("h",)}, ValueError, "the state is str"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), BAD_INPUTS)
def test_bad_input_is_refused_with_what_to_do(wrong, error, message):
    arguments = {"x": torch.zeros(2, 4, 2)} | wrong
    with pytest.raises(error, match=message):
        RNN(2, 3)(**arguments)


BAD_LAYERS = [
    (lambda: RNN(2, 3, num_layers=0), "num_layers is 0"),
    (lambda: RNN(0, 3), "input_size is 0"),
    (lambda: RNN(2, 3, dropout=1.0), "dropout is 1.0"),
    (lambda: Stacked([]), "no layers were given"),
    (lambda: Stacked([RNN(2, 3), RNN(4, 3)]), "gives 3 features to one that was made for 4"),
]


@pytest.mark.parametrize(("make", "message"), BAD_LAYERS)
def test_bad_layers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
