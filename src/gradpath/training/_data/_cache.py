"""Decoded photos on disk, so that only the first run decodes: KEY.npy with the pixels, KEY.json with what was seen."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gradpath.errors import UserError
from gradpath.record import user_cache, write_whole
from gradpath.training._data._listing import Listing

_WORK, _A_DAY = ".decoding-", 86400.0  # seconds
_FORM = 1  # grows when the same files would be decoded to other bytes
_KEPT = 4  # data sets; the ones not used for longest go
_SHARE_OF_DISK = 0.25  # of the free space is what one data set may take
_SHARE_STREAMED = 0.5  # where it could not be used without


def cache_folder() -> Path:
    """Where decoded images are kept between runs: the user's cache folder as the system has it."""
    return user_cache("images")


def key(listing: Listing, image_size: int | None) -> str:
    """Digest of the files' names, sizes and times of change, where they lie, and what is made of them."""
    digest = hashlib.sha256(f"{_FORM} {image_size} {listing.folder.resolve()}".encode(errors="surrogateescape"))
    for file in listing.files:
        state = _state(listing.folder / file)
        digest.update(f"\n{file} {state}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _state(file: Path) -> str:
    try:
        state = file.stat()
        return f"{state.st_size} {state.st_mtime_ns}"
    except OSError as error:  # a link to nowhere: whoever decodes it says so
        return str(error.errno)


def load(name: str) -> tuple[Path, dict[str, Any]] | None:
    """The pixels' file and what was seen, where both are whole."""
    pixels, seen = (cache_folder() / f"{name}{ending}" for ending in (".npy", ".json"))
    try:
        found = json.loads(seen.read_text(encoding="utf-8"))
        if pixels.stat().st_size != found["bytes"]:
            return None
        os.utime(seen)  # used now
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pixels, found


@contextmanager
def workplace(expected_bytes: int, needed: bool = False) -> Iterator[tuple[Path, bool]]:
    """A new folder for a file of that size, gone at the end; and whether it lies in the cache, to be kept there.

    In the temporary folder where the cache cannot be written, or where its disk is nearly full. `needed`: the file is
    of no use but in the cache.
    """
    home = cache_folder()
    keeps = False
    with suppress(OSError):
        home.mkdir(parents=True, exist_ok=True)
        _clear_up(home)
        share = _SHARE_STREAMED if needed else _SHARE_OF_DISK
        keeps = expected_bytes <= share * shutil.disk_usage(home).free and os.access(home, os.W_OK)
    with tempfile.TemporaryDirectory(prefix=_WORK, dir=home if keeps else None) as folder:
        yield Path(folder), keeps


def _clear_up(home: Path) -> None:
    """Away with what a killed process left behind, a day ago or more."""
    for folder in home.glob(f"{_WORK}*"):
        if time.time() - folder.stat().st_mtime > _A_DAY:
            shutil.rmtree(folder, ignore_errors=True)


def keep(pixels: Path, name: str, seen: dict[str, Any]) -> Path:
    """Move a finished file into the cache; where that fails it stays where it is. Returns where it is."""
    target = cache_folder() / f"{name}.npy"
    try:
        pixels.replace(target)
        write_whole(target.with_suffix(".json"), json.dumps(seen | {"bytes": target.stat().st_size}).encode())
    except (OSError, UserError):
        return target if target.exists() and not pixels.exists() else pixels
    _forget_old()
    return target


def _forget_old() -> None:
    with suppress(OSError):
        seen = sorted(cache_folder().glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in seen[_KEPT:]:
            file.unlink(missing_ok=True)
            file.with_suffix(".npy").unlink(missing_ok=True)
