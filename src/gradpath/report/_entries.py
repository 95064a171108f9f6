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
from gradpath.report import _findings_words as findings_words
from gradpath.report._say import in_both, listed, say
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
    chinese: dict[str, str] = field(default_factory=dict)
    """English → Chinese of every sentence on the page, those inside the records too."""
    _nodes: int = 0

    def add(self, shown: Shown, name: str) -> None:
        """One record and the flows inside it."""
        place: Place = [len(self.records)]
        self.records.append(_json(shown))
        self._say(shown, name, place)
        if isinstance(shown, Flow):
            self._laid_out(shown)
        elif isinstance(shown, FlowDiff):
            self.said[-1]["pairs"] = [self._pair(shown, place, None, None)]
        elif isinstance(shown, WhatIf):
            self._whatif(shown, place)
        elif isinstance(shown, RunRecord | Comparison):
            self._told(lambda: [title for _, title, _ in _inside(shown)])
            for part, title, inner in _inside(shown):
                self._inner(inner, title, place + part)

    def side_by_side(self, shown: Sequence[Shown], names: Sequence[str]) -> None:
        """Where there are several flows: each with the first, as an entry before all others."""
        flows = [(i, record, names[i]) for i, record in enumerate(shown) if isinstance(record, Flow)]
        if len(flows) < 2:
            return
        (first, a, name_a), *others = flows
        pairs = [self._compared(a, b, name_a, name_b, [first], [i]) for i, b, name_b in others]
        title = self._told(lambda: _titled(flows)) if len(pairs) > 1 else pairs[0]["headline"]
        self.said.insert(0, empty("") | {"headline": title, "pairs": pairs, "place": pairs[0]["diff"]})

    def in_language(self, language: str | None) -> list[Spoken]:
        """What is said of each entry, for the part of a page that needs no script."""
        return self.said if language != "zh" else [self._in_chinese(one | {"layout": None}) for one in self.said]

    def _in_chinese(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._in_chinese(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._in_chinese(item) for item in value]
        return self.chinese.get(value, value) if isinstance(value, str) else value

    def _whatif(self, record: WhatIf, place: Place) -> None:
        change, places = record.change, ([*place, "before"], [*place, "after"])
        names: list[str] = self._told(lambda: [say("before", "之前"), say(f"after {change}", f"{change} 之后")])
        self.said[-1]["pairs"] = [self._compared(record.before, record.after, names[0], names[1], *places)]
        for flow, name, where in zip((record.before, record.after), names, places, strict=True):
            self._inner(flow, name, where)

    def _compared(self, a: Flow, b: Flow, name_a: str, name_b: str, place_a: Place, place_b: Place) -> dict[str, Any]:
        found = diff(a, b, self.tolerance, name_a, name_b)
        self.records.append(_json(found))
        return self._pair(found, [len(self.records) - 1], place_a, place_b)

    def _inner(self, record: Flow | Plan, name: str, place: Place) -> None:
        self._say(record, name, place)
        if isinstance(record, Flow):
            self._laid_out(record)

    def _say(self, shown: Shown, name: str, place: Place) -> None:
        self.said.append(self._told(lambda: spoken(shown, name)) | {"place": place})
        if isinstance(shown, Flow):  # the page shows these from the record
            self._told(lambda: [findings_words.change_told(what) for what in shown.tried])
            self._told(lambda: [list(findings_words.told(finding)) for finding in shown.findings])

    def _told(self, tell: Callable[[], Any]) -> Any:
        """What it says in English; its Chinese goes to `chinese`."""
        english, chinese = in_both(tell)
        self.chinese |= chinese
        return english

    def _pair(self, found: FlowDiff, place: Place, a: Place | None, b: Place | None) -> dict[str, Any]:
        """The page's `Pair`, its Chinese kept."""
        told: dict[str, Any] = self._told(lambda: _pair(found, place, a, b))
        self._told(lambda: [list(findings_words.told(finding)) for finding in (*found.appeared, *found.disappeared)])
        return told

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


def _titled(flows: Sequence[tuple[int, Flow, str]]) -> str:
    """Of more than two flows: what reaches the stem of each."""
    arrived = listed([f"{facts.printable(name)} {facts.ratio_text(flow.stem_over_head, 2)}" for _, flow, name in flows])
    return say(f"Gradient at the stem over that at the head: {arrived}", f"首层的梯度与头部的梯度之比：{arrived}")


def _inside(record: RunRecord | Comparison) -> Iterator[tuple[Place, str, Flow | Plan]]:
    """Place, title and record of each gradient snapshot, and of the plan that a net was trained under."""
    nets = record.nets if isinstance(record, Comparison) else (record,)
    for i, net in enumerate(nets):
        inside: Place = ["nets", i] if isinstance(record, Comparison) else []
        label = facts.label(net) + say(", ", "，") if isinstance(record, Comparison) else ""
        if net.gradient is not None:
            yield [*inside, "gradient", "initial"], f"{label}{say('before training', '训练前')}", net.gradient.initial
            if net.gradient.final is not None:
                yield [*inside, "gradient", "final"], f"{label}{say('after training', '训练后')}", net.gradient.final
        if net.plan is not None:
            yield [*inside, "plan"], f"{label}{say('memory plan', '内存规划')}", net.plan


_JSON: dict[type[Any], Callable[[Any], Any]] = {WatchLog: watch_data, Spike: spike_data}


def _json(shown: Shown) -> Any:
    if type(shown) in _JSON:
        return _JSON[type(shown)](shown)
    assert isinstance(shown, Record)
    return json.loads(shown.to_json())


PAGED: tuple[type[Any], ...] = (Flow, FlowDiff, PathLengths, Plan, WhatIf, RunRecord, Comparison, WatchLog, Spike)
"""What a report can show."""
