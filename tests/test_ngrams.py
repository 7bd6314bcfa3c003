"""The counts against a slow implementation that follows the formula word by word."""

import math
from collections import Counter, defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.decoding import sample
from unrolled.ngrams import NGramModel


class Slow:
    """Dictionaries and recursion in place of sorted arrays."""

    def __init__(self, text, vocab_size, order):
        self.vocab_size, self.order = vocab_size, order
        self.tables = []
        for length in range(1, order + 1):
            grams = [tuple(text[i : i + length]) for i in range(len(text) - length + 1)]
            if length == order:
                counts = Counter(grams)
            else:
                longer = {tuple(text[i : i + length + 1]) for i in range(len(text) - length)}
                counts = Counter(gram[1:] for gram in longer)
            n1, n2, n3, n4 = (
                max(1, sum(count == value for count in counts.values())) for value in (1, 2, 3, 4)
            )
            share = n1 / (n1 + 2 * n2)
            raw = [1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3]
            limits = [(0.1, 0.9), (0.1, 1.9), (0.1, 2.9)]
            discounts = [min(max(d, low), high) for d, (low, high) in zip(raw, limits, strict=True)]
            followers = defaultdict(dict)
            for gram, count in counts.items():
                followers[gram[:-1]][gram[-1]] = (count, discounts[min(count, 3) - 1])
            self.tables.append(followers)

    def probability(self, token, context):
        """p(token | context), the context a tuple."""
        lower = 1 / self.vocab_size if not context else self.probability(token, context[1:])
        known = self.tables[len(context)].get(context)
        if not known:
            return lower
        total = sum(count for count, _ in known.values())
        saved = sum(discount for _, discount in known.values())
        count, discount = known.get(token, (0, 0))
        return (count - discount + saved * lower) / total


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 3), min_size=4, max_size=60),
    st.lists(st.integers(0, 4), min_size=1, max_size=12),
    st.integers(1, 4),
)
def test_probabilities_are_those_of_the_formula(text, held_out, order):
    model, slow = NGramModel(torch.tensor(text), 5, order), Slow(text, 5, order)
    came = model.log_probabilities(torch.tensor(held_out)).exp()
    expected = [
        slow.probability(token, tuple(held_out[max(0, place - order + 1) : place]))
        for place, token in enumerate(held_out)
    ]
    torch.testing.assert_close(came, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=0)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=40), st.integers(1, 5))
def test_what_may_come_next_has_probability_one_in_all(text, order):
    if order > len(text):
        return
    model = NGramModel(torch.tensor(text), 6, order)
    state = None
    for token in (0, 5, *text[:3]):  # token 5 was never seen
        log_probs, state = model.step(torch.tensor([token, text[-1]]), state)
        assert (log_probs > -math.inf).all()
        torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(2, dtype=torch.float64))
        assert state.shape[1] <= max(order - 1, 0)


def test_step_gives_what_log_probabilities_gives():
    torch.manual_seed(0)
    text = torch.randint(4, (200,))
    model, held_out = NGramModel(text, 4, 3), torch.randint(4, (10,))
    expected = model.log_probabilities(held_out)
    state = None
    for place in range(9):
        log_probs, state = model.step(held_out[place : place + 1], state)
        assert log_probs[0, held_out[place + 1]].item() == pytest.approx(
            expected[place + 1].item(), abs=1e-12
        )


def test_order_one_knows_no_context():
    model = NGramModel(torch.tensor([0, 0, 0, 1]), 3, 1)
    came = model.log_probabilities(torch.tensor([1, 0, 1]))
    assert came[0] == came[2]


def test_sampling_repeats_a_text_that_never_varies():
    model = NGramModel(torch.tensor([0, 1, 2] * 2000), 3, 2)
    drawn = sample(model.step, None, bos=torch.tensor([0]), max_steps=7, top_k=1)
    assert drawn.tolist() == [[1, 2, 0, 1, 2, 0, 1]]


def test_wrong_arguments_are_named():
    text = torch.tensor([0, 1, 2])
    with pytest.raises(ValueError, match="order is 0; expected at least 1"):
        NGramModel(text, 3, 0)
    with pytest.raises(ValueError, match="the text has 3 tokens; expected at least 4"):
        NGramModel(text, 3, 4)
    with pytest.raises(ValueError, match="tokens go from 0 to 2; expected 0 to 1"):
        NGramModel(text, 2, 2)
    with pytest.raises(ValueError, match=r"shape \(1, 3\); expected \(time,\)"):
        NGramModel(text[None], 3, 2)
    with pytest.raises(ValueError, match=r"shape \(0,\)"):
        NGramModel(text[:0], 3, 1)
    with pytest.raises(TypeError, match=r"tokens is torch.float32"):
        NGramModel(text.float(), 3, 2)
    with pytest.raises(TypeError, match="tokens is str"):
        NGramModel(text, 3, 2).log_probabilities("abc")
