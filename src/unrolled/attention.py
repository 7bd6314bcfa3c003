"""Where to look: scores between a query and keys, and the mean of values that they weight.

Every attention is called alike, ``attention(query, keys, values, mask=None) -> (context,
weights)``, with ``query (batch, queries, q)``, ``keys (batch, steps, k)``, ``values (batch, steps,
v)``, ``context (batch, queries, v)`` and ``weights (batch, queries, steps)``. In a translator the
queries are states of the decoder, keys and values are the outputs of the encoder.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from unrolled.checking import check_shape, check_whole
from unrolled.layers import check_input, step_mask, zero_padding


def masked_softmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Turn scores into weights that add up to 1 over the places that may be looked at.

    What stands at the other places, NaN included, changes neither a weight nor a gradient.

    Parameters
    ----------
    scores
        ``(..., steps)``.
    mask
        ``bool``, of a shape that broadcasts to that of ``scores``, true where may be looked;
        without it, everywhere.

    Returns
    -------
    Tensor
        ``(..., steps)``, 0 where may not be looked; zeros throughout for a row that may look
        nowhere.

    Raises
    ------
    TypeError
        If the mask is not ``bool``.
    ValueError
        If its shape does not fit.

    Examples
    --------
    >>> scores = torch.tensor([[1.0, 1.0, 5.0], [1.0, 2.0, 3.0]])
    >>> masked_softmax(scores, torch.tensor([[True, True, False], [False, False, False]]))
    tensor([[0.5000, 0.5000, 0.0000],
            [0.0000, 0.0000, 0.0000]])
    """
    if mask is None:
        return scores.softmax(dim=-1)
    if mask.dtype != torch.bool:
        raise TypeError(f"mask is {mask.dtype}; expected bool, true where may be looked")
    try:
        mask = mask.expand(scores.shape)
    except RuntimeError:
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}; expected one that broadcasts to that of the "
            f"scores, {tuple(scores.shape)}"
        ) from None
    nowhere = ~mask.any(dim=-1, keepdim=True)  # (..., 1); without it NaN would come up there
    scores = scores.masked_fill(~mask, -torch.inf).masked_fill(nowhere, 0.0)
    return scores.softmax(dim=-1).masked_fill(~mask, 0.0)


class Attention(nn.Module):
    r"""What all attentions share; they differ in ``score``, and in ``project`` for speed.

    With a score :math:`e_{ij}` of query :math:`i` and key :math:`j`,

    .. math:: \alpha_{ij} = \mathrm{softmax}_j(e_{ij}), \qquad c_i = \sum_j \alpha_{ij} v_j
    """

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Look with each query at all steps.

        Parameters
        ----------
        query
            ``(batch, queries, q)``.
        keys
            ``(batch, steps, k)``.
        values
            ``(batch, steps, v)``.
        mask
            ``bool``, ``(batch, steps)`` or ``(batch, queries, steps)``, true where may be looked.
            Steps at which no query may look may hold anything.

        Returns
        -------
        context : Tensor
            ``(batch, queries, v)``, zeros for a query that may look nowhere.
        weights : Tensor
            ``(batch, queries, steps)``.

        Raises
        ------
        TypeError
            If the mask is not ``bool``.
        ValueError
            If shapes do not fit.
        """
        _check_shapes(query, keys, values)
        if mask is not None:
            mask = _each_query(mask, *query.shape[:2], keys.shape[1])
            unseen = ~mask.any(dim=1)[:, :, None]  # (batch, steps, 1)
            keys, values = keys.masked_fill(unseen, 0.0), values.masked_fill(unseen, 0.0)
            query = query.masked_fill(~mask.any(dim=2)[:, :, None], 0.0)
        return self.look(query, self.project(keys), values, mask)

    def project(self, keys: Tensor) -> Tensor:
        """Do the part of the score that needs no query, once for all steps of a decoder."""
        return keys

    def score(self, query: Tensor, projected: Tensor) -> Tensor:
        """Give the scores ``(batch, queries, steps)`` of queries and projected keys."""
        raise NotImplementedError

    def look(
        self, query: Tensor, projected: Tensor, values: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Do what :meth:`forward` does, with keys that are projected, without its checks."""
        weights = masked_softmax(self.score(query, projected), mask)  # (batch, queries, steps)
        return weights @ values, weights


