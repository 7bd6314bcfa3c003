"""Chapter 4: answers written otherwise than in the list get what their values deserve."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from variants import SEEDS, assert_passes, assert_told

from unrolled.data import RomanBatches
from unrolled.data.roman import END, SEPARATOR, roman_numerals
from unrolled.exercises import catalogue, check_with_seed
from unrolled.exercises.ch04 import loss_mask, pad, read_h_n

# --- Right answers --------------------------------------------------------------------------------


def pad_of_torch(sequences):
    lengths = [sequence.shape[0] for sequence in sequences]
    return pad_sequence(sequences, batch_first=True), torch.tensor(lengths)


def pad_row_by_row(sequences):
    longest = max(map(len, sequences))
    rows = [F.pad(sequence, (0, longest - len(sequence))) for sequence in sequences]
    return torch.stack(rows), torch.as_tensor([len(sequence) for sequence in sequences])


def pad_with_zeros_joined(sequences):
    lengths = torch.tensor([s.numel() for s in sequences])
    rows = [torch.cat([s, s.new_zeros(lengths.max() - len(s))]) for s in sequences]
    return torch.stack(rows, dim=0), lengths


def pad_by_lists(sequences):
    longest = max(len(sequence) for sequence in sequences)
    rows = [s.tolist() + [0] * (longest - len(s)) for s in sequences]
    return torch.tensor(rows), torch.tensor([len(s) for s in sequences])


def pad_by_scatter(sequences):
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    true = torch.arange(int(lengths.max())) < lengths[:, None]
    tokens = torch.zeros(true.shape, dtype=torch.long)
    tokens[true] = torch.cat(sequences)
    return tokens, lengths


def pad_by_packing(sequences):
    packed = nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False)
    return pad_packed_sequence(packed, batch_first=True)


def pad_by_nesting(sequences):
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return torch.nested.nested_tensor(sequences).to_padded_tensor(0), lengths


def read_by_index(h_n, num_layers, bidirectional):
    if bidirectional:
        return torch.cat((h_n[-2], h_n[-1]), dim=-1)
    return h_n[-1]


def read_by_view(h_n, num_layers, bidirectional):
    directions = 1 + bidirectional
    h = h_n.view(num_layers, directions, h_n.size(1), h_n.size(2))
    return h[num_layers - 1].permute(1, 0, 2).reshape(h_n.size(1), -1)


def read_flattened(h_n, num_layers, bidirectional):
    return h_n.unflatten(0, (num_layers, -1))[-1].transpose(0, 1).flatten(1)


def read_from_the_middle(h_n, num_layers, bidirectional):
    first = len(h_n) // num_layers * (num_layers - 1)
    return torch.hstack(h_n[first:].unbind())


def read_by_chunks(h_n, num_layers, bidirectional):
    return torch.cat(h_n.chunk(num_layers)[-1].unbind(0), 1)


def mask_of_all_tokens(tokens, separator, eos):
    after = (tokens == separator).cumsum(1) - (tokens == separator).int() > 0
    ends = (tokens == eos).cumsum(1) - (tokens == eos).int()
    return (after & (ends == 0))[:, 1:]


def mask_by_places(tokens, separator, eos):
    start = (tokens == separator).int().argmax(dim=1, keepdim=True)
    end = (tokens == eos).int().argmax(dim=1, keepdim=True)
    steps = torch.arange(1, tokens.shape[1])
    return (steps > start) & (steps <= end)


def mask_by_loop(tokens, separator, eos):
    mask = torch.zeros(len(tokens), tokens.shape[1] - 1, dtype=torch.bool)
    for row, letters in enumerate(tokens.tolist()):
        start = letters.index(separator)
        mask[row, start : letters.index(eos, start)] = True
    return mask


def mask_by_state(tokens, separator, eos):
    counts = torch.zeros(len(tokens), dtype=torch.bool)
    ended, steps = counts, []
    for token in tokens[:, :-1].unbind(1):
        ended = ended | (token == eos)
        counts = (counts | (token == separator)) & ~ended
        steps.append(counts)
    return torch.stack(steps, dim=1)


def mask_by_maximum(tokens, separator, eos):
    read = tokens[:, :-1]
    begun, ended = (read == separator).int().cummax(1)[0], (read == eos).int().cummax(1)[0]
    return begun > ended


def mask_of_products(tokens, separator, eos):
    read = tokens[:, :-1]
    waiting = (read != separator).int().cumprod(1)
    return ((1 - waiting) * (read != eos).int().cumprod(1)).bool()


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("04.1", pad_of_torch),
        ("04.1", pad_row_by_row),
        ("04.1", pad_with_zeros_joined),
        ("04.1", pad_by_lists),
        ("04.1", pad_by_scatter),
        ("04.1", pad_by_packing),
        ("04.1", pad_by_nesting),
        ("04.2", read_by_index),
        ("04.2", read_by_view),
        ("04.2", read_flattened),
        ("04.2", read_from_the_middle),
        ("04.2", read_by_chunks),
        ("04.3", mask_of_all_tokens),
        ("04.3", mask_by_places),
        ("04.3", mask_by_loop),
        ("04.3", mask_by_state),
        ("04.3", mask_by_maximum),
        ("04.3", mask_of_products),
    ],
)
def test_right_answers_written_otherwise_pass(key, answer, seeds):
    assert_passes(key, answer, seeds)


# --- Wrong answers that are on the list, written otherwise ----------------------------------------


def pad_counting_nonzero(sequences):
    tokens, _ = pad(sequences)
    return tokens, torch.count_nonzero(tokens, dim=1)


def pad_on_the_left(sequences):
    flipped = [sequence.flip(0) for sequence in sequences]
    return pad_sequence(flipped, batch_first=True).flip(1), pad(sequences)[1]


def pad_all_full(sequences):
    tokens = pad_sequence(sequences, batch_first=True)
    return tokens, torch.tensor([len(row) for row in tokens])


def pad_truncated(sequences):
    shortest = min(len(sequence) for sequence in sequences)
    rows = [sequence.tolist()[:shortest] for sequence in sequences]
    return torch.tensor(rows), torch.tensor([len(sequence) for sequence in sequences])


def pad_in_the_order_of_packing(sequences):
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    order = lengths.argsort(descending=True, stable=True)
    return pad_sequence([sequences[i] for i in order], batch_first=True), lengths[order]


def pad_one_more(sequences):
    tokens = torch.zeros(len(sequences), max(map(len, sequences)) + 1, dtype=torch.int64)
    for row, sequence in zip(tokens, sequences, strict=True):
        row[: len(sequence)] = sequence
    return tokens, torch.tensor([len(sequence) for sequence in sequences])


def pad_like_the_first(sequences):
    tokens = torch.zeros(len(sequences), sequences[0].shape[0]).long()
    for i in range(len(sequences)):
        tokens[i][: len(sequences[i])] = sequences[i]
    return tokens, torch.tensor([len(sequence) for sequence in sequences])


def read_last(h_n, num_layers, bidirectional):
    return h_n.unbind(0)[-1]


def read_viewed(h_n, num_layers, bidirectional):
    directions = 2 if bidirectional else 1
    h = h_n.view(num_layers, directions, h_n.size(1), h_n.size(2))[-1]
    return h.view(h_n.size(1), directions * h_n.size(2))


def read_by_direction(h_n, num_layers, bidirectional):
    if not bidirectional:
        return h_n[-1]
    return torch.cat([h_n[num_layers - 1], h_n[2 * num_layers - 1]], dim=1)


def read_first(h_n, num_layers, bidirectional):
    return torch.cat([h_n[0], h_n[1]], dim=1) if bidirectional else h_n[0]


def read_everything(h_n, num_layers, bidirectional):
    return h_n.permute(1, 0, 2).reshape(h_n.shape[1], -1)


def read_stacked(h_n, num_layers, bidirectional):
    top = [h_n[-2], h_n[-1]] if bidirectional else [h_n[-1]]
    return torch.stack(top, dim=-1).reshape(h_n.shape[1], -1)


def read_batch_first(h_n, num_layers, bidirectional):
    directions = 2 if bidirectional else 1
    return h_n[:, -directions:, :].reshape(h_n.shape[0], -1)


def mask_cut_at_the_wrong_end(tokens, separator, eos):
    start = (tokens == separator).int().argmax(dim=1, keepdim=True)
    end = (tokens == eos).int().argmax(dim=1, keepdim=True)
    steps = torch.arange(tokens.shape[1] - 1)
    return (steps > start) & (steps <= end)


def mask_before_the_end(tokens, separator, eos):
    start = (tokens == separator).int().argmax(dim=1, keepdim=True)
    end = (tokens == eos).int().argmax(dim=1, keepdim=True)
    steps = torch.arange(1, tokens.shape[1])
    return (steps > start) & (steps < end)


def mask_from_the_separator(tokens, separator, eos):
    start = (tokens == separator).int().argmax(dim=1, keepdim=True)
    end = (tokens == eos).int().argmax(dim=1, keepdim=True)
    steps = torch.arange(1, tokens.shape[1])
    return (steps >= start) & (steps <= end)


def mask_after_the_separator(tokens, separator, eos):
    start = (tokens == separator).int().argmax(dim=1, keepdim=True)
    return torch.arange(1, tokens.shape[1]) > start


def mask_of_answers_read(tokens, separator, eos):
    read = tokens[:, :-1]
    after = (read == separator).cumsum(1) > 0
    return after & (read != separator) & ((read == eos).cumsum(1) == 0)


def mask_up_to_the_end(tokens, separator, eos):
    end = (tokens == eos).int().argmax(dim=1, keepdim=True)
    return torch.arange(1, tokens.shape[1]) <= end


def mask_as_integers(tokens, separator, eos):
    return loss_mask(tokens, separator, eos) * 1


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "mistake"),
    [
        ("04.1", pad_counting_nonzero, "lengths counted by tokens that are not zero"),
        ("04.1", pad_on_the_left, "padded in front"),
        ("04.1", pad_all_full, "the padded length for all"),
        ("04.1", pad_truncated, "cut to the shortest"),
        ("04.1", pad_in_the_order_of_packing, "sorted by length"),
        ("04.1", pad_one_more, "a column too many"),
        ("04.1", pad_like_the_first, "as long as the first"),
        ("04.2", read_last, "the last entry only"),
        ("04.2", read_viewed, "reshaped across the batch"),
        ("04.2", read_by_direction, "directions before layers"),
        ("04.2", read_first, "the bottom layer"),
        ("04.2", read_everything, "all layers"),
        ("04.2", read_stacked, "units of both directions in turn"),
        ("04.2", read_batch_first, "batch taken for the first axis"),
        ("04.3", mask_cut_at_the_wrong_end, "aligned with the inputs"),
        ("04.3", mask_before_the_end, "the end left out"),
        ("04.3", mask_from_the_separator, "the separator counts"),
        ("04.3", mask_after_the_separator, "padding counts"),
        ("04.3", mask_of_answers_read, "the first answer token left out"),
        ("04.3", mask_up_to_the_end, "the question counts"),
        ("04.3", mask_as_integers, "ones and zeros"),
    ],
)
def test_mistakes_written_otherwise_get_the_same_message(key, answer, mistake, seeds):
    assert_told(key, answer, mistake, seeds)


# --- Wrong answers that are not on the list -------------------------------------------------------


def pad_into_zeros(sequences):
    tokens, lengths = pad(sequences)
    return tokens.float(), lengths


def pad_without_lengths(sequences):
    return pad(sequences)[0]


def pad_with_a_list_of_lengths(sequences):
    return pad(sequences)[0], [len(sequence) for sequence in sequences]


def pad_in_place(sequences):
    result = pad(sequences)
    sequences.sort(key=len)
    return result


def pad_lengths_first(sequences):
    return pad(sequences)[::-1]


def read_squeezed(h_n, num_layers, bidirectional):
    return read_h_n(h_n, num_layers, bidirectional).squeeze()


def read_detached(h_n, num_layers, bidirectional):
    return read_h_n(h_n.detach(), num_layers, bidirectional)


def read_by_too_few(h_n, num_layers, bidirectional):
    return h_n.view(num_layers, h_n.shape[1], h_n.shape[2])[-1]


def mask_of_the_first_row(tokens, separator, eos):
    mask = loss_mask(tokens, separator, eos)
    return mask[:1].repeat(len(mask), 1)


def mask_with_python(tokens, separator, eos):
    if tokens == separator:
        return tokens


def mask_without_a_loop_over_rows(tokens, separator, eos):
    return loss_mask(tokens[0:1], separator, eos)[0]


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "part"),
    [
        ("04.1", pad_into_zeros, "Your tokens are `float32`, expected `int64`"),
        ("04.1", pad_without_lengths, "returned a tensor, expected a tuple of 2: tokens and"),
        ("04.1", pad_with_a_list_of_lengths, "Your lengths are a list of 4, expected a tensor"),
        ("04.1", pad_in_place, "changes its argument `sequences`"),
        ("04.1", pad_lengths_first, "in another order: expected tokens then lengths"),
        ("04.2", read_squeezed, "one sequence is still a batch"),
        ("04.2", read_detached, "detach"),
        ("04.2", read_by_too_few, "is invalid for input of size"),
        ("04.3", mask_of_the_first_row, "the same for every sequence of the batch"),
        ("04.3", mask_with_python, "is ambiguous"),
        ("04.3", mask_without_a_loop_over_rows, "the batch axis is missing"),
    ],
)
def test_answers_that_nobody_listed_are_diagnosed(key, answer, part, seeds):
    for seed in seeds:
        report = check_with_seed(catalogue()[key], answer, seed)
        assert not report.passed
        assert part in report.messages[0], report


# --- What the statements say ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_top_states_are_those_of_torch(kind, bidirectional, layers):
    torch.manual_seed(0)
    lengths, time, hidden = torch.tensor([4, 6, 2, 5, 1]), 6, 7
    module = kind(3, hidden, layers, batch_first=True, bidirectional=bidirectional)
    packed = pack_padded_sequence(
        torch.randn(5, time, 3), lengths, batch_first=True, enforce_sorted=False
    )
    outputs, state = module(packed)
    outputs, _ = pad_packed_sequence(outputs, batch_first=True)
    ends = outputs[torch.arange(5), lengths - 1, :hidden]
    starts = outputs[:, 0, hidden:]  # where the backward direction ends; nothing without it
    top = read_h_n(state[0] if kind is nn.LSTM else state, layers, bidirectional)
    torch.testing.assert_close(top, torch.cat([ends, starts], dim=1), rtol=0, atol=0)


def test_the_mask_of_the_example_in_the_statement():
    letters = "0123456789>IVXLCDM."
    rows = ["37>XXXVII.", "9>IX......"]
    tokens = torch.tensor([[letters.index(letter) for letter in row] for row in rows])
    mask = loss_mask(tokens, letters.index(">"), letters.index("."))
    shown = ["".join("1" if counts else "0" for counts in row) for row in mask.tolist()]
    assert shown == ["001111111", "011100000"]


def test_the_mask_is_that_of_the_chapter():
    task = roman_numerals()
    separator, eos = task.vocab.encode([SEPARATOR, END]).tolist()
    window = next(iter(RomanBatches(task, task.held_out, batch=500)))
    tokens = torch.cat([window.inputs, window.targets[:, -1:]], dim=1)
    assert torch.equal(loss_mask(tokens, separator, eos), window.mask)


def share_of_padding(lengths, batch):
    """Share of padding where lengths, (runs, sequences), are cut into batches as they stand."""
    longest = lengths.unflatten(1, (-1, batch)).amax(2)
    return float(1 - lengths.sum() / (batch * longest.sum()))


def test_the_numbers_on_the_waste_of_padding():
    generator = torch.Generator().manual_seed(0)
    longest, batch = 50, 32
    lengths = torch.randint(1, longest + 1, (400, 20 * batch), generator=generator)
    largest = longest - sum((j / longest) ** batch for j in range(longest))
    exact = 1 - (longest + 1) / (2 * largest)
    assert share_of_padding(lengths, batch) == pytest.approx(exact, abs=0.005)
    assert round(largest, 2) == 48.93
    assert round(100 * exact, 1) == 47.9
    assert round(100 * (batch - 1) / (2 * batch), 1) == 48.4
    pool = share_of_padding(lengths.sort(dim=1).values, batch)
    assert pool == pytest.approx((batch - 1) / (21 * batch), abs=0.003)
    assert round(100 * pool, 1) in (4.4, 4.5)
    assert round(100 * (batch - 1) / (21 * batch), 1) == 4.6
    # Lengths of any size: an exponential distribution.
    waiting = -torch.rand(400, 20 * batch, generator=generator, dtype=torch.float64).log()
    harmonic = sum(1 / k for k in range(1, batch + 1))
    assert share_of_padding(waiting, batch) == pytest.approx(1 - 1 / harmonic, abs=0.005)
    assert round(harmonic, 2) == 4.06
    assert round(100 * (1 - 1 / harmonic)) == 75
