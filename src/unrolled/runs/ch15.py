"""The recorded runs of chapter 15: English to French at equal time, and the translator."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import cache
from itertools import chain
from statistics import fmean
from time import process_time
from types import ModuleType
from typing import Any, NamedTuple

import torch
from sacrebleu.metrics import BLEU
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from unrolled.attention import DotProductAttention, GeneralAttention
from unrolled.data import PairBatches, SplitPairs, Subwords, TextPairs, references
from unrolled.data.d2l import import_d2l
from unrolled.data.translation import (
    bare,
    groups,
    raw_pairs,
    tidy_pairs,
    translation_pairs,
)
from unrolled.decoding import greedy
from unrolled.layers import GRU
from unrolled.metrics import corpus_bleu
from unrolled.models import AttentionDecoder, Decoder, Encoder, Seq2Seq, seq2seq_loss
from unrolled.processes import once
from unrolled.proofread import words_of
from unrolled.runs.recipe import count_parameters
from unrolled.runs.registry import experiment, fingerprint
from unrolled.training import evaluate, train
from unrolled.translator import Translator, translate, translation_model, weights_folder

# --- The sentences -------------------------------------------------------------------------------

#: Letters of a sentence, at most.
LONGEST = 100
#: English words of a sentence, from and up to.
LENGTHS = {"1-4": (1, 4), "5-6": (5, 6), "7-8": (7, 8), "9-11": (9, 11), "12 and more": (12, 99)}


class Task(NamedTuple):
    """The pairs, their subwords, and for each held-out English sentence all its translations."""

    pairs: SplitPairs
    source: Subwords
    target: Subwords
    validation: dict[str, list[str]]
    test: dict[str, list[str]]


@cache
def task(pieces: int) -> Task:
    """Give the task with so many subwords a language, learnt from the training pairs alone."""
    pairs = translation_pairs("fra-eng", longest=LONGEST)
    subwords = (Subwords(side, pieces) for side in pairs.train)
    return Task(pairs, *subwords, references(pairs.validation), references(pairs.test))


def data(pieces: int = 2000) -> str:
    """Give a fingerprint of what is trained on."""
    found = task(pieces)
    some = found.pairs.train.first(2000)
    return fingerprint(*found.source.encode(some.source), *found.target.encode(some.target))


@experiment(variants={"fra-eng": {}}, seeds=range(1), settings={"lines": 4_000}, data=data)
def corpus(seed: int, lines: int) -> Generator[float, None, dict[str, Any]]:
    """How many pairs there are, which are left out, and how many a split by lines would leak."""
    yield from ()
    raw, pairs = raw_pairs(), tidy_pairs(raw_pairs(), LONGEST)
    found = task(2000)
    shuffled = list(zip(*pairs, strict=True))
    random.Random(seed).shuffle(shuffled)
    held_out, learnt = shuffled[:lines], shuffled[lines:]
    english, french = ({bare(pair[side]) for pair in learnt} for side in (0, 1))
    seen = [(bare(a) in english, bare(b) in french) for a, b in held_out]
    several = references(pairs)
    train = found.pairs.train
    known = set(chain.from_iterable(map(with_a_gap, set(train.source))))
    return {
        "lines": len(raw.source),
        "pairs": len(pairs.source),
        "English": len(several),
        "French": len(set(pairs.target)),
        "groups": len(sizes := Counter(groups(pairs))),
        "largest group": max(sizes.values()),
        "parts": {
            name: {"pairs": len(part.source), "English": len(set(part.source))}
            for name, part in found.pairs._asdict().items()
        },
        "shared by a split of lines": {
            "English": fmean(a for a, _ in seen),
            "French": fmean(b for _, b in seen),
            "either": fmean(a or b for a, b in seen),
        },
        "one word apart": fmean(not known.isdisjoint(with_a_gap(text)) for text in found.test),
        "typed otherwise": {
            name: fmean(bool(re.search(form, text)) for text in set(train.source))
            for name, form in TYPED.items()
        },
        "happy": Counter(
            form
            for a, b in zip(*train, strict=True)
            if "happy" in words_of(a)
            for form in words_of(b)
            if form in ("heureux", "heureuse")
        ),
        "translations of a sentence": dict(sorted(Counter(map(len, several.values())).items())),
        "unknown words": {
            side: unknown_words(train, test)
            for side, train, test in zip(
                ("English", "French"), found.pairs.train, found.pairs.test, strict=True
            )
        },
        "steps of a sentence": {
            side: {
                "letters": fmean(map(len, texts)),
                "pieces": fmean(len(tokens) - 1 for tokens in subwords.encode(texts)),
                "words": fmean(len(text.split()) for text in texts),
            }
            for side, texts, subwords in zip(
                ("English", "French"), found.pairs.test, (found.source, found.target), strict=True
            )
        },
        "first pieces": {
            side: [subwords.processor.id_to_piece(token) for token in range(3, 33)]
            for side, subwords in {"English": found.source, "French": found.target}.items()
        },
    }


#: What our sentences are hardly ever like, as patterns.
TYPED = {
    "begins with a small letter": r"^[a-z]",
    "has no mark at its end": r"""[^.?!"]$""",
    "has a mark before its end": r"[.?!] ",
}


