"""What is said of a plan, and the rows of its tables: text, Markdown and the page share them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import groupby

from gradpath import units
from gradpath.record import Plan, StepBytes
from gradpath.report._columns import Column
from gradpath.report._facts import counted, printable
from gradpath.report._say import listed, say

KEEPS = {
    "full": ("all that the backward reads", "反向传播要读的一切"),
    "lean": ("input, raw convolution outputs", "输入和卷积的原始输出"),
    "raw": ("raw convolution outputs", "卷积的原始输出"),
    "last": ("what the sweep back needs", "往回扫一遍所需的"),
    "input": ("the input alone", "只有输入"),
    "none": ("nothing", "什么都不保留"),
}
"""Tape mode → what a block keeps between the passes (docs/definitions.md, tape modes)."""
RUNS, POINTS = 16, 9
"""Rows at most: runs of blocks, points of the trade-off curve."""
_ENDS = 2
"""Rows from each end of a list of runs that is too long; those between are counted."""
_KINDS = {
    "parameters": ("parameters", "参数"),
    "gradients": ("gradients", "梯度"),
    "optimizer": ("optimiser", "优化器"),
    "buffers": ("buffers", "缓冲区"),
    "activations": ("kept for backward", "为反向传播保留"),
    "temporaries": ("temporaries", "临时量"),
}


def peak_bytes(plan: Plan) -> int:
    """As measured in a real step; as predicted where none was run."""
    return plan.measured[-1].peak_bytes if plan.measured else plan.predicted.total


def budget_text(plan: Plan) -> str:
    """'4 GiB', '80% (3.2 GiB)'."""
    size, asked = units.memory(plan.memory_bytes), plan.asked.strip()
    return f"{asked} ({size})" if asked.endswith("%") or asked == "auto" else size


def ratio_text(ratio: float) -> str:
    """A time against keeping everything: '× 1.18'."""
    return f"× {ratio:.2f}"


def headline(plan: Plan) -> str:
    """Whether it fits, at what price in time, against what keeping everything would need."""
    name, batch = printable(plan.name), printable(plan.batch)
    subject = say(f"{name} at batch {batch}", f"{name}（批次 {batch}）")
    whole = units.memory(plan.keep_all.total)
    if not plan.segments:
        return say(
            f"{subject} needs {whole} of {budget_text(plan)}: no block of it is planned, so everything is kept",
            f"{subject}需要 {budget_text(plan)} 中的 {whole}：没有对任何块做规划，所以全部保留",
        )
    peak, budget = units.memory(peak_bytes(plan)), budget_text(plan)
    if peak_bytes(plan) > plan.memory_bytes:
        return say(
            f"{subject} takes {peak}, more than {budget}: {_price(plan)} (which needs {whole})",
            f"{subject}占用 {peak}，超过 {budget}：{_price(plan)}（后者需要 {whole}）",
        )
    if plan.keep_all.total <= plan.memory_bytes:
        ratio = ratio_text(plan.time_ratio)[2:]
        return say(
            f"{subject} fits {budget} with everything kept ({whole}); this plan takes {peak}, {ratio} × its time",
            f"{subject}全部保留（{whole}）也放得进 {budget}；本规划占用 {peak}，用时为其 {ratio} 倍",
        )
    return say(
        f"{subject} fits {budget}: {_price(plan)} (which needs {whole})",
        f"{subject}放得进 {budget}：{_price(plan)}（后者需要 {whole}）",
    )


def _price(plan: Plan) -> str:
    ratio = ratio_text(plan.time_ratio)[2:]
    return say(f"{ratio} × the time of keeping everything", f"用时是全部保留的 {ratio} 倍")


def plan_line(plan: Plan) -> str:
    """The plan in one line: what `gradpath train --memory` says."""
    if not plan.segments:
        return headline(plan)  # it says already that everything is kept
    kept = listed(list(dict.fromkeys(run.mode for run in runs(plan))))
    return say(f"{headline(plan)}; blocks keep {kept}", f"{headline(plan)}；各块保留：{kept}")


def setting(plan: Plan) -> str:
    """Device, precision, optimiser, whose passes: what the numbers hold for."""
    precision = f"{plan.dtype}, autocast {plan.autocast}" if plan.autocast else plan.dtype
    time = units.seconds(plan.plan_seconds) if plan.plan_seconds else ""
    took = time and say(f"; planned in {time}", f"；规划用时 {time}")
    device, optimizer, kernels = plan.device, plan.optimizer, plan.kernels
    return printable(
        say(
            f"{device}, {precision}, {optimizer}, {kernels} passes{took}",
            f"{device}，{precision}，{optimizer}，{kernels} 的算子{took}",
        )
    )


def facts(plan: Plan) -> Iterator[str]:
    """Predicted against measured, what was planned again, the least memory, forwards that are done again."""
    if plan.measured:
        yield _measured(plan)
    if len(plan.measured) > 1:
        before = ", ".join(
            f"{units.memory(step.predicted_bytes)} → {units.memory(step.peak_bytes)}" for step in plan.measured[:-1]
        )
        times = counted(len(plan.measured), "time")
        yield say(
            f"planned {times}; before (predicted → measured): {before}",
            f"规划了 {times}；之前（预测 → 实测）：{before}",
        )
    if plan.segments:
        blocks, kinds, segments = counted(len(plan.blocks), "block"), counted(len(plan.costs), "kind"), _segments(plan)
        yield say(f"{blocks} of {kinds} in {segments}", f"{blocks}（{kinds}），分为 {segments}")
        yield say(f"forwards done again in the backward: {_again(plan)}", f"反向传播中重做的前向：{_again(plan)}")
        if 0 < plan.smallest_bytes < plan.keep_all.total:
            ratio = ratio_text(plan.curve[0].time_ratio) if plan.curve else ""
            slowest, least = ratio and say(f", at {ratio}", f"，用时 {ratio}"), units.memory(plan.smallest_bytes)
            yield say(f"the least memory with a plan: {least}{slowest}", f"规划所能达到的最小内存：{least}{slowest}")
    yield setting(plan)


def _measured(plan: Plan) -> str:
    step = plan.measured[-1]
    peak, seconds = units.memory(step.peak_bytes), units.seconds(step.seconds)
    took = say(f"one real step: {peak} at its peak", f"真实的一步：峰值 {peak}")
    if plan.segments:
        error = f"{100 * (step.peak_bytes / max(step.predicted_bytes, 1) - 1):+.1f} %".replace("-", "−")
        predicted = units.memory(step.predicted_bytes)
        took += say(f", predicted {predicted} ({error})", f"，预测 {predicted}（{error}）")
    return say(f"{took}, {seconds}", f"{took}，{seconds}")


def _segments(plan: Plan) -> str:
    return counted(len(plan.segments), "segment")


def _again(plan: Plan) -> str:
    again = sum(forwards_of_blocks(plan)) - len(plan.blocks)
    if not again:
        return say("none", "无")
    blocks = counted(len(plan.blocks), "block")
    return say(f"{again:,} (of {blocks})", f"{again:,}（共 {blocks}）")


_PLACES = {
    "before the blocks": "在各块之前", "after the blocks": "在各块之后", "beside the blocks": "在各块之旁",
    "is not called in this forward": "本次前向中没有调用",
}  # fmt: skip


def left_alone(plan: Plan) -> tuple[str, ...]:
    """'stem: before the blocks': what no block holds, and why; 'stem：在各块之前'."""
    return tuple(_left_alone(printable(why)) for why in plan.left_alone)


def _left_alone(why: str) -> str:
    module, _, place = why.rpartition(": ")
    return say(why, f"{module}：{_PLACES[place]}" if place in _PLACES else why)


@dataclass(frozen=True)
class Bytes:
    """One kind of bytes at the peak."""

    kind: str
    planned: int
    kept: int
    """Of keeping everything; 0 where it is not known."""


def bytes_by_kind(plan: Plan) -> list[Bytes]:
    """A row for each kind, and their total; then the peak of a real step, where one was run."""
    names = [field.name for field in fields(StepBytes)]
    rows = [Bytes(say(*_KINDS[name]), getattr(plan.predicted, name), getattr(plan.keep_all, name)) for name in names]
    rows.append(Bytes(say("total", "合计"), plan.predicted.total, plan.keep_all.total))
    return [*rows, *([Bytes(say("measured", "实测"), peak_bytes(plan), 0)] if plan.measured else [])]


BYTES_COLUMNS: tuple[Column[Bytes], ...] = (
    Column("bytes at the peak", lambda row: row.kind, left=True, zh="峰值时的字节"),
    Column("this plan", lambda row: units.memory(row.planned), zh="本规划"),
    Column("all kept", lambda row: units.memory(row.kept) if row.kept else "-", zh="全部 保留"),
    Column("part", lambda row: units.percent(row.planned / row.kept) if row.kept else "-", zh="比例"),
)
KEPT_COLUMNS: tuple[Column[Bytes], ...] = (BYTES_COLUMNS[0], BYTES_COLUMNS[2])
"""Where nothing is planned, both would be the same."""


@dataclass(frozen=True)
class Run:
    """Blocks that follow each other and keep the same; or so many runs that are not shown."""

    first: int
    last: int
    mode: str
    modules: str
    forwards: float
    """A step's forwards per block."""
    hidden: int = 0

    @property
    def name(self) -> str:
        span = str(self.first) if self.first == self.last else f"{self.first}–{self.last}"
        hidden = self.hidden
        return say(f"({hidden} runs) {span}", f"（{hidden} 段）{span}") if hidden else span


