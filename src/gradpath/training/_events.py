"""What a running job tells whoever watches it. Events are news, not records: they are shown and forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from gradpath.record import Comparison, Epoch, RunRecord


@dataclass(frozen=True)
class Planned:
    """What is about to be done, and how long it will take."""

    comparison: Comparison  # without results yet; holds the estimate
    names: tuple[str, ...]
    seconds: tuple[float, ...]  # estimated, of each net
    epochs: int


@dataclass(frozen=True)
class SeedStarted:
    """One of several runs of the same net begins."""

    seed: int
    number: int  # from 1
    asked: int
    there: bool  # it was made before, and is not made again


@dataclass(frozen=True)
class Said:
    """Something worth a line."""

    line: str


@dataclass(frozen=True)
class NetStarted:
    run: RunRecord  # without results yet
    activity: str  # 'finding lr', 'planning' or 'training'


@dataclass(frozen=True)
class NetPlanned:
    """The plan by which the net will be trained is in its record."""

    run: RunRecord


@dataclass(frozen=True)
class Progress:
    """Some steps were made. Means are over the epoch so far."""

    name: str
    step: int
    steps: int
    epoch: int
    train_loss: float
    train_accuracy: float
    stem_over_head: float | None


@dataclass(frozen=True)
class EpochDone:
    name: str
    number: int
    epoch: Epoch


@dataclass(frozen=True)
class NetDone:
    run: RunRecord


Event: TypeAlias = Planned | Said | SeedStarted | NetStarted | NetPlanned | Progress | EpochDone | NetDone
Listener: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener of those who do not watch."""
