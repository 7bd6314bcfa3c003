"""Encoder, decoders and their use, against slow loops and cells called step by step."""

import pytest
import torch

from unrolled.attention import AdditiveAttention, DotProductAttention, GeneralAttention
from unrolled.data import PairBatch
from unrolled.data.d2l import import_d2l
from unrolled.decoding import greedy
from unrolled.layers import GRU, LSTM, RNN, LSTMState, final_hidden, map_state
from unrolled.models import (
    LOOKS,
    SUMMARIES,
    USES,
    AttentionDecoder,
    Bridge,
    Decoder,
    Encoder,
    Seq2Seq,
    masked_cross_entropy,
    seq2seq_loss,
)

EXACT = {"rtol": 1e-10, "atol": 1e-10}
SOURCE = torch.tensor([[3, 1, 4, 1, 5], [2, 6, 5, 0, 0], [1, 0, 0, 0, 0]])
LENGTHS = torch.tensor([5, 3, 1])
TARGET = torch.tensor([[0, 3, 2, 1], [0, 1, 1, 4], [0, 2, 3, 3]])
LAYERS = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}


def fixed(summary="last", use="both", layer=GRU, bidirectional=True, layers=1, hidden=6):
    torch.manual_seed(0)
    encoder = Encoder(7, layer=layer(3, 5, bidirectional=bidirectional, num_layers=layers))
    beside = 0 if use == "first state" else encoder.output_size
    decoder = Decoder(
        8,
        encoder=encoder,
        layer=layer(4 + beside, hidden, num_layers=layers),
        embedding_size=4,
        summary=summary,
        use=use,
    )
    return Seq2Seq(encoder, decoder).double()


def attending(look="before", layer=GRU, attention=None, layers=1):
    torch.manual_seed(0)
    encoder = Encoder(7, layer=layer(3, 5, bidirectional=True, num_layers=layers))
    decoder = AttentionDecoder(
        8,
        encoder=encoder,
        layer=layer(4 + (10 if look == "before" else 0), 6, num_layers=layers),
        embedding_size=4,
        attention=attention or AdditiveAttention(6, 10, 5),
        look=look,
    )
    return Seq2Seq(encoder, decoder).double()


MODELS = {f"{summary}, {use}": (fixed, summary, use) for summary in SUMMARIES for use in USES}
MODELS |= {f"look {look}": (attending, look) for look in LOOKS}


@pytest.fixture(params=MODELS)
def model(request):
    make, *options = MODELS[request.param]
    return make(*options)


def outcome(model, source, target=TARGET):
    """Logits, and the gradients of a function of them."""
    model.zero_grad()
    logits = model(source, LENGTHS, target)
    (logits * torch.arange(logits.numel()).view(logits.shape).double().sin()).sum().backward()
    return [logits.detach(), *(parameter.grad.clone() for parameter in model.parameters())]


def test_every_parameter_learns(model):
    assert all(gradient.abs().sum() > 0 for gradient in outcome(model, SOURCE))


def test_padding_changes_nothing(model):
    changed = SOURCE.clone()
    changed[1, 3:], changed[2, 1:] = 999, -5
    for before, after in zip(outcome(model, SOURCE), outcome(model, changed), strict=True):
        assert torch.equal(before, after)
    for row, length in enumerate(LENGTHS):  # each as if it were alone
        alone = model(SOURCE[row : row + 1, :length], None, TARGET[row : row + 1])
        torch.testing.assert_close(model(SOURCE, LENGTHS, TARGET)[row], alone[0], **EXACT)


@pytest.mark.parametrize("place", range(5))
def test_every_step_of_the_source_matters(model, place):
    changed = SOURCE[:1].clone()
    changed[0, place] = 6
    before, after = (model(source, None, TARGET[:1]) for source in (SOURCE[:1], changed))
    assert not torch.isclose(before, after).any()


