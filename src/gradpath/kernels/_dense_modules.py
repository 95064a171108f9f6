"""Modules that run their dense layers as one block: the same children, parameters and state dict as before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from gradpath.kernels._dense_choose import dense_passes
from gradpath.kernels._dense_form import DenseLayerForm, Fusion, block_form, is_our_layer, library_layers
from gradpath.kernels._dense_function import dense_block


class FusedModule(nn.Module):
    """What fused modules share. They become what they are by a change of class, in place: see `fuse_module`."""

    fusion: Fusion
    shown_plain: int
    """How many `plain_view()` are open."""

    @contextmanager
    def plain_view(self) -> Iterator[None]:
        """Inside, the forward is that of the plain layers: ordinary autograd operations, hooks and all."""
        self.shown_plain += 1
        try:
            yield
        finally:
            self.shown_plain -= 1

    def plain_forward(self, x: Any) -> Any:
        """The forward that this module had before it was fused."""
        return self.fusion.original.forward(self, x)

    def run(self, x: Tensor, layers: Sequence[nn.Module]) -> Tensor | None:
        """These dense layers as one block: N C H W → N C+Lk H W; None where only the plain forward will do."""
        form = block_form(layers)
        if isinstance(form, str) or not fits(x, form):
            return None
        return dense_block(x, form, dense_passes(self.fusion.backend).passes, self.fusion.keep)

    def extra_repr(self) -> str:
        return f"was={self.fusion.original.__name__}, backend={self.fusion.backend!r}, keep={self.fusion.keep!r}"


class FusedDenseStage(FusedModule, nn.Sequential):
    """A sequence of ours in which each run of dense layers is one block; the rest runs as it is."""

    def forward(self, input: Any) -> Any:
        if self.shown_plain or not runs_eagerly(input):
            return self.plain_forward(input)
        for dense, group in groupby(self, is_our_layer):
            layers = list(group)
            out = self.run(input, layers) if dense else None
            if out is None:
                out = input
                for layer in layers:
                    out = layer(out)
            input = out
        return input


class FusedDenseBlock(FusedModule, nn.ModuleDict):
    """The dense block of torchvision or timm."""

    def forward(self, init_features: Any) -> Any:
        if self.shown_plain or not runs_eagerly(init_features):
            return self.plain_forward(init_features)
        out = self.run(init_features, list(self.values()))
        return self.plain_forward(init_features) if out is None else out


def why_not_fused(module: nn.Module) -> str | None:
    """Why a module that holds dense layers cannot be fused; '' where it can; None where it holds none."""
    if type(module) is nn.Sequential and any(is_our_layer(child) for child in module):
        runs = [list(group) for dense, group in groupby(module, is_our_layer) if dense]
        return next((form for form in map(block_form, runs) if isinstance(form, str)), "")
    layers = library_layers(module)
    if not layers:
        return None
    form = block_form(layers)
    return form if isinstance(form, str) else ""


def fuse_module(module: nn.Module, backend: str, keep: str) -> None:
    """In place, so that whoever holds the module (its parent, an optimizer, a hook) need not be told."""
    original = unfuse_module(module)
    module.fusion, module.shown_plain = Fusion(original, backend, keep), 0  # type: ignore[assignment]
    module.__class__ = FusedDenseStage if original is nn.Sequential else FusedDenseBlock


def unfuse_module(module: nn.Module) -> type[nn.Module]:
    """Make a module what it was before it was fused; its class."""
    if isinstance(module, FusedModule):
        module.__class__ = module.fusion.original  # type: ignore[assignment]
        del module.__dict__["fusion"], module.__dict__["shown_plain"]
    return type(module)


def runs_eagerly(x: Any) -> bool:
    """Whether the forward is computed here and now: nobody traces, compiles or transforms it, or listens to all."""
    if not isinstance(x, Tensor) or torch.compiler.is_compiling() or torch._C._is_tracing():
        return False
    if torch._C._are_functorch_transforms_active():
        return False
    return not torch_module._has_any_global_hook()  # type: ignore[no-untyped-call]


def fits(x: Tensor, layers: Sequence[DenseLayerForm]) -> bool:
    """Whether x is a batch that these layers take; what is not, the plain layers refuse in their own words."""
    if x.dim() != 4 or x.shape[1] != layers[0].channels_in or not x.numel() or not x.is_floating_point():
        return False
    convolutions = [layer.last.weight for layer in layers] + [layer.conv1.weight for layer in layers]
    if any(weight.dtype != convolutions[0].dtype or weight.device != x.device for weight in convolutions):
        return False
    return x.dtype == convolutions[0].dtype or torch.is_autocast_enabled(x.device.type)
