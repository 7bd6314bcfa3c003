"""Many steps of time, and many layers.

Every layer is called alike, ``layer(x, state=None, lengths=None) -> (outputs, state)``, with
``x (batch, time, input)``, ``outputs (batch, time, output)`` and ``lengths (batch,)``, the true
number of steps of each sequence. What stands past a sequence's end never matters: outputs there are
zero, the final state is the state at the true end, no gradient comes from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from unrolled.cells import Cell, GRUCell, GRUGates, LSTMCell, LSTMGates, LSTMState, RNNCell
from unrolled.checking import check_whole

State = Any  # a tensor, or a (named) tuple of states


class BidirectionalState(NamedTuple):
    """The states of the two directions, each at the end of its own way through the sequence."""

    forward: State
    backward: State


def map_state(function: Callable[..., Tensor], *states: State) -> State:
    """Apply ``function`` to every tensor of a state, or to the matching tensors of several.

    Parameters
    ----------
    function
        Takes one tensor of each state, gives one tensor.
    *states
        States of one kind: tensors, or (named) tuples of states.

    Returns
    -------
    State
        Of the same kind as the states given.

    Raises
    ------
    ValueError
        If the states are not of one kind.

    Examples
    --------
    >>> state = (torch.ones(2, 3), torch.zeros(2, 3))      # of a stack of two layers
    >>> detached = map_state(torch.Tensor.detach, state)   # between two windows of a text
    >>> first_row = map_state(lambda h: h[:1], state)      # one sequence of the batch
    >>> [tuple(h.shape) for h in first_row]
    [(1, 3), (1, 3)]
    """
    first = states[0]
    if any(type(state) is not type(first) for state in states) or not isinstance(
        first, Tensor | tuple
    ):
        kinds = ", ".join(type(state).__name__ for state in states)
        raise ValueError(f"states of kind {kinds}; expected tensors, or tuples of one kind")
    if isinstance(first, Tensor):
        return function(*states)
    if any(len(state) != len(first) for state in states):
        raise ValueError(f"states with {[len(s) for s in states]} parts; expected equal numbers")
    parts = [map_state(function, *matching) for matching in zip(*states, strict=True)]
    return first._make(parts) if hasattr(first, "_make") else tuple(parts)


def final_hidden(state: State) -> Tensor:
    """Give the top layer's last h, ``(batch, output)``, out of the final state of any layer.

    Of two directions it is the forward h at the sequence's end, then the backward h at its start:
    each direction has read the whole sequence there.

    Examples
    --------
    >>> layer = RNN(4, 3, num_layers=2)
    >>> outputs, state = layer(torch.randn(5, 7, 4))
    >>> torch.equal(final_hidden(state), outputs[:, -1])
    True
    """
    if isinstance(state, Tensor):
        return state
    if isinstance(state, LSTMState):
        return state.h
    if isinstance(state, BidirectionalState):
        return torch.cat([final_hidden(direction) for direction in state], dim=1)
    return final_hidden(state[-1])


def step_mask(lengths: Tensor, time: int) -> Tensor:
    """Give the mask ``(batch, time)`` that is true where a step is before the sequence's end.

    Parameters
    ----------
    lengths
        ``int64``, ``(batch,)``, each from 1 to ``time``.
    time
        Number of steps of the padded batch.

    Raises
    ------
    TypeError
        If ``lengths`` is not a tensor of whole numbers.
    ValueError
        If it has another shape, or a length is below 1 or above ``time``.

    Examples
    --------
    >>> step_mask(torch.tensor([1, 3]), 3).int().tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    if not isinstance(lengths, Tensor) or lengths.is_floating_point() or lengths.is_complex():
        kind = f"{lengths.dtype}" if isinstance(lengths, Tensor) else type(lengths).__name__
        raise TypeError(f"lengths is {kind}; expected an int64 tensor such as torch.tensor([3, 5])")
    if lengths.dim() != 1:
        raise ValueError(f"lengths has shape {tuple(lengths.shape)}; expected (batch,)")
    if len(lengths) and (lengths.min() < 1 or lengths.max() > time):
        raise ValueError(
            f"lengths go from {int(lengths.min())} to {int(lengths.max())}; expected 1 to {time}, "
            "the number of time steps: drop empty sequences, cut or pad the others"
        )
    return torch.arange(time, device=lengths.device) < lengths[:, None]


