"""The run's folder: lines appended one by one, each flushed, and whole files beside them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from gradpath.errors import UserError
from gradpath.record import WATCH_FILE, Record, watch_line


class Writer:
    """Appends records to `folder/watch.jsonl`. A last line that another run left half-written is ended first."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        file = self.folder / WATCH_FILE
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            torn = file.exists() and file.stat().st_size > 0 and not file.read_bytes().endswith(b"\n")
            self._file: IO[str] = file.open("a", encoding="utf-8", newline="\n")
        except OSError as error:
            raise UserError(f"folder {self.folder}: cannot be written ({error.strerror}): name another one") from error
        if torn:
            self._file.write("\n")

    def write(self, record: Record) -> None:
        self._file.write(watch_line(record))
        self._file.flush()

    def close(self) -> None:
        self._file.close()
