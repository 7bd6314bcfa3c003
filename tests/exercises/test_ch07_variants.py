"""Chapter 7: answers written otherwise than in the list get what their values deserve."""

import inspect
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_recall_fscore_support
from torch import nn
from torch.nn.utils.rnn import pad_sequence, unpad_sequence
from variants import SEEDS, assert_passes, assert_told, message

from unrolled.exercises import catalogue, check_with_seed
from unrolled.exercises.ch07 import popular
from unrolled.layers import GRU, LSTM, RNN, Bidirectional, reverse_steps

# --- Right answers --------------------------------------------------------------------------------


def reverse_in_a_loop(x, lengths):
    turned = x.clone()
    for row, length in enumerate(lengths.tolist()):
        turned[row, :length] = x[row, :length].flip(0)
    return turned


def reverse_by_gather(x, lengths):
    steps = torch.arange(x.shape[1]).expand(len(x), -1)
    places = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    return x.gather(1, places[..., None].expand_as(x))


def reverse_in_pieces(x, lengths):
    rows = [
        torch.cat([row[:n].flip(0), row[n:]]) for row, n in zip(x, lengths.tolist(), strict=True)
    ]
    return torch.stack(rows)


def reverse_by_swapping(x, lengths):
    turned = x.clone()
    for row, length in enumerate(lengths):
        for t in range(length // 2):
            turned[row, t] = x[row, length - 1 - t]
            turned[row, length - 1 - t] = x[row, t]
    return turned


def reverse_by_sorting(x, lengths):
    steps = torch.arange(x.shape[1])
    keys = torch.where(steps < lengths[:, None], -1.0 - steps, 1.0 + steps)
    return torch.stack([row[places] for row, places in zip(x, keys.argsort(1), strict=True)])


def both_with_the_package(x, lengths, forward_layer, backward_layer):
    return Bidirectional(forward_layer, backward_layer)(x, lengths=lengths)[0]


def both_with_turns(x, lengths, forward_layer, backward_layer):
    forward_outputs, _ = forward_layer(x, lengths=lengths)
    backward_outputs, _ = backward_layer(reverse_in_a_loop(x, lengths), lengths=lengths)
    return torch.cat([forward_outputs, reverse_by_gather(backward_outputs, lengths)], dim=2)


def both_one_by_one(x, lengths, forward_layer, backward_layer):
    outputs = []
    for row, length in zip(x, lengths, strict=True):
        steps = row[None, :length]
        ahead, back = forward_layer(steps)[0], backward_layer(steps.flip(1))[0].flip(1)
        outputs.append(torch.cat([ahead, back], dim=2)[0])
    missing = x.shape[1] - int(lengths.max())
    return nn.functional.pad(pad_sequence(outputs, batch_first=True), (0, 0, 0, missing))


def both_with_zeros_at_last(x, lengths, forward_layer, backward_layer):
    ahead, back = forward_layer(x)[0], backward_layer(reverse_by_gather(x, lengths))[0]
    outputs = torch.cat([ahead, reverse_by_gather(back, lengths)], dim=-1)
    return outputs * (torch.arange(x.shape[1]) < lengths[:, None])[:, :, None]


def f1_from_precision_and_recall(predicted, truth, mask):
    found = (predicted & truth & mask).sum().item()
    if found == 0:
        return 0.0
    precision = found / (predicted & mask).sum().item()
    recall = found / (truth & mask).sum().item()
    return 2 / (1 / precision + 1 / recall)


def f1_in_tensors(predicted, truth, mask):
    p, t = (predicted * mask).float(), (truth * mask).float()
    return (2 * (p * t).sum() / (p.sum() + t.sum() + 1e-9)).item()


def f1_by_scikit_learn(predicted, truth, mask):
    return f1_score(truth[mask], predicted[mask], zero_division=0)


def f1_by_loop(predicted, truth, mask):
    found = wrong = 0
    for p, t, counts in zip(
        predicted.flatten().tolist(), truth.flatten().tolist(), mask.flatten().tolist(), strict=True
    ):
        if counts:
            found += p and t
            wrong += p != t
    return 2 * found / (2 * found + wrong) if found else 0


def f1_with_nan_put_right(predicted, truth, mask):
    found = (predicted & truth & mask).sum()
    return torch.nan_to_num(2 * found / ((predicted & mask).sum() + (truth & mask).sum())).item()


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("07.1", reverse_in_a_loop),
        ("07.1", reverse_by_gather),
        ("07.1", reverse_in_pieces),
        ("07.1", reverse_by_swapping),
        ("07.1", reverse_by_sorting),
        ("07.1", reverse_steps),
        ("07.2", both_with_the_package),
        ("07.2", both_with_turns),
        ("07.2", both_one_by_one),
        ("07.2", both_with_zeros_at_last),
        ("07.3", f1_from_precision_and_recall),
        ("07.3", f1_in_tensors),
        ("07.3", f1_by_scikit_learn),
        ("07.3", f1_by_loop),
        ("07.3", f1_with_nan_put_right),
    ],
)
def test_right_answers_written_otherwise_pass(key, answer, seeds):
    assert_passes(key, answer, seeds)


