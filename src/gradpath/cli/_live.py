"""A running job in the terminal: a live table where there is one, plain lines in pipes and files. On stderr."""

from __future__ import annotations

import os
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gradpath import units
from gradpath.record import DataInfo
from gradpath.report._facts import divergence_place
from gradpath.training import EpochDone, Event, NetDone, NetPlanned, NetStarted, Planned, Progress, Said, SeedStarted

_REDRAWS_PER_SECOND = 2  # each costs some 10 ms of a core that the training wants


@dataclass
class Row:
    """What is known of one net."""

    name: str
    state: str = "waiting"
    done: float = 0.0
    loss: str = ""
    train: str = ""
    valid: str = ""
    test: str = ""
    ratio: str = ""


class Display(AbstractContextManager["Display"]):
    """Listens to events; `with` shows the live view and takes it down again, also after Ctrl-C."""

    def __init__(self, quiet: bool = False) -> None:
        self.rows: dict[str, Row] = {}
        self._expected: dict[str, float] = {}
        self._told: set[str] = set()
        self._began = time.perf_counter()
        self._quiet = quiet
        console = Console(stderr=True, highlight=False)
        live = console.is_terminal and not console.is_dumb_terminal and not quiet and "CI" not in os.environ
        self._live = (
            Live(get_renderable=self._table, console=console, refresh_per_second=_REDRAWS_PER_SECOND, transient=True)
            if live
            else None
        )

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        if isinstance(event, Planned):
            self._plan(event)
        elif isinstance(event, Said):
            self._say(event.line)
        elif isinstance(event, SeedStarted):
            self._seed(event)
        elif isinstance(event, NetStarted):
            self._start(event)
        elif isinstance(event, NetPlanned):
            self._plan_of(event)
        elif isinstance(event, Progress):
            self._progress(event)
        elif isinstance(event, EpochDone):
            self._epoch(event)
        else:
            self._finish(event)

    def _plan(self, event: Planned) -> None:
        self.rows = {name: Row(name) for name in event.names}
        self._expected = dict(zip(event.names, event.seconds, strict=True))
        plan = event.comparison
        self._say(f"{plan.data.name}: {plan.data.train_images} training and {plan.data.test_images} test images")
        self._say(f"computing in {plan.execution.precision}, {plan.execution.layout}: {plan.execution.reason}")
        nets, epochs = f"{len(event.names)} nets", f"{event.epochs} epoch{'s' * (event.epochs > 1)} each"
        self._say(f"{nets}, {epochs}: about {units.seconds(plan.estimated_seconds)} on this machine")

    def _seed(self, event: SeedStarted) -> None:
        self.rows.clear()
        there = ": its run is there already" if event.there else ""
        self._say(f"seed {event.seed} ({event.number} of {event.asked}){there}")

    def _start(self, event: NetStarted) -> None:
        """What a run of its own is on, and what was decided on the way, each once."""
        self._row(event.run.name).state = event.activity
        for line in [] if self._expected else [_images(event.run.data), *event.run.notes]:
            if line not in self._told:
                self._told.add(line)
                self._say(line)

    def _plan_of(self, event: NetPlanned) -> None:
        from gradpath.report import plan_line
        from gradpath.report._say import speaking

        if event.run.plan is not None:
            with speaking("en"):  # as everything else that this display says
                self._say(plan_line(event.run.plan))

    def _progress(self, event: Progress) -> None:
        row = self._row(event.name)
        row.state, row.done = f"epoch {event.epoch}", event.step / event.steps
        row.loss, row.train = f"{event.train_loss:.3f}", units.percent(event.train_accuracy)
        row.ratio = units.number(event.stem_over_head, 2)

    def _epoch(self, event: EpochDone) -> None:
        row, epoch = self._row(event.name), event.epoch
        row.loss, row.train = f"{epoch.train_loss:.3f}", units.percent(epoch.train_accuracy)
        row.valid, row.test = units.percent(epoch.validation_accuracy), units.percent(epoch.test_accuracy)
        if self._live is None:
            took = units.seconds(epoch.seconds)
            seen = [("train", row.train), ("validation", row.valid), ("test", row.test)]
            told = ", ".join(f"{what} {value}" for what, value in seen if value != "-")
            self._say(f"{event.name}: epoch {event.number}: loss {row.loss}, {told} ({took})")

    def _finish(self, event: NetDone) -> None:
        row = self._row(event.run.name)
        row.done, row.state = 1.0, "interrupted" if event.run.interrupted else "done"
        if event.run.diverged_at_step is not None:
            row.state = "diverged"
            self._say(f"{row.name}: {divergence_place(event.run)}")

    def _row(self, name: str) -> Row:
        return self.rows.setdefault(name, Row(name))

    def _say(self, line: str) -> None:
        if self._live is not None:
            self._live.console.print(line)
        elif not self._quiet:
            print(line, file=sys.stderr, flush=True)

    def _table(self) -> Table:
        if not self.rows:
            return Table(title="measuring the machine …", title_justify="left", box=None, show_header=False)
        table = Table(title=self._clock(), title_justify="left", box=None, pad_edge=False)
        validated = any(row.valid not in ("", "-") for row in self.rows.values())
        for heading in ("net", "", "state", "loss", "train", "valid." if validated else "test", "stem/head"):
            table.add_column(heading, justify="left" if heading in ("net", "", "state") else "right", no_wrap=True)
        for row in self.rows.values():
            unseen = row.valid if validated else row.test
            table.add_row(row.name, _bar(row.done), row.state, row.loss, row.train, unseen, row.ratio)
        return table

    def _clock(self) -> Text:
        elapsed = time.perf_counter() - self._began
        left = self.seconds_left(elapsed)
        rest = "" if left is None else f", about {units.seconds(left)} left"
        return Text(f"{units.seconds(elapsed)} gone{rest}   (Ctrl-C keeps what is done)", style="dim")

    def seconds_left(self, elapsed: float) -> float | None:
        """What remains of the estimate, stretched by how the part already done compares with it."""
        total = sum(self._expected.values())
        done = sum(self._expected.get(row.name, 0.0) * row.done for row in self.rows.values())
        if not total or not self.rows:
            return None
        return (total - done) * (elapsed / done if done > 0.1 * total else 1.0)


def _images(data: DataInfo) -> str:
    """'photos: 340 training images, 38 to validate, 95 to test, 64 px, 3 classes'."""
    held = f", {data.validation_images:,} to validate" if data.validation_images else ""
    return (
        f"{data.name}: {data.train_images:,} training images{held}, {data.test_images:,} to test, "
        f"{data.image_size} px, {len(data.classes)} classes"
    )


def _bar(done: float, width: int = 6) -> str:
    return "█" * round(done * width) + "░" * (width - round(done * width))
