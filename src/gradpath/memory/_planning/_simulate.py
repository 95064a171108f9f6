"""A plan played on byte counts: its peak, its time, and proof that every move finds what it needs.

What is counted, and until when (memory/_run.py does the same with tensors):

- x₀ … x_L, the blocks' inputs and the chain's output. A segment's function holds its own input, whose storage is the
  output of the segment before. `drop` frees an input, and so does its block's backward.
- The tape of a block, by mode; beside it `always_bytes`, from the block's first forward to its backward.
- The output of a segment that ends in a ReLU, until the segment's backward begins: it masks the incoming gradient into
  a copy that takes its place. Between two blocks of a segment the mask is applied in place. The chain's own output is
  otherwise counted until the forward ends; then it is the head's.
- The gradient that comes into a segment, until the segment's backward ends (autograd holds it that long), and the one
  that is on its way between two blocks of it.
- The gradients of a segment's parameters, until its backward ends. Then they are autograd's: the caller counts the
  gradients of all parameters once, as a constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gradpath.errors import GradpathError
from gradpath.record import BACKWARD, BlockCost, ModeCost, PlanMove, PlanSegment


class ScheduleError(GradpathError):
    """A schedule that cannot be run: a move does not find its input, its gradient or its tape."""


@dataclass(frozen=True)
class Simulated:
    """What a step costs between the chain's input and its output."""

    peak_bytes: int
    seconds: float
    live_bytes: tuple[int, ...]
    """Largest bytes within each move, in the order of the moves: forward, then backward."""
    kept_bytes: int
    """At the end of the forward: what waits for the backward."""


def simulate(chain: Sequence[BlockCost], segments: Sequence[PlanSegment]) -> Simulated:
    """Play a plan's moves; raises ScheduleError where the executor would not find what a move needs."""
    _check_cover(segments, len(chain))
    walk = _Walk(chain)
    for segment in segments:
        walk.forward(segment)
    walk.leave()
    kept = walk.live
    for segment in reversed(segments):
        walk.backward(segment)
    return Simulated(max(walk.peaks), walk.seconds, tuple(walk.peaks), kept)


def _check_cover(segments: Sequence[PlanSegment], blocks: int) -> None:
    at = 0
    for segment in segments:
        if segment.start != at or segment.stop <= at:
            raise ScheduleError(f"segment {segment.start}…{segment.stop - 1} where one from block {at} on was due")
        at = segment.stop
    if at != blocks:
        raise ScheduleError(f"the segments end at block {at - 1} of {blocks}")


