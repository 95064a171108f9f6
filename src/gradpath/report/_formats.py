"""Which record can be shown in which format, as one table. What draws is imported when it is asked for."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gradpath.errors import UserError
from gradpath.record import CircuitRecord, Comparison, Flow, Record, RunRecord
from gradpath.report import _columns as columns
from gradpath.report import _text as text
from gradpath.report._columns import Column

Writer = Callable[[Any], bytes]
DEFAULT_WIDTH = 80


def as_text(record: Record, width: int = DEFAULT_WIDTH) -> str:
    """The record as plain text of at most `width` columns, without colour. Raises UserError for kinds without text."""
    if isinstance(record, CircuitRecord):
        from gradpath.report.circuit import circuit_text

        return circuit_text(record, width)
    if isinstance(record, Comparison):
        return text.comparison_text(record, width)
    if isinstance(record, Flow):
        return text.flow_text(record, width)
    if isinstance(record, RunRecord):
        return text.run_text(record, width)
    raise UserError(f"cannot show a {type(record).__name__} as text: it is a specification or a part, save it as .json")


def _text(record: Record) -> bytes:
    return as_text(record).encode()


def _json(record: Record) -> bytes:
    return record.to_json().encode()


def _html(record: Record) -> bytes:
    from gradpath.report._html import page

    return page(record).encode()


def _png(record: Record) -> bytes:
    from gradpath.report._png import png

    return png(record)


def _drawn_svg(record: Record) -> bytes:
    from gradpath.report._png import svg

    return svg(record)


def _circuit_svg(record: CircuitRecord) -> bytes:
    from gradpath.report.circuit import circuit_svg

    return circuit_svg(record).encode()


def _net_csv(record: Comparison) -> bytes:
    return _csv(columns.NET_COLUMNS, record.nets)


def _layer_csv(record: Flow) -> bytes:
    return _csv(columns.LAYER_COLUMNS, record.layers)


def _epoch_csv(record: RunRecord) -> bytes:
    return _csv(columns.EPOCH_COLUMNS, list(enumerate(record.epochs, 1)))


def _csv(heads: Sequence[Column[Any]], rows: Iterable[Any]) -> bytes:
    """Raw values under names with units; an empty field where there is none."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([column.key for column in heads])
    writer.writerows([[(c.value or c.cell)(row) for c in heads] for row in rows])
    return file.getvalue().encode()


FORMATS: dict[type[Record], dict[str, Writer]] = {
    Comparison: {"html": _html, "png": _png, "svg": _drawn_svg, "txt": _text, "csv": _net_csv, "json": _json},
    Flow: {"html": _html, "png": _png, "svg": _drawn_svg, "txt": _text, "csv": _layer_csv, "json": _json},
    RunRecord: {"txt": _text, "csv": _epoch_csv, "json": _json},
    CircuitRecord: {"html": _html, "svg": _circuit_svg, "txt": _text, "json": _json},
}


def writer(record: Record, ending: str, asked: str) -> Writer:
    """The function that makes the bytes of a file with that ending. Raises UserError naming the endings there are."""
    formats = FORMATS.get(type(record), {"json": _json})
    if ending not in formats:
        raise UserError(
            f"cannot write a {type(record).__name__} as {asked!r}: its formats are "
            f"{', '.join('.' + name for name in formats)}"
        )
    return formats[ending]
