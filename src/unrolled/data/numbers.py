"""Numbers in words, in one language and in another: a translation task without end."""

from __future__ import annotations

import random

from num2words import num2words

from unrolled.checking import check_choice, check_whole
from unrolled.data.pairs import TextPairs, Translation

LANGUAGES = ("cs", "da", "de", "en", "es", "fr", "it", "nl", "zh")
LARGEST = 10**12 - 1
SPREADS = ("numbers", "digits")

_DIGITS = "零一二三四五六七八九"
_PLACES = ("", "十", "百", "千")
_GROUPS = ("", "万", "亿")


def number_name(number: int, language: str) -> str:
    """Write a number in words, as num2words does; English without commas and hyphens.

    Chinese, which num2words lacks, is written with simplified characters and as schools teach it:
    groups of four digits, one 零 for any run of zeros between two digits, none for zeros at the end
    of a group, and 十 alone at the beginning for 10 to 19.

    Parameters
    ----------
    number
        From 0 to 999,999,999,999.
    language
        Its code: ``"cs"``, ``"da"``, ``"de"``, ``"en"``, ``"es"``, ``"fr"``, ``"it"``, ``"nl"`` or
        ``"zh"``.

    Raises
    ------
    ValueError
        If the language is unknown, or the number out of range.

    Examples
    --------
    >>> number_name(20_073, "en"), number_name(20_073, "de")
    ('twenty thousand and seventy three', 'zwanzigtausenddreiundsiebzig')
    >>> number_name(20_073, "zh")
    '二万零七十三'
    >>> number_name(105_000, "zh")
    '十万五千'
    """
    check_choice(LANGUAGES, language=language)
    check_whole(least=0, number=number)
    if number > LARGEST:
        raise ValueError(f"number is {number}; expected {LARGEST} at most")
    if language == "zh":
        return _in_chinese(number)
    name = num2words(number, lang=language)
    return name.replace(",", "").replace("-", " ") if language == "en" else name


def number_words(
    source: str = "en",
    target: str = "de",
    *,
    smallest: int = 0,
    largest: int = 99_999,
    spread: str = "numbers",
    train: int = 20_000,
    held_out: int = 1_000,
) -> Translation:
    """Draw numbers and write each in two languages; no number is in both parts.

    Parameters
    ----------
    source, target
        Languages, as :func:`number_name` takes them.
    smallest, largest
        The range of the numbers.
    spread
        ``"numbers"``: every number is equally likely, so most are long; ``"digits"``: every number
        of digits is.
    train, held_out
        Pairs in either part.

    Raises
    ------
    ValueError
        If an argument is unknown or out of range, or the range has fewer numbers than are asked
        for.

    Examples
    --------
    >>> task = number_words(train=500, held_out=100)
    >>> pairs = TextPairs(["seventy three"], ["dreiundsiebzig"])
    >>> number_name(73, "en") == pairs.source[0], number_name(73, "de") == pairs.target[0]
    (True, True)
    >>> set(task.train.source) & set(task.held_out.source)
    set()
    """
    check_choice(SPREADS, spread=spread)
    check_whole(least=0, smallest=smallest, largest=largest)
    check_whole(train=train, held_out=held_out)
    needed, there = train + held_out, largest - smallest + 1
    if needed > there:
        raise ValueError(
            f"{needed} numbers are asked for, and there are {max(there, 0)} from {smallest} to "
            f"{largest}; expected at most that many"
        )
    generator = random.Random(0)  # independent of every other random number
    if spread == "numbers":
        numbers = generator.sample(range(smallest, largest + 1), needed)
    else:
        numbers = _each_length(smallest, largest, needed, generator)
    learnt, tested = numbers[:train], numbers[train:]

    def pairs(numbers: list[int]) -> TextPairs:
        return TextPairs(
            [number_name(number, source) for number in numbers],
            [number_name(number, target) for number in numbers],
        )

    return Translation(pairs(learnt), pairs(tested))


def _each_length(smallest: int, largest: int, count: int, generator: random.Random) -> list[int]:
    """Draw distinct numbers, of each number of digits equally often as long as there are any."""
    pools = []
    for digits in range(len(str(smallest)), len(str(largest)) + 1):
        least = max(smallest, 10 ** (digits - 1) if digits > 1 else 0)
        pools.append(range(least, min(largest, 10**digits - 1) + 1))
    shares, left = {}, count
    for place, pool in enumerate(sorted(pools, key=len)):
        shares[pool] = min(len(pool), left // (len(pools) - place))
        left -= shares[pool]
    numbers = [number for pool in pools for number in generator.sample(pool, shares[pool])]
    generator.shuffle(numbers)
    return numbers


def _in_chinese(number: int) -> str:
    if not number:
        return _DIGITS[0]
    said, gap = "", False
    for group in reversed(range(len(_GROUPS))):
        four = number // 10_000**group % 10_000
        for place in reversed(range(len(_PLACES))):
            digit = four // 10**place % 10
            if digit:
                said += (_DIGITS[0] if gap and said else "") + _DIGITS[digit] + _PLACES[place]
            gap = not digit
        if four:
            said, gap = said + _GROUPS[group], False
    return said.removeprefix("一") if said.startswith("一十") else said
