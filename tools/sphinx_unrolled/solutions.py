"""The page of solutions, made from the exercises of the package."""

import inspect
import re
from collections.abc import Iterable
from itertools import groupby

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

from sphinx_unrolled.course import chapter_titled
from unrolled.exercises import Exercise, catalogue


def label_of(exercise_id: str) -> str:
    """Give the label that an exercise has in its chapter: `exercise-02-1` for "02.1"."""
    return "exercise-" + exercise_id.replace(".", "-")


class fold(nodes.General, nodes.Element):  # noqa: N801 - docutils names nodes so
    """A part of the page that the reader opens."""


def visit_fold(translator: HTML5Translator, node: fold) -> None:
    """Open an HTML `<details>`, as folded answers in the chapters have it."""
    summary = translator.encode(node["summary"])
    translator.body.append(f"<details><summary>{summary}</summary>\n")


def depart_fold(translator: HTML5Translator, node: fold) -> None:
    """Close it."""
    translator.body.append("</details>\n")


class ExerciseSolutions(SphinxDirective):
    """`{exercise-solutions}`: for each chapter and exercise a folded solution and its mistakes."""

    def run(self) -> list[nodes.Node]:
        """Build one section a chapter."""
        found = list(catalogue().values())
        for exercise in found:
            self.env.note_dependency(inspect.getfile(exercise.solution))
        return [
            self._chapter(int(number), group)
            for number, group in groupby(found, key=lambda exercise: exercise.chapter)
        ]

    def _chapter(self, number: int, group: Iterable[Exercise]) -> nodes.section:
        chapter = chapter_titled(number)
        section = nodes.section(ids=[f"solutions-{number:02}"])
        section += nodes.title("", f"Chapter {number}: {chapter.title}")
        section += [self._exercise(exercise) for exercise in group]
        return section

    def _exercise(self, exercise: Exercise) -> nodes.section:
        section = nodes.section(ids=["solution-" + exercise.id.replace(".", "-")])
        section += nodes.title("", f"{exercise.id} {exercise.title}")
        section += nodes.paragraph("", "", self._reference(exercise))
        section += _folded("Solution", [_python(exercise.source)])
        mistakes = nodes.definition_list()
        for mistake in exercise.mistakes:
            answer = nodes.paragraph("", "", *_sentence(mistake.message))
            name = nodes.term("", mistake.name.capitalize())
            mistakes += nodes.definition_list_item("", name, nodes.definition("", answer))
        section += _folded("Typical mistakes, and what the check answers", [mistakes])
        return section

    def _reference(self, exercise: Exercise) -> nodes.Node:
        reference = addnodes.pending_xref(
            "",
            nodes.inline("", "Read the exercise in its chapter"),
            refdomain="std",
            reftype="ref",
            reftarget=label_of(exercise.id),
            refdoc=self.env.docname,
            refexplicit=True,
            refwarn=True,
        )
        self.set_source_info(reference)
        return reference


def _folded(summary: str, children: list[nodes.Node]) -> fold:
    return fold("", *children, summary=summary)


def _sentence(text: str) -> list[nodes.Node]:
    """Read what stands in backticks as code, as the report of a check does."""
    parts = re.split(r"`([^`]+)`", text)
    return [
        nodes.literal("", part) if place % 2 else nodes.Text(part)
        for place, part in enumerate(parts)
    ]


def _python(source: str) -> nodes.literal_block:
    return nodes.literal_block(source, source, language="python")


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_node(fold, html=(visit_fold, depart_fold))
    app.add_directive("exercise-solutions", ExerciseSolutions)
