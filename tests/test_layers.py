"""Every layer against torch.nn in float64, on shapes that Hypothesis draws."""

from collections import namedtuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unrolled.cells import Cell, GRUCell, LSTMCell, LSTMState, RNNCell
from unrolled.layers import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    BidirectionalState,
    Recurrent,
    Stacked,
    final_hidden,
    map_state,
    reverse_steps,
    step_mask,
)

CLOSE = {"rtol": 1e-10, "atol": 1e-10}
KINDS = {"RNN": (RNN, nn.RNN), "GRU": (GRU, nn.GRU), "LSTM": (LSTM, nn.LSTM)}


@st.composite
def problems(draw):
    """Sizes, lengths (some equal, some 1, or none), depth, directions and torch.nn's options."""
    batch, time = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    lengths = st.lists(st.integers(1, time), min_size=batch, max_size=batch)
    return {
        "batch": batch,
        "time": time,
        "lengths": draw(st.none() | lengths | st.just([1] * batch) | st.just([time] * batch)),
        "input_size": draw(st.integers(1, 4)),
        "hidden_size": draw(st.integers(1, 5)),
        "num_layers": draw(st.integers(1, 3)),
        "bidirectional": draw(st.booleans()),
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


def nested(rows, problem, lstm):
    """Our state from torch.nn's rows: of h, and of c where there is one."""
    cells = [LSTMState(*parts) if lstm else parts[0] for parts in zip(*rows, strict=True)]
    if problem["bidirectional"]:
        pairs = zip(cells[::2], cells[1::2], strict=True)
        return tuple(BidirectionalState(*pair) for pair in pairs)
    return tuple(cells)


def rows_of(state):
    """The h of every layer and direction in torch.nn's order, and the c; each a stacked tensor."""
    tensors = []
    map_state(lambda part: tensors.append(part) or part, state)
    kinds = 2 if any(isinstance(leaf, LSTMState) for leaf in leaves(state)) else 1
    return [torch.stack(tensors[kind::kinds]) for kind in range(kinds)]


def leaves(state):
    if isinstance(state, LSTMState | torch.Tensor):
        return [state]
    return [leaf for part in state for leaf in leaves(part)]


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=60)
@given(problem=problems())
def test_a_layer_equals_torch_in_values_and_gradients(kind, problem):
    torch.manual_seed(problem["seed"])
    ours_type, theirs_type = KINDS[kind]
    sizes = problem["input_size"], problem["hidden_size"], problem["num_layers"]
    options = {"nonlinearity": problem["nonlinearity"]} if kind == "RNN" else {}
    options |= {name: problem[name] for name in ("bias", "bidirectional")}
    module = theirs_type(*sizes, batch_first=True, **options).double()
    layer = ours_type.from_torch(module)
    lengths = None if problem["lengths"] is None else torch.tensor(problem["lengths"])
    directions = 1 + problem["bidirectional"]
    shape = problem["num_layers"] * directions, problem["batch"], problem["hidden_size"]
    kinds = 2 if kind == "LSTM" else 1

    values = torch.randn(problem["batch"], problem["time"], problem["input_size"]).double()
    ours, theirs = (values.clone().requires_grad_() for _ in range(2))
    starts = torch.randn(kinds, *shape).double()
    our_start, their_start = (starts.clone().requires_grad_() for _ in range(2))
    our_state = their_state = None
    if problem["with_state"]:
        our_state = nested(our_start, problem, kind == "LSTM")
        their_state = tuple(their_start) if kind == "LSTM" else their_start[0]

    outputs, state = layer(ours, our_state, lengths)
    expected, expected_final = reference(module, theirs, their_state, lengths)
    expected_final = expected_final if kind == "LSTM" else (expected_final,)
    final = rows_of(state)
    torch.testing.assert_close(outputs, expected, **CLOSE)
    for part, other in zip(final, expected_final, strict=True):
        torch.testing.assert_close(part, other, **CLOSE)
    top = torch.cat(list(expected_final[0][-directions:]), dim=1)
    torch.testing.assert_close(final_hidden(state), top, **CLOSE)

    weights = torch.randn_like(expected)
    state_weights = torch.randn(kinds, *shape).double()
    (
        (outputs * weights).sum()
        + sum((part * w).sum() for part, w in zip(final, state_weights, strict=True))
    ).backward()
    (
        (expected * weights).sum()
        + sum((part * w).sum() for part, w in zip(expected_final, state_weights, strict=True))
    ).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, **CLOSE)
    if problem["with_state"]:
        torch.testing.assert_close(our_start.grad, their_start.grad, **CLOSE)
    cells = [part for part in layer.modules() if isinstance(part, Cell)]
    suffixes = [
        f"_l{depth}{way}"
        for depth in range(problem["num_layers"])
        for way in ("", "_reverse")[:directions]
    ]
    for cell, suffix in zip(cells, suffixes, strict=True):
        gradient = {
            name: getattr(module, name + suffix).grad
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            if hasattr(module, name + suffix)
        }
        torch.testing.assert_close(cell.weight_ih.grad, gradient["weight_ih"], **CLOSE)
        torch.testing.assert_close(cell.weight_hh.grad, gradient["weight_hh"], **CLOSE)
        if problem["bias"]:  # the gradient of a sum is the gradient of each of its terms
            torch.testing.assert_close(cell.bias.grad, gradient["bias_ih"], **CLOSE)
            if kind == "GRU":
                bias_hn = gradient["bias_hh"][2 * cell.hidden_size :]
                torch.testing.assert_close(cell.bias_hn.grad, bias_hn, **CLOSE)


