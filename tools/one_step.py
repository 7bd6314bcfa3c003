"""What one training step of the translator costs: `python tools/one_step.py [--devices D]`.

The batches hold random tokens, in sentences of the mean length of those of chapter 15. With more
than one process, the batch is shared by them, and memory is not measured: each holds the gradients
once more, to send them.
"""

from __future__ import annotations

import argparse
from functools import partial
from statistics import median
from time import process_time
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unrolled.data import PairBatch
from unrolled.models import Seq2Seq, seq2seq_loss
from unrolled.processes import launch, once
from unrolled.runs.ch08 import PeakMemory
from unrolled.runs.recipe import count_parameters
from unrolled.training import train
from unrolled.translator import translation_model

PIECES, SOURCE, TARGET = 2000, 10, 12
BATCHES = (64, 128, 256, 512, 1024)
STEPS = 7


def translator() -> Seq2Seq:
    """Make the model of chapter 15, untrained."""
    torch.manual_seed(0)
    return translation_model(PIECES, PIECES, embedding=128, encoder=128, hidden=256)


def batch_of(pairs: int) -> PairBatch:
    """Draw pairs of sentences of one length."""
    source, target = (torch.randint(PIECES, (pairs, time)) for time in (SOURCE, TARGET))
    mask = torch.ones(pairs, TARGET, dtype=torch.bool)
    return PairBatch(source, torch.full((pairs,), SOURCE), target, target, mask)


def times(pairs: int) -> list[float]:
    """Give the seconds of this processor for each step but the first two."""
    model = translator()
    optimizer = torch.optim.Adam(model.parameters())
    options = {"loss": seq2seq_loss, "steps": STEPS, "optimizer": optimizer}
    found, begin = [], process_time()
    for _ in train(model, [batch_of(pairs)], **options):
        found.append(process_time() - begin)
        begin = process_time()
    return found[2:]


def peak(pairs: int) -> int:
    """Give the most bytes that model, gradients, Adam and one step take together."""
    with PeakMemory() as memory:
        model = translator()
        optimizer = torch.optim.Adam(model.parameters())
        batch = batch_of(pairs)
        for _ in range(2):  # Adam makes its memory in the first
            optimizer.zero_grad()
            loss, _ = seq2seq_loss(model, batch, None)
            loss.backward()
            optimizer.step()
    return memory.peak


def operations(pairs: int) -> int:
    """Count what PyTorch is asked to compute in one step without the optimiser."""
    model, count = translator(), 0

    class Counted(TorchDispatchMode):
        def __torch_dispatch__(
            self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
        ) -> Any:
            nonlocal count
            count += not function.is_view
            return function(*args, **(kwargs or {}))

    with Counted():
        seq2seq_loss(model, batch_of(pairs), None)[0].backward()
    return count


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1)
    devices = parser.parse_args().devices
    torch.set_num_threads(1)
    if devices > 1:
        launch(devices, 1)
        torch.set_num_threads(1)
    fixed = 16 * count_parameters(translator())
    small, large = (peak(pairs) for pairs in BATCHES[:2])
    each = (large - small) / (BATCHES[1] - BATCHES[0])
    alone = devices == 1
    if alone:
        count = operations(BATCHES[0])
        print(f"{fixed / 1e6:.1f} MB, {each / 1e3:.0f} kB a pair, {count} operations a step")
    head = "| pairs | processes | ms of each |" + " MB, estimated | MB |" * alone
    once(partial(print, head, flush=True))
    for pairs in BATCHES:
        row = [pairs, devices, f"{1000 * median(times(pairs)):.0f}"]
        if alone:
            row += [f"{(fixed + each * pairs) / 1e6:.0f}", f"{peak(pairs) / 1e6:.0f}"]
        once(partial(print, "|", " | ".join(map(str, row)), "|", flush=True))


if __name__ == "__main__":
    main()
