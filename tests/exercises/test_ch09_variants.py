"""Chapter 9: answers written otherwise than in the list get what their values deserve."""

import functools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import sigmoid, tanh
from variants import SEEDS, assert_passes, assert_told

from unrolled.exercises import catalogue, check_with_seed
from unrolled.exercises.ch09 import clip_by_global_norm, horizon, jacobian_between, with_radius

# --- Right answers --------------------------------------------------------------------------------


def clip_with_a_loop(gradients, max_norm):
    square = 0.0
    for g in gradients:
        square += (g**2).sum()
    norm = math.sqrt(square)
    if math.isnan(norm) or math.isinf(norm):
        return [0 * torch.ones_like(g) for g in gradients], norm
    if norm <= max_norm:
        return [g.clone() for g in gradients], norm
    return [g / norm * max_norm for g in gradients], norm


def clip_with_torch(gradients, max_norm):
    norm = nn.utils.get_total_norm(gradients)
    if not norm.isfinite():
        return [torch.zeros(g.shape) for g in gradients], norm
    parameters = [nn.Parameter(g.clone()) for g in gradients]
    for parameter, g in zip(parameters, gradients, strict=True):
        parameter.grad = g.clone()
    nn.utils.clip_grad_norm_(parameters, max_norm)
    return [parameter.grad for parameter in parameters], norm


def clip_and_clean(gradients, max_norm):
    norm = torch.stack([g.norm() for g in gradients]).norm()
    scale = torch.clamp(max_norm / norm, max=1.0)
    return tuple(torch.nan_to_num(scale * g, 0.0) for g in gradients), norm


def clip_with_the_small_number_of_torch(gradients, max_norm):
    norm = sum(g.pow(2).sum() for g in gradients).sqrt().item()
    if not np.isfinite(norm):
        return [torch.zeros_like(g) for g in gradients], norm
    return [g * min(1.0, max_norm / (norm + 1e-6)) for g in gradients], norm


def clip_and_give_back_what_is_short(gradients, max_norm):
    clipped, norm = clip_by_global_norm(gradients, max_norm)
    return (gradients if norm <= max_norm else clipped), norm


def horizon_by_logarithm(radius, share):
    if radius >= 1:
        return math.inf
    return 1 if radius == 0 else math.ceil(math.log(share) / math.log(radius))


def horizon_with_a_base(radius, share):
    if radius >= 1:
        return float("inf")
    return math.ceil(math.log(share, radius)) if radius else 1


def horizon_by_multiplying(radius, share):
    steps, left = 0, 1.0
    while left > share:
        if radius >= 1:
            return np.inf
        left *= radius
        steps += 1
    return steps


def horizon_with_numpy(radius, share):
    if radius >= 1:
        return np.inf
    with np.errstate(divide="ignore"):
        return max(1, np.ceil(np.log10(share) / np.log10(radius)))


def horizon_in_a_tensor(radius, share):
    if radius >= 1:
        return torch.tensor(math.inf)
    share, radius = (torch.tensor(value, dtype=torch.float64) for value in (share, radius))
    return torch.ceil(share.log() / radius.log()).clamp(min=1)


def jacobian_by_einsum(h, weight_hh, start, end):
    product = torch.eye(len(weight_hh), dtype=h.dtype).repeat(len(h), 1, 1)
    for t in range(end, start, -1):
        product = torch.einsum("bij,bj,jk->bik", product, 1 - h[:, t] ** 2, weight_hh)
    return product


def jacobian_of_each_sequence(h, weight_hh, start, end):
    def one(states):
        product = torch.eye(len(weight_hh), dtype=h.dtype)
        for state in states[start + 1 : end + 1]:
            product = torch.diag(1 - state**2) @ weight_hh @ product
        return product

    return torch.stack([one(states) for states in h])


def jacobian_by_calling_itself(h, weight_hh, start, end):
    if start == end:
        return torch.eye(h.shape[2]).to(h).expand(len(h), -1, -1)
    before = jacobian_by_calling_itself(h, weight_hh, start, end - 1)
    return torch.diag_embed(1 - h[:, end].square()) @ weight_hh @ before


