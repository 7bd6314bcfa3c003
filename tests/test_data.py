"""The vocabulary and the loaders of data."""

import io
import tokenize
from types import SimpleNamespace

import pytest
import torch

from unrolled.data import Vocab, closing_quotes, colour_letters, highlighting, prose_or_program
from unrolled.data.corpora import VALIDATION_MODULES
from unrolled.data.python_source import (
    HELD_OUT_MODULES,
    TRAINING_MODULES,
    letter_classes,
    module_source,
)


def marks(source):
    return "".join(".sc"[label] for label in letter_classes(source))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = 'b#c'  # 'd'\n", "....sssss..ccccc."),
        ('"""x\ny"""\n', "sssssssss."),
        ("f'{a[\"b\"]}' + c\n", "sssssssssss....."),
        ("x = rb'\\'' #\n", "....ssssss.c."),
        ("", ""),
    ],
)
def test_letter_classes(source, expected):
    assert marks(source) == expected


def test_f_strings_split_into_tokens_give_the_same_labels(monkeypatch):
    """Python 3.12 gives start, middle and end of an f-string; here they are played."""
    source = "a = f'b{f\"c\"}' # d\n"

    def tokens(_):
        for kind, text, begin in [
            ("NAME", "a", 0),
            ("OP", "=", 2),
            ("FSTRING_START", "f'", 4),
            ("FSTRING_MIDDLE", "b", 6),
            ("OP", "{", 7),
            ("FSTRING_START", 'f"', 8),
            ("FSTRING_MIDDLE", "c", 10),
            ("FSTRING_END", '"', 11),
            ("OP", "}", 12),
            ("FSTRING_END", "'", 13),
            ("COMMENT", "# d", 15),
        ]:
            yield SimpleNamespace(type=kind, start=(1, begin), end=(1, begin + len(text)))

    expected = "....ssssssssss.ccc."
    assert marks(source) == expected  # with this interpreter's own tokens
    monkeypatch.setattr(tokenize, "generate_tokens", tokens)
    monkeypatch.setattr(tokenize, "tok_name", {token.type: token.type for token in tokens(None)})
    assert marks(source) == expected


def test_highlighting_windows_start_outside_strings_and_do_not_overlap():
    task = highlighting(time=50)
    assert not set(TRAINING_MODULES) & set(HELD_OUT_MODULES)
    held_out = "\0".join(module_source(name) for name in HELD_OUT_MODULES)
    found_at = 0
    for tokens, labels in zip(*task.held_out, strict=True):
        assert tokens.shape == labels.shape == (50,)
        text = "".join(c if c != "<unk>" else "?" for c in task.vocab.decode(tokens))
        if "?" not in text:
            found_at = held_out.index(text, found_at) + 50  # in order, and none inside another
    assert task.train.tokens.dtype == task.train.labels.dtype == torch.int64
    assert len(task.train.tokens) > 4 * len(task.held_out.tokens)


def test_highlighting_labels_agree_with_what_an_editor_would_say():
    task = highlighting(time=100)
    for tokens, labels in zip(task.train.tokens[:300], task.train.labels[:300], strict=True):
        letters = task.vocab.decode(tokens)
        assert labels[0] != 1 or letters[0] in "\"'rRbBfFuU"
        for t in range(1, len(letters)):
            if labels[t] == 2 and labels[t - 1] != 2:
                assert letters[t] == "#"
            if labels[t - 1] == 2 and labels[t] != 2:
                assert letters[t] == "\n"


def test_highlighting_refuses_windows_that_do_not_fit():
    with pytest.raises(ValueError, match="time is 0"):
        highlighting(time=0)
    with pytest.raises(ValueError, match="choose a shorter one"):
        highlighting(time=10**6)


def test_module_without_source_is_named():
    with pytest.raises(ModuleNotFoundError, match="no source of its module 'no_such_module'"):
        module_source("no_such_module")
    with pytest.raises(ModuleNotFoundError, match="'_io'"):
        module_source("_io")


