"""A watched training run: one header, then one report for each sampled step, as JSON lines in a growing file.

Every line is a record with the header of a record file (`schema`, `kind`, …), so each fits the published schema by
itself. Lists of numbers run along `WatchHeader.layers`. Norms are stored as log10, as everywhere: -inf is an exact
zero, NaN is "not finite", None is "did not arrive".
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gradpath.errors import RecordError
from gradpath.record._base import (
    DEFINITIONS,
    KINDS,
    SCHEMA_VERSION,
    Record,
    decode,
)

WATCH_FILE = "watch.jsonl"
TRACE_REQUEST = "trace-now"
"""Touch a file of this name in the run's folder, and the next step is traced."""
MOVED = 3.0
"""A gradient RMS this many times larger or smaller than its own running median has moved."""
FEWEST = 4
"""Earlier reports that a running median needs."""

Quantity = Literal["gradient", "activation", "parameter gradient"]


@dataclass(frozen=True, kw_only=True)
class WatchLayer(Record):
    """A module that owns parameters."""

    scope: str
    """The module's name, as in `model.named_modules()`."""
    module: str
    """Class name, e.g. 'Conv2d'."""
    weighted: bool
    """A convolution or a linear layer: what depth counts."""


@dataclass(frozen=True, kw_only=True)
class WatchHeader(Record, kind="watch"):
    """What is watched, on what, and what is not: the first line of the file."""

    model: str
    layers: tuple[WatchLayer, ...]
    system: str
    device: str
    threads: int
    python: str
    torch: str
    rank: int
    world_size: int
    max_overhead: float
    """The bound asked for: time inside the probes over step time."""
    every: int | None
    """A fixed period in steps; None where the period follows `max_overhead`."""
    notes: tuple[str, ...] = ()
    """What the numbers mean here: rank-local, sharded, what is not supported."""


@dataclass(frozen=True, kw_only=True)
class WatchReport(Record, kind="watch-report"):
    """One sampled step. RMS: root mean square over the elements of a layer's output, over all its calls and
    micro-batches in the step, as for `Layer`; unscaled where there is a gradient scaler."""

    step: int
    """Number of the optimiser step, from 1."""
    seconds: float
    """Since the watch began."""
    losses: tuple[float, ...]
    """Of the steps since the last report, this one last; empty where `step` was given none."""
    log10_activation_rms: tuple[float | None, ...]
    log10_gradient_rms: tuple[float | None, ...]
    """Of the gradient of the loss at the output; None where none arrived."""
    log10_parameter_gradient_norm: tuple[float | None, ...]
    """Of all the module's own parameters, summed over the micro-batches, before clipping."""
    learning_rate: float | None = None
    """Of the optimiser's first group."""
    loss_scale: float | None = None
    """What the loss had been multiplied by in this step; the values above are divided by it."""
    skipped_steps: tuple[int, ...] = ()
    """Steps since the last report whose gradients were not finite, so that the scaler left them out."""
    period: int = 1
    """Steps until the next sample."""
    overhead: float | None = None
    """Time inside the probes over step time so far, compiling samples left out; None before it is known."""
    sample_seconds: float | None = None
    """Time inside the probes for one sample: median of the last ones."""
    compiled: bool = False
    """The probes ran inside compiled code."""

    @property
    def loss(self) -> float | None:
        return self.losses[-1] if self.losses else None


@dataclass(frozen=True, kw_only=True)
class WatchEvent(Record, kind="watch-event"):
    """Something that happened between reports."""

    step: int
    what: Literal["spike", "trace", "warning"]
    text: str
    file: str | None = None
    """In the run's folder."""


@dataclass(frozen=True, kw_only=True)
class Move(Record):
    """A layer whose value left its own running median."""

    scope: str
    step: int
    quantity: Quantity
    ratio: float
    """Value over the median of the reports before; NaN where the value is not finite."""

    @property
    def size(self) -> float:
        """How far, in either direction: the larger of ratio and 1/ratio; infinite where it is not finite."""
        if not math.isfinite(self.ratio) or self.ratio == 0:
            return math.inf
        return max(self.ratio, 1 / self.ratio)


@dataclass(frozen=True, kw_only=True)
class Spike(Record, kind="spike"):
    """The last reports before a loss spike, and the layer that moved first."""

    header: WatchHeader
    step: int
    loss: float
    median_loss: float | None
    """Of the steps before; None where there were none."""
    first: Move | None
    """Earliest report in which a layer moved by more than 3 times, and of its layers the one that moved furthest;
    None where none did."""
    reports: tuple[WatchReport, ...]


WatchRecord = WatchHeader | WatchReport | WatchEvent
_LINES: dict[str, type[Record]] = {"watch": WatchHeader, "watch-report": WatchReport, "watch-event": WatchEvent}


