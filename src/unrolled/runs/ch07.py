"""The recorded runs of chapter 7: one direction or both, and what goes wrong with two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from functools import cache
from itertools import groupby
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unrolled.data import (
    CallTagging,
    ContiguousWindows,
    LengthBatches,
    RandomWindows,
    Statements,
    Vocab,
    call_tagging,
    corpus,
)
from unrolled.layers import (
    GRU,
    Bidirectional,
    BidirectionalState,
    State,
    reverse_steps,
    step_mask,
    zero_padding,
)
from unrolled.metrics import accuracy, bits_per_character, perplexity
from unrolled.models import SequenceTagger, tagger_loss
from unrolled.ngrams import NGramModel
from unrolled.runs.ch01 import next_token_loss
from unrolled.runs.recipe import LAYERS, count_parameters, train_with_adam
from unrolled.runs.registry import experiment, fingerprint

# --- Layers: one that answers late, and three with a fault ---------------------------------------


class Delayed(nn.Module):
    """Say at step t + delay what belongs to step t: by then, `delay` more letters were read."""

    def __init__(self, layer: nn.Module, delay: int) -> None:
        super().__init__()
        self.layer, self.delay = layer, delay
        self.input_size, self.output_size = layer.input_size, layer.output_size

    def forward(
        self, x: Tensor, state: State | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Give the outputs of the steps ``delay`` later; zeros are read after each end."""
        if lengths is None:
            lengths = torch.full((len(x),), x.shape[1])
        x = F.pad(zero_padding(x, lengths), (0, 0, 0, self.delay))
        outputs, state = self.layer(x, state, lengths + self.delay)
        return outputs[:, self.delay :], state


class NotFlippedBack(Bidirectional):
    """With a fault: the backward outputs stay in the order in which they were made."""

    def forward(
        self, x: Tensor, state: BidirectionalState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, BidirectionalState]:
        """Give outputs of two different steps side by side."""
        x = zero_padding(x, lengths)
        ahead, end = self.forward_layer(x, lengths=lengths)
        back, start = self.backward_layer(reverse_steps(x, lengths), lengths=lengths)
        return torch.cat([ahead, back], dim=2), BidirectionalState(end, start)


class PaddingReversed(Bidirectional):
    """With a fault: the padded batch is turned around, so that its padding comes first."""

    def forward(
        self, x: Tensor, state: BidirectionalState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, BidirectionalState]:
        """Give backward outputs that depend on how much padding there is."""
        ahead, end = self.forward_layer(x, lengths=lengths)
        back, start = self.backward_layer(x.flip(1))
        return torch.cat([ahead, back.flip(1)], dim=2), BidirectionalState(end, start)


class PaddingReversedAndPacked(Bidirectional):
    """With two faults: the padding comes first, and as many steps are left out at the end."""

    def forward(
        self, x: Tensor, state: BidirectionalState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, BidirectionalState]:
        """Give backward outputs that are zero for as many first steps as there is padding."""
        ahead, end = self.forward_layer(x, lengths=lengths)
        back, start = self.backward_layer(x.flip(1), lengths=lengths)
        return torch.cat([ahead, back.flip(1)], dim=2), BidirectionalState(end, start)


FAULTY = {
    "not flipped back": NotFlippedBack,
    "padding reversed": PaddingReversed,
    "padding reversed and packed": PaddingReversedAndPacked,
}
EMBEDDING = 24


def make_layer(kind: str, units: int, cell: str = "GRU", delay: int = 0) -> nn.Module:
    """Give a layer for the tagger: of one direction, of two, of two and faulty, or of depth 2."""
    if kind in ("forward", "stacked"):
        layer = LAYERS[cell](EMBEDDING, units, num_layers=2 if kind == "stacked" else 1)
        return Delayed(layer, delay) if delay else layer
    two = LAYERS[cell](EMBEDDING, units, bidirectional=True)
    if kind == "both":
        return two
    return FAULTY[kind](two.layers[0].forward_layer, two.layers[0].backward_layer)


# --- Scores --------------------------------------------------------------------------------------


class Answers(NamedTuple):
    """Scores ``(letters, classes)`` and classes ``(letters,)``, one statement after another."""

    scores: Tensor
    truth: Tensor