CELLS_THAT_MULTIPLY = {
    "linear": lambda: RNNCell(3, 3, "identity"),
    "GRU": lambda: GRUCell(3, 3),
    "GRU before": lambda: GRUCell(3, 3, reset="before"),
    "LSTM": lambda: LSTMCell(3, 3),
}


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf"), 1e300])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("cell", CELLS_THAT_MULTIPLY.values(), ids=CELLS_THAT_MULTIPLY)
def test_padding_never_matters(cell, both, residual, poison):
    torch.manual_seed(0)
    if both:
        one = Bidirectional(Recurrent(cell()), Recurrent(cell()))
        layers = [one, Recurrent(RNNCell(6, 3))]
    else:
        layers = [Recurrent(cell()) for _ in range(2)]
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
        finals = []
        map_state(lambda part, finals=finals: finals.append(part) or part, state)
        (outputs.square().sum() + sum(h.sum() for h in finals)).backward()
        gradients = [parameter.grad.clone() for parameter in stack.parameters()]
        results.append([outputs.detach(), *finals, x.grad, *gradients])
        assert (outputs[past] == 0).all()
        assert (x.grad[past] == 0).all()
    for zeros, poisoned in zip(*results, strict=True):
        assert torch.isfinite(poisoned).all()
        assert torch.equal(zeros, poisoned)


def test_reversing_keeps_padding_behind_and_undoes_itself():
    torch.manual_seed(0)
    x, lengths = torch.randn(3, 4, 2), torch.tensor([4, 1, 3])
    turned = reverse_steps(x, lengths)
    for row, length in enumerate(lengths.tolist()):
        assert torch.equal(turned[row, :length], x[row, :length].flip(0))
        assert torch.equal(turned[row, length:], x[row, length:])
    assert torch.equal(reverse_steps(turned, lengths), x)
    assert torch.equal(reverse_steps(x), x.flip(1))


def test_the_backward_direction_is_a_forward_layer_on_the_reversed_sequence():
    torch.manual_seed(0)
    ahead, back = Recurrent(GRUCell(2, 3)), Recurrent(RNNCell(2, 4))
    both = Bidirectional(ahead, back)
    x = torch.randn(2, 5, 2)
    outputs, state = both(x)
    alone, end = back(x.flip(1))
    assert both.output_size == 7
    assert torch.equal(outputs[:, :, :3], ahead(x)[0])
    assert torch.equal(outputs[:, :, 3:], alone.flip(1))
    assert torch.equal(state.backward, end)
    assert torch.equal(final_hidden(state), torch.cat([outputs[:, -1, :3], outputs[:, 0, 3:]], 1))


def test_bidirectional_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="the directions take 2 and 3 features"):
        Bidirectional(RNN(2, 3), RNN(3, 3))
    layer = GRU(2, 3, bidirectional=True).layers[0]
    with pytest.raises(ValueError, match="the state is tuple; expected BidirectionalState"):
        layer(torch.zeros(1, 4, 2), (torch.zeros(1, 3),) * 2)


def test_step_mask_is_true_before_the_end():
    mask = step_mask(torch.tensor([1, 3, 2]), 3)
    assert mask.int().tolist() == [[1, 0, 0], [1, 1, 1], [1, 1, 0]]


def test_final_state_is_the_state_at_the_true_end():
    torch.manual_seed(0)
    layer = LSTM(2, 3, num_layers=2, bidirectional=True)
    x = torch.randn(3, 6, 2)
    lengths = [6, 2, 4]
    _, together = layer(x, lengths=torch.tensor(lengths))
    for row, length in enumerate(lengths):
        _, alone = layer(x[row : row + 1, :length])
        chosen = map_state(lambda part, row=row: part[row : row + 1], together)
        map_state(torch.testing.assert_close, chosen, alone)


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
