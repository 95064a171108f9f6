"""One Chromium for the tests of a file: offline, silent, and every request and error it makes is kept.

Without a browser they are skipped, unless GRADPATH_REQUIRE_BROWSER=1 says that there must be one (as CI does).
GRADPATH_ASSETS=FOLDER tests a build of web/ that is not the committed one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reader import Reader
from report_pages import Opened, Shown

from gradpath.report import _webpage
from gradpath.report._report_page import report_page

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync"]  # fmt: skip


def _missing(what: str) -> None:
    if os.environ.get("GRADPATH_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{what}, and GRADPATH_REQUIRE_BROWSER=1 says that the page must be tested", pytrace=False)
    pytest.skip(f"{what}: the page is not tested in a browser")


@pytest.fixture(scope="module")  # not session: while playwright runs, no other test could start an event loop
def chromium() -> Iterator[Any]:
    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if path is None:
        _missing("there is no Chromium in PATH (apt-get install chromium)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("playwright is not installed (pip install playwright)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the page as `gradpath` writes it."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        if assets := os.environ.get("GRADPATH_ASSETS"):
            patch.setattr(_webpage, "asset", lambda name: (Path(assets) / name).read_text(encoding="utf-8"))
        from gradpath.report._explainer import explainer

        (folder / "explain.html").write_text(explainer(), encoding="utf-8")
        yield folder


@pytest.fixture
def read(chromium: Any, build: Path) -> Iterator[Any]:
    """Open the explainer: `read("#plain", width=360, dark=True, chinese=True)` gives a Reader. When the test ends, each
    must have requested nothing but its own file and have had no error."""
    readers: list[Reader] = []

    def opened(anchor: str = "", **how: Any) -> Reader:
        readers.append(Reader(chromium, (build / "explain.html").as_uri() + anchor, **how))
        return readers[-1]

    yield opened
    for reader in readers:
        reader.close()
    for reader in readers:
        assert reader.problems == []
        assert reader.requests <= {reader.file}


@pytest.fixture
def opened(chromium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """Open the page of some records; each reader must have requested nothing else and have had no error."""
    if assets := os.environ.get("GRADPATH_ASSETS"):
        monkeypatch.setattr(_webpage, "asset", lambda name: (Path(assets) / name).read_text(encoding="utf-8"))
    readers: list[Reader] = []

    def reader(records: Shown | str, anchor: str = "", **how: Any) -> Reader:
        file = tmp_path / f"{len(readers)}.html"
        file.write_text(records if isinstance(records, str) else report_page(records), encoding="utf-8")
        readers.append(Reader(chromium, file.as_uri() + anchor, **how))
        return readers[-1]

    yield reader
    for one in readers:
        one.close()
        assert one.problems == []
        assert one.requests <= {one.file}
