"""One what-if as plain text: what changed, and both flows in a line each."""

from __future__ import annotations

from gradpath.record import Flow, WhatIf
from gradpath.report import _facts as facts
from gradpath.report._grid import wrap
from gradpath.report._headline import flow_headline
from gradpath.report._sparkline import sparkline


def whatif_text(record: WhatIf, width: int = 80) -> str:
    """The sentence, then the flow before and after with its depth profile, then what could not be changed."""
    lines = wrap(facts.printable(f"{record.change}: {record.sentence}"), width)
    for title, flow in (("Before", record.before), ("After", record.after)):
        lines += ["", *_one(title, flow, width)]
    notes = [line for note in record.notes for line in wrap(f"note: {facts.printable(note)}", width, indent="  ")]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def _one(title: str, flow: Flow, width: int) -> list[str]:
    return [*wrap(f"{title}: {flow_headline(flow)}", width), *sparkline(flow.layers, width)]
