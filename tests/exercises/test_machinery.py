"""`check` under attack: whatever a reader's code does, one sentence helps and nothing breaks."""

import _thread
import builtins
import functools
import io
import random
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from torch import nn
from toys import (
    COUNT,
    IN_TWO,
    RUN,
    SCALE,
    SHIFT,
    STEP,
    TOTAL,
    Scale,
    no_memory,
    not_transposed,
    run,
    shift,
    step,
    total,
)
from traitlets.config import Config

from unrolled import exercises
from unrolled.exercises import check_with_seed
from unrolled.exercises.report import EDGES
from unrolled.figures.palette import COLOURS

SEED = 7


def report(submission, exercise=STEP, limit=5.0):
    return check_with_seed(exercise, submission, SEED, limit)


def said(submission, exercise=STEP, limit=5.0):
    """The first message to an answer that must be attempted and wrong."""
    found = report(submission, exercise, limit)
    assert found.attempted
    assert not found.passed
    assert not re.search(r"!|tensor\(", " ".join(found.messages))
    return found.messages[0]


# --- Right answers, in every form ----------------------------------------------------------------


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


class Callable:
    def __call__(self, x_t, h, weight):
        return step(x_t, h, weight)


class Module(nn.Module):
    def forward(self, x_t, h, weight):
        return step(x_t, h, weight)


def filled(x_t, h, weight):
    new = torch.zeros_like(h)
    for row in range(len(h)):
        new[row] = torch.tanh(x_t[row] + weight @ h[row])
    return new


@pytest.mark.parametrize(
    "answer",
    [
        step,
        decorated(step),
        lambda x_t, h, weight: step(x_t, h, weight),
        lambda *args: step(*args),
        lambda a, b, c: torch.einsum("bk,hk->bh", b, c).add(a).tanh(),
        functools.partial(lambda extra, x_t, h, weight: step(x_t, h, weight), 1),
        Callable(),
        Module(),
        filled,
        Callable().__call__,
    ],
)
def test_right_answers_pass_in_every_form(answer):
    found = report(answer)
    assert found.passed
    assert found.attempted
    assert found.messages == ("Right in values and gradients, in 3 cases.",)


# --- Not attempted, and the forgotten raise ------------------------------------------------------


def stub(x_t, h, weight):
    """Docstring."""
    raise NotImplementedError


def stub_with_text(x_t, h, weight):
    raise NotImplementedError("your code")


class StubClass(nn.Module):
    def __init__(self, size):
        raise NotImplementedError

    def forward(self, x):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("answer", "exercise"), [(stub, STEP), (stub_with_text, STEP), (StubClass, SCALE)]
)
def test_the_untouched_stub_is_not_attempted(answer, exercise):
    found = report(answer, exercise)
    assert not found.attempted
    assert not found.passed
    assert found.status == "not attempted"


REPAIR = replace(STEP, start=not_transposed)


def rewritten(x_t, h, weight):
    # Another comment, other lines, other types.
    total = x_t + h @ weight
    return torch.tanh(total)


def given(x_t: torch.Tensor, h: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    # Only the form differs from `not_transposed`.
    return torch.tanh(
        x_t + h @ weight,
    )


def test_code_that_is_given_to_be_repaired_is_no_attempt_as_it_stands():
    for answer in (not_transposed, given):
        found = report(answer, REPAIR)
        assert not found.attempted
        assert not found.passed
        assert found.messages == (
            "Not attempted yet: this is the code as it stands in the chapter, with its faults.",
        )
    assert report(step, REPAIR).passed
    assert said(rewritten, REPAIR) == "The weight is not transposed."
    assert said(no_memory, REPAIR) == "The old state is not used."
    assert "is still empty" in said(stub, REPAIR)
    # Where nothing is given, the same code is an attempt.
    assert said(given) == "The weight is not transposed."


def test_a_callable_without_code_of_its_own_is_an_attempt():
    assert report(Callable(), REPAIR).passed
    assert said(functools.partial(not_transposed), REPAIR) == "The weight is not transposed."


def test_a_forgotten_raise_is_named():
    def below(x_t, h, weight):
        new = step(x_t, h, weight)
        print(new.shape)
        raise NotImplementedError

    def above(x_t, h, weight):
        raise NotImplementedError
        return step(x_t, h, weight)

    for answer in (below, above):
        assert "take that line out" in said(answer)


def test_a_method_that_is_still_a_stub_is_named():
    class HalfDone(Scale):
        def forward(self, x):
            raise NotImplementedError

    class HalfDoneAlone(nn.Module):
        def __init__(self, size):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(size))

        def forward(self, x):
            raise NotImplementedError

    assert "`forward` is still empty" in said(HalfDoneAlone, SCALE)


def test_a_not_implemented_error_of_torch_is_an_exception():
    class WithoutForward(nn.Module):
        def __init__(self, size):
            super().__init__()

    assert 'missing the required "forward" function' in said(WithoutForward, SCALE)