def answer(model: nn.Module, statements: Statements, time: int = 0) -> Answers:
    """Tag all letters of statements, sorted by length; pad each batch to ``time`` steps at least.

    What is longer than ``time`` is not cut.
    """
    scores, truth = [], []
    with torch.no_grad():
        for tokens, lengths, targets in LengthBatches(*statements, batch=256, shuffle=False):
            tokens = F.pad(tokens, (0, max(0, time - tokens.shape[1])))
            given = model(tokens, lengths)[:, : targets.shape[1]]
            mask = step_mask(lengths, targets.shape[1])
            scores.append(given[mask])
            truth.append(targets[mask])
    return Answers(torch.cat(scores), torch.cat(truth))


def by_class(predicted: Tensor, truth: Tensor, number: int) -> dict[str, float]:
    """Give precision, recall and F1 of one class, from classes ``(letters,)``."""
    said, right = predicted == number, truth == number
    both = (said & right).sum().item()
    precision, recall = both / max(1, said.sum().item()), both / right.sum().item()
    f1 = 2 * both / (said.sum().item() + right.sum().item())
    return {"precision": precision, "recall": recall, "f1": f1}


def places(called: Tensor) -> tuple[Tensor, Tensor]:
    """Give for each letter of a called name its number from the start, and from the bracket.

    Both count from 1; both are 0 outside. ``called`` is ``bool``, ``(letters,)``; two called names
    never touch.
    """
    steps = torch.arange(1, len(called) + 1)

    def since(inside: Tensor) -> Tensor:
        outside = torch.where(inside, 0, steps)  # the number of a letter that is outside
        return steps - outside.cummax(0).values

    return since(called), since(called.flip(0)).flip(0)


def lookup(task: CallTagging) -> Answers:
    """Tag each held-out name as it was tagged most often in training; a new one as a name.

    It is told which letters are a name, and shown the name as a whole. All other letters get their
    true class.
    """
    name, call = task.classes.index("name"), task.classes.index("call")
    seen: Counter[tuple[str, int]] = Counter(_names(task.train, task.vocab, (name, call)))
    guessed = []
    for word, label in _names(task.held_out, task.vocab, (name, call)):
        if label in (name, call):
            label = call if seen[word, call] > seen[word, name] else name
        guessed += [label] * len(word)
    truth = torch.cat(task.held_out.labels)
    return Answers(F.one_hot(torch.tensor(guessed), len(task.classes)).float(), truth)


def _names(
    statements: Statements, vocab: Vocab, names: tuple[int, int]
) -> Iterator[tuple[str, int]]:
    """Give the text of each run of letters of one class; two names never touch."""
    for tokens, labels in zip(*statements, strict=True):
        letters = iter(vocab.decode(tokens))
        for label, some in groupby(labels.tolist()):
            yield "".join(next(letters) for _ in some), label


# --- One direction or both -----------------------------------------------------------------------

#: Letters from a letter to the bracket, itself counted, for which recall is recorded.
DISTANCES = 16
#: Letters from the start of a name, for which recall is recorded.
PLACES = 8

task = cache(call_tagging)

FORWARD = {"kind": "forward", "units": 96}


