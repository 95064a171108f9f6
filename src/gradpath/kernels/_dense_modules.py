"""Modules that run their dense layers as one block: the same children, parameters and state dict as before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gradpath.kernels._dense_choose import dense_passes
from gradpath.kernels._dense_compiled import CompiledDensePasses
from gradpath.kernels._dense_form import block_form, is_our_layer, library_layers
from gradpath.kernels._dense_function import KEEPS, dense_block
from gradpath.kernels._dense_operator import dense_block as operator
from gradpath.kernels._dense_operator import plan_of, tensors_of
from gradpath.kernels._fused_module import FusedModule, Fusion, become, runs_eagerly, unfuse_module
from gradpath.kernels._operator import autocast_name, call, constant_when_traced, modes_of


class FusedDense(FusedModule):
    """What fused modules of dense layers share."""

    @property
    def runs_on(self) -> str:
        if self.fusion.backend == "triton":
            return "triton"
        passes = dense_passes(self.fusion.backend).passes
        return "compiled" if isinstance(passes, CompiledDensePasses) else "torch"

    def run(self, x: Tensor, first: int, layers: Sequence[nn.Module]) -> Tensor | None:
        """These dense layers, children from `first` on, as one block: N C H W → N C+Lk H W; None where only the plain
        forward will do."""
        if torch.compiler.is_compiling():
            return self.traced_run(x, first, layers)
        form = block_form(layers)
        if isinstance(form, str) or not fits(x, [p for layer in form for p in layer.parameters]):
            return None
        return dense_block(x, form, dense_passes(self.fusion.backend).passes, self.fusion.keep)

    def traced_run(self, x: Tensor, first: int, layers: Sequence[nn.Module]) -> Tensor | None:
        """For torch.compile: one operator where a backward is to come."""
        plan = self.described(first, len(layers), x.device.type, modes_of(self))
        if not plan or not torch.is_grad_enabled() or autocast_name(x.device.type) is None:
            return None
        parameters, buffers = tensors_of(layers)
        wanted = x.requires_grad or any(p.requires_grad for p in parameters)
        return call(operator, x, parameters, buffers, plan) if wanted and fits(x, parameters) else None

    @constant_when_traced
    def described(self, first: int, count: int, device_type: str, modes: tuple[bool, ...]) -> str:
        """These children's form as text; '' where they have none, or are to be shown plain.

        modes: not read; the compiler asks again when they change.
        """
        layers = list(self.children())[first : first + count]
        form = block_form(layers)
        if self.shown_plain or isinstance(form, str) or (device_type != "cpu" and self.fusion.backend == "auto"):
            return ""
        return plan_of(form, tensors_of(layers)[1], self.fusion.backend, KEEPS[self.fusion.keep])

    def is_plain(self, x: Any) -> bool:
        """Whether the forward is that of the plain layers, whatever they are."""
        if torch.compiler.is_compiling():
            return not isinstance(x, Tensor)  # the rest is told by `described`
        return bool(self.shown_plain) or not runs_eagerly(x) or not self.here(x)


class FusedDenseStage(FusedDense, nn.Sequential):
    """A sequence of ours in which each run of dense layers is one block; the rest runs as it is."""

    def forward(self, input: Any) -> Any:
        if self.is_plain(input):
            return self.plain_forward(input)
        for first, layers in runs_of(self):
            out = self.run(input, first, layers) if is_our_layer(layers[0]) else None
            if out is None:
                out = input
                for layer in layers:
                    out = layer(out)
            input = out
        return input


class FusedDenseBlock(FusedDense, nn.ModuleDict):
    """The dense block of torchvision or timm."""

    def forward(self, init_features: Any) -> Any:
        out = None if self.is_plain(init_features) else self.run(init_features, 0, list(self.values()))
        return self.plain_forward(init_features) if out is None else out


def why_not_fused(module: nn.Module) -> str | None:
    """Why a module that holds dense layers cannot be fused; '' where it can; None where it holds none."""
    if type(module) is nn.Sequential and any(is_our_layer(child) for child in module):
        runs = [layers for _, layers in runs_of(module) if is_our_layer(layers[0])]
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


def runs_of(stage: nn.Sequential) -> list[tuple[int, list[nn.Module]]]:
    """Its modules, neighbours that are dense layers together; each run with the place of its first."""
    runs: list[tuple[int, list[nn.Module]]] = []
    for index, module in enumerate(stage):
        if runs and is_our_layer(module) and is_our_layer(runs[-1][1][0]):
            runs[-1][1].append(module)
        else:
            runs.append((index, [module]))
    return runs


def fits(x: Tensor, parameters: Sequence[Tensor]) -> bool:
    """Whether x is a batch that layers of these parameters take; what is not, the plain ones refuse in their words."""
    if x.dim() != 4 or x.shape[1] != len(parameters[0]) or not x.numel() or not x.is_floating_point():
        return False
    convolutions = parameters[2::3]
    if any(weight.dtype != convolutions[0].dtype or weight.device != x.device for weight in convolutions):
        return False
    return x.dtype == convolutions[0].dtype or torch.is_autocast_enabled(x.device.type)
