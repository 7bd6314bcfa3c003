"""The palette, the drawings of networks and cells, curves and heatmaps."""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.colors import to_hex
from matplotlib.patches import Circle
from matplotlib.text import Text

import pictures
from drawings import (
    CELLS,
    NETWORKS,
    TO_XYZ,
    WEIGHTS,
    WORDS,
    Y,
    contrast,
    drawn,
    linear,
    names,
    sine,
    texts,
)
from unrolled.figures import COLOURS, cell_diagram, curves, heatmap, style, unrolled_graph
from unrolled.figures.palette import SERIES, colour
from unrolled.figures.plots import DIVERGING, SEQUENTIAL, spread
from unrolled.figures.style import RC

ROLES = ("input", "state", "output", "gradient", "gate")


@pytest.fixture(autouse=True)
def _default_matplotlib():
    with matplotlib.rc_context():
        yield


# The palette.

# Machado, Oliveira and Fernandes (2009), severity 1.
SEEN_BY = {
    "everybody": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(rgb):
    t = rgb @ TO_XYZ.T / (TO_XYZ @ np.ones(3))
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


MODES = pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])


def test_colours_are_six_lower_case_digits_and_all_distinct():
    lights = [light for light, _ in COLOURS.values()]
    assert all(re.fullmatch("#[0-9a-f]{6}", shade) for pair in COLOURS.values() for shade in pair)
    assert len(set(lights)) == len(lights)
    # A light colour that is also a dark one could be exchanged twice.
    assert not set(lights) & {dark for _, dark in COLOURS.values()}


@MODES
@pytest.mark.parametrize("role", ["ink", "muted", *ROLES, *SERIES])
def test_strokes_and_texts_stand_out_from_paper(role, mode):
    for ground in ("paper", "panel"):
        least = 4.5 if ground == "paper" else 4.0
        assert contrast(COLOURS[role][mode], COLOURS[ground][mode]) >= least


@MODES
@pytest.mark.parametrize("role", ROLES)
def test_ink_can_be_read_in_boxes(role, mode):
    fill = COLOURS[f"{role}_fill"][mode]
    assert contrast(COLOURS["ink"][mode], fill) >= 7
    assert contrast(COLOURS[role][mode], fill) >= 3


@MODES
@pytest.mark.parametrize("eye", SEEN_BY)
@pytest.mark.parametrize("group", [ROLES, SERIES[:3]], ids=["roles", "series"])
def test_roles_can_be_told_apart(group, eye, mode):
    rgb = linear([COLOURS[role][mode] for role in group]) @ np.array(SEEN_BY[eye]).T
    seen = lab(np.clip(rgb, 0, 1))
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
    assert min(distances) >= 20


def test_unknown_role():
    with pytest.raises(ValueError, match="no colour role 'loss'; expected one of input, state"):
        colour("loss")


@pytest.mark.parametrize("ramp", [DIVERGING, SEQUENTIAL], ids=lambda ramp: ramp.name)
def test_colour_ramps_are_even_and_keep_their_colour(ramp):
    shades = [to_hex(ramp(i)) for i in range(ramp.N)]
    assert not set(shades) & {shade for pair in COLOURS.values() for shade in pair}
    lightness = lab(linear(shades))[:, 0]
    arms = [lightness] if ramp is SEQUENTIAL else [lightness[:33][::-1], lightness[32:]]
    for arm in arms:
        steps = -np.diff(arm)
        assert steps.min() > 0
        # Nowhere twice as steep as elsewhere, save for rounding to 8 bits.
        assert steps.max() < 1.6 * steps.mean()
        assert steps.min() > 0.5 * steps.mean()


def test_diverging_ramp_is_as_strong_on_both_sides():
    lightness = lab(linear([to_hex(DIVERGING(i)) for i in range(65)]))[:, 0]
    assert abs(lightness - lightness[::-1]).max() < 2.5


def distance_from_outline(patch, frame, point):
    """Return the distance of a point from a box or a circle in pixels, negative inside."""
    x, y = (frame.x0 + frame.x1) / 2, (frame.y0 + frame.y1) / 2
    if isinstance(patch, Circle):
        return np.hypot(point[0] - x, point[1] - y) - frame.width / 2
    return max(abs(point[0] - x) - frame.width / 2, abs(point[1] - y) - frame.height / 2)


