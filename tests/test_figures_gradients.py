"""The drawings of gradients: where they come from, what they cost, what they do."""

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex

from drawings import AXES, BACKWARD, EDGE, LAGS, WAY, WORDS, Y, artists, drawn, ends, names, texts
from unrolled.figures import bars, cell_diagram, checkpointing, cliff, curves, unrolled_graph
from unrolled.figures.palette import SERIES, colour


@pytest.fixture(autouse=True)
def _default_matplotlib():
    with matplotlib.rc_context():
        yield


def written(figure):
    return [text.get_text() for text, _ in texts(figure)]


# The backward pass of a network.


def backwards(figure):
    """Return the names of the gradients' arrows, sorted."""
    return [name[9:] for name in names(figure, "arrow") if name.startswith("gradient-")]


def test_gradients_run_from_the_losses_to_the_left_and_down():
    figure = drawn("gradients")
    assert {"loss-2", "loss-4"} <= set(names(figure, "box"))
    across = [f"state-{t}-{k}-state-{t - 1}-{k}" for t in (4, 3, 2, 1) for k in (1, 2)]
    down = [f"state-{t}-2-state-{t}-1" for t in (1, 2, 3, 4)]
    down += [f"loss-{t}-output-{t}" for t in (2, 4)]
    down += [f"output-{t}-state-{t}-2" for t in (2, 4)]
    assert backwards(figure) == sorted(across + down)
    for gid, arrow in artists(figure)[0].items():
        if gid.startswith("arrow-gradient-"):
            assert to_hex(arrow.get_edgecolor()) == colour("gradient")
            (x0, y0), (x1, y1) = ends(arrow)
            assert (x1 < x0 and y1 == y0) or (x1 == x0 and y1 < y0)
        elif gid.startswith("arrow-"):
            assert to_hex(arrow.get_edgecolor()) == colour("muted")


def test_there_is_no_gradient_before_the_first_state_or_after_the_last_loss():
    figure = unrolled_graph(WORDS, Y, losses=[2], gradients=True)
    assert backwards(figure) == ["loss-2-output-2", "output-2-state-2-1", "state-2-1-state-1-1"]


def test_a_cut_stops_the_gradient_and_not_the_state():
    figure = unrolled_graph(WORDS, Y, layers=2, losses=[5], gradients=True, cut_after=[3])
    assert backwards(figure) == [
        "loss-5-output-5",
        "output-5-state-5-2",
        "state-4-1-state-3-1",
        "state-4-2-state-3-2",
        "state-4-2-state-4-1",
        "state-5-1-state-4-1",
        "state-5-2-state-4-2",
        "state-5-2-state-5-1",
    ]
    named, places = artists(figure)
    for layer in (1, 2):
        before, after = places[f"box-state-3-{layer}"], places[f"box-state-4-{layer}"]
        cut = places[f"line-cut-3-{layer}-left"], places[f"line-cut-3-{layer}-right"]
        arrow = ends(named[f"arrow-gradient-state-4-{layer}-state-3-{layer}"])
        assert before.x1 < cut[0].x0 < cut[1].x0 <= arrow[1][0] < after.x0
        assert cut[0].y0 < arrow[1][1] < cut[0].y1
        # The state goes on, and is not crossed.
        forwards = ends(named[f"arrow-state-3-{layer}-state-4-{layer}"])
        assert forwards[:, 0] == pytest.approx([before.x1, after.x0], abs=0.02)
        assert cut[0].y1 < forwards[0][1]
    assert written(figure).count("detach") == 1


def test_a_cut_stops_only_what_comes_from_later_steps():
    arrows = backwards(drawn("gradients that are cut"))
    assert {"loss-3-output-3", "state-3-1-state-2-1", "state-1-1-state-0-1"} <= set(arrows)
    assert len(arrows) == 6 * 3
    # Behind the cut there is no loss: nothing arrives.
    assert len(backwards(drawn("gradients that are cut, with a weight"))) == 2 + 3 + 3 + 2


