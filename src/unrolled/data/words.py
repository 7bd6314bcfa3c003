"""Whose language is this word: the words that twenty languages have for places, languages, time."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from babel import Locale

from unrolled.data.prose import LabelledTexts

#: Written with Latin letters, relatives side by side.
LANGUAGES = {
    "en": "English",
    "nl": "Dutch",
    "de": "German",
    "da": "Danish",
    "nb": "Norwegian",
    "sv": "Swedish",
    "is": "Icelandic",
    "fr": "French",
    "it": "Italian",
    "es": "Spanish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "cs": "Czech",
    "pl": "Polish",
    "hu": "Hungarian",
    "fi": "Finnish",
    "et": "Estonian",
    "tr": "Turkish",
    "id": "Indonesian",
    "sw": "Swahili",
}
SHORTEST = 3  # letters; shorter ones are mostly abbreviations
FAMILY = 4  # letters at the start that relatives share
HELD_OUT = 5  # one family in so many


class LanguageWords(NamedTuple):
    """The task: two sets of words, of different families, and the language of each.

    ``shared`` are the words that were left out because more than one language has them, with the
    names of those languages.
    """

    train: LabelledTexts
    held_out: LabelledTexts
    languages: tuple[str, ...]
    shared: dict[str, tuple[str, ...]]


def language_words() -> LanguageWords:
    """Load words of twenty languages out of the names of the CLDR [1]_, which Babel brings along.

    They are the names of languages, scripts, countries, cities, currencies, time zones, units,
    months and days, cut into words. Capitals are gone, since German has more of them than others;
    so are words with a letter that is not Latin, and words of one or two letters. A word that
    several of the languages have is in neither set.

    Words that begin with the same four letters, accents not counted, are a family: *germany*,
    *germanic* and *germano* are all in the training set, or all held out. About one family in five
    is. The order is random and always the same; the words themselves may change with the release of
    Babel.

    References
    ----------
    .. [1] Unicode Common Locale Data Repository, https://cldr.unicode.org

    Examples
    --------
    >>> task = language_words()
    >>> task.languages[:3]
    ('English', 'Dutch', 'German')
    >>> task.shared["januari"]
    ('Dutch', 'Swedish', 'Indonesian', 'Swahili')
    """
    spoken: dict[str, list[int]] = {}  # word: the languages that have it
    for label, code in enumerate(LANGUAGES):
        for word in {word for name in _names(code) for word in split_words(name, code)}:
            spoken.setdefault(word, []).append(label)
    languages = tuple(LANGUAGES.values())
    parts: tuple[list[tuple[str, int]], ...] = ([], [])
    for word in sorted(spoken, key=lambda word: (zlib.crc32(word.encode()), word)):
        if len(spoken[word]) == 1:
            parts[_is_held_out(word)].append((word, spoken[word][0]))
    train, held_out = (
        LabelledTexts([word for word, _ in part], torch.tensor([label for _, label in part]))
        for part in parts
    )
    shared = {
        word: tuple(languages[label] for label in labels)
        for word, labels in sorted(spoken.items())
        if len(labels) > 1
    }
    return LanguageWords(train, held_out, languages, shared)


def split_words(text: str, code: str) -> list[str]:
    """Cut a text into words without capitals; drop those that are short, or not in Latin letters.

    Parameters
    ----------
    text
        Of any script.
    code
        Of the language: in Turkish, ``"tr"``, the small letter of I is ı.

    Examples
    --------
    >>> split_words("Côte d’Ivoire (Ελλάδα)", "fr")
    ['côte', 'ivoire']
    """
    text = unicodedata.normalize("NFC", text).replace("İ", "i")  # else its dot becomes a letter
    if code == "tr":
        text = text.replace("I", "ı")
    return [
        word
        for word in re.findall(r"[^\W\d_]+", text.lower())
        if len(word) >= SHORTEST and all("LATIN" in unicodedata.name(letter) for letter in word)
    ]


def without_accents(word: str) -> str:
    """Take the marks off letters: ``"čeština"`` becomes ``"cestina"``."""
    parts = unicodedata.normalize("NFD", word)
    return "".join(letter for letter in parts if not unicodedata.combining(letter))


def _is_held_out(word: str) -> bool:
    family = without_accents(word)[:FAMILY]
    return zlib.crc32(family.encode()) % HELD_OUT == 0


def _names(code: str) -> Iterator[str]:
    locale = Locale.parse(code)
    for names in (
        locale.languages,
        locale.scripts,
        locale.variants,
        locale.territories,
        locale.currencies,
    ):
        yield from names.values()
    for form in ("format", "stand-alone"):
        yield from locale.months[form]["wide"].values()
        yield from locale.days[form]["wide"].values()
    for zone in locale.time_zones.values():
        if "city" in zone:
            yield zone["city"]
    for zone in locale.meta_zones.values():
        yield from zone.get("long", {}).values()
    for unit in locale.unit_display_names.values():
        if "long" in unit:
            yield unit["long"]
