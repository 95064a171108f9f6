"""A run that can be gone on with: what is kept of it while it trains, and how it is taken up again.

Order, augmentation and dropout are functions of the seed and the step, so that a snapshot of the loop's state is all
there is to keep, with what was chosen before the first step (recipe, precision, layout, plan): the run goes on as if
it had never stopped, to the bit.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradpath.errors import RecordError, SnapshotError, UserError, first_line
from gradpath.record import Flow, GradientHistory, Recipe, RunRecord, Seeds, read
from gradpath.record._base import decode
from gradpath.training._data import Images
from gradpath.training._distributed import ALONE, Team
from gradpath.training._events import Listener, Said, ignore
from gradpath.training._folder import RUN_FILE, SEEDS_FILE, begin_anew
from gradpath.training._loop import Loop
from gradpath.training._saving import Saver, noted_signals
from gradpath.training._snapshots import Snapshots, State

EVERY_SECONDS = 60.0
_PARTS = ("train_images", "train_labels", "validation_images", "validation_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class Resumed:
    """A run as its last good snapshot has it."""

    record: RunRecord
    """As it was before the first step, with all that was chosen."""
    asked: Recipe
    """The recipe that was asked for; a plan may have changed its parts since."""
    digest: str
    """Of the images."""
    processes: int
    arguments: tuple[str, ...]
    """Of the command line that began it; none where it was begun from Python."""
    loop: State
    file: Path
    refused: tuple[str, ...]
    """Newer snapshots that cannot be read, a line each."""


def find_resumed(snapshots: Snapshots) -> Resumed | None:
    """What a run has to go on from; None where it has no snapshot. Raises SnapshotError."""
    found = snapshots.newest()
    if found is None:
        return None
    try:
        about, loop = json.loads(found.state["about"]), found.state["loop"]
        record, asked = decode(RunRecord, about["record"], "record"), decode(Recipe, about["asked"], "asked")
    except (RecordError, KeyError, ValueError) as error:
        raise SnapshotError(
            f"{found.file}: was written by another version of gradpath ({first_line(error)}): go on with that version"
        ) from error
    arguments = tuple(about["arguments"])
    return Resumed(record, asked, about["digest"], about["processes"], arguments, loop, found.file, found.refused)


def finished(run: Path) -> RunRecord | None:
    """The record of a run that came to its end; None where it did not, or where there is none."""
    file = run / RUN_FILE
    record = read(file) if file.is_file() else None
    return record if isinstance(record, RunRecord) and not record.interrupted else None


def arguments_of(run: Path) -> tuple[str, ...]:
    """The command line that began a run, or runs from several seeds; of a finished run the name of its net. Raises
    SnapshotError where there is none to go on with."""
    if not run.is_dir():
        raise SnapshotError(f"{run}: there is no such folder: name the folder that gradpath train wrote to")
    if (done := finished(run)) is not None:
        return (done.name,)
    held = read(run / SEEDS_FILE) if (run / SEEDS_FILE).is_file() else None
    places = [run, *sorted(run.glob("seed-*"))]  # of several seeds the first may be the one that was stopped
    found = held or next((found for place in places if (found := find_resumed(Snapshots(place))) is not None), None)
    if not isinstance(found, Resumed | Seeds):
        raise SnapshotError(f"{run}: has no snapshot of a run that was stopped after its first step: train anew")
    if not found.arguments:
        raise SnapshotError(
            f"{run}: was begun from Python: go on there, with gradpath.train(..., output={str(run)!r}, resume=True)"
        )
    return found.arguments


def _held(run: Path) -> str:
    """What a folder holds, and how to go on with it."""
    try:
        done = finished(run)
    except RecordError:
        return f"holds a {RUN_FILE} that cannot be read: look at it"
    if done is None:
        return f"holds a run that was stopped: go on with it (--resume {run}, resume=True)"
    return f"holds a finished run of {done.name}: see it (--resume {run}, resume=True)"


def digest_of(images: Images) -> str:
    """Of all images, labels, names of classes and what they are normalised by, but not of where they lie."""
    total = hashlib.sha256(json.dumps(replace(images.info, name="").to_dict(), sort_keys=True).encode())
    for part in _PARTS:
        value = getattr(images, part)
        if isinstance(value, Tensor):
            total.update(f"{part} {tuple(value.shape)}".encode())
            for piece in torch.split(value, max(2**26 // max(value[:1].numel(), 1), 1)):
                total.update(piece.cpu().contiguous().numpy().data)
        elif value is not None:  # read on demand: its files stand for it
            total.update(repr(getattr(value, "fingerprint", part)).encode())
    return total.hexdigest()


class Keeper:
    """The snapshots of one run: read where it goes on, written while it trains. Only the first of several processes
    reads and writes; without a folder none does, and all that is left is to agree on when to stop."""

    def __init__(
        self,
        run: Path | None,
        team: Team = ALONE,
        every: float = EVERY_SECONDS,
        arguments: Sequence[str] = (),
        listener: Listener = ignore,
    ) -> None:
        """every: seconds; 0 writes after every step."""
        if not 0 <= every < math.inf:
            raise UserError(f"seconds between snapshots must not be negative, got {every}: 0 is after every step")
        self.run = run if team.leads else None
        self.listener = listener if team.leads else ignore
        self.team, self.every, self.arguments = team, every, tuple(arguments)
        self.resumed: Resumed | None = None
        self._snapshots = None if self.run is None else Snapshots(self.run)
        self._overwrites = False

    def open(self, resume: bool, overwrite: bool = False) -> RunRecord | None:
        """Look for a run to go on with (`resume`), or make sure that there is none that would be lost: one that may be
        (`overwrite`) stays until the new one begins.

        Returns the record of a run that has nothing left to do. All processes call it. Raises SnapshotError, UserError.
        """
        done, self.resumed = self.team.first(lambda: self._opened(resume, overwrite))
        self._overwrites = overwrite
        if done is not None:
            self.listener(Said(f"{self.run}: this run was finished before; nothing is left to do"))
        if self.resumed is not None:
            for line in self.resumed.refused:
                self.listener(Said(f"refused: {line}"))
            steps = self.resumed.loop["outcome"]["steps"]
            self.listener(Said(f"going on after step {steps}, from {self.resumed.file}"))
        return done

    def _opened(self, resume: bool, overwrite: bool) -> tuple[RunRecord | None, Resumed | None]:
        if self.run is None or self._snapshots is None:
            return None, None
        if (self.run / SEEDS_FILE).is_file():
            raise UserError(
                f"{self.run}: holds runs from several seeds: --resume {self.run} goes on with them; name another folder"
            )
        if resume:
            done = finished(self.run)
            return done, find_resumed(self._snapshots) if done is None else None
        if not overwrite and (self._snapshots.files() or (self.run / RUN_FILE).exists()):
            raise UserError(
                f"{self.run}: {_held(self.run)}, begin anew (--overwrite, overwrite=True), or name another folder"
            )
        return None, None

    def check(self, record: RunRecord, images: Images) -> None:
        """Compare a run that is to be gone on with with what is asked for. Raises UserError for another net, recipe,
        seed, or for other images."""
        if self.resumed is None:
            return
        then, now = self.resumed.record, record
        for what, old, new in (
            ("of", f"{then.name}, {then.parameters} parameters", f"{now.name}, {now.parameters} parameters"),
            ("with seed", then.seed, now.seed),
            ("with the recipe", self.resumed.asked, now.recipe),
        ):
            if old != new:
                raise UserError(f"{self.run}: holds a run {what} {old}, not {new}: give the same, or another folder")
        if self.team.first(lambda: digest_of(images)) != self.resumed.digest:
            raise UserError(
                f"{self.run}: its images were others than those of {images.info.name} now: a run goes on with the "
                "same images only; give data if they lie elsewhere, or train anew into another folder"
            )
        self._compare_machines(self.resumed, now)

    def _compare_machines(self, resumed: Resumed, now: RunRecord) -> None:
        """Say what makes the sums come out otherwise in their last digits."""
        then = resumed.record.machine
        facts = [(name, getattr(then, name), getattr(now.machine, name)) for name in ("processor", "device", "torch")]
        facts.append(("number of processes", resumed.processes, self.team.size))
        if differ := [f"{name} ({new}, it was {old})" for name, old, new in facts if old != new]:
            self.listener(Said(f"another {differ[0]}: the run goes on, but not bit for bit as it would have"))

    @property
    def threads(self) -> int | None:
        """Of the run that goes on: sums are taken in another order with another number."""
        then = None if self.resumed is None else self.resumed.record
        return None if then is None else then.execution.threads or then.machine.threads

    @contextmanager
    def keeping(
        self, loop: Loop, record: RunRecord, images: Images, asked: Recipe, initial: Flow | None
    ) -> Iterator[None]:
        """Within it the loop, put where the run was stopped, trains with the other processes and writes snapshots.

        Ctrl-C and SIGTERM end the loop after the step that is under way, with a snapshot; a second one ends it at
        once. record: with all that is known before the first step. initial: the gradient before it.
        """
        if self.resumed is not None:
            loop.restore(self.resumed.loop)
        about = "" if self._snapshots is None else self._about(record, images, asked)
        gradient = None if initial is None else GradientHistory(initial=initial)
        team = self.team
        loop.share, loop.gather, loop.collect = (team.rank, team.size), team.total, team.each
        loop.called = team.wrapped(loop.net, loop.device)
        with noted_signals() as told_to_stop:
            so_far = replace(record, gradient=gradient)
            saver = Saver(loop, so_far, about, self._snapshots, self.every, team, told_to_stop)
            if self._overwrites and self.run is not None:
                begin_anew(self.run)
            if self.resumed is None:  # so that there is always one to go on from
                saver.write(closed=True)
            loop.after_step = saver
            try:
                yield
            finally:
                loop.after_step, loop.called = None, loop.net

    def _about(self, record: RunRecord, images: Images, asked: Recipe) -> str:
        digest = digest_of(images) if self.resumed is None else self.resumed.digest
        arguments = list(self.arguments or (() if self.resumed is None else self.resumed.arguments))
        about: dict[str, Any] = {"record": record.to_dict(), "asked": asked.to_dict()}
        about |= {"digest": digest, "processes": self.team.size, "arguments": arguments}
        return json.dumps(about, ensure_ascii=False, allow_nan=False)

    def close(self, record: RunRecord) -> None:
        """Drop the snapshots of a run that came to its end."""
        if self._snapshots is not None and not record.interrupted:
            self._snapshots.clear()
