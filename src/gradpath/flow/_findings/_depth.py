"""Vanishing, exploding, and the one layer that lets nothing through."""

from __future__ import annotations

import math

from gradpath.flow._findings._causes import cause_of
from gradpath.flow._findings._profile import CLIFF, LAYERS_PER_FORK, Profile, profile, with_gradient
from gradpath.flow._findings._recurrence import has_recurrence
from gradpath.flow._findings._words import NO_NUMBER, count, factor, layer_name
from gradpath.record import Expectation, Finding, Flow, Parameter

THRESHOLD = 3.0
"""Decades of the RMS gradient over the whole depth; docs/findings.md derives it."""
_POWER = 2.5
"""A residual trunk with norms in its branches may grow with this power of the depth."""
_SMALLEST = {"float16": math.log10(2.0**-24), "float32": math.log10(2.0**-149)}
_LARGEST = {"float16": math.log10(65504), "float32": math.log10(3.4e38)}


def vanishing(flow: Flow) -> list[Finding]:
    """The RMS gradient shrinks steadily, by more than three decades in all, on its way to the first layers."""
    if has_recurrence(flow):
        return []
    found = profile(flow)
    return [_steady(flow, found)] if found.decades < -threshold(flow, found.layers) else []


def exploding(flow: Flow) -> list[Finding]:
    """The same upward: the first layers receive more than a thousand times as much as the last."""
    if has_recurrence(flow):
        return []
    found = profile(flow)
    return [_steady(flow, found)] if found.decades > threshold(flow, found.layers) else []


def threshold(flow: Flow, layers: int) -> float:
    """Decades. With norms in the branches of a residual net the gradient grows as a power of the depth and not
    exponentially (De & Smith 2020); such nets train at 1,001 layers (He et al. 2016)."""
    norms = sum("Norm" in layer.module for layer in flow.layers)
    forks = len(flow.residual_forks)
    is_normed_trunk = layers <= LAYERS_PER_FORK * forks and 2 * norms >= forks
    return max(THRESHOLD, _POWER * math.log10(max(layers, 1))) if is_normed_trunk else THRESHOLD


def _steady(flow: Flow, found: Profile) -> Finding:
    vanishes = found.slope < 0
    cause, expected = cause_of(flow, vanishes)
    (first, last), layers = found.ends, count(found.layers, "layer")
    verb, times = ("vanishes", "shrinks to {} of itself") if vanishes else ("explodes", "grows {}-fold")
    gain = f"gradient energy × {10 ** (2 * found.slope):.3g} per layer (RMS × {10**found.slope:.3g})"
    broken = "" if found.breaks_at is None else f"; the slope breaks at {found.breaks_at}"
    return Finding(
        kind="vanishing" if vanishes else "exploding",
        where=first,
        sentence=f"The gradient {verb}: from {layer_name(flow, last)} back to {layer_name(flow, first)}, over "
        f"{layers}, it "
        f"{times.format(factor(found.decades))}; {cause.sentence}.",
        evidence=f"{gain}; {_reach(found.slope)}{broken}{_theory(expected)}",
        remedy=cause.remedy,
        severity=abs(found.decades) - threshold(flow, found.layers),
        cures=cause.cures,
        facts={
            "cause": cause.name,
            "from": layer_name(flow, last),
            "to": layer_name(flow, first),
            "layers": str(found.layers),
            "factor": factor(found.decades),
            "energy": f"{10 ** (2 * found.slope):.3g}",
            "rms": f"{10**found.slope:.3g}",
            **({} if found.breaks_at is None else {"breaks": str(found.breaks_at)}),
            **_reached(found.slope),
            **_theory_facts(expected),
        },
    )


def _theory_facts(expected: Expectation | None) -> dict[str, str]:
    if expected is None:
        return {}
    return {
        "expected": f"{expected.energy_gain:.3g}",
        "measured": f"{expected.measured:.3g}",
        "unit": expected.unit,
        "rule": expected.rule,
        "source": expected.source,
    }


