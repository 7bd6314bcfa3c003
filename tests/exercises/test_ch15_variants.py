"""Chapter 15: answers written otherwise than in the list get what their values deserve."""

import math
import random
import re
from collections import Counter, defaultdict
from itertools import pairwise

import pytest
import sacrebleu
from variants import SEEDS, assert_passes, assert_told

from unrolled.exercises.ch15 import bleu, clipped_counts, learn_bpe, split_pairs

# --- Right answers --------------------------------------------------------------------------------


def grams(tokens, n):
    return list(zip(*(tokens[shift:] for shift in range(n)), strict=False))


def counts_by_counters(candidate, reference, n):
    found, known = Counter(grams(candidate, n)), Counter(grams(reference, n))
    return sum(min(count, known[gram]) for gram, count in found.items()), sum(found.values())


def counts_in_texts(candidate, reference, n):
    found, known = (
        [" ".join(tokens[i : i + n]) for i in range(len(tokens)) if i + n <= len(tokens)]
        for tokens in (candidate, reference)
    )
    return sum(min(found.count(g), known.count(g)) for g in set(found)), len(found)


def bleu_in_logarithms(candidates, references):
    total = 0.0
    for n in range(1, 5):
        pairs = zip(candidates, references, strict=True)
        counts = [counts_by_counters(c, r, n) for c, r in pairs]
        right, all_of_them = (sum(side) for side in zip(*counts, strict=True))
        if not right:
            return 0.0
        total += math.log(right / all_of_them) / 4
    said, wanted = (sum(len(text) for text in side) for side in (candidates, references))
    return 100 * math.exp(min(0, 1 - wanted / said) + total)


def bleu_of_the_library(candidates, references):
    metric = sacrebleu.BLEU(tokenize="none", smooth_method="none", force=True)
    hypotheses, expected = (
        [" ".join(tokens) for tokens in side] for side in (candidates, references)
    )
    return float(metric.corpus_score(hypotheses, [expected]).score)


def split_by_union_find(pairs, share):
    parent = {}

    def root(node):
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for source, target in pairs:
        parent[root(("source", source))] = root(("target", target))
    groups = defaultdict(list)
    for pair in pairs:
        groups[root(("source", pair[0]))].append(pair)
    # The small groups first: any order will do.
    train, held_out = [], []
    for group in sorted(groups.values(), key=len):
        (train if len(held_out) >= share * len(pairs) else held_out).extend(group)
    return train, held_out


def split_by_walking(pairs, share):
    by_side = defaultdict(set)
    for place, pair in enumerate(pairs):
        by_side["source", pair[0]].add(place)
        by_side["target", pair[1]].add(place)
    chosen = set()
    for start in reversed(range(len(pairs))):
        if len(chosen) >= share * len(pairs):
            break
        waiting = [start]
        while waiting:
            place = waiting.pop()
            if place not in chosen:
                chosen.add(place)
                source, target = pairs[place]
                waiting += by_side["source", source] | by_side["target", target]
    train = [pair for place, pair in enumerate(pairs) if place not in chosen]
    return train, [pairs[place] for place in chosen]


def bpe_by_expressions(words, merges):
    texts, learnt = [" ".join(word) for word in words], []
    while len(learnt) < merges:
        counts = Counter()
        for text in texts:
            pieces = text.split()
            counts.update(pairwise(pieces))
        if not counts:
            break
        most = max(counts.values())
        best = min(pair for pair, count in counts.items() if count == most)
        learnt.append(best)
        pattern = rf"(?<!\S){re.escape(' '.join(best))}(?!\S)"
        texts = [re.sub(pattern, "".join(best), text) for text in texts]
    return learnt, [text.split() for text in texts]


def bpe_of_different_words(words, merges):
    frequency = Counter(words)
    pieces = {word: tuple(word) for word in frequency}
    learnt = []
    for _ in range(merges):
        counts = Counter()
        for word, of_word in pieces.items():
            for left, right in pairwise(of_word):
                counts[left, right] += frequency[word]
        if not counts:
            break
        learnt.append(min((-count, pair) for pair, count in counts.items())[1])
        for word, of_word in pieces.items():
            joined = []
            for piece in of_word:
                if joined and (joined[-1], piece) == learnt[-1]:
                    joined[-1] += piece
                else:
                    joined.append(piece)
            pieces[word] = tuple(joined)
    return learnt, [list(pieces[word]) for word in words]


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("15.1", counts_by_counters),
        ("15.1", counts_in_texts),
        ("15.2", bleu_in_logarithms),
        ("15.2", bleu_of_the_library),
        ("15.3", split_by_union_find),
        ("15.3", split_by_walking),
        ("15.4", bpe_by_expressions),
        ("15.4", bpe_of_different_words),
    ],
)
def test_a_right_answer_written_otherwise_passes(key, answer, seeds):
    assert_passes(key, answer, seeds)


