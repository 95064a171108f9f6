"""The plain blocks: what the papers draw."""

from __future__ import annotations

import dataclasses

import torch

from gradpath.nets import NetSpec, PadShortcut, build
from gradpath.nets._blocks import PreBlock

RESIDUAL = NetSpec(family="residual", depth=8, width=4, input_size=8)
DENSE = NetSpec(family="dense", depth=7, growth_rate=3, width=4, input_size=8)
SPECS = {
    "plain": dataclasses.replace(RESIDUAL, family="plain"),
    "plain pre": dataclasses.replace(RESIDUAL, family="plain", activation="pre"),
    "basic A": RESIDUAL,
    "basic A end": dataclasses.replace(RESIDUAL, padding="end"),
    "basic B": dataclasses.replace(RESIDUAL, shortcut="B"),
    "basic C": dataclasses.replace(RESIDUAL, shortcut="C"),
    "no norm": dataclasses.replace(RESIDUAL, norm="none"),
    "no norm, pre": dataclasses.replace(RESIDUAL, norm="none", activation="pre", shortcut="B"),
    "bottleneck": dataclasses.replace(RESIDUAL, bottleneck=True, depth=11, shortcut="B"),
    "pre basic": dataclasses.replace(RESIDUAL, activation="pre", shortcut="B"),
    "pre bottleneck": dataclasses.replace(RESIDUAL, activation="pre", bottleneck=True, depth=11, shortcut="B"),
    "dense": DENSE,
    "dense B": dataclasses.replace(DENSE, bottleneck=True, depth=10, compression=0.5),
}


def test_padding_places_the_zeros() -> None:
    x = torch.arange(1.0, 33.0).reshape(1, 2, 4, 4)
    both = PadShortcut(RESIDUAL, 2, 4, 2)(x)
    end = PadShortcut(dataclasses.replace(RESIDUAL, padding="end"), 2, 4, 2)(x)
    assert torch.equal(both[0, 1], torch.tensor([[1.0, 3.0], [9.0, 11.0]]))
    assert torch.equal(both[:, 1:3], end[:, :2])
    assert not both[:, [0, 3]].any() and not end[:, 2:].any()


def test_only_the_first_block_of_a_stage_shares_its_activation() -> None:
    net = build(dataclasses.replace(SPECS["pre basic"], depth=14))
    shares = [isinstance(block, PreBlock) and block.first for block in net.blocks()]
    assert shares == [True, False] * 3
