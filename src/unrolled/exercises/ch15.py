"""Exercises of chapter 15, a translator."""
# Answers, right and wrong, look as readers write them.
# ruff: noqa: ANN001, ANN202

import math
from collections import Counter
from collections.abc import Callable
from itertools import chain, pairwise
from typing import Any

import torch

from unrolled.exercises.exercise import Case, Draw, Exercise, Mistake
from unrolled.exercises.wording import kind_of

Answer = Callable[..., Any]

_WORDS = "the a cat dog sees is on under here mat old two never quite us stay red small Tom he"


def _words(draw: Draw) -> list[str]:
    """Give words in another order at each draw, so that a template has other words each time."""
    words = _WORDS.split()
    return [words[place] for place in torch.randperm(len(words), generator=draw.generator)]


def _written(template: str, words: list[str]) -> list[str]:
    """Write a template of letters in words: the letter a stands for the first of them."""
    return [words[ord(letter) - ord("a")] for letter in template]


# --- 15.1 ----------------------------------------------------------------------------------------


def clipped_counts(candidate: list[str], reference: list[str], n: int) -> tuple[int, int]:
    """Count the candidate's n-grams that the reference has too, each as often as it has them."""
    left = [reference[start : start + n] for start in range(len(reference) - n + 1)]
    starts = range(len(candidate) - n + 1)
    matches = 0
    for start in starts:
        gram = candidate[start : start + n]
        if gram in left:
            left.remove(gram)  # a match uses it up
            matches += 1
    return matches, len(starts)


def _counts_cases(draw: Draw) -> list[Case]:
    def case(name: str, candidate: str, reference: str, n: int) -> Case:
        words = _words(draw)
        both = {"candidate": _written(candidate, words), "reference": _written(reference, words)}
        return Case(name, {**both, "n": n})

    return [
        case("single words, some of them said too often", "abacabdab", "babcae", 1),
        case("pairs of words", "abcabdaba", "dabcbaab", 2),
        case("three words at a time", "abcdabcabcd", "cabcdbabc", 3),
        case("a reference that says a word more often", "abc", "aabcd", 1),
        case("a candidate that is right", "abcd", "abcd", 2),
        case("a candidate that is shorter than n", "ab", "abcd", 4),
        case("a reference that is shorter than n", "abcd", "ab", 3),
    ]


def _grams(tokens, n):
    return [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]


def _not_clipped(candidate, reference, n):
    known = _grams(reference, n)
    found = _grams(candidate, n)
    return sum(gram in known for gram in found), len(found)


def _each_gram_once(candidate, reference, n):
    found = _grams(candidate, n)
    return len(set(found) & set(_grams(reference, n))), len(found)


def _different_grams_only(candidate, reference, n):
    found = set(_grams(candidate, n))
    return len(found & set(_grams(reference, n))), len(found)


def _total_of_the_reference(candidate, reference, n):
    return clipped_counts(candidate, reference, n)[0], len(_grams(reference, n))


def _last_gram_forgotten(candidate, reference, n):
    found, known = _grams(candidate, n)[:-1], _grams(reference, n)[:-1]
    return (Counter(found) & Counter(known)).total(), len(found)


def _short_grams_at_the_end(candidate, reference, n):
    def grams(tokens):
        return Counter(tuple(tokens[start : start + n]) for start in range(len(tokens)))

    return (grams(candidate) & grams(reference)).total(), len(candidate)


def _all_orders_up_to_n(candidate, reference, n):
    counts = [clipped_counts(candidate, reference, order) for order in range(1, n + 1)]
    return sum(m for m, _ in counts), sum(t for _, t in counts)


def _one_after_the_other(candidate, reference, n):
    found, known = _grams(candidate, n)[::n], _grams(reference, n)[::n]
    return (Counter(found) & Counter(known)).total(), len(found)


def _at_the_same_place(candidate, reference, n):
    found = _grams(candidate, n)
    same = [a == b for a, b in zip(found, _grams(reference, n), strict=False)]
    return sum(same), len(found)


def _words_in_any_order(candidate, reference, n):
    found, known = (
        Counter(tuple(sorted(gram)) for gram in _grams(tokens, n))
        for tokens in (candidate, reference)
    )
    return (found & known).total(), found.total()


def _clipped_all_together(candidate, reference, n):
    matches, total = _not_clipped(candidate, reference, n)
    return min(matches, len(_grams(reference, n))), total


def _negative_total(candidate, reference, n):
    return clipped_counts(candidate, reference, n)[0], len(candidate) - n + 1


def _n_forgotten(candidate, reference, n):
    return clipped_counts(candidate, reference, 1)


def _counted_in_letters(candidate, reference, n):
    return clipped_counts(list(" ".join(candidate)), list(" ".join(reference)), n)


def _share_of_matches(candidate, reference, n):
    matches, total = clipped_counts(candidate, reference, n)
    return matches / max(total, 1)


def _total_first(candidate, reference, n):
    return clipped_counts(candidate, reference, n)[::-1]