@pytest.mark.parametrize("name", [*NETWORKS, *CELLS])
def test_arrows_touch_what_they_join(name):
    figure = drawn(name)
    figure.draw_without_rendering()
    patches = {patch.get_gid(): patch for patch in figure.axes[0].patches}
    boxes = [
        (patch, patch.get_window_extent())
        for gid, patch in patches.items()
        if gid.startswith(("box-", "dot-", "line-cut-"))
    ]
    labels = [t.get_window_extent() for t in figure.axes[0].texts]
    for gid, arrow in patches.items():
        if not gid.startswith(("arrow-", "line-")) or gid.startswith("line-cut-"):
            continue
        for point in arrow._path_original.vertices[[0, -1]]:
            pixel = arrow.get_transform().transform(point)
            distance = min((distance_from_outline(*box, pixel) for box in boxes), default=np.inf)
            # A wire of a cell also starts at a dot, or ends at a label, and does not touch that.
            if distance > 0.6:
                gap = min(
                    max(e.x0 - pixel[0], pixel[0] - e.x1, e.y0 - pixel[1], pixel[1] - e.y1)
                    for e in labels
                )
                assert name in CELLS, gid
                assert 1 < gap < 14, gid
            else:
                assert distance > -0.6 or name in CELLS, gid


# What figures consist of.


def test_a_logarithmic_axis_is_numbered_in_plain_numbers():
    figure = curves(
        [1, 10_000], {"a": [0.1, 1]}, xlabel="x", ylabel="y", xscale="log", yscale="log"
    )
    written = {text.get_text() for text, _ in texts(figure)}
    assert {"1", "10", "100", "1,000", "10,000", "0.1"} <= written


def test_many_to_one():
    figure = drawn("many to one")
    assert len(names(figure, "box")) == 11
    assert [name for name in names(figure, "arrow") if "output" in name] == ["state-5-1-output-5"]
    assert len(names(figure, "arrow")) == 5 + 4 + 1


def test_one_to_many_feeds_outputs_to_states_without_input():
    figure = drawn("one to many")
    assert len(names(figure, "box")) == 1 + 4 + 4
    fed = [name for name in names(figure, "arrow") if name.startswith("output")]
    assert fed == ["output-1-state-2-1", "output-2-state-3-1", "output-3-state-4-1"]
    assert len(names(figure, "arrow")) == 1 + 3 + 4 + 3


def test_many_to_many():
    figure = drawn("many to many")
    assert len(names(figure, "box")) == 15 + 1
    assert len(names(figure, "arrow")) == 5 + 5 + 5
    assert "state-0-1-state-1-1" in names(figure, "arrow")


def test_language_model_feeds_outputs_to_inputs():
    arrows = names(drawn("language model"), "arrow")
    assert {"output-1-input-2", "output-2-input-3", "loop-output-t"} <= set(arrows)


def test_encoder_and_decoder():
    figure = drawn("encoder and decoder")
    assert names(figure, "panel") == ["decoder", "encoder"]
    assert len(names(figure, "box")) == 6 + 4 + 3 + 3
    assert len(names(figure, "arrow")) == 4 + 5 + 3 + 2 + 3
    panels = {a.get_gid(): a.get_window_extent() for a in figure.axes[0].patches if a.get_gid()}
    for step, group in enumerate(["encoder"] * 3 + ["decoder"] * 3, start=1):
        box = panels[f"box-state-{step}-1"]
        assert panels[f"panel-{group}"].x0 < box.x0 < box.x1 < panels[f"panel-{group}"].x1
    assert panels["panel-encoder"].x1 < panels["panel-decoder"].x0


def test_bidirectional_runs_both_ways_and_joins_the_states():
    figure = drawn("bidirectional")
    assert len(names(figure, "box")) == 5 * (1 + 2 + 1 + 1)
    arrows = names(figure, "arrow")
    assert "state-1-1-forward-state-2-1-forward" in arrows
    assert "state-2-1-backward-state-1-1-backward" in arrows
    assert "state-2-1-forward-state-1-1-forward" not in arrows
    assert len(arrows) == 5 * 2 + 4 + 4 + 5 * 2 + 5


