"""The block protocol: what a block does under a plan, in two moves.

    tape = moves.new_tape()
    y = moves.advance(x, tape, "lean")             # forward: the tape keeps what the mode says
    y = moves.advance(x, tape, "lean")             # again, from x and what the tape knows: statistics move once
    grad_x, grads = moves.backward(grad, x, tape)  # from this tape, redoing what it does not hold

The caller owns inputs and outputs, decides how often a block is advanced and in which mode, and runs both moves without
grad mode. Values, gradients and buffers do not depend on the modes. `moves` come from here (plain torch), from kernels
(faster), or from memory (any module, by autograd): whoever runs a schedule does not ask which.
"""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn


class Tape(Protocol):
    """What a block keeps between its moves. Opaque to all but the moves that made it; good for one backward."""

    def tensors(self) -> list[Tensor]:
        """All that it holds, for counting."""
        ...


class Moves(Protocol):
    """A block's two moves. One object per block; it holds no state between steps."""

    modes: tuple[str, ...]
    """Tape modes it has, a selection of full, lean, raw, last, input, none (gradpath.record, TapeMode)."""
    ends_in_relu: bool
    """`advance` ends in a ReLU whose mask the caller applies: `backward` takes the gradient before it, that is the
    output's gradient where the output is above 0, else 0. So the block need not keep its output."""

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """In the order of the gradients that `backward` returns."""
        ...

    def new_tape(self) -> Any:
        """An empty tape."""
        ...

    def advance(self, x: Tensor, tape: Any, mode: str) -> Tensor:
        """The block's output; afterwards the tape holds what `mode` keeps, and statistics.

        On an empty tape it is the step's forward, which moves running statistics and draws random numbers; on another
        it is a redo, which moves and draws nothing new. x is neither kept (the caller keeps it) nor written to.
        """
        ...

    def backward(self, grad: Tensor, x: Tensor, tape: Any, needs_input_grad: bool = True) -> tuple[Any, list[Any]]:
        """(gradient of x or None, gradient of each of `parameters` or None where it is frozen).

        grad is not written to. The tape is used up: what is no longer needed is freed as it goes.
        """
        ...


class Block(nn.Module):
    """One tensor in, one tensor out: N C H W → N C' H' W'. What a net's stages are made of."""

    channels_in: int
    channels_out: int
