"""Counting instead of learning: the model that the networks of the book have to beat."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.checking import check_tokens


class _Order(NamedTuple):
    """What is known of all grams of one length. A gram's number is its place in ``keys``."""

    keys: NDArray[np.int64]  # number of the gram without its last token, times V, plus that token
    counts: NDArray[np.float64]
    totals: NDArray[np.float64]  # of the grams that share a context, by the context's number
    saved: NDArray[np.float64]  # what discounting takes from them, for the tokens not seen there
    discounts: NDArray[np.float64]  # of a count of 0, 1, 2, and 3 or more


class NGramModel:
    r"""Predict a token from the ``order - 1`` tokens before it, by modified Kneser-Ney counts.

    With :math:`c(h, w)` the number of times that token :math:`w` followed the context :math:`h`,
    :math:`c(h)` their sum over :math:`w`, and :math:`h'` the context without its first token,

    .. math:: p(w \mid h) = \frac{c(h, w) - d(c(h, w))}{c(h)}
              + \frac{\sum_v d(c(h, v))}{c(h)}\, p(w \mid h')

    The discount :math:`d` takes a little from every count, relatively most from counts of 1, and
    hands it to what the shorter context knows. A context that was never seen leaves all to its
    shorter one, and the shortest of all is a uniform guess. For all but the longest grams,
    :math:`c(h, w)` is the number of different tokens that stood before the gram, not how often the
    gram came. This is the interpolated form of Kneser and Ney (1995) with the three discounts of
    Chen and Goodman (1999), section 3.

    Parameters
    ----------
    tokens
        The training text, ``int64``, ``(time,)``.
    vocab_size
        Number of tokens that there are.
    order
        Length of the longest gram: the token itself and ``order - 1`` tokens of context.

    Raises
    ------
    TypeError
        If ``tokens`` is not a tensor of whole numbers.
    ValueError
        If ``tokens`` has another shape or is shorter than ``order``, a token is not below
        ``vocab_size``, or ``order`` is below 1.

    Examples
    --------
    >>> text = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
    >>> model = NGramModel(text, vocab_size=4, order=3)
    >>> model.log_probabilities(torch.tensor([0, 1, 2, 3])).exp().numpy().round(2)
    array([0.28, 0.57, 0.67, 0.07])
    """

    def __init__(self, tokens: Tensor, vocab_size: int, order: int) -> None:
        if order < 1:
            raise ValueError(f"order is {order}; expected at least 1, a token without context")
        self.vocab_size, self.order = vocab_size, order
        text = self._checked(tokens)
        if len(text) < order:
            raise ValueError(
                f"the text has {len(text)} tokens; expected at least {order}, as many as the order"
            )
        # gram[k][i]: number of the gram of k tokens that ends at place i, -1 where it does not fit
        grams = [np.zeros(len(text), dtype=np.int64)]
        keys, first_places = [], []
        for length in range(1, order + 1):
            context = _shift(grams[-1], fill=0 if length == 1 else -1)
            fits = slice(length - 1, None)
            found, first, number = np.unique(
                (context * vocab_size + text)[fits], return_index=True, return_inverse=True
            )
            keys.append(found)
            first_places.append(first + length - 1)
            grams.append(np.full(len(text), -1))
            grams[-1][fits] = number
        self._orders = []
        for length in range(1, order + 1):
            if length == order:
                counted = grams[length][length - 1 :]
            else:  # each different longer gram counts once, for the gram that it ends with
                counted = grams[length][first_places[length]]
            counts = np.bincount(counted, minlength=len(keys[length - 1])).astype(float)
            contexts = keys[length - 1] // vocab_size
            discounts = _discounts(counts)
            taken = discounts[np.minimum(counts, 3).astype(int)]
            self._orders.append(
                _Order(
                    keys[length - 1],
                    counts,
                    np.bincount(contexts, weights=counts),
                    np.bincount(contexts, weights=taken),
                    discounts,
                )
            )

    def log_probabilities(self, tokens: Tensor) -> Tensor:
        """Give the logarithm of the probability of each token, after those before it.

        Parameters
        ----------
        tokens
            ``int64``, ``(time,)``.

        Returns
        -------
        Tensor
            Natural logarithms, ``float64``, ``(time,)``. The first tokens have shorter contexts.

        Raises
        ------
        TypeError, ValueError
            As for the training text.
        """
        return torch.from_numpy(self._log_probabilities(self._checked(tokens)[None])[0])

    def step(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Give what may come next, as :func:`unrolled.decoding.sample` asks for it.

        Parameters
        ----------
        tokens
            The last token of each text, ``int64``, ``(batch,)``.
        state
            The tokens before, ``(batch, time)``; none at the start.

        Returns
        -------
        log_probs : Tensor
            ``(batch, vocab)``.
        state : Tensor
            As many of the last tokens as the model looks at, ``(batch, time)``.
        """
        before = tokens[:, None] if state is None else torch.cat([state, tokens[:, None]], dim=1)
        before = before[:, max(0, before.shape[1] - self.order + 1) :]  # (batch, context)
        candidates = torch.arange(self.vocab_size)
        texts = torch.cat(
            [
                before.repeat_interleave(self.vocab_size, dim=0),
                candidates.repeat(len(before))[:, None],
            ],
            dim=1,
        )  # (batch * vocab, context + 1): every context with every token after it
        scores = self._log_probabilities(texts.numpy())[:, -1]
        return torch.from_numpy(scores).view(len(before), self.vocab_size), before

    def _log_probabilities(self, texts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Give the same for many texts of one length, ``(texts, time)``."""
        probability = np.full(texts.shape, 1 / self.vocab_size)
        context = np.zeros(texts.shape, dtype=np.int64)  # the gram of length 0
        for known in self._orders:
            key = context * self.vocab_size + texts
            place = np.minimum(np.searchsorted(known.keys, key), len(known.keys) - 1)
            seen = (known.keys[place] == key) & (context >= 0)
            counted = np.where(seen, known.counts[place], 0.0)
            # A context that is only the text's last gram has no tokens after it.
            usable = (context >= 0) & (context < len(known.totals))
            total = np.where(usable, known.totals[np.where(usable, context, 0)], 0.0)
            saved = np.where(usable, known.saved[np.where(usable, context, 0)], 0.0)
            followed = total > 0
            safe = np.where(followed, total, 1.0)
            kept = counted - known.discounts[np.minimum(counted, 3).astype(int)]
            longer = (kept + saved * probability) / safe
            probability = np.where(followed, longer, probability)
            context = _shift(np.where(seen, place, -1), fill=-1)
        return np.log(probability)

    def _checked(self, tokens: Tensor) -> NDArray[np.int64]:
        check_tokens("tokens", tokens, ("time",), self.vocab_size)
        return tokens.numpy()


def _discounts(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give what is taken from a count of 0, 1, 2, and 3 or more."""
    n1, n2, n3, n4 = (max(1, int((counts == value).sum())) for value in (1, 2, 3, 4))
    share = n1 / (n1 + 2 * n2)
    discounts = [0, 1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3]
    # A text of a few tokens may give numbers that are no discounts.
    return np.clip(discounts, [0, 0.1, 0.1, 0.1], [0, 0.9, 1.9, 2.9])


def _shift(numbers: NDArray[np.int64], fill: int) -> NDArray[np.int64]:
    """Move numbers one place to the right along the last axis."""
    moved = np.roll(numbers, 1, axis=-1)
    moved[..., 0] = fill
    return moved
