"""What a report shows of the records it is given: each record, the flows inside it, and flows side by side.

Records stand in the page once; an entry names the place of what it shows, as keys and indices into them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradpath.record import (
    TOLERANCE_DECADES,
    Comparison,
    Flow,
    FlowDiff,
    PathLengths,
    Plan,
    Record,
    RunRecord,
    Spike,
    WatchLog,
    WhatIf,
    diff,
)
from gradpath.report import _diff_text as diff_words
from gradpath.report import _facts as facts
from gradpath.report._spoken import Spoken, empty, spoken
from gradpath.report._watched import spike_data, watch_data

Shown = Record | WatchLog
Place = list[str | int]
MOST_NODES = 6_000
"""Operations of the graphs that a page lays out; the flows beyond them are shown without a drawing of their graph."""


@dataclass
class Entries:
    """The page's data: records as JSON, and what is said of each entry. Fill it with `add`, then `side_by_side`."""

    tolerance: float = TOLERANCE_DECADES
    records: list[Any] = field(default_factory=list)
    said: list[Spoken] = field(default_factory=list)
    _nodes: int = 0

    def add(self, shown: Shown, name: str) -> None:
        """One record and the flows inside it."""
        place: Place = [len(self.records)]
        self.records.append(_json(shown))
        self.said.append(spoken(shown, name) | {"place": place})
        if isinstance(shown, Flow):
            self._laid_out(shown)
        elif isinstance(shown, FlowDiff):
            self.said[-1]["pairs"] = [_pair(shown, place, None, None)]
        elif isinstance(shown, WhatIf):
            self._whatif(shown, place)
        elif isinstance(shown, RunRecord | Comparison):
            for part, title, flow in _flows(shown):
                self._flow(flow, title, place + part)

    def side_by_side(self, shown: Sequence[Shown], names: Sequence[str]) -> None:
        """Where there are several flows: each with the first, as an entry before all others."""
        flows = [(i, record, names[i]) for i, record in enumerate(shown) if isinstance(record, Flow)]
        if len(flows) < 2:
            return
        (first, a, name_a), *others = flows
        pairs = [self._compared(a, b, name_a, name_b, [first], [i]) for i, b, name_b in others]
        self.said.insert(0, empty("") | {"headline": _titled(pairs, flows), "pairs": pairs, "place": pairs[0]["diff"]})

    def _whatif(self, record: WhatIf, place: Place) -> None:
        names, places = ("before", f"after {record.change}"), ([*place, "before"], [*place, "after"])
        self.said[-1]["pairs"] = [self._compared(record.before, record.after, *names, *places)]
        for flow, name, where in zip((record.before, record.after), names, places, strict=True):
            self._flow(flow, name, where)

    def _compared(self, a: Flow, b: Flow, name_a: str, name_b: str, place_a: Place, place_b: Place) -> dict[str, Any]:
        found = diff(a, b, self.tolerance, name_a, name_b)
        self.records.append(_json(found))
        return _pair(found, [len(self.records) - 1], place_a, place_b)

    def _flow(self, flow: Flow, name: str, place: Place) -> None:
        self.said.append(spoken(flow, name) | {"place": place})
        self._laid_out(flow)

    def _laid_out(self, flow: Flow) -> None:
        """Give the last entry, which is this flow, its layout, while there is room."""
        self._nodes += 0 if flow.graph is None else len(flow.graph)
        if self._nodes <= MOST_NODES or len(self.said) == 1:
            from gradpath.report._layout import layout

            self.said[-1]["layout"] = layout(flow)


def _pair(found: FlowDiff, place: Place, a: Place | None, b: Place | None) -> dict[str, Any]:
    """Two flows and their difference: the page's `Pair` (web/src/report/data.ts)."""
    return {
        "diff": place,
        "a": a,
        "b": b,
        "headline": diff_words.diff_verdict(found),
        "notes": list(diff_words.diff_notes(found)),
    }


def _titled(pairs: Sequence[dict[str, Any]], flows: Sequence[tuple[int, Flow, str]]) -> str:
    """What differs between two; of more, what reaches the stem of each."""
    if len(pairs) == 1:
        return str(pairs[0]["headline"])
    arrived = (f"{facts.printable(name)} {facts.ratio_text(flow.stem_over_head, 2)}" for _, flow, name in flows)
    return f"Gradient at the stem over that at the head: {', '.join(arrived)}"


def _flows(record: RunRecord | Comparison) -> Iterator[tuple[Place, str, Flow]]:
    """Place, title and flow of each gradient snapshot."""
    nets = record.nets if isinstance(record, Comparison) else (record,)
    for i, net in enumerate(nets):
        if net.gradient is None:
            continue
        inside: Place = ["nets", i] if isinstance(record, Comparison) else []
        label = f"{facts.label(net)}, " if isinstance(record, Comparison) else ""
        yield [*inside, "gradient", "initial"], f"{label}before training", net.gradient.initial
        if net.gradient.final is not None:
            yield [*inside, "gradient", "final"], f"{label}after training", net.gradient.final


_JSON: dict[type[Any], Callable[[Any], Any]] = {WatchLog: watch_data, Spike: spike_data}


def _json(shown: Shown) -> Any:
    if type(shown) in _JSON:
        return _JSON[type(shown)](shown)
    assert isinstance(shown, Record)
    return json.loads(shown.to_json())


PAGED: tuple[type[Any], ...] = (Flow, FlowDiff, PathLengths, Plan, WhatIf, RunRecord, Comparison, WatchLog, Spike)
"""What a report can show."""