def with_a_gap(sentence: str) -> list[tuple[str, ...]]:
    """Give the words of a sentence with each of them left out in turn: they differ in one word."""
    words = words_of(sentence)
    return [(*words[:place], "", *words[place + 1 :]) for place in range(len(words))]


def unknown_words(train: Sequence[str], test: Sequence[str]) -> dict[str, float]:
    """Give the share of words of ``test`` that are not among the most frequent of ``train``."""
    counts = Counter(word for text in train for word in words_of(text))
    words = [word for text in test for word in words_of(text)]
    shares = {}
    for most in (1_000, 2_000, 10_000, len(counts)):
        known = {word for word, _ in counts.most_common(most)}
        shares[str(most)] = fmean(word not in known for word in words)
    return shares


# --- What is scored ------------------------------------------------------------------------------


def score(predicted: Sequence[str], expected: dict[str, list[str]]) -> dict[str, Any]:
    """Score translations of the sentences ``expected``, against all that each may be.

    Beside the BLEU with all references stands the one with the first reference alone, and the one
    without regard to capitals. ``"interval"`` is half of the width in which 95 of 100 BLEUs of
    sentences drawn again lie (bootstrap), as sacreBLEU gives it.
    """
    right = list(expected.values())
    bleu = corpus_bleu(predicted, right)
    small = [text.lower() for text in predicted], [[t.lower() for t in some] for some in right]
    by_length = {}
    for name, (least, most) in LENGTHS.items():
        places = [i for i, text in enumerate(expected) if least <= len(text.split()) <= most]
        if places:
            one = corpus_bleu([predicted[i] for i in places], [right[i] for i in places])
            by_length[name] = {"sentences": len(places), "BLEU": one.score}
    return {
        "BLEU": bleu.score,
        "interval": interval(predicted, right),
        "one reference": corpus_bleu(predicted, [some[0] for some in right]).score,
        "lower case": corpus_bleu(*small).score,
        "lower case interval": interval(*small),
        "signature": bleu.signature,
        "brevity penalty": bleu.brevity_penalty,
        "by length": by_length,
        "word for word": fmean(a in some for a, some in zip(predicted, right, strict=True)),
    }


def interval(predicted: Sequence[str], expected: Sequence[Sequence[str]]) -> float:
    """Give half of the width of BLEU's 95 % interval, from 1,000 bootstrap samples."""
    most = max(map(len, expected))
    columns = [[some[i] if i < len(some) else None for some in expected] for i in range(most)]
    found = BLEU().corpus_score(list(predicted), columns, n_bootstrap=1_000)
    said = re.search(r"± ([\d.]+)", found.format(width=3))
    return float(said[1]) if said else 0.0  # nothing is said where every BLEU is 0


# --- Models that take turns ----------------------------------------------------------------------


