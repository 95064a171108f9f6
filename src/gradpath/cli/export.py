"""`gradpath export`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Literal

import click

from gradpath import units
from gradpath.cli import _options, _weights
from gradpath.cli._console import laid_out, show, tell
from gradpath.cli._spoken import Spoken
from gradpath.record import Padding
from gradpath.report._grid import wrap


@click.command("export", cls=Spoken)
@click.argument("weights")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Ends in .onnx, or in .pt2 (torch.export).  [default: WEIGHTS with .onnx]",
)
@_weights.foreign
@_weights.normalise(
    "What the file does to pixels first: by the mean and standard deviation stored with the weights, by ImageNet's, or "
    "nothing: then whoever runs it must."
)
@click.option(
    "--pixels",
    type=click.Choice(["float", "uint8"]),
    default="float",
    show_default=True,
    help="What the file takes: float32 from 0 to 1, or bytes from 0 to 255.",
)
@_options.as_format
@_options.quiet
def command(
    weights: str,
    output: Path | None,
    net: str | None,
    padding: Padding | None,
    class_file: Path | None,
    image_size: int | None,
    normalise: Literal["weights", "imagenet", "none"],
    pixels: Literal["float", "uint8"],
    form: str,
    quiet: bool,
) -> None:
    """Write the net with these WEIGHTS as a program for other runtimes: ONNX, or torch.export's .pt2.

    It takes images N C H W for any N, RGB or grey, and gives logits. The normalisation is inside, the names of the
    classes are in its metadata. It is run and compared with the net before it gets its name; it is not kept if they
    differ.
    """
    from gradpath.training import CHECKED_BATCHES, TOLERANCE, export

    done = export(
        weights,
        Path(weights).with_suffix(".onnx") if output is None else output,
        net=_weights.model_of(net),
        padding=padding,
        normalise=normalise,
        classes=_weights.names_in(class_file),
        image_size=image_size,
        pixels=pixels,
    )
    if form == "json":
        told = {"file": str(done.file), "input": done.takes, "classes": done.classes, "bytes": done.bytes}
        show(json.dumps(told | {"difference": done.difference, "tolerance": TOLERANCE}, ensure_ascii=False))
    else:
        batches = " and ".join(map(str, CHECKED_BATCHES))
        lines = (
            f"{done.net}: {done.takes} -> logits of {done.classes} classes, {units.memory(done.bytes)}",
            f"checked on random images in batches of {batches}: logits differ from the net's by "
            f"{units.number(done.difference, 2)} of the largest (at most {units.number(TOLERANCE)} is accepted)",
        )
        show(laid_out(lambda width: "\n".join(part for line in lines for part in wrap(line, width)), sys.stdout))
    if not quiet:
        tell(f"written to {done.file}")
