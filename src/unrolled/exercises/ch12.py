"""Exercises of chapter 12, deep recurrent networks."""
# Answers, right and wrong, look as readers write them.
# ruff: noqa: ANN001, ANN202

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unrolled.exercises.exercise import Case, Draw, Exercise, Mistake
from unrolled.exercises.wording import kind_of

Answer = Callable[..., Any]


# --- 12.1 ----------------------------------------------------------------------------------------


def deep_rnn(x: Tensor, weights: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Tanh layers on top of each other: the top layer's outputs, the last state of each layer."""
    states = []
    for weight_ih, weight_hh, bias in weights:
        h = x.new_zeros(len(x), len(weight_hh))  # (batch, hidden)
        outputs = []
        for x_t in x.unbind(dim=1):
            h = torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + bias)
            outputs.append(h)
        x = torch.stack(outputs, dim=1)  # what the layer above reads
        states.append(h)
    return x, torch.stack(states)


def _deep_cases(draw: Draw) -> list[Case]:
    def case(name: str, layers: int, batch: int, time: int, inputs: int) -> Case:
        arguments: dict[str, Any] = {"x": draw.normal(batch, time, inputs)}
        for layer in range(layers):
            reads = hidden if layer else inputs
            arguments[f"weight_ih of layer {layer + 1}"] = draw.normal(hidden, reads, scale=0.7)
            arguments[f"weight_hh of layer {layer + 1}"] = draw.normal(hidden, hidden, scale=0.5)
            arguments[f"bias of layer {layer + 1}"] = draw.normal(hidden, scale=0.5)
        return Case(name, arguments)

    batch, time, inputs, hidden = draw.sizes(4)
    return [
        case("three layers", 3, batch, time, inputs),
        case("two layers", 2, batch, time, inputs),
        case("two layers, and as many inputs as hidden units", 2, batch, time, hidden),
        case("one layer", 1, batch, time, inputs),
        case("a single step of time", 2, batch, 1, inputs),
        case("a batch of one", 2, 1, time, inputs),
    ]