def _mismatches(candidate, reference, n):
    matches, total = clipped_counts(candidate, reference, n)
    return total - matches, total


COUNTS = Exercise(
    id="15.1",
    title="How many n-grams are right",
    solution=clipped_counts,
    cases=_counts_cases,
    results=("matches", "total"),
    hints=(
        "How many stretches of `n` words has a sentence of six words, for n = 1, 2, 3? Write them "
        "down for both sentences first.",
        "`range(len(candidate) - n + 1)` are the places where one begins. It is empty where the "
        "sentence is too short.",
        "Go through the candidate's n-grams. If one is among those of the reference that are left, "
        "it is a match, and takes it away from there. Or write them as tuples: "
        "`Counter(found) & Counter(known)`, with the `Counter` of `collections`, keeps the smaller "
        "count of each.",
    ),
    mistakes=(
        Mistake(
            _not_clipped,
            "You do not clip: an n-gram that the candidate says three times and the reference once "
            "is one match. Else 'the the the' would be a perfect translation.",
        ),
        Mistake(
            _each_gram_once,
            "You count each n-gram once as a match, however often it comes: one that both say "
            "twice is two matches. A `set` forgets how often.",
        ),
        Mistake(
            _different_grams_only,
            "You count different n-grams only, in the matches and in the total: an n-gram that "
            "comes twice counts twice. A `set` forgets how often.",
        ),
        Mistake(
            _total_of_the_reference,
            "Your total counts the reference's n-grams, and the share would say how much of the "
            "reference was found. BLEU asks how much of the candidate is right: its own n-grams.",
        ),
        Mistake(
            _last_gram_forgotten,
            "The last n-gram is missing: a sentence of `len` words has `len - n + 1` of them.",
        ),
        Mistake(
            _short_grams_at_the_end,
            "At the end of a sentence you count pieces that are shorter than `n`: the last n-gram "
            "begins at `len - n`.",
        ),
        Mistake(
            _all_orders_up_to_n,
            "You add up all n-grams from 1 to `n`: only those of exactly `n` words are asked for.",
        ),
        Mistake(
            _one_after_the_other,
            "Your n-grams do not overlap: one begins at every word, not at every `n`-th.",
        ),
        Mistake(
            _at_the_same_place,
            "You compare what stands at the same place in both: an n-gram counts wherever the "
            "reference has it.",
        ),
        Mistake(
            _words_in_any_order,
            "Your n-grams forget the order of their words: 'dog bites' is not 'bites dog'.",
        ),
        Mistake(
            _clipped_all_together,
            "You clip the sum: each n-gram is clipped for itself, at how often the reference has "
            "just this one.",
        ),
        Mistake(
            _negative_total,
            "Your total is negative where the candidate is shorter than `n`: there are no n-grams "
            "then, so it is 0.",
        ),
        Mistake(_n_forgotten, "You count single words whatever `n` is."),
        Mistake(
            _counted_in_letters,
            "Your n-grams are letters: the sentences are lists of words, so slice the lists.",
        ),
        Mistake(
            _share_of_matches,
            "You return a share: both numbers are asked for, since a corpus adds them up before it "
            "divides.",
        ),
        Mistake(_total_first, "You return the total first: the matches come first."),
        Mistake(
            _mismatches, "You count the n-grams that are wrong: those that are right are asked for."
        ),
    ),
)

# --- 15.2 ----------------------------------------------------------------------------------------


def bleu(candidates: list[list[str]], references: list[list[str]]) -> float:
    """BLEU of a whole corpus, between 0 and 100."""
    matches, totals = [0] * 4, [0] * 4
    for candidate, reference in zip(candidates, references, strict=True):
        for n in (1, 2, 3, 4):
            left = [reference[start : start + n] for start in range(len(reference) - n + 1)]
            for start in range(len(candidate) - n + 1):
                gram = candidate[start : start + n]
                totals[n - 1] += 1
                if gram in left:
                    left.remove(gram)
                    matches[n - 1] += 1
    if 0 in matches:
        return 0.0
    product = 1.0
    for n_matches, total in zip(matches, totals, strict=True):
        product *= n_matches / total
    said, wanted = sum(map(len, candidates)), sum(map(len, references))
    penalty = min(1.0, torch.e ** (1 - wanted / said))
    return 100 * penalty * product**0.25


def _bleu_cases(draw: Draw) -> list[Case]:
    def case(name: str, *pairs: tuple[str, str]) -> Case:
        words = _words(draw)
        sides = zip(*pairs, strict=True)
        candidates, references = ([_written(text, words) for text in side] for side in sides)
        return Case(name, {"candidates": candidates, "references": references})

    return [
        case(
            "translations that are too short together",
            ("abcdeab", "abcdefgh"),
            ("ab", "abcdc"),
            ("aabcdefaa", "abcdegfa"),
            ("hgfec", "hgfedcb"),
        ),
        case(
            "translations that are too long together",
            ("abcdefgha", "abcdefg"),
            ("aaabcdb", "abcd"),
            ("efgab", "efgabh"),
        ),
        case("two sentences whose ends are wrong", ("abcdef", "abcdeg"), ("ghijkl", "ghijlk")),
        case("one sentence", ("abcdefba", "abcdegfba")),
        case("one of the sentences empty", ("abcdef", "abcdefg"), ("", "ab")),
        case("translations that are right", ("abcde", "abcde"), ("gfed", "gfed")),
        case("no four words in a row right", ("abcd", "abdc"), ("efga", "efgh")),
        case("no word right", ("abcd", "efgh")),
    ]


