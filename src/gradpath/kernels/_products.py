"""A dense layer's 1×1 convolution in one call with its norms, in C++ (_products.cpp): float32 on the CPU.

What `DenseProducts` promises. Norm and ReLU of some rows are beside their product in the cache, the mask is taken while
its product is in registers. Results do not depend on the number of threads, bit for bit.
"""

from __future__ import annotations

from ctypes import c_int64, c_void_p
from typing import Any, ClassVar

import torch
from torch import Tensor

from gradpath.kernels._dense_passes import Affine
from gradpath.kernels._vectors import Vectors

OUTPUTS = 8, 512  # K, least and most: with fewer there is little to multiply, with more torch's product is as fast
BLOCK_NUMBERS, BLOCK_ROWS = 1 << 15, (24, 96)  # of activated rows that stay in the cache; least, most rows
SLICE_ROWS, SLICES = 2048, (4, 16)  # rows of a slice; least, most slices
_ROWS, _SIZE, _AFFINE = [c_void_p, c_int64], [c_int64, c_int64], [c_void_p] * 3


class Products(Vectors):
    """Both passes of the convolution."""

    source = "_products.cpp"
    signatures: ClassVar[dict[str, list[Any]]] = {
        "pack": [c_void_p, c_int64, c_int64, *_SIZE, c_void_p],
        "product": [*_ROWS, *_SIZE, *_AFFINE, c_void_p, c_void_p, c_int64, c_void_p, c_void_p, *[c_int64] * 3],
        "product_backward": [
            c_void_p, c_void_p, c_int64, *_AFFINE, *_ROWS, *_SIZE, *_AFFINE, c_void_p, *_ROWS, *[c_void_p] * 4,
            *[c_int64] * 3,
        ],
    }  # fmt: skip

    def takes(self, x: Tensor, weight: Tensor) -> bool:
        """See DenseProducts."""
        least, most = OUTPUTS
        fits = x.dtype is weight.dtype is torch.float32 and x.is_cpu and x.stride(1) == 1 and len(x) > 0
        return fits and least <= len(weight) <= most

    def product(
        self, x: Tensor, affine: Affine, weight: Tensor, out: Tensor, needs_moments: bool
    ) -> tuple[Tensor, Tensor] | None:
        """See DenseProducts."""
        moments = x.new_empty(2, len(weight)) if needs_moments else None
        mean, squares = (None, None) if moments is None else moments
        packed = self._packed(weight.t())
        self._library.product(
            x.data_ptr(), x.stride(0), *x.shape, *_vectors(affine), packed.data_ptr(), out.data_ptr(), len(weight),
            _address(mean), _address(squares), *self._blocks(x), torch.get_num_threads(),
        )  # fmt: skip
        return None if mean is None or squares is None else (mean, squares)

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
        """See DenseProducts."""
        center, offset, slope = vectors
        each, slices = self._blocks(x)
        plain, centered = x.new_empty(2, x.shape[1])
        partial = x.new_empty(slices, len(weight), self._whole(x.shape[1])) if needs_weight else None
        grad_weight = x.new_empty(weight.shape) if needs_weight else None
        packed = self._packed(weight)
        self._library.product_backward(
            grad.data_ptr(), product.data_ptr(), len(weight), *(v.data_ptr() for v in (center, slope, offset)),
            x.data_ptr(), x.stride(0), *x.shape, *_vectors(affine), packed.data_ptr(), total.data_ptr(),
            total.stride(0), plain.data_ptr(), centered.data_ptr(), _address(grad_weight), _address(partial),
            each, slices, torch.get_num_threads(),
        )  # fmt: skip
        return plain, centered, grad_weight

    def _blocks(self, x: Tensor) -> tuple[int, int]:
        """Rows that go through all steps together; slices of all rows. By the sizes alone."""
        rows, channels = x.shape
        least, most = BLOCK_ROWS
        each = max(least, min(most, BLOCK_NUMBERS // channels // 6 * 6))
        fewest, most = SLICES
        return each, min(-(-rows // each), max(fewest, min(most, rows // SLICE_ROWS)))

    def _packed(self, weight: Tensor) -> Tensor:
        """A matrix, depth × columns, as the products read it."""
        depth, columns = weight.shape
        packed = weight.new_empty(depth * self._whole(columns))
        self._library.pack(weight.data_ptr(), *weight.stride(), depth, columns, packed.data_ptr())
        return packed


def _vectors(affine: Affine) -> tuple[int, int, int]:
    return affine.center.data_ptr(), affine.scale.data_ptr(), affine.bias.data_ptr()


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
