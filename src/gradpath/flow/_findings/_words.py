"""Numbers in sentences."""

from __future__ import annotations

import math

from gradpath.record import Flow

NO_NUMBER = 100.0
"""Severity where there is no gradient, or no number, at all: decades cannot be told."""


def factor(decades: float) -> str:
    """10**decades, short: '0.02', '38', '1.2e-13'."""
    if decades == -math.inf:
        return "0"
    value = 10.0**decades if abs(decades) < 300 else 0.0
    if not 0.01 <= value < 10_000:
        return _power(decades)
    return f"{value:.2g}" if value < 99.5 else f"{10 * round(value / 10)}"


def _power(decades: float) -> str:
    exponent = math.floor(decades)
    digits = 10 ** (decades - exponent)
    return f"1e{exponent + 1}" if digits >= 9.95 else f"{digits:.2g}e{exponent}"


def layer_name(flow: Flow, scope: str) -> str:
    """A layer as a reader knows it: 'blocks.3.fc', and for a Sequential's bare number 'layer 36 (Linear)'."""
    if not scope.replace(".", "").isdigit():
        return scope
    module = next((layer.module for layer in flow.layers if layer.scope == scope), None)
    return f"layer {scope}" + (f" ({module})" if module else "")


def count(number: int, noun: str) -> str:
    """'1 layer', '3 layers'."""
    return f"{number} {noun}" + "s" * (number != 1)


def percent(share: float) -> str:
    """'97 %'; never 100 % for less than all."""
    if 0.995 <= share < 1:
        return "over 99 %"
    return f"{100 * share:.0f} %"