def test_the_terms_of_all_steps_are_added_on_the_way_to_the_weight():
    figure = drawn("backward pass")
    named, places = artists(figure)
    assert names(figure, "dot") == [f"weight-{t}" for t in (1, 2, 3, 4)]
    assert [n for n in names(figure, "box") if "plus" in n] == [f"plus-{t}" for t in (1, 2, 3)]
    assert named["text-weight"].get_text() == BACKWARD["weight"]
    for step in (1, 2, 3, 4):
        dot, state = places[f"dot-weight-{step}"], places[f"box-state-{step}-1"]
        assert dot.x1 < state.x0
        assert dot.x0 > places[f"box-state-{step - 1}-1"].x1
        assert state.y0 < dot.y0 < dot.y1 < state.y1
        assert named[f"text-gradient-state-{step}-weight"].get_text() == BACKWARD["term"][step - 1]
        label = named[f"text-gradient-state-{step}-1-state-{step - 1}-1"].get_text()
        assert label == BACKWARD["state"][step - 1]
    # From the last term through each sum into the weight.
    chain = ["state-4-weight", "sum-3", "sum-2", "sum-1"]
    goals = ["plus-3", "plus-2", "plus-1", "weight"]
    for arrow, goal in zip(chain, goals, strict=True):
        end, box = ends(named[f"arrow-gradient-{arrow}"])[1], places[f"box-{goal}"]
        assert end == pytest.approx([box.x1, (box.y0 + box.y1) / 2], abs=0.03)
    assert places["box-weight"].y1 < places["box-input-1"].y0


def test_a_detached_state_still_has_its_term():
    figure = drawn("gradients that are cut, with a weight")
    assert names(figure, "dot") == ["weight-3", "weight-4", "weight-5"]
    assert written(figure).count("$W_{hh}^\\top$") == 2
    assert written(figure).count("detach") == 1


def test_a_single_term_needs_no_sum():
    figure = unrolled_graph(
        WORDS[:2], Y[:2], losses=[2], gradients=True, gradient_labels={"weight": "$w$"}
    )
    assert not [name for name in names(figure, "box") if "plus" in name]
    assert "state-2-weight" in backwards(figure)


def test_gradients_of_each_layer_have_labels_of_their_own():
    figure = unrolled_graph(
        WORDS[:2],
        Y[:2],
        layers=2,
        losses=[2],
        gradients=True,
        gradient_labels={"state": "$W_{hh}$", "output": "$W_{ho}$"},
    )
    assert {"$W_{hh}^{(1)}$", "$W_{hh}^{(2)}$", "$W_{ho}$"} <= set(written(figure))


BACK = {"losses": [2, 5], "gradients": True}


def labelled(**labels):
    return BACK | {"gradient_labels": labels}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gradients": True}, "gradients was given without losses; expected a step"),
        ({"cut_after": [1]}, "cut_after was given without gradients=True"),
        ({"gradient_labels": {"state": "J"}}, "gradient_labels was given without"),
        (BACK | {"bidirectional": True}, "gradients was given with bidirectional"),
        (BACK | {"feedback": "input"}, "gradients was given with bidirectional or"),
        (BACK | {"cut_after": [5]}, "cut_after names step 5; .* from 1 to 4"),
        (labelled(h="J"), "gradient_labels has the key 'h'; expected some of"),
        (labelled(state=["J"]), "has 1 labels for 'state'; .* or 5, one a step"),
        (labelled(term="a"), "gradient_labels has 'term' without 'weight'"),
        (labelled(weight="w") | {"layers": 2}, "has 'weight' with 2 layers; expected"),
        (labelled(weight="w") | {"losses": [1]}, "no gradient passes between two st"),
    ],
)
def test_a_graph_refuses_gradients(options, message):
    with pytest.raises(ValueError, match=message):
        unrolled_graph(WORDS, Y, **options)


# The backward pass of a cell.


def test_gradients_of_a_cell_run_against_its_wires():
    named, places = artists(drawn("rnn, backward"))
    wires = {gid for gid in named if gid.startswith(("arrow-", "line-")) and "gradient" not in gid}
    back = {gid for gid in named if "-gradient-" in gid and gid.startswith(("arrow-", "line-"))}
    assert len(wires) == len(back) == 9
    for gid, arrow in named.items():
        if gid in wires:
            assert to_hex(arrow.get_edgecolor()) == colour("muted")
        elif gid in back:
            assert to_hex(arrow.get_edgecolor()) == colour("gradient")
    ways = {gid: ends(named[gid])[1] - ends(named[gid])[0] for gid in back}
    for goal, way in {"tanh-sum": (-1, 0), "sum-b": (0, 1), "W_ih-x": (0, -1)}.items():
        assert np.sign(np.round(ways[f"arrow-gradient-{goal}"], 6)).tolist() == list(way)
    # Where a wire branches, two gradients become one.
    joint = places["dot-gradient-branch"]
    assert ends(named["arrow-gradient-branch-tanh"])[0][0] == pytest.approx(joint.x0, abs=0.05)
    shown = written(drawn("rnn, backward"))
    assert shown.count("$\\delta_t$") == 4
    assert {"$W_{hh}^\\top\\delta_t$", "$\\delta_t h_{t{-}1}^\\top$"} <= set(shown)
    assert "(batch, hidden)" not in shown


