"""What the recorded runs of chapter 6 measure with."""

import pytest
import torch
from torch import nn

from unrolled.data.captions import (
    FIRST_HELD_OUT_SCAN,
    CaptionBatches,
    Wording,
    handwritten_numbers,
    number_in_words,
    scanned_digits,
)
from unrolled.models import CONTEXTS, captioner_loss
from unrolled.runs import ch06


@pytest.fixture(scope="module")
def task():
    return handwritten_numbers(train=400, held_out=400)


class Copier:
    """A captioner that knows all captions; what it reads decides how it goes on.

    After a prefix that is not the beginning of the right caption it says ``lost``, or the rest of
    the caption that is right for the other digits.
    """

    def __init__(self, pictures, wording, lost=None):
        self.wording, self.lost = wording, lost
        names = ch06.names(pictures)
        self.known = {
            image.numpy().tobytes(): n for image, n in zip(pictures.images, names, strict=True)
        }

    def start(self, images):
        return [([], self.known[image.numpy().tobytes()]) for image in images]

    def read(self, tokens, state):
        for t in range(tokens.shape[1]):
            _, state = self.step(tokens[:, t], state)
        return None, state

    def step(self, tokens, state):
        vocab, letters = self.wording.vocab, self.wording.by == "letters"
        state = [([*read, int(t)], name) for t, (read, name) in zip(tokens, state, strict=True)]
        likely = []
        for read, name in state:
            words = vocab.decode(read[1:])
            said = "".join(words).split(" ") if letters else list(words)
            true = name.split(" ")
            if self.lost and said and said[0] != true[0]:
                true = self.lost.split(" ")
            whole = [*said[:1], *true[1:]]
            whole = list(" ".join(whole)) if letters else whole
            follows = [*whole, "<eos>"][len(words) :]
            likely.append(vocab.encode(follows[:1] or ["<eos>"]) if words else self.first(name))
        scores = nn.functional.one_hot(torch.cat(likely), len(vocab)).float()
        return scores, state

    def first(self, name):
        word = name.split(" ")[0]
        return self.wording.vocab.encode(list(word)[:1] if self.wording.by == "letters" else [word])


@pytest.mark.parametrize("by", ["letters", "words"])
def test_parameters_are_equal(by):
    wording = Wording(by)
    numbers = [
        sum(p.numel() for p in ch06.captioner(wording, context).parameters())
        for context in CONTEXTS
    ]
    assert max(numbers) < 1.01 * min(numbers)


def test_a_captioner_is_as_asked():
    wording = Wording("words")
    model = ch06.captioner(wording, "first state", layer="LSTM", normalised=False)
    assert model.context == "first state"
    vectors = model.encoder(100 * torch.rand(3, 8, 24))
    assert vectors.var(1).max() > 2
    assert len(model.layer.initial_state(1)[0]) == 2  # h and c
    assert ch06.captioner(wording, "every step").encoder(torch.rand(3, 8, 24)).var(1).max() < 1.1


def test_what_is_said_is_greedy_and_ends(task):
    wording = Wording("words")
    model = Copier(task.held_out, wording)
    assert ch06.say(model, task.held_out.images, wording) == ch06.names(task.held_out)


def test_names_are_those_of_the_numbers(task):
    assert ch06.names(task.unseen) == [number_in_words(int(n)) for n in task.unseen.numbers]


def test_the_digit_reader_knows_what_it_has_learnt(task):
    said = ch06.DigitReader()(task.train.images)
    assert sum(map(str.__eq__, said, ch06.names(task.train))) > 0.98 * len(said)


def test_the_digit_reader_has_not_learnt_the_held_out_scans(task):
    reader = ch06.DigitReader()
    scans, labels = scanned_digits()
    held_out = slice(FIRST_HELD_OUT_SCAN, None)
    found = torch.tensor([reader.number(scan) for scan in map(alone, scans[held_out])])
    assert 0.9 < (found == labels[held_out]).float().mean() < 0.98


def alone(scan):
    image = torch.zeros(8, 24)
    image[:, 8:16] = scan
    return image


def test_digits_right_by_place():
    wording_free = torch.zeros(5, 8, 24)
    pictures = handwritten_numbers(1, 1).train._replace(
        images=wording_free, numbers=torch.tensor([407, 120, 999, 42, 555])
    )
    said = ["four hundred and nine", "one hundred and thirty", "ninety nine", "one", "five fifty"]
    assert ch06.digits_right(pictures, said) == [0.5, 0.25, 0.25]


