"""What the tests of all chapters ask of answers that are written otherwise than in the list."""

import pytest

from unrolled.exercises import catalogue, check_with_seed

SEEDS = pytest.mark.parametrize(
    "seeds", [range(2), pytest.param(range(2, 20), marks=pytest.mark.slow)], ids=str
)


def message(key, mistake):
    """Message of a listed mistake, by its name."""
    return {m.name: m.message for m in catalogue()[key].mistakes}[mistake]


def assert_passes(key, answer, seeds):
    """Whatever the random numbers, the answer is right."""
    for seed in seeds:
        report = check_with_seed(catalogue()[key], answer, seed)
        assert report.passed, report


def assert_told(key, answer, expected, seeds):
    """Whatever the random numbers, ``expected`` is said first.

    It is the name of a listed mistake, whose message it is, or a part of what is said; or a pair,
    of the number of a message after the first, and a part of that.
    """
    listed = {m.name: m.message for m in catalogue()[key].mistakes}
    place, text = expected if isinstance(expected, tuple) else (0, expected)
    for seed in seeds:
        report = check_with_seed(catalogue()[key], answer, seed)
        assert not report.passed
        if text in listed:
            assert report.messages[place] == listed[text], report.messages
        else:
            assert text in report.messages[place], report.messages
