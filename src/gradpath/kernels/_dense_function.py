"""A dense block as one node of autograd's graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gradpath.kernels._dense_form import DenseLayerForm
from gradpath.kernels._dense_moves import DenseMoves
from gradpath.kernels._dense_passes import DensePasses
from gradpath.kernels._dense_tape import DenseTape
from gradpath.kernels._fused_module import refuse_second_derivative

KEEPS = {"features": "lean", "bottlenecks": "full", "least": "lean"}
"""What is kept between the passes → tape mode: k or 5k numbers a pixel and layer."""


def dense_block(x: Tensor, layers: Sequence[DenseLayerForm], passes: DensePasses, keep: str = "features") -> Tensor:
    """N C H W → N C+Lk H W, channels-last: x, followed by the new features of each layer.

    keep: 'features' or 'bottlenecks', what is kept for the backward. Without a gradient to come, nothing is.
    """
    moves = DenseMoves(layers, passes)
    wanted = x.requires_grad or any(p.requires_grad for p in moves.parameters)
    if not (torch.is_grad_enabled() and wanted):
        return moves.advance(x, moves.new_tape(), "none")
    out: Tensor = DenseBlockFunction.apply(moves, KEEPS[keep], x, *moves.parameters)  # type: ignore[no-untyped-call]
    return out


class DenseBlockFunction(torch.autograd.Function):
    """Parameters are inputs, so hooks on their gradients (DDP's) run as ever.

    All that is large is saved as autograd saves it: seen by `saved_tensors_hooks`, guarded against being written to,
    and still there when the graph is retained.
    """

    @staticmethod
    def forward(ctx: Any, moves: DenseMoves, mode: str, x: Tensor, *parameters: Tensor) -> Tensor:
        tape = moves.new_tape()
        out = moves.advance(x, tape, mode)
        held = tape.held
        assert held is not None
        ctx.layers, ctx.passes, ctx.dtype = moves.layers, moves.passes, x.dtype
        ctx.held = replace(held, features=None, bottlenecks=[], kept=[])
        ctx.counts = len(held.bottlenecks), len(held.kept)
        ctx.save_for_backward(out, *held.bottlenecks, *held.kept, *parameters)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative("dense")
        out, *rest = ctx.saved_tensors
        bottlenecks, kept = rest[: ctx.counts[0]], rest[ctx.counts[0] : sum(ctx.counts)]
        tape = DenseTape()
        tape.held = replace(ctx.held, features=out, bottlenecks=bottlenecks, kept=kept)
        moves = DenseMoves(ctx.layers, ctx.passes, rest[sum(ctx.counts) :])
        needs_x, *needs = ctx.needs_input_grad[2:]
        grad_x, grads = moves.backward(grad, None, tape, needs_x, needs)
        return None, None, None if grad_x is None else grad_x.to(ctx.dtype), *grads
