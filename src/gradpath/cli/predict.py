"""`gradpath predict`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import click

from gradpath.cli import _options, _weights
from gradpath.cli._asked import as_format
from gradpath.cli._console import laid_out, show, tell
from gradpath.cli._destination import check_output
from gradpath.cli._spoken import Spoken
from gradpath.record import Padding, Predictions
from gradpath.report import render


@click.command("predict", cls=Spoken)
@click.argument("weights")
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option("--top-k", type=click.IntRange(1), default=3, show_default=True, help="Classes named for each image.")
@_weights.foreign
@_weights.normalise("Mean and standard deviation of pixels: as stored with the weights, ImageNet's, or none.")
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True)
@_options.device
@click.option(
    "--output",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="A folder for predictions.json, or a file whose ending decides: .csv .json .txt .md.",
)
@as_format
@_options.quiet
def command(
    weights: str,
    images: tuple[str, ...],
    top_k: int,
    net: str | None,
    padding: Padding | None,
    class_file: Path | None,
    image_size: int | None,
    normalise: Literal["weights", "imagenet", "none"],
    batch_size: int,
    device: str | None,
    output: Path | None,
    form: str,
    quiet: bool,
) -> None:
    """Say what the net with these WEIGHTS calls each IMAGE: files, folders of photos, patterns such as 'new/*.jpg'.

    Photos are turned upright, resized and cropped as for training. One that cannot be read is listed, and the others
    are classified. Of WEIGHTS that gradpath did not write, say what they are of: --net and --normalise.
    """
    check_output(output, Predictions)
    from gradpath.training import predict

    with _counted(quiet) as progress:
        record = predict(
            weights,
            images,
            net=_weights.model_of(net),
            padding=padding,
            normalise=normalise,
            classes=_weights.names_in(class_file),
            image_size=image_size,
            top_k=top_k,
            batch_size=batch_size,
            device=device,
            progress=progress,
        )
    show(_printed(record, form))
    if output is not None:
        file = output if output.suffix and not output.is_dir() else output / "predictions.json"
        render(record, file)
        if not quiet:
            tell(f"written to {file}")


def _printed(record: Predictions, form: str) -> str:
    from gradpath.report._predictions import predictions_markdown, predictions_text

    if form == "json":
        return record.to_json().rstrip("\n")
    if form == "markdown":
        return predictions_markdown(record).rstrip("\n")
    return laid_out(partial(predictions_text, record), sys.stdout)


@contextmanager
def _counted(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("classifying", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
