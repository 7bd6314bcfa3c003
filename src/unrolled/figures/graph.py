"""A recurrent network unrolled over time."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure

from .canvas import Canvas, text_width
from .style import SMALL_SIZE

BOX_HEIGHT = 0.40
MIN_BOX_WIDTH = 0.50
GAP = 0.36
FEEDBACK_GAP = 0.46
ROW_GAP = 0.40
PAIR_GAP = 0.30
OFFSET = 0.12
WIRE_TO_BOX = 0.2
WEIGHTS = ("input", "state", "output")


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
    gradients: tuple[int, int] | None = None,
) -> Figure:
    r"""Draw a recurrent network unrolled over time.

    Time runs from left to right, depth upwards, gradients from right to left. Steps are counted
    from 1, as in the equations. Text between dollar signs is set as mathematics.

    Parameters
    ----------
    inputs
        One label a step; `None` where a step has no input.
    outputs
        One label a step; `None` where nothing is read out. `None` alone: no read-out at all.
    states
        One label a step, `$h_1$`, `$h_2$` ... if not given. With several layers the layer is added
        as an index above; with two directions an arrow is.
    initial
        Label of the state before the first step; `None`: not drawn.
    layers
        Number of recurrent layers, one above the other.
    bidirectional
        Whether each layer also runs from right to left. The states of both directions are joined
        (the bar above them) before they go up.
    feedback
        `"input"`: the output of a step goes to the input of the next, as in generated text.
        `"state"`: it goes back in place of the state, as in the network of Jordan (1986).
    weights
        Labels of the arrows: keys `"input"`, `"state"`, `"output"`.
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
        (from, to): the way of the gradient, from the loss of the first step named back to the
        second. Losses between the two join it.

    Returns
    -------
    matplotlib.figure.Figure
        About 0.9 inches a step. Up to seven columns are legible on a phone.

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
    """
    network = _Network(
        inputs=tuple(inputs),
        outputs=tuple(outputs) if outputs is not None else (None,) * len(inputs),
        states=tuple(states)
        if states is not None
        else tuple(f"$h_{{{t}}}$" for t in range(1, len(inputs) + 1)),
        initial=initial,
        layers=layers,
        bidirectional=bidirectional,
        feedback=feedback,
        weights=dict(weights or {}),
        rolled=rolled,
        groups=dict(groups or {}),
        highlight=frozenset(highlight),
        losses=frozenset(losses),
        gradients=gradients,
    )
    network.check()
    drawing = _Drawing(network)
    drawing.draw()
    return drawing.canvas.figure()


@dataclass(frozen=True)
class _Network:
    """What `unrolled_graph` was asked for."""

    inputs: tuple[str | None, ...]
    outputs: tuple[str | None, ...]
    states: tuple[str, ...]
    initial: str | None
    layers: int
    bidirectional: bool
    feedback: str | None
    weights: dict[str, str]
    rolled: bool
    groups: dict[str, tuple[int, int]]
    highlight: frozenset[int]
    losses: frozenset[int]
    gradients: tuple[int, int] | None

    @property
    def steps(self) -> range:
        return range(1, len(self.inputs) + 1)

    @property
    def directions(self) -> tuple[str, ...]:
        return ("forward", "backward") if self.bidirectional else ("forward",)

    def check(self) -> None:
        """Raise ValueError where the request contradicts itself."""
        if not self.inputs:
            raise ValueError("inputs is empty; expected a label (or None) for each step")
        for name, labels in (("outputs", self.outputs), ("states", self.states)):
            if len(labels) != len(self.inputs):
                raise ValueError(
                    f"{name} has {len(labels)} labels and inputs has {len(self.inputs)}; "
                    "expected one a step in both"
                )
        if self.layers < 1:
            raise ValueError(f"layers is {self.layers}; expected 1 or more")
        if self.feedback not in (None, "input", "state"):
            raise ValueError(f"feedback is {self.feedback!r}; expected 'input', 'state' or None")
        if unknown := set(self.weights) - set(WEIGHTS):
            raise ValueError(
                f"weights has the keys {sorted(unknown)}; expected some of {list(WEIGHTS)}"
            )
        self._check_steps()
        self._check_feedback()
        self._check_gradients()

    def _check_steps(self) -> None:
        named = {"highlight": self.highlight, "losses": self.losses}
        named |= {f"group {label!r}": frozenset(ends) for label, ends in self.groups.items()}
        if self.gradients is not None:
            named["gradients"] = frozenset(self.gradients)
        for name, steps in named.items():
            if outside := sorted(set(steps) - set(self.steps)):
                raise ValueError(
                    f"{name} names step {outside[0]}; expected steps from 1 to {len(self.inputs)}"
                )
        taken: set[int] = set()
        for label, (first, last) in self.groups.items():
            steps = set(range(first, last + 1))
            if not steps or steps & taken:
                raise ValueError(
                    f"group {label!r} is ({first}, {last}); expected (first, last) from left to "
                    "right, and no step in two groups"
                )
            taken |= steps
        if self.groups and self.rolled:
            raise ValueError("groups and rolled were both given; a rolled network has one step")
        for step in sorted(self.losses):
            if self.outputs[step - 1] is None:
                raise ValueError(f"losses names step {step}, which has no output to compare")

    def _check_feedback(self) -> None:
        if self.feedback is None:
            return
        if self.bidirectional:
            raise ValueError(
                "feedback and bidirectional were both given; a network that feeds its outputs "
                "back cannot see the future: leave one out"
            )
        if self.feedback == "state" and self.layers > 1:
            raise ValueError(
                f"feedback is 'state' with {self.layers} layers; expected one layer, whose output "
                "takes the place of its state"
            )
        if self.feedback == "state" and None in self.outputs[:-1]:
            raise ValueError("feedback is 'state', so each step but the last needs an output")
        if all(label is None for label in self.outputs[:-1]):
            raise ValueError(f"feedback is {self.feedback!r}, but there is no output to feed back")

    def _check_gradients(self) -> None:
        if self.gradients is None:
            return
        start, end = self.gradients
        if start < end:
            raise ValueError(
                f"gradients is {self.gradients}; expected (from, to) with from >= to: gradients "
                "run from right to left"
            )
        if start not in self.losses:
            raise ValueError(
                f"gradients starts at step {start}, but losses names {sorted(self.losses)}; "
                "a gradient starts at a loss"
            )
        if self.bidirectional or self.feedback == "state":
            raise ValueError("gradients is drawn for networks with states from left to right only")


class _Drawing:
    """Places the network on a canvas; x is time, y is depth, in inches."""

    def __init__(self, network: _Network) -> None:
        self.net = network
        self.canvas = Canvas()
        labels = [*network.inputs, *network.outputs, *network.states]
        if network.initial is not None:
            labels.append(network.initial)
        widest = max(text_width(label) for label in labels if label is not None)
        self.width = max(MIN_BOX_WIDTH, widest + 0.2)
        # The boxes of the two directions stand side by side, apart, so that arrows pass beside them.
        self.shift = 0.7 * self.width if network.bidirectional else 0.0
        gap = FEEDBACK_GAP if network.feedback else GAP
        if "state" in network.weights:
            gap += text_width(network.weights["state"], SMALL_SIZE) - 0.1
        self.pitch = self.width + self.shift + gap
        self.row_gap = ROW_GAP + (0.06 if network.weights else 0)
        self.heights = self._heights()
        self.left = self.pitch * (0 if network.initial is not None else 1)

    def _heights(self) -> dict[object, float]:
        """Return the height of each row: input, (layer, direction), joints, output, loss."""
        heights: dict[object, float] = {"input": 0.0}
        y = 0.0
        for layer in range(1, self.net.layers + 1):
            y += BOX_HEIGHT + self.row_gap
            heights[layer, "forward"] = y
            if self.net.bidirectional:
                y += BOX_HEIGHT + PAIR_GAP
                heights[layer, "backward"] = y
                heights[layer, "joint"] = y + BOX_HEIGHT / 2 + 0.22
                y += 0.22
        heights["output"] = y + BOX_HEIGHT + self.row_gap
        heights["loss"] = heights["output"] + BOX_HEIGHT + 0.32
        return heights

    def at(self, kind: str, step: float, layer: int = 1, direction: str = "forward") -> tuple:
        """Return the centre of a box."""
        x = step * self.pitch
        if kind != "state":
            return (x, self.heights[kind])
        sign = {"forward": -1, "backward": 1}[direction]
        return (x + sign * self.shift / 2, self.heights[layer, direction])

    def muted(self, step: int) -> bool:
        return bool(self.net.highlight) and step not in self.net.highlight

    def draw(self) -> None:
        self.draw_groups()
        for step in self.net.steps:
            self.draw_column(str(step), step, muted=self.muted(step))
            self.draw_time(step)
        if self.net.initial is not None:
            self.draw_initial(self.net.initial)
        if self.net.gradients is not None:
            self.draw_gradients(*self.net.gradients)
        if self.net.rolled:
            self.draw_rolled()

    def state_label(self, label: str, layer: int, direction: str) -> str:
        """Add the layer and the direction to a label where there are several."""
        if not label.endswith("$"):
            return label
        body = label[1:-1]
        if self.net.bidirectional:
            arrow = "right" if direction == "forward" else "left"
            body = rf"\over{arrow}arrow{{{body}}}"
        if self.net.layers > 1:
            body = f"{{{body}}}^{{({layer})}}"
        return f"${body}$"

    def draw_column(self, name: str, step: float, *, muted: bool, labels: tuple = ()) -> None:
        """Draw what belongs to one moment: input, states, output and the arrows between them."""
        index = int(step) - 1
        net = self.net
        source, state, target = labels or (net.inputs[index], net.states[index], net.outputs[index])
        size = (self.width, BOX_HEIGHT)
        if source is not None:
            self.canvas.box(
                f"input-{name}", self.at("input", step), size, source, "input", muted=muted
            )
        below = f"input-{name}" if source is not None else None
        bottom = BOX_HEIGHT / 2
        for layer in range(1, net.layers + 1):
            for direction in net.directions:
                suffix = f"-{direction}" if net.bidirectional else ""
                box = f"state-{name}-{layer}{suffix}"
                x, y = self.at("state", step, layer, direction)
                text = self.state_label(state, layer, direction)
                self.canvas.box(box, (x, y), size, text, "state", muted=muted)
                if below is not None:
                    self.up(f"{below}-{box}", x, bottom, y - BOX_HEIGHT / 2, "input", muted)
            below, bottom = f"state-{name}-{layer}", y + BOX_HEIGHT / 2
            if net.bidirectional:
                below, bottom = self.draw_joint(name, step, layer, muted)
        if target is None:
            return
        x, y = self.at("output", step)
        self.canvas.box(f"output-{name}", (x, y), size, target, "output", muted=muted)
        self.up(f"{below}-output-{name}", x, bottom, y - BOX_HEIGHT / 2, "output", muted)
        if step in net.losses and not labels:
            x, y = self.at("loss", step)
            self.canvas.box(
                f"loss-{name}",
                (x, y),
                (0.36, 0.36),
                rf"$\ell_{{{name}}}$",
                "gradient",
                muted=muted,
                radius=0.18,
            )
            self.up(
                f"output-{name}-loss-{name}",
                x,
                self.heights["output"] + BOX_HEIGHT / 2,
                y - 0.18,
                "",
                muted,
            )

    def up(self, name: str, x: float, start: float, end: float, weight: str, muted: bool) -> None:
        """Draw an arrow upwards, with the label of its weight on the left."""
        self.canvas.wire(name, [(x, start), (x, end)], muted=muted)
        if weight in self.net.weights and ("backward" not in name):
            self.canvas.label(
                f"weight-{name}",
                (x - 0.06, (start + end) / 2 - 0.02),
                self.net.weights[weight],
                size=SMALL_SIZE,
                align="right",
                muted=muted,
            )

    def draw_joint(self, name: str, step: float, layer: int, muted: bool) -> tuple[str, float]:
        """Draw the bar that joins the two directions of a layer; return its name and its top."""
        y = self.heights[layer, "joint"]
        joint = f"joint-{name}-{layer}"
        reach = (self.shift + self.width) / 2
        self.canvas.box(
            joint, (step * self.pitch, y), (2 * reach, 0.08), "", "state", muted=muted, radius=0.04
        )
        for direction in self.net.directions:
            x, bottom = self.at("state", step, layer, direction)
            self.canvas.wire(
                f"state-{name}-{layer}-{direction}-{joint}",
                [(x, bottom + BOX_HEIGHT / 2), (x, y - 0.04)],
                muted=muted,
            )
        return joint, y + 0.04

    def draw_time(self, step: int) -> None:
        """Draw the arrows that arrive at a step from the step before."""
        net, half = self.net, self.width / 2
        before = step - 1
        if before == 0 and net.initial is None:
            first = True
        else:
            first = False
        if not first and (net.feedback != "state" or before == 0):
            for layer in range(1, net.layers + 1):
                x0, y = self.at("state", before, layer)
                x1, _ = self.at("state", step, layer)
                suffix = "-forward" if net.bidirectional else ""
                name = f"state-{before}-{layer}{suffix}-state-{step}-{layer}{suffix}"
                self.along(name, x0 + half, x1 - half, y, self.muted(step))
        if net.bidirectional and (step < len(net.inputs) or net.initial is not None):
            for layer in range(1, net.layers + 1):
                x0, y = self.at("state", step, layer, "backward")
                x1, _ = self.at("state", step + 1, layer, "backward")
                name = f"state-{step + 1}-{layer}-backward-state-{step}-{layer}-backward"
                self.along(name, x1 - half, x0 + half, y, self.muted(step))
        if net.feedback and before > 0 and net.outputs[before - 1] is not None:
            self.draw_feedback(before, step)

    def along(self, name: str, start: float, end: float, y: float, muted: bool) -> None:
        """Draw an arrow in time, with the label of its weight above."""
        self.canvas.wire(name, [(start, y), (end, y)], muted=muted)
        if "state" in self.net.weights:
            middle = (start + end - (WIRE_TO_BOX if self.net.feedback == "input" else 0)) / 2
            self.canvas.label(
                f"weight-{name}",
                (middle, y + 0.13),
                self.net.weights["state"],
                size=SMALL_SIZE,
                muted=muted,
            )

    def draw_feedback(self, before: int, step: int) -> None:
        net, half, muted = self.net, self.width / 2, self.muted(step)
        x0, y0 = self.at("output", before)
        x1, state_y = self.at("state", step)
        wire = x1 - half - WIRE_TO_BOX
        if net.feedback == "state":
            name = f"output-{before}-state-{step}-1"
            points = [(x0 + half, y0), (wire, y0), (wire, state_y), (x1 - half, state_y)]
            if "state" in net.weights:
                self.canvas.label(
                    f"weight-{name}",
                    (wire - 0.06, (y0 + state_y) / 2),
                    net.weights["state"],
                    size=SMALL_SIZE,
                    align="right",
                    muted=muted,
                )
        elif net.inputs[step - 1] is not None:
            name = f"output-{before}-input-{step}"
            points = [(x0 + half, y0), (wire, y0), (wire, 0), (x1 - half, 0)]
        else:
            name = f"output-{before}-state-{step}-1"
            bottom = state_y - BOX_HEIGHT / 2
            low = bottom - self.row_gap / 2 - 0.04
            points = [(x0 + half, y0), (wire, y0), (wire, low), (x1, low), (x1, bottom)]
        self.canvas.wire(name, points, role="output", muted=muted)

    def draw_initial(self, label: str) -> None:
        ends = {"forward": 0, "backward": len(self.net.inputs) + 1}
        for layer in range(1, self.net.layers + 1):
            for direction in self.net.directions:
                suffix = f"-{direction}" if self.net.bidirectional else ""
                role = "output" if self.net.feedback == "state" else "state"
                self.canvas.box(
                    f"{role}-{ends[direction]}-{layer}{suffix}",
                    self.at("state", ends[direction], layer, direction),
                    (self.width, BOX_HEIGHT),
                    self.state_label(label, layer, direction),
                    role,
                    muted=bool(self.net.highlight),
                    dashed=True,
                )

    def draw_groups(self) -> None:
        margin = min(0.14, (self.pitch - self.width) / 2 - 0.04)
        used = (
            "output"
            if any(label is not None for label in self.net.outputs)
            else (self.net.layers, self.net.directions[-1])
        )
        top = self.heights["loss" if self.net.losses else used] + BOX_HEIGHT / 2
        bottom = -BOX_HEIGHT / 2
        for label, (first, last) in self.net.groups.items():
            left = first * self.pitch - self.width / 2 - margin
            right = last * self.pitch + self.width / 2 + margin
            name = label.replace(" ", "-")
            self.canvas.panel(name, (left, bottom - 0.14), (right, top + 0.36))
            self.canvas.label(name, ((left + right) / 2, top + 0.2), label, role="muted")

    def draw_gradients(self, start: int, end: int) -> None:
        half, tall = self.width / 2, BOX_HEIGHT / 2
        for step in range(start, end - 1, -1):
            x, y = self.at("output", step)
            if step in self.net.losses:
                down = [(f"loss-{step}-output-{step}", self.heights["loss"] - 0.165, y + tall)]
                down.append(
                    (
                        f"output-{step}-state-{step}-{self.net.layers}",
                        y - tall,
                        self.heights[self.net.layers, "forward"] + tall,
                    )
                )
            else:
                down = []
            for layer in range(self.net.layers, 1, -1):
                down.append(
                    (
                        f"state-{step}-{layer}-state-{step}-{layer - 1}",
                        self.heights[layer, "forward"] - tall,
                        self.heights[layer - 1, "forward"] + tall,
                    )
                )
            for name, high, low in down:
                self.canvas.wire(
                    f"gradient-{name}", [(x + OFFSET, high), (x + OFFSET, low)], role="gradient"
                )
            if step == end:
                continue
            for layer in range(1, self.net.layers + 1):
                x1, y1 = self.at("state", step, layer)
                self.canvas.wire(
                    f"gradient-state-{step}-{layer}-state-{step - 1}-{layer}",
                    [(x1 - half, y1 - OFFSET), (x1 - self.pitch + half, y1 - OFFSET)],
                    role="gradient",
                )

    def draw_rolled(self) -> None:
        net, half = self.net, self.width / 2
        weight = text_width(net.weights.get("state", ""), SMALL_SIZE)
        reach = (
            half
            + 0.34
            + (weight + 0.06 if weight else 0)
            + (0.24 if net.feedback == "input" else 0)
        )
        x = self.left - half - 0.55 - reach
        step = x / self.pitch
        any_input = any(label is not None for label in net.inputs)
        any_output = any(label is not None for label in net.outputs)
        labels = ("$x_t$" if any_input else None, "$h_t$", "$y_t$" if any_output else None)
        self.draw_column("t", step, muted=False, labels=labels)
        middle = self.heights[1, "forward"]
        self.canvas.label("equals", (x + reach + 0.27, middle), "$=$", size=18)
        for layer in range(1, net.layers + 1):
            for direction in net.directions:
                self.draw_loop(step, layer, direction)

    def draw_loop(self, step: float, layer: int, direction: str) -> None:
        net = self.net
        sign = 1 if direction == "forward" else -1
        x, y = self.at("state", step, layer, direction)
        edge, far = x + sign * self.width / 2, x + sign * (self.width / 2 + 0.28)
        self.canvas.wire(
            f"loop-{layer}-{direction}",
            [(edge, y + 0.1), (far, y + 0.1), (far, y - 0.1), (edge, y - 0.1)],
        )
        self.canvas.mark(f"delay-{layer}-{direction}", (far, y), role="ink")
        if "state" in net.weights:
            self.canvas.label(
                f"weight-loop-{layer}-{direction}",
                (far + sign * 0.09, y),
                net.weights["state"],
                size=SMALL_SIZE,
                align="left" if sign > 0 else "right",
            )
