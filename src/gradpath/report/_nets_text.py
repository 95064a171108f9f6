"""Networks as plain text and Markdown: the list of names, one net layer by layer, several side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gradpath import units
from gradpath.record import BlockWidth, NetComparison, NetEntry, NetList, NetSummary, NetTable
from gradpath.report._columns import Column
from gradpath.report._facts import printable
from gradpath.report._grid import table, wrap
from gradpath.report._markdown import markdown_table, plain
from gradpath.report._nets_fold import Line, every_layer, folded

NetsRecord = NetList | NetTable | NetComparison


def nets_text(record: NetsRecord, width: int = 80, full: bool = False) -> str:
    """The list, one net's layers (blocks that repeat are folded unless `full`), or several nets side by side."""
    if isinstance(record, NetTable):
        return net_text(record, width, full)
    return list_text(record, width) if isinstance(record, NetList) else comparison_text(record, width)


def nets_markdown(record: NetsRecord, full: bool = False) -> str:
    """The same as Markdown."""
    if isinstance(record, NetTable):
        return net_markdown(record, full)
    return list_markdown(record) if isinstance(record, NetList) else comparison_markdown(record)


# ---- the list

_LIST: tuple[Column[NetEntry], ...] = (
    Column("net", lambda net: printable(net.name), left=True),
    Column("layers", lambda net: str(net.layers), keep=4),
    Column("parameters", lambda net: f"{net.parameters:,}"),
    Column("MACs", lambda net: units.count(net.macs), keep=5),
    Column("error", lambda net: "" if net.error is None else f"{net.error:.2f} %", keep=3),
    Column("by", lambda net: printable(net.source), keep=2, left=True),
)
_FORMS = (
    "Other depths, widths and growth rates have names too: resnet-74, wrn-22-4, densenet-bc-58-18; plain- before a "
    "residual net's name is its twin without skips."
)
_TRY = ("gradpath nets resnet-110                          # layer by layer",
        "gradpath nets --compare resnet-50 densenet-121    # side by side")  # fmt: skip


def list_text(nets: NetList, width: int = 80) -> str:
    """All names with one line each, by families."""
    rows, _ = table(_LIST, nets.nets, width)
    lines, bodies = rows[:-len(nets.nets)], iter(rows[-len(nets.nets):])  # fmt: skip
    for group in nets.groups:
        lines += [*([""] if group is not nets.groups[0] else []), *wrap(f"{group.title} ({group.paper})", width)]
        lines += [next(bodies) for net in nets.nets if net.group == group.title]
    lines += ["", *wrap(_list_caption(nets), width), *wrap(_FORMS, width), *(f"  {line}" for line in _TRY)]
    return "\n".join(lines) + "\n"


def list_markdown(nets: NetList) -> str:
    """The same as Markdown, a table for each family."""
    parts = []
    for group in nets.groups:
        parts.append(f"### {plain(group.title)}\n\n{plain(group.paper)}")
        parts.append(markdown_table(_LIST, [net for net in nets.nets if net.group == group.title]))
    return "\n\n".join([*parts, plain(_list_caption(nets))]) + "\n"


def _list_caption(nets: NetList) -> str:
    data = "; ".join(dict.fromkeys(group.data for group in nets.groups))
    return f"MACs: multiply-accumulates of convolutions and linear layers for one image. error: published ({data})."


# ---- one net

_LAYERS: tuple[Column[Line], ...] = (
    Column("layer", lambda line: line.name, left=True),
    Column("kind", lambda line: line.kind, keep=4, left=True),
    Column("output", lambda line: line.output, keep=7, left=True),
    Column("parameters", lambda line: line.parameters, keep=8),
    Column("MACs", lambda line: line.macs, keep=6),
    Column("sees", lambda line: line.sees, keep=5),
    Column("stride", lambda line: line.stride, keep=3),
)
_LAYER_CAPTION = (
    "sees: side of the square of input pixels that one output pixel can see (its receptive field). stride: input "
    "pixels from one output pixel to the next."
)


def net_text(net: NetTable, width: int = 80, full: bool = False) -> str:
    """One net's layers; blocks that repeat are folded unless `full`."""
    lines = [line for fact in _net_facts(net) for line in wrap(fact, width)]
    rows, dropped = table(_LAYERS, every_layer(net) if full else folded(net), width)
    lines += ["", *rows, "", *wrap(_LAYER_CAPTION + _fold_caption(full), width)]
    if dropped:
        lines += wrap(f"(a wider terminal also shows: {', '.join(column.head for column in dropped)})", width)
    return "\n".join(lines) + "\n"


