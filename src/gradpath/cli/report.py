"""`gradpath report`: saved records, shown again without their model."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

from gradpath.cli import _asked
from gradpath.cli._console import laid_out, readable, show, tell
from gradpath.errors import UserError
from gradpath.record import write_whole


@click.command("report")
@click.argument("paths", metavar="RECORD…", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a file instead; its ending decides: .html .png .svg .txt .csv .md .json, as the record allows. "
    "Several records share an .html page.",
)
@click.option(
    "--redact",
    is_flag=True,
    help="Without names of modules, classes and files, lines of source and notes: a page to send around.",
)
@_asked.as_format
@_asked.spoken
def command(paths: tuple[Path, ...], output: Path | None, redact: bool, form: str) -> None:
    """Show each RECORD again: a record's file, the folder of a run, or the log of a watched one.

    With --output report.html all of them stand on one page, flows side by side with their differences.
    """
    if output is not None and output.suffix.lower() == ".html":
        _write_page(paths, output, redact)
        return
    if redact or len(paths) > 1:
        raise UserError("--redact and several records need a page: add --output report.html")
    _show_one(paths[0], output, form)


def _write_page(paths: tuple[Path, ...], output: Path, redact: bool) -> None:
    from gradpath.cli._records import read_shown, short_names
    from gradpath.record import CircuitRecord, Plan
    from gradpath.report import render
    from gradpath.report._report_page import report_page

    shown = [read_shown(path) for path in paths]
    if isinstance(shown[0], CircuitRecord) and len(shown) == 1:
        tell(f"wrote {render(shown[0], output)}")  # the article's own numbers: nothing to redact
        return
    if isinstance(shown[0], Plan) and len(shown) == 1 and not redact:
        tell(f"wrote {render(shown[0], output)}")
        return
    names = short_names(paths) if len(paths) > 1 else []
    page = report_page(shown, names, redact=redact)
    tell(f"wrote {write_whole(output, page.encode())}")


def _show_one(path: Path, output: Path | None, form: str) -> None:
    from gradpath.cli._records import read_any
    from gradpath.report import FORMATS, as_text, render

    if path.suffix == ".jsonl":
        raise UserError(
            f"{path}: holds a watched run: gradpath follow {path} shows it, --output x.html writes its page"
        )
    record, _ = read_any(path)
    if output is not None:
        tell(f"wrote {render(record, output)}")
        return
    writers = FORMATS.get(type(record), {})
    if form == "markdown" and "md" not in writers:
        raise UserError(f"a {type(record).__name__} has no Markdown: --format text or json")
    if form == "text":
        show(laid_out(partial(as_text, record), sys.stdout))
    else:
        markdown = readable(lambda: writers["md"](record).decode(), sys.stdout) if form == "markdown" else ""
        show((markdown or record.to_json()).rstrip("\n"))
