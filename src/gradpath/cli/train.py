"""`gradpath train`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradpath.cli import _logs, _options, _resume, _weights
from gradpath.cli._console import laid_out, show, tell
from gradpath.cli._recipe_flags import NAME, Kind, chosen, recipe_flags
from gradpath.record import Execution, Padding, Precision, RunRecord, Seeds, read

if TYPE_CHECKING:
    from torch import nn

    from gradpath.training import Weights

_AUTO = "auto"


class _BatchSize(Kind):
    """A whole number from 1 on, or 'auto'."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and value.strip().lower() == _AUTO:
            return _AUTO
        return click.IntRange(1).convert(value, param, ctx)


@click.command("train", cls=_resume.Resumable)
@click.argument("net")
@_options.data
@_options.image_size
@click.option("--weights", metavar="FILE", help="Start from this file: gradpath's, torchvision's, timm's …")
@_weights.padding
@click.option(
    "--normalise",
    "normalised_by",
    type=click.Choice(["weights", "imagenet", "data"]),
    help="With --weights, whose mean and standard deviation.  [default: the weights' own, else ImageNet's]",
)
@recipe_flags(batch=_BatchSize())
@_options.memory()
@click.option("--precision", type=click.Choice(["float32", "bfloat16", "float16"]), help="Default: measured.")
@_options.backend
@click.option(
    "--validation",
    metavar="FRACTION",
    type=click.FloatRange(0, 1, max_open=True),
    help="Of each class's training images, held out to choose the best epoch by; 0: none.  [default: 0.1]",
)
@click.option("--seeds", metavar="N", type=click.IntRange(1), help="Train N times, from --seed on: mean ± std.")
@_options.seed
@_options.device
@click.option("--sync-norm", is_flag=True, help="Under torchrun, BatchNorm sees the images of all processes.")
@_resume.options
@_logs.options
@click.option("--overwrite", is_flag=True, help="Begin anew in an --output that holds a run.")
@_options.output("Folder for run.json, split.json, the weights and their model-card.md.  [default: runs/NET-TIME]")
@_options.as_format
@_options.quiet
@_options.spoken
def command(
    net: str,
    data: str,
    image_size: int | None,
    weights: str | None,
    padding: Padding | None,
    normalised_by: Any,
    memory: str | None,
    precision: Precision | None,
    backend: str,
    validation: float | None,
    seeds: int | None,
    seed: int,
    device: str | None,
    sync_norm: bool,
    resume: Path | None,
    snapshot_every: float,
    watch: bool,
    tensorboard: bool,
    wandb: str | None,
    overwrite: bool,
    output: Path | None,
    form: str,
    quiet: bool,
    **recipe: Any,
) -> int:
    """Train NET, and keep its weights and its record.

    NET is a name such as resnet-20, plain-56 or densenet-bc-100-12, or any model: timm:NAME, torchvision:NAME,
    file.py:function. Its classifier is made for the classes of DATA.

    Part of the training images is held out to validate on: the weights of the epoch that is best on them are kept, and
    the test images are read once, at the end, by these.
    """
    from gradpath.cli._live import Display
    from gradpath.report import as_text
    from gradpath.training import VALIDATION, team_of, train, train_seeds

    start = _start(weights, padding, normalised_by)
    largest = recipe["batch_size"] == _AUTO
    folder = output or Path("runs") / f"{_file_name(net)}-{datetime.now():%Y%m%d-%H%M%S}"
    how: dict[str, Any] = {
        "recipe": _recipe(recipe, start is not None, largest),
        "weights": start,
        "validation": VALIDATION if validation is None else validation,
        "seed": seed,
        "device": device,
        "execution": precision and Execution(precision=precision, layout="channels_last", reason="asked for"),
        "backend": backend,
        "memory": memory,
        "largest_batch": largest,
        "output": folder,
        "name": net if _is_target(net) else None,
        "snapshot_seconds": snapshot_every,
        "sync_norm": sync_norm,
        "watch": watch,
        "overwrite": overwrite and resume is None,
        "arguments": _resume.arguments(),
    }
    images = _options.sized(data, image_size)
    with team_of(device) as (team, how["device"]), Display(quiet or not team.leads) as display:
        listener = _logs.listener(display, folder, tensorboard, wandb) if team.leads else display
        record = (
            train(_model(net), images, resume=resume is not None, listener=listener, **how)
            if seeds is None
            else train_seeds(_model(net), images, seeds=seeds, listener=listener, **how)
        )
    if team.leads:
        _write_cards(record, folder)
        show(record.to_json().rstrip("\n") if form == "json" else laid_out(partial(as_text, record), sys.stdout))
        if record.interrupted:
            tell(f"stopped; to go on: gradpath train --resume {folder}")
        elif not quiet:
            tell(f"written to {folder}")
    return 3 if record.interrupted else 0


def _write_cards(record: RunRecord | Seeds, folder: Path) -> None:
    """A model card beside the weights of each run."""
    from gradpath.report import render

    if isinstance(record, Seeds):
        places = [folder / run.folder for run in record.runs]
        runs = [(read(place / "run.json"), place) for place in places if (place / "run.json").is_file()]
    else:
        runs = [(record, folder)]
    for run, place in runs:
        if isinstance(run, RunRecord) and run.weights is not None:
            render(run, place / "model-card.md")


def _start(file: str | None, padding: Padding | None, normalise: Any) -> Weights | None:
    from gradpath.training import Weights

    if file is None:
        if padding is not None or normalise is not None:
            raise click.UsageError("--padding and --normalise say what --weights FILE does not: give the file")
        return None
    return Weights(file, normalise=normalise, padding=padding)


def _recipe(given: dict[str, Any], has_weights: bool, largest: bool) -> Any:
    """The recipe asked for; with weights to start from, finetune where none was."""
    context = click.get_current_context()
    if has_weights and context.get_parameter_source(NAME) is click.core.ParameterSource.DEFAULT:
        given[NAME] = "finetune"
    return chosen(given | ({"batch_size": None} if largest else {}))


def _is_target(net: str) -> bool:
    return ":" in net or net.endswith(".py")


def _model(net: str) -> str | Callable[[], nn.Module]:
    """A name of ours as it is; for a TARGET what makes its model, anew for each seed."""
    if not _is_target(net):
        return net

    def made() -> nn.Module:
        from gradpath.cli._target import load_target

        return load_target(net).model

    return made


def _file_name(net: str) -> str:
    return re.sub(r"[^\w.-]+", "-", net).strip("-.") or "net"