# --- Wrong answers that are on the list, written otherwise ----------------------------------------


def reverse_by_rolling(x, lengths):
    time = x.shape[1]
    rows = [row.flip(0).roll(int(n) - time, 0) for row, n in zip(x, lengths, strict=True)]
    return torch.stack(rows)


def reverse_by_flipping_and_masking(x, lengths):
    mask = torch.arange(x.shape[1]) < lengths[:, None]
    return reverse_by_gather(x, lengths) * mask[..., None]


def reverse_by_unpadding(x, lengths):
    rows = unpad_sequence(x, lengths, batch_first=True)
    return pad_sequence([row.flip(0) for row in rows], batch_first=True)


def reverse_with_one_too_many(x, lengths):
    steps = torch.arange(x.shape[1]).expand(len(x), -1)
    places = torch.where(steps < lengths[:, None], lengths[:, None] - steps, steps)
    return x[torch.arange(len(x))[:, None], places]


def reverse_with_a_list_slice(x, lengths):
    turned = x.clone()
    for row, length in enumerate(lengths):
        turned[row, :length] = x[row, :length][::-1]
    return turned


def both_with_everything_flipped(x, lengths, forward_layer, backward_layer):
    back = backward_layer(torch.flip(x, dims=[1]))[0]
    return torch.cat([forward_layer(x)[0], torch.flip(back, dims=[1])], dim=-1)


def both_from_left_to_right(x, lengths, forward_layer, backward_layer):
    outputs = [layer(x, lengths=lengths)[0] for layer in (forward_layer, backward_layer)]
    return torch.cat(outputs, dim=2)


def both_with_the_batch_reversed(x, lengths, forward_layer, backward_layer):
    back = backward_layer(reversed(x), lengths=lengths)[0]
    return torch.cat([forward_layer(x, lengths=lengths)[0], reversed(back)], dim=2)


