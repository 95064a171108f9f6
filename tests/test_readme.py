"""The README is true: its Python runs, and what it shows is what is printed."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import gradpath as gp
from gradpath.cli import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
PLAIN = [text for language, text in BLOCKS if not language]
NUMBER = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")


def shape_and_numbers(text: str) -> tuple[str, list[float]]:
    """The text without its numbers and spaces, and its numbers."""
    return re.sub(r"\s+", "", NUMBER.sub("#", text)), [float(n) for n in NUMBER.findall(text)]


def shown_after(command: str) -> str:
    """What the README shows below `$ command`."""
    block = next(b for b in PLAIN if b.startswith(f"$ {command}\n"))
    return block.split("\n", 1)[1]


def test_every_python_block_runs_and_prints_what_is_shown():
    assert PYTHON
    for code in PYTHON:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), {})
        shown = BLOCKS[BLOCKS.index(("python", code)) + 1][1]
        shape, numbers = shape_and_numbers(printed.getvalue())
        shown_shape, shown_numbers = shape_and_numbers(shown)
        assert shape == shown_shape
        assert numbers == pytest.approx(shown_numbers, rel=0.02, abs=0.02)  # the last digit is the machine's


def test_explain_prints_what_is_shown():
    result = CliRunner().invoke(cli, ["explain", "residual"])
    assert result.exit_code == 0
    shown = shown_after("gradpath explain residual").rstrip()
    start, _, end = shown.partition("\n…\n")
    assert result.output.startswith(start)
    assert result.output.rstrip().endswith(end)


def test_compare_printed_what_is_shown():
    """The record of the run that is shown lies beside the benchmarks' results."""
    record = gp.read(ROOT / "bench/results/compare.json")
    assert shown_after("gradpath compare").rstrip() == str(gp.render(record)).rstrip()
    assert record.machine.processor in README


def test_every_command_shown_exists():
    for line in re.findall(r"^\$ gradpath (.+)$", README, re.MULTILINE):
        name = shlex.split(line, comments=True)[0]
        assert CliRunner().invoke(cli, [name, "--help"]).exit_code == 0, line


def test_the_version_is_stated_once_and_the_changelog_knows_it():
    assert f"## {gp.__version__} (" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {gp.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
