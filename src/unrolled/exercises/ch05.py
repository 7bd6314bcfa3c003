"""Exercises of chapter 5, many to one."""
# Answers, right and wrong, look as readers write them.
# ruff: noqa: ANN001, ANN202

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unrolled.exercises.exercise import Case, Draw, Exercise, Mistake

POOLING_AXES = {
    "outputs": ("batch", "time", "hidden"),
    "lengths": ("batch",),
    "mean": ("batch", "hidden"),
    "maximum": ("batch", "hidden"),
}


def _mask(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Whether a step is true and not padding, for all units: (batch, time, 1)."""
    return (torch.arange(outputs.shape[1]) < lengths[:, None])[:, :, None]


def _padded(draw: Draw, lengths: Tensor, time: int, hidden: int) -> dict[str, Tensor]:
    """Draw outputs, with larger numbers in the padding."""
    outputs = draw.normal(len(lengths), time, hidden)
    outputs = torch.where(_mask(outputs, lengths), outputs, 4 * outputs.abs())
    return {"outputs": outputs, "lengths": lengths}


def _pooling_cases(draw: Draw) -> list[Case]:
    def case(name: str, lengths: Tensor, hidden: int = 0) -> Case:
        return Case(name, _padded(draw, lengths, time, hidden or units))

    def filled(name: str, number: float) -> Case:
        outputs, lengths = _padded(draw, different, time, units).values()
        outputs = outputs.masked_fill(~_mask(outputs, lengths), number)
        return Case(name, {"outputs": outputs, "lengths": lengths})

    batch, time, units = draw.sizes(3, low=3)
    time += 2  # two steps of padding at least
    order = torch.randperm(time - 3, generator=draw.generator) + 2
    # At least two lengths, and the first is not the longest: then nobody is right by chance.
    order[:2] = order[:2].sort().values
    different = order[torch.arange(batch) % len(order)]
    return [
        case("sequences of different lengths", different),
        filled("zeros in the padding", 0.0),
        filled("NaN in the padding", torch.nan),
        filled("infinity in the padding", torch.inf),
        case("sequences of full length", torch.full((batch,), time)),
        case("sequences of one step", torch.ones(batch, dtype=torch.int64)),
        case("a batch of one", different[:1]),
        case("as many sequences as units", different, batch),
    ]


# --- 05.1 ----------------------------------------------------------------------------------------


def masked_mean(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Mean over the true steps of each sequence, whatever stands in the padding."""
    steps = torch.arange(outputs.shape[1], device=outputs.device)  # (time,)
    past = steps >= lengths[:, None]  # (batch, time)
    outputs = outputs.masked_fill(past[:, :, None], 0.0)  # a product would leave NaN as it is
    return outputs.sum(dim=1) / lengths[:, None]  # (batch, hidden)


def _mean_cases(draw: Draw) -> list[Case]:
    cases = _pooling_cases(draw)
    outputs, lengths = cases[0].arguments.values()
    # As after a relu: a zero among the true steps is a number like any other.
    some = {"outputs": outputs.clamp(min=0), "lengths": lengths}
    return [*cases, Case("true outputs that are zero", some)]


def _mean_over_all_steps(outputs, lengths):
    return outputs.mean(dim=1)


def _padding_counted_as_zeros(outputs, lengths):
    return outputs.masked_fill(~_mask(outputs, lengths), 0).mean(dim=1)


def _padding_in_the_sum(outputs, lengths):
    return outputs.sum(dim=1) / lengths[:, None]


def _not_divided(outputs, lengths):
    return outputs.masked_fill(~_mask(outputs, lengths), 0).sum(dim=1)


def _multiplied_by_the_mask(outputs, lengths):
    return (outputs * _mask(outputs, lengths)).sum(dim=1) / lengths[:, None]


def _without_nan_only(outputs, lengths):
    return outputs.nanmean(dim=1)


def _nan_as_zero_only(outputs, lengths):
    return outputs.nan_to_num(0.0, 0.0, 0.0).sum(dim=1) / lengths[:, None]


def _zeros_not_counted(outputs, lengths):
    true = outputs.masked_fill(~_mask(outputs, lengths), 0)
    return true.sum(dim=1) / (true != 0).sum(dim=1).clamp(min=1)


def _one_step_of_padding(outputs, lengths):
    kept = outputs.masked_fill(~_mask(outputs, lengths + 1), 0)
    return kept.sum(dim=1) / lengths[:, None]


def _one_step_of_padding_counted(outputs, lengths):
    kept = outputs.masked_fill(~_mask(outputs, lengths + 1), 0)
    return kept.sum(dim=1) / _mask(outputs, lengths + 1).sum(dim=1)


def _last_step_left_out(outputs, lengths):
    kept = outputs.masked_fill(~_mask(outputs, lengths - 1), 0)
    return kept.sum(dim=1) / lengths[:, None]


def _mean_of_the_padding(outputs, lengths):
    kept = outputs.masked_fill(_mask(outputs, lengths), 0)
    return kept.sum(dim=1) / lengths[:, None]


def _mean_up_to_the_longest(outputs, lengths):
    return outputs[:, : lengths.max()].mean(dim=1)


def _mean_up_to_the_first_length(outputs, lengths):
    return outputs[:, : lengths[0]].mean(dim=1)


def _mean_of_all_true_steps(outputs, lengths):
    return outputs[_mask(outputs, lengths)[:, :, 0]].mean(dim=0)


def _mean_over_the_batch(outputs, lengths):
    kept = outputs.masked_fill(~_mask(outputs, lengths), 0)
    return kept.sum(dim=0) / _mask(outputs, lengths).sum(dim=0)


def _divided_along_the_units(outputs, lengths):
    return outputs.masked_fill(~_mask(outputs, lengths), 0).sum(dim=1) / lengths


def _mask_without_an_axis_for_units(outputs, lengths):
    past = torch.arange(outputs.shape[1]) >= lengths[:, None]
    return outputs.masked_fill(past, 0).sum(dim=1) / lengths[:, None]


def _mean_with_an_axis_left(outputs, lengths):
    return masked_mean(outputs, lengths)[:, None]


def _mean_detached(outputs, lengths):
    return masked_mean(outputs.detach(), lengths)


def _padding_overwritten(outputs, lengths):
    outputs[~_mask(outputs, lengths)[:, :, 0]] = 0
    return outputs.sum(dim=1) / lengths[:, None]


_ONE_TOO_MANY = (
    "You take one step of the padding along: a sequence of length 3 has the steps 0, 1 and 2, so "
    "a step is true where it is smaller than the length, not where it is equal."
)

MEAN = Exercise(
    id="05.1",
    title="The mean without the padding",
    solution=masked_mean,
    cases=_mean_cases,
    results=("mean",),
    axes=POOLING_AXES,
    gradients=True,
    hints=(
        "Two things need the lengths: which steps are added up, and what the sum is divided by.",
        "A mask is true where a step lies past the end: `torch.arange(time) >= lengths[:, None]`, "
        "(batch, time). One more axis, `[:, :, None]`, makes it fit all units.",
        "NaN times 0 is NaN. `masked_fill(mask, 0.0)` or `torch.where` put a zero in its place, "
        "forwards and in the gradient.",
    ),
    mistakes=(
        Mistake(
            _mean_over_all_steps,
            "You take the mean over all steps, padding included: add up the true steps only, and "
            "divide by the length of each sequence.",
        ),
        Mistake(
            _padding_counted_as_zeros,
            "Your padding is zero now, but it still counts: `mean` divides by all steps. Divide "
            "the sum by the length of each sequence.",
        ),
        Mistake(
            _padding_in_the_sum,
            "You divide by the right lengths, but the padding stands in the sum: it need not be "
            "zero, so leave it out by a mask.",
        ),
        Mistake(
            _not_divided,
            "Your sum over the true steps is right: divide it by the length of each sequence.",
        ),
        Mistake(
            _multiplied_by_the_mask,
            "Right while the padding holds ordinary numbers, but NaN and infinity times 0 are NaN: "
            "put a zero in their place with `masked_fill` or `torch.where`.",
        ),
        Mistake(
            _without_nan_only,
            "You leave out what is NaN, and nothing else: padding may hold any number. Where it "
            "begins is in `lengths`.",
        ),
        Mistake(
            _nan_as_zero_only,
            "You put zeros for NaN and infinity, but padding with ordinary numbers stays in the "
            "sum: where it begins is in `lengths`.",
        ),
        Mistake(
            _zeros_not_counted,
            "You divide by the number of outputs that are not zero: a true output may be zero, and "
            "counts. Divide by `lengths`.",
        ),
        Mistake(_one_step_of_padding, _ONE_TOO_MANY),
        Mistake(
            _last_step_left_out,
            "You leave out the last true step: a sequence of length 3 has the steps 0, 1 and 2, so "
            "a step is true where it is smaller than the length.",
        ),
        Mistake(
            _mean_of_the_padding,
            "Your mask is the wrong way round: you add up the padding and leave out the true "
            "steps.",
        ),
        Mistake(
            _mean_up_to_the_longest,
            "You stop where the longest sequence ends: the others have ended before, each at its "
            "own length.",
        ),
        Mistake(
            _mean_up_to_the_first_length,
            "You use the length of the first sequence for all: each has its own.",
        ),
        Mistake(
            _mean_of_all_true_steps,
            "You take one mean over the steps of all sequences: indexing with a mask makes one "
            "long list of them. Each sequence has a mean of its own, (batch, hidden).",
        ),
        Mistake(
            _mean_over_the_batch,
            "You take the mean over the batch, for each step: time is the second axis, `dim=1`.",
        ),
        Mistake(
            _divided_along_the_units,
            "The lengths belong to the sequences, but shapes are matched from the last axis, which "
            "are the units: divide by `lengths[:, None]`, (batch, 1).",
        ),
        Mistake(
            _mask_without_an_axis_for_units,
            "Your mask is (batch, time), and shapes are matched from the last axis, which are the "
            "units: `mask[:, :, None]`, (batch, time, 1), fits all of them.",
        ),
        Mistake(
            _mean_with_an_axis_left,
            "Your numbers are right, but the time axis is still there, with size 1: leave out "
            "`keepdim=True`, or `squeeze(1)`.",
        ),
        Mistake(
            _mean_detached,
            "Right forwards, but no gradient can flow back: `detach` and `.data` cut it off from "
            "the outputs, and the layer would learn nothing.",
        ),
        Mistake(
            _padding_overwritten,
            "You overwrite the padding of the outputs themselves, which others may still need: "
            "`masked_fill` without the `_` makes a new tensor, as does `torch.where`.",
        ),
    ),
    inherited=(Mistake(_one_step_of_padding_counted, _ONE_TOO_MANY),),
)

# --- 05.2 ----------------------------------------------------------------------------------------


def masked_max(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Largest output of each unit over the true steps, whatever stands in the padding."""
    steps = torch.arange(outputs.shape[1], device=outputs.device)  # (time,)
    past = steps >= lengths[:, None]  # (batch, time)
    outputs = outputs.masked_fill(past[:, :, None], -torch.inf)  # never the largest
    return outputs.amax(dim=1)  # (batch, hidden)


def _max_cases(draw: Draw) -> list[Case]:
    cases = _pooling_cases(draw)
    outputs, lengths = cases[0].arguments.values()
    # No small number in the padding is below these.
    low = {"outputs": outputs - 500, "lengths": lengths}
    return [*cases, Case("outputs far below zero", low)]


def _max_over_all_steps(outputs, lengths):
    return outputs.amax(dim=1)


def _filled_with_zero(outputs, lengths):
    return outputs.masked_fill(~_mask(outputs, lengths), 0).amax(dim=1)


def _filled_with_a_low_number(number):
    def answer(outputs, lengths):
        return outputs.masked_fill(~_mask(outputs, lengths), number).amax(dim=1)

    return answer


def _filled_with_minus_one(outputs, lengths):
    return outputs.masked_fill(~_mask(outputs, lengths), -1).amax(dim=1)


def _multiplied_by_the_mask_for_a_maximum(outputs, lengths):
    return (outputs * _mask(outputs, lengths)).amax(dim=1)


def _large_number_subtracted(outputs, lengths):
    return (outputs - 1e9 * ~_mask(outputs, lengths)).amax(dim=1)


def _infinity_times_the_mask(outputs, lengths):
    return (outputs - torch.inf * ~_mask(outputs, lengths)).amax(dim=1)


def _one_step_of_padding_for_a_maximum(outputs, lengths):
    return outputs.masked_fill(~_mask(outputs, lengths + 1), -torch.inf).amax(dim=1)


def _last_step_left_out_of_the_maximum(outputs, lengths):
    return outputs.masked_fill(~_mask(outputs, lengths - 1), -torch.inf).amax(dim=1)


def _max_of_the_padding(outputs, lengths):
    return outputs.masked_fill(_mask(outputs, lengths), -torch.inf).amax(dim=1)


def _max_up_to_the_longest(outputs, lengths):
    return outputs[:, : lengths.max()].amax(dim=1)


def _max_over_the_units(outputs, lengths):
    return outputs.masked_fill(~_mask(outputs, lengths), -torch.inf).amax(dim=2)


def _values_and_places(outputs, lengths):
    return outputs.masked_fill(~_mask(outputs, lengths), -torch.inf).max(dim=1)


def _places_of_the_maxima(outputs, lengths):
    return outputs.masked_fill(~_mask(outputs, lengths), -torch.inf).argmax(dim=1)


def _one_number_for_all(outputs, lengths):
    return outputs.masked_fill(~_mask(outputs, lengths), -torch.inf).max()


def _step_with_the_largest_norm(outputs, lengths):
    norms = outputs.masked_fill(~_mask(outputs, lengths), 0).norm(dim=2)  # (batch, time)
    return outputs[torch.arange(len(outputs)), norms.argmax(dim=1)]


def _step_with_the_largest_sum(outputs, lengths):
    sums = outputs.masked_fill(~_mask(outputs, lengths), -torch.inf).sum(dim=2)
    return outputs[torch.arange(len(outputs)), sums.argmax(dim=1)]


def _largest_absolute_value(outputs, lengths):
    return outputs.masked_fill(~_mask(outputs, lengths), 0).abs().amax(dim=1)


def _mean_for_the_maximum(outputs, lengths):
    return masked_mean(outputs, lengths)


def _max_detached(outputs, lengths):
    return masked_max(outputs.detach(), lengths)


def _padding_overwritten_for_a_maximum(outputs, lengths):
    outputs[~_mask(outputs, lengths)[:, :, 0]] = -torch.inf
    return outputs.amax(dim=1)


_ZERO_WINS = (
    "Your padding is zero now, and a zero is larger than every output below it: put minus infinity "
    "there, which is never the largest."
)
_LOW_ENOUGH = (
    "The number in your padding is not low enough: an output may lie below it, and then the "
    "padding wins. Nothing lies below `-torch.inf`."
)
_PLACED = (
    "You subtract something from the padding, but NaN and infinity stay what they are, and 0 times "
    "infinity is NaN: put `-torch.inf` in their place with `masked_fill` or `torch.where`."
)
_UNIT_BY_UNIT = (
    "You choose one step for all units: each unit has its own largest output, and they may lie at "
    "different steps."
)

MAXIMUM = Exercise(
    id="05.2",
    title="The maximum without the padding",
    solution=masked_max,
    cases=_max_cases,
    results=("maximum",),
    axes=POOLING_AXES,
    gradients=True,
    hints=(
        "A mean ignores a zero in the sum. Which number can never be a maximum?",
        "Where a step lies past the end, `torch.arange(time) >= lengths[:, None]`, minus infinity "
        "takes the place of the output.",
        "`amax(dim=1)` gives the largest over time for each unit; `max(dim=1)` gives a pair, the "
        "values and their places.",
    ),
    mistakes=(
        Mistake(
            _max_over_all_steps,
            "You take the maximum over all steps, padding included: it may hold the largest number "
            "of all. Mask it first.",
        ),
        Mistake(_filled_with_zero, _ZERO_WINS),
        Mistake(_filled_with_minus_one, _LOW_ENOUGH),
        Mistake(
            _multiplied_by_the_mask_for_a_maximum,
            "A product with the mask puts zeros into the padding, which win against outputs below "
            "0, and leaves NaN as it is: `masked_fill` with minus infinity does neither.",
        ),
        Mistake(_large_number_subtracted, _PLACED),
        Mistake(_one_step_of_padding_for_a_maximum, _ONE_TOO_MANY),
        Mistake(
            _last_step_left_out_of_the_maximum,
            "You leave out the last true step: a sequence of length 3 has the steps 0, 1 and 2, so "
            "a step is true where it is smaller than the length.",
        ),
        Mistake(
            _max_of_the_padding,
            "Your mask is the wrong way round: you look for the largest in the padding.",
        ),
        Mistake(
            _max_up_to_the_longest,
            "You stop where the longest sequence ends: the others have ended before, each at its "
            "own length.",
        ),
        Mistake(
            _max_over_the_units,
            "Your maximum runs over the units: time is the second axis, `dim=1`.",
        ),
        Mistake(
            _values_and_places,
            "`max(dim=1)` returns a pair, the largest values and where they stand: return "
            "`.values` only, or use `amax`.",
        ),
        Mistake(
            _places_of_the_maxima,
            "You return where the largest outputs stand: return the outputs themselves.",
        ),
        Mistake(
            _one_number_for_all,
            "You return the largest number of the whole batch: `dim=1` leaves one for each "
            "sequence and unit.",
        ),
        Mistake(_step_with_the_largest_norm, _UNIT_BY_UNIT),
        Mistake(
            _largest_absolute_value,
            "You compare without the sign: the largest output is meant, and -3 is smaller than 1.",
        ),
        Mistake(
            _mean_for_the_maximum,
            "Your padding is left out, but you return the mean: the largest output is meant.",
        ),
        Mistake(
            _max_detached,
            "Right forwards, but no gradient can flow back: `detach` and `.data` cut it off from "
            "the outputs, and the layer would learn nothing.",
        ),
        Mistake(
            _padding_overwritten_for_a_maximum,
            "You overwrite the padding of the outputs themselves, which others may still need: "
            "`masked_fill` without the `_` makes a new tensor, as does `torch.where`.",
        ),
    ),
    inherited=(
        *(Mistake(_filled_with_a_low_number(number), _LOW_ENOUGH) for number in (-10, -99, -100)),
        Mistake(_infinity_times_the_mask, _PLACED),
        Mistake(_step_with_the_largest_sum, _UNIT_BY_UNIT),
    ),
)

# --- 05.3 ----------------------------------------------------------------------------------------


def confusion(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """How often an example of each class (row) was taken for each class (column)."""
    pairs = labels * classes + predicted  # (examples,): a number for each pair of classes
    counts = torch.bincount(pairs, minlength=classes**2)  # (classes * classes,)
    return counts.reshape(classes, classes)


def _confusion_cases(draw: Draw) -> list[Case]:
    def case(name: str, predicted: Tensor, labels: Tensor, classes: int) -> Case:
        arguments = {"predicted": predicted, "labels": labels, "classes": classes}
        return Case(name, arguments)

    classes = draw.sizes(1, low=4, high=6)[0]
    examples = 12 * classes
    labels = draw.integers(0, classes - 1, examples)
    # Half are right, and the others are seldom taken for a smaller class.
    guessed = torch.maximum(labels, draw.integers(0, classes - 1, examples))
    predicted = torch.where(torch.rand(examples, generator=draw.generator) < 0.5, labels, guessed)
    # A pair that surely comes several times, and each class once: nobody is right by chance.
    labels = torch.cat([torch.arange(classes), torch.full((3,), 1), labels])
    predicted = torch.cat([torch.arange(classes), torch.full((3,), 2), predicted])
    order = torch.randperm(len(labels), generator=draw.generator)
    predicted, labels = predicted[order], labels[order]
    return [
        case("several classes", predicted, labels, classes),
        case("classes that never come", predicted, labels, classes + 2),
        case("a class that is never predicted", predicted.clamp(max=2), labels, classes),
        case("everything right", labels, labels, classes),
        case("a single example", torch.tensor([2]), torch.tensor([1]), classes),
    ]


def _columns_for_the_truth(predicted, labels, classes):
    return confusion(labels, predicted, classes)


def _each_pair_counted_once(predicted, labels, classes):
    counts = torch.zeros(classes, classes, dtype=torch.int64)
    counts[labels, predicted] += 1
    return counts


def _each_pair_counted_once_as_floats(predicted, labels, classes):
    return _each_pair_counted_once(predicted, labels, classes).float()


def _added_to_a_copy(predicted, labels, classes):
    counts = torch.zeros(classes, classes, dtype=torch.int64)
    counts[labels][:, predicted] += 1
    return counts


def _added_to_a_copy_as_floats(predicted, labels, classes):
    return torch.zeros(classes, classes)


def _counts_as_floats(predicted, labels, classes):
    return confusion(predicted, labels, classes).float()


def _shares_of_each_row(predicted, labels, classes):
    counts = confusion(predicted, labels, classes)
    return counts / counts.sum(dim=1, keepdim=True)


def _shares_of_all(predicted, labels, classes):
    return confusion(predicted, labels, classes) / len(labels)


def _right_ones_only(predicted, labels, classes):
    return confusion(predicted, labels, classes).diag().diag()


def _right_ones_of_each_class(predicted, labels, classes):
    return confusion(predicted, labels, classes).diag()


def _wrong_ones_only(predicted, labels, classes):
    counts = confusion(predicted, labels, classes)
    return counts - counts.diag().diag()


def _share_of_right_ones(predicted, labels, classes):
    return (predicted == labels).float().mean()


def _size_of_the_largest_class_seen(predicted, labels, classes):
    return confusion(predicted, labels, int(max(predicted.max(), labels.max())) + 1)


def _bincount_without_its_length(predicted, labels, classes):
    return torch.bincount(labels * classes + predicted).reshape(classes, classes)


def _not_reshaped(predicted, labels, classes):
    return confusion(predicted, labels, classes).flatten()


def _pairs_added(predicted, labels, classes):
    sums = torch.bincount(labels + predicted, minlength=classes**2)
    return sums.reshape(classes, classes)


def _last_example_lost(predicted, labels, classes):
    return confusion(predicted[:-1], labels[:-1], classes)


def _begun_with_ones(predicted, labels, classes):
    return confusion(predicted, labels, classes) + 1


def _classes_from_one(predicted, labels, classes):
    counts = torch.zeros(classes, classes, dtype=torch.int64)
    for row, column in zip(labels - 1, predicted - 1, strict=True):
        counts[row, column] += 1
    return counts


CONFUSION = Exercise(
    id="05.3",
    title="What is taken for what",
    solution=confusion,
    cases=_confusion_cases,
    results=("counts",),
    axes={
        "predicted": ("example",),
        "labels": ("example",),
        "counts": ("true class", "predicted class"),
    },
    hints=(
        "Begin with a table of zeros. Which of its entries does one example change, whose true "
        "class is 2 and which was taken for 0?",
        "A loop that adds 1 to `counts[label, guess]` is right. `counts[labels, predicted] += 1` "
        "without a loop is not, where a pair comes twice.",
        "Without a loop: `labels * classes + predicted` is a number of its own for each pair. "
        "`torch.bincount` counts them; mind its `minlength`.",
    ),
    mistakes=(
        Mistake(
            _columns_for_the_truth,
            "Your rows are what was predicted, and your columns the truth: it should be the other "
            "way round, so that the sum of a row is the number of examples of that class.",
        ),
        Mistake(
            _each_pair_counted_once,
            "Your table holds only 0 and 1: `counts[labels, predicted] += 1` adds once to each "
            "entry, however often its pair comes. Use a loop, `bincount`, or `index_put_` with "
            "`accumulate=True`.",
        ),
        Mistake(
            _added_to_a_copy,
            "Your table stays zero: indexing with a tensor of labels makes a copy, and that is "
            "what you add to. Put both indices into one pair of brackets, in a loop.",
        ),
        Mistake(
            _counts_as_floats,
            "Your counts are right, but they are floating numbers: `dtype=torch.int64` makes a "
            "table of whole ones.",
        ),
        Mistake(
            _shares_of_each_row,
            "You divide each row by its sum: the counts themselves are asked for.",
        ),
        Mistake(
            _shares_of_all,
            "You divide by the number of examples: the counts themselves are asked for.",
        ),
        Mistake(
            _right_ones_only,
            "Your diagonal is right, but what lies beside it is missing: there stands what was "
            "taken for something else.",
        ),
        Mistake(
            _right_ones_of_each_class,
            "You count how many of each class are right: that is the diagonal of the table. The "
            "rest says what the others were taken for.",
        ),
        Mistake(
            _wrong_ones_only,
            "You leave out the examples that are right: they stand on the diagonal.",
        ),
        Mistake(
            _share_of_right_ones,
            "That is the accuracy, one number: the table says which class was taken for which.",
        ),
        Mistake(
            _size_of_the_largest_class_seen,
            "Your table is as large as the largest class that comes: its size is `classes`, also "
            "where some of them are missing.",
        ),
        Mistake(
            _bincount_without_its_length,
            "`bincount` ends at the largest pair that comes: with `minlength=classes * classes` it "
            "goes on with zeros.",
        ),
        Mistake(
            _not_reshaped,
            "Your counts stand in one row: `reshape(classes, classes)` makes a table of them.",
        ),
        Mistake(
            _pairs_added,
            "`labels + predicted` is the same for the pairs (0, 1) and (1, 0): "
            "`labels * classes + predicted` is different for all.",
        ),
        Mistake(
            _last_example_lost,
            "One example is missing, the last: `range(len(labels))` ends by itself before its end.",
        ),
        Mistake(
            _begun_with_ones,
            "Each of your counts is one too large: begin with zeros.",
        ),
        Mistake(
            _classes_from_one,
            "Your first row and column stand last: classes are counted from 0, so nothing is to be "
            "subtracted.",
        ),
    ),
    inherited=(
        Mistake(
            _each_pair_counted_once_as_floats,
            "Your table holds only 0 and 1: `counts[labels, predicted] += 1` adds once to each "
            "entry, however often its pair comes. Use a loop, `bincount`, or `index_put_` with "
            "`accumulate=True`.",
        ),
        Mistake(
            _added_to_a_copy_as_floats,
            "Your table stays zero: indexing with a tensor of labels makes a copy, and that is "
            "what you add to. Put both indices into one pair of brackets, in a loop.",
        ),
    ),
)

# --- 05.4 ----------------------------------------------------------------------------------------


def shuffle_letters(tokens: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
    """Each sequence's steps in a random order of its own; the padding stays where it is."""
    keys = torch.rand(tokens.shape, generator=generator)  # (batch, time), below 1
    past = torch.arange(tokens.shape[1]) >= lengths[:, None]
    keys = keys.masked_fill(past, 2.0)  # so that padding comes last
    order = keys.argsort(dim=1, stable=True)  # stable: equal keys stay in their order
    return tokens.gather(1, order)


# Enough to count all orders of three letters; fewer are enough to see whether two runs are equal.
_MANY, _FEW = 600, 12
_LETTERS = 3


def _shuffle_cases(draw: Draw) -> list[Case]:
    def case(name: str, lengths: Tensor, time: int, tokens: Tensor | None = None) -> Case:
        if tokens is None:  # all different, and none is the number of a place
            numbers = torch.randperm(3 * len(lengths) * time, generator=draw.generator) + 100
            tokens = numbers[: len(lengths) * time].reshape(-1, time)
        seed = int(draw.integers(0, 2**31, 1))
        # The machinery knows how to compare a seed; `_run_shuffle` makes a generator of it.
        return Case(name, {"tokens": tokens, "lengths": lengths, "generator": seed})

    batch, time = 12 + draw.sizes(1)[0], 9
    lengths = draw.integers(4, 6, batch)
    padded = torch.arange(time) < lengths[:, None]
    return [
        case("several sequences", lengths, time),
        case("letters that come twice", lengths, time, draw.integers(1, 3, batch, time) * padded),
        case("sequences of full length", torch.full((batch,), time), time),
        case("sequences of one letter", torch.ones(batch, dtype=torch.int64), 4),
        case("a batch of one", torch.tensor([20]), 30),
        case("many sequences of three letters", torch.full((_MANY,), _LETTERS), 6),
    ]


# What is told of an answer of the right form, in this order, and how it should be.
_REPEATED = ("order with the same seed", "order with another seed", "order at the next call")
_FACTS = {
    "letters of each sequence": "the same as before",
    "padding": "the same as before",
    "order": "random",
    **dict(zip(_REPEATED, ("the same", "another", "another"), strict=True)),
}


def _what_became_of_the_letters(before: Tensor, came: Tensor, lengths: Tensor) -> str:
    places = torch.arange(before.shape[1])
    past = places >= lengths[:, None]  # (batch, time)

    def ordered(tokens: Tensor) -> Tensor:
        return tokens.masked_fill(past, -1).sort(dim=1).values

    if torch.equal(ordered(came), ordered(before)):
        return "the same as before"
    if torch.equal(ordered(came), ordered(places.expand(before.shape))):
        return "the numbers of places"
    if torch.equal(before.sort(dim=1).values, came.sort(dim=1).values):
        return f"mixed with the padding{_how_mixed(before, came, lengths)}"
    if torch.equal(before.flatten().sort().values, came.flatten().sort().values):
        in_rows = torch.equal(before.unique(dim=0), came.unique(dim=0))
        return f"those of other sequences{', in their order' if in_rows else ''}"
    found = (came[:, :, None] == before.masked_fill(past, -1)[:, None, :]).any(dim=2)
    if (found | past).all():
        return "some of them twice, and others not at all"
    return "others than before"


def _how_mixed(before: Tensor, came: Tensor, lengths: Tensor) -> str:
    time = before.shape[1]
    beyond = torch.arange(time) > lengths[:, None]  # past the first step of the padding
    if torch.equal(came[beyond], before[beyond]):
        return ", but only with its first step"
    columns = (came[:, :, None] == before[:, None, :]).all(dim=0)  # (new place, old place)
    if columns.any(dim=1).all():
        return ", alike in all sequences"
    front = zip(before, came, lengths.tolist(), strict=True)
    if all(torch.equal(a[: time - n].sort().values, b[n:].sort().values) for b, a, n in front):
        return ", which comes first"
    return ""


def _what_became_of_the_padding(before: Tensor, came: Tensor, lengths: Tensor) -> str:
    past = torch.arange(before.shape[1]) >= lengths[:, None]
    if torch.equal(before[past], came[past]):
        return "the same as before"
    return "all zeros" if not came[past].any() else "another than before"


def _orders(before: Tensor, came: Tensor) -> Tensor:
    """One number for each sequence, for the order in which its letters come."""
    letters = came[:, :_LETTERS, None] == before[:, None, :_LETTERS]
    places = letters.to(torch.int64).argmax(dim=2)  # (batch, letters): where each one stood
    return places @ (_LETTERS ** torch.arange(_LETTERS)).flip(0)


def _how_random(before: Tensor, came: Tensor, shuffled: Callable[[int], Tensor]) -> str:
    true = came[:, :_LETTERS]
    if torch.equal(true, true.sort(dim=1).values):
        return "that of their numbers"
    kinds, counts = _orders(before, came).unique(return_counts=True)
    if len(kinds) == 1:
        others = torch.cat([_orders(before[:_FEW], shuffled(seed)) for seed in range(20)])
        if len(others.unique()) > 1:
            return "the same in all sequences"
        return "the same as before" if torch.equal(before, came) else "always the same"
    for place, name in ((0, "first"), (_LETTERS - 1, "last")):
        if torch.equal(before[:, place], came[:, place]):
            return f"random, but the {name} letter stays"
    if len(kinds) < 6:
        return f"one of {len(kinds)}, where 6 are possible"
    # 100 of each are expected, and the standard deviation is 9.
    if counts.min() < 50 or counts.max() > 150:
        return "random, but some orders are more frequent than others"
    return "random"


def _run_shuffle(submission: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    tokens, lengths, seed = arguments.values()
    before = tokens.clone()

    def generator(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def few(generator: torch.Generator) -> Any:
        return submission(before[:_FEW].clone(), lengths[:_FEW].clone(), generator)

    came = submission(tokens, lengths, generator(seed))
    fits = isinstance(came, Tensor) and (came.shape, came.dtype) == (before.shape, before.dtype)
    if not fits:
        return {"shuffled tokens": came}
    # In the right form; which numbers are right is told by the facts below.
    found = {"shuffled tokens": before, **_FACTS}
    found["letters of each sequence"] = _what_became_of_the_letters(before, came, lengths)
    found["padding"] = _what_became_of_the_padding(before, came, lengths)
    kept = {found[name] for name in ("letters of each sequence", "padding")}
    if len(before) < _MANY or kept != {"the same as before"}:
        return found
    found["order"] = _how_random(before, came, lambda seed: few(generator(seed)))
    first, goes_on = few(generator(seed)), generator(seed)
    others = few(generator(seed)), few(generator(seed + 1)), [few(goes_on), few(goes_on)][1]
    for name, other in zip(_REPEATED, others, strict=True):
        found[name] = "the same" if torch.equal(first, other) else "another"
    return found


def _shuffled(tokens: Tensor, lengths: Tensor, keys: Tensor, *, padding: float = 2) -> Tensor:
    """Put the tokens in the order of their keys, after the padding has got keys of its own."""
    past = torch.arange(tokens.shape[1]) >= lengths[:, None]
    keys = keys.expand(tokens.shape).masked_fill(past, padding)
    return tokens.gather(1, keys.argsort(dim=1, stable=True))


def _padding_shuffled_too(tokens, lengths, generator):
    return tokens.gather(1, torch.rand(tokens.shape, generator=generator).argsort(dim=1))


def _columns_shuffled(tokens, lengths, generator):
    return tokens[:, torch.randperm(tokens.shape[1], generator=generator)]


def _sequences_shuffled(tokens, lengths, generator):
    return tokens[torch.randperm(len(tokens), generator=generator)]


def _batch_shuffled(tokens, lengths, generator):
    order = torch.randperm(tokens.numel(), generator=generator)
    return tokens.flatten()[order].reshape(tokens.shape)


def _one_order_for_all(tokens, lengths, generator):
    return _shuffled(tokens, lengths, torch.rand(tokens.shape[1], generator=generator))


def _generator_not_passed_on(tokens, lengths, generator):
    return _shuffled(tokens, lengths, torch.rand(tokens.shape))


def _a_generator_of_its_own(tokens, lengths, generator):
    own = torch.Generator().manual_seed(0)
    return shuffle_letters(tokens, lengths, own)


def _begun_anew_at_each_call(tokens, lengths, generator):
    own = torch.Generator().manual_seed(generator.initial_seed())
    return shuffle_letters(tokens, lengths, own)


def _not_shuffled(tokens, lengths, generator):
    return tokens.clone()


def _sorted(tokens, lengths, generator):
    largest = tokens.max() + 1.0
    return _shuffled(tokens, lengths, tokens.to(torch.float32), padding=largest)


def _rolled(tokens, lengths, generator):
    shift = torch.randint(tokens.shape[1], (len(tokens), 1), generator=generator)
    keys = (torch.arange(tokens.shape[1]) + shift) % lengths[:, None]
    return _shuffled(tokens, lengths, keys, padding=tokens.shape[1])


def _last_letter_stays(tokens, lengths, generator):
    return shuffle_letters(tokens, lengths - 1, generator)


def _first_letter_stays(tokens, lengths, generator):
    rest = shuffle_letters(tokens[:, 1:], lengths - 1, generator)
    return torch.cat([tokens[:, :1], rest], dim=1)


def _one_step_of_padding_shuffled(tokens, lengths, generator):
    return shuffle_letters(tokens, lengths + 1, generator)


def _drawn_with_replacement(tokens, lengths, generator):
    places = torch.rand(tokens.shape, generator=generator) * lengths[:, None]
    past = torch.arange(tokens.shape[1]) >= lengths[:, None]
    return tokens.gather(1, torch.where(past, torch.arange(tokens.shape[1]), places.long()))


def _padding_lost(tokens, lengths, generator):
    past = torch.arange(tokens.shape[1]) >= lengths[:, None]
    return shuffle_letters(tokens, lengths, generator).masked_fill(past, 0)


def _padding_in_front(tokens, lengths, generator):
    return _shuffled(tokens, lengths, torch.rand(tokens.shape, generator=generator), padding=-1.0)


def _places_for_tokens(tokens, lengths, generator):
    places = torch.arange(tokens.shape[1]).expand(tokens.shape)
    return shuffle_letters(places, lengths, generator)


def _in_place(tokens, lengths, generator):
    tokens[:] = shuffle_letters(tokens, lengths, generator)
    return tokens


def _list_of_sequences(tokens, lengths, generator):
    shuffled = shuffle_letters(tokens, lengths, generator)
    return [row[:n] for row, n in zip(shuffled, lengths.tolist(), strict=True)]


_STAYS = (
    "Your {} letter always stays where it is: all steps of a sequence take part, from the first to "
    "the one at `lengths - 1`."
)

SHUFFLE = Exercise(
    id="05.4",
    title="The same letters in another order",
    solution=shuffle_letters,
    cases=_shuffle_cases,
    run=_run_shuffle,
    results=("shuffled tokens",),
    axes={
        "tokens": ("batch", "time"),
        "lengths": ("batch",),
        "shuffled tokens": ("batch", "time"),
    },
    hints=(
        "`torch.randperm(n, generator=generator)` gives the numbers from 0 to n - 1 in random "
        "order. How large is `n` here, and is it the same for each sequence?",
        "In a loop over the sequences: copy `tokens` first, then write `row[order]` to the first "
        "`n` places of each row.",
        "Without a loop: a random number below 1 for each step, a larger one for the padding, "
        "`argsort(dim=1, stable=True)`, and `gather`.",
    ),
    mistakes=(
        Mistake(
            _padding_shuffled_too,
            "You shuffle the padding, too, so that it stands between the letters: only the first "
            "`lengths` steps of a sequence take part.",
        ),
        Mistake(
            _columns_shuffled,
            "You shuffle whole columns: every sequence gets the same order, and the padding comes "
            "between the letters. Each row is shuffled by itself, up to its length.",
        ),
        Mistake(
            _sequences_shuffled,
            "You shuffle the sequences and leave each as it is: it is the letters inside a "
            "sequence that change places.",
        ),
        Mistake(
            _batch_shuffled,
            "You mix the letters of all sequences: each keeps its own, in another order.",
        ),
        Mistake(
            _one_order_for_all,
            "You shuffle all sequences in the same way, so that a network can still learn from the "
            "order: draw one for each sequence.",
        ),
        Mistake(
            _generator_not_passed_on,
            "Your order does not come from `generator`, so nobody can repeat the experiment: pass "
            "it on, as in `torch.randperm(n, generator=generator)`.",
        ),
        Mistake(
            _a_generator_of_its_own,
            "Your order is the same for every seed of `generator`: draw from it, and leave its "
            "seed alone.",
        ),
        Mistake(
            _begun_anew_at_each_call,
            "Your generator begins anew at each call, so the next batch is shuffled in the same "
            "way: draw from `generator` itself, which goes on.",
        ),
        Mistake(
            _not_shuffled,
            "Your letters stand where they stood before: is the shuffled row written back?",
        ),
        Mistake(
            _sorted,
            "You sort the tokens by their numbers: sort random numbers, and take the tokens in "
            "that order.",
        ),
        Mistake(
            _rolled,
            "You only push the letters round, so that neighbours stay neighbours: all orders must "
            "be possible.",
        ),
        Mistake(_last_letter_stays, _STAYS.format("last")),
        Mistake(_first_letter_stays, _STAYS.format("first")),
        Mistake(
            _one_step_of_padding_shuffled,
            "You shuffle one step of the padding along: a sequence of length 3 has the steps 0, 1 "
            "and 2.",
        ),
        Mistake(
            _drawn_with_replacement,
            "Some of your letters come twice and others are lost: `randint` draws each place "
            "without looking at the others. `randperm` gives every place once.",
        ),
        Mistake(
            _padding_lost,
            "Your padding has become zeros: what stands there stays as it was, so begin with "
            "`tokens.clone()`.",
        ),
        Mistake(
            _padding_in_front,
            "Your padding has moved to the front: its keys must be larger than those of the "
            "letters, so that it is sorted to the end.",
        ),
        Mistake(
            _places_for_tokens,
            "You return the new order of the places: `tokens.gather(1, order)` gives the tokens in "
            "that order.",
        ),
        Mistake(
            _in_place,
            "You shuffle the tokens of the caller, who has lost the right order then: begin with "
            "`tokens.clone()`.",
        ),
        Mistake(
            _list_of_sequences,
            "You return a list of sequences without their padding: the batch is meant, (batch, "
            "time), with the padding where it was.",
        ),
    ),
)

EXERCISES = (MEAN, MAXIMUM, CONFUSION, SHUFFLE)
