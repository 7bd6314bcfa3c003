"""An encoder and a decoder, unrolled, with what goes from one to the other."""

from collections.abc import Collection, Sequence

from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from unrolled.checking import check_choice

from .canvas import ROOM, Canvas, text_width
from .weights import check_pieces, check_weights, thickness

KINDS = ("first state", "every step", "both", "attention")
PARTS = ("encoder", "context", "decoder", "inputs")
BOS, EOS = "<bos>", "<eos>"
TITLES = {None: "decoder", True: "decoder, teacher forcing", False: "decoder, free running"}
#: What stands before a wrong output.
WRONG = "✗ "
#: The role of the context and of all that makes it.
ROLE = "series_1"

# All in inches.
BOX_HEIGHT = 0.42
TALL = BOX_HEIGHT / 2
LEAST = 0.44
PADDING = 0.14
GAP = 0.30
FEEDBACK_GAP = 0.36
#: From the wire that goes back to the box that it enters.
FEEDBACK_TO_BOX = 0.16
#: Boxes that touch are one vector.
STACKED = BOX_HEIGHT + 0.025
ROW = 0.84
TO_CONTEXT = 0.70
TO_QUERY = 0.50
TO_BUS = 0.26
TO_TITLE = 0.24
REACH = 0.12
#: From the panel of the encoder to that of the decoder.
BETWEEN = 0.40
#: Ends of arrows into the context stand so far apart.
APART = 0.09
#: Half the height of a weight that is written.
HALF_LINE = 0.1
#: Where a weight is written along its arrow, from the state.
ALONG = 0.30


def seq2seq_graph(
    kind: str,
    source: Sequence[str],
    target: Sequence[str],
    *,
    summary: str = "last",
    bidirectional: bool = False,
    weights: ArrayLike | None = None,
    step: int = 2,
    look: str = "before",
    teacher_forcing: bool | None = None,
    predicted: Sequence[str] | None = None,
    highlight: Collection[str] = (),
) -> Figure:
    """Draw an encoder and a decoder unrolled over time, and how the context goes between them.

    Time runs from left to right. Boxes that touch are one vector. Whatever the kind, each part
    stands in the same place. Where lines cross without a dot they do not touch.

    Parameters
    ----------
    kind
        What the context does: ``"first state"`` (the decoder begins with it), ``"every step"`` (it
        goes in beside each token), ``"both"``, or ``"attention"`` (each step has a context of its
        own, and one of these is drawn).
    source, target
        The pieces, such as words; ``<bos>`` and ``<eos>`` of the decoder are added.
    summary
        Of which states the context is made: ``"last"`` or ``"mean"``; not with attention.
    bidirectional
        Whether a state of the encoder is a pair, of both directions; with attention or the mean.
    weights
        With attention: what the step takes of each state, of shape ``(source,)``. The thicker the
        arrow, the larger the weight.
    step
        With attention: the step of the decoder that looks, from 1.
    look
        With attention: ``"before"`` the step (the state before it asks, and the context goes in
        beside the token; Bahdanau et al. 2015) or ``"after"`` it (its own state asks, and the
        context goes to the output; Luong et al. 2015).
    teacher_forcing
        `True`: the true tokens go in. `False`: the output of a step goes in at the next. `None`:
        the drawing does not speak of it, and shows the true tokens.
    predicted
        What the decoder says, one token a step, ``<eos>`` included; the target if not given. A
        cross stands before one that is wrong.
    highlight
        Parts that stand out, the others are muted: ``"encoder"``, ``"context"``, ``"decoder"``,
        ``"inputs"`` (what goes in at the bottom of the decoder).

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the options contradict each other, weights are no weights, or there is no room.

    Examples
    --------
    >>> source, target = ["seventy", "three"], ["drei", "und", "siebzig"]
    >>> plain = seq2seq_graph("first state", source, target)
    >>> looking = seq2seq_graph(
    ...     "attention", source, target, weights=[0.9, 0.1], step=3, highlight=["context"]
    ... )
    >>> alone = seq2seq_graph(
    ...     "first state",
    ...     source,
    ...     target,
    ...     teacher_forcing=False,
    ...     predicted=["sieben", "und", "dreißig", "<eos>"],
    ... )
    """
    check_choice(KINDS, kind=kind)
    check_choice(("last", "mean"), summary=summary)
    check_choice(("before", "after"), look=look)
    for part in highlight:
        check_choice(PARTS, highlight=part)
    check_pieces(source=source, target=target)
    states = len(source)
    if kind == "attention":
        if weights is None:
            raise ValueError(
                "weights is None; expected, with attention, a weight for each piece of source"
            )
        mixed = check_weights(weights, (states,), "weights", "source").tolist()
        if summary != "last":
            raise ValueError("summary is 'mean' with attention, which has weights instead")
        if not 1 <= step <= len(target) + 1:
            raise ValueError(
                f"step is {step}; expected 1 to {len(target) + 1}, as target has {len(target)} "
                f"pieces and {EOS}"
            )
    elif weights is not None:
        raise ValueError(f"weights was given with {kind!r}; expected it with 'attention' alone")
    else:
        mixed = [1 / states if summary == "mean" else float(k == states) for k in _from_1(states)]
    if bidirectional and kind != "attention" and summary == "last":
        raise ValueError(
            "bidirectional was given with summary 'last', whose two ends lie in two states; "
            "expected summary='mean' or 'attention'"
        )
    true = [*target, EOS]
    said = true if predicted is None else _checked(predicted, true, teacher_forcing)
    fed = said if teacher_forcing is False else true
    drawing = _Drawing(
        source,
        [BOS, *fed[:-1]],
        _crossed(said, true),
        highlight=highlight,
        bidirectional=bidirectional,
        feedback=teacher_forcing is False,
        # Below each token there is room for a context.
        stacked=kind in ("every step", "both") or (kind == "attention" and look == "before"),
    )
    drawing.draw_encoder()
    drawing.draw_decoder(TITLES[teacher_forcing])
    if kind == "attention":
        drawing.draw_look(mixed, step, after=look == "after")
    else:
        drawing.draw_context(mixed, kind)
    return drawing.canvas.figure()


