"""What the runs of chapter 14 are made of, and what they measure with."""

import functools
import random

import pytest
import torch
from torch import nn

from unrolled.attention import DotProductAttention, masked_softmax
from unrolled.data import PairBatch, TextPairs, Tokenizer, number_name
from unrolled.layers import GRU
from unrolled.metrics import exact_match
from unrolled.models import DecoderState, Encoded, Encoder, Seq2Seq
from unrolled.runs import ch13, ch14

PAIRS = TextPairs(
    [number_name(n, "en") for n in (73, 64_873, 20_021, 5_013, 21_400, 99)],
    [number_name(n, "de") for n in (73, 64_873, 20_021, 5_013, 21_400, 99)],
)


def test_a_model_is_as_asked():
    kinds = {
        (score, look): ch14.make_model(score, look)
        for score in ch14.SCORES
        for look in ("before", "after")
    }
    for (score, look), model in kinds.items():
        attention = type(model.decoder.attention).__name__
        assert attention.lower().startswith(score.split()[-1])
        assert model.decoder.look == look
        assert model.encoder.output_size == ch13.make_encoder().output_size
    assert kinds["dot", "after"].decoder.attention.scaled
    assert not kinds["plain dot", "after"].decoder.attention.scaled
    with pytest.raises(ValueError, match="'dott'"):
        ch14.make_model("dott")


