"""Records that a command is given: a file, or the run folder that holds it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gradpath.errors import RecordError
from gradpath.record import WATCH_FILE, Flow, Record, WatchLog, read, read_watch

NAMES = ("flow.json", "paths.json", "diff.json", "compare.json", "run.json", "plan.json")
"""What a run folder calls its records, those asked for first."""


def read_any(path: Path) -> tuple[Record, Path]:
    """The record of a file or of a folder, and its file. Raises RecordError where there is none."""
    file = next((path / name for name in NAMES if (path / name).is_file()), path) if path.is_dir() else path
    if file.is_dir() and (path / WATCH_FILE).is_file():
        raise RecordError(f"{path}: holds a watched run: gradpath follow {path} shows it, or name a trace-*.json in it")
    if file.is_dir():
        raise RecordError(f"{path}: holds no record ({', '.join(NAMES)}): name the file")
    return read(file), file


def read_shown(path: Path) -> Record | WatchLog:
    """What a report can show: a record, or the log of a watched run. Raises RecordError where there is neither."""
    is_log = path.suffix == ".jsonl" or (path / WATCH_FILE).is_file()
    if is_log and not any((path / name).is_file() for name in NAMES):
        return read_watch(path)
    return read_any(path)[0]


def short_names(paths: Sequence[Path]) -> list[str]:
    """What to call records: their files' names without ending where that tells them apart, else their whole paths."""
    stems = [path.name if path.is_dir() else path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) and all(stems) else [str(path) for path in paths]


def read_flow(path: Path) -> Flow:
    """The flow in a file or in a run folder. Raises RecordError for another kind of record."""
    record, file = read_any(path)
    if not isinstance(record, Flow):
        raise RecordError(f"{file}: holds a {type(record).__name__}, not a flow: gradpath trace --output writes one")
    return record
