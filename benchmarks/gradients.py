"""Gradients by hand against those of autograd: time, and the most memory at once.

The three compute the same numbers: `unrolled.bptt` step by step, autograd through our layer, and
autograd through `torch.nn`, whose steps are written in C++.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from in_turn import in_turn
from unrolled import bptt
from unrolled.cells import LSTMState
from unrolled.layers import LSTM, RNN
from unrolled.runs.ch08 import PeakMemory

KINDS = {"RNN": (RNN, nn.RNN), "LSTM": (LSTM, nn.LSTM)}


class Case(NamedTuple):
    """One comparison, on 32 sequences."""

    kind: str
    length: int
    width: int = 128  # units, and features of the input
    batch: int = 32


def cases() -> Iterator[Case]:
    """Give all comparisons."""
    for kind in KINDS:
        for length in (64, 256):
            yield Case(kind, length)


def contenders(case: Case) -> dict[str, Callable[[], list[Tensor]]]:
    """Give what is timed, by name: each gives the gradients by input, matrices and bias."""
    torch.manual_seed(0)
    kind, of_torch = KINDS[case.kind]
    theirs = of_torch(case.width, case.width, batch_first=True)
    ours = kind.from_torch(theirs)
    x = torch.randn(case.batch, case.length, case.width, requires_grad=True)
    grad_outputs = torch.randn(case.batch, case.length, case.width)
    cell = ours.layers[0].cell

    def automatic(layer: nn.Module, weights: list[Tensor]) -> list[Tensor]:
        return list(torch.autograd.grad(layer(x)[0], [x, *weights], grad_outputs))

    def by_hand() -> list[Tensor]:
        weights = cell.weight_ih, cell.weight_hh
        zeros = x.new_zeros(case.batch, case.width)
        if case.kind == "RNN":
            trace = bptt.rnn_forward(x, zeros, *weights, cell.bias)
            found = bptt.rnn_backward(trace, grad_outputs, *weights)
        else:
            trace = bptt.lstm_forward(x, LSTMState(zeros, zeros), *weights, cell.bias)
            found = bptt.lstm_backward(trace, grad_outputs, *weights)
        return [found.x, found.weight_ih, found.weight_hh, found.bias]

    return {
        "autograd": lambda: automatic(ours, [cell.weight_ih, cell.weight_hh, cell.bias]),
        "by hand": by_hand,
        "torch.nn": lambda: automatic(
            theirs, [theirs.weight_ih_l0, theirs.weight_hh_l0, theirs.bias_ih_l0]
        ),
    }


def measure() -> Iterator[dict[str, Any]]:
    """Give one row a case."""
    for case in cases():
        calls = contenders(case)
        timings = in_turn(calls)
        row: dict[str, Any] = case._asdict()
        for name, call in calls.items():
            with PeakMemory() as memory:
                call()
            row[name] = timings[name]._asdict() | {"bytes": memory.peak}
        yield row
