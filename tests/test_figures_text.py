"""The drawings of texts, distributions and kinds of sequences."""

import itertools

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.text import Text

from drawings import (
    CONTEXTS,
    FILM,
    GATE,
    LETTERS,
    SENTENCE,
    STORY,
    TEMPERATURES,
    artists,
    drawn,
    ends,
    names,
    place,
    texts,
)
from unrolled.data import ContiguousWindows
from unrolled.figures import distributions, panels, stateful_windows, text_window
from unrolled.figures.palette import colour


@pytest.fixture(autouse=True)
def _default_matplotlib():
    with matplotlib.rc_context():
        yield


# Letters and windows.


def letters(figure, name=""):
    """Return what stands in the boxes of letters, from left to right, and their colours."""
    named, places = artists(figure)
    gids = [gid for gid in named if gid.startswith(f"box-letter-{name}")]
    gids.sort(key=lambda gid: places[gid].x0)
    shown = [named[gid.replace("box", "text")].get_text() for gid in gids]
    return "".join(shown), [to_hex(named[gid].get_edgecolor()) for gid in gids]


def test_letters_in_the_window_stand_out_and_those_before_are_muted():
    shown, edges = letters(drawn("window"))
    assert shown == SENTENCE.replace(" ", "␣")
    roles = ["muted"] * 5 + ["ink"] * 7 + ["muted"] * 10 + ["input"] * 12
    assert edges == [colour(role) for role in roles]
    _, edges = letters(text_window(SENTENCE, 12))
    assert edges == [colour("muted")] * 22 + [colour("input")] * 12


def test_a_clue_in_the_window_is_seen_like_its_other_letters():
    _, edges = letters(text_window("I am Chinese", 4, clue="Chinese"))
    assert edges == [colour("muted")] * 5 + [colour("ink")] * 3 + [colour("input")] * 4


def test_the_next_letter_is_an_output_after_the_window():
    named, places = artists(drawn("window"))
    box, last = places["box-next"], places["box-letter-34"]
    assert named["text-next"].get_text() == "?"
    assert to_hex(named["box-next"].get_edgecolor()) == colour("output")
    start, end = ends(named["arrow-window-next"])
    assert start == pytest.approx([last.x1, (last.y0 + last.y1) / 2], abs=0.01)
    assert end == pytest.approx([box.x0, start[1]], abs=0.01)
    assert start[0] < end[0]


def test_brackets_say_what_is_inside_and_outside():
    named, places = artists(drawn("window"))
    for name, first, last in (("outside", 1, 22), ("window", 23, 34)):
        line = places[f"line-{name}"]
        assert line.x0 == pytest.approx(places[f"box-letter-{first}"].x0, abs=0.02)
        assert line.x1 == pytest.approx(places[f"box-letter-{last}"].x1, abs=0.02)
    assert named["text-window"].get_text() == "window of 12 letters"
    assert named["text-outside"].get_text() == "outside: cannot be known"
    assert places["line-outside"].y1 < places["box-letter-1"].y0
    assert places["line-window"].y0 > places["box-letter-34"].y1


def test_nothing_is_outside_a_window_on_all():
    assert names(drawn("window on all"), "line") == ["window"]
    assert names(drawn("window on all"), "text") == [
        "letter-1",
        "letter-2",
        "letter-3",
        "next",
        "window",
    ]


def test_one_letter_is_not_called_letters():
    assert artists(drawn("window of one"))[0]["text-window"].get_text() == "window of 1 letter"


def test_what_leaves_no_mark_is_drawn():
    assert letters(text_window("a b\nc\td", 2))[0] == "a␣b↵c⇥d"