def test_logits_do_not_depend_on_later_targets(model):
    changed = TARGET.clone()
    changed[:, 2:] += 1
    before, after = model(SOURCE, LENGTHS, TARGET), model(SOURCE, LENGTHS, changed)
    assert torch.equal(before[:, :2], after[:, :2])
    assert not torch.isclose(before[:, 2], after[:, 2]).any()


def test_one_token_at_a_time_is_the_whole(model):
    expected = model(SOURCE, LENGTHS, TARGET).log_softmax(-1)
    state = model.start(SOURCE, LENGTHS)
    for place, tokens in enumerate(TARGET.T):
        log_probs, state = model.step(tokens, state)
        torch.testing.assert_close(log_probs, expected[:, place], **EXACT)


def test_rows_of_a_state_can_be_chosen(model):
    """What a beam search does."""
    order = torch.tensor([2, 0, 0])
    _, state = model.step(TARGET[:, 0], model.start(SOURCE, LENGTHS))
    expected = model.step(TARGET[:, 1], state)[0][order]
    chosen = map_state(lambda part: part[order], state)
    torch.testing.assert_close(model.step(TARGET[order, 1], chosen)[0], expected, **EXACT)


def test_greedy_decoding_of_a_batch_is_that_of_each_sentence(model):
    bos = torch.zeros(3, dtype=torch.int64)
    options = {"eos": 1, "max_steps": 7}
    together = greedy(model.step, model.start(SOURCE, LENGTHS), bos=bos, **options)
    for row, length in enumerate(LENGTHS):
        alone = model.start(SOURCE[row : row + 1, :length])
        said = greedy(model.step, alone, bos=bos[:1], **options)[0]
        assert together[row, : len(said)].tolist() == said.tolist()


def slow_summary(model, summary, outputs, final):
    decoder = model.decoder
    if summary == "last":
        return final
    if summary == "transformed":
        return torch.tanh(decoder.transform.weight @ final + decoder.transform.bias)
    if summary == "transformed mean":
        outputs = [
            torch.tanh(decoder.transform.weight @ h + decoder.transform.bias) for h in outputs
        ]
    return sum(outputs) / len(outputs)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("summary", SUMMARIES)
def test_fixed_context_equals_a_slow_loop(summary, use):
    model = fixed(summary, use)
    decoder, encoder = model.decoder, model.encoder
    cell = decoder.layer.layers[0].cell
    logits = model(SOURCE, LENGTHS, TARGET)
    for row, length in enumerate(LENGTHS):
        outputs, _ = encoder.layer(encoder.embedding(SOURCE[row : row + 1, :length]))
        final = torch.cat([outputs[0, -1, :5], outputs[0, 0, 5:]])  # either way at its own end
        c = slow_summary(model, summary, list(outputs[0]), final)
        if use == "every step":
            h = torch.zeros(1, 6).double()
        else:
            (bridge,) = decoder.bridge.maps
            h = torch.tanh(bridge.weight @ c + bridge.bias)[None]
        for place, token in enumerate(TARGET[row]):
            x = decoder.embedding.weight[token]
            if use != "first state":
                x = torch.cat([x, c])
            _, h = cell(x[None], h)
            expected = decoder.read_out.weight @ h[0] + decoder.read_out.bias
            torch.testing.assert_close(logits[row, place], expected, **EXACT)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize(
    "attention", [AdditiveAttention(6, 10, 5), GeneralAttention(6, 10)], ids=["additive", "general"]
)
def test_attention_decoder_equals_a_slow_loop(look, attention):
    model = attending(look, attention=attention)
    decoder, encoder = model.decoder, model.encoder
    cell = decoder.layer.layers[0].cell
    logits = model(SOURCE, LENGTHS, TARGET)
    weights = model.alignment(SOURCE, LENGTHS, TARGET)
    for row, length in enumerate(LENGTHS):
        outputs, state = encoder.layer(encoder.embedding(SOURCE[row : row + 1, :length]))
        (bridge,) = decoder.bridge.maps
        h = torch.tanh(final_hidden(state) @ bridge.weight.T + bridge.bias)
        for place, token in enumerate(TARGET[row]):
            x = decoder.embedding.weight[token][None]
            if look == "before":
                c, alpha = attention(h[:, None], outputs, outputs)
                _, h = cell(torch.cat([x, c[:, 0]], dim=1), h)
            else:
                _, h = cell(x, h)
                c, alpha = attention(h[:, None], outputs, outputs)
            seen = torch.tanh(decoder.combine(torch.cat([h, c[:, 0]], dim=1)))
            torch.testing.assert_close(logits[row, place], decoder.read_out(seen)[0], **EXACT)
            torch.testing.assert_close(weights[row, place, :length], alpha[0, 0], **EXACT)
            assert (weights[row, place, length:] == 0).all()


