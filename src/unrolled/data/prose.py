"""Telling prose from program: was a piece of text cut out of a docstring, or out of code."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from unrolled.data.corpora import TRAINING_MODULES, VALIDATION_MODULES
from unrolled.data.python_source import CLASSES, letter_classes, module_source


class LabelledTexts(NamedTuple):
    """Texts, and the class of each, ``int64``, ``(texts,)``."""

    texts: list[str]
    labels: Tensor


class ProseOrProgram(NamedTuple):
    """The task: two sets of pieces from different modules."""

    train: LabelledTexts
    held_out: LabelledTexts
    classes: tuple[str, str]


def prose_or_program(letters: int = 32) -> ProseOrProgram:
    """Load pieces of Python's own library, half of them from strings and half from code.

    A piece of class ``"prose"`` lies wholly inside a string, nearly always a docstring, a piece of
    class ``"program"`` wholly outside strings and comments; no piece is blank or holds a ``#`` or
    three quotes, which would give the answer away. Pieces do not overlap and stand in a random
    order, always the same. The modules are those of ``corpus("python")``: of its training set and
    of its validation set.

    Parameters
    ----------
    letters
        In each piece.

    Raises
    ------
    ValueError
        If ``letters`` is below 1, or so large that a class has no piece.
    ModuleNotFoundError
        If the interpreter came without its standard library's source.
    """
    if letters < 1:
        raise ValueError(f"letters is {letters}; expected at least 1 in a piece")
    return ProseOrProgram(
        _balanced(TRAINING_MODULES.split(), letters),
        _balanced(VALIDATION_MODULES.split(), letters),
        ("program", "prose"),
    )


def _balanced(modules: Sequence[str], letters: int) -> LabelledTexts:
    found: tuple[list[str], list[str]] = ([], [])
    wanted = [{CLASSES.index("code")}, {CLASSES.index("string")}]
    for name in modules:
        source = module_source(name)
        classes = letter_classes(source)
        for begin in range(0, len(source) - letters + 1, letters):
            piece, kinds = source[begin : begin + letters], set(classes[begin : begin + letters])
            if kinds in wanted and piece.strip() and '"""' not in piece and "#" not in piece:
                found[wanted.index(kinds)].append(piece)
    number = min(map(len, found))
    if not number:
        raise ValueError(f"no piece is {letters} letters long; choose a smaller number")
    order = random.Random(0)  # independent of every other random number
    pairs = [
        (text, label) for label, texts in enumerate(found) for text in order.sample(texts, number)
    ]
    order.shuffle(pairs)
    return LabelledTexts([text for text, _ in pairs], torch.tensor([label for _, label in pairs]))
