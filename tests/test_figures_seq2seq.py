"""The drawings of Part V: encoder and decoder, attention, beams, alignments."""

import itertools
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from bs4 import BeautifulSoup
from matplotlib.colors import to_hex
from matplotlib.image import AxesImage

from drawings import (
    BEAM,
    DROPPED,
    NUMBER,
    SCORES,
    SENTENCE_PAIR,
    SOURCE,
    STATES,
    TARGET,
    WEIGHTED,
    artists,
    drawn,
    ends,
    looks,
    names,
)
from unrolled.figures import (
    COLOURS,
    alignment,
    alignment_explorer,
    alignments,
    attention_step,
    beam_tree,
    seq2seq_graph,
)
from unrolled.figures.palette import colour
from unrolled.figures.plots import SEQUENTIAL

CONTEXT = colour("series_1")


@pytest.fixture(autouse=True)
def _default_matplotlib():
    with matplotlib.rc_context():
        yield


def written(figure, start):
    """Return the texts whose names begin with a word, by what follows it."""
    named, _ = artists(figure)
    start = f"text-{start}-"
    return {gid.removeprefix(start): a.get_text() for gid, a in named.items() if start in gid}


def edge(artist):
    return to_hex(artist.get_edgecolor())


# Encoder and decoder.


def test_the_decoder_reads_the_true_tokens_one_step_late():
    figure = drawn("seq2seq, first state")
    assert list(written(figure, "source").values()) == SOURCE
    assert list(written(figure, "input").values()) == ["<bos>", *TARGET]
    assert list(written(figure, "output").values()) == [*TARGET, "<eos>"]


def test_time_runs_to_the_right_and_what_is_one_vector_touches():
    _, places = artists(drawn("seq2seq, every step"))
    columns = [f"box-encoder-{k}" for k in (1, 2)] + [f"box-decoder-{k}" for k in (1, 2, 3, 4)]
    for one, other in itertools.pairwise(columns):
        assert places[one].x1 < places[other].x0
        assert places[one].y0 == pytest.approx(places[other].y0)
    for k in (1, 2, 3, 4):
        token, context = places[f"box-input-{k}"], places[f"box-context-{k}"]
        assert (token.x0, token.x1) == pytest.approx((context.x0, context.x1))
        assert 0 < token.y0 - context.y1 < 0.05 < places[f"box-decoder-{k}"].y0 - token.y1


@pytest.mark.parametrize(
    ("name", "ways"),
    [
        ("seq2seq, first state", {"context-decoder-1"}),
        ("seq2seq, every step", {f"context-context-{k}" for k in (1, 2, 3, 4)}),
        (
            "seq2seq, both",
            {"context-decoder-1", *(f"context-context-{k}" for k in (1, 2, 3, 4))},
        ),
        ("seq2seq, attention", {"context-context-3"}),
        ("seq2seq, look after", {"context-output-2"}),
    ],
)
def test_where_the_context_goes(name, ways):
    figure = drawn(name)
    arrows = names(figure, "arrow")
    assert {arrow for arrow in arrows if arrow.startswith("context-")} == ways
    # Only attention lets the decoder begin with a state of the encoder, beside the context.
    assert ("encoder-decoder" in arrows) == name.endswith(("attention", "after"))
    named, places = artists(figure)
    for way in ways:
        end = ends(named[f"arrow-{way}"])[1]
        box = places[f"box-{way.removeprefix('context-')}"]
        assert box.padded(0.01).contains(*end)
        assert not box.padded(-0.01).contains(*end)


@pytest.mark.parametrize(
    ("name", "states", "shares"),
    [
        ("seq2seq, first state", ["2"], [1]),
        ("seq2seq, both", ["1", "2"], [0.5, 0.5]),
        ("seq2seq, attention", ["1", "2"], [0.9, 0.1]),
        ("seq2seq, first look", ["1", "2", "3", "4"], [0.6, 0.2, 0.1, 0.1]),
    ],
)
def test_a_larger_weight_is_a_thicker_arrow(name, states, shares):
    named, places = artists(drawn(name))
    pattern = re.compile(r"arrow-encoder-(\d)-context")
    mixed = {hit[1]: named[gid] for gid in named if (hit := pattern.fullmatch(gid))}
    assert list(mixed) == states
    widths = [arrow.get_linewidth() for arrow in mixed.values()]
    # Equal steps of weight are equal steps of width.
    assert widths == pytest.approx([0.8 + 4.7 * share for share in shares])
    for state, arrow in mixed.items():
        start, end = ends(arrow)
        assert places[f"box-encoder-{state}"].y1 == pytest.approx(start[1], abs=0.02)
        assert places["box-context"].y0 == pytest.approx(end[1], abs=0.02)
        assert edge(arrow) == CONTEXT
    if "state" not in name and "both" not in name:
        assert written(drawn(name), "weight") == dict(
            zip(states, map("{:.2g}".format, shares), strict=True)
        )


