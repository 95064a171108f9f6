"""`gradpath paths`: the gradient by the length of the paths it took."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

from gradpath.cli import _asked
from gradpath.cli._asked import Asked
from gradpath.cli._console import laid_out, readable, show
from gradpath.record import PathLengths


@click.command("paths")
@_asked.asked_options
@click.option(
    "--unit",
    type=click.Choice(["branches", "layers"]),
    help="What a length counts: branches of residual forks (the usual), or weighted layers (the usual in plain nets).",
)
@click.option(
    "--method",
    type=click.Choice(["exact", "mean", "veit"]),
    default="exact",
    show_default=True,
    help="All lengths; their mean alone (quick); or the path-norm mass of Veit et al. 2016, which is not additive.",
)
@click.option("--by-depth", is_flag=True, help="Also at the output of each layer: a layer × length map.")
@_asked.output_to(".txt .md .csv .json")
@_asked.as_format
@_asked.quiet
@_asked.spoken
def command(
    asked: Asked | None, unit: str | None, method: str, by_depth: bool, output: Path | None, form: str, quiet: bool
) -> int:
    """Split the gradient of TARGET by the length of its paths: how many branches deep the net really is.

    TARGET is what it is for `gradpath trace`.
    """
    asked = _asked.required(asked, "paths")
    from gradpath.cli._ask import split
    from gradpath.cli._destination import check_output, keep, tell_where
    from gradpath.cli._inputs import subject_of

    check_output(output, PathLengths)
    record = split(subject_of(asked), unit, method, by_depth, asked.seed)
    show(_printed(record, form))
    if output is not None:
        written = keep(record, output, "paths")
        if not quiet:
            tell_where(written)
    return 0


def _printed(record: PathLengths, form: str) -> str:
    from gradpath.report import as_text, paths_markdown

    if form == "json":
        return record.to_json().rstrip("\n")
    if form == "markdown":
        return readable(partial(paths_markdown, record), sys.stdout).rstrip("\n")
    return laid_out(partial(as_text, record), sys.stdout)
