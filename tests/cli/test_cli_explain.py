from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from gradpath.circuits import circuit, names
from gradpath.cli.explain import explain
from gradpath.errors import UserError
from gradpath.record import read
from gradpath.report.circuit import circuit_markdown, circuit_svg, circuit_text


def run(*arguments: str) -> str:
    result = CliRunner().invoke(explain, arguments, catch_exceptions=False, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    return result.output


def test_prints_the_circuit():
    assert run("plain") == circuit_text(circuit("plain"))
    assert run("plain", "--lang", "zh") == circuit_text(circuit("plain", language="zh"))


@pytest.mark.parametrize("arguments", [(), ("--list",), ("plain", "--list")])
def test_lists_the_gallery(arguments):
    lines = run(*arguments).splitlines()
    assert [line.split()[0] for line in lines] == list(names())


def test_settings_are_values_or_options():
    output = run("residual-chain", "--set", "blocks=2", "--set", "F1 = 0.5", "--set", "w=0.2", "--format", "json")
    assert (
        json.loads(output)["nodes"] == circuit("residual-chain", blocks=2, w=0.2, values={"F1": 0.5}).to_dict()["nodes"]
    )


def test_formats():
    assert run("dense", "--format", "json") == circuit("dense").to_json()
    assert run("dense", "--format", "markdown") == circuit_markdown(circuit("dense"))


@pytest.mark.parametrize(
    ("ending", "write"), [("svg", circuit_svg), ("txt", circuit_text), ("md", circuit_markdown), ("SVG", circuit_svg)]
)
def test_output_is_written_as_its_ending_says(tmp_path, ending, write):
    file = tmp_path / f"figure.{ending}"
    run("truck", "--output", str(file))
    assert file.read_text(encoding="utf-8") == write(circuit("truck"))


def test_output_as_json_can_be_read(tmp_path):
    run("truck", "--set", "lane=none", "--output", str(tmp_path / "truck.json"))
    assert read(tmp_path / "truck.json") == circuit("truck", lane="none")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("plane",), "did you mean 'plain'"),
        (("plain", "--set", "x"), "--set takes NAME=VALUE"),
        (("plain", "--set", "x="), "--set takes NAME=VALUE"),
        (("plain", "--set", "x=abc"), "x must be a finite number, not 'abc'"),
        (("plain", "--set", "blocks=5"), "unknown value 'blocks'"),
        (("dense", "--set", "layers=99"), "layers takes a whole number from 1 to 8"),
        (("plain", "--output", "figure.pdf"), "the ending '.pdf' is not one of .svg, .json, .txt, .md"),
    ],
)
def test_mistakes_are_one_line(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        CliRunner().invoke(explain, arguments, catch_exceptions=False)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
