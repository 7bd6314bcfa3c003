"""The sixteen chapters: their map on the landing page, and the numbers of their figures."""

import re
from html import escape
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator


class Chapter(NamedTuple):
    """One chapter of the course, written or to come."""

    slug: str
    title: str
    question: str

    @property
    def number(self) -> int:
        """The number of the chapter, which its file begins with."""
        return int(self.slug[:2])

    @property
    def page(self) -> str:
        """The name of its page, with or without the page being there."""
        return f"chapters/{self.slug}"


COURSE: dict[str, tuple[Chapter, ...]] = {
    "Foundations": (
        Chapter("01-sequences", "Sequences", "Why is order hard?"),
        Chapter("02-recurrent-cell", "The recurrent cell", "What is a memory?"),
        Chapter("03-language-model", "A language model", "How does it learn to write?"),
    ),
    "Architectures": (
        Chapter("04-task-shapes", "Shapes of tasks", "One model, how many tasks?"),
        Chapter("05-many-to-one", "Many to one", "What does the last state know?"),
        Chapter("06-one-to-many", "One to many", "How does a picture become a sentence?"),
        Chapter("07-bidirectional", "Both directions", "When does the future help?"),
    ),
    "Gradients": (
        Chapter("08-bptt", "Backpropagation through time", "Where do gradients come from?"),
        Chapter("09-vanishing-exploding", "Vanishing and exploding", "Why do gradients die?"),
    ),
    "Gates and depth": (
        Chapter("10-lstm", "LSTM", "How can a network choose to remember?"),
        Chapter("11-gru", "GRU and the gated family", "Which gate matters?"),
        Chapter("12-deep-rnn", "Deep recurrent networks", "When does depth help?"),
    ),
    "Sequence to sequence": (
        Chapter("13-encoder-decoder", "Encoder and decoder", "How can lengths differ?"),
        Chapter("14-attention", "Attention", "Where should the decoder look?"),
        Chapter("15-translator", "A translator", "Does it work on real sentences?"),
    ),
    "Beyond": (Chapter("16-beyond", "Beyond", "What came next?"),),
}
LEGEND = (
    '<p class="course-map-legend"><span class="sample sample-written"></span> written '
    '<span class="sample"></span> to come</p>'
)
ROMAN = ("I", "II", "III", "IV", "V", "VI")
CHAPTER_PAGE = re.compile(r"chapters/(\d\d)-")


def chapter_titled(number: int) -> Chapter:
    """Find a chapter by its number."""
    return next(chapter for part in COURSE.values() for chapter in part if chapter.number == number)


class course_map(nodes.General, nodes.Element):  # noqa: N801 - docutils names nodes so
    """The place of the map in a page."""


class CourseMap(SphinxDirective):
    """`{course-map}`: all chapters as an unrolled network; those of `_toc.yml` are links."""

    def run(self) -> list[nodes.Node]:
        """Leave a place: which pages there are is known when all are read."""
        self.env.note_dependency(str(Path(self.env.srcdir, "_toc.yml")))
        return [course_map()]


def visit_course_map(translator: HTML5Translator, node: course_map) -> None:
    """Write the map as nested lists. Their form, a network along time, is in style.css."""
    builder = translator.builder
    here = builder.current_docname

    def cell(chapter: Chapter) -> str:
        title = escape(chapter.title)
        question = f'<span class="cell-question">{escape(chapter.question)}</span>'
        state = f'<span class="cell-state" aria-hidden="true"><span>{chapter.number}</span></span>'
        spoken = f'<span class="visually-hidden">Chapter {chapter.number}: </span>'
        if chapter.page not in builder.env.found_docs:
            coming = '<span class="visually-hidden">, to come</span>'
            name = f'<span class="cell-title">{spoken}{title}{coming}</span>'
            return f'<li class="cell cell-planned">{state}{name}{question}</li>'
        address = builder.get_relative_uri(here, chapter.page)
        name = f'<a class="cell-title" href="{address}">{spoken}{title}</a>'
        return f'<li class="cell cell-written">{state}{name}{question}</li>'

    parts = []
    for roman, (part, chapters) in zip(ROMAN, COURSE.items(), strict=True):
        cells = "".join(map(cell, chapters))
        label = f'<span class="part-label">Part {roman}: {escape(part)}</span>'
        parts.append(f'<li class="part">{label}<ol class="cells">{cells}</ol></li>')
    network = f'<ol class="course-map">{"".join(parts)}</ol>'
    translator.body.append(f'{LEGEND}<div class="course-map-frame">{network}</div>')
    raise nodes.SkipNode


def number_figures(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Give figures and the like numbers within their chapter, 2.1, 2.2, ..., as in a book."""
    for page, kinds in env.toc_fignumbers.items():
        match = CHAPTER_PAGE.match(page)
        if not match:
            continue
        for numbers in kinds.values():
            ordered = sorted(numbers, key=numbers.__getitem__)
            numbers.update(
                {name: (int(match[1]), place) for place, name in enumerate(ordered, start=1)}
            )
    return []


def setup(app: Sphinx) -> None:
    """Register the map and the numbers."""
    app.add_node(course_map, html=(visit_course_map, None))
    app.add_directive("course-map", CourseMap)
    # After Sphinx's own collectors, which number through the whole book.
    app.connect("env-get-updated", number_figures, priority=900)
