"""Which states are kept, and which are computed anew, in a backward pass with checkpoints."""

from matplotlib.figure import Figure

from .canvas import Canvas, text_width

# All in inches.
WIDE = 6.4
BOX_HEIGHT = 0.30
LEAST = 0.30
PADDING = 0.10
#: The shortest arrow between two states.
ARROW = 0.13
ROW = 0.88
TITLE = 0.31
#: From a row of states to the gradient below it.
GRADIENT = 0.26


def checkpointing(steps: int, segment: int) -> Figure:
    """Draw how a backward pass saves memory: it keeps few states and computes the others anew.

    The rows follow each other in time. In the forward pass the first state of each segment is kept,
    the others (dashed and grey) are not. Then, from the last segment to the first, the states of
    the segment are computed anew (dashed), and the gradient runs through them from right to left.
    Each row says how many states are in memory at once.

    Parameters
    ----------
    steps
        Number of steps; 12 are easy to read.
    segment
        Number of steps of a segment.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If segments of this length do not fill the steps, there are not two segments of two steps or
        more, or there is no room for so many steps.

    Examples
    --------
    >>> figure = checkpointing(steps=12, segment=4)
    """
    if segment < 2 or steps < 2 * segment or steps % segment:
        raise ValueError(
            f"steps is {steps} and segment is {segment}; expected segments of 2 steps or more, "
            "two of them or more, that fill the steps, such as 12 and 4"
        )
    width = max(LEAST, text_width(str(steps)) + PADDING)
    pitch = (WIDE - width) / steps
    if pitch < width + ARROW:
        most = int((WIDE - width) / (width + ARROW))
        raise ValueError(f"steps is {steps}; there is room for {most}: draw a shorter sequence")
    canvas = Canvas()
    count = steps // segment
    kept = range(0, steps, segment)
    size = (width, BOX_HEIGHT)

    def draw_states(row: int, states: range) -> None:
        """Draw states that are computed one after the other, each from the one before it."""
        for state in states:
            x, y = state * pitch, -row * ROW
            name, first = f"{row}-{state}", state == states.start
            fresh = not first if row else state not in kept
            muted = fresh and not row
            canvas.box(name, (x, y), size, str(state), "state", muted=muted, dashed=fresh)
            if not first:
                start, end = x - pitch + width / 2, x - width / 2
                canvas.wire(f"{row}-{state - 1}-{state}", [(start, y), (end, y)], muted=not row)

    def write(row: int, title: str, memory: str) -> None:
        """Write what happens in a row, and how many states are in memory."""
        y = -row * ROW + TITLE
        canvas.label(f"title-{row}", (-width / 2, y), title, align="left")
        at = (WIDE - width / 2, y)
        canvas.label(f"memory-{row}", at, f"{memory} in memory", role="state", align="right")

    write(0, f"forward: {count} of the states 0 to {steps} are kept", str(count))
    draw_states(0, range(steps + 1))
    for row, left in enumerate(range(count, 0, -1), start=1):
        write(row, f"segment {left}: computed anew, then the gradient", f"{left} + {segment}")
        for state in kept[: left - 1]:
            centre = (state * pitch, -row * ROW)
            canvas.box(f"{row}-{state}", centre, size, str(state), "state")
        first, last = kept[left - 1], kept[left - 1] + segment
        draw_states(row, range(first, last + 1))
        y = -row * ROW - GRADIENT
        ends = [(last * pitch + width / 2, y), (first * pitch - width / 2, y)]
        canvas.wire(f"gradient-{row}", ends, role="gradient")
    return canvas.figure()
