"""Exercises of chapter 7, both directions."""
# Answers, right and wrong, look as readers write them.
# ruff: noqa: ANN001, ANN202, D401

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from unrolled.cells import Cell, GRUCell, RNNCell
from unrolled.exercises.exercise import Case, Draw, Exercise, Mistake
from unrolled.exercises.wording import kind_of
from unrolled.layers import Recurrent, step_mask


def _different_lengths(draw: Draw, batch: int, time: int) -> Tensor:
    """Draw different lengths of at least 2, the second `time`, in no order."""
    others = draw.sizes(batch - 1, low=2, high=time - 1)
    low, *rest = sorted(others)
    return torch.tensor([*rest[:1], time, low, *rest[1:]])


# --- 07.1 ----------------------------------------------------------------------------------------


def reverse_within(x: Tensor, lengths: Tensor) -> Tensor:
    """Each sequence turned around up to its own end; its padding stays where it is."""
    steps = torch.arange(x.shape[1])  # (time,)
    from_end = lengths[:, None] - 1 - steps  # (batch, time), below 0 in the padding
    source = torch.where(from_end < 0, steps, from_end)
    return x[torch.arange(len(x))[:, None], source]  # (batch, time, input)


def _reverse_cases(draw: Draw) -> list[Case]:
    def case(name: str, lengths: Tensor) -> Case:
        return Case(name, {"x": draw.normal(len(lengths), time, inputs), "lengths": lengths})

    time = draw.sizes(1, low=8, high=10)[0]
    batch, inputs = draw.sizes(2, low=3, high=6)
    lengths = _different_lengths(draw, batch, time)
    return [
        case("different lengths", lengths),
        case("padding behind every sequence", lengths.clamp(max=time - 1)),
        case("sequences without padding", torch.full((batch,), time)),
        case("a sequence of one step", torch.where(lengths == lengths.min(), 1, lengths)),
        case("a batch of one", lengths[:1]),
    ]


def _whole_tensor_flipped(x, lengths):
    return x.flip(1)


def _batch_flipped(x, lengths):
    return x.flip(0)


def _features_flipped(x, lengths):
    return x.flip(2)


def _padding_of_zeros(x, lengths):
    turned = torch.zeros_like(x)
    for row, length in enumerate(lengths):
        turned[row, :length] = x[row, :length].flip(0)
    return turned


def _padded_anew(x, lengths):
    turned = [row[:length].flip(0) for row, length in zip(x, lengths, strict=True)]
    return pad_sequence(turned, batch_first=True)


def _padding_turned_around_too(x, lengths):
    source = lengths[:, None] - 1 - torch.arange(x.shape[1])
    return x[torch.arange(len(x))[:, None], source]


def _padding_holds_the_first_step(x, lengths):
    source = (lengths[:, None] - 1 - torch.arange(x.shape[1])).clamp(min=0)
    return x[torch.arange(len(x))[:, None], source]


def _length_of_the_first_for_all(x, lengths):
    return reverse_within(x, lengths[:1].expand(len(x)))


def _length_of_the_longest_for_all(x, lengths):
    return reverse_within(x, lengths.max().expand(len(x)))


def _from_one_step_past_the_end(x, lengths):
    turned = x.clone()
    for row, length in enumerate(lengths):
        for t in range(length):
            turned[row, t] = x[row, length - t]
    return turned


def _last_place_left_as_it_was(x, lengths):
    turned = x.clone()
    for row, length in enumerate(lengths):
        for t in range(length - 1):
            turned[row, t] = x[row, length - 1 - t]
    return turned


def _read_after_it_was_overwritten(x, lengths):
    turned = x.clone()
    for row, length in enumerate(lengths):
        for t in range(length):
            turned[row, t] = turned[row, length - 1 - t].clone()
    return turned


def _swapped_twice(x, lengths):
    turned = x.clone()
    for row, length in enumerate(lengths):
        for t in range(length):
            last = length - 1 - t
            turned[row, t], turned[row, last] = turned[row, last].clone(), turned[row, t].clone()
    return turned


def _in_place(x, lengths):
    for row, length in enumerate(lengths):
        x[row, :length] = x[row, :length].flip(0)
    return x


