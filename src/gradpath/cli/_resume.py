"""`--resume RUN`: the command line that began a run, again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from gradpath.cli._spoken import Spoken

F = TypeVar("F", bound=Callable[..., Any])
RESUME = "--resume"
_BESIDE = ("--data", "--device", "--format", "--snapshot-every")
_FLAGS = ("--quiet",)
_META = "gradpath.arguments"


class Resumable(Spoken):
    """A command whose arguments `--resume RUN` takes from the run."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        run, rest = _split(list(args))
        if run is not None and not set(args) & set(ctx.help_option_names):
            args = [*_arguments_of(Path(run)), *_allowed(rest, ctx), "--output", run]
            ctx.meta[_META] = tuple(args[:-2])
            return super().parse_args(ctx, [*args, RESUME, run])
        ctx.meta[_META] = tuple(args)
        return super().parse_args(ctx, args)


def options(command: F) -> F:
    """--resume and --snapshot-every."""
    command = click.option(
        "--snapshot-every",
        metavar="SECONDS",
        type=click.FloatRange(0),
        default=60.0,
        help="How often the state is kept for --resume, beside the ends of epochs; 0: after each step.  [default: 60]",
    )(command)
    return click.option(
        RESUME,
        metavar="RUN",
        type=click.Path(path_type=Path, file_okay=False),
        help="Go on with the run in this folder where it was stopped; all else is taken from it.",
    )(command)


def arguments() -> tuple[str, ...]:
    """Of the command that runs, as they were typed; those that began the run where it goes on."""
    found: tuple[str, ...] = click.get_current_context().meta[_META]
    return found


def _split(args: list[str]) -> tuple[str | None, list[str]]:
    """The value of --resume, and the other arguments."""
    for place, argument in enumerate(args):
        if argument == RESUME and place + 1 < len(args):
            return args[place + 1], args[:place] + args[place + 2 :]
        if argument.startswith(f"{RESUME}="):
            return argument.partition("=")[2], args[:place] + args[place + 1 :]
    return None, args


def _allowed(rest: list[str], ctx: click.Context) -> list[str]:
    """What may be given with --resume. Raises UsageError for anything else."""
    place = 0
    while place < len(rest):
        name, equals, _ = rest[place].partition("=")
        if name in _FLAGS:
            place += 1
        elif name in _BESIDE:
            place += 1 if equals else 2
        else:
            allowed = ", ".join((*_BESIDE, *_FLAGS))
            raise click.UsageError(f"{RESUME} takes all but {allowed} from the run: leave out {name}", ctx)
    return rest


def _arguments_of(run: Path) -> tuple[str, ...]:
    """Those that began the run; of one that is finished its name, which stands for the net."""
    from gradpath.training import arguments_of

    return arguments_of(run)
