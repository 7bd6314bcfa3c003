"""The training loop: one for every model of the book, on one processor or on many.

:func:`train` is the loop, to be read and to be used step by step. :func:`fit` runs it to its end
and shows how far it is. What makes a run survive being killed stands below them.
"""

from __future__ import annotations

import hashlib
import io
import logging
import math
import operator
import os
import random
import sys
import time
import zipfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from IPython.core.getipython import get_ipython
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.utilities import move_data_to_device
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from unrolled.figures import curves
from unrolled.layers import State, map_state

Loss = Callable[[nn.Module, Any, State | None], tuple[Tensor, State | None]]
Validate = Callable[[nn.Module], Mapping[str, float]]

# Fabric tells of the hardware that it finds; a training in a page prints nothing.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


def train(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    loss: Loss,
    steps: int,
    optimizer: Optimizer,
    scheduler: LRScheduler | None = None,
    clip: float | None = 1.0,
    validate: Validate | None = None,
    every: int = 100,
    checkpoint: str | Path | None = None,
    seed: int = 0,
    fabric: Fabric | None = None,
) -> Generator[float, None, History]:
    """Train a model: yield the loss of each step, and return the history.

    The arguments and the errors are those of :func:`fit`. As with every generator, nothing happens
    before the first loss is asked for, and what is drawn at random between two losses changes those
    that come. A run that goes on from a checkpoint first yields the losses that it finds there.

    Examples
    --------
    >>> model = nn.Linear(3, 1)
    >>> def loss(model, x, state):
    ...     return model(x).pow(2).mean(), state
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> run = train(model, [torch.ones(4, 3)], loss=loss, steps=20, optimizer=optimizer)
    >>> losses = list(run)
    >>> len(losses), losses[-1] < 0.1 * losses[0]
    (20, True)
    """
    _check_arguments(model, batches, optimizer, steps=steps, clip=clip, every=every)
    fabric = _one_process(model) if fabric is None else fabric
    settings = {"seed": seed, "clip": clip}
    run = _Run(model, optimizer, scheduler, batches, fabric.device, checkpoint, settings)
    wrapped, stepper = fabric.setup(model, optimizer)
    torch.manual_seed(seed)
    history = run.begin(steps)
    with _mode(model, training=True):
        yield from history.losses  # those of a run that was killed
        for step in range(len(history.losses) + 1, steps + 1):
            batch, state = run.next_batch()  # the state is None where a pass begins
            value, run.state = _pair(loss(wrapped, fabric.to_device(batch), state))
            _check_loss(value, step)
            stepper.zero_grad()
            fabric.backward(value)
            norm = fabric.clip_gradients(
                wrapped, stepper, max_norm=clip or math.inf, error_if_nonfinite=False
            )
            _check_finite("the norm of the gradients", norm, step)
            stepper.step()
            if scheduler is not None:
                scheduler.step()
            history.losses.append(value.item())
            if step % every == 0 or step == steps:
                run.validate(validate, step)
                run.save(step)
            yield history.losses[-1]
    return history


