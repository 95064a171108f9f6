"""`gradpath data`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gradpath.cli import _options
from gradpath.cli._asked import as_format
from gradpath.cli._console import laid_out, show, tell
from gradpath.cli._spoken import Spoken
from gradpath.errors import UserError
from gradpath.record import DataReport, write_whole

if TYPE_CHECKING:
    from gradpath.training import Images

_ENDINGS = (".png", ".txt", ".md", ".json")


@click.command("data", cls=Spoken)
@click.argument("source", metavar="[DATA]", default="fashion-mini")
@_options.image_size
@click.option(
    "--output",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="A folder for data.json and sheet.png, or a file whose ending decides: .png (a contact sheet) .txt .md .json.",
)
@as_format
@_options.quiet
def command(source: str, image_size: int | None, output: Path | None, form: str, quiet: bool) -> None:
    """Describe DATA: classes, counts, sizes, mean and deviation, balance, what cannot be read and why.

    DATA is what --data takes: fashion-mini, an .npz file, a folder of photos (CLASS/*, or train/CLASS/* with test/ or
    val/ beside it), IDX, CIFAR or SVHN files, hf:NAME for Hugging Face's library datasets. Unreadable photos are
    listed; training skips up to 1 % of them.
    """
    _check_output(output)
    from gradpath.training import describe

    report, images = describe(source, image_size=image_size)
    show(_printed(report, form))
    if output is not None:
        written = _keep(report, images, output)
        if not quiet:
            tell(f"written to {', '.join(map(str, written))}")


def _check_output(output: Path | None) -> None:
    if output is not None and output.suffix and not output.is_dir() and output.suffix.lower() not in _ENDINGS:
        raise UserError(
            f"--output {output}: the ending is none of {', '.join(_ENDINGS)}; a name without one is a folder"
        )


def _printed(report: DataReport, form: str) -> str:
    from gradpath.report._data_text import data_markdown, data_text

    if form == "json":
        return report.to_json().rstrip("\n")
    if form == "markdown":
        return data_markdown(report).rstrip("\n")
    return laid_out(partial(data_text, report), sys.stdout)


def _keep(report: DataReport, images: Images, output: Path) -> list[Path]:
    from gradpath.report import render

    if not output.suffix or output.is_dir():
        return [report.save(output / "data.json"), _sheet(report, images, output / "sheet.png")]
    if output.suffix.lower() == ".png":
        return [_sheet(report, images, output)]
    return [render(report, output)]


def _sheet(report: DataReport, images: Images, file: Path) -> Path:
    from gradpath.report._data_sheet import contact_sheet

    sheet = contact_sheet(images.train_images, images.train_labels.numpy(), report.info.classes)
    return write_whole(file, sheet)
