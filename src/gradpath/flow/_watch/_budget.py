"""How often to sample, so that time inside the probes stays within a share of the step time. All of it measured."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable

LONGEST = 1000
"""Steps between samples at most."""
_START = (1, 4, 3, 3)
"""Steps from one of the first samples to the next where samples are compared with steps without: the first of each
kind is left out (it compiles, and fills caches)."""
_REMEMBERED, _KNOWN = 64, 2
_LONG = 5
_EPSILON = 1e-6  # 15.0000001 steps are 15


class Budget:
    """Measures steps and samples with a clock, and says how long to wait for the next sample.

    In eager mode on a CPU the probes are timed themselves. Inside compiled code they cannot be, and on a GPU they run
    later than the clock: there (`by_difference`) a sample costs the difference between steps with and without it,
    median against median, plus the spread of the former.
    """

    def __init__(self, max_overhead: float, every: int | None, clock: Callable[[], float]) -> None:
        self.max_overhead, self.every, self.clock = max_overhead, every, clock
        self.by_difference = False
        self.inside = 0.0
        """Seconds inside probes since the last step; hooks add to it."""
        self._samples: deque[float] = deque(maxlen=8)  # cost of a sampled step's probes and report
        self._sampled: deque[float] = deque(maxlen=8)  # seconds of the user's step, probes included
        self._plain: deque[float] = deque(maxlen=_REMEMBERED)  # the same without
        self._idle: deque[float] = deque(maxlen=_REMEMBERED)  # cost of a step that is not sampled
        self._seen = {True: 0, False: 0}
        self._total, self._spent = 0.0, 0.0
        self._began = self._left = clock()

    def enter(self) -> None:
        """The user has called `step`: what went before was theirs, but for the probes."""
        self._began = self.clock()

    def leave(self, sampled: bool) -> None:
        """`step` is over: book its time and that of the user's step before it."""
        now = self.clock()
        interval, own = self._step_seconds(), now - self._began
        self._seen[sampled] += 1
        if self._seen[sampled] > 1:
            (self._sampled if sampled else self._plain).append(interval)
            (self._samples if sampled else self._idle).append(own + self.inside)
            hidden = self._difference() - self.inside if sampled and self.by_difference else 0.0
            self._total += interval + own
            self._spent += own + self.inside + max(hidden, 0.0)
        self._left, self.inside = now, 0.0

    def _step_seconds(self) -> float:
        """Seconds of the user's step; a far longer one held something else (validation, saving): it counts as one."""
        interval = self._began - self._left
        if len(self._plain) < _KNOWN:
            return interval
        usual = statistics.median(self._plain)
        return usual if interval > _LONG * usual else interval

    def _difference(self) -> float:
        """Seconds by which a sampled step is longer than another one."""
        if len(self._sampled) < _KNOWN or len(self._plain) < _KNOWN:
            return 0.0
        middle = statistics.median(self._sampled)
        spread = statistics.median(abs(value - middle) for value in self._sampled)
        return max(0.0, middle + spread - statistics.median(self._plain))

    @property
    def sample_seconds(self) -> float | None:
        """Cost of one sample: median of the last ones; None before it is known."""
        if not self._samples:
            return None
        return max(statistics.median(self._samples), self._difference() if self.by_difference else 0.0)

    @property
    def overhead(self) -> float | None:
        """Time inside the probes over step time so far; None before it is known."""
        return self._spent / self._total if self._total > 0 else None

    def period(self) -> int:
        """Steps from this sample to the next."""
        if self.every is not None:
            return self.every
        number = self._seen[True]  # samples before this one
        if self.by_difference and number < len(_START):
            return _START[number]
        return self._affordable()

    def _affordable(self) -> int:
        steps, cost = self._plain or self._sampled, self.sample_seconds
        if cost is None or not steps:
            return 1
        idle = statistics.median(self._idle) if self._idle else 0.0
        allowed = self.max_overhead * statistics.median(steps) - idle
        if allowed <= 0:
            return LONGEST
        debt = self._spent + cost - self.max_overhead * self._total  # the first samples are dear: they are paid back
        steps_needed = math.ceil(max(cost - idle, debt) / allowed - _EPSILON)
        return min(max(steps_needed, 1), LONGEST)
