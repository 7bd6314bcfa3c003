"""Attention against slow loops, torch's own, and d2l's, in values and gradients."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.attention import (
    AdditiveAttention,
    DotProductAttention,
    GeneralAttention,
    SelfAttention,
    masked_softmax,
    sinusoidal_positions,
)
from unrolled.data.d2l import import_d2l

EXACT = {"rtol": 1e-10, "atol": 1e-10}
KINDS = ["dot", "plain dot", "general", "additive"]


def make(kind, query_size, key_size):
    torch.manual_seed(1)
    attention = {
        "dot": lambda: DotProductAttention(),
        "plain dot": lambda: DotProductAttention(scaled=False),
        "general": lambda: GeneralAttention(query_size, key_size),
        "additive": lambda: AdditiveAttention(query_size, key_size, 5),
    }[kind]
    return attention().double()


def slow_score(kind, attention, query, key):
    if kind == "dot":
        return (query * key).sum() / math.sqrt(len(query))
    if kind == "plain dot":
        return (query * key).sum()
    if kind == "general":
        return query @ attention.weight.weight @ key
    hidden = torch.tanh(attention.weight_query.weight @ query + attention.weight_key.weight @ key)
    return attention.weight_score.weight[0] @ hidden


def slow(kind, attention, query, keys, values, mask):
    """The definition: one sequence, one query, one allowed step at a time."""
    contexts, weights = [], []
    for row in range(len(query)):
        for place in range(query.shape[1]):
            allowed = mask[row, place].nonzero()[:, 0].tolist()
            spread = query.new_zeros(keys.shape[1]) + 0 * query.sum()  # a way for gradients
            context = query.new_zeros(values.shape[2])
            if allowed:
                scores = [
                    slow_score(kind, attention, query[row, place], keys[row, step])
                    for step in allowed
                ]
                shares = torch.stack(scores).exp() / torch.stack(scores).exp().sum()
                spread = spread.index_add(0, torch.tensor(allowed), shares)
                for share, step in zip(shares, allowed, strict=True):
                    context = context + share * values[row, step]
            contexts.append(context)
            weights.append(spread)
    shape = query.shape[:2]
    return torch.stack(contexts).view(*shape, -1), torch.stack(weights).view(*shape, -1)


def gradients(attention, function, inputs, weight):
    attention.zero_grad()
    inputs = [tensor.clone().requires_grad_() for tensor in inputs]
    context, weights = function(*inputs)
    ((context * weight).sum() + (weights * weights).sum()).backward()
    found = [tensor.grad if tensor.grad is not None else 0 * tensor for tensor in inputs]
    parameters = [
        torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in attention.parameters()
    ]
    return [context, weights, *found, *parameters]


@pytest.mark.parametrize("each_query", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=25)
@given(
    batch=st.integers(1, 3),
    queries=st.integers(1, 3),
    steps=st.integers(1, 5),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    seed=st.integers(0, 99),
)
def test_equals_a_slow_loop(kind, each_query, batch, queries, steps, sizes, seed):
    query_size, key_size, value_size = sizes
    if "dot" in kind:
        key_size = query_size
    attention = make(kind, query_size, key_size)
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=draw, dtype=torch.float64)

    inputs = normal(batch, queries, query_size), normal(batch, steps, key_size)
    inputs = *inputs, normal(batch, steps, value_size)
    weight = normal(batch, queries, value_size)
    shape = (batch, queries, steps) if each_query else (batch, steps)
    mask = torch.rand(shape, generator=draw) < 0.6
    full = mask if each_query else mask[:, None].expand(-1, queries, -1)
    ours = gradients(attention, lambda *x: attention(*x, mask), inputs, weight)
    theirs = gradients(attention, lambda *x: slow(kind, attention, *x, full), inputs, weight)
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, expected, **EXACT)


@pytest.mark.parametrize("scaled", [True, False])
def test_dot_product_equals_torch(scaled):
    torch.manual_seed(0)
    inputs = [torch.randn(3, n, 4).double().requires_grad_() for n in (2, 5, 5)]
    mask = torch.rand(3, 2, 5) < 0.7
    mask[:, :, 0] = True  # torch gives NaN for a row that may look nowhere
    context, _ = DotProductAttention(scaled)(*inputs, mask)
    scale = None if scaled else 1.0
    expected = F.scaled_dot_product_attention(*inputs, attn_mask=mask, scale=scale)
    torch.testing.assert_close(context, expected, **EXACT)
    weight = torch.randn_like(context)
    ours = torch.autograd.grad((context * weight).sum(), inputs)
    theirs = torch.autograd.grad((expected * weight).sum(), inputs)
    torch.testing.assert_close(ours, theirs, **EXACT)


def test_additive_and_dot_product_equal_those_of_d2l():
    d2l = import_d2l()
    torch.manual_seed(0)
    query, keys, values = torch.randn(3, 2, 4), torch.randn(3, 5, 6), torch.randn(3, 5, 7)
    lengths = torch.tensor([5, 2, 3])
    mask = torch.arange(5) < lengths[:, None]
    theirs = d2l.AdditiveAttention(6, 4, 8, dropout=0.0)
    ours = AdditiveAttention(4, 6, 8)
    ours.weight_query.load_state_dict(theirs.W_q.state_dict())
    ours.weight_key.load_state_dict(theirs.W_k.state_dict())
    ours.weight_score.load_state_dict(theirs.w_v.state_dict())
    context, weights = ours(query, keys, values, mask)
    torch.testing.assert_close(context, theirs(query, keys, values, lengths))
    torch.testing.assert_close(weights, theirs.attention_weights)
    theirs = d2l.DotProductAttention(dropout=0.0)
    context, _ = DotProductAttention()(query, keys[..., :4], values, mask)
    torch.testing.assert_close(context, theirs(query, keys[..., :4], values, lengths))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_comes_from_where_may_not_be_looked(kind):
    """NaN and infinity in masked steps and idle queries reach no output and no gradient."""
    attention = make(kind, 4, 4)
    torch.manual_seed(0)
    inputs = [torch.randn(2, n, 4).double() for n in (3, 5, 5)]
    mask = (torch.arange(5) < torch.tensor([5, 2])[:, None])[:, None].repeat(1, 3, 1)
    mask[1, 2] = False  # this query may look nowhere
    weight = torch.randn(2, 3, 4).double()
    clean = gradients(attention, lambda *x: attention(*x, mask), inputs, weight)
    query, keys, values = (tensor.clone() for tensor in inputs)
    keys[1, 2:], values[1, 2:], query[1, 2] = torch.nan, torch.inf, torch.nan
    spoilt = gradients(attention, lambda *x: attention(*x, mask), [query, keys, values], weight)
    for before, after in zip(clean, spoilt, strict=True):
        assert torch.equal(before, after)
    assert (clean[0][1, 2] == 0).all()
    assert (clean[1][1, 2] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_where_it_looks_and_what_it_gives_depend_on_what_is_there(kind):
    """A decoder whose weights come from its own state alone looks nowhere at all."""
    attention = make(kind, 4, 4)
    torch.manual_seed(0)
    query, keys, values = (torch.randn(2, n, 4).double() for n in (3, 5, 5))
    context, weights = attention(query, keys, values)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 3).double())
    other = keys.clone()
    other[:, 0] += 1
    assert not torch.isclose(attention(query, other, values)[1], weights).any()
    assert not torch.isclose(attention(query, keys, values + 1)[0], context).any()
    assert not torch.isclose(attention(query + 1, keys, values)[1], weights).all()
    order = torch.tensor([3, 0, 4, 1, 2])  # it has no idea of place: what moves is looked at there
    moved, places = attention(query, keys[:, order], values[:, order])
    torch.testing.assert_close(moved, context, **EXACT)
    torch.testing.assert_close(places, weights[:, :, order], **EXACT)


def test_masked_softmax_without_a_mask_is_softmax():
    scores = torch.randn(2, 3, 4)
    assert torch.equal(masked_softmax(scores), scores.softmax(-1))


def test_a_fully_masked_row_has_zeros_and_a_gradient_of_zeros():
    scores = torch.tensor([[1.0, 2.0], [torch.nan, torch.inf]], requires_grad=True)
    weights = masked_softmax(scores, torch.tensor([[True, True], [False, False]]))
    assert weights[1].tolist() == [0, 0]
    with torch.autograd.set_detect_anomaly(True):  # NaN is an error even where it is thrown away
        (weights * torch.tensor([1.0, 3.0])).sum().backward()
    assert scores.grad[1].tolist() == [0, 0]
    assert scores.grad[0].abs().min() > 0


def test_bad_input_is_named():
    attention = GeneralAttention(4, 6)
    query, keys, values = torch.zeros(2, 3, 4), torch.zeros(2, 5, 6), torch.zeros(2, 5, 7)
    with pytest.raises(ValueError, match=r"query has shape \(2, 4\); expected \(batch, queries, q"):
        attention(query[:, 0], keys, values)
    with pytest.raises(ValueError, match=r"values .*\(2, 4, 7\) came; .* a value for each"):
        attention(query, keys, values[:, :4])
    with pytest.raises(ValueError, match="expected one batch size"):
        attention(query[:1], keys, values)
    with pytest.raises(TypeError, match=r"mask is torch.int64; expected bool"):
        attention(query, keys, values, torch.ones(2, 5).long())
    with pytest.raises(ValueError, match=r"mask has shape \(2, 3, 4\); expected .* = \(2, 3, 5\)"):
        attention(query, keys, values, torch.ones(2, 4).bool())
    with pytest.raises(ValueError, match=r"mask has shape \(1, 3, 5\)"):
        attention(query, keys, values, torch.ones(1, 5).bool())
    with pytest.raises(ValueError, match="queries of 4 numbers came with keys of 6"):
        DotProductAttention()(query, keys, values)
    with pytest.raises(TypeError, match=r"mask is torch.float32"):
        masked_softmax(torch.zeros(2, 3), torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"mask has shape \(2, 2\); expected one that broadcasts"):
        masked_softmax(torch.zeros(2, 3), torch.ones(2, 2).bool())
    with pytest.raises(ValueError, match="key_size is 0"):
        GeneralAttention(4, 0)


# --- Every step at every step --------------------------------------------------------------------


@pytest.mark.parametrize("causal", [False, True])
def test_self_attention_equals_the_library(causal):
    torch.manual_seed(0)
    layer = SelfAttention(3, 4, causal).double()
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    query, keys, values = (x @ part.T for part in layer.projection.weight.chunk(3))
    expected = F.scaled_dot_product_attention(query, keys, values, is_causal=causal)
    outputs, weights = layer(x)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(2, 6, dtype=torch.float64))
    leaves = [layer.projection.weight]
    ours, theirs = (torch.autograd.grad(o.square().sum(), leaves) for o in (outputs, expected))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("causal", [False, True])
def test_self_attention_does_not_see_the_padding(causal):
    torch.manual_seed(0)
    layer = SelfAttention(3, 4, causal).double()
    x, lengths = torch.randn(3, 6, 3, dtype=torch.float64), torch.tensor([6, 1, 4])
    beyond = torch.arange(6) >= lengths[:, None]
    x = x.masked_fill(beyond[:, :, None], torch.nan).requires_grad_()
    outputs, weights = layer(x, lengths)
    gradient, of_weights = torch.autograd.grad(outputs.square().sum(), [x, layer.projection.weight])
    assert (outputs[beyond] == 0).all()
    assert (weights[beyond] == 0).all()
    assert (gradient[beyond] == 0).all()
    assert of_weights.isfinite().all()
    for row, length in enumerate(lengths):
        alone, _ = layer(x[row : row + 1, :length])
        torch.testing.assert_close(outputs[row : row + 1, :length], alone)


def test_without_positions_the_order_does_not_matter():
    torch.manual_seed(0)
    layer, x, order = SelfAttention(4, 5), torch.randn(1, 7, 4), torch.randperm(7)
    torch.testing.assert_close(layer(x)[0][:, order], layer(x[:, order])[0])
    placed = x + sinusoidal_positions(7, 4)
    moved = x[:, order] + sinusoidal_positions(7, 4)
    assert not torch.allclose(layer(placed)[0][:, order], layer(moved)[0], atol=1e-2)


def test_a_causal_step_sees_nothing_ahead():
    torch.manual_seed(0)
    layer, x = SelfAttention(4, 5, causal=True), torch.randn(1, 7, 4)
    other = x.clone()
    other[:, 4:] += 1
    torch.testing.assert_close(layer(x)[0][:, :4], layer(other)[0][:, :4])


def test_positions():
    places = sinusoidal_positions(50, 8)
    assert places.shape == (50, 8)
    assert torch.cdist(places, places).fill_diagonal_(1).min() > 0.1
    expected = [math.sin(7 / 10_000 ** (2 / 8)), math.cos(7 / 10_000 ** (2 / 8))]
    torch.testing.assert_close(places[7, 2:4], torch.tensor(expected))
    with pytest.raises(ValueError, match="size is 3; expected an even number"):
        sinusoidal_positions(5, 3)
