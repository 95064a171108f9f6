"""Inside one group: who stands in which row and column. No crossing is minimised: what ran first stands first, so the
picture is the same for every step of a training, and for a model and its neighbour."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from gradpath.report._layout._lift import OUTSIDE, Wiring

MOST_COLUMNS = 8
"""In a row; of more items side by side, the others stand in rows of their own below."""


def rows_and_columns(size: int, wiring: Wiring) -> tuple[list[int], list[int]]:
    """Row and column of each of `size` items."""
    sources: list[list[int]] = [[] for _ in range(size)]
    targets: list[list[int]] = [[] for _ in range(size)]
    for strand in wiring.strands.values():
        for end in strand.ends:
            if OUTSIDE != strand.begin < end:  # what leads back (a graph without an order of its own) ranks nobody
                sources[end].append(strand.begin)
                targets[strand.begin].append(end)
    ranks, heights = _ranks(sources, targets, _at_ports(wiring))
    return _placed(ranks, heights, sources)


def _at_ports(wiring: Wiring) -> set[int]:
    """Items that a port feeds."""
    return {end for strand in wiring.strands.values() if strand.begin == OUTSIDE for end in strand.ends}


def _ranks(
    sources: Sequence[list[int]], targets: Sequence[list[int]], at_ports: set[int]
) -> tuple[list[int], list[int]]:
    """Longest way from the top to each item, and from it to the bottom. What nothing feeds stands just above what it
    feeds first."""
    size = len(sources)
    ranks, heights = [0] * size, [0] * size
    for i in range(size):
        ranks[i] = max((ranks[s] + 1 for s in sources[i]), default=0)
    for i in range(size - 1, -1, -1):
        heights[i] = max((heights[t] + 1 for t in targets[i]), default=0)
        if targets[i] and not sources[i] and i not in at_ports:
            ranks[i] = max(min(ranks[t] for t in targets[i]) - 1, 0)
    return ranks, heights


def _placed(ranks: list[int], heights: list[int], sources: Sequence[list[int]]) -> tuple[list[int], list[int]]:
    """Rows are ranks, wide ranks wrapped. An item stands below the leftmost of its sources if that place is free, else
    right of it; of two that want a place, the one with more to come below gets it, then the one that ran first."""
    in_rank: dict[int, list[int]] = defaultdict(list)
    for i, rank in enumerate(ranks):
        in_rank[rank].append(i)
    rows, columns, row = [0] * len(ranks), [0] * len(ranks), 0
    for rank in sorted(in_rank):
        wanted = {i: min((columns[s] for s in sources[i]), default=0) for i in in_rank[rank]}
        free = 0
        for i in sorted(in_rank[rank], key=lambda i: (wanted[i], -heights[i], i)):
            column = max(wanted[i], free)
            if column == MOST_COLUMNS:
                row, column = row + 1, 0
            rows[i], columns[i], free = row, column, column + 1
        row += 1
    return rows, columns
