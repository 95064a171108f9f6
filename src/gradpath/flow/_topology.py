"""The graph behind a loss as a record: which operation lies where, and who feeds whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from gradpath.flow._forward import Forward
from gradpath.flow._graph import ACCUMULATE, Graph, Node, Use, operation, shape_of
from gradpath.flow._routes import is_opaque
from gradpath.flow._scopes import Entered
from gradpath.record import Graph as GraphRecord
from gradpath.record import GraphEdges, GraphNodes, ModuleCalls

_T = TypeVar("_T")

MOST_NODES = 20_000
"""Above it a graph is not recorded: no display shows that much, and the file would have 4 MB more."""


def record_graph(forward: Forward, most: int = MOST_NODES) -> GraphRecord | None:
    """The activation graph of a pass. None, with a note in the pass, where it has more nodes than `most`."""
    graph = forward.graph
    count = len(graph.activations)
    if count > most:
        forward.notes.append(f"the graph has {count:,} operations, more than {most:,}: it is not kept in the record")
        return None
    nodes = _in_order(graph)
    calls = _Calls(forward, nodes)
    names, shapes = _Table[str](), _Table[tuple[int, ...]]()
    return GraphRecord(
        nodes=GraphNodes(
            operation=tuple(names.index(_name(node)) for node in nodes),
            scope=calls.scope,
            layer=calls.layer,
            shape=tuple(-1 if (shape := shape_of(node, 0)) is None else shapes.index(shape) for node in nodes),
        ),
        operations=names.entries,
        shapes=shapes.entries,
        calls=calls.record,
        opaque=tuple(i for i, node in enumerate(nodes) if is_opaque(node, graph)),
        edges=_edges(graph, nodes, {use: (i, j) for i, p in enumerate(forward.plans) for j, use in enumerate(p.uses)}),
    )


def _in_order(graph: Graph) -> list[Node]:
    """Activation nodes in the order in which they were made; where these numbers contradict the graph (a forward pass
    on several threads, a view that was rebuilt), in an order of the graph's own."""
    found = [node for node in reversed(graph.nodes) if node in graph.activations]
    made = {node: -1 if str(node.name()) == ACCUMULATE else int(node._sequence_nr()) for node in found}
    late = any(
        made.get(source, -1) >= made[consumer]
        for (source, _), uses in graph.uses.items()
        if source in made
        for consumer, _ in uses
    )
    return found if late else sorted(found, key=made.__getitem__)


def _name(node: Node) -> str:
    return "Input" if str(node.name()) == ACCUMULATE else operation(node)


def _edges(graph: Graph, nodes: list[Node], forks: dict[Use, tuple[int, int]]) -> GraphEdges:
    place = {node: i for i, node in enumerate(nodes)}
    found = sorted(
        (place[consumer], slot, place[made[0]], *forks.get((consumer, slot), (-1, -1)))
        for made, uses in graph.uses.items()
        if made[0] in place
        for consumer, slot in uses
    )
    return GraphEdges(
        source=tuple(edge[2] for edge in found),
        target=tuple(edge[0] for edge in found),
        fork=tuple(edge[3] for edge in found),
        edge=tuple(edge[4] for edge in found),
    )


class _Calls:
    """Module calls that hold nodes, and for each node its call and its layer."""

    def __init__(self, forward: Forward, nodes: list[Node]) -> None:
        scopes = forward.meter.scopes
        within = [scopes.call_of(node) for node in nodes]
        kept = sorted(set(_with_parents(within, scopes.entered)))
        number = {old: new for new, old in enumerate(kept)} | {-1: -1}
        classes = {name: type(module).__name__ for name, module in forward.model.named_modules()}
        entered = [scopes.entered[old] for old in kept]
        self.record = ModuleCalls(
            name=tuple(call.name for call in entered),
            call=tuple(call.call for call in entered),
            module=tuple(classes.get(call.name, "") for call in entered),
            parent=tuple(number[call.parent] for call in entered),
        )
        layers = {(call.scope, call.number): i for i, call in enumerate(forward.meter.calls) if not call.holds_layers}
        of_call = [layers.get((call.name, call.call), -1) for call in entered]
        self.scope = tuple(number[i] for i in within)
        self.layer = tuple(-1 if i < 0 else of_call[i] for i in self.scope)


def _with_parents(calls: Iterable[int], entered: Sequence[Entered]) -> Iterator[int]:
    """These calls and all that they lie in, each once."""
    seen = {-1}
    for call in calls:
        while call not in seen:
            seen.add(call)
            yield call
            call = entered[call].parent


class _Table(dict[_T, int]):
    """Values, each once, by the order in which they first came."""

    def index(self, value: _T) -> int:
        return self.setdefault(value, len(self))

    @property
    def entries(self) -> tuple[_T, ...]:
        return tuple(self)
