"""The translator of the book: what it gives, what it refuses, what it warns of."""

import warnings
from statistics import fmean

import pytest
import torch
from safetensors import safe_open

from unrolled import translator as module
from unrolled.__main__ import main
from unrolled.data import Subwords
from unrolled.metrics import corpus_bleu
from unrolled.translator import (
    Translator,
    held_out_sentences,
    training_words,
    translation_model,
    weights_folder,
)

ENGLISH = ["I am cold.", "I am hungry.", "You are late.", "We are here.", "Tom is cold."] * 3
FRENCH = ["J'ai froid.", "J'ai faim.", "Tu es en retard.", "Nous sommes là.", "Tom a froid."] * 3
SIZES = {"embedding": 6, "encoder": 4, "hidden": 8}


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    source, target = Subwords(ENGLISH, 40), Subwords(FRENCH, 45)
    model = translation_model(40, 45, **SIZES)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.half())  # so that half precision loses nothing
    return Translator(model, source, target, SIZES | {"longest": 9})


@pytest.fixture(scope="module")
def shipped():
    return Translator.load()


def test_a_translator_is_saved_and_loaded(untrained, tmp_path):
    untrained.save(tmp_path)
    again = Translator.load(tmp_path)
    assert again.sizes == untrained.sizes
    assert not again.model.training
    before, after = untrained.translate("I am cold."), again.translate("I am cold.")
    assert before[:3] == after[:3]
    torch.testing.assert_close(before.weights, after.weights)


def test_a_weight_takes_two_bytes(untrained, tmp_path):
    untrained.save(tmp_path)
    with safe_open(tmp_path / "translator.safetensors", "pt") as file:
        kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    assert kinds == {torch.float16}


