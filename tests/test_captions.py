"""Captions of handwritten numbers."""

import pytest
import torch

from unrolled.data import captions
from unrolled.data.captions import (
    FIRST_HELD_OUT_SCAN,
    CaptionBatches,
    Wording,
    handwritten_numbers,
    number_in_words,
    scanned_digits,
)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (1, "one"),
        (10, "ten"),
        (13, "thirteen"),
        (19, "nineteen"),
        (20, "twenty"),
        (21, "twenty one"),
        (90, "ninety"),
        (99, "ninety nine"),
        (100, "one hundred"),
        (101, "one hundred and one"),
        (110, "one hundred and ten"),
        (219, "two hundred and nineteen"),
        (320, "three hundred and twenty"),
        (407, "four hundred and seven"),
        (777, "seven hundred and seventy seven"),
        (999, "nine hundred and ninety nine"),
    ],
)
def test_number_in_words(number, words):
    assert number_in_words(number) == words


def test_every_number_has_its_own_name():
    assert len({number_in_words(number) for number in range(1000)}) == 1000


@pytest.mark.parametrize("number", [-1, 1000, 2.5])
def test_numbers_out_of_range_are_refused(number):
    with pytest.raises(ValueError, match=f"number is {number}; expected a whole number from 0"):
        number_in_words(number)


@pytest.mark.parametrize(("by", "size"), [("letters", 22), ("words", 32)])
def test_wording_is_undone(by, size):
    wording = Wording(by)
    assert len(wording.vocab) == size
    assert wording.vocab.tokens[wording.bos] == "<bos>"
    for number, caption in enumerate(wording.encode(range(1000))):
        assert caption[-1] == wording.eos
        assert (caption[:-1] != wording.eos).all()
        assert (caption != wording.bos).all()
        assert wording.text(caption) == number_in_words(number)
    assert wording.longest == max(map(len, wording.encode(range(1000))))


def test_text_stops_at_the_first_end_token_and_needs_none():
    wording = Wording("words")
    tokens = wording.encode([42, 7])
    assert wording.text(torch.cat(tokens)) == "forty two"
    assert wording.text(tokens[0][:1]) == "forty"
    assert wording.text(tokens[0][2:]) == ""


def test_unknown_wording_is_refused():
    with pytest.raises(ValueError, match="by is 'syllables'; expected one of 'letters', 'words'"):
        Wording("syllables")


@pytest.fixture(scope="module")
def task():
    return handwritten_numbers(train=3_000, held_out=600)


def test_pictures_show_their_numbers(task):
    """Each picture is put together again from the scans that it names."""
    scans, labels = scanned_digits()
    for pictures in task:
        assert pictures.images.shape == (len(pictures.numbers), 8, 24)
        for image, number, chosen in zip(*pictures, strict=True):
            chosen = chosen[chosen >= 0]
            assert "".join(str(int(labels[scan])) for scan in chosen) == str(int(number))
            expected = torch.zeros(8, 24)
            left = {1: 8, 2: 4, 3: 0}[len(chosen)]
            expected[:, left : left + 8 * len(chosen)] = torch.cat(list(scans[chosen]), dim=1)
            assert torch.equal(image, expected)
        assert pictures.images.min() == 0
        assert pictures.images.max() == 1


def test_scans_are_grey_pictures_of_digits():
    scans, labels = scanned_digits()
    assert scans.shape == (1797, 8, 8)
    assert (scans.min(), scans.max()) == (0, 1)
    assert torch.bincount(labels).min() > 170
    assert labels[:10].tolist() == list(range(10))


def test_the_first_pictures_keep_their_numbers(task):
    some = task.train.first(5)
    assert all(torch.equal(part, whole[:5]) for part, whole in zip(some, task.train, strict=True))


def test_scans_and_numbers_are_held_out(task):
    scans = [set(pictures.scans.flatten().tolist()) - {-1} for pictures in task]
    assert max(scans[0]) < FIRST_HELD_OUT_SCAN <= min(scans[1] | scans[2])
    assert len(scans[0]) > 1200
    assert len(scans[1] | scans[2]) > 480
    shown, again, new = (set(pictures.numbers.tolist()) for pictures in task)
    assert not new & (shown | again)
    assert min(new) >= 10
    assert 130 < len(new) <= 150


