"""Groups of one structure side by side become a repeat; long rows are cut into parts.

Two neighbours are alike when they hold the same operations, joined in the same way, put out the same resolution, and
are fed alike: from the same distance before them, or from the same tensor. So blocks of a stage are alike whatever
their widths, stages are not, nor the layers of a dense block that have one source more each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradpath.report._layout._lift import OUTSIDE, lift
from gradpath.report._layout._tree import Branch, Child, Tree

FEWEST = 3
"""Members of a repeat."""
LONGEST_PERIOD = 12
"""Items in one period of a repeat."""
LONGEST_ROW = 120
"""Items in a group; a group of more is cut into parts."""

Fed = tuple[int, int, int]
"""Distance to the sibling that feeds (0: from outside), which of its outs, and the node itself."""


def fold(tree: Tree) -> None:
    """Put repeats and parts into a linked tree, and link it again."""
    likeness = _Likeness(tree)
    for group in tree.order:
        branch = tree.branches[group]
        branch.children = list(_folded(tree, branch, likeness))
        _cut(tree, branch)
    _merge_lonely(tree)
    tree.link()


class _Likeness:
    """What each child is and how it is fed."""

    def __init__(self, tree: Tree) -> None:
        self.tree, self.wirings = tree, lift(tree)
        self.fed: dict[Child, list[Fed]] = {}
        self.kind: dict[Child, int] = {}
        known: dict[object, int] = {}
        for node, operation in enumerate(tree.graph.nodes.operation):
            self.kind[node] = known.setdefault(operation, len(known))
        for group in reversed(tree.order):
            self._feed(group)
            self.kind[~group] = known.setdefault(self._structure(group), len(known))

    def _feed(self, group: int) -> None:
        """Note how each child of a group is fed, in the order of its inputs."""
        wiring, children = self.wirings[group], self.tree.branches[group].children
        fed: list[list[tuple[int, Fed]]] = [[] for _ in children]
        for node, strand in wiring.strands.items():
            source = OUTSIDE if strand.begin == OUTSIDE else children[strand.begin]
            out = 0 if source >= 0 or strand.begin == OUTSIDE else self.wirings[~source].outs[node]
            for end, edges in strand.ends.items():
                if end != OUTSIDE:
                    distance = 0 if strand.begin == OUTSIDE else end - strand.begin
                    fed[end] += [(edge, (distance, out, node)) for edge in self._inputs(children[end], node, edges)]
        for child, found in zip(children, fed, strict=True):
            self.fed[child] = [one for _, one in sorted(found)]

    def _inputs(self, child: Child, node: int, edges: list[int]) -> list[int]:
        """By which a child's inputs are sorted: a node's edges, a group's port."""
        return edges if child >= 0 else [self.wirings[~child].ports[node]]

    def _structure(self, group: int) -> object:
        """Equal for groups that hold the same operations joined in the same way."""
        wiring = self.wirings[group]
        parts = tuple(
            (
                self.kind[child],
                tuple((d, out) if d else (0, wiring.ports[node]) for d, out, node in self.fed[child]),
            )
            for child in self.tree.branches[group].children
        )
        return parts, tuple(wiring.strands[node].begin for node in wiring.outs)

    def alike(self, one: Child, other: Child) -> bool:
        """Whether `other` is what `one` is and is fed as it is."""
        return self._same(one, other) and all(
            a[2] == b[2] or (a[0] and a[:2] == b[:2]) for a, b in zip(self.fed[one], self.fed[other], strict=True)
        )

    def starts(self, one: Child, other: Child, at: int, period: int) -> bool:
        """Whether `one`, child number `at` of the first period, is as `other` in the second: what comes to `one` from
        before the repeat (or from an input, which has no node) may come to `other` from the period between."""
        between = [0 < b[0] <= at + period for b in self.fed[other]]
        if not self.fed[one] and self.kind[one] == self.kind[other]:
            return all(between)
        return self._same(one, other) and all(
            a[2] == b[2] or (a[0] and a[:2] == b[:2]) or ((not a[0] or a[0] > at) and from_between)
            for a, b, from_between in zip(self.fed[one], self.fed[other], between, strict=True)
        )

    def _same(self, one: Child, other: Child) -> bool:
        return (
            self.kind[one] == self.kind[other]
            and len(self.fed[one]) == len(self.fed[other])
            and self._resolution(one) == self._resolution(other)
        )

    def _resolution(self, child: Child) -> list[tuple[int, ...]]:
        """Of what it puts out: N C H W → (H, W), N L C → (L,)."""
        graph = self.tree.graph
        nodes = [child] if child >= 0 else self.wirings[~child].outs
        shapes = [graph.shapes[i] if (i := graph.nodes.shape[node]) >= 0 else () for node in nodes]
        return [shape[2:] if len(shape) > 3 else shape[1:2] if len(shape) == 3 else () for shape in shapes]


