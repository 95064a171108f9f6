"""`gradpath trace`: where the gradient of a model goes, why it dies, what would cure it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click

from gradpath.cli import _asked
from gradpath.cli._asked import Asked
from gradpath.cli._console import laid_out, readable, show, tell
from gradpath.errors import UserError
from gradpath.record import FINDING_KINDS, Finding, Flow, WhatIf, diff, new_findings

ANY = "any"


@dataclass(frozen=True)
class Checks:
    """What makes the command fail."""

    baseline: Flow | None
    kinds: tuple[str, ...]
    """Kinds of findings; empty: none fails."""
    tolerance: float | None
    """Decades; None: the numbers are not compared with the baseline's."""


@click.command("trace")
@_asked.asked_options
@_asked.batches
@click.option("--lines", is_flag=True, help="Note file and line of each fork's operations (about 5 times the time).")
@click.option(
    "--try",
    "changes",
    multiple=True,
    metavar="CHANGE",
    help="Simulate a change: init=he, skip=every:2, insert=batchnorm, activation=gelu, cut=skips, train=1 … "
    "May be given several times.",
)
@click.option("--no-cures", is_flag=True, help="Do not simulate the cures of the worst finding.")
@click.option(
    "--baseline", metavar="PATH", type=click.Path(path_type=Path), help="An earlier flow.json, or its folder."
)
@click.option(
    "--fail-on",
    metavar="KIND[,KIND]",
    help="Exit with 1 when there is such a finding and the baseline does not have it: vanishing, exploding … or any.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    metavar="DECADES",
    help="Exit with 1 when a gradient differs from the baseline's by more (0.3 is a factor of 2).",
)
@_asked.output_to(".html .png .svg .txt .md .csv .json")
@click.option("--init", metavar="[FILE]", is_flag=False, flag_value="probe.py", help="Write a probe to start from.")
@_asked.as_format
@_asked.quiet
@_asked.spoken
def command(
    asked: Asked | None,
    lines: bool,
    changes: tuple[str, ...],
    no_cures: bool,
    baseline: Path | None,
    fail_on: str | None,
    tolerance: float | None,
    output: Path | None,
    init: str | None,
    form: str,
    quiet: bool,
) -> int:
    """Show where the gradient of TARGET goes: the verdict, where, why, and what would cure it.

    TARGET is file.py:function or package.module:function, a name of ours such as resnet-110, timm:NAME or
    torchvision:NAME. The function returns a model, (model, batch) or (model, batch, loss); --init writes one.
    """
    if init is not None:
        return _write_probe(Path(init))
    asked = _asked.required(asked, "trace")
    from gradpath.cli._destination import check_output

    check_output(output, Flow)
    checks = _checks(baseline, fail_on, tolerance)
    news: Callable[[str], None] = (lambda line: None) if quiet else tell
    flow, tried = _look(asked, lines, changes, no_cures, news)
    show(_printed(flow, form))
    if output is not None:
        _keep(flow, tried, output, quiet)
    elif not quiet:
        tell("--output FOLDER keeps the record and its page")
    return _checked(flow, checks)


def _write_probe(file: Path) -> int:
    from gradpath.cli._target import write_probe

    tell(f"wrote {write_probe(file)}: put your model into it, then: gradpath trace {file}")
    return 0


def _look(
    asked: Asked, lines: bool, changes: Sequence[str], no_cures: bool, news: Callable[[str], None]
) -> tuple[Flow, list[WhatIf]]:
    """The trace, then the changes asked for and the cures worth trying, which the flow holds in short."""
    from gradpath.cli._ask import check_changes, simulated, simulated_cures, traced
    from gradpath.cli._inputs import subject_of

    check_changes(changes)
    subject = subject_of(asked)
    flow = traced(subject, lines)
    tried = simulated(subject, changes, news)
    if not no_cures:
        tried += simulated_cures(flow, subject, changes, news)
    return replace(flow, tried=tuple(what.in_short for what in tried)), tried


def _printed(flow: Flow, form: str) -> str:
    from gradpath.report import flow_markdown, flow_text

    if form == "json":
        return flow.to_json().rstrip("\n")
    if form == "markdown":
        return readable(partial(flow_markdown, flow), sys.stdout).rstrip("\n")
    return laid_out(partial(flow_text, flow), sys.stdout)


def _keep(flow: Flow, tried: Sequence[WhatIf], output: Path, quiet: bool) -> None:
    from gradpath.cli._destination import keep, tell_where

    written = keep(flow, output, "flow", {f"whatif-{_file_name(what.change)}": what for what in tried})
    if not quiet:
        tell_where(written)


def _file_name(change: str) -> str:
    return "".join(c if c.isalnum() or c in "._" else "-" for c in change)


def _checks(baseline: Path | None, fail_on: str | None, tolerance: float | None) -> Checks:
    """Raises UserError for kinds that there are not, and for a tolerance without a baseline."""
    from gradpath.cli._records import read_flow

    kinds = tuple(word.strip().replace("-", " ") for word in (fail_on or "").split(",") if word.strip())
    unknown = [kind for kind in kinds if kind not in (*FINDING_KINDS, ANY)]
    if unknown or (fail_on is not None and not kinds):
        raise UserError(f"--fail-on {fail_on}: kinds are any, {', '.join(FINDING_KINDS)}")
    if tolerance is not None and baseline is None:
        raise UserError("--tolerance compares with a baseline: give --baseline FILE as well")
    if baseline is not None and fail_on is None and tolerance is None:
        kinds = (ANY,)
    return Checks(None if baseline is None else read_flow(baseline), kinds, tolerance)


def _checked(flow: Flow, checks: Checks) -> int:
    """The exit code; what failed is said on stderr."""
    against = "" if checks.baseline is None else " that the baseline does not have"
    failed = [_title(finding) for finding in _new(flow, checks) if {finding.kind, ANY} & set(checks.kinds)]
    for title in failed:
        tell(f"gradpath: check failed: a finding{against}: {title}")
    if checks.baseline is None or checks.tolerance is None:
        return int(bool(failed))
    differs = diff(checks.baseline, flow, checks.tolerance, "baseline", "now")
    if differs.changed_layers or differs.changed_quantities:
        from gradpath.report import diff_text

        shown = laid_out(partial(diff_text, differs), sys.stderr)
        tell(f"gradpath: check failed: the baseline differs\n{shown}")
        return 1
    return int(bool(failed))


def _new(flow: Flow, checks: Checks) -> tuple[Finding, ...]:
    return flow.findings if checks.baseline is None else new_findings(flow, checks.baseline)


def _title(finding: Finding) -> str:
    return f"{finding.kind}{' at ' + finding.where if finding.where else ''}"