@dataclass
class _Walk:
    """The state of a step, in bytes."""

    chain: Sequence[BlockCost]
    live: int = 0
    seconds: float = 0.0
    peaks: list[int] = field(default_factory=list)
    inputs: set[int] = field(default_factory=set)
    """Which x are there."""
    masks: set[int] = field(default_factory=set)
    """Outputs of segments held for their ReLU: the same storage as the next segment's input."""
    tapes: dict[int, ModeCost | None] = field(default_factory=dict)
    """What each block's tape keeps; None once it is used up."""
    modes: dict[int, dict[str, ModeCost]] = field(default_factory=dict)
    """By id of a block's cost, so that a mode is found at once."""
    handed: int = 0
    """Bytes of the gradient that autograd holds for the running segment."""
    own: int = 0
    """Bytes of the gradient between two of its blocks, where it is not the handed one."""
    gradients: int = 0
    """Of the running segment's parameters."""
    due: int = 0
    """The gradient that is there is that of block `due`'s output."""

    def __post_init__(self) -> None:
        self.modes = {id(cost): {kept.mode: kept for kept in cost.modes} for cost in self.chain}
        self.inputs.add(0)
        self.live = self.bytes_of(0)

    def bytes_of(self, at: int) -> int:
        """Of x at a boundary of the chain."""
        return self.chain[at - 1].output_bytes if at else self.chain[0].input_bytes

    def forward(self, segment: PlanSegment) -> None:
        """A segment's first pass."""
        for block, mode, drop in segment.forward:
            if mode == BACKWARD or not segment.start <= block < segment.stop:
                raise ScheduleError(
                    f"move {mode} of block {block} in the forward of {segment.start}…{segment.stop - 1}"
                )
            self.advance(block, mode, drop)
        if segment.stop not in self.inputs:
            raise ScheduleError(f"the forward of segment {segment.start}…{segment.stop - 1} gives no output")
        if self.chain[segment.stop - 1].ends_in_relu:
            self.masks.add(segment.stop)

    def leave(self) -> None:
        """The output goes to the head; all blocks have their first pass behind them."""
        self.due = len(self.chain) - 1
        self.own = self.bytes_of(self.due + 1)
        self.drop(self.due + 1)

    def backward(self, segment: PlanSegment) -> None:
        """A segment's backward: from the gradient of its output to that of its input."""
        first = len(self.peaks)
        self.handed, self.own = self.own, 0
        begin = self.begin(segment.stop)
        for move in segment.backward:
            self.play(segment, move)
        if self.due != segment.start - 1:
            raise ScheduleError(f"block {self.due} never gets its backward")
        self.peaks[first] = max(self.peaks[first], begin)
        self.handed = self.gradients = 0
        for at in [at for at in range(segment.start, segment.stop + 1) if at in self.inputs]:
            self.drop(at)

    def begin(self, stop: int) -> int:
        """Mask the gradient that comes in; returns the bytes while that is done."""
        peak = self.live + self.handed
        if stop in self.masks:
            peak += self.handed
            self.masks.remove(stop)
            self.live -= self.bytes_of(stop)
        return peak

    def play(self, segment: PlanSegment, move: PlanMove) -> None:
        """One move of a segment's backward."""
        block, mode, drop = move
        if not segment.start <= block < segment.stop:
            raise ScheduleError(f"block {block} in the backward of segment {segment.start}…{segment.stop - 1}")
        if mode == BACKWARD:
            self.turn(block)
        else:
            self.advance(block, mode, drop)

    def advance(self, block: int, mode: str, drop: bool) -> None:
        """Forward through a block, its tape cut to a mode."""
        cost = self.chain[block]
        if block not in self.inputs:
            raise ScheduleError(f"block {block} is to run, but its input is not there")
        if mode not in self.modes[id(cost)]:
            raise ScheduleError(f"block {block} has no mode {mode}: {', '.join(self.modes[id(cost)])}")
        old, new = self.tape_of(block), self.modes[id(cost)][mode]
        self.seconds += _forward_seconds(cost, old)
        if old is None:
            self.live += cost.always_bytes
        more = new.kept_bytes - (old.kept_bytes if old else 0)
        self.note(max(more, 0) + cost.forward_bytes)
        self.tapes[block] = new
        self.live += more
        if block + 1 not in self.inputs:
            self.inputs.add(block + 1)
            self.live += cost.output_bytes
        if drop:
            self.drop(block)

    def turn(self, block: int) -> None:
        """The gradient through a block; its tape and input are used up."""
        if block != self.due:
            raise ScheduleError(f"the gradient is at block {self.due}, not at {block}")
        if block not in self.inputs:
            raise ScheduleError(f"block {block} is to get its backward, but its input is not there")
        tape, cost = self.tape_of(block), self.chain[block]
        assert tape is not None  # its segment's forward ran it
        self.seconds += tape.backward_seconds
        self.note(tape.backward_bytes)
        self.tapes[block] = None
        self.live -= tape.kept_bytes + cost.always_bytes
        self.drop(block)
        self.own, self.due = self.bytes_of(block), block - 1
        self.gradients += cost.parameter_bytes

    def tape_of(self, block: int) -> ModeCost | None:
        """What a block's tape keeps, None before its first forward."""
        tape = self.tapes.get(block)
        if tape is None and block in self.tapes:
            raise ScheduleError(f"the tape of block {block} is used twice")
        return tape

    def drop(self, at: int) -> None:
        """Free an input, but for one that is also a mask."""
        self.inputs.remove(at)
        if at not in self.masks:
            self.live -= self.bytes_of(at)

    def note(self, growth: int) -> None:
        """The bytes within a move that grows by so much."""
        self.peaks.append(self.live + self.handed + self.own + self.gradients + growth)


def _forward_seconds(cost: BlockCost, tape: ModeCost | None) -> float:
    if tape is None:
        return cost.first_seconds
    return cost.redo_seconds if tape.mode in ("input", "none") else cost.sweep_seconds
