"""The recorded runs of chapter 2, and the two networks that they compare."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unrolled.data import highlighting
from unrolled.layers import RNN
from unrolled.runs.recipe import count_parameters
from unrolled.runs.registry import experiment, fingerprint


class Tagger(nn.Module):
    """Read letters one by one and give the scores of each letter's class."""

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        classes: int,
        memory: bool = True,
        nonlinearity: str = "tanh",
    ) -> None:
        super().__init__()
        self.vocab_size, self.memory = vocab_size, memory
        self.rnn = RNN(vocab_size, hidden_size, nonlinearity=nonlinearity)
        self.read_out = nn.Linear(hidden_size, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Give ``(batch, time, classes)`` from ``tokens (batch, time)``."""
        x = F.one_hot(tokens, self.vocab_size)  # (batch, time, vocab)
        x = x.to(self.read_out.weight.dtype)
        if self.memory:
            h, _ = self.rnn(x)  # (batch, time, hidden)
        else:  # each letter is a sequence of its own, from the state zero
            h, _ = self.rnn(x.reshape(-1, 1, self.vocab_size))
        return self.read_out(h).view(*tokens.shape, -1)  # (batch, time, classes)


class WindowTagger(nn.Module):
    """Score each letter's class from that letter and the ``window - 1`` letters before it."""

    def __init__(self, vocab_size: int, hidden_size: int, classes: int, window: int) -> None:
        super().__init__()
        self.vocab_size, self.window = vocab_size, window
        self.convolution = nn.Conv1d(vocab_size, hidden_size, kernel_size=window)
        self.read_out = nn.Linear(hidden_size, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Give ``(batch, time, classes)`` from ``tokens (batch, time)``."""
        x = F.one_hot(tokens, self.vocab_size).float().mT  # (batch, vocab, time)
        x = F.pad(x, (self.window - 1, 0))  # nothing stands before the first letter
        h = torch.tanh(self.convolution(x)).mT  # (batch, time, hidden)
        return self.read_out(h)  # (batch, time, classes)


@experiment(
    variants={
        "memory": {"model": "Tagger"},
        "memory cut": {"model": "Tagger", "memory": False},
        "no tanh": {"model": "Tagger", "nonlinearity": "identity"},
        "randn weights": {"model": "Tagger", "randn_weights": True, "dtype": "float64"},
        "window 4": {"model": "WindowTagger", "window": 4, "learning_rate": 1e-2},
        "window 8": {"model": "WindowTagger", "window": 8, "learning_rate": 1e-2},
        "window 16": {"model": "WindowTagger", "window": 16, "learning_rate": 1e-2},
        "window 32": {"model": "WindowTagger", "window": 32, "learning_rate": 1e-2},
    },
    seeds=range(5),
    settings={
        "hidden": 64,
        "steps": 600,
        "batch": 32,
        "learning_rate": 3e-3,
        "every": 50,
    },
    data=lambda: fingerprint(*highlighting().train, *highlighting().held_out),
)
def highlighting_memory(
    seed: int,
    model: str,
    hidden: int,
    steps: int,
    batch: int,
    learning_rate: float,
    every: int,
    randn_weights: bool = False,
    dtype: str = "float32",
    **options: Any,
) -> Generator[float, None, dict[str, Any]]:
    """How much of code, string or comment can be known from how far back."""
    task = highlighting()
    torch.manual_seed(seed)
    make = {"Tagger": Tagger, "WindowTagger": WindowTagger}[model]
    network = make(len(task.vocab), hidden, len(task.classes), **options)
    network.to(getattr(torch, dtype))
    if randn_weights:  # what many posts write: numbers of size one, whatever the number of units
        for parameter in network.rnn.parameters():
            nn.init.normal_(parameter)
    optimiser = torch.optim.Adam(network.parameters(), learning_rate)
    curve = []
    for step in range(1, steps + 1):
        rows = torch.randint(len(task.train.tokens), (batch,))
        scores = network(task.train.tokens[rows])
        loss = F.cross_entropy(scores.flatten(0, 1), task.train.labels[rows].flatten())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        yield loss.item()
        if step % every == 0:
            with torch.no_grad():
                right = network(task.held_out.tokens).argmax(-1) == task.held_out.labels
            curve.append(right.float().mean().item())
    recall = {
        name: right[task.held_out.labels == number].float().mean().item()
        for number, name in enumerate(task.classes)
    }
    return {
        "accuracy": curve[-1],
        "recall": recall,
        "curve": curve,
        "parameters": count_parameters(network),
    }