def fit(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    loss: Loss,
    steps: int,
    optimizer: Optimizer,
    scheduler: LRScheduler | None = None,
    clip: float | None = 1.0,
    validate: Validate | None = None,
    every: int = 100,
    checkpoint: str | Path | None = None,
    seed: int = 0,
    fabric: Fabric | None = None,
) -> History:
    """Train a model with a progress bar, which is gone at the end.

    Parameters
    ----------
    model
        Is trained in place, and left in the mode (training or evaluation) in which it came.
    batches
        What can be iterated again and again, such as a list, windows or a ``DataLoader``. When a
        pass over it ends, another begins, with no state.
    loss
        ``loss(model, batch, state) -> (scalar, state)``. The state is what is carried from batch to
        batch: ``None`` at the start of each pass, else what the call before returned. Whoever
        writes ``loss`` detaches it; where nothing is carried, it returns ``None``.
    steps
        Updates of the weights.
    optimizer
        Holds parameters of ``model``.
    scheduler
        Changes the learning rate of ``optimizer`` after each step.
    clip
        The norm of all gradients together is at most this; ``None`` leaves them as they are.
    validate
        ``validate(model) -> {name: value}``, called every ``every`` steps and after the last, in
        evaluation mode and without gradients. What it draws at random does not change the training.
    every
        Steps between two validations, and between two checkpoints.
    checkpoint
        File that keeps the run, written every ``every`` steps and after the last. Called again with
        the same arguments, a run that was killed goes on from there and ends with the same weights,
        bit for bit; a run that had ended gives its history and weights at once; one that is asked
        for more steps goes on.
    seed
        Given to ``torch.manual_seed`` at the start. Batches and dropout draw from that generator,
        which is left as the last step leaves it.
    fabric
        Where to train; without it in this process, on the device on which the model is. Batches are
        moved there.

    Returns
    -------
    History

    Raises
    ------
    FloatingPointError
        If the loss or a gradient is NaN or infinite. The weights are as before that step.
    ValueError, TypeError
        If an argument does not fit, ``loss`` does not return what is said above, or the checkpoint
        is damaged or of another run.
    OSError
        If the checkpoint cannot be written. The one before it is still there.

    Examples
    --------
    >>> model = nn.Linear(3, 1)
    >>> def loss(model, x, state):
    ...     return model(x).pow(2).mean(), state
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> history = fit(model, [torch.ones(4, 3)], loss=loss, steps=20, optimizer=optimizer)
    >>> len(history.losses)
    20
    """
    latest: Mapping[str, float] = {}
    histories: list[History] = []

    def remember(model: nn.Module) -> Mapping[str, float]:
        nonlocal latest
        latest = validate(model)
        return latest

    def run() -> Generator[float, None, None]:
        history = yield from train(
            model,
            batches,
            loss=loss,
            steps=steps,
            optimizer=optimizer,
            scheduler=scheduler,
            clip=clip,
            validate=remember if validate else None,
            every=every,
            checkpoint=checkpoint,
            seed=seed,
            fabric=fabric,
        )
        histories.append(history)

    with tqdm(run(), total=steps, leave=False, unit="step") as bar:
        for value in bar:
            bar.set_postfix_str(_words({"loss": value, **latest}), refresh=False)
    return histories[0]


def evaluate(model: nn.Module, batches: Iterable[Any], *, loss: Loss) -> float:
    """Give the mean loss over batches, without training.

    The model is in evaluation mode meanwhile, and the state is carried from batch to batch.

    Parameters
    ----------
    model
        Left in the mode in which it came.
    batches
        Each counts by its ``weight``, such as the number of targets of a window; by 1 without one.
    loss
        As for :func:`fit`.

    Returns
    -------
    float
        In the unit of ``loss``.

    Raises
    ------
    ValueError
        If there is no batch.

    Examples
    --------
    >>> def loss(model, x, state):
    ...     return model(x).mean(), state
    >>> evaluate(nn.Identity(), [torch.tensor([1.0, 2.0]), torch.tensor([4.5])], loss=loss)
    3.0
    """
    device = next(model.parameters(), torch.empty(0)).device
    total, weights, state = 0.0, 0.0, None
    with _mode(model, training=False), torch.no_grad():
        for batch in batches:
            value, state = _pair(loss(model, move_data_to_device(batch, device), state))
            weight = getattr(batch, "weight", 1)
            total += weight * float(value)
            weights += weight
    if not weights:
        raise ValueError("batches is empty; expected at least one batch")
    return total / weights


