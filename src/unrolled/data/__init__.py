"""The data of the book, one module for each task; nothing is downloaded unless a page says so."""

from unrolled.data.python_source import Highlighting, TaggedText, colour_letters, highlighting
from unrolled.data.vocab import Vocab

__all__ = ["Highlighting", "TaggedText", "Vocab", "colour_letters", "highlighting"]
