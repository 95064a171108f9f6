"""A watched run as a page's data: thinned evenly in the logarithm of the step, what stood out always kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradpath.record import Spike, WatchEvent, WatchHeader, WatchLog, WatchReport, moves
from gradpath.report import _facts as facts
from gradpath.report._follow_verdict import quantity_zh, verdict
from gradpath.report._grid import wrap
from gradpath.report._say import say

MOST_REPORTS = 200
"""Reports in a page."""
MOST_LOSSES = 2_000
"""Points of the loss curve: each the mean of its steps."""


def watch_data(log: WatchLog) -> dict[str, Any]:
    """The page's `Watch` (web/src/report/watch.ts)."""
    assert log.header is not None
    return _data(log.header, log.reports, log.events)


def spike_data(spike: Spike) -> dict[str, Any]:
    """The reports before a loss spike, as a watched run that ends with it."""
    return _data(spike.header, spike.reports, [WatchEvent(step=spike.step, what="spike", text=spike_sentence(spike))])


def _data(header: WatchHeader, reports: Sequence[WatchReport], events: Sequence[WatchEvent]) -> dict[str, Any]:
    kept = thinned(reports, [event.step for event in events])
    return {
        "kind": "watch-log",
        "header": header.to_dict(),
        "reports": [_without_losses(report) for report in kept],
        "events": [event.to_dict() for event in events],
        "losses": losses(reports),
        "seen": len(reports),
    }


def _without_losses(report: WatchReport) -> dict[str, Any]:
    """The loss of this step alone: those of the steps between are in `losses`."""
    data = report.to_dict()
    return data | {"losses": data["losses"][-1:]}


def thinned(reports: Sequence[WatchReport], events: Sequence[int], most: int = MOST_REPORTS) -> list[WatchReport]:
    """All reports where they are at most `most`; else about that many, evenly by the log of their place (where that
    leaves none between two, all), with the first, the last and those at and before each event (of the newest)."""
    n = len(reports)
    if n <= most:
        return list(reports)
    kept = {0, n - 1}
    for points in range(most // 2, 8 * most, most // 20 or 1):  # the early places fall together: until there are enough
        found = {round((n - 1) ** (i / points)) for i in range(points)}
        if len(found) > most - 2:
            break
        kept = found | {0, n - 1}
    steps = [report.step for report in reports]
    for event in list(events)[-most // 4 :]:
        after = next((i for i, step in enumerate(steps) if step >= event), n - 1)
        kept |= {max(after - 1, 0), after}
    return [reports[i] for i in sorted(kept)]


def losses(reports: Sequence[WatchReport], most: int = MOST_LOSSES) -> list[tuple[int, Any]]:
    """(step, loss) of every step; of many, the mean of each run of neighbours at its last step."""
    from gradpath.record._base import encode

    known = [
        (step, loss)
        for report in reports
        for step, loss in enumerate(report.losses, report.step - len(report.losses) + 1)
    ]
    size = -(-len(known) // most) if known else 1
    groups = [known[i : i + size] for i in range(0, len(known), size)]
    return [(group[-1][0], encode(sum(loss for _, loss in group) / len(group))) for group in groups]


def watch_sentence(log: WatchLog) -> str:
    """What is wrong now, or that it is calm."""
    if log.header is None or not log.reports:
        return say("No report yet", "还没有报告")
    return verdict(log.header, log.reports, moves(log.header, log.reports[:-1], log.reports[-1]))


def watch_facts(log: WatchLog) -> list[str]:
    """What is watched, how much of it is shown, what happened."""
    assert log.header is not None
    header, reports = log.header, log.reports
    shown = len(thinned(reports, [event.step for event in log.events]))
    model, device, layers = facts.printable(header.model), facts.printable(header.device), len(header.layers)
    lines = [say(f"{model}, {layers} layers, on {device}", f"{model}，{layers} 层，{device}")]
    lines.append(facts.counted(len(reports), "report") + _span(reports))
    if shown < len(reports):
        all_ = f"{len(reports):,}"
        lines.append(
            say(
                f"thinned to {shown} of {all_} reports, more of the early ones; the log holds all",
                f"从 {all_} 份报告中抽取了 {shown} 份，早期的较多；日志里有全部",
            )
        )
    lines += [_event(event) for event in log.events[-20:]]
    return lines + [facts.printable(note) for note in header.notes]


def _span(reports: Sequence[WatchReport]) -> str:
    if not reports:
        return ""
    first, last = f"{reports[0].step:,}", f"{reports[-1].step:,}"
    return say(f", step {first} to {last}", f"，第 {first} 到 {last} 步")


def _event(event: WatchEvent) -> str:
    step, text = f"{event.step:,}", facts.printable(event.text)
    return say(f"step {step}, {event.what}: {text}", f"第 {step} 步，{event.what}：{text}")


def spike_sentence(spike: Spike) -> str:
    """'The loss rose to 7.1 at step 120; conv1 moved first, at step 116'."""
    median, loss, step = spike.median_loss, f"{spike.loss:.3g}", f"{spike.step:,}"
    before = "" if median is None else say(f" from a median of {median:.3g}", f"从中位数 {median:.3g} ")
    first = say("no layer moved before it", "此前没有层变动")
    if spike.first is not None:
        moved, scope, when = spike.first.quantity, facts.printable(spike.first.scope), f"{spike.first.step:,}"
        first = say(
            f"the {moved} of {scope} moved first, at step {when}",
            f"{scope} 的{quantity_zh(moved)}最先变动，在第 {when} 步",
        )
    return say(
        f"The loss rose to {loss}{before} at step {step}; {first}", f"损失在第 {step} 步{before}升到 {loss}；{first}"
    )


def spike_text(spike: Spike, width: int = 80) -> str:
    """The sentence alone: its numbers are in the page."""
    return "\n".join(wrap(spike_sentence(spike), width)) + "\n"
