"""What chapter 9 trains, probes and clips."""

import math

import pytest
import torch
from torch import nn

from unrolled.data import FirstSymbolBatches, MemoryBatch
from unrolled.layers import LSTM
from unrolled.models import SequenceClassifier
from unrolled.runs import ch09


def run(training):
    """Give the losses of a training, and what it returns."""
    losses = []
    while True:
        try:
            losses.append(next(training))
        except StopIteration as end:
            return losses, end.value


def test_layers_begin_as_their_names_say():
    torch.manual_seed(0)
    one = torch.eye(16)
    cells = {
        name: ch09.make_layer(name, 3, 16).layers[0].cell
        for name in ("RNN", "orthogonal", "identity")
    }
    assert torch.equal(cells["identity"].weight_hh, one)
    assert (cells["identity"].bias == 0).all()
    assert (cells["identity"].weight_ih != 0).all()
    w = cells["orthogonal"].weight_hh
    torch.testing.assert_close(w @ w.T, one)
    w = cells["RNN"].weight_hh
    assert not torch.allclose(w @ w.T, one, atol=0.1)
    assert [cell.nonlinearity for cell in cells.values()] == ["tanh", "tanh", "relu"]
    lstm = ch09.make_layer("LSTM", 3, 16, forget_bias=5.0)
    assert lstm.layers[0].cell.bias[16:32].mean().item() == pytest.approx(5, abs=0.3)


@pytest.mark.parametrize("name", ch09.PROBLEMS)
def test_a_problem_trains_and_tests_on_different_batches(name):
    problem = ch09.PROBLEMS[name](6, 3, "RNN", units=4, batch=5)
    batch, unseen = next(iter(problem.batches)), next(iter(problem.unseen))
    assert batch.inputs.shape[:2] == (5, 6)
    assert unseen.inputs.shape[:2] == (500, 6)
    assert not torch.equal(batch.inputs, unseen.inputs[:5])
    loss, state = ch09.memory_loss(problem.model, batch, None)
    assert state is None
    loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in problem.model.parameters())
    again = ch09.PROBLEMS[name](6, 3, "RNN", units=4, batch=5)
    assert torch.equal(problem.model.read_out.weight, again.model.read_out.weight)
    assert torch.equal(batch.inputs, next(iter(again.batches)).inputs)


class Constant(nn.Module):
    """Says the same, whatever is read."""

    def __init__(self, *answer):
        super().__init__()
        self.answer = nn.Parameter(torch.tensor(answer))

    def forward(self, inputs):
        return self.answer.expand(len(inputs), -1).squeeze(1)


def test_loss_and_score_by_hand():
    numbers = MemoryBatch(torch.zeros(2, 3, 2), torch.tensor([1.0, 0.0]))
    assert ch09.score(Constant(0.5), numbers) == pytest.approx(0.25)
    assert ch09.memory_loss(Constant(2.0), numbers, None)[0].item() == pytest.approx(2.5)
    symbols = MemoryBatch(torch.zeros(4, 3), torch.tensor([1, 0, 1, 1]))
    assert ch09.score(Constant(0.0, 1.0), symbols) == pytest.approx(0.75)
    assert ch09.memory_loss(Constant(0.0, 0.0), symbols, None)[0].item() == pytest.approx(
        math.log(2)
    )


@pytest.fixture
def told(monkeypatch):
    """Replace the training by losses that are told."""

    def tell(*losses, end=None):
        def train(*_, steps, **options):
            yield from losses[:steps]
            if end is not None:
                raise end

        monkeypatch.setattr(ch09, "train", train)

    return tell


def easy(*_, **options):
    return ch09.first_symbol_problem(3, 0, "RNN", units=4)


def test_learning_stops_when_twenty_batches_have_low_losses(told):
    told(*[0.0] * 5, *[1.0] * 10, *[0.0] * 40)
    losses, found = run(ch09.learn(easy(), steps=55, learning_rate=1e-3, seed=0))
    # The last 20 hold less than 2.0 when nine of the ten high losses have passed out of them.
    assert len(losses) == found["steps"] == 34
    assert found["learnt"]
    assert not found["diverged"]
    assert 0 <= found["unseen"] <= 1
    losses, found = run(ch09.learn(easy(), steps=33, learning_rate=1e-3, seed=0))
    assert not found["learnt"]
    assert found["steps"] == 33
    told(*[0.0] * 30)
    assert len(run(ch09.learn(easy(), steps=30, learning_rate=1e-3, seed=0))[0]) == ch09.RECENT


def test_a_run_that_diverges_is_a_result_of_its_own(told):
    told(1.0, 50.0, end=FloatingPointError("the loss is nan at step 3"))
    losses, found = run(ch09.learn(easy(), steps=30, learning_rate=1e-3, seed=0))
    assert losses == [1.0, 50.0]
    assert found == {"learnt": False, "diverged": True, "steps": 2}
    _, found = run(ch09.clipping(0, "identity", 5, 30, 0.1, clip=None))
    assert found == {"diverged": True, "steps": 2}


