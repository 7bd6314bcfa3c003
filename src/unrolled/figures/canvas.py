"""A page on which boxes and wires are placed, measured in inches.

The drawings of networks and of cells are made from what stands here, so that strokes, corners,
arrow heads and text are the same in all of them.
"""

import copy
from collections.abc import Iterable, Sequence

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D, Bbox
from numpy.typing import NDArray

from .palette import COLOURS, colour
from .style import FONT_SIZE, LINE_WIDTH, RC

Point = tuple[float, float]

#: The widest figure whose text a phone shows large enough to be read, in inches.
WIDEST = 7.2
MARGIN = 0.08
#: What it has room for.
ROOM = WIDEST - 2 * MARGIN
CORNER = 0.08
ARROW_HEAD = "-|>,head_length=0.42,head_width=0.2"
#: From the tip of a head to where the line of its arrow begins, where that is dashed, in inches.
HEAD = 0.08
DASHED = (0, (3, 2))
#: Half the height of a capital letter, in inches a point: labels of a row share their baseline.
HALF_CAPITAL = 0.365 / 72
#: The letters of mathematics are smaller than those of text of the same size.
MATH_SCALE = 1.2
#: Strokes of what steps back are thinner.
MUTED_WIDTH = 0.9
#: A letter of the font of fixed width, in inches.
FIXED_WIDTH = 0.60205 * FONT_SIZE / 72
#: From line to line of a text of several, in inches.
LINE = 0.19
#: Grey of a pixel of value 0 and of value 1: it stays as it is in light and in dark.
PIXELS = (0xF0, 0x14)


def label_size(label: str, size: float) -> float:
    """Return the font size in points at which a label looks as large as text of a size."""
    return size * (MATH_SCALE if label.startswith("$") else 1)


def text_width(label: str, size: float = FONT_SIZE) -> float:
    """Return the width of a label in inches."""
    if not label.strip():
        return 0.0
    with matplotlib.rc_context(RC):
        path = TextPath((0, 0), label, size=label_size(label, size), prop=FontProperties())
    return float(path.get_extents().width) / 72