def test_vocab_numbers_tokens_in_order_and_back():
    vocab = Vocab(["b", "a", "b"])
    assert vocab.tokens == ["a", "b"]
    assert Vocab("what time is it?").tokens == sorted(" ?aehimstw")
    assert vocab.encode("abba").tolist() == [0, 1, 1, 0]
    assert vocab.decode(torch.tensor([1, 0])) == ["b", "a"]
    with pytest.raises(ValueError, match="token 'c' at place 1 is not among the 2 tokens"):
        vocab.encode("ac")
    with pytest.raises(ValueError, match="number 2 came; expected 0 to 1"):
        vocab.decode([2])
    with pytest.raises(ValueError, match="number -1 came"):
        vocab.decode([-1])
    with pytest.raises(ValueError, match="the text is empty"):
        Vocab("")


def test_vocab_with_unknown_puts_it_first():
    vocab = Vocab(["b", "<unk>", "a"], unknown=True)
    assert vocab.tokens == ["<unk>", "a", "b"]
    assert vocab.encode("az").tolist() == [1, 0]


def test_coloured_letters_escape_and_group():
    shown = colour_letters("a<'b'#c", [0, 0, 1, 1, 1, 2, 2])
    assert shown.count("<span") == 2
    assert "a&lt;<span" in shown
    assert "&#x27;b&#x27;</span>" in shown
    with pytest.raises(ValueError, match="1 labels came for 2 letters"):
        colour_letters("ab", [0])


def test_labels_come_from_the_interpreters_own_tokens():
    source = module_source("heapq")
    labels = letter_classes(source)
    comments = [
        t
        for t in tokenize.generate_tokens(io.StringIO(source).readline)
        if t.type == tokenize.COMMENT
    ]
    assert labels.count(2) == sum(len(t.string) for t in comments)


def test_closing_quotes_are_found_with_their_letters():
    source = "a = 'b' + \"it's\" + ''  # 'no'\nc = rb'\\''\n"
    source += '"""no"""\nd = ' + "'''n\no'''\ne = 'f\\\ng'\n"
    assert [(q.letters, q.quote) for q in closing_quotes(source)] == [
        (1, "'"),
        (4, '"'),
        (0, "'"),
        (2, "'"),
    ]
    for found in closing_quotes(source):
        assert source[found.place] == found.quote
        assert source[found.place - found.letters - 1] == found.quote


@pytest.fixture(scope="module")
def pieces():
    return prose_or_program(32)


def test_pieces_are_halves_of_prose_and_of_program(pieces):
    for texts, labels in (pieces.train, pieces.held_out):
        assert len(texts) == len(labels) == 2 * int(labels.sum()) > 2000
        assert {len(text) for text in texts} == {32}
        assert all(text.strip() and "#" not in text and '"""' not in text for text in texts)
        # In an order that does not tell the class: every tenth of the set has both.
        assert all(0.3 < part.float().mean() < 0.7 for part in labels.chunk(10))


def test_a_piece_lies_wholly_in_a_string_or_wholly_in_code(pieces):
    sources = [module_source(name) for name in VALIDATION_MODULES.split()]
    classes = [letter_classes(source) for source in sources]
    for text, label in list(zip(*pieces.held_out, strict=True))[:200]:
        kinds = [
            set(marked[place : place + 32])
            for source, marked in zip(sources, classes, strict=True)
            for place in range(0, len(source), 32)
            if source[place : place + 32] == text
        ]
        assert {int(label)} in kinds


def test_hardly_a_piece_is_in_both_sets(pieces):
    shared = set(pieces.train.texts) & set(pieces.held_out.texts)
    assert len(shared) < 0.005 * len(pieces.held_out.texts)


def test_pieces_are_always_the_same(pieces):
    torch.rand(3)
    again = prose_or_program(32)
    assert again.held_out.texts == pieces.held_out.texts
    assert torch.equal(again.train.labels, pieces.train.labels)


def test_pieces_of_no_or_too_many_letters_are_refused():
    with pytest.raises(ValueError, match="letters is 0; expected at least 1"):
        prose_or_program(0)
    with pytest.raises(ValueError, match="no piece is 100000 letters long; choose a smaller"):
        prose_or_program(100_000)