@pytest.mark.parametrize(
    ("name", "state", "after"),
    [
        ("seq2seq, attention", 2, False),
        ("seq2seq, first look", 0, False),
        ("seq2seq, look after", 2, True),
        ("seq2seq, last look", 2, True),
    ],
)
def test_the_state_that_asks_is_the_one_before_the_step_or_that_of_the_step(name, state, after):
    named, places = artists(drawn(name))
    assert named["text-query"].get_text() == f"query: $s_{{{state}}}$"
    dot = places["dot-query"]
    if state:
        assert places[f"box-decoder-{state}"].x1 < dot.x0
    if following := places.get(f"box-decoder-{state + 1}"):
        assert dot.x1 < following.x0
    start, end = ends(named["arrow-query-context"])
    assert dot.contains(*start)
    assert places["box-context"].y1 == pytest.approx(end[1], abs=0.02)
    step = state if after else state + 1
    assert named["text-context"].get_text() == f"$c_{{{step}}}$"


def test_what_stands_out_and_what_steps_back():
    named, _ = artists(drawn("seq2seq, attention"))
    muted = colour("muted")
    bright = {gid for gid, a in named.items() if gid.startswith("box-") and edge(a) != muted}
    assert bright == {"box-context", "box-context-3"}
    named, _ = artists(drawn("seq2seq, free running"))
    bright = {gid for gid, a in named.items() if gid.startswith("box-") and edge(a) != muted}
    assert bright == {"box-input-1", "box-input-2", "box-input-3"}
    assert edge(named["arrow-output-1-input-2"]) == colour("output")


def test_what_is_new_stands_where_the_rest_stood():
    plain, looking = (artists(drawn(f"seq2seq, {kind}")) for kind in ("first state", "attention"))
    corner = [places["box-encoder-1"].p0 for _, places in (plain, looking)]
    shared = [gid for gid in plain[0] if gid.startswith("box-")]
    assert len(shared) == 2 + 2 + 1 + 3 * 4
    for gid in shared:
        moved = [
            places[gid].p0 - start
            for (_, places), start in zip((plain, looking), corner, strict=True)
        ]
        assert moved[0] == pytest.approx(moved[1], abs=1e-6), gid


def test_free_running_feeds_what_was_said_and_teacher_forcing_the_truth():
    free = drawn("seq2seq, free running")
    assert list(written(free, "input").values()) == ["<bos>", "sieben", "und"]
    assert list(written(free, "output").values()) == ["✗ sieben", "und", "✗ <eos>"]
    assert {"output-1-input-2", "output-2-input-3"} <= set(names(free, "arrow"))
    forced = drawn("seq2seq, teacher forcing")
    assert list(written(forced, "input").values()) == ["<bos>", *TARGET]
    assert written(forced, "output")["1"] == "✗ vier"
    assert not [name for name in names(forced, "arrow") if name.startswith("output-")]
    titles = [artists(figure)[0]["text-decoder"].get_text() for figure in (free, forced)]
    assert titles == ["decoder, free running", "decoder, teacher forcing"]


