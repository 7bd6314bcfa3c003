"""Statements of Python programs, and for each letter whether its name is about to be called.

Whether a name is called is decided by the bracket after it. Whoever reads a statement from left to
right and says at each letter what it belongs to has to guess.
"""

from __future__ import annotations

import io
import keyword
import tokenize
from typing import NamedTuple

import torch
from torch import Tensor

from unrolled.data.corpora import LETTERS, TRAINING_MODULES, VALIDATION_MODULES
from unrolled.data.python_source import module_source
from unrolled.data.vocab import Vocab

CLASSES = ("other", "keyword", "name", "call", "string")
SHORTEST, LONGEST = 10, 120


class Statements(NamedTuple):
    """Letters of each statement and their classes: lists of tensors ``int64``, ``(time,)``."""

    tokens: list[Tensor]
    labels: list[Tensor]


class CallTagging(NamedTuple):
    """The task: statements of different modules, and how to read their numbers."""

    train: Statements
    held_out: Statements
    vocab: Vocab
    classes: tuple[str, ...]


def call_tagging() -> CallTagging:
    """Load the task: which letters belong to a name that is about to be called.

    The statements come from Python's own standard library: those of the training modules of
    ``corpus("python")``, and as held-out ones those of its validation modules. Each counts once,
    however often it stands there, and a held-out statement does not stand in a training module.
    They have ``SHORTEST`` to ``LONGEST`` letters, all on one line. A statement that is nothing but
    a string, as a docstring is, is left out; so is a comment.

    Raises
    ------
    ModuleNotFoundError
        If the interpreter came without its standard library's source.

    Examples
    --------
    >>> task = call_tagging()
    >>> len(task.vocab), task.classes
    (96, ('other', 'keyword', 'name', 'call', 'string'))
    >>> [len(statements.tokens) // 1000 for statements in task[:2]]
    [23, 2]
    """
    train, held_out = _collect(TRAINING_MODULES), _collect(VALIDATION_MODULES)
    unseen = {text: labels for text, labels in held_out.items() if text not in train}
    vocab = Vocab(LETTERS)

    def numbers(statements: dict[str, list[int]]) -> Statements:
        return Statements(
            [*map(vocab.encode, statements)], [*map(torch.tensor, statements.values())]
        )

    return CallTagging(numbers(train), numbers(unseen), vocab, CLASSES)


def tagged_statements(source: str) -> list[tuple[str, list[int]]]:
    r"""Give the statements of a Python program, each with the class of each of its letters.

    The classes are numbers into ``CLASSES``. A name is *called* where the next token is an opening
    bracket, unless ``def`` or ``class`` stands before the name. A keyword is one of
    ``keyword.kwlist``. A string goes from its prefix to its last quote; so does an f-string, braces
    included. All the rest is "other": numbers, operators, brackets, spaces.

    A statement begins at its first token and ends at its last, so neither indentation nor a comment
    belongs to it. Those that go over several lines are left out, and those that are one or more
    strings and nothing else.

    Raises
    ------
    SyntaxError, tokenize.TokenError
        If the text is not a Python program.

    Examples
    --------
    >>> for text, labels in tagged_statements("if x:\n    print(x + 1)  # so\n"):
    ...     print(text, "".join("okncs"[label] for label in labels))
    if x: kkono
    print(x + 1) ccccconooooo
    """
    found = []
    for statement in _statements(source):
        row, begin = statement[0].start
        end = statement[-1].end[1]
        if statement[-1].end[0] != row or all(token.kind == "STRING" for token in statement):
            continue
        labels = [CLASSES.index("other")] * (end - begin)
        for place, token in enumerate(statement):
            before = statement[place - 1].text if place else ""
            after = statement[place + 1].text if place + 1 < len(statement) else ""
            letters = slice(token.start[1] - begin, token.end[1] - begin)
            labels[letters] = [_class(token, before, after)] * len(labels[letters])
        found.append((statement[0].line[begin:end], labels))
    return found


class _Token(NamedTuple):
    kind: str
    text: str
    start: tuple[int, int]
    end: tuple[int, int]
    line: str


def _statements(source: str) -> list[list[_Token]]:
    """Give the tokens of each statement, an f-string as one, whatever the interpreter makes of it.

    From Python 3.12 on, an f-string is several tokens, and other f-strings may stand inside.
    """
    statements: list[list[_Token]] = [[]]
    opened: list[tuple[int, int]] = []  # where the f-strings that are open began
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind, start = tokenize.tok_name[token.type], token.start
        if kind == "FSTRING_START":
            opened.append(start)
        elif kind == "FSTRING_END":
            kind, start = "STRING", opened.pop()
        if kind == "NEWLINE":
            statements.append([])
        elif not opened and kind in ("NAME", "NUMBER", "OP", "STRING"):
            statements[-1].append(_Token(kind, token.string, start, token.end, token.line))
    return [statement for statement in statements if statement]


def _class(token: _Token, before: str, after: str) -> int:
    if token.kind == "STRING":
        return CLASSES.index("string")
    if token.kind != "NAME":
        return CLASSES.index("other")
    if keyword.iskeyword(token.text):
        return CLASSES.index("keyword")
    called = after == "(" and before not in ("def", "class")
    return CLASSES.index("call" if called else "name")


def _collect(modules: str) -> dict[str, list[int]]:
    """Give the distinct statements of some modules that have a length which the task uses."""
    return {
        text: labels
        for module in modules.split()
        for text, labels in tagged_statements(module_source(module))
        if SHORTEST <= len(text) <= LONGEST and set(text) <= set(LETTERS)
    }
