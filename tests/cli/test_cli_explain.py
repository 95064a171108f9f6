from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest
from click.testing import CliRunner
from in_process import Shell

from gradpath.circuits import circuit, names
from gradpath.cli._explainer import FIGURES
from gradpath.cli.explain import explain
from gradpath.errors import UserError
from gradpath.record import read
from gradpath.report._webpage import asset
from gradpath.report.circuit import (
    circuit_markdown,
    circuit_svg,
    circuit_text,
    frame,
    moving_svg,
    truck_frame,
    truck_svg,
)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(explain, arguments, catch_exceptions=False, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    return Shell(tmp_path, monkeypatch, capsys)


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
    ("ending", "write"), [("svg", moving_svg), ("txt", circuit_text), ("md", circuit_markdown), ("SVG", moving_svg)]
)
def test_output_is_written_as_its_ending_says(tmp_path, ending, write):
    file = tmp_path / f"figure.{ending}"
    run("residual", "--output", str(file))
    assert file.read_text(encoding="utf-8") == write(circuit("residual"))


@pytest.mark.parametrize("asked", [(), ("--set", "customers=3", "--lang", "zh", "--theme", "dark")])
def test_the_truck_is_drawn_as_one(tmp_path, asked):
    file = tmp_path / "truck.svg"
    run("truck", *asked, "--output", str(file))
    options = {"customers": 3, "language": "zh"} if asked else {}
    roads = [circuit("truck", lane=lane, **options) for lane in ("none", "express")]
    assert file.read_text(encoding="utf-8") == truck_svg(*roads, "dark" if asked else "auto")


def test_a_queue_too_long_for_the_truck_says_so(tmp_path):
    result = CliRunner().invoke(explain, ["truck", "--set", "customers=9", "--output", str(tmp_path / "truck.svg")])
    assert isinstance(result.exception, UserError) and "8 customers, not for 9" in str(result.exception)
    assert not (tmp_path / "truck.svg").exists()


@pytest.mark.parametrize(
    ("asked", "write"),
    [
        (("--set", "lane=none"), lambda roads: moving_svg(roads[0])),
        (("--still",), lambda roads: truck_frame(*roads, 5)),
        (("--frame", "2", "--theme", "light"), lambda roads: truck_frame(*roads, 2, "light")),
    ],
)
def test_one_lane_of_the_truck_is_gates_and_one_moment_a_truck(tmp_path, asked, write):
    run("truck", *asked, "--output", str(tmp_path / "truck.svg"))
    roads = [circuit("truck", lane=lane) for lane in ("none", "express")]
    assert (tmp_path / "truck.svg").read_text(encoding="utf-8") == write(roads)


def test_pixels_show_the_truck_too(tmp_path):
    pytest.importorskip("resvg_py")
    image = pytest.importorskip("PIL.Image")
    for name, options in (("truck.gif", ()), ("last.png", ()), ("first.png", ("--frame", "1"))):
        run("truck", *options, "--width", "320", "--output", str(tmp_path / name))
    with image.open(tmp_path / "truck.gif") as film:
        assert film.n_frames == 6  # the loss, four customers, x
        for name, k in (("last.png", 5), ("first.png", 1)):
            with image.open(tmp_path / name) as shown:
                assert min(range(6), key=lambda i: mean_difference(film, i, shown)) == k


def mean_difference(film, k: int, shown) -> float:
    """Of frame k and a picture, in grey levels of 255."""
    film.seek(k)
    pairs = zip(film.convert("L").tobytes(), shown.convert("L").tobytes(), strict=True)
    return sum(abs(one - other) for one, other in pairs) / (film.width * film.height)


@pytest.mark.parametrize(
    ("arguments", "write"),
    [
        (("--still",), circuit_svg),
        (("--still", "--theme", "dark"), lambda record: circuit_svg(record, "dark")),
        (("--frame", "3"), lambda record: frame(record, 3)),
        (("--theme", "light"), lambda record: moving_svg(record, "light")),
    ],
)
def test_pictures_as_asked_for(tmp_path, arguments, write):
    run("plain", *arguments, "--output", str(tmp_path / "plain.svg"))
    assert (tmp_path / "plain.svg").read_text(encoding="utf-8") == write(circuit("plain"))


