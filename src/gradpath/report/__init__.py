"""How it is shown: records as text, figures and one HTML file. Knows records and nothing else; never imports torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

from gradpath.errors import UserError
from gradpath.record import Record, write_whole
from gradpath.report._advice import next_steps as next_steps
from gradpath.report._diff_text import diff_markdown as diff_markdown
from gradpath.report._diff_text import diff_text as diff_text
from gradpath.report._finding import Finding as Finding
from gradpath.report._flow_text import flow_text as flow_text
from gradpath.report._formats import FORMATS as FORMATS
from gradpath.report._formats import as_text as as_text
from gradpath.report._formats import writer
from gradpath.report._markdown import flow_markdown as flow_markdown
from gradpath.report._page import Page as Page
from gradpath.report._paths_text import paths_markdown as paths_markdown
from gradpath.report._plan_text import plan_markdown as plan_markdown
from gradpath.report._plan_text import plan_text as plan_text
from gradpath.report._plan_words import plan_line as plan_line
from gradpath.report._say import speaking as speaking
from gradpath.report._text import comparison_text as comparison_text
from gradpath.report._text import run_text as run_text
from gradpath.report._verdict import findings as findings
from gradpath.report._verdict import paragraph as paragraph


@overload
def render(record: Record | Sequence[Record], path: None = None, *, axes: None = None) -> Page: ...
@overload
def render(record: Record | Sequence[Record], path: str | os.PathLike[str], *, axes: None = None) -> Path: ...
@overload
def render(record: Record, path: None = None, *, axes: Any) -> Any: ...
def render(record: Record | Sequence[Record], path: str | os.PathLike[str] | None = None, *, axes: Any = None) -> Any:
    """Show a record, or several on one page, and never need the model for it.

    Without a path: a `Page`, which displays itself in a notebook and prints as text.
    With a path: write the file whose ending says the format (.html .png .svg .txt .csv .json) and return the path;
    several records share an .html page, flows on it side by side.
    With `axes`: draw the gradient profile, the path lengths, or a plan's time against memory into these matplotlib
    axes and return them.

    Raises UserError for a format that this kind of record does not have, naming those it has;
    MissingExtraError where a drawing needs matplotlib and it is not installed.
    """
    if isinstance(record, (list, tuple)):
        return _render_several(record, path, axes)
    if not isinstance(record, Record):
        raise UserError(f"gp.render shows records, got a {type(record).__name__}: gp.trace and gp.read give records")
    if axes is not None:
        if path is not None:
            raise UserError("gp.render takes a path or axes, not both: draw into the axes, then save their figure")
        from gradpath.report._png import draw

        return draw(record, axes)
    if path is not None:
        file = Path(path)
        return write_whole(file, writer(record, file.suffix[1:].lower(), file.name)(record))
    markup = FORMATS.get(type(record), {}).get("html")
    return Page(None if markup is None else lambda: markup(record).decode(), as_text(record))


def _render_several(records: Sequence[Any], path: str | os.PathLike[str] | None, axes: Any) -> Any:
    from gradpath.report._report_page import report_page

    strange = next((type(record).__name__ for record in records if not isinstance(record, Record)), None)
    if strange is not None:
        raise UserError(f"gp.render shows records, got a list with a {strange}: gp.trace and gp.read give records")
    if axes is not None:
        raise UserError("gp.render draws one record into axes: call it once for each")
    if path is None:
        return Page(lambda: report_page(records), "\n".join(map(as_text, records)))
    file = Path(path)
    if file.suffix.lower() != ".html":
        raise UserError(f"cannot write {len(records)} records as {file.name!r}: several share an .html page")
    return write_whole(file, report_page(records).encode())
