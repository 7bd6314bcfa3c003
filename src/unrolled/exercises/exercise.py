"""What an exercise is: declarations only, so that each chapter's module stays short."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Run = Callable[[Callable[..., Any], dict[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Case:
    """One call that a submission must answer.

    Parameters
    ----------
    name : str
        Reads on after "with": "a batch of one", "a first state of zeros".
    arguments : dict
        Name of each argument and its value, in the order of the signature. Floating tensors are
        `float64` where the exercise allows it, so that a hard-coded `float32` is found.
    """

    name: str
    arguments: dict[str, Any]


class Draw:
    """Random sizes and tensors for cases, from a generator of their own."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def sizes(self, count: int, low: int = 2, high: int = 7) -> list[int]:
        """Draw different sizes from `low` to `high`: two axes are never equal by chance."""
        order = torch.randperm(high - low + 1, generator=self.generator)
        return (order[:count] + low).tolist()

    def normal(self, *shape: int, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> Tensor:
        """Draw normal numbers with mean 0 and standard deviation `scale`, shape `shape`."""
        numbers = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        return (scale * numbers).to(dtype)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Draw whole numbers from `low` to `high`, both included, shape `shape`."""
        return torch.randint(low, high + 1, shape, generator=self.generator)


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer, and the message that it must get.

    A submission that behaves as `code` does, in every case, gets `message`: what it computes
    counts, not how it is written.
    """

    code: Callable[..., Any]
    message: str

    @property
    def name(self) -> str:
        """Name of the wrong function or class, in words."""
        spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.code.__name__)
        return spaced.replace("_", " ").strip().lower()

    @property
    def source(self) -> str:
        """Text of the wrong function."""
        return inspect.getsource(self.code)


@dataclass(frozen=True)
class Exercise:
    """A code exercise that answers back.

    Parameters
    ----------
    id : str
        Chapter and number, as "02.1".
    title : str
        A few words, without a full stop.
    solution : callable
        The reference: a function, or a class with the methods that a submission must have.
    cases : callable
        Draws the cases, the most general one first.
    results : tuple of str
        What is returned, in words, as in "your final state has shape ..."; more than one name
        means a tuple, or the keys that `run` gives.
    axes : mapping
        Names of the axes of arguments and results, as `{"x": ("batch", "time", "input")}`.
    hints : tuple of str
        From a nudge to nearly the answer.
    mistakes : tuple of Mistake
        At least three that people really make.
    inherited : tuple of Mistake
        Mistakes of an earlier exercise that can come back here: recognised, but not listed again.
    gradients : bool
        Whether the gradients of all floating arguments are compared, too.
    run : callable, optional
        `run(submission, arguments) -> {name: result}` where a plain call is not enough, as for a
        class. It stops early where going on makes no sense: missing names are not compared.
    start : callable, optional
        Code with faults that the chapter gives to be repaired, in place of an empty stub. Handed in
        as it stands, it is no attempt.
    """

    id: str
    title: str
    solution: Callable[..., Any]
    cases: Callable[[Draw], list[Case]]
    results: tuple[str, ...]
    hints: tuple[str, ...]
    mistakes: tuple[Mistake, ...]
    inherited: tuple[Mistake, ...] = ()
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gradients: bool = False
    run: Run | None = None
    start: Callable[..., Any] | None = None

    @property
    def chapter(self) -> str:
        """The two digits of the chapter."""
        return self.id.partition(".")[0]

    @property
    def source(self) -> str:
        """Text of the reference solution."""
        return inspect.getsource(self.solution)
