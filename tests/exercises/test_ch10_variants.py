"""Chapter 10: answers written otherwise than in the list get what their values deserve."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from variants import SEEDS, assert_passes, assert_told, message

from unrolled.cells import LSTMState
from unrolled.exercises import catalogue, check_with_seed
from unrolled.exercises.ch10 import lstm_step, peephole_step, reorder_gates, set_forget_bias

# --- Right answers --------------------------------------------------------------------------------


def step_of_torch(x_t, h, c, weight_ih, weight_hh, bias):
    return torch.lstm_cell(x_t, (h, c), weight_ih, weight_hh, bias, torch.zeros_like(bias))


def step_gate_by_gate(x_t, h, c, weight_ih, weight_hh, bias):
    size = h.shape[1]

    def part(k):
        rows = slice(k * size, (k + 1) * size)
        return F.linear(x_t, weight_ih[rows]) + F.linear(h, weight_hh[rows], bias[rows])

    i, f, o = (part(k).sigmoid() for k in (0, 1, 3))
    c = c * f
    c = c + i * part(2).tanh()
    return LSTMState(o * c.tanh(), c)


def step_of_one_matrix(x_t, h, c, weight_ih, weight_hh, bias):
    z = torch.cat([x_t, h], 1) @ torch.cat([weight_ih, weight_hh], 1).T + bias
    i, f, g, o = z.view(len(x_t), 4, -1).unbind(1)
    g = 2 * torch.sigmoid(2 * g) - 1
    c = torch.addcmul(f.sigmoid() * c, i.sigmoid(), g)
    return [o.sigmoid() * c.tanh(), c]


def peephole_as_a_diagonal(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    i, f, g, o = torch.split(x_t @ weight_ih.mT + h @ weight_hh.mT + bias, h.shape[1], dim=1)
    i = torch.sigmoid(i + c @ torch.diag(peep_i))
    f = torch.sigmoid(f + torch.einsum("bh,h->bh", c, peep_f))
    new = i * torch.tanh(g) + f * c
    return torch.sigmoid(torch.addcmul(o, new, peep_o)) * torch.tanh(new), new


def reorder_by_index(weight, hidden_size, order):
    rows = torch.arange(4 * hidden_size).view(4, hidden_size)
    return weight[rows[[order.index(gate) for gate in "ifgo"]].flatten()]


def reorder_by_writing(weight, hidden_size, order):
    new = torch.empty_like(weight)
    for place, gate in enumerate(order):
        to = "ifgo".find(gate) * hidden_size
        new[to : to + hidden_size] = weight[place * hidden_size : (place + 1) * hidden_size]
    return new


def reorder_with_numpy(weight, hidden_size, order):
    blocks = np.split(weight.numpy(), 4)
    return torch.from_numpy(np.concatenate([blocks[k] for k in map(order.index, "ifgo")]))


def reorder_on_an_axis_of_its_own(weight, hidden_size, order):
    blocks = weight.unflatten(0, (4, hidden_size))[[order.index(gate) for gate in "ifgo"]]
    return blocks.flatten(0, 1)


def forget_half_in_each(module, value):
    for name, parameter in module.named_parameters():
        if "bias" in name:
            n = parameter.size(0)
            parameter.data[n // 4 : n // 2].fill_(value / 2)


def forget_what_is_missing(module, value):
    n = module.hidden_size
    with torch.no_grad():
        for *_, bias_ih, bias_hh in module.all_weights:
            bias_ih[n : 2 * n] = value - bias_hh[n : 2 * n]


def forget_by_copying(module, value):
    state = {name: weight.clone() for name, weight in module.state_dict().items()}
    for name in state:
        if name.startswith("bias"):
            share = value if name.startswith("bias_hh") else 0
            state[name].view(4, -1)[1] = share
    module.load_state_dict(state)


def forget_and_return(module, value):
    set_forget_bias(module, value)
    return module


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("10.1", step_of_torch),
        ("10.1", step_gate_by_gate),
        ("10.1", step_of_one_matrix),
        ("10.2", peephole_as_a_diagonal),
        ("10.3", reorder_by_index),
        ("10.3", reorder_by_writing),
        ("10.3", reorder_with_numpy),
        ("10.3", reorder_on_an_axis_of_its_own),
        ("10.4", forget_half_in_each),
        ("10.4", forget_what_is_missing),
        ("10.4", forget_by_copying),
        ("10.4", forget_and_return),
    ],
)
def test_right_answers_written_otherwise_pass(key, answer, seeds):
    assert_passes(key, answer, seeds)


# --- Wrong answers that are on the list, written otherwise ----------------------------------------


def parts(x_t, h, weight_ih, weight_hh, bias):
    return (F.linear(x_t, weight_ih, bias) + F.linear(h, weight_hh)).split(h.shape[1], dim=1)


def step_that_names_o_before_g(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, o, g = parts(x_t, h, weight_ih, weight_hh, bias)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def step_that_names_o_before_g_and_forgets_the_tanh(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, o, g = parts(x_t, h, weight_ih, weight_hh, bias)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c, c


def step_that_keeps_with_i(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = parts(x_t, h, weight_ih, weight_hh, bias)
    c = i.sigmoid() * c + f.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def step_of_1997(x_t, h, c, weight_ih, weight_hh, bias):
    i, _, g, o = parts(x_t, h, weight_ih, weight_hh, bias)
    c = c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def step_with_sigmoids_everywhere(x_t, h, c, weight_ih, weight_hh, bias):
    z = torch.sigmoid(F.linear(x_t, weight_ih, bias) + F.linear(h, weight_hh))
    i, f, g, o = z.chunk(4, -1)
    c = f * c + i * g
    return o * c.tanh(), c


def step_with_one_tanh_too_many(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = parts(x_t, h, weight_ih, weight_hh, bias)
    c = (f.sigmoid() * c + i.sigmoid() * g.tanh()).tanh()
    return o.sigmoid() * c.tanh(), c


def step_with_tanh_and_sigmoid_exchanged(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = parts(x_t, h, weight_ih, weight_hh, bias)
    c = f.sigmoid() * c + i.sigmoid() * g.sigmoid()
    return o.tanh() * c.tanh(), c


def step_without_a_graph(x_t, h, c, weight_ih, weight_hh, bias):
    new_h, new_c = lstm_step(x_t, h, c.data, weight_ih, weight_hh, bias)
    return new_h, new_c


def step_by_multiplying_in_place(x_t, h, c, weight_ih, weight_hh, bias):
    i, f, g, o = parts(x_t, h, weight_ih, weight_hh, bias)
    c *= f.sigmoid()
    c += i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def step_reshaped(x_t, h, c, weight_ih, weight_hh, bias):
    z = F.linear(x_t, weight_ih, bias) + F.linear(h, weight_hh)
    i, f, g, o = z.reshape(4, len(x_t), -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def peepholes_all_at_once(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    i, f, g, o = parts(x_t, h, weight_ih, weight_hh, bias)
    i, f, o = (torch.sigmoid(z + p * c) for z, p in ((i, peep_i), (f, peep_f), (o, peep_o)))
    c = f * c + i * g.tanh()
    return o * c.tanh(), c


def peepholes_with_o_before_g(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    i, f, o, g = parts(x_t, h, weight_ih, weight_hh, bias)
    c_new = torch.sigmoid(f + peep_f * c) * c + torch.sigmoid(i + peep_i * c) * g.tanh()
    return torch.sigmoid(o + peep_o * c_new) * c_new.tanh(), c_new


def peepholes_without_the_tanh(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    # As the paper has it.
    i, f, g, o = parts(x_t, h, weight_ih, weight_hh, bias)
    c_new = torch.sigmoid(f + peep_f * c) * c + torch.sigmoid(i + peep_i * c) * g.tanh()
    return torch.sigmoid(o + peep_o * c_new) * c_new, c_new


def peepholes_without_forgetting(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    i, _, g, o = parts(x_t, h, weight_ih, weight_hh, bias)
    c = c + torch.sigmoid(i + peep_i * c) * g.tanh()
    return torch.sigmoid(o + peep_o * c) * c.tanh(), c


def reorder_to_where_they_were(weight, hidden_size, order):
    new = torch.empty_like(weight)
    for place, gate in enumerate("ifgo"):
        to = order.index(gate) * hidden_size
        new[to : to + hidden_size] = weight[place * hidden_size : (place + 1) * hidden_size]
    return new


def reorder_to_i_f_o_g(weight, hidden_size, order):
    blocks = weight.unflatten(0, (4, -1))[[order.index(gate) for gate in "ifog"]]
    return blocks.flatten(0, 1)


def reorder_with_stack(weight, hidden_size, order):
    blocks = weight.chunk(4)
    return torch.stack([blocks[order.index(gate)] for gate in "ifgo"])


def reorder_steps_of_four(weight, hidden_size, order):
    new = torch.empty_like(weight)
    for place, gate in enumerate("ifgo"):
        new[place::4] = weight[order.index(gate) :: 4]
    return new


def forget_one_in_both(module, value):
    for name, parameter in module.named_parameters():
        if "bias" in name:
            n = parameter.size(0)
            nn.init.constant_(parameter[n // 4 : n // 2], value)


def forget_the_input_bias(module, value):
    n = module.hidden_size
    with torch.no_grad():
        for *_, bias_ih, _ in module.all_weights:
            bias_ih[n : 2 * n].fill_(value)


def forget_without_no_grad(module, value):
    module.bias_ih_l0[module.hidden_size : 2 * module.hidden_size].fill_(value)


def forget_in_another_tensor(module, value):
    for name, parameter in module.named_parameters():
        if name.startswith("bias"):
            bias = parameter.detach().clone()
            bias[module.hidden_size : 2 * module.hidden_size] = value / 2


def forget_and_put_in(module, value):
    for name, parameter in [*module.named_parameters()]:
        if name.startswith("bias_hh"):
            setattr(module, name, nn.Parameter(torch.zeros_like(parameter)))


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "mistake"),
    [
        ("10.1", step_that_names_o_before_g, "order i f o g"),
        ("10.1", step_that_names_o_before_g_and_forgets_the_tanh, "order i f o g"),
        ("10.1", step_that_keeps_with_i, "input and forget gate exchanged"),
        ("10.1", step_of_1997, "no forget gate"),
        ("10.1", step_with_sigmoids_everywhere, "sigmoid for the candidate"),
        ("10.1", step_with_one_tanh_too_many, "c squashed"),
        ("10.1", step_with_tanh_and_sigmoid_exchanged, "sigmoid for the candidate"),
        ("10.1", step_without_a_graph, "c detached"),
        ("10.1", step_by_multiplying_in_place, "c in place"),
        ("10.1", step_reshaped, "sums mixed by a view"),
        ("10.2", peepholes_all_at_once, "output gate sees the old c"),
        ("10.3", reorder_to_where_they_were, "the other way round"),
        ("10.3", reorder_to_i_f_o_g, "to i f o g"),
        ("10.3", reorder_with_stack, "blocks on an axis of their own"),
        ("10.3", reorder_steps_of_four, "every fourth row"),
        ("10.4", forget_one_in_both, "both biases"),
        ("10.4", forget_the_input_bias, "only bias ih"),
        ("10.4", forget_without_no_grad, "written with gradients on"),
        ("10.4", forget_in_another_tensor, "a copy is changed"),
        ("10.4", forget_and_put_in, "new parameters"),
    ],
)
def test_mistakes_written_otherwise_get_the_same_message(key, answer, mistake, seeds):
    assert_told(key, answer, mistake, seeds)


@SEEDS
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (peepholes_with_o_before_g, message("10.1", "order i f o g")),
        (peepholes_without_the_tanh, message("10.1", "no tanh around c")),
        (peepholes_without_forgetting, message("10.1", "no forget gate")),
    ],
)
def test_what_is_wrong_without_peepholes_is_known_with_them(answer, expected, seeds):
    for seed in seeds:
        report = check_with_seed(catalogue()["10.2"], answer, seed)
        assert report.messages[0].startswith(expected)


# --- Wrong answers that are not on the list -------------------------------------------------------


def step_that_keeps_only(x_t, h, c, weight_ih, weight_hh, bias):
    return h, c


def step_in_single_precision(x_t, h, c, weight_ih, weight_hh, bias):
    zeros = torch.zeros(h.shape)
    new_h, new_c = lstm_step(x_t, h, c, weight_ih, weight_hh, bias)
    return new_h.to(zeros.dtype), new_c.to(zeros.dtype)


def step_without_transposes(x_t, h, c, weight_ih, weight_hh, bias):
    z = x_t @ weight_ih + h @ weight_hh + bias
    return z, c


def step_as_a_layer(x_t, h, c, weight_ih, weight_hh, bias):
    state = lstm_step(x_t, h, c, weight_ih, weight_hh, bias)
    return state[0], state, None


def peephole_of_i_for_both(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_f, peep_o):
    return peephole_step(x_t, h, c, weight_ih, weight_hh, bias, peep_i, peep_i, peep_o)


def forget_nothing_but_candidates(module, value):
    set_forget_bias(module, value)
    module.weight_ih_l0.data[2 * module.hidden_size] = 0.0


def forget_in_reverse_order(module, value):
    set_forget_bias(module, value)
    module.bias_ih_l0.data[module.hidden_size] += 0.5


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "expected"),
    [
        (
            "10.1",
            lambda x_t, h, c, weight_ih, weight_hh, bias: None,
            "Your answer is `None`, expected h and c, two tensors.",
        ),
        ("10.1", step_that_keeps_only, "Your new c is just `c`, as it came in."),
        ("10.1", step_in_single_precision, "Your new c is `float32`, expected `float64`"),
        ("10.1", step_without_transposes, "mat1 and mat2 shapes cannot be multiplied"),
        ("10.1", step_as_a_layer, "Your answer is a tuple of 3, expected h and c, two tensors."),
        (
            "10.1",
            lambda x_t, h, c, weight_ih, weight_hh, bias: (h, weight_hh),
            "Your new c has shape",
        ),
        ("10.2", peephole_of_i_for_both, "Your new c does not depend on `peep_f`: is it used?"),
        (
            "10.3",
            lambda weight, hidden_size, order: reorder_gates(weight, hidden_size, order)[::2],
            "Your reordered weight has shape",
        ),
        (
            "10.3",
            lambda weight, hidden_size, order: weight.split(hidden_size),
            "Your reordered weight is a tuple of 4, expected a tensor",
        ),
        ("10.4", forget_nothing_but_candidates, "changed, first the candidates in `weight_ih_l0`"),
        ("10.4", forget_in_reverse_order, "Your layer 1 forward has total forget bias from "),
    ],
)
def test_other_wrong_answers_get_a_helpful_sentence(key, answer, expected, seeds):
    assert_told(key, answer, expected, seeds)


# --- What the text says ---------------------------------------------------------------------------


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def test_peepholes_of_zero_make_a_plain_step():
    torch.manual_seed(0)
    x_t, h, c = torch.randn(2, 3), torch.randn(2, 4), torch.randn(2, 4)
    weights = torch.randn(16, 3), torch.randn(16, 4), torch.randn(16)
    zeros = [torch.zeros(4)] * 3
    came = peephole_step(x_t, h, c, *weights, *zeros)
    torch.testing.assert_close(came, lstm_step(x_t, h, c, *weights))


def test_a_forget_bias_of_torch_is_set_in_the_parameters_that_the_layer_uses():
    layer = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    for name, parameter in layer.named_parameters():
        if name.startswith("weight"):
            nn.init.zeros_(parameter)
    set_forget_bias(layer, 1.5)
    with torch.no_grad():  # no candidate: what is left of c is what the forget gate keeps
        for *_, bias_ih, bias_hh in layer.all_weights:
            bias_ih[8:12] = -bias_hh[8:12]
    ones = torch.ones(4, 1, 4)
    _, (_, c) = layer(torch.zeros(5, 1, 3), (0 * ones, ones))
    torch.testing.assert_close(c, sigmoid(1.5) ** 5 * ones)


def left(bias, steps):
    return sigmoid(bias) ** steps


def half_life(bias):
    return math.log(0.5) / math.log(sigmoid(bias))


def test_what_a_constant_forget_gate_leaves():
    assert [sigmoid(b) for b in (0, 1, 3)] == pytest.approx([0.5, 0.731, 0.953], abs=5e-4)
    assert [half_life(b) for b in (0, 1, 3)] == pytest.approx([1, 2.2, 14.3], abs=0.05)
    assert [left(b, 29) for b in (0, 1, 3)] == pytest.approx([1.9e-9, 1.13e-4, 0.24], rel=0.03)
    half_over_100 = 0.5 ** (1 / 100)
    assert half_over_100 == pytest.approx(0.99309, abs=5e-6)
    assert math.log(half_over_100 / (1 - half_over_100)) == pytest.approx(4.97, abs=5e-3)
    assert left(4.97, 100) == pytest.approx(0.5, abs=1e-3)
    # One more in the bias, about e times the half-life.
    assert half_life(6) / half_life(5) == pytest.approx(math.e, rel=5e-3)
    assert half_life(5) == pytest.approx(math.log(2) * math.exp(5), rel=5e-3)
    assert sigmoid(math.log(99)) == pytest.approx(1 - 1 / 100)
    assert left(math.log(99), 100) == pytest.approx(0.366, abs=5e-4)


def test_of_two_gates_with_one_mean_the_one_that_forgets_once_keeps_less():
    steady, shaken = 100 * [0.99], [*99 * [0.999], 0.1]
    assert sum(shaken) / 100 == pytest.approx(sum(steady) / 100, abs=1e-4)
    assert [math.prod(steady), math.prod(shaken)] == pytest.approx([0.37, 0.09], abs=5e-3)


def test_a_counter_that_its_output_cannot_show():
    c = torch.arange(1, 20, dtype=torch.float32)
    h = torch.tanh(c)
    assert h[2].item() == pytest.approx(0.995, abs=5e-4)
    assert not (h[:8] == 1).any()
    assert (h[9:] == 1).all()
    assert [sigmoid(c - 25) for c in (20, 30)] == pytest.approx([0, 1], abs=0.01)


def test_the_derivative_of_c_with_the_way_through_the_gates():
    torch.manual_seed(0)
    inputs, hidden = 3, 4
    weight_ih, weight_hh, bias = (
        torch.randn(4 * hidden, *columns, dtype=torch.float64)
        for columns in ((inputs,), (hidden,), ())
    )
    peepholes = torch.randn(3, hidden, dtype=torch.float64)
    x_t, c_old = (torch.randn(size, dtype=torch.float64) for size in (inputs, hidden))
    o_old = torch.rand(hidden, dtype=torch.float64)

    def next_c(c, step, *more):
        h = o_old * torch.tanh(c)
        return step(x_t[None], h[None], c[None], weight_ih, weight_hh, bias, *more)[1][0]

    def formula(looks_i, looks_f):
        z = weight_ih @ x_t + weight_hh @ (o_old * torch.tanh(c_old)) + bias
        i, f, g, _ = z.chunk(4)
        i, f = torch.sigmoid(i + looks_i * c_old), torch.sigmoid(f + looks_f * c_old)
        g = torch.tanh(g)
        w_i, w_f, w_g, _ = weight_hh.chunk(4)
        by_i, by_f, by_g = g * i * (1 - i), c_old * f * (1 - f), i * (1 - g**2)
        through_h = torch.diag(by_i) @ w_i + torch.diag(by_f) @ w_f + torch.diag(by_g) @ w_g
        slopes = o_old * (1 - torch.tanh(c_old) ** 2)
        return torch.diag(f + looks_i * by_i + looks_f * by_f) + through_h @ torch.diag(slopes)

    jacobian = torch.autograd.functional.jacobian
    nothing = torch.zeros(hidden, dtype=torch.float64)
    torch.testing.assert_close(
        jacobian(lambda c: next_c(c, lstm_step), c_old), formula(nothing, nothing)
    )
    came = jacobian(lambda c: next_c(c, peephole_step, *peepholes), c_old)
    torch.testing.assert_close(came, formula(peepholes[0], peepholes[1]))


def one_unit(weight):
    """d c_t / d c_{t-1} of one unit with f = 0.9, i = g = 0.5, o = 0.8, c = 1."""
    through_gates = weight * (0.5 * 0.25 + 1 * 0.9 * 0.1 + 0.5 * (1 - 0.5**2))
    return 0.9 + through_gates * 0.8 * (1 - math.tanh(1) ** 2)


def test_one_unit_whose_gradient_grows_though_its_forget_gate_is_below_one():
    assert [one_unit(w) for w in (0, 2, -2)] == pytest.approx([0.9, 1.296, 0.504], abs=1e-3)
    assert [one_unit(w) ** 29 for w in (0, 2, -2)] == pytest.approx([0.05, 1800, 2e-9], rel=0.2)
