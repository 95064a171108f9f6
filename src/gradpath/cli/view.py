"""`gradpath view`: a record's page, or a list of runs, in a browser, here or over ssh."""

from __future__ import annotations

from pathlib import Path

import click

from gradpath.cli._browser import open_address, open_page
from gradpath.errors import UserError

PAGE = "report.html"
WATCH_PAGE = "watch.html"
RUNS = Path("runs")


@click.command("view")
@click.argument("path", metavar="[RECORD_OR_RUNS]", type=click.Path(path_type=Path), required=False)
@click.option(
    "--serve",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve it to this machine alone, and say how to reach it over ssh; 0 picks a port.",
)
def command(path: Path | None, serve: int | None) -> None:
    """Open the page of a record in a browser; it is written beside the record where it is missing or older.

    With a folder of runs (default: runs, else the current folder): a list of them, each opening its page.
    """
    folder = path or (RUNS if RUNS.is_dir() else Path())
    if path is None or _holds_runs(folder):
        _serve_runs(folder, serve)
        return
    page = _page(folder)
    if serve is not None:
        _serve_page(page, serve)
    else:
        open_page(page, path)


def _holds_runs(folder: Path) -> bool:
    """Whether it is a folder without a record or page of its own, but with runs below."""
    from gradpath.cli._records import NAMES
    from gradpath.cli._runs import run_files
    from gradpath.record import WATCH_FILE

    if not folder.is_dir() or any((folder / name).is_file() for name in (PAGE, *NAMES, WATCH_FILE)):
        return False
    return bool(run_files(folder))


def _serve_runs(folder: Path, port: int | None) -> None:
    from gradpath.cli._runs import Runs, run_files
    from gradpath.cli._serve import PageServer

    found = len(run_files(folder))
    if not found:
        raise UserError(f"{folder.resolve()}: holds no runs; gradpath compare and gradpath trace --output write some")
    server = PageServer(Runs(folder).pages, port or 0)
    if port is None:
        open_address(f"http://localhost:{server.server_port}/")
    server.serve(f"{found} run{'s' if found > 1 else ''} in {folder.resolve()}")


def _serve_page(page: Path, port: int) -> None:
    from gradpath.cli._serve import PageServer

    def read() -> str:
        return page.read_text(encoding="utf-8")

    PageServer(lambda: {"/": read, f"/{page.name}": read}, port).serve(str(page))


def _page(path: Path) -> Path:
    """The HTML file of a record or folder. Raises UserError where the record has none."""
    if path.suffix.lower() == ".html":
        if not path.is_file():
            raise UserError(f"{path}: there is no such file")
        return path
    if path.is_dir() and (path / PAGE).is_file():
        return path / PAGE
    from gradpath.cli._records import read_any, read_shown
    from gradpath.record import WatchLog, write_whole
    from gradpath.report import FORMATS, render
    from gradpath.report._report_page import report_page

    shown = read_shown(path)
    if isinstance(shown, WatchLog):  # it grows: written anew each time
        folder = path if path.is_dir() else path.parent
        return write_whole(folder / WATCH_PAGE, report_page([shown]).encode())
    record, file = read_any(path)
    page = file.with_suffix(".html")
    if "html" not in FORMATS.get(type(record), {}):
        raise UserError(f"{file}: a {type(record).__name__} has no page; gradpath report {file} shows it as text")
    if page.is_file() and page.stat().st_mtime >= file.stat().st_mtime:
        return page
    return render(record, page)
