"""Plans as text and Markdown: what is said, what the tables add up to, no line wider than the console."""

from __future__ import annotations

import dataclasses
import io
import re

import pytest
from handmade_plans import (
    ALTERNATING,
    DEEP,
    KEPT,
    MEASURED,
    MIB,
    OVER,
    PLANNED,
    PLANS,
    SINGLE,
    STRANGE,
    UNPLANNED,
    made,
    split,
)
from invented import residual
from rich.cells import cell_len

import gradpath as gp
from gradpath.cli import _console
from gradpath.record import CurvePoint, LayerBytes, Plan
from gradpath.report import _plan_layers as layer_words
from gradpath.report import _plan_words as words
from gradpath.report import plan_line, plan_markdown, plan_text
from gradpath.report._plan_steps import step_lines, step_of
from gradpath.report._spoken import spoken


def test_the_headline_says_whether_it_fits_and_the_price():
    assert words.headline(PLANNED) == (
        "resnet-110 at batch 64×3×32×32 fits 900 MiB: 1.17 × the time of keeping everything (which needs 1.58 GiB)"
    )
    assert words.headline(OVER).startswith("resnet-110 at batch 64×3×32×32 takes 950 MiB, more than 900 MiB: 1.17 ×")
    assert words.headline(KEPT).startswith("resnet-110 at batch 64×3×32×32 fits 80% (4 GiB) with everything kept (1.58")
    assert words.headline(DEEP).startswith("resnet-10001 at batch 64×3×32×32 takes 6.28 GiB, more than auto (5.86 GiB)")
    assert "needs 311 MiB of 1 GiB: no block of it is planned, so everything is kept" in words.headline(UNPLANNED)


def test_a_measured_peak_counts_and_not_the_predicted_one():
    assert OVER.predicted.total < OVER.memory_bytes < words.peak_bytes(OVER)
    assert "fits" in words.headline(MEASURED) and "fits" not in words.headline(OVER)
    said = plan_text(MEASURED)
    assert "one real step: 890 MiB at its peak, predicted 749 MiB (+18.8 %), 1.5 s" in said
    assert "planned 2 times; before (predicted → measured): 749 MiB → 905 MiB" in said
    assert re.search(r"^measured +890 MiB +- +-$", said, re.MULTILINE)
    less = dataclasses.replace(PLANNED, measured=(dataclasses.replace(MEASURED.measured[0], peak_bytes=700 * MIB),))
    assert "(−6.5 %)" in plan_text(less)
    whole = dataclasses.replace(UNPLANNED, measured=MEASURED.measured[1:])
    assert "one real step: 890 MiB at its peak, 1.5 s" in plan_text(whole), "nothing was predicted"


def test_bytes_by_kind_add_up():
    rows = words.bytes_by_kind(PLANNED)
    assert [row.kind for row in rows][-1] == "total" and len(rows) == 7
    for side in ("planned", "kept"):
        assert sum(getattr(row, side) for row in rows[:-1]) == getattr(rows[-1], side)
    assert rows[-1].planned == PLANNED.predicted.total and rows[-1].kept == PLANNED.keep_all.total


def test_runs_join_neighbours_and_count_forwards():
    full, none, lean = words.runs(PLANNED)
    assert (full.name, full.mode, full.modules) == ("0–3", "full", "stages.0.0 to stages.0.3")
    assert (none.name, none.mode, none.forwards) == ("4–15", "none", 2)  # two segments of 6
    assert (lean.name, lean.mode, lean.forwards) == ("16–23", "lean", 1)
    assert "forwards done again in the backward: 12 (of 24 blocks)" in plan_text(PLANNED)
    assert [(run.name, run.modules) for run in words.runs(SINGLE)] == [("0", "0")]


def test_of_very_many_runs_the_middle_is_one_row():
    rows = words.runs(ALTERNATING)
    assert len(rows) == words.RUNS
    assert [row.hidden for row in rows if row.hidden] == [45]
    hidden = rows[-3]
    assert (hidden.first, hidden.last, hidden.mode) == (13, 57, "full lean")
    blocks = [block for row in rows for block in range(row.first, row.last + 1)]
    assert blocks == list(range(60))


