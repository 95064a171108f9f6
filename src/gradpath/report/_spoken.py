"""What is said of a record on its page: the sentences of the terminal, as data. Drawings read the record itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradpath.errors import UserError
from gradpath.record import Comparison, Flow, FlowDiff, PathLengths, Plan, Record, RunRecord, Spike, WatchLog, WhatIf
from gradpath.report import _advice as advice
from gradpath.report import _diff_text as diff_words
from gradpath.report import _facts as facts
from gradpath.report import _findings_words as findings_words
from gradpath.report import _flow_text as flow_words
from gradpath.report import _measured as measured
from gradpath.report import _paths_text as paths_words
from gradpath.report import _plan_words as plan_words
from gradpath.report import _text as text
from gradpath.report import _verdict as verdict
from gradpath.report import _watched as watched
from gradpath.report._headline import flow_headline, headline
from gradpath.report._say import say

Spoken = dict[str, Any]
"""The page's `Spoken` (web/src/report/data.ts)."""


def empty(name: str) -> Spoken:
    """Nothing said yet."""
    return {
        "name": name,
        "place": [],
        "headline": "",
        "details": [],
        "facts": [],
        "unseen": [],
        "next": [],
        "measured": [],
        "tried": [],
        "pairs": [],
        "layout": None,
    }


def spoken(record: Record | WatchLog, name: str) -> Spoken:
    """Headline, details and facts of one record. Raises UserError for kinds that have no page."""
    if type(record) not in _SAYS:
        raise UserError(f"a {type(record).__name__} has no page: {', '.join(kind.__name__ for kind in _SAYS)} have")
    return empty(name) | _SAYS[type(record)](record)


def headline_of(record: Record | WatchLog) -> str:
    """The one sentence of a record; '' for kinds that have none."""
    says = _SAYS.get(type(record))
    return "" if says is None else str(says(record)["headline"])


def _flow(flow: Flow) -> Spoken:
    worst, others = flow.findings[:1], flow.findings[1:]
    details = [[flow_words.label(what), text] for _ in worst for what, text in flow_words.details(flow)]
    also = [[flow_words.label("also"), flow_words.finding_title(other)] for other in others]
    net = [[flow_words.label("net"), flow_headline(flow)]] if worst else []
    return {
        "headline": flow_words.verdict(flow),
        "details": details + also + net,
        "tried": list(flow_words.tried_lines(flow)),
        "facts": flow_words.flow_facts(flow),
        "unseen": flow_words.unseen_lines(flow.unseen)[2:],  # without the blank line and the title of the text
    }


def _paths(record: PathLengths) -> Spoken:
    return {"headline": paths_words.paths_headline(record), "facts": list(paths_words.paths_facts(record))}


def _diff(record: FlowDiff) -> Spoken:
    return {"headline": diff_words.diff_verdict(record)}  # its notes stand with the pair


def _whatif(record: WhatIf) -> Spoken:
    return {"headline": _capital(findings_words.change_told(record)), "facts": list(record.notes)}


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _plan(plan: Plan) -> Spoken:
    alone = [say(f"left alone: {why}", f"未做规划：{why}") for why in plan_words.left_alone(plan)]
    return {"headline": plan_words.headline(plan), "facts": [*plan_words.facts(plan), *alone]}


def _run(run: RunRecord) -> Spoken:
    return {
        "headline": text.run_headline(run),
        "details": _net_and_plan(run),
        "facts": measured.gradient_facts(run),
        "measured": measured.run_pairs(run),
    }


def _net_and_plan(run: RunRecord) -> list[list[str]]:
    plan = [[flow_words.label("plan"), plan_words.plan_line(run.plan)]] if run.plan else []
    return [[flow_words.label("net"), facts.label(run)], *plan]


def _comparison(record: Comparison) -> Spoken:
    return {
        "headline": headline(record),
        "details": [[flow_words.label("setting"), text.setting(record)]],
        "facts": [finding.sentence for finding in verdict.findings(record)],
        "next": list(advice.next_steps(record)),
        "measured": measured.comparison_pairs(record),
    }


def _watch(log: WatchLog) -> Spoken:
    return {"headline": watched.watch_sentence(log), "facts": watched.watch_facts(log)}


def _spike(spike: Spike) -> Spoken:
    return {"headline": watched.spike_sentence(spike), "facts": [_before(spike)]}


def _before(spike: Spike) -> str:
    count = len(spike.reports)
    return say(f"{count} reports before it", f"之前有 {count} 份报告")


_SAYS: dict[type[Any], Callable[[Any], Spoken]] = {
    Flow: _flow,
    PathLengths: _paths,
    Plan: _plan,
    FlowDiff: _diff,
    WhatIf: _whatif,
    RunRecord: _run,
    Comparison: _comparison,
    WatchLog: _watch,
    Spike: _spike,
}
