"""The recorded runs of chapter 6: pictures of numbers, and where a captioner sees them."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor, nn

from unrolled.data.captions import (
    FIRST_HELD_OUT_SCAN,
    SIZE,
    CaptionBatch,
    CaptionBatches,
    HandwrittenNumbers,
    NumberPictures,
    Wording,
    handwritten_numbers,
    number_in_words,
    scanned_digits,
)
from unrolled.decoding import greedy
from unrolled.layers import final_hidden
from unrolled.metrics import accuracy, exact_match
from unrolled.models import Captioner, ImageEncoder, captioner_loss
from unrolled.runs.recipe import LAYERS, count_parameters, train_with_adam
from unrolled.runs.registry import experiment, fingerprint
from unrolled.training import Loss, evaluate

EMBEDDING, PICTURE = 16, 32
#: Hidden units with which the three captioners have the same number of parameters, within 1 %.
HIDDEN = {"first input": 108, "first state": 104, "every step": 96}


def captioner(
    wording: Wording, context: str, *, layer: str = "GRU", normalised: bool = True
) -> Captioner:
    """Make a captioner for pictures of numbers.

    Parameters
    ----------
    wording
        Its tokens are those of the captions.
    context
        Where the picture goes, as :class:`~unrolled.models.Captioner` takes it.
    layer
        ``"RNN"``, ``"GRU"`` or ``"LSTM"``.
    normalised
        Whether the encoder's vector is normalised.
    """
    encoder = ImageEncoder(8, 24, PICTURE)
    if not normalised:
        encoder.layers[-1] = nn.Identity()
    beside = PICTURE if context == "every step" else 0
    return Captioner(
        len(wording.vocab),
        encoder=encoder,
        layer=LAYERS[layer](EMBEDDING + beside, HIDDEN[context]),
        embedding_size=EMBEDDING,
        context=context,
    )


def say(model: Captioner, images: Tensor, wording: Wording) -> list[str]:
    """Give what a model says to images, each token the likeliest one."""
    start = torch.full((len(images),), wording.bos)
    with torch.no_grad():
        state = model.start(images)
    steps = wording.longest + 4  # a few more than any caption has
    tokens = greedy(model.step, state, bos=start, eos=wording.eos, max_steps=steps)
    return [wording.text(row) for row in tokens]


def names(pictures: NumberPictures) -> list[str]:
    """Give the right captions."""
    return [number_in_words(int(number)) for number in pictures.numbers]


class DigitReader:
    """Read pictures scan by scan, with a support vector machine: it is told where to look.

    It knows that a picture is made of scans of 8 by 8 pixels, finds from the blank columns how many
    there are, and has learnt from the labelled scans themselves. Its numbers are written out by
    :func:`~unrolled.data.captions.number_in_words`.
    """

    def __init__(self) -> None:
        scans, labels = scanned_digits()
        learnt = slice(FIRST_HELD_OUT_SCAN)
        self.machine = SVC(C=10, gamma=0.05).fit(scans.flatten(1)[learnt], labels[learnt])

    def __call__(self, images: Tensor) -> list[str]:
        """Give a caption for each of ``images (batch, 8, 24)``."""
        return [number_in_words(self.number(image)) for image in images]

    def number(self, image: Tensor) -> int:
        """Give the number in one image."""
        ink = image.sum(dim=0)  # of each column
        left = 0 if ink[: SIZE // 2].any() else SIZE // 2 if ink[:SIZE].any() else SIZE
        scans = image[:, left : image.shape[1] - left].split(SIZE, dim=1)
        digits = self.machine.predict(np.stack([scan.flatten() for scan in scans]))
        return int("".join(map(str, digits)))


def digits_right(pictures: NumberPictures, said: list[str]) -> list[float]:
    """Give how often hundreds, tens and units are right, over the pictures of three digits.

    A caption that is not the name of a number of three digits is wrong in all of them.
    """
    numbers = {number_in_words(number): str(number) for number in range(100, 1000)}
    rows = [row for row, number in enumerate(pictures.numbers) if number >= 100]
    pairs = [(str(int(pictures.numbers[row])), numbers.get(said[row], "---")) for row in rows]
    return [sum(shown[i] == told[i] for shown, told in pairs) / len(pairs) for i in range(3)]


def rest_right(model: Captioner, pictures: NumberPictures, wording: Wording, wrong: bool) -> float:
    """Give how often the rest of a caption is right after a first word that was given.

    Only pictures of three digits count whose number does not end with two zeros. The word is the
    right one, or that of the next digit.
    """
    numbers, images = pictures.numbers, pictures.images
    said, expected = [], []
    for hundreds in range(1, 10):
        rows = (numbers // 100 == hundreds) & (numbers % 100 > 0)
        word = number_in_words(hundreds % 9 + 1 if wrong else hundreds)
        letters = list(word) if wording.by == "letters" else [word]
        prefix = wording.vocab.encode(["<bos>", *letters]).expand(int(rows.sum()), -1)
        with torch.no_grad():
            _, state = model.read(prefix[:, :-1], model.start(images[rows]))
        tokens = greedy(
            model.step, state, bos=prefix[:, -1], eos=wording.eos, max_steps=wording.longest
        )
        said += [wording.text(row).strip() for row in tokens]
        ends = [number_in_words(int(number)) for number in numbers[rows]]
        expected += [name.partition(" ")[2] for name in ends]
    return exact_match(said, expected)


def tens_known(model: Captioner, task: HandwrittenNumbers, wording: Wording) -> dict[str, float]:
    """Give how often the tens can be read from what a model carries, by a linear classifier.

    Only pictures of three digits count whose tens have a word of their own, from twenty to ninety:
    eight classes. The classifier learns from 6,000 of the pictures that the model learns from, and
    is tested on the held-out ones.

    Returns
    -------
    dict
        ``"picture"``: from the encoder's vector; ``"start"``: from the state before the start
        token; ``"when asked"``: from the state that has to say the word of the tens, the true
        tokens before it being given.
    """
    learnt, tested = (
        _with_tens(model, pictures, wording)
        for pictures in (task.train.first(6_000), task.held_out)
    )
    known = {}
    for place in ("picture", "start", "when asked"):
        classifier = make_pipeline(StandardScaler(), RidgeClassifier())
        classifier.fit(learnt[place], learnt["tens"])
        known[place] = classifier.score(tested[place], tested["tens"])
    return known


def _with_tens(model: Captioner, pictures: NumberPictures, wording: Wording) -> dict[str, Tensor]:
    """Give what a model carries at three places, and the tens that it should know."""
    tens = pictures.numbers // 10 % 10
    rows = (pictures.numbers >= 100) & (tens >= 2)
    pictures = NumberPictures(*(tensor[rows] for tensor in pictures))
    (batch,) = CaptionBatches(pictures, wording, len(pictures.images), shuffle=False)
    before = [name.split(" ")[:3] for name in names(pictures)]  # such as two hundred and
    asked = [len(" ".join(words)) + 1 if wording.by == "letters" else 3 for words in before]
    outputs: list[Tensor] = []
    hook = model.read_out.register_forward_pre_hook(lambda _, given: outputs.append(given[0]))
    with torch.no_grad():
        state = model.start(batch.images)
        model.read(batch.inputs, state)
    hook.remove()
    return {
        "tens": tens[rows],
        "picture": state.picture,
        "start": final_hidden(state.layer),
        "when asked": outputs[0][torch.arange(len(asked)), torch.tensor(asked)],
    }


def padded_loss(model: Captioner, batch: CaptionBatch, state: None) -> tuple[Tensor, None]:
    """Give the loss over all places of a batch, also those that no caption reaches."""
    return captioner_loss(model, batch._replace(mask=torch.ones_like(batch.mask)), state)


def exchanged_loss(model: Captioner, batch: CaptionBatch, state: None) -> tuple[Tensor, None]:
    """Give the loss with the pictures of other captions: what is lost is what pictures tell."""
    return captioner_loss(model, batch._replace(images=batch.images.roll(1, dims=0)), state)


def teacher_forced_accuracy(model: Captioner, pictures: NumberPictures, wording: Wording) -> float:
    """Give the share of tokens that are the likeliest where all before them are given."""
    (batch,) = CaptionBatches(pictures, wording, len(pictures.images), shuffle=False)
    with torch.no_grad():
        return accuracy(model(batch.images, batch.inputs), batch.targets, batch.mask)


def _learn(
    seed: int,
    *,
    by: str,
    context: str,
    steps: int,
    batch: int,
    learning_rate: float,
    every: int,
    loss: Loss = captioner_loss,
    **options: Any,
) -> Generator[float, None, dict[str, Any]]:
    """Train a captioner and measure it; ``options`` are those of :func:`captioner`."""
    task, wording = handwritten_numbers(), Wording(by)
    torch.manual_seed(seed)
    model = captioner(wording, context, **options)
    known_before = tens_known(model, task, wording)
    some = task.held_out.first(500)

    def validate(model: Captioner) -> dict[str, float]:
        return {"exact": exact_match(say(model, some.images, wording), names(some))}

    history = yield from train_with_adam(
        model,
        CaptionBatches(task.train, wording, batch),
        loss=loss,
        steps=steps,
        learning_rate=learning_rate,
        validate=validate,
        every=every,
        seed=seed,
    )
    model.eval()
    sets = {"held out": task.held_out, "unseen": task.unseen, "train": task.train.first(1_000)}
    said = {name: say(model, pictures.images, wording) for name, pictures in sets.items()}
    batches = CaptionBatches(task.held_out, wording, 250, shuffle=False)
    pairs = zip(names(task.held_out), said["held out"], strict=True)
    return {
        "exact": {name: exact_match(said[name], names(sets[name])) for name in sets},
        "curve": [list(point) for point in history.validation["exact"]],
        "tokens right": teacher_forced_accuracy(model, task.held_out, wording),
        "loss": evaluate(model, batches, loss=captioner_loss),
        "loss, other pictures": evaluate(model, batches, loss=exchanged_loss),
        "rest right": {
            "right first word": rest_right(model, task.held_out, wording, wrong=False),
            "wrong first word": rest_right(model, task.held_out, wording, wrong=True),
        },
        "digits right": digits_right(task.held_out, said["held out"]),
        "tens known, untrained": known_before,
        "tens known": tens_known(model, task, wording),
        "different captions": len(set(said["held out"])),
        "wrong": [list(pair) for pair in pairs if pair[0] != pair[1]][:12],
        "parameters": count_parameters(model),
    }


def _fingerprint() -> str:
    task = handwritten_numbers()
    return fingerprint(*(tensor for pictures in task for tensor in pictures))


@experiment(
    variants={
        f"{context}, by {by}": {"context": context, "by": by}
        for by in ("words", "letters")
        for context in HIDDEN
    },
    seeds=range(5),
    settings={"steps": 1000, "batch": 64, "learning_rate": 3e-3, "every": 100},
    data=_fingerprint,
)
def contexts(seed: int, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """Where a captioner should see its picture, at one budget."""
    return (yield from _learn(seed, **settings))


@experiment(
    variants={
        "first input, by words": {"context": "first input", "by": "words"},
        "first input, by letters": {"context": "first input"},
        "first state, by letters": {"context": "first state"},
        "first state, by letters, LSTM": {"context": "first state", "layer": "LSTM"},
    },
    seeds=range(3),
    settings={"by": "letters", "steps": 3000, "batch": 64, "learning_rate": 3e-3, "every": 300},
    data=_fingerprint,
)
def seen_once(seed: int, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """Whether a captioner that sees its picture once needs no more than more steps."""
    return (yield from _learn(seed, **settings))


@experiment(
    variants={
        **{f"{context}, by letters": {"context": context} for context in HIDDEN},
        "first state, by words": {"context": "first state", "by": "words"},
        "first state, by letters, a third of the rate": {
            "context": "first state",
            "learning_rate": 1e-3,
        },
        "first state, by letters, LSTM": {"context": "first state", "layer": "LSTM"},
    },
    seeds=range(5),
    settings={
        "by": "letters",
        "steps": 1000,
        "batch": 64,
        "learning_rate": 3e-3,
        "every": 100,
        "normalised": False,
    },
    data=_fingerprint,
)
def raw_pictures(seed: int, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """How a picture gets lost whose vector is not normalised."""
    return (yield from _learn(seed, **settings))


@experiment(
    variants={f"by {by}": {"by": by} for by in ("words", "letters")},
    seeds=range(5),
    settings={
        "context": "every step",
        "steps": 1000,
        "batch": 64,
        "learning_rate": 3e-3,
        "every": 100,
    },
    data=_fingerprint,
)
def counted_padding(seed: int, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """How much it costs to count the padding in the loss."""
    return (yield from _learn(seed, loss=padded_loss, **settings))
