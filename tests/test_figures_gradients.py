"""The drawings of what gradients cost, and of what they do: checkpoints, theory, terms, cliffs."""

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex

from drawings import AXES, EDGE, LAGS, WAY, artists, drawn, ends, names, texts
from unrolled.figures import bars, checkpointing, cliff, curves
from unrolled.figures.palette import SERIES, colour


@pytest.fixture(autouse=True)
def _default_matplotlib():
    with matplotlib.rc_context():
        yield


def written(figure):
    return [text.get_text() for text, _ in texts(figure)]


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
