"""Requests to a running job: a signal, or a touched file in its folder."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradpath.errors import TraceError
from gradpath.record import TRACE_REQUEST

_INSTEAD = f"touch the file {TRACE_REQUEST} in the folder instead"
_LOOK_EVERY = 1.0
"""Seconds between looks for the file: a network's file system takes milliseconds to answer."""


class Requests:
    """Tells whether a trace was asked for since the last question."""

    def __init__(self, folder: Path | None, with_signal: bool, clock: Callable[[], float]) -> None:
        self._file = None if folder is None else folder / TRACE_REQUEST
        self._clock, self._looked = clock, clock()
        self._signalled = False
        self._before: Any = None
        self._number: int | None = self._listen() if with_signal else None

    def _listen(self) -> int:
        number = getattr(signal, "SIGUSR1", None)
        if number is None:
            raise TraceError(f"signal=True: this platform has no SIGUSR1; {_INSTEAD}")
        try:
            self._before = signal.signal(number, self._on_signal)
        except ValueError as error:  # signal handlers can be set in the main thread only
            raise TraceError(f"signal=True: {error}; {_INSTEAD}") from error
        return int(number)

    def _on_signal(self, number: int, frame: Any) -> None:
        self._signalled = True

    def asked(self) -> bool:
        asked, self._signalled = self._signalled, False
        return self._touched() or asked

    def _touched(self) -> bool:
        now = self._clock()
        if self._file is None or now - self._looked < _LOOK_EVERY:
            return False
        self._looked = now
        try:
            self._file.unlink()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Put the signal's handler back."""
        if self._number is not None:
            signal.signal(self._number, self._before if self._before is not None else signal.SIG_DFL)
            self._number = None
