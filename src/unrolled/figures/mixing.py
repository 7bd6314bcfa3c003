"""One look of attention, with all its numbers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .canvas import ROOM, Canvas, text_width
from .seq2seq import ROLE
from .weights import ROUNDED, check_pieces, check_weights, thickness

# All in inches.
CELL_HEIGHT = 0.30
LEAST = 0.46
PADDING = 0.16
GAP = 0.60
BOX_HEIGHT = 0.36
BOX_PADDING = 0.16
ROW = 0.27
#: From an input up to its state.
RISE = 0.30
#: How high the arrows climb.
CLIMB = 0.85
TO_LABEL = 0.14
APART = 0.10
AIR = 0.05


def attention_step(
    weights: ArrayLike,
    states: ArrayLike,
    *,
    labels: Sequence[str] | None = None,
    scores: ArrayLike | None = None,
) -> Figure:
    """Draw how one look mixes the encoder's states into a context, number by number.

    The states stand from left to right with their numbers in them. Above each is its weight, and
    the arrow from there is as thick as the weight. On top is the context, and beside each of its
    numbers the sum that it is.

    Parameters
    ----------
    weights
        One a state, shape ``(source,)``; they add to 1.
    states
        Shape ``(source, features)``; two or three features are easy to read.
    labels
        The piece that each state has just read; not drawn if not given.
    scores
        Shape ``(source,)``: what the weights are the softmax of; not drawn if not given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes do not fit, the weights are no weights or not the softmax of the scores, or there
        is no room.

    Examples
    --------
    >>> figure = attention_step(
    ...     [0.6, 0.2, 0.1, 0.1],
    ...     [[1, 0], [0, 1], [-1, 1], [1, 1]],
    ...     labels=["seven", "hundred", "and", "one"],
    ... )
    """
    values = np.asarray(states, dtype=float)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ValueError(
            f"states has shape {values.shape}; expected (source, features), finite numbers"
        )
    count = len(values)
    mixed = check_weights(weights, (count,), "weights", "source")
    if labels is not None:
        check_pieces(labels=labels)
        if len(labels) != count:
            raise ValueError(f"labels has {len(labels)} pieces; expected {count}, one a state")
    rows = {"weight": [_written(weight) for weight in mixed]}
    if scores is not None:
        rows = {"score": _scores(scores, mixed), "softmax": rows["weight"]}
    return _Look(mixed, values, list(labels or ()), rows).figure()


def _scores(given: ArrayLike, weights: np.ndarray) -> list[str]:
    scores = np.asarray(given, dtype=float)
    if scores.shape != weights.shape or not np.isfinite(scores).all():
        raise ValueError(
            f"scores has shape {scores.shape}; expected {weights.shape}, a finite number a state"
        )
    expected = np.exp(scores - scores.max())
    expected /= expected.sum()
    if abs(expected - weights).max() > ROUNDED:
        raise ValueError(
            f"the softmax of scores is {[_written(weight) for weight in expected]}; expected the "
            f"weights, {[_written(weight) for weight in weights]}"
        )
    return [_written(score) for score in scores]


def _written(number: float) -> str:
    # Zero without a sign.
    return f"{round(float(number), 2) + 0.0:g}".replace("-", "\N{MINUS SIGN}")


class _Look:
    """Places states, weights and the context on a canvas, from below to above."""

    def __init__(
        self,
        weights: np.ndarray,
        states: np.ndarray,
        labels: list[str],
        rows: dict[str, list[str]],
    ) -> None:
        self.weights, self.states, self.labels, self.rows = weights, states, labels, rows
        self.canvas = Canvas()
        self.context = weights @ states  # (features,)
        numbers = [_written(number) for number in (*states.flat, *self.context)]
        widest = max(map(text_width, (*numbers, *rows[next(iter(rows))])))
        self.cell = max(LEAST, widest + PADDING)
        box = max((text_width(label) + BOX_PADDING for label in labels), default=0.0)
        self.box = max(self.cell, box)
        self.pitch = max(self.cell + GAP, self.box + AIR)
        last = (len(states) - 1) * self.pitch
        self.middle = last / 2
        left = max(max(map(text_width, rows)) + TO_LABEL + self.cell / 2, self.box / 2)
        sums = max(text_width(self.sum_of(feature)) for feature in range(states.shape[1]))
        right = max(last + self.box / 2, self.middle + self.cell / 2 + TO_LABEL + sums)
        if left + right + AIR > ROOM:
            raise ValueError(
                f"{len(states)} states of such numbers need {left + right:.1f} inches and "
                f"{ROOM:.1f} are there; show fewer states or rounder numbers"
            )

    def sum_of(self, feature: int) -> str:
        """Write a number of the context as the sum that it is."""
        terms = [
            f"{_written(weight)} \N{MULTIPLICATION SIGN} "
            + (f"({_written(number)})" if round(number, 2) < 0 else _written(number))
            for weight, number in zip(self.weights, self.states[:, feature], strict=True)
        ]
        return "= " + " + ".join(terms)

    def figure(self) -> Figure:
        """Draw everything."""
        canvas, features = self.canvas, self.states.shape[1]
        columns = [k * self.pitch for k in range(len(self.states))]
        half = CELL_HEIGHT / 2
        top = (features - 1) * CELL_HEIGHT
        for k, x in enumerate(columns):
            name = str(k + 1)
            self.draw_vector(f"state-{name}", (x, 0.0), self.states[k], "state")
            at = (x + self.cell / 2 + 0.04, top + half + 0.04)
            canvas.label(f"name-{name}", at, f"$h_{{{name}}}$", role="state", align="left")
            if k:
                ends = [(x - self.pitch + self.cell / 2, top / 2), (x - self.cell / 2, top / 2)]
                canvas.wire(f"state-{k}-{name}", ends)
            if self.labels:
                low = -half - RISE - BOX_HEIGHT / 2
                size = (self.box, BOX_HEIGHT)
                canvas.box(f"input-{name}", (x, low), size, self.labels[k], "input")
                ends = [(x, low + BOX_HEIGHT / 2), (x, -half)]
                canvas.wire(f"input-{name}-state-{name}", ends)
        y = top + half + TO_LABEL + 0.02
        for row, (title, numbers) in enumerate(self.rows.items()):
            role = ROLE if row == len(self.rows) - 1 else "ink"
            at = (-self.cell / 2 - TO_LABEL, y + row * ROW)
            canvas.label(f"row-{title}", at, title, role="muted", align="right")
            for k, (x, number) in enumerate(zip(columns, numbers, strict=True)):
                canvas.label(f"{title}-{k + 1}", (x, y + row * ROW), number, role=role)
        low = y + len(self.rows) * ROW - ROW + TO_LABEL
        self.draw_context(columns, low, low + CLIMB)
        return canvas.figure()

    def draw_context(self, columns: list[float], low: float, high: float) -> None:
        """Draw the arrows into the context, its numbers, and the sums that they are."""
        for k, (x, weight) in enumerate(zip(columns, self.weights, strict=True)):
            end = self.middle + APART * (k - (len(columns) - 1) / 2)
            way, width = [(x, low), (end, high)], thickness(weight)
            self.canvas.wire(f"state-{k + 1}-context", way, role=ROLE, width=width)
        bottom = high + CELL_HEIGHT / 2
        self.draw_vector("context", (self.middle, bottom), self.context, ROLE)
        last = len(self.context) - 1
        for feature in range(last + 1):
            at = (self.middle + self.cell / 2 + TO_LABEL, bottom + (last - feature) * CELL_HEIGHT)
            text = self.sum_of(feature)
            self.canvas.label(f"sum-{feature + 1}", at, text, role=ROLE, align="left")
        at = (self.middle - self.cell / 2 - TO_LABEL, bottom + last * CELL_HEIGHT / 2)
        self.canvas.label("context", at, "context $c$", role=ROLE, align="right")

    def draw_vector(
        self, name: str, at: tuple[float, float], numbers: np.ndarray, role: str
    ) -> None:
        """Draw numbers in cells, the first on top; the place is the centre of the lowest."""
        (x, y), size = at, (self.cell, CELL_HEIGHT)
        for row, number in enumerate(reversed(numbers)):
            cell = f"{name}-{len(numbers) - row}"
            middle = (x, y + row * CELL_HEIGHT)
            self.canvas.box(cell, middle, size, _written(number), role, radius=0.02)
