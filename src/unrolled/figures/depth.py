"""What belongs to depth in an unrolled network: residual connections and dropout between layers."""

from typing import TYPE_CHECKING

from .canvas import Point
from .style import SMALL_SIZE

if TYPE_CHECKING:
    from .graph import Drawing

# All in inches.
#: From the branch to the layer, and from the layer to the plus.
RISE = 0.22
#: From what lies below to the branch.
TO_BRANCH = 0.34
#: From the side of a box to the connection beside it.
BESIDE = 0.13
PLUS = 0.12
DOT = 0.035
#: The role of what goes past a layer.
ROLE = "series_1"


class Depth:
    """Places what lies between the layers of a drawing."""

    def __init__(self, drawing: "Drawing") -> None:
        self.drawing, self.net, self.canvas = drawing, drawing.net, drawing.canvas

    @property
    def beside(self) -> float:
        """How much room the connections past the layers need between two steps."""
        return BESIDE if self.net.residual else 0.0

    def goes_past(self, layer: int) -> bool:
        """Whether a connection goes past a layer; the input of the first has a size of its own."""
        return self.net.residual and layer > 1

    def above(self, layer: int, gap: float) -> float:
        """Return how far the next row is above a layer, where it is `gap` without residuals."""
        if not self.net.residual:
            return gap
        plus = RISE + 2 * PLUS if self.goes_past(layer) else 0.0
        return plus + (gap if layer == self.net.layers else TO_BRANCH + RISE)

    def draw_up(
        self, below: str, bottom: float, box: str, centre: Point, layer: int, *, muted: bool
    ) -> None:
        """Draw what leads up into a state of a layer above the first."""
        x, top = centre[0], centre[1] - self.drawing.tall
        style = {"muted": muted, "dashed": self.net.dropout}
        if not self.goes_past(layer):
            self.canvas.wire(f"{below}-{box}", [(x, bottom), (x, top)], **style)
            return
        y, branch = top - RISE, f"branch-{box}"
        way = [(x, bottom), (x, y - DOT)]
        self.canvas.wire(f"{below}-{branch}", way, arrow=False, **style)
        self.canvas.dot(branch, (x, y), role=ROLE, muted=muted)
        self.canvas.wire(f"{branch}-{box}", [(x, y + DOT), (x, top)], muted=muted)

    def draw_past(self, box: str, centre: Point, *, muted: bool) -> tuple[str, float]:
        """Draw what goes past a state and is added above it; return the plus and its top."""
        x, y = centre
        branch, plus = f"branch-{box}", f"plus-{box}"
        low, edge = y - self.drawing.tall - RISE, y + self.drawing.tall
        high, side = edge + RISE + PLUS, x + self.drawing.half + BESIDE
        self.canvas.wire(f"{box}-{plus}", [(x, edge), (x, edge + RISE)], muted=muted)
        way = [(x + DOT, low), (side, low), (side, high), (x + PLUS, high)]
        self.canvas.wire(f"{branch}-{plus}", way, role=ROLE, muted=muted)
        self.canvas.circle(plus, (x, high), PLUS, "$+$", ROLE, muted=muted)
        return plus, high + PLUS

    def label(self) -> None:
        """Write what is what on the right of the last step, where nothing else stands."""
        drawing, last = self.drawing, self.net.steps[-1]
        x, second = drawing.state_at(last * drawing.pitch, 2)
        muted = drawing.muted(last)
        if self.net.residual:
            at = (x + drawing.half + BESIDE + 0.07, second)
            self.canvas.label(
                "residual", at, "residual", role=ROLE, size=SMALL_SIZE, align="left", muted=muted
            )
        if self.net.dropout:
            _, first = drawing.state_at(last * drawing.pitch, 1)
            low, high = first + drawing.tall, second - drawing.tall
            if self.net.residual:
                high -= RISE
            at = (x + 0.09, (low + high) / 2)
            self.canvas.label("dropout", at, "dropout", size=SMALL_SIZE, align="left", muted=muted)
