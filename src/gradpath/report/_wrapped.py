"""Sentences as lines of a terminal: between words, and in Chinese between any two characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from gradpath.report._facts import printable

# a word with the marks that must not begin a line, or one Chinese character with the marks after it
_PIECES = re.compile(
    r"（?[^\s\u2e80-\u9fff\uff00-\uffef]+[，。：；、）！？]*|[（]?[\u2e80-\u9fff\uff00-\uffef][，。：；、）！？]*|\s+"
)


def columns(text: str) -> int:
    """Columns a text takes on a terminal."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(text: str, width: int, first: str = "", later: str = "") -> list[str]:
    """A sentence as lines of at most `width` columns; Chinese breaks between any two characters."""
    lines, line = [], first
    for piece in _short_pieces(printable(text), max(width - columns(later), 2)):
        if columns(line) + columns(piece.rstrip()) > width and line.strip():
            lines.append(line)
            line = later
        if not (piece.isspace() and line == later):
            line += piece
    return [entry.rstrip() for entry in [*lines, line]]


def _short_pieces(text: str, width: int) -> Iterator[str]:
    """What may stand on a line of its own; a name longer than a line is broken."""
    for piece in _PIECES.findall(text):
        size = max(width // 2, 1) if columns(piece) > width else len(piece)
        yield from (piece[i : i + size] for i in range(0, len(piece), size))
