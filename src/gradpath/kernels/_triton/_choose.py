"""The Triton passes of this machine, checked on a small input before they are used."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gradpath.errors import KernelError, first_line
from gradpath.kernels._dense_passes import Affine, DenseProducts, TorchDensePasses
from gradpath.nets import TorchPasses

if TYPE_CHECKING:
    from gradpath.kernels._triton._dense import TritonDensePasses
    from gradpath.kernels._triton._norm import TritonPasses

AGREE = {torch.float32: 1e-5, torch.float16: 2.0**-9, torch.bfloat16: 2.0**-6}
"""Largest difference to plain torch, relative to its largest number: half precision rounds between operations."""
LOWEST = 8, 0  # compute capability: bfloat16 in hardware


@cache
def triton_passes() -> TritonPasses:
    """Norm passes in Triton. Raises KernelError, in one line, where they cannot be had or disagree with plain torch."""
    device = _device()
    from gradpath.kernels._triton._norm import TritonPasses  # imports Triton

    passes = TritonPasses((device.type,))
    _check(device, _norm_results, passes, TorchPasses())
    return passes


@cache
def triton_dense_passes() -> TritonDensePasses:
    """The same for dense blocks."""
    device = _device()
    from gradpath.kernels._triton._dense import TritonDensePasses

    passes = TritonDensePasses((device.type,))
    _check(device, _dense_results, passes, TorchDensePasses())
    return passes


def interpreted() -> bool:
    """Whether Triton interprets its kernels, on the CPU: for tests."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes")


def _device() -> torch.device:
    """Where the kernels run. Raises KernelError where nothing can run them."""
    if importlib.util.find_spec("triton") is None:
        raise KernelError("Triton kernels: triton is not installed (it comes with torch for CUDA on Linux)")
    if interpreted():
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise KernelError("Triton kernels: no CUDA device; backend 'auto' works everywhere")
    device = torch.device("cuda", torch.cuda.current_device())
    found = torch.cuda.get_device_capability(device)
    if torch.version.hip is None and found < LOWEST:
        raise KernelError(
            f"Triton kernels: compute capability {found[0]}.{found[1]}, {LOWEST[0]}.{LOWEST[1]} is needed"
        )
    return device


def _check(device: torch.device, results: Callable[..., list[Tensor]], passes: Any, reference: Any) -> None:
    """Raise KernelError where the passes fail or do not agree with the reference on a small input of each dtype."""
    for dtype, bound in AGREE.items():
        if dtype is torch.bfloat16 and device.type == "cpu":
            continue  # the interpreter multiplies bfloat16 matrices wrongly
        try:
            with torch.no_grad():
                found = results(passes, device, dtype)
        except Exception as error:  # of Triton, its compiler, the driver: any of them means that it cannot be used
            raise KernelError(f"Triton kernels: {type(error).__name__}: {first_line(error)}") from error
        with torch.no_grad():
            wanted = results(reference, device, dtype)
        for got, right in zip(found, wanted, strict=True):
            difference = float((got.double() - right.double()).abs().max() / right.double().abs().max())
            if not difference <= bound:  # NaN too
                raise KernelError(f"Triton kernels: {dtype} differs from plain torch by {difference:.1e} on {device}")


def _norm_results(passes: Any, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """Of all passes, on a fixed input whose masks are far from a tie."""
    norm = nn.BatchNorm2d(20, device=device, dtype=torch.float32)
    x, grad, skip = (_waves(device, 3, 20, 5, 5, step=step).to(dtype) for step in (0.7, 1.3, 2.1))
    x, grad, skip = (one.contiguous(memory_format=torch.channels_last) for one in (x, grad, skip))
    norm.weight.copy_(1 + 0.3 * _waves(device, 20, step=0.9))
    norm.bias.copy_(0.3 * _waves(device, 20, step=1.7))
    stats = passes.stats(x, norm)
    outputs = [passes.act(x, norm, stats), passes.act(x, norm, stats, add=skip)]
    masked, affine = (
        passes.act_backward(grad, x, norm, stats, add=skip),
        passes.act_backward(grad, x, norm, stats, relu=False),
    )
    return [*outputs, norm.running_mean, norm.running_var, *masked, *affine]


def _dense_results(passes: Any, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """Of all passes and products, on fixed tiles of 37 rows and 20 of 24 columns, 12 outputs."""
    x, grad, total = (_waves(device, 37, 24, step=step).add(0.5).to(dtype)[:, :20] for step in (0.7, 1.3, 2.1))
    center, scale, bias, inverse = (0.3 * _waves(device, 20, step=step) + 1 for step in (0.9, 1.7, 2.9, 3.3))
    affine = Affine(center, scale, bias, inverse, True)
    activated, finished, masked = (torch.empty(37, 20, dtype=dtype, device=device) for _ in range(3))
    passes.activate(x, affine, activated)
    passes.finish(total, x, center, bias, scale, finished)
    added = total.clone()
    sums = [passes.mask(grad.clone(), activated, x, affine, out, out is added) for out in (added, masked)]
    found = [activated, finished, added, masked, *passes.moments(x, torch.float32), *sums[0], *sums[1]]
    return found + _product_results(passes, x, affine, dtype)


def _product_results(passes: Any, x: Tensor, affine: Affine, dtype: torch.dtype) -> list[Tensor]:
    weight, grad = (_waves(x.device, rows, columns, step=0.3).to(dtype) for rows, columns in ((12, 20), (37, 12)))
    vectors = (_waves(x.device, 12, step=0.2), _waves(x.device, 12, step=0.4), 0.1 * _waves(x.device, 12, step=0.6))
    out, total = torch.empty_like(grad), x.clone()
    if isinstance(passes, DenseProducts):
        moments = passes.product(x, affine, weight, out, True)
        sums = passes.product_backward(grad, grad, vectors, x, affine, weight, total, True)
        return [out, *(moments or ()), total, *(one for one in sums if one is not None)]
    activated, finished, upper = torch.empty_like(x), torch.empty_like(grad), torch.empty_like(x)
    passes.activate(x, affine, activated)
    torch.mm(activated, weight.t(), out=out)
    passes.finish(grad, grad, *vectors, finished)
    torch.mm(finished, weight, out=upper)
    sums = passes.mask(upper, activated, x, affine, total, True)
    return [out, *passes.moments(out, torch.float32), total, *sums, finished.t() @ activated]


def _waves(device: torch.device, *shape: int, step: float) -> Tensor:
    """Fixed numbers between −1 and 1."""
    count = torch.arange(torch.Size(shape).numel(), device=device, dtype=torch.float32)
    return (count * step).sin().reshape(shape)
