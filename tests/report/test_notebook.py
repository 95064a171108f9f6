"""Records in a notebook: a sandboxed frame of at most 4 MiB, and one hook where IPython runs."""

from __future__ import annotations

import html
import subprocess
import sys

import pytest
from invented import comparison, flow, plain

import gradpath as gp
from gradpath.record import CircuitRecord
from gradpath.report import _page, render

IN_IPYTHON = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
import gradpath
assert "gradpath.report" not in sys.modules and "torch" not in sys.modules, "the hook costs nothing"
sys.path.insert(0, "tests/report")
from invented import flow
data, _ = shell.display_formatter.format(flow(2.0))
assert data["text/html"].startswith("<iframe srcdoc="), data["text/html"][:80]
assert 'sandbox="allow-scripts"' in data["text/html"]
assert data["text/plain"].startswith("Flow(")
data, _ = shell.display_formatter.format(gradpath.NetSpec(family="plain", depth=20))
assert "text/html" not in data and data["text/plain"].startswith("NetSpec(")
data, _ = shell.display_formatter.format(gradpath.render(flow(2.0)))
assert data["text/html"].startswith("<iframe srcdoc=")
assert "stem" in data["text/plain"]
"""


def test_a_bare_record_shows_its_page_in_ipython() -> None:
    pytest.importorskip("IPython")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IN_IPYTHON], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr


def test_without_ipython_nothing_is_registered() -> None:
    code = "import gradpath, sys; assert 'gradpath._notebook' not in sys.modules and 'IPython' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_shell_of_another_make_is_left_alone(monkeypatch) -> None:
    from types import SimpleNamespace

    from gradpath._notebook import register

    for shell in (None, SimpleNamespace(), SimpleNamespace(display_formatter=SimpleNamespace(formatters={}))):
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert not register()


def test_the_frame_may_run_scripts_and_nothing_more() -> None:
    shown = render(flow(2.0))._repr_html_()
    assert 'sandbox="allow-scripts"' in shown and "allow-same-origin" not in shown
    assert html.unescape(shown.partition('srcdoc="')[2].partition('" sandbox=')[0]) == render(flow(2.0)).html


def test_a_page_that_a_notebook_should_not_hold_is_text_and_a_note(monkeypatch) -> None:
    monkeypatch.setattr(_page, "MOST_BYTES", 1 << 16)
    shown = render(comparison())._repr_html_()
    assert "<iframe" not in shown and "report.html" in shown and html.escape(str(render(comparison()))) in shown


def test_several_records_share_a_page(tmp_path) -> None:
    records = [flow(2.0, model="One"), flow(0.1, model="Two")]
    shown = render(records)
    assert "One" in str(shown) and "Two" in str(shown) and "Two" in shown.html
    assert render(records, tmp_path / "x.html").read_text(encoding="utf-8") == shown.html
    with pytest.raises(gp.errors.UserError, match=r"share an \.html page"):
        render(records, tmp_path / "x.txt")
    with pytest.raises(gp.errors.UserError, match="list with a str"):
        render([records[0], "x"])
    with pytest.raises(gp.errors.UserError, match="there is none"):
        str(render([]).html)


def test_kinds_without_a_page_print(tmp_path) -> None:
    record: CircuitRecord = gp.circuit("residual")
    assert render(record).html.startswith("<!doctype html>")
    assert render(plain()).html.startswith("<!doctype html>")


def test_path_lengths_in_a_papers_axes() -> None:
    pyplot = pytest.importorskip("matplotlib.figure")
    import torch
    from torch.nn.functional import cross_entropy

    torch.manual_seed(0)
    net = gp.build("resnet-8")
    record = gp.paths(net, (torch.randn(4, 3, 32, 32), torch.arange(4)), cross_entropy)
    axes = pyplot.Figure().add_subplot()
    assert render(record, axes=axes) is axes
    assert record.shares is not None
    assert [bar.get_height() for bar in axes.patches] == pytest.approx(record.shares)
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "branches" in axes.get_xlabel() and any(text.startswith("effective depth") for text in legend)
