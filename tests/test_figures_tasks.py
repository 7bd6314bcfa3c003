"""The drawings of tasks: shapes, batches, final states, tagged texts, pictures."""

import base64
import io
import itertools
import re

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.image import AxesImage
from PIL import Image
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from drawings import KINDS, PROGRAM, SCANS, TAGS, WORDS, Y, artists, drawn, ends, names, svg
from unrolled.figures import (
    hidden_states,
    padded_batch,
    pictures,
    tagged_text,
    task_shapes,
    unrolled_graph,
    unrolled_graphs,
)
from unrolled.figures.canvas import FIXED_WIDTH
from unrolled.figures.palette import SERIES, colour
from unrolled.layers import RNN, final_hidden

STATE = colour("state")


@pytest.fixture(autouse=True)
def _default_matplotlib():
    with matplotlib.rc_context():
        yield


def edge(artist):
    return to_hex(artist.get_edgecolor())


# Pictures.


def caption(named, number):
    """Return the lines of a caption, and their colours."""
    lines = []
    while (gid := f"text-caption-{number}-{len(lines) + 1}") in named:
        lines.append(named[gid])
    return " ".join(line.get_text() for line in lines), {line.get_color() for line in lines}


def test_pictures_stand_in_rows_with_their_captions_below():
    figure = pictures(np.zeros((5, 8, 24)), [f"number {k}" for k in range(5)], columns=2)
    named, places = artists(figure)
    corners = [(places[f"picture-{k}"].x0, places[f"picture-{k}"].y0) for k in range(1, 6)]
    columns, rows = zip(*corners, strict=True)
    assert columns[0] == columns[2] == columns[4] < columns[1] == columns[3]
    assert rows[0] == rows[1] > rows[2] == rows[3] > rows[4]
    for k in range(5):
        frame, text = places[f"picture-{k + 1}"], places[f"text-caption-{k + 1}-1"]
        assert caption(named, k + 1)[0] == f"number {k}"
        assert (text.x0 + text.x1) / 2 == pytest.approx((frame.x0 + frame.x1) / 2, abs=0.02)
        assert text.y1 < frame.y0
        assert frame.width / frame.height == pytest.approx(3)


def test_right_and_wrong_are_told_apart_by_a_sign_and_by_strength():
    named, _ = artists(drawn("pictures"))
    assert caption(named, 1) == ("✓ three four two", {colour("muted")})
    assert caption(named, 2) == ("✗ one one seven", {colour("ink")})
    unknown = pictures(SCANS[:1], ["three"])
    assert caption(artists(unknown)[0], 1) == ("three", {colour("ink")})


def test_a_long_caption_goes_on_in_the_next_line():
    named, places = artists(drawn("pictures, one row"))
    assert caption(named, 1)[0] == "nought seven twelve of them"
    assert "text-caption-1-2" in named
    assert places["text-caption-1-2"].y1 <= places["text-caption-1-1"].y0 + 0.02


def test_the_file_holds_each_pixel_once_and_in_its_place():
    text = svg(drawn("pictures"))
    found = re.findall(r'data:image/png;base64,([^"]+)"', text)
    assert len(found) == len(SCANS)
    assert len(text) < 30_000
    for scan, encoded in zip(SCANS, found, strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("L"))
        assert pixels.shape == scan.shape
        # 0 is paper, 1 is ink; the first row is on top.
        paper, ink = pixels.max(), pixels.min()
        assert np.corrcoef(pixels.ravel(), scan.ravel())[0, 1] < -0.99
        assert paper > 200
        assert ink < 60
    assert text.count("image-rendering:pixelated") == len(SCANS)


def test_pixels_may_be_a_tensor_and_keep_their_meaning_whatever_else_is_there():
    shades = []
    for scan in (torch.tensor([[[0.0, 0.5]]]), np.array([[[0.5, 1.0]]])):
        image = pictures(scan, ["a"]).findobj(AxesImage)[0]
        shades += image.get_array()[0, :, 0].tolist()
    assert shades[0] > shades[1] == shades[2] > shades[3]


# Texts whose letters belong to classes.


def role_of(artist):
    return next(role for role in ("ink", *SERIES) if colour(role) == edge(artist))


