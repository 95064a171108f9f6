"""The layers of a plan as rows: those that cost the same together, or every call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradpath import units
from gradpath.record import LayerBytes, Plan
from gradpath.report._columns import Column
from gradpath.report._facts import printable
from gradpath.report._say import say

LAYERS = 12
"""Rows at most, unless all are asked for."""
LAYERS_TITLE = "Layers under plain autograd, those that keep most first, equal ones in one row"
ALL_LAYERS_TITLE = "Layers under plain autograd, in the order of the forward"


def layers_title(every: bool) -> str:
    """Of the table of all layers, or of those that keep most."""
    if every:
        return say(ALL_LAYERS_TITLE, "普通 autograd 下的各层，按前向的顺序")
    return say(LAYERS_TITLE, "普通 autograd 下的各层，保留最多的在前，相同的并为一行")


@dataclass(frozen=True)
class LayerRow:
    """One call of a layer, or several calls that cost the same."""

    name: str
    kind: str
    output: str
    calls: int
    parameter_bytes: int
    """Of all these calls, as `kept_bytes`."""
    kept_bytes: int
    backward_bytes: int
    """The largest of these calls."""


LAYER_COLUMNS: tuple[Column[LayerRow], ...] = (
    Column("layer", lambda row: row.name, left=True, zh="层"),
    Column("module", lambda row: row.kind, keep=4, left=True, zh="模块"),
    Column("output", lambda row: row.output, keep=5, left=True, zh="输出"),
    Column("calls", lambda row: f"{row.calls:,}", keep=7, zh="调用"),
    Column(
        "parameters", lambda row: units.memory(row.parameter_bytes) if row.parameter_bytes else "-", keep=6, zh="参数"
    ),
    Column("forward keeps", lambda row: units.memory(row.kept_bytes), zh="前向 保留"),
    Column("backward adds", lambda row: units.memory(row.backward_bytes), keep=8, zh="反向 增加"),
)


def layer_rows(plan: Plan, every: bool = False) -> tuple[list[LayerRow], str]:
    """Layers that cost the same as one row, those that keep most first, and what is said of those not shown.

    With `every`: each call as it comes in the forward.
    """
    if every:
        return [_layer_row([layer]) for layer in plan.layers], ""
    groups: dict[tuple[str, str, int, int], list[LayerBytes]] = {}
    for layer in plan.layers:
        groups.setdefault((layer.kind, layer.output, layer.parameter_bytes, layer.kept_bytes), []).append(layer)
    rows = sorted(map(_layer_row, groups.values()), key=lambda row: -row.kept_bytes)
    shown, rest = rows[:LAYERS], rows[LAYERS:]
    hidden = sum(row.calls for row in rest)
    kept = units.memory(sum(row.kept_bytes for row in rest))
    more = say(f"({hidden:,} more calls of layers keep {kept} together)", f"（另外 {hidden:,} 次层调用共保留 {kept}）")
    return shown, more if rest else ""


def _layer_row(calls: Sequence[LayerBytes]) -> LayerRow:
    first, more = calls[0], len(calls) - 1
    return LayerRow(
        name=(printable(first.name) or say("(model)", "（模型）")) + (" …" if more else ""),
        kind=printable(first.kind),
        output=printable(first.output),
        calls=len(calls),
        parameter_bytes=sum(call.parameter_bytes for call in calls),
        kept_bytes=sum(call.kept_bytes for call in calls),
        backward_bytes=max(call.backward_bytes for call in calls),
    )
