"""The recorded runs of chapter 3."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Generator
from io import StringIO
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.data import ContiguousWindows, Vocab, Window, corpus
from unrolled.decoding import sample
from unrolled.layers import RNN, State
from unrolled.metrics import bits_per_character, perplexity
from unrolled.models import LanguageModel, language_model_loss
from unrolled.runs.ch01 import right_quotes
from unrolled.runs.recipe import count_parameters, train_with_adam
from unrolled.runs.registry import experiment, fingerprint
from unrolled.training import evaluate, train


def forgetful_loss(model: nn.Module, window: Window, state: State | None) -> tuple[Tensor, None]:
    """Give the loss of a window that is read from the state zero, whatever stood before it."""
    return language_model_loss(model, window, None)[0], None


# --- How much of a sampled text is Python --------------------------------------------------------


def tokenises(line: str) -> bool:
    """Tell whether a line can be cut into Python's tokens, with every bracket closed."""
    try:
        tokens = list(tokenize.generate_tokens(StringIO(line.strip() + "\n").readline))
    except (SyntaxError, tokenize.TokenError):
        return False
    # Until Python 3.11, a stray letter or an open quote is a token of this kind, not an error.
    return all(token.type != tokenize.ERRORTOKEN for token in tokens)


def parses(line: str) -> bool:
    """Tell whether a line is a statement of Python, or the head of one that goes on below."""
    line = line.strip()
    before = after = ""
    if line.startswith(("elif ", "else:")):
        before = "if x:\n pass\n"
    elif line.startswith(("except", "finally:")):
        before = "try:\n pass\n"
    if line.endswith(":"):
        after = "\n pass"
    if line == "try:":
        after += "\nfinally:\n pass"
    elif line.startswith("@"):
        after = "\ndef f(): pass"
    try:
        ast.parse(before + line + after)
    except (SyntaxError, ValueError):
        return False
    return True


def shares(text: str) -> dict[str, float]:
    """Give the share of the lines of a text that tokenise, and of those that parse.

    Blank lines do not count, nor do comments, which always parse, nor the first and the last line,
    which are cut off.
    """
    lines = [line for line in text.splitlines()[1:-1] if line.strip()]
    lines = [line for line in lines if not line.strip().startswith("#")]
    count = max(1, len(lines))
    return {
        "tokenise": sum(map(tokenises, lines)) / count,
        "parse": sum(map(parses, lines)) / count,
    }


def write(
    model: LanguageModel,
    vocab: Vocab,
    prompt: str,
    letters: int,
    rows: int = 1,
    **options: Any,
) -> list[str]:
    """Let a model read a prompt and go on with it, ``rows`` times.

    ``options`` are those of :func:`unrolled.decoding.sample`.
    """
    tokens = vocab.encode(prompt).expand(rows, -1)  # (rows, time)
    with torch.no_grad():
        state = model(tokens[:, :-1])[1] if tokens.shape[1] > 1 else None
    last = tokens[:, -1]
    drawn = sample(model.step, state, bos=last, max_steps=letters, **options)
    return ["".join(vocab.decode(row)) for row in drawn]


# --- Python's own library ------------------------------------------------------------------------


def _train_on_python(
    seed: int,
    *,
    hidden: int,
    embedding: int,
    steps: int,
    batch: int,
    time: int,
    learning_rate: float,
    every: int,
    carry: bool,
) -> Generator[float, None, dict[str, Any]]:
    text = corpus("python")
    torch.manual_seed(seed)
    model = LanguageModel(len(text.vocab), layer=RNN(embedding, hidden))
    held_out = ContiguousWindows(text.validation, batch=16, time=100)

    def validate(model: LanguageModel) -> dict[str, float]:
        nats = evaluate(model, held_out, loss=language_model_loss if carry else forgetful_loss)
        return {"bits": bits_per_character(nats)}

    history = yield from train_with_adam(
        model,
        ContiguousWindows(text.train, batch, time),
        loss=language_model_loss if carry else forgetful_loss,
        steps=steps,
        learning_rate=learning_rate,
        validate=validate,
        every=every,
        seed=seed,
    )
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    samples = {
        str(temperature): write(
            model, text.vocab, "\n", 400, 32, temperature=temperature, generator=generator
        )
        for temperature in (0.4, 0.7, 1.0)
    }
    return {
        "bits": [value for _, value in history.validation["bits"]],
        "lines": {temperature: shares("\n".join(some)) for temperature, some in samples.items()},
        "sample": samples["0.7"][0],
        "quotes": right_quotes(
            lambda tokens: model(tokens)[0][:, -1], text.vocab, torch.cat(text[1:3])
        ),
        "parameters": count_parameters(model),
    }


