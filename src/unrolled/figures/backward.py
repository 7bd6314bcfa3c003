"""The backward pass of an unrolled network: gradients run from right to left."""

from typing import TYPE_CHECKING

from .canvas import Point, text_width
from .style import SMALL_SIZE

if TYPE_CHECKING:
    from .graph import Drawing

# All in inches.
#: From an arrow forwards to the gradient beside it.
OFFSET = 0.12
#: From a state to where its gradient branches off to the weight.
LANE = 0.17
DOT = 0.035
PLUS = 0.13
#: From the lowest box of the network to the row in which the terms are added.
WEIGHT_ROW = 0.66
#: From the last sum to the weight.
LAST = 0.28
STROKE = 0.09
STROKES_APART = 0.06
#: From a gradient to the label below it.
BELOW = 0.22
BESIDE = 0.06
DETACH = "detach"


class Backward:
    """Places gradients beside the arrows of a drawing."""

    def __init__(self, drawing: "Drawing") -> None:
        self.drawing, self.net, self.canvas = drawing, drawing.net, drawing.canvas
        self.shared = "weight" in self.net.gradient_labels
        #: Steps whose state a gradient reaches.
        self.reached: set[int] = set()
        for step in reversed(self.net.steps):
            later = step + 1 in self.reached and step not in self.net.cut_after
            if step in self.net.losses or later:
                self.reached.add(step)

    @property
    def gap(self) -> float:
        """How far states are apart at least, so that labels have room between them."""
        labels = self.net.gradient_labels.get("state", ())
        lane = LANE if self.shared else 0.0
        gap = max((text_width(label, SMALL_SIZE) + 0.14 for label in labels), default=2.5 * lane)
        if self.net.cut_after:
            # It may stand below the boxes too, up to the arrow upwards.
            gap = max(gap, text_width(DETACH) + 0.2 + lane - self.drawing.half)
        return gap

    def draw(self) -> None:
        """Draw all gradients, from the last step to the first."""
        for step in sorted(self.reached, reverse=True):
            self.draw_down(step)
            if step > 1 or self.net.initial is not None:
                self.draw_back(step)
        if self.shared:
            self.draw_sum()

    def label(
        self,
        name: str,
        at: Point,
        key: str,
        step: int,
        *,
        layer: int | None = None,
        align: str = "left",
    ) -> None:
        """Write the label of a gradient, if it has one; each layer has weights of its own."""
        given = self.net.gradient_labels.get(key)
        text = given[step - 1] if given else ""
        if layer is not None:
            text = self.drawing.layer_label(text, layer)
        name = f"gradient-{name}"
        self.canvas.label(name, at, text, role="gradient", size=SMALL_SIZE, align=align)

    def wire(self, name: str, points: list[Point]) -> None:
        """Draw an arrow of a gradient."""
        self.canvas.wire(f"gradient-{name}", points, role="gradient")

    def draw_down(self, step: int) -> None:
        """Draw the gradient down a column, on the right of the arrows upwards."""
        drawing, net = self.drawing, self.net
        x, tall = step * drawing.pitch + OFFSET, drawing.tall
        top = drawing.rows[net.layers, "forward"]
        if step in net.losses:
            edge = drawing.rows["loss"] - (drawing.loss_radius**2 - OFFSET**2) ** 0.5
            output = drawing.rows["output"]
            for key, name, high, low in (
                ("loss", f"loss-{step}-output-{step}", edge, output + tall),
                ("output", f"output-{step}-state-{step}-{net.layers}", output - tall, top + tall),
            ):
                self.wire(name, [(x, high), (x, low)])
                self.label(name, (x + BESIDE, (high + low) / 2), key, step)
        for layer in range(net.layers, 1, -1):
            high = drawing.rows[layer, "forward"] - tall
            low = drawing.rows[layer - 1, "forward"] + tall
            self.wire(f"state-{step}-{layer}-state-{step}-{layer - 1}", [(x, high), (x, low)])

    def draw_back(self, step: int) -> None:
        """Draw the gradient from a state to the state before, or to where it is cut."""
        drawing, net = self.drawing, self.net
        right = step * drawing.pitch - drawing.half
        left = right - drawing.pitch + drawing.width
        free = right - LANE if self.shared else right
        middle, cut = (left + free) / 2, step - 1 in net.cut_after
        align = "right" if self.shared else "center"
        for layer in range(1, net.layers + 1):
            y = drawing.rows[layer, "forward"] - OFFSET
            name = f"state-{step}-{layer}-state-{step - 1}-{layer}"
            below = (free - BESIDE if self.shared else middle, y - BELOW)
            self.wire(name, [(right, y), (middle + STROKES_APART / 2 if cut else left, y)])
            if not cut:
                self.label(name, below, "state", step, layer=layer, align=align)
                continue
            self.draw_cut(f"{step - 1}-{layer}", (middle, y))
            if layer == 1:
                self.canvas.label(f"cut-{step - 1}", below, DETACH, role="gradient", align=align)

    def draw_cut(self, name: str, at: Point) -> None:
        """Draw two strokes across the way of a gradient."""
        for side, x in (("left", at[0] - STROKES_APART / 2), ("right", at[0] + STROKES_APART / 2)):
            stroke = [(x, at[1] + STROKE), (x, at[1] - STROKE)]
            self.canvas.wire(f"cut-{name}-{side}", stroke, role="gradient", arrow=False)

    def draw_sum(self) -> None:
        """Draw what each step contributes to the weight, and the sum on its way to the left."""
        drawing, net = self.drawing, self.net
        low = 0.0 if net.has_inputs else drawing.rows[1, "forward"]
        row, start = low - drawing.tall - WEIGHT_ROW, drawing.rows[1, "forward"] - OFFSET
        first = 1 if net.initial is not None else 2
        steps = sorted((step for step in self.reached if step >= first), reverse=True)
        lanes = [step * drawing.pitch - drawing.half - LANE for step in steps]
        box = lanes[-1] - PLUS - LAST
        # Where the sum goes next: into the plus of the step before, or into the weight.
        ends = [lane + PLUS for lane in lanes[1:]] + [box]
        for number, (step, lane, end) in enumerate(zip(steps, lanes, ends, strict=True)):
            name, begin = f"state-{step}-weight", (lane, start - DOT)
            self.canvas.dot(f"weight-{step}", (lane, start), role="gradient")
            self.label(name, (lane + BESIDE, row + PLUS + 0.16), "term", step)
            if number == 0:
                self.wire(name, [begin, (lane, row), (end, row)])
                continue
            self.wire(name, [begin, (lane, row + PLUS)])
            self.canvas.circle(f"plus-{step}", (lane, row), PLUS, "$+$", "gradient")
            self.wire(f"sum-{step}", [(lane - PLUS, row), (end, row)])
        label = net.gradient_labels["weight"][0]
        size = (text_width(label) + 0.2, 2 * drawing.tall)
        self.canvas.box("weight", (box - size[0] / 2, row), size, label, "gradient")
