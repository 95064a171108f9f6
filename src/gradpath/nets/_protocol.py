"""The block protocol: a block chooses, at each forward, what it keeps for its backward.

    out, tape = block(x, "none")          # keeps x alone
    grad_x = block.backward(tape, grad)   # redoes the forward, then goes back

Without a mode a block is an ordinary module under ordinary autograd. With one it keeps its own books: `out` is cut
off from autograd, `tape` is what `backward` needs, and parameter gradients are added to `.grad` as `loss.backward()`
would, bit for bit. Running statistics move exactly once, however often a forward is redone.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, overload

import torch
from torch import Tensor, nn
from torch.func import functional_call


@dataclass
class Tape:
    """What a forward keeps for its backward. Opaque to all but the block that made it; good for one backward."""

    x: Tensor
    """The block's input, a leaf of its own graph: N C H W."""
    out: Tensor | None = None
    """Mode full: the output with the graph that leads to it. Mode none: nothing, the forward is redone."""
    autocast: AbstractContextManager[Any] | None = None
    """Mode none: the autocast state of the forward, for the redo."""


class Block(nn.Module):
    """One tensor in, one tensor out. Subclasses write `compute`; faster blocks add modes of their own."""

    modes: ClassVar[tuple[str, ...]] = ("full", "none")
    """full: autograd's own graph is kept. none: the input alone is kept, and the forward is redone."""

    def compute(self, x: Tensor) -> Tensor:
        """The block as plain torch operations: N C H W → N C' H' W'."""
        raise NotImplementedError

    @overload
    def forward(self, x: Tensor, mode: None = None) -> Tensor: ...
    @overload
    def forward(self, x: Tensor, mode: str) -> tuple[Tensor, Tape]: ...
    def forward(self, x: Tensor, mode: str | None = None) -> Tensor | tuple[Tensor, Tape]:
        """`compute(x)`; with a mode, (the same values cut off from autograd, the tape for `backward`)."""
        if mode is None:
            return self.compute(x)
        if mode == "full":
            return self._keep_all(x)
        if mode == "none":
            return self._keep_input(x)
        raise ValueError(f"{type(self).__name__} has no mode {mode!r}: its modes are {', '.join(self.modes)}")

    def backward(self, tape: Tape, grad: Tensor) -> Tensor:
        """From the gradient of the output to that of the input; parameter gradients are added to `.grad`."""
        out = self._redo(tape) if tape.out is None else tape.out
        torch.autograd.backward(out, grad)
        assert tape.x.grad is not None
        return tape.x.grad

    def _keep_all(self, x: Tensor) -> tuple[Tensor, Tape]:
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            out = self.compute(leaf)
        return out.detach(), Tape(leaf, out)

    def _keep_input(self, x: Tensor) -> tuple[Tensor, Tape]:
        autocast = _autocast_now(x.device.type)
        with torch.no_grad(), autocast:
            out = self.compute(x)
        return out, Tape(x.detach().requires_grad_(), autocast=autocast)

    def _redo(self, tape: Tape) -> Tensor:
        # The buffers' first move was made by the forward; the second is made by copies, which are dropped.
        copies = {name: buffer.clone() for name, buffer in self.named_buffers()}
        with torch.enable_grad(), tape.autocast or nullcontext():
            out: Tensor = functional_call(self, copies, (tape.x,))
        return out


def _autocast_now(device_type: str) -> AbstractContextManager[Any]:
    """The autocast state as it is, to be entered again later.

    Its cache is off: torch before pytorch#165068 keeps in it what was cast under no_grad, cut off from the weight.
    """
    if not torch.amp.is_autocast_available(device_type):
        return nullcontext()
    enabled, dtype = torch.is_autocast_enabled(device_type), torch.get_autocast_dtype(device_type)
    return torch.autocast(device_type, dtype=dtype, enabled=enabled, cache_enabled=False)
