"""Every page of the built site in a real browser: light and dark, on a phone and on a laptop."""

import os
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from checks import find_chromium

NO_BROWSER = "no Chromium on this machine; install one, or name it in CHROMIUM"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SIZES = ({"width": 1280, "height": 900}, {"width": 375, "height": 812})
# Its own requests for the style sheets would be refused to a page that is a file.
AXE_OPTIONS = {"resultTypes": ["violations"], "preload": False}
MATH_DRAWN = """() => [...document.querySelectorAll(".math")].every(
    (equation) => equation.querySelector("mjx-container svg, mjx-container mjx-math"))"""
# Half of axe's time goes into code: of words in it with the same colours one is checked. What is
# inside a picture is not read out, and has no rule.
LIGHTEN = """() => {
    const seen = new Set();
    const alike = [...document.querySelectorAll(".highlight span")].filter((word) => {
        const { color, fontWeight } = getComputedStyle(word);
        const ground = getComputedStyle(word.closest("pre")).backgroundColor;
        const looks = [color, fontWeight, ground, word.style.cssText].join();
        return seen.has(looks) || !seen.add(looks);
    });
    alike.forEach((word) => word.replaceWith(...word.childNodes));
    document.querySelectorAll("svg.unrolled-figure").forEach((svg) => svg.replaceChildren());
}"""
MATH_TIMEOUT = 30_000  # milliseconds
# Observers of sizes run before a frame is drawn.
TWO_FRAMES = "() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"


def problems_of(page: Page, address: str) -> list[str]:
    """Open an address and list what is wrong with it, at each size of the window."""
    problems = []
    page.on(
        "console",
        lambda message: (
            message.type in ("error", "warning") and problems.append(f"console: {message.text}")
        ),
    )
    page.on("pageerror", lambda error: problems.append(f"script: {error}"))
    page.on(
        "request",
        lambda request: (
            request.url.startswith(("file:", "data:", "blob:", "about:"))
            or problems.append(f"asks for {request.url}")
        ),
    )
    page.on("requestfailed", lambda request: problems.append(f"did not load {request.url}"))
    page.goto(address)
    try:
        page.wait_for_function(MATH_DRAWN, timeout=MATH_TIMEOUT)
    except PlaywrightTimeoutError:
        problems.append("equations are not drawn")
    page.evaluate(LIGHTEN)
    for size in SIZES:
        page.set_viewport_size(size)
        page.evaluate(TWO_FRAMES)
        width = page.evaluate("() => document.documentElement.scrollWidth")
        if width > size["width"]:
            problems.append(f"{width} pixels wide in a window of {size['width']}")
        for violation in Axe().run(page, options=AXE_OPTIONS).response["violations"]:
            node = violation["nodes"][0]
            problems.append(
                f"{size['width']} pixels: {violation['id']}, {len(violation['nodes'])} times: "
                f"{node['html'][:200]}: {node['failureSummary']}"
            )
    return problems


@pytest.fixture(scope="session")
def browser():
    path = find_chromium()
    if path is None:
        pytest.skip(NO_BROWSER)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


def pytest_generate_tests(metafunc):
    """One test for each page of the site, so that the report names the page."""
    if "page_name" in metafunc.fixturenames:
        folder = Path(os.environ.get("UNROLLED_SITE", "_build/html"))
        names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.html"))]
        names = [name for name in names if not name.startswith(("_static/", "_sources/"))]
        # Pages of source code are all made alike: one stands for them.
        sources = [name for name in names if name.startswith("_modules/")]
        names = [name for name in names if name not in sources[1:]]
        # Without a site the fixture `site` fails, and says what to do.
        metafunc.parametrize("page_name", names or ["index.html"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page(browser, site, page_name, scheme):
    context = browser.new_context(color_scheme=scheme, viewport=SIZES[0])
    try:
        problems = problems_of(context.new_page(), (site.resolve() / page_name).as_uri())
    finally:
        context.close()
    assert not problems, "\n".join(dict.fromkeys(problems))
