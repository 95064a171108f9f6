"""The report for everyone: by keyboard, by screen reader, narrow and wide, light and dark, in both languages."""

from __future__ import annotations

import pytest
from report_pages import Report, report, report_file  # noqa: F401

TARGET = 23.5
"""Pixels; 24 (WCAG 2.2, 2.5.8) less what rounding takes."""
NAMES = ("projection", "dense", "odd")


@pytest.mark.parametrize("chinese", [False, True], ids=["en", "zh"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious(report: Report, dark: bool, chinese: bool) -> None:  # noqa: F811
    from axe_playwright_python.sync_playwright import Axe

    reader = report("dense", "#at=l12", dark=dark, chinese=chinese, trusted=True)
    reader.look("unfold", 3)
    reader.settle()
    found = Axe().run(reader.page, options={"resultTypes": ["violations"]}).response["violations"]
    grave = {
        rule["id"]: [node["target"] for node in rule["nodes"]][:5]
        for rule in found
        if rule["impact"] in ("serious", "critical")
    }
    assert grave == {}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width, chinese", [(360, False), (360, True), (768, False), (1280, True), (1920, False)])
def test_nothing_is_cut_off_or_overlaps(report: Report, name: str, width: int, chinese: bool) -> None:  # noqa: F811
    reader = report(name, "#at=l5", width=width, chinese=chinese)
    reader.settle()
    assert reader.do("() => document.documentElement.scrollWidth") <= width
    assert reader.look("outside") == []
    assert reader.look("overlaps") == []


def test_targets_are_large_enough(report: Report) -> None:  # noqa: F811
    assert report("projection", "#at=l7", width=360).look("small", TARGET) == []


def test_every_field_and_picture_has_a_name(report: Report) -> None:  # noqa: F811
    assert report("dense", "#at=l12").look("nameless") == []


def test_everything_is_reached_by_tab_in_order_and_shows_the_focus(report: Report) -> None:  # noqa: F811
    reader = report("projection", "#at=l7")
    by_arrows = reader.do(
        "() => [...document.querySelectorAll('button[tabindex=\"-1\"]')].length"
    )  # the table's own keys open rows
    wanted = reader.look("stops") - by_arrows
    places, unmarked = reader.tab_through(wanted)
    assert unmarked == []
    assert len(set(places)) >= wanted
