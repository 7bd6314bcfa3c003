"""Every figure that the tests look at, and how they look."""

import functools
import io

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from unrolled.figures import (
    activation_text,
    alignment,
    alignments,
    attention_step,
    bars,
    beam_tree,
    cell_diagram,
    checkpointing,
    cliff,
    curves,
    distributions,
    explorer,
    heatmap,
    hidden_states,
    padded_batch,
    panels,
    pictures,
    scan_tree,
    self_attention_graph,
    seq2seq_graph,
    stateful_windows,
    style,
    tagged_text,
    task_shapes,
    text_window,
    unrolled_graph,
    unrolled_graphs,
    wavefront,
)

WORDS = ["What", "time", "is", "it", "?"]
Y = ["$y_1$", "$y_2$", "$y_3$", "$y_4$", "$y_5$"]
WEIGHTS = {"input": "$W_{ih}$", "state": "$W_{hh}$", "output": "$W_{ho}$"}
BACKWARD = {
    "output": "$W_{ho}^\\top$",
    "state": [f"$W_{{hh}}^\\top D_{t}$" for t in (1, 2, 3, 4)],
    "term": [f"$\\delta_{t} h_{t - 1}^\\top$" for t in (1, 2, 3, 4)],
    "weight": "$\\partial L/\\partial W_{hh}$",
}
PHONE = 343  # pixels
SENTENCE = "I am Chinese, my mother tongue is "
STORY = "The Time Traveller (for so it will be convenient to sp"  # 3 * 3 * 6 letters
FILM = [
    (6, 31, "the village"),
    (0, 6, "titles"),
    (28, 34, "a stranger"),
    (40, 71, "the journey"),
    (60, 66, "storm"),
    (108, 120, "the stranger again"),
]


def softmax(temperature):
    scores = np.exp(np.array([2.0, 1.5, 0.7, 0.0, -0.4, -1.0]) / temperature)
    return dict(zip("e \natx", scores / scores.sum(), strict=True))


TEMPERATURES = {f"temperature {t}": softmax(t) for t in (0.5, 1, 2)}
CONTEXTS = {
    "I am Chinese, my mother tongue is": {"Chinese": 0.5, "English": 0.3, "a": 0.15, "no": 0.05},
    "my mother tongue is": {"English": 0.125, "Chinese": 0.25, "French": 0.375, "Welsh": 0.25},
}
LETTERS = list(enumerate("def f(x, y=(1, 2)): go", start=1))
GATE = np.linspace(0.5, 1, len(LETTERS))
PROGRAM = "name = 'a b'  # why\n    go(name)"
KINDS = ("code", "string", "comment")
TRUE_TAGS = [0] * 7 + [1] * 5 + [0] * 2 + [2] * 5 + [0] * 13
TAGS = {
    "truth": TRUE_TAGS,
    # The last letter of the string, and all of the comment but its sign.
    "left to right": [*TRUE_TAGS[:11], 0, 0, 0, 2, *[0] * 4, *TRUE_TAGS[19:]],
    "both directions": [*TRUE_TAGS[:-1], 2],
}
#: Every colour of the ramp, on a letter or on a space.
ACTIVATION = np.roll(np.linspace(-1, 1, len(PROGRAM)), 3)
GATES = ("input gate", "forget gate", "output gate")
#: All parts of an LSTM but its carousel.
LATER = ("candidate", "output", *GATES)
SCANS = np.random.default_rng(2).random((3, 8, 24))


LAGS = np.arange(100)
RADII = (0.5, 0.9, 1.0, 1.5)
AXES = {"xlabel": "way along the negative gradient", "ylabel": "loss (nats)"}
WAY = np.linspace(-0.2, 1, 121)
EDGE = np.where(WAY < 0.1, 2.2, 0.6 + 0.3 * WAY**2 + 1.6 * np.exp(6 - 60 * WAY.clip(0.1)))


def sine(seeds, points=50):
    return np.sin(np.arange(points) / 9) + np.random.default_rng(0).normal(size=(seeds, points)) / 9


