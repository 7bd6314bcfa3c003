"""Sentences and their translations, in parts that have no sentence in common.

The sentences are those of Tatoeba, https://tatoeba.org, CC BY 2.0 FR, in the selection of
https://www.manythings.org/anki that the package d2l names.
"""

from __future__ import annotations

import random
import re
import unicodedata
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from unrolled.checking import check_choice, check_whole
from unrolled.data.pairs import TextPairs

#: Letters of either language, digits, and the marks of a sentence.
WRITTEN = re.compile(r"""[A-Za-z0-9ÀÂÇÉÊËÎÏÔŒÙÛàâçèéêëîïôœùû .,!?'"«»:;%$-]+""")

#: What can be loaded, and the file in its archive.
FILES = {"fra-eng": "fra-eng/fra.txt"}


class SplitPairs(NamedTuple):
    """Pairs to learn from, to choose settings with, and to be tested with."""

    train: TextPairs
    validation: TextPairs
    test: TextPairs


def translation_pairs(
    name: str = "fra-eng", *, longest: int = 100, validation: int = 1_000, test: int = 3_000
) -> SplitPairs:
    """Load sentences with their translations, tidied and split.

    ``"fra-eng"`` is English with French: about 166,000 pairs. Left out are pairs with a letter that
    neither language has, and those that come twice. Sentences that translate each other belong
    together, also over several steps, and stay together: no sentence is in two parts, not even with
    other marks or capitals. The file is downloaded once, see :func:`unrolled.data.d2l.download`.

    Parameters
    ----------
    name
        ``"fra-eng"``.
    longest
        Letters of a sentence, at most, in either language.
    validation, test
        English sentences in that part, at least; each comes with all its translations.

    Returns
    -------
    SplitPairs

    Raises
    ------
    ValueError
        If there are no pairs of that name, or not enough of them for three parts.
    ImportError, OSError
        If the package d2l is missing or another version, or the file cannot be had.
    """
    check_whole(longest=longest, validation=validation, test=test)
    pairs = tidy_pairs(raw_pairs(name), longest)
    return split_pairs(pairs, {"validation": validation, "test": test})


def raw_pairs(name: str = "fra-eng") -> TextPairs:
    """Give the pairs as they are in the file; the argument and errors as for the whole."""
    check_choice(FILES, name=name)
    from unrolled.data.d2l import download  # only here, for it brings the downloader

    with zipfile.ZipFile(download(name)) as archive:
        text = archive.read(FILES[name]).decode("utf-8")
    lines = [line.split("\t") for line in text.splitlines()]
    return TextPairs([line[0] for line in lines], [line[1] for line in lines])


def tidy(text: str, language: str = "en") -> str:
    """Write a text as all others are written.

    One code for each letter (NFC), one kind of blank and of apostrophe; in French one blank before
    ``! ? : ;`` and within « ». Tatoeba has all variants of these, and no reader could guess which.

    Examples
    --------
    >>> tidy("I\u2019m  cold."), tidy("Tu\u202fviens\u00a0?", "fr"), tidy("Viens!", "fr")
    ("I'm cold.", 'Tu viens ?', 'Viens !')
    """
    text = unicodedata.normalize("NFC", text).replace("’", "'").replace("‘", "'")
    text = re.sub(r"[\s\u200b\u00ad]+", " ", text).strip()
    if language == "fr":
        text = re.sub(r" ?([!?;»]|:(?!\d))", r" \1", text)  # but not the colon of 10:30
        text = re.sub(r"(?<=[!?]) (?=[!?])", "", text)
        text = re.sub(r"« ?", "« ", text).strip()
    return text


