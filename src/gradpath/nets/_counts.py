"""Exact counts: parameters, and multiply-accumulates of one image."""

from __future__ import annotations

import math

import torch
from torch import nn

from gradpath.nets._blocks import Transition
from gradpath.nets._network import Network
from gradpath.nets._protocol import Block
from gradpath.record import NetSpec


def parameters(net: nn.Module | NetSpec) -> int:
    """The number of trained scalars: weights, biases, and the scale and shift of norms (He et al. omit the latter)."""
    module = _without_memory(net) if isinstance(net, NetSpec) else net
    return sum(parameter.numel() for parameter in module.parameters())


def macs(net: Network | NetSpec, input_size: int | None = None) -> int:
    """Multiply-accumulates of one image through convolutions and linear layers; norms, ReLU and pooling are free.

    `input_size` in pixels, the specification's where it is None. A network is counted by its specification.
    """
    spec = net if isinstance(net, NetSpec) else net.spec
    shadow = _without_memory(spec)
    size = spec.input_size if input_size is None else input_size
    stem = shadow.stem.conv
    total = stem.weight.numel() * math.ceil(size / stem.stride[0]) ** 2 + shadow.head.linear.weight.numel()
    size = math.ceil(size / 4) if shadow.stem.large else size
    for block in shadow.blocks():
        block_macs, size = _block_macs(block, size)
        total += block_macs
    return total


def _block_macs(block: Block, size: int) -> tuple[int, int]:
    """Of a block fed size×size pixels: its multiply-accumulates and the size of its output."""
    total, inner = 0, size
    for name, module in block.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        aside = name.startswith(("shortcut", "gate"))
        after = math.ceil((size if aside else inner) / module.stride[0])  # all are padded to keep the size
        total += module.weight.numel() * after**2  # each weight is used once per output pixel
        inner = after
    return total, inner // 2 if isinstance(block, Transition) else inner


def _without_memory(spec: NetSpec) -> Network:
    """The network with shapes alone: 10,001 layers take no memory."""
    with torch.device("meta"):
        return Network(spec)
