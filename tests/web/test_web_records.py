"""Several records on one page, training runs, watched runs: in Chromium, with numbers that Python says."""

from __future__ import annotations

import html
import math
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import reports
from report_pages import Opened, Shown

from gradpath.record import (
    Evaluation,
    Record,
    WatchEvent,
    WatchHeader,
    WatchLayer,
    WatchLog,
    WatchReport,
    WhatIf,
    diff,
)
from gradpath.report import render
from gradpath.report._diff_text import diff_notes
from gradpath.report._page import HEIGHT_PIXELS
from gradpath.report._report_page import report_page

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from invented import comparison, plain, residual


def watched(reports_: int = 500, layers: int = 30) -> WatchLog:
    log = WatchLog(Path("watch.jsonl"))
    log.header = WatchHeader(
        model="Net",
        layers=tuple(WatchLayer(scope=f"body.{i}", module="Conv2d", weighted=True) for i in range(layers)),
        system="Linux", device="cpu", threads=1, python="3", torch="2", rank=0, world_size=1, max_overhead=0.01,
        every=None,
    )  # fmt: skip
    for k in range(reports_):
        values: list[float | None] = [-2 + 0.1 * i - k / reports_ for i in range(layers)]
        if k == reports_ // 2:
            values[:4] = [math.nan, -math.inf, None, math.inf]
        column = tuple(values)
        log.reports.append(
            WatchReport(
                step=2 * k + 1,
                seconds=float(k),
                losses=(2.0, 2 - k / reports_),
                log10_activation_rms=column,
                log10_gradient_rms=column,
                log10_parameter_gradient_norm=column,
            )
        )
    log.events.append(WatchEvent(step=2 * (reports_ // 2) + 1, what="spike", text="</script> loss", file=None))
    return log


def shallow() -> Record:
    return reports.chain([reports.layer(f"layer{i}", -6.0 + i) for i in range(6)], model="Shallow", stem_over_head=1e-5)


def deep() -> Record:
    return reports.chain(
        [reports.layer(f"layer{i}", -1.0 - 0.01 * i) for i in range(6)], model="Deep", stem_over_head=1.05
    )


def kinds() -> dict[str, Shown]:
    a, b = shallow(), deep()
    assert isinstance(a, reports.Flow) and isinstance(b, reports.Flow)
    return {
        "two flows": [a, b],
        "three flows": [a, b, replace(b, model="Third")],
        "diff": [diff(a, b)],
        "whatif": [WhatIf(change="init=he", sentence="it helps", before=a, after=b)],
        "comparison": [comparison()],
        "run": [residual()],
        "bare run": [plain(losses=(), gradient=None)],
        "watch": [watched()],
        "short watch": [watched(1, 2)],
        "hostile": [reports.hostile(), reports.odd()],
    }


@pytest.mark.parametrize("name", list(kinds()))
@pytest.mark.parametrize("width", [360, pytest.param(1280, marks=pytest.mark.slow)])
def test_every_kind_has_a_page_that_fits(opened: Opened, name: str, width: int) -> None:
    for chinese in (False, True):
        page = opened(kinds()[name], width=width, dark=chinese, chinese=chinese)
        assert page.do("document.documentElement.scrollWidth") <= width
        assert page.do("document.querySelectorAll('h1').length") == 1
        count = page.do("document.querySelectorAll('[id]').length")
        assert count == page.do("new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size"), (
            "ids are unique"
        )
        assert page.do("document.title") != "caught"


def test_a_diff_says_what_python_says(opened: Opened) -> None:
    a, b = shallow(), deep()
    assert isinstance(a, reports.Flow) and isinstance(b, reports.Flow)
    page = opened([a, b])
    found = diff(a, b)
    assert page.text("h1").startswith(f"The gradient RMS of {len(found.changed_layers)} of 6 layers differs")
    rows = page.do(
        "[...document.querySelectorAll('#layers-that-differ tbody tr')].map((r) => r.querySelector('th').textContent)"
    )
    assert rows == [layer.scope_a for layer in found.changed_layers]
    ratio = page.text("#quantities tbody tr td:last-child")
    assert ratio == "×1.05e5 (+5.02)"


def test_what_a_difference_leaves_out_is_said(opened: Opened) -> None:
    a = reports.chain([reports.layer("one", -1.0), reports.layer("gone", -2.0)], model="A")
    b = reports.chain([reports.layer("one", -1.0)], model="B", dtype="float64")
    notes = diff_notes(diff(a, b))
    assert notes
    said = opened([a, b]).page.locator("#quantities p").all_inner_texts()
    assert said == list(notes)


def test_a_run_shows_which_epoch_was_kept_and_its_classes(opened: Opened) -> None:
    test = Evaluation(
        name="a", data="d", right=7, images=10, classes=("cat", "dog"), class_images=(4, 6), class_right=(1, 6),
        confusion=((1, 3), (0, 6)),
    )  # fmt: skip
    page = opened([replace(residual(), best_epoch=2, test=test)])
    assert page.text("#loss p.pale") == "Dotted line: epoch 2, whose weights were kept."
    assert page.page.locator("#loss line.selected, #accuracy line.selected").count() == 2
    rows = page.page.locator("#classes tbody tr").all_inner_texts()
    assert [row.split("\t") for row in rows] == [["cat", "4", "25.0 %", "dog (3)"], ["dog", "6", "100.0 %", "-"]]


def test_the_record_is_chosen_and_stays_in_the_url(opened: Opened) -> None:
    page = opened(kinds()["two flows"])
    page.page.get_by_role("radio", name="Deep").check(force=True)
    page.settle()
    assert "record=2" in page.do("location.hash")
    assert page.page.locator("#profile, #strip").count() > 0 and page.page.locator("#side-by-side").count() == 0


def test_steps_by_keyboard_and_what_is_said_of_them(opened: Opened) -> None:
    log = watched()
    page = opened([log])
    slider = page.page.get_by_role("slider")
    last = log.reports[-1]
    assert slider.get_attribute("aria-valuetext") == f"step {last.step} of {last.step}, loss {last.loss:.3g}"
    page.page.keyboard.press("[")
    page.settle()
    before = slider.get_attribute("aria-valuetext")
    assert before is not None and before != f"step {last.step} of {last.step}, loss {last.loss:.3g}"
    assert page.text("#profile-at-title") == f"Profile at step {before.split()[1]}"
    page.page.keyboard.press("]")
    page.settle()
    assert str(slider.get_attribute("aria-valuetext")).startswith(f"step {last.step} ")
    page.page.get_by_role("button", name="▼ step 501").click()
    page.settle()
    assert page.text("#profile-at-title") == "Profile at step 501"
    assert "2 " not in page.text("#profile-at .pale") and "no gradient at 1 layers" in page.text("#profile-at .pale")
    page.reload()
    assert page.text("#profile-at-title") == "Profile at step 501", "the step stands in the URL"


def test_the_map_has_one_colour_per_class_and_marks_for_what_has_none(opened: Opened) -> None:
    page = opened([watched(4, 4)], width=1280)
    colours = page.do(
        """() => {
        const canvas = document.querySelector('canvas'), [w, h] = [canvas.width / 4, canvas.height / 4];
        const copy = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height });
        const context = copy.getContext('2d', { willReadFrequently: true });
        context.drawImage(canvas, 0, 0);
        const at = (row, column) => context.getImageData((column + 0.5) * w, (row + 0.5) * h, 1, 1).data.slice(0, 3);
        return [0, 1, 2, 3].map((row) => [0, 2].map((column) => at(row, column).join()));
        }"""
    )
    (first, broken), (_, zero), (_, missing), (top, infinite) = colours
    assert broken == infinite == "184,50,26", "not finite: the sign's colour"
    assert zero == "122,133,148" and missing == "255,255,255"
    assert len({first, top, broken, zero, missing}) == 5


def test_a_thinned_log_keeps_its_ends_and_its_event() -> None:
    from gradpath.report._watched import thinned

    log = watched(5000, 2)
    event = log.events[0].step
    kept = [report.step for report in thinned(log.reports, [event])]
    assert 150 < len(kept) <= 206 and kept == sorted(set(kept))
    assert {1, log.reports[-1].step, event, event - 2} <= set(kept)
    early = sum(step < 1000 for step in kept)
    assert early > len(kept) / 2, "more of the early ones"


def test_a_notebooks_frame_runs_the_page_in_its_sandbox(opened: Opened) -> None:
    page = opened(
        "<!doctype html><html data-ready><title>notebook</title>" + render(list(kinds()["two flows"]))._repr_html_()
    )  # type: ignore[arg-type]
    frame = page.page.frame_locator("iframe")
    frame.locator("html[data-ready]").wait_for()
    assert frame.locator("#side-by-side svg[role=img]").count() == 1
    assert frame.locator("h1").inner_text().startswith("The gradient RMS")
    assert html.escape("<iframe srcdoc") not in page.page.content()
    inside = "document.querySelector('iframe').getBoundingClientRect().height"
    page.page.wait_for_function(f"() => {inside} !== {HEIGHT_PIXELS}")
    page.settle()
    size = frame.locator("html").evaluate("(one) => [one.scrollHeight, innerHeight]")
    assert size[0] <= size[1] <= size[0] + 20, "the frame is as high as the page, nothing scrolls twice"


def test_3000_nodes_and_12000_edges_fit_and_start_in_time(opened: Opened) -> None:
    """Sizes are held; the time is printed, and only a page that never starts fails."""
    flow = reports.large()
    assert flow.graph is not None and len(flow.graph) >= 3000 and len(flow.graph.edges.source) >= 12_000
    text = report_page([flow, replace(flow, model="Again")])
    alone = report_page([flow])
    assert len(alone.encode()) <= 4 << 20 and len(text.encode()) <= 8 << 20
    began = time.perf_counter()
    page = opened(alone)
    print(f"one: {len(alone) / 2**20:.2f} MiB, ready after {time.perf_counter() - began:.2f} s")
    assert page.text("h1")
