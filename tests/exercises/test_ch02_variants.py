"""Chapter 2: answers written otherwise than in the list get what their values deserve."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from variants import SEEDS, assert_passes, assert_told, message

from unrolled.exercises import catalogue, check_with_seed

# --- Right answers --------------------------------------------------------------------------------


def step_with_linear(x_t, h, weight_ih, weight_hh, bias):
    return (F.linear(x_t, weight_ih, bias) + F.linear(h, weight_hh)).tanh()


def step_with_einsum(x_t, h, weight_ih, weight_hh, bias):
    s = torch.einsum("bi,hi->bh", x_t, weight_ih) + torch.einsum("bk,hk->bh", h, weight_hh)
    return torch.tanh(s + bias)


def step_in_place_on_its_own(x_t, h, weight_ih, weight_hh, bias):
    s = bias.expand(len(x_t), -1).clone()
    s += x_t @ weight_ih.T
    s += h @ weight_hh.T
    return s.tanh_()


def step_joined(x_t, h, weight_ih, weight_hh, bias):
    return torch.tanh(torch.cat([x_t, h], 1) @ torch.cat([weight_ih, weight_hh], 1).T + bias)


def step_by_exponentials(x_t, h, weight_ih, weight_hh, bias):
    e = torch.exp(2 * (x_t @ weight_ih.T + h @ weight_hh.T + bias))
    return (e - 1) / (e + 1)


def rnn_into_a_tensor(x, h0, weight_ih, weight_hh, bias):
    outputs = x.new_zeros(x.shape[0], x.shape[1], h0.shape[1])
    h = h0
    for t in range(x.shape[1]):
        h = step_with_linear(x[:, t], h, weight_ih, weight_hh, bias)
        outputs[:, t] = h
    return outputs, h


def rnn_time_first(x, h0, weight_ih, weight_hh, bias):
    h, states = h0, []
    for x_t in x.transpose(0, 1):
        h = step_with_linear(x_t, h, weight_ih, weight_hh, bias)
        states += [h]
    return torch.stack(states).transpose(0, 1), states[-1]


def rnn_of_torch(x, h0, weight_ih, weight_hh, bias):
    params = (weight_ih, weight_hh, bias, torch.zeros_like(bias))
    outputs, h = torch.rnn_tanh(x, h0[None], params, True, 1, 0.0, False, False, True)
    return outputs, h[0]


def joined_by_hstack(weight_ih, weight_hh):
    return torch.hstack((weight_ih, weight_hh))


def joined_into_a_tensor(weight_ih, weight_hh):
    hidden, inputs = weight_ih.shape
    w = weight_ih.new_zeros(hidden, inputs + hidden)
    w[:, :inputs] = weight_ih
    w[:, inputs:] = weight_hh
    return w


def count_by_making_them(input_size, hidden_size, output_size):
    shapes = [(hidden_size, input_size), (hidden_size, hidden_size), (hidden_size,)]
    shapes += [(output_size, hidden_size), (output_size,)]
    return sum(torch.empty(shape).numel() for shape in shapes)


def count_factored(input_size, hidden_size, output_size):
    return hidden_size * (input_size + hidden_size + 1 + output_size) + output_size


class RepairedUniform(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(hidden_size))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def forward(self, x_t, h):
        return step_with_linear(x_t, h, self.weight_ih, self.weight_hh, self.bias)


class RepairedOrthogonal(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.weight_ih = nn.Parameter(nn.init.xavier_uniform_(torch.empty(hidden_size, input_size)))
        self.weight_hh = nn.Parameter(nn.init.orthogonal_(torch.empty(hidden_size, hidden_size)))
        self.bias = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, x_t, h):
        return step_with_einsum(x_t, h, self.weight_ih, self.weight_hh, self.bias)


class RepairedSmall(RepairedUniform):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.01)


def last_by_gather(outputs, lengths):
    index = (lengths - 1)[:, None, None].expand(-1, 1, outputs.shape[2])
    return outputs.gather(1, index).squeeze(1)


def last_by_loop(outputs, lengths):
    return torch.stack([row[int(n) - 1] for row, n in zip(outputs, lengths, strict=True)])


def last_by_mask(outputs, lengths):
    mask = torch.arange(1, outputs.shape[1] + 1) == lengths[:, None]
    return (outputs * mask[:, :, None]).sum(1)


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("02.1", step_with_linear),
        ("02.1", step_with_einsum),
        ("02.1", step_in_place_on_its_own),
        ("02.1", step_joined),
        ("02.1", step_by_exponentials),
        ("02.2", rnn_into_a_tensor),
        ("02.2", rnn_time_first),
        ("02.2", rnn_of_torch),
        ("02.3", joined_by_hstack),
        ("02.3", joined_into_a_tensor),
        ("02.4", count_by_making_them),
        ("02.4", count_factored),
        ("02.5", RepairedUniform),
        ("02.5", RepairedOrthogonal),
        ("02.5", RepairedSmall),
        ("02.6", last_by_gather),
        ("02.6", last_by_loop),
        ("02.6", last_by_mask),
    ],
)
def test_right_answers_written_otherwise_pass(key, answer, seeds):
    assert_passes(key, answer, seeds)


# --- Wrong answers that are on the list, written otherwise -------------------------------------


def step_forgets(x_t, h, weight_ih, weight_hh, bias):
    return torch.tanh(F.linear(x_t, weight_ih, bias) + F.linear(torch.zeros_like(h), weight_hh))


def step_sigmoid(x_t, h, weight_ih, weight_hh, bias):
    return 1 / (1 + torch.exp(-(F.linear(x_t, weight_ih, bias) + F.linear(h, weight_hh))))


def step_not_transposed(x_t, h, weight_ih, weight_hh, bias):
    s = bias + torch.matmul(h, weight_hh)
    return torch.tanh(s + torch.matmul(x_t, weight_ih))


def step_linear_only(x_t, h, weight_ih, weight_hh, bias):
    return F.linear(torch.cat([x_t, h], 1), torch.cat([weight_ih, weight_hh], 1), bias)


def step_changes_h(x_t, h, weight_ih, weight_hh, bias):
    s = x_t @ weight_ih.T + h @ weight_hh.T + bias
    h.copy_(s.tanh())
    return h


def rnn_over_batch(x, h0, weight_ih, weight_hh, bias):
    h, states = h0, []
    for index in range(x.shape[0]):
        h = torch.tanh(h @ weight_hh.T + bias + x[index] @ weight_ih.T)
        states.append(h)
    return torch.stack(states, dim=1), h


def rnn_without_memory(x, h0, weight_ih, weight_hh, bias):
    outputs = torch.tanh(x @ weight_ih.T + (h0 @ weight_hh.T)[:, None] + bias)
    return outputs, outputs[:, -1]


def rnn_detached_by_data(x, h0, weight_ih, weight_hh, bias):
    h, states = h0, []
    for x_t in x.unbind(1):
        h = step_with_linear(x_t, h.clone().data, weight_ih, weight_hh, bias)
        states.append(h)
    return torch.stack(states, 1), states[-1]


def rnn_time_first_out(x, h0, weight_ih, weight_hh, bias):
    outputs, h = rnn_into_a_tensor(x, h0, weight_ih, weight_hh, bias)
    return outputs.permute(1, 0, 2), h


def rnn_from_the_end(x, h0, weight_ih, weight_hh, bias):
    h, states = h0, []
    for t in reversed(range(x.shape[1])):
        h = step_with_linear(x[:, t], h, weight_ih, weight_hh, bias)
        states.append(h)
    return torch.stack(states, 1), h


def joined_exchanged(weight_ih, weight_hh):
    return torch.hstack((weight_hh, weight_ih))


def joined_below(weight_ih, weight_hh):
    return torch.cat((weight_ih, weight_hh))


def joined_transposed(weight_ih, weight_hh):
    return torch.vstack((weight_ih.T, weight_hh.T))


def count_with_torch(input_size, hidden_size, output_size):
    modules = nn.RNNCell(input_size, hidden_size), nn.Linear(hidden_size, output_size)
    return sum(p.numel() for module in modules for p in module.parameters())


def count_cell_only(input_size, hidden_size, output_size):
    shapes = [(hidden_size, input_size), (hidden_size, hidden_size), (hidden_size, 1)]
    return sum(a * b for a, b in shapes)


def plain_cell(scale):
    class PopularCell(nn.Module):
        def __init__(self, input_size, hidden_size):
            super().__init__()
            self.weight_ih = torch.randn(hidden_size, input_size) * scale
            self.weight_hh = torch.randn(hidden_size, hidden_size) * scale
            self.bias = torch.zeros(hidden_size)

        def forward(self, x_t, h):
            return torch.tanh(
                F.linear(x_t, self.weight_ih) + F.linear(h, self.weight_hh) + self.bias
            )

    return PopularCell


class UniformZeroToOne(RepairedUniform):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.weight_ih = nn.Parameter(torch.rand(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.rand(hidden_size, hidden_size))


class Detached(RepairedUniform):
    def forward(self, x_t, h):
        weights = (p.detach() for p in (self.weight_ih, self.weight_hh, self.bias))
        return step_with_linear(x_t, h, *weights)


class InPlainTuple(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.weights = [
            nn.Parameter(torch.randn(hidden_size, size)) for size in (input_size, hidden_size, 1)
        ]

    def forward(self, x_t, h):
        return step_with_linear(x_t, h, *self.weights)


def last_minus_one(outputs, lengths):
    return outputs.select(1, outputs.shape[1] - 1)


def last_too_far(outputs, lengths):
    padded = torch.cat([outputs, outputs[:, -1:]], 1)
    return padded[torch.arange(len(lengths)), lengths]


def last_pairs(outputs, lengths):
    return torch.index_select(outputs, 1, lengths - 1)


def last_not_zero(outputs, lengths):
    rows = [row[row.abs().sum(1) > 0][-1] for row in outputs]
    return torch.stack(rows)


P = nn.Parameter


def drawn(draw):
    class Drawn(RepairedUniform):
        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            del self.weight_ih, self.weight_hh
            self.weight_ih = draw(hidden_size, input_size)
            self.weight_hh = draw(hidden_size, hidden_size)

    return Drawn


class LocalNames(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        weight_ih = P(torch.randn(hidden_size, input_size))  # noqa: F841

    def forward(self, x_t, h):
        return h


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "mistake"),
    [
        ("02.1", step_forgets, "forgot the state"),
        ("02.1", step_sigmoid, "sigmoid for tanh"),
        ("02.1", step_not_transposed, "weights not transposed"),
        ("02.1", step_linear_only, "forgot the tanh"),
        ("02.1", step_changes_h, "changes h in place"),
        ("02.2", rnn_over_batch, "loops over the batch"),
        ("02.2", rnn_without_memory, "starts from h0 at each step"),
        ("02.2", rnn_detached_by_data, "detaches at each step"),
        ("02.2", rnn_time_first_out, "stacks along the first axis"),
        ("02.2", rnn_from_the_end, "runs backwards"),
        ("02.3", joined_exchanged, "order exchanged"),
        ("02.3", joined_below, "joined along the wrong axis"),
        ("02.3", joined_transposed, "transposed"),
        ("02.4", count_with_torch, "two biases"),
        ("02.4", count_cell_only, "readout forgotten"),
        ("02.5", plain_cell(1.0), "plain tensors"),
        ("02.5", plain_cell(0.1), "plain tensors"),
        ("02.5", UniformZeroToOne, "all positive"),
        (
            "02.5",
            drawn(lambda *shape: P(torch.rand(*shape)) / shape[0] ** 0.5),
            "scaled parameters",
        ),
        ("02.5", drawn(lambda *shape: P(torch.rand(*shape) / shape[0] ** 0.5)), "all positive"),
        ("02.5", drawn(lambda *shape: P(torch.randn(*shape)) * 0.1), "scaled parameters"),
        ("02.5", drawn(lambda *shape: P(torch.rand(*shape) * 2 - 1)), "unscaled randn"),
        ("02.5", drawn(lambda *shape: P(torch.randint(-1, 2, shape).float())), "unscaled randn"),
        ("02.5", LocalNames, "made in forward"),
        ("02.5", Detached, "data in forward"),
        ("02.5", InPlainTuple, "plain list"),
        ("02.6", last_minus_one, "last step of all"),
        ("02.6", last_too_far, "one step too far"),
        ("02.6", last_pairs, "all sequences at all lengths"),
        ("02.6", last_not_zero, "last row that is not zero"),
    ],
)
def test_mistakes_written_otherwise_get_the_same_message(key, answer, mistake, seeds):
    assert_told(key, answer, mistake, seeds)


# --- Wrong answers that are not on the list -------------------------------------------------------


class OtherNames(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.W = nn.Parameter(torch.zeros(hidden_size, input_size))

    def forward(self, x_t, h):
        return h


class Exchanged(RepairedUniform):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.weight_ih = nn.Parameter(self.weight_ih.detach().T.contiguous())


class BiasForgottenInForward(RepairedUniform):
    def forward(self, x_t, h):
        return torch.tanh(F.linear(x_t, self.weight_ih) + F.linear(h, self.weight_hh))


class OutputAndState(RepairedUniform):
    def forward(self, x_t, h):
        h = super().forward(x_t, h)
        return h, h


class OnlyTheBiasIsPlain(RepairedUniform):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        del self.bias
        self.bias = torch.zeros(hidden_size)


class HiddenWeightDetached(RepairedUniform):
    def forward(self, x_t, h):
        return step_with_linear(x_t, h, self.weight_ih, self.weight_hh.detach(), self.bias)


class WithoutSuper(RepairedUniform):
    def __init__(self, input_size, hidden_size):
        self.weight_ih = nn.Parameter(torch.zeros(hidden_size, input_size))


def rnn_detached_once(x, h0, weight_ih, weight_hh, bias):
    h, states = h0, []
    for t, x_t in enumerate(x.unbind(1)):
        h = step_with_linear(x_t, h.detach() if t == 1 else h, weight_ih, weight_hh, bias)
        states.append(h)
    return torch.stack(states, 1), h


def rnn_state_with_an_axis(x, h0, weight_ih, weight_hh, bias):
    outputs, h = rnn_into_a_tensor(x, h0, weight_ih, weight_hh, bias)
    return outputs, h[None]


def rnn_ignores_h0(x, h0, weight_ih, weight_hh, bias):
    return rnn_into_a_tensor(x, torch.zeros_like(h0), weight_ih, weight_hh, bias)


def rnn_returns_in_the_loop(x, h0, weight_ih, weight_hh, bias):
    for x_t in x.unbind(1):
        h = step_with_linear(x_t, h0, weight_ih, weight_hh, bias)
        return torch.stack([h], 1), h
    return None


def rnn_list_of_states(x, h0, weight_ih, weight_hh, bias):
    outputs, h = rnn_into_a_tensor(x, h0, weight_ih, weight_hh, bias)
    return list(outputs.unbind(1)), h


class KeepsItsState(RepairedUniform):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.h = torch.zeros(1, hidden_size)

    def forward(self, x_t, h):
        self.h = super().forward(x_t, self.h)
        return self.h


class Unfilled(RepairedUniform):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.weight_ih.data.fill_(float("nan"))


class AllAlike(RepairedUniform):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        nn.init.constant_(self.weight_hh, 0.1)


class HiddenNotTransposed(RepairedUniform):
    def forward(self, x_t, h):
        return step_with_linear(x_t, h, self.weight_ih, self.weight_hh.T, self.bias)


class LargeBias(RepairedUniform):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        nn.init.constant_(self.bias, 10.0)


class TwoBiases(RepairedUniform):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.bias_hh = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, x_t, h):
        return step_with_linear(x_t, h, self.weight_ih, self.weight_hh, self.bias + self.bias_hh)


class IgnoresTheState(RepairedUniform):
    def forward(self, x_t, h):
        return super().forward(x_t, torch.zeros_like(h))


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "expected"),
    [
        ("02.2", rnn_detached_once, "the gradient stops at step 2: is there a detach?"),
        ("02.2", rnn_state_with_an_axis, "there is an axis of size 1 too many"),
        ("02.2", rnn_ignores_h0, "not depend on `h0`: is it used?"),
        ("02.2", rnn_returns_in_the_loop, "the time axis has size 1 rather than"),
        ("02.2", rnn_list_of_states, "`torch.stack` or `torch.cat` makes one tensor"),
        ("02.3", lambda weight_ih, weight_hh: (weight_ih, weight_hh), "is a tuple of 2"),
        ("02.3", lambda weight_ih, weight_hh: weight_ih, "shape"),
        ("02.4", lambda i, h, o: float(h * (i + h + 1) + o * (h + 1)), "expected a whole number"),
        ("02.4", lambda i, h, o: i + h + o, "Your number of parameters is"),
        ("02.5", OtherNames, "missing (your parameters are called `W`)"),
        ("02.5", Exchanged, "Your `weight_ih` has shape ("),
        ("02.5", BiasForgottenInForward, "Both products are there, but the bias is missing"),
        ("02.5", HiddenNotTransposed, message("02.1", "weight hh not transposed")),
        ("02.5", LargeBias, "at -1 or 1 in many units, driven there by bias"),
        ("02.5", TwoBiases, "list of further parameters is `bias_hh`, expected empty"),
        ("02.5", OutputAndState, "new state is a tuple of 2, expected a tensor"),
        ("02.5", OnlyTheBiasIsPlain, "Your bias is a plain tensor, expected a registered"),
        ("02.5", HiddenWeightDetached, "`weight_hh` after a step of training is unchanged"),
        ("02.5", KeepsItsState, "answer at a second call is another one"),
        ("02.5", Unfilled, "new `weight_ih` is not filled with numbers"),
        ("02.5", AllAlike, "new `weight_hh` is 0.1 everywhere, so that all units begin alike"),
        ("02.5", IgnoresTheState, "Your new state does not depend on the old one"),
        ("02.5", WithoutSuper, "before Module.__init__() call"),
        (
            "02.6",
            lambda outputs, lengths: outputs.sum(1),
            "the sum of `outputs` over the time axis",
        ),
        ("02.6", lambda outputs, lengths: outputs.amax(1), "the maximum of `outputs` over the"),
        ("02.6", lambda outputs, lengths: outputs[:, lengths], "an axis of size"),
        ("02.3", lambda weight_ih, weight_hh: torch.cat([weight_ih, weight_hh.T], 1), "places"),
        ("02.4", lambda i, h, o: [h * (i + h + 1), o * (h + 1)], "`sum` adds up what is in it"),
        (
            "02.6",
            lambda outputs, lengths: outputs[:, 0],
            "you take step 1 of `outputs` rather than",
        ),
        ("02.6", lambda outputs, lengths: outputs, "it still has a time axis"),
        ("02.6", lambda outputs, lengths: outputs[0], "shape"),
    ],
)
def test_other_wrong_answers_get_a_helpful_sentence(key, answer, expected, seeds):
    assert_told(key, answer, expected, seeds)


@SEEDS
@pytest.mark.parametrize("dim", [0, 1])
def test_a_stack_of_matrices_is_never_called_right(dim, seeds):
    def stacked(weight_ih, weight_hh):
        return torch.stack([weight_ih, weight_hh], dim)

    for seed in seeds:
        report = check_with_seed(catalogue()["02.3"], stacked, seed)
        assert "`torch.stack` makes a new axis" in report.messages[1]
        assert not any("is right" in text for text in report.messages)
