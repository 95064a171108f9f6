"""`gradpath nets`."""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

import gradpath
from gradpath.cli import _options
from gradpath.cli._asked import as_format, output_to
from gradpath.cli._console import laid_out, show
from gradpath.cli._destination import check_output, keep, tell_where
from gradpath.record import NetComparison, NetList, NetSpec, NetTable, read, write_whole
from gradpath.record._base import field_hints

NetsRecord = NetList | NetTable | NetComparison


@click.command("nets")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--compare", is_flag=True, help="Two nets or more side by side, and what the width of their blocks costs."
)
@click.option("--full", is_flag=True, help="Every layer: blocks that repeat are not folded.")
@click.option(
    "--set",
    "changes",
    metavar="FIELD=VALUE",
    multiple=True,
    help="Change the net, such as growth_rate=24, width=32 or blocks=3,4,6,3; several times for several fields.",
)
@click.option("--classes", type=click.IntRange(1), help="Instead of the name's own.")
@click.option(
    "--input-size", metavar="PX", type=click.IntRange(1), help="Side of the images, instead of the name's own."
)
@output_to(".txt .md .json")
@as_format
@_options.quiet
def command(
    names: tuple[str, ...],
    compare: bool,
    full: bool,
    changes: tuple[str, ...],
    classes: int | None,
    input_size: int | None,
    output: Path | None,
    form: str,
    quiet: bool,
) -> None:
    """List the networks; show NAME layer by layer; or set several side by side.

    Parameters and MACs (multiply-accumulates of convolutions and linear layers) are exact; no weights are made.
    """
    overrides = _overrides(changes, classes, input_size)
    _check_usage(names, compare, full, overrides)
    kind = NetTable if len(names) == 1 else NetComparison if names else NetList
    check_output(output, kind)
    record = _described(names, overrides)
    show(_printed(record, form, full))
    if output is not None:
        written = _keep(record, output, full)
        if not quiet:
            tell_where(written)


def _check_usage(names: Sequence[str], compare: bool, full: bool, overrides: dict[str, Any]) -> None:
    if compare and len(names) < 2:
        raise click.UsageError(
            "--compare takes two names or more, as in gradpath nets --compare resnet-50 densenet-121"
        )
    if full and len(names) != 1:
        raise click.UsageError("--full shows every layer of one net: name it, as in gradpath nets resnet-110 --full")
    if overrides and not names:
        raise click.UsageError(
            f"{', '.join(overrides)} of which net? Name it, as in gradpath nets densenet-bc-100-12 --set growth_rate=24"
        )


def _overrides(changes: Sequence[str], classes: int | None, input_size: int | None) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--set {change}: write it as FIELD=VALUE, as in --set growth_rate=24")
        fields[name.strip().replace("-", "_")] = _value(name.strip().replace("-", "_"), text.strip())
    own = {"classes": classes, "input_size": input_size}
    return fields | {name: value for name, value in own.items() if value is not None}


def _value(name: str, text: str) -> Any:
    """What the text of a field stands for; text where it is nothing else: NetSpec says what it takes."""
    hint = field_hints(NetSpec).get(name)
    if text.lower() == "none" and type(None) in typing.get_args(hint):
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if typing.get_origin(hint) is tuple:
        return tuple(_value("", part.strip()) for part in text.split(",") if part.strip())
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _described(names: Sequence[str], overrides: dict[str, Any]) -> NetsRecord:
    catalogue = _catalogue()
    if not names:
        return catalogue
    from gradpath.nets import describe, resolve, side_by_side, spec_name

    specs = [resolve(name, **overrides) for name in names]
    told = ", ".join(f"{field}={value}" for field, value in overrides.items())
    named = [spec_name(spec) or f"{name} with {told}" for name, spec in zip(names, specs, strict=True)]
    if len(names) > 1:
        return side_by_side(specs, named)
    published = next((net for net in catalogue.nets if net.name == named[0]), None)
    group = next((group for group in catalogue.groups if published and group.title == published.group), None)
    return dataclasses.replace(describe(specs[0], named[0]), published=published, group=group)


def _catalogue() -> NetList:
    """The list that is shipped beside the builder: reading it needs no torch."""
    record = read(Path(gradpath.__file__).parent / "nets" / "catalogue.json")
    assert isinstance(record, NetList)
    return record


def _keep(record: NetsRecord, output: Path, full: bool) -> list[Path]:
    """As `keep`, with the layers of --full."""
    from gradpath.report._nets_text import nets_markdown, nets_text

    if not full or output.is_dir() or output.suffix.lower() not in (".md", ".txt"):
        return keep(record, output, "nets")
    text = nets_text(record, full=True) if output.suffix.lower() == ".txt" else nets_markdown(record, full=True)
    return [write_whole(output, text.encode())]


def _printed(record: NetsRecord, form: str, full: bool) -> str:
    from gradpath.report._nets_text import nets_markdown, nets_text

    if form == "json":
        return record.to_json().rstrip("\n")
    if form == "markdown":
        return nets_markdown(record, full).rstrip("\n")
    return laid_out(partial(nets_text, record, full=full), sys.stdout)
