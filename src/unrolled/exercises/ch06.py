"""Exercises of chapter 6, one to many."""
# Answers, right and wrong, look as readers write them.
# ruff: noqa: ANN001, ANN202

import numbers
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unrolled.exercises.exercise import Case, Draw, Exercise, Mistake
from unrolled.exercises.wording import kind_of

# --- 06.1 ----------------------------------------------------------------------------------------


def teacher_forcing(
    captions: list[Tensor], bos: int, eos: int, pad: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Make of captions what is read, what is guessed, and which guesses count."""
    time = max(len(caption) for caption in captions) + 1
    inputs = torch.full((len(captions), time), pad)  # (batch, time)
    targets = inputs.clone()
    mask = torch.zeros(len(captions), time, dtype=torch.bool)
    for row, caption in enumerate(captions):
        n = len(caption)
        inputs[row, 0], inputs[row, 1 : n + 1] = bos, caption
        targets[row, :n], targets[row, n] = caption, eos
        mask[row, : n + 1] = True  # not `targets != pad`: the end may be padded with itself
    return inputs, targets, mask


def _run_forcing(submission: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    came = submission(*arguments.values())
    if not isinstance(came, tuple) or len(came) != 3:
        return {"answer": kind_of(came)}
    inputs, targets, mask = came
    tensors = isinstance(inputs, Tensor) and isinstance(targets, Tensor)
    if tensors and inputs.dim() == 2 and inputs.shape == targets.shape:
        # Whoever cuts "start, words, end" in two reads the end, too, where nothing is asked.
        inputs = inputs.clone()
        for caption, read, guessed in zip(arguments["captions"], inputs, targets, strict=False):
            after = slice(len(caption) + 1, len(caption) + 2)
            ends = read[after] == arguments["eos"]
            read[after] = torch.where(ends, guessed[after], read[after])
    return {
        "answer": "a tuple of 3: inputs, targets and mask",
        "inputs": inputs,
        "targets": targets,
        "mask": mask,
    }


def _forcing_cases(draw: Draw) -> list[Case]:
    def case(name: str, lengths: list[int], *, end_is_padding: bool = False) -> Case:
        # None of the three is 0, the number that stands in a new tensor of zeros.
        bos, eos, pad, *words = (torch.randperm(16, generator=draw.generator) + 1).tolist()
        words = torch.tensor([0, *words])
        captions = [words[draw.integers(0, len(words) - 1, length)] for length in lengths]
        special = {"bos": bos, "eos": eos, "pad": eos if end_is_padding else pad}
        return Case(name, {"captions": captions, **special})

    shortest, middle, longest = sorted(draw.sizes(3, low=2, high=8))
    lengths = [middle, longest, shortest, middle]
    if longest == 3:
        lengths.append(shortest)  # so that there are not as many captions as steps
    as_many = [middle, longest, *(longest - 1) * [shortest]]
    return [
        case("captions of different lengths", lengths),
        case("captions of equal length", 3 * [longest + 1]),
        case("as many captions as steps", as_many),
        case("a single caption", [middle]),
        case("captions of one word", 4 * [1]),
        case("the same number for the end and the padding", lengths, end_is_padding=True),
    ]


def _padded_rows(captions: list[Tensor], bos: int, eos: int, pad: int) -> Tensor:
    """Start, caption, end and padding, (batch, time + 1)."""
    rows = torch.full((len(captions), max(map(len, captions)) + 2), pad)
    for row, caption in enumerate(captions):
        rows[row, : len(caption) + 2] = torch.tensor([bos, *caption, eos])
    return rows


def _counted(captions: list[Tensor], time: int, more: int = 1) -> Tensor:
    lengths = torch.tensor([len(caption) for caption in captions])
    return torch.arange(time) < lengths[:, None] + more


def _exchanged(captions, bos, eos, pad):
    inputs, targets, mask = teacher_forcing(captions, bos, eos, pad)
    return targets, inputs, mask


def _targets_not_shifted(captions, bos, eos, pad):
    inputs, _, mask = teacher_forcing(captions, bos, eos, pad)
    return inputs, inputs, mask


def _inputs_without_start(captions, bos, eos, pad):
    _, targets, mask = teacher_forcing(captions, bos, eos, pad)
    return targets, targets, mask


def _words_only_as_inputs(captions, bos, eos, pad):
    _, targets, mask = teacher_forcing(captions, bos, eos, pad)
    words = targets.clone()
    for row, caption in enumerate(captions):
        words[row, len(caption)] = pad
    return words, targets, mask


def _one_step_too_long(captions, bos, eos, pad):
    rows = _padded_rows(captions, bos, eos, pad)
    targets = torch.cat([rows[:, 1:], torch.full((len(rows), 1), pad)], dim=1)
    return rows, targets, _counted(captions, rows.shape[1])


def _whole_rows_twice(captions, bos, eos, pad):
    rows = _padded_rows(captions, bos, eos, pad)
    return rows, rows, rows != pad


def _no_end_token(captions, bos, eos, pad):
    inputs, targets, _ = teacher_forcing(captions, bos, pad, pad)
    return inputs[:, :-1], targets[:, :-1], _counted(captions, targets.shape[1] - 1, 0)


def _end_token_after_the_padding(captions, bos, eos, pad):
    inputs, targets, mask = teacher_forcing(captions, bos, pad, pad)
    targets[:, -1] = eos
    return inputs, targets, mask


def _end_token_after_the_padding_and_the_mask_from_it(captions, bos, eos, pad):
    inputs, targets, _ = _end_token_after_the_padding(captions, bos, eos, pad)
    return inputs, targets, targets != pad


def _end_token_does_not_count(captions, bos, eos, pad):
    inputs, targets, _ = teacher_forcing(captions, bos, eos, pad)
    return inputs, targets, _counted(captions, targets.shape[1], 0)


def _mask_one_step_too_long(captions, bos, eos, pad):
    inputs, targets, _ = teacher_forcing(captions, bos, eos, pad)
    return inputs, targets, _counted(captions, targets.shape[1], 2)


def _mask_one_step_too_long_from_the_inputs(captions, bos, eos, pad):
    rows = _padded_rows(captions, bos, eos, pad)
    return rows[:, :-1], rows[:, 1:], rows[:, :-1] != pad


def _padding_counts(captions, bos, eos, pad):
    inputs, targets, mask = teacher_forcing(captions, bos, eos, pad)
    return inputs, targets, torch.ones_like(mask)


def _mask_turned_round(captions, bos, eos, pad):
    inputs, targets, mask = teacher_forcing(captions, bos, eos, pad)
    return inputs, targets, ~mask


def _mask_from_the_padding(captions, bos, eos, pad):
    inputs, targets, _ = teacher_forcing(captions, bos, eos, pad)
    return inputs, targets, targets != pad


def _mask_of_floats(captions, bos, eos, pad):
    inputs, targets, mask = teacher_forcing(captions, bos, eos, pad)
    return inputs, targets, mask.float()


def _mask_of_whole_numbers(captions, bos, eos, pad):
    inputs, targets, mask = teacher_forcing(captions, bos, eos, pad)
    return inputs, targets, mask.long()


def _padded_with_zeros(captions, bos, eos, pad):
    return teacher_forcing(captions, bos, eos, 0)


def _padded_with_zeros_and_the_mask_from_them(captions, bos, eos, pad):
    inputs, targets, _ = _padded_with_zeros(captions, bos, eos, pad)
    return inputs, targets, targets != 0


def _padding_before_the_caption(captions, bos, eos, pad):
    answers = teacher_forcing(captions, bos, eos, pad)
    time = answers[0].shape[1]
    moves = [time - len(caption) - 1 for caption in captions]
    rows = [[r.roll(move) for r, move in zip(a, moves, strict=True)] for a in answers]
    return tuple(torch.stack(moved) for moved in rows)


def _time_first(captions, bos, eos, pad):
    inputs, targets, mask = teacher_forcing(captions, bos, eos, pad)
    return inputs.T, targets.T, mask.T


def _cut_to_the_shortest(captions, bos, eos, pad):
    shortest = min(len(caption) for caption in captions)
    return teacher_forcing([caption[:shortest] for caption in captions], bos, eos, pad)


def _stacked_without_padding(captions, bos, eos, pad):
    rows = torch.stack([torch.tensor([bos, *caption, eos]) for caption in captions])
    return rows[:, :-1], rows[:, 1:], torch.ones(rows[:, 1:].shape, dtype=torch.bool)


_TOO_LONG = (
    "Your mask counts a step after the end token: a caption of n words has n + 1 targets that "
    "count."
)
_ZEROS = (
    "Your padding is 0, which may be a word: use `pad`. `pad_sequence` takes it as `padding_value`."
)
_COPIES = (
    "Your inputs hold no `bos`, so each is its own target and the model learns to copy: the start "
    "token comes first, and every word moves one step on."
)
_LONG_ROWS = (
    "Your rows are one step too long: nothing is guessed after `eos`, so it is no input, and `bos` "
    "is no target. Both have one step more than the longest caption has words."
)
_END_LAST = (
    "Your `eos` stands after the padding: a model would have to write padding first. It comes "
    "right after the last word of each caption, and the padding after it."
)
_BOOL = "Your mask has the right places, but it is no `bool`: a comparison such as `<` makes one."

FORCING = Exercise(
    id="06.1",
    title="What is read, what is guessed, what counts",
    solution=teacher_forcing,
    cases=_forcing_cases,
    run=_run_forcing,
    results=("answer", "inputs", "targets", "mask"),
    axes=dict.fromkeys(("inputs", "targets", "mask"), ("batch", "time")),
    hints=(
        "Write it down for the captions a b c and d. Below each input stands what is guessed after "
        "it. What is guessed after c, and what after d?",
        "A caption of n words has n + 1 inputs, `bos` and the words, and n + 1 targets, the words "
        "and `eos`. All rows are as long as the longest.",
        "Fill both with `pad` by `torch.full`, the mask with `False`; then, in a loop over the "
        "captions, `inputs[row, 1 : n + 1] = caption`, `targets[row, :n] = caption`, and "
        "`mask[row, : n + 1] = True`.",
    ),
    mistakes=(
        Mistake(
            _exchanged,
            "Your inputs and targets are exchanged: the inputs begin with `bos`, the targets end "
            "with `eos`.",
        ),
        Mistake(
            _targets_not_shifted,
            "Your targets are the inputs themselves, so the model learns to copy: the target of a "
            "step is the token one step later, and the last one is `eos`.",
        ),
        Mistake(_inputs_without_start, _COPIES),
        Mistake(_one_step_too_long, _LONG_ROWS),
        Mistake(
            _no_end_token,
            "Your targets hold no `eos`, so the model never learns to stop: after the last word it "
            "has to guess the end.",
        ),
        Mistake(_end_token_after_the_padding, _END_LAST),
        Mistake(
            _end_token_does_not_count,
            "Your mask ends with the last word: the end token is a target, too, and counts, or the "
            "model never learns to stop.",
        ),
        Mistake(_mask_one_step_too_long, _TOO_LONG),
        Mistake(
            _padding_counts,
            "Your mask counts the padding: it is true only up to and including the end token of "
            "each caption.",
        ),
        Mistake(
            _mask_turned_round,
            "Your mask is turned round: it is true where a target counts, false in the padding.",
        ),
        Mistake(
            _mask_from_the_padding,
            "Right, until `eos` and `pad` are the same number: then the end tokens do not count, "
            "and the model never learns to stop. Make the mask from the lengths.",
        ),
        Mistake(_mask_of_floats, _BOOL),
        Mistake(_padded_with_zeros, _ZEROS),
        Mistake(
            _padding_before_the_caption,
            "Your padding stands before the captions: they begin at the first step, so that the "
            "model starts right after the picture.",
        ),
        Mistake(
            _time_first,
            "Your tensors are (time, batch): batch comes first. `pad_sequence` does that with "
            "`batch_first=True`.",
        ),
        Mistake(
            _cut_to_the_shortest,
            "Your captions are cut to the length of the shortest: pad to the length of the "
            "longest, so that no word is lost.",
        ),
        Mistake(
            _stacked_without_padding,
            "`torch.stack` wants rows of equal length, and captions differ: fill them up with "
            "`pad` first.",
        ),
    ),
    inherited=(
        Mistake(_words_only_as_inputs, _COPIES),
        Mistake(_whole_rows_twice, _LONG_ROWS),
        Mistake(_end_token_after_the_padding_and_the_mask_from_it, _END_LAST),
        Mistake(_mask_of_whole_numbers, _BOOL),
        Mistake(_mask_one_step_too_long_from_the_inputs, _TOO_LONG),
        Mistake(_padded_with_zeros_and_the_mask_from_them, _ZEROS),
    ),
)

# --- 06.2 ----------------------------------------------------------------------------------------


@torch.no_grad()
def greedy_captions(step, state, bos: Tensor, eos: int, max_steps: int) -> Tensor:
    """Take the likeliest token at each step, until every caption has ended."""
    tokens, chosen = bos, []
    ended = torch.zeros_like(bos, dtype=torch.bool)  # (batch,)
    while len(chosen) < max_steps and not ended.all():
        log_probs, state = step(tokens, state)  # (batch, vocab)
        tokens = log_probs.argmax(dim=1).masked_fill(ended, eos)  # (batch,)
        ended = ended | (tokens == eos)
        chosen.append(tokens)
    return torch.stack(chosen, dim=1)  # (batch, steps)


class _Steps:
    """A captioner that is a table, and counts how often it is asked.

    Its state is (batch, 2): the picture's number, and how many tokens have been read.
    """

    def __init__(self, log_probs: Tensor, limit: int) -> None:
        self.log_probs = log_probs  # (picture, step, token before, token)
        self.limit, self.calls = limit, 0

    def __call__(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (batch, vocab) of the next token, and the new state."""
        self.calls += 1
        if self.calls > self.limit:
            raise RuntimeError("step was asked far more often than max_steps allows")
        if not isinstance(tokens, Tensor) or not isinstance(state, Tensor):
            raise TypeError(
                f"step takes tokens (batch,) and the state that it gave last, not "
                f"{kind_of(tokens)} and {kind_of(state)}"
            )
        if tokens.dtype != torch.int64 or tokens.shape != state.shape[:1]:
            raise ValueError(
                f"step takes one token for each caption, int64 of shape {tuple(state.shape[:1])}, "
                f"not {str(tokens.dtype).removeprefix('torch.')} of shape {tuple(tokens.shape)}"
            )
        picture, read = state.unbind(1)
        place = read.clamp(max=self.log_probs.shape[1] - 1)
        return self.log_probs[picture, place, tokens], torch.stack([picture, read + 1], dim=1)


def _run_greedy(submission: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    step = _Steps(arguments["step"].log_probs, 10 * arguments["max_steps"])
    captions = submission(step, *list(arguments.values())[1:])
    return {"captions": captions, "number of calls of `step`": step.calls}


def _greedy_cases(draw: Draw) -> list[Case]:
    def case(name: str, lengths: list[int | None], max_steps: int) -> Case:
        # The tokens that end captions and begin them are not 0, and no caption ends by chance.
        batch, vocab = len(lengths), draw.sizes(1, low=10, high=14)[0]
        bos, eos = (torch.randperm(vocab - 1, generator=draw.generator)[:2] + 1).tolist()
        scores = draw.normal(batch, max_steps + 2, vocab, vocab).tanh()
        scores[..., [bos, eos, 0]] = -2.0
        for picture, length in enumerate(lengths):
            if length is not None:
                scores[picture, length - 1, :, eos] = 2.0
        arguments = {
            "step": _Steps(torch.log_softmax(scores, dim=-1), 0),
            "state": torch.stack([torch.arange(batch), torch.zeros(batch).long()], dim=1),
            "bos": torch.full((batch,), bos),
            "eos": eos,
            "max_steps": max_steps,
        }
        return Case(name, arguments)

    short, middle, long = sorted(draw.sizes(3, low=2, high=6))
    # Seven captions: as many as neither have steps nor may have.
    some = [middle, short, long, middle, short, middle, short]
    return [
        case("captions of different lengths", some, long + 4),
        case("a caption that never ends", [short, middle, None, short], long + 2),
        case("captions that end at once", [1, long, 1], long + 2),
        case("captions that end together", 7 * [middle], middle + 3),
        case("a single caption", [long], long + 3),
        case("a single step", [1, None, None], 1),
    ]


def _decoded(step, state, bos, eos, max_steps, carry=True, feed=None, choose=None):
    """All steps, without a stop: (batch, max_steps)."""
    tokens, chosen = bos, []
    for _ in range(max_steps):
        log_probs, new = step(tokens if feed is None else feed, state)
        tokens = log_probs.argmax(1) if choose is None else choose(log_probs)
        state = new if carry else state
        chosen.append(tokens)
    return torch.stack(chosen, 1)


def _until_all_ended(step, state, bos, eos, max_steps, carry=True, fed=None, choose=None, fill=-1):
    """As the reference, but for what is named."""
    tokens, chosen, ended = bos, [], bos != bos
    while len(chosen) < max_steps and not ended.all():
        log_probs, new = step(tokens if fed is None else fed, state)
        tokens = log_probs.argmax(1) if choose is None else choose(log_probs)
        tokens = tokens.masked_fill(ended, eos if fill < 0 else fill)
        state = new if carry else state
        ended = ended | (tokens == eos)
        chosen.append(tokens)
    return torch.stack(chosen, 1)


def _state_not_carried_on(step, state, bos, eos, max_steps):
    return _until_all_ended(step, state, bos, eos, max_steps, carry=False)


def _start_token_at_every_step(step, state, bos, eos, max_steps):
    return _until_all_ended(step, state, bos, eos, max_steps, fed=bos)


def _start_token_kept(step, state, bos, eos, max_steps):
    captions = greedy_captions(step, state, bos, eos, max_steps)
    return torch.cat([bos[:, None], captions], 1)


def _never_stops(step, state, bos, eos, max_steps):
    return _decoded(step, state, bos, eos, max_steps)


def _never_stops_but_filled(step, state, bos, eos, max_steps):
    tokens = _decoded(step, state, bos, eos, max_steps)
    after = (tokens == eos).cumsum(1) - (tokens == eos).long() > 0
    return tokens.masked_fill(after, eos)


def _cut_afterwards(step, state, bos, eos, max_steps):
    tokens = _never_stops_but_filled(step, state, bos, eos, max_steps)
    longest = int((tokens != eos).sum(1).max()) + 1
    return tokens[:, :longest]


def _stops_with_the_first(step, state, bos, eos, max_steps):
    tokens, chosen = bos, []
    for _ in range(max_steps):
        log_probs, state = step(tokens, state)
        tokens = log_probs.argmax(1)
        chosen.append(tokens)
        if (tokens == eos).any():
            break
    return torch.stack(chosen, 1)


def _stops_where_all_end_at_once(step, state, bos, eos, max_steps):
    tokens, chosen = bos, []
    for _ in range(max_steps):
        log_probs, state = step(tokens, state)
        tokens = log_probs.argmax(1)
        chosen.append(tokens)
        if (tokens == eos).all():
            break
    return torch.stack(chosen, 1)


def _stops_before_all_end_at_once(step, state, bos, eos, max_steps):
    tokens, chosen = bos, []
    for _ in range(max_steps):
        log_probs, state = step(tokens, state)
        tokens = log_probs.argmax(1)
        if (tokens == eos).all():
            break
        chosen.append(tokens)
    return torch.stack(chosen, 1)


def _goes_on_after_the_end(step, state, bos, eos, max_steps):
    tokens, chosen, ended = bos, [], bos != bos
    while len(chosen) < max_steps and not ended.all():
        log_probs, state = step(tokens, state)
        tokens = log_probs.argmax(1)
        ended = ended | (tokens == eos)
        chosen.append(tokens)
    return torch.stack(chosen, 1)


def _filled_with_zeros(step, state, bos, eos, max_steps):
    return _until_all_ended(step, state, bos, eos, max_steps, fill=0)


def _stops_with_the_first_caption_of_the_batch(step, state, bos, eos, max_steps):
    tokens, chosen = bos, []
    for _ in range(max_steps):
        log_probs, state = step(tokens, state)
        tokens = log_probs.argmax(1)
        chosen.append(tokens)
        if tokens[0] == eos:
            break
    return torch.stack(chosen, 1)


def _end_token_left_out(step, state, bos, eos, max_steps):
    tokens, chosen, ended = bos, [], bos != bos
    for _ in range(max_steps):
        log_probs, state = step(tokens, state)
        tokens = log_probs.argmax(1).masked_fill(ended, eos)
        ended = ended | (tokens == eos)
        if ended.all():
            break
        chosen.append(tokens)
    return torch.stack(chosen, 1)


def _no_limit(step, state, bos, eos, max_steps):
    return _until_all_ended(step, state, bos, eos, torch.inf)


def _one_step_too_few(step, state, bos, eos, max_steps):
    return _until_all_ended(step, state, bos, eos, max_steps - 1)


def _one_step_too_many(step, state, bos, eos, max_steps):
    return _until_all_ended(step, state, bos, eos, max_steps + 1)


def _likeliest_caption(step, state, bos, eos, max_steps):
    return _until_all_ended(step, state, bos, eos, max_steps, choose=lambda p: p.argmax(0))


def _likeliest_of_all(step, state, bos, eos, max_steps):
    return _until_all_ended(step, state, bos, eos, max_steps, choose=lambda p: p.argmax())


def _a_drawn_token(step, state, bos, eos, max_steps):
    def choose(log_probs):
        return torch.multinomial(log_probs.exp(), 1)[:, 0]

    return _until_all_ended(step, state, bos, eos, max_steps, choose=choose)


def _an_axis_too_many(step, state, bos, eos, max_steps):
    def choose(log_probs):
        return log_probs.argmax(1, keepdim=True)

    return _decoded(step, state, bos, eos, max_steps, choose=choose)


def _one_end_asked_of_many(step, state, bos, eos, max_steps):
    tokens, chosen = bos, []
    for _ in range(max_steps):
        log_probs, state = step(tokens, state)
        tokens = log_probs.argmax(1)
        chosen.append(tokens)
        if tokens == eos:
            break
    return torch.stack(chosen, 1)


def _steps_first(step, state, bos, eos, max_steps):
    return greedy_captions(step, state, bos, eos, max_steps).T


def _one_after_the_other(step, state, bos, eos, max_steps):
    return greedy_captions(step, state, bos, eos, max_steps).T.flatten()


_WHOLE_LENGTH = (
    "Your loop always goes `max_steps` steps: stop as soon as every caption has ended, which a "
    "tensor of truth values, one for each caption, remembers."
)
_AT_ONCE = (
    "Your loop stops only where all captions say `eos` at the same step: remember which have ended "
    "before, and what they say afterwards becomes `eos`."
)

GREEDY = Exercise(
    id="06.2",
    title="A loop that stops",
    solution=greedy_captions,
    cases=_greedy_cases,
    run=_run_greedy,
    results=("captions", "number of calls of `step`"),
    axes={"bos": ("batch",), "captions": ("batch", "time")},
    hints=(
        "Two things change from step to step: the token of each caption, which is read next, and "
        "the state. Both come out of `step` and go into it again.",
        "Remember which captions have ended: `ended`, (batch,) of truth values, at first all "
        "false, and true for ever once a caption has said `eos`.",
        "`tokens = log_probs.argmax(dim=1).masked_fill(ended, eos)`, then `ended = ended | "
        "(tokens == eos)`. The loop goes on while `ended.all()` is false and there are fewer than "
        "`max_steps` tokens; `torch.stack(chosen, dim=1)` puts them together.",
    ),
    mistakes=(
        Mistake(
            _state_not_carried_on,
            "Every step begins with the first state again: `step` gives a new one back, which "
            "belongs to the next step.",
        ),
        Mistake(
            _start_token_at_every_step,
            "Your model reads `bos` at every step: it has to read the token that it has just "
            "chosen.",
        ),
        Mistake(
            _start_token_kept,
            "Your captions begin with `bos`: it is read, but not said, so it is no part of the "
            "result.",
        ),
        Mistake(_never_stops, _WHOLE_LENGTH),
        Mistake(
            _cut_afterwards,
            "Your captions are right, but you cut them only when `max_steps` steps have been "
            "computed: stop the loop as soon as every caption has ended.",
        ),
        Mistake(
            _stops_with_the_first,
            "Your loop stops when the first caption ends, and cuts all others: go on until all "
            "have ended.",
        ),
        Mistake(
            _stops_with_the_first_caption_of_the_batch,
            "Your loop looks at the first caption of the batch only: go on until all have ended.",
        ),
        Mistake(_stops_where_all_end_at_once, _AT_ONCE),
        Mistake(
            _goes_on_after_the_end,
            "Your captions go on after their end: what a caption that has ended says next means "
            "nothing. Put `eos` there until the others have ended, too.",
        ),
        Mistake(
            _filled_with_zeros,
            "Your captions are filled up with 0, which may be a word: after its first `eos` a "
            "caption holds nothing but `eos`.",
        ),
        Mistake(
            _end_token_left_out,
            "The step at which the last caption ends is missing: keep the tokens first, and stop "
            "after that.",
        ),
        Mistake(
            _no_limit,
            "Your loop has no limit: a caption may never end, and then `max_steps` tokens are "
            "enough.",
        ),
        Mistake(
            _one_step_too_few,
            "A caption that does not end has one token too few: `max_steps` tokens are allowed, "
            "and `bos` is none of them.",
        ),
        Mistake(
            _one_step_too_many,
            "A caption that does not end has one token too many: at most `max_steps` are allowed.",
        ),
        Mistake(
            _likeliest_caption,
            "Your `argmax` runs over the batch: each caption chooses from the vocabulary, `dim=1`.",
        ),
        Mistake(
            _likeliest_of_all,
            "Your `argmax` gives a single number for the whole batch: each caption chooses its "
            "own token, with `dim=1`.",
        ),
        Mistake(
            _a_drawn_token,
            "You draw tokens at random: greedy decoding takes the likeliest, `argmax`.",
        ),
        Mistake(
            _an_axis_too_many,
            "Your tokens have an axis too many: `step` takes (batch,), one token for each caption, "
            "so no `keepdim`, no `topk(1)` without its index.",
        ),
        Mistake(
            _one_end_asked_of_many,
            "`if tokens == eos` asks one question of a whole batch: remember for each caption "
            "whether it has ended, and ask `ended.all()`.",
        ),
        Mistake(
            _steps_first,
            "Your captions are (steps, batch): batch comes first, so stack the tokens with "
            "`dim=1`.",
        ),
    ),
    inherited=(
        Mistake(_never_stops_but_filled, _WHOLE_LENGTH),
        Mistake(_stops_before_all_end_at_once, _AT_ONCE),
        Mistake(
            _one_after_the_other,
            "Your tokens stand in one long row: `torch.stack(chosen, dim=1)` makes a row of each "
            "caption, `torch.cat` does not.",
        ),
    ),
)

# --- 06.3 ----------------------------------------------------------------------------------------


def beside(embedded: Tensor, picture: Tensor) -> Tensor:
    """Put the picture beside each token of its caption."""
    steps = picture[:, None].expand(-1, embedded.shape[1], -1)  # (batch, time, picture)
    return torch.cat([embedded, steps], dim=2)  # (batch, time, embedding + picture)


def _beside_cases(draw: Draw) -> list[Case]:
    def case(name: str, batch: int, time: int, embedding: int, picture: int) -> Case:
        tensors = draw.normal(batch, time, embedding), draw.normal(batch, picture)
        return Case(name, dict(zip(("embedded", "picture"), tensors, strict=True)))

    batch, time, embedding, picture = draw.sizes(4, low=2, high=7)
    return [
        case("captions of several tokens", batch, time, embedding, picture),
        case("as many captions as tokens in each", time, time, embedding, picture),
        case("as many numbers for a picture as for a token", batch, time, embedding, embedding),
        case("a single token", batch, 1, embedding, picture),
        case("a batch of one", 1, time, embedding, picture),
    ]


def _picture_first(embedded, picture):
    return torch.cat([picture[:, None].expand(-1, embedded.shape[1], -1), embedded], 2)


def _at_the_first_step_only(embedded, picture):
    steps = embedded.new_zeros(*embedded.shape[:2], picture.shape[1])
    steps[:, 0] = picture
    return torch.cat([embedded, steps], 2)


def _at_the_last_step_only(embedded, picture):
    steps = embedded.new_zeros(*embedded.shape[:2], picture.shape[1])
    steps[:, -1] = picture
    return torch.cat([embedded, steps], 2)


def _expanded_without_an_axis(embedded, picture):
    steps = picture.expand(embedded.shape[0], embedded.shape[1], picture.shape[1])
    return torch.cat([embedded, steps], 2)


def _axis_in_front(embedded, picture):
    steps = picture[None].expand(embedded.shape[1], -1, -1)
    return torch.cat([embedded, steps], 2)


def _repeated_rows_cut_anew(embedded, picture):
    batch, time, _ = embedded.shape
    return torch.cat([embedded, picture.repeat(time, 1).reshape(batch, time, -1)], 2)


def _repeated_numbers_cut_anew(embedded, picture):
    batch, time, _ = embedded.shape
    return torch.cat([embedded, picture.repeat_interleave(time, 1).reshape(batch, time, -1)], 2)


def _picture_of_the_first_caption(embedded, picture):
    return torch.cat([embedded, picture[0].expand(*embedded.shape[:2], -1)], 2)


def _mean_of_the_pictures(embedded, picture):
    return torch.cat([embedded, picture.mean(0).expand(*embedded.shape[:2], -1)], 2)


def _two_axes_and_three(embedded, picture):
    return torch.cat([embedded, picture], 2)


def _two_axes_and_three_along_the_second(embedded, picture):
    return torch.cat([embedded, picture], 1)


def _one_step_of_many(embedded, picture):
    return torch.cat([embedded, picture[:, None]], 2)


def _as_more_steps(embedded, picture):
    return torch.cat([embedded, picture[:, None].expand(-1, embedded.shape[1], -1)], 1)


def _as_more_captions(embedded, picture):
    return torch.cat([embedded, picture[:, None].expand(-1, embedded.shape[1], -1)], 0)


def _as_first_input(embedded, picture):
    return torch.cat([picture[:, None], embedded], 1)


def _added(embedded, picture):
    return embedded + picture[:, None]


def _added_without_an_axis(embedded, picture):
    return embedded + picture


def _stacked(embedded, picture):
    return torch.stack([embedded, picture[:, None].expand(-1, embedded.shape[1], -1)], 2)


def _picture_alone(embedded, picture):
    return picture[:, None].expand(-1, embedded.shape[1], -1)


def _picture_detached(embedded, picture):
    return beside(embedded, picture.detach())


_ADDED = (
    "You add the picture to the tokens: that needs equal sizes, and the layer cannot tell them "
    "apart. `torch.cat` along the last axis puts them side by side."
)
_ONE_AXIS_MORE = (
    "`embedded` has three axes and `picture` two: `picture[:, None]` gives it one for the steps, "
    "and `expand` repeats it along them."
)

BESIDE = Exercise(
    id="06.3",
    title="The picture at every step",
    solution=beside,
    cases=_beside_cases,
    results=("result",),
    axes={
        "embedded": ("batch", "time", "embedding"),
        "picture": ("batch", "picture"),
        "result": ("batch", "time", "embedding + picture"),
    },
    gradients=True,
    hints=(
        "First make the picture (batch, time, picture), the same at every step. Then the two "
        "differ in their last axis only.",
        "`picture[:, None]` is (batch, 1, picture), and `expand(-1, time, -1)` repeats it along "
        "the axis of size 1 without copying.",
        "`torch.cat([embedded, ...], dim=2)`, the tokens first.",
    ),
    mistakes=(
        Mistake(
            _picture_first,
            "Your numbers are right, but the picture stands before the token: the token comes "
            "first.",
        ),
        Mistake(
            _at_the_first_step_only,
            "Your picture stands at the first step only: that is another way to give it. Here it "
            "stands beside each token.",
        ),
        Mistake(
            _at_the_last_step_only,
            "Your picture stands at the last step only: all tokens before it are chosen without "
            "it. It stands beside each.",
        ),
        Mistake(
            _expanded_without_an_axis,
            "`expand` puts new axes in front, so your captions become steps: it fails, or where "
            "there are as many captions as tokens it gives each step another picture. Say where "
            "the new axis is, with `picture[:, None]`.",
        ),
        Mistake(
            _axis_in_front,
            "Your new axis stands in front, so your picture is (time, batch, picture): it belongs "
            "after the batch, `picture[:, None]`.",
        ),
        Mistake(
            _repeated_rows_cut_anew,
            "Your captions have pictures of other captions: `repeat(time, 1)` repeats the whole "
            "batch, and `reshape` or `view` cuts it elsewhere. `picture[:, None]` makes the axis "
            "first.",
        ),
        Mistake(
            _repeated_numbers_cut_anew,
            "Your `reshape` or `view` mixes the numbers of a picture: repeat along a new second "
            "axis, which `picture[:, None]` makes.",
        ),
        Mistake(
            _picture_of_the_first_caption,
            "All your captions have the picture of the first: each has its own.",
        ),
        Mistake(
            _mean_of_the_pictures,
            "Your captions share the mean of all pictures: each has its own.",
        ),
        Mistake(_two_axes_and_three, _ONE_AXIS_MORE),
        Mistake(
            _one_step_of_many,
            "Your picture has one step and the tokens have many: `torch.cat` does not repeat it, "
            "`expand(-1, time, -1)` does.",
        ),
        Mistake(
            _as_more_steps,
            "You put the picture after the tokens, as more steps: it stands beside each, so `cat` "
            "goes along the last axis, `dim=2`.",
        ),
        Mistake(
            _as_more_captions,
            "You put the pictures below the tokens, as more captions: they stand beside each "
            "token, so `cat` goes along the last axis, `dim=2`. Without `dim` it is the first.",
        ),
        Mistake(
            _as_first_input,
            "You put the picture before the tokens, as a step of its own: that is another way to "
            "give it, and needs as many numbers as a token has. Here it stands beside each.",
        ),
        Mistake(_added, _ADDED),
        Mistake(
            _stacked,
            "`torch.stack` makes a new axis, and wants equal sizes: `torch.cat` along `dim=2` puts "
            "the two side by side.",
        ),
        Mistake(
            _picture_alone,
            "Your result holds the picture alone: the embedded tokens come first, beside it.",
        ),
        Mistake(
            _picture_detached,
            "Right forwards, but your picture is cut off: no gradient reaches it, so that what "
            "looks at the image never learns. Is there a `detach` or a `torch.tensor`?",
        ),
    ),
    inherited=(
        Mistake(_two_axes_and_three_along_the_second, _ONE_AXIS_MORE),
        Mistake(_added_without_an_axis, _ADDED),
    ),
)

# --- 06.4 ----------------------------------------------------------------------------------------


def exact(tokens: Tensor, targets: Tensor, eos: int) -> float:
    """Give the share of captions that are right from the first word to the end token."""
    right = 0
    for row, wanted in zip(tokens.tolist(), targets.tolist(), strict=True):
        caption = wanted[: wanted.index(eos) + 1]
        right += row[: len(caption)] == caption
    return right / len(targets)


def _run_exact(submission: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    share = submission(*arguments.values())
    # A number of any type will do, of `float32`, too.
    single = isinstance(share, numbers.Real) and not isinstance(share, bool)
    if single or (isinstance(share, Tensor) and share.dim() == 0):
        return {"share": round(float(share), 6)}
    return {"share": share}


_KINDS = {"r": "right", "t": "ends twice", "w": "another word", "o": "another order"}
_KINDS |= {"s": "too short", "l": "too long", "n": "never ends", "c": "cut"}


def _exact_cases(draw: Draw) -> list[Case]:
    def shuffled(size: int) -> list[int]:
        return torch.randperm(size, generator=draw.generator).tolist()

    def case(name: str, kinds: str, steps: int, time: int, longest: int = 5) -> Case:
        eos, *words = shuffled(40)
        chosen, wanted = [], []
        for place in [-1, *shuffled(len(kinds) - 1)]:
            kind = _KINDS[kinds[place + 1]]
            length = steps if kind == "cut" else 3 + shuffled(longest - 2)[0]
            order = shuffled(len(words))
            caption, other = [words[i] for i in order[:length]], words[order[-1]]
            first, second, *rest = caption
            row = {
                "right": [*caption, eos],
                "ends twice": [*caption, eos, other, eos],
                "another word": [first, other, *rest, eos],
                "another order": [second, first, *rest, eos],
                "too short": [*caption[:-1], eos],
                "too long": [*caption, other, eos],
                "never ends": [*caption, other],
                "cut": caption,
            }[kind]
            # What stands after the end is no end, and differs.
            junk = [words[i] for i in order[length:-1]]
            chosen.append([*row, *junk[:steps]][:steps])
            wanted.append([*caption, eos, *junk[steps:]][:time])
        tensors = {"tokens": torch.tensor(chosen), "targets": torch.tensor(wanted)}
        return Case(name, {**tensors, "eos": eos})

    more = draw.sizes(1, low=9, high=12)[0]
    return [
        case("captions right and wrong", "rrrttwosslln", more, more),
        case("fewer steps than targets", "rrtwslln", 8, more),
        case("more steps than targets", "wrrtosn", more, 8),
        case("captions that were cut", "rccs", 4, 6, longest=3),
        case("captions that are all right", "rrt", more, more),
        case("a single caption", "r", more, 8),
    ]


def _up_to_end(row: list[int], eos: int) -> list[int]:
    return row[: row.index(eos) + 1] if eos in row else row


def _words(row: list[int], eos: int) -> list[int]:
    return row[: row.index(eos)] if eos in row else row


def _share(tokens: Tensor, targets: Tensor, right: Callable[[list[int], list[int]], bool]) -> float:
    rows = list(zip(tokens.tolist(), targets.tolist(), strict=True))
    return sum(right(*both) for both in rows) / len(rows)


def _padding_compared(tokens, targets, eos):
    return (tokens == targets).all(1).float().mean()


def _padding_compared_in_lists(tokens, targets, eos):
    return _share(tokens, targets, lambda row, wanted: row == wanted)


def _padding_compared_where_both_are(tokens, targets, eos):
    time = min(tokens.shape[1], targets.shape[1])
    return _padding_compared(tokens[:, :time], targets[:, :time], eos)


def _share_of_all_tokens(tokens, targets, eos):
    return (tokens == targets).float().mean()


def _share_of_all_tokens_where_both_are(tokens, targets, eos):
    time = min(tokens.shape[1], targets.shape[1])
    return _share_of_all_tokens(tokens[:, :time], targets[:, :time], eos)


def _share_of_tokens_up_to_the_end(tokens, targets, eos):
    right = counted = 0
    for row, wanted in zip(tokens.tolist(), targets.tolist(), strict=True):
        caption = _up_to_end(wanted, eos)
        right += sum(a == b for a, b in zip(row, caption, strict=False))
        counted += len(caption)
    return right / counted


def _end_not_compared(tokens, targets, eos):
    def right(row, wanted):
        caption = _words(wanted, eos)
        return row[: len(caption)] == caption

    return _share(tokens, targets, right)


def _end_not_compared_where_it_was_cut(tokens, targets, eos):
    return _share(tokens, targets, lambda row, wanted: _words(row, eos) == _words(wanted, eos))


def _as_many_steps_expected(tokens, targets, eos):
    ends = (targets == eos).long()
    counts = ends.cumsum(1) - ends == 0
    return ((tokens == targets) | ~counts).all(1).double().mean()


def _place_of_an_end_that_is_not_there(tokens, targets, eos):
    def right(row, wanted):
        end = int((torch.tensor(row) == eos).int().argmax())
        return row[: end + 1] == wanted[: end + 1]

    return _share(tokens, targets, right)


def _index_of_an_end_that_is_not_there(tokens, targets, eos):
    return _share(
        tokens,
        targets,
        lambda row, wanted: row[: row.index(eos) + 1] == wanted[: wanted.index(eos) + 1],
    )


def _up_to_the_last_end(tokens, targets, eos):
    def right(row, wanted):
        ends = [place for place, token in enumerate(row) if token == eos]
        return row[: ends[-1] + 1 if ends else None] == _up_to_end(wanted, eos)

    return _share(tokens, targets, right)


def _shorter_captions_pass(tokens, targets, eos):
    def right(row, wanted):
        pairs = zip(_words(row, eos), _words(wanted, eos), strict=False)
        return all(a == b for a, b in pairs)

    return _share(tokens, targets, right)


def _words_in_any_order(tokens, targets, eos):
    return _share(
        tokens,
        targets,
        lambda row, wanted: sorted(_up_to_end(row, eos)) == sorted(_up_to_end(wanted, eos)),
    )


def _lengths_only(tokens, targets, eos):
    return _share(
        tokens,
        targets,
        lambda row, wanted: eos in row and row.index(eos) == wanted.index(eos),
    )


def _number_of_right_captions(tokens, targets, eos):
    return exact(tokens, targets, eos) * len(targets)


def _percent(tokens, targets, eos):
    return 100 * exact(tokens, targets, eos)


def _share_of_wrong_captions(tokens, targets, eos):
    return 1 - exact(tokens, targets, eos)


def _divided_by_the_number_of_tokens(tokens, targets, eos):
    return exact(tokens, targets, eos) * len(targets) / tokens.numel()


def _all_or_nothing(tokens, targets, eos):
    return float(exact(tokens, targets, eos) == 1)


def _one_for_each_caption(tokens, targets, eos):
    rows = zip(tokens, targets, strict=True)
    return torch.tensor([exact(row[None], wanted[None], eos) == 1 for row, wanted in rows])


def _first_caption_only(tokens, targets, eos):
    return exact(tokens[:1], targets[:1], eos)


_AFTER_THE_END = (
    "Your comparison takes in what stands after the end: a caption is right if it equals its "
    "target up to and including the first `eos` of the target, whatever comes later."
)
_TOKENS = (
    "You count single tokens: a caption is right if all of it is right, so ask that for each row "
    "first, and take the share of rows."
)

EXACT = Exercise(
    id="06.4",
    title="Right from the first word to the end",
    solution=exact,
    cases=_exact_cases,
    run=_run_exact,
    results=("share",),
    axes={"tokens": ("batch", "steps"), "targets": ("batch", "time")},
    hints=(
        "Which tokens of a target are its caption? Compare just as many of the tokens that were "
        "chosen.",
        "If a row equals its target up to and including the target's first `eos`, it has its own "
        "first `eos` at that place, too. You need not look for it.",
        "`tolist()` makes lists of both, and lists know `index` and `==`. A slice that is longer "
        "than its list is simply shorter, and then differs.",
    ),
    mistakes=(
        Mistake(_padding_compared, _AFTER_THE_END),
        Mistake(_share_of_all_tokens, _TOKENS),
        Mistake(
            _share_of_tokens_up_to_the_end,
            "You count single tokens, up to the right place: ask for each row whether all of them "
            "are right, and take the share of rows.",
        ),
        Mistake(
            _end_not_compared,
            "You compare the words only, and a caption that goes on passes: `eos` at the right "
            "place belongs to it.",
        ),
        Mistake(
            _end_not_compared_where_it_was_cut,
            "Right, until a caption was cut before its end: without `eos` it is not right, even if "
            "all its words are. Compare the end token, too.",
        ),
        Mistake(
            _as_many_steps_expected,
            "Right, where both have as many steps: but a model may stop before the longest target "
            "ends, or go on. Compare row by row, or cut the tokens and fill them up first.",
        ),
        Mistake(
            _place_of_an_end_that_is_not_there,
            "Your `argmax` gives 0 where a caption has no `eos`, and then its first token decides: "
            "look for the end in the targets, which all have one.",
        ),
        Mistake(
            _index_of_an_end_that_is_not_there,
            "A caption that never ends has no `eos`, so `index` finds none in it: look for the end "
            "in the targets, which all have one.",
        ),
        Mistake(
            _up_to_the_last_end,
            "You look for the last `eos`: a caption ends with its first, and what comes later does "
            "not count.",
        ),
        Mistake(
            _shorter_captions_pass,
            "A caption passes that ends too early, or goes on: `zip` stops with the shorter one. "
            "The end must stand at the same place.",
        ),
        Mistake(
            _words_in_any_order,
            "You compare the words without their order: seventeen is not one and seventy.",
        ),
        Mistake(
            _lengths_only,
            "You compare where captions end, not what they say: every token up to there must be "
            "right.",
        ),
        Mistake(
            _number_of_right_captions,
            "You count the right captions: divide by the number of captions.",
        ),
        Mistake(_percent, "You return per cent: a share lies between 0 and 1."),
        Mistake(
            _share_of_wrong_captions,
            "You return the share of wrong captions: is a comparison turned round?",
        ),
        Mistake(
            _divided_by_the_number_of_tokens,
            "You divide by the number of tokens: divide by the number of captions, `len(targets)`.",
        ),
        Mistake(
            _all_or_nothing,
            "You ask whether all captions of the batch are right: one wrong caption leaves the "
            "others right.",
        ),
        Mistake(
            _one_for_each_caption,
            "You return an answer for each caption: their mean is the share.",
        ),
        Mistake(
            _first_caption_only,
            "You look at the first caption only: all rows count.",
        ),
    ),
    inherited=(
        Mistake(_padding_compared_in_lists, _AFTER_THE_END),
        Mistake(_padding_compared_where_both_are, _AFTER_THE_END),
        Mistake(_share_of_all_tokens_where_both_are, _TOKENS),
    ),
)

EXERCISES = (FORCING, GREEDY, BESIDE, EXACT)
