"""Runs a plan: the flat loop over a segment's moves, and the segment as one node of autograd's graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo

from gradpath.errors import PlanError
from gradpath.kernels import Autocast
from gradpath.memory._running._module_moves import ModuleMoves
from gradpath.nets import Moves
from gradpath.record import BACKWARD, PlanSegment

_mask = torch.ops.aten.threshold_backward.default
_mask_in_place = torch.ops.aten.threshold_backward.grad_input


class Work:
    """A segment with the moves of its blocks, ready to run: `work(x)` is the segment's output.

    blocks: of the whole chain, indexed as in the plan. Under grad mode the output comes from one node of autograd's
    graph, whose inputs are x and the blocks' parameters: its backward plays the segment's backward moves. It can be
    used once and not be differentiated (PlanError).
    """

    def __init__(self, segment: PlanSegment, blocks: Sequence[Moves]) -> None:
        self.segment, self.blocks = segment, blocks
        inside = blocks[segment.start : segment.stop]
        self.parameters = tuple(dict.fromkeys(parameter for block in inside for parameter in block.parameters))
        place = {parameter: index for index, parameter in enumerate(self.parameters)}
        self.places = [[place[parameter] for parameter in block.parameters] for block in inside]
        self.ends_in_relu = inside[-1].ends_in_relu

    @_disable_dynamo
    def __call__(self, x: Tensor) -> Tensor:
        """What the first block takes → what the last block gives."""
        trains = x.requires_grad or any(parameter.requires_grad for parameter in self.parameters)
        if trains and torch.is_grad_enabled():
            out: Tensor = _SegmentFn.apply(x, self, *self.parameters)  # type: ignore[no-untyped-call]
            return _MaskFn.apply(out) if self.ends_in_relu else out  # type: ignore[no-untyped-call]
        with torch.no_grad(), Autocast(x.device.type).again():
            for block in self.blocks[self.segment.start : self.segment.stop]:
                x = block.advance(x, block.new_tape(), "none")
        return x.detach()

    def first_with_gradient(self, needs_input_grad: bool) -> int:
        """The first block that has anything to compute in the backward."""
        if needs_input_grad:
            return self.segment.start
        for block, places in enumerate(self.places, self.segment.start):
            if any(self.parameters[place].requires_grad for place in places):
                return block
        return self.segment.stop


class _SegmentFn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, work: Work, *parameters: Tensor) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        ctx.work, ctx.autocast, ctx.tapes = work, Autocast(x.device.type), {}
        inputs = {work.segment.start: x.detach()}
        with ctx.autocast.again():
            for block, mode, drop in work.segment.forward:
                _advance(work, inputs, ctx.tapes, block, mode)
                if drop:
                    del inputs[block]
        ctx.inputs, out = inputs, inputs.pop(work.segment.stop)
        inputs.pop(work.segment.start)  # autograd keeps x, and sees whether somebody writes to it
        return out.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if torch.is_grad_enabled():
            raise PlanError(
                "a planned model was asked for gradients of gradients (create_graph=True), which it does not have: "
                "use the plain model, or `with planned.plain_view():`"
            )
        (x,) = ctx.saved_tensors
        if ctx.tapes is None:
            raise PlanError(
                "a planned model was asked for a second backward through one forward: what it keeps is used up by "
                "the first, whatever retain_graph says: call the model again"
            )
        inputs, tapes, ctx.inputs, ctx.tapes = ctx.inputs, ctx.tapes, None, None
        inputs[ctx.work.segment.start] = x.detach()
        try:
            with ctx.autocast.again():
                return _play_back(ctx.work, inputs, tapes, grads[0], ctx.needs_input_grad[0])
        finally:  # also what an exception's traceback would keep
            inputs.clear()
            tapes.clear()


class _MaskFn(torch.autograd.Function):
    """The gradient of the ReLU that the block before has computed already. The tensor stays what it is."""

    @staticmethod
    def forward(ctx: Any, out: Tensor) -> Tensor:
        ctx.mark_dirty(out)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (out,) = ctx.saved_tensors
        return _mask(grads[0], out, 0)


def _advance(work: Work, inputs: dict[int, Tensor], tapes: dict[int, Any], block: int, mode: str) -> None:
    moves = work.blocks[block]
    tape = tapes.get(block)
    if tape is None:
        tape = tapes[block] = moves.new_tape()
    inputs[block + 1] = moves.advance(inputs[block], tape, mode)


def _play_back(
    work: Work, inputs: dict[int, Tensor], tapes: dict[int, Any], grad: Tensor | None, needs_input_grad: bool
) -> tuple[Tensor | None, ...]:
    """The segment's backward moves: (gradient of x, None for the work, gradients of the parameters)."""
    grads: list[Tensor | None] = [None] * len(work.parameters)
    start, first = work.segment.start, work.first_with_gradient(needs_input_grad)
    for block, mode, drop in work.segment.backward:
        if mode != BACKWARD:
            _advance(work, inputs, tapes, block, mode)
            if drop:
                del inputs[block]
            continue
        x, tape = inputs.pop(block), tapes.pop(block)
        if grad is None:  # nothing of the loss arrives, or nobody waits for what does
            continue
        moves = work.blocks[block]
        grad, found = moves.backward(grad, x, tape, needs_input_grad or block > first)
        _add(grads, work.places[block - start], found)
        if block > start and grad is not None and work.blocks[block - 1].ends_in_relu:
            grad = _masked(grad, x, own=not isinstance(moves, ModuleMoves))
        del x, tape
    return (grad, None, *grads)


def _masked(grad: Tensor, out: Tensor, own: bool) -> Tensor:
    """The gradient before a ReLU. What autograd returned may be another's too: it is not written to."""
    masked: Tensor = _mask_in_place(grad, out, 0, grad_input=grad) if own else _mask(grad, out, 0)
    return masked


def _add(grads: list[Tensor | None], places: list[int], found: Sequence[Tensor | None]) -> None:
    for place, new in zip(places, found, strict=True):
        known = grads[place]
        if new is not None:
            grads[place] = new if known is None else known + new
