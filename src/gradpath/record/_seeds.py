"""One net trained several times, from one seed each: what another seed changes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradpath.record._base import Record
from gradpath.record._recipe import Recipe
from gradpath.record._run import DataInfo, RunRecord


@dataclass(frozen=True, kw_only=True)
class SeedRun(Record):
    """One of the runs; its own record lies in its folder."""

    seed: int
    folder: str
    """Beside the record of all."""
    train_loss: float | None
    """Of the last epoch, in nats; None where none was finished."""
    validation_accuracy: float | None
    """Of the epoch whose weights were kept."""
    test_accuracy: float | None
    """Of the kept weights; None where the run diverged or was interrupted before its end."""
    best_epoch: int | None
    epochs: int
    diverged_at_step: int | None
    seconds: float
    """Of training, without the tests between epochs."""

    @classmethod
    def of(cls, run: RunRecord, folder: str) -> SeedRun:
        """What is told of a run beside the others."""
        kept = run.kept_epoch
        return cls(
            seed=run.seed,
            folder=folder,
            train_loss=run.epochs[-1].train_loss if run.epochs else None,
            validation_accuracy=None if kept is None else kept.validation_accuracy,
            test_accuracy=None if run.test is None else run.test.accuracy,
            best_epoch=run.best_epoch,
            epochs=len(run.epochs),
            diverged_at_step=run.diverged_at_step,
            seconds=sum(epoch.seconds for epoch in run.epochs),
        )


@dataclass(frozen=True, kw_only=True)
class Seeds(Record, kind="seeds"):
    """Runs that differ in their seed alone: initial weights, order of the images, and what is held out to validate."""

    name: str
    asked: int
    """Runs that were asked for."""
    recipe: Recipe
    data: DataInfo
    runs: tuple[SeedRun, ...]
    interrupted: bool = False
    arguments: tuple[str, ...] = ()
    """Of the command line that began them, for `gradpath train --resume`; none where it was begun from Python."""

    def __repr__(self) -> str:
        mean, deviation = mean_and_std([run.test_accuracy for run in self.runs])
        told = "" if mean is None else f", test accuracy {mean:.1%}"
        told += "" if deviation is None else f" ± {deviation:.1%}"
        return f"Seeds({self.name}: {len(self.runs)} of {self.asked} runs{told})"


def mean_and_std(values: list[float | None]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation (n − 1) of the values there are; None where there are too few."""
    known = [value for value in values if value is not None]
    if not known:
        return None, None
    mean = sum(known) / len(known)
    if len(known) < 2:
        return mean, None
    return mean, math.sqrt(sum((value - mean) ** 2 for value in known) / (len(known) - 1))
