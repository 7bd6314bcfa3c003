"""Chapter 14: answers written otherwise than in the list get what their values deserve."""

import math

import pytest
import torch
import torch.nn.functional as F
from variants import SEEDS, assert_passes, assert_told

from unrolled import attention
from unrolled.exercises import catalogue
from unrolled.exercises.ch14 import additive_attention, attend, attention_step, masked_softmax
from unrolled.layers import RNN
from unrolled.models import AttentionDecoder, Encoder, Seq2Seq

# --- Right answers --------------------------------------------------------------------------------


def softmax_of_the_library(scores, mask):
    return attention.masked_softmax(scores, mask)


def softmax_filled_and_replaced(scores, mask):
    # `masked_fill` hands no gradient to what it has filled, so no NaN gets through.
    return scores.masked_fill(~mask, -torch.inf).softmax(-1).nan_to_num()


def softmax_with_a_billion_and_cut(scores, mask):
    return torch.where(mask, scores, torch.full_like(scores, -1e9)).softmax(-1) * mask


def softmax_of_its_own(scores, mask):
    largest = scores.masked_fill(~mask, -torch.inf).amax(-1, keepdim=True)
    largest = torch.where(largest.isinf(), torch.zeros_like(largest), largest).detach()
    moved = (scores - largest).masked_fill(~mask, 0)
    exps = moved.exp() * mask
    return exps / exps.sum(-1, keepdim=True).clamp(min=0.5)


def softmax_row_by_row(scores, mask):
    rows = []
    for row, where in zip(scores.flatten(0, 1), mask.flatten(0, 1), strict=True):
        weights = torch.zeros_like(row)
        places = where.nonzero()[:, 0]
        rows.append(weights.index_put((places,), row[places].softmax(0)))
    return torch.stack(rows).view_as(scores)


def additive_pair_by_pair(query, keys, values, mask, weight_query, weight_key, weight_score):
    contexts, weights = [], []
    for row in range(len(query)):
        scores = [
            [weight_score @ torch.tanh(weight_query @ q + weight_key @ k) for k in keys[row]]
            for q in query[row]
        ]
        scores = torch.stack([torch.stack(line) for line in scores])
        weights.append(torch.where(mask[row], scores, -math.inf).softmax(1))
        contexts.append(weights[-1] @ values[row])
    return torch.stack(contexts), torch.stack(weights)


def additive_of_the_library(query, keys, values, mask, weight_query, weight_key, weight_score):
    hidden = len(weight_score)
    ours = attention.AdditiveAttention(query.shape[2], keys.shape[2], hidden).double()
    parameters = {
        "weight_query.weight": weight_query,
        "weight_key.weight": weight_key,
        "weight_score.weight": weight_score[None],
    }
    return torch.func.functional_call(ours, parameters, (query, keys, values, mask))


def step_with_einsum(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    scores = torch.einsum("bh,hk,bsk->bs", h, weight_score, keys)
    weights = attention.masked_softmax(scores, mask)
    context = torch.einsum("bs,bsk->bk", weights, keys)
    whole = torch.cat([x_t, context, h], dim=1)
    new = torch.tanh(F.linear(whole, torch.cat([weight_ih, weight_hh], dim=1), bias))
    return new, context, weights


def step_with_the_query_moved(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    query = h @ weight_score  # (batch, key)
    scores = (keys * query[:, None]).sum(2) + torch.where(mask, 0.0, -torch.inf)
    weights = scores.softmax(1)
    context = (weights[:, :, None] * keys).sum(1)
    products = F.linear(x_t, weight_ih[:, : x_t.shape[1]], bias)
    products = products + context @ weight_ih[:, x_t.shape[1] :].T
    return (products + h @ weight_hh.T).tanh(), context, weights


def attend_by_torch(query, keys, values, lengths):
    mask = (torch.arange(keys.shape[1]) < lengths[:, None])[:, None]
    mask = mask.expand(-1, query.shape[1], -1)
    context = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
    scores = query @ keys.mT / math.sqrt(keys.shape[2])
    return context, scores.masked_fill(~mask, -torch.inf).softmax(2)


def attend_row_by_row(query, keys, values, lengths):
    contexts, weights = [], []
    for q, k, v, n in zip(query, keys, values, lengths.tolist(), strict=True):
        alpha = (q @ k[:n].T / k.shape[1] ** 0.5).softmax(1)
        contexts.append(alpha @ v[:n])
        weights.append(F.pad(alpha, (0, len(k) - n)))
    return torch.stack(contexts), torch.stack(weights)


def attend_with_scores_of_zero_divided_again(query, keys, values, lengths):
    # The same number in exact arithmetic: zeros are not so far from true scores.
    mask = (torch.arange(keys.shape[1]) < lengths[:, None])[:, None]
    scores = query @ keys.transpose(1, 2) / keys.shape[2] ** 0.5
    weights = (scores * mask).softmax(dim=2) * mask
    weights = weights / weights.sum(dim=2, keepdim=True)
    return weights @ values, weights


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("14.1", softmax_of_the_library),
        ("14.1", softmax_filled_and_replaced),
        ("14.1", softmax_with_a_billion_and_cut),
        ("14.1", softmax_of_its_own),
        ("14.1", softmax_row_by_row),
        ("14.2", additive_pair_by_pair),
        ("14.2", additive_of_the_library),
        ("14.3", step_with_einsum),
        ("14.3", step_with_the_query_moved),
        ("14.4", attend_by_torch),
        ("14.4", attend_row_by_row),
        ("14.4", attend_with_scores_of_zero_divided_again),
    ],
)
def test_a_right_answer_written_otherwise_passes(key, answer, seeds):
    assert_passes(key, answer, seeds)


