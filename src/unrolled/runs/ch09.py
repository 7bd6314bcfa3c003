"""The recorded runs of chapter 9: how far back cells learn to look, and what else goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from unrolled.data import AddingBatches, FirstSymbolBatches, MemoryBatch
from unrolled.data.memory import MemoryBatches
from unrolled.layers import RNN
from unrolled.metrics import accuracy
from unrolled.models import SequenceClassifier
from unrolled.runs.recipe import LAYERS
from unrolled.runs.registry import experiment, fingerprint
from unrolled.training import train

# --- The cells, and a model for each task --------------------------------------------------------

SYMBOLS = 8
#: A seed of data that no training has.
UNSEEN = 1000


def make_layer(cell: str, input_size: int, units: int, **options: Any) -> nn.Module:
    """Make a layer of ``LAYERS``, or a plain one whose recurrent weights begin otherwise.

    ``"orthogonal"`` has tanh and an orthogonal matrix. ``"identity"`` has relu, the identity and no
    bias (Q. V. Le, N. Jaitly, G. E. Hinton, "A simple way to initialize recurrent networks of
    rectified linear units", 2015, arXiv:1504.00941; there the input's weights are smaller).
    """
    if cell in LAYERS:
        return LAYERS[cell](input_size, units, **options)
    layer = RNN(input_size, units, nonlinearity="relu" if cell == "identity" else "tanh")
    plain = layer.layers[0].cell
    if cell == "identity":
        nn.init.eye_(plain.weight_hh)
        nn.init.zeros_(plain.bias)
    else:
        nn.init.orthogonal_(plain.weight_hh)
    return layer


class SumReader(nn.Module):
    """Read a sequence of numbers, then give one number."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.read_out = nn.Linear(layer.output_size, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Give ``(batch,)`` from ``x (batch, time, features)``."""
        outputs, _ = self.layer(x)
        return self.read_out(outputs[:, -1])[:, 0]


class Problem(NamedTuple):
    """A model that is not trained yet, batches to train it on, and batches of another seed."""

    model: nn.Module
    batches: MemoryBatches
    unseen: MemoryBatches


def first_symbol_model(cell: str, units: int, **options: Any) -> SequenceClassifier:
    """Make a model that says with which of ``SYMBOLS`` a sequence began."""
    layer = make_layer(cell, 16, units, **options)
    return SequenceClassifier(2 * SYMBOLS, SYMBOLS, layer=layer)


def memory_loss(model: nn.Module, batch: MemoryBatch, state: None) -> tuple[Tensor, None]:
    """Give the squared error of numbers, or the cross-entropy of symbols."""
    function = F.mse_loss if batch.target.is_floating_point() else F.cross_entropy
    return function(model(batch.inputs), batch.target), state


# --- How far back each cell learns to look -------------------------------------------------------

#: Batches over which a loss is averaged before a task counts as learnt.
RECENT = 20


def learn(
    model: nn.Module, batches: Any, *, steps: int, learning_rate: float, enough: float, seed: int
) -> Generator[float, None, dict[str, Any]]:
    """Train until the mean loss of the last ``RECENT`` batches is below ``enough``.

    No batch comes twice: that is a loss on sequences that were not seen before.
    """
    optimizer = Adam(model.parameters(), learning_rate)
    training = train(model, batches, loss=memory_loss, steps=steps, optimizer=optimizer, seed=seed)
    losses: list[float] = []
    try:
        for loss in training:
            yield loss
            losses.append(loss)
            if len(losses) >= RECENT and sum(losses[-RECENT:]) < RECENT * enough:
                return {"learnt": True, "diverged": False, "steps": len(losses)}
    except FloatingPointError:
        return {"learnt": False, "diverged": True, "steps": len(losses)}
    return {"learnt": False, "diverged": False, "steps": steps}


def climb(
    seed: int, lengths: Sequence[int], problem: Callable[[int], Problem], **options: Any
) -> Generator[float, None, dict[str, Any]]:
    """Learn a problem anew at each length, until two lengths in a row were not learnt."""
    found: dict[str, Any] = {}
    for time in lengths:
        torch.manual_seed(seed)
        model, batches, unseen = problem(time)
        result = yield from learn(model, batches, seed=seed, **options)
        if not result["diverged"]:
            result["unseen"] = score(model, next(iter(unseen)))
        found[str(time)] = result
        if [one["learnt"] for one in found.values()][-2:] == [False, False]:
            break
    return found


def score(model: nn.Module, batch: MemoryBatch) -> float:
    """Give the mean squared error of numbers, or the accuracy of symbols."""
    with torch.no_grad():
        answers = model(batch.inputs)
    if batch.target.is_floating_point():
        return F.mse_loss(answers, batch.target).item()
    return accuracy(answers, batch.target)


def longest(lengths: Mapping[str, Mapping[str, Any]]) -> int:
    """Give the greatest length that was learnt, 0 if none was, from what :func:`climb` found."""
    return max((int(time) for time, found in lengths.items() if found["learnt"]), default=0)


LENGTHS = [10, 20, 40, 80, 160]
#: A second learning rate, for lengths that cost less.
FASTER = {"learning_rate": 1e-2, "lengths": LENGTHS[:4]}


@experiment(
    variants={
        "tanh": {"cell": "RNN"},
        "orthogonal": {"cell": "orthogonal"},
        "identity": {"cell": "identity"},
        "GRU": {"cell": "GRU"},
        "LSTM, forget bias 1": {"cell": "LSTM"},
        "LSTM, forget bias 3": {"cell": "LSTM", "forget_bias": 3.0},
        "tanh, rate 1e-2": FASTER | {"cell": "RNN"},
        "orthogonal, rate 1e-2": FASTER | {"cell": "orthogonal"},
        "GRU, rate 1e-2": FASTER | {"cell": "GRU"},
        "LSTM, forget bias 1, rate 1e-2": FASTER | {"cell": "LSTM"},
    },
    seeds=range(5),
    settings={"lengths": LENGTHS, "units": 64, "batch": 32, "steps": 1000, "learning_rate": 3e-3},
    data=lambda: fingerprint(*next(iter(FirstSymbolBatches(SYMBOLS, 10, 32)))),
)
def first_symbol(
    seed: int,
    lengths: Sequence[int],
    units: int,
    batch: int,
    steps: int,
    learning_rate: float,
    **options: Any,
) -> Generator[float, None, dict[str, Any]]:
    """Say at the end of a sequence with which of eight symbols it began, for growing lengths."""

    def problem(time: int) -> Problem:
        return Problem(
            first_symbol_model(units=units, **options),
            FirstSymbolBatches(SYMBOLS, time, batch, seed + 1),
            FirstSymbolBatches(SYMBOLS, time, 500, UNSEEN),
        )

    return (
        yield from climb(
            seed, lengths, problem, steps=steps, learning_rate=learning_rate, enough=0.1
        )
    )


@experiment(
    variants={
        "tanh": {"cell": "RNN"},
        "orthogonal": {"cell": "orthogonal"},
        "identity": {"cell": "identity"},
        "GRU": {"cell": "GRU"},
        "LSTM, forget bias 1": {"cell": "LSTM"},
        "tanh, rate 1e-2": FASTER | {"cell": "RNN"},
        "orthogonal, rate 1e-2": FASTER | {"cell": "orthogonal"},
        "identity, rate 1e-2": FASTER | {"cell": "identity"},
        "LSTM, forget bias 1, rate 1e-2": FASTER | {"cell": "LSTM"},
    },
    seeds=range(5),
    settings={"lengths": LENGTHS, "units": 64, "batch": 32, "steps": 1500, "learning_rate": 5e-3},
    data=lambda: fingerprint(*next(iter(AddingBatches(10, 32)))),
)
def adding(
    seed: int,
    lengths: Sequence[int],
    units: int,
    batch: int,
    steps: int,
    learning_rate: float,
    **options: Any,
) -> Generator[float, None, dict[str, Any]]:
    """Add up the two marked numbers of a sequence, for growing lengths."""

    def problem(time: int) -> Problem:
        return Problem(
            SumReader(make_layer(input_size=2, units=units, **options)),
            AddingBatches(time, batch, seed + 1),
            AddingBatches(time, 500, UNSEEN),
        )

    return (
        yield from climb(
            seed, lengths, problem, steps=steps, learning_rate=learning_rate, enough=0.02
        )
    )
