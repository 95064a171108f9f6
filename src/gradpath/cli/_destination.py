"""Where results go: a folder for a record and its report, or one file whose ending decides."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

from gradpath.cli._console import tell
from gradpath.errors import MissingExtraError, UserError
from gradpath.record import Record
from gradpath.report import FORMATS, render

PORT = 8000
PAGE = "report.html"


def check_output(output: Path | None, kind: type[Record]) -> None:
    """Raises UserError, before any work, where --output can be neither a folder nor a file of this kind of record."""
    if output is None or output.is_dir():
        return
    if not output.suffix:
        if output.exists():
            raise UserError(f"--output {output}: is a file, not a folder: give it another name, or one with an ending")
        return
    if output.suffix[1:].lower() not in FORMATS[kind]:
        endings = ", ".join(f".{ending}" for ending in FORMATS[kind])
        raise UserError(f"--output {output}: the ending is none of {endings}; a name without one is a folder")


def keep(record: Record, output: Path, name: str, others: Mapping[str, Record] | None = None) -> list[Path]:
    """Write a record: to a file, or to a folder as NAME.json with its page, and others beside it as OTHER.json."""
    if output.suffix and not output.is_dir():
        return [render(record, output)]
    written = [record.save(output / f"{name}.json")]
    if "html" in FORMATS[type(record)]:
        try:
            written.append(render(record, output / PAGE))
        except MissingExtraError as error:
            tell(f"gradpath: {PAGE} left out: {error}")
    return written + [other.save(output / f"{stem}.json") for stem, other in (others or {}).items()]


def tell_where(written: list[Path]) -> None:
    """Say what was written, and how to see its page from another machine."""
    folder = written[0].parent
    named = ", ".join(path.name for path in written)
    tell(f"written to {folder}: {named}" if len(written) > 1 else f"written to {written[0]}")
    pages = [path for path in written if path.suffix == ".html"]
    if pages:
        tell(f"to see it: gradpath view {pages[0]}   (over ssh: {from_elsewhere(pages[0])})")


def from_elsewhere(page: Path) -> str:
    """The command that brings a page to another machine."""
    return f"scp {platform.node() or 'HOST'}:{page.resolve()} ."
