"""What all fused modules share: they become what they are by a change of class, in place, and show themselves plain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import module as torch_module

from gradpath.errors import UserError


@dataclass(frozen=True)
class Fusion:
    """How a module was fused."""

    original: type[nn.Module]
    backend: str
    keep: str


class FusedModule(nn.Module):
    """A module that computes by other means than its layers' own forwards; see `fuse_module` of each kind."""

    fusion: Fusion
    shown_plain: int
    """How many `plain_view()` are open."""

    @property
    def runs_on(self) -> str:
        """The backend on this machine: where 'auto' was asked for, what that is here."""
        raise NotImplementedError

    @contextmanager
    def plain_view(self) -> Iterator[None]:
        """Inside, the forward is that of the plain layers: ordinary autograd operations, hooks and all."""
        self.shown_plain += 1
        try:
            yield
        finally:
            self.shown_plain -= 1

    def here(self, x: Tensor) -> bool:
        """Whether the backend that was asked for is one for x's device: 'auto' is for the CPU."""
        return x.device.type == "cpu" or self.fusion.backend != "auto"

    def plain_forward(self, x: Any) -> Any:
        """The forward that this module had before it was fused."""
        return self.fusion.original.forward(self, x)

    def extra_repr(self) -> str:
        return f"was={self.fusion.original.__name__}, backend={self.fusion.backend!r}, keep={self.fusion.keep!r}"


def become(module: nn.Module, kind: type[nn.Module], fusion: Fusion) -> None:
    """Change a module's class in place: whoever holds it (its parent, an optimizer, a hook) need not be told."""
    module.__dict__.update(fusion=fusion, shown_plain=0)
    module.__class__ = kind


def unfuse_module(module: nn.Module) -> type[nn.Module]:
    """Make a module what it was before it was fused; its class."""
    if isinstance(module, FusedModule):
        module.__class__ = module.fusion.original  # type: ignore[assignment]
        for name in ("fusion", "shown_plain", "known"):
            module.__dict__.pop(name, None)
    return type(module)


def refuse_second_derivative(kind: str) -> None:
    """Raise UserError in a backward that is itself to be differentiated."""
    if torch.is_grad_enabled():
        raise UserError(
            f"create_graph=True: a fused {kind} block has no second derivative: call forward and backward inside the "
            "module's plain_view(), or undo the fusion: gp.fuse(model, 'reference')"
        )


_GLOBAL_HOOKS = tuple(f"_global_{when}_hooks" for when in ("forward", "forward_pre", "backward", "backward_pre"))
"""Of torch.nn.modules.module: what is called for every module."""


def runs_eagerly(x: Any) -> bool:
    """Whether the forward is computed here and now: nobody traces, compiles, transforms or differentiates it forward,
    or listens to all."""
    if not isinstance(x, Tensor) or torch.compiler.is_compiling() or torch._C._is_tracing():
        return False
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return False
    if type(x) not in (Tensor, nn.Parameter):
        return False
    return not any(getattr(torch_module, hooks) for hooks in _GLOBAL_HOOKS)
