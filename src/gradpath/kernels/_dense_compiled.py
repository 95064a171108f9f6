"""A dense block's passes in C++ (_dense.cpp): float32 and bfloat16 on the CPU; anything else goes to plain torch.

Each pass reads and writes its tile once where plain torch takes several operations. Results do not depend on the number
of threads, bit for bit.
"""

from __future__ import annotations

import ctypes
from ctypes import c_int64, c_void_p
from typing import Any

import torch
from torch import Tensor

from gradpath.kernels._build import library
from gradpath.kernels._dense_passes import Affine, TorchDensePasses
from gradpath.kernels._products import Products
from gradpath.kernels._vectors import available
from gradpath.kernels._winograd import Winograd

SOURCE = "_dense.cpp"
DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
_ROWS, _SIZE, _AFFINE = [c_void_p, c_int64], [c_int64, c_int64], [c_void_p] * 3
_SIGNATURES: dict[str, list[Any]] = {
    "activate": [*_ROWS, *_SIZE, *_AFFINE, c_void_p, c_int64],
    "mask": [c_void_p, *_ROWS, *_SIZE, *_AFFINE, *_ROWS, c_void_p, c_void_p, c_int64, c_int64],
    "moments": [*_ROWS, *_SIZE, c_void_p, c_void_p, c_int64],
    "finish": [*_ROWS, *_ROWS, *_SIZE, *[c_void_p] * 3, *_ROWS, c_int64],
}


class CompiledDensePasses(TorchDensePasses):
    """`DensePasses` and `DenseProducts`, compiled. Raises KernelError, in one line, where there is no library."""

    name = "C++"

    def __init__(self) -> None:
        compiled = library(SOURCE)
        self._calls = {dtype: _functions(compiled, suffix) for dtype, suffix in DTYPES.items()}
        self._products, self._winograd = available(Products), available(Winograd)

    def activate(self, x: Tensor, affine: Affine, out: Tensor) -> None:
        if not _fit(x, out) or not out.is_contiguous():
            super().activate(x, affine, out)
            return
        vectors = affine.center.data_ptr(), affine.scale.data_ptr(), affine.bias.data_ptr()
        self._calls[x.dtype]["activate"](*_rows(x), *x.shape, *vectors, out.data_ptr(), torch.get_num_threads())

    def mask(
        self, grad: Tensor, activated: Tensor, x: Tensor, affine: Affine, out: Tensor, accumulate: bool
    ) -> tuple[Tensor, Tensor]:
        if not _fit(grad, x, out) or not grad.is_contiguous():
            return super().mask(grad, activated, x, affine, out, accumulate)
        vectors = affine.center.data_ptr(), affine.scale.data_ptr(), affine.bias.data_ptr()
        sums = torch.empty_like(affine.center), torch.empty_like(affine.center)
        self._calls[x.dtype]["mask"](
            grad.data_ptr(), *_rows(x), *x.shape, *vectors, *_rows(out), *(s.data_ptr() for s in sums),
            accumulate, torch.get_num_threads(),
        )  # fmt: skip
        return sums

    def moments(self, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        if not _fit(x) or dtype is not torch.float32:
            return super().moments(x, dtype)
        mean, squares = torch.empty(2, x.shape[1], device=x.device)
        self._calls[x.dtype]["moments"](
            *_rows(x), *x.shape, mean.data_ptr(), squares.data_ptr(), torch.get_num_threads()
        )
        return mean, squares

    def finish(self, total: Tensor, x: Tensor, center: Tensor, offset: Tensor, slope: Tensor, out: Tensor) -> None:
        if not _fit(total, x, out):
            super().finish(total, x, center, offset, slope, out)
            return
        self._calls[x.dtype]["finish"](
            *_rows(total), *_rows(x), *x.shape, center.data_ptr(), offset.data_ptr(), slope.data_ptr(), *_rows(out),
            torch.get_num_threads(),
        )  # fmt: skip

    def takes(self, x: Tensor, weight: Tensor) -> bool:
        """See DenseProducts."""
        return self._products is not None and self._products.takes(x, weight)

    def product(
        self, x: Tensor, affine: Affine, weight: Tensor, out: Tensor, needs_moments: bool
    ) -> tuple[Tensor, Tensor] | None:
        """See DenseProducts."""
        assert self._products is not None
        return self._products.product(x, affine, weight, out, needs_moments)

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
        assert self._products is not None
        return self._products.product_backward(grad, product, vectors, x, affine, weight, total, needs_weight)

    def convolve(self, images: Tensor, weight: Tensor) -> Tensor:
        if self._winograd is not None and self._winograd.takes(images, weight):
            return self._winograd.convolve(images, weight)
        return super().convolve(images, weight)

    def convolve_backward(
        self, grad: Tensor, images: Tensor, weight: Tensor, needs_weight: bool
    ) -> tuple[Tensor, Tensor | None]:
        own = self._winograd
        if own is None or not own.takes(images, weight) or not grad.is_contiguous(memory_format=torch.channels_last):
            return super().convolve_backward(grad, images, weight, needs_weight)
        return own.input_gradient(grad, weight), own.weight_gradient(grad, images, weight) if needs_weight else None


def _functions(compiled: ctypes.CDLL, suffix: str) -> dict[str, Any]:
    found = {}
    for name, arguments in _SIGNATURES.items():
        function = getattr(compiled, f"{name}_{suffix}")
        function.argtypes, function.restype = arguments, None
        found[name] = function
    return found


def _fit(first: Tensor, *others: Tensor) -> bool:
    """Whether the compiled passes take these matrices: one dtype they know, on the CPU, each row in one piece."""
    if first.dtype not in DTYPES or first.device.type != "cpu" or first.stride(1) != 1:
        return False
    return all(other.dtype is first.dtype and other.stride(1) == 1 for other in others)


def _rows(matrix: Tensor) -> tuple[int, int]:
    """Where a matrix begins, and from row to row."""
    return matrix.data_ptr(), matrix.stride(0)
