"""Time contenders side by side: in one process, in turn, so that noise hits all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median, quantiles
from typing import NamedTuple

from torch.utils.benchmark import Timer


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
        How often each has its turn, at least 2; one more round before them warms up, and tells
        how often a turn calls.
    threads
        Threads that PyTorch may use.
    shortest
        Seconds that a turn of the slowest takes at least: short functions are called several times
        in a turn, all of them equally often.
    """
    timers = {
        name: Timer("call()", globals={"call": call}, num_threads=threads)
        for name, call in contenders.items()
    }
    warm = [timer.timeit(1).mean for timer in timers.values()]
    calls = max(1, round(shortest / max(warm)))
    turns = [
        {name: timer.timeit(calls).mean for name, timer in timers.items()} for _ in range(rounds)
    ]
    reference = next(iter(contenders))
    timings = {}
    for name in contenders:
        ratios = [turn[name] / turn[reference] for turn in turns]
        low, middle, high = quantiles(ratios, n=4, method="inclusive")
        seconds = median(turn[name] for turn in turns)
        timings[name] = Timing(1000 * seconds, middle, low, high)
    return timings
