"""The shapes of tasks: a recurrent layer with a way in and a read-out. All models give logits."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unrolled.attention import Attention
from unrolled.checking import check_choice, check_tokens
from unrolled.data import CaptionBatch, MaskedWindow, PairBatch, SequenceBatch, Window
from unrolled.layers import Bidirectional, State, final_hidden, map_state, step_mask, zero_padding

POOLINGS = ("last", "mean", "max")
CONTEXTS = ("first input", "first state", "every step")
SUMMARIES = ("last", "transformed", "mean", "transformed mean")
USES = ("first state", "every step", "both")
LOOKS = ("before", "after")


class SequenceClassifier(nn.Module):
    """Many to one: read a whole sequence, then give one answer.

    Parameters
    ----------
    vocab_size
        Number of tokens.
    classes
        Number of answers to choose from.
    layer
        Any recurrent layer, in one direction or both; its ``input_size`` is the size of the
        embedding.
    pooling
        What is read out: ``"last"``, the final hidden state; ``"mean"`` or ``"max"``, that of the
        outputs over the true steps of a sequence.

    Raises
    ------
    ValueError
        If ``pooling`` is unknown.

    Examples
    --------
    >>> from unrolled.layers import GRU
    >>> model = SequenceClassifier(vocab_size=40, classes=15, layer=GRU(16, 32))
    >>> model(torch.zeros(4, 7, dtype=torch.int64), lengths=torch.tensor([7, 2, 5, 1])).shape
    torch.Size([4, 15])
    """

    def __init__(
        self, vocab_size: int, classes: int, *, layer: nn.Module, pooling: str = "last"
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            expected = ", ".join(map(repr, POOLINGS))
            raise ValueError(f"pooling is {pooling!r}; expected one of {expected}")
        self.vocab_size, self.pooling = vocab_size, pooling
        self.embedding = nn.Embedding(vocab_size, layer.input_size)
        self.layer = layer
        self.read_out = nn.Linear(layer.output_size, classes)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Score the classes of each sequence.

        Parameters
        ----------
        tokens
            ``int64``, ``(batch, time)``; anything may stand in the padding.
        lengths
            ``int64``, ``(batch,)``; without it all steps count.

        Returns
        -------
        Tensor
            Logits, ``(batch, classes)``.

        Raises
        ------
        TypeError, ValueError
            If tokens or lengths have another type or shape, or values that do not fit.
        """
        tokens = _true_tokens(tokens, lengths, self.vocab_size)
        outputs, state = self.layer(self.embedding(tokens), lengths=lengths)
        return self.read_out(self.pool(outputs, state, lengths))

    def pool(self, outputs: Tensor, state: State, lengths: Tensor | None) -> Tensor:
        """Give one vector ``(batch, output)`` for each sequence."""
        if self.pooling == "last":
            return final_hidden(state)
        if lengths is None:
            return outputs.mean(dim=1) if self.pooling == "mean" else outputs.amax(dim=1)
        if self.pooling == "mean":  # outputs past the end are zero
            return outputs.sum(dim=1) / lengths[:, None]
        past = ~step_mask(lengths, outputs.shape[1])  # (batch, time)
        return outputs.masked_fill(past[:, :, None], -torch.inf).amax(dim=1)


