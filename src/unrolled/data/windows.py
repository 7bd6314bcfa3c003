"""Windows on a long text: what a language model reads at a time, and what it must say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from unrolled.checking import check_tokens


class Window(NamedTuple):
    """Tokens, and for each the token that follows it: both ``int64``, ``(batch, time)``."""

    inputs: Tensor
    targets: Tensor

    @property
    def weight(self) -> int:
        """Give the number of tokens that are predicted, by which the window counts in a mean."""
        return self.targets.numel()


class MaskedWindow(NamedTuple):
    """A window in which not every target counts: a mask ``(batch, time)``, true where one does."""

    inputs: Tensor
    targets: Tensor
    mask: Tensor

    @property
    def weight(self) -> int:
        """Give the number of targets that count."""
        return int(self.mask.sum())


class ContiguousWindows:
    """Cut a text into windows of which each goes on where the one before stopped.

    The text is cut into ``batch`` pieces of one length, and row ``b`` of the windows walks through
    piece ``b``. A state that is carried from window to window has thus read all that stands before
    in its piece. Each pass gives the same windows.

    The last window is shorter than ``time`` where the pieces need it, so at most ``batch`` tokens
    at the end of the text are no input: up to ``batch - 1`` that do not fill a row, and the last
    one, which nothing follows.

    Parameters
    ----------
    tokens
        The text, ``int64``, ``(length,)``.
    batch
        How many pieces are read side by side.
    time
        Tokens in a row of a window.

    Raises
    ------
    TypeError
        If ``tokens`` is not a tensor of whole numbers.
    ValueError
        If ``tokens`` does not have one dimension, ``batch`` or ``time`` is below 1, or the text is
        shorter than one window and the token after it.

    Examples
    --------
    >>> for window in ContiguousWindows(torch.arange(12), batch=2, time=3):
    ...     print(window.inputs.tolist(), window.targets.tolist())
    [[0, 1, 2], [5, 6, 7]] [[1, 2, 3], [6, 7, 8]]
    [[3, 4], [8, 9]] [[4, 5], [9, 10]]
    """

    def __init__(self, tokens: Tensor, batch: int, time: int) -> None:
        _check(tokens, least=batch * time + 1, batch=batch, time=time)
        length = (len(tokens) - 1) // batch
        self.inputs = tokens[: batch * length].view(batch, length)
        self.targets = tokens[1 : batch * length + 1].view(batch, length)
        self.time = time

    def __len__(self) -> int:
        return -(-self.inputs.shape[1] // self.time)  # rounded up

    def __iter__(self) -> Iterator[Window]:
        return map(Window, self.inputs.split(self.time, 1), self.targets.split(self.time, 1))


class RandomWindows:
    """Cut windows at random places of a text, any of them again and again.

    The places of a whole pass are drawn from PyTorch's generator when the pass begins, so that they
    depend on ``torch.manual_seed`` and not on what is drawn between two windows.

    Parameters
    ----------
    tokens
        The text, ``int64``, ``(length,)``.
    batch
        Rows of a window.
    time
        Tokens in a row of a window.
    count
        Windows in a pass.

    Raises
    ------
    TypeError
        If ``tokens`` is not a tensor of whole numbers.
    ValueError
        If ``tokens`` does not have one dimension, ``batch``, ``time`` or ``count`` is below 1, or
        the text is shorter than one row and the token after it.

    Examples
    --------
    >>> windows = RandomWindows(torch.arange(100), batch=2, time=5, count=3)
    >>> len(windows), next(iter(windows)).inputs.shape
    (3, torch.Size([2, 5]))
    """

    def __init__(self, tokens: Tensor, batch: int, time: int, count: int) -> None:
        _check(tokens, least=time + 1, batch=batch, time=time, count=count)
        self.rows = tokens.unfold(0, time + 1, 1)  # (places, time + 1), not copied
        self.batch, self.count = batch, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Window]:
        places = torch.randint(len(self.rows), (self.count, self.batch))
        rows = (self.rows[chosen] for chosen in places)  # (batch, time + 1) each
        return (Window(row[:, :-1], row[:, 1:]) for row in rows)


def _check(tokens: Tensor, least: int, **numbers: int) -> None:
    check_tokens("tokens", tokens, ("length",))
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} is {number}; expected at least 1")
    if len(tokens) < least:
        asked = ", ".join(f"{name} {number}" for name, number in numbers.items())
        raise ValueError(
            f"the text has {len(tokens)} tokens; {asked} needs at least {least}, the token after "
            "the last included: take a longer text or smaller windows"
        )
