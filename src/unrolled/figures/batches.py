"""A batch of sequences of different lengths: padded, and packed."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from .canvas import FIXED_WIDTH, ROOM, Canvas, text_width
from .text import visible

# All in inches.
PITCH = 0.28
BETWEEN = 0.03
PADDING = 0.02
HEIGHT = 0.28
ROW = 0.32
CORNER = 0.04
#: From the number of a row to its first box, and from its last box to its length.
BESIDE = 0.12
HEADING = 0.34
GAP = 0.5
BETWEEN_STEPS = 0.12
#: Where the tokens of `data` begin.
DATA = 5 * FIXED_WIDTH


def padded_batch(sequences: Sequence[Sequence[str]], *, pad: str = "·") -> Figure:
    """Draw a batch of sequences as a padded tensor, and as PyTorch packs it.

    Padded: each row goes on with padding to the end of the longest. Packed
    (`torch.nn.utils.rnn.pack_padded_sequence`): longest first, and of each step only the sequences
    that still run. How many these are stands in `batch_sizes`; `data` holds their tokens step by
    step.

    Parameters
    ----------
    sequences
        Words, of which each letter is a token, or lists of tokens.
    pad
        How padding is written.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no sequence, one is empty, or they are too many or too long.

    Examples
    --------
    >>> figure = padded_batch(["tea", "it", "time", "a"])
    >>> words = padded_batch([["I", "see"], ["no"]], pad="<pad>")
    """
    if not sequences:
        raise ValueError("sequences is empty; expected one or more, such as ['tea', 'it']")
    for number, sequence in enumerate(sequences):
        if not sequence:
            raise ValueError(f"sequence {number} is empty; expected one token or more in each")
    return _Batch([[visible(token) for token in sequence] for sequence in sequences], pad).figure()


class _Batch:
    """Places the tokens of a batch: a row is a sequence, a column is a step."""

    def __init__(self, rows: list[list[str]], pad: str) -> None:
        self.rows, self.pad = rows, pad
        self.steps = max(len(row) for row in rows)
        self.order = sorted(range(len(rows)), key=lambda row: -len(rows[row]))
        self.batch_sizes = [sum(len(row) > step for row in rows) for step in range(self.steps)]
        tokens = {token for row in rows for token in row} | {pad}
        widest = max(text_width(token) for token in tokens)
        self.pitch = max(PITCH, widest + 2 * PADDING + BETWEEN)
        self.left = text_width(str(len(rows))) + BESIDE
        if len(rows) > (fit := int((ROOM - DATA) / self.pitch)):
            raise ValueError(
                f"sequences has {len(rows)} entries, and there is room for {fit} tokens of one "
                "step; show fewer"
            )
        self.canvas = Canvas()

    def figure(self) -> Figure:
        """Draw both tensors, beside each other where there is room, and `data` below."""
        padded, packed = self.canvas.part("padded"), self.canvas.part("packed")
        self.draw_padded(padded)
        self.draw_packed(packed)
        left, right = padded.extent(), packed.extent()
        widest = max(left.width, right.width)
        if widest > ROOM:
            raise ValueError(
                f"the longest sequence has {self.steps} tokens, which need {widest:.1f} inches, "
                f"and {ROOM:.1f} are there; show shorter sequences"
            )
        if left.width + GAP + right.width <= ROOM:
            packed.move(left.width + GAP, 0.0)
            bottom = min(left.y0, right.y0)
        else:
            packed.move(0.0, left.y0 - HEADING)
            bottom = left.y0 - HEADING + right.y0
        self.draw_data(bottom - 0.3)
        return self.canvas.figure()

    def draw_token(
        self, canvas: Canvas, name: str, left: float, y: float, token: str, *, muted: bool = False
    ) -> None:
        """Draw a token in its box; `left` is where its place begins."""
        size = (self.pitch - BETWEEN, HEIGHT)
        centre = (left + self.pitch / 2, y)
        canvas.box(name, centre, size, token, "input", muted=muted, thin=True, radius=CORNER)

    def draw_row(self, canvas: Canvas, place: int, row: int) -> None:
        """Draw the number of a sequence and its tokens."""
        y = -HEADING - place * ROW
        canvas.label(f"row-{row}", (0.0, y), str(row), role="muted", align="left")
        for step, token in enumerate(self.rows[row]):
            left = self.left + step * self.pitch
            self.draw_token(canvas, f"{row}-{step + 1}", left, y, token)

    def draw_padded(self, canvas: Canvas) -> None:
        """Draw the padded tensor and the lengths."""
        end = self.left + self.steps * self.pitch
        cells, used = len(self.rows) * self.steps, sum(self.batch_sizes)
        heading = f"padded: {cells - used} of {cells} are padding"
        canvas.label("heading", (0.0, 0.0), heading, align="left")
        for row, tokens in enumerate(self.rows):
            self.draw_row(canvas, row, row)
            y = -HEADING - row * ROW
            for step in range(len(tokens), self.steps):
                left = self.left + step * self.pitch
                self.draw_token(canvas, f"{row}-{step + 1}", left, y, self.pad, muted=True)
            canvas.label(f"length-{row}", (end + BESIDE, y), str(len(tokens)), align="left")
        y = -HEADING - len(self.rows) * ROW
        at = (end + BESIDE + text_width("0"), y)
        canvas.label("lengths", at, "lengths", align="right", fixed=True)

    def draw_packed(self, canvas: Canvas) -> None:
        """Draw the sequences, longest first, and how many of them run at each step."""
        canvas.label("heading", (0.0, 0.0), "packed: the longest first", align="left")
        for place, row in enumerate(self.order):
            self.draw_row(canvas, place, row)
        y = -HEADING - len(self.rows) * ROW
        for step, size in enumerate(self.batch_sizes):
            at = (self.left + (step + 0.5) * self.pitch, y)
            canvas.label(f"size-{step + 1}", at, str(size))
        at = (self.left + self.steps * self.pitch + BESIDE, y)
        canvas.label("sizes", at, "batch_sizes", align="left", fixed=True)

    def draw_data(self, y: float) -> None:
        """Draw the tokens of all steps in the order in which they are packed."""
        self.canvas.label("data", (0.0, y), "data", align="left", fixed=True)
        left = DATA
        for step, size in enumerate(self.batch_sizes):
            if left + size * self.pitch > ROOM:
                left, y = DATA, y - ROW - 0.06
            for row in self.order[:size]:
                name = f"data-{row}-{step + 1}"
                self.draw_token(self.canvas, name, left, y, self.rows[row][step])
                left += self.pitch
            left += BETWEEN_STEPS
