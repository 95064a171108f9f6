"""`gradpath explain`: the article's circuits, walked through step by step."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gradpath.cli._console import show, tell

if TYPE_CHECKING:
    from gradpath.record import CircuitRecord

_NARROWEST, _WIDEST = 50, 100


@click.command()
@click.argument("name", required=False)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a value (--set x=3 --set w1=0.5) or an option of the circuit (--set blocks=5, --set gate=max). "
    "May be given several times; --list shows the options.",
)
@click.option("--list", "listing", is_flag=True, help="List the circuits, one line each.")
@click.option("--format", "form", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a file instead; its ending decides: .svg .json .txt .md",
)
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True)
def explain(
    name: str | None, settings: tuple[str, ...], listing: bool, form: str, output: Path | None, lang: str
) -> None:
    """Walk through a small circuit, forward and backward, one gate at a time.

    NAME is a circuit of the gallery, for example plain or residual; without it they are listed.
    """
    from gradpath.record import write_whole

    if listing or name is None:
        show(_listing(lang))
        return
    write = _writer(output) if output else None  # an ending that is not known is said before any work
    record = _walked(name, settings, lang)
    if output is None or write is None:
        show(_printed(record, form).rstrip("\n"))
    else:
        tell(f"wrote {write_whole(output, write(record).encode())}")


def _listing(lang: str) -> str:
    from gradpath.circuits import describe, names

    width = max(map(len, names()))
    return "\n".join(f"{name:<{width}}  {describe(name, lang)}" for name in names())


def _walked(name: str, settings: tuple[str, ...], lang: str) -> CircuitRecord:
    """The record of the circuit, each setting taken as one of its options or as a value."""
    from gradpath.circuits import circuit, option_names
    from gradpath.errors import CircuitError

    known = option_names(name)
    options: dict[str, str] = {}
    values: dict[str, str] = {}
    for setting in settings:
        key, sign, value = (part.strip() for part in setting.partition("="))
        if not (key and sign and value):
            raise CircuitError(f"--set takes NAME=VALUE, for example --set x=3; it was {setting!r}")
        (options if key in known else values)[key] = value
    return circuit(name, values=values, language=lang, **options)


def _writer(output: Path) -> Callable[[CircuitRecord], str]:
    from gradpath.errors import UserError
    from gradpath.report.circuit import circuit_markdown, circuit_svg, circuit_text

    writers: dict[str, Callable[[CircuitRecord], str]] = {
        ".svg": circuit_svg,
        ".json": lambda record: record.to_json(),
        ".txt": circuit_text,
        ".md": circuit_markdown,
    }
    if output.suffix.lower() not in writers:
        raise UserError(f"--output {output}: the ending {output.suffix!r} is not one of {', '.join(writers)}")
    return writers[output.suffix.lower()]


def _printed(record: CircuitRecord, form: str) -> str:
    from gradpath.report.circuit import circuit_markdown, circuit_text

    if form == "json":
        return record.to_json()
    if form == "markdown":
        return circuit_markdown(record)
    columns = shutil.get_terminal_size((80, 24)).columns
    return circuit_text(record, min(max(columns, _NARROWEST), _WIDEST))


command = explain  # the name under which the group looks for it
