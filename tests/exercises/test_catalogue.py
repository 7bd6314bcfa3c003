"""Every exercise of every chapter: stub, solution, mistakes and hints keep what they promise."""

import ast
import inspect
import json
import linecache
import re
from pathlib import Path

import pytest
import torch

from unrolled import exercises
from unrolled.exercises import catalogue, check, check_with_seed, hint, solution
from unrolled.exercises.exercise import Draw
from unrolled.exercises.outcome import run_case

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = catalogue()
# Few seeds at each change, many in `make test-slow`.
SEEDS = pytest.mark.parametrize(
    "seeds", [range(2), pytest.param(range(2, 20), marks=pytest.mark.slow)], ids=str
)
every_exercise = pytest.mark.parametrize("exercise", CATALOGUE.values(), ids=CATALOGUE)
every_mistake = pytest.mark.parametrize(
    ("exercise", "mistake"),
    [
        pytest.param(exercise, mistake, id=f"{exercise.id}-{mistake.name}")
        for exercise in CATALOGUE.values()
        for mistake in (*exercise.mistakes, *exercise.inherited)
    ],
)
listed_mistake = pytest.mark.parametrize(
    ("exercise", "mistake"),
    [
        pytest.param(exercise, mistake, id=f"{exercise.id}-{mistake.name}")
        for exercise in CATALOGUE.values()
        for mistake in exercise.mistakes
    ],
)


