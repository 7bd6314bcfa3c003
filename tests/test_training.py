"""The training loop: against a loop written by hand, and against every way in which a run ends."""

import errno
import io
import itertools
import math
import os
import random
import re
import subprocess
import sys
import zipfile
from collections import namedtuple
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from IPython.core.interactiveshell import InteractiveShell
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

import killed
from unrolled import checkpoints, training
from unrolled.data import ContiguousWindows, RandomWindows
from unrolled.figures import style
from unrolled.layers import RNN
from unrolled.metrics import bits_per_character, perplexity
from unrolled.models import LanguageModel, language_model_loss
from unrolled.training import History, evaluate, fit, train

TOKENS = torch.arange(1000) ** 2 % 23


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def language_model(dropout=0.3):
    torch.manual_seed(11)
    return LanguageModel(23, layer=RNN(6, 10, num_layers=2, dropout=dropout))


def adam(model, lr=0.01):
    return torch.optim.Adam(model.parameters(), lr)


def same_weights(one, other):
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


def by_hand(model, batches, loss, steps, optimizer, clip, seed, scheduler=None):
    """The loop as anyone writes it."""
    torch.manual_seed(seed)
    losses = []
    while True:
        state = None
        for batch in batches:
            if len(losses) == steps:
                return losses
            value, state = loss(model, batch, state)
            optimizer.zero_grad()
            value.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(value.item())


@pytest.mark.parametrize("clip", [0.05, 1.0, None])
@pytest.mark.parametrize(
    "batches",
    [
        ContiguousWindows(TOKENS[:300], 4, 9),
        RandomWindows(TOKENS, 4, 9, count=7),
        DataLoader([*ContiguousWindows(TOKENS[:200], 2, 9)], batch_size=None, shuffle=True),
    ],
    ids=lambda batches: type(batches).__name__,
)
def test_fit_equals_the_loop_by_hand(batches, clip):
    ours, theirs = language_model(), language_model()
    history = fit(
        ours,
        batches,
        loss=language_model_loss,
        steps=31,  # several passes, the last one not to its end
        optimizer=adam(ours),
        clip=clip,
        seed=5,
    )
    after = torch.rand(3)
    expected = by_hand(theirs, batches, language_model_loss, 31, adam(theirs), clip, 5)
    assert history.losses == expected
    assert same_weights(ours, theirs)
    assert torch.equal(after, torch.rand(3))  # the generator is left as the last step leaves it


SCHEDULES = {
    "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 12),
    "one cycle": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=12),
    "milestones": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [2, 7]),
    "a function": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step)),
    "two, one after the other": lambda optimizer: lr_scheduler.SequentialLR(
        optimizer,
        [
            lr_scheduler.LinearLR(optimizer, 0.1, total_iters=4),
            lr_scheduler.CosineAnnealingLR(optimizer, 8),
        ],
        milestones=[4],
    ),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_the_learning_rate_follows_its_schedule_also_after_a_kill(schedule, tmp_path):
    theirs, batches = language_model(), RandomWindows(TOKENS, 4, 9, count=5)
    optimizer = adam(theirs)
    scheduler = schedule(optimizer)
    expected = by_hand(theirs, batches, language_model_loss, 12, optimizer, 1.0, 0, scheduler)
    for path, broken_off in ((None, 99), (tmp_path / "run.pt", 6), (tmp_path / "run.pt", 99)):
        ours = language_model()
        optimizer = adam(ours)
        options = {"loss": language_model_loss, "optimizer": optimizer, "checkpoint": path}
        run = train(ours, batches, steps=12, every=1, scheduler=schedule(optimizer), **options)
        assert list(itertools.islice(run, broken_off)) == expected[:broken_off]
        run.close()
    assert same_weights(ours, theirs)


def test_fit_hands_the_schedule_on():
    model = linear()
    optimizer = adam(model, lr=1.0)
    fit_small(model, optimizer=optimizer, scheduler=lr_scheduler.StepLR(optimizer, 2), steps=5)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)