# --- What cannot be called -----------------------------------------------------------------------


def test_a_result_instead_of_the_function():
    assert 'without brackets, as in `check("99.1", step)`' in said(torch.zeros(3))
    assert "`None`" in said(None)


def test_signatures():
    class Plain:
        def forward(self, x):
            return x

    count_class = replace(SCALE, solution=Plain)

    assert "takes `(x_t, h)`, expected `(x_t, h, weight)`" in said(lambda x_t, h: h)
    assert "in another order" in said(lambda h, x_t, weight: step(x_t, h, weight))
    assert "takes `(x_t, h, weight, more)`" in said(lambda x_t, h, weight, more: h)
    assert "gave the class `Scale`" in said(Scale)
    assert "give the class `Scale` itself" in said(Scale(3), SCALE)
    assert "TypeError" in said(torch.tanh)

    class OtherForward(Scale):
        def forward(self):
            return self.weight

    class NoForward:
        def __init__(self, size):
            pass

    assert "`OtherForward.forward` cannot be called" in said(OtherForward, SCALE)

    class NoModule:
        def __init__(self, size):
            self.size = size

        def forward(self, x):
            return x

    assert "begin it with `class Scale(torch.nn.Module):`" in said(NoModule, SCALE)
    assert "no method `forward`" in said(NoForward, count_class)


# --- Exceptions ----------------------------------------------------------------------------------


def test_an_exception_inside_torch_points_to_the_readers_line():
    def answer(x_t, h, weight):
        product = h @ weight[:2]
        return torch.tanh(x_t + product)

    message = said(answer)
    line = answer.__code__.co_firstlineno + 1
    assert "RuntimeError: mat1 and mat2 shapes cannot be multiplied" in message
    assert f"line {line} of test_machinery.py, `product = h @ weight[:2]`" in message
    assert "transpose" in report(answer).messages[1]


def test_code_from_a_text_is_pointed_to_by_its_line():
    names = {}
    exec(compile("def answer(x_t, h, weight):\n    return h[9]\n", "<a text>", "exec"), names)
    assert "at line 2 of your cell" in said(names["answer"])


def test_a_deep_exception_points_to_its_own_line():
    def helper(weight):
        return weight["nothing"]

    def answer(x_t, h, weight):
        return helper(weight)

    assert f"line {helper.__code__.co_firstlineno + 1} of" in said(answer)
    assert "`return weight[" in said(answer)


def test_an_exception_in_some_cases_only_says_in_which():
    def answer(x_t, h, weight):
        if len(x_t) == 1:
            raise ValueError("one is too few")
        return step(x_t, h, weight)

    found = report(answer)
    assert "ValueError: one is too few" in found.messages[0]
    right = "It is right with several sequences and a state of zeros, but not with one."
    assert right in found.messages


def test_advice_for_frequent_exceptions():
    def float32(x_t, h, weight):
        return torch.tanh(x_t + torch.zeros(h.shape) @ weight.T)

    def numpy(x_t, h, weight):
        return np.tanh(x_t.numpy())

    def typo(x_t, h, weight):
        return torch.tanh(x_t + hh @ weight.T)  # noqa: F821

    def star(x_t, h, weight):
        return torch.tanh(x_t + h * weight)

    def over_a_number(x_t, h, weight):
        return [h for t in len(x_t)]

    def without_a_list(x_t, h, weight):
        return torch.cat(x_t, h)

    def of_other_shapes(x_t, h, weight):
        return torch.stack([x_t, weight])

    def list_minus_one(x_t, h, weight):
        return h[h.tolist() - 1]

    def gather(x_t, h, weight):
        return h.gather(1, torch.arange(len(h)))

    def unequal_indices(x_t, h, weight):
        return h[torch.arange(len(h)), torch.arange(len(h) + 1)]

    def parameter_in_place(x_t, h, weight):
        torch.zeros(2, requires_grad=True).add_(1)

    for answer, advice in (
        (float32, "float64"),
        (numpy, "torch's own"),
        (typo, "spelt"),
        (star, "the matrix product is `@`"),
        (over_a_number, "needs `range`"),
        (without_a_list, "as one list"),
        (of_other_shapes, "`torch.cat` joins along an axis that is there"),
        (list_minus_one, "leave it a tensor"),
        (gather, "as many axes as the tensor"),
        (unequal_indices, "go in pairs"),
        (parameter_in_place, "change a copy"),
    ):
        assert advice in report(answer).messages[1]


def recursive(x_t, h, weight):
    return recursive(x_t, h, weight)


def test_odd_ways_to_stop():
    def ends(x_t, h, weight):
        sys.exit(0)

    def interrupts(x_t, h, weight):
        raise KeyboardInterrupt

    def asks(x_t, h, weight):
        return float(input("How much? "))

    def reads(x_t, h, weight):
        return float(sys.stdin.readline())

    assert "ends Python at line" in said(ends)
    assert "`KeyboardInterrupt`" in said(interrupts)
    assert "RecursionError" in said(recursive)
    assert "asks for input" in said(asks)
    assert "asks for input" in said(reads)


