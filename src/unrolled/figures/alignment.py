"""Where a decoder looked: the weights of attention between the pieces of two texts."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from .canvas import ROOM, Canvas, text_width
from .plots import SEQUENTIAL
from .style import FONT_SIZE
from .text import visible
from .weights import check_pieces, check_weights

# All in inches.
LETTER = 0.165
WORD = 0.30
LETTER_HEIGHT = 0.19
WORD_HEIGHT = 0.27
AIR = 0.02
PADDING = 0.12
#: Between words of letters.
BETWEEN = 0.05
TO_LABEL = 0.07
TO_TITLE = 0.17
GAP = 0.45
TALLEST = 11.0
#: The colour bar.
BAR = (1.5, 0.13)
TO_BAR = 0.24
SHADES = 33


class Example(NamedTuple):
    """One source, one target, and the weights of shape ``(target, source)`` between them."""

    weights: NDArray[np.float64]
    source: list[str]
    target: list[str]


def alignment(weights: ArrayLike, source: Sequence[str], target: Sequence[str]) -> Figure:
    """Draw where the decoder looked: the source across the top, the target down the side.

    A row holds the weights of one step of the decoder. The colours run from pale at 0 to dark at 1,
    and stay as they are in light and in dark. Words whose letters are pieces stand apart.

    Parameters
    ----------
    weights
        Shape ``(target, source)``: of one sequence, without its padding.
    source, target
        The pieces, such as words or letters, ``<eos>`` included where it has weights. A space is
        drawn as ␣.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes do not fit, a row does not hold weights, or there is no room.

    Examples
    --------
    >>> figure = alignment([[0.1, 0.9], [0.5, 0.5], [0.8, 0.2]], ["a", "b"], ["x", "y", "<eos>"])
    """
    return alignments({"": (weights, source, target)})


def alignments(
    examples: Mapping[str, tuple[ArrayLike, Sequence[str], Sequence[str]]],
) -> Figure:
    """Draw several alignments, each with its title above it.

    Parameters
    ----------
    examples
        Title: the weights, the source and the target, as `alignment` takes them.

    Returns
    -------
    matplotlib.figure.Figure
        As many stand in a row as fit in 7.2 inches.

    Raises
    ------
    ValueError
        As for `alignment`, or if there is no example.

    Examples
    --------
    >>> figure = alignments({"seed 0": ([[1.0]], ["a"], ["x"]), "seed 1": ([[1.0]], ["a"], ["x"])})
    """
    canvas = Canvas()
    panels = [
        _Panel(canvas.part(str(number)), title, example)
        for number, (title, example) in enumerate(checked(examples).items(), start=1)
    ]
    left = low = deepest = 0.0
    for panel in panels:
        if left and left + panel.width > ROOM:
            left, low = 0.0, deepest - GAP
        panel.settle(left, low)
        left += panel.width + GAP
        deepest = min(deepest, low - panel.height)
    if -deepest > TALLEST:
        raise ValueError(
            f"the targets need {-deepest:.1f} inches of height and {TALLEST} are there; show "
            "shorter ones or fewer"
        )
    _draw_bar(canvas, (0.0, deepest - TO_BAR))
    return canvas.figure()


def checked(
    examples: Mapping[str, tuple[ArrayLike, Sequence[str], Sequence[str]]],
) -> dict[str, Example]:
    """Return examples whose weights fit their pieces, or raise a ``ValueError`` that names one."""
    if not examples:
        raise ValueError("examples is empty; expected a title with weights, source and target")
    known = {}
    for title, (weights, source, target) in examples.items():
        try:
            check_pieces(source=source, target=target)
            sizes = (len(target), len(source))
            numbers = check_weights(weights, sizes, "weights", "target", "source")
        except ValueError as error:
            raise ValueError(f"example {title!r}: {error}" if title else str(error)) from error
        known[title] = Example(numbers, list(source), list(target))
    return known


def _special(piece: str) -> bool:
    """Whether a piece is no text, such as ``<eos>``."""
    return piece.startswith("<") and piece.endswith(">") and len(piece) > 2


class _Axis:
    """The places of pieces along one side."""

    def __init__(self, pieces: list[str]) -> None:
        self.pieces = pieces
        self.shown = [visible(piece) for piece in pieces]
        self.letters = all(len(piece) == 1 or _special(piece) for piece in pieces)
        words, word = [], 0
        for before, piece in zip([None, *pieces], pieces, strict=False):
            # A special token and what follows a blank begin a new word.
            word += before == " " or (self.letters and before is not None and _special(piece))
            words.append(word)
        #: First piece and the one behind the last, of each word.
        self.words: list[tuple[int, int]] = []
        for _, group in groupby(range(len(pieces)), words.__getitem__):
            members = list(group)
            self.words.append((members[0], members[-1] + 1))
        self.apart = [word * BETWEEN for word in words]

    def place(self, piece: int, pitch: float) -> float:
        """Return where a piece begins."""
        return piece * pitch + self.apart[piece]

    def length(self, pitch: float) -> float:
        """Return how long the side is."""
        return len(self.pieces) * pitch + self.apart[-1]


class _Panel:
    """One alignment with its title: drawn when it is settled."""

    def __init__(self, canvas: Canvas, title: str, example: Example) -> None:
        self.canvas, self.title, self.weights = canvas, title, example.weights
        self.across, self.down = _Axis(example.source), _Axis(example.target)
        self.beside = max(map(text_width, self.down.shown)) + TO_LABEL
        self.row = LETTER_HEIGHT if self.down.letters else WORD_HEIGHT
        room, widths = ROOM - self.beside, list(map(text_width, self.across.shown))
        if self.across.letters:
            short = [text_width(letter) for letter in self.across.shown if len(letter) == 1]
            fits = (room - self.across.apart[-1]) / len(widths)
            self.column = max(min(LETTER, fits), max(short, default=0.0) + AIR)
        else:
            self.column = max(WORD, max(widths) + PADDING)
            if self.across.length(self.column) > room:
                self.column = WORD
        #: What is wider than its column, or would touch its neighbour, is written upwards.
        between = 0.0 if self.across.letters else PADDING / 2
        self.upright = [width > self.column - between for width in widths]
        stand = [width for width, up in zip(widths, self.upright, strict=True) if up]
        self.above = TO_LABEL + max(stand, default=FONT_SIZE / 72)
        inner = self.across.length(self.column)
        if inner > room + 1e-6:
            raise ValueError(
                f"source has {len(widths)} pieces, which need {inner:.1f} inches, and {room:.1f} "
                "are there; show a shorter one"
            )
        self.width = max(self.beside + inner, text_width(title))
        self.height = 2 * TO_TITLE * bool(title) + self.above + self.down.length(self.row)

    def settle(self, left: float, top: float) -> None:
        """Draw everything, with the upper left corner at this place."""
        if self.title:
            self.canvas.label("title", (left, top - TO_TITLE / 2), self.title, align="left")
            top -= 2 * TO_TITLE
        left, top = left + self.beside, top - self.above
        for k, label in enumerate(self.across.shown):
            x = left + self.across.place(k, self.column) + self.column / 2
            name = f"source-{k + 1}"
            if self.upright[k]:
                self.canvas.label(name, (x, top + TO_LABEL), label, role="input", upright=True)
            else:
                at = (x, top + TO_LABEL + 0.06)
                self.canvas.label(name, at, label, role="input")
        for k, label in enumerate(self.down.shown):
            y = top - self.down.place(k, self.row) - self.row / 2
            at = (left - TO_LABEL, y)
            self.canvas.label(f"target-{k + 1}", at, label, role="output", align="right")
        for i, (first, last) in enumerate(self.down.words, start=1):
            for j, (start, end) in enumerate(self.across.words, start=1):
                size = ((end - start) * self.column, (last - first) * self.row)
                x = left + self.across.place(start, self.column)
                y = top - self.down.place(first, self.row) - size[1]
                cells = _shades(self.weights[first:last, start:end])
                self.canvas.cells(f"weights-{i}-{j}", (x, y), size, cells)


def _shades(weights: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.round(255 * SEQUENTIAL(weights)[..., :3]).astype(np.uint8)


def _draw_bar(canvas: Canvas, at: tuple[float, float]) -> None:
    """Draw what the colours mean, from 0 to 1, with the numbers on both sides."""
    (x, y), (width, height) = at, BAR
    x += text_width("weight 0") + TO_LABEL
    canvas.label("low", (x - TO_LABEL, y), "weight 0", role="muted", align="right")
    canvas.cells("bar", (x, y - height / 2), BAR, _shades(np.linspace(0, 1, SHADES)[None]))
    canvas.label("high", (x + width + TO_LABEL, y), "1", role="muted", align="left")