@experiment(
    variants={
        "GRU forward": FORWARD,
        "GRU both": {"kind": "both", "units": 64},
        "RNN forward": {"kind": "forward", "units": 173, "cell": "RNN", "learning_rate": 3e-3},
        "RNN both": {"kind": "both", "units": 118, "cell": "RNN", "learning_rate": 3e-3},
        "GRU stacked": {"kind": "stacked", "units": 58},
        **{f"GRU delay {delay}": FORWARD | {"delay": delay} for delay in (1, 2, 4, 8, 16)},
        **{f"GRU {fault}": {"kind": fault, "units": 64} for fault in FAULTY},
        "GRU forward, 1500 steps": FORWARD | {"steps": 1500},
        "GRU delay 8, 1500 steps": FORWARD | {"delay": 8, "steps": 1500},
    },
    seeds=range(5),
    settings={"steps": 500, "batch": 32, "learning_rate": 5e-3},
    data=lambda: fingerprint(*(torch.cat(some) for part in task()[:2] for some in part)),
)
def directions(
    seed: int, steps: int, batch: int, learning_rate: float, **options: Any
) -> Generator[float, None, dict[str, Any]]:
    """Tell which names are called: from the left, from both sides, or a little late."""
    data = task()
    torch.manual_seed(seed)
    model = SequenceTagger(len(data.vocab), len(data.classes), layer=make_layer(**options))
    yield from train_with_adam(
        model,
        LengthBatches(*data.train, batch=batch),
        loss=tagger_loss,
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
    )
    scores, truth = answer(model, data.held_out)
    predicted, call = scores.argmax(1), data.classes.index("call")
    from_start, from_bracket = places(truth == call)
    said = (predicted == call).float()
    padded = answer(model, data.held_out, time=120).scores.argmax(1)
    return {
        "accuracy": accuracy(scores, truth),
        "classes": {n: by_class(predicted, truth, i) for i, n in enumerate(data.classes)},
        "from start": [said[from_start == n].mean().item() for n in range(1, PLACES + 1)],
        "from bracket": [said[from_bracket == n].mean().item() for n in range(1, DISTANCES + 1)],
        "f1 in batches of 120 steps": by_class(padded, truth, call)["f1"],
        "changed in batches of 120 steps": (padded != predicted).float().mean().item(),
        "parameters": count_parameters(model),
    }


# --- A language model that cheats ----------------------------------------------------------------


class BothWays(nn.Module):
    """Score the next letter from outputs that may have seen it."""

    def __init__(self, vocab_size: int, layer: nn.Module) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, layer.input_size)
        self.layer = layer
        self.read_out = nn.Linear(layer.output_size, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Give ``(batch, time, vocab)`` from ``tokens (batch, time)``."""
        outputs, _ = self.layer(self.embedding(tokens))
        return self.read_out(outputs)


def perplexities(model: nn.Module, tokens: Tensor) -> dict[str, float]:
    """Give the perplexity of rows ``(batch, time)``: of all letters, the last, and the others."""
    with torch.no_grad():
        logits = model(tokens[:, :-1])  # (batch, time - 1, vocab)
    nats = F.cross_entropy(logits.mT, tokens[:, 1:], reduction="none")
    parts = {"all": nats, "last": nats[:, -1], "others": nats[:, :-1]}
    return {name: perplexity(part.mean()) for name, part in parts.items()}


def write_on(model: nn.Module, tokens: Tensor, letters: int) -> Tensor:
    """Let a model go on with ``tokens (batch, time)``: draw a letter, read all anew, draw ..."""
    with torch.no_grad():
        for _ in range(letters):
            p = model(tokens)[:, -1].softmax(1)  # (batch, vocab)
            tokens = torch.cat([tokens, torch.multinomial(p, 1)], dim=1)
    return tokens


@experiment(
    variants={"both": {"bidirectional": True, "units": 64}, "forward": {"units": 100}},
    seeds=range(5),
    settings={"steps": 300, "batch": 32, "time": 40, "learning_rate": 1e-2},
    data=lambda: fingerprint(*corpus("python")[:2]),
)
def cheating(
    seed: int,
    steps: int,
    batch: int,
    time: int,
    learning_rate: float,
    units: int,
    bidirectional: bool = False,
) -> Generator[float, None, dict[str, Any]]:
    """Show how little a perplexity says where a model sees the letter that it predicts."""
    text = corpus("python")
    torch.manual_seed(seed)
    model = BothWays(len(text.vocab), GRU(32, units, bidirectional=bidirectional))
    yield from train_with_adam(
        model,
        RandomWindows(text.train, batch, time, count=steps),
        loss=next_token_loss,
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
    )
    real = next(iter(ContiguousWindows(text.validation, batch=500, time=time)))
    noise = torch.randint(len(text.vocab), (500, time + 1))
    start = text.vocab.encode("\n    def ").expand(20, -1)
    written = write_on(model, start, letters=100)
    judge = NGramModel(text.train, len(text.vocab), 5)
    surprise = [-judge.log_probabilities(row)[start.shape[1] :].mean() for row in written]
    return {
        "held out": perplexities(model, torch.cat([real.inputs, real.targets[:, -1:]], dim=1)),
        "noise": perplexities(model, noise),
        "bits of what it writes": bits_per_character(torch.stack(surprise).mean()),
        "parameters": count_parameters(model),
    }
