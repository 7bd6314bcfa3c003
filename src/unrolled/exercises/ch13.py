"""Exercises of chapter 13, encoder and decoder."""
# Answers, right and wrong, look as readers write them.
# ruff: noqa: ANN001, ANN202

import numbers
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from unrolled.exercises.exercise import Case, Draw, Exercise, Mistake
from unrolled.exercises.wording import kind_of

Answer = Callable[..., Any]

# --- 13.1 ----------------------------------------------------------------------------------------


def pair_batch(
    sources: list[Tensor], targets: list[Tensor], bos: int, pad: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Pad pairs to tensors: what is read, its lengths, the targets shifted, what counts."""

    def padded(sequences: list[Tensor]) -> Tensor:
        time = max(len(sequence) for sequence in sequences)
        rows = torch.full((len(sequences), time), pad)  # (batch, time)
        for row, sequence in zip(rows, sequences, strict=True):
            row[: len(sequence)] = sequence
        return rows

    source_lengths = torch.tensor([len(source) for source in sources])  # (batch,)
    target_lengths = torch.tensor([len(target) for target in targets])
    target_out = padded(targets)
    start = torch.tensor([bos])
    target_in = padded([torch.cat([start, target[:-1]]) for target in targets])
    # Not `target_out != pad`: the end may be padded with itself.
    mask = torch.arange(target_out.shape[1]) < target_lengths[:, None]
    return padded(sources), source_lengths, target_in, target_out, mask


_PAIR_RESULTS = ("source", "source_lengths", "target_in", "target_out", "mask")


def _run_pairs(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    came = submission(*arguments.values())
    if not isinstance(came, tuple) or len(came) != 5:
        return {"answer": kind_of(came)}
    results = dict(zip(_PAIR_RESULTS, came, strict=True))
    shifted = results["target_in"]
    if isinstance(shifted, Tensor) and shifted.dim() == 2:
        # Whoever cuts "start, target" before its last step reads the end of shorter rows, too,
        # where nothing is asked.
        shifted = shifted.clone()
        for target, read in zip(arguments["targets"], shifted, strict=False):
            after = slice(len(target), len(target) + 1)
            read[after] = read[after].masked_fill(read[after] == target[-1], arguments["pad"])
        results["target_in"] = shifted
    return {"answer": "a tuple of 5", **results}


def _pair_cases(draw: Draw) -> list[Case]:
    def case(
        name: str, lengths: list[int], others: list[int], *, end_is_padding: bool = False
    ) -> Case:
        # None of the three is 0, the number that stands in a new tensor of zeros.
        bos, eos, pad, *words = (torch.randperm(16, generator=draw.generator) + 1).tolist()
        words = torch.tensor([0, *words])

        def sequence(length: int) -> Tensor:
            chosen = words[draw.integers(0, len(words) - 1, length)]
            chosen[-1] = eos
            return chosen

        arguments = {
            "sources": [sequence(length) for length in lengths],
            "targets": [sequence(length) for length in others],
            "bos": bos,
            "pad": eos if end_is_padding else pad,
        }
        return Case(name, arguments)

    a, b, c, d = sorted(draw.sizes(4, low=3, high=10))
    return [
        case("pairs of different lengths", [b, d, a, b, c], [c + 1, a, d + 2, b, a]),
        case("sources longer than their targets", [d + 1, d, c, d + 3], [a, b, b, a]),
        case("all lengths equal", 3 * [b], 3 * [d]),
        case("a single pair", [b], [c]),
        case("targets of nothing but the end", [b, a, c, b], 4 * [1]),
        case(
            "the same number for the end and the padding",
            [b, d, a, b, c],
            [c + 1, a, d + 2, b, a],
            end_is_padding=True,
        ),
    ]


def _with(**changed: Callable[..., Any]) -> Answer:
    """Answer rightly but for some results, each a function of the arguments and the right ones."""

    def run(sources, targets, bos, pad):
        right = dict(zip(_PAIR_RESULTS, pair_batch(sources, targets, bos, pad), strict=True))
        arguments = {"sources": sources, "targets": targets, "bos": bos, "pad": pad}
        return tuple(
            changed[name](right, **arguments) if name in changed else right[name]
            for name in _PAIR_RESULTS
        )

    return run


def _padded(sequences, pad, time=None):
    rows = pad_sequence(sequences, batch_first=True, padding_value=pad)
    return rows if time is None else F.pad(rows, (0, time - rows.shape[1]), value=pad)


def _lengths(sequences):
    return torch.tensor([len(sequence) for sequence in sequences])


def _before(lengths, time):
    return torch.arange(time) < lengths[:, None]


def _not_shifted(sources, targets, bos, pad):
    run = _with(target_in=lambda right, **_: right["target_out"])
    return run(sources, targets, bos, pad)


def _shifted_the_other_way(sources, targets, bos, pad):
    rows = [torch.cat([target[1:], torch.tensor([pad])]) for target in targets]
    run = _with(
        target_in=lambda right, **_: right["target_out"],
        target_out=lambda right, **_: _padded(rows, pad),
    )
    return run(sources, targets, bos, pad)


def _start_in_both(sources, targets, bos, pad):
    rows = _padded([torch.tensor([bos, *target]) for target in targets], pad)
    run = _with(
        target_in=lambda right, **_: rows,
        target_out=lambda right, **_: rows,
        mask=lambda right, **_: _before(_lengths(targets) + 1, rows.shape[1]),
    )
    return run(sources, targets, bos, pad)


def _one_step_too_long(sources, targets, bos, pad):
    rows = _padded([torch.tensor([bos, *target]) for target in targets], pad)
    time = rows.shape[1]
    run = _with(
        target_in=lambda right, **_: rows,
        target_out=lambda right, **_: _padded(targets, pad, time),
        mask=lambda right, **_: _before(_lengths(targets), time),
    )
    return run(sources, targets, bos, pad)


def _end_cut_off(sources, targets, bos, pad):
    words = [target[:-1] for target in targets]
    inputs = [torch.tensor([bos, *target[:-2]])[: len(target) - 1] for target in targets]
    run = _with(
        target_in=lambda right, **_: _padded(inputs, pad),
        target_out=lambda right, **_: _padded(words, pad),
        mask=lambda right, **_: _before(_lengths(words), max(map(len, words))),
    )
    return run(sources, targets, bos, pad)


def _target_in_and_out_exchanged(sources, targets, bos, pad):
    run = _with(
        target_in=lambda right, **_: right["target_out"],
        target_out=lambda right, **_: right["target_in"],
    )
    return run(sources, targets, bos, pad)


def _source_shifted_too(sources, targets, bos, pad):
    rows = [torch.cat([torch.tensor([bos]), source[:-1]]) for source in sources]
    return _with(source=lambda right, **_: _padded(rows, pad))(sources, targets, bos, pad)


def _source_with_a_start(sources, targets, bos, pad):
    rows = [torch.cat([torch.tensor([bos]), source]) for source in sources]
    run = _with(
        source=lambda right, **_: _padded(rows, pad),
        source_lengths=lambda right, **_: _lengths(rows),
    )
    return run(sources, targets, bos, pad)


def _source_without_its_end(sources, targets, bos, pad):
    rows = [source[:-1] for source in sources]
    run = _with(
        source=lambda right, **_: _padded(rows, pad),
        source_lengths=lambda right, **_: _lengths(rows),
    )
    return run(sources, targets, bos, pad)


def _lengths_without_the_end(sources, targets, bos, pad):
    run = _with(source_lengths=lambda right, **_: right["source_lengths"] - 1)
    return run(sources, targets, bos, pad)


def _lengths_of_the_targets(sources, targets, bos, pad):
    run = _with(source_lengths=lambda right, **_: _lengths(targets))
    return run(sources, targets, bos, pad)


def _length_of_the_longest_for_all(sources, targets, bos, pad):
    run = _with(
        source_lengths=lambda right, **_: right["source_lengths"].max().expand(len(sources))
    )
    return run(sources, targets, bos, pad)


def _lengths_counted_by_the_padding(sources, targets, bos, pad):
    run = _with(source_lengths=lambda right, **_: (right["source"] != pad).sum(1))
    return run(sources, targets, bos, pad)


def _both_sides_equally_long(sources, targets, bos, pad):
    time = max(map(len, [*sources, *targets]))
    run = _with(
        source=lambda right, **_: _padded(sources, pad, time),
        target_in=lambda right, **_: F.pad(
            right["target_in"], (0, time - right["mask"].shape[1]), value=pad
        ),
        target_out=lambda right, **_: _padded(targets, pad, time),
        mask=lambda right, **_: _before(_lengths(targets), time),
    )
    return run(sources, targets, bos, pad)


def _sources_sorted_alone(sources, targets, bos, pad):
    return pair_batch(sorted(sources, key=len, reverse=True), targets, bos, pad)


def _pairs_sorted(sources, targets, bos, pad):
    order = sorted(range(len(sources)), key=lambda row: -len(sources[row]))
    return pair_batch([sources[i] for i in order], [targets[i] for i in order], bos, pad)


def _mask_of_the_source(sources, targets, bos, pad):
    run = _with(mask=lambda right, **_: _before(right["source_lengths"], right["source"].shape[1]))
    return run(sources, targets, bos, pad)


def _mask_from_the_source_lengths(sources, targets, bos, pad):
    run = _with(
        mask=lambda right, **_: _before(right["source_lengths"], right["target_out"].shape[1])
    )
    return run(sources, targets, bos, pad)


def _padding_counts(sources, targets, bos, pad):
    run = _with(mask=lambda right, **_: torch.ones_like(right["mask"]))
    return run(sources, targets, bos, pad)


def _end_does_not_count(sources, targets, bos, pad):
    run = _with(mask=lambda right, **_: _before(_lengths(targets) - 1, right["mask"].shape[1]))
    return run(sources, targets, bos, pad)


def _mask_from_the_padding(sources, targets, bos, pad):
    run = _with(mask=lambda right, **_: right["target_out"] != pad)
    return run(sources, targets, bos, pad)


def _mask_from_the_inputs(sources, targets, bos, pad):
    rows = _padded([torch.tensor([bos, *target]) for target in targets], pad)[:, :-1]
    return _with(mask=lambda right, **_: rows != pad)(sources, targets, bos, pad)


def _mask_turned_round(sources, targets, bos, pad):
    return _with(mask=lambda right, **_: ~right["mask"])(sources, targets, bos, pad)


def _mask_of_floats(sources, targets, bos, pad):
    return _with(mask=lambda right, **_: right["mask"].float())(sources, targets, bos, pad)


def _padded_with_zeros(sources, targets, bos, pad):
    return pair_batch(sources, targets, bos, 0)


def _time_first(sources, targets, bos, pad):
    source, lengths, *rest = pair_batch(sources, targets, bos, pad)
    return source.T, lengths, *(each.T for each in rest)


def _stacked_without_padding(sources, targets, bos, pad):
    source, target = torch.stack(sources), torch.stack(targets)
    shifted = torch.cat([torch.full_like(target[:, :1], bos), target[:, :-1]], dim=1)
    return source, _lengths(sources), shifted, target, torch.ones(target.shape, dtype=torch.bool)


_MASK_OF_SOURCE = (
    "Your mask is that of the sources: it says which *targets* count, so it comes from the lengths "
    "of the targets."
)

PAIRS = Exercise(
    id="13.1",
    title="A batch of pairs",
    solution=pair_batch,
    cases=_pair_cases,
    run=_run_pairs,
    results=("answer", *_PAIR_RESULTS),
    axes={
        "source": ("batch", "source"),
        "source_lengths": ("batch",),
        "target_in": ("batch", "target"),
        "target_out": ("batch", "target"),
        "mask": ("batch", "target"),
    },
    hints=(
        "Write it down for the targets a b c e and d e, where e is the end. Below each token that "
        "the decoder reads stands the one that it has to say next.",
        "`target_out` is the targets themselves, filled up. `target_in` is `bos` and then each "
        "target without its last token: as long as before. The source is only filled up.",
        "Write a small function that fills a list of sequences up with `pad`, or take "
        "`torch.nn.utils.rnn.pad_sequence`, and use it three times. The mask is "
        "`torch.arange(time) < target_lengths[:, None]`.",
    ),
    mistakes=(
        Mistake(
            _not_shifted,
            "Your `target_in` is `target_out`, so the decoder is shown at each step what it has to "
            "say and learns to copy: `bos` comes first, and every token moves one step on.",
        ),
        Mistake(
            _shifted_the_other_way,
            "You shift the wrong one: the decoder reads `bos` first and says the target from its "
            "first token on. Yours never reads `bos`, and never has to say the first token.",
        ),
        Mistake(
            _start_in_both,
            "Your `target_in` and `target_out` are one tensor that begins with `bos`: `bos` is "
            "read, never said, and the end is said, never read.",
        ),
        Mistake(
            _one_step_too_long,
            "Your targets are one step too long: nothing is said after the end, so the end need "
            "not be read. `target_in` is `bos` and the target without its last token.",
        ),
        Mistake(
            _end_cut_off,
            "Your `target_out` has lost its last token, which is the end: the decoder would never "
            "learn to stop.",
        ),
        Mistake(
            _target_in_and_out_exchanged,
            "Your `target_in` and `target_out` are exchanged: the one that begins with `bos` is "
            "what the decoder reads.",
        ),
        Mistake(
            _source_shifted_too,
            "Your source is shifted as well: nobody guesses it, so the encoder reads it as it is, "
            "its end included.",
        ),
        Mistake(
            _source_with_a_start,
            "Your source begins with `bos`: the encoder needs no start, it reads the source as it "
            "is.",
        ),
        Mistake(
            _source_without_its_end,
            "Your sources have lost their last token: the encoder reads them as they are, and the "
            "end tells it that nothing more comes.",
        ),
        Mistake(
            _lengths_without_the_end,
            "Your `source_lengths` are one too small: the end is a step of the source, too.",
        ),
        Mistake(
            _lengths_of_the_targets,
            "Your `source_lengths` are those of the targets: they tell the encoder where each "
            "*source* ends.",
        ),
        Mistake(
            _length_of_the_longest_for_all,
            "Your `source_lengths` are all that of the longest, so that the encoder reads the "
            "padding as if it were part of the source.",
        ),
        Mistake(
            _lengths_counted_by_the_padding,
            "Right, until the end and `pad` are the same number: take `source_lengths` from the "
            "list, `len(source)`, rather than count what is not `pad`.",
        ),
        Mistake(
            _both_sides_equally_long,
            "You pad sources and targets to one length: the two sides have lengths of their own, "
            "and each is as wide as its own longest.",
        ),
        Mistake(
            _sources_sorted_alone,
            "You sort the sources and leave the targets, so that pairs are torn apart: row i of "
            "all results is pair i.",
        ),
        Mistake(
            _pairs_sorted,
            "Your pairs are in another order: row i of all results is pair i, as given.",
        ),
        Mistake(_mask_of_the_source, _MASK_OF_SOURCE),
        Mistake(
            _padding_counts,
            "Your mask counts the padding: it is true only up to and including the end of each "
            "target.",
        ),
        Mistake(
            _end_does_not_count,
            "Your mask leaves out the end: it has to be said, so it counts, or the decoder never "
            "learns to stop.",
        ),
        Mistake(
            _mask_from_the_padding,
            "Right, until the end and `pad` are the same number: then the end does not count, and "
            "the decoder never learns to stop. Make the mask from the lengths.",
        ),
        Mistake(
            _mask_turned_round,
            "Your mask is turned round: it is true where a target counts, false in the padding.",
        ),
        Mistake(
            _mask_of_floats,
            "Your mask has the right places, but it is no `bool`: a comparison such as `<` makes "
            "one.",
        ),
        Mistake(
            _padded_with_zeros,
            "Your padding is 0, which may be a token: use `pad`. `pad_sequence` takes it as "
            "`padding_value`.",
        ),
        Mistake(
            _time_first,
            "Your tensors have the steps first: batch comes first. `pad_sequence` does that with "
            "`batch_first=True`.",
        ),
        Mistake(
            _stacked_without_padding,
            "`torch.stack` wants rows of equal length, and sentences differ: fill them up with "
            "`pad` first.",
        ),
    ),
    inherited=(
        Mistake(_mask_from_the_source_lengths, _MASK_OF_SOURCE),
        Mistake(
            _mask_from_the_inputs,
            "Your mask comes from what is read, where a shorter row holds its end as well, one "
            "token more than it has to say: make it from the lengths of the targets.",
        ),
    ),
)

# --- 13.2 ----------------------------------------------------------------------------------------


def decoder_step(
    token: Tensor,
    h: Tensor,
    context: Tensor,
    embedding: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor,
    weight_out: Tensor,
    bias_out: Tensor,
) -> tuple[Tensor, Tensor]:
    """Read one token beside the context: the logits of the next one, and the new state."""
    x = torch.cat([embedding[token], context], dim=1)  # (batch, embedding + context)
    h = torch.tanh(x @ weight_ih.T + h @ weight_hh.T + bias)  # (batch, hidden)
    return h @ weight_out.T + bias_out, h  # (batch, vocab), (batch, hidden)


def _step_cases(draw: Draw) -> list[Case]:
    def case(
        name: str, batch: int, hidden: int, embedded: int, size: int, *, zeros: bool = False
    ) -> Case:
        h = draw.normal(batch, hidden).tanh()
        arguments = {
            "token": draw.integers(0, vocab - 1, batch),
            "h": torch.zeros_like(h) if zeros else h,
            "context": draw.normal(batch, size).tanh(),
            "embedding": draw.normal(vocab, embedded),
            "weight_ih": draw.normal(hidden, embedded + size, scale=0.5),
            "weight_hh": draw.normal(hidden, hidden, scale=0.5),
            "bias": draw.normal(hidden, scale=0.5),
            "weight_out": draw.normal(vocab, hidden),
            "bias_out": draw.normal(vocab),
        }
        return Case(name, arguments)

    vocab = draw.sizes(1, low=8, high=10)[0]
    batch, hidden, embedded, size = draw.sizes(4)
    return [
        case("a context of another size", batch, hidden, embedded, size),
        case("one size for token, context and state", batch, hidden, hidden, hidden),
        case("a state of zeros", batch, hidden, embedded, size, zeros=True),
        case("a batch of one", 1, hidden, embedded, size),
    ]


def _run_step(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    came = submission(*arguments.values())
    if not isinstance(came, tuple) or len(came) != 2:
        return {"answer": kind_of(came)}
    logits, state = came
    sizes = [tuple(getattr(result, "shape", ())) for result in (state, logits)]
    if sizes == [(len(arguments["h"]), arguments[n].shape[0]) for n in ("bias_out", "bias")]:
        return {"answer": "the state and then the logits"}
    # The state first: where it is wrong, the logits must be wrong, too.
    return {"answer": "the logits and then the state", "state": state, "logits": logits}


def _next_state(x, h, weight_ih, weight_hh, bias):
    return torch.tanh(x @ weight_ih.T + h @ weight_hh.T + bias)


def _context_before_the_token(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    x = torch.cat([context, embedding[token]], dim=1)
    h = _next_state(x, h, weight_ih, weight_hh, bias)
    return h @ weight_out.T + bias_out, h


def _context_not_used(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    x = embedding[token]
    h = _next_state(x, h, weight_ih[:, : x.shape[1]], weight_hh, bias)
    return h @ weight_out.T + bias_out, h


def _context_of_zeros(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    return decoder_step(
        token, h, 0 * context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
    )


def _token_alone(token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out):
    h = _next_state(embedding[token], h, weight_ih, weight_hh, bias)
    return h @ weight_out.T + bias_out, h


def _context_added_to_the_token(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    h = _next_state(embedding[token] + context, h, weight_ih, weight_hh, bias)
    return h @ weight_out.T + bias_out, h


def _context_in_place_of_the_state(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    x = torch.cat([embedding[token], context], dim=1)
    h = _next_state(x, context, weight_ih, weight_hh, bias)
    return h @ weight_out.T + bias_out, h


def _state_in_place_of_the_context(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    x = torch.cat([embedding[token], h], dim=1)
    h = _next_state(x, h, weight_ih, weight_hh, bias)
    return h @ weight_out.T + bias_out, h


def _read_out_of_the_state_before(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    _, new = decoder_step(
        token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
    )
    return h @ weight_out.T + bias_out, new


def _state_before_returned(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    logits, _ = decoder_step(
        token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
    )
    return logits, h


def _exchanged(token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out):
    logits, h = decoder_step(
        token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
    )
    return h, logits


def _probabilities(token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out):
    logits, h = decoder_step(
        token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
    )
    return logits.softmax(dim=1), h


def _log_probabilities(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    logits, h = decoder_step(
        token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
    )
    return logits.log_softmax(dim=1), h


def _likeliest_token(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    logits, h = decoder_step(
        token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
    )
    return logits.argmax(dim=1), h


def _no_tanh(token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out):
    x = torch.cat([embedding[token], context], dim=1)
    h = x @ weight_ih.T + h @ weight_hh.T + bias
    return h @ weight_out.T + bias_out, h


def _no_state_before(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    return decoder_step(
        token, 0 * h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
    )


def _recurrent_weights_not_transposed(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    return decoder_step(
        token, h, context, embedding, weight_ih, weight_hh.T, bias, weight_out, bias_out
    )


def _no_bias(token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out):
    return decoder_step(
        token, h, context, embedding, weight_ih, weight_hh, 0 * bias, weight_out, bias_out
    )


def _no_bias_out(token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out):
    return decoder_step(
        token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, 0 * bias_out
    )


def _side_by_side_along_the_batch(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    h = _next_state(torch.cat([embedding[token], context]), h, weight_ih, weight_hh, bias)
    return h @ weight_out.T + bias_out, h


def _context_detached(
    token, h, context, embedding, weight_ih, weight_hh, bias, weight_out, bias_out
):
    return decoder_step(
        token, h, context.detach(), embedding, weight_ih, weight_hh, bias, weight_out, bias_out
    )


_WITHOUT_CONTEXT = (
    "Your step does not look at `context`: then every source gets the same sentence. It stands "
    "beside the embedded token, `torch.cat([..., context], dim=1)`."
)

STEP = Exercise(
    id="13.2",
    title="One step of the decoder",
    solution=decoder_step,
    cases=_step_cases,
    run=_run_step,
    results=("answer", "state", "logits"),
    axes={
        "token": ("batch",),
        "h": ("batch", "hidden"),
        "context": ("batch", "context"),
        "logits": ("batch", "vocab"),
        "state": ("batch", "hidden"),
    },
    gradients=True,
    hints=(
        "`weight_ih` has embedding + context columns: what stands in a row that it is multiplied "
        "with?",
        "The row of the embedding that belongs to a token is `embedding[token]`, and that works "
        "for a whole batch. Put the context beside it with `torch.cat(..., dim=1)`.",
        "From there on it is a step of chapter 2, and then the read-out of the *new* state, "
        "`h @ weight_out.T + bias_out`, without a softmax.",
    ),
    mistakes=(
        Mistake(
            _context_before_the_token,
            "Your context stands before the token: the first columns of `weight_ih` belong to the "
            "token, the rest to the context.",
        ),
        Mistake(_context_not_used, _WITHOUT_CONTEXT),
        Mistake(
            _token_alone,
            "Your row has only as many numbers as the embedding: `weight_ih` reads embedding + "
            "context of them, so the context goes beside the token.",
        ),
        Mistake(
            _context_added_to_the_token,
            "You add the context to the token: it stands beside it, with weights of its own.",
        ),
        Mistake(
            _context_in_place_of_the_state,
            "You take the context for the state before: here the state is `h`, and the context is "
            "read beside the token.",
        ),
        Mistake(
            _state_in_place_of_the_context,
            "You put the state beside the token, where the context belongs: the state has its own "
            "weights, `weight_hh`.",
        ),
        Mistake(
            _read_out_of_the_state_before,
            "Your logits come from the state before the step, so the decoder answers before it has "
            "read the token: take the new state.",
        ),
        Mistake(
            _state_before_returned,
            "You return the state that came in: give the new one, or the decoder never gets on.",
        ),
        Mistake(
            _exchanged,
            "Your results are exchanged: first the logits, then the state.",
        ),
        Mistake(
            _probabilities,
            "You give probabilities: logits are what stands before the softmax, as the loss wants "
            "them.",
        ),
        Mistake(
            _log_probabilities,
            "You give log-probabilities: logits are what stands before the `log_softmax`, which "
            "the loss takes itself.",
        ),
        Mistake(
            _likeliest_token,
            "You choose a token: give the logits of all tokens. Choosing is the affair of the "
            "search, and no gradient gets through it.",
        ),
        Mistake(_no_tanh, "Your new state lacks the tanh around the sum."),
        Mistake(
            _no_state_before,
            "Your step does not depend on `h`: add `h @ weight_hh.T`, or the decoder forgets what "
            "it has said.",
        ),
        Mistake(
            _recurrent_weights_not_transposed,
            "`weight_hh` is (to, from): multiply with its transpose, `h @ weight_hh.T`.",
        ),
        Mistake(_no_bias, "Your state lacks `bias`: it is added inside the tanh."),
        Mistake(_no_bias_out, "Your logits lack `bias_out`."),
        Mistake(
            _side_by_side_along_the_batch,
            "You put the contexts below the tokens, as more rows: they stand beside them, so `cat` "
            "goes along `dim=1`. Without `dim` it is the batch.",
        ),
        Mistake(
            _context_detached,
            "Right forwards, but no gradient reaches `context`: the encoder would learn nothing. "
            "Is there a `detach`?",
        ),
    ),
    inherited=(Mistake(_context_of_zeros, _WITHOUT_CONTEXT),),
)

# --- 13.3 ----------------------------------------------------------------------------------------


def beam_search(
    log_probs_of, bos: int, eos: int, beam_size: int, max_steps: int
) -> tuple[list[int], float]:
    """Extend the best beginnings of one sequence: the best that is found, and its score."""
    beam = [([bos], 0.0)]  # hypotheses and their scores, the best first
    for _ in range(max_steps):
        candidates = []
        for prefix, score in beam:
            if prefix[-1] == eos:
                candidates.append((prefix, score))  # it has ended, and competes as it is
                continue
            for token, log_prob in enumerate(log_probs_of(prefix).tolist()):
                candidates.append(([*prefix, token], score + log_prob))
        candidates.sort(key=lambda candidate: candidate[1], reverse=True)
        beam = candidates[:beam_size]
    prefix, score = beam[0]
    return prefix[1:], score


class _Table:
    """A model of one sequence: what may follow a beginning stands in a row of its own."""

    def __init__(self, log_probs: Tensor, bos: int) -> None:
        self.log_probs, self.bos = log_probs, bos  # (rows, vocab)
        self.calls = 0

    def __call__(self, prefix: list[int]) -> Tensor:
        """Log-probabilities (vocab,) of the token that follows."""
        self.calls += 1
        if self.calls > 400:
            raise RuntimeError("log_probs_of was asked hundreds of times: does the search stop?")
        tokens = _tokens(prefix)
        if tokens is None or tokens[:1] != [self.bos]:
            got = kind_of(prefix) if tokens is None else tokens
            raise ValueError(
                f"log_probs_of takes a beginning of the sequence, a list of tokens that starts "
                f"with bos, {self.bos}, not {got}"
            )
        return self.log_probs[hash(tuple(tokens)) % len(self.log_probs)]

    def score(self, tokens: list[int]) -> float | None:
        """Log-probability of a whole sequence; None if it holds what is no token."""
        if not all(0 <= token < self.log_probs.shape[1] for token in tokens):
            return None
        rows = (self([self.bos, *tokens[:t]]) for t in range(len(tokens)))
        return sum(row[token].item() for row, token in zip(rows, tokens, strict=True))


def _tokens(value: object) -> list[int] | None:
    """Read tokens that came as a list, a tuple or a tensor; None for everything else."""
    if isinstance(value, Tensor) and value.dim() == 1:
        value = value.tolist()
    if not isinstance(value, list | tuple):
        return None
    numbers_only = [v.item() if isinstance(v, Tensor) and v.dim() == 0 else v for v in value]
    return numbers_only if all(type(v) is int for v in numbers_only) else None


def _number(value: object) -> float | None:
    single = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if single or (isinstance(value, Tensor) and value.dim() == 0):
        return round(float(value), 6)
    return None


def _run_search(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    table, *rest = arguments.values()
    came = submission(_Table(table.log_probs, table.bos), *rest)
    if not isinstance(came, tuple | list) or len(came) != 2:
        return {"answer": kind_of(came)}
    tokens, score = _tokens(came[0]), _number(came[1])
    if tokens is None or score is None:
        return {"answer": f"{kind_of(came[0])} and {kind_of(came[1])}"}
    true = table.score(tokens)
    probability = "not all in the vocabulary" if true is None else f"of log-probability {true:.3f}"
    return {
        "answer": "a list of tokens and a number",
        "tokens": f"{tokens}, {probability}",
        "score": score,
    }


def _search_cases(draw: Draw) -> list[Case]:
    def case(
        name: str,
        beam_size: int,
        *others: Answer,
        vocab: int = 5,
        max_steps: int = 5,
        end: float = 0.0,
        alike: tuple[Answer, ...] = (),
    ) -> Case:
        """Draw a model until the others find other things, each its own, and `alike` the best."""
        while True:
            bos, eos = torch.randperm(vocab, generator=draw.generator)[:2].tolist()
            scores = draw.normal(97, vocab, scale=1.2)
            scores[:, eos] += end
            scores[:, bos] -= 3.0
            log_probs = scores.log_softmax(dim=1)
            given = {"bos": bos, "eos": eos, "beam_size": beam_size, "max_steps": max_steps}
            found: list[list[int]] = []
            for search in (beam_search, *others):
                tokens, _ = search(_Table(log_probs, bos), **given)
                if tokens in found:
                    break
                found.append(tokens)
            else:
                if any(search(_Table(log_probs, bos), **given)[0] != found[0] for search in alike):
                    continue
                return Case(name, {"log_probs_of": _Table(log_probs, bos), **given})

    return [
        case(
            "a beam of 3",
            3,
            _greedy,
            _each_hypothesis_for_itself,
            alike=(_ended_ones_keep_their_place, _places_of_the_ended_filled_up),
        ),
        case("a beam of 2", 2, _ended_ones_kept_aside),
        case("a hypothesis that ends early and wins", 2, _ended_ones_lost),
        case(
            "a hypothesis that ends early and loses",
            3,
            _first_end_taken,
            _likeliest_first_token_only,
            end=0.5,
        ),
        case("an ended hypothesis that loses its place", 3, _ended_ones_keep_their_place, end=-2.0),
        case("ended hypotheses that take up places", 3, _places_of_the_ended_filled_up, end=-2.0),
        case(
            "a short sequence and a long one",
            3,
            _divided_by_the_length,
            _ended_ones_lost,
            _ended_ones_go_on_until_one_is_best,
        ),
        case("a best sequence that is cut", 3, _ended_ones_preferred, max_steps=4, end=-1.0),
        case("no end at all", 2, end=-50.0),
        case(
            "a beam of 1 that misses the best sequence",
            1,
            _ended_ones_kept_aside,
            _beam_never_cut,
            max_steps=4,
        ),
        case("a beam as wide as the tree", 100, vocab=4, max_steps=3),
    ]


Beam = list[tuple[list[int], float]]


def _extended(log_probs_of: Callable[..., Tensor], beam: Beam) -> Beam:
    """Give all hypotheses that are one token longer."""
    return [
        ([*prefix, token], score + log_prob)
        for prefix, score in beam
        for token, log_prob in enumerate(log_probs_of(prefix).tolist())
    ]


def _best(candidates: Beam, count: int) -> Beam:
    return sorted(candidates, key=lambda candidate: candidate[1], reverse=True)[:count]


def _is(eos: int, beam: Beam, *, ended: bool) -> Beam:
    """Give the hypotheses of a beam that have ended, or those that have not."""
    return [(prefix, score) for prefix, score in beam if (prefix[-1] == eos) is ended]


def _last_beam(log_probs_of, bos, eos, beam_size, max_steps):
    """Search as the reference does: the whole beam."""
    beam = [([bos], 0.0)]
    for _ in range(max_steps):
        longer = _extended(log_probs_of, _is(eos, beam, ended=False))
        beam = _best(_is(eos, beam, ended=True) + longer, beam_size)
    return beam


def _greedy(log_probs_of, bos, eos, beam_size, max_steps):
    return beam_search(log_probs_of, bos, eos, 1, max_steps)


def _likeliest_first_token_only(log_probs_of, bos, eos, beam_size, max_steps):
    beam = _best(_extended(log_probs_of, [([bos], 0.0)]), 1)
    for _ in range(max_steps - 1):
        longer = _extended(log_probs_of, _is(eos, beam, ended=False))
        beam = _best(_is(eos, beam, ended=True) + longer, beam_size)
    return beam[0][0][1:], beam[0][1]


def _each_hypothesis_for_itself(log_probs_of, bos, eos, beam_size, max_steps):
    beam = _best(_extended(log_probs_of, [([bos], 0.0)]), beam_size)
    for _ in range(max_steps - 1):
        beam = [
            (prefix, score)
            if prefix[-1] == eos
            else _best(_extended(log_probs_of, [(prefix, score)]), 1)[0]
            for prefix, score in beam
        ]
    prefix, score = _best(beam, 1)[0]
    return prefix[1:], score


def _ended_ones_lost(log_probs_of, bos, eos, beam_size, max_steps):
    beam = [([bos], 0.0)]
    for _ in range(max_steps):
        going = _is(eos, beam, ended=False)
        if not going:
            break
        beam = _best(_extended(log_probs_of, going), beam_size)
    prefix, score = beam[0]
    return prefix[1:], score


def _first_end_taken(log_probs_of, bos, eos, beam_size, max_steps):
    beam = [([bos], 0.0)]
    for _ in range(max_steps):
        beam = _best(_extended(log_probs_of, beam), beam_size)
        if ended := _is(eos, beam, ended=True):
            return ended[0][0][1:], ended[0][1]
    return beam[0][0][1:], beam[0][1]


def _stopped_with_the_first_end(log_probs_of, bos, eos, beam_size, max_steps):
    beam = [([bos], 0.0)]
    for _ in range(max_steps):
        beam = _best(_extended(log_probs_of, beam), beam_size)
        if _is(eos, beam, ended=True):
            break
    return beam[0][0][1:], beam[0][1]


def _ended_ones_go_on(log_probs_of, bos, eos, beam_size, max_steps):
    beam = [([bos], 0.0)]
    for _ in range(max_steps):
        beam = _best(_extended(log_probs_of, beam), beam_size)
    return beam[0][0][1:], beam[0][1]


def _ended_ones_go_on_and_are_cut(log_probs_of, bos, eos, beam_size, max_steps):
    tokens, score = _ended_ones_go_on(log_probs_of, bos, eos, beam_size, max_steps)
    return tokens[: tokens.index(eos) + 1] if eos in tokens else tokens, score


def _ended_ones_go_on_until_one_is_best(log_probs_of, bos, eos, beam_size, max_steps):
    beam = [([bos], 0.0)]
    for _ in range(max_steps):
        beam = _best(_extended(log_probs_of, beam), beam_size)
        if beam[0][0][-1] == eos:
            break
    return beam[0][0][1:], beam[0][1]


def _ended_ones_kept_aside(log_probs_of, bos, eos, beam_size, max_steps):
    beam, ended = [([bos], 0.0)], []
    for _ in range(max_steps):
        candidates = _best(_extended(log_probs_of, beam), beam_size * 100)
        ended += _is(eos, candidates, ended=True)
        beam = _is(eos, candidates, ended=False)[:beam_size]
    prefix, score = _best(ended + beam, 1)[0]
    return prefix[1:], score


def _places_of_the_ended_filled_up(log_probs_of, bos, eos, beam_size, max_steps):
    beam, ended = [([bos], 0.0)], []
    for _ in range(max_steps):
        beam = _best(_extended(log_probs_of, beam), beam_size)
        ended += _is(eos, beam, ended=True)
        beam = _is(eos, beam, ended=False)
    prefix, score = _best(ended + beam, 1)[0]
    return prefix[1:], score


def _ended_ones_keep_their_place(log_probs_of, bos, eos, beam_size, max_steps):
    beam, ended = [([bos], 0.0)], []
    for _ in range(max_steps):
        beam = _best(_extended(log_probs_of, beam), beam_size - len(ended))
        ended += _is(eos, beam, ended=True)
        beam = _is(eos, beam, ended=False)
    prefix, score = _best(ended + beam, 1)[0]
    return prefix[1:], score


def _divided_by_the_length(log_probs_of, bos, eos, beam_size, max_steps):
    beam = _last_beam(log_probs_of, bos, eos, beam_size, max_steps)
    prefix, score = max(beam, key=lambda both: both[1] / (len(both[0]) - 1))
    return prefix[1:], score / (len(prefix) - 1)


def _chosen_by_the_mean(log_probs_of, bos, eos, beam_size, max_steps):
    beam = _last_beam(log_probs_of, bos, eos, beam_size, max_steps)
    prefix, score = max(beam, key=lambda both: both[1] / (len(both[0]) - 1))
    return prefix[1:], score


def _ended_ones_preferred(log_probs_of, bos, eos, beam_size, max_steps):
    beam = _last_beam(log_probs_of, bos, eos, beam_size, max_steps)
    prefix, score = (_is(eos, beam, ended=True) or beam)[0]
    return prefix[1:], score


def _only_ended_ones(log_probs_of, bos, eos, beam_size, max_steps):
    beam = _last_beam(log_probs_of, bos, eos, beam_size, max_steps)
    prefix, score = max(_is(eos, beam, ended=True), key=lambda both: both[1])
    return prefix[1:], score


def _beam_never_cut(log_probs_of, bos, eos, beam_size, max_steps):
    return beam_search(log_probs_of, bos, eos, 10**6, max_steps)


def _worst_kept(log_probs_of, bos, eos, beam_size, max_steps):
    beam = [([bos], 0.0)]
    for _ in range(max_steps):
        longer = _extended(log_probs_of, _is(eos, beam, ended=False))
        candidates = _is(eos, beam, ended=True) + longer
        beam = sorted(candidates, key=lambda both: both[1])[:beam_size]
    return beam[0][0][1:], beam[0][1]


def _first_candidates_kept(log_probs_of, bos, eos, beam_size, max_steps):
    beam = [([bos], 0.0)]
    for _ in range(max_steps):
        longer = _extended(log_probs_of, _is(eos, beam, ended=False))
        beam = (_is(eos, beam, ended=True) + longer)[:beam_size]
    prefix, score = _best(beam, 1)[0]
    return prefix[1:], score


def _last_of_the_beam(log_probs_of, bos, eos, beam_size, max_steps):
    prefix, score = _last_beam(log_probs_of, bos, eos, beam_size, max_steps)[-1]
    return prefix[1:], score


def _probabilities_added(log_probs_of, bos, eos, beam_size, max_steps):
    def probabilities_of(prefix):
        return log_probs_of(prefix).exp()

    return beam_search(probabilities_of, bos, eos, beam_size, max_steps)


def _last_log_probability_only(log_probs_of, bos, eos, beam_size, max_steps):
    beam = [([bos], 0.0)]
    for _ in range(max_steps):
        going = [(prefix, 0.0) for prefix, _ in _is(eos, beam, ended=False)]
        beam = _best(_is(eos, beam, ended=True) + _extended(log_probs_of, going), beam_size)
    return beam[0][0][1:], beam[0][1]


def _a_probability(log_probs_of, bos, eos, beam_size, max_steps):
    tokens, score = beam_search(log_probs_of, bos, eos, beam_size, max_steps)
    return tokens, torch.tensor(score).exp().item()


def _a_cost(log_probs_of, bos, eos, beam_size, max_steps):
    tokens, score = beam_search(log_probs_of, bos, eos, beam_size, max_steps)
    return tokens, -score


def _start_included(log_probs_of, bos, eos, beam_size, max_steps):
    tokens, score = beam_search(log_probs_of, bos, eos, beam_size, max_steps)
    return [bos, *tokens], score


def _end_left_out(log_probs_of, bos, eos, beam_size, max_steps):
    tokens, score = beam_search(log_probs_of, bos, eos, beam_size, max_steps)
    return [token for token in tokens if token != eos], score


def _start_counts_as_a_step(log_probs_of, bos, eos, beam_size, max_steps):
    return beam_search(log_probs_of, bos, eos, beam_size, max_steps - 1)


def _until_all_have_ended(log_probs_of, bos, eos, beam_size, max_steps):
    beam = [([bos], 0.0)]
    while _is(eos, beam, ended=False):
        longer = _extended(log_probs_of, _is(eos, beam, ended=False))
        beam = _best(_is(eos, beam, ended=True) + longer, beam_size)
    return beam[0][0][1:], beam[0][1]


_GO_ON = (
    "Your ended hypotheses go on: after `eos` nothing comes, so such a hypothesis is a candidate "
    "as it is, with the score that it has, and is not extended."
)
_FIRST_END = (
    "Your search stops as soon as one hypothesis has ended: another one that still goes on may "
    "be likelier. Stop when all have ended, or after `max_steps`."
)
_ASIDE = (
    "You take the hypotheses that have ended out of the beam: here they stay in it. One takes up "
    "one of the `beam_size` places, and loses it as soon as so many other candidates are better, "
    "so sort all of them together at each step."
)
_MEAN = (
    "You divide by the length, so that a long sequence wins over a likelier short one: the score "
    "here is the sum of the log-probabilities, and the largest sum wins."
)

BEAM = Exercise(
    id="13.3",
    title="Beam search",
    solution=beam_search,
    cases=_search_cases,
    run=_run_search,
    results=("answer", "tokens", "score"),
    hints=(
        "A hypothesis is a beginning and its score, `([bos], 0.0)` at first. What are the "
        "candidates of one step, if the beam holds two hypotheses and the vocabulary five tokens? "
        "What if one of the two has ended?",
        "One step: each hypothesis that goes on gives a candidate for each token, its score plus "
        "that token's log-probability; each that has ended is a candidate as it is. Put them into "
        "*one* list.",
        "Sort that list by score, the best first, and keep `beam_size` of it: that is the new "
        "beam. After `max_steps` such steps return the first, without `bos`.",
    ),
    mistakes=(
        Mistake(
            _greedy,
            "That is greedy search: you follow the likeliest token alone. Keep the `beam_size` "
            "best beginnings, since one that looks second best now may win in the end.",
        ),
        Mistake(
            _likeliest_first_token_only,
            "Your search goes on from the likeliest first token alone: after the first step the "
            "beam holds the `beam_size` likeliest first tokens.",
        ),
        Mistake(
            _each_hypothesis_for_itself,
            "Each of your hypotheses keeps its own best token, so that one never replaces another: "
            "put the candidates of all hypotheses into one list, and keep the best of that.",
        ),
        Mistake(
            _ended_ones_lost,
            "You lose the hypotheses that have ended: one that ends early may be the likeliest of "
            "all. It stays among the candidates as it is.",
        ),
        Mistake(_first_end_taken, _FIRST_END),
        Mistake(_ended_ones_go_on, _GO_ON),
        Mistake(
            _beam_never_cut,
            "Your beam is never cut to `beam_size`: you look at all sequences there are, whose "
            "number is multiplied with the vocabulary at every step.",
        ),
        Mistake(_ended_ones_kept_aside, _ASIDE),
        Mistake(_divided_by_the_length, _MEAN),
        Mistake(
            _ended_ones_preferred,
            "You prefer a hypothesis that has ended to a likelier one that was cut at `max_steps`: "
            "return the best of the beam, ended or not.",
        ),
        Mistake(
            _only_ended_ones,
            "You look among the ended hypotheses only, and there may be none after `max_steps`: "
            "return the best of the beam, ended or not.",
        ),
        Mistake(
            _worst_kept,
            "You keep the candidates with the lowest scores: a log-probability near 0 is a good "
            "one, so sort with `reverse=True`.",
        ),
        Mistake(
            _first_candidates_kept,
            "You cut the list of candidates before it is sorted: the first ones are not the best.",
        ),
        Mistake(
            _last_of_the_beam,
            "You return the last hypothesis of the beam, which is the worst in it: the best stands "
            "first.",
        ),
        Mistake(
            _probabilities_added,
            "You add up probabilities: those of a sequence are multiplied, which means that their "
            "logarithms are added. No `exp` is needed.",
        ),
        Mistake(
            _last_log_probability_only,
            "Your score is the log-probability of the last token alone: add it to the score that "
            "the hypothesis has already.",
        ),
        Mistake(
            _a_probability,
            "You return a probability: the score is its logarithm, the sum of the "
            "log-probabilities, since the product of a long sequence gets too small for a `float`.",
        ),
        Mistake(
            _a_cost,
            "Right up to its sign: the score is the sum of the log-probabilities, so a number "
            "below 0, and larger is better.",
        ),
        Mistake(
            _start_included,
            "Your tokens begin with `bos`: it was given, not found. Leave it out.",
        ),
        Mistake(
            _end_left_out,
            "You leave `eos` out: it is a token of the sequence like the others, and without it "
            "nobody sees whether the sequence has ended or was cut.",
        ),
        Mistake(
            _start_counts_as_a_step,
            "Your search stops one step early: `bos` is no step, so there are up to `max_steps` "
            "tokens after it.",
        ),
        Mistake(
            _until_all_have_ended,
            "Your search goes on until everything has ended, which may be never: stop after "
            "`max_steps` steps.",
        ),
    ),
    inherited=(
        Mistake(_stopped_with_the_first_end, _FIRST_END),
        Mistake(_ended_ones_go_on_and_are_cut, _GO_ON),
        Mistake(_ended_ones_go_on_until_one_is_best, _GO_ON),
        Mistake(_places_of_the_ended_filled_up, _ASIDE),
        Mistake(_ended_ones_keep_their_place, _ASIDE),
        Mistake(_chosen_by_the_mean, _MEAN),
    ),
)

# --- 13.4 ----------------------------------------------------------------------------------------


def masked_loss(logits: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    """Give the mean negative log-likelihood of the true targets, nothing for the padding."""
    mask = torch.arange(logits.shape[1]) < lengths[:, None]  # (batch, time)
    log_probs = logits[mask].log_softmax(dim=1)  # (true targets, vocab)
    return -log_probs.gather(1, targets[mask][:, None]).mean()


def _loss_cases(draw: Draw) -> list[Case]:
    def case(name: str, lengths: list[int], time: int, padding: int | None = None) -> Case:
        targets = draw.integers(0, vocab - 1, len(lengths), time)
        targets[0, 0] = 0  # the number that many take for the padding is a token as well
        if padding is not None:
            after = torch.arange(time) >= torch.tensor(lengths)[:, None]
            targets = targets.masked_fill(after, padding)
        logits = draw.normal(len(lengths), time, vocab, scale=2.0)
        return Case(name, {"logits": logits, "targets": targets, "lengths": torch.tensor(lengths)})

    vocab = draw.sizes(1, low=10, high=12)[0]
    a, b, c, d = sorted(draw.sizes(4, low=2, high=8))
    return [
        case("targets of different lengths", [c, a, d, b, b], d, padding=0),
        case("other tokens in the padding", [c, a, d, b], d),
        case("padding that is no token", [b, d, a], d, padding=-1),
        case("padding behind every target", [a, c, b], d, padding=vocab - 1),
        case("no padding", 3 * [c], c),
        case("targets of one token", [1, d, 1, 1, 1], d, padding=0),
        case("a batch of one", [b], d, padding=0),
    ]


def _true(logits, lengths):
    return torch.arange(logits.shape[1]) < lengths[:, None]


def _losses(logits, targets):
    """Loss of every place, (batch, time), the padding's among them."""
    return F.cross_entropy(logits.mT, targets.clamp(min=0), reduction="none")


def _padding_counts_in_the_loss(logits, targets, lengths):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def _divided_by_all_places(logits, targets, lengths):
    return (_losses(logits, targets) * _true(logits, lengths)).mean()


def _divided_by_the_batch(logits, targets, lengths):
    return (_losses(logits, targets) * _true(logits, lengths)).sum() / len(logits)


def _a_sum(logits, targets, lengths):
    return (_losses(logits, targets) * _true(logits, lengths)).sum()


def _mean_of_the_sequences_means(logits, targets, lengths):
    losses = _losses(logits, targets) * _true(logits, lengths)
    return (losses.sum(dim=1) / lengths).mean()


def _one_for_each_sequence(logits, targets, lengths):
    return (_losses(logits, targets) * _true(logits, lengths)).sum(dim=1) / lengths


def _one_for_each_token(logits, targets, lengths):
    return _losses(logits, targets) * _true(logits, lengths)


def _zero_is_ignored(logits, targets, lengths):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=0)


