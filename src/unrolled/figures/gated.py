"""The tables of the gated cells; `cell_diagram` draws them."""

from .wiring import Cell, Node, Wire

# i, f, o = sigma(W x_t + W h_(t-1) + b), g = tanh(W x_t + W h_(t-1) + b),
# c_t = f c_(t-1) + i g, h_t = o tanh(c_t), Hochreiter & Schmidhuber (1997), Gers et al. (2000)
LSTM = Cell(
    frame=((0.0, 0.0), (4.2, 3.15)),
    nodes=(
        Node(
            "c before",
            "end",
            (-0.62, 2.8),
            "$c_{t{-}1}$",
            "state",
            "carousel",
            "(batch, hidden)",
        ),
        Node("forget", "operator", (0.82, 2.8), "$\\times$", "ink", "forget gate"),
        Node("add", "operator", (2.3, 2.8), "$+$", "ink", "candidate"),
        Node("read off", "dot", (3.8, 2.8), "", "state", "output"),
        Node("c", "end", (4.62, 2.8), "$c_t$", "state", "carousel"),
        Node("h before", "end", (-0.62, 0.38), "$h_{t{-}1}$", "state", "input", "(batch, hidden)"),
        Node("x", "end", (0.3, -0.46), "$x_t$", "input", "input", "(batch, input)"),
        Node("joint", "dot", (0.3, 0.38), "", "ink", "input"),
        Node("to f", "dot", (0.82, 0.38), "", "ink", "input"),
        Node("to i", "dot", (1.56, 0.38), "", "ink", "input"),
        Node("to g", "dot", (2.3, 0.38), "", "ink", "input"),
        Node("f", "box", (0.82, 1.0), "$\\sigma$", "gate", "forget gate"),
        Node("i", "box", (1.56, 1.0), "$\\sigma$", "gate", "input gate"),
        Node("g", "box", (2.3, 1.0), "$\\tanh$", "state", "candidate"),
        Node("o", "box", (3.06, 1.0), "$\\sigma$", "gate", "output gate"),
        Node("write", "operator", (2.3, 1.72), "$\\times$", "ink", "input gate"),
        Node("tanh", "box", (3.8, 2.3), "$\\tanh$", "state", "output"),
        Node("read", "operator", (3.8, 1.72), "$\\times$", "ink", "output gate"),
        Node("h", "end", (4.62, 0.38), "$h_t$", "state", "output"),
    ),
    wires=(
        Wire("c before", "forget", "carousel", "state"),
        Wire("forget", "add", "carousel", "state"),
        Wire("add", "read off", "carousel", "state"),
        Wire("read off", "c", "carousel", "state"),
        Wire("h before", "joint", "input", "state"),
        Wire("x", "joint", "input", "input"),
        Wire("joint", "to f", "input"),
        Wire("to f", "to i", "input"),
        Wire("to i", "to g", "input"),
        Wire("to f", "f", "forget gate"),
        Wire("to i", "i", "input gate"),
        Wire("to g", "g", "candidate"),
        Wire("to g", "o", "output gate", corners=((3.06, 0.38),)),
        Wire("f", "forget", "forget gate", "gate", label="$f_t$"),
        Wire("i", "write", "input gate", "gate", ((1.56, 1.72),), label="$i_t$"),
        Wire("g", "write", "candidate", "state", label="$g_t$"),
        Wire("write", "add", "candidate", "state"),
        Wire("read off", "tanh", "output", "state"),
        Wire("tanh", "read", "output", "state"),
        Wire("o", "read", "output gate", "gate", ((3.06, 1.72),), label="$o_t$"),
        Wire("read", "h", "output", "state", ((3.8, 0.38),)),
    ),
)


