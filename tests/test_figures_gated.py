"""The drawings of gates and of depth."""

import itertools

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from drawings import (
    ACTIVATION,
    GATES,
    LATER,
    PROGRAM,
    WORDS,
    Y,
    artists,
    contrast,
    drawn,
    ends,
    names,
    texts,
)
from unrolled.cells import GRUCell, LSTMCell, LSTMState
from unrolled.figures import activation_text, cell_diagram, unrolled_graph, wavefront
from unrolled.figures.canvas import FIXED_WIDTH
from unrolled.figures.cell import CELLS
from unrolled.figures.palette import colour
from unrolled.figures.plots import DIVERGING

GATED = ("lstm", "gru", "gru-before")


@pytest.fixture(autouse=True)
def _default_matplotlib():
    with matplotlib.rc_context():
        yield


def written(figure):
    return [text.get_text() for text, _ in texts(figure)]


def wires(figure):
    """Return the wires of a cell, each as a pair of the nodes that it joins."""
    found = [*names(figure, "arrow"), *names(figure, "line")]
    nodes = {node.name.replace(" ", "-") for cell in CELLS.values() for node in cell.nodes}
    pairs = set()
    for wire in found:
        splits = [(wire[:k], wire[k + 1 :]) for k, sign in enumerate(wire) if sign == "-"]
        (pair,) = [(start, end) for start, end in splits if {start, end} <= nodes]
        pairs.add(pair)
    assert len(pairs) == len(found)
    return pairs


# The gated cells.


X, H, C = 0.7, -0.4, 0.9
SIGMA = torch.sigmoid
TANH = torch.tanh


def cell_of(kind):
    """Return a cell of one feature and one unit, and the rows of its gates by their names."""
    torch.manual_seed(3)
    if kind == "lstm":
        return LSTMCell(1, 1).double(), "ifgo"
    reset = "before" if kind == "gru-before" else "after"
    return GRUCell(1, 1, reset=reset).double(), "rzn"


def value_of(kind, figure, node):
    """Compute a node of a drawing from what the wires bring to it, with the weights of a cell."""
    cell, rows = cell_of(kind)
    into = {}
    for start, end in wires(figure):
        into.setdefault(end, []).append(start)
    given = {"h-before": H, "c-before": C, "x": X, "x-again": X}

    def product(box, x=0.0, h=0.0):
        row = rows.index(box)
        return cell.weight_ih[row, 0] * x + cell.weight_hh[row, 0] * h

    def joined(node):
        """Return which of x and h a wire brings."""
        if node in ("x", "h-before"):
            return {node[0]: given[node]}
        return dict(pair for start in into[node] for pair in joined(start).items())

    def value(node):
        if node in given:
            return torch.tensor(given[node]).double()
        if node in rows:
            act = TANH if node == "g" else SIGMA
            return act(product(node, **joined(node)) + cell.bias[rows.index(node)])
        parts = [value(start) for start in into[node]]
        if node in ("add", "sum"):
            return sum(parts)
        if node in ("forget", "write", "read", "reset", "keep"):
            assert len(parts) == 2
            return parts[0] * parts[1]
        (part,) = parts
        if node == "W_in":
            return product("n", x=part) + cell.bias[2]
        if node == "W_hn":
            return product("n", h=part) + (cell.bias_hn[0] if kind == "gru" else 0)
        return {"tanh": torch.tanh, "rest": lambda z: 1 - z}.get(node, lambda same: same)(part)

    return value(node).item()


@pytest.mark.parametrize("kind", GATED)
def test_a_drawing_computes_what_the_cell_computes(kind):
    cell, _ = cell_of(kind)
    x, h, c = (torch.tensor([[number]]).double() for number in (X, H, C))
    if kind == "lstm":
        _, state = cell(x, LSTMState(h, c))
        assert value_of(kind, drawn(kind), "c") == pytest.approx(state.c.item())
        expected = state.h
    else:
        expected, _ = cell(x, h)
    name = "gru, reset before" if kind == "gru-before" else kind
    assert value_of(kind, drawn(name), "h") == pytest.approx(expected.item())


def gates_of(kind, h=H):
    cell, _ = cell_of(kind)
    x, state = (torch.tensor([[number]]).double() for number in (X, h))
    if kind == "lstm":
        state = LSTMState(state, torch.zeros_like(state))
    projected = cell.project(x)
    return {name: gate.item() for name, gate in cell.gates(projected, state)._asdict().items()}


