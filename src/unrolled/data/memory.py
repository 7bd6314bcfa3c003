"""Tasks that only a memory can solve; any number of batches, drawn when they are asked for.

Each pass over such batches is the same and has no end: it draws from a generator of its own, made
with the seed. No sequence comes twice but by chance, so that a loss in training is one on sequences
that were not seen before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from unrolled.checking import check_whole


class MemoryBatch(NamedTuple):
    """What is read, ``(batch, time, ...)``, and what is to be said."""

    inputs: Tensor
    target: Tensor


class MemoryBatches:
    """What the three tasks share: an endless pass, always the same for one seed."""

    def __init__(self, batch: int, seed: int) -> None:
        check_whole(1, batch=batch)
        self.batch, self.seed = batch, seed

    def __iter__(self) -> Iterator[MemoryBatch]:
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            yield self.draw(generator)

    def draw(self, generator: Generator) -> MemoryBatch:
        """Draw one batch; each task says how."""
        raise NotImplementedError


class AddingBatches(MemoryBatches):
    """The adding problem [1]_: add up the two numbers of a sequence that are marked.

    A step has two features: a number, uniform in [0, 1), and a mark, which is 1 at one step of the
    first half and at one of the second, and 0 elsewhere [2]_. Who always answers 1 has a mean
    squared error of 1/6, the variance of the sum.

    Parameters
    ----------
    time
        Steps of a sequence, at least 2.
    batch
        Sequences in a batch.
    seed
        Of the generator from which a pass draws.

    Raises
    ------
    ValueError
        If ``time`` is below 2 or ``batch`` below 1.

    References
    ----------
    .. [1] S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997,
       section 5.4; there the numbers are in [-1, 1] and lengths vary.
    .. [2] M. Arjovsky, A. Shah, Y. Bengio, "Unitary evolution recurrent neural networks", 2016,
       arXiv:1511.06464, section 4.

    Examples
    --------
    >>> x, target = next(iter(AddingBatches(time=50, batch=4)))
    >>> x.shape, target.shape
    (torch.Size([4, 50, 2]), torch.Size([4]))
    >>> numbers, marks = x.unbind(2)
    >>> torch.equal(target, (numbers * marks).sum(1))
    True
    """

    def __init__(self, time: int, batch: int, seed: int = 0) -> None:
        super().__init__(batch, seed)
        check_whole(2, time=time)
        self.time = time

    def draw(self, generator: Generator) -> MemoryBatch:
        """Give numbers and marks ``(batch, time, 2)``, and sums ``(batch,)``."""
        numbers = torch.rand(self.batch, self.time, generator=generator)
        half = self.time // 2
        first = torch.randint(half, (self.batch, 1), generator=generator)
        second = torch.randint(half, self.time, (self.batch, 1), generator=generator)
        marks = torch.zeros_like(numbers).scatter_(1, torch.cat([first, second], 1), 1.0)
        return MemoryBatch(torch.stack([numbers, marks], 2), (numbers * marks).sum(1))


class FirstSymbolBatches(MemoryBatches):
    """Say at the end of a sequence with which symbol it began; all that follows is noise.

    The symbols are the tokens ``0`` to ``symbols - 1``. The noise is drawn from as many other
    tokens, ``symbols`` to ``2 * symbols - 1``. Who guesses is right once in ``symbols`` times.

    Parameters
    ----------
    symbols
        How many there are to tell apart, at least 2.
    time
        Steps of a sequence, the symbol itself included.
    batch
        Sequences in a batch.
    seed
        Of the generator from which a pass draws.

    Attributes
    ----------
    vocab_size : int
        Number of tokens, ``2 * symbols``.

    Raises
    ------
    ValueError
        If ``symbols`` is below 2, ``time`` or ``batch`` below 1.

    Examples
    --------
    >>> tokens, target = next(iter(FirstSymbolBatches(symbols=8, time=5, batch=1)))
    >>> tokens.shape, target.item() == tokens[0, 0].item() < 8 <= tokens[0, 1:].min().item()
    (torch.Size([1, 5]), True)
    """

    def __init__(self, symbols: int, time: int, batch: int, seed: int = 0) -> None:
        super().__init__(batch, seed)
        check_whole(2, symbols=symbols)
        check_whole(1, time=time)
        self.symbols, self.time, self.vocab_size = symbols, time, 2 * symbols

    def draw(self, generator: Generator) -> MemoryBatch:
        """Give tokens ``(batch, time)`` and the first of each sequence ``(batch,)``."""
        shape = self.batch, self.time
        tokens = torch.randint(self.symbols, self.vocab_size, shape, generator=generator)
        tokens[:, 0] -= self.symbols
        return MemoryBatch(tokens, tokens[:, 0].clone())


class CopyingBatches(MemoryBatches):
    """Read some symbols, wait, then write them down [1]_.

    The tokens ``0`` to ``symbols - 1`` are the symbols; ``symbols`` is the blank, ``symbols + 1``
    the sign to begin. A sequence is ``copied`` symbols, ``gap - 1`` blanks, the sign, and as many
    blanks as there are symbols to write. The target has one token for each step: a blank until the
    sign has been read, then the symbols.

    Who knows where the answer begins and guesses its symbols has a mean cross-entropy of
    ``copied * ln(symbols) / (gap + 2 * copied)``, which is ``baseline``.

    Parameters
    ----------
    symbols
        How many there are to choose from, at least 2.
    copied
        Symbols to be kept.
    gap
        Steps from the last symbol to the sign, at least 1.
    batch
        Sequences in a batch.
    seed
        Of the generator from which a pass draws.

    Attributes
    ----------
    vocab_size : int
        Number of tokens, ``symbols + 2``.
    time : int
        Steps of a sequence, ``gap + 2 * copied``.
    baseline : float
        Cross-entropy without a memory, in nats.

    Raises
    ------
    ValueError
        If ``symbols`` is below 2, ``copied``, ``gap`` or ``batch`` below 1.

    References
    ----------
    .. [1] M. Arjovsky, A. Shah, Y. Bengio, "Unitary evolution recurrent neural networks", 2016,
       arXiv:1511.06464, section 4.

    Examples
    --------
    >>> batches = CopyingBatches(symbols=2, copied=3, gap=2, batch=1)
    >>> tokens, target = next(iter(batches))
    >>> symbols = tokens[0, :3].tolist()
    >>> tokens[0, 3:].tolist(), target[0, :5].tolist(), target[0, 5:].tolist() == symbols
    ([2, 3, 2, 2, 2], [2, 2, 2, 2, 2], True)
    >>> round(batches.baseline, 4)
    0.2599
    """

    def __init__(self, symbols: int, copied: int, gap: int, batch: int, seed: int = 0) -> None:
        super().__init__(batch, seed)
        check_whole(2, symbols=symbols)
        check_whole(1, copied=copied, gap=gap)
        self.symbols, self.copied, self.gap = symbols, copied, gap
        self.vocab_size, self.time = symbols + 2, gap + 2 * copied
        self.baseline = copied * math.log(symbols) / self.time

    def draw(self, generator: Generator) -> MemoryBatch:
        """Give tokens and targets, ``(batch, time)`` each."""
        symbols = torch.randint(self.symbols, (self.batch, self.copied), generator=generator)
        tokens = torch.full((self.batch, self.time), self.symbols)
        target = tokens.clone()
        tokens[:, : self.copied] = symbols
        tokens[:, self.copied + self.gap - 1] = self.symbols + 1
        target[:, -self.copied :] = symbols
        return MemoryBatch(tokens, target)
