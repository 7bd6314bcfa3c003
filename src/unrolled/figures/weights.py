"""What the drawings of attention ask of weights, and how they show them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Weights that were rounded to two places may add to a little less or more than 1.
ROUNDED = 0.03
#: Width of the line of weight 0 and of weight 1, in points.
THIN, THICK = 0.8, 5.5


def thickness(weight: float) -> float:
    """Return the width of the line that shows a weight, in points."""
    return THIN + (THICK - THIN) * weight


def check_pieces(**pieces: Sequence[str]) -> None:
    """Raise a ``ValueError`` that names the argument unless it is a list of one piece or more."""
    for name, given in pieces.items():
        if isinstance(given, str) or not all(isinstance(piece, str) and piece for piece in given):
            raise ValueError(
                f"{name} is {given!r}; expected a list of pieces: list(...) gives the letters of a "
                "text and .split() its words"
            )
        if not len(given):
            raise ValueError(f"{name} is empty; expected one piece or more")


def check_weights(
    given: ArrayLike, sizes: tuple[int, ...], name: str, *axes: str
) -> NDArray[np.float64]:
    """Return weights as numbers, or raise a ``ValueError`` that says what they should be.

    Parameters
    ----------
    given
        From 0 to 1; those of a row add to 1, but for rounding, or are all 0.
    sizes
        Of the axes.
    name
        What the caller calls them.
    *axes
        What the caller calls the axes, such as ``"target", "source"``.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    ValueError
        If the shape is another one, or a number is no weight.
    """
    weights = np.asarray(given, dtype=float)
    if weights.shape != sizes:
        expected = f"({', '.join(axes)}{',' if len(axes) == 1 else ''})"
        raise ValueError(
            f"{name} has shape {weights.shape}; expected {expected} = {sizes}, a weight for each "
            "piece of source" + (", in a row for each piece of target" if len(axes) > 1 else "")
        )
    if not ((weights >= 0) & (weights <= 1 + 1e-6)).all():
        raise ValueError(
            f"{name} goes from {weights.min():g} to {weights.max():g}; expected weights from 0 to "
            "1: are these scores before the softmax?"
        )
    sums = weights.sum(axis=-1)
    if (wrong := sums[(abs(sums - 1) > ROUNDED) & (sums != 0)]).size:
        raise ValueError(
            f"{name} of one step add to {wrong[0]:.3g}; expected 1: cut neither padding nor pieces "
            "away that have weight"
        )
    return weights