RUN_COLUMNS: tuple[Column[Run], ...] = (
    Column("blocks", lambda run: run.name, left=True, zh="块"),
    Column("mode", lambda run: run.mode, left=True, zh="模式"),
    Column("keeps", lambda run: keeps(run.mode), keep=6, left=True, zh="保留"),
    Column("forwards", lambda run: units.number(run.forwards, 3), keep=7, zh="前向"),
    Column("modules", lambda run: run.modules, keep=3, left=True, zh="模块"),
)


def keeps(mode: str) -> str:
    """What a block of this tape mode keeps; '' for several modes."""
    return say(*KEEPS[mode]) if mode in KEEPS else ""


def runs(plan: Plan) -> list[Run]:
    """Neighbours with the same mode as one row; of very many rows the first and the last, the rest as one row."""
    modes, forwards = plan.mode_of_blocks(), forwards_of_blocks(plan)
    found = []
    for mode, group in groupby(range(len(modes)), key=lambda block: modes[block]):
        blocks = list(group)
        found.append(_run(plan, mode, forwards, blocks[0], blocks[-1]))
    if len(found) <= RUNS:
        return found
    head, tail = found[: RUNS - _ENDS - 1], found[-_ENDS:]
    between = found[len(head) : -_ENDS]
    mixed = " ".join(mode for mode in KEEPS if any(run.mode == mode for run in between))
    rest = _run(plan, mixed, forwards, between[0].first, between[-1].last, len(between))
    return [*head, rest, *tail]


