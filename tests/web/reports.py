"""Records for the report's tests: traced ones, and invented ones that are large, odd, hostile or small."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

import gradpath as gp
from gradpath.record import Edge, Flow, Fork, Graph, GraphEdges, GraphNodes, Layer, ModuleCalls, Numerics, Unseen

HOSTILE = {
    "ends the script": "</script><script>document.title='caught'</script>",
    "turns right to left": "a\u202eb\u202dc\u2067d",
    "is long": "x" * 10_000,
    "has lines": "first\nsecond\r\n\u2028third\ttab",
    "is markup": "<img src=x onerror=\"document.title='caught'\">&lt;b&gt;",
    "holds controls": "nul\u0001bell\u0007escape\u001b[31m",
    "holds a zero byte": "nul\u0000in\u007fthe\u0085middle",
}
"""What it does → a name of a layer that does it."""


class Cell(nn.Module):
    """An LSTM cell, four times."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTMCell(6, 8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = c = x.new_zeros(x.shape[0], 8)
        for step in x.unbind(1):
            h, c = self.cell(step, (h, c))
        return self.head(h)


class Little(nn.Module):
    """A U-Net of one level."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.down, self.deep = (
            nn.Conv2d(3, 8, 3, padding=1),
            nn.Conv2d(8, 8, 2, 2),
            nn.Conv2d(8, 8, 3, padding=1),
        )
        self.up, self.join, self.head = nn.ConvTranspose2d(8, 8, 2, 2), nn.Conv2d(16, 8, 3, padding=1), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.enter(x))
        y = self.up(torch.relu(self.deep(torch.relu(self.down(x)))))
        return self.head(torch.relu(self.join(torch.cat([y, x], 1))).mean((2, 3)))


def traced(name: str) -> Flow:
    """'residual', 'projection', 'dense', 'plain', 'unet' or 'lstm', at initialisation."""
    torch.manual_seed(0)
    x, y = torch.randn(2, 3, 32, 32), torch.tensor([0, 3])
    built = {
        "residual": lambda: gp.build("resnet-8"),
        "projection": lambda: gp.build("resnet-8", shortcut="B"),
        "dense": lambda: gp.build("densenet-bc-100-12", depth=16),
        "plain": lambda: gp.build("plain-8", norm="none", init="default"),
        "unet": Little,
        "lstm": Cell,
    }[name]()
    flow: Flow = gp.trace(built, (torch.randn(2, 4, 6) if name == "lstm" else x, y), F.cross_entropy)
    return flow


def layer(scope: str, log10_rms: float | None, **more: object) -> Layer:
    numerics = Numerics(
        sampled=100,
        zero_activations=0.5,
        zero_gradients=0.25,
        not_finite=0.0,
        float16_underflow=0.1,
        bfloat16_underflow=0.0,
    )
    found = Layer(
        scope=scope, call=0, module="Conv2d", weighted=True, shape=(8, 16, 4, 4), resolution="4x4",
        log10_activation_rms=-0.1,
        log10_gradient_rms=log10_rms, log10_gradient_norm=None if log10_rms is None else log10_rms + 1.5,
        log10_parameter_gradient_norm=None if log10_rms is None else log10_rms + 2, log10_parameter_norm=1.2,
        numerics=numerics,
    )  # fmt: skip
    return replace(found, **more)  # type: ignore[arg-type]


def flow(layers: list[Layer], **more: object) -> Flow:
    found = Flow(
        model="Net", mode="train", dtype="float32", autocast=None, device="cpu", loss=2.3, at=None, stem_over_head=0.5,
        log10_stem_gradient_norm=0.0, gain_per_layer=(), skip_share=None, effective_depth=None, forks=(),
        layers=tuple(layers),
        unseen=Unseen(),
    )  # fmt: skip
    return replace(found, **more)  # type: ignore[arg-type]


def large(blocks: int = 30, layers: int = 25) -> Flow:
    """Dense blocks, each layer concatenating all before it: 3,031 nodes and over 12,000 edges as they stand."""
    rng = random.Random(0)
    operations, scopes, edges = ["Convolution"], [1], []
    calls: list[tuple[str, int]] = [("", -1), ("stem", 0)]
    measured, owner, before = [layer("stem", -3.0)], [0], 0
    for block in range(blocks):
        calls.append((f"block{block}", 0))
        here, features = len(calls) - 1, [before]
        for index in range(layers):
            calls.append((f"block{block}.layer{index}", here))
            first = len(operations)
            operations += ["Cat", "NativeBatchNorm", "Relu", "Convolution"]
            edges += [*((feature, first) for feature in features), *((i, i + 1) for i in range(first, first + 3))]
            scopes += [len(calls) - 1] * 4
            owner += [-1, len(measured), -1, len(measured) + 1]
            name = f"block{block}.layer{index}"
            measured += [
                layer(f"{name}.norm", rng.uniform(-9, -2), module="BatchNorm2d", weighted=False),
                layer(f"{name}.conv", rng.uniform(-9, -2)),
            ]
            features.append(first + 3)
        edges += [(feature, len(operations)) for feature in features]
        before = len(operations)
        operations.append("Cat")
        scopes.append(here)
        owner.append(-1)
    return flow(measured, **_graph(operations, scopes, owner, calls, edges))


def _graph(
    operations: list[str],
    scopes: list[int],
    owner: list[int],
    calls: list[tuple[str, int]],
    edges: list[tuple[int, int]],
) -> dict[str, object]:
    """Graph and forks: each tensor with several uses is one, its shares equal, its first use the branch."""
    edges = sorted(edges, key=lambda edge: edge[::-1])
    uses: dict[int, list[int]] = defaultdict(list)
    for i, (source, _) in enumerate(edges):
        uses[source].append(i)
    names, forks = list(dict.fromkeys(operations)), []
    fork, edge = [-1] * len(edges), [-1] * len(edges)
    for source, used in sorted(uses.items()):
        if len(used) < 2:
            continue
        for place, i in enumerate(used):
            fork[i], edge[i] = len(forks), place
        share = 1 / len(used)
        parts = [
            Edge(
                consumer=f"node {edges[i][1]}",
                kind="branch" if place == 0 else "skip",
                share=share,
                norm_mass=share,
                log10_norm=-1.0,
            )
            for place, i in enumerate(used)
        ]
        forks.append(
            Fork(
                name=f"node {source}",
                kind="residual",
                merge="concat",
                shape=(8, 16, 4, 4),
                cancellation=0.3,
                log10_norm=-0.5,
                edges=tuple(parts),
            )
        )
    graph = Graph(
        operations=tuple(names), shapes=(),
        calls=ModuleCalls(
            name=tuple(name for name, _ in calls), call=(0,) * len(calls), module=("Module",) * len(calls),
            parent=tuple(parent for _, parent in calls),
        ),
        nodes=GraphNodes(
            operation=tuple(map(names.index, operations)), scope=tuple(scopes), layer=tuple(owner),
            shape=(-1,) * len(operations),
        ),
        opaque=(),
        edges=GraphEdges(
            source=tuple(a for a, _ in edges), target=tuple(b for _, b in edges), fork=tuple(fork), edge=tuple(edge)
        ),
    )  # fmt: skip
    return {"graph": graph, "forks": tuple(forks)}


def chain(layers: list[Layer], **more: object) -> Flow:
    """These layers one after the other, in a graph; the layers' calls lie in the root."""
    size = len(layers)
    calls = [("", -1), *((one.scope, 0) for one in layers)]
    edges = [(i, i + 1) for i in range(size - 1)]
    return flow(
        layers, **_graph(["Convolution"] * size, list(range(1, size + 1)), list(range(size)), calls, edges) | more
    )


def odd() -> Flow:
    """NaN, infinite, exact zero, no gradient, no numerics, hugely small; one operation is opaque."""
    values = [-3.0, math.nan, math.inf, -math.inf, None, -4000.5, -2.0]
    layers = [
        layer(f"layer{i}", value, numerics=None if i == 5 else layer("", 0).numerics) for i, value in enumerate(values)
    ]
    layers[4] = replace(layers[4], numerics=None)
    found = chain(layers, stem_over_head=math.nan, log10_stem_gradient_norm=math.nan)
    assert found.graph
    return replace(found, graph=replace(found.graph, opaque=(6,)))


def hostile() -> Flow:
    names = list(HOSTILE.values())
    return chain([layer(name, -1.0 - i) for i, name in enumerate(names)], model=names[0])


def deep(layers: int = 1_200) -> Flow:
    """As many layers, no graph."""
    return flow([layer(f"stages.{i // 100}.{i}", -i / 200) for i in range(layers)])


def single() -> Flow:
    return chain([layer("only", -1.0)])
