"""Modules that are called several times side by side: an encoder for each frame, the two towers of a siamese net.

No call of such a module feeds another one, so its calls lie at one depth; those of a cell, or of a layer that is
iterated, lie one behind the other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache, partial, reduce
from operator import or_

from gradpath.flow._forward import Forward
from gradpath.flow._graph import Graph, Node
from gradpath.flow._scopes import Entered, Scopes


def parallel_modules(forward: Forward) -> tuple[str, ...]:
    """Modules with parameters that were called several times, and of which no call feeds another; in the order of
    their first calls."""
    entered = forward.meter.scopes.entered
    several = {name for name, calls in Counter(call.name for call in entered).items() if calls > 1}
    modules = dict(forward.model.named_modules())
    several = {name for name in several if next(modules[name].parameters(), None) is not None}
    if not several:
        return ()
    behind = _behind_themselves(forward.graph, forward.meter.scopes, several)
    parallel = {name for name in several - behind if not any(map(behind.__contains__, _around(name)))}
    return tuple(dict.fromkeys(call.name for call in entered if call.name in parallel))


def _around(name: str) -> Iterator[str]:
    """The modules that a module lies in: 'a.b' and 'a' and '' for 'a.b.c'."""
    while name:
        name = name.rpartition(".")[0]
        yield name


def _behind_themselves(graph: Graph, scopes: Scopes, names: set[str]) -> set[str]:
    """Those of some modules of which one call lies downstream of another: what was left is handed down the graph, as
    bits, and looked for where a call is entered."""
    bits = {name: 1 << i for i, name in enumerate(names)}
    calls = {node: scopes.call_of(node) for node in graph.activations}
    left = cache(partial(_left, scopes.entered, bits))
    passed: dict[Node, int] = defaultdict(int)
    met = 0
    for node in reversed(graph.nodes):
        for source, _ in node.next_functions:
            if node in calls and source in calls:
                arriving = passed[source] | left(calls[source], calls[node])
                met |= arriving & left(calls[node], calls[source])
                passed[node] |= arriving
    return {name for name, bit in bits.items() if met & bit}


def _left(entered: list[Entered], bits: dict[str, int], source: int, target: int) -> int:
    """The modules whose calls hold `source`, and not `target`, as bits."""
    chains: list[list[int]] = [[], []]
    for call, chain in zip((source, target), chains, strict=True):
        while call >= 0:
            chain.append(call)
            call = entered[call].parent
    return reduce(or_, (bits.get(entered[call].name, 0) for call in set(chains[0]) - set(chains[1])), 0)
