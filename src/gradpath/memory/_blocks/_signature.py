"""What makes two blocks cost the same: types, settings and shapes, told without running or printing anything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

_EXACT = (int, str, bool, type(None), torch.dtype, torch.device)


@dataclass(frozen=True)
class Layout:
    """A tensor without its values."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype

    @staticmethod
    def of(x: Tensor) -> Layout:
        return Layout(tuple(x.shape), tuple(x.stride()), x.dtype)

    @property
    def text(self) -> str:
        """'16×64×32×32'."""
        return "×".join(map(str, self.shape)) or "scalar"

    def random(self, device: torch.device) -> Tensor:
        """Normal numbers, the same at every call; other generators are left alone. Ones where they are not floats."""
        x = torch.empty_strided(self.shape, self.strides, dtype=self.dtype, device=device)
        if not (x.is_floating_point() or x.is_complex()):
            return x.fill_(1)
        generator = torch.Generator(device).manual_seed(0)
        return x.copy_(torch.randn(self.shape, generator=generator, device=device))


def signature(modules: Iterable[nn.Module], x: Layout) -> tuple[Any, ...]:
    """Equal for blocks of the same types, settings, and shapes of parameters, buffers and input.

    Of settings that are floats (eps, momentum, the rate of a dropout) only the sign counts.
    """
    return (x, *(_of_module(name, inner) for module in modules for name, inner in module.named_modules()))


def _of_module(name: str, module: nn.Module) -> tuple[Any, ...]:
    settings = tuple(
        (key, seen) for key, value in module.__dict__.items() if (seen := _setting(key, value)) is not None
    )
    held = (*module._parameters.items(), *module._buffers.items())
    return name, type(module), settings, tuple(_of_tensor(key, tensor) for key, tensor in held)


def _of_tensor(name: str, tensor: Tensor | None) -> tuple[Any, ...]:
    return (name,) if tensor is None else (name, tuple(tensor.shape), tensor.dtype, tensor.requires_grad)


def _setting(name: str, value: Any) -> Any:
    """A setting as something to compare; None for what is no setting."""
    if name.startswith("_"):
        return None
    if isinstance(value, float):
        return value > 0
    if isinstance(value, (type, FunctionType)):
        return value.__module__, value.__qualname__
    if isinstance(value, tuple):
        return tuple(item if isinstance(item, _EXACT) else type(item) for item in value)
    return (value,) if isinstance(value, _EXACT) else None