class SequenceTagger(nn.Module):
    """Many to many, aligned: one answer for each step of a sequence.

    Parameters
    ----------
    vocab_size
        Number of tokens.
    classes
        Number of answers to choose from at each step.
    layer
        Any recurrent layer, in one direction or both; its ``input_size`` is the size of the
        embedding.

    Examples
    --------
    >>> from unrolled.layers import LSTM
    >>> model = SequenceTagger(vocab_size=96, classes=2, layer=LSTM(16, 32, bidirectional=True))
    >>> model(torch.zeros(4, 7, dtype=torch.int64), lengths=torch.tensor([7, 2, 5, 1])).shape
    torch.Size([4, 7, 2])
    """

    def __init__(self, vocab_size: int, classes: int, *, layer: nn.Module) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.embedding = nn.Embedding(vocab_size, layer.input_size)
        self.layer = layer
        self.read_out = nn.Linear(layer.output_size, classes)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Score the classes of each step.

        Parameters
        ----------
        tokens
            ``int64``, ``(batch, time)``; anything may stand in the padding.
        lengths
            ``int64``, ``(batch,)``; without it all steps count.

        Returns
        -------
        Tensor
            Logits, ``(batch, time, classes)``; those past a sequence's end say nothing.

        Raises
        ------
        TypeError, ValueError
            If tokens or lengths have another type or shape, or values that do not fit.
        """
        tokens = _true_tokens(tokens, lengths, self.vocab_size)
        outputs, _ = self.layer(self.embedding(tokens), lengths=lengths)  # (batch, time, output)
        return self.read_out(outputs)


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
        Any recurrent layer that reads from left to right; its ``input_size`` is the size of the
        embedding.

    Raises
    ------
    ValueError
        If the layer is bidirectional.

    Examples
    --------
    >>> from unrolled.layers import RNN
    >>> model = LanguageModel(vocab_size=96, layer=RNN(32, 64))
    >>> logits, state = model(torch.zeros(8, 50, dtype=torch.int64))
    >>> logits.shape
    torch.Size([8, 50, 96])
    """

    def __init__(self, vocab_size: int, *, layer: nn.Module) -> None:
        super().__init__()
        _check_causal(layer)
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
        check_tokens("tokens", tokens, ("batch", "time"), self.vocab_size)
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


