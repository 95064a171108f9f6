"""Where else the news of a run goes: `gp.watch`, TensorBoard, W&B. Each is imported when it is asked for."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradpath.errors import MissingExtraError
from gradpath.flow import watch
from gradpath.training._events import EpochDone, Event, Listener, Progress
from gradpath.training._folder import WATCH_FOLDER
from gradpath.training._loop import Loop

Log = Callable[[Mapping[str, float], int], None]
"""Takes named numbers and the step they are of."""


@contextmanager
def watched(loop: Loop, folder: Path | None, wanted: bool = True) -> Iterator[None]:
    """The loop's net under `gp.watch`, which writes to FOLDER/watch; it is taken away again, whatever happens. Steps
    are counted on from those of the loop."""
    if not wanted:
        yield
        return
    place = None if folder is None else folder / WATCH_FOLDER
    with watch(loop.net, loop.optimizer, loop.optimiser.scaler, folder=place) as loop.watcher:
        loop.watcher.steps = loop.outcome.steps
        try:
            yield
        finally:
            loop.watcher = None


def tensorboard(folder: str | os.PathLike[str]) -> Listener:
    """A listener that writes a run's losses and accuracies as TensorBoard's event files. Raises MissingExtraError."""
    try:
        writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter(str(folder))
    except ImportError as error:
        raise MissingExtraError("tensorboard", "logs", "writing for TensorBoard") from error

    def log(values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return logged(log)


def wandb(project: str, **options: Any) -> Listener:
    """A listener that sends a run's losses and accuracies to Weights & Biases; `options` go to `wandb.init`. Raises
    MissingExtraError."""
    try:
        run = importlib.import_module("wandb").init(project=project, **options)
    except ImportError as error:
        raise MissingExtraError("wandb", "logs", "logging to Weights & Biases") from error
    return logged(lambda values, step: run.log(dict(values), step=step))


def logged(log: Log) -> Listener:
    """A listener that hands on the numbers of the news: 'NET/train_loss' and so on."""
    last: dict[str, int] = {}  # steps made, by net

    def listener(event: Event) -> None:
        if isinstance(event, Progress | EpochDone):
            if isinstance(event, Progress):
                last[event.name] = event.step
            values = {f"{event.name}/{name}": value for name, value in _numbers(event).items() if value is not None}
            log(values, last.get(event.name, 0))

    return listener


def _numbers(event: Progress | EpochDone) -> dict[str, float | None]:
    if isinstance(event, Progress):
        return {
            "train_loss": event.train_loss,
            "train_accuracy": event.train_accuracy,
            "stem_over_head": event.stem_over_head,
        }
    epoch = event.epoch
    return {
        "epoch_train_loss": epoch.train_loss,
        "epoch_train_accuracy": epoch.train_accuracy,
        "validation_accuracy": epoch.validation_accuracy,
        "test_accuracy": epoch.test_accuracy,
    }


def together(*listeners: Listener) -> Listener:
    """One listener that tells all of them, in order."""

    def listener(event: Event) -> None:
        for one in listeners:
            one(event)

    return listener
