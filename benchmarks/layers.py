"""Recurrent layers: those of `torch.nn`, ours, and a loop as a reader of a textbook writes it.

The loop follows the implementations from scratch in A. Zhang et al., "Dive into Deep Learning",
sections 9.5, 10.1 and 10.2 (https://d2l.ai): time comes first, each gate has weights of its own,
and a step multiplies the input and the state with each of them. Its GRU resets the state before the
product, which is less work than `torch.nn` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from in_turn import in_turn
from unrolled.layers import GRU, LSTM, RNN

KINDS = {"RNN": (RNN, nn.RNN), "GRU": (GRU, nn.GRU), "LSTM": (LSTM, nn.LSTM)}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


class Case(NamedTuple):
    """One comparison."""

    kind: str
    work: str  # "forward" or "training": forwards and backwards
    length: int = 64
    width: int = 128  # units, and features of the input
    batch: int = 32
    threads: int = 1


def cases() -> Iterator[Case]:
    """Give all comparisons: from one size in the middle, each of its numbers goes up and down."""
    changed = [{}, {"length": 16}, {"length": 256}, {"width": 32}, {"width": 512}]
    changed += [{"batch": 1}, {"batch": 128}]
    for threads in (1, 2):
        for kind in KINDS:
            for work in ("forward", "training"):
                for change in changed:
                    yield Case(kind, work, threads=threads, **change)


class Loop(nn.Module):
    """A recurrent layer as a textbook's reader writes it: a loop, and one product a weight."""

    def __init__(self, kind: str, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.kind, self.hidden_size = kind, hidden_size
        self.gates = nn.ModuleList(_Gate(input_size, hidden_size) for _ in range(GATES[kind]))

    def forward(self, x: Tensor) -> Tensor:
        """Give ``outputs (batch, time, hidden)`` from ``x (batch, time, input)``."""
        h = c = x.new_zeros(len(x), self.hidden_size)
        outputs = []
        for x_t in x.transpose(0, 1):
            if self.kind == "RNN":
                h = torch.tanh(self.gates[0](x_t, h))
            elif self.kind == "GRU":
                reset, update, candidate = self.gates
                r, z = torch.sigmoid(reset(x_t, h)), torch.sigmoid(update(x_t, h))
                h = (1 - z) * torch.tanh(candidate(x_t, r * h)) + z * h
            else:
                i, f, g, o = (gate(x_t, h) for gate in self.gates)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs, dim=1)


class _Gate(nn.Module):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.weight_x = nn.Parameter(torch.empty(input_size, hidden_size))
        self.weight_h = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(hidden_size))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def forward(self, x_t: Tensor, h: Tensor) -> Tensor:
        return x_t @ self.weight_x + h @ self.weight_h + self.bias


def contenders(case: Case) -> dict[str, Callable[[], None]]:
    """Give what is timed, by name: the reference first."""
    torch.manual_seed(0)
    ours, theirs = KINDS[case.kind]
    x = torch.randn(case.batch, case.length, case.width)
    layers = {
        "torch.nn": theirs(case.width, case.width, batch_first=True),
        "ours": ours(case.width, case.width),
        "loop": Loop(case.kind, case.width, case.width),
    }

    def forward(layer: nn.Module) -> Tensor:
        found = layer(x)
        return found if isinstance(found, Tensor) else found[0]

    def train(layer: nn.Module) -> None:
        layer.zero_grad()
        forward(layer).sum().backward()

    @torch.no_grad()
    def read(layer: nn.Module) -> None:
        forward(layer)

    work = {"forward": read, "training": train}[case.work]
    return {name: lambda layer=layer: work(layer) for name, layer in layers.items()}


def measure() -> Iterator[dict[str, Any]]:
    """Give one row a case."""
    for case in cases():
        timings = in_turn(contenders(case), threads=case.threads)
        yield case._asdict() | {name: timing._asdict() for name, timing in timings.items()}
