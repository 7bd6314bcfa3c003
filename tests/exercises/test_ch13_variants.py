"""Chapter 13: answers written otherwise than in the list get what their values deserve."""

import heapq
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence
from variants import SEEDS, assert_passes, assert_told

from unrolled import decoding
from unrolled.data import PairBatch, PairBatches, TextPairs, Tokenizer
from unrolled.exercises.ch13 import beam_search, decoder_step, masked_loss, pair_batch
from unrolled.layers import RNN
from unrolled.models import Decoder, Encoder, Seq2Seq, seq2seq_loss

# --- Right answers --------------------------------------------------------------------------------


def pairs_as_the_library(sources, targets, bos, pad):
    target_out = pad_sequence(targets, batch_first=True, padding_value=pad)
    target_in = target_out.roll(1, dims=1)
    target_in[:, 0] = bos
    lengths = torch.tensor([len(target) for target in targets])
    return (
        pad_sequence(sources, batch_first=True, padding_value=pad),
        torch.tensor([len(source) for source in sources]),
        target_in,
        target_out,
        torch.arange(target_out.shape[1]) < lengths[:, None],
    )


def pairs_in_lists(sources, targets, bos, pad):
    wide, long = max(map(len, sources)), max(map(len, targets))
    sources, targets = ([row.tolist() for row in rows] for rows in (sources, targets))
    return (
        torch.tensor([row + (wide - len(row)) * [pad] for row in sources]),
        torch.tensor(list(map(len, sources))),
        torch.tensor([[bos, *row[:-1]] + (long - len(row)) * [pad] for row in targets]),
        torch.tensor([row + (long - len(row)) * [pad] for row in targets]),
        torch.tensor([[t < len(row) for t in range(long)] for row in targets]),
    )


def pairs_with_the_end_read(sources, targets, bos, pad):
    rows = [torch.tensor([bos, *target]) for target in targets]
    rows = pad_sequence(rows, batch_first=True, padding_value=pad)
    source, lengths, _, target_out, mask = pair_batch(sources, targets, bos, pad)
    return source, lengths, rows[:, :-1], target_out, mask


