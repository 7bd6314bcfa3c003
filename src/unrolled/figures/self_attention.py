"""A recurrent network and self-attention side by side: how steps reach each other."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from .canvas import ROOM, Canvas, text_width
from .seq2seq import ROLE
from .weights import check_pieces

# All in inches.
BOX_HEIGHT = 0.42
TALL = BOX_HEIGHT / 2
LEAST = 0.46
PADDING = 0.14
#: From box to box; no wider than `GAP`, no narrower than `LEAST_GAP`.
GAP = 0.36
LEAST_GAP = 0.24
#: From the inputs up to what is made of them.
RISE = 1.25
#: From one network to the other.
BETWEEN = 0.52
TO_TITLE = 0.24
#: Ends of arrows into a box stand so far apart, where there is room.
APART = 0.10


def self_attention_graph(
    inputs: Sequence[str], *, causal: bool = False, way: tuple[int, int] | None = None
) -> Figure:
    """Draw how steps reach each other: through the states of a recurrence, or at once.

    Time runs from left to right. On the left each state is made of an input and of the state before
    it. On the right each output looks at every input, and no step waits for another.

    Parameters
    ----------
    inputs
        One short label a step; four fit.
    causal
        Whether a step of self-attention sees itself and the steps before it only.
    way
        Two steps, from 1: how what is read at the first reaches the second stands out in both
        drawings, and all else is muted.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no such way, there are fewer than two inputs, or there is no room.

    Examples
    --------
    >>> figure = self_attention_graph(["what", "time", "is", "it"], way=(1, 4))
    >>> causal = self_attention_graph(["what", "time", "is"], causal=True)
    """
    check_pieces(inputs=inputs)
    steps = len(inputs)
    if steps < 2:
        raise ValueError(f"inputs is {inputs!r}; expected two steps or more")
    if way is not None and (len(way) != 2 or not 1 <= way[0] <= way[1] <= steps):
        raise ValueError(
            f"way is {way}; expected (from, to), steps from 1 to {steps}, as a recurrence brings "
            "nothing back"
        )
    return _Pair(inputs, causal, way and tuple(way)).figure()


class _Pair:
    """Places both networks on a canvas: a column is a step."""

    def __init__(self, inputs: Sequence[str], causal: bool, way: tuple[int, int] | None) -> None:
        self.inputs, self.causal, self.way = inputs, causal, way
        self.steps = range(1, len(inputs) + 1)
        last = len(inputs)
        labels = [*inputs, f"$h_{last}$", f"$c_{last}$"]
        self.width = max(LEAST, max(map(text_width, labels)) + PADDING)
        gap = (ROOM - BETWEEN - 2 * last * self.width) / (2 * (last - 1))
        if gap < LEAST_GAP:
            needed = ROOM + 2 * (last - 1) * (LEAST_GAP - gap)
            raise ValueError(
                f"inputs need {needed:.1f} inches and {ROOM:.1f} are there; show fewer or shorter "
                "ones"
            )
        self.pitch = self.width + min(GAP, gap)
        self.canvas = Canvas()

    def figure(self) -> Figure:
        """Draw the recurrence, and self-attention on its right."""
        self.draw_recurrence(self.canvas.part("recurrence"))
        attention = self.canvas.part("attention")
        attention.move((len(self.inputs) - 1) * self.pitch + self.width + BETWEEN, 0.0)
        self.draw_attention(attention)
        return self.canvas.figure()

    def x(self, step: int) -> float:
        """Return the middle of a column."""
        return (step - 1) * self.pitch

    def draw_boxes(
        self, canvas: Canvas, title: str, letter: str, role: str, bright: Sequence[int]
    ) -> None:
        """Draw a title, the inputs, and what is made of them, of which some stands out."""
        canvas.label("title", (-self.width / 2, RISE + TALL + TO_TITLE), title, align="left")
        read = [self.way[0]] if self.way else self.steps
        made = [f"${letter}_{step}$" for step in self.steps]
        size = (self.width, BOX_HEIGHT)
        for row, kind, y, labels, shown in (
            ("x", "input", 0.0, self.inputs, read),
            (letter, role, RISE, made, bright),
        ):
            for step, label in zip(self.steps, labels, strict=True):
                at, muted = (self.x(step), y), step not in shown
                canvas.box(f"{row}-{step}", at, size, label, kind, muted=muted)

    def draw_recurrence(self, canvas: Canvas) -> None:
        """Draw each state, made of its input and of the state before it."""
        first, last = self.way or (0, 0)
        passed = range(first, last + 1) if self.way else self.steps
        self.draw_boxes(canvas, "recurrence", "h", "state", passed)
        for step in self.steps:
            x, high = self.x(step), RISE - TALL
            muted = self.way is not None and step != first
            canvas.wire(f"x-{step}-h-{step}", [(x, TALL), (x, high)], muted=muted)
            if step > 1:
                ends = [(self.x(step - 1) + self.width / 2, RISE), (x - self.width / 2, RISE)]
                muted = step not in passed[1:]
                canvas.wire(f"h-{step - 1}-h-{step}", ends, muted=muted)

    def draw_attention(self, canvas: Canvas) -> None:
        """Draw each output, made of all inputs that it may look at."""
        title = "causal self-attention" if self.causal else "self-attention"
        self.draw_boxes(canvas, title, "c", ROLE, [self.way[1]] if self.way else self.steps)
        looks = [(x, y) for x in self.steps for y in self.steps if x <= y or not self.causal]
        # What stands out lies on what is muted.
        for start, end in sorted(looks, key=lambda look: look == self.way):
            tip = self.x(end) + APART * (start - (len(self.inputs) + 1) / 2)
            ends = [(self.x(start), TALL), (tip, RISE - TALL)]
            muted = self.way is not None and self.way != (start, end)
            canvas.wire(f"x-{start}-c-{end}", ends, role=ROLE, muted=muted)
