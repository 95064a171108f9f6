"""--watch, --tensorboard and --wandb of `gradpath train`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from gradpath.training import Listener

F = TypeVar("F", bound=Callable[..., Any])


def options(command: F) -> F:
    """The three, and what `listener` wants of them."""
    for option in (
        click.option("--wandb", metavar="PROJECT", help="Log to this project of Weights & Biases too."),
        click.option("--tensorboard", is_flag=True, help="Log to OUTPUT/tensorboard too."),
        click.option("--watch", is_flag=True, help="Watch the gradient of every layer: gradpath follow OUTPUT/watch."),
    ):
        command = option(command)
    return command


def listener(shown: Listener, folder: Path, tensorboard: bool, project: str | None) -> Listener:
    """Who is told the news. Raises MissingExtraError where a package is not installed."""
    from gradpath import training

    more = [training.tensorboard(folder / "tensorboard")] if tensorboard else []
    more += [training.wandb(project, dir=str(folder), name=folder.name)] if project else []
    return training.together(shown, *more) if more else shown
