"""Two flows side by side, as plain text and as Markdown for a CI summary."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradpath import units
from gradpath.record import FlowDiff, LayerDiff, QuantityDiff
from gradpath.report import _columns as columns
from gradpath.report import _facts as facts
from gradpath.report._columns import Column
from gradpath.report._flow_text import finding_title
from gradpath.report._grid import table, wrap
from gradpath.report._markdown import markdown_table, plain

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
    band = f"{units.number(diff.tolerance, 2)} decades"
    layers = facts.counted(len(diff.layers), "layer")
    if diff.agrees:
        return f"The two flows agree within {band} ({layers} compared)"
    parts = []
    if diff.changed_layers:
        parts.append(f"the gradient RMS of {len(diff.changed_layers)} of {layers} differs by more than {band}")
    if diff.changed_quantities:
        names = ", ".join(facts.printable(quantity.name) for quantity in diff.changed_quantities)
        parts.append(f"{names} {'differ' if len(diff.changed_quantities) > 1 else 'differs'}")
    if diff.appeared:
        kinds = ", ".join(dict.fromkeys(facts.printable(finding.kind) for finding in diff.appeared))
        parts.append(f"{facts.counted(len(diff.appeared), 'new finding')} in B ({kinds})")
    text = "; ".join(parts)
    return text[0].upper() + text[1:]


def _layer_title(diff: FlowDiff) -> str:
    by_depth = sum(layer.matched == "depth" for layer in diff.layers)
    how = f"; {by_depth} matched by depth, as their names differ" if by_depth else ""
    hidden = len(diff.changed_layers) - LAYERS
    shown = f", the first {LAYERS}" if hidden > 0 else ""
    return f"Layers beyond {units.number(diff.tolerance, 2)} decades{shown} (gradient RMS{how})"


def diff_notes(diff: FlowDiff) -> Iterator[str]:
    """Findings that came and went, layers without a counterpart."""
    for finding in diff.appeared:
        yield f"new in B: {finding_title(finding)}"
    for finding in diff.disappeared:
        yield f"gone in B: {finding_title(finding)}"
    for where, names in (("A", diff.only_a), ("B", diff.only_b)):
        if names:
            shown = ", ".join(facts.printable(name) for name in names[:4])
            more = f", … {len(names) - 4} more" if len(names) > 4 else ""
            yield f"only in {where} ({len(names)}): {shown}{more}"


def decades_text(value: float | None) -> str:
    """'×0.012 (−1.9)': the factor, and its decades."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "no ratio"
    factor = "×1" if abs(value) < 5e-4 else f"×{columns.log10_text(value)}"
    return f"{factor} ({value:+.2f})".replace("-", "−") if abs(value) >= 0.005 else factor


def _names(layer: LayerDiff) -> str:
    call = f" (call {layer.call})" if layer.call else ""
    a, b = facts.printable(layer.scope_a), facts.printable(layer.scope_b)
    return f"{a}{call}" if a == b else f"{a} ~ {b}"


QUANTITY_COLUMNS: tuple[Column[QuantityDiff], ...] = (
    Column("quantity", lambda q: facts.printable(q.name), left=True),
    Column("A", lambda q: facts.ratio_text(q.a)),
    Column("B", lambda q: facts.ratio_text(q.b)),
    Column("B/A (decades)", lambda q: decades_text(q.decades)),
)
LAYER_COLUMNS: tuple[Column[LayerDiff], ...] = (
    Column("layer", _names, left=True),
    Column("depth", lambda x: f"{100 * x.depth:.0f} %", keep=3),
    Column("A", lambda x: columns.log10_text(x.log10_rms_a)),
    Column("B", lambda x: columns.log10_text(x.log10_rms_b)),
    Column("B/A (decades)", lambda x: decades_text(x.decades)),
)
