"""Shares of elements that are zero, not finite, or lost in 16 bits, from a regular sample of a tensor."""

from __future__ import annotations

import torch
from torch import Tensor

from gradpath.flow._norms import flat
from gradpath.record import Numerics

_SAMPLE = 16384
_FLOAT16_ZERO, _BFLOAT16_ZERO = 2.0**-25, 2.0**-134  # half of the smallest subnormal: at and below, rounds to zero


def zero_share(tensor: Tensor) -> float:
    """Share of exact zeros."""
    sample = _sample(tensor)
    return float((sample == 0).float().mean()) if sample.numel() else 0.0


def numerics_of(gradient: Tensor, zero_activations: float) -> Numerics:
    """What is to say of the elements of a gradient; `zero_activations` was noted in the forward pass."""
    size = _sample(gradient).abs().double() if gradient.device.type != "mps" else _sample(gradient).abs()
    count = max(size.numel(), 1)
    zeros, lost16, lost_b16, finite = torch.stack(
        [(size == 0).sum(), (size <= _FLOAT16_ZERO).sum(), (size <= _BFLOAT16_ZERO).sum(), size.isfinite().sum()]
    ).tolist()
    others = max(count - zeros, 1)
    return Numerics(
        sampled=size.numel(),
        zero_activations=zero_activations,
        zero_gradients=zeros / count,
        not_finite=(size.numel() - finite) / count,
        float16_underflow=(lost16 - zeros) / others,
        bfloat16_underflow=(lost_b16 - zeros) / others,
    )


def _sample(tensor: Tensor) -> Tensor:
    """Every n-th element in the order of memory, at most 16,384 of them; n is odd, so that it meets all channels of a
    power of two."""
    elements = flat(tensor)
    return elements[:: -(-elements.numel() // _SAMPLE) | 1]
