"""From probabilities to sequences.

Every way of decoding works on a step function ``step(tokens, state) -> (log_probs, state)`` with
``tokens (batch,)`` and ``log_probs (batch, vocab)``, so a language model, a captioner and a
translator share them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from unrolled.checking import check_tokens, check_whole
from unrolled.layers import State, map_state

Step = Callable[[Tensor, State], tuple[Tensor, State]]


@torch.no_grad()
def sample(
    step: Step,
    state: State,
    *,
    bos: Tensor,
    max_steps: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw each token from what the model thinks may come next, and let the model read it.

    Parameters
    ----------
    step
        Gives log-probabilities ``(batch, vocab)`` and the new state.
    state
        Before the first step; ``None`` where nothing was read yet.
    bos
        The token that is read first, ``int64``, ``(batch,)``: the last of a prompt, or one that
        begins a sequence. It is not part of the result.
    max_steps
        Tokens to draw.
    temperature
        Divides the log-probabilities: below 1 likely tokens become likelier, above 1 all become
        more alike.
    top_k
        Draw from the ``top_k`` most likely tokens only (Fan, Lewis and Dauphin 2018); ``None``:
        from all.
    generator
        Of the random numbers; torch's global one if not given.

    Returns
    -------
    Tensor
        ``int64``, ``(batch, max_steps)``.

    Raises
    ------
    TypeError
        If ``bos`` is not a tensor of whole numbers.
    ValueError
        If ``bos`` has another shape, or the other arguments are not above 0.

    Examples
    --------
    >>> def after(tokens, state):   # the token after t is t + 1, of four
    ...     return torch.eye(4)[(tokens + 1) % 4].log(), state
    >>> sample(after, None, bos=torch.tensor([0, 2]), max_steps=5)
    tensor([[1, 2, 3, 0, 1],
            [3, 0, 1, 2, 3]])
    """
    _check_start(bos, max_steps)
    if not 0 < temperature < float("inf"):
        raise ValueError(
            f"temperature is {temperature}; expected a number above 0: as it goes to 0, sampling "
            "becomes the choice of the likeliest token, which is top_k=1"
        )
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}; expected at least 1, or None for all tokens")
    tokens, drawn = bos, []
    for _ in range(max_steps):
        log_probs, state = step(tokens, state)  # (batch, vocab)
        scores = log_probs / temperature
        if top_k is not None and top_k < scores.shape[1]:
            kept = scores.topk(top_k)
            scores = torch.full_like(scores, -torch.inf).scatter(1, kept.indices, kept.values)
        tokens = torch.multinomial(scores.softmax(1), 1, generator=generator)[:, 0]  # (batch,)
        drawn.append(tokens)
    return torch.stack(drawn, dim=1)  # (batch, steps)


@torch.no_grad()
def greedy(step: Step, state: State, *, bos: Tensor, eos: int, max_steps: int) -> Tensor:
    """Take the likeliest token at each step, until every sequence has ended.

    Parameters
    ----------
    step
        Gives log-probabilities ``(batch, vocab)`` and the new state.
    state
        Before the first step.
    bos
        The token that is read first, ``int64``, ``(batch,)``; not part of the result.
    eos
        The token that ends a sequence.
    max_steps
        Tokens at most; a sequence that has not ended by then is cut.

    Returns
    -------
    Tensor
        ``int64``, ``(batch, steps)`` with at most ``max_steps`` steps: what stands after a
        sequence's first ``eos`` is ``eos`` too.

    Raises
    ------
    TypeError
        If ``bos`` is not a tensor of whole numbers.
    ValueError
        If ``bos`` has another shape, or ``max_steps`` is below 1.

    Examples
    --------
    >>> def after(tokens, state):   # the token after t is t + 1, of four
    ...     return torch.eye(4)[(tokens + 1) % 4].log(), state
    >>> greedy(after, None, bos=torch.tensor([0, 2]), eos=3, max_steps=5)
    tensor([[1, 2, 3],
            [3, 3, 3]])
    """
    _check_start(bos, max_steps)
    tokens, chosen = bos, []
    ended = torch.zeros_like(bos, dtype=torch.bool)  # (batch,)
    while len(chosen) < max_steps and not ended.all():
        log_probs, state = step(tokens, state)  # (batch, vocab)
        tokens = log_probs.argmax(1).masked_fill(ended, eos)  # (batch,)
        ended |= tokens == eos
        chosen.append(tokens)
    return torch.stack(chosen, dim=1)  # (batch, steps)


class Beams(NamedTuple):
    """The sequences that a beam search ends with, the best first.

    ``tokens`` is ``int64``, ``(batch, beam, steps)``: what stands after a sequence's first end
    token is the end token too. ``scores`` is ``(batch, beam)``; where there are fewer sequences
    than places in the beam, a score is minus infinity.
    """

    tokens: Tensor
    scores: Tensor


