"""Each edge at its level: the deepest group that holds both its ends; on the way there, ports and outs of the groups
that it leaves and enters."""

from __future__ import annotations

from dataclasses import dataclass, field

from gradpath.report._layout._tree import Child, Tree

OUTSIDE = -1
"""Instead of a position: what lies outside of the group."""


@dataclass
class Strand:
    """What leaves one node inside one group: position where it begins → positions where it ends, with their edges."""

    begin: int
    ends: dict[int, list[int]] = field(default_factory=dict)


@dataclass
class Wiring:
    """A group's ports, outs and wires."""

    ports: dict[int, int] = field(default_factory=dict)
    """Node outside → number of the port."""
    outs: dict[int, int] = field(default_factory=dict)
    """Node inside → number of the out."""
    strands: dict[int, Strand] = field(default_factory=dict)
    """By node."""

    def join(self, node: int, begin: int, end: int, edge: int) -> None:
        self.strands.setdefault(node, Strand(begin)).ends.setdefault(end, []).append(edge)


def lift(tree: Tree) -> dict[int, Wiring]:
    """The wiring of every group of a linked tree."""
    found = {group: Wiring() for group in tree.order}
    edges = tree.graph.edges
    for edge, (source, target) in enumerate(zip(edges.source, edges.target, strict=True)):
        a: Child = source
        b: Child = target
        above, below = tree.place[a][0], tree.place[b][0]
        while above != below:
            if tree.depth[above] > tree.depth[below]:
                wiring = found[above]
                wiring.outs.setdefault(source, len(wiring.outs))
                wiring.join(source, tree.place[a][1], OUTSIDE, edge)
                a, above = ~above, tree.parent[above]
            else:
                wiring = found[below]
                wiring.ports.setdefault(source, len(wiring.ports))
                wiring.join(source, OUTSIDE, tree.place[b][1], edge)
                b, below = ~below, tree.parent[below]
        found[above].join(source, tree.place[a][1], tree.place[b][1], edge)
    return found
