"""A training that is killed on purpose, in a process of its own."""

import io
import multiprocessing
import os
import random
import signal
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unrolled import checkpoints
from unrolled.layers import RNN, map_state
from unrolled.training import evaluate, train

STEPS, EVERY = 25, 4

# Where a copy of a process is safe, one imports everything and the others are its copies.
PROCESSES = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
PROCESSES.set_forkserver_preload(["unrolled.training"])


class Tagger(nn.Module):
    """Two layers with dropout."""

    def __init__(self):
        super().__init__()
        self.rnn = RNN(5, 8, num_layers=2, dropout=0.3)
        self.read_out = nn.Linear(8, 3)

    def forward(self, x, state=None):
        h, state = self.rnn(x, state)
        return self.read_out(h), state


def tagging_loss(model, batch, state):
    scores, state = model(batch["x"], state)
    return F.cross_entropy(scores.mT, batch["y"]), map_state(Tensor.detach, state)


class Passes:
    """Six batches a pass, which depend on all three generators."""

    def __iter__(self):
        noise = torch.randn(6, 4, 7, 5) + random.gauss(0, 1) + np.random.normal()
        labels = (noise.sum(-1) > 0).long() + (noise[..., 0] > 0.5)
        return ({"x": x, "y": y} for x, y in zip(noise, labels, strict=True))


def start(checkpoint=None, loss=tagging_loss):
    """Make a model and its training."""
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(7)
    model = Tagger()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)

    def validate(model):
        return {"validation": evaluate(model, Passes(), loss=tagging_loss)}

    return model, train(
        model,
        Passes(),
        loss=loss,
        steps=STEPS,
        optimizer=optimizer,
        scheduler=torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS),
        validate=validate,
        every=EVERY,
        checkpoint=checkpoint,
        seed=3,
    )


def finish(training):
    """Run a training to its end; give the losses that it yields, and its history."""
    losses = []
    while True:
        try:
            losses.append(next(training))
        except StopIteration as end:
            return losses, end.value


def kill(folder, place, count):
    """Run the training in a process that kills itself.

    It does so at the ``count``-th time that it comes to ``place``: in a "step", in the middle of a
    "write" of the checkpoint, before the "replace" of the old one, or "after" it.
    """
    process = PROCESSES.Process(target=_run, args=(folder, place, count))
    process.start()
    process.join()
    dead = -signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM
    assert process.exitcode == dead


def _run(folder, place, count):
    torch.set_num_threads(1)
    seen = 0

    def here():
        nonlocal seen
        seen += 1
        if seen == count:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

    class File(io.FileIO):
        """Writes in two halves."""

        def write(self, data):
            half = len(data) // 2
            written = super().write(data[:half])
            here()
            return written + super().write(data[half:])

    replace = os.replace

    def replace_here(*paths):
        if place == "replace":
            here()
        replace(*paths)
        if place == "after":
            here()

    def loss(*arguments):
        if place == "step":
            here()
        return tagging_loss(*arguments)

    if place == "write":
        checkpoints.open = File
    os.replace = replace_here
    _, run = start(folder / "run.pt", loss)
    finish(run)
