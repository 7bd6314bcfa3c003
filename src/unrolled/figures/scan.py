"""How a linear recurrence is computed in few rounds: neighbours joined, then the rest filled in."""

from typing import NamedTuple

from matplotlib.figure import Figure

from unrolled.checking import check_whole

from .canvas import ROOM, Canvas, text_width

#: What a round does: which column joins which one on its right, counted from 1.
Round = list[tuple[int, int]]

# All in inches.
BOX_HEIGHT = 0.36
TALL = BOX_HEIGHT / 2
PADDING = 0.14
#: From box to box.
GAP = 0.26
LEAST_GAP = 0.12
ROW = 0.62
#: From what is drawn on a panel to its edge.
REACH = 0.12
#: From the middle of the highest boxes of a panel to the title beside them.
TO_TITLE = 0.28
#: From the lowest boxes, or from a panel, to the panel above.
BETWEEN = 0.16
TO_LABEL = 0.16
#: A label is a little wider than its letters.
AIR = 0.05


def scan_tree(steps: int) -> Figure:
    r"""Draw how all states of :math:`h_t = a_t h_{t-1} + b_t` are computed in few rounds.

    Time runs from left to right, rounds follow each other upwards; all that a round does is done at
    once. Earlier steps enter a box from the left, later ones from below. A box with two numbers is
    the steps from the first to the last of them, joined to one; a box with a state is that state,
    finished. The first state, made of :math:`h_0` and the first step, stands at the bottom. The
    rounds are those of `unrolled.scan.associative_scan`.

    Parameters
    ----------
    steps
        Eight are easy to read.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there are fewer than two steps, or more than fit.

    Examples
    --------
    >>> figure = scan_tree(8)
    """
    check_whole(least=2, steps=steps)
    return _Tree(steps).figure()


class _Box(NamedTuple):
    """The steps from `first` to `last`, joined in a round; round 0 is what there is before."""

    round: int
    first: int
    last: int

    @property
    def name(self) -> str:
        return f"{self.round}-{self.last}"

    @property
    def label(self) -> str:
        if self.first == 1:
            return f"$h_{{{self.last}}}$"
        return f"{self.first}\N{EN DASH}{self.last}" if self.round else _step(self.last)

    @property
    def role(self) -> str:
        return "state" if self.first == 1 else "series_1" if self.round else "input"


def _step(step: int) -> str:
    return f"$a_{{{step}}}, b_{{{step}}}$"


def _rounds(steps: int) -> dict[str, list[Round]]:
    """Return the rounds in their order, under the name of what they do."""
    strides = [2**power for power in range(steps.bit_length())]
    joins = [[(end - s, end) for end in range(2 * s, steps + 1, 2 * s)] for s in strides]
    fills = [[(end - s, end) for end in range(3 * s, steps + 1, 2 * s)] for s in strides[::-1]]
    named = {"join neighbours": joins, "fill in": fills}
    return {title: [pairs for pairs in rounds if pairs] for title, rounds in named.items()}


class _Tree:
    """Places steps on a canvas: a column is a step, a row is a round."""

    def __init__(self, steps: int) -> None:
        self.steps, self.rounds = steps, _rounds(steps)
        self.width = max(text_width(_step(step)) for step in range(2, steps + 1)) + PADDING
        # So many steps as need ten rounds do not fit.
        labels = TO_LABEL + text_width("round 9") + AIR
        self.left = -self.width / 2 - labels - REACH
        needed = labels + 2 * REACH + steps * self.width + (steps - 1) * LEAST_GAP
        if needed > ROOM:
            raise ValueError(
                f"steps is {steps}, which needs {needed:.1f} inches, and {ROOM:.1f} are there; "
                "draw fewer"
            )
        gap = LEAST_GAP + (ROOM - needed) / (steps - 1)
        self.pitch = self.width + min(GAP, gap)
        self.canvas = Canvas()
        #: Heights of the rows.
        self.heights = [0.0]
        #: The highest box of each column.
        self.tops = {step: _Box(0, step, step) for step in range(1, steps + 1)}
        #: A box: the boxes that are made of it, lowest first.
        self.uses: dict[_Box, list[_Box]] = {}

    def figure(self) -> Figure:
        """Draw the steps, the rounds above them, and the wires between them."""
        self.label_row("steps")
        for box in self.tops.values():
            self.draw_box(box)
        top = TALL
        for title, rounds in self.rounds.items():
            if rounds:
                top = self.draw_rounds(title, rounds, top + BETWEEN)
        for box, uses in self.uses.items():
            self.draw_wires(box, uses)
        return self.canvas.figure()

    def x(self, step: int) -> float:
        """Return the middle of a column."""
        return (step - 1) * self.pitch

    def draw_rounds(self, title: str, rounds: list[Round], bottom: float) -> float:
        """Draw rounds of one kind on a panel, and return where that ends."""
        for number, pairs in enumerate(rounds):
            self.heights.append(bottom + REACH + TALL + number * ROW)
            done = len(self.heights) - 1
            self.label_row(f"round {done}")
            for before, step in pairs:
                parts = self.tops[before], self.tops[step]
                self.tops[step] = _Box(done, parts[0].first, step)
                self.draw_box(self.tops[step])
                for part in parts:
                    self.uses.setdefault(part, []).append(self.tops[step])
        at = (self.left + REACH, self.heights[-1] + TO_TITLE)
        name = title.split()[0]
        self.canvas.label(f"title-{name}", at, title, align="left")
        top, right = at[1] + REACH + AIR, self.x(self.steps) + self.width / 2 + REACH
        self.canvas.panel(name, (self.left, bottom), (right, top))
        return top

    def label_row(self, label: str) -> None:
        """Write on the left of the highest row what it is."""
        at = (-self.width / 2 - TO_LABEL, self.heights[-1])
        self.canvas.label(f"row-{len(self.heights) - 1}", at, label, role="muted", align="right")

    def draw_box(self, box: _Box) -> None:
        """Draw a box in its column and its row."""
        at = (self.x(box.last), self.heights[box.round])
        self.canvas.box(box.name, at, (self.width, BOX_HEIGHT), box.label, box.role)

    def draw_wires(self, box: _Box, uses: list[_Box]) -> None:
        """Draw the way up from a box, with a dot where it parts."""
        role = "state" if box.role == "state" else "ink"
        x, start = self.x(box.last), self.heights[box.round] + TALL
        for use in uses:
            name, y = f"{box.name}-{use.name}", self.heights[use.round]
            if use.last == box.last:
                way = [(x, start), (x, y - TALL)]
            else:
                way = [(x, start), (x, y), (self.x(use.last) - self.width / 2, y)]
            if use is not uses[-1]:
                self.canvas.dot(name, (x, y), role=role)
                del way[0]
            self.canvas.wire(name, way, role=role)
