"""The gates themselves: each refuses a page that is broken in its way, and accepts a good one."""

import gates
import pytest
import test_browser
from playwright.sync_api import sync_playwright

GOOD = """<!doctype html><html lang="en"><head><title>Page</title>
<link rel="stylesheet" href="style.css"></head><body><main><article>
<h1 id="top">Title</h1><p>See <a href="#end">the end</a> and <a href="b.html#there">b</a>, or
<a href="https://example.org/">elsewhere</a>.</p>
<h2 id="end">End</h2><p><code>{role}`x`</code> <img src="p.png" alt="A dot"></p>
<svg class="unrolled-figure" role="img" aria-label="A line" viewBox="0 0 1 1">
<defs><path id="glyph" d="M0 0"/></defs>
<path style="fill: none; stroke: var(--unrolled-ink, #1f2430)" d="M0 0"/></svg>
</article></main></body></html>"""
OTHER = '<html lang="en"><title>b</title><main><h1 id="there">b</h1></main></html>'


@pytest.fixture
def make_site(tmp_path):
    """Write a site of two pages, with one text of the first exchanged for another."""

    def make(old="", new=""):
        assert old in GOOD
        (tmp_path / "a.html").write_text(GOOD.replace(old, new, 1) if old else GOOD, "utf-8")
        (tmp_path / "b.html").write_text(OTHER, "utf-8")
        (tmp_path / "style.css").write_text("p { color: #222 }", "utf-8")
        (tmp_path / "p.png").write_bytes(b"0123456789")
        return gates.read_site(tmp_path)

    return make


def page_gate(gate):
    return lambda pages: [problem for page in pages for problem in gate(page)]


GATES = {
    "links": gates.broken_links,
    "ids": page_gate(gates.duplicate_ids),
    "alt": page_gate(gates.missing_alt),
    "loads": page_gate(gates.outside_loads),
    "headings": page_gate(gates.heading_order),
    "markup": page_gate(gates.unresolved_markup),
    "colours": page_gate(gates.figure_colours),
    "weight": gates.heavy_pages,
}
BROKEN = [
    ("links", 'href="b.html#there"', 'href="c.html"', "c.html is not in the site"),
    ("links", 'href="b.html#there"', 'href="b.html#gone"', "b.html#gone has no such anchor"),
    ("links", 'href="#end"', 'href="#gone"', "#gone has no such anchor"),
    ("links", 'src="p.png"', 'src="q.png"', "q.png is not in the site"),
    ("ids", 'id="end"', 'id="top"', "'top' is there more than once"),
    ("alt", ' alt="A dot"', "", "has no alt text"),
    ("alt", 'alt="A dot"', 'alt=" "', "has no alt text"),
    ("alt", ' aria-label="A line"', "", "has no role and label"),
    ("alt", ' role="img"', "", "has no role and label"),
    ("loads", 'src="p.png"', 'src="https://example.org/p.png"', "loads https://example.org/p.png"),
    ("loads", 'src="p.png"', 'src="//example.org/p.png"', "loads //example.org/p.png"),
    ("loads", 'src="p.png"', 'src="p.png" srcset="http://x.org/2.png 2x"', "loads http://x.org"),
    ("loads", 'href="style.css"', 'href="https://x.org/s.css"', "loads https://x.org/s.css"),
    ("loads", "<p>See", '<p style="background: url(https://x.org/i.png)">See', "loads https://x"),
    ("loads", "</head>", '<style>@import "https://x.org/s.css";</style></head>', "loads https://x"),
    ("loads", "</head>", '<script src="https://x.org/j.js"></script></head>', "loads https://x"),
    ("headings", "<h2", "<h3", "level 3 follows one of level 1"),
    ("headings", "<h2", "<h1", "2 headings of the first level"),
    ("headings", "<h1", "<p", "0 headings of the first level"),
    ("markup", "See", "See {term}`cell`", "a role is there as text: '{term}`cell`'"),
    ("markup", "See", "See [](#there)", "a link without text"),
    ("markup", "See", "(sec-x)= See", "a label"),
    ("markup", "See", ":::{note} See", "a directive"),
    ("markup", "See", "$$h_t$$", "an equation"),
    ("colours", "var(--unrolled-ink, #1f2430)", "#1f2430", "#1f2430, which is not of the palette"),
    ("colours", "var(--unrolled-ink, #1f2430)", "#000", "#000, which is not of the palette"),
    ("colours", "var(--unrolled-ink, #1f2430)", "var(--unrolled-ink, #ffffff)", "unknown colour"),
    ("colours", "var(--unrolled-ink,", "var(--unrolled-inc,", "unknown colour inc"),
    ("colours", "fill: none; ", "", "a <path> without a fill"),
]


