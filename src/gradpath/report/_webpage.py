"""One HTML file with a script: everything inside it, nothing else may run, and it can fetch nothing.

The scripts are built from `web/` and lie in `assets/`. What is shown is data in the page; the policy names the hash of
the one script that may run, so nothing in a record can.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any, Literal

from gradpath.report._markup import JSON_ESCAPES, Markup, element

Script = Literal["explain", "report"]
_PACK_FROM_BYTES = 100_000
"""Data larger than this is compressed: the file is smaller, and a browser unpacks it in milliseconds."""


def webpage(script: Script, *, title: str, data: Mapping[str, Any], static: Markup, language: str | None = None) -> str:
    """The whole file. `data`: id → what the script reads as JSON. `static`: what stands there until it runs, and for
    those who have no JavaScript. `language` None: as the reader's browser prefers."""
    code = asset(f"{script}.js")
    body = element(
        "body",
        element("div", static, id="app"),
        *(json_script(name, value) for name, value in data.items()),
        Markup(f"<script>{code}</script>"),
    )
    head = page_head(title, policy(code), asset(f"{script}.css"))
    html = element("html", head, body, lang=language or "en", data_language=language)
    return f"<!doctype html>\n{html}\n"


def page_head(title: str, allowed: str, style: str) -> Markup:
    """The head of every page: what it may do (its content-security policy), its title, its style sheet."""
    return element(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{allowed}">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        element("title", title),
        element("style", Markup(style)),
    )


def policy(code: str) -> str:
    """The content-security policy under which this script, and no other, runs."""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def json_script(name: str, value: Any) -> Markup:
    """A value as data in the page. Nothing in it can end the element: < > & are written as \\u003c …"""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    if len(text) < _PACK_FROM_BYTES:
        return Markup(f'<script type="application/json" id="{name}">{text.translate(JSON_ESCAPES)}</script>')
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    return Markup(f'<script type="application/json" id="{name}" data-packed="gzip">{packed}</script>')


def asset(name: str) -> str:
    """A built file of the page, as text. `</script` and `<!--` cannot stand in code (a test holds the build to it)."""
    return (resources.files("gradpath.report") / "assets" / name).read_text(encoding="utf-8")
