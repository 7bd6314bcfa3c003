"""What chapter 11 leaves out of a cell, ties, exchanges and compares."""

import math

import pytest
import torch
from torch import nn

from unrolled.cells import GRUCell, LSTMCell
from unrolled.data import MemoryBatch
from unrolled.layers import Recurrent, only_cell
from unrolled.models import LanguageModel
from unrolled.runs import ch09, ch11, load
from unrolled.runs.recipe import count_parameters

INPUT, HIDDEN = 3, 5
OPEN = 40.0  # the bias of a gate that is 1 to the last digit
PART = {
    gate: slice(k * HIDDEN, (k + 1) * HIDDEN)
    for gate, k in {"input": 0, "forget": 1, "output": 3}.items()
}


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def reference(cell, kind):
    """Give the weights of a cell to a cell of ``torch.nn``, with no second bias."""
    module = kind(INPUT, HIDDEN)
    with torch.no_grad():
        module.weight_ih.copy_(cell.weight_ih)
        module.weight_hh.copy_(cell.weight_hh)
        module.bias_ih.copy_(cell.bias)
        module.bias_hh.zero_()
    return module


@torch.no_grad()
def always_open(module, part):
    module.weight_ih[part], module.weight_hh[part] = 0, 0
    module.bias_ih[part], module.bias_hh[part] = OPEN, 0


def assert_same(cell, module):
    """Compare six steps of a cell with those of one of ``torch.nn``, and the input's gradients."""
    x = torch.randn(4, 6, INPUT, requires_grad=True)
    outputs, _ = Recurrent(cell)(x)
    state, expected = None, []
    for x_t in x.unbind(1):
        state = module(x_t, state)
        expected.append(state[0] if isinstance(state, tuple) else state)
    expected = torch.stack(expected, 1)
    torch.testing.assert_close(outputs, expected, rtol=1e-10, atol=1e-10)
    weights = torch.randn_like(outputs)
    found, right = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (outputs, expected))
    torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("gate", ["input", "forget", "output"])
def test_a_cell_without_a_gate_is_one_whose_gate_is_always_open(gate):
    cell = ch11.CELLS[f"no {gate} gate"](INPUT, HIDDEN)
    module = reference(cell, nn.LSTMCell)
    always_open(module, PART[gate])
    assert_same(cell, module)


def test_coupled_gates_are_those_of_an_lstm_with_opposite_weights():
    cell = ch11.CoupledGates(INPUT, HIDDEN)
    module = reference(cell, nn.LSTMCell)
    with torch.no_grad():
        for weights in (module.weight_ih, module.weight_hh, module.bias_ih):
            weights[PART["input"]] = -weights[PART["forget"]]
    assert_same(cell, module)