def _zero_is_ignored_within_the_lengths(logits, targets, lengths):
    mask = _true(logits, lengths)
    return F.cross_entropy(logits[mask], targets[mask], ignore_index=0)


def _minus_one_is_ignored(logits, targets, lengths):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)


def _last_target_left_out(logits, targets, lengths):
    return masked_loss(logits, targets, lengths - 1)


def _one_target_too_many(logits, targets, lengths):
    return masked_loss(logits, targets, lengths + 1)


def _logits_set_to_zero(logits, targets, lengths):
    mask = _true(logits, lengths)
    return F.cross_entropy((logits * mask[:, :, None]).mT, targets * mask)


def _logits_set_to_zero_and_divided_rightly(logits, targets, lengths):
    mask = _true(logits, lengths)
    losses = F.cross_entropy((logits * mask[:, :, None]).mT, targets * mask, reduction="sum")
    return losses / mask.sum()


def _mask_turned(logits, targets, lengths):
    mask = _true(logits, lengths)
    return F.cross_entropy(logits[~mask], targets[~mask])


def _length_of_the_longest(logits, targets, lengths):
    return masked_loss(logits, targets, lengths.max().expand(len(lengths)))


def _sign_forgotten(logits, targets, lengths):
    return -masked_loss(logits, targets, lengths)