def test_every_letter_has_the_colour_of_its_class_at_its_place():
    named, places = artists(drawn("tagged"))
    first = places["text-1-1-1"].x0
    for row, (label, tags) in enumerate(TAGS.items(), start=1):
        start = 0
        for line, words in enumerate(PROGRAM.split("\n"), start=1):
            seen = [" "] * len(words)
            kinds = [0] * len(words)
            for gid, artist in named.items():
                if not (match := re.fullmatch(rf"(text|box)-{line}-{row}-(\d+)", gid)):
                    continue
                box, column = places[gid], int(match[2]) - 1
                if match[1] == "text":
                    at = round((box.x0 - first) / FIXED_WIDTH)
                    letters = artist.get_text()
                    seen[at : at + len(letters)] = letters
                    continue
                count = round(box.width / FIXED_WIDTH)
                assert round((box.x0 - first) / FIXED_WIDTH) == column
                kinds[column : column + count] = [1 + SERIES.index(role_of(artist))] * count
            assert "".join(seen) == words
            assert kinds == tags[start : start + len(words)], (label, line)
            start += len(words) + 1


def underlined(figure, line, row):
    """Return the columns of the letters that are underlined."""
    named, places = artists(figure)
    first = places["text-1-1-1"].x0
    columns = []
    for gid, artist in named.items():
        if re.fullmatch(rf"line-wrong-{line}-{row}-\d+", gid):
            (start, y), (end, _) = ends(artist)
            columns += range(*(round((x - first) / FIXED_WIDTH) for x in (start, end)))
            assert y < places[f"text-row-{line}-{row}"].y0 + 0.05
            assert edge(artist) == colour("ink")
    return sorted(columns)


def test_wrong_letters_are_underlined():
    figure = drawn("tagged")
    lengths = [len(line) for line in PROGRAM.split("\n")]
    for row, tags in enumerate(TAGS.values(), start=1):
        wrong = np.flatnonzero(np.array(tags) != TAGS["truth"])
        assert underlined(figure, 1, row) == [c for c in wrong if c < lengths[0]]
        assert underlined(figure, 2, row) == [c - lengths[0] - 1 for c in wrong if c > lengths[0]]
    assert underlined(figure, 1, 2) == [11, 15, 16, 17, 18]
    assert names(tagged_text(PROGRAM, TAGS, KINDS), "line") == []


def test_rows_of_a_line_stand_below_each_other_and_lines_too():
    _, places = artists(drawn("tagged"))
    heights = [places[f"text-row-{line}-{row}"].y0 for line in (1, 2) for row in (1, 2, 3)]
    assert heights == sorted(heights, reverse=True)
    assert heights[2] - heights[3] > heights[1] - heights[2]
    named, _ = artists(drawn("tagged"))
    assert [named[f"text-row-2-{row}"].get_text() for row in (1, 2, 3)] == list(TAGS)


def test_the_legend_names_classes_and_the_underline():
    named, places = artists(drawn("tagged"))
    written = [named[f"text-class-{k}"].get_text() for k in (1, 2, 3, 4)]
    assert written == [*KINDS, "not as in the row “truth”"]
    assert "box-class-1" not in named
    assert [role_of(named[f"box-class-{k}"]) for k in (2, 3)] == list(SERIES[:2])
    assert places["line-wrong"].x0 < places["text-class-4"].x0
    assert places["line-wrong"].y1 < places["text-class-4"].y0 + 0.02
    rows = [places[gid].y0 for gid in places if gid.startswith("text-row-")]
    assert max(places[f"text-class-{k}"].y1 for k in (1, 2, 3, 4)) < min(rows)


def test_tags_may_be_a_tensor():
    figure = tagged_text("ab", {"model": torch.tensor([0, 1])}, ["a", "b"])
    assert names(figure, "box") == ["1-1-2", "class-2"]


# Several networks.


def test_the_five_shapes_of_tasks():
    figure = drawn("shapes of tasks")
    named, _ = artists(figure)
    shapes = [named[f"text-{k}-name"].get_text() for k in range(1, 6)]
    assert [name.partition(",")[0] for name in shapes] == ["1:1", "N:1", "1:N", "N:N", "N:M"]
    count = {
        kind: [sum(gid.startswith(f"box-{k}-{kind}-") for gid in named) for k in range(1, 6)]
        for kind in ("input", "state", "output")
    }
    assert count == {"input": [1, 3, 1, 3, 3], "state": [1, 3, 3, 3, 5], "output": [1, 1, 3, 3, 3]}
    fed = [sum(gid.startswith(f"arrow-{k}-output-") for gid in named) for k in range(1, 6)]
    assert fed == [0, 0, 2, 0, 2]


