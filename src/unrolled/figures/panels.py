"""Several sequences, one above the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from .canvas import HALF_CAPITAL, text_width
from .palette import COLOURS, SERIES, colour
from .style import LINE_WIDTH, RC, SMALL_SIZE, WIDTH
from .text import visible

#: A moment with its label, or the start and the end of an interval with its label.
Event = tuple[float, str] | tuple[float, float, str]

# All in inches.
LEFT = 0.22
RIGHT = 0.22
EDGE = 0.06
TITLE = 0.27
#: Numbers and label below an axis.
TICKS = 0.44
BETWEEN = 0.16
CURVE = 0.72
MOMENTS = 0.36
STEM = 0.11
LANE = 0.28
BOX_HEIGHT = 0.22
PADDING = 0.06


def panels(
    rows: Mapping[str, ArrayLike | Sequence[Event]],
    *,
    xlabel: str | Mapping[str, str],
    x: ArrayLike | Mapping[str, ArrayLike] | None = None,
    limits: Mapping[str, tuple[float, float]] | None = None,
    colours: Mapping[str, str] | None = None,
) -> Figure:
    """Draw sequences one above the other: curves, labelled moments, labelled intervals.

    Parameters
    ----------
    rows
        Label: values of shape `(points,)`, with NaN for a gap; or a list of moments
        `(moment, label)`, such as the letters of a text; or a list of intervals
        `(start, end, label)`. Intervals that overlap are drawn one below the other.
    xlabel
        What the horizontal axis shows, with the unit. One label: all rows share the axis. A label
        for each row: each has an axis of its own.
    x
        Shape `(points,)`: the moments of the values; or those of each row that has values. If not
        given they are counted from 1, as steps are.
    limits
        Label: lowest and highest value that the vertical axis of that row shows; from its values if
        not given.
    colours
        Label: role in `COLOURS`. Rows that are not named take the colours of `SERIES` in order.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If a row is empty or neither of the three, shapes do not fit, labels of moments would cover
        each other, or a label or a role is unknown.

    Examples
    --------
    >>> gates = panels(
    ...     {
    ...         "letters": [(1, "t"), (2, "i"), (3, "m"), (4, "e")],
    ...         "forget gate": [0.1, 0.9, 0.9, 0.2],
    ...     },
    ...     xlabel="step",
    ...     limits={"forget gate": (0, 1)},
    ...     colours={"letters": "input", "forget gate": "gate"},
    ... )
    >>> kinds = panels(
    ...     {"share price (US dollars)": [20, 25, 22], "film": [(0, 4, "titles"), (3, 9, "chase")]},
    ...     xlabel={"share price (US dollars)": "year", "film": "minute"},
    ...     x={"share price (US dollars)": [1990, 1991, 1992]},
    ... )
    """
    own = not isinstance(xlabel, str)
    limits, colours = dict(limits or {}), dict(colours or {})
    if not rows:
        raise ValueError("rows is empty; expected at least one label with its sequence")
    named = {"limits": limits, "colours": colours}
    named |= {"xlabel": xlabel} if own else {}
    named |= {"x": x} if isinstance(x, Mapping) else {}
    for name, given in named.items():
        if unknown := set(given) - set(rows):
            raise ValueError(f"{name} names {min(unknown)!r}; expected labels of rows")
    if own and (missing := set(rows) - set(xlabel)):
        raise ValueError(f"xlabel has no label for row {min(missing)!r}; expected one a row")
    sequences = {
        label: _sequence(
            label, given, x.get(label) if isinstance(x, Mapping) else x, limits.get(label)
        )
        for label, given in rows.items()
    }
    for name, given in (("limits", limits), ("x", x if isinstance(x, Mapping) else {})):
        for label in given:
            if not isinstance(sequences[label], _Curve):
                raise ValueError(f"{name} names {label!r}, which has events; expected values")
    order = iter(SERIES * (len(rows) // len(SERIES) + 1))
    roles = [colours[label] if label in colours else next(order) for label in rows]
    shown = [xlabel[label] if own else xlabel for label in rows]
    with matplotlib.rc_context(RC):
        return _draw(sequences, roles, shown, own=own)


@dataclass(frozen=True)
class _Curve:
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    limits: tuple[float, float]

    @property
    def ticks(self) -> dict[float, str]:
        """Two to four numbers for the vertical axis, as they are written."""
        low, high = self.limits
        values = MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(low, high)
        return {
            value: f"{value:g}".replace("-", "\N{MINUS SIGN}")
            for value in values
            if low <= value <= high
        }

    def draw(self, axes: Axes, role: str, name: str, width: float) -> float:
        """Draw the curve; return the height of its panel in inches."""
        axes.plot(self.x, self.y, color=colour(role), linewidth=LINE_WIDTH, gid=f"line-{name}")
        axes.set_ylim(*self.limits)
        axes.set_yticks(list(self.ticks), list(self.ticks.values()))
        return CURVE


@dataclass(frozen=True)
class _Moments:
    label: str
    x: NDArray[np.float64]
    texts: list[str]

    def draw(self, axes: Axes, role: str, name: str, width: float) -> float:
        """Draw a stroke at each moment with its text above it; return the height in inches."""
        low, high = axes.get_xlim()
        inches = (high - low) / width
        before, edge = "", low
        for index, (at, text) in enumerate(zip(self.x, self.texts, strict=True), start=1):
            axes.plot(
                [at, at],
                [0, STEM],
                color=colour(role),
                linewidth=LINE_WIDTH,
                solid_capstyle="butt",
                gid=f"line-{name}-{index}",
            )
            half = text_width(text) / 2 * inches
            if not half:
                continue
            middle = min(max(at, low + half), high - half)
            if middle - half < edge:
                raise ValueError(
                    f"the labels {before!r} and {text!r} of row {self.label!r} cover each other; "
                    "show fewer, or leave some empty"
                )
            before, edge = text, middle + half + 0.02 * inches
            axes.text(middle, STEM + 0.06, text, ha="center", gid=f"text-{name}-{index}")
        axes.set_ylim(0, MOMENTS)
        return MOMENTS


@dataclass(frozen=True)
class _Intervals:
    label: str
    x: NDArray[np.float64]  # (intervals, 2)
    texts: list[str]

    def draw(self, axes: Axes, role: str, name: str, width: float) -> float:
        """Draw a box for each interval in the first lane with room; return the height in inches."""
        low, high = axes.get_xlim()
        inches = (high - low) / width
        lanes: list[float] = []  # how far each is taken
        for index in np.argsort(self.x[:, 0], kind="stable"):
            (start, end), text = self.x[index], self.texts[index]
            length = (text_width(text, SMALL_SIZE) + 2 * PADDING) * inches
            left = start
            if length > end - start:
                # No room inside: on the right of the box, or on its left at the end of the axis.
                left = end if end + length <= high else start - length
            if left < low:
                raise ValueError(
                    f"no room for {text!r} beside its interval in row {self.label!r}; shorten it"
                )
            first, last = min(left, start), max(left + length, end)
            lane = next((n for n, taken in enumerate(lanes) if taken <= first), len(lanes))
            lanes[lane : lane + 1] = [last]
            y = -(lane + 0.5) * LANE
            axes.add_patch(
                Rectangle(
                    (start, y - BOX_HEIGHT / 2),
                    end - start,
                    BOX_HEIGHT,
                    facecolor=colour(f"{role}_fill" if f"{role}_fill" in COLOURS else "panel"),
                    edgecolor=colour(role),
                    linewidth=LINE_WIDTH,
                    gid=f"box-{name}-{index + 1}",
                )
            )
            axes.text(
                left + PADDING * inches,
                y - HALF_CAPITAL * SMALL_SIZE,
                text,
                fontsize=SMALL_SIZE,
                gid=f"text-{name}-{index + 1}",
            )
        height = len(lanes) * LANE + PADDING
        axes.set_ylim(-height, 0)
        return height


def _sequence(
    label: str,
    given: ArrayLike | Sequence[Event],
    x: ArrayLike | None,
    limits: tuple[float, float] | None,
) -> _Curve | _Moments | _Intervals:
    """Return what a row holds, once it is found to be in order."""
    events = list(given) if isinstance(given, Sequence) else []
    if not any(isinstance(event, tuple) for event in events):
        return _curve(label, given, x, limits)
    kinds = {len(event) if isinstance(event, tuple) else 0 for event in events}
    if kinds not in ({2}, {3}) or not all(isinstance(event[-1], str) for event in events):
        raise ValueError(
            f"row {label!r} mixes kinds; expected moments (moment, label) or intervals "
            "(start, end, label)"
        )
    times = np.array([event[:-1] for event in events], dtype=float)
    texts = [visible(event[-1]) for event in events]
    if not np.isfinite(times).all():
        raise ValueError(f"row {label!r} has a time that is not finite; expected numbers")
    if kinds == {2}:
        order = np.argsort(times[:, 0], kind="stable")
        return _Moments(label, times[order, 0], [texts[index] for index in order])
    for (start, end), text in zip(times, texts, strict=True):
        if not start < end:
            raise ValueError(
                f"interval {text!r} of row {label!r} runs from {start:g} to {end:g}; expected a "
                "start before its end"
            )
    return _Intervals(label, times, texts)


def _curve(
    label: str, given: ArrayLike, x: ArrayLike | None, limits: tuple[float, float] | None
) -> _Curve:
    wanted = (
        "expected numbers (points,), two or more, or a list of moments (moment, label) or of "
        "intervals (start, end, label)"
    )
    try:
        values = np.asarray(given, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"row {label!r} does not hold numbers; {wanted}") from error
    if values.ndim != 1 or values.size < 2:
        raise ValueError(f"row {label!r} has shape {values.shape}; {wanted}")
    if np.isinf(values).any() or np.isnan(values).all():
        raise ValueError(
            f"row {label!r} has infinite values or no values; expected numbers, NaN for a gap"
        )
    points = np.arange(1, values.size + 1) if x is None else np.asarray(x, dtype=float)
    if points.shape != values.shape or not np.isfinite(points).all():
        raise ValueError(
            f"x of row {label!r} has shape {points.shape}; expected {values.shape}, finite numbers"
        )
    if limits is not None and not limits[0] < limits[1]:
        raise ValueError(f"limits of row {label!r} is {limits}; expected (low, high), low < high")
    return _Curve(points, values, _with_air(values if limits is None else limits, 0.06))


def _with_air(values: ArrayLike, share: float) -> tuple[float, float]:
    """Return the ends of an axis that shows all values, with some air on both sides."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    air = share * (high - low) or 0.5
    return (low - air, high + air)


