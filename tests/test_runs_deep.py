"""What the runs of chapter 12 are made of: deep layers, a clock, a task of two stages."""

import math
import random
from itertools import islice

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unrolled.data import Window, d2l
from unrolled.runs import ch12
from unrolled.runs.recipe import count_parameters


@pytest.mark.parametrize("cell", ["tanh", "GRU"])
@pytest.mark.parametrize("layers", [1, 2, 5])
def test_the_widest_model_just_fits(cell, layers):
    model = ch12.deep_model(96, 20_000, cell=cell, layers=layers, residual=True)
    assert len(model.layer.layers) == layers
    assert model.layer.residual
    wider = ch12.LanguageModel(96, layer=ch12.deep_layer(cell, layers, model.layer.output_size + 1))
    assert count_parameters(model) <= 20_000 < count_parameters(wider)


def test_matrices_begin_as_asked():
    one = torch.eye(9)
    for start, name in (("orthogonal inputs", "weight_ih"), ("orthogonal states", "weight_hh")):
        for layer in ch12.deep_layer("GRU", 2, 9, start=start, scale=2.0).layers:
            for part in getattr(layer.cell, name).split(9):
                torch.testing.assert_close(part @ part.T, 4 * one, atol=1e-5, rtol=0)
    torch.manual_seed(0)
    plain = ch12.deep_layer("tanh", 2, 9).layers[1].cell
    torch.manual_seed(0)
    twice = ch12.deep_layer("tanh", 2, 9, scale=2.0).layers[1].cell
    torch.testing.assert_close(twice.weight_ih, 2 * plain.weight_ih)
    torch.testing.assert_close(twice.weight_hh, 2 * plain.weight_hh)
    assert not torch.allclose(plain.weight_hh @ plain.weight_hh.T, one, atol=0.1)


def test_spread_is_zero_where_the_text_does_not_matter():
    torch.manual_seed(0)
    model = ch12.deep_model(10, 5_000, cell="tanh", layers=3)
    nn.init.zeros_(model.layer.layers[1].cell.weight_ih)
    tokens = torch.randint(10, (50, 4))
    tokens[:, -1] = torch.arange(50) % 10
    embedding, first, second, third = ch12.spread(model, tokens)
    expected = model.embedding.weight.repeat(5, 1).std(dim=0).mean()
    assert embedding == pytest.approx(expected.item(), rel=1e-4)
    assert first > 0.1
    assert second == third == 0


def test_a_rate_rises_then_falls_to_the_last_step():
    weight = nn.Linear(1, 1)
    optimizer = ch12.adam_in_one_cycle(weight, 0.1, steps=40)
    rates = []
    for _ in range(45):
        rates.append(optimizer.param_groups[0]["lr"])
        weight(torch.ones(1)).sum().backward()
        optimizer.step()
    assert max(rates) == pytest.approx(0.1)
    assert rates.index(max(rates)) <= 2
    assert rates[2:40] == sorted(rates[2:40], reverse=True)
    assert rates[39] < 1e-5 * 0.1
    assert rates[40:] == rates[39:40] * 5