class ImageEncoder(nn.Module):
    """Turn a grey image into one vector, with two small convolutions.

    The vector is normalised [1]_: its numbers have the mean 0 and the variance 1. Without, it soon
    grows so large that a tanh behind it is flat, and no gradient passes.

    Parameters
    ----------
    height, width
        Of the images, in pixels; at least 4 each.
    output_size
        Numbers in the vector.

    References
    ----------
    .. [1] J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", 2016, arXiv:1607.06450.
    """

    def __init__(self, height: int, width: int, output_size: int) -> None:
        super().__init__()
        self.output_size = output_size
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * (height // 4) * (width // 4), output_size),
            nn.LayerNorm(output_size),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Give ``(batch, output)`` from ``images (batch, height, width)``."""
        return self.layers(images[:, None])


class Bridge(nn.Module):
    """Turn a vector into a first state: one linear map and tanh for each tensor of the state.

    Parameters
    ----------
    input_size
        Numbers in the vector.
    layer
        The recurrent layer whose first state is made.
    """

    def __init__(self, input_size: int, layer: nn.Module) -> None:
        super().__init__()
        self.template = layer.initial_state(1)  # only its kind and sizes are used
        sizes: list[int] = []
        map_state(lambda h: sizes.append(h.shape[1]) or h, self.template)
        self.maps = nn.ModuleList(nn.Linear(input_size, size) for size in sizes)

    def forward(self, vector: Tensor) -> State:
        """Give the state of ``vector (batch, input)``."""
        maps = iter(self.maps)
        return map_state(lambda _: torch.tanh(next(maps)(vector)), self.template)


class CaptionerState(NamedTuple):
    """What a captioner carries: the picture as a vector, and the state of its layer."""

    picture: Tensor
    layer: State


class Captioner(nn.Module):
    """One to many: say in tokens what a picture shows [1]_.

    Parameters
    ----------
    vocab_size
        Number of tokens.
    encoder
        Gives one vector ``(batch, output_size)`` for each image; has ``output_size``.
    layer
        Any recurrent layer that reads from left to right.
    embedding_size
        Numbers for each token. The layer's ``input_size`` is this, and with ``context="every
        step"`` the encoder's ``output_size`` more.
    context
        Where the picture goes: ``"first input"``, it is read once before the first token; ``"first
        state"``, the layer begins with a state made of it; ``"every step"``, it stands beside each
        token.

    Raises
    ------
    ValueError
        If ``context`` is unknown, the layer is bidirectional, or sizes do not fit.

    References
    ----------
    .. [1] O. Vinyals, A. Toshev, S. Bengio, D. Erhan, "Show and tell: a neural image caption
       generator", 2015, arXiv:1411.4555, equations 10 to 12; there the picture is the first input.

    Examples
    --------
    >>> from unrolled.layers import GRU
    >>> encoder = ImageEncoder(8, 24, output_size=32)
    >>> model = Captioner(13, encoder=encoder, layer=GRU(16 + 32, 64), embedding_size=16)
    >>> model(torch.zeros(5, 8, 24), torch.zeros(5, 4, dtype=torch.int64)).shape
    torch.Size([5, 4, 13])
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        encoder: nn.Module,
        layer: nn.Module,
        embedding_size: int,
        context: str = "every step",
    ) -> None:
        super().__init__()
        if context not in CONTEXTS:
            expected = ", ".join(map(repr, CONTEXTS))
            raise ValueError(f"context is {context!r}; expected one of {expected}")
        _check_causal(layer)
        needed = embedding_size + (encoder.output_size if context == "every step" else 0)
        if layer.input_size != needed:
            raise ValueError(
                f"the layer takes {layer.input_size} features; with context={context!r}, "
                f"embedding_size={embedding_size} and pictures of {encoder.output_size} numbers it "
                f"gets {needed}"
            )
        self.vocab_size, self.context = vocab_size, context
        self.encoder, self.layer = encoder, layer
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        if context == "first input":
            self.bridge = nn.Linear(encoder.output_size, embedding_size)
        elif context == "first state":
            self.bridge = Bridge(encoder.output_size, layer)
        self.read_out = nn.Linear(layer.output_size, vocab_size)

    def forward(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Score the token after each of ``tokens``, all of which are given (teacher forcing).

        Parameters
        ----------
        images
            What the encoder takes, ``(batch, ...)``.
        tokens
            ``int64``, ``(batch, time)``: the start token and then the caption.

        Returns
        -------
        Tensor
            Logits, ``(batch, time, vocab)``.

        Raises
        ------
        TypeError, ValueError
            If there are not as many images as captions, or tokens do not fit.
        """
        if len(images) != len(tokens):
            raise ValueError(f"{len(images)} images came with {len(tokens)} captions")
        return self.read(tokens, self.start(images))[0]

    def start(self, images: Tensor) -> CaptionerState:
        """Look at the images; give the state before the start token."""
        picture = self.encoder(images)  # (batch, output)
        if self.context == "first input":
            _, state = self.layer(self.bridge(picture)[:, None])
        elif self.context == "first state":
            state = self.bridge(picture)
        else:
            state = self.layer.initial_state(len(picture))
        return CaptionerState(picture, state)

    def read(self, tokens: Tensor, state: CaptionerState) -> tuple[Tensor, CaptionerState]:
        """Read ``tokens (batch, time)``; give logits ``(batch, time, vocab)`` and the new state."""
        check_tokens("tokens", tokens, ("batch", "time"), self.vocab_size)
        x = self.embedding(tokens)  # (batch, time, embedding)
        if self.context == "every step":
            beside = state.picture[:, None].expand(-1, x.shape[1], -1)
            x = torch.cat([x, beside], dim=2)  # (batch, time, embedding + picture)
        outputs, new = self.layer(x, state.layer)
        return self.read_out(outputs), CaptionerState(state.picture, new)

    def step(self, tokens: Tensor, state: CaptionerState) -> tuple[Tensor, CaptionerState]:
        """Read one token of each caption, ``(batch,)``, and give log-probabilities of the next.

        This is the step function that :mod:`unrolled.decoding` asks for.

        Returns
        -------
        log_probs : Tensor
            ``(batch, vocab)``.
        state : CaptionerState
            After this token.
        """
        logits, state = self.read(tokens[:, None], state)
        return F.log_softmax(logits[:, 0], dim=-1), state


class Encoded(NamedTuple):
    """What an encoder says of a source.

    ``outputs`` is ``(batch, steps, output)``, zeros past a source's end; ``state`` is that of its
    layer at the true end; ``mask`` is ``(batch, steps)``, true up to a source's end.
    """

    outputs: Tensor
    state: State
    mask: Tensor


class Encoder(nn.Module):
    """Read a source of any length: the first half of a sequence-to-sequence model.

    Parameters
    ----------
    vocab_size
        Number of tokens of the source.
    layer
        Any recurrent layer, in one direction or both; its ``input_size`` is the size of the
        embedding.

    Examples
    --------
    >>> from unrolled.layers import GRU
    >>> encoder = Encoder(30, layer=GRU(16, 32, bidirectional=True))
    >>> encoded = encoder(torch.zeros(2, 5, dtype=torch.int64), lengths=torch.tensor([5, 3]))
    >>> encoded.outputs.shape
    torch.Size([2, 5, 64])
    """

    def __init__(self, vocab_size: int, *, layer: nn.Module) -> None:
        super().__init__()
        self.vocab_size, self.output_size = vocab_size, layer.output_size
        self.embedding = nn.Embedding(vocab_size, layer.input_size)
        self.layer = layer

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Encoded:
        """Read sources.

        Parameters
        ----------
        tokens
            ``int64``, ``(batch, steps)``; anything may stand in the padding.
        lengths
            ``int64``, ``(batch,)``; without it all steps count.

        Raises
        ------
        TypeError, ValueError
            If tokens or lengths have another type or shape, or values that do not fit.
        """
        tokens = _true_tokens(tokens, lengths, self.vocab_size)
        outputs, state = self.layer(self.embedding(tokens), lengths=lengths)
        if lengths is None:
            mask = torch.ones_like(tokens, dtype=torch.bool)
        else:
            mask = step_mask(lengths, tokens.shape[1])
        return Encoded(outputs, state, mask)


class DecoderState(NamedTuple):
    """What a decoder carries: the state of its layer, and what it knows of the source."""

    layer: State
    memory: State


class Decoder(nn.Module):
    r"""Write a target after one vector :math:`c`, a summary of the source.

    Parameters
    ----------
    vocab_size
        Number of tokens of the target.
    encoder
        The encoder whose outputs are summed up; only its sizes are used.
    layer
        Any recurrent layer that reads from left to right.
    embedding_size
        Numbers for each token. The layer's ``input_size`` is this, and where the summary stands
        beside each token the encoder's ``output_size`` more.
    summary
        How :math:`c` is made of the encoder's outputs :math:`h_1, \dots, h_S`: ``"last"``, its
        final hidden state; ``"transformed"``, :math:`\tanh(W c' + b)` of that; ``"mean"``, the mean
        of all; ``"transformed mean"``, the mean of all :math:`\tanh(W h_j + b)`.
    use
        Where it goes: ``"first state"``, the layer begins with it [1]_; ``"every step"``, it stands
        beside each token; ``"both"`` [2]_. As a first state it goes through a linear map and tanh,
        but for a last state of the same kind and size, which is taken over as it is.

    Raises
    ------
    ValueError
        If ``summary`` or ``use`` is unknown, the layer is bidirectional, or sizes do not fit.

    References
    ----------
    .. [1] I. Sutskever, O. Vinyals, Q. V. Le, "Sequence to sequence learning with neural networks",
       2014, arXiv:1409.3215.
    .. [2] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
       machine translation", 2014, arXiv:1406.1078.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        encoder: Encoder,
        layer: nn.Module,
        embedding_size: int,
        summary: str = "last",
        use: str = "both",
    ) -> None:
        super().__init__()
        check_choice(SUMMARIES, summary=summary)
        check_choice(USES, use=use)
        _check_causal(layer)
        beside = 0 if use == "first state" else encoder.output_size
        _check_decoder_input(layer, embedding_size, beside)
        self.vocab_size, self.summary, self.use = vocab_size, summary, use
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.layer = layer
        if summary.startswith("transformed"):
            self.transform = nn.Linear(encoder.output_size, encoder.output_size)
        if use != "every step":
            self.bridge = _bridge(encoder, layer, whole=summary == "last")
        self.read_out = nn.Linear(layer.output_size, vocab_size)

    def start(self, encoded: Encoded) -> DecoderState:
        """Give the state before the start token."""
        summary = self.summarise(encoded)
        if self.use == "every step":
            state = self.layer.initial_state(len(summary))
        else:
            state = encoded.state if self.bridge is None else self.bridge(summary)
        return DecoderState(state, summary)

    def summarise(self, encoded: Encoded) -> Tensor:
        """Give the summary of each source, ``(batch, output)``."""
        if self.summary == "last":
            return final_hidden(encoded.state)
        if self.summary == "transformed":
            return torch.tanh(self.transform(final_hidden(encoded.state)))
        outputs = encoded.outputs  # (batch, steps, output)
        if self.summary == "transformed mean":
            outputs = torch.tanh(self.transform(outputs)) * encoded.mask[:, :, None]
        return outputs.sum(dim=1) / encoded.mask.sum(dim=1, keepdim=True)

    def read(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read ``tokens (batch, time)``; give logits ``(batch, time, vocab)`` and the new state."""
        check_tokens("target tokens", tokens, ("batch", "time"), self.vocab_size)
        x = self.embedding(tokens)  # (batch, time, embedding)
        if self.use != "first state":
            beside = state.memory[:, None].expand(-1, x.shape[1], -1)
            x = torch.cat([x, beside], dim=2)  # (batch, time, embedding + summary)
        outputs, new = self.layer(x, state.layer)
        return self.read_out(outputs), DecoderState(new, state.memory)


class Memory(NamedTuple):
    """What a decoder with attention looks at.

    ``keys`` are projected, ``(batch, steps, k)``; ``values`` are the encoder's outputs, ``(batch,
    steps, v)``; ``mask`` is ``(batch, steps)``.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor


