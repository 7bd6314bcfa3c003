"""The recorded runs of chapter 11: what each gate is good for, and what it costs to have it."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from itertools import islice
from statistics import fmean
from time import process_time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from unrolled.cells import Cell, GRUCell, GRUGates, LSTMCell, LSTMGates, LSTMState, RNNCell
from unrolled.checking import check_choice, check_whole
from unrolled.data import (
    ContiguousWindows,
    FirstSymbolBatches,
    LengthBatches,
    MemoryBatch,
    RandomWindows,
    corpus,
)
from unrolled.data.memory import MemoryBatches
from unrolled.layers import Recurrent, only_cell
from unrolled.metrics import accuracy, bits_per_character
from unrolled.models import LanguageModel, SequenceTagger, language_model_loss, tagger_loss
from unrolled.runs import ch07, ch09
from unrolled.runs.ch03 import forgetful_loss
from unrolled.runs.ch08 import PeakMemory
from unrolled.runs.ch09 import Problem
from unrolled.runs.recipe import LAYERS, count_parameters, train_with_adam
from unrolled.runs.registry import experiment, fingerprint
from unrolled.runs.turns import timed_turns
from unrolled.training import Loss, evaluate

# --- Cells with a gate left out, tied to another, or with one look more --------------------------


class NoInputGate(LSTMCell):
    """Every candidate is written in full."""

    def gates(self, projected_t: Tensor, state: LSTMState) -> LSTMGates:
        """Give the gates with i = 1."""
        gates = super().gates(projected_t, state)
        return gates._replace(i=torch.ones_like(gates.i))


class NoForgetGate(LSTMCell):
    """Nothing is ever forgotten, as in the cell of 1997."""

    def gates(self, projected_t: Tensor, state: LSTMState) -> LSTMGates:
        """Give the gates with f = 1."""
        gates = super().gates(projected_t, state)
        return gates._replace(f=torch.ones_like(gates.f))


class NoOutputGate(LSTMCell):
    """All that is kept is shown."""

    def gates(self, projected_t: Tensor, state: LSTMState) -> LSTMGates:
        """Give the gates with o = 1."""
        gates = super().gates(projected_t, state)
        return gates._replace(o=torch.ones_like(gates.o))


class CoupledGates(LSTMCell):
    """As much is written as is forgotten: one gate does the work of two, as in a GRU."""

    def gates(self, projected_t: Tensor, state: LSTMState) -> LSTMGates:
        """Give the gates with i = 1 - f."""
        gates = super().gates(projected_t, state)
        return gates._replace(i=1 - gates.f)


class Peepholes(LSTMCell):
    """The gates see the cell: i and f the old one, o the new one [1]_.

    ``peepholes (3, hidden)`` has a weight for each unit of i, f and o: a gate sees its own cell.

    References
    ----------
    .. [1] F. Gers, J. Schmidhuber, "Recurrent nets that time and count", 2000, equations 1 to 4.
    """

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size, forget_bias)
        bound = 1 / math.sqrt(hidden_size)
        self.peepholes = nn.Parameter(torch.empty(3, hidden_size).uniform_(-bound, bound))

    def gates(self, projected_t: Tensor, state: LSTMState) -> LSTMGates:
        """Give the gates, each ``(batch, hidden)``; o has seen what the others do to the cell."""
        z = projected_t + F.linear(state.h, self.weight_hh)  # (batch, 4 * hidden)
        i, f, g, o = z.chunk(4, dim=1)  # (batch, hidden) each
        see_i, see_f, see_o = self.peepholes  # (hidden,) each
        i, f = torch.sigmoid(i + see_i * state.c), torch.sigmoid(f + see_f * state.c)
        g = torch.tanh(g)
        return LSTMGates(i, f, g, torch.sigmoid(o + see_o * (f * state.c + i * g)))


class NoResetGate(GRUCell):
    """The candidate always sees the whole state."""

    def gates(self, projected_t: Tensor, state: Tensor) -> GRUGates:
        """Give the gates with r = 1."""
        hidden = self.hidden_size
        product = F.linear(state, self.weight_hh[hidden:])  # (batch, 2 * hidden)
        z, n = (projected_t[:, hidden:] + product).chunk(2, 1)  # (batch, hidden) each
        return GRUGates(torch.ones_like(z), torch.sigmoid(z), torch.tanh(n + self.bias_hn))


def reset_before(input_size: int, hidden_size: int) -> GRUCell:
    """Give a GRU cell whose reset gate acts before the product."""
    return GRUCell(input_size, hidden_size, reset="before")


CELLS: dict[str, Callable[[int, int], Cell]] = {
    "LSTM": LSTMCell,
    "no input gate": NoInputGate,
    "no forget gate": NoForgetGate,
    "no output gate": NoOutputGate,
    "coupled gates": CoupledGates,
    "peepholes": Peepholes,
    "GRU": GRUCell,
    "GRU, reset before": reset_before,
    "GRU, no reset gate": NoResetGate,
    "RNN": RNNCell,
}

# --- Three tasks, each made to need one gate -----------------------------------------------------

SUMS = ("forget", "ignore", "hide")
#: The share of steps with a mark.
MARKED = 0.1
#: Seeds of batches on which nothing is trained: one to choose by, one to report.
CHOOSE, REPORT = 1000, 1001


class SumBatches(MemoryBatches):
    """Say at every step the sum of the numbers so far; a mark says what to do with it.

    A step has two features: a number, uniform in [-1, 1), and a mark, which is 1 at a tenth of all
    steps and else 0. What is read is the same in all three tasks.

    * ``"forget"``: at a mark the sum starts anew, with the number of this step.
    * ``"ignore"``: only the numbers with a mark count.
    * ``"hide"``: the sum is to be said at a mark only; at all other steps the answer is 0.

    Parameters
    ----------
    task
        One of the three.
    time
        Steps of a sequence.
    batch
        Sequences in a batch.
    seed
        Of the generator from which a pass draws.

    Raises
    ------
    ValueError
        If the task is unknown, ``time`` or ``batch`` below 1.

    Examples
    --------
    >>> x, target = next(iter(SumBatches("ignore", time=20, batch=4)))
    >>> x.shape, target.shape
    (torch.Size([4, 20, 2]), torch.Size([4, 20]))
    >>> numbers, marks = x.unbind(2)
    >>> torch.allclose(target[:, -1], (numbers * marks).sum(1))
    True
    """

    def __init__(self, task: str, time: int, batch: int, seed: int = 0) -> None:
        super().__init__(batch, seed)
        check_choice(SUMS, task=task)
        check_whole(1, time=time)
        self.task, self.time = task, time

    def draw(self, generator: torch.Generator) -> MemoryBatch:
        """Give numbers and marks ``(batch, time, 2)``, and what to say ``(batch, time)``."""
        numbers = 2 * torch.rand(self.batch, self.time, generator=generator) - 1
        marks = (torch.rand(self.batch, self.time, generator=generator) < MARKED).float()
        x = torch.stack([numbers, marks], dim=2)
        if self.task == "ignore":
            return MemoryBatch(x, (marks * numbers).cumsum(1))
        if self.task == "hide":
            return MemoryBatch(x, marks * numbers.cumsum(1))
        total, said = torch.zeros(self.batch), []
        for number, mark in zip(numbers.unbind(1), marks.unbind(1), strict=True):
            total = (1 - mark) * total + number
            said.append(total)
        return MemoryBatch(x, torch.stack(said, dim=1))


class Teller(nn.Module):
    """Say a number at every step."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.read_out = nn.Linear(layer.output_size, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Give ``(batch, time)`` from ``x (batch, time, features)``."""
        outputs, _ = self.layer(x)
        return self.read_out(outputs)[:, :, 0]


