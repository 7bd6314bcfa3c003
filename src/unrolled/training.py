"""The training loop: one for every model of the book, on one processor or on many.

:func:`train` is the loop, to be read and to be used step by step. :func:`fit` runs it to its end
and shows how far it is. What makes a run survive being killed is :mod:`unrolled.checkpoints`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from tqdm import tqdm

from unrolled.checking import check_whole
from unrolled.checkpoints import Run
from unrolled.figures import curves
from unrolled.layers import State
from unrolled.processes import Loss, Processes, launched

Validate = Callable[[nn.Module], Mapping[str, float]]

# Fabric tells of the hardware that it finds; a training in a page prints nothing.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
# But not that it ends this process because another one is gone.
logging.getLogger("lightning_fabric.strategies.launchers.subprocess_script").setLevel(logging.INFO)


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
    _check_arguments(model, batches, optimizer, scheduler, steps=steps, clip=clip, every=every)
    fabric = fabric or launched() or _one_process(model)
    history, settings = History(), {"seed": seed, "clip": clip}
    processes = Processes(fabric)
    run = Run(model, optimizer, scheduler, batches, history, processes, checkpoint, settings)
    wrapped, stepper = fabric.setup(model, optimizer)
    loss = processes.shared(loss, seed, history)  # as it was, if this process is alone
    torch.manual_seed(seed)
    with processes.together(), _mode(model, training=True):
        run.begin(steps)
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
                with run.undisturbed():
                    _validate(validate, model, history, step)
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
        the same arguments, a run that was killed goes on from there and ends with the same weights
        (on processors bit for bit; GPUs add some sums up in another order each time); a run that
        had ended gives its history and weights at once; one that is asked
        for more steps goes on.
    seed
        Given to ``torch.manual_seed`` at the start. Batches and dropout draw from that generator,
        which is left as the last step leaves it.
    fabric
        Where to train, launched; without it in this process, on the device on which the model is.
        Batches are moved there. Of many processes, each takes its rows of each batch, and all end
        with the weights that one process gives, to rounding: for this, ``loss`` is a mean over what
        the ``weight`` of a batch counts, or over its rows where it has none. Each process validates
        for itself, and the first writes the checkpoint.

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
    RuntimeError
        If another process of the training is gone.

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

    fabric = fabric or launched()
    quiet = {} if fabric is None or fabric.is_global_zero else {"disable": True}
    with tqdm(run(), total=steps, leave=False, unit="step", **quiet) as bar:
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
    scheduler: LRScheduler | None,
    *,
    steps: int,
    clip: float | None,
    every: int,
) -> None:
    check_whole(steps=steps, every=every)
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
    if scheduler is not None and scheduler.optimizer is not optimizer:
        raise ValueError(
            "the scheduler was made with another optimizer; make it with the one that is given as "
            "optimizer"
        )
    if isinstance(scheduler, ReduceLROnPlateau):
        raise TypeError(
            "scheduler is a ReduceLROnPlateau, which has to be told a value at each step; expected "
            "one that goes by the number of steps alone, such as CosineAnnealingLR"
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


# --- What the loop rests on ---------------------------------------------------------------------


def _one_process(model: nn.Module) -> Fabric:
    device = next(model.parameters()).device
    devices = 1 if device.index is None else [device.index]
    # Else Fabric asks a cluster, where there is one, how many processes there are.
    alone = LightningEnvironment()
    return Fabric(accelerator=device.type, devices=devices, plugins=alone)


def _validate(validate: Validate | None, model: nn.Module, history: History, step: int) -> None:
    """Note the values of a validation in the history."""
    if validate is None:
        return
    with _mode(model, training=False), torch.no_grad():
        values = validate(model)
    if not isinstance(values, Mapping):
        raise TypeError(
            f"validate returned {_describe(values)}; expected names and numbers, such as "
            '{"validation": 2.5}'
        )
    for name, value in values.items():
        history.validation.setdefault(name, []).append((step, float(value)))


@contextmanager
def _mode(model: nn.Module, *, training: bool) -> Generator[None, None, None]:
    modes = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