def _statistics(candidates, references, orders=4):
    """Give matches and totals of each order, and the two lengths."""
    counts = [
        [clipped_counts(c, r, n) for c, r in zip(candidates, references, strict=True)]
        for n in range(1, orders + 1)
    ]
    matches = [sum(m for m, _ in of_order) for of_order in counts]
    totals = [sum(t for _, t in of_order) for of_order in counts]
    return matches, totals, sum(map(len, candidates)), sum(map(len, references))


def _penalty(said, wanted):
    return min(1.0, math.exp(1 - wanted / said)) if said else 0.0


def _geometric(shares):
    return 100 * math.prod(shares) ** (1 / len(shares))


def _shares(matches, totals):
    return [m / t if t else 0.0 for m, t in zip(matches, totals, strict=True)]


def _mean_of_sentences(candidates, references):
    scores = [bleu([c], [r]) if c else 0.0 for c, r in zip(candidates, references, strict=True)]
    return sum(scores) / len(scores)


def _no_penalty(candidates, references):
    matches, totals, *_ = _statistics(candidates, references)
    return _geometric(_shares(matches, totals))


def _long_ones_rewarded(candidates, references):
    matches, totals, said, wanted = _statistics(candidates, references)
    return _geometric(_shares(matches, totals)) * math.exp(1 - wanted / said)


def _penalty_upside_down(candidates, references):
    matches, totals, said, wanted = _statistics(candidates, references)
    return _geometric(_shares(matches, totals)) * _penalty(wanted, said)


def _penalty_is_the_ratio(candidates, references):
    matches, totals, said, wanted = _statistics(candidates, references)
    return _geometric(_shares(matches, totals)) * min(1.0, said / wanted)


def _penalty_of_the_difference(candidates, references):
    matches, totals, said, wanted = _statistics(candidates, references)
    return _geometric(_shares(matches, totals)) * min(1.0, math.exp(said - wanted))


def _penalty_of_each_sentence(candidates, references):
    penalties = [_penalty(len(c), len(r)) for c, r in zip(candidates, references, strict=True)]
    return _no_penalty(candidates, references) * sum(penalties) / len(penalties)


def _penalty_in_the_root(candidates, references):
    matches, totals, said, wanted = _statistics(candidates, references)
    return 100 * (_penalty(said, wanted) * math.prod(_shares(matches, totals))) ** 0.25


def _mean_of_precisions(candidates, references):
    matches, totals, said, wanted = _statistics(candidates, references)
    return 100 * _penalty(said, wanted) * sum(_shares(matches, totals)) / 4


def _product_without_root(candidates, references):
    matches, totals, said, wanted = _statistics(candidates, references)
    return 100 * _penalty(said, wanted) * math.prod(_shares(matches, totals))


def _pairs_only(candidates, references):
    matches, totals, said, wanted = _statistics(candidates, references, 2)
    return _penalty(said, wanted) * _geometric(_shares(matches, totals))


def _three_orders(candidates, references):
    matches, totals, said, wanted = _statistics(candidates, references, 3)
    return _penalty(said, wanted) * _geometric(_shares(matches, totals))


def _four_grams_only(candidates, references):
    matches, totals, said, wanted = _statistics(candidates, references)
    return 100 * _penalty(said, wanted) * _shares(matches, totals)[3]


def _words_only(candidates, references):
    matches, totals, said, wanted = _statistics(candidates, references, 1)
    return _penalty(said, wanted) * _geometric(_shares(matches, totals))


def _bleu_not_clipped(candidates, references):
    both = list(zip(candidates, references, strict=True))
    counts = [[_not_clipped(c, r, n) for c, r in both] for n in range(1, 5)]
    shares = [sum(m for m, _ in of) / sum(t for _, t in of) for of in counts]
    return _penalty(sum(map(len, candidates)), sum(map(len, references))) * _geometric(shares)


def _precisions_of_sentences_averaged(candidates, references):
    both = list(zip(candidates, references, strict=True))
    shares = []
    for n in range(1, 5):
        counts = [clipped_counts(c, r, n) for c, r in both]
        shares.append(sum(m / max(t, 1) for m, t in counts) / len(counts))
    return _penalty(sum(map(len, candidates)), sum(map(len, references))) * _geometric(shares)


def _one_long_text(candidates, references):
    return bleu([list(chain(*candidates))], [list(chain(*references))])


def _share_of_the_reference(candidates, references):
    matches, _, said, wanted = _statistics(candidates, references)
    totals = _statistics(references, references)[1]
    return _penalty(said, wanted) * _geometric(_shares(matches, totals))


