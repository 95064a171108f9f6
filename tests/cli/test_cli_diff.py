"""`gradpath diff`, `report` and `view`: what is saved is compared and shown again, without the model."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
import torch
from in_process import Shell
from torch import nn
from torch.nn.functional import cross_entropy

import gradpath as gp
from gradpath.record import Finding, Flow, FlowDiff


def traced(scale: float = 1.0, depth: int = 4) -> Flow:
    """A plain net whose gradient shrinks by `scale` a layer more than the other's."""
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(6, 6, bias=False) for _ in range(depth)))
    with torch.no_grad():
        for layer in model:
            layer.weight.mul_(scale)
    flow = gp.trace(model, (torch.randn(5, 6) / scale**depth, torch.arange(5)), cross_entropy)
    return dataclasses.replace(flow, findings=())


@pytest.fixture(scope="module")
def flows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flows")
    same = traced()
    same.save(folder / "a.json")
    same.save(folder / "run" / "flow.json")
    traced(0.1).save(folder / "weak.json")
    traced(0.9).save(folder / "near.json")
    found = Finding(kind="dead units", where="2", sentence="Dead.", evidence="e", remedy="r", severity=1.0)
    dataclasses.replace(same, findings=(found,)).save(folder / "sick.json")
    gp.NetSpec(family="plain", depth=20).save(folder / "spec.json")
    (folder / "empty").mkdir()
    return folder


@pytest.fixture
def shell(flows, monkeypatch, capsys):
    return Shell(flows, monkeypatch, capsys)


def test_a_flow_agrees_with_itself_and_a_folder_stands_for_its_flow(shell):
    done = shell("diff", "a.json", "run", check=0)
    assert done.out.startswith("The two flows agree within 0.3 decades (4 layers compared)")


def test_the_ratio_is_that_of_the_weights(shell):
    """Weights a tenth as large: the gradient at the output of layer i passes 3 − i of them."""
    data = json.loads(shell("diff", "a.json", "weak.json", "--format", "json", check=1).out)
    assert data["kind"] == "diff"
    assert [layer["decades"] for layer in data["layers"]] == pytest.approx([-3, -2, -1, 0], abs=1e-4)
    assert {layer["matched"] for layer in data["layers"]} == {"name"}
    (ratio,) = (q for q in data["quantities"] if q["name"] == "stem over head")
    assert ratio["decades"] == pytest.approx(-3, abs=1e-4)


def test_the_tolerance_decides(shell):
    shell("diff", "a.json", "near.json", check=0)
    done = shell("diff", "a.json", "near.json", "--tolerance", "0.1", check=1)
    assert "of 4 layers differs by more than 0.1 decades" in " ".join(done.out.split())
    shell("diff", "a.json", "weak.json", "--tolerance", "4", check=0)


def test_a_finding_that_appears_fails_and_one_that_goes_does_not(shell):
    assert "new in B: dead units at 2: Dead." in shell("diff", "a.json", "sick.json", check=1).out
    assert "gone in B: dead units at 2: Dead." in shell("diff", "sick.json", "a.json", check=0).out


def test_markdown_is_fit_for_a_ci_summary(shell):
    text = shell("diff", "a.json", "weak.json", "--format", "markdown", check=1).out
    assert text.startswith("### The gradient RMS of 3 of 4 layers differs")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count(" | ") for line in table[:4]}) == 1
    shell("diff", "a.json", "weak.json", "--output", "d.md", "--quiet", check=1)
    assert (shell.folder / "d.md").read_text(encoding="utf-8") == text
    shell("diff", "a.json", "weak.json", "--output", "d", check=1)
    assert isinstance(gp.read(shell.folder / "d" / "diff.json"), FlowDiff)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.json", "absent.json"), "absent.json: cannot be read"),
        (("a.json", "spec.json"), "holds a NetSpec, not a flow"),
        (("a.json", "empty"), "empty: holds no record"),
        (("a.json",), "Missing argument 'B'"),
        (("a.json", "a.json", "--tolerance", "-1"), "--tolerance"),
        (("a.json", "a.json", "--output", "d.png"), "the ending is none of"),
    ],
)
def test_bad_input_is_2(shell, arguments, message):
    done = shell("diff", *arguments, check=2)
    assert message in done.err and not done.out


