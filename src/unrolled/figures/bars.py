"""Bars: what each step, or each lag, contributes to a sum."""

from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from .palette import SERIES, colour
from .plots import numbers
from .style import RC, new_figure

#: Height of the axes of a series, and of what stands below the last, in inches.
HEIGHT = 1.45
BELOW = 0.75


def bars(
    x: ArrayLike,
    series: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    ylabel: str,
    colours: Mapping[str, str] | None = None,
) -> Figure:
    """Draw values as bars that rise from zero, or hang from it: one row a series, on one scale.

    Parameters
    ----------
    x
        Shape `(points,)`, whole numbers, such as the number of steps back.
    series
        Label: values of shape `(points,)`.
    xlabel, ylabel
        What the axes show, with the unit.
    colours
        Label: role in `COLOURS`. Series that are not named take the colours of `SERIES` in order.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite, or a label or a role is unknown.

    Examples
    --------
    >>> figure = bars(
    ...     [0, 1, 2, 3],
    ...     {"term": [0.5, -0.2, 0.05, 0.01]},
    ...     xlabel="steps back",
    ...     ylabel="share of the gradient",
    ...     colours={"term": "gradient"},
    ... )
    """
    colours = dict(colours or {})
    places = numbers("x", x)
    if (places % 1).any() or len(np.unique(places)) < places.size:
        raise ValueError("x has fractions or the same number twice; expected whole numbers")
    if not series:
        raise ValueError("series is empty; expected at least one label with its values")
    if unknown := set(colours) - set(series):
        raise ValueError(f"colours names {min(unknown)!r}; expected labels of series")
    rows = {label: numbers(f"series {label!r}", given) for label, given in series.items()}
    for label, values in rows.items():
        if values.size != places.size:
            raise ValueError(
                f"series {label!r} has {values.size} values; expected {places.size}, as x has"
            )
    order = iter(SERIES * len(rows))
    shades = {label: colours[label] if label in colours else next(order) for label in rows}
    with matplotlib.rc_context(RC):
        figure = new_figure(HEIGHT * len(rows) + BELOW)
        grid = figure.subplots(len(rows), squeeze=False, sharex=True, sharey=True)[:, 0]
        for number, (axes, (label, values)) in enumerate(
            zip(grid, rows.items(), strict=True), start=1
        ):
            shade = colour(shades[label])
            drawn = axes.bar(places, values, width=0.72, color=shade, linewidth=0)
            for index, bar in enumerate(drawn, start=1):
                bar.set_gid(f"bar-{number}-{index}")
            axes.axhline(0, color=colour("muted"), linewidth=0.8, gid=f"zero-{number}")
            axes.spines["bottom"].set_visible(False)
            axes.tick_params(axis="x", length=0)
            axes.grid(axis="y")
            axes.set_title(label, color=shade)
            axes.set_xlim(places.min() - 0.8, places.max() + 0.8)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
            axes.yaxis.set_major_locator(MaxNLocator(4))
        grid[-1].set_xlabel(xlabel)
        figure.supylabel(ylabel, fontsize=RC["axes.labelsize"])
    return figure
