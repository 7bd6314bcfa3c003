"""Batches by length, and Roman numerals."""

import pytest
import torch

from unrolled.data import LengthBatches, RomanBatches, roman_numeral, roman_numerals

VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def words(count=300):
    torch.manual_seed(0)
    return [torch.full((int(n),), row + 1) for row, n in enumerate(torch.randint(1, 30, (count,)))]


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_pass_gives_every_sequence_once_with_its_length_and_target(shuffle):
    sequences = words()
    batches = LengthBatches(sequences, torch.arange(300) * 2, batch=16, shuffle=shuffle)
    seen = []
    assert len(list(batches)) == len(batches) == 19
    for tokens, lengths, targets in batches:
        assert tokens.shape == (len(lengths), int(lengths.max()))
        for row, length, target in zip(tokens, lengths, targets, strict=True):
            number = int(row[0])
            assert length == len(sequences[number - 1])
            assert torch.equal(row[:length], sequences[number - 1])
            assert (row[length:] == 0).all()
            assert target == 2 * (number - 1)
            seen.append(number)
    assert sorted(seen) == list(range(1, 301))


def test_targets_for_each_step_are_padded_with_the_sequences():
    sequences = words(40)
    tags = [sequence % 3 for sequence in sequences]
    for batch in LengthBatches(sequences, tags, batch=8):
        true = torch.arange(batch.tokens.shape[1]) < batch.lengths[:, None]
        assert torch.equal(batch.targets[true], batch.tokens[true] % 3)
        assert batch.weight == int(batch.lengths.sum())
    one_each = next(iter(LengthBatches(sequences, torch.zeros(40).long(), batch=8)))
    assert one_each.weight == 8


def test_batches_have_about_one_length_and_another_order_in_each_pass():
    batches = LengthBatches(words(2000), torch.zeros(2000).long(), batch=20)

    def padding(some):
        cells = sum(batch.tokens.numel() for batch in some)
        return 1 - sum(int(batch.lengths.sum()) for batch in some) / cells

    torch.manual_seed(1)
    first, second = list(batches), list(batches)
    assert padding(first) < 0.1  # in a random order it is nearly a half
    together = [
        {frozenset(batch.tokens[:, 0].tolist()) for batch in some} for some in (first, second)
    ]
    assert len(together[0] & together[1]) < 10  # of a hundred batches
    longest = [int(batch.lengths.max()) for batch in first]
    assert longest != sorted(longest)
    torch.manual_seed(1)
    for again, before in zip(batches, first, strict=True):
        assert torch.equal(again.tokens, before.tokens)


def test_without_shuffling_the_order_is_by_length_and_draws_nothing():
    batches = LengthBatches(words(), torch.zeros(300).long(), batch=16, shuffle=False)
    state = torch.get_rng_state()
    lengths = torch.cat([batch.lengths for batch in batches])
    assert torch.equal(lengths, lengths.sort().values)
    assert torch.equal(torch.get_rng_state(), state)


ONE = [torch.tensor([1, 2])]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], torch.zeros(0), 2), "no sequences came"),
        ((ONE, torch.zeros(1), 0), "batch is 0; expected at least 1"),
        (([*ONE, torch.zeros(0).long()], torch.zeros(2), 2), "sequence 1 is empty; leave it out"),
        ((ONE, torch.zeros(2), 2), "2 targets came for 1 sequences"),
        ((ONE, [torch.zeros(3)], 2), "sequence 0 has 2 steps and 3 targets"),
    ],
)
def test_sequences_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LengthBatches(*arguments)


def test_roman_numerals_mean_their_number():
    written = [roman_numeral(number) for number in range(1, 4000)]
    for number, numeral in enumerate(written, start=1):
        values = [VALUES[letter] for letter in numeral]
        after = [*values[1:], 0]
        assert number == sum(
            -value if value < following else value
            for value, following in zip(values, after, strict=True)
        )
        assert not any(4 * letter in numeral for letter in "IVXLCD")
    assert max(map(len, written)) == 15
    assert [roman_numeral(n) for n in (4, 9, 40, 90, 400, 900)] == [
        "IV",
        "IX",
        "XL",
        "XC",
        "CD",
        "CM",
    ]


@pytest.mark.parametrize("number", [0, 4000, -1, 1.5])
def test_what_has_no_numeral_is_refused(number):
    with pytest.raises(ValueError, match=f"number is {number}; expected a whole number from 1"):
        roman_numeral(number)


def test_no_number_is_both_learnt_and_held_out():
    task = roman_numerals()
    assert sorted(task.train + task.held_out) == list(range(1, 4000))
    assert task.held_out == roman_numerals().held_out


def test_the_answer_counts_and_the_targets_are_one_step_ahead():
    task = roman_numerals()
    batches = RomanBatches(task, [7, 1888], batch=2)
    (window,) = batches
    assert window.weight == 4 + 14  # the letters, and an end for each
    everything = next(iter(RomanBatches(task, [7, 1888], batch=2, everything=True)))
    assert everything.weight == 5 + 18  # all but the first digit
    for inputs, targets, mask in zip(*window, strict=True):
        assert torch.equal(inputs[1:], targets[:-1])
        answer = "".join(task.vocab.decode(targets[mask]))
        number = "".join(task.vocab.decode(inputs)).split(">")[0]
        assert answer == roman_numeral(int(number)) + "<eos>"


def test_a_pass_of_roman_batches_has_every_number_once_in_random_order():
    task = roman_numerals()
    batches = RomanBatches(task, range(1, 201), batch=30)
    assert len(list(batches)) == len(batches) == 7
    texts = ["".join(task.vocab.decode(row)) for window in batches for row in window.inputs]
    numbers = [int(text.split(">")[0]) for text in texts]
    assert sorted(numbers) == list(range(1, 201))
    assert numbers != sorted(numbers)
    with pytest.raises(ValueError, match="0 numbers and a batch of 2 came"):
        RomanBatches(task, [], batch=2)
