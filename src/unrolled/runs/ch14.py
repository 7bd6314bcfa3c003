"""The recorded runs of chapter 14: where a decoder looks, what it gains, and what weights tell."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from statistics import fmean
from time import process_time
from typing import Any, NamedTuple

import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.utils.rnn import pad_sequence
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from unrolled.attention import (
    AdditiveAttention,
    Attention,
    DotProductAttention,
    GeneralAttention,
    masked_softmax,
)
from unrolled.checking import check_choice
from unrolled.data import PairBatch, PairBatches, TextPairs, Tokenizer, number_name
from unrolled.decoding import greedy
from unrolled.layers import GRU
from unrolled.metrics import exact_match
from unrolled.models import (
    AttentionDecoder,
    Decoder,
    DecoderState,
    Encoded,
    Encoder,
    Seq2Seq,
    seq2seq_loss,
)
from unrolled.runs import ch13
from unrolled.runs.ch13 import EMBEDDING, MAX_STEPS, SUMMARY, number_problem, say
from unrolled.runs.recipe import count_parameters
from unrolled.runs.registry import experiment, fingerprint
from unrolled.runs.turns import timed_turns
from unrolled.training import train
from unrolled.translator import translate

#: Units of a decoder with attention: a dot product needs as many as the encoder has outputs.
UNITS = SUMMARY
SCORES = ("dot", "plain dot", "general", "additive")


# --- Models --------------------------------------------------------------------------------------


def make_attention(score: str) -> Attention:
    """Make an attention by the name of its score, one of ``SCORES``."""
    check_choice(SCORES, score=score)
    if score == "general":
        return GeneralAttention(UNITS, SUMMARY)
    if score == "additive":
        return AdditiveAttention(UNITS, SUMMARY, SUMMARY)
    return DotProductAttention(scaled=score == "dot")


def attention_decoder(
    vocab_size: int, encoder: Encoder, attention: Attention, look: str
) -> AttentionDecoder:
    """Make a decoder with attention, of the sizes of the chapter."""
    beside = encoder.output_size if look == "before" else 0
    return AttentionDecoder(
        vocab_size,
        encoder=encoder,
        layer=GRU(EMBEDDING + beside, UNITS),
        embedding_size=EMBEDDING,
        attention=attention,
        look=look,
    )


def make_model(score: str = "dot", look: str = "after") -> Seq2Seq:
    """Make a model with attention for the number task of chapter 13, on that chapter's encoder.

    Examples
    --------
    >>> model = make_model("additive", look="before")
    >>> type(model.decoder.attention).__name__, model.decoder.look
    ('AdditiveAttention', 'before')
    """
    encoder = ch13.make_encoder()
    attention, letters = make_attention(score), number_problem().target.vocab_size
    return Seq2Seq(encoder, attention_decoder(letters, encoder, attention, look))


class LocationAttention(Attention):
    """Weights out of the query alone [1]_: where to look is said without looking at the source.

    Parameters
    ----------
    query_size
        Numbers in a query.
    places
        Steps that a source has at most.

    References
    ----------
    .. [1] M.-T. Luong, H. Pham, C. D. Manning, "Effective approaches to attention-based neural
       machine translation", 2015, arXiv:1508.04025, section 3.1 (location).
    """

    def __init__(self, query_size: int, places: int) -> None:
        super().__init__()
        self.weight = nn.Linear(query_size, places, bias=False)

    def score(self, query: Tensor, projected: Tensor) -> Tensor:
        """Give the scores ``(batch, queries, steps)``."""
        return self.weight(query)[:, :, : projected.shape[1]]


class OwnStates(AttentionDecoder):
    """A decoder whose weights mix its own states so far, as a popular drawing has it.

    Of the source it knows what is in its first state. The states that it may look at are those up
    to the one that asks.
    """

    def start(self, encoded: Encoded) -> DecoderState:
        """Give the state before the start token: nothing to look at yet."""
        first = super().start(encoded).layer
        return DecoderState(first, encoded.outputs[:, :0])

    def attend(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, Tensor, DecoderState]:
        """Give logits, weights ``(batch, time, states)`` and the new state."""
        outputs, new = self.layer(self.embedding(tokens), state.layer)
        own = torch.cat([state.memory, outputs], dim=1)  # (batch, states, units)
        earlier = state.memory.shape[1]
        mask = torch.ones(tokens.shape[1], own.shape[1], dtype=torch.bool).tril(earlier)
        context, weights = self.attention.look(outputs, self.attention.project(own), own, mask)
        seen = torch.tanh(self.combine(torch.cat([outputs, context], dim=2)))
        return self.read_out(seen), weights, DecoderState(new, own)


# --- Where it looks ------------------------------------------------------------------------------


class Crossing(NamedTuple):
    """Units and tens that change places: letters of the German name, words of the English one."""

    units: slice
    tens: slice
    units_word: int
    tens_word: int


def crossings(english: str, german: str) -> list[Crossing]:
    """Find where units and tens of a number below 100,000 change places.

    Examples
    --------
    >>> english, german = "two thousand and seventy three", "zweitausenddreiundsiebzig"
    >>> (found,) = crossings(english, german)
    >>> german[found.units], english.split()[found.units_word]
    ('drei', 'three')
    >>> german[found.tens], english.split()[found.tens_word]
    ('siebzig', 'seventy')
    """
    words = english.split()
    thousands, _, rest = ch13.parts(german)
    ends = [(thousands, 0, words.index("thousand"))] if thousands else []
    ends.append((rest, len(german) - len(rest), len(words)))
    found = []
    for name, begin, end in ends:
        units, und, tens = name.partition("und")
        if und:
            first = begin + len(units) + len(und)
            letters = slice(begin, begin + len(units)), slice(first, first + len(tens))
            found.append(Crossing(*letters, end - 1, end - 2))
    return found


def one_batch(pairs: TextPairs) -> PairBatch:
    """Give pairs of the number task as one batch, in their order."""
    problem = number_problem()
    batches = PairBatches(pairs, problem.source, problem.target, len(pairs.source), shuffle=False)
    return batches.batch_of(torch.arange(len(pairs.source)))


def alignments(model: Seq2Seq, pairs: TextPairs) -> Tensor:
    """Give the weights ``(pairs, letters, words)`` with which the true letters are written."""
    batch = one_batch(pairs)
    with torch.no_grad():
        return model.alignment(batch.source, batch.source_lengths, batch.target_in)


def where_looked(model: Seq2Seq, pairs: TextPairs) -> dict[str, Any]:
    """Measure where a model looks while it writes units and tens that change places.

    Returns
    -------
    dict
        Tables with a row for the letters of the units and one for those of the tens, and four
        columns: the units' word, the tens' word, the word before these two (nothing where there is
        none), and what stands after them. ``"weight"``: the mean weight there; ``"largest"``: the
        share of letters whose largest weight is there; ``"first letter, weight"`` and ``"first
        letter, largest"``: the same for the first letter of each, which has to be known, where most
        others follow. ``"uniform"``: what each weight would be if all were equal.
    """
    weights = alignments(model, pairs)  # (pairs, letters, words)
    largest = torch.zeros_like(weights).scatter(2, weights.argmax(dim=2, keepdim=True), 1.0)
    tables: dict[str, list[Tensor]] = {}
    uniform = []
    for row, (english, german) in enumerate(zip(*pairs, strict=True)):
        for units, tens, units_word, tens_word in crossings(english, german):
            uniform.append(1 / (len(english.split()) + 1))
            places = torch.tensor([units_word, tens_word, max(tens_word - 1, 0), units_word + 1])
            there = torch.tensor([True, True, tens_word > 0, True])
            for name, of in (("weight", weights[row]), ("largest", largest[row])):
                seen = of[:, places] * there  # (letters, 4)
                means = torch.stack([seen[letters].mean(dim=0) for letters in (units, tens)])
                first = seen[[units.start, tens.start]]
                tables.setdefault(name, []).append(means)
                tables.setdefault(f"first letter, {name}", []).append(first)
    found = {name: torch.stack(each).mean(dim=0).tolist() for name, each in tables.items()}
    return found | {"uniform": fmean(uniform)}


# --- What the weights do not tell ----------------------------------------------------------------


def kept_weights(scores: Tensor, mask: Tensor) -> Tensor:
    """Give the weights as they are."""
    return masked_softmax(scores, mask)


def uniform_weights(scores: Tensor, mask: Tensor) -> Tensor:
    """Give every step that may be looked at the same weight."""
    return masked_softmax(torch.zeros_like(scores), mask)


def permuted_weights(scores: Tensor, mask: Tensor) -> Tensor:
    """Give the weights in a random order, another one at each step of the decoder."""
    mask = mask.expand(scores.shape)
    order = torch.rand(scores.shape).masked_fill(~mask, 2.0).argsort(dim=-1, stable=True)
    return masked_softmax(scores, mask).gather(-1, order)


def second_first(scores: Tensor, mask: Tensor) -> Tensor:
    """Let the largest and the second largest weight change places."""
    weights = masked_softmax(scores, mask)
    scores = scores.masked_fill(~mask, -torch.inf)
    two = scores.topk(2, dim=-1).indices
    return weights.scatter(-1, two, weights.gather(-1, two.flip(-1)))


def without_largest(scores: Tensor, mask: Tensor) -> Tensor:
    """Leave out the step with the largest weight; the others share it as they share theirs."""
    top = scores.masked_fill(~mask, -torch.inf).argmax(dim=-1, keepdim=True)
    return masked_softmax(scores, mask.expand(scores.shape).scatter(-1, top, False))


def without_another(scores: Tensor, mask: Tensor) -> Tensor:
    """Leave out one step at random that has not the largest weight."""
    mask = mask.expand(scores.shape)
    top = scores.masked_fill(~mask, -torch.inf).argmax(dim=-1, keepdim=True)
    others = torch.rand(scores.shape).masked_fill(~mask, -1.0).scatter(-1, top, -1.0)
    return masked_softmax(scores, mask.scatter(-1, others.argmax(dim=-1, keepdim=True), False))


Change = Callable[[Tensor, Tensor], Tensor]
CHANGES: dict[str, Change] = {
    "as they are": kept_weights,
    "uniform": uniform_weights,
    "permuted": permuted_weights,
    "second first": second_first,
    "without the largest": without_largest,
    "without another": without_another,
}


class ChangedAttention(Attention):
    """An attention whose weights are made by ``change(scores, mask)`` in place of the softmax."""

    def __init__(self, attention: Attention, change: Change) -> None:
        super().__init__()
        self.attention, self.change = attention, change

    def project(self, keys: Tensor) -> Tensor:
        """Do what the attention does."""
        return self.attention.project(keys)

    def look(
        self, query: Tensor, projected: Tensor, values: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Give the context and the changed weights."""
        weights = self.change(self.attention.score(query, projected), mask)
        return weights @ values, weights