@pytest.mark.parametrize(
    ("without", "c", "h"),
    [
        (LATER, lambda f, i, g, o: C, None),
        (GATES, lambda f, i, g, o: C + g, lambda f, i, g, o: np.tanh(C + g)),
        (GATES[1:], lambda f, i, g, o: C + i * g, lambda f, i, g, o: np.tanh(C + i * g)),
        (
            GATES[2:],
            lambda f, i, g, o: f * C + i * g,
            lambda f, i, g, o: np.tanh(f * C + i * g),
        ),
        (["input gate"], lambda f, i, g, o: f * C + g, lambda f, i, g, o: o * np.tanh(f * C + g)),
        # A gate without what it scales goes too.
        (["candidate"], lambda f, i, g, o: f * C, lambda f, i, g, o: o * np.tanh(f * C)),
    ],
)
def test_an_lstm_grows_part_by_part(without, c, h):
    figure, gates = cell_diagram("lstm", without=without), gates_of("lstm")
    assert value_of("lstm", figure, "c") == pytest.approx(c(**gates))
    if h is not None:
        assert value_of("lstm", figure, "h") == pytest.approx(h(**gates))


def test_without_an_output_no_h_comes_from_the_step_before():
    figure = cell_diagram("lstm", without=["output", "input gate"])
    gates = gates_of("lstm", h=0.0)
    assert value_of("lstm", figure, "c") == pytest.approx(gates["f"] * C + gates["g"])
    assert not {"$h_t$", "$h_{t{-}1}$", "$o_t$"} & set(written(figure))


@pytest.mark.parametrize(
    ("without", "h"),
    [
        (["update gate"], lambda r, z, n: H + n),
        (["candidate"], lambda r, z, n: z * H),
        (["candidate", "update gate"], lambda r, z, n: H),
    ],
)
def test_a_gru_grows_part_by_part(without, h):
    for kind in ("gru", "gru-before"):
        figure = cell_diagram(kind, without=without)
        assert value_of(kind, figure, "h") == pytest.approx(h(**gates_of(kind)))


def test_without_a_reset_gate_both_kinds_of_gru_draw_the_same_wires():
    one, other = (cell_diagram(kind, without=["reset gate"]) for kind in ("gru", "gru-before"))
    assert wires(one) == wires(other)
    assert ("W_hn", "sum") in wires(one)


def test_nothing_is_left_dangling_whatever_is_taken_away():
    for kind in GATED:
        parts = CELLS[kind].parts
        for count in range(1, len(parts)):
            for without in itertools.combinations(parts, count):
                cell = CELLS[kind].without(without)
                starts, goals = ([getattr(w, end) for w in cell.wires] for end in ("start", "end"))
                for node in cell.nodes:
                    into, out = goals.count(node.name), starts.count(node.name)
                    if node.kind == "end":
                        assert into + out == 1
                    elif node.kind == "box":
                        assert into == out == 1
                    elif node.kind == "operator":
                        assert (into, out) == (2, 1)
                    else:
                        assert into > 0 < out < into + out > 2
                at = {node.name: node.at for node in cell.nodes}
                for wire in cell.wires:
                    way = [at[wire.start], *wire.corners, at[wire.end]]
                    for (x0, y0), (x1, y1) in itertools.pairwise(way):
                        assert (x0 == x1) != (y0 == y1), wire
                # What is gone leaves neither its box nor its label.
                assert not {n.part for n in cell.nodes if n.kind == "box"} & set(without)
                assert not {w.label for w in cell.wires if w.part in without} - {""}


def test_what_is_there_stays_where_it_is():
    for kind, without in (("lstm", LATER), ("lstm", GATES), ("gru", ["update gate"])):
        whole, part = cell_diagram(kind), cell_diagram(kind, without=without)
        assert part.get_size_inches() == pytest.approx(whole.get_size_inches())
        (_, before), (_, after) = artists(whole), artists(part)
        stayed = [gid for gid in after if gid in before and gid.startswith(("box", "text", "dot"))]
        assert stayed
        for gid in stayed:
            if not gid.endswith("-wire"):  # a label stands at the middle of its wire
                assert after[gid].bounds == pytest.approx(before[gid].bounds), gid