def both_the_other_way_round(x, lengths, forward_layer, backward_layer):
    outputs = both_with_the_package(x, lengths, forward_layer, backward_layer)
    return outputs.roll(outputs.shape[2] // 2, dims=2)


def both_never_turned_back(x, lengths, forward_layer, backward_layer):
    back = backward_layer(reverse_by_gather(x, lengths), lengths=lengths)[0]
    return torch.cat([forward_layer(x, lengths=lengths)[0], back], dim=2)


def both_with_one_direction_for_two(x, lengths, forward_layer, backward_layer):
    return both_with_turns(x, lengths, forward_layer, forward_layer)


def f1_with_padding(predicted, truth, mask):
    return f1_score(truth.flatten(), predicted.flatten(), zero_division=0)


def f1_as_accuracy(predicted, truth, mask):
    return f1_score(truth[mask], predicted[mask], average="micro", zero_division=0)


def f1_of_both_classes(predicted, truth, mask):
    both = f1_score(truth[mask], predicted[mask], average=None, labels=[0, 1], zero_division=0)
    return float(both.mean())


def f1_of_the_sequences(predicted, truth, mask):
    rows = zip(predicted, truth, mask, strict=True)
    return float(np.mean([f1_score(t[m], p[m], zero_division=0) for p, t, m in rows]))


def f1_with_the_precision(predicted, truth, mask):
    scores = precision_recall_fscore_support(
        truth[mask], predicted[mask], average="binary", zero_division=0
    )
    return scores[0]


def f1_with_nan(predicted, truth, mask):
    found = (predicted & truth & mask).sum()
    return (2 * found / ((predicted & mask).sum() + (truth & mask).sum())).item()


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "mistake"),
    [
        ("07.1", reverse_by_rolling, "padding turned around too"),
        ("07.1", reverse_by_flipping_and_masking, "padding of zeros"),
        ("07.1", reverse_by_unpadding, "padded anew"),
        ("07.1", reverse_with_one_too_many, "from one step past the end"),
        ("07.1", reverse_with_a_list_slice, "a negative step"),
        ("07.2", both_with_everything_flipped, "padding first"),
        ("07.2", both_from_left_to_right, "forward twice"),
        ("07.2", both_with_the_batch_reversed, "batch turned around"),
        ("07.2", both_the_other_way_round, "backward first"),
        ("07.2", both_never_turned_back, "not turned back"),
        ("07.2", both_with_one_direction_for_two, "one layer for both"),
        ("07.3", f1_with_padding, "mask not used"),
        ("07.3", f1_as_accuracy, "share of right steps"),
        ("07.3", f1_of_both_classes, "mean over both classes"),
        ("07.3", f1_of_the_sequences, "mean over the sequences"),
        ("07.3", f1_with_the_precision, "precision"),
    ],
)
def test_mistakes_written_otherwise_get_the_same_message(key, answer, mistake, seeds):
    assert_told(key, answer, mistake, seeds)


# --- The code to repair, one fault after the other -----------------------------------------------


def repaired(turn, turn_back, lengths):
    """The code of the chapter with some of its faults mended, as a reader mends them."""
    source = inspect.getsource(popular).replace("popular", "bidirectional")
    given = source
    if turn:
        source = source.replace("x.flip(1)", "reverse_within(x, lengths)")
    if turn_back:
        source = source.replace(
            "forward_outputs, backward_outputs]",
            "forward_outputs, reverse_within(backward_outputs, lengths)]",
        )
    if lengths:
        source = source.replace("layer(x)", "layer(x, lengths=lengths)")
        source = source.replace("layer(x.flip(1))", "layer(x.flip(1), lengths=lengths)")
        source = source.replace("x, lengths))", "x, lengths), lengths=lengths)")
    assert (source != given) == (turn or turn_back or lengths)
    names = {"torch": torch, "Tensor": torch.Tensor, "reverse_within": reverse_steps}
    exec(source, names)
    return names["bidirectional"]


@SEEDS
@pytest.mark.parametrize(
    ("mended", "mistake"),
    [
        ((False, False, False), "padding first and not turned back"),
        ((False, False, True), "padding first and not turned back"),
        ((False, True, False), "only the outputs within their lengths"),
        ((False, True, True), "only the outputs within their lengths"),
        ((True, False, False), "not turned back"),
        ((True, False, True), "not turned back"),
        ((True, True, False), "no lengths for the layers"),
    ],
)
def test_each_fault_that_is_left_gets_its_message(mended, mistake, seeds):
    for seed in seeds:
        report = check_with_seed(catalogue()["07.2"], repaired(*mended), seed)
        assert report.attempted
        assert report.messages[0] == message("07.2", mistake)