@contextmanager
def looking(model: Seq2Seq, change: Change) -> Iterator[None]:
    """Let a trained model look otherwise, as long as the block lasts."""
    attention = model.decoder.attention
    model.decoder.attention = ChangedAttention(attention, change)
    try:
        yield
    finally:
        model.decoder.attention = attention


def with_changed_weights(model: Seq2Seq, pairs: TextPairs) -> dict[str, dict[str, float]]:
    """Measure what becomes of a model's answers when its weights are changed.

    Returns
    -------
    dict
        For each of ``CHANGES``: ``"exact"``, the share of right answers; ``"letters changed"``, the
        share of letters of which another one becomes the likeliest, the true ones before being
        given.
    """
    batch = one_batch(pairs)
    given = batch.source, batch.source_lengths, batch.target_in
    torch.manual_seed(0)
    found = {}
    with torch.no_grad():
        before = model(*given).argmax(dim=2)[batch.mask]
        for name, change in CHANGES.items():
            with looking(model, change):
                changed = model(*given).argmax(dim=2)[batch.mask] != before
                found[name] = {
                    "exact": exact_match(say(model, pairs.source), pairs.target),
                    "letters changed": changed.float().mean().item(),
                }
    return found


def crossed(german: str) -> tuple[str, str]:
    """Give the German units and tens at a number's end if they cross, else two empty texts.

    Examples
    --------
    >>> crossed("zweitausenddreiundsiebzig"), crossed("dreizehn")
    (('drei', 'siebzig'), ('', ''))
    """
    units, und, tens = ch13.parts(german)[2].partition("und")
    return (units, tens) if und else ("", "")


