"""The last reports and losses, and what to say of them when the loss jumps."""

from __future__ import annotations

import math
import statistics
from collections import deque

from gradpath.record import Spike, WatchHeader, WatchReport, first_move

WINDOW, FEWEST = 50, 10
"""Losses that the median is taken of, and how many it needs."""


class Ring:
    """Keeps the last `size` reports; tells a spike: a loss above `factor` times the median of the last ones, or one
    that is not finite. After a spike, `WINDOW` more losses pass before the next is told."""

    def __init__(self, header: WatchHeader, size: int, factor: float) -> None:
        self.header, self.factor = header, factor
        self.reports: deque[WatchReport] = deque(maxlen=size)
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._quiet = 0

    def loss(self, step: int, value: float) -> Spike | None:
        """Take in one step's loss; returns the spike that it is."""
        known = [loss for loss in self._losses if math.isfinite(loss)]
        median = statistics.median(known) if len(known) >= FEWEST else None
        self._losses.append(value)
        self._quiet = max(0, self._quiet - 1)
        jumped = median is not None and value > self.factor * median > 0
        if self._quiet or not (jumped or not math.isfinite(value)):
            return None
        self._quiet = WINDOW
        return self._spike(step, value, median)

    def _spike(self, step: int, loss: float, median: float | None) -> Spike:
        reports = tuple(self.reports)
        return Spike(
            header=self.header,
            step=step,
            loss=loss,
            median_loss=median,
            first=first_move(self.header, reports),
            reports=reports,
        )


def spike_text(spike: Spike) -> str:
    """'loss 7.1, 12 times the median 0.59; blocks.3.conv1 moved first, at step 120: gradient ×41'."""
    if spike.median_loss and math.isfinite(spike.loss):
        size = f"loss {spike.loss:.3g}, {spike.loss / spike.median_loss:.3g} times the median {spike.median_loss:.3g}"
    else:
        size = f"loss {spike.loss:.3g}"
    if spike.first is None:
        return f"{size}; no layer moved before it in the last {len(spike.reports)} reports"
    move = spike.first
    return f"{size}; {move.scope} moved first, at step {move.step}: {move.quantity} ×{move.ratio:.3g}"
