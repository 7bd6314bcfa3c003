"""One step of time: the cell of each recurrent network.

A cell takes one time step, ``cell(x_t, state) -> (output, state)``. It has two halves, so that a
layer can do the first one for all steps in a single matrix product:

* ``project(x)``: what the input contributes, for any number of leading axes;
* ``step(projected_t, state)``: what depends on the state, one step after the other.

Letters of the shapes: ``batch`` sequences, ``input`` features, ``hidden`` units.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NONLINEARITIES = {"tanh": torch.tanh, "relu": torch.relu, "identity": lambda z: z}


def _uniform(bound: float, *shape: int) -> nn.Parameter:
    """Uniform in ±bound; ``torch.nn`` draws its recurrent weights with 1/sqrt(hidden)."""
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{name} is {size!r}; expected a whole number of at least 1")


def _check_choice(name: str, choice: str, known: Collection[str]) -> None:
    if choice not in known:
        expected = ", ".join(map(repr, known))
        raise ValueError(f"{name} is {choice!r}; expected one of {expected}")


class RNNCell(nn.Module):
    r"""One step of a plain recurrent network [1]_.

    .. math:: h_t = \tanh(W_{ih}\, x_t + W_{hh}\, h_{t-1} + b)

    The output of a step is its new state: both are :math:`h_t`.

    Parameters
    ----------
    input_size
        Number of features of :math:`x_t`.
    hidden_size
        Number of units of the state.
    nonlinearity
        ``"tanh"``, ``"relu"``, or ``"identity"`` (a linear recurrence, to see what tanh is for).

    Attributes
    ----------
    weight_ih : torch.nn.Parameter
        :math:`W_{ih}`, shape ``(hidden, input)``.
    weight_hh : torch.nn.Parameter
        :math:`W_{hh}`, shape ``(hidden, hidden)``.
    bias : torch.nn.Parameter
        :math:`b`, shape ``(hidden,)``; ``torch.nn.RNN`` has two, which only ever act as their sum.

    Raises
    ------
    ValueError
        If a size is below 1 or the nonlinearity is unknown.

    References
    ----------
    .. [1] J. L. Elman, "Finding structure in time", Cognitive Science 14(2), 1990, Figure 2.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        nonlinearity: str = "tanh",
    ) -> None:
        super().__init__()
        _check_sizes(input_size=input_size, hidden_size=hidden_size)
        _check_choice("nonlinearity", nonlinearity, NONLINEARITIES)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.nonlinearity = nonlinearity
        bound = 1 / math.sqrt(hidden_size)
        self.weight_ih = _uniform(bound, hidden_size, input_size)
        self.weight_hh = _uniform(bound, hidden_size, hidden_size)
        self.bias = _uniform(bound, hidden_size)

    def project(self, x: Tensor) -> Tensor:
        """Give the input's half: ``(..., input)`` to ``(..., hidden)``."""
        return F.linear(x, self.weight_ih, self.bias)

    def step(self, projected_t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Give output and new state, each ``(batch, hidden)``."""
        z = projected_t + F.linear(state, self.weight_hh)  # (batch, hidden)
        h = NONLINEARITIES[self.nonlinearity](z)
        return h, h

    def forward(self, x_t: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Take one step: ``x_t (batch, input)`` and ``state (batch, hidden)``, zeros without one.

        Raises
        ------
        ValueError
            If ``x_t`` or ``state`` has another shape.
        """
        if x_t.dim() != 2 or x_t.shape[1] != self.input_size:
            raise ValueError(
                f"x_t has shape {tuple(x_t.shape)}; expected (batch, {self.input_size}): "
                "a cell takes one time step, a layer takes a whole sequence"
            )
        if state is None:
            state = self.initial_state(len(x_t))
        self.check_state(state, len(x_t))
        return self.step(self.project(x_t), state)

    def initial_state(self, batch: int) -> Tensor:
        """Give the state before the first step: zeros, ``(batch, hidden)``."""
        return self.weight_hh.new_zeros(batch, self.hidden_size)

    def check_state(self, state: Tensor, batch: int) -> None:
        """Raise a ``ValueError`` unless ``state`` is a tensor ``(batch, hidden)``."""
        expected = (batch, self.hidden_size)
        if not isinstance(state, Tensor) or state.shape != expected:
            came = tuple(state.shape) if isinstance(state, Tensor) else type(state).__name__
            raise ValueError(f"the state is {came}; expected a tensor (batch, hidden) = {expected}")

    def extra_repr(self) -> str:
        """Show the sizes where the module is printed."""
        return f"{self.input_size}, {self.hidden_size}, nonlinearity={self.nonlinearity!r}"
