"""The recorded runs of chapter 9: how far back cells learn to look, and what else goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from statistics import fmean
from time import process_time
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn.utils import clip_grad_value_, parameters_to_vector
from torch.optim import SGD, Adam, Optimizer

from unrolled.cells import LSTMState
from unrolled.data import AddingBatches, FirstSymbolBatches, MemoryBatch, RandomWindows, corpus
from unrolled.data.memory import MemoryBatches
from unrolled.layers import RNN, states
from unrolled.metrics import accuracy, bits_per_character
from unrolled.models import LanguageModel, SequenceClassifier
from unrolled.runs.ch03 import forgetful_loss
from unrolled.runs.recipe import LAYERS, count_parameters, train_with_adam
from unrolled.runs.registry import experiment, fingerprint
from unrolled.training import evaluate, train

# --- The cells, and the two tasks ----------------------------------------------------------------

SYMBOLS = 8
#: A seed of batches on which nothing is trained.
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
    """A model that is not trained yet, what to train it on, and when it has learnt."""

    model: nn.Module
    batches: MemoryBatches
    unseen: MemoryBatches
    enough: float  # the loss below which the task is learnt


def first_symbol_problem(
    time: int, seed: int, cell: str, units: int = 64, batch: int = 32, **options: Any
) -> Problem:
    """Give a model that is to say with which of ``SYMBOLS`` a sequence of ``time`` steps began."""
    torch.manual_seed(seed)
    layer = make_layer(cell, 16, units, **options)
    return Problem(
        SequenceClassifier(2 * SYMBOLS, SYMBOLS, layer=layer),
        FirstSymbolBatches(SYMBOLS, time, batch, seed + 1),
        FirstSymbolBatches(SYMBOLS, time, 500, UNSEEN),
        enough=0.1,
    )


def adding_problem(
    time: int, seed: int, cell: str, units: int = 64, batch: int = 32, **options: Any
) -> Problem:
    """Give a model that is to add up the two marked numbers of a sequence of ``time`` steps."""
    torch.manual_seed(seed)
    return Problem(
        SumReader(make_layer(cell, 2, units, **options)),
        AddingBatches(time, batch, seed + 1),
        AddingBatches(time, 500, UNSEEN),
        enough=0.02,
    )


def memory_loss(model: nn.Module, batch: MemoryBatch, state: None) -> tuple[Tensor, None]:
    """Give the squared error of numbers, or the cross-entropy of symbols."""
    function = F.mse_loss if batch.target.is_floating_point() else F.cross_entropy
    return function(model(batch.inputs), batch.target), state


def score(model: nn.Module, batch: MemoryBatch) -> float:
    """Give the mean squared error of numbers, or the accuracy of symbols."""
    with torch.no_grad():
        answers = model(batch.inputs)
    if batch.target.is_floating_point():
        return F.mse_loss(answers, batch.target).item()
    return accuracy(answers, batch.target)


# --- How far back each cell learns to look -------------------------------------------------------

#: Batches over which a loss is averaged before a task counts as learnt.
RECENT = 20


def learn(
    problem: Problem, *, steps: int, learning_rate: float, seed: int
) -> Generator[float, None, dict[str, Any]]:
    """Train until the mean loss of the last ``RECENT`` batches is low enough.

    No batch comes twice: that is a loss on sequences that were not seen before.
    """
    model, batches, unseen, enough = problem
    optimizer = Adam(model.parameters(), learning_rate)
    training = train(model, batches, loss=memory_loss, steps=steps, optimizer=optimizer, seed=seed)
    found = {"learnt": False, "diverged": False, "steps": steps}
    losses: list[float] = []
    try:
        for loss in training:
            yield loss
            losses.append(loss)
            if len(losses) >= RECENT and fmean(losses[-RECENT:]) < enough:
                found |= {"learnt": True, "steps": len(losses)}
                break
    except FloatingPointError:
        return found | {"diverged": True, "steps": len(losses)}
    return found | {"unseen": score(model.cpu(), next(iter(unseen)))}


def climb(
    problem: Callable[..., Problem],
    lengths: Sequence[int],
    seed: int,
    *,
    steps: int,
    learning_rate: float,
    **options: Any,
) -> Generator[float, None, dict[str, Any]]:
    """Learn a problem anew at each length, until two lengths in a row were not learnt."""
    found: dict[str, Any] = {}
    for time in lengths:
        found[str(time)] = yield from learn(
            problem(time, seed, **options), steps=steps, learning_rate=learning_rate, seed=seed
        )
        if [one["learnt"] for one in found.values()][-2:] == [False, False]:
            break
    return found


LENGTHS = [10, 20, 40, 80, 160]
CELLS = {
    "tanh": {"cell": "RNN"},
    "orthogonal": {"cell": "orthogonal"},
    "identity": {"cell": "identity"},
    "GRU": {"cell": "GRU"},
    "LSTM, forget bias 1": {"cell": "LSTM"},
    "LSTM, forget bias 3": {"cell": "LSTM", "forget_bias": 3.0},
}
#: The same at a second learning rate, for lengths that cost less.
AT_ANOTHER_RATE = {
    f"{name}, rate 1e-2": options | {"learning_rate": 1e-2, "lengths": LENGTHS[:4]}
    for name, options in CELLS.items()
}


@experiment(
    variants=CELLS | AT_ANOTHER_RATE,
    seeds=range(5),
    settings={"lengths": LENGTHS, "units": 64, "batch": 32, "steps": 1000, "learning_rate": 3e-3},
    data=lambda: fingerprint(*next(iter(FirstSymbolBatches(SYMBOLS, 10, 32)))),
)
def first_symbol(
    seed: int, lengths: Sequence[int], **options: Any
) -> Generator[float, None, dict[str, Any]]:
    """Say at the end of a sequence with which of eight symbols it began, for growing lengths."""
    return (yield from climb(first_symbol_problem, lengths, seed, **options))


@experiment(
    variants=CELLS | AT_ANOTHER_RATE,
    seeds=range(5),
    settings={"lengths": LENGTHS, "units": 64, "batch": 32, "steps": 1500, "learning_rate": 5e-3},
    data=lambda: fingerprint(*next(iter(AddingBatches(10, 32)))),
)
def adding(
    seed: int, lengths: Sequence[int], **options: Any
) -> Generator[float, None, dict[str, Any]]:
    """Add up the two marked numbers of a sequence, for growing lengths."""
    return (yield from climb(adding_problem, lengths, seed, **options))


# --- Short sequences -----------------------------------------------------------------------------

PROBLEMS = {"first symbol": first_symbol_problem, "adding": adding_problem}


@experiment(
    variants={
        f"{task}, {name}": {"task": task, "cell": cell}
        for task in PROBLEMS
        for name, cell in {"tanh": "RNN", "GRU": "GRU", "LSTM": "LSTM"}.items()
    },
    seeds=range(5),
    settings={"time": 5, "steps": 1500, "learning_rate": 1e-2},
    data=lambda: fingerprint(*next(iter(AddingBatches(5, 32)))),
)
def five_steps(
    seed: int, task: str, time: int, cell: str, **options: Any
) -> Generator[float, None, dict[str, Any]]:
    """Learn the tasks of memory where there is next to nothing to be remembered."""
    problem = PROBLEMS[task](time, seed, cell)
    begin = process_time()
    found = yield from learn(problem, seed=seed, **options)
    return found | {"seconds of training": process_time() - begin}


TWICE = {"cell": "RNN", "steps": 1200}
FAST = {"learning_rate": 2e-2}


@experiment(
    variants={
        "tanh": {"cell": "RNN"},
        "tanh, twice the steps": TWICE,
        "GRU": {"cell": "GRU"},
        "LSTM": {"cell": "LSTM"},
        "tanh, rate 2e-2": FAST | {"cell": "RNN"},
        "tanh, twice the steps, rate 2e-2": FAST | TWICE,
        "GRU, rate 2e-2": FAST | {"cell": "GRU"},
        "LSTM, rate 2e-2": FAST | {"cell": "LSTM"},
    },
    seeds=range(5),
    settings={"time": 8, "units": 128, "batch": 32, "steps": 600, "learning_rate": 1e-2},
    data=lambda: fingerprint(*corpus("python")[:2]),
)
def short(
    seed: int, cell: str, time: int, units: int, batch: int, steps: int, learning_rate: float
) -> Generator[float, None, dict[str, Any]]:
    """Predict each letter of eight from those before it, at equal steps and at equal time."""
    text = corpus("python")
    torch.manual_seed(seed)
    model = LanguageModel(len(text.vocab), layer=make_layer(cell, 32, units))
    begin = process_time()
    yield from train_with_adam(
        model,
        RandomWindows(text.train, batch, time, count=steps),
        loss=forgetful_loss,
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
    )
    seconds = process_time() - begin
    torch.manual_seed(UNSEEN)
    held_out = RandomWindows(text.validation, 4000, time, count=1)
    return {
        "bits": bits_per_character(evaluate(model, held_out, loss=forgetful_loss)),
        "seconds of training": seconds,
        "parameters": count_parameters(model),
    }


# --- What is overwritten -------------------------------------------------------------------------


def probe(
    seen: Tensor, labels: Tensor, unseen: Tensor, truth: Tensor, steps: Sequence[int]
) -> list[list[float]]:
    """Fit a linear probe to the states of one step, and test it at all steps; do so for each step.

    States are ``(sequences, time, hidden)``, what is to be read out of them is ``(sequences,)``;
    steps count from 1. Entry ``[i][j]`` is the accuracy at ``steps[j]``, on sequences that were not
    seen, of the probe that was fitted at ``steps[i]``.
    """
    table = []
    for step in steps:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        classifier.fit(seen[:, step - 1], labels)
        table.append([classifier.score(unseen[:, other - 1], truth) for other in steps])
    return table


def probe_model(model: SequenceClassifier, steps: Sequence[int], part: str) -> list[list[float]]:
    """Read the first symbol out of the states of a model, as :func:`probe` does."""
    parts: list[Tensor] = []
    for seed in (UNSEEN + 1, UNSEEN + 2):
        tokens, first = next(iter(FirstSymbolBatches(SYMBOLS, max(steps), 1000, seed)))
        with torch.no_grad():
            after = states(model.layer, model.embedding(tokens))  # (sequences, time, hidden)
        parts += [getattr(after, part) if isinstance(after, LSTMState) else after, first]
    return probe(*parts, steps)


@experiment(
    variants={
        "tanh, trained on 10": {"cell": "RNN", "time": 10},
        "tanh, trained on 40": {"cell": "RNN", "time": 40},
        "orthogonal, trained on 20": {"cell": "orthogonal", "time": 20},
        "orthogonal, trained on 80": {"cell": "orthogonal", "time": 80},
        "LSTM, forget bias 3, trained on 20": {"cell": "LSTM", "time": 20, "forget_bias": 3.0},
        "LSTM, forget bias 1, trained on 40": {"cell": "LSTM", "time": 40},
    },
    seeds=range(5),
    settings={
        "probed": [1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40],
        "steps": 400,
        "learning_rate": 3e-3,
    },
    data=lambda: fingerprint(*next(iter(FirstSymbolBatches(SYMBOLS, 40, 32)))),
)
def overwritten(
    seed: int,
    cell: str,
    time: int,
    probed: Sequence[int],
    steps: int,
    learning_rate: float,
    **options: Any,
) -> Generator[float, None, dict[str, Any]]:
    """Read the first symbol out of the state as time goes on, before and after training."""
    problem = first_symbol_problem(time, seed, cell, **options)
    part = "c" if cell == "LSTM" else "h"
    before = probe_model(problem.model, probed, part)
    found = yield from learn(problem, steps=steps, learning_rate=learning_rate, seed=seed)
    return found | {"before": before, "after": probe_model(problem.model, probed, part)}


# --- What clipping mends -------------------------------------------------------------------------


def clip_values(optimizer: Optimizer, bound: float) -> list[float]:
    """Cut each number of a gradient to ±bound before each step of an optimiser.

    Gives a list that grows with each step: the cosine of the angle by which that turned the
    gradient.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    cosines: list[float] = []

    def clip(*_: Any) -> None:
        before = parameters_to_vector([parameter.grad for parameter in parameters])
        clip_grad_value_(parameters, bound)
        after = parameters_to_vector([parameter.grad for parameter in parameters])
        cosines.append(F.cosine_similarity(before, after, dim=0).item())

    optimizer.register_step_pre_hook(clip)
    return cosines


