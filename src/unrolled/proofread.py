"""What is wrong with a French translation: small checks that only count and compare words.

They find some errors of each kind, not all of them, and now and then raise a false alarm. How often
they do is measured on translations that people wrote.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise


def words_of(text: str) -> list[str]:
    """Give the words of a text in lower case; an apostrophe stays with the word before it.

    Examples
    --------
    >>> words_of("J'ai 2 chats, Tom.")
    ["j'", 'ai', 'chats', 'tom']
    """
    return re.findall(r"[^\W\d_]+'?", text.lower())


#: Words that say whether the noun after them is masculine or feminine.
DETERMINERS = {
    "masculine": {"un", "mon", "ton", "son", "du", "au"},
    "feminine": {"une", "ma", "ta", "sa", "cette"},
}
#: Words without a gender that often follow a determiner.
INVARIABLE = {"peu", "plus", "si", "très", "trop"}
#: Words that may stand between a subject and its verb.
BETWEEN = set(words_of("ne n'me m'te t'se s'le la l'les lui leur y en nous vous"))
#: Endings of a verb that cannot follow a subject.
WRONG_ENDINGS = {
    **dict.fromkeys(("je", "j'", "tu", "il", "elle", "on"), ("ons", "ez", "ont")),
    **dict.fromkeys(("ils", "elles"), ("ons", "ez", "ais", "ait")),
}


def repeated(text: str) -> list[str]:
    """Give the runs of one to three words that come twice in a row.

    "Nous nous" and "vous vous" are right in French: subject and object.

    Examples
    --------
    >>> repeated("Tom a un chien et un chien et un chat."), repeated("Nous nous aimons.")
    (['chien et un', 'un chien et'], [])
    """
    words, found = words_of(text), []
    for length in (1, 2, 3):
        for i in range(len(words) - 2 * length + 1):
            run = words[i : i + length]
            if run == words[i + length : i + 2 * length] and run not in (["nous"], ["vous"]):
                found.append(" ".join(run))
    return sorted(set(found))


def invented(text: str, known: Collection[str]) -> list[str]:
    """Give the words that are not among the ``known`` ones, such as all of the training.

    Examples
    --------
    >>> invented("Le chat mangit.", known={"le", "chat", "mange"})
    ['mangit']
    """
    return [word for word in words_of(text) if word not in known]


def lost(source: str, text: str, references: Sequence[str]) -> list[str]:
    """Give the names and numbers of the source that each right translation has, and this has not.

    Examples
    --------
    >>> lost("Tom met Mary in 2013.", "Tom a rencontré Marie.", ["Tom a rencontré Mary en 2013."])
    ['Mary', '2013']
    """
    there = set(re.findall(r"\w+", text))
    wanted = set.intersection(*(set(re.findall(r"\w+", right)) for right in references))
    names = re.findall(r"\b[A-Z][a-z]+\b|\d+", source)
    return [name for name in dict.fromkeys(names) if name in wanted and name not in there]


def reordered(text: str, references: Sequence[str]) -> bool:
    """Tell whether these are the words of a right translation, in an order that none has.

    Examples
    --------
    >>> reordered("J'ai une rouge voiture.", ["J'ai une voiture rouge."])
    True
    """
    orders = [words_of(right) for right in references]
    words = words_of(text)
    return words not in orders and sorted(words) in map(sorted, orders)


def wrong_person(text: str) -> list[str]:
    """Give the pairs of a subject and a verb whose ending belongs to another subject.

    Examples
    --------
    >>> wrong_person("Je ne parlez pas."), wrong_person("Je ne parle pas.")
    (['je parlez'], [])
    """
    words, found = words_of(text), []
    for i, subject in enumerate(words):
        verb = next((word for word in words[i + 1 :] if word not in BETWEEN), "")
        if verb != "chez" and verb.endswith(WRONG_ENDINGS.get(subject, ())):
            found.append(f"{subject} {verb}")
    return found


def genders(texts: Iterable[str]) -> dict[str, str]:
    """Learn the gender of nouns: those that come at least twice with one gender, never the other.

    Before a vowel or h, "mon" stands for "ma" too: such nouns are left out.

    Examples
    --------
    >>> genders(["Ma soeur a un chat.", "Une soeur a son chat.", "Mon amie a une table."])
    {'chat': 'masculine', 'soeur': 'feminine'}
    """
    counts = {gender: Counter() for gender in DETERMINERS}
    for text in texts:
        words = words_of(text)
        for before, noun in pairwise(words):
            if noun[0] in "aeiouyhàâéèêîïôûœ" or noun in INVARIABLE:
                continue
            for gender, determiners in DETERMINERS.items():
                counts[gender][noun] += before in determiners
    return {
        noun: gender
        for gender, other in (("masculine", "feminine"), ("feminine", "masculine"))
        for noun, times in sorted(counts[gender].items())
        if times > 1 and not counts[other][noun]
    }


def wrong_gender(text: str, genders: Mapping[str, str]) -> list[str]:
    """Give the pairs of a determiner and a noun of the other gender, as :func:`genders` gives it.

    Examples
    --------
    >>> wrong_gender("C'est un voiture.", {"voiture": "feminine"})
    ['un voiture']
    """
    words = words_of(text)
    return [
        f"{before} {noun}"
        for before, noun in pairwise(words)
        for gender, determiners in DETERMINERS.items()
        if before in determiners and genders.get(noun, gender) != gender
    ]


def mistakes(
    source: str,
    text: str,
    references: Sequence[str],
    *,
    known: Collection[str],
    genders: Mapping[str, str],
) -> dict[str, list[str]]:
    """Give what the checks find in a translation, by the kind of the error.

    Parameters
    ----------
    source
        The English sentence.
    text
        Its translation.
    references
        Right translations.
    known
        French words that exist, in lower case.
    genders
        Of nouns, as :func:`genders` gives them.

    Returns
    -------
    dict
        ``"agreement"``, ``"word order"``, ``"invented word"``, ``"lost name"`` and
        ``"repetition"``; without the kinds of which nothing was found.

    Examples
    --------
    >>> mistakes("Tom has a car.", "Tom a un voiture voiture.", ["Tom a une voiture."],
    ...          known={"tom", "a", "un", "une", "voiture"}, genders={"voiture": "feminine"})
    {'agreement': ['un voiture'], 'repetition': ['voiture']}
    """
    found = {
        "agreement": wrong_person(text) + wrong_gender(text, genders),
        "word order": [text] if reordered(text, references) else [],
        "invented word": invented(text, known),
        "lost name": lost(source, text, references),
        "repetition": repeated(text),
    }
    return {kind: some for kind, some in found.items() if some}
