"""`gradpath eval`."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Literal

import click

from gradpath import units
from gradpath.cli import _options, _weights
from gradpath.cli._console import laid_out, show, tell
from gradpath.cli._destination import check_output
from gradpath.cli._spoken import Spoken
from gradpath.errors import UserError
from gradpath.record import Evaluation, Padding, Precision


@click.command("eval", cls=Spoken)
@click.argument("weights")
@_options.data
@_options.image_size
@_weights.net
@_weights.padding
@click.option(
    "--normalise",
    type=click.Choice(["weights", "data", "imagenet"]),
    default="weights",
    show_default=True,
    help="Mean and standard deviation: as stored with the weights, of DATA, or ImageNet's.",
)
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True)
@click.option("--confusion", is_flag=True, help="Also each class, and what was called what.")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write all of it: .json, .csv, .txt.",
)
@_options.device
@_options.as_format
def command(
    weights: str,
    data: str,
    image_size: int | None,
    net: str | None,
    padding: Padding | None,
    normalise: Literal["weights", "data", "imagenet"],
    precision: Precision,
    confusion: bool,
    output: Path | None,
    device: str | None,
    form: str,
) -> None:
    """Count how many test images of DATA the net with these WEIGHTS gets right.

    WEIGHTS written by gradpath say what they are of. Of a foreign file (.th, .pth, .safetensors) the keys do not
    tell the net's name, the padding of its shortcuts and the normalisation of its images: give them.
    """
    from gradpath.report import as_text, render
    from gradpath.training import evaluate

    if output is not None and not output.suffix:
        raise UserError(f"--output {output}: the ending decides what is written: .json, .csv or .txt")
    check_output(output, Evaluation)
    result = evaluate(
        weights,
        _options.sized(data, image_size),
        net=_weights.model_of(net),
        padding=padding,
        normalise=normalise,
        precision=precision,
        device=device,
    )
    if form == "json":
        counts = {"right": result.right, "images": result.images, "accuracy": result.accuracy}
        show(result.to_json().rstrip() if confusion else json.dumps(counts))
    elif confusion:
        show(laid_out(partial(as_text, result), sys.stdout))
    else:
        show(f"{result.right} of {result.images} right ({units.percent(result.accuracy)}), {result.precision}")
    if output is not None:
        tell(f"written to {render(result, output)}")
