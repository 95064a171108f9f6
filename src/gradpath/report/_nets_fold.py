"""A net's layers as lines: every one, or with blocks that repeat folded into the first of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from gradpath import units
from gradpath.record import NetLayer, NetTable
from gradpath.report._facts import printable

Layers = Sequence[NetLayer]


@dataclass(frozen=True)
class Line:
    """One line of the table, as it is written."""

    name: str
    kind: str
    output: str
    parameters: str
    macs: str
    sees: str
    stride: str


def every_layer(net: NetTable) -> list[Line]:
    """A line for each layer, by its whole name."""
    return [_line(layer, printable(layer.name)) for layer in net.layers]


def folded(net: NetTable) -> list[Line]:
    """A line with the sums for each run of blocks that are made alike, then the layers of the first of them."""
    lines: list[Line] = []
    for run in _runs([list(layers) for _, layers in groupby(net.layers, lambda layer: layer.block or layer.name)]):
        first = run[0]
        if not first[0].block:
            lines += [_line(layer, printable(layer.name)) for layer in first]
            continue
        lines.append(_sums(run, net.spec.family == "dense"))
        lines += [_line(layer, f"  {_inside(layer)}") for layer in first]
    return lines


def _inside(layer: NetLayer) -> str:
    """The layer's name inside its block; what the block does itself is in brackets."""
    return printable(layer.name[len(layer.block) + 1 :]) or "(itself)"


def _runs(blocks: Sequence[Layers]) -> Iterator[list[Layers]]:
    """Blocks of one stage that follow each other and have the same layers; dense layers read more and more."""
    for _, run in groupby(blocks, _made_of):
        yield list(run)


def _made_of(layers: Layers) -> tuple[object, ...]:
    block = layers[0].block
    if not block:
        return (layers[0].name,)
    stage = block.rpartition(".")[0]
    return stage, *((layer.name.removeprefix(block), layer.kind, layer.shape[1:]) for layer in layers)


def _sums(run: Sequence[Layers], dense: bool) -> Line:
    first, last = run[0][0].block, run[-1][0].block
    several = f"–{last.rpartition('.')[2]} ×{len(run)}" if len(run) > 1 else ""
    layers = [layer for block in run for layer in block]
    return Line(
        name=printable(first) + several,
        kind="",
        output=_shape(_output(run[-1], dense)),
        parameters=f"{sum(layer.parameters for layer in layers):,}",
        macs=_count(sum(layer.macs for layer in layers)),
        sees=_pixels(max(layer.receptive_field or 0 for layer in run[-1])),
        stride=_pixels(run[-1][-1].stride),
    )


def _output(block: Layers, dense: bool) -> tuple[int, ...]:
    """What leaves a block: a dense layer adds its last convolution's channels to those that its first norm reads."""
    first, last = block[0], block[-1]
    if dense and first.name == f"{first.block}.norm1":
        return (first.shape[0] + last.shape[0], *last.shape[1:])
    return last.shape


def _line(layer: NetLayer, name: str) -> Line:
    return Line(
        name=name,
        kind=layer.kind,
        output=_shape(layer.shape),
        parameters=f"{layer.parameters:,}" if layer.parameters else "",
        macs=_count(layer.macs),
        sees=_pixels(layer.receptive_field),
        stride=_pixels(layer.stride),
    )


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _count(value: int) -> str:
    return units.count(value) if value else ""


def _pixels(value: int | None) -> str:
    return "all" if value is None else str(value)
