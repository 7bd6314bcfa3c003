"""What the runs of chapter 15 are made of: scores, turns, and the recipe of d2l."""

import math

import pytest
import torch
from sacrebleu.metrics import BLEU

from unrolled.data import SplitPairs, Subwords, TextPairs, references
from unrolled.data.d2l import import_d2l
from unrolled.metrics import corpus_bleu
from unrolled.runs import ch15
from unrolled.runs.ch15 import (
    Contestant,
    Recipe,
    Task,
    attention_decoder,
    interval,
    model_of,
    ours,
    score,
    take_turns,
    theirs,
    unknown_words,
    with_a_gap,
    write_sentences,
)

PAIRS = TextPairs(
    ["I am cold.", "I am cold.", "You are late.", "We are here.", "Tom is cold.", "Go!"] * 4,
    ["J'ai froid.", "J'ai si froid.", "Tu es en retard.", "Nous sommes là.", "Tom a froid.", "Va !"]
    * 4,
)
SIZES = {"embedding": 6, "encoder": 4, "hidden": 8}


@pytest.fixture(scope="module")
def small():
    parts = SplitPairs(PAIRS, PAIRS.first(6), PAIRS.first(6))
    found = references(PAIRS.first(6))
    return Task(parts, Subwords(PAIRS.source, 45), Subwords(PAIRS.target, 45), found, found)


def test_score_counts_all_references():
    come = "Viens ici tout de suite."
    expected = {"Come here now.": [come], "I am very cold today.": ["a", "b c"]}
    right = score([come, "b c"], expected)
    assert right["word for word"] == 1
    assert right["BLEU"] == corpus_bleu([come, "b c"], [[come], ["a", "b c"]]).score
    assert right["one reference"] < right["BLEU"]
    small = score(["viens ICI tout de suite.", "b c"], expected)
    assert small["lower case"] == pytest.approx(100)
    assert small["BLEU"] < 100
    sentences = {name: one["sentences"] for name, one in small["by length"].items()}
    assert sentences == {"1-4": 1, "5-6": 1}
    assert "case:mixed" in small["signature"]


def test_the_interval_is_that_of_sacrebleu():
    predicted = [f"the cat {i} sat on {'the' if i % 3 else 'a'} mat now" for i in range(40)]
    expected = [[f"the cat {i} sat on the mat now"] for i in range(40)]
    found = BLEU().corpus_score(predicted, [[one for (one,) in expected]], n_bootstrap=1000)
    assert interval(predicted, expected) == pytest.approx(found._ci, abs=1e-3)
    assert 0 < interval(predicted, expected) < 10
    assert interval(["x"] * 40, expected) == 0


def test_sentences_that_differ_in_one_word_share_a_gap():
    def apart(one, other):
        return not set(with_a_gap(one)).isdisjoint(with_a_gap(other))

    assert apart("Tom is here.", "She is here!")
    assert apart("Tom is here.", "Tom is here.")
    assert not apart("Tom is here.", "Tom is not here.")
    assert not apart("Tom is here.", "Is Tom here?")


def test_unknown_words_are_those_beyond_the_most_frequent():
    shares = unknown_words(["a a b", "c."], ["A b d d"])
    assert shares["3"] == 0.5
    assert list(shares) == ["1000", "2000", "10000", "3"]


class Clock:
    """A processor of which each step takes what the step says."""

    now = 0.0

    def __call__(self):
        return self.now


