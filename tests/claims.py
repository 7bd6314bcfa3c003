"""What the chapters claim, and for each claim a null for which it must not hold.

A claim is a cell of a chapter that asserts a conclusion; its id ends in ``-claim``. A test runs the
cells that it needs, once for each change: under a *null* (untrained, memory cut, ...) the assertion
must fail; for other seeds it must hold.
"""

from typing import NamedTuple


class Change(NamedTuple):
    """In the cell with this id, ``old`` (which stands there once) becomes ``new``."""

    cell: str
    old: str
    new: str


class Claim(NamedTuple):
    """A cell that asserts something, the cells before it that it needs, and what to change."""

    chapter: str
    cell: str
    needs: tuple[str, ...]
    nulls: dict[str, Change]
    seeds: dict[str, Change]


def _seed(cell: str, seed: int) -> Change:
    return Change(cell, "seed = 0", f"seed = {seed}")


OTHER_SEEDS = (1, 2, 3, 4)
LEARNT = ("imports", "task", "train", "learn")
RECORDED = ("imports", "task", "train", "learn", "recorded", "recorded-table")


def _instead_of(variant: str, other: str, cell: str = "recorded") -> Change:
    """The recorded results of one variant stand in the place of another's."""
    results = 'results = recorded["results"]'
    return Change(cell, results, f'{results} | {{"{variant}": recorded["results"]["{other}"]}}')


def _manual_seeds(cell: str) -> dict[str, Change]:
    return {
        f"seed {seed}": Change(cell, "manual_seed(0)", f"manual_seed({seed})")
        for seed in OTHER_SEEDS
    }


COUNTED = ("imports", "text", "bigrams", "ngrams")
TRAINED = ("imports", "embedding", "rows-go-on", "learn", "learn-result")
COUNTS = ("imports", "task", "one-word", "baselines", "encode")
LANGUAGE = (*COUNTS, "learn", "learn-result")


def _instead_in(cell: str, run: str, variant: str, other: str) -> Change:
    """As above, where the results of a run are taken without a name for the run."""
    results = f'runs.load("{run}")["results"]'
    return Change(cell, results, f'({results} | {{"{variant}": {results}["{other}"]}})')


OTHER_FIVE = {"seeds 5 to 9": Change("powers", "seeds = range(5)", "seeds = range(5, 10)")}
BEFORE = {f"seed {seed}": _seed("before", seed) for seed in OTHER_SEEDS}

TRAINED_GATES = (
    "imports",
    "notes",
    "marked-last",
    "train-gates",
    "gates-on-noise",
    "cut",
)

NUMBERS = (
    "imports",
    "task",
    "lengths",
    "spelling",
    "spelling-result",
    "translator",
    "validate",
    "learn",
    "learn-result",
)

LOOKING = (
    "imports",
    "package",
    "learn",
    "train",
    "alignments",
    "words",
    "shares",
    "altered",
    "changes",
    "altered-result",
    "effect",
    "effect-table",
    "transplant",
    "transplant-result",
)

