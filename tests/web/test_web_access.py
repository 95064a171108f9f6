"""The explainer for everyone: by keyboard, by screen reader, on a telephone and on a wall, in the dark."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from reader import Reader

Read = Callable[..., Reader]
TARGET = 23.5
"""Pixels; 24 (WCAG 2.2, 2.5.8) less what rounding takes. Links within sentences are excepted."""


VIEWS = [
    *(("", dark, chinese) for dark in (False, True) for chinese in (False, True)),
    ("#sheet", False, False),
    ("#sheet", True, True),
]


@pytest.mark.parametrize("anchor, dark, chinese", VIEWS)
def test_axe_finds_nothing_serious(read: Read, anchor: str, dark: bool, chinese: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    reader = read(anchor, dark=dark, chinese=chinese, trusted=True)
    reader.look("unfold", 3)
    reader.settle()
    found = Axe().run(reader.page, options={"resultTypes": ["violations"]}).response["violations"]
    grave = {
        rule["id"]: [node["target"] for node in rule["nodes"]][:5]
        for rule in found
        if rule["impact"] in ("serious", "critical")
    }
    assert grave == {}


def test_everything_is_reached_by_tab_in_order_and_shows_the_focus(read: Read) -> None:
    reader = read()
    wanted = reader.look("stops")
    places, unmarked = reader.tab_through(wanted)
    assert unmarked == []
    assert len(set(places)) >= wanted
    assert places == sorted(places), "the focus jumps about"


def test_targets_are_large_enough(read: Read) -> None:
    assert read(width=360).look("small", TARGET) == []


def test_every_field_and_picture_has_a_name(read: Read) -> None:
    assert read().look("nameless") == []


@pytest.mark.parametrize("chinese", [False, True], ids=["en", "zh"])
@pytest.mark.parametrize("width, large", [(360, False), (360, True), (768, False), (1280, False), (1920, True)])
def test_nothing_is_cut_off_or_overlaps(read: Read, width: int, large: bool, chinese: bool) -> None:
    reader = read("#size=large" if large else "", width=width, chinese=chinese)
    reader.settle()
    assert reader.do("() => document.documentElement.scrollWidth") <= width
    assert reader.look("outside") == []
    assert reader.look("overlaps") == []


def test_cut_off_and_overlapping_texts_are_noticed(read: Read) -> None:
    reader = read()
    reader.do(
        """() => {
          const tick = document.querySelector('#real svg text.tick');
          tick.before(tick.cloneNode(true));
          document.querySelector('#plain .lead').style.marginInlineStart = '-9rem';
          document.querySelector('#gallery svg text.number').setAttribute('x', '2000');
        }"""
    )
    assert {text.split(":")[0] for text in reader.look("outside")} == {"outside", "cut by its drawing"}
    assert len(reader.look("overlaps")) >= 1


@pytest.mark.parametrize("width", [360, 1280])
def test_the_sheet_fits(read: Read, width: int) -> None:
    reader = read("#sheet", width=width)
    assert reader.do("() => document.documentElement.scrollWidth") <= width
    assert reader.look("outside") == []
