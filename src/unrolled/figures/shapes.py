"""Several small networks in one figure: the shapes of tasks."""

import inspect
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from .canvas import LINE, ROOM, Canvas, lines_within, text_width
from .graph import Drawing, unrolled_graph
from .network import Network

# All in inches.
GAP = 0.30
BETWEEN_ROWS = 0.30
ABOVE = 0.22
BELOW = 0.20
#: A note below a network that is narrow may be wider than the network.
NOTE = 1.35


def task_shapes() -> Figure:
    """Draw the five shapes of tasks: how many inputs, how many outputs, and which are in step.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = task_shapes()
    """
    x, y = ([f"${letter}_{step}$" for step in (1, 2, 3)] for letter in "xy")
    return unrolled_graphs(
        {
            "1:1, one to one": {"inputs": ["$x$"], "outputs": ["$y$"], "states": ["$h$"]},
            "N:1, many to one": {"inputs": x, "outputs": [None, None, "$y$"]},
            "1:N, one to many": {"inputs": ["$x$", None, None], "outputs": y, "feedback": "input"},
            "N:N, many to many, aligned": {"inputs": x, "outputs": y},
            "N:M, many to many": {
                "inputs": [*x[:2], ">", None, None],
                "outputs": [None, None, *y],
                "feedback": "input",
            },
        },
        notes={
            "1:1, one to one": "a picture and its digit: no time",
            "N:1, many to one": "a word and its language",
            "1:N, one to many": "a picture and its caption",
            "N:N, many to many, aligned": "letters of a program and the class of each",
            "N:M, many to many": "a number in digits and in Roman numerals",
        },
    )


def unrolled_graphs(
    networks: Mapping[str, Mapping[str, Any]], *, notes: Mapping[str, str] | None = None
) -> Figure:
    """Draw several unrolled networks in rows, each with its name above it.

    Parameters
    ----------
    networks
        Name: the arguments of `unrolled_graph`, by their names.
    notes
        Name: what stands below that network, such as an example of its task.

    Returns
    -------
    matplotlib.figure.Figure
        As many networks stand in a row as fit in 7.2 inches.

    Raises
    ------
    ValueError
        If there is no network, one cannot be drawn or is too wide, an argument is not known, or a
        note names no network.

    Examples
    --------
    >>> figure = unrolled_graphs(
    ...     {
    ...         "many to one": {"inputs": ["a", "b", "c"], "outputs": [None, None, "class"]},
    ...         "deep": {"inputs": ["a", "b"], "layers": 2},
    ...     },
    ...     notes={"many to one": "a word and its language"},
    ... )
    """
    notes = dict(notes or {})
    if not networks:
        raise ValueError("networks is empty; expected at least one name with its arguments")
    if unknown := sorted(set(notes) - set(networks)):
        raise ValueError(f"notes names {unknown[0]!r}; expected names of networks")
    canvas = Canvas()
    row: list[_Graph] = []
    y = right = 0.0
    for number, (name, arguments) in enumerate(networks.items(), start=1):
        graph = _Graph(canvas.part(str(number)), name, arguments, notes.get(name, ""))
        if row and right + graph.width > ROOM:
            y = _settle(row, y) - BETWEEN_ROWS
            row, right = [], 0.0
        row.append(graph)
        right += graph.width + GAP
    _settle(row, y)
    return canvas.figure()


class _Graph:
    """A network with its name and its note, drawn but not yet in its place."""

    def __init__(self, canvas: Canvas, name: str, arguments: Mapping[str, Any], note: str) -> None:
        self.canvas, self.name = canvas, name
        try:
            known = inspect.signature(unrolled_graph).bind(**arguments).arguments
            Drawing(Network.of(**known), canvas).draw()
        except (TypeError, ValueError) as error:
            raise ValueError(f"network {name!r} cannot be drawn: {error}") from error
        self.drawn: Bbox = canvas.extent()
        self.lines = lines_within(note, max(self.drawn.width, NOTE))
        texts = [text_width(text) for text in (name, *self.lines)]
        self.width: float = max(self.drawn.width, *texts)
        if self.width > ROOM:
            raise ValueError(
                f"network {name!r} needs {self.width:.1f} inches and {ROOM:.1f} are "
                "there; show fewer steps or shorter labels"
            )

    def settle(self, top: float, bottom: float, by: tuple[float, float]) -> None:
        """Write name and note above and below all drawings of the row, and move there."""
        start = self.drawn.x0
        self.canvas.label("name", (start, top + ABOVE), self.name, align="left")
        for number, line in enumerate(self.lines, start=1):
            at = (start, bottom - BELOW - (number - 1) * LINE)
            self.canvas.label(f"note-{number}", at, line, role="muted", align="left")
        self.canvas.move(by[0] - start, by[1])


def _settle(row: list[_Graph], y: float) -> float:
    """Place the networks of a row below a height, inputs beside inputs; return where it ends."""
    top, bottom = max(g.drawn.y1 for g in row), min(g.drawn.y0 for g in row)
    left = 0.0
    for graph in row:
        graph.settle(top, bottom, (left, y - top - ABOVE))
        left += graph.width + GAP
    lines = max(len(graph.lines) for graph in row)
    return y - top - ABOVE + bottom - BELOW - lines * LINE
