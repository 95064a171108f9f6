"""A fused residual block as an operator of torch's: torch.compile and torch.export work around it.

    gradpath::residual_block(x, parameters, buffers, plan, autocast) -> [output, kept for the backward …, new buffers …]

The plan is a `FormPlan`. Of float32 parameters on the CPU, by the compiled passes alone: their results have shapes that
can be told before.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from gradpath.kernels._choose import norm_passes
from gradpath.kernels._norm_passes import FusedPasses, FusedStats
from gradpath.kernels._operator import autocast_name, autocast_named
from gradpath.kernels._residual_form import FormPlan, NormPlan, form_from
from gradpath.kernels._residual_function import play_back, saved
from gradpath.nets import TORCH_CONVS, ConvPasses, LeanMoves, NormPasses
from gradpath.nets._norm_passes import NormGradients

_FORWARD = "(Tensor x, Tensor[] parameters, Tensor[] buffers, str plan, str autocast) -> Tensor[]"
_BACKWARD = (
    "(Tensor grad, Tensor[] held, Tensor[] stats, Tensor[] parameters, bool[] needs, str plan, str autocast)"
    " -> Tensor[]"
)


def takes(x: Tensor, parameters: Sequence[Tensor], buffers: Sequence[Tensor]) -> bool:
    """Whether the operator takes this batch, under the autocast that is on."""
    device = x.device.type
    if device != "cpu" or x.dim() != 4 or x.dtype not in (torch.float32, torch.bfloat16):
        return False
    cast = autocast_name(device)
    if cast not in ("", "bfloat16"):
        return False
    vectors = [*parameters, *(buffer for buffer in buffers if buffer.is_floating_point())]
    return (cast != "" or x.dtype is torch.float32) and all(vector.dtype is torch.float32 for vector in vectors)


@torch.library.custom_op("gradpath::residual_block", mutates_args=(), schema=_FORWARD)
def residual_block(
    x: Tensor, parameters: Sequence[Tensor], buffers: Sequence[Tensor], plan: str, autocast: str
) -> list[Tensor]:
    return _forward(x, parameters, buffers, plan, autocast, _passes())


@residual_block.register_fake
def _(x: Tensor, parameters: Any, buffers: Any, plan: str, autocast: str) -> list[Tensor]:
    return _forward(x, parameters, buffers, plan, autocast, ShapePasses())


@torch.library.custom_op("gradpath::residual_block_backward", mutates_args=(), schema=_BACKWARD)
def residual_block_backward(
    grad: Tensor,
    held: Sequence[Tensor],
    stats: Sequence[Tensor],
    parameters: Sequence[Tensor],
    needs: Sequence[bool],
    plan: str,
    autocast: str,
) -> list[Tensor]:
    return _backward(grad, held, stats, parameters, needs, plan, autocast)


@residual_block_backward.register_fake
def _(grad: Tensor, held: Any, stats: Any, parameters: Any, needs: Any, plan: str, autocast: str) -> list[Tensor]:
    sources = (held[0], *parameters)
    return [_laid_out(torch.empty_like(one)) for one, need in zip(sources, needs, strict=True) if need]


def _setup(ctx: Any, inputs: Any, output: Any) -> None:
    x, parameters, buffers, plan, autocast = inputs
    ctx.set_materialize_grads(False)
    ctx.counts = len(output) - len(buffers), len(parameters), len(buffers)
    ctx.plan, ctx.autocast = plan, autocast
    ctx.save_for_backward(x, *output[: ctx.counts[0]], *parameters)


def _gradients(ctx: Any, grads: Any) -> Any:
    kept, parameter_count, buffer_count = ctx.counts
    x, *rest = ctx.saved_tensors
    held, parameters = rest[:kept], rest[kept:]
    raws = kept - len(_norm_plans(ctx.plan))
    needs_x, needs_parameters, *_ = ctx.needs_input_grad
    needs = [needs_x, *(needs_parameters or [False] * parameter_count)]
    given = iter(
        residual_block_backward(grads[0], [x, *held[:raws]], held[raws:], parameters, needs, ctx.plan, ctx.autocast)
    )
    grad_x, *found = [next(given) if need else None for need in needs]
    return grad_x, found, [None] * buffer_count, None, None


residual_block.register_autograd(_gradients, setup_context=_setup)


# ---- what both do, real and fake


def _forward(x: Tensor, parameters: Any, buffers: Any, plan: str, autocast: str, passes: NormPasses) -> list[Tensor]:
    moved = [buffer.clone() for buffer in buffers]
    moves = LeanMoves(form_from(_read(plan), parameters, moved), passes)
    tape = moves.new_tape()
    with torch.no_grad(), autocast_named("cpu", autocast):
        out = moves.advance(x.contiguous(memory_format=torch.channels_last), tape, "lean")
    _, _, *raws = saved(x, out, tape, moves)
    norms: list[Any] = [*tape.stats, tape.shortcut_stats]
    stats = [one.vectors for one in norms if one is not None]
    return [_laid_out(one) for one in (out, *(raw for raw in raws if raw is not None))] + stats + moved


def _backward(
    grad: Tensor, held: Any, stats: Any, parameters: Any, needs: Sequence[bool], plan: str, autocast: str
) -> list[Tensor]:
    given = [p.detach().requires_grad_(need) for p, need in zip(parameters, needs[1:], strict=True)]
    form = form_from(_read(plan), given)
    moves = LeanMoves(form, _passes())
    x, out, *raws = held
    every = [FusedStats(one, of_batch=norm.of_batch) for one, norm in zip(stats, _norm_plans(plan), strict=True)]
    count = len(form.norms)
    side = raws.pop(0) if every[count:] else None
    first = [None] if form.pre else []  # a pre-activation block's first norm reads x
    with torch.no_grad(), autocast_named("cpu", autocast):
        grad_x, grads = play_back(
            grad,
            moves,
            (x.contiguous(memory_format=torch.channels_last), out if moves.ends_in_relu else None, side, *first, *raws),
            (every[:count], every[count] if every[count:] else None),
            needs[0],
        )
    found = [one for one, need in zip((grad_x, *grads), needs, strict=True) if need]
    return [_laid_out(one) for one in found if one is not None]


class ShapePasses:
    """Norm passes of fake tensors: shapes, dtypes and strides of what the compiled passes give."""

    name, wants_out = "shapes", False
    convs: ConvPasses = TORCH_CONVS

    def stats(self, x: Tensor, norm: nn.BatchNorm2d) -> FusedStats:
        return FusedStats(x.new_empty(2, x.shape[1], dtype=torch.float32), of_batch=True)

    def act(self, x: Tensor, norm: nn.BatchNorm2d, stats: Any, *, relu: bool = True, add: Tensor | None = None) -> Any:
        dtype = x.dtype if add is None else torch.promote_types(x.dtype, add.dtype)
        return torch.empty_like(x, dtype=dtype, memory_format=torch.channels_last)

    def act_backward(self, *args: Any, **kwargs: Any) -> NormGradients:
        raise NotImplementedError


class OperatorPasses(FusedPasses):
    """The compiled passes, never plain torch's: what they keep is told by `ShapePasses`."""

    def stats(self, x: Tensor, norm: nn.BatchNorm2d) -> Any:
        return super().stats(_laid_out(x), norm)


@cache
def _passes() -> OperatorPasses:
    norm_passes("compiled")  # checked against plain torch
    return OperatorPasses()


@cache
def _read(plan: str) -> FormPlan:
    return FormPlan(*ast.literal_eval(plan))


def _norm_plans(plan: str) -> list[NormPlan]:
    """Of the branch, then of the shortcut."""
    read = _read(plan)
    side = read.shortcut and read.shortcut[1]
    return [NormPlan(*norm) for norm in (*read.norms, *([side] if side else []))]


def _laid_out(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
