"""A plan: which block keeps which tape, as a schedule that can be simulated, drawn and run; and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gradpath.record._base import Record
from gradpath.units import memory

TapeMode = Literal["full", "lean", "raw", "last", "input", "none"]
"""What a block keeps between its first forward and its backward, beside statistics (docs/definitions.md, tape modes):
full: all that the backward reads. lean: input and raw convolution outputs. raw: raw convolution outputs; inputs are
rebuilt by a sweep from the segment's input. last: of these, only what the sweep needs. input: the input alone.
none: nothing; the segment's blocks are planned again in the backward."""
KEEPS_INPUT: dict[str, bool] = {"full": True, "lean": True, "raw": False, "last": False, "input": True, "none": False}
SWEPT = ("raw", "last")
BACKWARD = "backward"

PlanMove = tuple[int, str, bool]
"""(block, mode, drop): forward through the block, its tape cut to the mode, then its input dropped if `drop`.
(block, 'backward', False): the gradient through the block; its tape and input are used up."""


@dataclass(frozen=True, kw_only=True)
class ModeCost(Record):
    """What one block costs under one tape mode."""

    mode: TapeMode
    kept_bytes: int
    """Of the tape, without the input and without what is kept in every mode."""
    backward_seconds: float
    """From this tape, with whatever it redoes inside."""
    backward_bytes: int
    """Largest growth during the backward, beside input, tape and incoming gradient; the input's gradient included."""


@dataclass(frozen=True, kw_only=True)
class BlockCost(Record):
    """What a block of one signature costs: measured once, on one such block."""

    label: str
    """Type, shapes: 'PreBottleneck 16×64×32×32 → 16×64×32×32'."""
    input_bytes: int
    output_bytes: int
    always_bytes: int
    """Kept in every mode from the first forward on: statistics, copies of buffers, random states."""
    parameter_bytes: int
    """Of the gradients of its parameters, alive until their segment's backward ends."""
    ends_in_relu: bool
    """The backward starts before the block's last ReLU, masked by its output."""
    forward_bytes: int
    """Largest growth during a forward, beside input and kept tape; the output included."""
    first_seconds: float
    redo_seconds: float
    """Forward again: statistics known, raw outputs not."""
    sweep_seconds: float
    """Forward again from what mode 'last' keeps. As redo where the block has no such mode."""
    plain_seconds: float
    """Forward and backward under plain autograd."""
    plain_bytes: int
    """What plain autograd keeps for it, its output included and its input not."""
    modes: tuple[ModeCost, ...]

    def of(self, mode: str) -> ModeCost | None:
        """The cost of a mode, None where the block has no such mode."""
        return next((cost for cost in self.modes if cost.mode == mode), None)


@dataclass(frozen=True, kw_only=True)
class PlanSegment(Record):
    """Blocks start … stop − 1: one node of autograd's graph, with its moves in both passes."""

    start: int
    stop: int
    mode: TapeMode
    forward: tuple[PlanMove, ...]
    backward: tuple[PlanMove, ...]


@dataclass(frozen=True, kw_only=True)
class StepBytes(Record):
    """Bytes of tensors on the training device at the step's peak, by kind."""

    parameters: int
    gradients: int
    optimizer: int
    buffers: int
    activations: int
    """What is kept for the backward: tapes, inputs of blocks, the batch, and what lies outside the planned blocks."""
    temporaries: int
    """The rest of the peak: what operations need while they run."""

    @property
    def total(self) -> int:
        return self.parameters + self.gradients + self.optimizer + self.buffers + self.activations + self.temporaries


@dataclass(frozen=True, kw_only=True)
class LayerBytes(Record):
    """What one call of a module without children costs under plain autograd: the model as it is, nothing planned."""

    name: str
    kind: str
    """The module's class."""
    output: str
    """Shape of what it returns."""
    parameter_bytes: int
    kept_bytes: int
    """What its forward leaves for the backward, each storage counted where it was first kept."""
    backward_bytes: int
    """Largest growth of memory while its gradient is computed."""


@dataclass(frozen=True, kw_only=True)
class CurvePoint(Record):
    """One plan of the trade-off curve."""

    memory_bytes: int
    """Peak of the whole step."""
    time_ratio: float
    """Predicted, against keeping everything."""


@dataclass(frozen=True, kw_only=True)
class MeasuredStep(Record):
    """One real forward and backward under a plan: the closed loop. The optimizer's step is not run."""

    predicted_bytes: int
    peak_bytes: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Plan(Record, kind="plan"):
    """The fastest exact training step that fits a number of bytes. Made by `gp.plan`, run by `gp.apply_plan`."""

    name: str
    batch: str
    """Shapes of the batch: '16×3×32×32'."""
    device: str
    dtype: str
    autocast: str | None
    optimizer: str
    kernels: str
    """'torch', or which fused norm passes the blocks run on."""
    asked: str
    """The memory as it was asked for: '4GiB', '80%', 'auto'."""
    memory_bytes: int
    """The same in bytes."""
    blocks: tuple[str, ...]
    """Names of the planned modules, in the order of the forward; several that run as one are joined by '+'."""
    signatures: tuple[int, ...]
    """For each block, which of `costs` it has."""
    costs: tuple[BlockCost, ...]
    segments: tuple[PlanSegment, ...]
    predicted: StepBytes
    keep_all: StepBytes
    """Of plain autograd, everything kept."""
    outside_seconds: float
    """Forward and backward of what is not planned (stem, head, …)."""
    time_ratio: float
    """Predicted seconds of a step over those of plain autograd."""
    smallest_bytes: int
    """The least memory for which there is a plan."""
    curve: tuple[CurvePoint, ...]
    live_bytes: tuple[int, ...]
    """The step's predicted bytes at its peak within each move, in the order of the moves: forward, then backward."""
    plan_seconds: float
    """What measuring and planning took."""
    layers: tuple[LayerBytes, ...] = ()
    """Per layer, in the order of the forward."""
    measured: tuple[MeasuredStep, ...] = ()
    """Steps that were really run, the last one under this plan."""
    left_alone: tuple[str, ...] = ()
    """What is not planned, and why."""

    def __repr__(self) -> str:
        counted = f"{len(self.blocks)} blocks in {len(self.segments)} segments"
        size = f"{memory(self.predicted.total)} of {memory(self.memory_bytes)}"
        return f"Plan({self.name} at {self.batch}: {size}, {self.time_ratio:.2f} × the time, {counted})"

    def schedule(self) -> Iterator[tuple[str, int, str]]:
        """Every operation of a step in order: (forward | save | drop | backward, block, mode)."""
        for segment in self.segments:
            yield from _operations(segment.forward)
        for segment in reversed(self.segments):
            yield from _operations(segment.backward)

    def mode_of_blocks(self) -> tuple[str, ...]:
        """For each block, the mode of the segment's first forward: what it keeps between the passes."""
        modes = [""] * len(self.blocks)
        for segment in self.segments:
            for block in range(segment.start, segment.stop):
                modes[block] = segment.mode
            for block, mode, _ in segment.forward:
                modes[block] = mode
        return tuple(modes)


def _operations(moves: tuple[PlanMove, ...]) -> Iterator[tuple[str, int, str]]:
    for block, mode, drop in moves:
        if mode == BACKWARD:
            yield BACKWARD, block, ""
            continue
        yield "forward", block, mode
        if mode != "none":
            yield "save", block, mode
        if drop:
            yield "drop", block, ""