def _run(plan: Plan, mode: str, forwards: Sequence[int], first: int, last: int, hidden: int = 0) -> Run:
    names = [printable(plan.blocks[block]) for block in sorted({first, last})]
    mean = sum(forwards[first : last + 1]) / (last + 1 - first)
    return Run(first, last, mode, say(" to ", " 到 ").join(names), mean, hidden)


def forwards_of_blocks(plan: Plan) -> list[int]:
    """How often a step runs each block forward; once where all is kept."""
    seen = Counter(block for operation, block, _ in plan.schedule() if operation == "forward")
    return [seen[block] for block in range(len(plan.blocks))]


@dataclass(frozen=True)
class Point:
    """One row of the trade-off."""

    memory_bytes: int
    part: float
    """Of the memory of keeping everything."""
    time_ratio: float
    note: str = ""


CURVE_COLUMNS: tuple[Column[Point], ...] = (
    Column("memory", lambda point: units.memory(point.memory_bytes), zh="内存"),
    Column("of all", lambda point: units.percent(point.part), zh="占全部"),
    Column("time", lambda point: ratio_text(point.time_ratio), zh="用时"),
    Column("", lambda point: point.note, left=True),
)


def points(plan: Plan) -> list[Point]:
    """The trade-off curve, thinned evenly, with this plan and with keeping everything; least memory first."""
    whole = max(plan.keep_all.total, 1)
    few = min(len(plan.curve), POINTS)
    picked = [plan.curve[i * (len(plan.curve) - 1) // max(few - 1, 1)] for i in range(few)]
    own = Point(plan.predicted.total, plan.predicted.total / whole, plan.time_ratio, say("← this plan", "← 本规划"))
    rows = [Point(p.memory_bytes, p.memory_bytes / whole, p.time_ratio) for p in picked if _apart(p.memory_bytes, plan)]
    everything = Point(plan.keep_all.total, 1.0, 1.0, say("plain autograd, everything kept", "普通 autograd，全部保留"))
    return sorted([*rows, own, everything], key=lambda point: (point.memory_bytes, -point.time_ratio))


def _apart(size: int, plan: Plan) -> bool:
    """Whether a point is not this plan itself."""
    return abs(size - plan.predicted.total) > 0.002 * plan.keep_all.total


CURVE_TITLE = "Time against memory: the fastest plan for each, predicted"
RUNS_TITLE = "What each block keeps between its first forward and its backward"


def curve_title() -> str:
    return say(CURVE_TITLE, "用时与内存：每种内存下最快的规划，预测值")


def runs_title() -> str:
    return say(RUNS_TITLE, "每个块在第一次前向与反向之间保留什么")
