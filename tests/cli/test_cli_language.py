"""--lang means the same everywhere: what is said, and the page that is written, in English or Chinese."""

from __future__ import annotations

import importlib

import click
import pytest
from click.testing import CliRunner

from gradpath.errors import UserError
from gradpath.record import Flow, Layer, Unseen
from gradpath.report._say import language

COMMANDS = ("trace", "paths", "diff", "report", "follow", "plan", "compare", "train", "explain")
LAYER = Layer(
    scope="stem", call=0, module="Linear", weighted=True, shape=(8, 4), resolution="", log10_activation_rms=0.0,
    log10_gradient_rms=-2.0, log10_gradient_norm=-1.0, log10_parameter_gradient_norm=-1.0, log10_parameter_norm=0.0,
)  # fmt: skip


def command(name: str) -> click.Command:
    found = importlib.import_module(f"gradpath.cli.{name}").command
    assert isinstance(found, click.Command)
    return found


@pytest.fixture
def record(tmp_path):
    flow = Flow(
        model="net", mode="train", dtype="float32", autocast=None, device="cpu", loss=2.3, layers=(LAYER,), forks=(),
        gain_per_layer=(), stem_over_head=1.0, log10_stem_gradient_norm=-1.0, skip_share=None, effective_depth=None,
        unseen=Unseen(), at="stem",
    )  # fmt: skip
    return flow.save(tmp_path / "flow.json")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_it(name):
    (option,) = [one for one in command(name).params if one.name == "lang"]
    assert option.type.choices == ["en", "zh"] or tuple(option.type.choices) == ("en", "zh")
    assert option.default == "en" and "Chinese" in option.help


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_a_record_is_shown_in_chinese(record, form):
    shown = CliRunner().invoke(command("report"), [str(record), "--lang", "zh", "--format", form])
    assert shown.exit_code == 0 and "没有发现问题。net：深 1 层，没有绕行的通道" in shown.stdout
    assert "No finding" not in shown.stdout and language() == "en"
    assert "No finding. net: 1 layer deep" in CliRunner().invoke(command("report"), [str(record)]).stdout


def test_on_a_console_without_chinese_it_is_english_with_a_notice(record):
    shown = CliRunner(charset="ascii").invoke(command("report"), [str(record), "--lang", "zh"])
    assert shown.exit_code == 0 and "No finding. net: 1 layer deep" in shown.output
    assert "this console (ascii) has no Chinese characters" in shown.output
    assert "深 1 层" in CliRunner(charset="gbk").invoke(command("report"), [str(record), "--lang", "zh"]).output


def test_files_are_in_chinese_on_any_console(record, tmp_path):
    for name, words in (("x.txt", "没有发现问题"), ("x.md", "没有发现问题"), ("x.html", 'data-language="zh"')):
        asked = [str(record), "--lang", "zh", "--output", str(tmp_path / name)]
        assert CliRunner(charset="ascii").invoke(command("report"), asked).exit_code == 0
        assert words in (tmp_path / name).read_text(encoding="utf-8")


def test_a_mistake_leaves_the_language_as_it_was(tmp_path):
    failed = CliRunner().invoke(command("report"), [str(tmp_path / "none.json"), "--lang", "zh"])
    assert isinstance(failed.exception, UserError) and language() == "en"
    assert CliRunner().invoke(command("report"), [str(tmp_path), "--lang", "fr"]).exit_code == 2
