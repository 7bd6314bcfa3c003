"""Sentences and translations: tidied, split without leaks, cut into subwords."""

import hashlib
import random
import zipfile
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unrolled.data import Subwords, TextPairs, references, translation_pairs
from unrolled.data.d2l import import_d2l
from unrolled.data.translation import (
    bare,
    groups,
    raw_pairs,
    split_pairs,
    tidy,
    tidy_pairs,
)

SUBJECTS = {"I": "Je", "You": "Tu", "We": "Nous", "They": "Ils", "Tom": "Tom", "Mary": "Marie"}
VERBS = {"see": "vois", "hear": "entends", "know": "connais", "like": "aime"}
THINGS = {"the dog": "le chien", "the cat": "le chat", "a car": "une voiture"}
LINES = [
    (f"{s} {v} {t}.", f"{SUBJECTS[s]} {VERBS[v]} {THINGS[t]}.")
    for s, v, t in product(SUBJECTS, VERBS, THINGS)
]
LINES += [(english, french[:-1] + " ici.") for english, french in LINES]  # another translation
MORE = [
    ("I see the dog!", "Je vois le chien\u202f!"),  # with other marks the same sentence
    ("I see the dog.", "Je vois un chien."),
    ("Come.", "Viens."),
    ("Come.", "Viens."),  # twice
    ("Дом", "Une maison."),  # other letters
    ("It is " + "very " * 30 + "late.", "Il est tard."),  # too long
]


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A small file in the place of the one that d2l names."""
    path = tmp_path / "fra-eng.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("fra-eng/fra.txt", "".join(f"{a}\t{b}\n" for a, b in LINES + MORE))
    sha1 = hashlib.sha1(path.read_bytes()).hexdigest()
    monkeypatch.setenv("UNROLLED_DATA", str(tmp_path))
    url = "http://127.0.0.1:9/fra-eng.zip"
    monkeypatch.setitem(import_d2l().DATA_HUB, "fra-eng", (url, sha1))
    return path


def test_pairs_are_read_tidied_and_split(archive):
    parts = translation_pairs("fra-eng", validation=5, test=10)
    assert len(raw_pairs().source) == len(LINES) + len(MORE)
    everything = [pair for part in parts for pair in zip(*part, strict=True)]
    assert len(everything) == len(set(everything)) == len(LINES) + len(MORE) - 3
    assert ("I see the dog!", "Je vois le chien !") in everything
    assert not any("Дом" in a or "very" in a for a, _ in everything)
    assert len(set(parts.validation.source)) >= 5
    assert len(set(parts.test.source)) >= 10
    assert len(parts.train.source) > 40


def test_no_sentence_is_in_two_parts(archive):
    parts = translation_pairs("fra-eng", validation=20, test=20)
    for side in (0, 1):
        found = [set(map(bare, part[side])) for part in parts]
        assert not found[0] & found[1]
        assert not found[0] & found[2]
        assert not found[1] & found[2]


def test_the_split_is_always_the_same(archive):
    assert translation_pairs("fra-eng", validation=5, test=9) == translation_pairs(
        "fra-eng", validation=5, test=9
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "deu-eng"}, "name is 'deu-eng'; expected one of 'fra-eng'"),
        ({"longest": 0}, "longest is 0"),
        ({"test": 0}, "test is 0"),
        ({"validation": 50, "test": 50}, "expected more than are held out, which are 50 and 50"),
    ],
)
def test_wrong_arguments(archive, arguments, message):
    with pytest.raises(ValueError, match=message):
        translation_pairs(**arguments)


def test_without_the_file_it_is_said_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("UNROLLED_DATA", str(tmp_path))
    with pytest.raises(OSError, match=r"fra-eng\.zip cannot be had .* UNROLLED_DATA"):
        translation_pairs("fra-eng")


@pytest.mark.parametrize(
    ("written", "language", "tidied"),
    [
        (" I\u2019m  here. ", "en", "I'm here."),
        ("e\u0301tude", "fr", "étude"),
        ("Quoi\u202f?!", "fr", "Quoi ?!"),
        ("Quoi?", "fr", "Quoi ?"),
        ("Quoi ? !", "fr", "Quoi ?!"),
        ("Il est 10:30.", "fr", "Il est 10:30."),
        ("J'ai dit: «non».", "fr", "J'ai dit : « non »."),
        ("co\u00adop\u200b", "en", "co op"),
        ("Why?", "en", "Why?"),
    ],
)
def test_tidy(written, language, tidied):
    assert tidy(written, language) == tidied
    assert tidy(tidied, language) == tidied


def test_tidy_pairs_may_leave_nothing():
    assert tidy_pairs(TextPairs(["Дом"], ["maison"]), 100) == TextPairs([], [])


SMALL = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=25)


@given(SMALL)
def test_groups_are_those_of_a_slow_search(edges):
    pairs = TextPairs([f"e{a}" for a, _ in edges], [f"f{b}" for _, b in edges])
    found = groups(pairs)
    for start in range(len(edges)):
        reached, before = {start}, set()
        while reached != before:
            before = set(reached)
            reached |= {
                i
                for i in range(len(edges))
                for j in before
                if edges[i][0] == edges[j][0] or edges[i][1] == edges[j][1]
            }
        assert reached == {i for i, group in enumerate(found) if group == found[start]}


def test_marks_and_capitals_make_no_other_sentence():
    pairs = TextPairs(["Come on!", "come on."], ["Viens !", "Allez."])
    assert groups(pairs) == [0, 0]


def test_groups_may_take_sentences_as_they_are():
    pairs = TextPairs(["Go!", "Go."], ["Va !", "Pars."])
    assert len(set(groups(pairs))) == 1
    assert len(set(groups(pairs, key=str))) == 2


def test_split_gives_every_pair_to_one_part():
    random.seed(0)
    pairs = TextPairs(*map(list, zip(*LINES, strict=True)))
    parts = split_pairs(pairs, {"validation": 3, "test": 4}, seed=1)
    assert sorted(line for part in parts for line in zip(*part, strict=True)) == sorted(LINES)
    assert split_pairs(pairs, {"validation": 3, "test": 4}, seed=2) != parts


def test_references_keep_all_translations():
    assert references(TextPairs(["a", "b", "a"], ["1", "2", "3"])) == {"a": ["1", "3"], "b": ["2"]}


# --- Subwords ------------------------------------------------------------------------------------

TEXTS = [b for _, b in LINES]


def test_subwords_give_the_text_back():
    subwords = Subwords(TEXTS, vocab_size=60)
    assert subwords.vocab_size == 60
    for text, tokens in zip(TEXTS, subwords.encode(TEXTS), strict=True):
        assert tokens.dtype == torch.int64
        assert tokens[-1] == subwords.eos
        assert tokens.max() < 60
        assert subwords.text(tokens) == text
        assert "".join(subwords.pieces(tokens)).replace("▁", " ").strip() == text
        assert len(subwords.pieces(tokens)) == len(tokens) - 1


def test_what_comes_after_the_end_says_nothing():
    subwords = Subwords(TEXTS, vocab_size=60)
    (tokens,) = subwords.encode(["Je vois"])
    assert subwords.text(torch.cat([tokens, tokens])) == "Je vois"
    assert subwords.text(tokens[:-1]) == "Je vois"


def test_unknown_letters_have_a_token():
    subwords = Subwords(TEXTS, vocab_size=60)
    (tokens,) = subwords.encode(["Je ж"])
    assert subwords.unknown in tokens
    assert "ж" not in subwords.letters
    assert {"J", "e"} <= set(subwords.letters)


def test_subwords_are_saved_and_loaded(tmp_path):
    subwords = Subwords(TEXTS, vocab_size=60)
    subwords.save(tmp_path / "some.model")
    again = Subwords.load(tmp_path / "some.model")
    assert (again.vocab_size, again.bos, again.eos) == (60, subwords.bos, subwords.eos)
    assert torch.equal(again.encode(TEXTS[:1])[0], subwords.encode(TEXTS[:1])[0])
    assert again.letters == subwords.letters


@pytest.mark.parametrize(
    ("texts", "size", "message"),
    [
        ([], 60, "there is no text"),
        (["", " "], 60, "there is no text"),
        (TEXTS, 10, "vocab_size is 10, which these texts do not give"),
        (TEXTS, 100_000, "vocab_size is 100000, which these texts do not give"),
        (TEXTS, 0, "vocab_size is 0"),
    ],
)
def test_wrong_subwords(texts, size, message):
    with pytest.raises(ValueError, match=message):
        Subwords(texts, vocab_size=size)


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "some.model").write_bytes(b"no model")
    with pytest.raises(OSError, match=r"some\.model is no model of sentencepiece"):
        Subwords.load(tmp_path / "some.model")
    with pytest.raises(FileNotFoundError):
        Subwords.load(tmp_path / "none.model")