@dataclass(repr=False)
class History:
    """What happened in a training. As the last line of a notebook cell it draws itself.

    Parameters
    ----------
    losses : list of float
        One a step.
    validation : dict
        Name: pairs of a step and the value after it.
    seconds : float
        From the first step to the last; those of a resumed run added up.

    Examples
    --------
    >>> History([2.0, 1.0], {"validation": [(2, 1.25)]}, 0.5)
    2 steps in 0.5 s, loss 1.500 (mean of the last 2), validation 1.250
    """

    losses: list[float] = field(default_factory=list)
    validation: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    seconds: float = 0.0

    def draw(
        self,
        *,
        metric: Callable[[float], float] = float,
        ylabel: str = "loss",
        names: Sequence[str] | None = None,
    ) -> Figure:
        """Draw the losses and the values of the validation against the step.

        Each point of the losses is the mean of the steps since the point before it: a fiftieth of
        the training. A validation of the name "training" is drawn in their place.

        Parameters
        ----------
        metric
            Applied to each point, such as :func:`~unrolled.metrics.bits_per_character`.
        ylabel
            What ``metric`` gives, with its unit.
        names
            Of the validation, those whose values are of the same kind as the losses; all without.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            If there is no step, or a name is unknown.

        Examples
        --------
        >>> history = History([3.0, 2.5, 2.0, 1.5], {"validation": [(2, 2.6), (4, 2.2)]})
        >>> figure = history.draw(ylabel="loss (nats)")
        """
        if not self.losses:
            raise ValueError("there is no step to draw; expected at least one")
        if unknown := set(names or ()) - set(self.validation):
            raise ValueError(f"no validation {min(unknown)!r}; there are {list(self.validation)}")
        parts = np.array_split(np.array(self.losses), min(len(self.losses), 50))
        ends = np.cumsum([len(part) for part in parts])
        lines = {"training": dict(zip(ends, map(np.mean, parts), strict=True))}
        for name in self.validation if names is None else names:
            finite = {step: value for step, value in self.validation[name] if math.isfinite(value)}
            lines |= {name: finite} if finite else {}
        x = sorted(set().union(*lines.values()))
        series = {}
        for name, line in lines.items():
            values = [metric(value) for value in line.values()]
            series[name] = np.interp(x, list(line), values, left=np.nan, right=np.nan)
        return curves(x, series, xlabel="step", ylabel=ylabel)

    def __repr__(self) -> str:
        last = self.losses[-50:]
        words = [f"{len(self.losses)} steps in {self.seconds:.1f} s"]
        if last:
            words.append(f"loss {np.mean(last):.3f} (mean of the last {len(last)})")
        if self.validation:
            words.append(_words({name: line[-1][1] for name, line in self.validation.items()}))
        return ", ".join(words)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        shell = get_ipython()
        if shell is None or not self.losses:
            return {"text/plain": repr(self)}, {}
        data, metadata = shell.display_formatter.format(self.draw(), include, exclude)
        return data | {"text/plain": repr(self)}, metadata


def _words(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())


# --- What the loop checks -----------------------------------------------------------------------


def _check_arguments(
    model: nn.Module,
    batches: Iterable[Any],
    optimizer: Optimizer,
    *,
    steps: int,
    clip: float | None,
    every: int,
) -> None:
    for name, number in {"steps": steps, "every": every}.items():
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} is {number!r}; expected a whole number of at least 1")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip is {clip!r}; expected a number above 0, or None for no clipping")
    if isinstance(batches, Iterator):
        raise TypeError(
            f"batches is a {type(batches).__name__}, which can be read only once; expected what "
            "can be iterated again, such as a list, windows or a DataLoader"
        )
    known = {id(parameter) for parameter in model.parameters()}
    if not known:
        raise ValueError(
            "the model has no parameters; expected at least one: a tensor that is to be trained is "
            "an nn.Parameter"
        )
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if foreign := sum(id(parameter) not in known for parameter in held):
        raise ValueError(
            f"{foreign} of the {len(held)} tensors in the optimizer are no parameters of the "
            "model; make the optimizer with model.parameters(), of this very model"
        )


def _pair(returned: Any) -> tuple[Any, State | None]:
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(
            f"loss returned {_describe(returned)}; expected (scalar, state): a function that "
            "carries no state ends with `return value, None`"
        )
    return returned


def _check_loss(value: Any, step: int) -> None:
    if not isinstance(value, Tensor) or value.dim() or not value.requires_grad:
        raise ValueError(
            f"loss returned {_describe(value)} as the loss; expected a tensor with one number and "
            "its graph: take the mean, and neither detach it nor call item()"
        )
    _check_finite("the loss", value, step)


def _describe(value: Any) -> str:
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    graph = "with" if value.requires_grad else "without"
    return f"a tensor of shape {tuple(value.shape)} {graph} a graph"


def _check_finite(name: str, value: Tensor, step: int) -> None:
    if not math.isfinite(value.item()):
        raise FloatingPointError(
            f"{name} is {value.item()} at step {step}; the step was not taken: the weights are as "
            "before it. Try a smaller learning rate or a smaller clip; look for NaN in the batch"
        )


def _without_graph(state: State | None) -> State | None:
    def check(part: Tensor) -> Tensor:
        if part.requires_grad:
            raise ValueError(
                "the state that loss returned is still attached to the graph of the window before; "
                "detach it, e.g. with map_state(torch.Tensor.detach, state)"
            )
        return part

    return None if state is None else map_state(check, state)


