"""Plans as pictures, page and CSV: everything that is drawn is where the numbers say."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import re
import xml.etree.ElementTree as ET

import pytest
from handmade_plans import ALTERNATING, DEEP, MIB, PLANNED, PLANS, STRANGE, UNPLANNED, cost
from invented import residual

import gradpath as gp
from gradpath.errors import UserError
from gradpath.report import FORMATS
from gradpath.report import _plan_figures as figures
from gradpath.report import _plan_words as words
from gradpath.report._entries import Entries
from gradpath.report._plan_svg import HEIGHT, WIDTH, plan_svg
from gradpath.report._report_page import report_page
from gradpath.report._webpage import asset

SVG = "{http://www.w3.org/2000/svg}"


def drawn(plan, theme="light"):
    return ET.fromstring(plan_svg(plan, theme))


def texts(root):
    return [element.text for element in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("ending", ["html", "svg", "txt", "csv", "json", "md"])
@pytest.mark.parametrize("name", PLANS)
def test_every_plan_has_every_format(name, ending, tmp_path):
    file = gp.render(PLANS[name], tmp_path / f"plan.{ending}")
    assert file.stat().st_size > 0 or (ending == "csv" and not PLANS[name].layers)


def test_other_formats_are_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"cannot write a Plan as 'plan.gif': its formats are .html, .png, .svg"):
        gp.render(PLANNED, tmp_path / "plan.gif")
    assert set(FORMATS[type(PLANNED)]) == {"html", "png", "svg", "txt", "csv", "json", "md"}


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
@pytest.mark.parametrize("name", PLANS)
def test_the_figure_is_well_formed_and_stays_inside_its_frame(name, theme):
    root = drawn(PLANS[name], theme)
    assert root.attrib["viewBox"] == f"0 0 {WIDTH} {HEIGHT}"
    for element in root.iter():
        x, y = float(element.get("x", 0)), float(element.get("y", 0))
        assert 0 <= x <= WIDTH and 0 <= y <= HEIGHT, ET.tostring(element)
    if theme != "auto":
        assert "var(--" not in plan_svg(PLANS[name], theme)


def test_the_outline_reaches_the_peak_and_both_passes_have_their_own():
    panel = figures.step_panel(PLANNED)
    assert panel is not None and panel.budget is not None
    root = drawn(PLANNED)
    areas = {e.get("class"): e.get("d") for e in root.iter(f"{SVG}path") if e.get("class") in ("forward", "backward")}
    tops = {look: min(float(y) for y in re.findall(r"V([\d.]+)H", d)) for look, d in areas.items()}
    left, top, width, height = 86, 96, 470, 250
    assert tops["backward"] == pytest.approx(top + height * (1 - max(PLANNED.live_bytes) / panel.top_bytes), abs=0.1)
    assert tops["forward"] == pytest.approx(
        top + height * (1 - max(PLANNED.live_bytes[:24]) / panel.top_bytes), abs=0.1
    )
    budget = next(e for e in root.iter(f"{SVG}line") if e.get("class") == "budget")
    assert float(budget.get("y1", 0)) == pytest.approx(top + height * (1 - 900 * MIB / panel.top_bytes), abs=0.1)
    assert float(areas["backward"].split()[0][1:]) == pytest.approx(left + width * 24 / 60, abs=0.1)
    assert {"peak 749 MiB", "budget 900 MiB", "▸ forward", "◂ backward", "▸ forward again"} <= set(texts(root))


def test_forwards_done_again_are_marked_only_where_there_are_some():
    strips = [e for e in drawn(PLANNED).iter(f"{SVG}rect") if e.get("opacity")]
    assert len(strips) == 12 and {e.get("opacity") for e in strips} == {"1.00"}
    root = drawn(ALTERNATING)
    assert not [e for e in root.iter(f"{SVG}rect") if e.get("opacity")] and "▸ forward again" not in texts(root)
    deep = [e for e in drawn(DEEP).iter(f"{SVG}rect") if e.get("opacity")]
    assert any(0 < float(e.get("opacity", 0)) < 1 for e in deep), "several moves in a column: a part of them"


def test_the_curve_falls_and_carries_this_plan_and_everything_kept():
    panel = figures.curve_panel(PLANNED)
    assert panel is not None and panel.budget is not None
    assert all(0 <= value <= 1 for point in (*panel.line, *panel.theory, panel.own) for value in point)
    assert panel.everything[0] == max(x for x, _ in (*panel.line, *panel.theory, panel.everything))
    assert [x for x, _ in panel.line] == sorted(x for x, _ in panel.line)
    assert panel.own[0] < panel.budget < panel.everything[0]
    root = drawn(PLANNED)
    assert {"this plan: 749 MiB, × 1.17", "everything kept: 1.58 GiB"} <= set(texts(root))
    assert len(list(root.iter(f"{SVG}circle"))) == 2  # in the panel, and below it beside its words


def test_the_rule_of_thumb_ends_at_its_knee():
    """a = 3, L = 24: the knee at √(2/(aL)) = 1/6 of the tape, at a ratio of 1 + (5/6)/3."""
    points = figures._theory(PLANNED)
    kept = PLANNED.keep_all
    fixed = kept.parameters + kept.gradients + kept.optimizer + kept.buffers
    assert points[0][0] == pytest.approx(fixed + (kept.total - fixed) / 6) and points[0][1] == pytest.approx(1 + 5 / 18)
    assert points[-1] == pytest.approx((kept.total, 1.0))
    tight = dataclasses.replace(PLANS["single"], costs=(cost(full_mib=16),))  # a = 1, L = 1: a knee above 1
    assert figures._theory(tight) == []
    assert figures.curve_panel(UNPLANNED) is None


@pytest.mark.parametrize("top", [700, 5000, 3 * MIB, 900 * MIB, 2**30, 5 * 2**30, 3 * 2**40])
def test_ticks_of_bytes_are_round_and_few(top):
    ticks = figures.byte_ticks(top)
    places = [place for place, _ in ticks]
    assert 3 <= len(ticks) <= 9 and places == sorted(places) and places[0] >= 0 and places[-1] <= 1
    assert len({said for _, said in ticks}) == len(ticks)


@pytest.mark.parametrize("name", PLANS)
def test_the_page_loads_nothing_and_names_are_text(name):
    page = gp.render(PLANS[name]).html
    outside = page.replace(asset("report.js"), "").replace(asset("report.css"), "")
    assert not re.search(r'(?:src|href)="(?!#)', outside) and "default-src 'none'" in outside
    assert "<b>|" not in outside, "a name is text"


def test_the_page_holds_the_plan_and_what_the_terminal_says(tmp_path):
    page = gp.render(PLANNED, tmp_path / "plan.html").read_text(encoding="utf-8")
    assert page == report_page([gp.read(gp.render(PLANNED, tmp_path / "plan.json"))]), "one page, however it is made"
    assert html.unescape(page).count(words.headline(PLANNED)) >= 3, "the window's title, the heading, the data"
    for said in ("forwards done again in the backward: 12 (of 24 blocks)", "left alone: head: comes after the blocks"):
        assert f"<li>{said}</li>" in page


def test_a_run_has_a_page_of_its_plan():
    run = dataclasses.replace(residual(), plan=PLANNED)
    entries = Entries()
    entries.add(run, "run")
    assert entries.said[-1]["name"] == "memory plan" and entries.said[-1]["place"] == [0, "plan"]
    assert entries.said[-1]["headline"] == words.headline(PLANNED)
    assert entries.records[0]["plan"]["blocks"] == list(PLANNED.blocks)


def test_several_plans_share_a_page(tmp_path):
    page = gp.render([PLANNED, UNPLANNED], tmp_path / "both.html").read_text(encoding="utf-8")
    assert "resnet-110" in page and "no chain of blocks was found" in page


def test_the_table_is_a_row_for_each_layer(tmp_path):
    rows = list(csv.DictReader(io.StringIO(gp.render(PLANNED, tmp_path / "p.csv").read_text(encoding="utf-8"))))
    assert [row["name"] for row in rows] == [layer.name for layer in PLANNED.layers]
    assert [int(row["kept_bytes"]) for row in rows] == [layer.kept_bytes for layer in PLANNED.layers]


@pytest.mark.parametrize("name", ["planned", "deep", "unplanned", "single", "strange"])
def test_a_png_is_drawn(name, tmp_path):
    pytest.importorskip("matplotlib")
    data = gp.render(PLANS[name], tmp_path / "plan.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 10_000


def test_a_plan_is_drawn_into_axes():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    from matplotlib.patches import StepPatch

    axes = gp.render(PLANNED, axes=figure.add_subplot(121))
    said = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "this plan: 749 MiB, × 1.17" in said and axes.get_xlabel() == figures.MEMORY_AXIS
    step = gp.render(dataclasses.replace(UNPLANNED, name="plain"), axes=figure.add_subplot(122))
    assert step.get_title(loc="left") == figures.STEP_TITLE
    tops = [max(patch.get_data().values) for patch in step.patches if isinstance(patch, StepPatch)]
    panel = figures.step_panel(UNPLANNED)
    assert panel is not None and max(tops) == pytest.approx(panel.height(max(panel.step.heights)))


def test_the_headline_of_a_strange_name_is_not_a_formula(tmp_path):
    pytest.importorskip("matplotlib")
    odd = dataclasses.replace(STRANGE, name="$\\frac$ _x_")
    assert gp.render(odd, tmp_path / "odd.png").stat().st_size > 10_000
