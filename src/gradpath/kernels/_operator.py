"""What the operators of torch's that stand for fused blocks share: they have no modules, no state and no autocast.

A block's form comes as text, its autocast as the name of a dtype or '', and running statistics go in and come out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

AUTOCASTS = {"": None, "bfloat16": torch.bfloat16, "float16": torch.float16}

F = TypeVar("F", bound=Callable[..., Any])


def constant_when_traced(function: F) -> F:
    """What torch.compiler.assume_constant_result does, without its import of torch._dynamo, which takes seconds."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def modes_of(module: nn.Module) -> tuple[bool, ...]:
    """Which of its parts train: handed to a constant function, so that the compiler asks again when one changes (a
    flag that is merely read it does not guard). A norm's eps and momentum stay what they were when it was compiled."""
    return tuple(part.training for part in module.modules())


def autocast_name(device_type: str) -> str | None:
    """Of the autocast that is on, '' where none is; None where the operators do not know it."""
    if not torch.is_autocast_enabled(device_type):
        return ""
    dtype = torch.get_autocast_dtype(device_type)
    return "bfloat16" if dtype is torch.bfloat16 else "float16" if dtype is torch.float16 else None


def autocast_named(device_type: str, name: str) -> AbstractContextManager[object]:
    """The autocast of that name, whatever it is outside."""
    return torch.autocast(device_type, dtype=AUTOCASTS[name], enabled=bool(name), cache_enabled=False)


def call(operator: Any, x: Tensor, parameters: Sequence[Tensor], buffers: Sequence[Tensor], plan: str) -> Tensor:
    """A block's output, the first result of its operator; its buffers become the last ones."""
    found: list[Tensor] = operator(x, parameters, buffers, plan, autocast_name(x.device.type))
    with torch.no_grad():
        for buffer, moved in zip(buffers, found[len(found) - len(buffers) :], strict=True):
            buffer.copy_(moved.detach())
    return found[0]


def plain(plan: Any) -> Any:
    """The same in tuples alone, whose `repr` can be read back."""
    return tuple(map(plain, plan)) if isinstance(plan, tuple) else plan