def test_a_network_among_others_is_the_one_that_stands_alone():
    arguments = {"inputs": WORDS[:3], "outputs": Y[:3], "initial": "$h_0$", "highlight": [2]}
    alone, alone_at = artists(unrolled_graph(**arguments))
    figure = unrolled_graphs({"first": {"inputs": ["a"]}, "second": arguments})
    named, places = artists(figure)
    gids = [gid for gid in alone if gid.startswith(("box-", "arrow-", "text-"))]
    assert len(gids) > 20
    moved = []
    for gid in gids:
        there = re.sub(r"^(box|arrow|text)-", r"\1-2-", gid)
        one, other = alone_at[gid], places[there]
        moved.append((other.x0 - one.x0, other.y0 - one.y0))
        if not gid.startswith("text-"):
            assert edge(alone[gid]) == edge(named[there])
    assert np.ptp(moved, axis=0) == pytest.approx(0, abs=0.02)


def test_networks_of_a_row_stand_side_by_side_with_names_above_and_notes_below():
    figure = drawn("shapes of tasks")
    named, places = artists(figure)
    inputs = [places[f"box-{k}-input-1"] for k in range(1, 6)]
    assert inputs[0].y0 == inputs[1].y0 == inputs[2].y0 > inputs[3].y0 == inputs[4].y0
    spans = []
    for k in range(1, 6):
        own = [places[gid] for gid in named if re.match(rf"(box|arrow|text)-{k}-", gid)]
        spans.append((min(box.x0 for box in own), max(box.x1 for box in own)))
        drawing = [places[gid] for gid in named if re.match(rf"(box|arrow)-{k}-", gid)]
        assert places[f"text-{k}-name"].y0 > max(box.y1 for box in drawing)
        assert places[f"text-{k}-note-1"].y1 < min(box.y0 for box in drawing)
    for left, right in ((0, 1), (1, 2), (3, 4)):
        assert spans[left][1] < spans[right][0]


def test_five_shapes_fit_the_page():
    assert task_shapes().get_figwidth() <= 7.2


# What h_n holds.


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_drawing_tells_what_torch_does(num_layers, bidirectional, steps):
    reference = torch.nn.RNN(3, 4, num_layers, bidirectional=bidirectional, batch_first=True)
    x = torch.randn(2, steps, 3)
    outputs, h_n = reference(x)
    figure = hidden_states(num_layers, bidirectional, steps)
    named, places = artists(figure)
    assert names(figure, "box-row") == [str(row) for row in range(len(h_n))]
    assert named["text-shape"].get_text() == f"({len(h_n)}, batch, hidden)"
    final = {named[gid].get_text(): gid for gid in named if gid.startswith("text-state-")}
    directions = ("forward", "backward") if bidirectional else ("forward",)
    read = []
    for row in range(len(h_n)):
        layer, direction = 1 + row // len(directions), row % len(directions)
        step = 1 if direction else steps
        state = f"state-{step}-{layer}" + (f"-{directions[direction]}" if bidirectional else "")
        assert named[f"text-row-{row}"].get_text() == f"h_n[{row}]"
        assert final[f"h_n[{row}]"] == f"text-{state}"
        note = f"layer {layer}" + (f", {directions[direction]}" if bidirectional else "")
        assert named[f"text-note-{row}-1"].get_text() == note
        assert named[f"text-note-{row}-2"].get_text() == f"ends at step {step}"
        if layer == num_layers:
            # The state of a step in the top layer is its output.
            half = slice(4 * direction, 4 * direction + 4)
            assert torch.equal(h_n[row], outputs[:, step - 1, half])
            assert places[f"box-row-{row}"].y0 > places["frame-rows"].y0
            read.append((row, state))
    assert names(figure, "frame") == sorted(["rows", *(state for _, state in read)])
    mine = final_hidden(RNN.from_torch(reference)(x)[1])
    assert torch.allclose(mine, torch.cat([h_n[row] for row, _ in read], 1), atol=1e-6)
    below = [places[f"box-row-{row}"] for row in range(read[0][0])]
    assert all(box.y1 < places["frame-rows"].y0 for box in below)


def test_only_final_states_stand_out():
    named, _ = artists(drawn("h_n, two layers, both directions"))
    strong = {gid for gid in named if gid.startswith("box-state") and edge(named[gid]) == STATE}
    assert strong == {
        "box-state-3-1-forward",
        "box-state-1-1-backward",
        "box-state-3-2-forward",
        "box-state-1-2-backward",
    }
    muted = [gid for gid in named if gid.startswith(("box-input", "arrow-state", "box-joint"))]
    assert {edge(named[gid]) for gid in muted} == {colour("muted")}


