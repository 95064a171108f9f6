"""Modules that run their dense layers as one block: the same children, parameters and state dict as before."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from gradpath.kernels._dense_choose import dense_passes
from gradpath.kernels._dense_compiled import CompiledDensePasses
from gradpath.kernels._dense_form import DenseLayerForm, block_form, is_our_layer, library_layers
from gradpath.kernels._dense_function import dense_block
from gradpath.kernels._fused_module import FusedModule, Fusion, become, runs_eagerly, unfuse_module


class FusedDense(FusedModule):
    """What fused modules of dense layers share."""

    @property
    def runs_on(self) -> str:
        if self.fusion.backend == "triton":
            return "triton"
        passes = dense_passes(self.fusion.backend).passes
        return "compiled" if isinstance(passes, CompiledDensePasses) else "torch"

    def run(self, x: Tensor, layers: Sequence[nn.Module]) -> Tensor | None:
        """These dense layers as one block: N C H W → N C+Lk H W; None where only the plain forward will do."""
        form = block_form(layers)
        if isinstance(form, str) or not fits(x, form):
            return None
        return dense_block(x, form, dense_passes(self.fusion.backend).passes, self.fusion.keep)


class FusedDenseStage(FusedDense, nn.Sequential):
    """A sequence of ours in which each run of dense layers is one block; the rest runs as it is."""

    def forward(self, input: Any) -> Any:
        if self.shown_plain or not runs_eagerly(input) or not self.here(input):
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


class FusedDenseBlock(FusedDense, nn.ModuleDict):
    """The dense block of torchvision or timm."""

    def forward(self, init_features: Any) -> Any:
        if self.shown_plain or not runs_eagerly(init_features) or not self.here(init_features):
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
    """Let a module for which `why_not_fused` is '' run its dense layers as blocks."""
    original = unfuse_module(module)
    kind = FusedDenseStage if original is nn.Sequential else FusedDenseBlock
    become(module, kind, Fusion(original, backend, keep))


def fits(x: Tensor, layers: Sequence[DenseLayerForm]) -> bool:
    """Whether x is a batch that these layers take; what is not, the plain layers refuse in their own words."""
    if x.dim() != 4 or x.shape[1] != layers[0].channels_in or not x.numel() or not x.is_floating_point():
        return False
    convolutions = [layer.last.weight for layer in layers] + [layer.conv1.weight for layer in layers]
    if any(weight.dtype != convolutions[0].dtype or weight.device != x.device for weight in convolutions):
        return False
    return x.dtype == convolutions[0].dtype or torch.is_autocast_enabled(x.device.type)
