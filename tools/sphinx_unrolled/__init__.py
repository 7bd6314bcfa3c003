"""The book's own Sphinx extension: what Jupyter Book and its theme do not do.

One module a concern: `course` (the map of the chapters, the numbers of figures), `pictures`
(palette and inline SVG), `solutions` (the page made from `unrolled.exercises`), `pages` (MathJax,
buttons, accessibility).
"""

from typing import Any

from sphinx.application import Sphinx

from sphinx_unrolled import course, pages, pictures, solutions


def setup(app: Sphinx) -> dict[str, Any]:
    """Register every part with Sphinx."""
    for part in (course, pictures, solutions, pages):
        part.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