def _exchanged(words: Sequence[str], part: str) -> tuple[str, str]:
    """Give a source with other units or tens, the next ones, and how these are called in German."""
    scale, place = (1, len(words) - 1) if part == "units" else (10, len(words) - 2)
    digits = range(1, 10) if part == "units" else range(2, 10)
    names = [number_name(scale * digit, "en") for digit in digits]
    digit = digits[(names.index(words[place]) + 1) % len(names)]
    other = [*words[:place], number_name(scale * digit, "en"), *words[place + 1 :]]
    number = 20 + digit if part == "units" else 10 * digit + 1
    return " ".join(other), crossed(number_name(number, "de"))[part == "tens"]


def what_its_place_tells(
    model: Seq2Seq, pairs: TextPairs, part: str = "units"
) -> dict[str, dict[str, float]]:
    """Measure what the encoder's output at a word says of it, and what the other outputs do.

    Only numbers of three words and more count whose last units and tens change places. Beside each
    source stands another, in which nothing but the word of the units, or of the tens, is different:
    the next one that there is.

    Parameters
    ----------
    model
        Trained, with attention.
    pairs
        Held-out numbers.
    part
        ``"units"`` or ``"tens"``.

    Returns
    -------
    dict
        For each way to answer, the share of answers with the ``"old"`` word and with the ``"new"``
        one: ``"nothing"`` is exchanged; ``"word"``: the other source is read; ``"its output"``: the
        output at the word is that of the other source; ``"output before"`` and ``"output after"``:
        that of its neighbour is; ``"all others"``: all outputs but its own are, and the decoder's
        first state; ``"units not looked at"`` and ``"tens not looked at"``: nothing is exchanged,
        and the mask leaves out one word.
    """
    problem = number_problem()
    chosen = [
        (english.split(), crossed(german)[part == "tens"])
        for english, german in zip(*pairs, strict=True)
        if crossed(german)[0] and len(english.split()) > 2
    ]
    others = [_exchanged(words, part) for words, _ in chosen]
    rows, units = torch.arange(len(chosen)), torch.tensor([len(words) - 1 for words, _ in chosen])
    at = units if part == "units" else units - 1

    def encode(texts: Sequence[str]) -> Encoded:
        tokens = problem.source.encode(texts)
        lengths = torch.tensor([len(text) for text in tokens])
        return model.encoder(pad_sequence(tokens, batch_first=True), lengths)

    def without(encoded: Encoded, places: Tensor) -> Encoded:
        mask = encoded.mask.clone()
        mask[rows, places] = False
        return encoded._replace(mask=mask)

    def exchange(encoded: Encoded, other: Encoded, places: Tensor) -> Encoded:
        outputs = encoded.outputs.clone()
        outputs[rows, places] = other.outputs[rows, places]
        return encoded._replace(outputs=outputs)

    with torch.no_grad():
        old = encode([" ".join(words) for words, _ in chosen])
        other = encode([text for text, _ in others])
        ways = {
            "nothing": old,
            "word": other,
            "its output": exchange(old, other, at),
            "output before": exchange(old, other, at - 1),
            "output after": exchange(old, other, at + 1),
            "all others": exchange(other, old, at),
            "units not looked at": without(old, units),
            "tens not looked at": without(old, units - 1),
        }
        found = {}
        for name, encoded in ways.items():
            said = [crossed(text)[part == "tens"] for text in written(model, encoded)]
            found[name] = {
                "old": exact_match(said, [word for _, word in chosen]),
                "new": exact_match(said, [word for _, word in others]),
            }
    return found


