"""What a run finds again when it was killed.

:func:`unrolled.training.train` reads its batches through a ``Run``, which knows its place in
them and every so often writes all that the run needs in order to go on. Below it stands how that
becomes a file which holds no code and is whole or not there.
"""

from __future__ import annotations

import hashlib
import io
import operator
import os
import random
import sys
import time
import zipfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from unrolled.layers import State, map_state
from unrolled.processes import Processes


class Run:
    """The place of a run in its data, the state that it carries, and the file that keeps them.

    Parameters
    ----------
    model, optimizer, scheduler
        Are kept, and put back as they were.
    batches
        Are read pass after pass.
    history
        An object whose attributes are kept, ``losses`` and ``seconds`` among them.
    processes
        Of the training; the first of them reads and writes the file.
    path
        Of the checkpoint; ``None`` for none.
    settings
        What must be the same when the run goes on, by name. Those of the model, the optimiser and
        the schedule are added.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: LRScheduler | None,
        batches: Iterable[Any],
        history: Any,
        processes: Processes,
        path: str | Path | None,
        settings: Mapping[str, Any],
    ) -> None:
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.batches, self.history, self.processes = batches, history, processes
        self.path = None if path is None else Path(path)
        self.settings = {**settings, **_settings(model, optimizer, scheduler)}
        self.generators = _Generators(processes.fabric.device, batches)
        self.state, self.batch = None, None
        # A pass over the batches: those to come, how many were read, the random states before it.
        self.coming, self.position, self.before_pass = iter(()), 0, {}

    def begin(self, steps: int) -> None:
        """Go back to where the checkpoint was written, if there is one, and start the clock."""
        if self.path is not None:
            saved, fabric = None, self.processes.fabric
            if fabric.is_global_zero:
                _check_folder(self.path)
                saved = _read(self.path) if self.path.exists() else None
            if (saved := fabric.broadcast(saved)) is not None:
                self._restore(saved, steps)
        self.started = time.perf_counter() - self.history.seconds

    def next_batch(self) -> tuple[Any, State | None]:
        """Give the next batch and the carried state, which is None where a pass begins."""
        if not self._advance():
            self._new_pass()
            if not self._advance():
                raise ValueError(
                    "a pass over batches gave none; expected at least one batch, each time that "
                    "they are iterated"
                )
            self.processes.check_alike(_digest(self.batch))
        return self.batch, _without_graph(self.state)

    @contextmanager
    def undisturbed(self) -> Generator[None, None, None]:
        """Put the random states back afterwards, whatever is drawn meanwhile."""
        states = self.generators.states()
        yield
        self.generators.set(states)

    def save(self, step: int) -> None:
        """Stop the clock and, if there is to be one, write the checkpoint."""
        self.history.seconds = time.perf_counter() - self.started
        if self.path is None:
            return
        state = self.processes.joined(self.state, self.batch)
        if not self.processes.fabric.is_global_zero:
            return
        saved = {
            "settings": self.settings,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler and self.scheduler.state_dict(),
            "history": vars(self.history),
            "state": _plain(state),
            "before pass": self.before_pass,
            "position": self.position,
            "batch": _digest(self.batch),
            "random": self.generators.states(),
        }
        _write(self.path, saved, step)

    def _restore(self, saved: dict[str, Any], steps: int) -> None:
        here, there = self.settings, saved["settings"]
        if different := [
            f"{name} is {there.get(name, 'missing')}, here {here.get(name, 'missing')}"
            for name in here | there
            if there.get(name) != here.get(name)
        ]:
            raise self._another_run("; ".join(different[:3]))
        if len(saved["history"]["losses"]) > steps:
            raise self._another_run(f"it took {len(saved['history']['losses'])} steps, not {steps}")
        self.generators.set(saved["before pass"])
        self._new_pass()
        while self.position < saved["position"] and self._advance():
            pass
        if self.position < saved["position"] or _digest(self.batch) != saved["batch"]:
            raise self._another_run(f"batch {saved['position']} of its pass had other numbers")
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(saved["scheduler"])
        vars(self.history).update(saved["history"])
        state = move_data_to_device(_as_it_was(saved["state"]), self.processes.fabric.device)
        self.state = state if state is None else map_state(self.processes.rows, state)
        self.generators.set(saved["random"])

    def _another_run(self, difference: str) -> ValueError:
        return ValueError(
            f"the checkpoint {self.path} is of another run: {difference}. Go on with what it was "
            "made with, give another path, or delete the file to start anew"
        )

    def _new_pass(self) -> None:
        self.before_pass = self.generators.states()
        self.coming, self.position, self.state = iter(self.batches), 0, None

    def _advance(self) -> bool:
        """Read a batch of this pass; tell whether there was one."""
        before = torch.get_rng_state()
        try:
            self.batch = next(self.coming)
        except StopIteration:
            return False
        if self.path and self.position and not torch.equal(before, torch.get_rng_state()):
            raise ValueError(
                f"batches drew random numbers for batch {self.position + 1} of a pass, so that a "
                "run that was killed could not find its place; draw all of them when the pass "
                "begins, or train without a checkpoint"
            )
        self.position += 1
        return True


class _Generators:
    """Every generator of random numbers from which a training may draw."""

    def __init__(self, device: torch.device, batches: Iterable[Any]) -> None:
        self.device = device
        own = getattr(batches, "generator", None)  # of a DataLoader that was made with one
        self.own = own if isinstance(own, torch.Generator) else None

    def states(self) -> dict[str, Any]:
        numpy = np.random.get_state(legacy=False)
        numpy["state"]["key"] = numpy["state"]["key"].tolist()
        states = {"torch": torch.get_rng_state(), "python": random.getstate(), "numpy": numpy}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        if self.own is not None:
            states["batches"] = self.own.get_state()
        return states

    def set(self, states: Mapping[str, Any]) -> None:
        torch.set_rng_state(states["torch"])
        random.setstate(states["python"])
        np.random.set_state(states["numpy"])
        if self.device.type == "cuda" and "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], self.device)
        if self.own is not None and "batches" in states:
            self.own.set_state(states["batches"])


def _without_graph(state: State | None) -> State | None:
    def check(part: Tensor) -> Tensor:
        if part.requires_grad:
            raise ValueError(
                "the state that loss returned is still attached to the graph of the window before; "
                "detach it, e.g. with map_state(torch.Tensor.detach, state)"
            )
        return part

    return None if state is None else map_state(check, state)


def _settings(
    model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler | None
) -> dict[str, str]:
    found = {"the optimizer": type(optimizer).__name__, "the scheduler": "none"}
    if scheduler is not None:
        found["the scheduler"] = f"{type(scheduler).__name__} {scheduler.state_dict()}"
    for number, group in enumerate(optimizer.param_groups):
        where = f" of group {number}" if number else ""
        found |= {f"{k}{where}": repr(v) for k, v in group.items() if k != "params"}
    for name, tensor in model.state_dict().items():
        found[name] = f"{tensor.dtype} {tuple(tensor.shape)}"
    return found


def _digest(batch: Any) -> str:
    """Hash the numbers of a batch."""
    found = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, Tensor):
            found.update(part.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(part, Mapping):
            add(list(part.values()))
        elif isinstance(part, tuple | list):
            for inner in part:
                add(inner)

    add(batch)
    return found.hexdigest()


def _plain(state: State | None) -> Any:
    """Write the tuples of a state as their names and parts, so that the file holds no code."""
    if state is None or isinstance(state, Tensor):
        return state
    name = f"{type(state).__module__}:{type(state).__qualname__}"
    if _tuple_of(name) is not type(state):
        raise ValueError(
            f"a state of kind {type(state).__name__} cannot be kept in a checkpoint; expected "
            "tensors, tuples, or named tuples whose class stands at the top of a module"
        )
    return name, [_plain(part) for part in state]


def _as_it_was(plain: Any) -> State | None:
    if plain is None or isinstance(plain, Tensor):
        return plain
    name, parts = plain
    kind = _tuple_of(name)
    if kind is None:
        raise ValueError(f"the state in the checkpoint is a {name}, which is not there; import it")
    states = [_as_it_was(part) for part in parts]
    return kind._make(states) if hasattr(kind, "_make") else tuple(states)


def _tuple_of(name: str) -> type | None:
    """Give the class of that name, if it is there and one of tuples."""
    module, _, kind = name.partition(":")
    try:
        found = operator.attrgetter(kind)(sys.modules.get(module))
    except AttributeError:
        return None
    return found if isinstance(found, type) and issubclass(found, tuple) else None


def _check_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _unfinished(path).touch()
        _unfinished(path).unlink()
    except OSError as error:
        raise OSError(
            error.errno,
            f"no checkpoint can be written to {path} ({error.strerror}); choose a folder in which "
            "you may write",
        ) from error


def _unfinished(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _write(path: Path, saved: dict[str, Any], step: int) -> None:
    """Write a file whole or not at all, whenever the process is killed."""
    whole = io.BytesIO()
    torch.save(saved, whole)
    try:
        with open(_unfinished(path), "wb") as file:
            file.write(whole.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(_unfinished(path), path)
    except BaseException as error:
        with suppress(OSError):
            _unfinished(path).unlink()
        if not isinstance(error, OSError):
            raise
        raise OSError(
            error.errno,
            f"the checkpoint of step {step} could not be written to {path} ({error.strerror}); "
            "the one before it, if any, is still there. Make room, then call again to go on",
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as file:
            if damaged := file.testzip():  # PyTorch itself does not look at the check sums
                raise zipfile.BadZipFile(f"{damaged} has a wrong check sum")
        saved = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(saved, dict) or "before pass" not in saved:
            raise KeyError("the place in the data")
    except OSError:
        raise
    except Exception as error:  # a damaged file can fail anywhere
        raise ValueError(
            f"{path} is damaged, or no checkpoint of a training; delete it to start anew, or give "
            "another path"
        ) from error
    return saved
