"""What is measured: how well a model predicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from sacrebleu.metrics import BLEU
from torch import Tensor


def perplexity(loss: float | Tensor) -> float:
    """Give the number of equally likely tokens that would be as hard to guess.

    With :math:`L` the mean negative log-likelihood of a token, in nats, it is :math:`e^L`: 1 for
    a model that is always sure and right, the size of the vocabulary for one that knows nothing.

    Parameters
    ----------
    loss
        In nats for each token: a number, or a tensor with one number.

    Returns
    -------
    float
        At least 1; infinite where it is too large for a float.

    Raises
    ------
    TypeError
        If ``loss`` is not a number.
    ValueError
        If it is several numbers, not a number (NaN), or negative.

    Examples
    --------
    >>> round(perplexity(math.log(96)), 6)   # 96 tokens, all equally likely
    96.0
    """
    nats = _nats(loss)
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf


def bits_per_character(loss: float | Tensor) -> float:
    r"""Give the bits that a character costs, on average, in a file that the model compresses.

    With :math:`L` the mean negative log-likelihood of a character, in nats, it is
    :math:`L / \ln 2` [1]_. Where a token is a character, ``2 ** bits`` is the perplexity.

    Parameters
    ----------
    loss
        In nats for each character: a number, or a tensor with one number.

    Returns
    -------
    float
        In bits.

    Raises
    ------
    TypeError
        If ``loss`` is not a number.
    ValueError
        If it is several numbers, not a number (NaN), or negative.

    References
    ----------
    .. [1] C. E. Shannon, "A mathematical theory of communication", Bell System Technical Journal
       27, 1948, sections 6 and 9.

    Examples
    --------
    >>> bits_per_character(math.log(256))    # 256 characters, all equally likely
    8.0
    """
    return _nats(loss) / math.log(2)


def accuracy(scores: Tensor, targets: Tensor, mask: Tensor | None = None) -> float:
    """Give the share of steps at which the class with the highest score is the right one.

    Parameters
    ----------
    scores
        Logits or probabilities, ``(..., classes)``, such as ``(batch, time, classes)``.
    targets
        Right classes, whole numbers, ``(...)``.
    mask
        ``bool``, ``(...)``, true where a step counts; without it all do.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    TypeError
        If ``targets`` are not whole numbers, or the mask is not ``bool``.
    ValueError
        If shapes do not fit, no step counts, or at a step that counts a score is not a number or
        the target is no class.

    Examples
    --------
    >>> scores = torch.tensor([[[0.1, 0.9], [0.8, 0.2], [0.5, 0.6]]])   # (batch, time, classes)
    >>> targets = torch.tensor([[1, 1, 0]])
    >>> accuracy(scores, targets, mask=torch.tensor([[True, True, False]]))
    0.5
    """
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise TypeError(f"targets is {targets.dtype}; expected whole numbers, such as int64")
    if scores.shape[:-1] != targets.shape or scores.dim() == 0:
        raise ValueError(
            f"scores has shape {tuple(scores.shape)} and targets {tuple(targets.shape)}; expected "
            "the same, but for the classes at the end of scores"
        )
    if mask is not None:
        if mask.dtype != torch.bool:
            raise TypeError(f"mask is {mask.dtype}; expected bool, true where a step counts")
        if mask.shape != targets.shape:
            raise ValueError(f"mask has shape {tuple(mask.shape)}; expected {tuple(targets.shape)}")
        scores, targets = scores[mask], targets[mask]  # (steps, classes), (steps,)
    if not targets.numel():
        raise ValueError("no step counts; expected at least one")
    if scores.isnan().any():
        raise ValueError("a score is NaN at a step that counts; expected numbers")
    classes = scores.shape[-1]
    if targets.min() < 0 or targets.max() >= classes:
        raise ValueError(
            f"targets go from {int(targets.min())} to {int(targets.max())}; expected 0 to "
            f"{classes - 1}: where steps do not count, say so with mask"
        )
    return (scores.argmax(-1) == targets).double().mean().item()


def exact_match(predicted: Sequence[Any], expected: Sequence[Any]) -> float:
    """Give the share of answers that are right from beginning to end.

    Parameters
    ----------
    predicted, expected
        Answers that can be compared with ``==``, such as strings or lists of tokens.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    TypeError
        If an answer is a tensor, whose comparison is not yes or no.
    ValueError
        If there are no answers, or not equally many.

    Examples
    --------
    >>> exact_match(["XIV", "MM", "VIII"], ["XIV", "MM", "VIIII"])
    0.6666666666666666
    """
    if len(predicted) != len(expected) or not len(expected):
        raise ValueError(
            f"{len(predicted)} answers came for {len(expected)} expected ones; expected as many, "
            "and at least one"
        )
    if any(isinstance(answer, Tensor) for answer in (*predicted, *expected)):
        raise TypeError("an answer is a tensor; expected strings or lists: take .tolist() of it")
    right = sum(ours == theirs for ours, theirs in zip(predicted, expected, strict=True))
    return right / len(expected)


class Bleu(NamedTuple):
    """A corpus BLEU, from 0 to 100, and what it is made of.

    ``signature`` says how it was counted, so that another can compare; ``precisions`` are those of
    1 to 4 words, in per cent; ``brevity_penalty`` is from 0 to 1.
    """

    score: float
    signature: str
    precisions: list[float]
    brevity_penalty: float


def corpus_bleu(predicted: Sequence[str], expected: Sequence[str | Sequence[str]]) -> Bleu:
    """Give the BLEU [1]_ of translations, as sacreBLEU [2]_ counts it.

    Parameters
    ----------
    predicted
        Translations, as plain text: sacreBLEU cuts them into words itself.
    expected
        For each the right one, or several right ones.

    Returns
    -------
    Bleu
        With the signature.

    Raises
    ------
    TypeError
        If a single text came where a list of them is expected.
    ValueError
        If there are no translations, not as many as expected ones, or one has no right one.

    References
    ----------
    .. [1] K. Papineni, S. Roukos, T. Ward, W.-J. Zhu, "BLEU: a method for automatic evaluation of
       machine translation", ACL 2002, doi:10.3115/1073083.1073135.
    .. [2] M. Post, "A call for clarity in reporting BLEU scores", 2018, arXiv:1804.08771.

    Examples
    --------
    >>> bleu = corpus_bleu(["the cat sat on the mat"], ["the cat sat on a mat"])
    >>> round(bleu.score, 1), bleu.signature.partition("|version")[0]
    (53.7, 'nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp')
    """
    if isinstance(predicted, str) or isinstance(expected, str):
        raise TypeError("a single text came; expected a list of texts")
    if len(predicted) != len(expected) or not len(expected):
        raise ValueError(
            f"{len(predicted)} translations came for {len(expected)} expected ones; expected as "
            "many, and at least one"
        )
    several = [[texts] if isinstance(texts, str) else list(texts) for texts in expected]
    most = max(map(len, several))
    if not all(several):
        raise ValueError(f"translation {several.index([])} has no right one to compare with")
    references = [[texts[i] if i < len(texts) else None for texts in several] for i in range(most)]
    metric = BLEU()
    score = metric.corpus_score(list(predicted), references)
    return Bleu(score.score, str(metric.get_signature()), score.precisions, score.bp)


def _nats(loss: float | Tensor) -> float:
    if isinstance(loss, Tensor) and loss.numel() != 1:
        raise ValueError(
            f"loss has shape {tuple(loss.shape)}; expected one number: the mean over all tokens"
        )
    if not isinstance(loss, int | float | Tensor):
        raise TypeError(f"loss is {type(loss).__name__}; expected a number, in nats for each token")
    nats = float(loss.detach() if isinstance(loss, Tensor) else loss)
    if math.isnan(nats) or nats < 0:
        raise ValueError(
            f"loss is {nats}; expected a mean negative log-likelihood, which is 0 or more"
        )
    return nats
