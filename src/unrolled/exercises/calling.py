"""Can it be called, was it begun, and where did it stop: what comes before any result."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

import torch

from unrolled.exercises.exercise import Exercise
from unrolled.exercises.outcome import Attempt
from unrolled.exercises.wording import error_text, kind_of, right_only

# --- Before it runs ------------------------------------------------------------------------------


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # built-in functions do not say
        return None


def _text(parameters: Sequence[inspect.Parameter]) -> str:
    return f"({', '.join(str(p.replace(annotation=p.empty)) for p in parameters)})"


def _signature(name: str, given: Callable[..., Any], wanted: Callable[..., Any]) -> list[str]:
    came, expected = _parameters(given), _parameters(wanted)
    if came is None or expected is None:
        return []
    shown = f"it takes `{_text(came)}`, expected `{_text(expected)}`"
    try:
        inspect.signature(given).bind(*expected)
    except TypeError:
        return [f"`{name}` cannot be called as it should be: {shown}."]
    names, wanted_names = [p.name for p in came], [p.name for p in expected]
    if names != wanted_names and sorted(names) == sorted(wanted_names):
        return [f"The arguments of `{name}` are in another order: {shown}."]
    return []


def misfit(exercise: Exercise, submission: object) -> list[str]:
    """Say what keeps a submission from being called at all."""
    solution = exercise.solution
    wanted = solution.__name__
    if not callable(submission):
        return [
            f"You gave {kind_of(submission)}: give `{wanted}` itself, without brackets, "
            f'as in `check("{exercise.id}", {wanted})`.'
        ]
    name = getattr(submission, "__name__", type(submission).__name__)
    if not isinstance(solution, type):
        if isinstance(submission, type):
            return [f"You gave the class `{name}`, expected a function like `{wanted}`."]
        return _signature(name, submission, solution)
    if not isinstance(submission, type):
        return [
            f"You gave {kind_of(submission)}: give the class `{wanted}` itself, without brackets."
        ]
    if issubclass(solution, torch.nn.Module) and not issubclass(submission, torch.nn.Module):
        return [f"Your class is no module: begin it with `class {wanted}(torch.nn.Module):`."]
    for method, function in vars(solution).items():
        if not inspect.isfunction(function):
            continue
        given = getattr(submission, method, None)
        if given is None:
            return [f"Your class has no method `{method}`."]
        if found := _signature(f"{name}.{method}", given, function):
            return found
    return []


def _body(function: CodeType | Callable[..., Any]) -> list[ast.stmt] | None:
    """Read the body of a function, without its docstring; None where there is no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    body = getattr(tree.body[0], "body", None)
    if not isinstance(body, list):
        return None
    return [
        node
        for node in body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]


def _is_stub(code: CodeType) -> bool | None:
    """Whether the body is only a docstring and `raise NotImplementedError`; None: no source."""
    body = _body(code)
    return None if body is None else len(body) == 1 and isinstance(body[0], ast.Raise)


def _same_code(first: Callable[..., Any], second: Callable[..., Any]) -> bool:
    """Whether two functions have one body, whatever their comments and form; False: no source."""
    bodies = [_body(function) for function in (first, second)]
    if None in bodies:
        return False
    one, other = ([ast.dump(node) for node in body or []] for body in bodies)
    return one == other


def untouched(
    exercise: Exercise, submission: Callable[..., Any], attempts: Sequence[Attempt]
) -> bool:
    """Whether the stub is still as it stands in the chapter."""
    if exercise.start is not None:
        return _same_code(submission, exercise.start)
    first = attempts[0].outcome
    if not isinstance(first.error, NotImplementedError) or first.place is None:
        return False
    codes = [first.place.code]
    if isinstance(submission, type):
        codes = [f.__code__ for f in vars(submission).values() if inspect.isfunction(f)]
    return all(_is_stub(code) is not False for code in codes)


# --- Exceptions ----------------------------------------------------------------------------------

