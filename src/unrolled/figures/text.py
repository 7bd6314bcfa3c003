"""Letters of a text in small boxes, and the windows through which a model sees them."""

from matplotlib.figure import Figure

from .canvas import ROOM, Canvas, text_width

#: Tokens that leave no mark on paper, and what stands for them.
VISIBLE = {" ": "␣", "\n": "↵", "\t": "⇥"}

# All in inches.
BOX_HEIGHT = 0.30
TALL = BOX_HEIGHT / 2
#: From letter to letter, where there is room.
PITCH = 0.24
BETWEEN = 0.02
PADDING = 0.012
CORNER = 0.03
ARROW = 0.32
BRACKET = 0.07
ROW_PITCH = 0.66
PANEL_PADDING = 0.10
DETACH_GAP = 0.84
GRADIENT = TALL + 0.13
STROKE = 0.07
STROKES_APART = 0.06


def visible(token: str) -> str:
    """Return a token as it is drawn: a space, a newline and a tab have marks of their own."""
    return VISIBLE.get(token, token)


def text_window(text: str, window: int, *, clue: str | None = None) -> Figure:
    """Draw a window on the last letters of a text, from which the next letter is predicted.

    The letters in the window stand out, those before it are muted: a model with this window cannot
    know them. A space is drawn as ␣, a newline as ↵, a tab as ⇥.

    Parameters
    ----------
    text
        The letters so far; about 34 fit.
    window
        How many of its last letters the model sees.
    clue
        A part of the text on which the next letter depends. Where it lies outside the window it is
        not muted, so that one sees what is lost.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the text is empty or too long, the window does not lie in it, or the clue is not in it.

    Examples
    --------
    >>> figure = text_window("I am Chinese, my mother tongue is ", 12, clue="Chinese")
    """
    if not text:
        raise ValueError("text is empty; expected the letters that stand before the next one")
    if not 1 <= window <= len(text):
        raise ValueError(
            f"window is {window}; expected 1 to {len(text)}, as text has {len(text)} letters"
        )
    if clue is not None and (not clue or clue not in text):
        raise ValueError(f"clue is {clue!r}; expected a part of the text {text!r}")
    pitch = _pitch(text + "?", ROOM - ARROW, len(text) + 1)
    outside = len(text) - window
    lost = range(0)
    if clue is not None:
        first = text.rindex(clue)
        lost = range(first, first + len(clue))
    canvas = Canvas()
    for index, letter in enumerate(text):
        known = index >= outside
        role = "input" if known else "ink"
        muted = not known and index not in lost
        _letter(canvas, f"letter-{index + 1}", index * pitch, pitch, letter, role, muted=muted)
    end = len(text) * pitch
    _letter(canvas, "next", end + ARROW, pitch, "?", "output")
    near, whole = BETWEEN / 2, end + ARROW + pitch
    canvas.wire("window-next", [(end - near, 0.0), (end + ARROW + near, 0.0)])
    label = f"window of {window} letters" if window > 1 else "window of 1 letter"
    _bracket(canvas, "window", (outside * pitch, end), label, "input", whole, above=True)
    if outside:
        label = "outside: cannot be known"
        _bracket(canvas, "outside", (0.0, outside * pitch), label, "muted", whole, above=False)
    return canvas.figure()


def stateful_windows(text: str, *, batch: int, time: int) -> Figure:
    """Draw how a long text is cut into windows that carry a state from one to the next.

    The text is laid out in rows, each a consecutive piece. A window holds the same letters of all
    rows, and a row of a window goes on where the same row of the window before stopped. So does its
    state; the gradient stops between windows, where the state is detached. A space is drawn as ␣, a
    newline as ↵, a tab as ⇥.

    Parameters
    ----------
    text
        All letters: `batch` times `time` of them for each window. Three windows of six letters are
        easy to read.
    batch
        Number of rows.
    time
        Number of letters in a row of a window.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the text does not fill two windows or more to their ends, or is too long.

    Examples
    --------
    >>> figure = stateful_windows("The Time Traveller (for so it will b", batch=2, time=6)
    """
    for name, value in (("batch", batch), ("time", time)):
        if value < 1:
            raise ValueError(f"{name} is {value}; expected 1 or more")
    count, left_over = divmod(len(text), batch * time)
    if count < 2 or left_over:
        raise ValueError(
            f"text has {len(text)} letters; expected batch * time = {batch * time} for each "
            f"window and two windows or more, such as {max(2, count) * batch * time} letters"
        )
    return _Stateful(text, batch, time, count).figure()


