"""What the recorded runs of Part V measure with."""

import math
from itertools import islice
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unrolled.data import PairBatches, number_name
from unrolled.models import Bridge, DecoderState, seq2seq_loss
from unrolled.runs import ch13
from unrolled.runs.recipe import count_parameters

# --- Chapter 13 ----------------------------------------------------------------------------------


@pytest.fixture
def problem(monkeypatch):
    """The task of chapter 13, but for its size."""
    whole = ch13.number_problem()
    some = whole._replace(train=whole.train.first(256), held_out=whole.held_out.first(80))
    monkeypatch.setattr(ch13, "number_problem", lambda: some)
    return some


class Knowing(nn.Module):
    """A model that knows all translations; what it reads decides how it goes on.

    After each letter that it reads it says the next one of the name, found by how much it has read.
    ``lost`` is said to every source once a letter was read that is not in the name at its place.
    """

    def __init__(self, problem, lost=None):
        super().__init__()
        self.problem, self.lost = problem, lost
        english, german = problem.held_out
        self.known = dict(zip(english, german, strict=True))

    @property
    def decoder(self):
        return self

    def start(self, source, lengths):
        rows = zip(source, lengths, strict=True)
        return [([], self.known[self.problem.source.text(row[:n])]) for row, n in rows]

    def read(self, tokens, state):
        letters = self.problem.target
        scores = torch.zeros(*tokens.shape, letters.vocab_size)
        new = []
        for row, (said, name) in enumerate(state):
            said = list(said)
            for t, token in enumerate(tokens[row].tolist()):
                said += [] if token == letters.bos else [letters.vocab.decode([token])[0]]
                wrong = self.lost is not None and "".join(said) != name[: len(said)]
                now = self.lost if wrong else name
                after = letters.encode([now])[0]
                scores[row, t, after[min(len(said), len(after) - 1)]] = 50.0
            new.append((said, name))
        return scores, new

    def step(self, tokens, state):
        logits, state = self.read(tokens[:, None], state)
        return logits[:, 0].log_softmax(1), state

    def forward(self, source, lengths, target_in):
        return self.read(target_in, self.start(source, lengths))[0]


def test_the_problem_is_words_to_letters():
    problem = ch13.number_problem()
    assert problem.source.by == "words"
    assert problem.target.by == "letters"
    assert not set(problem.train.source) & set(problem.held_out.source)
    longest = max(map(len, problem.train.target + problem.held_out.target))
    assert longest + 1 < ch13.MAX_STEPS  # the end is a letter too


def test_decoders_have_the_same_number_of_weights():
    counts = [count_parameters(ch13.make_model("last", use)) for use in ch13.HIDDEN]
    assert max(counts) < 1.012 * min(counts)


def test_a_model_is_as_asked():
    torch.manual_seed(0)
    plain = ch13.make_model("last", "first state")
    torch.manual_seed(0)
    biased = ch13.make_model("last", "first state", update_bias=3.0, widened=4.0)
    units = plain.decoder.layer.output_size
    cells = [model.decoder.layer.layers[0].cell for model in (plain, biased)]
    moved = cells[1].bias - cells[0].bias
    expected = torch.zeros(3, units)
    expected[1] = 3.0  # r, z, n
    torch.testing.assert_close(moved.view(3, units), expected)
    torch.testing.assert_close(cells[1].weight_ih, 4 * cells[0].weight_ih)
    torch.testing.assert_close(cells[1].weight_hh, cells[0].weight_hh)
    encoders = [dict(model.encoder.named_parameters()) for model in (plain, biased)]
    for name, weight in encoders[0].items():
        factor = 4 if name.endswith("weight_ih") else 1
        torch.testing.assert_close(encoders[1][name], factor * weight)
    assert isinstance(plain.decoder.bridge, Bridge)
    assert ch13.make_model(use="first state", one_way=True, hidden=128).decoder.bridge is None


def test_a_normalised_summary_does_not_saturate():
    torch.manual_seed(0)
    raw = ch13.make_model(use="first state").decoder.bridge
    torch.manual_seed(0)
    normalised = ch13.make_model(use="first state", normalised=True).decoder.bridge
    summary = 100 * torch.randn(5, ch13.SUMMARY)
    assert raw(summary)[0].abs().median() > 0.99
    assert normalised(summary)[0].abs().median() < 0.9


