"""The README is true: its Python runs, and what it shows is what is printed."""

from __future__ import annotations

import re
import shlex

from click.testing import CliRunner

import gradpath as gp
from documents import ROOT, blocks, wrong_on
from gradpath.cli import cli

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_what_runs_prints_what_is_shown(tmp_path):
    wrong = wrong_on(README, tmp_path)
    assert not wrong, "\n\n".join(wrong) + "\n\nto write what is printed: python tests/documents.py README.md"


def test_the_first_example_is_a_users_own_model():
    code = [(language, text) for language, text in blocks(README) if language]
    assert code[0][0] == "python" and code[0][1].startswith("# train.py\n") and "gradpath" not in code[0][1]
    assert code[1][0] == "console" and code[1][1].startswith("$ gradpath trace train.py:probe\n")


def test_compare_printed_what_is_shown():
    """The record of the run that is shown lies beside the benchmarks' results."""
    record = gp.read(ROOT / "bench/results/compare.json")
    shown = next(text for _, text in blocks(README) if text.startswith("$ gradpath compare\n"))
    assert shown.split("\n", 1)[1].rstrip() == str(gp.render(record)).rstrip()
    assert record.machine.processor in README


def test_every_command_shown_exists():
    for line in re.findall(r"^\$ gradpath (.+)$", README, re.MULTILINE):
        name = shlex.split(line, comments=True)[0]
        assert CliRunner().invoke(cli, [name, "--help"]).exit_code == 0, line


def test_the_version_is_stated_once_and_the_changelog_knows_it():
    assert f"## {gp.__version__} (" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {gp.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