def squares(rows, columns):
    return np.tanh(np.random.default_rng(1).normal(size=(rows, columns)))


def kinds():
    return panels(
        {
            "text": LETTERS,
            "speech (made)": np.sin(np.arange(200) / 3),
            "film": FILM,
            "share price (US dollars)": [20, np.nan, 12500.5],
        },
        xlabel={
            "text": "letter",
            "speech (made)": "millisecond",
            "film": "minute",
            "share price (US dollars)": "year",
        },
        x={
            "speech (made)": np.arange(200) / 4,
            "share price (US dollars)": [1990, 1991, 1992],
        },
        colours={"text": "input"},
    )


def gates():
    return panels(
        {"letters": LETTERS, "forget gate": GATE, "cell state": -8 * GATE},
        xlabel="step",
        limits={"forget gate": (0, 1)},
        colours={"letters": "input", "forget gate": "gate", "cell state": "state"},
    )


#: Networks unrolled over time.
NETWORKS = {
    "many to one": lambda: unrolled_graph(WORDS, [None] * 4 + ["question"]),
    "one to many": lambda: unrolled_graph(
        ["image", None, None, None], ["three", "four", "two", "<eos>"], feedback="input"
    ),
    "many to many": lambda: unrolled_graph(WORDS, Y, initial="$h_0$", highlight=[3]),
    "rolled": lambda: unrolled_graph(
        WORDS[:4], Y[:4], initial="$h_0$", weights=WEIGHTS, rolled=True
    ),
    "no read-out": lambda: unrolled_graph(
        WORDS,
        initial="$h_0$",
        weights={"input": "$W_{ih}$", "state": "$W_{hh}$"},
        rolled=True,
    ),
    "language model": lambda: unrolled_graph(
        list("tim"), list("ime"), initial="$h_0$", feedback="input", weights=WEIGHTS, rolled=True
    ),
    "encoder and decoder": lambda: unrolled_graph(
        ["seven", "and", "twenty", "<bos>", None, None],
        [None, None, None, "2", "7", "<eos>"],
        states=["$h_1$", "$h_2$", "$h_3$", "$s_1$", "$s_2$", "$s_3$"],
        feedback="input",
        groups={"encoder": (1, 3), "decoder": (4, 6)},
        losses=[4, 5, 6],
    ),
    "bidirectional": lambda: unrolled_graph(WORDS, Y, bidirectional=True),
    "bidirectional, rolled": lambda: unrolled_graph(
        WORDS[:2], Y[:2], bidirectional=True, rolled=True, weights=WEIGHTS
    ),
    "deep": lambda: unrolled_graph(WORDS[:3], Y[:3], layers=3, initial="$h_0$", rolled=True),
    "deep, residual, dropout": lambda: unrolled_graph(
        WORDS[:4], Y[:4], layers=3, residual=True, dropout=True
    ),
    "deep, residual": lambda: unrolled_graph(
        WORDS[:4],
        [None] * 3 + ["class"],
        layers=3,
        initial="$h_0$",
        weights=WEIGHTS,
        highlight=[2],
        residual=True,
    ),
    "deep, dropout": lambda: unrolled_graph(
        ["a", None, "c"], Y[:3], layers=2, initial="$h_0$", rolled=True, dropout=True
    ),
    "deep and bidirectional": lambda: unrolled_graph(
        WORDS[:3], Y[:3], layers=2, bidirectional=True, initial="$h_0$"
    ),
    "jordan, unrolled": lambda: unrolled_graph(
        WORDS[:3], Y[:3], feedback="state", initial="$y_0$", weights=WEIGHTS, rolled=True
    ),
    "gradients": lambda: unrolled_graph(
        WORDS[:4], Y[:4], layers=2, initial="$h_0$", losses=[2, 4], gradients=True
    ),
    "backward pass": lambda: unrolled_graph(
        WORDS[:4],
        Y[:4],
        initial="$h_0$",
        weights=WEIGHTS,
        losses=[1, 2, 3, 4],
        gradients=True,
        gradient_labels=BACKWARD,
    ),
    "one weight, in numbers": lambda: unrolled_graph(
        ["1", "-0.5", "2"],
        [None, None, "0.3"],
        states=["0.46", "-0.12", "0.95"],
        initial="0",
        losses=[3],
        gradients=True,
        gradient_labels={
            "loss": "-0.7",
            "output": "0.25",
            "state": ["-0.38", "0.41", "0.05"],
            "term": ["0", "0.19", "-0.01"],
            "weight": "0.18",
        },
    ),
    "gradients that are cut": lambda: unrolled_graph(
        ["a", "b", "c", "d", "e", "f"],
        [*Y, "$y_6$"],
        initial="$h_0$",
        groups={"window 1": (1, 3), "window 2": (4, 6)},
        losses=range(1, 7),
        gradients=True,
        cut_after=[3],
    ),
    "gradients that are cut, with a weight": lambda: unrolled_graph(
        [None] * 5,
        [None] * 4 + ["class"],
        losses=[5],
        gradients=True,
        gradient_labels={"state": "$W_{hh}^\\top$", "weight": "$dL/dW_{hh}$"},
        cut_after=[2],
    ),
    "shapes of tasks": task_shapes,
    "several networks": lambda: unrolled_graphs(
        {
            "encoder and decoder": {
                "inputs": ["a", "b", None],
                "outputs": [None, None, "c"],
                "groups": {"encoder": (1, 2), "decoder": (3, 3)},
            },
            "deep, with an initial state": {"inputs": ["a", "b"], "layers": 2, "initial": "$h_0$"},
            "rolled": {"inputs": ["a"], "outputs": ["b"], "rolled": True},
        },
        notes={"rolled": "one step with a loop, and a long example of a task"},
    ),
    "h_n, two layers, both directions": lambda: hidden_states(2, bidirectional=True),
    "h_n, both directions": lambda: hidden_states(1, bidirectional=True),
    "h_n, three layers": lambda: hidden_states(3, bidirectional=False, steps=4),
    "h_n, one step": lambda: hidden_states(1, bidirectional=True, steps=1),
}
CELLS = {
    "rnn": lambda: cell_diagram("rnn"),
    "rnn, highlighted": lambda: cell_diagram("rnn", ["state", "sum"]),
    "rnn, backward": lambda: cell_diagram("rnn", gradients=True),
    "rnn, backward, highlighted": lambda: cell_diagram("rnn", ["tanh"], gradients=True),
    "jordan": lambda: cell_diagram("jordan"),
    "lstm": lambda: cell_diagram("lstm"),
    "lstm, highlighted": lambda: cell_diagram("lstm", ["forget gate"], without=["output gate"]),
    "lstm, carousel": lambda: cell_diagram("lstm", without=LATER),
    "lstm, no gates": lambda: cell_diagram("lstm", without=GATES),
    "gru": lambda: cell_diagram("gru"),
    "gru, reset before": lambda: cell_diagram("gru-before"),
    "gru, no update gate": lambda: cell_diagram("gru", without=["update gate"]),
}
PLOTS = {
    "curves": lambda: curves(
        np.arange(50),
        {"training": sine(4) + 2, "held out": sine(4) + 2.01, "shuffled": sine(1)[0] + 2.02},
        xlabel="step",
        ylabel="loss (bits per character)",
        baselines={"always the commonest": 1.2, "uniform": 3.1},
    ),
    "curves, logarithmic": lambda: curves(
        np.arange(1, 51),
        {name: np.exp(-np.arange(50) / scale) for name, scale in (("RNN", 5), ("LSTM", 20))},
        xlabel="steps back",
        ylabel="norm of the gradient",
        xscale="log",
        yscale="log",
        colours={"LSTM": "gate"},
    ),
    "curves, theory": lambda: curves(
        LAGS,
        {f"radius {r}": r**LAGS * np.exp(np.outer([0, 0.01], -LAGS)) for r in RADII},
        xlabel="steps back",
        ylabel="norm of the Jacobian",
        yscale="log",
        theory={f"radius {r}": r**LAGS for r in RADII},
    ),
    "bars": lambda: bars(
        LAGS[:20],
        {"RNN": 0.8 ** LAGS[:20] * np.cos(LAGS[:20]), "LSTM": 0.4 * 0.95 ** LAGS[:20]},
        xlabel="steps back",
        ylabel="share of the gradient",
        colours={"LSTM": "gate"},
    ),
    "bars, one row": lambda: bars(
        [1, 2, 3, 4],
        {"term of each step": [0.1, -0.2, 0.3, 0.5]},
        xlabel="step",
        ylabel="dL/dw",
        colours={"term of each step": "gradient"},
    ),
    "cliff": lambda: cliff(
        WAY, EDGE, start=0.11, steps={"clipped": 0.16, "not clipped": 81234.5}, **AXES
    ),
    "cliff, within the picture": lambda: cliff(
        WAY, EDGE, start=0.5, steps={"clipped": 0.3, "not clipped": -0.1, "other": 0.8}, **AXES
    ),
    "explorer": explorer,
    "heatmap, signed": lambda: heatmap(
        squares(8, 5),
        columns=WORDS,
        xlabel="word",
        ylabel="unit",
        colourbar="state",
        limits=(-1, 1),
        values=".1f",
    ),
    "heatmap, letters": lambda: heatmap(
        squares(16, 16),
        columns=list("What time is it?"),
        xlabel="letter",
        ylabel="unit",
        colourbar="state",
        limits=(-1, 1),
    ),
    "heatmap, positive": lambda: heatmap(
        abs(squares(3, 6)), rows=["un", "deux", "<eos>"], xlabel="a", ylabel="b", colourbar="weight"
    ),
    "heatmap, large": lambda: heatmap(
        squares(60, 90), xlabel="t", ylabel="unit", colourbar="state"
    ),
}
TEXTS = {
    "window": lambda: text_window(SENTENCE, 12, clue="Chinese"),
    "window of one": lambda: text_window("W@mM\n" + "m" * 28 + "W", 1),
    "window on all": lambda: text_window("tim", 3),
    "stateful": lambda: stateful_windows(STORY, batch=3, time=6),
    "stateful, one letter": lambda: stateful_windows("ab\t ", batch=2, time=1),
    "stateful, one row": lambda: stateful_windows(STORY[:20], batch=1, time=10),
    "contexts": lambda: distributions(CONTEXTS, top=3),
    "many contexts": lambda: distributions(
        {"th": {"e": 1.0}, "q": {"u": 0.999, ".": 0.001}, "a": {"WWWW": 1.0}, "b": softmax(1)}
    ),
    "temperatures": lambda: distributions(TEMPERATURES, shared=True, top=4),
    "kinds": kinds,
    "gates": gates,
    "tagged": lambda: tagged_text(PROGRAM, TAGS, KINDS, truth="truth"),
    "tagged, many classes": lambda: tagged_text(
        "W" * 54, {"both directions": np.arange(54) // 2 % 9}, [f"class {k} of 9" for k in range(9)]
    ),
    "activation": lambda: activation_text(PROGRAM, ACTIVATION, label="state of unit 3"),
    "activation, rows": lambda: activation_text(
        PROGRAM, {"state": ACTIVATION, "forget gate": abs(ACTIVATION)}
    ),
    "pictures": lambda: pictures(
        SCANS, ["three four two", "one one seven", "five"], [True, False, True], columns=3
    ),
    "pictures, one row": lambda: pictures(SCANS, ["nought seven twelve of them", "I", "W" * 9]),
    "padded": lambda: padded_batch(["tea", "it", "time", "a", "at"]),
    "padded, long": lambda: padded_batch(["Nakamura and", "Li\n", "O'Brien"]),
    "padded, words": lambda: padded_batch([["I", "see", "it", "."], ["no"]], pad="<pad>"),
}
CHECKPOINTS = {
    "checkpoints": lambda: checkpointing(steps=12, segment=4),
    "checkpoints, many steps": lambda: checkpointing(steps=14, segment=2),
    "checkpoints, few steps": lambda: checkpointing(steps=4, segment=2),
}
WAVES = {
    "wavefront": lambda: wavefront(layers=3, steps=8),
    "wavefront, many steps": lambda: wavefront(layers=12, steps=10),
    "wavefront, one cell": lambda: wavefront(layers=1, steps=1),
}
SOURCE, TARGET = ["seventy", "three"], ["drei", "und", "siebzig"]
#: A beam of two: the greedy path is not the best.
BEAM = {
    ("vier",): -1.3,
    ("drei",): -0.4,
    ("drei", "und"): -0.6,
    ("drei", "hundert"): -1.9,
    ("vier", "und"): -1.35,
    ("vier", "<eos>"): -4.1,
    ("drei", "und", "zwei"): -1.9,
    ("drei", "und", "acht"): -2.2,
    ("vier", "und", "acht"): -1.5,
    ("drei", "und", "zwei", "<eos>"): -1.95,
    ("vier", "und", "acht", "<eos>"): -1.6,
}
DROPPED = {("drei", "hundert"), ("vier", "<eos>"), ("drei", "und", "acht")}
#: Weights of four states, their numbers, and the scores that give the weights.
WEIGHTED = np.array([0.6, 0.2, 0.1, 0.1])
STATES = np.array([[1, 0, 0.5], [0, 1, -2], [-1, 1, 0], [1, 1, 3]])
SCORES = np.log(WEIGHTED) + 3
NUMBER = [*"forty two", "<eos>"], [*"zweiundvierzig", "<eos>"]
SENTENCE_PAIR = ["I", "do", "not", "know"], ["je", "ne", "sais", "pas", "<eos>"]


def looks(source, target, seed=0):
    """Return weights of attention, with all of a row on one piece here and there."""
    weights = np.random.default_rng(seed).dirichlet(np.full(len(source), 0.3), len(target))
    weights[:: 1 + len(source) // 2] = np.eye(len(source))[0]
    return weights


#: From sequence to sequence.
TRANSLATION = {
    "alignment": lambda: alignment(looks(*NUMBER), *NUMBER),
    "alignment of words": lambda: alignment(looks(*SENTENCE_PAIR), *SENTENCE_PAIR),
    "alignment of long words": lambda: alignment(
        looks(["Antidisestablishment"] * 9, ["a"]), ["Antidisestablishment"] * 9, ["a"]
    ),
    "alignment of one piece": lambda: alignment([[0.98]], ["W"], ["<eos>"]),
    "alignments": lambda: alignments(
        {
            "forty two": (looks(*NUMBER), *NUMBER),
            "another seed": (looks(*NUMBER, seed=1), *NUMBER),
            "a sentence": (looks(*SENTENCE_PAIR), *SENTENCE_PAIR),
        }
    ),
    "look": lambda: attention_step(WEIGHTED, STATES[:, :2]),
    "look, all of it": lambda: attention_step(
        WEIGHTED, STATES, labels=["seven", "hundred", "and", "m"], scores=SCORES
    ),
    "look, one state": lambda: attention_step([1], [[0.25]], labels=["W" * 9]),
    "beam": lambda: beam_tree(BEAM, set(BEAM) - DROPPED),
    "beam, one way": lambda: beam_tree(
        {("W",): -0.1, ("W", "<eos>"): -12.25}, [("W",), ("W", "<eos>")]
    ),
    "beam, nothing ended": lambda: beam_tree(
        {tuple("abcd"[:k]): -k for k in (1, 2, 3, 4)} | {("b",): -1.5, ("c",): -9}, [("b",)]
    ),
    "seq2seq, first state": lambda: seq2seq_graph("first state", SOURCE, TARGET),
    "seq2seq, every step": lambda: seq2seq_graph(
        "every step", SOURCE, TARGET, highlight=["context"]
    ),
    "seq2seq, both": lambda: seq2seq_graph("both", SOURCE, TARGET, summary="mean"),
    "seq2seq, both directions": lambda: seq2seq_graph(
        "first state", list("abcde"), ["x"], summary="mean", bidirectional=True
    ),
    "seq2seq, attention": lambda: seq2seq_graph(
        "attention", SOURCE, TARGET, weights=[0.9, 0.1], step=3, highlight=["context"]
    ),
    "seq2seq, first look": lambda: seq2seq_graph(
        "attention", list("abcd"), ["x"], weights=[0.6, 0.2, 0.1, 0.1], step=1
    ),
    "seq2seq, look after": lambda: seq2seq_graph(
        "attention",
        ["one", "hundred", "six"],
        list("hu"),
        weights=[0.2, 0.5, 0.3],
        look="after",
        bidirectional=True,
    ),
    "seq2seq, last look": lambda: seq2seq_graph(
        "attention", ["a"], ["x"], weights=[1], look="after", step=2, teacher_forcing=False
    ),
    "seq2seq, teacher forcing": lambda: seq2seq_graph(
        "first state",
        SOURCE,
        TARGET,
        teacher_forcing=True,
        predicted=["vier", "und", "siebzig", "<eos>"],
    ),
    "seq2seq, free running": lambda: seq2seq_graph(
        "every step",
        SOURCE,
        TARGET,
        teacher_forcing=False,
        predicted=["sieben", "und", "<eos>"],
        highlight=["inputs"],
    ),
}
#: Attention alone, and recurrences without a loop.
BEYOND = {
    "scan": lambda: scan_tree(8),
    "scan, two steps": lambda: scan_tree(2),
    "scan, nine steps": lambda: scan_tree(9),
    "self-attention": lambda: self_attention_graph(WORDS[:4]),
    "self-attention, a way": lambda: self_attention_graph(WORDS[:4], way=(1, 4)),
    "self-attention, causal": lambda: self_attention_graph(
        ["traveller", "WWW"], causal=True, way=(2, 2)
    ),
}
FIGURES = BEYOND | TRANSLATION | NETWORKS | CELLS | CHECKPOINTS | WAVES | PLOTS | TEXTS


@functools.cache
def drawn(name):
    """Return a figure, which tests look at and do not change."""
    return FIGURES[name]()


def svg(figure):
    """Return the SVG as a notebook shows it."""
    style()
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def names(figure, start):
    """Return the names (gid) of artists that begin with a word."""
    return sorted(
        artist.get_gid().removeprefix(f"{start}-")
        for artist in figure.findobj()
        if (artist.get_gid() or "").startswith(f"{start}-")
    )


def texts(figure):
    """Return what is written in a figure, with its bounding boxes in pixels."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    boxes = [(text, text.get_window_extent(renderer)) for text in shown]
    # Ticks outside the limits are artists, but not drawn.
    ticks = {
        id(label): axis
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for label in (tick.label1, tick.label2)
    }
    written = []
    for text, box in boxes:
        axis = ticks.get(id(text))
        if axis is not None:
            at = 0 if axis.axis_name == "x" else 1
            place = axis.axes.transData.transform([text.get_position()] * 2)[0][at]
            low, high = axis.axes.get_window_extent().get_points()[:, at]
            if not low - 0.01 <= place <= high + 0.01:
                continue
        written.append((text, box))
    assert written
    return written


def artists(figure):
    """Return the artists that have a name, and where they are on the page in inches."""
    figure.draw_without_rendering()
    named = {artist.get_gid(): artist for artist in figure.findobj() if artist.get_gid()}
    return named, {gid: place(artist) for gid, artist in named.items()}


def place(artist):
    return artist.get_window_extent().transformed(artist.get_figure().dpi_scale_trans.inverted())


def ends(arrow):
    """Return where an arrow starts and ends on the page in inches."""
    dots = arrow.get_transform().transform(arrow._path_original.vertices[[0, -1]])
    return arrow.get_figure().dpi_scale_trans.inverted().transform(dots)


# Colours.


def linear(colours):
    c = np.array([to_rgb(colour) for colour in colours])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def contrast(one, other):
    high, low = sorted((linear([one, other]) @ TO_XYZ[1]) + 0.05)[::-1]
    return high / low
