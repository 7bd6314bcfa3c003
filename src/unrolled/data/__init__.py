"""The data of the book, one module for each task; nothing is downloaded unless a page says so."""

from unrolled.data.corpora import Corpus, corpus
from unrolled.data.python_source import Highlighting, TaggedText, colour_letters, highlighting
from unrolled.data.vocab import Vocab
from unrolled.data.windows import ContiguousWindows, RandomWindows, Window

__all__ = [
    "ContiguousWindows",
    "Corpus",
    "Highlighting",
    "RandomWindows",
    "TaggedText",
    "Vocab",
    "Window",
    "colour_letters",
    "corpus",
    "highlighting",
]