def test_highlight_mutes_gradients_too():
    named, _ = artists(drawn("rnn, backward, highlighted"))
    edges = {
        gid: to_hex(named[f"arrow-gradient-{gid}"].get_edgecolor())
        for gid in ("tanh-sum", "sum-W_hh")
    }
    assert edges == {"tanh-sum": colour("gradient"), "sum-W_hh": colour("muted")}


def test_a_cell_without_a_backward_pass_is_refused():
    with pytest.raises(ValueError, match="a cell whose backward pass is not drawn; expected 'rnn'"):
        cell_diagram("jordan", gradients=True)


# Checkpoints.


def boxes(figure, row):
    """Return the states of a row: number, and whether it was kept (a solid outline)."""
    named, _ = artists(figure)
    start = f"box-{row}-"
    return {
        int(gid.removeprefix(start)): box.get_linestyle() == "solid"
        for gid, box in named.items()
        if gid.startswith(start)
    }


def test_the_forward_pass_keeps_the_first_state_of_each_segment():
    figure = drawn("checkpoints")
    row = boxes(figure, 0)
    assert list(row) == list(range(13))
    assert [state for state, kept in row.items() if kept] == [0, 4, 8]
    named, _ = artists(figure)
    shades = [to_hex(named[f"box-0-{state}"].get_edgecolor()) for state in (4, 5)]
    assert shades == [colour("state"), colour("muted")]


def test_segments_are_computed_anew_from_the_last_to_the_first():
    figure = drawn("checkpoints")
    for row, (kept, anew) in enumerate(
        [([0, 4, 8], [9, 10, 11, 12]), ([0, 4], [5, 6, 7, 8]), ([0], [1, 2, 3, 4])], start=1
    ):
        states = boxes(figure, row)
        assert [state for state in states if states[state]] == kept
        assert [state for state in states if not states[state]] == anew
        arrows = [f"{row}-{state - 1}-{state}" for state in anew]
        assert [n for n in names(figure, "arrow") if n.startswith(f"{row}-")] == sorted(arrows)
        named, places = artists(figure)
        (x0, y0), (x1, y1) = ends(named[f"arrow-gradient-{row}"])
        assert x0 == pytest.approx(places[f"box-{row}-{anew[-1]}"].x1, abs=0.02)
        assert x1 == pytest.approx(places[f"box-{row}-{kept[-1]}"].x0, abs=0.02)
        assert y0 == y1 < places[f"box-{row}-{anew[-1]}"].y0
    heights = [places[f"box-{row}-0"].y0 for row in range(4)]
    assert heights == sorted(heights, reverse=True)


def test_each_row_says_what_is_in_memory():
    found = [text for text in written(drawn("checkpoints")) if "memory" in text]
    assert found == [f"{states} in memory" for states in ("3", "3 + 4", "2 + 4", "1 + 4")]


@pytest.mark.parametrize(
    ("steps", "segment", "message"),
    [
        (12, 5, "steps is 12 and segment is 5; expected segments of 2 steps or more"),
        (12, 1, "steps is 12 and segment is 1; expected segments of 2 steps or more"),
        (4, 4, "two of them or more"),
        (0, 2, "steps is 0 and segment is 2"),
        (40, 10, r"steps is 40; there is room for \d\d: draw a shorter sequence"),
    ],
)
def test_checkpointing_refuses(steps, segment, message):
    with pytest.raises(ValueError, match=message):
        checkpointing(steps, segment)


def test_as_many_steps_as_are_promised_have_room():
    with pytest.raises(ValueError, match="room for") as error:
        checkpointing(steps=90, segment=2)
    most = int(str(error.value).partition("room for ")[2].partition(":")[0])
    checkpointing(steps=most - most % 2, segment=2)


# Curves beside theory.


