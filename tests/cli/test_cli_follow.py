"""`gradpath follow`: one screen of a watched run, whatever is in its file; it fits the terminal."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from gradpath.cli import _console, cli
from gradpath.errors import RecordError
from gradpath.record import WatchEvent, WatchHeader, WatchLayer, WatchLog, WatchReport, watch_line
from gradpath.report._follow import follow_text
from gradpath.report._signs import replacing

LAYERS = 30


def header(layers=LAYERS, **changes):
    found = [WatchLayer(scope=f"blocks.{i}.conv", module="Conv2d", weighted=i % 3 != 2) for i in range(layers)]
    fields = {"model": "Net", "layers": tuple(found), "system": "", "device": "cpu", "threads": 1, "python": ""}
    return WatchHeader(torch="", rank=0, world_size=1, max_overhead=0.01, every=None, **(fields | changes))


def report(step, gradients=None, losses=None, **fields):
    gradients = gradients or [-4.0 + 0.1 * i for i in range(LAYERS)]
    return WatchReport(
        step=step,
        seconds=step / 10,
        losses=tuple(losses if losses is not None else (2.0 / step,)),
        log10_activation_rms=(0.0,) * len(gradients),
        log10_gradient_rms=tuple(gradients),
        log10_parameter_gradient_norm=(0.0,) * len(gradients),
        **fields,
    )


def write(folder, *records):
    folder.mkdir(exist_ok=True)
    file = folder / "watch.jsonl"
    file.write_text("".join(map(watch_line, records)), encoding="utf-8")
    return folder


def follow(*args):
    return CliRunner().invoke(cli, ["follow", *map(str, args)])


@pytest.fixture
def run(tmp_path):
    calm = [report(step, learning_rate=0.1, overhead=0.0042, period=12) for step in range(1, 9)]
    gradients = [-4.0 + 0.1 * i for i in range(LAYERS)]
    gradients[7] += 2  # ×100
    last = report(9, gradients, overhead=0.0042, period=12, skipped_steps=(9,), loss_scale=1024.0)
    event = WatchEvent(step=9, what="spike", text="loss 7", file="spike-9.json")
    return write(tmp_path / "run", header(), *calm, last, event)


def test_the_screen_says_where_the_run_is_and_which_layer_moves(run):
    done = follow(run, "--once")
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert len(lines) <= 24
    assert all(cell_len(line) <= 80 for line in lines)
    for part in (
        "run: Net, 20 layers",
        "step 9",
        "loss 0.2222",
        "loss scale 1024",
        "every 12 steps",
        "0.4 % (aim 1.0 %)",
    ):
        assert part in done.output
    for part in ("step 9: spike: loss 7", "1 step skipped", "trace-now"):
        assert part in done.output
    row = next(line for line in lines if line.startswith("blocks.7.conv"))
    assert row.split() == ["blocks.7.conv", "gradient", "×100"]
    rows = [line for line in lines if line.startswith("blocks")]
    assert rows[0] == row


def calm(*changes, steps=8):
    """Quiet reports, then one for each change."""
    reports = [report(step, overhead=0.0042) for step in range(1, steps + 1)]
    last = [report(steps + i, **({"overhead": 0.0042} | change)) for i, change in enumerate(changes, 1)]
    return [header(), *reports, *last]


def first_line(folder, *records):
    log = WatchLog(write(folder, *records))
    log.poll()
    lines = follow_text(log, 80, 24).splitlines()
    assert len(lines) <= 24 and all(cell_len(line) <= 80 for line in lines)
    return " ".join(lines[: lines.index("")])


def levels(**changed):
    values = [-4.0 + 0.1 * i for i in range(LAYERS)]
    for place, value in changed.items():
        values[int(place[1:])] = value
    return values


def slope(decades):
    """Gradient levels from stem to head: so many decades over all layers; the head is large, as heads are."""
    return [-4.0 + decades * i / (LAYERS - 1) for i in range(LAYERS - 1)] + [3.0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ([], "Calm: every layer is within 3 times its own median of 7 reports; overhead 0.4 %"),
        (
            [{"gradients": levels(l7=-1.3)}],
            "The gradient has grown 100-fold at blocks.7.conv, since step 9; overhead 0.4 %",
        ),
        (
            [{"gradients": levels(l7=-2.3)}, {}, {"gradients": levels(l7=-2.3)}, {"gradients": levels(l7=-1.3)}],
            "The gradient has grown 100-fold at blocks.7.conv, since step 11; overhead 0.4 %",
        ),
        (
            [{"gradients": levels(l7=-5.3, l8=-4.2, l9=-2.0)}],
            "The gradient has shrunk to 0.01 of itself at blocks.7.conv (and at 1 other layer), since step 9",
        ),
        ([{"gradients": levels(l3=-math.inf)}], "The gradient has become exactly 0 at blocks.3.conv, since step 9"),
        (
            [{"gradients": levels(l7=math.nan)}, {"gradients": levels(l7=math.nan, l2=math.inf)}],
            "The gradient of blocks.7.conv is not finite (and at 1 more layer), since step 9",
        ),
        ([{"losses": [math.nan]}, {"losses": [math.nan]}], "The loss is not finite, since step 9; overhead"),
        ([{"losses": [9.0]}], "The loss has risen to 20 times its median, since step 9; overhead 0.4 %"),
        (
            [{"losses": [9.0], "gradients": levels(l7=-1.3)}],
            "its median, since step 9; the gradient has grown 100-fold at blocks.7.conv, since step 9; overhead",
        ),
        ([{"overhead": 0.034}], "its own median of 8 reports; overhead 3.4 %, above 1.0 %"),
        ([{"overhead": None}], "its own median of 8 reports"),
    ],
)
def test_the_verdict_comes_first(tmp_path, changes, sentence):
    assert sentence in first_line(tmp_path / "run", *calm(*changes))


DEEP = replace(header(), layers=tuple(WatchLayer(scope=str(i), module="Linear", weighted=True) for i in range(LAYERS)))


@pytest.mark.parametrize(
    ("decades", "words"),
    [
        (0.0, "Calm"),
        (3.7, "Calm"),  # 28/29 of it without the head: below 2.5 · log10(30 layers) = 3.69 decades
        (4.0, "The gradient shrinks to 0.00014 of itself from layer 28 back to layer 0, since step 1"),  # 10^-3.86
        (-4.0, "The gradient grows 7300-fold from layer 28 back to layer 0, since step 1"),
    ],
)
def test_a_profile_that_vanishes_or_explodes_is_told_and_a_large_head_is_not(tmp_path, decades, words):
    records = [DEEP, *[report(step, slope(decades)) for step in range(1, 9)]]
    assert first_line(tmp_path / "run", *records).startswith(words)


def test_a_profile_says_since_when_and_a_residual_zigzag_says_nothing(tmp_path):
    records = [DEEP, *[report(step, slope(4.0 if step > 5 else 1.0)) for step in range(1, 9)]]
    assert ", since step 6" in first_line(tmp_path / "a", *records)
    zigzag = [-4.0 + 0.05 * i + (2 if i % 2 else -2) for i in range(LAYERS)]
    assert first_line(tmp_path / "b", DEEP, *[report(step, zigzag) for step in range(1, 9)]).startswith("Calm")


def test_before_five_reports_nothing_is_said_of_moves(tmp_path):
    assert first_line(tmp_path / "run", *calm(steps=2)).startswith("Too early to say which layers move: report 2 of")


def test_now_and_before_are_drawn_on_one_scale(run):
    lines = follow(run, "--once").output.splitlines()
    before, now = (next(line for line in lines if line.startswith(f"  {name}")) for name in ("before", "now"))
    assert len(before) == len(now) == 10 + 20  # 20 of 30 layers are weighted
    differ = [i for i, (a, b) in enumerate(zip(before[10:], now[10:], strict=True)) if a != b]
    assert differ == [5]  # layer 7 is the sixth weighted one
    assert before[-1] == "█"
    assert before[10] == "▁"


def test_a_file_can_be_named_and_a_torn_or_broken_line_is_no_harm(run):
    file = run / "watch.jsonl"
    text = file.read_text(encoding="utf-8")
    first, _, rest = text.partition("\n")
    file.write_text(f'{first}\n{{"schema":1,"ki\n{rest}{rest[:100]}', encoding="utf-8")
    done = follow(file, "--once")
    assert done.exit_code == 0
    assert "step 9" in done.output
    assert "1 line of the file could not be read" in done.output


def test_a_run_without_a_report_waits(tmp_path):
    assert "waiting for the first report" in follow(write(tmp_path, header()), "--once").output


@pytest.mark.parametrize("content", [None, "", '{"schema":1', "hello\n"])
def test_what_is_no_run_is_said_in_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "watch.jsonl").write_text(content)
    done = subprocess.run(
        [sys.executable, "-m", "gradpath", "follow", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "watch.jsonl" in done.stderr


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("height", [12, 24, 60])
@pytest.mark.parametrize("layers", [1, 30, 1000])
def test_it_fits_any_terminal(tmp_path, width, height, layers):
    strange = [-math.inf, math.nan, None, -3.0]
    gradients = [strange[i % 4] for i in range(layers)]
    records = [report(step, gradients, [1.0, math.nan, 0.5]) for step in range(1, 7)]
    log = WatchLog(write(tmp_path, header(layers), *records))
    log.poll()
    lines = follow_text(log, width, height).splitlines()
    assert all(cell_len(line) <= width for line in lines)
    assert len(lines) <= max(height, 12 if width >= 80 else 18)


def test_signs_for_zero_not_finite_and_no_gradient(tmp_path):
    gradients = [-math.inf, math.nan, 0.0, None] + [-2.0] * (LAYERS - 4)
    log = WatchLog(write(tmp_path, header(), report(1, gradients, [math.nan, 1.0, 2.0])))
    log.poll()
    text = follow_text(log)
    assert "  now     0!-" in text  # the third layer is a norm and is not drawn
    assert "  !▁█" in text


def test_a_growing_file_is_taken_in_as_it_grows(run):
    log = WatchLog(run)
    assert log.poll() == 11
    assert log.poll() == 0
    with (run / "watch.jsonl").open("a", encoding="utf-8") as file:
        file.write(watch_line(report(10)))
    assert log.poll() == 1
    assert log.reports[-1].step == 10
    write(run, header(), report(1))  # the run was started anew
    assert log.poll() == 2
    assert [r.step for r in log.reports][-1] == 1
    (run / "watch.jsonl").unlink()
    with pytest.raises(RecordError, match="cannot be read"):
        log.poll()


@pytest.mark.parametrize("gradients", [levels(l7=-1.3), levels(l7=math.nan), slope(9.0), slope(-9.0), slope(0.0)])
def test_it_fits_a_console_without_signs(tmp_path, gradients):
    """'×' stays one character, '…' becomes three."""
    named = [replace(x, scope=f"blocks…{i}.{'→' * 30}") for i, x in enumerate(header().layers)]
    reports = [report(step) for step in range(1, 8)] + [report(8, gradients, [9.0], overhead=0.5)]
    event = WatchEvent(step=8, what="spike", text="loss → 9 … " * 20)
    log = WatchLog(write(tmp_path / "run→…", replace(header(), layers=tuple(named)), *reports, event))
    log.poll()
    with replacing(_console._Replacements("ascii")):
        lines = follow_text(log, 80, 24).splitlines()
    shown = "\n".join(lines).translate(_console._Replacements("ascii")).splitlines()
    assert len(shown) <= 24 and all(len(line) <= 80 for line in shown)