class DotProductAttention(Attention):
    r"""Score by the dot product, :math:`e_{ij} = q_i \cdot k_j / \sqrt{d}` [1]_ [2]_.

    Parameters
    ----------
    scaled
        Whether the product is divided by :math:`\sqrt{d}`, with :math:`d` the size of the keys.

    References
    ----------
    .. [1] M.-T. Luong, H. Pham, C. D. Manning, "Effective approaches to attention-based neural
       machine translation", 2015, arXiv:1508.04025, section 3.1 (dot).
    .. [2] A. Vaswani et al., "Attention is all you need", 2017, arXiv:1706.03762, equation 1.

    Examples
    --------
    >>> attention = DotProductAttention()
    >>> keys = torch.eye(3)[None]                                  # (batch, steps, 3)
    >>> query = torch.tensor([[[9.0, 0.0, 0.0]]])                  # (batch, queries, 3)
    >>> context, weights = attention(query, keys, keys, mask=torch.tensor([[True, True, False]]))
    >>> weights.round(decimals=3)
    tensor([[[0.9940, 0.0060, 0.0000]]])
    """

    def __init__(self, scaled: bool = True) -> None:
        super().__init__()
        self.scaled = scaled

    def score(self, query: Tensor, projected: Tensor) -> Tensor:
        """Give the scores ``(batch, queries, steps)``."""
        if query.shape[2] != projected.shape[2]:
            raise ValueError(
                f"queries of {query.shape[2]} numbers came with keys of {projected.shape[2]}; a "
                "dot product needs one size: take GeneralAttention or AdditiveAttention"
            )
        scores = query @ projected.transpose(1, 2)
        return scores / math.sqrt(query.shape[2]) if self.scaled else scores


class GeneralAttention(Attention):
    """Score by a learned product, :math:`e_{ij} = q_i^T W k_j` [1]_.

    Parameters
    ----------
    query_size, key_size
        Numbers in a query and in a key.

    References
    ----------
    .. [1] M.-T. Luong, H. Pham, C. D. Manning, "Effective approaches to attention-based neural
       machine translation", 2015, arXiv:1508.04025, section 3.1 (general).

    Examples
    --------
    >>> attention = GeneralAttention(query_size=4, key_size=6)
    >>> context, weights = attention(torch.zeros(2, 5, 4), torch.ones(2, 3, 6), torch.ones(2, 3, 7))
    >>> context.shape, weights.shape
    (torch.Size([2, 5, 7]), torch.Size([2, 5, 3]))
    """

    def __init__(self, query_size: int, key_size: int) -> None:
        super().__init__()
        check_whole(query_size=query_size, key_size=key_size)
        self.weight = nn.Linear(key_size, query_size, bias=False)  # W

    def project(self, keys: Tensor) -> Tensor:
        """Give ``W k`` for every key, ``(batch, steps, query)``."""
        return self.weight(keys)

    def score(self, query: Tensor, projected: Tensor) -> Tensor:
        """Give the scores ``(batch, queries, steps)``."""
        return query @ projected.transpose(1, 2)


class AdditiveAttention(Attention):
    r"""Score by a small network, :math:`e_{ij} = w^T \tanh(W_q q_i + W_k k_j)` [1]_.

    Parameters
    ----------
    query_size, key_size
        Numbers in a query and in a key.
    hidden_size
        Units of the network.

    References
    ----------
    .. [1] D. Bahdanau, K. Cho, Y. Bengio, "Neural machine translation by jointly learning to align
       and translate", 2015, arXiv:1409.0473, appendix A.1.2.

    Examples
    --------
    >>> attention = AdditiveAttention(query_size=4, key_size=6, hidden_size=8)
    >>> context, weights = attention(torch.zeros(2, 5, 4), torch.ones(2, 3, 6), torch.ones(2, 3, 7))
    >>> context.shape, weights.shape
    (torch.Size([2, 5, 7]), torch.Size([2, 5, 3]))
    """

    def __init__(self, query_size: int, key_size: int, hidden_size: int) -> None:
        super().__init__()
        check_whole(query_size=query_size, key_size=key_size, hidden_size=hidden_size)
        self.weight_query = nn.Linear(query_size, hidden_size, bias=False)  # W_q
        self.weight_key = nn.Linear(key_size, hidden_size, bias=False)  # W_k
        self.weight_score = nn.Linear(hidden_size, 1, bias=False)  # w

    def project(self, keys: Tensor) -> Tensor:
        """Give ``W_k k`` for every key, ``(batch, steps, hidden)``."""
        return self.weight_key(keys)

    def score(self, query: Tensor, projected: Tensor) -> Tensor:
        """Give the scores ``(batch, queries, steps)``."""
        sums = self.weight_query(query)[:, :, None] + projected[:, None]
        return self.weight_score(torch.tanh(sums))[..., 0]  # (batch, queries, steps)