# --- Time ----------------------------------------------------------------------------------------


def endless(x_t, h, weight):
    while True:
        pass


def endless_catching(x_t, h, weight):
    while True:
        try:  # noqa: SIM105
            h = torch.tanh(h)
        except Exception:
            pass


def endless_catching_everything(x_t, h, weight):
    while True:
        try:  # noqa: SIM105
            h = torch.tanh(h)
        except:  # noqa: E722
            pass


def endless_printing(x_t, h, weight):
    while True:
        print("again")


def endless_class(x_t, h, weight):
    class Endless:
        def __iter__(self):
            return self

        def __next__(self):
            return 1

    return sum(Endless())


@pytest.mark.parametrize(
    "answer",
    [endless, endless_catching, endless_catching_everything, endless_printing, endless_class],
)
def test_endless_code_is_stopped(answer):
    report(step)  # what torch does at its first use should not count
    threads = threading.active_count()
    found = report(answer, limit=0.5)
    assert threading.active_count() == threads
    assert re.match(
        r"Your code did not return within 0.5 seconds; it was at line \d+", found.messages[0]
    )
    assert "a loop that never ends?" in found.messages[0]
    assert len(found.messages) == 1  # else it says that it still runs
    assert "TimeUp" not in found.printed
    assert len(found.printed.splitlines()) <= 11


