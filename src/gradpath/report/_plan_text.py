"""A plan as plain text and as Markdown: whether it fits first, then bytes, blocks, the step, the trade-off, layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from gradpath.record import Plan
from gradpath.report import _facts
from gradpath.report import _plan_layers as layer_words
from gradpath.report import _plan_words as words
from gradpath.report._columns import Column
from gradpath.report._grid import table, wrap
from gradpath.report._markdown import markdown_table, plain
from gradpath.report._plan_steps import step_lines
from gradpath.report._say import say

T = TypeVar("T")
_SPARKLINE_WIDTH = 80


def plan_text(plan: Plan, width: int = 80, *, layers: bool = False, found: str = "") -> str:
    """The whole screen; with `layers`, every layer in place of those that keep most; `found`: a search's result."""
    lines = [line for said in (found, words.headline(plan)) if said for line in wrap(said, width)]
    lines += [line for fact in words.facts(plan) for line in wrap(fact, width, indent="  ")]
    lines += ["", *_rows(_bytes_columns(plan), words.bytes_by_kind(plan), width)]
    lines += _part(step_lines(plan, width))
    if plan.segments:
        lines += _part(_titled(words.runs_title(), words.RUN_COLUMNS, words.runs(plan), width))
        lines += _part(_titled(words.curve_title(), words.CURVE_COLUMNS, words.points(plan), width))
    lines += _part(_layer_lines(plan, width, layers))
    lines += _part([line for why in words.left_alone(plan) for line in wrap(_alone(why), width, indent="  ")])
    return "\n".join(lines) + "\n"


def _alone(why: str) -> str:
    return say(f"left alone: {why}", f"未做规划：{why}")


def _bytes_columns(plan: Plan) -> tuple[Column[words.Bytes], ...]:
    return words.BYTES_COLUMNS if plan.segments else words.KEPT_COLUMNS


def _part(lines: list[str]) -> list[str]:
    """After an empty line, where there is anything."""
    return ["", *lines] if lines else []


def _titled(title: str, columns: Sequence[Column[T]], rows: Iterable[T], width: int) -> list[str]:
    return [*wrap(title, width), *_rows(columns, rows, width)]


def _rows(columns: Sequence[Column[T]], rows: Iterable[T], width: int) -> list[str]:
    return table(columns, rows, width)[0]


def _layer_lines(plan: Plan, width: int, every: bool) -> list[str]:
    shown, rest = layer_words.layer_rows(plan, every)
    if not shown:
        return []
    lines = _titled(_layers_title(every), _layer_columns(shown), shown, width)
    return [*lines, *(wrap(rest, width) if rest else [])]


def _layers_title(every: bool) -> str:
    return layer_words.layers_title(every)


def _layer_columns(rows: Sequence[layer_words.LayerRow]) -> list[Column[layer_words.LayerRow]]:
    """Without the number of calls where it is 1 everywhere."""
    several = any(row.calls > 1 for row in rows)
    return [column for column in layer_words.LAYER_COLUMNS if several or column.head != "calls"]


def plan_markdown(plan: Plan, *, layers: bool = False) -> str:
    """The same as Markdown."""
    parts = [f"### {plain(words.headline(plan))}"]
    parts.append("\n".join(f"- {plain(fact)}" for fact in words.facts(plan)))
    parts.append(markdown_table(_bytes_columns(plan), words.bytes_by_kind(plan)))
    if step := step_lines(plan, _SPARKLINE_WIDTH):
        parts.append("```text\n" + "\n".join(_facts.printable(line) for line in step) + "\n```")
    if plan.segments:
        parts += [words.runs_title() + ":", markdown_table(words.RUN_COLUMNS, words.runs(plan))]
        parts += [words.curve_title() + ":", markdown_table(words.CURVE_COLUMNS, words.points(plan))]
    shown, rest = layer_words.layer_rows(plan, layers)
    if shown:
        parts += [_layers_title(layers) + ":", markdown_table(_layer_columns(shown), shown), plain(rest)]
    parts.append("\n".join(f"- {plain(_alone(why))}" for why in words.left_alone(plan)))
    return "\n\n".join(part for part in parts if part) + "\n"
