"""What most recorded runs share: the layers by name, one way to train, a count of weights."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from torch import nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from unrolled.layers import GRU, LSTM, RNN
from unrolled.training import History, train

LAYERS = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}


def train_with_adam(
    model: nn.Module, batches: Iterable, *, steps: int, learning_rate: float, **options: Any
) -> Generator[float, None, History]:
    """Train with Adam, at a learning rate that falls to zero along a cosine.

    At the end the model is on the processor, wherever it was trained.

    ``options`` are those of :func:`unrolled.training.train`.
    """
    optimiser = Adam(model.parameters(), learning_rate)
    schedule = CosineAnnealingLR(optimiser, steps)
    history = yield from train(
        model, batches, steps=steps, optimizer=optimiser, scheduler=schedule, **options
    )
    model.cpu()  # where the tensors are that it is measured with
    return history


def count_parameters(model: nn.Module) -> int:
    """Give the number of weights and biases of a model."""
    return sum(parameter.numel() for parameter in model.parameters())
