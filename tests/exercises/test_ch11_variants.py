"""Chapter 11: answers written otherwise than in the list get what their values deserve."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from variants import SEEDS, assert_passes, assert_told

from unrolled.cells import GRUCell, LSTMState
from unrolled.exercises.ch11 import count_parameters, coupled_step, gru_step, to_other_sign

# --- Right answers --------------------------------------------------------------------------------


def step_of_torch(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    return torch.gru_cell(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)


def step_gate_by_gate(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    size = h.shape[1]

    def halves(k):
        rows = slice(k * size, (k + 1) * size)
        return F.linear(x_t, weight_ih[rows], bias_ih[rows]), F.linear(
            h, weight_hh[rows], bias_hh[rows]
        )

    r, z = (sum(halves(k)).sigmoid() for k in (0, 1))
    given, seen = halves(2)
    n = torch.addcmul(given, r, seen).tanh()
    return n + z * (h - n)


def step_that_moves_the_biases(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    # Where two biases add up, one place is as good as the other.
    size = h.shape[1]
    rest = bias_ih[: 2 * size] + bias_hh[: 2 * size]
    gates = x_t @ weight_ih[: 2 * size].T + h @ weight_hh[: 2 * size].T + rest
    r, z = gates.sigmoid().view(len(h), 2, size).unbind(1)
    n = r * (h @ weight_hh[2 * size :].T + bias_hh[2 * size :])
    n = n + x_t @ weight_ih[2 * size :].T + bias_ih[2 * size :]
    return torch.lerp(n.tanh(), h, z)


def coupled_by_minus_the_sum(x_t, h, c, weight_ih, weight_hh, bias):
    size = h.shape[1]
    f, g, o = torch.split(F.linear(x_t, weight_ih, bias) + F.linear(h, weight_hh), size, 1)
    c = c * f.sigmoid() + (-f).sigmoid() * g.tanh()
    return LSTMState(o.sigmoid() * c.tanh(), c)


def coupled_by_lerp(x_t, h, c, weight_ih, weight_hh, bias):
    f, g, o = (x_t @ weight_ih.mT + h @ weight_hh.mT + bias).view(len(h), 3, -1).unbind(1)
    c = torch.lerp(g.tanh(), c, f.sigmoid())
    return [o.sigmoid() * c.tanh(), c]


def coupled_in_a_whole_lstm(x_t, h, c, weight_ih, weight_hh, bias):
    weights = (torch.cat([-w[: len(w) // 3], w]) for w in (weight_ih, weight_hh, bias))
    weight_ih, weight_hh, bias = weights
    return torch.lstm_cell(x_t, (h, c), weight_ih, weight_hh, bias, 0 * bias)


def count_what_torch_makes(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    layer = getattr(nn, kind)(
        input_size, hidden_size, num_layers, bidirectional=bidirectional, device="meta"
    )
    return sum(parameter.numel() for parameter in layer.parameters())


def count_in_one_go(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    ways = 1 + bidirectional
    first = input_size + hidden_size + 2
    further = (1 + ways) * hidden_size + 2
    rows = hidden_size * ways * {"GRU": 3, "LSTM": 4}.get(kind, 1)
    return rows * (first + (num_layers - 1) * further)


def sign_by_a_factor(weight_ih, weight_hh, bias):
    signs = bias.new_ones(3, len(bias) // 3)
    signs[1] = -1
    signs = signs.flatten()
    return [weight_ih * signs[:, None], weight_hh * signs[:, None], bias * signs]


def sign_by_writing(weight_ih, weight_hh, bias):
    hidden = weight_hh.shape[1]
    new = tuple(weight.clone() for weight in (weight_ih, weight_hh, bias))
    for weight in new:
        weight[hidden:-hidden].neg_()
    return new


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("11.1", step_of_torch),
        ("11.1", step_gate_by_gate),
        ("11.1", step_that_moves_the_biases),
        ("11.2", coupled_by_minus_the_sum),
        ("11.2", coupled_by_lerp),
        ("11.2", coupled_in_a_whole_lstm),
        ("11.3", count_what_torch_makes),
        ("11.3", count_in_one_go),
        ("11.4", sign_by_a_factor),
        ("11.4", sign_by_writing),
    ],
)
def test_right_answers_written_otherwise_pass(key, answer, seeds):
    assert_passes(key, answer, seeds)


# --- Wrong answers that are on the list, written otherwise ----------------------------------------


def parts(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    return [
        half.split(h.shape[1], dim=1)
        for half in (F.linear(x_t, weight_ih, bias_ih), F.linear(h, weight_hh, bias_hh))
    ]


def step_of_cho(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    size = h.shape[1]
    b = bias_ih + bias_hh
    z = torch.sigmoid((x_t @ weight_ih.T + h @ weight_hh.T + b)[:, : 2 * size])
    r, z = z[:, :size], z[:, size:]
    n = x_t @ weight_ih[2 * size :].T + (r * h) @ weight_hh[2 * size :].T + b[2 * size :]
    return z * h + (1 - z) * n.tanh()


def step_of_chung(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    size = h.shape[1]
    b = bias_ih + bias_hh
    r, z = (x_t @ weight_ih.T + h @ weight_hh.T + b)[:, : 2 * size].sigmoid().chunk(2, 1)
    n = x_t @ weight_ih[2 * size :].T + (r * h) @ weight_hh[2 * size :].T + b[2 * size :]
    return (1 - z) * h + z * n.tanh()


def step_with_one_bias(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    (a_r, a_z, a_n), (b_r, b_z, b_n) = parts(x_t, h, weight_ih, weight_hh, bias_ih + bias_hh, None)
    r, z = (a_r + b_r).sigmoid(), (a_z + b_z).sigmoid()
    return (1 - z) * (a_n + r * b_n).tanh() + z * h


def step_that_begins_with_z(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    (a_z, a_r, a_n), (b_z, b_r, b_n) = parts(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)
    r, z = (a_r + b_r).sigmoid(), (a_z + b_z).sigmoid()
    return (1 - z) * (a_n + r * b_n).tanh() + z * h


def step_that_renews_with_z(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    (a_r, a_z, a_n), (b_r, b_z, b_n) = parts(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)
    r, z = (a_r + b_r).sigmoid(), (a_z + b_z).sigmoid()
    return h + z * ((a_n + r * b_n).tanh() - h)


def step_by_multiplying_in_place(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    (a_r, a_z, a_n), (b_r, b_z, b_n) = parts(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)
    r, z = (a_r + b_r).sigmoid(), (a_z + b_z).sigmoid()
    n = (a_n + r * b_n).tanh()
    h *= z
    h += (1 - z) * n
    return h


def step_on_data(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    return torch.gru_cell(x_t, h.data, weight_ih, weight_hh, bias_ih, bias_hh)


def coupled_the_other_way(x_t, h, c, weight_ih, weight_hh, bias):
    f, g, o = torch.split(x_t @ weight_ih.T + h @ weight_hh.T + bias, h.shape[1], dim=1)
    c = c + f.sigmoid() * (g.tanh() - c)
    return o.sigmoid() * c.tanh(), c


def coupled_with_o_before_g(x_t, h, c, weight_ih, weight_hh, bias):
    f, o, g = torch.split(x_t @ weight_ih.T + h @ weight_hh.T + bias, h.shape[1], dim=1)
    c = g.tanh() + f.sigmoid() * (c - g.tanh())
    return o.sigmoid() * c.tanh(), c


def coupled_cut_in_four(x_t, h, c, weight_ih, weight_hh, bias):
    size = h.shape[1]
    i, f, g, o = (x_t @ weight_ih.T + h @ weight_hh.T + bias).split(size, 1)
    c = c * f.sigmoid() + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def coupled_in_place(x_t, h, c, weight_ih, weight_hh, bias):
    f, g, o = torch.split(x_t @ weight_ih.T + h @ weight_hh.T + bias, h.shape[1], dim=1)
    c *= f.sigmoid()
    c += (-f).sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def count_as_in_books(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    total, reads = 0, input_size
    for _ in range(num_layers):
        block = hidden_size * reads + hidden_size**2 + hidden_size
        total += (1 + bidirectional) * {"RNN": 1, "GRU": 3, "LSTM": 4}[kind] * block
        reads = (1 + bidirectional) * hidden_size
    return total


def count_as_here(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    found, ways = 0, 1 + bidirectional
    reads = [input_size] + (num_layers - 1) * [ways * hidden_size]
    for read in reads:
        blocks = {"RNN": 1, "GRU": 3, "LSTM": 4}[kind]
        found += ways * blocks * hidden_size * (read + hidden_size + 1)
        found += ways * hidden_size * (kind == "GRU")
    return found


def count_a_wide_layer(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    if bidirectional:
        hidden_size = 2 * hidden_size
    return count_parameters(kind, input_size, hidden_size, num_layers)


def count_reading_one_state(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    total = 0
    for layer in range(num_layers):
        reads = hidden_size if layer else input_size
        total += {"RNN": 1, "GRU": 3, "LSTM": 4}[kind] * hidden_size * (reads + hidden_size + 2)
    return total * 2 if bidirectional else total


def sign_of_all(weight_ih, weight_hh, bias):
    return tuple(weight.neg() for weight in (weight_ih, weight_hh, bias))


def sign_in_keras(weight_ih, weight_hh, bias):
    # Where z stands first.
    hidden = len(bias) // 3
    new = [weight.clone() for weight in (weight_ih, weight_hh, bias)]
    for weight in new:
        weight[:hidden] = -weight[:hidden]
    return tuple(new)


def sign_of_hh_first(weight_ih, weight_hh, bias):
    weight_ih, weight_hh, bias = to_other_sign(weight_ih, weight_hh, bias)
    return weight_hh, weight_ih, bias


def sign_into_the_given(weight_ih, weight_hh, bias):
    for weight in (weight_ih, weight_hh, bias):
        weight.view(3, -1)[1].mul_(-1)
    return weight_ih, weight_hh, bias


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "mistake"),
    [
        ("11.1", step_of_cho, "reset before the product"),
        ("11.1", step_of_chung, "reset before and the other sign"),
        ("11.1", step_with_one_bias, "bias hn outside the reset"),
        ("11.1", step_that_begins_with_z, "z and r exchanged"),
        ("11.1", step_that_renews_with_z, "z with the other sign"),
        ("11.1", step_by_multiplying_in_place, "h in place"),
        ("11.1", step_on_data, "h detached"),
        ("11.2", coupled_the_other_way, "f and its rest exchanged"),
        ("11.2", coupled_with_o_before_g, "order f o g"),
        ("11.2", coupled_cut_in_four, "cut in four"),
        ("11.2", coupled_in_place, "c in place"),
        ("11.3", count_as_in_books, "one bias counted"),
        ("11.3", count_as_here, "as in this book"),
        ("11.3", count_a_wide_layer, "states of both directions"),
        ("11.3", count_reading_one_state, "second layer reads one direction"),
        ("11.4", sign_of_all, "everything turned"),
        ("11.4", sign_in_keras, "first block"),
        ("11.4", sign_into_the_given, "in place"),
        ("11.4", sign_of_hh_first, "matrices exchanged"),
    ],
)
def test_mistakes_written_otherwise_get_the_same_message(key, answer, mistake, seeds):
    assert_told(key, answer, mistake, seeds)


# --- Wrong answers that are not on the list -------------------------------------------------------


def step_as_a_layer(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    h = gru_step(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)
    return h, h


def step_in_single_precision(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    return gru_step(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh).float()


def step_without_the_input(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh):
    return gru_step(0 * x_t, h, weight_ih, weight_hh, bias_ih, bias_hh)


def coupled_with_one_state(x_t, h, c, weight_ih, weight_hh, bias):
    _, c = coupled_step(x_t, h, c, weight_ih, weight_hh, bias)
    return c, c, None


def coupled_without_an_output_gate(x_t, h, c, weight_ih, weight_hh, bias):
    _, c = coupled_step(x_t, h, c, weight_ih, weight_hh, bias)
    return torch.tanh(c), c


def count_with_a_division(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    return count_parameters(kind, input_size, hidden_size, num_layers, bidirectional) / 1


def count_only_known_kinds(kind, input_size, hidden_size, num_layers=1, bidirectional=False):
    return {"gru": 3, "lstm": 4}[kind] * hidden_size


def sign_in_one(weight_ih, weight_hh, bias):
    return torch.cat([weight_ih, weight_hh, bias[:, None]], dim=1)


def sign_transposed(weight_ih, weight_hh, bias):
    weight_ih, weight_hh, bias = to_other_sign(weight_ih, weight_hh, bias)
    return weight_ih.T, weight_hh.T, bias


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "expected"),
    [
        ("11.1", step_as_a_layer, "Your new state is a tuple of 2, expected a tensor"),
        ("11.1", step_in_single_precision, "Your new state is `float32`, expected `float64`"),
        ("11.1", step_without_the_input, "Your new state does not depend on `x_t` or `weight_ih`"),
        ("11.2", coupled_with_one_state, "Your answer is a tuple of 3, expected h and c"),
        ("11.2", coupled_without_an_output_gate, "the output gate is missing from h"),
        ("11.3", count_with_a_division, "expected a whole number"),
        ("11.3", count_only_known_kinds, "KeyError"),
        ("11.4", sign_in_one, "Your answer is a tensor, expected three tensors."),
        ("11.4", sign_transposed, "Your new `weight_ih` has shape"),
    ],
)
def test_other_wrong_answers_get_a_helpful_sentence(key, answer, expected, seeds):
    assert_told(key, answer, expected, seeds)


# --- What the text says ---------------------------------------------------------------------------


def drawn(*shapes):
    torch.manual_seed(0)
    return [torch.randn(shape, dtype=torch.float64) for shape in shapes]


def test_the_step_is_that_of_torch():
    theirs = nn.GRUCell(3, 4).double()
    x_t, h = drawn((2, 3), (2, 4))
    came = gru_step(x_t, h, theirs.weight_ih, theirs.weight_hh, theirs.bias_ih, theirs.bias_hh)
    torch.testing.assert_close(came, theirs(x_t, h))


def test_with_the_other_sign_the_other_cell_computes_the_same():
    x_t, h, weight_ih, weight_hh, bias, zeros = drawn((2, 3), (2, 4), (12, 3), (12, 4), 12, 12)

    def renewing(weight_ih, weight_hh, bias):  # only what is mixed is written otherwise
        r, z, n = (x_t @ weight_ih.T + bias).chunk(3, 1)
        seen_r, seen_z, seen_n = (h @ weight_hh.T).chunk(3, 1)
        r, z = torch.sigmoid(r + seen_r), torch.sigmoid(z + seen_z)
        return z * torch.tanh(n + r * seen_n) + (1 - z) * h

    came = renewing(*to_other_sign(weight_ih, weight_hh, bias))
    torch.testing.assert_close(came, gru_step(x_t, h, weight_ih, weight_hh, bias, 0 * zeros))
    assert not torch.allclose(came, renewing(weight_ih, weight_hh, bias))
    back = to_other_sign(*to_other_sign(weight_ih, weight_hh, bias))
    torch.testing.assert_close(back, (weight_ih, weight_hh, bias))


def both(weight, reset, h):
    """What the candidate sees with the reset before and after the product."""
    return weight @ (reset * h), reset * (weight @ h)


def test_when_the_two_resets_agree():
    weight, h, reset = drawn((5, 5), 5, 5)
    reset = torch.sigmoid(reset)
    torch.testing.assert_close(*both(weight, reset[:1].expand(5), h))
    torch.testing.assert_close(*both(weight.diag().diag(), reset, h))
    assert not torch.allclose(*both(weight, reset, h))
    # Two groups that do not feed each other, with a reset each.
    group = torch.tensor([0, 0, 0, 1, 1])
    apart = weight * (group[:, None] == group)
    torch.testing.assert_close(*both(apart, reset[group], h))


def test_the_example_of_two_units():
    weight = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    before, after = both(weight, torch.tensor([1.0, 0.0]), torch.tensor([0.5, -0.8]))
    assert before.tolist() == pytest.approx([0, 0.5])
    assert after.tolist() == pytest.approx([-0.8, 0])


def test_the_derivatives_of_the_candidate():
    given, weight, weight_r, given_r, inside, h = drawn(4, (4, 4), (4, 4), 4, 4, 4)

    def candidate(h, fixed, after):
        r = torch.sigmoid(given_r + weight_r @ h) if fixed is None else fixed
        seen = r * (weight @ h + inside) if after else weight @ (r * h) + inside
        return torch.tanh(given + seen)

    r = torch.sigmoid(given_r + weight_r @ h)
    slope_r = (r * (1 - r)).diag()
    for after in (False, True):
        s = (1 - candidate(h, None, after) ** 2).diag()
        held = s @ r.diag() @ weight if after else s @ weight @ r.diag()
        more = (
            s @ (weight @ h + inside).diag() @ slope_r @ weight_r
            if after
            else s @ weight @ h.diag() @ slope_r @ weight_r
        )
        for fixed, formula in ((r, held), (None, held + more)):
            came = torch.autograd.functional.jacobian(
                lambda h, fixed=fixed, after=after: candidate(h, fixed, after), h
            )
            torch.testing.assert_close(came, formula)


def test_a_tanh_around_the_merged_state_lets_it_fade():
    h, rough = 0.9, 1 / 0.9**2
    for _ in range(100):
        h, rough = math.tanh(h), rough + 2 / 3
    assert rough == pytest.approx(68, abs=0.5)
    assert rough**-0.5 == pytest.approx(0.12, abs=0.005)
    assert h == pytest.approx(0.121, abs=5e-4)


def test_a_gru_unit_is_a_moving_average_and_an_lstm_unit_a_sum():
    z = 0.95
    unit, cell, passed = 0.0, 0.0, []
    for _ in range(200):
        unit, cell = z * unit + (1 - z), z * cell + 1
        passed.append(unit >= 0.5)
    assert 1 - z == pytest.approx(0.05)
    assert passed.index(True) + 1 == 14
    assert cell == pytest.approx(20, abs=0.01)
    weights = [z**30, *((1 - z) * z ** (30 - t) for t in range(1, 31))]
    assert sum(weights) == pytest.approx(1)


def test_a_gru_with_rows_of_z_turned_for_those_of_r_is_a_minimal_gated_unit():
    torch.manual_seed(0)
    cell = GRUCell(3, 4, reset="before").double()
    with torch.no_grad():
        for weight in cell.parameters():
            r, z, _ = weight.chunk(3)
            r.copy_(-z)
    x_t, h = drawn((2, 3), (2, 4))
    rows = [weight.chunk(3) for weight in (cell.weight_ih, cell.weight_hh, cell.bias)]
    (_, f_i, n_i), (_, f_h, n_h), (_, f_b, n_b) = rows
    f = torch.sigmoid(-(x_t @ f_i.T + h @ f_h.T + f_b))  # what is renewed, as in the paper
    n = torch.tanh(x_t @ n_i.T + (f * h) @ n_h.T + n_b)
    torch.testing.assert_close(cell(x_t, h)[0], (1 - f) * h + f * n)


def test_a_second_layer_has_more_parameters_than_the_first():
    narrow = count_parameters("GRU", 20, 16, 1, True)
    assert count_parameters("GRU", 20, 16, 2, True) > 2 * narrow
    wide = count_parameters("GRU", 40, 16, 1, True)
    assert count_parameters("GRU", 40, 16, 2, True) < 2 * wide


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("both", [False, True])
def test_the_count_is_that_of_torch(kind, layers, both):
    sizes = 5, 7, layers, both
    assert count_parameters(kind, *sizes) == count_what_torch_makes(kind, *sizes)
