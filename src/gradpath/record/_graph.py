"""The model's graph: the operations that a gradient passes, the module calls that made them, the edges between them.

Everything is in columns: entry i of each tuple is node i (edge i, call i). A net of 3,000 operations and 12,000 edges
takes 0.9 MB of JSON that way, a tenth of what an object for each would take.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradpath.errors import UserError
from gradpath.record._base import Record

NONE = -1
"""In a column of indices: there is none."""


@dataclass(frozen=True, kw_only=True)
class ModuleCalls(Record):
    """Calls of modules that made a node or hold one that did, in the order in which they began: a forest."""

    name: tuple[str, ...] = ()
    """As in `model.named_modules()`; '' is the model itself."""
    call: tuple[int, ...] = ()
    """0 for the first call of this module in the pass, 1 for the second …"""
    module: tuple[str, ...] = ()
    """Class name, e.g. 'Bottleneck'."""
    parent: tuple[int, ...] = ()
    """Index of the call that it lies in, which is smaller; -1: called from outside of the model."""


@dataclass(frozen=True, kw_only=True)
class GraphNodes(Record):
    """Operations on activations, in the order in which they ran: a node comes after all its sources."""

    operation: tuple[int, ...] = ()
    """Index into `Graph.operations`."""
    scope: tuple[int, ...] = ()
    """Index into `Graph.calls`: the innermost module call that made it; -1: outside of the model (a loss)."""
    layer: tuple[int, ...] = ()
    """Index into `Flow.layers`: the layer that it is part of; -1: of none. What calls layers itself (a transformer that
    owns a class token) is none here: its operations are not all near that parameter."""
    shape: tuple[int, ...] = ()
    """Index into `Graph.shapes`, of its first output; -1: this version of torch does not tell."""


@dataclass(frozen=True, kw_only=True)
class GraphEdges(Record):
    """Which node uses what which node made: one entry for each use, ordered by consumer, then by its inputs."""

    source: tuple[int, ...] = ()
    """Node, smaller than `target`."""
    target: tuple[int, ...] = ()
    fork: tuple[int, ...] = ()
    """Index into `Flow.forks` of the tensor that is used; -1: this is its only use."""
    edge: tuple[int, ...] = ()
    """Index into that fork's edges: kind, share and norm stand there; -1 without a fork."""


@dataclass(frozen=True, kw_only=True)
class Graph(Record):
    """The activation graph of one pass. Raises UserError where its columns do not fit together."""

    operations: tuple[str, ...]
    """Names of operations: 'Convolution', 'Relu' …; an input that needs a gradient is an 'Input'."""
    shapes: tuple[tuple[int, ...], ...]
    calls: ModuleCalls
    nodes: GraphNodes
    opaque: tuple[int, ...]
    """Nodes whose inside autograd does not show."""
    edges: GraphEdges

    def __post_init__(self) -> None:
        size, calls = len(self.nodes.operation), len(self.calls.name)
        _check_columns("calls", self.calls, calls)
        _check_columns("nodes", self.nodes, size)
        _check_columns("edges", self.edges, len(self.edges.source))
        _check_range("nodes.operation", self.nodes.operation, 0, len(self.operations))
        _check_range("nodes.scope", self.nodes.scope, NONE, calls)
        _check_range("nodes.shape", self.nodes.shape, NONE, len(self.shapes))
        _check_range("opaque", self.opaque, 0, size)
        _check_range("edges.source", self.edges.source, 0, size)
        _check_range("edges.target", self.edges.target, 0, size)
        if any(s >= t for s, t in zip(self.edges.source, self.edges.target, strict=True)):
            raise UserError("graph: an edge leads to an earlier node, or to its own")
        if any(not NONE <= parent < i for i, parent in enumerate(self.calls.parent)):
            raise UserError("graph: a module call lies in a later one")

    def __len__(self) -> int:
        """Number of nodes."""
        return len(self.nodes.operation)

    def __repr__(self) -> str:
        return f"Graph({len(self)} operations, {len(self.edges.source)} edges, {len(self.calls.name)} module calls)"


def _check_columns(name: str, table: Record, size: int) -> None:
    if any(len(column) != size for column in vars(table).values()):
        raise UserError(f"graph: the columns of its {name} differ in length")


def _check_range(name: str, column: tuple[int, ...], least: int, end: int) -> None:
    if column and not (least <= min(column) and max(column) < end):
        raise UserError(f"graph: {name} names what it does not hold")
