"""The house style of all figures."""

import matplotlib
from cycler import cycler
from IPython.core.getipython import get_ipython
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib_inline.backend_inline import set_matplotlib_formats
from matplotlib_inline.config import InlineBackend

from .palette import SERIES, colour

#: Size of the text in a figure, in points; small text (ticks, notes) is a little smaller.
FONT_SIZE = 11.0
SMALL_SIZE = 9.5
#: Width of a figure in inches. On a phone it is shown 343 pixels wide, and text stays legible.
WIDTH = 6.4
LINE_WIDTH = 1.3

RC: dict[str, object] = {
    "figure.figsize": (WIDTH, 3.4),
    "figure.facecolor": colour("paper"),
    "figure.edgecolor": colour("paper"),
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "auto",
    "savefig.edgecolor": "auto",
    "savefig.bbox": None,
    "font.family": ["DejaVu Sans"],
    "font.size": FONT_SIZE,
    # As the equations of the page.
    "mathtext.fontset": "cm",
    "axes.facecolor": colour("paper"),
    "axes.edgecolor": colour("muted"),
    "axes.labelcolor": colour("ink"),
    "axes.titlecolor": colour("ink"),
    "axes.labelsize": FONT_SIZE,
    "axes.titlesize": FONT_SIZE,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "axes.prop_cycle": cycler(color=[colour(role) for role in SERIES]),
    "grid.color": colour("grid"),
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "patch.edgecolor": colour("ink"),
    "hatch.color": colour("ink"),
    "boxplot.flierprops.markeredgecolor": colour("ink"),
    "text.color": colour("ink"),
    "xtick.color": colour("muted"),
    "ytick.color": colour("muted"),
    "xtick.labelcolor": colour("ink"),
    "ytick.labelcolor": colour("ink"),
    "xtick.labelsize": SMALL_SIZE,
    "ytick.labelsize": SMALL_SIZE,
    "legend.frameon": False,
    "legend.fontsize": SMALL_SIZE,
    # Text as paths, so that it looks the same everywhere; names that a second run repeats.
    "svg.fonttype": "path",
    "svg.hashsalt": "unrolled",
}


def style() -> None:
    """Use the house style for every figure from here on, and show figures as SVG in IPython.

    Call it once, at the top of a notebook. The functions of this package use the style by
    themselves; after this call, figures drawn with matplotlib directly have it too. Outside IPython
    only matplotlib's settings change.

    Examples
    --------
    >>> style()
    >>> matplotlib.rcParams["font.size"]
    11.0
    """
    matplotlib.rcParams.update(RC)
    if get_ipython() is None:
        return
    # No date in the file, so that the same figure is the same file.
    options = {"bbox_inches": None, "metadata": {"Date": None}}
    inline = InlineBackend.instance()
    inline.figure_formats = {"svg"}
    inline.print_figure_kwargs = options
    set_matplotlib_formats("svg", **options)


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Make an empty figure of this size, in inches, that no window shows."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
