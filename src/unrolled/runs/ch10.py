"""The recorded runs of chapter 10: what the gates of an LSTM do, and what its cells mean."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from unrolled import layers
from unrolled.bptt import gradient_flow
from unrolled.cells import NONLINEARITIES, LSTMCell, LSTMGates, LSTMState
from unrolled.checking import check_choice, check_whole
from unrolled.data import (
    AddingBatches,
    ContiguousWindows,
    FirstSymbolBatches,
    MemoryBatch,
    RandomWindows,
    corpus,
)
from unrolled.data.corpora import LETTERS, VALIDATION_MODULES
from unrolled.data.memory import MemoryBatches
from unrolled.data.python_source import CLASSES, letter_classes, module_source
from unrolled.layers import LSTM, Recurrent, map_state, only_cell, states
from unrolled.metrics import bits_per_character
from unrolled.models import LanguageModel, language_model_loss
from unrolled.runs import ch09
from unrolled.runs.ch03 import forgetful_loss
from unrolled.runs.ch09 import UNSEEN, Problem, SumReader, climb, learn, memory_loss, score
from unrolled.runs.recipe import count_parameters, train_with_adam
from unrolled.runs.registry import experiment, fingerprint
from unrolled.training import evaluate

# --- A marked value among noise ------------------------------------------------------------------


class MarkedBatches(MemoryBatches):
    """Say at the end of a sequence which number was marked; all others are noise.

    A step has two features: a number, uniform in [-1, 1), and a mark, which is 1 at one step,
    drawn at random, and 0 elsewhere. Who always answers 0 has a mean squared error of 1/3.

    Parameters
    ----------
    time
        Steps of a sequence, at least 1.
    batch
        Sequences in a batch.
    seed
        Of the generator from which a pass draws.

    Raises
    ------
    ValueError
        If ``time`` or ``batch`` is below 1.

    Examples
    --------
    >>> x, target = next(iter(MarkedBatches(time=40, batch=4)))
    >>> x.shape, target.shape
    (torch.Size([4, 40, 2]), torch.Size([4]))
    >>> numbers, marks = x.unbind(2)
    >>> torch.equal(target, (numbers * marks).sum(1))
    True
    """

    def __init__(self, time: int, batch: int, seed: int = 0) -> None:
        super().__init__(batch, seed)
        check_whole(1, time=time)
        self.time = time

    def draw(self, generator: torch.Generator) -> MemoryBatch:
        """Give numbers and marks ``(batch, time, 2)``, and the marked numbers ``(batch,)``."""
        numbers = 2 * torch.rand(self.batch, self.time, generator=generator) - 1
        place = torch.randint(self.time, (self.batch, 1), generator=generator)
        marks = torch.zeros_like(numbers).scatter_(1, place, 1.0)
        return MemoryBatch(torch.stack([numbers, marks], 2), (numbers * marks).sum(1))


def marked_problem(time: int, seed: int, units: int, batch: int = 32, **options: Any) -> Problem:
    """Give an LSTM that is to say at the end which number was marked."""
    torch.manual_seed(seed)
    return Problem(
        SumReader(LSTM(2, units, **options)),
        MarkedBatches(time, batch, seed + 1),
        MarkedBatches(time, 1000, UNSEEN),
        enough=0.02,
    )


#: Where a step is, as seen from the mark.
PLACES = ("before", "at", "after")


def gates_by_place(model: SumReader, batch: MemoryBatch) -> list[dict[str, Any]]:
    """Say for each unit what it carries, and what its gates do before, at and after the mark.

    Returns
    -------
    list of dict
        One for each unit. ``"carries"``: the correlation of its last c with the marked number.
        ``"i"``, ``"f"`` and ``"o"``: the mean of a gate over all steps before a mark, at it, and
        after it. ``"kept"``: the product of f over all steps after the mark, a mean over the
        sequences whose mark is in the first half.
    """
    x, target = batch
    with torch.no_grad():
        found = layers.gates(model.layer, x)  # (batch, time, hidden) each
        last = states(model.layer, x).c[:, -1]  # (batch, hidden)
    at = x[:, :, 1].cumsum(1)  # 0 before the mark, 1 from it on
    masks = dict(
        zip(PLACES, (at == 0, x[:, :, 1] == 1, (at == 1) & (x[:, :, 1] == 0)), strict=True)
    )
    early = masks["before"].sum(1) < x.shape[1] // 2
    kept = torch.where(masks["after"][:, :, None], found.f, 1.0).prod(1)[early].mean(0)
    units = []
    for unit in range(last.shape[1]):
        carries = torch.corrcoef(torch.stack([last[:, unit], target]))[0, 1].item()
        means = {
            name: {place: gate[..., unit][mask].mean().item() for place, mask in masks.items()}
            for name, gate in zip("ifo", (found.i, found.f, found.o), strict=True)
        }
        units.append({"carries": carries, "kept": kept[unit].item()} | means)
    return units


def example_over_time(model: SumReader, x: Tensor) -> dict[str, Any]:
    """Give gates and c of one sequence ``x (time, 2)``: a list over time for each unit."""
    with torch.no_grad():
        found = layers.gates(model.layer, x[None])._asdict()
        found["c"] = states(model.layer, x[None]).c
    return {name: part[0].T.tolist() for name, part in found.items()}


def shown_sequence(unseen: MemoryBatches) -> Tensor:
    """Give the sequence of an unseen batch whose mark is nearest to the end of its first third."""
    x, _ = next(iter(unseen))
    place = x[:, :, 1].argmax(1)
    return x[(place - x.shape[1] // 3).abs().argmin()]


@experiment(
    variants={
        "1 unit": {"units": 1},
        "2 units": {"units": 2},
        "16 units": {"units": 16},
        "1 unit, forget bias 3": {"units": 1, "forget_bias": 3.0},
        "2 units, forget bias 3": {"units": 2, "forget_bias": 3.0},
        "16 units, forget bias 3": {"units": 16, "forget_bias": 3.0},
    },
    seeds=range(5),
    settings={"time": 40, "batch": 32, "steps": 1000, "learning_rate": 3e-2, "forget_bias": 1.0},
    data=lambda: fingerprint(*next(iter(MarkedBatches(40, 32)))),
)
def gates(
    seed: int, time: int, steps: int, learning_rate: float, **options: Any
) -> Generator[float, None, dict[str, Any]]:
    """Remember a marked number among noise, and look at what the gates do."""
    model, batches, unseen, _ = marked_problem(time, seed, **options)
    batch = next(iter(unseen))
    before = gates_by_place(model, batch)
    yield from train_with_adam(
        model, batches, loss=memory_loss, steps=steps, learning_rate=learning_rate, seed=seed
    )
    found = {
        "unseen": score(model, batch),
        "baseline": batch.target.square().mean().item(),
        "before": before,
        "after": gates_by_place(model, batch),
    }
    if options["units"] <= 2:
        x = shown_sequence(unseen)
        read = {"number": x[:, 0].tolist(), "mark": x[:, 1].tolist()}
        found["shown"] = read | example_over_time(model, x)
    return found


# --- The bias of the forget gate -----------------------------------------------------------------


@experiment(
    variants={f"bias {bias}": {"bias": float(bias)} for bias in (0, 1, 3, 5)},
    seeds=range(5),
    settings={"time": 60, "units": 64, "batch": 8},
    data=lambda: fingerprint(*next(iter(FirstSymbolBatches(ch09.SYMBOLS, 60, 8, UNSEEN)))),
)
def gradients(
    seed: int, bias: float, time: int, units: int, batch: int
) -> Generator[float, None, dict[str, list[float]]]:
    """Follow the gradients of c and of h back over an LSTM that has not been trained.

    Kept are the logarithms to the base 10: the smallest have more zeros than a record keeps digits.
    """
    yield from ()  # nothing is trained
    model = ch09.first_symbol_problem(time, seed, "LSTM", units, forget_bias=bias).model
    tokens, _ = next(iter(FirstSymbolBatches(ch09.SYMBOLS, time, batch, UNSEEN)))
    with torch.no_grad():
        x = model.embedding(tokens)
    return {part: gradient_flow(model.layer, x, part=part).log10().tolist() for part in "ch"}


SLOW = {"lengths": ch09.LENGTHS}
FAST = {"lengths": ch09.LENGTHS[:4], "learning_rate": 1e-2}


@experiment(
    variants={
        "first symbol, bias 0": SLOW | {"bias": 0.0},
        "first symbol, bias 0, rate 1e-2": FAST | {"bias": 0.0},
        "first symbol, bias 5, rate 1e-2": FAST | {"bias": 5.0},
        "adding, bias 0, rate 1e-2": FAST | {"bias": 0.0, "task": "adding", "steps": 1500},
    },
    seeds=range(5),
    settings={
        "task": "first symbol",
        "units": 64,
        "batch": 32,
        "steps": 1000,
        "learning_rate": 3e-3,
    },
    data=lambda: fingerprint(*next(iter(FirstSymbolBatches(ch09.SYMBOLS, 10, 32)))),
)
def forget_bias(
    seed: int, task: str, bias: float, lengths: Sequence[int], **options: Any
) -> Generator[float, None, dict[str, Any]]:
    """Learn over growing lengths with other biases of the forget gate than those of chapter 9."""
    problem = ch09.PROBLEMS[task]
    return (yield from climb(problem, lengths, seed, cell="LSTM", forget_bias=bias, **options))


# --- What a cell comes to mean -------------------------------------------------------------------

#: What is true of a place in a program after its letter has been read.
FACTS = ("inside a string", "inside a bracket", "line start")

#: A short program, to be shown with its letters coloured.
SNIPPET = """\
def greet(name, times=2):
    words = ["hello", name.title()]
    for _ in range(times):
        print("(and) ".join(words), end="; ")
    return {"said": times, "left": max(0, 5 - times)}