def test_an_encoder_of_both_directions_has_pairs_of_states():
    named, places = artists(drawn("seq2seq, look after"))
    for k in (1, 2, 3):
        low, high = places[f"box-encoder-{k}"], places[f"box-encoder-{k}-backward"]
        assert 0 < high.y0 - low.y1 < 0.05
    for name, sign in (("encoder-1-2", 1), ("encoder-2-1-backward", -1)):
        start, end = ends(named[f"arrow-{name}"])
        assert np.sign(end[0] - start[0]) == sign
    # From both ends, not from one state: it begins at the panel.
    start = ends(named["arrow-encoder-decoder"])[0]
    assert start[0] > places["box-encoder-3"].x1 + 0.1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"kind": "last"}, "kind is 'last'; expected one of 'first state', 'every step', 'both'"),
        ({"summary": "max"}, "summary is 'max'; expected one of 'last', 'mean'"),
        ({"look": "during"}, "look is 'during'; expected one of 'before', 'after'"),
        ({"highlight": ["query"]}, "highlight is 'query'; expected one of 'encoder', 'context'"),
        ({"source": "seventy three"}, "source is 'seventy three'; expected a list of pieces"),
        ({"target": []}, "target is empty; expected one piece or more"),
        ({"target": [7]}, "target is [7]; expected a list of pieces"),
        ({"weights": [0.9, 0.1]}, "weights was given with 'both'; expected it with 'attention'"),
        ({"kind": "attention"}, "weights is None; expected, with attention, a weight for each"),
        (
            {"kind": "attention", "weights": [1]},
            "weights has shape (1,); expected (source,) = (2,), a weight for each piece of source",
        ),
        (
            {"kind": "attention", "weights": [2, -1]},
            "weights goes from -1 to 2; expected weights from 0 to 1: are these scores before",
        ),
        (
            {"kind": "attention", "weights": [0.5, 0.1]},
            "weights of one step add to 0.6; expected 1",
        ),
        (
            {"kind": "attention", "weights": [1, 0], "summary": "mean"},
            "summary is 'mean' with attention, which has weights instead",
        ),
        ({"kind": "attention", "weights": [1, 0], "step": 5}, "step is 5; expected 1 to 4"),
        ({"bidirectional": True}, "bidirectional was given with summary 'last', whose two ends"),
        ({"predicted": ["drei", "<eos>"]}, "predicted has 2 tokens; expected 4, one for each"),
        ({"target": list("dreiundsiebzig")}, "inches and 7.0 are there; show fewer or shorter"),
    ],
)
def test_what_cannot_be_drawn_is_refused(changed, words):
    arguments = {"kind": "both", "source": SOURCE, "target": TARGET} | changed
    with pytest.raises(ValueError, match=re.escape(words)):
        seq2seq_graph(**arguments)


# Beams.


def tree():
    """Return the boxes and the branches of the beam, by their prefixes."""
    named, places = artists(drawn("beam"))
    prefixes = [(), *BEAM]
    boxes = {prefix: f"{number}" for number, prefix in enumerate(prefixes)}
    assert {gid for gid in named if gid.startswith("box-")} == {f"box-{b}" for b in boxes.values()}
    branches = {prefix: f"{boxes[prefix[:-1]]}-{boxes[prefix]}" for prefix in BEAM}
    assert set(names(drawn("beam"), "line")) == set(branches.values())
    return named, places, boxes, branches


def test_a_branch_bears_the_last_token_and_a_box_the_whole_prefix():
    named, _, boxes, branches = tree()
    for prefix, score in BEAM.items():
        assert named[f"text-{boxes[prefix]}"].get_text() == prefix[-1]
        shown = [named[f"text-number-{branches[prefix]}"], named[f"text-score-{boxes[prefix]}"]]
        last, whole = (float(text.get_text().replace("\N{MINUS SIGN}", "-")) for text in shown)
        assert whole == score
        assert last == pytest.approx(score - BEAM.get(prefix[:-1], 0), abs=1e-9)


def test_a_beam_grows_to_the_right_with_the_best_on_top():
    named, places, boxes, branches = tree()
    place = {prefix: places[f"box-{name}"] for prefix, name in boxes.items()}
    for prefix in BEAM:
        assert place[prefix[:-1]].x1 < place[prefix].x0
        start, end = ends(named[f"line-{branches[prefix]}"])
        assert start == pytest.approx(
            [place[prefix[:-1]].x1, sum(place[prefix[:-1]].intervaly) / 2], abs=0.02
        )
        assert end == pytest.approx([place[prefix].x0, sum(place[prefix].intervaly) / 2], abs=0.02)
    for one, other in itertools.combinations(BEAM, 2):
        if one[:-1] == other[:-1]:
            assert (BEAM[one] > BEAM[other]) == (place[one].y0 > place[other].y0)


