"""The data of the book, one module for each task; nothing is downloaded unless a page says so."""

from unrolled.data.highlighting import Highlighting, colour_letters, highlighting
from unrolled.data.vocab import Vocab

__all__ = ["Highlighting", "Vocab", "colour_letters", "highlighting"]
