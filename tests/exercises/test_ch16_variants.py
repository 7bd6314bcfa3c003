"""Chapter 16: answers written otherwise than in the list get what their values deserve."""

import math

import pytest
import torch
import torch.nn.functional as F
from variants import SEEDS, assert_passes, assert_told

from unrolled.attention import SelfAttention
from unrolled.exercises.ch16 import combine, min_gru, scan, self_attention
from unrolled.scan import MinGRU, associative_scan

# --- Right answers --------------------------------------------------------------------------------


def combine_in_one_line(first, second):
    return first[0] * second[0], torch.addcmul(second[1], second[0], first[1])


def combine_as_matrices(first, second):
    def matrix(step):
        decay, increment = step
        bottom = torch.stack([torch.zeros_like(decay), torch.ones_like(decay)], dim=-1)
        return torch.stack([torch.stack([decay, increment], dim=-1), bottom], dim=-2)

    both = matrix(second) @ matrix(first)
    return both[..., 0, 0], both[..., 0, 1]


def scan_of_the_library(decay, increment):
    return associative_scan(decay, increment)


def scan_padded(decay, increment):
    reach = 1
    while reach < increment.shape[1]:
        before = F.pad(increment[:, :-reach], (0, 0, reach, 0))
        increment = increment + decay * before
        decay = decay * F.pad(decay[:, :-reach], (0, 0, reach, 0))
        reach *= 2
    return increment


def scan_with_a_round_too_many(decay, increment):
    pair = decay, increment
    for n in range(int(math.log2(increment.shape[1])) + 1):
        early = tuple(each[:, : -(2**n)] for each in pair)
        late = tuple(each[:, 2**n :] for each in pair)
        joined = zip(pair, combine(early, late), strict=True)
        pair = tuple(torch.cat([each[:, : 2**n], new], dim=1) for each, new in joined)
    return pair[1]


def scan_up_and_back(decay, increment):
    time = increment.shape[1]
    if time == 1:
        return increment
    pairs = time // 2
    first = decay[:, : 2 * pairs : 2], increment[:, : 2 * pairs : 2]
    ends = scan_up_and_back(*combine(first, (decay[:, 1::2], increment[:, 1::2])))
    before = torch.cat([torch.zeros_like(increment[:, :1]), ends], dim=1)
    odd = decay[:, ::2] * before[:, : time - pairs] + increment[:, ::2]
    states = torch.empty_like(increment)
    states[:, ::2], states[:, 1::2] = odd, ends
    return states