def test_what_was_dropped_is_dashed_and_the_greedy_way_is_thick():
    named, _, boxes, branches = tree()
    assert len(DROPPED) == 3
    greedy = {("drei", "und", "zwei", "<eos>")[:k] for k in (1, 2, 3, 4)}
    for prefix in BEAM:
        box, branch = named[f"box-{boxes[prefix]}"], named[f"line-{branches[prefix]}"]
        assert (box.get_linestyle() != "solid") == (prefix in DROPPED)
        assert (edge(box) == colour("muted")) == (prefix in DROPPED)
        assert (branch.get_linewidth() > 3) == (prefix in greedy)
        assert (edge(branch) == colour("series_2")) == (prefix in greedy)
    ended = [boxes[p] for p in BEAM if p[-1] == "<eos>" and p not in DROPPED]
    assert written(drawn("beam"), "mark") == dict(zip(ended, ("greedy", "best"), strict=True))


def test_the_greedy_way_may_be_the_best_and_nothing_may_have_ended():
    assert list(written(drawn("beam, one way"), "mark").values()) == ["greedy, best"]
    assert list(written(drawn("beam, nothing ended"), "mark").values()) == ["greedy"]


@pytest.mark.parametrize(
    ("scores", "kept", "words"),
    [
        ({}, [], "scores is empty; expected a log-probability for each prefix"),
        ({("a", "b"): -1}, [], "scores has ('a', 'b') and not ('a',); expected all beginnings"),
        ({("a",): 0.5}, [], "the score of ('a',) is 0.5, above that of its beginning"),
        ({("a",): -1, ("a", "b"): -0.2}, [], "the score of ('a', 'b') is -0.2, above that of its"),
        ({("a",): float("nan")}, [], "the score of ('a',) is nan"),
        ({("a",): -1}, [("b",)], "kept has ('b',), which has no score"),
        ({("a",): -1, ("a", "b"): -2}, [("a", "b")], "kept has ('a', 'b') and not ('a',)"),
        ({("a" * 80,): -1}, [], "inches and 6.2 are there; show fewer steps or shorter tokens"),
        ({(f"{k}",): -1 for k in range(30)}, [], "the tree has 30 ends, and there is room for 14"),
    ],
)
def test_a_tree_that_cannot_be_drawn_is_refused(scores, kept, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        beam_tree(scores, kept)


@pytest.mark.parametrize("prefix", ["drei", (), ["drei"]])
def test_a_prefix_is_a_tuple_of_tokens(prefix):
    with pytest.raises(TypeError, match="is no prefix; expected a tuple of tokens"):
        beam_tree({("a",): -1}, [prefix])


# One look, in numbers.


def number(text):
    return float(text.replace("\N{MINUS SIGN}", "-"))


def test_each_number_of_the_context_is_the_sum_beside_it():
    named, places = artists(drawn("look, all of it"))
    context = WEIGHTED @ STATES
    for feature in (1, 2, 3):
        shown = named[f"text-context-{feature}"].get_text()
        terms = named[f"text-sum-{feature}"].get_text().removeprefix("= ").split(" + ")
        pairs = [[number(part.strip("()")) for part in term.split(" × ")] for term in terms]
        assert pairs == [[w, h] for w, h in zip(WEIGHTED, STATES[:, feature - 1], strict=True)]
        assert number(shown) == pytest.approx(context[feature - 1])
        row, beside = (places[f"text-{name}-{feature}"] for name in ("context", "sum"))
        assert sum(row.intervaly) == pytest.approx(sum(beside.intervaly), abs=0.1)
    assert "0.2 × (\N{MINUS SIGN}2)" in named["text-sum-3"].get_text()


def test_a_state_shows_its_numbers_its_score_and_its_weight_above_each_other():
    named, places = artists(drawn("look, all of it"))
    for k in range(4):
        rows = [f"state-{k + 1}-{feature}" for feature in (3, 2, 1)]
        rows += [f"score-{k + 1}", f"softmax-{k + 1}"]
        shown = [number(named[f"text-{row}"].get_text()) for row in rows]
        assert shown[:3] == STATES[k, ::-1].tolist()
        assert shown[3:] == pytest.approx([SCORES[k], WEIGHTED[k]], abs=0.006)
        heights = [places[f"text-{row}"].y0 for row in rows]
        assert heights == sorted(heights)
        arrow = named[f"arrow-state-{k + 1}-context"]
        start, end = ends(arrow)
        assert heights[-1] < start[1] < end[1]
        assert end[1] == pytest.approx(places["box-context-3"].y0, abs=0.02)
        assert arrow.get_linewidth() == pytest.approx(0.8 + 4.7 * WEIGHTED[k])
    assert {"text-row-weight"} == {gid for gid in artists(drawn("look"))[0] if "-row-" in gid}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"states": [1, 2]}, "states has shape (2,); expected (source, features), finite numbers"),
        ({"states": [[np.nan], [1]]}, "states has shape (2, 1); expected (source, features), fin"),
        ({"weights": [1]}, "weights has shape (1,); expected (source,) = (2,)"),
        ({"labels": ["a"]}, "labels has 1 pieces; expected 2, one a state"),
        ({"labels": "ab"}, "labels is 'ab'; expected a list of pieces"),
        ({"scores": [1]}, "scores has shape (1,); expected (2,), a finite number a state"),
        (
            {"scores": [1, 2]},
            "the softmax of scores is ['0.27', '0.73']; expected the weights, ['0.8', '0.2']",
        ),
        (
            {"weights": [0.125] * 8, "states": [[0.5]] * 8},
            "8 states of such numbers need",
        ),
    ],
)
def test_a_look_that_cannot_be_drawn_is_refused(changed, words):
    arguments = {"weights": [0.8, 0.2], "states": [[1, 0], [0, 1]]} | changed
    with pytest.raises(ValueError, match=re.escape(words)):
        attention_step(**arguments)