def _a_negative_step(x, lengths):
    return x[:, ::-1]


def _sorted_by_length(x, lengths):
    order = lengths.argsort(descending=True)
    return reverse_within(x[order], lengths[order])


REVERSE = Exercise(
    id="07.1",
    title="Backwards from the true end",
    solution=reverse_within,
    cases=_reverse_cases,
    results=("reversed sequences",),
    axes={
        "x": ("batch", "time", "input"),
        "lengths": ("batch",),
        "reversed sequences": ("batch", "time", "input"),
    },
    gradients=True,
    hints=(
        "Write it down for a sequence of 3 steps in a tensor of 5, `a b c . .`: which step stands "
        "at each of the five places afterwards?",
        "Place `t` of a sequence takes step `length - 1 - t`, as long as that is not below 0. From "
        "there on it keeps what it has.",
        "Make a table of places, (batch, time), with `torch.arange` and `torch.where`, and look "
        "all of them up at once: `x[rows, places]` with `rows` (batch, 1). Or loop over the "
        "sequences, on a clone, and `flip` the true part of each.",
    ),
    mistakes=(
        Mistake(
            _whole_tensor_flipped,
            "Right without padding, but `flip(1)` brings the padding of a shorter sequence to its "
            "front: turn each one around within its own length.",
        ),
        Mistake(
            _batch_flipped,
            "You turn the batch around: axis 0 holds the sequences, axis 1 their steps.",
        ),
        Mistake(
            _features_flipped,
            "You turn the features of each step around: time is axis 1, not the last.",
        ),
        Mistake(
            _padding_of_zeros,
            "Your sequences are right, but the padding has become zeros: it stays as it is. Begin "
            "with `x.clone()` rather than with zeros.",
        ),
        Mistake(
            _padded_anew,
            "You cut the padding off and pad anew, so it holds zeros, and the tensor is shorter "
            "where no sequence fills it: what comes in as (batch, time, input) goes out as that.",
        ),
        Mistake(
            _padding_turned_around_too,
            "Your sequences are right, but the padding is turned around, too: places below 0 count "
            "from the end of the tensor. There, keep the place as it is.",
        ),
        Mistake(
            _padding_holds_the_first_step,
            "Your sequences are right, but the padding is filled with the first step: where the "
            "place would be below 0, keep what stands there.",
        ),
        Mistake(
            _length_of_the_first_for_all,
            "You take the length of the first sequence for all: each has its own, `lengths[row]`.",
        ),
        Mistake(
            _length_of_the_longest_for_all,
            "You take the length of the longest sequence for all: the shorter ones then begin with "
            "their padding.",
        ),
        Mistake(
            _from_one_step_past_the_end,
            "You begin one step past the end: the last step of a sequence is `length - 1`, so "
            "place `t` takes step `length - 1 - t`.",
        ),
        Mistake(
            _last_place_left_as_it_was,
            "Your loop stops one step early: the last place still holds the last step, and the "
            "first step belongs there.",
        ),
        Mistake(
            _read_after_it_was_overwritten,
            "Your second half mirrors the first: you read from the tensor that you write to, and "
            "its first half is overwritten by then. Read from `x`, write to a clone.",
        ),
        Mistake(
            _swapped_twice,
            "Everything is as it came in: a loop over all steps swaps each pair twice. Go to the "
            "middle only, or write each step once, into a clone.",
        ),
        Mistake(
            _in_place,
            "You write into `x` itself, so the caller's sequences are turned around as well: write "
            "into a clone.",
        ),
        Mistake(
            _a_negative_step,
            "A tensor cannot be cut with a negative step as a list can: `flip(1)` turns the time "
            "axis around. Padding will be the next question.",
        ),
        Mistake(
            _sorted_by_length,
            "You return the sequences in the order of their lengths: leave them where they stand "
            "in the batch.",
        ),
    ),
)

# --- 07.2 ----------------------------------------------------------------------------------------


