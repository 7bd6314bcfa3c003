"""From probabilities to sequences.

Every way of decoding works on a step function ``step(tokens, state) -> (log_probs, state)`` with
``tokens (batch,)`` and ``log_probs (batch, vocab)``, so a language model, a captioner and a
translator share them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unrolled.checking import check_tokens
from unrolled.layers import State

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


def _check_start(bos: Tensor, max_steps: int) -> None:
    check_tokens("bos", bos, ("batch",))
    if max_steps < 1:
        raise ValueError(f"max_steps is {max_steps}; expected at least 1")
