"""A training that is killed on purpose: `python tests/killed.py FOLDER PLACE COUNT`.

It kills itself at the COUNT-th time that it comes to PLACE: in a "step", in the middle of a "write"
of the checkpoint, before the "replace" of the old one, or "after" it.
"""

import io
import os
import random
import signal
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unrolled import training
from unrolled.layers import RNN, map_state
from unrolled.training import evaluate, train

STEPS, EVERY = 25, 4


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


def start(checkpoint=None, loss=tagging_loss, steps=STEPS):
    """Make a model and its training."""
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(7)
    model = Tagger()

    def validate(model):
        return {"validation": evaluate(model, Passes(), loss=tagging_loss)}

    return model, train(
        model,
        Passes(),
        loss=loss,
        steps=steps,
        optimizer=torch.optim.Adam(model.parameters(), 0.01),
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


def main(folder, place, count):
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
        training.open = File
    os.replace = replace_here
    _, run = start(Path(folder) / "run.pt", loss)
    finish(run)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
