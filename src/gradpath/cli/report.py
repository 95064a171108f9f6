"""`gradpath report`: a saved record, shown again without its model."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gradpath.cli import _asked
from gradpath.cli._console import show, tell, width_of
from gradpath.errors import UserError


@click.command("report")
@click.argument("path", metavar="RECORD", type=click.Path(path_type=Path))
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a file instead; its ending decides: .html .png .svg .txt .csv .md .json, as the record allows.",
)
@_asked.as_format
def command(path: Path, output: Path | None, form: str) -> None:
    """Show RECORD again: a record's file, or the folder of a run."""
    from gradpath.cli._records import read_any
    from gradpath.report import FORMATS, as_text, render

    record, _ = read_any(path)
    if output is not None:
        tell(f"wrote {render(record, output)}")
        return
    writers = FORMATS.get(type(record), {})
    if form == "markdown" and "md" not in writers:
        raise UserError(f"a {type(record).__name__} has no Markdown: --format text or json")
    if form == "text":
        show(as_text(record, width_of(sys.stdout)).rstrip("\n"))
    else:
        show((writers["md"](record).decode() if form == "markdown" else record.to_json()).rstrip("\n"))