def test_crossings_name_the_same_digits():
    words = {
        number_name(n, "en"): number_name(n, "de") for n in (*range(1, 10), *range(20, 91, 10))
    }
    words["one"] = "ein"
    seen = 0
    for number in (21, 73, 313, 1_099, 45_000, 64_873, 99_999, 100, 13, 70, 20_021, 0):
        english, german = number_name(number, "en"), number_name(number, "de")
        expected = [part for part in (number // 1000, number % 100) if part > 20 and part % 10]
        found = ch14.crossings(english, german)
        assert len(found) == len(expected), number
        for crossing in found:
            said = english.split()
            assert german[crossing.units] == words[said[crossing.units_word]]
            assert german[crossing.tens] == words[said[crossing.tens_word]]
            seen += 1
    assert seen == 9


class Pointer(nn.Module):
    """A model that knows all German names, and looks at the English word of which it speaks."""

    def __init__(self, ahead=0):
        super().__init__()
        self.ahead = ahead

    def alignment(self, source, lengths, target_in):
        problem = ch13.number_problem()
        weights = torch.zeros(*target_in.shape, source.shape[1])
        for row, (tokens, read) in enumerate(zip(source, target_in, strict=True)):
            english = problem.source.text(tokens)
            german = problem.target.text(read[1:])
            for crossing in ch14.crossings(english, german):
                weights[row, crossing.units, crossing.units_word - self.ahead] = 1.0
                weights[row, crossing.tens, crossing.tens_word] = 1.0
                weights[row, crossing.tens.stop - 1, crossing.tens_word] = 0.5  # its last letter
                weights[row, crossing.tens.stop - 1, crossing.units_word] = 0.5
        return weights


def test_where_a_model_looks_that_looks_at_the_right_word():
    found = ch14.where_looked(Pointer(), PAIRS)
    assert (
        found["first letter, weight"]
        == found["first letter, largest"]
        == [[1, 0, 0, 0], [0, 1, 0, 0]]
    )
    assert found["weight"][0] == [1, 0, 0, 0]
    last = 1 / 14  # half of the last of seven letters: siebzig, sechzig, zwanzig, neunzig
    assert found["weight"][1] == pytest.approx([last, 1 - last, 0, 0])
    words = [3, 9, 9, 6, 6, 3]  # with the end, for each crossing
    assert found["uniform"] == pytest.approx(sum(1 / n for n in words) / len(words))


def test_where_a_model_looks_that_looks_at_the_wrong_word():
    found = ch14.where_looked(Pointer(ahead=1), PAIRS)
    assert found["first letter, largest"] == [[0, 1, 0, 0], [0, 1, 0, 0]]


SCORES = torch.tensor([[[2.0, 0.0, 1.0, 9.0]], [[0.0, 3.0, 1.0, 2.0]]])
MASK = torch.tensor([[[True, True, True, False]], [[True, True, True, True]]])


def test_weights_can_be_changed():
    usual = masked_softmax(SCORES, MASK)
    torch.testing.assert_close(ch14.kept_weights(SCORES, MASK), usual)
    uniform = ch14.uniform_weights(SCORES, MASK)
    torch.testing.assert_close(uniform[0, 0], torch.tensor([1 / 3, 1 / 3, 1 / 3, 0]))
    second = ch14.second_first(SCORES, MASK)
    torch.testing.assert_close(second[0, 0], usual[0, 0, [2, 1, 0, 3]])
    torch.testing.assert_close(second[1, 0], usual[1, 0, [0, 3, 2, 1]])
    without = ch14.without_largest(SCORES, MASK)
    assert without[0, 0, 0] == without[0, 0, 3] == without[1, 0, 1] == 0
    torch.testing.assert_close(without[0, 0, 2] / without[0, 0, 1], torch.tensor(1.0).exp())
    for change in ch14.CHANGES.values():
        torch.testing.assert_close(change(SCORES, MASK).sum(dim=-1), torch.ones(2, 1))


def test_changes_at_random_keep_within_the_mask():
    torch.manual_seed(0)
    usual = masked_softmax(SCORES, MASK)
    seen, left_out = set(), set()
    for _ in range(60):
        permuted = ch14.permuted_weights(SCORES, MASK)
        assert permuted[0, 0, 3] == 0
        torch.testing.assert_close(permuted.sort(dim=-1).values, usual.sort(dim=-1).values)
        seen.add(tuple(permuted[0, 0].tolist()))
        without = ch14.without_another(SCORES, MASK)
        assert without[0, 0, 0] > 0
        assert without[1, 0, 1] > 0
        assert (without == 0).sum(dim=-1).tolist() == [[2], [1]]
        left_out.add(int((without[1, 0] == 0).nonzero()))
    assert len(seen) == 6
    assert left_out == {0, 2, 3}


def test_a_model_looks_otherwise_for_a_while():
    torch.manual_seed(0)
    model = ch14.make_model("general")
    before = ch14.alignments(model, PAIRS)
    attention = model.decoder.attention
    uniform = 1 / ch14.one_batch(PAIRS).source_lengths[:, None]
    with ch14.looking(model, ch14.uniform_weights):
        first_word = ch14.alignments(model, PAIRS)[:, :, 0]
    torch.testing.assert_close(first_word, uniform.expand(first_word.shape))
    with pytest.raises(RuntimeError), ch14.looking(model, ch14.uniform_weights):
        raise RuntimeError
    assert model.decoder.attention is attention
    torch.testing.assert_close(ch14.alignments(model, PAIRS), before)


def test_changed_weights_are_measured():
    torch.manual_seed(0)
    model = ch14.make_model("additive")
    model.decoder.attention.weight_score.weight.data.mul_(300)
    found = ch14.with_changed_weights(model, PAIRS)
    assert list(found) == list(ch14.CHANGES)
    assert found["as they are"] == {"exact": 0.0, "letters changed": 0.0}
    assert found["uniform"]["letters changed"] > 0
    again = ch14.with_changed_weights(model, PAIRS)
    assert again == found  # also those at random


class Scribe(nn.Module):
    """A model whose encoder's output at a place is its word, and whose decoder reads them off.

    One word it does not take from its place, if ``elsewhere`` says "units" or "tens", but from the
    encoder's state. A word that may not be looked at is said as "nine" or "ninety".
    """

    def __init__(self, elsewhere=""):
        super().__init__()
        self.elsewhere = elsewhere
        self.decoder = self

    def encoder(self, tokens, lengths):
        mask = torch.arange(tokens.shape[1]) < lengths[:, None]
        return Encoded(tokens[:, :, None].float(), tokens, mask)

    def start(self, encoded):
        pieces, states = ch13.number_problem().source.pieces, []
        for outputs, tokens, mask in zip(*encoded, strict=True):
            words, kept = pieces(outputs[:, 0].long()), pieces(tokens)
            for part, place, other in (("units", -1, "nine"), ("tens", -2, "ninety")):
                if part == self.elsewhere:
                    words[place] = kept[place]
                if not mask[len(words) + place]:
                    words[place] = other
            states.append((" ".join(words), 0))
        return states

    def step(self, tokens, state):
        target, names = ch13.number_problem().target, _names()
        likely = [target.encode([names[text]])[0][said] for text, said in state]
        logits = nn.functional.one_hot(torch.stack(likely), target.vocab_size).float()
        ends = [len(names[text]) for text, _ in state]
        return logits, [(t, min(s + 1, e)) for (t, s), e in zip(state, ends, strict=True)]


@functools.cache
def _names():
    numbers = (*range(64_800, 64_900), *range(20_000, 20_100))
    return {number_name(n, "en"): number_name(n, "de") for n in numbers}


LONG = TextPairs(*([texts[row] for row in (1, 2)] for texts in PAIRS))


@pytest.mark.parametrize("part", ["units", "tens"])
def test_a_place_tells_what_is_taken_from_it(part):
    found = ch14.what_its_place_tells(Scribe(), LONG, part)
    old, new = {"old": 1, "new": 0}, {"old": 0, "new": 1}
    for way in ("nothing", "output before", "output after", "all others"):
        assert found[way] == old, way
    for way in ("word", "its output"):
        assert found[way] == new, way
    assert found[f"{part} not looked at"] == {"old": 0, "new": 0}
    other = "tens" if part == "units" else "units"
    assert found[f"{other} not looked at"] == old


def test_another_place_may_tell_it_too():
    found = ch14.what_its_place_tells(Scribe("tens"), LONG, "tens")
    assert found["nothing"] == found["its output"] == {"old": 1, "new": 0}
    assert found["word"] == found["all others"] == {"old": 0, "new": 1}


def test_only_crossing_numbers_with_a_word_before_them_are_asked():
    ends = [ch14.crossed(name)[0] for name in PAIRS.target]
    assert ends == ["drei", "drei", "ein", "", "", "neun"]
    assert ch14.what_its_place_tells(Scribe(), PAIRS) == ch14.what_its_place_tells(Scribe(), LONG)


def test_the_next_word_is_put_in_place_of_one():
    assert ch14._exchanged(["seventy", "three"], "units") == ("seventy four", "vier")
    assert ch14._exchanged(["seventy", "nine"], "units") == ("seventy one", "ein")
    assert ch14._exchanged(["seventy", "three"], "tens") == ("eighty three", "achtzig")
    assert ch14._exchanged(["ninety", "three"], "tens") == ("twenty three", "zwanzig")


def test_what_stands_at_the_units():
    torch.manual_seed(0)
    model = ch14.make_model()
    found = ch14._at_the_units(model, PAIRS)
    tens = ch13.number_problem().source.pieces(found["tens"])
    assert tens == ["seventy", "seventy", "twenty", "ninety"]
    units = ch13.number_problem().source.vocab.encode(["three", "three", "one", "nine"])
    torch.testing.assert_close(found["embedding"], model.encoder.embedding(units))
    assert not torch.equal(found["state"][0], found["state"][1])


def test_a_classifier_knows_the_neighbour_only_where_it_can():
    torch.manual_seed(0)
    known = ch14.neighbour_known(ch14.make_model())
    assert known["embedding"] < 0.2 < 0.9 < known["state"]


def test_location_says_where_without_looking():
    torch.manual_seed(0)
    attention = ch14.LocationAttention(4, places=6)
    query, keys = torch.randn(2, 3, 4), torch.randn(2, 5, 7)
    _, weights = attention(query, keys, keys)
    _, same = attention(query, torch.randn(2, 5, 7), keys)
    assert torch.equal(weights, same)
    torch.testing.assert_close(weights, attention.weight(query)[:, :, :5].softmax(-1))


def own_states():
    torch.manual_seed(0)
    encoder = Encoder(9, layer=GRU(4, 3, bidirectional=True))
    decoder = ch14.OwnStates(
        11,
        encoder=encoder,
        layer=GRU(5, 6),
        embedding_size=5,
        attention=DotProductAttention(),
        look="after",
    )
    return Seq2Seq(encoder, decoder)


def test_own_states_are_those_up_to_now():
    model = own_states()
    source, tokens = torch.randint(9, (2, 4)), torch.randint(11, (2, 5))
    state = model.start(source)
    logits, weights, _ = model.decoder.attend(tokens, state)
    assert weights.triu(1).abs().max() == 0
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 5))
    outputs, _ = model.decoder.layer(model.decoder.embedding(tokens), state.layer)
    torch.testing.assert_close(
        weights[:, 4], ((outputs @ outputs[:, 4, :, None])[..., 0] / 6**0.5).softmax(-1)
    )
    one_by_one = []
    for t in range(5):
        log_probs, state = model.step(tokens[:, t], state)
        one_by_one.append(log_probs)
    torch.testing.assert_close(torch.stack(one_by_one, 1), logits.log_softmax(-1))


