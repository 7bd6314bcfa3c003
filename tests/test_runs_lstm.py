"""What chapter 10 trains, reads out of gates and cells, and breaks."""

import math

import pytest
import torch
import torch.nn.functional as F

from unrolled.cells import LSTMCell, LSTMState
from unrolled.data import MemoryBatch, corpus
from unrolled.layers import LSTM, Recurrent, gates, states
from unrolled.models import LanguageModel
from unrolled.runs import ch10
from unrolled.runs.ch09 import SumReader


def run(training):
    """Give the losses of a training, and what it returns."""
    losses = []
    while True:
        try:
            losses.append(next(training))
        except StopIteration as end:
            return losses, end.value


# --- A marked value ------------------------------------------------------------------------------


def test_one_step_of_each_sequence_is_marked():
    x, target = next(iter(ch10.MarkedBatches(6, 2000, seed=3)))
    numbers, marks = x.unbind(2)
    assert (marks.sum(1) == 1).all()
    assert ((marks == 0) | (marks == 1)).all()
    assert torch.equal(numbers[marks == 1], target)
    assert marks.mean(0).tolist() == pytest.approx([1 / 6] * 6, abs=0.03)
    assert -1 <= numbers.min() < -0.99
    assert 0.99 < numbers.max() < 1
    assert target.square().mean().item() == pytest.approx(1 / 3, abs=0.03)
    with pytest.raises(ValueError, match="time is 0; expected a whole number of at least 1"):
        ch10.MarkedBatches(0, 5)


def by_hand():
    """Give a reader whose first unit writes at the mark alone, and keeps 0.9 of it at each step.

    The second unit writes nothing and forgets everything.
    """
    model = SumReader(LSTM(2, 2))
    cell = model.layer.layers[0].cell
    with torch.no_grad():
        for weights in cell.parameters():
            weights.zero_()
        rows = {name: k for k, name in enumerate("ifgo")}
        cell.bias[2 * rows["i"] : 2 * rows["i"] + 2] = -20.0
        cell.weight_ih[2 * rows["i"], 1] = 40.0  # the mark
        cell.bias[2 * rows["f"] : 2 * rows["f"] + 2] = torch.tensor([math.log(9.0), -20.0])
        cell.weight_ih[2 * rows["g"], 0] = 0.01  # the number, where tanh is a line
    return model


def test_gates_are_told_apart_by_the_mark():
    batch = next(iter(ch10.MarkedBatches(4, 400)))
    late = batch.inputs[:, -1, 1] == 1
    last = MemoryBatch(batch.inputs[late], batch.target[late])  # the mark is at the last step
    first, second = ch10.gates_by_place(by_hand(), batch)
    assert first["i"] == pytest.approx({"before": 0, "at": 1, "after": 0}, abs=1e-6)
    assert first["f"] == pytest.approx(dict.fromkeys(ch10.PLACES, 0.9))
    assert first["o"] == pytest.approx(dict.fromkeys(ch10.PLACES, 0.5))
    early = batch.inputs[:, :, 1].argmax(1)
    expected = (0.9 ** (3 - early[early < 2])).mean().item()
    assert first["kept"] == pytest.approx(expected)
    assert second["i"]["at"] == pytest.approx(0, abs=1e-6)
    assert second["kept"] == pytest.approx(0, abs=1e-6)
    assert ch10.gates_by_place(by_hand(), last)[0]["carries"] == pytest.approx(1, abs=1e-3)
    assert 0.9 < first["carries"] < 0.999  # 0.9 to the power of how long ago the mark was


def test_an_example_tells_what_the_gates_do_at_each_step():
    torch.manual_seed(0)
    model, _, unseen, _ = ch10.marked_problem(9, 0, units=2)
    x = ch10.shown_sequence(unseen)
    assert x[:, 1].tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0]
    found = ch10.example_over_time(model, x)
    assert sorted(found) == ["c", "f", "g", "i", "o"]
    assert {(len(part), len(part[0])) for part in found.values()} == {(2, 9)}
    i, f, g, c = (torch.tensor(found[name]) for name in "ifgc")
    torch.testing.assert_close(c[:, 1:], f[:, 1:] * c[:, :-1] + i[:, 1:] * g[:, 1:])


def test_a_run_at_the_mark_says_what_came_of_it():
    _, found = run(ch10.gates(0, time=5, steps=2, learning_rate=0.1, units=1, batch=4))
    assert set(found) == {"unseen", "baseline", "before", "after", "shown"}
    assert found["before"] != found["after"]
    assert found["baseline"] == pytest.approx(1 / 3, abs=0.03)
    assert {len(found["shown"][name]) for name in ("number", "mark")} == {5}
    _, wide = run(ch10.gates(0, time=5, steps=2, learning_rate=0.1, units=3, batch=4))
    assert "shown" not in wide
    assert len(wide["after"]) == 3