class AttentionDecoder(nn.Module):
    """Write a target, and look at all outputs of the encoder at each step.

    Parameters
    ----------
    vocab_size
        Number of tokens of the target.
    encoder
        The encoder whose outputs are looked at; only its sizes are used.
    layer
        Any recurrent layer that reads from left to right.
    embedding_size
        Numbers for each token. The layer's ``input_size`` is this, and with ``look="before"`` the
        encoder's ``output_size`` more.
    attention
        Of queries of the layer's ``output_size``, and keys of the encoder's.
    look
        ``"before"``: the query is the state before the step, and what is seen stands beside the
        token that the step reads [1]_; ``"after"``: the query is the output of the step [2]_, which
        needs no loop where all tokens are given. Either way the output and what is seen go through
        a linear map and tanh to the read-out.

    Raises
    ------
    ValueError
        If ``look`` is unknown, the layer is bidirectional, or sizes do not fit.

    References
    ----------
    .. [1] D. Bahdanau, K. Cho, Y. Bengio, "Neural machine translation by jointly learning to align
       and translate", 2015, arXiv:1409.0473.
    .. [2] M.-T. Luong, H. Pham, C. D. Manning, "Effective approaches to attention-based neural
       machine translation", 2015, arXiv:1508.04025, equations 5 to 7; without input feeding.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        encoder: Encoder,
        layer: nn.Module,
        embedding_size: int,
        attention: Attention,
        look: str = "before",
    ) -> None:
        super().__init__()
        check_choice(LOOKS, look=look)
        _check_causal(layer)
        _check_decoder_input(layer, embedding_size, encoder.output_size * (look == "before"))
        self.vocab_size, self.look = vocab_size, look
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.bridge = _bridge(encoder, layer, whole=True)
        self.layer, self.attention = layer, attention
        self.combine = nn.Linear(layer.output_size + encoder.output_size, layer.output_size)
        self.read_out = nn.Linear(layer.output_size, vocab_size)

    def start(self, encoded: Encoded) -> DecoderState:
        """Give the state before the start token."""
        outputs, state, mask = encoded
        first = state if self.bridge is None else self.bridge(final_hidden(state))
        return DecoderState(first, Memory(self.attention.project(outputs), outputs, mask))

    def read(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read ``tokens (batch, time)``; give logits ``(batch, time, vocab)`` and the new state."""
        logits, _, state = self.attend(tokens, state)
        return logits, state

    def attend(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, Tensor, DecoderState]:
        """Read as :meth:`read` does; give the weights ``(batch, time, steps)`` too."""
        check_tokens("target tokens", tokens, ("batch", "time"), self.vocab_size)
        x = self.embedding(tokens)  # (batch, time, embedding)
        keys, values, mask = memory = state.memory
        mask, new = mask[:, None], state.layer
        if self.look == "after":
            outputs, new = self.layer(x, new)
            context, weights = self.attention.look(outputs, keys, values, mask)
        else:
            steps = []
            for x_t in x.split(1, dim=1):  # (batch, 1, embedding)
                query = final_hidden(new)[:, None]
                context, weights = self.attention.look(query, keys, values, mask)
                output, new = self.layer(torch.cat([x_t, context], dim=2), new)
                steps.append((output, context, weights))
            outputs, context, weights = (
                torch.cat(parts, dim=1) for parts in zip(*steps, strict=True)
            )
        seen = torch.tanh(self.combine(torch.cat([outputs, context], dim=2)))
        return self.read_out(seen), weights, DecoderState(new, memory)


