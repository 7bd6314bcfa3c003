"""What recorded runs say of speed: two trainings that take too long to be repeated here.

`make record NAME=12-time-machine` and `make record NAME=15-equal-time` repeat them.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

from unrolled.runs import load

#: BLEU on held-out sentences that a model is waited for.
BLEUS = (0.3, 5.0, 10.0, 20.0)


def measure() -> Iterator[dict[str, Any]]:
    """Give one row a model of a run."""
    yield from time_machine()
    yield from translators()


def time_machine() -> Iterator[dict[str, Any]]:
    """Give for both recipes epochs and seconds up to a training perplexity of 1.1, by seed."""
    run = "12-time-machine"
    recorded = load(run)
    (results,) = recorded["results"].values()
    for name in ("d2l", "ours"):
        found = [each[name]["at 1.1"] for each in results.values() if name in each]
        yield {
            "run": run,
            "machine": recorded["machine"],
            "repeating": sum(one["seconds"] for one in results.values()),
            "name": name,
            "seeds": len(found),
            "epochs": [one["epochs"] for one in found],
            "seconds": [one["seconds of training"] for one in found],
        }


def translators() -> Iterator[dict[str, Any]]:
    """Give for each model of the run the BLEU at its end, and the seconds up to some BLEU.

    The BLEU was noted at a few moments on the way: the seconds are the first of those at which it
    was reached with the middle seed, None where it never was.
    """
    run = "15-equal-time"
    recorded = load(run)
    (results,) = recorded["results"].values()
    names = [name for name, one in max(results.values(), key=len).items() if name != "seconds"]
    for name in names:
        found = [each[name] for each in results.values() if name in each]
        yield {
            "run": run,
            "machine": recorded["machine"],
            "repeating": sum(one["seconds"] for one in results.values()),
            "name": name,
            "seeds": len(found),
            "BLEU": [one["BLEU"] for one in found],
            "reached": {
                f"{bleu:g}": _middle([_first(one["course"], bleu) for one in found])
                for bleu in BLEUS
            },
        }


def _first(course: list[dict[str, float]], bleu: float) -> float:
    return min((at["seconds"] for at in course if at["BLEU"] >= bleu), default=float("inf"))


def _middle(seconds: list[float]) -> float | None:
    middle = median(seconds)
    return None if middle == float("inf") else middle
