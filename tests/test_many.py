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
from lightning_fabric import Fabric
from torch import distributed

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
def started(tmp_path_factory):
    """What the cases end with, started as the command line starts them."""
    folder = tmp_path_factory.mktemp("many")
    return folder, *start("all", folder)


@pytest.fixture(scope="module")
def folder(started):
    return started[0]


@pytest.fixture(scope="module")
def processes(folder):
    return [torch.load(folder / f"process{rank}.pt") for rank in (0, 1)]


def test_two_processes_train_every_case(started):
    _, status, said = started
    assert status == 0, said
    assert said.count("99-many-cases") == 1  # the second process prints nothing


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
        main(["train", "03-clipping", "--devices", "0"])
    assert "error: devices is 0" in capsys.readouterr().err


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


@pytest.mark.slow
def test_who_is_ended_while_it_validates_is_told_why(tmp_path):
    status, said = start("killed while validating", tmp_path, victim=1)
    assert status == -signal.SIGKILL
    assert "terminated with code -9" in said


# --- The script of the page -----------------------------------------------------------------------


def test_the_script_of_the_page_trains_a_translator(tmp_path, monkeypatch, capsys):
    page = (many.ROOT / "chapters" / "many-machines.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    few = TextPairs(["I am cold.", "We are here."] * 8, ["J'ai froid.", "Nous sommes là."] * 8)
    monkeypatch.setattr(data, "translation_pairs", lambda name: SplitPairs(few, few, few))
    monkeypatch.chdir(tmp_path)
    changes = {'devices=8, strategy="ddp"': 'devices=1, accelerator="cpu"'}
    changes |= {"STEPS = 587": "STEPS = 3", "2000": "30", "128": "4", "256": "8"}
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


@pytest.fixture
def not_launched(monkeypatch):
    """Fabrics that are made and not launched."""
    found = []
    monkeypatch.setattr(Fabric, "launch", lambda fabric: found.append(fabric))
    monkeypatch.setattr("unrolled.processes._launched", None)  # puts it back afterwards
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    return found


def test_where_there_is_only_the_gpu_of_a_mac_processes_share_the_processor(
    not_launched, monkeypatch
):
    mac = "lightning_fabric.accelerators.mps.MPSAccelerator.is_available"
    monkeypatch.setattr(mac, lambda: True)
    launch(2, 1)
    assert launched() is not_launched[0]
    assert launched().device.type == "cpu"


def test_machines_that_cannot_find_each_other_are_refused(not_launched, monkeypatch, capsys):
    for name in ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit):
        main(["train", "03-clipping", "--devices", "1", "--nodes", "2"])
    said = " ".join(capsys.readouterr().err.split())
    assert "2 machines need to find each other, and MASTER_ADDR, MASTER_PORT, NODE_RANK" in said
    assert not_launched == []
    for name in ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    launch(1, 2)
    assert len(not_launched) == 1


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


def test_a_state_whose_first_dimension_is_not_the_batch_is_refused():
    state = torch.ones(1, 7, 4), torch.ones(1, 7, 4)  # as torch.nn.LSTM has it: layers first
    with pytest.raises(ValueError, match=r"a state of shape \(1, 7, 4\) .* expected 2 rows"):
        Processes(Third()).joined(state, torch.ones(7, 3))


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:538] Connection closed by peer"), True),
        (distributed.DistNetworkError("Failed to recv, got 0 bytes"), True),
        (distributed.DistStoreError("wait timeout after 300000ms"), True),
        (RuntimeError("cannot restore the picture"), False),
        (distributed.DistBackendError("NCCL error: Duplicate GPU detected"), False),
    ],
)
def test_only_a_lost_connection_means_that_another_process_is_gone(error, lost):
    with pytest.raises(RuntimeError) as raised, Processes(Third()).together():
        raise error
    assert str(raised.value).startswith("process 2 of 3 lost another one") == lost
