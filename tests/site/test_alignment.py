"""The alignments that answer, in a real browser: their numbers, their keyboard, and without it."""

import io
import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import test_browser
from playwright.sync_api import expect, sync_playwright

from sphinx_unrolled import pictures
from unrolled.figures import alignment_explorer
from unrolled.figures.palette import COLOURS

ASSETS = Path(__file__).resolve().parents[2] / "assets"
PAGE = """<!doctype html><html lang="en" data-theme="light"><head><title>Page</title>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="favicon.svg"><link rel="stylesheet" href="palette.css">
<link rel="stylesheet" href="style.css"><script src="scroll.js"></script>
<script src="alignment.js"></script></head>
<body style="background: var(--unrolled-paper); color: var(--unrolled-ink)">
<main class="bd-article"><h1>Title</h1>
<div class="cell"><div class="cell_output">
<figure id="fig-one">{svg}<figcaption>A caption.</figcaption></figure></div></div>
<div class="cell"><div class="cell_output"><div class="text_html">{html}</div></div></div>
</main></body></html>"""


def weights(rows, columns, seed):
    return np.random.default_rng(seed).dirichlet(np.full(columns, 0.3), rows)


LETTERS = ([*"forty two", "<eos>"], [*"zweiundvierzig", "<eos>"])
LONG = ([*"seven hundred thousand four hundred"], [*"siebenhunderttausendvierhundert"])
EXAMPLES = {
    "three & <four>": ([[0.9, 0.1, 0], [0, 1, 0], [0.02, 0.02, 0.96]], list("abc"), list("xyz")),
    "forty two": (weights(15, 10, seed=0), *LETTERS),
    "long": (weights(len(LONG[1]), len(LONG[0]), seed=1), *LONG),
}
READ = """() => [...document.querySelectorAll(".alignment-tables table")].map(alignments.read)"""
LINES = """() => [...document.querySelectorAll(".alignment-drawing path")].map((line) => {
    const [from, to] = line.getAttribute("d").slice(1).split("L").map((end) =>
        end.split(" ").map(Number));
    const room = line.ownerSVGElement.getBoundingClientRect();
    const piece = ([x, y], by) => [...document.querySelectorAll(".alignment-pieces button")]
        .findIndex((button) => {
            const box = button.getBoundingClientRect();
            const [left, top] = [x + room.left, y + room.top];
            return box.left < left && left < box.right
                && box.top - 1 < top && top < box.bottom + 1; });
    return [piece(from), piece(to), Number(line.getAttribute("stroke-width"))]; })"""
