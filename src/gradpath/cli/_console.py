"""Output that is safe on any console: what its encoding lacks is replaced by something readable, never a traceback."""

from __future__ import annotations

import codecs
import os
import shutil
import sys
from collections.abc import Callable
from typing import IO, Any, TextIO

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


class _Replacements(dict[int, str]):
    """What stands for a code point on a stream of one encoding; looked up once for each."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    def __missing__(self, code: int) -> str:
        char = chr(code)
        try:
            char.encode(self._encoding)
            self[code] = char
        except UnicodeEncodeError:
            self[code] = _PLAIN.get(char, "?")
        return self[code]


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


def laid_out(draw: Callable[[int], str], stream: TextIO) -> str:
    """What `draw(width)` gives, without its last line break: signs that the stream cannot encode are replaced before
    lines are broken, so that none becomes wider than the terminal; on one without Chinese characters in English."""
    from gradpath.report._signs import replacing

    with replacing(_Replacements(stream.encoding or "utf-8")):
        return readable(lambda: draw(width_of(stream)), stream).rstrip("\n")


def readable(tell_it: Callable[[], str], stream: TextIO) -> str:
    """What it gives; in English, with a notice, where that is Chinese and the stream has no Chinese characters."""
    from gradpath.report._say import language, speaking

    encoding = stream.encoding or "utf-8"
    if language() == "en" or _has_chinese(encoding):
        return tell_it()
    tell(
        f"gradpath: this console ({encoding}) has no Chinese characters, so the text is in English; "
        "--output writes Chinese to a file"
    )
    with speaking("en"):
        return tell_it()


def _has_chinese(encoding: str) -> bool:
    try:
        "中文：没有梯度消失".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


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
