"""The recorded runs of chapter 12: a known deep network again, and what depth is good for."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Generator, Iterator, Sequence
from itertools import accumulate
from statistics import fmean, median
from time import process_time
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from unrolled.cells import GRUCell, RNNCell
from unrolled.data import ContiguousWindows, MaskedWindow, Vocab, Window, corpus
from unrolled.data.d2l import import_d2l
from unrolled.layers import Recurrent, Stacked
from unrolled.metrics import accuracy, bits_per_character, perplexity
from unrolled.models import LanguageModel, language_model_loss, masked_language_loss
from unrolled.runs.ch09 import RECENT, UNSEEN
from unrolled.runs.recipe import count_parameters
from unrolled.runs.registry import experiment, fingerprint
from unrolled.runs.turns import timed_turns
from unrolled.training import evaluate, train

# --- The experiment of D2L on The Time Machine ---------------------------------------------------

#: The training perplexity at which two recipes are compared.
ENOUGH = 1.1


class OnTheTimeMachine:
    """The deep network of *Dive into Deep Learning*, its text, and its function for one epoch.

    Parameters
    ----------
    batch
        Rows of a window; as in the book it has 35 steps.
    letters
        So many of the beginning of the text are trained on.
    dropout
        Of what leaves each of the two layers, in training.
    """

    def __init__(self, batch: int, letters: int, dropout: float = 0.0) -> None:
        self.d2l: ModuleType = import_d2l()
        self.windows, self.vocab = self.d2l.load_data_time_machine(batch, 35, max_tokens=letters)
        layer = nn.LSTM(len(self.vocab), 256, num_layers=2, dropout=dropout)
        self.net = self.d2l.RNNModel(layer, len(self.vocab))
        if dropout:
            self.net.linear = nn.Sequential(nn.Dropout(dropout), self.net.linear)
        self.updates = (letters - 36) // batch // 35  # in an epoch, wherever d2l lets it begin

    def epochs(self, optimizer: Optimizer) -> Generator[float, None, None]:
        """Train on and on; give the perplexity of each epoch, over the course of it, as d2l does.

        d2l clips the norm of the gradients to 1.
        """
        while True:
            self.net.train()
            yield self.d2l.train_epoch_ch8(
                self.net, self.windows, nn.CrossEntropyLoss(), optimizer, torch.device("cpu"), False
            )[0]

    def perplexity(self, piece: str) -> float:
        """Give the perplexity on a ``piece`` of the book: ``"validation"`` or ``"test"``."""
        text = corpus("time_machine")
        letters = text.vocab.decode(getattr(text, piece))
        tokens = torch.tensor(self.vocab[list(letters)])
        return perplexity(evaluate(self.net, ContiguousWindows(tokens, 8, 100), loss=window_loss))

    def found(self) -> dict[str, Any]:
        """Give the perplexities on text that was not trained on, and a likely continuation."""
        held_out = {piece: self.perplexity(piece) for piece in ("validation", "test")}
        self.net.eval()
        with torch.no_grad():
            sample = self.d2l.predict_ch8("time traveller ", 80, self.net, self.vocab, "cpu")
        return {"held out": held_out, "sample": sample}


def window_loss(net: nn.Module, window: Window, state: tuple | None) -> tuple[Tensor, tuple]:
    """Give the cross-entropy of a window for a network of d2l, which has time before the batch."""
    state = net.begin_state("cpu", len(window.inputs)) if state is None else state
    logits, state = net(window.inputs, state)  # (time * batch, vocab)
    return F.cross_entropy(logits, window.targets.T.reshape(-1)), tuple(
        part.detach() for part in state
    )


def widen(net: nn.Module, first: float, second: float) -> None:
    """Multiply the weights of the inputs of both layers, which ``torch.nn`` draws small.

    A letter picks one column of the first matrix: at 256 units, 1,024 numbers below 1/16.
    """
    with torch.no_grad():
        net.rnn.weight_ih_l0 *= first
        net.rnn.weight_ih_l1 *= second


def adam_in_one_cycle(net: nn.Module, learning_rate: float, steps: int) -> Adam:
    """Give an Adam whose learning rate soon is at its highest, and falls until the last step."""
    optimizer = Adam(net.parameters(), learning_rate)
    cycle = OneCycleLR(optimizer, learning_rate, steps, pct_start=0.05, cycle_momentum=False)
    last = steps - 1
    optimizer.register_step_post_hook(lambda *_: cycle.last_epoch < last and cycle.step())
    return optimizer


class Course:
    """A training on The Time Machine, epoch by epoch, and how long it took."""

    def __init__(self, task: OnTheTimeMachine, optimizer: Optimizer, most: int) -> None:
        self.task, self.most = task, most
        self.training = task.epochs(optimizer)
        self.perplexities: list[float] = []
        self.seconds: list[float] = []
        self.at_enough: dict[str, Any] = {}

    def epoch(self) -> float:
        """Train for one more epoch, give its loss; the clock stands still while a model is read."""
        begin = process_time()
        self.perplexities.append(next(self.training))
        self.seconds.append(process_time() - begin)
        if self.perplexities[-1] <= ENOUGH and not self.at_enough:
            self.at_enough = {
                "epochs": len(self.perplexities),
                "seconds of training": sum(self.seconds),
                **self.task.found(),
            }
        return math.log(self.perplexities[-1])

    def goes_on(self, whole: bool) -> bool:
        """Tell whether there is another epoch: up to ``ENOUGH``, or the ``whole`` course."""
        return len(self.perplexities) < self.most and (whole or not self.at_enough)

    def found(self) -> dict[str, Any]:
        """Give what is recorded of it."""
        return {
            "perplexities": self.perplexities,
            "seconds of training": sum(self.seconds),
            "at 1.1": self.at_enough,
            "at the end": self.task.found(),
        }


def our_course(
    seed: int,
    letters: int,
    batch: int,
    learning_rate: float,
    epochs: int,
    first: float,
    second: float,
    adam: bool = True,
) -> Course:
    """Give a training with what our recipe changes, or with less of it."""
    torch.manual_seed(seed)
    random.seed(seed)  # d2l draws from it where a text begins
    task = OnTheTimeMachine(batch, letters)
    widen(task.net, first, second)
    if adam:
        optimizer = adam_in_one_cycle(task.net, learning_rate, epochs * task.updates)
    else:
        optimizer = SGD(task.net.parameters(), learning_rate)
    return Course(task, optimizer, epochs)


@experiment(
    variants={"two layers of 256": {}},
    seeds=range(5),
    settings={
        "letters": 10_000,
        "d2l": {"batch": 32, "learning_rate": 2.0, "epochs": 500},
        "ours": {"batch": 8, "learning_rate": 1e-2, "epochs": 18, "first": 16.0, "second": 2.0},
        "side_by_side": [0, 1, 2],
        "all_epochs": [0],
    },
    data=lambda: fingerprint(*corpus("time_machine")[:3]),
)
def time_machine(
    seed: int,
    letters: int,
    d2l: dict[str, Any],
    ours: dict[str, Any],
    side_by_side: Sequence[int],
    all_epochs: Sequence[int],
) -> Generator[float, None, dict[str, Any]]:
    """How long a known deep network needs to learn ten thousand letters, in its way and in ours.

    The two are trained in turn, an epoch of ours after every tenth of d2l's, so that both meet the
    same machine. One function of d2l trains both; what differs is the rows of a window, how the
    weights begin, and how they are changed.
    """
    faster = our_course(seed, letters, **ours)
    courses = {"ours": faster}
    if seed in side_by_side:
        task = OnTheTimeMachine(d2l["batch"], letters)
        slower = Course(task, SGD(task.net.parameters(), d2l["learning_rate"]), d2l["epochs"])
        courses["d2l"] = slower
        while slower.goes_on(whole=seed in all_epochs):
            if len(slower.perplexities) % 10 == 0 and faster.goes_on(whole=False):
                yield faster.epoch()
            yield slower.epoch()
    while faster.goes_on(whole=False):
        yield faster.epoch()
    return {name: course.found() for name, course in courses.items()}


@experiment(
    variants={
        "input weights as torch.nn draws them": {"first": 1.0, "second": 1.0},
        "32 rows": {"batch": 32},
        "SGD at rate 2": {"adam": False, "learning_rate": 2.0},
    },
    seeds=range(2),
    settings={
        "letters": 10_000,
        "batch": 8,
        "learning_rate": 1e-2,
        "epochs": 18,
        "first": 16.0,
        "second": 2.0,
    },
    data=lambda: fingerprint(*corpus("time_machine")[:3]),
)
def recipe(seed: int, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """Which part of our recipe it is: all of it but for one thing."""
    course = our_course(seed, **settings)
    while course.goes_on(whole=False):
        yield course.epoch()
    return {"epochs": course.at_enough.get("epochs"), "perplexities": course.perplexities}


@experiment(
    variants={
        "10,000 letters": {"letters": 10_000, "passes": 10},
        "10,000 letters, dropout": {"letters": 10_000, "passes": 10, "dropout": 0.5},
        "136,464 letters, dropout": {"letters": 136_464, "passes": 4, "dropout": 0.3},
    },
    seeds=range(3),
    settings={"batch": 8, "learning_rate": 3e-3, "first": 16.0, "second": 2.0, "dropout": 0.0},
    data=lambda: fingerprint(*corpus("time_machine")[:3]),
)
def held_out(
    seed: int,
    letters: int,
    passes: int,
    batch: int,
    learning_rate: float,
    first: float,
    second: float,
    dropout: float,
) -> Generator[float, None, dict[str, Any]]:
    """How well the same network does on the rest of the book, where that chooses it."""
    torch.manual_seed(seed)
    task = OnTheTimeMachine(batch, letters, dropout)
    widen(task.net, first, second)
    windows = ContiguousWindows(torch.tensor(task.windows.corpus), batch, time=35)
    optimizer = Adam(task.net.parameters(), learning_rate)
    steps = passes * len(windows)
    chosen: dict[str, Any] = {}

    def validate(net: nn.Module) -> dict[str, float]:
        found = task.perplexity("validation")
        if not chosen or found < chosen["held out"]["validation"]:
            chosen.update(task.found())
        return {"validation": found}

    history = yield from train(
        task.net,
        windows,
        loss=window_loss,
        steps=steps,
        optimizer=optimizer,
        scheduler=OneCycleLR(optimizer, learning_rate, steps, pct_start=0.05, cycle_momentum=False),
        validate=validate,
        every=len(windows) if letters < 20_000 else len(windows) // 2,
        seed=seed,
    )
    course = [(step / len(windows), found) for step, found in history.validation["validation"]]
    return {"course": {str(passed): found for passed, found in course}, "chosen": chosen}


# --- Depth ---------------------------------------------------------------------------------------

CELLS = {"tanh": RNNCell, "GRU": GRUCell}


def deep_layer(
    cell: str,
    layers: int,
    units: int,
    residual: bool = False,
    start: str = "",
    scale: float = 1.0,
) -> Stacked:
    """Make layers of one kind of cell on top of each other, all of ``units`` inputs and units.

    ``start="orthogonal inputs"`` and ``"orthogonal states"`` make the matrices of the one or the
    other orthogonal; all matrices are then multiplied by ``scale``.
    """
    stack = Stacked(
        [Recurrent(CELLS[cell](units, units)) for _ in range(layers)], residual=residual
    )
    name = {"orthogonal inputs": "weight_ih", "orthogonal states": "weight_hh"}.get(start)
    with torch.no_grad():
        for layer in stack.layers:
            if name:
                for part in getattr(layer.cell, name).split(units):
                    nn.init.orthogonal_(part)
            layer.cell.weight_ih *= scale
            layer.cell.weight_hh *= scale
    return stack


def deep_model(vocab_size: int, budget: int, **options: Any) -> LanguageModel:
    """Give the widest language model with at most ``budget`` parameters on a deep layer.

    ``options`` are those of :func:`deep_layer`.
    """

    def model(units: int) -> LanguageModel:
        return LanguageModel(vocab_size, layer=deep_layer(units=units, **options))

    def parameters(units: int) -> int:
        with torch.device("meta"):
            return count_parameters(model(units))

    return model(bisect_right(range(budget), budget, lo=2, key=parameters) - 1)


def spread(model: LanguageModel, tokens: Tensor) -> list[float]:
    """Give how different the last states of different texts are: the embedding, then each layer.

    The deviation over the texts ``tokens (batch, time)``, as a mean over the units.
    """
    with torch.no_grad():
        _, state = model(tokens)
        vectors = [model.embedding(tokens[:, -1]), *state]
    return [vector.std(dim=0).mean().item() for vector in vectors]


def train_deep(
    seed: int,
    *,
    budget: int,
    steps: int,
    batch: int,
    time: int,
    learning_rate: float,
    every: int,
    clip: float | None = 1.0,
    **options: Any,
) -> Generator[float, None, dict[str, Any]]:
    """Train a deep language model on Python at one learning rate, and measure it on the way.

    As the rate stays, what was measured after fewer steps is what a shorter training gives.
    """
    text = corpus("python")
    torch.manual_seed(seed)
    model = deep_model(len(text.vocab), budget, **options)
    unseen = ContiguousWindows(text.validation[:30_000], batch=30, time=100)
    before = spread(model, unseen.inputs[:, :100])
    try:
        history = yield from train(
            model,
            ContiguousWindows(text.train, batch, time),
            loss=language_model_loss,
            steps=steps,
            optimizer=Adam(model.parameters(), learning_rate),
            clip=clip,
            validate=lambda model: {"nats": evaluate(model, unseen, loss=language_model_loss)},
            every=every,
            seed=seed,
        )
    except FloatingPointError:
        return {"diverged": True}
    return {
        "diverged": False,
        "bits": {str(step): bits_per_character(n) for step, n in history.validation["nats"]},
        "spread before": before,
        "spread": spread(model.cpu(), unseen.inputs[:, :100]),
        "units": model.layer.output_size,
        "parameters": count_parameters(model),
    }


LANGUAGE = {"budget": 175_000, "steps": 300, "batch": 32, "time": 16, "every": 50}
RATES = {"3e-3": 3e-3, "1e-2": 1e-2}


def named(cell: str, layers: int, residual: bool = False) -> tuple[str, dict[str, Any]]:
    """Give the name of a network in a table, and its options."""
    name = f"{cell}, {layers} {'layer' if layers == 1 else 'layers'}"
    options = {"cell": cell, "layers": layers, "residual": residual}
    return name + ", residual" * residual, options


DEEP = dict([named("GRU", n) for n in (1, 2, 3, 4)] + [named("GRU", n, True) for n in (2, 3, 4)])


@experiment(
    variants={
        f"{name}, rate {rate}": options | {"learning_rate": number}
        for rate, number in RATES.items()
        for name, options in DEEP.items()
    },
    seeds=range(5),
    settings=LANGUAGE,
    data=lambda: fingerprint(*corpus("python")[:2]),
)
def depth(seed: int, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """Whether more layers of as many parameters as one predict Python better."""
    return (yield from train_deep(seed, **settings))


PLAIN = dict([named("tanh", n) for n in (1, 2, 4, 8)] + [named("tanh", n, True) for n in (2, 4, 8)])
UPWARDS = {"cell": "tanh", "layers": 8, "start": "orthogonal inputs"}


@experiment(
    variants={
        **{name: PLAIN[name] for name in ("tanh, 1 layer", "tanh, 8 layers")},
        "tanh, 8 layers, residual": PLAIN["tanh, 8 layers, residual"],
        "tanh, 8 layers, orthogonal inputs": UPWARDS,
    },
    seeds=range(5),
    settings=LANGUAGE | {"learning_rate": 3e-3},
    data=lambda: fingerprint(*corpus("python")[:2]),
)
def eight_layers(seed: int, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """Why eight plain layers learn nothing."""
    return (yield from train_deep(seed, **settings))


@experiment(
    variants={"in turn": {}},
    seeds=range(1),
    settings={"rounds": 15, "budget": 175_000, "batch": 32, "time": 16},
    data=lambda: fingerprint(*corpus("python")[:2]),
)
def price(
    seed: int, rounds: int, budget: int, batch: int, time: int
) -> Generator[float, None, dict[str, Any]]:
    """Say what a step of training costs at each depth: the median of a few, all in turn."""
    text = corpus("python")
    window = next(iter(ContiguousWindows(text.train, batch, time)))
    torch.manual_seed(seed)
    models = {
        name: deep_model(len(text.vocab), budget, **options)
        for name, options in (DEEP | PLAIN).items()
    }
    runs = {
        name: train(
            model,
            [window],
            loss=language_model_loss,
            steps=rounds,
            optimizer=Adam(model.parameters(), 3e-3),
            seed=seed,
        )
        for name, model in models.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    calls = {name: run.__next__ for name, run in runs.items()}
    for name, taken, loss in timed_turns(calls, rounds):
        seconds[name].append(taken)
        yield loss
    return {name: {"milliseconds": 1000 * median(some)} for name, some in seconds.items()}


@experiment(
    variants={
        f"{layers} layers, {how}, rate {rate}": {"layers": layers, "learning_rate": float(rate)}
        | options
        for layers in (2, 4)
        for how, options in {
            "clipped": {},
            "not clipped": {"clip": None},
            "orthogonal": {"start": "orthogonal states"},
            "twice as large": {"scale": 2.0},
        }.items()
        for rate in (("1e-3", "1e-2", "1e-1") if how == "clipped" else ("1e-2",))
    },
    seeds=range(2),
    settings=LANGUAGE | {"cell": "GRU", "steps": 100},
    data=lambda: fingerprint(*corpus("python")[:2]),
)
def sensitive(seed: int, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """Whether four layers are harder to please than two."""
    return (yield from train_deep(seed, **settings))


# --- A task of two stages ------------------------------------------------------------------------

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ALPHABET = Vocab(" " + "".join(DIGITS))


class SpelledSums:
    """Digits as words; at the space after each word, the sum of all up to there, modulo ten.

    The letters of a word make a digit, then the digits make a sum. No batch comes twice.
    """

    def __init__(self, time: int, batch: int, seed: int) -> None:
        self.time, self.batch, self.seed = time, batch, seed

    def __iter__(self) -> Iterator[MaskedWindow]:
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            drawn = torch.randint(10, (self.batch, self.time), generator=generator)
            rows = [self.row(digits) for digits in drawn.tolist()]
            inputs, sums = map(torch.stack, zip(*rows, strict=True))  # (batch, time) each
            yield MaskedWindow(inputs, sums, inputs == ALPHABET.encode(" "))

    def row(self, digits: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Give the letters of some digits and the sum at each letter, cut to ``time`` letters."""
        text = "".join(f"{DIGITS[digit]} " for digit in digits)
        sums = [
            total % 10
            for digit, total in zip(digits, accumulate(digits), strict=True)
            for _ in range(len(DIGITS[digit]) + 1)
        ]
        return ALPHABET.encode(text[: self.time]), torch.tensor(sums[: self.time])


