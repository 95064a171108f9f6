"""How long calls take: the least of several rounds, taken in turns, so that a busy moment hits no one call alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch

T = TypeVar("T")
MOST_ROUNDS = 7


class Stopwatch:
    """Seconds of single calls: CPU seconds with one thread, else the wall's; events on CUDA."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        alone = device.type == "cpu" and torch.get_num_threads() == 1
        self.now = time.process_time if alone else time.perf_counter

    def timed(self, call: Callable[[], T]) -> tuple[T, float]:
        """What a call returns, and its seconds."""
        if self.device.type != "cuda":
            start = self.now()
            found = call()
            return found, self.now() - start
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        begin.record()
        found = call()
        end.record()
        torch.cuda.synchronize(self.device)
        return found, float(begin.elapsed_time(end)) / 1000

    def seconds(self, call: Callable[[], Any]) -> float:
        """Of one call."""
        return self.timed(call)[1]


def best_of_rounds(
    known: dict[str, float], a_round: Callable[[], dict[str, float]], within_seconds: float
) -> dict[str, float]:
    """The least of each number over a round under the meter (`known`), one without, and the others that fit into the
    wall's seconds: of one round alone, a busy moment could make a block seem ten times as slow as its neighbours."""
    end, found = time.perf_counter() + within_seconds, [known]
    longest = sum(known.values())
    while len(found) == 1 or (len(found) <= MOST_ROUNDS and time.perf_counter() + longest < end):
        start = time.perf_counter()
        found.append(a_round())
        longest = max(longest, time.perf_counter() - start)
    return {name: min(one[name] for one in found) for name in known}
