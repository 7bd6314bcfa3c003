"""The tree that a beam search grows: what it keeps, what it drops, where greedy decoding goes."""

from collections.abc import Collection, Mapping

from matplotlib.figure import Figure

from .canvas import MARGIN, Canvas, text_width
from .seq2seq import BOS, EOS
from .style import SMALL_SIZE, WIDTH

Prefix = tuple[str, ...]

#: Roles of a hypothesis that is kept, and of the greedy path.
KEPT, GREEDY = "output", "series_2"
GREEDY_WIDTH = 3.2
#: Scores were rounded: that of a longer prefix may seem to be a little higher.
ROUNDED = 0.01

# All in inches.
BOX_HEIGHT = 0.32
TALL = BOX_HEIGHT / 2
LEAST = 0.36
PADDING = 0.12
#: On a phone, small text can be read in figures of this width.
ROOM = WIDTH - 2 * MARGIN
#: From hypothesis to hypothesis.
ROW = 0.62
TO_SCORE = 0.12
#: From a box to where its branches part.
TO_FORK = 0.11
#: What a branch is longer than its number.
BESIDE = 0.09
TO_NUMBER = 0.11
TO_NAME = 0.10
TALLEST = 9.0


def beam_tree(scores: Mapping[Prefix, float], kept: Collection[Prefix]) -> Figure:
    """Draw a small beam search: each prefix that was scored, and which of them were kept.

    Time runs from left to right; the best prefix is on top. On a branch stands the log-probability
    of its token, under a box that of the whole prefix. Dropped hypotheses are dashed. The thick
    way is that of greedy decoding, which takes the best token at each step; "best" stands at the
    kept hypothesis with the highest log-probability that has ended with ``<eos>``.

    Parameters
    ----------
    scores
        Prefix, without ``<bos>``: its log-probability. All beginnings of a prefix are there too.
    kept
        The prefixes that the search kept.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        If a prefix is not a tuple of tokens.
    ValueError
        If a beginning is missing or was dropped, a log-probability is not one, or there is no room.

    Examples
    --------
    >>> figure = beam_tree(
    ...     {
    ...         ("a",): -0.5,
    ...         ("b",): -0.9,
    ...         ("a", "<eos>"): -1.7,
    ...         ("a", "b"): -1.9,
    ...         ("b", "<eos>"): -1.1,
    ...     },
    ...     kept=[("a",), ("b",), ("b", "<eos>"), ("a", "<eos>")],
    ... )
    """
    _check(scores, kept)
    return _Tree(scores, kept).figure()


def _check(scores: Mapping[Prefix, float], kept: Collection[Prefix]) -> None:
    if not scores:
        raise ValueError("scores is empty; expected a log-probability for each prefix")
    for prefix in (*scores, *kept):
        if not isinstance(prefix, tuple) or not prefix:
            raise TypeError(
                f"{prefix!r} is no prefix; expected a tuple of tokens, such as ('drei', 'und')"
            )
    for prefix, score in scores.items():
        before = prefix[:-1]
        if before and before not in scores:
            raise ValueError(
                f"scores has {prefix!r} and not {before!r}; expected all beginnings of a prefix"
            )
        if not score <= (scores[before] if before else 0.0) + ROUNDED:
            raise ValueError(
                f"the score of {prefix!r} is {score:g}, above that of its beginning; expected the "
                "log-probability of the whole prefix, which falls with each token"
            )
    for prefix in kept:
        if prefix not in scores:
            raise ValueError(f"kept has {prefix!r}, which has no score")
        if prefix[:-1] and prefix[:-1] not in kept:
            raise ValueError(
                f"kept has {prefix!r} and not {prefix[:-1]!r}; a search goes on from what it kept"
            )


