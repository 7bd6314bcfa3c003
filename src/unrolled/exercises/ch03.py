"""Exercises of chapter 3, a language model."""
# Answers, right and wrong, look as readers write them.
# ruff: noqa: ANN001, ANN202

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unrolled.exercises import ch02
from unrolled.exercises.exercise import Case, Draw, Exercise, Mistake
from unrolled.exercises.wording import kind_of

# --- 03.1 ----------------------------------------------------------------------------------------


def inputs_and_targets(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Cut texts into what a model reads and what it has to guess at each step."""
    return tokens[:, :-1], tokens[:, 1:]  # (batch, time) both


def _shift_cases(draw: Draw) -> list[Case]:
    def different(batch: int, time: int) -> Tensor:
        # No two tokens alike, and not in order: then nothing is right by chance.
        order = torch.randperm(3 * batch * (time + 1), generator=draw.generator)
        return order[: batch * (time + 1)].reshape(batch, time + 1)

    batch, time = draw.sizes(2, low=3)
    batch = batch + 5 if batch == time + 1 else batch
    return [
        Case("several texts", {"tokens": different(batch, time)}),
        Case("as many texts as tokens in each", {"tokens": different(time + 1, time)}),
        Case("a batch of one", {"tokens": different(1, time)}),
        Case("a single step", {"tokens": different(batch, 1)}),
    ]


def _exchanged(tokens):
    return tokens[:, 1:], tokens[:, :-1]


def _not_shifted(tokens):
    return tokens[:, :-1], tokens[:, :-1]


def _not_shifted_and_one_late(tokens):
    return tokens[:, 1:], tokens[:, 1:]


def _not_shifted_at_all(tokens):
    return tokens, tokens


def _inputs_one_step_too_long(tokens):
    return tokens, tokens[:, 1:]


def _targets_one_step_too_long(tokens):
    return tokens[:, :-1], tokens


def _targets_rolled(tokens):
    return tokens, tokens.roll(-1, dims=1)


def _inputs_rolled(tokens):
    return tokens.roll(1, dims=1), tokens


def _targets_wrap_round(tokens):
    return tokens[:, :-1], tokens[:, :-1].roll(-1, dims=1)


def _targets_wrap_round_into_the_next_text(tokens):
    return tokens[:, :-1], tokens[:, :-1].flatten().roll(-1).reshape(len(tokens), -1)


def _padding_as_last_target(tokens):
    end = tokens.new_zeros(len(tokens), 1)
    return tokens, torch.cat([tokens[:, 1:], end], dim=1)


def _padding_as_last_target_of_the_inputs(tokens):
    end = tokens.new_zeros(len(tokens), 1)
    return tokens[:, :-1], torch.cat([tokens[:, 1:-1], end], dim=1)


def _padding_as_first_input(tokens):
    start = tokens.new_zeros(len(tokens), 1)
    return torch.cat([start, tokens[:, :-1]], dim=1), tokens


def _texts_for_steps(tokens):
    return tokens[:-1], tokens[1:]


def _both_axes_shifted(tokens):
    return tokens[:-1, :-1], tokens[1:, 1:]


def _last_token_as_only_target(tokens):
    return tokens[:, :-1], tokens[:, -1]


def _last_token_as_only_target_with_an_axis(tokens):
    return tokens[:, :-1], tokens[:, -1:]


def _two_steps_ahead(tokens):
    return tokens[:, :-2], tokens[:, 2:]


def _the_text_cut_in_two(tokens):
    half = tokens.shape[1] // 2
    return tokens[:, :half], tokens[:, half : 2 * half]


def _every_other_token(tokens):
    return tokens[:, :-1:2], tokens[:, 1::2]


def _targets_backwards(tokens):
    return tokens[:, :-1], tokens[:, 1:].flip(1)


def _from_the_end(tokens):
    turned = tokens.flip(1)
    return turned[:, :-1], turned[:, 1:]


def _all_texts_as_one(tokens):
    flat = tokens.flatten()
    return flat[:-1], flat[1:]


def _the_first_text_only(tokens):
    return tokens[0, :-1], tokens[0, 1:]


def _one_added(tokens):
    return tokens[:, :-1], tokens[:, :-1] + 1


def _time_first(tokens):
    return tokens[:, :-1].T, tokens[:, 1:].T


_WRAPS = (
    "Your last target is the first token of the text: `roll` moves what falls off the front to the "
    "end. Read one token more than you guess: `tokens` is (batch, time + 1) for that."
)
_LAST_PADDED = (
    "Your last target is padding that you have put there: the token that comes is in `tokens`, "
    "which is one longer than the inputs for that reason."
)

SHIFT = Exercise(
    id="03.1",
    title="Targets shifted by one",
    solution=inputs_and_targets,
    cases=_shift_cases,
    results=("inputs", "targets"),
    axes={"inputs": ("batch", "time"), "targets": ("batch", "time")},
    hints=(
        "Take the text a b c d. After a the model guesses b. What does it guess after c, and is "
        "there anything to guess after d?",
        "The inputs are all tokens but the last of each text, the targets all but the first.",
        "Texts are rows, so the shift is along the second axis: `tokens[:, ...]`.",
    ),
    mistakes=(
        Mistake(
            _exchanged,
            "Your inputs and targets are exchanged, so the model guesses what it read before: the "
            "inputs are all tokens but the last, the targets all but the first.",
        ),
        Mistake(
            _not_shifted,
            "Your targets are the inputs themselves, so the model learns to copy: the target of a "
            "step is the token one step later.",
        ),
        Mistake(
            _not_shifted_and_one_late,
            "Your inputs begin one token too late, so that each is its own target and the model "
            "learns to copy: the inputs begin with `tokens[:, 0]`.",
        ),
        Mistake(
            _not_shifted_at_all,
            "You return all tokens twice: the inputs leave out the last token of each text, the "
            "targets the first.",
        ),
        Mistake(
            _inputs_one_step_too_long,
            "Your targets are right, but your inputs are one step too long: nothing comes after "
            "the last token, so it is no input.",
        ),
        Mistake(
            _targets_one_step_too_long,
            "Your inputs are right, but your targets still hold the first token, which nothing "
            "comes before.",
        ),
        Mistake(_targets_rolled, _WRAPS),
        Mistake(
            _inputs_rolled,
            "Your first input is the last token of the text: `roll` moves what falls off the end "
            "to the front. Leave that step out; both are one shorter than `tokens`.",
        ),
        Mistake(
            _targets_wrap_round_into_the_next_text,
            "Your shift runs from one text into the next: flattened texts are one, and `roll` "
            "without `dims` flattens. Shift along the second axis.",
        ),
        Mistake(_padding_as_last_target, _LAST_PADDED),
        Mistake(
            _padding_as_first_input,
            "You put a token before the text: here the first token is given, so it is an input and "
            "nothing has to guess it.",
        ),
        Mistake(
            _texts_for_steps,
            "Your shift goes from one text to the next: `tokens[1:]` leaves out the first text of "
            "the batch. Time is the second axis, `tokens[:, 1:]`.",
        ),
        Mistake(
            _both_axes_shifted,
            "Your shift goes along both axes, and a text has its targets in the next one: shift "
            "along the second axis only.",
        ),
        Mistake(
            _last_token_as_only_target,
            "You have one target for each text: a language model guesses at every step, so the "
            "targets are as long as the inputs.",
        ),
        Mistake(
            _two_steps_ahead,
            "Your targets are two steps ahead: the next token is one step later.",
        ),
        Mistake(
            _the_text_cut_in_two,
            "Your targets begin where your inputs end: every input has the token right after it as "
            "its target, so the two overlap in all tokens but one.",
        ),
        Mistake(
            _every_other_token,
            "You use every other token only: a token is first a target and then the next input.",
        ),
        Mistake(
            _targets_backwards,
            "Your targets run backwards: the target of the first step is `tokens[:, 1]`.",
        ),
        Mistake(
            _from_the_end,
            "Your model reads each text from its end: leave the tokens in their order.",
        ),
        Mistake(
            _all_texts_as_one,
            "Your texts have become one, and the last token of each has the first of the next as "
            "its target: keep the rows, and shift along the second axis.",
        ),
        Mistake(
            _the_first_text_only,
            "You return the first text only: `tokens[:, 1:]` takes all rows.",
        ),
        Mistake(
            _one_added,
            "You add 1 to the numbers of the tokens: it is their place that moves by one.",
        ),
        Mistake(
            _time_first,
            "Your inputs and targets are (time, batch): batch comes first, as in `tokens`.",
        ),
    ),
    inherited=(
        Mistake(_targets_wrap_round, _WRAPS),
        Mistake(_padding_as_last_target_of_the_inputs, _LAST_PADDED),
        Mistake(
            _last_token_as_only_target_with_an_axis,
            "You have one target for each text: a language model guesses at every step, so the "
            "targets are as long as the inputs.",
        ),
    ),
)

# --- 03.2 ----------------------------------------------------------------------------------------


def read_in_windows(
    x: Tensor, h0: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, window: int
) -> tuple[Tensor, Tensor]:
    """All states, with a gradient that stops where a window begins."""
    h = h0  # (batch, hidden)
    states = []
    for t, x_t in enumerate(x.unbind(dim=1)):  # (batch, input)
        if t > 0 and t % window == 0:
            h = h.detach()
        h = torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + bias)
        states.append(h)
    return torch.stack(states, dim=1), h  # (batch, time, hidden), (batch, hidden)


def _reading_cases(draw: Draw) -> list[Case]:
    def case(name: str, time: int, window: int, batch: int) -> Case:
        tensors = {
            "x": draw.normal(batch, time, inputs),
            "h0": draw.normal(batch, hidden, scale=0.5),
            "weight_ih": draw.normal(hidden, inputs, scale=0.5),
            "weight_hh": draw.normal(hidden, hidden, scale=0.5),
            "bias": draw.normal(hidden, scale=0.5),
        }
        return Case(name, {**tensors, "window": window})

    batch, inputs, hidden = draw.sizes(3, low=2, high=5)
    window = draw.sizes(1, low=6, high=7)[0]  # no other size
    return [
        case("a last window that is shorter", 2 * window + 2, window, batch),
        case("windows of equal length", 3 * window, window, batch),
        case("a single window", window, window, batch),
        case("a text that is shorter than the window", window - 1, window, batch),
        case("windows of one step", window + 3, 1, batch),
        case("a batch of one", 2 * window + 1, window, 1),
    ]


def _read(
    x: Tensor,
    h0: Tensor,
    weights: tuple[Tensor, Tensor, Tensor],
    before: Callable[[Tensor, int], Tensor],
    step: Callable[..., Tensor] = ch02.rnn_step,
) -> tuple[list[Tensor], Tensor]:
    """Run over all steps; `before` may change the state before a step."""
    h, states = h0, []
    for t, x_t in enumerate(x.unbind(dim=1)):
        h = step(x_t, before(h, t), *weights)
        states.append(h)
    return states, h


def _window_by_window(
    x: Tensor, h0: Tensor, weights: tuple[Tensor, Tensor, Tensor], window: int, starts: range
) -> tuple[list[Tensor], Tensor]:
    """Run over each window: outputs, (batch, window, hidden) each, and the last state."""
    h, found = h0, []
    for start in starts:
        h = h.detach() if start else h
        outputs, h = ch02.rnn(x[:, start : start + window], h, *weights)
        found.append(outputs)
    return found, h


def _no_detach(x, h0, weight_ih, weight_hh, bias, window):
    return ch02.rnn(x, h0, weight_ih, weight_hh, bias)


def _zeros_at_the_start_of_each_window(x, h0, weight_ih, weight_hh, bias, window):
    def before(h, t):
        return torch.zeros_like(h) if t and t % window == 0 else h

    states, h = _read(x, h0, (weight_ih, weight_hh, bias), before)
    return torch.stack(states, dim=1), h


def _zeros_at_the_start_of_all_windows(x, h0, weight_ih, weight_hh, bias, window):
    def before(h, t):
        return torch.zeros_like(h) if t % window == 0 else h

    states, h = _read(x, h0, (weight_ih, weight_hh, bias), before)
    return torch.stack(states, dim=1), h


def _h0_at_the_start_of_each_window(x, h0, weight_ih, weight_hh, bias, window):
    def before(h, t):
        return h0 if t % window == 0 else h

    states, h = _read(x, h0, (weight_ih, weight_hh, bias), before)
    return torch.stack(states, dim=1), h


def _the_last_short_window_dropped(x, h0, weight_ih, weight_hh, bias, window):
    starts = range(0, x.shape[1] - window + 1, window)
    found, h = _window_by_window(x, h0, (weight_ih, weight_hh, bias), window, starts)
    return torch.cat(found, dim=1), h


def _the_last_short_window_dropped_step_by_step(x, h0, weight_ih, weight_hh, bias, window):
    steps = x.shape[1] // window * window
    return read_in_windows(x[:, :steps], h0, weight_ih, weight_hh, bias, window)


def _outputs_detached(x, h0, weight_ih, weight_hh, bias, window):
    outputs, h = read_in_windows(x, h0, weight_ih, weight_hh, bias, window)
    return outputs.detach(), h


def _detached_at_each_step(x, h0, weight_ih, weight_hh, bias, window):
    def before(h, t):
        return h.detach() if t else h

    states, h = _read(x, h0, (weight_ih, weight_hh, bias), before)
    return torch.stack(states, dim=1), h


def _detached_at_each_step_and_h0(x, h0, weight_ih, weight_hh, bias, window):
    states, h = _read(x, h0, (weight_ih, weight_hh, bias), lambda h, t: h.detach())
    return torch.stack(states, dim=1), h


def _h0_detached(x, h0, weight_ih, weight_hh, bias, window):
    return read_in_windows(x, h0.detach(), weight_ih, weight_hh, bias, window)


def _only_h0_detached(x, h0, weight_ih, weight_hh, bias, window):
    return ch02.rnn(x, h0.detach(), weight_ih, weight_hh, bias)


def _detached_one_step_early(x, h0, weight_ih, weight_hh, bias, window):
    def before(h, t):
        return h.detach() if (t + 1) % window == 0 else h

    states, h = _read(x, h0, (weight_ih, weight_hh, bias), before)
    return torch.stack(states, dim=1), h


def _detached_one_step_late(x, h0, weight_ih, weight_hh, bias, window):
    def before(h, t):
        return h.detach() if t and (t - 1) % window == 0 else h

    states, h = _read(x, h0, (weight_ih, weight_hh, bias), before)
    return torch.stack(states, dim=1), h


def _kept_one_step_late(x, h0, weight_ih, weight_hh, bias, window):
    h, states = h0, []
    for t, x_t in enumerate(x.unbind(dim=1)):
        h = torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + bias)
        if t % window == 0:
            h = h.detach()
        states.append(h)
    return torch.stack(states, dim=1), h


def _every_step_from_the_second_window_on(x, h0, weight_ih, weight_hh, bias, window):
    def before(h, t):
        return h.detach() if t // window else h

    states, h = _read(x, h0, (weight_ih, weight_hh, bias), before)
    return torch.stack(states, dim=1), h


def _detached_once(x, h0, weight_ih, weight_hh, bias, window):
    def before(h, t):
        return h.detach() if t == window else h

    states, h = _read(x, h0, (weight_ih, weight_hh, bias), before)
    return torch.stack(states, dim=1), h


def _not_at_the_last_short_window(x, h0, weight_ih, weight_hh, bias, window):
    def before(h, t):
        return h.detach() if t and t % window == 0 and t + window <= x.shape[1] else h

    states, h = _read(x, h0, (weight_ih, weight_hh, bias), before)
    return torch.stack(states, dim=1), h


def _as_many_windows_as_a_window_has_steps(x, h0, weight_ih, weight_hh, bias, window):
    length = math.ceil(x.shape[1] / window)  # as `x.chunk(window, dim=1)` does
    return read_in_windows(x, h0, weight_ih, weight_hh, bias, length)


def _detached_where_a_window_ends(x, h0, weight_ih, weight_hh, bias, window):
    outputs, h = read_in_windows(x, h0, weight_ih, weight_hh, bias, window)
    return outputs, h.detach() if x.shape[1] % window == 0 else h


def _final_state_detached(x, h0, weight_ih, weight_hh, bias, window):
    outputs, h = read_in_windows(x, h0, weight_ih, weight_hh, bias, window)
    return outputs, h.detach()


def _detached_in_place(x, h0, weight_ih, weight_hh, bias, window):
    def before(h, t):
        return h.detach_() if t and t % window == 0 else h

    states, h = _read(x, h0, (weight_ih, weight_hh, bias), before)
    return torch.stack(states, dim=1), h


def _detached_in_place_from_h0_on(x, h0, weight_ih, weight_hh, bias, window):
    def before(h, t):
        return h.detach_() if t % window == 0 else h

    states, h = _read(x, h0, (weight_ih, weight_hh, bias), before)
    return torch.stack(states, dim=1), h


def _a_gradient_in_the_last_window_only(x, h0, weight_ih, weight_hh, bias, window):
    outputs, h = read_in_windows(x, h0, weight_ih, weight_hh, bias, window)
    start = (x.shape[1] - 1) // window * window
    return torch.cat([outputs[:, :start].detach(), outputs[:, start:]], dim=1), h


def _detached_before_it_is_kept(x, h0, weight_ih, weight_hh, bias, window):
    h, states = h0, []
    for t, x_t in enumerate(x.unbind(dim=1)):
        h = torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + bias)
        if (t + 1) % window == 0:
            h = h.detach()
        states.append(h)
    return torch.stack(states, dim=1), h


def _windows_of_one_step_more(x, h0, weight_ih, weight_hh, bias, window):
    return read_in_windows(x, h0, weight_ih, weight_hh, bias, window + 1)


def _every_other_window(x, h0, weight_ih, weight_hh, bias, window):
    return read_in_windows(x, h0, weight_ih, weight_hh, bias, 2 * window)


def _the_first_window_only(x, h0, weight_ih, weight_hh, bias, window):
    return ch02.rnn(x[:, :window], h0, weight_ih, weight_hh, bias)


def _windows_stacked(x, h0, weight_ih, weight_hh, bias, window):
    starts = range(0, x.shape[1], window)
    found, h = _window_by_window(x, h0, (weight_ih, weight_hh, bias), window, starts)
    return torch.stack(found, dim=1), h


def _windows_joined_along_the_batch(x, h0, weight_ih, weight_hh, bias, window):
    starts = range(0, x.shape[1], window)
    found, h = _window_by_window(x, h0, (weight_ih, weight_hh, bias), window, starts)
    return torch.cat(found), h


def _outputs_of_the_last_window_only(x, h0, weight_ih, weight_hh, bias, window):
    starts = range(0, x.shape[1], window)
    found, h = _window_by_window(x, h0, (weight_ih, weight_hh, bias), window, starts)
    return found[-1], h


def _one_state_for_each_window(x, h0, weight_ih, weight_hh, bias, window):
    starts = range(0, x.shape[1], window)
    found, h = _window_by_window(x, h0, (weight_ih, weight_hh, bias), window, starts)
    return torch.stack([outputs[:, -1] for outputs in found], dim=1), h


def _with_the_step(step: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, Tensor]]:
    def run(x, h0, weight_ih, weight_hh, bias, window):
        def before(h, t):
            return h.detach() if t and t % window == 0 else h

        states, h = _read(x, h0, (weight_ih, weight_hh, bias), before, step)
        return torch.stack(states, dim=1), h

    run.__name__ = step.__name__
    return run


def _without_windows(rnn: Callable[..., Any]) -> Callable[..., Any]:
    def run(x, h0, weight_ih, weight_hh, bias, window):
        return rnn(x, h0, weight_ih, weight_hh, bias)

    run.__name__ = rnn.__name__
    return run


_DROPPED = (
    "The last window is missing where it is shorter than the others: a slice past the end is cut "
    "off at the end, so it needs no case of its own, only a start."
)
_EACH_STEP = (
    "Right forwards, but the gradient goes back one step only: you detach at each step, and it "
    "should be where a window begins, every `window` steps."
)
_IN_PLACE = (
    "Right forwards, but `detach_` cuts the state itself, and with it the output that you have "
    "kept: `h = h.detach()` makes a new tensor and leaves the old one whole."
)
_FINAL = (
    "Right forwards, but no gradient can flow back through your final state: detach it when the "
    "next window begins, not when a window ends. The caller decides whether another one follows."
)
_RESTART = (
    "Your state begins with zeros in each window, so the network forgets what it has read: it goes "
    "on with the state of the window before, detached. Only the gradient is cut, not the number."
)

READING = Exercise(
    id="03.2",
    title="The state across windows",
    solution=read_in_windows,
    cases=_reading_cases,
    results=("outputs", "final state"),
    axes=ch02.AXES,
    gradients=True,
    hints=(
        "Forwards nothing changes: the states are those of one run over the whole text, whatever "
        "`window` is. What has to change is only where the gradient stops.",
        "`h.detach()` gives the same numbers without their history, as a new tensor. At which "
        "steps does a window begin that has another one before it?",
        "In the loop over the steps t = 0, 1, 2, ..., before the step is computed: if `t > 0` and "
        "`t % window == 0`, then `h = h.detach()`.",
    ),
    mistakes=(
        Mistake(
            _no_detach,
            "Right forwards, but the gradient goes back through all windows: where one begins, "
            "write `h = h.detach()`. `h.detach()` alone changes nothing.",
        ),
        Mistake(_zeros_at_the_start_of_each_window, _RESTART),
        Mistake(
            _h0_at_the_start_of_each_window,
            "Each of your windows begins with `h0`: only the first does, the others go on with the "
            "state of the window before, detached.",
        ),
        Mistake(_the_last_short_window_dropped, _DROPPED),
        Mistake(
            _outputs_detached,
            "Right forwards, but your outputs are detached, too, so nothing can be learnt from "
            "them: detach the state that is passed on, and keep the outputs as they are.",
        ),
        Mistake(_detached_at_each_step, _EACH_STEP),
        Mistake(
            _h0_detached,
            "Right forwards, but `h0` gets no gradient: nothing comes before the first window, so "
            "detach from the second one on.",
        ),
        Mistake(
            _only_h0_detached,
            "Right forwards, but you detach `h0` and nothing else, so the gradient goes back "
            "through all windows but not to the first state: it is the other way round.",
        ),
        Mistake(
            _detached_one_step_early,
            "Right forwards, but you detach before the last step of each window: with a window of "
            "3, the steps t = 0, 1, 2 belong together, and t = 3 begins the next one.",
        ),
        Mistake(
            _detached_one_step_late,
            "Right forwards, but you detach after the first step of each window: cut before that "
            "step, at `t % window == 0`.",
        ),
        Mistake(
            _kept_one_step_late,
            "Right forwards, but you detach after the first step of each window, and its output "
            "with it: cut before the step is computed.",
        ),
        Mistake(
            _every_step_from_the_second_window_on,
            "Right forwards, but from the second window on you detach at every step: `t // window` "
            "is the number of the window; a window begins where `t % window` is 0.",
        ),
        Mistake(
            _detached_once,
            "Right forwards, but you detach only where the second window begins: every later "
            "window begins so, too, at each `t % window == 0`.",
        ),
        Mistake(
            _not_at_the_last_short_window,
            "Right forwards, but the last window is not cut off where it is shorter than the "
            "others: it begins as they do, with a detached state.",
        ),
        Mistake(
            _as_many_windows_as_a_window_has_steps,
            "Right forwards, but your windows have another length: `window` is the number of steps "
            "in a window, not the number of windows. `split` takes the one, `chunk` the other.",
        ),
        Mistake(_final_state_detached, _FINAL),
        Mistake(_detached_in_place, _IN_PLACE),
        Mistake(
            _a_gradient_in_the_last_window_only,
            "Right forwards, but only the last window gets a gradient: every window learns from "
            "its own outputs, and only what is passed on is detached.",
        ),
        Mistake(
            _detached_before_it_is_kept,
            "Right forwards, but the last output of each window is detached, too: keep the output "
            "first, and detach the state where the next window begins.",
        ),
        Mistake(
            _windows_of_one_step_more,
            "Right forwards, but your windows are one step longer than `window`: count the steps "
            "from 0, and detach before step t where `t % window == 0`.",
        ),
        Mistake(
            _every_other_window,
            "Right forwards, but only every other window is cut off from the one before: detach at "
            "each `t % window == 0`, from the second window on.",
        ),
        Mistake(
            _the_first_window_only,
            "You read the first window only: go on with the next, and join the outputs.",
        ),
        Mistake(
            _windows_stacked,
            "You stack the outputs of the windows on a new axis, which fails where the last is "
            "shorter: `torch.cat(..., dim=1)` puts them one after the other in time.",
        ),
        Mistake(
            _windows_joined_along_the_batch,
            "You join the windows along the batch: they follow one another in time, so `dim=1`.",
        ),
        Mistake(
            _outputs_of_the_last_window_only,
            "You return the outputs of the last window only: collect those of all windows.",
        ),
        Mistake(
            _one_state_for_each_window,
            "You keep one state for each window, its last: the state after every step is an "
            "output.",
        ),
    ),
    inherited=(
        Mistake(_zeros_at_the_start_of_all_windows, _RESTART),
        Mistake(_the_last_short_window_dropped_step_by_step, _DROPPED),
        Mistake(_detached_at_each_step_and_h0, _EACH_STEP),
        Mistake(_detached_in_place_from_h0_on, _IN_PLACE),
        Mistake(_detached_where_a_window_ends, _FINAL),
        *(Mistake(_with_the_step(m.code), m.message) for m in ch02.STEP.mistakes),
        *(
            Mistake(_without_windows(m.code), m.message)
            for m in ch02.RNN.mistakes
            if not m.message.startswith("Right forwards")
        ),
    ),
)

# --- 03.3 ----------------------------------------------------------------------------------------


def clip_gradients(gradients: list[Tensor], max_norm: float) -> list[Tensor]:
    """Make the gradient shorter where its norm, over all tensors together, is above a limit."""
    norm = torch.sqrt(sum(g.square().sum() for g in gradients))
    scale = min(1.0, max_norm / norm)
    return [scale * g for g in gradients]


_PLACES = ("first", "second", "third")


def _run_clip(submission: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    came = submission(*arguments.values())
    if isinstance(came, Tensor):
        kinds = {0: f"the number {came.sum().item():.4g}", 1: "a vector"}
        return {"answer": kinds.get(came.dim(), "a single tensor")}
    if not isinstance(came, list | tuple) or len(came) != len(arguments["gradients"]):
        return {"answer": kind_of(came)}
    if not all(isinstance(g, Tensor) for g in came):
        other = next(g for g in came if not isinstance(g, Tensor))
        return {"answer": f"{kind_of(came)} with {kind_of(other)} in it"}
    named = {f"{place} gradient": g for place, g in zip(_PLACES, came, strict=False)}
    return {"answer": "a list with a tensor for each gradient", **named}


def _clip_cases(draw: Draw) -> list[Case]:
    def case(name: str, norms: list[float], max_norm: float) -> Case:
        # `float32`, so that the tiny number that torch's own function adds to the norm is allowed.
        shapes = ((hidden, inputs), (hidden, hidden), (hidden,))
        gradients = [draw.normal(*shape, dtype=torch.float32) for shape in shapes[: len(norms)]]
        gradients = [n * g / g.norm() for n, g in zip(norms, gradients, strict=True)]
        return Case(name, {"gradients": gradients, "max_norm": max_norm})

    inputs, hidden = draw.sizes(2, low=3)
    limit = 0.5 * draw.sizes(1, low=5, high=9)[0]
    return [
        case("a norm above the limit", [3 * limit, 0.2 * limit, 0.5 * limit], limit),
        case("a norm below the limit", [0.3 * limit, 0.5 * limit, 0.1 * limit], limit),
        case(
            "tensors that are large only together", [0.8 * limit, 0.8 * limit, 0.4 * limit], limit
        ),
        case("a gradient that has exploded", [700.0, 200.0, 900.0], 0.25),
        case("a single tensor", [2 * limit], limit),
        case("gradients of zero", [0.0, 0.0, 0.0], limit),
    ]


def _norm(gradients: list[Tensor]) -> Tensor:
    return torch.cat([g.flatten() for g in gradients]).norm()


def _each_tensor_by_itself(gradients, max_norm):
    return [clip_gradients([g], max_norm)[0] for g in gradients]


def _clipped_by_value(gradients, max_norm):
    return [g.clamp(-max_norm, max_norm) for g in gradients]


def _clipped_from_above_only(gradients, max_norm):
    return [g.clamp(max=max_norm) for g in gradients]


def _always_scaled(gradients, max_norm):
    scale = max_norm / _norm(gradients)
    return [scale * g for g in gradients]


def _scaled_only_where_small(gradients, max_norm):
    scale = max(1.0, max_norm / _norm(gradients))
    return [scale * g for g in gradients]


def _divided_by_the_squared_norm(gradients, max_norm):
    scale = min(1.0, max_norm / _norm(gradients) ** 2)
    return [scale * g for g in gradients]


def _divided_by_the_squared_norm_where_the_norm_is_large(gradients, max_norm):
    norm = _norm(gradients)
    scale = max_norm / norm**2 if norm > max_norm else 1.0
    return [scale * g for g in gradients]


def _squared_limit(gradients, max_norm):
    square = _norm(gradients) ** 2
    scale = max_norm**2 / square if square > max_norm**2 else 1.0
    return [scale * g for g in gradients]


def _sum_of_the_norms(gradients, max_norm):
    scale = min(1.0, max_norm / sum(g.norm() for g in gradients))
    return [scale * g for g in gradients]


def _largest_of_the_norms(gradients, max_norm):
    scale = min(1.0, max_norm / max(g.norm() for g in gradients))
    return [scale * g for g in gradients]


def _mean_of_the_norms(gradients, max_norm):
    scale = min(1.0, max_norm / (sum(g.norm() for g in gradients) / len(gradients)))
    return [scale * g for g in gradients]


def _root_of_the_mean_square(gradients, max_norm):
    norm = torch.cat([g.flatten() for g in gradients]).square().mean().sqrt()
    scale = min(1.0, max_norm / norm)
    return [scale * g for g in gradients]


def _sum_of_absolute_values(gradients, max_norm):
    scale = min(1.0, max_norm / sum(g.abs().sum() for g in gradients))
    return [scale * g for g in gradients]


def _largest_absolute_value(gradients, max_norm):
    scale = min(1.0, max_norm / max(g.abs().max() for g in gradients))
    return [scale * g for g in gradients]


def _norm_without_the_square(gradients, max_norm):
    norm = torch.sqrt(sum(g.sum() for g in gradients).abs())
    scale = min(1.0, max_norm / norm)
    return [scale * g for g in gradients]


def _the_limit_left_out(gradients, max_norm):
    norm = _norm(gradients)
    return [g / norm if norm > max_norm else g for g in gradients]


def _multiplied_by_the_limit(gradients, max_norm):
    norm = _norm(gradients)
    return [max_norm * g if norm > max_norm else g for g in gradients]


def _divided_by_the_limit(gradients, max_norm):
    norm = _norm(gradients)
    return [g / max_norm if norm > max_norm else g for g in gradients]


def _fraction_upside_down(gradients, max_norm):
    norm = _norm(gradients)
    return [g * norm / max_norm if norm > max_norm else g for g in gradients]


def _zero_where_too_large(gradients, max_norm):
    scale = float(_norm(gradients) <= max_norm)
    return [scale * g for g in gradients]


def _never_scaled(gradients, max_norm):
    return [g.clone() for g in gradients]


def _first_tensor_only(gradients, max_norm):
    scale = min(1.0, max_norm / gradients[0].norm())
    return [scale * g for g in gradients]


def _norm_grows_in_the_loop(gradients, max_norm):
    square, clipped = 0.0, []
    for g in gradients:
        square = square + g.square().sum()
        clipped.append(min(1.0, max_norm / square.sqrt()) * g)
    return clipped


def _in_place(gradients, max_norm):
    scale = min(1.0, max_norm / _norm(gradients))
    for g in gradients:
        g *= scale
    return gradients


def _in_place_and_nothing_returned(gradients, max_norm):
    scale = min(1.0, max_norm / _norm(gradients))
    for g in gradients:
        g *= scale


def _in_place_and_the_norm_returned(gradients, max_norm):
    norm = _norm(gradients)
    for g in gradients:
        g *= min(1.0, max_norm / norm)
    return norm


def _list_filled_anew(gradients, max_norm):
    scale = min(1.0, max_norm / _norm(gradients))
    for i in range(len(gradients)):
        gradients[i] = scale * gradients[i]
    return gradients


def _the_norm_alone(gradients, max_norm):
    return _norm(gradients)


def _gradients_and_norm(gradients, max_norm):
    return clip_gradients(gradients, max_norm), _norm(gradients)


def _gradients_of_gradients(gradients, max_norm):
    return torch.nn.utils.clip_grad_norm_(gradients, max_norm)


def _gradients_of_gradients_by_hand(gradients, max_norm):
    norm = torch.sqrt(sum(g.grad.square().sum() for g in gradients))
    return [min(1.0, max_norm / norm) * g.grad for g in gradients]


def _asked_for(attribute):
    def clip(gradients, max_norm):
        return [getattr(g.grad, attribute) for g in gradients]

    return clip


def _norm_of_the_list(gradients, max_norm):
    norm = gradients.norm()
    return [min(1.0, max_norm / norm) * g for g in gradients]


def _joined_without_flattening(gradients, max_norm):
    norm = torch.cat(gradients).norm()
    return [min(1.0, max_norm / norm) * g for g in gradients]


def _stacked_without_flattening(gradients, max_norm):
    norm = torch.stack(gradients).norm()
    return [min(1.0, max_norm / norm) * g for g in gradients]


def _sum_of_a_list(gradients, max_norm):
    norm = sum(gradients).norm()
    return [min(1.0, max_norm / norm) * g for g in gradients]


def _root_of_the_scale(gradients, max_norm):
    scale = min(1.0, max_norm / _norm(gradients)) ** 0.5
    return [scale * g for g in gradients]


def _first_gradient_only(gradients, max_norm):
    return clip_gradients(gradients, max_norm)[:1]


def _one_long_vector(gradients, max_norm):
    scale = min(1.0, max_norm / _norm(gradients))
    return torch.cat([scale * g.flatten() for g in gradients])


def _flattened(gradients, max_norm):
    return [g.flatten() for g in clip_gradients(gradients, max_norm)]


_CHANGED = (
    "You change the gradients that you were given: the caller may still need them, so return a "
    "list of new tensors, as `[scale * g for g in gradients]` is."
)
_SQUARED = (
    "You divide by the squared norm: take the root of the sum of squares first, `norm = "
    "torch.sqrt(...)`, then `max_norm / norm`."
)

_NO_GRAD = (
    "You look for `.grad` of the tensors, and there is none: what you are given are the gradients "
    "themselves."
)

CLIP = Exercise(
    id="03.3",
    title="Clipping by the norm of all",
    solution=clip_gradients,
    cases=_clip_cases,
    run=_run_clip,
    results=("answer", *(f"{place} gradient" for place in _PLACES)),
    hints=(
        "Think of all numbers of all tensors as one long vector. Its length is the root of the sum "
        "of all squares.",
        "If that length is above `max_norm`, every tensor is multiplied with the same number, so "
        "that the direction stays. Which number makes the length `max_norm`?",
        "`scale = min(1.0, max_norm / norm)`, and then `[scale * g for g in gradients]`.",
    ),
    mistakes=(
        Mistake(
            _each_tensor_by_itself,
            "You clip each tensor by a norm of its own, so the direction of the whole gradient "
            "changes: one norm over all tensors, and one scale for all.",
        ),
        Mistake(
            _clipped_by_value,
            "You cut off single numbers, as `clamp` does, and the direction changes: scale all "
            "numbers by the same factor, so that only the length changes.",
        ),
        Mistake(
            _clipped_from_above_only,
            "You cut off single numbers, and large negative ones pass: scale all numbers by the "
            "same factor, which depends on the norm.",
        ),
        Mistake(
            _always_scaled,
            "You scale small gradients, too, and make them longer: below the limit they stay as "
            "they are, so the scale is never above 1.",
        ),
        Mistake(
            _scaled_only_where_small,
            "You lengthen small gradients and leave large ones as they are: it is the other way "
            "round. Is it `min` rather than `max`, or a `<` turned round?",
        ),
        Mistake(_divided_by_the_squared_norm_where_the_norm_is_large, _SQUARED),
        Mistake(
            _squared_limit,
            "Your scale is squared: compare the squares if you like, but multiply with "
            "`max_norm / norm`, without squares.",
        ),
        Mistake(
            _sum_of_the_norms,
            "You add up the norms of the tensors: the norm of all is the root of the sum of their "
            "squares, as with the sides of a right triangle.",
        ),
        Mistake(
            _largest_of_the_norms,
            "You take the largest of the norms: the norm of all is the root of the sum of their "
            "squares.",
        ),
        Mistake(
            _mean_of_the_norms,
            "You take the mean of the norms: the norm of all is the root of the sum of their "
            "squares.",
        ),
        Mistake(
            _root_of_the_mean_square,
            "You take the root of the mean of the squares: of their sum is meant, or the limit "
            "would depend on how many numbers there are.",
        ),
        Mistake(
            _sum_of_absolute_values,
            "You add up absolute values: the norm is the root of the sum of squares.",
        ),
        Mistake(
            _largest_absolute_value,
            "You take the largest absolute value: the norm is the root of the sum of all squares.",
        ),
        Mistake(
            _norm_without_the_square,
            "You add up the numbers without squaring them, so positive and negative ones cancel: "
            "the norm is the root of the sum of squares.",
        ),
        Mistake(
            _the_limit_left_out,
            "Your clipped gradient has length 1, whatever the limit: multiply with `max_norm / "
            "norm`, not with `1 / norm`.",
        ),
        Mistake(
            _multiplied_by_the_limit,
            "You multiply with the limit but do not divide by the norm: the scale is `max_norm / "
            "norm`.",
        ),
        Mistake(
            _divided_by_the_limit,
            "You divide by the limit: the scale is `max_norm / norm`, so that the new length is "
            "`max_norm`.",
        ),
        Mistake(
            _fraction_upside_down,
            "Your fraction is upside down, so a long gradient becomes even longer: multiply with "
            "`max_norm / norm`.",
        ),
        Mistake(
            _zero_where_too_large,
            "You throw a long gradient away: it keeps its direction and gets the length "
            "`max_norm`.",
        ),
        Mistake(
            _never_scaled,
            "Your gradients come out as they went in, however long: multiply them with `max_norm / "
            "norm` where the norm is above the limit.",
        ),
        Mistake(
            _first_tensor_only,
            "Your norm is that of the first tensor only: all tensors together make one gradient.",
        ),
        Mistake(
            _norm_grows_in_the_loop,
            "Your norm grows while you already scale: one loop over all tensors for the norm, then "
            "another one for the scale.",
        ),
        Mistake(_in_place, _CHANGED),
        Mistake(
            _in_place_and_nothing_returned,
            "You change the gradients that you were given, as torch's own function does, and "
            "return nothing: return a list of new tensors, and leave the old ones as they are.",
        ),
        Mistake(
            _in_place_and_the_norm_returned,
            "You change the gradients that you were given and return the norm, as torch's own "
            "function does: return a list of new tensors, and leave the old ones as they are.",
        ),
        Mistake(
            _the_norm_alone,
            "You return the norm: what is asked for is the clipped gradients, in a list.",
        ),
        Mistake(
            _gradients_and_norm,
            "You return the norm as well: return the list of clipped gradients alone.",
        ),
        Mistake(
            _gradients_of_gradients,
            "`clip_grad_norm_` takes parameters and clips their `.grad`: the tensors here are the "
            "gradients themselves, and have no `.grad`.",
        ),
        Mistake(_gradients_of_gradients_by_hand, _NO_GRAD),
        Mistake(
            _norm_of_the_list,
            "`gradients` is a list, and a list has no norm: add up the sum of squares of each "
            "tensor in it, and take the root.",
        ),
        Mistake(
            _joined_without_flattening,
            "`torch.cat` cannot join tensors of different shapes: `g.flatten()` makes a vector of "
            "each. Or add up the sums of squares, tensor by tensor.",
        ),
        Mistake(
            _stacked_without_flattening,
            "`torch.stack` cannot stack tensors of different shapes: stack their norms, or add up "
            "the sums of squares, tensor by tensor.",
        ),
        Mistake(
            _sum_of_a_list,
            "You add up the gradients themselves, which have different shapes: add up the sum of "
            "squares of each.",
        ),
        Mistake(
            _root_of_the_scale,
            "You take a root too many: the norm is a root, the scale `max_norm / norm` is none.",
        ),
        Mistake(
            _first_gradient_only,
            "You return one tensor: does `return` stand inside the loop?",
        ),
        Mistake(
            _one_long_vector,
            "You return all numbers as one vector: a vector is right for the norm, but what is "
            "returned is a list with the shapes of the gradients.",
        ),
        Mistake(
            _flattened,
            "Your numbers are right, but the tensors are flat: each keeps the shape that it had.",
        ),
    ),
    inherited=(
        Mistake(_divided_by_the_squared_norm, _SQUARED),
        Mistake(_list_filled_anew, _CHANGED),
        *(
            Mistake(_asked_for(attribute), _NO_GRAD)
            for attribute in ("norm", "pow", "data", "detach", "flatten", "clone", "sum", "mul_")
        ),
    ),
)

# --- 03.4 ----------------------------------------------------------------------------------------


def next_token_probabilities(logits: Tensor, temperature: float, top_k: int) -> Tensor:
    """Probabilities to sample from: sharper or flatter, and for the top k tokens only."""
    kept, places = torch.topk(logits, top_k, dim=1)  # (batch, top_k) both
    probabilities = torch.softmax(kept / temperature, dim=1)  # (batch, top_k)
    return torch.zeros_like(logits).scatter(1, places, probabilities)  # (batch, vocab)


def _sampling_cases(draw: Draw) -> list[Case]:
    def case(name: str, batch: int, vocab: int, temperature: float, top_k: int) -> Case:
        logits = draw.normal(batch, vocab, scale=2.0)
        # The likeliest token is not in the same place everywhere, and nowhere the first.
        for row in range(batch):
            shift = 1 + row % (vocab - 1) - int(logits[row].argmax())
            logits[row] = logits[row].roll(shift)
        return Case(name, {"logits": logits, "temperature": temperature, "top_k": top_k})

    top_k, batch, vocab = sorted(draw.sizes(3, low=2, high=8))
    # Alike and large: divided by 0.001 their exponentials are infinite, and the powers of their
    # probabilities are 0.
    cold = case("a temperature near 0", batch, vocab, 0.001, top_k)
    cold.arguments["logits"] = 2 + 0.05 * cold.arguments["logits"]
    low, high = 0.1 * draw.sizes(1, low=4, high=7)[0], 0.1 * draw.sizes(1, low=14, high=25)[0]
    return [
        case("a low temperature", batch, vocab, low, top_k),
        case("a high temperature", batch, vocab, high, top_k),
        case("as many texts as tokens in the vocabulary", vocab, vocab, low, top_k),
        case("all tokens kept", batch, vocab, high, vocab),
        case("a single token kept", batch, vocab, low, 1),
        cold,
        case("a batch of one", 1, vocab, low, top_k),
    ]


def _masked(logits: Tensor, top_k: int, fill: float = -torch.inf) -> Tensor:
    lowest = torch.topk(logits, top_k, dim=1).values[:, -1:]  # (batch, 1)
    return logits.masked_fill(logits < lowest, fill)


def _multiplied_by_the_temperature(logits, temperature, top_k):
    return next_token_probabilities(logits, 1 / temperature, top_k)


def _temperature_after_the_softmax(logits, temperature, top_k):
    return next_token_probabilities(logits, 1.0, top_k) / temperature


def _temperature_without_effect(logits, temperature, top_k):
    return next_token_probabilities(logits, 1.0, top_k)


def _temperature_twice(logits, temperature, top_k):
    return next_token_probabilities(logits, temperature**2, top_k)


def _softmax_over_the_batch(logits, temperature, top_k):
    return torch.softmax(_masked(logits, top_k) / temperature, dim=0)


def _softmax_over_the_batch_then_top_k(logits, temperature, top_k):
    p = torch.softmax(logits / temperature, dim=0)
    kept = _masked(p, top_k, 0.0)
    return kept / kept.sum(dim=1, keepdim=True)


def _top_k_not_renormalised(logits, temperature, top_k):
    p = torch.softmax(logits / temperature, dim=1)
    return _masked(p, top_k, 0.0)


def _divided_by_the_sum_of_the_batch(logits, temperature, top_k):
    kept = _masked(torch.softmax(logits / temperature, dim=1), top_k, 0.0)
    return kept / kept.sum()


def _divided_by_the_sums_of_other_texts(logits, temperature, top_k):
    kept = _masked(torch.softmax(logits / temperature, dim=1), top_k, 0.0)
    return kept / kept.sum(dim=1)


def _smallest_kept(logits, temperature, top_k):
    highest = torch.topk(logits, top_k, dim=1, largest=False).values[:, -1:]
    masked = logits.masked_fill(logits > highest, -torch.inf)
    return torch.softmax(masked / temperature, dim=1)


def _masked_with_zero(logits, temperature, top_k):
    return torch.softmax(_masked(logits, top_k, 0.0) / temperature, dim=1)


def _first_tokens_kept(logits, temperature, top_k):
    masked = logits.clone()
    masked[:, top_k:] = -torch.inf
    return torch.softmax(masked / temperature, dim=1)


def _top_k_of_the_whole_batch(logits, temperature, top_k):
    lowest = torch.topk(logits.flatten(), top_k).values[-1]
    masked = logits.masked_fill(logits < lowest, -torch.inf)
    return torch.softmax(masked / temperature, dim=1)


def _limit_of_the_first_text(logits, temperature, top_k):
    lowest = torch.topk(logits[0], top_k).values[-1]
    masked = logits.masked_fill(logits < lowest, -torch.inf)
    return torch.softmax(masked / temperature, dim=1)


def _limits_of_other_texts(logits, temperature, top_k):
    lowest = torch.topk(logits, top_k, dim=1).values[:, -1]
    masked = logits.masked_fill(logits < lowest, -torch.inf)
    return torch.softmax(masked / temperature, dim=1)


def _one_token_too_few(logits, temperature, top_k):
    lowest = torch.topk(logits, top_k, dim=1).values[:, -1:]
    masked = logits.masked_fill(logits <= lowest, -torch.inf)
    return torch.softmax(masked / temperature, dim=1)


def _one_token_too_many(logits, temperature, top_k):
    lowest = logits.sort(dim=1, descending=True).values[:, top_k]
    masked = logits.masked_fill(logits < lowest[:, None], -torch.inf)
    return torch.softmax(masked / temperature, dim=1)


def _one_token_too_many_by_topk(logits, temperature, top_k):
    return next_token_probabilities(logits, temperature, top_k + 1)


def _all_tokens_kept(logits, temperature, top_k):
    return torch.softmax(logits / temperature, dim=1)


def _kept_tokens_only(logits, temperature, top_k):
    return torch.softmax(torch.topk(logits, top_k, dim=1).values / temperature, dim=1)


def _in_the_order_of_size(logits, temperature, top_k):
    return next_token_probabilities(logits, temperature, top_k).sort(1, descending=True).values


def _tokens_that_any_text_keeps(logits, temperature, top_k):
    places = torch.topk(logits, top_k, dim=1).indices
    kept = torch.isin(torch.arange(logits.shape[1]), places)
    return torch.softmax((logits / temperature).masked_fill(~kept, -torch.inf), dim=1)


def _places_as_rows(logits, temperature, top_k):
    places = torch.topk(logits, top_k, dim=1).indices
    scores = torch.full_like(logits, -torch.inf)
    scores[places] = logits[places]
    return torch.softmax(scores / temperature, dim=1)


def _places_of_other_texts(logits, temperature, top_k):
    kept, places = torch.topk(logits, top_k, dim=1)
    p = torch.zeros_like(logits)
    p[:, places[0]] = torch.softmax(kept / temperature, dim=1)
    return p


def _logarithm_of_the_probabilities(logits, temperature, top_k):
    return torch.log_softmax(_masked(logits, top_k) / temperature, dim=1)


def _logits_not_made_probabilities(logits, temperature, top_k):
    return _masked(logits, top_k) / temperature


def _softmax_of_the_probabilities(logits, temperature, top_k):
    p = torch.softmax(logits / temperature, dim=1)
    return torch.softmax(_masked(p, top_k), dim=1)


def _softmax_of_the_probabilities_with_zeros(logits, temperature, top_k):
    p = torch.softmax(logits / temperature, dim=1)
    return torch.softmax(_masked(p, top_k, 0.0), dim=1)


def _temperature_of_the_probabilities(logits, temperature, top_k):
    p = torch.softmax(logits, dim=1) / temperature
    return torch.softmax(_masked(p, top_k), dim=1)


def _temperature_of_the_kept_probabilities(logits, temperature, top_k):
    p = _masked(torch.softmax(logits, dim=1), top_k, 0.0)
    return torch.softmax(p / temperature, dim=1)


def _infinity_in_place_of_a_probability(logits, temperature, top_k):
    return _masked(torch.softmax(logits / temperature, dim=1), top_k)


def _powers_of_the_probabilities(logits, temperature, top_k):
    kept = _masked(torch.softmax(logits, dim=1), top_k, 0.0) ** (1 / temperature)
    return kept / kept.sum(dim=1, keepdim=True)


def _exponential_by_hand(logits, temperature, top_k):
    e = torch.exp(_masked(logits, top_k) / temperature)
    return e / e.sum(dim=1, keepdim=True)


def _always_the_likeliest(logits, temperature, top_k):
    best = logits.argmax(dim=1, keepdim=True)
    return torch.zeros_like(logits).scatter(1, best, 1.0)


def _uniform_over_the_kept(logits, temperature, top_k):
    kept = (_masked(logits, top_k) > -torch.inf).to(logits.dtype)
    return kept / top_k


def _likeliest_texts_kept(logits, temperature, top_k):
    lowest = torch.topk(logits, min(top_k, len(logits)), dim=0).values[-1]  # (vocab,)
    masked = logits.masked_fill(logits < lowest, -torch.inf)
    return torch.softmax(masked / temperature, dim=1)


def _likeliest_texts_kept_of_more_than_there_are(logits, temperature, top_k):
    lowest = torch.topk(logits, top_k, dim=0).values[-1]
    masked = logits.masked_fill(logits < lowest, -torch.inf)
    return torch.softmax(masked / temperature, dim=1)


def _sigmoid_for_softmax(logits, temperature, top_k):
    return torch.sigmoid(_masked(logits, top_k) / temperature)


def _logits_divided_by_their_sum(logits, temperature, top_k):
    kept = _masked(logits, top_k, 0.0) / temperature
    return kept / kept.sum(dim=1, keepdim=True)


def _logits_with_infinity_divided_by_their_sum(logits, temperature, top_k):
    kept = _masked(logits, top_k) / temperature
    return kept / kept.sum(dim=1, keepdim=True)


def _minus_the_temperature(logits, temperature, top_k):
    return torch.softmax(_masked(-logits / temperature, top_k), dim=1)


def _temperature_never_below(limit):
    def sample(logits, temperature, top_k):
        return next_token_probabilities(logits, max(temperature, limit), top_k)

    return sample


def _temperature_kept_above_a_limit(logits, temperature, top_k):
    return _temperature_never_below(0.01)(logits, temperature, top_k)


def _draws_at_once(logits, temperature, top_k):
    return torch.multinomial(next_token_probabilities(logits, temperature, top_k), 1)


def _logits_changed(logits, temperature, top_k):
    lowest = torch.topk(logits, top_k, dim=1).values[:, -1:]
    logits[logits < lowest] = -torch.inf
    return torch.softmax(logits / temperature, dim=1)


def _logits_divided_in_place(logits, temperature, top_k):
    logits /= temperature
    return torch.softmax(_masked(logits, top_k), dim=1)


_IN_PLACE_LOGITS = (
    "You write into the logits that you were given, so the caller's are others afterwards: make a "
    "new tensor, as `logits / temperature` and `masked_fill` without `_` do."
)
_TWICE = (
    "Your probabilities go through softmax once more, which makes them nearly equal: after leaving "
    "tokens out, divide by the sum of what is left. Or leave logits out, before one softmax."
)
_TOO_MANY = (
    "You keep one token too many: the smallest that is kept is the last of the `top_k` largest, at "
    "index `top_k - 1`."
)

_LIMIT = (
    "Right, until the temperature comes near 0: you keep it above a limit. Use it as it is; a "
    "softmax of very large logits is no trouble."
)

_ONE_SOFTMAX = (
    "You divide probabilities by the temperature and take a softmax of them: the softmax belongs "
    "to the logits, divided by the temperature, and there is only one."
)
_TEXTS = (
    "Your search for the largest runs over the batch: each text keeps its own likeliest tokens, "
    "along `dim=1`."
)
_SUM_OF_LOGITS = (
    "You divide the logits by their sum: logits can be negative, and only their exponentials "
    "become probabilities. That is what `torch.softmax` does."
)

SAMPLING = Exercise(
    id="03.4",
    title="Temperature and top-k",
    solution=next_token_probabilities,
    cases=_sampling_cases,
    results=("distribution",),
    axes={"logits": ("batch", "vocab"), "distribution": ("batch", "vocab")},
    hints=(
        "A temperature below 1 makes the likeliest token even likelier. Is that a division of the "
        "logits or a product?",
        "A token that is left out gets the logit `-torch.inf`, whose softmax is 0. The softmax of "
        "the others then sums to 1 by itself.",
        "`torch.topk(logits, top_k, dim=1)` gives the `top_k` largest logits of each text, and "
        "their places. What is below the last of them is left out; divide by the temperature and "
        "take one softmax over `dim=1`.",
    ),
    mistakes=(
        Mistake(
            _multiplied_by_the_temperature,
            "You multiply the logits with the temperature, or raise probabilities to its power: "
            "divide the logits, so that a low temperature makes the differences larger.",
        ),
        Mistake(
            _temperature_after_the_softmax,
            "You divide the probabilities by the temperature, and they no longer sum to 1: divide "
            "the logits, before the softmax.",
        ),
        Mistake(
            _temperature_without_effect,
            "Your temperature has no effect: probabilities that are divided by a number and then "
            "by their sum are the old ones. Divide the logits, before the softmax.",
        ),
        Mistake(
            _temperature_twice,
            "Your temperature acts twice: divide the logits by it once.",
        ),
        Mistake(_temperature_of_the_probabilities, _ONE_SOFTMAX),
        Mistake(
            _softmax_over_the_batch,
            "Your softmax runs over the batch: each text has a distribution of its own over the "
            "vocabulary, `dim=1`.",
        ),
        Mistake(
            _top_k_not_renormalised,
            "Your probabilities sum to less than 1: those of the tokens that you leave out are "
            "lost. Leave them out before the softmax, or divide by the new sum.",
        ),
        Mistake(
            _divided_by_the_sum_of_the_batch,
            "Your probabilities sum to 1 over the whole batch: each text sums to 1 by itself, so "
            "divide by `sum(dim=1, keepdim=True)`.",
        ),
        Mistake(
            _divided_by_the_sums_of_other_texts,
            "You divide by `sum(dim=1)`, which is (batch,) and lies along the vocabulary: with "
            "`keepdim=True` it is (batch, 1) and stays with its text.",
        ),
        Mistake(
            _smallest_kept,
            "You keep the least likely tokens: the `top_k` largest logits are meant.",
        ),
        Mistake(
            _masked_with_zero,
            "You put 0 in place of the logits that are left out, and the softmax makes a "
            "probability of that: only `-torch.inf` becomes 0.",
        ),
        Mistake(
            _first_tokens_kept,
            "You keep the first tokens of the vocabulary, not the likeliest: `torch.topk` finds "
            "them, values and places.",
        ),
        Mistake(
            _top_k_of_the_whole_batch,
            "You keep `top_k` tokens of the whole batch: each text keeps as many of its own, so "
            "search along `dim=1`.",
        ),
        Mistake(
            _limit_of_the_first_text,
            "You use the limit of the first text for all: each has a smallest logit of its own "
            "that it keeps.",
        ),
        Mistake(
            _limits_of_other_texts,
            "Your limits are (batch,) and lie along the vocabulary: keep the axis, as "
            "`values[:, -1:]` does, (batch, 1), so that each stays with its text.",
        ),
        Mistake(
            _one_token_too_few,
            "You keep one token too few: the smallest of the `top_k` belongs to them, so leave out "
            "what is below it, not what equals it.",
        ),
        Mistake(_one_token_too_many, _TOO_MANY),
        Mistake(
            _all_tokens_kept,
            "Your temperature is right, but every token keeps a probability: all but the `top_k` "
            "likeliest get 0.",
        ),
        Mistake(
            _kept_tokens_only,
            "Your numbers are those of the kept tokens only, (batch, top_k): put each at the place "
            "of its token in the vocabulary, with zeros elsewhere. `topk` gives the places, too.",
        ),
        Mistake(
            _in_the_order_of_size,
            "Your probabilities are sorted by size: each belongs at the place of its token, and "
            "`topk` gives these places as well.",
        ),
        Mistake(
            _tokens_that_any_text_keeps,
            "You keep every token that is among the likeliest of any text: each text has `top_k` "
            "of its own.",
        ),
        Mistake(
            _places_as_rows,
            "`logits[places]` takes the places for rows of the batch: `gather` and `scatter` with "
            "`dim=1` take them along the vocabulary, a row of places for each row.",
        ),
        Mistake(
            _places_of_other_texts,
            "You put the probabilities of all texts at the places of the first one: `scatter` "
            "takes a row of places for each row.",
        ),
        Mistake(
            _logarithm_of_the_probabilities,
            "You return logarithms: `torch.softmax` gives the probabilities themselves.",
        ),
        Mistake(
            _logits_not_made_probabilities,
            "Your logits are right, with `-inf` for what is left out: one softmax makes "
            "probabilities of them.",
        ),
        Mistake(_softmax_of_the_probabilities, _TWICE),
        Mistake(
            _powers_of_the_probabilities,
            "Right, until the temperature comes near 0: then all powers of the probabilities are "
            "rounded to 0. Divide the logits by the temperature instead.",
        ),
        Mistake(
            _exponential_by_hand,
            "Right, until the temperature comes near 0: then the exponentials are infinite. "
            "`torch.softmax` subtracts the largest logit first.",
        ),
        Mistake(
            _always_the_likeliest,
            "You give everything to the likeliest token: that is `top_k = 1`; otherwise the "
            "`top_k` tokens share according to their logits.",
        ),
        Mistake(
            _uniform_over_the_kept,
            "You keep the right tokens, but make them equally likely: they share according to "
            "their logits.",
        ),
        Mistake(_likeliest_texts_kept, _TEXTS),
        Mistake(
            _sigmoid_for_softmax,
            "A sigmoid looks at each logit by itself, so the probabilities do not sum to 1: a "
            "softmax over the vocabulary is meant.",
        ),
        Mistake(_logits_divided_by_their_sum, _SUM_OF_LOGITS),
        Mistake(
            _infinity_in_place_of_a_probability,
            "Your tokens that are left out get minus infinity as a probability: that is for "
            "logits, before the softmax. A probability is 0, and the others are divided by their "
            "sum.",
        ),
        Mistake(
            _minus_the_temperature,
            "Your largest logit gets the smallest probability: is there a minus too many?",
        ),
        Mistake(_temperature_kept_above_a_limit, _LIMIT),
        Mistake(
            _draws_at_once,
            "You draw a token already: return the distribution to draw from, (batch, vocab).",
        ),
        Mistake(_logits_changed, _IN_PLACE_LOGITS),
    ),
    inherited=(
        Mistake(
            _softmax_over_the_batch_then_top_k,
            "Your softmax runs over the batch: each text has a distribution of its own over the "
            "vocabulary, `dim=1`.",
        ),
        Mistake(_one_token_too_many_by_topk, _TOO_MANY),
        Mistake(_softmax_of_the_probabilities_with_zeros, _TWICE),
        Mistake(_logits_divided_in_place, _IN_PLACE_LOGITS),
        Mistake(_temperature_of_the_kept_probabilities, _ONE_SOFTMAX),
        Mistake(_likeliest_texts_kept_of_more_than_there_are, _TEXTS),
        Mistake(_logits_with_infinity_divided_by_their_sum, _SUM_OF_LOGITS),
        *(Mistake(_temperature_never_below(limit), _LIMIT) for limit in (0.005, 0.05, 0.1)),
    ),
)

# --- 03.5 ----------------------------------------------------------------------------------------


def bits_per_character(losses: Tensor, counts: Tensor) -> Tensor:
    """Mean loss of a character, in bits, from the mean losses of windows, in nats."""
    nats = (losses * counts).sum() / counts.sum()  # every character counts once
    return nats / torch.log(torch.tensor(2.0))


def _run_bits(submission: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    bits = submission(*arguments.values())
    # A logarithm of 2 may come from Python, NumPy or torch: any type of number is right.
    return {"number of bits": bits.float() if isinstance(bits, Tensor) else bits}


def _bits_cases(draw: Draw) -> list[Case]:
    def case(name: str, counts: list[int]) -> Case:
        # The fewer letters, the larger the loss: then the mean of the means is far from right.
        # `float32`, since a logarithm of 2 made by torch itself is one.
        losses = 0.5 + 2 * draw.normal(len(counts), dtype=torch.float32).abs().sort().values
        losses = losses + torch.arange(len(counts))
        order = torch.randperm(len(counts), generator=draw.generator)
        sizes = torch.tensor(sorted(counts, reverse=True))
        return Case(name, {"losses": losses[order], "counts": sizes[order]})

    windows, long = draw.sizes(1, low=4)[0], 10 * draw.sizes(1, low=5, high=20)[0]
    different = [long // 4 * (place + 1) + place for place in range(windows)]
    return [
        case("windows of different sizes", different),
        case("a last window that is short", [long] * windows + [3]),
        case("windows of equal size", [long] * windows),
        case("windows of a few letters", [place + 1 for place in range(windows)]),
        case("a single window", [long]),
    ]


def _mean_nats(losses: Tensor, counts: Tensor) -> Tensor:
    return (losses * counts).sum() / counts.sum()


def _mean_of_the_means(losses, counts):
    return losses.mean() / math.log(2)


def _mean_of_the_means_in_nats(losses, counts):
    return losses.mean()


def _nats(losses, counts):
    return _mean_nats(losses, counts)


def _multiplied_by_the_logarithm_of_two(losses, counts):
    return _mean_nats(losses, counts) * math.log(2)


def _mean_of_the_means_multiplied(losses, counts):
    return losses.mean() * math.log(2)


def _all_bits_of_the_text(losses, counts):
    return (losses * counts).sum() / math.log(2)


def _sum_of_the_means(losses, counts):
    return losses.sum() / math.log(2)


def _divided_by_the_number_of_windows(losses, counts):
    return (losses * counts).sum() / len(losses) / math.log(2)


def _means_divided_by_all_characters(losses, counts):
    return losses.sum() / counts.sum() / math.log(2)


def _means_divided_by_their_counts(losses, counts):
    return (losses / counts).sum() / math.log(2)


def _logarithm_of_the_loss(losses, counts):
    return torch.log2(_mean_nats(losses, counts))


def _logarithm_of_the_mean_perplexity(losses, counts):
    return torch.log2((losses.exp() * counts).sum() / counts.sum())


def _logarithm_of_the_plain_mean_perplexity(losses, counts):
    return torch.log2(losses.exp().mean())


def _mean_perplexity_for_bits(losses, counts):
    return (losses.exp() * counts).sum() / counts.sum()


def _plain_mean_perplexity_for_bits(losses, counts):
    return losses.exp().mean()


def _perplexity_for_bits(losses, counts):
    return torch.exp(_mean_nats(losses, counts))


def _divided_by_two(losses, counts):
    return _mean_nats(losses, counts) / 2


def _logarithm_of_base_ten(losses, counts):
    return _mean_nats(losses, counts) / math.log10(2)


def _two_to_the_power_of_the_loss(losses, counts):
    return 2 ** _mean_nats(losses, counts)


def _softmax_of_the_counts(losses, counts):
    return (losses * torch.softmax(counts.to(losses.dtype), dim=0)).sum() / math.log(2)


def _the_largest_loss(losses, counts):
    return losses.max() / math.log(2)


def _the_middle_loss(losses, counts):
    return losses.median() / math.log(2)


def _product_of_different_types(losses, counts):
    return losses @ counts / counts.sum() / math.log(2)


def _targets_taken_for_letters_less_one(losses, counts):
    return (losses * counts).sum() / (counts.sum() - len(counts)) / math.log(2)


def _letters_less_one_in_each_window(losses, counts):
    return (losses * (counts - 1)).sum() / (counts.sum() - len(counts)) / math.log(2)


def _minus(losses, counts):
    return -_mean_nats(losses, counts) / math.log(2)


def _one_number_for_each_window(losses, counts):
    return losses / math.log(2)


def _share_of_each_window(losses, counts):
    return losses * counts / counts.sum() / math.log(2)


def _the_last_window_only(losses, counts):
    return losses[-1] / math.log(2)


def _only_windows_of_full_size(losses, counts):
    full = counts == counts.max()
    return losses[full].mean() / math.log(2)


BITS = Exercise(
    id="03.5",
    title="One number for a whole text",
    solution=bits_per_character,
    cases=_bits_cases,
    run=_run_bits,
    results=("number of bits",),
    axes={"losses": ("window",), "number of bits": ()},
    hints=(
        "A window of 3 letters and one of 300: how much should each count?",
        "The mean loss of a window times its letters is the loss of all its letters. Add that up, "
        "and divide by the number of all letters.",
        "A bit is ln 2 = 0.693 nats, so a number in nats is divided by `math.log(2)`: it becomes "
        "larger.",
    ),
    mistakes=(
        Mistake(
            _mean_of_the_means,
            "You take the mean of the means, so a letter of a short window counts for more: weigh "
            "each window by its number of letters.",
        ),
        Mistake(
            _mean_of_the_means_in_nats,
            "Two things: each window counts as much as it has letters, and the result is in nats. "
            "Begin with the sum of `losses * counts`.",
        ),
        Mistake(
            _nats,
            "Your mean is right, but it is in nats, as the losses are: divide by ln 2, "
            "`math.log(2)`, for bits.",
        ),
        Mistake(
            _multiplied_by_the_logarithm_of_two,
            "You multiply with ln 2: a bit is less than a nat, so it takes more bits to say the "
            "same, and you divide.",
        ),
        Mistake(
            _mean_of_the_means_multiplied,
            "Two things: each window counts as much as it has letters, and from nats to bits you "
            "divide by ln 2.",
        ),
        Mistake(
            _all_bits_of_the_text,
            "You return the bits of the whole text: divide by the number of all its letters.",
        ),
        Mistake(
            _sum_of_the_means,
            "You add up the means of the windows: a mean over all letters is asked for, the sum of "
            "`losses * counts` divided by the sum of `counts`.",
        ),
        Mistake(
            _divided_by_the_number_of_windows,
            "You divide by the number of windows, so your result is bits for each window: divide "
            "by the number of letters, `counts.sum()`.",
        ),
        Mistake(
            _means_divided_by_all_characters,
            "You divide means by the number of letters: first multiply each mean by its letters, "
            "which gives the loss of the whole window.",
        ),
        Mistake(
            _means_divided_by_their_counts,
            "You divide each mean by its letters: it has been divided already. Multiply, add up, "
            "and divide once, by all letters.",
        ),
        Mistake(
            _logarithm_of_the_loss,
            "You take the logarithm of the loss, which is one already: to change its base from e "
            "to 2, divide by ln 2.",
        ),
        Mistake(
            _logarithm_of_the_mean_perplexity,
            "You take the mean of perplexities: take that of the losses. From nats to bits you "
            "only divide by ln 2.",
        ),
        Mistake(
            _mean_perplexity_for_bits,
            "You return the mean of the windows' perplexities: take the mean of their losses, "
            "weighted by their letters as you do, and divide it by ln 2.",
        ),
        Mistake(
            _plain_mean_perplexity_for_bits,
            "You return the plain mean of the windows' perplexities: take the mean of their "
            "losses, each weighted by its letters, and divide it by ln 2.",
        ),
        Mistake(
            _perplexity_for_bits,
            "You return the perplexity: bits per character are the mean loss itself, divided by "
            "ln 2.",
        ),
        Mistake(
            _divided_by_two,
            "You divide by 2: a bit is ln 2 nats, so divide by `math.log(2)`.",
        ),
        Mistake(
            _logarithm_of_base_ten,
            "You divide by the logarithm of 2 to base 10: nats go with the natural one, "
            "`math.log(2)`.",
        ),
        Mistake(
            _two_to_the_power_of_the_loss,
            "You raise 2 to the power of the loss: bits per character are the mean loss itself, "
            "divided by ln 2.",
        ),
        Mistake(
            _softmax_of_the_counts,
            "You weigh with a softmax of the counts, which gives nearly everything to the largest "
            "window: the weights are `counts / counts.sum()`.",
        ),
        Mistake(
            _the_largest_loss,
            "You return the worst window: all windows count, each by its letters.",
        ),
        Mistake(
            _the_middle_loss,
            "You take the median of the windows: a mean is meant, in which each counts by its "
            "letters.",
        ),
        Mistake(
            _product_of_different_types,
            "A product with `@` wants the same type on both sides, and `counts` are whole numbers: "
            "`(losses * counts).sum()` takes both, or write `counts.to(losses.dtype)`.",
        ),
        Mistake(
            _letters_less_one_in_each_window,
            "You count one letter less in each window: `counts` are the letters that the losses "
            "belong to, so use them as they are.",
        ),
        Mistake(
            _minus,
            "Right up to its sign: the losses are above 0, since they have their minus already.",
        ),
        Mistake(
            _one_number_for_each_window,
            "You return a number for each window: one for the whole text is asked for, with each "
            "window weighed by its letters.",
        ),
        Mistake(
            _share_of_each_window,
            "You return the share of each window: now add them up.",
        ),
        Mistake(
            _the_last_window_only,
            "You return the last window only: all windows count, each by its letters.",
        ),
        Mistake(
            _only_windows_of_full_size,
            "You leave out the windows that are shorter than the longest: their letters count, "
            "too.",
        ),
    ),
    inherited=(
        Mistake(
            _targets_taken_for_letters_less_one,
            "You count one letter less in each window: `counts` are the letters that the losses "
            "belong to, so use them as they are.",
        ),
        Mistake(
            _logarithm_of_the_plain_mean_perplexity,
            "You take the mean of perplexities: take that of the losses. From nats to bits you "
            "only divide by ln 2.",
        ),
    ),
)

EXERCISES = (SHIFT, READING, CLIP, SAMPLING, BITS)
