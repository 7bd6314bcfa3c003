"""The recorded runs of chapter 16: what it costs to drop the loop, and what is lost with it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from time import process_time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unrolled.attention import SelfAttention, sinusoidal_positions
from unrolled.checking import check_choice, check_whole
from unrolled.data import AddingBatches, FirstSymbolBatches, MemoryBatch
from unrolled.data.memory import MemoryBatches
from unrolled.layers import GRU, LSTM, only_cell
from unrolled.models import SequenceTagger
from unrolled.runs.ch09 import SYMBOLS, UNSEEN, Problem, SumReader, learn
from unrolled.runs.recipe import train_with_adam
from unrolled.runs.registry import experiment, fingerprint
from unrolled.scan import MinGRU, associative_scan

# --- Layers that are compared --------------------------------------------------------------------


def check_one_length(lengths: Tensor | None) -> None:
    """Raise a ValueError if lengths came to a layer that is for sequences of one length."""
    if lengths is not None:
        raise ValueError("lengths came; this layer is for sequences of one length: leave them out")


class LoopedMinGRU(MinGRU):
    """A MinGRU that goes from step to step, as a GRU does, and gives the same."""

    def forward(
        self, x: Tensor, state: Tensor | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Give ``outputs (batch, time, hidden)`` and the final state."""
        check_one_length(lengths)
        state = self.initial_state(len(x)) if state is None else state
        outputs = []
        for new, candidate in zip(*(part.unbind(1) for part in self.parts(x)), strict=True):
            state = state + new * (candidate - state)
            outputs.append(state)
        return torch.stack(outputs, dim=1), state


