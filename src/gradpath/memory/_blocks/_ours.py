"""The chain of one of our nets that is as it was written: its forward is known, so that not all of it has to run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from gradpath.memory._as_found import left_as_found
from gradpath.memory._blocks._calls import is_compiled
from gradpath.memory._blocks._routing import Routing
from gradpath.memory._blocks._signature import Layout, signature
from gradpath.nets import Network, hooks_of

BEFORE, AFTER = "before the blocks", "after the blocks"
LEFT_ALONE = (f"stem: {BEFORE}", f"head: {AFTER}")


def known_chain(model: nn.Module, run: Callable[[nn.Module], Any]) -> tuple[list[nn.Module], list[Layout]] | None:
    """(blocks, layouts of their inputs and of the last output); None of a model that is none of ours, or was altered.

    Of blocks of one signature the first alone is run: of 10,001 layers that takes 1 s, and running them all 11.
    """
    if not _is_untouched(model):
        return None
    net = cast("Network", model)
    walk, calls = _Walk(list(net.blocks())), list[None]()
    if not walk.is_chain:
        return None
    span = [("stages", block) for block in walk.blocks]
    counting = net.stem.register_forward_pre_hook(lambda module, args: calls.append(None))
    try:
        with left_as_found([net], net.head.linear.weight.device), Routing([span], walk.output), torch.no_grad():
            run(net)
    finally:
        counting.remove()
    return (walk.blocks, walk.layouts) if walk.is_chain and len(calls) == 1 else None


class _Walk:
    """The blocks in a row, one of each signature run, for the layouts between them."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        self.blocks, self.layouts = blocks, list[Layout]()
        self.made: dict[Any, Layout] = {}
        self.is_chain = len(set(blocks)) == len(blocks)

    def output(self, _: int, x: Tensor) -> Tensor:
        layout = Layout.of(x)
        for block in self.blocks:
            self.layouts.append(layout)
            key = signature([block], layout)
            if key not in self.made:
                self.made[key] = self.run(block, layout.random(x.device))
            layout = self.made[key]
        self.layouts.append(layout)
        return layout.random(x.device)

    def run(self, block: nn.Module, x: Tensor) -> Layout:
        version = x._version
        out: Tensor = block(x)
        self.is_chain &= x._version == version and out is not x  # what writes to its input is the slow way's affair
        return Layout.of(out)


def _is_untouched(model: nn.Module) -> bool:
    """Whether it is a net of ours whose parts are ours or torch's, and nobody hooks into them."""
    if type(model) is not Network or list(model._modules) != ["stem", "stages", "head"]:
        return False
    around = (model.stages, *model.stages)
    return all(type(module) is nn.Sequential for module in around) and not any(map(_is_altered, model.modules()))


def _is_altered(module: nn.Module) -> bool:
    foreign = type(module).__module__.partition(".")[0] not in ("gradpath", "torch")
    return foreign or any(hooks_of(module)) or "forward" in vars(module) or is_compiled(module)
