"""The drawing that answers, in a real browser: its numbers, its keyboard, and without it."""

import io
import math
import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import test_browser
from playwright.sync_api import expect, sync_playwright

from sphinx_unrolled import pictures
from unrolled.figures import explorer
from unrolled.figures.explorer import LENGTH, NONLINEARITIES, RADIUS, measure
from unrolled.figures.palette import COLOURS

ASSETS = Path(__file__).resolve().parents[2] / "assets"
PAGE = """<!doctype html><html lang="en" data-theme="light"><head><title>Page</title>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="favicon.svg"><link rel="stylesheet" href="palette.css">
<link rel="stylesheet" href="style.css"><script src="explorer.js"></script></head>
<body style="background: var(--unrolled-paper); color: var(--unrolled-ink)">
<main class="bd-article"><h1>Title</h1>
<figure id="fig-explorer">{svg}<figcaption>A caption.</figcaption></figure></main></body></html>"""
POINTS = """(name) => document.querySelector(`.explorer-drawing svg .${name}`).getAttribute("d")
    .slice(1).split("L").map((point) => point.split(" ").map(Number))"""
STROKE = '() => getComputedStyle(document.querySelector(".explorer-drawing svg .gradient")).stroke'


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page with the figure as the site has it, and nothing else."""
    folder = tmp_path_factory.mktemp("page")
    for name in ("explorer.js", "style.css", "favicon.svg"):
        shutil.copy(ASSETS / name, folder / name)
    (folder / "palette.css").write_text(pictures.palette_css(), "utf-8")
    with matplotlib.rc_context():
        file = io.StringIO()
        explorer().savefig(file, format="svg")
    svg = pictures.inline_svg(file.getvalue(), "Curves", "one-", pictures.colour_variables())
    (folder / "page.html").write_text(PAGE.format(svg=svg), "utf-8")
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


def opened(browser, address):
    page = browser.new_page(viewport=test_browser.SIZES[0])
    page.goto(address)
    yield page
    page.close()


page = pytest.fixture(opened)
#: For tests that set every control, or none.
kept_page = pytest.fixture(opened, scope="module")


def words(page):
    return page.locator("#explorer-words").inner_text()


def percent(share):
    return f"{math.floor(100 * share + 0.5)} %"


def changed(page, before):
    """Wait until the sentence is another one."""
    page.wait_for_function(
        '(before) => document.querySelector("#explorer-words").innerText !== before', arg=before
    )
    return words(page)


# --- The numbers --------------------------------------------------------------------------------

SETTINGS = [
    (radius, kind, length)
    for kind in NONLINEARITIES
    for radius, length in [(RADIUS[0], 5), (0.95, 50), (1.0, 20), (1.15, 100), (RADIUS[1], 60)]
]


@pytest.mark.parametrize(("radius", "nonlinearity", "length"), SETTINGS)
def test_the_browser_finds_what_python_finds(kept_page, radius, nonlinearity, length):
    settings = {"radius": radius, "nonlinearity": nonlinearity, "length": length}
    found = kept_page.evaluate("(settings) => explorer.measure(settings)", settings)
    expected = measure(**settings)
    assert set(found) == set(expected._fields)
    for name in expected._fields:
        assert found[name] == pytest.approx(getattr(expected, name).tolist(), rel=1e-9), name


def test_the_curves_are_the_numbers(page):
    reach = measure(1.0, "tanh", 50)
    gradient, memory = (page.evaluate(POINTS, name) for name in ("gradient", "memory"))
    expected = page.evaluate(POINTS, "expected")  # of the gradient: 1 at each step
    assert len(gradient) == len(memory) == 50
    assert [x for x, _ in gradient] == sorted(x for x, _ in gradient)
    assert gradient[-1] == expected[-1]
    # From 1 down to a hundredth are two decades of 8.4; from all down to none, 1 of 1.08.
    decade, whole = 160 / 8.4, 116 / 1.08
    depth = [y - expected[0][1] for _, y in gradient]
    assert depth == pytest.approx([-decade * value for value in np.log10(reach.gradient)], abs=0.02)
    heights = [memory[0][1] - y for _, y in memory]
    shares = [whole * (share - reach.memory[0]) for share in reach.memory]
    assert heights == pytest.approx(shares, abs=0.02)


@pytest.mark.parametrize(
    ("radius", "nonlinearity", "length", "sentence"),
    [
        (1.0, "identity", 100, "the gradient keeps its size. The first symbol is read right in"),
        (0.9, "identity", 50, "Back from step 50 to step 1 the gradient shrinks to 0.0057 of its"),
        (0.9, "identity", 100, "shrinks to one part in 34,000. The"),
        (0.8, "identity", 100, "shrinks to one part in 3.9 billion. The"),
        (0.5, "identity", 100, "shrinks to less than one part in a thousand trillion. The"),
        (1.05, "identity", 100, "grows to 130 times its size. The"),
        (1.5, "identity", 50, "grows to 430 million times its size. The first symbol"),
        (1.5, "identity", 100, "grows to more than a thousand trillion times its size. The"),
        (1.5, "identity", 20, "sequences at every step; at step 20 in 100 % (chance: 25 %)."),
        (1.5, "tanh", 50, "; in a linear network of this radius it grows to 430 million times"),
    ],
)
def test_the_sentence_says_the_numbers(kept_page, radius, nonlinearity, length, sentence):
    kept_page.locator(f'[value="{nonlinearity}"]').check()
    for name, value in (("radius", radius), ("length", length)):
        kept_page.locator(f"#explorer-{name}").fill(str(value))
    expect(kept_page.locator("#explorer-words")).to_contain_text(sentence, timeout=20_000)


def test_the_sentence_says_how_long_the_symbol_is_read(page):
    memory = measure(1.0, "tanh", 50).memory
    until = int((memory < 0.9).argmax())
    assert f"at least 90 % of fresh sequences until step {until}; at step 50 in" in words(page)
    assert f"in {percent(memory[-1])} (chance: 25 %)." in words(page)


# --- The keyboard, and who listens --------------------------------------------------------------


def test_all_of_it_by_keyboard(page):
    start = words(page)
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.id") == "explorer-radius"
    curve = page.evaluate(POINTS, "gradient")
    page.keyboard.press("ArrowRight")
    radius = changed(page, start)
    assert page.locator("output").first.inner_text() == "1.05"
    assert page.evaluate(POINTS, "gradient") != curve
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    length = changed(page, radius)
    assert page.locator("output").last.inner_text() == "100 steps"
    assert page.locator("#explorer-length").get_attribute("aria-valuetext") == "100 steps"
    assert len(page.evaluate(POINTS, "gradient")) == LENGTH[1]
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    kind = changed(page, length)
    assert page.locator('[value="sigmoid"]').is_checked()
    expected = measure(1.05, "sigmoid", 100).memory
    assert f"at step 100 in {percent(expected[-1])}" in kind
    # It looks where the reader is.
    page.keyboard.press("Shift+Tab")
    outline = "() => getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"


def test_who_listens_is_told_once_when_a_slider_stands_still(browser, address):
    page = browser.new_page()
    page.clock.install(time=0)
    page.goto(address)
    page.clock.pause_at(60_000)
    page.evaluate("""() => { window.said = 0; new MutationObserver(() => window.said++)
        .observe(document.querySelector("#explorer-words"), { childList: true }); }""")
    before = words(page)
    page.locator("#explorer-radius").focus()
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
        page.clock.run_for(150)
    assert page.locator("output").first.inner_text() == "0.70"
    assert words(page) == before
    page.clock.run_for(2000)
    assert words(page) != before
    assert page.evaluate("() => window.said") == 1
    page.close()


def test_each_control_says_what_it_is(page):
    for role, name in [("slider", "radius"), ("slider", "length"), ("group", "activation")]:
        assert page.get_by_role(role, name=name, exact=True).count() == 1
    for label in ("linear", "tanh", "sigmoid"):
        assert page.get_by_role("radio", name=label, exact=True).count() == 1
    drawing = page.get_by_role("img", name="Two curves over the steps")
    assert drawing.get_attribute("aria-describedby") == "explorer-words"
    assert page.get_by_role("status").inner_text() == words(page)


# --- Light and dark, wide and narrow, on paper, without the script ------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_passes_the_gates(browser, address, theme):
    context = browser.new_context()
    context.add_init_script(f"""document.addEventListener("DOMContentLoaded",
        () => (document.documentElement.dataset.theme = "{theme}"))""")
    assert test_browser.problems_of(context.new_page(), address) == []
    context.close()


def test_the_colours_follow_the_theme(page):
    shades = []
    for theme in ("light", "dark", "light"):
        page.evaluate("(theme) => (document.documentElement.dataset.theme = theme)", theme)
        shades.append(page.evaluate(STROKE))
    as_written = [
        tuple(int(shade[i : i + 2], 16) for i in (1, 3, 5)) for shade in COLOURS["gradient"]
    ]
    light, dark = (f"rgb{shade}" for shade in as_written)
    assert shades == [light, dark, light]


@pytest.mark.parametrize("width", [1280, 375, 320])
def test_what_is_written_stays_in_the_drawing(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate(test_browser.TWO_FRAMES)
    outside = page.evaluate("""() => {
        const frame = document.querySelector(".explorer-drawing").getBoundingClientRect();
        return [...document.querySelectorAll(".explorer-drawing text")].filter((text) => {
            const box = text.getBoundingClientRect();
            return box.left < frame.left - 0.5 || box.right > frame.right + 0.5
                || box.top < frame.top || box.bottom > frame.bottom;
        }).map((text) => text.textContent);
    }""")
    assert outside == []
    last = page.evaluate(POINTS, "gradient")[-1][0]
    room = page.locator(".explorer-drawing").bounding_box()["width"]
    assert room - 100 < last < room


def seen(page):
    picture = page.locator("#fig-explorer > .unrolled-figure")
    drawing = page.locator("#fig-explorer > .explorer")
    return picture.is_visible(), drawing.count() == 1 and drawing.is_visible()


def test_on_paper_the_picture_stands(page):
    assert seen(page) == (False, True)
    page.emulate_media(media="print")
    assert seen(page) == (True, False)


def test_without_scripts_the_picture_stands(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert seen(page) == (True, False)
    assert page.get_by_role("img", name="Curves").count() == 1
    context.close()


def test_where_the_script_fails_the_picture_stands(browser, address):
    page = browser.new_page()
    page.add_init_script("delete Math.tanh")
    page.goto(address)
    assert seen(page) == (True, False)
    page.close()


def test_it_answers_in_its_chapter(browser, site):
    page = browser.new_page()
    page.goto((site.resolve() / "chapters" / "09-vanishing-exploding.html").as_uri())
    assert seen(page) == (False, True)
    page.close()