def test_theory_is_dashed_in_the_colour_of_its_series_and_in_front():
    lines = {line.get_gid(): line for line in drawn("curves, theory").axes[0].lines}
    for number, radius in ((1, 0.5), (4, 1.5)):
        line, theory = lines[f"line-{number}"], lines[f"theory-{number}"]
        assert np.allclose(theory.get_ydata(), radius**LAGS)
        assert not np.allclose(line.get_ydata(), theory.get_ydata())
        assert theory.get_color() == line.get_color()
        assert theory.get_linewidth() < line.get_linewidth()
        order = list(lines)
        assert order.index(f"theory-{number}") > order.index(f"line-{number}")
    note = "line: mean of 2 seeds; band: lowest to highest; dashed: theory"
    assert note in written(drawn("curves, theory"))


def test_series_without_theory_are_drawn_as_ever():
    figure = curves(
        [1, 2], {"a": [1, 2], "b": [2, 3]}, xlabel="x", ylabel="y", theory={"b": [2, 4]}
    )
    lines = {line.get_gid(): line for line in figure.axes[0].lines}
    assert {"line-1", "line-2", "theory-2"} <= set(lines)
    assert "theory-1" not in lines
    assert lines["line-1"].get_linewidth() < lines["line-2"].get_linewidth()
    assert lines["line-1"].get_alpha() is None
    assert "dashed: theory" in written(figure)


def test_long_numbers_of_a_logarithmic_axis_are_powers_of_ten():
    shown = written(drawn("curves, theory"))
    assert {"$10^{0}$", "$10^{16}$"} <= set(shown)
    assert any(text.startswith("$10^{-") for text in shown)
    assert not any("e-" in text or "e+" in text for text in shown)


@pytest.mark.parametrize("ends", [(1e-4, 1), (1, 1e5)])
def test_short_numbers_of_a_logarithmic_axis_are_plain(ends):
    figure = curves([1, 2], {"a": ends}, xlabel="x", ylabel="y", yscale="log")
    shown = written(figure)
    assert not any("^" in text or "e" in text for text in shown)
    assert {"0.0001", "100,000"} & set(shown)


@pytest.mark.parametrize(
    ("theory", "message"),
    [
        ({"b": [1, 2]}, "theory names 'b'; expected labels of series"),
        ({"a": [1, 2, 3]}, r"theory of 'a' has shape \(3,\); expected \(2,\) finite numbers"),
        ({"a": [1, np.nan]}, r"theory of 'a' has shape \(2,\); expected \(2,\) finite numbers"),
        ({"a": [1, 0]}, "theory of 'a' goes down to 0; a logarithmic axis needs"),
    ],
)
def test_curves_refuse_theory(theory, message):
    with pytest.raises(ValueError, match=message):
        curves([1, 2], {"a": [1, 2]}, xlabel="x", ylabel="y", yscale="log", theory=theory)


# Bars.


def test_bars_rise_from_zero_and_hang_from_it():
    figure = drawn("bars, one row")
    (axes,) = figure.axes
    values = [0.1, -0.2, 0.3, 0.5]
    assert [bar.get_height() for bar in axes.patches] == values
    assert {bar.get_y() for bar in axes.patches} == {0}
    assert [bar.get_x() + bar.get_width() / 2 for bar in axes.patches] == pytest.approx(
        [1, 2, 3, 4]
    )
    assert {to_hex(bar.get_facecolor()) for bar in axes.patches} == {colour("gradient")}
    low, high = axes.get_ylim()
    assert low < -0.2 < 0.5 < high


def test_the_axis_of_bars_begins_with_the_first_bar():
    figure = bars(range(1, 61), {"a": range(60)}, xlabel="step", ylabel="term")
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_xlim()
    assert [x for x in figure.axes[0].get_xticks() if low < x < high] == [10, 20, 30, 40, 50, 60]
    assert low < 1 - 0.36
    assert high > 60 + 0.36


def test_bars_of_several_series_stand_in_rows_on_one_scale():
    first, second = drawn("bars").axes
    assert first.get_ylim() == second.get_ylim()
    assert first.get_xlim() == second.get_xlim()
    assert first.get_position().y0 > second.get_position().y1
    titles = [axes._left_title for axes in (first, second)]
    assert [title.get_text() for title in titles] == ["RNN", "LSTM"]
    assert [title.get_color() for title in titles] == [colour(SERIES[0]), colour("gate")]
    assert (first.get_xlabel(), second.get_xlabel()) == ("", "steps back")
    assert written(drawn("bars")).count("share of the gradient") == 1


