"""Networks described from their specifications alone: one layer by layer, several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from gradpath.nets._blocks import DenseLayer
from gradpath.nets._inception import InceptionBlock
from gradpath.nets._layer_table import BATCH, watch, watch_forward, without_memory
from gradpath.nets._names import spec_name
from gradpath.nets._protocol import Block
from gradpath.record import BlockWidth, NetComparison, NetLayer, NetSpec, NetSummary, NetTable

INCEPTION = "Inception-style"


def describe(spec: NetSpec, name: str | None = None) -> NetTable:
    """A network layer by layer: shapes, parameters, MACs, receptive fields; nothing is allocated."""
    seen = watch_forward(spec)
    return NetTable(
        name=name or spec_name(spec) or spec.label,
        spec=spec,
        parameters=sum(layer.parameters for layer in seen.layers),
        macs=sum(layer.macs for layer in seen.layers),
        activation_bytes=seen.activation_bytes,
        layers=seen.layers,
    )


def side_by_side(specs: Sequence[NetSpec], names: Sequence[str] | None = None) -> NetComparison:
    """Networks in numbers, and one block of each beside an Inception-style block of the same width."""
    names = names or [spec_name(spec) or spec.label for spec in specs]
    tables = [describe(spec, name) for spec, name in zip(specs, names, strict=True)]
    blocks = [_middle_block(table) for table in tables]
    shapes = dict.fromkeys((block.reads, block.writes, block.size) for block in blocks)
    wide = [_inception(*shape) for shape in shapes]
    return NetComparison(nets=tuple(map(_summary, tables)), blocks=(*blocks, *wide))


def _summary(table: NetTable) -> NetSummary:
    weighted = [layer for layer in table.layers if layer.macs]
    in_blocks = [layer for layer in table.layers if layer.block]
    return NetSummary(
        name=table.name,
        spec=table.spec,
        layers=len(weighted),
        blocks=len({layer.block for layer in in_blocks}),
        parameters=table.parameters,
        macs=table.macs,
        activation_bytes=table.activation_bytes,
        width=_width(weighted[-1], table),
        receptive_field=max(layer.receptive_field or 0 for layer in table.layers),
    )


def _width(head: NetLayer, table: NetTable) -> int:
    """Channels that the linear layer reads."""
    return head.macs // table.spec.classes


def _middle_block(table: NetTable) -> BlockWidth:
    """The last block of the middle stage, at the resolution it has there: of a dense net its last layer there."""
    module = without_memory(table.spec).train()
    number = (len(module.stages) - 1) // 2
    stage = cast("nn.Sequential", module.stages[number])
    block = cast("Block", stage[-1])
    name = f"stages.{number}.{len(stage) - 1}"
    size = next(layer.shape[1] for layer in reversed(table.layers) if layer.block == name)
    return block_width(block, size, of=table.name, name=name)


def _inception(reads: int, writes: int, size: int) -> BlockWidth:
    """Of a width that its branches can share out, the nearest."""
    with torch.device("meta"):
        block = InceptionBlock(NetSpec(family="residual", depth=20), reads, max(1, round(writes / 16)) * 16)
    return block_width(block.train(), size, of="", name=INCEPTION)


def block_width(block: Block, size: int, of: str, name: str) -> BlockWidth:
    """What a block that gives size×size pixels reads, writes and costs."""
    before = size * getattr(block, "stride", 1)
    seen = watch(block, torch.empty(BATCH, block.channels_in, before, before, device="meta"))
    return BlockWidth(
        of=of,
        name=name,
        reads=block.channels_in,
        writes=block.channels_out,
        computes=block.channels_out - block.channels_in if isinstance(block, DenseLayer) else block.channels_out,
        size=size,
        parameters=sum(layer.parameters for layer in seen.layers),
        macs=sum(layer.macs for layer in seen.layers),
        activation_bytes=seen.activation_bytes,
    )