"""


def facts(source: str) -> dict[str, list[bool]]:
    """Say of each letter of a Python program what is true once it has been read.

    After the quote that opens a string one is inside it, after the quote that closes it no more; so
    with brackets, but for those in a string or a comment. "Line start" is true after a line end and
    the spaces that follow it.

    Raises
    ------
    SyntaxError, tokenize.TokenError
        If the text is not a Python program.

    Examples
    --------
    >>> found = facts("f('(')")
    >>> [[int(truth) for truth in found[name]] for name in FACTS[:2]]
    [[0, 0, 1, 1, 0, 0], [0, 1, 1, 1, 1, 0]]
    """
    classes = letter_classes(source)
    string, code = CLASSES.index("string"), CLASSES.index("code")
    found: dict[str, list[bool]] = {name: [] for name in FACTS}
    depth, start = 0, True
    for letter, kind, later in zip(source, classes, [*classes[1:], code], strict=True):
        if kind == code:
            depth += (letter in "([{") - (letter in ")]}")
        start = letter == "\n" or (start and letter == " ")
        for name, truth in zip(FACTS, (kind == later == string, depth > 0, start), strict=True):
            found[name].append(truth)
    return found


class FactWindows(NamedTuple):
    """Windows of programs, ``(windows, time)``, and for each fact where it is true, alike."""

    tokens: Tensor
    truths: dict[str, Tensor]


@cache
def fact_windows(modules: str, time: int = 200) -> FactWindows:
    """Cut modules into windows that begin at the start of a line, outside strings and brackets.

    Whoever reads a window from its start can thus know what is true. Windows with a string in three
    quotes are left out: what stands there is prose. Letters other than ``LETTERS`` are too.
    """
    vocab = corpus("python").vocab
    texts: list[Tensor] = []
    truths: dict[str, list[list[bool]]] = {name: [] for name in FACTS}
    for name in modules.split():
        source = module_source(name)
        found = facts(source)
        here = [place for place, letter in enumerate(source) if letter in LETTERS]
        free = 0  # the first place, of those that are kept, that no window has taken
        for first in range(len(here) - time + 1):
            before = here[first] - 1
            inside = before >= 0 and any(found[fact][before] for fact in FACTS[:2])
            if first < free or inside or (before >= 0 and source[before] != "\n"):
                continue
            window = here[first : first + time]
            text = "".join(source[place] for place in window)
            if '"""' in text or "'''" in text:
                continue
            texts.append(vocab.encode(text))
            for fact in FACTS:
                truths[fact].append([found[fact][place] for place in window])
            free = first + time
    return FactWindows(
        torch.stack(texts), {fact: torch.tensor(found) for fact, found in truths.items()}
    )