def test_rows_go_on_with_consecutive_pieces_as_the_windows_of_training_do():
    figure = drawn("stateful")
    _, places = artists(figure)
    tokens = torch.arange(len(STORY) + 1)
    windows = list(ContiguousWindows(tokens, batch=3, time=6))
    assert len(windows) == 3
    for row in range(3):
        shown, edges = letters(figure, f"{row + 1}-")
        indices = torch.cat([window.inputs[row] for window in windows])
        assert shown == "".join(STORY[index] for index in indices).replace(" ", "␣")
        assert set(edges) == {colour("input")}
    for number in range(3):
        panel = places[f"panel-window-{number + 1}"]
        inside = [
            gid
            for gid, box in places.items()
            if gid.startswith("box-letter-") and panel.x0 < box.x0 and box.x1 < panel.x1
        ]
        assert len(inside) == 18
        assert all(panel.y0 < places[gid].y0 and places[gid].y1 < panel.y1 for gid in inside)
        columns = {int(gid.rpartition("-")[2]) for gid in inside}
        assert columns == set(range(6 * number + 1, 6 * number + 7))
    rows = [places[f"box-letter-{row}-1"].y0 for row in (1, 2, 3)]
    assert rows == sorted(rows, reverse=True)


def test_the_state_goes_from_the_end_of_a_window_to_the_start_of_the_next():
    named, places = artists(drawn("stateful"))
    arrows = names(drawn("stateful"), "arrow-state")
    assert arrows == [f"{row}-{window}" for row in (1, 2, 3) for window in (2, 3)]
    for name in arrows:
        row, window = map(int, name.split("-"))
        arrow = named[f"arrow-state-{name}"]
        last = places[f"box-letter-{row}-{6 * window - 6}"]
        first = places[f"box-letter-{row}-{6 * window - 5}"]
        height = (first.y0 + first.y1) / 2
        start, end = ends(arrow)
        assert start == pytest.approx([last.x1, height], abs=0.01)
        assert end == pytest.approx([first.x0, height], abs=0.01)
        assert to_hex(arrow.get_edgecolor()) == colour("state")


def test_the_gradient_stays_in_its_window_where_the_state_is_detached():
    named, places = artists(drawn("stateful"))
    for row, window in itertools.product((1, 2, 3), (1, 2, 3)):
        arrow = named[f"arrow-gradient-{row}-{window}"]
        (start, height), (end, low) = ends(arrow)
        first = places[f"box-letter-{row}-{6 * window - 5}"]
        last = places[f"box-letter-{row}-{6 * window}"]
        assert to_hex(arrow.get_edgecolor()) == colour("gradient")
        assert start == pytest.approx(last.x1, abs=0.01)
        assert height == low < first.y0
        if window == 1:
            assert end == pytest.approx(first.x0, abs=0.01)
            continue
        (state_start, above), (state_end, _) = ends(named[f"arrow-state-{row}-{window}"])
        strokes = [named[f"line-detach-{row}-{window}-{side}"] for side in ("left", "right")]
        at = [ends(stroke)[0][0] for stroke in strokes]
        assert state_start < at[0] < at[1] < end < first.x0 < state_end + 0.01
        assert end - at[1] < 0.05
        for stroke in strokes:
            (x, top), (same, bottom) = ends(stroke)
            assert x == same
            assert bottom < height < above < top
            assert to_hex(stroke.get_edgecolor()) == colour("gradient")
    written = [text.get_text() for text in drawn("stateful").findobj(Text)]
    for word, times in (("detach", 2), ("state", 2), ("gradient", 3), ("row 3", 1)):
        assert written.count(word) == times


# Distributions.


def bars(figure, panel):
    """Return the tokens, numbers and widths in inches of a panel's bars, from top to bottom."""
    named, places = artists(figure)
    found = []
    for index in itertools.count(1):
        value = named.get(f"text-value-{panel}-{index}")
        if value is None:
            break
        token = named.get(f"text-token-{panel}-{index}")
        box = named.get(f"box-{panel}-{index}")
        width = box.get_width() if box is not None else 0.0
        found.append((token.get_text() if token else None, value.get_text(), width))
        if box is not None:
            zero, bar = places[f"line-zero-{panel}"], places[f"box-{panel}-{index}"]
            assert bar.x0 == pytest.approx((zero.x0 + zero.x1) / 2, abs=0.02)
            assert bar.x1 < places[value.get_gid()].x0
    heights = [places[f"text-value-{panel}-{index + 1}"].y0 for index in range(len(found))]
    assert heights == sorted(heights, reverse=True)
    return found


