"""Curves with bands over seeds, and heatmaps."""

from collections.abc import Mapping, Sequence
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, StrMethodFormatter
from numpy.typing import ArrayLike, NDArray

from .canvas import MATH_SCALE, text_width
from .palette import SERIES, colour
from .style import FONT_SIZE, RC, SMALL_SIZE, WIDTH, new_figure

Scale = Literal["linear", "log"]

# Equal steps in lightness (CIELAB), so that equal differences look equal. No colour of these is a
# house colour: a value keeps its colour in light and in dark.
_COLD = ("#274b9f", "#3d67b5", "#5883c8", "#78a0d9", "#9cbce6", "#c5d8ef")
_WARM = ("#facea6", "#edac73", "#d98c4c", "#c26d2f", "#a8501a", "#8d320b")
_SEA = ("#f9f7e8", "#bfe6cf", "#94d1ba", "#72b9a8", "#57a197", "#408988", "#2f707a", "#20586c")
DIVERGING = LinearSegmentedColormap.from_list("diverging", [*_COLD, "#f5f4f0", *_WARM], N=65)
SEQUENTIAL = LinearSegmentedColormap.from_list("sequential", [*_SEA, "#12415f"], N=65)
#: Text in the cells of a heatmap, on dark and on light colours.
CELL_TEXT = ("#fefefe", "#010101")
#: From here on cells are a picture in the SVG, not a shape each, and touch.
MANY_CELLS = 2000


