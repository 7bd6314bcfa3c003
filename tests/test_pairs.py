"""Pairs of texts: what cuts them, their batches, number words and dates."""

import datetime
import itertools

import pytest
import torch

from unrolled.data import (
    PairBatches,
    TextPairs,
    Tokenizer,
    date_pairs,
    number_name,
    number_words,
)
from unrolled.data.dates import DAYS, FIRST, FORMATS, LOCALES, written_date
from unrolled.data.numbers import LANGUAGES, LARGEST

# Written by hand, after the rules of each language.
NAMES = {
    "en": {73: "seventy three", 1_234: "one thousand two hundred and thirty four"},
    "de": {73: "dreiundsiebzig", 21_000: "einundzwanzigtausend", 2_000_000: "zwei Millionen"},
    "fr": {73: "soixante-treize", 80: "quatre-vingts"},
    "nl": {73: "drieënzeventig"},
    "it": {73: "settantatré"},
    "es": {73: "setenta y tres"},
    "da": {73: "treoghalvfjerds"},
    "cs": {73: "sedmdesát tři"},
    "zh": {
        0: "零",
        10: "十",
        14: "十四",
        20: "二十",
        101: "一百零一",
        110: "一百一十",
        1_001: "一千零一",
        10_010: "一万零一十",
        20_073: "二万零七十三",
        100_000: "十万",
        105_000: "十万五千",
        1_010_000: "一百零一万",
        6_002_603: "六百万二千六百零三",
        100_000_001: "一亿零一",
        100_005_000: "一亿零五千",
        110_000_000: "一亿一千万",
        120_030_000: "一亿二千零三万",
        123_456_789_012: "一千二百三十四亿五千六百七十八万九千零一十二",
    },
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_numbers_in_words(language):
    for number, name in NAMES[language].items():
        assert number_name(number, language) == name


def from_chinese(name):
    """Read a Chinese number, by the rules for readers, not for writers."""
    digits, places = "零一二三四五六七八九", {"十": 10, "百": 100, "千": 1000}
    total = four = digit = 0
    for letter in name:
        if letter in digits:
            digit = digits.index(letter)
        elif letter in places:
            four, digit = four + (digit or 1) * places[letter], 0
        else:
            total, four, digit = total + (four + digit) * {"万": 10**4, "亿": 10**8}[letter], 0, 0
    return total + four + digit


def test_chinese_numbers_can_be_read_back():
    numbers = [*range(30_000), *(10**k + j for k in range(4, 12) for j in (0, 1, 10, 205, 9_000))]
    for number in [*numbers, *range(7, LARGEST, 987_654_321)]:
        name = number_name(number, "zh")
        assert from_chinese(name) == number
        assert "零零" not in name
        assert not (name.endswith("零") and number)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_two_numbers_have_one_name(language):
    numbers = range(0, 99_999, 37)
    assert len({number_name(number, language) for number in numbers}) == len(numbers)


@pytest.fixture(scope="module")
def english():
    """Every English name below 100,000, and its number."""
    return {number_name(number, "en"): number for number in range(100_000)}


def test_number_words_are_split_between_numbers(english):
    task = number_words(train=400, held_out=100)
    assert [len(side) for part in task for side in part] == [400, 400, 100, 100]
    everything = task.train.source + task.held_out.source
    assert len(set(everything)) == 500
    for part in task:
        for source, target in zip(*part, strict=True):
            assert number_name(english[source], "de") == target
    assert number_words(train=400, held_out=100) == task
    assert max(english[source] for source in everything) > 90_000


def test_number_words_of_every_length(english):
    task = number_words("fr", "en", smallest=5, largest=99_999, spread="digits", train=300)
    assert len(set(task.train.source + task.held_out.source)) == 1_300
    digits = [len(str(english[name])) for name in task.train.target + task.held_out.target]
    counts = [digits.count(length) for length in range(1, 6)]
    assert counts[:2] == [5, 90]  # as many as there are
    assert counts[2:] == [401, 402, 402]
    shares = sum(english[name] > 9_999 for name in task.train.target) / 300
    assert 0.25 < shares < 0.40  # mixed before they are split


def test_number_words_name_what_is_wrong():
    with pytest.raises(ValueError, match="11 numbers are asked for, and there are 10 from 0 to 9"):
        number_words(largest=9, train=10, held_out=1)
    with pytest.raises(ValueError, match="language is 'xx'; expected one of 'cs'"):
        number_words("xx", train=5, held_out=1)
    with pytest.raises(ValueError, match="spread is 'even'"):
        number_words(spread="even")
    with pytest.raises(ValueError, match="train is 0"):
        number_words(train=0)
    with pytest.raises(ValueError, match=r"number is 1000000000000; expected 999999999999 at most"):
        number_name(LARGEST + 1, "de")
    with pytest.raises(ValueError, match="number is -1"):
        number_name(-1, "zh")


def test_every_date_has_one_meaning():
    days = [FIRST + datetime.timedelta(day) for day in range(0, DAYS, 11)]
    meanings = {}
    for day, locale, style in itertools.product(days, LOCALES, FORMATS):
        text = written_date(day, locale, style)
        assert meanings.setdefault(text, day) == day, (text, locale, style)
        assert text == text.lower()
        assert str(day.year) in text


def test_dates_are_split_between_days():
    task = date_pairs(train=300, held_out=50)
    assert len(set(task.train.target + task.held_out.target)) == 350
    for day in task.train.target:
        assert 1950 <= datetime.date.fromisoformat(day).year <= 2049
    for part in task:
        for source, target in zip(*part, strict=True):
            day = datetime.date.fromisoformat(target)
            ways = {written_date(day, *way) for way in itertools.product(LOCALES, FORMATS)}
            assert source in ways
    assert date_pairs(train=300, held_out=50) == task
    with pytest.raises(ValueError, match=r"36526 days are asked for; expected 36525 at most"):
        date_pairs(train=DAYS, held_out=1)


PAIRS = TextPairs(
    ["one", "seventy three", "twenty thousand and five", "ten"],
    ["eins", "dreiundsiebzig", "zwanzigtausendfünf", "zehn"],
)


@pytest.mark.parametrize("by", ["letters", "words", "number pieces"])
def test_texts_survive_their_tokens(by):
    texts = PAIRS.source if by == "words" else PAIRS.target
    tokenizer = Tokenizer(texts, by=by)
    for text, tokens in zip(texts, tokenizer.encode(texts), strict=True):
        assert tokens[-1] == tokenizer.eos
        assert (tokens[:-1] != tokenizer.eos).all()
        assert tokenizer.text(tokens) == text
        assert tokenizer.pieces(torch.cat([tokens, tokens])) == tokenizer.cut(text)
    assert tokenizer.vocab_size == len(tokenizer.vocab)


def test_number_pieces():
    tokenizer = Tokenizer(["a"], by="number pieces")
    for number in range(3_000):
        name = number_name(number, "de")
        assert "".join(tokenizer.cut(name)) == name
        assert not any(len(piece) == 1 for piece in tokenizer.cut(name))
    name = number_name(17_000_001_616, "de")
    assert "|".join(tokenizer.cut(name)) == (
        "siebzehn| |Milliarden| |ein|tausend|sechs|hundert|sechzehn"
    )


def test_unknown_tokens():
    strict, lenient = (Tokenizer(PAIRS.source, by="words", unknown=on) for on in (False, True))
    with pytest.raises(ValueError, match="token 'eleven' at place 1 is not among the"):
        strict.encode(["twenty eleven"])
    assert lenient.text(lenient.encode(["twenty eleven"])[0]) == "twenty <unk>"
    with pytest.raises(ValueError, match="by is 'syllables'"):
        Tokenizer(PAIRS.source, by="syllables")
    with pytest.raises(ValueError, match="there is no text"):
        Tokenizer([""])


def test_batches_hold_all_pairs_as_they_are():
    words, letters = Tokenizer(PAIRS.source, by="words"), Tokenizer(PAIRS.target)
    for shuffle in (False, True):
        found = []
        batches = PairBatches(PAIRS, words, letters, batch=3, shuffle=shuffle)
        assert len(batches) == 2
        for batch in batches:
            rows = len(batch.source)
            assert (batch.target_in[:, 0] == letters.bos).all()
            for row in range(rows):
                steps, time = int(batch.source_lengths[row]), int(batch.mask[row].sum())
                assert batch.mask[row, :time].all()
                out = batch.target_out[row]
                assert out[time - 1] == letters.eos
                assert (out[: time - 1] != letters.eos).all()
                assert torch.equal(batch.target_in[row, 1:time], out[: time - 1])
                source = words.text(batch.source[row, :steps])
                assert steps == len(source.split()) + 1
                found.append((source, letters.text(out)))
            assert batch.weight == int(batch.mask.sum())
            assert batch.source.shape[1] == batch.source_lengths.max()
        assert sorted(found) == sorted(zip(*PAIRS, strict=True))


def test_batches_are_of_about_one_length_and_in_another_order_each_time():
    task = number_words(train=600, held_out=1)
    words, letters = Tokenizer(task.train.source, by="words"), Tokenizer(task.train.target)
    batches = PairBatches(task.train, words, letters, batch=20)
    torch.manual_seed(0)
    first, second = list(batches), list(batches)
    share = sum(batch.weight for batch in first) / sum(batch.mask.numel() for batch in first)
    assert share > 0.85
    assert not torch.equal(first[0].target_out, second[0].target_out)
    lengths = [batch.mask.shape[1] for batch in first]
    assert lengths != sorted(lengths)


def test_batches_name_what_is_wrong():
    words, letters = Tokenizer(PAIRS.source, by="words"), Tokenizer(PAIRS.target)
    with pytest.raises(ValueError, match="4 texts came with 3 translations"):
        PairBatches(TextPairs(PAIRS.source, PAIRS.target[:3]), words, letters, batch=2)
    with pytest.raises(ValueError, match="0 texts came with 0"):
        PairBatches(TextPairs([], []), words, letters, batch=2)
    with pytest.raises(ValueError, match="text 1 is empty; leave the pair out"):
        PairBatches(TextPairs(["one", ""], ["eins", "zwei"]), words, letters, batch=2)
    with pytest.raises(ValueError, match="batch is 0"):
        PairBatches(PAIRS, words, letters, batch=0)
