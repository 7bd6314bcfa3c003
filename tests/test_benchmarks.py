"""The comparisons of speed compare like with like, and their page is that of the results."""

import inspect
import json
import platform
import runpy
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import book
import building
import checkpointing
import gradients
import layers as comparison
import lengths
import page
import recorded
from in_turn import in_turn
from unrolled.layers import GRU, LSTM, RNN
from unrolled.runs import load
from unrolled.runs.registry import rounded
from unrolled.runs.turns import timed_turns

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RESULTS = json.loads((BENCHMARKS / "results.json").read_text(encoding="utf-8"))


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


# --- Time ----------------------------------------------------------------------------------------


def test_turns_are_timed_by_the_clock_that_is_given():
    ticks = iter(range(100))
    turns = list(timed_turns({"a": lambda: 1, "b": lambda: next(ticks)}, 2, lambda: next(ticks)))
    assert [turn.name for turn in turns] == ["a", "b", "a", "b"]
    assert [turn.seconds for turn in turns] == [1, 2, 1, 2]  # the second takes a tick itself
    assert [turn.result for turn in turns] == [1, 3, 1, 8]


def test_what_is_done_between_two_turns_is_not_counted():
    for turn in timed_turns({"nothing": lambda: None}, 3, time.perf_counter):
        assert turn.seconds < 0.01
        time.sleep(0.02)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still, but for what a test adds to its one number."""
    now = [0.0]
    monkeypatch.setattr("in_turn.perf_counter", lambda: now[0])
    return now


def test_timing_is_in_turn_and_compares_with_the_first(clock):
    called = []

    def work(name, seconds):
        called.append(name)
        clock[0] += seconds * (1 + called.count("short"))  # the machine gets slower and slower

    timings = in_turn(
        {"short": lambda: work("short", 1.0), "long": lambda: work("long", 3.0)},
        rounds=3,
        shortest=0,
    )
    assert called == ["short", "long"] * 5  # two rounds before the three that count
    assert timings["short"] == (5000, 1, 1, 1)
    assert timings["long"] == (15000, 3, 3, 3)


def test_ratios_are_those_of_the_rounds_with_their_quartiles(clock):
    taken = iter([9.0, 9.0, 1.0, 2.0, 3.0, 4.0, 5.0])  # the first two do not count
    calls = {"first": lambda: clock.__setitem__(0, clock[0] + 1)}
    calls["second"] = lambda: clock.__setitem__(0, clock[0] + next(taken))
    assert in_turn(calls, rounds=5, shortest=0)["second"] == (3000, 3, 2, 4)


def test_short_calls_are_repeated_and_timed_each(clock):
    called = []

    def work():
        called.append(1)
        clock[0] += 0.004

    timings = in_turn({"one": work}, rounds=3, shortest=0.02)
    assert len(called) == 2 + 3 * 5
    assert timings["one"].milliseconds == pytest.approx(4)


def test_a_short_call_is_repeated_beside_a_long_one_as_well(clock):
    called = []

    def work(name, seconds):
        called.append(name)
        first = called.count(name) == 1  # which makes what is kept
        clock[0] += 1.0 if first else seconds

    timings = in_turn(
        {"long": lambda: work("long", 0.02), "short": lambda: work("short", 0.004)},
        rounds=2,
        shortest=0.02,
    )
    assert called == ["long", "short"] * 2 + (["long"] + ["short"] * 5) * 2
    assert timings["short"] == pytest.approx((4, 0.2, 0.2, 0.2))


def test_the_number_of_threads_is_that_of_the_contenders_alone():
    before, seen = torch.get_num_threads(), []
    in_turn({"one": lambda: seen.append(torch.get_num_threads())}, rounds=2, threads=2, shortest=0)
    assert seen == [2] * 4
    assert torch.get_num_threads() == before


# --- Contenders ----------------------------------------------------------------------------------


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
    close(found, expected)
    close(*(torch.autograd.grad(y.cos().sum(), x)[0] for y in (found, expected)))


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


@pytest.fixture
def double():
    """Numbers of 64 bits."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("kind", gradients.KINDS)