@pytest.mark.parametrize("look", LOOKS)
def test_the_output_depends_on_what_attention_sees_of_the_encoder(look):
    """A decoder that never looks passes every test of shapes, and even learns."""
    model = attending(look)
    encoded = model.encoder(SOURCE, LENGTHS)
    turned = encoded._replace(outputs=encoded.outputs.flip(2))  # the state is as it was
    logits, other = (
        model.decoder.read(TARGET, model.decoder.start(found))[0] for found in (encoded, turned)
    )
    assert not torch.isclose(logits, other).any()
    weights, others = (
        model.decoder.attend(TARGET, model.decoder.start(found))[1] for found in (encoded, turned)
    )
    assert not torch.isclose(weights[0], others[0]).any()


@pytest.mark.parametrize("look", LOOKS)
def test_dot_product_attention_where_sizes_agree(look):
    torch.manual_seed(0)
    encoder = Encoder(7, layer=GRU(3, 6))
    size = 4 + (6 if look == "before" else 0)
    decoder = AttentionDecoder(
        8,
        encoder=encoder,
        layer=GRU(size, 6),
        embedding_size=4,
        attention=DotProductAttention(),
        look=look,
    )
    weights = Seq2Seq(encoder, decoder).alignment(SOURCE, LENGTHS, TARGET)
    torch.testing.assert_close(weights.sum(2), torch.ones(3, 4))


@pytest.mark.parametrize("name", LAYERS)
def test_a_last_state_of_the_same_kind_is_taken_over_whole(name):
    model = fixed("last", "first state", LAYERS[name], bidirectional=False, layers=2, hidden=5)
    assert model.decoder.bridge is None
    encoded = model.encoder(SOURCE, LENGTHS)
    taken = model.start(SOURCE, LENGTHS).layer
    torch.testing.assert_close(taken, encoded.state)
    if name == "LSTM":
        assert isinstance(taken[1], LSTMState)


@pytest.mark.parametrize("encoder_layer", LAYERS.values())
@pytest.mark.parametrize("decoder_layer", LAYERS.values())
@pytest.mark.parametrize("depths", [(1, 1), (2, 1), (1, 2)])
def test_states_of_any_kinds_are_bridged(encoder_layer, decoder_layer, depths):
    torch.manual_seed(0)
    encoder = Encoder(7, layer=encoder_layer(3, 5, bidirectional=True, num_layers=depths[0]))
    decoder = Decoder(
        8,
        encoder=encoder,
        layer=decoder_layer(4, 6, num_layers=depths[1]),
        embedding_size=4,
        use="first state",
    )
    model = Seq2Seq(encoder, decoder)
    assert isinstance(decoder.bridge, Bridge)
    before = model(SOURCE, LENGTHS, TARGET)
    assert before.shape == (3, 4, 8)
    changed = SOURCE.clone()
    changed[:, 0] = 6
    assert not torch.isclose(model(changed, LENGTHS, TARGET), before).all(dim=2).any()


