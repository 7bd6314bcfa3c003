"""From tokens to whole numbers and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat

import numpy as np
import torch
from torch import Tensor


class Vocab:
    """Number the distinct tokens of a text, in sorted order.

    Parameters
    ----------
    tokens
        Any tokens, repeated or not. A string is a sequence of letters.
    unknown
        Whether token 0 is ``"<unk>"``, which stands for every token that was not given here.

    Raises
    ------
    ValueError
        If there are no tokens.

    Examples
    --------
    >>> vocab = Vocab("what time is it", unknown=True)
    >>> vocab.encode("tea")
    tensor([8, 3, 2])
    >>> vocab.decode(vocab.encode("team?"))
    ['t', 'e', 'a', 'm', '<unk>']
    """

    UNKNOWN = "<unk>"

    def __init__(self, tokens: Iterable[str], unknown: bool = False) -> None:
        distinct = sorted(set(tokens) - {self.UNKNOWN})
        if not distinct:
            raise ValueError("the text is empty; expected at least one token")
        self.tokens = ([self.UNKNOWN] if unknown else []) + distinct
        self._numbers = {token: number for number, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, tokens: Sequence[str]) -> Tensor:
        """Give the numbers of a sequence of tokens, ``int64``, ``(time,)``.

        Raises
        ------
        ValueError
            If a token is not in the vocabulary and there is no ``"<unk>"``.
        """
        unknown = self._numbers.get(self.UNKNOWN)
        numbers = list(map(self._numbers.get, tokens, repeat(unknown)))
        if None in numbers:
            place = numbers.index(None)
            raise ValueError(
                f"token {tokens[place]!r} at place {place} is not among the {len(self)} tokens of "
                "this vocabulary; make it with unknown=True, or from a text that has the token"
            )
        return torch.from_numpy(np.array(numbers, dtype=np.int64))  # faster than torch.tensor

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """Give the tokens of numbers.

        Raises
        ------
        ValueError
            If a number is below 0 or past the last token.
        """
        if isinstance(numbers, Tensor):
            numbers = numbers.tolist()  # one by one, the numbers of a tensor are slow
        tokens = []
        for number in map(int, numbers):
            if not 0 <= number < len(self):
                raise ValueError(f"number {number} came; expected 0 to {len(self) - 1}")
            tokens.append(self.tokens[number])
        return tokens
