"""The depth profile that vanishing and exploding are read from: one slope for all layers, fitted within resolutions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from gradpath.flow._layers import resolution
from gradpath.record import Flow, Fork, Layer
from gradpath.record._side_by_side import forks_side_by_side, side_by_side

CLIFF = 3.0
"""Decades between two neighbours, above which it is no slope but a cliff."""
_CERTAIN = 3.0  # standard errors
LAYERS_PER_FORK, _FORKS_PER_LAYER = 8, 2
"""Residual forks are a trunk where each spans at most eight weighted layers."""


@dataclass(frozen=True)
class Point:
    """One weighted layer, or one residual fork of a trunk."""

    name: str
    depth: float
    """In weighted layers."""
    log10_rms: float


@dataclass(frozen=True)
class Profile:
    """Pieces of comparable points (one resolution, no cliff), each in the order of the forward pass."""

    pieces: tuple[tuple[Point, ...], ...]
    layers: int
    ends: tuple[str, str]
    """Names of the first and the last point of the net."""

    @cached_property
    def slope(self) -> float:
        """Decades of the RMS per weighted layer, going backward: one for all pieces, each with its own offset. 0 where
        it is less than three standard errors."""
        depth, level = self._centred
        square = float((depth**2).sum())
        freedom = len(depth) - len(self.pieces) - 1
        if square == 0 or freedom < 1:
            return 0.0
        slope = float((depth * level).sum()) / square
        error = math.sqrt(float(((level - slope * depth) ** 2).sum()) / freedom / square)
        return -slope if abs(slope) > _CERTAIN * error else 0.0

    @property
    def decades(self) -> float:
        """Over all layers, the steps between pieces included; not more than the pieces themselves span, as a line
        through a single step would."""
        ranges = sum(max(levels) - min(levels) for levels in ([p.log10_rms for p in piece] for piece in self.pieces))
        spans = sum(piece[-1].depth - piece[0].depth for piece in self.pieces)
        most = ranges / spans if spans else 0.0
        return max(-most, min(most, self.slope)) * (self.layers - 1)

    @property
    def breaks_at(self) -> str | None:
        """The point where the slope breaks, in the longest piece: two lines fit ten times better than one, and one is
        twice as steep."""
        piece = max(self.pieces, key=len)
        levels = np.array([point.log10_rms for point in piece])
        if len(levels) < 8 or (whole := _rest(levels)) < 0.01:
            return None
        best = min(range(4, len(levels) - 3), key=lambda i: _rest(levels[:i]) + _rest(levels[i:]))
        slopes = [abs(float(np.polyfit(np.arange(len(part)), part, 1)[0])) for part in np.split(levels, [best])]
        clear = _rest(levels[:best]) + _rest(levels[best:]) < whole / 10 and 2 * min(slopes) < max(slopes)
        return piece[best].name if clear else None

    @property
    def _centred(self) -> tuple[np.ndarray, np.ndarray]:
        """Depths and levels, less the mean of their piece."""
        pairs = [np.array([(point.depth, point.log10_rms) for point in piece]) for piece in self.pieces]
        rows = np.concatenate([pair - pair.mean(0) for pair in pairs]) if pairs else np.zeros((0, 2))
        return rows[:, 0], rows[:, 1]


def _rest(levels: np.ndarray) -> float:
    """What a least-squares line leaves of the sum of squares."""
    depth = np.arange(len(levels))
    return float(((levels - np.polyval(np.polyfit(depth, levels, 1), depth)) ** 2).sum())


def profile(flow: Flow) -> Profile:
    """Where residual forks make a trunk, they are the points: a gradient inside a branch is scaled by the norm behind
    it and says nothing of the trunk. Forks inside one call (the time steps of a recurrence) make none."""
    weighted = side_by_side((layer for layer in flow.layers if layer.weighted), flow.parallel)
    forks = forks_side_by_side(flow)
    layers = _by_resolution((x.resolution, x.scope, i, x.log10_gradient_rms) for i, x in enumerate(weighted))
    trunks = _by_resolution((resolution(f.shape), _scope(f), i, fork_rms(f)) for i, f in enumerate(forks))
    pieces = []
    for name, points in layers.items():
        trunk = trunks.get(name, [])
        if len(points) <= LAYERS_PER_FORK * len(trunk) and len(trunk) <= _FORKS_PER_LAYER * len(points):
            points = _spread(trunk, points[0].depth, points[-1].depth)
        pieces += split_at_cliffs(points)
    by_depth = sorted((point for piece in pieces for point in piece), key=lambda point: point.depth)
    ends = (by_depth[0].name, by_depth[-1].name) if by_depth else ("", "")
    kept = tuple(tuple(piece) for piece in pieces if len(piece) > 1)
    return Profile(kept, sum(map(len, layers.values())), ends)


def _by_resolution(values: Iterable[tuple[str, str, int, float | None]]) -> dict[str, list[Point]]:
    points: dict[str, list[Point]] = defaultdict(list)
    for name, scope, depth, level in values:
        if level is not None and math.isfinite(level):
            points[name].append(Point(scope, depth, level))
    return points


def _spread(trunk: list[Point], first: float, last: float) -> list[Point]:
    """Forks, evenly over the depth of the layers of their resolution."""
    step = (last - first) / max(len(trunk) - 1, 1)
    return [Point(point.name, first + i * step, point.log10_rms) for i, point in enumerate(trunk)]


def split_at_cliffs(points: list[Point]) -> list[list[Point]]:
    """Cut at cliffs: steps above three decades that are also more than three times the median step."""
    steps = [abs(b.log10_rms - a.log10_rms) for a, b in pairwise(points)]
    limit = max(CLIFF, 3 * float(np.median(steps))) if steps else CLIFF
    pieces: list[list[Point]] = [[]]
    for point, step in zip(points, [0.0, *steps], strict=False):
        if step > limit:
            pieces.append([])
        pieces[-1].append(point)
    return pieces


def fork_rms(fork: Fork) -> float | None:
    """log10 of the RMS of the gradient at a fork."""
    if fork.log10_norm is None or not fork.shape:
        return None
    return fork.log10_norm - 0.5 * math.log10(max(math.prod(fork.shape), 1))


def _scope(fork: Fork) -> str:
    return fork.name.rsplit(": ", 1)[0]


def with_gradient(flow: Flow) -> list[tuple[Layer, float]]:
    """Layers that received a gradient, with log10 of its norm, in the order of the forward pass."""
    found = ((layer, layer.log10_gradient_norm) for layer in flow.layers)
    return [(layer, norm) for layer, norm in found if norm is not None]