def test_all_ways_give_one_gradient(double, kind):
    calls = gradients.contenders(gradients.Case(kind, length=5, width=4, batch=3))
    automatic, *others = (call() for call in calls.values())
    assert list(calls) == ["autograd", "by hand", "torch.nn"]
    for found in others:
        close(found, automatic)


def test_checkpoints_give_one_gradient_and_need_less_memory(double):
    calls = checkpointing.contenders(steps=64, batch=2, features=3, width=4)
    whole, *parts = (call().clone() for call in calls.values())
    assert list(calls) == [64, 32, 24, 16, 8, 4, 2]
    assert whole.abs().max() > 0
    for found in parts:
        close(found, whole)


def test_two_ways_of_one_recurrence_and_of_one_attention(double):
    layers = lengths.layers()
    x = torch.randn(1, 9, lengths.WIDTH)
    for slow, fast in [("MinGRU, a loop", "MinGRU, a scan"), ("attention", "attention, fused")]:
        layers[slow].load_state_dict(layers[fast].state_dict())
        close(layers[slow](x)[0], layers[fast](x)[0])
    layers["GRU, a loop"] = GRU.from_torch(layers["torch.nn.GRU"])
    close(layers["GRU, a loop"](x)[0], layers["torch.nn.GRU"](x)[0])
    assert layers["attention"].causal
    assert layers["attention, fused"].causal


def test_every_layer_is_trained_on_the_length():
    for name, call in lengths.contenders(3).items():
        layer = call.args[0]
        call()
        assert all(parameter.grad is not None for parameter in layer.parameters()), name


@given(st.floats(0, 3), st.floats(0.1, 10))
def test_an_exponent_is_that_of_the_power(power, factor):
    costs = {length: factor * length**power for length in lengths.LENGTHS}
    assert lengths.power(costs) == pytest.approx((power, 1), abs=1e-9)
    rows = [{"length": length, "a": {"milliseconds": cost}} for length, cost in costs.items()]
    for found in lengths.powers(rows, "a").values():
        assert found == pytest.approx((power, 1), abs=1e-9)


@pytest.mark.parametrize("factor", [3.0, 1 / 3])
def test_the_farthest_point_is_told_as_a_factor(factor):
    # The line through four points of 1 and one in their middle lies at the fifth root.
    costs = dict.fromkeys(lengths.LENGTHS[:5], 1.0) | {lengths.LENGTHS[2]: factor}
    assert lengths.power(costs) == pytest.approx((0, 3 ** (4 / 5)))


def test_exponents_are_of_two_halves():
    rows = [
        {"length": length, "a": {"milliseconds": max(1.0, (length / 1024) ** 2)}}
        for length in lengths.LENGTHS
    ]
    short, long = lengths.powers(rows, "a").values()
    assert (*short, *long) == pytest.approx((0, 1, 2, 1))


# --- What is written -----------------------------------------------------------------------------


def test_the_results_hold_every_case():
    rows = {name: RESULTS[name]["rows"] for name in page.PARTS}
    for module in (comparison, gradients):
        names = module.Case._fields
        section = "layers" if module is comparison else "gradients"
        written = [module.Case(*(row[name] for name in names)) for row in rows[section]]
        assert written == list(module.cases())
    assert all(row["torch.nn"]["ratio"] == 1 for row in rows["layers"])
    assert all(row["autograd"]["ratio"] == 1 for row in rows["gradients"])
    assert [row["segment"] for row in rows["checkpointing"]] == list(checkpointing.SEGMENTS)
    assert [row["length"] for row in rows["lengths"]] == list(lengths.LENGTHS)
    assert [list(row) for row in rows["lengths"]] == [["length", *lengths.layers()]] * 8
    assert all("cores" in RESULTS[name]["machine"] for name in page.PARTS)


def test_what_is_told_of_recorded_runs_is_what_they_hold():
    told = RESULTS["recorded"]["rows"]
    assert told == [rounded(row) for row in recorded.measure()], "stale: make bench, or recorded"


