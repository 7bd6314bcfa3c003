"""Dates as people write them in many places, and as ISO 8601 does."""

from __future__ import annotations

import random
from datetime import date, timedelta

from babel.dates import format_date

from unrolled.checking import check_whole
from unrolled.data.pairs import TextPairs, Translation

#: Places whose calendar is the Gregorian one, and whose digits are 0 to 9.
LOCALES = (
    *("cs", "da", "de", "en_GB", "en_US", "es", "et", "fi", "fr", "hr", "hu", "id", "it", "lt"),
    *("lv", "nb", "nl", "pl", "pt", "ro", "ru", "sk", "sl", "sv", "tr", "uk", "vi", "zh"),
)
#: The short format is left out: its 3/4/25 is two days, and it has no century.
FORMATS = ("medium", "long", "full")
FIRST, DAYS = date(1950, 1, 1), 36_525  # a hundred years


def date_pairs(train: int = 20_000, held_out: int = 1_000) -> Translation:
    """Draw days between 1950 and 2049, and write each as people do somewhere, and by ISO 8601.

    The place is one of 28 locales of the CLDR, the format its medium, long or full one. Letters are
    lower case, and every space is a plain one. No day is in both parts.

    Parameters
    ----------
    train, held_out
        Pairs in either part.

    Raises
    ------
    ValueError
        If a number is below 1, or they are more together than there are days.

    Examples
    --------
    >>> task = date_pairs(train=100, held_out=20)
    >>> written_date(date(2031, 5, 7), "de", "full")
    'mittwoch, 7. mai 2031'
    >>> set(task.train.target) & set(task.held_out.target)
    set()
    """
    check_whole(train=train, held_out=held_out)
    if train + held_out > DAYS:
        raise ValueError(f"{train + held_out} days are asked for; expected {DAYS} at most")
    generator = random.Random(0)  # independent of every other random number
    days = [FIRST + timedelta(day) for day in generator.sample(range(DAYS), train + held_out)]

    def pairs(days: list[date]) -> TextPairs:
        places = [(generator.choice(LOCALES), generator.choice(FORMATS)) for _ in days]
        written = [written_date(day, *place) for day, place in zip(days, places, strict=True)]
        return TextPairs(written, [day.isoformat() for day in days])

    return Translation(pairs(days[:train]), pairs(days[train:]))


def written_date(day: date, locale: str, style: str) -> str:
    """Write a day as a place does, in lower-case letters."""
    return " ".join(format_date(day, style, locale=locale).lower().split())