def cells(model: LanguageModel, tokens: Tensor) -> Tensor:
    """Give tanh(c) after each letter of ``tokens (batch, time)``: ``(batch, time, hidden)``."""
    with torch.no_grad():
        return states(model.layer, model.embedding(tokens)).c.tanh()


def area(values: Tensor, truth: Tensor) -> float:
    """Give the area under the ROC curve of numbers that are to tell where something is true."""
    return float(roc_auc_score(truth.numpy(), values.numpy()))


def best_unit(values: Tensor, truth: Tensor) -> tuple[int, float]:
    """Find the column of ``values (places, units)`` that tells best where something is true.

    Gives its number, and 1 or -1: whether it is high or low there.
    """
    areas = [area(column, truth) for column in values.unbind(1)]
    unit = max(range(len(areas)), key=lambda k: abs(areas[k] - 0.5))
    return unit, 1.0 if areas[unit] > 0.5 else -1.0


#: Letters on which a unit is chosen, and as many on which it is scored.
PLACES_USED = 10_000


def what_units_mean(model: LanguageModel, windows: FactWindows, seed: int) -> dict[str, Any]:
    """Find for each fact the unit that tells it, on half of the places, and score it on the others.

    ``"unit"`` and ``"sign"`` say which it is; ``"area"`` is its area under the curve on the other
    half of the windows, ``"chosen at"`` the one on which it was chosen, ``"probe"`` the area of all
    units together; ``"shown"`` are its values on ``SNIPPET``.
    """
    vocab = corpus("python").vocab
    values = cells(model, windows.tokens)
    shown = cells(model, vocab.encode(SNIPPET)[None])[0]
    generator = torch.Generator().manual_seed(seed)
    half = len(values) // 2
    places = half * values.shape[1]
    chosen = torch.randperm(places, generator=generator)[:PLACES_USED]
    choose, score_on = values[:half].flatten(0, 1)[chosen], values[-half:].flatten(0, 1)[chosen]
    found = {}
    for fact, truths in windows.truths.items():
        seen, unseen = truths[:half].flatten()[chosen], truths[-half:].flatten()[chosen]
        unit, sign = best_unit(choose, seen)
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        probe.fit(choose, seen)
        together = torch.from_numpy(probe.decision_function(score_on))
        found[fact] = {
            "unit": unit,
            "sign": sign,
            "chosen at": area(sign * choose[:, unit], seen),
            "area": area(sign * score_on[:, unit], unseen),
            "probe": area(together, unseen),
            "true": unseen.float().mean().item(),
            "shown": (sign * shown[:, unit]).tolist(),
        }
    return found


