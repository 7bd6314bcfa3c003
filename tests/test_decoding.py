"""Sampling against the probabilities that were asked for; greedy decoding against a slow loop."""

import itertools

import pytest
import torch

from unrolled.decoding import beam_search, greedy, sample
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


# --- Beam search ----------------------------------------------------------------------------------

EOS = 2


def toy(seed, batch=3, vocab=4):
    """A model of random weights, whose every token depends on all before, and its start."""
    torch.manual_seed(seed)
    model = LanguageModel(vocab, layer=RNN(3, 5)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    bos = torch.randint(vocab, (batch,))
    return model, bos, {"eos": EOS, "max_steps": 4}


def score(model, bos, tokens):
    """The log-probability of a sequence up to its first end token."""
    total, state, read = 0.0, None, bos[None]
    for token in tokens:
        log_probs, state = model.step(read, state)
        total += log_probs[0, token].item()
        if token == EOS:
            break
        read = torch.tensor([token])
    return total


def exhaustive(model, bos, max_steps, penalty, vocab=4):
    """All sequences of a tree, the best first: their scores, and their tokens with the ends."""
    found = {}
    for tokens in itertools.product(range(vocab), repeat=max_steps):
        if EOS in tokens:
            length = tokens.index(EOS) + 1
            tokens = tokens[:length] + (EOS,) * (max_steps - length)
        else:
            length = max_steps
        with torch.no_grad():
            found[tokens] = score(model, bos, tokens) / length**penalty
    return sorted(found.items(), key=lambda item: -item[1])


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_beam_as_wide_as_the_tree_finds_all_in_order(seed, penalty):
    model, bos, options = toy(seed)
    beams = beam_search(model.step, None, bos=bos, beam_size=256, length_penalty=penalty, **options)
    for row in range(3):
        expected = exhaustive(model, bos[row], 4, penalty)
        assert [tuple(tokens) for tokens in beams.tokens[row, : len(expected)].tolist()] == [
            tokens for tokens, _ in expected
        ]
        scores = torch.tensor([value for _, value in expected], dtype=torch.float64)
        torch.testing.assert_close(beams.scores[row, : len(expected)], scores)
        assert (beams.scores[row, len(expected) :] == -torch.inf).all()


@pytest.mark.parametrize("seed", range(10))
def test_a_beam_of_one_is_greedy(seed):
    model, bos, options = toy(seed, batch=5)
    beams = beam_search(model.step, None, bos=bos, beam_size=1, **options)
    assert torch.equal(beams.tokens[:, 0], greedy(model.step, None, bos=bos, **options))


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("beam_size", [2, 3])
def test_a_narrow_beam_equals_a_slow_one(beam_size, penalty):
    better = 0
    for seed in range(25):
        model, bos, options = toy(seed, batch=1)
        kept = [((), 0.0)]  # tokens, log-probability
        for _ in range(options["max_steps"]):
            grown = []
            for tokens, total in kept:
                if EOS in tokens:
                    grown.append((tokens, total))
                    continue
                with torch.no_grad():
                    grown += [((*tokens, t), score(model, bos[0], (*tokens, t))) for t in range(4)]
            grown.sort(key=lambda item: -item[1] / len(item[0]) ** penalty)
            kept = grown[:beam_size]
        beams = beam_search(
            model.step, None, bos=bos, beam_size=beam_size, length_penalty=penalty, **options
        )
        for place, (tokens, total) in enumerate(kept):
            assert beams.tokens[0, place, : len(tokens)].tolist() == list(tokens)
            found = beams.scores[0, place].item()
            assert found == pytest.approx(total / len(tokens) ** penalty, abs=1e-10)
        likeliest = greedy(model.step, None, bos=bos, **options)[0].tolist()
        better += beams.tokens[0, 0].tolist()[: len(likeliest)] != likeliest
    assert better  # or the search would never matter


def test_a_beam_of_a_batch_is_that_of_each_row():
    model, bos, options = toy(3, batch=4)
    together = beam_search(model.step, None, bos=bos, beam_size=3, **options)
    for row in range(4):
        alone = beam_search(model.step, None, bos=bos[row : row + 1], beam_size=3, **options)
        steps = alone.tokens.shape[2]
        assert torch.equal(together.tokens[row, :, :steps], alone.tokens[0])
        assert (together.tokens[row, :, steps:] == EOS).all()
        torch.testing.assert_close(together.scores[row], alone.scores[0])


def test_beam_search_names_what_is_wrong():
    options = {"bos": torch.zeros(2, dtype=torch.int64), "eos": 1, "max_steps": 3}
    with pytest.raises(ValueError, match="beam_size is 0; expected a whole number of at least 1"):
        beam_search(constant, None, beam_size=0, **options)
    with pytest.raises(ValueError, match="length_penalty is -1; expected 0 or more"):
        beam_search(constant, None, beam_size=2, length_penalty=-1, **options)
    with pytest.raises(ValueError, match="max_steps is 0"):
        beam_search(constant, None, beam_size=2, **{**options, "max_steps": 0})
    with pytest.raises(ValueError, match=r"bos has shape \(2, 1\)"):
        beam_search(constant, None, beam_size=2, **{**options, "bos": options["bos"][:, None]})