def test_a_wire_goes_straight_through_where_a_gate_is_missing():
    named, _ = artists(drawn("lstm, carousel"))
    road = named["arrow-c-before-c"]._path_original.vertices
    assert len(road) == 2
    assert road[0][1] == road[1][1]
    named, places = artists(drawn("lstm, no gates"))
    (x0, y0), (x1, y1) = ends(named["arrow-g-add"])
    assert x0 == pytest.approx(x1)
    assert (y0, y1) == pytest.approx((places["box-g"].y1, places["box-add"].y0), abs=0.03)
    # Where it turned, it still does.
    (x0, _), (x1, y1) = ends(named["arrow-tanh-h"])
    assert x1 > x0
    assert y1 == pytest.approx(ends(named["line-h-before-joint"])[1][1])


def test_time_runs_to_the_right_and_the_cell_state_straight():
    named, places = artists(drawn("lstm"))
    road = ["line-add-read-off", "arrow-c-before-forget", "arrow-forget-add", "arrow-read-off-c"]
    heights = {round(y, 6) for wire in road for _, y in ends(named[wire])}
    assert len(heights) == 1
    assert places["text-h"].y1 < places["text-c"].y0
    gates = [places[f"box-{gate}"].x0 for gate in "figo"]
    assert gates == sorted(gates)


def test_gates_have_the_colour_of_gates_and_states_that_of_states():
    for name, gates, states in (
        ("lstm", "fio", ("g", "tanh")),
        ("gru", "rz", ("tanh", "W_hn")),
    ):
        named, _ = artists(drawn(name))
        for role, boxes in (("gate", gates), ("state", states)):
            edges = {to_hex(named[f"box-{box}"].get_edgecolor()) for box in boxes}
            assert edges == {colour(role)}
        assert {named[f"text-{gate}"].get_text() for gate in gates} == {r"$\sigma$"}


def test_what_is_highlighted_stands_out_with_its_wires():
    named, _ = artists(drawn("lstm, highlighted"))
    edges = {
        gid: to_hex(named[gid].get_edgecolor())
        for gid in ("box-f", "arrow-f-forget", "box-i", "arrow-c-before-forget", "box-tanh")
    }
    assert edges == {
        "box-f": colour("gate"),
        "arrow-f-forget": colour("gate"),
        "box-i": colour("muted"),
        "arrow-c-before-forget": colour("muted"),
        "box-tanh": colour("muted"),
    }


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("lstm", {"without": ["gate"]}, "without names 'gate'; expected parts of the cell: carous"),
        ("lstm", {"without": "output"}, r"without is the text 'output'; .* parts: \['output'\]"),
        ("lstm", {"highlight": "output"}, "highlight is the text 'output'; expected a list"),
        (
            "lstm",
            {"without": ["candidate"], "highlight": ["input gate"]},
            "highlight names 'input gate', which is not there without what was named",
        ),
        ("gru", {"without": ["state"]}, "without names state: nothing is left; name other parts"),
        ("rnn", {"without": ["sum"]}, "without names sum: nothing of this can be taken away"),
        ("lstm", {"gradients": True}, "a cell whose backward pass is not drawn; expected 'rnn'"),
        ("gru-after", {}, "no cell 'gru-after'; expected one of rnn, jordan, lstm, gru, gru-bef"),
    ],
)
def test_a_gated_cell_refuses(kind, options, message):
    with pytest.raises(ValueError, match=message):
        cell_diagram(kind, **options)


# A text on a ground of numbers.


def ramp(number):
    return to_hex(DIVERGING((number + 1) / 2))


def grounds(named, name):
    """Return the colours below the letters of a line."""
    (row,) = named[f"picture-{name}"].get_array()
    return [to_hex(shade / 255) for shade in row]


