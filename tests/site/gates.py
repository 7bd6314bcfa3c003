"""What the built site is held to: each gate lists the problems it finds, and none is good.

The gates read files only. What needs a browser is in `test_browser.py`.
"""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag
from matplotlib.colors import to_hex

from unrolled.figures.palette import COLOURS
from unrolled.figures.plots import CELL_TEXT, DIVERGING, SEQUENTIAL

# What a reader's browser loads for a page at most, what all pages share not counted.
PAGE_BYTES = 1_500_000

CSS_ADDRESS = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")
HEX = re.compile(r"#[0-9a-fA-F]{3,8}\b")
VARIABLE = re.compile(r"var\(\s*--unrolled-(\w+)\s*,\s*(#[0-9a-f]{6})\s*\)")
SHAPES = ("path", "rect", "circle", "ellipse", "polygon", "polyline", "text", "use")
UNRESOLVED = (
    (re.compile(r"\{[a-z][\w:-]*\}`[^`]*`"), "a role"),
    (re.compile(r"\[\]\([^)]*\)"), "a link without text"),
    (re.compile(r"(?:^|\s):{3,}|`{3,}"), "a directive"),
    (re.compile(r"(?:^|\s)\([\w-]+\)=(?:\s|$)"), "a label"),
    (re.compile(r"\$\$|\\begin\{"), "an equation"),
)


class Page:
    """One HTML file of a site, read once."""

    def __init__(self, path: Path, site: Path) -> None:
        self.path, self.site = path, site
        self.name = path.relative_to(site).as_posix()
        self.size = path.stat().st_size
        self.soup = BeautifulSoup(path.read_text("utf-8"), "html.parser")

    @functools.cached_property
    def ids(self) -> list[str]:
        """Every id, as often as it is there."""
        return [tag["id"] for tag in self.soup.find_all(id=True)]

    def file_of(self, address: str) -> Path:
        """Give the file that an address of this page means."""
        path = unquote(urlsplit(address).path)
        return (self.path.parent / path).resolve() if path else self.path


def read_site(site: Path) -> list[Page]:
    """Read every page of a built site."""
    site = site.resolve()
    apart = {"_static", "_sources", "_images", "_downloads"}
    paths = sorted(site.rglob("*.html"))
    return [Page(path, site) for path in paths if path.relative_to(site).parts[0] not in apart]


def leaves_the_site(address: str) -> bool:
    """Tell whether an address names another host."""
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme in {"http", "https", "ws", "wss", "ftp"}


def is_local_file(address: str) -> bool:
    """Tell whether an address names a file of the site."""
    return not leaves_the_site(address) and not urlsplit(address).scheme


def loaded(page: Page) -> Iterator[str]:
    """Give the address of everything that a browser loads by itself for a page."""
    for tag in page.soup.find_all(True):
        if tag.name == "a":
            continue
        if tag.name == "link" and not LOADING_LINKS & set(tag.get("rel", [])):
            continue
        for attribute in ("src", "href", "xlink:href", "data", "poster"):
            if tag.get(attribute) and not (tag.name == "use" and tag[attribute].startswith("#")):
                yield tag[attribute]
        for candidate in tag.get("srcset", "").split(","):
            if candidate.strip():
                yield candidate.split()[0]
        yield from css_addresses(tag.get("style", ""))
        if tag.name == "style":
            yield from css_addresses(tag.get_text())


LOADING_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "manifest"}
LOADING_LINKS |= {"preconnect", "dns-prefetch", "apple-touch-icon", "mask-icon"}


def css_addresses(css: str) -> Iterator[str]:
    """Give the addresses in a style sheet, without those of the same document."""
    for first, second in CSS_ADDRESS.findall(css):
        if not (first or second).startswith("#"):
            yield first or second


# --- The gates --------------------------------------------------------------------------------


def broken_links(pages: Iterable[Page]) -> list[str]:
    """Find links and loads whose file or anchor is not in the site."""
    by_path = {page.path: page for page in pages}
    problems = []
    for page in by_path.values():
        targets = [tag["href"] for tag in page.soup.find_all("a", href=True)]
        for address in dict.fromkeys(filter(is_local_file, [*targets, *loaded(page)])):
            path, anchor = page.file_of(address), unquote(urlsplit(address).fragment)
            if not path.is_file():
                problems.append(f"{page.name}: {address} is not in the site")
            elif anchor and path in by_path and anchor not in by_path[path].ids:
                problems.append(f"{page.name}: {address} has no such anchor")
    return problems


def duplicate_ids(page: Page) -> list[str]:
    """Find ids that a page has twice."""
    twice = sorted({name for name in page.ids if page.ids.count(name) > 1})
    return [f"{page.name}: the id {name!r} is there more than once" for name in twice]


