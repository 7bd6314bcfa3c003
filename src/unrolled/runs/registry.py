"""Recorded runs: results that take longer than a page may, kept with all that repeats them."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import json
import math
import os
import pkgutil
import platform
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import unrolled
from unrolled.processes import launched, once

FIRST_STEPS = 3
Training = Generator[float, None, dict[str, Any]]

_experiments: dict[str, Experiment] = {}


@dataclass(frozen=True)
class Experiment:
    """A training that is repeated for several variants and seeds.

    ``function(seed=..., **settings)`` is a generator: it yields the loss of each step and returns a
    dictionary of results. A variant is a set of settings that differ from the common ones.
    ``data()`` is a fingerprint of what the function reads: runs on other data are not comparable,
    and Python's own library may change with a release.
    """

    name: str
    question: str
    function: Callable[..., Training]
    variants: Mapping[str, Mapping[str, Any]]
    seeds: Sequence[int]
    settings: Mapping[str, Any]
    data: Callable[[], str]

    def start(self, variant: str, seed: int) -> Training:
        """Give the generator of one training."""
        return self.function(seed=seed, **{**self.settings, **self.variants[variant]})

    def first_losses(self, variant: str) -> list[float]:
        """Give the losses of the first steps with the first seed."""
        return list(itertools.islice(self.start(variant, self.seeds[0]), FIRST_STEPS))


def experiment(
    *,
    variants: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    data: Callable[[], str],
) -> Callable[[Callable[..., Training]], Callable[..., Training]]:
    """Enter a function into the list of experiments, by its name and the module that holds it.

    A function ``highlighting_memory`` in ``unrolled/runs/ch02.py`` is the experiment
    ``02-highlighting-memory``; the first line of its docstring is the question that it answers.
    """

    def enter(function: Callable[..., Training]) -> Callable[..., Training]:
        chapter = function.__module__.rpartition(".ch")[2]
        name = f"{chapter}-{function.__name__.replace('_', '-')}"
        question = function.__doc__.strip().splitlines()[0]
        _experiments[name] = Experiment(
            name, question, function, variants, list(seeds), settings, data
        )
        return function

    return enter


def experiments() -> dict[str, Experiment]:
    """Give all experiments of all chapters by name."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith("ch"):
            importlib.import_module(f"unrolled.runs.{module.name}")
    return dict(sorted(_experiments.items()))


def find(name: str) -> Experiment:
    """Give an experiment by its name, or raise a ``ValueError`` that lists the names."""
    known = experiments()
    if name not in known:
        raise ValueError(f"no experiment {name!r}; there are {', '.join(known)}")
    return known[name]


def folder() -> Path:
    """Give the folder of the recorded runs: of the checkout, or of the installed package."""
    installed = Path(__file__).parent / "recorded"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "runs"


def record(
    name: str, to: Path | None = None, progress: Callable[[str], None] = print
) -> dict[str, Any]:
    """Run an experiment for all its variants and seeds, and write ``NAME.json``.

    Parameters
    ----------
    name
        Of the experiment, such as ``"02-highlighting-memory"``.
    to
        Folder; the project's ``runs/`` without one.
    progress
        Called with a line of text for each training that has ended.

    Returns
    -------
    dict
        What was written: question, settings, variants, seeds, results (by variant, then by seed),
        first losses, seconds, machine, versions, and the command that repeats it.

    Raises
    ------
    ValueError
        If there is no experiment of that name.
    FloatingPointError
        If a loss is not a number, or infinite.
    """
    chosen = find(name)
    target = (to or folder()) / f"{name}.json"
    processes, options = "one thread", ""
    if many := launched():
        processes = f"{many.world_size} processes ({many.device.type})"
        options = f" --devices {many.strategy.num_processes} --nodes {many.strategy.num_nodes}"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one thread, so that a sum is always added up in one order
    try:
        begin, results = time.perf_counter(), {}
        for variant in chosen.variants:
            results[variant] = {}
            for seed in chosen.seeds:
                results[variant][str(seed)] = _train(chosen.start(variant, seed))
                minutes = (time.perf_counter() - begin) / 60
                done = f"{name}: {variant}, seed {seed} done after {minutes:.1f} min"
                once(partial(progress, done))
        recorded = {
            "name": name,
            "question": chosen.question,
            "settings": dict(chosen.settings),
            "variants": {variant: dict(options) for variant, options in chosen.variants.items()},
            "seeds": list(chosen.seeds),
            "data": chosen.data(),
            "results": results,
            "first_losses": {v: chosen.first_losses(v) for v in chosen.variants},
            "machine": f"{processes} of {machine()}",
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "unrolled": unrolled.__version__,
            },
            "command": f"python -m unrolled train {name}{options}",
        }
    finally:
        torch.set_num_threads(threads)
    once(partial(_write, target, recorded))
    return recorded


def load(name: str) -> dict[str, Any]:
    """Give a recorded run, as :func:`record` wrote it.

    Raises
    ------
    ValueError
        If no run of that name is recorded.
    """
    path = folder() / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder().glob("*.json"))) or "none"
        raise ValueError(f"no recorded run {name!r}; recorded are: {known}")
    return json.loads(path.read_text(encoding="utf-8"))


def fingerprint(*tensors: Tensor) -> str:
    """Give a short text that changes when a number in the tensors does."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _write(target: Path, recorded: dict[str, Any]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".part")
    unfinished.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")
    os.replace(unfinished, target)


def _train(training: Training) -> dict[str, Any]:
    begin = time.process_time()  # what else the machine does is not counted
    step = 0
    while True:
        step += 1
        try:
            loss = next(training)
        except StopIteration as end:
            return rounded(end.value) | {"seconds": round(time.process_time() - begin, 1)}
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss} at step {step}: what comes after it measures nothing. Find "
                "out why, or let the experiment itself end there and return what it found"
            )


def rounded(value: Any) -> Any:
    """Round results to five digits after the point: more would not survive another machine."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list) else value


def machine() -> str:
    """Say in words on what machine this runs."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return f"{os.cpu_count()} cores, {model}, {platform.system()}"
