"""A text on a ground whose colour is a number a letter, such as the state of one unit."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from .canvas import FIXED_WIDTH, ROOM, Canvas, text_width
from .plots import DIVERGING, text_colour
from .style import SMALL_SIZE
from .tagged import AFTER_LABEL, BETWEEN_LINES, check_text, runs

# All in inches.
HEIGHT = 0.24
ROW = HEIGHT + 0.04
#: The colour bar below the text.
BAR = (1.6, 0.13)
BAR_COLOURS = 33
TO_BAR = 0.06
TO_NUMBERS = 0.15


def activation_text(
    text: str, values: ArrayLike | Mapping[str, ArrayLike], *, label: str = ""
) -> Figure:
    """Draw a text, each letter on a ground that is coloured by a number from -1 to 1.

    The colours run from blue over white at zero to red, and stay as they are in light and in dark.
    A colour bar stands below.

    Parameters
    ----------
    text
        One line or several, as of a program; about 76 letters fit in a line, fewer beside labels.
    values
        One number a letter, line breaks included (theirs are not shown), of shape `(letters,)` and
        from -1 to 1: a state after its tanh, or a gate. Or label: such numbers, for several copies
        of the text; those of a line stand below each other.
    label
        What the colours show.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is not one number a letter, a number is not from -1 to 1, or a line or the label
        is too long, or a line empty.

    Examples
    --------
    >>> figure = activation_text("a = 'b'", [-1, -1, -1, -1, 0.9, 1, 0.2], label="unit 3")
    >>> cells = activation_text("f(x)", {"unit 1": [0, 0.5, 1, 0], "unit 2": [1, 1, 0.5, 0]})
    """
    check_text(text)
    rows = values if isinstance(values, Mapping) else {"": values}
    if not rows:
        raise ValueError("values is empty; expected a number for each letter, or labels with such")
    numbers = {name: _numbers(name, given, len(text)) for name, given in rows.items()}
    left = max(text_width(name) for name in rows)
    left += AFTER_LABEL if left else 0.0
    if left + BAR[0] + AFTER_LABEL + text_width(label) > ROOM:
        raise ValueError(f"label is {label!r}, which has no room beside the bar; shorten it")
    canvas = Canvas()
    y, start = 0.0, 0
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) * FIXED_WIDTH > ROOM - left:
            raise ValueError(
                f"line {number} of the text has {len(line)} letters, and there is room for "
                f"{max(0, int((ROOM - left) / FIXED_WIDTH))}; show a shorter line"
            )
        letters = slice(start, start + len(line))
        for row, name in enumerate(rows, start=1):
            part = f"{number}-{row}"
            canvas.label(f"row-{part}", (0.0, y), name, role="muted", align="left")
            _draw_line(canvas, part, (left, y), line, numbers[name][letters])
            y -= ROW
        start += len(line) + 1
        y -= BETWEEN_LINES if len(rows) > 1 else 0.0
    _draw_bar(canvas, (left, y - TO_BAR), label)
    return canvas.figure()


def _numbers(name: str, given: ArrayLike, letters: int) -> NDArray[np.float64]:
    row = f"row {name!r} of values" if name else "values"
    numbers = np.asarray(given, dtype=float)
    if numbers.shape != (letters,):
        raise ValueError(
            f"{row} has shape {numbers.shape}; expected ({letters},): a number for each letter of "
            "the text, line breaks included"
        )
    if outside := [float(number) for number in numbers if not -1 <= number <= 1]:
        raise ValueError(
            f"{row} has {outside[0]:g}; expected numbers from -1 to 1: take the tanh of a cell "
            "state, or divide by the largest"
        )
    return numbers


def _shades(numbers: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the colours of numbers from -1 to 1, of shape (1, numbers, 3)."""
    return np.round(255 * DIVERGING((numbers + 1) / 2)[None, :, :3]).astype(np.uint8)


def _draw_line(
    canvas: Canvas, name: str, at: tuple[float, float], line: str, numbers: NDArray[np.float64]
) -> None:
    """Draw the grounds of a line, and its letters in light or dark, as can be read on them."""
    left, y = at
    corner, size = (left, y - HEIGHT / 2), (len(line) * FIXED_WIDTH, HEIGHT)
    shades = _shades(numbers)
    canvas.cells(name, corner, size, shades)
    inks = np.array([text_colour(tuple(shade)) for shade in shades[0] / 255])
    for ink, start, end in runs(inks):
        words = line[start:end]
        # Spaces at the ends leave no mark, but have their places.
        x = left + (start + len(words) - len(words.lstrip())) * FIXED_WIDTH
        part = f"{name}-{start + 1}"
        canvas.label(part, (x, y), words.strip(), align="left", fixed=True, shade=ink)


def _draw_bar(canvas: Canvas, at: tuple[float, float], label: str) -> None:
    """Draw what the colours mean, from -1 to 1."""
    (x, y), (width, height) = at, BAR
    canvas.cells("bar", (x, y - height), BAR, _shades(np.linspace(-1, 1, BAR_COLOURS)))
    for name, share in (("low", 0.0), ("zero", 0.5), ("high", 1.0)):
        number = f"{2 * share - 1:g}".replace("-", "\N{MINUS SIGN}")
        place = (x + share * width, y - height - TO_NUMBERS)
        canvas.label(f"bar-{name}", place, number, size=SMALL_SIZE)
    middle = (x + width + AFTER_LABEL, y - height / 2)
    canvas.label("bar", middle, label, align="left")
