"""Run folders below a folder: which there are, and the page of each."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from gradpath.cli._records import NAMES, read_any, read_shown
from gradpath.errors import GradpathError
from gradpath.record import WATCH_FILE, Record, WatchLog

_DEEPEST = 4
"""Levels of folders below the one that is listed."""
_MOST = 500
"""Runs listed: the newest."""
_RUN = "/run/"
_Stamp = tuple[int, int]
"""A file's time of change in nanoseconds, and its size."""


def run_files(folder: Path) -> list[Path]:
    """The first record of each run folder below `folder`, newest first. Links are not followed."""
    found = sorted(_records_below(folder), key=lambda file: -file.stat().st_mtime)
    return found[:_MOST]


def _records_below(folder: Path) -> Iterator[Path]:
    for path, folders, files in os.walk(folder, followlinks=False):
        here = Path(path)
        depth = len(here.relative_to(folder).parts)
        folders[:] = [] if depth >= _DEEPEST else sorted(name for name in folders if not name.startswith("."))
        name = next((name for name in (*NAMES, WATCH_FILE) if name in files and not (here / name).is_symlink()), None)
        if name is not None:
            yield here / name


class Runs:
    """The pages of the runs below a folder. Which runs there are is looked up at every request; what the list says of
    one is read again only once its file has changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._said: dict[Path, tuple[_Stamp, str, str]] = {}

    def pages(self) -> dict[str, Callable[[], str]]:
        """Path → page: the list at '/', each run at '/run/' and its folder's name."""
        files = run_files(self.folder)
        found = {_RUN + _name(file, self.folder): functools.partial(_page, file) for file in files}
        return {"/": functools.partial(self._list, files), **found}

    def _list(self, files: list[Path]) -> str:
        from gradpath.report._runs_page import RunRow, runs_page

        rows = []
        for file in files:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(file.stat().st_mtime))
            kind, headline = self._says(file)
            name = _name(file, self.folder)
            rows.append(RunRow(name=name, kind=kind, when=when, headline=headline, address=_RUN[1:] + quote(name)))
        return runs_page(f"Runs in {self.folder}", rows)

    def _says(self, file: Path) -> tuple[str, str]:
        """Kind and headline of a record."""
        now = file.stat()
        stamp = (now.st_mtime_ns, now.st_size)
        known = self._said.get(file)
        if known is None or known[0] != stamp:
            known = self._said[file] = (stamp, *_kind_and_headline(file))
        return known[1:]


def _kind_and_headline(file: Path) -> tuple[str, str]:
    from gradpath.report._spoken import headline_of

    try:
        record = _read(file)
        return type(record).__name__, headline_of(record)
    except (GradpathError, OSError) as error:
        return "cannot be read", str(error)


def _name(file: Path, folder: Path) -> str:
    return file.parent.relative_to(folder).as_posix()


def _page(file: Path) -> str:
    from gradpath.report import render
    from gradpath.report._report_page import report_page

    record = _read(file)
    return report_page([record]) if isinstance(record, WatchLog) else render(record).html


def _read(file: Path) -> Record | WatchLog:
    return read_shown(file) if file.name == WATCH_FILE else read_any(file)[0]