def _gru(reset: tuple[Node, ...], wires: tuple[Wire, ...], *, at: float) -> Cell:
    """Return a GRU; what differs is where the reset gate, in the column `at`, acts on the state."""
    return Cell(
        frame=((0.0, 0.0), (4.55, 3.35)),
        nodes=(
            Node(
                "h before",
                "end",
                (-0.62, 3.0),
                "$h_{t{-}1}$",
                "state",
                "state",
                "(batch, hidden)",
            ),
            Node("start", "dot", (0.3, 3.0), "", "state", "state"),
            Node("keep", "operator", (2.5, 3.0), "$\\times$", "ink", "update gate"),
            Node("add", "operator", (4.1, 3.0), "$+$", "ink", "candidate"),
            Node("h", "end", (4.97, 3.0), "$h_t$", "state", "state"),
            Node("down", "dot", (0.3, 1.72), "", "state", "state"),
            Node("joint", "dot", (0.3, 0.38), "", "ink", "input"),
            Node("x", "end", (0.3, -0.46), "$x_t$", "input", "input", "(batch, input)"),
            Node("to r", "dot", (at, 0.38), "", "ink", "input"),
            Node("r", "box", (at, 1.0), "$\\sigma$", "gate", "reset gate"),
            Node("reset", "operator", (at, 1.72), "$\\times$", "ink", "reset gate"),
            *reset,
            Node("z", "box", (2.5, 1.0), "$\\sigma$", "gate", "update gate"),
            Node("split", "dot", (2.5, 2.38), "", "gate", "update gate"),
            Node("rest", "box", (3.3, 2.38), "$1 -$", "gate", "update gate"),
            Node("write", "operator", (4.1, 2.38), "$\\times$", "ink", "update gate"),
            Node("x again", "end", (3.3, -0.46), "$x_t$", "input", "candidate"),
            Node("W_in", "box", (3.3, 1.0), "$W_{in},\\,b_n$", "input", "candidate"),
            Node("sum", "operator", (3.3, 1.72), "$+$", "ink", "candidate"),
            Node("tanh", "box", (4.1, 1.72), "$\\tanh$", "state", "candidate"),
        ),
        wires=(
            Wire("h before", "start", "state", "state"),
            Wire("start", "keep", "state", "state"),
            Wire("keep", "add", "state", "state"),
            Wire("add", "h", "state", "state"),
            Wire("start", "down", "state", "state"),
            Wire("down", "joint", "input", "state"),
            Wire("x", "joint", "input", "input"),
            Wire("joint", "to r", "input"),
            Wire("to r", "r", "reset gate"),
            Wire("to r", "z", "update gate", corners=((2.5, 0.38),)),
            Wire("r", "reset", "reset gate", "gate", label="$r_t$"),
            *wires,
            Wire("z", "split", "update gate", "gate"),
            Wire("split", "keep", "update gate", "gate", label="$z_t$"),
            Wire("split", "rest", "update gate", "gate"),
            Wire("rest", "write", "update gate", "gate"),
            Wire("x again", "W_in", "candidate", "input"),
            Wire("W_in", "sum", "candidate", "input"),
            Wire("sum", "tanh", "candidate", "state"),
            Wire("tanh", "write", "candidate", "state", label="$n_t$"),
            Wire("write", "add", "candidate", "state"),
        ),
    )


# r, z = sigma(W x_t + W h_(t-1) + b), n = tanh(W_in x_t + b_n + r (W_hn h_(t-1) + b_hn)),
# h_t = (1 - z) n + z h_(t-1)
GRU = _gru(
    (Node("W_hn", "box", (0.94, 1.72), "$W_{hn},\\,b_{hn}$", "state", "candidate"),),
    (
        Wire("down", "W_hn", "candidate", "state"),
        Wire("W_hn", "reset", "candidate", "state"),
        Wire("reset", "sum", "candidate", "state"),
    ),
    at=1.78,
)
# n = tanh(W_in x_t + b_n + W_hn (r h_(t-1))), Cho et al. (2014)
GRU_BEFORE = _gru(
    (Node("W_hn", "box", (1.72, 1.72), "$W_{hn}$", "state", "candidate"),),
    (
        Wire("down", "reset", "candidate", "state"),
        Wire("reset", "W_hn", "candidate", "state"),
        Wire("W_hn", "sum", "candidate", "state"),
    ),
    at=0.94,
)
