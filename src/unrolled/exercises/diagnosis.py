"""From what a submission did to the one sentence that helps most.

Each diagnosis looks at all attempts (a case, what was expected, what came) and answers with a list
of sentences, the most helpful first, or with an empty list where it has nothing to say. Code stands
in backticks; steps and rows are counted from 1.
"""

from collections.abc import Callable, Sequence

from unrolled.exercises import calling, form, gradients, values
from unrolled.exercises.exercise import Case, Exercise, Mistake
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
    if attempts[0].difference is not None and attempts[0].outcome.error is None:
        # The most general case comes to an end: an exception in a special one follows from it.
        attempts = [attempt for attempt in attempts if attempt.outcome.error is None]
    for diagnosis in DIAGNOSES:
        if found := diagnosis(exercise, attempts):
            return found
    return ["Something differs from what was expected."]


def recognised(
    attempts: Sequence[Attempt],
    mistakes: Sequence[Mistake],
    run: Callable[[Mistake, Case], Outcome],
) -> Mistake | None:
    """Find the listed mistake that does what the submission does in every case, or None.

    A mistake that agrees in everything goes before one that agrees in what is wrong first.
    """
    partly = None
    for mistake in mistakes:
        same = everywhere = True
        for attempt in attempts:
            other = run(mistake, attempt.case)
            key = attempt.difference
            same = first_difference(other, attempt.expected) == key
            if not (same and same_at(key, attempt.outcome, other)):
                same = False
                break
            everywhere = everywhere and first_difference(attempt.outcome, other) is None
        if same and everywhere:
            return mistake
        if same and partly is None:
            partly = mistake
    return partly