def test_a_good_site_passes_every_gate(make_site):
    pages = make_site()
    assert {name: gate(pages) for name, gate in GATES.items()} == {name: [] for name in GATES}


@pytest.mark.parametrize(("gate", "old", "new", "problem"), BROKEN)
def test_a_broken_page_is_refused(make_site, gate, old, new, problem):
    problems = GATES[gate](make_site(old, new))
    assert any(problem in found for found in problems), problems


def test_a_heavy_page_is_refused_and_what_is_shared_does_not_count(make_site, tmp_path):
    pages = make_site()
    own = pages[0].size + len("p { color: #222 }") + 10
    assert gates.heavy_pages(pages, limit=own) == []
    assert "a.html: weighs" in gates.heavy_pages(pages, limit=own - 1)[0]
    shared = OTHER.replace("<h1", '<img src="p.png" alt="A dot"><h1')
    (tmp_path / "b.html").write_text(shared, "utf-8")
    assert gates.heavy_pages(gates.read_site(tmp_path), limit=own - 1) == []


def test_a_style_sheet_that_loads_from_elsewhere_is_refused(make_site, tmp_path):
    make_site()
    assert gates.outside_loads_of_styles(tmp_path) == []
    (tmp_path / "style.css").write_text("p { src: url('https://x.org/f.woff') }", "utf-8")
    assert gates.outside_loads_of_styles(tmp_path) == ["style.css: loads https://x.org/f.woff"]


@pytest.mark.parametrize("colour", sorted(gates.fixed_colours())[:3])
def test_colours_of_heatmaps_may_stay(make_site, colour):
    pages = make_site("var(--unrolled-ink, #1f2430)", colour)
    assert GATES["colours"](pages) == []


IN_BROWSER = [
    ("See", '<img src="gone.png" alt="Gone">', "did not load file:"),
    ("See", "<script>console.error('bad')</script>", "console: bad"),
    ("See", "<script>throw new Error('thrown')</script>", "script: thrown"),
    ("See", '<img src="https://x.invalid/p.png" alt="Out">', "asks for https://x.invalid/p.png"),
    ("See", '<div style="width: 600px">wide</div>', "pixels wide in a window of 375"),
    ("See", '<span style="color: #ccc; background: #fff">pale</span>', "color-contrast"),
    (
        "<p>See",
        '<div class="highlight"><pre style="background: #fff"><span style="color: #111">one</span>'
        '<span style="color: #ccc">pale</span></pre></div><p>See',
        "color-contrast",
    ),
    (' lang="en"', "", "html-has-lang"),
]


def test_the_browser_gate_accepts_a_good_page_and_refuses_broken_ones(make_site, tmp_path):
    path = test_browser.find_chromium()
    if path is None:
        pytest.skip(test_browser.NO_BROWSER)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=test_browser.ARGUMENTS)
        for old, new, problem in [("", "", None), *IN_BROWSER]:
            make_site(old, new)
            address = (tmp_path / "a.html").as_uri()
            found = test_browser.problems_of(browser.new_page(), address)
            assert any(problem in line for line in found) if problem else found == [], (new, found)
        browser.close()


def test_equations_that_are_not_drawn_are_refused(make_site, tmp_path, monkeypatch):
    path = test_browser.find_chromium()
    if path is None:
        pytest.skip(test_browser.NO_BROWSER)
    monkeypatch.setattr(test_browser, "MATH_TIMEOUT", 200)
    make_site("See", '<span class="math">\\(h_t\\)</span>')
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=test_browser.ARGUMENTS)
        found = test_browser.problems_of(browser.new_page(), (tmp_path / "a.html").as_uri())
        browser.close()
    assert "equations are not drawn" in found