def _log_softmax_forgotten(logits, targets, lengths):
    mask = _true(logits, lengths)
    return -logits[mask].gather(1, targets[mask][:, None]).mean()


def _softmax_before_the_cross_entropy(logits, targets, lengths):
    return masked_loss(logits.softmax(dim=2), targets, lengths)


def _probabilities_without_a_logarithm(logits, targets, lengths):
    mask = _true(logits, lengths)
    return -logits[mask].softmax(dim=1).gather(1, targets[mask][:, None]).mean()


def _softmax_over_time(logits, targets, lengths):
    log_probs = logits.log_softmax(dim=1)[_true(logits, lengths)]
    return -log_probs.gather(1, targets[_true(logits, lengths)][:, None]).mean()


def _a_perplexity(logits, targets, lengths):
    return masked_loss(logits, targets, lengths).exp()


def _last_true_step_only(logits, targets, lengths):
    rows = torch.arange(len(logits))
    return F.cross_entropy(logits[rows, lengths - 1], targets[rows, lengths - 1])


def _a_plain_number(logits, targets, lengths):
    return masked_loss(logits, targets, lengths).item()


def _loss_detached(logits, targets, lengths):
    return masked_loss(logits, targets, lengths).detach()


_NOT_BY_THE_LENGTHS = (
    "You tell the padding by its number: nobody has said which number it is, and it may be a "
    "token. `lengths` says where each row ends."
)
_ZERO_LOGITS = (
    "You set the logits of the padding to 0, and equal logits have a loss, too, the logarithm of "
    "the vocabulary's size: leave the *losses* of the padding out, not its logits."
)

