"""Lanes beside the boxes: intervals of rows, coloured."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

Interval = tuple[int, int]
"""First and last row of a lane's way, first < last. Another one may begin in the row in which it ends."""


def colour(intervals: Sequence[Interval]) -> list[int]:
    """A lane for each interval, so that those of one lane do not overlap; as few lanes as there can be.

    Among intervals that hang together, one that lies inside another gets the lane nearer to the boxes.
    """
    lanes = [0] * len(intervals)
    busy: list[tuple[int, int]] = []  # by minus the row where it begins, going up
    free: list[int] = []
    cluster: list[int] = []
    used = 0
    for i in sorted(range(len(intervals)), key=lambda i: (-intervals[i][1], intervals[i][0], i)):
        begin, end = intervals[i]
        while busy and -busy[0][0] >= end:
            heappush(free, heappop(busy)[1])
        if not busy:
            _flip(lanes, cluster, used)
            free, cluster, used = [], [], 0
        if not free:
            free, used = [used], used + 1
        lanes[i] = heappop(free)
        heappush(busy, (-begin, lanes[i]))
        cluster.append(i)
    _flip(lanes, cluster, used)
    return lanes


def _flip(lanes: list[int], cluster: list[int], used: int) -> None:
    for i in cluster:
        lanes[i] = used - 1 - lanes[i]