def test_a_film_with_too_many_steps_is_a_picture(tmp_path):
    run("plain-chain", "--set", "blocks=100", "--output", str(tmp_path / "chain.svg"))
    assert (tmp_path / "chain.svg").read_text(encoding="utf-8") == circuit_svg(circuit("plain-chain", blocks=100))


def test_pixels(tmp_path):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("resvg_py")
    run("gate", "--lang", "zh", "--theme", "dark", "--width", "640", "--output", str(tmp_path / "gate.gif"))
    run("gate", "--frame", "0", "--output", str(tmp_path / "gate.png"))
    with image.open(tmp_path / "gate.gif") as gif:
        assert (gif.size, gif.n_frames) == ((640, 360), 3)
        assert gif.convert("RGB").getpixel((2, 2)) == (0x14, 0x17, 0x1C)
    with image.open(tmp_path / "gate.png") as png:
        assert png.size == (1280, 720)


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
        (("plain", "--output", "figure.pdf"), "'.pdf' is not one of .svg, .png, .gif, .mp4, .json,"),
        (("plain", "--output", "figure.svg", "--frame", "9"), "there is no frame 9: plain has the frames 0 to 8"),
        (("plain", "--output", "x.gif", "--still"), "--still is for --output FILE.svg, and this is .gif"),
        (("plain", "--output", "x.svg", "--still", "--frame", "1"), "give one of the two"),
        (("plain", "--output", "x.txt", "--theme", "dark"), "--theme is for --output FILE.svg FILE.png FILE.gif"),
        (("plain", "--output", "x.svg", "--width", "99"), "--width is for --output FILE.png"),
        (("plain", "--frame", "1"), "--frame is for --output FILE.svg FILE.png, and nothing is written"),
        (("plain", "--output", "x.gif", "--theme", "auto"), "take the theme light or dark"),
        (("plain", "--format", "text", "--output", "x.gif"), "the ending .gif means gif"),
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


def test_the_explainer_is_one_file_that_loads_nothing(shell):
    done = shell("explain", "--output", "page.html", check=0)
    page = (shell.folder / "page.html").read_text(encoding="utf-8")
    assert done.err == "wrote page.html\n"
    assert page.startswith("<!doctype html>")
    assert len(page.encode()) <= 1_000_000
    assert "default-src 'none'" in page
    assert not re.search(r'(?:src|href)="https?:', page)


def test_the_language_is_the_readers_unless_it_is_asked_for(shell):
    shell("explain", "--output", "auto.html", check=0)
    shell("explain", "--output", "zh.html", "--lang", "zh", check=0)
    assert "data-language" not in (shell.folder / "auto.html").read_text(encoding="utf-8")[:300]
    assert 'data-language="zh"' in (shell.folder / "zh.html").read_text(encoding="utf-8")[:300]


def test_open_opens_the_figure_of_a_circuit(shell, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    shell("explain", "residual", "--open", "--output", "page.html", check=0)
    assert opened == [f"{(shell.folder / 'page.html').resolve().as_uri()}#skip"]


def test_without_a_browser_the_way_over_ssh_is_told(shell, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    done = shell("explain", "--open", check=0)
    assert Path(done.out.strip()).is_file()
    assert "gradpath view" in done.err and "--serve" in done.err


def test_every_circuit_has_its_figure_in_the_page():
    assert set(FIGURES) == set(names())
    script = asset("explain.js")
    for anchor in FIGURES.values():
        assert f'id:"{anchor}"' in script, anchor


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--open", "--output", "x.svg"), "--open shows a page"),
        (("nothing", "--open"), "there is no figure for 'nothing'"),
    ],
)
def test_what_cannot_be_opened_is_said(shell, arguments, words):
    assert words in shell("explain", *arguments, check=2).err