def _one_added(candidates, references):
    matches, totals, said, wanted = _statistics(candidates, references)
    more = [[count + 1 for count in counts] for counts in (matches, totals)]
    return _penalty(said, wanted) * _geometric(_shares(*more))


def _orders_without_a_match_left_out(candidates, references):
    matches, totals, said, wanted = _statistics(candidates, references)
    shares = [share for share in _shares(matches, totals) if share]
    return _penalty(said, wanted) * _geometric(shares) if shares else 0.0


def _logarithm_of_nothing(candidates, references):
    matches, totals, said, wanted = _statistics(candidates, references)
    mean = sum(math.log(m / t) for m, t in zip(matches, totals, strict=True)) / 4
    return 100 * _penalty(said, wanted) * math.exp(mean)


def _a_share(candidates, references):
    return bleu(candidates, references) / 100


BLEU = Exercise(
    id="15.2",
    title="BLEU by hand",
    solution=bleu,
    cases=_bleu_cases,
    results=("score",),
    hints=(
        "Four precisions, one for each n from 1 to 4: matches by total, as 15.1 counts them, but "
        "both summed over *all* sentences before the division.",
        "Their geometric mean is the fourth root of their product. If one of them is 0, so is the "
        "score.",
        "The brevity penalty is 1 where the candidates have together at least as many words as the "
        "references, else exp(1 - words of the references / words of the candidates). "
        "`torch.e ** x` is exp(x).",
    ),
    mistakes=(
        Mistake(
            _mean_of_sentences,
            "You average the BLEU of single sentences: add up matches and totals of all sentences "
            "first. A sentence without four right words in a row would count as 0.",
        ),
        Mistake(
            _no_penalty,
            "Nothing keeps translations from being too short: the brevity penalty is missing.",
        ),
        Mistake(
            _long_ones_rewarded,
            "Your brevity penalty is above 1 where the candidates are longer than the references: "
            "it is 1 at most. Too many words cost precision already.",
        ),
        Mistake(
            _penalty_upside_down,
            "Your brevity penalty is upside down: it punishes long candidates, and short ones go "
            "free.",
        ),
        Mistake(
            _penalty_is_the_ratio,
            "Your brevity penalty is the ratio of the lengths: it is exp(1 - words of the "
            "references / words of the candidates).",
        ),
        Mistake(
            _penalty_of_the_difference,
            "Your brevity penalty takes the difference of the lengths: it takes their ratio, "
            "exp(1 - references / candidates).",
        ),
        Mistake(
            _penalty_of_each_sentence,
            "You give each sentence a brevity penalty of its own and average: it is one for the "
            "corpus, from the sums of the lengths.",
        ),
        Mistake(
            _penalty_in_the_root,
            "Your brevity penalty stands under the fourth root: only the precisions do.",
        ),
        Mistake(
            _mean_of_precisions,
            "You average the four precisions: it is their geometric mean, the fourth root of the "
            "product.",
        ),
        Mistake(
            _product_without_root,
            "You multiply the four precisions: their geometric mean is the fourth root of that.",
        ),
        Mistake(_pairs_only, "You stop at pairs of words: n goes from 1 to 4."),
        Mistake(_three_orders, "You stop at three words: n goes from 1 to 4."),
        Mistake(
            _four_grams_only,
            "You count four words at a time only: all four orders, 1 to 4, go into the mean.",
        ),
        Mistake(_words_only, "You count single words only: n goes from 1 to 4."),
        Mistake(
            _bleu_not_clipped,
            "You do not clip: an n-gram is a match as often as the reference has it, no more.",
        ),
        Mistake(
            _precisions_of_sentences_averaged,
            "You divide sentence by sentence and average the precisions: sum matches and totals "
            "over all sentences, and divide once.",
        ),
        Mistake(
            _one_long_text,
            "You join all sentences to one text: n-grams do not reach over the end of a sentence, "
            "and what is right in one sentence is no match for another.",
        ),
        Mistake(
            _share_of_the_reference,
            "You divide by the n-grams of the references: precision divides by those of the "
            "candidates.",
        ),
        Mistake(
            _one_added,
            "You add one to the counts: no smoothing is asked for. A corpus is large enough to "
            "have matches of all orders.",
        ),
        Mistake(
            _orders_without_a_match_left_out,
            "You leave out orders that have no match: if one precision is 0, the score is 0.",
        ),
        Mistake(
            _logarithm_of_nothing,
            "Where no n-gram of some order is right, you take the logarithm of 0, or divide by 0: "
            "the score is 0.0 then.",
        ),
        Mistake(_a_share, "You return a share: BLEU is given between 0 and 100."),
    ),
)

# --- 15.3 ----------------------------------------------------------------------------------------