def code_cells(chapter):
    """Sources of the code cells of a chapter's notebook."""
    notebooks = list((ROOT / "chapters").glob(f"{chapter}-*.ipynb"))
    assert len(notebooks) == 1, f"chapter {chapter} has {len(notebooks)} notebooks"
    cells = json.loads(notebooks[0].read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def last_check(source):
    """(id, name) of the `check` that ends a cell, or None."""
    found = re.search(r'^check\("(\d\d\.\d+)", (\w+)\)\s*\Z', source, flags=re.MULTILINE)
    return found.groups() if found else None


def stub_of(exercise):
    """The stub of an exercise, defined from the text that stands in the chapter."""
    checks = [(last_check(source), source) for source in code_cells(exercise.chapter)]
    sources = [source for found, source in checks if found and found[0] == exercise.id]
    assert len(sources) == 1, f"{exercise.id} has {len(sources)} cells that end with its check"
    tree = ast.parse(sources[0])
    assert len(tree.body) == 2, "one stub and its check in a cell, nothing else"
    name = tree.body[0].name
    assert last_check(sources[0])[1] == name == exercise.solution.__name__
    names = {"torch": torch, "nn": torch.nn, "Tensor": torch.Tensor}
    # Its source can be read, as that of a notebook's cell.
    file, lines = f"<stub {exercise.id}>", sources[0].splitlines(keepends=True)
    linecache.cache[file] = (len(sources[0]), None, lines, file)
    body = ast.Module(body=tree.body[:1], type_ignores=[])
    exec(compile(body, file, "exec"), names)
    return names[name]


def parameters(function):
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


# --- Stubs ----------------------------------------------------------------------------------------


@every_exercise
def test_the_stub_in_the_chapter_has_the_signature_of_the_solution(exercise):
    stub = stub_of(exercise)
    assert isinstance(stub, type) == isinstance(exercise.solution, type)
    if not isinstance(stub, type):
        assert parameters(stub) == parameters(exercise.solution)
        return
    methods = {
        name: function
        for name, function in vars(exercise.solution).items()
        if inspect.isfunction(function)
    }
    assert methods
    for name, function in methods.items():
        assert parameters(vars(stub)[name]) == parameters(function)
    assert stub.__mro__[1:] == exercise.solution.__mro__[1:]


@every_exercise
def test_the_stub_in_the_chapter_is_not_attempted(exercise):
    report = check(exercise.id, stub_of(exercise))
    assert not report.attempted
    assert not report.passed


@pytest.mark.parametrize("chapter", sorted({e.chapter for e in CATALOGUE.values()}))
def test_each_check_in_a_chapter_has_an_exercise(chapter):
    text = "\n".join(code_cells(chapter))
    used = set(re.findall(r'\b(?:check|hint|solution)\("([^"]+)"', text))
    assert used == {e.id for e in CATALOGUE.values() if e.chapter == chapter}


# --- Solutions and mistakes -----------------------------------------------------------------------


@SEEDS
@every_exercise
def test_the_solution_passes_for_every_seed(exercise, seeds):
    for seed in seeds:
        report = check_with_seed(exercise, exercise.solution, seed)
        assert report.passed, report
        assert len(report.messages) == 1, report


@every_exercise
def test_the_solution_raises_nothing(exercise):
    """An answer that raises what the reference raises would be right."""
    for case in exercise.cases(Draw(0)):
        assert run_case(exercise, exercise.solution, case, 0).error is None, case


@SEEDS
@every_mistake
def test_a_mistake_gets_its_message_for_every_seed(exercise, mistake, seeds):
    for seed in seeds:
        report = check_with_seed(exercise, mistake.code, seed)
        assert report.attempted
        assert not report.passed
        assert report.messages[0] == mistake.message, f"seed {seed}"
        # Nothing more, but for the place of an exception.
        assert all("Your code stops with" in detail for detail in report.messages[1:])


@every_exercise
def test_mistakes_are_enough_and_their_messages_differ(exercise):
    messages = [mistake.message for mistake in exercise.mistakes]
    assert len(messages) >= 3
    assert len(set(messages)) == len(messages)
    assert len({mistake.name for mistake in exercise.mistakes}) == len(messages)


@listed_mistake
def test_a_mistake_has_the_form_of_an_answer(exercise, mistake):
    assert isinstance(mistake.code, type) == isinstance(exercise.solution, type)
    if not isinstance(mistake.code, type):
        names = [name for name, *_ in parameters(mistake.code)]
        assert names == [name for name, *_ in parameters(exercise.solution)]
    assert mistake.code.__name__ in mistake.source
    assert mistake.name == mistake.name.lower().strip()


@every_exercise
def test_sentences_are_sentences(exercise):
    for text in (*exercise.hints, *(mistake.message for mistake in exercise.mistakes)):
        assert text.endswith((".", "?"))
        assert not re.search(r"!|—|  ", text)
        assert text.count("`") % 2 == 0
        assert text[0].isupper() or text[0] == "`"
    assert not exercise.title.endswith(".")


@every_exercise
def test_no_sentence_repeats_what_the_book_refutes(exercise):
    # Chapter 2 measures it: with weights that are too large, the gradient grows.
    for text in (*exercise.hints, *(mistake.message for mistake in exercise.mistakes)):
        assert not re.search(r"gradient is (nearly )?zero|vanish|tanh is (not )?flat", text)


@every_exercise
def test_hints_do_not_repeat(exercise):
    assert len(exercise.hints) >= 1
    assert len(set(exercise.hints)) == len(exercise.hints)


@every_exercise
def test_a_check_is_fast(exercise):
    # Measured by the machinery itself: far less than the limit for the whole exercise.
    for code in (exercise.solution, *(mistake.code for mistake in exercise.mistakes)):
        assert "did not return" not in check_with_seed(exercise, code, 0, 1.0).messages[0]


# --- The public functions -------------------------------------------------------------------------


def test_ids_are_in_order_and_name_their_chapter():
    numbers = [tuple(map(int, key.split("."))) for key in CATALOGUE]
    assert numbers == sorted(numbers)
    for chapter in {chapter for chapter, _ in numbers}:
        of_chapter = [number for found, number in numbers if found == chapter]
        assert of_chapter == list(range(1, len(of_chapter) + 1))
    for key, exercise in CATALOGUE.items():
        assert exercise.id == key
        assert inspect.getmodule(exercise.solution).__name__.endswith(f".ch{exercise.chapter}")


def test_all_chapter_modules_are_found():
    folder = Path(exercises.__file__).parent
    chapters = {path.stem.removeprefix("ch") for path in folder.glob("ch[0-9][0-9].py")}
    assert chapters == {exercise.chapter for exercise in CATALOGUE.values()}
    assert chapters


@pytest.mark.parametrize("function", [check, hint, solution])
def test_an_unknown_id_names_the_nearest(function):
    first = next(iter(CATALOGUE))
    wrong = f"{first} and more"
    message = f"there is no exercise '{wrong}'; the id is a text and comes first, as \"{first}\""
    with pytest.raises(ValueError, match=re.escape(message)):
        call(function, wrong)


def call(function, key):
    return function(key, len) if function is check else function(key)


@pytest.mark.parametrize("function", [check, hint, solution])
@every_exercise
def test_an_id_written_otherwise_is_understood(function, exercise):
    chapter, number = exercise.id.split(".")
    written = {f"{int(chapter)}.{number}", f"{chapter}-{number}", f" {chapter}.0{number}"}
    for wrong in written - {exercise.id}:
        message = f"there is no exercise {wrong!r}: did you mean '{exercise.id}'?"
        with pytest.raises(ValueError, match=re.escape(message)):
            call(function, wrong)


@pytest.mark.parametrize("function", [check, hint, solution])
@pytest.mark.parametrize("chapter", sorted({e.chapter for e in CATALOGUE.values()}))
def test_an_exercise_on_paper_has_no_check(function, chapter):
    own = [e.id for e in CATALOGUE.values() if e.chapter == chapter]
    message = (
        f"{chapter}.{len(own) + 1} has no check: the exercises of chapter {chapter} that answer "
        f"back are {own[0]} to {own[-1]}; the others are done on paper"
    )
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        call(function, f"{chapter}.{len(own) + 1}")
    assert str(error.value).endswith("are folded below them in the chapter")


def test_arguments_in_the_wrong_order_are_told_so():
    with pytest.raises(ValueError, match="the id is a text and comes first"):
        check(len, next(iter(CATALOGUE)))


def test_catalogue_gives_a_copy():
    catalogue().clear()
    assert catalogue() == CATALOGUE


@pytest.mark.parametrize(
    "exercise", [e for e in CATALOGUE.values() if not isinstance(e.solution, type)]
)
def test_check_draws_other_inputs_at_each_call(exercise):
    seen = []

    def spy(*args, **kwargs):
        seen.append([str(argument) for argument in args])
        return exercise.solution(*args, **kwargs)

    spy.__signature__ = inspect.signature(exercise.solution)
    for _ in range(4):
        assert check(exercise.id, spy).passed
    per_call = len(seen) // 4
    calls = [str(seen[start : start + per_call]) for start in range(0, len(seen), per_call)]
    assert len(set(calls)) > 1


@every_exercise
def test_hints_come_one_by_one(exercise, monkeypatch):
    monkeypatch.setattr(exercises, "_hints_shown", {})
    total = len(exercise.hints)
    for count in range(1, total + 1):
        shown = hint(exercise.id)
        assert shown.shown == exercise.hints[:count]
        assert "no more hints" not in repr(shown)
        assert f"Hint {count} of {total}" in repr(shown)
        assert f"Hint {count} of {total}" in shown._repr_html_()
    for _ in range(2):
        assert f'no more hints: `solution("{exercise.id}")`' in repr(hint(exercise.id))
    assert hint(exercise.id).shown == exercise.hints


@every_exercise
def test_the_solution_shows_its_source(exercise):
    shown = solution(exercise.id)
    assert repr(shown) == exercise.source.rstrip()
    assert exercise.solution.__name__ in repr(shown)
    assert shown._repr_markdown_() == f"```python\n{exercise.source.rstrip()}\n```"
    # It stands for itself: what the text defines passes.
    names = {"torch": torch, "Tensor": torch.Tensor}
    exec(repr(shown), names)
    assert check(exercise.id, names[exercise.solution.__name__]).passed
