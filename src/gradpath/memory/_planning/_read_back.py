"""The dynamic program read back as moves: plain data for the executor, the simulation and the displays."""

from __future__ import annotations

from collections.abc import Sequence

from gradpath.memory._planning._chain_costs import ChainCosts
from gradpath.memory._planning._redo_table import RedoTable
from gradpath.memory._planning._spans import Region
from gradpath.record import BACKWARD, KEEPS_INPUT, PlanMove, PlanSegment, TapeMode

Moves = tuple[PlanMove, ...]
LONGEST = 48
"""Blocks of a segment that keeps its inputs: more gain no time, and their gradients reach DDP later."""
_Plan = tuple[RedoTable, int, int, int, int]
"""A redo plan to be read: table, start, stop, slots, and how far its blocks are from where the table was made."""


def forward(costs: ChainCosts, region: Region, blocks: range, offset: int = 0) -> Moves:
    """A region's forward: inputs are dropped behind it unless its mode keeps them, but for its own input."""
    option = region.option
    drops = option is None or option.swept
    return tuple((block + offset, _mode(costs, region, block), drops and block > blocks.start) for block in blocks)


def backward(region: Region, blocks: range, offset: int = 0) -> Moves:
    """A region's backward from its tapes: inputs that were dropped are rebuilt first."""
    option = region.option
    assert option is not None  # what keeps nothing is read from its own table
    again = blocks[:-1] if option.swept else ()
    sweep: Moves = tuple((block + offset, str(option.modes[block]), False) for block in again)
    return sweep + tuple((block + offset, BACKWARD, False) for block in reversed(blocks))


def _mode(costs: ChainCosts, region: Region, block: int) -> str:
    if region.option is None:
        return costs.bare[costs.signatures[block]]
    return str(region.option.modes[block])


def made(start: int, stop: int, ahead: Moves, back: Moves) -> PlanSegment:
    """A segment; its mode is that of its first block."""
    mode: TapeMode = ahead[0][1]  # type: ignore[assignment]
    return PlanSegment(start=start, stop=stop, mode=mode, forward=ahead, backward=back)


def read(costs: ChainCosts, table: RedoTable, start: int, stop: int, memory: int) -> Moves:
    """All moves of a redo plan, the ones inside it too: forward, then backward."""
    moves: list[PlanMove] = []
    tasks: list[_Plan | Moves] = [(table, start, stop, memory, 0)]
    while tasks:
        task = tasks.pop()
        if isinstance(task[0], RedoTable):
            ahead, later = _expanded(costs, *task)
            moves += ahead
            tasks += later  # the last region's backward is the first
        else:
            moves += task
    return tuple(moves)


def _expanded(
    costs: ChainCosts, table: RedoTable, start: int, stop: int, memory: int, offset: int
) -> tuple[list[PlanMove], list[_Plan | Moves]]:
    """A redo plan's own forward, and what remains to be done, from left to right."""
    moves: list[PlanMove] = []
    later: list[_Plan | Moves] = []
    while start < stop:
        region, end = table.choose(start, stop, memory)
        a, b = table.cuts[start], table.cuts[end]
        if region is None:
            leaf = table.leaves[start]
            assert leaf is not None
            later.append((leaf, 0, len(leaf.cuts) - 1, memory, offset + a - leaf.cuts[0]))
            break
        moves += forward(costs, region, range(a, b - (end == stop)), offset)  # the last block's output is not wanted
        if region.option is None:
            slots = table.spans.gradient_slots
            later.append((table, start, end, memory - int(slots[stop] - slots[end]), offset))
        else:
            later.append(backward(region, range(a, b), offset))
        start, memory = end, memory - int(region.shift[start, end])
    return moves, later


def joined(segments: Sequence[PlanSegment], costs: ChainCosts) -> list[PlanSegment]:
    """Neighbours of one mode that keeps inputs, joined: fewer nodes in autograd's graph."""
    found: list[PlanSegment] = []
    for new in segments:
        old = found[-1] if found else None
        if old and old.mode == new.mode and KEEPS_INPUT[new.mode] and _may_join(old, new, costs):
            new = made(old.start, new.stop, old.forward + new.forward, new.backward + old.backward)
            found.pop()
        found.append(new)
    return found


def _may_join(old: PlanSegment, new: PlanSegment, costs: ChainCosts) -> bool:
    """A segment's parameter gradients live until it ends: what its backward frees has to make up for them."""
    gradients = costs.gradients[new.stop] - costs.gradients[new.start]
    tapes = sum(costs.kept_bytes(block, mode) for block, mode, _ in new.forward)
    freed = tapes + costs.x[new.start : new.stop].sum()
    held = costs.x[new.stop]  # the incoming gradient, too
    return new.stop - old.start <= LONGEST and bool(gradients + held <= freed)
