"""How the Triton kernels are launched: block sizes by a few rules, as many programs as the device runs at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
TILE = 4096  # numbers of a tile: with 8 warps 16 for each thread, two 16-byte loads in half precision
PROGRAMS_EACH = 4  # for each multiprocessor, of a pass that sums over rows
WARPS = 8


@dataclass(frozen=True)
class RowGrid:
    """Tiles of a matrix of rows, and how many rows a program sums."""

    block_rows: int
    block_columns: int
    column_programs: int
    row_programs: int
    rows_each: int
    unit: int
    """The largest power of two up to 16 that divides the number of columns and all strides: kernels count in it."""

    @property
    def blocks(self) -> dict[str, int]:
        """The constants of a kernel."""
        return {"UNIT": self.unit, "BLOCK_M": self.block_rows, "BLOCK_C": self.block_columns}

    @property
    def sums(self) -> tuple[int, int]:
        """Programs of a kernel that sums over rows."""
        return self.column_programs, self.row_programs


@dataclass(frozen=True)
class ProductTiles:
    """Blocks of a product's rows, columns and depth."""

    rows: int
    columns: int
    depth: int

    @property
    def blocks(self) -> dict[str, int]:
        return {"BLOCK_M": self.rows, "BLOCK_N": self.columns, "BLOCK_K": self.depth}


def row_grid(matrix: Tensor, rows: int, columns: int, *strides: int) -> RowGrid:
    """For one pass over rows × columns numbers on the matrix's device. strides: from row to row, of all matrices."""
    block_columns = min(max(16, power_of_two(columns)), 128)
    block_rows = max(1, TILE // block_columns) if matrix.device.type != "cpu" else 64
    column_programs = ceil_div(columns, block_columns)
    return RowGrid(
        block_rows, block_columns, column_programs,
        *shared_rows(matrix.device, rows, block_rows, column_programs, PROGRAMS_EACH),
        common_unit(columns, *strides),
    )  # fmt: skip


def shared_rows(device: torch.device, rows: int, block_rows: int, others: int, programs_each: int) -> tuple[int, int]:
    """(programs that share the rows, rows of each: whole blocks); `others` programs stand beside each of them."""
    blocks = ceil_div(rows, block_rows)
    wanted = max(1, programs_each * multiprocessors(device) // others)
    rows_each = ceil_div(blocks, wanted) * block_rows
    return ceil_div(rows, rows_each), rows_each


def elementwise(grid: RowGrid, rows: int) -> tuple[int, int]:
    """Programs of a kernel that sums nothing."""
    return ceil_div(rows, grid.block_rows), grid.column_programs


def merge_grid(columns: int, parts: int) -> tuple[tuple[int], int, dict[str, int]]:
    """(programs, columns in units, constants) of a kernel that adds `parts` vectors of C numbers."""
    unit = common_unit(columns)
    constants = {"UNIT": unit, "BLOCK_P": min(power_of_two(parts), 256), "BLOCK_C": 16}
    return (ceil_div(columns, 16),), columns // unit, constants


def forward_tiles(matrix: Tensor, outputs: int) -> ProductTiles:
    """Of `product_kernel`. A dense layer has 48 to 256 outputs: at most two blocks, so x comes once from memory and
    at most once more from the cache. Sizes at which an H100's compiler spills no registers."""
    columns = min(max(16, power_of_two(outputs)), 128)
    if matrix.device.type == "cpu":  # the interpreter
        return ProductTiles(32, columns, 16)
    return ProductTiles(128, columns, 32 if columns > 64 or matrix.dtype == torch.float32 else 64)


def backward_tiles(matrix: Tensor, outputs: int) -> ProductTiles:
    """Of `product_backward_kernel`, whose block of outputs holds them all."""
    depth = max(16, power_of_two(outputs))
    if matrix.device.type == "cpu":
        return ProductTiles(32, 16, depth)
    small = depth > (128 if is_roomy(matrix.device) else 64) or matrix.dtype == torch.float32
    return ProductTiles(32, 32, depth) if small else ProductTiles(64, 64, depth)


def widest(matrix: Tensor) -> int:
    """Outputs of the widest product that these kernels do. A weight's gradient is summed in registers, float32 ones
    need twice of them; a tile of all outputs lies in shared memory."""
    return 64 if matrix.element_size() == 4 else 256 if is_roomy(matrix.device) else 128


@cache
def is_roomy(device: torch.device) -> bool:
    """Whether a program may have more than 100 KiB of shared memory: not on compute capability 8.6, 8.9 and 12."""
    major, minor = torch.cuda.get_device_capability(device) if device.type == "cuda" else (9, 0)
    return (major, minor) not in ((8, 6), (8, 9)) and major != 12


@cache
def multiprocessors(device: torch.device) -> int:
    """Of the GPU; 1 in Triton's interpreter, 132 (an H200's) for tensors without data."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).multi_processor_count)
    return 132 if device.type == "meta" else 1


def launch(kernel: Any, programs: tuple[int, ...], like: Tensor, *arguments: Any, **constants: Any) -> None:
    """Run a kernel on the device of `like`. A product and a sum are rounded as they are written, on every version."""
    with _on(like):
        kernel[programs](*arguments, num_warps=WARPS, enable_fp_fusion=False, **constants)


@contextmanager
def _on(like: Tensor) -> Iterator[None]:
    """Triton launches on the current device."""
    if not like.is_cuda or like.device.index == torch.cuda.current_device():
        yield
        return
    with torch.cuda.device(like.device):
        yield


def common_unit(*sizes: int) -> int:
    """The largest power of two up to 16 that divides them all."""
    return math.gcd(16, *sizes)


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def power_of_two(n: int) -> int:
    """The smallest that is not less."""
    return 1 << (n - 1).bit_length()