BAR = "() => document.activeElement.closest('[role=toolbar]').ariaLabel"
GROUNDS = """(side) => [...document.querySelectorAll(`[aria-label="${side}"] button`)].map(
    (piece) => Number(piece.style.getPropertyValue("--weight")))"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page with the figure and the tables as the site has them, and nothing else."""
    folder = tmp_path_factory.mktemp("page")
    for name in ("alignment.js", "scroll.js", "style.css", "favicon.svg"):
        shutil.copy(ASSETS / name, folder / name)
    (folder / "palette.css").write_text(pictures.palette_css(), "utf-8")
    explorer = alignment_explorer(EXAMPLES)
    with matplotlib.rc_context():
        file = io.StringIO()
        explorer.figure.savefig(file, format="svg")
    svg = pictures.inline_svg(file.getvalue(), "Cells", "one-", pictures.colour_variables())
    (folder / "page.html").write_text(PAGE.format(svg=svg, html=explorer.html), "utf-8")
    return (folder / "page.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    path = test_browser.find_chromium()
    if path is None:
        pytest.skip(test_browser.NO_BROWSER)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=test_browser.ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    page = browser.new_page(viewport=test_browser.SIZES[0])
    page.goto(address)
    yield page
    page.close()


def piece(page, side, number):
    """Return the button of a piece, counted from 1."""
    return page.get_by_role("toolbar", name=side).get_by_role("button").nth(number - 1)


def says(page, words):
    expect(page.locator(".alignment [role=status]")).to_have_text(words)


# --- The numbers --------------------------------------------------------------------------------


def test_the_script_reads_what_python_wrote(page):
    for found, (title, (given, source, target)) in zip(
        page.evaluate(READ), EXAMPLES.items(), strict=True
    ):
        assert found["title"] == title
        assert found["source"] == [letter.replace(" ", "␣") for letter in source]
        assert found["target"] == list(target)
        assert np.array(found["weights"]) == pytest.approx(np.round(given, 2), abs=0.0101)


def test_a_piece_of_the_target_shows_what_the_decoder_looked_at(page):
    says(
        page, "To write “x” (1 of 3) the decoder looks at “a” (1) with 90 % and “b” (2) with 10 %."
    )
    assert page.evaluate(GROUNDS, "source") == [0.9, 0.1, 0]
    # Pieces are counted through both sides: x is the fourth.
    assert page.evaluate(LINES) == [[3, 0, 5.48], [3, 1, 1.32]]
    piece(page, "target", 3).hover()
    says(page, "To write “z” (3 of 3) the decoder looks at “c” (3) with 96 %.")
    assert [line[:2] for line in page.evaluate(LINES)] == [[5, 0], [5, 1], [5, 2]]
    assert page.evaluate(GROUNDS, "target") == [0, 0, 0]


def test_a_piece_of_the_source_shows_who_looked_at_it(page):
    piece(page, "source", 2).hover()
    says(
        page, "The decoder looks at “b” (2 of 3) to write “y” (2) with 100 % and “x” (1) with 10 %."
    )
    assert page.evaluate(GROUNDS, "target") == [0.1, 1, 0.02]
    assert [line[:2] for line in page.evaluate(LINES)] == [[1, 3], [1, 4], [1, 5]]
    pressed = page.locator('.alignment [aria-pressed="true"]')
    assert pressed.all_inner_texts() == ["b"]


def test_a_touch_is_as_good_as_pointing(browser, address):
    context = browser.new_context(has_touch=True, viewport=test_browser.SIZES[1])
    page = context.new_page()
    page.goto(address)
    piece(page, "target", 2).tap()
    says(page, "To write “y” (2 of 3) the decoder looks at “b” (2) with 100 %.")
    context.close()


def test_the_sentence_names_the_largest_and_a_blank_by_its_name(page):
    said = page.evaluate(
        """(example) => [alignments.inWords(example, "target", 0),
                         alignments.inWords(example, "source", 5),
                         alignments.inWords(example, "source", 0)]""",
        {
            "source": list("abcde␣"),
            "target": ["x"],
            "weights": [[0, 0.1, 0.25, 0.06, 0.05, 0.54]],
        },
    )
    assert [sentence.replace("\xa0", " ") for sentence in said] == [
        "To write “x” (1 of 1) the decoder looks at the blank (6) with 54 %, “c” (3) with 25 %, "
        "“b” (2) with 10 % and “d” (4) with 6 %.",
        "The decoder looks at the blank (6 of 6) to write “x” (1) with 54 %.",
        "The decoder never looks at “a” (1 of 6) with 5 % or more.",
    ]


# --- The keyboard, and who listens --------------------------------------------------------------


def test_all_of_it_by_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.tagName") == "SELECT"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    assert page.evaluate(BAR) == "source"
    page.keyboard.press("Tab")
    assert page.evaluate(BAR) == "target"
    page.keyboard.press("Home")
    assert page.evaluate("() => document.activeElement.textContent") == "z"
    shares = np.array([[round(100 * w) for w in row] for row in EXAMPLES["forty two"][0]])
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    # To the piece that the second letter looks at most.
    most = int(shares[1].argmax())
    assert page.evaluate("() => document.activeElement.textContent") == LETTERS[0][most]
    for key, place in (("Home", 1), ("End", 10), ("ArrowLeft", 9), ("ArrowRight", 10)):
        page.keyboard.press(key)
        expect(piece(page, "source", place)).to_be_focused()
    # Nothing lies behind the end, or above the source.
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    expect(piece(page, "source", 10)).to_be_focused()
    page.keyboard.press("ArrowDown")
    assert page.evaluate(BAR) == "target"
    outline = "() => getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    # One stop a side: the next one is behind the drawing.
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.tagName") == "SUMMARY"


def test_who_listens_is_told_once_when_it_stands_still(browser, address):
    page = browser.new_page()
    page.clock.install(time=0)
    page.goto(address)
    page.clock.pause_at(60_000)
    status = page.locator(".alignment [role=status]")
    before = status.inner_text()
    page.evaluate("""() => { window.said = 0; new MutationObserver(() => window.said++)
        .observe(document.querySelector(".alignment [role=status]"), { childList: true }); }""")
    piece(page, "target", 1).focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
        page.clock.run_for(150)
    assert status.inner_text() == before
    page.clock.run_for(2000)
    assert "“z”" in status.inner_text()
    assert page.evaluate("() => window.said") == 1
    page.close()


def test_each_control_says_what_it_is(page):
    page.get_by_label("example").select_option("forty two")
    for side, pieces in zip(("source", "target"), LETTERS, strict=True):
        bar = page.get_by_role("toolbar", name=side, exact=True)
        assert bar.get_by_role("button").count() == len(pieces)
    assert page.get_by_role("button", name="blank", exact=True).count() == 1
    says(page, page.locator("[role=status]").inner_text())


def test_one_example_leaves_no_choice(browser, address, tmp_path):
    html = alignment_explorer({"one": EXAMPLES["forty two"]}).html
    page = browser.new_page()
    page.goto(address)
    page.evaluate(
        "(html) => document.body.innerHTML = `<div class=cell><figure></figure></div>"
        "<div class=cell>${html}</div>`",
        html,
    )
    page.evaluate("() => document.dispatchEvent(new Event('DOMContentLoaded'))")
    assert page.locator(".alignment").is_visible()
    assert not page.get_by_label("example").is_visible()
    page.close()


# --- Light and dark, wide and narrow, on paper, without the script ------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_passes_the_gates(browser, address, theme):
    context = browser.new_context()
    context.add_init_script(f"""document.addEventListener("DOMContentLoaded",
        () => (document.documentElement.dataset.theme = "{theme}"))""")
    page = context.new_page()
    assert test_browser.problems_of(page, address) == []
    page.locator("summary").click()
    assert (
        test_browser.Axe().run(page, options=test_browser.AXE_OPTIONS).response["violations"] == []
    )
    context.close()


def test_the_colours_follow_the_theme(page):
    shades = []
    for theme in ("light", "dark", "light"):
        page.evaluate("(theme) => (document.documentElement.dataset.theme = theme)", theme)
        stroke = '() => getComputedStyle(document.querySelector(".alignment path")).stroke'
        shades.append(page.evaluate(stroke))
    light, dark = (
        f"rgb{tuple(int(shade[i : i + 2], 16) for i in (1, 3, 5))}" for shade in COLOURS["series_1"]
    )
    assert shades == [light, dark, light]


@pytest.mark.parametrize("width", [1280, 375, 320])
def test_long_texts_go_on_in_the_next_line_and_lines_meet_their_pieces(page, width):
    page.get_by_label("example").select_option("long")
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate(test_browser.TWO_FRAMES)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    room = page.locator(".alignment-drawing").bounding_box()
    boxes = [button.bounding_box() for button in page.locator(".alignment button").all()]
    assert len(boxes) == len(LONG[0]) + len(LONG[1])
    assert all(box["x"] >= room["x"] - 1 for box in boxes)
    assert all(box["x"] + box["width"] <= room["x"] + room["width"] + 1 for box in boxes)
    assert min(box["width"] for box in boxes) >= 24 <= min(box["height"] for box in boxes)
    first = len(LONG[0])
    expected = [[first, k] for k, w in enumerate(EXAMPLES["long"][0][0]) if round(w, 2) >= 0.02]
    assert [line[:2] for line in page.evaluate(LINES)] == expected


def seen(page):
    picture = page.locator("#fig-one > .unrolled-figure")
    drawing = page.locator("#fig-one > .alignment")
    return picture.is_visible(), drawing.count() == 1 and drawing.is_visible()


def test_on_paper_the_picture_stands(page):
    assert seen(page) == (False, True)
    page.emulate_media(media="print")
    assert seen(page) == (True, False)


def test_without_scripts_the_picture_and_the_tables_stand(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert seen(page) == (True, False)
    page.locator("summary").click()
    assert page.get_by_role("table", name="three & <four>").is_visible()
    assert page.get_by_role("cell", name="96", exact=True).first.is_visible()
    context.close()


def test_where_the_script_fails_the_picture_stands(browser, address):
    page = browser.new_page()
    page.add_init_script("delete window.ResizeObserver; delete Array.prototype.at")
    page.add_init_script("Element.prototype.replaceChildren = undefined")
    page.goto(address)
    assert seen(page) == (True, False)
    page.close()


def test_it_answers_in_its_chapter(browser, site):
    page = browser.new_page()
    page.goto((site.resolve() / "chapters" / "14-attention.html").as_uri())
    assert page.locator(".alignment-tables").count() == 1
    assert page.locator("figure.explorer-runs > .alignment").is_visible()
    page.close()
