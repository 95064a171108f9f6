"""A circuit as one HTML file: no network, no script that runs, readable on a telephone, in the dark and by ear."""

from __future__ import annotations

import re

from gradpath.record import CircuitRecord
from gradpath.report._markup import Markup, element, joined, record_script
from gradpath.report._style import STYLE
from gradpath.report._webpage import page_head

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The page cannot fetch, run or send anything; that it works under this policy is the proof."""
_COMPLETE = {
    "en": "This file is complete: it loads nothing. The record it shows is inside it, as JSON.",
    "zh": "此文件是完整的：不加载任何外部内容。所显示的记录以 JSON 的形式保存在文件里。",
}
_DRAWN_HEAD = re.compile(
    r'(<svg [^>]*?)viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*?( role=.*?)(?:<text [^>]*>[^<]*</text>)+'
    r'(<g transform="translate\([\d.]+ ([\d.]+)\)">)',
    re.DOTALL,
)
"""The visible title and caption of a circuit's figure: on a page they stand above it, as text that wraps."""


def circuit_page(record: CircuitRecord) -> str:
    """The whole file."""
    head = page_head(record.title, POLICY, STYLE)
    footer = element("footer", element("p", _COMPLETE[record.language], class_="small-print"))
    brand = element("p", "gradpath explain", class_="brand")
    main = element("main", brand, element("h1", record.title), _circuit(record), footer)
    body = element("body", main, record_script(record))
    return f"<!doctype html>\n{element('html', head, body, lang=record.language)}\n"


def _circuit(record: CircuitRecord) -> Markup:
    from gradpath.report._circuit_layout import WORDS
    from gradpath.report._circuit_text import numbered_steps
    from gradpath.report.circuit import circuit_svg

    words = WORDS[record.language]
    parts = [
        element("p", record.caption, class_="setting"),
        element("figure", Markup(_without_head(circuit_svg(record))), class_="wide", tabindex=0),
        element("ul", *(element("li", line) for line in record.findings), class_="findings"),
    ]
    for direction in ("forward", "backward"):
        steps = numbered_steps(record, direction, _ONE_LINE)
        parts += [element("h2", words[direction]), element("pre", "\n".join(steps), class_="steps-text")]
    return joined(*parts)


_ONE_LINE = 1000
"""Columns: the page wraps the steps, not we."""


def _without_head(figure: str) -> str:
    """The figure without its title and caption, and without the room that they took."""

    def cut(match: re.Match[str]) -> str:
        start, width, height, rest, group, top = match.groups()
        gone = max(float(top) - 16, 0.0)
        left = float(height) - gone
        frame = re.sub(r'<rect class="page"[^>]*></rect>', "", rest)
        return f'{start}viewBox="0 {gone:g} {width} {left:g}" width="{width}" height="{left:g}"{frame}{group}'

    return _DRAWN_HEAD.sub(cut, figure.partition("?>")[2] if figure.startswith("<?xml") else figure, count=1)
