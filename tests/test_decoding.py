"""Sampling against the probabilities that were asked for; greedy decoding against a slow loop."""

import pytest
import torch

from unrolled.decoding import greedy, sample
from unrolled.layers import RNN
from unrolled.models import LanguageModel

LOGITS = torch.tensor([1.0, 0.0, -1.0, 2.0, 0.5])


def constant(tokens, state):
    """The same distribution after every token; counts its calls in the state."""
    return LOGITS.log_softmax(0).expand(len(tokens), -1), (state or 0) + 1


def frequencies(**options):
    generator = torch.Generator().manual_seed(0)
    bos = torch.zeros(2000, dtype=torch.int64)
    drawn = sample(constant, None, bos=bos, max_steps=10, generator=generator, **options)
    return torch.bincount(drawn.flatten(), minlength=5) / drawn.numel()


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_frequencies_are_the_softmax_of_the_logits_over_the_temperature(temperature):
    expected = (LOGITS / temperature).softmax(0)
    # 20,000 draws: four standard deviations are at most 0.015.
    assert (frequencies(temperature=temperature) - expected).abs().max() < 0.015


def test_top_k_leaves_the_likeliest_in_their_proportions():
    expected = torch.tensor([1.0, 0, 0, 2.0, 0]).masked_fill(
        torch.tensor([False, True, True, False, True]), -torch.inf
    )
    came = frequencies(top_k=2)
    assert (came - expected.softmax(0)).abs().max() < 0.015
    assert came[[1, 2, 4]].sum() == 0


def test_top_k_past_the_vocabulary_changes_nothing():
    assert torch.equal(frequencies(top_k=99), frequencies())


def test_top_one_is_the_likeliest_token():
    assert frequencies(top_k=1).tolist() == [0, 0, 0, 1, 0]


def test_each_token_that_is_drawn_is_read_with_the_state_before_it():
    torch.manual_seed(0)
    model = LanguageModel(6, layer=RNN(3, 4))
    tokens = torch.randint(6, (2, 4))
    _, state = model(tokens[:, :-1])
    drawn = sample(model.step, state, bos=tokens[:, -1], max_steps=5, top_k=1)
    text = tokens
    for _ in range(5):  # the same without a state: the whole text is read anew for each token
        text = torch.cat([text, model(text)[0][:, -1].argmax(1)[:, None]], dim=1)
    assert torch.equal(drawn, text[:, 4:])


def test_a_generator_repeats_itself_and_leaves_the_global_one_alone():
    bos = torch.zeros(3, dtype=torch.int64)
    before = torch.get_rng_state()
    first, second = (
        sample(constant, None, bos=bos, max_steps=20, generator=torch.Generator().manual_seed(seed))
        for seed in (5, 5)
    )
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    one = sample(constant, None, bos=bos, max_steps=20)
    torch.manual_seed(1)
    assert torch.equal(one, sample(constant, None, bos=bos, max_steps=20))


def test_nothing_that_is_sampled_has_a_gradient():
    model = LanguageModel(6, layer=RNN(3, 4))
    seen = []

    def step(tokens, state):
        log_probs, state = model.step(tokens, state)
        seen.append(log_probs.requires_grad)
        return log_probs, state

    sample(step, None, bos=torch.tensor([0]), max_steps=3)
    assert seen == [False] * 3


def test_wrong_arguments_are_named():
    bos = torch.tensor([0])
    with pytest.raises(TypeError, match="bos is int; expected an int64 tensor"):
        sample(constant, None, bos=0, max_steps=3)
    with pytest.raises(ValueError, match=r"bos has shape \(1, 1\); expected \(batch,\)"):
        sample(constant, None, bos=bos[None], max_steps=3)
    with pytest.raises(ValueError, match="max_steps is 0"):
        sample(constant, None, bos=bos, max_steps=0)
    for temperature in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"temperature is .*; expected a number above 0"):
            sample(constant, None, bos=bos, max_steps=3, temperature=temperature)
    with pytest.raises(ValueError, match="top_k is 0"):
        sample(constant, None, bos=bos, max_steps=3, top_k=0)


def slowly(model, first, eos, max_steps):
    """One sequence, every prefix read again from its beginning."""
    tokens = [first]
    while len(tokens) <= max_steps:
        logits, _ = model(torch.tensor([tokens]))
        tokens.append(int(logits[0, -1].argmax()))
        if tokens[-1] == eos:
            break
    return tokens[1:]


def test_greedy_is_the_likeliest_token_again_and_again():
    torch.manual_seed(3)
    model = LanguageModel(6, layer=RNN(4, 8))
    with torch.no_grad():
        model.read_out.weight.mul_(4)  # so that answers differ, and end after different times
    bos, eos = torch.arange(6), 2
    together = greedy(model.step, None, bos=bos, eos=eos, max_steps=9)
    answers = [slowly(model, first, eos, 9) for first in range(6)]
    longest = max(map(len, answers))
    assert len({len(answer) for answer in answers}) > 1
    assert together.tolist() == [answer + [eos] * (longest - len(answer)) for answer in answers]


def test_greedy_stops_when_all_have_ended_and_at_the_latest_after_max_steps():
    calls = []

    def step(tokens, state):
        calls.append(torch.is_grad_enabled())
        return torch.eye(5)[(tokens + 1) % 5], state

    ended = greedy(step, None, bos=torch.tensor([2, 1]), eos=4, max_steps=50)
    assert ended.tolist() == [[3, 4, 4], [2, 3, 4]]
    assert calls == [False] * 3  # nothing is kept for a gradient
    assert greedy(step, None, bos=torch.tensor([0]), eos=4, max_steps=2).tolist() == [[1, 2]]


def test_greedy_carries_the_state():
    def step(tokens, state):
        return torch.eye(9)[state], state + 1

    written = greedy(step, torch.tensor([3, 5]), bos=torch.tensor([0, 0]), eos=8, max_steps=4)
    assert written.tolist() == [[3, 4, 5, 6], [5, 6, 7, 8]]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"bos": 0}, TypeError, "bos is int; expected an int64 tensor"),
        ({"bos": torch.tensor(0)}, ValueError, r"bos has shape \(\)"),
        ({"max_steps": 0}, ValueError, "max_steps is 0; expected at least 1"),
    ],
)
def test_greedy_refuses_what_does_not_fit(wrong, error, message):
    arguments = {"bos": torch.tensor([0]), "eos": 1, "max_steps": 3} | wrong
    with pytest.raises(error, match=message):
        greedy(constant, None, **arguments)