def split_pairs(
    pairs: list[tuple[str, str]], share: float
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Hold out whole groups, so that no sentence of either language stands on both sides."""
    groups: list[list[tuple[str, str]]] = []
    for pair in pairs:
        joined, apart = [pair], []
        for group in groups:
            if any(pair[0] == source or pair[1] == target for source, target in group):
                joined += group  # the pair may hang together with several groups
            else:
                apart.append(group)
        groups = [*apart, joined]
    train, held_out = [], []
    for group in groups:
        side = held_out if len(held_out) < share * len(pairs) else train
        side.extend(group)
    return train, held_out


def _split_cases(draw: Draw) -> list[Case]:
    def sentences(side: str, numbers: list[int]) -> list[str]:
        return [f"{side} {names[number]}" for number in numbers]

    def case(
        name: str, numbers: list[tuple[int, int]], share: float, *, shuffled: bool = True
    ) -> Case:
        order = torch.randperm(len(numbers), generator=draw.generator).tolist()
        numbers = [numbers[place] for place in order] if shuffled else numbers
        sources, targets = (list(side) for side in zip(*numbers, strict=True))
        both = zip(sentences("source", sources), sentences("target", targets), strict=True)
        return Case(name, {"pairs": list(both), "share": share})

    names = (torch.randperm(900, generator=draw.generator) + 100).tolist()
    several = [(s, 2 * s + k) for s in range(20) for k in range(2)]
    # Sources 3i and 3i + 1 share a target, 3i + 1 and 3i + 2 another one.
    chains = [
        (3 * i + k, 2 * i + j) for i in range(24) for k, j in ((0, 0), (1, 0), (1, 1), (2, 1))
    ]
    alone = [(s, s) for s in range(40)]
    large = [(0, k) for k in range(12)]
    return [
        case("chains of pairs, each with a sentence of the next", chains, 0.5),
        case("sources with two translations each", several, 0.25),
        case("targets that translate two sources each", [(b, a) for a, b in several], 0.5),
        case(
            "one large group at the end",
            [(s, s + 12) for s in range(1, 29)] + large,
            0.2,
            shuffled=False,
        ),
        case("pairs that stand there twice", alone[:20] * 2, 0.25),
        case("no sentence twice", alone, 0.25),
    ]


def _run_split(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    pairs, share = arguments.values()
    given = list(pairs)
    came = submission(pairs, share)
    if not isinstance(came, tuple | list) or len(came) != 2:
        return {"answer": kind_of(came)}
    if not all(isinstance(side, list) for side in came):
        return {"answer": f"a tuple of {kind_of(came[0])} and {kind_of(came[1])}"}
    train, held_out = came
    contents = "each pair once"
    if not all(isinstance(pair, tuple) and pair in given for pair in train + held_out):
        contents = "not the pairs that came in"
    elif Counter(train + held_out) != Counter(given):
        more = "more" if len(train) + len(held_out) > len(given) else "fewer"
        contents = f"{more} pairs than came in"
    if contents != "each pair once":
        return {"answer": "two lists", "contents": contents}
    leaks = [
        name
        for name, k in (("sources", 0), ("targets", 1))
        if {pair[k] for pair in train} & {pair[k] for pair in held_out}
    ]
    # In whatever order the groups come, the last one may bring too many pairs: its size less one.
    wanted, largest = share * len(given), max(4, *Counter(source for source, _ in given).values())
    size = "enough"
    if len(held_out) < wanted:
        size = "too small" if held_out else "empty"
    elif len(held_out) >= wanted + largest:
        size = "too large" if train else "all there is"
    return {
        "answer": "two lists",
        "contents": contents,
        "sentences on both sides": " and ".join(leaks) or "none",
        "held-out set": size,
    }


def _by_lines(pairs, share):
    count = int(share * len(pairs))
    return pairs[count:], pairs[:count]


def _by_lines_from_the_end(pairs, share):
    return _by_lines(pairs, 1 - share)[::-1]


def _whole_groups(pairs, share, key):
    groups = {}
    for pair in pairs:
        groups.setdefault(key(pair), []).append(pair)
    train, held_out = [], []
    for group in groups.values():
        (held_out if len(held_out) < share * len(pairs) else train).extend(group)
    return train, held_out


def _grouped_by_source(pairs, share):
    return _whole_groups(pairs, share, lambda pair: pair[0])


def _grouped_by_target(pairs, share):
    return _whole_groups(pairs, share, lambda pair: pair[1])


def _grouped_by_pair(pairs, share):
    return _whole_groups(pairs, share, lambda pair: pair)


def _groups(pairs):
    groups = []
    for pair in pairs:
        hang = [g for g in groups if any(pair[0] == s or pair[1] == t for s, t in g)]
        groups = [g for g in groups if g not in hang] + [[*chain(*hang), pair]]
    return groups


def _groups_never_joined(pairs, share):
    groups = []
    for pair in pairs:
        for group in groups:
            if any(pair[0] == s or pair[1] == t for s, t in group):
                group.append(pair)
                break
        else:
            groups.append([pair])
    train, held_out = [], []
    for group in groups:
        (held_out if len(held_out) < share * len(pairs) else train).extend(group)
    return train, held_out


def _leaks_thrown_away(pairs, share):
    train, held_out = _by_lines(pairs, share)
    known = {side for pair in train for side in pair}
    return train, [pair for pair in held_out if not known & set(pair)]


def _a_leaking_pair_goes_to_the_training(pairs, share):
    train, held_out = _by_lines(pairs, share)
    sources, targets = ({pair[k] for pair in train} for k in (0, 1))
    leaks = [pair for pair in held_out if pair[0] in sources or pair[1] in targets]
    return train + leaks, [pair for pair in held_out if pair not in leaks]


def _held_out_first(pairs, share):
    return split_pairs(pairs, share)[::-1]


def _share_of_the_groups(pairs, share):
    groups = _groups(pairs)
    count = int(share * len(groups))
    return list(chain(*groups[count:])), list(chain(*groups[:count]))


def _stops_before_it_is_enough(pairs, share):
    train, held_out = [], []
    for group in _groups(pairs):
        fits = len(held_out) + len(group) < share * len(pairs)
        (held_out if fits else train).extend(group)
    return train, held_out


def _everything_held_out(pairs, share):
    return [], list(pairs)


def _nothing_held_out(pairs, share):
    return list(pairs), []


def _copies_dropped(pairs, share):
    return split_pairs(list(dict.fromkeys(pairs)), share)


def _taken_out_of_the_list(pairs, share):
    train, held_out = split_pairs(list(pairs), share)
    for pair in held_out:
        pairs.remove(pair)
    return train, held_out


def _sets_of_pairs(pairs, share):
    train, held_out = split_pairs(pairs, share)
    return set(train), set(held_out)


def _places_of_the_pairs(pairs, share):
    train, held_out = split_pairs(pairs, share)
    return [pairs.index(pair) for pair in train], [pairs.index(pair) for pair in held_out]


_BY_LINES = (
    "You split by lines, and sentences of both languages stand on both sides: a source that has "
    "several translations comes on several lines. Make groups first, and keep each together."
)
SPLIT = Exercise(
    id="15.3",
    title="No sentence on both sides",
    solution=split_pairs,
    cases=_split_cases,
    run=_run_split,
    results=("answer", "contents", "sentences on both sides", "held-out set"),
    hints=(
        "Two pairs belong together if they have a source or a target in common. So do two pairs "
        "that each have something in common with a third.",
        "Go through the pairs with a list of groups. Which groups does a new pair hang together "
        "with? None, one, or several: then these become one.",
        "At the end let whole groups go into the held-out set, until it has `share * len(pairs)` "
        "pairs or more. All others are for training.",
    ),
    mistakes=(
        Mistake(_by_lines, _BY_LINES),
        Mistake(
            _grouped_by_source,
            "You keep the translations of one source together, but a target that translates two "
            "sources stands on both sides: 'Go on.' and 'Continue.' are one sentence in French.",
        ),
        Mistake(
            _grouped_by_target,
            "You keep the sources of one target together, but a source that has two translations "
            "stands on both sides.",
        ),
        Mistake(
            _grouped_by_pair,
            "You keep equal pairs together only: a pair that has just its source, or just its "
            "target, in common with another one belongs to it, too.",
        ),
        Mistake(
            _groups_never_joined,
            "A pair that has its source in one group and its target in another makes one group of "
            "the two: yours joins the first that it finds, and the groups stay apart.",
        ),
        Mistake(
            _leaks_thrown_away,
            "You throw away pairs that leak: it would be honest, but here every pair stays, on one "
            "side or the other.",
        ),
        Mistake(
            _a_leaking_pair_goes_to_the_training,
            "You move the pairs that leak to the training, and hardly anything is left to hold "
            "out: `share` of all pairs are asked for, in whole groups.",
        ),
        Mistake(
            _held_out_first,
            "Your held-out set is too large: `share` of the pairs are held out, not trained on. "
            "And the training comes first, `return train, held_out`.",
        ),
        Mistake(
            _share_of_the_groups,
            "You hold out a share of the groups: groups are of very different sizes, so count "
            "pairs.",
        ),
        Mistake(
            _stops_before_it_is_enough,
            "You stop before the held-out set is large enough: it has `share * len(pairs)` pairs "
            "or a few more.",
        ),
        Mistake(_everything_held_out, "You hold out everything, and nothing is left to train on."),
        Mistake(_nothing_held_out, "You hold out nothing."),
        Mistake(
            _copies_dropped,
            "You drop pairs that stand there twice: all that came in goes out again, on one side "
            "or the other.",
        ),
        Mistake(
            _taken_out_of_the_list,
            "You take pairs out of the caller's list: make new lists.",
        ),
        Mistake(
            _sets_of_pairs,
            "You return sets: two lists are asked for, and a set would drop what stands there "
            "twice.",
        ),
        Mistake(
            _places_of_the_pairs,
            "What you return are not the pairs that came in: give the pairs themselves, each a "
            "tuple of two texts, not their places or their halves.",
        ),
    ),
    inherited=(Mistake(_by_lines_from_the_end, _BY_LINES),),
)

# --- 15.4 ----------------------------------------------------------------------------------------


def learn_bpe(words: list[str], merges: int) -> tuple[list[tuple[str, str]], list[list[str]]]:
    """Join the most frequent neighbours again and again: the pairs, and each word in pieces."""
    pieces = [list(word) for word in words]
    learnt: list[tuple[str, str]] = []
    for _ in range(merges):
        counts: dict[tuple[str, str], int] = {}
        for word in pieces:
            for place in range(len(word) - 1):
                pair = word[place], word[place + 1]
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        # Most frequent first; among equals the first in the alphabet.
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        learnt.append(best)
        for word in pieces:
            place = 0
            while place < len(word) - 1:
                if (word[place], word[place + 1]) == best:
                    word[place : place + 2] = ["".join(best)]
                place += 1
    return learnt, pieces


def _bpe_cases(draw: Draw) -> list[Case]:
    letters = "abcdefghijklmnopqrstuvwxyz"

    def case(name: str, text: str, merges: int) -> Case:
        # The order of the alphabet decides between equals: it stays as it is in the template.
        chosen = sorted(torch.randperm(26, generator=draw.generator)[:9].tolist())
        names = {a: letters[place] for a, place in zip("abcdefghi", chosen, strict=True)}
        words = ["".join(names[letter] for letter in word) for word in text.split()]
        return Case(name, {"words": words, "merges": merges})

    return [
        case(
            "words that come several times",
            "dcb dcb dcb dcbde dcbde ebfhdb ebfhdb ebfhdb ebfhdb abgdb bgdc cdc cdc",
            7,
        ),
        case("a piece that ends like a pair", "abc abc abc bcd bcd ab ab ab abcd dbc", 4),
        case("equal counts", "gfe gfe cab cab hi hi", 5),
        case("a pair that comes twice in a word", "abab abab ecd ecd ecd", 3),
        case("one letter many times", "aaa aaaa aabaa aa baaaab", 3),
        case("more merges than there are pairs", "ab abc", 9),
        case("no merge", "abc ab", 0),
    ]


def _run_bpe(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    came = submission(*arguments.values())
    if not isinstance(came, tuple | list) or len(came) != 2:
        return {"answer": kind_of(came)}
    return {"answer": "a tuple of two", "merges": came[0], "pieces": came[1]}


def _pair_counts(pieces):
    counts = Counter()
    for word in pieces:
        counts.update(pairwise(word))
    return counts


def _joined(word, best):
    word, place = list(word), 0
    while place < len(word) - 1:
        if (word[place], word[place + 1]) == best:
            word[place : place + 2] = ["".join(best)]
        place += 1
    return word


def _first_in_the_alphabet(counts):
    return min(counts, key=lambda pair: (-counts[pair], pair))


def _learn(words, merges, *, count=_pair_counts, choose=_first_in_the_alphabet, join=_joined):
    """Learn as the reference does, with one part put in the place of another."""
    pieces, learnt = [list(word) for word in words], []
    for _ in range(merges):
        counts = count(pieces)
        if not counts:
            break
        learnt.append(choose(counts))
        pieces = [join(word, learnt[-1]) for word in pieces]
    return learnt, pieces


def _first_seen_among_equals(words, merges):
    return _learn(words, merges, choose=lambda counts: max(counts, key=counts.get))


def _last_in_the_alphabet_among_equals(words, merges):
    return _learn(words, merges, choose=lambda c: max(c, key=lambda pair: (c[pair], pair)))


def _least_frequent(words, merges):
    return _learn(words, merges, choose=lambda c: min(c, key=lambda pair: (c[pair], pair)))


def _each_word_counted_once(words, merges):
    return _learn(words, merges, count=lambda p: _pair_counts({tuple(w): w for w in p}.values()))


def _a_pair_once_a_word(words, merges):
    def count(pieces):
        return Counter(pair for word in pieces for pair in set(pairwise(word)))

    return _learn(words, merges, count=count)


def _counted_once_for_all(words, merges):
    counts = _pair_counts([list(word) for word in words])
    learnt = sorted(counts, key=lambda pair: (-counts[pair], pair))[:merges]
    pieces = [list(word) for word in words]
    for best in learnt:
        pieces = [_joined(word, best) for word in pieces]
    return learnt, pieces


def _over_the_ends_of_words(words, merges):
    return _learn(words, merges, count=lambda pieces: _pair_counts([list(chain(*pieces))]))


def _replaced_in_a_text(words, merges):
    def join(word, best):
        return " ".join(word).replace(" ".join(best), "".join(best)).split(" ")

    return _learn(words, merges, join=join)


def _first_place_only(words, merges):
    def join(word, best):
        for place, pair in enumerate(pairwise(word)):
            if pair == best:
                return [*word[:place], "".join(best), *word[place + 2 :]]
        return word

    return _learn(words, merges, join=join)


def _from_the_right(words, merges):
    def join(word, best):
        backwards = _joined(word[::-1], best[::-1])
        joined = "".join(best)
        return [
            joined if piece == joined[::-1] or piece == "".join(best[::-1]) else piece
            for piece in backwards
        ][::-1]

    return _learn(words, merges, join=join)


def _words_not_rewritten(words, merges):
    return _learn(words, merges)[0], [list(word) for word in words]


def _never_joined(words, merges):
    return _learn(words, merges, join=lambda word, best: word)


def _one_merge_too_many(words, merges):
    return _learn(words, merges + 1)


def _nothing_left_to_join(words, merges):
    pieces, learnt = [list(word) for word in words], []
    for _ in range(merges):
        learnt.append(_first_in_the_alphabet(_pair_counts(pieces)))
        pieces = [_joined(word, learnt[-1]) for word in pieces]
    return learnt, pieces


def _stops_when_a_pair_comes_once(words, merges):
    def count(pieces):
        return Counter({pair: k for pair, k in _pair_counts(pieces).items() if k > 1})

    return _learn(words, merges, count=count)


def _joined_pairs(words, merges):
    learnt, pieces = _learn(words, merges)
    return ["".join(pair) for pair in learnt], pieces


def _different_words_only(words, merges):
    learnt, _ = _learn(words, merges)
    return learnt, _learn(list(dict.fromkeys(words)), 0)[1] if not learnt else [
        _pieces_of(word, learnt) for word in dict.fromkeys(words)
    ]


def _pieces_of(word, learnt):
    pieces = list(word)
    for best in learnt:
        pieces = _joined(pieces, best)
    return pieces


def _pieces_of_all_words_in_one_list(words, merges):
    learnt, pieces = _learn(words, merges)
    return learnt, list(chain(*pieces))


def _merges_alone(words, merges):
    return _learn(words, merges)[0]


BPE = Exercise(
    id="15.4",
    title="The first merges of byte-pair encoding",
    solution=learn_bpe,
    cases=_bpe_cases,
    run=_run_bpe,
    results=("answer", "merges", "pieces"),
    hints=(
        "Keep each word as a list of pieces, single letters at first. `zip(word, word[1:])` gives "
        "its neighbours.",
        "One round: count all pairs of neighbours in all words, take the most frequent, and join "
        "it wherever it stands. Then count anew: the new piece has new neighbours.",
        "`min(counts, key=lambda pair: (-counts[pair], pair))` takes the most frequent, and among "
        "equals the first in the alphabet. Stop when no word has two pieces.",
    ),
    mistakes=(
        Mistake(
            _first_seen_among_equals,
            "Among pairs that are equally frequent you take the one that was seen first: take the "
            "first in the alphabet, so that the order of the words does not matter.",
        ),
        Mistake(
            _last_in_the_alphabet_among_equals,
            "Among pairs that are equally frequent you take the last in the alphabet: the first is "
            "asked for. `max` of (count, pair) does this.",
        ),
        Mistake(
            _least_frequent, "You join the pair that is least frequent: join the most frequent."
        ),
        Mistake(
            _each_word_counted_once,
            "You count each different word once: a word that comes five times counts five times.",
        ),
        Mistake(
            _a_pair_once_a_word,
            "You count a pair once a word: if it stands at two places of a word, it counts twice.",
        ),
        Mistake(
            _counted_once_for_all,
            "You count once, before the first merge: after each merge count anew, since the new "
            "piece has neighbours of its own.",
        ),
        Mistake(
            _over_the_ends_of_words,
            "You count neighbours over the ends of words: the last piece of a word and the first "
            "of the next are no pair.",
        ),
        Mistake(
            _replaced_in_a_text,
            "You join by `replace` in a text, which also finds the end of a longer piece: in "
            "'ab c' it takes 'b c' for the pair (b, c). Compare whole pieces.",
        ),
        Mistake(
            _first_place_only,
            "You join a pair only where it stands first in a word: join it at all places.",
        ),
        Mistake(
            _from_the_right,
            "Where a letter comes three times in a row you join the last two: go from left to "
            "right.",
        ),
        Mistake(
            _words_not_rewritten,
            "Your merges are right, but the words are still written in letters: return them as "
            "they are after the last merge.",
        ),
        Mistake(
            _never_joined,
            "The most frequent pair is never joined, so it stays the most frequent: rewrite the "
            "words with the new piece before you count again.",
        ),
        Mistake(_one_merge_too_many, "One merge too many: does your loop run `merges` times?"),
        Mistake(
            _nothing_left_to_join,
            "When every word is one piece there is no pair left to choose: stop then.",
        ),
        Mistake(
            _stops_when_a_pair_comes_once,
            "You stop when no pair comes twice: go on as long as there is a pair at all.",
        ),
        Mistake(
            _joined_pairs,
            "Your merges are texts: give the two pieces of each as a tuple. From 'abc' nobody can "
            "tell whether a and bc were joined, or ab and c.",
        ),
        Mistake(
            _different_words_only,
            "You give the pieces of the different words: all of `words` are asked for, in their "
            "order.",
        ),
        Mistake(
            _pieces_of_all_words_in_one_list,
            "Your pieces are one list: a list of lists is asked for, one for each word.",
        ),
        Mistake(
            _merges_alone,
            "You return the merges alone: `return merges, pieces`, with each word in pieces.",
        ),
    ),
)

EXERCISES = (COUNTS, BLEU, SPLIT, BPE)
