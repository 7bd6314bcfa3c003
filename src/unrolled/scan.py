r"""Recurrences that run in parallel: a linear recurrence as an associative scan, and MinGRU.

A recurrence :math:`h_t = a_t h_{t-1} + b_t`, number by number, needs no loop over time. Two
neighbouring steps in a row are again one step of this kind, whose :math:`a` is :math:`a_2 a_1` and
whose :math:`b` is :math:`a_2 b_1 + b_2`. So all pairs of neighbours are joined at once, then all
pairs of pairs, and so on: about :math:`2 \log_2 T` rounds for :math:`T` steps.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unrolled.checking import check_shape, check_whole
from unrolled.layers import check_input, zero_padding


def associative_scan(decay: Tensor, increment: Tensor, initial: Tensor | None = None) -> Tensor:
    r"""Compute :math:`h_t = a_t \odot h_{t-1} + b_t` for all steps, without a loop over them.

    The rounds join neighbours as in [1]_, about ``3 * time`` multiplications for a number in all.
    The backward pass is a scan as well, backwards in time, and keeps no more than the states.

    Parameters
    ----------
    decay
        :math:`a`, ``(batch, time, hidden)``.
    increment
        :math:`b`, of the same shape.
    initial
        :math:`h_0`, ``(batch, hidden)``; zeros without it.

    Returns
    -------
    Tensor
        All states, ``(batch, time, hidden)``.

    Raises
    ------
    ValueError
        If the shapes do not fit, or there is no step.

    References
    ----------
    .. [1] G. E. Blelloch, "Prefix sums and their applications", technical report CMU-CS-90-190,
       1990, section 1.4.1 (linear recurrences).

    Examples
    --------
    >>> half, ones = torch.full((1, 4, 1), 0.5), torch.ones(1, 4, 1)
    >>> associative_scan(half, ones).flatten()
    tensor([1.0000, 1.5000, 1.7500, 1.8750])
    """
    if decay.dim() != 3 or decay.shape != increment.shape or 0 in decay.shape:
        raise ValueError(
            f"decay has shape {tuple(decay.shape)} and increment {tuple(increment.shape)}; "
            "expected (batch, time, hidden) for both, with at least one step"
        )
    batch, _, hidden = increment.shape
    if initial is None:
        initial = increment.new_zeros(batch, hidden)
    check_shape("initial", initial, batch=batch, hidden=hidden)
    return _Scan.apply(decay, increment, initial)


class _Scan(torch.autograd.Function):
    """The scan with a backward pass of its own: autograd would keep every round."""

    @staticmethod
    def forward(ctx: Any, decay: Tensor, increment: Tensor, initial: Tensor) -> Tensor:
        first = decay[:, :1] * initial[:, None] + increment[:, :1]
        states = _join(decay, torch.cat([first, increment[:, 1:]], dim=1))
        ctx.save_for_backward(decay, initial, states)
        return states

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        decay, initial, states = ctx.saved_tensors
        # What reaches h_t: its own gradient, and through a_{t+1} what reaches h_{t+1}.
        ahead = torch.cat([decay[:, 1:], torch.zeros_like(decay[:, :1])], dim=1)
        reaches = _join(ahead.flip(1), grad.flip(1)).flip(1)  # (batch, time, hidden)
        before = torch.cat([initial[:, None], states[:, :-1]], dim=1)
        return reaches * before, reaches, reaches[:, 0] * decay[:, 0]


def _join(decay: Tensor, increment: Tensor) -> Tensor:
    """Give all states from a state of zeros: join neighbours, scan these, fill the others in."""
    time = increment.shape[1]
    if time == 1:
        return increment
    states = torch.empty_like(increment)
    pairs = 2 * (time // 2)
    first, second = decay[:, 0:pairs:2], decay[:, 1:pairs:2]
    joined = second * increment[:, 0:pairs:2] + increment[:, 1:pairs:2]
    states[:, 1::2] = _join(second * first, joined)
    states[:, 0] = increment[:, 0]
    states[:, 2::2] = decay[:, 2::2] * states[:, 1 : time - 1 : 2] + increment[:, 2::2]
    return states


class MinGRU(nn.Module):
    r"""A gated recurrence whose gate does not read the state, so that no loop is needed [1]_.

    .. math::
        z_t &= \sigma(W_z x_t + b_z) \\
        \tilde h_t &= W_h x_t + b_h \\
        h_t &= (1 - z_t) \odot h_{t-1} + z_t \odot \tilde h_t

    It is a layer as any other: ``layer(x, state=None, lengths=None) -> (outputs, state)``, to be
    stacked or run in both directions. The state is ``(batch, hidden)``.

    Parameters
    ----------
    input_size, hidden_size
        Numbers read at each step, and units.
    gate_bias
        What :math:`b_z` begins with. The lower, the longer a unit keeps what it has: at -3 a
        twentieth of it is replaced at each step.

    References
    ----------
    .. [1] L. Feng, F. Tung, M. O. Ahmed, Y. Bengio, H. Hajimirsadeghi, "Were RNNs all we needed?",
       2024, arXiv:2410.01201, section 3.1.

    Examples
    --------
    >>> layer = MinGRU(3, 5)
    >>> outputs, state = layer(torch.randn(2, 7, 3))
    >>> outputs.shape, state.shape
    (torch.Size([2, 7, 5]), torch.Size([2, 5]))
    """

    def __init__(self, input_size: int, hidden_size: int, gate_bias: float = 0.0) -> None:
        super().__init__()
        check_whole(input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.output_size = input_size, hidden_size
        bound = 1 / math.sqrt(input_size)
        self.weight_ih = nn.Parameter(torch.empty(2 * hidden_size, input_size))
        self.bias = nn.Parameter(torch.zeros(2 * hidden_size))
        nn.init.uniform_(self.weight_ih, -bound, bound)
        with torch.no_grad():
            self.bias[:hidden_size] = gate_bias

    def forward(
        self,
        x: Tensor,
        state: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Give ``outputs (batch, time, hidden)`` and the final state.

        ``x`` is ``(batch, time, input)``, ``lengths`` is ``(batch,)``; without it all steps count.
        Raises a ValueError or TypeError that says which shape or length does not fit.
        """
        batch = check_input(x, self.input_size)
        state = self.initial_state(batch) if state is None else state
        check_shape("the state", state, batch=batch, hidden=self.output_size)
        new, candidate = self.parts(zero_padding(x, lengths))
        outputs = associative_scan(1 - new, new * candidate, state)
        if lengths is None:
            return outputs, outputs[:, -1]
        last = (lengths - 1)[:, None, None].expand(-1, 1, self.output_size)
        return zero_padding(outputs, lengths), outputs.gather(1, last)[:, 0]

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give gates and candidates of all steps, each ``(batch, time, hidden)``."""
        gate, candidate = F.linear(x, self.weight_ih, self.bias).chunk(2, dim=2)
        return torch.sigmoid(gate), candidate

    def initial_state(self, batch: int) -> Tensor:
        """Give the state before the first step: zeros, ``(batch, hidden)``."""
        return self.bias.new_zeros(batch, self.output_size)

    def extra_repr(self) -> str:
        """Show the sizes where the module is printed."""
        return f"{self.input_size}, {self.output_size}"