def test_own_states_do_not_see_the_encoder_but_in_the_first():
    model = own_states()
    encoded = model.encoder(torch.randint(9, (2, 4)))
    state = model.decoder.start(encoded)
    other = model.decoder.start(encoded._replace(outputs=torch.randn(2, 4, 6)))
    assert torch.equal(state.layer[0], other.layer[0])
    assert state.memory.shape == other.memory.shape == (2, 0, 6)
    assert isinstance(state, DecoderState)


def test_pieces_are_counted_without_a_name():
    cut = Tokenizer(["null"], by="number pieces").cut
    numbers = (1, 16, 73, 100, 101, 1_000, 1_001, 21_100, 1_000_000, 1_001_000, 2_000_001, 10**9)
    generator = random.Random(0)
    for number in (*numbers, *(generator.randrange(1, 10**12) for _ in range(200)), 10**12 - 1):
        assert ch14.count_pieces(number) == len(cut(number_name(number, "de"))), number


@pytest.mark.parametrize("longest", [15, 31])
def test_lengths_of_names(longest):
    problem = ch14.length_problem(longest)
    cut = problem.target.cut
    bounds = [0, *ch14.BINS.values()]
    for (name, pairs), least, most in zip(
        problem.held_out.items(), bounds[:-1], bounds[1:], strict=True
    ):
        assert len(pairs.source) == len(set(pairs.source)) == ch14.IN_A_BIN
        lengths = [len(cut(german)) for german in pairs.target]
        assert (min(lengths), max(lengths)) == (least + 1, most), name
        assert not set(pairs.source) & set(problem.train.source)
        problem.source.encode(pairs.source)  # every word of a long name is in a short one
        problem.target.encode(pairs.target)
    trained = [len(cut(german)) for german in problem.train.target]
    assert max(trained) == longest
    assert len(trained) == ch14.LEARNT
    assert len(set(problem.train.source)) == ch14.LEARNT