def test_final_states_go_to_their_rows():
    named, places = artists(drawn("h_n, two layers, both directions"))
    for row, box in enumerate(
        ["state-3-1-forward", "state-1-1-backward", "state-3-2-forward", "state-1-2-backward"]
    ):
        (x0, y0), (x1, y1) = ends(named[f"arrow-final-{row}"])
        start, end = places[f"box-{box}"], places[f"box-row-{row}"]
        assert x0 == pytest.approx(start.x0 if row % 2 else start.x1, abs=0.01)
        assert x1 == pytest.approx(end.x0, abs=0.01)
        assert y0 == y1 == pytest.approx((end.y0 + end.y1) / 2, abs=0.01)
        assert edge(named[f"arrow-final-{row}"]) == STATE


# Batches.


def letters(named, places, start):
    """Return what stands in boxes whose names begin so, row by row from top to bottom."""
    found = [
        (-round(places[gid].y0, 3), places[gid].x0, named[gid.replace("box", "text")].get_text())
        for gid in named
        if re.match(f"box-{start}-\\d", gid)
    ]
    rows = itertools.groupby(sorted(found), key=lambda letter: letter[0])
    return ["".join(letter[2] for letter in row) for _, row in rows]


@pytest.mark.parametrize("words", [["tea", "it", "time", "a", "at"], ["a"], ["ab", "cde", "fghi"]])
def test_a_batch_is_padded_and_packed_as_by_torch(words):
    named, places = artists(padded_batch(words))
    tokens = pad_sequence([torch.tensor([*map(ord, word)]) for word in words], True, ord("·"))
    assert letters(named, places, "padded") == ["".join(map(chr, row)) for row in tokens.tolist()]
    lengths = torch.tensor([len(word) for word in words])
    assert [named[f"text-padded-length-{k}"].get_text() for k in range(len(words))] == [
        str(length) for length in lengths.tolist()
    ]
    packed = pack_padded_sequence(tokens, lengths, batch_first=True, enforce_sorted=False)
    order = packed.sorted_indices.tolist()
    assert letters(named, places, "packed") == [words[row] for row in order]
    numbers = [places[f"text-packed-row-{row}"].y0 for row in order]
    assert numbers == sorted(numbers, reverse=True)
    sizes = [named[f"text-packed-size-{k + 1}"] for k in range(len(packed.batch_sizes))]
    assert [int(size.get_text()) for size in sizes] == packed.batch_sizes.tolist()
    assert "".join(letters(named, places, "data")) == "".join(map(chr, packed.data.tolist()))


def test_padding_steps_back_and_is_counted():
    named, _ = artists(drawn("padded"))
    for gid, artist in named.items():
        if gid.startswith("box-padded-"):
            padding = named[gid.replace("box", "text")].get_text() == "·"
            assert edge(artist) == colour("muted" if padding else "input")
    assert named["text-padded-heading"].get_text() == "padded: 8 of 20 are padding"


def test_sizes_stand_below_their_step_and_data_in_groups():
    named, places = artists(drawn("padded"))
    for step, size in enumerate([5, 4, 2, 1], start=1):
        text, box = places[f"text-packed-size-{step}"], places[f"box-packed-2-{step}"]
        assert (text.x0 + text.x1) / 2 == pytest.approx((box.x0 + box.x1) / 2, abs=0.02)
        assert sum(bool(re.fullmatch(rf"box-data-\d-{step}", gid)) for gid in named) == size
    within = places["box-data-0-1"].x0 - places["box-data-2-1"].x1
    between = places["box-data-2-2"].x0 - places["box-data-3-1"].x1
    assert between > within + 0.05


def test_tensors_stand_below_each_other_where_they_are_too_wide():
    beside, below = artists(drawn("padded"))[1], artists(drawn("padded, long"))[1]
    assert beside["text-packed-heading"].y0 == beside["text-padded-heading"].y0
    assert below["text-packed-heading"].y1 < below["text-padded-lengths"].y0
    assert below["text-packed-heading"].x0 == pytest.approx(below["text-padded-heading"].x0)
    low = min(box.y0 for gid, box in below.items() if "packed" in gid)
    assert below["text-data"].y1 < low


def test_tokens_may_be_words_and_what_leaves_no_mark_is_drawn():
    named, places = artists(drawn("padded, words"))
    assert letters(named, places, "padded") == ["Iseeit.", "no<pad><pad><pad>"]
    named, places = artists(drawn("padded, long"))
    assert letters(named, places, "packed") == ["Nakamura␣and", "O'Brien", "Li↵"]


# What is refused.