# --- The bias of the forget gate -----------------------------------------------------------------


def test_gradients_are_those_of_the_bias():
    def flow(bias):
        return run(ch10.gradients(0, bias, time=12, units=16, batch=3))[1]

    low, high = flow(0.0), flow(3.0)
    assert {len(steps) for steps in (*low.values(), *high.values())} == {12}
    assert low["c"][-1] == high["h"][-1] == pytest.approx(0, abs=1e-6)
    assert low["c"][0] < -1.5 < -0.5 < high["c"][0]
    assert low["h"][0] < low["c"][0]


def test_lengths_are_climbed_with_the_bias_that_is_asked_for(monkeypatch):
    asked = []

    def climb(problem, lengths, seed, **options):
        asked.append((problem, lengths, options))
        return {"10": "found"}
        yield

    monkeypatch.setattr(ch10, "climb", climb)
    _, found = run(ch10.forget_bias(0, "adding", 5.0, [10], steps=1))
    assert found == {"10": "found"}
    assert asked == [
        (ch10.ch09.adding_problem, [10], {"cell": "LSTM", "forget_bias": 5.0, "steps": 1})
    ]


# --- What a cell comes to mean -------------------------------------------------------------------


def marks(source, fact):
    return "".join("x" if truth else "." for truth in ch10.facts(source)[fact])


def test_facts_by_hand():
    source = "if a:\n    b('(', [c])  # ')\n"
    assert marks(source, "inside a string") == "." * 12 + "xx" + "." * 14
    assert marks(source, "inside a bracket") == "." * 11 + "x" * 9 + "." * 8
    assert marks(source, "line start") == "." * 5 + "x" * 5 + "." * 17 + "x"
    long = 'a = """(\n  b"""\n'
    assert marks(long, "inside a string") == "." * 4 + "x" * 10 + ".."
    assert marks(long, "inside a bracket") == "." * len(long)
    assert marks("  # (", "line start") == "xx..."


def test_windows_begin_where_nothing_is_open():
    windows = ch10.fact_windows("textwrap json.scanner", time=80)
    vocab = corpus("python").vocab
    source = "".join(letter for letter in ch10.module_source("textwrap") if letter in ch10.LETTERS)
    truths = ch10.facts(source)
    place = 0
    for tokens, *found in zip(windows.tokens, *windows.truths.values(), strict=True):
        text = "".join(vocab.decode(tokens))
        place = source.find(text, place)
        if place < 0:
            break
        assert place == 0 or source[place - 1] == "\n"
        assert place == 0 or not any(truths[fact][place - 1] for fact in ch10.FACTS[:2])
        for fact, here in zip(windows.truths, found, strict=True):
            assert here.tolist() == truths[fact][place : place + 80]
        place += 80
    assert place < 0  # the last windows are of the other module
    assert windows.tokens.shape[1] == 80
    texts = ["".join(vocab.decode(tokens)) for tokens in windows.tokens]
    assert not any(3 * quote in text for quote in "'\"" for text in texts)
    assert windows.truths["inside a string"].any()


def test_the_best_unit_is_found_whatever_its_sign():
    torch.manual_seed(0)
    values, truth = torch.randn(400, 5), torch.rand(400) < 0.3
    values[:, 3] -= 2 * truth
    assert ch10.best_unit(values, truth) == (3, -1.0)
    values[:, 1] += 9 * truth
    assert ch10.best_unit(values, truth) == (1, 1.0)
    assert ch10.area(values[:, 1], truth) == pytest.approx(1)


def test_a_unit_is_chosen_on_one_half_and_scored_on_the_other(monkeypatch):
    torch.manual_seed(0)
    truth = torch.rand(20, 50) < 0.3
    planted = torch.randn(20, 50, 6)
    planted[:10, :, 2] += 9 * truth[:10]
    planted[10:, :, 2] += truth[10:]  # in the second half it tells far less
    windows = ch10.FactWindows(torch.zeros(20, 50, dtype=torch.int64), {"fact": truth})
    monkeypatch.setattr(
        ch10, "cells", lambda model, tokens: planted if len(tokens) == 20 else torch.ones(1, 7, 6)
    )
    found = ch10.what_units_mean(None, windows, seed=0)["fact"]
    assert (found["unit"], found["sign"]) == (2, 1.0)
    assert found["chosen at"] == pytest.approx(1)
    assert found["area"] == pytest.approx(0.76, abs=0.05)
    assert found["probe"] == pytest.approx(0.76, abs=0.05)
    assert found["shown"] == [1.0] * 7


def test_cells_are_those_of_the_layer():
    model = LanguageModel(9, layer=LSTM(4, 5))
    tokens = torch.randint(9, (2, 7))
    with torch.no_grad():
        expected = states(model.layer, model.embedding(tokens)).c.tanh()
    assert torch.equal(ch10.cells(model, tokens), expected)


