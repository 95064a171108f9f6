"""The top of the dynamic program: which segments the first forward leaves behind, and all moves read back from it.

first[i, m]: least time of everything after the first forward for super-blocks i … Q, in m slots beside their input.
It differs from the redo table in what a segment of its own means: its incoming gradient is held until it ends, the
gradients of its parameters leave with it, and its forward has to be run anyway.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradpath.memory._planning._chain_costs import ChainCosts
from gradpath.memory._planning._grouping import redo_table
from gradpath.memory._planning._read_back import backward, forward, made, read
from gradpath.memory._planning._redo_table import Slots, Times, least
from gradpath.memory._planning._spans import Ints, Region
from gradpath.record import PlanSegment


class FirstPass:
    """A chain's plans for every number of slots up to `slots`, beyond its input and what every mode keeps."""

    def __init__(self, costs: ChainCosts, unit: float, slots: int, limit: int) -> None:
        self.costs, self.unit = costs, unit
        self.redo = redo_table(costs, unit, slots, limit)
        self.size = len(self.redo.cuts) - 1
        self.first = Slots((self.size + 1,), slots)
        self.first.cells[self.size, slots + 1 :] = 0
        for start in reversed(range(self.size)):
            row = self.first.row(start)
            for _, _, total in self._candidates(start):
                np.minimum(row, total[0].min(0), out=row)

    @property
    def seconds(self) -> Times:
        """After the first forward, by slots; infinite where there is no plan."""
        return self.first.row(0)

    def segments(self, memory: int) -> list[PlanSegment]:
        """The fastest plan in so many slots; where inputs are kept, each block is a segment."""
        found: list[PlanSegment] = []
        start = 0
        while start < self.size:
            region, stop = least(self._candidates(start), memory)
            assert region is not None  # only a redo table has a super-block's own table
            found += self._segments(region, start, stop, memory)
            start, memory = stop, memory - int(region.shift[start, stop])
        return found

    def _segments(self, region: Region, start: int, stop: int, memory: int) -> list[PlanSegment]:
        a, b = self.redo.cuts[start], self.redo.cuts[stop]
        if region.option is None:
            memory -= int(self.redo.spans.x_slots[stop])
            return [
                made(a, b, forward(self.costs, region, range(a, b)), read(self.costs, self.redo, start, stop, memory))
            ]
        bounds = [(a, b)] if region.option.swept else [(block, block + 1) for block in range(a, b)]
        return [made(i, j, forward(self.costs, region, range(i, j)), backward(region, range(i, j))) for i, j in bounds]

    def _candidates(self, start: int) -> Iterator[tuple[Region, Ints, Times]]:
        """(region, where it ends, seconds[0, k, m]) for all segments that begin at a super-block."""
        redo, spans = self.redo, self.redo.spans
        for region in (*redo.regions, spans.bare):
            one_by_one = region.option is not None and not region.option.swept
            k = np.arange(start + 1, start + 2 if one_by_one else self.size + 1)
            total = self.first.shifted(k, by=region.shift[start, k])
            total += redo.needed(np.maximum(region.forward[start, k], region.alone[start, k]))
            if region is spans.bare:
                total += redo.best.shifted(start, k, by=spans.x_slots[k])
            else:
                total += region.seconds[start, k].astype(np.float32)[:, None]
            yield region, k[None], total[None]
