"""Where a step that cannot be used leaves what is finite: it is made again, on the weights as they are now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gradpath.flow import first_not_finite
from gradpath.training._machine import precision_context
from gradpath.training._random import seed_net

if TYPE_CHECKING:
    from gradpath.training._loop import Loop


def bad_output(loop: Loop, index: Tensor, number: int) -> str | None:
    """The first module whose output is not finite in the forward pass of the epoch's step `number` (from 0), on the
    images `index`, and in which process; None where all outputs are finite. All processes call it."""
    found: list[str | None] = []
    for part in _begun(loop, index, number):  # all: the processes' norms go together
        with torch.no_grad(), precision_context(loop.execution.precision, loop.device):
            found.append(
                first_not_finite(loop.net, loop.batches.make(loop.images, index, *_when(loop, number), part).inputs)
            )
    return _of_all(loop, next(filter(None, found), None))


def bad_gradient(loop: Loop, index: Tensor, number: int) -> str | None:
    """The last parameter of the net, the first that the backward pass comes to, whose gradient is not finite."""
    for part in _begun(loop, index, number):
        batch = loop.batches.make(loop.images, index, *_when(loop, number), part)
        with precision_context(loop.execution.precision, loop.device):
            logits = loop.net(batch.inputs).float()
        loop.optimiser.backward(loop.loss(logits, batch) / len(index))
    found = [
        name for p, name in loop.optimiser.names.items() if p.grad is not None and not bool(p.grad.isfinite().all())
    ]
    loop.optimizer.zero_grad()
    return _of_all(loop, f"the gradient of {found[-1]}" if found else None)


def _when(loop: Loop, number: int) -> tuple[int, int]:
    """Step (from 0) and epoch."""
    return (loop.epoch - 1) * loop.steps_per_epoch + number, loop.epoch


def _begun(loop: Loop, index: Tensor, number: int) -> list[slice]:
    """The parts of the step that this process makes, what the net draws set as it was."""
    seed_net(loop.seed, _when(loop, number)[0], loop.device, loop.share[0])
    return loop.parts(len(index))


def _of_all(loop: Loop, place: str | None) -> str | None:
    """What the first of the processes that saw something saw."""
    told = loop.collect(place)
    rank = next((rank for rank, place in enumerate(told) if place is not None), None)
    if rank is None or len(told) == 1:
        return None if rank is None else told[rank]
    return f"{told[rank]}, in process {rank} of {len(told)}"
