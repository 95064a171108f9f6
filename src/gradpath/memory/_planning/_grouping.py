"""Super-blocks: what the dynamic program counts as one, so that its size does not grow with depth."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

import numpy as np

from gradpath.memory._planning._chain_costs import ChainCosts
from gradpath.memory._planning._redo_table import RedoTable


def redo_table(costs: ChainCosts, unit: float, slots: int, limit: int) -> RedoTable:
    """The table of a whole chain, at most `limit` super-blocks a level: their own tables are made on the way."""
    known: dict[tuple[int, ...], RedoTable] = {}

    def table(start: int, stop: int) -> RedoTable:  # calls itself once a level: log L / log limit deep
        cuts = group(costs, start, stop, limit)
        leaves = [leaf(a, b) if b - a > 1 else None for a, b in pairwise(cuts)]
        return RedoTable(costs, cuts, unit, slots, leaves)

    def leaf(start: int, stop: int) -> RedoTable:
        key = tuple(costs.signatures[start:stop])
        if key not in known:
            known[key] = table(start, stop)
        return known[key]

    return table(0, len(costs))


def group(costs: ChainCosts, start: int, stop: int, limit: int) -> list[int]:
    """Cuts start … stop into at most `limit` super-blocks of about equal bytes.

    Never across signatures, unless there are more runs of equal blocks than super-blocks.
    """
    if stop - start <= limit:
        return list(range(start, stop + 1))
    at, runs = start, []
    for _, run in groupby(costs.signatures[start:stop]):
        length = len(list(run))
        runs.append((at, at + length))
        at += length
    sizes = costs.x[1:]
    if len(runs) > limit:
        return equal_bytes(sizes, start, stop, limit)
    spare = limit - len(runs)
    total = float(sizes[start:stop].sum())
    cuts = [start]
    for a, b in runs:
        parts = min(b - a, 1 + int(spare * float(sizes[a:b].sum()) / total))
        cuts += np.rint(np.linspace(a, b, parts + 1)).astype(int).tolist()[1:]
    return cuts


def equal_bytes(sizes: Sequence[float] | np.ndarray, start: int, stop: int, limit: int) -> list[int]:
    """Cuts at equal shares of the bytes and of the blocks, half of each: one block may hold nearly all bytes, and a
    super-block of all others would not become smaller from level to level."""
    bytes_each = np.asarray(sizes[start:stop])
    upto = np.cumsum(bytes_each / bytes_each.mean() + 1)
    ends = np.searchsorted(upto, upto[-1] * np.arange(1, limit) / limit) + 1
    return [start, *sorted({int(end) + start for end in ends if 0 < end < stop - start}), stop]
