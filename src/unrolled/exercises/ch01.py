"""Exercises of chapter 1, sequences."""
# Answers, right and wrong, look as readers write them.
# ruff: noqa: ANN001, ANN202

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unrolled.exercises.exercise import Case, Draw, Exercise, Mistake

# --- 01.1 ----------------------------------------------------------------------------------------


def windows_and_targets(tokens: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """All windows of k tokens, and the token that comes after each."""
    windows = tokens.unfold(0, k, 1)  # (time - k + 1, k)
    return windows[:-1], tokens[k:]  # (time - k, k), (time - k,): nothing follows the last window


def _window_cases(draw: Draw) -> list[Case]:
    def different(time: int) -> Tensor:
        # No two tokens alike, and not in order: then nothing is right by chance.
        return torch.randperm(3 * time, generator=draw.generator)[:time]

    # More windows than twice their length, so that no two sizes are equal by chance.
    k = draw.sizes(1, low=2, high=4)[0]
    more = draw.sizes(1, low=6, high=9)[0]
    time = 2 * k + more
    repeated = draw.integers(0, 2, time)
    return [
        Case("different tokens", {"tokens": different(time), "k": k}),
        Case("a window of one token", {"tokens": different(more), "k": 1}),
        Case("a single window", {"tokens": different(k + 1), "k": k}),
        Case("tokens that come back", {"tokens": repeated, "k": k}),
    ]


def _last_of_the_window_as_target(tokens, k):
    return tokens.unfold(0, k, 1)[:-1], tokens[k - 1 : -1]


def _first_token_of_the_window_as_target(tokens, k):
    return tokens.unfold(0, k, 1)[:-1], tokens[:-k]


def _second_token_as_target(tokens, k):
    return tokens.unfold(0, k, 1)[:-1], tokens[1 : len(tokens) - k + 1]


def _a_window_with_nothing_after_it(tokens, k):
    return tokens.unfold(0, k, 1), tokens[k:]


def _a_window_with_nothing_after_it_and_as_many_targets(tokens, k):
    return tokens.unfold(0, k, 1), tokens[k - 1 :]


def _the_last_window_lost(tokens, k):
    return tokens.unfold(0, k, 1)[:-2], tokens[k:-1]


def _the_last_window_lost_in_the_loop(tokens, k):
    rows = range(len(tokens) - k - 1)
    windows = torch.stack([tokens[i : i + k] for i in rows])
    return windows, torch.stack([tokens[i + k] for i in rows])


def _a_token_left_out(tokens, k):
    return tokens.unfold(0, k, 1)[:-2], tokens[k + 1 :]


def _a_token_left_out_in_the_loop(tokens, k):
    rows = range(len(tokens) - k - 1)
    windows = torch.stack([tokens[i : i + k] for i in rows])
    return windows, torch.stack([tokens[i + k + 1] for i in rows])


def _past_the_end(tokens, k):
    rows = range(len(tokens) - k + 1)
    windows = torch.stack([tokens[i : i + k] for i in rows])
    return windows, torch.stack([tokens[i + k] for i in rows])


def _windows_of_uneven_length(tokens, k):
    windows = torch.stack([tokens[i : i + k] for i in range(len(tokens))])
    return windows, tokens[k:]


def _windows_side_by_side(tokens, k):
    windows = tokens.unfold(0, k, k)
    windows = windows[: (len(tokens) - 1) // k]
    return windows, tokens[k::k]


def _windows_side_by_side_and_all_targets(tokens, k):
    return tokens.unfold(0, k, k), tokens[k:]


def _reshaped_into_windows(tokens, k):
    return tokens.reshape(-1, k), tokens[k:]


def _newest_token_first(tokens, k):
    return tokens.unfold(0, k, 1)[:-1].flip(1), tokens[k:]


def _windows_transposed(tokens, k):
    return tokens.unfold(0, k, 1)[:-1].T, tokens[k:]


def _windows_of_the_reshaped_transpose(tokens, k):
    columns = [tokens[i : len(tokens) - k + i] for i in range(k)]
    return torch.cat(columns).reshape(-1, k), tokens[k:]


def _windows_as_targets(tokens, k):
    return tokens.unfold(0, k, 1)[:-1], tokens.unfold(0, k, 1)[1:]


def _windows_hold_their_target(tokens, k):
    return tokens.unfold(0, k + 1, 1), tokens[k:]


def _windows_too_short(tokens, k):
    return torch.stack([tokens[i : i + k - 1] for i in range(len(tokens) - k)]), tokens[k:]


def _windows_one_token_late(tokens, k):
    return tokens.unfold(0, k, 1)[1:], tokens[k:]


def _windows_that_wrap_round(tokens, k):
    return torch.stack([tokens.roll(-i) for i in range(k)], dim=1), tokens.roll(-k)


def _padding_at_the_start(tokens, k):
    padded = torch.cat([tokens.new_zeros(k), tokens])
    return padded.unfold(0, k, 1)[:-1], tokens


_LAST_WINDOW_LOST = (
    "What you return is right, but the last window is missing: the last token of the text is a "
    "target, too, so there are `len(tokens) - k` windows."
)
_GAP = (
    "There is a gap between window and target: the target of `tokens[i : i + k]` is "
    "`tokens[i + k]`, since the slice ends before that index."
)

WINDOWS = Exercise(
    id="01.1",
    title="Windows, and what comes after",
    solution=windows_and_targets,
    cases=_window_cases,
    results=("windows", "targets"),
    axes={"tokens": ("time",), "windows": ("window", "place"), "targets": ("window",)},
    hints=(
        "Write it down for the five tokens a b c d e and `k = 2`: which windows have a token after "
        "them?",
        "The window that begins at index `i` is `tokens[i : i + k]`, and its target is "
        "`tokens[i + k]`. The largest `i` is the one for which that still exists.",
        "All targets together are `tokens[k:]`. For the windows, stack the slices of a loop, or "
        "look up `tokens.unfold(0, k, 1)` and count its rows.",
    ),
    mistakes=(
        Mistake(
            _last_of_the_window_as_target,
            "Your windows are right, but each target is the last token of its window: a model "
            "would only have to copy it. The target of `tokens[i : i + k]` is `tokens[i + k]`.",
        ),
        Mistake(
            _first_token_of_the_window_as_target,
            "Your windows are right, but each target is the first token of its own window: the one "
            "after the window is meant, so all targets together are `tokens[k:]`.",
        ),
        Mistake(
            _second_token_as_target,
            "Your windows are right, but your targets are only one step behind the start of their "
            "windows, and stand inside them: go `k` steps on, not one.",
        ),
        Mistake(
            _a_window_with_nothing_after_it,
            "You have one window more than targets: nothing comes after the last window, so leave "
            "it out.",
        ),
        Mistake(
            _a_window_with_nothing_after_it_and_as_many_targets,
            "Your last window has nothing after it, and your targets stand inside their windows: "
            "leave that window out, and begin the targets at `tokens[k]`.",
        ),
        Mistake(_the_last_window_lost, _LAST_WINDOW_LOST),
        Mistake(_a_token_left_out, _GAP),
        Mistake(
            _past_the_end,
            "Your loop runs one window too far: a window that ends with the last token has no "
            "target, so there are `len(tokens) - k` windows.",
        ),
        Mistake(
            _windows_of_uneven_length,
            "Your loop makes a window at every token, and those near the end are shorter than `k`: "
            "stop where a whole window and its target still fit.",
        ),
        Mistake(
            _windows_side_by_side,
            "Your windows stand side by side and share no token: all windows are meant, so the "
            "next one begins one step later, not `k` steps.",
        ),
        Mistake(
            _windows_side_by_side_and_all_targets,
            "Your targets are right, but your windows begin `k` steps apart: there is one for each "
            "target, so the next window begins one step later.",
        ),
        Mistake(
            _reshaped_into_windows,
            "A `reshape` or `view` cuts the text into pieces that share no token, and fails where "
            "`k` does not divide its length: the next window begins one step later.",
        ),
        Mistake(
            _newest_token_first,
            "Your windows run backwards, the newest token first: leave the tokens in the order in "
            "which they stand in the text.",
        ),
        Mistake(
            _windows_transposed,
            "Your windows stand in columns: put one window in each row, (time - k, k).",
        ),
        Mistake(
            _windows_of_the_reshaped_transpose,
            "Your windows have the right shape, but a `reshape` or `view` does not transpose: put "
            "the `k` shifted copies side by side, with `torch.stack(..., dim=1)`.",
        ),
        Mistake(
            _windows_as_targets,
            "Your targets are whole windows, shifted by one: one token is meant for each window, "
            "(time - k,). All steps at once is how chapter 3 trains.",
        ),
        Mistake(
            _windows_hold_their_target,
            "Your windows are one token too long, and that token is the target: a model would see "
            "what it is to guess.",
        ),
        Mistake(
            _windows_too_short,
            "Your windows are one token too short: a slice leaves out its end, so `k` tokens are "
            "`tokens[i : i + k]`.",
        ),
        Mistake(
            _windows_one_token_late,
            "Your windows begin one token too late, so that each ends with its own target: the "
            "first window is `tokens[:k]`.",
        ),
        Mistake(
            _windows_that_wrap_round,
            "Your last windows go on at the start of the text: `roll` moves what falls off the end "
            "to the front. Keep the windows that have `k` tokens and a target.",
        ),
        Mistake(
            _padding_at_the_start,
            "You have put padding before the text, so your first windows hold tokens that are not "
            "there: begin with the first window that is full.",
        ),
    ),
    inherited=(
        Mistake(_the_last_window_lost_in_the_loop, _LAST_WINDOW_LOST),
        Mistake(_a_token_left_out_in_the_loop, _GAP),
    ),
)

# --- 01.2 ----------------------------------------------------------------------------------------


def bigram_probabilities(tokens: Tensor, vocab_size: int, alpha: float) -> Tensor:
    """Probability of each token after each other, from counts to which alpha is added."""
    counts = torch.full((vocab_size, vocab_size), alpha)  # (before, after)
    for t in range(1, len(tokens)):
        counts[tokens[t - 1], tokens[t]] += 1
    return counts / counts.sum(dim=1, keepdim=True)


def _bigram_cases(draw: Draw) -> list[Case]:
    def case(name: str, tokens: Tensor, vocab_size: int, alpha: float) -> Case:
        return Case(name, {"tokens": tokens, "vocab_size": vocab_size, "alpha": alpha})

    vocab = draw.sizes(1, low=4, high=7)[0]
    a, b = torch.randperm(vocab, generator=draw.generator)[:2]
    begin = torch.stack([a, b, a, b, a, b])  # surely a pair that comes several times
    # It ends with `a`, so that its last pair is not its first.
    text = torch.cat([begin, draw.integers(0, vocab - 1, 6 * vocab), begin[:1]])
    alpha = 0.1 * draw.sizes(1, low=2, high=7)[0]
    return [
        case("pairs that come several times", text, vocab, alpha),
        case("tokens that never come", text, vocab + 2, alpha),
        case("little smoothing", text, vocab, 0.01),
        case("a text of two tokens", begin[:2], vocab, alpha),
    ]


def _run_bigram(submission: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    table = submission(*arguments.values())
    # Nothing that comes in decides between `float32` and `float64`.
    return {"table": table.float() if isinstance(table, Tensor) else table}


def _counts(tokens: Tensor, vocab_size: int) -> Tensor:
    pairs = tokens[:-1] * vocab_size + tokens[1:]  # (time - 1,)
    return torch.bincount(pairs, minlength=vocab_size**2).reshape(vocab_size, vocab_size).float()


def _each_pair_counted_once(tokens, vocab_size, alpha):
    counts = torch.full((vocab_size, vocab_size), alpha)
    counts[tokens[:-1], tokens[1:]] += 1
    return counts / counts.sum(dim=1, keepdim=True)


def _one_for_each_pair_that_came(tokens, vocab_size, alpha):
    counts = torch.full((vocab_size, vocab_size), alpha)
    counts[tokens[:-1], tokens[1:]] = 1
    return counts / counts.sum(dim=1, keepdim=True)


def _row_is_the_token_after(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size).T + alpha
    return counts / counts.sum(dim=1, keepdim=True)


def _each_column_sums_to_one(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size) + alpha
    return counts / counts.sum(dim=0, keepdim=True)


def _columns_divided_by_the_sums_of_rows(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size) + alpha
    return counts / counts.sum(dim=1)


def _probabilities_of_pairs(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size) + alpha
    return counts / counts.sum()


def _alpha_in_the_numerator_only(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size)
    return (counts + alpha) / counts.sum(dim=1, keepdim=True)


def _alpha_once_in_the_denominator(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size)
    return (counts + alpha) / (counts.sum(dim=1, keepdim=True) + alpha)


def _size_of_the_vocabulary_without_alpha(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size)
    return (counts + alpha) / (counts.sum(dim=1, keepdim=True) + vocab_size)


def _size_of_the_table_in_the_denominator(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size)
    return (counts + alpha) / (counts.sum(dim=1, keepdim=True) + alpha * vocab_size**2)


def _alpha_in_the_denominator_only(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size)
    return counts / (counts.sum(dim=1, keepdim=True) + alpha * vocab_size)


def _always_adds_one(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size) + 1
    return counts / counts.sum(dim=1, keepdim=True)


def _no_smoothing(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size)
    return counts / counts.sum(dim=1, keepdim=True)


def _alpha_for_unseen_pairs_only(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size).clamp(min=alpha)
    return counts / counts.sum(dim=1, keepdim=True)


def _alpha_added_to_the_probabilities(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size)
    return counts / counts.sum(dim=1, keepdim=True).clamp(min=1) + alpha


def _unseen_rows_of_zeros(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size)
    seen = (counts.sum(dim=1, keepdim=True) > 0).float()
    return seen * (counts + alpha) / (counts + alpha).sum(dim=1, keepdim=True)


def _all_tokens_in_the_denominator(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size)
    before = torch.bincount(tokens, minlength=vocab_size)
    return (counts + alpha) / (before[:, None] + alpha * vocab_size)


def _the_last_pair_missing(tokens, vocab_size, alpha):
    counts = _counts(tokens[:-1], vocab_size) + alpha
    return counts / counts.sum(dim=1, keepdim=True)


def _the_first_pair_missing(tokens, vocab_size, alpha):
    counts = _counts(tokens[1:], vocab_size) + alpha
    return counts / counts.sum(dim=1, keepdim=True)


def _a_pair_from_end_to_start(tokens, vocab_size, alpha):
    counts = _counts(torch.cat([tokens, tokens[:1]]), vocab_size) + alpha
    return counts / counts.sum(dim=1, keepdim=True)


def _pairs_side_by_side(tokens, vocab_size, alpha):
    counts = torch.full((vocab_size, vocab_size), alpha)
    for before, after in zip(tokens[:-1:2], tokens[1::2], strict=True):
        counts[before, after] += 1
    return counts / counts.sum(dim=1, keepdim=True)


def _softmax_of_the_counts(tokens, vocab_size, alpha):
    return torch.softmax(_counts(tokens, vocab_size) + alpha, dim=1)


def _counts_not_divided(tokens, vocab_size, alpha):
    return _counts(tokens, vocab_size) + alpha


def _logarithms_of_the_probabilities(tokens, vocab_size, alpha):
    return torch.log(bigram_probabilities(tokens, vocab_size, alpha))


def _largest_of_a_row_for_its_sum(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size) + alpha
    return counts / counts.amax(dim=1, keepdim=True)


def _the_token_before_ignored(tokens, vocab_size, alpha):
    counts = torch.bincount(tokens, minlength=vocab_size) + alpha
    return (counts / counts.sum()).expand(vocab_size, -1)


def _the_token_before_ignored_and_the_first_token_left_out(tokens, vocab_size, alpha):
    return _the_token_before_ignored(tokens[1:], vocab_size, alpha)


def _length_of_the_text_for_the_sum(tokens, vocab_size, alpha):
    return (_counts(tokens, vocab_size) + alpha) / len(tokens)


def _a_step_past_the_end(tokens, vocab_size, alpha):
    counts = torch.full((vocab_size, vocab_size), alpha)
    for t in range(len(tokens)):
        counts[tokens[t], tokens[t + 1]] += 1
    return counts / counts.sum(dim=1, keepdim=True)


def _each_token_with_itself(tokens, vocab_size, alpha):
    counts = torch.diag(torch.bincount(tokens, minlength=vocab_size).float()) + alpha
    return counts / counts.sum(dim=1, keepdim=True)


def _both_orders_counted(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size)
    counts = counts + counts.T + alpha
    return counts / counts.sum(dim=1, keepdim=True)


def _both_orders_of_smoothed_counts(tokens, vocab_size, alpha):
    counts = _counts(tokens, vocab_size) + alpha
    counts = counts + counts.T
    return counts / counts.sum(dim=1, keepdim=True)


def _a_token_between(tokens, vocab_size, alpha):
    counts = torch.full((vocab_size, vocab_size), alpha)
    for before, after in zip(tokens[:-2], tokens[2:], strict=True):
        counts[before, after] += 1
    return counts / counts.sum(dim=1, keepdim=True)


def _every_token_with_every_other(tokens, vocab_size, alpha):
    before = torch.bincount(tokens[:-1], minlength=vocab_size)
    counts = before[:, None] * torch.bincount(tokens[1:], minlength=vocab_size) + alpha
    return counts / counts.sum(dim=1, keepdim=True)


def _only_the_tokens_of_the_text(tokens, vocab_size, alpha):
    counts = _counts(tokens, int(tokens.max()) + 1) + alpha
    return counts / counts.sum(dim=1, keepdim=True)


_ROWS_ALIKE = (
    "All your rows are alike, since you count single tokens: count pairs, with a row for each "
    "token before."
)
_BOTH_ORDERS = (
    "You count each pair in both orders: the row is the token before, the column the token after, "
    "and what comes after is not what came before."
)

_COUNTED_ONCE = (
    "You count each pair once, however often it comes: `counts[before, after] += 1` with index "
    "tensors adds to a place only once, and `= 1` does not count. Use a loop, `torch.bincount`, or "
    "`index_put_(..., accumulate=True)`."
)
BIGRAM = Exercise(
    id="01.2",
    title="A bigram table",
    solution=bigram_probabilities,
    cases=_bigram_cases,
    run=_run_bigram,
    results=("table",),
    axes={"tokens": ("time",), "table": ("row", "column")},
    hints=(
        "First a table of counts: `counts[before, after]` says how often the one token is followed "
        "by the other. What does it begin with, when `alpha` is added to every count?",
        "Go through the pairs of neighbours with `zip(tokens[:-1], tokens[1:])` and add 1 for "
        "each. Then divide every row by its own sum.",
        "`counts.sum(dim=1, keepdim=True)` is (vocab, 1): with `keepdim=True` each row is divided "
        "by its own sum.",
    ),
    mistakes=(
        Mistake(_each_pair_counted_once, _COUNTED_ONCE),
        Mistake(
            _row_is_the_token_after,
            "Your table is filled the other way round: the row is the token before, the column the "
            "token after.",
        ),
        Mistake(
            _each_column_sums_to_one,
            "Your columns sum to 1, and the rows should: what comes after a given token is one "
            "distribution, so divide by the sum over `dim=1`.",
        ),
        Mistake(
            _columns_divided_by_the_sums_of_rows,
            "You divide each column by the sum of a row: `counts.sum(dim=1)` is (vocab,) and lies "
            "along the columns. With `keepdim=True` it is (vocab, 1) and stays with its row.",
        ),
        Mistake(
            _probabilities_of_pairs,
            "Your whole table sums to 1, so it holds the probabilities of pairs: given the token "
            "before, each row sums to 1.",
        ),
        Mistake(
            _alpha_in_the_numerator_only,
            "Your rows sum to more than 1: `alpha` is added to each count, so it belongs into the "
            "sum as well. Add it first, then divide by the new sums.",
        ),
        Mistake(
            _alpha_once_in_the_denominator,
            "Your rows sum to more than 1: each of the `vocab_size` counts of a row has grown by "
            "`alpha`, so its sum grows by `alpha * vocab_size`, not by one `alpha`.",
        ),
        Mistake(
            _size_of_the_vocabulary_without_alpha,
            "Your rows do not sum to 1: you add `alpha` to each count but `vocab_size` to the sum, "
            "which is right for `alpha = 1` only. The sum grows by `alpha * vocab_size`.",
        ),
        Mistake(
            _size_of_the_table_in_the_denominator,
            "Your rows sum to less than 1: a row has `vocab_size` counts, not as many as the whole "
            "table, so its sum grows by `alpha * vocab_size`.",
        ),
        Mistake(
            _alpha_in_the_denominator_only,
            "Your rows sum to less than 1: `alpha` makes the sums larger, but it is not added to "
            "the counts themselves.",
        ),
        Mistake(
            _always_adds_one,
            "You add 1 to each count: how much is added is up to the caller, who gives `alpha`.",
        ),
        Mistake(
            _no_smoothing,
            "Your `alpha` has no effect: a pair that never came gets probability 0, and a row that "
            "was never seen 0/0. Add it to every count, seen or not, before you divide.",
        ),
        Mistake(
            _alpha_for_unseen_pairs_only,
            "You put `alpha` only where a count is 0: additive smoothing adds it to every count, "
            "seen or not.",
        ),
        Mistake(
            _alpha_added_to_the_probabilities,
            "You add `alpha` after dividing, so your rows sum to more than 1: add it to the "
            "counts, then divide.",
        ),
        Mistake(
            _unseen_rows_of_zeros,
            "Right, but for the rows of tokens that never came before another: yours are zeros, "
            "and every row sums to 1. With `alpha` in each count they come out uniform.",
        ),
        Mistake(
            _all_tokens_in_the_denominator,
            "The row of the last token sums to less than 1: nothing comes after the end of the "
            "text, so divide by how often a token is followed by another, not by how often it "
            "comes.",
        ),
        Mistake(
            _the_last_pair_missing,
            "The last pair of the text is missing: `tokens[:-1]` are all tokens that have one "
            "after them, and `tokens[1:]` are those that come after.",
        ),
        Mistake(
            _the_first_pair_missing,
            "The first pair of the text is missing: `tokens[0]` has no token before it, but it is "
            "the token before `tokens[1]`.",
        ),
        Mistake(
            _a_pair_from_end_to_start,
            "You count one pair too many, from the last token to the first: `roll`, and the index "
            "-1, go round the end of the text.",
        ),
        Mistake(
            _pairs_side_by_side,
            "Your pairs share no token: each token but the last begins a pair, so go on by one "
            "step, not by two.",
        ),
        Mistake(
            _softmax_of_the_counts,
            "You take a softmax of the counts: counts are divided by their sum; a softmax would "
            "first take the exponential of each.",
        ),
        Mistake(
            _counts_not_divided,
            "Your counts are right, with `alpha` in each: now divide every row by its sum.",
        ),
        Mistake(
            _logarithms_of_the_probabilities,
            "You return logarithms: the probabilities themselves are asked for.",
        ),
        Mistake(
            _largest_of_a_row_for_its_sum,
            "You divide each row by its largest count: divide by its sum, so that it sums to 1.",
        ),
        Mistake(_the_token_before_ignored, _ROWS_ALIKE),
        Mistake(
            _length_of_the_text_for_the_sum,
            "You divide by the length of the text: each row is divided by its own sum, so that it "
            "sums to 1.",
        ),
        Mistake(
            _a_step_past_the_end,
            "Your loop runs one step too far: the last token has none after it, so there are "
            "`len(tokens) - 1` pairs.",
        ),
        Mistake(
            _each_token_with_itself,
            "You pair each token with itself: the second of a pair is one step later, "
            "`zip(tokens[:-1], tokens[1:])`.",
        ),
        Mistake(_both_orders_counted, _BOTH_ORDERS),
        Mistake(
            _a_token_between,
            "Your pairs have a token between them: the second of a pair is one step later.",
        ),
        Mistake(
            _every_token_with_every_other,
            "You pair every token with every other one, as two loops inside each other do: only "
            "neighbours are pairs, so one loop is enough.",
        ),
        Mistake(
            _only_the_tokens_of_the_text,
            "Your table has a row for the tokens up to the largest in this text: the vocabulary "
            "may have more, so make it (vocab_size, vocab_size).",
        ),
    ),
    inherited=(
        Mistake(_the_token_before_ignored_and_the_first_token_left_out, _ROWS_ALIKE),
        Mistake(_both_orders_of_smoothed_counts, _BOTH_ORDERS),
        Mistake(_one_for_each_pair_that_came, _COUNTED_ONCE),
    ),
)

# --- 01.3 ----------------------------------------------------------------------------------------


def log_probability(tokens: Tensor, first: Tensor, table: Tensor) -> Tensor:
    """Logarithm of the probability of a text, by the chain rule."""
    after = table[tokens[:-1], tokens[1:]]  # (time - 1,): p(x_t | x_{t-1})
    return torch.log(first[tokens[0]]) + torch.log(after).sum()


def _chain_cases(draw: Draw) -> list[Case]:
    def distribution(*shape: int) -> Tensor:
        return torch.softmax(draw.normal(*shape), dim=-1)

    def case(name: str, tokens: Tensor, table: Tensor) -> Case:
        first = distribution(vocab)
        # The text does not begin with the most likely token.
        first = first.roll(int(tokens[0] + 1 - first.argmax()))
        return Case(name, {"tokens": tokens, "first": first, "table": table})

    vocab, time = draw.sizes(1, low=4, high=6)[0], draw.sizes(1, low=8, high=12)[0]
    impossible = distribution(vocab, vocab)
    impossible[1, 0] = 0
    impossible = impossible / impossible.sum(dim=1, keepdim=True)
    tokens = draw.integers(0, vocab - 1, time)
    tokens[:4] = torch.tensor([1, 1, 2, 3])  # a token that comes twice in a row
    return [
        case("a short text", tokens, distribution(vocab, vocab)),
        # The probability itself, 10 to the power of -700 or so, is rounded to 0.
        case("a long text", draw.integers(0, vocab - 1, 1000), distribution(vocab, vocab)),
        case("a text of one token", tokens[:1], distribution(vocab, vocab)),
        case("a pair that cannot be", torch.tensor([2, 1, 0, 2]), impossible),
    ]


def _the_probability_itself(tokens, first, table):
    return first[tokens[0]] * table[tokens[:-1], tokens[1:]].prod()


def _logarithm_of_the_product(tokens, first, table):
    return torch.log(first[tokens[0]] * table[tokens[:-1], tokens[1:]].prod())


def _logarithm_of_the_sum(tokens, first, table):
    return torch.log(first[tokens[0]] + table[tokens[:-1], tokens[1:]].sum())


def _sum_of_the_probabilities(tokens, first, table):
    return first[tokens[0]] + table[tokens[:-1], tokens[1:]].sum()


def _the_first_token_forgotten(tokens, first, table):
    return torch.log(table[tokens[:-1], tokens[1:]]).sum()


def _the_first_probability_without_logarithm(tokens, first, table):
    return first[tokens[0]] + torch.log(table[tokens[:-1], tokens[1:]]).sum()


def _the_first_token_at_every_step(tokens, first, table):
    return (torch.log(first[tokens[0]]) + torch.log(table[tokens[:-1], tokens[1:]])).sum()


def _the_most_likely_first_token(tokens, first, table):
    return torch.log(first.max()) + torch.log(table[tokens[:-1], tokens[1:]]).sum()


def _first_token_of_the_vocabulary(tokens, first, table):
    return torch.log(first[0]) + torch.log(table[tokens[:-1], tokens[1:]]).sum()


def _table_read_the_other_way_round(tokens, first, table):
    return torch.log(first[tokens[0]]) + torch.log(table[tokens[1:], tokens[:-1]]).sum()


def _mean_of_the_logarithms(tokens, first, table):
    return log_probability(tokens, first, table) / len(tokens)


def _mean_of_the_pairs(tokens, first, table):
    after = torch.log(table[tokens[:-1], tokens[1:]])
    return torch.log(first[tokens[0]]) + after.mean()


def _negative(tokens, first, table):
    return -log_probability(tokens, first, table)


def _negative_mean(tokens, first, table):
    return -log_probability(tokens, first, table) / len(tokens)


def _base_two(tokens, first, table):
    return torch.log2(first[tokens[0]]) + torch.log2(table[tokens[:-1], tokens[1:]]).sum()


def _base_ten(tokens, first, table):
    return torch.log10(first[tokens[0]]) + torch.log10(table[tokens[:-1], tokens[1:]]).sum()


def _each_token_by_itself(tokens, first, table):
    return torch.log(first[tokens]).sum()


def _every_token_given_the_first(tokens, first, table):
    return torch.log(first[tokens[0]]) + torch.log(table[tokens[0], tokens[1:]]).sum()


def _the_last_pair_forgotten(tokens, first, table):
    return torch.log(first[tokens[0]]) + torch.log(table[tokens[:-2], tokens[1:-1]]).sum()


def _the_first_pair_forgotten(tokens, first, table):
    return torch.log(first[tokens[0]]) + torch.log(table[tokens[1:-1], tokens[2:]]).sum()


def _a_pair_from_the_end_to_the_start(tokens, first, table):
    return torch.log(first[tokens[0]]) + torch.log(table[tokens.roll(1), tokens]).sum()


def _every_row_with_every_column(tokens, first, table):
    return torch.log(first[tokens[0]]) + torch.log(table[tokens[:-1]][:, tokens[1:]]).sum()


def _a_row_for_each_token(tokens, first, table):
    return torch.log(first[tokens[0]]) + torch.log(table[tokens[:-1]]).sum()


def _the_whole_distribution_of_the_first(tokens, first, table):
    return torch.log(first) + torch.log(table[tokens[:-1], tokens[1:]]).sum()


def _all_first_tokens_added(tokens, first, table):
    return torch.log(first).sum() + torch.log(table[tokens[:-1], tokens[1:]]).sum()


def _one_number_for_each_token(tokens, first, table):
    return torch.log(torch.cat([first[tokens[:1]], table[tokens[:-1], tokens[1:]]]))


def _one_number_on_an_axis(tokens, first, table):
    return torch.log(first[tokens[:1]]) + torch.log(table[tokens[:-1], tokens[1:]]).sum()


def _the_last_token_for_the_first(tokens, first, table):
    return torch.log(first[tokens[-1]]) + torch.log(table[tokens[:-1], tokens[1:]]).sum()


def _one_added_to_each_probability(tokens, first, table):
    return torch.log1p(first[tokens[0]]) + torch.log1p(table[tokens[:-1], tokens[1:]]).sum()


def _softmax_of_the_probabilities(tokens, first, table):
    after = torch.log_softmax(table, dim=1)[tokens[:-1], tokens[1:]]
    return torch.log_softmax(first, dim=0)[tokens[0]] + after.sum()


def _a_pair_past_the_end(tokens, first, table):
    total = torch.log(first[tokens[0]])
    for t in range(len(tokens)):
        total = total + torch.log(table[tokens[t], tokens[t + 1]])
    return total


def _the_first_token_forgotten_from_zero_on(tokens, first, table):
    total = torch.tensor(0.0)
    for t in range(1, len(tokens)):
        total = total + torch.log(table[tokens[t - 1], tokens[t]])
    return total


def _a_row_for_every_token(tokens, first, table):
    return torch.log(first[tokens[0]]) + torch.log(table[tokens]).sum()


def _logarithms_multiplied(tokens, first, table):
    return torch.log(first[tokens[0]]) * torch.log(table[tokens[:-1], tokens[1:]]).sum()


def _impossible_pairs_left_out(tokens, first, table):
    after = table[tokens[:-1], tokens[1:]]
    return torch.log(first[tokens[0]]) + torch.log(after[after > 0]).sum()


def _with_a_small_number(size):
    def chain(tokens, first, table):
        after = torch.log(table[tokens[:-1], tokens[1:]] + size)
        return torch.log(first[tokens[0]] + size) + after.sum()

    return chain


def _a_small_number_added(tokens, first, table):
    return _with_a_small_number(1e-10)(tokens, first, table)


def _clamped(tokens, first, table):
    after = torch.log(table[tokens[:-1], tokens[1:]].clamp(min=1e-10))
    return torch.log(first[tokens[0]]) + after.sum()


_SMALL_NUMBER = (
    "You add a small number to the probabilities, or keep them above one: a pair of probability 0 "
    "makes the whole text impossible, and the logarithm minus infinity says so. Smoothing belongs "
    "into the table."
)

_FIRST_FORGOTTEN = (
    "All pairs are right, but the first token is missing: no token stands before it, so its "
    "probability comes from `first`."
)
_WHOLE_ROWS = (
    "You add up whole rows of the table: from the row of the token before take one number, that of "
    "the token that came."
)

CHAIN = Exercise(
    id="01.3",
    title="The chain rule",
    solution=log_probability,
    cases=_chain_cases,
    results=("log-probability",),
    axes={"first": ("vocab",), "table": ("row", "column"), "log-probability": ()},
    hints=(
        "The probability of a text is a product: the first token, then each token given the one "
        "before. What becomes of a product under a logarithm?",
        "`first[tokens[0]]` is the probability of the first token, and `table[tokens[:-1], "
        "tokens[1:]]` picks one number for each pair of neighbours, (time - 1,).",
        "Take the logarithm of each factor, then add them all up: never multiply the "
        "probabilities, or a long text comes out as 0.",
    ),
    mistakes=(
        Mistake(
            _logarithm_of_the_product,
            "Right for short texts, but the product of a thousand probabilities is rounded to 0, "
            "and its logarithm is minus infinity: take the logarithm of each factor, then add.",
        ),
        Mistake(
            _the_probability_itself,
            "You return the probability itself, which is rounded to 0 in a long text: its "
            "logarithm is asked for, a sum of logarithms.",
        ),
        Mistake(
            _logarithm_of_the_sum,
            "You add the probabilities and take the logarithm of the sum: the chain rule "
            "multiplies them, so take the logarithm of each, then add.",
        ),
        Mistake(
            _sum_of_the_probabilities,
            "You add the probabilities: the chain rule multiplies them, so what is added is their "
            "logarithms.",
        ),
        Mistake(_the_first_token_forgotten, _FIRST_FORGOTTEN),
        Mistake(
            _the_first_probability_without_logarithm,
            "Your pairs are right, but `first[tokens[0]]` is added without its logarithm.",
        ),
        Mistake(
            _the_first_token_at_every_step,
            "Your first token counts at every step: it is added to all pairs before they are "
            "summed. Close the brackets so that only the pairs are summed, then add it once.",
        ),
        Mistake(
            _the_most_likely_first_token,
            "You take the largest probability of `first`: the text begins with `tokens[0]`, likely "
            "or not.",
        ),
        Mistake(
            _first_token_of_the_vocabulary,
            "You take `first[0]`, the token with the number 0: the text begins with `tokens[0]`, "
            "so its probability is `first[tokens[0]]`.",
        ),
        Mistake(
            _table_read_the_other_way_round,
            "Your table is read the other way round: the row is the token before, "
            "`table[before, after]`.",
        ),
        Mistake(
            _mean_of_the_logarithms,
            "You divide by the number of tokens: that is the mean for each token, and the "
            "logarithm of the whole text is asked for, the sum.",
        ),
        Mistake(
            _mean_of_the_pairs,
            "You take the mean over the pairs: the factors of a product become terms of a sum, so "
            "add them.",
        ),
        Mistake(
            _negative,
            "Right up to its sign: a log-probability is negative or 0, and with a minus it would "
            "be the loss.",
        ),
        Mistake(
            _negative_mean,
            "You return the loss, a mean with a minus: the logarithm of the whole text is asked "
            "for, the sum as it is.",
        ),
        Mistake(
            _base_two,
            "Your logarithm has base 2 and gives bits: the natural one, `torch.log`, is meant.",
        ),
        Mistake(
            _base_ten,
            "Your logarithm has base 10: the natural one, `torch.log`, is meant.",
        ),
        Mistake(
            _each_token_by_itself,
            "You take each token by itself, as if the order did not matter: from the second on, "
            "its probability depends on the token before, and stands in `table`.",
        ),
        Mistake(
            _every_token_given_the_first,
            "You look up every token in the row of the first one: the row is the token right "
            "before.",
        ),
        Mistake(
            _the_last_pair_forgotten,
            "Your last pair is missing: a text of `time` tokens has `time - 1` pairs.",
        ),
        Mistake(
            _the_first_pair_forgotten,
            "Your first pair is missing: after `first[tokens[0]]` comes the second token given the "
            "first, `table[tokens[0], tokens[1]]`.",
        ),
        Mistake(
            _a_pair_from_the_end_to_the_start,
            "You count one pair too many, from the last token to the first: `roll`, and the index "
            "-1, go round the end of the text.",
        ),
        Mistake(
            _every_row_with_every_column,
            "Your two indices are taken one after the other, so every row meets every column: "
            "`table[tokens[:-1], tokens[1:]]` takes them in pairs.",
        ),
        Mistake(_a_row_for_each_token, _WHOLE_ROWS),
        Mistake(
            _a_pair_past_the_end,
            "Your loop runs one step too far: a text of `time` tokens has `time - 1` pairs.",
        ),
        Mistake(
            _the_whole_distribution_of_the_first,
            "You add the whole of `first`, so the answer has a number for each token of the "
            "vocabulary: take the one of the token that came, `first[tokens[0]]`.",
        ),
        Mistake(
            _all_first_tokens_added,
            "You add up the logarithms of all of `first`: take the one of the token that came, "
            "`first[tokens[0]]`.",
        ),
        Mistake(
            _one_number_for_each_token,
            "You return a number for each token: add them up, the logarithm of a product is the "
            "sum of the logarithms.",
        ),
        Mistake(
            _one_number_on_an_axis,
            "Your number is right, but it stands on an axis of its own, (1,): index with "
            "`tokens[0]`, not `tokens[:1]`.",
        ),
        Mistake(
            _the_last_token_for_the_first,
            "You look up the last token in `first`: the text begins with `tokens[0]`.",
        ),
        Mistake(
            _one_added_to_each_probability,
            "You add 1 to each probability before the logarithm, as `log1p` does: take "
            "`torch.log`.",
        ),
        Mistake(
            _softmax_of_the_probabilities,
            "You take a softmax of what are probabilities already: `torch.log` is enough.",
        ),
        Mistake(
            _logarithms_multiplied,
            "You multiply the logarithm of the first token with those of the pairs: what is a "
            "product of probabilities is a sum of logarithms.",
        ),
        Mistake(
            _impossible_pairs_left_out,
            "You leave out pairs of probability 0: one such pair makes the whole text impossible, "
            "and the logarithm minus infinity says so.",
        ),
        Mistake(_a_small_number_added, _SMALL_NUMBER),
    ),
    inherited=(
        Mistake(_the_first_token_forgotten_from_zero_on, _FIRST_FORGOTTEN),
        Mistake(_a_row_for_every_token, _WHOLE_ROWS),
        Mistake(_clamped, _SMALL_NUMBER),
        *(Mistake(_with_a_small_number(10.0**-n), _SMALL_NUMBER) for n in (6, 7, 8, 9, 12, 15)),
    ),
)

# --- 01.4 ----------------------------------------------------------------------------------------


def perplexity(logits: Tensor, targets: Tensor) -> Tensor:
    """Exponential of the mean loss of a token, in nats."""
    log_p = torch.log_softmax(logits, dim=2)  # (batch, time, vocab)
    log_p = log_p.gather(2, targets.unsqueeze(2))  # (batch, time, 1): those of the targets
    return torch.exp(-log_p.mean())


def _perplexity_cases(draw: Draw) -> list[Case]:
    def case(name: str, batch: int, time: int, vocab: int, scale: float = 2.0) -> Case:
        logits = draw.normal(batch, time, vocab, scale=scale)
        targets = draw.integers(0, vocab - 1, batch, time)
        return Case(name, {"logits": logits, "targets": targets})

    batch, time, vocab = draw.sizes(3, low=3, high=7)
    large = case("logits of about 1000", batch, time, vocab)
    large.arguments["logits"] += 1000
    impossible = case("a token that the model held for impossible", batch, time, vocab)
    # e to the power of -900 is rounded to 0.
    impossible.arguments["logits"][0, 1, impossible.arguments["targets"][0, 1]] -= 900
    return [
        case("several texts", batch, time, vocab),
        case("as many steps as tokens in the vocabulary", batch, vocab, vocab),
        case("a batch of one", 1, time, vocab),
        case("a single step", batch, 1, vocab),
        case("a uniform guess", batch, time, vocab, scale=0.0),
        large,
        impossible,
    ]


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")  # (batch, time)


def _mean_of_the_perplexities_of_texts(logits, targets):
    return torch.exp(_losses(logits, targets).mean(dim=1)).mean()


def _mean_of_the_perplexities_of_steps(logits, targets):
    return torch.exp(_losses(logits, targets).mean(dim=0)).mean()


def _mean_of_the_perplexities_of_tokens(logits, targets):
    return torch.exp(_losses(logits, targets)).mean()


def _a_perplexity_for_each_text(logits, targets):
    return torch.exp(_losses(logits, targets).mean(dim=1))


def _a_perplexity_for_each_token(logits, targets):
    return torch.exp(_losses(logits, targets))


def _sum_for_mean(logits, targets):
    return torch.exp(_losses(logits, targets).sum())


def _sum_over_time_and_mean_over_texts(logits, targets):
    return torch.exp(_losses(logits, targets).sum(dim=1).mean())


def _base_two_with_nats(logits, targets):
    return 2 ** _losses(logits, targets).mean()


def _base_e_with_bits(logits, targets):
    return torch.exp(_losses(logits, targets).mean() / torch.tensor(2.0).double().log())


def _the_loss_itself(logits, targets):
    return _losses(logits, targets).mean()


def _the_loss_in_bits(logits, targets):
    return _losses(logits, targets).mean() / torch.tensor(2.0).double().log()


def _the_minus_forgotten(logits, targets):
    return torch.exp(-_losses(logits, targets).mean())


def _softmax_over_time(logits, targets):
    log_p = torch.log_softmax(logits, dim=1).gather(2, targets[:, :, None])
    return torch.exp(-log_p.mean())


def _softmax_over_the_batch(logits, targets):
    log_p = torch.log_softmax(logits, dim=0).gather(2, targets[:, :, None])
    return torch.exp(-log_p.mean())


def _softmax_twice(logits, targets):
    return torch.exp(_losses(torch.softmax(logits, dim=2), targets).mean())


def _no_softmax(logits, targets):
    return torch.exp(-logits.gather(2, targets[:, :, None]).mean())


def _logarithm_of_the_logits(logits, targets):
    return torch.exp(-torch.log(logits).gather(2, targets[:, :, None]).mean())


def _probability_without_logarithm(logits, targets):
    p = torch.softmax(logits, dim=2).gather(2, targets[:, :, None])
    return torch.exp(-p.mean())


def _one_over_the_mean_probability(logits, targets):
    return 1 / torch.softmax(logits, dim=2).gather(2, targets[:, :, None]).mean()


def _logarithm_of_the_softmax(logits, targets):
    p = torch.softmax(logits, dim=2).gather(2, targets[:, :, None])
    return torch.exp(-torch.log(p).mean())


def _exponential_by_hand(logits, targets):
    e = torch.exp(logits)
    p = e.gather(2, targets[:, :, None]) / e.sum(dim=2, keepdim=True)
    return torch.exp(-torch.log(p).mean())


def _logarithm_of_the_sum_by_hand(logits, targets):
    log_sum = torch.log(torch.exp(logits).sum(dim=2, keepdim=True))
    return torch.exp((log_sum - logits.gather(2, targets[:, :, None])).mean())


def _the_mean_over_all_tokens_of_the_vocabulary(logits, targets):
    return torch.exp(-torch.log_softmax(logits, dim=2).mean())


def _zeros_in_the_mean(logits, targets):
    one_hot = F.one_hot(targets, logits.shape[2]).to(logits.dtype)
    return torch.exp(-(one_hot * torch.log_softmax(logits, dim=2)).mean())


def _entropy_of_the_model(logits, targets):
    log_p = torch.log_softmax(logits, dim=2)
    return torch.exp(-(log_p.exp() * log_p).sum(dim=2).mean())


def _the_last_step_only(logits, targets):
    return torch.exp(_losses(logits, targets)[:, -1].mean())


def _targets_shifted_once_more(logits, targets):
    return torch.exp(_losses(logits[:, :-1], targets[:, 1:]).mean())


def _the_first_text_only(logits, targets):
    return torch.exp(_losses(logits, targets)[0].mean())


def _the_sum_of_the_losses(logits, targets):
    return _losses(logits, targets).sum()


def _every_target_at_every_step(logits, targets):
    return torch.exp(-torch.log_softmax(logits, dim=2)[:, :, targets].mean())


def _targets_first(logits, targets):
    return torch.exp(F.cross_entropy(targets.flatten(), logits.flatten(0, 1)))


def _only_the_logits_flattened(logits, targets):
    return torch.exp(F.cross_entropy(logits.flatten(0, 1), targets))


def _time_and_vocabulary_flattened(logits, targets):
    return torch.exp(F.cross_entropy(logits.flatten(1), targets.flatten(1)))


def _everything_flattened(logits, targets):
    return torch.exp(F.cross_entropy(logits.flatten(), targets.flatten()))


def _small_number_before_the_logarithm(size):
    def loss(logits, targets):
        p = torch.softmax(logits, dim=2).gather(2, targets[:, :, None])
        return torch.exp(-torch.log(p + size).mean())

    return loss


def _a_small_number_before_the_logarithm(logits, targets):
    return _small_number_before_the_logarithm(1e-8)(logits, targets)


def _probability_kept_above_a_small_number(logits, targets):
    p = torch.softmax(logits, dim=2).gather(2, targets[:, :, None])
    return torch.exp(-torch.log(p.clamp(min=1e-8)).mean())


_SMALL_PROBABILITY = (
    "You keep the probabilities away from 0 by a small number, so a target that the model held for "
    "impossible costs too little: use `log_softmax` or `cross_entropy`, which need no such number."
)
_FLATTENED = (
    "Batch and time become one axis in both, and the vocabulary stays: "
    "`cross_entropy(logits.flatten(0, 1), targets.flatten())`."
)


def _classes_on_the_last_axis(logits, targets):
    return torch.exp(F.cross_entropy(logits, targets))


def _reshape_in_place_of_transpose(logits, targets):
    batch, time, vocab = logits.shape
    return torch.exp(F.cross_entropy(logits.reshape(batch, vocab, time), targets))


def _rows_in_another_order(logits, targets):
    rows = logits.transpose(0, 1).reshape(-1, logits.shape[2])
    return torch.exp(F.cross_entropy(rows, targets.reshape(-1)))


PERPLEXITY = Exercise(
    id="01.4",
    title="Perplexity from logits",
    solution=perplexity,
    cases=_perplexity_cases,
    results=("perplexity",),
    axes={
        "logits": ("batch", "time", "vocab"),
        "targets": ("batch", "time"),
        "perplexity": (),
    },
    gradients=True,
    hints=(
        "Three things in a row: log-probabilities of all tokens, those of the tokens that came, "
        "and one number from them. A uniform guess must give the size of the vocabulary.",
        "`torch.log_softmax(logits, dim=2)` makes log-probabilities. `gather(2, "
        "targets.unsqueeze(2))` picks one for each step. `torch.nn.functional.cross_entropy` does "
        "both, and the mean, if the vocabulary is in axis 1.",
        "First the mean over all tokens of all texts, then a single `torch.exp` of minus that.",
    ),
    mistakes=(
        Mistake(
            _mean_of_the_perplexities_of_texts,
            "You take a perplexity of each text and then their mean: take the mean of the losses "
            "of all tokens first, then one exponential.",
        ),
        Mistake(
            _mean_of_the_perplexities_of_steps,
            "You take a perplexity of each step and then their mean: take the mean of the losses "
            "of all tokens first, then one exponential.",
        ),
        Mistake(
            _mean_of_the_perplexities_of_tokens,
            "You take the exponential of each loss and then the mean: take the mean first. A "
            "single token with a tiny probability would decide everything.",
        ),
        Mistake(
            _a_perplexity_for_each_text,
            "You return a perplexity for each text: one number is meant, from the mean over all "
            "tokens of all texts.",
        ),
        Mistake(
            _a_perplexity_for_each_token,
            "You return a number for each token: take the mean of their losses, over batch and "
            "time, before the exponential.",
        ),
        Mistake(
            _sum_for_mean,
            "You take the exponential of the sum of all losses: that grows with the length of the "
            "text. The mean for each token is meant.",
        ),
        Mistake(
            _sum_over_time_and_mean_over_texts,
            "You add up the losses over time and take the mean over the texts only: a longer text "
            "would be worse. Take the mean over both.",
        ),
        Mistake(
            _base_two_with_nats,
            "You raise 2 to a loss in nats: `cross_entropy` and `log_softmax` use the natural "
            "logarithm, so e is the base, `torch.exp`.",
        ),
        Mistake(
            _base_e_with_bits,
            "You raise e to a loss in bits: either nats with `torch.exp`, or bits with a power of "
            "2; both give the same.",
        ),
        Mistake(
            _the_loss_itself,
            "You return the mean loss in nats: perplexity is its exponential.",
        ),
        Mistake(
            _the_loss_in_bits,
            "You return the mean loss in bits for each token: perplexity is 2 to the power of "
            "that, or the exponential of the mean in nats.",
        ),
        Mistake(
            _the_minus_forgotten,
            "Your perplexity is below 1, since it is the exponential of minus the loss: "
            "log-probabilities are negative, and the minus turns them into a loss. Is there one "
            "too many, or none?",
        ),
        Mistake(
            _softmax_over_time,
            "Your softmax runs over time: at each step the probabilities of the vocabulary sum to "
            "1, so it is `dim=2`.",
        ),
        Mistake(
            _softmax_over_the_batch,
            "Your softmax runs over the batch: at each step the probabilities of the vocabulary "
            "sum to 1, so it is `dim=2`.",
        ),
        Mistake(
            _softmax_twice,
            "Your logits go through softmax twice: `cross_entropy` and `log_softmax` take the "
            "logits as they are.",
        ),
        Mistake(
            _no_softmax,
            "You take the logits for log-probabilities: they are only scores until `log_softmax` "
            "makes them those of a distribution. `nll_loss` does not do that.",
        ),
        Mistake(
            _logarithm_of_the_logits,
            "You take the logarithm of the logits: they are not probabilities, and half of them "
            "are negative. `log_softmax` makes log-probabilities of them.",
        ),
        Mistake(
            _probability_without_logarithm,
            "You use the probabilities themselves, without a logarithm: the loss of a token is "
            "minus the logarithm of its probability. `nll_loss` expects log-probabilities.",
        ),
        Mistake(
            _one_over_the_mean_probability,
            "You take the mean of the probabilities: take that of their logarithms, so that a "
            "token held for unlikely costs what it should.",
        ),
        Mistake(
            _exponential_by_hand,
            "Right for small logits, but the exponential of 1000 is infinite: use `log_softmax` "
            "or `cross_entropy`, which subtract the largest logit first.",
        ),
        Mistake(
            _logarithm_of_the_sum_by_hand,
            "Right for small logits, but the exponential of 1000 is infinite, and so is its sum: "
            "use `torch.logsumexp` or `log_softmax`.",
        ),
        Mistake(
            _logarithm_of_the_softmax,
            "Right, until a token is held for impossible: a probability of e to the power of -900 "
            "is rounded to 0, and its logarithm is minus infinity. Use `log_softmax` or "
            "`cross_entropy`, which never form the probability.",
        ),
        Mistake(
            _the_mean_over_all_tokens_of_the_vocabulary,
            "Your mean takes in every token of the vocabulary: only the log-probabilities of the "
            "targets count.",
        ),
        Mistake(
            _zeros_in_the_mean,
            "Your mask is right, but the mean counts its zeros, too: sum over the vocabulary "
            "first, then take the mean over batch and time.",
        ),
        Mistake(
            _entropy_of_the_model,
            "You compute how unsure the model is, its entropy: the targets must come in, by their "
            "log-probabilities.",
        ),
        Mistake(
            _the_last_step_only,
            "You look at the last step only: every step of every text has a target.",
        ),
        Mistake(
            _targets_shifted_once_more,
            "You shift the targets by one: here they already stand at the step that has to guess "
            "them.",
        ),
        Mistake(
            _the_first_text_only,
            "You look at the first text only: every step of every text has a target.",
        ),
        Mistake(
            _the_sum_of_the_losses,
            "You return the sum of all losses: perplexity is the exponential of their mean.",
        ),
        Mistake(
            _every_target_at_every_step,
            "Your index takes every target at every step: `gather` takes one for each, as does an "
            "index for all three axes.",
        ),
        Mistake(
            _targets_first,
            "Your arguments are exchanged: `cross_entropy` takes the logits first, then the "
            "targets.",
        ),
        Mistake(_everything_flattened, _FLATTENED),
        Mistake(_a_small_number_before_the_logarithm, _SMALL_PROBABILITY),
        Mistake(
            _classes_on_the_last_axis,
            "`cross_entropy` looks for the vocabulary in axis 1, and yours is in axis 2: where "
            "time happens to be as long, it runs and is wrong. Give it `logits.transpose(1, 2)`, "
            "or flatten batch and time of both.",
        ),
        Mistake(
            _reshape_in_place_of_transpose,
            "Your `reshape` or `view` moves the vocabulary to axis 1 in shape only, and mixes the "
            "numbers of different steps: use `transpose(1, 2)`.",
        ),
        Mistake(
            _rows_in_another_order,
            "Your logits are flattened in another order than your targets, step by step rather "
            "than text by text: flatten both alike.",
        ),
    ),
    inherited=(
        Mistake(_only_the_logits_flattened, _FLATTENED),
        Mistake(_time_and_vocabulary_flattened, _FLATTENED),
        Mistake(_probability_kept_above_a_small_number, _SMALL_PROBABILITY),
        *(
            Mistake(_small_number_before_the_logarithm(10.0**-n), _SMALL_PROBABILITY)
            for n in (5, 6, 7, 9, 10, 12, 15)
        ),
    ),
)

# --- 01.5 ----------------------------------------------------------------------------------------


def causal_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolution over time whose output at a step sees that step and those before it."""
    width = weight.shape[2]
    start = x.new_zeros(x.shape[0], width - 1, x.shape[2])
    padded = torch.cat([start, x], dim=1)  # (batch, width - 1 + time, input)
    windows = padded.unfold(1, width, 1)  # (batch, time, input, width)
    return torch.einsum("btiw,oiw->bto", windows, weight) + bias  # (batch, time, output)


def _convolution_cases(draw: Draw) -> list[Case]:
    def case(name: str, batch: int, time: int, inputs: int, outputs: int, width: int) -> Case:
        arguments = {
            "x": draw.normal(batch, time, inputs),
            "weight": draw.normal(outputs, inputs, width, scale=0.5),
            "bias": draw.normal(outputs),
        }
        return Case(name, arguments)

    batch, inputs, outputs = draw.sizes(3, low=2, high=5)
    time = draw.sizes(1, low=7, high=10)[0]
    return [
        case("several sequences", batch, time, inputs, outputs, 3),
        case("an even width", batch, time, inputs, outputs, 4),
        case("as many inputs as outputs and steps", batch, time, time, time, 3),
        case("a width of one", batch, time, inputs, outputs, 1),
        case("a text that is shorter than the kernel", batch, 2, inputs, outputs, 5),
        case("a batch of one", 1, time, inputs, outputs, 2),
    ]


def _convolved(
    x: Tensor, weight: Tensor, bias: Tensor | None, before: int, after: int = 0
) -> Tensor:
    """Convolve with zeros before the start and after the end; numbers below 0 cut steps away."""
    padded = F.pad(x.transpose(1, 2), (before, after))  # (batch, input, time)
    return F.conv1d(padded, weight, bias).transpose(1, 2)


def _centred(x, weight, bias):
    before = (weight.shape[2] - 1) // 2  # as `padding="same"` does
    return _convolved(x, weight, bias, before, weight.shape[2] - 1 - before)


def _centred_to_the_left(x, weight, bias):
    after = (weight.shape[2] - 1) // 2
    return _convolved(x, weight, bias, weight.shape[2] - 1 - after, after)


def _padding_of_half_the_width(x, weight, bias):
    half = weight.shape[2] // 2
    return _convolved(x, weight, bias, half, half)


def _padding_after_the_end(x, weight, bias):
    return _convolved(x, weight, bias, 0, weight.shape[2] - 1)


def _no_padding(x, weight, bias):
    return _convolved(x, weight, bias, 0)


def _padding_at_both_ends(x, weight, bias):
    return _convolved(x, weight, bias, weight.shape[2] - 1, weight.shape[2] - 1)


def _padding_of_the_whole_width(x, weight, bias):
    return _convolved(x, weight, bias, weight.shape[2])


def _padding_one_short(x, weight, bias):
    return _convolved(x, weight, bias, weight.shape[2] - 2)


def _the_step_itself_left_out(x, weight, bias):
    return _convolved(x, weight, bias, weight.shape[2])[:, :-1]


def _one_step_into_the_future(x, weight, bias):
    return _convolved(x, weight, bias, weight.shape[2] - 1, 1)[:, 1:]


def _kernel_flipped(x, weight, bias):
    return causal_convolution(x, weight.flip(2), bias)


def _padding_with_the_first_step(x, weight, bias):
    first = x[:, :1].expand(-1, weight.shape[2] - 1, -1)
    return _convolved(torch.cat([first, x], dim=1), weight, bias, 0)


def _padding_with_the_end(x, weight, bias):
    time = x.shape[1]
    steps = torch.arange(1 - weight.shape[2], time) % time
    return _convolved(x[:, steps], weight, bias, 0)


def _indices_below_zero(x, weight, bias):
    steps = []
    for t in range(x.shape[1]):
        y = bias
        for place in range(weight.shape[2]):
            y = y + x[:, t - place] @ weight[:, :, -1 - place].T
        steps.append(y)
    return torch.stack(steps, dim=1)


def _padding_of_ones(x, weight, bias):
    ones = x.new_ones(x.shape[0], weight.shape[2] - 1, x.shape[2])
    return _convolved(torch.cat([ones, x], dim=1), weight, bias, 0)


def _zeros_before_the_output(x, weight, bias):
    full = causal_convolution(x, weight, bias)
    early = torch.arange(x.shape[1]) < weight.shape[2] - 1
    return full.masked_fill(early[None, :, None], 0)


def _start_of_the_kernel_at_the_start(x, weight, bias):
    width, steps = weight.shape[2], []
    for t in range(x.shape[1]):
        part = x[:, max(0, t - width + 1) : t + 1]
        steps.append(torch.einsum("bwi,oiw->bo", part, weight[:, :, : part.shape[1]]) + bias)
    return torch.stack(steps, dim=1)


def _slices_shorter_than_the_kernel(x, weight, bias):
    steps = []
    for t in range(x.shape[1]):
        part = x[:, max(0, t - weight.shape[2] + 1) : t + 1]
        steps.append(torch.einsum("bwi,oiw->bo", part, weight) + bias)
    return torch.stack(steps, dim=1)


def _slices_from_below_zero(x, weight, bias):
    steps = []
    for t in range(x.shape[1]):
        part = x[:, t - weight.shape[2] + 1 : t + 1]
        steps.append(torch.einsum("bwi,oiw->bo", part, weight) + bias)
    return torch.stack(steps, dim=1)


def _zeros_before_the_batch(x, weight, bias):
    padded = F.pad(x, (0, 0, 0, 0, weight.shape[2] - 1, 0))
    return _convolved(padded, weight, bias, 0)


def _zeros_before_the_inputs(x, weight, bias):
    return _convolved(F.pad(x, (weight.shape[2] - 1, 0)), weight, bias, 0)


def _zeros_before_the_steps_and_after_them(x, weight, bias):
    return _convolved(x, weight, bias, weight.shape[2] - 1, weight.shape[2] - 1)[:, -x.shape[1] :]


def _mean_over_the_kernel(x, weight, bias):
    return causal_convolution(x, weight / weight.shape[2], bias)


def _the_bias_forgotten(x, weight, bias):
    return _convolved(x, weight, None, weight.shape[2] - 1)


def _the_bias_at_every_place_of_the_kernel(x, weight, bias):
    return causal_convolution(x, weight, weight.shape[2] * bias)


def _the_bias_only_where_the_window_is_full(x, weight, bias):
    full = (torch.arange(x.shape[1]) >= weight.shape[2] - 1).to(x.dtype)
    return _convolved(x, weight, None, weight.shape[2] - 1) + full[:, None] * bias


def _not_turned_back(x, weight, bias):
    return causal_convolution(x, weight, bias).transpose(1, 2)


def _time_for_the_inputs(x, weight, bias):
    return F.conv1d(F.pad(x, (weight.shape[2] - 1, 0)), weight, bias)


def _time_for_the_inputs_padded_before(x, weight, bias):
    return F.conv1d(F.pad(x, (0, 0, weight.shape[2] - 1, 0)), weight, bias)


def _time_for_the_inputs_turned_afterwards(x, weight, bias):
    return F.conv1d(F.pad(x, (weight.shape[2] - 1, 0)), weight, bias).transpose(1, 2)


def _reshape_for_transposed_input(x, weight, bias):
    batch, time, inputs = x.shape
    padded = F.pad(x.reshape(batch, inputs, time), (weight.shape[2] - 1, 0))
    return F.conv1d(padded, weight, bias).transpose(1, 2)


def _reshape_for_transposed_output(x, weight, bias):
    turned = causal_convolution(x, weight, bias).transpose(1, 2).contiguous()
    return turned.reshape(x.shape[0], x.shape[1], weight.shape[0])


def _runs_over_the_batch(x, weight, bias):
    return causal_convolution(x.transpose(0, 1), weight, bias).transpose(0, 1)


def _texts_joined(x, weight, bias):
    joined = x.reshape(1, -1, x.shape[2])
    return causal_convolution(joined, weight, bias).reshape(x.shape[0], x.shape[1], -1)


def _the_last_place_of_the_kernel_only(x, weight, bias):
    return x @ weight[:, :, -1].T + bias


def _kernel_summed(x, weight, bias):
    return x @ weight.sum(dim=2).T + bias


def _inputs_and_outputs_exchanged(x, weight, bias):
    return causal_convolution(x, weight.transpose(0, 1), bias)


def _relu_added(x, weight, bias):
    return torch.relu(causal_convolution(x, weight, bias))


_END_AT_THE_START = (
    "Before the start you put the end of the text, as `roll` and the index -1 do: what lies there "
    "is zeros, or the first steps would see the future."
)

_SHORT_SLICES = (
    "In the first steps your slice of `x` is shorter than the kernel: put `width - 1` steps of "
    "zeros before the text, and every slice is full."
)
_TIME_LAST = (
    "`conv1d` takes (batch, input, time), and runs along the last axis: transpose `x` before, and "
    "the output afterwards."
)

CONVOLUTION = Exercise(
    id="01.5",
    title="A causal convolution",
    solution=causal_convolution,
    cases=_convolution_cases,
    results=("output",),
    axes={
        "x": ("batch", "time", "input"),
        "weight": ("output", "input", "width"),
        "bias": ("output",),
        "output": ("batch", "time", "output"),
    },
    gradients=True,
    hints=(
        "With a width of 3, which three steps does the output at the first step see? Two of them "
        "lie before the start: how many zeros go there, and how many after the end?",
        "Put `width - 1` steps of zeros before the text, and none after it: then a convolution "
        "without any padding gives as many steps as the text has.",
        "`torch.nn.functional.conv1d` wants (batch, input, time): transpose, "
        "`torch.nn.functional.pad` with `(width - 1, 0)`, convolve, transpose back.",
    ),
    mistakes=(
        Mistake(
            _centred,
            'Your kernel lies around its step and sees the future, as with `padding="same"`: put '
            "all `width - 1` zeros before the start.",
        ),
        Mistake(
            _centred_to_the_left,
            "Your kernel lies around its step, half of it in the future: put all `width - 1` zeros "
            "before the start.",
        ),
        Mistake(
            _padding_of_half_the_width,
            "You put half the width of zeros at both ends: the kernel sees the future, and an even "
            "width gives a step too many. Put `width - 1` zeros before the start, none after.",
        ),
        Mistake(
            _padding_after_the_end,
            "Your zeros stand after the end, so the output at a step sees that step and the ones "
            "to come: put them before the start.",
        ),
        Mistake(
            _no_padding,
            "Your output lacks the first `width - 1` steps: without zeros before the start, the "
            "kernel has no place there.",
        ),
        Mistake(
            _padding_at_both_ends,
            "Your output has `width - 1` steps too many: `padding=width - 1` puts zeros at both "
            "ends. Put them at the start only, or cut the last steps off.",
        ),
        Mistake(
            _padding_of_the_whole_width,
            "Your output has one step too many: the kernel covers the step itself and `width - 1` "
            "before it, so that many zeros are enough.",
        ),
        Mistake(
            _padding_one_short,
            "Your output is one step too short: a kernel that covers `width` steps needs "
            "`width - 1` zeros before the first.",
        ),
        Mistake(
            _the_step_itself_left_out,
            "Your output comes one step late: it sees the steps before its own, but not its own. "
            "At step t the kernel ends with `x` at step t.",
        ),
        Mistake(
            _one_step_into_the_future,
            "Your output looks one step ahead: at step t the kernel ends with `x` at step t, not "
            "with the one after.",
        ),
        Mistake(
            _kernel_flipped,
            "Your kernel is turned round: `weight[:, :, -1]` meets the step itself, and "
            "`weight[:, :, 0]` the oldest.",
        ),
        Mistake(
            _padding_with_the_first_step,
            "You repeat the first step before the start: what lies there is zeros.",
        ),
        Mistake(_padding_with_the_end, _END_AT_THE_START),
        Mistake(_padding_of_ones, "You put ones before the start: what lies there is zeros."),
        Mistake(
            _zeros_before_the_output,
            "Your first `width - 1` steps of output are zeros: it is `x` that goes on with zeros "
            "to the left, and the kernel already sees the first step at the first step.",
        ),
        Mistake(
            _start_of_the_kernel_at_the_start,
            "In your first steps, where only a part of the kernel fits, you use its first places: "
            "the last place always meets the step itself, so it is the first ones that drop out.",
        ),
        Mistake(_slices_shorter_than_the_kernel, _SHORT_SLICES),
        Mistake(
            _zeros_before_the_batch,
            "Your zeros are more sequences in the batch: they belong on the time axis. `pad` "
            "begins with the last axis, so it is `pad(x, (0, 0, width - 1, 0))`.",
        ),
        Mistake(
            _zeros_before_the_inputs,
            "Your zeros are more inputs at each step: `pad` begins with the last axis, so "
            "transpose `x` before.",
        ),
        Mistake(
            _mean_over_the_kernel,
            "You divide by the width: a convolution sums over the places of the kernel.",
        ),
        Mistake(_the_bias_forgotten, "All products are there, but the bias is missing."),
        Mistake(
            _the_bias_at_every_place_of_the_kernel,
            "Your bias is added once for each place of the kernel: add it once, after the sum.",
        ),
        Mistake(
            _the_bias_only_where_the_window_is_full,
            "Your bias is missing in the first steps, where the kernel reaches over the start: it "
            "is added at every step.",
        ),
        Mistake(
            _not_turned_back,
            "Your numbers are right, but the axes are (batch, output, time), as `conv1d` gives "
            "them: transpose them back.",
        ),
        Mistake(_time_for_the_inputs, _TIME_LAST),
        Mistake(
            _time_for_the_inputs_turned_afterwards,
            "You transpose the output but not `x`: `conv1d` takes (batch, input, time), and runs "
            "along the last axis.",
        ),
        Mistake(
            _reshape_for_transposed_input,
            "Your `reshape` or `view` gives (batch, input, time) in shape only, and mixes the "
            "steps: use `transpose(1, 2)`.",
        ),
        Mistake(
            _reshape_for_transposed_output,
            "Your `reshape` or `view` gives (batch, time, output) in shape only, and mixes the "
            "steps: use `transpose(1, 2)`.",
        ),
        Mistake(
            _runs_over_the_batch,
            "Your kernel runs from one sequence of the batch to the next: time is the second axis.",
        ),
        Mistake(
            _texts_joined,
            "Your sequences are joined to one, so that the start of each sees the end of the one "
            "before: every sequence begins after zeros of its own.",
        ),
        Mistake(
            _the_last_place_of_the_kernel_only,
            "Your output at a step sees that step only: the earlier ones come in through the other "
            "places of the kernel.",
        ),
        Mistake(
            _kernel_summed,
            "Your kernel is summed over its width, so every place of it meets the same step: each "
            "place has a step of its own.",
        ),
        Mistake(
            _inputs_and_outputs_exchanged,
            "Your inputs and outputs are exchanged: `weight` is (output, input, width), and the "
            "sum runs over input and width.",
        ),
        Mistake(
            _relu_added,
            "Your convolution is right, but a relu follows it: return the sum as it is.",
        ),
    ),
    inherited=(
        Mistake(_indices_below_zero, _END_AT_THE_START),
        Mistake(_slices_from_below_zero, _SHORT_SLICES),
        Mistake(_time_for_the_inputs_padded_before, _TIME_LAST),
        Mistake(
            _zeros_before_the_steps_and_after_them,
            "Your zeros stand after the end, so the output at a step sees that step and the ones "
            "to come: put them before the start.",
        ),
    ),
)

EXERCISES = (WINDOWS, BIGRAM, CHAIN, PERPLEXITY, CONVOLUTION)
