"""The recorded runs of chapter 1, and the networks that they compare: all without a memory."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from unrolled.data import (
    ContiguousWindows,
    LabelledTexts,
    RandomWindows,
    Vocab,
    Window,
    closing_quotes,
    corpus,
    prose_or_program,
)
from unrolled.metrics import accuracy, bits_per_character
from unrolled.runs.recipe import count_parameters, train_with_adam
from unrolled.runs.registry import experiment, fingerprint
from unrolled.training import evaluate

# --- Prose or program ----------------------------------------------------------------------------


def features(text: str) -> list[float]:
    """Count what a person would look for to tell prose from program."""
    return [
        sum(letter.isalpha() for letter in text),
        sum(letter.isupper() for letter in text),
        sum(letter.isdigit() for letter in text),
        sum(letter.isspace() for letter in text),
        text.count("_"),
        text.count("\n"),
        text.count("(") + text.count(")"),
        text.count("="),
        text.count("."),
        text.count(","),
    ]


def by_hand(pieces: LabelledTexts) -> Pipeline:
    """Fit a logistic regression to the features of the pieces."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return classifier.fit([features(text) for text in pieces.texts], pieces.labels)


class LetterReader(nn.Module):
    """Classify texts from their letters: what to look for is learnt."""

    def __init__(self, vocab_size: int, classes: int, hidden_size: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, 16)
        self.first = nn.Conv1d(16, hidden_size, kernel_size=5, padding=2)
        self.second = nn.Conv1d(hidden_size, hidden_size, 3, padding=1)
        self.read_out = nn.Linear(hidden_size, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Give ``(batch, classes)`` from ``tokens (batch, time)``."""
        x = self.embedding(tokens).mT  # (batch, features, time)
        x = F.relu(self.second(F.relu(self.first(x))))  # (batch, hidden, time)
        strongest = x.amax(dim=2)  # answer of each detector: (batch, hidden)
        return self.read_out(strongest)


def encode(vocab: Vocab, texts: list[str]) -> Tensor:
    """Give texts of one length as numbers, ``(texts, time)``."""
    return vocab.encode("".join(texts)).view(len(texts), -1)


@experiment(
    variants={
        str(number): {"number": number} for number in (20, 50, 100, 200, 500, 1000, 5000, 25000)
    },
    seeds=range(5),
    settings={"steps": 600, "batch": 64, "learning_rate": 3e-3},
    data=lambda: _pieces_fingerprint(),
)
def prose_or_program_pieces(
    seed: int, number: int, steps: int, batch: int, learning_rate: float
) -> Generator[float, None, dict[str, Any]]:
    """From how many examples on it is better to learn what to look for than to say it."""
    task = prose_or_program()
    vocab = corpus("python").vocab
    torch.manual_seed(seed)
    chosen = torch.randperm(len(task.train.texts))[:number]
    some = LabelledTexts([task.train.texts[row] for row in chosen], task.train.labels[chosen])
    tokens, held_out = encode(vocab, some.texts), encode(vocab, task.held_out.texts)
    network = LetterReader(len(vocab), len(task.classes))
    optimiser = torch.optim.Adam(network.parameters(), learning_rate)
    for _ in range(steps):
        rows = torch.randint(number, (batch,))
        loss = F.cross_entropy(network(tokens[rows]), some.labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield loss.item()
    counted = by_hand(some)
    with torch.no_grad():
        right = accuracy(network(held_out), task.held_out.labels)
        mixed = held_out.gather(1, torch.rand(held_out.shape).argsort(1))
        shuffled = accuracy(network(mixed), task.held_out.labels)
    return {
        "by hand": counted.score([features(t) for t in task.held_out.texts], task.held_out.labels),
        "end to end": right,
        "end to end, letters shuffled": shuffled,
    }


def _pieces_fingerprint() -> str:
    task, vocab = prose_or_program(), corpus("python").vocab
    return fingerprint(encode(vocab, task.train.texts), encode(vocab, task.held_out.texts))


# --- Language models that look through a window --------------------------------------------------


class WindowModel(nn.Module):
    """Score the next token from a window of tokens (Bengio et al. 2003)."""

    def __init__(self, vocab_size: int, window: int, hidden_size: int = 256) -> None:
        super().__init__()
        self.window = window
        self.embedding = nn.Embedding(vocab_size, 24)
        self.hidden = nn.Linear(24 * window, hidden_size)
        self.read_out = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Give ``(batch, time, vocab)`` from ``tokens (batch, time)``."""
        x = F.pad(self.embedding(tokens), (0, 0, self.window - 1, 0))
        windows = x.unfold(1, self.window, 1)  # the last tokens of each step
        windows = windows.flatten(2)  # (batch, time, 24 * window)
        return self.read_out(F.relu(self.hidden(windows)))


class CausalConvolutions(nn.Module):
    """Score the next token by convolutions that look back 1, 2, 4 ... steps.

    With ``levels`` of them, one on another, the window is ``2 ** levels``
    tokens wide (van den Oord et al. 2016).
    """

    def __init__(self, vocab_size: int, levels: int, hidden_size: int = 96) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, hidden_size)
        self.levels = nn.ModuleList(
            nn.Conv1d(hidden_size, hidden_size, kernel_size=2, dilation=2**level)
            for level in range(levels)
        )
        self.read_out = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Give ``(batch, time, vocab)`` from ``tokens (batch, time)``."""
        x = self.embedding(tokens).mT  # (batch, hidden, time)
        for level in self.levels:
            past = F.pad(x, (level.dilation[0], 0))  # zeros before the start
            x = x + F.relu(level(past))
        return self.read_out(x.mT)


def next_token_loss(model: nn.Module, window: Window, state: None) -> tuple[Tensor, None]:
    """Give the mean cross-entropy of a window's targets; such a model carries no state."""
    logits = model(window.inputs)  # (batch, time, vocab)
    return F.cross_entropy(logits.flatten(0, 1), window.targets.flatten()), state


