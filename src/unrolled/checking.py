"""What the modules of the package ask of their arguments, and how they say so."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor


def check_whole(least: int = 1, **numbers: Any) -> None:
    """Raise a ``ValueError`` that names the argument unless all are whole, ``least`` or more."""
    for name, number in numbers.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            raise ValueError(f"{name} is {number!r}; expected a whole number of at least {least}")


def check_choice(known: Collection[str], **choices: str) -> None:
    """Raise a ``ValueError`` that names the argument unless each choice is one of ``known``."""
    for name, choice in choices.items():
        if choice not in known:
            expected = ", ".join(map(repr, known))
            raise ValueError(f"{name} is {choice!r}; expected one of {expected}")


def check_shape(name: str, tensor: Tensor, **expected: int) -> None:
    """Raise a ``ValueError`` unless ``tensor`` has the axes ``expected``, in this order."""
    sizes = tuple(expected.values())
    if tensor.shape != sizes:
        axes = f"({', '.join(expected)}{',' if len(expected) == 1 else ''})"
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; expected {axes} = {sizes}")


def check_tokens(
    name: str, tokens: Any, axes: tuple[str, ...], vocab_size: int | None = None
) -> None:
    """Raise an error that says what is wrong with tokens.

    Parameters
    ----------
    name
        What the caller calls them.
    tokens
        Should be a tensor ``int64`` with these axes, none of them empty.
    axes
        Such as ``("batch", "time")``.
    vocab_size
        Each token should be below it; ``None``: any number will do.

    Raises
    ------
    TypeError
        If ``tokens`` is not a tensor of ``int64``.
    ValueError
        If it has another shape, or a token is not in the vocabulary.
    """
    if not isinstance(tokens, Tensor) or tokens.dtype != torch.int64:
        kind = tokens.dtype if isinstance(tokens, Tensor) else type(tokens).__name__
        raise TypeError(f"{name} is {kind}; expected an int64 tensor, as Vocab.encode gives it")
    if tokens.dim() != len(axes) or 0 in tokens.shape:
        expected = f"({', '.join(axes)}{',' if len(axes) == 1 else ''})"
        mend = f": for a single sequence add the batch axis with {name}[None]"
        raise ValueError(
            f"{name} has shape {tuple(tokens.shape)}; expected {expected}, at least one of each"
            + (mend if axes[0] == "batch" and tokens.dim() == len(axes) - 1 else "")
        )
    if vocab_size is not None and (tokens.min() < 0 or tokens.max() >= vocab_size):
        raise ValueError(
            f"{name} go from {int(tokens.min())} to {int(tokens.max())}; expected 0 to "
            f"{vocab_size - 1}: were they made with the vocabulary of this model?"
        )