@SEEDS
def test_with_all_faults_mended_it_passes(seeds):
    for seed in seeds:
        assert check_with_seed(catalogue()["07.2"], repaired(True, True, True), seed).passed


def test_the_code_to_repair_is_right_without_padding_but_for_one_turn():
    # So it goes unnoticed as long as all sequences have one length.
    layers = [RNN(3, 4).double() for _ in range(2)]
    x, lengths = torch.randn(2, 5, 3, dtype=torch.float64), torch.tensor([5, 5])
    came, right = (f(x, lengths, *layers) for f in (popular, catalogue()["07.2"].solution))
    turned = torch.cat([came[..., :4], came[..., 4:].flip(1)], dim=2)
    torch.testing.assert_close(turned, right)


# --- Wrong answers that are not on the list -------------------------------------------------------


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "expected"),
    [
        (
            "07.1",
            lambda x, lengths: list(reverse_steps(x, lengths)),
            "`torch.stack` or `torch.cat` makes one tensor of a list",
        ),
        (
            "07.1",
            lambda x, lengths: reverse_steps(x.detach(), lengths),
            "no gradient can flow back through your reversed sequences",
        ),
        (
            "07.1",
            lambda x, lengths: torch.from_numpy(
                np.stack(
                    [
                        np.concatenate([row[:n][::-1], row[n:]])
                        for row, n in zip(x.detach().numpy(), lengths.tolist(), strict=True)
                    ]
                )
            ),
            "no gradient can flow back through your reversed sequences",
        ),
        (
            "07.1",
            lambda x, lengths: reverse_steps(x, lengths)[:, : lengths.max() - 1],
            "reversed sequences have shape",
        ),
        (
            "07.2",
            lambda x, lengths, forward_layer, backward_layer: Bidirectional(
                forward_layer, backward_layer
            )(x, lengths=lengths),
            "Your outputs are a tuple of 2, expected a tensor: return only what is asked for",
        ),
        (
            "07.2",
            lambda x, lengths, forward_layer, backward_layer: both_with_turns(
                x.detach(), lengths, forward_layer, backward_layer
            ),
            "no gradient",
        ),
        (
            "07.2",
            lambda x, lengths, forward_layer, backward_layer: both_with_turns(
                x, lengths, forward_layer, backward_layer
            ).flatten(1),
            "the time and both directions axes have become one",
        ),
        (
            "07.2",
            lambda x, lengths, forward_layer, backward_layer: (
                2 * both_with_turns(x, lengths, forward_layer, backward_layer)
            ),
            "Your forward half is right but for a constant factor of 2",
        ),
        (
            "07.2",
            lambda x, lengths, forward_layer, backward_layer: torch.cat(
                [forward_layer(x, lengths=lengths), backward_layer(x, lengths=lengths)], dim=2
            ),
            "Your code stops with `TypeError",
        ),
        ("07.3", f1_with_nan, "your result is NaN, 0 divided by 0"),
        (
            "07.3",
            lambda predicted, truth, mask: torch.tensor(f1_by_loop(predicted, truth, mask)),
            "Your answer is a tensor, expected a plain number, a `float`",
        ),
        (
            "07.3",
            lambda predicted, truth, mask: (f1_by_loop(predicted, truth, mask), 1.0),
            "Your answer is a tuple of 2, expected a plain number, a `float`",
        ),
        (
            "07.3",
            lambda predicted, truth, mask: -f1_by_loop(predicted, truth, mask),
            "Your F1 is right up to its sign",
        ),
        (
            "07.3",
            lambda predicted, truth, mask: 1 - predicted,
            "Your code stops with `RuntimeError",
        ),
    ],
)
def test_other_wrong_answers_get_a_helpful_sentence(key, answer, expected, seeds):
    assert_told(key, answer, expected, seeds)


# --- Numbers in the text --------------------------------------------------------------------------


def count(layer):
    return sum(parameter.numel() for parameter in layer.parameters())


