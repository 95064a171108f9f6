"""`gradpath paths`: the same targets as trace, lengths with their shares, files."""

from __future__ import annotations

import csv
import io
import json
import math
import sys

import pytest
from in_process import Shell

import gradpath as gp
from gradpath.record import PathLengths

NET = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
        nn.init.eye_(self.a.weight)
        nn.init.eye_(self.b.weight)

    def forward(self, x):
        return self.b(self.a(x)) + x


def probe():
    '''Identity branches: each of the 2⁴ paths carries the same, so the shares are binomial.'''
    return nn.Sequential(nn.Linear(6, 6), *(Block() for _ in range(4)))


def plain():
    return nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
"""


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    return Shell(tmp_path, monkeypatch, capsys)


def test_shares_of_identity_branches_are_binomial(shell):
    done = shell("paths", "net.py", "--input", "5x6", "--format", "json", check=0)
    data = json.loads(done.out)
    assert data["kind"] == "paths" and data["lengths"] == [0, 1, 2, 3, 4]
    assert data["shares"] == pytest.approx([math.comb(4, k) / 16 for k in range(5)], rel=1e-5)
    assert data["effective_depth"] == pytest.approx(2.0)


def test_the_screen_has_bars_quantiles_and_the_error(shell):
    text = shell("paths", "net.py", "--input", "5x6", check=0).out
    assert text.startswith("Sequential at 0: the gradient passes 2 of 4 branches on average")
    assert "5 %: 0, 50 %: 2, 95 %: 4" in text and "sum to autograd's own gradient within" in text
    rows = [line.split() for line in text.splitlines() if line.endswith("█")]
    assert [row[0] for row in rows] == list("01234")
    lengths = [row[-1].count("█") for row in rows]
    assert lengths[2] == max(lengths) and lengths[0] == lengths[4] == round(lengths[2] / 6)
    assert "note: no loss was given" in text


def test_layers_methods_and_depth(shell):
    layers = json.loads(shell("paths", "net.py", "--input", "5x6", "--unit", "layers", "--format", "json", check=0).out)
    assert layers["mean_length"] == pytest.approx(4.0) and layers["unit"] == "layers"
    mean = json.loads(shell("paths", "net.py", "--input", "5x6", "--method", "mean", "--format", "json", check=0).out)
    assert mean["lengths"] == [] and mean["mean_length"] == pytest.approx(2.0)
    assert "path-norm mass" in shell("paths", "net.py", "--input", "5x6", "--method", "veit", check=0).out
    text = shell("paths", "net.py", "--input", "5x6", "--by-depth", check=0).out
    rows = [line for line in text.splitlines() if line.endswith("|")]
    assert len(rows) == 9 and rows[0].split()[:2] == ["0", "2"] and rows[-1].split()[1] == "0"


def test_a_plain_net_is_counted_in_layers(shell):
    """No screen of zeros: there is no branch, and each path has the same number of layers."""
    text = shell("paths", "net.py:plain", "--input", "5x6", check=0).out
    assert text.startswith("Sequential at 0: no residual fork; every path passes 1 layer\n")
    assert "█" not in text and "100.0 %" not in text
    record = json.loads(shell("paths", "net.py:plain", "--input", "5x6", "--format", "json", check=0).out)
    assert (record["unit"], record["lengths"], record["effective_depth"]) == ("layers", [1], None)
    deep = shell("paths", "net.py:plain", "--input", "5x6", "--by-depth", check=0).out.splitlines()
    assert [line.split()[:2] for line in deep if line.endswith("|")] == [["0", "1"], ["1", "0"]]
    asked = shell("paths", "net.py:plain", "--input", "5x6", "--unit", "branches", "--by-depth", check=0).out
    assert "no residual fork, so there is no branch to pass" in asked and "unit layers" in asked
    assert "█" not in asked and "By depth" not in asked
    assert "needs a chain" in shell("paths", "net.py:plain", "--input", "5x6", "--method", "veit", check=2).err


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize(
    "arguments", [(), ("--by-depth",), ("--method", "veit"), ("--method", "mean"), ("--unit", "layers")]
)
def test_no_line_is_wider_than_the_terminal_once_signs_are_replaced(shell, monkeypatch, width, arguments):
    printed = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", printed)
    monkeypatch.setattr("gradpath.cli._console.width_of", lambda stream: width)
    shell("paths", "net.py", "--input", "5x6", *arguments, check=0)
    lines = printed.buffer.getvalue().decode("ascii").splitlines()
    assert len(lines) > 3
    assert max(map(len, lines)) <= width


def test_files(shell):
    shell("paths", "net.py", "--input", "5x6", "--output", "run", check=0)
    assert isinstance(gp.read(shell.folder / "run" / "paths.json"), PathLengths)
    assert sorted(p.name for p in (shell.folder / "run").iterdir()) == ["paths.json", "report.html"]
    shell("paths", "net.py", "--input", "5x6", "--output", "p.csv", check=0)
    rows = list(csv.DictReader((shell.folder / "p.csv").read_text().splitlines()))
    assert sum(float(row["share"]) for row in rows) == pytest.approx(1.0)
    markdown = shell("paths", "net.py", "--input", "5x6", "--format", "markdown", check=0).out
    assert markdown.startswith("### Sequential at 0") and "| branches | norm mass | share |" in markdown
    assert "the ending is none of" in shell("paths", "net.py", "--output", "p.png", check=2).err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "TARGET is missing: gradpath paths"), (("net.py",), "give --input"), (("net.py", "--unit", "x"), "--unit")],
)
def test_mistakes(shell, arguments, message):
    assert message in shell("paths", *arguments, check=2).err
