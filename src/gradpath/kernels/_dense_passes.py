"""The passes of a dense block over rows of features, its 3×3 convolution, and their reference in plain torch.

A tile is a few rows (pixels) of C channels, small enough to stay in the cache between a pass and the product beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

_mask = torch.ops.aten.threshold_backward.grad_input


@dataclass(frozen=True)
class Affine:
    """What a norm does to its channels: (x − center)·scale + bias. All C, float32 (float64 for float64 features)."""

    center: Tensor
    scale: Tensor
    """weight·inverse"""
    bias: Tensor
    inverse: Tensor
    """1/√(variance + eps)"""
    uses_batch: bool
    """center and inverse are of this batch, so that the gradient flows through them."""


class DensePasses(Protocol):
    """x, activated, grad, total: R C tiles, rows may be strided; vectors: C. Results go to where the caller says."""

    name: str

    def activate(self, x: Tensor, affine: Affine, out: Tensor) -> None:
        """out = relu(affine(x)), in out's dtype. The same bits for the same row, whatever the tile."""
        ...

    def moments(self, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """(mean, sum of squared deviations from it) of each channel over the tile's rows, in `dtype`."""
        ...

    def mask(
        self, grad: Tensor, activated: Tensor, x: Tensor, affine: Affine, out: Tensor, accumulate: bool
    ) -> tuple[Tensor, Tensor]:
        """With g = grad where activated > 0, else 0: (Σ g, Σ g·(x − center)), C each; out = scale·g, or out += scale·g.

        grad is used up.
        """
        ...

    def finish(self, total: Tensor, x: Tensor, center: Tensor, offset: Tensor, slope: Tensor, out: Tensor) -> None:
        """out = total − offset − slope·(x − center): what the batch's mean and variance take from a gradient."""
        ...

    def convolve(self, images: Tensor, weight: Tensor) -> Tensor:
        """N C H W, channels-last, with K C 3 3 and a padding of 1 → N K H W."""
        ...

    def convolve_backward(
        self, grad: Tensor, images: Tensor, weight: Tensor, needs_weight: bool
    ) -> tuple[Tensor, Tensor | None]:
        """From the gradient of convolve(images, weight) to those of the images and of the weight."""
        ...


@runtime_checkable
class DenseProducts(Protocol):
    """What passes may offer beside `DensePasses`: the 1×1 convolution in one kernel with its norms, all rows at once.

    x, total: M C, rows may be strided; weight: K C; out, grad, product: M K without gaps.
    """

    def takes(self, x: Tensor, weight: Tensor) -> bool:
        """Whether this product is one for these passes; else it is done tile by tile."""
        ...

    def product(
        self, x: Tensor, affine: Affine, weight: Tensor, out: Tensor, needs_moments: bool
    ) -> tuple[Tensor, Tensor] | None:
        """out = relu(affine(x)) · weightᵀ; if asked for, `moments` of out, K each."""
        ...

    def product_backward(
        self,
        grad: Tensor,
        product: Tensor,
        vectors: tuple[Tensor, Tensor, Tensor],
        x: Tensor,
        affine: Affine,
        weight: Tensor,
        total: Tensor,
        needs_weight: bool,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """total += scale·g, g being the gradient before the ReLU; (Σ g, Σ g·(x − center), C each, gradient of weight).

        The gradient of `product`, which is `product`'s out, is grad finished with vectors = (center, offset, slope).
        """
        ...


class TorchDensePasses:
    """The reference: a few torch operations for each tile, on any device."""

    name = "torch"

    def activate(self, x: Tensor, affine: Affine, out: Tensor) -> None:
        if x.dtype == out.dtype == affine.center.dtype:
            torch.sub(x, affine.center, out=out)
            torch.addcmul(affine.bias, out, affine.scale, out=out).relu_()
        else:
            out.copy_(torch.addcmul(affine.bias, x - affine.center, affine.scale).relu_())

    def moments(self, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        x = x.to(dtype)
        mean = x.sum(0) / len(x)
        deviation = x - mean
        return mean, deviation.mul_(deviation).sum(0)

    def mask(
        self, grad: Tensor, activated: Tensor, x: Tensor, affine: Affine, out: Tensor, accumulate: bool
    ) -> tuple[Tensor, Tensor]:
        g = _mask(grad, activated, 0, grad_input=grad).to(affine.center.dtype)
        centered = torch.sub(x, affine.center).mul_(g)
        if accumulate:
            out.add_(g.mul(affine.scale)) if out.dtype != g.dtype else out.addcmul_(g, affine.scale)
        else:
            out.copy_(g * affine.scale) if out.dtype != g.dtype else torch.mul(g, affine.scale, out=out)
        return g.sum(0), centered.sum(0)

    def finish(self, total: Tensor, x: Tensor, center: Tensor, offset: Tensor, slope: Tensor, out: Tensor) -> None:
        out.copy_(total - torch.sub(x, center).mul_(slope).add_(offset))

    def convolve(self, images: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(images, weight, padding=1)

    def convolve_backward(
        self, grad: Tensor, images: Tensor, weight: Tensor, needs_weight: bool
    ) -> tuple[Tensor, Tensor | None]:
        grad_images, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad, images, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, needs_weight, False]
        )
        return grad_images, grad_weight
