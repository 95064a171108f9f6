"""How much memory a call takes: the growth of torch's own allocator, exact on the CPU and on CUDA.

On the CPU it is read from the allocation trace of torch's profiler, on CUDA (and what has CUDA's counters) from the
allocator's statistics, whose peak is thereby reset. All numbers are bytes of tensors beyond what was allocated when the
meter started; resident memory of the process is larger, by what the C library's heap wastes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch.autograd.profiler import record_function

from gradpath.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Span:
    """Between two marks: bytes alive as it starts and as it ends, and the most in between."""

    name: str
    start_bytes: int
    peak_bytes: int
    stop_bytes: int


class Meter(Protocol):
    """A running measurement. The span before the first mark is named 'start'."""

    spans: list[Span]
    """Complete once the measurement has ended."""

    def mark(self, name: str) -> None:
        """End the current span and begin another."""
        ...


@contextmanager
def metered(device: torch.device) -> Iterator[Meter]:
    """Measures the allocator's growth on `device` inside. One at a time; no other profiler may run.

    Raises UserError on devices whose allocator cannot be read (MPS), and where torch's profiler already runs.
    """
    if device.type == "cpu":
        with _cpu_meter() as meter:
            yield meter
        return
    backend = getattr(torch, device.type, None)
    if not hasattr(backend, "max_memory_allocated"):
        raise UserError(f"memory cannot be measured on {device.type}: measure on the CPU or on CUDA")
    counters = _Counters(backend, device)
    try:
        yield counters
    finally:
        counters.mark("")


def growth(call: Callable[[], T], device: torch.device) -> tuple[T, Span]:
    """What the call returns, and the span from its start to its end with the result still held."""
    with metered(device) as meter:
        result = call()
        meter.mark("")
    return result, meter.spans[0]


class _Counters:
    """Reads the counters that a device's caching allocator keeps."""

    def __init__(self, backend: Any, device: torch.device) -> None:
        self.backend, self.device, self.spans = backend, device, list[Span]()
        backend.synchronize(device)
        self.base = self.live = int(backend.memory_allocated(device))
        self.name = "start"
        backend.reset_peak_memory_stats(device)

    def mark(self, name: str) -> None:
        live = int(self.backend.memory_allocated(self.device))
        peak = int(self.backend.max_memory_allocated(self.device))
        self.spans.append(Span(self.name, self.live - self.base, peak - self.base, live - self.base))
        self.backend.reset_peak_memory_stats(self.device)
        self.name, self.live = name, live


_MARK = "gradpath.mark "


class _Trace:
    def __init__(self) -> None:
        self.spans: list[Span] = []

    def mark(self, name: str) -> None:
        _record_calls(True)
        with record_function(_MARK + name):
            pass
        _record_calls(False)


@contextmanager
def _cpu_meter() -> Iterator[_Trace]:
    trace = _Trace()
    _start_profiler()
    _record_calls(False)
    try:
        yield trace
    finally:
        _record_calls(True)
        trace.spans = spans_of(_stop_profiler())


def spans_of(events: Iterable[tuple[str, int]]) -> list[Span]:
    """Spans from (name, 0) of a mark and ("", bytes) of an allocation (negative when freed), in order of time."""
    spans: list[Span] = []
    name, start, live, peak = "start", 0, 0, 0
    for mark, size in events:
        if not mark:
            live += size
            peak = max(peak, live)
            continue
        spans.append(Span(name, start, peak, live))
        name, start, peak = mark.removeprefix(_MARK), live, live
    spans.append(Span(name, start, peak, live))
    return spans


# ------------------------------------------------------------ torch's private interface, all of it
# The older of torch's two profilers (the same in 2.4 and 2.13): the newer, Kineto, writes lines of its own to stderr.


def _start_profiler() -> None:
    memory, other = True, False  # other: shapes, stacks, operations counted, modules
    from torch.autograd import ProfilerConfig, ProfilerState  # type: ignore[attr-defined]

    experimental = torch._C._profiler._ExperimentalConfig()
    config = ProfilerConfig(ProfilerState.CPU, other, memory, other, other, other, experimental)
    try:
        torch._C._autograd._enable_profiler_legacy(config)
    except RuntimeError as error:
        raise UserError("memory cannot be measured while torch's profiler runs: stop it first") from error


def _record_calls(wanted: bool) -> None:
    """Whether the trace holds every operation, beside allocations: of a deep net these take gigabytes."""
    torch._C._autograd._enable_record_function(wanted)


def _stop_profiler() -> list[tuple[str, int]]:
    threads = torch._C._autograd._disable_profiler_legacy()
    begin = next(event for thread in threads for event in thread if event.name() == "__start_profile")
    found = [_events(thread) for thread in threads]
    if sum(map(bool, found)) > 1:  # several threads allocated: merged by their clocks
        return [
            (name, size)
            for _, name, size in sorted(
                ((begin.cpu_elapsed_us(event), name, size) for thread in found for event, name, size in thread),
                key=lambda timed: timed[0],
            )
        ]
    return [(name, size) for thread in found for _, name, size in thread]


def _events(thread: Iterable[Any]) -> list[tuple[Any, str, int]]:
    """Marks and allocations of one thread: (event, name, bytes)."""
    found: list[tuple[Any, str, int]] = []
    for event in thread:
        kind = event.kind()
        if kind == "memory_alloc":
            if size := event.cpu_memory_usage():
                found.append((event, "", size))
        elif kind == "push" and event.name().startswith(_MARK):
            found.append((event, event.name(), 0))
    return found