def test_a_goal_is_reached_where_it_is_first_noted():
    course = [{"seconds": 40.0 * (n + 1), "BLEU": bleu} for n, bleu in enumerate([4, 11, 9, 12])]
    assert [recorded._first(course, bleu) for bleu in (3, 5, 12)] == [40, 80, 160]
    assert recorded._middle([40.0, 80.0, recorded._first(course, 13)]) == 80
    assert (
        recorded._middle([40.0, recorded._first(course, 13), recorded._first(course, 14)]) is None
    )


def test_the_page_is_that_of_the_results():
    assert page.PAGE.read_text(encoding="utf-8") == page.page(RESULTS), "stale: benchmarks page"


def test_what_the_page_says_without_a_number_holds():
    for row in RESULTS["gradients"]["rows"]:
        assert row["by hand"]["bytes"] > row["autograd"]["bytes"]
    whole, *parts = RESULTS["checkpointing"]["rows"]
    assert all(row["bytes"] < whole["bytes"] for row in parts)
    assert all(row["ratio"] > 4 / 3 for row in parts)  # more than a second forward pass


def test_what_the_page_says_of_rounds_is_what_is_done():
    text = page.TEXT.read_text(encoding="utf-8")
    assert "seven rounds (five from 2,048 steps on)" in text
    assert inspect.signature(in_turn).parameters["rounds"].default == 7
    assert {n: 7 if n < 2048 else 5 for n in lengths.LENGTHS} == lengths.ROUNDS


def test_what_the_page_says_of_the_course_is_what_was_recorded():
    text = page.TEXT.read_text(encoding="utf-8")
    assert "noted six times on the way" in text
    assert "40 s may stand for less" in text
    (results,) = load("15-equal-time")["results"].values()
    for models in results.values():
        for name, one in models.items():
            if name != "seconds":
                seconds = [at["seconds"] for at in one["course"]]
                assert (len(seconds), round(seconds[0])) == (6, 40)


def test_the_limits_on_the_page_are_those_that_are_enforced():
    root = BENCHMARKS.parent
    gates = (root / "tests" / "site" / "gates.py").read_text(encoding="utf-8")
    assert "PAGE_BYTES = 1_500_000" in gates
    text = page.TEXT.read_text(encoding="utf-8")
    assert "`make test` refuses a page of more than 1.5 MB" in text
    assert f"the build stops a cell after {book.SECONDS} seconds" in text


def test_growth_that_is_not_slower_at_first_is_told():
    rows = [
        {"length": length}
        | {
            name: {"milliseconds": 1.0 + (length / 1024) ** 2, "ratio": 1, "low": 1, "high": 1}
            for name in lengths.layers()
        }
        for length in lengths.LENGTHS
    ]
    assert page.of_lengths(rows)["slower_at_first"] == "all of them"
    for row in rows:
        row["attention"]["milliseconds"] = 1.0
        row["torch.nn.GRU"]["milliseconds"] = min(1024, row["length"])
    assert page.of_lengths(rows)["slower_at_first"] == "all but these: torch.nn.GRU; attention"


def test_the_number_that_was_changed_is_named():
    timing = {"milliseconds": 1, "ratio": 1, "low": 1, "high": 1}
    row = comparison.Case("GRU", "forward", width=512)._asdict()
    row |= dict.fromkeys(("torch.nn", "ours", "loop"), timing)
    assert page._layer(row)[0] == "GRU, 64, units **512**, 32"


def test_how_long_all_takes_is_told_where_it_was_noted():
    noted = {name: {"seconds": 100} for name in page.PARTS}
    assert page.duration(noted) == ", in about 10 minutes"
    assert page.duration(noted | {"layers": {}}) == ""


def test_numbers_are_written_with_their_spread():
    assert page.spread([3.0, 1.0, 2.0]) == "2.00 (1.00 to 3.00)"
    assert page.spread([22.74], 1) == "22.7"
    assert page.times({"ratio": 1.254, "low": 1.0, "high": 2.0}) == "1.25 (1.00 to 2.00)"
    assert [page.milliseconds(ms) for ms in (0.123, 12.34, 1234.5)] == ["0.12", "12.3", "1,234"]
    assert page.table(["a", "b"], [["c", "1"]]) == "| a | b |\n| --- | --: |\n| c | 1 |"


