"""From texts to texts: what stands between a reader and a sequence-to-sequence model."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from unrolled.attention import DotProductAttention
from unrolled.checking import check_choice, check_whole
from unrolled.data import TextTokens
from unrolled.data.subwords import Subwords
from unrolled.data.translation import tidy
from unrolled.decoding import beam_search, greedy
from unrolled.layers import GRU
from unrolled.models import AttentionDecoder, Encoder, Seq2Seq

SIDES = ("en", "fr")
END = "</s>"


@torch.no_grad()
def translate(
    model: Seq2Seq,
    texts: Sequence[str],
    source: TextTokens,
    target: TextTokens,
    *,
    max_steps: int,
    beam_size: int = 1,
    length_penalty: float = 0.0,
    batch: int = 256,
) -> list[str]:
    """Translate texts, in batches of about one length.

    Parameters
    ----------
    model
        Trained.
    texts
        To translate, none of them empty.
    source, target
        Cut the texts of either side, as they did in training.
    max_steps
        Tokens of a translation, at most.
    beam_size, length_penalty
        Of the beam search; a beam of 1 is greedy.
    batch
        Texts that are translated together.

    Returns
    -------
    list
        A translation for each text, in the order of the texts.

    Raises
    ------
    ValueError
        If there is no text, one is empty or has a token that is not known, or a number is below 1.
    """
    check_whole(max_steps=max_steps, beam_size=beam_size, batch=batch)
    if isinstance(texts, str):
        raise TypeError("a single text came; expected a list of texts")
    if not texts:
        raise ValueError("there is no text; expected at least one")
    for place, text in enumerate(texts):
        if not text.strip():
            raise ValueError(f"text {place} is empty; leave it out")
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    sources = source.encode(texts)
    order = sorted(range(len(texts)), key=lambda place: len(sources[place]))
    said: dict[int, str] = {}
    options = {"eos": target.eos, "max_steps": max_steps}
    for begin in range(0, len(order), batch):
        places = order[begin : begin + batch]
        chosen = [sources[place] for place in places]
        lengths = torch.tensor([len(tokens) for tokens in chosen])
        padded = pad_sequence(chosen, batch_first=True)
        state = model.start(padded.to(device), lengths.to(device))
        options["bos"] = torch.full((len(places),), target.bos, device=device)
        if beam_size == 1 and not length_penalty:
            tokens = greedy(model.step, state, **options)
        else:
            beams = {"beam_size": beam_size, "length_penalty": length_penalty}
            tokens = beam_search(model.step, state, **options, **beams).tokens[:, 0]
        said |= {place: target.text(row) for place, row in zip(places, tokens, strict=True)}
    model.train(was_training)
    return [said[place] for place in range(len(texts))]


# --- The translator that comes with the book -----------------------------------------------------


def weights_folder() -> Path:
    """Give the folder of the trained weights: of the checkout, or of the installed package."""
    installed = Path(__file__).parent / "weights"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "weights"


def translation_model(
    source_size: int, target_size: int, *, embedding: int, encoder: int, hidden: int
) -> Seq2Seq:
    """Make the model of :class:`Translator`: GRUs, a bidirectional encoder, scaled dot products.

    Parameters
    ----------
    source_size, target_size
        Numbers of tokens.
    embedding
        Numbers for a token.
    encoder
        Units of either direction of the encoder.
    hidden
        Units of the decoder, which looks after each step; twice those of ``encoder``, as queries
        and keys of a dot product are of one size.
    """
    reader = Encoder(source_size, layer=GRU(embedding, encoder, bidirectional=True))
    writer = AttentionDecoder(
        target_size,
        encoder=reader,
        layer=GRU(embedding, hidden),
        embedding_size=embedding,
        attention=DotProductAttention(),
        look="after",
    )
    return Seq2Seq(reader, writer)


class Translated(NamedTuple):
    """A translation, and where the model looked.

    ``source`` and ``target`` are the pieces read and written, each with ``"</s>"``, the end, as the
    last; ``weights (target pieces, source pieces)`` are those with which each piece was written.
    """

    text: str
    source: list[str]
    target: list[str]
    weights: Tensor


class Translator:
    """Translate sentences from English to French.

    Parameters
    ----------
    model
        A trained :func:`translation_model`.
    source, target
        Cut the sentences of either language.
    sizes
        With which the model was made, and ``"longest"``: the most tokens of a source in training.

    Examples
    --------
    >>> translator = Translator.load()
    >>> said = translator.translate("Thank you.")
    >>> said.source, said.weights.shape[1]
    (['▁Thank', '▁you', '.', '</s>'], 4)
    """

    def __init__(
        self, model: Seq2Seq, source: Subwords, target: Subwords, sizes: dict[str, int]
    ) -> None:
        self.model, self.source, self.target, self.sizes = model.eval(), source, target, sizes

    @classmethod
    def load(cls, folder: str | Path | None = None) -> Self:
        """Load the translator that comes with the book, or the one in another folder.

        Raises
        ------
        OSError
            If a file is missing or damaged.
        """
        folder = Path(folder) if folder else weights_folder()
        path = folder / "translator.safetensors"
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no {path}; `python -m unrolled train 15-shipped` trains and writes it"
            )
        source, target = (Subwords.load(folder / f"translator.{side}.model") for side in SIDES)
        with safe_open(path, "pt") as file:
            sizes = json.loads(file.metadata()["sizes"])
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        made_with = {name: sizes[name] for name in ("embedding", "encoder", "hidden")}
        model = translation_model(source.vocab_size, target.vocab_size, **made_with)
        model.load_state_dict(weights)
        return cls(model, source, target, sizes)

    def save(self, folder: str | Path) -> None:
        """Write the weights, in half precision, and the subwords of both languages."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: weight.half() for name, weight in self.model.state_dict().items()}
        sizes = {"sizes": json.dumps(self.sizes)}
        (folder / "translator.safetensors").write_bytes(save(weights, metadata=sizes))
        for side, subwords in zip(SIDES, (self.source, self.target), strict=True):
            subwords.save(folder / f"translator.{side}.model")

    def translate(self, text: str, beam_size: int = 4, length_penalty: float = 1.0) -> Translated:
        """Translate one sentence.

        Parameters
        ----------
        text
            English. Letters that the translator has never seen, and a sentence longer than any that
            it has seen, are translated with a ``UserWarning``.
        beam_size, length_penalty
            Of the beam search.

        Returns
        -------
        Translated

        Raises
        ------
        TypeError
            If ``text`` is not a string.
        ValueError
            If it is empty, or ``beam_size`` is below 1.
        """
        check_whole(beam_size=beam_size)
        tokens = self.tokens(text)  # (steps,)
        state = self.model.start(tokens[None])
        beams = beam_search(
            self.model.step,
            state,
            bos=torch.tensor([self.target.bos]),
            eos=self.target.eos,
            max_steps=self.max_steps(len(tokens)),
            beam_size=beam_size,
            length_penalty=length_penalty,
        )
        written = self.target.pieces(beams.tokens[0, 0])
        ends = [*beams.tokens[0, 0, : len(written)].tolist(), self.target.eos]
        weights = self.weights(tokens, torch.tensor(ends))
        pieces = [*self.source.pieces(tokens), END]
        return Translated(self.target.text(ends), pieces, [*written, END], weights)

    def align(self, text: str, translation: str) -> Translated:
        """Give where the model looks when it is made to write a given translation.

        Raises
        ------
        TypeError, ValueError
            If one of them is not a string, or is empty.
        """
        tokens = self.tokens(text)
        if not isinstance(translation, str) or not translation.strip():
            raise ValueError(f"translation is {translation!r}; expected a French sentence")
        (written,) = self.target.encode([tidy(translation, "fr")])
        return Translated(
            self.target.text(written),
            [*self.source.pieces(tokens), END],
            [*self.target.pieces(written), END],
            self.weights(tokens, written),
        )

    def translate_all(self, texts: Sequence[str], beam_size: int = 1) -> list[str]:
        """Translate many sentences, in batches, without the alignments: see :func:`translate`."""
        texts = [tidy(text) for text in texts]
        return translate(
            self.model,
            texts,
            self.source,
            self.target,
            max_steps=self.max_steps(*map(len, self.source.encode(texts))),
            beam_size=beam_size,
            length_penalty=1.0,
        )

    def max_steps(self, *steps: int) -> int:
        """Give how many tokens the translations of sources with so many tokens may have."""
        return 2 * max(self.sizes["longest"], *steps) + 10

    def tokens(self, text: str) -> Tensor:
        """Give the tokens of a sentence, or say what is wrong with it."""
        if not isinstance(text, str):
            raise TypeError(f"text is of type {type(text).__name__}; expected an English sentence")
        text = tidy(text)
        if not text:
            raise ValueError("the sentence is empty; expected at least one word")
        (tokens,) = self.source.encode([text])
        known = set(self.source.letters)
        if unknown := sorted(set(text.replace(" ", "")) - known):
            warnings.warn(
                f"never seen in training, so read as unknown: {' '.join(unknown)}", stacklevel=3
            )
        if len(tokens) > self.sizes["longest"]:
            warnings.warn(
                f"the sentence has {len(tokens)} pieces, and the longest seen in training "
                f"{self.sizes['longest']}: parts may be lost or come twice; give shorter sentences",
                stacklevel=3,
            )
        return tokens

    @torch.no_grad()
    def weights(self, tokens: Tensor, written: Tensor) -> Tensor:
        """Give the weights of each written token, ``(time, steps)``."""
        target_in = torch.cat([torch.tensor([self.target.bos]), written[:-1]])
        return self.model.alignment(tokens[None], None, target_in[None])[0]


def held_out_sentences(folder: str | Path | None = None) -> dict[str, list[str]]:
    """Give the English sentences on which the translator is tested, each with its translations.

    They come from Tatoeba, https://tatoeba.org, CC BY 2.0 FR.

    Raises
    ------
    OSError
        If the file is missing.

    Examples
    --------
    >>> sentences = held_out_sentences()
    >>> len(sentences) > 3000 and all(sentences.values())
    True
    """
    path = (Path(folder) if folder else weights_folder()) / "held-out.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()
    return {source: several for source, *several in (line.split("\t") for line in lines)}


def training_words(language: str, folder: str | Path | None = None) -> set[str]:
    """Give the words of the sentences on which the translator was trained.

    They are cut as :mod:`unrolled.proofread` cuts them; ``language`` is ``"en"`` or ``"fr"``.

    Raises
    ------
    ValueError
        If the language is another.
    OSError
        If the file is missing.

    Examples
    --------
    >>> "maison" in training_words("fr")
    True
    """
    check_choice(SIDES, language=language)
    path = (Path(folder) if folder else weights_folder()) / f"words.{language}.txt"
    return set(path.read_text(encoding="utf-8").split())