def check_input(x: Tensor, input_size: int) -> int:
    """Give the batch size of a layer's input, or raise a ``ValueError`` that says what is wrong."""
    if x.dim() != 3:
        raise ValueError(
            f"x has shape {tuple(x.shape)}; expected (batch, time, {input_size}): "
            "for a single sequence add the batch axis with x[None]"
        )
    if x.shape[2] != input_size:
        raise ValueError(
            f"x has {x.shape[2]} features at each step (shape {tuple(x.shape)}); "
            f"this layer was made for {input_size}"
        )
    if 0 in x.shape:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected at least one sequence and step")
    return len(x)


def zero_padding(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Put zeros past each sequence's end, so that NaN in the padding reaches no product.

    ``x`` is ``(batch, time, ...)``; without lengths it stays as it is.

    Raises
    ------
    TypeError, ValueError
        If the lengths do not fit ``x`` (see :func:`step_mask`).
    """
    if lengths is None:
        return x
    mask = step_mask(lengths, x.shape[1])  # (batch, time)
    if len(mask) != len(x):
        raise ValueError(f"{len(mask)} lengths came for a batch of {len(x)}; expected one for each")
    return x.masked_fill(~mask.view(*mask.shape, *[1] * (x.dim() - 2)), 0)


class Recurrent(nn.Module):
    """Run a cell over time: the same weights at every step.

    Parameters
    ----------
    cell
        For instance an :class:`~unrolled.cells.RNNCell`. The layer's state is the cell's.
    """

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell
        self.input_size, self.output_size = cell.input_size, cell.hidden_size

    def forward(
        self,
        x: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Give ``outputs (batch, time, hidden)`` and the final state.

        ``x`` is ``(batch, time, input)``, ``lengths`` is ``(batch,)``; without it
        all steps count. Raises a ValueError or TypeError that says which shape
        or length does not fit.
        """
        batch = check_input(x, self.input_size)
        state = self.initial_state(batch) if state is None else state
        self.cell.check_state(state, batch)
        x = zero_padding(x, lengths)
        projected = self.cell.project(x)  # all time steps in one product
        outputs = []
        for t, projected_t in enumerate(projected.unbind(dim=1)):
            output, new = self.cell.step(projected_t, state)  # (batch, hidden)
            if lengths is None:
                state = new
            else:  # a sequence that has ended gives zeros and keeps its state
                going = (t < lengths)[:, None]  # (batch, 1)
                output = output * going
                state = map_state(partial(torch.where, going), new, state)
            outputs.append(output)
        return torch.stack(outputs, dim=1), state  # (batch, time, hidden)

    def initial_state(self, batch: int) -> State:
        """Give the state before the first step, the cell's."""
        return self.cell.initial_state(batch)


def reverse_steps(x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Turn the time of each sequence around, up to its true end; padding stays behind it.

    Parameters
    ----------
    x
        ``(batch, time, ...)``.
    lengths
        ``int64``, ``(batch,)``; without it all steps count.

    Returns
    -------
    Tensor
        Of the shape of ``x``. Turned around once more, it is ``x`` again.

    Examples
    --------
    >>> x = torch.tensor([[1, 2, 3, 0, 0], [1, 2, 3, 4, 5]])
    >>> reverse_steps(x, torch.tensor([3, 5]))
    tensor([[3, 2, 1, 0, 0],
            [5, 4, 3, 2, 1]])
    """
    if lengths is None:
        return x.flip(1)
    steps = torch.arange(x.shape[1], device=x.device)
    from_end = lengths[:, None] - 1 - steps  # (batch, time), negative in the padding
    source = torch.where(step_mask(lengths, x.shape[1]), from_end, steps)
    return x[torch.arange(len(x), device=x.device)[:, None], source]


class Bidirectional(nn.Module):
    """Read a sequence in both directions, and put the outputs of each step side by side [1]_.

    Parameters
    ----------
    forward, backward
        Recurrent layers of one input size. The second reads each sequence from its true end to its
        start; its outputs are turned around again, so that both outputs of a step belong to it.

    Raises
    ------
    ValueError
        If the input sizes differ.

    References
    ----------
    .. [1] M. Schuster, K. Paliwal, "Bidirectional recurrent neural networks", IEEE Transactions on
       Signal Processing 45(11), 1997, Figure 3.
    """

    def __init__(self, forward: nn.Module, backward: nn.Module) -> None:
        super().__init__()
        if forward.input_size != backward.input_size:
            raise ValueError(
                f"the directions take {forward.input_size} and {backward.input_size} features; "
                "expected equal numbers: both read the same sequence"
            )
        self.forward_layer, self.backward_layer = forward, backward
        self.input_size = forward.input_size
        self.output_size = forward.output_size + backward.output_size

    def forward(
        self,
        x: Tensor,
        state: BidirectionalState | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, BidirectionalState]:
        """Give ``outputs (batch, time, output)``, forward then backward, and both final states.

        The backward direction's final state is the one at the first step. Raises
        a ValueError or TypeError that says which shape or length does not fit.
        """
        batch = check_input(x, self.input_size)
        state = self.initial_state(batch) if state is None else state
        if not isinstance(state, BidirectionalState):
            came = type(state).__name__
            raise ValueError(f"the state is {came}; expected BidirectionalState(forward, backward)")
        ahead, end = self.forward_layer(x, state.forward, lengths)
        back, start = self.backward_layer(reverse_steps(x, lengths), state.backward, lengths)
        outputs = torch.cat([ahead, reverse_steps(back, lengths)], dim=2)
        return outputs, BidirectionalState(end, start)

    def initial_state(self, batch: int) -> BidirectionalState:
        """Give the states before the first step of each direction."""
        return BidirectionalState(
            self.forward_layer.initial_state(batch), self.backward_layer.initial_state(batch)
        )


class Stacked(nn.Module):
    """Layers on top of each other: the outputs of one are the inputs of the next [1]_.

    The state is a tuple with the state of each layer, also when there is one layer.

    Parameters
    ----------
    layers
        At least one layer; the output size of each is the input size of the next.
    dropout
        Probability with which an output is dropped on its way to the next layer, in training.
    residual
        Add a layer's input to its output, wherever the two have one size.

    Raises
    ------
    ValueError
        If there is no layer, sizes do not fit, or ``dropout`` is not a probability below 1.

    References
    ----------
    .. [1] A. Graves, A. Mohamed, G. Hinton, "Speech recognition with deep recurrent neural
       networks", 2013, arXiv:1303.5778, equation 11.
    """

    def __init__(
        self, layers: Sequence[nn.Module], dropout: float = 0.0, residual: bool = False
    ) -> None:
        super().__init__()
        if not layers:
            raise ValueError("no layers were given; expected at least one")
        for below, above in pairwise(layers):
            if below.output_size != above.input_size:
                raise ValueError(
                    f"a layer gives {below.output_size} features to one that was made for "
                    f"{above.input_size}; expected equal sizes"
                )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}; expected a probability, 0 <= dropout < 1")
        self.layers = nn.ModuleList(layers)
        self.dropout = nn.Dropout(dropout)
        self.residual = residual
        self.input_size, self.output_size = layers[0].input_size, layers[-1].output_size

    def forward(
        self, x: Tensor, state: tuple | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple]:
        """Read ``x (batch, time, input)``; give the top layer's outputs and all layers' states."""
        state = (None,) * len(self.layers) if state is None else self.check_parts(state)
        if self.residual:
            x = zero_padding(x, lengths)
        final = []
        for depth, (layer, layer_state) in enumerate(zip(self.layers, state, strict=True)):
            below = x if depth == 0 else self.dropout(x)
            x, layer_state = layer(below, layer_state, lengths)
            if self.residual and below.shape == x.shape:
                x = x + below
            final.append(layer_state)
        return x, tuple(final)

    def initial_state(self, batch: int) -> tuple:
        """Give the states before the first step, one a layer."""
        return tuple(layer.initial_state(batch) for layer in self.layers)

    def check_parts(self, state: tuple) -> tuple:
        """Give the state back, or raise a ``ValueError`` unless it has a part for each layer."""
        if not isinstance(state, tuple) or len(state) != len(self.layers):
            came = f"{len(state)} parts" if isinstance(state, tuple) else type(state).__name__
            raise ValueError(f"the state has {came}; expected a tuple of {len(self.layers)} states")
        return state


class _Network(Stacked):
    """What RNN, GRU and LSTM share: layers of one kind of cell, and weights from ``torch.nn``."""

    cell_type: type[Cell]
    torch_type: type[nn.RNNBase]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        **cell_options: Any,
    ) -> None:
        check_whole(num_layers=num_layers)

        def layer(features: int) -> nn.Module:
            directions = [
                Recurrent(self.cell_type(features, hidden_size, **cell_options))
                for _ in range(1 + bidirectional)
            ]
            return Bidirectional(*directions) if bidirectional else directions[0]

        above = hidden_size * (1 + bidirectional)  # features that a layer gives to the next
        super().__init__(
            [layer(input_size)] + [layer(above) for _ in range(num_layers - 1)], dropout
        )

    @classmethod
    def from_torch(cls, module: nn.RNNBase) -> Self:
        """Make a layer that computes what a ``torch.nn`` module computes, with its weights copied.

        Biases that only ever act as their sum become one; a module without biases gets zeros. The
        new layer takes batches first, whatever ``module.batch_first`` says.

        Raises
        ------
        TypeError
            If ``module`` is not the ``torch.nn`` module of this layer's name.
        ValueError
            If it projects its outputs (``proj_size``).
        """
        if not isinstance(module, cls.torch_type):
            expected = f"torch.nn.{cls.torch_type.__name__}"
            raise TypeError(f"a {type(module).__name__} came; expected a {expected}")
        if module.proj_size:
            raise ValueError(
                f"a module with proj_size={module.proj_size} came; expected one without projections"
            )
        options = {"nonlinearity": module.nonlinearity} if cls is RNN else {}
        layer = cls(
            module.input_size,
            module.hidden_size,
            module.num_layers,
            module.bidirectional,
            module.dropout,
            **options,
        ).to(module.weight_hh_l0)
        cells = [part for part in layer.modules() if isinstance(part, Cell)]
        for cell, names in zip(cells, module.all_weights, strict=True):
            _copy_weights(cell, *names)
        return layer.train(module.training)


@torch.no_grad()
def _copy_weights(cell: Cell, weight_ih: Tensor, weight_hh: Tensor, *biases: Tensor) -> None:
    cell.weight_ih.copy_(weight_ih)
    cell.weight_hh.copy_(weight_hh)
    bias_ih, bias_hh = biases or (torch.zeros_like(cell.bias),) * 2
    if isinstance(cell, GRUCell):  # the reset gate stands between the last two parts
        bias_hh, bias_hn = bias_hh.split([2 * cell.hidden_size, cell.hidden_size])
        cell.bias_hn.copy_(bias_hn)
        bias_hh = torch.cat([bias_hh, torch.zeros_like(bias_hn)])
    cell.bias.copy_(bias_ih + bias_hh)


class RNN(_Network):
    """A plain recurrent network of one or more layers, as ``torch.nn.RNN`` with batch first.

    Parameters
    ----------
    input_size, hidden_size
        Features of the input, and units of each direction of every layer.
    num_layers
        Depth.
    bidirectional
        Whether each layer reads in both directions, as :class:`Bidirectional` does.
    dropout
        Between layers, as for :class:`Stacked`.
    **cell_options
        Of the cell: ``nonlinearity`` of :class:`~unrolled.cells.RNNCell`.

    Raises
    ------
    ValueError
        If a size is below 1 or an option has an unknown value.

    Examples
    --------
    >>> outputs, state = RNN(10, 32)(torch.randn(4, 7, 10), lengths=torch.tensor([7, 2, 5, 1]))
    >>> outputs.shape, final_hidden(state).shape
    (torch.Size([4, 7, 32]), torch.Size([4, 32]))
    """

    cell_type, torch_type = RNNCell, nn.RNN


class GRU(_Network):
    """Gated recurrent units in one or more layers, as ``torch.nn.GRU`` with batch first.

    Parameters and errors are those of :class:`RNN`; the cell's option is ``reset`` of
    :class:`~unrolled.cells.GRUCell`.

    Examples
    --------
    >>> outputs, state = GRU(10, 32, bidirectional=True)(torch.randn(4, 7, 10))
    >>> outputs.shape, final_hidden(state).shape
    (torch.Size([4, 7, 64]), torch.Size([4, 64]))
    """

    cell_type, torch_type = GRUCell, nn.GRU


class LSTM(_Network):
    """Long short-term memories in one or more layers, as ``torch.nn.LSTM`` with batch first.

    Parameters and errors are those of :class:`RNN`; the cell's option is ``forget_bias`` of
    :class:`~unrolled.cells.LSTMCell`.

    Examples
    --------
    >>> outputs, state = LSTM(10, 32, num_layers=2)(torch.randn(4, 7, 10))
    >>> outputs.shape, state[-1].c.shape
    (torch.Size([4, 7, 32]), torch.Size([4, 32]))
    """

    cell_type, torch_type = LSTMCell, nn.LSTM


def only_cell(layer: nn.Module) -> Cell:
    """Give the cell of a layer that has one: a Recurrent, or a network of one layer and direction.

    Raises
    ------
    ValueError
        If the layer has more than one cell, or none.
    """
    only = layer.layers[0] if isinstance(layer, Stacked) and len(layer.layers) == 1 else layer
    if not isinstance(only, Recurrent):
        raise ValueError(
            f"the layer is {type(layer).__name__}, with more than one cell or none; expected a "
            "Recurrent, or an RNN, GRU or LSTM of one layer and one direction: of a stack or of "
            "two directions, measure the recurrent layers one by one"
        )
    return only.cell


def states(
    layer: nn.Module, x: Tensor, state: State | None = None, lengths: Tensor | None = None
) -> State:
    """Give the state after every step, where a layer's own result has only the last.

    Parameters
    ----------
    layer
        A :class:`Recurrent`, or an :class:`RNN`, :class:`GRU` or :class:`LSTM` of one layer and one
        direction.
    x
        ``(batch, time, input)``.
    state
        The layer's, before the first step; zeros without one.
    lengths
        ``int64``, ``(batch,)``; without it all steps count.

    Returns
    -------
    State
        A tensor ``(batch, time, hidden)``, of an LSTM an ``LSTMState`` of two; zero past a
        sequence's end.

    Raises
    ------
    TypeError, ValueError
        If the layer has more than one cell, or a shape or length does not fit.

    Examples
    --------
    >>> x = torch.randn(4, 7, 10)
    >>> h, c = states(LSTM(10, 32), x)
    >>> c.shape
    torch.Size([4, 7, 32])
    """
    cell = only_cell(layer)
    state = _first_state(layer, cell, x, state)
    found = []
    for projected_t in cell.project(zero_padding(x, lengths)).unbind(dim=1):
        _, state = cell.step(projected_t, state)
        found.append(state)
    return map_state(lambda *parts: zero_padding(torch.stack(parts, dim=1), lengths), *found)


def gates(
    layer: nn.Module, x: Tensor, state: State | None = None, lengths: Tensor | None = None
) -> GRUGates | LSTMGates:
    """Give every gate of a run, and the candidates: what a gated layer decides at each step.

    Parameters are those of :func:`states`.

    Returns
    -------
    tuple
        ``GRUGates`` or ``LSTMGates``, ``(batch, time, hidden)`` each, after the activation; zero
        past a sequence's end.

    Raises
    ------
    TypeError, ValueError
        As :func:`states` does, and if the layer's cell has no gates.

    Examples
    --------
    >>> i, f, g, o = gates(LSTM(10, 32, forget_bias=3.0), torch.randn(4, 7, 10))
    >>> f.shape, bool(f.mean() > 0.9)
    (torch.Size([4, 7, 32]), True)
    """
    cell = only_cell(layer)
    if not isinstance(cell, GRUCell | LSTMCell):
        raise ValueError(f"the layer's cell is {type(cell).__name__}; expected one with gates")
    first, after = _first_state(layer, cell, x, state), states(layer, x, state, lengths)
    before = map_state(lambda h, rest: torch.cat([h[:, None], rest[:, :-1]], dim=1), first, after)
    projected = cell.project(zero_padding(x, lengths))  # (batch, time, gates * hidden)
    found = cell.gates(projected.flatten(0, 1), map_state(lambda h: h.flatten(0, 1), before))
    return map_state(lambda gate: zero_padding(gate.unflatten(0, x.shape[:2]), lengths), found)


def _first_state(layer: nn.Module, cell: Cell, x: Tensor, state: State | None) -> State:
    """Give the state of the only cell before the first step, out of the layer's."""
    batch = check_input(x, cell.input_size)
    if state is None:
        return cell.initial_state(batch)
    if isinstance(layer, Stacked):
        (state,) = layer.check_parts(state)
    cell.check_state(state, batch)
    return state
