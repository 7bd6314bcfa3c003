"""Trainings on two processes, as a program of its own: ``python many.py WHAT FOLDER``.

``WHAT`` is "all", which goes through the command line, or a training that is "killed", "killed
while validating", "whole" or "resumed". What each process ends with is written to the folder.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from unrolled.__main__ import main
from unrolled.attention import DotProductAttention
from unrolled.data import ContiguousWindows, LengthBatches, MaskedWindow, PairBatches, TextPairs
from unrolled.data.pairs import Tokenizer
from unrolled.layers import GRU, LSTM, map_state
from unrolled.models import (
    AttentionDecoder,
    Encoder,
    LanguageModel,
    Seq2Seq,
    SequenceClassifier,
    language_model_loss,
    masked_cross_entropy,
    seq2seq_loss,
)
from unrolled.processes import once
from unrolled.runs import registry
from unrolled.training import evaluate, fit, train

ROOT = Path(__file__).resolve().parent.parent
TOKENS = torch.arange(400) ** 2 % 23
NUMBERS = ["one", "seventy three", "nine", "twelve hundred", "six", "forty", "ninety nine", "two"]
NAMES = ["eins", "dreiundsiebzig", "neun", "zwölfhundert", "sechs", "vierzig", "neunundneunzig"]
KILLED_AT, STEPS, EVERY = 13, 20, 4


def language_model(dropout=0.0):
    torch.manual_seed(11)
    return LanguageModel(23, layer=LSTM(6, 10, num_layers=2, dropout=dropout))


def pairs():
    source, target = Tokenizer(NUMBERS), Tokenizer(NAMES)
    # The last of a pass has one pair, of which the second process has none.
    batches = PairBatches(TextPairs(NUMBERS[:7], NAMES), source, target, batch=3)
    torch.manual_seed(5)
    encoder = Encoder(source.vocab_size, layer=GRU(6, 5, bidirectional=True))
    decoder = AttentionDecoder(
        target.vocab_size,
        encoder=encoder,
        layer=GRU(6, 10),
        embedding_size=6,
        attention=DotProductAttention(),
        look="after",
    )
    return Seq2Seq(encoder, decoder), batches, seq2seq_loss


def windows():
    return language_model(), ContiguousWindows(TOKENS, 5, 9), language_model_loss


def words():
    torch.manual_seed(2)
    sequences = [torch.randint(9, (int(length),)) for length in torch.randint(1, 8, (11,))]
    classes = torch.arange(11) % 3
    torch.manual_seed(3)
    model = SequenceClassifier(9, 3, layer=GRU(4, 6))

    def loss(model, batch, state):
        return nn.functional.cross_entropy(model(batch.tokens, batch.lengths), batch.targets), None

    return model, LengthBatches(sequences, classes, batch=4), loss


def nothing_counts():
    """Of the second process's rows."""
    inputs, targets = TOKENS[:36].view(4, 9), TOKENS[1:37].view(4, 9)
    mask = torch.zeros(4, 9, dtype=torch.bool)
    mask[0, 3:] = mask[1, 5] = True

    def loss(model, window, state):
        logits, _ = model(window.inputs)
        return masked_cross_entropy(logits, window.targets, window.mask), None

    return language_model(), [MaskedWindow(inputs, targets, mask)], loss


def nothing_counts_and_carried():
    """Of the second process's rows, where a pass begins, and where a state is carried on."""
    every = torch.ones(4, 9, dtype=torch.bool)
    half = every.clone()
    half[2:] = False

    def window(start, mask):
        inputs, targets = (TOKENS[begin : begin + 36].view(4, 9) for begin in (start, start + 1))
        return MaskedWindow(inputs, targets, mask)

    def loss(model, window, state):
        logits, state = model(window.inputs, state)
        value = masked_cross_entropy(logits, window.targets, window.mask)
        return value, map_state(Tensor.detach, state)

    return language_model(), [window(0, half), window(40, every), window(80, half)], loss