def test_each_panel_shows_its_own_most_probable_tokens_and_the_rest():
    figure = drawn("contexts")
    first, second = bars(figure, 1), bars(figure, 2)
    assert [row[:2] for row in first] == [
        ("Chinese", "0.50"),
        ("English", "0.30"),
        ("a", "0.15"),
        ("all others", "0.05"),
    ]
    # Of tokens of one probability, the one that was given first stands first.
    assert [row[0] for row in second] == ["French", "Chinese", "Welsh", "all others"]
    widths = [row[2] for row in (*first, *second)]
    probabilities = [0.5, 0.3, 0.15, 0.05, 0.375, 0.25, 0.25, 0.125]
    assert np.array(widths) / widths[0] == pytest.approx(np.array(probabilities) / 0.5)
    named, _ = artists(figure)
    assert to_hex(named["box-1-1"].get_edgecolor()) == colour("output")
    assert to_hex(named["box-1-4"].get_edgecolor()) == colour("muted")
    assert [named[f"text-{k}"].get_text() for k in (1, 2)] == list(CONTEXTS)


def test_shared_tokens_stand_once_in_one_order():
    figure = drawn("temperatures")
    cold, one, hot = (bars(figure, panel) for panel in (1, 2, 3))
    assert [row[0] for row in cold] == ["e", "␣", "↵", "a", "all others"]
    assert [row[0] for row in (*one, *hot)] == [None] * 10
    widths = np.array([[row[2] for row in panel] for panel in (cold, one, hot)])
    expected = np.array(
        [[*list(p.values())[:4], sum(list(p.values())[4:])] for p in TEMPERATURES.values()]
    )
    assert widths / widths.max() == pytest.approx(expected / expected.max())
    _, places = artists(figure)
    zeros = [places[f"line-zero-{k}"] for k in (1, 2, 3)]
    assert zeros[0].x0 < zeros[1].x0 < zeros[2].x0
    assert len({round(zero.y0, 6) for zero in zeros}) == 1


def test_shared_tokens_are_those_of_the_highest_mean():
    given = {"a": {"x": 0.6, "y": 0.4}, "b": {"y": 0.5, "z": 0.4, "x": 0.1}}
    figure = distributions(given, shared=True, top=2)
    assert [row[:2] for row in bars(figure, 1)] == [
        ("y", "0.40"),
        ("x", "0.60"),
        ("all others", "0.00"),
    ]
    assert [row[1] for row in bars(figure, 2)] == ["0.50", "0.10", "0.40"]
    assert "box-1-3" not in artists(figure)[0]


def test_panels_that_do_not_fit_stand_below():
    figure = distributions({f"{k} " + "m" * 16: {"a": 1.0} for k in range(4)})
    _, places = artists(figure)
    corners = [(places[f"line-zero-{k}"].x0, places[f"line-zero-{k}"].y0) for k in (1, 2, 3, 4)]
    assert corners[0][0] == corners[2][0] < corners[1][0] == corners[3][0]
    assert corners[0][1] == corners[1][1] > corners[2][1] == corners[3][1]


def test_bars_use_the_room_that_is_there():
    widths = [
        bars(distributions({"a": {str(k): 1 / n for k in range(n)}}), 1)[0][2] for n in (1, 5)
    ]
    assert widths[0] == pytest.approx(widths[1])


def test_small_probabilities_are_not_called_nothing():
    figure = distributions({"q": {"u": 0.9975, "a": 0.0025}})
    assert [row[:2] for row in bars(figure, 1)] == [("u", ">0.99"), ("a", "<0.01")]
    assert [row[1] for row in bars(distributions({"q": {"u": 1, "a": 0}}), 1)] == ["1.00", "0.00"]


def test_probabilities_may_be_tensors():
    p = torch.softmax(torch.tensor([1.0, 2.0, 3.0]), 0)
    assert bars(distributions({"x": dict(zip("abc", p, strict=True))}), 1)[0][:2] == ("c", "0.67")


# Panels.


