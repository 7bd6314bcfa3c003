"""A loss along a line, and where steps of different lengths land on it."""

from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path
from numpy.typing import ArrayLike

from .canvas import ARROW_HEAD
from .palette import colour
from .style import FONT_SIZE, LINE_WIDTH, RC, new_figure

#: From where a step lands to its label, in points.
BESIDE, ABOVE = 8, 7


def cliff(
    x: ArrayLike,
    loss: ArrayLike,
    *,
    start: float,
    steps: Mapping[str, float],
    xlabel: str,
    ylabel: str,
) -> Figure:
    """Draw a loss along a line through the weights, and steps on it from one point.

    Parameters
    ----------
    x
        Places on the line, from left to right; shape `(points,)`.
    loss
        The loss at each place; shape `(points,)`.
    start
        Where the weights are: the dot.
    steps
        Label: where that step lands. An arrow leads there from the dot; where that is off the
        picture, the arrow leaves it, and the label says how far it goes.
    xlabel, ylabel
        What the axes show, with the unit.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes do not fit, places are not in order, or the start does not lie between them.

    Examples
    --------
    >>> place = [0, 1, 2, 3, 4]
    >>> figure = cliff(
    ...     place,
    ...     [2.0, 1.9, 0.6, 0.5, 0.4],
    ...     start=1.5,
    ...     steps={"clipped": 2.5, "not clipped": 80},
    ...     xlabel="way along the negative gradient",
    ...     ylabel="loss",
    ... )
    """
    places, heights = np.asarray(x, dtype=float), np.asarray(loss, dtype=float)
    if places.ndim != 1 or places.size < 2 or places.shape != heights.shape:
        raise ValueError(
            f"x has shape {places.shape} and loss has shape {heights.shape}; expected (points,) "
            "for both, two or more"
        )
    if not np.isfinite([places, heights]).all() or (np.diff(places) <= 0).any():
        raise ValueError("x and loss must be finite, and x must rise from left to right")
    if not places[0] <= start <= places[-1]:
        raise ValueError(
            f"start is {start:g}; expected a place on the line, {places[0]:g} to {places[-1]:g}"
        )
    if not steps or not np.isfinite(list(steps.values())).all() or start in steps.values():
        raise ValueError(f"steps is {dict(steps)}; expected labels of places other than start")

    with matplotlib.rc_context(RC):
        figure = new_figure(3.4)
        axes = figure.add_subplot()
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.margins(x=0.02)
        axes.grid(axis="y")
        axes.plot(places, heights, color=colour("series_1"), gid="line-loss")
        here = float(np.interp(start, places, heights))
        for number, (label, end) in enumerate(steps.items(), start=1):
            side = 1 if end > start else -1
            inside = places[0] <= end <= places[-1]
            edge = places[-1] if side > 0 else places[0]
            # Off the picture it leaves at its own height.
            tip = (end, float(np.interp(end, places, heights))) if inside else (edge, here)
            axes.add_patch(
                FancyArrowPatch(
                    path=Path([(start, here), tip]),
                    arrowstyle=ARROW_HEAD,
                    mutation_scale=FONT_SIZE,
                    color=colour("gradient"),
                    linewidth=LINE_WIDTH,
                    zorder=3,
                    gid=f"arrow-step-{number}",
                )
            )
            axes.annotate(
                label if inside else f"{label}:\nto {_number(end)}",
                tip,
                xytext=(side * BESIDE, ABOVE if inside else 0),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="bottom" if inside else "center",
                # The curve may pass behind it.
                bbox={"boxstyle": "square,pad=0.1", "facecolor": colour("paper"), "linewidth": 0},
                color=colour("gradient"),
                zorder=4,
                gid=f"text-step-{number}",
            )
        axes.plot(start, here, "o", color=colour("ink"), zorder=5, gid="dot-start")
    return figure


def _number(value: float) -> str:
    if abs(value) >= 1e6:
        power = f"10^{{{np.log10(abs(value)):.0f}}}"
        return f"about ${power}$" if value > 0 else f"about $-{power}$"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")