@torch.no_grad()
def beam_search(
    step: Step,
    state: State,
    *,
    bos: Tensor,
    eos: int,
    max_steps: int,
    beam_size: int,
    length_penalty: float = 0.0,
) -> Beams:
    r"""Keep the best few beginnings at each step, and give the best sequences that they lead to.

    The score of a sequence of :math:`n` tokens, its end token among them, is

    .. math:: \frac{1}{n^\alpha} \sum_{t=1}^n \log p(y_t \mid y_1, \dots, y_{t-1})

    with :math:`\alpha` the length penalty: 0 takes the likeliest, 1 that whose tokens are the
    likeliest on average; without, short sequences have the advantage. A sequence that has ended
    stays in the beam as it is until better ones take its place. A beam of 1 without length penalty
    is :func:`greedy`; one as wide as the tree finds the best of all.

    Parameters
    ----------
    step
        Gives log-probabilities ``(batch, vocab)`` and the new state. It is called with as many rows
        as the beams of the batch have together.
    state
        Before the first step; every tensor in it has the batch as its first axis.
    bos
        The token that is read first, ``int64``, ``(batch,)``; not part of the result.
    eos
        The token that ends a sequence.
    max_steps
        Tokens at most; a sequence that has not ended by then is cut.
    beam_size
        Sequences that are kept.
    length_penalty
        The power of the length by which scores are divided, 0 or more.

    Returns
    -------
    Beams
        Tokens and scores.

    Raises
    ------
    TypeError
        If ``bos`` is not a tensor of whole numbers.
    ValueError
        If ``bos`` has another shape, ``max_steps`` or ``beam_size`` is below 1, or the length
        penalty is negative.

    Examples
    --------
    >>> after = torch.tensor([[0.0, 0.55, 0.45], [0.6, 0.4, 0.0], [0.0, 0.1, 0.9]]).log()
    >>> def step(tokens, state):   # 0 ends; 1 is likely, but what comes after it is not
    ...     return after[tokens], state
    >>> start = torch.tensor([0])
    >>> greedy(step, None, bos=start, eos=0, max_steps=2)
    tensor([[1, 0]])
    >>> beams = beam_search(step, None, bos=start, eos=0, max_steps=2, beam_size=2)
    >>> beams.tokens, beams.scores.exp()
    (tensor([[[2, 2],
             [1, 0]]]), tensor([[0.4050, 0.3300]]))
    """
    _check_start(bos, max_steps)
    check_whole(beam_size=beam_size)
    if not 0 <= length_penalty < float("inf"):
        raise ValueError(f"length_penalty is {length_penalty}; expected 0 or more")
    batch = len(bos)
    tokens, sequences = bos, bos.new_empty(batch, 1, 0)  # (batch, beam, steps)
    total = torch.zeros(batch, 1, device=bos.device)  # log-probability, (batch, beam)
    lengths = torch.zeros_like(bos)[:, None]  # (batch, beam)
    ended = torch.zeros_like(lengths, dtype=torch.bool)
    while sequences.shape[2] < max_steps and not ended.all():
        log_probs, state = step(tokens, state)  # (batch * beam, vocab)
        beam, vocab = total.shape[1], log_probs.shape[1]
        stay = torch.full_like(log_probs[0], -torch.inf)
        stay[eos] = 0.0  # the only way on for a sequence that has ended
        log_probs = torch.where(ended[:, :, None], stay, log_probs.view(batch, beam, vocab))
        lengths = lengths + ~ended
        totals = total[:, :, None] + log_probs  # (batch, beam, vocab)
        scores = totals / lengths[:, :, None] ** length_penalty
        best = scores.flatten(1).topk(min(beam_size, beam * vocab))
        parents, chosen = best.indices // vocab, best.indices % vocab  # (batch, beam)
        total = totals.flatten(1).gather(1, best.indices)
        lengths = lengths.gather(1, parents)
        before = sequences.gather(1, parents[:, :, None].expand(-1, -1, sequences.shape[2]))
        sequences = torch.cat([before, chosen[:, :, None]], dim=2)
        ended = ended.gather(1, parents) | (chosen == eos) | (total == -torch.inf)
        rows = (torch.arange(batch, device=bos.device)[:, None] * beam + parents).flatten()
        tokens = chosen.flatten()
        if state is not None:
            state = map_state(lambda part, rows=rows: part[rows], state)
    return Beams(sequences, best.values)


def _check_start(bos: Tensor, max_steps: int) -> None:
    check_tokens("bos", bos, ("batch",))
    if max_steps < 1:
        raise ValueError(f"max_steps is {max_steps}; expected at least 1")
