"""A fused dense block as an operator of torch's: torch.compile and torch.export work around it.

    gradpath::dense_block(x, parameters, buffers, plan, autocast) -> [output, bottlenecks …, statistics, new buffers …]

The plan is a `DensePlan`. Dropout is not in it: its draws would have to be known to the compiler.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import cache
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gradpath.kernels._dense_choose import dense_passes
from gradpath.kernels._dense_form import DenseLayerForm
from gradpath.kernels._dense_moves import DenseMoves, channels_last, compute_dtype, statistics_dtype
from gradpath.kernels._dense_tape import Held, NormStats
from gradpath.kernels._dense_tiles import Frame
from gradpath.kernels._operator import autocast_named, plain
from gradpath.kernels._residual_form import NormPlan, StandInConv, norm_from, plan_of_norm

_FORWARD = "(Tensor x, Tensor[] parameters, Tensor[] buffers, str plan, str autocast) -> Tensor[]"
_BACKWARD = "(Tensor grad, Tensor[] held, Tensor[] parameters, bool[] needs, str plan, str autocast) -> Tensor[]"


class DensePlan(NamedTuple):
    """A block's layers, each with its one or two norms. The convolution after norm i has parameter 3·i + 2."""

    backend: str
    mode: str
    """Of the tape: 'lean' or 'full' (DenseMoves)."""
    layers: tuple[tuple[NormPlan, ...], ...]


def plan_of(layers: Sequence[DenseLayerForm], buffers: Sequence[Tensor], backend: str, mode: str) -> str:
    """The description of a block as it is now; '' where it has none: it drops features, or buffers are missing."""
    at, places = {id(buffer): index for index, buffer in enumerate(buffers)}, zip(count(0, 3), count(1, 3), strict=True)
    if any(layer.drop_rate for layer in layers):
        return ""
    try:
        norms = tuple(tuple(plan_of_norm(norm, next(places), at) for norm in layer.norms) for layer in layers)
    except KeyError:
        return ""
    return repr(plain(DensePlan(backend, mode, norms)))


def tensors_of(layers: Sequence[nn.Module]) -> tuple[list[Tensor], list[Tensor]]:
    """(parameters, buffers) of dense layers, in the operator's order."""
    parameters: list[Any] = []
    buffers: list[Tensor] = []
    for layer in layers:
        for norm, conv in (("norm1", "conv1"), ("norm2", "conv2")):
            if hasattr(layer, norm):
                parameters += [getattr(layer, norm).weight, getattr(layer, norm).bias, getattr(layer, conv).weight]
                buffers += list(getattr(layer, norm).buffers())
    return parameters, buffers


@torch.library.custom_op("gradpath::dense_block", mutates_args=(), schema=_FORWARD)
def dense_block(
    x: Tensor, parameters: Sequence[Tensor], buffers: Sequence[Tensor], plan: str, autocast: str
) -> list[Tensor]:
    moved = [buffer.clone() for buffer in buffers]
    moves = _moves(plan, parameters, moved)
    tape = moves.new_tape()
    with autocast_named(x.device.type, autocast):
        out = moves.advance(x, tape, _read(plan).mode)
    assert tape.held is not None
    bottlenecks = [one for one in tape.held.bottlenecks if one is not None]
    return [out, *bottlenecks, _packed(tape.held), *moved]


@dense_block.register_fake
def _(x: Tensor, parameters: Any, buffers: Any, plan: str, autocast: str) -> list[Tensor]:
    read, compute = _read(plan), _compute(x, parameters, autocast)
    moves = _moves(plan, parameters)
    rows = x.shape[0] * x.shape[2] * x.shape[3]
    second = [layer.norm2 for layer in moves.layers if layer.norm2 is not None and read.mode == "full"]
    bottlenecks = [x.new_empty(rows, norm.num_features, dtype=compute) for norm in second]
    out = channels_last(x, moves.channels_out, torch.promote_types(x.dtype, compute))
    vectors = x.new_empty(sum(_sizes(moves, read)), dtype=statistics_dtype(x.dtype, compute))
    return [out, *bottlenecks, vectors, *map(torch.empty_like, buffers)]


@torch.library.custom_op("gradpath::dense_block_backward", mutates_args=(), schema=_BACKWARD)
def dense_block_backward(
    grad: Tensor, held: Sequence[Tensor], parameters: Sequence[Tensor], needs: Sequence[bool], plan: str, autocast: str
) -> list[Tensor]:
    out, *bottlenecks, vectors = held
    moves = _moves(plan, parameters)
    tape, compute = moves.new_tape(), _compute(out, parameters, autocast)
    frame = Frame(len(out), out.shape[2], out.shape[3], compute, vectors.dtype, moves.passes)
    tape.held = _unpacked(vectors, frame, moves, _read(plan))
    tape.held.features, tape.held.bottlenecks = out, _by_layer(bottlenecks, moves)
    grad_x, grads = moves.backward(grad, None, tape, needs[0], needs[1:])
    found = [_as(one, p) for one, p in zip(grads, parameters, strict=True) if one is not None]
    return found if grad_x is None else [grad_x, *found]