# Alignments.


def cells(figure):
    """Return the colour of each cell, with the place of its middle."""
    found = {}
    for image in figure.findobj(AxesImage):
        if "bar" in image.get_gid():
            continue
        colours = image.get_array()
        box = image.get_window_extent()
        rows, columns = colours.shape[:2]
        for row, column in itertools.product(range(rows), range(columns)):
            x = box.x0 + (column + 0.5) * box.width / columns
            y = box.y1 - (row + 0.5) * box.height / rows
            found[x, y] = tuple(colours[row, column])
    return found


def middles(figure, start, axis):
    figure.draw_without_rendering()
    named, _ = artists(figure)
    found = {}
    for gid, text in named.items():
        if gid.startswith(f"text-{start}-"):
            low, high = text.get_window_extent().get_points()[:, axis]
            found[int(gid.rpartition("-")[2]) - 1] = (low + high) / 2
    return [found[k] for k in range(len(found))]


@pytest.mark.parametrize("name", ["alignment", "alignment of words"])
def test_each_weight_is_a_cell_beside_its_target_and_below_its_source(name):
    source, target = NUMBER if name == "alignment" else SENTENCE_PAIR
    weights, figure = looks(source, target), drawn(name)
    across, down = middles(figure, "1-source", 0), middles(figure, "1-target", 1)
    assert across == sorted(across)
    assert down == sorted(down, reverse=True)
    found = cells(figure)
    assert len(found) == weights.size
    for (x, y), shade in found.items():
        column = int(abs(np.array(across) - x).argmin())
        row = int(abs(np.array(down) - y).argmin())
        # Upright letters, and letters that go below the line, have their middles elsewhere.
        assert abs(across[column] - x) < 2
        assert abs(down[row] - y) < 4
        expected = np.round(255 * np.array(SEQUENTIAL(weights[row, column])[:3]))
        assert shade == tuple(expected.astype(np.uint8)), (row, column)


def test_words_of_letters_stand_apart_and_a_blank_has_a_mark():
    figure = drawn("alignment")
    across, down = middles(figure, "1-source", 0), middles(figure, "1-target", 1)
    steps = np.diff(across)
    # "forty", with its blank, "two", "<eos>".
    assert [k for k, step in enumerate(steps) if step > 1.2 * np.median(steps)] == [5, 8]
    assert np.argmax(-np.diff(down)) == len(down) - 2
    labels = written(figure, "1-source")
    assert [labels[f"{k}"] for k in range(1, 11)] == [*"forty␣two", "<eos>"]
    assert len([gid for gid in names(figure, "picture") if "weights" in gid]) == 3 * 2


def is_upright(gid, artist):
    return gid.startswith("text-1-source-") and artist.get_rotation() == 90


