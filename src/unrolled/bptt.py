"""Gradients of a recurrence: computed by hand, and measured.

Backpropagation through time without autograd: the forward passes keep every intermediate under the
name that it has in the text, the backward passes go through them from the last step to the first.
``gradient_flow`` measures how much of a gradient survives the way back through any layer.

Letters of the shapes: ``batch`` sequences, ``time`` steps, ``input`` features, ``hidden`` units.
States have one entry more than there are steps: ``h[:, 0]`` is the state before the first step, and
``h[:, t]`` the one after step t, counted from 1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from unrolled.cells import NONLINEARITIES, LSTMState
from unrolled.checking import check_choice, check_shape, check_whole
from unrolled.layers import check_input, map_state, only_cell

#: The slope of each nonlinearity, from the state that it gave.
SLOPES = {
    "tanh": lambda h: 1 - h**2,
    "sigmoid": lambda h: h * (1 - h),
    "relu": lambda h: (h > 0).to(h),
    "identity": torch.ones_like,
}


class RNNTrace(NamedTuple):
    """What the forward pass of a plain network has computed, for the way back.

    ``x (batch, time, input)``; ``z (batch, time, hidden)``, the sums before the nonlinearity;
    ``h (batch, time + 1, hidden)``, the states, the first one before step 1.
    """

    x: Tensor
    z: Tensor
    h: Tensor


class RNNGradients(NamedTuple):
    """The gradients of a loss by everything that a plain network is made of.

    ``x``, ``h_0``, ``weight_ih``, ``weight_hh`` and ``bias`` have the shapes of what they belong
    to. ``h`` and ``z``, both ``(batch, time, hidden)``, are those by the state and by the sum of
    each step, with all that comes back from later steps.
    """

    x: Tensor
    h_0: Tensor
    weight_ih: Tensor
    weight_hh: Tensor
    bias: Tensor
    h: Tensor
    z: Tensor


@torch.no_grad()
def rnn_forward(
    x: Tensor,
    h_0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor,
    nonlinearity: str = "tanh",
) -> RNNTrace:
    """Run a plain recurrent network, and keep what its backward pass needs.

    Parameters
    ----------
    x
        Inputs, ``(batch, time, input)``.
    h_0
        State before the first step, ``(batch, hidden)``.
    weight_ih, weight_hh, bias
        ``(hidden, input)``, ``(hidden, hidden)``, ``(hidden,)``, as an
        :class:`~unrolled.cells.RNNCell` has them.
    nonlinearity
        One of those that an :class:`~unrolled.cells.RNNCell` knows.

    Returns
    -------
    RNNTrace
        ``x``, ``z`` and ``h``; without a graph of autograd.

    Raises
    ------
    ValueError
        If a shape does not fit the others, or the nonlinearity is unknown.

    Examples
    --------
    >>> x, h_0 = torch.randn(2, 5, 3), torch.zeros(2, 4)
    >>> trace = rnn_forward(x, h_0, torch.randn(4, 3), torch.randn(4, 4), torch.zeros(4))
    >>> trace.z.shape, trace.h.shape
    (torch.Size([2, 5, 4]), torch.Size([2, 6, 4]))
    """
    _check_weights(x, weight_ih, weight_hh, bias, gates=1)
    check_shape("h_0", h_0, batch=len(x), hidden=weight_hh.shape[1])
    check_choice(NONLINEARITIES, nonlinearity=nonlinearity)
    h, sums = [h_0], []
    for x_t in x.unbind(dim=1):
        z_t = x_t @ weight_ih.T + h[-1] @ weight_hh.T + bias  # (batch, hidden)
        sums.append(z_t)
        h.append(NONLINEARITIES[nonlinearity](z_t))
    return RNNTrace(x, torch.stack(sums, dim=1), torch.stack(h, dim=1))


@torch.no_grad()
def rnn_backward(
    trace: RNNTrace,
    grad_outputs: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    nonlinearity: str = "tanh",
    window: int | None = None,
) -> RNNGradients:
    """Go back through time [1]_: from the last step to the first, adding up what each step says.

    Parameters
    ----------
    trace
        Of :func:`rnn_forward`.
    grad_outputs
        What the loss sends into the output of each step directly, ``(batch, time, hidden)``; zeros
        where it does not look.
    weight_ih, weight_hh, nonlinearity
        Those of the forward pass.
    window
        Truncate: no gradient crosses from one window of so many steps to the window before, as when
        the state is detached between them. Without it the gradient is the true one.

    Returns
    -------
    RNNGradients
        By the inputs, the first state, the weights, and by the states and sums of each step.

    Raises
    ------
    ValueError
        If a shape does not fit the trace, the nonlinearity is unknown, or the window is below 1.

    References
    ----------
    .. [1] P. J. Werbos, "Backpropagation through time: what it does and how to do it", Proceedings
       of the IEEE 78(10), 1990.

    Examples
    --------
    >>> x, h_0 = torch.randn(2, 5, 3), torch.zeros(2, 4)
    >>> weight_ih, weight_hh = torch.randn(4, 3), torch.randn(4, 4)
    >>> trace = rnn_forward(x, h_0, weight_ih, weight_hh, torch.zeros(4))
    >>> at_the_last_step = torch.zeros(2, 5, 4)
    >>> at_the_last_step[:, -1] = 1
    >>> gradients = rnn_backward(trace, at_the_last_step, weight_ih, weight_hh)
    >>> gradients.weight_hh.shape
    torch.Size([4, 4])
    """
    x, z, h = trace
    _check_weights(x, weight_ih, weight_hh, None, gates=1)
    batch, time, hidden = z.shape
    check_shape("grad_outputs", grad_outputs, batch=batch, time=time, hidden=hidden)
    check_choice(SLOPES, nonlinearity=nonlinearity)
    borders = _borders(time, window)
    slope = SLOPES[nonlinearity](h[:, 1:])  # (batch, time, hidden)
    grad_h, grad_z = torch.empty_like(z), torch.empty_like(z)
    from_later = torch.zeros_like(h[:, 0])  # no step comes after the last
    for t in reversed(range(time)):
        grad_h[:, t] = grad_outputs[:, t] + from_later  # two ways lead from h_t to the loss
        grad_z[:, t] = grad_h[:, t] * slope[:, t]
        from_later = grad_z[:, t] @ weight_hh  # (batch, hidden): through z_t into h_{t-1}
        if t in borders:
            from_later = torch.zeros_like(from_later)
    return RNNGradients(
        x=grad_z @ weight_ih,
        h_0=from_later,
        weight_ih=torch.einsum("bth,bti->hi", grad_z, x),  # one weight, a term for each step
        weight_hh=torch.einsum("bth,btk->hk", grad_z, h[:, :-1]),
        bias=grad_z.sum(dim=(0, 1)),
        h=grad_h,
        z=grad_z,
    )


class LSTMTrace(NamedTuple):
    """What the forward pass of an LSTM has computed, for the way back.

    ``x (batch, time, input)``; the gates ``i``, ``f``, ``o`` and the candidate ``g``,
    ``(batch, time, hidden)`` each; ``c`` and ``h``, ``(batch, time + 1, hidden)``, the first ones
    before step 1.
    """

    x: Tensor
    i: Tensor
    f: Tensor
    g: Tensor
    o: Tensor
    c: Tensor
    h: Tensor


class LSTMGradients(NamedTuple):
    """The gradients of a loss by everything that an LSTM is made of.

    ``x``, ``state``, ``weight_ih``, ``weight_hh`` and ``bias`` have the shapes of what they belong
    to. ``h`` and ``c``, ``(batch, time, hidden)``, and ``z``, ``(batch, time, 4 * hidden)``, are
    those by the state and by the sums of each step, with all that comes back from later steps.
    """

    x: Tensor
    state: LSTMState
    weight_ih: Tensor
    weight_hh: Tensor
    bias: Tensor
    h: Tensor
    c: Tensor
    z: Tensor


@torch.no_grad()
def lstm_forward(
    x: Tensor, state: LSTMState, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor
) -> LSTMTrace:
    """Run a long short-term memory, and keep what its backward pass needs.

    Parameters
    ----------
    x
        Inputs, ``(batch, time, input)``.
    state
        ``h`` and ``c`` before the first step, ``(batch, hidden)`` each.
    weight_ih, weight_hh, bias
        ``(4 * hidden, input)``, ``(4 * hidden, hidden)``, ``(4 * hidden,)``, as an
        :class:`~unrolled.cells.LSTMCell` has them, in the order i, f, g, o.

    Returns
    -------
    LSTMTrace
        The inputs, gates, candidates and states; without a graph of autograd.

    Raises
    ------
    ValueError
        If a shape does not fit the others.

    Examples
    --------
    >>> state = LSTMState(torch.zeros(2, 4), torch.zeros(2, 4))
    >>> weights = torch.randn(16, 3), torch.randn(16, 4), torch.zeros(16)
    >>> trace = lstm_forward(torch.randn(2, 5, 3), state, *weights)
    >>> trace.f.shape, trace.c.shape
    (torch.Size([2, 5, 4]), torch.Size([2, 6, 4]))
    """
    _check_weights(x, weight_ih, weight_hh, bias, gates=4)
    for name, part in zip(("h", "c"), state, strict=True):
        check_shape(f"the state's {name}", part, batch=len(x), hidden=weight_hh.shape[1])
    h, c, gates = [state.h], [state.c], []
    for x_t in x.unbind(dim=1):
        z = x_t @ weight_ih.T + h[-1] @ weight_hh.T + bias  # (batch, 4 * hidden)
        z_i, z_f, z_g, z_o = z.chunk(4, dim=1)
        i, f, g, o = z_i.sigmoid(), z_f.sigmoid(), z_g.tanh(), z_o.sigmoid()
        c.append(f * c[-1] + i * g)
        h.append(o * c[-1].tanh())
        gates.append((i, f, g, o))
    stacked = [torch.stack(steps, dim=1) for steps in zip(*gates, strict=True)]
    return LSTMTrace(x, *stacked, torch.stack(c, dim=1), torch.stack(h, dim=1))


@torch.no_grad()
def lstm_backward(
    trace: LSTMTrace,
    grad_outputs: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    window: int | None = None,
) -> LSTMGradients:
    """Go back through a long short-term memory: along ``h`` and along ``c`` [1]_.

    Parameters
    ----------
    trace
        Of :func:`lstm_forward`.
    grad_outputs
        What the loss sends into the output of each step directly, ``(batch, time, hidden)``.
    weight_ih, weight_hh
        Those of the forward pass.
    window
        As in :func:`rnn_backward`; it cuts both ways.

    Returns
    -------
    LSTMGradients
        By the inputs, the first state, the weights, and by the states and sums of each step.

    Raises
    ------
    ValueError
        If a shape does not fit the trace, or the window is below 1.

    References
    ----------
    .. [1] K. Greff et al., "LSTM: a search space odyssey", IEEE Transactions on Neural Networks and
       Learning Systems 28(10), 2017, arXiv:1503.04069, appendix (without its peepholes).

    Examples
    --------
    >>> state = LSTMState(torch.zeros(2, 4), torch.zeros(2, 4))
    >>> weight_ih, weight_hh = torch.randn(16, 3), torch.randn(16, 4)
    >>> trace = lstm_forward(torch.randn(2, 5, 3), state, weight_ih, weight_hh, torch.zeros(16))
    >>> gradients = lstm_backward(trace, torch.ones(2, 5, 4), weight_ih, weight_hh)
    >>> gradients.z.shape, gradients.state.c.shape
    (torch.Size([2, 5, 16]), torch.Size([2, 4]))
    """
    x, i, f, g, o, c, h = trace
    _check_weights(x, weight_ih, weight_hh, None, gates=4)
    batch, time, hidden = i.shape
    check_shape("grad_outputs", grad_outputs, batch=batch, time=time, hidden=hidden)
    borders = _borders(time, window)
    tanh_c = c[:, 1:].tanh()
    grad_h, grad_c = torch.empty_like(i), torch.empty_like(i)
    grad_z = i.new_empty(batch, time, 4 * hidden)
    h_later, c_later = torch.zeros_like(h[:, 0]), torch.zeros_like(c[:, 0])
    for t in reversed(range(time)):
        grad_h[:, t] = grad_outputs[:, t] + h_later
        grad_c[:, t] = c_later + grad_h[:, t] * o[:, t] * (1 - tanh_c[:, t] ** 2)
        gates = (
            grad_c[:, t] * g[:, t] * i[:, t] * (1 - i[:, t]),
            grad_c[:, t] * c[:, t] * f[:, t] * (1 - f[:, t]),  # c[:, t] is the cell before
            grad_c[:, t] * i[:, t] * (1 - g[:, t] ** 2),
            grad_h[:, t] * tanh_c[:, t] * o[:, t] * (1 - o[:, t]),
        )
        grad_z[:, t] = torch.cat(gates, dim=1)  # (batch, 4 * hidden)
        h_later, c_later = grad_z[:, t] @ weight_hh, grad_c[:, t] * f[:, t]
        if t in borders:
            h_later, c_later = torch.zeros_like(h_later), torch.zeros_like(c_later)
    return LSTMGradients(
        x=grad_z @ weight_ih,
        state=LSTMState(h_later, c_later),
        weight_ih=torch.einsum("btz,bti->zi", grad_z, x),
        weight_hh=torch.einsum("btz,bth->zh", grad_z, h[:, :-1]),
        bias=grad_z.sum(dim=(0, 1)),
        h=grad_h,
        c=grad_c,
        z=grad_z,
    )


def gradient_flow(layer: nn.Module, x: Tensor, of: int = -1, part: str = "h") -> Tensor:
    """Measure how much of a gradient at one step arrives at each earlier step.

    Parameters
    ----------
    layer
        A :class:`~unrolled.layers.Recurrent`, or an :class:`~unrolled.layers.RNN`,
        :class:`~unrolled.layers.GRU` or :class:`~unrolled.layers.LSTM` of one layer and one
        direction. It starts from its initial state.
    x
        Inputs, ``(batch, time, input)``.
    of
        The step whose state the Jacobian is of, counted from 0; -1 is the last.
    part
        ``"h"``, or ``"c"`` for the cell of an LSTM.

    Returns
    -------
    Tensor
        ``(steps,)``, one for each step up to and with ``of``: the spectral norm (largest singular
        value) of the Jacobian of the state at step ``of`` by the state at this step, as a mean over
        the batch. The last one, of the step itself, is 1. A cell ``c`` acts also through its ``h``.

    Raises
    ------
    ValueError
        If the layer is deep or bidirectional, ``x`` does not fit it, there is no step ``of``, or
        the state has no such part.

    Notes
    -----
    All Jacobians come from one backward pass, done for all units of the last state at once. They
    take ``steps * batch * hidden * hidden`` numbers of memory.

    Examples
    --------
    >>> from unrolled.layers import RNN
    >>> layer = RNN(3, 16, nonlinearity="identity").double()
    >>> cell = layer.layers[0].cell
    >>> _ = nn.init.orthogonal_(cell.weight_hh, gain=0.5)
    >>> gradient_flow(layer, torch.randn(2, 4, 3).double()).float()  # halved at each step
    tensor([0.1250, 0.2500, 0.5000, 1.0000])
    """
    cell = only_cell(layer)
    batch = check_input(x, cell.input_size)
    time = x.shape[1]
    if not -time <= of < time:
        raise ValueError(f"of is {of}; expected a step from 0 to {time - 1}, or -1 for the last")
    state = map_state(torch.Tensor.requires_grad_, cell.initial_state(batch))
    check_choice(("h", "c") if isinstance(state, LSTMState) else ("h",), part=part)
    states = []
    with torch.enable_grad():
        for projected_t in cell.project(x[:, : of % time + 1]).unbind(dim=1):
            _, state = cell.step(projected_t, state)
            states.append(getattr(state, part) if isinstance(state, LSTMState) else state)
    units = torch.eye(cell.hidden_size).to(x)[:, None]  # one unit of the last state at a time
    rows = torch.autograd.grad(
        states[-1], states, units.expand(-1, batch, -1), is_grads_batched=True
    )
    jacobians = torch.stack(rows).transpose(1, 2)  # (steps, batch, hidden, hidden)
    return torch.linalg.matrix_norm(jacobians, ord=2).mean(dim=1)


@torch.no_grad()
def step_jacobians(trace: RNNTrace, weight_hh: Tensor, nonlinearity: str = "tanh") -> Tensor:
    """Give the Jacobian of each step of a plain network: of its new state by the state before.

    Parameters
    ----------
    trace
        Of :func:`rnn_forward`.
    weight_hh, nonlinearity
        Those of the forward pass.

    Returns
    -------
    Tensor
        ``(batch, time, hidden, hidden)``: the slopes of the step's units, one a row, times
        ``weight_hh``.

    Raises
    ------
    ValueError
        If ``weight_hh`` does not fit the trace, or the nonlinearity is unknown.

    Examples
    --------
    >>> one = torch.eye(1)  # one unit, all weights one
    >>> trace = rnn_forward(torch.ones(1, 3, 1), torch.zeros(1, 1), one, one, torch.zeros(1))
    >>> step_jacobians(trace, one).flatten()  # the slopes are left
    tensor([0.4200, 0.1114, 0.0789])
    """
    hidden = trace.z.shape[2]
    check_shape("weight_hh", weight_hh, hidden=hidden, hidden_before=hidden)
    check_choice(SLOPES, nonlinearity=nonlinearity)
    return SLOPES[nonlinearity](trace.h[:, 1:])[..., None] * weight_hh


def jacobian_products(jacobians: Tensor) -> Tensor:
    """Multiply Jacobians of single steps to those of the last state by the state before each step.

    Parameters
    ----------
    jacobians
        ``(batch, time, hidden, hidden)``, of :func:`step_jacobians`.

    Returns
    -------
    Tensor
        ``(batch, time, hidden, hidden)``: at each step the product of its own Jacobian and all
        later ones, the last step's on the left.

    Raises
    ------
    ValueError
        If the Jacobians are not square, or there is no batch or time axis.

    Examples
    --------
    >>> jacobian_products(torch.tensor([2.0, 3.0, 5.0]).view(1, 3, 1, 1)).flatten()
    tensor([30., 15.,  5.])
    """
    if jacobians.dim() != 4 or jacobians.shape[2] != jacobians.shape[3]:
        raise ValueError(
            f"the Jacobians have shape {tuple(jacobians.shape)}; expected "
            "(batch, time, hidden, hidden)"
        )
    products = [jacobians[:, -1]]
    for jacobian in jacobians[:, :-1].flip(1).unbind(dim=1):  # from the last step backwards
        products.append(products[-1] @ jacobian)
    return torch.stack(products[::-1], dim=1)


def spectral_radius(matrix: Tensor) -> float:
    """Give the largest absolute value of the eigenvalues of a square matrix.

    Raises
    ------
    ValueError
        If the matrix is not square.

    Examples
    --------
    >>> shear = torch.tensor([[0.5, 10.0], [0.0, 0.5]])
    >>> spectral_radius(shear), round(torch.linalg.matrix_norm(shear, ord=2).item(), 2)
    (0.5, 10.02)
    """
    if matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"the matrix has shape {tuple(matrix.shape)}; expected a square one")
    return torch.linalg.eigvals(matrix).abs().max().item()


def _borders(time: int, window: int | None) -> range:
    """Give the first step of each window but the first: what goes back from there is cut."""
    if window is None:
        return range(0)
    check_whole(window=window)
    return range(window, time, window)


def _check_weights(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor | None, gates: int
) -> None:
    if weight_hh.dim() != 2 or weight_hh.shape[0] != gates * weight_hh.shape[1]:
        rows = "hidden" if gates == 1 else f"{gates} * hidden"
        raise ValueError(f"weight_hh has shape {tuple(weight_hh.shape)}; expected ({rows}, hidden)")
    check_input(x, weight_ih.shape[-1])
    rows = len(weight_hh)
    check_shape("weight_ih", weight_ih, rows=rows, input=x.shape[2])
    if bias is not None:
        check_shape("bias", bias, rows=rows)
