"""The folder that a run writes to."""

from __future__ import annotations

import importlib.util
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from torch import nn

from gradpath.errors import RecordError, UserError
from gradpath.nets import save_weights
from gradpath.record import Comparison, DataSplit, RunRecord, read

RUN_FILE, SPLIT_FILE, CARD_FILE, WATCH_FOLDER = "run.json", "split.json", "model-card.md", "watch"
COMPARE_FILE = "compare.json"
SEEDS_FILE = "seeds.json"
"""Of runs from several seeds, each in a folder of its own beside it."""


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


def begin_anew(folder: Path) -> None:
    """Remove what a run left in the folder, but its record, which the first snapshot replaces."""
    _remove_weights(folder, folder / RUN_FILE)
    (folder / CARD_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder / WATCH_FOLDER, ignore_errors=True)


def compare_anew(folder: Path) -> None:
    """Remove what a comparison left in the folder; its reports are written over."""
    _remove_weights(folder, folder / COMPARE_FILE)
    (folder / COMPARE_FILE).unlink(missing_ok=True)


def _remove_weights(folder: Path, file: Path) -> None:
    """Those that a record names; one that cannot be read names none."""
    with suppress(RecordError):
        found = read(file) if file.is_file() else None
        runs = found.nets if isinstance(found, Comparison) else (found,)
        for run in runs:
            if isinstance(run, RunRecord) and run.weights is not None:
                (folder / Path(run.weights).name).unlink(missing_ok=True)


def save_split(split: DataSplit | None, folder: Path) -> None:
    """Which images were held out; where none were, the list of an earlier run into the same folder goes."""
    if split is not None:
        split.save(folder / SPLIT_FILE)
    else:
        (folder / SPLIT_FILE).unlink(missing_ok=True)


def save(net: nn.Module, folder: Path, record: RunRecord) -> str:
    name = re.sub(r"[^a-z0-9.]+", "-", record.name.lower()).strip("-") or "net"
    return save_weights(net, folder / f"{name}.safetensors", record.data).name
