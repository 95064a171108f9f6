"""Units that are off, and norms whose output carries no signal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from gradpath.flow._findings._words import NO_NUMBER, count, factor, percent
from gradpath.record import Finding, Flow, Layer, Nonlinearity

_DEAD, _SATURATED = 0.9, 0.5
_EATEN, _WEAK = -3.0, -1.5  # decades of all norms together, and of one to be counted; healthy ones keep above -1.2
_FEWEST_UNITS = 8
_BOUNDED = ("Tanh", "Sigmoid")


def dead_units(flow: Flow) -> list[Finding]:
    """More than nine in ten units of an activation are off for every sample of the batch. Layers of fewer than eight
    units (the ReLU in squeeze-and-excitation) are left out: there it happens by chance."""
    found = [u for u in flow.nonlinearities if u.operation not in _BOUNDED and u.dead_units >= _DEAD and _wide(u)]
    if not found:
        return []
    worst = max(found, key=lambda unit: unit.dead_units)
    return [
        Finding(
            kind="dead units",
            where=_scope(worst),
            sentence=f"{percent(worst.dead_units)} of the {worst.units} units of {worst.name} are dead: they are off "
            "for every sample of the batch, so they pass no gradient and do not learn.",
            evidence=f"{count(len(found), 'activation')} with more than {percent(_DEAD)} of dead units"
            f"{': ' + ', '.join(u.name for u in found[:4]) if len(found) > 1 else ''}",
            remedy="Look at the biases in front of it (strongly negative ones switch a ReLU off) and at the learning "
            "rate (one step that is too large does it too); initialise anew, or use an activation with a slope "
            "below zero (GELU, leaky ReLU).",
            severity=math.log10((1 - _DEAD) / max(1 - worst.dead_units, 1e-4)),
            cures=("init=he", "insert=batchnorm"),
            facts={
                "share": percent(worst.dead_units),
                "units": str(worst.units),
                "name": worst.name,
                "count": str(len(found)),
                "limit": percent(_DEAD),
                "names": ", ".join(u.name for u in found[:4]) if len(found) > 1 else "",
            },
        )
    ]


def saturated_units(flow: Flow) -> list[Finding]:
    """More than half of the elements of a tanh or sigmoid are where its derivative is below 1 % of its largest one.
    Gates may saturate: only where most such activations of the net do is it a finding."""
    bounded = [unit for unit in flow.nonlinearities if unit.operation in _BOUNDED and _wide(unit)]
    found = [unit for unit in bounded if unit.off_share > _SATURATED]
    if not found or 2 * len(found) < len(bounded):
        return []
    worst = max(found, key=lambda unit: unit.off_share)
    return [
        Finding(
            kind="saturated units",
            where=_scope(worst),
            sentence=f"{percent(worst.off_share)} of the outputs of {worst.name} are saturated: the curve is flat "
            "there, and the gradient is nearly lost.",
            evidence=f"{len(found)} of {count(len(bounded), 'tanh or sigmoid activation')} with more than "
            f"{percent(_SATURATED)} of elements where the derivative is below 1 % of its largest value",
            remedy="Make the weights in front of it smaller (orthogonal initialisation with gain near 1), scale the "
            "inputs to unit variance, or insert a norm.",
            severity=math.log10((1 - _SATURATED) / max(1 - worst.off_share, 1e-4)),
            cures=("init=orthogonal", "insert=layernorm"),
            facts={
                "share": percent(worst.off_share),
                "name": worst.name,
                "count": str(len(found)),
                "of": str(len(bounded)),
                "limit": percent(_SATURATED),
            },
        )
    ]


def norm_eats_signal(flow: Flow) -> list[Finding]:
    """Norms right behind a layer that pass neither signal nor gradient: batches of two at one position, one feature
    per group, a variance far below eps."""
    found = [(layer, norm, lost) for layer, norm in _norms(flow) if (lost := _lost(layer, norm)) < _WEAK]
    decades = sum(max(lost, -NO_NUMBER) for _, _, lost in found)
    if not decades < _EATEN:
        return []
    layer, norm, lost = min(found, key=lambda case: case[2])
    return [
        Finding(
            kind="norm eats the signal",
            where=norm.scope,
            sentence=f"The norm {norm.scope} eats the signal: of what {layer.scope} in front of it sends, and of the "
            f"gradient back, {factor(lost)} comes through.",
            evidence=f"{-decades:.1f} decades lost in {count(len(found), 'norm')} of this kind; {norm.scope} gives "
            f"shape {norm.shape}, RMS {factor(norm.log10_activation_rms)}; a norm that works keeps nearly all",
            remedy="It normalises over too few values, or a signal far below its eps: use a larger batch, LayerNorm, "
            "GroupNorm with several channels per group, or no norm at this place.",
            severity=_EATEN - decades,
            facts={
                "norm": norm.scope,
                "layer": layer.scope,
                "passes": factor(lost),
                "decades": f"{-decades:.1f}",
                "count": str(len(found)),
                "shape": str(norm.shape),
                "rms": factor(norm.log10_activation_rms),
            },
        )
    ]


def _norms(flow: Flow) -> Iterator[tuple[Layer, Layer]]:
    """Weighted layers with the norm directly behind them."""
    for layer, norm in pairwise(flow.layers):
        if layer.weighted and "Norm" in norm.module and layer.shape == norm.shape:
            yield layer, norm


def _lost(layer: Layer, norm: Layer) -> float:
    """log10 of what comes through: forward, the output's RMS beside the norm's own parameters (those that are zero
    are meant to be); backward, gradient · activation, which a norm that works keeps, however its input is scaled."""
    before, after = layer.log10_gradient_norm, norm.log10_gradient_norm
    signal, output = layer.log10_activation_rms, norm.log10_activation_rms
    if not (math.isfinite(signal) and math.isfinite(norm.log10_parameter_norm)):
        return 0.0
    level = output - norm.log10_parameter_norm + 0.5 * math.log10(max(norm.shape[1:], default=1))
    if level < _EATEN:
        return level
    if before is None or after is None or not (math.isfinite(before) and math.isfinite(after)):
        return 0.0
    if before > after + _WEAK / 2:  # fed by another route as well: a LayerNorm at the beginning of a branch
        return 0.0
    return before + signal - after - output


def _wide(unit: Nonlinearity) -> bool:
    return unit.units is None or unit.units >= _FEWEST_UNITS


def _scope(unit: Nonlinearity) -> str:
    return unit.name.rsplit(": ", 1)[0] if ": " in unit.name else ""
