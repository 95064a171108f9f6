"""The explainer's page: written to a file, opened in a browser."""

from __future__ import annotations

import tempfile
from pathlib import Path

from gradpath.cli._browser import open_page
from gradpath.cli._console import tell
from gradpath.errors import UserError
from gradpath.record import write_whole

FILE = "gradpath-explain.html"
FIGURES = {
    "gate": "gate",
    "plain": "plain",
    "residual": "skip",
    "plain-chain": "paths",
    "residual-chain": "paths",
    "dense": "dense",
    "vanishing-forward": "norm",
    "normalised-forward": "norm",
    "truck": "truck",
}
"""Circuit → the figure of the page that shows it. A test holds both to what there is."""


def explainer_page(output: Path | None, language: str | None, opened: bool, name: str | None) -> None:
    """Write the page (to a new temporary folder where no file is named), and open it if asked, at the circuit's figure.

    Raises UserError for an unknown circuit.
    """
    from gradpath.report._explainer import explainer

    if name is not None and name not in FIGURES:
        raise UserError(f"--open: there is no figure for {name!r}; there are {', '.join(FIGURES)}")
    file = output or Path(tempfile.mkdtemp(prefix="gradpath-")) / FILE
    write_whole(file, explainer(language).encode())
    if not opened:
        tell(f"wrote {file}")
        return
    open_page(file, file, f"#{FIGURES[name]}" if name else "")