def unexplained(model: nn.Module, task: str, time: int, seed: int) -> float:
    """Give the squared error on 1,000 new sequences as a share of the variance of the answers.

    Who always says the mean has 1.
    """
    x, target = next(iter(SumBatches(task, time, 1000, seed)))
    with torch.no_grad():
        return (F.mse_loss(model(x), target) / target.var()).item()


# --- A language model ----------------------------------------------------------------------------


def held_out_bits(model: LanguageModel, text: Tensor) -> float:
    """Give the bits per character of a text, which is read in 64 pieces."""
    pieces = ContiguousWindows(text, batch=64, time=100)
    return bits_per_character(evaluate(model, pieces, loss=language_model_loss))


def language_model(
    layer: nn.Module, seed: int, *, steps: int, learning_rate: float, batch: int, time: int
) -> Generator[float, None, LanguageModel]:
    """Train a language model on windows of Python, each read from the state zero."""
    text = corpus("python")
    model = LanguageModel(len(text.vocab), layer=layer)
    yield from train_with_adam(
        model,
        RandomWindows(text.train, batch, time, count=steps),
        loss=forgetful_loss,
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
    )
    return model


#: Letters of held-out text on which a rate is chosen, and on which a model is judged.
HELD_OUT = 50_000
EMBEDDING = 32


