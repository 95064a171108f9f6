"""The fixture `report`: a page made from one of the records in reports.py, open in the tests' browser."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import reports
from reader import Reader

from gradpath.record import Flow, Record, WatchLog
from gradpath.report import _webpage
from gradpath.report._report_page import report_page

Report = Callable[..., Reader]
Opened = Callable[..., Reader]
Shown = Sequence[Record | WatchLog]


@cache
def record(name: str) -> Flow:
    made: Flow = getattr(reports, name)() if hasattr(reports, name) else reports.traced(name)
    return made


@pytest.fixture(scope="session")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Name of a record → its page's file, written once."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        if assets := os.environ.get("GRADPATH_ASSETS"):
            patch.setattr(_webpage, "asset", lambda name: (Path(assets) / name).read_text(encoding="utf-8"))

        def written(name: str) -> Path:
            file = folder / f"{name}.html"
            if not file.exists():
                file.write_text(report_page([record(name)]), encoding="utf-8")
            return file

        yield written


@pytest.fixture
def report(chromium: Any, report_file: Callable[[str], Path]) -> Iterator[Report]:
    """`report("dense", "#at=l3", width=360)`. When the test ends, no page may have asked for anything or erred."""
    readers: list[Reader] = []

    def opened(name: str, anchor: str = "", **how: Any) -> Reader:
        readers.append(Reader(chromium, report_file(name).as_uri() + anchor, **how))
        return readers[-1]

    yield opened
    for reader in readers:
        reader.close()
    for reader in readers:
        assert reader.problems == []
        assert reader.requests <= {reader.file}
