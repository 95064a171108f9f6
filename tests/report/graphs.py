"""Invented graphs for the layout: chains, dense blocks, random ones, with module calls."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

from invented import flow

from gradpath.record import Flow, Graph, GraphEdges, GraphNodes, ModuleCalls

Calls = Sequence[tuple[str, int]]
"""Name and parent of each call."""


def graph(
    operations: Sequence[str],
    edges: Iterable[tuple[int, int]],
    calls: Calls = (),
    scopes: Sequence[int] | None = None,
    layers: Sequence[int] | None = None,
    shapes: Sequence[tuple[int, ...]] | None = None,
) -> Graph:
    size, joined = len(operations), sorted(edges, key=lambda edge: edge[::-1])
    names, known = list(dict.fromkeys(operations)), list(dict.fromkeys(shapes or ()))
    return Graph(
        operations=tuple(names),
        shapes=tuple(known),
        calls=ModuleCalls(
            name=tuple(name for name, _ in calls),
            call=(0,) * len(calls),
            module=tuple(f"Class{name.count('.')}" for name, _ in calls),
            parent=tuple(parent for _, parent in calls),
        ),
        nodes=GraphNodes(
            operation=tuple(names.index(operation) for operation in operations),
            scope=tuple(scopes or (-1,) * size),
            layer=tuple(layers or (-1,) * size),
            shape=tuple(known.index(shape) for shape in shapes) if shapes else (-1,) * size,
        ),
        opaque=(),
        edges=GraphEdges(
            source=tuple(a for a, _ in joined),
            target=tuple(b for _, b in joined),
            fork=(-1,) * len(joined),
            edge=(-1,) * len(joined),
        ),
    )


def with_graph(found: Graph) -> Flow:
    return replace(flow(), graph=found)


def residual(blocks: int) -> Graph:
    """A stem, blocks of conv, norm, relu, conv, norm, add, relu, and a head, in modules 'stages.i.conv1' …"""
    operations, edges, scopes = ["Convolution"], [], [1]
    calls: list[tuple[str, int]] = [("", -1), ("stem", 0)]
    for block in range(blocks):
        first, calls = len(operations), [*calls, (f"stages.{block}", 0)]
        operations += ["Convolution", "NativeBatchNorm", "Relu", "Convolution", "NativeBatchNorm", "Add", "Relu"]
        edges += [(first - 1, first), *((i, i + 1) for i in range(first, first + 6)), (first - 1, first + 5)]
        scopes += [len(calls) - 1] * 7
    calls = [*calls, ("head", 0)]
    edges.append((len(operations) - 1, len(operations)))
    return graph([*operations, "Addmm"], edges, calls, [*scopes, len(calls) - 1])


def dense(blocks: int, layers: int, flat: bool = False) -> Graph:
    """Dense blocks as feature lists: each layer concatenates all before it in its block."""
    operations, edges, scopes = ["Convolution"], [], [0]
    calls: list[tuple[str, int]] = [("", -1)]
    before = 0
    for block in range(blocks):
        calls.append((f"block{block}", 0))
        here, features = len(calls) - 1, [before]
        for layer in range(layers):
            calls.append((f"block{block}.layer{layer}", here))
            first = len(operations)
            operations += ["Cat", "NativeBatchNorm", "Relu", "Convolution"]
            edges += [*((feature, first) for feature in features), *((i, i + 1) for i in range(first, first + 3))]
            scopes += [0 if flat else len(calls) - 1] * 4
            features.append(first + 3)
        edges += [(feature, len(operations)) for feature in features]
        before = len(operations)
        operations.append("Cat")
        scopes.append(0 if flat else here)
    return graph(operations, edges, calls, scopes)


def anything(seed: int, size: int | None = None) -> Graph:
    """A random graph: nodes in random calls, which need not run one after the other."""
    rng = random.Random(seed)
    size = rng.randint(1, 60) if size is None else size
    operations = [rng.choice(["Convolution", "Relu", "Add", "Cat"]) for _ in range(size)]
    reach = rng.choice([2, 5, 60])
    edges = [
        (rng.randint(max(target - reach, 0), target - 1), target)
        for target in range(1, size)
        for _ in range(rng.choice([0, 1, 1, 1, 2, 3]))
    ]
    calls: list[tuple[str, int]] = [("", -1)]
    for _ in range(rng.randint(0, 20)):
        parent = rng.randrange(len(calls))
        part = ".".join(str(rng.randint(0, 2)) for _ in range(rng.randint(1, 3)))
        calls.append((f"{calls[parent][0]}.{part}".lstrip("."), parent))
    if rng.random() < 0.5:  # each call runs once, all in one go
        scopes = sorted(rng.randrange(len(calls)) for _ in range(size))
    else:
        scopes = [rng.randrange(-1, len(calls)) for _ in range(size)]
    return graph(operations, edges, calls, scopes, [rng.choice([-1, 0, 1]) for _ in range(size)])