def test_own_axes_show_each_its_own_times():
    axes = drawn("kinds").axes
    assert [each.get_xlabel() for each in axes] == ["letter", "millisecond", "minute", "year"]
    assert [each.get_title(loc="left") for each in axes] == [
        "text",
        "speech (made)",
        "film",
        "share price (US dollars)",
    ]
    for each, (low, high) in zip(axes, [(1, 22), (0, 49.75), (0, 120), (1990, 1992)], strict=True):
        left, right = each.get_xlim()
        assert low - 0.03 * (high - low) < left < low < high < right < high + 0.03 * (high - low)
    tops = [each.get_position().y1 for each in axes]
    assert tops == sorted(tops, reverse=True)
    assert len({(each.get_position().x0, each.get_position().x1) for each in axes}) == 1


def test_a_shared_axis_is_numbered_once():
    figure = drawn("gates")
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "step"]
    written = [text.get_text() for text, _ in texts(figure)]
    assert written.count("15") == written.count("step") == 1
    below = figure.axes[-1].get_position().y0 * figure.get_figheight()
    assert all(
        box.y0 / figure.dpi < below for text, box in texts(figure) if text.get_text() == "15"
    )


def test_a_shared_axis_shows_all_times():
    figure = panels({"short": [1, 2, 3], "late": [(9, "x")], "long": [(4, 12, "y")]}, xlabel="step")
    low, high = zip(*(axes.get_xlim() for axes in figure.axes), strict=True)
    assert max(low) < 1
    assert min(high) > 12


def test_curves_show_their_values_in_the_colour_of_their_role():
    named, _ = artists(drawn("gates"))
    line = named["line-2"]
    assert np.allclose(line.get_ydata(), GATE)
    assert np.allclose(line.get_xdata(), np.arange(1, 23))
    assert line.get_color() == colour("gate")
    title = drawn("gates").axes[1]._left_title
    assert title.get_color() == colour("gate")
    named, _ = artists(drawn("kinds"))
    assert named["line-2"].get_color() == colour("series_1")
    assert np.allclose(named["line-2"].get_xdata(), np.arange(200) / 4)
    assert np.isnan(named["line-4"].get_ydata()).tolist() == [False, True, False]


def test_limits_are_in_sight():
    _, gate, state = drawn("gates").axes
    low, high = gate.get_ylim()
    assert -0.1 < low < 0 < 1 < high < 1.1
    assert [label.get_text() for label in gate.get_yticklabels()] == ["0", "0.5", "1"]
    low, high = state.get_ylim()
    assert -8.5 < low < -8 < -4 < high < -3.5
    minus = [label.get_text() for label in state.get_yticklabels()]
    assert minus[0] == "\N{MINUS SIGN}8"
    assert 2 <= len(minus) <= 4


def test_moments_have_a_stroke_and_their_label_above_it():
    named, places = artists(drawn("gates"))
    axes = drawn("gates").axes[0]
    for moment, letter in LETTERS:
        at = axes.transData.transform((moment, 0))[0] / axes.figure.dpi
        stroke, label = places[f"line-1-{moment}"], places[f"text-1-{moment}"]
        assert (stroke.x0 + stroke.x1) / 2 == pytest.approx(at, abs=0.01)
        assert (label.x0 + label.x1) / 2 == pytest.approx(at, abs=0.02)
        assert label.y0 > stroke.y0
        assert named[f"text-1-{moment}"].get_text() == letter.replace(" ", "␣")
        assert to_hex(named[f"line-1-{moment}"].get_color()) == colour("input")


def test_moments_are_put_in_order_and_may_be_without_a_label():
    figure = panels({"words": [(9, "end"), (1, "a long beginning"), (3, "")]}, xlabel="second")
    named, places = artists(figure)
    assert [named[gid].get_text() for gid in ("text-1-1", "text-1-3")] == [
        "a long beginning",
        "end",
    ]
    assert names(figure, "line") == ["1-1", "1-2", "1-3"]
    # A label at the end of the axis stays on the page.
    assert places["text-1-1"].x0 >= place(figure.axes[0]).x0 - 0.02