def missing_alt(page: Page) -> list[str]:
    """Find pictures that say nothing to a reader who cannot see them."""
    problems = []
    for image in page.soup.find_all("img"):
        if not image.get("alt", "").strip():
            problems.append(f"{page.name}: {str(image)[:120]} has no alt text")
    for drawing in page.soup.select('svg[role="img"], svg.unrolled-figure'):
        if drawing.get("role") != "img" or not drawing.get("aria-label", "").strip():
            problems.append(f"{page.name}: {str(drawing)[:120]} has no role and label")
    return problems


def outside_loads(page: Page) -> list[str]:
    """Find what a page would load from another host."""
    return [
        f"{page.name}: loads {address}"
        for address in dict.fromkeys(loaded(page))
        if leaves_the_site(address)
    ]


def outside_loads_of_styles(site: Path) -> list[str]:
    """Find what a style sheet of the site would load from another host."""
    return [
        f"{path.relative_to(site).as_posix()}: loads {address}"
        for path in sorted(site.rglob("*.css"))
        for address in css_addresses(path.read_text("utf-8"))
        if leaves_the_site(address)
    ]


def heading_order(page: Page) -> list[str]:
    """Find a page without exactly one first heading, and headings that skip a level."""
    article = page.soup.find("article") or page.soup
    levels = [int(tag.name[1]) for tag in article.find_all(re.compile(r"^h[1-6]$"))]
    problems = []
    if levels.count(1) != 1:
        problems.append(f"{page.name}: {levels.count(1)} headings of the first level")
    for above, below in zip([0, *levels], levels, strict=False):
        if below > above + 1:
            problems.append(f"{page.name}: a heading of level {below} follows one of level {above}")
    return problems


def heavy_pages(pages: list[Page], limit: int = PAGE_BYTES) -> list[str]:
    """Find pages that weigh more than the limit, with the files that no other page loads."""
    files = {page.name: _loaded_files(page) for page in pages}
    loads = Counter(path for paths in files.values() for path in paths)
    problems = []
    for page in pages:
        own = [path.stat().st_size for path in files[page.name] if loads[path] == 1]
        weight = page.size + sum(own)
        if weight > limit:
            problems.append(f"{page.name}: weighs {weight:,} bytes, at most {limit:,}")
    return problems


def _loaded_files(page: Page) -> set[Path]:
    paths = {page.file_of(address) for address in loaded(page) if is_local_file(address)}
    return {path for path in paths if path.is_file()}


def unresolved_markup(page: Page) -> list[str]:
    """Find Markdown of MyST that came through as text."""
    article = BeautifulSoup(str(page.soup.find("article") or page.soup), "html.parser")
    for tag in article.find_all(["pre", "code", "script", "style", "svg"]):
        tag.replace_with(" ")
    for tag in article.select(".math"):
        tag.replace_with(" ")
    problems = []
    for text in article.find_all(string=True):
        for pattern, what in UNRESOLVED:
            if hit := pattern.search(text):
                problems.append(f"{page.name}: {what} is there as text: {hit[0].strip()!r}")
    return problems


@functools.cache
def fixed_colours() -> frozenset[str]:
    """Give the colours that must not follow the theme: of cells of heatmaps and their text."""
    maps = [to_hex(colours(place)) for colours in (DIVERGING, SEQUENTIAL) for place in range(65)]
    return frozenset([*maps, *CELL_TEXT])


def figure_colours(page: Page) -> list[str]:
    """Find colours of drawings that do not follow the theme, and shapes in the browser's black."""
    problems = []
    for drawing in page.soup.select("svg.unrolled-figure"):
        name = f"{page.name}: the drawing {drawing.get('aria-label', '')[:50]!r}"
        for tag in [drawing, *drawing.find_all(True)]:
            given = "; ".join(str(value) for key, value in tag.attrs.items() if key in PAINT)
            for role, light in VARIABLE.findall(given):
                if role not in COLOURS or COLOURS[role][0] != light:
                    problems.append(f"{name} has the unknown colour {role} {light}")
            for colour in HEX.findall(VARIABLE.sub("", given)):
                if colour.lower() not in fixed_colours():
                    problems.append(f"{name} has {colour}, which is not of the palette")
            if tag.name in SHAPES and not _has_fill(tag):
                problems.append(f"{name} has a <{tag.name}> without a fill: black in the dark, too")
    return list(dict.fromkeys(problems))


PAINT = ("style", "fill", "stroke", "stop-color", "color", "flood-color")
UNDRAWN = {"defs", "clippath", "clipPath", "mask", "marker", "symbol"}


def _has_fill(tag: Tag) -> bool:
    """Tell whether a fill is set for a shape, or whether it is not drawn where it stands."""
    for element in [tag, *tag.parents]:
        if (
            element.name in UNDRAWN
            or element.get("fill")
            or re.search(r"(?:^|[;\s])fill\s*:", element.get("style", ""))
        ):
            return True
        if element.name == "svg":
            return False
    return False
