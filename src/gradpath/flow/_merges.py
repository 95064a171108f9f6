"""Where a skip meets its branch although not all routes of the fork do.

An auxiliary loss on a branch (the router of a mixture of experts), a head at every block (deep supervision), a second
stream (RevNet, an LSTM's state): some route leaves for good, and all routes meet at the loss alone. The skip and the
branch still meet in an add before. Looked for only where the post-dominator shows no residual fork.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import replace

from gradpath.flow._graph import Graph, Made, Node, Use, elements, operation
from gradpath.flow._routes import Passed, merge_kind

_TRIES = 4  # adds that a skip may pass without meeting a branch: more would make planning quadratic


def first_meeting(graph: Graph, made: Made) -> Node | None:
    """The first add in which a skip, gated or not, or a projection of a fork meets another of its routes."""
    found = [meeting for use in graph.uses[made] if (meeting := _meeting_of(graph, made, use)) is not None]
    return max(found, key=lambda node: graph.position[node]) if found else None


def between(graph: Graph, made: Made, end: Node) -> set[Node]:
    """The nodes on any way from a tensor to `end`, `end` included, and some that do not come from the tensor."""
    return set(_upstream(graph, made, end, set()))


def _meeting_of(graph: Graph, made: Made, use: Use) -> Node | None:
    tries = 0
    lane: set[Node] = set()
    for node, weights in _straight(graph, use[0]):
        if _is_sum(graph, node) and _is_sum_of_equals(node, made, use, lane, weights):
            if _is_reached_otherwise(graph, made, use, node, lane):
                return node
            tries += 1
            if tries == _TRIES:
                return None
        lane.add(node)
    return None


def _is_sum(graph: Graph, node: Node) -> bool:
    """A difference is none: a GRU's state meets its candidate in one, on the way to the gate and the sum behind it."""
    return operation(node) != "Sub" and merge_kind(graph, node) == "add"


def _is_sum_of_equals(node: Node, made: Made, use: Use, lane: set[Node], weights: int) -> bool:
    """Whether what comes by the lane is as large as the sum, and so is the fork unless a layer lies between: a bias
    that is spread over the batch is no skip, nor is one time step out of a sequence. Torch 2.4 does not tell sizes:
    nothing is found there."""
    sources = list(enumerate(node.next_functions))
    straight = [source for slot, source in sources if source[0] in lane or (source == made and (node, slot) == use)]
    others = sum(source[0] is not None for _, source in sources) - len(straight)
    size = elements(node, 0)
    whole = weights > 0 or elements(*made) == size
    return others > 0 and size > 0 and whole and any(elements(*source) == size for source in straight)


def _straight(graph: Graph, start: Node) -> Iterator[tuple[Node, int]]:
    """What a skip, gated or not, or a projection that begins at a node may pass, in the order of the forward pass; with
    the number of layers passed."""
    position = graph.position
    waiting, states = [-position[start]], {start: Passed()}
    while waiting:
        node = graph.nodes[-heapq.heappop(waiting)]
        passed = replace(states[node])
        if not passed.add(graph, node) or passed.kind == "branch":
            continue
        yield node, passed.weights
        for consumer, _ in graph.uses_of_node[node]:
            if consumer not in states:
                states[consumer] = passed
                heapq.heappush(waiting, -position[consumer])


def _is_reached_otherwise(graph: Graph, made: Made, use: Use, node: Node, lane: set[Node]) -> bool:
    """Whether another use of the tensor leads to a node, by a way that keeps off the lane."""
    for passed in _upstream(graph, made, node, lane):
        for slot, source in enumerate(passed.next_functions):
            if source == made and (passed, slot) != use:
                return True
    return False


def _upstream(graph: Graph, made: Made, node: Node, without: set[Node]) -> Iterator[Node]:
    """A node and those that its gradient reaches, no further than the tensor."""
    last = graph.position[made[0]]
    stack, seen = [node], {node} | without
    while stack:
        node = stack.pop()
        yield node
        for source, _ in node.next_functions:
            if source is not None and source not in seen and graph.position[source] < last:
                seen.add(source)
                stack.append(source)