def test_deep_has_a_state_for_each_layer_upwards():
    figure = unrolled_graph(WORDS[:3], Y[:3], layers=3)
    assert len(names(figure, "box")) == 3 * 5
    assert len(names(figure, "arrow")) == 3 * 4 + 2 * 3
    boxes = {a.get_gid(): a.get_window_extent() for a in figure.axes[0].patches}
    column = ["box-input-1", "box-state-1-1", "box-state-1-2", "box-state-1-3", "box-output-1"]
    heights = [boxes[gid].y0 for gid in column]
    assert heights == sorted(heights)
    assert boxes["box-state-1-1"].x1 < boxes["box-state-2-1"].x0


def test_jordan_feeds_the_output_in_place_of_the_state():
    arrows = names(drawn("jordan, unrolled"), "arrow")
    assert {"output-0-1-state-1-1", "output-1-state-2-1", "output-2-state-3-1"} <= set(arrows)
    arriving = [name for name in arrows if name.endswith("-state-2-1")]
    assert arriving == ["input-2-state-2-1", "output-1-state-2-1"]


def test_rolled_stands_on_the_left_with_a_delay_for_each_layer():
    figure = drawn("deep")
    assert len(names(figure, "mark")) == 3
    boxes = {a.get_gid(): a.get_window_extent() for a in figure.axes[0].patches}
    assert boxes["box-state-t-1"].x1 < boxes["box-state-0-1"].x0


def test_highlight_mutes_the_other_steps():
    figure = drawn("many to many")
    edges = {a.get_gid(): to_hex(a.get_edgecolor()) for a in figure.axes[0].patches}
    assert edges["box-state-3-1"] == colour("state")
    assert edges["box-state-2-1"] == edges["arrow-state-3-1-state-4-1"] == colour("muted")
    assert edges["arrow-state-2-1-state-3-1"] == colour("ink")


def test_weights_are_written_on_their_arrows():
    figure = unrolled_graph(WORDS[:2], Y[:2], weights=WEIGHTS)
    written = sorted(t.get_text() for t in figure.findobj(Text) if "W_" in t.get_text())
    assert written == sorted([WEIGHTS["input"]] * 2 + [WEIGHTS["state"]] + [WEIGHTS["output"]] * 2)


def test_each_layer_has_weights_of_its_own():
    figure = unrolled_graph(WORDS[:2], Y[:2], layers=2, weights=WEIGHTS)
    written = {t.get_text() for t in figure.findobj(Text)}
    assert {"$W_{hh}^{(1)}$", "$W_{hh}^{(2)}$", "$W_{ih}^{(2)}$", "$W_{ho}$"} <= written
    assert {"$h_{1}^{(1)}$", "$h_{2}^{(2)}$"} <= written


def test_labels_of_a_row_share_their_baseline():
    figure = drawn("many to one")
    heights = {t.get_position()[1] for t in figure.findobj(Text) if t.get_text() in WORDS}
    assert len(heights) == 1


def test_cell_has_what_its_equation_has():
    figure = cell_diagram("rnn", shapes=False)
    assert names(figure, "box") == ["W_hh", "W_ih", "b", "sum", "tanh"]
    written = [t.get_text() for t in figure.findobj(Text) if t.get_text()]
    boxes = ["$+$", "$W_{hh}$", "$W_{ih}$", "$\\tanh$", "$b$"]
    parts = [*boxes, "$h_t$", "$h_t$", "$h_{t{-}1}$", "$x_t$"]
    assert sorted(written) == sorted(parts)
    assert "(batch, hidden)" in [t.get_text() for t in cell_diagram("rnn").findobj(Text)]
    assert "W_ho" in names(cell_diagram("jordan"), "box")


def test_cell_highlight_mutes_the_other_parts():
    figure = cell_diagram("rnn", ["state"])
    edges = {a.get_gid(): to_hex(a.get_edgecolor()) for a in figure.axes[0].patches}
    assert edges["box-W_hh"] == colour("state")
    assert edges["box-W_ih"] == edges["box-tanh"] == colour("muted")


