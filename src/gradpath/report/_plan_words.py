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

KEEPS = {
    "full": "all that the backward reads",
    "lean": "input, raw convolution outputs",
    "raw": "raw convolution outputs",
    "last": "what the sweep back needs",
    "input": "the input alone",
    "none": "nothing",
}
"""Tape mode → what a block keeps between the passes (docs/definitions.md, tape modes)."""
RUNS, POINTS = 16, 9
"""Rows at most: runs of blocks, points of the trade-off curve."""
_ENDS = 2
"""Rows from each end of a list of runs that is too long; those between are counted."""
_KINDS = {
    "parameters": "parameters",
    "gradients": "gradients",
    "optimizer": "optimiser",
    "buffers": "buffers",
    "activations": "kept for backward",
    "temporaries": "temporaries",
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
    subject = f"{printable(plan.name)} at batch {printable(plan.batch)}"
    whole = units.memory(plan.keep_all.total)
    if not plan.segments:
        return f"{subject} needs {whole} of {budget_text(plan)}: everything is kept, no block of it is planned"
    peak, budget = units.memory(peak_bytes(plan)), budget_text(plan)
    if peak_bytes(plan) > plan.memory_bytes:
        return f"{subject} takes {peak}, more than {budget}: {_price(plan)} (which needs {whole})"
    if plan.keep_all.total <= plan.memory_bytes:
        ratio = f"{ratio_text(plan.time_ratio)[2:]} × its time"
        return f"{subject} fits {budget} with everything kept ({whole}); this plan takes {peak}, {ratio}"
    return f"{subject} fits {budget}: {_price(plan)} (which needs {whole})"


def _price(plan: Plan) -> str:
    return f"{ratio_text(plan.time_ratio)[2:]} × the time of keeping everything"


def plan_line(plan: Plan) -> str:
    """The plan in one line: what `gradpath train --memory` says."""
    kept = ", ".join(dict.fromkeys(run.mode for run in runs(plan))) if plan.segments else "everything"
    return f"{headline(plan)}; blocks keep {kept}"


def setting(plan: Plan) -> str:
    """Device, precision, optimiser, whose passes: what the numbers hold for."""
    precision = f"{plan.dtype}, autocast {plan.autocast}" if plan.autocast else plan.dtype
    took = f"; planned in {units.seconds(plan.plan_seconds)}" if plan.plan_seconds else ""
    return printable(f"{plan.device}, {precision}, {plan.optimizer}, {plan.kernels} passes{took}")


def facts(plan: Plan) -> Iterator[str]:
    """Predicted against measured, what was planned again, the least memory, forwards that are done again."""
    if plan.measured:
        yield _measured(plan)
    if len(plan.measured) > 1:
        before = ", ".join(
            f"{units.memory(step.predicted_bytes)} → {units.memory(step.peak_bytes)}" for step in plan.measured[:-1]
        )
        yield f"planned {counted(len(plan.measured), 'time')}; before (predicted → measured): {before}"
    if plan.segments:
        yield f"{counted(len(plan.blocks), 'block')} of {counted(len(plan.costs), 'kind')} in {_segments(plan)}"
        yield f"forwards done again in the backward: {_again(plan)}"
        if 0 < plan.smallest_bytes < plan.keep_all.total:
            slowest = f", at {ratio_text(plan.curve[0].time_ratio)}" if plan.curve else ""
            yield f"the least memory with a plan: {units.memory(plan.smallest_bytes)}{slowest}"
    yield setting(plan)


def _measured(plan: Plan) -> str:
    step = plan.measured[-1]
    took = f"one real step: {units.memory(step.peak_bytes)} at its peak"
    if plan.segments:
        error = 100 * (step.peak_bytes / max(step.predicted_bytes, 1) - 1)
        took += f", predicted {units.memory(step.predicted_bytes)} ({error:+.1f} %)".replace("(-", "(−")
    return f"{took}, {units.seconds(step.seconds)}"


def _segments(plan: Plan) -> str:
    return counted(len(plan.segments), "segment")


def _again(plan: Plan) -> str:
    again = sum(forwards_of_blocks(plan)) - len(plan.blocks)
    return f"{again:,} (of {counted(len(plan.blocks), 'block')})" if again else "none"


def left_alone(plan: Plan) -> tuple[str, ...]:
    return tuple(map(printable, plan.left_alone))


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
    rows = [Bytes(_KINDS[name], getattr(plan.predicted, name), getattr(plan.keep_all, name)) for name in names]
    rows.append(Bytes("total", plan.predicted.total, plan.keep_all.total))
    return [*rows, *([Bytes("measured", peak_bytes(plan), 0)] if plan.measured else [])]


BYTES_COLUMNS: tuple[Column[Bytes], ...] = (
    Column("bytes at the peak", lambda row: row.kind, left=True),
    Column("this plan", lambda row: units.memory(row.planned)),
    Column("all kept", lambda row: units.memory(row.kept) if row.kept else "-"),
    Column("part", lambda row: units.percent(row.planned / row.kept) if row.kept else "-"),
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
        return f"({self.hidden} runs) {span}" if self.hidden else span


RUN_COLUMNS: tuple[Column[Run], ...] = (
    Column("blocks", lambda run: run.name, left=True),
    Column("mode", lambda run: run.mode, left=True),
    Column("keeps", lambda run: KEEPS.get(run.mode, ""), keep=6, left=True),
    Column("forwards", lambda run: units.number(run.forwards, 3), keep=7),
    Column("modules", lambda run: run.modules, keep=3, left=True),
)


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
    return Run(first, last, mode, " to ".join(names), mean, hidden)


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
    Column("memory", lambda point: units.memory(point.memory_bytes)),
    Column("of all", lambda point: units.percent(point.part)),
    Column("time", lambda point: ratio_text(point.time_ratio)),
    Column("", lambda point: point.note, left=True),
)


def points(plan: Plan) -> list[Point]:
    """The trade-off curve, thinned evenly, with this plan and with keeping everything; least memory first."""
    whole = max(plan.keep_all.total, 1)
    few = min(len(plan.curve), POINTS)
    picked = [plan.curve[i * (len(plan.curve) - 1) // max(few - 1, 1)] for i in range(few)]
    own = Point(plan.predicted.total, plan.predicted.total / whole, plan.time_ratio, "← this plan")
    rows = [Point(p.memory_bytes, p.memory_bytes / whole, p.time_ratio) for p in picked if _apart(p.memory_bytes, plan)]
    everything = Point(plan.keep_all.total, 1.0, 1.0, "plain autograd, everything kept")
    return sorted([*rows, own, everything], key=lambda point: (point.memory_bytes, -point.time_ratio))


def _apart(size: int, plan: Plan) -> bool:
    """Whether a point is not this plan itself."""
    return abs(size - plan.predicted.total) > 0.002 * plan.keep_all.total


CURVE_TITLE = "Time against memory: the fastest plan for each, predicted"
RUNS_TITLE = "What each block keeps between its first forward and its backward"
