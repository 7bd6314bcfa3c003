"""Recorded runs: what is shown in a page is what today's code would give."""

import functools
import json

import pytest
import torch
from torch import nn

from unrolled.__main__ import main
from unrolled.data import d2l
from unrolled.runs import load, record, registry
from unrolled.runs.recipe import train_with_adam

FOUND = registry.experiments()
#: Experiments on a file that has to be downloaded.
FILES = dict.fromkeys(["03-time-machine", "12-held-out", "12-time-machine"], "timemachine.txt")
FILES |= dict.fromkeys(["15-corpus", "15-equal-time", "15-published", "15-shipped"], "fra-eng.zip")
TRAININGS = [(name, variant) for name, found in FOUND.items() for variant in found.variants]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def stale(found, recorded, variant):
    """Say what is different between a recorded training and the one that today's code begins."""
    same = {
        "question": found.question,
        "settings": dict(found.settings),
        "variants": {v: dict(options) for v, options in found.variants.items()},
        "seeds": list(found.seeds),
    }
    differences = [key for key, value in same.items() if recorded[key] != value]
    if sorted(recorded["results"][variant]) != sorted(map(str, found.seeds)):
        differences.append("results")
    now = torch.tensor(found.first_losses(variant))
    if not torch.allclose(now, torch.tensor(recorded["first_losses"][variant]), rtol=1e-4, atol=0):
        differences.append(f"first losses: {now.tolist()}")
    return differences


@functools.cache
def data(name):
    return FOUND[name].data()


@pytest.mark.parametrize(("name", "variant"), TRAININGS)
def test_recorded_run_begins_as_todays_code_does(name, variant):
    recorded = load(name)
    if name in FILES and not (d2l.data_folder() / FILES[name]).is_file():
        pytest.skip(f"{FILES[name]} is not there: UNROLLED_DATA names no folder that has it")
    if recorded["data"] != data(name):
        pytest.skip("this Python's library has another text than the one of the recorded run")
    assert not stale(FOUND[name], recorded, variant), f"stale: make record NAME={name}"


def test_every_recorded_file_has_its_experiment():
    assert {path.stem for path in registry.folder().glob("*.json")} == set(FOUND)


def line(seed, slope, steps):
    """How fast a line falls."""
    torch.manual_seed(seed)
    start = torch.rand(()).item()
    for step in range(steps):
        yield start + slope * step
    return {"end": start + slope * step, "curve": [1 / 3, 2 / 3]}


@pytest.fixture
def toy(monkeypatch):
    """An experiment that takes no time."""
    line.__module__ = "unrolled.runs.ch99"
    monkeypatch.setattr(registry, "_experiments", {})
    registry.experiment(
        variants={"down": {"slope": -1.0}, "up": {"slope": 1.0}},
        seeds=[0, 3],
        settings={"steps": 5},
        data=lambda: "none",
    )(line)
    return registry._experiments["99-line"]


def test_record_writes_everything_that_repeats_it(toy, tmp_path):
    lines = []
    recorded = record("99-line", to=tmp_path, progress=lines.append)
    assert json.loads((tmp_path / "99-line.json").read_text()) == recorded
    assert recorded["question"] == "How fast a line falls."
    assert recorded["command"] == "python -m unrolled train 99-line"
    assert recorded["results"]["down"]["0"]["curve"] == [0.33333, 0.66667]
    assert set(recorded["results"]["up"]) == {"0", "3"}
    assert len(recorded["first_losses"]["up"]) == registry.FIRST_STEPS
    assert len(lines) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["99-line.json"]  # no temporary file


def test_a_stale_run_is_noticed(toy, tmp_path, monkeypatch):
    recorded = record("99-line", to=tmp_path, progress=lambda _: None)
    assert not stale(toy, recorded, "down")
    for key, value in [("seeds", [0]), ("settings", {"steps": 6}), ("question", "")]:
        assert key in stale(toy, recorded | {key: value}, "down")
    other = registry.Experiment(
        **{**vars(toy), "function": lambda seed, slope, steps: line(seed, 1.001 * slope, steps)}
    )
    assert "first losses" in stale(other, recorded, "down")[0]


@pytest.mark.parametrize("slope", [float("nan"), float("inf")])
def test_a_training_that_diverges_is_no_result(toy, tmp_path, monkeypatch, slope):
    monkeypatch.setitem(toy.variants, "up", {"slope": slope})
    with pytest.raises(FloatingPointError, match=r"the loss is (nan|inf) at step [12]"):
        record("99-line", to=tmp_path, progress=lambda _: None)
    assert not list(tmp_path.iterdir())


def test_recording_leaves_the_number_of_threads(toy, tmp_path):
    torch.set_num_threads(2)
    record("99-line", to=tmp_path, progress=lambda _: None)
    assert torch.get_num_threads() == 2


def test_unknown_names_are_answered_with_the_known_ones(toy):
    with pytest.raises(ValueError, match=r"no experiment 'nothing'; there are .*99-line"):
        record("nothing")
    with pytest.raises(ValueError, match="no recorded run 'nothing'; recorded are: "):
        load("nothing")


def test_command_line_records_and_lists(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(registry, "folder", lambda: tmp_path)
    assert main(["train", "99-line"]) == 0
    assert (tmp_path / "99-line.json").is_file()
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "99-line: How fast a line falls." in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["train", "nothing"])
    assert "invalid choice: 'nothing'" in capsys.readouterr().err


def test_a_model_is_on_the_processor_when_it_has_been_trained(monkeypatch):
    model, moved = nn.Linear(1, 1), []
    monkeypatch.setattr(model, "cpu", lambda: moved.append(len(losses)))
    losses = []
    training = train_with_adam(
        model,
        [torch.ones(2, 1)],
        loss=lambda model, x, state: (model(x).mean(), None),
        steps=2,
        learning_rate=0.1,
    )
    for loss in training:
        losses.append(loss)
    assert moved == [2]


def test_fingerprint_sees_every_number():
    a = torch.arange(6).view(2, 3)
    b = a.clone()
    b[1, 2] += 1
    assert registry.fingerprint(a) == registry.fingerprint(a.clone())
    assert registry.fingerprint(a) != registry.fingerprint(b)
