"""Reuse at concatenations: how much gradient each source gets back from each consumer.

A dense block may concatenate a list of features anew for each layer, or append to a running concatenation. Both have
the same normal form: *sources* are tensors that enter a concatenation and are none themselves, *consumers* are
operations that read sources, concatenated or alone, and are none themselves. Concatenations of concatenations are
seen through.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from gradpath.flow._forks import Taps
from gradpath.flow._forward import Forward
from gradpath.flow._graph import ACCUMULATE, Graph, Made, Node, Use, is_weighted, operation, shape_of
from gradpath.flow._norms import log10, norm
from gradpath.record import Reuse

_LEAST_SOURCES, _LEAST_CONSUMERS = 3, 2  # fewer is no dense block
_SAFE = (1e-15, 1e15)  # norms of single channels whose squares are far inside float32's range

Slices = list[tuple[Made, int]]
"""What a concatenation holds along its dimension: source and size, in order."""


@dataclass
class Block:
    """Concatenations that share sources, and those who read them."""

    slices: dict[Use, Slices] = field(default_factory=dict)
    """For each consumer what its input holds."""
    dims: dict[Use, int] = field(default_factory=dict)
    energies: dict[Use, np.ndarray] = field(default_factory=dict)
    """For each consumer the gradient norm of each channel that it read."""

    @property
    def sources(self) -> list[Made]:
        return list(dict.fromkeys(source for slices in self.slices.values() for source, _ in slices))


class ReuseMeter:
    """Finds the blocks of one graph, then measures them during a backward pass."""

    def __init__(self, forward: Forward) -> None:
        self.forward = forward
        self.blocks = [
            block
            for block in find_blocks(forward.graph)
            if len(block.sources) >= _LEAST_SOURCES and len(block.slices) >= _LEAST_CONSUMERS
        ]

    def attach(self, taps: Taps) -> None:
        for block in self.blocks:
            for use in block.slices:
                taps.add(use, partial(_arrive, block, use))

    def finish(self) -> tuple[Reuse, ...]:
        return tuple(self._record(block) for block in self.blocks)

    def _record(self, block: Block) -> Reuse:
        sources, consumers = block.sources, list(block.slices)
        row = {source: i for i, source in enumerate(sources)}
        norms: list[list[float | None]] = [[None] * len(consumers) for _ in sources]
        weights: list[list[float | None]] = [[None] * len(consumers) for _ in sources]
        for column, use in enumerate(consumers):
            read = _mean_weights(self.forward.graph, use, sum(size for _, size in block.slices[use]))
            for source, part in _parts(block.slices[use]):
                if use in block.energies:
                    norms[row[source]][column] = log10(float(np.linalg.norm(block.energies[use][part])))
                if read is not None:
                    weights[row[source]][column] = float(read[part].mean())
        return Reuse(
            sources=tuple(self.forward.name(node) for node, _ in sources),
            consumers=tuple(self.forward.name(node) for node, _ in consumers),
            log10_norms=tuple(map(tuple, norms)),
            mean_weights=tuple(map(tuple, weights)),
        )


def find_blocks(graph: Graph) -> Iterator[Block]:
    """Groups of concatenations with common sources, in the order of the forward pass."""
    held: dict[Node, Slices] = {}
    group: dict[Made, Made] = {}  # union-find over sources

    def root(made: Made) -> Made:
        while group.setdefault(made, made) != made:
            made = group[made]
        return made

    for node in reversed(graph.nodes):
        slices = _slices(node, held) if operation(node) == "Cat" and node in graph.activations else None
        if slices is not None:
            held[node] = slices
            for source, _ in slices:
                group[root(source)] = root(slices[0][0])
    blocks: dict[Made, Block] = defaultdict(Block)
    for node, slices in held.items():
        block, dim = blocks[root(slices[0][0])], _dim(node)
        assert dim is not None, "a concatenation that is held has a dimension"
        alone = [(source, [(source, size)]) for source, size in slices]  # a source may also be read by itself
        for made, what in [*alone, ((node, 0), slices)]:
            for use in graph.uses[made]:
                if use[0] not in held or _dim(use[0]) != dim:
                    block.slices[use], block.dims[use] = what, dim
    yield from blocks.values()


def _slices(node: Node, held: dict[Node, Slices]) -> Slices | None:
    """What a concatenation holds, seen through those it concatenates; None where a part's size is not known."""
    found: Slices = []
    dim = _dim(node)
    if dim is None:
        return None
    for made in node.next_functions:
        if made[0] in held and _dim(made[0]) == dim:
            found += held[made[0]]
        elif made[0] is not None and (shape := shape_of(*made)) is not None:
            found.append((made, shape[dim]))
        else:
            return None
    return found


def _dim(node: Node) -> int | None:
    """The dimension of a concatenation, counted from the front; None where this version of torch does not tell."""
    dim = int(node._saved_dim)
    if dim < 2**62:
        return dim
    shape = shape_of(node, 0)
    return None if shape is None else dim - 2**64 + len(shape)


def _parts(slices: Slices) -> Iterator[tuple[Made, slice]]:
    starts = np.cumsum([0, *(size for _, size in slices)]).tolist()
    for (source, _), (start, end) in zip(slices, pairwise(starts), strict=True):
        yield source, slice(start, end)


def _arrive(block: Block, use: Use, gradient: Tensor) -> None:
    block.energies[use] = _norms_along(gradient.detach(), block.dims[use])


def _norms_along(gradient: Tensor, dim: int) -> np.ndarray:
    """‖·‖₂ of each slice along one dimension."""
    others = [d for d in range(gradient.dim()) if d != dim]
    norms = torch.linalg.vector_norm(gradient, dim=others).double() if others else gradient.abs().double()
    largest = float(norms.max()) if norms.numel() else 0.0
    if _SAFE[0] < largest < _SAFE[1]:
        return norms.cpu().numpy()
    return np.array([norm(part) for part in gradient.unbind(dim)])


def _mean_weights(graph: Graph, use: Use, channels: int) -> np.ndarray | None:
    """Mean |w| per input channel of the weights that a consumer's reading goes through (Huang et al. 2017, Fig. 5)."""
    node: Node = use[0]
    while not (is_weighted(node) and node in graph.parametric):
        uses = graph.uses_of_node[node]
        if len(uses) != 1:
            return None
        node = uses[0][0]
    for source, _ in node.next_functions:
        weight = _parameter(source)
        if weight is not None and weight.dim() > 1 and weight.shape[1] == channels:
            return weight.detach().abs().transpose(0, 1).flatten(1).mean(1).double().cpu().numpy()
    return None


def _parameter(node: Node | None) -> Tensor | None:
    """The parameter behind a node: itself, or seen through a transpose."""
    while node is not None and operation(node) in ("T", "Transpose", "ToCopy", "View"):
        node = node.next_functions[0][0]
    return node.variable if node is not None and str(node.name()) == ACCUMULATE else None
