"""What `gp.render(record)` gives back: a page that a notebook shows and a terminal prints."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

HEIGHT_PIXELS = 900
"""Of a frame until the page in it has said how high it is, and where a notebook runs no script."""
_FIT = (
    '<script>addEventListener("message",e=>{const h=e.data&&e.data.gradpathHeight;if(h>0)'
    'for(const f of document.querySelectorAll("iframe[data-gradpath]"))'
    'if(f.contentWindow===e.source)f.style.height=Math.min(h+8,20000)+"px"})</script>'
)
"""As high as its page: the frame has an origin of its own, so the page says it (web/src/report/host.ts)."""
MOST_BYTES = 4 << 20
"""Of a page inside a notebook, which is saved with all its outputs."""
_TOO_LARGE = (
    "This page is {size:.1f} MiB, more than the {most} MiB that a notebook should hold: "
    "gp.render(record, 'report.html') writes it as a file. The record as text:"
)


class Page:
    """A record, or several, as one HTML page. Notebooks show it in a sandboxed frame; `str(page)` is the text."""

    def __init__(self, markup: Callable[[], str] | None, text: str) -> None:
        self._markup = markup
        self._text = text

    @property
    def html(self) -> str:
        """The whole self-contained page; the text in a frame of its own where a record has no page."""
        if self._markup is None:
            return f"<!doctype html><meta charset=utf-8><pre>{html.escape(self._text)}</pre>"
        return self._markup()

    def _repr_html_(self) -> str:
        """A frame that may run the page's own script, by hash, and nothing else: no origin, no forms, no top."""
        page = html.escape(self.html, quote=True)
        if len(page.encode()) > MOST_BYTES:
            note = _TOO_LARGE.format(size=len(page.encode()) / 2**20, most=MOST_BYTES >> 20)
            return f"<p>{html.escape(note)}</p><pre>{html.escape(self._text)}</pre>"
        return (
            f'<iframe srcdoc="{page}" sandbox="allow-scripts" title="gradpath report" data-gradpath '
            f'style="width:100%;height:{HEIGHT_PIXELS}px;border:0"></iframe>{_FIT}'
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": self._text, "text/html": self._repr_html_()}

    def __repr__(self) -> str:
        return self._text

    __str__ = __repr__
