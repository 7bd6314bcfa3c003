"""The inside of a cell: one step of time.

A cell is a table: nodes (boxes, operators, dots, open ends) with their places, and wires between
them. `CELLS` holds one table for each kind; a new kind needs no new code.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure

from .canvas import Canvas, Point, text_width
from .style import SMALL_SIZE

BOX_HEIGHT = 0.40
OPERATOR = 0.28


@dataclass(frozen=True)
class Node:
    """Something that wires lead to.

    `kind` is a box (a matrix or a function), an operator (a small circle), a dot (where a wire
    branches) or an end (where a wire enters or leaves the cell: only its label is seen). `part` is
    the name by which `highlight` finds it. `shape` stands below the label of an end, or, where the
    wire goes up, beside it.
    """

    name: str
    kind: Literal["box", "operator", "dot", "end"]
    at: Point
    label: str = ""
    role: str = "ink"
    part: str = ""
    shape: str = ""

    @property
    def half(self) -> Point:
        """Half of its width and of its height, in inches: where wires stop."""
        if self.kind == "box":
            return (max(0.5, text_width(self.label) + 0.2) / 2, BOX_HEIGHT / 2)
        if self.kind == "operator":
            return (OPERATOR / 2, OPERATOR / 2)
        if self.kind == "end":
            return (text_width(self.label) / 2 + 0.07, 0.14)
        return (0.0, 0.0)


@dataclass(frozen=True)
class Wire:
    """A line from a node to a node, along an axis between its corners; an arrow unless to a dot.

    `label` stands above the middle of its first stretch, or on its right if that goes up.
    """

    start: str
    end: str
    part: str
    role: str = "ink"
    corners: tuple[Point, ...] = ()
    label: str = ""


@dataclass(frozen=True)
class Cell:
    """A kind of cell: two corners of the frame around its inside, its nodes and its wires."""

    frame: tuple[Point, Point]
    nodes: tuple[Node, ...]
    wires: tuple[Wire, ...]

    @property
    def parts(self) -> tuple[str, ...]:
        """The names that `highlight` understands."""
        return tuple(dict.fromkeys(element.part for element in (*self.nodes, *self.wires)))


CELLS: Mapping[str, Cell] = {
    # h_t = tanh(W_ih x_t + W_hh h_(t-1) + b), Elman (1990)
    "rnn": Cell(
        frame=((0.0, 0.0), (3.75, 2.0)),
        nodes=(
            Node(
                "h before", "end", (-0.62, 1.05), "$h_{t{-}1}$", "state", "state", "(batch, hidden)"
            ),
            Node("x", "end", (1.62, -0.46), "$x_t$", "input", "input", "(batch, input)"),
            Node("W_hh", "box", (0.62, 1.05), "$W_{hh}$", "state", "state"),
            Node("W_ih", "box", (1.62, 0.38), "$W_{ih}$", "input", "input"),
            Node("b", "box", (1.62, 1.68), "$b$", "ink", "bias"),
            Node("sum", "operator", (1.62, 1.05), "$+$", "ink", "sum"),
            Node("tanh", "box", (2.47, 1.05), "$\\tanh$", "state", "tanh"),
            Node("branch", "dot", (3.25, 1.05), "", "state", "output"),
            Node("h up", "end", (3.25, 2.3), "$h_t$", "state", "output", "(batch, hidden)"),
            Node("h", "end", (4.2, 1.05), "$h_t$", "state", "output"),
        ),
        wires=(
            Wire("h before", "W_hh", "state", "state"),
            Wire("W_hh", "sum", "state", "state"),
            Wire("x", "W_ih", "input", "input"),
            Wire("W_ih", "sum", "input", "input"),
            Wire("b", "sum", "bias"),
            Wire("sum", "tanh", "tanh"),
            Wire("tanh", "branch", "output", "state"),
            Wire("branch", "h up", "output", "state"),
            Wire("branch", "h", "output", "state"),
        ),
    ),
    # h_t = tanh(W_ih x_t + W_oh y_(t-1) + b), y_t = W_ho h_t + b_o, Jordan (1986)
    "jordan": Cell(
        frame=((0.0, 0.0), (4.1, 2.0)),
        nodes=(
            Node(
                "y before", "end", (-0.6, 1.05), "$y_{t{-}1}$", "output", "state", "(batch, output)"
            ),
            Node("x", "end", (1.22, -0.46), "$x_t$", "input", "input", "(batch, input)"),
            Node("W_oh", "box", (0.5, 1.05), "$W_{oh}$", "output", "state"),
            Node("W_ih", "box", (1.22, 0.38), "$W_{ih}$", "input", "input"),
            Node("b", "box", (1.22, 1.68), "$b$", "ink", "bias"),
            Node("sum", "operator", (1.22, 1.05), "$+$", "ink", "sum"),
            Node("tanh", "box", (1.9, 1.05), "$\\tanh$", "state", "tanh"),
            Node("W_ho", "box", (2.78, 1.05), "$W_{ho}$", "output", "output"),
            Node("b_o", "box", (3.42, 1.68), "$b_o$", "ink", "output"),
            Node("output sum", "operator", (3.42, 1.05), "$+$", "ink", "output"),
            Node("branch", "dot", (3.83, 1.05), "", "output", "output"),
            Node("y up", "end", (3.83, 2.3), "$y_t$", "output", "output", "(batch, output)"),
            Node("y", "end", (4.55, 1.05), "$y_t$", "output", "output"),
        ),
        wires=(
            Wire("y before", "W_oh", "state", "output"),
            Wire("W_oh", "sum", "state", "output"),
            Wire("x", "W_ih", "input", "input"),
            Wire("W_ih", "sum", "input", "input"),
            Wire("b", "sum", "bias"),
            Wire("sum", "tanh", "tanh"),
            Wire("tanh", "W_ho", "tanh", "state", label="$h_t$"),
            Wire("W_ho", "output sum", "output", "output"),
            Wire("b_o", "output sum", "output"),
            Wire("output sum", "branch", "output", "output"),
            Wire("branch", "y up", "output", "output"),
            Wire("branch", "y", "output", "output"),
        ),
    ),
}


def cell_diagram(kind: str, highlight: Collection[str] = (), *, shapes: bool = True) -> Figure:
    """Draw the inside of a cell: what happens in one step of time.

    Parameters
    ----------
    kind
        `"rnn"`: the cell of Elman (1990). `"jordan"`: that of Jordan (1986), whose output goes back
        instead of its state.
    highlight
        Parts that stand out; the others are muted. The parts are `"input"`, `"state"` (what comes
        from the step before), `"bias"`, `"sum"`, `"tanh"` and `"output"`.
    shapes
        Whether the shapes of tensors stand below their names.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no such cell, or no such part in it.

    Examples
    --------
    >>> figure = cell_diagram("rnn")
    >>> what_comes_back = cell_diagram("jordan", highlight=["state"])
    """
    if kind not in CELLS:
        raise ValueError(f"there is no cell {kind!r}; expected one of {', '.join(CELLS)}")
    return draw_cell(CELLS[kind], highlight, shapes=shapes)


def draw_cell(cell: Cell, highlight: Collection[str] = (), *, shapes: bool = True) -> Figure:
    """Draw a cell from its table; see `cell_diagram`."""
    if unknown := [part for part in highlight if part not in cell.parts]:
        raise ValueError(
            f"highlight names {unknown[0]!r}; expected parts of the cell: {', '.join(cell.parts)}"
        )
    canvas = Canvas()
    canvas.panel("cell", *cell.frame)
    (_, bottom), (_, top) = cell.frame
    nodes = {node.name: node for node in cell.nodes}
    for node in cell.nodes:
        _draw_node(canvas, node, muted=bool(highlight) and node.part not in highlight)
        if shapes and node.shape:
            _draw_shape(canvas, node, beside=not bottom < node.at[1] < top)
    for wire in cell.wires:
        muted = bool(highlight) and wire.part not in highlight
        _draw_wire(canvas, wire, nodes[wire.start], nodes[wire.end], muted=muted)
    return canvas.figure()


def _draw_node(canvas: Canvas, node: Node, *, muted: bool) -> None:
    name = node.name.replace(" ", "-")
    if node.kind == "dot":
        canvas.dot(name, node.at, role=node.role, muted=muted)
    elif node.kind == "end":
        canvas.label(name, node.at, node.label, role=node.role, muted=muted)
    elif node.kind == "operator":
        canvas.circle(name, node.at, OPERATOR / 2, node.label, node.role, muted=muted)
    else:
        size = (2 * node.half[0], 2 * node.half[1])
        canvas.box(name, node.at, size, node.label, node.role, muted=muted)


def _draw_shape(canvas: Canvas, node: Node, *, beside: bool) -> None:
    (x, y), name = node.at, f"{node.name.replace(' ', '-')}-shape"
    at, align = ((x + node.half[0], y), "left") if beside else ((x, y - 0.24), "center")
    canvas.label(name, at, node.shape, role="muted", size=SMALL_SIZE, align=align)


def _draw_wire(canvas: Canvas, wire: Wire, start: Node, end: Node, *, muted: bool) -> None:
    points = [start.at, *wire.corners, end.at]
    points[0] = _edge(start, points[1])
    points[-1] = _edge(end, points[-2])
    name = f"{start.name}-{end.name}".replace(" ", "-")
    canvas.wire(name, points, role=wire.role, arrow=end.kind != "dot", muted=muted)
    if wire.label:
        (x0, y0), (x1, y1) = points[:2]
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        at, align = ((x + 0.07, y), "left") if x0 == x1 else ((x, y + 0.14), "center")
        canvas.label(f"{name}-wire", at, wire.label, role=wire.role, align=align, muted=muted)


def _edge(node: Node, towards: Point) -> Point:
    """Return where a wire that leaves along an axis crosses the outline of a node."""
    (x, y), (half_width, half_height) = node.at, node.half
    if abs(towards[0] - x) > abs(towards[1] - y):
        return (x + half_width if towards[0] > x else x - half_width, y)
    return (x, y + half_height if towards[1] > y else y - half_height)
