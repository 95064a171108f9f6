"""A change to the backward pass, or to a copy of the model, and what it did to the gradient."""

from __future__ import annotations

from dataclasses import dataclass

from gradpath.record._base import Record
from gradpath.record._flow import Flow


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
