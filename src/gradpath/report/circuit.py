"""A circuit's record as text for the terminal, as Markdown and as a figure."""

from __future__ import annotations

import re

from gradpath.record import CircuitRecord
from gradpath.report._circuit_layout import WORDS
from gradpath.report._circuit_svg import circuit_svg as circuit_svg
from gradpath.report._circuit_text import circuit_text as circuit_text
from gradpath.report._circuit_text import figure, numbered_steps
from gradpath.report._facts import printable
from gradpath.report._motion import circuit_gif as circuit_gif
from gradpath.report._motion import circuit_mp4 as circuit_mp4
from gradpath.report._motion import circuit_png as circuit_png
from gradpath.report._motion import frame as frame
from gradpath.report._motion import frame_texts as frame_texts
from gradpath.report._motion import moving_svg as moving_svg
from gradpath.report._motion import picture_svg as picture_svg
from gradpath.report._motion import truck_frame as truck_frame
from gradpath.report._motion import truck_svg as truck_svg

_MARKDOWN_SIGNS = re.compile(r"([\\`*_<>\[\]#|])")
_COLUMNS = 80


def circuit_markdown(record: CircuitRecord) -> str:
    """The circuit as Markdown: figure and steps as blocks of characters, caption and findings as prose."""
    words = WORDS[record.language]
    parts = [f"# {_prose(record.title)}", _prose(record.caption), _block(figure(record, _COLUMNS))]
    for direction in ("forward", "backward"):
        parts += [f"## {words[direction]}", _block(numbered_steps(record, direction, _COLUMNS))]
    if record.findings:
        parts += [f"## {words['findings']}", "\n".join(f"- {_prose(finding)}" for finding in record.findings)]
    return "\n\n".join(parts) + "\n"


def _prose(text: str) -> str:
    return _MARKDOWN_SIGNS.sub(r"\\\1", printable(text))


def _block(lines: list[str]) -> str:
    """Lines as they are; the fence is longer than any run of backticks inside."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *(line.rstrip() for line in lines), fence])
