"""Trainings on two processes: equal to one process, and ended together when one is killed."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
import torch

import many
from unrolled import checkpoints, data
from unrolled.__main__ import main
from unrolled.data import SplitPairs, TextPairs
from unrolled.processes import Processes, launch, launched, once
from unrolled.translator import Translator

# Two processes that talk to each other over loopback alone.
LOOPBACK = {"MASTER_ADDR": "127.0.0.1", "CUDA_VISIBLE_DEVICES": ""}
LOOPBACK |= {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}


def start(what, folder, *, victim=-1, launcher=()):
    """Run tests/many.py to its end; give its status and what it printed on either channel."""
    program = [sys.executable, *launcher, many.__file__, what, str(folder), str(victim)]
    channels = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    environment = {**os.environ, **LOOPBACK}
    with subprocess.Popen(program, env=environment, start_new_session=True, **channels) as started:
        try:
            said, _ = started.communicate(timeout=300)  # a process that hangs is a failure
        finally:
            started.terminate()  # torchrun ends those that it has started
            with suppress(subprocess.TimeoutExpired):
                started.wait(10)
            if hasattr(os, "killpg"):
                with suppress(ProcessLookupError):
                    os.killpg(started.pid, signal.SIGKILL)
    return started.returncode, said


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the cases end with, started as the command line starts them."""
    folder = tmp_path_factory.mktemp("many")
    status, said = start("all", folder)
    assert status == 0, said
    assert said.count("99-many-cases") == 1  # the second process prints nothing
    return folder


@pytest.fixture(scope="module")
def processes(folder):
    return [torch.load(folder / f"process{rank}.pt") for rank in (0, 1)]


def same(found, expected, **tolerance):
    torch.testing.assert_close(found["weights"], expected["weights"], **tolerance)
    torch.testing.assert_close(found["losses"], expected["losses"], **tolerance)
    for name, line in expected["validation"].items():
        for one, other in zip(found["validation"][name], line, strict=True):
            assert one == pytest.approx(other, rel=1e-10)


@pytest.mark.parametrize("case", many.CASES)
def test_two_processes_equal_one(case, processes):
    expected = many.run(case)
    for found in processes:
        same(found[case], expected, rtol=1e-10, atol=1e-12)
        assert torch.equal(found[case]["drawn"], expected["drawn"])
    assert processes[0][case]["losses"] == processes[1][case]["losses"]  # to the last bit
    weights = [found[case]["weights"] for found in processes]
    torch.testing.assert_close(*weights, rtol=0, atol=0)


def test_the_halves_hold_different_numbers_of_tokens():
    _, batches, _ = many.pairs()
    weights = [[_part(batch, rank).weight for rank in (0, 1)] for batch in batches]
    assert all(first != second for first, second in weights)


def _part(batch, rank):
    return type(batch)(*(tensor.tensor_split(2)[rank] for tensor in batch))


def test_a_checkpoint_of_two_processes_is_that_of_one(folder, processes, tmp_path):
    one = many.run("windows", checkpoint=tmp_path / "half.pt")
    files = [torch.load(path / "half.pt") for path in (folder, tmp_path)]
    for file in files:
        file["history"].pop("seconds")
    states = [checkpoints._as_it_was(file["state"]) for file in files]
    torch.testing.assert_close(*states, rtol=1e-10, atol=1e-12)
    assert files[0]["settings"] == files[1]["settings"]
    assert files[0]["batch"] == files[1]["batch"]
    assert torch.equal(*(file["random"]["torch"] for file in files))
    same(processes[0]["half"], one, rtol=1e-10, atol=1e-12)


def test_what_two_processes_refuse(processes):
    for found in processes:
        unlike_batches, unlike_rows = found["errors"]
        assert "the processes read different batches" in unlike_batches
        assert "its tensors have (2,), (3,) rows; expected equally many" in unlike_rows


def test_the_command_line_records_it_once(folder):
    recorded = json.loads((folder / "99-many-cases.json").read_text())
    assert recorded["command"] == "python -m unrolled train 99-many-cases --devices 2 --nodes 1"
    assert recorded["machine"].startswith("2 processes (cpu) of ")
    assert not list(folder.glob("*.part"))


