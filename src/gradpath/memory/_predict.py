"""The whole step's memory and time, put together from the planned chain and what lies outside of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn
from torch.optim import Optimizer

from gradpath.memory._measuring._measure import Measured
from gradpath.memory._measuring._optimizer import optimizer_bytes
from gradpath.memory._measuring._outside import Outside
from gradpath.memory._measuring._step import tensors_of
from gradpath.memory._planning._simulate import Simulated
from gradpath.record import PlanSegment, StepBytes


@dataclass(frozen=True)
class Constant:
    """Bytes that are there through the whole step."""

    parameters: int
    gradients: int
    optimizer: int
    buffers: int
    batch: int

    @property
    def total(self) -> int:
        return self.parameters + self.gradients + self.optimizer + self.buffers + self.batch

    def step_bytes(self, peak: int, kept: int) -> StepBytes:
        """With a peak and what is kept for the backward, both counted beyond these bytes."""
        kept = max(0, min(kept, peak))
        return StepBytes(
            parameters=self.parameters,
            gradients=self.gradients,
            optimizer=self.optimizer,
            buffers=self.buffers,
            activations=self.batch + kept,
            temporaries=peak - kept,
        )


def constant_of(model: nn.Module, optimizer: str | Optimizer, batch: object) -> Constant:
    """Counted, not measured; every parameter and buffer once."""
    parameters = list(model.parameters())
    return Constant(
        parameters=sum(p.nbytes for p in parameters),
        gradients=sum(p.nbytes for p in parameters if p.requires_grad),
        optimizer=optimizer_bytes(optimizer, parameters),
        buffers=sum(b.nbytes for b in model.buffers()),
        batch=sum(tensor.untyped_storage().nbytes() for tensor in tensors_of(batch)),
    )


@dataclass(frozen=True)
class StepCost:
    """A step's growth beyond its constant bytes, and its time."""

    peak_bytes: int
    kept_bytes: int
    """As the forward ends."""
    seconds: float
    live_bytes: tuple[int, ...] = ()
    """Within each of the plan's moves."""


def planned_step(chain: Sequence[Measured], segments: Sequence[PlanSegment], sim: Simulated, out: Outside) -> StepCost:
    """A planned chain between its stem and its head."""
    forward, last = sum(len(segment.forward) for segment in segments), chain[-1]
    moves = np.array(sim.live_bytes)
    moves[:forward] += out.forward_bytes
    moves[forward:] += out.backward_bytes
    mask = last.cost.output_bytes if last.cost.ends_in_relu else 0  # the head's own storage, held for the backward
    head = sim.kept_bytes + out.head_bytes - mask
    peak = max(out.start_peak_bytes, out.tail_peak_bytes, head, int(moves.max()))
    kept = sim.kept_bytes + out.forward_bytes
    return StepCost(peak, kept, out.seconds + sim.seconds, tuple(map(int, moves)))


def plain_step(chain: Sequence[Measured], out: Outside) -> StepCost:
    """The same under plain autograd: everything kept, nothing measured at full length."""
    x0 = chain[0].cost.input_bytes
    kept = x0 + np.cumsum([0, *(block.cost.plain_bytes for block in chain)])  # before block t; then the whole chain
    forward = kept[1:] + [block.plain_forward_bytes for block in chain]
    backward = kept[1:] + [block.plain_backward_bytes + block.cost.output_bytes for block in chain]
    head = kept[-1] + out.head_bytes - chain[-1].cost.output_bytes
    peak = max(
        out.start_peak_bytes,
        out.tail_peak_bytes,
        int(head),
        int(forward.max()) + out.forward_bytes,
        int(backward.max()) + out.backward_bytes,
    )
    seconds = out.seconds + sum(block.cost.plain_seconds for block in chain)
    return StepCost(peak, int(kept[-1]) + out.forward_bytes, seconds)
