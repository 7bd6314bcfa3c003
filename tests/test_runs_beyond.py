"""What chapter 16 compares with a loop: other layers, other tasks, and their times."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unrolled.attention import SelfAttention
from unrolled.models import SequenceTagger
from unrolled.runs import ch16
from unrolled.runs.recipe import count_parameters
from unrolled.scan import MinGRU

INPUT, HIDDEN = 3, 5


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def assert_same(layer, reference):
    """Compare outputs and all gradients of two layers with the same weights."""
    reference.load_state_dict(layer.state_dict())
    x = torch.randn(2, 7, INPUT, requires_grad=True)
    outputs, expected = layer(x)[0], reference(x)[0]
    torch.testing.assert_close(outputs, expected, rtol=1e-10, atol=1e-10)
    weights = torch.randn_like(outputs)
    found, right = (
        torch.autograd.grad((y * weights).sum(), [x, *of.parameters()])
        for y, of in ((outputs, layer), (expected, reference))
    )
    torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-10)


def test_a_loop_gives_what_the_scan_gives():
    assert_same(ch16.LoopedMinGRU(INPUT, HIDDEN), MinGRU(INPUT, HIDDEN))


def test_fused_attention_is_causal_self_attention():
    assert_same(ch16.FusedAttention(INPUT, HIDDEN), SelfAttention(INPUT, HIDDEN, causal=True))


def test_a_signed_step_against_a_loop():
    layer, x = ch16.SignedMinGRU(INPUT, HIDDEN), torch.randn(2, 7, INPUT)
    outputs, last = layer(x)
    state = torch.zeros(2, HIDDEN)
    for t, x_t in enumerate(x.unbind(1)):
        gate, candidate = (x_t @ layer.weight_ih.T + layer.bias).chunk(2, dim=1)
        new = 1 / (1 + torch.exp(-gate))
        state = state - 2 * new * state + new * candidate
        torch.testing.assert_close(outputs[:, t], state, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(last, state, rtol=1e-10, atol=1e-10)


def test_one_signed_unit_can_tell_parity():
    """With z = 1 at a one and z = 0 at a zero: h becomes 1 - h, or stays."""
    bits, odd = next(iter(ch16.ParityBatches(time=50, batch=4)))
    layer = ch16.SignedMinGRU(1, 1)
    with torch.no_grad():
        layer.weight_ih.copy_(torch.tensor([[80.0], [0.0]]))
        layer.bias.copy_(torch.tensor([-40.0, 1.0]))
        outputs, _ = layer(bits[:, :, None].double())
    torch.testing.assert_close(outputs[:, :, 0], odd.double())


def test_positions_make_order_count():
    plain, x = ch16.FusedAttention(4, HIDDEN), torch.randn(2, 7, 4)
    placed, shuffled = ch16.Placed(plain), x[:, [2, 0, 5, 1, 4, 3, 6]]
    assert torch.allclose(plain(x)[0][:, -1], plain(shuffled)[0][:, -1])
    assert not torch.allclose(placed(x)[0][:, -1], placed(shuffled)[0][:, -1])


@pytest.mark.parametrize("kind", ch16.WEIGHTS)
@pytest.mark.parametrize("weights", [500, 2400])
def test_units_are_as_many_as_the_weights_allow(kind, weights):
    layer = ch16.make_layer(kind, weights)
    assert layer.output_size == ch16.units(kind, weights)
    count = count_parameters(layer)
    assert count <= weights
    per_unit = count / layer.output_size
    more = count_parameters(ch16.make_layer(kind, weights + int(3 * per_unit)))
    assert more > weights


def test_a_layer_begins_by_keeping_as_much_as_it_is_told():
    size = {kind: ch16.units(kind, 500) for kind in ch16.WEIGHTS}
    made = {kind: ch16.make_layer(kind, 500, bias=4.0) for kind in ch16.WEIGHTS}
    for kind in ("MinGRU", "signed MinGRU"):
        gate, _ = made[kind].parts(torch.zeros(1, 1, ch16.EMBEDDING))
        torch.testing.assert_close(gate, torch.sigmoid(torch.full_like(gate, -4.0)))
    forget = made["LSTM"].layers[0].cell.bias[size["LSTM"] : 2 * size["LSTM"]]
    update = made["GRU"].layers[0].cell.bias[size["GRU"] : 2 * size["GRU"]]
    assert (forget - 4).abs().max() < 1
    assert (update - 4).abs().max() < 1


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match="kind is 'GRUs'; expected one of"):
        ch16.make_layer("GRUs", 500)
    with pytest.raises(ValueError, match="task is 'second'; expected one of"):
        ch16.memory_problem("second", 5, 2, 0, kind="GRU", weights=500)
    tokens, lengths = torch.zeros(2, 5, dtype=torch.int64), torch.tensor([5, 3])
    model = ch16.LastStep(16, 8, layer=ch16.make_layer("GRU", 500))
    layers = [ch16.LoopedMinGRU, ch16.SignedMinGRU, ch16.FusedAttention]
    for layer in [made(INPUT, HIDDEN) for made in layers]:
        with pytest.raises(ValueError, match="one length"):
            layer(torch.zeros(2, 5, INPUT), lengths=lengths)
    with pytest.raises(ValueError, match="one length"):
        model(tokens, lengths)
    for batches in ch16.TRACKING.values():
        with pytest.raises(ValueError, match="time is 0"):
            batches(0, 4)
    for batches in (ch16.WhichFirstBatches, ch16.MarkedSymbolBatches):
        with pytest.raises(ValueError, match="symbols is 1"):
            batches(1, 20, 4)
        with pytest.raises(ValueError, match="time is 0"):
            batches(8, 0, 4)


# --- Tasks ---------------------------------------------------------------------------------------


def test_the_first_of_all_is_told_apart_by_its_place_alone():
    tokens, target = next(iter(ch16.WhichFirstBatches(8, 20, 200)))
    assert torch.equal(target, tokens[:, 0])
    assert set(tokens[:, 0].tolist()) == set(tokens[:, 1:].flatten().tolist()) == set(range(8))


def test_one_symbol_is_marked_anywhere():
    tokens, target = next(iter(ch16.MarkedSymbolBatches(8, 20, 400)))
    marked = tokens >= 8
    assert torch.equal(marked.sum(1), torch.ones(400, dtype=torch.int64))
    assert torch.equal(tokens[marked] - 8, target)
    assert set(marked.int().argmax(1).tolist()) == set(range(20))
    assert set(target.tolist()) == set(range(8))


def test_parity_counts_ones():
    bits, odd = next(iter(ch16.ParityBatches(30, 8)))
    for row, answers in zip(bits.tolist(), odd.tolist(), strict=True):
        assert answers == [sum(row[: t + 1]) % 2 for t in range(30)]


def test_a_ball_goes_where_its_cup_goes():
    moves, answers = next(iter(ch16.CupBatches(30, 8)))
    assert set(moves.flatten().tolist()) == {0, 1, 2}
    for row, expected in zip(moves.tolist(), answers.tolist(), strict=True):
        cups = ["ball", "", ""]
        for move, answer in zip(row, expected, strict=True):
            one, other = [(0, 1), (1, 2), (0, 2)][move]
            cups[one], cups[other] = cups[other], cups[one]
            assert cups[answer] == "ball"


def test_the_last_step_answers():
    model = ch16.LastStep(16, 8, layer=ch16.make_layer("MinGRU", 500))
    tokens = torch.randint(16, (3, 6))
    answers = model(tokens)
    assert torch.equal(answers, SequenceTagger.forward(model, tokens)[:, -1])
    assert answers.shape == (3, 8)


def test_the_loss_is_that_of_every_step():
    model = SequenceTagger(3, 3, layer=ch16.make_layer("GRU", 500))
    batch = next(iter(ch16.CupBatches(6, 4)))
    logits = model(batch.inputs)
    each = [F.cross_entropy(logits[b, t], batch.target[b, t]) for b in range(4) for t in range(6)]
    loss, state = ch16.every_step_loss(model, batch, None)
    torch.testing.assert_close(loss, torch.stack(each).mean())
    assert state is None


# --- What is measured ----------------------------------------------------------------------------


def run(training):
    """Go through a training: give its losses, and what it found."""
    losses = []
    while True:
        try:
            losses.append(next(training))
        except StopIteration as end:
            return losses, end.value


def test_an_exponent_is_the_slope_of_the_logarithms():
    lengths = [64, 128, 1024]
    assert ch16.exponent(lengths, [5 * n**1.7 for n in lengths]) == pytest.approx(1.7)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 4, 16], [2, 4, 8], 20),
        ([1, 2, 16], [2, 8, 8], 20 * 2 ** (2 / 3)),
        ([9, 1, 16], [2, 2, 8], 20 * 2 ** (1 / 2)),  # counted is the last crossing
        ([1, 1, 1], [2, 2, 2], None),
        ([1, 4, 1], [2, 2, 2], None),
        ([3, 3, 3], [2, 2, 2], None),
    ],
)
def test_where_one_becomes_dearer_for_good(first, second, expected):
    found = ch16.crossing([10, 20, 40], first, second)
    assert found == (expected if expected is None else pytest.approx(expected))


def test_every_contender_is_timed_in_each_turn():
    torch.set_default_dtype(torch.float32)
    training = ch16.time(0, batch=2, length=80, size=8)
    losses, found = run(training)
    times = found["milliseconds"]
    assert list(times) == list(ch16.CONTENDERS)
    assert min(times.values()) > 0
    assert len(losses) == len(times)


def test_contenders_have_one_width():
    x = torch.randn(2, 9, 8)
    assert {make(8)(x)[0].shape for make in ch16.CONTENDERS.values()} == {(2, 9, 8)}
    assert isinstance(ch16.CONTENDERS["torch.nn.GRU"](8), nn.GRU)


def test_lengths_are_tried_up_to_the_first_that_is_not_learnt(monkeypatch):
    asked = []

    def learn(problem, **options):
        time = problem.batches.time
        asked.append((time, options))
        yield 0.5
        return {"learnt": time < 20}

    monkeypatch.setattr(ch16, "learn", learn)
    options = {"batch": 2, "steps": 7, "learning_rate": 0.1, "kind": "GRU", "weights": 500}
    training = ch16.memory(3, "marked symbol", [10, 20, 30], **options)
    _, found = run(training)
    settings = {"steps": 7, "learning_rate": 0.1, "seed": 3}
    assert asked == [(10, settings), (20, settings)]
    assert [one["learnt"] for one in found.values()] == [True, False]


def test_answers_are_counted_step_by_step(monkeypatch):
    """A model that is right up to step 100 and says 0 from there on."""

    class Right(nn.Module):
        def __init__(self, *_, layer):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, tokens):
            odd = tokens.cumsum(1) % 2
            odd[:, 100:] = 0
            return F.one_hot(odd, 2).float() + self.weight

    torch.set_default_dtype(torch.float32)
    monkeypatch.setattr(ch16, "SequenceTagger", Right)
    options = {"batch": 2, "steps": 1, "learning_rate": 0.1, "kind": "GRU", "weights": 500}
    training = ch16.tracking(0, "parity", 8, **options)
    _, found = run(training)
    right = found["right"]
    assert right["1-8"] == right["9-32"] == 1
    assert right["33-128"] == pytest.approx((68 + 0.5 * 28) / 96, abs=0.02)
    assert right["129-512"] == pytest.approx(0.5, abs=0.02)
