"""Time functions side by side: in one process, in turn, so that noise hits all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from time import process_time
from typing import Any, NamedTuple


class Turn(NamedTuple):
    """One call: whose it was, how many seconds it took, and what it gave."""

    name: str
    seconds: float
    result: Any


def timed_turns(
    calls: Mapping[str, Callable[[], Any]],
    rounds: int,
    clock: Callable[[], float] = process_time,
) -> Iterator[Turn]:
    """Call each function in turn, for a number of rounds.

    What is done between two turns is not counted. Without another clock it is the processor's time
    for this process, all of its threads added up; what else the machine does is not counted either.

    Examples
    --------
    >>> [turn.name for turn in timed_turns({"a": list, "b": dict}, rounds=2)]
    ['a', 'b', 'a', 'b']
    """
    for _ in range(rounds):
        for name, call in calls.items():
            begin = clock()
            result = call()
            yield Turn(name, clock() - begin, result)
