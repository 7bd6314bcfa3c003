"""Pairs of texts, one the translation of the other: cut into tokens, padded, in batches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from unrolled.checking import check_choice, check_whole
from unrolled.data.sequences import LengthBatches, by_length
from unrolled.data.vocab import Vocab

#: The parts that German number words are made of; "s" and "e" stay with their word at its end.
NUMBER_PIECE = re.compile(
    "null|eins|eine|ein|zwei|zwanzig|drei|vier|fünf|sechs|sechzehn|sech|sieben|siebzehn|sieb|acht|"
    "neun|zehn|elf|zwölf|zig|ßig|und|hundert|tausend|Millionen|Million|Milliarden|Milliarde| |."
)

#: Ways to cut a text: what cuts it, and what stood between the parts.
CUTS: dict[str, tuple[Callable[[str], list[str]], str]] = {
    "letters": (list, ""),
    "words": (str.split, " "),
    "number pieces": (NUMBER_PIECE.findall, ""),
}


class TextPairs(NamedTuple):
    """Texts and their translations, as many of the one as of the other."""

    source: list[str]
    target: list[str]

    def first(self, count: int) -> TextPairs:
        """Give the first ``count`` pairs."""
        return TextPairs(self.source[:count], self.target[:count])


class Translation(NamedTuple):
    """The task: pairs to learn from, and pairs to be tested with."""

    train: TextPairs
    held_out: TextPairs


class TextTokens(Protocol):
    """What cuts texts into tokens and puts them together again: Tokenizer, Subwords."""

    vocab_size: int
    bos: int
    eos: int

    def encode(self, texts: Iterable[str]) -> list[Tensor]:
        """Give the tokens of each text, ``int64``, ``(time,)``, the end token last."""

    def pieces(self, tokens: Iterable[int]) -> list[str]:
        """Give what each token says, up to the first end token."""

    def text(self, tokens: Iterable[int]) -> str:
        """Give what tokens say together, up to the first end token."""


class Tokenizer:
    """Cut texts into tokens, and put tokens together again.

    Parameters
    ----------
    texts
        All texts, or those whose tokens are to be known.
    by
        ``"letters"`` (the space is one), ``"words"``, or ``"number pieces"``, the parts of German
        number words.
    unknown
        Whether other tokens become ``"<unk>"``; else they are an error.

    Attributes
    ----------
    vocab : Vocab
        All tokens, with ``"<bos>"`` and ``"<eos>"``.
    vocab_size : int
        Number of tokens.
    bos : int
        The start token.
    eos : int
        The end token.

    Raises
    ------
    ValueError
        If ``by`` is unknown, or there is no text.

    Examples
    --------
    >>> words = Tokenizer(["seventy three", "three"], by="words")
    >>> tokens = words.encode(["three", "seventy three"])
    >>> [len(text) for text in tokens]   # the end token included
    [2, 3]
    >>> words.pieces(tokens[1]), words.text(tokens[1])
    (['seventy', 'three'], 'seventy three')
    >>> pieces = Tokenizer(["dreiundsiebzigtausend"], by="number pieces")
    >>> pieces.pieces(pieces.encode(["dreiundsiebzigtausend"])[0])
    ['drei', 'und', 'sieb', 'zig', 'tausend']
    """

    def __init__(self, texts: Iterable[str], by: str = "letters", unknown: bool = False) -> None:
        check_choice(CUTS, by=by)
        self.by = by
        found = {token for text in texts for token in self.cut(text)}
        if not found:
            raise ValueError("there is no text; expected at least one that is not empty")
        self.vocab = Vocab([*found, "<bos>", "<eos>"], unknown=unknown)
        self.vocab_size = len(self.vocab)
        self.bos, self.eos = self.vocab.encode(["<bos>", "<eos>"]).tolist()

    def cut(self, text: str) -> list[str]:
        """Give the tokens of a text."""
        return CUTS[self.by][0](text)

    def encode(self, texts: Iterable[str]) -> list[Tensor]:
        """Give the tokens of each text, ``int64``, ``(time,)``, the end token last.

        Raises
        ------
        ValueError
            If a token is not in the vocabulary and there is no ``"<unk>"``.
        """
        return [self.vocab.encode([*self.cut(text), "<eos>"]) for text in texts]

    def pieces(self, tokens: Iterable[int]) -> list[str]:
        """Give what each token says, up to the first end token."""
        said = self.vocab.decode(tokens)
        return said[: said.index("<eos>")] if "<eos>" in said else said

    def text(self, tokens: Iterable[int]) -> str:
        """Give what tokens say together, up to the first end token."""
        return CUTS[self.by][1].join(self.pieces(tokens))


class PairBatch(NamedTuple):
    """Padded pairs: ``source`` is ``(batch, steps)``, the others ``(batch, time)``.

    ``source_lengths`` is ``(batch,)``. What the decoder reads, ``target_in``, begins with the start
    token; what it is to say, ``target_out``, ends with the end token; ``mask`` is true up to and
    including it.
    """

    source: Tensor
    source_lengths: Tensor
    target_in: Tensor
    target_out: Tensor
    mask: Tensor

    @property
    def weight(self) -> int:
        """Give the number of targets that count."""
        return int(self.mask.sum())


class PairBatches:
    """Make batches of pairs whose lengths are about one, so that little is padded.

    A pass goes through the pairs as :class:`~unrolled.data.LengthBatches` does; without shuffling,
    they come sorted by length.

    Parameters
    ----------
    pairs
        Texts and their translations.
    source, target
        Cut the texts of either side.
    batch
        Pairs in a batch; the last may have fewer.
    shuffle
        For training.

    Raises
    ------
    ValueError
        If ``batch`` is below 1, there are no pairs, or not as many texts as translations, or a text
        is empty.

    Examples
    --------
    >>> pairs = TextPairs(["one", "seventy three"], ["eins", "dreiundsiebzig"])
    >>> words, letters = Tokenizer(pairs.source, by="words"), Tokenizer(pairs.target)
    >>> (batch,) = PairBatches(pairs, words, letters, batch=2, shuffle=False)
    >>> batch.source_lengths, batch.target_in.shape
    (tensor([2, 3]), torch.Size([2, 15]))
    >>> [letters.text(row) for row in batch.target_out]
    ['eins', 'dreiundsiebzig']
    """

    def __init__(
        self,
        pairs: TextPairs,
        source: TextTokens,
        target: TextTokens,
        batch: int,
        shuffle: bool = True,
    ) -> None:
        check_whole(batch=batch)
        if not pairs.source or len(pairs.source) != len(pairs.target):
            raise ValueError(
                f"{len(pairs.source)} texts came with {len(pairs.target)} translations; expected "
                "as many, and at least one"
            )
        for texts in pairs:
            if not all(texts):
                raise ValueError(f"text {texts.index('')} is empty; leave the pair out")
        self.sources, self.targets = source.encode(pairs.source), target.encode(pairs.target)
        self.bos, self.eos = target.bos, target.eos
        self.lengths = torch.tensor([len(tokens) for tokens in self.sources])
        self.target_lengths = torch.tensor([len(tokens) for tokens in self.targets])
        self.batch, self.shuffle = batch, shuffle

    def __len__(self) -> int:
        return -(-len(self.sources) // self.batch)  # rounded up

    def __iter__(self) -> Iterator[PairBatch]:
        lengths = self.lengths + self.target_lengths
        pool = LengthBatches.POOL if self.shuffle else None
        return map(self.batch_of, by_length(lengths, self.batch, pool))

    def batch_of(self, rows: Tensor) -> PairBatch:
        """Give the pairs of some rows; past its end, a target is filled with end tokens."""
        chosen = rows.tolist()
        source = pad_sequence([self.sources[row] for row in chosen], batch_first=True)
        targets = [self.targets[row] for row in chosen]
        return PairBatch(source, self.lengths[rows], *shifted(targets, self.bos, self.eos))


def shifted(targets: list[Tensor], bos: int, eos: int) -> tuple[Tensor, Tensor, Tensor]:
    """Give what a decoder reads, what it is to say, and which of it counts, ``(batch, time)`` each.

    ``targets`` end with ``eos``, and are filled up with it.
    """
    target_out = pad_sequence(targets, batch_first=True, padding_value=eos)
    lengths = torch.tensor([len(tokens) for tokens in targets])
    mask = torch.arange(target_out.shape[1]) < lengths[:, None]
    target_in = target_out.roll(1, dims=1)
    target_in[:, 0] = bos
    return target_in, target_out, mask