@pytest.mark.parametrize("number", [0, 1, 21, 100, 101, 999, 1000, 1001, 21_000, 73_005, 99_999])
def test_names_of_german_numbers_are_read(number):
    assert ch13.german_number(number_name(number, "de")) == number


@pytest.mark.parametrize(
    "name",
    ["", "zig", "siebzigunddrei", "tausend", "einstausend", "hunderttausendtausend", "zweizwanzig"],
)
def test_what_is_no_german_number(name):
    assert ch13.german_number(name) is None


@pytest.mark.parametrize(
    ("said", "expected", "kind"),
    [
        ("siebenunddreißig", "dreiundsiebzig", 0),
        ("siebenunddreißigtausendeins", "dreiundsiebzigtausendeins", 0),
        ("zweiundvierzigtausendsiebenunddreißig", "vierundzwanzigtausenddreiundsiebzig", 0),
        ("vierundzwanzigtausendzweihundertsiebzehn", "vierundzwanzigtausendsiebzehn", 3),
        ("zweitausendsiebenunddreißig", "dreitausenddreiundsiebzig", 3),
        ("zweihundertsiebenunddreißig", "dreihundertdreiundsiebzig", 3),
        ("dreisiebzig", "dreiundsiebzig", 1),
        ("zweitausenddrei", "zweitausendvierhundertdrei", 1),
        ("", "null", 1),
        ("dreiundundsiebzig", "dreiundsiebzig", 2),
        ("zweitausendzweitausenddrei", "zweitausenddrei", 2),
        ("vierundsiebzig", "dreiundsiebzig", 3),
        ("vierundsiebzigx", "dreiundsiebzig", 4),
        ("dreiundsiebzigelf", "dreiundsiebzig", 4),
        ("siebzigunddrei", "dreiundsiebzig", 4),
    ],
)
def test_kinds_of_errors(said, expected, kind):
    assert ch13.kind_of_error(said, expected) == ch13.KINDS[kind]


def test_errors_come_with_the_most_frequent_kind_first():
    source = ["a", "b", "c", "d"]
    expected = ["dreiundsiebzig", "elf", "zwei", "neun"]
    said = ["dreisiebzig", "zwölf", "zwei", "acht"]
    found = ch13.errors(source, said, expected)
    assert [failure.source for failure in found] == ["b", "d", "a"]
    assert found[2] == (ch13.KINDS[1], "a", "dreiundsiebzig", "dreisiebzig")


def test_exchanged_sources_take_their_lengths_along(problem):
    batch = next(iter(problem.tested()))
    other = ch13.exchanged(batch)
    for row in range(len(batch.source)):
        before = row - 1
        n = batch.source_lengths[before]
        assert other.source_lengths[row] == n
        assert torch.equal(other.source[row, :n], batch.source[before, :n])
    assert torch.equal(other.target_out, batch.target_out)


def test_letters_right_and_bits(problem):
    knowing, tested = Knowing(problem), problem.tested()
    assert ch13.letters_right(knowing, tested) == 1
    assert 0.1 < ch13.letters_right(knowing, tested, other=True) < 0.8
    assert ch13.bits_across(knowing, tested) == pytest.approx(math.log2(100_000))
    torch.manual_seed(0)
    model = ch13.make_model()
    right = count = nats = 0.0
    for batch in PairBatches(problem.held_out, problem.source, problem.target, 7, shuffle=False):
        logits = model(batch.source, batch.source_lengths, batch.target_in)
        right += int((logits.argmax(2) == batch.target_out)[batch.mask].sum())
        each = F.cross_entropy(logits.mT, batch.target_out, reduction="none")  # (batch, time)
        nats += each[batch.mask].sum().item()
        count += batch.weight
    assert ch13.letters_right(model, tested) == pytest.approx(right / count)
    bits = math.log2(100_000) - nats / 80 / math.log(2)
    assert ch13.bits_across(model, tested) == pytest.approx(bits, abs=1e-3)


def test_parts_of_names():
    said = ["elftausendzweihundertsieben", "zwei", "vierhundert", "x"]
    expected = ["elftausenddreihundertsieben", "drei", "vierhundert", "zweitausend"]
    assert ch13.parts_right(said, expected) == [0.75, 0.75, 0.5]


def test_the_first_wrong_letter():
    said = ["abcdefg", "xbcdefg", "abcdxfg", "abcd", "abcdefgh"]
    assert ch13.first_wrong(said, 5 * ["abcdefg"]) == [0.25, 0, 0.5, 0.25]
    assert ch13.first_wrong(["a"], ["a"]) == [0, 0, 0, 0]


