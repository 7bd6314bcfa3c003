"""The recorded runs of chapter 8: what a gradient that is cut off still teaches, and its bias."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from unrolled.bptt import RNNGradients, RNNTrace, rnn_backward, rnn_forward
from unrolled.cells import RNNCell
from unrolled.data import (
    ContiguousWindows,
    Corpus,
    FirstSymbolBatches,
    MemoryBatch,
    Window,
    corpus,
)
from unrolled.layers import RNN, State, map_state
from unrolled.models import LanguageModel, language_model_loss
from unrolled.runs.recipe import train_with_adam
from unrolled.runs.registry import experiment, fingerprint

# --- Memory --------------------------------------------------------------------------------------


class PeakMemory(TorchDispatchMode):
    """Count the bytes of all tensors that are made inside and still there; ``peak`` is the most.

    Examples
    --------
    >>> with PeakMemory() as memory:
    ...     x = torch.zeros(1000)  # 4,000 bytes
    ...     y = torch.exp(x) + 1  # 4,000 each; the first is gone when the line is done
    >>> memory.peak
    12000
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Run one operation of PyTorch, and note the storages that it gives."""
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._note(tensor.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        place, size = storage._cdata, storage.nbytes()
        if place not in self.known:  # a view has the storage of its tensor
            self.known.add(place)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, place, size)

    def _forget(self, place: int, size: int) -> None:
        self.known.discard(place)
        self.now -= size


# --- An echo: the gradient is cut off before it reaches what is asked for ------------------------

LETTERS = 4


class EchoBatches:
    """Windows on a stream of letters that are drawn at random; say each one again, some steps late.

    A pass has no end, and each of its windows goes on where the one before has stopped. The targets
    of the first ``lag`` steps of a pass are letters that were never read.

    Parameters
    ----------
    letters
        How many there are to draw from.
    lag
        Steps from a letter to the step at which it is the target.
    time
        Steps of a window.
    batch
        Streams side by side.
    seed
        Of the generator from which a pass draws.

    Examples
    --------
    >>> inputs, targets = next(iter(EchoBatches(letters=4, lag=3, time=10, batch=2)))
    >>> torch.equal(targets[:, 3:], inputs[:, :-3])
    True
    """

    def __init__(self, letters: int, lag: int, time: int, batch: int, seed: int = 0) -> None:
        self.letters, self.lag, self.time, self.batch = letters, lag, time, batch
        self.seed = seed

    def __iter__(self) -> Iterator[Window]:
        generator = torch.Generator().manual_seed(self.seed)

        def draw(time: int) -> Tensor:
            return torch.randint(self.letters, (self.batch, time), generator=generator)

        before = draw(self.lag)
        while True:
            inputs = draw(self.time)
            stream = torch.cat([before, inputs], dim=1)
            before = stream[:, self.time :]
            yield Window(inputs, stream[:, : self.time])


def read_in_windows(
    model: LanguageModel, tokens: Tensor, state: State | None, window: int, carried: bool = True
) -> tuple[Tensor, State]:
    """Give logits and the final state; no gradient crosses from a window to the one before.

    The values of the state do, unless it is not ``carried``: then each window begins with zeros.
    """
    logits = []
    for part in tokens.split(window, dim=1):
        scores, state = model(part, state if carried else None)
        state = map_state(torch.Tensor.detach, state)
        logits.append(scores)
    return torch.cat(logits, dim=1), state  # (batch, time, letters)


def right_echoes(model: LanguageModel, batches: EchoBatches, window: int, carried: bool) -> float:
    """Give the share of letters that are said again rightly, on a stream of its own."""
    state, right = None, []
    with torch.no_grad():
        for (inputs, targets), number in zip(batches, range(11), strict=False):
            logits, state = read_in_windows(model, inputs, state, window, carried)
            if number:  # in the first window some targets were never read
                right.append((logits.argmax(2) == targets).float().mean())
    return torch.stack(right).mean().item()


def make_model(vocab_size: int, hidden_size: int, start: str) -> LanguageModel:
    """Give a plain recurrent network on tokens; ``start`` is of its recurrent matrix."""
    layer = RNN(16, hidden_size)
    if start == "orthogonal":
        nn.init.orthogonal_(layer.layers[0].cell.weight_hh)
    return LanguageModel(vocab_size, layer=layer)


CUT_OFF = (2, 4, 6, 8, 9, 12, 16, 40)
FIXED = {"window": 40, "trained": False}


@experiment(
    variants={
        **{f"window {window}": {"window": window} for window in CUT_OFF},
        "window 4, state of zeros": {"window": 4, "carried": False},
        "window 12, state of zeros": {"window": 12, "carried": False},
        "window 8, orthogonal": {"window": 8, "start": "orthogonal"},
        "read-out only": FIXED,
        "read-out only, orthogonal": {**FIXED, "start": "orthogonal"},
    },
    seeds=range(5),
    settings={"lag": 8, "time": 40, "batch": 32, "hidden_size": 64, "learning_rate": 3e-3}
    | {"steps": 600},
    data=lambda: fingerprint(next(iter(EchoBatches(LETTERS, 8, 40, 32, seed=0))).inputs),
)
def echo(
    seed: int,
    lag: int,
    time: int,
    batch: int,
    hidden_size: int,
    learning_rate: float,
    steps: int,
    window: int,
    carried: bool = True,
    start: str = "uniform",
    trained: bool = True,
) -> Generator[float, None, dict[str, Any]]:
    """Say each letter again eight steps later, with a gradient that reaches that far, or not."""
    torch.manual_seed(seed)
    model = make_model(LETTERS, hidden_size, start)
    if not trained:
        model.layer.requires_grad_(requires_grad=False)
        model.embedding.requires_grad_(requires_grad=False)

    def loss(model: nn.Module, batch: Window, state: State | None) -> tuple[Tensor, State]:
        logits, state = read_in_windows(model, batch.inputs, state, window, carried)
        return F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten()), state

    history = yield from train_with_adam(
        model,
        EchoBatches(LETTERS, lag, time, batch, seed=seed),
        loss=loss,
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
    )
    unseen = EchoBatches(LETTERS, lag, time, batch=100, seed=1000 + seed)
    return {
        "right": right_echoes(model, unseen, window, carried),
        "losses": [sum(history.losses[n : n + 50]) / 50 for n in range(0, steps, 50)],
    }


# --- What lingers in a state: a lag beyond the window that is learnt all the same ----------------


def right_at_the_end(
    model: LanguageModel, batch: MemoryBatch, symbols: int, window: int, carried: bool
) -> float:
    """Give the share of sequences whose first symbol is named after the last step."""
    with torch.no_grad():
        logits, _ = read_in_windows(model, batch.inputs, None, window, carried)
    return (logits[:, -1, :symbols].argmax(1) == batch.target).float().mean().item()


def probed(model: LanguageModel, batches: FirstSymbolBatches, step: int) -> float:
    """Tell how well a linear probe reads the first symbol from the states after a step.

    It learns from one batch, and is tested on the next.
    """
    states = []
    for (tokens, target), _ in zip(batches, range(2), strict=False):
        with torch.no_grad():
            outputs, _ = model.layer(model.embedding(tokens[:, :step]))
        states.append((outputs[:, -1].numpy(), target.numpy()))
    probe = LogisticRegression(max_iter=2000).fit(*states[0])
    return float(probe.score(*states[1]))


WHOLE, CUT = {"window": 20}, {"window": 5}


@experiment(
    variants={
        "whole": WHOLE,
        "window 5": CUT,
        "window 5, state of zeros": {**CUT, "carried": False},
        "whole, orthogonal": {**WHOLE, "start": "orthogonal"},
        "window 5, orthogonal": {**CUT, "start": "orthogonal"},
        "window 5, asked at each step": {**CUT, "asked": "each step"},
        "window 5, asked at each step, state of zeros": {
            **CUT,
            "asked": "each step",
            "carried": False,
        },
    },
    seeds=range(5),
    settings={"symbols": 2, "time": 20, "batch": 32, "hidden_size": 64, "learning_rate": 3e-3}
    | {"steps": 1000},
    data=lambda: fingerprint(next(iter(FirstSymbolBatches(2, 20, 32, seed=0))).inputs),
)
def lingering(
    seed: int,
    symbols: int,
    time: int,
    batch: int,
    hidden_size: int,
    learning_rate: float,
    steps: int,
    window: int,
    carried: bool = True,
    start: str = "uniform",
    asked: str = "end",
) -> Generator[float, None, dict[str, Any]]:
    """Name the first symbol of twenty steps, with a gradient that does not reach it."""
    torch.manual_seed(seed)
    model = make_model(2 * symbols, hidden_size, start)
    unseen = FirstSymbolBatches(symbols, time, batch=2000, seed=1000 + seed)
    untrained = probed(model, unseen, step=time - 5)

    def loss(model: nn.Module, batch: MemoryBatch, state: None) -> tuple[Tensor, None]:
        logits, _ = read_in_windows(model, batch.inputs, None, window, carried)
        if asked == "end":
            return F.cross_entropy(logits[:, -1, :symbols], batch.target), None
        targets = batch.target[:, None].expand(-1, time)  # (batch, time)
        return F.cross_entropy(logits[..., :symbols].flatten(0, 1), targets.flatten()), None

    yield from train_with_adam(
        model,
        FirstSymbolBatches(symbols, time, batch, seed=seed),
        loss=loss,
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
    )
    answer = next(iter(unseen))
    return {
        "right": right_at_the_end(model, answer, symbols, window, carried),
        "probe at step 15, untrained": untrained,
        "probe at step 15, trained": probed(model, unseen, step=time - 5),
    }


# --- The bias of a gradient that is cut off ------------------------------------------------------


def language_trace(model: LanguageModel, tokens: Tensor) -> tuple[RNNTrace, Tensor, RNNCell]:
    """Read ``tokens (batch, time + 1)``: trace, what the loss sends into each state, and the cell.

    The loss is the mean cross-entropy of the next token.
    """
    cell = model.layer.layers[0].cell
    with torch.no_grad():
        x = model.embedding(tokens[:, :-1])
    trace = rnn_forward(x, cell.initial_state(len(x)), cell.weight_ih, cell.weight_hh, cell.bias)
    outputs = trace.h[:, 1:].clone().requires_grad_()  # (batch, time, hidden)
    logits = model.read_out(outputs)
    loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    return trace, torch.autograd.grad(loss, outputs)[0], cell


def of_weights(gradients: RNNGradients) -> Tensor:
    """Give the gradients of all weights of a cell in one vector."""
    parts = gradients.weight_ih, gradients.weight_hh, gradients.bias
    return torch.cat([part.flatten() for part in parts])


def with_borders(trace: RNNTrace, grad_outputs: Tensor, cell: RNNCell, window: int) -> Tensor:
    """Give the gradient that is cut at the borders between windows, as one vector."""
    weights = cell.weight_ih, cell.weight_hh
    return of_weights(rnn_backward(trace, grad_outputs, *weights, window=window))


def with_reach(trace: RNNTrace, grad_outputs: Tensor, cell: RNNCell, reach: int) -> Tensor:
    """Give the gradient in which the loss of each step reaches back over as many steps."""
    x, z, h = trace
    total = torch.zeros(())
    for end in range(1, x.shape[1] + 1):
        start = max(0, end - reach)
        some = RNNTrace(x[:, start:end], z[:, start:end], h[:, start : end + 1])
        of_last = torch.zeros_like(some.z)
        of_last[:, -1] = grad_outputs[:, end - 1]  # the loss of one step, and no other
        total = total + with_borders(some, of_last, cell, window=reach)
    return total


def compared(found: Sequence[Tensor], true: Sequence[Tensor]) -> dict[str, float]:
    """Compare gradients of some batches with the true ones of the same batches.

    ``error`` is the distance, as a share of the true one's length, and ``degrees`` the angle
    between the two, both as a mean over the batches. ``bias`` is the error that is left of the
    expected gradient.
    """
    cut, whole = torch.stack(list(found)), torch.stack(list(true))  # (batches, weights)
    cosine = F.cosine_similarity(cut, whole, dim=1).clamp(-1, 1)
    return {
        "error": ((cut - whole).norm(dim=1) / whole.norm(dim=1)).mean().item(),
        "degrees": cosine.arccos().rad2deg().mean().item(),
        "bias": length_of_expected(cut - whole) / length_of_expected(whole),
    }


def length_of_expected(vectors: Tensor) -> float:
    """Estimate the length of an expected vector from independent ones ``(number, size)``.

    Their mean is too long, by what is left of their noise. Two different vectors share no noise, so
    their inner product is, on average, the squared length.
    """
    number = len(vectors)
    products = vectors.sum(0).square().sum() - vectors.square().sum()
    return max(0.0, products.item() / (number * (number - 1))) ** 0.5


LENGTHS = (1, 2, 4, 8, 16, 32, 64)
text = cache(lambda: corpus("python"))


def _excerpts(letters: Tensor, time: int, batch: int, count: int) -> list[Tensor]:
    """Give batches ``(batch, time + 1)`` of pieces of a text, always the same ones."""
    generator = torch.Generator().manual_seed(0)
    starts = torch.randint(len(letters) - time, (count, batch, 1), generator=generator)
    return list(letters[starts + torch.arange(time + 1)])


@experiment(
    variants={"untrained": {"steps": 0}, "trained": {"steps": 800}},
    seeds=range(5),
    settings={"time": 128, "batch": 32, "hidden_size": 128, "learning_rate": 3e-3, "batches": 64},
    data=lambda: fingerprint(text().train),
)
def truncation_bias(
    seed: int,
    steps: int,
    time: int,
    batch: int,
    hidden_size: int,
    learning_rate: float,
    batches: int,
) -> Generator[float, None, dict[str, Any]]:
    """Measure how far a gradient that is cut off is from the true one, as the window grows."""
    data: Corpus = text()
    torch.manual_seed(seed)
    model = LanguageModel(len(data.vocab), layer=RNN(32, hidden_size))
    if steps:
        yield from train_with_adam(
            model,
            ContiguousWindows(data.train, batch, 64),
            loss=language_model_loss,
            steps=steps,
            learning_rate=learning_rate,
            seed=seed,
        )
    traces = [
        language_trace(model, tokens) for tokens in _excerpts(data.train, time, batch, batches)
    ]
    true = [with_borders(*trace, window=time) for trace in traces]
    if not steps:
        yield true[0].norm().item()

    def over_lengths(
        cut: Callable[..., Tensor], lengths: Sequence[int], count: int
    ) -> dict[str, Any]:
        return {
            str(length): compared([cut(*trace, length) for trace in traces[:count]], true[:count])
            for length in lengths
        }

    whole = torch.stack(true)
    noise = (whole - whole.mean(0)).square().sum() / (batches - 1)
    return {
        "borders": over_lengths(with_borders, LENGTHS, batches),
        "reach": over_lengths(with_reach, LENGTHS[:-1], 8),  # takes long; 64 is nearly all of 128
        "noise of a batch": noise.sqrt().item() / length_of_expected(whole),
    }