class Contestant:
    """A training with a clock of its own, and a way to translate with what it trains.

    Parameters
    ----------
    seconds
        Of this processor: when they are over, the training is.
    batch
        Pairs of a step, ``pairs`` of a pass.
    """

    def __init__(self, seconds: float, batch: int, pairs: int) -> None:
        self.seconds, self.batch, self.pairs = seconds, batch, pairs
        self.spent, self.steps = 0.0, 0
        self.course: list[dict[str, float]] = []
        self.run: Iterator[float] = iter(())
        self.model: nn.Module = nn.Module()
        self.translate: Callable[[Sequence[str]], list[str]] = list

    def step(self) -> float:
        """Train for one more step; give its loss."""
        begin = once(process_time)  # of many processes, all go by the clock of the first
        loss = next(self.run)
        self.spent += once(process_time) - begin
        self.steps += 1
        return loss

    def rate(self, warm: int) -> Callable[[int], float]:
        """Give what the learning rate is multiplied with: it rises for ``warm`` steps.

        Then it falls along a cosine, to zero when the time is over.
        """

        def factor(step: int) -> float:
            passed = min(self.spent / self.seconds, 0.999)
            return min(1.0, (step + 1) / warm) * (1 + math.cos(math.pi * passed)) / 2

        return factor

    def measure(self, sentences: dict[str, list[str]]) -> None:
        """Note the BLEU up to now."""
        predicted = self.translate(list(sentences))
        found = corpus_bleu(predicted, list(sentences.values())).score
        self.course.append({"seconds": self.spent, "steps": self.steps, "BLEU": found})

    def found(self, sentences: dict[str, list[str]], shown: int) -> dict[str, Any]:
        """Give what is recorded of it, with the translations of some of ``sentences``."""
        predicted = self.translate(list(sentences))
        places = random.Random(1).sample(range(len(sentences)), shown)
        texts = list(sentences)
        return {
            **score(predicted, sentences),
            "steps": self.steps,
            "passes": self.steps * self.batch / self.pairs,
            "seconds of training": self.spent,
            "parameters": count_parameters(self.model),
            "course": self.course,
            "translations": {texts[i]: predicted[i] for i in sorted(places)},
        }


def take_turns(
    contestants: dict[str, Contestant], sentences: dict[str, list[str]], times: int
) -> Generator[float, None, None]:
    """Train all, each step that one which has had the least time, so that all meet one machine.

    ``times`` times on the way the BLEU on ``sentences`` is noted, while the clock stands still.
    """
    while True:
        one = min(contestants.values(), key=lambda one: one.spent)
        if one.spent >= one.seconds:
            return
        yield one.step()
        if one.spent >= one.seconds * (len(one.course) + 1) / times:
            one.measure(sentences)


def model_of(kind: str, task: Task, *, embedding: int, encoder: int, hidden: int) -> Seq2Seq:
    """Make a model of one of :data:`KINDS`."""
    sizes = task.source.vocab_size, task.target.vocab_size
    if kind == "attention after":
        return translation_model(*sizes, embedding=embedding, encoder=encoder, hidden=hidden)
    reader = Encoder(sizes[0], layer=GRU(embedding, encoder, bidirectional=True))
    beside = 0 if kind in ("plain", "attention general") else reader.output_size
    options = {
        "encoder": reader,
        "layer": GRU(embedding + beside, hidden),
        "embedding_size": embedding,
    }
    if kind == "attention before":
        attention = DotProductAttention()
        decoder = AttentionDecoder(sizes[1], attention=attention, look="before", **options)
    elif kind == "attention general":
        attention = GeneralAttention(hidden, reader.output_size)
        decoder = AttentionDecoder(sizes[1], attention=attention, look="after", **options)
    else:
        use = {"plain": "first state", "fed": "both"}[kind]
        decoder = Decoder(sizes[1], use=use, **options)
    return Seq2Seq(reader, decoder)


@torch.no_grad()
def looks(model: Seq2Seq, batches: PairBatches) -> dict[str, float]:
    """Say where a model looks while it reads right translations.

    ``"one place"`` is the share of pieces written with more than 0.99 of the weight on one place;
    ``"last two"`` the share of those whose largest weight is on the last two places of the source,
    which are the mark and the end nearly always. ``"last two of all"`` says how large that share
    would be if each place were as likely.
    """
    model.eval()
    found = {"one place": [], "last two": [], "last two of all": []}
    for batch in batches:
        encoded = model.encoder(batch.source, batch.source_lengths)
        _, weights, _ = model.decoder.attend(batch.target_in, model.decoder.start(encoded))
        most, place = weights[batch.mask].max(dim=-1)
        lengths = batch.source_lengths[:, None].expand_as(batch.mask)[batch.mask]
        found["one place"].append(most > 0.99)
        found["last two"].append(place >= lengths - 2)
        found["last two of all"].append(2 / lengths)
    return {name: torch.cat(shares).float().mean().item() for name, shares in found.items()}


def ours(
    kind: str,
    task: Task,
    batches: PairBatches,
    seed: int,
    *,
    seconds: float,
    learning_rate: float,
    warm: int,
    **sizes: int,
) -> Contestant:
    """Give the training of a model of ours."""
    torch.manual_seed(seed)
    one = Contestant(seconds, batches.batch, len(task.pairs.train.source))
    one.model = model_of(kind, task, **sizes)
    optimizer = Adam(one.model.parameters(), learning_rate)
    one.run = train(
        one.model,
        batches,
        loss=seq2seq_loss,
        steps=10**9,  # until the time is over
        optimizer=optimizer,
        scheduler=LambdaLR(optimizer, one.rate(warm)),
        seed=seed,
    )
    one.translate = lambda texts: translate(
        one.model, texts, task.source, task.target, max_steps=60
    )
    return one


