"""`gradpath view`: what is served, to whom, and what is refused; over real sockets."""

from __future__ import annotations

import http.client
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from in_process import Shell

import gradpath as gp
from gradpath.cli import _runs
from gradpath.cli._runs import Runs, run_files
from gradpath.cli._serve import ADDRESS, PageServer
from gradpath.errors import UserError


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs, one nested and with a name that needs quoting; a secret outside; a link to it inside."""
    folder = tmp_path / "runs"
    record = gp.circuit("plain")
    for name in ("first", "deep/a b <i>"):
        (folder / name).mkdir(parents=True)
        record.save(folder / name / "flow.json")
    (tmp_path / "secret").mkdir()
    record.save(tmp_path / "secret" / "flow.json")
    (folder / "link").symlink_to(tmp_path / "secret", target_is_directory=True)
    (folder / "filelink").mkdir()
    (folder / "filelink" / "flow.json").symlink_to(tmp_path / "secret" / "flow.json")
    (folder / "broken").mkdir()
    (folder / "broken" / "flow.json").write_text("{", encoding="utf-8")
    return folder


@contextmanager
def served(folder: Path) -> Iterator[PageServer]:
    server = PageServer(Runs(folder).pages, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(server: PageServer, path: str, method: str = "GET", host: str | None = None) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection(ADDRESS, server.server_port, timeout=5)
    try:
        connection.request(method, path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace"), dict(answer.getheaders())
    finally:
        connection.close()


def test_the_list_names_each_run_once_and_nothing_outside(runs: Path) -> None:
    names = {file.parent.relative_to(runs).as_posix() for file in run_files(runs)}
    assert names == {"first", "deep/a b <i>", "broken"}


def test_the_list_and_each_page_are_served(runs: Path) -> None:
    with served(runs) as server:
        status, listed, headers = ask(server, "/")
        assert status == 200
        assert "a b &lt;i&gt;" in listed and "<i>" not in listed
        assert headers["X-Frame-Options"] == "DENY"
        assert "default-src 'none'" in listed
        status, page, _ = ask(server, "/run/deep/a%20b%20%3Ci%3E")
        assert status == 200
        assert "<!doctype html>" in page


def test_a_record_that_cannot_be_read_says_so_in_the_list_and_on_its_page(runs: Path) -> None:
    with served(runs) as server:
        assert "cannot be read" in ask(server, "/")[1]
        assert ask(server, "/run/broken")[0] == 500


@pytest.mark.parametrize(
    "path",
    ["/run/../secret", "/run/%2e%2e/secret", "/run/link", "/run/filelink", "/run/first/flow.json", "/run/first/",
     "/etc/passwd", "/run/", "/run/%00"],
)  # fmt: skip
def test_other_paths_are_not_found(runs: Path, path: str) -> None:
    with served(runs) as server:
        assert ask(server, path)[0] == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", ""]
)
def test_a_page_of_elsewhere_that_resolves_to_this_machine_is_refused(runs: Path, host: str) -> None:
    with served(runs) as server:
        assert ask(server, "/", host=host or " ")[0] in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:9"])
def test_a_tunnel_may_end_at_another_port(runs: Path, host: str) -> None:
    with served(runs) as server:
        assert ask(server, "/", host=host)[0] == 200


def test_only_get_and_head_are_answered(runs: Path) -> None:
    with served(runs) as server:
        status, body, headers = ask(server, "/", "HEAD")
        assert (status, body) == (200, "")
        assert int(headers["Content-Length"]) > 0
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert ask(server, "/", method)[0] == 501


def test_it_listens_to_this_machine_alone(runs: Path) -> None:
    with served(runs) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_a_new_run_appears_without_a_restart(runs: Path) -> None:
    with served(runs) as server:
        assert ask(server, "/run/later")[0] == 404
        (runs / "later").mkdir()
        gp.circuit("gate").save(runs / "later" / "flow.json")
        assert ask(server, "/run/later")[0] == 200


def test_newest_first(runs: Path) -> None:
    os.utime(runs / "first" / "flow.json", (4e9, 4e9))
    assert run_files(runs)[0].parent.name == "first"


def test_a_port_in_use_is_said(runs: Path) -> None:
    with served(runs) as server, pytest.raises(UserError, match="give another port"):
        PageServer(Runs(runs).pages, server.server_port)


def test_a_folder_without_runs_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = Shell(tmp_path, monkeypatch, capsys)("view", check=2)
    assert "holds no runs" in done.err


def test_a_watched_run_is_listed_with_its_page(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    with gp.watch(model, folder=tmp_path / "runs" / "watched", every=1) as watch:
        for _ in range(3):
            loss = model(torch.ones(2, 3)).square().mean()
            loss.backward()
            watch.step(loss)
    with served(tmp_path / "runs") as server:
        assert "WatchLog" in ask(server, "/")[1]
        status, page, _ = ask(server, "/run/watched")
        assert status == 200
        assert "Sequential" in page


def test_a_record_is_read_again_only_when_it_has_changed(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    inner = _runs._read
    monkeypatch.setattr(_runs, "_read", lambda file: (read.append(file.parent.name), inner(file))[1])
    found = Runs(runs)
    first = found.pages()["/"]()
    assert sorted(read) == ["a b <i>", "broken", "first"]
    assert found.pages()["/"]() == first
    assert len(read) == 3
    changed = runs / "first" / "flow.json"
    gp.circuit("residual").save(changed)
    os.utime(changed, ns=(0, changed.stat().st_mtime_ns + 1))
    assert found.pages()["/"]() != first
    assert read[3:] == ["first"]
    (runs / "new").mkdir()
    gp.circuit("gate").save(runs / "new" / "flow.json")
    found.pages()["/"]()
    assert read[4:] == ["new"]
