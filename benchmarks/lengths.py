"""How the cost of a training step grows with the length: loops, a scan, and attention.

One sequence, so that the weights of attention fit into the memory at 8,192 steps, and one layer of
equal width each, forwards and backwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from statistics import linear_regression
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from in_turn import in_turn
from unrolled.attention import SelfAttention
from unrolled.layers import GRU
from unrolled.scan import MinGRU

LENGTHS = tuple(64 * 2**power for power in range(8))  # 64 to 8,192
WIDTH, BATCH = 64, 1
#: Each with how often it has its turn: a training step of the longest takes seconds.
ROUNDS = {length: 7 if length < 2048 else 5 for length in LENGTHS}


class LoopedMinGRU(MinGRU):
    """The same recurrence, one step after the other."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give ``outputs (batch, time, hidden)`` and the final state."""
        new, candidate = self.parts(x)
        h, outputs = self.initial_state(len(x)), []
        for new_t, candidate_t in zip(new.unbind(1), candidate.unbind(1), strict=True):
            h = (1 - new_t) * h + new_t * candidate_t
            outputs.append(h)
        return torch.stack(outputs, dim=1), h


class FusedAttention(SelfAttention):
    """The same attention by PyTorch's own function, which never holds all weights at once."""

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """Give ``outputs (batch, time, hidden)``; there are no weights to give."""
        parts = self.projection(x)[:, None].chunk(3, dim=3)  # (batch, 1 head, time, hidden) each
        return F.scaled_dot_product_attention(*parts, is_causal=self.causal)[:, 0], None


def layers() -> dict[str, nn.Module]:
    """Give the contenders, by name: the reference first."""
    torch.manual_seed(0)
    return {
        "torch.nn.GRU": nn.GRU(WIDTH, WIDTH, batch_first=True),
        "GRU, a loop": GRU(WIDTH, WIDTH),
        "MinGRU, a loop": LoopedMinGRU(WIDTH, WIDTH),
        "MinGRU, a scan": MinGRU(WIDTH, WIDTH),
        "attention": SelfAttention(WIDTH, WIDTH, causal=True),
        "attention, fused": FusedAttention(WIDTH, WIDTH, causal=True),
    }


def contenders(length: int) -> dict[str, Callable[[], None]]:
    """Give what is timed at a length, by name."""
    x = torch.randn(BATCH, length, WIDTH)

    def train(layer: nn.Module) -> None:
        layer.zero_grad()
        layer(x)[0].sum().backward()

    return {name: partial(train, layer) for name, layer in layers().items()}


def measure() -> Iterator[dict[str, Any]]:
    """Give one row a length."""
    for length in LENGTHS:
        timings = in_turn(contenders(length), rounds=ROUNDS[length])
        yield {"length": length} | {name: t._asdict() for name, t in timings.items()}


class Power(NamedTuple):
    """A power of the length, and the largest factor that is between it and one of the costs."""

    exponent: float
    off: float


def power(costs: Mapping[int, float]) -> Power:
    """Fit a power of the length to the costs: a line through their logarithms."""
    lengths, seconds = (list(map(math.log, side)) for side in (costs, costs.values()))
    slope, start = linear_regression(lengths, seconds)
    off = max(abs(start + slope * x - y) for x, y in zip(lengths, seconds, strict=True))
    return Power(slope, math.exp(off))


def powers(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, Power]:
    """Give the powers of a contender's cost: over the shorter half of lengths, and the longer.

    Where a call costs more than what it computes, as with short sequences, growth looks slower
    than it becomes.
    """
    costs = {row["length"]: row[name]["milliseconds"] for row in rows}
    middle = LENGTHS[len(LENGTHS) // 2]
    return {
        "short": power({length: cost for length, cost in costs.items() if length <= middle}),
        "long": power({length: cost for length, cost in costs.items() if length >= middle}),
    }