def test_a_scheduler_that_does_not_fit_is_refused():
    model = linear()
    optimizer, other = adam(model), adam(model)
    with pytest.raises(ValueError, match="the scheduler was made with another optimizer; make it"):
        fit_small(model, optimizer=optimizer, scheduler=lr_scheduler.StepLR(other, 2))
    with pytest.raises(TypeError, match="scheduler is a ReduceLROnPlateau, which has to be told"):
        fit_small(model, optimizer=optimizer, scheduler=lr_scheduler.ReduceLROnPlateau(optimizer))


def test_fit_again_goes_on_from_the_weights():
    windows = ContiguousWindows(TOKENS, 4, 9)
    ours, theirs = language_model(), language_model()
    for seed in (1, 2):
        history = fit(
            ours, windows, loss=language_model_loss, steps=6, optimizer=adam(ours), seed=seed
        )
        expected = by_hand(theirs, windows, language_model_loss, 6, adam(theirs), 1.0, seed)
        assert history.losses == expected
    assert same_weights(ours, theirs)
    assert type(ours) is LanguageModel


def test_the_callers_fabric_gives_the_same():
    windows = ContiguousWindows(TOKENS, 4, 9)
    runs = []
    for fabric in (None, Fabric(accelerator="cpu", devices=1)):
        model = language_model()
        options = {"loss": language_model_loss, "steps": 8, "fabric": fabric}
        runs.append((fit(model, windows, optimizer=adam(model), **options).losses, model))
    (losses, model), (others, other) = runs
    assert losses == others
    assert same_weights(model, other)


def test_the_callers_fabric_is_used():
    used = []

    class Mine(Fabric):
        def backward(self, *arguments, **options):
            used.append(len(used))
            super().backward(*arguments, **options)

    model = nn.Linear(2, 1)
    fabric = Mine(accelerator="cpu", devices=1)
    fit(model, BATCHES, loss=square, steps=3, optimizer=adam(model), fabric=fabric)
    assert used == [0, 1, 2]


def test_one_process_also_where_a_cluster_offers_more(monkeypatch):
    for name in ("NTASKS", "JOB_ID", "PROCID", "LOCALID", "NODEID"):
        monkeypatch.setenv(f"SLURM_{name}", "4")
    monkeypatch.setenv("SLURM_JOB_NAME", "training")
    with pytest.raises(RuntimeError, match="SLURM"):
        Fabric(accelerator="cpu", devices=1)
    assert len(fit_small().losses) == 5


# --- Small trainings -----------------------------------------------------------------------------

BATCHES = [torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, -1.0]]), torch.tensor([[3.0, 1.0]])]


def square(model, x, state):
    return model(x).pow(2).mean(), None


def linear():
    torch.manual_seed(2)
    return nn.Linear(2, 1)


def fit_small(model=None, batches=BATCHES, **options):
    model = linear() if model is None else model
    optimizer = options.pop("optimizer", None) or adam(model)
    return fit(model, batches, optimizer=optimizer, **{"loss": square, "steps": 5} | options)


def test_train_yields_each_loss_and_returns_the_history():
    model = linear()
    losses, history = killed.finish(
        train(model, BATCHES, loss=square, steps=5, optimizer=adam(model))
    )
    assert all(type(value) is float for value in losses)
    assert losses == history.losses == fit_small().losses
    assert len(losses) == 5
    assert history.validation == {}
    assert history.seconds > 0


def test_state_is_handed_on_and_forgotten_where_a_pass_begins():
    seen = []

    def loss(model, x, state):
        seen.append(None if state is None else state.item())
        count = torch.ones(()) if state is None else state + 1
        return model(x).mean(), count

    fit_small(loss=loss, steps=7)
    assert seen == [None, 1, 2, None, 1, 2, None]


def test_batches_are_moved_to_the_model():
    moves = []

    class Batch:
        def to(self, device):
            moves.append(device)
            return torch.ones(1, 2)

    fit_small(batches=[Batch()], steps=2)
    evaluate(linear(), [Batch()], loss=square)
    assert moves == [torch.device("cpu")] * 3


@pytest.mark.parametrize("seed", [0, 1])
def test_seed_decides_what_is_drawn(seed):
    def run(seed):
        model = language_model()
        windows = RandomWindows(TOKENS, 4, 9, count=3)
        options = {"loss": language_model_loss, "steps": 4, "optimizer": adam(model)}
        return fit(model, windows, seed=seed, **options).losses

    first = run(seed)
    torch.rand(9)
    assert run(seed) == first
    assert run(seed + 1) != first