CLAIMS = [
    Claim(
        "02-recurrent-cell",
        "bits-claim",
        ("imports", "two-memories", "bits", "bits-result"),
        nulls={
            "a free number for the output": Change("two-memories", "score.sigmoid()", "h[:, :1]"),
            "the output for a free number": Change("two-memories", "h[:, :1]", "score.sigmoid()"),
            "untrained": Change("bits", "steps=600", "steps=0"),
        },
        seeds={"seeds 0 to 4": Change("bits-result", "range(3)", "range(5)")},
    ),
    Claim(
        "02-recurrent-cell",
        "bounds-claim",
        ("imports", "bounds", "bounds-drawn"),
        nulls={
            "no rotation": Change(
                "bounds", "orthogonal_(cell.weight_hh, gain=", "normal_(cell.weight_hh, std=0.1 * "
            ),
            "no tanh": Change("bounds-drawn", '("tanh", 1.5)', '("identity", 1.5)'),
        },
        seeds=_manual_seeds("bounds"),
    ),
    Claim(
        "02-recurrent-cell",
        "order-claim",
        ("imports", "sentence", "order"),
        nulls={
            "the same order": Change(
                "order", '"it", "is", "what", "time"', '"what", "time", "is", "it"'
            ),
        },
        seeds={
            f"seed {seed}": Change("sentence", "manual_seed(1)", f"manual_seed({seed})")
            for seed in (0, 2, 3, 4)
        },
    ),
    Claim(
        "02-recurrent-cell",
        "learn-claim",
        LEARNT,
        nulls={
            "memory cut": Change("learn", "memory=memory", "memory=False"),
            "untrained": Change("learn", "steps=600", "steps=1, learning_rate=0.0"),
        },
        seeds={f"seed {seed}": _seed("learn", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "02-recurrent-cell",
        "colour-claim",
        (*LEARNT, "colour"),
        nulls={
            "memory cut": Change("learn", "memory=memory", "memory=False"),
            "the quote stays": Change("colour", """line.replace('"', "", 1)""", "line"),
        },
        seeds={f"seed {seed}": _seed("learn", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "02-recurrent-cell",
        "trap-claim",
        (*LEARNT, "colour", "trap", "trap-counts"),
        nulls={
            "comments counted as strings": Change("trap-counts", "labels == number", "labels == 2"),
        },
        seeds={f"seed {seed}": _seed("learn", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "02-recurrent-cell",
        "recorded-claim",
        RECORDED,
        nulls={
            "memory cut": _instead_of("memory", "memory cut"),
            "no tanh": _instead_of("memory", "no tanh"),
            "windows exchanged": _instead_of("window 4", "window 16"),
        },
        seeds={},
    ),
    Claim(
        "02-recurrent-cell",
        "popular-claim",
        (*LEARNT, "popular", "popular-tagger", "popular-trains"),
        nulls={
            "registered weights": Change(
                "popular",
                "torch.randn(hidden_size, hidden_size)",
                "nn.Parameter(torch.randn(hidden_size, hidden_size))",
            ),
            "read-out untrained": Change(
                "popular-trains", "steps=200", "steps=40, learning_rate=0.0"
            ),
        },
        seeds={f"seed {seed}": _seed("learn", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "02-recurrent-cell",
        "diverged-claim",
        (*LEARNT, "diverged"),
        nulls={"scaled weights": Change("diverged", "nn.init.normal_(parameter)", "pass")},
        seeds={f"seed {seed}": _seed("learn", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "02-recurrent-cell",
        "saturation-claim",
        (*RECORDED, "saturation", "chaos"),
        nulls={
            "scaled weights": Change("saturation", "nn.init.normal_(parameter)", "pass"),
            "scaled weights, recorded": _instead_of("randn weights", "memory"),
        },
        seeds={f"seed {seed}": _seed("learn", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "01-sequences",
        "controls-claim",
        ("imports", "pieces", "learn-pieces", "pieces-result", "controls"),
        nulls={
            "letters alone": Change("controls", "(1, 2)", "(1, 1)"),
            "untrained": Change("learn-pieces", "steps=600", "steps=1"),
        },
        seeds={f"seed {seed}": _seed("pieces-result", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "01-sequences",
        "pieces-claim",
        ("imports", "pieces-recorded"),
        nulls={
            "features for the network": Change(
                "pieces-recorded", "run[name] for run", 'run["by hand"] for run'
            ),
            "the network for the features": Change(
                "pieces-recorded", "run[name] for run", 'run["end to end"] for run'
            ),
        },
        seeds={},
    ),
    Claim(
        "01-sequences",
        "models-claim",
        (*COUNTED, "models-recorded"),
        nulls={
            "windows exchanged": _instead_of("window 2", "window 8", "models-recorded"),
            "the widest for the narrowest": _instead_of(
                "convolutions 4", "convolutions 64", "models-recorded"
            ),
        },
        seeds={},
    ),
    Claim(
        "01-sequences",
        "quotes-claim",
        (*COUNTED, "models-recorded", "quotes"),
        nulls={"no context": Change("quotes", "counted[12]", "counted[1]")},
        seeds={},
    ),
    Claim(
        "01-sequences",
        "leak-claim",
        (*COUNTED, "leak"),
        nulls={"other modules": Change("leak", "pieces[tenth].flatten()", "held")},
        seeds={},
    ),
    Claim(
        "01-sequences",
        "future-claim",
        ("imports", "text", "bigrams", "learn-window", "future"),
        nulls={
            "causal": Change("future", "self.wide(x)", "self.wide(F.pad(x, (2, -2)))"),
            "untrained": Change("future", "steps=150", "steps=1"),
        },
        seeds=_manual_seeds("future"),
    ),
    Claim(
        "03-language-model",
        "growth-claim",
        ("imports", "embedding", "rows-go-on", "growth", "growth-drawing"),
        nulls={"both detached": Change("growth-drawing", "cost(False)", "cost(True)")},
        seeds={},
    ),
    Claim(
        "03-language-model",
        "clipping-claim",
        ("imports", "clipping-recorded"),
        nulls={
            "clipped": _instead_of("SGD, not clipped", "SGD, clipped", "clipping-recorded"),
            "SGD for Adam": _instead_of(
                "Adam, not clipped", "SGD, not clipped", "clipping-recorded"
            ),
        },
        seeds={},
    ),
    Claim(
        "03-language-model",
        "learn-claim",
        TRAINED,
        nulls={"untrained": Change("learn", "steps = 1200", "steps = 1")},
        seeds={f"seed {seed}": _seed("learn", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "03-language-model",
        "carried-claim",
        ("imports", "embedding", "rows-go-on", "recorded", "carried"),
        nulls={
            "exchanged": Change(
                "carried", 'in short["results"].items()', 'in [*short["results"].items()][::-1]'
            )
        },
        seeds={},
    ),
    Claim(
        "03-language-model",
        "lines-claim",
        ("imports", "embedding", "rows-go-on", "recorded", "lines", "quotes"),
        nulls={
            "one temperature": Change("lines", 'run["lines"][t]', 'run["lines"]["1.0"]'),
            "short strings": Change(
                "quotes", 'run["quotes"] for run', 'run["quotes"][::-1] for run'
            ),
        },
        seeds={},
    ),
    Claim(
        "03-language-model",
        "poem-claim",
        ("imports", "poem", "poem-result"),
        nulls={
            "untrained": Change("poem", "steps=600", "steps=1"),
            "the same lines": Change("poem-result", "own[:2]", "(own.train, own.train)"),
        },
        seeds=_manual_seeds("poem"),
    ),
    Claim(
        "03-language-model",
        "time-machine-claim",
        ("imports", "time-machine"),
        nulls={
            "fourteen times as much text": _instead_of(
                "10,000 letters", "136,464 letters", "time-machine"
            ),
        },
        seeds={},
    ),
    Claim(
        "03-language-model",
        "unshifted-claim",
        ("imports", "embedding", "rows-go-on", "unshifted"),
        nulls={
            "shifted": Change(
                "unshifted", "yield Window(window.inputs, window.inputs)", "yield window"
            )
        },
        seeds=_manual_seeds("unshifted"),
    ),
    Claim(
        "03-language-model",
        "exchanged-claim",
        (*TRAINED, "exchanged"),
        nulls={
            "the same row": Change("exchanged", "h.roll(1, dims=0)", "h"),
            "untrained": Change("learn", "steps = 1200", "steps = 1"),
        },
        seeds={f"seed {seed}": _seed("learn", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "04-task-shapes",
        "roman-claim",
        ("imports", "masks", "roman-train", "roman-answer", "roman-result"),
        nulls={
            "untrained": Change("roman-train", "steps = 600", "steps = 1"),
            "answers of other numbers": Change(
                "roman-result",
                "expected = [roman_numeral(number) for number in task.held_out]",
                "expected = [roman_numeral(number) for number in task.held_out[::-1]]",
            ),
        },
        seeds={f"seed {seed}": _seed("roman-train", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "04-task-shapes",
        "roman-recorded-claim",
        ("imports", "roman-recorded", "roman-table"),
        nulls={
            "no gates": _instead_of("LSTM, rate 0.01", "RNN, rate 0.01", "roman-recorded"),
            "gates": _instead_of("RNN, rate 0.005", "GRU, rate 0.01", "roman-recorded"),
            "fewer steps": _instead_of("RNN, 2,000 steps", "RNN, rate 0.005", "roman-recorded"),
            "a higher rate": _instead_of("GRU, rate 0.002", "GRU, rate 0.01", "roman-recorded"),
        },
        seeds={},
    ),
    Claim(
        "04-task-shapes",
        "leak-claim",
        ("imports", "padding", "leak", "leak-table"),
        nulls={
            "without lengths": Change("leak", "ours(x, lengths=lengths)", "ours(x)"),
            "zeros are enough": Change(
                "leak", "theirs(x * true_step[:, :, None])", "theirs(pack(x))"
            ),
            "packed": Change("leak", "_, h_n = theirs(x)", "_, h_n = theirs(pack(x))"),
        },
        seeds=_manual_seeds("leak"),
    ),
    Claim(
        "04-task-shapes",
        "waste-claim",
        ("imports", "waste"),
        nulls={
            "lines of one length": Change("waste", "if line.strip()]", "if len(line) == 40]"),
            "unsorted": Change("waste", "size.sort().values", "size"),
        },
        seeds=_manual_seeds("waste"),
    ),
    Claim(
        "04-task-shapes",
        "recipes-claim",
        ("imports", "padding", "leak", "recipes", "recipes-table"),
        nulls={
            "the end of both directions": Change(
                "recipes", "out[range(6), lengths - 1]", "torch.cat([h[-2], h[-1]], dim=1)"
            ),
            "axes exchanged first": Change(
                "recipes", "h.view(6, -1)", "h.transpose(0, 1).reshape(6, -1)"
            ),
        },
        seeds=_manual_seeds("recipes"),
    ),
    Claim(
        "04-task-shapes",
        "padded-loss-claim",
        ("imports", "masks", "padded-loss"),
        nulls={
            "without padding": Change(
                "padded-loss",
                "answer_only.mask | (answer_only.targets == padding)",
                "answer_only.mask",
            ),
        },
        seeds=_manual_seeds("padded-loss"),
    ),
    Claim(
        "05-many-to-one",
        "learn-claim",
        LANGUAGE,
        nulls={
            "untrained": Change("learn", "steps = 800", "steps = 1"),
            "letters shuffled": Change(
                "encode", "LengthBatches(*encode(train)", "ch05.ShuffledBatches(*encode(train)"
            ),
        },
        seeds={f"seed {seed}": _seed("learn", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "05-many-to-one",
        "belief-claim",
        (*LANGUAGE, "belief"),
        nulls={
            "untrained": Change("learn", "steps = 800", "steps = 1"),
            "the end first": Change("belief", "vocab.encode(text)", "vocab.encode(text[::-1])"),
        },
        seeds={f"seed {seed}": _seed("learn", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "05-many-to-one",
        "butterflies-claim",
        (*LANGUAGE, "butterflies"),
        nulls={
            "the network for the counts": Change(
                "butterflies", "groups[3].predict(butterflies)", "scores.argmax(dim=1).numpy()"
            ),
            "letters alone": Change("butterflies", "groups[3]", "groups[1]"),
        },
        seeds={f"seed {seed}": _seed("learn", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "05-many-to-one",
        "order-claim",
        (*COUNTS, "recorded"),
        nulls={
            "shuffled": _instead_of("GRU, last", "GRU, last, letters shuffled"),
            "not shuffled": _instead_of("GRU, last, letters shuffled", "GRU, mean"),
        },
        seeds={},
    ),
    Claim(
        "05-many-to-one",
        "pooling-claim",
        (*COUNTS, "recorded", "pooling-table"),
        nulls={
            "mean for last": _instead_of("LSTM, last", "LSTM, mean"),
            "last for mean": _instead_of("GRU, mean", "GRU, last"),
            "mean for max": _instead_of("RNN, max", "RNN, mean"),
            "one direction": _instead_of("bidirectional GRU, mean", "GRU, mean"),
            "no gates": _instead_of("GRU, last", "RNN, last"),
        },
        seeds={},
    ),
    Claim(
        "05-many-to-one",
        "rates-claim",
        (*COUNTS, "recorded", "pooling-table", "rates"),
        nulls={
            "mean for last": _instead_in(
                "rates", "05-learning-rates", "GRU, last, 0.01", "GRU, mean, 0.01"
            ),
        },
        seeds={},
    ),
    Claim(
        "05-many-to-one",
        "data-claim",
        ("imports", "data-curve"),
        nulls={
            "exchanged": Change(
                "data-curve", "one[name]", "one[{'GRU': 'letter groups'}.get(name, 'GRU')]"
            ),
            "few words": Change(
                "data-curve",
                '["results"].values()',
                '["results"].values()\nby_size = [list(by_size)[0]] * 4',
            ),
        },
        seeds={},
    ),
    Claim(
        "05-many-to-one",
        "intents-claim",
        ("imports", "intents", "assistant", "intents-recorded"),
        nulls={
            "a mean for the GRU": _instead_in(
                "intents-recorded", "05-intent-wordings", "GRU", "mean of embeddings"
            ),
            "words that say nothing": Change(
                "assistant",
                "bag = ch05.word_groups(1).fit(*wanted.train)",
                "bag = ch05.word_groups(1).fit(wanted.train.texts, wanted.train.labels.flip(0))",
            ),
        },
        seeds={},
    ),
    Claim(
        "05-many-to-one",
        "opinions-claim",
        ("imports", "opinions", "opinions-recorded"),
        nulls={
            "a mean for the GRU": _instead_in(
                "opinions-recorded", "05-opinion-order", "GRU, last", "mean of embeddings"
            ),
            "long groups": Change("opinions-recorded", "word_groups(longest)", "word_groups(9)"),
        },
        seeds={},
    ),
    Claim(
        "05-many-to-one",
        "careless-claim",
        (*COUNTS, "careless", "careless-result"),
        nulls={
            "the right mean": Change(
                "careless",
                'ch05.PaddedReader(len(vocab), 20, pooling="mean", packed=False)',
                'SequenceClassifier(len(vocab), 20, layer=GRU(32, 128), pooling="mean")',
            ),
            "untrained": Change("careless", "steps = 600", "steps = 1"),
        },
        seeds=_manual_seeds("careless"),
    ),
    Claim(
        "05-many-to-one",
        "padding-claim",
        ("imports", "padding-recorded"),
        nulls={
            "padding read": _instead_in(
                "padding-recorded",
                "05-padding-leak",
                "last, at the true end",
                "outputs[:, -1], padding read",
            ),
            "the right mean": _instead_in(
                "padding-recorded",
                "05-padding-leak",
                "outputs.mean(1), padding read",
                "mean, over true letters",
            ),
            "the right end": _instead_in(
                "padding-recorded",
                "05-padding-leak",
                "outputs[:, -1], packed",
                "last, at the true end",
            ),
        },
        seeds={},
    ),
    Claim(
        "05-many-to-one",
        "unknown-claim",
        ("imports", "intents", "assistant", "intents-recorded", "unknown"),
        nulls={
            "nothing forgotten": _instead_in(
                "intents-recorded", "05-intent-wordings", "GRU", "GRU, nothing forgotten"
            ),
        },
        seeds={},
    ),
    Claim(
        "07-bidirectional",
        "learn-claim",
        ("imports", "task", "learn", "learn-result"),
        nulls={
            "two layers forward": Change("learn", "bidirectional=True", "num_layers=2"),
            "untrained": Change("learn", "steps=500", "steps=1"),
        },
        seeds={f"seed {seed}": _seed("learn", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "07-bidirectional",
        "recorded-claim",
        ("imports", "recorded"),
        nulls={
            "two layers forward": _instead_of("GRU both", "GRU stacked"),
            "one direction": _instead_of("RNN both", "RNN forward"),
        },
        seeds={},
    ),
    Claim(
        "07-bidirectional",
        "delay-claim",
        ("imports", "task", "recorded", "delay", "delay-table"),
        nulls={
            "no delay": _instead_of("GRU delay 4", "GRU forward"),
            "half the delay": _instead_of("GRU delay 16", "GRU delay 8"),
        },
        seeds={},
    ),
    Claim(
        "07-bidirectional",
        "not-flipped-claim",
        ("imports", "recorded"),
        nulls={
            "flipped back": _instead_of("GRU not flipped back", "GRU both"),
            "one direction": _instead_of("GRU not flipped back", "GRU forward"),
        },
        seeds={},
    ),
    Claim(
        "07-bidirectional",
        "padding-claim",
        ("imports", "recorded"),
        nulls={
            "padding behind": _instead_of("GRU padding reversed and packed", "GRU both"),
            "padding in front": _instead_of("GRU both", "GRU padding reversed"),
        },
        seeds={},
    ),
    Claim(
        "07-bidirectional",
        "stacked-claim",
        ("imports", "recorded"),
        nulls={"both directions": _instead_of("GRU stacked", "GRU both")},
        seeds={},
    ),
    Claim(
        "07-bidirectional",
        "cheat-claim",
        ("imports", "cheat", "cheat-result"),
        nulls={
            "two layers forward": Change("cheat", "bidirectional=True", "num_layers=2"),
            "untrained": Change("cheat", "steps, V = 300", "steps, V = 1"),
        },
        seeds=_manual_seeds("cheat"),
    ),
    Claim(
        "07-bidirectional",
        "cheat-recorded-claim",
        ("imports", "cheat-recorded"),
        nulls={
            "exchanged": Change(
                "cheat-recorded",
                'runs.load("07-cheating")["results"]',
                'dict(zip(("forward", "both"), runs.load("07-cheating")["results"].values()))',
            )
        },
        seeds={},
    ),
    *(
        Claim(
            "06-one-to-many",
            claim,
            (
                *("imports", "pictures", "wording", "references", "greedy", "check-greedy"),
                *("validate", "learn", "learn-result", *needs),
            ),
            nulls={"untrained": Change("learn", "steps=1000", "steps=1")},
            seeds={f"seed {seed}": _seed("learn", seed) for seed in OTHER_SEEDS},
        )
        for claim, needs in (("learn-claim", ()), ("forcing-claim", ("two-ways",)))
    ),
    Claim(
        "06-one-to-many",
        "rest-claim",
        ("imports", "rest"),
        nulls={
            "the picture once": _instead_of(
                "every step, by letters", "first state, by letters", "rest"
            ),
        },
        seeds={},
    ),
    Claim(
        "06-one-to-many",
        "contexts-claim",
        ("imports", "over-seeds", "contexts-recorded"),
        nulls={
            "at every step": _instead_of(
                "first state, by letters", "every step, by letters", "contexts-recorded"
            ),
            "letters for words": _instead_of(
                "first state, by words", "first state, by letters", "contexts-recorded"
            ),
        },
        seeds={},
    ),
    Claim(
        "06-one-to-many",
        "longer-claim",
        ("imports", "over-seeds", "contexts-recorded", "longer"),
        nulls={
            "a GRU for the LSTM": _instead_of(
                "first state, by letters, LSTM", "first state, by letters", "longer"
            ),
            "an LSTM for the GRU": _instead_of(
                "first state, by letters", "first state, by letters, LSTM", "longer"
            ),
        },
        seeds={},
    ),
    Claim(
        "06-one-to-many",
        "watch-claim",
        ("imports", "pictures", "watch", "watched"),
        nulls={
            "both normalised": Change("watched", "normalised=False", "normalised=True"),
            "neither normalised": Change("watched", "normalised=True", "normalised=False"),
        },
        seeds={f"seed {seed}": Change("watch", "seed=1", f"seed={seed}") for seed in (0, 2, 3, 4)},
    ),
    Claim(
        "06-one-to-many",
        "raw-claim",
        ("imports", "over-seeds", "contexts-recorded", "raw-recorded"),
        nulls={
            "at every step": _instead_of(
                "first state, by letters", "every step, by letters", "raw-recorded"
            ),
        },
        seeds={},
    ),
    Claim(
        "06-one-to-many",
        "padding-claim",
        ("imports", "pictures", "over-seeds", "contexts-recorded", "counted-padding"),
        nulls={
            "masked": Change(
                "counted-padding",
                'results = recorded["results"]\n',
                'results = {n[12:]: r for n, r in runs.load("06-contexts")["results"].items()}\n',
            ),
        },
        seeds={},
    ),
    Claim(
        "06-one-to-many",
        "unshifted-claim",
        ("imports", "pictures", "quick", "unshifted"),
        nulls={
            "shifted": Change("unshifted", "batch._replace(inputs=batch.targets)", "batch"),
        },
        seeds={f"seed {seed}": Change("quick", "seed=0", f"seed={seed}") for seed in OTHER_SEEDS},
    ),
    Claim(
        "06-one-to-many",
        "endless-claim",
        ("imports", "pictures", "quick", "unshifted", "endless"),
        nulls={
            "the end counts": Change(
                "endless", "batch.mask & (batch.targets != by_words.eos)", "batch.mask"
            ),
        },
        seeds={f"seed {seed}": Change("quick", "seed=0", f"seed={seed}") for seed in OTHER_SEEDS},
    ),
    Claim(
        "06-one-to-many",
        "known-claim",
        ("imports", "over-seeds", "contexts-recorded", "known"),
        nulls={
            "letters for words": _instead_of(
                "first state, by words", "first state, by letters", "contexts-recorded"
            ),
            "words for letters": _instead_of(
                "first state, by letters", "first state, by words", "contexts-recorded"
            ),
        },
        seeds={},
    ),
    Claim(
        "08-bptt",
        "checkpointing-claim",
        ("imports", "cost", "in-segments", "checkpointing"),
        nulls={
            "no checkpoints": Change(
                "in-segments",
                "checkpoint(last_state, part, state, use_reentrant=False)",
                "last_state(part, state)",
            ),
        },
        seeds={},
    ),
    Claim(
        "08-bptt",
        "bias-claim",
        ("imports", "bias-recorded", "bias-table"),
        nulls={
            "untrained": _instead_of("trained", "untrained", "bias-recorded"),
            "trained": _instead_of("untrained", "trained", "bias-recorded"),
        },
        seeds={},
    ),
    Claim(
        "08-bptt",
        "reach-claim",
        ("imports", "bias-recorded"),
        nulls={
            "borders in place of a reach": Change(
                "bias-recorded", "run[way][length][key]", 'run["borders"][length][key]'
            ),
        },
        seeds={},
    ),
    Claim(
        "08-bptt",
        "learn-claim",
        ("imports", "learn", "learn-result"),
        nulls={
            "untrained": Change("learn", "steps=400", "steps=0"),
            "not cut": Change("learn", "split(window, dim=1)", "split(40, dim=1)"),
            "a lag of seven": Change("learn", "lag=8", "lag=7"),
            "a state of zeros": Change("learn", "model(part, state)", "model(part, None)"),
        },
        seeds={f"seed {seed}": _seed("learn", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "08-bptt",
        "echo-claim",
        ("imports", "echo-recorded"),
        nulls={
            "8 for 9": _instead_in("echo-recorded", "08-echo", "window 9", "window 8"),
            "9 for 8": _instead_in("echo-recorded", "08-echo", "window 8", "window 9"),
            "carried": _instead_in(
                "echo-recorded", "08-echo", "window 12, state of zeros", "window 12"
            ),
            "not carried": _instead_in(
                "echo-recorded", "08-echo", "window 4", "window 4, state of zeros"
            ),
            "uniform": _instead_in(
                "echo-recorded", "08-echo", "read-out only, orthogonal", "read-out only"
            ),
        },
        seeds={},
    ),
    Claim(
        "08-bptt",
        "lingering-claim",
        ("imports", "lingering"),
        nulls={
            "uniform for orthogonal": _instead_in(
                "lingering", "08-lingering", "window 5, orthogonal", "window 5"
            ),
            "cut for whole": _instead_in("lingering", "08-lingering", "whole", "window 5"),
            "not carried": _instead_in(
                "lingering",
                "08-lingering",
                "window 5, asked at each step",
                "window 5, asked at each step, state of zeros",
            ),
        },
        seeds={},
    ),
    Claim(
        "08-bptt",
        "each-step-claim",
        ("imports", "cost", "each-step"),
        nulls={
            "once": Change("each-step", "layer(x)[0].unbind(dim=1)", "[layer(x)[0]]"),
        },
        seeds={},
    ),
    Claim(
        "08-bptt",
        "epsilon-claim",
        ("imports", "by-hand", "terms", "two-agreements", "differences", "epsilon-errors"),
        nulls={
            "double for single": Change(
                "epsilon-errors", "errors_of(torch.float32)", "errors_of(torch.float64)"
            ),
            "a gradient that is wrong by a hundredth": Change(
                "epsilon-errors", "(p * d).sum()", "1.01 * (p * d).sum()"
            ),
        },
        seeds={},
    ),
    Claim(
        "09-vanishing-exploding",
        "transient-claim",
        ("imports", "powers"),
        nulls={
            "orthogonal": Change(
                "powers",
                "weights = torch.randn(64, 64, dtype=torch.float64)",
                "weights = nn.init.orthogonal_(torch.empty(64, 64, dtype=torch.float64))",
            ),
        },
        seeds=OTHER_FIVE,
    ),
    Claim(
        "09-vanishing-exploding",
        "tanh-claim",
        ("imports", "network", "powers", "tanh"),
        nulls={
            "no tanh": Change(
                "tanh", "network(radius, seed=seed)", 'network(radius, "identity", seed)'
            ),
            "no input": Change("tanh", "noise(0.3, 101, seed=seed)", "noise(0.0, 101)"),
        },
        seeds=OTHER_FIVE,
    ),
    Claim(
        "09-vanishing-exploding",
        "rate-claim",
        ("imports", "network", "powers", "rate", "rates"),
        nulls={
            "no noise": Change("rates", '("noise 1", 1)', '("noise 1", 0)'),
            "relu": Change("rate", "torch.tanh(weights", "torch.relu(weights"),
        },
        seeds=OTHER_FIVE,
    ),
    Claim(
        "09-vanishing-exploding",
        "lags-claim",
        ("imports", "network", "products", "check-products", "lags"),
        nulls={"larger weights": Change("lags", "network(radius)", "network(1.5 * radius)")},
        seeds={
            f"seed {seed}": Change("lags", "network(radius)", f"network(radius, seed={seed})")
            for seed in OTHER_SEEDS
        },
    ),
    Claim(
        "09-vanishing-exploding",
        "overwritten-claim",
        ("imports", "network", "probe"),
        nulls={
            "a radius of 0.5": Change("probe", "network(1.0", "network(0.5"),
            "a radius of 1.5": Change("probe", "network(1.0", "network(1.5"),
        },
        seeds={f"seed {seed}": Change("probe", "seed=0", f"seed={seed}") for seed in OTHER_SEEDS},
    ),
    Claim(
        "09-vanishing-exploding",
        "overwritten-recorded-claim",
        ("imports", "overwritten-recorded"),
        nulls={
            "learnt for not learnt": _instead_of(
                "tanh, trained on 40", "tanh, trained on 10", "overwritten-recorded"
            ),
            "a higher forget bias": _instead_of(
                "LSTM, forget bias 1, trained on 40",
                "LSTM, forget bias 3, trained on 20",
                "overwritten-recorded",
            ),
        },
        seeds={},
    ),
    Claim(
        "09-vanishing-exploding",
        "morphing-claim",
        ("imports", "overwritten-recorded", "morphing"),
        nulls={
            "probe of the same step": Change(
                "overwritten-recorded",
                'results = recorded["results"]',
                'results = recorded["results"]\n'
                'for run in results["tanh, trained on 10"].values():\n'
                '    run["after"] = [[1.0] * 12] * 12',
            ),
            "plain for gated": _instead_of(
                "LSTM, forget bias 3, trained on 20", "tanh, trained on 10", "overwritten-recorded"
            ),
        },
        seeds={},
    ),
    Claim(
        "09-vanishing-exploding",
        "race-claim",
        ("imports", "cells", "before", "remember", "race"),
        nulls={
            "one forget bias": Change("cells", "forget_bias=3.0", "forget_bias=1.0"),
            "no identity": Change("cells", "nn.init.eye_(", "nn.init.orthogonal_("),
            "untrained": Change("remember", "steps=400", "steps=20"),
        },
        seeds=BEFORE,
    ),
    Claim(
        "09-vanishing-exploding",
        "horizon-claim",
        ("imports", "horizon"),
        nulls={
            "tasks exchanged": Change(
                "horizon",
                '"first symbol": "09-first-symbol", "adding": "09-adding"',
                '"first symbol": "09-adding", "adding": "09-first-symbol"',
            ),
        },
        seeds={},
    ),
    Claim(
        "09-vanishing-exploding",
        "asked-claim",
        ("imports", "cells", "before", "remember", "asked", "asked-result", "apart"),
        nulls={
            "asked at the end": Change(
                "asked-result",
                '("at every step", asked_at_every_step)',
                '("at every step", asked_at_the_end)',
            ),
        },
        seeds=BEFORE,
    ),
    Claim(
        "09-vanishing-exploding",
        "short-claim",
        ("imports", "short-letters"),
        nulls={
            "the same steps": _instead_in(
                "short-letters", "09-short", "tanh, twice the steps", "tanh"
            ),
            "no gates": _instead_in("short-letters", "09-short", "GRU", "tanh"),
        },
        seeds={},
    ),
    Claim(
        "09-vanishing-exploding",
        "nan-claim",
        ("imports", "cells", "before", "remember", "descend", "nan", "clipped"),
        nulls={
            "clipped": Change("nan", "descend()", "descend(clip=1.0)"),
            "tanh": Change("descend", 'nonlinearity="identity"', 'nonlinearity="tanh"'),
        },
        seeds=BEFORE,
    ),
    Claim(
        "09-vanishing-exploding",
        "cliff-claim",
        ("imports", "walls", "step-down"),
        nulls={"two steps": Change("step-down", "steps=20", "steps=2")},
        seeds={},
    ),
    Claim(
        "09-vanishing-exploding",
        "angles-claim",
        ("imports", "cells", "before", "remember", "descend", "nan", "angles", "angles-result"),
        nulls={
            "no bound": Change("angles", "bound = limit / flat.numel() ** 0.5", "bound = math.inf"),
        },
        seeds=BEFORE,
    ),
    Claim(
        "09-vanishing-exploding",
        "clipping-claim",
        ("imports", "clipping-recorded"),
        nulls={
            "a higher limit": _instead_in(
                "clipping-recorded",
                "09-clipping",
                "identity, by norm, 0.1",
                "identity, by norm, 1.0",
            ),
            "by norm for by value": _instead_in(
                "clipping-recorded",
                "09-clipping",
                "identity, by value, 0.3",
                "identity, by norm, 0.3",
            ),
        },
        seeds={},
    ),
    Claim(
        "10-lstm",
        "carousel-claim",
        ("imports", "carousel"),
        nulls={
            "shrunk": Change("carousel", "c = c + torch", "c = 0.9 * c + torch"),
        },
        seeds=_manual_seeds("carousel"),
    ),
    Claim(
        "10-lstm",
        "gates-claim",
        (
            "imports",
            "notes",
            "one-unit",
            "input-gate",
            "forget-gate",
            "output-gate",
        ),
        nulls={
            "input gate always open": Change("input-gate", "20 * mark - 10", "0 * mark + 10"),
            "nothing forgotten": Change("forget-gate", "10 - 20 * mark", "10 - 0 * mark"),
            "always shown": Change("output-gate", "20 * ask - 10", "0 * ask + 10"),
        },
        seeds={f"seed {seed}": _seed("notes", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "10-lstm",
        "activations-claim",
        ("imports", "activations"),
        nulls={
            "sigmoid gates for relu gates": Change(
                "activations",
                'adding = list(results[f"adding, {name}"]',
                'name_of = name if name != "gates relu" else "sigmoid and tanh"\n'
                '    adding = list(results[f"adding, {name_of}"]',
            ),
            "one candidate": Change(
                "activations",
                'adding = list(results[f"adding, {name}"]',
                'adding = list(results["adding, sigmoid and tanh"]',
            ),
        },
        seeds={},
    ),
    Claim(
        "10-lstm",
        "flow-claim",
        ("imports", "flow"),
        nulls={
            "one forget bias": Change("flow", "forget_bias=3.0", "forget_bias=1.0"),
            "no bias of 1": Change("flow", "LSTM(16, units),", "LSTM(16, units, forget_bias=0.0),"),
            "no way through h": Change(
                "flow",
                "for name, layer in layers_of().items():",
                "for name, layer in layers_of().items():\n"
                "        nn.init.zeros_(layer.layers[0].cell.weight_hh)",
            ),
        },
        seeds={"seeds 5 to 9": Change("flow", "first_seed = 0", "first_seed = 5")},
    ),
    Claim(
        "10-lstm",
        "forget-bias-claim",
        ("imports", "forget-bias"),
        nulls={
            "tasks exchanged": Change(
                "forget-bias",
                "task.replace(' ', '-')",
                "dict(adding='first-symbol').get(task, 'adding')",
            ),
        },
        seeds={},
    ),
    Claim(
        "10-lstm",
        "horizon-claim",
        ("imports", "forget-bias", "horizon"),
        nulls={
            "biases exchanged": Change(
                "horizon",
                'of_bias("first symbol", bias, "")',
                'of_bias("first symbol", 3 - bias, "")',
            ),
        },
        seeds={},
    ),
    Claim(
        "10-lstm",
        "trained-gates-claim",
        TRAINED_GATES,
        nulls={
            "untrained": Change("train-gates", "steps=1000", "steps=1"),
            "no marks": Change("marked-last", "< 0.1).float()", "< 0.0).float()"),
        },
        seeds={f"seed {seed}": _seed("notes", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "10-lstm",
        "gates-recorded-claim",
        ("imports", "gates-recorded"),
        nulls={
            "untrained": Change(
                "gates-recorded", 'for unit in run["after"]', 'for unit in run["before"]'
            ),
            "narrow layers alone": _instead_in(
                "gates-recorded", "10-gates", "16 units", "1 unit, forget bias 3"
            ),
        },
        seeds={},
    ),
    Claim(
        "10-lstm",
        "long-short-claim",
        ("imports", "notes", "long-short", "long-short-read"),
        nulls={
            "untrained": Change("long-short", "steps=100", "steps=1"),
            "h for c": Change("long-short-read", "getattr(state, part)", "state.h"),
            "c for h": Change("long-short-read", "getattr(state, part)", "state.c"),
        },
        seeds={f"seed {seed}": _seed("notes", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "10-lstm",
        "meaning-claim",
        ("imports", "meaning"),
        nulls={
            "untrained": Change(
                "meaning",
                '["LSTM"]',
                '["LSTM"]\nfor run in by_seed.values():\n    run["trained"] = run["untrained"]',
            ),
        },
        seeds={},
    ),
    Claim(
        "10-lstm",
        "wrong-claim",
        (*TRAINED_GATES, "gate-order", "wrong-states"),
        nulls={
            "the right order": Change("gate-order", '"iofg"', '"ifgo"'),
            "c handed on": Change("wrong-states", "torch.zeros_like(state.c)", "state.c"),
            "its own state": Change("wrong-states", "s.roll(1, dims=0)", "s"),
        },
        seeds={f"seed {seed}": _seed("notes", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "11-gru",
        "two-grus-claim",
        ("imports", "two-grus", "two-grus-result"),
        nulls={
            "one and the same cell": Change("two-grus", "(R * H) @ W_hh", "R * (H @ W_hh)"),
        },
        seeds=_manual_seeds("two-grus-result"),
    ),
    Claim(
        "11-gru",
        "remember-claim",
        ("imports", "update-bias", "flow", "remember"),
        nulls={
            "no bias": Change("update-bias", "of_z += update_bias", "of_z += 0 * update_bias"),
            "a bias of the reset gate": Change("update-bias", "_, of_z, _ =", "of_z, _, _ ="),
            "untrained": Change("remember", "steps=200", "steps=20"),
        },
        seeds={f"seed {seed}": _seed("flow", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "11-gru",
        "tell-claim",
        ("imports", "update-bias", "flow", "tell", "tell-result"),
        nulls={
            "nothing is missing": Change("tell-result", '("LSTM", gate)', '("LSTM", "LSTM")'),
            "the other way round": Change("tell-result", '("LSTM", gate)', '(gate, "LSTM")'),
            "untrained": Change("tell", "steps=300", "steps=1"),
        },
        seeds={f"seed {seed}": _seed("flow", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "11-gru",
        "ablations-claim",
        ("imports", "tell", "ablations"),
        nulls={
            "nothing is missing": _instead_in(
                "ablations", "11-ablations", "ignore, no input gate", "ignore, LSTM"
            ),
            "another gate": _instead_in(
                "ablations", "11-ablations", "forget, no forget gate", "forget, coupled gates"
            ),
            "one place of the reset gate": _instead_in(
                "ablations", "11-ablations", "hide, GRU, reset before", "hide, GRU"
            ),
            "with a reset gate": _instead_in(
                "ablations", "11-ablations", "hide, GRU, no reset gate", "hide, GRU"
            ),
        },
        seeds={},
    ),
    Claim(
        "11-gru",
        "on-text-claim",
        ("imports", "on-text"),
        nulls={
            "nothing is missing": _instead_in(
                "on-text", "11-ablations-on-text", "no forget gate", "LSTM"
            ),
            "with a reset gate": _instead_in(
                "on-text", "11-ablations-on-text", "GRU, no reset gate", "GRU"
            ),
            "one cell": _instead_in("on-text", "11-ablations-on-text", "GRU", "LSTM"),
        },
        seeds={},
    ),
    Claim(
        "11-gru",
        "update-bias-claim",
        ("imports", "update-bias-recorded"),
        nulls={
            "no bias": _instead_in(
                "update-bias-recorded",
                "11-update-bias",
                "GRU, bias 3, rate 0.003",
                "GRU, bias 0, rate 0.003",
            ),
            "the bias all along": _instead_in(
                "update-bias-recorded",
                "11-update-bias",
                "GRU, bias 0, rate 0.003",
                "GRU, bias 3, rate 0.003",
            ),
        },
        seeds={},
    ),
    Claim(
        "11-gru",
        "exchanged-claim",
        ("imports", "exchanged"),
        nulls={
            "the same cell": Change("exchanged", "run[how] for", 'run["bits"] for'),
            "one kind": _instead_in("exchanged", "11-reset", "before", "after"),
        },
        seeds={},
    ),
    Claim(
        "11-gru",
        "equal-claim",
        ("imports", "tell", "ablations", "parameters", "equal"),
        nulls={
            "one direction for two": _instead_in(
                "equal", "11-equal", "tagging, bi-RNN, 470 steps", "tagging, RNN, 650 steps"
            ),
            "equal steps": _instead_in(
                "equal", "11-equal", "letters, RNN, 470 steps", "letters, RNN, 300 steps"
            ),
            "no gates": _instead_in(
                "equal", "11-equal", "tagging, GRU, 480 steps", "tagging, RNN, 650 steps"
            ),
        },
        seeds={},
    ),
    Claim(
        "11-gru",
        "rates-claim",
        ("imports", "tell", "ablations", "parameters", "equal", "rates"),
        nulls={
            "one cell": _instead_in(
                "equal", "11-equal", "letters, GRU, 300 steps", "letters, RNN, 300 steps"
            ),
            "one rate": Change("rates", 'run[rate]["test"]', 'run["0.005"]["test"]'),
        },
        seeds={},
    ),
    Claim(
        "11-gru",
        "sign-claim",
        ("imports", "update-bias", "flow", "remember", "sign"),
        nulls={
            "the same sign": Change("sign", "[64:128] *= -1", "[64:128] *= 1"),
        },
        seeds={f"seed {seed}": _seed("flow", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "12-deep-rnn",
        "eight-claim",
        ("imports", "eight", "up-and-down", "before", "learn", "learn-result"),
        nulls={
            "no residual connections": Change(
                "eight", 'residual=kind == "residual"', "residual=False"
            ),
            "inputs not orthogonal": Change("eight", "nn.init.orthogonal_(cell.weight_ih)", "pass"),
            "not rescaled": Change("eight", "return rescale(x), state", "return x, state"),
            "untrained": Change("learn", "steps=200", "steps=1"),
        },
        seeds={
            f"seed {seed}": Change(
                "up-and-down", 'corpus("python"), 0', f'corpus("python"), {seed}'
            )
            for seed in OTHER_SEEDS
        },
    ),
    Claim(
        "12-deep-rnn",
        "depth-claim",
        ("imports", "depth", "depth-best"),
        nulls={
            "one rate for all depths": Change("depth", '("3e-3", "1e-2")', '("1e-2",)'),
            "residuals for none": _instead_in(
                "depth",
                "12-depth",
                "GRU, 4 layers, rate 3e-3",
                "GRU, 4 layers, residual, rate 3e-3",
            ),
            "a step costs the same": Change(
                "depth-best", '["milliseconds"] / price[name]', '["milliseconds"] / price[GRUS[0]]'
            ),
        },
        seeds={},
    ),
    Claim(
        "12-deep-rnn",
        "plain-depth-claim",
        ("imports", "up-and-down", "learn", "depth", "depth-best", "depth-table", "plain-depth"),
        nulls={
            "residuals for none": _instead_in(
                "plain-depth", "12-eight-layers", "tanh, 8 layers", "tanh, 8 layers, residual"
            ),
            "no residuals": _instead_in(
                "plain-depth",
                "12-eight-layers",
                "tanh, 8 layers, residual",
                "tanh, 8 layers, orthogonal inputs",
            ),
        },
        seeds={},
    ),
    Claim(
        "12-deep-rnn",
        "sensitive-claim",
        ("imports", "depth", "depth-best", "depth-table", "sensitive"),
        nulls={
            "not larger": _instead_in(
                "sensitive",
                "12-sensitive",
                "4 layers, twice as large, rate 1e-2",
                "4 layers, orthogonal, rate 1e-2",
            ),
            "a low rate": _instead_in(
                "sensitive",
                "12-sensitive",
                "4 layers, clipped, rate 1e-1",
                "4 layers, clipped, rate 1e-3",
            ),
        },
        seeds={},
    ),
    Claim(
        "12-deep-rnn",
        "two-stages-claim",
        ("imports", "two-stages"),
        nulls={
            "the same network": _instead_in(
                "two-stages", "12-two-stages", "GRU, 2 layers", "GRU, 1 layer"
            ),
            "one layer no wider": _instead_in(
                "two-stages", "12-two-stages", "GRU, 1 layer", "GRU, 2 layers"
            ),
        },
        seeds={},
    ),
    Claim(
        "12-deep-rnn",
        "sooner-claim",
        ("imports", "machine", "sooner"),
        nulls={
            "one recipe": Change("sooner", 'run["ours"]', 'run.get("d2l", run["ours"])'),
        },
        seeds={},
    ),
    Claim(
        "12-deep-rnn",
        "means-claim",
        ("imports", "machine", "held-out", "chosen"),
        nulls={
            "not chosen by validation": Change(
                "chosen", 'pieces(run["chosen"])', 'pieces(machine["0"]["ours"]["at 1.1"])'
            ),
            "no more text": _instead_in(
                "chosen", "12-held-out", "136,464 letters, dropout", "10,000 letters"
            ),
        },
        seeds={},
    ),
    Claim(
        "12-deep-rnn",
        "recipe-claim",
        ("imports", "machine", "recipe"),
        nulls={
            "nothing taken back": Change(
                "recipe",
                'recipe = runs.load("12-recipe")["results"]',
                'recipe = {n: {s: machine[s]["ours"] for s in "01"} for n in "abc"}',
            )
        },
        seeds={},
    ),
    Claim(
        "13-encoder-decoder",
        "learn-claim",
        NUMBERS,
        nulls={"hardly trained": Change("learn", '"every step"), 250', '"every step"), 25')},
        seeds={f"seed {seed}": _seed("learn", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "13-encoder-decoder",
        "contexts-claim",
        ("imports", "contexts", "first-state"),
        nulls={
            "no more steps": _instead_in(
                "first-state",
                "13-first-state",
                "bias 3, three times the steps",
                "bias 3, input weights times 4",
            ),
            "gates as drawn": _instead_in(
                "contexts", "13-contexts", "last, first state, bias 3", "last, first state"
            ),
            "a first state at every step": _instead_in(
                "contexts", "13-contexts", "last, every step", "last, first state"
            ),
        },
        seeds={},
    ),
    Claim(
        "13-encoder-decoder",
        "errors-claim",
        (*NUMBERS, "errors", "kinds", "longer"),
        nulls={
            "another number's answer": Change(
                "errors", "zip(task.held_out.target, said)", "zip(task.held_out.target, said[::-1])"
            )
        },
        seeds={f"seed {seed}": _seed("learn", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "13-encoder-decoder",
        "forcing-claim",
        (*NUMBERS, "forced", "go-on", "rest"),
        nulls={
            "another number's source": Change(
                "go-on",
                "model.start(source, lengths)",
                "model.start(source.roll(1, 0), lengths.roll(1))",
            )
        },
        seeds={f"seed {seed}": _seed("learn", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "13-encoder-decoder",
        "scheduled-claim",
        ("imports", "contexts", "scheduled"),
        nulls={
            "half of its own letters, and all": _instead_in(
                "scheduled",
                "13-teacher-forcing",
                "up to half own letters",
                "more and more own letters",
            )
        },
        seeds={},
    ),
    Claim(
        "13-encoder-decoder",
        "reversing-claim",
        ("imports", "contexts", "reversing"),
        nulls={
            "read forwards": _instead_in(
                "reversing", "13-reversing", "backwards, bias 3", "forwards, bias 3"
            )
        },
        seeds={},
    ),
    Claim(
        "13-encoder-decoder",
        "beam-claim",
        ("imports", "contexts", "beams"),
        nulls={
            "greedy search for the wide beam": Change(
                "beams",
                'runs.load("13-beam")["results"]',
                '{stage: {s: r | {"8, penalty 0": r["1, penalty 0"]} for s, r in by_seed.items()}'
                ' for stage, by_seed in runs.load("13-beam")["results"].items()}',
            ),
            "half trained for trained": _instead_in("beams", "13-beam", "trained", "half-trained"),
        },
        seeds={},
    ),
    Claim(
        "13-encoder-decoder",
        "padding-claim",
        (*NUMBERS, "padding"),
        nulls={
            "lengths after all": Change(
                "padding", "source_lengths, as_long)", "source_lengths,) * 2"
            )
        },
        seeds={},
    ),
    Claim(
        "14-attention",
        "scaled-claim",
        ("imports", "package", "scores", "scaled"),
        nulls={"both scaled": Change("scaled", '("dot", 1.0)', '("dot", d**-0.5)')},
        seeds=_manual_seeds("scaled"),
    ),
    Claim(
        "14-attention",
        "budget-claim",
        ("imports", "package", "budget", "budget-table", "budget-longer"),
        nulls={
            "one vector sooner": Change("budget-longer", '["0.99"]', '["0.5"]'),
            "one vector for the dot product": _instead_in(
                "budget", "14-budget", "dot, after", "every step"
            ),
            "the dot product for the additive score": _instead_in(
                "budget", "14-budget", "additive, before", "dot, after"
            ),
            "the dot product for the general score": _instead_in(
                "budget", "14-budget", "general, after", "dot, after"
            ),
        },
        seeds={},
    ),
    Claim(
        "14-attention",
        "seeds-claim",
        ("imports", "package", "budget", "budget-table", "seeds", "neighbour"),
        nulls={
            "the general score for the dot product": _instead_in(
                "budget", "14-budget", "dot, after", "general, after"
            ),
            "the dot product for the general score": Change(
                "seeds",
                'runs.load("14-elsewhere")["results"]["general, after"]',
                'attends["dot, after"]',
            ),
            "no weights changed": Change(
                "budget",
                'attends = runs.load("14-budget")["results"]',
                'attends = {n: {s: r | {"changed": dict.fromkeys(r.get("changed", ()), r)} '
                "for s, r in by_seed.items()} "
                'for n, by_seed in runs.load("14-budget")["results"].items()}',
            ),
            "the embedding for the output": Change(
                "neighbour", 'run["neighbour known"]', 'run["neighbour known"] | {"state": 0.13}'
            ),
        },
        seeds={},
    ),
    Claim(
        "14-attention",
        "cost-claim",
        ("imports", "package", "cost"),
        nulls={
            "short sentences": _instead_in("cost", "14-cost", "200", "20"),
            "nothing grows": _instead_in("cost", "14-cost", "100", "200"),
        },
        seeds={},
    ),
    Claim(
        "14-attention",
        "misdrawn-claim",
        (
            "imports",
            "package",
            "budget",
            "budget-table",
            "budget-longer",
            "budget-claim",
            "misdrawn",
        ),
        nulls={
            "own states instead of places": _instead_in(
                "misdrawn", "14-misdrawn", "location", "own states"
            ),
            "places instead of own states": _instead_in(
                "misdrawn", "14-misdrawn", "own states", "location"
            ),
        },
        seeds={},
    ),
    Claim(
        "14-attention",
        "other-budgets-claim",
        ("imports", "package", "budget", "budget-table", "other-budgets"),
        nulls={
            "one vector is even": _instead_in(
                "other-budgets",
                "14-other-budgets",
                "dot, after, a third of the rate",
                "every step, a third of the rate",
            ),
            "a short cycle is enough": _instead_in(
                "other-budgets", "14-other-budgets", "dot, after, 150 steps", "plain dot, after"
            ),
        },
        seeds={},
    ),
    Claim(
        "14-attention",
        "longer-claim",
        ("imports", "package", "lengths", "longer"),
        nulls={
            "the short training": Change(
                "longer",
                'runs.load("14-lengths-longer")["results"]',
                '{"a": results_by_length["every step, up to 31"]}',
            ),
            "attention": Change(
                "longer",
                'runs.load("14-lengths-longer")["results"]',
                '{"a": results_by_length["attention, up to 31"]}',
            ),
        },
        seeds={},
    ),
    Claim(
        "14-attention",
        "location-claim",
        ("imports", "package", "lengths", "location-lengths"),
        nulls={
            "as good as a score": _instead_in(
                "lengths", "14-lengths", "attention, up to 15", "every step, up to 15"
            ),
            "long names learnt": Change(
                "location-lengths",
                'runs.load("14-lengths-location")["results"]',
                '{f"location, up to {n}": results_by_length["attention, up to 31"] '
                "for n in (15, 31)}",
            ),
        },
        seeds={},
    ),
    Claim(
        "14-attention",
        "alignments-claim",
        LOOKING,
        nulls={
            "hardly trained": Change(
                "learn", "number_problem(), 0, 250", "number_problem(), 0, 20"
            ),
            "no word exchanged": Change("effect", "front + word + back", "front + place + back"),
            "no output exchanged": Change("transplant", "roll(1, dims=0)", "roll(0, dims=0)"),
        },
        seeds={
            f"seed {seed}": Change(
                "learn", "number_problem(), 0, 250", f"number_problem(), {seed}, 250"
            )
            for seed in OTHER_SEEDS
        },
    ),
    Claim(
        "14-attention",
        "lengths-claim",
        ("imports", "package", "lengths"),
        nulls={
            "one vector for attention": _instead_in(
                "lengths", "14-lengths", "attention, up to 31", "every step, up to 31"
            ),
            "attention for one vector": _instead_in(
                "lengths", "14-lengths", "first state, up to 31", "attention, up to 31"
            ),
            "nothing is beyond": _instead_in(
                "lengths", "14-lengths", "attention, up to 15", "attention, up to 31"
            ),
        },
        seeds={},
    ),
    Claim(
        "15-translator",
        "bleu-claim",
        ("imports", "translate", "signatures", "bootstrap"),
        nulls={
            "no letters": Change("signatures", 'cut("char")', 'cut("none")'),
            "as many sentences": Change(
                "bootstrap", "len(said), size=(times, size)", "len(said), size=(20, 1000)"
            ),
        },
        seeds={
            f"seed {seed}": Change("bootstrap", "default_rng(0)", f"default_rng({seed})")
            for seed in OTHER_SEEDS
        },
    ),
    Claim(
        "15-translator",
        "equal-claim",
        ("imports", "corpus", "equal", "equal-more"),
        nulls={
            "no attention": Change("equal", "return [run[name][key]", 'return [run["plain"][key]'),
            "the general score as good": Change(
                "equal", '"fed", "attention general"', '"fed", "attention after"'
            ),
            "one rate": _instead_in(
                "equal-more", "15-other-rates", "twice the rate", "half the rate"
            ),
        },
        seeds={},
    ),
    Claim(
        "15-translator",
        "errors-claim",
        (
            "imports",
            "corpus",
            "translate",
            "checks",
            "believes",
            "pairs-of-two",
            "people-of-two",
            "verbs-of-two",
            "choose",
            "names",
        ),
        nulls={
            "by chance": Change(
                "believes",
                "return log_probability(english, good) > log_probability(english, bad)",
                "return len(english + good) % 2 == 0",
            ),
            "with the English after all": Change(
                "choose",
                'believes(".", good, bad) for _, good, bad in some',
                "believes(*three) for three in some",
            ),
            "names that are copied": Change(
                "names", "kept = sum(name in answer", "kept = sum(name in name"
            ),
        },
        seeds={},
    ),
    Claim(
        "15-translator",
        "chinese-claim",
        ("imports", "chinese-task", "chinese", "chinese-result", "round"),
        nulls={
            "hardly trained": Change("chinese", "steps=300", "steps=20"),
            "numbers that are not round": Change(
                "round", "k * 10**digits for", "k * 10**digits + 357 for"
            ),
        },
        seeds={f"seed {seed}": _seed("chinese", seed) for seed in OTHER_SEEDS},
    ),
    Claim(
        "15-translator",
        "wrong-claim",
        ("imports", "corpus", "translate", "equal", "typed", "two", "full-stop"),
        nulls={
            "the general score looks": Change(
                "full-stop", "over_seeds(name,", 'over_seeds("attention after",'
            ),
            "capitals stay": Change(
                "typed", '"in small letters": str.lower', '"in small letters": str'
            ),
            "one by one": Change(
                "two", "together = translator.translate_all(joined)", "together = alone"
            ),
        },
        seeds={},
    ),
    Claim(
        "16-beyond",
        "order-claim",
        ("imports", "package", "order-task", "order-model", "order-learn", "order-train"),
        nulls={
            "no mask": Change(
                "order-train", '("causal mask", False, True)', '("causal mask", False, False)'
            ),
            "places not told": Change(
                "order-train", '("positions", True, False)', '("positions", False, False)'
            ),
        },
        seeds={
            "seeds 5 to 9": Change("order-train", "seeds = range(5)", "seeds = range(5, 10)"),
        },
    ),
    Claim(
        "16-beyond",
        "joined-claim",
        ("imports", "package", "joined", "joined-table"),
        nulls={
            "gates that do not read the state": Change(
                "joined", "[[4.0], [-3.0], [-5.0]]", "[[0.0], [0.0], [0.0]]"
            ),
        },
        seeds={},
    ),
    Claim(
        "16-beyond",
        "marked-claim",
        ("imports", "package", "order-learn", "marked-learn"),
        nulls={
            "a gate that begins half open": Change(
                "marked-learn", "gate_bias=bias", "gate_bias=0.0"
            ),
            "no gate begins half open": Change("marked-learn", "gate_bias=bias", "gate_bias=-6.0"),
        },
        seeds={
            f"seed {seed}": Change("marked-learn", "seed, marked = 0", f"seed, marked = {seed}")
            for seed in OTHER_SEEDS
        },
    ),
    Claim(
        "16-beyond",
        "memory-claim",
        ("imports", "package", "memory", "memory-cost"),
        nulls={
            "the bias is all the same": Change(
                "memory",
                'f"{task}, {name}"',
                'f"{task}, {name}".replace("U, bias 3", "U, bias 6")',
            ),
            "the cell is all the same": Change(
                "memory", 'f"{task}, {name}"', 'f"{task}, {name}".replace("MinGRU", "GRU")'
            ),
            "places not told": Change(
                "memory", 'f"{task}, {name}"', 'f"{task}, {name}".replace(" with positions", "")'
            ),
        },
        seeds={},
    ),
    Claim(
        "16-beyond",
        "tracking-claim",
        ("imports", "package", "tracking"),
        nulls={
            "the loop loses": _instead_in(
                "tracking", "16-tracking", "parity, GRU", "parity, MinGRU"
            ),
            "the scan wins": _instead_in("tracking", "16-tracking", "cups, MinGRU", "cups, GRU"),
            "the sign changes nothing": _instead_in(
                "tracking", "16-tracking", "parity, signed MinGRU", "parity, MinGRU"
            ),
        },
        seeds={},
    ),
    Claim(
        "16-beyond",
        "time-claim",
        ("imports", "package", "time-recorded", "time-table"),
        nulls={
            "one layer for all": Change(
                "time-recorded", '["milliseconds"][name]', '["milliseconds"]["GRU"]'
            ),
            "short sequences only": Change(
                "time-recorded", "in ch16.LENGTHS[batch]", "in [64] * len(ch16.LENGTHS[batch])"
            ),
        },
        seeds={},
    ),
]
