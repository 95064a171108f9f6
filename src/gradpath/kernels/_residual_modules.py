"""Modules that run as one fused residual (or plain) block: the same class to all who ask, parameters and state dict."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from gradpath.kernels._choose import norm_passes
from gradpath.kernels._fingerprint import Fingerprint
from gradpath.kernels._fused_module import FusedModule, Fusion, become, runs_eagerly, unfuse_module
from gradpath.kernels._operator import call, constant_when_traced, modes_of, plain
from gradpath.kernels._residual_form import plan_of
from gradpath.kernels._residual_function import residual_block
from gradpath.kernels._residual_operator import residual_block as residual_operator
from gradpath.kernels._residual_operator import takes
from gradpath.nets import LeanMoves, NormPasses, TorchPasses, form_of
from gradpath.nets._form import is_known_class, why_not

FAST = torch.float32, torch.bfloat16, torch.float16
"""What other passes than plain torch's compute in: such a batch is put into their layout, channels-last."""


MODES = {"least": "last"}
"""What fuse is asked to keep → tape mode, where that is not lean."""


class FusedResidualBlock(FusedModule):
    """Comes before the block's own class among the bases of what a block becomes, see `fused_class`."""

    known: Known

    @property
    def runs_on(self) -> str:
        if self.fusion.backend == "triton":
            return "triton"
        return "torch" if isinstance(norm_passes(self.fusion.backend).passes, TorchPasses) else "compiled"

    def forward(self, x: Any) -> Any:
        if torch.compiler.is_compiling():
            return self.traced_forward(x)
        if self.shown_plain or not runs_eagerly(x) or not self.here(x):
            return self.plain_forward(x)
        known = self.__dict__.get("known")
        if known is None or not known.read_from.still_holds():
            known = self.__dict__["known"] = Known(self, norm_passes(self.fusion.backend).passes)
        if known.moves is None or not fits(x, known.moves):
            return self.plain_forward(x)
        return residual_block(laid_out(x, known.moves.passes), known.moves, MODES.get(self.fusion.keep, "lean"))

    def traced_forward(self, x: Any) -> Any:
        """For torch.compile: one operator where a backward is to come, else the plain layers."""
        plan, parameters, buffers = self.described(modes_of(self)), list(self.parameters()), list(self.buffers())
        if not plan or not torch.is_grad_enabled() or not takes(x, parameters, buffers):
            return self.plain_forward(x)
        return call(residual_operator, x, parameters, buffers, plan)

    @constant_when_traced
    def described(self, modes: tuple[bool, ...]) -> str:
        """The block's form as text; '' where it has none, or is to be shown plain, or there are no compiled passes.

        modes: not read; the compiler asks again when they change.
        """
        form = None if self.shown_plain else form_of(self)
        if form is None or self.runs_on != "compiled":
            return ""
        return repr(plain(plan_of(form, list(self.buffers()))))

    def extra_repr(self) -> str:
        return f"backend={self.fusion.backend!r}, keep={self.fusion.keep!r}"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickled and copied by its original class, which can be found by name; what is known is found out anew."""
        state = {name: value for name, value in self.__dict__.items() if name != "known"}
        return _empty, (self.fusion.original,), state


def _empty(original: Any) -> nn.Module:
    kind = fused_class(original)
    return kind.__new__(kind)


@cache
def fused_class(original: Any) -> type[nn.Module]:
    """A subclass of a block's class that computes faster: `isinstance`, methods and class attributes stay."""
    attributes = {"__module__": __name__, "fused_from": original}
    return type(f"Fused{original.__name__}", (FusedResidualBlock, original), attributes)


def why_not_fused(module: nn.Module) -> str | None:
    """Why a block of a known class cannot be fused; '' where it can; None for any other module."""
    return why_not(module) if is_known_class(module) else None


def fuse_module(module: nn.Module, backend: str, keep: str) -> None:
    """Let a module for which `why_not_fused` is '' run as one block."""
    original: Any = unfuse_module(module)
    become(module, fused_class(original), Fusion(original, backend, keep))


class Known:
    """A block's moves, and what they were read from."""

    def __init__(self, block: nn.Module, passes: NormPasses) -> None:
        self.read_from, form = Fingerprint([block]), form_of(block)
        self.moves = None if form is None else LeanMoves(form, passes)


def fits(x: Tensor, moves: LeanMoves) -> bool:
    """Whether x is a batch that the block takes; what is not, the plain layers refuse in their own words."""
    weight = moves.form.convs[0].weight
    channels = moves.form.norms[0].num_features if moves.form.pre else moves.form.convs[0].in_channels
    if x.dim() != 4 or x.shape[1] != channels or not x.numel() or not x.is_floating_point():
        return False
    if any(conv.weight.dtype != weight.dtype or conv.weight.device != x.device for conv in moves.form.convs):
        return False
    return x.dtype == weight.dtype or torch.is_autocast_enabled(x.device.type)


def laid_out(x: Tensor, passes: NormPasses) -> Tensor:
    """x in the layout that the passes are fast in: itself, where it has it."""
    devices = getattr(passes, "devices", ("cpu",))
    if isinstance(passes, TorchPasses) or x.device.type not in devices or x.dtype not in FAST:
        return x
    return x.contiguous(memory_format=torch.channels_last)