def step_with_two_products(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    columns = embedding.shape[1]
    of_token = F.linear(F.embedding(token, embedding), weight_ih[:, :columns])
    of_context = F.linear(context, weight_ih[:, columns:], bias)
    new = torch.tanh(of_token + of_context + F.linear(h, weight_hh))
    return F.linear(new, weight_out, bias_out), new


def step_with_one_hot(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    x = F.one_hot(token, len(embedding)).to(h.dtype) @ embedding
    whole = torch.cat([x, context, h], dim=1)
    new = torch.tanh(whole @ torch.cat([weight_ih, weight_hh], dim=1).T + bias)
    return new @ weight_out.T + bias_out, new


def search_with_topk(log_probs_of, bos, eos, beam_size, max_steps):
    beams = [[bos]]
    scores = torch.zeros(1, dtype=torch.float64)
    for _ in range(max_steps):
        rows = []
        for prefix in beams:
            if prefix[-1] == eos:
                row = torch.full_like(log_probs_of([bos]), -torch.inf)
                row[eos] = 0
            else:
                row = log_probs_of(torch.tensor(prefix))
            rows.append(row)
        totals = scores[:, None] + torch.stack(rows)
        scores, places = totals.flatten().topk(min(beam_size, totals.numel()))
        parents, chosen = places // totals.shape[1], places % totals.shape[1]
        beams = [
            beams[p] if beams[p][-1] == eos else [*beams[p], c]
            for p, c in zip(parents.tolist(), chosen.tolist(), strict=True)
        ]
    return torch.tensor(beams[0][1:]), scores[0]


def search_that_stops_early(log_probs_of, bos, eos, beam_size, max_steps):
    beam = [(0.0, (bos,))]
    # Scores only fall, so an ended hypothesis that stands first stays there.
    while len(beam[0][1]) <= max_steps and beam[0][1][-1] != eos:
        longest = max(len(prefix) for _, prefix in beam)
        if longest > max_steps:
            break
        candidates = []
        for score, prefix in beam:
            if prefix[-1] == eos:
                candidates.append((score, prefix))
            else:
                row = log_probs_of(prefix)
                candidates += [(score + row[v].item(), (*prefix, v)) for v in range(len(row))]
        beam = heapq.nlargest(beam_size, candidates)
    return beam[0][1][1:], beam[0][0]


def loss_with_a_sum(logits, targets, lengths):
    steps = torch.arange(logits.size(1)).expand(len(logits), -1)
    mask = steps < lengths.unsqueeze(1)
    safe = targets.where(mask, torch.zeros_like(targets))
    chosen = logits.log_softmax(-1).gather(2, safe.unsqueeze(2)).squeeze(2)
    return -(chosen * mask).sum() / lengths.sum()


def loss_with_ignore_index(logits, targets, lengths):
    beyond = torch.arange(logits.size(1)) >= lengths[:, None]
    return F.cross_entropy(logits.flatten(0, 1), targets.masked_fill(beyond, -100).flatten())


def loss_row_by_row(logits, targets, lengths):
    total = sum(
        F.cross_entropy(row[:length], wanted[:length], reduction="sum")
        for row, wanted, length in zip(logits, targets, lengths.tolist(), strict=True)
    )
    return total / lengths.sum()


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("13.1", pairs_as_the_library),
        ("13.1", pairs_in_lists),
        ("13.1", pairs_with_the_end_read),
        ("13.2", step_with_two_products),
        ("13.2", step_with_one_hot),
        ("13.3", search_with_topk),
        ("13.3", search_that_stops_early),
        ("13.4", loss_with_a_sum),
        ("13.4", loss_with_ignore_index),
        ("13.4", loss_row_by_row),
    ],
)
def test_a_right_answer_written_otherwise_passes(key, answer, seeds):
    assert_passes(key, answer, seeds)


# --- Wrong answers --------------------------------------------------------------------------------


def pairs_shifted_in_the_row_of_padding(sources, targets, bos, pad):
    source, lengths, _, target_out, mask = pair_batch(sources, targets, bos, pad)
    start = torch.full((len(targets), 1), bos)
    words = target_out.masked_fill(target_out == targets[0][-1], pad)
    return source, lengths, torch.cat([start, target_out], 1)[:, :-1], words, mask


def pairs_in_a_list(sources, targets, bos, pad):
    return list(pair_batch(sources, targets, bos, pad))


def pairs_with_lengths_in_a_list(sources, targets, bos, pad):
    source, lengths, *rest = pair_batch(sources, targets, bos, pad)
    return source, lengths.tolist(), *rest


