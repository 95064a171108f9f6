"""`gradpath compare`."""

from __future__ import annotations

import sys
from datetime import datetime
from functools import partial
from pathlib import Path

import click

from gradpath.cli import _options
from gradpath.cli._console import laid_out, show, tell
from gradpath.cli._spoken import Spoken


@click.command("compare", cls=Spoken)
@_options.data
@_options.image_size
@click.option("--depth", type=int, help="Depth of the deep nets, 6n+2.  [default: 56, with --quick 32]")
@click.option("--epochs", type=int, help="Epochs of each net.  [default: as many as fit]")
@click.option("--minutes", type=float, help="Time to fit the epochs into.  [default: 5, with --quick 1]")
@click.option("--quick", is_flag=True, help="Three nets of depth 32, about one minute.")
@_options.seed
@_options.device
@_options.backend
@click.option("--overwrite", is_flag=True, help="Begin anew in an --output that holds a comparison.")
@_options.output("Folder for the record, the report and the weights.  [default: runs/compare-TIME]")
@_options.as_format
@_options.quiet
@_options.spoken
def command(
    data: str,
    image_size: int | None,
    depth: int | None,
    epochs: int | None,
    minutes: float | None,
    quick: bool,
    seed: int,
    device: str | None,
    backend: str,
    overwrite: bool,
    output: Path | None,
    form: str,
    quiet: bool,
) -> int:
    """Train plain, residual and dense networks side by side on real images, and say what was seen.

    Plain nets without norm (the article's case), plain nets with BatchNorm at two depths, a residual net and a dense
    one. Measures the machine, fits the epochs to the time, then writes compare.json, report.html, report.png and
    each net's weights.
    """
    from gradpath.cli._jobs import compare
    from gradpath.cli._live import Display
    from gradpath.report import as_text

    folder = output or Path("runs") / f"compare-{datetime.now():%Y%m%d-%H%M%S}"
    with Display(quiet) as display:
        comparison = compare(
            _options.sized(data, image_size),
            depth=depth,
            epochs=epochs,
            minutes=minutes,
            quick=quick,
            seed=seed,
            device=device,
            backend=backend,
            output=folder,
            overwrite=overwrite,
            listener=display,
        )
    show(comparison.to_json().rstrip("\n") if form == "json" else laid_out(partial(as_text, comparison), sys.stdout))
    if not quiet:
        tell(f"written to {folder}")
    return 3 if comparison.interrupted else 0