class Seq2Seq(nn.Module):
    """Many to many, of different lengths: read a source to its end, then write a target.

    Parameters
    ----------
    encoder
        Reads the source.
    decoder
        A :class:`Decoder` or an :class:`AttentionDecoder`, made for that encoder.

    Examples
    --------
    >>> from unrolled.layers import GRU
    >>> encoder = Encoder(30, layer=GRU(16, 32, bidirectional=True))
    >>> decoder = Decoder(40, encoder=encoder, layer=GRU(16 + 64, 32), embedding_size=16)
    >>> model = Seq2Seq(encoder, decoder)
    >>> source, target_in = torch.zeros(2, 5).long(), torch.zeros(2, 7).long()
    >>> model(source, torch.tensor([5, 3]), target_in).shape
    torch.Size([2, 7, 40])
    """

    def __init__(self, encoder: Encoder, decoder: Decoder | AttentionDecoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, source: Tensor, source_lengths: Tensor | None, target_in: Tensor) -> Tensor:
        """Score the token after each of ``target_in``, all of which are given (teacher forcing).

        Parameters
        ----------
        source
            ``int64``, ``(batch, steps)``; anything may stand in the padding.
        source_lengths
            ``int64``, ``(batch,)``; with ``None`` all steps count.
        target_in
            ``int64``, ``(batch, time)``: the start token and then the target.

        Returns
        -------
        Tensor
            Logits, ``(batch, time, vocab)``.

        Raises
        ------
        TypeError, ValueError
            If there are not as many sources as targets, or tokens or lengths do not fit.
        """
        return self.decoder.read(target_in, self._start(source, source_lengths, target_in))[0]

    def start(self, source: Tensor, source_lengths: Tensor | None = None) -> DecoderState:
        """Read the sources; give the state before the start token."""
        return self.decoder.start(self.encoder(source, source_lengths))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read one token of each target, ``(batch,)``, and give log-probabilities of the next.

        This is the step function that :mod:`unrolled.decoding` asks for.

        Returns
        -------
        log_probs : Tensor
            ``(batch, vocab)``.
        state : DecoderState
            After this token.
        """
        logits, state = self.decoder.read(tokens[:, None], state)
        return F.log_softmax(logits[:, 0], dim=-1), state

    def alignment(self, source: Tensor, source_lengths: Tensor | None, target_in: Tensor) -> Tensor:
        """Give where a decoder with attention looks while it reads ``target_in``.

        Returns
        -------
        Tensor
            Weights, ``(batch, time, steps)``: those of the step that reads a token, and writes the
            one after it.

        Raises
        ------
        TypeError, ValueError
            As :meth:`forward`; a ``TypeError`` too if the decoder has no attention.
        """
        if not isinstance(self.decoder, AttentionDecoder):
            raise TypeError("the decoder has no attention; expected an AttentionDecoder")
        state = self._start(source, source_lengths, target_in)
        return self.decoder.attend(target_in, state)[1]

    def _start(
        self, source: Tensor, source_lengths: Tensor | None, target_in: Tensor
    ) -> DecoderState:
        if len(source) != len(target_in):
            raise ValueError(f"{len(source)} sources came with {len(target_in)} targets")
        return self.start(source, source_lengths)


# --- Losses: what `training.train` asks for, (model, batch, state) -> (scalar, state) -------------


def masked_cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Give the mean cross-entropy of those targets that count.

    What stands elsewhere, NaN included, changes neither the value nor a gradient.

    Parameters
    ----------
    logits
        ``(batch, time, classes)``.
    targets
        ``int64``, ``(batch, time)``.
    mask
        ``(batch, time)``, true where a target counts.

    Returns
    -------
    Tensor
        In nats for each target that counts, a scalar.

    Raises
    ------
    ValueError
        If shapes do not fit, or nothing counts.

    Examples
    --------
    >>> logits = torch.zeros(1, 3, 4)
    >>> mask = torch.tensor([[False, True, True]])
    >>> round(masked_cross_entropy(logits, torch.zeros(1, 3).long(), mask).exp().item(), 3)
    4.0
    """
    if logits.shape[:2] != targets.shape or mask.shape != targets.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)}, targets {tuple(targets.shape)} and mask "
            f"{tuple(mask.shape)} came; expected (batch, time, classes) and twice (batch, time)"
        )
    if not mask.any():
        raise ValueError("the mask counts no target; expected at least one")
    return F.cross_entropy(logits[mask], targets[mask])


