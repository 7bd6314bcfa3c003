"""Exercises of chapter 4, shapes of tasks."""
# Answers, right and wrong, look as readers write them.
# ruff: noqa: ANN001, ANN202

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from unrolled.exercises.exercise import Case, Draw, Exercise, Mistake

# --- 04.1 ----------------------------------------------------------------------------------------


def pad(sequences: list[Tensor]) -> tuple[Tensor, Tensor]:
    """One batch of sequences of many lengths, with zeros after the end, and the lengths."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])  # (batch,)
    tokens = torch.zeros(len(sequences), int(lengths.max()), dtype=torch.int64)  # (batch, time)
    for row, sequence in enumerate(sequences):
        tokens[row, : len(sequence)] = sequence
    return tokens, lengths


def _pad_cases(draw: Draw) -> list[Case]:
    def case(name: str, lengths: list[int], lowest: int = 1) -> Case:
        sequences = [draw.integers(lowest, 30, length) for length in lengths]
        return Case(name, {"sequences": sequences})

    # The longest is neither the first nor the last, nor are they in any order.
    shortest, first, last, longest = sorted(draw.sizes(4, low=2, high=9))
    lengths = [first, longest, shortest, last]
    with_zeros = case("sequences that hold the token 0", lengths)
    for sequence in with_zeros.arguments["sequences"]:
        sequence[-1] = 0
    return [
        with_zeros,
        case("sequences without the token 0", lengths),
        case("sequences of one length", [longest] * 3, lowest=0),
        case("a sequence of a single token", [first, longest, 1], lowest=0),
        case("a batch of one", [last], lowest=0),
    ]


def _lengths_counted_by_tokens_that_are_not_zero(sequences):
    tokens = pad_sequence(sequences, batch_first=True)
    return tokens, (tokens != 0).sum(dim=1)


def _padded_in_front(sequences):
    tokens, lengths = pad(sequences)
    for row, sequence in enumerate(sequences):
        tokens[row] = 0
        tokens[row, tokens.shape[1] - len(sequence) :] = sequence
    return tokens, lengths


def _the_padded_length_for_all(sequences):
    tokens, _ = pad(sequences)
    return tokens, torch.full((len(sequences),), tokens.shape[1])


def _cut_to_the_shortest(sequences):
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return torch.stack([sequence[: lengths.min()] for sequence in sequences]), lengths


def _sorted_by_length(sequences):
    return pad(sorted(sequences, key=len, reverse=True))


def _time_first(sequences):
    return pad_sequence(sequences), torch.tensor([len(sequence) for sequence in sequences])


def _as_long_as_the_first(sequences):
    tokens = torch.zeros(len(sequences), len(sequences[0]), dtype=torch.int64)
    for row, sequence in enumerate(sequences):
        tokens[row, : len(sequence)] = sequence
    return tokens, torch.tensor([len(sequence) for sequence in sequences])


def _stacked(sequences):
    return torch.stack(sequences), torch.tensor([len(sequence) for sequence in sequences])


def _one_long_sequence(sequences):
    return torch.cat(sequences), torch.tensor([len(sequence) for sequence in sequences])


def _padded_with(value: int) -> Callable[[list[Tensor]], tuple[Tensor, Tensor]]:
    def padded_with_another_number(sequences):
        lengths = torch.tensor([len(sequence) for sequence in sequences])
        return pad_sequence(sequences, batch_first=True, padding_value=value), lengths

    return padded_with_another_number


def _the_last_token_repeated(sequences):
    tokens, lengths = pad(sequences)
    for row, sequence in enumerate(sequences):
        tokens[row, len(sequence) :] = sequence[-1]
    return tokens, lengths


def _place_of_the_last_token(sequences):
    tokens, lengths = pad(sequences)
    return tokens, lengths - 1


def _lengths_of_the_padding(sequences):
    tokens, lengths = pad(sequences)
    return tokens, tokens.shape[1] - lengths


def _a_column_too_many(sequences):
    tokens, lengths = pad(sequences)
    return torch.nn.functional.pad(tokens, (0, 1)), lengths


_OTHER_NUMBER = (
    "You pad with another number than 0: an embedding has no row for -1 or -100. With the lengths "
    "beside it, padding needs no number of its own."
)

PAD = Exercise(
    id="04.1",
    title="A batch of many lengths",
    solution=pad,
    cases=_pad_cases,
    results=("tokens", "lengths"),
    axes={"tokens": ("batch", "time"), "lengths": ("batch",)},
    hints=(
        "How many rows has the batch, and how many columns does the longest sequence need?",
        "Begin with `torch.zeros(len(sequences), longest, dtype=torch.int64)`, and write each "
        "sequence into its row.",
        "`tokens[row, :len(sequence)] = sequence` leaves the rest of the row at 0, and the "
        "lengths are `torch.tensor([len(sequence) for sequence in sequences])`.",
    ),
    mistakes=(
        Mistake(
            _lengths_counted_by_tokens_that_are_not_zero,
            "You count the tokens that are not 0, and 0 is a token as good as the others: only "
            "`len(sequence)` knows where the padding begins.",
        ),
        Mistake(
            _padded_in_front,
            "Your zeros stand in front of the sequences: they belong after the end, so that step 1 "
            "is the first token of every sequence.",
        ),
        Mistake(
            _the_padded_length_for_all,
            "Your lengths are all that of the longest: each sequence keeps its own, "
            "`len(sequence)`, from before the padding.",
        ),
        Mistake(
            _cut_to_the_shortest,
            "You cut all sequences to the shortest: nothing may be lost, so the longest decides "
            "how many columns there are.",
        ),
        Mistake(
            _sorted_by_length,
            "You sort the sequences by length: row 1 must be the first of the list, since labels "
            "may lie beside it in the same order.",
        ),
        Mistake(
            _time_first,
            "Your tokens are (time, batch): `pad_sequence` puts the batch first only with "
            "`batch_first=True`.",
        ),
        Mistake(
            _as_long_as_the_first,
            "You make as many columns as the first sequence has tokens: the longest one decides, "
            "wherever it stands.",
        ),
        Mistake(
            _stacked,
            "`torch.stack` takes only sequences of one length: make a tensor of zeros that is as "
            "wide as the longest, and write each sequence into its row.",
        ),
        Mistake(
            _one_long_sequence,
            "You join the sequences into one long one: each needs a row of its own, (batch, time).",
        ),
        Mistake(_padded_with(-100), _OTHER_NUMBER),
        Mistake(
            _the_last_token_repeated,
            "You go on with the last token: after the end there are zeros.",
        ),
        Mistake(
            _place_of_the_last_token,
            "Your lengths are one too small: a sequence of three tokens has length 3, and its last "
            "token stands at index 2.",
        ),
        Mistake(
            _lengths_of_the_padding,
            "You count the padding: the lengths say how many true tokens each row has.",
        ),
        Mistake(
            _a_column_too_many,
            "Your batch has one column too many: the longest sequence needs no padding.",
        ),
    ),
    inherited=(Mistake(_padded_with(-1), _OTHER_NUMBER),),
)

# --- 04.2 ----------------------------------------------------------------------------------------


def read_h_n(h_n: Tensor, num_layers: int, bidirectional: bool) -> Tensor:
    """Give the final states of the top layer, forward then backward."""
    directions = 2 if bidirectional else 1
    by_layer = h_n.reshape(num_layers, directions, *h_n.shape[1:])
    return torch.cat(list(by_layer[-1]), dim=1)  # (batch, directions * hidden)


def _h_n_cases(draw: Draw) -> list[Case]:
    # A batch and a hidden size larger than any number of states, and not equal.
    batch, hidden = draw.sizes(2, low=9, high=13)
    layers = draw.sizes(1, low=3, high=4)[0]

    def case(name: str, layers: int, bidirectional: bool, rows: int = batch) -> Case:
        h_n = draw.normal(layers * (1 + bidirectional), rows, hidden)
        return Case(name, {"h_n": h_n, "num_layers": layers, "bidirectional": bidirectional})

    return [
        case("several layers in two directions", layers, True),
        case("several layers in one direction", layers, False),
        case("one layer in two directions", 1, True),
        case("one layer in one direction", 1, False),
        case("a batch of one", 2, True, rows=1),
    ]


def _top(h_n: Tensor, bidirectional: bool) -> Tensor:
    return h_n[-2:] if bidirectional else h_n[-1:]  # (directions, batch, hidden)


def _the_last_entry_only(h_n, num_layers, bidirectional):
    return h_n[-1]


def _the_forward_direction_only(h_n, num_layers, bidirectional):
    return _top(h_n, bidirectional)[0]


def _reshaped_across_the_batch(h_n, num_layers, bidirectional):
    return _top(h_n, bidirectional).reshape(h_n.shape[1], -1)


def _the_last_two_always(h_n, num_layers, bidirectional):
    return torch.cat(list(h_n[-2:]), dim=1)


def _the_last_two_always_by_index(h_n, num_layers, bidirectional):
    return torch.cat([h_n[-2], h_n[-1]], dim=1)


def _directions_before_layers(h_n, num_layers, bidirectional):
    by_direction = h_n.reshape(-1, num_layers, *h_n.shape[1:])
    return torch.cat(list(by_direction[:, -1]), dim=1)


def _the_bottom_layer(h_n, num_layers, bidirectional):
    return torch.cat(list(h_n[: 1 + bidirectional]), dim=1)


def _all_layers(h_n, num_layers, bidirectional):
    return torch.cat(list(h_n), dim=1)


def _backward_before_forward(h_n, num_layers, bidirectional):
    return torch.cat(list(_top(h_n, bidirectional).flip(0)), dim=1)


def _sum_of_the_directions(h_n, num_layers, bidirectional):
    return _top(h_n, bidirectional).sum(dim=0)


def _mean_of_the_directions(h_n, num_layers, bidirectional):
    return _top(h_n, bidirectional).mean(dim=0)


def _joined_along_the_batch(h_n, num_layers, bidirectional):
    return torch.cat(list(_top(h_n, bidirectional)), dim=0)


def _directions_not_joined(h_n, num_layers, bidirectional):
    return _top(h_n, bidirectional)


def _an_axis_for_the_directions(h_n, num_layers, bidirectional):
    return _top(h_n, bidirectional).transpose(0, 1)


def _units_of_both_directions_in_turn(h_n, num_layers, bidirectional):
    return torch.stack(list(_top(h_n, bidirectional)), dim=2).flatten(1)


def _batch_taken_for_the_first_axis(h_n, num_layers, bidirectional):
    return h_n[:, -(1 + bidirectional) :].flatten(1)


def _batch_taken_for_the_first_axis_and_the_last_entry(h_n, num_layers, bidirectional):
    return h_n[:, -1]


_BATCH_SECOND = (
    "You take the first axis of `h_n` for the batch: in `h_n` it is the second one, also where "
    "`batch_first=True`, which speaks of inputs and outputs only."
)
_ALWAYS_TWO = (
    "You join the last two entries, also where there is one direction: then they are two layers, "
    "or there is only one. `bidirectional` says how many entries belong to the top layer."
)

READ = Exercise(
    id="04.2",
    title="What the top layer knows",
    solution=read_h_n,
    cases=_h_n_cases,
    results=("top states",),
    axes={
        "h_n": ("layer and direction", "batch", "hidden"),
        "top states": ("batch", "unit"),
    },
    gradients=True,
    hints=(
        "With 3 layers in 2 directions, `h_n` has 6 entries. Write down which is which: the "
        "layers from the bottom, and in each layer forward, then backward.",
        "The top layer is at the end: the last two entries with two directions, the last one with "
        "one.",
        "Each entry is (batch, hidden), and the units of the two go side by side: "
        "`torch.cat([h_n[-2], h_n[-1]], dim=1)`, where there are two.",
    ),
    mistakes=(
        Mistake(
            _the_last_entry_only,
            "You take the last entry only: with two directions it is the backward one of the top "
            "layer, and the forward one stands before it.",
        ),
        Mistake(
            _the_forward_direction_only,
            "You leave out the backward direction of the top layer: it is the last entry, after "
            "the forward one.",
        ),
        Mistake(
            _reshaped_across_the_batch,
            "Your `reshape` puts states of two sequences into one row: (directions, batch, hidden) "
            "has the batch in the middle. Use `torch.cat` along the units, or `transpose` first.",
        ),
        Mistake(_the_last_two_always, _ALWAYS_TWO),
        Mistake(
            _directions_before_layers,
            "You read `h_n` as if all forward states came before all backward ones: its order is "
            "layer by layer, and in each layer forward, then backward.",
        ),
        Mistake(
            _the_bottom_layer,
            "You read the bottom layer: the entries go from the bottom to the top, so the top "
            "layer stands last.",
        ),
        Mistake(
            _all_layers,
            "You join the states of all layers: only the top layer is asked for, the last entry "
            "with one direction, the last two with two.",
        ),
        Mistake(
            _backward_before_forward,
            "Your two directions are exchanged: forward comes first, as in the outputs.",
        ),
        Mistake(
            _sum_of_the_directions,
            "You add the two directions: they have different units, which stand side by side, "
            "(batch, 2 * hidden).",
        ),
        Mistake(
            _mean_of_the_directions,
            "You take the mean of the two directions: they have different units, which stand side "
            "by side, (batch, 2 * hidden).",
        ),
        Mistake(
            _joined_along_the_batch,
            "You join the directions along the batch: every sequence has both, so they go side by "
            "side, along `dim=1`.",
        ),
        Mistake(
            _directions_not_joined,
            "You found the top layer. Its directions still have an axis of their own, the first: "
            "`torch.cat` along `dim=1` puts their units side by side.",
        ),
        Mistake(
            _an_axis_for_the_directions,
            "You found the top layer, and batch comes first. The directions still have an axis of "
            "their own: `flatten(1)` puts their units side by side.",
        ),
        Mistake(
            _units_of_both_directions_in_turn,
            "Your units come in turn, one forward, one backward: first all units of the forward "
            "state, then all of the backward one.",
        ),
        Mistake(_batch_taken_for_the_first_axis, _BATCH_SECOND),
    ),
    inherited=(
        Mistake(_the_last_two_always_by_index, _ALWAYS_TWO),
        Mistake(_batch_taken_for_the_first_axis_and_the_last_entry, _BATCH_SECOND),
    ),
)

# --- 04.3 ----------------------------------------------------------------------------------------


def loss_mask(tokens: Tensor, separator: int, eos: int) -> Tensor:
    """Which targets count: those that are guessed after the separator, and not after the end."""
    inputs = tokens[:, :-1]  # (batch, time - 1)
    begun = (inputs == separator).cumsum(dim=1) > 0  # the separator has been read
    ended = (inputs == eos).cumsum(dim=1) > 0  # the end has been read
    return begun & ~ended


def _mask_cases(draw: Draw) -> list[Case]:
    separator, eos = (torch.randperm(9, generator=draw.generator)[:2] + 1).tolist()
    letters = torch.tensor([token for token in range(12) if token not in (separator, eos)])

    def some(count: int) -> Tensor:
        return letters[draw.integers(0, len(letters) - 1, count)]

    def anything(count: int) -> Tensor:
        odds = torch.tensor([11, separator, eos, 10])
        return odds[torch.arange(count) % len(odds)]

    def case(
        name: str,
        questions: list[int],
        answers: list[int],
        padding: Callable[[int], Tensor],
        more: int,
    ) -> Case:
        true = [question + answer + 2 for question, answer in zip(questions, answers, strict=True)]
        rows = [
            torch.cat(
                [
                    some(question),
                    torch.tensor([separator]),
                    some(answer),
                    torch.tensor([eos]),
                    padding(max(true) + more - length),
                ]
            )
            for question, answer, length in zip(questions, answers, true, strict=True)
        ]
        tokens = torch.stack(rows)
        if answers[0]:
            tokens[0, questions[0] + 1] = 0  # the first token of an answer may be 0, too
        return Case(name, {"tokens": tokens, "separator": separator, "eos": eos})

    questions, answers = draw.sizes(4, high=6), draw.sizes(4, high=6)
    return [
        case("padding of any tokens", questions, answers, anything, 4),
        case("padding of `eos`", questions, answers, lambda n: torch.full((n,), eos), 2),
        case("padding of zeros", questions, answers, lambda n: torch.zeros(n).long(), 2),
        case("questions or answers of no tokens", [0, 3, 0], [2, 0, 0], anything, 1),
        case("a batch of one", questions[:1], answers[:1], anything, 0),
    ]


def _of_all_tokens(tokens: Tensor, separator: int, eos: int) -> Tensor:
    return torch.nn.functional.pad(loss_mask(tokens, separator, eos), (1, 0))  # (batch, time)


def _aligned_with_the_inputs(tokens, separator, eos):
    return _of_all_tokens(tokens, separator, eos)[:, :-1]


def _as_long_as_the_tokens(tokens, separator, eos):
    return _of_all_tokens(tokens, separator, eos)


def _the_end_left_out(tokens, separator, eos):
    begun = (tokens[:, :-1] == separator).cumsum(dim=1) > 0
    ended = (tokens[:, 1:] == eos).cumsum(dim=1) > 0
    return begun & ~ended


def _padding_counts(tokens, separator, eos):
    return (tokens[:, :-1] == separator).cumsum(dim=1) > 0


def _the_separator_counts(tokens, separator, eos):
    begun = (tokens == separator).cumsum(dim=1) > 0
    ended = (tokens[:, :-1] == eos).cumsum(dim=1) > 0
    return begun[:, 1:] & ~ended


def _the_separator_looked_for_among_the_targets(tokens, separator, eos):
    begun = (tokens[:, 1:] == separator).cumsum(dim=1) > 0
    ended = (tokens[:, :-1] == eos).cumsum(dim=1) > 0
    return begun & ~ended


def _the_question_counts(tokens, separator, eos):
    return (tokens[:, :-1] == eos).cumsum(dim=1) == 0


def _the_first_answer_token_left_out(tokens, separator, eos):
    return loss_mask(tokens, separator, eos) & (tokens[:, :-1] != separator)


def _up_to_the_second_end(tokens, separator, eos):
    begun = (tokens[:, :-1] == separator).cumsum(dim=1) > 0
    ends = (tokens[:, 1:] == eos).cumsum(dim=1)
    return begun & (ends <= 1)


def _everything_after_the_separator_but_ends(tokens, separator, eos):
    begun = (tokens[:, :-1] == separator).cumsum(dim=1) > 0
    return begun & (tokens[:, 1:] != eos)


def _all_but_ends(tokens, separator, eos):
    return tokens[:, 1:] != eos


def _zeros_taken_for_padding(tokens, separator, eos):
    return loss_mask(tokens, separator, eos) & (tokens[:, 1:] != 0)


def _everything_after_the_separator_but_zeros(tokens, separator, eos):
    begun = (tokens[:, :-1] == separator).cumsum(dim=1) > 0
    return begun & (tokens[:, 1:] != 0)


def _the_other_way_round(tokens, separator, eos):
    return ~loss_mask(tokens, separator, eos)


def _ones_and_zeros(tokens, separator, eos):
    return loss_mask(tokens, separator, eos).long()


def _ones_and_zeros_of_another_type(tokens, separator, eos):
    return loss_mask(tokens, separator, eos).float()


def _the_targets_themselves(tokens, separator, eos):
    return tokens[:, 1:] * loss_mask(tokens, separator, eos)


_NUMBERS = (
    "Your mask is of numbers, and true or false is asked for: a comparison gives it, or `.bool()`."
)
_SEPARATOR = (
    "You count the separator, too: it is part of what is given. The first target that counts is "
    "guessed when the separator has been read."
)
_ZEROS = (
    "You take the token 0 for padding, but it stands in answers, too: the padding is what comes "
    "after the first `eos`, whatever it is."
)

MASK = Exercise(
    id="04.3",
    title="Which targets count",
    solution=loss_mask,
    cases=_mask_cases,
    results=("mask",),
    axes={"tokens": ("batch", "token"), "mask": ("batch", "time")},
    hints=(
        "Write a row and its targets below each other, `37>XXXVII` and then `7>XXXVII.`, with a "
        "full stop for `eos`. At which places is the answer guessed?",
        "At step t the network has read `tokens[:, :-1]` up to t. A target counts where the "
        "separator has been read, and no `eos` yet.",
        "`(tokens[:, :-1] == separator).cumsum(dim=1) > 0` is true from the step on at which the "
        "separator is read. The same for `eos`, and `begun & ~ended`.",
    ),
    mistakes=(
        Mistake(
            _aligned_with_the_inputs,
            "Your mask belongs to the inputs, `tokens[:, :-1]`, and comes one step late: target t "
            "is token t + 1, so of a mask for all tokens take `[:, 1:]`.",
        ),
        Mistake(
            _as_long_as_the_tokens,
            "Your mask has a place for every token, and the first is never a target: take "
            "`[:, 1:]` of it.",
        ),
        Mistake(
            _the_end_left_out,
            "You leave out the first `eos`: a network that never learns to end goes on for ever.",
        ),
        Mistake(
            _padding_counts,
            "You count everything after the separator, and so the padding: after the first `eos` "
            "nothing counts.",
        ),
        Mistake(_the_separator_counts, _SEPARATOR),
        Mistake(
            _the_question_counts,
            "You count the question, too: it is given, and nobody can guess it. The targets count "
            "from the answer on.",
        ),
        Mistake(
            _the_first_answer_token_left_out,
            "You leave out the first token of the answer: it is the target at the step that reads "
            "the separator.",
        ),
        Mistake(
            _up_to_the_second_end,
            "You count up to the second `eos`, and padding between the two: `cumsum` over the "
            "inputs says whether the end has been read, over the targets it includes this step.",
        ),
        Mistake(
            _everything_after_the_separator_but_ends,
            "You count all after the separator that is not `eos`: the first `eos` counts, and "
            "nothing after it does, whatever token it is.",
        ),
        Mistake(
            _all_but_ends,
            "You count every target that is not `eos`, and so the question, too: begin after the "
            "separator, and let the first `eos` count.",
        ),
        Mistake(_zeros_taken_for_padding, _ZEROS),
        Mistake(
            _the_other_way_round,
            "Your mask is the other way round: true means that a target counts.",
        ),
        Mistake(_ones_and_zeros, _NUMBERS),
        Mistake(
            _the_targets_themselves,
            "You return the targets, with zeros for those that do not count: the mask itself is "
            "asked for, true or false.",
        ),
    ),
    inherited=(
        Mistake(_the_separator_looked_for_among_the_targets, _SEPARATOR),
        Mistake(_everything_after_the_separator_but_zeros, _ZEROS),
        Mistake(_ones_and_zeros_of_another_type, _NUMBERS),
    ),
)

EXERCISES = (PAD, READ, MASK)
