"""Options that mean the same in every command."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from gradpath.training import Images

F = TypeVar("F", bound=Callable[..., Any])

data = click.option(
    "--data",
    metavar="DATA",
    default="fashion-mini",
    show_default=True,
    help="fashion-mini (shipped), an .npz file, a folder (photos as CLASS/*, IDX, CIFAR or SVHN files), or hf:NAME.",
)
image_size = click.option(
    "--image-size",
    metavar="PX",
    type=int,
    help="Side to which photos are resized and cropped.  [default: theirs where all are alike, 224 at most]",
)
seed = click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Of the initial weights and the order of the images.",
)
device = click.option("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps. Default: the best there is.")
backend = click.option(
    "--backend",
    type=click.Choice(["auto", "reference", "compiled"]),
    default="auto",
    show_default=True,
    help="What blocks run on: the fastest here, plain torch, or C++ passes.",
)
quiet = click.option("--quiet", is_flag=True, help="No progress on stderr.")
language = click.option(
    "--lang",
    type=click.Choice(["en", "zh"]),
    default="en",
    show_default=True,
    help="Language of what is said: English or Chinese.",
)


def spoken(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --lang: all that it shows and writes is in that language."""

    @functools.wraps(command)
    def wrapped(lang: str, **given: Any) -> Any:
        if lang == "en":
            return command(**given)
        from gradpath.report._say import speaking

        with speaking("zh"):
            return command(**given)

    return language(wrapped)


as_format = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="What to print."
)


def sized(data: str, image_size: int | None) -> str | Images:
    """What --data and --image-size name together: the images where a size was asked for."""
    if image_size is None:
        return data
    from gradpath.training import load_images

    return load_images(data, image_size=image_size)


def memory(default: str = "") -> Callable[[F], F]:
    """--memory SIZE, None where it is not given; `default` is what the help says of that."""
    return click.option(
        "--memory",
        metavar="SIZE",
        help="Bytes on the training device for the whole step: 4GiB, 512MiB, 80% of keeping everything, or auto."
        + default,
    )


def output(what: str) -> Callable[[F], F]:
    """--output FOLDER, with `what` goes into it."""
    return click.option("--output", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False), help=what)
