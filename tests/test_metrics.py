"""What is measured, against values that are known."""

import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F

from unrolled.metrics import (
    accuracy,
    bits_per_character,
    corpus_bleu,
    exact_match,
    perplexity,
)


@pytest.mark.parametrize("tokens", [1, 2, 96, 30_000])
@pytest.mark.parametrize("make", [float, torch.tensor, lambda x: torch.tensor([x]).double()])
def test_equal_chances_cost_the_size_of_the_vocabulary(tokens, make):
    loss = make(math.log(tokens))
    assert perplexity(loss) == pytest.approx(tokens, rel=1e-5)
    assert bits_per_character(loss) == pytest.approx(math.log2(tokens), rel=1e-5)
    assert type(perplexity(loss)) is type(bits_per_character(loss)) is float


def test_cross_entropy_of_a_model_that_knows_nothing():
    logits, targets = torch.zeros(4, 7, 96), torch.randint(96, (4, 7))
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    assert perplexity(loss) == pytest.approx(96, rel=1e-5)
    assert 2 ** bits_per_character(loss) == pytest.approx(perplexity(loss), rel=1e-12)


def test_perplexity_too_large_for_a_float_is_infinite():
    assert perplexity(1000) == math.inf
    assert perplexity(math.inf) == bits_per_character(math.inf) == math.inf
    assert perplexity(0) == 1
    assert bits_per_character(0.0) == 0


@pytest.mark.parametrize("measure", [perplexity, bits_per_character])
def test_what_is_no_loss_is_refused(measure):
    with pytest.raises(ValueError, match="loss is nan; expected a mean negative log-likelihood"):
        measure(math.nan)
    with pytest.raises(ValueError, match=r"loss is -0\.5; expected .* 0 or more"):
        measure(torch.tensor(-0.5))
    with pytest.raises(ValueError, match=r"shape \(3,\); expected one number: the mean"):
        measure(torch.ones(3))
    with pytest.raises(TypeError, match="loss is str; expected a number, in nats"):
        measure("2.0")


def test_accuracy_counts_by_hand():
    scores = torch.tensor([[[1.0, 2, 0], [3, 1, 1]], [[0, 0, 5], [0, 4, 1]]])  # 1 0 / 2 1
    targets = torch.tensor([[1, 1], [2, 1]])
    assert accuracy(scores, targets) == 0.75
    assert accuracy(scores, targets, torch.tensor([[True, False], [True, True]])) == 1.0
    assert accuracy(scores, targets, torch.tensor([[True, True], [False, False]])) == 0.5
    assert accuracy(scores[0, 0], targets[0, 0]) == 1.0
    assert accuracy(scores[0], targets[0]) == 0.5


def test_accuracy_of_many_is_exact():
    targets = torch.zeros(3, 100_001, dtype=torch.int64)
    scores = F.one_hot(targets, 2).float()
    targets[1, 5] = 1
    assert accuracy(scores, targets) == 1 - 1 / 300_003


def test_what_does_not_count_may_be_anything():
    scores, targets = torch.eye(3), torch.arange(3)
    mask = torch.tensor([True, False, True])
    scores[1], targets[1] = math.nan, -100
    assert accuracy(scores, targets, mask) == 1.0
    with pytest.raises(ValueError, match="a score is NaN at a step that counts"):
        accuracy(scores, targets)
    with pytest.raises(ValueError, match=r"targets go from -100 to 2; expected 0 to 2: .* mask"):
        accuracy(torch.eye(3), targets)
    with pytest.raises(ValueError, match="targets go from 0 to 3"):
        accuracy(torch.eye(3), torch.tensor([0, 3, 1]))