def test_after_a_slip(problem):
    steady = Knowing(problem)
    assert ch13.after_slip(steady, "none") == 1
    lost = Knowing(problem, lost="zehn")
    assert ch13.after_slip(lost, "none") == 1
    for slip in ("number", "letter"):
        assert ch13.after_slip(lost, slip) < 0.05
    assert ch13.after_slip(steady, "letter") == 1  # as many letters, so it is at the same place


def test_after_another_number_its_letters_were_read(problem):
    begins = []

    class Listening(Knowing):
        def read(self, tokens, state):
            if not begins or tokens.shape[1] > 1:
                begins.extend("".join(self.problem.target.vocab.decode(row)[1:]) for row in tokens)
            return super().read(tokens, state)

    ch13.after_slip(Listening(problem), "number")
    texts = [name for name in problem.held_out.target if name.rpartition("tausend")[2]]
    numbers = sorted(
        ch13.german_number(name) // 1000 % 99 + 1 for name in texts if "tausend" in name
    )
    assert sorted(ch13.german_number(begin + "d") // 1000 for begin in begins if begin) == numbers


def test_what_is_kept_of_a_state(problem):
    torch.manual_seed(0)
    forgets, keeps = ch13.make_model(), ch13.make_model(update_bias=12.0)
    left = ch13.kept(forgets)
    assert len(left) == len(ch13.STEPS_KEPT)
    assert left == sorted(left, reverse=True)
    assert left[-1] < 1e-5
    assert ch13.kept(keeps)[-1] > 0.95
    model = ch13.make_model(use="first state")
    batch = list(problem.tested())[-1]
    _, state = model.decoder.read(
        batch.target_in[:, :1], model.start(batch.source, batch.source_lengths)
    )
    other = DecoderState((state.layer[0].roll(1, dims=0),), state.memory)
    begin = (state.layer[0] - other.layer[0]).norm()
    _, state = model.decoder.read(batch.target_in[:, 1:6], state)
    _, other = model.decoder.read(batch.target_in[:, 1:6], other)
    after = (state.layer[0] - other.layer[0]).norm()
    assert ch13.kept(model)[1] == pytest.approx((after / begin).item(), rel=1e-4)


def test_steps_to_a_share():
    curve = [[50, 0.2, 1.0, 3.0], [100, 0.9, 2.0, 4.0], [150, 0.85, 3.0, 5.0]]
    assert ch13.steps_to(curve, 0.5) == [100, 2.0]
    assert ch13.steps_to(curve, 0.9) == [100, 2.0]
    assert ch13.steps_to(curve, 0.99) is None


def run_to_its_end(training):
    while True:
        try:
            next(training)
        except StopIteration as end:
            return end.value


def test_learning_measures_on_the_way(problem):
    torch.manual_seed(0)
    model = ch13.make_model()
    settings = {"steps": 6, "batch": 16, "learning_rate": 1e-2, "every": 2}
    found = run_to_its_end(ch13.learn(model, 0, **settings))
    assert [row[0] for row in found["curve"]] == [2, 4, 6]
    seconds = [row[2] for row in found["curve"]]
    assert seconds == sorted(seconds)
    assert found["curve"][-1][3] == pytest.approx(found["bits"], abs=1e-3)  # fewer than 300 here
    said = ch13.say(model, problem.held_out.source)
    assert found["different"] == len(set(said))
    assert sum(found["kinds"].values()) == len(said)
    assert found["kept"]["before"] != found["kept"]["after"]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_own_letters(problem, share):
    torch.manual_seed(0)
    model = ch13.make_model()
    batch = next(iter(problem.batches(8)))
    loss, _ = ch13.OwnLetters(share, share, calls=1)(model, batch, None)
    if share == 0:
        torch.testing.assert_close(loss, seq2seq_loss(model, batch, None)[0])
        return
    read, state = batch.target_in[:, :1], model.start(batch.source, batch.source_lengths)
    for _ in range(batch.target_in.shape[1] - 1):  # read all again from the beginning
        logits, _ = model.decoder.read(read, state)
        read = torch.cat([batch.target_in[:, :1], logits.argmax(2)], dim=1)
    logits, _ = model.decoder.read(read, state)
    expected = F.cross_entropy(logits[batch.mask], batch.target_out[batch.mask])
    torch.testing.assert_close(loss, expected)


def test_the_share_of_own_letters_goes_up():
    loss, shares = ch13.OwnLetters(0.2, 0.8, calls=4), []
    letters = torch.zeros(2_000, 2).long()

    def read(tokens, state):
        shares.append(tokens.float().mean().item())
        logits = torch.zeros(2_000, 1, 3, requires_grad=True) + F.one_hot(torch.tensor(1), 3)
        return logits, state

    model = SimpleNamespace(start=lambda *_: None, decoder=SimpleNamespace(read=read))
    batch = SimpleNamespace(
        source=None,
        source_lengths=None,
        target_in=letters,
        target_out=letters,
        mask=torch.ones_like(letters, dtype=torch.bool),
    )
    torch.manual_seed(0)
    for _ in range(6):
        loss(model, batch, None)
    assert shares[1::2] == pytest.approx([0.2, 0.35, 0.5, 0.65, 0.8, 0.8], abs=0.05)


def test_a_source_that_is_read_backwards(problem):
    torch.manual_seed(0)
    model = ch13.make_model(use="first state", one_way=True, hidden=128)
    batch = next(iter(problem.tested()))
    lengths = batch.source_lengths
    assert len(lengths.unique()) > 1  # some are padded
    turned = torch.zeros_like(batch.source)
    for row, n in enumerate(lengths.tolist()):
        turned[row, :n] = batch.source[row, :n].flip(0)
    expected = model(turned, lengths, batch.target_in)
    forwards = model(batch.source, lengths, batch.target_in)
    found = ch13.backwards(model)(batch.source, lengths, batch.target_in)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, forwards)