def _run_deep(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    x, *rest = arguments.values()
    weights = [tuple(rest[start : start + 3]) for start in range(0, len(rest), 3)]
    came = submission(x, weights)
    if not isinstance(came, tuple | list) or len(came) != 2:
        return {"answer": kind_of(came)}
    return {"answer": "two tensors", "outputs": came[0], "last states": came[1]}


def _layer(x, weight_ih, weight_hh, bias, h=None):
    """Give the outputs and the last state of one layer."""
    h = x.new_zeros(len(x), len(weight_hh)) if h is None else h
    outputs = []
    for x_t in x.unbind(dim=1):
        h = torch.tanh(x_t @ weight_ih.T + h @ weight_hh.T + bias)
        outputs.append(h)
    return torch.stack(outputs, dim=1), h


def _every_layer_reads_x(x, weights):
    states = []
    for layer in weights:
        outputs, h = _layer(x, *layer)
        states.append(h)
    return outputs, torch.stack(states)


def _state_goes_up_to_the_next_layer(x, weights):
    states, h = [], None
    for layer in weights:
        x, h = _layer(x, *layer, h)
        states.append(h)
    return x, torch.stack(states)


def _one_state_for_all_layers(x, weights):
    h = x.new_zeros(len(x), len(weights[0][1]))
    outputs, states = [], []
    for x_t in x.unbind(dim=1):
        below, states = x_t, []
        for weight_ih, weight_hh, bias in weights:
            h = torch.tanh(below @ weight_ih.T + h @ weight_hh.T + bias)
            below = h
            states.append(h)
        outputs.append(h)
    return torch.stack(outputs, dim=1), torch.stack(states)


def _layer_below_one_step_late(x, weights):
    h = [x.new_zeros(len(x), len(weight_hh)) for _, weight_hh, _ in weights]
    outputs = []
    for x_t in x.unbind(dim=1):
        below = [x_t, *h[:-1]]
        h = [
            torch.tanh(read @ weight_ih.T + own @ weight_hh.T + bias)
            for read, own, (weight_ih, weight_hh, bias) in zip(below, h, weights, strict=True)
        ]
        outputs.append(h[-1])
    return torch.stack(outputs, dim=1), torch.stack(h)


def _states_begin_with_ones(x, weights):
    states = []
    for layer in weights:
        x, h = _layer(x, *layer, x.new_ones(len(x), len(layer[1])))
        states.append(h)
    return x, torch.stack(states)


def _first_layer_only(x, weights):
    outputs, h = _layer(x, *weights[0])
    return outputs, h[None]


def _top_state_only(x, weights):
    outputs, states = deep_rnn(x, weights)
    return outputs, states[-1]


def _top_layer_first(x, weights):
    outputs, states = deep_rnn(x, weights)
    return outputs, states.flip(0)


def _layers_behind_the_batch(x, weights):
    outputs, states = deep_rnn(x, weights)
    return outputs, states.transpose(0, 1)


def _states_of_the_top_at_all_steps(x, weights):
    outputs, _ = deep_rnn(x, weights)
    return outputs, outputs.transpose(0, 1)


def _states_in_a_list(x, weights):
    outputs, states = deep_rnn(x, weights)
    return outputs, list(states)


def _outputs_alone(x, weights):
    return deep_rnn(x, weights)[0]


def _outputs_time_first(x, weights):
    outputs, states = deep_rnn(x, weights)
    return outputs.transpose(0, 1), states


def _runs_over_the_batch(x, weights):
    outputs, states = deep_rnn(x.transpose(0, 1), weights)
    return outputs.transpose(0, 1), states


def _no_recurrence(x, weights):
    states = []
    for weight_ih, _, bias in weights:
        x = torch.tanh(x @ weight_ih.T + bias)
        states.append(x[:, -1])
    return x, torch.stack(states)


def _top_without_tanh(x, weights):
    states = []
    for weight_ih, weight_hh, bias in weights:
        h = x.new_zeros(len(x), len(weight_hh))
        sums = []
        for x_t in x.unbind(dim=1):
            sums.append(x_t @ weight_ih.T + h @ weight_hh.T + bias)
            h = torch.tanh(sums[-1])
        x = torch.stack(sums, dim=1)
        states.append(h)
    return x, torch.stack(states)


def _residual(x, weights):
    states = []
    for layer in weights:
        outputs, h = _layer(x, *layer)
        x = x + outputs if x.shape == outputs.shape else outputs
        states.append(h)
    return x, torch.stack(states)


def _detached_between_layers(x, weights):
    states = []
    for layer in weights:
        x, h = _layer(x.detach() if states else x, *layer)
        states.append(h)
    return x, torch.stack(states)


def _detached_between_steps(x, weights):
    states = []
    for weight_ih, weight_hh, bias in weights:
        h = x.new_zeros(len(x), len(weight_hh))
        outputs = []
        for x_t in x.unbind(dim=1):
            h = torch.tanh(x_t @ weight_ih.T + h.detach() @ weight_hh.T + bias)
            outputs.append(h)
        x = torch.stack(outputs, dim=1)
        states.append(h)
    return x, torch.stack(states)


def _last_states_detached(x, weights):
    outputs, states = deep_rnn(x, weights)
    return outputs, states.detach()


DEEP = Exercise(
    id="12.1",
    title="A stack by hand",
    solution=deep_rnn,
    cases=_deep_cases,
    run=_run_deep,
    results=("answer", "outputs", "last states"),
    axes={
        "x": ("batch", "time", "input"),
        "outputs": ("batch", "time", "hidden"),
        "last states": ("layers", "batch", "hidden"),
    },
    gradients=True,
    hints=(
        "Write one layer first: a loop over time from a state of zeros, whose outputs you collect. "
        "What does the second layer need of the first?",
        "A loop over `weights` around the loop over time. `torch.stack(outputs, dim=1)` is what a "
        "layer says, (batch, time, hidden), and it takes the place of `x` for the layer above.",
        "Each layer begins with zeros of its own, (batch, hidden). Its last h goes into a list; "
        "at the end `torch.stack` of this list is (layers, batch, hidden), the first layer first.",
    ),
    mistakes=(
        Mistake(
            _every_layer_reads_x,
            "All your layers read x: from the second on, a layer reads the outputs of the layer "
            "below it.",
        ),
        Mistake(
            _state_goes_up_to_the_next_layer,
            "Your second layer begins where the first one ended: each layer begins with a state "
            "of zeros of its own.",
        ),
        Mistake(
            _one_state_for_all_layers,
            "One h goes through all your layers: each layer has a state of its own, which it gets "
            "from its own step before, not from the layer below.",
        ),
        Mistake(
            _states_begin_with_ones,
            "Your states begin with ones: before the first step nothing has been read, so they are "
            "zeros, (batch, hidden), in every layer.",
        ),
        Mistake(
            _layer_below_one_step_late,
            "Your layers read what the layer below said one step ago: at step t a layer reads the "
            "new state of the layer below, of the same step.",
        ),
        Mistake(
            _first_layer_only,
            "Your network has one layer, the first: run through all of `weights`.",
        ),
        Mistake(
            _top_state_only,
            "You give the last state of the top layer only: the last states of all layers are "
            "asked for, (layers, batch, hidden).",
        ),
        Mistake(
            _top_layer_first,
            "Your last states stand from the top down: the first layer comes first, as in the "
            "`h_n` of `torch.nn`.",
        ),
        Mistake(
            _layers_behind_the_batch,
            "Your last states are (batch, layers, hidden): stack them along a new first axis, "
            "(layers, batch, hidden), as in the `h_n` of `torch.nn`.",
        ),
        Mistake(
            _states_of_the_top_at_all_steps,
            "As last states you give the top layer's states at all steps: what is asked for is "
            "the state of every layer after the last step.",
        ),
        Mistake(
            _states_in_a_list,
            "Your last states are a list: `torch.stack` makes them one tensor "
            "(layers, batch, hidden).",
        ),
        Mistake(
            _outputs_alone,
            "You give the outputs alone: `return outputs, states`, with the last state of each "
            "layer.",
        ),
        Mistake(
            _outputs_time_first,
            "Your outputs are (time, batch, hidden): stack the steps with `dim=1`.",
        ),
        Mistake(
            _runs_over_the_batch,
            "Your loop runs over the sequences of the batch instead of the steps of each: time is "
            "the second axis of x.",
        ),
        Mistake(
            _no_recurrence,
            "No state goes from one step to the next: h @ weight_hh.T is missing.",
        ),
        Mistake(
            _top_without_tanh,
            "What your layers hand up is the sum before the tanh: a layer says its h.",
        ),
        Mistake(
            _residual,
            "You add what a layer reads to what it says: that is a residual connection, the next "
            "exercise. Here the layer above reads the outputs alone.",
        ),
        Mistake(
            _detached_between_layers,
            "Right forwards, but the outputs are detached on their way up: the layers below the "
            "top one learn nothing from the outputs.",
        ),
        Mistake(
            _detached_between_steps,
            "Right forwards, but h is detached between the steps: the gradient goes down through "
            "the layers, and not back through time.",
        ),
        Mistake(
            _last_states_detached,
            "Right forwards, but the last states are detached: whoever reads them trains nothing.",
        ),
    ),
)

# --- 12.2 ----------------------------------------------------------------------------------------


def residual_layer(layer, x: Tensor) -> Tensor:
    """Add what a layer reads to what it says, where the two have one size."""
    outputs, _ = layer(x)
    return x + outputs if outputs.shape == x.shape else outputs


def _residual_cases(draw: Draw) -> list[Case]:
    def case(name: str, batch: int, inputs: int, outputs: int) -> Case:
        arguments = {
            "weight_ih": draw.normal(outputs, inputs, scale=0.7),
            "weight_hh": draw.normal(outputs, outputs, scale=0.5),
            "bias": draw.normal(outputs, scale=0.5),
            "x": draw.normal(batch, time, inputs),
        }
        return Case(name, arguments)

    batch, time, inputs, hidden = draw.sizes(4)
    return [
        case("a layer as wide as its input", batch, hidden, hidden),
        case("a layer of another width than its input", batch, inputs, hidden),
        case("a layer of one unit", batch, inputs, 1),
        case("an input of one feature", batch, 1, hidden),
        case("a batch of one", 1, hidden, hidden),
    ]


def _run_residual(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    *weights, x = arguments.values()
    return {"outputs": submission(lambda below: _layer(below, *weights), x)}


def _never_added(layer, x):
    return layer(x)[0]


def _always_added(layer, x):
    return x + layer(x)[0]


def _added_to_the_input(layer, x):
    outputs = layer(x)[0]
    return layer(x + outputs)[0] if outputs.shape == x.shape else outputs


def _last_state_added(layer, x):
    outputs, state = layer(x)
    return x + state[:, None] if outputs.shape == x.shape else outputs


def _both_returned(layer, x):
    outputs, state = layer(x)
    return (x + outputs if outputs.shape == x.shape else outputs), state


def _mean_of_both(layer, x):
    outputs = layer(x)[0]
    return (x + outputs) / 2 if outputs.shape == x.shape else outputs


def _subtracted(layer, x):
    outputs = layer(x)[0]
    return outputs - x if outputs.shape == x.shape else outputs


def _tanh_of_the_sum(layer, x):
    outputs = layer(x)[0]
    return torch.tanh(x + outputs) if outputs.shape == x.shape else outputs


def _joined_side_by_side(layer, x):
    outputs = layer(x)[0]
    return torch.cat([x, outputs], dim=2)


def _time_compared(layer, x):
    outputs = layer(x)[0]
    return x + outputs if outputs.shape[1] == x.shape[1] else outputs


def _input_alone_where_sizes_differ(layer, x):
    outputs = layer(x)[0]
    return x + outputs if outputs.shape == x.shape else x


def _previous_step_added(layer, x):
    outputs = layer(x)[0]
    if outputs.shape != x.shape:
        return outputs
    return outputs + torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)


def _x_in_place(layer, x):
    outputs = layer(x)[0]
    if outputs.shape != x.shape:
        return outputs
    x.data += outputs.detach()
    return x


def _x_detached(layer, x):
    outputs = layer(x)[0]
    return x.detach() + outputs if outputs.shape == x.shape else outputs


def _outputs_detached(layer, x):
    outputs = layer(x)[0]
    return x + outputs.detach() if outputs.shape == x.shape else outputs


_WHERE_SIZES_DIFFER = (
    "You add input and output where sizes differ, too: torch then fails, or repeats the narrow "
    "one without a word. Ask for `outputs.shape == x.shape`, and else give the outputs alone."
)

RESIDUAL = Exercise(
    id="12.2",
    title="A residual layer",
    solution=residual_layer,
    cases=_residual_cases,
    run=_run_residual,
    results=("outputs",),
    axes={
        "x": ("batch", "time", "input"),
        "weight_ih": ("hidden", "input"),
        "weight_hh": ("hidden", "hidden"),
        "bias": ("hidden",),
        "outputs": ("batch", "time", "hidden"),
    },
    gradients=True,
    hints=(
        "A layer gives two things, its outputs and its last state. Which of them has the shape of "
        "its input?",
        "`outputs, _ = layer(x)`, and then the sum. When can two tensors be added number by "
        "number?",
        "`x + outputs if outputs.shape == x.shape else outputs`.",
    ),
    mistakes=(
        Mistake(
            _never_added,
            "Your input is never added: where it is as wide as the outputs, give `x + outputs`.",
        ),
        Mistake(_always_added, _WHERE_SIZES_DIFFER),
        Mistake(
            _added_to_the_input,
            "You add the outputs to the input and run the layer once more: the sum is what is "
            "returned.",
        ),
        Mistake(
            _last_state_added,
            "You add the last state at each step: the outputs of the step belong there.",
        ),
        Mistake(
            _both_returned,
            "You give the last state as well: only the outputs are asked for.",
        ),
        Mistake(
            _mean_of_both,
            "You give the mean of input and outputs: a residual connection adds them, so that the "
            "gradient of the input is passed on whole.",
        ),
        Mistake(
            _subtracted,
            "You subtract the input: it is added. The layer then learns the difference to its "
            "input by itself.",
        ),
        Mistake(
            _tanh_of_the_sum,
            "Your sum goes through tanh once more: then the way round the layer is no straight "
            "one, and its gradient shrinks after all.",
        ),
        Mistake(
            _joined_side_by_side,
            "You put input and outputs side by side: they are added, number by number.",
        ),
        Mistake(
            _input_alone_where_sizes_differ,
            "Where sizes differ you give the input alone: then the layer does nothing. Give its "
            "outputs alone.",
        ),
        Mistake(
            _previous_step_added,
            "You add the input of the step before: at each step its own input is added.",
        ),
        Mistake(
            _x_in_place,
            "You add into `x` itself, so the caller loses it: make a new tensor, `x + outputs`.",
        ),
        Mistake(
            _x_detached,
            "Right forwards, but the added x is detached: the gradient that passes the layer by is "
            "what the connection is for.",
        ),
        Mistake(
            _outputs_detached,
            "Right forwards, but the outputs are detached: the layer never learns.",
        ),
    ),
    inherited=(Mistake(_time_compared, _WHERE_SIZES_DIFFER),),
)

# --- 12.3 ----------------------------------------------------------------------------------------


def locked_dropout(x: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Drop whole features of a sequence, with probability p: one mask for all its steps."""
    batch, _, features = x.shape
    kept = torch.rand(batch, 1, features, generator=generator) >= p
    return x * kept / (1 - p)


def _locked_cases(draw: Draw) -> list[Case]:
    def case(name: str, p: float, time: int = 5) -> Case:
        # Numbers far from zero: what is zero afterwards was dropped.
        x = 2 + draw.normal(60, time, 40).abs()
        return Case(name, {"x": x, "p": p, "seed": draw.integers(0, 1000).item()})

    return [
        case("a third dropped", 1 / 3),
        case("three quarters dropped", 0.75),
        case("one step of time", 0.5, time=1),
        case("nothing dropped", 0.0),
    ]


def _run_locked(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    """Say in words what came: nobody's random numbers are those of the reference."""
    x, p, seed = arguments["x"], arguments["p"], arguments["seed"]
    torch_before = torch.default_generator.get_state()
    generator = torch.Generator().manual_seed(seed)
    came = submission(x, p, generator)
    if not isinstance(came, Tensor):
        return {"answer": kind_of(came)}
    if came.shape != x.shape:
        return {"answer": f"a tensor {tuple(came.shape)} for an x of {tuple(x.shape)}"}
    words: dict[str, Any] = {"answer": "a tensor of the shape of x"}
    kept = came != 0
    words["mask over time"] = "one" if (kept == kept[:, :1]).all() else "another at each step"
    if p > 0:
        first = kept[:, 0]  # (batch, features)
        words["masks of two sequences"] = "equal" if (first == first[:1]).all() else "different"
        words["mask over the features"] = (
            "one for all" if (first == first[:, :1]).all() else "one for each"
        )
        share = 1 - kept.double().mean().item()
        near = abs(share - p) < 0.06
        words["share dropped"] = f"{p if near else share:.2f}"
    factor = (came / x)[kept]
    scale = factor.mean().item() if len(factor) else 0.0
    even = len(factor) > 0 and bool(((factor - scale).abs() < 1e-9).all())
    words["factor"] = f"{scale:.4g}" if even else "not one number"
    again = submission(x, p, torch.Generator().manual_seed(seed))
    other = submission(x, p, torch.Generator().manual_seed(seed + 1))
    used = torch.equal(came, again) and (p == 0 or not torch.equal(came, other))
    untouched = torch.equal(torch.default_generator.get_state(), torch_before)
    words["random numbers"] = "from `generator`" if used and untouched else "from elsewhere"
    return words


def _new_mask_at_every_step(x, p, generator):
    return x * (torch.rand(x.shape, generator=generator) >= p) / (1 - p)


def _plain_dropout(x, p, generator):
    return torch.nn.functional.dropout(x, p)


def _one_mask_for_the_batch(x, p, generator):
    return x * (torch.rand(x.shape[2], generator=generator) >= p) / (1 - p)


def _whole_sequences_dropped(x, p, generator):
    return x * (torch.rand(len(x), 1, 1, generator=generator) >= p) / (1 - p)


def _whole_steps_dropped(x, p, generator):
    return x * (torch.rand(*x.shape[:2], 1, generator=generator) >= p) / (1 - p)


def _one_mask_a_step_for_all_sequences(x, p, generator):
    return x * (torch.rand(x.shape[1:], generator=generator) >= p) / (1 - p)


def _not_scaled(x, p, generator):
    return x * (torch.rand(len(x), 1, x.shape[2], generator=generator) >= p)


def _scaled_down(x, p, generator):
    return x * (torch.rand(len(x), 1, x.shape[2], generator=generator) >= p) * (1 - p)


def _divided_by_p(x, p, generator):
    kept = torch.rand(len(x), 1, x.shape[2], generator=generator) >= p
    return x * kept / p if p else x


def _p_is_kept(x, p, generator):
    return x * (torch.rand(len(x), 1, x.shape[2], generator=generator) < p) / (1 - p)


def _p_is_kept_and_scaled(x, p, generator):
    kept = torch.rand(len(x), 1, x.shape[2], generator=generator) < p
    return x * kept / p if p else 0 * x


def _generator_not_used(x, p, generator):
    return x * (torch.rand(len(x), 1, x.shape[2]) >= p) / (1 - p)


def _normal_numbers(x, p, generator):
    return x * (torch.randn(len(x), 1, x.shape[2], generator=generator) >= p) / (1 - p)


def _x_zeroed_in_place(x, p, generator):
    x *= torch.rand(len(x), 1, x.shape[2], generator=generator) >= p
    x /= 1 - p
    return x


LOCKED = Exercise(
    id="12.3",
    title="Dropout with one mask a sequence",
    solution=locked_dropout,
    cases=_locked_cases,
    run=_run_locked,
    results=(
        "answer",
        "mask over time",
        "masks of two sequences",
        "mask over the features",
        "share dropped",
        "factor",
        "random numbers",
    ),
    axes={"x": ("batch", "time", "features")},
    hints=(
        "What shape has a mask that differs from sequence to sequence and from feature to feature, "
        "and not from step to step?",
        "`torch.rand(batch, 1, features, generator=generator)` draws such numbers, uniform in "
        "[0, 1): the axis of length 1 is repeated over time. How many of them lie below p?",
        "Keep where the number is `>= p`, and divide what is kept by `1 - p`, so that the mean of "
        "a feature is what it was.",
    ),
    mistakes=(
        Mistake(
            _new_mask_at_every_step,
            "You draw a new mask at every step: one mask a sequence was asked for, so the axis of "
            "time has length 1 in it.",
        ),
        Mistake(
            _plain_dropout,
            "That is plain dropout, with a new mask at every step and torch's own random numbers: "
            "draw one mask a sequence, from `generator`.",
        ),
        Mistake(
            _one_mask_for_the_batch,
            "All your sequences have the same mask: draw one for each, (batch, 1, features).",
        ),
        Mistake(
            _whole_sequences_dropped,
            "You drop whole sequences: the features of a sequence are dropped one by one, "
            "(batch, 1, features).",
        ),
        Mistake(
            _whole_steps_dropped,
            "You drop whole steps: here a feature is dropped at all steps, or at none.",
        ),
        Mistake(
            _one_mask_a_step_for_all_sequences,
            "Your mask is (time, features): it changes from step to step and is the same for all "
            "sequences. It should be the other way round, (batch, 1, features).",
        ),
        Mistake(
            _not_scaled,
            "What you keep is not scaled: divide by 1 - p, so that the layer above gets as much "
            "on average as when nothing is dropped.",
        ),
        Mistake(
            _scaled_down,
            "You multiply what is kept by 1 - p, and it should be divided: fewer numbers arrive, "
            "so each of them must be larger.",
        ),
        Mistake(
            _divided_by_p,
            "You divide by p: what is kept is the share 1 - p, so divide by `1 - p`.",
        ),
        Mistake(
            _p_is_kept,
            "You keep the share p and drop the rest: p is the probability of being dropped.",
        ),
        Mistake(
            _p_is_kept_and_scaled,
            "For you p is the probability of being kept: here, as in `torch.nn.Dropout`, it is "
            "that of being dropped.",
        ),
        Mistake(
            _generator_not_used,
            "Your random numbers are torch's own: draw them with `generator=generator`, so that a "
            "run can be repeated without touching other random numbers.",
        ),
        Mistake(
            _normal_numbers,
            "Your numbers are normal, `randn`: of uniform ones, `rand`, the share p lies below p.",
        ),
        Mistake(
            _x_zeroed_in_place,
            "You write into `x`, so the caller loses what was dropped: make a new tensor.",
        ),
    ),
)

# --- 12.4 ----------------------------------------------------------------------------------------


def widest(cell: str, layers: int, input_size: int, budget: int) -> int:
    """Find the largest hidden size whose stack has at most so many parameters."""
    blocks = {"RNN": 1, "GRU": 3, "LSTM": 4}[cell]

    def parameters(hidden: int) -> int:
        total = 0
        for layer in range(layers):
            reads = hidden if layer else input_size
            total += blocks * hidden * (reads + hidden + 1)
            total += hidden if cell == "GRU" else 0  # b_hn
        return total

    hidden = 0
    while parameters(hidden + 1) <= budget:
        hidden += 1
    return hidden


_BLOCKS = {"RNN": 1, "GRU": 3, "LSTM": 4}


def _count(cell, layers, input_size, hidden, biases=1):
    """Count as the reference does, with so many biases a block."""
    first = _BLOCKS[cell] * hidden * (input_size + hidden + biases)
    above = _BLOCKS[cell] * hidden * (2 * hidden + biases)
    return first + (layers - 1) * above + (layers * hidden if cell == "GRU" else 0)


def _search(fits):
    hidden = 0
    while fits(hidden + 1):
        hidden += 1
    return hidden


def _widest_cases(draw: Draw) -> list[Case]:
    def case(name: str, cell: str, layers: int, more: int) -> Case:
        # A few parameters are left over, or none, or one is missing for the next unit.
        inputs, hidden = (size.item() for size in draw.integers(20, 60, 2))
        budget = _count(cell, layers, inputs, hidden)
        if more < 0:
            budget = _count(cell, layers, inputs, hidden + 1)
        return Case(
            name, {"cell": cell, "layers": layers, "input_size": inputs, "budget": budget + more}
        )

    return [
        case("three layers of a GRU", "GRU", 3, 7),
        case("two layers of an LSTM", "LSTM", 2, 11),
        case("four layers of an RNN", "RNN", 4, 5),
        case("a budget that fits exactly", "LSTM", 3, 0),
        case("a GRU that lacks one parameter for one unit more", "GRU", 2, -1),
        case("an LSTM that lacks one parameter for one unit more", "LSTM", 2, -1),
        case("one layer of a GRU", "GRU", 1, 7),
        case("one layer of an LSTM", "LSTM", 1, 3),
        case("one layer of an RNN", "RNN", 1, 9),
    ]


def _one_unit_too_wide(cell, layers, input_size, budget):
    return widest(cell, layers, input_size, budget) + 1


def _one_unit_too_narrow(cell, layers, input_size, budget):
    return _search(lambda hidden: _count(cell, layers, input_size, hidden) < budget)


def _every_layer_reads_the_input(cell, layers, input_size, budget):
    return _search(lambda hidden: layers * _count(cell, 1, input_size, hidden) <= budget)


def _first_layer_reads_hidden(cell, layers, input_size, budget):
    return _search(lambda hidden: _count(cell, layers, hidden, hidden) <= budget)


def _one_layer_counted(cell, layers, input_size, budget):
    return widest(cell, 1, input_size, budget)


def _width_shared_among_layers(cell, layers, input_size, budget):
    return widest(cell, 1, input_size, budget) // layers


def _as_in_torch(cell, layers, input_size, budget):
    def count(hidden):
        b_hn = layers * hidden if cell == "GRU" else 0
        return _count(cell, layers, input_size, hidden, biases=2) - b_hn

    return _search(lambda hidden: count(hidden) <= budget)


def _b_hn_forgotten(cell, layers, input_size, budget):
    def count(hidden):
        return _count(cell, layers, input_size, hidden) - (layers * hidden if cell == "GRU" else 0)

    return _search(lambda hidden: count(hidden) <= budget)


def _no_biases(cell, layers, input_size, budget):
    def count(hidden):
        b_hn = layers * hidden if cell == "GRU" else 0
        return _count(cell, layers, input_size, hidden, biases=0) - b_hn

    return _search(lambda hidden: count(hidden) <= budget)


def _gru_with_four_blocks(cell, layers, input_size, budget):
    return widest("LSTM" if cell == "GRU" else cell, layers, input_size, budget)


def _one_block_for_all(cell, layers, input_size, budget):
    return widest("RNN", layers, input_size, budget)


def _a_fraction(cell, layers, input_size, budget):
    return float(widest(cell, layers, input_size, budget))


WIDEST = Exercise(
    id="12.4",
    title="The widest stack for a budget",
    solution=widest,
    cases=_widest_cases,
    results=("hidden size",),
    hints=(
        "Write a function first that counts the parameters of a stack for a given hidden size. "
        "Compare it with `sum(p.numel() for p in LSTM(20, 30, num_layers=2).parameters())`.",
        "One block has hidden * (what it reads + hidden + 1) parameters; an RNN has one block, a "
        "GRU three and b_hn, an LSTM four. The first layer reads `input_size` numbers, each of "
        "the others `hidden`.",
        "Try hidden = 1, 2, 3, ... and stop before the first that is over the budget.",
    ),
    mistakes=(
        Mistake(
            _one_unit_too_wide,
            "One unit too many: with it the stack is over the budget. It is the last size that "
            "fits, not the first that does not.",
        ),
        Mistake(
            _one_unit_too_narrow,
            "A stack that has exactly as many parameters as the budget fits, too: compare with "
            "`<=`.",
        ),
        Mistake(
            _every_layer_reads_the_input,
            "All your layers read `input_size` numbers: only the first does, the others read the "
            "`hidden` outputs of the layer below.",
        ),
        Mistake(
            _first_layer_reads_hidden,
            "Your first layer's input matrix has the shape of the others': it reads `input_size` "
            "numbers, not `hidden`.",
        ),
        Mistake(
            _one_layer_counted,
            "Right for one layer, but `layers` is not used.",
        ),
        Mistake(
            _width_shared_among_layers,
            "You share the width of one layer among all: the parameters grow with the square of "
            "the width, so four layers can have about half the width each, not a quarter.",
        ),
        Mistake(
            _as_in_torch,
            "You count as `torch.nn` does, with two biases for each block: ours have one, and "
            "the GRU b_hn.",
        ),
        Mistake(
            _b_hn_forgotten,
            "Your GRU lacks b_hn, `hidden` more parameters in each layer.",
        ),
        Mistake(
            _no_biases,
            "You count no biases: each block has `hidden` of them, and a GRU b_hn besides.",
        ),
        Mistake(
            _gru_with_four_blocks,
            "Your GRU has four blocks: it has three, r, z and n.",
        ),
        Mistake(
            _one_block_for_all,
            "Right for an RNN, but a GRU has three blocks in each layer, an LSTM four.",
        ),
        Mistake(
            _a_fraction,
            "Your hidden size is a `float`: give a whole number.",
        ),
    ),
)

EXERCISES = (DEEP, RESIDUAL, LOCKED, WIDEST)
