"""The explainer: one page about why depth works, from one gate to real networks."""

from __future__ import annotations

from gradpath.report._markup import Markup, element
from gradpath.report._webpage import webpage

TITLE = {"en": "Why can ResNet and DenseNet be so deep?", "zh": "为什么 ResNet 和 DenseNet 可以这么深？"}
_WITHOUT_SCRIPT = "This page needs JavaScript. Without it: gradpath explain --list prints its circuits in a terminal."


def explainer(language: str | None = None) -> str:
    """The page as HTML text, in one file. `language` None: as the reader's browser prefers."""
    from gradpath import __version__

    static: Markup = element("main", element("h1", TITLE[language or "en"]), element("p", _WITHOUT_SCRIPT))
    data = {"data": {"version": __version__}}
    return webpage("explain", title=TITLE[language or "en"], data=data, static=static, language=language)
