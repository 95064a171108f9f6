"""The dynamic program: best[i, j, m], the least time to run super-blocks i … j forward once more and then backward.

Their input xᵢ is there, held by the caller; the gradient of x_j is there, and counted with whoever reads it; all else
has m slots. Regions from the left, each in one mode, as rotor's recursion has it (Beaumont et al. 2019,
arXiv 1911.13214), with several tapes a block (as rockmate, Zhao et al. 2023) and modes whose inputs a sweep rebuilds:

    best[i, j, m] = min over k, mode of  redo and backwards of i … k  + best[k, j, m − kept − x_k]        keeps a tape
                    min over k of        redo of i … k  + best[k, j, m − x_k] + best[i, k, m − grads]     keeps none

`grads` are those of the parameters of k … j: they stay until the segment's backward ends. The last block of i … j is
not run forward, for its output is not wanted. A super-block of several blocks has a table of its own, so that coarse
super-blocks do not limit how little memory suffices; 10,001 layers take two levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from gradpath.memory._planning._chain_costs import ChainCosts, Floats
from gradpath.memory._planning._spans import Ints, Region, Spans

Times = NDArray[np.float32]
Choice = tuple[Region | None, int]
"""A region and the super-block boundary where it ends; None: the super-block's own table."""


class Slots:
    """Rows of seconds over m = 0 … slots, read with a shift: seconds at m − s, infinite where that is below 0."""

    def __init__(self, shape: tuple[int, ...], slots: int) -> None:
        self.slots = slots
        self.cells = np.full((*shape, 2 * (slots + 1)), np.inf, np.float32)
        self.windows = sliding_window_view(self.cells, slots + 1, axis=-1)

    def shifted(self, *index: Ints | int, by: Ints | int) -> Times:
        """Rows at an index, each moved right by its own number of slots."""
        at = (*index, self.slots + 1 - np.minimum(by, self.slots + 1))
        rows: Times = self.windows[at]
        return rows

    def row(self, *index: Ints | int) -> Times:
        """Rows as they are."""
        at = (*index, slice(self.slots + 1, None))
        return self.cells[at]


def gate(slots: int) -> Slots:
    """Rows of 0: shifted by what is needed, they are infinite where there is less."""
    zero = Slots((1,), slots)
    zero.cells[:, slots + 1 :] = 0
    return zero


class RedoTable:
    """best[i, j, m] of the super-blocks between `cuts`, in slots of `unit` bytes."""

    def __init__(
        self, costs: ChainCosts, cuts: Sequence[int], unit: float, slots: int, leaves: Sequence[RedoTable | None]
    ) -> None:
        self.cuts, self.slots, self.leaves = list(cuts), slots, leaves
        self.grouped = any(leaves)  # else a super-block is a block, and left to its backward whatever the mode
        self.spans = spans = Spans(costs, cuts, unit)
        self.regions = [spans.region(option) for option in costs.options]
        self.closing = [spans.region(option, closing=True) for option in costs.options]
        size = len(cuts) - 1
        self.best, self.zero = Slots((size + 1, size + 1), slots), gate(slots)
        self.chosen: dict[tuple[int, int, int], Choice] = {}
        for length in range(1, size + 1):
            start = np.arange(size - length + 1)
            row = self.best.row(start, start + length)
            for _, _, total in self._candidates(start, length):
                np.minimum(row, total.min(1), out=row)
            self.best.cells[start, start + length, slots + 1 :] = row

    def needed(self, of_bytes: Floats) -> Times:
        """Rows of 0, infinite below so many bytes."""
        return self.zero.shifted(0, by=self.spans.ceil(of_bytes, self.slots))

    def choose(self, start: int, stop: int, memory: int) -> Choice:
        """The first region of the fastest plan of start … stop in so many slots."""
        key = (start, stop, memory)
        if key not in self.chosen:
            self.chosen[key] = least(self._candidates(np.array([start]), stop - start), memory)
        return self.chosen[key]

    def _candidates(self, start: Ints, length: int) -> Iterator[tuple[Region | None, Ints, Times]]:
        """(region, where it ends, seconds[i, k, m]) for all that start … start + length may begin with."""
        i, stop = start[:, None], start + length
        if length > 1:
            yield from self._splits(i, stop[:, None], length)
        for region in self.closing[: None if length > 1 or self.grouped else 1]:
            if length == 1 or _swept(region):
                seconds = region.seconds[start, stop] + self.spans.redo_closing[start, stop]
                peak = region.backward[start, stop] + self.spans.gradients[stop]
                peak = np.maximum(peak, region.forward[start, stop] + self.spans.x[stop])
                total = self.needed(peak) + seconds.astype(np.float32)[:, None]
                yield region, stop[:, None], total[:, None]
        if length == 1:
            found = [(at, leaf) for at in start.tolist() if (leaf := self.leaves[at])]
            if found:
                rows = np.full((len(start), 1, self.slots + 1), np.inf, np.float32)
                for at, leaf in found:
                    rows[at - start[0], 0] = leaf.best.row(0, len(leaf.cuts) - 1)
                yield None, stop[:, None], rows

    def _splits(self, i: Ints, j: Ints, length: int) -> Iterator[tuple[Region, Ints, Times]]:
        spans = self.spans
        for region in (*self.regions, spans.bare):
            swept = region is spans.bare or _swept(region)  # those that keep inputs go one by one
            k = i + np.arange(1, length if swept else 2)
            peak = np.maximum(region.backward[i, k] + spans.gradients[j], region.forward[i, k] + spans.x[j])
            total = self.best.shifted(k, j, by=region.shift[i, k])
            total += self.needed(peak)
            seconds = spans.redo[i, k]
            if region is spans.bare:
                total += self.best.shifted(i, k, by=spans.gradient_slots[j] - spans.gradient_slots[k])
            else:
                seconds = seconds + region.seconds[i, k]
            total += seconds.astype(np.float32)[:, :, None]
            yield region, k, total


def least(candidates: Iterator[tuple[Region | None, Ints, Times]], memory: int) -> Choice:
    """The candidate of least time in so many slots."""
    found: tuple[float, Region | None, int] = (np.inf, None, -1)
    for region, k, total in candidates:
        at = int(total[0, :, memory].argmin())
        if total[0, at, memory] < found[0]:
            found = (float(total[0, at, memory]), region, int(k[0, at]))
    return found[1], found[2]


def _swept(region: Region) -> bool:
    return region.option is not None and region.option.swept