CLIPPED = {
    "no clipping": {"clip": None},
    **{
        f"by {by}, {clip}": {"by": by, "clip": clip}
        for by in ("norm", "value")
        for clip in (1.0, 0.3, 0.1, 0.03)
    },
}


@experiment(
    variants={
        **{f"identity, {name}": {"cell": "identity"} | how for name, how in CLIPPED.items()},
        **{
            f"orthogonal, {name}": {"cell": "orthogonal", "learning_rate": 0.3} | how
            for name, how in CLIPPED.items()
        },
        **{
            f"identity, no clipping, rate {rate}": {
                "cell": "identity",
                "learning_rate": rate,
                "clip": None,
            }
            for rate in (1e-2, 3e-3, 1e-3)
        },
    },
    seeds=range(5),
    settings={"time": 20, "steps": 600, "learning_rate": 0.1},
    data=lambda: fingerprint(*next(iter(FirstSymbolBatches(SYMBOLS, 20, 32)))),
)
def clipping(
    seed: int,
    cell: str,
    time: int,
    steps: int,
    learning_rate: float,
    clip: float | None,
    by: str = "norm",
) -> Generator[float, None, dict[str, Any]]:
    """Remember the first symbol with gradients that explode, clipped by norm, by value, or not.

    By value, the bound of each number is ``clip`` divided by the square root of how many numbers
    there are: the norm is at most ``clip``, as it is by norm.
    """
    model, batches, unseen, _ = first_symbol_problem(time, seed, cell)
    optimizer = SGD(model.parameters(), learning_rate, momentum=0.9)
    cosines: list[float] = []
    if by == "value":
        cosines = clip_values(optimizer, clip / math.sqrt(count_parameters(model)))
    losses = []
    try:
        for loss in train(
            model,
            batches,
            loss=memory_loss,
            steps=steps,
            optimizer=optimizer,
            clip=clip if by == "norm" else None,
            seed=seed,
        ):
            yield loss
            losses.append(loss)
    except FloatingPointError:
        return {"diverged": True, "steps": len(losses)}
    unseen_score = score(model.cpu(), next(iter(unseen)))
    found = {"loss": fmean(losses[-RECENT:]), "unseen": unseen_score}
    turned = {"cosine": fmean(cosines)} if cosines else {}
    return {"diverged": False, "steps": steps} | found | turned
