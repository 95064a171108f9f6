"""`gradpath explain`: the article's circuits, walked through step by step. (Imported when the command is asked for.)"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from gradpath.circuits import circuit, describe, names, option_names
from gradpath.cli import _options
from gradpath.cli._console import show, tell
from gradpath.cli._pictures import PICTURES, Picture
from gradpath.errors import CircuitError, UserError
from gradpath.record import CircuitRecord, write_whole
from gradpath.report.circuit import circuit_markdown, circuit_text

if TYPE_CHECKING:
    from gradpath.report._motion import Shots

_NARROWEST, _WIDEST = 50, 100
_PAGE = ".html"
_TEXTS: dict[str, tuple[str, Callable[[CircuitRecord], str]]] = {  # ending → (what --format calls it, writer)
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
    help="Write a file instead; its ending decides: .svg .gif .mp4 (they move) .png .json .txt .md. "
    "Without NAME, .html: the whole explainer as one page that works offline.",
)
@click.option(
    "--open", "opened", is_flag=True, help="Open the explainer in a browser, at NAME's figure if one is given."
)
@click.option("--still", is_flag=True, help="An .svg that does not move: the whole drawing with its caption.")
@click.option("--frame", type=int, metavar="K", help="An .svg or .png of one step: 0 is before the first.")
@click.option(
    "--theme", type=click.Choice(["auto", "light", "dark"]), help="Colours; auto: those of the reader (.svg)."
)
@click.option("--width", type=int, metavar="PIXELS", help="Of a .png, .gif or .mp4; 16:9.  [default: 1280]")
@_options.language
@click.pass_context
def explain(
    context: click.Context,
    /,
    name: str | None,
    settings: tuple[str, ...],
    listing: bool,
    form: str | None,
    output: Path | None,
    opened: bool,
    lang: str,
    **picture: Any,
) -> None:
    """Walk through a small circuit, forward and backward, one gate at a time.

    NAME is a circuit of the gallery, for example plain or residual; without it they are listed. --open shows all of
    them as one page: why ResNet and DenseNet can be so deep, from one gate to real networks.
    """
    if opened or (name is None and output is not None and output.suffix.lower() == _PAGE):
        from gradpath.cli._explainer import explainer_page

        is_asked = context.get_parameter_source("lang") is not ParameterSource.DEFAULT
        explainer_page(_checked_page(output), lang if is_asked else None, opened, name)
        return
    asked = Picture(**picture)
    if output is None:
        asked.check(None)
    if listing or name is None:
        show(_on_this_console(_listing, lang))
    elif output is None:
        show(_on_this_console(lambda spoken: _printed(_walked(name, settings, spoken), form), lang))
    else:
        content = _content(output, form, asked)  # an ending that does not fit is said before any work
        tell(f"wrote {write_whole(output, content(name, settings, lang))}")


def _checked_page(output: Path | None) -> Path | None:
    if output is not None and output.suffix.lower() != _PAGE:
        raise UserError(
            f"--open shows a page, and --output {output} is none: give it the ending {_PAGE}, or leave it out"
        )
    return output


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


def _sets(settings: tuple[str, ...], option: str) -> bool:
    return any(setting.partition("=")[0].strip() == option for setting in settings)


def _shots(name: str, settings: tuple[str, ...], lang: str) -> Shots:
    """The circuit's walk; of the truck the article's picture: the queue without the express lane, below it with one.
    The gates of one lane are asked for by --set lane=…"""
    from gradpath.report._motion import truck_shots, walk_shots

    if name != "truck" or _sets(settings, "lane"):
        return walk_shots(_walked(name, settings, lang))
    without, express = (_walked("truck", (*settings, f"lane={lane}"), lang) for lane in ("none", "express"))
    return truck_shots(without, express)


def _content(output: Path, form: str | None, picture: Picture) -> Callable[[str, tuple[str, ...], str], bytes]:
    """What makes the file's content of a circuit's name, settings and language. Raises UserError where the ending does
    not fit what else was asked for."""
    ending = output.suffix.lower()
    if ending not in (*PICTURES, *_TEXTS):
        known = ", ".join((*PICTURES, *_TEXTS))
        raise UserError(f"--output {output}: the ending {output.suffix!r} is not one of {known}")
    meant, write = _TEXTS.get(ending, (ending[1:], None))
    if form not in (None, meant):
        raise UserError(
            f"--format {form} and --output {output} disagree: the ending {output.suffix} means {meant}; "
            "leave out --format, or give the file another ending"
        )
    if write is None:
        draw = picture.writer(ending)
        return lambda *circuit: draw(_shots(*circuit))
    picture.check(ending)
    return lambda *circuit: write(_walked(*circuit)).encode()


def _printed(record: CircuitRecord, form: str | None) -> str:
    if form == "json":
        return record.to_json().rstrip("\n")
    if form == "markdown":
        return circuit_markdown(record).rstrip("\n")
    columns = shutil.get_terminal_size((80, 24)).columns
    return circuit_text(record, min(max(columns, _NARROWEST), _WIDEST)).rstrip("\n")


command = explain  # the name under which the group looks for it