def test_turns_give_all_the_same_time(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(ch15, "process_time", clock)

    def run(seconds):
        while True:
            clock.now += seconds
            yield seconds

    both = {"slow": Contestant(12.0, 2, 10), "fast": Contestant(12.0, 2, 10)}
    both["slow"].run, both["fast"].run = run(3.0), run(1.0)
    for one in both.values():
        one.translate = lambda texts: ["Viens ici tout de suite."] * len(texts)
    sentences = {"Come here.": ["Viens ici tout de suite."]}
    losses = list(take_turns(both, sentences, times=3))
    assert losses[:4] == [3.0, 1.0, 1.0, 1.0]
    assert (both["slow"].steps, both["fast"].steps) == (4, 12)
    assert both["slow"].spent == both["fast"].spent == 12
    assert [point["seconds"] for point in both["fast"].course] == [4, 8, 12]
    assert both["slow"].course[-1]["BLEU"] == pytest.approx(100)


def test_the_rate_rises_with_the_steps_and_falls_with_the_time():
    one = Contestant(10.0, 1, 1)
    rate = one.rate(warm=4)
    assert [rate(step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    one.spent = 5.0
    assert rate(100) == pytest.approx(0.5)
    one.spent = 11.0
    assert 0 < rate(100) < 1e-5


@pytest.mark.parametrize("kind", ch15.KINDS)
def test_every_kind_of_model_learns(small, kind):
    batches = ch15.PairBatches(small.pairs.train, small.source, small.target, 8)
    one = ours(kind, small, batches, 0, seconds=math.inf, learning_rate=4e-2, warm=2, **SIZES)
    losses = [one.step() for _ in range(100)]
    assert losses[-1] < 0.3 * losses[0]
    assert one.steps == 100
    found = one.found(small.test, shown=2)
    assert found["passes"] == 100 * 8 / 24
    assert found["parameters"] == sum(weight.numel() for weight in one.model.parameters())
    assert len(found["translations"]) == 2
    assert one.translate(["Go!"]) == ["Va !"]


@pytest.mark.parametrize("kind", ch15.KINDS)
def test_attention_alone_sees_the_middle_of_a_source(small, kind):
    torch.manual_seed(0)
    model = model_of(kind, small, **SIZES)
    has = hasattr(model.decoder, "attention")
    assert has == kind.startswith("attention")
    encoded = model.encoder(torch.tensor([[5, 6, 7]]))
    logits, _ = model.decoder.read(torch.tensor([[1, 2]]), model.decoder.start(encoded))
    other = encoded._replace(outputs=encoded.outputs + 1)
    changed, _ = model.decoder.read(torch.tensor([[1, 2]]), model.decoder.start(other))
    assert torch.equal(logits, changed) != has


def test_where_a_model_looks_is_counted_without_padding(small):
    """Half of the weight on the last place but one, or nearly all on the first."""
    torch.manual_seed(0)
    batches = ch15.PairBatches(small.pairs.train, small.source, small.target, 8, shuffle=False)
    model = model_of("attention after", small, **SIZES)
    sources = small.source.encode(small.pairs.train.source)
    targets = small.target.encode(small.pairs.train.target)
    pieces = [(len(a), len(b)) for a, b in zip(sources, targets, strict=True)]
    said = sum(count for _, count in pieces)

    def on(place, share):
        def look(tokens, state):
            mask = state.memory.mask  # (batch, steps)
            lengths = mask.sum(dim=1)
            weights = torch.zeros(*tokens.shape, mask.shape[1])
            at = (lengths + place if place < 0 else torch.full_like(lengths, place))[:, None, None]
            weights.scatter_(2, at.expand(*tokens.shape, 1), share)
            return tokens, weights, state

        return look

    model.decoder.attend = on(-2, 0.5)
    found = ch15.looks(model, batches)
    assert (found["one place"], found["last two"]) == (0.0, 1.0)
    likely = sum(count * 2 / steps for steps, count in pieces) / said
    assert found["last two of all"] == pytest.approx(likely)
    model.decoder.attend = on(0, 0.995)
    found = ch15.looks(model, batches)
    short = sum(count for steps, count in pieces if steps <= 2)
    assert found["one place"] == 1.0
    assert found["last two"] == pytest.approx(short / said)


# --- The recipe of d2l ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recipe():
    torch.manual_seed(0)
    return Recipe(PAIRS)


def test_the_recipe_reads_as_d2l_does(recipe):
    english, french = recipe.words(TextPairs(["Go!"], ["Va\u202f!"]))
    assert (english, french) == ([["go", "!"]], [["va", "!"]])
    assert recipe.arrays[0].shape == (24, 10)
    assert recipe.too_long(["I am cold.", "a " * 9 + "b", "a " * 8 + "b"]) == pytest.approx(1 / 3)


def test_the_missing_decoder_is_made_of_d2ls_attention(recipe):
    """One step, computed with the parts; then many steps against one after the other."""
    torch.manual_seed(0)
    decoder = attention_decoder(import_d2l())(7, 4, 6, 2, 0.0).eval()
    outputs, hidden = torch.randn(5, 3, 6), torch.randn(2, 3, 6)
    lengths, tokens = torch.tensor([5, 2, 3]), torch.randint(7, (3, 4))
    state = decoder.init_state((outputs, hidden), lengths)
    logits, last = decoder(tokens, state)
    keys = outputs.permute(1, 0, 2)
    context = decoder.attention(hidden[-1][:, None], keys, keys, lengths)
    x = torch.cat([context, decoder.embedding(tokens[:, :1])], dim=-1)
    first, _ = decoder.rnn(x.permute(1, 0, 2), hidden)
    torch.testing.assert_close(logits[:, 0], decoder.dense(first[0]))
    for place in range(4):
        one, state = decoder(tokens[:, place : place + 1], state)
        torch.testing.assert_close(one[:, 0], logits[:, place])
    torch.testing.assert_close(state[1], last[1])
    padded = outputs.clone()
    padded[2:, 1] = 9.0  # past the end of the second source
    again, _ = decoder(tokens, decoder.init_state((padded, hidden), lengths))
    torch.testing.assert_close(again, logits)


def test_the_recipe_learns_and_translates():
    one = theirs(PAIRS, seed=0, seconds=math.inf)
    losses = [one.step() for _ in range(100)]
    assert losses[-1] < 0.3 * losses[0]
    assert one.translate(["Tom is cold.", "Go!"]) == ["tom a froid.", "va !"]
    assert one.translate(["Zzz zzz."])[0].count("<unk>") == 0


def test_a_step_is_that_of_train_seq2seq():
    """The same weights after one pass as d2l's own function gives."""
    torch.manual_seed(0)
    theirs, mine = Recipe(PAIRS), Recipe(PAIRS)
    mine.net.load_state_dict(theirs.net.state_dict())
    for recipe in (theirs, mine):
        for part in recipe.net.modules():
            if hasattr(part, "dropout") and isinstance(part.dropout, float):
                part.dropout = 0.0
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
    d2l = theirs.d2l
    batches = list(d2l.load_array(theirs.arrays, 64, is_train=False))
    torch.manual_seed(1)
    d2l.train_seq2seq(theirs.net, batches, 0.005, 1, theirs.vocabs[1], torch.device("cpu"))
    torch.manual_seed(1)
    mine.net.apply(mine.initialise)
    mine.d2l = type("", (), vars(d2l) | {"load_array": staticmethod(lambda *_: batches)})
    next(mine.losses())
    for a, b in zip(theirs.net.parameters(), mine.net.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_what_is_written_beside_the_weights(small, tmp_path, monkeypatch):
    monkeypatch.setattr(ch15, "weights_folder", lambda: tmp_path)
    write_sentences(small)
    lines = (tmp_path / "held-out.tsv").read_text("utf-8").splitlines()
    assert lines[0] == "I am cold.\tJ'ai froid.\tJ'ai si froid."
    assert (tmp_path / "words.fr.txt").read_text("utf-8").split()[:3] == ["a", "ai", "en"]
