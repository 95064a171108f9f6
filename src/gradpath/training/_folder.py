"""The folder that a run writes to."""

from __future__ import annotations

import importlib.util
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from torch import nn

from gradpath.errors import UserError
from gradpath.nets import save_weights
from gradpath.record import DataSplit, RunRecord

SPLIT_FILE = "split.json"


def can_keep_weights() -> bool:
    """Whether the optional package that writes them is installed."""
    return importlib.util.find_spec("safetensors") is not None


def claim(folder: Path) -> Path:
    """Make sure that results can be written to a folder, before there are any. Raises UserError naming it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{folder}: cannot be written ({reason}): name a folder you may write to") from error


@contextmanager
def claimed(folder: Path | None) -> Iterator[Path | None]:
    """`claim`; what was made for it goes again where something raises before anything is written."""
    if folder is None:
        yield None
        return
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield claim(folder)
    except BaseException:
        with suppress(OSError):  # a folder that is not empty stays
            for place in made:
                place.rmdir()
        raise


def save_split(split: DataSplit | None, folder: Path) -> None:
    """Which images were held out; where none were, the list of an earlier run into the same folder goes."""
    if split is not None:
        split.save(folder / SPLIT_FILE)
    else:
        (folder / SPLIT_FILE).unlink(missing_ok=True)


def save(net: nn.Module, folder: Path, record: RunRecord) -> str:
    name = re.sub(r"[^a-z0-9.]+", "-", record.name.lower()).strip("-") or "net"
    return save_weights(net, folder / f"{name}.safetensors", record.data).name
