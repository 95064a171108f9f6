"""BatchNorm's three passes in Triton: channels-last float32, bfloat16, float16 on a GPU; the rest goes to torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from gradpath.kernels._triton import _row_kernels as kernels
from gradpath.kernels._triton._launch import DTYPES, elementwise, launch, merge_grid, row_grid
from gradpath.nets import TORCH_CONVS, ConvPasses, NormPasses, TorchPasses
from gradpath.nets._norm_passes import NormGradients, check_batch, check_gradient, running_of, uses_batch


@dataclass(frozen=True, slots=True)
class TritonStats:
    """Of each channel, float32: mean, 1/√(variance + eps), and the norm's weight times that. 3 × C."""

    vectors: Tensor
    of_batch: bool

    def tensors(self) -> list[Tensor]:
        return [self.vectors]


class TritonPasses:
    """`NormPasses` by Triton kernels, see there for what each pass takes and returns.

    x in another dtype or layout, on a device that Triton cannot reach, or a norm whose vectors are not float32: plain
    torch does it, from `stats` on. The passes differ from the reference by rounding; half precision is rounded where
    the reference rounds it. The same input gives the same bits at every run on one device.
    """

    name = "Triton"
    wants_out = False
    convs: ConvPasses = TORCH_CONVS

    def __init__(self, devices: tuple[str, ...] = ("cuda",)) -> None:
        """devices: where the kernels run; 'cpu' is Triton's interpreter."""
        self.devices = devices
        self._reference: NormPasses = TorchPasses()

    def stats(self, x: Tensor, norm: nn.BatchNorm2d) -> Any:
        """See NormPasses."""
        if x.device.type not in self.devices or not _fits(x, norm):
            return self._reference.stats(x, norm)
        if not uses_batch(norm):
            return TritonStats(_running_vectors(norm), of_batch=False)
        check_batch(x)
        channels = x.shape[1]
        rows, vectors = x.numel() // channels, x.new_empty(3, channels, dtype=torch.float32)
        mean, var, momentum = running_of(norm)
        grid = row_grid(x, rows, channels)
        parts = x.new_empty(2, grid.row_programs, channels, dtype=torch.float32)
        launch(
            kernels.moments_kernel, grid.sums, x,
            x, channels // grid.unit, parts[0], parts[1], rows, channels // grid.unit, grid.rows_each, **grid.blocks,
        )  # fmt: skip
        programs, units, blocks = merge_grid(channels, grid.row_programs)
        launch(
            kernels.merge_moments_kernel, programs, x,
            parts[0], parts[1], vectors, norm.weight, mean, var, rows, units, grid.rows_each, grid.row_programs,
            norm.eps, momentum, rows / (rows - 1), NORM=True, RUNNING=mean is not None, **blocks,
        )  # fmt: skip
        for moved in (mean, var):
            if moved is not None:  # autograd sees a write that it did not do itself
                increment_version(moved)
        return TritonStats(vectors, of_batch=True)

    def act(
        self, x: Tensor, norm: nn.BatchNorm2d, stats: Any, *, relu: bool = True, add: Tensor | None = None
    ) -> Tensor:
        """See NormPasses."""
        if not isinstance(stats, TritonStats):
            return self._reference.act(x, norm, stats, relu=relu, add=add)
        if add is not None and (add.dtype != x.dtype or add.shape != x.shape):
            y = self.act(x, norm, stats, relu=False) + add
            return y.relu_() if relu else y
        dense, added = _dense(x, x.dtype), None if add is None else _dense(add, x.dtype)
        y, channels = torch.empty_like(dense), x.shape[1]
        rows = x.numel() // channels
        grid = row_grid(x, rows, channels)
        units = channels // grid.unit
        mean, _, scale = stats.vectors.unbind()
        launch(
            kernels.activate_kernel, elementwise(grid, rows), x,
            dense, units, added, y, units, mean, scale, norm.bias, rows, units,
            RELU=relu, ADD=added is not None, **grid.blocks,
        )  # fmt: skip
        return y if dense is x else y.contiguous()

    def act_backward(
        self,
        grad: Tensor,
        x: Tensor,
        norm: nn.BatchNorm2d,
        stats: Any,
        *,
        out: Tensor | None = None,
        relu: bool = True,
        add: Tensor | None = None,
        own: bool = False,
        needs_input_grad: bool = True,
    ) -> NormGradients:
        """See NormPasses."""
        if not isinstance(stats, TritonStats):
            return self._reference.act_backward(
                grad, x, norm, stats, out=out, relu=relu, add=add, own=own, needs_input_grad=needs_input_grad
            )
        check_gradient(grad, x, add)
        dense, g = _dense(x, x.dtype), _dense(grad, x.dtype)
        sums: tuple[Tensor, ...] | None = None
        if norm.weight.requires_grad or norm.bias.requires_grad or (needs_input_grad and stats.of_batch):
            sums = _sums(g, dense, norm, stats, relu)
        grad_x = None
        if needs_input_grad:
            grad_x = g if own or g is not grad else torch.empty_like(g)
            _input_gradient(g, dense, norm, stats, relu, None if add is None else _dense(add, x.dtype), sums, grad_x)
            grad_x = grad_x if dense is x else grad_x.contiguous()
        weight, bias = (p.requires_grad for p in (norm.weight, norm.bias))
        return grad_x, sums[2] if sums and weight else None, sums[0] if sums and bias else None


