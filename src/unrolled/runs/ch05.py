"""The recorded runs of chapter 5: whose language is this word, and what does this sentence want."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, NamedTuple

import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unrolled.data import (
    LabelledTexts,
    LengthBatches,
    SequenceBatch,
    Vocab,
    intents,
    language_words,
    opinions,
)
from unrolled.data.sentences import split_sentence
from unrolled.layers import GRU, step_mask, zero_padding
from unrolled.metrics import accuracy
from unrolled.models import SequenceClassifier, classifier_loss
from unrolled.runs.recipe import LAYERS, count_parameters, train_with_adam
from unrolled.runs.registry import experiment, fingerprint

# --- Whose language is this word -----------------------------------------------------------------


class Words(NamedTuple):
    """Words as numbers, and the number of each one's language."""

    sequences: list[Tensor]
    labels: Tensor


class Task(NamedTuple):
    """The words of twenty languages as numbers; token 0 stands for letters that never came."""

    train: Words
    held_out: Words
    vocab: Vocab
    classes: int


def words() -> Task:
    """Load the words and number their letters."""
    task = language_words()
    vocab = Vocab("".join(task.train.texts), unknown=True)
    train, held_out = (
        Words([vocab.encode(word) for word in part.texts], part.labels)
        for part in (task.train, task.held_out)
    )
    return Task(train, held_out, vocab, len(task.languages))


def letter_groups(longest: int) -> Pipeline:
    """Count the groups of 1 to ``longest`` letters, and weigh the counts.

    A space stands before and after the word, so that a group may say where
    it begins or ends.
    """
    counter = CountVectorizer(
        analyzer="char_wb",
        lowercase=False,
        ngram_range=(1, longest),
    )
    return make_pipeline(counter, LogisticRegression(max_iter=1000))


class RandomBatches(LengthBatches):
    """Batches of sequences of any lengths, as most programs make them."""

    POOL = 1


class ShuffledBatches(LengthBatches):
    """Batches of words whose letters stand in a random order, another one each time."""

    def batch_of(self, rows: Tensor) -> SequenceBatch:
        """Give the words of some rows."""
        batch = super().batch_of(rows)
        inside = step_mask(batch.lengths, batch.tokens.shape[1])  # (batch, time)
        places = torch.rand(inside.shape).masked_fill(~inside, 2.0).argsort(dim=1)
        return batch._replace(tokens=batch.tokens.gather(1, places))


def score(model: nn.Module, batches: Iterable[SequenceBatch]) -> float:
    """Give the share of sequences whose class the model names."""
    model.eval()
    with torch.no_grad():
        found = [(model(tokens, lengths), targets) for tokens, lengths, targets in batches]
    logits, targets = map(torch.cat, zip(*found, strict=True))
    return accuracy(logits, targets)


def _data() -> str:
    task = words()
    sequences = (*task.train.sequences, *task.held_out.sequences)
    return fingerprint(*sequences, task.train.labels, task.held_out.labels)


SETTINGS = {"steps": 800, "batch": 64, "learning_rate": 5e-3}


@experiment(
    variants={
        f"{name}, {pooling}": {"pooling": pooling, **options}
        for name, options in {
            "RNN": {"cell": "RNN", "hidden": 128},
            "GRU": {"cell": "GRU", "hidden": 128},
            "LSTM": {"cell": "LSTM", "hidden": 128},
            "bidirectional GRU": {"cell": "GRU", "hidden": 80, "bidirectional": True},
        }.items()
        for pooling in ("last", "mean", "max")
    }
    | {
        "GRU, last, letters shuffled": {"cell": "GRU", "hidden": 128, "shuffled": True},
        "GRU of 32 units, last": {"cell": "GRU", "hidden": 32},
        "GRU of 64 units, last": {"cell": "GRU", "hidden": 64},
        "GRU of 256 units, last": {"cell": "GRU", "hidden": 256},
    },
    seeds=range(5),
    settings=SETTINGS | {"embedding": 32},
    data=_data,
)
def word_language(
    seed: int,
    cell: str,
    hidden: int,
    embedding: int,
    steps: int,
    batch: int,
    learning_rate: float,
    pooling: str = "last",
    bidirectional: bool = False,
    shuffled: bool = False,
) -> Generator[float, None, dict[str, Any]]:
    """Which cell and which pooling name the language of a word best, and what order is worth."""
    task, batches = words(), ShuffledBatches if shuffled else LengthBatches
    torch.manual_seed(seed)
    layer = LAYERS[cell](embedding, hidden, bidirectional=bidirectional)
    model = SequenceClassifier(len(task.vocab), task.classes, layer=layer, pooling=pooling)
    yield from train_with_adam(
        model,
        batches(*task.train, batch),
        loss=classifier_loss,
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
    )
    return {
        "training": score(model, batches(*task.train, 256, shuffle=False)),
        "held out": score(model, batches(*task.held_out, 256, shuffle=False)),
        "parameters": count_parameters(model),
    }