def tidy_pairs(pairs: TextPairs, longest: int) -> TextPairs:
    """Give pairs of English and French as :func:`tidy` writes them, each once.

    Left out are those with other letters than :data:`WRITTEN`, and those with a sentence of more
    than ``longest`` letters.
    """
    kept = {
        (english, french): None
        for english, french in ((tidy(a), tidy(b, "fr")) for a, b in zip(*pairs, strict=True))
        if max(len(english), len(french)) <= longest
        and WRITTEN.fullmatch(english)
        and WRITTEN.fullmatch(french)
    }
    return TextPairs(*map(list, zip(*kept, strict=True))) if kept else TextPairs([], [])


def bare(sentence: str) -> str:
    """Give the letters and digits of a sentence alone, in lower case.

    Examples
    --------
    >>> bare("Come on!") == bare("come on.")
    True
    """
    return re.sub(r"[\W_]", "", sentence.casefold())


def groups(pairs: TextPairs, key: Callable[[str], str] = bare) -> list[int]:
    """Give each pair the number of its group: pairs that share a sentence are in one.

    Two pairs of a group need not share a sentence themselves, as long as there is a chain of pairs
    from the one to the other of which each shares a sentence with the next.

    Parameters
    ----------
    pairs
        Sentences and their translations.
    key
        Sentences with one key count as the same.

    Examples
    --------
    >>> english = ["Run!", "Run!", "Flee!", "Stop!"]
    >>> groups(TextPairs(english, ["Cours !", "Fuis !", "Fuis !", "Stop !"]))
    [0, 0, 0, 1]
    """
    places: tuple[dict[str, int], dict[str, int]] = ({}, {})
    ends = [
        [known.setdefault(key(sentence), len(known)) for sentence in side]
        for known, side in zip(places, pairs, strict=True)
    ]
    sources, targets = ends[0], [len(places[0]) + place for place in ends[1]]
    nodes = len(places[0]) + len(places[1])
    graph = coo_array((np.ones(len(sources)), (sources, targets)), shape=(nodes, nodes))
    _, group = connected_components(graph, directed=False)
    return group[sources].tolist()


def split_pairs(pairs: TextPairs, sizes: Mapping[str, int], seed: int = 0) -> SplitPairs:
    """Split pairs so that no sentence is in two parts: whole groups go to one part.

    Parameters
    ----------
    pairs
        Sentences and their translations.
    sizes
        For ``"validation"`` and ``"test"`` the number of different source sentences, at least; what
        is left is for training.
    seed
        Draws which groups are held out.

    Raises
    ------
    ValueError
        If nothing is left for training.
    """
    members: dict[int, list[int]] = {}
    for place, group in enumerate(groups(pairs)):
        members.setdefault(group, []).append(place)
    waiting = sorted(members)
    random.Random(seed).shuffle(waiting)
    parts: dict[str, TextPairs] = {}
    for part, size in sizes.items():
        chosen: list[int] = []
        sources: set[str] = set()
        while waiting and len(sources) < size:
            group = members[waiting.pop()]
            chosen += group
            sources.update(pairs.source[place] for place in group)
        parts[part] = _at(pairs, chosen)
    if not waiting:
        raise ValueError(
            f"{len(pairs.source)} pairs in {len(members)} groups came; expected more than are held "
            f"out, which are {' and '.join(map(str, sizes.values()))} sentences"
        )
    left = sorted(place for group in waiting for place in members[group])
    return SplitPairs(train=_at(pairs, left), **parts)


def references(pairs: TextPairs) -> dict[str, list[str]]:
    """Give for each source sentence all its translations.

    Examples
    --------
    >>> references(TextPairs(["Run!", "Run!", "Stop!"], ["Cours !", "Courez !", "Stop !"]))
    {'Run!': ['Cours !', 'Courez !'], 'Stop!': ['Stop !']}
    """
    found: dict[str, list[str]] = {}
    for source, target in zip(*pairs, strict=True):
        found.setdefault(source, []).append(target)
    return found


def _at(pairs: TextPairs, places: Sequence[int]) -> TextPairs:
    return TextPairs(*([side[place] for place in places] for side in pairs))
