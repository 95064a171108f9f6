"""The command line: parse, call, print. Commands are imported when they are asked for, so that `--help` is quick."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import warnings

import click

from gradpath import __version__
from gradpath.cli._console import make_safe, tell
from gradpath.errors import GradpathError

_DOORS = {  # door → command → (module, one line)
    "Look": {
        "trace": ("trace", "where the gradient of your model goes: verdict, where, why, what would cure it"),
        "paths": ("paths", "the gradient by the length of its paths: how many branches deep the net really is"),
        "diff": ("diff", "two flows side by side, with an exit code for CI"),
        "report": ("report", "show a saved record again, as text, picture or page"),
        "follow": ("follow", "a run that gradpath.watch is writing, as it goes"),
        "view": ("view", "open a record's page in a browser, here or over ssh"),
    },
    "Learn": {
        "explain": ("explain", "the chain rule, gate by gate: a circuit with its numbers, step by step"),
        "compare": ("compare", "train plain, residual and dense nets side by side, and say what was seen"),
    },
    "Build": {
        "nets": ("nets", "the networks by name; one layer by layer, several side by side"),
        "recipes": ("recipes", "how to train: the papers' recipes and ours, every field and its source"),
        "train": ("train", "train one net and keep its weights and its record"),
        "plan": ("plan", "the fastest training step that fits a memory, the largest batch, the deepest net"),
        "data": ("data", "describe a data set: classes, sizes, balance, what cannot be read"),
        "eval": ("evaluate", "count how many test images a file of weights gets right"),
        "export": ("export", "write a file of weights as ONNX or .pt2, checked against the net"),
        "predict": ("predict", "say what a file of weights calls your images"),
    },
}
# How long an OpenMP thread spins at a barrier before it sleeps. The default is long: where another process takes a
# core, a training step then takes ten times as long (docs/log.md). Must be set before torch is imported.
_SPIN = "20000"
_LOOK = "In Python: gradpath.trace(model, batch, criterion), and print(gradpath.render(flow))."


class _Doors(click.Group):
    """A group whose commands lie behind three doors and are loaded on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for commands in _DOORS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for commands in _DOORS.values():
            if cmd_name in commands:
                module = importlib.import_module(f"gradpath.cli.{commands[cmd_name][0]}")
                command: click.Command = module.command
                return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.list_commands(ctx) and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            there = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self.list_commands(ctx))}"
            raise click.UsageError(f"no command {args[0]!r}; {there}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for door, commands in _DOORS.items():
            with formatter.section(door):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])


def _where_help_is(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return "" if context is None else f" (see {context.command_path} --help)"


@click.group(cls=_Doors, epilog=_LOOK, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gradpath")
def cli() -> None:
    """Why deep networks train, or do not: see where the gradient dies and which path still carries it."""


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 a check failed, 2 the user's input, 3 interrupted, results saved."""
    make_safe()
    warnings.formatwarning = lambda message, *_: f"gradpath: {message}\n"
    os.environ.setdefault("GOMP_SPINCOUNT", _SPIN)
    try:
        code = cli.main(prog_name="gradpath", standalone_mode=False)
    except GradpathError as error:
        tell(f"gradpath: {error}")
        code = 2
    except click.ClickException as error:
        tell(f"gradpath: {error.format_message()}{_where_help_is(error)}")
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        tell("gradpath: interrupted")
        code = 3
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        sys.stderr.close()
        code = 0
    sys.exit(code if isinstance(code, int) else 0)