@pytest.mark.parametrize("columns", [2, 7, 60, 78, 500])
@pytest.mark.parametrize("name", ["planned", "deep", "single", "unplanned"])
def test_a_binned_step_keeps_its_peak_and_where_the_backward_begins(name, columns):
    plan = PLANS[name]
    step = step_of(plan, columns)
    assert step is not None and len(step.heights) == min(columns, step.moves)
    assert 1 <= step.forward < len(step.heights)
    assert step.heights[step.peak] == max(step.heights)
    if plan.live_bytes:
        assert max(step.heights) == max(plan.live_bytes)
        forward = sum(len(segment.forward) for segment in plan.segments)
        assert max(step.heights[: step.forward]) == max(plan.live_bytes[:forward])
        assert any(step.again[step.forward :]) == any(s.mode == "none" for s in plan.segments)
    assert not any(step.again[: step.forward])


def test_the_sparkline_is_full_at_the_budget_and_marks_the_peak():
    title, line, ruler, mark = step_lines(PLANNED, 80)
    assert "60 moves" in title and title.endswith("the budget, 900 MiB)")
    assert len(line) == 62 and "█" not in line  # 749 of 900 MiB
    assert ruler.index("|backward") - 2 == 24 and ruler.startswith("  |forward")
    assert line[mark.index("^")] == max(line[2:]) == "▇" and mark.endswith("peak 749 MiB")
    tight = dataclasses.replace(PLANNED, memory_bytes=PLANNED.predicted.total)
    assert "█" in step_lines(tight, 80)[1]
    short = step_lines(SINGLE, 80)  # 2 moves
    assert len(short[1]) == 62 and short[2].index("|backward") == 2 + 30 and short[3].startswith("  ^ peak 117 MiB")
    heavy = dataclasses.replace(PLANNED, memory_bytes=2 * 61 * MIB, live_bytes=tuple([61 * MIB, 91 * MIB] * 30))
    assert "scale from 61 MiB, parameters and their like, to the budget" in " ".join(
        "".join(step_lines(heavy, 80)[:2]).split()
    )
    assert set(step_lines(heavy, 80)[-3].strip()) == {"▁", "▄"}
    late = step_lines(made(split(0, 2, 80), memory_mib=9000), 40)[-1]  # no room right of the mark
    assert cell_len(late) <= 40 and late.endswith("GiB ^") and late.strip().startswith("peak")


def test_nothing_planned_shows_what_the_layers_add_up_to():
    said = plan_text(UNPLANNED)
    assert "added up from its layers" in said and "left alone: no chain of blocks was found" in said
    assert words.RUNS_TITLE not in said and words.CURVE_TITLE not in said and "this plan" not in said
    step = step_of(UNPLANNED, 500)
    always = sum(getattr(UNPLANNED.predicted, kind) for kind in ("parameters", "gradients", "optimizer", "buffers"))
    kept = sum(layer.kept_bytes for layer in UNPLANNED.layers)
    assert step is not None and step.heights[step.forward - 1] == always + kept
    bare = dataclasses.replace(UNPLANNED, layers=())
    assert step_lines(bare, 80) == [] and plan_text(bare)


def test_the_curve_has_this_plan_and_keeping_everything():
    points = words.points(PLANNED)
    assert len(points) <= words.POINTS + 2
    assert [p.memory_bytes for p in points] == sorted(p.memory_bytes for p in points)
    assert [p.memory_bytes for p in points if p.note == "← this plan"] == [PLANNED.predicted.total]
    assert points[-1].part == 1 and points[-1].time_ratio == 1
    assert points[0].memory_bytes == PLANNED.smallest_bytes
    at_the_end = words.points(dataclasses.replace(PLANNED, predicted=dataclasses.replace(PLANNED.keep_all, buffers=0)))
    assert [p.note for p in at_the_end[-2:]] == ["← this plan", "plain autograd, everything kept"]
    near = dataclasses.replace(PLANNED, curve=(CurvePoint(memory_bytes=PLANNED.predicted.total + 9, time_ratio=1.2),))
    assert len(words.points(near)) == 2, "the curve's own point for it is not shown a second time"