@experiment(
    variants={"state carried": {"carry": True}, "state zero in each window": {"carry": False}},
    seeds=range(5),
    settings={
        "hidden": 256,
        "embedding": 64,
        "steps": 4500,
        "batch": 32,
        "time": 32,
        "learning_rate": 3e-3,
        "every": 500,
    },
    data=lambda: fingerprint(*corpus("python")[:3]),
)
def language_model(seed: int, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """How well a recurrent network of 256 units learns Python in a minute."""
    return (yield from _train_on_python(seed, **settings))


@experiment(
    variants={"512 units": {}},
    seeds=range(3),
    settings={
        "hidden": 512,
        "embedding": 96,
        "steps": 15000,
        "batch": 32,
        "time": 50,
        "learning_rate": 2e-3,
        "every": 1500,
        "carry": True,
    },
    data=lambda: fingerprint(*corpus("python")[:3]),
)
def language_model_longer(seed: int, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """How well a recurrent network of twice as many units learns Python in a quarter of an hour."""
    return (yield from _train_on_python(seed, **settings))


@experiment(
    variants={
        f"{name}, {how}": {"optimiser": name, "learning_rate": rate, "clip": clip}
        for name, rate in (("SGD", 1.0), ("Adam", 3e-3))
        for how, clip in (("clipped", 1.0), ("not clipped", None))
    },
    seeds=range(5),
    settings={"hidden": 256, "embedding": 64, "steps": 300, "batch": 32, "time": 32},
    data=lambda: fingerprint(corpus("python").train),
)
def clipping(
    seed: int,
    optimiser: str,
    learning_rate: float,
    clip: float | None,
    hidden: int,
    embedding: int,
    steps: int,
    batch: int,
    time: int,
) -> Generator[float, None, dict[str, Any]]:
    """Which optimiser needs its gradients clipped."""
    text = corpus("python")
    torch.manual_seed(seed)
    model = LanguageModel(len(text.vocab), layer=RNN(embedding, hidden))
    make = {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam}[optimiser]
    history = yield from train(
        model,
        ContiguousWindows(text.train, batch, time),
        loss=language_model_loss,
        steps=steps,
        optimizer=make(model.parameters(), learning_rate),
        clip=clip,
        seed=seed,
    )
    last = history.losses[-50:]
    return {"bits": bits_per_character(sum(last) / len(last)), "worst": max(history.losses)}


# --- The Time Machine ----------------------------------------------------------------------------


@experiment(
    variants={"10,000 letters": {"letters": 10_000}, "136,464 letters": {"letters": 136_464}},
    seeds=range(3),
    settings={
        "hidden": 512,
        "embedding": 32,
        "steps": 1800,
        "batch": 32,
        "time": 35,
        "learning_rate": 1.0,
        "every": 180,
    },
    data=lambda: fingerprint(*corpus("time_machine")[:3]),
)
def time_machine(
    seed: int,
    letters: int,
    hidden: int,
    embedding: int,
    steps: int,
    batch: int,
    time: int,
    learning_rate: float,
    every: int,
) -> Generator[float, None, dict[str, Any]]:
    """How good a perplexity of 1.0 on ten thousand letters is on the rest of the book."""
    text = corpus("time_machine")
    torch.manual_seed(seed)
    model = LanguageModel(len(text.vocab), layer=RNN(embedding, hidden))
    windows = ContiguousWindows(text.train[:letters], batch, time)
    # The training windows as they are trained on, the held-out text in a few long pieces.
    read = {"training": windows, "held out": ContiguousWindows(text.validation, 8, 100)}

    def validate(model: LanguageModel) -> dict[str, float]:
        return {
            name: perplexity(evaluate(model, some, loss=language_model_loss))
            for name, some in read.items()
        }

    history = yield from train(
        model,
        windows,
        loss=language_model_loss,
        steps=steps,
        optimizer=torch.optim.SGD(model.parameters(), learning_rate),
        validate=validate,
        every=every,
        seed=seed,
    )
    model.cpu().eval()
    generator = torch.Generator().manual_seed(seed)
    return {name: [value for _, value in values] for name, values in history.validation.items()} | {
        "sample": write(model, text.vocab, "time traveller ", 120, generator=generator)[0]
    }