# --- The recipe of Dive into Deep Learning -------------------------------------------------------


def attention_decoder(d2l: ModuleType) -> type[nn.Module]:
    """Give the decoder that d2l 0.17 lacks, as the book's section 10.4 describes it."""

    class Seq2SeqAttentionDecoder(d2l.AttentionDecoder):
        def __init__(
            self,
            vocab_size: int,
            embed_size: int,
            num_hiddens: int,
            num_layers: int,
            dropout: float,
        ) -> None:
            super().__init__()
            self.attention = d2l.AdditiveAttention(num_hiddens, num_hiddens, num_hiddens, dropout)
            self.embedding = nn.Embedding(vocab_size, embed_size)
            self.rnn = nn.GRU(embed_size + num_hiddens, num_hiddens, num_layers, dropout=dropout)
            self.dense = nn.Linear(num_hiddens, vocab_size)

        def init_state(self, enc_outputs: tuple, enc_valid_len: Tensor) -> tuple:
            outputs, hidden = enc_outputs  # (time, batch, hidden), (layers, batch, hidden)
            return outputs.permute(1, 0, 2), hidden.permute(1, 0, 2), enc_valid_len

        def forward(self, tokens: Tensor, state: tuple) -> tuple[Tensor, tuple]:
            keys, hidden, valid_len = state  # batches first, as beam search wants its states
            hidden, outputs = hidden.permute(1, 0, 2).contiguous(), []
            for x in self.embedding(tokens).permute(1, 0, 2):  # (batch, embed)
                query = hidden[-1][:, None]  # (batch, 1, hidden)
                context = self.attention(query, keys, keys, valid_len)  # (batch, 1, hidden)
                x = torch.cat([context, x[:, None]], dim=-1).permute(1, 0, 2)
                output, hidden = self.rnn(x, hidden)
                outputs.append(output)
            logits = self.dense(torch.cat(outputs)).permute(1, 0, 2)  # (batch, time, vocab)
            return logits, (keys, hidden.permute(1, 0, 2), valid_len)

    return Seq2SeqAttentionDecoder


