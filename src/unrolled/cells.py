"""One step of time: the cell of each recurrent network.

A cell takes one time step, ``cell(x_t, state) -> (output, state)``. It has two halves, so that a
layer can do the first one for all steps in a single matrix product:

* ``project(x)``: what the input contributes, for any number of leading axes;
* ``step(projected_t, state)``: what depends on the state, one step after the other.

Letters of the shapes: ``batch`` sequences, ``input`` features, ``hidden`` units.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unrolled.checking import check_choice, check_whole

NONLINEARITIES = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "identity": lambda z: z,
}


def _uniform(bound: float, *shape: int) -> nn.Parameter:
    """Uniform in ±bound; ``torch.nn`` draws its recurrent weights with 1/sqrt(hidden)."""
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))


class Cell(nn.Module):
    """What all cells share: a whole step made of the two halves, and the first state."""

    def __init__(self, input_size: int, hidden_size: int, gates: int) -> None:
        super().__init__()
        check_whole(input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        bound = 1 / math.sqrt(hidden_size)
        self.weight_ih = _uniform(bound, gates * hidden_size, input_size)
        self.weight_hh = _uniform(bound, gates * hidden_size, hidden_size)
        self.bias = _uniform(bound, gates * hidden_size)

    def project(self, x: Tensor) -> Tensor:
        """Give the input's half: ``(..., input)`` to ``(..., gates * hidden)``."""
        return F.linear(x, self.weight_ih, self.bias)

    def step(self, projected_t: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Give output ``(batch, hidden)`` and new state; each kind of cell says how."""
        raise NotImplementedError

    def forward(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Take one step: ``x_t (batch, input)`` and the state of ``batch``, zeros without one.

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

    def initial_state(self, batch: int) -> Any:
        """Give the state before the first step: zeros, ``(batch, hidden)``."""
        return self.weight_hh.new_zeros(batch, self.hidden_size)

    def check_state(self, state: Any, batch: int) -> None:
        """Raise a ``ValueError`` unless ``state`` is a tensor ``(batch, hidden)``."""
        expected = (batch, self.hidden_size)
        if not isinstance(state, Tensor) or state.shape != expected:
            came = tuple(state.shape) if isinstance(state, Tensor) else type(state).__name__
            raise ValueError(f"the state is {came}; expected a tensor (batch, hidden) = {expected}")

    def extra_repr(self) -> str:
        """Show the sizes where the module is printed."""
        return f"{self.input_size}, {self.hidden_size}"


class RNNCell(Cell):
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
        ``"tanh"``, ``"sigmoid"`` (Elman's own), ``"relu"``, or ``"identity"`` (a linear recurrence,
        to see what tanh is for).

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
        super().__init__(input_size, hidden_size, gates=1)
        check_choice(NONLINEARITIES, nonlinearity=nonlinearity)
        self.nonlinearity = nonlinearity

    def step(self, projected_t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Give output and new state, each ``(batch, hidden)``."""
        z = projected_t + F.linear(state, self.weight_hh)  # (batch, hidden)
        h = NONLINEARITIES[self.nonlinearity](z)
        return h, h

    def extra_repr(self) -> str:
        """Show the sizes and the nonlinearity where the module is printed."""
        return f"{super().extra_repr()}, nonlinearity={self.nonlinearity!r}"


class GRUGates(NamedTuple):
    """The gates of a GRU, reset ``r`` and update ``z``, and the candidate ``n``."""

    r: Tensor
    z: Tensor
    n: Tensor


class GRUCell(Cell):
    r"""One step of a gated recurrent unit [1]_.

    With the gates :math:`r_t` (reset) and :math:`z_t` (update) and the candidate :math:`n_t`,

    .. math::

        r_t &= \sigma(W_{ir} x_t + b_r + W_{hr} h_{t-1}) \\
        z_t &= \sigma(W_{iz} x_t + b_z + W_{hz} h_{t-1}) \\
        n_t &= \tanh(W_{in} x_t + b_n + r_t \odot (W_{hn} h_{t-1} + b_{hn})) \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    This is ``reset="after"``, the cell of cuDNN and ``torch.nn``. With ``reset="before"``, as in
    [1]_, the reset gate acts on the state instead:

    .. math:: n_t = \tanh(W_{in} x_t + b_n + W_{hn} (r_t \odot h_{t-1}))

    Parameters
    ----------
    input_size
        Number of features of :math:`x_t`.
    hidden_size
        Number of units of the state.
    reset
        Where the reset gate acts: ``"after"`` the product with :math:`W_{hn}`, or ``"before"`` it.

    Attributes
    ----------
    weight_ih : torch.nn.Parameter
        :math:`W_{ir}, W_{iz}, W_{in}` below each other, shape ``(3 * hidden, input)``.
    weight_hh : torch.nn.Parameter
        :math:`W_{hr}, W_{hz}, W_{hn}` below each other, shape ``(3 * hidden, hidden)``.
    bias : torch.nn.Parameter
        :math:`b_r, b_z, b_n` after each other, shape ``(3 * hidden,)``.
    bias_hn : torch.nn.Parameter
        :math:`b_{hn}`, shape ``(hidden,)``; with ``reset="after"`` only, where it is not the same
        as a part of :math:`b_n`.

    Raises
    ------
    ValueError
        If a size is below 1 or ``reset`` is unknown.

    References
    ----------
    .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
       machine translation", 2014, arXiv:1406.1078, equations 5 to 8. Many later texts give the
       update gate the other sign, among them J. Chung et al., "Empirical evaluation of gated
       recurrent neural networks on sequence modeling", 2014, arXiv:1412.3555, equation 4.
    """

    def __init__(self, input_size: int, hidden_size: int, reset: str = "after") -> None:
        super().__init__(input_size, hidden_size, gates=3)
        check_choice(("after", "before"), reset=reset)
        self.reset = reset
        if reset == "after":
            self.bias_hn = _uniform(1 / math.sqrt(hidden_size), hidden_size)

    def gates(self, projected_t: Tensor, state: Tensor) -> GRUGates:
        """Give both gates and the candidate, each ``(batch, hidden)``."""
        input_gates, input_n = projected_t.split([2 * self.hidden_size, self.hidden_size], 1)
        if self.reset == "after":
            product = F.linear(state, self.weight_hh)  # (batch, 3 * hidden)
            gates, product_n = product.split([2 * self.hidden_size, self.hidden_size], 1)
            r, z = torch.sigmoid(input_gates + gates).chunk(2, 1)  # (batch, hidden) each
            n = torch.tanh(input_n + r * (product_n + self.bias_hn))  # (batch, hidden)
        else:
            weights, weight_n = self.weight_hh.split([2 * self.hidden_size, self.hidden_size])
            r, z = torch.sigmoid(input_gates + F.linear(state, weights)).chunk(2, 1)
            n = torch.tanh(input_n + F.linear(r * state, weight_n))
        return GRUGates(r, z, n)

    def step(self, projected_t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Give output and new state, each ``(batch, hidden)``."""
        _, z, n = self.gates(projected_t, state)  # (batch, hidden) each
        h = (1 - z) * n + z * state
        return h, h

    def extra_repr(self) -> str:
        """Show the sizes and the place of the reset gate where the module is printed."""
        return f"{super().extra_repr()}, reset={self.reset!r}"


class LSTMState(NamedTuple):
    """The state of an LSTM: output ``h`` and cell ``c``, ``(batch, hidden)`` each."""

    h: Tensor
    c: Tensor


class LSTMGates(NamedTuple):
    """The gates of an LSTM, input ``i``, forget ``f`` and output ``o``, and the candidate ``g``."""

    i: Tensor
    f: Tensor
    g: Tensor
    o: Tensor


class LSTMCell(Cell):
    r"""One step of a long short-term memory [1]_ with forget gates [2]_.

    With the gates :math:`i_t` (input), :math:`f_t` (forget), :math:`o_t` (output) and the candidate
    :math:`g_t`,

    .. math::

        i_t &= \sigma(W_{ii} x_t + W_{hi} h_{t-1} + b_i) \\
        f_t &= \sigma(W_{if} x_t + W_{hf} h_{t-1} + b_f) \\
        g_t &= \tanh(W_{ig} x_t + W_{hg} h_{t-1} + b_g) \\
        o_t &= \sigma(W_{io} x_t + W_{ho} h_{t-1} + b_o) \\
        c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
        h_t &= o_t \odot \tanh(c_t)

    Parameters
    ----------
    input_size
        Number of features of :math:`x_t`.
    hidden_size
        Number of units of ``h`` and of ``c``.
    forget_bias
        What is added to the forget gate's bias :math:`b_f` when it is made, so that the cell begins
        by keeping what it has [2]_.

    Attributes
    ----------
    weight_ih : torch.nn.Parameter
        For :math:`i, f, g, o` below each other, shape ``(4 * hidden, input)``.
    weight_hh : torch.nn.Parameter
        For :math:`i, f, g, o` below each other, shape ``(4 * hidden, hidden)``.
    bias : torch.nn.Parameter
        :math:`b_i, b_f, b_g, b_o` after each other, shape ``(4 * hidden,)``.

    Raises
    ------
    ValueError
        If a size is below 1.

    References
    ----------
    .. [1] S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997.
    .. [2] F. Gers, J. Schmidhuber, F. Cummins, "Learning to forget: continual prediction with
       LSTM", Neural Computation 12(10), 2000, equations 1 to 6.
    """

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size, gates=4)
        with torch.no_grad():
            self.bias[hidden_size : 2 * hidden_size] += forget_bias

    def gates(self, projected_t: Tensor, state: LSTMState) -> LSTMGates:
        """Give the three gates and the candidate, each ``(batch, hidden)``."""
        z = projected_t + F.linear(state.h, self.weight_hh)  # (batch, 4 * hidden)
        i, f, g, o = z.chunk(4, dim=1)  # (batch, hidden) each
        return LSTMGates(torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o))

    def step(self, projected_t: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Give the output ``(batch, hidden)``, which is the new ``h``, and the new state."""
        i, f, g, o = self.gates(projected_t, state)  # (batch, hidden) each
        c = f * state.c + i * g
        h = o * torch.tanh(c)
        return h, LSTMState(h, c)

    def initial_state(self, batch: int) -> LSTMState:
        """Give the state before the first step: zeros, ``(batch, hidden)`` for ``h`` and ``c``."""
        return LSTMState(super().initial_state(batch), super().initial_state(batch))

    def check_state(self, state: LSTMState, batch: int) -> None:
        """Raise a ``ValueError`` unless ``state`` is an ``LSTMState`` of ``(batch, hidden)``."""
        if not isinstance(state, LSTMState):
            raise ValueError(
                f"the state is {type(state).__name__}; expected an LSTMState(h, c), as an LSTM "
                "gives it back"
            )
        for part in state:
            super().check_state(part, batch)
