"""Autograd's graph as data: its nodes in order, who consumes what, and where routes meet again.

Backward, gradients flow from the loss to the leaves along `next_functions`. A *tensor* of the forward pass is a pair
(node that made it, number of its output); its *consumers* are the nodes that received it, each with the slot it came
in by. Everything is iterative: a 1,000-layer net has ten thousand nodes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, reduce
from typing import Any, TypeAlias

from torch.autograd.function import BackwardCFunction

from gradpath.flow._operations import Operation, operation_name, said

Node: TypeAlias = Any  # torch.autograd.graph.Node; the engine's nodes do not share a Python base class
Made: TypeAlias = tuple[Node, int]
"""A tensor of the forward pass: the node that made it and the number of its output."""
Use: TypeAlias = tuple[Node, int]
"""One use of a tensor: the consumer and the slot by which it came in."""

ACCUMULATE = "torch::autograd::AccumulateGrad"


@dataclass
class Graph:
    """All nodes behind one loss. `nodes` starts at the loss: each comes after all its consumers."""

    root: Node
    anchors: frozenset[Node] = frozenset()
    """Nodes known to be activations, not computations on parameters (outputs of modules, inputs)."""
    writes: dict[Node, Any] = field(default_factory=dict)
    """What is known of in-place operations on views (`_writes.py`)."""
    operations: Mapping[str, Operation] = field(default_factory=dict)
    """What the caller says that operations are."""
    nodes: list[Node] = field(init=False)
    uses: dict[Made, list[Use]] = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = _topological(self.root)
        self.uses = defaultdict(list)
        for node in self.nodes:
            for slot, (source, output) in enumerate(node.next_functions):
                if source is not None:
                    self.uses[source, output].append((node, slot))

    @cached_property
    def activations(self) -> set[Node]:
        """Nodes downstream of an activation; the others only prepare parameters (a transpose, a cast, a norm of
        weights). A weighted operation with an input that needs no gradient has met the data."""
        found: set[Node] = set()
        for node in reversed(self.nodes):
            sources = [source for source, _ in node.next_functions]
            if node in self.anchors or any(s in found for s in sources) or meets_data(node):
                found.add(node)
        return found

    @cached_property
    def parametric(self) -> set[Node]:
        """Activation nodes that a parameter enters, directly or through its preparation; frozen weights included."""
        prepared = set(self.nodes) - self.activations
        return {
            n
            for n in self.activations
            if any(s in prepared for s, _ in n.next_functions if s is not None) or _has_frozen_weight(n)
        }

    def said(self, node: Node) -> Operation | None:
        """What the caller, or a library's own Function, says that a node is; None where nothing is said."""
        if not self.operations and not isinstance(node, BackwardCFunction):
            return None
        return said(node, self.operations, operation(node))

    def is_layer(self, node: Node) -> bool:
        """A layer of weights: a weighted operation that a parameter enters, or what is said to be one."""
        told = self.said(node)
        return told == "layer" or (told is None and is_weighted(node) and node in self.parametric)

    def behind(self, *nodes: Node) -> set[Node]:
        """The nodes and all that their gradients reach."""
        seen, stack = set(nodes), list(nodes)
        while stack:
            for source, _ in stack.pop().next_functions:
                if source is not None and source not in seen:
                    seen.add(source)
                    stack.append(source)
        return seen

    @cached_property
    def _dominators(self) -> tuple[dict[Node, Node], dict[Node, int]]:
        """Immediate dominator and its depth for each node, seen from the loss: forward, the post-dominator."""
        above: dict[Node, Node] = {self.root: self.root}
        depth = {self.root: 0}
        consumers: dict[Node, list[Node]] = defaultdict(list)
        for node in self.nodes:
            if node is not self.root:
                above[node] = reduce(lambda a, b: _common(above, depth, a, b), consumers.pop(node))
                depth[node] = depth[above[node]] + 1
            for source, _ in node.next_functions:
                if source is not None:
                    consumers[source].append(node)
        return above, depth

    def meeting(self, made: Made) -> Node:
        """Where all routes from a tensor to the loss meet again for the first time."""
        return self.meeting_of(self.uses[made])

    def meeting_of(self, uses: Iterable[Use]) -> Node:
        """Where all routes that begin with these uses meet for the first time."""
        above, depth = self._dominators
        return reduce(lambda a, b: _common(above, depth, a, b), [consumer for consumer, _ in uses])

    def common_to_routes(self, made: Made, end: Node) -> set[Node]:
        """The nodes that all routes from a tensor to the loss pass, up to the first of them that is `end` or later."""
        above, depth = self._dominators
        node = self.meeting(made)
        passed = {node}
        while depth[node] > depth.get(end, 0):
            node = above[node]
            passed.add(node)
        return passed

    @cached_property
    def position(self) -> dict[Node, int]:
        """Place of each node in `nodes`: 0 is the loss, a node's consumers have smaller numbers."""
        return {node: i for i, node in enumerate(self.nodes)}

    def forks(self) -> Iterator[Made]:
        """Tensors with several consumers, in the order of the forward pass."""
        made = [(node, output) for (node, output), uses in self.uses.items() if len(uses) > 1]
        yield from sorted(made, key=lambda m: (-self.position[m[0]], m[1]))

    def splits(self) -> Iterator[Node]:
        """Operations that split a tensor in parts, two or more of which are used, in the order of the forward pass."""
        for node in reversed(self.nodes):
            if operation(node) in _SPLITS and len({part_of(use) for use in self.uses_of_node[node]}) > 1:
                yield node

    def route(self, starts: Iterable[Node], end: Node, within: Container[Node] | None = None) -> Iterator[Node]:
        """The nodes from consumers of a tensor up to `end`, where its routes meet again; `end` is left out.

        Where not all routes lead to `end`, `within` holds the nodes that do."""
        stack = [node for node in starts if node is not end and (within is None or node in within)]
        seen = set(stack)
        while stack:
            node = stack.pop()
            yield node
            for consumer, _ in self.uses_of_node[node]:
                if consumer is not end and consumer not in seen and (within is None or consumer in within):
                    seen.add(consumer)
                    stack.append(consumer)

    @cached_property
    def uses_of_node(self) -> dict[Node, list[Use]]:
        """All uses of all outputs of a node."""
        uses: dict[Node, list[Use]] = defaultdict(list)
        for (node, _), found in self.uses.items():
            uses[node].extend(found)
        return uses


