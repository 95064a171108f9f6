"""The page of a plan in Chromium: the numbers that Python says, views that follow each other, for every reader."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import reports
from report_pages import Opened

from gradpath import units
from gradpath.record import Plan
from gradpath.report import _plan_words as words
from gradpath.report._plan_steps import step_of

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from handmade_plans import ALTERNATING, DEEP, MEASURED, PLANNED, PLANS, STRANGE, UNPLANNED
from invented import residual

AT_BLOCK_6 = "#at=b6"
"""A block that keeps nothing and is run forward twice."""


def rows(page: Any, panel: str) -> list[list[str]]:
    """The cells of a panel's first table."""
    script = """(panel) => [...document.querySelector(panel + ' table').querySelectorAll('tbody tr:not([aria-hidden])')]
        .map((row) => [...row.children].map((cell) => cell.textContent.trim().replace(/[▾▸]/g, '').trim()))"""
    found: list[list[str]] = page.do(script, panel)
    return found


def chosen(page: Any, panel: str) -> list[str]:
    """The heads of its selected rows."""
    script = """(panel) => [...document.querySelectorAll(panel + ' tr.chosen th')]
        .map((head) => head.title || head.textContent)"""
    found: list[str] = page.do(script, panel)
    return found


@pytest.mark.parametrize("plan", [MEASURED, UNPLANNED], ids=["planned", "unplanned"])
def test_bytes_and_layers_are_those_of_the_record(opened: Opened, plan: Plan) -> None:
    page = opened([plan])
    said = [row for row in words.bytes_by_kind(plan) if row.kept or plan.segments]
    both = [[units.memory(row.planned), units.memory(row.kept) if row.kept else "-"] for row in said]
    assert [row[1:3] if plan.segments else row[1:2] for row in rows(page, "#bytes")] == [
        pair if plan.segments else pair[1:] for pair in both
    ]
    layers = {row[0]: row for row in rows(page, "#table")}
    assert layers["stages"][4] == units.memory(sum(x.kept_bytes for x in plan.layers if x.name.startswith("stages.")))
    assert layers["conv"][3:5] == [
        units.memory(plan.layers[0].parameter_bytes),
        units.memory(plan.layers[0].kept_bytes),
    ]
    assert page.page.locator("#blocks, #curve, #runs").count() == (3 if plan.segments else 0)


def test_the_step_and_the_curve_are_those_of_the_record(opened: Opened) -> None:
    page = opened([PLANNED])
    step = step_of(PLANNED, 10**6)
    assert step is not None
    peak = units.memory(max(step.heights))
    slider = page.page.locator("#step input[type=range]")
    said = f"{step.peak + 1} of {step.moves}, forward again, block 15, stages.0.15: {peak}"
    assert slider.get_attribute("aria-valuetext") == said
    page.do("() => document.querySelectorAll('details').forEach((one) => (one.open = true))")
    table = rows(page, "#step")
    assert [row[0] for row in table] == [str(i + 1) for i in range(step.moves)]
    assert [row[1] if i < step.forward else row[2] for i, row in enumerate(table)] == list(
        map(units.memory, step.heights)
    )
    points = [row for row in rows(page, "#curve") if row[1] != "none"]
    assert [row[:2] for row in points] == [
        [units.memory(point.memory_bytes), units.number(point.time_ratio, 3)] for point in PLANNED.curve
    ]
    assert page.text("#curve code").startswith("To plan it: gradpath plan TARGET --memory 7")
    assert page.page.locator("#step .budget, #curve .budget").count() == 2


@pytest.mark.parametrize("plan", [PLANNED, DEEP, STRANGE], ids=["planned", "deep", "strange"])
def test_runs_are_the_terminals(opened: Opened, plan: Plan) -> None:
    page = opened([plan])
    found = [[row[0], row[1], row[2]] for row in rows(page, "#runs")]
    assert found == [[run.name, run.mode, units.number(run.forwards, 3)] for run in words.runs(plan)]


def test_what_repeats_stands_there_once(opened: Opened) -> None:
    assert [row[:2] for row in rows(opened([ALTERNATING]), "#runs")] == [["0–59", "30 × lean, full"]]


def test_a_selected_block_is_selected_everywhere(opened: Opened) -> None:
    page = opened([PLANNED], AT_BLOCK_6)
    assert page.text("#blocks .ends strong") == "block 6, stages.0.6: none, tape 0 B"
    assert page.page.locator("#step .of-block").count() == 3, "forward, forward again, backward"
    assert chosen(page, "#runs") == ["4–15"]
    page.page.locator("#blocks [role=group]").focus()
    page.press("End", "ArrowLeft", "ArrowRight")
    page.settle()
    assert "at=b23" in page.hash() and chosen(page, "#runs") == ["16–23"]
    page.page.locator("#runs button").first.click()
    page.settle()
    assert "at=b0" in page.hash() and chosen(page, "#table") == ["stages.0.0.conv1"]
    page.page.locator("#table").get_by_title("stages.0.2.conv1", exact=True).click()
    page.settle()
    assert (
        page.text("#blocks .ends strong").startswith("block 2,") and page.page.locator("#step .of-block").count() == 2
    )
    page.page.locator("#step input[type=range]").focus()
    page.press("Home")
    page.settle()
    assert "at=b0" in page.hash() and "plan.move=1" in page.hash()


def test_pointing_shows_the_same_block_everywhere_and_leaves_nothing_behind(opened: Opened) -> None:
    page = opened([PLANNED])
    box = page.page.locator("#blocks svg").bounding_box()
    assert box is not None
    page.page.mouse.move(box["x"] + box["width"] * 20.5 / 24, box["y"] + 10)
    page.settle()
    assert chosen(page, "#runs") == ["16–23"] and page.page.locator("#step .of-block").count() == 2
    page.page.mouse.move(5, 5)
    page.settle()
    assert chosen(page, "#runs") == [] and page.page.locator("#step .of-block").count() == 0
    assert page.hash() == ""


SCREENS = [
    pytest.param(name, width, marks=[] if name == "planned" and width == 360 else pytest.mark.slow)
    for name in PLANS
    for width in ((360, 1280, 1920) if name in ("planned", "strange") else (360,))
]


@pytest.mark.parametrize("name, width", SCREENS)
def test_every_plan_fits_every_screen(opened: Opened, name: str, width: int) -> None:
    page = opened([PLANS[name]], width=width, dark=width == 1280, chinese=name != "strange")
    assert page.do("() => document.documentElement.scrollWidth") <= width
    for trouble in ("outside", "overlaps", "nameless"):
        assert page.look(trouble) == []
    assert page.look("small", 23.5) == []
    ids = page.do("() => [...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("dark", [pytest.param(False, marks=pytest.mark.slow), True], ids=["light", "dark"])
def test_axe_finds_nothing_serious(opened: Opened, dark: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened([MEASURED], AT_BLOCK_6, dark=dark, chinese=dark, trusted=True)
    found = Axe().run(page.page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")] == []


def test_a_plan_beside_other_records_and_inside_a_run(opened: Opened) -> None:
    flow = reports.single()
    page = opened([flow, PLANNED, replace(residual(), plan=UNPLANNED)], "#record=1")
    assert page.text("h1") == words.headline(PLANNED) and page.page.locator("#step").count() == 1
    page.page.get_by_role("combobox", name="Record").select_option(label="memory plan")
    page.settle()
    assert page.text("h1") == words.headline(UNPLANNED)