def bits(model: LanguageModel) -> dict[str, float]:
    """Give bits per character on two texts that were not trained on."""
    text = corpus("python")
    return {
        "validation": held_out_bits(model, text.validation[:HELD_OUT]),
        "test": held_out_bits(model, text.test[:HELD_OUT]),
    }


# --- Which gate matters --------------------------------------------------------------------------


@experiment(
    variants={f"{task}, {cell}": {"task": task, "cell": cell} for task in SUMS for cell in CELLS},
    seeds=range(5),
    settings={"units": 32, "steps": 300, "batch": 32, "time": 20, "rates": [1e-2, 3e-2]},
    data=lambda: fingerprint(*next(iter(SumBatches("forget", 20, 32)))),
)
def ablations(
    seed: int,
    task: str,
    cell: str,
    units: int,
    steps: int,
    batch: int,
    time: int,
    rates: Sequence[float],
) -> Generator[float, None, dict[str, Any]]:
    """Take away one gate at a time, on three tasks of which each was made to need one."""
    found: dict[str, Any] = {}
    for rate in rates:
        torch.manual_seed(seed)
        model = Teller(Recurrent(CELLS[cell](2, units)))
        yield from train_with_adam(
            model,
            SumBatches(task, time, batch, seed + 1),
            loss=ch09.memory_loss,
            steps=steps,
            learning_rate=rate,
            seed=seed,
        )
        found[str(rate)] = {
            "validation": unexplained(model, task, time, CHOOSE),
            "test": unexplained(model, task, time, REPORT),
            "four times as long": unexplained(model, task, 4 * time, REPORT),
        }
    return found | {"parameters": count_parameters(model)}


@experiment(
    variants={cell: {"cell": cell} for cell in CELLS},
    seeds=range(5),
    settings={"units": 64, "steps": 300, "batch": 32, "time": 32, "learning_rate": 1.5e-2},
    data=lambda: fingerprint(*corpus("python")[:3]),
)
def ablations_on_text(
    seed: int, cell: str, units: int, **options: Any
) -> Generator[float, None, dict[str, Any]]:
    """Take away one gate at a time in a language model of Python."""
    torch.manual_seed(seed)
    model = yield from language_model(
        Recurrent(CELLS[cell](EMBEDDING, units)), seed=seed, **options
    )
    return bits(model) | {"parameters": count_parameters(model)}


# --- The reset gate before and after the product -------------------------------------------------


def other_reset(cell: GRUCell) -> GRUCell:
    """Give a cell with the same weights whose reset gate acts on the other side of the product.

    The bias inside the reset gate's reach, which a cell with ``reset="before"`` does not have, is
    added to the candidate's own; the other way round it is 0.
    """
    before = cell.reset == "after"
    other = GRUCell(cell.input_size, cell.hidden_size, reset="before" if before else "after")
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias"):
            getattr(other, name).copy_(getattr(cell, name))
        if before:
            other.bias[-cell.hidden_size :] += cell.bias_hn
        else:
            other.bias_hn.zero_()
    return other


def differences(model: LanguageModel, other: LanguageModel, tokens: Tensor) -> dict[str, float]:
    """Give the largest difference of two models' states after 1, 10 and 100 steps of a text.

    ``tokens`` is ``(batch, 100)``.
    """
    with torch.no_grad():
        x = model.embedding(tokens)
        apart = (model.layer(x)[0] - other.layer(x)[0]).abs()  # (batch, time, hidden)
    return {str(step): apart[:, step - 1].max().item() for step in (1, 10, 100)}