def step_with_a_sigmoid(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    x = torch.cat([embedding[token], context], dim=1)
    h = torch.sigmoid(x @ weight_ih.T + h @ weight_hh.T + bias)
    return h @ weight_out.T + bias_out, h


def step_read_out_twice(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    logits, new = decoder_step(
        token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
    )
    return torch.tanh(logits), new


def search_best_first_token_only(log_probs_of, bos, eos, beam_size, max_steps):
    first = log_probs_of([bos]).argmax().item()
    if first == eos:
        return [eos], log_probs_of([bos])[eos].item()
    rest, score = beam_search(
        lambda prefix: log_probs_of([bos, first, *prefix[1:]]), bos, eos, beam_size, max_steps - 1
    )
    return [first, *rest], score + log_probs_of([bos])[first].item()


def search_without_bos(log_probs_of, bos, eos, beam_size, max_steps):
    return beam_search(lambda prefix: log_probs_of(prefix[1:]), bos, eos, beam_size, max_steps)


def search_that_gives_text(log_probs_of, bos, eos, beam_size, max_steps):
    tokens, score = beam_search(log_probs_of, bos, eos, beam_size, max_steps)
    return " ".join(map(str, tokens)), score


def search_ending_at_any_time(log_probs_of, bos, eos, beam_size, max_steps):
    beam = [([bos], 0.0)]
    for _ in range(max_steps):
        candidates = [
            ([*prefix, token], score + value)
            for prefix, score in beam
            for token, value in enumerate(log_probs_of(prefix).tolist())
        ]
        beam = sorted(candidates, key=lambda c: -c[1])[:beam_size]
        if beam[0][0][-1] == eos:
            break
    return beam[0][0][1:], beam[0][1]


def loss_of_the_first_row(logits, targets, lengths):
    return masked_loss(logits[:1], targets[:1], lengths[:1])


def loss_weighted_by_the_mask(logits, targets, lengths):
    mask = (torch.arange(logits.size(1)) < lengths[:, None]).double()
    losses = F.cross_entropy(logits.flatten(0, 1), targets.clamp(0).flatten(), reduction="none")
    return (losses * mask.flatten()).mean()


def loss_in_bits(logits, targets, lengths):
    return masked_loss(logits, targets, lengths) / torch.tensor(2.0).log()


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "expected"),
    [
        ("13.1", pairs_shifted_in_the_row_of_padding, (1, "`target_out`")),
        ("13.1", pairs_in_a_list, "a list of 5"),
        ("13.1", pairs_with_lengths_in_a_list, "a list of"),
        ("13.2", step_with_a_sigmoid, "has a sigmoid where the tanh should be"),
        ("13.2", step_read_out_twice, "went through tanh once too often"),
        ("13.3", search_best_first_token_only, "likeliest first token only"),
        ("13.3", search_without_bos, "starts with bos"),
        ("13.3", search_that_gives_text, "a text and a plain number"),
        ("13.3", search_ending_at_any_time, "ended ones go on"),
        ("13.4", loss_of_the_first_row, "It is right with a batch of one"),
        ("13.4", loss_weighted_by_the_mask, "divided by all places"),
        ("13.4", loss_in_bits, "a constant factor of 1.44"),
    ],
)
def test_a_wrong_answer_is_told_what_is_wrong(key, answer, expected, seeds):
    assert_told(key, answer, expected, seeds)


# --- What the statements say ----------------------------------------------------------------------


def test_our_batches_are_what_the_exercise_asks_for():
    pairs = TextPairs(["one", "seventy three", "forty"], ["eins", "dreiundsiebzig", "vierzig"])
    words, letters = Tokenizer(pairs.source, by="words"), Tokenizer(pairs.target)
    (batch,) = PairBatches(pairs, words, letters, batch=3, shuffle=False)
    order = [pairs.target.index(letters.text(row)) for row in batch.target_out]
    sources, targets = (
        [tokens[row] for row in order]
        for tokens in (words.encode(pairs.source), letters.encode(pairs.target))
    )
    _, lengths, target_in, target_out, mask = pair_batch(
        sources, targets, letters.bos, pad=letters.eos
    )
    assert torch.equal(batch.source_lengths, lengths)
    assert torch.equal(batch.target_in[batch.mask], target_in[mask])
    assert torch.equal(batch.target_out, target_out)
    assert torch.equal(batch.mask, mask)


