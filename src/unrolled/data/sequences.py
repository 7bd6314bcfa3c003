"""Sequences of many lengths: padded, in batches of about one length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


class SequenceBatch(NamedTuple):
    """Padded sequences and what is asked of them.

    ``tokens`` is ``int64``, ``(batch, time)``, with 0 in the padding; ``lengths`` is ``(batch,)``;
    ``targets`` is ``(batch,)``, one for each sequence, or ``(batch, time)``, one for each step.
    """

    tokens: Tensor
    lengths: Tensor
    targets: Tensor

    @property
    def weight(self) -> int:
        """Give the number of targets, by which the batch counts in a mean."""
        return len(self.targets) if self.targets.dim() == 1 else int(self.lengths.sum())


class LengthBatches:
    """Make batches of sequences that have about one length, so that little is padded.

    A pass shuffles the sequences, sorts each pool of ``POOL`` batches by length, cuts it into
    batches, and gives all batches in a random order. It draws from PyTorch's generator when it
    begins. Without shuffling, the sequences come sorted by length.

    Parameters
    ----------
    sequences
        Tensors ``int64``, ``(time,)``, of any lengths from 1.
    targets
        One number for each sequence, ``int64``, ``(sequences,)``; or one tensor for each sequence,
        of its length.
    batch
        Sequences in a batch; the last may have fewer.
    shuffle
        Whether each pass has another order, for training.

    Raises
    ------
    ValueError
        If there are no sequences, one is empty, ``batch`` is below 1, or the targets do not fit.

    Examples
    --------
    >>> words = [torch.tensor([3, 1, 2]), torch.tensor([5]), torch.tensor([4, 4])]
    >>> batches = LengthBatches(words, torch.tensor([0, 1, 0]), batch=2, shuffle=False)
    >>> for tokens, lengths, targets in batches:
    ...     print(tokens.tolist(), lengths.tolist(), targets.tolist())
    [[5, 0], [4, 4]] [1, 2] [1, 0]
    [[3, 1, 2]] [3] [0]
    """

    POOL = 20

    def __init__(
        self,
        sequences: Sequence[Tensor],
        targets: Tensor | Sequence[Tensor],
        batch: int,
        shuffle: bool = True,
    ) -> None:
        if not len(sequences):
            raise ValueError("no sequences came; expected at least one")
        if batch < 1:
            raise ValueError(f"batch is {batch}; expected at least 1")
        self.sequences, self.targets = list(sequences), targets
        self.lengths = torch.tensor([len(sequence) for sequence in sequences])
        if self.lengths.min() < 1:
            place = int(self.lengths.argmin())
            raise ValueError(f"sequence {place} is empty; leave it out")
        if len(targets) != len(self.sequences):
            raise ValueError(f"{len(targets)} targets came for {len(self.sequences)} sequences")
        self.each_step = not isinstance(targets, Tensor)
        if self.each_step:
            for place, (sequence, target) in enumerate(zip(sequences, targets, strict=True)):
                if len(sequence) != len(target):
                    raise ValueError(
                        f"sequence {place} has {len(sequence)} steps and {len(target)} targets; "
                        "expected one for each step"
                    )
        self.batch, self.shuffle = batch, shuffle

    def __len__(self) -> int:
        return -(-len(self.sequences) // self.batch)  # rounded up

    def __iter__(self) -> Iterator[SequenceBatch]:
        pool = self.POOL if self.shuffle else None
        return map(self.batch_of, by_length(self.lengths, self.batch, pool))

    def batch_of(self, rows: Tensor) -> SequenceBatch:
        """Give the sequences of some rows, padded to the longest of them."""
        chosen = rows.tolist()
        tokens = pad_sequence([self.sequences[row] for row in chosen], batch_first=True)
        if self.each_step:
            targets = pad_sequence([self.targets[row] for row in chosen], batch_first=True)
        else:
            targets = self.targets[rows]
        return SequenceBatch(tokens, self.lengths[rows], targets)


def by_length(lengths: Tensor, batch: int, pool: int | None) -> list[Tensor]:
    """Give the rows of each batch of a pass, those of about one length together.

    With a pool the rows are shuffled, each pool of so many batches is sorted by length and cut into
    batches, and all batches come in a random order; without, all rows come sorted.
    """
    count = len(lengths)
    order, some = torch.arange(count), count
    if pool is not None:
        order, some = torch.randperm(count), pool * batch
    rows = [
        part
        for pooled in order.split(some)
        for part in pooled[lengths[pooled].argsort(stable=True)].split(batch)
    ]
    if pool is None:
        return rows
    return [rows[place] for place in torch.randperm(len(rows)).tolist()]