# --- Wrong answers --------------------------------------------------------------------------------


def softmax_uniform_where_nowhere(scores, mask):
    weights = masked_softmax(scores, mask)
    nowhere = ~mask.any(2, keepdim=True)
    return torch.where(nowhere, torch.full_like(weights, 1 / weights.shape[2]), weights)


def softmax_in_float32(scores, mask):
    return masked_softmax(scores.float(), mask)


def softmax_of_the_logarithm(scores, mask):
    return masked_softmax(scores, mask).clamp(min=1e-30).log()


def additive_with_a_sigmoid(query, keys, values, mask, weight_query, weight_key, weight_score):
    sums = (query @ weight_query.T)[:, :, None] + (keys @ weight_key.T)[:, None]
    scores = torch.sigmoid(sums) @ weight_score
    weights = attention.masked_softmax(scores, mask[:, None])
    return weights @ values, weights


def additive_without_the_axis(query, keys, values, mask, weight_query, weight_key, weight_score):
    context, weights = additive_attention(
        query, keys, values, mask, weight_query, weight_key, weight_score
    )
    return context, weights.transpose(1, 2)


def additive_summed(query, keys, values, mask, weight_query, weight_key, weight_score):
    context, weights = additive_attention(
        query, keys, values, mask, weight_query, weight_key, weight_score
    )
    return context * mask.sum(1)[:, None, None], weights


def step_with_weights_as_a_row(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    h, context, weights = attention_step(
        x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias
    )
    return h, context, weights[:, None]


def step_with_a_sigmoid(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    _, context, weights = attention_step(
        x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias
    )
    x = torch.cat([x_t, context], dim=1)
    return torch.sigmoid(x @ weight_ih.T + h @ weight_hh.T + bias), context, weights


def step_that_looks_at_the_first_source(
    x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias
):
    keys = keys[:1].expand_as(keys)
    return attention_step(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias)


def attend_with_a_low_number(query, keys, values, lengths):
    mask = (torch.arange(keys.shape[1]) < lengths[:, None])[:, None]
    scores = query @ keys.mT / keys.shape[2] ** 0.5
    weights = scores.masked_fill(~mask, -1.0).softmax(2)
    return weights @ values, weights


def attend_with_a_small_number_in_the_sum(query, keys, values, lengths):
    mask = (torch.arange(keys.shape[1]) < lengths[:, None])[:, None]
    exps = (query @ keys.mT / keys.shape[2] ** 0.5).clamp(max=50).exp() * mask
    weights = exps / (exps.sum(2, keepdim=True) + 1.0)
    return weights @ values, weights


def attend_and_right_weights_alone(query, keys, values, lengths):
    _, weights = attend(query, keys, values, lengths)
    scores = query @ keys.mT / keys.shape[2] ** 0.5
    return scores.softmax(2) @ values, weights


def attend_with_the_mean(query, keys, values, lengths):
    mask = (torch.arange(keys.shape[1]) < lengths[:, None])[:, None]
    weights = (mask / lengths[:, None, None]).to(values.dtype)
    weights = weights.expand(-1, query.shape[1], -1)
    return weights @ values, weights


def attend_with_the_given_code_in_other_words(query, keys, values, lengths):
    mask = keys.abs().sum(-1).gt(0).unsqueeze(1).to(keys.dtype)
    scores = query.matmul(keys.mT).div(keys.shape[-1] ** 0.5) * mask
    weights = F.softmax(scores, -1) * mask
    return weights.matmul(values), weights


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "expected"),
    [
        ("14.1", softmax_uniform_where_nowhere, "minus a billion"),
        ("14.1", softmax_in_float32, "float32"),
        ("14.1", softmax_of_the_logarithm, "other values"),
        ("14.2", additive_with_a_sigmoid, "Your weights have the right shape, but other values"),
        ("14.2", additive_without_the_axis, "yours look like (batch, steps, queries)"),
        ("14.2", additive_summed, "Your context"),
        ("14.3", step_with_weights_as_a_row, "an axis of size 1 too many"),
        ("14.3", step_with_a_sigmoid, "has a sigmoid where the tanh should be"),
        ("14.3", step_that_looks_at_the_first_source, "It is right with a batch of one"),
        ("14.4", attend_with_a_low_number, "weight in the padding is up to"),
        ("14.4", attend_with_a_small_number_in_the_sum, "sum of the weights is"),
        ("14.4", attend_and_right_weights_alone, (1, "difference in your context")),
        ("14.4", attend_with_the_mean, "Your weights"),
        ("14.4", attend_with_the_given_code_in_other_words, "nothing mended"),
    ],
)
def test_a_wrong_answer_is_told_what_is_wrong(key, answer, expected, seeds):
    assert_told(key, answer, expected, seeds)


