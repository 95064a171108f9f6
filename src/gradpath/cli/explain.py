"""`gradpath explain`: the article's circuits, walked through step by step. (Imported when the command is asked for.)"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import click

from gradpath.circuits import circuit, describe, names, option_names
from gradpath.cli._console import show, tell
from gradpath.errors import CircuitError, UserError
from gradpath.record import CircuitRecord, write_whole
from gradpath.report.circuit import circuit_markdown, circuit_svg, circuit_text

_NARROWEST, _WIDEST = 50, 100
_WRITERS: dict[str, tuple[str, Callable[[CircuitRecord], str]]] = {  # ending → (what --format calls it, writer)
    ".svg": ("svg", circuit_svg),
    ".json": ("json", lambda record: record.to_json()),
    ".txt": ("text", circuit_text),
    ".md": ("markdown", circuit_markdown),
}


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
@click.option("--format", "form", type=click.Choice(["text", "json", "markdown"]), show_default="text")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a file instead; its ending decides: .svg .json .txt .md",
)
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True)
def explain(
    name: str | None, settings: tuple[str, ...], listing: bool, form: str | None, output: Path | None, lang: str
) -> None:
    """Walk through a small circuit, forward and backward, one gate at a time.

    NAME is a circuit of the gallery, for example plain or residual; without it they are listed.
    """
    if listing or name is None:
        show(_on_this_console(_listing, lang))
    elif output is None:
        show(_on_this_console(lambda spoken: _printed(_walked(name, settings, spoken), form), lang))
    else:
        write = _writer(output, form)  # an ending that does not fit is said before any work
        tell(f"wrote {write_whole(output, write(_walked(name, settings, lang)).encode())}")


def _on_this_console(say: Callable[[str], str], lang: str) -> str:
    """What `say` has to say in a language; in English, with a notice, where the console has no Chinese characters."""
    text, encoding = say(lang), sys.stdout.encoding or "utf-8"
    try:
        "".join(c for c in text if "\u2e80" <= c <= "\uffef").encode(encoding)  # other signs are replaced one by one
    except UnicodeEncodeError:
        tell(
            f"gradpath: this console ({encoding}) has no Chinese characters, so the text is in English; "
            "--output writes Chinese to a file"
        )
        return say("en")
    return text


def _listing(lang: str) -> str:
    width = max(map(len, names()))
    return "\n".join(f"{name:<{width}}  {describe(name, lang)}" for name in names())


def _walked(name: str, settings: tuple[str, ...], lang: str) -> CircuitRecord:
    """The record of the circuit, each setting taken as one of its options or as a value."""
    known = option_names(name)
    options: dict[str, str] = {}
    values: dict[str, str] = {}
    for setting in settings:
        key, sign, value = (part.strip() for part in setting.partition("="))
        if not (key and sign and value):
            raise CircuitError(f"--set takes NAME=VALUE, for example --set x=3; it was {setting!r}")
        (options if key in known else values)[key] = value
    return circuit(name, values=values, language=lang, **options)


def _writer(output: Path, form: str | None) -> Callable[[CircuitRecord], str]:
    ending = output.suffix.lower()
    if ending not in _WRITERS:
        raise UserError(f"--output {output}: the ending {output.suffix!r} is not one of {', '.join(_WRITERS)}")
    meant, write = _WRITERS[ending]
    if form not in (None, meant):
        raise UserError(
            f"--format {form} and --output {output} disagree: the ending {output.suffix} means {meant}; "
            "leave out --format, or give the file another ending"
        )
    return write


def _printed(record: CircuitRecord, form: str | None) -> str:
    if form == "json":
        return record.to_json().rstrip("\n")
    if form == "markdown":
        return circuit_markdown(record).rstrip("\n")
    columns = shutil.get_terminal_size((80, 24)).columns
    return circuit_text(record, min(max(columns, _NARROWEST), _WIDEST)).rstrip("\n")


command = explain  # the name under which the group looks for it
