"""`gradpath eval`."""

from __future__ import annotations

import json
from typing import Literal

import click

from gradpath import units
from gradpath.cli import _options
from gradpath.cli._console import show
from gradpath.record import Padding, Precision


@click.command("eval")
@click.argument("weights")
@_options.data
@_options.image_size
@click.option("--net", help="For a foreign file: which net it is of, such as resnet-20.")
@click.option("--padding", type=click.Choice(["both", "end"]), help="For a foreign residual net: where option A pads.")
@click.option(
    "--normalise",
    type=click.Choice(["weights", "data", "imagenet"]),
    default="weights",
    show_default=True,
    help="Mean and standard deviation: as stored with the weights, of DATA, or ImageNet's.",
)
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True)
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
    device: str | None,
    form: str,
) -> None:
    """Count how many test images of DATA the net with these WEIGHTS gets right.

    WEIGHTS written by gradpath say what they are of. Of a foreign file (.th, .pth, .safetensors) the keys do not
    tell the net's name, the padding of its shortcuts and the normalisation of its images: give them.
    """
    from gradpath.training import evaluate

    result = evaluate(
        weights,
        _options.sized(data, image_size),
        net=net,
        padding=padding,
        normalise=normalise,
        precision=precision,
        device=device,
    )
    if form == "json":
        show(json.dumps({"right": result.right, "images": result.images, "accuracy": result.accuracy}))
    else:
        show(f"{result.right} of {result.images} right ({units.percent(result.accuracy)}), {result.precision}")