def test_a_gru_without_reset_is_one_whose_reset_gate_is_always_open():
    cell = ch11.NoResetGate(INPUT, HIDDEN)
    module = reference(cell, nn.GRUCell)
    with torch.no_grad():
        module.bias_hh[2 * HIDDEN :] = cell.bias_hn
    always_open(module, slice(0, HIDDEN))
    assert_same(cell, module)


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def test_peepholes_against_a_loop_over_units():
    cell = ch11.Peepholes(INPUT, HIDDEN)
    with torch.no_grad():
        cell.peepholes.copy_(torch.randn(3, HIDDEN))
    x = torch.randn(1, 6, INPUT)
    outputs, state = Recurrent(cell)(x)
    h, c = [0.0] * HIDDEN, [0.0] * HIDDEN
    w_x, w_h, b = (w.tolist() for w in (cell.weight_ih, cell.weight_hh, cell.bias))
    see_i, see_f, see_o = cell.peepholes.tolist()
    for t, numbers in enumerate(x[0].tolist()):

        def sums(row, numbers=numbers, h=h):
            inputs = sum(w * n for w, n in zip(w_x[row], numbers, strict=True))
            return inputs + sum(w * n for w, n in zip(w_h[row], h, strict=True)) + b[row]

        new_h, new_c = [], []
        for k in range(HIDDEN):
            i = sigmoid(sums(k) + see_i[k] * c[k])
            f = sigmoid(sums(HIDDEN + k) + see_f[k] * c[k])
            new_c.append(f * c[k] + i * math.tanh(sums(2 * HIDDEN + k)))
            o = sigmoid(sums(3 * HIDDEN + k) + see_o[k] * new_c[k])
            new_h.append(o * math.tanh(new_c[k]))
        h, c = new_h, new_c
        torch.testing.assert_close(outputs[0, t], torch.tensor(h), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(state.c[0], torch.tensor(c), rtol=1e-10, atol=1e-10)


def test_peepholes_that_see_nothing_make_an_lstm():
    cell = ch11.Peepholes(INPUT, HIDDEN, forget_bias=2.0)
    assert cell.peepholes.abs().min() > 0
    with torch.no_grad():
        cell.peepholes.zero_()
    assert_same(cell, reference(cell, nn.LSTMCell))
    assert cell.bias[PART["forget"]].mean() > 1


def test_each_name_is_a_cell_of_its_own():
    cells = {name: make(INPUT, HIDDEN) for name, make in ch11.CELLS.items()}
    assert cells["GRU, reset before"].reset == "before"
    kinds = {(type(cell), getattr(cell, "reset", None)) for cell in cells.values()}
    assert len(kinds) == len(cells)


# --- The tasks -----------------------------------------------------------------------------------


def test_sums_by_hand():
    drawn = {task: next(iter(ch11.SumBatches(task, 30, 6, seed=2))) for task in ch11.SUMS}
    x = drawn["forget"].inputs
    assert all(torch.equal(batch.inputs, x) for batch in drawn.values())
    for row in range(6):
        since_mark = counted = total = 0.0
        for t, (number, mark) in enumerate(x[row].tolist()):
            since_mark = number if mark else since_mark + number
            counted += number if mark else 0
            total += number
            right = {"forget": since_mark, "ignore": counted, "hide": total if mark else 0.0}
            said = {task: batch.target[row, t].item() for task, batch in drawn.items()}
            assert said == pytest.approx(right, abs=1e-9)


def test_numbers_and_marks_are_as_promised():
    x = next(iter(ch11.SumBatches("ignore", 50, 1000))).inputs
    numbers, marks = x.unbind(2)
    assert set(marks.unique().tolist()) == {0.0, 1.0}
    assert marks.mean().item() == pytest.approx(ch11.MARKED, abs=0.01)
    assert -1 <= numbers.min() < -0.99 < 0.99 < numbers.max() < 1


def test_bad_tasks_are_refused():
    with pytest.raises(ValueError, match="task is 'add'; expected one of 'forget', 'ignore', 'hi"):
        ch11.SumBatches("add", 20, 4)
    with pytest.raises(ValueError, match="time is 0"):
        ch11.SumBatches("hide", 0, 4)


class Silent(nn.Module):
    """Always says 0."""

    def forward(self, x):
        return torch.zeros(x.shape[:2])


class Knows(nn.Module):
    """Adds up the marked numbers, a little too large."""

    def forward(self, x):
        return 1.1 * x.prod(2).cumsum(1)


def test_unexplained_is_a_share_of_the_variance():
    assert ch11.unexplained(Silent(), "ignore", 12, 0) == pytest.approx(1, abs=0.01)
    assert ch11.unexplained(Knows(), "ignore", 12, 0) == pytest.approx(0.01, rel=0.02)


def test_a_teller_says_a_number_at_every_step():
    model = ch11.Teller(Recurrent(LSTMCell(2, HIDDEN)))
    batch = MemoryBatch(torch.randn(4, 7, 2), torch.randn(4, 7))
    outputs, _ = model.layer(batch.inputs)
    said = outputs @ model.read_out.weight[0] + model.read_out.bias
    torch.testing.assert_close(model(batch.inputs), said)
    loss, state = ch09.memory_loss(model, batch, None)
    assert state is None
    torch.testing.assert_close(loss, (said - batch.target).square().mean())


def test_bits_of_a_model_that_knows_nothing():
    model = LanguageModel(96, layer=Recurrent(LSTMCell(4, HIDDEN)))
    nn.init.zeros_(model.read_out.weight)
    nn.init.zeros_(model.read_out.bias)
    text = torch.randint(96, (64 * 110,))
    assert ch11.held_out_bits(model, text) == pytest.approx(math.log2(96))


# --- The other side of the product ---------------------------------------------------------------


def pair(reset):
    cell = GRUCell(INPUT, HIDDEN, reset=reset)
    return cell, ch11.other_reset(cell)


@pytest.mark.parametrize("reset", ["after", "before"])
def test_the_sides_agree_where_all_units_have_one_reset(reset):
    cell, other = pair(reset)
    assert {cell.reset, other.reset} == {"after", "before"}
    x = torch.randn(4, 6, INPUT)
    assert (Recurrent(cell)(x)[0] - Recurrent(other)(x)[0]).abs().max() > 1e-3
    with torch.no_grad():
        for one in (cell, other):
            one.weight_ih[:HIDDEN], one.weight_hh[:HIDDEN], one.bias[:HIDDEN] = 0, 0, 0.3
            if one.reset == "after":
                one.bias_hn.zero_()
        if reset == "after":  # what stood in the reset gate's reach
            other.bias[2 * HIDDEN :] = cell.bias[2 * HIDDEN :]
    torch.testing.assert_close(Recurrent(cell)(x)[0], Recurrent(other)(x)[0])


def test_there_and_back_again():
    cell, other = pair("before")
    back = ch11.other_reset(other)
    assert all(map(torch.equal, cell.parameters(), back.parameters()))
    assert cell.bias is not back.bias


def test_a_bias_that_has_no_place_is_kept():
    cell, other = pair("after")
    expected = cell.bias[2 * HIDDEN :] + cell.bias_hn
    torch.testing.assert_close(other.bias[2 * HIDDEN :], expected)
    assert torch.equal(other.bias[: 2 * HIDDEN], cell.bias[: 2 * HIDDEN])


def test_differences_by_step():
    model = LanguageModel(9, layer=Recurrent(GRUCell(4, HIDDEN)))
    tokens = torch.randint(9, (3, 100))
    assert set(ch11.differences(model, model, tokens).values()) == {0.0}
    other = ch11.with_layer(model, Recurrent(ch11.other_reset(only_cell(model.layer))))
    assert other.embedding is model.embedding
    assert other.read_out is model.read_out
    x = model.embedding(tokens)
    apart = (model.layer(x)[0] - other.layer(x)[0]).abs()
    expected = {str(n): apart[:, n - 1].max().item() for n in (1, 10, 100)}
    assert ch11.differences(model, other, tokens) == pytest.approx(expected)


# --- At equal parameters and at equal time -------------------------------------------------------


@pytest.mark.parametrize("task", ch11.UNITS)
def test_parameters_are_equal(task):
    sizes = [count_parameters(ch11.make_model(task, name)) for name in ch11.UNITS[task]]
    assert max(sizes) < 1.03 * min(sizes)


def test_models_read_as_their_names_say():
    for name, units in ch11.UNITS["tagging"].items():
        layer = ch11.make_model("tagging", name).layer
        assert type(layer).__name__ == name.removeprefix("bi-")
        assert layer.output_size == units * (2 if name.startswith("bi-") else 1)


@pytest.mark.parametrize("task", ch11.UNITS)
def test_cost_is_measured_for_each_model(task):
    torch.set_default_dtype(torch.float32)
    training = ch11.cost(0, task, rounds=2, batch=3, time=5)
    losses = []
    while True:
        try:
            losses.append(next(training))
        except StopIteration as end:
            found = end.value
            break
    assert len(losses) == len(found) == len(ch11.UNITS[task])
    for one in found.values():
        assert one["bytes"] > 4 * one["parameters"]  # a gradient for each
        assert 0 < one["reading"] < one["training"]


@pytest.mark.parametrize("task", ch11.UNITS)
def test_equal_time_is_what_was_measured(task):
    measured = load("11-cost")["results"][task]
    steps = ch11.EQUAL_TIME[task]
    taken = {
        name: steps[name] * sum(one[name]["training"] for one in measured.values()) / len(measured)
        for name in steps
    }
    assert max(taken.values()) < 1.15 * min(taken.values())


# --- A fair start --------------------------------------------------------------------------------


def test_a_bias_is_added_where_the_state_is_kept():
    problems = {bias: ch11.first_symbol_problem(4, 0, "GRU", bias) for bias in (0.0, 3.0)}
    one, other = (only_cell(problem.model.layer) for problem in problems.values())
    hidden = one.hidden_size
    expected = torch.zeros(3 * hidden)
    expected[hidden : 2 * hidden] = 3
    torch.testing.assert_close(other.bias - one.bias, expected)
    lstm = only_cell(ch11.first_symbol_problem(4, 0, "LSTM", 3.0).model.layer)
    assert lstm.bias[hidden : 2 * hidden].mean().item() == pytest.approx(3, abs=0.1)
