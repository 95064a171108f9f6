"""The options of commands that use a file of weights, and what they mean together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gradpath.errors import UserError

if TYPE_CHECKING:
    from torch import nn

F = TypeVar("F", bound=Callable[..., Any])

net = click.option(
    "--net",
    metavar="NAME",
    help="For a foreign file: which net it is of, such as resnet-20 or timm:resnet18.",
)
padding = click.option(
    "--padding", type=click.Choice(["both", "end"]), help="For a foreign residual net: where option A pads."
)
classes = click.option(
    "--classes",
    "class_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Names of the classes, one a line.  [default: those stored with the weights, else numbers]",
)
size = click.option(
    "--image-size", metavar="PX", type=click.IntRange(8, 4096), help="[default: what the net was trained on]"
)


def normalise(what: str) -> Callable[[F], F]:
    """--normalise, with what is done."""
    return click.option(
        "--normalise",
        type=click.Choice(["weights", "imagenet", "none"]),
        default="weights",
        show_default=True,
        help=what,
    )


def model_of(net: str | None) -> str | nn.Module | None:
    """What --net names: a name of ours as it is, a TARGET as its model."""
    if net is None or (":" not in net and not net.endswith(".py")):
        return net
    from gradpath.cli._target import load_target

    return load_target(net).model


def names_in(file: Path | None) -> list[str] | None:
    """The class names that a file lists, one a line. Raises UserError naming the file."""
    if file is None:
        return None
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--classes {file}: cannot be read as text ({error}): name a file with one class a line"
        ) from error
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise UserError(f"--classes {file}: names no class: write one a line, in the order of the net's outputs")
    return names


def foreign(command: F) -> F:
    """--net --padding --classes --image-size."""
    for option in (size, classes, padding, net):
        command = option(command)
    return command