def bidirectional(
    x: Tensor,
    lengths: Tensor,
    forward_layer: torch.nn.Module,
    backward_layer: torch.nn.Module,
) -> Tensor:
    """Outputs of both directions side by side, each at the step that it belongs to."""
    steps = torch.arange(x.shape[1])  # (time,)
    from_end = lengths[:, None] - 1 - steps  # (batch, time), below 0 in the padding
    places = torch.where(from_end < 0, steps, from_end)
    rows = torch.arange(len(x))[:, None]  # (batch, 1)
    ahead, _ = forward_layer(x, lengths=lengths)  # (batch, time, hidden)
    back, _ = backward_layer(x[rows, places], lengths=lengths)
    return torch.cat([ahead, back[rows, places]], dim=2)  # (batch, time, 2 hidden)


def popular(
    x: Tensor,
    lengths: Tensor,
    forward_layer: torch.nn.Module,
    backward_layer: torch.nn.Module,
) -> Tensor:
    """Outputs of both directions, (batch, time, 2 * hidden)."""
    forward_outputs, _ = forward_layer(x)
    backward_outputs, _ = backward_layer(x.flip(1))
    return torch.cat([forward_outputs, backward_outputs], dim=2)


def _layer(draw: Draw, cell: Cell) -> Recurrent:
    layer = Recurrent(cell).double().requires_grad_(False)
    for parameter in layer.parameters():
        parameter.data = draw.normal(*parameter.shape, scale=0.5)
    return layer


def _bidirectional_cases(draw: Draw) -> list[Case]:
    def case(name: str, lengths: Tensor, cell: type[Cell] = RNNCell) -> Case:
        arguments = {"x": draw.normal(len(lengths), time, inputs), "lengths": lengths}
        for direction in ("forward_layer", "backward_layer"):
            arguments[direction] = _layer(draw, cell(inputs, hidden))
        return Case(name, arguments)

    time = draw.sizes(1, low=6, high=7)[0]
    batch, inputs, hidden = draw.sizes(3, low=3, high=5)
    lengths = _different_lengths(draw, batch, time)
    return [
        case("different lengths", lengths),
        case("sequences without padding", torch.full((batch,), time)),
        case("gated units", torch.where(lengths == lengths.min(), 1, lengths), GRUCell),
        case("a batch of one", lengths[:1]),
    ]


