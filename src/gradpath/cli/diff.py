"""`gradpath diff`: two flows side by side, with an exit code for CI."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gradpath.cli import _asked
from gradpath.cli._console import show, width_of
from gradpath.record import TOLERANCE_DECADES, FlowDiff, diff


@click.command("diff")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    default=TOLERANCE_DECADES,
    show_default=True,
    metavar="DECADES",
    help="Largest ratio that counts as the same (0.3 is a factor of 2).",
)
@_asked.output_to(".txt .md .csv .json")
@_asked.as_format
@_asked.quiet
def command(a: Path, b: Path, tolerance: float, output: Path | None, form: str, quiet: bool) -> int:
    """Compare two flows, A and B: commits, checkpoints, a plain net against a residual one.

    A and B are records that `gradpath trace --output` wrote, or their folders. Exit code 0: they agree; 1: a gradient,
    the effective depth or a share differs by more than the tolerance, or B has a finding that A does not have.
    """
    from gradpath.cli._destination import check_output, keep, tell_where
    from gradpath.cli._records import read_flow

    check_output(output, FlowDiff)
    found = diff(read_flow(a), read_flow(b), tolerance, str(a), str(b))
    show(_printed(found, form))
    if output is not None:
        written = keep(found, output, "diff")
        if not quiet:
            tell_where(written)
    return 0 if found.agrees else 1


def _printed(found: FlowDiff, form: str) -> str:
    from gradpath.report import as_text, diff_markdown

    if form == "json":
        return found.to_json().rstrip("\n")
    text = diff_markdown(found) if form == "markdown" else as_text(found, width_of(sys.stdout))
    return text.rstrip("\n")
