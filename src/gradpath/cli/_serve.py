"""Pages served to this machine alone. What is served is named beforehand: a request can only choose among it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from gradpath.cli._console import show, tell
from gradpath.errors import GradpathError, UserError

ADDRESS = "127.0.0.1"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
"""Whom a browser may think it talks to. Any other name is a page of elsewhere that resolves to this machine."""
Pages = Mapping[str, Callable[[], str]]
"""Path from the root, decoded → makes the page."""


class PageServer(ThreadingHTTPServer):
    """Answers GET and HEAD for the pages it was given. `port` 0 picks a free one. Raises UserError for one in use."""

    daemon_threads = True

    def __init__(self, pages: Callable[[], Pages], port: int) -> None:
        self.pages = pages
        try:
            super().__init__((ADDRESS, port), _Answer)
        except OSError as error:
            raise UserError(f"--serve {port}: cannot be used ({error.strerror}): give another port, or 0") from error

    def serve(self, what: str) -> None:
        """Until Ctrl-C, saying how to reach it."""
        port = self.server_port
        show(f"http://localhost:{port}/ shows {what} (Ctrl-C ends it)")
        tell(
            f"from another machine: ssh -L {port}:localhost:{port} {platform.node() or 'HOST'}, then open that address"
        )
        with self:
            try:
                self.serve_forever()
            except KeyboardInterrupt:
                tell("")


class _Answer(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    _HEADERS: ClassVar[dict[str, str]] = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
    }

    def do_GET(self) -> None:
        """The page at this path; 404 for anything else, 403 for a request that was meant for another host."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        if not self._is_local():
            self.send_error(403, "this server answers to localhost only")
            return
        make = self.server.pages().get(unquote(urlsplit(self.path).path))
        if make is None:
            self.send_error(404)
            return
        try:
            content = make().encode()
        except (GradpathError, OSError) as error:  # a record that cannot be read, or is gone by now
            self.send_error(500, str(error).splitlines()[0][:200].encode("latin-1", "replace").decode("latin-1"))
            return
        self.send_response(200)
        for name, value in (self._HEADERS | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def _is_local(self) -> bool:
        host = self.headers.get("Host", "")
        name, colon, port = host.rpartition(":")
        return host in LOCAL_HOSTS or bool(colon and name in LOCAL_HOSTS and port.isdigit())

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: stderr is for news."""