class _Tree:
    """Places prefixes on a canvas: a column is a step, a row is a hypothesis."""

    def __init__(self, scores: Mapping[Prefix, float], kept: Collection[Prefix]) -> None:
        self.scores, self.kept = {(): 0.0, **scores}, {(), *kept}
        ordered = sorted(scores, key=lambda prefix: -scores[prefix])
        self.children = {
            prefix: [longer for longer in ordered if longer[:-1] == prefix]
            for prefix in self.scores
        }
        self.greedy: Prefix = ()
        while self.children[self.greedy]:
            self.greedy = self.children[self.greedy][0]
        self.heights: dict[Prefix, float] = {}
        self.rows = 0
        self.place(())
        self.names = {prefix: str(k) for k, prefix in enumerate(self.scores)}
        self.lefts, self.widths = self.columns()
        ends = [self.behind(prefix) + text_width(mark) for prefix, mark in self.marks().items()]
        whole = max(self.lefts[-1] + self.widths[-1], *ends)
        if whole > ROOM:
            raise ValueError(
                f"the tree needs {whole:.1f} inches and {ROOM:.1f} are there; show fewer steps or "
                "shorter tokens"
            )
        if self.rows * ROW > TALLEST:
            raise ValueError(
                f"the tree has {self.rows} ends, and there is room for {int(TALLEST / ROW)}; leave "
                "out prefixes that were dropped"
            )

    def place(self, prefix: Prefix) -> float:
        """Give a prefix its height: the middle of what comes after it."""
        below = [self.place(longer) for longer in self.children[prefix]]
        if not below:
            below = [-self.rows * ROW]
            self.rows += 1
        self.heights[prefix] = (below[0] + below[-1]) / 2
        return self.heights[prefix]

    def columns(self) -> tuple[list[float], list[float]]:
        """Return where the boxes of each step begin, and how wide they are."""
        lefts, widths, x = [], [], 0.0
        for step in range(1 + max(map(len, self.scores))):
            here = [prefix for prefix in self.scores if len(prefix) == step]
            if step:
                numbers = [text_width(self.number(prefix), SMALL_SIZE) for prefix in here]
                x += TO_FORK + max(numbers) + BESIDE
            labels = [text_width(prefix[-1] if prefix else BOS) for prefix in here]
            lefts.append(x)
            widths.append(max(LEAST, max(labels) + PADDING))
            x += widths[-1]
        return lefts, widths

    def behind(self, prefix: Prefix) -> float:
        """Return where the name of a hypothesis begins."""
        return self.lefts[len(prefix)] + self.widths[len(prefix)] + TO_NAME

    def number(self, prefix: Prefix) -> str:
        """Return the log-probability of the last token."""
        return _written(self.scores[prefix] - self.scores[prefix[:-1]])

    def marks(self) -> dict[Prefix, str]:
        """Return what stands behind which hypothesis."""
        marks = {self.greedy: "greedy"}
        ended = [prefix for prefix in self.kept if prefix[-1:] == (EOS,)]
        if ended:
            best = max(ended, key=self.scores.__getitem__)
            marks[best] = "greedy, best" if best == self.greedy else "best"
        return marks

    def figure(self) -> Figure:
        """Draw the branches, then the hypotheses."""
        canvas = Canvas()
        # Where ways lie on each other, the greedy one is on top, and what was dropped below.
        longer = [prefix for prefix in self.scores if prefix]
        for prefix in sorted(longer, key=lambda p: (p == self.greedy[: len(p)], p in self.kept)):
            self.draw_branch(canvas, prefix)
        for prefix in self.scores:
            self.draw_box(canvas, prefix)
        for prefix, mark in self.marks().items():
            role = GREEDY if prefix == self.greedy else KEPT
            at = (self.behind(prefix), self.heights[prefix])
            canvas.label(f"mark-{self.names[prefix]}", at, mark, role=role, align="left")
        return canvas.figure()

    def draw_box(self, canvas: Canvas, prefix: Prefix) -> None:
        """Draw the last token of a prefix, and the score of the whole below it."""
        step, name, y = len(prefix), self.names[prefix], self.heights[prefix]
        x, dropped = self.lefts[step] + self.widths[step] / 2, prefix not in self.kept
        size = (self.widths[step], BOX_HEIGHT)
        token, role = (prefix[-1], KEPT) if prefix else (BOS, "input")
        canvas.box(name, (x, y), size, token, role, muted=dropped, dashed=dropped)
        if prefix:
            at, score = (x, y - TALL - TO_SCORE), _written(self.scores[prefix])
            canvas.label(f"score-{name}", at, score, size=SMALL_SIZE, muted=dropped)

    def draw_branch(self, canvas: Canvas, prefix: Prefix) -> None:
        """Draw the way from a prefix to a longer one, with its number."""
        step, before = len(prefix), prefix[:-1]
        start = self.lefts[step - 1] + self.widths[step - 1]
        low, high = self.heights[before], self.heights[prefix]
        end, fork = self.lefts[step], start + TO_FORK
        greedy, dropped = prefix == self.greedy[:step], prefix not in self.kept
        way = [(start, low), (end, high)]
        if low != high:
            way[1:1] = [(fork, low), (fork, high)]
        name = f"{self.names[before]}-{self.names[prefix]}"
        role, width = (GREEDY, GREEDY_WIDTH) if greedy else ("ink", None)
        muted = dropped and not greedy
        canvas.wire(name, way, role=role, arrow=False, muted=muted, width=width)
        at = ((fork + end) / 2, high + TO_NUMBER)
        canvas.label(f"number-{name}", at, self.number(prefix), size=SMALL_SIZE, muted=muted)


def _written(score: float) -> str:
    return f"{score:.2f}".replace("-", "\N{MINUS SIGN}")
