"""The comparisons of speed compare like with like."""

import json
import time
from itertools import groupby
from pathlib import Path

import pytest
import torch

import layers as comparison
from in_turn import in_turn
from unrolled.layers import GRU, LSTM, RNN

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results.json"


@pytest.mark.parametrize(("kind", "ours"), [("RNN", RNN), ("GRU", GRU), ("LSTM", LSTM)])
def test_the_loop_computes_what_our_layer_computes(kind, ours):
    torch.manual_seed(0)
    loop = comparison.Loop(kind, 3, 4).double()
    layer = ours(3, 4, **({"reset": "before"} if kind == "GRU" else {})).double()
    cell = layer.layers[0].cell
    with torch.no_grad():
        cell.weight_ih.copy_(torch.cat([gate.weight_x.T for gate in loop.gates]))
        cell.weight_hh.copy_(torch.cat([gate.weight_h.T for gate in loop.gates]))
        cell.bias.copy_(torch.cat([gate.bias for gate in loop.gates]))
    x = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    found, expected = loop(x), layer(x)[0]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(y.cos().sum(), x)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_contenders_do_the_work_that_the_case_names():
    forward = comparison.contenders(comparison.Case("LSTM", "forward", length=2, width=3, batch=1))
    training = comparison.contenders(comparison.Case("GRU", "training", length=2, width=3, batch=1))
    assert list(forward) == list(training) == ["torch.nn", "ours", "loop"]
    for name in forward:
        read, train = (one[name].__defaults__[0] for one in (forward, training))
        forward[name]()
        training[name]()
        assert all(parameter.grad is None for parameter in read.parameters())
        assert all(parameter.grad is not None for parameter in train.parameters())


def test_timing_is_in_turn_and_compares_with_the_first():
    called = []

    def work(name, seconds):
        called.append(name)
        time.sleep(seconds)

    timings = in_turn(
        {"short": lambda: work("short", 0.005), "long": lambda: work("long", 0.02)},
        rounds=3,
        shortest=0,
    )
    turns = [name for name, _ in groupby(called)]
    assert turns == ["short", "long"] * 4  # once to warm up, then three rounds
    assert timings["short"].ratio == timings["short"].low == timings["short"].high == 1
    assert 1 < timings["long"].low <= timings["long"].ratio <= timings["long"].high
    assert timings["long"].milliseconds > 20


def test_the_results_hold_every_case():
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    names = comparison.Case._fields
    written = [comparison.Case(*(row[name] for name in names)) for row in results["layers"]]
    assert written == list(comparison.cases())
    assert all(row["torch.nn"]["ratio"] == 1 for row in results["layers"])
    assert "cores" in results["machine"]
