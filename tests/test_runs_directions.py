"""What chapter 7 counts, and the layers that it compares."""

import pytest
import torch
from torch import nn

from unrolled.data import CallTagging, Statements, Vocab
from unrolled.layers import GRU, reverse_steps
from unrolled.models import SequenceTagger
from unrolled.runs import ch07
from unrolled.runs.registry import find


@pytest.fixture(scope="module")
def two():
    torch.manual_seed(0)
    return GRU(3, 4, bidirectional=True).layers[0]


def test_places_of_letters_by_hand():
    called = torch.tensor([1, 1, 1, 0, 0, 1, 0, 1, 1]).bool()
    from_start, from_bracket = ch07.places(called)
    assert from_start.tolist() == [1, 2, 3, 0, 0, 1, 0, 1, 2]
    assert from_bracket.tolist() == [3, 2, 1, 0, 0, 1, 0, 2, 1]


def test_scores_of_a_class_by_hand():
    truth = torch.tensor([3, 3, 3, 2, 2, 0])
    found = ch07.by_class(torch.tensor([3, 0, 3, 2, 2, 0]), truth, 3)
    assert found == pytest.approx({"precision": 1, "recall": 2 / 3, "f1": 4 / 5})
    nothing = ch07.by_class(torch.zeros(6), truth, 3)
    assert nothing == {"precision": 0, "recall": 0, "f1": 0}


def test_lookup_takes_what_was_commoner_and_new_names_for_names():
    vocab = Vocab("abc ()")

    def statements(*pairs):
        tokens = [vocab.encode(text) for text, _ in pairs]
        return Statements(tokens, [torch.tensor([*map(int, labels)]) for _, labels in pairs])

    train = statements(("a()", "300"), ("a() b", "30002"), ("a b()", "20300"), ("b b", "202"))
    held_out = statements(("b()", "300"), ("a c()", "20300"))
    answers = ch07.lookup(CallTagging(train, held_out, vocab, ("other", "", "name", "call")))
    assert answers.scores.argmax(1).tolist() == [2, 0, 0, 3, 0, 2, 0, 0]
    assert answers.truth.tolist() == [3, 0, 0, 2, 0, 3, 0, 0]


def test_answers_are_those_of_the_model_one_by_one(two):
    torch.manual_seed(1)
    model = SequenceTagger(5, 4, layer=two)
    tokens = [torch.randint(5, (length,)) for length in (3, 7, 2)]
    given = Statements(tokens, [torch.randint(4, (len(some),)) for some in tokens])
    order = (2, 0, 1)  # by length
    expected = torch.cat([model(tokens[row][None])[0] for row in order])
    for time in (0, 12):
        answers = ch07.answer(model, given, time=time)
        torch.testing.assert_close(answers.scores, expected.detach())
        assert torch.equal(answers.truth, torch.cat([given.labels[row] for row in order]))


@pytest.mark.parametrize("delay", [1, 3])
def test_a_delay_reads_so_many_steps_more(delay):
    torch.manual_seed(0)
    layer = GRU(3, 4)
    x, lengths = torch.randn(2, 6, 3), torch.tensor([6, 4])
    outputs, _ = ch07.Delayed(layer, delay)(x, lengths=lengths)
    assert outputs.shape == (2, 6, 4)
    behind = nn.functional.pad(x, (0, 0, 0, delay))
    behind[1, 4:] = 0
    for row, length in enumerate(lengths.tolist()):
        for t in range(length):
            _, (state,) = layer(behind[row : row + 1, : t + delay + 1])
            torch.testing.assert_close(outputs[row, t], state[0])
    whole, _ = ch07.Delayed(layer, delay)(x[:1])
    torch.testing.assert_close(whole[0], outputs[0])


def test_each_fault_is_the_fault_that_it_names(two):
    torch.manual_seed(0)
    x, lengths = torch.randn(2, 6, 3), torch.tensor([6, 4])
    right, _ = two(x, lengths=lengths)
    found = {
        name: make(two.forward_layer, two.backward_layer)(x, lengths=lengths)[0]
        for name, make in ch07.FAULTY.items()
    }
    for outputs in found.values():
        torch.testing.assert_close(outputs[0, :, :4], right[0, :, :4])
        torch.testing.assert_close(outputs[1, :4, :4], right[1, :4, :4])
    there = reverse_steps(found["not flipped back"], lengths)[:, :, 4:]
    torch.testing.assert_close(there, right[:, :, 4:])
    for name in ("padding reversed", "padding reversed and packed"):
        torch.testing.assert_close(found[name][0], right[0])  # it has no padding
    back, _ = two.backward_layer(x[1:].flip(1))
    torch.testing.assert_close(found["padding reversed"][1, :, 4:], back[0].flip(0))
    packed = found["padding reversed and packed"][1, :, 4:]
    torch.testing.assert_close(packed[2:], back[0].flip(0)[2:])
    assert (packed[:2] == 0).all()


def test_layers_that_are_compared_have_about_as_many_parameters():
    sizes = []
    for options in find("07-directions").variants.values():
        layer = ch07.make_layer(
            **{name: value for name, value in options.items() if name in ("kind", "units", "cell")}
        )
        model = SequenceTagger(96, 5, layer=layer)
        sizes.append(sum(p.numel() for p in model.parameters()))
    assert max(sizes) < 1.02 * min(sizes)


def test_perplexities_of_a_model_that_knows_the_last_letter_only():
    class Last(nn.Module):
        def forward(self, tokens):
            logits = torch.zeros(*tokens.shape, 4)
            logits[:, -1, 2] = 1e9
            return logits

    tokens = torch.tensor([[0, 1, 3, 2], [3, 3, 3, 2]])
    found = ch07.perplexities(Last(), tokens)
    assert found == pytest.approx({"all": 4 ** (2 / 3), "last": 1, "others": 4})


def test_a_model_goes_on_with_what_it_has_written():
    class Next(nn.Module):
        def forward(self, tokens):  # the letter after the last one, for certain
            return nn.functional.one_hot((tokens + 1) % 5, 5) * 1e9

    written = ch07.write_on(Next(), torch.tensor([[3], [0]]), letters=4)
    assert written.tolist() == [[3, 4, 0, 1, 2], [0, 1, 2, 3, 4]]