def test_series_are_not_cut():
    """The first held-out scan begins the series that the file repeats."""
    _, labels = scanned_digits()
    series = labels[:40]
    assert (labels[FIRST_HELD_OUT_SCAN : FIRST_HELD_OUT_SCAN + 40] == series).float().mean() > 0.7
    assert (
        labels[FIRST_HELD_OUT_SCAN + 1 : FIRST_HELD_OUT_SCAN + 41] == series
    ).float().mean() < 0.3


def test_every_word_is_shown(task):
    words = {word for n in range(1000) for word in number_in_words(n).split()}
    assert words == {word for n in task.train.numbers for word in number_in_words(int(n)).split()}


def test_pictures_have_one_two_or_three_digits_in_the_promised_shares(task):
    length = torch.tensor([len(str(int(number))) for number in task.train.numbers])
    found = torch.bincount(length, minlength=4) / len(length)
    assert torch.allclose(found[1:], torch.tensor(captions.DIGITS), atol=0.03)


def test_pictures_are_the_same_every_time(task):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    again = handwritten_numbers(train=3_000, held_out=600)
    assert torch.equal(torch.get_rng_state(), before)
    for pictures, same in zip(task, again, strict=True):
        assert all(map(torch.equal, pictures, same))


@pytest.mark.parametrize("numbers", [(0, 1), (1, 0)])
def test_no_pictures_are_refused(numbers):
    with pytest.raises(ValueError, match=f"train is {numbers[0]} and held_out is {numbers[1]}"):
        handwritten_numbers(*numbers)


@pytest.mark.parametrize("by", ["letters", "words"])
def test_batches_shift_the_captions_by_one(task, by):
    wording = Wording(by)
    seen = []
    for batch in CaptionBatches(task.held_out, wording, batch=250, shuffle=False):
        assert batch.images.dtype == torch.float32
        assert batch.inputs.shape == batch.targets.shape == batch.mask.shape
        for image, inputs, targets, mask in zip(*batch, strict=True):
            length = int(mask.sum())
            assert mask[:length].all()
            caption = targets[mask]
            assert inputs[0] == wording.bos
            assert torch.equal(inputs[1:length], caption[:-1])
            assert caption[-1] == wording.eos
            assert (targets[length:] == wording.eos).all()
            seen.append((wording.text(caption), image))
        assert batch.mask.any(0).all()  # no longer than the longest caption
        assert batch.weight == batch.mask.sum()
    names = [number_in_words(int(number)) for number in task.held_out.numbers]
    assert [name for name, _ in seen] == names
    assert torch.equal(torch.stack([image for _, image in seen]), task.held_out.images)


def test_a_pass_shows_every_picture_once_in_an_order_of_its_own(task):
    batches = CaptionBatches(task.held_out, Wording(), batch=64)
    assert len(batches) == 10
    torch.manual_seed(0)
    first, second = ([batch.images for batch in batches] for _ in range(2))
    assert [len(images) for images in first] == [64] * 9 + [24]
    assert not torch.equal(first[0], second[0])
    everything = task.held_out.images.flatten(1).sum(1).sort().values
    for images in (first, second):
        assert torch.allclose(torch.cat(images).flatten(1).sum(1).sort().values, everything)
    torch.manual_seed(0)
    assert torch.equal(next(iter(batches)).images, first[0])


def test_shuffled_pictures_keep_their_captions(task):
    wording = Wording()
    batch = next(iter(CaptionBatches(task.train, wording, batch=64)))
    by_image = {image.numpy().tobytes(): int(n) for image, n in zip(*task.train[:2], strict=True)}
    for image, targets in zip(batch.images, batch.targets, strict=True):
        assert wording.text(targets) == number_in_words(by_image[image.numpy().tobytes()])


def test_an_empty_batch_is_refused(task):
    with pytest.raises(ValueError, match="batch is 0; expected at least 1"):
        CaptionBatches(task.train, Wording(), batch=0)
