"""Two flows side by side: commits, checkpoints, a plain net against a residual one. Pure: no torch.

Everything is compared as a ratio, B over A, in decades: 0.3 decades is a factor of 2, 1 is a factor of 10.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from gradpath.record._base import Record
from gradpath.record._finding import Finding
from gradpath.record._flow import Flow
from gradpath.record._layers import Layer

TOLERANCE_DECADES = 0.3
"""A factor of 2: what another seed or batch changes is mostly below it."""
SHARED_NAMES = 0.5
"""Where fewer of the weighted layers than this have a namesake, two nets are compared by depth alone."""
LEAST_DIFFERENCE = 0.01
"""Of effective depths (in branches) and skip shares, which may be 0: below it, a ratio says nothing."""

Matched = Literal["name", "depth"]


@dataclass(frozen=True, kw_only=True)
class LayerDiff(Record):
    """One layer of A and the layer of B that it is compared with."""

    scope_a: str
    scope_b: str
    call: int
    """Of the layer of A."""
    matched: Matched
    """By scope and call, or by relative depth where the names differ."""
    depth: float
    """Place in A: 0 for its first layer, 1 for its last."""
    log10_rms_a: float | None
    """log10 of the gradient RMS at the layer's output; None where no gradient arrived."""
    log10_rms_b: float | None
    decades: float | None
    """log10 of B over A: 0 where both are exactly 0 or both not finite, infinite where only one is; None where no
    gradient arrived in one of them."""


@dataclass(frozen=True, kw_only=True)
class QuantityDiff(Record):
    """One number that describes a whole net."""

    name: str
    """'stem over head', 'effective depth', 'skip share', 'gain at 28x28' (of gradient energy, per layer)."""
    a: float | None
    b: float | None
    decades: float | None
    """log10 of B over A; infinite where only one is finite, or above 0; None where one is missing."""


@dataclass(frozen=True, kw_only=True)
class FlowDiff(Record, kind="diff"):
    """What differs between two flows (`gradpath diff A.json B.json`)."""

    name_a: str
    name_b: str
    tolerance: float
    """Decades."""
    quantities: tuple[QuantityDiff, ...]
    layers: tuple[LayerDiff, ...]
    only_a: tuple[str, ...]
    """Layers without a counterpart."""
    only_b: tuple[str, ...]
    appeared: tuple[Finding, ...]
    """Findings of B that A does not have (by kind and place)."""
    disappeared: tuple[Finding, ...]

    def beyond(self, decades: float | None) -> bool:
        """Whether a ratio lies outside the tolerance; what is not finite does."""
        return decades is not None and not abs(decades) <= self.tolerance

    @property
    def changed_layers(self) -> tuple[LayerDiff, ...]:
        """The layers beyond the tolerance, the largest change first; those that a gradient reaches in only one of
        the two come before them."""
        lost = [x for x in self.layers if (x.log10_rms_a is None) != (x.log10_rms_b is None)]
        found = [x for x in self.layers if self.beyond(x.decades)]
        return (*lost, *sorted(found, key=_size, reverse=True))

    @property
    def changed_quantities(self) -> tuple[QuantityDiff, ...]:
        """Those beyond the tolerance, and those that only one of the two has."""
        return tuple(x for x in self.quantities if self.beyond(x.decades) or (x.a is None) != (x.b is None))

    @property
    def agrees(self) -> bool:
        """Nothing lies beyond the tolerance, and B has no finding that A does not have."""
        return not (self.changed_layers or self.changed_quantities or self.appeared)

    def __repr__(self) -> str:
        verdict = "agree" if self.agrees else f"{len(self.changed_layers)} of {len(self.layers)} layers differ"
        return f"FlowDiff({self.name_a} and {self.name_b}: {verdict})"


def diff(
    a: Flow, b: Flow, tolerance: float = TOLERANCE_DECADES, name_a: str | None = None, name_b: str | None = None
) -> FlowDiff:
    """Compare two flows. Layers are matched by (scope, call) and, where names differ, by relative depth.

    Args:
        tolerance: decades (0.3 is a factor of 2).
        name_a, name_b: what to call them; default: their models.
    """
    layers, only_a, only_b = _matched_layers(a, b)
    return FlowDiff(
        name_a=name_a or a.model,
        name_b=name_b or b.model,
        tolerance=tolerance,
        quantities=tuple(_quantities(a, b)),
        layers=tuple(sorted(layers, key=lambda layer: layer.depth)),
        only_a=tuple(_title(layer) for layer in only_a),
        only_b=tuple(_title(layer) for layer in only_b),
        appeared=new_findings(b, a),
        disappeared=new_findings(a, b),
    )


def new_findings(flow: Flow, baseline: Flow) -> tuple[Finding, ...]:
    """The findings of a flow that the baseline does not have: of another kind, or at another place."""
    known = {(finding.kind, finding.where) for finding in baseline.findings}
    return tuple(finding for finding in flow.findings if (finding.kind, finding.where) not in known)


