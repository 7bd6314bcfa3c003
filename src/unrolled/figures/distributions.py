"""Probabilities of the next token, as small bar charts."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from matplotlib.figure import Figure

from .canvas import MARGIN, Canvas, text_width
from .style import SMALL_SIZE, WIDTH
from .text import visible

OTHERS = "all others"
#: How far probabilities may be from a sum of 1, as rounded ones are.
TOLERANCE = 1e-3

# All in inches.
BAR_HEIGHT = 0.17
BAR_PITCH = 0.25
SHORTEST = 0.7
LONGEST = 2.4
#: From the end of a bar to that of its number.
NUMBER = 0.48
NEAR = 0.07
BETWEEN = 0.28
TITLE = 0.30
UNIT = 0.12
BELOW = 0.16


def distributions(
    panels: Mapping[str, Mapping[str, float]], *, top: int = 5, shared: bool = False
) -> Figure:
    """Draw probability distributions over tokens, a panel of bars for each.

    All bars have one scale, so that panels can be compared. A space is drawn as ␣, a newline as ↵,
    a tab as ⇥.

    Parameters
    ----------
    panels
        Label, such as the context: token: probability. The probabilities of a panel sum to 1.
    top
        How many tokens a panel shows; one more bar stands for all others.
    shared
        Whether all panels show the same tokens in the same order: those with the highest mean
        probability. Else each shows the most probable tokens of its own.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no panel, `top` is below 1, probabilities are negative or do not sum to 1, or a
        label or a token is too long for the page.

    Examples
    --------
    >>> figure = distributions({"th": {"e": 0.6, "a": 0.2, "i": 0.2}, "q": {"u": 0.98, ".": 0.02}})
    >>> cold_and_hot = distributions(
    ...     {"temperature 0.5": {"a": 0.8, "b": 0.2}, "temperature 2": {"a": 0.6, "b": 0.4}},
    ...     shared=True,
    ... )
    """
    if not panels:
        raise ValueError("panels is empty; expected at least one label with its probabilities")
    if top < 1:
        raise ValueError(f"top is {top}; expected 1 or more")
    for label, given in panels.items():
        _check(label, given)
    canvas = Canvas()
    chosen = [
        _Panel.of(label, given, panels if shared else {label: given}, top)
        for label, given in panels.items()
    ]
    _Chart(chosen, shared=shared).draw(canvas)
    return canvas.figure()


def _check(label: str, probabilities: Mapping[str, float]) -> None:
    if not probabilities:
        raise ValueError(f"panel {label!r} is empty; expected tokens with their probabilities")
    for token, p in probabilities.items():
        if not (math.isfinite(p) and p >= 0):
            raise ValueError(
                f"panel {label!r} gives {token!r} the probability {p}; expected 0 to 1"
            )
    total = sum(probabilities.values())
    if abs(total - 1) > TOLERANCE:
        raise ValueError(
            f"the probabilities of panel {label!r} sum to {total:.4g}; expected 1: give every "
            "token, the rare ones too"
        )


class _Panel(NamedTuple):
    """A label and the length of each bar below it; `rest` is that of all others, if there are."""

    label: str
    bars: list[tuple[str, float]]
    rest: float | None

    @classmethod
    def of(
        cls,
        label: str,
        given: Mapping[str, float],
        ranked_by: Mapping[str, Mapping[str, float]],
        top: int,
    ) -> "_Panel":
        """Choose the tokens that have the highest sum over some distributions."""
        total: dict[str, float] = {}
        for probabilities in ranked_by.values():
            for token, p in probabilities.items():
                total[token] = total.get(token, 0.0) + p
        # Tokens of equal probability stay in the order in which they were given.
        tokens = sorted(total, key=lambda token: -total[token])
        bars = [(visible(token), given.get(token, 0.0)) for token in tokens[:top]]
        rest = sum(given.get(token, 0.0) for token in tokens[top:])
        return cls(label, bars, rest if len(tokens) > top else None)

    @property
    def rows(self) -> list[tuple[str, float]]:
        """All bars from top to bottom."""
        return self.bars if self.rest is None else [*self.bars, (OTHERS, self.rest)]


class _Chart:
    """Places as many panels side by side as fit, and the others below."""

    def __init__(self, panels: list[_Panel], *, shared: bool) -> None:
        self.panels = panels
        rows = [row for panel in panels for row in panel.rows]
        self.tokens = NEAR + max(text_width(token) for token, _ in rows)
        # Shared tokens stand once, left of all panels; else each panel has its own.
        self.margin = self.tokens if shared else 0.0
        beside = NUMBER + self.tokens - self.margin
        room = WIDTH - 2 * MARGIN - self.margin
        title = max(text_width(panel.label) for panel in panels)
        needed = max(title, SHORTEST + beside)
        fit = int((room + BETWEEN) / (needed + BETWEEN))
        if fit < 1:
            raise ValueError(
                f"a panel with such labels needs {needed:.1f} inches and {room:.1f} are there; "
                "shorten them"
            )
        lines = math.ceil(len(panels) / fit)
        self.columns = math.ceil(len(panels) / lines)
        widest = (room + BETWEEN) / self.columns - BETWEEN
        self.width = min(widest, max(title, LONGEST + beside))
        self.scale = (self.width - beside) / max(p for _, p in rows)
        self.height = TITLE + max(len(panel.rows) for panel in panels) * BAR_PITCH + BELOW

    def draw(self, canvas: Canvas) -> None:
        """Draw all panels, and below the first column what the bars are."""
        for number, panel in enumerate(self.panels, start=1):
            line, column = divmod(number - 1, self.columns)
            left = self.margin + column * (self.width + BETWEEN)
            named = not self.margin or column == 0
            bottom = self.draw_panel(
                canvas, number, panel, (left, -line * self.height), named=named
            )
            if column == 0:
                at = (left + self.tokens - self.margin, bottom - UNIT)
        canvas.label("unit", at, "probability", role="muted", size=SMALL_SIZE, align="left")

    def draw_panel(
        self,
        canvas: Canvas,
        number: int,
        panel: _Panel,
        corner: tuple[float, float],
        *,
        named: bool,
    ) -> float:
        """Draw a panel below and to the right of a corner; return where its bars end below."""
        left, top = corner
        canvas.label(str(number), corner, panel.label, align="left")
        start = left + self.tokens - self.margin
        y = top - TITLE + BAR_PITCH
        for index, (token, p) in enumerate(panel.rows, start=1):
            y -= BAR_PITCH
            name, others = f"{number}-{index}", index > len(panel.bars)
            if named:
                at = (start - NEAR, y)
                canvas.label(f"token-{name}", at, token, align="right", muted=others)
            if p * self.scale > 0:
                centre, size = (start + p * self.scale / 2, y), (p * self.scale, BAR_HEIGHT)
                canvas.box(name, centre, size, "", "output", muted=others, radius=0)
            at = (start + p * self.scale + NEAR, y)
            canvas.label(
                f"value-{name}", at, _written(p), size=SMALL_SIZE, align="left", muted=others
            )
        bottom = y - BAR_PITCH / 2
        ends = [(start, top - TITLE + BAR_PITCH / 2), (start, bottom)]
        canvas.wire(f"zero-{number}", ends, role="muted", arrow=False)
        return bottom


def _written(p: float) -> str:
    """Return a probability with two digits, never rounded to a certainty."""
    if 0 < p < 0.005:
        return "<0.01"
    if 0.995 <= p < 1:
        return ">0.99"
    return f"{p:.2f}"