def reorder(layer: nn.Module, order: str) -> None:
    """Move the gates of an LSTM in place: where i, f, g, o stand, put those that ``order`` names.

    This is what happens where weights of a library with another order are read as if they had ours.
    """
    cell = only_cell(layer)
    with torch.no_grad():
        for weights in (cell.weight_ih, cell.weight_hh, cell.bias):
            blocks = dict(zip("ifgo", weights.clone().chunk(4), strict=True))
            weights.copy_(torch.cat([blocks[gate] for gate in order]))


#: What is handed over instead of the right state, by name.
HANDED = {
    "right": lambda state: state,
    "zeros": lambda state: map_state(torch.zeros_like, state),
    "of another text": lambda state: map_state(lambda part: part.roll(1, 0), state),
    "h without c": lambda state: LSTMState(state.h, torch.zeros_like(state.c)),
    "c without h": lambda state: LSTMState(torch.zeros_like(state.h), state.c),
}


def harm(model: LanguageModel, tokens: Tensor) -> dict[str, list[float]]:
    """Measure what a wrong state costs in the middle of texts ``tokens (batch, time)``.

    Gives for each name of ``HANDED`` the bits of each letter of the second half, a mean over the
    texts.
    """
    half = tokens.shape[1] // 2
    first, second, after = tokens[:, :half], tokens[:, half:-1], tokens[:, half + 1 :]
    found = {}
    with torch.no_grad():
        _, (state,) = model(first)
        for name, hand in HANDED.items():
            logits, _ = model(second, (hand(state),))
            nats = F.cross_entropy(logits.mT, after, reduction="none").mean(0)
            found[name] = [bits_per_character(value) for value in nats]
    return found


