"""One thing that a comparison showed."""

from __future__ import annotations

from dataclasses import dataclass

from gradpath.record import RunRecord


@dataclass(frozen=True)
class Finding:
    """One thing that was seen."""

    rule: str
    """The outcome's name, e.g. 'twins: residual better'."""
    sentence: str
    nets: tuple[str, ...]
    """Names of the nets it is about."""


def found(rule: str, sentence: str, *nets: RunRecord) -> Finding:
    """A finding whose sentence begins with a capital."""
    return Finding(rule, sentence[0].upper() + sentence[1:], tuple(net.name for net in nets))