def decades(a: float | None, b: float | None, least: float = 0.0) -> float | None:
    """log10 of b over a: 0 where both are alike (differ by at most `least`, are 0, are not finite), infinite where
    only one is finite or their signs differ, None where one is missing."""
    if a is None or b is None:
        return None
    if not (math.isfinite(a) and math.isfinite(b)):
        return 0.0 if math.isfinite(a) == math.isfinite(b) else math.inf
    if abs(a - b) <= least or a == b:
        return 0.0
    if a == 0 or b == 0 or (a < 0) != (b < 0):
        return math.copysign(math.inf, abs(b) - abs(a))
    return math.log10(abs(b)) - math.log10(abs(a))


def _quantities(a: Flow, b: Flow) -> Iterator[QuantityDiff]:
    for name, one, two, least in (
        ("effective depth", a.effective_depth, b.effective_depth, LEAST_DIFFERENCE),
        ("stem over head", a.stem_over_head, b.stem_over_head, 0.0),
        ("skip share", a.skip_share, b.skip_share, LEAST_DIFFERENCE),
    ):
        if one is not None or two is not None:
            yield QuantityDiff(name=name, a=one, b=two, decades=decades(one, two, least))
    gains_a, gains_b = ({gain.resolution: gain.energy_gain for gain in flow.gain_per_layer} for flow in (a, b))
    for resolution in dict.fromkeys([*gains_a, *gains_b]):
        one, two = gains_a.get(resolution), gains_b.get(resolution)
        yield QuantityDiff(
            name=f"gain at {resolution}" if resolution else "gain of linear layers",
            a=one,
            b=two,
            decades=decades(one, two),
        )


def _matched_layers(a: Flow, b: Flow) -> tuple[list[LayerDiff], list[Layer], list[Layer]]:
    """Pairs, and what is left over in A and in B."""
    named_b = {(layer.scope, layer.call): layer for layer in b.layers} if _same_names(a, b) else {}
    pairs = [(x, named_b[x.scope, x.call]) for x in a.layers if (x.scope, x.call) in named_b]
    place_a, place_b = _places(a.layers), _places(b.layers)
    found = [_layer_diff(x, y, "name", place_a) for x, y in pairs]
    taken = {(x.scope, x.call) for x, _ in pairs}
    left_a, left_b = ([x for x in flow.layers if (x.scope, x.call) not in taken] for flow in (a, b))
    weighted_a, weighted_b = ([x for x in left if x.weighted] for left in (left_a, left_b))
    if not (weighted_a and weighted_b):
        return found, left_a, left_b
    found += [_layer_diff(x, y, "depth", place_a) for x, y in _nearest(weighted_a, weighted_b, place_a, place_b)]
    return found, [], []


def _same_names(a: Flow, b: Flow) -> bool:
    """Whether the weighted layers of the larger net have namesakes enough in the other."""
    names_a, names_b = ({(x.scope, x.call) for x in flow.layers if x.weighted} for flow in (a, b))
    return len(names_a & names_b) >= SHARED_NAMES * max(len(names_a), len(names_b))


Places = dict[tuple[str, int], float]


def _places(layers: Sequence[Layer]) -> Places:
    """(scope, call) → place among the weighted layers, from 0 to 1; that of the weighted layer before for others."""
    last = max(sum(layer.weighted for layer in layers) - 1, 1)
    places, passed = {}, -1
    for layer in layers:
        passed += layer.weighted
        places[layer.scope, layer.call] = max(passed, 0) / last
    return places


def _nearest(a: Sequence[Layer], b: Sequence[Layer], place_a: Places, place_b: Places) -> Iterable[tuple[Layer, Layer]]:
    """Each layer of the shorter list with the one at the nearest place in the longer, in order of depth."""
    if len(a) > len(b):
        return [(x, y) for y, x in _nearest(b, a, place_b, place_a)]

    def distance(x: Layer, y: Layer) -> float:
        return abs(place_a[x.scope, x.call] - place_b[y.scope, y.call])

    return [(x, min(b, key=lambda y: distance(x, y))) for x in a]


def _layer_diff(x: Layer, y: Layer, matched: Matched, places: Places) -> LayerDiff:
    return LayerDiff(
        scope_a=x.scope,
        scope_b=y.scope,
        call=x.call,
        matched=matched,
        depth=places[x.scope, x.call],
        log10_rms_a=x.log10_gradient_rms,
        log10_rms_b=y.log10_gradient_rms,
        decades=_rms_decades(x.log10_gradient_rms, y.log10_gradient_rms),
    )


def _rms_decades(a: float | None, b: float | None) -> float | None:
    """B minus A of two log10 values, of which -inf is an exact zero and NaN is 'not finite'."""
    if a is None or b is None:
        return None
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    return math.inf if math.isnan(b) else -math.inf if math.isnan(a) else b - a


def _size(layer: LayerDiff) -> float:
    return abs(layer.decades or 0.0)


def _title(layer: Layer) -> str:
    return f"{layer.scope} (call {layer.call})" if layer.call else layer.scope
