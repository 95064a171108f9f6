from __future__ import annotations

import json
import os
import subprocess
import sys

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
        (("nope",), "unknown circuit 'nope'; there are: gate, plain, "),
        (("plain", "--format", "json", "--output", "x.svg"), "--format json and --output x.svg disagree"),
        (("plain", "--format", "text", "--output", "x.md"), "the ending .md means markdown"),
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


@pytest.mark.parametrize(("form", "ending"), [("json", "json"), ("text", "txt"), ("markdown", "md")])
def test_format_may_repeat_what_the_ending_says(form, ending, tmp_path):
    run("plain", "--format", form, "--output", str(tmp_path / f"plain.{ending}"))
    assert (tmp_path / f"plain.{ending}").stat().st_size > 500


def in_a_console(encoding: str, *arguments: str) -> tuple[str, str]:
    code = "import sys; from gradpath.cli import main; sys.argv[0] = 'gradpath'; main()"
    environment = os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, env=environment, check=True, timeout=60
    )
    return done.stdout.decode(encoding), done.stderr.decode(encoding)


@pytest.mark.parametrize("arguments", [("explain", "plain"), ("explain",)])
def test_console_without_chinese_gets_english_and_a_notice(arguments):
    english, _ = in_a_console("ascii", *arguments)
    output, notice = in_a_console("ascii", *arguments, "--lang", "zh")
    assert output == english
    assert notice.count("\n") == 1
    assert "this console (ascii) has no Chinese characters" in notice


def test_console_with_chinese_gets_chinese():
    output, notice = in_a_console("gbk", "explain", "plain", "--lang", "zh")
    assert "普通块" in output
    assert notice == ""


def test_file_is_chinese_on_any_console(tmp_path):
    _, news = in_a_console("ascii", "explain", "plain", "--lang", "zh", "--output", str(tmp_path / "plain.md"))
    assert "普通块" in (tmp_path / "plain.md").read_text(encoding="utf-8")
    assert "English" not in news


def test_help_loads_no_circuit_and_the_command_no_torch():
    code = "import sys; from click.testing import CliRunner; from gradpath.cli import cli; "
    helped = code + "CliRunner().invoke(cli, ['--help']); sys.exit('gradpath.circuits' in sys.modules)"
    walked = code + "CliRunner().invoke(cli, ['explain', 'plain']); sys.exit('torch' in sys.modules)"
    for command in (helped, walked):
        assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