def net_markdown(net: NetTable, full: bool = False) -> str:
    """The same as Markdown."""
    title, *facts = _net_facts(net)
    lines = every_layer(net) if full else [replace(line, name=line.name.replace("  ", "· ")) for line in folded(net)]
    body = markdown_table(_LAYERS, lines)
    bullets = "\n".join(f"- {plain(fact)}" for fact in facts)
    return "\n\n".join([f"### {plain(title)}", bullets, body, plain(_LAYER_CAPTION + _fold_caption(full))]) + "\n"


def _fold_caption(full: bool) -> str:
    return "" if full else " A line with × sums up blocks made alike; below it is the first of them (--full: all)."


def _net_facts(net: NetTable) -> list[str]:
    spec = net.spec
    name, label = printable(net.name), spec.label
    said = [
        f"{name}: {label}, {spec.input_size}×{spec.input_size} px, {spec.classes} classes",
        f"{net.parameters:,} parameters, {units.count(net.macs)} MACs, {units.memory(net.activation_bytes)} of "
        f"activations an image (kept for the backward pass, float32)",
    ]
    if net.group is not None:
        said.append(f"{printable(net.group.paper)}{_published(net)}")
    return said


def _published(net: NetTable) -> str:
    if net.published is None or net.published.error is None or net.group is None:
        return ""
    return f"; {net.published.error:.2f} % error ({printable(net.group.data)}; {printable(net.published.source)})"


# ---- side by side


@dataclass(frozen=True)
class _Quantity:
    name: str
    of: Callable[[NetSummary], str]


_QUANTITIES = (
    _Quantity("parameters", lambda net: f"{net.parameters:,}"),
    _Quantity("MACs", lambda net: units.count(net.macs)),
    _Quantity("activations", lambda net: units.memory(net.activation_bytes)),
    _Quantity("layers", lambda net: str(net.layers)),
    _Quantity("blocks", lambda net: str(net.blocks)),
    _Quantity("width at the end", lambda net: str(net.width)),
    _Quantity("growth rate", lambda net: str(net.spec.growth_rate) if net.spec.family == "dense" else "-"),
    _Quantity("sees", lambda net: f"{net.receptive_field} px"),
    _Quantity("input", lambda net: f"{net.spec.input_size} px"),
    _Quantity("classes", lambda net: str(net.spec.classes)),
)
_BLOCKS: tuple[Column[BlockWidth], ...] = (
    Column("block", lambda b: " ".join(filter(None, (printable(b.of), printable(b.name)))), left=True),
    Column("reads", lambda b: str(b.reads), keep=7),
    Column("width", lambda b: str(b.writes)),
    Column("new", lambda b: str(b.computes), keep=5),
    Column("parameters", lambda b: f"{b.parameters:,}"),
    Column("/channel", lambda b: f"{b.parameters / b.writes:,.0f}"),
    Column("/new", lambda b: f"{b.parameters / b.computes:,.0f}", keep=5),
    Column("MACs", lambda b: units.count(b.macs), keep=4),
    Column("at", lambda b: f"{b.size} px", keep=3),
)
_BLOCK_TITLE = "What a block's width costs: the middle block of each net, and an Inception-style block as wide"
_COMPARISON_CAPTION = (
    "activations: of one image, kept for the backward pass in float32. layers: convolutions and linear layers, "
    "projections too. sees: receptive field of the last convolution. "
)
_BLOCK_CAPTION = (
    "width: channels that the block passes on. new: those it computes; a dense layer hands on the others as they are. "
    "/channel, /new: parameters for each of them."
)


def comparison_text(comparison: NetComparison, width: int = 80) -> str:
    """The nets in columns, as many as fit beside each other, then their blocks."""
    lines: list[str] = []
    nets = list(comparison.nets)
    while nets:
        count = next((n for n in range(len(nets), 1, -1) if not table(_beside(nets[:n]), _QUANTITIES, width)[1]), 1)
        lines += [*table(_beside(nets[:count]), _QUANTITIES, width)[0], ""]
        nets = nets[count:]
    lines += [*wrap(_COMPARISON_CAPTION, width), "", *wrap(_BLOCK_TITLE, width), ""]
    lines += [*table(_BLOCKS, comparison.blocks, width)[0], "", *wrap(_BLOCK_CAPTION, width)]
    return "\n".join(lines) + "\n"


def comparison_markdown(comparison: NetComparison) -> str:
    """The same as Markdown."""
    parts = [markdown_table(_beside(comparison.nets), _QUANTITIES), plain(_COMPARISON_CAPTION.strip())]
    parts += [f"### {plain(_BLOCK_TITLE)}", markdown_table(_BLOCKS, comparison.blocks), plain(_BLOCK_CAPTION)]
    return "\n\n".join(parts) + "\n"


def _beside(nets: Sequence[NetSummary]) -> list[Column[_Quantity]]:
    columns: list[Column[_Quantity]] = [Column("", lambda quantity: quantity.name, left=True)]
    return columns + [Column(printable(net.name), lambda quantity, net=net: quantity.of(net)) for net in nets]  # type: ignore[misc]
