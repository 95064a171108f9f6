"""The factor by which gradient energy changes per weighted layer, fitted within one resolution."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from gradpath.record import Gain, Layer


def fit_gains(layers: Iterable[Layer]) -> tuple[Gain, ...]:
    """One gain per resolution with at least two usable weighted layers, in the order of the forward pass.

    Energy is the mean square per element; exact zeros and what is not finite cannot be fitted and are left out.
    """
    energies: dict[str, list[tuple[int, float]]] = {}
    weighted = (layer for layer in layers if layer.weighted)
    for depth, layer in enumerate(weighted):
        rms = layer.log10_gradient_rms
        if rms is not None and math.isfinite(rms):
            energies.setdefault(layer.resolution, []).append((depth, 2 * rms * math.log(10)))
    return tuple(_fit(name, points) for name, points in energies.items() if len(points) >= 2)


def _fit(resolution: str, points: list[tuple[int, float]]) -> Gain:
    depth, energy = np.array(points, dtype=np.float64).T
    slope, start = np.polyfit(depth, energy, 1)
    spread = float(((energy - energy.mean()) ** 2).sum())
    rest = float(((energy - slope * depth - start) ** 2).sum())
    exact = len(points) == 2 or spread == 0
    return Gain(
        resolution=resolution,
        layers=len(points),
        energy_gain=_exp(-slope),  # forward, energy grows by exp(slope); backward it is the inverse
        r_squared=None if exact else 1 - rest / spread,
    )


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