@pytest.mark.parametrize(
    ("scores", "targets", "mask", "error", "message"),
    [
        ((2, 3, 4), (2, 4), None, ValueError, r"scores has shape \(2, 3, 4\) and targets \(2, 4\)"),
        ((2, 3), (2, 3), None, ValueError, "but for the classes at the end of scores"),
        ((2, 3, 4), (2, 3), (2,), ValueError, r"mask has shape \(2,\); expected \(2, 3\)"),
        ((0, 3), (0,), None, ValueError, "no step counts; expected at least one"),
        ((), (), None, ValueError, "but for the classes"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(scores, targets, mask, error, message):
    mask = None if mask is None else torch.ones(mask, dtype=torch.bool)
    with pytest.raises(error, match=message):
        accuracy(torch.zeros(scores), torch.zeros(targets, dtype=torch.int64), mask)


def test_types_that_do_not_fit_are_refused():
    scores, targets = torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(TypeError, match=r"targets is torch\.float32; expected whole numbers"):
        accuracy(scores, targets.float())
    with pytest.raises(TypeError, match=r"mask is torch\.int64; expected bool"):
        accuracy(scores, targets, torch.ones(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="no step counts"):
        accuracy(scores, targets, torch.zeros(2, dtype=torch.bool))


def test_exact_match_counts_whole_answers():
    assert exact_match(["ab", "abc", ""], ["ab", "abx", ""]) == 2 / 3
    assert exact_match([[1, 2]], [[1, 2, 2]]) == 0.0
    with pytest.raises(ValueError, match="1 answers came for 2 expected ones"):
        exact_match(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="at least one"):
        exact_match([], [])
    with pytest.raises(TypeError, match="an answer is a tensor"):
        exact_match([torch.ones(2)], [torch.ones(2)])


# --- BLEU: against the definition -----------------------------------------------------------------

SAID = ["the cat sat on the mat", "he eats a green apple", "it is cold here today , is it not ?"]
RIGHT = [
    "the cat sat on a mat",
    "he is eating a green apple",
    "today it is cold here , is it not ?",
]


def slow_bleu(predicted, expected):
    """Papineni et al. 2002 for words between spaces, with several right translations each."""

    def grams(words, n):
        return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))

    matched, came, ours, theirs = [0] * 4, [0] * 4, 0, 0
    for said, rights in zip(predicted, expected, strict=True):
        words, others = said.split(), [right.split() for right in rights]
        ours += len(words)
        theirs += min((abs(len(other) - len(words)), len(other)) for other in others)[1]
        for n in range(1, 5):
            most = Counter()
            for other in others:
                most |= grams(other, n)
            matched[n - 1] += (grams(words, n) & most).total()
            came[n - 1] += grams(words, n).total()
    precisions = [100 * m / c for m, c in zip(matched, came, strict=True)]
    brevity = min(1.0, math.exp(1 - theirs / ours))
    return brevity * math.exp(sum(map(math.log, precisions)) / 4), precisions, brevity


def test_bleu_equals_its_definition():
    bleu = corpus_bleu(SAID, RIGHT)
    score, precisions, brevity = slow_bleu(SAID, [[right] for right in RIGHT])
    assert bleu.score == pytest.approx(score, abs=1e-9)
    assert bleu.precisions == pytest.approx(precisions, abs=1e-9)
    assert bleu.brevity_penalty == pytest.approx(brevity)
    assert brevity < 1
    assert bleu.signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_several_right_translations_count_together():
    several = [[RIGHT[0], SAID[0]], [RIGHT[1]], [RIGHT[2], "today it is cold , is it ?"]]
    bleu = corpus_bleu(SAID, several)
    assert bleu.score == pytest.approx(slow_bleu(SAID, several)[0], abs=1e-9)
    assert bleu.score > corpus_bleu(SAID, RIGHT).score
    assert bleu.signature.startswith("nrefs:var|")
    assert corpus_bleu(SAID, [[right] for right in RIGHT]) == corpus_bleu(SAID, RIGHT)


def test_bleu_is_100_for_the_right_and_0_for_nothing_in_common():
    assert corpus_bleu(RIGHT, RIGHT).score == pytest.approx(100)
    assert corpus_bleu(["w x y z v"] * 3, RIGHT).score == 0


def test_bleu_names_what_is_wrong():
    with pytest.raises(ValueError, match="2 translations came for 3 expected ones"):
        corpus_bleu(SAID[:2], RIGHT)
    with pytest.raises(ValueError, match="0 translations came"):
        corpus_bleu([], [])
    with pytest.raises(TypeError, match="a single text came; expected a list of texts"):
        corpus_bleu(SAID[0], RIGHT)
    with pytest.raises(ValueError, match="translation 1 has no right one"):
        corpus_bleu(SAID, [RIGHT[0], [], RIGHT[2]])
