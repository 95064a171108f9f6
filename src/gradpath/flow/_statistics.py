"""The same trace over several batches: mean and standard error of what one batch measured."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from gradpath.record import Flow, Statistic


def statistics(flows: Sequence[Flow]) -> Flow:
    """The first record, with the statistics of all where there are several; n counts the batches that had a value."""
    if len(flows) == 1:
        return flows[0]
    values: dict[str, list[float]] = defaultdict(list)
    for flow in flows:
        for name, value in _quantities(flow):
            if value is not None and math.isfinite(value):
                values[name].append(value)
    found = (_statistic(name, np.array(each)) for name, each in values.items() if len(each) > 1)
    return replace(flows[0], statistics=tuple(found))


def _quantities(flow: Flow) -> Iterator[tuple[str, float | None]]:
    yield "loss", flow.loss
    yield "stem_over_head", flow.stem_over_head
    yield "skip_share", flow.skip_share
    yield "effective_depth", flow.effective_depth
    for gain in flow.gain_per_layer:
        yield f"gain {gain.resolution}".strip(), gain.energy_gain
    for layer in flow.layers:
        call = f" (call {layer.call})" if layer.call else ""
        yield f"log10_gradient_rms of {layer.scope}{call}", layer.log10_gradient_rms


def _statistic(name: str, values: np.ndarray) -> Statistic:
    error = float(values.std(ddof=1) / math.sqrt(len(values)))
    return Statistic(name=name, mean=float(values.mean()), standard_error=error, n=len(values))
