"""What is wrong, why, and what to do: sentences derived from a flow by rules; and what theory expects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gradpath.record._base import Record

FINDING_KINDS = (
    "not finite",
    "no gradient",
    "vanishing",
    "exploding",
    "starving layer",
    "dead units",
    "saturated units",
    "silent skip",
    "silent branch",
    "norm eats the signal",
    "float16 underflow",
    "float32 underflow",
    "shattered gradients",
)
"""What a finding can be about."""


@dataclass(frozen=True, kw_only=True)
class Expectation(Record):
    """What theory says of the gain of one resolution, at initialisation, for this architecture."""

    resolution: str
    rule: str
    """'ReLU σ²/2', 'tanh χ₁', 'BatchNorm in a plain net π/(π−1)' …"""
    energy_gain: float
    """Expected factor of gradient energy per weighted layer (or block: see `unit`), going backward."""
    tolerance: float
    """Relative: measured values within energy_gain · (1 ± tolerance) are explained by the rule."""
    measured: float
    source: str
    """Where the formula is from."""
    unit: Literal["layer", "block"] = "layer"
    """block: of the gradient at residual forks, from one to the next."""

    @property
    def explains(self) -> bool:
        """Whether the measured value lies within the band: only then is the rule the cause."""
        return abs(self.measured / self.energy_gain - 1) <= self.tolerance if self.energy_gain else False


@dataclass(frozen=True, kw_only=True)
class Finding(Record):
    """One thing that is wrong, with its evidence and a remedy. Ranked: the first of a flow is the worst."""

    kind: str
    """One of FINDING_KINDS."""
    where: str
    """The layers or the operation, as `model.named_modules()` has them; '' for the whole model."""
    sentence: str
    """What is wrong, in plain words with numbers."""
    evidence: str
    """What was measured, and what it was compared with."""
    remedy: str
    """What to change."""
    severity: float
    """Decades: how far beyond its threshold the measured ratio is; 100 where there is no gradient or no number."""
    cures: tuple[str, ...] = ()
    """Changes to the model worth trying, in the words of `--try`: 'init=he', 'skip=every:2' …"""
    facts: dict[str, str] = field(default_factory=dict, hash=False)
    """What the sentences are made of, name → as it stands in them: enough to say the same in another language."""


@dataclass(frozen=True, kw_only=True)
class TriedChange(Record):
    """A simulated change and its effect, in short: what a `WhatIf` says without its two flows."""

    change: str
    """In the words of `--try`: 'init=he', 'cut=skips', 'skip=every:2' …"""
    sentence: str
    """What it did: 'with He initialisation the gradient at conv1 rises by 4.1 decades (…)'."""
    notes: tuple[str, ...] = ()
    """What could not be changed, and why."""
    facts: dict[str, str] = field(default_factory=dict, hash=False)
    """What the sentence is made of, as in `Finding`."""
    findings: tuple[str, ...] | None = None
    """Kinds of findings that the changed model has, worst first; empty where it has none. None where the change is to
    the backward pass alone: that is the gradient of no function."""
    stem_over_head: float | None = None
    """After the change, as the other numbers here; definitions as for `Flow`."""
    effective_depth: float | None = None
    log10_gradient_rms: tuple[float | None, ...] = ()
    """At the outputs of the weighted layers, in the order of the forward pass."""
