"""The models against their parts from torch.nn, and against slow loops."""

import math

import pytest
import torch
from torch import nn

from unrolled.data import CaptionBatch, MaskedWindow, SequenceBatch, Window
from unrolled.layers import GRU, LSTM, RNN, final_hidden
from unrolled.models import (
    Bridge,
    Captioner,
    ImageEncoder,
    LanguageModel,
    SequenceClassifier,
    SequenceTagger,
    captioner_loss,
    classifier_loss,
    language_model_loss,
    masked_cross_entropy,
    masked_language_loss,
    tagger_loss,
)


def language_model(vocab_size=7, hidden=5, layers=2):
    torch.manual_seed(0)
    return LanguageModel(vocab_size, layer=RNN(4, hidden, num_layers=layers)).double()


class Reference(nn.Module):
    """The same from torch.nn."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.layer = nn.RNN(4, 5, num_layers=2, batch_first=True)
        self.read_out = nn.Linear(5, 7)

    def forward(self, tokens, state=None):
        outputs, state = self.layer(self.embedding(tokens), state)
        return self.read_out(outputs), state


def test_language_model_equals_torch_in_values_and_gradients():
    torch.manual_seed(1)
    theirs = Reference().double()
    ours = LanguageModel(7, layer=RNN.from_torch(theirs.layer)).double()
    ours.embedding.load_state_dict(theirs.embedding.state_dict())
    ours.read_out.load_state_dict(theirs.read_out.state_dict())
    tokens = torch.randint(7, (3, 6))
    weights = torch.randn(3, 6, 7).double()
    logits, state = ours(tokens)
    expected, expected_state = theirs(tokens)
    torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(torch.stack(state), expected_state, rtol=1e-10, atol=1e-10)
    (logits * weights).sum().backward()
    (expected * weights).sum().backward()
    for part in ("embedding", "read_out"):
        for name, parameter in getattr(ours, part).named_parameters():
            reference = getattr(theirs, part).get_parameter(name).grad
            torch.testing.assert_close(parameter.grad, reference, rtol=1e-10, atol=1e-10)
    for depth, recurrent in enumerate(ours.layer.layers):
        reference = getattr(theirs.layer, f"weight_hh_l{depth}").grad
        torch.testing.assert_close(recurrent.cell.weight_hh.grad, reference, rtol=1e-10, atol=1e-10)


def test_a_text_in_two_parts_with_the_state_between_them_is_one_text():
    model, tokens = language_model(), torch.randint(7, (3, 9))
    whole, final = model(tokens)
    first, state = model(tokens[:, :4])
    second, end = model(tokens[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(end, final)


def test_logits_do_not_depend_on_what_comes_later():
    model, tokens = language_model(), torch.randint(7, (2, 8))
    changed = tokens.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % 7
    before, after = model(tokens)[0], model(changed)[0]
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5], after[:, 5])


def test_step_gives_log_probabilities_of_the_next_token():
    model, tokens = language_model(), torch.randint(7, (3, 5))
    expected = model(tokens)[0].log_softmax(-1)
    state = None
    for place in range(5):
        log_probs, state = model.step(tokens[:, place], state)
        torch.testing.assert_close(log_probs, expected[:, place])
        torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(3).double())


def test_loss_is_the_mean_over_targets_of_minus_the_log_probability():
    model, tokens = language_model(), torch.randint(7, (3, 6))
    window = Window(tokens[:, :-1], tokens[:, 1:])
    loss, _ = language_model_loss(model, window, None)
    log_probs = model(window.inputs)[0].log_softmax(-1)
    slow = [
        -log_probs[row, place, window.targets[row, place]].item()
        for row in range(3)
        for place in range(5)
    ]
    assert loss.item() == pytest.approx(sum(slow) / len(slow), abs=1e-12)


def test_a_model_that_knows_nothing_has_the_loss_of_a_uniform_guess():
    model = language_model()
    nn.init.zeros_(model.read_out.weight)
    nn.init.zeros_(model.read_out.bias)
    tokens = torch.randint(7, (2, 4))
    loss, _ = language_model_loss(model, Window(tokens, tokens), None)
    assert loss.item() == pytest.approx(math.log(7), abs=1e-12)


def test_the_state_passes_its_values_on_and_no_gradient_back():
    model, tokens = language_model(), torch.randint(7, (2, 9))
    first, second = (Window(tokens[:, a:b], tokens[:, a + 1 : b + 1]) for a, b in ((0, 4), (4, 8)))
    _, state = language_model_loss(model, first, None)
    assert all(not part.requires_grad for part in state)
    torch.testing.assert_close(state, model(first.inputs)[1])
    carried, _ = language_model_loss(model, second, state)
    fresh, _ = language_model_loss(model, second, None)
    assert carried.item() != fresh.item()


def test_wrong_tokens_are_named():
    model = language_model()
    with pytest.raises(TypeError, match=r"tokens is torch.float32; expected an int64 tensor"):
        model(torch.zeros(2, 3))
    with pytest.raises(TypeError, match="tokens is list"):
        model([[1, 2]])
    with pytest.raises(ValueError, match=r"shape \(4,\); expected \(batch, time\).*tokens\[None\]"):
        model(torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"shape \(0, 4\)"):
        model(torch.zeros(0, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="tokens go from 1 to 7; expected 0 to 6"):
        model(torch.tensor([[1, 7]]))
    with pytest.raises(ValueError, match="tokens go from -1"):
        model(torch.tensor([[-1, 2]]))


# --- Many to one ---------------------------------------------------------------------------------

LENGTHS = torch.tensor([5, 1, 3])
WORDS = torch.tensor([[1, 2, 3, 4, 5], [6, 0, 0, 0, 0], [2, 2, 1, 0, 0]])


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
@pytest.mark.parametrize("both", [False, True])
def test_a_classifier_reads_each_sequence_as_if_it_were_alone(pooling, both):
    torch.manual_seed(0)
    layer = LSTM(4, 5, num_layers=2, bidirectional=both)
    model = SequenceClassifier(7, 3, layer=layer, pooling=pooling).double()
    together = model(WORDS, LENGTHS)
    assert together.shape == (3, 3)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(WORDS[row : row + 1, :length])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-10, atol=1e-10)


def test_the_three_poolings_are_what_they_are_called():
    torch.manual_seed(0)
    layer = GRU(4, 5)
    for pooling in ("last", "mean", "max"):
        model = SequenceClassifier(7, 3, layer=layer, pooling=pooling)
        outputs, state = layer(model.embedding(WORDS), lengths=LENGTHS)
        true = [outputs[row, :length] for row, length in enumerate(LENGTHS)]
        expected = {
            "last": final_hidden(state),
            "mean": torch.stack([rows.mean(0) for rows in true]),
            "max": torch.stack([rows.max(0).values for rows in true]),
        }[pooling]
        torch.testing.assert_close(model.pool(outputs, state, LENGTHS), expected)
        torch.testing.assert_close(model(WORDS, LENGTHS), model.read_out(expected))


@pytest.mark.parametrize("make", [SequenceClassifier, SequenceTagger])
def test_anything_may_stand_in_the_padding(make):
    torch.manual_seed(0)
    model = make(7, 3, layer=GRU(4, 5, bidirectional=True))
    past = torch.arange(5) >= LENGTHS[:, None]
    expected = model(WORDS, LENGTHS)
    assert torch.equal(model(WORDS.masked_fill(past, -100), LENGTHS), expected)
    expected[:, 0].sum().backward()
    assert model.embedding.weight.grad[0].abs().sum() == 0  # token 0 stands in padding only


def test_a_tagger_equals_its_parts():
    torch.manual_seed(0)
    model = SequenceTagger(7, 3, layer=RNN(4, 5)).double()
    theirs = nn.RNN(4, 5, batch_first=True).double()
    model.layer = RNN.from_torch(theirs)
    expected = model.read_out(theirs(model.embedding(WORDS))[0])
    torch.testing.assert_close(model(WORDS), expected, rtol=1e-10, atol=1e-10)
    for row, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(model(WORDS, LENGTHS)[row, :length], expected[row, :length])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m(WORDS[0], LENGTHS), ValueError, r"tokens has shape \(5,\)"),
        (lambda m: m(WORDS, LENGTHS[:2]), ValueError, "2 lengths came for a batch of 3"),
        (lambda m: m(WORDS, LENGTHS + 1), ValueError, "lengths go from 2 to 6; expected 1 to 5"),
        (lambda m: m(WORDS.float(), LENGTHS), TypeError, "tokens is torch.float32"),
        (lambda m: m(WORDS + 1, LENGTHS), ValueError, "tokens go from 0 to 7; expected 0 to 6"),
    ],
)
def test_classifier_and_tagger_refuse_what_does_not_fit(call, error, message):
    for make in (SequenceClassifier, SequenceTagger):
        with pytest.raises(error, match=message):
            call(make(7, 3, layer=RNN(4, 5)))


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="pooling is 'sum'; expected one of 'last', 'mean', 'max'"):
        SequenceClassifier(7, 3, layer=RNN(4, 5), pooling="sum")


# --- One to many ---------------------------------------------------------------------------------


def captioner(context, layer=GRU, **options):
    torch.manual_seed(0)
    size = 4 + 6 * (context == "every step")
    encoder = ImageEncoder(8, 12, output_size=6)
    recurrent = layer(size, 5, **options)
    return Captioner(9, encoder=encoder, layer=recurrent, embedding_size=4, context=context)


CONTEXTS = ["first input", "first state", "every step"]


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("layer", [RNN, GRU, LSTM])
def test_step_by_step_a_captioner_says_what_it_says_at_once(context, layer):
    model = captioner(context, layer, num_layers=2).eval()
    images, tokens = torch.rand(3, 8, 12), torch.randint(9, (3, 7))
    expected = model(images, tokens).log_softmax(-1)
    state = model.start(images)
    for t in range(7):
        log_probs, state = model.step(tokens[:, t], state)
        torch.testing.assert_close(log_probs, expected[:, t])


@pytest.mark.parametrize("context", CONTEXTS)
def test_every_word_depends_on_the_picture_and_on_no_later_word(context):
    model = captioner(context)
    images, tokens = torch.rand(2, 8, 12, requires_grad=True), torch.randint(9, (2, 6))
    logits = model(images, tokens)
    for t in range(6):
        (gradient,) = torch.autograd.grad(logits[0, t].square().sum(), images, retain_graph=True)
        assert gradient[0].abs().sum() > 0
        assert gradient[1].abs().sum() == 0
    changed = tokens.clone()
    changed[:, 3:] = (changed[:, 3:] + 1) % 9
    assert torch.equal(model(images, changed)[:, :3], logits[:, :3])


def test_where_the_picture_goes():
    images, tokens = torch.rand(2, 8, 12), torch.randint(9, (2, 6))
    for context in CONTEXTS:
        model = captioner(context)
        picture, x = model.encoder(images), model.embedding(tokens)
        if context == "first input":
            x = torch.cat([model.bridge(picture)[:, None], x], dim=1)
            expected = model.read_out(model.layer(x)[0])[:, 1:]
        elif context == "first state":
            state = (torch.tanh(model.bridge.maps[0](picture)),)
            expected = model.read_out(model.layer(x, state)[0])
        else:
            x = torch.cat([x, picture[:, None].repeat(1, 6, 1)], dim=2)
            expected = model.read_out(model.layer(x)[0])
        torch.testing.assert_close(model(images, tokens), expected)


def test_a_bridge_makes_the_state_of_any_layer():
    torch.manual_seed(0)
    layer = LSTM(4, 5, num_layers=2)
    bridge, vector = Bridge(6, layer), torch.randn(3, 6)
    state = bridge(vector)
    layer(torch.randn(3, 2, 4), state)  # it fits
    parts = [state[0].h, state[0].c, state[1].h, state[1].c]
    for part, linear in zip(parts, bridge.maps, strict=True):
        assert torch.equal(part, torch.tanh(linear(vector)))
    assert len({linear.weight.data_ptr() for linear in bridge.maps}) == 4


def test_an_image_encoder_is_made_for_a_size():
    torch.manual_seed(0)
    encoder = ImageEncoder(8, 24, output_size=10)
    assert encoder(torch.rand(3, 8, 24)).shape == (3, 10)
    assert encoder.output_size == 10


def test_an_image_encoder_gives_vectors_of_one_size():
    torch.manual_seed(0)
    encoder = ImageEncoder(8, 24, output_size=10)
    with torch.no_grad():
        encoder.layers[-2].weight *= 1000  # far outside of where tanh is steep
    vectors = encoder(torch.rand(3, 8, 24))
    torch.testing.assert_close(vectors.mean(1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(vectors.var(1, correction=0), torch.ones(3), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: captioner("first word"), "context is 'first word'; expected one of"),
        (
            lambda: Captioner(9, encoder=ImageEncoder(8, 8, 6), layer=GRU(4, 5), embedding_size=4),
            "the layer takes 4 features; .* pictures of 6 numbers it gets 10",
        ),
        (lambda: captioner("every step", bidirectional=True), "the layer is bidirectional"),
        (
            lambda: LanguageModel(9, layer=RNN(4, 5, num_layers=2, bidirectional=True)),
            "the layer is bidirectional, .* expected one that reads from left to right",
        ),
        (
            lambda: captioner("every step")(torch.rand(2, 8, 12), torch.zeros(3, 4).long()),
            "2 images came with 3 captions",
        ),
        (
            lambda: captioner("every step")(torch.rand(2, 8, 12), torch.full((2, 4), 9)),
            "tokens go from 9 to 9; expected 0 to 8",
        ),
    ],
)
def test_a_captioner_refuses_what_does_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- Losses --------------------------------------------------------------------------------------


def test_masked_cross_entropy_is_the_mean_over_what_counts():
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 3, 4, requires_grad=True), torch.randint(4, (2, 3))
    mask = torch.tensor([[True, False, False], [True, True, False]])
    log_probs = logits.log_softmax(-1)
    picked = [log_probs[b, t, targets[b, t]] for b, t in ((0, 0), (1, 0), (1, 1))]
    loss = masked_cross_entropy(logits, targets, mask)
    torch.testing.assert_close(loss, -torch.stack(picked).mean())
    poisoned = logits.detach().clone()
    poisoned[~mask] = math.nan
    poisoned.requires_grad_()
    other = masked_cross_entropy(poisoned, targets.masked_fill(~mask, -7), mask)
    assert torch.equal(other, loss)
    other.backward()
    assert torch.equal(poisoned.grad[~mask], torch.zeros(3, 4))


def test_masked_cross_entropy_refuses_what_does_not_fit():
    logits, targets = torch.zeros(2, 3, 4), torch.zeros(2, 3).long()
    for bad in (
        (logits, targets[:, :2], torch.ones(2, 2).bool()),
        (logits, targets, torch.ones(3, 2).bool()),
    ):
        with pytest.raises(ValueError, match="twice"):
            masked_cross_entropy(*bad)
    with pytest.raises(ValueError, match="the mask counts no target"):
        masked_cross_entropy(logits, targets, torch.zeros(2, 3).bool())


def test_each_loss_is_the_cross_entropy_of_its_model():
    torch.manual_seed(0)
    labels, tags = torch.tensor([0, 2, 1]), torch.randint(3, (3, 5))
    classify, tag = (make(7, 3, layer=GRU(4, 5)) for make in (SequenceClassifier, SequenceTagger))
    loss, state = classifier_loss(classify, SequenceBatch(WORDS, LENGTHS, labels), None)
    expected = nn.functional.cross_entropy(classify(WORDS, LENGTHS), labels)
    torch.testing.assert_close(loss, expected)
    assert state is None
    loss, _ = tagger_loss(tag, SequenceBatch(WORDS, LENGTHS, tags), None)
    mask = torch.arange(5) < LENGTHS[:, None]
    torch.testing.assert_close(loss, masked_cross_entropy(tag(WORDS, LENGTHS), tags, mask))
    images, inputs = torch.rand(3, 8, 12), torch.randint(9, (3, 5))
    describe = captioner("every step")
    batch = CaptionBatch(images, inputs, inputs.roll(-1, 1), mask)
    loss, _ = captioner_loss(describe, batch, None)
    expected = masked_cross_entropy(describe(images, inputs), batch.targets, mask)
    torch.testing.assert_close(loss, expected)
    speak = language_model()
    window = MaskedWindow(WORDS, WORDS.roll(-1, 1), mask)
    loss, _ = masked_language_loss(speak, window, None)
    torch.testing.assert_close(loss, masked_cross_entropy(speak(WORDS)[0], window.targets, mask))
