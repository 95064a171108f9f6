"""`gradpath plan --calculate N`: one line of arithmetic for depths that no machine at hand holds, and its error."""

from __future__ import annotations

from dataclasses import dataclass

from gradpath import units
from gradpath.errors import UserError
from gradpath.memory import memory_for_depth, time_ratio
from gradpath.record import ModeCost, Plan
from gradpath.report._columns import Column
from gradpath.report._grid import table, wrap
from gradpath.report._plan_steps import always_bytes

SWEEPS = (0, 1, 2, 3)
"""Extra forwards of a whole chain. Beyond 3 the formula is off by more than 13 % (see `memory_for_depth`)."""
_RULE = "memory ((t + 1)! · a · L)^(1/(t + 1)) inputs of a block, time 1 + t · f/(f + b)"


@dataclass(frozen=True)
class Row:
    """What the rule says of one number of extra forwards."""

    sweeps: int
    kept_bytes: float
    always_bytes: float
    ratio: float

    @property
    def total(self) -> float:
        return self.kept_bytes + self.always_bytes


@dataclass(frozen=True)
class Chain:
    """The plan's blocks as one kind of block: the means over all of them."""

    blocks: int
    input_bytes: float
    tape: float
    """Of the smallest tape that is kept whole (full or lean) with its input, in inputs."""
    forward_share: float
    """f / (f + b)."""
    always_bytes: float
    """Of parameters, gradients, the optimiser's state, buffers and statistics, per block."""

    def row(self, blocks: int, sweeps: int) -> Row:
        """So many blocks with so many extra forwards."""
        kept = self.tape * blocks if sweeps == 0 else memory_for_depth(blocks, self.tape, sweeps)
        ratio = time_ratio(sweeps, self.forward_share)
        return Row(sweeps, kept * self.input_bytes, blocks * self.always_bytes, ratio)


_COLUMNS: tuple[Column[Row], ...] = (
    Column("extra forwards", lambda row: str(row.sweeps)),
    Column("kept for backward", lambda row: units.memory(row.kept_bytes)),
    Column("parameters …", lambda row: units.memory(row.always_bytes)),
    Column("together", lambda row: units.memory(row.total)),
    Column("time", lambda row: f"× {row.ratio:.2f}"),
)


def rule_text(plan: Plan, blocks: int, width: int = 80) -> str:
    """A table for so many blocks like the plan's, and what the rule says of the plan itself. Raises UserError where
    there are no blocks."""
    chain = _chain(plan)
    rows = [chain.row(blocks, t) for t in SWEEPS]
    title = f"Rule of thumb for {blocks:,} such blocks, not measured: {_RULE}; a = {chain.tape:.2f}"
    lines = [*wrap(title, width), *table(_COLUMNS, rows, width)[0], *wrap(_error(plan, chain), width)]
    return "\n".join(lines)


def _chain(plan: Plan) -> Chain:
    if not plan.blocks:
        raise UserError(f"--calculate counts blocks, and none of {plan.name} is planned: {'; '.join(plan.left_alone)}")
    costs = [plan.costs[kind] for kind in plan.signatures]
    tapes = [min((cost.of("lean"), cost.of("full")), key=_kept) for cost in costs]
    inputs = sum(cost.input_bytes for cost in costs)
    kept = sum(tape.kept_bytes for tape in tapes if tape is not None)
    forward = sum(cost.redo_seconds for cost in costs)
    backward = sum(tape.backward_seconds for tape in tapes if tape is not None)
    always = always_bytes(plan) + sum(cost.always_bytes for cost in costs)
    count = len(costs)
    return Chain(count, inputs / count, 1 + kept / inputs, forward / (forward + backward), always / count)


def _kept(mode: ModeCost | None) -> float:
    return float("inf") if mode is None else mode.kept_bytes


def _error(plan: Plan, chain: Chain) -> str:
    """What it would say of this plan's memory: the fewest extra forwards for which it is enough."""
    rows = [chain.row(chain.blocks, t) for t in SWEEPS]
    enough = next((row for row in rows if row.total <= plan.predicted.total), None)
    own = f"Against the plan above, × {plan.time_ratio:.2f} in {units.memory(plan.predicted.total)}: the rule"
    if enough is None:
        return f"{own} asks for {units.memory(rows[-1].total)} with {SWEEPS[-1]} extra forwards"
    return f"{own} says × {enough.ratio:.2f} in {units.memory(enough.total)}"
