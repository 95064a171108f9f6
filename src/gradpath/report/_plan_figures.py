"""What the two panels of a plan show, before anything is drawn: SVG, the page and PNG share it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradpath import units
from gradpath.record import Plan
from gradpath.report._plan_steps import Step, always_bytes, step_of
from gradpath.report._plan_words import ratio_text

COLUMNS = 240
"""Bars of the first panel at most."""
THEORY_POINTS = 40
STEP_TITLE = "Memory over one step"
CURVE_TITLE = "Time against memory"
TIME_NOTE = "everything kept = 1"
THEORY_NOTE = "whole blocks run twice: 1 + (1 − x)/3"
"""x: kept part of the tape; a backward costs two forwards (Chen et al. 2016)."""
AGAIN_NOTE = "forward again"
MEMORY_AXIS = "peak memory of a step (log scale)"
_QUARTERS = (1, 1.25, 1.5, 1.75)
Tick = tuple[float, str]
"""Where, from 0 to 1, and what is written there."""


@dataclass(frozen=True)
class StepPanel:
    """Bars from the first forward to the last backward."""

    step: Step
    top_bytes: int
    """Of the axis."""
    ticks: tuple[Tick, ...]
    budget: float | None
    """Where the budget's line is, from 0 to 1; None where nothing is planned."""
    budget_text: str
    peak_text: str
    always: float
    """Height of what no plan changes."""
    always_text: str

    def height(self, size: float) -> float:
        """0 to 1."""
        return size / self.top_bytes


@dataclass(frozen=True)
class CurvePanel:
    """The trade-off: places from 0 to 1 in both directions, from the lower left."""

    line: tuple[tuple[float, float], ...]
    theory: tuple[tuple[float, float], ...]
    """The rule of thumb down to its knee; empty where there is none."""
    own: tuple[float, float]
    everything: tuple[float, float]
    own_text: str
    everything_text: str
    budget: float | None
    memory_ticks: tuple[Tick, ...]
    time_ticks: tuple[Tick, ...]


def step_panel(plan: Plan) -> StepPanel | None:
    """None where neither the moves of the plan nor layers are known."""
    step = step_of(plan, COLUMNS)
    if step is None:
        return None
    budget = None if step.counted else plan.memory_bytes
    top = int(1.12 * max(*step.heights, 1 if budget is None else min(budget, 2 * max(step.heights))))
    place = None if budget is None or budget > top else budget / top
    said = "" if budget is None else f"budget {units.memory(budget)}" + ("" if place is not None else " (above)")
    always = always_bytes(plan)
    return StepPanel(
        step=step,
        top_bytes=top,
        ticks=byte_ticks(top),
        budget=place,
        budget_text=said,
        peak_text=f"peak {units.memory(max(step.heights))}",
        always=always / top,
        always_text=f"parameters, gradients, optimiser: {units.memory(always)}",
    )


def byte_ticks(top_bytes: int) -> tuple[Tick, ...]:
    """Four to seven round sizes from 0 to the top, all in one unit."""
    unit = 2 ** (10 * min(max(int(math.log2(max(top_bytes, 1))) // 10, 0), 3))
    ideal = top_bytes / unit / 5
    power = 10.0 ** math.floor(math.log10(ideal))
    size = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= ideal)
    count = int(top_bytes / unit / size)
    return tuple((i * size * unit / top_bytes, units.memory(i * size * unit) if i else "0") for i in range(count + 1))


def curve_panel(plan: Plan) -> CurvePanel | None:
    """None where nothing is planned."""
    if not plan.segments:
        return None
    places = [(point.memory_bytes, point.time_ratio) for point in plan.curve]
    theory = _theory(plan)
    own, everything = (plan.predicted.total, plan.time_ratio), (plan.keep_all.total, 1.0)
    shown = [*places, *theory, own, everything]
    across = _Log(min(size for size, _ in shown), max(size for size, _ in shown))
    up = _Linear(min(time for _, time in shown), max(time for _, time in shown))

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return across.place(point[0]), up.place(point[1])

    budget = across.place(plan.memory_bytes)
    return CurvePanel(
        line=tuple(map(place, places)),
        theory=tuple(map(place, theory)),
        own=place(own),
        everything=place(everything),
        own_text=f"this plan: {units.memory(own[0])}, {ratio_text(own[1])}",
        everything_text=f"everything kept: {units.memory(everything[0])}",
        budget=budget if 0 <= budget <= 1 else None,
        memory_ticks=across.ticks(),
        time_ticks=up.ticks(),
    )


def _theory(plan: Plan) -> list[tuple[float, float]]:
    """The homogeneous chain with whole blocks kept or run twice, down to the knee at √(2aL) inputs of a block.

    a: tape of a block over its input, L: blocks; a backward costs two forwards. Below the knee the rule is wrong.
    """
    fixed = always_bytes(plan)
    inputs = sum(plan.costs[kind].input_bytes for kind in plan.signatures)
    tapes = sum(plan.costs[kind].plain_bytes for kind in plan.signatures)
    if not inputs or not tapes or plan.keep_all.total <= fixed:
        return []
    knee = math.sqrt(2 * inputs / (tapes * len(plan.signatures)))  # √(2aL) / (aL)
    if knee >= 1:
        return []
    kept = [knee + (1 - knee) * i / (THEORY_POINTS - 1) for i in range(THEORY_POINTS)]
    return [(fixed + x * (plan.keep_all.total - fixed), 1 + (1 - x) / 3) for x in kept]


@dataclass(frozen=True)
class _Log:
    """A log axis of bytes, with some room at both ends."""

    low: float
    high: float

    def place(self, size: float) -> float:
        low, high = self._ends()
        return (math.log2(max(size, 1)) - low) / (high - low)

    def _ends(self) -> tuple[float, float]:
        low, high = math.log2(max(self.low, 1)), math.log2(max(self.high, 2))
        room = 0.06 * (high - low) + 0.1
        return low - room, high + room

    def ticks(self) -> tuple[Tick, ...]:
        """Powers of two, every so many; quarters between them where they are few."""
        low, high = self._ends()
        step = max(math.ceil((high - low) / 6), 1)
        powers = [float(p) for p in range(math.ceil(low), math.floor(high) + 1) if p % step == 0]
        if len(powers) < 3:
            parts = [p + math.log2(part) for p in range(math.floor(low), math.ceil(high)) for part in _QUARTERS]
            powers = [p for p in parts if low <= p <= high]
        return tuple(((p - low) / (high - low), units.memory(2**p)) for p in powers)


@dataclass(frozen=True)
class _Linear:
    """Time ratios, with some room at both ends."""

    low: float
    high: float

    def place(self, ratio: float) -> float:
        low, high = self._ends()
        return (ratio - low) / (high - low)

    def _ends(self) -> tuple[float, float]:
        room = max(0.08 * (self.high - self.low), 0.02)
        return self.low - room, self.high + room

    def ticks(self) -> tuple[Tick, ...]:
        low, high = self._ends()
        step = next(s for s in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 100, 1e9) if (high - low) / s <= 7)
        count = range(math.ceil(low / step), math.floor(high / step) + 1)
        return tuple((self.place(i * step), units.number(i * step, 3)) for i in count)