@pytest.mark.parametrize(
    ("scan", "words"),
    [
        ([1, 1, 1], "at every length"),
        ([3, 1, 1], "from 128 steps on"),
        ([1, 3, 1], "from 256 steps on"),
        ([1, 1, 3], "at no length that was measured"),
    ],
)
def test_from_where_on_the_scan_is_faster(scan, words):
    rows = [
        {"length": length, "a": {"ratio": 2}, "MinGRU, a scan": {"ratio": one}}
        for length, one in zip((64, 128, 256), scan, strict=True)
    ]
    assert page.crossing(rows, "a") == words


def test_builds_and_checks_are_told_where_they_were_noted(tmp_path):
    assert list(building.measure(tmp_path)) == []
    noted = {
        "make book": {"cold": 700.1},
        "make test": {"all": 900.0},
        "chapters": {"01-one": 40.2, "02-gone": 3.0},
    }
    (tmp_path / "seconds.json").write_text(json.dumps(noted))
    (tmp_path / "html" / "chapters").mkdir(parents=True)
    (tmp_path / "html" / "chapters" / "01-one.html").write_text("x" * 1_230_000)
    rows = list(building.measure(tmp_path))
    assert [row["name"] for row in rows] == ["cold", "all", "01-one"]
    text = page.of_building(rows)
    assert "| `make book`, cold | 700 |\n| `make test`, all | 900 |" in text["tasks"]
    assert "| 01-one | 40 | 1.23 |" in text["chapters"]
    assert "No chapter had been noted" in page.of_building([])["chapters"]


def test_two_machines_are_told_apart():
    versions = {"python": "3.12.1", "torch": "2.9"}
    here = {"machine": "2 cores", "versions": versions}
    one = dict.fromkeys(page.PARTS, here)
    assert page.machines(one) == "2 cores, Python 3.12.1, PyTorch 2.9"
    two = page.machines(one | {"layers": here | {"machine": "8 cores"}})
    assert "8 cores, Python 3.12.1, PyTorch 2.9 (layers)" in two
    assert "2 cores, Python 3.12.1, PyTorch 2.9 (gradients, " in two


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The command, writing into a folder of the test."""
    monkeypatch.setattr(page, "PAGE", tmp_path / "speed.md")
    main = runpy.run_path(str(BENCHMARKS / "__main__.py"), run_name="bench")["main"]
    results = tmp_path / "results.json"
    results.write_text(json.dumps(RESULTS))
    main.__globals__["RESULTS"] = results
    return main


def test_one_section_is_measured_alone(command, tmp_path, capsys):
    assert command(["recorded"]) == 0
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["layers"] == RESULTS["layers"]
    assert found["recorded"]["rows"] == RESULTS["recorded"]["rows"]
    assert found["recorded"]["versions"]["python"] == platform.python_version()
    assert (tmp_path / "speed.md").read_text(encoding="utf-8") == page.page(found)
    assert "recorded, " in capsys.readouterr().out


def test_who_stops_keeps_what_was_measured(command, tmp_path, monkeypatch):
    def interrupted():
        yield {"one": 1}
        raise KeyboardInterrupt

    monkeypatch.setattr(building, "measure", interrupted)
    monkeypatch.setattr(recorded, "measure", lambda: iter([{"one": 1}]))
    with pytest.raises(KeyboardInterrupt):
        command(["recorded", "building"])
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["recorded"]["rows"] == [{"one": 1}]
    assert found["recorded"]["seconds"] == 0
    assert found["building"] == RESULTS["building"]


def test_without_all_sections_there_is_no_page(command, tmp_path, capsys):
    (tmp_path / "results.json").unlink()
    assert command(["recorded"]) == 1
    assert "python benchmarks layers gradients checkpointing" in capsys.readouterr().out
    assert "rows" in json.loads((tmp_path / "results.json").read_text())["recorded"]
    assert not (tmp_path / "speed.md").exists()


def test_an_unknown_section_is_answered_with_the_known_ones(command, tmp_path, capsys):
    assert command(["recorded", "layer"]) == 2
    assert "There is no section layer; there are layers, gradients" in capsys.readouterr().out
    assert not (tmp_path / "speed.md").exists()
