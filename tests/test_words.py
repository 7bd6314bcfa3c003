"""The words of twenty languages: what counts as a word, and what is kept apart."""

import unicodedata

import pytest
import torch

from unrolled.data import language_words
from unrolled.data.words import LANGUAGES, split_words, without_accents


@pytest.fixture(scope="module")
def task():
    return language_words()


def all_words(task):
    return [*task.train.texts, *task.held_out.texts, *task.shared]


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("Ungarisch (Altungarische Schrift)", "de", ["ungarisch", "altungarische", "schrift"]),
        ("Île d’Yeu 1990, N’Ko", "fr", ["île", "yeu"]),
        ("Åland/ΕΛΛΑΔΑ mixеd", "sv", ["åland"]),  # the e of "mixed" is Cyrillic
        ("İngiltere Isparta", "tr", ["ingiltere", "ısparta"]),
        ("İngiltere Isparta", "de", ["ingiltere", "isparta"]),
        (unicodedata.normalize("NFD", "České"), "cs", [unicodedata.normalize("NFC", "české")]),
        ("snake_case", "en", ["snake", "case"]),
        ("", "en", []),
    ],
)
def test_what_is_a_word(text, code, expected):
    assert split_words(text, code) == expected


def test_accents_are_taken_off():
    assert without_accents("čeština") == "cestina"


def test_no_word_has_a_capital_or_a_letter_that_is_not_latin(task):
    for word in all_words(task):
        assert len(word) >= 3
        assert word == unicodedata.normalize("NFC", word.lower())
        assert all("LATIN SMALL" in unicodedata.name(letter) for letter in word)


def test_no_word_and_no_family_is_on_both_sides(task):
    words = all_words(task)
    assert len(words) == len(set(words))
    train, held_out = (
        {without_accents(word)[:4] for word in part.texts} for part in (task.train, task.held_out)
    )
    assert not train & held_out
    assert 0.15 < len(held_out) / len(train | held_out) < 0.25


def test_words_of_several_languages_are_left_out_and_named(task):
    assert task.shared["januari"] == ("Dutch", "Swedish", "Indonesian", "Swahili")
    assert all(len(set(names)) > 1 for names in task.shared.values())
    assert {name for names in task.shared.values() for name in names} == set(task.languages)


@pytest.mark.parametrize(
    ("word", "language"),
    [
        ("november", None),  # of many
        ("mittwoch", "German"),
        ("woensdag", "Dutch"),
        ("mercredi", "French"),
        ("keskiviikko", "Finnish"),
        ("çarşamba", "Turkish"),
        ("jumatano", "Swahili"),
        ("szerda", "Hungarian"),
    ],
)
def test_known_words_have_their_language(task, word, language):
    found = [
        task.languages[label]
        for part in (task.train, task.held_out)
        for text, label in zip(part.texts, part.labels.tolist(), strict=True)
        if text == word
    ]
    assert found == ([] if language is None else [language])


def test_every_language_is_in_both_parts_and_labels_fit(task):
    assert task.languages == tuple(LANGUAGES.values())
    for part in (task.train, task.held_out):
        assert part.labels.dtype == torch.int64
        assert len(part.texts) == len(part.labels)
        assert set(part.labels.tolist()) == set(range(20))
    assert len(task.train.texts) > 3.5 * len(task.held_out.texts)


def test_order_is_mixed_and_always_the_same(task):
    assert language_words().train.texts == task.train.texts
    assert len(set(task.train.labels[:400].tolist())) == 20
    assert task.train.texts[:200] != sorted(task.train.texts[:200])
