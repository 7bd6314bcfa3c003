"""What the runs of chapter 5 compare: batches, counted groups, and the classifiers that leak."""

import pytest
import torch

from unrolled.data import LabelledTexts, LengthBatches
from unrolled.layers import GRU
from unrolled.models import SequenceClassifier
from unrolled.runs import ch05

LENGTHS = [3, 1, 5, 2, 4, 5, 2, 1]


@pytest.fixture
def words():
    """Eight words whose letters are all different."""
    torch.manual_seed(0)
    letters = torch.arange(1, 1 + sum(LENGTHS)).split(LENGTHS)
    return ch05.Words(list(letters), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]))


@pytest.fixture
def classifier():
    torch.manual_seed(1)
    return SequenceClassifier(24, 3, layer=GRU(5, 7), pooling="mean")


def reader(pooling, packed):
    torch.manual_seed(2)
    return ch05.PaddedReader(24, 3, pooling, packed)


def test_letters_become_numbers_and_rare_ones_are_unknown():
    task = ch05.words()
    assert task.vocab.tokens[0] == "<unk>"
    assert task.classes == 20
    assert len(task.train.sequences) == len(task.train.labels) > 10_000
    assert all(len(word) >= 3 for word in task.held_out.sequences)
    assert not any((word == 0).any() for word in task.train.sequences)


def test_letter_groups_know_where_a_word_begins_and_ends():
    words = ["abc", "cba", "abz", "zba"]
    counter = ch05.letter_groups(2).fit(words, [0, 1, 0, 1])[0]
    groups = set(counter.get_feature_names_out())
    assert {" a", "c ", "ab", "a", " "} <= groups
    assert max(map(len, groups)) == 2


def test_word_groups_are_made_of_whole_words():
    counter = ch05.word_groups(2).fit(["I am late", "am I late"], [0, 1])[0]
    found = set(counter.get_feature_names_out())
    assert found == {"i", "am", "late", "i am", "am late", "am i", "i late"}


def test_random_batches_are_not_sorted_by_length_and_hold_every_word(words):
    torch.manual_seed(0)
    many = ch05.Words(words.sequences * 40, words.labels.repeat(40))
    rows = [batch.lengths for batch in ch05.RandomBatches(*many, batch=8)]
    assert torch.cat(rows).sort().values.tolist() == sorted(LENGTHS * 40)
    mixed = sum(len(set(lengths.tolist())) > 3 for lengths in rows)
    assert mixed > 20  # of 40
    sorted_ones = [batch.lengths for batch in LengthBatches(*many, batch=8)]
    assert sum(len(set(lengths.tolist())) > 3 for lengths in sorted_ones) == 0


def test_shuffled_batches_keep_letters_words_and_padding(words):
    torch.manual_seed(0)
    rows = torch.arange(8)
    first, second = (ch05.ShuffledBatches(*words, batch=8).batch_of(rows) for _ in range(2))
    plain = LengthBatches(*words, batch=8).batch_of(rows)
    for batch in (first, second):
        assert torch.equal(batch.lengths, plain.lengths)
        assert torch.equal(batch.targets, plain.targets)
        assert torch.equal(batch.tokens == 0, plain.tokens == 0)
        assert torch.equal(batch.tokens.sort(1).values, plain.tokens.sort(1).values)
        assert not torch.equal(batch.tokens, plain.tokens)
    assert not torch.equal(first.tokens, second.tokens)


def test_every_order_of_three_letters_comes_as_often():
    torch.manual_seed(0)
    words = [torch.tensor([1, 2, 3])] * 6000 + [torch.tensor([1, 2, 3, 4])]
    batches = ch05.ShuffledBatches(words, torch.zeros(6001).long(), batch=6001)
    tokens = batches.batch_of(torch.arange(6001)).tokens[:6000, :3]
    _, counts = tokens.unique(dim=0, return_counts=True)
    assert counts.shape == (6,)
    assert (counts - 1000).abs().max() < 150


def test_forgetful_batches_forget_a_fifth(words):
    torch.manual_seed(0)
    many = ch05.Words([torch.ones(10).long()] * 500, torch.zeros(500).long())
    first, second = (
        ch05.ForgetfulBatches(*many, batch=500).batch_of(torch.arange(500)).tokens for _ in range(2)
    )
    assert abs((first == 0).float().mean() - 0.2) < 0.03
    assert not torch.equal(first, second)


def test_score_counts_every_word_once(words, classifier):
    logits = torch.cat([classifier(word[None]) for word in words.sequences])
    expected = (logits.argmax(1) == words.labels).float().mean()
    for batch in (3, 8):
        found = ch05.score(classifier, LengthBatches(*words, batch, shuffle=False))
        assert found == pytest.approx(expected.item())


def test_answers_of_a_right_classifier_do_not_depend_on_the_company(words, classifier):
    one_by_one = torch.cat([classifier(word[None]) for word in words.sequences])
    for answers in (ch05.answers_alone, ch05.answers_together):
        torch.testing.assert_close(answers(classifier, words), one_by_one)


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("packed", [True, False])
def test_the_leaking_classifiers_are_right_alone_and_leak_in_company(words, pooling, packed):
    leaky = reader(pooling, packed)
    alone, together = ch05.answers_alone(leaky, words), ch05.answers_together(leaky, words)
    for row, word in enumerate(words.sequences):
        outputs, _ = leaky.gru(leaky.embedding(word[None]))
        pooled = outputs[:, -1] if pooling == "last" else outputs.mean(dim=1)
        torch.testing.assert_close(alone[row], leaky.read_out(pooled)[0])
    differs = (alone - together).abs().amax(dim=1) > 1e-5
    assert differs.tolist() == [length < max(LENGTHS) for length in LENGTHS]


def test_packed_outputs_end_in_zeros_and_unpacked_ones_in_the_padding(words):
    bias = ch05.answers_together(reader("last", packed=True), words)[1]
    assert torch.equal(bias, reader("last", packed=True).read_out.bias)
    leaky = reader("last", packed=False)
    filled = torch.nn.functional.pad(words.sequences[1], (0, 4))
    outputs, _ = leaky.gru(leaky.embedding(filled[None]))
    found = ch05.answers_together(leaky, words)[1]
    torch.testing.assert_close(found, leaky.read_out(outputs[0, -1]))


def test_the_mean_of_embeddings_knows_neither_order_nor_padding():
    torch.manual_seed(0)
    model = ch05.sentence_model("embeddings", vocab_size=9, classes=2)
    tokens = torch.tensor([[1, 2, 3, 0], [3, 1, 2, 5]])
    same = model(tokens, torch.tensor([3, 3]))
    torch.testing.assert_close(same[0], same[1])
    by_hand = model.read_out(model.embedding(tokens[0, :3]).mean(dim=0))
    torch.testing.assert_close(same[0], by_hand)


def test_unknown_words_of_sentences_get_the_number_zero():
    train = LabelledTexts(["play a song", "what time is it"], torch.tensor([0, 1]))
    other = LabelledTexts(["What song?"], torch.tensor([1]))
    unread = LabelledTexts(["sing"], torch.tensor([0]))
    vocab, parts = ch05.number_words(train, other, unread)
    assert len(vocab) == 8
    assert vocab.decode(parts[1].sequences[0]) == ["what", "song"]
    assert parts[2].sequences[0].tolist() == [0]
    assert parts[1].labels.tolist() == [1]