def test_curves_show_mean_and_range_over_seeds():
    values = sine(4)
    figure = curves(np.arange(50), {"a": values, "b": values[0]}, xlabel="x", ylabel="y")
    lines = {line.get_gid(): line for line in figure.axes[0].lines}
    assert np.allclose(lines["line-1"].get_ydata(), values.mean(0))
    assert np.allclose(lines["line-2"].get_ydata(), values[0])
    assert names(figure, "band") == ["1"]
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    at_ten = band[band[:, 0] == 10][:, 1]
    assert np.allclose([at_ten.min(), at_ten.max()], [values[:, 10].min(), values[:, 10].max()])
    assert "mean of 4 seeds" in figure.axes[0].get_title(loc="left")


def test_curves_without_seeds_speak_of_none():
    figure = curves([1, 2], {"a": [1, 2]}, xlabel="x", ylabel="y", ylim=(0, 5))
    assert not figure.axes[0].get_title(loc="left")
    assert figure.axes[0].get_ylim() == (0, 5)


def test_curve_with_a_gap_is_named_where_it_ends():
    figure = curves(
        [1, 2, 3], {"a": [1, 2, np.nan], "b": [0, 0, 0]}, xlabel="x", ylabel="y", ylim=(0, 4)
    )
    ends = {t.get_text(): t.get_position()[1] for t in figure.axes[0].texts}
    assert ends["a"] == pytest.approx(0.5)


def test_curves_take_colours_by_role_and_by_order():
    figure = curves(
        [1, 2],
        {"a": [1, 2], "b": [2, 3], "c": [5, 3]},
        xlabel="x",
        ylabel="y",
        colours={"a": "gate"},
    )
    shades = [line.get_color() for line in figure.axes[0].lines if line.get_gid()]
    assert shades == [colour("gate"), colour("series_1"), colour("series_2")]


@pytest.mark.parametrize(
    ("wanted", "heights", "expected"),
    [
        ([0.2, 0.8], [0.1, 0.1], [0.2, 0.8]),
        ([0.5, 0.5], [0.1, 0.1], [0.45, 0.55]),
        ([0.5, 0.52, 0.9], [0.1, 0.1, 0.1], [0.46, 0.56, 0.9]),
        ([0.0, 0.01], [0.1, 0.1], [0.05, 0.15]),
        ([1.2, 0.3], [0.1, 0.1], [0.95, 0.3]),
        ([0.6, 0.5, 0.55], [0.1, 0.1, 0.1], [0.65, 0.45, 0.55]),
    ],
)
def test_spread(wanted, heights, expected):
    assert spread(wanted, heights) == pytest.approx(expected)


@pytest.mark.parametrize("values", [[0.5, -0.1], [0.1, -0.5]])
def test_heatmap_of_signed_values_has_zero_in_the_middle(values):
    mesh = heatmap([values], xlabel="x", ylabel="y", colourbar="c").axes[0].collections[0]
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-0.5, 0.5)
    assert mesh.cmap.name == "diverging"


def test_heatmap_of_positive_values_runs_from_pale_to_dark():
    mesh = heatmap([[0.5, 0.1]], xlabel="x", ylabel="y", colourbar="c").axes[0].collections[0]
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0.1, 0.5)
    assert mesh.cmap.name == "sequential"


def test_heatmap_first_row_is_on_top_and_cells_can_be_read():
    figure = heatmap(
        [[0.9, -0.9], [0.0, 0.1]],
        xlabel="x",
        ylabel="y",
        colourbar="c",
        limits=(-1, 1),
        values=".1f",
    )
    written = {t.get_text(): t for t in figure.axes[0].texts}
    assert set(written) == {"0.9", "\N{MINUS SIGN}0.9", "0.0", "0.1"}
    figure.draw_without_rendering()
    assert written["0.9"].get_window_extent().y0 > written["0.0"].get_window_extent().y0
    for value, text in ((0.9, "0.9"), (-0.9, "\N{MINUS SIGN}0.9"), (0.0, "0.0")):
        cell = to_hex(DIVERGING((value + 1) / 2))
        assert contrast(written[text].get_color(), cell) >= 4.5