#: Strings that closing quotes are counted for, by the letters that they hold.
LENGTHS = ((0, 2), (3, 5), (6, 8), (9, 12), (13, 20), (21, 60))


def right_quotes(
    scores: Callable[[Tensor], Tensor], vocab: Vocab, text: Tensor, context: int = 128
) -> list[float]:
    """Give how often the right quote is likelier than the wrong one where a string ends.

    Parameters
    ----------
    scores
        Gives scores ``(batch, vocab)`` of the token after ``tokens (batch, context)``.
    vocab
        Of the text.
    text
        A program, ``int64``, ``(time,)``.
    context
        Tokens that are shown before the quote.

    Returns
    -------
    list of float
        A share for each of ``LENGTHS``.
    """
    found = closing_quotes("".join(vocab.decode(text)))
    found = [quote for quote in found if quote.place >= context]
    before = torch.stack([text[quote.place - context : quote.place] for quote in found])
    single, double = vocab.encode("'\"").tolist()
    with torch.no_grad():
        logits = torch.cat([scores(part) for part in before.split(256)])  # (strings, vocab)
    says_single = logits[:, single] > logits[:, double]
    right = says_single == torch.tensor([quote.quote == "'" for quote in found])
    letters = torch.tensor([quote.letters for quote in found])
    return [
        right[(low <= letters) & (letters <= high)].float().mean().item() for low, high in LENGTHS
    ]


@experiment(
    variants={
        **{
            f"window {k}": {"model": "WindowModel", "window": k, "learning_rate": 1e-2}
            for k in (2, 4, 8, 16)
        },
        **{f"convolutions {2**n}": {"model": "CausalConvolutions", "levels": n} for n in (2, 4, 6)},
    },
    seeds=range(5),
    settings={"steps": 800, "batch": 32, "time": 100, "learning_rate": 6e-3},
    data=lambda: fingerprint(*corpus("python")[:3]),
)
def window_models(
    seed: int, model: str, steps: int, batch: int, time: int, learning_rate: float, **options: int
) -> Generator[float, None, dict[str, Any]]:
    """How much a language model knows that looks back through a window, by the window's width."""
    text = corpus("python")
    torch.manual_seed(seed)
    make = {"WindowModel": WindowModel, "CausalConvolutions": CausalConvolutions}[model]
    network = make(len(text.vocab), **options)
    yield from train_with_adam(
        network,
        RandomWindows(text.train, batch, time, count=steps),
        loss=next_token_loss,
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
    )
    windows = ContiguousWindows(text.validation, batch=10, time=1000)
    nats = evaluate(network, windows, loss=next_token_loss)
    return {
        "bits": bits_per_character(nats),
        "quotes": right_quotes(
            lambda tokens: network(tokens)[:, -1], text.vocab, torch.cat(text[1:3])
        ),
        "parameters": count_parameters(network),
    }