# --- Modes and validation -----------------------------------------------------------------------


def modes(model):
    return [module.training for module in model.modules()]


@pytest.fixture
def mixed():
    """A model of which a part is frozen in evaluation mode."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.5)), nn.Linear(2, 1))
    model[1].eval()
    return model


def test_modes_are_put_back(mixed):
    before, seen = modes(mixed), []

    def loss(model, x, state):
        seen.append(all(modes(mixed)))
        return square(model, x, state)

    fit_small(mixed, loss=loss)
    assert seen == [True] * 5
    assert modes(mixed) == before
    run = train(mixed, BATCHES, loss=square, steps=5, optimizer=adam(mixed))
    next(run)
    run.close()
    assert modes(mixed) == before
    with pytest.raises(FloatingPointError):
        fit_small(mixed, loss=lambda model, x, state: (model(x).mean() / 0, None))
    assert modes(mixed) == before
    mixed.eval()
    fit_small(mixed)
    assert not any(modes(mixed))


def test_validation_every_so_many_steps_and_at_the_end():
    taken, seen = 0, []

    def loss(model, x, state):
        nonlocal taken
        taken += 1
        return square(model, x, state)

    def validate(model):
        seen.append((taken, any(modes(model)), torch.is_grad_enabled()))
        return {"taken": taken, "tensor": torch.tensor(taken / 2)}

    model = linear()
    history = fit_small(model, loss=loss, steps=8, every=3, validate=validate)
    assert seen == [(3, False, False), (6, False, False), (8, False, False)]
    assert history.validation == {
        "taken": [(3, 3.0), (6, 6.0), (8, 8.0)],
        "tensor": [(3, 1.5), (6, 3.0), (8, 4.0)],
    }
    assert type(history.validation["tensor"][0][1]) is float
    assert all(modes(model))


def test_validation_does_not_disturb_the_training():
    def validate(model):
        draws = (torch.rand(3).sum(), random.random(), np.random.rand())
        return {"drawn": sum(map(float, draws))}

    def run(**options):
        killed.random.seed(1)
        np.random.seed(1)
        model = killed.Tagger()
        model.load_state_dict(weights)
        optimizer = adam(model)
        fit(
            model,
            killed.Passes(),
            loss=killed.tagging_loss,
            steps=20,
            optimizer=optimizer,
            **options,
        )
        return model

    weights = killed.Tagger().state_dict()
    assert same_weights(run(), run(validate=validate, every=1))


def test_validation_on_the_batches_of_the_training_does_not_disturb_it():
    def run(validate):
        model = language_model()
        loader = shuffled(torch.Generator().manual_seed(8))
        look = {"validate": lambda model: {"v": evaluate(model, loader, loss=memory_loss)}}
        fit(
            model,
            loader,
            loss=memory_loss,
            steps=12,
            optimizer=adam(model),
            every=2,
            **look if validate else {},
        )
        return model

    assert same_weights(run(False), run(True))


def test_validation_that_gives_no_names_is_refused():
    with pytest.raises(TypeError, match=r"validate returned a float; expected names and numbers"):
        fit_small(validate=lambda model: 0.5)


# --- evaluate -----------------------------------------------------------------------------------


def test_evaluate_is_the_mean_over_all_tokens():
    model, windows = language_model(), ContiguousWindows(TOKENS[:200], 3, 20)
    sizes = {window.inputs.shape[1] for window in windows}
    assert len(sizes) == 2  # the last window is shorter, and counts less
    model.eval()
    logits, _ = model(windows.inputs)
    expected = F.cross_entropy(logits.flatten(0, 1), windows.targets.flatten()).item()
    model.train()
    assert evaluate(model, windows, loss=language_model_loss) == pytest.approx(expected, rel=1e-6)
    assert all(modes(model))


def test_evaluate_without_weights_counts_batches_alike(mixed):
    before = modes(mixed)
    seen = []

    def loss(model, x, state):
        seen.append((state, any(modes(model)), torch.is_grad_enabled()))
        return x.mean(), len(seen)

    assert evaluate(mixed, iter([torch.ones(5), torch.tensor([4.0])]), loss=loss) == 2.5
    assert seen == [(None, False, False), (1, False, False)]
    assert modes(mixed) == before


def test_evaluate_on_nothing_is_refused():
    spent = iter(BATCHES)
    list(spent)
    for batches in ([], spent):
        with pytest.raises(ValueError, match="batches is empty; expected at least one"):
            evaluate(linear(), batches, loss=square)
    with pytest.raises(TypeError, match=r"loss returned a tensor .*; expected \(scalar, state\)"):
        evaluate(linear(), BATCHES, loss=lambda model, x, state: x.mean())


# --- What stops a training ----------------------------------------------------------------------


@pytest.mark.parametrize("clip", [1.0, None])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda value: value * math.nan, "the loss is nan at step 4"),
        (lambda value: value / 0, "the loss is inf at step 4"),
        (lambda value: (value * 0).sqrt(), "the norm of the gradients is nan at step 4"),
        (
            lambda value: value + 1e30 * (1e10 * (value - value.item())),
            "the norm of the gradients is inf at step 4",
        ),
    ],
)
def test_numbers_that_are_not_finite_stop_before_the_weights_change(bad, message, clip):
    model, count, before = linear(), 0, None

    def loss(model, x, state):
        nonlocal count, before
        count += 1
        before = {name: value.clone() for name, value in model.state_dict().items()}
        value, state = square(model, x, state)
        return bad(value) if count == 4 else value, state

    with pytest.raises(FloatingPointError, match=message) as error:
        fit_small(model, loss=loss, clip=clip, steps=9)
    assert "Try a smaller learning rate or a smaller clip; look for NaN" in str(error.value)
    assert count == 4
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (lambda v: v, TypeError, r"loss returned a tensor of shape \(\) with a graph; expected \("),
        (lambda v: (v, None, 1), TypeError, "loss returned a tuple of 3; expected"),
        (lambda v: (v.item(), None), ValueError, "loss returned a float as the loss"),
        (lambda v: (v.detach(), None), ValueError, r"of shape \(\) without a graph as the loss"),
        (lambda v: (v[None], None), ValueError, r"of shape \(1,\) with a graph as the loss"),
    ],
)
def test_a_loss_of_another_kind_is_refused(returned, error, message):
    def loss(model, x, state):
        return returned(square(model, x, state)[0])

    with pytest.raises(error, match=message):
        fit_small(loss=loss)


def attached(model, window, state):
    logits, state = model(window.inputs, state)
    return F.cross_entropy(logits.mT, window.targets), state


def test_a_state_that_is_not_detached_is_refused():
    model = language_model()
    windows = ContiguousWindows(TOKENS, 4, 9)
    with pytest.raises(ValueError, match=r"still attached to the graph.* map_state\(torch\.Tensor"):
        fit(model, windows, loss=attached, steps=2, optimizer=adam(model))
    # Where each pass is one window, no state is handed on.
    fit(model, [next(iter(windows))], loss=attached, steps=3, optimizer=adam(model))


def test_batches_that_can_be_read_only_once_are_refused():
    for batches in ((x for x in BATCHES), iter(BATCHES), itertools.cycle(BATCHES)):
        kind = type(batches).__name__
        with pytest.raises(TypeError, match=f"batches is a {kind}, which can be read only once"):
            fit_small(batches=batches)


def test_a_pass_without_batches_is_refused():
    class Once:
        iterator = iter(BATCHES)

        def __iter__(self):
            return self.iterator

    for batches in ([], Once()):
        with pytest.raises(ValueError, match="a pass over batches gave none; expected at least"):
            fit_small(batches=batches)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0; expected a whole number of at least 1"),
        ({"steps": 2.5}, r"steps is 2\.5; expected a whole number"),
        ({"every": 0}, "every is 0; expected a whole number of at least 1"),
        ({"clip": 0}, "clip is 0; expected a number above 0, or None"),
        ({"clip": math.nan}, "clip is nan; expected a number above 0"),
        ({"optimizer": adam(nn.Linear(2, 1))}, "2 of the 2 tensors in the optimizer are no param"),
        ({"model": nn.Tanh(), "optimizer": adam(linear())}, "the model has no parameters"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fit_small(**options)


def test_part_of_the_parameters_may_be_trained():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    before = model[0].weight.clone()
    fit_small(model, optimizer=adam(model[1]))
    assert torch.equal(model[0].weight, before)


# --- Runs that are killed ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unharmed():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model, run = killed.start()
    losses, history = killed.finish(run)
    torch.set_num_threads(threads)
    return model, losses, history


def assert_same(model, run, unharmed):
    expected_model, expected_losses, expected = unharmed
    losses, history = killed.finish(run)
    assert same_weights(model, expected_model)
    assert losses == history.losses == expected_losses
    assert history.validation == expected.validation


@pytest.mark.parametrize(
    ("place", "count", "left"),
    [
        ("step", 3, []),  # before the first checkpoint
        ("step", 19, ["run.pt"]),
        ("write", 1, ["run.pt.part"]),
        ("write", 4, ["run.pt", "run.pt.part"]),
        ("replace", 4, ["run.pt", "run.pt.part"]),
        ("after", 7, ["run.pt"]),  # the last one: nothing is left to do
    ],
)
def test_a_killed_run_ends_with_the_same_weights(place, count, left, tmp_path, unharmed):
    killed.kill(tmp_path, place, count)
    assert sorted(path.name for path in tmp_path.iterdir()) == left
    model, run = killed.start(tmp_path / "run.pt")
    assert_same(model, run, unharmed)
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_weights(tmp_path, unharmed):
    for place, count in [("step", 6), ("write", 2), ("step", 7), ("replace", 3), ("after", 1)]:
        killed.kill(tmp_path, place, count)
    model, run = killed.start(tmp_path / "run.pt")
    assert_same(model, run, unharmed)


# --- Runs that are broken off, in one process ----------------------------------------------------


class Memory(NamedTuple):
    h: Tensor
    counts: tuple


def memory_loss(model, batch, state):
    """Carries tensors in tuples in a named tuple, as an LSTM does."""
    inputs, targets = batch
    state = Memory(torch.zeros(4, 10), (torch.zeros(()), None)) if state is None else state
    logits, (h, _) = model(inputs, (state.h, state.h))
    loss = F.cross_entropy(logits.mT, targets) * (1 + state.counts[0] / 100)
    return loss, Memory(h.detach(), (state.counts[0] + 1, state.h))


def shuffled(generator=None):
    """A DataLoader over the same windows, each time that it is made."""
    torch.manual_seed(4)
    windows = torch.stack([torch.cat(w) for w in RandomWindows(TOKENS, 1, 9, count=20)])
    data = TensorDataset(windows[:, 0], windows[:, 1])
    return DataLoader(data, batch_size=4, shuffle=True, drop_last=True, generator=generator)


DATA = {
    "random windows": lambda: RandomWindows(TOKENS, 4, 9, count=7),
    "contiguous windows": lambda: ContiguousWindows(TOKENS[:300], 4, 9),
    "shuffled": shuffled,
    "shuffled by a generator": lambda: shuffled(torch.Generator().manual_seed(8)),
    "a list of one": lambda: [next(iter(ContiguousWindows(TOKENS, 4, 9)))],
}


def start_small(make, path, steps=23, every=1, **options):
    batches, model = make(), language_model()
    options = {"loss": memory_loss, "optimizer": adam(model), "clip": 0.5} | options
    return model, train(model, batches, steps=steps, every=every, checkpoint=path, **options)


@pytest.mark.parametrize("name", DATA)
def test_a_run_resumes_from_any_step(name, tmp_path):
    expected_model, run = start_small(DATA[name], None)
    expected, _ = killed.finish(run)
    path = tmp_path / "new folder" / "run.pt"
    for until in (1, 4, 5, 6, 7, 10, 11, 15, 22):  # each goes on where the one before broke off
        _, run = start_small(DATA[name], path)
        assert list(itertools.islice(run, until)) == expected[:until]
        run.close()
        torch.rand(until)  # what others draw between is of no matter
    model, run = start_small(DATA[name], path)
    losses, history = killed.finish(run)
    assert losses == history.losses == expected
    assert same_weights(model, expected_model)


def test_a_run_that_has_ended_gives_its_history_at_once(tmp_path):
    path = tmp_path / "run.pt"
    model, run = start_small(DATA["random windows"], path)
    losses, history = killed.finish(run)
    taken = []
    again, run = start_small(DATA["random windows"], path, loss=taken.append)
    assert killed.finish(run) == (losses, history)
    assert taken == []
    assert same_weights(model, again)


def test_a_run_can_go_on_for_longer(tmp_path):
    expected_model, run = start_small(DATA["random windows"], None, steps=23)
    expected, _ = killed.finish(run)
    for steps in (10, 23):
        model, run = start_small(DATA["random windows"], tmp_path / "run.pt", steps=steps, every=50)
        losses, _ = killed.finish(run)
        assert losses == expected[:steps]
    assert same_weights(model, expected_model)


def test_seconds_of_the_parts_are_added_up(tmp_path, monkeypatch):
    clock = itertools.count(0, 10)
    monkeypatch.setattr(checkpoints.time, "perf_counter", lambda: next(clock))
    path = tmp_path / "run.pt"
    _, run = start_small(DATA["random windows"], path, steps=3)
    assert killed.finish(run)[1].seconds == 30
    _, run = start_small(DATA["random windows"], path, steps=5)
    assert killed.finish(run)[1].seconds == 50


def test_the_file_holds_no_code(tmp_path):
    _, run = start_small(DATA["random windows"], tmp_path / "run.pt", steps=2)
    killed.finish(run)
    torch.load(tmp_path / "run.pt", weights_only=True)


def with_bias(model):
    model.bias = nn.Parameter(torch.zeros(23))
    return model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: {"seed": 1}, "seed is 0, here 1"),
        (lambda: {"clip": None}, r"clip is 0\.5, here None"),
        (lambda: {"schedule": 9}, r"the scheduler is StepLR .*8.*, here StepLR .*9"),
        (lambda: {"schedule": None}, "the scheduler is StepLR .*, here none"),
        (lambda: {"steps": 4}, "it took 6 steps, not 4"),
        (lambda: {"lr": 0.02}, r"lr is 0\.01, here 0\.02"),
        (lambda: {"optimizer": torch.optim.SGD}, "the optimizer is Adam, here SGD"),
        (
            lambda: {"model": with_bias(language_model())},
            r"bias is missing, here .*float32 \(23,\)",
        ),
        (lambda: {"model": LanguageModel(23, layer=RNN(6, 11, num_layers=2))}, r"10.*, here .*11"),
        (lambda: {"model": language_model().double()}, "float32 .*, here torch.float64"),
        (lambda: {"batches": RandomWindows(TOKENS + 1, 4, 9, 7)}, "batch 6 of its pass had other"),
        (lambda: {"batches": RandomWindows(TOKENS, 4, 9, 5)}, "batch 6 of its pass had other"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(change, message, tmp_path):
    path = tmp_path / "run.pt"
    options = {"loss": memory_loss, "checkpoint": path, "clip": 0.5}
    model, windows = language_model(), RandomWindows(TOKENS, 4, 9, 7)
    optimizer = adam(model)
    scheduler = lr_scheduler.StepLR(optimizer, 8)
    fit(model, windows, steps=6, optimizer=optimizer, scheduler=scheduler, **options)
    whole = path.read_bytes()

    options |= {"steps": 8} | change()
    model = options.pop("model", language_model())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lr, make = options.pop("lr", 0.01), options.pop("optimizer", torch.optim.Adam)
    batches, optimizer = options.pop("batches", windows), make(model.parameters(), lr)
    epochs = options.pop("schedule", 8)
    scheduler = lr_scheduler.StepLR(optimizer, epochs) if epochs else None
    with pytest.raises(ValueError, match=f"run.pt is of another run: .*{message}.* another path"):
        fit(model, batches, optimizer=optimizer, scheduler=scheduler, **options)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert path.read_bytes() == whole


def flipped(data):
    """One bit of the largest tensor is another."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        tensors = [info for info in file.infolist() if "/data/" in info.filename]
        largest = max(tensors, key=lambda info: info.file_size)
        inside = data.index(file.read(largest)) + largest.file_size // 2
    return data[:inside] + bytes([data[inside] ^ 1]) + data[inside + 1 :]