def neighbour_known(model: Seq2Seq) -> dict[str, float]:
    """Give how often the tens can be read from the encoder's state at the word of the units.

    A linear classifier learns from 4,000 of the numbers that the model learns from, and is tested
    on the held-out ones; only numbers count whose last units and tens change places.

    Returns
    -------
    dict
        ``"embedding"``: from the embedding of the word, which cannot tell; ``"state"``: from the
        encoder's output there.
    """
    problem = number_problem()
    learnt, tested = (
        _at_the_units(model, pairs) for pairs in (problem.train.first(4_000), problem.held_out)
    )
    known = {}
    for place in ("embedding", "state"):
        classifier = make_pipeline(StandardScaler(), RidgeClassifier())
        classifier.fit(learnt[place], learnt["tens"])
        known[place] = classifier.score(tested[place], tested["tens"])
    return known


def _at_the_units(model: Seq2Seq, pairs: TextPairs) -> dict[str, Any]:
    """Give what stands at the word of the units, and the word of the tens before it."""
    chosen = [row for row, german in enumerate(pairs.target) if crossed(german)[0]]
    batch = one_batch(TextPairs(*([texts[row] for row in chosen] for texts in pairs)))
    rows, places = torch.arange(len(chosen)), batch.source_lengths - 2  # before the end token
    with torch.no_grad():
        encoded = model.encoder(batch.source, batch.source_lengths)
        embedded = model.encoder.embedding(batch.source)
    return {
        "tens": batch.source[rows, places - 1],
        "embedding": embedded[rows, places],
        "state": encoded.outputs[rows, places],
    }


