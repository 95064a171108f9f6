"""Weights by a formula of a tensor's name and of the element's index: the same everywhere, without a random number.

Shared by the tests and by scripts/write_foreign_logits.py, which records what other libraries' code makes of them.
"""

from __future__ import annotations

import hashlib
import math
import zlib

import torch
from torch import Tensor


def fractions(name: str, shape: tuple[int, ...]) -> Tensor:
    """Numbers in [0, 1) in steps of 1/10007, float32."""
    n = torch.arange(math.prod(shape), dtype=torch.int64)
    seed = zlib.crc32(name.encode()) % 9973
    return (((n + seed) * (n % 89 + 7919) + n // 89 * 31) % 10007).float().div(10007).reshape(shape)


def tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """A parameter or buffer: weights as He's in variance, norms and their statistics about what they begin with."""
    if name.endswith("num_batches_tracked"):
        return torch.tensor(100)
    values = fractions(name, shape)
    if name.endswith("running_var"):
        return values + 0.5
    if name.endswith(("running_mean", "bias")):
        return (values - 0.5) * 0.4
    if len(shape) == 1:
        return values * 0.8 + 0.2
    return (values - 0.5) * 2 * math.sqrt(6 / math.prod(shape[1:]))


def state(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    return {name: tensor(name, shape) for name, shape in shapes.items()}


def image(size: int) -> Tensor:
    """Two images, 2 3 H W."""
    return fractions("image", (2, 3, size, size)) * 2 - 1


def digest(shapes: dict[str, tuple[int, ...]]) -> str:
    """Of all names with their shapes."""
    lines = sorted(f"{name} {tuple(shape)}" for name, shape in shapes.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