@experiment(
    variants={
        f"{cell}, {pooling}, {rate}": {"cell": cell, "pooling": pooling, "learning_rate": rate}
        for cell in ("RNN", "GRU", "LSTM")
        for pooling in ("last", "mean", "max")
        for rate in (2e-3, 1e-2)
    },
    seeds=[0],
    settings={"hidden": 128, "embedding": 32, "steps": 800, "batch": 64},
    data=_data,
)
def learning_rates(seed: int, **settings: Any) -> Generator[float, None, dict[str, Any]]:
    """Whether the order of the poolings depends on the learning rate."""
    return (yield from word_language(seed, **settings))


@experiment(
    variants={str(number): {"number": number} for number in (500, 1500, 5000)}
    | {"all": {"number": None}},
    seeds=range(5),
    settings=SETTINGS,
    data=_data,
)
def training_words(
    seed: int, number: int | None, steps: int, batch: int, learning_rate: float
) -> Generator[float, None, dict[str, Any]]:
    """How many words it takes until a network names their language better than letter groups."""
    task, texts = words(), language_words()
    torch.manual_seed(seed)
    rows = torch.randperm(len(task.train.labels))[:number]
    chosen, labels = [task.train.sequences[row] for row in rows], task.train.labels[rows]
    model = SequenceClassifier(len(task.vocab), task.classes, layer=GRU(32, 128))
    yield from train_with_adam(
        model,
        LengthBatches(chosen, labels, batch),
        loss=classifier_loss,
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
    )
    groups = letter_groups(3).fit([texts.train.texts[row] for row in rows], labels)
    return {
        "words": len(rows),
        "GRU": score(model, LengthBatches(*task.held_out, 256, shuffle=False)),
        "letter groups": groups.score(texts.held_out.texts, texts.held_out.labels),
    }


# --- The padding ---------------------------------------------------------------------------------


