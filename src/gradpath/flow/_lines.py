"""Which line of the user's code made a node of autograd's graph."""

from __future__ import annotations

import re
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from gradpath.flow._graph import Node

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')
_OURS = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


@contextmanager
def lines_kept(wanted: bool) -> Iterator[None]:
    """Let autograd note the stack of each operation (its anomaly mode, without the search for NaN)."""
    if not wanted:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Anomaly Detection has been enabled")
        with torch.autograd.set_detect_anomaly(True, check_nan=False):
            yield


def line_of(node: Node) -> str | None:
    """'model.py:41', the innermost line outside of torch that made the node; None where it was not kept."""
    kept = node.metadata.get("traceback_") if hasattr(node, "metadata") else None
    frames = [(m["file"], m["line"]) for text in kept or () for m in _FRAME.finditer(text)]
    for file, line in reversed(frames):
        if not file.startswith(_OURS):
            return f"{_short(file)}:{line}"
    return None


def line_here() -> str | None:
    """'model.py:41', the innermost running line outside of torch and of this package."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(_OURS):
            return f"{_short(frame.filename)}:{frame.lineno}"
    return None


def _short(file: str) -> str:
    """Relative to the current folder where it lies below it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