def jacobian_transposed_at_last(h, weight_hh, start, end):
    back = torch.eye(h.shape[2], dtype=h.dtype).repeat(len(h), 1, 1)
    for t in range(start + 1, end + 1):
        back = back @ weight_hh.T * (1 - h[:, t] ** 2)[:, None, :]
    return back.mT


def jacobian_by_autograd(h, weight_hh, start, end):
    before_tanh = torch.atanh(h[:, 1:]) - h[:, :-1] @ weight_hh.T  # what the inputs give

    def run(state, inputs):
        for t in range(start, end):
            state = torch.tanh(inputs[t] + weight_hh @ state)
        return state

    rows = zip(h[:, start], before_tanh, strict=True)
    return torch.stack(
        [
            torch.autograd.functional.jacobian(functools.partial(run, inputs=inputs), state)
            for state, inputs in rows
        ]
    )


def radius_with_numpy(weight, radius):
    largest = np.abs(np.linalg.eigvals(weight.numpy())).max()
    return radius * weight / largest


def radius_of_the_transpose(weight, radius):
    eigenvalues, _ = torch.linalg.eig(weight.T)
    return weight / (max(abs(e) for e in eigenvalues) / radius)


def radius_by_parts(weight, radius):
    eigenvalues = torch.linalg.eigvals(weight)
    sizes = (eigenvalues.real**2 + eigenvalues.imag**2).sqrt()
    return weight.div(sizes.amax()).mul(radius)


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("09.1", clip_with_a_loop),
        ("09.1", clip_with_torch),
        ("09.1", clip_and_clean),
        ("09.1", clip_with_the_small_number_of_torch),
        ("09.1", clip_and_give_back_what_is_short),
        ("09.2", horizon_by_logarithm),
        ("09.2", horizon_with_a_base),
        ("09.2", horizon_by_multiplying),
        ("09.2", horizon_with_numpy),
        ("09.2", horizon_in_a_tensor),
        ("09.3", jacobian_by_einsum),
        ("09.3", jacobian_of_each_sequence),
        ("09.3", jacobian_by_calling_itself),
        ("09.3", jacobian_transposed_at_last),
        ("09.3", jacobian_by_autograd),
        ("09.4", radius_with_numpy),
        ("09.4", radius_of_the_transpose),
        ("09.4", radius_by_parts),
    ],
)
def test_right_answers_written_otherwise_pass(key, answer, seeds):
    assert_passes(key, answer, seeds)


# --- Wrong answers that are on the list, written otherwise ----------------------------------------


def clip_each(gradients, max_norm):
    norm = nn.utils.get_total_norm(gradients)
    if not norm.isfinite():
        return [torch.zeros_like(g) for g in gradients], norm
    return [g * torch.clamp(max_norm / (g.norm() + 1e-6), max=1.0) for g in gradients], norm


def clip_by_value_and_forget_nan(gradients, max_norm):
    norm = nn.utils.get_total_norm(gradients)
    return [torch.minimum(g.abs(), torch.tensor(max_norm)) * g.sign() for g in gradients], norm


def clip_all_to_the_limit(gradients, max_norm):
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    return [g / norm * max_norm for g in gradients], norm


def clip_with_a_comparison(gradients, max_norm):
    norm = sum((g * g).sum() for g in gradients) ** 0.5
    return [g * (max_norm / norm) if norm > max_norm else g.clone() for g in gradients], norm


def clip_times_zero(gradients, max_norm):
    norm = sum((g * g).sum() for g in gradients) ** 0.5
    scale = float(min(1, max_norm / norm)) if norm.isfinite() else 0.0
    return [scale * g for g in gradients], norm


def clip_and_measure_again(gradients, max_norm):
    clipped, _ = clip_by_global_norm(gradients, max_norm)
    return clipped, sum((g * g).sum() for g in clipped) ** 0.5


def clip_parameters_that_have_no_gradient(gradients, max_norm):
    parameters = [nn.Parameter(g) for g in gradients]
    norm = nn.utils.clip_grad_norm_(parameters, max_norm)
    return [parameter.detach() for parameter in parameters], norm


def horizon_cut_off(radius, share):
    if radius >= 1:
        return math.inf
    return int(math.log(share) / math.log(radius)) if radius else 1


def horizon_while_not_less(radius, share):
    if radius >= 1:
        return math.inf
    steps = 1
    while radius**steps >= share:
        steps += 1
    return steps