def test_longer_training_names_do_not_change_what_is_tested():
    assert ch14.length_problem(15).held_out == ch14.length_problem(31).held_out


def test_models_for_many_lengths():
    torch.manual_seed(0)
    models = {k: ch14.length_model(k, 30, 25) for k in ("first state", "every step", "attention")}
    sizes = {kind: sum(p.numel() for p in model.parameters()) for kind, model in models.items()}
    assert max(sizes.values()) < 1.05 * min(sizes.values())
    assert models["every step"].decoder.use == "every step"
    for kind, changed in (("first state", True), ("every step", True), ("attention", False)):
        cell = models[kind].decoder.layer.layers[0].cell
        update = cell.bias[cell.hidden_size : 2 * cell.hidden_size]
        assert (update.mean() > 2.9) == changed
        assert cell.bias[: cell.hidden_size].mean().abs() < 0.1


def test_places_are_enough_for_the_longest_source():
    longest = max(len(number_name(10**12 - 1 - d, "en").split()) for d in (0, 3, 30, 300)) + 1
    assert longest == ch14.PLACES
    model = ch14.length_model("location", 30, 25)
    assert model.decoder.attention.weight.out_features == ch14.PLACES


def test_accuracy_by_length(monkeypatch):
    problem = ch14.length_problem(15)
    long = set(problem.held_out["26-31"].source)
    names = {e: g for pairs in problem.held_out.values() for e, g in zip(*pairs, strict=True)}

    def translate(model, texts, source, target, *, max_steps):
        assert max_steps > max(ch14.BINS.values())
        return ["" if text in long else names[text] for text in texts]

    monkeypatch.setattr(ch14, "translate", translate)
    found = ch14.by_length(None, problem)
    assert found == dict.fromkeys(ch14.BINS, 1.0) | {"26-31": 0.0}


def test_numbers_kept_grow_as_said():
    kept = {}
    for length in (20, 40):
        tokens = torch.zeros(2, length, dtype=torch.int64)
        mask = torch.ones_like(tokens).bool()
        batch = PairBatch(tokens, torch.full((2,), length), tokens, tokens, mask)
        for kind in ch14.COSTS:
            kept[kind, length] = ch14.kept_numbers(ch14.cost_model(kind), batch)
    per_place = 20 * 20 * 2  # scores of two pairs
    for kind in ch14.COSTS:
        beyond_a_line = kept[kind, 40] - 2 * kept[kind, 20]
        if kind == "every step":
            assert abs(beyond_a_line) < 100
        else:
            units = ch14.SUMMARY if kind.startswith("additive") else 0
            assert beyond_a_line > 2 * per_place * max(units, 1) * 0.9
            assert beyond_a_line < 2 * per_place * (units + 4)


def test_weights_are_not_kept_numbers():
    layer = nn.Linear(1000, 1000)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.out = layer, nn.Linear(1000, 5)

        def forward(self, source, lengths, target_in):
            return self.out(self.layer(self.layer(torch.ones(*target_in.shape, 1000))))

    tokens = torch.zeros(1, 2, dtype=torch.int64)
    batch = PairBatch(tokens, torch.tensor([2]), tokens, tokens, torch.ones_like(tokens).bool())
    assert ch14.kept_numbers(Model(), batch) < 10_000


def test_any_model_has_its_name():
    assert ch14.any_model("every step").decoder.use == "every step"
    model = ch14.any_model("additive, before")
    assert model.decoder.look == "before"
    assert exact_match(ch14.EXAMPLE.target, [number_name(64_873, "de")]) == 1
    assert ch14.EXAMPLE.source == [number_name(64_873, "en")]
