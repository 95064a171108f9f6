"""Flows whose modules are called side by side (`Flow.parallel`), with those calls as one: what depth is read from."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

from gradpath.record._layers import Layer

if TYPE_CHECKING:
    from gradpath.record._flow import Flow, Fork


def side_by_side(layers: Iterable[Layer], parallel: Iterable[str]) -> list[Layer]:
    """Layers, those of parallel modules once for each of their resolutions: at the place of the first call, with the
    mean energy of the gradients that the calls received."""
    names = set(parallel)
    found: dict[Hashable, list[Layer]] = defaultdict(list)
    for i, layer in enumerate(layers):
        found[(layer.scope, layer.resolution) if layer.scope in names else i].append(layer)
    return [
        replace(calls[0], log10_gradient_rms=_mean(x.log10_gradient_rms for x in calls)) for calls in found.values()
    ]


def forks_side_by_side(flow: Flow) -> list[Fork]:
    """Residual forks, those of parallel modules once."""
    names = [fork.name for fork in flow.residual_forks]
    counts, seen, calls = Counter(names), Counter[str](), cache(partial(_calls, flow))
    found: dict[Hashable, list[Fork]] = defaultdict(list)
    for i, fork in enumerate(flow.residual_forks):
        scope = fork.name.rpartition(": ")[0]
        in_each_call = counts[fork.name] // calls(scope) if scope in flow.parallel else 0
        found[(fork.name, seen[fork.name] % in_each_call) if in_each_call else i].append(fork)
        seen[fork.name] += 1
    return [replace(forks[0], log10_norm=_mean(fork.log10_norm for fork in forks)) for forks in found.values()]


def _calls(flow: Flow, scope: str) -> int:
    """How often a module was called, as the layers in it tell: one that is iterated in each call is seen more often."""
    inside = Counter(x.scope for x in flow.layers if not scope or x.scope == scope or x.scope.startswith(f"{scope}."))
    return min(inside.values(), default=1)


def _mean(levels: Iterable[float | None]) -> float | None:
    """log10 of the root mean square of what these are log10 of; None where there is nothing."""
    known = [level for level in levels if level is not None]
    largest = max(known, default=-math.inf)
    if len(known) < 2 or not math.isfinite(largest):
        return largest if known else None
    return largest + 0.5 * math.log10(sum(10.0 ** (2 * (level - largest)) for level in known) / len(known))