def horizon_without_thought(radius, share):
    return math.ceil(math.log(share, radius))


def horizon_by_torch_without_thought(radius, share):
    share, radius = (torch.tensor(value, dtype=torch.float64) for value in (share, radius))
    return torch.ceil(torch.log2(share) / torch.log2(radius))


def jacobian_of_states_cut_too_early(h, weight_hh, start, end):
    product = torch.eye(h.shape[2], dtype=h.dtype).repeat(len(h), 1, 1)
    for state in h[:, start:end].unbind(1):
        product = torch.diag_embed(1 - state**2) @ weight_hh @ product
    return product


def jacobian_with_the_product_on_the_left(h, weight_hh, start, end):
    steps = [torch.diag_embed(1 - h[:, t] ** 2) @ weight_hh for t in range(start + 1, end + 1)]
    identity = torch.eye(h.shape[2], dtype=h.dtype).repeat(len(h), 1, 1)
    return functools.reduce(torch.matmul, steps, identity)


def jacobian_that_begins_with_a_step(h, weight_hh, start, end):
    product = torch.diag_embed(1 - h[:, start + 1] ** 2) @ weight_hh
    for t in range(start + 2, end + 1):
        product = torch.diag_embed(1 - h[:, t] ** 2) @ weight_hh @ product
    return product


def jacobian_as_a_gradient_goes_back(h, weight_hh, start, end):
    back = torch.eye(h.shape[2], dtype=h.dtype).repeat(len(h), 1, 1)
    for t in range(start + 1, end + 1):
        back = back @ (weight_hh.T * (1 - h[:, t] ** 2)[:, None, :])
    return back


def radius_by_norm_of_order_two(weight, radius):
    return weight / torch.linalg.svdvals(weight)[0] * radius


def radius_of_real_parts(weight, radius):
    return weight * radius / abs(np.linalg.eigvals(weight.numpy()).real).max()


def radius_of_an_orthogonal_matrix(weight, radius):
    q, r = np.linalg.qr(weight.numpy())
    return radius * torch.from_numpy(q * np.sign(np.diag(r)))


def radius_in_place(weight, radius):
    return weight.mul_(radius / torch.linalg.eigvals(weight).abs().max())


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "mistake"),
    [
        ("09.1", clip_each, "each tensor by itself"),
        ("09.1", clip_by_value_and_forget_nan, "clipped by value"),
        ("09.1", clip_all_to_the_limit, "always scaled but zeros"),
        ("09.1", clip_with_a_comparison, "not finite as any other"),
        ("09.1", clip_times_zero, "not finite as any other"),
        ("09.1", clip_and_measure_again, "norm after clipping"),
        ("09.1", clip_parameters_that_have_no_gradient, "torch finds no grad"),
        ("09.2", horizon_cut_off, "rounded down"),
        ("09.2", horizon_while_not_less, "less than the share"),
        ("09.2", horizon_without_thought, "no special radii"),
        ("09.2", horizon_by_torch_without_thought, "no special radii"),
        ("09.3", jacobian_of_states_cut_too_early, "slope of the state before"),
        ("09.3", jacobian_with_the_product_on_the_left, "steps in the other order"),
        ("09.3", jacobian_that_begins_with_a_step, "at least one step"),
        ("09.3", jacobian_as_a_gradient_goes_back, "transposed"),
        ("09.4", radius_by_norm_of_order_two, "by largest singular value"),
        ("09.4", radius_of_real_parts, "by largest absolute real part"),
        ("09.4", radius_of_an_orthogonal_matrix, "orthogonal"),
        ("09.4", radius_in_place, "in place too"),
    ],
)
def test_mistakes_written_otherwise_get_the_same_message(key, answer, mistake, seeds):
    assert_told(key, answer, mistake, seeds)


# --- Wrong answers that are not on the list -------------------------------------------------------


