"""The options of all commands that look at a model: TARGET, its input, its weights. Imports no torch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from gradpath.cli import _options


@dataclass(frozen=True)
class Asked:
    """What to look at, as it was asked for."""

    target: str
    inputs: tuple[str, ...] = ()
    checkpoint: Path | None = None
    seed: int = 0
    device: str | None = None
    at: str | None = None
    batches: int = 1
    batch_size: int | None = None
    """In place of the first size of every input; None: as it is."""


_AT = click.option("--at", metavar="MODULE", help="Where paths are taken.  [default: the first layer]")
_OPTIONS = (
    click.argument("target", required=False),
    click.option(
        "--input",
        "inputs",
        multiple=True,
        metavar="SHAPE",
        help="A random input, such as 8x3x224x224 or '8x128:int<1000' (tokens); give it several times for several "
        "inputs, or as NAME=SHAPE for keywords.",
    ),
    click.option(
        "--checkpoint",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Weights to load: .safetensors, or a torch file of tensors alone. All must fit.",
    ),
    _AT,
    click.option(
        "--seed",
        type=click.IntRange(0, 2**63 - 1),
        default=0,
        show_default=True,
        help="Of the weights that TARGET draws, of random inputs and labels.",
    ),
    click.option(
        "--device",
        metavar="NAME",
        help="cpu, cuda, cuda:1, mps. Default: where a function's model is; for names the best there is.",
    ),
)
batches = click.option(
    "--batches",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Mean and standard error over so many: random inputs, or the first ones where TARGET returns a loader.",
)
quiet = _options.quiet
spoken = _options.spoken
as_format = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
    help="What to print.",
)


def output_to(endings: str) -> Callable[..., Any]:
    """--output PATH, a folder or a file with one of these endings."""
    return click.option(
        "--output",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help=f"A folder for the record and its report, or a file whose ending decides: {endings}.",
    )


def asked_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options above; it gets them as one `asked`, None where TARGET is missing."""
    return _gathered(command, _OPTIONS)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for commands that ask nothing of one module: without --at."""
    return _gathered(command, [option for option in _OPTIONS if option is not _AT])


def _gathered(command: Callable[..., Any], options: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    @functools.wraps(command)
    def wrapped(target: str | None, **given: Any) -> Any:
        own = {name: given.pop(name) for name in ("inputs", "checkpoint", "seed", "device")}
        own["at"] = given.pop("at", None)
        own["batches"] = given.pop("batches", 1)
        return command(asked=None if target is None else Asked(target=target, **own), **given)

    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


def required(asked: Asked | None, command: str) -> Asked:
    """What was asked for. Raises a usage error where TARGET is missing."""
    if asked is None:
        raise click.UsageError(
            f"TARGET is missing: gradpath {command} file.py:function (gradpath trace --init writes one), "
            f"or a name such as resnet-20"
        )
    return asked
