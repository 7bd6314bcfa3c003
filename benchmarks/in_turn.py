"""Time contenders side by side: in one process, in turn, so that noise hits all of them alike."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median, quantiles
from time import perf_counter
from typing import NamedTuple

from torch.utils.benchmark.utils.common import set_torch_threads

from unrolled.runs.turns import timed_turns


class Timing(NamedTuple):
    """What one contender took, in milliseconds a call, and as a multiple of the first contender.

    The ratio is the median of the ratios of all rounds: what slows the machine down for a while
    slows both numbers of a round. `low` and `high` are the quartiles of these ratios.
    """

    milliseconds: float
    ratio: float
    low: float
    high: float


def in_turn(
    contenders: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 7,
    threads: int = 1,
    shortest: float = 0.02,
) -> dict[str, Timing]:
    """Call each contender in turn, for a number of rounds, and compare all with the first.

    Parameters
    ----------
    contenders
        Functions without arguments, by name; the first is what the others are compared with.
    rounds
        How often each has its turn, at least 2; of two more rounds before them, the first warms
        up, and the second tells how often a turn calls.
    threads
        Threads that PyTorch may use.
    shortest
        Seconds that a turn takes at least: short functions are called several times in a turn.
    """
    with set_torch_threads(threads), _no_collection():
        second = list(timed_turns(contenders, 2, perf_counter))[len(contenders) :]
        calls = {turn.name: max(1, round(shortest / turn.seconds)) for turn in second}
        often = {name: _repeated(call, calls[name]) for name, call in contenders.items()}
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        # A clock on the wall: two threads at work for a second have taken a second.
        for name, taken, _ in timed_turns(often, rounds, perf_counter):
            seconds[name].append(taken / calls[name])
    reference = next(iter(seconds.values()))
    timings = {}
    for name, taken in seconds.items():
        ratios = [one / other for one, other in zip(taken, reference, strict=True)]
        low, middle, high = quantiles(ratios, n=4, method="inclusive")
        timings[name] = Timing(1000 * median(taken), middle, low, high)
    return timings


def _repeated(call: Callable[[], object], times: int) -> Callable[[], None]:
    def repeated() -> None:
        for _ in range(times):
            call()

    return repeated


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python's garbage collector out of somebody's turn, as `timeit` does."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()