def for_ever(value):
    return lambda radius, share: value if radius >= 1 else horizon(radius, share)


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "expected"),
    [
        (
            "09.1",
            lambda gradients, max_norm: None,
            "Your answer is `None`, expected a list with a tensor for each gradient and a number.",
        ),
        (
            "09.1",
            lambda gradients, max_norm: (torch.cat([g.flatten() for g in gradients]), 1.0),
            "Your answer is a tensor and a number, expected a list with a tensor for each",
        ),
        (
            "09.1",
            lambda gradients, max_norm: (
                clip_by_global_norm(gradients, max_norm)[0],
                max(g.norm() for g in gradients),
            ),
            "Your norm before clipping is",
        ),
        (
            "09.1",
            lambda gradients, max_norm: (
                [g.double() for g in clip_by_global_norm(gradients, max_norm)[0]],
                clip_by_global_norm(gradients, max_norm)[1],
            ),
            "Your first gradient is `float64`, expected `float32`",
        ),
        (
            "09.1",
            lambda gradients, max_norm: (
                [torch.nan_to_num(g) for g in clip_by_global_norm(gradients, max_norm)[0]],
                sum((torch.nan_to_num(g, 0, 0, 0) ** 2).sum() for g in gradients).sqrt(),
            ),
            "expected inf",
        ),
        ("09.2", lambda radius, share: None, "Your answer is `None`, expected a whole number."),
        ("09.2", lambda radius, share: share**radius, "Your answer is the number 0."),
        ("09.2", lambda radius, share: (1, 2), "Your answer is a tuple of 2, expected a whole"),
        ("09.2", for_ever(-1), "Your answer is the number -1 from a radius of 1 on, expected"),
        ("09.2", for_ever(None), "Your answer is `None` from a radius of 1 on, expected `math.inf"),
        ("09.2", for_ever("never"), "Your answer is a text from a radius of 1 on, expected"),
        (
            "09.2",
            lambda radius, share: 2 if radius < 1 else math.inf,
            "Your horizon is 2, expected",
        ),
        (
            "09.3",
            lambda h, weight_hh, start, end: jacobian_between(h, weight_hh, start, end)[:1],
            "Your Jacobian has shape",
        ),
        (
            "09.3",
            lambda h, weight_hh, start, end: jacobian_between(
                h[:1].expand_as(h), weight_hh, start, end
            ),
            "Your Jacobian is the same for every sequence of the batch",
        ),
        (
            "09.3",
            lambda h, weight_hh, start, end: jacobian_between(
                h.float(), weight_hh.float(), start, end
            ),
            "Your Jacobian is `float32`, expected `float64`",
        ),
        (
            "09.3",
            lambda h, weight_hh, start, end: torch.linalg.matrix_norm(
                jacobian_between(h, weight_hh, start, end), 2
            ),
            "the axes are (batch, hidden, hidden)",
        ),
        (
            "09.4",
            lambda weight, radius: torch.linalg.eigvals(weight).abs(),
            "the hidden axis is missing",
        ),
        (
            "09.4",
            lambda weight, radius: weight.clamp(-radius, radius),
            "Your result is another matrix than a multiple of `weight`, expected a multiple of",
        ),
        (
            "09.4",
            lambda weight, radius: with_radius(weight, radius).T,
            "Your result is another matrix than a multiple of `weight`, expected a multiple of",
        ),
        ("09.4", lambda weight, radius: -with_radius(weight, radius), "is right up to its sign"),
        (
            "09.4",
            lambda weight, radius: with_radius(weight.float(), radius).double(),
            "is right up to rounding: somewhere the numbers pass through `float32`",
        ),
        (
            "09.4",
            lambda weight, radius: weight * (radius / torch.linalg.svdvals(weight).sum()),
            "Your spectral radius is 0.",
        ),
    ],
)
def test_other_wrong_answers_get_a_helpful_sentence(key, answer, expected, seeds):
    assert_told(key, answer, expected, seeds)


def test_a_loop_that_never_ends_is_stopped():
    def count(radius, share):
        steps = 0
        while radius**steps > share:
            steps += 1
        return steps

    report = check_with_seed(catalogue()["09.2"], count, 0, time_limit=0.3)
    assert "is there a loop that never ends?" in report.messages[0]


# --- What the text says ---------------------------------------------------------------------------


def test_a_radius_ten_times_as_near_to_one_reaches_ten_times_as_far():
    assert [horizon(radius, 0.01) for radius in (0.9, 0.99, 0.999)] == [44, 459, 4603]


def test_the_bound_of_a_sigmoid_network_with_singular_value_two():
    assert horizon(2 / 4, 0.01) == 7