@experiment(
    variants={
        name: DEEP[name] for name in ("GRU, 1 layer", "GRU, 2 layers", "GRU, 2 layers, residual")
    },
    seeds=range(5),
    settings={
        "budget": 30_000,
        "steps": 900,
        "batch": 32,
        "time": 40,
        "learning_rate": 5e-3,
    },
    data=lambda: fingerprint(*next(iter(SpelledSums(40, 32, 1)))),
)
def two_stages(
    seed: int,
    budget: int,
    steps: int,
    batch: int,
    time: int,
    learning_rate: float,
    **options: Any,
) -> Generator[float, None, dict[str, Any]]:
    """Whether two layers learn two stages sooner: letters to digits, then digits to a sum."""
    torch.manual_seed(seed)
    model = deep_model(len(ALPHABET), budget, **options)
    unseen = next(iter(SpelledSums(time, 500, UNSEEN)))
    begin = process_time()
    losses: list[float] = []
    for loss in train(
        model,
        SpelledSums(time, batch, seed + 1),
        loss=masked_language_loss,
        steps=steps,
        optimizer=Adam(model.parameters(), learning_rate),
        seed=seed,
    ):
        yield loss
        losses.append(loss)
        if len(losses) >= RECENT and fmean(losses[-RECENT:]) < 0.1:
            break
    seconds = process_time() - begin
    with torch.no_grad():
        right = accuracy(model.cpu()(unseen.inputs)[0], unseen.targets, unseen.mask)
    return {
        "learnt": fmean(losses[-RECENT:]) < 0.1,
        "steps": len(losses),
        "right": right,
        "seconds of training": seconds,
        "units": model.layer.output_size,
        "parameters": count_parameters(model),
    }
