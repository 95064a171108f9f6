"""Which passes the dense blocks of this machine run on: the compiled ones where they can be had and agree."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from gradpath.errors import KernelError
from gradpath.kernels._choose import canonical
from gradpath.kernels._dense_compiled import CompiledDensePasses
from gradpath.kernels._dense_passes import Affine, DensePasses, TorchDensePasses
from gradpath.kernels._triton._choose import triton_dense_passes

BACKENDS = ("auto", "compiled", "torch", "triton")
AGREE = {torch.float32: 1e-5, torch.bfloat16: 2.0**-6}  # largest difference to plain torch, relative to its largest


class ChosenDense(NamedTuple):
    """The passes, and in a few words which they are and why."""

    passes: DensePasses
    line: str


def dense_passes(backend: str = "auto") -> ChosenDense:
    """The passes of dense blocks: 'compiled' (C++), 'torch' (everywhere), or 'auto': compiled where it can be had.

    The first call in a process builds or loads the C++ (seconds; milliseconds from the cache) and checks it against
    plain torch on a small tile. 'triton' (GPU kernels) is not measured yet: 'auto' never gives it. Raises KernelError
    for an unknown backend, and where 'compiled' or 'triton' cannot be had.
    """
    backend = canonical(backend)
    if backend not in BACKENDS:
        raise KernelError(f"backend {backend!r}: unknown, choose from reference, {', '.join(BACKENDS)}")
    if backend == "torch":
        return ChosenDense(TorchDensePasses(), "plain torch")
    if backend == "triton":
        return ChosenDense(triton_dense_passes(), "Triton passes")
    compiled, why_not = _compiled()
    if compiled is not None:
        return ChosenDense(compiled, "C++ passes")
    if backend == "compiled":
        raise KernelError(f"{why_not}; backend 'torch' works everywhere")
    return ChosenDense(TorchDensePasses(), f"plain torch ({why_not})")


@cache
def _compiled() -> tuple[DensePasses | None, str]:
    """(the passes, '') or (None, why not); found out once in a process."""
    try:
        passes = CompiledDensePasses()
        check(passes)
    except KernelError as error:
        return None, str(error)
    return passes, ""


def check(passes: DensePasses) -> None:
    """Raise KernelError where the passes do not agree with plain torch on a small tile of each dtype."""
    for dtype, bound in AGREE.items():
        for got, wanted in zip(_trial(passes, dtype), _trial(TorchDensePasses(), dtype), strict=True):
            difference = float((got.double() - wanted.double()).abs().max() / wanted.double().abs().max())
            if not difference <= bound:  # NaN too
                raise KernelError(f"compiled kernels: {dtype} differs from plain torch by {difference:.1e} on this CPU")


@torch.no_grad()
def _trial(passes: DensePasses, dtype: torch.dtype) -> list[Tensor]:
    """All results on fixed tiles of 37 rows and 19 of 23 columns, masks far from a tie."""
    ramp = torch.arange(37 * 23, device="cpu", dtype=torch.float32)
    x, grad, total = (((ramp * step).sin() + 0.5).reshape(37, 23).to(dtype)[:, :19] for step in (0.7, 1.3, 2.1))
    center, scale, bias, inverse = (0.3 * (ramp[:19] * step).cos() + 1 for step in (0.9, 1.7, 2.9, 3.3))
    affine = Affine(center, scale, bias, inverse, True)
    activated, finished, masked = (torch.empty(37, 19, dtype=dtype, device="cpu") for _ in range(3))
    passes.activate(x, affine, activated)
    passes.finish(total, x, center, bias, scale, finished)
    added = total.clone()
    sums = [passes.mask(grad.clone(), activated, x, affine, out, out is added) for out in (added, masked)]
    return [activated, finished, added, masked, *passes.moments(x, torch.float32), *sums[0], *sums[1]]
