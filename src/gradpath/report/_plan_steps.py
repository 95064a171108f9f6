"""Memory over one step in as many columns as there is room for: what the sparkline and the figures draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from rich.cells import set_cell_size

from gradpath import units
from gradpath.record import BACKWARD, Plan
from gradpath.report._grid import wrap
from gradpath.report._say import say
from gradpath.report._sparkline import LEVELS, MOST_COLUMNS

_WIDENED = 60
"""Columns up to which a short step is stretched."""
_LARGE = 1 / 3
"""Of the scale: where what is always there is more than this, the line begins above it."""


@dataclass(frozen=True)
class Step:
    """The peak of the moves in each column, from the first forward to the last backward."""

    heights: tuple[int, ...]
    """Bytes."""
    forward: int
    """Columns of the forward pass; the others are the backward pass."""
    again: tuple[float, ...]
    """Of each column's moves, the part that are forwards done again in the backward pass, 0 to 1."""
    peak: int
    """The column of the peak."""
    moves: int
    counted: bool = False
    """Added up from the layers' bytes, since nothing is planned."""


def step_of(plan: Plan, columns: int) -> Step | None:
    """The step in at most so many columns; None where neither moves nor layers are known."""
    kinds = _moves(plan)
    if plan.live_bytes and len(kinds) == len(plan.live_bytes):
        start = sum(len(segment.forward) for segment in plan.segments)
        again = [i >= start and mode != BACKWARD for i, mode in enumerate(kinds)]
        return _binned(plan.live_bytes, start, again, columns, counted=False)
    if plan.layers:
        live = _plain(plan)
        return _binned(live, len(plan.layers), [False] * len(live), columns, counted=True)
    return None


def _moves(plan: Plan) -> list[str]:
    forward = [mode for segment in plan.segments for _, mode, _ in segment.forward]
    return forward + [mode for segment in reversed(plan.segments) for _, mode, _ in segment.backward]


def _plain(plan: Plan) -> list[int]:
    """Plain autograd, from the layers: what is there always, and what they have kept so far."""
    always = always_bytes(plan)
    kept = list(accumulate(layer.kept_bytes for layer in plan.layers))
    back = [size + layer.backward_bytes for size, layer in zip(kept, plan.layers, strict=True)]
    return [always + size for size in kept] + [always + size for size in reversed(back)]


def _binned(live: Sequence[int], start: int, again: Sequence[bool], columns: int, *, counted: bool) -> Step:
    """The two passes get columns in proportion to their moves, at least one each."""
    count = min(columns, len(live))
    left = min(max(round(count * start / len(live)), min(start, 1)), count - (start < len(live)))
    groups = [*_groups(0, start, left), *_groups(start, len(live), count - left)]
    heights = tuple(max(live[a:b]) for a, b in groups)
    share = tuple(sum(again[a:b]) / (b - a) for a, b in groups)
    return Step(heights, left, share, max(range(count), key=heights.__getitem__), len(live), counted)


def _groups(first: int, last: int, count: int) -> list[tuple[int, int]]:
    """So many ranges of nearly the same size."""
    edges = [first + i * (last - first) // max(count, 1) for i in range(count + 1)]
    return list(pairwise(edges))


def step_lines(plan: Plan, width: int) -> list[str]:
    """The step as one line of blocks with a full block at the budget, its peak and passes marked below."""
    step = step_of(plan, min(width - 2, MOST_COLUMNS))
    if step is None:
        return []
    step = _widened(step, min(width - 2, _WIDENED) // len(step.heights))
    top = max(step.heights) if step.counted else max(plan.memory_bytes, *step.heights)
    low = always_bytes(plan) if always_bytes(plan) > _LARGE * top else 0
    line = "".join(_level(height - low, top - low) for height in step.heights)
    highest = units.memory(max(step.heights))
    peak = say(f"^ peak {highest}", f"^ 峰值 {highest}")
    column = step.peak if step.peak + len(peak) <= width - 2 else None
    mark = " " * step.peak + peak if column is not None else f"{peak[2:]} ^".rjust(step.peak + 1)
    return [*wrap(_title(plan, step, low, top), width, indent="  "), f"  {line}", f"  {_ruler(step)}", f"  {mark}"]


def _widened(step: Step, times: int) -> Step:
    """A few moves with several columns each, so that the passes have room for their names."""
    if times < 2:
        return step
    heights = tuple(height for height in step.heights for _ in range(times))
    again = tuple(share for share in step.again for _ in range(times))
    return replace(step, heights=heights, forward=step.forward * times, again=again, peak=step.peak * times)


def always_bytes(plan: Plan) -> int:
    """Parameters, gradients, the optimiser's state and buffers: what no plan changes."""
    kinds = plan.predicted
    return kinds.parameters + kinds.gradients + kinds.optimizer + kinds.buffers


def _title(plan: Plan, step: Step, low: int, top: int) -> str:
    least, most, moves = units.memory(low), units.memory(top), f"{step.moves:,}"
    bottom = say(f"{least}, parameters and their like,", f"{least}（参数等）") if low else say("0", "0 ")
    if step.counted:
        return say(
            f"Memory over the step, everything kept, added up from its layers (from {bottom} to {most})",
            f"一步之内的内存，全部保留，由各层相加（从 {bottom}到 {most}）",
        )
    full = say(f"the budget, {most}", f"预算 {most}") if top == plan.memory_bytes else say(most, f" {most}")
    return say(
        f"Memory over the step's {moves} moves (scale from {bottom} to {full})",
        f"一步的 {moves} 个动作中的内存（刻度从 {bottom}到{full}）",
    )


def _level(size: int, top: int) -> str:
    return LEVELS[min(max(size, 0) * len(LEVELS) // max(top, 1), len(LEVELS) - 1)]


def _ruler(step: Step) -> str:
    """'|forward       |backward': where each pass begins."""
    back = len(step.heights) - step.forward
    passes = ((say("forward", "前向"), step.forward), (say("backward", "反向"), back))
    return "".join(set_cell_size("|" + name, columns) for name, columns in passes).rstrip()
