"""What an editor colours: whether a letter of a Python program is code, string or comment.

The programs are modules of Python's own standard library, read from the reader's interpreter. Their
text is the same in Python 3.11.7, 3.12.1 and 3.13.0.
"""

from __future__ import annotations

import html
import importlib.util
import io
import tokenize
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from unrolled.data.vocab import Vocab

CLASSES = ("code", "string", "comment")

TRAINING_MODULES = (
    "optparse",
    "difflib",
    "email.header",
    "email.headerregistry",
    "concurrent.futures._base",
    "tomllib._parser",
    "zoneinfo._zoneinfo",
    "tracemalloc",
    "json",
    "xml.sax.handler",
    "xml.etree.ElementPath",
    "unittest.suite",
    "xml.dom.xmlbuilder",
    "xml.sax.saxutils",
    "pyclbr",
    "email.contentmanager",
    "email.quoprimime",
    "_markupbase",
    "email._encoded_words",
    "py_compile",
    "_threading_local",
    "asyncio.protocols",
    "wsgiref.headers",
)
HELD_OUT_MODULES = (
    "heapq",
    "weakref",
    "string",
    "graphlib",
    "xml.dom.pulldom",
    "urllib.robotparser",
)


class TaggedText(NamedTuple):
    """Windows of text and the class of each letter: both ``int64``, ``(windows, time)``."""

    tokens: Tensor
    labels: Tensor


class Highlighting(NamedTuple):
    """The task: two sets of windows from different modules, and how to read their numbers."""

    train: TaggedText
    held_out: TaggedText
    vocab: Vocab
    classes: tuple[str, ...]


def highlighting(time: int = 200) -> Highlighting:
    """Load the highlighting task.

    Every window starts at the start of a line that is not inside a string, so that whoever reads
    from the window's first letter on can know the class of nearly every letter. Windows do not
    overlap, and no module gives windows to both sets.

    Parameters
    ----------
    time
        Letters in a window.

    Raises
    ------
    ValueError
        If ``time`` is below 1, or so long that a set has no window.
    ModuleNotFoundError
        If the interpreter came without its standard library's source.
    """
    if time < 1:
        raise ValueError(f"time is {time}; expected at least 1 letter in a window")
    train_text, train_labels = _windows(TRAINING_MODULES, time)
    held_text, held_labels = _windows(HELD_OUT_MODULES, time)
    vocab = Vocab("".join(train_text), unknown=True)

    def tagged(texts: list[str], labels: list[list[int]]) -> TaggedText:
        return TaggedText(torch.stack([vocab.encode(text) for text in texts]), torch.tensor(labels))

    return Highlighting(
        tagged(train_text, train_labels), tagged(held_text, held_labels), vocab, CLASSES
    )


def module_source(name: str) -> str:
    """Give the text of a module of the standard library, without running it.

    Raises
    ------
    ModuleNotFoundError
        If this interpreter does not have the module's source.
    """
    spec = importlib.util.find_spec(name)
    source = spec.loader.get_source(name) if spec else None
    if source is None:
        raise ModuleNotFoundError(
            f"this Python has no source of its module {name!r}; install Python with its complete "
            "standard library (on Debian and Ubuntu: the package libpython3-stdlib)"
        )
    return source


def letter_classes(source: str) -> list[int]:
    """Give the class of each letter of a Python program: 0 code, 1 string, 2 comment.

    An f-string is a string from its prefix to its last quote, braces included, also where the
    interpreter splits it into several tokens (Python 3.12 and later).

    Raises
    ------
    SyntaxError, tokenize.TokenError
        If the text is not a Python program.

    Examples
    --------
    >>> letter_classes("a = '#'  # b")
    [0, 0, 0, 0, 1, 1, 1, 0, 0, 2, 2, 2]
    """
    starts = _line_starts(source)
    labels = [CLASSES.index("code")] * len(source)
    opened: list[int] = []  # where the f-strings that are open began
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        begin = starts[token.start[0] - 1] + token.start[1]
        end = starts[token.end[0] - 1] + token.end[1]
        if kind == "FSTRING_START":
            opened.append(begin)
        elif kind == "FSTRING_END":
            begin = opened.pop()
        if kind in ("STRING", "FSTRING_END", "COMMENT"):
            label = CLASSES.index("comment" if kind == "COMMENT" else "string")
            labels[begin:end] = [label] * (end - begin)
    return labels


class ClosingQuote(NamedTuple):
    """Where a string ends: the place of its last quote, the letters inside, the quote."""

    place: int
    letters: int
    quote: str


def closing_quotes(source: str) -> list[ClosingQuote]:
    r"""Find the quotes that close the strings of a Python program.

    Only strings on one line, in single quotes (``'``) or double quotes (``"``), count: not those
    with three quotes, and no f-strings.

    Raises
    ------
    SyntaxError, tokenize.TokenError
        If the text is not a Python program.

    Examples
    --------
    >>> closing_quotes("print('a', \"bc\")")
    [ClosingQuote(place=8, letters=1, quote="'"), ClosingQuote(place=14, letters=2, quote='"')]
    """
    starts = _line_starts(source)
    found = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        body = token.string.lstrip("rbuRBU")
        quote = body[:1]
        if token.type != tokenize.STRING or quote not in ("'", '"') or body[:3] == 3 * quote:
            continue
        if token.start[0] == token.end[0]:
            place = starts[token.end[0] - 1] + token.end[1] - 1
            found.append(ClosingQuote(place, len(body) - 2, quote))
    return found


def colour_letters(text: str, labels: Sequence[int]) -> str:
    """Give HTML that shows a program with each letter in its class's colour.

    Parameters
    ----------
    text
        The program.
    labels
        The class of each letter, numbers into ``CLASSES``.

    Raises
    ------
    ValueError
        If there are not as many labels as letters.

    Examples
    --------
    >>> print(colour_letters("a#", [0, 2]))  # doctest: +ELLIPSIS
    <pre ...>a<span style="...">#</span></pre>
    """
    if len(labels) != len(text):
        raise ValueError(f"{len(labels)} labels came for {len(text)} letters")
    styles = {
        CLASSES.index("string"): "color: var(--unrolled-output, #00785a); font-weight: bold",
        CLASSES.index("comment"): "color: var(--unrolled-gradient, #a8326e); font-style: italic",
    }
    parts, begin = [], 0
    for end in range(1, len(text) + 1):
        if end == len(text) or labels[end] != labels[begin]:
            piece = html.escape(text[begin:end])
            style = styles.get(int(labels[begin]))
            parts.append(f'<span style="{style}">{piece}</span>' if style else piece)
            begin = end
    return f'<pre style="white-space: pre-wrap">{"".join(parts)}</pre>'


def _line_starts(source: str) -> list[int]:
    starts = [0]
    for line in io.StringIO(source):
        starts.append(starts[-1] + len(line))
    return starts


def _windows(modules: Sequence[str], time: int) -> tuple[list[str], list[list[int]]]:
    string = CLASSES.index("string")
    texts, labels = [], []
    for name in modules:
        source = module_source(name)
        classes = letter_classes(source)
        next_free = 0
        for start in _line_starts(source):
            inside_string = start > 0 and classes[start - 1 : start + 1] == [
                string,
                string,
            ]
            if start >= next_free and start + time <= len(source) and not inside_string:
                texts.append(source[start : start + time])
                labels.append(classes[start : start + time])
                next_free = start + time
    if not texts:
        raise ValueError(
            f"no module is as long as a window of {time} letters; choose a shorter one"
        )
    return texts, labels