def test_intervals_run_from_start_to_end():
    named, places = artists(drawn("kinds"))
    for number, (start, end, label) in enumerate(FILM, start=1):
        box = named[f"box-3-{number}"]
        assert (box.get_x(), box.get_x() + box.get_width()) == (start, end)
        assert named[f"text-3-{number}"].get_text() == label
        assert to_hex(box.get_edgecolor()) == colour("series_2")
        assert to_hex(box.get_facecolor()) == colour("series_2_fill")
    inside = places["box-3-1"]
    assert inside.x0 < places["text-3-1"].x0 < places["text-3-1"].x1 < inside.x1
    assert places["text-3-2"].x0 > places["box-3-2"].x1
    # No room on its right: the axis ends there.
    assert places["text-3-6"].x1 < places["box-3-6"].x0


def test_intervals_cover_neither_each_other_nor_other_labels():
    _, places = artists(drawn("kinds"))
    spans = [
        (number, box)
        for number in range(1, len(FILM) + 1)
        for box in (places[f"box-3-{number}"], places[f"text-3-{number}"])
    ]
    for (one, first), (other, second) in itertools.combinations(spans, 2):
        if one != other:
            width = min(first.x1, second.x1) - max(first.x0, second.x0)
            height = min(first.y1, second.y1) - max(first.y0, second.y0)
            assert width <= 0.02 or height <= 0.01, (FILM[one - 1], FILM[other - 1])
    frame = place(drawn("kinds").axes[2])
    assert all(frame.y0 <= box.y0 < box.y1 <= frame.y1 for _, box in spans)


def test_intervals_have_the_pale_fill_of_their_role():
    figure = panels({"a": [(0, 9, "b")]}, xlabel="minute", colours={"a": "gate"})
    assert to_hex(artists(figure)[0]["box-1-1"].get_facecolor()) == colour("gate_fill")


def test_whole_moments_have_whole_numbers():
    figure = panels({"a": [1.0, 2.0, 0.5]}, xlabel="step")
    written = {text.get_text() for text, _ in texts(figure)}
    assert {"1", "2", "3"} <= written
    assert "1.5" not in written


# What is refused.


@pytest.mark.parametrize(
    ("text", "window", "clue", "message"),
    [
        ("", 1, None, "text is empty; expected the letters that stand before"),
        ("abc", 0, None, "window is 0; expected 1 to 3, as text has 3 letters"),
        ("abc", 4, None, "window is 4; expected 1 to 3, as text has 3 letters"),
        ("abc", 1, "d", "clue is 'd'; expected a part of the text 'abc'"),
        ("abc", 1, "", "clue is ''; expected a part of the text"),
        ("abc" * 20, 1, None, r"text has lines of 61 letters, which need 7\.\d inches, and 6.7"),
    ],
)
def test_text_window_refuses(text, window, clue, message):
    with pytest.raises(ValueError, match=message):
        text_window(text, window, clue=clue)


