"""`gradpath train`."""

from __future__ import annotations

import sys
from datetime import datetime
from functools import partial
from pathlib import Path

import click

from gradpath.cli import _options
from gradpath.cli._console import laid_out, show, tell
from gradpath.record import Augment, Execution, Precision, Recipe, Schedule


def _batch_size(ctx: click.Context, option: click.Parameter, value: str) -> int | None:
    """A whole number from 1 on; None for 'auto'."""
    return None if value.strip().lower() == "auto" else int(click.IntRange(1)(value, option, ctx))


@click.command("train")
@click.argument("net")
@_options.data
@_options.image_size
@click.option("--epochs", type=click.IntRange(1), default=10, show_default=True)
@click.option(
    "--batch-size",
    metavar="N|auto",
    callback=_batch_size,
    default="128",
    show_default=True,
    help="A number, or auto: the largest that fits --memory.",
)
@_options.memory()
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), default=0.1, show_default=True, help="Peak.")
@click.option("--schedule", type=click.Choice(["one-cycle", "step"]), default="one-cycle", show_default=True)
@click.option("--augment", type=click.Choice(["none", "flip", "crop-flip"]), default="crop-flip", show_default=True)
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), help="Default: the fastest, measured.")
@_options.seed
@_options.device
@_options.output("Folder for run.json and the weights.  [default: runs/NET-TIME]")
@_options.as_format
@_options.quiet
def command(
    net: str,
    data: str,
    image_size: int | None,
    epochs: int,
    batch_size: int | None,
    memory: str | None,
    learning_rate: float,
    schedule: Schedule,
    augment: Augment,
    precision: Precision | None,
    seed: int,
    device: str | None,
    output: Path | None,
    form: str,
    quiet: bool,
) -> int:
    """Train NET, such as resnet-20, plain-56 or densenet-bc-100-12, and keep its weights and its record."""
    from gradpath.cli._live import Display
    from gradpath.report import as_text
    from gradpath.training import train

    folder = output or Path("runs") / f"{net}-{datetime.now():%Y%m%d-%H%M%S}"
    recipe = Recipe(
        epochs=epochs,
        batch_size=batch_size or 128,
        learning_rate=learning_rate,
        schedule=schedule,
        augment=augment,
    )
    execution = None
    if precision is not None:
        execution = Execution(precision=precision, layout="channels_last", reason="asked for")
    with Display(quiet) as display:
        record = train(
            net,
            _options.sized(data, image_size),
            recipe=recipe,
            seed=seed,
            device=device,
            execution=execution,
            memory=memory,
            largest_batch=batch_size is None,
            output=folder,
            listener=display,
        )
    show(record.to_json() if form == "json" else laid_out(partial(as_text, record), sys.stdout))
    if not quiet:
        tell(f"written to {folder}")
    return 3 if record.interrupted else 0
