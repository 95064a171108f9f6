"""What a dense block keeps between its forward and its backward, and what both passes read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from gradpath.kernels._dense_form import DenseLayerForm
from gradpath.kernels._dense_passes import Affine
from gradpath.kernels._dense_tiles import Frame, columns
from gradpath.nets._norm_passes import uses_batch

Values = tuple[Tensor, ...]
"""A layer's parameters, in the order of `DenseLayerForm.parameters`: three for each norm and its convolution."""


@dataclass(frozen=True)
class NormStats:
    """What normalises a norm's input, C each."""

    mean: Tensor
    variance: Tensor
    eps: float
    uses_batch: bool

    def affine(self, weight: Tensor, bias: Tensor) -> Affine:
        inverse = (self.variance + self.eps).rsqrt()
        return Affine(
            self.mean, weight.to(inverse.dtype) * inverse, bias.to(inverse.dtype).contiguous(), inverse, self.uses_batch
        )


def norm_stats(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> NormStats:
    """Of the batch, as given, or copies of the running ones where the norm normalises by those."""
    if uses_batch(norm) or norm.running_mean is None or norm.running_var is None:
        return NormStats(mean, variance, norm.eps, True)
    running_mean, running_var = (t.detach().to(mean.dtype, copy=True) for t in (norm.running_mean, norm.running_var))
    return NormStats(running_mean, running_var, norm.eps, False)


@dataclass
class Held:
    """What is kept in every mode (statistics, which features dropout kept) and what the mode adds."""

    frame: Frame
    mean: Tensor
    """Of each feature over the batch, with `variance`: a value for each channel of the block's output."""
    variance: Tensor
    norms: list[list[NormStats]] = field(default_factory=list)
    """For each layer, of its one or two norms; the first's are views of `mean` and `variance` where it uses them."""
    kept: list[Tensor | None] = field(default_factory=list)
    """For each layer which new features its dropout kept: M k, bool."""
    rates: list[float] = field(default_factory=list)
    """For each layer, of its dropout in this step."""
    features: Tensor | None = None
    """The block's own output: N C H W, channels-last."""
    bottlenecks: list[Tensor | None] = field(default_factory=list)
    """For each layer what its 1×1 convolution gave, M 4k; empty where the mode does not keep them."""

    def tensors(self) -> list[Tensor]:
        """Each storage once."""
        norms = [tensor for norms in self.norms for stats in norms for tensor in (stats.mean, stats.variance)]
        held = [self.mean, self.variance, *norms, *self.kept, self.features, *self.bottlenecks]
        unique = {tensor.untyped_storage().data_ptr(): tensor for tensor in held if tensor is not None}
        return list(unique.values())


class DenseTape:
    """A block's tape: empty until its first forward."""

    def __init__(self) -> None:
        self.held: Held | None = None

    def tensors(self) -> list[Tensor]:
        """All that it holds, for counting; features share memory with the block's output."""
        return [] if self.held is None else self.held.tensors()


class Run:
    """One pass over a block's layers: what forward and backward share."""

    def __init__(
        self, layers: Sequence[DenseLayerForm], values: Sequence[Values], held: Held, features: Tensor
    ) -> None:
        self.layers, self.values, self.held, self.frame = layers, values, held, held.frame
        self.features = columns(features)  # M C

    def read_by(self, layer: DenseLayerForm) -> Tensor:
        """The columns that a layer reads: M C."""
        return self.features[:, : layer.channels_in]

    def affine(self, index: int, step: int) -> Affine:
        """Of a layer's norm: the first (step 0) or the second (1)."""
        weight, bias = self.values[index][3 * step : 3 * step + 2]
        return self.held.norms[index][step].affine(weight, bias)

    def matrix(self, index: int) -> Tensor:
        """The 1×1 convolution's weight: 4k C."""
        return self.values[index][2].to(self.frame.compute).flatten(1)

    def kernel(self, index: int) -> Tensor:
        """The 3×3 convolution's weight: K C 3 3."""
        return self.values[index][-1].to(self.frame.compute, memory_format=torch.channels_last)

    def dropout(self, index: int) -> Tensor | None:
        """What the new features were multiplied by, M k: 0 or 1/(1 − rate)."""
        kept = self.held.kept[index]
        return None if kept is None else kept.to(self.frame.compute).div_(1 - self.held.rates[index])
