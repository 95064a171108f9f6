"""A dense net as efficient implementations in PyTorch have it: Pleiss et al. 2017 (arXiv 1707.06990), section 3.

Each layer's concatenation, norm, ReLU and 1×1 convolution are a checkpoint: only their inputs, the features, and their
result are kept. The same modules and weights as before; running statistics move twice a step, as they do there.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gradpath.kernels import is_our_layer, library_layers


class CheckpointedDense(nn.Module):
    """Layers with norm1, conv1, norm2, conv2: x → [x, new features of each], N C H W."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.layers:
            inner = checkpoint(bottleneck(layer), *features, use_reentrant=True)
            features.append(layer.conv2(F.relu(layer.norm2(inner))))  # type: ignore[operator]
        return torch.cat(features, 1)


def bottleneck(layer: nn.Module) -> Callable[..., Tensor]:
    def run(*features: Tensor) -> Tensor:
        out: Tensor = layer.conv1(F.relu(layer.norm1(torch.cat(features, 1))))  # type: ignore[operator]
        return out

    return run


def with_checkpointed_layers(model: nn.Module) -> nn.Module:
    """The model, its dense blocks replaced in place: our stages, and the blocks of torchvision and timm."""
    for name, module in list(model.named_modules()):
        layers = library_layers(module)
        if layers:
            replace(model, name, CheckpointedDense(layers))
        elif isinstance(module, nn.Sequential) and any(map(is_our_layer, module)):
            runs = [(dense, list(run)) for dense, run in groupby(module, is_our_layer)]
            parts = [part for dense, run in runs for part in ([CheckpointedDense(run)] if dense else run)]
            replace(model, name, nn.Sequential(*parts))
    return model


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
