"""The recorded runs of chapter 13: English numbers to German letters, through one vector."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Sequence
from functools import cache
from itertools import islice
from time import process_time
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from unrolled.data import PairBatch, PairBatches, TextPairs, Tokenizer, number_name, number_words
from unrolled.decoding import greedy
from unrolled.layers import GRU, final_hidden, map_state, reverse_steps, step_mask
from unrolled.metrics import accuracy, exact_match
from unrolled.models import (
    Decoder,
    DecoderState,
    Encoder,
    Seq2Seq,
    masked_cross_entropy,
    seq2seq_loss,
)
from unrolled.runs.recipe import count_parameters
from unrolled.runs.registry import experiment, fingerprint
from unrolled.training import Loss, evaluate, train
from unrolled.translator import translate

EMBEDDING, SUMMARY = 32, 128
#: Hidden units with which the decoders have the same number of weights, within 1.2 %.
HIDDEN = {"first state": 156, "every step": 128, "both": 115}
LARGEST = 99_999
MAX_STEPS = 64  # the longest name has 53 letters
#: Share of a training in which the learning rate goes up.
WARM_UP = 0.1
#: Letters after which it is measured what is left of a first state.
STEPS_KEPT = (1, 5, 10, 20, 40)


class NumberProblem(NamedTuple):
    """Pairs to learn from, pairs to be tested with, and what cuts each side into tokens."""

    train: TextPairs
    held_out: TextPairs
    source: Tokenizer
    target: Tokenizer

    def batches(self, batch: int) -> PairBatches:
        """Give the batches of a training."""
        return PairBatches(self.train, self.source, self.target, batch)

    def tested(self) -> PairBatches:
        """Give the held-out pairs in large batches, in one order."""
        return PairBatches(self.held_out, self.source, self.target, 250, shuffle=False)


@cache
def number_problem() -> NumberProblem:
    """Give the task of the chapter: English words of numbers below 100,000 to German letters.

    Examples
    --------
    >>> problem = number_problem()
    >>> len(problem.train.source), len(problem.held_out.source)
    (20000, 1000)
    >>> problem.source.by, problem.target.by
    ('words', 'letters')
    """
    train, held_out = number_words("en", "de", largest=LARGEST)
    source, target = Tokenizer(train.source, by="words"), Tokenizer(train.target, by="letters")
    return NumberProblem(train, held_out, source, target)


def make_encoder(one_way: bool = False) -> Encoder:
    """Make the encoder of all models: one layer, in both directions or in ``one_way``."""
    units = SUMMARY if one_way else SUMMARY // 2
    layer = GRU(EMBEDDING, units, bidirectional=not one_way)
    return Encoder(number_problem().source.vocab_size, layer=layer)


def make_model(
    summary: str = "last",
    use: str = "every step",
    *,
    hidden: int | None = None,
    one_way: bool = False,
    update_bias: float = 0.0,
    widened: float = 1.0,
    normalised: bool = False,
) -> Seq2Seq:
    """Make a model for the task of the chapter.

    Parameters
    ----------
    summary, use
        How the context is made and where it goes, as :class:`~unrolled.models.Decoder` takes them.
    hidden
        Units of the decoder; without, so many that all models have about as many weights.
    one_way
        Whether the encoder reads from left to right only.
    update_bias
        Is added to the bias of the decoder's update gate: above 0, a state stays longer.
    widened
        The input weights of encoder and decoder are multiplied by this.
    normalised
        Whether the summary is normalised before it is made a first state.

    Examples
    --------
    >>> model = make_model("mean", "every step")
    >>> model.decoder.summary, model.decoder.layer.output_size
    ('mean', 128)
    """
    encoder = make_encoder(one_way)
    beside = 0 if use == "first state" else encoder.output_size
    decoder = Decoder(
        number_problem().target.vocab_size,
        encoder=encoder,
        layer=GRU(EMBEDDING + beside, hidden or HIDDEN[use]),
        embedding_size=EMBEDDING,
        summary=summary,
        use=use,
    )
    with torch.no_grad():
        for name, weight in [*encoder.named_parameters(), *decoder.named_parameters()]:
            if name.endswith("weight_ih"):
                weight *= widened
        if update_bias:
            cell = decoder.layer.layers[0].cell
            cell.bias[cell.hidden_size : 2 * cell.hidden_size] += update_bias
    if normalised:
        decoder.bridge = nn.Sequential(nn.LayerNorm(encoder.output_size), decoder.bridge)
    return Seq2Seq(encoder, decoder)


def say(model: Seq2Seq, texts: Sequence[str], **options: Any) -> list[str]:
    """Give what a model says to English numbers; ``options`` are those of ``translate``."""
    problem = number_problem()
    options = {"max_steps": MAX_STEPS} | options
    return translate(model, texts, problem.source, problem.target, **options)


# --- Failures, read one by one -------------------------------------------------------------------


class Failure(NamedTuple):
    """A wrong translation, and what is wrong with it."""

    kind: str
    source: str
    expected: str
    said: str


KINDS = (
    "units and tens swapped",
    "a piece missing",
    "a piece repeated",
    "another number",
    "no German number",
)


@cache
def _below_thousand() -> dict[str, int]:
    return {number_name(number, "de"): number for number in range(1000)}


def german_number(name: str) -> int | None:
    """Give the number below 1,000,000 whose German name this is, or ``None``.

    Examples
    --------
    >>> german_number("dreiundsiebzigtausendfünf"), german_number("siebzigunddrei")
    (73005, None)
    """
    front, thousand, rest = name.rpartition("tausend")
    thousands = _below_thousand().get(f"{front}s" if front.endswith("ein") else front)
    below = _below_thousand().get(rest) if rest else 0
    if not thousand:
        return _below_thousand().get(name)
    if thousands is None or below is None:
        return None
    number = 1000 * thousands + below
    return number if number_name(number, "de") == name else None


def kind_of_error(said: str, expected: str) -> str:
    """Say what is wrong with a German number, as one of ``KINDS``: the first that fits.

    *Missing* and *repeated* are pieces such as "und", "sieb" or "tausend"; the others are there, in
    the same order.

    Examples
    --------
    >>> kind_of_error("siebenunddreißig", "dreiundsiebzig")
    'units and tens swapped'
    >>> kind_of_error("dreisiebzig", "dreiundsiebzig")
    'a piece missing'
    """
    cut = Tokenizer([expected], by="number pieces").cut
    pieces, wanted = cut(said), cut(expected)
    number, right = german_number(said), german_number(expected)
    if number is not None and right is not None and _swapped(number, right):
        return KINDS[0]
    if len(pieces) < len(wanted) and _within(pieces, wanted):
        return KINDS[1]
    if len(pieces) > len(wanted) and _within(wanted, pieces) and set(pieces) == set(wanted):
        return KINDS[2]
    return KINDS[3] if number is not None else KINDS[4]


def _swapped(number: int, right: int) -> bool:
    """Tell whether two numbers differ in nothing but tens and units that have changed places."""
    twins = [
        (a // scale % 100, b // scale % 100)
        for scale in (1, 1000)
        for a, b in [(number, right)]
        if a // scale % 100 != b // scale % 100
    ]
    same = number // 100 % 10 == right // 100 % 10 and number // 100_000 == right // 100_000
    return same and bool(twins) and all(a == 10 * (b % 10) + b // 10 for a, b in twins)


def _within(some: Sequence[str], all_of: Sequence[str]) -> bool:
    """Tell whether ``some`` is what is left of ``all_of`` when pieces are taken out of it."""
    rest = iter(all_of)
    return all(piece in rest for piece in some)


def errors(source: Sequence[str], said: Sequence[str], expected: Sequence[str]) -> list[Failure]:
    """List the wrong ones of many translations, the most frequent kind first.

    Examples
    --------
    >>> english = ["seventy three", "one hundred", "five"]
    >>> german = ["dreiundsiebzig", "einhundert", "fünf"]
    >>> for failure in errors(english, ["dreisiebzig", "hundert", "fünf"], german):
    ...     print(failure)
    Failure(kind='a piece missing', source='seventy three', expected='dreiundsiebzig', \
said='dreisiebzig')
    Failure(kind='a piece missing', source='one hundred', expected='einhundert', said='hundert')
    """
    failures = [
        Failure(kind_of_error(ours, theirs), text, theirs, ours)
        for text, ours, theirs in zip(source, said, expected, strict=True)
        if ours != theirs
    ]
    often = Counter(failure.kind for failure in failures)
    return sorted(failures, key=lambda failure: (-often[failure.kind], failure.kind))


# --- What is measured ----------------------------------------------------------------------------


def exchanged(batch: PairBatch) -> PairBatch:
    """Give a batch in which each target has the source of another."""
    lengths = batch.source_lengths.roll(1, dims=0)
    return batch._replace(source=batch.source.roll(1, dims=0), source_lengths=lengths)


def letters_right(model: Seq2Seq, pairs: PairBatches, *, other: bool = False) -> float:
    """Give the share of letters that are the likeliest where the true ones before are given.

    With ``other`` the source is that of another pair: what is right then, German alone gives.
    """
    right = count = 0.0
    with torch.no_grad():
        for batch in pairs:
            asked = exchanged(batch) if other else batch
            logits = model(asked.source, asked.source_lengths, asked.target_in)
            right += batch.weight * accuracy(logits, batch.target_out, batch.mask)
            count += batch.weight
    return right / count


def bits_across(model: Seq2Seq, pairs: PairBatches) -> float:
    """Give at least how many bits of a number get from the source to the target.

    All of it are log2(100,000) = 16.6 bits; the loss of the letters of a name is what is missing.
    """
    letters = sum(batch.weight for batch in pairs) / len(pairs.sources)
    nats = evaluate(model, pairs, loss=seq2seq_loss) * letters
    return math.log2(LARGEST + 1) - nats / math.log(2)


def parts(name: str) -> tuple[str, str, str]:
    """Cut a German number into its thousands, its hundreds, and the rest.

    Examples
    --------
    >>> parts("elftausendzweihundertsieben"), parts("neun")
    (('elf', 'zwei', 'sieben'), ('', '', 'neun'))
    """
    thousands, _, below = name.rpartition("tausend")
    hundreds, _, rest = below.rpartition("hundert")
    return thousands, hundreds, rest


def parts_right(said: Sequence[str], expected: Sequence[str]) -> list[float]:
    """Give how often thousands, hundreds, and tens with units are right."""
    pairs = [(parts(a), parts(b)) for a, b in zip(said, expected, strict=True)]
    return [sum(a[part] == b[part] for a, b in pairs) / len(pairs) for part in range(3)]


def first_wrong(said: Sequence[str], expected: Sequence[str]) -> list[float]:
    """Give the share of the wrong names whose first wrong letter is in each quarter of the name."""
    counts = [0] * 4
    for ours, theirs in zip(said, expected, strict=True):
        if ours != theirs:
            ours, theirs = f"{ours}.", f"{theirs}."  # the end is a letter too
            place = next(i for i, pair in enumerate(zip(ours, theirs)) if pair[0] != pair[1])  # noqa: B905
            counts[4 * place // len(theirs)] += 1
    return [count / max(sum(counts), 1) for count in counts]


def after_slip(model: Seq2Seq, slip: str) -> float:
    """Give how often what follows the thousands is right, after thousands that are given.

    Parameters
    ----------
    model
        Reads the source, then the letters up to and with "tausend"; from there on its own.
    slip
        ``"none"``: the letters are the right ones; ``"number"``: they are those of the next
        thousand; ``"letter"``: the first one is wrong.
    """
    problem = number_problem()
    groups: dict[int, list[tuple[str, Tensor, str]]] = {}
    for text, name in zip(*problem.held_out, strict=True):
        front, thousand, rest = name.rpartition("tausend")
        if not front or not rest:
            continue
        begin = front + thousand
        if slip == "number":
            begin = number_name(1000 * (german_number(begin) // 1000 % 99 + 1), "de")
        elif slip == "letter":
            begin = ("z" if begin[0] != "z" else "d") + begin[1:]
        tokens = problem.target.encode([begin])[0][:-1]  # without the end
        groups.setdefault(len(tokens), []).append((text, tokens, rest))
    said, expected = [], []
    for rows in groups.values():
        texts, begins, rests = zip(*rows, strict=True)
        sources = problem.source.encode(texts)
        lengths = torch.tensor([len(tokens) for tokens in sources])
        padded = pad_sequence(sources, batch_first=True)
        read = torch.stack(begins)  # (batch, letters)
        start = torch.full_like(read[:, :1], problem.target.bos)
        with torch.no_grad():
            state = model.start(padded, lengths)
            _, state = model.decoder.read(torch.cat([start, read[:, :-1]], dim=1), state)
        tokens = greedy(
            model.step, state, bos=read[:, -1], eos=problem.target.eos, max_steps=MAX_STEPS
        )
        said += [problem.target.text(row) for row in tokens]
        expected += rests
    return exact_match(said, expected)


def kept(model: Seq2Seq) -> list[float]:
    """Give what is left of the difference between two first states, after some letters.

    The decoder reads the same letters, with the same context, from two states: those that it has
    after the start token of two sources. 1 is as different as at the beginning, 0 is the same. The
    numbers of letters are ``STEPS_KEPT``.
    """
    decoder = model.decoder
    batch = list(number_problem().tested())[-1]  # the longest
    left = []
    with torch.no_grad():
        start = model.start(batch.source, batch.source_lengths)
        _, (one, memory) = decoder.read(batch.target_in[:, :1], start)
        other = map_state(lambda h: h.roll(1, dims=0), one)
        begin = torch.dist(final_hidden(one), final_hidden(other))
        for t in range(1, max(STEPS_KEPT) + 1):
            letters = batch.target_in[:, t : t + 1]
            _, (one, _) = decoder.read(letters, DecoderState(one, memory))
            _, (other, _) = decoder.read(letters, DecoderState(other, memory))
            if t in STEPS_KEPT:
                left.append((torch.dist(final_hidden(one), final_hidden(other)) / begin).item())
    return left


def steps_to(curve: Sequence[Sequence[float]], share: float) -> list[float] | None:
    """Give the first step and second of a curve ``(step, exact, seconds, ...)`` with a share."""
    return next(([step, seconds] for step, exact, seconds, *_ in curve if exact >= share), None)


def learn(
    model: Seq2Seq,
    seed: int,
    *,
    steps: int,
    batch: int,
    learning_rate: float,
    every: int,
    loss: Loss = seq2seq_loss,
) -> Generator[float, None, dict[str, Any]]:
    """Train a model on the task of the chapter, and measure it; its seconds are those of training.

    Returns
    -------
    dict
        ``"curve"``: steps, exact match on 300 held-out numbers, seconds, bits across; ``"steps
        to"``: for 50 %, 90 % and 99 %, the first measured step and its seconds; the others at the
        end, on all 1,000.
    """
    problem = number_problem()
    some, measuring = problem.held_out.first(300), 0.0
    forced = PairBatches(some, problem.source, problem.target, 250, shuffle=False)
    kept_before, begin = kept(model), process_time()

    def validate(model: Seq2Seq) -> dict[str, float]:
        nonlocal measuring
        now = process_time()
        exact = exact_match(say(model, some.source), some.target)
        seconds = now - begin - measuring
        found = {"exact": exact, "seconds": seconds, "bits": bits_across(model, forced)}
        measuring += process_time() - now
        return found

    optimizer = Adam(model.parameters(), learning_rate)
    history = yield from train(
        model,
        problem.batches(batch),
        loss=loss,
        steps=steps,
        optimizer=optimizer,
        scheduler=OneCycleLR(
            optimizer, learning_rate, steps, pct_start=WARM_UP, cycle_momentum=False
        ),
        validate=validate,
        every=every,
        seed=seed,
    )
    model.cpu().eval()
    steps_measured = [step for step, _ in history.validation["exact"]]
    columns = [[value for _, value in line] for line in history.validation.values()]
    curve = [list(row) for row in zip(steps_measured, *columns, strict=True)]
    english, german = problem.held_out
    said, tested = say(model, english), problem.tested()
    wrong = errors(english, said, german)
    return {
        "curve": curve,
        "steps to": {str(share): steps_to(curve, share) for share in (0.5, 0.9, 0.99)},
        "exact": exact_match(said, german),
        "loss": evaluate(model, tested, loss=seq2seq_loss),
        "bits": bits_across(model, tested),
        "letters": letters_right(model, tested),
        "letters, other sources": letters_right(model, tested, other=True),
        "parts right": parts_right(said, german),
        "first wrong": first_wrong(said, german),
        "kept": {"before": kept_before, "after": kept(model)},
        "different": len(set(said)),
        "kinds": dict(Counter(failure.kind for failure in wrong)),
        "wrong": [list(failure) for failure in wrong[:40]],
        "parameters": count_parameters(model),
    }


def _fingerprint() -> str:
    (batch, *_) = number_problem().tested()
    return fingerprint(*batch)


# --- How the context is made and used ------------------------------------------------------------

BUDGET = {"steps": 250, "batch": 64, "learning_rate": 1e-2, "every": 50}


def _learn(
    seed: int,
    *,
    steps: int,
    batch: int,
    learning_rate: float,
    every: int,
    loss: Loss = seq2seq_loss,
    **options: Any,
) -> Generator[float, None, tuple[Seq2Seq, dict[str, Any]]]:
    """Make a model with ``options`` of :func:`make_model`, train it, and give what was found."""
    torch.manual_seed(seed)
    model = make_model(**options)
    found = yield from learn(
        model,
        seed,
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        every=every,
        loss=loss,
    )
    return model, found


def _named(summary: str, use: str, update_bias: float = 0.0) -> tuple[str, dict[str, Any]]:
    """Give the name of a model in a table, and its options."""
    name = f"{summary}, {use}" + (f", bias {update_bias:.0f}" if update_bias else "")
    return name, {"summary": summary, "use": use, "update_bias": update_bias}


@experiment(
    variants=dict(
        [
            _named("last", "every step"),
            _named("transformed", "every step"),
            _named("mean", "every step"),
            _named("transformed mean", "every step"),
            _named("last", "both"),
            _named("last", "first state"),
            _named("last", "every step", 3.0),
            _named("last", "first state", 3.0),
        ]
    ),
    seeds=range(5),
    settings=BUDGET,
    data=_fingerprint,
)
def contexts(seed: int, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """How a context is best made and used, at one budget."""
    _, found = yield from _learn(seed, **settings)
    return found


@experiment(
    variants={
        "normalised": {"normalised": True},
        "input weights times 4": {"widened": 4.0},
        "bias 3, input weights times 4": {"update_bias": 3.0, "widened": 4.0},
        "three times the steps": {"steps": 750},
        "bias 3, three times the steps": {"update_bias": 3.0, "steps": 750},
    },
    seeds=range(5),
    settings=BUDGET | {"summary": "last", "use": "first state"},
    data=_fingerprint,
)
def first_state(seed: int, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """Find out what helps a decoder that is shown the context only at its beginning."""
    _, found = yield from _learn(seed, **settings)
    return found


# --- What is read in training --------------------------------------------------------------------


class OwnLetters:
    """A loss for which the decoder reads some of its own letters in place of the true ones [1]_.

    Called as :func:`~unrolled.models.seq2seq_loss` is. An own letter is the likeliest one.

    Parameters
    ----------
    first, last
        Share of own letters at the first call and from ``calls`` calls on; between, it goes in a
        straight line.
    calls
        Calls until the last share.

    References
    ----------
    .. [1] S. Bengio, O. Vinyals, N. Jaitly, N. Shazeer, "Scheduled sampling for sequence prediction
       with recurrent neural networks", 2015, arXiv:1506.03099.
    """

    def __init__(self, first: float, last: float, calls: int) -> None:
        self.first, self.last, self.calls, self.called = first, last, calls, 0

    def __call__(self, model: Seq2Seq, batch: PairBatch, state: None) -> tuple[Tensor, None]:
        """Give the mean cross-entropy of the letters of a batch."""
        done = min(1.0, self.called / self.calls)
        share = self.first + done * (self.last - self.first)
        self.called += 1
        going = model.start(batch.source, batch.source_lengths)
        tokens, said = batch.target_in[:, 0], []
        for true in [*batch.target_in.unbind(dim=1)[1:], None]:
            logits, going = model.decoder.read(tokens[:, None], going)  # (batch, 1, vocab)
            said.append(logits)
            if true is not None:
                own = torch.rand(len(true)) < share
                tokens = torch.where(own, logits[:, 0].argmax(dim=1), true)
        return masked_cross_entropy(torch.cat(said, dim=1), batch.target_out, batch.mask), state


@experiment(
    variants={
        "true letters": {"last": 0.0},
        "up to half own letters": {"last": 0.5},
        "more and more own letters": {"last": 1.0},
        "own letters": {"first": 1.0, "last": 1.0},
    },
    seeds=range(3),
    settings=BUDGET | {"steps": 200, "update_bias": 3.0, "first": 0.0},
    data=_fingerprint,
)
def teacher_forcing(
    seed: int, first: float, last: float, **settings: Any
) -> Generator[float, None, dict[str, Any]]:
    """Say what a decoder should read in training: true letters, its own, more and more own."""
    loss = OwnLetters(first, last, settings["steps"]) if first or last else seq2seq_loss
    model, found = yield from _learn(seed, loss=loss, **settings)
    slips = ("none", "number", "letter")
    return found | {"after a slip": {slip: after_slip(model, slip) for slip in slips}}


# --- The source backwards ------------------------------------------------------------------------


def backwards(model: Seq2Seq) -> Seq2Seq:
    """Let the encoder of a model read its sources from the end, and give the model."""

    def turn(encoder: Encoder, given: tuple) -> tuple:
        tokens, lengths = given
        return reverse_steps(tokens, lengths), lengths

    model.encoder.register_forward_pre_hook(turn)
    return model


@experiment(
    variants={
        f"{order}, bias {bias}": {"reverse": order == "backwards", "update_bias": float(bias)}
        for bias in (0, 3)
        for order in ("forwards", "backwards")
    },
    seeds=range(3),
    settings=BUDGET | {"steps": 200, "use": "first state", "one_way": True, "hidden": SUMMARY},
    data=_fingerprint,
)
def reversing(seed: int, reverse: bool, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """Whether a decoder does better if its encoder reads the source backwards."""
    budget = {key: settings.pop(key) for key in BUDGET}
    torch.manual_seed(seed)
    model = make_model(**settings)
    return (yield from learn(backwards(model) if reverse else model, seed, **budget))


# --- Beams ---------------------------------------------------------------------------------------


def log_probabilities(model: Seq2Seq, texts: Sequence[str], names: Sequence[str]) -> list[float]:
    """Give the log-probability that a model gives to each of some translations, in nats."""
    problem = number_problem()
    sources, targets = problem.source.encode(texts), problem.target.encode(names)
    lengths, target_lengths = (torch.tensor([*map(len, side)]) for side in (sources, targets))
    target_out = pad_sequence(targets, batch_first=True)
    target_in = target_out.roll(1, dims=1)
    target_in[:, 0] = problem.target.bos
    with torch.no_grad():
        logits = model(pad_sequence(sources, batch_first=True), lengths, target_in)
    each = logits.log_softmax(2).gather(2, target_out[:, :, None])[:, :, 0]  # (batch, time)
    return (each * step_mask(target_lengths, each.shape[1])).sum(dim=1).tolist()


def compare_beams(
    model: Seq2Seq, sizes: Sequence[int], penalties: Sequence[float]
) -> dict[str, Any]:
    """Say what beams find that greedy search does not.

    Returns
    -------
    dict
        For each size and length penalty: ``"exact"``; ``"likelier"``, the share of the held-out
        numbers where the beam finds a likelier name than greedy search, ``"less likely"`` likewise;
        of the former, ``"mended"`` and ``"spoilt"``, the shares where the beam alone is right, or
        greedy search alone; of the wrong ones, ``"truth likelier"``, the share where the true name
        is likelier than what was said; ``"letters"``, the mean length; ``"seconds"``.
    """
    english, german = number_problem().held_out
    truth = log_probabilities(model, english, german)
    found: dict[str, Any] = {}
    greedy_said, greedy_scores = say(model, english), []
    for size in sizes:
        for penalty in penalties:
            begin = process_time()
            said = say(model, english, beam_size=size, length_penalty=penalty)
            seconds = process_time() - begin
            scores = log_probabilities(model, english, said)
            greedy_scores = greedy_scores or log_probabilities(model, english, greedy_said)
            better = [a > b + 1e-4 for a, b in zip(scores, greedy_scores, strict=True)]
            worse = [a < b - 1e-4 for a, b in zip(scores, greedy_scores, strict=True)]
            right = [a == b for a, b in zip(said, german, strict=True)]
            before = [a == b for a, b in zip(greedy_said, german, strict=True)]
            wrong = [row for row, fine in enumerate(right) if not fine]
            changed = [row for row, more in enumerate(better) if more]  # so not both are right
            missed = [a > b + 1e-4 for a, b in zip(truth, scores, strict=True)]
            found[f"{size}, penalty {penalty:g}"] = {
                "exact": exact_match(said, german),
                "likelier": len(changed) / len(said),
                "less likely": sum(worse) / len(said),
                "mended": _share(changed, right),
                "spoilt": _share(changed, before),
                "truth likelier": _share(wrong, missed),
                "letters": sum(map(len, said)) / len(said),
                "seconds": seconds,
            }
    return found


def _share(rows: Sequence[int], holds: Sequence[bool]) -> float:
    return sum(holds[row] for row in rows) / max(len(rows), 1)


@experiment(
    variants={"half-trained": {"stop": 125}, "trained": {"stop": BUDGET["steps"]}},
    seeds=range(3),
    settings=BUDGET
    | {
        "summary": "last",
        "use": "every step",
        "sizes": [2, 4, 8],
        "penalties": [0, 1],
    },
    data=_fingerprint,
)
def beam(
    seed: int, stop: int, sizes: Sequence[int], penalties: Sequence[float], **settings: Any
) -> Generator[float, None, dict[str, Any]]:
    """Say what a beam finds that greedy search does not, half trained and trained."""
    budget = {key: settings.pop(key) for key in BUDGET}
    torch.manual_seed(seed)
    model = make_model(**settings)
    training = learn(model, seed, **budget)
    yield from islice(training, stop)
    training.close()
    model.eval()
    return compare_beams(model, [1, *sizes], penalties)