def _theory(expected: Expectation | None) -> str:
    if expected is None:
        return ""
    return (
        f"; theory expects × {expected.energy_gain:.3g} per {expected.unit} where × {expected.measured:.3g} was "
        f"measured ({expected.rule}; {expected.source})"
    )


def _reach(rate: float) -> str:
    """Half-length, and where number formats end: for a gradient that is 1 at the last layer."""
    length, *depths = (f"{name} {value}" for name, value in _reached(rate).items())
    verb = "underflows" if rate < 0 else "overflows"
    ends = ", ".join(depth.replace(" ", " after ") for depth in depths)
    return f"{length} layers; a gradient of 1 {verb} {ends} layers"


def _reached(rate: float) -> dict[str, str]:
    """Layers: 'half-length' or 'doubling length', then the depth at which each format ends."""
    length, limits = ("half-length", _SMALLEST) if rate < 0 else ("doubling length", _LARGEST)
    depths = {name: str(math.ceil(limit / rate)) for name, limit in limits.items()}
    return {length: f"{math.log10(2) / abs(rate):.1f}"} | depths


def starving(flow: Flow) -> list[Finding]:
    """All layers in front of one layer receive less than a thousandth of what that layer receives.

    One starved layer beside fed ones is no finding: LayerScale, LoRA and zero-initialised branches look like that.
    All layers count, the factors of LayerScale too: they are fed where the branches before them are not yet.
    """
    layers = with_gradient(flow)
    fed, best, place = -math.inf, 0.0, 0
    for i, (_, norm) in enumerate(layers):
        step = norm - fed if i and norm > fed else 0.0
        if step > best:
            best, place = step, i
        fed = max(fed, norm)
    if not best > CLIFF or any(math.isnan(norm) for _, norm in layers) or _slope_explains(flow, best):
        return []
    if opens_later(flow):
        return []
    (behind, to), in_front = layers[place], layers[:place]
    (starved, _), level = in_front[-1], max(norm for _, norm in in_front)
    others = "" if place == 1 else f" and the {count(place - 1, 'layer')} in front of it"
    return [
        Finding(
            kind="starving layer",
            where=starved.scope,
            sentence=f"{layer_name(flow, starved.scope)}{others} starve: of the gradient that reaches "
            f"{layer_name(flow, behind.scope)}, "
            f"{'nothing' if best == math.inf else 'only ' + factor(-best) + ' of it'} gets through to them.",
            evidence=f"gradient norm {factor(to)} at {behind.scope}, at most {factor(level)} in front of it",
            remedy=f"Look at {behind.scope} and at what lies between it and {starved.scope}: weights or a factor that "
            "are far too small, a detach, a unit that is off. Initialise it like its neighbours.",
            severity=min(best, NO_NUMBER + CLIFF) - CLIFF,
            cures=("init=he", "skip=every:2"),
            facts={
                "layer": layer_name(flow, starved.scope),
                "others": str(place - 1),
                "behind": layer_name(flow, behind.scope),
                "passes": "nothing" if best == math.inf else factor(-best),
                "norm": factor(to),
                "level": factor(level),
                "behind_scope": behind.scope,
                "layer_scope": starved.scope,
            },
        )
    ]


def _slope_explains(flow: Flow, step: float) -> bool:
    """Whether neighbours lose as much: then it is vanishing, not a cliff."""
    return profile(flow).slope < -step / 3


def opens_later(flow: Flow) -> bool:
    """Whether a parameter that keeps a branch closed at the start receives a gradient: the zeros of a last norm, a
    head, a ReZero factor or LoRA's B, the 1e-6 of LayerScale. What lies in front of it is fed a few steps later."""
    closed = [parameter.log10_gradient_norm for parameter in flow.parameters if _is_closed(parameter)]
    return any(norm is not None and norm > -math.inf for norm in closed)


def _is_closed(parameter: Parameter) -> bool:
    """All zero, or a vector of factors below 1e-3; no bias."""
    if parameter.name.endswith("bias"):
        return False
    size = max(math.prod(parameter.shape), 1)
    is_vector = size == max(parameter.shape, default=1)
    return parameter.log10_norm == -math.inf or (is_vector and parameter.log10_norm - 0.5 * math.log10(size) < -3)
