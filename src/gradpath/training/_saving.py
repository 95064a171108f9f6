"""What a loop does after every step of a run that is kept: a snapshot when one is due, a stop when one is asked for."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from gradpath.errors import UserError, first_line
from gradpath.record import RunRecord
from gradpath.training._distributed import Team
from gradpath.training._folder import RUN_FILE
from gradpath.training._loop import Loop
from gradpath.training._snapshots import Snapshots

_MOST_OF_THE_TIME = 0.01
"""What snapshots may take: after one that took t seconds there is none for 100 t."""
_AGREE_STEPS = 10
"""Processes ask each other this often whether one of them was told to stop."""


class Saver:
    """Called by a loop after every step. Without snapshots, as in all processes but the first, it only stops the loop.

    record: of the run, with all that is known before the first step. about: goes into every snapshot beside the
    loop's state. every: seconds; 0 writes after every step.
    """

    def __init__(
        self,
        loop: Loop,
        record: RunRecord,
        about: str,
        snapshots: Snapshots | None,
        every: float,
        team: Team,
        told_to_stop: Callable[[], bool],
    ) -> None:
        self._loop, self._record, self._about, self._snapshots = loop, record, about, snapshots
        self._every, self._team, self._told_to_stop = every, team, told_to_stop
        self._epoch = loop.epoch
        self._took, self._ended = 0.0, time.perf_counter()

    def __call__(self, loop: Loop) -> None:
        closed = loop.epoch != self._epoch
        self._epoch = loop.epoch
        stop = self._stops(loop, closed)
        if stop or self._due(closed):
            self.write(closed)
        if stop:
            raise KeyboardInterrupt

    def _stops(self, loop: Loop, closed: bool) -> bool:
        if self._team.size == 1:
            return self._told_to_stop()
        agreeing = closed or loop.outcome.steps % _AGREE_STEPS == 0
        return agreeing and self._team.any(self._told_to_stop(), loop.device)

    def _due(self, closed: bool) -> bool:
        if self._snapshots is None or self._every == 0:
            return self._snapshots is not None
        waited = time.perf_counter() - self._ended
        return waited * _MOST_OF_THE_TIME >= self._took and (closed or waited >= self._every)

    def write(self, closed: bool) -> None:
        """A snapshot, and where an epoch was closed the record so far. Training goes on where the disk is full."""
        if self._snapshots is None:
            return
        begun, steps = time.perf_counter(), self._loop.outcome.steps
        try:
            self._snapshots.write({"about": self._about, "loop": self._loop.state()}, steps)
            if closed:
                self._so_far().save(self._snapshots.folder.parent / RUN_FILE)
        except (OSError, UserError) as error:
            went = f"no snapshot after step {steps}: {first_line(error)}"
            warnings.warn(f"{went}; training goes on, the snapshot before is kept", RuntimeWarning, stacklevel=2)
        self._ended = time.perf_counter()
        self._took = self._ended - begun

    def _so_far(self) -> RunRecord:
        """The run as it would be if it ended here."""
        outcome = self._loop.outcome
        epochs, best = tuple(outcome.epochs), self._loop.best.epoch
        return replace(self._record, epochs=epochs, steps=outcome.steps, best_epoch=best, interrupted=True)


@contextmanager
def noted_signals() -> Iterator[Callable[[], bool]]:
    """Within it the first Ctrl-C or SIGTERM is noted, the second raises KeyboardInterrupt. Yields whether there was
    one. Signals that are ignored stay so; in other threads than the main one nothing changes."""
    came: list[int] = []

    def note(number: int, frame: Any) -> None:
        came.append(number)
        if len(came) > 1:
            raise KeyboardInterrupt

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        wanted = (signal.SIGINT, signal.SIGTERM) if os.name != "nt" else (signal.SIGINT,)
        before = {number: signal.getsignal(number) for number in wanted}
        before = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    try:
        for number in before:
            signal.signal(number, note)
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