def _check_shapes(query: Tensor, keys: Tensor, values: Tensor) -> None:
    for name, tensor in {"query": query, "keys": keys, "values": values}.items():
        if tensor.dim() != 3:
            axes = "(batch, queries, q)" if name == "query" else "(batch, steps, features)"
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}; expected {axes}")
    if query.shape[0] != keys.shape[0] or keys.shape[:2] != values.shape[:2]:
        raise ValueError(
            f"query {tuple(query.shape)}, keys {tuple(keys.shape)} and values "
            f"{tuple(values.shape)} came; expected one batch size, and a value for each key"
        )


def _each_query(mask: Tensor, batch: int, queries: int, steps: int) -> Tensor:
    """Give the mask as ``(batch, queries, steps)``."""
    if mask.dtype != torch.bool:
        raise TypeError(f"mask is {mask.dtype}; expected bool, true where may be looked")
    if mask.dim() == 2:
        mask = mask[:, None].expand(-1, queries, -1)
    check_shape("mask", mask, batch=batch, queries=queries, steps=steps)
    return mask


class SelfAttention(nn.Module):
    r"""Every step looks at every step: queries, keys and values are made of the same inputs [1]_.

    .. math::
        q_t = W_q x_t, \quad k_t = W_k x_t, \quad v_t = W_v x_t, \qquad
        c_t = \sum_j \mathrm{softmax}_j(q_t \cdot k_j / \sqrt{d}) \, v_j

    No step waits for another, and none knows where it stands: what is to know the order has to be
    told, as by :func:`sinusoidal_positions`.

    Parameters
    ----------
    input_size, hidden_size
        Numbers read at each step, and of queries, keys, values and outputs.
    causal
        Whether a step sees itself and the steps before it only, as a language model must.

    References
    ----------
    .. [1] A. Vaswani et al., "Attention is all you need", 2017, arXiv:1706.03762, section 3.2.1.

    Examples
    --------
    >>> outputs, weights = SelfAttention(3, 5, causal=True)(torch.randn(2, 4, 3))
    >>> outputs.shape, weights.shape
    (torch.Size([2, 4, 5]), torch.Size([2, 4, 4]))
    >>> int(weights[0, 0].count_nonzero())                        # the first sees itself alone
    1
    """

    def __init__(self, input_size: int, hidden_size: int, causal: bool = False) -> None:
        super().__init__()
        check_whole(input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.output_size, self.causal = input_size, hidden_size, causal
        self.projection = nn.Linear(input_size, 3 * hidden_size, bias=False)  # W_q, W_k, W_v
        self.attention = DotProductAttention()

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Give ``outputs (batch, time, hidden)`` and the weights ``(batch, time, time)``.

        ``x`` is ``(batch, time, input)``, ``lengths`` is ``(batch,)``; without it all steps count.
        Raises a ValueError or TypeError that says which shape or length does not fit.
        """
        batch, time = check_input(x, self.input_size), x.shape[1]
        mask = torch.ones(time, time, dtype=torch.bool, device=x.device)
        mask = (mask.tril() if self.causal else mask).expand(batch, -1, -1)
        if lengths is not None:
            inside = step_mask(lengths, time)
            mask = mask & inside[:, :, None] & inside[:, None]
        query, keys, values = self.projection(zero_padding(x, lengths)).chunk(3, dim=2)
        return self.attention(query, keys, values, mask)


def sinusoidal_positions(time: int, size: int) -> Tensor:
    r"""Give each place of a sequence numbers of its own, ``(time, size)``, to be added to inputs.

    .. math::
        p_{t, 2i} = \sin(t / 10000^{2i / \mathrm{size}}), \qquad
        p_{t, 2i + 1} = \cos(t / 10000^{2i / \mathrm{size}})

    as in section 3.5 of Vaswani et al., 2017, arXiv:1706.03762; :math:`t` begins at 0.

    Raises
    ------
    ValueError
        If ``time`` or ``size`` is below 1, or ``size`` is odd.

    Examples
    --------
    >>> sinusoidal_positions(2, 4).round(decimals=4)
    tensor([[0.0000, 1.0000, 0.0000, 1.0000],
            [0.8415, 0.5403, 0.0100, 1.0000]])
    """
    check_whole(time=time, size=size)
    if size % 2:
        raise ValueError(f"size is {size}; expected an even number, as sine and cosine come in two")
    rates = 10_000 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)  # (size / 2,)
    angles = torch.arange(time, dtype=torch.float64)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1).float()