@pytest.mark.parametrize("missing", ["translator.safetensors", "translator.fr.model"])
def test_a_missing_file_is_named(untrained, tmp_path, missing):
    untrained.save(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(FileNotFoundError, match=missing):
        Translator.load(tmp_path)


@pytest.mark.parametrize("beam_size", [1, 4])
def test_weights_belong_to_the_pieces(untrained, beam_size):
    said = untrained.translate("I am cold.", beam_size=beam_size)
    assert said.source[-1] == said.target[-1] == "</s>"
    assert "".join(said.source[:-1]) == "▁I▁am▁cold."
    assert said.weights.shape == (len(said.target), len(said.source))
    torch.testing.assert_close(said.weights.sum(dim=1), torch.ones(len(said.target)))


def test_align_gives_the_weights_of_a_translation(untrained):
    said = untrained.translate("I am cold.")
    again = untrained.align("I am cold.", "J'ai froid.")
    assert again.text == "J'ai froid."
    assert again.source == said.source
    assert again.weights.shape == (len(again.target), len(again.source))
    tokens, (written,) = untrained.tokens("I am cold."), untrained.target.encode(["J'ai froid."])
    state = untrained.model.start(tokens[None])
    for place, token in enumerate([untrained.target.bos, *written[:-1].tolist()]):
        _, weights, state = untrained.model.decoder.attend(torch.tensor([[token]]), state)
        torch.testing.assert_close(again.weights[place], weights[0, 0])


def test_one_by_one_and_all_together_are_equal(untrained):
    texts = ["We are here.", "I am cold.", "Tom"]
    assert untrained.translate_all(texts) == [
        untrained.translate(text, beam_size=1).text for text in texts
    ]


def test_other_blanks_change_nothing(untrained):
    written, tidied = untrained.translate(" I\u00a0am  cold. "), untrained.translate("I am cold.")
    assert written[:3] == tidied[:3]
    assert torch.equal(written.weights, tidied.weights)


@pytest.mark.parametrize("text", ["", "  ", "\n\u202f"])
def test_an_empty_sentence(untrained, text):
    with pytest.raises(ValueError, match="the sentence is empty"):
        untrained.translate(text)


@pytest.mark.parametrize("text", [None, 3, ["I am cold."]])
def test_no_sentence(untrained, text):
    with pytest.raises(TypeError, match=f"text is of type {type(text).__name__}"):
        untrained.translate(text)


@pytest.mark.parametrize("translation", ["", " ", None])
def test_no_translation_to_align(untrained, translation):
    with pytest.raises(ValueError, match=r"translation is .*; expected a French sentence"):
        untrained.align("I am cold.", translation)


def test_a_beam_of_zero(untrained):
    with pytest.raises(ValueError, match="beam_size is 0"):
        untrained.translate("I am cold.", beam_size=0)


def test_unknown_letters_are_warned_of(untrained):
    with pytest.warns(UserWarning, match="never seen in training, so read as unknown: Ж ж"):
        untrained.translate("I am жЖж.")


def test_too_long_a_sentence_is_warned_of(untrained):
    with pytest.warns(UserWarning, match=r"has 13 pieces, and the longest seen in training 9"):
        untrained.translate("I am cold. I am cold. I am cold.")


def test_a_usual_sentence_is_not_warned_of(untrained):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        untrained.translate("I am cold.")


def test_sentences_and_words_beside_the_weights(tmp_path):
    (tmp_path / "held-out.tsv").write_text("Go.\tVa !\tAllez !\nStop.\tStop !\n", "utf-8")
    (tmp_path / "words.fr.txt").write_text("maison\nété\n", "utf-8")
    assert held_out_sentences(tmp_path) == {"Go.": ["Va !", "Allez !"], "Stop.": ["Stop !"]}
    assert training_words("fr", tmp_path) == {"maison", "été"}
    with pytest.raises(ValueError, match="language is 'de'; expected one of 'en', 'fr'"):
        training_words("de", tmp_path)


# --- The one that comes with the book ------------------------------------------------------------


def test_the_shipped_translator_knows_french(shipped):
    assert shipped.translate("Thank you.").text in ("Merci.", "Merci !")
    sentences = dict(list(held_out_sentences().items())[:200])
    predicted = shipped.translate_all(list(sentences))
    assert corpus_bleu(predicted, list(sentences.values())).score > 15


def test_the_shipped_translator_looks_around(shipped):
    """A score that grows too large looks at one piece alone, soon at the full stop for all."""
    strongest, at_the_end = [], []
    for source, (right, *_) in list(held_out_sentences().items())[:100]:
        weights = shipped.align(source, right).weights[:-2]  # but for the full stop and the end
        strongest.append(weights.max(dim=1).values.mean().item())
        at_the_end.append((weights.argmax(dim=1) >= weights.shape[1] - 2).float().mean().item())
    assert 0.2 < fmean(strongest) < 0.9
    assert fmean(at_the_end) < 0.4


def test_the_shipped_files_are_small_and_in_half_precision(shipped):
    sizes = [path.stat().st_size for path in weights_folder().glob("translator.*")]
    assert len(sizes) == 3
    assert sum(sizes) < 8 * 2**20
    for weight in shipped.model.parameters():
        assert torch.equal(weight, weight.half().float())


def test_the_shipped_sentences_were_not_trained_on(shipped):
    sentences = held_out_sentences()
    assert len(sentences) > 3000
    longest = max(len(tokens) for tokens in shipped.source.encode(sentences))
    assert longest <= shipped.sizes["longest"] + 5
    assert not set(shipped.translate_all(["Go.", "Stop."])) & {""}


def test_the_command_line_translates(capsys, monkeypatch, untrained):
    monkeypatch.setattr(module.Translator, "load", classmethod(lambda cls: untrained))
    assert main(["translate", "I am cold."]) == 0
    printed = capsys.readouterr()
    assert printed.out == untrained.translate("I am cold.").text + "\n"
    assert not printed.err
    assert main(["translate", "I am ж."]) == 0
    assert "warning: never seen in training, so read as unknown: ж" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", " "])
def test_the_command_line_says_what_is_wrong(capsys, monkeypatch, untrained, text):
    monkeypatch.setattr(module.Translator, "load", classmethod(lambda cls: untrained))
    with pytest.raises(SystemExit) as ended:
        main(["translate", text])
    assert ended.value.code == 2
    assert "the sentence is empty; expected at least one word" in capsys.readouterr().err
