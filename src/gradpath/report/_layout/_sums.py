"""What a closed group tells of what is in it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable

from gradpath.record import Flow, Layer
from gradpath.report._layout._terms import Sums


class Summing:
    """Sums over any nodes of one flow's graph."""

    def __init__(self, flow: Flow) -> None:
        assert flow.graph is not None
        self.flow, self.graph = flow, flow.graph
        self._opaque = set(self.graph.opaque)
        self._elements: dict[str, int] = defaultdict(int)
        for parameter in flow.parameters:
            self._elements[parameter.name.rpartition(".")[0]] += math.prod(parameter.shape)
        self._forks: dict[int, list[int]] = defaultdict(list)
        """Node → residual forks whose tensor it uses."""
        for target, fork in zip(self.graph.edges.target, self.graph.edges.fork, strict=True):
            if 0 <= fork < len(flow.forks) and flow.forks[fork].kind == "residual":
                self._forks[target].append(fork)

    def of(self, nodes: Iterable[int]) -> Sums:
        held = list(nodes)
        numbers = sorted({self.graph.nodes.layer[node] for node in held} - {-1})
        layers = [self.flow.layers[i] for i in numbers]
        reached = [(_order(layer), i) for i, layer in zip(numbers, layers, strict=True) if _has_gradient(layer)]
        names = {self.graph.calls.name[scope] for node in held if (scope := self.graph.nodes.scope[node]) >= 0}
        uses = Counter(fork for node in held for fork in self._forks.get(node, ()))
        forks = [fork for fork, count in uses.items() if count > 1]
        shares = [share for fork in forks if (share := self.flow.forks[fork].skip_share) is not None]
        smallest, largest = (min(reached), max(reached)) if reached else (None, None)
        return Sums(
            nodes=len(held),
            layers=sum(layer.weighted for layer in layers),
            parameters=sum(self._elements.get(name, 0) for name in names),
            log10_gradient_rms=self._rms(smallest),
            smallest_layer=-1 if smallest is None else smallest[1],
            log10_gradient_rms_largest=self._rms(largest),
            skip_share=sum(shares) / len(shares) if shares else None,
            residual_forks=len(forks),
            opaque=sum(node in self._opaque for node in held),
            without_gradient=sum(not _has_gradient(layer) for layer in layers),
        )

    def _rms(self, found: tuple[float, int] | None) -> float | str | None:
        if found is None:
            return None
        value = self.flow.layers[found[1]].log10_gradient_rms
        return _plain(math.nan if value is None else value)


def _has_gradient(layer: Layer) -> bool:
    return layer.log10_gradient_rms is not None


def _order(layer: Layer) -> float:
    """What is not finite counts as the largest."""
    value = layer.log10_gradient_rms
    return math.inf if value is None or math.isnan(value) else value


def _plain(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