class Recipe:
    """Section 10.4 of *Dive into Deep Learning* on pairs of sentences, with its own functions.

    Words in lower case, those that come once unknown; sentences cut to ``num_steps`` words and
    marks; two layers of 32 units; Adam at a rate that stays.

    Parameters
    ----------
    pairs
        To be trained on.
    """

    num_steps = 10

    def __init__(self, pairs: TextPairs) -> None:
        self.d2l = d2l = import_d2l()
        reserved = ["<pad>", "<bos>", "<eos>"]
        sides = self.words(pairs)
        self.vocabs = [d2l.Vocab(side, min_freq=2, reserved_tokens=reserved) for side in sides]
        self.arrays = [
            array
            for side, vocab in zip(sides, self.vocabs, strict=True)
            for array in d2l.build_array_nmt(side, vocab, self.num_steps)
        ]
        sizes = (32, 32, 2, 0.1)
        encoder = d2l.Seq2SeqEncoder(len(self.vocabs[0]), *sizes)
        decoder = attention_decoder(d2l)(len(self.vocabs[1]), *sizes)
        self.net = d2l.EncoderDecoder(encoder, decoder)
        self.net.apply(self.initialise)

    def words(self, pairs: TextPairs) -> tuple[list[list[str]], list[list[str]]]:
        """Cut pairs into words, as d2l does."""
        lines = "\n".join(f"{a}\t{b}" for a, b in zip(*pairs, strict=True))
        return self.d2l.tokenize_nmt(self.d2l.preprocess_nmt(lines))

    @staticmethod
    def initialise(module: nn.Module) -> None:
        """Draw the weights as ``train_seq2seq`` does."""
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
        if isinstance(module, nn.GRU):
            for name, weight in module.named_parameters():
                if "weight" in name:
                    nn.init.xavier_uniform_(weight)

    def losses(self) -> Generator[float, None, None]:
        """Train on and on, as ``train_seq2seq`` does; give the loss of each step for a word."""
        d2l, net, loss = self.d2l, self.net, self.d2l.MaskedSoftmaxCELoss()
        optimizer, bos = Adam(net.parameters(), lr=0.005), self.vocabs[1]["<bos>"]
        while True:
            for x, x_length, y, y_length in d2l.load_array(self.arrays, 64):
                net.train()
                optimizer.zero_grad()
                begin = torch.full((len(y), 1), bos)
                logits, _ = net(x, torch.cat([begin, y[:, :-1]], dim=1), x_length)
                each = loss(logits, y, y_length)  # (batch,)
                each.sum().backward()
                d2l.grad_clipping(net, 1)
                optimizer.step()
                yield each.sum().item() * self.num_steps / y_length.sum().item()

    @torch.no_grad()
    def translate(self, texts: Sequence[str]) -> list[str]:
        """Translate greedily, as ``predict_seq2seq`` does, many sentences at once."""
        self.net.eval()
        source, target = self.vocabs
        rows, _ = self.words(TextPairs(list(texts), ["."] * len(texts)))
        tokens, lengths = self.d2l.build_array_nmt(rows, source, self.num_steps)
        said = []
        for x, length in zip(tokens.split(256), lengths.split(256), strict=True):
            state = self.net.decoder.init_state(self.net.encoder(x, length), length)
            bos = torch.full((len(x),), target["<bos>"])
            options = {"bos": bos, "eos": target["<eos>"], "max_steps": self.num_steps}
            for row in greedy(self.step, state, **options).tolist():
                words = target.to_tokens(row)
                words = words[: words.index("<eos>")] if "<eos>" in words else words
                text = " ".join(word for word in words if word != "<unk>")
                said.append(re.sub(r" (?=[.,])", "", text))  # as French is written
        return said

    def step(self, tokens: Tensor, state: tuple) -> tuple[Tensor, tuple]:
        """Give the log-probabilities of the next words, ``(batch, vocab)``."""
        logits, state = self.net.decoder(tokens[:, None], state)
        return logits[:, 0].log_softmax(dim=-1), state

    def too_long(self, texts: Sequence[str]) -> float:
        """Give the share of sentences that are cut: more words and marks than fit with the end."""
        rows, _ = self.words(TextPairs(list(texts), ["."] * len(texts)))
        return fmean(len(row) >= self.num_steps for row in rows)


def theirs(pairs: TextPairs, seed: int, seconds: float) -> Contestant:
    """Give the training of the recipe of *Dive into Deep Learning*."""
    torch.manual_seed(seed)
    recipe = Recipe(pairs)
    one = Contestant(seconds, 64, len(pairs.source))
    one.model, one.run, one.translate = recipe.net, recipe.losses(), recipe.translate
    return one


# --- The experiments -----------------------------------------------------------------------------

MODEL = {"embedding": 128, "encoder": 128, "hidden": 256}
TRAINING = {"batch": 64, "learning_rate": 4e-3, "warm": 200}
#: Without attention (2), with scaled dot products after or before each step, with a matrix after.
KINDS = ("plain", "fed", "attention after", "attention general", "attention before")


@experiment(
    variants={"in turn": {}},
    seeds=range(3),
    settings={
        "seconds": 240,
        "pieces": 2000,
        "times": 6,
        "shown": 24,
        "all_kinds": [0],
        **TRAINING,
        **MODEL,
    },
    data=data,
)
def equal_time(
    seed: int,
    seconds: float,
    pieces: int,
    batch: int,
    times: int,
    shown: int,
    all_kinds: Sequence[int],
    **settings: Any,
) -> Generator[float, None, dict[str, Any]]:
    """How well a plain, a fed and an attending model translate after equal time, and a recipe.

    All are trained in turn in one process; the recipe is that of *Dive into Deep Learning*, on the
    same pairs. The model that looks before each step takes part with the seeds ``all_kinds``.
    """
    found = task(pieces)
    batches = PairBatches(found.pairs.train, found.source, found.target, batch)
    all_of_them = {
        kind: ours(kind, found, batches, seed, seconds=seconds, **settings)
        for kind in (KINDS if seed in all_kinds else KINDS[:-1])
    }
    yield from (one.step() for one in all_of_them.values())
    all_of_them["d2l"] = theirs(found.pairs.train, seed, seconds)
    few = dict(list(found.validation.items())[:500])
    yield from take_turns(all_of_them, few, times)
    results = {name: one.found(found.test, shown) for name, one in all_of_them.items()}
    held_out = PairBatches(found.pairs.test, found.source, found.target, 100, shuffle=False)
    for name, one in all_of_them.items():
        if name.startswith("attention"):
            results[name]["looks"] = looks(one.model, held_out)
    recipe = Recipe(found.pairs.test.first(1))
    results["d2l"]["cut in the test"] = recipe.too_long(list(found.test))
    return results


