"""The checks of a translation find what they say, and leave right sentences alone."""

import pytest

from unrolled.proofread import (
    genders,
    invented,
    lost,
    mistakes,
    reordered,
    repeated,
    words_of,
    wrong_gender,
    wrong_person,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("L'été, déjà !", ["l'", "été", "déjà"]),
        ("Où est-il ?", ["où", "est", "il"]),
        ("Il est 10:30.", ["il", "est"]),
        ("", []),
    ],
)
def test_words(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("Il est est là.", ["est"]),
        ("Il a un chien et un chien.", []),
        ("Je suis là je suis là.", ["je suis là"]),
        ("Nous nous aimons, vous vous aimez.", []),
        ("Nous nous nous aimons.", []),
        ("Il est là, là, là.", ["là"]),
        ("", []),
    ],
)
def test_repeated(text, runs):
    assert repeated(text) == runs


def test_invented():
    assert invented("Tom mangit.", {"tom"}) == ["mangit"]
    assert invented("Tom mange.", {"tom", "mange"}) == []


@pytest.mark.parametrize(
    ("source", "text", "references", "names"),
    [
        ("Tom is here.", "Il est ici.", ["Tom est ici."], ["Tom"]),
        ("Tom is here.", "Tom est ici.", ["Tom est ici."], []),
        ("It is Monday.", "C'est mardi.", ["C'est lundi."], []),  # translated, so no name
        ("Tom is here.", "Il est ici.", ["Tom est ici.", "Il est ici."], []),  # may be left out
        ("I have 3 cats.", "J'ai des chats.", ["J'ai 3 chats."], ["3"]),
        ("Tom and Tom.", "Et.", ["Tom et Tom."], ["Tom"]),
    ],
)
def test_lost(source, text, references, names):
    assert lost(source, text, references) == names


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Une voiture rouge.", False),
        ("Une rouge voiture.", True),
        ("Une voiture bleue.", False),
        ("Une voiture rouge rouge.", False),
        ("Une voiture rouge !", False),
    ],
)
def test_reordered(text, answer):
    assert reordered(text, ["Un vélo.", "Une voiture rouge."]) == answer


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("Je parlez.", ["je parlez"]),
        ("J'avons froid.", ["j' avons"]),
        ("Tu ne le voyez pas.", ["tu voyez"]),
        ("Il ont faim.", ["il ont"]),
        ("Elles avait faim.", ["elles avait"]),
        ("Ils parlons.", ["ils parlons"]),
        ("Je vous parle.", []),
        ("Il nous a vus.", []),
        ("Vous parlez.", []),
        ("Ils ont faim.", []),
        ("Elles avaient faim.", []),
        ("Il n'y a rien.", []),
        ("Je suis chez moi.", []),
        ("Est-il chez toi ?", []),
        ("C'est moi, je.", []),
    ],
)
def test_wrong_person(text, pairs):
    assert wrong_person(text) == pairs


def test_genders_need_two_witnesses_and_no_other():
    texts = ["Un chat.", "Mon chat.", "Une table.", "Un livre, une livre.", "Son livre."]
    assert genders(texts) == {"chat": "masculine"}
    assert genders(["Mon amie.", "Ton amie."]) == {}
    assert genders(["Une très belle.", "Une très grande."]) == {}


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("Un table.", ["un table"]),
        ("Une table.", []),
        ("Ma chat et ta chat.", ["ma chat", "ta chat"]),
        ("La chat.", []),  # "la" may be a pronoun
        ("Une chose.", []),
    ],
)
def test_wrong_gender(text, pairs):
    assert wrong_gender(text, {"table": "feminine", "chat": "masculine"}) == pairs


def test_mistakes_are_sorted_by_kind():
    known = words_of("Tom a une voiture rouge je parlez")
    options = {"known": known, "genders": {"voiture": "feminine"}}
    right = ["Tom a une voiture rouge."]
    assert mistakes("Tom has a red car.", right[0], right, **options) == {}
    assert mistakes(
        "Tom has a red car.", "Je parlez un voiture voiture bleux.", right, **options
    ) == {
        "agreement": ["je parlez", "un voiture"],
        "invented word": ["un", "bleux"],
        "lost name": ["Tom"],
        "repetition": ["voiture"],
    }
    wrong = "Tom a une rouge voiture."
    assert mistakes("Tom has a red car.", wrong, right, **options) == {"word order": [wrong]}
