"""`gradpath view`: a record's page in a browser, here or over ssh."""

from __future__ import annotations

import functools
import platform
import webbrowser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click

from gradpath.cli._console import show, tell
from gradpath.errors import UserError

PAGE = "report.html"


@click.command("view")
@click.argument("path", metavar="RECORD_OR_FOLDER", type=click.Path(path_type=Path))
@click.option(
    "--serve",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve the page to this machine alone instead, and say how to reach it over ssh; 0 picks a port.",
)
def command(path: Path, serve: int | None) -> None:
    """Open the page of a record in a browser; it is written beside the record where it is missing or older."""
    page = _page(path)
    if serve is not None:
        _serve(page, serve)
    elif _open(page):
        show(f"opened {page}")
    else:
        show(str(page))
        tell(f"gradpath: no browser here; over ssh: gradpath view {path} --serve 8000")


def _page(path: Path) -> Path:
    """The HTML file of a record or folder. Raises UserError where the record has none."""
    if path.suffix.lower() == ".html":
        if not path.is_file():
            raise UserError(f"{path}: there is no such file")
        return path
    if path.is_dir() and (path / PAGE).is_file():
        return path / PAGE
    from gradpath.cli._records import read_any
    from gradpath.report import FORMATS, render

    record, file = read_any(path)
    page = file.with_suffix(".html")
    if "html" not in FORMATS.get(type(record), {}):
        raise UserError(f"{file}: a {type(record).__name__} has no page; gradpath report {file} shows it as text")
    if page.is_file() and page.stat().st_mtime >= file.stat().st_mtime:
        return page
    return render(record, page)


def _open(page: Path) -> bool:
    try:
        return webbrowser.open(page.resolve().as_uri())
    except (webbrowser.Error, OSError):
        return False


class _OnePage(BaseHTTPRequestHandler):
    """Answers with one page, whatever else lies in its folder."""

    def __init__(self, page: Path, *arguments: Any) -> None:
        self.page = page
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """The page at / and under its name, 404 for anything else."""
        if self.path.partition("?")[0].lstrip("/") not in ("", self.page.name):
            self.send_error(404)
            return
        content = self.page.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: stderr is for news."""


def _serve(page: Path, port: int) -> None:
    """Until Ctrl-C, to this machine alone."""
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), functools.partial(_OnePage, page))
    except OSError as error:
        raise UserError(f"--serve {port}: cannot be used ({error.strerror}): give another port, or 0") from error
    port = server.server_port
    show(f"http://localhost:{port}/ shows {page} (Ctrl-C ends it)")
    tell(f"from another machine: ssh -L {port}:localhost:{port} {platform.node() or 'HOST'}, then open that address")
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            tell("")