def with_layer(model: LanguageModel, layer: nn.Module) -> LanguageModel:
    """Give a language model with another layer, and the embedding and the read-out of this one."""
    other = LanguageModel(model.vocab_size, layer=layer)
    other.embedding, other.read_out = model.embedding, model.read_out
    return other


@experiment(
    variants={reset: {"reset": reset} for reset in ("after", "before")},
    seeds=range(5),
    settings={"units": 64, "steps": 300, "batch": 32, "time": 32, "learning_rate": 1.5e-2},
    data=lambda: fingerprint(*corpus("python")[:3]),
)
def reset(
    seed: int, reset: str, units: int, **options: Any
) -> Generator[float, None, dict[str, Any]]:
    """Read a text with a GRU whose weights come from the other one, untrained and trained."""
    text = corpus("python")
    some = next(iter(ContiguousWindows(text.validation, batch=100, time=100))).inputs

    def exchanged(model: LanguageModel) -> LanguageModel:
        return with_layer(model, Recurrent(other_reset(only_cell(model.layer))))

    torch.manual_seed(seed)
    layer = Recurrent(GRUCell(EMBEDDING, units, reset=reset))
    untrained = LanguageModel(len(text.vocab), layer=layer)
    before = differences(untrained, exchanged(untrained), some)
    model = yield from language_model(layer, seed=seed, **options)
    other = exchanged(model)
    return {
        "untrained": before,
        "trained": differences(model, other, some),
        "bits": bits(model)["test"],
        "bits as the other": bits(other)["test"],
    }


# --- At equal parameters and at equal time -------------------------------------------------------

#: Units with which all models of a task have nearly as many parameters as each other.
UNITS = {
    "tagging": {
        "RNN": 174,
        "GRU": 96,
        "LSTM": 82,
        "bi-RNN": 119,
        "bi-GRU": 64,
        "bi-LSTM": 55,
    },
    "letters": {"RNN": 160, "GRU": 96, "LSTM": 83},
}


def make_model(task: str, name: str) -> nn.Module:
    """Give a tagger of called names, or a language model, with a layer of ``UNITS``."""
    units, cell = UNITS[task][name], name.removeprefix("bi-")
    if task == "letters":
        return LanguageModel(len(corpus("python").vocab), layer=LAYERS[cell](EMBEDDING, units))
    data, kind = ch07.task(), "forward" if name == cell else "both"
    layer = ch07.make_layer(kind, units, cell)
    return SequenceTagger(len(data.vocab), len(data.classes), layer=layer)


def task_batches(task: str, batch: int, time: int, steps: int) -> Iterable:
    """Give what a model of the task is trained on."""
    if task == "letters":
        return RandomWindows(corpus("python").train, batch, time, count=steps)
    return LengthBatches(*ch07.task().train, batch=batch)


TASK_LOSSES: dict[str, Loss] = {"tagging": tagger_loss, "letters": forgetful_loss}


@experiment(
    variants={task: {"task": task} for task in UNITS},
    seeds=range(5),
    settings={"rounds": 20, "batch": 32, "time": 32},
    data=lambda: fingerprint(*corpus("python")[:3]),
)
def cost(
    seed: int, task: str, rounds: int, batch: int, time: int
) -> Generator[float, None, dict[str, Any]]:
    """Measure what a step costs, side by side: time in training and in reading, and memory."""
    torch.manual_seed(seed)
    models = {name: make_model(task, name) for name in UNITS[task]}
    some = list(islice(task_batches(task, batch, time, rounds), rounds))
    loss = TASK_LOSSES[task]
    found: dict[str, dict[str, Any]] = {}
    for name, model in models.items():
        with PeakMemory() as memory:
            value = loss(model, some[0], None)[0]
            value.backward()
        yield value.item()
        found[name] = {"parameters": count_parameters(model), "bytes": memory.peak}

    def read(model: nn.Module, window: Any) -> None:
        with torch.no_grad():
            loss(model, window, None)

    optimizers = {model: Adam(model.parameters()) for model in models.values()}

    def learn(model: nn.Module, window: Any) -> None:
        optimizers[model].zero_grad()
        loss(model, window, None)[0].backward()
        optimizers[model].step()

    for how, run in {"reading": read, "training": learn}.items():
        times: dict[str, list[float]] = {name: [] for name in models}
        calls = {name: map(partial(run, model), some).__next__ for name, model in models.items()}
        for name, seconds, _ in timed_turns(calls, rounds):
            times[name].append(1000 * seconds)
        for name, each in times.items():
            found[name][how] = fmean(each)
    return found