def _run_bidirectional(submission: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    x, lengths, forward_layer, backward_layer = arguments.values()
    sizes = [forward_layer.output_size, backward_layer.output_size]
    going = step_mask(lengths, x.shape[1])[:, :, None]  # (batch, time, 1)
    came = submission(*arguments.values())
    if not isinstance(came, Tensor) or came.shape != (*x.shape[:2], sum(sizes)):
        return {"outputs": came}
    ahead, back = came.split(sizes, dim=2)
    return {
        "outputs": torch.zeros_like(came),  # only its form: the values follow part by part
        "forward half": ahead.masked_fill(~going, 0),
        "backward half": back.masked_fill(~going, 0),
        "padding": came.detach().masked_fill(going, 0),  # zeros have no gradient to compare
    }


Turn = Callable[[Tensor, Tensor], Tensor]


def _flip(x: Tensor, lengths: Tensor) -> Tensor:
    return x.flip(1)


def _keep(x: Tensor, lengths: Tensor) -> Tensor:
    return x


def _flip_batch(x: Tensor, lengths: Tensor) -> Tensor:
    return x.flip(0)


def _flip_features(x: Tensor, lengths: Tensor) -> Tensor:
    return x.flip(2)


def _read(
    turn: Turn, turn_back: Turn, forward_told: bool = True, backward_told: bool = True
) -> Callable[..., Tensor]:
    """Read in both directions; `told` says whether a layer gets the lengths."""

    def run(x, lengths, forward_layer, backward_layer):
        ahead, _ = forward_layer(x, lengths=lengths if forward_told else None)
        turned = turn(x, lengths)
        back, _ = backward_layer(turned, lengths=lengths if backward_told else None)
        return torch.cat([ahead, turn_back(back, lengths)], dim=2)

    return run


def _padding_first(x, lengths, forward_layer, backward_layer):
    read = _read(_flip, _flip, False, False)
    return read(x, lengths, forward_layer, backward_layer)


def _padding_first_and_not_turned_back(x, lengths, forward_layer, backward_layer):
    read = _read(_flip, _keep, False, False)
    return read(x, lengths, forward_layer, backward_layer)


def _padding_read_in_place_of_the_first_steps(x, lengths, forward_layer, backward_layer):
    return _read(_flip, _flip)(x, lengths, forward_layer, backward_layer)


def _not_turned_back(x, lengths, forward_layer, backward_layer):
    return _read(reverse_within, _keep)(x, lengths, forward_layer, backward_layer)


def _turned_back_with_the_padding(x, lengths, forward_layer, backward_layer):
    return _read(reverse_within, _flip)(x, lengths, forward_layer, backward_layer)


def _only_the_outputs_within_their_lengths(x, lengths, forward_layer, backward_layer):
    return _read(_flip, reverse_within)(x, lengths, forward_layer, backward_layer)


def _forward_twice(x, lengths, forward_layer, backward_layer):
    return _read(_keep, _keep)(x, lengths, forward_layer, backward_layer)


def _only_the_outputs_turned(x, lengths, forward_layer, backward_layer):
    return _read(_keep, reverse_within)(x, lengths, forward_layer, backward_layer)


def _batch_turned_around(x, lengths, forward_layer, backward_layer):
    return _read(_flip_batch, _flip_batch)(x, lengths, forward_layer, backward_layer)


def _features_turned_around(x, lengths, forward_layer, backward_layer):
    return _read(_flip_features, _flip_features)(x, lengths, forward_layer, backward_layer)


def _no_lengths_for_the_layers(x, lengths, forward_layer, backward_layer):
    read = _read(reverse_within, reverse_within, False, False)
    return read(x, lengths, forward_layer, backward_layer)


def _no_lengths_for_the_forward_layer(x, lengths, forward_layer, backward_layer):
    read = _read(reverse_within, reverse_within, forward_told=False)
    return read(x, lengths, forward_layer, backward_layer)


def _no_lengths_for_the_backward_layer(x, lengths, forward_layer, backward_layer):
    read = _read(reverse_within, reverse_within, backward_told=False)
    return read(x, lengths, forward_layer, backward_layer)


def _backward_first(x, lengths, forward_layer, backward_layer):
    outputs = bidirectional(x, lengths, forward_layer, backward_layer)
    return torch.cat(outputs.chunk(2, dim=2)[::-1], dim=2)


def _one_layer_for_both(x, lengths, forward_layer, backward_layer):
    return bidirectional(x, lengths, forward_layer, forward_layer)


def _layers_exchanged(x, lengths, forward_layer, backward_layer):
    return bidirectional(x, lengths, backward_layer, forward_layer)


def _both_halves_turned_back(x, lengths, forward_layer, backward_layer):
    ahead, _ = forward_layer(x, lengths=lengths)
    back, _ = backward_layer(reverse_within(x, lengths), lengths=lengths)
    return reverse_within(torch.cat([ahead, back], dim=2), lengths)


def _added(x, lengths, forward_layer, backward_layer):
    return sum(bidirectional(x, lengths, forward_layer, backward_layer).chunk(2, dim=2))


def _one_after_the_other_in_time(x, lengths, forward_layer, backward_layer):
    halves = bidirectional(x, lengths, forward_layer, backward_layer).chunk(2, dim=2)
    return torch.cat(halves, dim=1)


_PADDING_FIRST = (
    "Your backward direction begins in the padding: `flip(1)` puts it before the true end of a "
    "shorter sequence, and the layer reads it as if it were steps. Turn each sequence around "
    "within its own length."
)
_TWO_FAULTS = (
    "Two faults are left in your backward direction: `flip(1)` brings the padding to the front, "
    "and the outputs are not turned back, so that step 1 gets what belongs to the end."
)
_NOT_TURNED_BACK = (
    "Your backward outputs stand in the order in which they were made, the last step first: turn "
    "them around once more, so that both outputs of a step belong to it."
)
_TURNED_BACK_WITH_PADDING = (
    "Your backward layer reads the right thing, but `flip(1)` brings its outputs back to the wrong "
    "steps where there is padding: turn them back as you turned `x` around, within each length."
)
_ONLY_OUTPUTS_WITHIN = (
    "You turn the outputs back within each length, but `x` with `flip(1)`, which puts the padding "
    "first: turn both around in the same way."
)
_FORWARD_TWICE = (
    "Both of your layers read from left to right: turn `x` around for the backward layer, along "
    "axis 1, and turn its outputs back."
)

BIDIRECTIONAL = Exercise(
    id="07.2",
    title="Both directions, repaired",
    solution=bidirectional,
    start=popular,
    cases=_bidirectional_cases,
    run=_run_bidirectional,
    results=("outputs", "forward half", "backward half", "padding"),
    axes={
        "x": ("batch", "time", "input"),
        "lengths": ("batch",),
        "outputs": ("batch", "time", "both directions"),
        "forward half": ("batch", "time", "hidden"),
        "backward half": ("batch", "time", "hidden"),
        "padding": ("batch", "time", "both directions"),
    },
    gradients=True,
    hints=(
        "Follow one sequence of 3 steps in a tensor of 5 through the code, `a b c . .`: what does "
        "the backward layer read first? And which of its outputs stands beside that of `a`?",
        "Three things are to be mended: what the backward layer reads, where its outputs go, and "
        "who knows the lengths.",
        "`reverse_within` of exercise 07.1 is its own inverse: use it on `x` before the backward "
        "layer, and on the outputs after it. Call both layers with `lengths=lengths`.",
    ),
    mistakes=(
        Mistake(_padding_first, _PADDING_FIRST),
        Mistake(_padding_first_and_not_turned_back, _TWO_FAULTS),
        Mistake(
            _padding_read_in_place_of_the_first_steps,
            "With `lengths`, your backward layer reads that many steps of the flipped tensor, and "
            "those begin with the padding: it never reaches the first steps of a shorter sequence. "
            "Turn each one around within its own length.",
        ),
        Mistake(_not_turned_back, _NOT_TURNED_BACK),
        Mistake(_turned_back_with_the_padding, _TURNED_BACK_WITH_PADDING),
        Mistake(_only_the_outputs_within_their_lengths, _ONLY_OUTPUTS_WITHIN),
        Mistake(_forward_twice, _FORWARD_TWICE),
        Mistake(
            _only_the_outputs_turned,
            "You turn the backward outputs around, but not what that layer reads: it still goes "
            "from left to right. Turn `x` around, too.",
        ),
        Mistake(
            _batch_turned_around,
            "`flip(0)` turns the batch around, not the time: batch comes first here, so time is "
            "axis 1.",
        ),
        Mistake(
            _features_turned_around,
            "You turn the features of a step around: time is axis 1, not the last.",
        ),
        Mistake(
            _no_lengths_for_the_layers,
            "Right at the true steps, but past a sequence's end your outputs are not zero: pass "
            "`lengths=lengths` to both layers.",
        ),
        Mistake(
            _no_lengths_for_the_forward_layer,
            "Right at the true steps, but past a sequence's end the forward outputs are not zero: "
            "pass `lengths=lengths` to that layer, too.",
        ),
        Mistake(
            _no_lengths_for_the_backward_layer,
            "Right at the true steps, but past a sequence's end the backward outputs are not zero: "
            "pass `lengths=lengths` to that layer, too.",
        ),
        Mistake(
            _backward_first,
            "Everything is right but for the order of the two: forward comes first, as in "
            "`torch.nn`.",
        ),
        Mistake(
            _one_layer_for_both,
            "The same layer reads in both directions: each direction has weights of its own, so "
            "call `backward_layer` for the second.",
        ),
        Mistake(
            _layers_exchanged,
            "Your layers are exchanged: `forward_layer` reads from left to right, and "
            "`backward_layer` from right to left.",
        ),
        Mistake(
            _both_halves_turned_back,
            "You turn both halves around at the end: the forward outputs stand in the right order "
            "already, so turn back the backward ones only.",
        ),
        Mistake(
            _added,
            "You add the two directions up: put them side by side, (batch, time, 2 hidden), so "
            "that nothing is lost.",
        ),
        Mistake(
            _one_after_the_other_in_time,
            "Your directions follow each other in time: side by side means along the features, "
            "`dim=2`.",
        ),
    ),
    # Repaired in another order: the same faults, while the layers know the lengths or not.
    inherited=(
        Mistake(_read(_flip, _keep), _TWO_FAULTS),
        Mistake(_read(reverse_within, _keep, False, False), _NOT_TURNED_BACK),
        Mistake(_read(reverse_within, _flip, False, False), _TURNED_BACK_WITH_PADDING),
        Mistake(_read(_flip, reverse_within, False, False), _ONLY_OUTPUTS_WITHIN),
        Mistake(_read(_keep, _keep, False, False), _FORWARD_TWICE),
    ),
)

# --- 07.3 ----------------------------------------------------------------------------------------


def f1(predicted: Tensor, truth: Tensor, mask: Tensor) -> float:
    """Harmonic mean of precision and recall over the steps that count."""
    predicted, truth = predicted[mask], truth[mask]  # (steps that count,)
    found = int((predicted & truth).sum())
    both = int(predicted.sum() + truth.sum())  # those found count twice
    return 2 * found / both if both else 0.0


def _run_f1(submission: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    came = submission(*arguments.values())
    if not isinstance(came, int | float):
        return {"answer": kind_of(came)}
    # A quotient of whole numbers in tensors is `float32`: that is exact enough.
    return {"answer": kind_of(0.0), "F1": torch.tensor(came, dtype=torch.float32)}


def _f1_cases(draw: Draw) -> list[Case]:
    def case(name: str, *rows: tuple[int, int, int, int], padding: int = 4) -> Case:
        # A row: how many steps are found, claimed wrongly, missed, and rightly left alone.
        time = max(map(sum, rows)) + padding
        # In the padding more is predicted than true, so that it matters on which side it counts.
        kinds = torch.tensor([0, 1, 1, 3])[draw.integers(0, 3, len(rows), time)]
        kinds[:, time - padding :] = torch.tensor([0, 1, 1, 2])[:padding]
        mask = torch.zeros(len(rows), time, dtype=torch.bool)
        for row, counts in enumerate(rows):
            steps = torch.arange(4).repeat_interleave(torch.tensor(counts))
            order = torch.randperm(len(steps), generator=draw.generator)
            kinds[row, : len(steps)] = steps[order]
            mask[row, : len(steps)] = True
        predicted, truth = kinds <= 1, (kinds == 0) | (kinds == 2)
        return Case(name, {"predicted": predicted, "truth": truth, "mask": mask})

    def between(low: int, high: int) -> int:
        return int(draw.integers(low, high, 1))

    # More is missed than claimed wrongly: precision is above recall, then below. The second
    # sequence has few tags, and none is found: the mean over sequences is surely another number.
    some = [
        (between(6, 9), between(1, 2), between(3, 5), between(12, 16)),
        (0, 1, 2, between(9, 11)),
        (between(4, 5), 0, between(1, 2), between(3, 5)),
    ]
    return [
        case("different lengths", *some),
        case("more wrong claims than misses", *[(a, c, b, d) for a, b, c, d in some]),
        case("no padding", some[0], padding=0),
        case("everything found", (between(2, 4), 0, 0, 5), (between(2, 4), 0, 0, 3)),
        case("nothing to find", (0, between(2, 4), 0, 5)),
        case("nothing predicted", (0, 0, between(2, 4), 5)),
        case("wrong predictions only", (0, between(2, 4), between(2, 4), 5)),
        case("nothing to find and nothing predicted", (0, 0, 0, between(5, 8))),
    ]


def _ratio(above: float, below: float) -> float:
    return above / below if below else 0.0


def _counts(predicted: Tensor, truth: Tensor, mask: Tensor) -> tuple[int, int, int]:
    """Count the steps that are found, claimed wrongly, and missed."""
    found = predicted & truth & mask
    claimed, missed = predicted & ~truth & mask, truth & ~predicted & mask
    return int(found.sum()), int(claimed.sum()), int(missed.sum())


def _precision_and_recall(predicted: Tensor, truth: Tensor, mask: Tensor) -> tuple[float, float]:
    found, claimed, missed = _counts(predicted, truth, mask)
    return _ratio(found, found + claimed), _ratio(found, found + missed)


def _mask_not_used(predicted, truth, mask):
    return f1(predicted, truth, torch.ones_like(mask))


def _only_the_padding(predicted, truth, mask):
    return f1(predicted, truth, ~mask)


def _mask_on_the_predictions_only(predicted, truth, mask):
    return f1(predicted & mask, truth, torch.ones_like(mask))


def _mask_on_the_truth_only(predicted, truth, mask):
    return f1(predicted, truth & mask, torch.ones_like(mask))


def _mask_on_what_is_found_only(predicted, truth, mask):
    found = int((predicted & truth & mask).sum())
    return _ratio(2 * found, int(predicted.sum() + truth.sum()))


def _share_of_right_steps(predicted, truth, mask):
    return (predicted == truth)[mask].double().mean().item()


def _precision(predicted, truth, mask):
    return _precision_and_recall(predicted, truth, mask)[0]


def _recall(predicted, truth, mask):
    return _precision_and_recall(predicted, truth, mask)[1]


def _plain_mean_of_both(predicted, truth, mask):
    return sum(_precision_and_recall(predicted, truth, mask)) / 2


def _geometric_mean_of_both(predicted, truth, mask):
    return math.sqrt(math.prod(_precision_and_recall(predicted, truth, mask)))


def _product_of_both(predicted, truth, mask):
    return math.prod(_precision_and_recall(predicted, truth, mask))


def _without_the_two(predicted, truth, mask):
    return f1(predicted, truth, mask) / 2


def _found_of_all_that_are_claimed_or_there(predicted, truth, mask):
    found, claimed, missed = _counts(predicted, truth, mask)
    return _ratio(found, found + claimed + missed)


def _twice_above_and_once_below(predicted, truth, mask):
    found, claimed, missed = _counts(predicted, truth, mask)
    return _ratio(2 * found, found + claimed + missed)


def _mean_over_the_sequences(predicted, truth, mask):
    rows = [f1(*row) for row in zip(predicted, truth, mask, strict=True)]
    return sum(rows) / len(rows)


def _the_other_class(predicted, truth, mask):
    return f1(~predicted, ~truth, mask)


def _mean_over_both_classes(predicted, truth, mask):
    return (f1(predicted, truth, mask) + f1(~predicted, ~truth, mask)) / 2


def _nothing_to_divide_by(predicted, truth, mask):
    found, claimed, missed = _counts(predicted, truth, mask)
    precision, recall = found / (found + claimed), found / (found + missed)
    return 2 * precision * recall / (precision + recall)


def _nothing_to_divide_by_in_the_short_form(predicted, truth, mask):
    found, claimed, missed = _counts(predicted, truth, mask)
    return 2 * found / (2 * found + claimed + missed)


def _nothing_to_divide_by_at_last(predicted, truth, mask):
    precision, recall = _precision_and_recall(predicted, truth, mask)
    return 2 * precision * recall / (precision + recall)


def _not_a_number(predicted, truth, mask):
    found, claimed, missed = map(torch.tensor, _counts(predicted, truth, mask))
    precision, recall = found / (found + claimed), found / (found + missed)
    return (2 * precision * recall / (precision + recall)).item()


def _not_a_number_in_the_short_form(predicted, truth, mask):
    found, claimed, missed = map(torch.tensor, _counts(predicted, truth, mask))
    return (2 * found / (2 * found + claimed + missed)).item()


def _one_where_there_is_nothing(predicted, truth, mask):
    return f1(predicted, truth, mask) if ((predicted | truth) & mask).any() else 1.0


def _in_per_cent(predicted, truth, mask):
    return 100 * f1(predicted, truth, mask)


_ZERO = (
    "Right where something is found, but where nothing is, you divide 0 by 0: say 0.0 in that "
    "case, before you divide."
)
_NOT_A_NUMBER = (
    "Right where something is found, but where nothing is, your result is NaN, 0 divided by 0: say "
    "0.0 in that case."
)

F1 = Exercise(
    id="07.3",
    title="When most steps are nothing",
    solution=f1,
    cases=_f1_cases,
    run=_run_f1,
    results=("answer", "F1"),
    axes={
        "predicted": ("batch", "time"),
        "truth": ("batch", "time"),
        "mask": ("batch", "time"),
        "F1": (),
    },
    hints=(
        "Count three things over all steps that count, of all sequences together: found (predicted "
        "and true), claimed wrongly (predicted, not true) and missed (true, not predicted).",
        "Precision is found / (found + claimed wrongly), recall is found / (found + missed). Their "
        "harmonic mean is `2 * p * r / (p + r)`.",
        "In one fraction: 2 found / (2 found + claimed wrongly + missed), and what stands below is "
        "the number predicted plus the number true. `predicted[mask]` takes the steps that count; "
        "mind the case in which nothing stands below.",
    ),
    mistakes=(
        Mistake(
            _mask_not_used,
            "You count the padding, too: take `predicted[mask]` and `truth[mask]` first.",
        ),
        Mistake(_only_the_padding, "You count the padding only: is there a `~` too many?"),
        Mistake(
            _mask_on_the_predictions_only,
            "You leave the padding out of the predictions only, so that what is true there counts "
            "as missed: mask both.",
        ),
        Mistake(
            _mask_on_the_truth_only,
            "You leave the padding out of the truth only, so that what is predicted there counts "
            "as a wrong claim: mask both.",
        ),
        Mistake(
            _mask_on_what_is_found_only,
            "You leave the padding out of what is found, but not of what is predicted and true: "
            "mask all three.",
        ),
        Mistake(
            _share_of_right_steps,
            "You return the share of right steps, the accuracy: F1 leaves out the steps that were "
            "rightly left alone.",
        ),
        Mistake(
            _precision,
            "You return the precision, how much of what is predicted is true: recall belongs to "
            "it, too.",
        ),
        Mistake(
            _recall,
            "You return the recall, how much of what is true is found: precision belongs to it, "
            "too.",
        ),
        Mistake(
            _plain_mean_of_both,
            "You take the plain mean of precision and recall: the harmonic one is "
            "`2 * p * r / (p + r)`, which is low as soon as one of them is.",
        ),
        Mistake(
            _geometric_mean_of_both,
            "You take the geometric mean of precision and recall, the root of their product: the "
            "harmonic one is `2 * p * r / (p + r)`.",
        ),
        Mistake(
            _product_of_both,
            "You multiply precision and recall: the harmonic mean is twice that, divided by their "
            "sum.",
        ),
        Mistake(
            _without_the_two,
            "Your result is half of what it should be: the harmonic mean has a 2 above, so that it "
            "is 1 where both are 1.",
        ),
        Mistake(
            _found_of_all_that_are_claimed_or_there,
            "You divide what is found by all that is predicted or true, which is the Jaccard "
            "index: in F1, what is found counts twice, above and below.",
        ),
        Mistake(
            _twice_above_and_once_below,
            "What is found counts twice above, but once below: below stand the number predicted "
            "and the number true, and what is found is in both.",
        ),
        Mistake(
            _mean_over_the_sequences,
            "You take the mean of each sequence's F1: count over all sequences together, and "
            "divide once.",
        ),
        Mistake(
            _the_other_class,
            "You measure how well the other steps are found, those where nothing is: the steps "
            "that are true are meant.",
        ),
        Mistake(
            _mean_over_both_classes,
            "You take the mean over both classes: only the steps that are true are meant, and how "
            "well they are found.",
        ),
        Mistake(_nothing_to_divide_by, _ZERO),
        Mistake(
            _one_where_there_is_nothing,
            "Right but for one case: where there is nothing to find and nothing is predicted, the "
            "result is 0.0, as the statement says.",
        ),
        Mistake(_in_per_cent, "You return per cent: a share is meant, from 0 to 1."),
    ),
    inherited=(
        Mistake(_nothing_to_divide_by_in_the_short_form, _ZERO),
        Mistake(_nothing_to_divide_by_at_last, _ZERO),
        Mistake(_not_a_number, _NOT_A_NUMBER),
        Mistake(_not_a_number_in_the_short_form, _NOT_A_NUMBER),
    ),
)

EXERCISES = (REVERSE, BIDIRECTIONAL, F1)