def other_file(_):
    buffer = io.BytesIO()
    torch.save(linear().state_dict(), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: b"<html>not found</html>",
        flipped,
        other_file,
    ],
    ids=["empty", "half", "one byte short", "a page", "one bit", "weights only"],
)
def test_a_damaged_checkpoint_is_refused(damage, tmp_path):
    path = tmp_path / "run.pt"
    _, run = start_small(DATA["shuffled"], path, steps=3)
    killed.finish(run)
    path.write_bytes(damage(path.read_bytes()))
    _, run = start_small(DATA["shuffled"], path, steps=5)
    with pytest.raises(ValueError, match=r"run.pt is damaged, or no checkpoint .* delete it to"):
        next(run)


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_step(tmp_path):
    (tmp_path / "file").touch()
    taken = []
    with pytest.raises(OSError, match=r"no checkpoint can be written to .*; choose a folder"):
        fit_small(checkpoint=tmp_path / "file" / "run.pt", loss=taken.append)
    (tmp_path / "run.pt").mkdir()
    with pytest.raises(OSError, match=r"run\.pt"):
        fit_small(checkpoint=tmp_path / "run.pt", loss=taken.append)
    assert taken == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_others_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match=r"no checkpoint can be written to .*; choose a"):
        fit_small(checkpoint=tmp_path / "run.pt")