def test_reordered_gates_change_places():
    torch.manual_seed(0)
    layer, x = LSTM(3, 4), torch.randn(2, 1, 3)
    i, f, g, o = gates(layer, x)
    ch10.reorder(layer, "ifgo")
    torch.testing.assert_close(gates(layer, x).f, f)
    ch10.reorder(layer, "iofg")
    wrong = gates(layer, x)
    torch.testing.assert_close(wrong.i, i)
    torch.testing.assert_close(wrong.f, o)
    torch.testing.assert_close(torch.logit(f).tanh(), wrong.g)
    torch.testing.assert_close(torch.sigmoid(torch.atanh(g)), wrong.o)


def test_harm_is_measured_against_the_right_state():
    torch.manual_seed(0)
    model = LanguageModel(9, layer=LSTM(4, 16))
    tokens = torch.randint(9, (3, 20))
    found = ch10.harm(model, tokens)
    with torch.no_grad():
        whole = model(tokens[:, :-1])[0][:, 10:]
        alone = model(tokens[:, 10:-1])[0]

    def bits(logits):
        nats = F.cross_entropy(logits.mT, tokens[:, 11:], reduction="none")
        return (nats.mean(0) / math.log(2)).tolist()

    assert found["right"] == pytest.approx(bits(whole))
    assert found["zeros"] == pytest.approx(bits(alone))
    assert len({round(values[0], 6) for values in found.values()}) == len(ch10.HANDED)
    same = ch10.harm(model, tokens[:1].expand(3, -1))
    assert same["of another text"] == pytest.approx(same["right"])


def test_meaning_says_what_it_promises(monkeypatch):
    few = ch10.fact_windows("textwrap")
    monkeypatch.setattr(ch10, "fact_windows", lambda modules: few)
    monkeypatch.setattr(ch10, "PLACES_USED", 500)
    _, found = run(ch10.meaning(0, units=3, batch=4, time=5, steps=2, learning_rate=0.1))
    assert set(found["trained"]) == set(found["untrained"]) == set(ch10.FACTS)
    assert found["trained"] != found["untrained"]
    assert len(found["trained"]["line start"]["shown"]) == len(ch10.SNIPPET)
    assert found["bits"] != found["bits in the wrong order"]


# --- Other activations ---------------------------------------------------------------------------


def test_other_activations_are_by_default_those_of_the_cell():
    torch.manual_seed(0)
    usual = LSTMCell(3, 4)
    torch.manual_seed(0)
    other = ch10.OtherActivations(3, 4)
    x, state = torch.randn(2, 3), LSTMState(torch.randn(2, 4), torch.randn(2, 4))
    torch.testing.assert_close(usual(x, state)[1], other(x, state)[1])


@pytest.mark.parametrize("used", ch10.USED.values(), ids=ch10.USED)
def test_other_activations_stand_where_they_are_asked_for(used):
    torch.manual_seed(0)
    cell = ch10.OtherActivations(3, 4, **used)
    x, (h, c) = torch.randn(2, 3), (torch.randn(2, 4), torch.randn(2, 4))
    functions = {
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": torch.relu,
        "identity": lambda z: z,
        "hard sigmoid": lambda z: (z / 6 + 0.5).clamp(0, 1),
    }
    gate = functions[used.get("gate", "sigmoid")]
    candidate = functions[used.get("candidate", "tanh")]
    output = functions[used.get("output", "tanh")]
    i, f, g, o = (x @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias).chunk(4, 1)
    new = gate(f) * c + gate(i) * candidate(g)
    _, found = cell(x, LSTMState(h, c))
    torch.testing.assert_close(found.c, new)
    torch.testing.assert_close(found.h, gate(o) * output(new))


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match=r"gate.*'softmax'"):
        ch10.OtherActivations(3, 4, gate="softmax")


def test_a_training_without_numbers_ends_and_says_so():
    torch.manual_seed(0)
    layer = Recurrent(ch10.OtherActivations(32, 4, gate="relu"))
    losses, found = run(ch10.read_source(layer, 0, steps=3, learning_rate=1e30))
    assert found == {"diverged": True, "steps": len(losses)}
    assert len(losses) < 3


def test_both_tasks_are_learnt_with_the_activations_asked_for():
    options = {"units": 4, "steps": 2, "learning_rate": 0.01}
    adding = [run(ch10.activations(0, "adding", **options, **used)) for used in ({}, USED_RELU)]
    assert adding[0][0] != adding[1][0]
    assert {"learnt", "diverged", "unseen"} <= set(adding[0][1])
    _, source = run(ch10.activations(0, "source", **options))
    assert 6 < source["bits"] < 7.5


USED_RELU = {"candidate": "relu"}