LOSS = Exercise(
    id="13.4",
    title="A loss without the padding",
    solution=masked_loss,
    cases=_loss_cases,
    results=("loss",),
    axes={
        "logits": ("batch", "time", "vocab"),
        "targets": ("batch", "time"),
        "lengths": ("batch",),
    },
    gradients=True,
    hints=(
        "Which places count? `torch.arange(time) < lengths[:, None]` is true there, (batch, time). "
        "How many of them are there?",
        "`logits[mask]` is (true targets, vocab), `targets[mask]` (true targets,): the padding is "
        "gone before anything is computed.",
        "Then it is the loss that you know: `log_softmax` over the vocabulary, the entry of each "
        "target with `gather`, the mean, a minus sign. Or `torch.nn.functional.cross_entropy`.",
    ),
    mistakes=(
        Mistake(
            _padding_counts_in_the_loss,
            "Your loss counts the padding: take the places before `lengths` only.",
        ),
        Mistake(
            _divided_by_all_places,
            "You divide by all places, the padding's among them, so that a batch with much padding "
            "has a small loss: divide by the number of true targets, `lengths.sum()`.",
        ),
        Mistake(
            _divided_by_the_batch,
            "You divide by the number of sequences: it is a mean over targets, so divide by "
            "`lengths.sum()`.",
        ),
        Mistake(_a_sum, "You give the sum: divide by the number of true targets."),
        Mistake(
            _mean_of_the_sequences_means,
            "You take the mean of each sequence, and the mean of those: then a token of a short "
            "sequence counts for more than one of a long sequence. All true targets count alike.",
        ),
        Mistake(
            _one_for_each_sequence,
            "You give a loss for each sequence: one number is asked for, the mean over all true "
            "targets.",
        ),
        Mistake(
            _one_for_each_token,
            "You give the loss of each token: their sum, divided by the number of true targets, is "
            "asked for.",
        ),
        Mistake(_zero_is_ignored, _NOT_BY_THE_LENGTHS),
        Mistake(
            _zero_is_ignored_within_the_lengths,
            "You leave out the targets that are 0: within the lengths it is a token like all "
            "others.",
        ),
        Mistake(
            _last_target_left_out,
            "You leave out the last true target of each row, which is its end: compare with `<`, "
            "since steps count from 0.",
        ),
        Mistake(
            _one_target_too_many,
            "One place after the end counts in each row: compare with `<`, since steps count from "
            "0.",
        ),
        Mistake(_logits_set_to_zero, _ZERO_LOGITS),
        Mistake(
            _mask_turned,
            "Your mask is turned round: the loss is that of the padding alone.",
        ),
        Mistake(
            _length_of_the_longest,
            "You cut all rows at the length of the longest: each row has its own.",
        ),
        Mistake(_sign_forgotten, "The minus sign is missing: a loss falls as the model learns."),
        Mistake(
            _log_softmax_forgotten,
            "You take logits for log-probabilities: `log_softmax` over the vocabulary comes first.",
        ),
        Mistake(
            _softmax_before_the_cross_entropy,
            "There is a softmax too many: `cross_entropy` and `log_softmax` take the logits "
            "themselves.",
        ),
        Mistake(
            _probabilities_without_a_logarithm,
            "You take the mean of the probabilities: the logarithm is missing.",
        ),
        Mistake(
            _softmax_over_time,
            "Your softmax goes over the steps: the probabilities of one step sum to 1 over the "
            "vocabulary, the last axis.",
        ),
        Mistake(
            _a_perplexity,
            "You give the perplexity: the loss is its logarithm.",
        ),
        Mistake(
            _last_true_step_only,
            "Your loss looks at the last true target of each row only: all of them count.",
        ),
        Mistake(
            _a_plain_number,
            "You give a plain number, a `float`: through it no gradient flows. Leave out `item()`.",
        ),
        Mistake(
            _loss_detached,
            "Right forwards, but the loss is cut off from the logits, so that nothing can learn "
            "from it: is there a `detach` or a `no_grad`?",
        ),
    ),
    inherited=(
        Mistake(_minus_one_is_ignored, _NOT_BY_THE_LENGTHS),
        Mistake(_logits_set_to_zero_and_divided_rightly, _ZERO_LOGITS),
    ),
)

EXERCISES = (PAIRS, STEP, BEAM, LOSS)