EQUAL_STEPS = 300
#: Steps in about the time in which the slowest of a task takes ``EQUAL_STEPS``: see ``11-cost``.
EQUAL_TIME = {
    "tagging": {"RNN": 650, "GRU": 480, "LSTM": 450, "bi-RNN": 470, "bi-GRU": 300, "bi-LSTM": 300},
    "letters": {"RNN": 470, "GRU": 300, "LSTM": 300},
}
#: Learning rates, those of the tagger as in chapter 7.
RATES = {"RNN": [3e-3], "bi-RNN": [3e-3], "letters": [5e-3, 1.5e-2]}


@experiment(
    variants={
        f"{task}, {name}, {steps} steps": {
            "task": task,
            "name": name,
            "steps": steps,
            "rates": RATES["letters"] if task == "letters" else RATES.get(name, [5e-3]),
        }
        for task, names in UNITS.items()
        for name in names
        for steps in sorted({EQUAL_STEPS, EQUAL_TIME[task][name]})
    },
    seeds=range(5),
    settings={"batch": 32, "time": 32},
    data=lambda: fingerprint(*corpus("python")[:3]),
)
def equal(
    seed: int, task: str, name: str, steps: int, rates: Sequence[float], batch: int, time: int
) -> Generator[float, None, dict[str, Any]]:
    """Compare cells with the same number of parameters, after equal steps and after equal time."""
    found: dict[str, Any] = {}
    for rate in rates:
        torch.manual_seed(seed)
        model = make_model(task, name)
        begin = process_time()
        yield from train_with_adam(
            model,
            task_batches(task, batch, time, steps),
            loss=TASK_LOSSES[task],
            steps=steps,
            learning_rate=rate,
            seed=seed,
        )
        seconds = {"seconds of training": process_time() - begin}
        if task == "letters":
            found[str(rate)] = bits(model) | seconds
            continue
        data = ch07.task()
        scores, truth = ch07.answer(model, data.held_out)
        called = ch07.by_class(scores.argmax(1), truth, data.classes.index("call"))
        found[str(rate)] = called | {"accuracy": accuracy(scores, truth)} | seconds
    return found


# --- A fair start --------------------------------------------------------------------------------


def first_symbol_problem(time: int, seed: int, cell: str, bias: float) -> Problem:
    """Give chapter 9's problem, with a bias that keeps the state: the LSTM's of f, the GRU's of z.

    A GRU's begins near 0 in every library; here ``bias`` is added to it.
    """
    if cell == "LSTM":
        return ch09.first_symbol_problem(time, seed, cell, forget_bias=bias)
    problem = ch09.first_symbol_problem(time, seed, cell)
    gru = only_cell(problem.model.layer)
    with torch.no_grad():
        gru.bias[gru.hidden_size : 2 * gru.hidden_size] += bias
    return problem


@experiment(
    variants={
        f"{cell}, bias {bias}, rate {rate}": {
            "cell": cell,
            "bias": float(bias),
            "learning_rate": rate,
        }
        for rate in (3e-3, 1e-2)
        for cell in ("GRU", "LSTM")
        for bias in (0, 1, 3)
    },
    seeds=range(5),
    settings={"time": 30, "steps": 400},
    data=lambda: fingerprint(*next(iter(FirstSymbolBatches(ch09.SYMBOLS, 30, 32)))),
)
def update_bias(
    seed: int, time: int, cell: str, bias: float, **options: Any
) -> Generator[float, None, dict[str, Any]]:
    """Remember the first symbol with a GRU that begins by keeping its state, as an LSTM does."""
    problem = first_symbol_problem(time, seed, cell, bias)
    return (yield from ch09.learn(problem, seed=seed, **options))