def test_what_is_wider_than_its_column_runs_upwards():
    for name, upright in (("alignment", {"10"}), ("alignment of words", set())):
        named, _ = artists(drawn(name))
        start = "text-1-source-"
        turned = {
            g.removeprefix(start) for g, a in named.items() if start in g and a.get_rotation()
        }
        assert turned == upright


def test_panels_stand_beside_each_other_where_there_is_room():
    _, places = artists(drawn("alignments"))
    first, second, third = (places[f"text-{k}-title"] for k in (1, 2, 3))
    assert first.y0 == pytest.approx(second.y0, abs=0.05)
    assert first.x1 < second.x0
    assert third.x0 == pytest.approx(first.x0, abs=0.05)
    assert third.y1 < min(box.y0 for gid, box in places.items() if gid.startswith("picture-1"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([[1, 0]], ["a"], ["x"]), "weights has shape (1, 2); expected (target, source) = (1, 1)"),
        (([[0.5]], ["a"], ["x"]), "weights of one step add to 0.5; expected 1: cut neither"),
        (([[1.5]], ["a"], ["x"]), "weights goes from 1.5 to 1.5; expected weights from 0 to 1"),
        (([[1]], "a", ["x"]), "source is 'a'; expected a list of pieces"),
        (([[1]], ["a"], [""]), "target is ['']; expected a list of pieces"),
        (
            (np.eye(1, 80), ["a"] * 80, ["x"]),
            "source has 80 pieces, which need",
        ),
        (
            (np.ones((70, 1)), ["a"], ["x"] * 70),
            "inches of height and 11.0 are there; show shorter ones or fewer",
        ),
    ],
)
def test_an_alignment_that_cannot_be_drawn_is_refused(arguments, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        alignment(*arguments)
    with pytest.raises(ValueError, match=re.escape(words)) as raised:
        alignments({"right": ([[1]], ["a"], ["x"]), "seed 3": arguments})
    assert "seed 3" in str(raised.value) or "inches" in words or "pieces, which" in words


def test_a_step_that_may_look_nowhere_has_no_weights():
    assert len(cells(alignment([[0, 0], [0, 1]], ["a", "b"], ["x", "y"]))) == 4
    with pytest.raises(ValueError, match="examples is empty; expected a title with weights"):
        alignments({})


# Alignments that answer: the picture and the tables; tests/site looks at the script.


def test_the_tables_hold_the_weights_of_all_examples():
    pair = (["a", "<eos>"], ["x y", " "])
    examples = {"one & <two>": (np.array([[0.126, 0.874], [0, 1]]), *pair)}
    examples["forty two"] = (looks(*NUMBER), *NUMBER)
    explorer = alignment_explorer(examples)
    tables = BeautifulSoup(explorer.html, "html.parser").select("details > div > table")
    assert [table.caption.text for table in tables] == list(examples)
    first = [[cell.text for cell in row.select("th, td")] for row in tables[0].select("tr")]
    assert first == [["target", "a", "<eos>"], ["x y", "13", "87"], ["␣", "0", "100"]]
    assert [cell["scope"] for cell in tables[0].select("th")] == ["col"] * 3 + ["row"] * 2
    assert len(tables[1].select("td")) == 15 * 10
    # The picture is that of the first.
    assert len(cells(explorer.figure)) == 4


def test_an_explorer_shows_its_tables():
    explorer = alignment_explorer({"one": ([[1]], ["a"], ["x"])})
    assert explorer._repr_html_() == explorer.html


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        ({}, "examples is empty; expected a title with weights, source and target"),
        ({"one": ([[0.2]], ["a"], ["x"])}, "example 'one': weights of one step add to 0.2"),
    ],
)
def test_examples_that_do_not_fit_are_refused(examples, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        alignment_explorer(examples)


def test_the_script_is_light_and_asks_nobody():
    assets = Path(__file__).resolve().parent.parent / "assets"
    script = (assets / "alignment.js").read_text(encoding="utf-8")
    assert len(script.encode()) < 12_000
    assert not re.search(r"https?:|fetch|import\b|XMLHttpRequest", script)
    style = (assets / "style.css").read_text(encoding="utf-8")
    rules = "".join(re.findall(r"^\.alignment[^{]*\{[^}]*\}", style, re.MULTILINE))
    assert {"series_1", "ink", "paper"} <= set(re.findall(r"--unrolled-(\w+)", rules)) <= {*COLOURS}