def _draw(
    rows: Mapping[str, _Curve | _Moments | _Intervals],
    roles: Sequence[str],
    xlabels: Sequence[str],
    *,
    own: bool,
) -> Figure:
    """Place the panels; all lengths are in inches."""
    ticks = [
        tick for row in rows.values() if isinstance(row, _Curve) for tick in row.ticks.values()
    ]
    left = LEFT + max((text_width(tick, SMALL_SIZE) for tick in ticks), default=0.0)
    width = WIDTH - left - RIGHT
    for text in (*rows, *xlabels):
        if text_width(text) > width:
            raise ValueError(
                f"the label {text!r} needs {text_width(text):.1f} inches and {width:.1f} are "
                "there; shorten it"
            )
    figure = Figure(layout="constrained")
    # Taken away, not left out: see `Canvas`.
    figure.set_layout_engine("none")
    FigureCanvasAgg(figure)
    every = np.concatenate([row.x.ravel() for row in rows.values()])
    places, y = [], EDGE
    for number, (label, row) in enumerate(rows.items(), start=1):
        moments = row.x if own else every
        axes = figure.add_axes((0, 0, 1, 1), label=str(number))
        axes.set_xlim(_with_air(moments, 0.02))
        axes.set_title(label, color=colour(roles[number - 1]))
        whole = bool((moments == np.round(moments)).all())
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10], integer=whole))
        axes.ticklabel_format(axis="x", style="plain", useOffset=False)
        height = row.draw(axes, roles[number - 1], str(number), width)
        if isinstance(row, _Curve):
            axes.grid(axis="y" if own else "both")
        else:
            axes.spines["left"].set_visible(False)
            axes.set_yticks([])
        y += TITLE + height
        places.append((y, height))
        if own or number == len(rows):
            axes.set_xlabel(xlabels[number - 1])
            y += TICKS
        else:
            axes.tick_params(axis="x", bottom=False, labelbottom=False)
        y += BETWEEN
    total = y - BETWEEN + EDGE
    figure.set_size_inches(WIDTH, total)
    for axes, (bottom, height) in zip(figure.axes, places, strict=True):
        axes.set_position((left / WIDTH, 1 - bottom / total, width / WIDTH, height / total))
    return figure
