"""The inside of a cell: one step of time.

A cell is a table: nodes (boxes, operators, dots, open ends) with their places, and wires between
them. `CELLS` holds one table for each kind; a new kind needs no new code.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

from matplotlib.figure import Figure

from .canvas import Canvas, Point
from .gated import GRU, GRU_BEFORE, LSTM
from .style import SMALL_SIZE
from .wiring import OPERATOR, Cell, Node, Wire

# In inches.
#: From a wire to the gradient beside it: below it, or on its right.
OFFSET = 0.10
#: How much wider and higher a cell is drawn with gradients, so that their labels have room.
STRETCH = (1.27, 1.22)


CELLS: Mapping[str, Cell] = {
    # h_t = tanh(W_ih x_t + W_hh h_(t-1) + b), Elman (1990)
    "rnn": Cell(
        frame=((0.0, 0.0), (3.75, 2.0)),
        nodes=(
            Node(
                "h before", "end", (-0.62, 1.05), "$h_{t{-}1}$", "state", "state", "(batch, hidden)"
            ),
            Node("x", "end", (1.62, -0.46), "$x_t$", "input", "input", "(batch, input)"),
            Node(
                "W_hh",
                "box",
                (0.62, 1.05),
                "$W_{hh}$",
                "state",
                "state",
                gradient="$\\delta_t h_{t{-}1}^\\top$",
            ),
            Node(
                "W_ih",
                "box",
                (1.62, 0.38),
                "$W_{ih}$",
                "input",
                "input",
                gradient="$\\delta_t x_t^\\top$",
            ),
            Node("b", "box", (1.62, 1.68), "$b$", "ink", "bias"),
            Node("sum", "operator", (1.62, 1.05), "$+$", "ink", "sum"),
            Node(
                "tanh",
                "box",
                (2.47, 1.05),
                "$\\tanh$",
                "state",
                "tanh",
                gradient="$\\times\\,(1-h_t^2)$",
            ),
            Node("branch", "dot", (3.25, 1.05), "", "state", "output"),
            Node("h up", "end", (3.25, 2.3), "$h_t$", "state", "output", "(batch, hidden)"),
            Node("h", "end", (4.2, 1.05), "$h_t$", "state", "output"),
        ),
        wires=(
            Wire("h before", "W_hh", "state", "state", gradient="$W_{hh}^\\top\\delta_t$"),
            Wire("W_hh", "sum", "state", "state", gradient="$\\delta_t$"),
            Wire("x", "W_ih", "input", "input", gradient="$W_{ih}^\\top\\delta_t$"),
            Wire("W_ih", "sum", "input", "input", gradient="$\\delta_t$"),
            Wire("b", "sum", "bias", gradient="$\\delta_t$"),
            Wire("sum", "tanh", "tanh", gradient="$\\delta_t$"),
            Wire("tanh", "branch", "output", "state", gradient="$\\partial L/\\partial h_t$"),
            Wire("branch", "h up", "output", "state", gradient="from $\\ell_t$"),
            Wire("branch", "h", "output", "state", gradient="from $h_{t{+}1}$"),
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
    "lstm": LSTM,
    "gru": GRU,
    "gru-before": GRU_BEFORE,
}


def cell_diagram(
    kind: str,
    highlight: Collection[str] = (),
    *,
    without: Collection[str] = (),
    shapes: bool = True,
    gradients: bool = False,
) -> Figure:
    """Draw the inside of a cell: what happens in one step of time.

    Parameters
    ----------
    kind
        `"rnn"`: the cell of Elman (1990). `"jordan"`: that of Jordan (1986), whose output goes back
        instead of its state. `"lstm"`: that of Hochreiter and Schmidhuber (1997) with the forget
        gates of Gers et al. (2000). `"gru"`: that of Cho et al. (2014) as `torch.nn` computes it,
        the reset gate after the product with the matrix; `"gru-before"`: as in the paper, before
        it. Their input is drawn twice, for the gates and for the candidate. Where two wires cross
        without a dot they do not touch.
    highlight
        Parts that stand out; the others are muted. The parts of `"rnn"` and `"jordan"` are
        `"input"`, `"state"` (what comes from the step before), `"bias"`, `"sum"`, `"tanh"` and
        `"output"`; those of `"lstm"` are `"input"` (what all boxes see), `"carousel"` (the road of
        the cell state), `"candidate"`, `"input gate"`, `"forget gate"`, `"output gate"` and
        `"output"`; those of the GRU `"input"`, `"state"`, `"candidate"`, `"reset gate"` and
        `"update gate"`.
    without
        Parts that are not there yet, and what would be left dangling without them: a gate without
        what it scales goes too, and so does the state before if the cell makes none. The others
        stand where they stand in the whole cell, so that a drawing can grow.
    shapes
        Whether the shapes of tensors stand below their names.
    gradients
        Whether the backward pass is drawn in place of the shapes, for `"rnn"`: what flows back
        along each wire, at the function its slope, and at each matrix what its gradient gets from
        this step.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no such cell, no such part in it, nothing left of it, or no backward pass of it.

    Examples
    --------
    >>> figure = cell_diagram("rnn")
    >>> what_comes_back = cell_diagram("jordan", highlight=["state"])
    >>> backward_pass = cell_diagram("rnn", gradients=True)
    >>> without_gates = cell_diagram("lstm", without=["input gate", "forget gate", "output gate"])
    >>> update_gate = cell_diagram("gru", highlight=["update gate"])
    """
    if kind not in CELLS:
        raise ValueError(f"there is no cell {kind!r}; expected one of {', '.join(CELLS)}")
    whole = CELLS[kind]
    for name, parts in (("highlight", highlight), ("without", without)):
        if isinstance(parts, str):
            raise ValueError(f"{name} is the text {parts!r}; expected a list of parts: [{parts!r}]")
        if unknown := [part for part in parts if part not in whole.parts]:
            raise ValueError(
                f"{name} names {unknown[0]!r}; expected parts of the cell: {', '.join(whole.parts)}"
            )
    cell = whole.without(without)
    if without and cell.wires in ((), whole.wires):
        what = "nothing is left" if not cell.wires else "nothing of this can be taken away"
        raise ValueError(f"without names {', '.join(without)}: {what}; name other parts")
    if gone := [part for part in highlight if part not in cell.parts]:
        raise ValueError(f"highlight names {gone[0]!r}, which is not there without what was named")
    if gradients:
        whole, cell, shapes = _stretched(whole), _stretched(cell), False
    canvas = Canvas()
    _draw(canvas, cell, highlight, shapes=shapes, gradients=gradients)
    if not without:
        return canvas.figure()
    page = Canvas()
    _draw(page, whole, highlight, shapes=shapes, gradients=gradients)
    return canvas.figure(page.extent())


def _draw(
    canvas: Canvas, cell: Cell, highlight: Collection[str], *, shapes: bool, gradients: bool
) -> None:
    """Draw a cell from its table; see `cell_diagram`."""
    canvas.panel("cell", *cell.frame)
    (_, bottom), (_, top) = cell.frame
    nodes = {node.name: node for node in cell.nodes}
    joined = [(nodes[wire.start], nodes[wire.end]) for wire in cell.wires]
    upright = {node.name for pair in joined for node in pair if pair[0].at[0] == pair[1].at[0]}
    for node in cell.nodes:
        muted = bool(highlight) and node.part not in highlight
        _draw_node(canvas, node, muted=muted)
        if shapes and node.shape:
            _draw_shape(canvas, node, beside=not bottom < node.at[1] < top)
        if gradients:
            _draw_local(canvas, node, beside=node.name in upright, muted=muted)
    for wire in cell.wires:
        muted = bool(highlight) and wire.part not in highlight
        _draw_wire(canvas, wire, nodes[wire.start], nodes[wire.end], muted=muted or gradients)
        if gradients:
            _draw_gradient(canvas, wire, nodes[wire.start], nodes[wire.end], muted=muted)


def _stretched(cell: Cell) -> Cell:
    """Return a cell with more room between its nodes."""
    if not all(wire.gradient for wire in cell.wires):
        raise ValueError(
            "gradients=True was given for a cell whose backward pass is not drawn; expected 'rnn'"
        )

    def moved(at: Point) -> Point:
        return (at[0] * STRETCH[0], at[1] * STRETCH[1])

    lower_left, upper_right = cell.frame
    nodes = tuple(replace(node, at=moved(node.at)) for node in cell.nodes)
    return replace(cell, frame=(moved(lower_left), moved(upper_right)), nodes=nodes)


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


def _draw_local(canvas: Canvas, node: Node, *, beside: bool, muted: bool) -> None:
    """Write what a box does to the gradient, or gets from it; draw the joint of two gradients."""
    (x, y), name = node.at, node.name.replace(" ", "-")
    if node.kind == "dot":
        canvas.dot(f"gradient-{name}", (x + OFFSET, y - OFFSET), role="gradient", muted=muted)
    at, align = (x, y + node.half[1] + 0.15), "center"
    if beside:
        at, align = (x - node.half[0] - 0.08, y), "right"
    canvas.label(f"gradient-{name}", at, node.gradient, role="gradient", align=align, muted=muted)


def _draw_gradient(canvas: Canvas, wire: Wire, start: Node, end: Node, *, muted: bool) -> None:
    """Draw the gradient that flows back along a wire, and its name."""
    points = [_beside(end, start.at), _beside(start, end.at)]
    name = f"gradient-{end.name}-{start.name}".replace(" ", "-")
    canvas.wire(name, points, role="gradient", arrow=start.kind != "dot", muted=muted)
    (x0, y0), (x1, y1) = points
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    at, align = ((x + 0.07, y), "left") if x0 == x1 else ((x, y - 0.17), "center")
    canvas.label(f"{name}-wire", at, wire.gradient, role="gradient", align=align, muted=muted)


def _beside(node: Node, towards: Point) -> Point:
    """Return where the gradient of a wire meets the outline of a node."""
    (x, y), (x_edge, y_edge) = node.at, _edge(node, towards)
    if node.kind == "dot":
        return (x + OFFSET, y - OFFSET)
    # The outline of an operator is round.
    share = (1 - (2 * OFFSET / OPERATOR) ** 2) ** 0.5 if node.kind == "operator" else 1.0
    if y_edge == y:
        return (x + share * (x_edge - x), y - OFFSET)
    return (x + OFFSET, y + share * (y_edge - y))


def _edge(node: Node, towards: Point) -> Point:
    """Return where a wire that leaves along an axis crosses the outline of a node."""
    (x, y), (half_width, half_height) = node.at, node.half
    if abs(towards[0] - x) > abs(towards[1] - y):
        return (x + half_width if towards[0] > x else x - half_width, y)
    return (x, y + half_height if towards[1] > y else y - half_height)