def classifier_loss(model: nn.Module, batch: SequenceBatch, state: None) -> tuple[Tensor, None]:
    """Give the mean cross-entropy of the classes of a batch, called as a SequenceClassifier is."""
    return F.cross_entropy(model(batch.tokens, batch.lengths), batch.targets), state


def tagger_loss(model: nn.Module, batch: SequenceBatch, state: None) -> tuple[Tensor, None]:
    """Give the mean cross-entropy of all tags of a batch, called as a SequenceTagger is."""
    logits = model(batch.tokens, batch.lengths)
    mask = step_mask(batch.lengths, batch.tokens.shape[1])
    return masked_cross_entropy(logits, batch.targets, mask), state


def captioner_loss(model: nn.Module, batch: CaptionBatch, state: None) -> tuple[Tensor, None]:
    """Give the mean cross-entropy of the tokens of captions, called as a Captioner is."""
    logits = model(batch.images, batch.inputs)
    return masked_cross_entropy(logits, batch.targets, batch.mask), state


def seq2seq_loss(model: nn.Module, batch: PairBatch, state: None) -> tuple[Tensor, None]:
    """Give the mean cross-entropy of the tokens of targets, called as a Seq2Seq is."""
    logits = model(batch.source, batch.source_lengths, batch.target_in)
    return masked_cross_entropy(logits, batch.target_out, batch.mask), state


