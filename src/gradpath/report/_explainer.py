"""The explainer: one page about why depth works, from one gate to real networks."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from gradpath.report._markup import Markup, element
from gradpath.report._webpage import webpage

TITLE = {"en": "Why can ResNet and DenseNet be so deep?", "zh": "为什么 ResNet 和 DenseNet 可以这么深？"}
_WITHOUT_SCRIPT = {
    "en": "This page needs JavaScript. Without it: gradpath explain --list prints its circuits in a terminal.",
    "zh": "本页需要 JavaScript。没有的话：gradpath explain --list --lang zh 在终端里打印这些电路。",
}
RECORDED = ("runs", "widths", "gallery")
"""What the last part shows, as scripts/record_explainer.py wrote it."""


def explainer(language: str | None = None) -> str:
    """The page as HTML text, in one file. `language` None: as the reader's browser prefers."""
    from gradpath import __version__

    spoken = language or "en"
    static: Markup = element("main", element("h1", TITLE[spoken]), element("p", _WITHOUT_SCRIPT[spoken]))
    data = {"version": __version__} | {name: recorded(name) for name in RECORDED}
    return webpage("explain", title=TITLE[spoken], data={"data": data}, static=static, language=language)


def recorded(name: str) -> dict[str, Any]:
    """A recorded file of the explainer, e.g. 'runs'."""
    file = resources.files("gradpath.report") / "assets" / "explain" / f"{name}.json"
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content
