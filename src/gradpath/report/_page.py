"""What `gp.render(record)` gives back: a page that a notebook shows and a terminal prints."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

HEIGHT_PIXELS = 900


class Page:
    """A record as one HTML page. Notebooks show it in a sandboxed frame; `str(page)` is the text."""

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
        """`srcdoc` without allow-scripts: nothing in a record can run."""
        return (
            f'<iframe srcdoc="{html.escape(self.html, quote=True)}" sandbox="" title="gradpath report" '
            f'style="width:100%;height:{HEIGHT_PIXELS}px;border:0"></iframe>'
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": self._text, "text/html": self._repr_html_()}

    def __repr__(self) -> str:
        return self._text

    __str__ = __repr__