def masked_language_loss(
    model: nn.Module, window: MaskedWindow, state: None
) -> tuple[Tensor, None]:
    """Give the mean cross-entropy of the targets that count, each window a text of its own."""
    logits, _ = model(window.inputs)
    return masked_cross_entropy(logits, window.targets, window.mask), state


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


def _check_causal(layer: nn.Module) -> None:
    if any(isinstance(part, Bidirectional) for part in layer.modules()):
        raise ValueError(
            "the layer is bidirectional, so that its outputs depend on the tokens that are to be "
            "predicted; expected one that reads from left to right"
        )


def _check_decoder_input(layer: nn.Module, embedding_size: int, beside: int) -> None:
    if layer.input_size != embedding_size + beside:
        raise ValueError(
            f"the layer takes {layer.input_size} features; expected {embedding_size + beside}: "
            f"{embedding_size} of a token, and {beside} of the encoder beside it"
        )


def _bridge(encoder: Encoder, layer: nn.Module, whole: bool) -> Bridge | None:
    """Give a bridge, or ``None`` where the encoder's whole state can be taken over as it is."""
    theirs, ours = encoder.layer.initial_state(1), layer.initial_state(1)
    if whole and _kind(theirs) == _kind(ours):
        return None
    return Bridge(encoder.output_size, layer)


def _kind(state: State) -> tuple:
    """Give the types and sizes of a state."""
    if isinstance(state, Tensor):
        return tuple(state.shape)
    return (type(state), *map(_kind, state))


def _true_tokens(tokens: Tensor, lengths: Tensor | None, vocab_size: int) -> Tensor:
    """Give tokens with 0 in the padding, where anything may stand; check the others."""
    if isinstance(tokens, Tensor) and tokens.dim() == 2:
        tokens = zero_padding(tokens, lengths)
    check_tokens("tokens", tokens, ("batch", "time"), vocab_size)
    return tokens
