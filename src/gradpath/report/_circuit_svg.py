"""A circuit as a standalone SVG: values above the wires, gradients below; light and dark in one file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradpath.record import CircuitRecord
from gradpath.report import _circuit_layout as layout
from gradpath.report._circuit_grid import Grid
from gradpath.report._circuit_layout import WORDS
from gradpath.report._circuit_marks import n, style, text
from gradpath.report._circuit_rows import Rows
from gradpath.report._circuit_text import wrapped
from gradpath.report._facts import printable
from gradpath.report._markup import Markup, element

_MARGIN = 32
_LEAST_WIDTH = 720
_TEXT_LINE = 20
_CAPTION_COLUMN = 7.2  # pixels for one column of a wrapped caption
_EMPTY = re.compile(r"></(?:path|polygon|rect|circle)>")


def circuit_svg(record: CircuitRecord, theme: str = "auto") -> str:
    """The whole circuit as one SVG file that stands still: title and caption, the figure, a legend.

    `theme` is 'light', 'dark', or 'auto' for the reader's own setting.
    """
    picture = picture_of(record)
    width = max(picture.width + 2 * _MARGIN, _LEAST_WIDTH)
    heading = list(_heading(record, width))
    top = 40 + _TEXT_LINE * len(heading)
    height = top + picture.height + 60
    return svg_file(
        record,
        width,
        height,
        element("style", style(theme)),
        element("rect", class_="page", width=n(width), height=n(height)),
        *heading,
        element(
            "g",
            *(mark.markup for mark in picture.marks),
            transform=f"translate({n((width - picture.width) / 2)} {n(top)})",
        ),
        text(_MARGIN, height - 24, legend(record, picture), "pale"),
    )


def picture_of(record: CircuitRecord) -> Rows | Grid:
    """The drawing: a line of nodes if the circuit is one, else a grid."""
    line = layout.line(record)
    return Grid(record) if line is None else Rows(record, line)


def legend(record: CircuitRecord, picture: Rows | Grid) -> str:
    """What the signs of the drawing mean."""
    return WORDS[record.language][picture.legend].replace("    ", " \N{MIDDLE DOT} ")


def svg_file(record: CircuitRecord, width: float, height: float, *content: Markup) -> str:
    """A file that says in words, too, what it shows."""
    svg = element(
        "svg",
        element("title", printable(record.title), id="title"),
        element("desc", printable(" ".join([record.caption, *record.findings])), id="description"),
        *content,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {n(width)} {n(height)}",
        width=n(width),
        height=n(height),
        role="img",
        aria_labelledby="title description",
        lang=record.language,
    )
    return "<?xml version='1.0' encoding='UTF-8'?>\n" + _EMPTY.sub("/>", svg)


def _heading(record: CircuitRecord, width: float) -> Iterator[Markup]:
    yield text(_MARGIN, 42, printable(record.title), "title")
    for i, line in enumerate(wrapped(record.caption, int((width - 2 * _MARGIN) / _CAPTION_COLUMN)), 1):
        yield text(_MARGIN, 48 + _TEXT_LINE * i, line, "pale")