class PaddedReader(nn.Module):
    """Classify padded words with torch.nn.GRU, as it is often written."""

    def __init__(
        self,
        vocab_size: int,
        classes: int,
        pooling: str,
        packed: bool,
    ) -> None:
        super().__init__()
        self.pooling, self.packed = pooling, packed
        self.embedding = nn.Embedding(vocab_size, 32)
        self.gru = nn.GRU(32, 128, batch_first=True)
        self.read_out = nn.Linear(128, classes)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Give ``(batch, classes)`` from ``tokens (batch, time)``."""
        x = self.embedding(tokens)  # (batch, time, 32)
        if self.packed:
            x = pack_padded_sequence(
                x,
                lengths,
                batch_first=True,
                enforce_sorted=False,
            )
        outputs, _ = self.gru(x)
        if self.packed:  # zeros past each end
            outputs, _ = pad_packed_sequence(outputs, batch_first=True)
        if self.pooling == "last":
            return self.read_out(outputs[:, -1])
        return self.read_out(outputs.mean(dim=1))


@experiment(
    variants={
        "last, at the true end": {"pooling": "last", "right": True},
        "mean, over true letters": {"pooling": "mean", "right": True},
        "outputs[:, -1], packed": {"pooling": "last", "packed": True},
        "outputs[:, -1], padding read": {"pooling": "last", "packed": False},
        "outputs.mean(1), packed": {"pooling": "mean", "packed": True},
        "outputs.mean(1), padding read": {"pooling": "mean", "packed": False},
    },
    seeds=range(5),
    settings=SETTINGS | {"steps": 600},
    data=_data,
)
def padding_leak(
    seed: int,
    pooling: str,
    steps: int,
    batch: int,
    learning_rate: float,
    right: bool = False,
    packed: bool = False,
) -> Generator[float, None, dict[str, Any]]:
    """How much it costs to pool over the padding, and how often the answer depends on the batch."""
    task = words()
    torch.manual_seed(seed)
    if right:
        layer = GRU(32, 128)
        model = SequenceClassifier(len(task.vocab), task.classes, layer=layer, pooling=pooling)
    else:
        model = PaddedReader(len(task.vocab), task.classes, pooling, packed)
    yield from train_with_adam(
        model,
        RandomBatches(*task.train, batch),
        loss=classifier_loss,
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
    )
    alone, together = answers_alone(model, task.held_out), answers_together(model, task.held_out)
    torch.manual_seed(0)
    return {
        "in random batches": score(model, RandomBatches(*task.held_out, batch)),
        "alone": accuracy(alone, task.held_out.labels),
        "beside the longest": accuracy(together, task.held_out.labels),
        "changed": (alone.argmax(1) != together.argmax(1)).double().mean().item(),
    }


def answers_alone(model: nn.Module, part: Words) -> Tensor:
    """Score the classes of words without padding, ``(words, classes)``: one length at a time."""
    model.eval()
    lengths = torch.tensor([len(word) for word in part.sequences])
    logits = torch.empty(0)
    for length in lengths.unique():
        rows = (lengths == length).nonzero().flatten()
        with torch.no_grad():
            found = model(torch.stack([part.sequences[row] for row in rows]), lengths[rows])
        logits = found.new_empty(len(lengths), found.shape[1]) if not len(logits) else logits
        logits[rows] = found
    return logits


def answers_together(model: nn.Module, part: Words) -> Tensor:
    """Score the classes of words, ``(words, classes)``, all of them padded to the longest."""
    model.eval()
    batch = LengthBatches(*part, len(part.labels)).batch_of(torch.arange(len(part.labels)))
    with torch.no_grad():
        return model(batch.tokens, batch.lengths)


# --- What does this sentence want ----------------------------------------------------------------


def number_words(train: LabelledTexts, *others: LabelledTexts) -> tuple[Vocab, list[Words]]:
    """Give each word of sentences a number; 0 is for words that are not in the training set."""
    known = [word for text in train.texts for word in split_sentence(text)]
    vocab = Vocab(known, unknown=True)
    parts = [
        Words([vocab.encode(split_sentence(text)) for text in part.texts], part.labels)
        for part in (train, *others)
    ]
    return vocab, parts


def word_groups(longest: int) -> Pipeline:
    """Count the groups of 1 to ``longest`` words of a sentence, and weigh the counts."""
    counter = CountVectorizer(
        tokenizer=split_sentence, token_pattern=None, ngram_range=(1, longest)
    )
    return make_pipeline(counter, LogisticRegression(max_iter=1000))


class MeanOfEmbeddings(nn.Module):
    """Classify a sentence from the mean of its words' vectors, whatever their order."""

    def __init__(self, vocab_size: int, classes: int, embedding: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding)
        self.read_out = nn.Linear(embedding, classes)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Give ``(batch, classes)`` from ``tokens (batch, time)``."""
        x = zero_padding(self.embedding(tokens), lengths)  # (batch, time, features)
        return self.read_out(x.sum(dim=1) / lengths[:, None])


class ForgetfulBatches(LengthBatches):
    """Batches in which each token is unknown with a probability of 0.2, another time another."""

    def batch_of(self, rows: Tensor) -> SequenceBatch:
        """Give the sequences of some rows."""
        batch = super().batch_of(rows)
        forgotten = torch.rand(batch.tokens.shape) < 0.2
        return batch._replace(tokens=batch.tokens.masked_fill(forgotten, 0))


def sentence_model(kind: str, vocab_size: int, classes: int) -> nn.Module:
    """Make a mean of embeddings, or a GRU with the pooling that is named."""
    if kind == "embeddings":
        return MeanOfEmbeddings(vocab_size, classes)
    return SequenceClassifier(vocab_size, classes, layer=GRU(32, 64), pooling=kind)


def _fingerprint(task: Any) -> str:
    _, parts = number_words(*(part for part in task if isinstance(part, LabelledTexts)))
    return fingerprint(*(tensor for part in parts for tensor in (*part.sequences, part.labels)))


@experiment(
    variants={
        "mean of embeddings": {"kind": "embeddings"},
        "GRU": {"kind": "last"},
        "GRU, nothing forgotten": {"kind": "last", "forgetful": False},
        "GRU, max": {"kind": "max"},
    },
    seeds=range(5),
    settings={"steps": 300, "batch": 32, "learning_rate": 5e-3},
    data=lambda: _fingerprint(intents()),
)
def intent_wordings(
    seed: int,
    kind: str,
    steps: int,
    batch: int,
    learning_rate: float,
    forgetful: bool = True,
) -> Generator[float, None, dict[str, Any]]:
    """How well a network understands wordings that it has not seen, after 192 sentences."""
    task = intents()
    vocab, (learnt, held_out, mixed) = number_words(task.train, task.held_out, task.mixed)
    torch.manual_seed(seed)
    model = sentence_model(kind, len(vocab), len(task.classes))
    batches = (ForgetfulBatches if forgetful else LengthBatches)(*learnt, batch)
    yield from train_with_adam(
        model, batches, loss=classifier_loss, steps=steps, learning_rate=learning_rate, seed=seed
    )
    return {
        "held out": score(model, LengthBatches(*held_out, 96)),
        "mixed": score(model, LengthBatches(*mixed, 24)),
        "parameters": count_parameters(model),
    }


@experiment(
    variants={
        "mean of embeddings": {"kind": "embeddings"},
        "GRU, last": {"kind": "last"},
        "GRU, mean": {"kind": "mean"},
        "GRU, max": {"kind": "max"},
    },
    seeds=range(5),
    settings={"steps": 300, "batch": 32, "learning_rate": 5e-3},
    data=lambda: _fingerprint(opinions()),
)
def opinion_order(
    seed: int, kind: str, steps: int, batch: int, learning_rate: float
) -> Generator[float, None, dict[str, Any]]:
    """Who can tell two opinions apart that have the same words in another order."""
    task = opinions()
    vocab, (learnt, held_out) = number_words(task.train, task.held_out)
    torch.manual_seed(seed)
    model = sentence_model(kind, len(vocab), len(task.classes))
    yield from train_with_adam(
        model,
        LengthBatches(*learnt, batch),
        loss=classifier_loss,
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
    )
    return {
        "training": score(model, LengthBatches(*learnt, 256)),
        "held out": score(model, LengthBatches(*held_out, 256)),
        "parameters": count_parameters(model),
    }