@experiment(
    variants={"LSTM": {}},
    seeds=range(5),
    settings={"units": 160, "batch": 32, "time": 64, "steps": 800, "learning_rate": 1e-2},
    data=lambda: fingerprint(*corpus("python")[:2]),
)
def meaning(
    seed: int, units: int, batch: int, time: int, steps: int, learning_rate: float
) -> Generator[float, None, dict[str, Any]]:
    """Find cells of a language model that say where in a program one is."""
    text, windows = corpus("python"), fact_windows(VALIDATION_MODULES)
    torch.manual_seed(seed)
    model = LanguageModel(len(text.vocab), layer=LSTM(32, units))
    untrained = what_units_mean(model, windows, seed)
    yield from train_with_adam(
        model,
        ContiguousWindows(text.train, batch, time),
        loss=language_model_loss,
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
    )
    held_out = ContiguousWindows(text.validation, batch=100, time=200)
    found = {
        "bits": bits_per_character(evaluate(model, held_out, loss=language_model_loss)),
        "untrained": untrained,
        "trained": what_units_mean(model, windows, seed),
        "harm": harm(model, windows.tokens),
        "parameters": count_parameters(model),
    }
    reorder(model.layer, "iofg")
    wrong = bits_per_character(evaluate(model, held_out, loss=language_model_loss))
    return found | {"bits in the wrong order": wrong}


# --- Other activations ---------------------------------------------------------------------------

ACTIVATIONS = NONLINEARITIES | {"hard sigmoid": F.hardsigmoid}


class OtherActivations(LSTMCell):
    """An LSTM with other functions at its gates, at its candidate, and where c becomes h."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        gate: str = "sigmoid",
        candidate: str = "tanh",
        output: str = "tanh",
    ) -> None:
        super().__init__(input_size, hidden_size)
        check_choice(ACTIVATIONS, gate=gate, candidate=candidate, output=output)
        self.gate, self.candidate, self.output = gate, candidate, output

    def gates(self, projected_t: Tensor, state: LSTMState) -> LSTMGates:
        """Give the three gates and the candidate, each ``(batch, hidden)``."""
        z = projected_t + F.linear(state.h, self.weight_hh)  # (batch, 4 * hidden)
        i, f, g, o = z.chunk(4, dim=1)
        gate, candidate = ACTIVATIONS[self.gate], ACTIVATIONS[self.candidate]
        return LSTMGates(gate(i), gate(f), candidate(g), gate(o))

    def step(self, projected_t: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Give the output ``(batch, hidden)``, which is the new ``h``, and the new state."""
        i, f, g, o = self.gates(projected_t, state)
        c = f * state.c + i * g
        h = o * ACTIVATIONS[self.output](c)
        return h, LSTMState(h, c)


def read_source(
    layer: nn.Module, seed: int, *, steps: int, learning_rate: float
) -> Generator[float, None, dict[str, Any]]:
    """Train a language model of Python's source for a short time; stop where a number is none."""
    text, losses = corpus("python"), 0
    model = LanguageModel(len(text.vocab), layer=layer)
    try:
        for loss in train_with_adam(
            model,
            RandomWindows(text.train, 32, 40, count=steps),
            loss=forgetful_loss,
            steps=steps,
            learning_rate=learning_rate,
            seed=seed,
        ):
            yield loss
            losses += 1
    except FloatingPointError:
        return {"diverged": True, "steps": losses}
    held_out = ContiguousWindows(text.validation, batch=500, time=40)
    nats = evaluate(model, held_out, loss=forgetful_loss)
    return {"diverged": False, "steps": steps, "bits": bits_per_character(nats)}


USED = {
    "sigmoid and tanh": {},
    "gates hard sigmoid": {"gate": "hard sigmoid"},
    "gates tanh": {"gate": "tanh"},
    "gates relu": {"gate": "relu"},
    "output identity": {"output": "identity"},
    "candidate and output relu": {"candidate": "relu", "output": "relu"},
}


@experiment(
    variants={
        **{f"adding, {name}": options for name, options in USED.items()},
        **{
            f"source, {name}": options | {"task": "source", "steps": 200}
            for name, options in USED.items()
        },
    },
    seeds=range(5),
    settings={"task": "adding", "units": 64, "steps": 800, "learning_rate": 1e-2},
    data=lambda: fingerprint(*corpus("python")[:2], *next(iter(AddingBatches(40, 32)))),
)
def activations(
    seed: int, task: str, units: int, steps: int, learning_rate: float, **used: str
) -> Generator[float, None, dict[str, Any]]:
    """Learn to add up, and to predict a source text, with other functions inside an LSTM."""
    torch.manual_seed(seed)
    layer = Recurrent(OtherActivations(2 if task == "adding" else 32, units, **used))
    options = {"steps": steps, "learning_rate": learning_rate, "seed": seed}
    if task == "source":
        return (yield from read_source(layer, **options))
    problem = ch09.adding_problem(40, seed, "LSTM", units)
    return (yield from learn(problem._replace(model=SumReader(layer)), **options))
