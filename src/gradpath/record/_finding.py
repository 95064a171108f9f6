"""What is wrong, why, and what to do: sentences derived from a flow by rules; and what theory expects."""

from __future__ import annotations

from dataclasses import dataclass

from gradpath.record._base import Record


@dataclass(frozen=True, kw_only=True)
class Expectation(Record):
    """What theory says of the gain of one resolution, at initialisation, for this architecture."""

    resolution: str
    rule: str
    """'ReLU σ²/2', 'tanh χ₁', 'BatchNorm in a plain net π/(π−1)' …"""
    energy_gain: float
    """Expected factor of gradient energy per weighted layer, going backward."""
    tolerance: float
    """Relative: measured values within energy_gain · (1 ± tolerance) are explained by the rule."""
    measured: float
    source: str
    """Where the formula is from."""


@dataclass(frozen=True, kw_only=True)
class Finding(Record):
    """One thing that is wrong, with its evidence and a remedy. Ranked: the first of a flow is the worst."""

    kind: str
    """'vanishing', 'exploding', 'dead units', 'saturated units', 'starving layer', 'silent skip' …"""
    where: str
    """The layers or the operation, as `model.named_modules()` has them; '' for the whole model."""
    sentence: str
    """What is wrong, in plain words with numbers."""
    evidence: str
    """What was measured, and what it was compared with."""
    remedy: str
    """What to change."""
    severity: float
    """Decades: how far beyond its threshold the measured ratio is."""
    cures: tuple[str, ...] = ()
    """Changes to the model worth trying, in the words of `--try`: 'init=he', 'skip=every:2' …"""
