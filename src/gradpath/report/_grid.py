"""Tables and paragraphs as lines of text that are never wider than asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from gradpath.report._columns import Column
from gradpath.report._say import language
from gradpath.report._signs import replaced
from gradpath.report._wrapped import wrapped

T = TypeVar("T")
NARROWEST = 24
"""Below this width there is no room for a number beside a name."""
SHORTEST_NAME, LONGEST_NAME = 8, 24
"""A longer name gives way in its middle before a column is dropped."""
_GAP = "  "


def wrap(text: str, width: int, indent: str = "") -> list[str]:
    """The text broken at spaces into lines of at most `width` cells; all but the first are indented."""
    if language() == "zh":
        text = replaced(text)
        first = text[: len(text) - len(text.lstrip())]
        return wrapped(text.lstrip(), max(width, NARROWEST), first, indent)
    room = max(width, NARROWEST) - len(indent)
    lines = [line.plain.rstrip() for line in Text(replaced(text)).wrap(Console(width=room, color_system=None), room)]
    return [line if i == 0 else indent + line for i, line in enumerate(lines)]


def table(columns: Sequence[Column[T]], rows: Iterable[T], width: int) -> tuple[list[str], list[Column[T]]]:
    """The lines of a table, and the columns that found no room in it."""
    rows = list(rows)
    kept, gap = list(columns), _GAP
    cells = {column.head: [replaced(column.cell(row) or "") for row in rows] for column in columns}
    while len(kept) > 1 and _total(kept, cells, gap) > width:
        if gap == _GAP and _total(kept, cells, " ") <= width:
            gap = " "
        else:
            kept.remove(min(kept[1:], key=lambda column: column.keep))
    sizes = [_size(column, cells) for column in kept]
    sizes[0] = min(sizes[0], max(SHORTEST_NAME, width - sum(sizes[1:]) - len(gap) * (len(sizes) - 1)))
    lines = _heads(kept, sizes, gap)
    lines += [gap.join("-" * size for size in sizes)]
    lines += [_line([cells[c.head][i] for c in kept], kept, sizes, gap) for i in range(len(rows))]
    return lines, [column for column in columns if column not in kept]


def _size(column: Column[T], cells: dict[str, list[str]]) -> int:
    return max([cell_len(word) for word in column.title.split()] + [cell_len(cell) for cell in cells[column.head]])


def _total(columns: list[Column[T]], cells: dict[str, list[str]], gap: str) -> int:
    """Cells needed, if a very long first column (the name) is shortened."""
    first, *others = (_size(column, cells) for column in columns)
    return min(first, LONGEST_NAME) + sum(others) + len(gap) * len(others)


def _heads(columns: list[Column[T]], sizes: list[int], gap: str) -> list[str]:
    """One or two lines: a head breaks into its words where it is wider than its column."""
    words = [
        [c.title] if cell_len(c.title.replace("/ ", "/")) <= size else c.title.split()
        for c, size in zip(columns, sizes, strict=True)
    ]
    tall = max(map(len, words))
    padded = [[""] * (tall - len(w)) + [word.replace("/ ", "/").replace("- ", "") for word in w] for w in words]
    return [_line([column[i] for column in padded], columns, sizes, gap) for i in range(tall)]


def _line(cells: list[str], columns: list[Column[T]], sizes: list[int], gap: str) -> str:
    padded = []
    for cell, column, size in zip(cells, columns, sizes, strict=True):
        text = shorten(cell, size)
        space = " " * (size - cell_len(text))
        padded.append(text + space if column.left else space + text)
    return gap.join(padded).rstrip()


def shorten(text: str, size: int) -> str:
    """The text in at most `size` cells: its middle gives way to '…'."""
    text, gap = replaced(text), replaced("…")
    if cell_len(text) <= size:
        return text
    head = max(size - len(gap), 0) // 2
    tail = text
    while cell_len(tail) > max(size - len(gap), 0) - head:
        tail = tail[1:]
    return (set_cell_size(text, head) + gap + tail)[:size]
