"""Pictures of notebooks in the page: inline SVG in the colours of the page.

matplotlib writes a picture with fixed colours and a fixed size. Inline, with every colour of the
house palette replaced by a CSS variable, it follows the reader's theme and the width of the page.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

from unrolled.figures.palette import COLOURS

LOGGER = logging.getLogger(__name__)

# What matplotlib's style sheet says for every element. Inside a page it would reach all others.
STROKES = "stroke-linejoin:round;stroke-linecap:butt"
UNSEEN = {"metadata", "style", "title", "desc"}
REFERENCE = re.compile(r"url\(#([^)]+)\)")
HEX = re.compile(r"#[0-9a-fA-F]{6}\b")


def palette_css(colours: Mapping[str, tuple[str, str]] = COLOURS) -> str:
    """Give the palette as CSS variables, light by default and dark where the theme is dark."""

    def rule(selector: str, column: int) -> str:
        lines = [f"  --unrolled-{role}: {pair[column]};\n" for role, pair in colours.items()]
        return f"{selector} {{\n{''.join(lines)}}}\n"

    # Paper is white whatever the theme.
    dark = rule('html[data-theme="dark"]', 1)
    return f"{rule(':root', 0)}@media screen {{\n{dark}}}\n"


def colour_variables(colours: Mapping[str, tuple[str, str]] = COLOURS) -> dict[str, str]:
    """Map each light colour of the palette to the variable that stands for it."""
    return {light: f"var(--unrolled-{role}, {light})" for role, (light, _) in colours.items()}


def inline_svg(source: str, alt: str, prefix: str, variables: Mapping[str, str]) -> str:
    """Turn an SVG file into an element for an HTML page.

    Parameters
    ----------
    source : str
        The text of the file.
    alt : str
        What the picture shows, for a reader who cannot see it.
    prefix : str
        Put before every id, so that the pictures of one page do not clash.
    variables : mapping
        Lower-case hex colour to the CSS that takes its place. Other colours stay.

    Returns
    -------
    str
        One `<svg role="img">` without declaration, metadata or unused ids, as wide as the page
        allows and never wider than it was drawn.
    """
    root = ElementTree.fromstring(source)
    width = root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    for element in root.iter():
        _plain_names(element)
        for child in [child for child in element if _local(child.tag) in UNSEEN]:
            element.remove(child)
        element.text = (element.text or "").strip() or None
        element.tail = None
    used = {name for element in root.iter() for name in _references(element)}
    for element in root.iter():
        _rename(element, prefix, used)
        _recolour(element, variables)
    root.attrib.pop("version", None)
    size = f"max-width:{width}" if width else "max-width:100%"
    root.attrib.update(
        {"class": "unrolled-figure", "role": "img", "aria-label": alt, "style": f"{STROKES};{size}"}
    )
    return ElementTree.tostring(root, encoding="unicode")


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _plain_names(element: ElementTree.Element) -> None:
    """Drop XML namespaces: inside HTML the parser knows them."""
    element.tag = _local(element.tag)
    element.attrib = {_local(key): value for key, value in element.attrib.items()}


def _references(element: ElementTree.Element) -> list[str]:
    """List the ids that an element points to."""
    link = element.get("href", "")
    names = [link[1:]] if link.startswith("#") else []
    return names + [name for value in element.attrib.values() for name in REFERENCE.findall(value)]


def _rename(element: ElementTree.Element, prefix: str, used: set[str]) -> None:
    """Prefix an id that something points to, drop any other, and follow in the references."""
    if "id" in element.attrib:
        name = element.attrib.pop("id")
        if name in used:
            element.set("id", prefix + name)
    for key, value in element.attrib.items():
        if key == "href" and value.startswith("#"):
            element.set(key, f"#{prefix}{value[1:]}")
        elif "url(#" in value:
            element.set(key, REFERENCE.sub(rf"url(#{prefix}\1)", value))


def _recolour(element: ElementTree.Element, variables: Mapping[str, str]) -> None:
    """Put variables in the place of colours, in styles: a variable means nothing in attributes."""
    style = element.get("style", "")
    for key in ("fill", "stroke", "stop-color"):
        if element.get(key, "").lower() in variables:
            style = f"{key}:{element.attrib.pop(key)};{style}"
    if style:
        element.set("style", HEX.sub(lambda hit: variables.get(hit[0].lower(), hit[0]), style))


class Pictures(SphinxPostTransform):
    """Put SVG pictures into the page and refuse a picture that says nothing."""

    # MyST-NB chooses among the formats of an output at 4.
    default_priority = 5
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Change the images of one page."""
        variables = colour_variables()
        for number, image in enumerate(list(self.document.findall(nodes.image)), start=1):
            alt = " ".join(image.get("alt", "").split())
            if not alt:
                LOGGER.warning(
                    "This picture has no alt text. In a notebook, the cell's metadata gives it: "
                    '"mystnb": {"image": {"alt": "what the picture shows"}}',
                    location=image,
                )
            path = Path(self.env.srcdir, image["uri"].lstrip("/"))
            if path.suffix == ".svg" and path.is_file():
                svg = inline_svg(path.read_text("utf-8"), alt, f"picture-{number}-", variables)
                image.replace_self(nodes.raw("", svg, format="html"))


def write_palette(app: Sphinx) -> None:
    """Write the palette where the pages load it."""
    static = Path(app.outdir, "_static")
    static.mkdir(parents=True, exist_ok=True)
    (static / "palette.css").write_text(palette_css(), "utf-8")


def setup(app: Sphinx) -> None:
    """Register the transform and the palette."""
    app.add_post_transform(Pictures)
    app.connect("builder-inited", write_palette)
    app.add_css_file("palette.css")