def curves(
    x: ArrayLike,
    series: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    ylabel: str,
    baselines: Mapping[str, float] | None = None,
    theory: Mapping[str, ArrayLike] | None = None,
    colours: Mapping[str, str] | None = None,
    xscale: Scale = "linear",
    yscale: Scale = "linear",
    ylim: tuple[float, float] | None = None,
) -> Figure:
    """Draw curves, each with its name at its end.

    Parameters
    ----------
    x
        Shape `(points,)`.
    series
        Label: values of shape `(points,)`, or `(seeds, points)` for several seeds. Then the line is
        the mean over the seeds and the band reaches from the lowest to the highest, which a note
        above the figure says. A value that is not a number leaves a gap.
    xlabel, ylabel
        What the axes show, with the unit.
    baselines
        Label: height of a dashed horizontal line.
    theory
        Label of a series: what theory says of it, of shape `(points,)`. A thin dashed line, in the
        colour of the series, whose own line is broad and pale: where both agree, both can be seen.
    colours
        Label: role in `COLOURS`. Series that are not named take the colours of `SERIES` in order.
    xscale, yscale
        `"linear"` or `"log"`.
    ylim
        Lower and upper end of the vertical axis; fitted to the data if not given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes do not fit, a label or a role is unknown, or a logarithmic axis would have to show
        a value that is not positive.

    Examples
    --------
    >>> steps = [1, 2, 3]
    >>> figure = curves(
    ...     steps,
    ...     {"training": [3.0, 2.0, 1.5], "held out": [[3.1, 2.4, 2.2], [3.0, 2.3, 2.3]]},
    ...     xlabel="step",
    ...     ylabel="loss (bits per character)",
    ...     baselines={"always the commonest": 2.9},
    ... )
    """
    baselines, theory, colours = dict(baselines or {}), dict(theory or {}), dict(colours or {})
    points = _points(x, xscale)
    values = {label: _series(label, given, points, yscale) for label, given in series.items()}
    if not values:
        raise ValueError("series is empty; expected at least one label with its values")
    for label, height in baselines.items():
        if not np.isfinite(height) or (yscale == "log" and height <= 0):
            raise ValueError(
                f"baseline {label!r} is {height}; expected a finite number"
                + (", above 0 on a logarithmic axis" if yscale == "log" else "")
            )
    for name, given in (("colours", colours), ("theory", theory)):
        if unknown := set(given) - set(values):
            raise ValueError(f"{name} names {min(unknown)!r}; expected labels of series")
    expected = {label: _theory(label, theory[label], points, yscale) for label in theory}
    order = iter(SERIES * (len(values) // len(SERIES) + 1))
    shades = {
        label: colour(colours[label] if label in colours else next(order)) for label in values
    }

    with matplotlib.rc_context(RC):
        figure = new_figure(3.4)
        axes = figure.add_subplot()
        axes.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale)
        axes.margins(x=0.02)
        axes.grid(axis="y")
        for number, (label, rows) in enumerate(values.items(), start=1):
            if len(rows) > 1:
                axes.fill_between(
                    points,
                    rows.min(axis=0),
                    rows.max(axis=0),
                    color=shades[label],
                    alpha=0.18,
                    linewidth=0,
                    gid=f"band-{number}",
                )
            line = {"linewidth": 3.6, "alpha": 0.55} if label in theory else {}
            axes.plot(points, rows.mean(axis=0), color=shades[label], gid=f"line-{number}", **line)
            if label in theory:
                axes.plot(
                    points,
                    expected[label],
                    color=shades[label],
                    linestyle=(0, (5, 3)),
                    linewidth=1.0,
                    gid=f"theory-{number}",
                )
        for number, height in enumerate(baselines.values(), start=1):
            axes.axhline(
                height,
                color=colour("muted"),
                linestyle=(0, (4, 3)),
                linewidth=1.2,
                gid=f"baseline-{number}",
            )
        if ylim is not None:
            axes.set_ylim(*ylim)
        for axis, scale in ((axes.xaxis, xscale), (axes.yaxis, yscale)):
            if scale == "log":
                _number_logarithmic(axis)
        seeds = {len(rows) for rows in values.values()} - {1}
        notes = []
        if seeds:
            count = str(seeds.pop()) if len(seeds) == 1 else "several"
            notes.append(f"line: mean of {count} seeds; band: lowest to highest")
        if theory:
            notes.append("dashed: theory")
        axes.set_title("; ".join(notes), fontsize=SMALL_SIZE, color=colour("muted"))
        ends = [
            (label, *_last(points, rows.mean(axis=0)), shades[label])
            for label, rows in values.items()
        ]
        ends += [
            (label, points.max(), height, colour("muted")) for label, height in baselines.items()
        ]
        _label_ends(figure, axes, ends)
    return figure


def heatmap(
    matrix: ArrayLike,
    *,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    xlabel: str,
    ylabel: str,
    colourbar: str,
    limits: tuple[float, float] | None = None,
    values: str | None = None,
) -> Figure:
    """Draw a matrix as coloured cells, its first row on top.

    Where there are negative values the colours run from blue over white at zero to red, to the same
    distance on both sides; else from pale to dark.

    Parameters
    ----------
    matrix
        Shape `(rows, columns)`. A cell that is not a number stays empty.
    rows, columns
        A label each, such as the words of a sentence; numbers if not given.
    xlabel, ylabel
        What the columns and the rows are.
    colourbar
        What the colours show.
    limits
        Values of the first and the last colour, `(-1, 1)` for states; from the data if not given.
    values
        Format of the numbers in the cells, such as `".1f"`; none if not given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes do not fit, limits are not in order, or there are more labels than can be read.

    Examples
    --------
    >>> figure = heatmap(
    ...     [[0.2, -0.7], [0.9, 0.1]],
    ...     columns=["What", "time"],
    ...     xlabel="word",
    ...     ylabel="unit",
    ...     colourbar="state",
    ...     limits=(-1, 1),
    ... )
    """
    cells = np.ma.masked_invalid(_matrix(matrix, rows, columns))
    cells_high, cells_wide = cells.shape
    norm = _limits(cells, limits)
    width, height = _cell_size(cells.shape, rows, columns, values, norm)
    ramp = DIVERGING if norm.vmin < 0 else SEQUENTIAL

    with matplotlib.rc_context(RC):
        figure = new_figure(cells_high * height + 0.9, cells_wide * width + 1.8)
        axes = figure.add_subplot()
        few = cells.size <= MANY_CELLS
        mesh = axes.pcolormesh(
            cells,
            cmap=ramp,
            norm=norm,
            edgecolors=colour("paper") if few else "face",
            linewidth=1.0 if few else 0.0,
            rasterized=not few,
            gid="cells",
        )
        axes.invert_yaxis()
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        _name_cells(axes.xaxis, columns, cells_wide)
        _name_cells(axes.yaxis, rows, cells_high)
        bar = figure.colorbar(mesh, ax=axes, label=colourbar, fraction=0.08, pad=0.03, aspect=18)
        bar.locator = MaxNLocator(4)
        bar.outline.set_visible(False)
        bar.solids.set(edgecolor="face", gid="colourbar")
        bar.ax.tick_params(length=0)
        if values is not None:
            for (row, column), value in np.ma.ndenumerate(cells):
                axes.text(
                    column + 0.5,
                    row + 0.5,
                    format(value, values).replace("-", "\N{MINUS SIGN}"),
                    ha="center",
                    va="center",
                    fontsize=SMALL_SIZE,
                    color=text_colour(ramp(norm(value))),
                )
    return figure


def _matrix(
    matrix: ArrayLike, rows: Sequence[str] | None, columns: Sequence[str] | None
) -> NDArray[np.float64]:
    cells = np.asarray(matrix, dtype=float)
    if cells.ndim != 2 or cells.size == 0:
        raise ValueError(f"matrix has shape {cells.shape}; expected (rows, columns)")
    if np.isinf(cells).any() or np.isnan(cells).all():
        raise ValueError("matrix has infinite values or no values; expected numbers, NaN for a gap")
    for name, labels, count in (("rows", rows, len(cells)), ("columns", columns, cells.shape[1])):
        if labels is not None and len(labels) != count:
            raise ValueError(
                f"{name} has {len(labels)} labels; expected {count}, as matrix has shape "
                f"{cells.shape}"
            )
    return cells


def _limits(cells: NDArray, limits: tuple[float, float] | None) -> Normalize:
    low, high = (float(cells.min()), float(cells.max())) if limits is None else limits
    if limits is not None and not low < high:
        raise ValueError(f"limits is {limits}; expected (low, high) with low < high")
    if low < 0:
        if limits is not None and low != -high:
            raise ValueError(
                f"limits is {limits}; expected (-a, a) for signed values, so that zero is white"
            )
        high = max(-low, high)
        low = -high
    return Normalize(low, high if high > low else low + 1)


def _cell_size(
    shape: tuple[int, ...],
    rows: Sequence[str] | None,
    columns: Sequence[str] | None,
    values: str | None,
    norm: Normalize,
) -> tuple[float, float]:
    """Return width and height of a cell in inches, so that labels and numbers fit."""
    high, wide = shape
    needed = max((text_width(label, SMALL_SIZE) + 0.06 for label in columns or ()), default=0)
    if values is not None:
        ends = (format(norm.vmin, values), format(norm.vmax, values))
        needed = max(needed, *(text_width(end, SMALL_SIZE) + 0.12 for end in ends))
    room = WIDTH - 1.8
    if needed * wide > room:
        raise ValueError(
            f"{wide} columns with such labels need {needed * wide:.1f} inches and {room:.1f} are "
            "there; show fewer, or leave the labels out"
        )
    width = max(needed, min(0.6, room / wide))
    height = max(0.18 if rows is not None or values is not None else 0.0, min(0.36, 3.6 / high))
    if height * high > 6:
        raise ValueError(f"{high} rows with labels do not fit; show fewer, or leave the labels out")
    return width, height


def _name_cells(axis: Axis, labels: Sequence[str] | None, count: int) -> None:
    if labels is not None:
        axis.set_ticks(np.arange(count) + 0.5, labels)
        return
    # Numbered from 1, as in the equations; not all, where there are many.
    stride = next(step for step in (1, 5, 10, 50, 100, count) if count <= 12 * step)
    numbers = np.arange(stride, count + 1, stride)
    axis.set_ticks(numbers - 0.5, [str(number) for number in numbers])


def text_colour(cell: tuple[float, ...]) -> str:
    """Return the light or the dark text, whichever is easier to read on the cell."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in cell[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return CELL_TEXT[0] if luminance < 0.179 else CELL_TEXT[1]


def numbers(name: str, given: ArrayLike) -> NDArray[np.float64]:
    """Return finite numbers of shape ``(points,)``, or raise a ``ValueError`` that names them."""
    values = np.asarray(given, dtype=float)
    if values.ndim != 1 or values.size < 2 or not np.isfinite(values).all():
        raise ValueError(
            f"{name} has shape {values.shape}; expected (points,), two or more finite numbers"
        )
    return values


def _points(x: ArrayLike, scale: str) -> NDArray[np.float64]:
    points = numbers("x", x)
    _check_scale("xscale", scale, points, "x")
    return points


def _series(label: str, given: ArrayLike, points: NDArray, scale: str) -> NDArray[np.float64]:
    """Return the values as (seeds, points)."""
    values = np.asarray(given, dtype=float)
    rows = values[None] if values.ndim == 1 else values
    if rows.ndim != 2 or rows.shape[1] != points.size or rows.shape[0] == 0:
        raise ValueError(
            f"series {label!r} has shape {values.shape}; expected ({points.size},) or "
            f"(seeds, {points.size}), as x has {points.size} points"
        )
    if np.isinf(rows).any() or np.isnan(rows.mean(axis=0)).all():
        raise ValueError(
            f"series {label!r} has infinite values or no values; expected numbers, NaN for a gap"
        )
    _check_scale("yscale", scale, rows[~np.isnan(rows)], f"series {label!r}")
    return rows


def _theory(label: str, given: ArrayLike, points: NDArray, scale: str) -> NDArray[np.float64]:
    """Return what theory says of a series, as (points,)."""
    line = np.asarray(given, dtype=float)
    if line.shape != points.shape or not np.isfinite(line).all():
        raise ValueError(
            f"theory of {label!r} has shape {line.shape}; expected ({points.size},) finite numbers"
        )
    _check_scale("yscale", scale, line, f"theory of {label!r}")
    return line


def _number_logarithmic(axis: Axis) -> None:
    """Write plain numbers, which are read faster than powers of ten, while they are short."""
    low, high = np.log10(axis.get_view_interval())
    if low > -5 and high < 6:
        axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        return
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"$10^{{{np.log10(x):.0f}}}$"))
    axis.set_tick_params(labelsize=MATH_SCALE * FONT_SIZE)


def _check_scale(name: str, scale: str, values: NDArray, owner: str) -> None:
    if scale not in ("linear", "log"):
        raise ValueError(f"{name} is {scale!r}; expected 'linear' or 'log'")
    if scale == "log" and values.min() <= 0:
        raise ValueError(
            f"{owner} goes down to {values.min():g}; a logarithmic axis needs values above 0"
        )


def _last(points: NDArray, line: NDArray) -> tuple[float, float]:
    """Return the last point of a line that is a number."""
    index = np.flatnonzero(~np.isnan(line))[-1]
    return float(points[index]), float(line[index])


def _label_ends(figure: Figure, axes: Axes, ends: list[tuple[str, float, float, str]]) -> None:
    """Write each label to the right of the axes, at the height of its line, without overlap."""
    texts = [
        axes.text(
            1.035,
            0.5,
            label,
            transform=axes.transAxes,
            color=shade,
            va="center",
            fontsize=FONT_SIZE,
            gid=f"text-end-{number}",
        )
        for number, (label, _, _, shade) in enumerate(ends, start=1)
    ]
    # The layout leaves room for the labels; then heights on the page are known.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    frame = axes.get_window_extent()
    wanted = [
        (axes.transData.transform((x, y))[1] - frame.y0) / frame.height for _, x, y, _ in ends
    ]
    heights = [text.get_window_extent().height / frame.height for text in texts]
    for text, (_, x, y, shade), place in zip(texts, ends, spread(wanted, heights), strict=True):
        text.set_y(place)
        start = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))
        axes.add_line(
            Line2D(
                [start[0], 1.028],
                [start[1], place],
                transform=axes.transAxes,
                color=shade,
                linewidth=0.8,
                clip_on=False,
            )
        )


def spread(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Move labels apart, no further than needed, within 0 and 1.

    Labels that touch form a block, which is centred on the mean of the places they wanted.
    """
    order = np.argsort(wanted, kind="stable")
    blocks: list[tuple[list[int], float, float]] = []  # members, height, centre
    for index in order:
        members, height, centre = [int(index)], heights[index], wanted[index]
        centre = min(max(centre, height / 2), 1 - height / 2)
        while blocks and blocks[-1][2] + blocks[-1][1] / 2 > centre - height / 2 + 1e-9:
            below = blocks.pop()
            members = below[0] + members
            height += below[1]
            centre = float(np.mean([wanted[member] for member in members]))
            centre = min(max(centre, height / 2), 1 - height / 2)
        blocks.append((members, height, centre))
    places = [0.0] * len(wanted)
    for members, height, centre in blocks:
        edge = centre - height / 2
        for member in members:
            places[member] = edge + heights[member] / 2
            edge += heights[member]
    return places
