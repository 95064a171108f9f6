"""`gradpath diff`: two flows side by side, with an exit code for CI."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

from gradpath.cli import _asked
from gradpath.cli._console import laid_out, readable, show
from gradpath.record import TOLERANCE_DECADES, Flow, FlowDiff, diff, write_whole


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
@_asked.output_to(".html .txt .md .csv .json")
@_asked.as_format
@_asked.quiet
@_asked.spoken
def command(a: Path, b: Path, tolerance: float, output: Path | None, form: str, quiet: bool) -> int:
    """Compare two flows, A and B: commits, checkpoints, a plain net against a residual one.

    A and B are records that `gradpath trace --output` wrote, or their folders. Exit code 0: they agree; 1: a gradient,
    the effective depth or a share differs by more than the tolerance, or B has a finding that A does not have.
    """
    from gradpath.cli._destination import check_output, tell_where
    from gradpath.cli._records import read_flow

    check_output(output, FlowDiff)
    flows = read_flow(a), read_flow(b)
    found = diff(*flows, tolerance, str(a), str(b))
    show(_printed(found, form))
    if output is not None:
        written = _kept(found, flows, output)
        if not quiet:
            tell_where(written)
    return 0 if found.agrees else 1


def _kept(found: FlowDiff, flows: tuple[Flow, Flow], output: Path) -> list[Path]:
    """As for other records, but the page shows both flows beside their difference."""
    from gradpath.cli._destination import PAGE, keep
    from gradpath.cli._records import short_names
    from gradpath.report._report_page import report_page

    is_page = output.suffix.lower() == ".html" and not output.is_dir()
    written = [] if is_page else keep(found, output, "diff")
    page = output if is_page else output / PAGE
    if is_page or page in written:
        text = report_page(flows, short_names([Path(found.name_a), Path(found.name_b)]), tolerance=found.tolerance)
        write_whole(page, text.encode())
    return written or [page]


def _printed(found: FlowDiff, form: str) -> str:
    from gradpath.report import as_text, diff_markdown

    if form == "json":
        return found.to_json().rstrip("\n")
    if form == "markdown":
        return readable(partial(diff_markdown, found), sys.stdout).rstrip("\n")
    return laid_out(partial(as_text, found), sys.stdout)