def test_loss_counts_true_targets_only():
    model = fixed()
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]]).bool()
    target_out = torch.tensor([[3, 2, 1, 1], [1, 1, 5, 5], [2, 6, 6, 6]])
    batch = PairBatch(SOURCE, LENGTHS, TARGET, target_out, mask)
    assert batch.weight == 7
    loss, state = seq2seq_loss(model, batch, None)
    log_probs = model(SOURCE, LENGTHS, TARGET).log_softmax(-1)
    slow = [-log_probs[row, t, target_out[row, t]] for row, t in mask.nonzero().tolist()]
    torch.testing.assert_close(loss, sum(slow) / 7, **EXACT)
    assert state is None
    other = batch._replace(target_out=target_out.where(mask, 7))
    assert torch.equal(seq2seq_loss(model, other, None)[0], loss)


def test_alignment_needs_attention():
    with pytest.raises(TypeError, match="no attention; expected an AttentionDecoder"):
        fixed().alignment(SOURCE, LENGTHS, TARGET)


def test_bad_input_is_named():
    encoder = Encoder(7, layer=GRU(3, 5))
    options = {"encoder": encoder, "layer": GRU(9, 6), "embedding_size": 4}
    with pytest.raises(ValueError, match="summary is 'max'; expected one of 'last', 'transformed'"):
        Decoder(8, **options, summary="max")
    with pytest.raises(ValueError, match="use is 'last step'; expected one of 'first state'"):
        Decoder(8, **options, use="last step")
    with pytest.raises(ValueError, match=r"takes 9 features; expected 4: 4 of a token, and 0"):
        Decoder(8, **options, use="first state")
    with pytest.raises(ValueError, match="the layer is bidirectional"):
        Decoder(8, **{**options, "layer": GRU(9, 3, bidirectional=True)})
    attention = GeneralAttention(6, 5)
    with pytest.raises(ValueError, match="look is 'never'"):
        AttentionDecoder(8, **options, attention=attention, look="never")
    with pytest.raises(ValueError, match=r"takes 9 features; expected 4"):
        AttentionDecoder(8, **options, attention=attention, look="after")
    with pytest.raises(ValueError, match="the layer is bidirectional"):
        AttentionDecoder(
            8, **{**options, "layer": GRU(9, 3, bidirectional=True)}, attention=attention
        )
    model = Seq2Seq(encoder, Decoder(8, **options))
    with pytest.raises(ValueError, match="3 sources came with 2 targets"):
        model(SOURCE, LENGTHS, TARGET[:2])
    with pytest.raises(ValueError, match=r"target tokens go from 0 to 8; expected 0 to 7"):
        model(SOURCE, LENGTHS, TARGET.clone().fill_(8).index_fill(1, torch.tensor([0]), 0))
    with pytest.raises(ValueError, match=r"tokens go from .* to 7; expected 0 to 6"):
        model(SOURCE.clone().fill_(7), LENGTHS, TARGET)
    with pytest.raises(ValueError, match=r"lengths .*0.*expected"):  # an empty sentence
        model(SOURCE, torch.tensor([5, 0, 1]), TARGET)


def test_encoder_equals_that_of_d2l():
    torch.manual_seed(0)
    theirs = import_d2l().Seq2SeqEncoder(7, 3, 5, 2)
    ours = Encoder(7, layer=GRU.from_torch(theirs.rnn))
    ours.embedding.load_state_dict(theirs.embedding.state_dict())
    outputs, state = theirs(SOURCE)
    encoded = ours(SOURCE)
    torch.testing.assert_close(encoded.outputs, outputs.transpose(0, 1))
    torch.testing.assert_close(torch.stack(encoded.state), state)


def test_loss_equals_that_of_d2l():
    """d2l divides by all steps, here by those that count."""
    torch.manual_seed(0)
    logits, targets = torch.randn(3, 4, 8), torch.randint(8, (3, 4))
    lengths = torch.tensor([4, 2, 1])
    mask = torch.arange(4) < lengths[:, None]
    theirs = import_d2l().MaskedSoftmaxCELoss()(logits, targets, lengths)  # (batch,)
    ours = masked_cross_entropy(logits, targets, mask)
    torch.testing.assert_close(ours * mask.sum(), theirs.sum() * 4)
