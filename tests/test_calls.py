"""Statements whose letters are tagged: what is called, what is left out, whatever the Python."""

import tokenize
from types import SimpleNamespace

import pytest
import torch

from unrolled.data import call_tagging, calls
from unrolled.data.calls import LONGEST, SHORTEST, tagged_statements


@pytest.fixture(scope="module")
def task():
    return call_tagging()


def marks(source):
    """Statements, and a letter for the class of each of theirs."""
    return [
        (text, "".join(".kncs"[label] for label in labels))
        for text, labels in tagged_statements(source)
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("y = f(g)", "n...c.n."),
        ("f (x)", "c..n."),  # spaces before the bracket
        ("a.b(c)(d)", "n.c.n..n."),
        ("f(x)[0](y)", "c.n.....n."),
        ("x = (y)", "n....n."),
        ("return (x)", "kkkkkk..n."),  # a keyword is never called
        ("print(not(x))", "ccccc.kkk.n.."),
        ("def f(x): g(x)", "kkk.n.n...c.n."),
        ("async def f(x): pass", "kkkkk.kkk.n.n...kkkk"),
        ("class A(B): pass", "kkkkk.n.n...kkkk"),
        ("@cache(1)", ".ccccc..."),
        ("match = case(_)", "nnnnn...cccc.n."),  # keywords in some places only
        ("x = 0x1f + 1_0j", "n.............."),
        ("x = b'a(b)' 'c'", "n...sssssss.sss"),
        ("x = f'{g(1)}' + h(2)", "n...sssssssss...c..."),
        ("x = f'{a:{b}}' f'{c!r}'", "n...ssssssssss.ssssssss"),
        ("x = '#'", "n...sss"),
    ],
)
def test_classes_of_a_statement(source, expected):
    assert marks(source) == [(source, expected)]


def test_a_statement_goes_from_its_first_token_to_its_last():
    source = "if x:\n    f(x)  # y\n\n# z\n    a = 1; b = 2\n"
    expected = [("if x:", "kk.n."), ("f(x)", "c.n."), ("a = 1; b = 2", "n......n....")]
    assert marks(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""',
        "'a' f'b'",
        "x = (1,\n     2)",
        "x = 1 + \\\n    2",
        "x = '''\n'''",
        "# x",
    ],
)
def test_statements_that_are_left_out(source):
    assert marks(source) == []
    assert marks(f"f(x)\n{source}\ng(y)\n") == [("f(x)", "c.n."), ("g(y)", "c.n.")]


def test_f_strings_are_strings_also_where_they_are_many_tokens(monkeypatch):
    lines = ["x = f'a{f\"b(c)\"}' + g(y)", "f'{y}'"]  # the second is nothing but a string
    expected = [(lines[0], "n...sssssssssssss...c.n.")]
    assert marks("\n".join(lines)) == expected  # with this interpreter's own tokens

    def tokens(readline):  # those of Python 3.12 and later
        for row, kind, text, begin in [
            (1, "NAME", "x", 0),
            (1, "OP", "=", 2),
            (1, "FSTRING_START", "f'", 4),
            (1, "FSTRING_MIDDLE", "a", 6),
            (1, "OP", "{", 7),
            (1, "FSTRING_START", 'f"', 8),
            (1, "FSTRING_MIDDLE", "b(c)", 10),
            (1, "FSTRING_END", '"', 14),
            (1, "OP", "}", 15),
            (1, "FSTRING_END", "'", 16),
            (1, "OP", "+", 18),
            (1, "NAME", "g", 20),
            (1, "OP", "(", 21),
            (1, "NAME", "y", 22),
            (1, "OP", ")", 23),
            (1, "NEWLINE", "", 24),
            (2, "FSTRING_START", "f'", 0),
            (2, "OP", "{", 2),
            (2, "NAME", "y", 3),
            (2, "OP", "}", 4),
            (2, "FSTRING_END", "'", 5),
            (2, "NEWLINE", "", 6),
        ]:
            ends = {"start": (row, begin), "end": (row, begin + len(text))}
            yield SimpleNamespace(type=kind, string=text, line=lines[row - 1], **ends)

    monkeypatch.setattr(tokenize, "generate_tokens", tokens)
    monkeypatch.setattr(tokenize, "tok_name", {token.type: token.type for token in tokens(None)})
    assert marks("\n".join(lines)) == expected


def test_the_task_keeps_what_it_says(task):
    texts = [["".join(task.vocab.decode(tokens)) for tokens in part.tokens] for part in task[:2]]
    assert not set(texts[0]) & set(texts[1])
    for part, found in zip(task[:2], texts, strict=True):
        assert len(set(found)) == len(found)
        assert all(SHORTEST <= len(text) <= LONGEST and "\n" not in text for text in found)
        assert min(map(len, found)) == SHORTEST
        for tokens, labels in zip(*part, strict=True):
            assert tokens.dtype == labels.dtype == torch.int64
            assert tokens.shape == labels.shape
    assert len(texts[0]) == pytest.approx(23_600, rel=0.03)
    assert len(texts[1]) == pytest.approx(2_340, rel=0.03)


def test_statements_that_are_too_short_or_too_long_are_left_out(monkeypatch):
    lengths = (SHORTEST - 1, SHORTEST, LONGEST, LONGEST + 1)
    lines = ["f(" + "x" * (length - 3) + ")" for length in lengths]
    lines += ["x = '\t tab'", lines[1]]  # a letter that the vocabulary does not have; a line again
    sources = {"graphlib": [lines[2], "held_out = 1"], "json": ["held_out = 1"]}
    monkeypatch.setattr(
        calls, "module_source", lambda module: "\n".join(sources.get(module, lines))
    )
    task = call_tagging()
    assert ["".join(task.vocab.decode(tokens)) for tokens in task.train.tokens] == lines[1:3]
    held_out = ["".join(task.vocab.decode(tokens)) for tokens in task.held_out.tokens]
    assert held_out == ["held_out = 1"]
    assert task.held_out.labels[0].tolist() == [2] * 8 + [0] * 4


def test_a_called_name_ends_before_a_bracket_and_no_other_name_does(task):
    letters = {name: number for number, name in enumerate(task.classes)}
    for tokens, labels in zip(*task.held_out, strict=True):
        text = "".join(task.vocab.decode(tokens))
        for t, label in enumerate(labels.tolist()):
            last = t + 1 == len(text) or labels[t + 1] != label
            if label == letters["call"] and last:
                assert text[t + 1 :].lstrip().startswith("(")
            if label == letters["name"] and last and text[t + 1 : t + 2] == "(":
                assert text.lstrip("@").split()[0] in ("def", "class", "async")


def test_each_class_has_the_documented_share(task):
    counts = torch.cat(task.held_out.labels).bincount(minlength=5).double()
    shares = dict(zip(task.classes, (counts / counts.sum()).tolist(), strict=True))
    assert 0.4 < shares["name"] < 0.55
    assert 0.08 < shares["call"] < 0.18
