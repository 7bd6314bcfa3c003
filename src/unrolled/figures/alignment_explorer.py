"""Alignments that answer: the picture of one, and the tables of all from which a page draws.

On the site, ``assets/alignment.js`` reads the tables and draws in the place of the picture. Where
no script runs, the picture and the tables stand.
"""

from collections.abc import Mapping, Sequence
from html import escape

from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .alignment import Example, alignment, checked
from .text import visible

SUMMARY = "The weights as tables, in per cent"


class AlignmentExplorer:
    """What `alignment_explorer` returns: a picture for one cell, and tables for the cell after it.

    As the last line of a cell it shows its tables. (Picture and tables need a cell each, as the
    site gives every output of a cell the number and the caption of the cell's figure.)

    Attributes
    ----------
    figure
        The picture of the first example.
    html
        The tables of all examples, folded.
    """

    def __init__(self, figure: Figure, html: str) -> None:
        self.figure = figure
        self.html = html

    def _repr_html_(self) -> str:
        return self.html


def alignment_explorer(
    examples: Mapping[str, tuple[ArrayLike, Sequence[str], Sequence[str]]],
) -> AlignmentExplorer:
    """Draw where a decoder looked, so that a reader can ask it piece by piece.

    ``figure`` is the picture of the first example; the explorer itself, as the last line of the
    next cell, shows a folded table for each. On the site of the book the picture answers: point at
    a piece of the target, or go there with the arrow keys, and lines and grounds show what it
    looked at; at a piece of the source, and they show who looked at it.

    Parameters
    ----------
    examples
        Title: the weights, the source and the target, as `alignment` takes them.

    Returns
    -------
    AlignmentExplorer
        With the attributes ``figure`` and ``html``.

    Raises
    ------
    ValueError
        As for `alignments`.

    Examples
    --------
    >>> explorer = alignment_explorer({"one": ([[0.2, 0.8]], ["a", "b"], ["x"])})
    >>> "<td>80</td>" in explorer.html
    True
    """
    known = checked(examples)
    tables = "".join(_table(title, example) for title, example in known.items())
    html = f'<details class="alignment-tables"><summary>{SUMMARY}</summary>{tables}</details>'
    return AlignmentExplorer(alignment(*next(iter(known.values()))), html)


def _table(title: str, example: Example) -> str:
    """Write a table: a column for each piece of the source, a row for each of the target."""
    head = "".join(f'<th scope="col">{_named(piece)}</th>' for piece in example.source)
    rows = "".join(
        f'<tr><th scope="row">{_named(piece)}</th>'
        + "".join(f"<td>{100 * weight:.0f}</td>" for weight in weights)
        + "</tr>"
        for piece, weights in zip(example.target, example.weights, strict=True)
    )
    return (
        '<div class="pst-scrollable-table-container"><table>'
        f"<caption>{escape(title)}</caption>"
        f'<thead><tr><th scope="col">target</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _named(piece: str) -> str:
    return escape(visible(piece))
