"""Chapter 3: answers written otherwise than in the list get what their values deserve."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from variants import SEEDS, assert_passes, assert_told, message

from unrolled.exercises import catalogue, check_with_seed

# --- Right answers --------------------------------------------------------------------------------


def shift_cloned(tokens):
    return tokens[:, :-1].clone(), tokens[:, 1:].clone()


def shift_rolled_and_cut(tokens):
    return tokens[:, :-1], tokens.roll(-1, dims=1)[:, :-1]


def shift_narrowed(tokens):
    time = tokens.shape[1] - 1
    return tokens.narrow(1, 0, time), tokens.narrow(1, 1, time)


def shift_by_steps(tokens):
    steps = tokens.unbind(1)
    return torch.stack(steps[:-1], 1), torch.stack(steps[1:], 1)


def rnn(x, h, weight_ih, weight_hh, bias):
    states = []
    for t in range(x.shape[1]):
        h = torch.tanh(F.linear(x[:, t], weight_ih, bias) + F.linear(h, weight_hh))
        states.append(h)
    return torch.stack(states, 1), h


def reading_by_split(x, h0, weight_ih, weight_hh, bias, window):
    found, h = [], None
    for part in x.split(window, dim=1):
        start = h0 if h is None else h.detach()
        outputs, h = rnn(part, start, weight_ih, weight_hh, bias)
        found.append(outputs)
    return torch.cat(found, 1), h


def reading_by_slices(x, h0, weight_ih, weight_hh, bias, window):
    found, h = [], h0
    for start in range(0, x.shape[1], window):
        h = h.data if start else h
        outputs, h = rnn(x[:, start : start + window], h, weight_ih, weight_hh, bias)
        found += [outputs]
    return torch.cat(found, dim=1), found[-1][:, -1]


def reading_of_torch(x, h0, weight_ih, weight_hh, bias, window):
    found, h = [], h0[None]
    params = (weight_ih, weight_hh, bias, torch.zeros_like(bias))
    for number, part in enumerate(x.split(window, 1)):
        h = h.detach() if number else h
        outputs, h = torch.rnn_tanh(part, h, params, True, 1, 0.0, False, False, True)
        found.append(outputs)
    return torch.cat(found, 1), h[0]


def reading_with_new_leaves(x, h0, weight_ih, weight_hh, bias, window):
    h, states = h0, []
    for t in range(x.shape[1]):
        if t and not t % window:
            h = h.clone().detach().requires_grad_()
        h = torch.tanh(x[:, t] @ weight_ih.T + h @ weight_hh.T + bias)
        states.append(h)
    return torch.stack(states, 1), states[-1]


def reading_into_a_tensor(x, h0, weight_ih, weight_hh, bias, window):
    outputs, h = x.new_zeros(*x.shape[:2], h0.shape[1]), h0
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ weight_ih.T + h @ weight_hh.T + bias)
        outputs[:, t] = h
        if (t + 1) % window == 0 and t + 1 < x.shape[1]:
            h = h.detach()
    return outputs, h


def clip_as_one_vector(gradients, max_norm):
    norm = torch.cat([g.reshape(-1) for g in gradients]).norm()
    return [g * max_norm / norm if norm > max_norm else g.clone() for g in gradients]


def clip_of_torch(gradients, max_norm):
    parameters = [nn.Parameter(g.clone()) for g in gradients]
    for parameter, g in zip(parameters, gradients, strict=True):
        parameter.grad = g.clone()
    nn.utils.clip_grad_norm_(parameters, max_norm)
    return [parameter.grad for parameter in parameters]


def clip_that_returns_what_is_short(gradients, max_norm):
    norm = math.sqrt(sum((g**2).sum().item() for g in gradients))
    if norm <= max_norm:
        return gradients
    return [g * (max_norm / norm) for g in gradients]


def clip_by_the_norm_of_norms(gradients, max_norm):
    norms = torch.stack([torch.linalg.vector_norm(g) for g in gradients])
    scale = torch.clamp(max_norm / (norms.norm() + 1e-6), max=1.0)
    return tuple(g * scale for g in gradients)


def clip_by_division(gradients, max_norm):
    norm = sum(torch.sum(g * g) for g in gradients) ** 0.5
    return [g / max(1, norm / max_norm) for g in gradients]


def sampling_masked(logits, temperature, top_k):
    scaled = logits / temperature
    smallest = scaled.topk(top_k).values[:, -1:]
    return scaled.masked_fill(scaled < smallest, -math.inf).softmax(-1)


def sampling_renormalised(logits, temperature, top_k):
    kept, places = torch.softmax(logits / temperature, 1).topk(top_k, 1)
    p = torch.zeros_like(logits)
    p.scatter_(1, places, kept)
    return p / p.sum(1, keepdim=True)


def sampling_by_loop(logits, temperature, top_k):
    rows = []
    for scores in logits:
        best = scores.argsort(descending=True)[:top_k]
        p = torch.zeros_like(scores)
        p[best] = F.softmax(scores[best] / temperature, dim=0)
        rows.append(p)
    return torch.stack(rows)


def sampling_with_a_large_number(logits, temperature, top_k):
    scores = logits.clone()
    scores[scores < torch.sort(scores, dim=1).values[:, -top_k, None]] = -1e9
    return torch.softmax(scores / temperature, dim=1)


def sampling_by_ranks(logits, temperature, top_k):
    rank = logits.argsort(1, descending=True).argsort(1)
    return F.softmax(torch.where(rank < top_k, logits / temperature, -torch.inf), dim=1)


def sampling_by_hand(logits, temperature, top_k):
    kept, places = logits.topk(top_k)
    scores = torch.full_like(logits, float("-inf")).scatter(1, places, kept / temperature)
    e = (scores - scores.amax(1, keepdim=True)).exp()
    return e / e.sum(1, keepdim=True)


def bits_by_dot(losses, counts):
    return losses @ counts.float() / counts.sum() / math.log(2)


def bits_by_shares(losses, counts):
    return (losses * counts / counts.sum()).sum() * math.log2(math.e)


def bits_by_loop(losses, counts):
    bits = letters = 0
    for loss, count in zip(losses, counts, strict=True):
        bits = bits + loss / math.log(2) * count
        letters += count
    return bits / letters


def bits_from_perplexity(losses, counts):
    return torch.log2(torch.exp((losses * counts).sum() / counts.sum()))


def bits_of_every_letter(losses, counts):
    return losses.repeat_interleave(counts).mean() / 0.6931


def bits_by_numpy(losses, counts):
    return torch.tensor(np.average(losses, weights=counts) / np.log(2))


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("03.1", shift_cloned),
        ("03.1", shift_rolled_and_cut),
        ("03.1", shift_narrowed),
        ("03.1", shift_by_steps),
        ("03.2", reading_by_split),
        ("03.2", reading_by_slices),
        ("03.2", reading_of_torch),
        ("03.2", reading_with_new_leaves),
        ("03.2", reading_into_a_tensor),
        ("03.3", clip_as_one_vector),
        ("03.3", clip_of_torch),
        ("03.3", clip_that_returns_what_is_short),
        ("03.3", clip_by_the_norm_of_norms),
        ("03.3", clip_by_division),
        ("03.4", sampling_masked),
        ("03.4", sampling_renormalised),
        ("03.4", sampling_by_loop),
        ("03.4", sampling_with_a_large_number),
        ("03.4", sampling_by_ranks),
        ("03.4", sampling_by_hand),
        ("03.5", bits_by_dot),
        ("03.5", bits_by_shares),
        ("03.5", bits_by_loop),
        ("03.5", bits_from_perplexity),
        ("03.5", bits_of_every_letter),
        ("03.5", bits_by_numpy),
    ],
)
def test_right_answers_written_otherwise_pass(key, answer, seeds):
    assert_passes(key, answer, seeds)


# --- Wrong answers that are on the list, written otherwise ----------------------------------------


def shift_by_rolling_all(tokens):
    return tokens, tokens.roll(-1, 1)


def shift_to_the_past(tokens):
    return tokens.narrow(1, 1, tokens.shape[1] - 1), tokens.narrow(1, 0, tokens.shape[1] - 1)


def reading_whose_detach_is_lost(x, h0, weight_ih, weight_hh, bias, window):
    found, h = [], h0
    for part in x.split(window, 1):
        h.detach()
        outputs, h = rnn(part, h, weight_ih, weight_hh, bias)
        found.append(outputs)
    return torch.cat(found, 1), h


def reading_that_begins_anew(x, h0, weight_ih, weight_hh, bias, window):
    found = []
    for part in x.split(window, 1):
        outputs, h = rnn(part, torch.zeros_like(h0), weight_ih, weight_hh, bias)
        found.append(outputs)
    return torch.cat(found, 1), h


def reading_that_detaches_after_each_window(x, h0, weight_ih, weight_hh, bias, window):
    found, h = [], h0
    for part in x.split(window, 1):
        outputs, h = rnn(part, h, weight_ih, weight_hh, bias)
        h = h.detach()
        found.append(outputs)
    return torch.cat(found, 1), h


def reading_that_detaches_all(x, h0, weight_ih, weight_hh, bias, window):
    found, h = [], h0
    for part in x.split(window, 1):
        outputs, h = rnn(part, h.detach(), weight_ih, weight_hh, bias)
        found.append(outputs)
    return torch.cat(found, 1), h


def reading_of_whole_windows(x, h0, weight_ih, weight_hh, bias, window):
    found, h = [], h0
    for number in range(x.shape[1] // window):
        part = x[:, number * window : (number + 1) * window]
        outputs, h = rnn(part, h.detach() if number else h, weight_ih, weight_hh, bias)
        found.append(outputs)
    return torch.cat(found, 1), h


def reading_by_chunk(x, h0, weight_ih, weight_hh, bias, window):
    found, h = [], None
    for part in x.chunk(window, 1):
        start = h0 if h is None else h.detach()
        outputs, h = rnn(part, start, weight_ih, weight_hh, bias)
        found.append(outputs)
    return torch.cat(found, 1), h


def clip_one_by_one(gradients, max_norm):
    return [g * min(1, max_norm / (g.norm() + 1e-8)) for g in gradients]


def clip_to_the_limit_always(gradients, max_norm):
    norm = torch.stack([g.norm() for g in gradients]).norm()
    return [g / norm * max_norm for g in gradients]


def clip_by_sums_of_norms(gradients, max_norm):
    norm = torch.stack([g.norm() for g in gradients]).sum()
    return [g * max_norm / norm if norm > max_norm else g for g in gradients]


def clip_in_place(gradients, max_norm):
    norm = torch.stack([g.norm() for g in gradients]).norm()
    if norm > max_norm:
        for g in gradients:
            g.mul_(max_norm / norm)
    return gradients


def sampling_hotter(logits, temperature, top_k):
    return sampling_masked(logits, 1 / temperature, top_k)


def sampling_over_texts(logits, temperature, top_k):
    scaled = logits / temperature
    smallest = scaled.topk(top_k).values[:, -1:]
    return F.softmax(scaled.masked_fill(scaled < smallest, -torch.inf), 0)


def sampling_that_loses_some(logits, temperature, top_k):
    kept, places = torch.softmax(logits / temperature, 1).topk(top_k, 1)
    return torch.zeros_like(logits).scatter(1, places, kept)


def sampling_with_zeros(logits, temperature, top_k):
    scaled = logits / temperature
    keep = scaled >= scaled.topk(top_k).values[:, -1:]
    return F.softmax(scaled * keep, dim=1)


def sampling_in_place(logits, temperature, top_k):
    logits.div_(temperature)
    logits[logits < logits.topk(top_k).values[:, -1:]] = -torch.inf
    return logits.softmax(1)


def bits_of_equal_windows(losses, counts):
    return torch.log2(torch.exp(losses.mean()))


def bits_the_wrong_way(losses, counts):
    return (losses * counts).sum() / counts.sum() / math.log2(math.e)


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "mistake"),
    [
        ("03.1", shift_by_rolling_all, "targets rolled"),
        ("03.1", shift_to_the_past, "exchanged"),
        ("03.2", reading_whose_detach_is_lost, "no detach"),
        ("03.2", reading_that_begins_anew, "zeros at the start of each window"),
        ("03.2", reading_that_detaches_after_each_window, "final state detached"),
        ("03.2", reading_that_detaches_all, "h0 detached"),
        ("03.2", reading_of_whole_windows, "the last short window dropped"),
        ("03.2", reading_by_chunk, "as many windows as a window has steps"),
        ("03.3", clip_one_by_one, "each tensor by itself"),
        ("03.3", clip_to_the_limit_always, "always scaled"),
        ("03.3", clip_by_sums_of_norms, "sum of the norms"),
        ("03.3", clip_in_place, "in place"),
        ("03.4", sampling_hotter, "multiplied by the temperature"),
        ("03.4", sampling_over_texts, "softmax over the batch"),
        ("03.4", sampling_that_loses_some, "top k not renormalised"),
        ("03.4", sampling_with_zeros, "masked with zero"),
        ("03.4", sampling_in_place, "logits changed"),
        ("03.5", bits_of_equal_windows, "mean of the means"),
        ("03.5", bits_the_wrong_way, "multiplied by the logarithm of two"),
    ],
)
def test_mistakes_written_otherwise_get_the_same_message(key, answer, mistake, seeds):
    assert_told(key, answer, mistake, seeds)


def without_its_tanh(x, h0, weight_ih, weight_hh, bias, window):
    h, states = h0, []
    for t, x_t in enumerate(x.unbind(1)):
        h = h.detach() if t and t % window == 0 else h
        h = x_t @ weight_ih.T + h @ weight_hh.T + bias
        states.append(h)
    return torch.stack(states, 1), h


def over_the_batch(x, h0, weight_ih, weight_hh, bias, window):
    h, states = h0, []
    for x_t in x:
        h = torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + bias)
        states.append(h)
    return torch.stack(states, 1), h


@SEEDS
@pytest.mark.parametrize(
    ("answer", "earlier", "mistake"),
    [
        (without_its_tanh, "02.1", "forgot the tanh"),
        (over_the_batch, "02.2", "loops over the batch"),
    ],
)
def test_mistakes_of_chapter_2_are_recognised_in_windows(answer, earlier, mistake, seeds):
    for seed in seeds:
        report = check_with_seed(catalogue()["03.2"], answer, seed)
        assert report.messages[0] == message(earlier, mistake)


# --- Wrong answers that are not on the list -------------------------------------------------------


def reading_with_one_detached_weight(x, h0, weight_ih, weight_hh, bias, window):
    return reading_by_split(x, h0, weight_ih, weight_hh.detach(), bias, window)


def reading_that_only_learns_at_first(x, h0, weight_ih, weight_hh, bias, window):
    outputs, h = rnn(x[:, :window], h0, weight_ih, weight_hh, bias)
    if x.shape[1] <= window:
        return outputs, h
    with torch.no_grad():
        more, h = rnn(x[:, window:], h, weight_ih, weight_hh, bias)
    return torch.cat([outputs, more], 1), h


def reading_in_a_list(x, h0, weight_ih, weight_hh, bias, window):
    outputs, h = reading_by_split(x, h0, weight_ih, weight_hh, bias, window)
    return list(outputs.unbind(1)), h


def reading_in_other_order(x, h0, weight_ih, weight_hh, bias, window):
    return reading_by_split(x, h0, weight_ih, weight_hh, bias, window)[::-1]


def sampling_into_float32(logits, temperature, top_k):
    return sampling_masked(logits, temperature, top_k).float()


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "expected"),
    [
        ("03.1", lambda tokens: tokens[:, :-1], "expected a tuple of 2: inputs and targets"),
        (
            "03.1",
            lambda tokens: [part.tolist() for part in shift_cloned(tokens)],
            "expected a tuple of 2: inputs and targets",
        ),
        (
            "03.1",
            lambda tokens: tuple(part.float() for part in shift_cloned(tokens)),
            "are `float32`, expected `int64`",
        ),
        ("03.2", reading_with_one_detached_weight, "no gradient reaches `weight_hh`"),
        ("03.2", reading_that_only_learns_at_first, "back through your final state: look for"),
        ("03.2", reading_in_a_list, "`torch.stack` or `torch.cat` makes one tensor of a list"),
        ("03.2", reading_in_other_order, "in another order: expected outputs then final state"),
        (
            "03.2",
            lambda *arguments: tuple(r.detach() for r in reading_by_split(*arguments)),
            "no gradient can flow back through your outputs",
        ),
        (
            "03.3",
            lambda gradients, max_norm: (g for g in gradients),
            "is a generator, expected a list with a tensor for each gradient",
        ),
        (
            "03.3",
            lambda gradients, max_norm: [*clip_by_division(gradients, max_norm), 1.0],
            "expected a list with a tensor for each gradient",
        ),
        (
            "03.3",
            lambda gradients, max_norm: [g.numpy() for g in clip_by_division(gradients, max_norm)],
            "with a NumPy array in it, expected a list with a tensor for each gradient",
        ),
        (
            "03.3",
            lambda gradients, max_norm: [-g for g in clip_by_division(gradients, max_norm)],
            "Your first gradient is right up to its sign",
        ),
        (
            "03.3",
            lambda gradients, max_norm: torch.zeros(3, 4),
            "is a single tensor, expected a list with a tensor for each gradient",
        ),
        ("03.4", sampling_into_float32, "is `float32`, expected `float64`"),
        (
            "03.4",
            lambda logits, temperature, top_k: sampling_by_loop(logits[:1], temperature, top_k)[0],
            "the batch axis is missing",
        ),
        (
            "03.4",
            lambda logits, temperature, top_k: torch.topk(logits, top_k),
            "expected a tensor",
        ),
        (
            "03.5",
            lambda losses, counts: bits_by_dot(losses, counts).item(),
            "did `.item()` or an index take a number out of it?",
        ),
        ("03.5", lambda losses, counts: bits_by_dot(losses, counts)[None], "has shape (1,)"),
    ],
)
def test_other_wrong_answers_get_a_helpful_sentence(key, answer, expected, seeds):
    assert_told(key, answer, expected, seeds)


# --- Numbers in the text --------------------------------------------------------------------------


def test_the_numbers_of_the_exercises_on_paper():
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    sampling = catalogue()["03.4"].solution
    for temperature, expected in ((0.5, [0.658, 0.237, 0.105]), (2.0, [0.415, 0.322, 0.263])):
        assert sampling(logits, temperature, 3)[0].tolist() == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("window", [4, 64])
def test_the_gradient_reaches_half_a_window_on_average(window):
    x = torch.zeros(1, 5 * window, 1, requires_grad=True)
    weights = torch.ones(1, 1), 0.5 * torch.ones(1, 1), torch.zeros(1)
    outputs, _ = catalogue()["03.2"].solution(x, torch.zeros(1, 1), *weights, window)
    reached = [
        int(torch.autograd.grad(output, x, retain_graph=True)[0].count_nonzero())
        for output in outputs[0, -window:, 0]
    ]
    assert reached[-1] == window
    assert sum(reached) / window == (window + 1) / 2


def test_the_loss_of_random_logits():
    torch.manual_seed(0)
    logits, targets = torch.randn(20_000, 96), torch.randint(96, (20_000,))

    def loss(size):
        return F.cross_entropy(size * logits, targets).item()

    assert loss(0.01) == pytest.approx(math.log(96), abs=0.01)
    assert loss(1.0) == pytest.approx(math.log(96) + 0.5, abs=0.05)
    assert loss(3.7) == pytest.approx(10, abs=0.2)
