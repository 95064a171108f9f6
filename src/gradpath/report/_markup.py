"""HTML and SVG as text, safe by construction: what is not Markup is escaped, here and nowhere else."""

from __future__ import annotations

import html
import json

from gradpath.record import Record

JSON_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def escape(content: object) -> Markup:
    """Content as markup: Markup as it is, anything else as the text that it is."""
    return content if isinstance(content, Markup) else Markup(html.escape(str(content), quote=True))


def element(name: str, *children: object, **attributes: object) -> Markup:
    """`<name …>children</name>`. In attribute names '_' means '-', a last '_' is dropped; None is left out."""
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None)
    opening = "".join(f' {key}="{escape(value)}"' for key, value in pairs)
    return Markup(f"<{name}{opening}>{''.join(map(escape, children))}</{name}>")


def joined(*children: object) -> Markup:
    return Markup("".join(map(escape, children)))


def record_script(record: Record) -> Markup:
    """The record's JSON as data in the page. Nothing in it can end the element: < > & are written as \\u003c …"""
    data = json.dumps(json.loads(record.to_json()), ensure_ascii=False, separators=(",", ":"))
    return Markup(f'<script type="application/json" id="record">{data.translate(JSON_ESCAPES)}</script>')