def test_numbers_can_be_read_on_every_colour():
    values = np.linspace(-1, 1, 65).reshape(13, 5)
    options = {"xlabel": "x", "ylabel": "y", "colourbar": "c", "values": ".1f"}
    for figure, ramp in (
        (heatmap(values, limits=(-1, 1), **options), DIVERGING),
        (heatmap(values / 2 + 0.5, limits=(0, 1), **options), SEQUENTIAL),
    ):
        shades = [to_hex(ramp(share)) for share in (values.ravel() + 1) / 2]
        assert len(figure.axes[0].texts) == 65
        for text, shade in zip(figure.axes[0].texts, shades, strict=True):
            assert contrast(text.get_color(), shade) >= 4.5


def test_empty_cells_stay_empty():
    figure = heatmap([[1.0, np.nan]], xlabel="x", ylabel="y", colourbar="c", values=".0f")
    assert [text.get_text() for text in figure.axes[0].texts] == ["1"]


# The same figure is the same file.

DRAW = """
import sys
sys.path[:0] = {paths!r}
from drawings import drawn, svg
for name in {names!r}:
    sys.stdout.write(svg(drawn(name)))
"""


def test_two_processes_draw_the_same_file():
    chosen = ["rolled", "jordan", "curves", "heatmap, signed", "heatmap, large"]
    chosen += ["scan", "self-attention, a way"]
    here = Path(__file__).parent
    code = DRAW.format(paths=[str(here), str(here.parent / "tools")], names=chosen)
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=None
        ).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert runs[0].count("<svg") == len(chosen)
    assert "dc:date" not in runs[0]


def test_style_shows_svg_in_a_notebook():
    shell = InteractiveShell.instance()
    style()
    data, _ = shell.display_formatter.format(drawn("rnn"))
    assert set(data) >= {"image/svg+xml"}
    assert "image/png" not in data
    assert "dc:date" not in data["image/svg+xml"]


def test_style_sets_what_readers_draw_themselves():
    style()
    assert matplotlib.rcParams["figure.figsize"] == list(RC["figure.figsize"])
    assert matplotlib.rcParams["svg.hashsalt"] == "unrolled"


