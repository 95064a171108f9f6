"""Shares of elements that are zero, not finite, or lost in 16 bits, from a regular sample of a tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gradpath.flow._norms import flat
from gradpath.record import Numerics

_SAMPLE, _RUN = 4096, 16
_FLOAT16_ZERO, _BFLOAT16_ZERO = 2.0**-25, 2.0**-134  # half of the smallest subnormal: at and below, rounds to zero


def sample(tensor: Tensor) -> Tensor:
    """A copy of all elements, or of at most 4,096: every n-th run of 16 in the order of memory. n is odd, so that the
    runs meet all channels of a power of two; single elements would each cost a line of the cache."""
    elements = flat(tensor.detach())
    if elements.numel() <= _SAMPLE:
        return elements.clone()
    runs = elements[: elements.numel() // _RUN * _RUN].view(-1, _RUN)
    return runs[:: -(-len(runs) * _RUN // _SAMPLE) | 1].clone().view(-1)


def numerics(outputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Numerics]:
    """What is to say of the elements of each layer, from samples of its output and of the gradient at it. All are
    taken from the device at once."""
    sizes = zip(_sizes(outputs), _sizes(gradients), strict=True)
    return [_numerics(output, gradient) for output, gradient in sizes]


def _sizes(samples: Sequence[Tensor]) -> list[np.ndarray]:
    """|x| of each, in float64 where one of them is, else in float32."""
    if not samples:
        return []
    wide = [each if each.dtype in (torch.float32, torch.float64) else each.float() for each in samples]
    together = torch.cat([each.to(wide[0].device) for each in wide]).abs().cpu()
    return [part.numpy() for part in torch.split(together, [each.numel() for each in samples])]


def _numerics(output: np.ndarray, gradient: np.ndarray) -> Numerics:
    count, zeros = max(gradient.size, 1), _count(gradient == 0)
    others = max(count - zeros, 1)
    return Numerics(
        sampled=gradient.size,
        zero_activations=_count(output == 0) / max(output.size, 1),
        zero_gradients=zeros / count,
        not_finite=_count(~np.isfinite(gradient)) / count,
        float16_underflow=(_count(gradient <= _FLOAT16_ZERO) - zeros) / others,
        bfloat16_underflow=(_count(gradient <= _BFLOAT16_ZERO) - zeros) / others,
    )


def _count(mask: np.ndarray) -> int:
    return int(np.count_nonzero(mask))
