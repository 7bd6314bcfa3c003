"""Roman numerals: a question and an answer of another length, one text for both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from unrolled.data.vocab import Vocab
from unrolled.data.windows import MaskedWindow

LARGEST = 3999  # what can be written with the letters up to M
SEPARATOR, END, PADDING = ">", "<eos>", "<pad>"
_UNITS = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")


def roman_numeral(number: int) -> str:
    """Write a number in Roman numerals, as they are written today.

    Raises
    ------
    ValueError
        If the number is not a whole number from 1 to 3,999.

    Examples
    --------
    >>> roman_numeral(1987)
    'MCMLXXXVII'
    """
    if not isinstance(number, int) or not 1 <= number <= LARGEST:
        raise ValueError(f"number is {number!r}; expected a whole number from 1 to {LARGEST:,}")
    letters = "IVXLCDM"
    written = ""
    for place, digit in enumerate(reversed(str(number))):  # ones, tens, hundreds, thousands
        here = str.maketrans("IVX", letters[2 * place : 2 * place + 3].ljust(3, "?"))
        written = _UNITS[int(digit)].translate(here) + written
    return written


class RomanNumerals(NamedTuple):
    """The task: numbers to learn from, numbers held out, and the tokens of both."""

    train: list[int]
    held_out: list[int]
    vocab: Vocab

    def encode(self, number: int) -> Tensor:
        """Give question, separator, answer and end as one text, ``int64``, ``(time,)``."""
        return self.vocab.encode([*str(number), SEPARATOR, *roman_numeral(number), END])


def roman_numerals() -> RomanNumerals:
    """Give the numbers from 1 to 3,999, of which 500 are held out: always the same ones.

    Examples
    --------
    >>> task = roman_numerals()
    >>> len(task.train), len(task.held_out)
    (3499, 500)
    >>> "".join(task.vocab.decode(task.encode(14)))
    '14>XIV<eos>'
    """
    order = torch.randperm(LARGEST, generator=torch.Generator().manual_seed(0)) + 1
    vocab = Vocab([*"0123456789IVXLCDM", SEPARATOR, END, PADDING])
    return RomanNumerals(order[500:].tolist(), order[:500].sort().values.tolist(), vocab)


class RomanBatches:
    """Windows on the texts of some numbers, in which the targets of the answer count.

    The inputs are all tokens of a text but the last, the targets all but the first. The mask is
    true where the target is a letter of the answer or the end token, unless ``everything`` is
    asked for: then it is true for all targets that are not padding.

    Parameters
    ----------
    task
        Gives the tokens.
    numbers
        Which numbers.
    batch
        Texts in a window; the last may have fewer.
    everything
        Whether the digits of the question count as targets too.

    Raises
    ------
    ValueError
        If there are no numbers or ``batch`` is below 1.

    Examples
    --------
    >>> task = roman_numerals()
    >>> window = next(iter(RomanBatches(task, [14], batch=1)))
    >>> task.vocab.decode(window.targets[0]), window.mask[0].int().tolist()
    (['4', '>', 'X', 'I', 'V', '<eos>'], [0, 0, 1, 1, 1, 1])
    """

    def __init__(
        self, task: RomanNumerals, numbers: Sequence[int], batch: int, everything: bool = False
    ) -> None:
        if not len(numbers) or batch < 1:
            raise ValueError(
                f"{len(numbers)} numbers and a batch of {batch} came; expected at least 1 of each"
            )
        rows = [task.encode(number) for number in numbers]
        (padding,) = task.vocab.encode([PADDING]).tolist()
        (separator,) = task.vocab.encode([SEPARATOR]).tolist()
        tokens = pad_sequence(rows, batch_first=True, padding_value=padding)
        self.inputs, self.targets = tokens[:, :-1], tokens[:, 1:]
        self.mask = self.targets != padding
        if not everything:  # from the step at which the separator is read
            self.mask &= (self.inputs == separator).cumsum(1) > 0
        self.batch = batch

    def __len__(self) -> int:
        return -(-len(self.inputs) // self.batch)  # rounded up

    def __iter__(self) -> Iterator[MaskedWindow]:
        order = torch.randperm(len(self.inputs))
        return (
            MaskedWindow(self.inputs[rows], self.targets[rows], self.mask[rows])
            for rows in order.split(self.batch)
        )