# What is refused.


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([],), {}, "inputs is empty; expected a label"),
        ((WORDS, Y[:2]), {}, "outputs has 2 labels and inputs has 5; expected one a step"),
        ((WORDS,), {"states": ["a"]}, "states has 1 labels and inputs has 5"),
        ((WORDS,), {"layers": 0}, "layers is 0; expected 1 or more"),
        ((WORDS,), {"weights": {"U": "$U$"}}, "weights has the key 'U'; expected some of"),
        ((WORDS,), {"highlight": [6]}, "highlight names step 6; expected steps from 1 to 5"),
        ((WORDS, Y), {"losses": [0]}, "losses names step 0; expected steps from 1 to 5"),
        ((WORDS,), {"losses": [5]}, "losses names step 5, which has no output"),
        ((WORDS,), {"groups": {"a": (1, 9)}}, "group 'a' names step 9"),
        ((WORDS,), {"groups": {"a": (3, 2)}}, r"group 'a' is \(3, 2\); expected \(first, last\)"),
        ((WORDS,), {"groups": {"a": (1, 3), "b": (3, 5)}}, "no step in two groups"),
        ((WORDS,), {"groups": {"a": (1, 3)}, "rolled": True}, "groups and rolled were both given"),
        ((WORDS, Y), {"feedback": "hidden"}, "feedback is 'hidden'; expected 'input', 'state'"),
        ((WORDS, Y), {"feedback": "input", "bidirectional": True}, "cannot see the future"),
        ((WORDS,), {"feedback": "input"}, "feedback is 'input', but no output has a step after"),
        ((WORDS, Y), {"feedback": "state", "layers": 2}, "feedback is 'state' with 2 layers"),
        ((WORDS[:3], ["a", None, "b"]), {"feedback": "state"}, "expected an output at each step"),
    ],
)
def test_graph_refuses_contradictions(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        unrolled_graph(*arguments, **options)


def test_cell_refuses_unknown_kinds_and_parts():
    with pytest.raises(ValueError, match="no cell 'transformer'; expected one of rnn, jordan"):
        cell_diagram("transformer")
    with pytest.raises(
        ValueError, match=r"highlight names 'gate'; expected parts of the cell: state, input"
    ):
        cell_diagram("rnn", ["gate"])


@pytest.mark.parametrize(
    ("x", "series", "options", "message"),
    [
        ([[1, 2]], {"a": [1, 2]}, {}, r"x has shape \(1, 2\); expected \(points,\)"),
        ([1, 2], {}, {}, "series is empty"),
        ([1, 2], {"a": [1, 2, 3]}, {}, r"series 'a' has shape \(3,\); expected \(2,\) or \(seeds"),
        ([1, 2], {"a": np.ones((0, 2))}, {}, r"series 'a' has shape \(0, 2\)"),
        ([1, 2], {"a": [1, np.inf]}, {}, "series 'a' has infinite values or no values"),
        ([1, 2], {"a": [np.nan, np.nan]}, {}, "series 'a' has infinite values or no values"),
        ([1, 2], {"a": [0, 1]}, {"yscale": "log"}, "series 'a' goes down to 0; a logarithmic axis"),
        ([0, 2], {"a": [1, 1]}, {"xscale": "log"}, "x goes down to 0; a logarithmic axis"),
        ([1, 2], {"a": [1, 1]}, {"yscale": "exp"}, "yscale is 'exp'; expected 'linear' or 'log'"),
        (
            [1, 2],
            {"a": [1, 1]},
            {"baselines": {"b": np.nan}},
            "baseline 'b' is nan; expected a finite",
        ),
        ([1, 2], {"a": [1, 1]}, {"baselines": {"b": 0}, "yscale": "log"}, "baseline 'b' is 0"),
        ([1, 2], {"a": [1, 1]}, {"colours": {"b": "gate"}}, "colours names 'b'; expected labels"),
        ([1, 2], {"a": [1, 1]}, {"colours": {"a": "red"}}, "no colour role 'red'"),
    ],
)
def test_curves_refuse(x, series, options, message):
    with pytest.raises(ValueError, match=message):
        curves(x, series, xlabel="x", ylabel="y", **options)


@pytest.mark.parametrize(
    ("matrix", "options", "message"),
    [
        ([1, 2], {}, r"matrix has shape \(2,\); expected \(rows, columns\)"),
        ([[]], {}, r"matrix has shape \(1, 0\)"),
        ([[np.inf]], {}, "matrix has infinite values or no values"),
        ([[np.nan]], {}, "matrix has infinite values or no values"),
        (
            [[1, 2]],
            {"columns": ["a"]},
            r"columns has 1 labels; expected 2, as matrix has shape \(1, 2",
        ),
        ([[1, 2]], {"rows": ["a", "b"]}, "rows has 2 labels; expected 1"),
        ([[1, 2]], {"limits": (1, 1)}, r"limits is \(1, 1\); expected \(low, high\)"),
        ([[1, 2]], {"limits": (-1, 2)}, r"expected \(-a, a\) for signed values"),
        (np.ones((1, 90)), {"columns": ["word"] * 90}, "90 columns with such labels need"),
        (np.ones((90, 1)), {"rows": ["word"] * 90}, "90 rows with labels do not fit"),
    ],
)
def test_heatmap_refuses(matrix, options, message):
    with pytest.raises(ValueError, match=message):
        heatmap(matrix, xlabel="x", ylabel="y", colourbar="c", **options)


# The picture of the README.


def rounded_numbers(text):
    return re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.1f}", text)


@pytest.mark.parametrize("path", pictures.PICTURES, ids=lambda path: path.name)
def test_committed_pictures_are_what_the_script_draws(path, tmp_path):
    pictures.save(path, tmp_path / path.name)
    drawn = (tmp_path / path.name).read_text(encoding="utf-8")
    assert rounded_numbers(path.read_text(encoding="utf-8")) == rounded_numbers(drawn)
