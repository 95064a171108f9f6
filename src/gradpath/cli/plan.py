"""`gradpath plan`: the fastest exact training step that fits a memory."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gradpath.cli import _asked, _options
from gradpath.cli._asked import Asked
from gradpath.cli._console import laid_out, readable, show, tell
from gradpath.cli._spoken import Spoken
from gradpath.record import Plan

if TYPE_CHECKING:
    from gradpath.cli._plan_ask import Wanted


@click.command("plan", cls=Spoken)
@_asked.model_options
@click.option(
    "--batch-size", type=click.IntRange(1), metavar="N", help="Samples in a batch, in place of the input's first size."
)
@_options.memory("  [default: 80%; of a search auto]")
@click.option(
    "--optimizer",
    metavar="NAME",
    default="sgd-momentum",
    show_default=True,
    help="Whose state is counted: sgd, sgd-momentum, adam, adamw …",
)
@click.option("--autocast", type=click.Choice(["bfloat16", "float16"]), help="Plan for training under torch.autocast.")
@click.option(
    "--blocks",
    multiple=True,
    metavar="NAME",
    help="The module whose children are planned; several times: the modules, in their order.  [default: found]",
)
@click.option("--largest-batch", is_flag=True, help="Search the largest batch that fits.")
@click.option("--deepest", is_flag=True, help="Search the deepest net of TARGET's family that fits (a name of ours).")
@click.option(
    "--slowdown",
    type=click.FloatRange(1),
    default=1.5,
    show_default=True,
    metavar="FACTOR",
    help="What --largest-batch and --deepest may cost in time, against keeping everything.",
)
@click.option(
    "--calculate",
    type=click.IntRange(1),
    metavar="BLOCKS",
    help="Also a rule of thumb for so many blocks like these, held by a machine or not.",
)
@click.option("--no-check", is_flag=True, help="Do not run a real step to measure its peak.")
@click.option("--layers", is_flag=True, help="Every layer, in the order of the forward.")
@_asked.output_to(".html .png .svg .txt .md .csv .json")
@_asked.as_format
@_asked.quiet
@_options.spoken
def command(
    asked: Asked | None,
    batch_size: int | None,
    memory: str | None,
    optimizer: str,
    autocast: str | None,
    blocks: tuple[str, ...],
    largest_batch: bool,
    deepest: bool,
    slowdown: float,
    calculate: int | None,
    no_check: bool,
    layers: bool,
    output: Path | None,
    form: str,
    quiet: bool,
) -> int:
    """Plan the fastest exact training step of TARGET that fits a memory: which block keeps what for its backward.

    TARGET is what it is for `gradpath trace`. A model without blocks to plan gets its memory per layer.
    """
    asked = replace(_asked.required(asked, "plan"), batch_size=batch_size)
    from gradpath.cli._destination import check_output, keep, tell_where
    from gradpath.cli._plan_ask import Wanted

    check_output(output, Plan)
    if calculate is not None and form != "text":
        raise click.UsageError("--calculate is printed as text alone: leave out --format")
    wanted = Wanted(memory, optimizer, autocast, blocks, slowdown, check=not no_check)
    plan, found = _searched(asked, wanted, largest_batch, deepest)
    rule = "" if calculate is None else _rule(plan, calculate)
    show(_printed(plan, found, form, layers) + rule)
    if output is not None:
        written = keep(plan, output, "plan")
        if not quiet:
            tell_where(written)
    elif not quiet:
        tell("--output FOLDER keeps the plan and its page; in Python: gp.apply_plan(model, gp.read('plan.json'))")
    return 0


def _searched(asked: Asked, wanted: Wanted, largest_batch: bool, deepest: bool) -> tuple[Plan, str]:
    """The plan, and what was found on the way to it ('' without a search)."""
    from gradpath.cli import _plan_ask as ask

    if largest_batch and deepest:
        raise click.UsageError("--largest-batch holds the depth and --deepest the batch: give one of the two")
    if largest_batch:
        return ask.largest(asked, wanted)
    if deepest:
        return ask.deepest_net(asked, wanted)
    return ask.planned(asked, wanted), ""


def _rule(plan: Plan, blocks: int) -> str:
    from gradpath.cli._plan_rule import rule_text

    return "\n\n" + laid_out(partial(rule_text, plan, blocks), sys.stdout)


def _printed(plan: Plan, found: str, form: str, layers: bool) -> str:
    from gradpath.report import plan_markdown, plan_text

    if form == "json":
        return plan.to_json().rstrip("\n")
    if form == "markdown":
        title = f"**{found}**\n\n" if found else ""
        return title + readable(partial(plan_markdown, plan, layers=layers), sys.stdout).rstrip("\n")
    return laid_out(partial(plan_text, plan, layers=layers, found=found), sys.stdout)
