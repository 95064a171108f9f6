"""Output that is safe on any console: what its encoding lacks is replaced by something readable, never a traceback."""

from __future__ import annotations

import codecs
import os
import shutil
import sys
from typing import IO, Any

_PLAIN = {
    "×": "x", "·": "*", "−": "-", "–": "-", "—": "-", "…": "...", "→": "->", "←": "<-", "▸": ">", "◂": "<", "∂": "d",
    "≈": "~", "≤": "<=", "≥": ">=", "Σ": "sum", "∏": "prod", "Π": "prod", "√": "sqrt", "‖": "|", "⟨": "<", "⟩": ">",
    "✓": "ok", "✗": "x", "•": "*", "█": "#", "▓": "#", "░": ".", "━": "=", "─": "-", "│": "|", "┌": "+", "┐": "+",
    "└": "+", "┘": "+", "├": "+", "┤": "+", "┬": "+", "┴": "+", "┼": "+", "╭": "+", "╮": "+", "╯": "+", "╰": "+",
    "╸": "=", "╺": "-", "╶": "-", "╴": "-", "“": '"', "”": '"', "‘": "'", "’": "'", "²": "^2", "ⁿ": "^n", "₁": "1",
    "₂": "2", "ₙ": "_n", "ᵢ": "_i", "π": "pi", "λ": "lambda", "σ": "sigma", "χ": "chi", "±": "+-", "\u00a0": " ",
    "▁": "_", "▂": ".", "▃": ":", "▄": "-", "▅": "=", "▆": "+", "▇": "*", "▒": "+",
}  # fmt: skip


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(char, "?") for char in text), error.end


def make_safe() -> None:
    """Let stdout and stderr replace what they cannot encode."""
    codecs.register_error("gradpath", _replace)
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="gradpath")


def width_of(stream: IO[str], default: int = 80) -> int:
    """Columns of a terminal, `default` for pipes and files."""
    return max(shutil.get_terminal_size((default, 24)).columns, 40) if stream.isatty() else default


def show(text: str) -> None:
    """Print a result to stdout. (`click.echo` would write UTF-8 to a console that says it is ASCII.)

    A reader that has seen enough, such as `head`, ends the printing alone: files are still written, checks still made.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # what is left in the buffer goes there, at exit too
        os.close(nowhere)


def tell(line: str) -> None:
    """Print news or an error to stderr."""
    print(line, file=sys.stderr, flush=True)
