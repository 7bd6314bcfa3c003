"""The sentences of the book: their classes, and what is kept apart."""

from collections import Counter

import pytest

from unrolled.data import intents, opinions
from unrolled.data.sentences import split_sentence


@pytest.fixture(scope="module")
def wanted():
    return intents()


@pytest.fixture(scope="module")
def thought():
    return opinions()


def test_every_intent_has_as_many_sentences(wanted):
    assert len(wanted.classes) == 8
    for part, number in ((wanted.train, 24), (wanted.held_out, 12), (wanted.mixed, 3)):
        assert Counter(part.labels.tolist()) == dict.fromkeys(range(8), number)


def test_no_sentence_comes_twice(wanted, thought):
    for task in (wanted[:3], thought[:2]):
        texts = [text for part in task for text in part.texts]
        assert len(texts) == len(set(texts))
        assert all(text == " ".join(split_sentence(text)) for text in texts)


@pytest.mark.parametrize(
    ("text", "intent", "part"),
    [
        ("what time is it", "time", "train"),
        ("how late is it", "time", "train"),
        ("do you know what time it is", "time", "held_out"),
        ("do you have the time", "time", "held_out"),
        ("thank paul for the flowers", "message", "held_out"),
        ("wake me up when it rains", "alarm", "mixed"),
        ("tell anna that it will rain", "message", "mixed"),
    ],
)
def test_sentences_stand_where_they_belong(wanted, text, intent, part):
    texts, labels = getattr(wanted, part)
    assert wanted.classes[labels[texts.index(text)]] == intent


def test_whole_wordings_are_held_out(wanted):
    for part in (wanted.train, wanted.held_out):
        for first in range(0, len(part.texts), 3):
            assert len(set(part.labels[first : first + 3].tolist())) == 1
    starts = [{text.split()[0] for text in part.texts} for part in (wanted.train, wanted.held_out)]
    assert starts[1] - starts[0]  # some wordings begin with a word that no other begins with


GOOD = {"good", "great", "funny", "clever", "lovely", "charming", "fresh", "kind"}
GOOD |= {"bright", "useful"}


def test_the_last_part_of_an_opinion_decides(thought):
    for part in thought[:2]:
        for text, label in zip(part.texts, part.labels.tolist(), strict=True):
            last = text.split(" is ")[1].split(" but ")[-1].split()
            assert label == ((last[-1] in GOOD) != (last[0] == "not")), text


def test_both_parts_of_an_opinion_differ_and_their_exchange_is_there(thought):
    for part in thought[:2]:
        labels = dict(zip(part.texts, part.labels.tolist(), strict=True))
        for text, label in labels.items():
            if " but " in text:
                start, (first, last) = text.split(" is ")[0], text.split(" is ")[1].split(" but ")
                assert labels[f"{start} is {last} but {first}"] == 1 - label


def test_pairs_of_adjectives_are_not_in_both_sets(thought):
    def pair(text):
        return frozenset(side.split()[-1] for side in text.split(" but "))

    train, held_out = ({pair(text) for text in part.texts} for part in thought[:2])
    assert not train & held_out
    assert all(" but " in text for text in thought.held_out.texts)
    assert 25 < len(held_out) < 55
    known = {word for text in thought.train.texts for word in text.split()}
    assert {word for text in thought.held_out.texts for word in text.split()} <= known
    assert opinions().train.texts == thought.train.texts


def test_split_sentence_drops_signs_and_capitals():
    assert split_sentence("What's the time, please?") == ["what", "s", "the", "time", "please"]