def test_our_own_decoder_does_what_the_exercises_ask_for():
    torch.manual_seed(0)
    encoder = Encoder(9, layer=RNN(3, 4))
    decoder = Decoder(7, encoder=encoder, layer=RNN(5 + 4, 6), embedding_size=5, use="every step")
    model = Seq2Seq(encoder, decoder)
    sources = [torch.tensor([3, 4, 8, 2]), torch.tensor([5, 2])]
    targets = [torch.tensor([3, 1]), torch.tensor([5, 4, 3, 1])]
    source, lengths, target_in, target_out, mask = pair_batch(sources, targets, bos=0, pad=1)
    state = model.start(source, lengths)
    cell = decoder.layer.layers[0].cell
    (h,), logits = state.layer, []
    for token in target_in.T:
        step, h = decoder_step(
            token, h, state.memory, decoder.embedding.weight, cell.weight_ih, cell.weight_hh,
            cell.bias, decoder.read_out.weight, decoder.read_out.bias,
        )  # fmt: skip
        logits.append(step)
    logits = torch.stack(logits, dim=1)
    torch.testing.assert_close(logits, model(source, lengths, target_in))
    batch = PairBatch(source, lengths, target_in, target_out, mask)
    loss, _ = seq2seq_loss(model, batch, None)
    torch.testing.assert_close(masked_loss(logits, target_out, mask.sum(dim=1)), loss)


@pytest.mark.parametrize("beam_size", [1, 3, 200])
def test_our_own_search_finds_what_the_exercise_asks_for(beam_size):
    generator = torch.Generator().manual_seed(beam_size)
    after = torch.randn(5, 5, generator=generator).mul(2).log_softmax(dim=1)
    tokens, score = beam_search(lambda prefix: after[prefix[-1]], 0, 1, beam_size, 4)
    beams = decoding.beam_search(
        lambda tokens, state: (after[tokens], state),
        None,
        bos=torch.tensor([0]),
        eos=1,
        max_steps=4,
        beam_size=beam_size,
    )
    best = beams.tokens[0, 0].tolist()
    assert best[: len(tokens)] == tokens
    assert set(best[len(tokens) :]) <= {1}
    assert score == pytest.approx(beams.scores[0, 0].item(), abs=1e-5)


def test_a_beam_as_wide_as_the_tree_finds_the_best():
    generator = torch.Generator().manual_seed(3)
    after = torch.randn(4, 4, generator=generator, dtype=torch.float64).log_softmax(dim=1)

    def cut(sequence):
        return sequence[: sequence.index(1) + 1] if 1 in sequence else sequence

    def score_of(sequence):
        return sum(after[a, b].item() for a, b in zip((0, *sequence), sequence, strict=False))

    best = max(map(cut, product(range(4), repeat=3)), key=score_of)
    tokens, score = beam_search(lambda prefix: after[prefix[-1]], 0, 1, 100, 3)
    assert tuple(tokens) == best
    assert score == pytest.approx(score_of(best))


# The trees of exercise 13.5: what follows is 0, 1, 2, ... with these probabilities.
GREEDY_MISSES = {(): [0.6, 0.4], (0,): [0.4, 0.3, 0.3], (1,): [0.9, 0.1]}
WIDER_IS_WORSE = {
    (): [0.4, 0.35, 0.25],
    (0,): [0.3, 0.25, 0.25, 0.2],
    (1,): [0.5, 0.5],
    (2,): [1.0],
    (0, 0): [1.0],
}


@pytest.mark.parametrize(
    ("tree", "steps", "beam_size", "probability"),
    [
        (GREEDY_MISSES, 2, 1, 0.24),
        (GREEDY_MISSES, 2, 2, 0.36),
        (WIDER_IS_WORSE, 3, 1, 0.12),
        (WIDER_IS_WORSE, 3, 2, 0.0175),
        (WIDER_IS_WORSE, 3, 3, 0.025),
        (WIDER_IS_WORSE, 3, 4, 0.12),
        (WIDER_IS_WORSE, 3, 1000, 0.12),
    ],
)
def test_the_trees_of_exercise_13_5(tree, steps, beam_size, probability):
    def log_probs_of(prefix):
        likely = tree.get(tuple(prefix[1:]), 10 * [0.1])
        return torch.tensor(likely + (12 - len(likely)) * [0.0], dtype=torch.float64).log()

    _, score = beam_search(log_probs_of, 10, 11, beam_size, steps)
    assert torch.tensor(score).exp().item() == pytest.approx(probability, rel=1e-5)