def test_the_command_line_refuses_numbers_that_are_none(capsys):
    with pytest.raises(SystemExit):
        main(["train", "03-order", "--devices", "0"])
    assert "devices" in capsys.readouterr().err


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A training whose second process was killed, and what the first said."""
    folder = tmp_path_factory.mktemp("killed")
    return folder, *start("killed", folder, victim=1)


def test_a_killed_process_ends_the_other_with_a_clear_error(killed):
    folder, status, said = killed
    assert status != 0
    assert "process 0 of 2 lost another one, which was killed or failed" in said
    assert [path.name for path in folder.iterdir()] == ["run.pt"]


def test_killed_processes_go_on_to_the_same_weights(killed, tmp_path):
    folder, *_ = killed
    status, said = start("whole", tmp_path)
    assert status == 0, said
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node=2"]
    torchrun += ["--standalone", "--local-addr=127.0.0.1"]
    status, said = start("resumed", folder, launcher=torchrun)
    assert status == 0, said
    drawn = []
    for rank in (0, 1):
        whole = torch.load(tmp_path / f"whole{rank}.pt")
        resumed = torch.load(folder / f"resumed{rank}.pt")
        assert resumed["losses"] == whole["losses"]
        torch.testing.assert_close(resumed["weights"], whole["weights"], rtol=0, atol=0)
        assert len(resumed["drawn"]) == many.STEPS - (many.KILLED_AT - 1) // many.EVERY * many.EVERY
        assert resumed["drawn"] == whole["drawn"][-len(resumed["drawn"]) :]
        drawn += whole["drawn"]
    assert len(set(drawn)) == 2 * many.STEPS  # no process draws what the other does


@pytest.mark.slow
def test_the_first_process_killed_ends_the_second_too(tmp_path):
    status, said = start("killed", tmp_path, victim=0)
    assert status == -signal.SIGKILL
    assert "process 1 of 2 lost another one, which was killed or failed" in said


# --- The script of the page -----------------------------------------------------------------------


def test_the_script_of_the_page_trains_a_translator(tmp_path, monkeypatch, capsys):
    page = (many.ROOT / "chapters" / "many-machines.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    few = TextPairs(["I am cold.", "We are here."] * 8, ["J'ai froid.", "Nous sommes là."] * 8)
    monkeypatch.setattr(data, "translation_pairs", lambda name: SplitPairs(few, few, few))
    monkeypatch.chdir(tmp_path)
    changes = {'devices=8, strategy="ddp"': 'devices=1, accelerator="cpu"'}
    changes |= {"STEPS = 600": "STEPS = 3", "2000": "30", "128": "4", "256": "8"}
    for old, new in changes.items():
        assert old in script
        script = script.replace(old, new)
    exec(script, {})
    assert capsys.readouterr().out.startswith("3 steps in ")
    assert Translator.load(tmp_path / "translator").translate("I am cold.").text is not None
    assert (tmp_path / "translator.pt").is_file()


# --- One process ----------------------------------------------------------------------------------


def test_alone_nothing_is_launched():
    assert launched() is None
    assert once(lambda: 3) == 3


@pytest.mark.parametrize("numbers", [(0, 1), (2, 0), (2.0, 1)])
def test_numbers_of_processes_that_are_none(numbers):
    with pytest.raises((ValueError, TypeError), match=r"devices|nodes"):
        launch(*numbers)


class Third:
    """A Fabric of three processes, as the third sees it."""

    world_size, global_rank = 3, 2


@pytest.mark.parametrize(("rows", "expected"), [(7, [5, 6]), (3, [2]), (2, [0, 1]), (1, [0])])
def test_the_rows_of_a_process(rows, expected):
    assert Processes(Third()).rows(torch.arange(rows)).tolist() == expected


@pytest.mark.parametrize(("rows", "weight"), [(7, 3 * 2 / 7), (3, 1), (2, 0), (1, 0)])
def test_a_process_weighs_as_its_rows_do(rows, weight):
    part, found = Processes(Third()).part({"x": torch.arange(rows)})
    assert found == pytest.approx(weight)
    assert len(part["x"]) == (2 if rows == 7 else 1 if rows == 3 else rows)


def test_a_batch_without_tensors_is_refused():
    with pytest.raises(ValueError, match="its tensors have no rows"):
        Processes(Third()).part([1, 2])