def test_endless_in_the_backward_pass():
    class Endless(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            return x.clone()

        @staticmethod
        def backward(context, gradient):
            while True:
                pass

    def answer(x_t, h, weight):
        return Endless.apply(step(x_t, h, weight))

    assert "did not return" in said(answer, limit=0.2)


def test_a_thread_that_cannot_be_stopped_is_left_and_said(monkeypatch):
    monkeypatch.setattr(exercises.guard, "GRACE", 0.1)
    woken = threading.Event()

    def answer(x_t, h, weight):
        woken.wait(20)  # deaf to exceptions while it waits

    found = report(answer, limit=0.1)
    assert "did not return" in found.messages[0]
    assert "still runs in the background" in found.messages[1]
    woken.set()


def test_slow_but_in_time_passes():
    def answer(x_t, h, weight):
        time.sleep(0.05)
        return step(x_t, h, weight)

    assert report(answer).passed


@pytest.fixture
def ctrl_c_raises():
    """What runs in the background of a shell has been told to ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_raises")
def test_ctrl_c_of_the_reader_still_interrupts():
    before = torch.get_default_dtype(), sys.stdout, builtins.input
    threads = threading.active_count()
    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        report(endless, limit=20)
    assert time.monotonic() - start < 3
    timer.join()
    assert threading.active_count() == threads
    assert (torch.get_default_dtype(), sys.stdout, builtins.input) == before


# --- Structure, shapes, types --------------------------------------------------------------------


def test_nothing_returned():
    def answer(x_t, h, weight):
        step(x_t, h, weight)

    assert said(answer) == "Your function returned `None`: is there a `return` at its end?"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: (s, s), "is a tuple of 2, expected a tensor: return only what is asked for."),
        (lambda s: list(s), "is a list of 3, expected a tensor: `torch.stack`"),
        (lambda s: s.detach().numpy(), "is a NumPy array, expected a tensor: stay with torch"),
        (lambda s: s.sum().item(), "is a plain number, a `float`"),
        (lambda s: "state", "is a text, expected a tensor"),
        (lambda s: step, "is `step`, a function"),
        (lambda s: (x for x in s), "`yield`"),
        (lambda s: s.T, "has shape (4, 3), expected (3, 4): batch comes first"),
        (lambda s: s[None], "has shape (1, 3, 4), expected (3, 4): there is an axis of size 1"),
        (lambda s: s.sum(), "has shape (), expected (3, 4): it is a single number"),
        (lambda s: s.mean(0), "has shape (4,), expected (3, 4): the batch axis is missing"),
        (lambda s: s[:, :2], "the hidden axis has size 2 rather than 4"),
        (lambda s: torch.cat([s, s]), "the batch axis has size 6 rather than 3"),
        (lambda s: s.float(), "is `float32`, expected `float64`"),
        (lambda s: s.round().long(), "is `int64`, expected `float64`"),
        (lambda s: s * float("nan"), "contains NaN"),
        (lambda s: s / 0, "contains infinity"),
    ],
)
def test_the_form_of_a_result(change, expected):
    message = said(lambda x_t, h, weight: change(step(x_t, h, weight)))
    assert expected in message
    assert message.startswith("Your state ")


class Unequal:
    def __eq__(self, other):
        raise RuntimeError("no comparison")

    __hash__ = None


@pytest.mark.parametrize(
    "odd",
    [
        lambda s: s[:0],
        lambda s: torch.empty(0),
        lambda s: s.to("meta"),
        lambda s: s.to_sparse(),
        lambda s: s + 0j,
        lambda s: s > 0,
        lambda s: s.half(),
        lambda s: s.to(torch.bfloat16).to(torch.float8_e4m3fn),
        lambda s: {"state": s},
        lambda s: {1, 2},
        lambda s: (),
        lambda s: (s, (s, [s])),
        lambda s: Unequal(),
        lambda s: np.float64(3.0),
        lambda s: np.array([None, "a"], dtype=object),
        lambda s: ValueError("returned, not raised"),
        lambda s: ...,
        lambda s: NotImplemented,
        lambda s: float("nan"),
        lambda s: 10**400,
        lambda s: torch.nested.nested_tensor([s[0], s[1]]),
    ],
)
@pytest.mark.parametrize("exercise", [STEP, COUNT, RUN, SCALE])
def test_odd_results_get_a_sentence(odd, exercise):
    state = torch.ones(3, 4, dtype=torch.float64)

    class Odd(Scale):
        def forward(self, x):
            return odd(state)

    answers = {
        "99.1": lambda x_t, h, weight: odd(step(x_t, h, weight)),
        "99.2": lambda x, h, weight: (odd(state), odd(state)),
        "99.3": lambda size: odd(state),
        "99.4": Odd,
    }
    assert said(answers[exercise.id], exercise).endswith((".", "?"))


def test_tensors_of_other_classes_are_tensors():
    class Own(torch.Tensor):
        pass

    assert report(lambda x_t, h, weight: step(x_t, h, weight).as_subclass(Own)).passed


def test_a_squeezed_batch_of_one():
    found = report(lambda x_t, h, weight: step(x_t, h, weight).squeeze())
    assert "expected (1, 4): an axis of size 1 is missing" in found.messages[0]
    assert "It is right with several sequences and a state" in found.messages[1]


def test_a_case_that_is_wrong_otherwise_is_not_called_right():
    def two_rows(x_t, h, weight):
        if len(x_t) == 3:
            raise ValueError("three are too many")
        return step(x_t, h, weight) if len(x_t) == 1 else step(x_t, h, weight)[:2]

    assert report(two_rows).messages[1:] == ("It is right with one only.",)

    def never_right(x_t, h, weight):
        if len(x_t) == 3:
            raise ValueError("three are too many")
        return step(x_t, h, weight)[:, :2]

    assert len(report(never_right).messages) == 1


def test_the_form_of_two_results():
    def change(function):
        return lambda x, h, weight: function(*run(x, h, weight))

    assert "returned a tensor, expected a tuple of 2: outputs and final state" in said(
        change(lambda o, h: o), RUN
    )
    assert "returned a list of 2" in said(change(lambda o, h: [o, h]), RUN)
    assert "returned a tuple of 3" in said(change(lambda o, h: (o, h, h)), RUN)
    assert (
        "expected (3, 6, 4): batch comes first, and yours looks like (time, batch, hidden)"
        in said(change(lambda o, h: (o.transpose(0, 1), h)), RUN)
    )
    assert "it still has a time axis" in said(change(lambda o, h: (o, o)), RUN)
    assert "in another order: expected outputs then final state" in said(
        change(lambda o, h: (h, o)), RUN
    )
    assert "one step is missing" in said(change(lambda o, h: (o[:, 1:], h)), RUN)
    assert "there is one step too many" in said(
        change(lambda o, h: (torch.cat([h[:, None], o], 1), h)), RUN
    )
    assert "the time and hidden axes have become one: `torch.stack`" in said(
        change(lambda o, h: (o.flatten(1), h)), RUN
    )
    assert "Your outputs have shape" in said(change(lambda o, h: (h, h)), RUN)


def test_whole_numbers():
    assert "is a plain number, a `float`, expected a whole number: use `//`" in said(
        lambda size: size * size + size / 1, COUNT
    )
    assert "is a tensor, expected a whole number" in said(lambda n: torch.tensor(n * n + n), COUNT)
    assert re.search(r"Your count is \d+, expected \d+", said(lambda size: size * size, COUNT))


def test_facts_of_a_class():
    class Plain(Scale):
        def __init__(self, size):
            nn.Module.__init__(self)
            self.weight = torch.ones(size)

        def forward(self, x):
            return self.weight * x

    class Unready(Scale):
        def __init__(self, size):
            self.weight = nn.Parameter(torch.ones(size))

    assert "Your list of parameters is [], expected ['weight']." in said(Plain, SCALE)
    assert "super().__init__()" in report(Unready, SCALE).messages[1]


# --- Arguments and global state ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("h", lambda x_t, h, weight: h.zero_()),
        ("x_t", lambda x_t, h, weight: x_t.__iadd__(1)),
        ("weight", lambda x_t, h, weight: weight.t_()),
        ("h", lambda x_t, h, weight: h.__setitem__(0, 0.0)),
        ("h", lambda x_t, h, weight: h.data.fill_(0.0)),
        ("h", lambda x_t, h, weight: h.unsqueeze_(0)),
    ],
)
def test_changed_arguments_are_named(name, change):
    def answer(x_t, h, weight):
        state = step(x_t, h, weight)
        change(x_t, h, weight)
        return state

    assert f"changes its argument `{name}` in place" in said(answer)


def test_changed_arguments_are_named_without_gradients_too():
    def answer(x_t, h, weight):
        state = step(x_t, h, weight)
        weight -= 1
        return state

    assert "changes its argument `weight`" in said(answer, replace(STEP, gradients=False))


def test_a_result_is_kept_as_it_was_returned():
    returned = []

    def answer(x_t, h, weight):
        for old in returned:
            old.data.zero_()
        returned.append(step(x_t, h, weight))
        return returned[-1]

    assert report(answer, replace(STEP, gradients=False)).passed


def test_the_notebook_is_unharmed(capsys):
    def answer(x_t, h, weight):
        torch.manual_seed(0)
        torch.set_default_dtype(torch.float64)
        torch.use_deterministic_algorithms(True)
        torch.set_grad_enabled(False)
        torch.set_default_device("meta")
        torch.autograd.set_detect_anomaly(True)
        np.random.seed(0)
        random.seed(0)
        warnings.simplefilter("error")
        sys.setrecursionlimit(900)
        sys.stdout = io.StringIO()
        torch.set_grad_enabled(True)
        torch.set_default_device(None)
        return step(x_t, h, weight)

    def state():
        return (
            torch.get_rng_state().tolist(),
            random.getstate(),
            [str(part) for part in np.random.get_state()],
            torch.get_default_dtype(),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_anomaly_enabled(),
            torch.is_grad_enabled(),
            warnings.filters[:],
            sys.getrecursionlimit(),
            sys.stdout,
            sys.stderr,
            sys.stdin,
            builtins.input,
            threading.excepthook,
            sys.getswitchinterval(),
        )

    sys.setswitchinterval(0.005)
    torch.use_deterministic_algorithms(False)  # the first call is slow: it imports a compiler
    before = state()
    found = report(answer)
    assert state() == before
    assert found.passed
    for call in ("manual_seed", "set_default_dtype", "use_deterministic_algorithms", "recursion"):
        assert call in found.messages[1]
    for wrong in (recursive, stub, endless):
        report(wrong, limit=0.2)
    report(lambda x_t, h, weight: h)
    assert state() == before
    assert capsys.readouterr() == ("", "")


def test_randomness_alone_is_no_offence():
    def answer(x_t, h, weight):
        torch.randn(3)
        return step(x_t, h, weight)

    assert len(report(answer).messages) == 1


def test_settings_of_the_reader_do_not_matter():
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_default_device("meta")
    try:
        assert report(step).passed
        assert report(Scale, SCALE).passed
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        torch.set_default_device(None)


def test_arguments_of_a_module_level_closure_are_fresh():
    seen = []

    def keeps(x_t, h, weight):
        seen.append(h)
        for old in seen:
            old.data.fill_(0.0)  # spoils what earlier cases were given
        return step(x_t, h, weight)

    assert "changes its argument `h`" in said(keeps)
    assert report(step).passed


def test_random_and_remembering_answers_are_told_so():
    memory = []

    def random_answer(x_t, h, weight):
        return step(x_t, h, weight) + torch.rand(1)

    def remembers(x_t, h, weight):
        memory.append(1)
        return step(x_t, h, weight) + 0.1 * len(memory)

    for answer in (random_answer, remembers):
        assert "another answer when it is called again" in said(answer)


def test_what_is_printed_is_shown_and_cut(capsys):
    def answer(x_t, h, weight):
        for number in range(100):
            print("number", number)
        print("to stderr", file=sys.stderr)
        return step(x_t, h, weight)

    found = report(answer)
    assert found.passed
    lines = found.printed.splitlines()
    assert lines[:2] == ["number 0", "number 1"]
    assert lines[10] == "... and 293 more lines"
    assert len(lines) == 11
    assert capsys.readouterr() == ("", "")


def test_a_huge_line_is_cut():
    def answer(x_t, h, weight):
        print("x" * 10_000_000)
        return step(x_t, h, weight)

    assert len(report(answer).printed) < 3000


# --- Values --------------------------------------------------------------------------------------


def test_listed_mistakes_are_recognised_by_what_they_compute():
    assert said(lambda x_t, h, weight: x_t.tanh()) == "The old state is not used."
    assert said(lambda x_t, h, weight: torch.einsum("bk,kh->bh", h, weight).add(x_t).tanh()) == (
        "The weight is not transposed."
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda x, h, w: -step(x, h, w), "is right up to its sign"),
        (lambda x, h, w: x + h @ w.T, "is right but for the tanh around it"),
        (lambda x, h, w: torch.sigmoid(x + h @ w.T), "has a sigmoid where the tanh should be"),
        (lambda x, h, w: torch.relu(x + h @ w.T), "has a relu where the tanh should be"),
        (lambda x, h, w: step(x, h, w).tanh(), "went through tanh once too often"),
        (lambda x, h, w: 2 * step(x, h, w), "is right but for a constant factor of 2"),
        (lambda x, h, w: step(x, h, w) + 1, "is right but for 1 added everywhere"),
        (lambda x, h, w: step(x, h, w) / w.shape[0], "is right but for a constant factor of 0.25"),
        (lambda x, h, w: step(x, h, w) * len(x), "multiplied by the size of the batch axis"),
        (lambda x, h, w: step(x, h, w) / len(x), "divided by the size of the batch axis"),
        (lambda x, h, w: h + step(x, h, w), "right but for `h`, which is added once too often"),
        (lambda x, h, w: step(2 * x, h, w), "`x_t`, which is added once too often inside the tanh"),
        (lambda x, h, w: step(0 * x, h, w), "`x_t`, which is missing inside the tanh"),
        (lambda x, h, w: step(-x, h, w), "`x_t`, which has the wrong sign inside the tanh"),
        (lambda x, h, w: step(x, h, w).T.reshape(h.shape), "the right numbers in the wrong places"),
        (
            lambda x, h, w: step(x, h, w).flip(1),
            "has the right numbers along the hidden axis, in the wrong order.",
        ),
        (lambda x, h, w: h.clone(), "is just `h`, as it came in"),
        (lambda x, h, w: step(x, h, w)[:1].expand_as(h), "same for every sequence of the batch"),
        (lambda x, h, w: step(x, h, w).flip(0), "the sequences of the batch in another order"),
        (lambda x, h, w: (h @ w.T).cos(), "does not depend on `x_t`: is it used?"),
        (
            lambda x, h, w: torch.cat([step(x, h, w)[:1], h[1:]]),
            "is right for the first sequence of the batch only",
        ),
        (lambda x, h, w: step(x, -h, w), "It is right with a state of zeros only."),
        (lambda x, h, w: step(x, h, w).float().double(), "is right up to rounding"),
        (lambda x, h, w: step(x, h, w).sin(), "has the right shape, but other values"),
    ],
)
def test_wrong_values_are_described(answer, expected):
    assert expected in said(lambda x_t, h, weight: answer(x_t, h, weight))


def test_a_wrong_truth_value_is_named_with_its_place():
    def only_the_first(tokens, separator, eos):
        return tokens[:, :-1] == separator

    messages = exercises.check("04.3", only_the_first).messages
    assert any(re.match(r"Your mask is False, at .* expected True\.", line) for line in messages)
    assert not any("wrong places" in line or "wrong order" in line for line in messages)


@pytest.mark.parametrize(
    ("reduce", "expected"),
    [
        (lambda x, o: x.mean(1), "Your final state is the mean of `x` over the time axis."),
        (lambda x, o: x.sum(1), "Your final state is the sum of `x` over the time axis."),
        (lambda x, o: o.amax(1), "Your final state is the maximum of the outputs over the time"),
        (lambda x, o: o.amin(1), "Your final state is the minimum of the outputs over the time"),
    ],
)
def test_a_sum_or_maximum_over_an_axis_is_named(reduce, expected):
    def answer(x, h, weight):
        outputs, _ = run(x, h, weight)
        return outputs, reduce(x, outputs)

    assert expected in said(answer, RUN)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda tokens: shift(tokens).flip(1), "have the steps in reverse order"),
        (lambda tokens: shift(tokens).roll(1, 0), "have the sequences of the batch in another"),
        (lambda tokens: tokens[:, :-1], "come one step late"),
        (lambda tokens: shift(tokens).clamp(max=16), "are right but for the last step, 5"),
        (lambda tokens: shift(tokens).T.reshape(3, 5), "have the right numbers in the wrong"),
        (lambda tokens: shift(tokens) * 2, "differ from step 1 on."),
    ],
)
def test_wrong_whole_numbers_are_described(answer, expected):
    assert expected in said(answer, SHIFT)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda tokens, weight: -total(tokens, weight), "is right up to its sign"),
        (lambda tokens, weight: weight.mean(), "is the mean of `weight` over the vocab axis"),
        (lambda tokens, weight: 2 * total(tokens, weight), "right but for a constant factor of 2"),
        # Right in one case: a single wrong number is a multiple of the right one, always.
        (lambda tokens, weight: weight.sum(), "is the sum of `weight` over the vocab axis"),
        (lambda tokens, weight: weight[tokens].sum() + (len(tokens) - 3), "It is right with each"),
        (lambda tokens, weight: weight, "has shape (3,), expected (): it still has a vocab axis"),
        (lambda tokens, weight: tokens.double(), "expected (): it still has a time axis"),
        (lambda tokens, weight: total(tokens, weight)[None], "there is an axis of size 1 too many"),
    ],
)
def test_a_wrong_single_number_is_described(answer, expected):
    assert expected in said(answer, TOTAL)


def test_a_number_that_is_always_the_same():
    message = said(lambda size: 42, COUNT)
    assert message == "Your count is 42 in all cases, and should depend on `size`."


def test_the_largest_difference_is_placed_counting_from_one():
    def answer(x_t, h, weight):
        state = step(x_t, h, weight)
        change = torch.zeros_like(state)
        change[-1, 2] = 5.0
        return state + change

    assert "is 5, at sequence 3 and hidden unit 3." in report(answer).messages[-1]


def test_the_largest_difference_names_other_axes_as_they_are():
    def answer(tokens):
        return shift(tokens) + 9 * (shift(tokens) == 8)

    exercise = replace(SHIFT, axes={"targets": ("row", "column")})
    assert "is 9, at row 2 and column 2." in report(answer, exercise).messages[-1]


def shifted(states, by):
    return torch.roll(states, by, 1)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda o: o.flip(1), "have the steps in reverse order"),
        (lambda o: shifted(o, 1), "come one step late"),
        (lambda o: shifted(o, -1), "come one step early"),
        (lambda o: o[:, :1].expand_as(o), "are the same at every step"),
        (
            lambda o: torch.cat([o[:, :2], o[:, 2:].cos()], 1),
            "start well: steps 1 and 2 are right, from step 3 on it differs",
        ),
        (lambda o: torch.cat([o[:, :1], o[:, 1:].cos()], 1), "step 1 is right, from step 2 on"),
        (
            lambda o: torch.cat([o[:, :-1], o[:, -1:].cos()], 1),
            "are right but for the last step, 6",
        ),
        (lambda o: torch.cat([o[:, :1].cos(), o[:, 1:]], 1), "are wrong at step 1 of 6"),
        (lambda o: o.cos(), "differ from step 1 on"),
    ],
)
def test_wrong_steps_are_named(change, expected):
    def answer(x, h, weight):
        outputs, final = run(x, h, weight)
        return change(outputs), final

    assert expected in said(answer, RUN)


def test_a_tensor_that_is_overwritten_again_and_again():
    def answer(x, h, weight):
        h, states = h.clone(), []
        for x_t in x.unbind(1):
            h[:] = step(x_t, h, weight)
            states.append(h)
        return torch.stack(states, 1), h

    message = said(answer, RUN)
    assert (
        message
        == "Your outputs are the same at every step: is one tensor overwritten again and again?"
    )


def test_the_first_step_tells_what_is_wrong_with_all():
    def answer(x, h, weight):
        states = []
        for x_t in x.unbind(1):
            h = x_t + h @ weight.T
            states.append(h)
        return torch.stack(states, 1), h

    assert "from step 1 on: that step is right but for the tanh around it" in said(answer, RUN)


def test_an_exception_in_a_special_case_does_not_hide_the_general_one():
    def answer(x, h, weight):
        states = []
        for x_t in x[:, :-1].unbind(1):
            h = step(x_t, h, weight)
            states.append(h)
        return torch.stack(states, 1), h  # fails for a single step

    assert "one step is missing" in said(answer, RUN)


# --- Gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda x, h, w: step(x, h, w).detach(), "no gradient can flow back"),
        (
            lambda x, h, w: torch.tensor(step(x, h, w).tolist(), dtype=x.dtype),
            "no gradient can flow back",
        ),
        (lambda x, h, w: torch.no_grad()(step)(x, h, w), "no gradient can flow back"),
        (lambda x, h, w: step(x, h.detach(), w), "no gradient reaches `h`"),
        (lambda x, h, w: step(x, h, w.data), "no gradient reaches `weight`"),
        (lambda x, h, w: step(x, h, w).mul_(1), "the backward pass stops with"),
        (
            lambda x, h, w: step(x, h, w) + x.detach() * 0.5 - x * 0.5,
            "the gradient of `x_t` differs by up to",
        ),
    ],
)
def test_wrong_gradients_are_described(answer, expected):
    message = said(lambda x_t, h, weight: answer(x_t, h, weight))
    assert message.startswith("Right forwards, but ")
    assert expected in message


@pytest.mark.parametrize("cut", range(1, 6))
def test_the_step_at_which_the_gradient_stops_is_named(cut):
    def answer(x, h, weight):
        states = []
        for index, x_t in enumerate(x.unbind(1)):
            h = step(x_t, h.detach() if index == cut else h, weight)
            states.append(h)
        return torch.stack(states, 1), h

    assert f"the gradient stops at step {cut + 1}: is there a detach?" in said(answer, RUN)


def test_a_gradient_that_goes_back_too_far_is_named():
    expected = "the gradient of the last step goes back to step 1, and should end at step 3"
    assert expected in said(run, IN_TWO)


def test_one_of_two_results_is_cut_off():
    def answer(x, h, weight):
        outputs, final = run(x, h, weight)
        return outputs, final.detach()

    assert "through your final state" in said(answer, RUN)


# --- In a notebook -------------------------------------------------------------------------------


@pytest.fixture
def shell():
    config = Config()
    config.HistoryManager.hist_file = ":memory:"
    shell = InteractiveShell(config=config)
    shell.push({"check_with_seed": check_with_seed, "STEP": STEP, "torch": torch, "SCALE": SCALE})
    yield shell
    shell.history_manager.end_session()
    shell.reset()


def in_cell(shell, code, exercise="STEP", limit=5.0):
    result = shell.run_cell(f"{code}\ncheck_with_seed({exercise}, answer, 7, {limit})")
    result.raise_error()
    return result.result


def test_a_cell_is_pointed_to(shell):
    found = in_cell(
        shell,
        "def answer(x_t, h, weight):\n"
        "    # a comment\n"
        "    state = torch.tanh(h[:, :2] + x_t)\n"
        "    return state",
    )
    assert "at line 3 of your cell, `state = torch.tanh(h[:, :2] + x_t)`." in found.messages[0]


def test_helpers_in_another_cell_are_pointed_to(shell):
    shell.run_cell("def helper(h):\n\n    return h + torch.zeros(17)")
    found = in_cell(shell, "def answer(x_t, h, weight):\n    return helper(h)")
    assert "at line 3 of your cell, `return h + torch.zeros(17)`." in found.messages[0]


def test_stubs_and_forgotten_raises_in_a_cell(shell):
    assert not in_cell(
        shell, 'def answer(x_t, h, weight):\n    """Text."""\n    raise NotImplementedError'
    ).attempted
    found = in_cell(shell, "def answer(x_t, h, weight):\n    a = h\n    raise NotImplementedError")
    assert found.attempted
    assert "line 3 of your cell" in found.messages[0]
    stub_class = (
        "class answer(torch.nn.Module):\n"
        "    def __init__(self, size):\n"
        "        raise NotImplementedError\n"
        "    def forward(self, x):\n"
        "        raise NotImplementedError"
    )
    assert not in_cell(shell, stub_class, "SCALE").attempted


def test_an_endless_cell_is_stopped_where_it_was(shell):
    found = in_cell(
        shell,
        "def answer(x_t, h, weight):\n    t = 0\n    while t < 3:\n        h = torch.tanh(h)",
        limit=0.2,
    )
    assert re.search(r"it was at line [34] of your cell", found.messages[0])


@pytest.mark.parametrize("call", ["sys.exit()", "get_ipython().ask_exit()", "quit()"])
def test_exit_in_a_cell_does_not_end_the_notebook(shell, call, monkeypatch):
    monkeypatch.setattr(exercises.guard, "get_ipython", lambda: shell)
    shell.push({"get_ipython": lambda: shell})
    found = in_cell(shell, f"import sys\ndef answer(x_t, h, weight):\n    {call}")
    assert "ends Python at line 3 of your cell" in found.messages[0]
    assert "ask_exit" not in vars(shell)
    assert shell.run_cell("1 + 1").result == 2


# --- Reports -------------------------------------------------------------------------------------


def nasty(x_t, h, weight):
    print("<script>alert(1)</script>")
    raise ValueError("<b>bold</b> & `code`")


def test_reports_escape_what_the_reader_wrote():
    html = report(nasty)._repr_html_()
    assert "<script>" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html
    assert "&lt;b&gt;bold&lt;/b&gt; &amp;" in html


@pytest.mark.parametrize(
    ("answer", "status"), [(step, "passed"), (nasty, "not yet"), (stub, "not attempted")]
)
def test_reports_say_in_words_what_colour_says(answer, status):
    found = report(answer)
    html = found._repr_html_()
    assert found.status == status
    assert f"Exercise 99.1, A step: {status}" in repr(found)
    assert f"<strong>{status}</strong>" in html
    assert f'role="group" aria-label="Exercise 99.1: {status}"' in html
    assert "currentColor" in html
    assert re.search(r"var\(--unrolled-\w+, #[0-9a-f]{6}\)", html)
    assert "class=" not in html
    assert html.count("<div") == html.count("</div>")
    assert html.count("<p") - html.count("<pre") == html.count("</p>")


def test_reports_use_colours_of_the_house():
    assert {role for role, _ in EDGES.values()} <= COLOURS.keys()


def test_importing_the_exercises_leaves_matplotlib_alone():
    code = "import sys, unrolled.exercises; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_a_report_in_a_terminal_is_plain():
    text = repr(report(nasty))
    assert text.startswith("Exercise 99.1, A step: not yet\n  Your code stops with ")
    assert "\n  Your code printed:\n    <script>" in text
    assert "<p" not in text