@pytest.mark.parametrize(
    ("x", "series", "colours", "message"),
    [
        ([1, 2], {}, {}, "series is empty; expected at least one label"),
        ([1], {"a": [1]}, {}, r"x has shape \(1,\); expected \(points,\)"),
        ([1, 1.5], {"a": [1, 2]}, {}, "x has fractions or the same number twice; expected whole"),
        ([1, 1], {"a": [1, 2]}, {}, "x has fractions or the same number twice; expected whole"),
        ([1, 2], {"a": [1, 2, 3]}, {}, "series 'a' has 3 values; expected 2, as x has"),
        ([1, 2], {"a": [1, np.nan]}, {}, r"series 'a' has shape \(2,\); .* finite numbers"),
        ([1, 2], {"a": [[1, 2]]}, {}, r"series 'a' has shape \(1, 2\)"),
        ([1, 2], {"a": [1, 2]}, {"b": "gate"}, "colours names 'b'; expected labels of series"),
        ([1, 2], {"a": [1, 2]}, {"a": "red"}, "no colour role 'red'"),
    ],
)
def test_bars_refuse(x, series, colours, message):
    with pytest.raises(ValueError, match=message):
        bars(x, series, xlabel="x", ylabel="y", colours=colours)


# The cliff.


def arrow(figure, number):
    """Return start and end of the arrow of a step, in data."""
    named = artists(figure)[0]
    return named[f"arrow-step-{number}"]._path_original.vertices[[0, -1]].tolist()


def test_steps_lead_from_the_dot_to_where_they_land_on_the_curve():
    figure = drawn("cliff, within the picture")
    named, places = artists(figure)
    dot = [named["dot-start"].get_xdata()[0], named["dot-start"].get_ydata()[0]]
    assert dot == pytest.approx([0.5, np.interp(0.5, WAY, EDGE)])
    for number, end in enumerate((0.3, -0.1, 0.8), start=1):
        start, tip = arrow(figure, number)
        assert start == pytest.approx(dot)
        assert tip == pytest.approx([end, np.interp(end, WAY, EDGE)])
        x = figure.axes[0].transData.transform(tip)[0] / figure.dpi
        label = places[f"text-step-{number}"]
        assert label.x0 > x if end > 0.5 else label.x1 < x
    assert np.allclose(named["line-loss"].get_ydata(), EDGE)


def test_a_step_off_the_picture_leaves_it_and_says_how_far_it_goes():
    figure = drawn("cliff")
    start, tip = arrow(figure, 2)
    assert tip == [WAY[-1], start[1]]
    assert "not clipped:\nto 81,234" in written(figure)


@pytest.mark.parametrize(
    ("end", "label"),
    [
        (-38.44, "to \N{MINUS SIGN}38.4"),
        (1.25e9, "to about $10^{9}$"),
        (-2e7, "to about $-10^{7}$"),
    ],
)
def test_numbers_of_far_steps_are_short(end, label):
    figure = cliff(WAY, EDGE, start=0.11, steps={"step": end}, **AXES)
    assert f"step:\n{label}" in written(figure)
    assert arrow(figure, 1)[1][0] == (WAY[0] if end < 0 else WAY[-1])


@pytest.mark.parametrize(
    ("x", "loss", "start", "steps", "message"),
    [
        ([1, 2], [1], 1, {"a": 2}, r"x has shape \(2,\) and loss has shape \(1,\)"),
        ([1], [1], 1, {"a": 2}, r"x has shape \(1,\) and loss has shape \(1,\)"),
        ([1, 2], [1, np.nan], 1, {"a": 2}, "x and loss must be finite, and x must rise"),
        ([2, 1], [1, 2], 1, {"a": 2}, "x and loss must be finite, and x must rise"),
        ([1, 2], [1, 2], 3, {"a": 2}, "start is 3; expected a place on the line, 1 to 2"),
        ([1, 2], [1, 2], 1, {}, r"steps is \{\}; expected labels of places other than start"),
        ([1, 2], [1, 2], 1, {"a": 1}, "expected labels of places other than start"),
        ([1, 2], [1, 2], 1, {"a": np.inf}, "expected labels of places other than start"),
    ],
)
def test_cliff_refuses(x, loss, start, steps, message):
    with pytest.raises(ValueError, match=message):
        cliff(x, loss, start=start, steps=steps, **AXES)