@pytest.mark.parametrize(
    ("text", "batch", "time", "message"),
    [
        (STORY, 0, 6, "batch is 0; expected 1 or more"),
        (STORY, 3, -1, "time is -1; expected 1 or more"),
        (STORY + "e", 3, 6, r"text has 55 letters; expected batch \* time = 18 .* such as 54 let"),
        ("abc", 1, 3, "text has 3 letters; .* two windows or more, such as 6 letters"),
        ("", 1, 3, "text has 0 letters; .* two windows or more, such as 6 letters"),
        (STORY, 1, 6, r"text has lines of 54 letters, which need .* inches, and 0\.0 are there"),
    ],
)
def test_stateful_windows_refuse(text, batch, time, message):
    with pytest.raises(ValueError, match=message):
        stateful_windows(text, batch=batch, time=time)


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ({}, {}, "panels is empty; expected at least one label"),
        ({"a": {"x": 1.0}}, {"top": 0}, "top is 0; expected 1 or more"),
        ({"a": {}}, {}, "panel 'a' is empty; expected tokens"),
        ({"a": {"x": 1.5, "y": -0.5}}, {}, "panel 'a' gives 'y' the probability -0.5"),
        ({"a": {"x": np.nan}}, {}, "panel 'a' gives 'x' the probability nan"),
        ({"a": {"x": 0.5, "y": 0.4}}, {}, "probabilities of panel 'a' sum to 0.9; expected 1"),
        ({"a": {"x": 50, "y": 50}}, {}, "probabilities of panel 'a' sum to 100; expected 1"),
        ({"a" * 80: {"x": 1}}, {}, r"a panel with such labels needs \d\.\d inches and \d\.\d are"),
        ({"a": {"x" * 60: 1}}, {}, r"a panel with such labels needs \d\.\d inches and \d\.\d are"),
        ({"a": {"x" * 90: 1}}, {"shared": True}, "a panel with such labels needs"),
    ],
)
def test_distributions_refuse(given, options, message):
    with pytest.raises(ValueError, match=message):
        distributions(given, **options)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ({}, {}, "rows is empty; expected at least one label"),
        ({"a": [1, 2]}, {"limits": {"b": (0, 1)}}, "limits names 'b'; expected labels of rows"),
        ({"a": [1, 2]}, {"colours": {"b": "gate"}}, "colours names 'b'; expected labels of rows"),
        ({"a": [1, 2]}, {"x": {"b": [1, 2]}}, "x names 'b'; expected labels of rows"),
        ({"a": [1, 2]}, {"xlabel": {"a": "t", "b": "t"}}, "xlabel names 'b'; expected labels"),
        ({"a": [1, 2], "b": [1, 2]}, {"xlabel": {"a": "t"}}, "xlabel has no label for row 'b'"),
        ({"a": [1, 2]}, {"colours": {"a": "red"}}, "no colour role 'red'"),
        ({"a": []}, {}, r"row 'a' has shape \(0,\); expected numbers \(points,\), two or more"),
        ({"a": [[1, 2]]}, {}, r"row 'a' has shape \(1, 2\)"),
        ({"a": ["x", "y"]}, {}, "row 'a' does not hold numbers; expected numbers"),
        ({"a": [[1, 2], [3]]}, {}, "row 'a' does not hold numbers; expected numbers"),
        ({"a": [1, np.inf]}, {}, "row 'a' has infinite values or no values"),
        ({"a": [np.nan, np.nan]}, {}, "row 'a' has infinite values or no values"),
        ({"a": [1, 2]}, {"x": [1, 2, 3]}, r"x of row 'a' has shape \(3,\); expected \(2,\)"),
        ({"a": [1, 2]}, {"x": [1, np.nan]}, r"x of row 'a' has shape \(2,\); .* finite numbers"),
        ({"a": [1, 2]}, {"limits": {"a": (1, 1)}}, r"limits of row 'a' is \(1, 1\)"),
        ({"a": [(1, "b")]}, {"limits": {"a": (0, 1)}}, "limits names 'a', which has events"),
        ({"a": [(1, "b")]}, {"x": {"a": [1]}}, "x names 'a', which has events; expected values"),
        ({"a": [(1, "b"), (1, 2, "c")]}, {}, "row 'a' mixes kinds; expected moments"),
        ({"a": [(1, "b"), 3]}, {}, "row 'a' mixes kinds; expected moments"),
        ({"a": [(1, 2)]}, {}, "row 'a' mixes kinds; expected moments"),
        ({"a": [(np.nan, "b")]}, {}, "row 'a' has a time that is not finite"),
        ({"a": [(2, 2, "b")]}, {}, "interval 'b' of row 'a' runs from 2 to 2; expected a start"),
        ({"a": [(1, "one"), (1.01, "two"), (9, "c")]}, {}, "labels 'one' and 'two' of row 'a' co"),
        ({"a": [(0, 1, "b" * 90), (1, 9, "c")]}, {}, "no room for 'b+' beside its interval"),
        ({"a" * 90: [1, 2]}, {}, r"the label 'a+' needs \d\.\d inches and \d\.\d are there"),
        ({"a": [1, 2]}, {"xlabel": "t" * 200}, "the label 't+' needs"),
    ],
)
def test_panels_refuse(rows, options, message):
    with pytest.raises(ValueError, match=message):
        panels(rows, **{"xlabel": "t", **options})


def test_of_a_clue_that_comes_twice_the_last_is_shown():
    _, edges = letters(text_window("tea, tea now", 3, clue="tea"))
    roles = ["muted"] * 5 + ["ink"] * 3 + ["muted"] + ["input"] * 3
    assert edges == [colour(role) for role in roles]