def test_a_sigmoid_network_is_a_tanh_network_with_a_quarter_of_the_weights():
    torch.manual_seed(0)
    inputs, hidden, time = 3, 4, 6
    weight_ih, weight_hh = torch.randn(hidden, inputs), 3 * torch.randn(hidden, hidden)
    bias, x, h = torch.randn(hidden), torch.randn(time, inputs), torch.rand(hidden)
    x, weight_ih, weight_hh, bias, h = (t.double() for t in (x, weight_ih, weight_hh, bias, h))

    def run(h):
        for x_t in x:
            h = sigmoid(weight_ih @ x_t + weight_hh @ h + bias)
        return h

    def other(g):
        shift = bias / 2 + weight_hh.sum(dim=1) / 4
        for x_t in x:
            g = tanh(weight_ih @ x_t / 2 + weight_hh @ g / 4 + shift)
        return g

    torch.testing.assert_close(other(2 * h - 1), 2 * run(h) - 1)
    jacobians = (
        torch.autograd.functional.jacobian(f, state) for f, state in ((run, h), (other, 2 * h - 1))
    )
    torch.testing.assert_close(*jacobians)


def test_one_unit_both_grows_and_falls():
    h = torch.ones(1, 1, 1, dtype=torch.float64)
    for _ in range(100):
        h = torch.tanh(5 * h)
    settled = h.expand(1, 4, 1)
    weight = torch.tensor([[5.0]]).double()
    assert h.item() == pytest.approx(0.99991, abs=5e-6)
    assert jacobian_between(settled, weight, 0, 1).item() == pytest.approx(0.00091, abs=5e-6)
    assert jacobian_between(0 * settled, weight, 0, 3).item() == 5**3


def test_a_small_radius_with_a_large_singular_value():
    weight = torch.tensor([[0.5, 10.0], [0.0, 0.5]], dtype=torch.float64)
    powers = [torch.linalg.matrix_power(weight, n) for n in range(1, 20)]
    norms = [torch.linalg.matrix_norm(power, 2).item() for power in powers]
    for n, power in enumerate(powers, start=1):
        corner = torch.tensor([[1.0, 20 * n], [0.0, 1.0]], dtype=torch.float64)
        torch.testing.assert_close(power, 0.5**n * corner)
    assert norms[:2] == pytest.approx([10, 10], abs=0.03)
    assert [norms[3], norms[6]] == pytest.approx([5.0, 1.09], abs=0.005)
    assert min(n for n, norm in enumerate(norms, start=1) if norm < 1) == 8
    assert min(n for n, norm in enumerate(norms, start=1) if norm <= 0.01) == 15
    assert horizon(0.5, 0.01) == 7


def turned(gradient, theta=1.0):
    """Angle in degrees by which clipping by value turns a gradient."""
    gradient = torch.as_tensor(gradient, dtype=torch.float64)
    clipped = gradient.clamp(-theta, theta)
    cosine = gradient @ clipped / (gradient.norm() * clipped.norm())
    return math.degrees(math.acos(min(1.0, cosine.item())))


def test_how_far_clipping_by_value_turns_a_gradient():
    assert [turned(g) for g in ((3, 4), (6, 0.5))] == pytest.approx([8.1, 21.8], abs=0.05)
    assert turned((0.3, 0.4)) == pytest.approx(0, abs=1e-5)
    assert [math.degrees(math.atan(x)) for x in (0.5, 0.5 / 6)] == pytest.approx(
        [26.6, 4.8], abs=0.05
    )
    gradients = 10 ** torch.empty(1000, 2).uniform_(-2, 4, generator=torch.manual_seed(0))
    angles = [turned(gradient) for gradient in gradients]
    assert 40 < max(angles) < 45
    for n, angle in ((2, 45), (100, 84.3), (10_000, 89.4)):
        assert turned([1e8] + (n - 1) * [1.0]) == pytest.approx(angle, abs=0.05)


def test_clipping_by_the_norm_turns_the_mean_of_many_gradients():
    gradients = 9 * [-1.0] + [10.0]
    clipped = [clip_by_global_norm([torch.tensor([g])], 1.0)[0][0].item() for g in gradients]
    assert sum(gradients) / 10 == pytest.approx(0.1)
    assert sum(clipped) / 10 == pytest.approx(-0.8)