# --- What the statements say ----------------------------------------------------------------------


def test_the_leaking_code_is_right_on_full_rows_and_wrong_on_short_ones():
    torch.manual_seed(0)
    given = catalogue()["14.4"].start
    query, keys, values = torch.randn(2, 3, 4), torch.randn(2, 6, 4), torch.randn(2, 6, 5)
    full, short = torch.tensor([6, 6]), torch.tensor([6, 4])
    for ours, expected in zip(
        given(query, keys, values, full), attend(query, keys, values, full), strict=True
    ):
        torch.testing.assert_close(ours, expected)
    padded = keys.clone()
    padded[1, 4:] = 0
    assert given(query, padded, values, short)[1][1, :, 4:].eq(0).all()
    assert given(query, padded, values, short)[1][1].sum(1).lt(0.99).all()
    assert given(query, keys, values, short)[1][1, :, 4:].gt(0.01).any()


def test_our_own_decoder_does_what_the_exercise_asks_for():
    torch.manual_seed(0)
    encoder = Encoder(9, layer=RNN(3, 4, bidirectional=True))
    decoder = AttentionDecoder(
        7,
        encoder=encoder,
        layer=RNN(5 + 8, 6),
        embedding_size=5,
        attention=attention.GeneralAttention(6, 8),
        look="before",
    )
    model = Seq2Seq(encoder, decoder)
    source, lengths = torch.tensor([[3, 4, 8, 2], [5, 2, 0, 0]]), torch.tensor([4, 2])
    target_in = torch.tensor([[0, 3, 5], [0, 4, 1]])
    encoded, state = encoder(source, lengths), model.start(source, lengths)
    (h,), cell = state.layer, decoder.layer.layers[0].cell
    rows = []
    for token in target_in.T:
        h, _, weights = attention_step(
            decoder.embedding(token), h, encoded.outputs, encoded.mask,
            decoder.attention.weight.weight, cell.weight_ih, cell.weight_hh, cell.bias,
        )  # fmt: skip
        rows.append(weights)
    expected = model.alignment(source, lengths, target_in)
    torch.testing.assert_close(torch.stack(rows, dim=1), expected)


def test_the_numbers_of_exercise_14_5():
    for scores, expected in [([0.0] * 4, -0.1875), ([math.log(97), 0, 0, 0], -0.0099)]:
        e = torch.tensor(scores, requires_grad=True)
        values = torch.tensor([0.0, 0.0, 0.0, 1.0])
        (gradient,) = torch.autograd.grad(-(e.softmax(0) @ values), e)
        assert gradient[3].item() == pytest.approx(expected, rel=1e-3)
        assert gradient.sum().item() == pytest.approx(0, abs=1e-6)


def test_the_numbers_of_exercise_14_6():
    torch.manual_seed(0)
    q, k, other = (torch.randn(20_000, 64) for _ in range(3))
    scores, others = (q * k).sum(1), (q * other).sum(1)
    assert scores.var().item() == pytest.approx(64, rel=0.06)
    assert (scores - others).var().item() == pytest.approx(128, rel=0.06)
    assert math.exp(math.sqrt(128)) == pytest.approx(82_000, rel=0.01)
    assert math.exp(math.sqrt(2)) == pytest.approx(4.1, rel=0.01)
    slopes = [r / (1 + r) ** 2 for r in (math.exp(math.sqrt(2)), math.exp(math.sqrt(128)))]
    assert slopes[0] == pytest.approx(0.158, abs=0.001)
    assert slopes[0] / slopes[1] == pytest.approx(13_000, rel=0.02)
    weight = (2 * torch.rand(20_000, 8, 8) - 1) / math.sqrt(8)
    drawn = (q[:, None, :8] @ weight @ k[:, :8, None]).flatten()
    assert drawn.var().item() == pytest.approx(8 / 3, rel=0.06)