def gru_of_the_library(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    layer = MinGRU(x.shape[2], initial.shape[1]).double()
    parameters = {
        "weight_ih": torch.cat([weight_gate, weight_candidate]),
        "bias": torch.cat([bias_gate, bias_candidate]),
    }
    return torch.func.functional_call(layer, parameters, (x, initial))[0]


def gru_with_a_step_in_front(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    gate = F.linear(x, weight_gate, bias_gate).sigmoid()
    increment = gate * F.linear(x, weight_candidate, bias_candidate)
    increment = torch.cat([initial[:, None], increment], dim=1)
    decay = torch.cat([torch.zeros_like(gate[:, :1]), 1 - gate], dim=1)
    return scan(decay, increment)[:, 1:]


def gru_in_logarithms(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    # Any number is the difference of two positive ones, which have logarithms.
    products = F.linear(x, weight_gate, bias_gate)
    candidate = F.linear(x, weight_candidate, bias_candidate)
    kept = F.logsigmoid(-products).cumsum(dim=1)
    parts = []
    for sign in (1, -1):
        new = F.logsigmoid(products) + F.softplus(sign * candidate).log()
        old = F.softplus(sign * initial).log()[:, None]
        whole = torch.cat([old, new - kept], dim=1).logcumsumexp(dim=1)[:, 1:]
        parts.append((kept + whole).exp())
    return parts[0] - parts[1]


def attention_of_the_library(x, positions, weight_query, weight_key, weight_value):
    layer = SelfAttention(x.shape[2], 1, causal=True).double()
    _, weights = torch.func.functional_call(
        layer,
        # The layer has values of the size of its keys: they are not looked at here.
        {"projection.weight": torch.cat([weight_query, weight_key, weight_key])},
        (x + positions[: x.shape[1]],),
    )
    return weights @ ((x + positions[: x.shape[1]]) @ weight_value.T), weights


def attention_step_by_step(x, positions, weight_query, weight_key, weight_value):
    time = x.shape[1]
    x = x + positions[:time]
    outputs, rows = [], []
    for t in range(time):
        seen = x[:, : t + 1]
        scores = (seen @ weight_key.T) @ (x[:, t] @ weight_query.T)[:, :, None]
        weights = (scores[:, :, 0] / math.sqrt(len(weight_key))).softmax(dim=1)
        outputs.append((weights[:, None] @ (seen @ weight_value.T))[:, 0])
        rows.append(F.pad(weights, (0, time - t - 1)))
    return torch.stack(outputs, dim=1), torch.stack(rows, dim=1)


def attention_with_infinity_added(x, positions, weight_query, weight_key, weight_value):
    time = x.shape[1]
    x = x + positions[:time]
    scores = torch.einsum("bti,di,dj,bsj->bts", x, weight_query, weight_key, x)
    ahead = torch.full((time, time), -math.inf).triu(1)
    weights = torch.softmax(scores / len(weight_query) ** 0.5 + ahead, -1)
    return torch.einsum("bts,bsi,oi->bto", weights, x, weight_value), weights


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("16.1", combine_in_one_line),
        ("16.1", combine_as_matrices),
        ("16.2", scan_of_the_library),
        ("16.2", scan_padded),
        ("16.2", scan_with_a_round_too_many),
        ("16.2", scan_up_and_back),
        ("16.3", gru_of_the_library),
        ("16.3", gru_with_a_step_in_front),
        ("16.3", gru_in_logarithms),
        ("16.4", attention_of_the_library),
        ("16.4", attention_step_by_step),
        ("16.4", attention_with_infinity_added),
    ],
)
def test_a_right_answer_written_otherwise_passes(key, answer, seeds):
    assert_passes(key, answer, seeds)


# --- Wrong answers --------------------------------------------------------------------------------


def combine_stacked(first, second):
    return torch.stack(combine(first, second))


def combine_as_a_list(first, second):
    return list(combine(first, second))


def combine_with_a_mean_of_decays(first, second):
    return (first[0] + second[0]) / 2, combine(first, second)[1]


def combine_that_overwrites(first, second):
    first[1].mul_(second[0]).add_(second[1])
    return first[0] * second[0], first[1]


def scan_with_states_in_a_list(decay, increment):
    states = [increment[:, 0]]
    for a, b in zip(decay.unbind(1)[1:], increment.unbind(1)[1:], strict=True):
        states.append(torch.addcmul(b, a, states[-1]))
    return torch.stack(states, dim=1)


def scan_of_blocks(decay, increment):
    """A loop over blocks, all steps of a block at once."""
    h, states = torch.zeros_like(increment[:, :1]), []
    for a, b in zip(decay.split(4, 1), increment.split(4, 1), strict=True):
        states.append(scan(a, b) + scan(a, torch.cat([a[:, :1] * h, 0 * b[:, 1:]], dim=1)))
        h = states[-1][:, -1:]
    return torch.cat(states, dim=1)


def scan_in_blocks_of_blocks(decay, increment):
    """As many steps in a block as there are blocks, or nearly."""
    batch, time, hidden = increment.shape
    size = math.ceil(time**0.5)
    more = size * size - time
    a = F.pad(decay, (0, 0, 0, more)).view(batch, size, size, hidden)
    b = F.pad(increment, (0, 0, 0, more)).view(batch, size, size, hidden)
    inside = [(a[:, :, 0], b[:, :, 0])]
    for t in range(1, size):
        inside.append(combine(inside[-1], (a[:, :, t], b[:, :, t])))
    a, b = (torch.stack(each, dim=2) for each in zip(*inside, strict=True))
    h, blocks = torch.zeros_like(b[:, 0, 0]), []
    for block in range(size):
        blocks.append(a[:, block] * h[:, None] + b[:, block])
        h = blocks[-1][:, -1]
    return torch.cat(blocks, dim=1)[:, :time]


def scan_without_the_first(decay, increment):
    return scan(decay, increment)[:, 1:]


def scan_in_float32(decay, increment):
    return scan(decay.float(), increment.float())


def scan_with_a_clamped_product(decay, increment):
    product = decay.cumprod(dim=1).clamp(min=1e-30)
    return product * (increment / product).cumsum(dim=1)


def scan_of_detached_increments(decay, increment):
    return scan(decay, increment.detach())


def gru_that_gives_the_last(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    return min_gru(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate)[:, -1]


def gru_with_the_first_state_in_front(
    x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate
):
    states = min_gru(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate)
    return torch.cat([initial[:, None], states], dim=1)


def gru_with_tanh_behind(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    return min_gru(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate).tanh()


def gru_with_the_gate_twice(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    gate = F.linear(x, weight_gate, bias_gate).sigmoid()
    candidate = gate * F.linear(x, weight_candidate, bias_candidate)
    first = torch.cat(
        [((1 - gate) * initial[:, None])[:, :1], torch.zeros_like(gate[:, 1:])], dim=1
    )
    return scan(1 - gate, first + gate * candidate)


def gru_with_its_cell_in_a_loop(
    x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate
):
    h, states = initial, []
    for x_t in x.unbind(1):
        z = torch.sigmoid(F.linear(x_t, weight_gate, bias_gate))
        h = torch.lerp(h, F.linear(x_t, weight_candidate, bias_candidate), z)
        states += [h]
    return torch.stack(states, 1)


def gru_of_the_first_sequence(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate):
    states = min_gru(x, initial, weight_gate, bias_gate, weight_candidate, bias_candidate)
    return states[:1].expand_as(states)


def attention_without_weights(x, positions, weight_query, weight_key, weight_value):
    return self_attention(x, positions, weight_query, weight_key, weight_value)[0]


def attention_with_a_low_number(x, positions, weight_query, weight_key, weight_value):
    time = x.shape[1]
    x = x + positions[:time]
    scores = (x @ weight_query.T) @ (x @ weight_key.T).mT / len(weight_key) ** 0.5
    weights = (scores - 3.0 * torch.ones(time, time).triu(1)).softmax(2)
    return weights @ (x @ weight_value.T), weights


def attention_that_sees_two_more(x, positions, weight_query, weight_key, weight_value):
    time = x.shape[1]
    x = x + positions[:time]
    scores = (x @ weight_query.T) @ (x @ weight_key.T).mT / len(weight_key) ** 0.5
    ahead = torch.ones(time, time).triu(3).bool()
    weights = scores.masked_fill(ahead, -math.inf).softmax(2)
    return weights @ (x @ weight_value.T), weights


def attention_added_to_its_inputs(x, positions, weight_query, weight_key, weight_value):
    outputs, weights = self_attention(x, positions, weight_query, weight_key, weight_value)
    return outputs + outputs[:, :1], weights


def attention_that_overwrites(x, positions, weight_query, weight_key, weight_value):
    x += positions[: x.shape[1]]
    return self_attention(x, 0 * positions, weight_query, weight_key, weight_value)


def attention_with_the_next_by_hand(x, positions, weight_query, weight_key, weight_value):
    time = x.shape[1]
    x = x + positions[:time]
    scores = torch.einsum("bti,di,dj,bsj->bts", x, weight_query, weight_key, x)
    place = torch.arange(time)
    ahead = place[None] > place[:, None] + 1
    scores = (scores / len(weight_query) ** 0.5).masked_fill(ahead, -math.inf)
    return scores.softmax(-1) @ x @ weight_value.T, scores.softmax(-1)


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "expected"),
    [
        ("16.1", combine_stacked, "Your answer is a tensor, expected a tuple of 2"),
        ("16.1", combine_as_a_list, "Your answer is a list of 2, expected a tuple of 2"),
        ("16.1", combine_with_a_mean_of_decays, "It is right with decays of one"),
        ("16.1", combine_that_overwrites, "changes its argument `first_increment` in place"),
        ("16.2", scan_with_states_in_a_list, "loop over time"),
        ("16.2", scan_of_blocks, "loop over time"),
        (
            "16.2",
            scan_in_blocks_of_blocks,
            "number of calls of torch is about 4 times as large for 256 steps as for 16",
        ),
        ("16.2", scan_without_the_first, "one step is missing"),
        ("16.2", scan_in_float32, "float32"),
        ("16.2", scan_with_a_clamped_product, (1, "but not with")),
        ("16.2", scan_of_detached_increments, "no gradient reaches `increment`"),
        ("16.3", gru_that_gives_the_last, "the time axis is missing"),
        ("16.3", gru_with_the_first_state_in_front, "does the first state stand among them"),
        ("16.3", gru_with_tanh_behind, "went through tanh once too often"),
        ("16.3", gru_with_the_gate_twice, "Your states"),
        ("16.3", gru_with_its_cell_in_a_loop, "loop over steps"),
        ("16.3", gru_of_the_first_sequence, "are the same for every sequence"),
        ("16.4", attention_without_weights, "Your answer is a tensor, expected the outputs"),
        ("16.4", attention_with_a_low_number, "nothing hidden"),
        ("16.4", attention_that_sees_two_more, "steps that it looks ahead is 2, expected 0"),
        ("16.4", attention_added_to_its_inputs, "Your outputs"),
        ("16.4", attention_that_overwrites, "changes its argument `x` in place"),
        ("16.4", attention_with_the_next_by_hand, "next step seen"),
    ],
)
def test_a_wrong_answer_is_told_what_is_wrong(key, answer, expected, seeds):
    assert_told(key, answer, expected, seeds)


# --- What the statements say ----------------------------------------------------------------------


def test_our_own_min_gru_and_attention_do_what_the_exercises_ask_for():
    torch.manual_seed(0)
    layer = MinGRU(3, 4, gate_bias=-1.0)
    gate, candidate = (
        pair for pair in zip(layer.weight_ih.chunk(2), layer.bias.chunk(2), strict=True)
    )
    x, initial = torch.randn(2, 9, 3), torch.randn(2, 4)
    torch.testing.assert_close(min_gru(x, initial, *gate, *candidate), layer(x, initial)[0])
    looks = SelfAttention(3, 4, causal=True)
    positions = torch.randn(9, 3)
    ours = self_attention(x, positions, *looks.projection.weight.chunk(3))
    torch.testing.assert_close(ours, looks(x + positions))


def test_joining_is_associative_and_not_commutative():
    torch.manual_seed(0)
    one, two, three = torch.randn(3, 2, 5, dtype=torch.float64)
    torch.testing.assert_close(combine(combine(one, two), three), combine(one, combine(two, three)))
    assert not torch.allclose(combine(one, two)[1], combine(two, one)[1])


def test_the_numbers_of_exercise_16_5():
    for loss, deltas, of_decays in [
        (lambda h: h[:, -1].sum(), [1 / 8, 1 / 4, 1 / 2, 1], None),
        (lambda h: h.sum(), [15 / 8, 7 / 4, 3 / 2, 1], [0, 7 / 4, 9 / 4, 7 / 4]),
    ]:
        decay = torch.full((1, 4, 1), 0.5, requires_grad=True)
        increment = torch.ones(1, 4, 1, requires_grad=True)
        loss(scan(decay, increment)).backward()
        assert increment.grad.flatten().tolist() == deltas
        assert of_decays is None or decay.grad.flatten().tolist() == of_decays
    kept = 1 - 1 / (1 + math.exp(3))
    assert kept == pytest.approx(0.9526, abs=5e-5)
    assert math.log(0.5) / math.log(kept) == pytest.approx(14.3, abs=0.05)
    assert kept**1024 == pytest.approx(2e-22, rel=0.3)
    assert (1 - 1 / (1 + math.exp(6))) ** 1024 == pytest.approx(0.08, abs=0.005)
    renewed = 1 - 2 ** (-1 / 1024)
    assert renewed == pytest.approx(0.00068, abs=5e-6)
    assert math.log(renewed / (1 - renewed)) == pytest.approx(-7.3, abs=0.05)


def test_automatic_gradients_of_a_scan_keep_ten_times_as_much_at_1024_steps():
    def kept(function):
        storages = {}

        def keep(tensor):
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = (storage.nbytes(), tensor)
            return tensor

        decay = torch.rand(1, 1024, 64, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            function(decay, decay * 1.0)
        return sum(size for size, _ in storages.values())

    assert kept(scan) / kept(associative_scan) == pytest.approx(10, abs=1)


def test_the_numbers_of_exercise_16_6():
    def step(h, u):
        z = torch.sigmoid(u * h)
        return (1 - z) * torch.tanh(h + 0.3) + z * h

    far = torch.tensor([-1e6, 1e6], dtype=torch.float64)
    for u in (2.0, -2.0, 0.0):
        assert step(far, u).abs().max() > 1e5
    assert step(step(far, 2.0), -2.0).abs().max() <= 1
    for steps, exponent in [(64, 0.02), (1024, 1.34), (8192, 1.98)]:
        first, second = (1 + 1e-6 * t**2 for t in (steps, 2 * steps))
        assert math.log2(second / first) == pytest.approx(exponent, abs=0.005)
    crossings = [(0.05 + sign * (0.05**2 - 4e-6) ** 0.5) / 2e-6 for sign in (-1, 1)]
    assert crossings == pytest.approx([20, 49_980], rel=0.001)


def test_a_scan_with_decays_of_minus_one_computes_parity():
    bits = torch.randint(2, (3, 100, 1), generator=torch.Generator().manual_seed(0))
    first = torch.cat([torch.ones(3, 1, 1), torch.zeros(3, 99, 1)], dim=1)
    decay = 1.0 - 2 * bits
    decay[:, 0], first[:, 0] = 0.0, decay[:, 0].clone()
    assert torch.equal(scan(decay, first), (-1.0) ** bits.cumsum(1))
