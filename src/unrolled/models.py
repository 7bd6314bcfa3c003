"""The shapes of tasks: a recurrent layer with a way in and a read-out. All models give logits."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from unrolled.data import Window
from unrolled.layers import State, map_state


class LanguageModel(nn.Module):
    r"""Score every token as the next one, at each step of a text.

    With :math:`E` the embedding, a row for each token, and :math:`h_t` the state of the layer after
    token :math:`x_t`, the logits of step :math:`t` are :math:`W_{ho} h_t + b_o`, and

    .. math:: p(x_{t+1} = w \mid x_1, \dots, x_t) = \mathrm{softmax}(W_{ho} h_t + b_o)_w

    The recurrent network in this place is from Mikolov et al. (2010).

    Parameters
    ----------
    vocab_size
        Number of tokens.
    layer
        Any recurrent layer; its ``input_size`` is the size of the embedding.

    Examples
    --------
    >>> import torch
    >>> from unrolled.layers import RNN
    >>> model = LanguageModel(vocab_size=96, layer=RNN(32, 64))
    >>> logits, state = model(torch.zeros(8, 50, dtype=torch.int64))
    >>> logits.shape
    torch.Size([8, 50, 96])
    """

    def __init__(self, vocab_size: int, *, layer: nn.Module) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.embedding = nn.Embedding(vocab_size, layer.input_size)
        self.layer = layer
        self.read_out = nn.Linear(layer.output_size, vocab_size)

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read a text, or the next part of one.

        Parameters
        ----------
        tokens
            ``int64``, ``(batch, time)``.
        state
            What the layer gave back at the end of the part before; ``None`` at a text's start.

        Returns
        -------
        logits : Tensor
            Scores of the token *after* each step, ``(batch, time, vocab)``.
        state : State
            Of the layer, after the last step.

        Raises
        ------
        TypeError
            If ``tokens`` is not a tensor of whole numbers.
        ValueError
            If it has another shape, or a token is not in the vocabulary.
        """
        check_tokens(tokens, self.vocab_size)
        outputs, state = self.layer(self.embedding(tokens), state)  # (batch, time, hidden)
        return self.read_out(outputs), state

    def step(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read one token of each text, ``(batch,)``, and give the log-probabilities of the next.

        This is the step function that :mod:`unrolled.decoding` asks for.

        Returns
        -------
        log_probs : Tensor
            ``(batch, vocab)``.
        state : State
            Of the layer, after this token.
        """
        logits, state = self(tokens[:, None], state)
        return F.log_softmax(logits[:, 0], dim=-1), state


def language_model_loss(
    model: nn.Module, window: Window, state: State | None
) -> tuple[Tensor, State]:
    """Give the mean cross-entropy of a window's targets, and the state for the window after it.

    The state is detached: its values go on to the next window, the gradient stops here.

    Parameters
    ----------
    model
        Called as a :class:`LanguageModel` is.
    window
        Inputs and targets, ``(batch, time)``.
    state
        As :class:`LanguageModel` takes it.

    Returns
    -------
    loss : Tensor
        In nats for each token, a scalar.
    state : State
        Without a gradient.
    """
    logits, state = model(window.inputs, state)
    loss = F.cross_entropy(logits.flatten(0, 1), window.targets.flatten())
    return loss, map_state(Tensor.detach, state)


def check_tokens(tokens: Tensor, vocab_size: int) -> None:
    """Raise an error that says what is wrong with tokens that should be ``(batch, time)``."""
    if not isinstance(tokens, Tensor) or tokens.is_floating_point() or tokens.is_complex():
        kind = f"{tokens.dtype}" if isinstance(tokens, Tensor) else type(tokens).__name__
        raise TypeError(f"tokens is {kind}; expected an int64 tensor, as Vocab.encode gives it")
    if tokens.dim() != 2 or 0 in tokens.shape:
        raise ValueError(
            f"tokens has shape {tuple(tokens.shape)}; expected (batch, time), at least one of "
            "each: for a single text add the batch axis with tokens[None]"
        )
    if tokens.min() < 0 or tokens.max() >= vocab_size:
        raise ValueError(
            f"tokens go from {int(tokens.min())} to {int(tokens.max())}; expected 0 to "
            f"{vocab_size - 1}: were they made with the vocabulary of this model?"
        )
