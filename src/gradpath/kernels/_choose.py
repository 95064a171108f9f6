"""Which norm passes this machine gets: the compiled ones where they build, load and agree with the reference."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gradpath.errors import KernelError
from gradpath.kernels._norm_passes import FusedPasses
from gradpath.kernels._triton._choose import triton_passes
from gradpath.nets import NormPasses, TorchPasses

BACKENDS = ("auto", "compiled", "torch", "triton", "reference")
_FORMER = {"fused": "compiled"}
AGREE = {torch.float32: 1e-5, torch.bfloat16: 2.0**-7}  # largest difference to the reference, relative to its largest


class Chosen(NamedTuple):
    """The passes, and one line that says which they are and why."""

    passes: NormPasses
    line: str
    why: str = ""
    """Why they are not the compiled ones, where those were looked for."""


def canonical(backend: str) -> str:
    """A backend's name now: 'fused' was the former name of 'compiled'."""
    return _FORMER.get(backend, backend)


def norm_passes(backend: str = "auto") -> Chosen:
    """The norm passes to use: 'compiled' (C++), 'torch' or 'reference' (plain torch), or 'auto': compiled where they
    can be had.

    The first call in a process builds or loads the C++ (seconds; milliseconds from the cache) and checks it against
    the reference on a small input. What 'auto' gives depends on the machine alone, not on a timing: a run does not
    change its rounding from one start to the next. 'triton' (GPU kernels) is not measured yet: 'auto' never gives it.
    Raises KernelError for an unknown backend, and where 'compiled' or 'triton' is asked for and cannot be had.
    """
    backend = canonical(backend)
    if backend not in BACKENDS:
        raise KernelError(f"backend {backend!r}: unknown, choose from {', '.join(BACKENDS)}")
    if backend in ("torch", "reference"):
        return Chosen(TorchPasses(), "norm passes: plain torch, as asked")
    if backend == "triton":
        return Chosen(triton_passes(), "norm passes: Triton, checked against plain torch")
    fused, why_not = _fused()
    if fused is not None:
        return Chosen(fused, "norm passes: fused C++, checked against plain torch")
    if backend == "compiled":
        raise KernelError(f"{why_not}; backend 'reference' works everywhere")
    return Chosen(TorchPasses(), f"norm passes: plain torch ({why_not})", why_not)


@cache
def _fused() -> tuple[FusedPasses | None, str]:
    """(the passes, '') or (None, why not); found out once in a process."""
    try:
        passes = FusedPasses()
        check(passes)
    except KernelError as error:
        return None, str(error)
    return passes, ""


def check(passes: NormPasses) -> None:
    """Raise KernelError where the passes do not agree with the reference on a small input of each dtype."""
    for dtype, bound in AGREE.items():
        for got, wanted in zip(_trial(passes, dtype), _trial(TorchPasses(), dtype), strict=True):
            difference = float((got.double() - wanted.double()).abs().max() / wanted.double().abs().max())
            if not difference <= bound:  # NaN too
                raise KernelError(f"compiled kernels: {dtype} differs from plain torch by {difference:.1e} on this CPU")


@torch.no_grad()
def _trial(passes: NormPasses, dtype: torch.dtype) -> list[Tensor]:
    """All results on a fixed input of 3 × 19 × 5 × 5 whose masks are far from a tie."""
    norm = nn.BatchNorm2d(19, device="cpu", dtype=torch.float32)
    shape = (3, 19, 5, 5)
    ramp = torch.arange(3 * 19 * 25, device="cpu", dtype=torch.float64)
    x, grad, skip = (_laid_out((ramp * step).sin().reshape(shape), dtype) for step in (0.7, 1.3, 2.1))
    norm.weight.copy_(1 + 0.3 * ramp[:19].cos())
    norm.bias.copy_(0.3 * ramp[:19].sin())
    stats: Any = passes.stats(x, norm)
    outputs = [passes.act(x, norm, stats), passes.act(x, norm, stats, add=skip)]
    gradients = passes.act_backward(grad, x, norm, stats, add=skip)
    affine = passes.act_backward(grad, x, norm, stats, relu=False)
    vectors = [v for v in (norm.running_mean, norm.running_var) if v is not None]
    return [*outputs, *vectors, *(g for g in (*gradients, *affine) if g is not None)]


def _laid_out(values: Tensor, dtype: torch.dtype) -> Tensor:
    return values.to(dtype).contiguous(memory_format=torch.channels_last)