def _folded(tree: Tree, branch: Branch, likeness: _Likeness) -> Iterator[Child]:
    """The children of a group, repeats put together."""
    children = branch.children
    lengths = {p: _alike_for(children, p, likeness) for p in range(1, min(LONGEST_PERIOD, len(children) // 2) + 1)}
    worth = _next_worth(tree, children)
    at = 0
    while at < len(children):
        counts = {p: _count(children, at, p, lengths[p], likeness) for p in lengths if worth[at] < at + p}
        covered, period = max(((p * n, -p) for p, n in counts.items() if n >= FEWEST), default=(0, 0))
        if not covered:
            yield children[at]
            at += 1
            continue
        yield _repeat(tree, children[at : at + covered], -period)
        at += covered


def _alike_for(children: list[Child], period: int, likeness: _Likeness) -> list[int]:
    """For each position, for how many children on from there each is like the one a period later."""
    lengths = [0] * (len(children) + 1)
    for i in range(len(children) - period - 1, -1, -1):
        lengths[i] = lengths[i + 1] + 1 if likeness.alike(children[i], children[i + period]) else 0
    return lengths


def _count(children: list[Child], at: int, period: int, lengths: list[int], likeness: _Likeness) -> int:
    """Periods from `at` on; 0 where the first is followed by no second."""
    second = at + period
    window = zip(children[at:second], children[second : second + period], strict=False)
    if second + period > len(children) or not all(
        likeness.starts(one, other, i, period) for i, (one, other) in enumerate(window)
    ):
        return 0
    return lengths[second] // period + 2


def _next_worth(tree: Tree, children: list[Child]) -> list[int]:
    """For each position, the next one of a group or of a layer: a row of operations without any is no repeat."""
    found = [len(children)] * (len(children) + 1)
    for i in range(len(children) - 1, -1, -1):
        child = children[i]
        found[i] = i if child < 0 or tree.graph.nodes.layer[child] >= 0 else found[i + 1]
    return found


def _repeat(tree: Tree, children: list[Child], period: int) -> Child:
    """A repeat of groups; a period of several children becomes a part."""
    members = children
    if period > 1:
        members = [_part(tree, children[i : i + period]) for i in range(0, len(children), period)]
    module = tree.branches[~members[0]].module if members[0] < 0 else ""
    return tree.add(Branch("repeat", _span(tree, members), module, children=members))


def _part(tree: Tree, children: list[Child]) -> Child:
    return tree.add(Branch("part", _span(tree, children), children=children))


def _span(tree: Tree, children: list[Child]) -> str:
    """'a.0 … a.8': from the first name to the last."""
    names = [name for name in (name_of(tree, child) for child in children) if name]
    ends = [part for name in (names[:1] + names[-1:]) for part in name.split(" … ")]
    return " … ".join(dict.fromkeys([*ends[:1], *ends[-1:]]))


def name_of(tree: Tree, child: Child) -> str:
    """A group's name, or that of the module that a node stands for."""
    return tree.branches[~child].name if child < 0 else tree.names.get(child, "")


def _cut(tree: Tree, branch: Branch) -> None:
    while len(branch.children) > LONGEST_ROW:
        size = min(max(math.isqrt(len(branch.children)), 2), LONGEST_ROW)
        children = branch.children
        branch.children = [_part(tree, children[i : i + size]) for i in range(0, len(children), size)]


def _merge_lonely(tree: Tree) -> None:
    """A group whose only item is a repeat of its members is that repeat, under the group's own name."""
    for branch in tree.branches[1:]:
        only = branch.children[0] if len(branch.children) == 1 else 0
        if only < 0 and tree.branches[~only].kind == "repeat" and branch.kind in ("module", "path"):
            inner = tree.branches[~only]
            branch.kind, branch.module, branch.children = "repeat", inner.module, inner.children
            inner.children = []