@contextmanager
def _mode(model: nn.Module, *, training: bool) -> Generator[None, None, None]:
    modes = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _one_process(model: nn.Module) -> Fabric:
    device = next(model.parameters()).device
    devices = 1 if device.index is None else [device.index]
    # Else Fabric asks a cluster, where there is one, how many processes there are.
    alone = LightningEnvironment()
    return Fabric(accelerator=device.type, devices=devices, plugins=alone)


# --- What a killed run finds again --------------------------------------------------------------


class _Run:
    """The place in the data, the carried state and the history; and the file that keeps them."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: LRScheduler | None,
        batches: Iterable[Any],
        device: torch.device,
        path: str | Path | None,
        settings: dict[str, Any],
    ) -> None:
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.batches, self.device = batches, device
        self.path = None if path is None else Path(path)
        self.settings = settings | _settings(model, optimizer, scheduler)
        self.history, self.state, self.batch = History(), None, None
        # A pass over the batches: those to come, how many were read, the random states before it.
        self.coming, self.position, self.before_pass = iter(()), 0, {}

    def begin(self, steps: int) -> History:
        """Go back to where the checkpoint was written, if there is one, and start the clock."""
        if self.path is not None:
            _check_folder(self.path)
            if self.path.exists():
                self._restore(_read(self.path), steps)
        self.started = time.perf_counter() - self.history.seconds
        return self.history

    def next_batch(self) -> tuple[Any, State | None]:
        """Give the next batch and the carried state, which is None where a pass begins."""
        if not self._advance():
            self._new_pass()
            if not self._advance():
                raise ValueError(
                    "a pass over batches gave none; expected at least one batch, each time that "
                    "they are iterated"
                )
        return self.batch, _without_graph(self.state)

    def validate(self, validate: Validate | None, step: int) -> None:
        """Note the values of a validation, which does not disturb the training."""
        if validate is None:
            return
        states = self._random_states()
        with _mode(self.model, training=False), torch.no_grad():
            values = validate(self.model)
        self._set_random_states(states)
        if not isinstance(values, Mapping):
            raise TypeError(
                f"validate returned {_describe(values)}; expected names and numbers, such as "
                '{"validation": 2.5}'
            )
        for name, value in values.items():
            self.history.validation.setdefault(name, []).append((step, float(value)))

    def save(self, step: int) -> None:
        """Stop the clock and, if there is to be one, write the checkpoint."""
        self.history.seconds = time.perf_counter() - self.started
        if self.path is None:
            return
        saved = {
            "settings": self.settings,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler and self.scheduler.state_dict(),
            "history": vars(self.history),
            "state": _plain(self.state),
            "before pass": self.before_pass,
            "position": self.position,
            "batch": _digest(self.batch),
            "random": self._random_states(),
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
        self._set_random_states(saved["before pass"])
        self._new_pass()
        while self.position < saved["position"] and self._advance():
            pass
        if self.position < saved["position"] or _digest(self.batch) != saved["batch"]:
            raise self._another_run(f"batch {saved['position']} of its pass had other numbers")
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(saved["scheduler"])
        self.history = History(**saved["history"])
        self.state = move_data_to_device(_as_it_was(saved["state"]), self.device)
        self._set_random_states(saved["random"])

    def _another_run(self, difference: str) -> ValueError:
        return ValueError(
            f"the checkpoint {self.path} is of another run: {difference}. Go on with what it was "
            "made with, give another path, or delete the file to start anew"
        )

    def _new_pass(self) -> None:
        self.before_pass = self._random_states()
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

    def _random_states(self) -> dict[str, Any]:
        numpy = np.random.get_state(legacy=False)
        numpy["state"]["key"] = numpy["state"]["key"].tolist()
        states = {"torch": torch.get_rng_state(), "python": random.getstate(), "numpy": numpy}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        if (generator := self._own_generator()) is not None:
            states["batches"] = generator.get_state()
        return states

    def _set_random_states(self, states: Mapping[str, Any]) -> None:
        torch.set_rng_state(states["torch"])
        random.setstate(states["python"])
        np.random.set_state(states["numpy"])
        if self.device.type == "cuda" and "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], self.device)
        if (generator := self._own_generator()) is not None and "batches" in states:
            generator.set_state(states["batches"])

    def _own_generator(self) -> torch.Generator | None:
        """Give the generator of a DataLoader that was made with one."""
        generator = getattr(self.batches, "generator", None)
        return generator if isinstance(generator, torch.Generator) else None


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