def lines_within(text: str, width: float) -> list[str]:
    """Break a text between words, so that its lines are no wider than so many inches.

    A word that is wider has a line of its own.
    """
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def rounded(points: Sequence[Point], radius: float = CORNER) -> Path:
    """Return the way through the points, with its corners rounded."""
    vertices, codes = [points[0]], [Path.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        vertices += [_towards(corner, before, radius), corner, _towards(corner, after, radius)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    return Path([*vertices, points[-1]], [*codes, Path.LINETO])


def _towards(start: Point, end: Point, distance: float) -> Point:
    (x0, y0), (x1, y1) = start, end
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    share = min(distance / length, 0.5)
    return (x0 + share * (x1 - x0), y0 + share * (y1 - y0))


class Canvas:
    """Boxes, wires and labels; `figure()` cuts the page to what was drawn.

    Every artist has a name (its `gid`, the `id` in the SVG), such as `box-input-1`. A muted artist
    steps back behind those that are not.
    """

    def __init__(self) -> None:
        with matplotlib.rc_context(RC):
            self._figure = Figure(figsize=(1, 1), layout="constrained")
            # Taken away, not left out: matplotlib gives a figure that never had a layout that of
            # the settings when it was saved once.
            self._figure.set_layout_engine("none")
            # Else pictures beside each other become one, of other pixels.
            self._figure.suppressComposite = True
            FigureCanvasAgg(self._figure)
            self._axes = self._figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._axes.set(xlim=(0, 1), ylim=(0, 1))
        self._prefix = ""
        self._place = Affine2D()
        self._drawn: list[Artist] = []

    def part(self, name: str) -> "Canvas":
        """Return a canvas on the same page, which can be moved with all that is drawn on it.

        The names of its artists begin with its own name.
        """
        part = copy.copy(self)
        part._prefix = f"{self._prefix}{name}-"
        part._place = Affine2D()
        part._drawn = []
        return part

    def move(self, x: float, y: float) -> None:
        """Move what was drawn, and what will be, by so many inches to the right and upwards."""
        self._place.translate(x, y)

    def extent(self) -> Bbox:
        """Return the rectangle that holds all that was drawn, in inches of the page."""
        return self._union(self._drawn)

    def _union(self, artists: Iterable[Artist]) -> Bbox:
        extents = [artist.get_window_extent() for artist in artists]
        return Bbox.union(extents).transformed(self._axes.transData.inverted())

    def _add(self, kind: str, name: str, artist: Artist) -> None:
        artist.set(gid=f"{kind}-{self._prefix}{name}", clip_on=False)
        artist.set_transform(self._place + self._axes.transData)
        self._axes.add_artist(artist)
        self._drawn.append(artist)

    def box(
        self,
        name: str,
        centre: Point,
        size: tuple[float, float],
        label: str,
        role: str,
        *,
        muted: bool = False,
        dashed: bool = False,
        thin: bool = False,
        radius: float = CORNER,
    ) -> None:
        """Draw a box in the colour of its role, with a label in its middle."""
        (x, y), (width, height) = centre, size
        patch = FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle=f"round,pad=0,rounding_size={radius}",
            facecolor=self._fill(role, muted),
            edgecolor=colour("muted" if muted else role),
            linewidth=MUTED_WIDTH if muted or thin else LINE_WIDTH,
            linestyle=DASHED if dashed else "solid",
            zorder=3,
        )
        self._add("box", name, patch)
        self.label(name, (x, y), label, muted=muted)

    def tile(
        self, name: str, centre: Point, size: tuple[float, float], shade: tuple[float, ...]
    ) -> None:
        """Draw a box without an outline, in a colour that stays as it is in light and in dark."""
        (x, y), (width, height) = centre, size
        patch = FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle=f"round,pad=0,rounding_size={CORNER}",
            facecolor=shade,
            edgecolor="none",
            zorder=3,
        )
        self._add("tile", name, patch)

    def panel(self, name: str, lower_left: Point, upper_right: Point) -> None:
        """Draw a pale area behind everything else."""
        (x0, y0), (x1, y1) = lower_left, upper_right
        patch = FancyBboxPatch(
            (x0, y0),
            x1 - x0,
            y1 - y0,
            boxstyle=f"round,pad=0,rounding_size={1.5 * CORNER}",
            facecolor=colour("panel"),
            edgecolor=colour("grid"),
            linewidth=0.8,
            zorder=0,
        )
        self._add("panel", name, patch)

    def frame(
        self,
        name: str,
        lower_left: Point,
        upper_right: Point,
        *,
        role: str,
        radius: float = CORNER,
    ) -> None:
        """Draw an outline around what belongs together, in front of panels and pictures."""
        (x0, y0), (x1, y1) = lower_left, upper_right
        patch = FancyBboxPatch(
            (x0, y0),
            x1 - x0,
            y1 - y0,
            boxstyle=f"round,pad=0,rounding_size={radius}",
            facecolor="none",
            edgecolor=colour(role),
            linewidth=MUTED_WIDTH if role == "muted" else LINE_WIDTH,
            zorder=1.5,
        )
        self._add("frame", name, patch)

    def label(
        self,
        name: str,
        at: Point,
        text: str,
        *,
        role: str = "ink",
        size: float = FONT_SIZE,
        align: str = "center",
        muted: bool = False,
        fixed: bool = False,
        shade: str | None = None,
        upright: bool = False,
    ) -> None:
        """Write a text whose capital letters are centred at the height of the point.

        Letters of a fixed width are `FIXED_WIDTH` wide. A shade is a colour that stays as it is in
        light and in dark, in place of that of the role. An upright text runs up from the point.
        """
        if not text.strip():
            return
        drop = HALF_CAPITAL * size
        with matplotlib.rc_context(RC):
            artist = Text(
                at[0] + (drop if upright else 0),
                at[1] - (0 if upright else drop),
                text,
                color=shade or colour("muted" if muted else role),
                fontfamily="DejaVu Sans Mono" if fixed else None,
                fontsize=label_size(text, size),
                horizontalalignment="left" if upright else align,
                verticalalignment="baseline",
                rotation="vertical" if upright else "horizontal",
                # Aligned first, then turned: the baseline stands where it is said.
                rotation_mode="anchor",
                zorder=5,
            )
        self._add("text", name, artist)

    def wire(
        self,
        name: str,
        points: Sequence[Point],
        *,
        role: str = "ink",
        arrow: bool = True,
        muted: bool = False,
        dashed: bool = False,
        radius: float = CORNER,
        width: float | None = None,
    ) -> None:
        """Draw a line through the points, with an arrow head at its end.

        A width, in points, is for lines whose thickness says something; their heads grow with it.
        """
        shade = colour("muted" if muted else role)
        options = {
            "mutation_scale": FONT_SIZE + 2 * max(0.0, (width or 0.0) - LINE_WIDTH),
            "linewidth": width or (MUTED_WIDTH if muted else LINE_WIDTH),
            "capstyle": "butt",
            "joinstyle": "miter",
            "zorder": 2,
        }
        way = rounded(points, radius)
        if dashed and arrow:
            # The outline of a head is not dashed: it is an arrow of its own, nearly without a line.
            tip = Path([_towards(points[-1], points[-2], HEAD), points[-1]])
            head = FancyArrowPatch(path=tip, arrowstyle=ARROW_HEAD, color=shade, **options)
            self._add("head", name, head)
        patch = FancyArrowPatch(
            path=way,
            arrowstyle=ARROW_HEAD if arrow and not dashed else "-",
            facecolor=shade if arrow and not dashed else "none",
            edgecolor=shade,
            linestyle=DASHED if dashed else "solid",
            **options,
        )
        self._add("arrow" if arrow else "line", name, patch)

    def circle(
        self, name: str, centre: Point, radius: float, label: str, role: str, *, muted: bool = False
    ) -> None:
        """Draw a round box in the colour of its role, with a label in its middle."""
        patch = Circle(
            centre,
            radius,
            facecolor=self._fill(role, muted),
            edgecolor=colour("muted" if muted else role),
            linewidth=MUTED_WIDTH if muted else LINE_WIDTH,
            zorder=3,
        )
        self._add("box", name, patch)
        self.label(name, centre, label, muted=muted)

    def mark(self, name: str, at: Point, *, role: str = "ink") -> None:
        """Draw a small filled square."""
        half = 0.05
        patch = Rectangle(
            (at[0] - half, at[1] - half),
            2 * half,
            2 * half,
            facecolor=colour(role),
            edgecolor="none",
            zorder=3,
        )
        self._add("mark", name, patch)

    def dot(self, name: str, at: Point, *, role: str, muted: bool = False) -> None:
        """Draw a dot where a wire branches."""
        shade = colour("muted" if muted else role)
        self._add("dot", name, Circle(at, 0.035, facecolor=shade, edgecolor="none", zorder=3))

    def picture(
        self, name: str, lower_left: Point, size: tuple[float, float], pixels: NDArray[np.floating]
    ) -> None:
        """Draw grey pixels from 0 (paper) to 1 (ink) in a frame."""
        (x, y), (width, height) = lower_left, size
        paper, ink = PIXELS
        greys = np.round(paper + (ink - paper) * pixels).astype(np.uint8)
        self.cells(name, lower_left, size, np.stack([greys] * 3, axis=-1))
        self.frame(name, (x, y), (x + width, y + height), role="muted", radius=0.0)

    def cells(
        self, name: str, lower_left: Point, size: tuple[float, float], colours: NDArray[np.uint8]
    ) -> None:
        """Draw cells in colours `(rows, columns, 3)` that stay as they are in light and in dark."""
        (x, y), (width, height) = lower_left, size
        extent = (x, x + width, y, y + height)
        image = AxesImage(self._axes, extent=extent, origin="upper", interpolation="none", zorder=1)
        image.set_data(colours)
        self._add("picture", name, image)

    @staticmethod
    def _fill(role: str, muted: bool) -> str:
        fill = f"{role}_fill"
        return colour(fill if fill in COLOURS and not muted else "paper")

    def figure(self, page: Bbox | None = None) -> Figure:
        """Return the figure, as large as what was drawn on it, or as `page` in inches."""
        axes = self._axes
        if page is None:
            page = self._union((*axes.patches, *axes.texts, *axes.images))
        inches = page.padded(MARGIN)
        axes.set(xlim=(inches.x0, inches.x1), ylim=(inches.y0, inches.y1))
        self._figure.set_size_inches(inches.width, inches.height)
        return self._figure