def written(model: Seq2Seq, encoded: Encoded) -> list[str]:
    """Give what a decoder of the number task writes, greedily, to what an encoder has said."""
    target = number_problem().target
    bos = torch.full((len(encoded.mask),), target.bos)
    state = model.decoder.start(encoded)
    rows = greedy(model.step, state, bos=bos, eos=target.eos, max_steps=MAX_STEPS)
    return [target.text(row) for row in rows]


# --- The budget of chapter 13 again --------------------------------------------------------------

BUDGET = ch13.BUDGET | {"every": 25}
#: Held-out numbers with which trained models are asked, and the one that is drawn.
ASKED = 250
EXAMPLE = TextPairs(
    ["sixty four thousand eight hundred and seventy three"],
    ["vierundsechzigtausendachthundertdreiundsiebzig"],
)


def any_model(kind: str) -> Seq2Seq:
    """Make a model by name: a score and where it looks, ``"dot, after"``, or ``"every step"``.

    The fixed context is one of the best two of chapter 13, with 3 added to the update gate's bias.
    """
    if kind == "every step":
        return ch13.make_model("last", "every step", update_bias=3.0)
    return make_model(*kind.split(", "))


def _fingerprint() -> str:
    return fingerprint(*one_batch(number_problem().held_out))


@experiment(
    variants={
        kind: {"kind": kind}
        for kind in (
            "every step",
            "dot, after",
            "general, after",
            "additive, before",
        )
    },
    seeds=range(5),
    settings=BUDGET,
    data=_fingerprint,
)
def budget(seed: int, kind: str, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """How soon attention learns what the best fixed context learns, and where it looks then."""
    torch.manual_seed(seed)
    model = any_model(kind)
    held_out = number_problem().held_out
    attends = isinstance(model.decoder, AttentionDecoder)
    before = where_looked(model, held_out) if attends else None
    found = yield from ch13.learn(model, seed, **settings)
    kept = ("curve", "steps to", "exact", "loss", "bits", "letters", "kinds", "parameters")
    found = {name: found[name] for name in kept}
    if attends:
        found |= {
            "untrained": before,
            "looked": where_looked(model, held_out),
            "changed": with_changed_weights(model, held_out.first(ASKED)),
            "place": {p: what_its_place_tells(model, held_out, p) for p in ("units", "tens")},
            "neighbour known": neighbour_known(model),
            "example": [
                [round(w, 3) for w in row] for row in alignments(model, EXAMPLE)[0].tolist()
            ],
        }
    return found


@experiment(
    variants={"general, after": {"kind": "general, after"}},
    seeds=range(3),
    settings=BUDGET | {"steps": 350},
    data=_fingerprint,
)
def elsewhere(seed: int, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """Where models find the tens that look one-sidedly, after more steps."""
    return (yield from budget(seed, **settings))


@experiment(
    variants={
        "every step, 150 steps": {"kind": "every step", "steps": 150},
        "dot, after, 150 steps": {"kind": "dot, after", "steps": 150},
        "every step, a third of the rate": {"kind": "every step", "learning_rate": 3e-3},
        "dot, after, a third of the rate": {"kind": "dot, after", "learning_rate": 3e-3},
        "general, after, a third of the rate": {"kind": "general, after", "learning_rate": 3e-3},
        "plain dot, after": {"kind": "plain dot, after"},
    },
    seeds=range(3),
    settings=BUDGET,
    data=_fingerprint,
)
def other_budgets(seed: int, kind: str, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """Whether the order is the same at fewer steps and at another rate, and what scaling does."""
    torch.manual_seed(seed)
    found = yield from ch13.learn(any_model(kind), seed, **settings)
    return {name: found[name] for name in ("curve", "exact", "bits", "parameters")}


@experiment(
    variants={kind: {"kind": kind} for kind in ("own states", "location")},
    seeds=range(3),
    settings=BUDGET,
    data=_fingerprint,
)
def misdrawn(seed: int, kind: str, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """Whether attention helps that mixes the decoder's own states, or does not see the keys."""
    torch.manual_seed(seed)
    encoder, letters = ch13.make_encoder(), number_problem().target.vocab_size
    if kind == "own states":
        decoder = OwnStates(
            letters,
            encoder=encoder,
            layer=GRU(EMBEDDING, UNITS),
            embedding_size=EMBEDDING,
            attention=make_attention("dot"),
            look="after",
        )
    else:
        places = max(
            len(text) for text in number_problem().source.encode(number_problem().train[0])
        )
        attention = LocationAttention(UNITS, places)
        decoder = attention_decoder(letters, encoder, attention, "after")
    found = yield from ch13.learn(Seq2Seq(encoder, decoder), seed, **settings)
    return {name: found[name] for name in ("curve", "exact", "bits", "letters", "parameters")}


# --- Accuracy against length ---------------------------------------------------------------------

#: Bins of lengths, in pieces of a German number with the end token not counted.
BINS = {"1-5": 5, "6-10": 10, "11-15": 15, "16-20": 20, "21-25": 25, "26-31": 31}
DIGITS, IN_A_BIN, LEARNT = 12, 100, 20_000
PLACES = 24  # words of the longest source, and the end token


class LengthProblem(NamedTuple):
    """Numbers of up to twelve digits whose names are short or long, and their tokens."""

    train: TextPairs
    held_out: dict[str, TextPairs]
    source: Tokenizer
    target: Tokenizer


def count_pieces(number: int) -> int:
    """Count the pieces of a number's German name, without writing it.

    Examples
    --------
    >>> count_pieces(73), count_pieces(2_000_073)   # drei und sieb zig; zwei Millionen ...
    (4, 8)
    """
    thousands = number // 1000 % 1000
    total = (
        _pieces_below_thousand(thousands) + (thousands > 0) + _pieces_below_thousand(number % 1000)
    )
    for scale in (10**6, 10**9):
        if group := number // scale % 1000:  # its own pieces, a space, its word, and a space again
            total += _pieces_below_thousand(group) + 2 + (number % scale > 0)
    return total


@cache
def _pieces_below_thousand(number: int) -> int:
    name = number_name(number, "de")
    return len(Tokenizer([name], by="number pieces").cut(name)) if number else 0


@cache
def length_problem(longest: int) -> LengthProblem:
    """Make a task whose names have up to ``longest`` pieces in training, and up to 31 in the test.

    A number has 1 to 12 digits, and zeros in it are rare or frequent, so that its name is long or
    short: all words of long names stand in short names too.

    Examples
    --------
    >>> problem = length_problem(15)
    >>> problem.target.cut("dreiundsiebzig")
    ['drei', 'und', 'sieb', 'zig']
    >>> max(len(problem.target.cut(name)) for name in problem.train.target)
    15
    """
    generator = random.Random(0)
    drawn: set[int] = set()

    def draw(count: int, least: int, most: int) -> TextPairs:
        pairs = TextPairs([], [])
        while len(pairs.source) < count:
            digits, share = generator.randint(1, DIGITS), generator.random()
            rest = [generator.randint(1, 9) * (generator.random() < share) for _ in range(digits)]
            number = int("".join(map(str, [generator.randint(1, 9), *rest[1:]])))
            if number not in drawn and least < count_pieces(number) <= most:
                drawn.add(number)
                pairs.source.append(number_name(number, "en"))
                pairs.target.append(number_name(number, "de"))
        return pairs

    bounds = [0, *BINS.values()]
    held_out = {
        name: draw(IN_A_BIN, least, most)
        for name, least, most in zip(BINS, bounds[:-1], bounds[1:], strict=True)
    }
    train = draw(LEARNT, 0, longest)
    source = Tokenizer(train.source, by="words")
    return LengthProblem(train, held_out, source, Tokenizer(train.target, by="number pieces"))


def length_model(kind: str, source_size: int, target_size: int) -> Seq2Seq:
    """Make a model for names of many lengths.

    Parameters
    ----------
    kind
        ``"first state"`` and ``"every step"``, each with a decoder that begins by keeping its state
        (3 is added to the bias of the update gate); ``"attention"``: dot product, after the step;
        or ``"location"``: the same, with weights that do not depend on the source.
    source_size, target_size
        Numbers of tokens.
    """
    encoder = Encoder(source_size, layer=GRU(EMBEDDING, SUMMARY // 2, bidirectional=True))
    if kind in ("attention", "location"):
        location = kind == "location"
        attention = LocationAttention(UNITS, PLACES) if location else make_attention("dot")
        return Seq2Seq(encoder, attention_decoder(target_size, encoder, attention, "after"))
    beside = SUMMARY if kind == "every step" else 0
    layer = GRU(EMBEDDING + beside, ch13.HIDDEN[kind])
    with torch.no_grad():
        layer.layers[0].cell.bias[layer.output_size : 2 * layer.output_size] += 3.0
    options = {"embedding_size": EMBEDDING, "summary": "last", "use": kind}
    return Seq2Seq(encoder, Decoder(target_size, encoder=encoder, layer=layer, **options))


def by_length(model: Seq2Seq, problem: LengthProblem) -> dict[str, float]:
    """Give the share of right answers for each bin of lengths."""
    found = {}
    for name, pairs in problem.held_out.items():
        said = translate(model, pairs.source, problem.source, problem.target, max_steps=50)
        found[name] = exact_match(said, pairs.target)
    return found


def _lengths_fingerprint() -> str:
    problem = length_problem(max(BINS.values()))
    return fingerprint(*problem.target.encode(problem.train.target[:1000]))


@experiment(
    variants={
        f"{kind}, up to {longest}": {"kind": kind, "longest": longest}
        for longest in (15, 31)
        for kind in ("first state", "every step", "attention")
    },
    seeds=range(5),
    settings={"steps": 400, "batch": 64, "learning_rate": 1e-2},
    data=_lengths_fingerprint,
)
def lengths(
    seed: int, kind: str, longest: int, steps: int, batch: int, learning_rate: float
) -> Generator[float, None, dict[str, Any]]:
    """How well long names are translated, by models that learnt long ones or only short ones."""
    problem = length_problem(longest)
    torch.manual_seed(seed)
    model = length_model(kind, problem.source.vocab_size, problem.target.vocab_size)
    optimizer = Adam(model.parameters(), learning_rate)
    begin = process_time()
    yield from train(
        model,
        PairBatches(problem.train, problem.source, problem.target, batch),
        loss=seq2seq_loss,
        steps=steps,
        optimizer=optimizer,
        scheduler=OneCycleLR(
            optimizer, learning_rate, steps, pct_start=ch13.WARM_UP, cycle_momentum=False
        ),
        seed=seed,
    )
    seconds = process_time() - begin
    return {
        "exact": by_length(model.cpu(), problem),
        "seconds of training": seconds,
        "parameters": count_parameters(model),
    }


@experiment(
    variants={f"location, up to {longest}": {"longest": longest} for longest in (15, 31)},
    seeds=range(3),
    settings={"kind": "location", "steps": 400, "batch": 64, "learning_rate": 1e-2},
    data=_lengths_fingerprint,
)
def lengths_location(seed: int, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """Whether weights that do not depend on the source do as well where sources get long."""
    return (yield from lengths(seed, **settings))


@experiment(
    variants={
        f"{kind}, up to 31": {"kind": kind, "longest": 31} for kind in ("first state", "every step")
    },
    seeds=range(3),
    settings={"steps": 1600, "batch": 64, "learning_rate": 1e-2},
    data=_lengths_fingerprint,
)
def lengths_longer(seed: int, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """Whether a fixed context needs no more than four times the steps for long names."""
    return (yield from lengths(seed, **settings))


# --- What it costs -------------------------------------------------------------------------------

COSTS = ("every step", "dot, after", "additive, after", "dot, before", "additive, before")
LETTERS = 30


def cost_model(kind: str) -> Seq2Seq:
    """Make one of the models of ``COSTS``, for 30 tokens on either side."""
    if kind == "every step":
        return length_model(kind, LETTERS, LETTERS)
    encoder = Encoder(LETTERS, layer=GRU(EMBEDDING, SUMMARY // 2, bidirectional=True))
    score, look = kind.split(", ")
    return Seq2Seq(encoder, attention_decoder(LETTERS, encoder, make_attention(score), look))


def kept_numbers(model: Seq2Seq, batch: PairBatch) -> int:
    """Count the numbers that a forward pass keeps for the backward pass, weights apart."""
    weights = {parameter.data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes() // tensor.element_size()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        loss, _ = seq2seq_loss(model, batch, None)
    del loss
    return sum(kept.values())


@experiment(
    variants={str(length): {"length": length} for length in (10, 20, 50, 100, 200)},
    seeds=range(5),
    settings={"batch": 16},
    data=lambda: fingerprint(torch.zeros(1)),
)
def cost(seed: int, length: int, batch: int) -> Generator[float, None, dict[str, Any]]:
    """How time and memory of a step of training grow with source and target.

    The models take turns. The numbers that are kept are those of one forward pass.
    """
    torch.manual_seed(seed)
    tokens = torch.randint(LETTERS, (2, batch, length))
    lengths = torch.full((batch,), length)
    pairs = PairBatch(tokens[0], lengths, tokens[1], tokens[1], torch.ones_like(tokens[1]).bool())
    models = {kind: cost_model(kind) for kind in COSTS}

    def step(model: Seq2Seq) -> float:
        loss, _ = seq2seq_loss(model, pairs, None)
        loss.backward()
        return loss.item()

    milliseconds = {}
    calls = {kind: partial(step, model) for kind, model in models.items()}
    for kind, seconds, loss in timed_turns(calls, rounds=2):
        milliseconds[kind] = 1000 * seconds  # of the second round: the first warms up
        yield loss
    numbers = {kind: kept_numbers(model, pairs) for kind, model in models.items()}
    return {"milliseconds": milliseconds, "numbers kept": numbers}
