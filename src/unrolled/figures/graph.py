"""A recurrent network unrolled over time."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from matplotlib.figure import Figure

from .backward import Backward
from .canvas import Canvas, Point, text_width
from .depth import Depth
from .network import Network
from .style import SMALL_SIZE

# All in inches.
BOX_HEIGHT = 0.42
TALL = BOX_HEIGHT / 2
MIN_BOX_WIDTH = 0.52
BOX_PADDING = 0.16
GAP = 0.36
FEEDBACK_GAP = 0.46
ROW_GAP = 0.42
PAIR_GAP = 0.30
JOINT_GAP = 0.22
JOINT_HEIGHT = 0.08
LOSS_RADIUS = 0.19
LOOP = 0.30
FEEDBACK_TO_BOX = 0.2


def unrolled_graph(
    inputs: Sequence[str | None],
    outputs: Sequence[str | None] | None = None,
    *,
    states: Sequence[str] | None = None,
    initial: str | None = None,
    layers: int = 1,
    bidirectional: bool = False,
    feedback: Literal["input", "state"] | None = None,
    weights: Mapping[str, str] | None = None,
    rolled: bool = False,
    groups: Mapping[str, tuple[int, int]] | None = None,
    highlight: Collection[int] = (),
    losses: Collection[int] = (),
    gradients: bool = False,
    gradient_labels: Mapping[str, str | Sequence[str]] | None = None,
    cut_after: Collection[int] = (),
    residual: bool = False,
    dropout: bool = False,
) -> Figure:
    """Draw a recurrent network unrolled over time.

    Time runs from left to right, depth upwards, gradients from right to left. Steps are counted
    from 1, as in the equations. Text between dollar signs is set as mathematics.

    Parameters
    ----------
    inputs
        One label a step; `None` where a step has no input.
    outputs
        One label a step; `None` where nothing is read out. `None` alone: no read-out at all.
    states
        One label a step; `$h_1$`, `$h_2$` ... if not given. With several layers the layer is added
        as an index above; in a single layer with two directions, an arrow is.
    initial
        Label of the state before the first step (of the output, where that is fed back in place of
        the state); `None`: not drawn.
    layers
        Number of recurrent layers, one above the other.
    bidirectional
        Whether each layer also runs from right to left. The states of both directions are joined
        (the bar above them) before they go up.
    feedback
        `"input"`: the output of a step goes to the input of the next, as in generated text.
        `"state"`: it goes back in place of the state, as in the network of Jordan (1986).
    weights
        Labels of the arrows: keys `"input"`, `"state"` (what comes from the step before) and
        `"output"`.
    rolled
        Whether the rolled drawing stands on the left: one step, with a loop. The square on the loop
        is the delay of one step.
    groups
        Label: (first step, last step) of a shaded area, such as an encoder.
    highlight
        Steps that stand out; the others are muted.
    losses
        Steps whose output is compared with a target.
    gradients
        Whether the backward pass is drawn: the gradients of all losses, from right to left and
        downwards. The arrows forwards step back.
    gradient_labels
        Labels of the gradients' arrows: keys `"loss"` (from the loss into the output), `"output"`
        (on into the state), `"state"` (from there into the state before) and `"term"` (what a step
        contributes to the weight of the states), each one label for all steps or a list with one a
        step. `"weight"` is the label of a box: the gradient of the weight that all steps share. It
        is drawn where this label is given, and the terms are added on the way to it.
    cut_after
        Steps whose state is detached: it goes on to the next step, and no gradient comes back. The
        terms of the next step are there all the same.
    residual
        Whether what goes into a layer is added to what comes out of it. Not in the first layer,
        whose input has as a rule another size.
    dropout
        Whether connections from layer to layer have dropout: they are dashed. Those from step to
        step have none.

    Returns
    -------
    matplotlib.figure.Figure
        Less than 0.9 inches a step with short labels; on a phone, figures up to 7.2 inches wide can
        be read.

    Raises
    ------
    ValueError
        If labels, steps or options contradict each other.

    Examples
    --------
    >>> figure = unrolled_graph(["t", "i", "m"], ["i", "m", "e"], initial="$h_0$")
    >>> many_to_one = unrolled_graph(["a", "b", "c"], [None, None, "class"])
    >>> encoder_decoder = unrolled_graph(
    ...     ["seven", "and", "<bos>", None],
    ...     [None, None, "7", "<eos>"],
    ...     states=["$h_1$", "$h_2$", "$s_1$", "$s_2$"],
    ...     feedback="input",
    ...     groups={"encoder": (1, 2), "decoder": (3, 4)},
    ... )
    >>> backward_pass = unrolled_graph(
    ...     ["$x_1$", "$x_2$", "$x_3$"],
    ...     ["$y_1$", "$y_2$", "$y_3$"],
    ...     initial="$h_0$",
    ...     losses=[1, 2, 3],
    ...     gradients=True,
    ...     gradient_labels={"weight": "$dL/dW_{hh}$"},
    ... )
    >>> deep = unrolled_graph(["a", "b"], ["b", "c"], layers=3, residual=True, dropout=True)
    """
    network = Network.of(
        inputs,
        outputs,
        states=states,
        initial=initial,
        layers=layers,
        bidirectional=bidirectional,
        feedback=feedback,
        weights=weights,
        rolled=rolled,
        groups=groups,
        highlight=highlight,
        losses=losses,
        gradients=gradients,
        gradient_labels=gradient_labels,
        cut_after=cut_after,
        residual=residual,
        dropout=dropout,
    )
    canvas = Canvas()
    Drawing(network, canvas).draw()
    return canvas.figure()


class Drawing:
    """Places a network on a canvas. A column is a moment, a row is a depth."""

    #: Width of the narrowest box.
    least = MIN_BOX_WIDTH
    #: From the upper direction of a layer to where both are joined.
    joint_gap = JOINT_GAP
    #: Half the height of a box.
    tall = TALL
    loss_radius = LOSS_RADIUS

    def __init__(self, network: Network, canvas: Canvas) -> None:
        self.net = network
        self.canvas = canvas
        states = [*network.states, network.initial or ""]
        labels = [self.state_label(state, 1, "forward") for state in states]
        labels += [label for label in (*network.inputs, *network.outputs) if label is not None]
        widest = max(text_width(label) for label in labels)
        self.width = max(self.least, widest + BOX_PADDING)
        self.half = self.width / 2
        # The two directions stand side by side, so that arrows pass beside their boxes.
        self.shift = 0.7 * self.width if network.bidirectional else 0.0
        weight = self.layer_label(network.weights.get("state", ""), 1)
        self.weight_width = text_width(weight, SMALL_SIZE)
        if network.feedback:
            gap = FEEDBACK_GAP + 0.7 * self.weight_width
        else:
            gap = max(GAP, self.weight_width + 0.1)
        self.backward = Backward(self)
        gap = max(gap, self.backward.gap)
        self.depth = Depth(self)
        gap += self.depth.beside
        self.pitch = self.width + self.shift + gap
        self.rows = self._rows()

    def _rows(self) -> dict[object, float]:
        """Return the height of each row."""
        rows: dict[object, float] = {"input": 0.0}
        y, gap = 0.0, ROW_GAP
        for layer in range(1, self.net.layers + 1):
            y += BOX_HEIGHT + gap
            gap = self.depth.above(layer, ROW_GAP)
            rows[layer, "forward"] = y
            if self.net.bidirectional:
                rows[layer, "backward"] = y + BOX_HEIGHT + PAIR_GAP
                y = rows[layer, "joint"] = rows[layer, "backward"] + TALL + self.joint_gap
                y -= TALL
        rows["output"] = y + BOX_HEIGHT + gap
        rows["loss"] = rows["output"] + TALL + ROW_GAP * 0.75 + LOSS_RADIUS
        return rows

    def draw(self) -> None:
        """Draw everything, what lies behind first."""
        net = self.net
        self.draw_groups()
        for step in net.steps:
            labels = (net.inputs[step - 1], net.states[step - 1], net.outputs[step - 1])
            self.draw_column(str(step), step * self.pitch, labels, muted=self.muted(step))
            self.draw_time(step)
        if net.initial is not None:
            self.draw_initial(net.initial)
        for step in sorted(net.losses):
            self.draw_loss(step)
        if net.gradients:
            self.backward.draw()
        if net.residual or net.dropout:
            self.depth.label()
        if net.rolled:
            self.draw_rolled()

    def forwards(
        self, name: str, points: Sequence[Point], *, role: str = "ink", muted: bool = False
    ) -> None:
        """Draw an arrow of the forward pass, which steps back where gradients are drawn."""
        self.canvas.wire(name, points, role=role, muted=muted or self.net.gradients)

    # Where things are, and how they are called.

    def muted(self, step: int) -> bool:
        """Whether a step stands back behind others."""
        return bool(self.net.highlight) and step not in self.net.highlight

    def state_at(self, x: float, layer: int, direction: str = "forward") -> Point:
        """Return the centre of a state in the column at x."""
        side = -1 if direction == "forward" else 1
        return (x + side * self.shift / 2, self.rows[layer, direction])

    def state_name(self, step: object, layer: int, direction: str) -> str:
        """Return the name of a state's box."""
        return f"state-{step}-{layer}" + (f"-{direction}" if self.net.bidirectional else "")

    def state_label(self, label: str, layer: int, direction: str) -> str:
        """Add the layer, or the direction, to a label where there are several."""
        if self.net.bidirectional and self.net.layers == 1 and label.startswith("$"):
            arrow = "right" if direction == "forward" else "left"
            return rf"$\over{arrow}arrow{{{label.strip('$')}}}$"
        return self.layer_label(label, layer)

    def layer_label(self, label: str, layer: int) -> str:
        """Add the layer to a label where there are several."""
        if self.net.layers == 1 or not label.startswith("$"):
            return label
        body = label.strip("$")
        if "^" in body:
            body = f"{{{body}}}"
        return f"${body}^{{({layer})}}$"

    # Upwards: one moment.

    def draw_column(
        self,
        name: str,
        x: float,
        labels: tuple[str | None, str, str | None],
        *,
        muted: bool,
    ) -> None:
        """Draw what belongs to one moment: input, states, output and the arrows between them."""
        source, state, target = labels
        net = self.net
        size = (self.width, BOX_HEIGHT)
        below, bottom = None, TALL
        if source is not None:
            below = f"input-{name}"
            self.canvas.box(below, (x, 0.0), size, source, "input", muted=muted)
        for layer in range(1, net.layers + 1):
            for direction in net.directions:
                box = self.state_name(name, layer, direction)
                centre = self.state_at(x, layer, direction)
                self.draw_state(name, box, centre, (state, layer, direction), muted=muted)
                if below is not None:
                    arrow, end = f"{below}-{box}", centre[1] - TALL
                    if layer > 1 and (net.residual or net.dropout):
                        self.depth.draw_up(below, bottom, box, centre, layer, muted=muted)
                    else:
                        self.forwards(arrow, [(centre[0], bottom), (centre[0], end)], muted=muted)
                    side = -1 if direction == "forward" else 1
                    at = (centre[0] + side * 0.06, bottom + ROW_GAP / 2)
                    align = "right" if side < 0 else "left"
                    self.weight(arrow, at, "input", layer, align=align, muted=muted)
            below, bottom = box, centre[1] + TALL
            if net.bidirectional:
                below, bottom = self.draw_joint(name, x, layer, muted=muted)
            if self.depth.goes_past(layer) and (layer < net.layers or target is not None):
                below, bottom = self.depth.draw_past(box, centre, muted=muted)
        if target is not None:
            y = self.rows["output"]
            self.canvas.box(f"output-{name}", (x, y), size, target, "output", muted=muted)
            arrow = f"{below}-output-{name}"
            self.forwards(arrow, [(x, bottom), (x, y - TALL)], muted=muted)
            self.weight(arrow, (x - 0.06, bottom + ROW_GAP / 2), "output", muted=muted)

    def draw_state(
        self, step: str, name: str, centre: Point, state: tuple[str, int, str], *, muted: bool
    ) -> None:
        """Draw the box of a state: its label, its layer and its direction."""
        text, size = self.state_label(*state), (self.width, BOX_HEIGHT)
        self.canvas.box(name, centre, size, text, "state", muted=muted)

    def draw_joint(self, name: str, x: float, layer: int, *, muted: bool) -> tuple[str, float]:
        """Draw the bar that joins the directions of a layer; return its name and its top."""
        joint, y = f"joint-{name}-{layer}", self.rows[layer, "joint"]
        size = (self.width + self.shift, JOINT_HEIGHT)
        self.canvas.box(joint, (x, y), size, "", "state", muted=muted, radius=JOINT_HEIGHT / 2)
        for direction in self.net.directions:
            x0, y0 = self.state_at(x, layer, direction)
            arrow = f"{self.state_name(name, layer, direction)}-{joint}"
            self.forwards(arrow, [(x0, y0 + TALL), (x0, y - JOINT_HEIGHT / 2)], muted=muted)
        return joint, y + JOINT_HEIGHT / 2

    def weight(
        self,
        name: str,
        at: Point,
        weight: str,
        layer: int | None = None,
        *,
        align: str = "right",
        muted: bool,
    ) -> None:
        """Write the label of a weight, if it has one; each layer has weights of its own."""
        label = self.net.weights.get(weight, "")
        if label and layer is not None:
            label = self.layer_label(label, layer)
        muted = muted or self.net.gradients
        self.canvas.label(f"weight-{name}", at, label, size=SMALL_SIZE, align=align, muted=muted)

    def draw_loss(self, step: int) -> None:
        """Draw the mark of a loss above an output."""
        x, y, muted = step * self.pitch, self.rows["loss"], self.muted(step)
        label = rf"$\ell_{{{step}}}$"
        self.canvas.circle(f"loss-{step}", (x, y), LOSS_RADIUS, label, "gradient", muted=muted)
        start, end = self.rows["output"] + TALL, y - LOSS_RADIUS
        self.forwards(f"output-{step}-loss-{step}", [(x, start), (x, end)], muted=muted)

    # Sideways: from moment to moment.

    def draw_time(self, step: int) -> None:
        """Draw the arrows between a step and its neighbours from which something comes."""
        net, x = self.net, step * self.pitch
        from_left = step > 1 or net.initial is not None
        from_right = net.bidirectional and (step < len(net.inputs) or net.initial is not None)
        for layer in range(1, net.layers + 1):
            if from_left and (net.feedback != "state" or step == 1):
                self.draw_along(step - 1, step, layer, "forward")
            if from_right:
                self.draw_along(step + 1, step, layer, "backward")
        if net.feedback and step > 1 and net.outputs[step - 2] is not None:
            self.draw_feedback(x - self.pitch, x, step)

    def draw_along(self, before: int, step: int, layer: int, direction: str) -> None:
        """Draw the arrow from the state of a step to that of the next in its direction."""
        side = 1 if direction == "forward" else -1
        x0, y = self.state_at(before * self.pitch, layer, direction)
        x1, _ = self.state_at(step * self.pitch, layer, direction)
        start, end = x0 + side * self.half, x1 - side * self.half
        name = "-".join(self.state_name(at, layer, direction) for at in (before, step))
        if self.net.feedback == "state":
            name = name.replace("state", "output", 1)
        self.forwards(name, [(start, y), (end, y)], muted=self.muted(step))
        # Beside the wire that brings an output down, or goes past the layer, not on it.
        crossed = self.net.feedback == "input" and before > 0
        middle = (start + end - (FEEDBACK_TO_BOX if crossed else 0) + self.depth.beside) / 2
        # Where there are layers, a label has an index above and one below.
        at = (middle, y + (0.13 if self.net.layers == 1 else 0.18))
        self.weight(name, at, "state", layer, align="center", muted=self.muted(step))

    def draw_feedback(self, x0: float, x1: float, step: int) -> None:
        """Draw the way of an output to the next step."""
        high, state = self.rows["output"], self.rows[1, "forward"]
        wire, left = x1 - self.half - FEEDBACK_TO_BOX, x1 - self.half
        way = [(x0 + self.half, high), (wire, high)]
        target = f"state-{step}-1"
        if self.net.feedback == "state":
            way += [(wire, state), (left, state)]
            at = (wire - 0.06, (high + state) / 2)
            self.weight(f"output-{step - 1}-{target}", at, "state", muted=self.muted(step))
        elif self.net.inputs[step - 1] is not None:
            target = f"input-{step}"
            way += [(wire, 0.0), (left, 0.0)]
        else:
            low = state - TALL - ROW_GAP * 0.6
            way += [(wire, low), (x1, low), (x1, state - TALL)]
        name = f"output-{step - 1}-{target}"
        self.forwards(name, way, role="output", muted=self.muted(step))

    def draw_initial(self, label: str) -> None:
        """Draw what there is before the first step of each direction."""
        role = "output" if self.net.feedback == "state" else "state"
        for layer in range(1, self.net.layers + 1):
            for direction in self.net.directions:
                step = 0 if direction == "forward" else len(self.net.inputs) + 1
                self.canvas.box(
                    self.state_name(step, layer, direction).replace("state", role),
                    self.state_at(step * self.pitch, layer, direction),
                    (self.width, BOX_HEIGHT),
                    self.state_label(label, layer, direction),
                    role,
                    muted=bool(self.net.highlight),
                    dashed=True,
                )

    def draw_groups(self) -> None:
        """Draw a shaded area behind the steps of each group, with its name at the top."""
        top_state = self.rows[self.net.layers, self.net.directions[-1]]
        top = (self.rows["output"] if self.net.has_outputs else top_state) + TALL
        if self.net.losses:
            top = self.rows["loss"] + LOSS_RADIUS
        margin = (self.pitch - self.width - self.shift) / 2 - 0.04
        reach = self.half + self.shift / 2 + min(0.14, margin)
        for label, (first, last) in self.net.groups.items():
            left, right = first * self.pitch - reach, last * self.pitch + reach
            name = label.replace(" ", "-")
            self.canvas.panel(name, (left, -TALL - 0.14), (right, top + 0.38))
            self.canvas.label(name, ((left + right) / 2, top + 0.22), label, role="muted")

    # Rolled: one moment, with loops.

    def draw_rolled(self) -> None:
        """Draw the network as one step with loops, on the left of the unrolled one."""
        net = self.net
        reach = self.half + self.shift / 2 + LOOP + 0.16 + self.weight_width
        if net.feedback == "input":
            reach += 0.24
        first = 0 if net.initial is not None else 1
        equals = first * self.pitch - self.half - self.shift / 2 - 0.28
        x = equals - 0.2 - reach
        labels = (
            "$x_t$" if net.has_inputs else None,
            "$h_t$",
            "$y_t$" if net.has_outputs else None,
        )
        self.draw_column("t", x, labels, muted=False)
        self.canvas.label("equals", (equals, self.rows[1, "forward"]), "$=$", size=15)
        if net.feedback != "state":
            for layer in range(1, net.layers + 1):
                for direction in net.directions:
                    self.draw_loop(x, layer, direction)
        if net.feedback:
            self.draw_feedback_loop(x, x + (reach if net.feedback == "input" else self.half + LOOP))

    def draw_loop(self, x: float, layer: int, direction: str) -> None:
        """Draw the loop of a state, which is delayed by one step."""
        side = 1 if direction == "forward" else -1
        x0, y = self.state_at(x, layer, direction)
        edge, far = x0 + side * self.half, x0 + side * (self.half + LOOP)
        name = f"loop-{self.state_name('t', layer, direction)}"
        self.forwards(name, [(edge, y + 0.1), (far, y + 0.1), (far, y - 0.1), (edge, y - 0.1)])
        self.canvas.mark(name, (far, y))
        align = "left" if side > 0 else "right"
        self.weight(name, (far + side * 0.1, y), "state", layer, align=align, muted=False)

    def draw_feedback_loop(self, x: float, far: float) -> None:
        """Draw the loop of an output, which is delayed by one step."""
        high, low = self.rows["output"], self.rows[1, "forward"]
        if self.net.feedback == "input" and self.net.has_inputs:
            low = 0.0
        edge = x + self.half
        way = [(edge, high), (far, high), (far, low), (edge, low)]
        self.forwards("loop-output-t", way, role="output")
        middle = (far, (high + self.rows[1, "forward"]) / 2)
        self.canvas.mark("loop-output-t", middle, role="output")
        if self.net.feedback == "state":
            self.weight("loop-output-t", (far + 0.1, middle[1]), "state", align="left", muted=False)
