"""What is wrong with a translation: small checks that need no second language model."""

from __future__ import annotations

import re


def words_of(text: str) -> list[str]:
    """Give the words of a text in lower case; an apostrophe stays with the word before it.

    Examples
    --------
    >>> words_of("J'ai 2 chats, Tom.")
    ["j'", 'ai', 'chats', 'tom']
    """
    return re.findall(r"[^\W\d_]+'?", text.lower())
