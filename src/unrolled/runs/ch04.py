"""The recorded run of chapter 4: one network that reads a question and goes on with the answer."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import torch

from unrolled.data import RomanBatches, RomanNumerals, roman_numeral, roman_numerals
from unrolled.data.roman import END, SEPARATOR
from unrolled.decoding import greedy
from unrolled.metrics import exact_match
from unrolled.models import LanguageModel, masked_language_loss
from unrolled.runs.recipe import LAYERS, count_parameters, train_with_adam
from unrolled.runs.registry import experiment, fingerprint
from unrolled.training import evaluate


def answer(model: LanguageModel, task: RomanNumerals, numbers: Sequence[int]) -> list[str]:
    """Let a model read each number and the separator, and go on until it ends.

    Numbers with equally many digits are read together, so that nothing is padded.
    """
    separator, end = task.vocab.encode([SEPARATOR, END])
    answers = {}
    for digits in sorted({len(str(number)) for number in numbers}):
        alike = [number for number in numbers if len(str(number)) == digits]
        question = torch.stack([task.vocab.encode(str(number)) for number in alike])
        with torch.no_grad():
            _, state = model(question)  # (batch, digits): no logit is used yet
        first = separator.expand(len(alike))
        written = greedy(model.step, state, bos=first, eos=int(end), max_steps=20)
        for number, row in zip(alike, written, strict=True):
            answers[number] = "".join(task.vocab.decode(row)).split(END)[0]
    return [answers[number] for number in numbers]


def right(model: LanguageModel, task: RomanNumerals, numbers: Sequence[int]) -> float:
    """Give the share of numbers that a model writes without a fault."""
    return exact_match(answer(model, task, numbers), [roman_numeral(n) for n in numbers])


@experiment(
    variants={
        **{
            f"{layer}, rate {rate:g}": {"layer": layer, "learning_rate": rate}
            for layer in ("RNN", "GRU", "LSTM")
            for rate in (2e-3, 5e-3, 1e-2)
        },
        "RNN, 2,000 steps": {"layer": "RNN", "learning_rate": 2e-3, "steps": 2000},
        "GRU, every token counts": {"layer": "GRU", "learning_rate": 1e-2, "everything": True},
    },
    seeds=range(5),
    settings={
        "hidden": 128,
        "embedding": 16,
        "steps": 600,
        "batch": 64,
        "everything": False,
    },
    data=lambda: fingerprint(*map(roman_numerals().encode, (*roman_numerals().train, 1987))),
)
def roman(
    seed: int,
    layer: str,
    hidden: int,
    embedding: int,
    steps: int,
    batch: int,
    learning_rate: float,
    everything: bool,
) -> Generator[float, None, dict[str, Any]]:
    """How a network that reads digits and goes on in Roman numerals learns, with what counted."""
    task = roman_numerals()
    torch.manual_seed(seed)
    model = LanguageModel(len(task.vocab), layer=LAYERS[layer](embedding, hidden))
    history = yield from train_with_adam(
        model,
        RomanBatches(task, task.train, batch, everything),
        loss=masked_language_loss,
        steps=steps,
        learning_rate=learning_rate,
        validate=lambda model: {"right": right(model, task, task.held_out)},
        every=50,
        seed=seed,
    )
    held_out = RomanBatches(task, task.held_out, batch=500)
    answers = dict(zip(task.held_out, answer(model, task, task.held_out), strict=True))
    wrong = {
        str(number): written
        for number, written in answers.items()
        if written != roman_numeral(number)
    }
    return {
        "right": history.validation["right"],
        "nats of the answer": evaluate(model, held_out, loss=masked_language_loss),
        "wrong": wrong,
        "parameters": count_parameters(model),
    }
