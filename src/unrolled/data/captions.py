"""Pictures of handwritten numbers, and what they say in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from unrolled.checking import check_choice
from unrolled.data.numbers import number_name
from unrolled.data.pairs import Tokenizer, shifted

SIZE = 8  # pixels, of a scan
PLACES = 3  # scans side by side in a picture, at most
#: scikit-learn's file repeats one series of digits 14 times, most likely once for each person who
#: wrote; this is where the eleventh series begins.
FIRST_HELD_OUT_SCAN = 1287
#: Shares of the pictures with one, two and three digits.
DIGITS = (0.1, 0.3, 0.6)


@cache
def number_in_words(number: int) -> str:
    """Write a number from 0 to 999 in English words, without hyphens.

    Raises
    ------
    ValueError
        If the number is no whole number from 0 to 999.

    Examples
    --------
    >>> number_in_words(407)
    'four hundred and seven'
    >>> number_in_words(70), number_in_words(42), number_in_words(900)
    ('seventy', 'forty two', 'nine hundred')
    """
    if number not in range(1000):
        raise ValueError(f"number is {number}; expected a whole number from 0 to 999")
    return number_name(number, "en")


class Wording(Tokenizer):
    """Cut the names of the numbers from 0 to 999 into tokens, and put tokens together again.

    Parameters
    ----------
    by
        ``"letters"`` (the space is one) or ``"words"``.

    Attributes
    ----------
    longest : int
        Tokens of the longest caption, the end token included.

    Raises
    ------
    ValueError
        If ``by`` is neither.

    Examples
    --------
    >>> wording = Wording(by="words")
    >>> tokens = wording.encode([7, 407])
    >>> [len(caption) for caption in tokens]   # the end token included
    [2, 5]
    >>> wording.text(tokens[1])
    'four hundred and seven'
    """

    def __init__(self, by: str = "letters") -> None:
        check_choice(("letters", "words"), by=by)
        super().__init__(map(number_in_words, range(1000)), by)
        self.longest = max(map(len, self.encode(range(1000))))

    def encode(self, numbers: Iterable[int]) -> list[Tensor]:
        """Give a caption for each number, ``int64``, ``(time,)``, with the end token."""
        return super().encode(number_in_words(int(number)) for number in numbers)


def scanned_digits() -> tuple[Tensor, Tensor]:
    """Give scikit-learn's scanned digits, ``(scans, 8, 8)`` from 0 to 1, and what they show.

    They are 1,797 of those that Alpaydin and Kaynak collected from 43 people in 1998; 13 people
    wrote these. The file repeats one series of about 128 digits 14 times.
    """
    digits = load_digits()
    return torch.from_numpy(digits.images).float() / 16, torch.from_numpy(digits.target)


class NumberPictures(NamedTuple):
    """Pictures of numbers: ``images (pictures, 8, 24)``, from 0 to 1, and ``numbers (pictures,)``.

    ``scans (pictures, 3)`` says which scans stand in a picture, -1 where there is none.
    """

    images: Tensor
    numbers: Tensor
    scans: Tensor

    def first(self, count: int) -> NumberPictures:
        """Give the first ``count`` pictures."""
        return NumberPictures(*(tensor[:count] for tensor in self))


class HandwrittenNumbers(NamedTuple):
    """The task: pictures to learn from, and two sets of pictures of other scans.

    ``held_out`` shows numbers that ``train`` shows too, in other handwriting; ``unseen`` shows
    numbers that ``train`` never shows.
    """

    train: NumberPictures
    held_out: NumberPictures
    unseen: NumberPictures


def handwritten_numbers(train: int = 20_000, held_out: int = 1_000) -> HandwrittenNumbers:
    """Compose pictures of numbers from 0 to 999 out of scikit-learn's scanned digits.

    A picture is 8 by 24 pixels: one to three scans side by side, centred where they are fewer. One
    picture in ten has one digit, three have two, six have three. The scans are split before they
    are composed, between two of the series in which they came: 1,287 to learn from, 510 held out.
    Of the numbers from 10 to 999, 150 are never shown in ``train``; ``unseen`` shows only these.

    Parameters
    ----------
    train
        Number of pictures to learn from.
    held_out
        Number of pictures in each of the two other sets.

    Raises
    ------
    ValueError
        If a number of pictures is below 1.

    Examples
    --------
    >>> task = handwritten_numbers(train=500, held_out=100)
    >>> task.train.images.shape
    torch.Size([500, 8, 24])
    >>> set(task.train.numbers.tolist()) & set(task.unseen.numbers.tolist())
    set()
    """
    if min(train, held_out) < 1:
        raise ValueError(f"train is {train} and held_out is {held_out}; expected at least 1 each")
    generator = torch.Generator().manual_seed(0)  # independent of every other random number
    new = 10 + torch.randperm(990, generator=generator)[:150]
    shown = torch.ones(1000, dtype=torch.bool)
    shown[new] = False
    scans, labels = scanned_digits()
    learnt = torch.arange(len(scans)) < FIRST_HELD_OUT_SCAN

    def compose(count: int, numbers: Tensor, allowed: Tensor) -> NumberPictures:
        return _compose(count, numbers, scans, labels.where(allowed, -1), generator)

    return HandwrittenNumbers(
        compose(train, shown.nonzero()[:, 0], learnt),
        compose(held_out, shown.nonzero()[:, 0], ~learnt),
        compose(held_out, new.sort().values, ~learnt),
    )


def _compose(
    count: int, numbers: Tensor, scans: Tensor, labels: Tensor, generator: torch.Generator
) -> NumberPictures:
    """Draw numbers, a scan for each of their digits, and put these side by side."""
    length = 1 + (numbers >= 10).long() + (numbers >= 100).long()
    share = torch.tensor(DIGITS)[length - 1] / torch.bincount(length)[length]
    drawn = torch.multinomial(share, count, replacement=True, generator=generator)
    numbers, length = numbers[drawn], length[drawn]
    chosen = torch.full((count, PLACES), -1)
    images = torch.zeros(count, SIZE, PLACES * SIZE)
    rows = torch.arange(count)
    for place in range(PLACES):  # from the left
        rank = length - 1 - place  # 2 for hundreds
        here = rank >= 0
        digit = numbers // 10 ** rank.clamp(min=0) % 10
        for value in range(10):
            of_value = rows[here & (digit == value)]
            pool = (labels == value).nonzero()[:, 0]
            some = torch.randint(len(pool), (len(of_value),), generator=generator)
            chosen[of_value, place] = pool[some]
        left = (PLACES - length) * SIZE // 2 + place * SIZE  # (count,)
        for begin in left[here].unique().tolist():
            shown = rows[here & (left == begin)]
            images[shown, :, begin : begin + SIZE] = scans[chosen[shown, place]]
    return NumberPictures(images, numbers, chosen)


class CaptionBatch(NamedTuple):
    """Images with their captions: ``inputs``, ``targets`` and ``mask`` are ``(batch, time)``.

    ``images`` is ``(batch, height, width)``, from 0 to 1. The inputs begin with the start token,
    the targets end with the end token; the mask is true up to and including it.
    """

    images: Tensor
    inputs: Tensor
    targets: Tensor
    mask: Tensor

    @property
    def weight(self) -> int:
        """Give the number of targets that count."""
        return int(self.mask.sum())


class CaptionBatches:
    """Make batches of pictures with their captions, each padded to its longest caption.

    With shuffling, a pass has another order each time, drawn from PyTorch's generator when it
    begins.

    Parameters
    ----------
    pictures
        Of numbers.
    wording
        Makes the captions.
    batch
        Pictures in a batch; the last may have fewer.
    shuffle
        For training.

    Raises
    ------
    ValueError
        If ``batch`` is below 1.

    Examples
    --------
    >>> task, wording = handwritten_numbers(train=10, held_out=5), Wording(by="words")
    >>> batches = CaptionBatches(task.held_out, wording, batch=5, shuffle=False)
    >>> for batch in batches:
    ...     said = [wording.text(row) for row in batch.targets]
    >>> said == [number_in_words(int(number)) for number in task.held_out.numbers]
    True
    """

    def __init__(
        self, pictures: NumberPictures, wording: Wording, batch: int, shuffle: bool = True
    ) -> None:
        if batch < 1:
            raise ValueError(f"batch is {batch}; expected at least 1")
        self.images, self.bos, self.eos = pictures.images, wording.bos, wording.eos
        self.captions = wording.encode(pictures.numbers.tolist())
        self.batch, self.shuffle = batch, shuffle

    def __len__(self) -> int:
        return -(-len(self.captions) // self.batch)  # rounded up

    def __iter__(self) -> Iterator[CaptionBatch]:
        count = len(self.captions)
        order = torch.randperm(count) if self.shuffle else torch.arange(count)
        return (self.batch_of(rows) for rows in order.split(self.batch))

    def batch_of(self, rows: Tensor) -> CaptionBatch:
        """Give the pictures of some rows; past its end, a caption is filled with end tokens."""
        captions = [self.captions[row] for row in rows.tolist()]
        return CaptionBatch(self.images[rows], *shifted(captions, self.bos, self.eos))