def _sums(g: Tensor, x: Tensor, norm: nn.BatchNorm2d, stats: TritonStats, relu: bool) -> tuple[Tensor, ...]:
    """Σ g, Σ g·(x − mean) and the gradient of the weight, C each."""
    channels = x.shape[1]
    rows = x.numel() // channels
    grid = row_grid(x, rows, channels)
    mean, inverse, scale = stats.vectors.unbind()
    parts = x.new_empty(2, grid.row_programs, channels, dtype=torch.float32)
    launch(
        kernels.norm_sums_kernel, grid.sums, x,
        g, x, mean, scale, norm.bias, parts[0], parts[1], rows, channels // grid.unit, grid.rows_each,
        RELU=relu, **grid.blocks,
    )  # fmt: skip
    return merged_sums(parts, inverse)


def merged_sums(parts: Tensor, inverse: Tensor) -> tuple[Tensor, ...]:
    """The programs' sums (2 × programs × C) added up: Σ g, Σ g·(x − center) and inverse times that, C each."""
    _, count, channels = parts.shape
    sums = tuple(torch.empty_like(inverse) for _ in range(3))
    programs, units, blocks = merge_grid(channels, count)
    launch(
        kernels.merge_sums_kernel, programs, parts, parts[0], parts[1], *sums, inverse, units, count, **blocks
    )  # fmt: skip
    return sums


def _input_gradient(
    g: Tensor,
    x: Tensor,
    norm: nn.BatchNorm2d,
    stats: TritonStats,
    relu: bool,
    add: Tensor | None,
    sums: tuple[Tensor, ...] | None,
    out: Tensor,
) -> None:
    channels = x.shape[1]
    rows = x.numel() // channels
    grid = row_grid(x, rows, channels)
    mean, inverse, scale = stats.vectors.unbind()
    plain, centered = (None, None) if sums is None else sums[:2]
    launch(
        kernels.norm_gradient_kernel, elementwise(grid, rows), x,
        g, x, add, out, mean, scale, norm.bias, inverse, plain, centered, rows, channels // grid.unit, 1 / rows,
        RELU=relu, ADD=add is not None, BATCH=stats.of_batch, **grid.blocks,
    )  # fmt: skip


def _fits(x: Tensor, norm: nn.BatchNorm2d) -> bool:
    """Whether the kernels take x: dense channels-last, at least one number, and vectors of C float32 beside it."""
    if x.dtype not in DTYPES or x.numel() == 0 or not x.is_contiguous(memory_format=torch.channels_last):
        return False
    mean, var = norm.running_mean, norm.running_var
    running = (mean is None and var is None) or (_plain(mean, x) and _plain(var, x))
    return _plain(norm.weight, x) and _plain(norm.bias, x) and running


def _plain(vector: Tensor | None, x: Tensor) -> bool:
    return (
        vector is not None
        and vector.dtype == torch.float32
        and vector.device == x.device
        and vector.numel() == x.shape[1]
        and vector.is_contiguous()
    )


def _running_vectors(norm: nn.BatchNorm2d) -> Tensor:
    """As `TritonStats.vectors`, in copies: running statistics may move before the backward pass."""
    assert norm.running_mean is not None and norm.running_var is not None
    inverse = (norm.running_var.double() + norm.eps).rsqrt().float()
    return torch.stack([norm.running_mean, inverse, norm.weight * inverse])


def _dense(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor itself where it is channels-last and of that dtype already, else a copy that is."""
    if tensor.dtype == dtype and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor
    return tensor.to(dtype).contiguous(memory_format=torch.channels_last)
