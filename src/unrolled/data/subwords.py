"""Words cut into pieces that come often, learnt from texts."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import sentencepiece
import torch
from torch import Tensor

from unrolled.checking import check_whole


class Subwords:
    """Cut texts into pieces of words by byte-pair encoding [1]_, as sentencepiece [2]_ learns it.

    A piece that begins a word begins with ``▁``, so that pieces put together are the text again.

    Parameters
    ----------
    texts
        From which the pieces are learnt: the training side alone.
    vocab_size
        Number of pieces, with those for the start, the end and unknown letters.

    Attributes
    ----------
    vocab_size : int
        Number of tokens.
    bos : int
        The start token.
    eos : int
        The end token.
    unknown : int
        The token of letters that were not in the texts.
    letters : list of str
        The letters that were.

    Raises
    ------
    ValueError
        If there is no text, or so many pieces cannot be had from the texts.

    References
    ----------
    .. [1] R. Sennrich, B. Haddow, A. Birch, "Neural machine translation of rare words with subword
       units", ACL 2016, arXiv:1508.07909.
    .. [2] T. Kudo, J. Richardson, "SentencePiece: a simple and language independent subword
       tokenizer and detokenizer for neural text processing", 2018, arXiv:1808.06226.

    Examples
    --------
    >>> subwords = Subwords(["low low low lower lowest", "newer newest wider"], vocab_size=24)
    >>> (tokens,) = subwords.encode(["lower"])
    >>> subwords.pieces(tokens), subwords.text(tokens)
    (['▁low', 'er'], 'lower')
    """

    def __init__(self, texts: Iterable[str], vocab_size: int) -> None:
        check_whole(least=4, vocab_size=vocab_size)
        texts = [text for text in texts if text.strip()]
        if not texts:
            raise ValueError("there is no text; expected at least one that is not empty")
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=model,
                model_type="bpe",
                vocab_size=vocab_size,
                character_coverage=1.0,  # every letter of the texts is a piece
                normalization_rule_name="identity",
                pad_id=-1,
                num_threads=1,
                minloglevel=3,
            )
        except RuntimeError as error:
            raise ValueError(
                f"vocab_size is {vocab_size}, which these texts do not give: fewer than their "
                f"letters, or more than there are pieces. sentencepiece says: {error}"
            ) from error
        self._use(model.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Subwords:
        """Give the subwords that :meth:`save` wrote.

        Raises
        ------
        OSError
            If the file cannot be read, or is none of sentencepiece.
        """
        subwords = cls.__new__(cls)
        try:
            subwords._use(Path(path).read_bytes())
        except RuntimeError as error:
            raise OSError(f"{path} is no model of sentencepiece, or is damaged: {error}") from error
        return subwords

    def save(self, path: str | Path) -> None:
        """Write a file that sentencepiece, too, can read."""
        Path(path).write_bytes(self.processor.serialized_model_proto())

    def _use(self, model: bytes) -> None:
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.vocab_size = self.processor.vocab_size()
        self.bos, self.eos = self.processor.bos_id(), self.processor.eos_id()
        self.unknown = self.processor.unk_id()
        pieces = map(self.processor.id_to_piece, range(self.vocab_size))
        self.letters = [piece for piece in pieces if len(piece) == 1]

    def encode(self, texts: Iterable[str]) -> list[Tensor]:
        """Give the tokens of each text, ``int64``, ``(time,)``, the end token last."""
        return [torch.tensor([*row, self.eos]) for row in self.processor.encode(list(texts))]

    def pieces(self, tokens: Iterable[int]) -> list[str]:
        """Give what each token says, up to the first end token."""
        return [self.processor.id_to_piece(token) for token in self._up_to_end(tokens)]

    def text(self, tokens: Iterable[int]) -> str:
        """Give what tokens say together, up to the first end token."""
        return self.processor.decode(self._up_to_end(tokens))

    def _up_to_end(self, tokens: Iterable[int]) -> list[int]:
        tokens = [int(token) for token in tokens]
        return tokens[: tokens.index(self.eos)] if self.eos in tokens else tokens