SCAN = np.zeros((2, 8, 24))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((SCAN[0], ["a"]), {}, r"images has shape \(8, 24\); expected \(images, height, width\)"),
        ((SCAN[:0], []), {}, r"images has shape \(0, 8, 24\); .* one or more"),
        ((SCAN + 16, ["a", "b"]), {}, "values from 16 to 16; expected values from 0"),
        ((SCAN - 1, ["a", "b"]), {}, "values from -1 to -1; expected values from 0"),
        ((SCAN * np.nan, ["a", "b"]), {}, "values from nan to nan; expected values from 0"),
        ((SCAN, ["a"]), {}, "captions has 1 entries; expected 2, one a picture"),
        ((SCAN, ["a", "b"], [True]), {}, "right has 1 entries; expected 2, one a picture"),
        ((SCAN, ["a", "b"]), {"columns": 0}, "columns is 0; expected 1 or more"),
        ((SCAN, ["a", "W" * 30]), {}, "the caption 'W+' needs .* and its picture is 2.2 wide"),
    ],
)
def test_pictures_refuse(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        pictures(*arguments, **options)


@pytest.mark.parametrize(
    ("text", "rows", "classes", "truth", "message"),
    [
        ("", {"a": []}, "ab", None, "line 1 of the text is empty; expected letters in each"),
        ("a\n \nb", {"a": [0] * 5}, "ab", None, "line 2 of the text is empty"),
        ("a\tb", {"a": [0] * 3}, "ab", None, r"line 1 of the text has '\\t'; expected letters"),
        ("ab", {}, "ab", None, "rows is empty; expected at least one label"),
        ("ab", {"a": [0, 0]}, "", None, "classes has 0 names; expected 1 to 9"),
        ("ab", {"a": [0, 0]}, "abcdefghij", None, "classes has 10 names; expected 1 to 9"),
        ("ab", {"a": [0, 0]}, "ab", "b", "truth is 'b'; expected a label of rows: a"),
        ("ab", {"a": [0]}, "ab", None, r"row 'a' has shape \(1,\) .* each of the 2 letters"),
        ("ab", {"a": [0.0, 1.0]}, "ab", None, "row 'a' has shape .* and type float64; expected"),
        ("ab", {"a": [0, 2]}, "ab", None, "row 'a' has classes from 0 to 2; expected 0 to 1"),
        ("ab", {"a": [-1, 0]}, "ab", None, "row 'a' has classes from -1 to 0; expected 0 to 1"),
        ("a\n" + "b" * 80, {"a": [0] * 82}, "ab", None, r"line 2 .* has 80 letters, .* for 7\d;"),
    ],
)
def test_tagged_text_refuses(text, rows, classes, truth, message):
    with pytest.raises(ValueError, match=message):
        tagged_text(text, rows, list(classes), truth=truth)


@pytest.mark.parametrize(
    ("networks", "notes", "message"),
    [
        ({}, {}, "networks is empty; expected at least one name"),
        ({"a": {"inputs": ["x"]}}, {"b": "c"}, "notes names 'b'; expected names of networks"),
        ({"a": {"input": ["x"]}}, {}, "network 'a' cannot be drawn: missing a required argument"),
        (
            {"a": {"inputs": ["x"], "deep": 2}},
            {},
            "network 'a' cannot be drawn: got an unexpected keyword argument 'deep'",
        ),
        ({"a": {"inputs": []}}, {}, "network 'a' cannot be drawn: inputs is empty; expected"),
        ({"a": {"inputs": ["x"] * 12}}, {}, r"network 'a' needs 1\d\.\d inches and 7\.0 are there"),
        (
            {"a": {"inputs": ["x"]}},
            {"a": "W" * 60},
            r"network 'a' needs \d\.\d inches and 7\.0 are",
        ),
    ],
)
def test_unrolled_graphs_refuse(networks, notes, message):
    with pytest.raises(ValueError, match=message):
        unrolled_graphs(networks, notes=notes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, True), "num_layers is 0; expected 1 or more"),
        ((1, False, 0), "steps is 0; expected 1 or more"),
        ((1, True, 4), r"4 steps need \d\.\d inches and 7\.0 are there; show fewer"),
    ],
)
def test_hidden_states_refuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        hidden_states(*arguments)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([], r"sequences is empty; expected one or more, such as \['tea', 'it'\]"),
        (["a", ""], "sequence 1 is empty; expected one token or more in each"),
        (["a"] * 30, "sequences has 30 entries, and there is room for 23 tokens of one step"),
        (["a" * 40], r"the longest sequence has 40 tokens, which need 1\d\.\d inches, and 7\.0"),
    ],
)
def test_padded_batch_refuses(sequences, message):
    with pytest.raises(ValueError, match=message):
        padded_batch(sequences)
