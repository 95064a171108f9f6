"""Two flows side by side, as plain text and as Markdown for a CI summary."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradpath import units
from gradpath.record import FlowDiff, LayerDiff, QuantityDiff
from gradpath.report import _columns as columns
from gradpath.report import _facts as facts
from gradpath.report import _findings_words as findings_words
from gradpath.report._columns import Column
from gradpath.report._flow_text import finding_title, quantity
from gradpath.report._grid import table, wrap
from gradpath.report._markdown import markdown_table, plain
from gradpath.report._say import listed, say

LAYERS = 10
"""Layers shown: those that differ most."""


def diff_text(diff: FlowDiff, width: int = 80) -> str:
    """The verdict, the numbers of both, the layers that differ most, findings that came and went."""
    lines = wrap(diff_verdict(diff), width)
    lines += ["", *wrap(f"A: {facts.printable(diff.name_a)}   B: {facts.printable(diff.name_b)}", width), ""]
    lines += table(QUANTITY_COLUMNS, diff.quantities, width)[0] if diff.quantities else []
    if diff.changed_layers:
        lines += ["", *wrap(_layer_title(diff), width)]
        lines += table(LAYER_COLUMNS, diff.changed_layers[:LAYERS], width)[0]
    rest = [line for text in diff_notes(diff) for line in wrap(text, width, indent="  ")]
    return "\n".join([*lines, *([""] if rest else []), *rest]) + "\n"


def diff_markdown(diff: FlowDiff) -> str:
    """The same as Markdown, for a pull request or a job's summary."""
    parts = [f"### {plain(diff_verdict(diff))}", f"A: {plain(diff.name_a)}, B: {plain(diff.name_b)}"]
    if diff.quantities:
        parts.append(markdown_table(QUANTITY_COLUMNS, diff.quantities))
    if diff.changed_layers:
        parts += [plain(_layer_title(diff)), markdown_table(LAYER_COLUMNS, diff.changed_layers[:LAYERS])]
    parts += ["\n".join(f"- {plain(note)}" for note in diff_notes(diff))]
    return "\n\n".join(part for part in parts if part) + "\n"


def diff_verdict(diff: FlowDiff) -> str:
    """'The two flows agree within 0.3 decades (56 layers)', or what differs."""
    decades = units.number(diff.tolerance, 2)
    band = say(f"{decades} decades", f"{decades} 个数量级")
    layers = facts.counted(len(diff.layers), "layer")
    if diff.agrees:
        return say(
            f"The two flows agree within {band} ({layers} compared)", f"两次追踪在 {band}以内一致（比较了 {layers}）"
        )
    parts = []
    if diff.changed_layers:
        changed = len(diff.changed_layers)
        parts.append(
            say(
                f"the gradient RMS of {changed} of {layers} differs by more than {band}",
                f"{layers}中有 {changed} 层的梯度均方根相差超过 {band}",
            )
        )
    if diff.changed_quantities:
        names = listed([facts.printable(quantity(one.name)) for one in diff.changed_quantities])
        verb = "differ" if len(diff.changed_quantities) > 1 else "differs"
        parts.append(say(f"{names} {verb}", f"{names}不同"))
    if diff.appeared:
        kinds = listed(list(dict.fromkeys(facts.printable(findings_words.kind(one.kind)) for one in diff.appeared)))
        new = facts.counted(len(diff.appeared), "new finding")
        parts.append(say(f"{new} in B ({kinds})", f"B 中有 {new}（{kinds}）"))
    text = say("; ", "；").join(parts)
    return text[0].upper() + text[1:]


def _layer_title(diff: FlowDiff) -> str:
    by_depth = sum(layer.matched == "depth" for layer in diff.layers)
    matched = say(f"; {by_depth} matched by depth, as their names differ", f"；{by_depth} 层因名称不同而按深度对应")
    how = matched if by_depth else ""
    hidden, tolerance = len(diff.changed_layers) - LAYERS, units.number(diff.tolerance, 2)
    shown = say(f", the first {LAYERS}", f"，前 {LAYERS} 层") if hidden > 0 else ""
    return say(
        f"Layers beyond {tolerance} decades{shown} (gradient RMS{how})",
        f"相差超过 {tolerance} 个数量级的层{shown}（梯度均方根{how}）",
    )


def diff_notes(diff: FlowDiff) -> Iterator[str]:
    """Findings that came and went, layers without a counterpart."""
    for finding in diff.appeared:
        title = finding_title(finding)
        yield say(f"new in B: {title}", f"B 中新出现：{title}")
    for finding in diff.disappeared:
        title = finding_title(finding)
        yield say(f"gone in B: {title}", f"B 中不再有：{title}")
    for where, names in (("A", diff.only_a), ("B", diff.only_b)):
        if names:
            shown, rest = listed([facts.printable(name) for name in names[:4]]), len(names) - 4
            more = say(f", … {rest} more", f"，… 还有 {rest} 个") if rest > 0 else ""
            yield say(
                f"only in {where} ({len(names)}): {shown}{more}", f"仅在 {where} 中（{len(names)}）：{shown}{more}"
            )


def decades_text(value: float | None) -> str:
    """'×0.012 (−1.9)': the factor, and its decades."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return say("no ratio", "无比值")
    factor = "×1" if abs(value) < 5e-4 else f"×{columns.log10_text(value)}"
    return f"{factor} ({value:+.2f})".replace("-", "−") if abs(value) >= 0.005 else factor


def _names(layer: LayerDiff) -> str:
    call = say(f" (call {layer.call})", f"（第 {layer.call} 次调用）") if layer.call else ""
    a, b = facts.printable(layer.scope_a), facts.printable(layer.scope_b)
    return f"{a}{call}" if a == b else f"{a} ~ {b}"


QUANTITY_COLUMNS: tuple[Column[QuantityDiff], ...] = (
    Column("quantity", lambda q: facts.printable(quantity(q.name)), left=True, zh="量"),
    Column("A", lambda q: facts.ratio_text(q.a)),
    Column("B", lambda q: facts.ratio_text(q.b)),
    Column("B/A (decades)", lambda q: decades_text(q.decades), zh="B/A（数量级）"),
)
LAYER_COLUMNS: tuple[Column[LayerDiff], ...] = (
    Column("layer", _names, left=True, zh="层"),
    Column("depth", lambda x: f"{100 * x.depth:.0f} %", keep=3, zh="深度"),
    Column("A", lambda x: columns.log10_text(x.log10_rms_a)),
    Column("B", lambda x: columns.log10_text(x.log10_rms_b)),
    Column("B/A (decades)", lambda x: decades_text(x.decades), zh="B/A（数量级）"),
)
