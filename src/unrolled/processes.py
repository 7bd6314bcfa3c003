"""One training on many processes: what each takes of a batch, and how all stay together.

Every process runs the same program and reads the same batches, drawn from generators that are in
the same state. Of each batch it computes the loss and the gradients of its own rows. Lightning
Fabric takes the mean of the gradients over the processes, so that all take the same step, and the
weights stay equal without being sent. :class:`Processes` adds what Fabric does not know: that a
loss is a mean over the targets that count, of which one process may hold more than another.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.utilities import move_data_to_device
from lightning_fabric.utilities.apply_func import apply_to_collection
from torch import Tensor, distributed, nn

from unrolled.checking import check_whole
from unrolled.layers import State, map_state

T = TypeVar("T")
Loss = Callable[[nn.Module, Any, State | None], tuple[Tensor, State | None]]

_launched: Fabric | None = None


def launch(devices: int, nodes: int) -> None:
    """Make this program one of many that train together, from here on to its end.

    Without ``torchrun``, the first process of each node starts the others with its own command.
    Every training that is given no fabric of its own then runs on all of them.

    Parameters
    ----------
    devices
        Processes a node: one for each GPU of NVIDIA, or where there is none, on the processor.
    nodes
        Machines. On each the same command is started, by ``torchrun`` or with ``NODE_RANK``,
        ``MASTER_ADDR`` and ``MASTER_PORT`` set.

    Raises
    ------
    ValueError
        If a number is below 1, or several machines are not told how to find each other.
    """
    global _launched
    check_whole(devices=devices, nodes=nodes)
    where = "cuda" if torch.cuda.is_available() else "cpu"  # the GPU of a Mac cannot be shared
    fabric = Fabric(accelerator=where, devices=devices, num_nodes=nodes, strategy="ddp")
    needed = {"NODE_RANK", "MASTER_ADDR", "MASTER_PORT"}
    alone = isinstance(fabric.strategy.cluster_environment, LightningEnvironment)
    if nodes > 1 and alone and (missing := sorted(needed - os.environ.keys())):
        raise ValueError(
            f"{nodes} machines need to find each other, and {', '.join(missing)} are not set; "
            "start with torchrun, or set on each machine NODE_RANK (0, 1, ...), and the address "
            "and a free port of the first"
        )
    fabric.launch()
    _launched = fabric


def launched() -> Fabric | None:
    """Give what :func:`launch` has made; ``None`` where this process is the only one."""
    return _launched


def once(function: Callable[[], T]) -> T:
    """Call a function in the first process only; give all of them what it returns.

    For what must not be done twice, such as writing a file, and for what all must agree on, such
    as the time.

    Examples
    --------
    >>> once(lambda: 3)
    3
    """
    if _launched is None:
        return function()
    with Processes(_launched).together():
        return _launched.broadcast(function() if _launched.is_global_zero else None)


class Processes:
    """The processes of a training, as one of them sees them.

    Parameters
    ----------
    fabric
        Knows how many there are, and which this is.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric, self.count, self.this = fabric, fabric.world_size, fabric.global_rank

    def rows(self, tensor: Tensor) -> Tensor:
        """Give the rows that this process takes; all where there are too few for each to take one.

        With 5 rows for 2 processes, the first takes 3.
        """
        if self.count == 1:
            return tensor
        rows = tensor.tensor_split(self.count)[self.this]
        # A copy: how a product is rounded can depend on where in memory its rows begin.
        return rows.clone() if len(rows) else tensor

    def part(self, batch: Any) -> tuple[Any, float]:
        """Give this process's rows of a batch, and how much their loss weighs, on average 1.

        A process none of whose rows counts reads the whole batch, and weighs nothing.
        """
        rows = self._rows(batch)
        part = apply_to_collection(batch, Tensor, self.rows)
        mine = len(range(rows)[self.this :: self.count])  # as many as tensor_split gives
        counts = getattr(part, "weight", mine) if mine else 0
        return (part if counts else batch), self.count * counts / getattr(batch, "weight", rows)

    def shared(self, loss: Loss, seed: int, history: Any) -> Loss:
        """Give the loss of a batch, computed by all processes together.

        Its value is that of the whole batch. Its gradients are such that their mean over the
        processes, which Fabric takes, is the gradient of the whole batch. What ``loss`` draws from
        PyTorch's generator, such as dropout, each process draws for itself, from a seed that is
        made of ``seed``, the number of ``history.losses``, and which process it is. The generator
        itself stays in the same state everywhere, so that all draw the same batches.
        """
        if self.count == 1:
            return loss

        def of_all(model: nn.Module, batch: Any, state: State | None) -> tuple[Tensor, Any]:
            part, weight = self.part(batch)
            device = self.fabric.device
            if state is not None and self._idle(batch):  # all know it, so all come to the exchange
                whole = move_data_to_device(self.joined(state, batch), device)
                state = state if weight else whole
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                torch.manual_seed(hash((seed, len(history.losses), self.this)))
                returned = loss(model, part, state)
            if not isinstance(returned, tuple) or not isinstance(returned[0], Tensor):
                return returned  # for the loop to refuse
            value, *states = returned
            if not weight:  # it has read all rows
                states = [each if each is None else map_state(self.rows, each) for each in states]
            value = value * weight
            with torch.no_grad():
                value.copy_(self.fabric.all_reduce(value.detach(), reduce_op="mean"))
            return value, *states

        return of_all

    def joined(self, state: State | None, batch: Any) -> State | None:
        """Put together the states that the processes carry, each for its rows of the batch."""
        if self.count == 1 or state is None:
            return state
        mine = len(self.rows(torch.arange(self._rows(batch))))

        def checked(part: Tensor) -> Tensor:
            if part.shape[:1] != (mine,):
                raise ValueError(
                    f"a state of shape {tuple(part.shape)} cannot be joined with those of other "
                    f"processes; expected {mine} rows, as many as this process has of the batch: "
                    "batch comes first"
                )
            return part.cpu()

        states = self._gather(map_state(checked, state))
        # Processes without a row of their own come last.
        return map_state(lambda *parts: torch.cat(parts)[: self._rows(batch)], *states)

    def check_alike(self, digest: str) -> None:
        """Refuse to go on where the processes have read different batches."""
        if self.count > 1 and len(set(self._gather(digest))) > 1:
            raise ValueError(
                "the processes read different batches at the start of a pass; expected the same, "
                "of which each takes its rows. Draw them from PyTorch's generator, and let no "
                "order depend on a set, on time, or on which process it is"
            )

    @contextmanager
    def together(self) -> Generator[None, None, None]:
        """Say clearly when another process is gone."""
        try:
            yield
        except RuntimeError as error:
            lost = isinstance(error, distributed.DistNetworkError | distributed.DistStoreError)
            if self.count == 1 or not (lost or _LOST.search(str(error))):
                raise
            raise RuntimeError(
                f"process {self.this} of {self.count} lost another one, which was killed or failed "
                "(then it says why); none can go on without it. Start all again: with a "
                "checkpoint, they go on from there"
            ) from error

    def _idle(self, batch: Any) -> bool:
        """Tell whether some process has rows of a batch, but none that counts."""
        parts = (
            apply_to_collection(
                batch, Tensor, lambda tensor, rank=rank: tensor.tensor_split(self.count)[rank]
            )
            for rank in range(min(self.count, self._rows(batch)))
        )
        return any(getattr(part, "weight", 1) == 0 for part in parts)

    def _gather(self, own: T) -> list[T]:
        found: list[Any] = [None] * self.count
        distributed.all_gather_object(found, own)
        return found

    def _rows(self, batch: Any) -> int:
        shapes: set[tuple[int, ...]] = set()
        apply_to_collection(batch, Tensor, lambda tensor: shapes.add(tuple(tensor.shape[:1])))
        if len(shapes) != 1 or () in shapes:
            raise ValueError(
                f"a batch cannot be shared by {self.count} processes: its tensors have "
                f"{', '.join(map(str, sorted(shapes))) or 'no'} rows; expected equally many, as "
                "batch comes first"
            )
        return shapes.pop()[0]


# What gloo and NCCL say when the other end of a connection is gone.
_LOST = re.compile(r"closed by peer|reset by peer|broken pipe|timed? ?out|\bgloo\b", re.I)