def test_log_probabilities_are_those_of_a_walk(problem):
    torch.manual_seed(0)
    model = ch13.make_model()
    texts = problem.held_out.source[:3]
    names = ["zwei", "", "dreiundsiebzig"]
    found = ch13.log_probabilities(model, texts, names)
    for text, name, score in zip(texts, names, found, strict=True):
        (source,) = problem.source.encode([text])
        state = model.start(source[None], torch.tensor([len(source)]))
        last, total = torch.tensor([problem.target.bos]), 0.0
        for token in problem.target.encode([name])[0]:
            log_probs, state = model.step(last, state)
            total, last = total + log_probs[0, token].item(), token[None]
        assert score == pytest.approx(total, rel=1e-4)


def test_beams_are_compared_with_greedy_search(problem, monkeypatch):
    german = list(problem.held_out.target)
    greedy = ["null", german[1], "null", *german[3:-1], "null"]  # three are wrong
    beamed = [german[0], "elf", *german[2:-1], "null"]  # two are mended, one is spoilt
    scores = {"null": -3.0, "elf": -1.0}

    def say(model, texts, beam_size=1, length_penalty=0.0):
        return beamed if beam_size > 1 else greedy

    def log_probabilities(model, texts, names):
        return [scores.get(name, -2.0) for name in names]

    monkeypatch.setattr(ch13, "say", say)
    monkeypatch.setattr(ch13, "log_probabilities", log_probabilities)
    found = ch13.compare_beams(None, [1, 4], [0])
    one, four = found["1, penalty 0"], found["4, penalty 0"]
    assert (one["exact"], one["likelier"], one["less likely"]) == (77 / 80, 0, 0)
    assert one["truth likelier"] == 1
    assert four["likelier"] == 3 / 80
    assert (four["mended"], four["spoilt"]) == (2 / 3, 1 / 3)
    assert four["truth likelier"] == 0.5  # than "null", not than "elf"
    assert four["letters"] == sum(map(len, beamed)) / 80


@pytest.mark.parametrize("name", ["teacher_forcing", "beam"])
def test_experiments_come_to_an_end(problem, name):
    settings = {"steps": 4, "batch": 16, "learning_rate": 1e-2, "every": 4}
    more = {
        "teacher_forcing": {"first": 0.0, "last": 1.0},
        "beam": {"stop": 2, "sizes": [2], "penalties": [0]},
    }[name]
    training = getattr(ch13, name)(0, **settings, **more)
    found = run_to_its_end(training)
    if name == "beam":
        assert set(found) == {"1, penalty 0", "2, penalty 0"}
    else:
        assert set(found["after a slip"]) == {"none", "number", "letter"}


def test_a_beam_belongs_to_a_model_that_was_stopped(problem):
    settings = {"steps": 6, "batch": 16, "learning_rate": 1e-2, "every": 6}
    training = ch13.beam(0, stop=2, sizes=[2], penalties=[0], **settings)
    assert len(list(islice(training, 10))) == 2
