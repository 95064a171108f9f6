"""A dense block's passes and its whole 1×1 convolution in Triton: float32, bfloat16, float16 on a GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gradpath.kernels._dense_passes import Affine, TorchDensePasses
from gradpath.kernels._triton import _product_kernels as products
from gradpath.kernels._triton import _row_kernels as kernels
from gradpath.kernels._triton._launch import (
    DTYPES,
    PROGRAMS_EACH,
    ProductTiles,
    backward_tiles,
    ceil_div,
    common_unit,
    elementwise,
    forward_tiles,
    launch,
    merge_grid,
    row_grid,
    shared_rows,
    widest,
)
from gradpath.kernels._triton._norm import merged_sums

PRECISION = "ieee"  # of float32 products: no TF32, whatever torch's own products are allowed


class TritonDensePasses(TorchDensePasses):
    """`DensePasses` and `DenseProducts` by Triton kernels. The same input gives the same bits at every run."""

    name = "Triton"

    def __init__(self, devices: tuple[str, ...] = ("cuda",)) -> None:
        """devices: where the kernels run; 'cpu' is Triton's interpreter."""
        self.devices = devices

    def activate(self, x: Tensor, affine: Affine, out: Tensor) -> None:
        if not self._fit(x, out):
            super().activate(x, affine, out)
            return
        rows, _ = x.shape
        grid, columns, x_stride, out_stride = _units(x, out)
        launch(
            kernels.activate_kernel, elementwise(grid, rows), x,
            x, x_stride, None, out, out_stride, affine.center, affine.scale, affine.bias, rows, columns,
            RELU=True, ADD=False, **grid.blocks,
        )  # fmt: skip

    def moments(self, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        if not self._fit(x) or dtype is not torch.float32:
            return super().moments(x, dtype)
        rows, _ = x.shape
        grid, columns, x_stride = _units(x)
        parts = x.new_empty(2, grid.row_programs, x.shape[1], dtype=dtype)
        launch(
            kernels.moments_kernel, grid.sums, x,
            x, x_stride, parts[0], parts[1], rows, columns, grid.rows_each, **grid.blocks,
        )  # fmt: skip
        return _merged_moments(parts, rows, grid.rows_each)

    def mask(
        self, grad: Tensor, activated: Tensor, x: Tensor, affine: Affine, out: Tensor, accumulate: bool
    ) -> tuple[Tensor, Tensor]:
        if not (self._fit(grad, activated, x, out) and grad.is_contiguous() and activated.is_contiguous()):
            return super().mask(grad, activated, x, affine, out, accumulate)
        rows, _ = x.shape
        grid, columns, x_stride, out_stride = _units(x, out)
        parts = x.new_empty(2, grid.row_programs, x.shape[1], dtype=torch.float32)
        launch(
            kernels.mask_kernel, grid.sums, x,
            grad, activated, x, x_stride, out, out_stride, affine.center, affine.scale, parts[0], parts[1],
            rows, columns, grid.rows_each, ACCUMULATE=accumulate, **grid.blocks,
        )  # fmt: skip
        plain, centered, _ = merged_sums(parts, affine.inverse)
        return plain, centered

    def finish(self, total: Tensor, x: Tensor, center: Tensor, offset: Tensor, slope: Tensor, out: Tensor) -> None:
        if not self._fit(total, x, out):
            super().finish(total, x, center, offset, slope, out)
            return
        rows, _ = x.shape
        grid, columns, x_stride, total_stride, out_stride = _units(x, total, out)
        launch(
            kernels.finish_kernel, elementwise(grid, rows), x,
            total, total_stride, x, x_stride, center, offset, slope, out, out_stride, rows, columns,
            **grid.blocks,
        )  # fmt: skip

    def takes(self, x: Tensor, weight: Tensor) -> bool:
        """Whether `product` and `product_backward` do this one."""
        return self._fit(x, weight) and weight.is_contiguous() and len(weight) <= widest(weight)

    def product(
        self, x: Tensor, affine: Affine, weight: Tensor, out: Tensor, needs_moments: bool
    ) -> tuple[Tensor, Tensor] | None:
        """See DenseProducts."""
        (rows, channels), outputs, unit = x.shape, len(weight), common_unit(x.shape[1], x.stride(0))
        tiles = forward_tiles(weight, outputs)
        column_programs = ceil_div(outputs, tiles.columns)
        count, rows_each = _shared(x, tiles, column_programs)
        parts = x.new_empty(2, count, outputs, dtype=torch.float32) if needs_moments else None
        means, squares = (None, None) if parts is None else parts.unbind()
        launch(
            products.product_kernel, (column_programs, count), x,
            x, x.stride(0) // unit, weight, out, affine.center, affine.scale, affine.bias, means, squares,
            rows, channels // unit, outputs, rows_each,
            MOMENTS=needs_moments, PRECISION=PRECISION, UNIT=unit, **tiles.blocks,
        )  # fmt: skip
        return None if parts is None else _merged_moments(parts, rows, rows_each)

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
        (rows, channels), outputs = x.shape, len(weight)
        unit = common_unit(channels, x.stride(0), total.stride(0))
        tiles = backward_tiles(weight, outputs)
        column_programs = ceil_div(channels, tiles.columns)
        count, rows_each = _shared(x, tiles, column_programs)
        parts = x.new_empty(2, count, channels, dtype=torch.float32)
        weights = x.new_empty(count, outputs, channels, dtype=torch.float32) if needs_weight else None
        launch(
            products.product_backward_kernel, (column_programs, count), x,
            grad, product, *vectors, weight, x, x.stride(0) // unit, affine.center, affine.scale, affine.bias,
            total, total.stride(0) // unit, parts[0], parts[1], weights, rows, channels // unit, outputs, rows_each,
            NEEDS_WEIGHT=needs_weight, PRECISION=PRECISION, UNIT=unit, **tiles.blocks,
        )  # fmt: skip
        plain, centered, _ = merged_sums(parts, affine.inverse)
        return plain, centered, None if weights is None else weights.sum(0)

    def _fit(self, *matrices: Tensor) -> bool:
        """Whether the kernels take these: dtypes they know, a device they run on, each row in one piece."""
        return all(
            m.dtype in DTYPES and m.device.type in self.devices and m.stride(-1) == 1 and m.numel() > 0
            for m in matrices
        )  # fmt: skip


def _units(x: Tensor, *others: Tensor) -> tuple[Any, ...]:
    """(grid, columns, stride of each matrix), the numbers in the grid's units."""
    strides = [matrix.stride(0) for matrix in (x, *others)]
    grid = row_grid(x, *x.shape, *strides)
    return grid, x.shape[1] // grid.unit, *(stride // grid.unit for stride in strides)


def _shared(x: Tensor, tiles: ProductTiles, others: int) -> tuple[int, int]:
    """(programs that share the rows, rows of each); half as many as for passes: a product's programs are larger."""
    return shared_rows(x.device, len(x), tiles.rows, others, PROGRAMS_EACH // 2)


def _merged_moments(parts: Tensor, rows: int, rows_each: int) -> tuple[Tensor, Tensor]:
    """(mean, sum of squared deviations), C each, from the programs' (2 × programs × C)."""
    _, count, columns = parts.shape
    found = parts.new_empty(2, columns)
    programs, units, blocks = merge_grid(columns, count)
    launch(
        kernels.merge_moments_kernel, programs, parts,
        parts[0], parts[1], found, None, None, None, rows, units, rows_each, count, 0.0, 0.0, 0.0,
        NORM=False, RUNNING=False, **blocks,
    )  # fmt: skip
    mean, squares = found.unbind()
    return mean, squares
