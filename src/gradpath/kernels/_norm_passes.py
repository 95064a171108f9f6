"""BatchNorm's three passes in C++ (_norm.cpp): channels-last float32 and bfloat16 on the CPU; the rest goes to torch.

Statistics are one read of x instead of ATen's two, ReLU and sum ride along with the affine map, and the mask of the
backward comes from the affine map again, so nothing but the mean and 1/√(var + eps) is kept. Results do not depend on
the number of threads, bit for bit.
"""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from gradpath.kernels._build import library
from gradpath.kernels._vectors import available
from gradpath.kernels._winograd import Winograd, WinogradConvs
from gradpath.nets import TORCH_CONVS, ConvPasses, NormPasses, TorchPasses
from gradpath.nets._norm_passes import NormGradients, check_batch, check_gradient, running_of, uses_batch

SOURCE = "_norm.cpp"
SOURCES = SOURCE, Winograd.source  # of all that a fused residual block runs
DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
_POINTER, _VECTORS = c_void_p, [c_void_p] * 4  # mean, invstd, weight, bias
_SIGNATURES: dict[str, list[Any]] = {
    "stats": [_POINTER, c_int64, c_int64, c_double, *_VECTORS, c_double, c_int64],
    "act": [*[_POINTER] * 3, c_int64, c_int64, *_VECTORS, c_int64, c_int64],
    "backward": [*[_POINTER] * 4, c_int64, c_int64, *_VECTORS, *[_POINTER] * 2, c_int64, c_int64, c_int64],
}


@dataclass(frozen=True, slots=True)
class FusedStats:
    """Mean and 1/√(var + eps) of each channel, 2 × C float32."""

    vectors: Tensor
    of_batch: bool

    def tensors(self) -> list[Tensor]:
        return [self.vectors]

    def addresses(self) -> tuple[int, int]:
        start = self.vectors.data_ptr()
        return start, start + 4 * self.vectors.shape[1]


class FusedPasses:
    """`NormPasses` by a compiled library, see there for what each pass takes and returns.

    x in another dtype or layout, on another device, or a norm whose vectors are not float32: plain torch does it, from
    `stats` on. The passes differ from the reference by rounding: bfloat16 is rounded where the reference rounds it.
    """

    name = "fused C++"
    wants_out = False

    def __init__(self) -> None:
        """Builds or loads the library. Raises KernelError where this machine cannot have it."""
        self._reference: NormPasses = TorchPasses()
        compiled = library(SOURCE)
        self._calls = {dtype: _functions(compiled, suffix) for dtype, suffix in DTYPES.items()}
        products = available(Winograd)
        self.convs: ConvPasses = TORCH_CONVS if products is None else WinogradConvs(products)

    def __reduce__(self) -> tuple[type[FusedPasses], tuple[()]]:
        return FusedPasses, ()  # addresses of functions are neither copied nor pickled: they are looked up again

    def stats(self, x: Tensor, norm: nn.BatchNorm2d) -> Any:
        """See NormPasses."""
        if not _fits(x, norm):
            return self._reference.stats(x, norm)
        channels = x.shape[1]
        if not uses_batch(norm):
            return FusedStats(_running_vectors(norm), of_batch=False)
        check_batch(x)
        stats = FusedStats(torch.empty(2, channels, dtype=torch.float32, device=x.device), of_batch=True)
        mean, var, momentum = running_of(norm)
        self._calls[x.dtype]["stats"](
            x.data_ptr(), x.numel() // channels, channels, norm.eps, *stats.addresses(),
            _address(mean), _address(var), momentum, torch.get_num_threads(),
        )  # fmt: skip
        for moved in (mean, var):
            if moved is not None:  # autograd sees a write that it did not do itself
                increment_version(moved)
        return stats

    def act(
        self, x: Tensor, norm: nn.BatchNorm2d, stats: Any, *, relu: bool = True, add: Tensor | None = None
    ) -> Tensor:
        if not isinstance(stats, FusedStats):
            return self._reference.act(x, norm, stats, relu=relu, add=add)
        if add is not None and (add.dtype != x.dtype or add.shape != x.shape):
            y = self.act(x, norm, stats, relu=False) + add
            return y.relu_() if relu else y
        dense, added = _dense(x, x.dtype), None if add is None else _dense(add, x.dtype)
        y, channels = torch.empty_like(dense), x.shape[1]
        self._calls[x.dtype]["act"](
            dense.data_ptr(), _address(added), y.data_ptr(), x.numel() // channels, channels,
            *stats.addresses(), _address(norm.weight), _address(norm.bias), relu, torch.get_num_threads(),
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
        if not isinstance(stats, FusedStats):
            return self._reference.act_backward(
                grad, x, norm, stats, out=out, relu=relu, add=add, own=own, needs_input_grad=needs_input_grad
            )
        check_gradient(grad, x, add)
        dense, g = _dense(x, x.dtype), _dense(grad, x.dtype)
        added = None if add is None else _dense(add, x.dtype)
        grad_x = None
        if needs_input_grad:
            grad_x = g if own or g is not grad else torch.empty_like(g)
        grad_weight, grad_bias = (torch.empty_like(p) if p.requires_grad else None for p in (norm.weight, norm.bias))
        channels = x.shape[1]
        self._calls[x.dtype]["backward"](
            g.data_ptr(), dense.data_ptr(), _address(added), _address(grad_x), x.numel() // channels, channels,
            *stats.addresses(), _address(norm.weight), _address(norm.bias), _address(grad_weight), _address(grad_bias),
            relu, stats.of_batch, torch.get_num_threads(),
        )  # fmt: skip
        return grad_x if grad_x is None or dense is x else grad_x.contiguous(), grad_weight, grad_bias


def _functions(compiled: ctypes.CDLL, suffix: str) -> dict[str, Any]:
    found = {}
    for name, arguments in _SIGNATURES.items():
        function = getattr(compiled, f"{name}_{suffix}")
        function.argtypes, function.restype = arguments, None
        found[name] = function
    return found


def _fits(x: Tensor, norm: nn.BatchNorm2d) -> bool:
    """Whether the compiled passes take x: dense channels-last, at least one number, and vectors of C float32."""
    if x.dtype not in DTYPES or not x.is_cpu or x.numel() == 0 or not _channels_last(x):
        return False
    mean, var, channels = norm.running_mean, norm.running_var, x.shape[1]
    return (
        _plain(norm.weight, channels)
        and _plain(norm.bias, channels)
        and ((mean is None and var is None) or (_plain(mean, channels) and _plain(var, channels)))
    )


def _plain(vector: Tensor | None, channels: int) -> bool:
    return (
        vector is not None
        and vector.dtype == torch.float32
        and vector.is_cpu
        and vector.numel() == channels
        and vector.is_contiguous()
    )


def _channels_last(tensor: Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last)


def _running_vectors(norm: nn.BatchNorm2d) -> Tensor:
    """The running mean and 1/√(running variance + eps), in a copy: they may move before the backward pass."""
    assert norm.running_mean is not None and norm.running_var is not None
    return torch.stack([norm.running_mean, (norm.running_var.double() + norm.eps).rsqrt().float()])


def _dense(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor itself where it is channels-last and of that dtype already, else a copy that is."""
    if tensor.dtype == dtype and _channels_last(tensor):
        return tensor
    return tensor.to(dtype).contiguous(memory_format=torch.channels_last)


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
