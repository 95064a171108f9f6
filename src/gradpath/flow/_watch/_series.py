"""The loss and the loss scale of every step: kept on the device until a report brings them to the host."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gradpath.errors import TraceError


class Series:
    """Scalars, one a step: numbers of the host as they are, tensors of a device as copies of their own."""

    def __init__(self) -> None:
        self._values: list[float | Tensor] = []

    def add(self, value: Any) -> float | None:
        """Returns the value where the host knows it. Raises TraceError for a tensor with several elements."""
        if isinstance(value, Tensor) and value.numel() != 1:
            raise TraceError(f"step(loss) takes a scalar, got a tensor of shape {tuple(value.shape)}: take its mean")
        if isinstance(value, Tensor) and value.device.type != "cpu":
            self._values.append(value.detach().reshape(()).float().clone())
            return None
        known = float(value.detach() if isinstance(value, Tensor) else value)
        self._values.append(known)
        return known

    def take(self, device: torch.device, dtype: torch.dtype) -> tuple[list[float | None], Tensor]:
        """The values so far, None for those that are in the tensor; begins anew."""
        known = [None if isinstance(value, Tensor) else value for value in self._values]
        waiting = [value.to(device, dtype) for value in self._values if isinstance(value, Tensor)]
        self._values = []
        return known, torch.stack(waiting) if waiting else torch.empty(0, device=device, dtype=dtype)


def fill(known: list[float | None], arrived: list[float]) -> list[float]:
    """Put what has arrived from the device in its places."""
    rest = iter(arrived)
    return [next(rest) if value is None else value for value in known]


def current_scale(scaler: Any) -> float | Tensor | None:
    """What a gradient scaler multiplies the loss by now; its tensor where it has one, so that nothing waits."""
    if scaler is None or not getattr(scaler, "is_enabled", lambda: True)():
        return None
    held = getattr(scaler, "_scale", None)
    return held if isinstance(held, Tensor) else float(scaler.get_scale())
