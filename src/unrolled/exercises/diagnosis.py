"""From what a submission did to the one sentence that helps most.

Each diagnosis looks at all attempts (a case, what was expected, what came) and answers with a list
of sentences, the most helpful first, or with an empty list where it has nothing to say. Code stands
in backticks; steps and rows are counted from 1.
"""

from collections.abc import Callable, Mapping, Sequence

from unrolled.exercises import calling, form, gradients, values
from unrolled.exercises.exercise import Exercise, Mistake
from unrolled.exercises.outcome import Attempt, Outcome, first_difference, same_at

Diagnosis = Callable[[Exercise, Sequence[Attempt]], list[str]]

# In this order: what is named first must be mended before the rest means anything.
DIAGNOSES: tuple[Diagnosis, ...] = (
    calling.exceptions,
    form.nothing_returned,
    form.structure,
    form.shapes,
    form.dtypes,
    form.not_finite,
    form.changed_arguments,
    values.values,
    gradients.gradients,
)


def diagnose(exercise: Exercise, attempts: Sequence[Attempt]) -> list[str]:
    """Sentences on what is wrong, the most helpful first."""
    for diagnosis in DIAGNOSES:
        if found := diagnosis(exercise, attempts):
            return found
    return ["Something differs from what was expected."]


def recognised(
    attempts: Sequence[Attempt],
    mistakes: Sequence[Mistake],
    outcomes: Mapping[str, Sequence[Outcome]],
) -> Mistake | None:
    """Find the listed mistake that does exactly what the submission does, or None.

    A mistake that agrees in everything goes before one that agrees in what is wrong first.
    """
    partly = None
    for mistake in mistakes:
        pairs = list(zip(attempts, outcomes[mistake.name], strict=True))
        keys = [attempt.difference for attempt in attempts]
        if any(
            first_difference(other, attempt.expected) != key
            for (attempt, other), key in zip(pairs, keys, strict=True)
        ):
            continue
        if all(first_difference(a.outcome, other) is None for a, other in pairs):
            return mistake
        same = all(
            same_at(key, attempt.outcome, other)
            for (attempt, other), key in zip(pairs, keys, strict=True)
        )
        partly = partly or (mistake if same else None)
    return partly