@dense_block_backward.register_fake
def _(grad: Tensor, held: Any, parameters: Any, needs: Any, plan: str, autocast: str) -> list[Tensor]:
    given = channels_last(held[0], _moves(plan, parameters).layers[0].channels_in, held[0].dtype)
    return [torch.empty_like(one) for one, need in zip((given, *parameters), needs, strict=True) if need]


def _setup(ctx: Any, inputs: Any, output: Any) -> None:
    x, parameters, buffers, plan, autocast = inputs
    ctx.set_materialize_grads(False)
    ctx.counts = len(output) - len(buffers), len(parameters), len(buffers)
    ctx.plan, ctx.autocast, ctx.dtype = plan, autocast, x.dtype
    ctx.save_for_backward(*output[: ctx.counts[0]], *parameters)


def _gradients(ctx: Any, grads: Any) -> Any:
    kept, parameter_count, buffer_count = ctx.counts
    held, parameters = ctx.saved_tensors[:kept], ctx.saved_tensors[kept:]
    needs_x, needs_parameters, *_ = ctx.needs_input_grad
    needs = [needs_x, *(needs_parameters or [False] * parameter_count)]
    given = iter(dense_block_backward(grads[0], held, parameters, needs, ctx.plan, ctx.autocast))
    grad_x, *found = [next(given) if need else None for need in needs]
    return None if grad_x is None else grad_x.to(ctx.dtype), found, [None] * buffer_count, None, None


dense_block.register_autograd(_gradients, setup_context=_setup)


@cache
def _read(plan: str) -> DensePlan:
    backend, mode, layers = ast.literal_eval(plan)
    return DensePlan(backend, mode, tuple(tuple(NormPlan(*norm) for norm in norms) for norms in layers))


def _moves(plan: str, parameters: Sequence[Tensor], buffers: Sequence[Tensor] = ()) -> DenseMoves:
    read = _read(plan)
    layers = [_layer(norms, parameters, buffers) for norms in read.layers]
    return DenseMoves(layers, dense_passes(read.backend).passes)


def _layer(norms: Sequence[NormPlan], parameters: Sequence[Tensor], buffers: Sequence[Tensor]) -> DenseLayerForm:
    parts: list[Any] = []
    for norm in norms:
        weight = parameters[norm.bias + 1]
        parts += [norm_from(norm, parameters, buffers), StandInConv(weight, (1, 1), (1, 1), (1, 1), 1)]
    no_layer: Any = None  # without dropout nothing is read of it
    norm1, conv1, norm2, conv2 = parts if len(norms) == 2 else [*parts, None, None]
    return DenseLayerForm(norm1, conv1, norm2, conv2, no_layer)


def _compute(x: Tensor, parameters: Sequence[Tensor], autocast: str) -> torch.dtype:
    with autocast_named(x.device.type, autocast):
        return compute_dtype(x, parameters[2])


def _as(grad: Tensor, parameter: Tensor) -> Tensor:
    """In the parameter's own layout, which the compiler was told."""
    like = torch.empty_like(parameter)
    return grad if grad.stride() == like.stride() else like.copy_(grad)


# ---- a block's statistics as one vector: of its features, then of each norm that does not normalise by those


def _packed(held: Held) -> Tensor:
    vectors = [held.mean, held.variance]
    for first, *second in held.norms:
        own = second if first.uses_batch else [first, *second]
        vectors += [vector for stats in own for vector in (stats.mean, stats.variance)]
    return torch.cat(vectors)


def _sizes(moves: DenseMoves, plan: DensePlan) -> list[int]:
    sizes = [moves.channels_out, moves.channels_out]
    for layer, (first, *_) in zip(moves.layers, plan.layers, strict=True):
        own = layer.norms[1:] if first.of_batch else layer.norms
        sizes += [norm.num_features for norm in own for _ in range(2)]
    return sizes


def _unpacked(vectors: Tensor, frame: Frame, moves: DenseMoves, plan: DensePlan) -> Held:
    parts = iter(torch.split(vectors, _sizes(moves, plan)))
    held = Held(frame, next(parts), next(parts), kept=[None] * len(moves.layers))
    for layer, norms in zip(moves.layers, plan.layers, strict=True):
        shared = held.mean[: layer.channels_in], held.variance[: layer.channels_in]
        pairs = [shared if i == 0 and norm.of_batch else (next(parts), next(parts)) for i, norm in enumerate(norms)]
        held.norms.append([NormStats(*pair, n.eps, n.of_batch) for pair, n in zip(pairs, norms, strict=True)])
    return held


def _by_layer(bottlenecks: Sequence[Tensor], moves: DenseMoves) -> list[Tensor | None]:
    """As a tape has them; none where none were kept."""
    kept = iter(bottlenecks)
    return [None if layer.norm2 is None else next(kept) for layer in moves.layers] if bottlenecks else []
