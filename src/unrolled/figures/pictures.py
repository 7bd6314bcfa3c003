"""Small grey pictures in rows, each with what was said about it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from .canvas import LINE, ROOM, Canvas, lines_within, text_width

# All in inches.
GAP = 0.18
#: From a picture to the middle of the first line of its caption.
BELOW = 0.16
BETWEEN_ROWS = 0.12
#: The largest pixel: a picture alone does not fill the page.
PIXEL = 0.09
#: What stands before a caption: whether it is right can be seen without colours.
SIGNS = {True: "✓ ", False: "✗ "}


def pictures(
    images: ArrayLike,
    captions: Sequence[str],
    right: Sequence[bool] | None = None,
    *,
    columns: int = 4,
) -> Figure:
    """Draw grey pictures in rows, each with a caption below it.

    Pixels keep their grey in light and in dark: a picture is not turned into its negative.

    Parameters
    ----------
    images
        Shape `(images, height, width)`, from 0 (paper) to 1 (ink).
    captions
        One a picture. A caption that is wider than its picture goes on in the next line.
    right
        Whether each caption is right. A tick stands before a caption that is, and it steps back; a
        cross stands before one that is not. If not given, captions have no sign.
    columns
        Number of pictures in a row.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes and numbers do not fit, a value is not between 0 and 1, or a word of a caption is
        wider than its picture.

    Examples
    --------
    >>> strokes = np.random.default_rng(0).random((2, 8, 24))
    >>> figure = pictures(strokes, ["three four two", "one one seven"], right=[True, False])
    """
    pixels = _pixels(images)
    count, high, wide = pixels.shape
    marks = [None] * count if right is None else [bool(mark) for mark in right]
    for name, given in (("captions", captions), ("right", marks)):
        if len(given) != count:
            raise ValueError(f"{name} has {len(given)} entries; expected {count}, one a picture")
    if columns < 1:
        raise ValueError(f"columns is {columns}; expected 1 or more")
    across = min(columns, count)
    width = min(PIXEL * wide, (ROOM - (across - 1) * GAP) / across)
    height = width * high / wide
    texts = [_lines(caption, mark, width) for caption, mark in zip(captions, marks, strict=True)]
    canvas = Canvas()
    y = 0.0
    for first in range(0, count, columns):
        row = range(first, min(first + columns, count))
        for index in row:
            name, x = str(index + 1), (index - first) * (width + GAP)
            canvas.picture(name, (x, y - height), (width, height), pixels[index])
            for line, text in enumerate(texts[index]):
                at = (x + width / 2, y - height - BELOW - line * LINE)
                muted = marks[index] is True
                canvas.label(f"caption-{name}-{line + 1}", at, text, muted=muted)
        y -= height + BELOW + max(len(texts[index]) for index in row) * LINE + BETWEEN_ROWS
    return canvas.figure()


def _pixels(images: ArrayLike) -> NDArray[np.float64]:
    pixels = np.asarray(images, dtype=float)
    if pixels.ndim != 3 or pixels.size == 0:
        raise ValueError(
            f"images has shape {pixels.shape}; expected (images, height, width), one or more"
        )
    if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(
            f"images has values from {pixels.min():g} to {pixels.max():g}; expected values from 0 "
            "(paper) to 1 (ink), as images / images.max() gives them"
        )
    return pixels


def _lines(caption: str, mark: bool | None, width: float) -> list[str]:
    """Return the lines of a caption with its sign."""
    lines = lines_within(SIGNS.get(mark, "") + caption, width)
    if wide := [line for line in lines if text_width(line) > width]:
        raise ValueError(
            f"the caption {wide[0]!r} needs {text_width(wide[0]):.1f} inches and its picture is "
            f"{width:.1f} wide; take fewer columns or shorter captions"
        )
    return lines
