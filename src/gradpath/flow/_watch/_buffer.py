"""Numbers that hooks write on the device, and how they come to the host: in one copy for each report."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

ACTIVATION, GRADIENT = 0, 2
"""First of two columns of a layer's row: Σ‖·‖² over its calls, then the number of elements."""
NOT_ARRIVED = -1.0


class Buffers:
    """Sums of squares of each layer, and the norm of each parameter's gradient, in float64 (float32 on MPS)."""

    def __init__(self, layers: int, parameters: int, device: torch.device) -> None:
        self.dtype = torch.float32 if device.type == "mps" else torch.float64
        self.device = device
        self.layers = torch.zeros(layers, 4, dtype=self.dtype, device=device)
        self.parameters = torch.full((parameters,), NOT_ARRIVED, dtype=self.dtype, device=device)

    def add(self, row: int, column: int, tensor: Tensor, wide: bool = False) -> None:
        """Add a tensor's energy and size to a layer's row. Nothing here waits for the device, or leaves it."""
        size = norm_on_device(tensor, wide).to(self.layers)
        self.layers[row, column].add_(size * size)
        self.layers[row, column + 1].add_(tensor.numel())

    def put(self, index: int, gradient: Tensor) -> None:
        """Write the norm of a parameter's gradient."""
        self.parameters[index].copy_(norm_on_device(gradient, False))

    def clear(self) -> None:
        self.layers.zero_()
        self.parameters.fill_(NOT_ARRIVED)


def norm_on_device(tensor: Tensor, wide: bool) -> Tensor:
    """‖tensor‖₂ as a scalar on its device. Summed in float32 for each sample (float16's sums end at 65504), then in
    float64 over the samples: in one sum of 10⁷ elements a CPU's float32 loses 4 digits. `wide`: all in float64."""
    tensor = tensor.detach()
    if hasattr(tensor, "to_local"):  # a shard: tensor parallelism's activations
        tensor = tensor.to_local()
    if tensor.is_sparse:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    last = torch.float32 if tensor.device.type == "mps" else torch.float64
    if tensor.dim() > 1 and not wide and tensor.dtype != torch.float64:
        tensor = torch.linalg.vector_norm(tensor, dim=tuple(range(1, tensor.dim())), dtype=torch.float32)
    size: Tensor = torch.linalg.vector_norm(tensor, dtype=last)
    return size


class HostCopy:
    """Numbers on their way to the host. On CUDA the copy does not wait: ask `ready` at a later step."""

    def __init__(self, numbers: Tensor) -> None:
        self._event: Any = None
        if numbers.device.type == "cuda":
            self._host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
            self._host.copy_(numbers, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()
        else:
            self._host = numbers.to("cpu", copy=True)

    @property
    def ready(self) -> bool:
        return self._event is None or bool(self._event.query())

    def numbers(self) -> list[float]:
        if self._event is not None:
            self._event.synchronize()
        found: list[float] = self._host.tolist()
        return found


def log10_rms(energy: float, elements: float, factor: float = 1.0) -> float | None:
    """log10 of √(energy / elements) · factor; None where nothing was measured, -inf for 0, NaN for not finite."""
    if not elements:
        return None
    return log10_norm(math.sqrt(energy / elements), factor) if math.isfinite(energy) else math.nan


def log10_norm(norm: float, factor: float = 1.0) -> float:
    """log10 of a norm times a factor, to six decimals (2 parts in a million, and shorter lines)."""
    if not (math.isfinite(norm) and math.isfinite(factor) and factor > 0):
        return math.nan
    return round(math.log10(norm) + math.log10(factor), 6) if norm > 0 else -math.inf
