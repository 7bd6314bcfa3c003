"""Tasks of memory: what is in a batch, and what one can know without a memory."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unrolled.data import AddingBatches, CopyingBatches, FirstSymbolBatches
from unrolled.training import fit

MAKE = {
    "adding": lambda seed=0: AddingBatches(6, 3, seed),
    "first symbol": lambda seed=0: FirstSymbolBatches(4, 6, 3, seed),
    "copying": lambda seed=0: CopyingBatches(4, 2, 3, 3, seed),
}


def some(batches, number):
    return [torch.cat([*map(torch.flatten, one)]) for one in itertools.islice(batches, number)]


@pytest.mark.parametrize("name", MAKE)
def test_a_pass_is_the_same_for_one_seed_and_never_repeats_a_batch(name):
    batches = MAKE[name]()
    before = torch.get_rng_state()
    first, again, other = some(batches, 5), some(batches, 5), some(MAKE[name](1), 5)
    assert torch.equal(before, torch.get_rng_state())
    assert all(map(torch.equal, first, again))
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(first + other, 2))


@given(st.integers(2, 30), st.integers(1, 9), st.integers(0, 99))
def test_adding_marks_one_step_in_each_half(time, batch, seed):
    (x, target) = next(iter(AddingBatches(time, batch, seed)))
    assert x.shape == (batch, time, 2)
    assert target.shape == (batch,)
    numbers, marks = x.unbind(2)
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert ((marks == 0) | (marks == 1)).all()
    assert (marks[:, : time // 2].sum(1) == 1).all()
    assert (marks[:, time // 2 :].sum(1) == 1).all()
    for row in range(batch):
        assert numbers[row][marks[row] == 1].sum() == target[row]


def test_adding_marks_every_step_and_answers_that_are_always_one_miss_by_a_sixth():
    x, target = next(iter(AddingBatches(7, 20_000)))
    shares = x[:, :, 1].mean(0)
    torch.testing.assert_close(shares, torch.tensor([1 / 3] * 3 + [1 / 4] * 4), atol=0.02, rtol=0)
    assert F.mse_loss(torch.ones_like(target), target).item() == pytest.approx(1 / 6, abs=0.005)
    assert target.mean().item() == pytest.approx(1, abs=0.01)


@given(st.integers(2, 12), st.integers(1, 30), st.integers(1, 9), st.integers(0, 99))
def test_the_first_symbol_is_the_answer_and_stands_nowhere_else(symbols, time, batch, seed):
    batches = FirstSymbolBatches(symbols, time, batch, seed)
    tokens, target = next(iter(batches))
    assert tokens.shape == (batch, time)
    assert tokens.dtype == target.dtype == torch.int64
    assert torch.equal(tokens[:, 0], target)
    assert ((target >= 0) & (target < symbols)).all()
    assert ((tokens[:, 1:] >= symbols) & (tokens[:, 1:] < batches.vocab_size)).all()


def test_symbols_and_noise_are_drawn_evenly():
    tokens, target = next(iter(FirstSymbolBatches(5, 4, 20_000)))
    even = torch.full((5,), 0.2)
    assert torch.allclose(target.bincount(minlength=5) / 20_000, even, atol=0.02)
    noise = tokens[:, 1:].flatten().bincount(minlength=10)[5:] / 60_000
    assert torch.allclose(noise, even, atol=0.01)


@given(st.integers(2, 9), st.integers(1, 6), st.integers(1, 9), st.integers(1, 5))
def test_copying_asks_for_the_symbols_after_the_sign(symbols, copied, gap, batch):
    batches = CopyingBatches(symbols, copied, gap, batch)
    tokens, target = next(iter(batches))
    blank, sign = symbols, symbols + 1
    assert tokens.shape == target.shape == (batch, gap + 2 * copied) == (batch, batches.time)
    assert batches.vocab_size == sign + 1
    for row, answer in zip(tokens.tolist(), target.tolist(), strict=True):
        said, rest = row[:copied], row[copied:]
        assert max(said) < symbols
        assert rest == [blank] * (gap - 1) + [sign] + [blank] * copied
        assert row.index(sign) == copied + gap - 1
        assert answer == [blank] * (copied + gap) + said


def test_copying_without_a_memory_costs_its_baseline():
    batches = CopyingBatches(symbols=4, copied=3, gap=5, batch=200)
    _, target = next(iter(batches))
    p = torch.zeros(batches.time, batches.vocab_size)
    p[:-3, 4] = 1  # blanks until the sign, which stands at a known step
    p[-3:, :4] = 1 / 4
    nats = F.nll_loss(p.log().clamp(min=-1e9).expand(200, -1, -1).mT, target)
    assert nats.item() == pytest.approx(batches.baseline)
    assert batches.baseline == pytest.approx(3 * math.log(4) / 11)


def test_a_run_that_was_killed_goes_on_with_the_same_batches(tmp_path):
    def model():
        torch.manual_seed(0)
        return nn.Linear(2, 1)

    def loss(model, batch, state):
        return F.mse_loss(model(batch.inputs).sum((1, 2)), batch.target), state

    def train(steps, model, **options):
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        batches = AddingBatches(6, 3)
        return fit(model, batches, loss=loss, steps=steps, optimizer=optimizer, **options).losses

    train(4, model(), checkpoint=tmp_path / "run.pt")
    resumed = train(9, model(), checkpoint=tmp_path / "run.pt")
    assert resumed == train(9, model())
    assert len(set(resumed)) == 9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AddingBatches(1, 3), "time is 1; expected a whole number of at least 2"),
        (lambda: AddingBatches(6, 0), "batch is 0; expected a whole number of at least 1"),
        (lambda: AddingBatches(6.0, 3), r"time is 6\.0; expected a whole number"),
        (lambda: FirstSymbolBatches(1, 6, 3), "symbols is 1; expected a whole number of at least"),
        (lambda: FirstSymbolBatches(8, 0, 3), "time is 0; expected a whole number of at least 1"),
        (lambda: FirstSymbolBatches(8, 6, True), "batch is True; expected a whole number"),
        (lambda: CopyingBatches(1, 2, 3, 3), "symbols is 1; expected a whole number of at least 2"),
        (lambda: CopyingBatches(4, 0, 3, 3), "copied is 0; expected a whole number of at least 1"),
        (lambda: CopyingBatches(4, 2, 0, 3), "gap is 0; expected a whole number of at least 1"),
    ],
)
def test_numbers_that_make_no_task_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