def _checked(predicted: Sequence[str], true: list[str], teacher_forcing: bool | None) -> list[str]:
    check_pieces(predicted=predicted)
    if teacher_forcing is not False and len(predicted) != len(true):
        raise ValueError(
            f"predicted has {len(predicted)} tokens; expected {len(true)}, one for each piece of "
            f"target and one for {EOS}"
        )
    return list(predicted)


def _crossed(said: list[str], true: list[str]) -> list[str]:
    """Mark what is wrong."""
    right = [*true, *[""] * len(said)]
    return [
        word if word == other else WRONG + word for word, other in zip(said, right, strict=False)
    ]


class _Drawing:
    """Places encoder and decoder on a canvas. A column is a moment, a row is a depth."""

    def __init__(
        self,
        source: Sequence[str],
        fed: Sequence[str],
        said: Sequence[str],
        *,
        highlight: Collection[str],
        bidirectional: bool,
        feedback: bool,
        stacked: bool,
    ) -> None:
        self.source, self.fed, self.said = source, fed, said
        self.highlight = highlight
        self.bidirectional, self.feedback, self.stacked = bidirectional, feedback, stacked
        self.canvas = Canvas()
        self.widths = {
            "encoder": _width([*source, _label("h", len(source))]),
            "decoder": _width([*fed, *said, _label("s", len(said))]),
        }
        first = (len(source) - 1) * (self.widths["encoder"] + GAP)
        first += (self.widths["encoder"] + self.widths["decoder"]) / 2 + BETWEEN + 2 * REACH
        gap = FEEDBACK_GAP if feedback else GAP
        self.columns = {
            "encoder": [k * (self.widths["encoder"] + GAP) for k in range(len(source))],
            "decoder": [first + k * (self.widths["decoder"] + gap) for k in range(len(said))],
        }
        self.gap = gap
        #: Where what comes from the encoder goes up or down.
        self.between = self.left("decoder", 0) - REACH - BETWEEN / 2
        whole = self.right("decoder", -1) - self.left("encoder", 0) + 2 * REACH
        if whole > ROOM:
            raise ValueError(
                f"source and target need {whole:.1f} inches and {ROOM:.1f} are there; show fewer "
                "or shorter pieces"
            )
        self.bus = -(STACKED if stacked else 0.0) - TALL - TO_BUS
        self.low = self.bus if stacked else -TALL
        self.low -= TO_TITLE
        self.state_top = ROW + TALL + (STACKED if bidirectional else 0.0)
        self.output = 2 * ROW
        self.context = (sum(self.columns["encoder"]) / len(source), self.output + TO_CONTEXT)

    # Where things are.

    def left(self, part: str, column: int) -> float:
        """Return the left side of the boxes of a column."""
        return self.columns[part][column] - self.widths[part] / 2

    def right(self, part: str, column: int) -> float:
        """Return the right side of the boxes of a column."""
        return self.columns[part][column] + self.widths[part] / 2

    def muted(self, part: str) -> bool:
        """Whether a part stands back behind others."""
        return bool(self.highlight) and part not in self.highlight

    # The two networks.

    def draw_panel(self, part: str, title: str, top: float) -> None:
        """Draw the ground of a network, and its name."""
        left, right = self.left(part, 0) - REACH, self.right(part, -1) + REACH
        self.canvas.panel(part, (left, self.low - TO_TITLE * 0.75), (right, top + REACH))
        self.canvas.label(part, (left + REACH, self.low), title, role="muted", align="left")

    def draw_encoder(self) -> None:
        """Draw the encoder: its pieces and its states, pairs where it reads both ways."""
        self.draw_panel("encoder", "encoder", self.state_top)
        width, muted = self.widths["encoder"], self.muted("encoder")
        size = (width, BOX_HEIGHT)
        for k, (x, piece) in enumerate(zip(self.columns["encoder"], self.source, strict=True)):
            name = str(k + 1)
            self.canvas.box(f"source-{name}", (x, 0.0), size, piece, "input", muted=muted)
            self.canvas.wire(
                f"source-{name}-encoder-{name}", [(x, TALL), (x, ROW - TALL)], muted=muted
            )
            for high, suffix in enumerate(("", "-backward")[: 1 + self.bidirectional]):
                label = _label("h", k + 1, ("right", "left")[high] if self.bidirectional else "")
                y = ROW + high * STACKED
                self.canvas.box(
                    f"encoder-{name}{suffix}", (x, y), size, label, "state", muted=muted
                )
                if k:
                    ends = [(self.right("encoder", k - 1), y), (self.left("encoder", k), y)]
                    way, before = (ends[::-1], f"{k + 1}-{k}") if high else (ends, f"{k}-{k + 1}")
                    self.canvas.wire(f"encoder-{before}{suffix}", way, muted=muted)

    def draw_decoder(self, title: str) -> None:
        """Draw the decoder: what goes in, its states, and what it says."""
        self.draw_panel("decoder", title, self.output + TALL)
        muted, fed_muted = self.muted("decoder"), self.muted("inputs") and self.muted("decoder")
        size = (self.widths["decoder"], BOX_HEIGHT)
        for k, x in enumerate(self.columns["decoder"]):
            name = str(k + 1)
            self.canvas.box(f"input-{name}", (x, 0.0), size, self.fed[k], "input", muted=fed_muted)
            way = [(x, TALL), (x, ROW - TALL)]
            self.canvas.wire(f"input-{name}-decoder-{name}", way, muted=fed_muted)
            label = _label("s", k + 1)
            self.canvas.box(f"decoder-{name}", (x, ROW), size, label, "state", muted=muted)
            way = [(x, ROW + TALL), (x, self.output - TALL)]
            self.canvas.wire(f"decoder-{name}-output-{name}", way, muted=muted)
            out = (x, self.output)
            self.canvas.box(f"output-{name}", out, size, self.said[k], "output", muted=muted)
            if k:
                way = [(self.right("decoder", k - 1), ROW), (self.left("decoder", k), ROW)]
                self.canvas.wire(f"decoder-{k}-{name}", way, muted=muted)
            if k and self.feedback:
                side = self.left("decoder", k)
                wire = side - FEEDBACK_TO_BOX
                way = [(self.right("decoder", k - 1), self.output), (wire, self.output)]
                way += [(wire, 0.0), (side, 0.0)]
                self.canvas.wire(f"output-{k}-input-{name}", way, role="output", muted=fed_muted)

    # What goes from one to the other.

    def draw_mix(self, weights: list[float], label: str, *, named: bool) -> None:
        """Draw the arrows from the states into the context, as thick as their weights."""
        muted = self.muted("context")
        x, y = self.context
        size = (self.widths["encoder"], BOX_HEIGHT)
        self.canvas.box("context", (x, y), size, label, ROLE, muted=muted)
        for k, (start, weight) in enumerate(zip(self.columns["encoder"], weights, strict=True)):
            if not weight and not named:
                continue
            end = x + APART * (k - (len(weights) - 1) / 2)
            low, high = self.state_top, y - TALL
            self.canvas.wire(
                f"encoder-{k + 1}-context",
                [(start, low), (end, high)],
                role=ROLE,
                muted=muted,
                width=thickness(weight),
            )
            if named:
                side = -1 if start < x - 0.01 else 1
                # Beside the line, and further from one that leans.
                away = 0.06 + thickness(weight) / 144 + HALF_LINE * abs(end - start) / (high - low)
                at = start + ALONG * (end - start) + side * away
                align = "right" if side < 0 else "left"
                self.canvas.label(
                    f"weight-{k + 1}",
                    (at, low + ALONG * (high - low)),
                    f"{weight:.2g}",
                    role=ROLE,
                    align=align,
                    muted=muted,
                )

    def draw_contexts(self, labels: list[str], bright: Collection[int]) -> None:
        """Draw a context below each token: both together are the input of the step."""
        size = (self.widths["decoder"], BOX_HEIGHT)
        for k, (x, label) in enumerate(zip(self.columns["decoder"], labels, strict=True)):
            at, back = (x, -STACKED), self.muted("context") or k + 1 not in bright
            self.canvas.box(f"context-{k + 1}", at, size, label, ROLE, muted=back)

    def draw_context(self, weights: list[float], kind: str) -> None:
        """Draw one context for all steps."""
        muted = self.muted("context")
        self.draw_mix(weights, "$c$", named=False)
        x, y = self.between, self.context[1]
        start = (self.context[0] + self.widths["encoder"] / 2, y)
        if kind != "every step":
            end = (self.left("decoder", 0), ROW)
            way = [start, (x, y), (x, ROW), end]
            self.canvas.wire("context-decoder-1", way, role=ROLE, muted=muted)
        if kind == "first state":
            return
        steps = len(self.said)
        self.draw_contexts(["$c$"] * steps, range(1, steps + 1))
        if kind == "both":
            self.canvas.dot("context", (x, ROW), role=ROLE, muted=muted)
            start, y = (x, ROW), ROW
        bottom = -STACKED - TALL
        for k, column in enumerate(self.columns["decoder"]):
            way = [(column, self.bus), (column, bottom)]
            if k + 1 == steps:
                way = [start, *[(x, y)][: start[0] != x], (x, self.bus), *way]
            else:
                self.canvas.dot(f"context-{k + 1}", (column, self.bus), role=ROLE, muted=muted)
            self.canvas.wire(f"context-context-{k + 1}", way, role=ROLE, muted=muted)

    def draw_look(self, weights: list[float], step: int, *, after: bool) -> None:
        """Draw the look of one step: its query, its weights, its context."""
        muted, steps = self.muted("context"), len(self.said)
        # The decoder begins with the last state of the encoder, or with the pair of both ends.
        end = self.right("encoder", -1) + (REACH if self.bidirectional else 0.0)
        way = [(end, ROW), (self.left("decoder", 0), ROW)]
        self.canvas.wire("encoder-decoder", way, muted=self.muted("decoder"))
        self.draw_mix(weights, f"$c_{{{step}}}$", named=True)
        (x, y), column = self.context, self.columns["decoder"][step - 1]
        start = (x + self.widths["encoder"] / 2, y)
        if after:
            way = [start, (column, y), (column, self.output + TALL)]
            self.canvas.wire(f"context-output-{step}", way, role=ROLE, muted=muted)
            at = self.right("decoder", step - 1) + self.gap * 0.4
        else:
            self.draw_contexts([f"$c_{{{k}}}$" for k in _from_1(steps)], [step])
            way = [start, (self.between, y), (self.between, self.bus), (column, self.bus)]
            way += [(column, -STACKED - TALL)]
            self.canvas.wire(f"context-context-{step}", way, role=ROLE, muted=muted)
            at = self.left("decoder", step - 1) - self.gap * 0.6
        if after and step == steps:
            stub = [(self.right("decoder", -1), ROW), (at, ROW)]
            self.canvas.wire(f"decoder-{steps}-query", stub, arrow=False, role="state", muted=muted)
        self.canvas.dot("query", (at, ROW), role="state", muted=muted)
        high = y + TO_QUERY
        way = [(at, ROW), (at, high), (x, high), (x, y + TALL)]
        self.canvas.wire("query-context", way, role="state", dashed=True, muted=muted)
        label = f"query: $s_{{{step if after else step - 1}}}$"
        self.canvas.label(
            "query", (x + 0.1, high + 0.13), label, role="state", align="left", muted=muted
        )


def _label(letter: str, step: int, arrow: str = "") -> str:
    return rf"$\over{arrow}arrow{{{letter}}}_{{{step}}}$" if arrow else f"${letter}_{{{step}}}$"


def _width(labels: list[str]) -> float:
    return max(LEAST, max(text_width(label) for label in labels) + PADDING)


def _from_1(count: int) -> range:
    return range(1, count + 1)
