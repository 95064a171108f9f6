"""Records as CSV: raw values under names with units; an empty field where there is none."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from gradpath.record import Comparison, Evaluation, Flow, FlowDiff, PathLengths, Plan, RunRecord, Seeds, table_rows
from gradpath.record._tables import plain_rows
from gradpath.report import _columns as columns
from gradpath.report._columns import Column
from gradpath.report._run_text import CLASS_COLUMNS, SEED_COLUMNS, class_rows


def net_csv(record: Comparison) -> bytes:
    return _of_columns(columns.NET_COLUMNS, record.nets)


def epoch_csv(record: RunRecord) -> bytes:
    return _of_columns(columns.EPOCH_COLUMNS, list(enumerate(record.epochs, 1)))


def evaluation_csv(record: Evaluation) -> bytes:
    """A row for each class: its images, what was right, and, up to a limit, what they were called."""
    called = [f"called {name}" for name in (*record.classes, "another class")][: len((record.confusion or ((),))[0])]
    heads = [column.key for column in CLASS_COLUMNS] + called
    rows = zip(class_rows(record), record.confusion or ((),) * len(record.classes), strict=True)
    return _written([heads, *([(c.value or c.cell)(row) for c in CLASS_COLUMNS] + list(more) for row, more in rows)])


def seeds_csv(record: Seeds) -> bytes:
    return _of_columns(SEED_COLUMNS, record.runs)


def layer_csv(record: Flow) -> bytes:
    """The rows of `Flow.to_pandas()`."""
    return _of_rows(table_rows(record, "layers"))


def diff_csv(record: FlowDiff) -> bytes:
    return _of_rows(list(plain_rows(record.layers)))


def paths_csv(record: PathLengths) -> bytes:
    shares: Sequence[float | None] = record.shares or (None,) * len(record.lengths)
    columns = zip(record.lengths, shares, record.norm_masses, record.log10_norms, strict=True)
    return _written([("length", "share", "norm_mass", "log10_norm"), *columns])


def plan_csv(record: Plan) -> bytes:
    """A row for each call of a layer: what it costs under plain autograd."""
    return _of_rows([layer.to_dict() for layer in record.layers])


def _of_rows(rows: Sequence[dict[str, Any]]) -> bytes:
    return _written([list(rows[0])] + [list(row.values()) for row in rows] if rows else [])


def _of_columns(heads: Sequence[Column[Any]], rows: Iterable[Any]) -> bytes:
    return _written([[c.key for c in heads], *([(c.value or c.cell)(row) for c in heads] for row in rows)])


def _written(rows: Iterable[Sequence[Any]]) -> bytes:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue().encode()