def test_layers_that_cost_the_same_are_one_row():
    rows, rest = layer_words.layer_rows(PLANNED)
    assert rest == "" and sum(row.calls for row in rows) == len(PLANNED.layers)
    assert sum(row.kept_bytes for row in rows) == sum(layer.kept_bytes for layer in PLANNED.layers)
    assert [row.kept_bytes for row in rows] == sorted((row.kept_bytes for row in rows), reverse=True)
    assert rows[0].name == "stages.0.0.conv1 …" and rows[0].calls == 7
    every, _ = layer_words.layer_rows(PLANNED, every=True)
    assert [row.name for row in every] == [layer.name for layer in PLANNED.layers]
    assert "stages.2.39.conv1" in plan_text(PLANNED, layers=True) and "stages.2.39" not in plan_text(PLANNED)


def test_what_the_layer_table_leaves_out_is_counted():
    layers = tuple(
        LayerBytes(name=str(i), kind="Linear", output="1", parameter_bytes=i, kept_bytes=i * MIB, backward_bytes=0)
        for i in range(1, 21)
    )
    rows, rest = layer_words.layer_rows(dataclasses.replace(UNPLANNED, layers=layers))
    assert [row.name for row in rows] == [str(i) for i in range(20, 8, -1)]
    assert rest == "(8 more calls of layers keep 36 MiB together)"


class Console(io.StringIO):
    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:
        return self._encoding


@pytest.fixture
def _safe(monkeypatch):
    monkeypatch.setattr(_console.sys, "stdout", io.StringIO())
    monkeypatch.setattr(_console.sys, "stderr", io.StringIO())
    _console.make_safe()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "gbk", "utf-8"])
@pytest.mark.parametrize("layers", [False, True])
@pytest.mark.parametrize("name", PLANS)
@pytest.mark.usefixtures("_safe")
def test_no_line_is_wider_than_the_console(name, layers, encoding):
    text = _console.laid_out(lambda width: plan_text(PLANS[name], width, layers=layers), Console(encoding))
    lines = text.encode(encoding, "gradpath").decode(encoding).splitlines()
    assert lines and [line for line in lines if cell_len(line) > 80] == []
    assert "?" not in "".join(lines), "each sign has something that stands for it"


@pytest.mark.parametrize("width", [40, 60, 100, 160])
@pytest.mark.parametrize("name", PLANS)
def test_every_width_is_kept(name, width):
    assert [line for line in plan_text(PLANS[name], width).splitlines() if cell_len(line) > width] == []


@pytest.mark.parametrize("name", PLANS)
def test_no_name_breaks_the_markdown(name):
    text = plan_markdown(PLANS[name])
    cells = [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")]
    blocks = "".join("|" if line.startswith("|") else " " for line in text.splitlines()).split()
    at = 0
    for block in blocks:
        assert len(set(cells[at : at + len(block)])) == 1
        at += len(block)
    assert "<b>" not in re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert text.startswith("### ") and "\n\n\n" not in text


def test_a_plan_in_one_line():
    assert plan_line(PLANNED).endswith("(which needs 1.58 GiB); blocks keep full, none, lean")
    assert plan_line(UNPLANNED) == words.headline(UNPLANNED)  # which says that everything is kept
    assert "\n" not in plan_line(STRANGE)


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_survives_its_file(name, tmp_path):
    plan: Plan = PLANS[name]
    assert gp.read(plan.save(tmp_path / "plan.json")) == plan


def test_a_run_says_by_which_plan_it_was_trained():
    run = dataclasses.replace(residual(), plan=PLANNED)
    said = " ".join(gp.render(run)._repr_mimebundle_()["text/plain"].split())
    assert "trained by a plan: resnet-110 at batch 64×3×32×32 fits 900 MiB" in said
    assert "trained by a plan" not in str(gp.render(residual()))
    assert spoken(run, "run")["details"][1] == ["plan", plan_line(PLANNED)]
