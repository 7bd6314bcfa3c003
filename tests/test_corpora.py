"""The corpora: their pieces do not overlap, and are what the text says."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unrolled.data import Corpus, corpora, corpus
from unrolled.data.python_source import module_source

MODULES = {
    "train": corpora.TRAINING_MODULES.split(),
    "validation": corpora.VALIDATION_MODULES.split(),
    "test": corpora.TEST_MODULES.split(),
}


@pytest.fixture(scope="module")
def python():
    return corpus("python")


def decoded(piece, vocab):
    return "".join(vocab.decode(piece.tolist()))


def test_python_is_the_text_of_the_modules(python):
    letters = set(python.vocab.tokens)
    for name, modules in MODULES.items():
        text = decoded(getattr(python, name), python.vocab)
        place = 0
        for module in modules:  # in the order of the list, one line end between two
            source = "".join(filter(letters.__contains__, module_source(module)))
            assert text[place : place + len(source)] == source, module
            place += len(source) + 1
            assert text[place - 1 : place] in ("\n", "")
        assert place == len(text) + 1


def test_no_package_gives_text_to_two_sets():
    packages = {name: {m.partition(".")[0] for m in modules} for name, modules in MODULES.items()}
    assert not packages["train"] & packages["validation"]
    assert not packages["train"] & packages["test"]
    assert not packages["validation"] & packages["test"]
    for modules in MODULES.values():
        assert len(set(modules)) == len(modules)


def test_python_has_the_documented_sizes(python):
    lengths = [len(piece) for piece in (python.train, python.validation, python.test)]
    assert lengths == pytest.approx([2.5e6, 0.25e6, 0.26e6], rel=0.03)
    for modules in (MODULES["validation"], MODULES["test"]):  # none is most of its set
        sizes = [len(module_source(module)) for module in modules]
        assert max(sizes) < sum(sizes) / 3
    for piece in python[:3]:
        assert piece.dtype == torch.int64
        assert piece.dim() == 1


def test_every_letter_of_the_vocabulary_is_trained_and_none_is_unknown(python):
    assert python.vocab.tokens == ["\n", *(chr(code) for code in range(32, 127))]
    assert python.train.bincount(minlength=96).min() > 0


def test_letters_that_a_release_adds_are_left_out(monkeypatch):
    monkeypatch.setattr(corpora, "module_source", lambda name: f"{name}\f\té\r\n")
    assert decoded(corpus("python").test[:12], corpus("python").vocab) == "_markupbase\n"


def test_importing_the_data_loads_no_module_of_the_corpora_and_not_d2l():
    program = (
        "import sys, unrolled.data;"
        "print([m for m in ('d2l', 'd2l.torch', 'pooch', 'xmlrpc', 'wsgiref') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (shown.stdout, shown.stderr) == ("[]\n", "")


def test_unknown_corpus_lists_the_names():
    with pytest.raises(ValueError, match="no corpus 'pascal'; expected one of python, time_mach"):
        corpus("pascal")


TEXTS = st.text("abc \n", min_size=1, max_size=60)
SHARES = st.floats(0.0, 0.6)


@given(text=TEXTS, validation=SHARES, test=SHARES)
def test_pieces_follow_each_other_or_are_refused(text, validation, test):
    lengths = int(len(text) * validation), int(len(text) * test)
    if min(lengths) < 1 or sum(lengths) >= len(text):
        with pytest.raises(
            ValueError, match=r"pieces of -?\d+, -?\d+, -?\d+; expected at least one"
        ):
            Corpus.from_text(text, validation=validation, test=test)
        return
    made = Corpus.from_text(text, validation=validation, test=test)
    assert (len(made.validation), len(made.test)) == lengths
    joined = made.vocab.decode(torch.cat(made[:3]))
    known = set(made.vocab.tokens)
    assert joined == [letter if letter in known else "<unk>" for letter in text]
    assert known == {"<unk>", *text[: len(made.train)]}


def test_own_text_by_hand():
    made = Corpus.from_text("abababcaxx", validation=0.2, test=0.2)
    assert made.vocab.tokens == ["<unk>", "a", "b"]
    assert made.train.tolist() == [1, 2, 1, 2, 1, 2]
    assert made.validation.tolist() == [0, 1]
    assert made.test.tolist() == [0, 0]
    assert len(Corpus.from_text("ab" * 50).train) == 80  # a tenth and a tenth by default


def test_own_text_without_unknown():
    assert Corpus.from_text("ab" * 20, unknown=False).vocab.tokens == ["a", "b"]
    with pytest.raises(ValueError, match="token 'z' at place 0 is not among the 2 tokens"):
        Corpus.from_text("ab" * 9 + "za", unknown=False)


def test_own_text_that_is_no_text():
    with pytest.raises(ValueError, match="the text is empty"):
        Corpus.from_text("")
    with pytest.raises(ValueError, match="the 3 letters of the text into pieces of 3, 0, 0"):
        Corpus.from_text("abc")
    with pytest.raises(ValueError, match="pieces of 10, -10, 20"):
        Corpus.from_text("ab" * 10, validation=-0.5, test=1.0)
    with pytest.raises(TypeError, match="text is of type bytes; expected a string"):
        Corpus.from_text(b"ab" * 10)