@experiment(
    variants={"half the rate": {"factor": 0.5}, "twice the rate": {"factor": 2.0}},
    seeds=range(1),
    settings={"seconds": 75, "pieces": 2000, **TRAINING, **MODEL},
    data=data,
)
def other_rates(
    seed: int, seconds: float, pieces: int, batch: int, factor: float, **settings: Any
) -> Generator[float, None, dict[str, Any]]:
    """Whether the order at equal time is that of one learning rate."""
    found = task(pieces)
    batches = PairBatches(found.pairs.train, found.source, found.target, batch)
    settings["learning_rate"] *= factor
    some = {
        kind: ours(kind, found, batches, seed, seconds=seconds, **settings) for kind in KINDS[:3]
    }
    yield from take_turns(some, dict(list(found.validation.items())[:500]), 1)
    return {name: one.found(found.test, 0) for name, one in some.items()}


#: The sentences with which the book shows its translator.
FOUR = ("go .", "i lost .", "he's calm .", "i'm home .")


@experiment(
    variants={"600 examples": {"examples": 600, "passes": 250}},
    seeds=range(1),
    settings={"pieces": 2000, "shown": 24},
    data=data,
)
def published(
    seed: int, examples: int, passes: int, pieces: int, shown: int
) -> Generator[float, None, dict[str, Any]]:
    """How well the recipe of Dive into Deep Learning translates as published, from 600 examples."""
    pairs = raw_pairs().first(examples + 1)  # as the function of d2l counts
    one = theirs(pairs, seed, math.inf)
    for _ in range(passes * -(-len(pairs.source) // one.batch)):
        yield one.step()
    recipe = Recipe(pairs)
    known = {" ".join(row) for row in recipe.words(pairs)[0]}
    return {
        **one.found(task(pieces).test, shown),
        "on what it has learnt": score(one.translate(list(few := references(pairs))), few),
        "four": dict(zip(FOUR, one.translate(FOUR), strict=True)),
        "four that are trained on": sum(text in known for text in FOUR),
    }


@experiment(
    variants={"attention after": {}},
    seeds=range(1),
    settings={"seconds": 1_200, "pieces": 2000, "times": 10, **TRAINING, **MODEL},
    data=data,
)
def shipped(
    seed: int, seconds: float, pieces: int, batch: int, times: int, **settings: Any
) -> Generator[float, None, dict[str, Any]]:
    """How good the translator is that comes with the book; this training writes its weights."""
    found = task(pieces)
    batches = PairBatches(found.pairs.train, found.source, found.target, batch)
    one = ours("attention after", found, batches, seed, seconds=seconds, **settings)
    yield from take_turns({"shipped": one}, dict(list(found.validation.items())[:500]), times)
    longest = max(map(len, found.source.encode(found.pairs.train.source)))
    sizes = {name: settings[name] for name in MODEL} | {"longest": longest}
    trained = Translator(one.model, found.source, found.target, sizes)
    once(lambda: (trained.save(weights_folder()), write_sentences(found)))
    translator = Translator.load()
    beams = {}
    for beam in (1, 2, 4, 8):
        begin = process_time()
        predicted = translator.translate_all(list(found.test), beam)
        beams[str(beam)] = {
            "seconds": process_time() - begin,
            **score(predicted, found.test),
            "words": fmean(len(text.split()) for text in predicted),
        }
    held_out = PairBatches(found.pairs.test, found.source, found.target, 100, shuffle=False)
    nats = evaluate(translator.model, held_out, loss=seq2seq_loss)
    pieces_said = sum(batch.weight for batch in held_out)
    letters = sum(len(text) for text in found.pairs.test.target)
    return {
        "beams": beams,
        "bits per letter": nats * pieces_said / letters / math.log(2),
        "steps": one.steps,
        "passes": one.steps * one.batch / one.pairs,
        "seconds of training": one.spent,
        "parameters": count_parameters(one.model),
        "course": one.course,
    }


def write_sentences(task: Task) -> None:
    """Write the held-out sentences, and the words of training, beside the weights."""
    folder = weights_folder()
    lines = ("\t".join([source, *several]) for source, several in task.test.items())
    (folder / "held-out.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for side, texts in zip(("en", "fr"), task.pairs.train, strict=True):
        words = sorted({word for text in texts for word in words_of(text)})
        (folder / f"words.{side}.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
