"""From texts to texts: what stands between a reader and a sequence-to-sequence model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence

from unrolled.checking import check_whole
from unrolled.data import TextTokens
from unrolled.decoding import beam_search, greedy
from unrolled.models import Seq2Seq


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
    was_training = model.training
    model.eval()
    sources = source.encode(texts)
    order = sorted(range(len(texts)), key=lambda place: len(sources[place]))
    said: dict[int, str] = {}
    options = {"eos": target.eos, "max_steps": max_steps}
    for begin in range(0, len(order), batch):
        places = order[begin : begin + batch]
        chosen = [sources[place] for place in places]
        lengths = torch.tensor([len(tokens) for tokens in chosen])
        state = model.start(pad_sequence(chosen, batch_first=True), lengths)
        options["bos"] = torch.full((len(places),), target.bos)
        if beam_size == 1 and not length_penalty:
            tokens = greedy(model.step, state, **options)
        else:
            beams = {"beam_size": beam_size, "length_penalty": length_penalty}
            tokens = beam_search(model.step, state, **options, **beams).tokens[:, 0]
        said |= {place: target.text(row) for place, row in zip(places, tokens, strict=True)}
    model.train(was_training)
    return [said[place] for place in range(len(texts))]
