"""A text whose letters belong to classes: the truth, and what models took them for."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from .canvas import FIXED_WIDTH, ROOM, Canvas, text_width
from .palette import SERIES

# All in inches.
HEIGHT = 0.24
CORNER = 0.04
#: Between the boxes of two classes that follow each other.
BETWEEN = 0.012
#: From a box to the line below the letters that are wrong.
BELOW = 0.035
ROW = HEIGHT + 0.10
BETWEEN_LINES = 0.12
AFTER_LABEL = 0.14
BETWEEN_NAMES = 0.16
PADDING = 0.06


def tagged_text(
    text: str,
    rows: Mapping[str, ArrayLike],
    classes: Sequence[str],
    *,
    truth: str | None = None,
) -> Figure:
    """Draw a text several times, the letters of each class in boxes of one colour.

    The first class is the ground: its letters have no box. The legend stands below.

    Parameters
    ----------
    text
        One line or several, as of a program. Beside short labels about 60 letters fit in a line.
    rows
        Label: the class of each letter, line breaks included (their classes are not shown), as
        whole numbers of shape `(letters,)` that count `classes` from 0. The rows of a line stand
        below each other.
    classes
        Their names, nine at most. A class has the same colour in all figures in which it stands at
        the same place.
    truth
        Label of the row that is right. Letters of another class in another row are underlined.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If a row has not one class a letter, a class is unknown, there is no such row as the truth,
        or a line is empty or too long.

    Examples
    --------
    >>> figure = tagged_text(
    ...     "print('1')",
    ...     {"truth": [1] * 5 + [0] + [2] * 3 + [0], "model": [0] * 6 + [2] * 3 + [0]},
    ...     ["other", "called", "string"],
    ...     truth="truth",
    ... )
    """
    check_text(text)
    if not 1 <= len(classes) <= 1 + len(SERIES):
        raise ValueError(f"classes has {len(classes)} names; expected 1 to {1 + len(SERIES)}")
    if not rows:
        raise ValueError("rows is empty; expected at least one label with the class of each letter")
    if truth is not None and truth not in rows:
        raise ValueError(f"truth is {truth!r}; expected a label of rows: {', '.join(rows)}")
    tags = {label: _tags(label, given, len(text), len(classes)) for label, given in rows.items()}
    wrong = {
        label: np.zeros(len(text), dtype=bool) if truth is None else given != tags[truth]
        for label, given in tags.items()
    }
    left = max(text_width(label) for label in rows) + AFTER_LABEL
    room = ROOM - left
    canvas = Canvas()
    y, start = 0.0, 0
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) * FIXED_WIDTH > room:
            raise ValueError(
                f"line {number} of the text has {len(line)} letters, and beside the labels there "
                f"is room for {int(room / FIXED_WIDTH)}; show a shorter line"
            )
        letters = slice(start, start + len(line))
        for row, label in enumerate(rows, start=1):
            name = f"{number}-{row}"
            canvas.label(f"row-{name}", (0.0, y), label, role="muted", align="left")
            _draw_line(canvas, name, (left, y), line, tags[label][letters])
            _underline(canvas, name, (left, y), wrong[label][letters])
            y -= ROW
        start += len(line) + 1
        y -= BETWEEN_LINES
    notes = [] if truth is None else ["not as in the row “" + truth + "”"]
    _legend(canvas, y - 0.02, classes, notes)
    return canvas.figure()


def check_text(text: str) -> None:
    """Raise a `ValueError` unless each line of a text has letters, all of which can be printed."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            raise ValueError(f"line {number} of the text is empty; expected letters in each line")
        if unprinted := [letter for letter in line if not letter.isprintable()]:
            raise ValueError(
                f"line {number} of the text has {unprinted[0]!r}; expected letters that can be "
                "printed: replace it, a tab by spaces"
            )


def _tags(label: str, given: ArrayLike, letters: int, classes: int) -> NDArray[np.int64]:
    tags = np.asarray(given)
    if tags.shape != (letters,) or not np.issubdtype(tags.dtype, np.integer):
        raise ValueError(
            f"row {label!r} has shape {tags.shape} and type {tags.dtype}; expected the class of "
            f"each of the {letters} letters of the text, as a whole number"
        )
    if tags.min() < 0 or tags.max() >= classes:
        raise ValueError(
            f"row {label!r} has classes from {tags.min()} to {tags.max()}; expected 0 to "
            f"{classes - 1}, as classes has {classes} names"
        )
    return tags.astype(np.int64)


def runs(values: NDArray) -> list[tuple[Any, int, int]]:
    """Return (value, start, end) of each stretch of equal values."""
    stretches, start = [], 0
    for value, stretch in itertools.groupby(values.tolist()):
        end = start + len(list(stretch))
        stretches.append((value, start, end))
        start = end
    return stretches


def _draw_line(
    canvas: Canvas, name: str, at: tuple[float, float], line: str, tags: NDArray[np.int64]
) -> None:
    """Draw the letters of a line, each stretch of one class in its box."""
    left, y = at
    for tag, start, end in runs(tags):
        part, width = f"{name}-{start + 1}", (end - start) * FIXED_WIDTH
        x = left + start * FIXED_WIDTH
        if tag:
            centre, size = (x + width / 2, y), (width - BETWEEN, HEIGHT)
            canvas.box(part, centre, size, "", SERIES[tag - 1], thin=True, radius=CORNER)
        words = line[start:end]
        # Spaces at the ends leave no mark, but have their places.
        x += (len(words) - len(words.lstrip())) * FIXED_WIDTH
        canvas.label(part, (x, y), words.strip(), align="left", fixed=True)


def _underline(
    canvas: Canvas, name: str, at: tuple[float, float], wrong: NDArray[np.bool_]
) -> None:
    left, y = at
    below = y - HEIGHT / 2 - BELOW
    for is_wrong, start, end in runs(wrong):
        if is_wrong:
            ends = [(left + place * FIXED_WIDTH, below) for place in (start, end)]
            canvas.wire(f"wrong-{name}-{start + 1}", ends, arrow=False)


def _legend(canvas: Canvas, y: float, classes: Sequence[str], notes: Sequence[str]) -> None:
    """Draw the names of the classes, and what the underline means."""
    x = 0.0
    for index, label in enumerate((*classes, *notes)):
        width = text_width(label) + 2 * PADDING
        if x and x + width > ROOM:
            x, y = 0.0, y - HEIGHT - 0.12
        name, centre = f"class-{index + 1}", (x + width / 2, y)
        if index == len(classes):
            below = y - HEIGHT / 2 - BELOW
            canvas.wire("wrong", [(x, below), (x + width, below)], arrow=False)
        elif index:
            size, role = (width, HEIGHT), SERIES[index - 1]
            canvas.box(name, centre, size, "", role, thin=True, radius=CORNER)
        canvas.label(name, centre, label)
        x += width + BETWEEN_NAMES