# --- Wrong answers --------------------------------------------------------------------------------


def counts_by_in(candidate, reference, n):
    known, total, matches = grams(reference, n), 0, 0
    for gram in grams(candidate, n):
        total += 1
        matches += gram in known
    return matches, total


def counts_used_up_in_the_reference(candidate, reference, n):
    matches = 0
    for word in candidate:
        if word in reference:
            reference.remove(word)
            matches += 1
    return matches, len(candidate)


def bleu_smoothed_as_for_sentences(candidates, references):
    metric = sacrebleu.BLEU(tokenize="none", smooth_method="exp", force=True)
    texts = [[" ".join(tokens) for tokens in side] for side in (candidates, references)]
    return float(metric.corpus_score(texts[0], [texts[1]]).score)


def bleu_of_sentences_of_the_library(candidates, references):
    pairs = zip(candidates, references, strict=True)
    scores = [bleu_of_the_library([c], [r]) for c, r in pairs]
    return sum(scores) / len(scores)


def split_the_last_lines(pairs, share):
    count = len(pairs) - int(share * len(pairs))
    return pairs[:count], pairs[count:]


def split_at_random(pairs, share):
    order = random.Random(0).sample(pairs, len(pairs))
    count = round(share * len(pairs))
    return order[count:], order[:count]


def split_sources_and_targets(pairs, share):
    train, held_out = split_pairs(pairs, share)
    return [list(side) for side in zip(*train, strict=True)], held_out


def split_lists_of_lists(pairs, share):
    return tuple([list(pair) for pair in side] for side in split_pairs(pairs, share))


def split_makes_one_list(pairs, share):
    train, held_out = split_pairs(pairs, share)
    return train + held_out


def bpe_with_an_end_of_word(words, merges):
    return learn_bpe([f"{word}_" for word in words], merges)


def bpe_most_common(words, merges):
    learnt, pieces = [], [list(word) for word in words]
    for _ in range(merges):
        counts = Counter(p for w in pieces for p in pairwise(w))
        if not counts:
            break
        best = counts.most_common(1)[0][0]
        learnt.append(best)
        for word in pieces:
            left = word[:]
            word.clear()
            while left:
                joins = tuple(left[:2]) == best
                word.append("".join(left[: 1 + joins]))
                del left[: 1 + joins]
    return learnt, pieces


def bpe_lists_for_tuples(words, merges):
    learnt, pieces = learn_bpe(words, merges)
    return [list(pair) for pair in learnt], pieces


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "expected"),
    [
        ("15.1", counts_by_in, "not clipped"),
        ("15.1", counts_used_up_in_the_reference, "changes its argument `reference` in place"),
        ("15.2", bleu_smoothed_as_for_sentences, (1, "not with no four words in a row right")),
        ("15.2", bleu_of_sentences_of_the_library, "mean of sentences"),
        ("15.3", split_the_last_lines, "by lines"),
        ("15.3", split_at_random, "by lines"),
        ("15.3", split_sources_and_targets, "places of the pairs"),
        ("15.3", split_lists_of_lists, "places of the pairs"),
        ("15.3", split_makes_one_list, "expected two lists"),
        ("15.4", bpe_with_an_end_of_word, "Your merges are"),
        ("15.4", bpe_most_common, "first seen among equals"),
        ("15.4", bpe_lists_for_tuples, "Your merges are [["),
    ],
)
def test_a_wrong_answer_is_told_what_is_wrong(key, answer, expected, seeds):
    assert_told(key, answer, expected, seeds)


# --- What the statements say ----------------------------------------------------------------------


def test_bleu_by_hand_is_that_of_the_library():
    drawn = random.Random(0)
    for _ in range(40):
        sizes = [drawn.randint(0, 12) for _ in range(8)]
        references = [drawn.choices("abcde", k=size + 2) for size in sizes]
        candidates = [
            [drawn.choice("abcde") if drawn.random() < 0.3 else word for word in reference][:size]
            for reference, size in zip(references, sizes, strict=True)
        ]
        score = bleu_of_the_library(candidates, references)
        assert math.isclose(bleu(candidates, references), score, abs_tol=1e-9)


def test_a_split_has_whole_groups_whatever_the_pairs():
    drawn = random.Random(0)
    for _ in range(40):
        pairs = [(f"s{drawn.randint(0, 30)}", f"t{drawn.randint(0, 30)}") for _ in range(30)]
        train, held_out = split_pairs(pairs, 0.3)
        assert len(held_out) >= 9
        assert Counter(train + held_out) == Counter(pairs)
        for side in (0, 1):
            assert not {pair[side] for pair in train} & {pair[side] for pair in held_out}


def test_clipping_keeps_the_popular_example():
    # The example of Papineni et al. (2002): seven times "the" is two matches of seven.
    reference = ["the", "cat", "is", "on", "the", "mat"]
    assert clipped_counts(["the"] * 7, reference, 1) == (2, 7)