class SignedMinGRU(MinGRU):
    r"""A MinGRU whose decay is between -1 and 1, so that a step can turn the sign of a state [1]_.

    .. math:: h_t = (1 - 2 z_t) \odot h_{t-1} + z_t \odot \tilde h_t

    References
    ----------
    .. [1] R. Grazzi et al., "Unlocking state-tracking in linear RNNs through negative eigenvalues",
       2025, arXiv:2411.12537, section 4.
    """

    def forward(
        self, x: Tensor, state: Tensor | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Give ``outputs (batch, time, hidden)`` and the final state."""
        check_one_length(lengths)
        new, candidate = self.parts(x)
        outputs = associative_scan(1 - 2 * new, new * candidate, state)
        return outputs, outputs[:, -1]


class FusedAttention(nn.Module):
    """Causal self-attention by PyTorch's own function, which never keeps the weights as a whole."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.projection = nn.Linear(input_size, 3 * hidden_size, bias=False)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, None]:
        """Give ``outputs (batch, time, hidden)``, and no weights."""
        check_one_length(lengths)
        query, keys, values = self.projection(x)[:, None].chunk(3, dim=3)  # one head
        return F.scaled_dot_product_attention(query, keys, values, is_causal=True)[:, 0], None


class Placed(nn.Module):
    """A layer that is told where each step stands: positions are added to what it reads."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.input_size, self.output_size = layer.input_size, layer.output_size

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
        """Give what the layer gives."""
        return self.layer(x + sinusoidal_positions(*x.shape[1:]).to(x), lengths=lengths)


EMBEDDING = 16
#: Of each kind: matrices that read the input, whether as many read the state, and biases of a unit.
WEIGHTS = {"MinGRU": (2, 0, 2), "GRU": (3, 1, 4), "LSTM": (4, 1, 4), "attention": (3, 0, 0)}
WEIGHTS["signed MinGRU"] = WEIGHTS["MinGRU"]


def units(kind: str, weights: int, features: int = EMBEDDING) -> int:
    """Give how many units that read so many features have at most so many weights and biases.

    Examples
    --------
    >>> {kind: units(kind, 2400) for kind in WEIGHTS}
    {'MinGRU': 70, 'GRU': 20, 'LSTM': 17, 'attention': 50, 'signed MinGRU': 70}
    """
    matrices, recurrent, biases = WEIGHTS[kind]
    found = 0
    while True:
        more = found + 1
        if more * (matrices * (features + recurrent * more) + biases) > weights:
            return found
        found = more


def make_layer(
    kind: str,
    weights: int,
    bias: float = 0.0,
    positions: bool = False,
    features: int = EMBEDDING,
) -> nn.Module:
    """Make a layer of one of the kinds of ``WEIGHTS`` that has at most so many weights.

    Parameters
    ----------
    kind
        ``"MinGRU"``, ``"signed MinGRU"``, ``"GRU"``, ``"LSTM"`` or ``"attention"``, which is
        causal.
    weights
        Weights and biases of the layer.
    bias
        The higher, the longer a unit keeps what it has: the bias of an LSTM's forget gate, what is
        added to the bias of a GRU's update gate, and minus the bias of a MinGRU's gate.
    positions
        Whether the layer is told where each step stands.
    features
        Numbers that the layer reads at each step.

    Raises
    ------
    ValueError
        If the kind is unknown.

    Examples
    --------
    >>> make_layer("MinGRU", 2400, bias=3.0).bias[:2].tolist()
    [-3.0, -3.0]
    """
    check_choice(WEIGHTS, kind=kind)
    size = units(kind, weights, features)
    if kind in ("MinGRU", "signed MinGRU"):
        layer = (MinGRU if kind == "MinGRU" else SignedMinGRU)(features, size, gate_bias=-bias)
    elif kind == "LSTM":
        layer = LSTM(features, size, forget_bias=bias)
    elif kind == "GRU":
        layer = GRU(features, size)
        with torch.no_grad():
            only_cell(layer).bias[size : 2 * size] += bias
    else:
        layer = FusedAttention(features, size)
    return Placed(layer) if positions else layer


# --- Time against length -------------------------------------------------------------------------

#: The cheap ones first: a test repeats the first three.
CONTENDERS: dict[str, Callable[[int], nn.Module]] = {
    "MinGRU, scan": lambda size: MinGRU(size, size),
    "attention, fused": lambda size: FusedAttention(size, size),
    "MinGRU, loop": lambda size: LoopedMinGRU(size, size),
    "torch.nn.GRU": lambda size: nn.GRU(size, size, batch_first=True),
    "GRU": lambda size: GRU(size, size),
    "attention": lambda size: SelfAttention(size, size, causal=True),
}
LENGTHS = {1: [64, 128, 256, 512, 1024, 2048, 4096, 8192], 16: [64, 128, 256, 512, 1024]}


def exponent(lengths: Sequence[float], values: Sequence[float]) -> float:
    """Fit the exponent with which values grow with length: a line through the logarithms.

    Examples
    --------
    >>> round(exponent([10, 20, 40], [3, 12, 48]), 6)
    2.0
    """
    return float(np.polyfit(np.log(lengths), np.log(values), 1)[0])


def crossing(
    lengths: Sequence[float], first: Sequence[float], second: Sequence[float]
) -> float | None:
    """Give the length from which on the first costs more than the second, to the last length.

    Between two lengths that were measured, both are lines through the logarithms. ``None`` if the
    first costs less at the last length, or more at all of them.

    Examples
    --------
    >>> round(crossing([10, 100, 1000], [1, 100, 10_000], [10, 100, 1000]), 6)
    100.0
    """
    above = np.log(first) - np.log(second)
    cheaper = np.flatnonzero(above <= 0)
    if above[-1] <= 0 or not len(cheaper):
        return None
    last = cheaper[-1]
    (low, high), (before, after) = np.log(lengths[last : last + 2]), above[last : last + 2]
    return float(np.exp(low + (high - low) * before / (before - after)))


@experiment(
    variants={
        f"batch {batch}, {length} steps": {"batch": batch, "length": length}
        for batch, lengths in LENGTHS.items()
        for length in lengths
    },
    seeds=range(5),
    settings={"size": 64},
    data=lambda: fingerprint(torch.zeros(1)),
)
def time(
    seed: int, batch: int, length: int, size: int
) -> Generator[float, None, dict[str, dict[str, float]]]:
    """How the time of a step of training grows with the length of a sequence.

    Forwards and backwards through one layer of as many units as features. The layers take turns.
    """
    torch.manual_seed(seed)
    x = torch.randn(batch, length, size)
    milliseconds = {}
    for name, make in CONTENDERS.items():
        layer = make(size)
        layer(x[:, :64])[0].mean().backward()  # warms up
        begin = process_time()
        loss = layer(x)[0].square().mean()
        loss.backward()
        milliseconds[name] = 1000 * (process_time() - begin)
        yield loss.item()
    return {"milliseconds": milliseconds}


# --- What is remembered --------------------------------------------------------------------------


class WhichFirstBatches(MemoryBatches):
    """Say at the end with which symbol a sequence began; all that follows are symbols as well.

    In chapter 9's task the first symbol is of another kind than the noise. Here nothing tells it
    apart but its place.

    Parameters
    ----------
    symbols
        How many there are to tell apart, at least 2.
    time
        Steps of a sequence, at least 1.
    batch
        Sequences in a batch.
    seed
        Of the generator from which a pass draws.

    Raises
    ------
    ValueError
        If ``symbols`` is below 2, ``time`` or ``batch`` below 1.

    Examples
    --------
    >>> tokens, target = next(iter(WhichFirstBatches(symbols=8, time=20, batch=4)))
    >>> tokens.shape, torch.equal(target, tokens[:, 0])
    (torch.Size([4, 20]), True)
    """

    def __init__(self, symbols: int, time: int, batch: int, seed: int = 0) -> None:
        super().__init__(batch, seed)
        check_whole(2, symbols=symbols)
        check_whole(1, time=time)
        self.symbols, self.time = symbols, time

    def draw(self, generator: torch.Generator) -> MemoryBatch:
        """Give tokens ``(batch, time)`` and the first of each sequence ``(batch,)``."""
        tokens = torch.randint(self.symbols, (self.batch, self.time), generator=generator)
        return MemoryBatch(tokens, tokens[:, 0].clone())


class MarkedSymbolBatches(WhichFirstBatches):
    """Say at the end which symbol was marked, somewhere in the sequence.

    The tokens ``0`` to ``symbols - 1`` are symbols, and ``symbols`` to ``2 * symbols - 1`` are the
    same ones with a mark.

    Examples
    --------
    >>> tokens, target = next(iter(MarkedSymbolBatches(symbols=8, time=20, batch=4)))
    >>> marked = tokens >= 8
    >>> marked.sum(1).tolist(), torch.equal(tokens[marked] - 8, target)
    ([1, 1, 1, 1], True)
    """

    def draw(self, generator: torch.Generator) -> MemoryBatch:
        """Give tokens ``(batch, time)`` and the marked symbols ``(batch,)``."""
        tokens, _ = super().draw(generator)
        place = torch.randint(self.time, (self.batch, 1), generator=generator)
        target = tokens.gather(1, place)
        return MemoryBatch(tokens.scatter(1, place, target + self.symbols), target[:, 0])


class LastStep(SequenceTagger):
    """Give the answer of the last step alone, ``(batch, classes)``."""

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Score the classes of each sequence."""
        check_one_length(lengths)
        return super().forward(tokens)[:, -1]


SYMBOL_TASKS = {
    "first symbol": FirstSymbolBatches,
    "which came first": WhichFirstBatches,
    "marked symbol": MarkedSymbolBatches,
}


TASKS = (*SYMBOL_TASKS, "adding")


def memory_problem(task: str, time: int, batch: int, seed: int, **options: Any) -> Problem:
    """Give a layer of equal weights, and one of ``TASKS``; ``options`` are of :func:`make_layer`.

    Examples
    --------
    >>> problem = memory_problem("marked symbol", 20, 4, seed=0, kind="MinGRU", weights=2400)
    >>> tokens, _ = next(iter(problem.batches))
    >>> problem.model(tokens).shape
    torch.Size([4, 8])
    """
    check_choice(TASKS, task=task)
    torch.manual_seed(seed)
    if task == "adding":
        return Problem(
            SumReader(make_layer(**options, features=2)),
            AddingBatches(time, batch, seed + 1),
            AddingBatches(time, 200, UNSEEN),
            enough=0.02,
        )
    draw = SYMBOL_TASKS[task]
    return Problem(
        LastStep(2 * SYMBOLS, SYMBOLS, layer=make_layer(**options)),
        draw(SYMBOLS, time, batch, seed + 1),
        draw(SYMBOLS, time, 200, UNSEEN),
        enough=0.1,
    )


REMEMBERING = {
    "MinGRU, bias 0": {"kind": "MinGRU"},
    "MinGRU, bias 3": {"kind": "MinGRU", "bias": 3.0},
    "MinGRU, bias 6": {"kind": "MinGRU", "bias": 6.0},
    "GRU, bias 0": {"kind": "GRU"},
    "GRU, bias 3": {"kind": "GRU", "bias": 3.0},
    "GRU, bias 6": {"kind": "GRU", "bias": 6.0},
    "LSTM, bias 3": {"kind": "LSTM", "bias": 3.0},
    "attention": {"kind": "attention"},
    "attention with positions": {"kind": "attention", "positions": True},
}
MEMORY_LENGTHS = {
    "marked symbol": [64, 256, 1024],
    "which came first": [20],
    "first symbol": [20, 80],
    "adding": [20, 80],
}


LEFT_OUT = {
    ("marked symbol", "LSTM, bias 3"),  # as slow as a GRU over 1,024 steps
    ("adding", "attention with positions"),  # there is no embedding to which they could be added
}


@experiment(
    variants={
        f"{task}, {name}": {
            "task": task,
            "lengths": lengths,
            "steps": 400 if task == "adding" else 150,
            **options,
        }
        for task, lengths in MEMORY_LENGTHS.items()
        for name, options in REMEMBERING.items()
        if (task, name) not in LEFT_OUT
    },
    seeds=range(3),
    settings={"batch": 16, "weights": 2400, "learning_rate": 3e-2},
    data=lambda: fingerprint(*next(iter(MarkedSymbolBatches(SYMBOLS, 64, 16)))),
)
def memory(
    seed: int,
    task: str,
    lengths: Sequence[int],
    batch: int,
    steps: int,
    learning_rate: float,
    **options: Any,
) -> Generator[float, None, dict[str, Any]]:
    """Remember one symbol, or two numbers, for growing lengths, up to the first not learnt."""
    found: dict[str, Any] = {}
    for time in lengths:
        problem = memory_problem(task, time, batch, seed, **options)
        begin = process_time()
        one = yield from learn(problem, steps=steps, learning_rate=learning_rate, seed=seed)
        found[str(time)] = one | {"seconds of training": process_time() - begin}
        if not one["learnt"]:
            break
    return found


# --- What has to be kept up to date --------------------------------------------------------------


class ParityBatches(MemoryBatches):
    """Say after each bit whether the number of ones so far is odd.

    Parameters
    ----------
    time
        Bits of a sequence, at least 1.
    batch
        Sequences in a batch.
    seed
        Of the generator from which a pass draws.

    Attributes
    ----------
    tokens, classes : int
        How many tokens there are, and answers.

    Raises
    ------
    ValueError
        If ``time`` or ``batch`` is below 1.

    Examples
    --------
    >>> bits, odd = next(iter(ParityBatches(time=6, batch=1, seed=1)))
    >>> bits.tolist(), odd.tolist()
    ([[1, 1, 0, 0, 1, 1]], [[1, 0, 0, 0, 1, 0]])
    """

    tokens = classes = 2

    def __init__(self, time: int, batch: int, seed: int = 0) -> None:
        super().__init__(batch, seed)
        check_whole(1, time=time)
        self.time = time

    def draw(self, generator: torch.Generator) -> MemoryBatch:
        """Give bits and answers, each ``(batch, time)``."""
        bits = torch.randint(2, (self.batch, self.time), generator=generator)
        return MemoryBatch(bits, bits.cumsum(dim=1) % 2)


class CupBatches(ParityBatches):
    """Say after each move under which of three cups the ball is.

    It begins under cup 0. A move exchanges two cups: move 0 the cups 0 and 1, move 1 the cups 1 and
    2, move 2 the cups 0 and 2.

    Examples
    --------
    >>> moves, cups = next(iter(CupBatches(time=6, batch=1, seed=1)))
    >>> moves.tolist(), cups.tolist()
    ([[1, 2, 0, 2, 1, 1]], [[0, 2, 2, 0, 0, 0]])
    """

    tokens = classes = 3
    #: Where a ball goes: a row for each move, a column for each cup.
    TO = torch.tensor([[1, 0, 2], [0, 2, 1], [2, 1, 0]])

    def draw(self, generator: torch.Generator) -> MemoryBatch:
        """Give moves and answers, each ``(batch, time)``."""
        moves = torch.randint(3, (self.batch, self.time), generator=generator)
        cup, cups = torch.zeros(self.batch, dtype=torch.int64), []
        for move in moves.unbind(1):
            cup = self.TO[move, cup]
            cups.append(cup)
        return MemoryBatch(moves, torch.stack(cups, dim=1))


TRACKING = {"parity": ParityBatches, "cups": CupBatches}
#: The first and the last step between which answers are counted.
SPANS = {"1-8": (0, 8), "9-32": (8, 32), "33-128": (32, 128), "129-512": (128, 512)}


def every_step_loss(model: nn.Module, batch: MemoryBatch, state: None) -> tuple[Tensor, None]:
    """Give the mean cross-entropy of the answers of all steps."""
    logits = model(batch.inputs)  # (batch, time, classes)
    return F.cross_entropy(logits.flatten(0, 1), batch.target.flatten()), state


@experiment(
    variants={
        f"{task}, {name}": {"task": task, **options}
        for task in TRACKING
        for name, options in {
            "MinGRU": {"kind": "MinGRU"},
            "signed MinGRU": {"kind": "signed MinGRU"},
            "GRU": {"kind": "GRU"},
            "attention": {"kind": "attention", "positions": True},
        }.items()
    },
    seeds=range(5),
    settings={"time": 32, "batch": 32, "weights": 4800, "steps": 400, "learning_rate": 1e-2},
    data=lambda: fingerprint(*next(iter(CupBatches(32, 32)))),
)
def tracking(
    seed: int, task: str, time: int, batch: int, steps: int, learning_rate: float, **options: Any
) -> Generator[float, None, dict[str, Any]]:
    """Keep a bit or a place up to date that every step may change, for longer than was trained."""
    torch.manual_seed(seed)
    draw = TRACKING[task]
    model = SequenceTagger(draw.tokens, draw.classes, layer=make_layer(**options))
    begin = process_time()
    yield from train_with_adam(
        model,
        draw(time, batch, seed + 1),
        loss=every_step_loss,
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
    )
    seconds = process_time() - begin
    tokens, target = next(iter(draw(512, 200, UNSEEN)))
    with torch.no_grad():
        right = (model(tokens).argmax(dim=2) == target).float().mean(dim=0)  # (time,)
    spans = {name: right[first:last].mean().item() for name, (first, last) in SPANS.items()}
    return {"right": spans, "seconds of training": seconds}
