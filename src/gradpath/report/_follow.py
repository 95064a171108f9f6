"""A watched run as one screen of text: a verdict, is it still learning, what reaches the first layers, what moves."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from rich.cells import set_cell_size

from gradpath import units
from gradpath.record import (
    TRACE_REQUEST,
    Move,
    WatchEvent,
    WatchHeader,
    WatchLog,
    WatchReport,
    moves,
)
from gradpath.report import _facts as facts
from gradpath.report._columns import Column
from gradpath.report._follow_verdict import quantity_zh, verdict
from gradpath.report._grid import shorten, table, wrap
from gradpath.report._say import say
from gradpath.report._sparkline import BROKEN, LEVELS, UNREACHED, ZERO

_BEFORE = 20
"""Reports that 'before' is the median of."""
_LEAST_DECADES, _LEAST_LOSS = 1.0, 0.05
"""Least range of the scales, so that what is flat looks flat: decades of gradient, share of the loss."""
_LABEL = 8
_RULES = 4
"""Lines of a table beside its title and rows: two of head, a rule, and a gap."""
_COLUMNS: tuple[Column[Move], ...] = (
    Column("layer", lambda move: facts.printable(move.scope), left=True, zh="层"),
    Column("what", lambda move: say(move.quantity, quantity_zh(move.quantity)), left=True, keep=5, zh="量"),
    Column("times before", lambda move: f"×{units.number(move.ratio, 3)}", zh="与之前 之比"),
)


def follow_text(log: WatchLog, width: int = 80, height: int = 24) -> str:
    """The run as it stands, in lines of at most `width` cells; the table of layers takes what room `height` lines
    leave it."""
    header, reports = log.header, log.reports
    if header is None:
        return shorten(say(f"{log.path}: waiting for the first line", f"{log.path}：等待第一行"), width) + "\n"
    if not reports:
        return (
            "\n".join([*wrap(_title(log, header), width), say("waiting for the first report", "等待第一份报告")]) + "\n"
        )
    moved = moves(header, reports[:-1], reports[-1])
    lines = [verdict(header, reports, moved), "", *_status(log, header, reports), ""]
    lines += [*_losses(reports, width), "", *_depth(header, reports, width), ""]
    lines = [line for text in lines for line in (wrap(text, width) or [""])]
    events, foot = _events(log, width), _foot(log, header, width)
    if len(lines) + len(events) + len(foot) > height:  # gaps give way first
        lines = [line for line in lines if line]
    room = height - len(lines) - len(events) - len(foot)
    return "\n".join([*lines, *_movers(moved, room, width), *events, *foot]) + "\n"


def _title(log: WatchLog, header: WatchHeader) -> str:
    where = log.path.parent.name if log.path.name == "watch.jsonl" else log.path.name
    weighted = sum(layer.weighted for layer in header.layers)  # as `gradpath trace` counts: norms have no depth
    layers = facts.counted(weighted or len(header.layers), "layer")
    where, model = facts.printable(where), facts.printable(header.model)
    return say(f"{where}: {model}, {layers}", f"{where}：{model}，{layers}")


def _status(log: WatchLog, header: WatchHeader, reports: Sequence[WatchReport]) -> list[str]:
    last = reports[-1]
    parts = [say(f"step {last.step:,}", f"第 {last.step:,} 步"), units.seconds(last.seconds)]
    if last.loss is not None:
        parts.append(say("loss ", "损失 ") + units.number(last.loss, 4))
    if last.learning_rate is not None:
        parts.append(say("learning rate ", "学习率 ") + units.number(last.learning_rate, 3))
    if last.loss_scale is not None:
        parts.append(say("loss scale ", "损失缩放 ") + units.number(last.loss_scale, 5))
    return [_title(log, header), say(", ", "，").join(parts)]


def _losses(reports: Sequence[WatchReport], width: int) -> list[str]:
    """The loss over all steps, a column being the mean of its steps."""
    losses = [loss for report in reports for loss in report.losses]
    if not losses:
        return [say("Loss: step() was called without one", "损失：step() 没有收到损失")]
    values = _grouped(losses, width - 2)
    finite = [value for value in values if isinstance(value, float)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    least = _LEAST_LOSS * abs(high)
    bottom, top, steps = units.number(low, 3), units.number(high, 3), facts.counted(len(losses), "step")
    scale = say(f" ({bottom} to {top})", f"（{bottom} 到 {top}）") if finite else ""
    return [say(f"Loss of {steps}{scale}", f"{steps}的损失{scale}"), f"  {_bars(values, low, high, least)}"]


def _depth(header: WatchHeader, reports: Sequence[WatchReport], width: int) -> list[str]:
    """Gradient RMS from stem to head, now and before, on one scale."""
    places = [i for i, layer in enumerate(header.layers) if layer.weighted] or list(range(len(header.layers)))
    room = width - 2 - _LABEL
    now = [reports[-1].log10_gradient_rms[i] for i in places]
    rows = {say("now", "现在"): _levels(now, room)}
    earlier = reports[-1 - _BEFORE : -1]
    if earlier:
        medians = [_median([report.log10_gradient_rms[i] for report in earlier]) for i in places]
        rows = {say("before", "之前"): _levels(medians, room)} | rows
    finite = [value for row in rows.values() for value in row if isinstance(value, float)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    logs = say(f"10^{low:.1f} to 10^{high:.1f}, log scale", f"10^{low:.1f} 到 10^{high:.1f}，对数刻度")
    scale = logs if finite else say("no finite value", "没有有限值")
    lines = [say(f"Gradient RMS, stem to head ({scale})", f"梯度均方根，从首层到头部（{scale}）")]
    return lines + [
        f"  {set_cell_size(name, _LABEL)}{_bars(row, low, high, _LEAST_DECADES)}" for name, row in rows.items()
    ]


def _movers(found: Sequence[Move], room: int, width: int) -> list[str]:
    """The layers furthest from their own running median, one row each."""
    if not found:
        return [say("Which layers move: known after five reports", "哪些层在变动：五份报告之后才知道")][: max(room, 0)]
    best = {move.scope: move for move in reversed(found)}
    title = wrap(
        say("Layers that move most, against the median of the reports before", "变动最大的层，与之前报告的中位数相比"),
        width,
    )
    rows = sorted(best.values(), key=lambda move: move.size, reverse=True)[: max(room - len(title) - _RULES, 0)]
    return [*title, *table(_COLUMNS, rows, width)[0], ""] if rows else []


def _events(log: WatchLog, width: int) -> list[str]:
    last: Sequence[WatchEvent] = log.events[-2:]
    skipped = [step for report in log.reports for step in report.skipped_steps]
    lines = [_event(event) for event in last]
    if skipped:
        steps, newest = facts.counted(len(skipped), "step"), f"{skipped[-1]:,}"
        lines.append(
            say(
                f"{steps} skipped, gradients not finite; the last: {newest}",
                f"因梯度非有限跳过了 {steps}；最后一次：第 {newest} 步",
            )
        )
    if log.broken:
        broken = facts.counted(log.broken, "line")
        lines.append(say(f"{broken} of the file could not be read", f"文件中有 {broken}无法读取"))
    return [line for text in lines for line in wrap(text, width, indent="  ")[:3]]


def _event(event: WatchEvent) -> str:
    text = facts.printable(event.text)
    return say(f"step {event.step:,}: {event.what}: {text}", f"第 {event.step:,} 步：{event.what}：{text}")


def _foot(log: WatchLog, header: WatchHeader, width: int) -> list[str]:
    last = log.reports[-1]
    cost = say("not known yet", "尚不知道") if last.overhead is None else units.percent(last.overhead)
    most, period = units.percent(header.max_overhead), facts.counted(last.period, "step")
    bound = say(f"aim {most}", f"目标 {most}") if header.every is None else say("fixed period", "固定周期")
    text = say(
        f"a sample every {period}; overhead {cost} ({bound}); "
        f"touch {TRACE_REQUEST} in the folder to trace the next step",
        f"每 {period}取样一次；开销 {cost}（{bound}）；在文件夹里 touch {TRACE_REQUEST} 可追踪下一步",
    )
    return wrap(text, width, indent="  ")


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and not math.isnan(value)]
    return statistics.median(known) if known else None


def _grouped(values: Sequence[float], columns: int) -> list[float | str]:
    """Means of consecutive values; the sign for what is not finite where one of them is not."""
    count = max(min(columns, len(values)), 1)
    groups = [values[i * len(values) // count : (i + 1) * len(values) // count] for i in range(count)]
    means = [sum(group) / len(group) for group in groups]
    return [mean if math.isfinite(mean) else BROKEN for mean in means]


def _levels(values: Sequence[float | None], columns: int) -> list[float | str]:
    """Log10 values as columns; signs for zero, what is not finite and what no gradient reached."""
    count = max(min(columns, len(values)), 1)
    groups = [values[i * len(values) // count : (i + 1) * len(values) // count] for i in range(count)]
    return [_level(group) for group in groups]


def _level(group: Sequence[float | None]) -> float | str:
    known = [value for value in group if value is not None]
    if any(math.isnan(value) or value == math.inf for value in known):
        return BROKEN
    finite = [value for value in known if value > -math.inf]
    return sum(finite) / len(finite) if finite else ZERO if known else UNREACHED


def _bars(values: Sequence[float | str], low: float, high: float, least: float) -> str:
    span, middle = max(high - low, least) or 1.0, (low + high) / 2

    def bar(value: float) -> str:
        place = (value - middle) / span + 0.5
        return LEVELS[min(max(int(place * len(LEVELS)), 0), len(LEVELS) - 1)]

    return "".join(value if isinstance(value, str) else bar(value) for value in values)
