"""What `h_n` of `torch.nn` holds: the final state of every layer in every direction."""

from matplotlib.figure import Figure

from .canvas import FIXED_WIDTH, LINE, ROOM, Canvas, Point, text_width
from .graph import BOX_HEIGHT, TALL, Drawing
from .network import Network

# All in inches.
BOX = 6 * FIXED_WIDTH + 0.10
#: How far the final state of the way back goes past the wire that leads up beside it.
AROUND = 0.11
TO_TENSOR = 0.56
TO_NOTE = 0.12
RING = 0.06


def hidden_states(num_layers: int, bidirectional: bool, steps: int = 3) -> Figure:
    """Draw which states of a network stand in `h_n`, and in which order.

    On the left the network over time, on the right the tensor `h_n`, of shape
    `(num_layers * directions, batch, hidden)`, its first row at the bottom, where the first layer
    is. The final state of the direction that runs back is that of the first step. Framed: what
    `final_hidden` reads, the top layer. `c_n` of an LSTM has the same order.

    Parameters
    ----------
    num_layers, bidirectional
        As in `torch.nn.RNN`, `torch.nn.GRU` and `torch.nn.LSTM`.
    steps
        Number of steps; three fit in any case.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If a number is below 1, or so many steps do not fit.

    Examples
    --------
    >>> figure = hidden_states(num_layers=2, bidirectional=True)
    """
    for name, value in (("num_layers", num_layers), ("steps", steps)):
        if value < 1:
            raise ValueError(f"{name} is {value}; expected 1 or more")
    inputs = [f"$x_{{{step}}}$" for step in range(1, steps + 1)]
    network = Network.of(inputs, layers=num_layers, bidirectional=bidirectional)
    canvas = Canvas()
    drawing = _FinalStates(network, canvas)
    drawing.draw()
    drawing.draw_tensor()
    if (width := canvas.extent().width) > ROOM:
        raise ValueError(
            f"{steps} steps need {width:.1f} inches and {ROOM:.1f} are there; show fewer"
        )
    return canvas.figure()


class _FinalStates(Drawing):
    """A network whose final states stand out, and the tensor in which they are stacked."""

    least = BOX
    joint_gap = 0.34

    def index(self, layer: int, direction: str) -> int:
        """Return the row of the tensor in which a final state stands."""
        directions = self.net.directions
        return (layer - 1) * len(directions) + directions.index(direction)

    def final(self, direction: str) -> int:
        """Return the step after which a direction ends."""
        return self.net.steps[-1] if direction == "forward" else 1

    def muted(self, step: int) -> bool:
        """Everything stands back behind the final states."""
        return True

    def draw_state(
        self, step: str, name: str, centre: Point, state: tuple[str, int, str], *, muted: bool
    ) -> None:
        """Draw a state; a final one is called by its place in the tensor."""
        _, layer, direction = state
        if int(step) != self.final(direction):
            super().draw_state(step, name, centre, state, muted=muted)
            return
        self.draw_entry(name, centre, layer, direction)
        if layer == self.net.layers:
            (x, y), half, high = centre, self.half + RING, TALL + RING
            self.canvas.frame(name, (x - half, y - high), (x + half, y + high), role="output")

    def draw_entry(self, name: str, centre: Point, layer: int, direction: str) -> None:
        """Draw a final state: in the network, or as a row of the tensor."""
        self.canvas.box(name, centre, (self.width, BOX_HEIGHT), "", "state")
        label = f"h_n[{self.index(layer, direction)}]"
        self.canvas.label(name, centre, label, fixed=True)

    def draw_tensor(self) -> None:
        """Draw the rows of the tensor, each at the height of its layer and direction."""
        net = self.net
        steps = len(net.steps)
        edge = steps * self.pitch + self.shift / 2 + self.half
        left = edge + TO_TENSOR
        x, note = left + self.half, left + self.width + TO_NOTE
        widest = 0.0
        for layer in range(1, net.layers + 1):
            for direction in net.directions:
                y, row = self.rows[layer, direction], self.index(layer, direction)
                self.draw_entry(f"row-{row}", (x, y), layer, direction)
                self.draw_way(layer, direction, (left, y))
                name = f"layer {layer}"
                if net.bidirectional:
                    name += f", {direction}"
                after = f"ends at step {self.final(direction)}"
                for line, text in enumerate((name, after)):
                    at = (note, y + (0.5 - line) * LINE)
                    self.canvas.label(f"note-{row}-{line + 1}", at, text, align="left", muted=line)
                widest = max(widest, text_width(name), text_width(after))
        self.draw_names(left, note + widest)

    def draw_way(self, layer: int, direction: str, end: Point) -> None:
        """Draw the way of a final state to its row."""
        x, y = self.state_at(self.final(direction) * self.pitch, layer, direction)
        way = [(x + self.half, y), end]
        if direction == "backward":
            far, over = x - self.shift - AROUND, y + TALL + self.joint_gap / 2
            turn = end[0] - TO_TENSOR / 2
            way = [(x - self.half, y), (far, y), (far, over), (turn, over), (turn, y), end]
        self.canvas.wire(f"final-{self.index(layer, direction)}", way, role="state")

    def draw_names(self, left: float, right: float) -> None:
        """Draw the tensor behind its rows, and a frame around those that `final_hidden` reads."""
        net = self.net
        bottom = self.rows[1, "forward"] - TALL
        low, high = (self.rows[net.layers, net.directions[end]] for end in (0, -1))
        x0, x1, y1 = left - RING, right + 2 * RING, high + TALL + RING
        self.canvas.frame("rows", (x0, low - TALL - RING), (x1, y1), role="output")
        names = {"read": ("final_hidden", "reads", "output", y1 + 0.17)}
        shape = f"({net.layers * len(net.directions)}, batch, hidden)"
        names["shape"] = ("h_n", shape, "ink", y1 + 0.47)
        for name, (code, text, role, y) in names.items():
            at = (x0 + (len(code) + 1) * FIXED_WIDTH, y)
            self.canvas.label(f"{name}-code", (x0, y), code, role=role, align="left", fixed=True)
            self.canvas.label(name, at, text, role=role, align="left")
        air = 2 * RING
        self.canvas.panel("tensor", (x0 - air, bottom - RING - air), (x1 + air, y1 + 0.47 + 0.2))
