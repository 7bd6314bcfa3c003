"""Whether every figure of the book can be read."""

import itertools
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.patches import Patch

from drawings import FIGURES, PHONE, artists, contrast, drawn, svg, texts
from unrolled.figures import COLOURS
from unrolled.figures.palette import colour
from unrolled.figures.plots import CELL_TEXT, DIVERGING, SEQUENTIAL

ROLE = {light: role for role, (light, _) in COLOURS.items()}
#: Their cells are as they are in light and in dark; other tests look at the text on them.
KEEP_THEIR_COLOURS = ("heatmap", "activation", "wavefront", "alignment")
every_figure = pytest.mark.parametrize("name", FIGURES)


@pytest.fixture(autouse=True)
def _default_matplotlib():
    with matplotlib.rc_context():
        yield


def shown_colours(root):
    """Return the colours of all shapes of an SVG, inherited and default ones too."""
    found = set()

    def walk(element, inherited, hidden):
        tag = element.tag.rpartition("}")[2]
        own = dict(inherited)
        own |= {key: element.get(key) for key in ("fill", "stroke") if element.get(key)}
        for part in (element.get("style") or "").split(";"):
            key, _, value = part.partition(":")
            if key.strip() in ("fill", "stroke"):
                own[key.strip()] = value.strip()
        # What stands in <defs> is coloured by the <use> that shows it, unless it says otherwise.
        hidden = hidden or tag in ("defs", "clipPath")
        if tag in ("path", "use", "rect", "circle", "polygon", "ellipse", "line") and not hidden:
            found.update(value for value in own.values() if value != "none")
        if hidden and tag == "path" and element.get("style"):
            found.update(own[key] for key in ("fill", "stroke") if key in element.get("style"))
        for child in element:
            walk(child, own, hidden)

    walk(root, {"fill": "#000000", "stroke": "none"}, False)
    return found - {"none"}


@every_figure
def test_only_colours_of_the_house(name):
    shown = shown_colours(ElementTree.fromstring(svg(drawn(name))))
    allowed = {light for light, _ in COLOURS.values()}
    if name.startswith(KEEP_THEIR_COLOURS):
        ramps = (ramp(i) for ramp in (DIVERGING, SEQUENTIAL) for i in range(ramp.N))
        allowed |= {to_hex(shade) for shade in ramps} | set(CELL_TEXT)
    assert shown <= allowed
    assert colour("paper") in shown


@every_figure
def test_no_text_leaves_the_canvas_or_covers_another(name):
    figure = drawn(name)
    written = texts(figure)
    canvas = figure.bbox
    for text, box in written:
        assert canvas.x0 <= box.x0 < box.x1 <= canvas.x1, text
        assert canvas.y0 <= box.y0 < box.y1 <= canvas.y1, text
    for (one, first), (other, second) in itertools.combinations(written, 2):
        width = min(first.x1, second.x1) - max(first.x0, second.x0)
        height = min(first.y1, second.y1) - max(first.y0, second.y0)
        # Boxes of text have some air: a pixel may be shared.
        assert width <= 1 or height <= 1, (one.get_text(), other.get_text())


@every_figure
def test_text_is_legible_on_a_phone(name):
    figure = drawn(name)
    scale = PHONE / (figure.get_figwidth() * 72)
    assert min(text.get_fontsize() for text, _ in texts(figure)) * min(scale, 1) >= 7


def grounds(figure):
    """Return where boxes and panels are, and the role of their colour, the last in front."""
    patches = [
        patch
        for patch in figure.findobj(Patch)
        if (patch.get_gid() or "").startswith(("box-", "panel-"))
    ]
    patches.sort(key=lambda patch: patch.get_zorder())
    return [(patch.get_window_extent(), ROLE[to_hex(patch.get_facecolor())]) for patch in patches]


@every_figure
def test_text_stands_out_from_what_lies_behind_it(name):
    figure = drawn(name)
    written, behind = texts(figure), grounds(figure)
    for text, box in written:
        if name.startswith(KEEP_THEIR_COLOURS) and text.get_color() in CELL_TEXT:
            continue  # on a cell, which keeps its colours
        middle = (box.p0 + box.p1) / 2
        roles = [role for place, role in behind if place.contains(*middle)]
        role, fill = ROLE[to_hex(text.get_color())], roles[-1] if roles else "paper"
        # As the palette promises: see the tests of the colours.
        least = 4.0 if fill == "panel" else 4.5
        for mode in (0, 1):
            ratio = contrast(COLOURS[role][mode], COLOURS[fill][mode])
            assert ratio >= least, (text.get_text(), role, fill)


@every_figure
def test_names_are_unique(name):
    # They are ids in the SVG.
    gids = [artist.get_gid() for artist in drawn(name).findobj() if artist.get_gid()]
    assert len(gids) == len(set(gids)) > 0


@every_figure
def test_labels_lie_in_their_boxes_and_off_the_lines(name):
    named, places = artists(drawn(name))
    for gid, box in places.items():
        frame = places.get(gid.replace("text-", "box-"))
        if not gid.startswith("text-") or (frame is not None and name == "kinds"):
            continue  # a label may stand beside the box of an interval
        if frame is not None:
            # Less than a pixel: letters of a fixed width have air on both sides.
            assert frame.x0 - 0.01 < box.x0 < box.x1 < frame.x1 + 0.01, gid
            assert frame.y0 < box.y0 < box.y1 < frame.y1, gid
        for other, wire in named.items():
            if other.startswith(("arrow-", "line-")) and hasattr(wire, "_path_original"):
                path = wire.get_transform().transform_path(wire._path_original)
                label = named[gid].get_window_extent().padded(-1)
                assert not path.intersects_bbox(label, filled=False), (gid, other)


@every_figure
def test_drawn_again_it_is_the_same_file_whatever_the_reader_has_set(name):
    known = plt.get_fignums()
    before = svg(FIGURES[name]())
    assert "<text" not in before
    wild = {"font.size": 30, "axes.edgecolor": "red", "xtick.labelsize": 20, "lines.linewidth": 9}
    with matplotlib.rc_context(wild | {"image.origin": "lower", "font.family": ["monospace"]}):
        figure = FIGURES[name]()
    assert svg(figure) == before
    # A figure that pyplot knows would be shown a second time at the end of its cell.
    assert plt.get_fignums() == known