def moves(header: WatchHeader, before: Sequence[WatchReport], now: WatchReport) -> list[Move]:
    """Every layer's gradient and activation RMS over the median of the reports before; furthest first."""
    found = []
    for quantity, of in (("gradient", _gradients), ("activation", _activations)):
        history = [of(report) for report in before]
        for i, layer in enumerate(header.layers):
            ratio = _ratio([values[i] for values in history], of(now)[i])
            if ratio is not None:
                found.append(Move(scope=layer.scope, step=now.step, quantity=quantity, ratio=ratio))  # type: ignore[arg-type]
    return sorted(found, key=lambda move: move.size, reverse=True)


def first_move(header: WatchHeader, reports: Sequence[WatchReport]) -> Move | None:
    """The layer that moved first: earliest report with a move above `MOVED`, and its largest."""
    for i in range(FEWEST, len(reports)):
        found = moves(header, reports[:i], reports[i])
        if found and found[0].size > MOVED:
            return found[0]
    return None


def _gradients(report: WatchReport) -> Sequence[float | None]:
    return report.log10_gradient_rms


def _activations(report: WatchReport) -> Sequence[float | None]:
    return report.log10_activation_rms


def _ratio(before: Iterable[float | None], now: float | None) -> float | None:
    """Value over the median of earlier finite ones; None where there are too few, NaN where it is not finite."""
    known = [value for value in before if value is not None and math.isfinite(value)]
    if now is None or len(known) < FEWEST:
        return None
    difference = now - statistics.median(known)
    return 10**difference if abs(difference) < 300 else (0.0 if difference < 0 else math.nan)


def watch_line(record: Record) -> str:
    """A record as one line of the file, its newline included."""
    from gradpath import __version__

    kind = next(kind for kind, cls in KINDS.items() if cls is type(record))
    header = {"schema": SCHEMA_VERSION, "kind": kind, "definitions": DEFINITIONS, "gradpath": __version__}
    text = json.dumps(header | record.to_dict(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text + "\n"


def from_line(line: str, where: str) -> WatchRecord:
    """The record in one line. Raises RecordError where it is none of a watched run."""
    try:
        data = json.loads(line)
        kind = data.pop("kind")
        schema = data.pop("schema")
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError) as error:
        raise RecordError(f"{where}: is no line of a watched run ({error})") from error
    if kind not in _LINES or type(schema) is not int:
        raise RecordError(f"{where}: kind {kind!r} is none of a watched run ({', '.join(_LINES)})")
    if schema > SCHEMA_VERSION:
        raise RecordError(f"{where}: is of schema {schema}, newer than {SCHEMA_VERSION}: upgrade gradpath to read it")
    fields = {key: value for key, value in data.items() if key not in ("definitions", "gradpath")}
    record: WatchRecord = decode(_LINES[kind], fields, where)
    return record


class WatchLog:
    """Reads a growing file: `poll()` takes in what was written since. A half-written last line waits for its end; a
    broken line before others is counted in `broken` and left out.

    A second header (the job was started again) begins anew, keeping the reports if the layers are the same.
    """

    def __init__(self, path: Path) -> None:
        self.path = path / WATCH_FILE if path.is_dir() else path
        self.header: WatchHeader | None = None
        self.reports: list[WatchReport] = []
        self.events: list[WatchEvent] = []
        self.broken = 0
        self._offset = 0
        self._lines = 0

    def poll(self) -> int:
        """Take in whole new lines; returns how many. Raises RecordError where the file cannot be read."""
        try:
            with self.path.open("rb") as file:
                if file.seek(0, 2) < self._offset:  # a new file has taken its place
                    self._offset, self._lines = 0, 0
                file.seek(self._offset)
                fresh = file.read()
        except OSError as error:
            raise RecordError(
                f"{self.path}: cannot be read ({error.strerror}): name a folder given to gp.watch(..., folder=...)"
            ) from error
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._offset += len(whole)
        lines = whole.decode("utf-8", "replace").splitlines()
        for line in filter(str.strip, lines):
            self._take(line)
        return len(lines)

    def _take(self, line: str) -> None:
        self._lines += 1
        try:
            record = from_line(line, f"{self.path.name}:{self._lines}")
            if isinstance(record, WatchReport):
                self._check(record)
        except RecordError as error:
            if "newer than" in str(error):
                raise
            self.broken += 1
            return
        if isinstance(record, WatchHeader):
            self._begin(record)
        elif isinstance(record, WatchReport):
            self.reports.append(record)
        else:
            self.events.append(record)

    def _begin(self, header: WatchHeader) -> None:
        if self.header is not None and self.header.layers != header.layers:
            self.reports, self.events = [], []
        self.header = header

    def _check(self, report: WatchReport) -> None:
        layers = -1 if self.header is None else len(self.header.layers)
        columns = (report.log10_activation_rms, report.log10_gradient_rms, report.log10_parameter_gradient_norm)
        if any(len(column) != layers for column in columns):
            raise RecordError(f"{self.path.name}: a report does not fit the header before it")


def read_watch(path: str | Path) -> WatchLog:
    """A watched run as it stands: its folder or its file. Raises RecordError where there is none."""
    log = WatchLog(Path(path))
    log.poll()
    if log.header is None:
        raise RecordError(f"{log.path}: holds no watched run yet (its first line is not complete)")
    return log
