"""A page in a browser, where there is one."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from gradpath.cli._console import show, tell


def open_address(address: str) -> bool:
    """Whether a browser took it."""
    try:
        return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False


def open_page(page: Path, named: Path, anchor: str = "") -> None:
    """Open a file; without a browser, print where it is and how `named` is viewed over ssh."""
    if open_address(page.resolve().as_uri() + anchor):
        show(f"opened {page}{anchor}")
    else:
        show(str(page))
        tell(f"gradpath: no browser here; over ssh: gradpath view {named} --serve 8000")