class Net(nn.Module):
    """A network as d2l makes them, with time before the batch, that knows what comes."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(5, 4, num_layers=2)
        self.sure = nn.Parameter(torch.tensor(2.0))

    def begin_state(self, device, batch_size):
        return (torch.zeros(2, batch_size, 4), torch.zeros(2, batch_size, 4))

    def forward(self, inputs, state):
        after = (inputs.T.reshape(-1) + 1) % 5
        h, c = state
        return self.sure * F.one_hot(after, 5).float(), (h + 1, c)


def test_windows_of_a_network_of_d2l_are_read_in_its_order():
    net, inputs = Net(), torch.tensor([[0, 1, 2], [4, 0, 1]])
    loss, state = ch12.window_loss(net, Window(inputs, (inputs + 1) % 5), None)
    assert loss.item() == pytest.approx(math.log(1 + 4 * math.exp(-2)))
    _, (h, _) = ch12.window_loss(net, Window(inputs, (inputs + 1) % 5), state)
    assert (h == 2).all()
    assert not any(part.requires_grad for part in state)


def test_input_weights_are_widened():
    torch.manual_seed(0)
    net = Net()
    before = {name: weight.clone() for name, weight in net.named_parameters()}
    ch12.widen(net, first=16.0, second=2.0)
    factors = {"rnn.weight_ih_l0": 16, "rnn.weight_ih_l1": 2}
    for name, weight in net.named_parameters():
        torch.testing.assert_close(weight, factors.get(name, 1) * before[name])


with_the_text = pytest.mark.skipif(
    not (d2l.data_folder() / "timemachine.txt").is_file(),
    reason="timemachine.txt is not there: UNROLLED_DATA names no folder that has it",
)


@with_the_text
def test_our_recipe_changes_what_it_says():
    ours = {"batch": 8, "learning_rate": 1e-2, "epochs": 2}
    usual = ch12.our_course(0, 10_000, **ours, first=1.0, second=1.0, adam=False)
    other = ch12.our_course(0, 10_000, **ours, first=16.0, second=2.0)
    before, after = usual.task.net.rnn, other.task.net.rnn
    torch.testing.assert_close(after.weight_ih_l0, 16 * before.weight_ih_l0)
    torch.testing.assert_close(after.weight_hh_l1, before.weight_hh_l1)
    assert other.epoch() < math.log(20) < usual.epoch()  # Adam, and SGD at so low a rate


@with_the_text
def test_the_network_of_the_book_reads_the_time_machine():
    torch.manual_seed(0)
    random.seed(0)
    task = ch12.OnTheTimeMachine(batch=8, letters=10_000, dropout=0.5)
    assert {len(list(task.windows)) for _ in range(40)} == {task.updates} == {35}
    untrained = task.perplexity("validation")
    assert untrained == pytest.approx(len(task.vocab), rel=0.05)
    training = task.epochs(torch.optim.Adam(task.net.parameters(), 1e-2))
    assert 12 < next(training) < untrained
    found = task.found()
    assert found["held out"]["test"] < 20 < untrained
    assert found["held out"]["validation"] != found["held out"]["test"]  # two pieces of the book
    assert found["sample"].startswith("time traveller ")
    assert len(found["sample"]) == len("time traveller ") + 80
    assert not task.net.training
    next(training)
    assert task.net.training  # so that dropout works


class Task:
    """A training whose perplexities are known."""

    def __init__(self, *perplexities):
        self.perplexities = perplexities
        self.read = 0

    def epochs(self, optimizer):
        yield from self.perplexities

    def found(self):
        self.read += 1
        return {"read": self.read}


def test_a_course_stops_where_it_is_good_enough(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(ch12, "process_time", lambda: next(clock) ** 2)
    course = ch12.Course(Task(9.0, 1.11, 1.09, 1.2, 1.05, 1.04), None, most=5)
    losses = []
    while course.goes_on(whole=False):
        losses.append(course.epoch())
    assert losses == [math.log(p) for p in (9.0, 1.11, 1.09)]
    assert course.at_enough == {"epochs": 3, "seconds of training": 1 + 5 + 9, "read": 1}
    while course.goes_on(whole=True):
        course.epoch()
    found = course.found()
    assert found["perplexities"] == [9.0, 1.11, 1.09, 1.2, 1.05]
    assert found["at 1.1"]["read"] == 1
    assert found["at the end"] == {"read": 2}


def test_sums_of_spelled_digits():
    sums = ch12.SpelledSums(time=14, batch=1, seed=0)
    letters, targets = sums.row([7, 8, 1, 0])
    assert "".join(ch12.ALPHABET.decode(letters)) == "seven eight on"
    assert targets.tolist() == [7] * 6 + [5] * 6 + [6] * 2
    windows = list(islice(ch12.SpelledSums(time=30, batch=4, seed=1), 2))
    assert torch.equal(windows[0].mask, windows[0].inputs == 0)  # the space is the first letter
    assert not torch.equal(windows[0].inputs, windows[1].inputs)
    again = next(iter(ch12.SpelledSums(time=30, batch=4, seed=1)))
    assert torch.equal(again.inputs, windows[0].inputs)