def units(inputs, one, biases, classes=0, gates=1):
    """Units of each of two directions with as many parameters as one direction has."""
    c = inputs + biases + classes / gates
    return (math.hypot(one + c, one) - c) / 2


@pytest.mark.parametrize(
    ("layer", "gates", "biases", "classes", "k", "whole", "parameters"),
    [
        (RNN, 1, 1, 0, 64.73, 65, (11616, 11700)),
        (GRU, 3, 4 / 3, 0, 64.69, 65, (34944, 35230)),
        (GRU, 3, 4 / 3, 0, 64.69, 64, (34944, 34304)),
        (RNN, 1, 1, 5, 64.20, 64, (12101, 12037)),
        (GRU, 3, 4 / 3, 5, 64.51, 64, (35429, 34949)),
    ],
)
def test_the_units_of_a_fair_comparison(layer, gates, biases, classes, k, whole, parameters):
    assert units(24, 96, biases, classes, gates) == pytest.approx(k, abs=5e-3)

    def total(hidden, directions):
        read_out = classes and count(nn.Linear(directions * hidden, classes))
        return count(layer(24, hidden, bidirectional=directions == 2)) + read_out

    assert (total(96, 1), total(whole, 2)) == parameters


@pytest.mark.parametrize(
    ("layer", "gates", "biases"),
    [
        (RNN, 1, 1),
        (GRU, 3, 4 / 3),
        (LSTM, 4, 1),
        (lambda *sizes, **options: nn.RNN(*sizes, **options), 1, 2),
        (lambda *sizes, **options: nn.GRU(*sizes, **options), 3, 2),
        (lambda *sizes, **options: nn.LSTM(*sizes, **options), 4, 2),
    ],
)
@pytest.mark.parametrize(("inputs", "one"), [(24, 96), (5, 200), (300, 20)])
def test_the_formula_lies_between_two_whole_numbers_of_units(layer, gates, biases, inputs, one):
    assert count(layer(inputs, one)) == round(gates * (one**2 + inputs * one + biases * one))
    k = units(inputs, one, biases)
    below, above = (count(layer(inputs, n, bidirectional=True)) for n in (int(k), int(k) + 1))
    assert below <= count(layer(inputs, one)) < above
    assert 0.5 < k / one < math.sqrt(0.5)


def test_the_half_of_the_units_is_unfair():
    assert count(RNN(24, 48, bidirectional=True)) == 7008


@pytest.mark.parametrize(("layer", "biases"), [(RNN, 1), (GRU, 4 / 3)])
def test_two_layers_in_both_directions(layer, biases):
    def both(inputs, one):
        c = inputs + 2 * biases  # 8 k^2 + 2 c k = 3 n^2 + c n
        return (math.sqrt(c**2 + 8 * (3 * one**2 + c * one)) - c) / 8

    k = both(24, 96)
    assert k == pytest.approx(58.2, abs=0.05)
    below, above = (count(layer(24, n, 2, bidirectional=True)) for n in (int(k), int(k) + 1))
    assert below <= count(layer(24, 96, 2)) < above
    assert both(24, 10**6) / 10**6 == pytest.approx(math.sqrt(3 / 8), abs=1e-4)


@pytest.mark.parametrize(
    ("piece", "beyond", "mean", "longest", "cost"),
    [
        (1000, 0, 4.995, 9.99, 2),
        (20, 30, 0.395, 0.49, 3.5),
        (1, 30, 0.30, 0.30, 32),
    ],
)
def test_how_long_a_stream_must_wait(piece, beyond, mean, longest, cost):
    # Long enough that the end of the stream does not count.
    steps = piece * max(1, 2000 // piece)
    waits, backward = [], 0
    for start in range(0, steps, piece):
        end = start + piece + beyond
        backward += end - start
        waits += [(end - 1 - t) / 100 for t in range(start, start + piece)]
    assert sum(waits) / len(waits) == pytest.approx(mean)
    assert max(waits) == pytest.approx(longest)
    assert 1 + backward / steps == pytest.approx(cost)
