"""A change to the backward pass, or to a copy of the model, and what it did to the gradient."""

from __future__ import annotations

from dataclasses import dataclass, field

from gradpath.record._base import Record
from gradpath.record._finding import TriedChange
from gradpath.record._flow import Flow

_BACKWARD_ONLY = ("cut", "scale", "norm")
"""Changes to the backward pass alone; the others are made to a copy of the model."""


@dataclass(frozen=True, kw_only=True)
class WhatIf(Record, kind="whatif"):
    """One change, with the flow before and after it (`gp.whatif`)."""

    change: str
    """In the words of `--try`: 'init=he', 'cut=skips', 'skip=every:2' …"""
    sentence: str
    """What it did: 'without this skip the gradient at layer1.0 falls by 4.1 decades'."""
    before: Flow
    after: Flow
    notes: tuple[str, ...] = ()
    """What could not be changed, and why."""
    facts: dict[str, str] = field(default_factory=dict, hash=False)
    """What the sentence is made of, as in `Finding`."""

    @property
    def in_short(self) -> TriedChange:
        """Without the two flows: what a flow's own record keeps of it (`Flow.tried`)."""
        after, is_of_a_copy = self.after, self.change.partition("=")[0] not in _BACKWARD_ONLY
        return TriedChange(
            change=self.change,
            sentence=self.sentence,
            notes=self.notes,
            facts=self.facts,
            findings=tuple(finding.kind for finding in after.findings) if is_of_a_copy else None,
            stem_over_head=after.stem_over_head,
            effective_depth=after.effective_depth,
            log10_gradient_rms=tuple(layer.log10_gradient_rms for layer in after.layers if layer.weighted),
        )