class FullDisk(io.FileIO):
    """Takes half of what is written."""

    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(self, data):
        super().write(data[: len(data) // 2])
        raise self.error


@pytest.mark.parametrize("error", [FullDisk.error, KeyboardInterrupt()])
def test_a_full_disk_leaves_the_checkpoint_before(error, tmp_path, monkeypatch, unharmed):
    path = tmp_path / "run.pt"
    _, run = killed.start(path)
    for _ in range(9):
        next(run)
    whole = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(FullDisk, "error", error)
        patch.setattr(checkpoints, "open", FullDisk, raising=False)
        with pytest.raises(type(error)) as raised:
            list(run)
    if isinstance(error, OSError):
        assert raised.value.errno == errno.ENOSPC
        assert re.search(
            r"the checkpoint of step 12 could not be written to .*run\.pt \(No space left.*\); the "
            "one before it, if any, is still there. Make room",
            str(raised.value),
        )
    assert path.read_bytes() == whole
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]
    model, run = killed.start(path)
    assert_same(model, run, unharmed)


@pytest.mark.skipif(os.name == "nt", reason="there is no limit on the size of a file")
def test_a_file_that_may_not_grow_leaves_nothing(tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match=r"step 5 could not be written .*File too large"):
            fit_small(checkpoint=tmp_path / "run.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_batches_that_draw_as_they_go_cannot_be_kept(tmp_path):
    class Lazy:
        def __iter__(self):
            return (torch.randn(1, 2) for _ in range(3))

    fit_small(batches=Lazy())
    with pytest.raises(ValueError, match="batches drew random numbers for batch 2 of a pass"):
        fit_small(batches=Lazy(), checkpoint=tmp_path / "run.pt")


def test_a_state_that_could_not_be_found_again_is_refused(tmp_path):
    hidden = namedtuple("hidden", "h")

    def loss(model, x, state):
        return model(x).mean(), hidden(torch.ones(1))

    fit_small(loss=loss)
    with pytest.raises(ValueError, match="a state of kind hidden cannot be kept in a checkpoint"):
        fit_small(loss=loss, checkpoint=tmp_path / "run.pt")


# --- What is shown ------------------------------------------------------------------------------

SHOWS = """
import torch
from lightning_fabric.utilities.rank_zero import rank_zero_info
from unrolled.training import fit
model = torch.nn.Linear(2, 1)
rank_zero_info("what Fabric found")
history = fit(
    model,
    [torch.ones(1, 2)],
    loss=lambda model, x, state: (model(x).pow(2).mean(), None),
    steps=300,
    optimizer=torch.optim.Adam(model.parameters()),
    validate=lambda model: {"held out": 0.25},
    every=10,
)
assert len(history.losses) == 300
"""


def test_the_progress_bar_is_gone_at_the_end():
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TQDM_")}
    environment |= {"TQDM_MININTERVAL": "0", "COLUMNS": "100"}
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", SHOWS],
        env=environment,
        capture_output=True,
        check=True,
    )
    assert ended.stdout == b""
    shown = ended.stderr.decode().split("\r")
    assert any(re.search(r"/300 .*loss \d\.\d{3}, held out 0\.250", line) for line in shown)
    assert not any("\n" in line for line in shown)
    assert shown[-1] == ""  # the cursor is at the start of the line,
    assert shown[-2].strip() == ""  # which was overwritten with blanks
    assert len(shown[-2]) >= len(shown[-3].rstrip())  # blanks were there to overwrite


def test_no_progress_bar_where_it_is_switched_off(monkeypatch, capfd):
    # What TQDM_DISABLE=1 in the environment does, which tqdm reads when it is imported.
    monkeypatch.setattr(training, "tqdm", partial(tqdm, disable=True))
    assert len(fit_small(steps=300).losses) == 300
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def history():
    steps = range(1, 601)
    losses = [3 / math.sqrt(step) for step in steps]
    validation = [(step, 3.3 / math.sqrt(step)) for step in (*range(100, 601, 100), 650)]
    return History(losses, {"validation": validation[:-1], "accuracy": [(600, 0.5)]}, 20.06)


def test_history_in_a_line(history):
    mean = sum(history.losses[-50:]) / 50
    assert repr(history) == (
        f"600 steps in 20.1 s, loss {mean:.3f} (mean of the last 50), "
        f"validation {3.3 / math.sqrt(600):.3f}, accuracy 0.500"
    )
    assert repr(History()) == "0 steps in 0.0 s"
    assert repr(History([1.0, 2.0])) == "2 steps in 0.0 s, loss 1.500 (mean of the last 2)"


def lines(figure):
    (axes,) = figure.axes
    found = {line.get_gid(): line.get_data() for line in axes.lines if line.get_gid()}
    labels = [text.get_text() for text in axes.texts]
    return dict(zip(labels, found.values(), strict=True)), axes


def test_history_drawn(history):
    drawn, axes = lines(history.draw(names=["validation"]))
    assert list(drawn) == ["training", "validation"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "loss")
    x, y = drawn["training"]
    at = dict(zip(x, y, strict=True))
    assert at[12] == pytest.approx(sum(history.losses[:12]) / 12)
    assert at[600] == pytest.approx(sum(history.losses[-12:]) / 12)
    x, y = drawn["validation"]
    at = dict(zip(x, y, strict=True))
    assert all(at[step] == pytest.approx(value) for step, value in history.validation["validation"])
    assert math.isnan(at[96])
    assert at[108] == pytest.approx(0.92 * at[100] + 0.08 * at[200])  # a straight line between


def test_history_drawn_in_another_unit(history):
    drawn, axes = lines(history.draw(metric=bits_per_character, ylabel="bits per character"))
    assert list(drawn) == ["training", "validation", "accuracy"]
    assert axes.get_ylabel() == "bits per character"
    _, y = drawn["validation"]
    assert y[-1] == pytest.approx(history.validation["validation"][-1][1] / math.log(2))
    drawn, _ = lines(history.draw(metric=perplexity, names=[]))
    assert list(drawn) == ["training"]


def test_history_of_few_steps_and_of_values_that_are_no_numbers():
    validation = {"v": [(1, math.inf), (2, math.nan), (3, 2.0)], "w": [(3, math.nan)]}
    drawn, _ = lines(History([3.0, 2.0, 1.0], validation).draw(metric=perplexity))
    assert list(drawn) == ["training", "v"]
    assert drawn["training"][1].tolist() == [math.exp(3), math.exp(2), math.exp(1)]
    assert np.isnan(drawn["v"][1][:2]).all()


def test_history_that_cannot_be_drawn(history):
    with pytest.raises(ValueError, match=r"no validation 'loss'; there are \['validation', 'acc"):
        history.draw(names=["loss"])
    with pytest.raises(ValueError, match="there is no step to draw"):
        History().draw()


def test_history_shows_itself_as_figures_are_shown(history):
    assert history._repr_mimebundle_() == ({"text/plain": repr(history)}, {})
    shell = InteractiveShell.instance()
    data, _ = shell.display_formatter.format(history)
    assert data == {"text/plain": repr(history)}
    style()
    data, _ = shell.display_formatter.format(history)
    assert set(data) == {"image/svg+xml", "text/plain"}
    assert data["text/plain"] == repr(history)
    data, _ = shell.display_formatter.format(History())
    assert data == {"text/plain": repr(History())}