# What to look at, for the messages that readers meet most.
ADVICE = (
    (
        r"same dtype|scalar type|dtype .* but|equal to src.dtype",
        "The inputs of the check are `float64`: a tensor that you make yourself takes its type "
        "from them with `x.new_zeros(...)` or `dtype=x.dtype`.",
    ),
    (
        r"shapes cannot be multiplied|size mismatch|inconsistent tensor size",
        "In a product the last size of the left must equal the first size of the right: compare "
        "the shapes, and think of the transpose `.T`.",
    ),
    (
        r"size of tensor a .* must match",
        "Two tensors that meet in a sum or a `*` must have the same shape, or sizes of 1; the "
        "matrix product is `@`.",
    ),
    (
        r"Sizes of tensors must match except in dimension",
        "Tensors that are put together differ along one axis only: which `dim` is it here?",
    ),
    (
        r"stack expects each tensor",
        "`torch.stack` makes a new axis, and all its tensors have the same shape; `torch.cat` "
        "joins along an axis that is there.",
    ),
    (
        r"must be tuple of Tensors",
        "The tensors go in as one list: `[a, b]`, in square brackets.",
    ),
    (r"'int' object is not iterable", "A loop over a number needs `range`, as in `range(n)`."),
    (r"operand type.*'list'", "Lists do not calculate, tensors do: leave it a tensor."),
    (
        r"Index tensor must have the same number of dimensions",
        "The index of `gather` has as many axes as the tensor, and the shape of the result.",
    ),
    (
        r"indexing tensors could not be broadcast",
        "Index tensors go in pairs: they have the same length, one entry for each row.",
    ),
    (
        r"modified by an inplace operation",
        "A tensor that the backward pass needs was overwritten: write `h = h + ...` rather than "
        "`h += ...`, and collect results in a list.",
    ),
    (
        r"used in an in-place operation",
        "A parameter that requires a gradient is not changed in place: change a copy, "
        "`p.detach().clone()`, or work under `torch.no_grad()`.",
    ),
    (
        r"Can't call numpy\(\)|that requires grad",
        "Stay with torch's own functions: NumPy and plain numbers carry no gradient.",
    ),
    (r"expected np.ndarray|can't convert", "Stay with torch's own functions rather than NumPy's."),
    (
        r"Python scalars|converted to Scalar",
        "Functions of `math` take single numbers: torch has its own, such as `torch.tanh`.",
    ),
    (
        r"before Module.__init__\(\) call",
        "The first line of `__init__` must be `super().__init__()`.",
    ),
    (
        r"does not require grad",
        "The result is cut off from the arguments: look for `detach`, `.data`, `no_grad`.",
    ),
    (r"index .* out of (bounds|range)", "Is the axis the right one, and the first index 0?"),
    (r"used as indices", "An index is a whole number: use `//`, or `.long()`."),
    (r"is not defined|referenced before assignment|not associated", "Is the name spelt right?"),
    (
        r"required (positional )?argument|positional arguments? but",
        "Compare the names and the number of the arguments with the statement.",
    ),
)


def advice_for(error: BaseException) -> list[str]:
    """Say what to look at, where the exception is a frequent one."""
    if isinstance(error, RecursionError):
        return ["The function calls itself without an end: a loop over the steps is enough."]
    text = str(error)
    return [advice for pattern, advice in ADVICE if re.search(pattern, text)][:1]


def _still_raises(attempt: Attempt) -> str:
    place = attempt.outcome.place
    assert place is not None
    if _is_stub(place.code):
        return f"`{place.code.co_name}` is still empty: it raises `NotImplementedError` at {place}."
    return (
        f"Your code runs into `raise NotImplementedError` at {place}: take that line out, now that "
        "there is code of your own."
    )


def exceptions(exercise: Exercise, attempts: Sequence[Attempt]) -> list[str]:
    """Diagnose code that stopped with an exception."""
    wrong = [attempt for attempt in attempts if attempt.outcome.error is not None]
    if not wrong:
        return []
    error, place = wrong[0].outcome.error, wrong[0].outcome.place
    at = f" at {place}" if place else ""
    if isinstance(error, NotImplementedError) and place and "NotImplementedError" in place.text:
        return [_still_raises(wrong[0])]
    if isinstance(error, SystemExit):
        first = f"Your code ends Python{at}: a function ends with `return`."
    elif isinstance(error, KeyboardInterrupt):
        first = f"Your code raises `KeyboardInterrupt`{at}, which is for the keyboard only."
    elif isinstance(error, EOFError) and "during a check" in str(error):
        first = f"Your code asks for input{at}: everything that it needs comes as an argument."
    else:
        first = f"Your code stops with {error_text(error)}{at}."
    return [first, *advice_for(error), *right_only(attempts)]
