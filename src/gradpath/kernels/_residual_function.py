"""A residual or plain block as one node of autograd's graph, on a lean tape: raw convolution outputs are kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gradpath.kernels._autocast import Autocast
from gradpath.kernels._fused_module import refuse_second_derivative
from gradpath.kernels._residual_form import form_from, plan_of
from gradpath.nets import LeanMoves, LeanTape

_mask = torch.ops.aten.threshold_backward.default


def residual_block(x: Tensor, moves: LeanMoves, mode: str = "lean") -> Tensor:
    """N C H W → N C' H' W': what the block of these moves gives.

    mode: of the tape: 'lean' or 'last' (gradpath.nets.Moves). Without a gradient to come nothing is kept.
    """
    parameters = moves.parameters
    if torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in parameters)):
        out: Tensor = ResidualBlockFunction.apply(moves, mode, x, *parameters)  # type: ignore[no-untyped-call]
        return out
    with torch.no_grad(), Autocast(x.device.type).again():
        return moves.advance(x, moves.new_tape(), "none")


class ResidualBlockFunction(torch.autograd.Function):
    """Parameters are inputs, so hooks on their gradients (DDP's) run as ever.

    All that is large is saved as autograd saves it: seen by `saved_tensors_hooks`, guarded against being written to,
    and still there when the graph is retained.
    """

    @staticmethod
    def forward(ctx: Any, moves: LeanMoves, mode: str, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.autocast, tape = Autocast(x.device.type), moves.new_tape()
        with ctx.autocast.again():
            out = moves.advance(x, tape, mode)
        ctx.plan, ctx.passes = plan_of(moves.form), moves.passes
        ctx.save_for_backward(*saved(x, out, tape, moves), *parameters)
        ctx.stats = tape.stats, tape.shortcut_stats
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative("residual")
        count, tensors = len(ctx.stats[0]) + 3, ctx.saved_tensors  # asked for once: checkpoint refuses a second time
        moves = LeanMoves(form_from(ctx.plan, tensors[count:]), ctx.passes)
        with ctx.autocast.again():
            grad_x, grads = play_back(grad, moves, tensors[:count], ctx.stats, ctx.needs_input_grad[2])
        return None, None, grad_x, *grads


def saved(x: Tensor, out: Tensor, tape: LeanTape, moves: LeanMoves) -> tuple[Tensor | None, ...]:
    """x, the output where its ReLU masks the gradient (the next block's x: it costs nothing), the raw outputs."""
    return x, out if moves.ends_in_relu else None, tape.shortcut_raw, *tape.raw


def play_back(
    grad: Tensor, moves: LeanMoves, held: Any, stats: Any, needs_input_grad: bool
) -> tuple[Tensor | None, list[Tensor | None]]:
    """(gradient of x, gradients of the parameters) from what `saved` gave and the norms' statistics."""
    x, out, shortcut_raw, *raw = held
    tape = moves.new_tape()
    tape.raw, tape.shortcut_raw = raw, shortcut_raw
    tape.stats, tape.shortcut_stats = list(stats[0]), stats[1]
    if out is not None:
        grad = _mask(grad, out, 0)
    return moves.backward(grad, x, tape, needs_input_grad)