@pytest.mark.parametrize("name", ["activation", "activation, rows"])
def test_the_ground_of_a_letter_is_its_number(name):
    named, places = artists(drawn(name))
    first, second = PROGRAM.split("\n")
    rows = [ACTIVATION] if name == "activation" else [ACTIVATION, abs(ACTIVATION)]
    for row, numbers in enumerate(rows, start=1):
        upper, lower = numbers[: len(first)], numbers[len(first) + 1 :]
        assert grounds(named, f"1-{row}") == [ramp(number) for number in upper]
        assert grounds(named, f"2-{row}") == [ramp(number) for number in lower]
        for line, letters in ((1, first), (2, second)):
            assert places[f"picture-{line}-{row}"].width == pytest.approx(
                len(letters) * FIXED_WIDTH
            )
    tops = [places[f"picture-{line}-{k}"].y1 for line in (1, 2) for k in range(1, 1 + len(rows))]
    assert tops == sorted(tops, reverse=True)
    bar = grounds(named, "bar")
    assert (bar[0], bar[len(bar) // 2], bar[-1]) == (ramp(-1), ramp(0), ramp(1))


def test_letters_stand_on_their_grounds_and_can_be_read():
    for name in ("activation", "activation, rows"):
        named, places = artists(drawn(name))
        for line, letters in enumerate(PROGRAM.split("\n"), start=1):
            shades, written = grounds(named, f"{line}-1"), {}
            left = places[f"picture-{line}-1"].x0
            for gid, text in named.items():
                if not gid.startswith(f"text-{line}-1-"):
                    continue
                start = round((places[gid].x0 - left) / FIXED_WIDTH)
                for place, letter in enumerate(text.get_text(), start=start):
                    written[place] = letter
                    assert contrast(text.get_color(), shades[place]) >= 4.5
            assert {k: x for k, x in written.items() if x != " "} == {
                k: x for k, x in enumerate(letters) if x != " "
            }


def test_copies_have_labels_and_the_bar_says_what_it_shows():
    assert {"\N{MINUS SIGN}1", "0", "1", "state of unit 3"} <= set(written(drawn("activation")))
    shown = written(drawn("activation, rows"))
    assert shown.count("forget gate") == shown.count("state") == 2


@pytest.mark.parametrize(
    ("text", "values", "label", "message"),
    [
        ("ab", [0], "", r"values has shape \(1,\); expected \(2,\): a number for each letter"),
        ("a\nb", {"u": [0, 0]}, "", r"row 'u' of values has shape \(2,\); expected \(3,\)"),
        ("ab", [0, 1.5], "", "values has 1.5; expected numbers from -1 to 1: take the tanh"),
        ("ab", {"u": [np.nan, 1]}, "", "row 'u' of values has nan; expected numbers from -1 to 1"),
        ("ab", {}, "", "values is empty; expected a number for each letter, or labels"),
        ("a\n\nb", [0] * 4, "", "line 2 of the text is empty; expected letters in each line"),
        ("a" * 90, [0] * 90, "", r"line 1 of the text has 90 letters, and there is room for 7\d"),
        ("a" * 76, {"unit": [0] * 76}, "", r"76 letters, and there is room for \d\d; show a short"),
        ("ab", [0, 0], "m" * 60, "label is 'mmm.*, which has no room beside the bar; shorten"),
    ],
)
def test_activation_text_refuses(text, values, label, message):
    with pytest.raises(ValueError, match=message):
        activation_text(text, values, label=label)


# Depth.


def dashed(named):
    """Return the names of dashed lines and arrows."""
    return {
        gid.partition("-")[2]
        for gid, wire in named.items()
        if gid.startswith(("arrow-", "line-")) and wire.get_linestyle() != "solid"
    }


def test_what_goes_into_a_layer_is_added_to_what_comes_out_but_in_the_first():
    figure = drawn("deep, residual, dropout")
    named, places = artists(figure)
    for step in (1, 2, 3, 4):
        assert f"box-plus-state-{step}-1" not in named
        for layer in (2, 3):
            state = f"state-{step}-{layer}"
            branch, plus = places[f"dot-branch-{state}"], places[f"box-plus-{state}"]
            below = f"state-{step}-1" if layer == 2 else f"plus-state-{step}-2"
            # Up: what lies below, the branch, the state, the plus; past it, from branch to plus.
            heights = [
                places[f"box-{below}"].y1,
                branch.y0,
                places[f"box-{state}"].y0,
                places[f"box-{state}"].y1,
                plus.y0,
            ]
            assert heights == sorted(heights)
            assert f"line-{below}-branch-{state}" in named
            assert {f"arrow-branch-{state}-{state}", f"arrow-{state}-plus-{state}"} <= set(named)
            past = named[f"arrow-branch-{state}-plus-{state}"]
            start, end = ends(past)
            assert start[1] == pytest.approx((branch.y0 + branch.y1) / 2)
            assert end[1] == pytest.approx((plus.y0 + plus.y1) / 2)
            assert to_hex(past.get_edgecolor()) == colour("series_1")
            reach = places[f"arrow-branch-{state}-plus-{state}"].x1
            assert places[f"box-{state}"].x1 < reach
            if step < 4:
                assert reach < places[f"box-state-{step + 1}-{layer}"].x0
        assert f"arrow-plus-state-{step}-3-output-{step}" in named
    # Time runs from state to state: the sum is for the layers above.
    assert "arrow-state-1-3-state-2-3" in named


def test_dropout_is_between_layers_and_not_between_steps():
    named, _ = artists(drawn("deep, residual, dropout"))
    assert dashed(named) == {
        *(f"state-{step}-1-branch-state-{step}-2" for step in (1, 2, 3, 4)),
        *(f"plus-state-{step}-2-branch-state-{step}-3" for step in (1, 2, 3, 4)),
    }
    named, _ = artists(drawn("deep, dropout"))
    assert dashed(named) == {f"state-{step}-1-state-{step}-2" for step in ("t", 1, 2, 3)}
    for step in ("t", 1, 2, 3):
        head = named[f"head-state-{step}-1-state-{step}-2"]
        assert head.get_linestyle() == "solid"
        assert ends(head)[1] == pytest.approx(ends(named[f"arrow-{head.get_gid()[5:]}"])[1])
    assert not dashed(artists(drawn("deep, residual"))[0])


def test_words_say_what_is_drawn():
    for name, found in (
        ("deep, residual, dropout", {"residual", "dropout"}),
        ("deep, residual", {"residual"}),
        ("deep, dropout", {"dropout"}),
        ("deep", set()),
    ):
        assert {"residual", "dropout"} & set(written(drawn(name))) == found


def test_a_top_layer_that_is_not_read_has_no_sum():
    pluses = [name for name in names(drawn("deep, residual"), "box") if name.startswith("plus")]
    assert pluses == sorted([f"plus-state-{t}-2" for t in (1, 2, 3, 4)] + ["plus-state-4-3"])


@pytest.mark.parametrize("name", ["residual", "dropout"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "was given with one layer; expected layers=2 or more"),
        ({"layers": 2, "bidirectional": True}, "and bidirectional were both given; leave one out"),
        ({"layers": 2, "gradients": True, "losses": [5]}, "and gradients were both given"),
        ({"layers": 2, "feedback": "input"}, "and feedback were both given; leave one out"),
    ],
)
def test_a_graph_refuses_depth(name, options, message):
    with pytest.raises(ValueError, match=f"{name} {message}"):
        unrolled_graph(WORDS, Y, **{name: True}, **options)


# The wavefront.


def test_a_cell_waits_for_the_one_before_it_and_the_one_below():
    named, places = artists(drawn("wavefront"))
    ready = {}
    for step, layer in itertools.product(range(1, 9), range(1, 4)):
        before = [(step - 1, layer), (step, layer - 1)]
        ready[step, layer] = 1 + max(ready.get(cell, 0) for cell in before)
        name = f"{step}-{layer}"
        assert named[f"text-{name}"].get_text() == str(ready[step, layer])
        for cell in before:
            assert (f"arrow-{cell[0]}-{cell[1]}-{name}" in named) == (cell in ready)
    assert len(names(drawn("wavefront"), "arrow")) == 7 * 3 + 8 * 2
    assert max(ready.values()) == 3 + 8 - 1
    (x0, y0), (x1, y1) = ends(named["arrow-1-1-2-1"])
    assert (x0, x1) == pytest.approx((places["tile-1-1"].x1, places["tile-2-1"].x0), abs=0.03)
    assert y0 == y1
    assert places["tile-1-1"].y1 < places["tile-1-2"].y0


def test_cells_of_one_diagonal_have_one_colour_on_which_they_can_be_read():
    for name in ("wavefront", "wavefront, many steps"):
        named, _ = artists(drawn(name))
        shades = {}
        for gid, tile in named.items():
            if gid.startswith("tile-"):
                text = named[gid.replace("tile", "text")]
                shade = to_hex(tile.get_facecolor())
                shades.setdefault(int(text.get_text()), set()).add(shade)
                assert contrast(text.get_color(), shade) >= 4.5
        assert all(len(found) == 1 for found in shades.values())
        assert len(set.union(*shades.values())) == len(shades)


@pytest.mark.parametrize(
    ("layers", "steps", "message"),
    [
        (0, 2, "layers is 0; expected 1 or more"),
        (2, 0, "steps is 0; expected 1 or more"),
        (2, 30, "steps is 30; there is room for 11: draw fewer"),
    ],
)
def test_wavefront_refuses(layers, steps, message):
    with pytest.raises(ValueError, match=message):
        wavefront(layers, steps)


def test_as_many_steps_as_the_wavefront_promises_have_room():
    assert wavefront(layers=2, steps=11).get_size_inches()[0] < 7.21
