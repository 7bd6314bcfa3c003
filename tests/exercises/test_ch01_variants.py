"""Chapter 1: answers written otherwise than in the list get what their values deserve."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from variants import SEEDS, assert_passes, assert_told

from unrolled.exercises import catalogue

# --- Right answers --------------------------------------------------------------------------------


def windows_by_loop(tokens, k):
    windows, targets = [], []
    for i in range(len(tokens) - k):
        windows.append(tokens[i : i + k])
        targets.append(tokens[i + k])
    return torch.stack(windows), torch.stack(targets)


def windows_by_index(tokens, k):
    start = torch.arange(len(tokens) - k)
    return tokens[start[:, None] + torch.arange(k)], tokens[start + k]


def windows_side_by_side(tokens, k):
    count = len(tokens) - k
    return torch.stack([tokens[i : i + count] for i in range(k)], dim=1), tokens[k:]


def windows_with_their_targets(tokens, k):
    longer = tokens.unfold(0, k + 1, 1)
    return longer[:, :-1], longer[:, -1]


def windows_of_lists(tokens, k):
    numbers = tokens.tolist()
    windows = [numbers[i : i + k] for i in range(len(numbers) - k)]
    return torch.tensor(windows), torch.tensor(numbers[k:])


def bigram_by_bincount(tokens, vocab_size, alpha):
    counts = torch.bincount(tokens[:-1] * vocab_size + tokens[1:], minlength=vocab_size**2)
    counts = counts.view(vocab_size, vocab_size) + alpha
    return counts / counts.sum(1, keepdim=True)


def bigram_accumulated(tokens, vocab_size, alpha):
    counts = torch.zeros(vocab_size, vocab_size, dtype=torch.float64)
    one = torch.ones((), dtype=torch.float64)
    counts.index_put_((tokens[:-1], tokens[1:]), one, accumulate=True)
    return (counts + alpha) / (counts.sum(1, keepdim=True) + alpha * vocab_size)


def bigram_by_counter(tokens, vocab_size, alpha):
    pairs = Counter(pairwise(tokens.tolist()))
    before = Counter(tokens[:-1].tolist())
    return torch.tensor(
        [
            [(pairs[a, b] + alpha) / (before[a] + alpha * vocab_size) for b in range(vocab_size)]
            for a in range(vocab_size)
        ]
    )


def bigram_by_one_hot(tokens, vocab_size, alpha):
    one_hot = F.one_hot(tokens, vocab_size).float()
    counts = torch.einsum("ta,tb->ab", one_hot[:-1], one_hot[1:]) + alpha
    return F.normalize(counts, p=1, dim=1)


def bigram_by_numpy(tokens, vocab_size, alpha):
    counts = np.full((vocab_size, vocab_size), alpha)
    np.add.at(counts, (tokens[:-1].numpy(), tokens[1:].numpy()), 1)
    return torch.from_numpy(counts / counts.sum(1, keepdims=True))


def chain_by_loop(tokens, first, table):
    total = first[tokens[0]].log()
    for before, after in pairwise(tokens):
        total = total + table[before, after].log()
    return total


def chain_by_gather(tokens, first, table):
    rows = table[tokens[:-1]].log()
    return first.log()[tokens[0]] + rows.gather(1, tokens[1:, None]).sum()


def chain_joined(tokens, first, table):
    return torch.cat([first[tokens[:1]], table[tokens[:-1], tokens[1:]]]).log().sum()


def chain_by_nll(tokens, first, table):
    loss = F.nll_loss(table.log()[tokens[:-1]], tokens[1:], reduction="sum")
    return first.log()[tokens[0]] - loss


def chain_in_bits(tokens, first, table):
    bits = first.log2()[tokens[0]] + table.log2()[tokens[:-1], tokens[1:]].sum()
    return bits * math.log(2)


def perplexity_flattened(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()).exp()


def perplexity_transposed(logits, targets):
    return torch.exp(nn.CrossEntropyLoss()(logits.permute(0, 2, 1), targets))


def perplexity_by_logsumexp(logits, targets):
    picked = logits.gather(2, targets[..., None]).squeeze(2)
    return (logits.logsumexp(2) - picked).mean().exp()


def perplexity_by_one_hot(logits, targets):
    one_hot = F.one_hot(targets, logits.shape[2])
    return torch.exp(-(one_hot * logits.log_softmax(-1)).sum(-1).mean())


def perplexity_by_loops(logits, targets):
    total, count = 0.0, 0
    for rows, row_targets in zip(logits, targets, strict=True):
        for scores, target in zip(rows, row_targets, strict=True):
            total = total - torch.log_softmax(scores, 0)[target]
            count += 1
    return torch.exp(total / count)


def perplexity_from_bits(logits, targets):
    return 2 ** (F.cross_entropy(logits.flatten(0, 1), targets.flatten()) / math.log(2))


def perplexity_by_nll(logits, targets):
    return torch.exp(F.nll_loss(F.log_softmax(logits, 2).transpose(1, 2), targets))


def perplexity_of_equal_rows(logits, targets):
    pairs = zip(logits, targets, strict=True)
    return torch.exp(torch.stack([F.cross_entropy(a, b) for a, b in pairs]).mean())


def perplexity_by_index(logits, targets):
    batch, time = targets.shape
    rows, steps = torch.arange(batch)[:, None], torch.arange(time)
    return torch.exp(-torch.log_softmax(logits, -1)[rows, steps, targets].sum() / (batch * time))


def convolution_of_torch(x, weight, bias):
    padded = F.pad(x.transpose(1, 2), (weight.shape[2] - 1, 0))
    return F.conv1d(padded, weight, bias).transpose(1, 2)


def convolution_cut(x, weight, bias):
    both_ends = F.conv1d(x.mT, weight, bias, padding=weight.shape[-1] - 1)
    return both_ends[:, :, : x.shape[1]].permute(0, 2, 1)


def convolution_by_loops(x, weight, bias):
    width, steps = weight.shape[2], []
    for t in range(x.shape[1]):
        y = bias.expand(len(x), -1)
        for place in range(width):
            step = t - (width - 1 - place)
            if step >= 0:
                y = y + x[:, step] @ weight[:, :, place].T
        steps.append(y)
    return torch.stack(steps, 1)


def convolution_of_shifted_copies(x, weight, bias):
    y = bias
    for lag in range(weight.shape[2]):
        shifted = F.pad(x, (0, 0, lag, 0))[:, : x.shape[1]]
        y = y + F.linear(shifted, weight[:, :, -1 - lag])
    return y


def convolution_by_tensordot(x, weight, bias):
    width = weight.shape[2]
    windows = F.pad(x, (0, 0, width - 1, 0)).unfold(1, width, 1)
    return torch.tensordot(windows, weight, dims=([2, 3], [1, 2])) + bias


def convolution_of_a_module(x, weight, bias):
    outputs, inputs, width = weight.shape
    module = nn.Conv1d(inputs, outputs, width, padding=width - 1, dtype=x.dtype)
    weights = {"weight": weight, "bias": bias}
    y = torch.func.functional_call(module, weights, x.transpose(1, 2))
    return y[..., : x.shape[1]].transpose(1, 2)


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("01.1", windows_by_loop),
        ("01.1", windows_by_index),
        ("01.1", windows_side_by_side),
        ("01.1", windows_with_their_targets),
        ("01.1", windows_of_lists),
        ("01.2", bigram_by_bincount),
        ("01.2", bigram_accumulated),
        ("01.2", bigram_by_counter),
        ("01.2", bigram_by_one_hot),
        ("01.2", bigram_by_numpy),
        ("01.3", chain_by_loop),
        ("01.3", chain_by_gather),
        ("01.3", chain_joined),
        ("01.3", chain_by_nll),
        ("01.3", chain_in_bits),
        ("01.4", perplexity_flattened),
        ("01.4", perplexity_transposed),
        ("01.4", perplexity_by_logsumexp),
        ("01.4", perplexity_by_one_hot),
        ("01.4", perplexity_by_loops),
        ("01.4", perplexity_from_bits),
        ("01.4", perplexity_by_nll),
        ("01.4", perplexity_of_equal_rows),
        ("01.4", perplexity_by_index),
        ("01.5", convolution_of_torch),
        ("01.5", convolution_cut),
        ("01.5", convolution_by_loops),
        ("01.5", convolution_of_shifted_copies),
        ("01.5", convolution_by_tensordot),
        ("01.5", convolution_of_a_module),
    ],
)
def test_right_answers_written_otherwise_pass(key, answer, seeds):
    assert_passes(key, answer, seeds)


# --- Wrong answers that are on the list, written otherwise ----------------------------------------


def windows_that_share_nothing(tokens, k):
    count = (len(tokens) - 1) // k
    windows = torch.stack([tokens[i * k : i * k + k] for i in range(count)])
    return windows, torch.stack([tokens[i * k + k] for i in range(count)])


def windows_one_too_many(tokens, k):
    windows = torch.stack([tokens[i : i + k] for i in range(len(tokens) - k + 1)])
    return windows, tokens[k:]


def windows_past_the_end(tokens, k):
    windows, targets = [], []
    for i in range(len(tokens)):
        windows.append(tokens[i : i + k])
        targets.append(tokens[i + k])
    return torch.stack(windows), torch.stack(targets)


def windows_with_targets_inside(tokens, k):
    windows = torch.stack([tokens[i : i + k] for i in range(len(tokens) - k)])
    return windows, windows[:, -1]


def bigram_with_indices(tokens, vocab_size, alpha):
    counts = torch.zeros(vocab_size, vocab_size)
    counts[tokens[:-1], tokens[1:]] = counts[tokens[:-1], tokens[1:]] + 1
    counts = counts + alpha
    return counts / counts.sum(-1)[:, None]


def bigram_broadcast(tokens, vocab_size, alpha):
    counts = bigram_by_counter(tokens, vocab_size, alpha)
    sums = torch.bincount(tokens[:-1], minlength=vocab_size) + alpha * vocab_size
    counts = counts * sums[:, None]
    return counts / counts.sum(-1)


def bigram_row_after(tokens, vocab_size, alpha):
    counts = torch.full((vocab_size, vocab_size), alpha)
    for before, after in pairwise(tokens.tolist()):
        counts[after, before] += 1
    return counts / counts.sum(1, keepdim=True)


def bigram_by_counter_of_all(tokens, vocab_size, alpha):
    pairs, before = Counter(pairwise(tokens.tolist())), Counter(tokens.tolist())
    table = torch.zeros(vocab_size, vocab_size)
    for a in range(vocab_size):
        for b in range(vocab_size):
            table[a, b] = (pairs[a, b] + alpha) / (before[a] + alpha * vocab_size)
    return table


def chain_by_product(tokens, first, table):
    p = first[tokens[0]]
    for before, after in pairwise(tokens):
        p = p * table[before, after]
    return torch.log(p)


def chain_broadcast(tokens, first, table):
    return (first.log()[tokens[0]] + table.log()[tokens[:-1], tokens[1:]]).sum()


def chain_transposed(tokens, first, table):
    total = first[tokens[0]].log()
    for before, after in pairwise(tokens.tolist()):
        total = total + table[after, before].log()
    return total


def chain_with_another_small_number(tokens, first, table):
    after = table[tokens[:-1], tokens[1:]] + 1e-12
    return torch.log(first[tokens[0]] + 1e-12) + after.log().sum()


def perplexity_row_by_row(logits, targets):
    total = 0
    for scores, row in zip(logits, targets, strict=True):
        total = total + F.cross_entropy(scores, row).exp()
    return total / len(logits)


def perplexity_in_powers_of_two(logits, targets):
    return 2 ** -logits.log_softmax(2).gather(2, targets[..., None]).mean()


def perplexity_by_product(logits, targets):
    p = logits.softmax(2).gather(2, targets[..., None])
    return p.log().neg().mean().exp()


def perplexity_by_nll_of_probabilities(logits, targets):
    return F.nll_loss(logits.softmax(2).transpose(1, 2), targets).exp()


def perplexity_by_nll_of_logits(logits, targets):
    return F.nll_loss(logits.transpose(1, 2), targets).exp()


def perplexity_viewed(logits, targets):
    batch, time, vocab = logits.shape
    return F.cross_entropy(logits.contiguous().view(batch, vocab, time), targets).exp()


def convolution_same(x, weight, bias):
    return F.conv1d(x.transpose(1, 2), weight, bias, padding="same").transpose(1, 2)


def convolution_half(x, weight, bias):
    y = F.conv1d(x.transpose(1, 2), weight, bias, padding=weight.shape[2] // 2)
    return y.transpose(1, 2)


def convolution_with_lags(x, weight, bias):
    y = bias
    for lag in range(weight.shape[2]):
        y = y + F.pad(x, (0, 0, lag, 0))[:, : x.shape[1]] @ weight[:, :, lag].T
    return y


def convolution_anticausal(x, weight, bias):
    y = F.conv1d(x.transpose(1, 2), weight, bias, padding=weight.shape[2] - 1)
    return y[:, :, weight.shape[2] - 1 :].transpose(1, 2)


def convolution_rolled(x, weight, bias):
    y = bias
    for lag in range(weight.shape[2]):
        y = y + x.roll(lag, dims=1) @ weight[:, :, -1 - lag].T
    return y


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "mistake"),
    [
        ("01.1", windows_that_share_nothing, "windows side by side"),
        ("01.1", windows_one_too_many, "a window with nothing after it"),
        ("01.1", windows_past_the_end, "past the end"),
        ("01.1", windows_with_targets_inside, "last of the window as target"),
        ("01.2", bigram_with_indices, "each pair counted once"),
        ("01.2", bigram_broadcast, "columns divided by the sums of rows"),
        ("01.2", bigram_row_after, "row is the token after"),
        ("01.2", bigram_by_counter_of_all, "all tokens in the denominator"),
        ("01.3", chain_by_product, "logarithm of the product"),
        ("01.3", chain_broadcast, "the first token at every step"),
        ("01.3", chain_transposed, "table read the other way round"),
        ("01.3", chain_with_another_small_number, "a small number added"),
        ("01.4", perplexity_row_by_row, "mean of the perplexities of texts"),
        ("01.4", perplexity_in_powers_of_two, "base two with nats"),
        ("01.4", perplexity_by_product, "logarithm of the softmax"),
        ("01.4", perplexity_by_nll_of_probabilities, "probability without logarithm"),
        ("01.4", perplexity_by_nll_of_logits, "no softmax"),
        ("01.4", perplexity_viewed, "reshape in place of transpose"),
        ("01.5", convolution_same, "centred"),
        ("01.5", convolution_half, "padding of half the width"),
        ("01.5", convolution_with_lags, "kernel flipped"),
        ("01.5", convolution_anticausal, "padding after the end"),
        ("01.5", convolution_rolled, "padding with the end"),
    ],
)
def test_mistakes_written_otherwise_get_the_same_message(key, answer, mistake, seeds):
    assert_told(key, answer, mistake, seeds)


# --- Wrong answers that are not on the list -------------------------------------------------------


def windows_of_three(tokens, k):
    return tokens.unfold(0, 3, 1)[:-1], tokens[3:]


def windows_in_a_list(tokens, k):
    return [tokens[i : i + k] for i in range(len(tokens) - k)], tokens[k:]


def windows_into_zeros(tokens, k):
    windows = torch.zeros(len(tokens) - k, k)
    for i in range(len(tokens) - k):
        windows[i] = tokens[i : i + k]
    return windows, tokens[k:]


def bigram_that_counts_in_whole_numbers(tokens, vocab_size, alpha):
    counts = torch.zeros(vocab_size, vocab_size, dtype=torch.int64)
    counts += alpha
    return counts / counts.sum(1, keepdim=True)


def chain_in_float32(tokens, first, table):
    total = torch.tensor(0.0)
    total += first[tokens[0]].log() + table[tokens[:-1], tokens[1:]].log().sum()
    return total


def chain_by_math(tokens, first, table):
    return torch.log(first[tokens[0]]) + math.log(table[tokens[:-1], tokens[1:]])


def perplexity_detached(logits, targets):
    return perplexity_flattened(logits.detach(), targets)


def convolution_into_float32(x, weight, bias):
    start = torch.zeros(x.shape[0], weight.shape[2] - 1, x.shape[2], dtype=torch.float32)
    return convolution_of_torch(torch.cat([start, x.float()], 1), weight.float(), bias.float())


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "expected"),
    [
        ("01.1", lambda tokens, k: windows_by_loop(tokens, k)[::-1], "in another order: expected"),
        ("01.1", lambda tokens, k: windows_by_loop(tokens, k)[0], "expected a tuple of 2: windows"),
        ("01.1", windows_of_three, "the window axis has size"),
        ("01.1", windows_in_a_list, "`torch.stack` or `torch.cat` makes one tensor of a list"),
        ("01.1", windows_into_zeros, "somewhere `float32` is fixed, as in `torch.zeros` without"),
        (
            "01.1",
            lambda tokens, k: (tokens.unfold(0, k, 1)[:-1], tokens[k:, None]),
            "axis of size 1 too many",
        ),
        ("01.2", bigram_that_counts_in_whole_numbers, "result type Float can't be cast"),
        (
            "01.2",
            lambda tokens, vocab_size, alpha: bigram_by_numpy(tokens, vocab_size, alpha).tolist(),
            "is a list of",
        ),
        (
            "01.2",
            lambda tokens, vocab_size, alpha: bigram_by_numpy(tokens, vocab_size, alpha).numpy(),
            "is a NumPy array, expected a tensor",
        ),
        (
            "01.2",
            lambda tokens, vocab_size, alpha: None,
            "is `None`, expected a tensor: is there a",
        ),
        (
            "01.2",
            lambda tokens, vocab_size, alpha: torch.ones(vocab_size),
            "the row axis is missing",
        ),
        ("01.3", chain_in_float32, "is `float32`, expected `float64`"),
        ("01.3", chain_by_math, "can be converted to Python scalars"),
        (
            "01.3",
            lambda tokens, first, table: chain_joined(tokens, first, table).item(),
            "did `.item()` or an index take a number out of it?",
        ),
        ("01.4", perplexity_detached, "no gradient can flow back through your perplexity"),
        (
            "01.4",
            lambda logits, targets: perplexity_flattened(logits, targets).item(),
            "did `.item()` or an index take a number out of it?",
        ),
        (
            "01.5",
            lambda x, weight, bias: convolution_of_torch(x.detach(), weight, bias),
            "no gradient reaches `x`",
        ),
        (
            "01.5",
            lambda x, weight, bias: convolution_of_torch(x, weight, -bias),
            "right but for `bias`, which has the wrong sign",
        ),
        (
            "01.5",
            lambda x, weight, bias: convolution_of_torch(x, weight, bias).tanh(),
            "went through tanh once too often",
        ),
        (
            "01.5",
            lambda x, weight, bias: convolution_of_torch(x, weight, bias).transpose(0, 1),
            "batch comes first, and yours looks like (time, batch, output)",
        ),
    ],
)
def test_other_wrong_answers_get_a_helpful_sentence(key, answer, expected, seeds):
    assert_told(key, answer, expected, seeds)


# --- Numbers in the text --------------------------------------------------------------------------


def test_a_uniform_guess_has_the_perplexity_of_its_vocabulary():
    logits, targets = torch.zeros(2, 3, 96), torch.zeros(2, 3, dtype=torch.int64)
    assert catalogue()["01.4"].solution(logits, targets).item() == pytest.approx(96)


def test_the_numbers_of_the_exercise_on_paper():
    bigram, chain = catalogue()["01.2"].solution, catalogue()["01.3"].solution
    text = torch.tensor([0, 1, 0, 1, 0, 1])  # 0 is followed by 1, three times
    assert bigram(text, 96, 1.0)[0, 1].item() == pytest.approx(0.040, abs=5e-4)
    assert bigram(text, 96, 0.01)[0, 1].item() == pytest.approx(0.760, abs=5e-4)
    # Every letter repeats the one before with probability 1/2: 4.28 bits per character.
    table = torch.full((96, 96), 1 / 190)
    table.fill_diagonal_(0.5)
    first = torch.full((96,), 1 / 96)
    torch.manual_seed(0)
    steps = (torch.rand(20_000) < 0.5) * torch.randint(1, 96, (20_000,))
    letters = steps.cumsum(0) % 96  # a step of 0 repeats the letter
    nats = -chain(letters, first, table).item() / len(letters)
    assert nats / math.log(2) == pytest.approx(1 + 0.5 * math.log2(95), abs=0.05)