def test_climbing_ends_after_two_failures_in_a_row(monkeypatch):
    asked = []

    def learn(problem, **options):
        asked.append(problem)
        yield 1.0
        return {"learnt": problem[0] in (1, 3), "seed": problem[1], **options}

    monkeypatch.setattr(ch09, "learn", learn)
    options = {"steps": 7, "learning_rate": 0.5}
    _, found = run(
        ch09.climb(
            lambda time, seed, cell: (time, seed, cell),
            [1, 2, 3, 4, 5, 6],
            9,
            cell="RNN",
            **options,
        )
    )
    assert asked == [(time, 9, "RNN") for time in (1, 2, 3, 4, 5)]
    assert list(found) == ["1", "2", "3", "4", "5"]
    assert all(one.items() >= options.items() for one in found.values())


@pytest.mark.parametrize("part", ["h", "c"])
def test_the_part_of_the_state_that_is_asked_for_is_probed(part, monkeypatch):
    torch.manual_seed(0)
    model = SequenceClassifier(2 * ch09.SYMBOLS, ch09.SYMBOLS, layer=LSTM(4, 5))
    monkeypatch.setattr(ch09, "probe", lambda *seen: seen)
    seen, labels, unseen, truth, steps = ch09.probe_model(model, [1, 3], part)
    assert seen.shape == unseen.shape == (1000, 3, 5)
    assert steps == [1, 3]
    batch = next(iter(FirstSymbolBatches(ch09.SYMBOLS, 3, 1000, ch09.UNSEEN + 2)))
    _, ((h, c),) = model.layer(model.embedding(batch.inputs))
    torch.testing.assert_close(unseen[:, -1], {"h": h, "c": c}[part])
    assert torch.equal(truth, batch.target)
    assert not torch.equal(labels, truth)


def test_a_probe_is_fitted_at_one_step_and_tested_at_all():
    torch.manual_seed(0)
    labels, truth = torch.randint(3, (300,)), torch.randint(3, (200,))
    seen, unseen = torch.randn(300, 5, 6) / 10, torch.randn(200, 5, 6) / 10
    for states, first in ((seen, labels), (unseen, truth)):
        rows = torch.arange(len(first))
        states[rows, 0, first] += 2  # step 1: units 0 to 2
        states[rows, 2, first] += 2  # step 3: the same
        states[rows, 4, (first + 1) % 3] += 2  # step 5: each where another was
    table = ch09.probe(seen, labels, unseen, truth, [1, 2, 3, 5])
    assert table[0][0] == table[0][2] == table[2][0] == table[3][3] == 1
    assert table[0][3] == table[3][0] == 0  # it moved
    assert 0.2 < table[1][1] < 0.5  # nothing there but chance


def test_probes_of_a_model_are_tested_on_other_sequences(monkeypatch):
    given = []

    def probe(seen, labels, unseen, truth, steps):
        given.append((seen, labels, unseen, truth, steps))
        return "table"

    monkeypatch.setattr(ch09, "probe", probe)
    model = ch09.first_symbol_problem(3, 0, "LSTM", units=4).model
    assert ch09.probe_model(model, [1, 6], "c") == "table"
    ((seen, labels, unseen, truth, steps),) = given
    assert steps == [1, 6]
    assert seen.shape == unseen.shape == (1000, 6, 4)
    assert not torch.equal(labels, truth)
    tokens, first = next(iter(FirstSymbolBatches(8, 6, 1000, ch09.UNSEEN + 1)))
    assert torch.equal(labels, first)
    expected = model.layer(model.embedding(tokens))[1][0].c
    torch.testing.assert_close(seen[:, -1], expected.detach())


def test_values_are_clipped_before_the_step_and_the_angle_is_noted():
    layer = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(layer.weight)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    cosines = ch09.clip_values(optimizer, 0.5)
    assert cosines == []
    for gradient in ([3.0, 4.0], [0.1, -4.0], [0.3, 0.4]):
        layer.weight.grad = torch.tensor([gradient])
        optimizer.step()
    assert layer.weight.tolist()[0] == pytest.approx([-0.9, -0.4])
    assert cosines == pytest.approx(
        [7 / (5 * math.sqrt(2)), (0.01 + 2) / math.hypot(0.1, 4) / math.hypot(0.1, 0.5), 1]
    )


def test_by_value_the_norm_is_at_most_what_it_is_by_norm(monkeypatch):
    seen = {}

    def train(model, *_, steps, optimizer, clip, **options):
        seen["clip"] = clip
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 9.0)
        optimizer.step()
        seen["norm"] = nn.utils.clip_grad_norm_(model.parameters(), math.inf)
        yield 1.0

    monkeypatch.setattr(ch09, "train", train)
    options = {"seed": 0, "cell": "RNN", "time": 5, "steps": 1, "learning_rate": 0.1, "clip": 0.3}
    _, found = run(ch09.clipping(**options, by="value"))
    assert seen["norm"].item() == pytest.approx(0.3, rel=1e-4)
    assert seen["clip"] is None
    assert found["cosine"] == pytest.approx(1, abs=1e-4)
    _, found = run(ch09.clipping(**options))
    assert seen["clip"] == 0.3
    assert "cosine" not in found
