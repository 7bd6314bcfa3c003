"""What a drawing of a cell is made of: a table of nodes, and wires between them.

Parts can be taken out of a table, so that a drawing grows from figure to figure.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from .canvas import Point, text_width

# In inches.
BOX_HEIGHT = 0.40
OPERATOR = 0.28


@dataclass(frozen=True)
class Node:
    """Something that wires lead to.

    `kind` is a box (a matrix or a function), an operator (a small circle), a dot (where a wire
    branches) or an end (where a wire enters or leaves the cell: only its label is seen; what comes
    from the step before is called after what this step makes of it, as `h before` after `h`).
    `part` is the name by which `highlight` and `without` find it. `shape` stands below the label of
    an end, or, where the wire goes up, beside it. `gradient` says by what a box multiplies
    gradients, or what a weight gets of them: it stands above the box, or, where a wire goes up, on
    its left.
    """

    name: str
    kind: Literal["box", "operator", "dot", "end"]
    at: Point
    label: str = ""
    role: str = "ink"
    part: str = ""
    shape: str = ""
    gradient: str = ""

    @property
    def half(self) -> Point:
        """Half of its width and of its height, in inches: where wires stop."""
        if self.kind == "box":
            return (max(0.5, text_width(self.label) + 0.2) / 2, BOX_HEIGHT / 2)
        if self.kind == "operator":
            return (OPERATOR / 2, OPERATOR / 2)
        if self.kind == "end":
            return (text_width(self.label) / 2 + 0.07, 0.14)
        return (0.0, 0.0)


@dataclass(frozen=True)
class Wire:
    """A line from a node to a node, along an axis between its corners; an arrow unless to a dot.

    `label` stands above the middle of its first stretch, or on its right if that goes up.
    `gradient` is what flows back along it, where gradients are drawn.
    """

    start: str
    end: str
    part: str
    role: str = "ink"
    corners: tuple[Point, ...] = ()
    label: str = ""
    gradient: str = ""


@dataclass(frozen=True)
class Cell:
    """A kind of cell: two corners of the frame around its inside, its nodes and its wires."""

    frame: tuple[Point, Point]
    nodes: tuple[Node, ...]
    wires: tuple[Wire, ...]

    @property
    def parts(self) -> tuple[str, ...]:
        """The names that `highlight` and `without` understand."""
        return tuple(dict.fromkeys(element.part for element in (*self.nodes, *self.wires)))

    def without(self, parts: Collection[str]) -> "Cell":
        """Return the cell without some parts, nothing of it left dangling.

        What has nothing to work on any more goes too, such as a gate whose candidate is gone; where
        nothing is left to add, to multiply by or to branch to, the wire goes straight through.
        """
        fed = {wire.end for wire in self.wires}
        nodes = {
            node.name: node
            for node in self.nodes
            if node.part not in parts or node.kind in ("operator", "dot")
        }
        wires = [wire for wire in self.wires if wire.part not in parts]
        while True:
            wires = [wire for wire in wires if wire.start in nodes and wire.end in nodes]
            idle = [name for name in nodes if _idle(nodes, wires, name, fed=name in fed)]
            if idle:
                del nodes[idle[0]]
                continue
            straight = [name for name in nodes if _straight(nodes, wires, name)]
            if not straight:
                return replace(self, nodes=tuple(nodes.values()), wires=tuple(wires))
            wires = _joined(nodes, wires, straight[0])
            del nodes[straight[0]]


def _idle(nodes: dict[str, Node], wires: list[Wire], name: str, *, fed: bool) -> bool:
    """Whether a node has lost what it needs; `fed`: wires led to it in the whole cell."""
    into = [wire for wire in wires if wire.end == name]
    out = [wire for wire in wires if wire.start == name]
    if nodes[name].kind == "end":
        made = name.removesuffix(" before")
        return not into + out or made not in nodes
    return not out or (fed and not into)


def _straight(nodes: dict[str, Node], wires: list[Wire], name: str) -> bool:
    """Whether a node has become a place through which one wire passes."""
    into = sum(wire.end == name for wire in wires)
    out = sum(wire.start == name for wire in wires)
    return nodes[name].kind in ("operator", "dot") and into == out == 1


def _joined(nodes: dict[str, Node], wires: list[Wire], name: str) -> list[Wire]:
    """Join the two wires that meet at a node into one, with a corner where it turns."""
    (into,) = [wire for wire in wires if wire.end == name]
    (out,) = [wire for wire in wires if wire.start == name]
    at = nodes[name].at
    before = [nodes[into.start].at, *into.corners][-1]
    after = [*out.corners, nodes[out.end].at][0]
    turn = () if any(a == b == c for a, b, c in zip(before, at, after, strict=True)) else (at,)
    whole = replace(
        into,
        end=out.end,
        corners=(*into.corners, *turn, *out.corners),
        label=into.label or out.label,
    )
    return [whole if wire is into else wire for wire in wires if wire is not out]