@pytest.mark.parametrize("by", ["letters", "words"])
def test_rest_after_a_given_word(task, by):
    wording = Wording(by)
    steady = Copier(task.held_out, wording)
    misled = Copier(task.held_out, wording, lost="two hundred and one")
    assert ch06.rest_right(steady, task.held_out, wording, wrong=False) == 1
    assert ch06.rest_right(steady, task.held_out, wording, wrong=True) == 1
    assert ch06.rest_right(misled, task.held_out, wording, wrong=False) == 1
    assert ch06.rest_right(misled, task.held_out, wording, wrong=True) < 0.1


def test_losses_with_exchanged_pictures_and_with_padding(task):
    torch.manual_seed(0)
    wording = Wording("words")
    model = ch06.captioner(wording, "every step")
    (batch,) = CaptionBatches(task.held_out.first(6), wording, 6, shuffle=False)
    assert not batch.mask.all()
    logits = model(batch.images, batch.inputs).log_softmax(-1)
    each = -logits.gather(2, batch.targets[:, :, None])[:, :, 0]  # (batch, time)
    own, _ = captioner_loss(model, batch, None)
    torch.testing.assert_close(own, each[batch.mask].mean())
    torch.testing.assert_close(ch06.padded_loss(model, batch, None)[0], each.mean())
    turned = model(batch.images[[5, 0, 1, 2, 3, 4]], batch.inputs).log_softmax(-1)
    each = -turned.gather(2, batch.targets[:, :, None])[:, :, 0]
    other, _ = ch06.exchanged_loss(model, batch, None)
    torch.testing.assert_close(other, each[batch.mask].mean())
    assert other != own


def test_accuracy_with_teacher_forcing(task):
    torch.manual_seed(0)
    wording = Wording("words")
    model = ch06.captioner(wording, "first state")
    found = ch06.teacher_forced_accuracy(model, task.held_out, wording)
    right, count = 0, 0
    for batch in CaptionBatches(task.held_out, wording, 100, shuffle=False):
        said = model(batch.images, batch.inputs).argmax(2)
        right += int((said == batch.targets)[batch.mask].sum())
        count += batch.weight
    assert found == pytest.approx(right / count)


class Corner(nn.Module):
    """An encoder that gives the first numbers of an image."""

    output_size = ch06.PICTURE

    def forward(self, images):
        return images.flatten(1)[:, : self.output_size]


def marked(pictures):
    """Pictures in whose corner it is written what the tens are."""
    images = torch.zeros_like(pictures.images)
    images[range(len(images)), 0, pictures.numbers // 10 % 10] = 1.0
    return pictures._replace(images=images)


def test_tens_that_are_in_the_picture_are_found_there(task):
    wording = Wording("letters")
    torch.manual_seed(0)
    model = ch06.captioner(wording, "every step")
    model.encoder = Corner()
    seen = task._replace(train=marked(task.train), held_out=marked(task.held_out))
    known = ch06.tens_known(model, seen, wording)
    assert known["picture"] == 1
    assert known["start"] < 0.3  # the state is zero there
    assert known["when asked"] > 0.9
    blind = task._replace(train=marked(task.train), held_out=task.held_out)
    assert ch06.tens_known(model, blind, wording)["picture"] < 0.5


@pytest.mark.parametrize("by", ["letters", "words"])
def test_the_state_that_is_asked_has_read_all_but_the_tens(task, by):
    wording = Wording(by)
    torch.manual_seed(0)
    model = ch06.captioner(wording, "first state")
    found = ch06._with_tens(model, task.held_out, wording)
    chosen = [i for i, n in enumerate(task.held_out.numbers) if n >= 100 and n // 10 % 10 >= 2]
    assert found["tens"].tolist() == [int(task.held_out.numbers[i]) // 10 % 10 for i in chosen]
    for row in (0, 7):
        name = number_in_words(int(task.held_out.numbers[chosen[row]]))
        before = name.split(" ")[:3]
        before = [*" ".join(before), " "] if by == "letters" else before
        tokens = wording.vocab.encode(["<bos>", *before])[None]
        image = task.held_out.images[chosen[row]][None]
        start = model.start(image)
        _, state = model.read(tokens, start)
        torch.testing.assert_close(found["start"][row], start.layer[0][0])
        torch.testing.assert_close(found["when asked"][row], state.layer[0][0])
