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
    """Whatever the random numbers, ``expected`` is said.

    It is the name of a listed mistake, whose message comes first then, or a part of what is said.
    """
    listed = {m.name: m.message for m in catalogue()[key].mistakes}
    for seed in seeds:
        report = check_with_seed(catalogue()[key], answer, seed)
        assert not report.passed
        if expected in listed:
            assert report.messages[0] == listed[expected]
        else:
            assert expected in " ".join(report.messages), report.messages
