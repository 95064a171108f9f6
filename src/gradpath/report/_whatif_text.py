"""One what-if as plain text: what changed, and both flows in a line each."""

from __future__ import annotations

from gradpath.record import Flow, WhatIf
from gradpath.report import _facts as facts
from gradpath.report._findings_words import change_told
from gradpath.report._grid import wrap
from gradpath.report._headline import flow_headline
from gradpath.report._say import say
from gradpath.report._sparkline import sparkline


def whatif_text(record: WhatIf, width: int = 80) -> str:
    """The sentence, then the flow before and after with its depth profile, then what could not be changed."""
    told = change_told(record)
    lines = wrap(facts.printable(say(f"{record.change}: {told}", f"{record.change}：{told}")), width)
    for title, flow in ((say("Before", "之前"), record.before), (say("After", "之后"), record.after)):
        lines += ["", *_one(title, flow, width)]
    notes = [
        line
        for note in record.notes
        for line in wrap(say("note: ", "注：") + facts.printable(note), width, indent="  ")
    ]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def _one(title: str, flow: Flow, width: int) -> list[str]:
    told = flow_headline(flow)
    return [*wrap(say(f"{title}: {told}", f"{title}：{told}"), width), *sparkline(flow.layers, width)]
