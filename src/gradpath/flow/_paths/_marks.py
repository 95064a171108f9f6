"""What a path length counts: edges of autograd's graph, each of which makes the paths over it one longer.

A branch counts where its gradient returns to its fork, over the edges found by `branch_uses`. Where nothing but the
branch lies between its merge and its fork, every path that enters it there leaves it here, and counting at the entrance
gives the same lengths; a length that carries too little is then turned away before the branch's work is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import GradientEdge

from gradpath.flow._forks import ForkPlan
from gradpath.flow._forward import Forward
from gradpath.flow._graph import Graph, Made, Node, Use, operation


class Reach:
    """The part of the graph through which gradient arrives at one tensor."""

    def __init__(self, graph: Graph, at: GradientEdge) -> None:
        self.graph, self.at = graph, at
        self.nodes: set[Node] = {at.node}
        stack = [consumer for consumer, _ in graph.uses[at.node, at.output_nr]]
        while stack:
            node = stack.pop()
            if node not in self.nodes:
                self.nodes.add(node)
                stack.extend(consumer for consumer, _ in graph.uses_of_node[node])

    def has(self, use: Use) -> bool:
        """Whether gradient over this edge arrives at the tensor."""
        source, output = use[0].next_functions[use[1]]
        if use[0] not in self.nodes or use[0] is self.at.node or source not in self.nodes:
            return False
        return source is not self.at.node or output == self.at.output_nr

    def has_place(self, place: GradientEdge) -> bool:
        """Whether gradient passes this tensor on its way, or it is the one where they arrive."""
        if place.node is self.at.node:
            return place.output_nr == self.at.output_nr
        return place.node in self.nodes

    def edges(self) -> Iterator[tuple[Use, Node]]:
        """All such edges with their sources, from the loss on."""
        for node in self.graph.nodes:
            if node in self.nodes:
                for slot, (source, _) in enumerate(node.next_functions):
                    if source is not None and self.has((node, slot)):
                        yield (node, slot), source

    def fewest_and_most(self, marks: Iterable[Use]) -> tuple[int, int]:
        """The fewest and the most marked edges on a path from the loss to the tensor."""
        marked = set(marks)
        found: dict[Node, tuple[int, int]] = {self.graph.root: (0, 0)}
        for use, source in self.edges():
            low, high = (n + (use in marked) for n in found[use[0]])
            before = found.get(source, (low, high))
            found[source] = (min(low, before[0]), max(high, before[1]))
        return found[self.at.node]


def made_by(use: Use) -> Made:
    """The tensor that an edge sends gradient to."""
    source, output = use[0].next_functions[use[1]]
    return source, output


_ADDED_FIRST = ("Addmm", "Baddbmm", "Addmv")  # what comes in first is added to the product


def layer_marks(reach: Reach) -> frozenset[Use]:
    """Where a gradient leaves a weighted operation towards an activation."""
    graph = reach.graph
    found = (use for use, _ in reach.edges() if graph.is_layer(use[0]))
    return frozenset((node, slot) for node, slot in found if slot or operation(node) not in _ADDED_FIRST)


@dataclass(frozen=True)
class Branch:
    """One branch of a residual fork; several uses of the fork's tensor that meet inside are one branch."""

    plan: ForkPlan
    exits: frozenset[Use]
    """Where its gradient returns to the fork."""
    nodes: frozenset[Node]
    """Its operations, up to the merge."""

    def entrances(self, reach: Reach) -> frozenset[Use]:
        """Where a gradient enters it at the merge; empty where not all that enters there returns to the fork."""
        for node in self.nodes:
            for slot, (source, _) in enumerate(node.next_functions):
                inside = source in self.nodes or (node, slot) in self.exits
                if source is not None and not inside and reach.has((node, slot)):
                    return frozenset()
        merge = self.plan.meeting
        return frozenset((merge, i) for i, (source, _) in enumerate(merge.next_functions) if source in self.nodes)


def find_branches(forward: Forward, reach: Reach) -> list[Branch]:
    """The branches of the residual forks that gradient passes on its way, in the order of the forward pass."""
    return [branch for plan in forward.plans if plan.kind == "residual" for branch in _branches(plan, reach)]


def _branches(plan: ForkPlan, reach: Reach) -> Iterator[Branch]:
    graph = reach.graph
    found: list[tuple[set[Use], set[Node]]] = []
    for use, kind in zip(plan.uses, plan.kinds, strict=True):
        if kind != "branch" or not reach.has(use):
            continue
        uses, nodes = {use}, set(graph.route([use[0]], plan.meeting))
        apart = []
        for other in found:
            if other[1].isdisjoint(nodes):
                apart.append(other)
            else:
                uses |= other[0]
                nodes |= other[1]
        found = [*apart, (uses, nodes)]
    for uses, nodes in found:
        yield Branch(plan, frozenset(uses), frozenset(nodes))


def branch_exits(branches: list[Branch]) -> frozenset[Use]:
    """The definition: a branch counts where its gradient returns to its fork."""
    return frozenset(use for branch in branches for use in branch.exits)


def branch_entrances(branches: list[Branch], reach: Reach) -> frozenset[Use]:
    """The same lengths at the tensor itself, counted at the entrances wherever that is the same."""
    marks = set(branch_exits(branches))
    for branch in branches:
        entrances = branch.entrances(reach)
        if entrances and marks.isdisjoint(entrances):
            marks = (marks - branch.exits) | entrances
    return frozenset(marks)


class BlockCalls:
    """The calls of modules of some classes in one forward pass: which of autograd's nodes each of them made.

    A call inside another one is a part of it. Autograd numbers its nodes as they are made."""

    def __init__(self, classes: tuple[type, ...]) -> None:
        self.classes = classes
        self._spans: list[tuple[int, int]] = []
        self._open: list[int] = []

    @contextmanager
    def hooked(self, model: nn.Module) -> Iterator[None]:
        """Notes calls inside the block."""
        with ExitStack() as stack:
            for module in model.modules():
                if isinstance(module, self.classes):
                    stack.callback(module.register_forward_pre_hook(self._enter).remove)
                    stack.callback(module.register_forward_hook(self._leave, always_call=True).remove)
            yield

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        self._open.append(_sequence_number())

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        begin = self._open.pop()
        if not self._open:
            self._spans.append((begin, _sequence_number()))

    def marks(self, reach: Reach) -> frozenset[Use]:
        """Where a gradient leaves one of the calls."""
        call = {node: i for i, (begin, end) in enumerate(self._spans) for node in self._made(reach, begin, end)}
        return frozenset(use for use, source in reach.edges() if use[0] in call and call[use[0]] != call.get(source))

    def count(self, marks: frozenset[Use]) -> int:
        """How many of the calls have a marked edge."""
        numbers = sorted(node._sequence_nr() for node, _ in marks)
        return sum(any(begin <= n < end for n in numbers) for begin, end in self._spans)

    def _made(self, reach: Reach, begin: int, end: int) -> Iterator[Node]:
        return (node for node in reach.nodes if begin <= node._sequence_nr() < end)


def _sequence_number() -> int:
    return int(torch.autograd._get_sequence_nr())  # type: ignore[attr-defined]