def test_report_shows_a_record_again(shell):
    flow = gp.read(shell.folder / "a.json")
    assert shell("report", "a.json", check=0).out == str(gp.render(flow))
    assert shell("report", "run", "--format", "json", check=0).out == flow.to_json()
    assert shell("report", "run", "--format", "markdown", check=0).out.startswith("### ")
    for name in ("o.html", "o.png", "o.svg", "o.txt", "o.csv", "o.md", "o.json"):
        assert f"wrote {name}" in shell("report", "a.json", "--output", name, check=0).err
        assert (shell.folder / name).stat().st_size > 100
    assert gp.read(shell.folder / "o.json") == flow
    assert "cannot write a Flow as 'o.gif'" in shell("report", "a.json", "--output", "o.gif", check=2).err
    assert "cannot show a NetSpec as text" in shell("report", "spec.json", check=2).err
    assert "a NetSpec has no Markdown" in shell("report", "spec.json", "--format", "markdown", check=2).err


def test_a_page_of_the_difference_shows_both_flows(shell):
    shell("diff", "a.json", "weak.json", "--output", "d.html", "--quiet", check=1)
    page = (shell.folder / "d.html").read_text(encoding="utf-8")
    assert "<h1>The gradient RMS of 3 of 4 layers differs" in page
    assert "<h2>a: " in page and "<h2>weak: " in page
    done = shell("diff", "a.json", "weak.json", "--output", "both", check=1)
    assert "diff.json, report.html" in done.err
    assert "<h2>weak: " in (shell.folder / "both" / "report.html").read_text(encoding="utf-8")


def test_report_puts_several_records_on_a_page(shell):
    done = shell("report", "a.json", "weak.json", "run", "--output", "three.html", check=0)
    assert "wrote three.html" in done.err
    page = (shell.folder / "three.html").read_text(encoding="utf-8")
    assert "<h1>Gradient at the stem over that at the head: a " in page
    assert all(f"<h2>{name}: " in page for name in ("a", "weak", "run"))
    assert "add --output report.html" in shell("report", "a.json", "weak.json", check=2).err
    assert "add --output report.html" in shell("report", "a.json", "--redact", check=2).err
    assert "a NetSpec has no page" in shell("report", "spec.json", "--output", "s.html", check=2).err
    shell("report", "a.json", "weak.json", "--redact", "--output", "r.html", check=0)
    assert "weak" not in (shell.folder / "r.html").read_text(encoding="utf-8")


def test_report_shows_a_watched_run(shell):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with gp.watch(model, optimizer, folder=shell.folder / "watched", every=1) as watch:
        for _ in range(6):
            loss = cross_entropy(model(torch.randn(8, 4)), torch.arange(8) % 2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watch.step(loss)
    shell("report", "watched", "--output", "w.html", check=0)
    page = (shell.folder / "w.html").read_text(encoding="utf-8")
    assert "watch-log" in page and "6 reports, step 1 to 6" in page
    assert "gradpath follow watched shows it" in shell("report", "watched", check=2).err


def test_view_writes_the_page_where_it_is_missing_and_opens_it(shell, monkeypatch):
    import webbrowser

    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    shell("view", "run", check=0)
    page = shell.folder / "run" / "flow.html"
    assert opened == [page.resolve().as_uri()] and page.read_text(encoding="utf-8").startswith("<!doctype html>")
    page.write_text("kept")
    assert "opened" in shell("view", "run", check=0).out
    assert page.read_text() == "kept", "a page that is newer than its record is not written again"
    os.utime(page, (0, 0))
    shell("view", "run/flow.json", check=0)
    assert page.read_text(encoding="utf-8") != "kept"
    shell("view", "run/flow.html", check=0)
    assert len(opened) == 4


def test_view_without_a_browser_or_without_a_page(shell, monkeypatch):
    import webbrowser

    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    done = shell("view", "a.json", check=0)
    assert "a.html" in done.out and "--serve 8000" in done.err
    assert "a NetSpec has no page" in shell("view", "spec.json", check=2).err
    assert "no such file" in shell("view", "absent.html", check=2).err
    assert "holds no record" in shell("view", "empty", check=2).err


def test_serve_gives_the_page_and_nothing_else(flows):
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "gradpath", "view", "a.json", "--serve", "0"],
        cwd=flows,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
    )
    try:
        address = process.stdout.readline().split()[0]
        assert address.startswith("http://localhost:")
        assert f"ssh -L {address.split(':')[2].strip('/')}:localhost:" in process.stderr.readline()
        address = address.replace("localhost", "127.0.0.1")
        assert urllib.request.urlopen(address, timeout=10).read().startswith(b"<!doctype html>")
        for other in ("weak.json", "../", "run/flow.json"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(address + other, timeout=10)
            assert refused.value.code == 404
            refused.value.close()
        process.send_signal(2)
        _, error = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0 and "Traceback" not in error
