"""Gradient checkpointing, as in chapter 8: what it saves of the memory, and costs in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from in_turn import in_turn
from unrolled.layers import RNN
from unrolled.runs.ch08 import PeakMemory

STEPS = 576
#: Lengths of a segment: all in one, which needs no checkpoint, comes first.
SEGMENTS = (STEPS, 144, 64, 32, 24, 16, 8, 4, 2)


def contenders(
    steps: int = STEPS, batch: int = 32, features: int = 32, width: int = 128
) -> dict[int, Callable[[], Tensor]]:
    """Give what is timed, by the length of a segment: each gives the gradient by the matrix."""
    torch.manual_seed(0)
    layer = RNN(features, width)
    x = torch.randn(batch, steps, features)

    def last_state(part: Tensor, state: Any) -> Any:
        return layer(part, state)[1]

    def in_segments(segment: int) -> Tensor:
        state = layer.initial_state(batch)
        for part in x.split(segment, dim=1):
            if segment == steps:
                state = last_state(part, state)
            else:
                state = checkpoint(last_state, part, state, use_reentrant=False)
        layer.zero_grad()
        state[0].sum().backward()
        return layer.layers[0].cell.weight_hh.grad

    return {segment: partial(in_segments, segment) for segment in SEGMENTS if segment <= steps}


def measure() -> Iterator[dict[str, Any]]:
    """Give one row a length of a segment."""
    calls = contenders()
    timings = in_turn(calls)
    for segment, call in calls.items():
        with PeakMemory() as memory:
            call()
        yield {"segment": segment, **timings[segment]._asdict(), "bytes": memory.peak}
