"""Chapter 5: answers written otherwise than in the list get what their values deserve."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from variants import SEEDS, assert_passes, assert_told

from unrolled.exercises import catalogue

# --- Right answers --------------------------------------------------------------------------------


def mean_by_loop(outputs, lengths):
    return torch.stack([row[:n].mean(0) for row, n in zip(outputs, lengths, strict=True)])


def mean_by_where(outputs, lengths):
    mask = torch.arange(outputs.shape[1])[None, :] < lengths[:, None]
    kept = torch.where(mask.unsqueeze(-1), outputs, torch.zeros_like(outputs))
    return kept.sum(1) / mask.sum(1, keepdim=True)


def mean_by_weights(outputs, lengths):
    mask = (torch.arange(outputs.shape[1]) < lengths[:, None]).double()
    clean = torch.nan_to_num(outputs, nan=0.0, posinf=0.0, neginf=0.0)
    weights = mask / mask.sum(1, keepdim=True)
    return torch.bmm(weights[:, None], clean).squeeze(1)


def mean_by_packing(outputs, lengths):
    packed = pack_padded_sequence(outputs, lengths, batch_first=True, enforce_sorted=False)
    clean, _ = pad_packed_sequence(packed, batch_first=True)
    return clean.sum(dim=1) / lengths.unsqueeze(1)


def mean_of_nan(outputs, lengths):
    past = torch.arange(outputs.shape[1]) >= lengths[:, None]
    return outputs.masked_fill(past[:, :, None], torch.nan).nanmean(dim=1)


def mean_by_overwriting_a_copy(outputs, lengths):
    outputs = outputs.clone()
    for row, n in enumerate(lengths):
        outputs[row, n:] = 0
    return outputs.sum(1) / lengths.view(-1, 1).double()


def max_by_loop(outputs, lengths):
    return torch.stack([outputs[i, :n].max(dim=0).values for i, n in enumerate(lengths.tolist())])


def max_by_a_low_number(outputs, lengths):
    mask = torch.arange(outputs.shape[1]) < lengths[:, None]
    return torch.where(mask[..., None], outputs, -1e9).max(1)[0]


def max_by_finfo(outputs, lengths):
    past = torch.arange(outputs.shape[1]) >= lengths[:, None]
    return outputs.masked_fill(past[:, :, None], torch.finfo(outputs.dtype).min).amax(1)


def max_by_the_first_step(outputs, lengths):
    mask = (torch.arange(outputs.shape[1]) < lengths[:, None]).unsqueeze(2)
    return outputs.where(mask, outputs[:, :1]).amax(1)


def max_by_running(outputs, lengths):
    best = outputs[:, 0]
    for t in range(1, outputs.shape[1]):
        best = torch.where((t < lengths)[:, None], torch.maximum(best, outputs[:, t]), best)
    return best


def confusion_by_loop(predicted, labels, classes):
    counts = torch.zeros(classes, classes, dtype=torch.long)
    for guess, label in zip(predicted, labels, strict=True):
        counts[label, guess] += 1
    return counts


def confusion_by_rows(predicted, labels, classes):
    counts = torch.zeros((classes, classes), dtype=torch.int64)
    for i in range(len(labels)):
        counts[labels[i]][predicted[i]] += 1
    return counts


def confusion_by_accumulating(predicted, labels, classes):
    counts = torch.zeros(classes, classes).long()
    return counts.index_put_((labels, predicted), torch.tensor(1), accumulate=True)


def confusion_by_one_hot(predicted, labels, classes):
    return F.one_hot(labels, classes).T @ F.one_hot(predicted, classes)


def confusion_by_comparing(predicted, labels, classes):
    rows = [
        [int(((labels == a) & (predicted == b)).sum()) for b in range(classes)]
        for a in range(classes)
    ]
    return torch.tensor(rows)


def confusion_by_numpy(predicted, labels, classes):
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels.numpy(), predicted.numpy()), 1)
    return torch.from_numpy(counts)


def shuffle_by_loop(tokens, lengths, generator):
    shuffled = tokens.clone()
    for row, n in enumerate(lengths.tolist()):
        shuffled[row, :n] = tokens[row, torch.randperm(n, generator=generator)]
    return shuffled


def shuffle_by_joining(tokens, lengths, generator):
    rows = []
    for row, n in zip(tokens, lengths, strict=True):
        order = torch.randperm(int(n), generator=generator)
        rows.append(torch.cat([row[:n][order], row[n:]]))
    return torch.stack(rows)


def shuffle_by_drawing(tokens, lengths, generator):
    shuffled = tokens.clone()
    for row, n in enumerate(lengths.tolist()):
        order = torch.multinomial(torch.ones(n), n, generator=generator)
        shuffled[row, :n] = tokens[row, :n].gather(0, order)
    return shuffled


def shuffle_by_exchanging(tokens, lengths, generator):
    rows = tokens.tolist()
    for row, n in zip(rows, lengths.tolist(), strict=True):
        for last in range(n - 1, 0, -1):
            other = int(torch.randint(last + 1, (), generator=generator))
            row[last], row[other] = row[other], row[last]
    return torch.tensor(rows)


def shuffle_by_infinite_keys(tokens, lengths, generator):
    keys = torch.randn(tokens.shape, generator=generator)
    steps = torch.arange(tokens.shape[1])
    keys = torch.where(steps < lengths[:, None], keys, 1000.0 + steps)
    return torch.take_along_dim(tokens, keys.argsort(1), 1)


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("05.1", mean_by_loop),
        ("05.1", mean_by_where),
        ("05.1", mean_by_weights),
        ("05.1", mean_by_packing),
        ("05.1", mean_of_nan),
        ("05.1", mean_by_overwriting_a_copy),
        ("05.2", max_by_loop),
        ("05.2", max_by_a_low_number),
        ("05.2", max_by_finfo),
        ("05.2", max_by_the_first_step),
        ("05.2", max_by_running),
        ("05.3", confusion_by_loop),
        ("05.3", confusion_by_rows),
        ("05.3", confusion_by_accumulating),
        ("05.3", confusion_by_one_hot),
        ("05.3", confusion_by_comparing),
        ("05.3", confusion_by_numpy),
        ("05.4", shuffle_by_loop),
        ("05.4", shuffle_by_joining),
        ("05.4", shuffle_by_drawing),
        ("05.4", shuffle_by_exchanging),
        ("05.4", shuffle_by_infinite_keys),
    ],
)
def test_right_answers_written_otherwise_pass(key, answer, seeds):
    assert_passes(key, answer, seeds)


# --- Wrong answers that are on the list, written otherwise ----------------------------------------


def mean_with_a_float_mask(outputs, lengths):
    mask = (torch.arange(outputs.shape[1]) < lengths[:, None]).double()[:, :, None]
    return (outputs * mask).sum(1) / mask.sum(1)


def mean_by_a_product_of_matrices(outputs, lengths):
    mask = (torch.arange(outputs.shape[1]) < lengths[:, None]).double()
    return torch.einsum("bth,bt->bh", outputs, mask) / lengths[:, None]


def mean_of_a_longer_loop(outputs, lengths):
    rows = zip(outputs, lengths, strict=True)
    return torch.stack([row[: n + 1].sum(0) / n for row, n in rows])


def mean_of_a_longer_loop_throughout(outputs, lengths):
    return torch.stack([row[: n + 1].mean(0) for row, n in zip(outputs, lengths, strict=True)])


def mean_that_divides_by_time(outputs, lengths):
    rows = zip(outputs, lengths, strict=True)
    return torch.stack([row[:n].sum(0) / len(row) for row, n in rows])


def mean_by_packing_alone(outputs, lengths):
    packed = pack_padded_sequence(outputs, lengths, batch_first=True, enforce_sorted=False)
    return packed.data.mean(dim=0)


def mean_that_fills_in_place(outputs, lengths):
    for row, n in enumerate(lengths):
        outputs[row, n:] = 0
    return outputs.sum(1) / lengths[:, None]


def mean_without_gradient(outputs, lengths):
    with torch.no_grad():
        return mean_by_loop(outputs, lengths)


def max_after_zeros(outputs, lengths):
    outputs = outputs.clone()
    for row, n in enumerate(lengths):
        outputs[row, n:] = 0
    return outputs.max(1).values


def max_by_packing(outputs, lengths):
    packed = pack_padded_sequence(outputs, lengths, batch_first=True, enforce_sorted=False)
    clean, _ = pad_packed_sequence(packed, batch_first=True, total_length=outputs.shape[1])
    return clean.amax(1)


def max_with_minus_ten(outputs, lengths):
    past = torch.arange(outputs.shape[1]) >= lengths[:, None]
    return outputs.masked_fill(past[:, :, None], -10.0).amax(1)


def max_with_a_penalty(outputs, lengths):
    past = (torch.arange(outputs.shape[1]) >= lengths[:, None]).double()
    return (outputs - 1e6 * past[:, :, None]).amax(1)


def confusion_turned(predicted, labels, classes):
    return confusion_by_loop(labels, predicted, classes)


def confusion_set_to_one(predicted, labels, classes):
    counts = torch.zeros(classes, classes, dtype=torch.int64)
    counts[labels, predicted] = 1
    return counts


def confusion_index_put(predicted, labels, classes):
    counts = torch.zeros(classes, classes)
    return counts.index_put_((labels, predicted), torch.tensor(1.0))


def confusion_of_chained_brackets(predicted, labels, classes):
    counts = torch.zeros(classes, classes)
    counts[labels][torch.arange(len(labels)), predicted] += 1
    return counts


def confusion_by_unique(predicted, labels, classes):
    seen = torch.cat([predicted, labels]).max().item() + 1
    return confusion_by_loop(predicted, labels, seen)


def confusion_by_float_zeros(predicted, labels, classes):
    counts = torch.zeros(classes, classes)
    for guess, label in zip(predicted, labels, strict=True):
        counts[label, guess] += 1
    return counts


def shuffle_with_the_padding(tokens, lengths, generator):
    time = tokens.shape[1]
    return torch.stack([row[torch.randperm(time, generator=generator)] for row in tokens])


def shuffle_by_numpy(tokens, lengths, generator):
    draw, shuffled = np.random.default_rng(), tokens.clone()
    for row, n in enumerate(lengths.tolist()):
        shuffled[row, :n] = tokens[row, torch.from_numpy(draw.permutation(n))]
    return shuffled


def shuffle_by_random(tokens, lengths, generator):
    rows = []
    for row, n in zip(tokens.tolist(), lengths.tolist(), strict=True):
        rows.append(random.sample(row[:n], n) + row[n:])
    return torch.tensor(rows)


def shuffle_that_seeds_in_the_loop(tokens, lengths, generator):
    seed, shuffled = generator.initial_seed(), tokens.clone()
    for row, n in enumerate(lengths.tolist()):
        generator.manual_seed(seed)
        shuffled[row, :n] = tokens[row, torch.randperm(n, generator=generator)]
    return shuffled


def shuffle_with_a_fixed_seed(tokens, lengths, generator):
    generator.manual_seed(0)
    return shuffle_by_loop(tokens, lengths, generator)


def shuffle_that_begins_anew(tokens, lengths, generator):
    generator.manual_seed(generator.initial_seed())
    return shuffle_by_loop(tokens, lengths, generator)


def shuffle_that_is_lost(tokens, lengths, generator):
    shuffled = tokens.clone()
    for row, n in zip(shuffled, lengths.tolist(), strict=True):
        row = row[:n][torch.randperm(n, generator=generator)]
    return shuffled


def shuffle_without_the_last(tokens, lengths, generator):
    return shuffle_by_loop(tokens, lengths - 1, generator)


def shuffle_with_one_more(tokens, lengths, generator):
    return shuffle_by_loop(tokens, (lengths + 1).clamp(max=tokens.shape[1]), generator)


def shuffle_into_zeros(tokens, lengths, generator):
    shuffled = torch.zeros_like(tokens)
    for row, n in enumerate(lengths.tolist()):
        shuffled[row, :n] = tokens[row, torch.randperm(n, generator=generator)]
    return shuffled


def shuffle_by_randint(tokens, lengths, generator):
    shuffled = tokens.clone()
    for row, n in enumerate(lengths.tolist()):
        shuffled[row, :n] = tokens[row, torch.randint(n, (n,), generator=generator)]
    return shuffled


def shuffle_by_roll(tokens, lengths, generator):
    shuffled = tokens.clone()
    for row, n in enumerate(lengths.tolist()):
        shift = int(torch.randint(n, (), generator=generator))
        shuffled[row, :n] = tokens[row, :n].roll(shift)
    return shuffled


def shuffle_in_place(tokens, lengths, generator):
    for row, n in zip(tokens, lengths.tolist(), strict=True):
        row[:n] = row[torch.randperm(n, generator=generator)]
    return tokens


def shuffle_with_zeros_as_keys(tokens, lengths, generator):
    mask = torch.arange(tokens.shape[1]) < lengths[:, None]
    keys = torch.rand(tokens.shape, generator=generator) * mask
    return tokens.gather(1, keys.argsort(1))


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "mistake"),
    [
        ("05.1", mean_with_a_float_mask, "multiplied by the mask"),
        ("05.1", mean_by_a_product_of_matrices, "multiplied by the mask"),
        ("05.1", mean_of_a_longer_loop, "one step of padding"),
        ("05.1", mean_of_a_longer_loop_throughout, "one step of padding"),
        ("05.1", mean_that_divides_by_time, "padding counted as zeros"),
        ("05.1", mean_by_packing_alone, "mean of all true steps"),
        ("05.1", mean_that_fills_in_place, "padding overwritten"),
        ("05.1", mean_without_gradient, "mean detached"),
        ("05.2", max_after_zeros, "filled with zero"),
        ("05.2", max_by_packing, "filled with zero"),
        ("05.2", max_with_minus_ten, "filled with minus one"),
        ("05.2", max_with_a_penalty, "large number subtracted"),
        ("05.3", confusion_turned, "columns for the truth"),
        ("05.3", confusion_set_to_one, "each pair counted once"),
        ("05.3", confusion_index_put, "each pair counted once"),
        ("05.3", confusion_of_chained_brackets, "added to a copy"),
        ("05.3", confusion_by_unique, "size of the largest class seen"),
        ("05.3", confusion_by_float_zeros, "counts as floats"),
        ("05.4", shuffle_with_the_padding, "padding shuffled too"),
        ("05.4", shuffle_by_numpy, "generator not passed on"),
        ("05.4", shuffle_by_random, "generator not passed on"),
        ("05.4", shuffle_that_seeds_in_the_loop, "one order for all"),
        ("05.4", shuffle_with_a_fixed_seed, "a generator of its own"),
        ("05.4", shuffle_that_begins_anew, "begun anew at each call"),
        ("05.4", shuffle_that_is_lost, "not shuffled"),
        ("05.4", shuffle_without_the_last, "last letter stays"),
        ("05.4", shuffle_with_one_more, "one step of padding shuffled"),
        ("05.4", shuffle_into_zeros, "padding lost"),
        ("05.4", shuffle_by_randint, "drawn with replacement"),
        ("05.4", shuffle_by_roll, "rolled"),
        ("05.4", shuffle_in_place, "in place"),
        ("05.4", shuffle_with_zeros_as_keys, "padding in front"),
    ],
)
def test_mistakes_written_otherwise_get_the_same_message(key, answer, mistake, seeds):
    assert_told(key, answer, mistake, seeds)


# --- Wrong answers that are not on the list -------------------------------------------------------


def mean_by_numbers(outputs, lengths):
    return torch.tensor(mean_by_loop(outputs, lengths).tolist(), dtype=outputs.dtype)


def mean_into_float32(outputs, lengths):
    return mean_by_loop(outputs, lengths).float()


def mean_for_the_last_only(outputs, lengths):
    for row, n in zip(outputs, lengths, strict=True):
        mean = row[:n].mean(0)
    return mean


def max_in_a_list(outputs, lengths):
    return [row[:n].amax(0) for row, n in zip(outputs, lengths, strict=True)]


def shuffle_often_the_same(tokens, lengths, generator):
    """Shuffle every other sequence only."""
    half = lengths.clone()
    half[::2] = 0
    return shuffle_by_loop(tokens, half, generator)


def shuffle_reversed(tokens, lengths, generator):
    rows = [torch.cat([r[:n].flip(0), r[n:]]) for r, n in zip(tokens, lengths, strict=True)]
    return torch.stack(rows)


def shuffle_neighbours(tokens, lengths, generator):
    shuffled = tokens.clone()
    for row, n in enumerate(lengths.tolist()):
        if n > 1:
            place = int(torch.randint(n - 1, (), generator=generator))
            shuffled[row, place], shuffled[row, place + 1] = (
                tokens[row, place + 1],
                tokens[row, place],
            )
    return shuffled


def shuffle_other_letters(tokens, lengths, generator):
    past = torch.arange(tokens.shape[1]) >= lengths[:, None]
    return torch.where(past, tokens, torch.randint(50, tokens.shape, generator=generator))


def shuffle_that_returns_nothing(tokens, lengths, generator):
    shuffle_by_loop(tokens, lengths, generator)


def shuffle_by_rows_of_rows(tokens, lengths, generator):
    order = torch.rand(tokens.shape, generator=generator).argsort(1)
    return tokens[:, order]


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "expected"),
    [
        ("05.1", mean_by_numbers, "no gradient can flow back"),
        ("05.1", mean_into_float32, "is `float32`, expected `float64`"),
        ("05.1", mean_for_the_last_only, "the batch axis is missing"),
        ("05.2", max_in_a_list, "`torch.stack` or `torch.cat` makes one tensor of a list"),
        (
            "05.3",
            lambda predicted, labels, classes: confusion_by_loop(predicted, labels, classes)[1:],
            "the true class axis has size",
        ),
        (
            "05.3",
            lambda predicted, labels, classes: (predicted == labels).sum().item(),
            "are a whole number, expected a tensor",
        ),
        (
            "05.4",
            shuffle_often_the_same,
            "order is random, but some orders are more frequent than others, expected random",
        ),
        ("05.4", shuffle_reversed, "order is always the same, expected random"),
        ("05.4", shuffle_neighbours, "order is one of 2, where 6 are possible, expected random"),
        (
            "05.4",
            shuffle_other_letters,
            "letters of each sequence are others than before, expected the same as before",
        ),
        ("05.4", shuffle_that_returns_nothing, "are `None`, expected a tensor: is there a"),
        ("05.4", shuffle_by_rows_of_rows, "shuffled tokens have shape"),
        (
            "05.4",
            lambda *arguments: shuffle_by_loop(*arguments).float(),
            "are `float32`, expected `int64`",
        ),
    ],
)
def test_other_wrong_answers_get_a_helpful_sentence(key, answer, expected, seeds):
    assert_told(key, answer, expected, seeds)


# --- Numbers in the text --------------------------------------------------------------------------


def test_how_many_outputs_get_a_gradient():
    torch.manual_seed(0)
    outputs = torch.randn(1, 20, 64, requires_grad=True)
    length = torch.tensor([20])
    reached = {}
    for key in ("05.1", "05.2"):
        pooled = catalogue()[key].solution(outputs, length)
        gradient = torch.autograd.grad(pooled.sum(), outputs)[0]
        reached[key] = int(gradient.count_nonzero())
        torch.testing.assert_close(gradient.sum(dim=1), torch.ones(1, 64))
    assert reached == {"05.1": 1280, "05.2": 64}


@pytest.mark.parametrize(
    ("a", "last", "mean", "ratio"),
    [(0.9, (0.135, 1), (0.439, 0.05), 7.4), (0.5, (0.0000019, 1), (0.1, 0.05), 524_288)],
)
def test_how_far_letters_reach(a, last, mean, ratio):
    x = torch.zeros(20, dtype=torch.float64, requires_grad=True)
    h, outputs = x.new_zeros(()), []
    for x_t in x:
        h = a * h + x_t
        outputs.append(h)
    pooled = {"last": outputs[-1], "mean": torch.stack(outputs).mean()}
    found = {
        name: torch.autograd.grad(y, x, retain_graph=True)[0][[0, -1]] for name, y in pooled.items()
    }
    assert found["last"].tolist() == pytest.approx(last, rel=0.01)
    assert found["mean"].tolist() == pytest.approx(mean, rel=0.01)
    assert (found["last"][1] / found["last"][0]).item() == pytest.approx(ratio, rel=0.01)
