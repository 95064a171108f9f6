"""A convolution, a pooling and a sum without autograd: forward under the caller's autocast, backward by hand.

Dtypes are those of autograd. Under autocast a convolution reads copies of its input and weight in the low precision, so
its gradients are computed in it and cast back.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvPasses(Protocol):
    """The two passes of a convolution without bias, under the caller's autocast and without grad mode."""

    def convolve(self, x: Tensor, conv: nn.Conv2d) -> Tensor:
        """conv(x): N C H W → N K H' W'."""
        ...

    def convolve_backward(
        self, grad: Tensor, x: Tensor, conv: nn.Conv2d, needs_input_grad: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """(gradient of x, gradient of the weight) from that of conv(x), N K H' W'; None where not needed: of x as the
        caller says, of the weight where it is frozen."""
        ...


class TorchConvs:
    """The reference: torch's own kernels."""

    def convolve(self, x: Tensor, conv: nn.Conv2d) -> Tensor:
        """See ConvPasses."""
        return convolve(x, conv)

    def convolve_backward(
        self, grad: Tensor, x: Tensor, conv: nn.Conv2d, needs_input_grad: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """See ConvPasses."""
        return convolve_backward(grad, x, conv, needs_input_grad)


TORCH_CONVS = TorchConvs()


def convolve(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """conv(x) for a convolution without bias, N C H W.

    Casts are made here, not by autocast, which keeps those of parameters until its end: bytes that no plan counts, and
    in older torch, where they were made without grad mode, a later forward gets them cut off from the parameters.
    """
    dtype = compute_dtype(x)
    return F.conv2d(
        cast(x, dtype), cast(conv.weight, dtype), None, conv.stride, conv.padding, conv.dilation, conv.groups
    )


def convolve_backward(
    grad: Tensor, x: Tensor, conv: nn.Conv2d, needs_input_grad: bool
) -> tuple[Tensor | None, Tensor | None]:
    """(gradient of x, gradient of the weight) from the gradient of convolve(x, conv), None where not needed."""
    wanted = [needs_input_grad, conv.weight.requires_grad, False]
    if not any(wanted):
        return None, None
    if wanted[1] and _overruns(x, conv):
        grad_x = _conv_gradients(grad, x, conv, conv.stride, [wanted[0], False, False])[0] if wanted[0] else None
        read = x[:, :, :: conv.stride[0], :: conv.stride[1]]
        return grad_x, _conv_gradients(grad, read, conv, (1, 1), [False, True, False])[1]
    return _conv_gradients(grad, x, conv, conv.stride, wanted)


def _conv_gradients(
    grad: Tensor, x: Tensor, conv: nn.Conv2d, stride: tuple[int, ...], wanted: list[bool]
) -> tuple[Tensor | None, Tensor | None]:
    assert not isinstance(conv.padding, str)  # a form has no such
    dtype = compute_dtype(x)
    grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
        cast(grad, dtype),
        cast(x, dtype),
        cast(conv.weight, dtype),
        None,
        stride,
        conv.padding,
        conv.dilation,
        False,
        [0, 0],
        conv.groups,
        wanted,
    )
    return (
        cast(grad_x, x.dtype) if wanted[0] else None,
        cast(grad_weight, conv.weight.dtype) if wanted[1] else None,
    )


def _overruns(x: Tensor, conv: nn.Conv2d) -> bool:
    """Whether oneDNN may write past its buffer in the gradient of this weight: of a strided 1×1 convolution, channels-
    last, whose input channels do not fill a vector. Seen in torch 2.13 with AVX2 below 8; an AVX-512 vector holds 16.
    """
    full = 16 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 8
    if x.shape[1] >= full or x.device.type != "cpu" or x.dtype is torch.float64 or conv.groups != 1:
        return False
    if tuple(conv.stride) == (1, 1) or tuple(conv.weight.shape[2:]) != (1, 1) or any(conv.padding):
        return False
    return x.stride(1) == 1 or conv.weight.stride(3) != 1


def pool_backward(grad: Tensor, x: Tensor, pool: nn.AvgPool2d) -> Tensor:
    """The gradient of x from that of pool(x), which autocast may have computed in another dtype."""
    found: Tensor = torch.ops.aten.avg_pool2d_backward(
        grad,
        cast(x, grad.dtype),
        _pair(pool.kernel_size),
        _pair(pool.stride),
        _pair(pool.padding),
        pool.ceil_mode,
        pool.count_include_pad,
        pool.divisor_override,
    )
    return cast(found, x.dtype)


def add(out: Tensor, other: Tensor, in_place: bool) -> Tensor:
    """out + other, which may overwrite out. in_place: `out += other`, which keeps out's dtype."""
    if in_place or torch.promote_types(out.dtype, other.dtype) == out.dtype:
        return out.add_(other)
    return out + other


def cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """tensor.to(dtype), without the call where there is nothing to do: a step asks some thirty times a block."""
    return tensor if tensor.dtype is dtype else tensor.to(dtype)


def compute_dtype(x: Tensor) -> torch.dtype:
    """What a convolution of x is computed in; autocast leaves float64 alone."""
    device = x.device.type
    if x.dtype is torch.float64 or not torch.amp.is_autocast_available(device):
        return x.dtype
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def _pair(size: int | tuple[int, int]) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size)
