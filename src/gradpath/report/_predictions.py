"""Predictions as plain text, Markdown and CSV: a row for each image, the most probable class first."""

from __future__ import annotations

import csv
import io

from gradpath import units
from gradpath.record import Prediction, Predictions, SkippedFile
from gradpath.report._columns import Column
from gradpath.report._facts import counted, printable
from gradpath.report._grid import table, wrap
from gradpath.report._markdown import markdown_table, plain

_SKIPPED = 20  # files listed
_COLUMNS: tuple[Column[Prediction], ...] = (
    Column("image", lambda p: printable(p.image), left=True),
    Column("class", lambda p: printable(p.classes[0]), left=True),
    Column("prob- ability", lambda p: units.percent(p.probabilities[0])),
    Column("then", lambda p: _others(p), keep=1, left=True),
)


def predictions_text(record: Predictions, width: int = 80) -> str:
    """The whole screen."""
    columns = _COLUMNS if len(record.images[0].classes) > 1 else _COLUMNS[:-1]
    lines = [*wrap(headline(record), width), "", *table(columns, record.images, width)[0]]
    if record.skipped:
        lines += ["", *wrap(_skipped_title(record), width)]
        lines += [line for file in _skipped_lines(record) for line in wrap(file, width, indent="  ")]
    return "\n".join(lines) + "\n"


def predictions_markdown(record: Predictions) -> str:
    """The same as Markdown."""
    parts = [f"### {plain(headline(record))}", markdown_table(_COLUMNS, record.images)]
    if record.skipped:
        parts += [plain(_skipped_title(record)), "\n".join(f"- {plain(line)}" for line in _skipped_lines(record))]
    return "\n\n".join(parts) + "\n"


def predictions_csv(record: Predictions) -> bytes:
    """A row for each image and rank."""
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(("image", "rank", "class", "probability"))
    for image in record.images:
        pairs = zip(image.classes, image.probabilities, strict=True)
        rows.writerows((image.image, rank, name, value) for rank, (name, value) in enumerate(pairs, 1))
    return file.getvalue().encode()


def headline(record: Predictions) -> str:
    """'2 images by residual 20 (pets.safetensors), 3 classes, at 32 px'."""
    return (
        f"{counted(len(record.images), 'image')} by {printable(record.net)} ({printable(record.weights)}), "
        f"{len(record.classes)} classes, at {record.image_size} px"
    )


def _others(prediction: Prediction) -> str:
    """'dog 1.5 %, bird 0.3 %'."""
    pairs = zip(prediction.classes[1:], prediction.probabilities[1:], strict=True)
    return ", ".join(f"{printable(name)} {units.percent(value)}" for name, value in pairs)


def _skipped_title(record: Predictions) -> str:
    return f"{counted(len(record.skipped), 'image')} could not be read:"


def _skipped_lines(record: Predictions) -> list[str]:
    lines = [_skipped_line(file) for file in record.skipped[:_SKIPPED]]
    rest = len(record.skipped) - _SKIPPED
    return lines if rest <= 0 else [*lines, f"and {rest:,} more (all in --format json)"]


def _skipped_line(file: SkippedFile) -> str:
    return f"{printable(file.file)}: {printable(file.reason)}"