def is_custom(node: Node) -> bool:
    """A user's own `torch.autograd.Function`, whatever it is called; torch's own ones are known by their names."""
    if not isinstance(node, BackwardCFunction):
        return False
    return not str(getattr(node, "_forward_cls", type(node)).__module__).startswith("torch.")


def operation(node: Node) -> str:
    """What the node differentiates: 'Convolution' for 'ConvolutionBackward0'."""
    return _operation_name(str(node.name()))


_operation_name = cache(operation_name)  # a graph has thousands of nodes and few names


_SPLITS = ("Split", "SplitWithSizes", "Unbind", "UnsafeSplit", "UnsafeSplitWithSizes")  # chunk is one of them


def part_of(use: Use) -> int:
    """Which output of the node that made it a use takes."""
    return int(use[0].next_functions[use[1]][1])


_WEIGHTED = ("Convolution", "MkldnnConvolution", "Addmm", "Mm", "Bmm", "Baddbmm", "Linear", "Embedding", "Addmv", "Mv")


def is_weighted(node: Node) -> bool:
    """A convolution, a matrix product or a table look-up: what a layer of weights becomes."""
    return operation(node) in _WEIGHTED


def meets_data(node: Node) -> bool:
    """The first operation on the data: an input needs no gradient, and the operation is weighted, or makes something
    larger than what it got from parameters (data + position: broadcast over the batch)."""
    if operation(node) == "Embedding":
        return True
    sources = [(source, output) for source, output in node.next_functions if source is not None]
    if len(sources) == len(node.next_functions):
        return False
    return is_weighted(node) or elements(node, 0) > max((elements(*made) for made in sources), default=0)


def shape_of(node: Node, output: int) -> tuple[int, ...] | None:
    """Shape of a tensor that a node made; None where this version of torch does not tell."""
    if node.name() == ACCUMULATE:
        return tuple(node.variable.shape)
    metadata = getattr(node, "_input_metadata", None)
    return tuple(metadata[output].shape) if metadata else None


def elements(node: Node, output: int) -> int:
    """Elements of such a tensor; 0 where its shape is not told."""
    shape = shape_of(node, output)
    return 0 if shape is None else math.prod(shape)


def _has_frozen_weight(node: Node) -> bool:
    """A convolution always has a kernel; a matrix product with a factor that needs no gradient has a frozen one."""
    name = operation(node)
    if "Convolution" in name:
        return True
    factors = node.next_functions[1:] if name in ("Addmm", "Baddbmm", "Addmv") else node.next_functions
    return name in _WEIGHTED and any(source is None for source, _ in factors)


def _topological(root: Node) -> list[Node]:
    waiting: dict[Node, int] = defaultdict(int)
    seen, stack = {root}, [root]
    while stack:
        for node, _ in stack.pop().next_functions:
            if node is not None:
                waiting[node] += 1
                if node not in seen:
                    seen.add(node)
                    stack.append(node)
    order, ready = [], [root]
    while ready:
        order.append(ready.pop())
        for node, _ in order[-1].next_functions:
            if node is not None:
                waiting[node] -= 1
                if not waiting[node]:
                    ready.append(node)
    return order


def _common(above: dict[Node, Node], depth: dict[Node, int], a: Node, b: Node) -> Node:
    """Lowest common ancestor in the dominator tree."""
    while a is not b:
        if depth[a] < depth[b]:
            b = above[b]
        else:
            a = above[a]
    return a