def plain():
    """Batches without a weight, which count by their rows."""
    torch.manual_seed(4)
    model = nn.Linear(3, 2)

    def loss(model, batch, state):
        return (model(batch["x"]) - batch["y"]).pow(2).mean(), None

    return model, [{"x": torch.rand(n, 3), "y": torch.rand(n, 2)} for n in (5, 1, 2)], loss


CASES = {
    f.__name__: f
    for f in (pairs, windows, words, nothing_counts, nothing_counts_and_carried, plain)
}


def run(name, **options):
    """Train a case; give the weights, the history, and a number drawn afterwards."""
    torch.set_default_dtype(torch.float64)
    model, batches, loss = CASES[name]()
    history = fit(
        model,
        batches,
        loss=loss,
        steps=9,
        optimizer=torch.optim.Adam(model.parameters(), 0.01),
        clip=0.1,
        validate=lambda model: {"training": evaluate(model, batches, loss=loss)},
        every=4,
        seed=6,
        **options,
    )
    torch.set_default_dtype(torch.float32)
    return {
        "weights": model.state_dict(),
        "losses": history.losses,
        "validation": history.validation,
        "drawn": torch.rand(3),
    }


def many_cases(seed, folder):
    """What two processes end with."""
    yield from (1.0, 1.0, 1.0)  # the first losses, which are computed again
    found = {name: run(name) for name in CASES}
    # One checkpoint of a carried state, of which each process has its rows.
    found["half"] = run("windows", checkpoint=Path(folder) / "half.pt")
    found["errors"] = [refused(unlike_batches), refused(unlike_rows)]
    found["loss"] = once(lambda: sum(found["plain"]["losses"]))
    torch.save(found, Path(folder) / f"process{process()}.pt")
    return {"loss": found["loss"]}


def process():
    return int(os.environ.get("LOCAL_RANK", 0))


def refused(training):
    try:
        training()
    except ValueError as error:
        return str(error)
    return "nothing was refused"


def unlike_batches():
    model, _, loss = plain()
    x = torch.full((2, 3), float(process()))
    small(model, [{"x": x, "y": torch.ones(2, 2)}], loss)


def unlike_rows():
    model, _, loss = plain()
    small(model, [{"x": torch.ones(2, 3), "y": torch.ones(3, 2)}], loss)


def small(model, batches, loss):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    return fit(model, batches, loss=loss, steps=2, optimizer=optimizer)


def die():
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


class Noted:
    """The loss of a language model, that notes what dropout draws, and may be killed."""

    def __init__(self, killed):
        self.steps, self.killed, self.drawn = 0, killed, []

    def __call__(self, model, window, state):
        self.steps += 1
        if self.killed and self.steps == KILLED_AT:
            die()
        self.drawn.append(torch.rand(()).item())
        value, state = language_model_loss(model, window, state)
        return value, map_state(Tensor.detach, state)


def with_dropout(folder, what, victim):
    """Train on two processes, which Fabric or torchrun starts; one may be the victim."""
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
    model = language_model(dropout=0.3)
    is_victim = fabric.global_rank == victim
    loss = Noted(what == "killed" and is_victim)

    def validate(model):
        if what == "killed while validating":
            if is_victim:
                die()
            time.sleep(12)  # Fabric looks every 5 seconds who is still there
        return {}

    training = train(
        model,
        ContiguousWindows(TOKENS, 5, 9),
        loss=loss,
        steps=STEPS,
        optimizer=torch.optim.Adam(model.parameters(), 0.01),
        validate=validate,
        every=EVERY,
        checkpoint=folder / "run.pt",
        seed=6,
        fabric=fabric,
    )
    losses = list(training)
    found = {"weights": model.state_dict(), "losses": losses, "drawn": loss.drawn}
    torch.save(found, folder / f"{what}{fabric.global_rank}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    what, folder, victim = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if what == "all":
        registry.folder = lambda: folder
        many_cases.__module__ = "unrolled.runs.ch99"
        registry.experiment(
            variants={"": {}}, seeds=[0], settings={"folder": str(folder)}, data=lambda: ""
        )(many_cases)
        main(["train", "99-many-cases", "--devices", "2"])
    else:
        with_dropout(folder, what, victim)