class _Stateful:
    """Places windows on a canvas: rows of the batch from top to bottom, windows side by side."""

    def __init__(self, text: str, batch: int, time: int, count: int) -> None:
        self.batch, self.time, self.count = batch, time, count
        self.letters = count * time
        self.rows = [text[row * self.letters : (row + 1) * self.letters] for row in range(batch)]
        self.label_width = text_width(f"row {batch}") + PANEL_PADDING + 0.1
        room = ROOM - self.label_width - (count - 1) * DETACH_GAP - PANEL_PADDING
        # What is written over and under a window is not wider than the window.
        least = max(text_width(f"window {count}"), text_width("gradient")) / time
        self.pitch = _pitch(text, room, self.letters, least)
        self.canvas = Canvas()

    def left(self, window: int) -> float:
        """Return where a window begins."""
        return window * (self.time * self.pitch + DETACH_GAP)

    def right(self, window: int) -> float:
        """Return where a window ends."""
        return self.left(window) + self.time * self.pitch

    def figure(self) -> Figure:
        """Draw everything, what lies behind first."""
        low = -(self.batch - 1) * ROW_PITCH - GRADIENT
        for window in range(self.count):
            left, right, name = self.left(window), self.right(window), f"window-{window + 1}"
            corners = (left - PANEL_PADDING, low - 0.35), (right + PANEL_PADDING, TALL + 0.42)
            self.canvas.panel(name, *corners)
            middle = (left + right) / 2
            self.canvas.label(name, (middle, TALL + 0.24), f"window {window + 1}", role="muted")
            at = (middle, low - 0.19)
            self.canvas.label(f"gradient-{window + 1}", at, "gradient", role="gradient")
            if window:
                middle = left - DETACH_GAP / 2
                self.canvas.label(f"state-{window + 1}", (middle, 0.20), "state", role="state")
                at = (middle, low - 0.19)
                self.canvas.label(f"detach-{window + 1}", at, "detach", role="gradient")
        for row in range(self.batch):
            self.draw_row(row)
        return self.canvas.figure()

    def draw_row(self, row: int) -> None:
        """Draw the letters of a row, what is carried to the right, and what flows to the left."""
        y = -row * ROW_PITCH
        at = (-self.label_width, y)
        self.canvas.label(f"row-{row + 1}", at, f"row {row + 1}", role="muted", align="left")
        for index, letter in enumerate(self.rows[row]):
            window, step = divmod(index, self.time)
            name = f"letter-{row + 1}-{index + 1}"
            x = self.left(window) + step * self.pitch
            _letter(self.canvas, name, x, self.pitch, letter, "input", y=y)
        near = BETWEEN / 2
        for window in range(self.count):
            name, back = f"{row + 1}-{window + 1}", y - GRADIENT
            start, end = self.right(window) - near, self.left(window) + near
            if window:
                middle = self.left(window) - DETACH_GAP / 2
                way = [(self.right(window - 1) - near, y), (end, y)]
                self.canvas.wire(f"state-{name}", way, role="state")
                for side in (-1, 1):
                    x = middle + side * STROKES_APART / 2
                    stroke = [(x, y + STROKE), (x, back - STROKE)]
                    which = f"detach-{name}-{'left' if side < 0 else 'right'}"
                    self.canvas.wire(which, stroke, role="gradient", arrow=False)
                end = middle + STROKES_APART / 2 + 0.02
            self.canvas.wire(f"gradient-{name}", [(start, back), (end, back)], role="gradient")


def _pitch(text: str, room: float, count: int, least: float = 0.0) -> float:
    """Return the width of a letter's place, so that each is in its box and a line has room."""
    widest = max(text_width(visible(letter)) for letter in set(text))
    needed = max(widest + 2 * PADDING + BETWEEN, least)
    if count * needed > room:
        raise ValueError(
            f"text has lines of {count} letters, which need {count * needed:.1f} inches, and "
            f"{max(room, 0):.1f} are there; show a shorter text"
        )
    return max(needed, min(PITCH, room / count))


def _letter(
    canvas: Canvas,
    name: str,
    left: float,
    pitch: float,
    letter: str,
    role: str,
    *,
    y: float = 0.0,
    muted: bool = False,
) -> None:
    """Draw a letter in its box; `left` is where its place begins."""
    size = (pitch - BETWEEN, BOX_HEIGHT)
    centre = (left + pitch / 2, y)
    canvas.box(name, centre, size, visible(letter), role, muted=muted, radius=CORNER)


def _bracket(
    canvas: Canvas,
    name: str,
    ends: tuple[float, float],
    label: str,
    role: str,
    whole: float,
    *,
    above: bool,
) -> None:
    """Draw a bracket over or under letters, with a label at its middle, but within the whole."""
    side = 1 if above else -1
    left, right = ends[0] + BETWEEN / 2, ends[1] - BETWEEN / 2
    near, far = side * (TALL + 0.06), side * (TALL + 0.06 + BRACKET)
    way = [(left, near), (left, far), (right, far), (right, near)]
    canvas.wire(name, way, role=role, arrow=False, radius=CORNER)
    half = text_width(label) / 2
    middle = max(min((left + right) / 2, whole - half), half)
    canvas.label(name, (middle, far + side * 0.15), label, role=role)
