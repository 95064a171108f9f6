"""From what blocks cost to which block keeps which tape: the fastest schedule whose simulated peak fits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gradpath.errors import GradpathError
from gradpath.memory._planning._chain_costs import ChainCosts
from gradpath.memory._planning._first_pass import FirstPass
from gradpath.memory._planning._read_back import joined, made
from gradpath.memory._planning._simulate import Simulated, simulate
from gradpath.record import BACKWARD, BlockCost, PlanSegment

SUPER_BLOCKS, CURVE_SUPER_BLOCKS, SLOTS = 64, 48, 300
FINE = 96
"""Super-blocks below `TIGHT` of keeping all: there their number shows in the time."""
TIGHT = 0.04
HEADROOM = 1.05
"""The table goes so far beyond the budget, and two boundaries more: its plans need less than their slots."""
GUESS, COARSE, FEW, CANDIDATES = 4, 100, 32, 4
"""To find the smallest plan: the first guess, in largest blocks; slots and super-blocks of the tables that close in;
how many plans are compared."""
_Found = tuple[Simulated, list[PlanSegment]]


class Infeasible(GradpathError):
    """No plan fits the budget; `smallest_bytes` is the least for which there is one."""

    def __init__(self, budget_bytes: float, smallest_bytes: int) -> None:
        super().__init__(
            f"no plan fits {budget_bytes:.0f} bytes between the chain's input and output: {smallest_bytes}"
        )
        self.smallest_bytes = smallest_bytes


def fastest(chain: Sequence[BlockCost], budget_bytes: float) -> list[PlanSegment]:
    """The fastest plan whose peak (`simulate`) is within the budget; raises Infeasible."""
    return Planner(chain).fastest(budget_bytes)


def curve(chain: Sequence[BlockCost], points: int = 24) -> list[tuple[int, float]]:
    """(peak bytes, seconds) of plans from the smallest to keep-all, each faster than all smaller ones."""
    return Planner(chain).curve(points)


class Planner:
    """Plans of one chain. Bytes are those of `simulate`: between the chain's input and output, without parameters,
    their gradients after their segment's backward, and all that lies outside the chain."""

    def __init__(self, chain: Sequence[BlockCost], super_blocks: int | None = None, slots: int = SLOTS) -> None:
        if not chain:
            raise GradpathError("a chain of no blocks cannot be planned")
        self.chain, self.costs = list(chain), ChainCosts(chain)
        self.super_blocks, self.slots = super_blocks, slots
        self.base_bytes = float(self.costs.x[0] + self.costs.always_bytes)
        self.keep_all = self._keep_all()
        self._smallest: _Found | None = None

    @property
    def keep_all_bytes(self) -> int:
        """Peak of the plan that redoes nothing, but for what costs no time."""
        return self.keep_all[0].peak_bytes

    @property
    def smallest_bytes(self) -> int:
        """The least memory for which there is a plan."""
        return self.smallest[0].peak_bytes

    def fastest(self, budget_bytes: float) -> list[PlanSegment]:
        """The fastest plan within the budget; raises Infeasible."""
        if self.keep_all_bytes <= budget_bytes:
            return self.keep_all[1]
        if budget_bytes < self.smallest_bytes:
            raise Infeasible(budget_bytes, self.smallest_bytes)
        found = self._largest(self._table(budget_bytes), budget_bytes)
        known = self.smallest
        return found[1] if found and found[0].seconds <= known[0].seconds else known[1]

    def curve(self, points: int = 24) -> list[tuple[int, float]]:
        """(peak bytes, seconds), from the smallest plan to keep-all."""
        return front([(sim.peak_bytes, sim.seconds) for sim, _ in self.samples(points)])

    def samples(self, points: int = 24) -> list[_Found]:
        """Plans of all sizes, with what they cost: the smallest, keep-all, and some between."""
        found, tops = [self.smallest, self.keep_all], [float(self.keep_all_bytes)]
        while tops[-1] / 4 > self.smallest_bytes:
            tops.append(tops[-1] / 4)
        for top in tops:
            found += self._sampled(self._table(top, CURVE_SUPER_BLOCKS), -(-points // len(tops)))
        return found

    @property
    def smallest(self) -> _Found:
        """The plan of least memory, and what it costs."""
        if self._smallest is None:
            self._smallest = self._find_smallest()
        return self._smallest

    def _find_smallest(self) -> _Found:
        """Tables that close in on the least number of slots with a plan, until the slots are fine."""
        beyond, least = GUESS * float(np.max(self.costs.bare_work + self.costs.x[:-1])), 0
        while least <= COARSE // 2:
            table = FirstPass(self.costs, max(beyond, 1.0) / COARSE, COARSE, FEW)
            feasible = np.flatnonzero(np.isfinite(table.seconds))
            least = int(feasible[0]) if len(feasible) else 0
            beyond *= 1.2 * (least + 1) / COARSE if len(feasible) else 3
        unit = max(beyond, 1.0) / (2 * COARSE)
        table = FirstPass(self.costs, unit, 2 * COARSE, self.super_blocks or FINE)
        feasible = np.flatnonzero(np.isfinite(table.seconds))[:CANDIDATES]
        plans = [self._plan(table, int(memory), 0) for memory in feasible]
        return min([*plans, self.keep_all], key=_peak)

    def _keep_all(self) -> _Found:
        modes = self.costs.options[0].modes
        alone = [made(at, at + 1, ((at, str(mode), False),), ((at, BACKWARD, False),)) for at, mode in enumerate(modes)]
        few = joined(alone, self.costs)
        return simulate(self.chain, few), few

    def _table(self, budget_bytes: float, super_blocks: int | None = None) -> FirstPass:
        """All plans up to somewhat beyond a budget."""
        tight = budget_bytes < TIGHT * self.keep_all_bytes
        limit = super_blocks or self.super_blocks or (FINE if tight else SUPER_BLOCKS)
        unit = max(budget_bytes - self.base_bytes, 1.0) / self.slots
        more = min(2 * float(self.costs.x.max()) / unit, self.slots)
        return FirstPass(self.costs, unit, int(self.slots * HEADROOM + more), limit)

    def _largest(self, table: FirstPass, budget_bytes: float) -> _Found | None:
        """The plan of the most slots whose peak is within the budget, None where there is none."""
        seconds = table.seconds
        faster = np.flatnonzero(seconds < np.concatenate([[np.inf], seconds[:-1]]))  # where a slot more gains something
        low, high, best = 0, len(faster), None
        while low < high:
            middle = (low + high) // 2
            found = self._plan(table, int(faster[middle]), budget_bytes)
            if found[0].peak_bytes <= budget_bytes:
                low, best = middle + 1, found
            else:
                high = middle
        return best

    def _sampled(self, table: FirstPass, points: int) -> list[_Found]:
        """Some plans of a table, evenly spaced in the ratio of their slots."""
        feasible = np.flatnonzero(np.isfinite(table.seconds))
        if not len(feasible):
            return []
        last = len(table.seconds) - 1
        chosen = np.unique(np.geomspace(max(feasible[0], last / 5, 1), last, points).astype(int))
        return [self._plan(table, int(memory)) for memory in chosen if memory >= feasible[0]]

    def _plan(self, table: FirstPass, memory: int, budget_bytes: float = np.inf) -> _Found:
        """A table's plan, in few segments if that fits."""
        alone = table.segments(memory)
        few = joined(alone, self.costs)
        found = simulate(self.chain, few), few
        if found[0].peak_bytes > budget_bytes and len(few) < len(alone):
            found = min(found, (simulate(self.chain, alone), alone), key=_peak)
        return found


def _peak(found: _Found) -> tuple[int, float]:
    return found[0].peak_bytes, found[0].seconds


def front(found: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    """Of pairs of bytes and seconds those that none of fewer bytes is as fast as."""
    kept: list[tuple[int, float]] = []
    for peak_bytes, seconds in sorted(found):
        if not kept or seconds < kept[-1][1]:
            kept.append((peak_bytes, seconds))
    return kept
