"""The report's graph under a finger and a mouse, beside its overview, and on paper."""

from __future__ import annotations

import re

from reader import Reader
from report_pages import Report, record, report, report_file  # noqa: F401

SEEN = "() => { const one = document.querySelector('#graph .canvas'); return [one.scrollLeft, one.scrollTop]; }"


def at(reader: Reader, kind: str, number: int | None = None) -> tuple[float, float]:
    """Where the first box of a kind is on the screen."""
    x, y = reader.do(
        """([kind, id]) => {
          const isIt = (one) => one.kind === kind && (id === null || one.id === id);
          return gradpath.place(gradpath.boxes().find(isIt));
        }""",
        [kind, number],
    )
    return x, y


def to_the_graph(reader: Reader) -> None:
    reader.do("() => document.querySelector('#graph .canvas').scrollIntoView({ block: 'center' })")
    reader.settle()


def test_a_tap_selects_and_a_second_one_opens(report: Report) -> None:  # noqa: F811
    reader = report("residual", width=360, touch=True)
    to_the_graph(reader)
    x, y = at(reader, "closed")
    boxes = reader.do("() => gradpath.boxes().length")
    reader.page.touchscreen.tap(x, y)
    reader.settle()
    assert reader.do("() => gradpath.chosen().kind") == "closed"
    assert "∂" in reader.text("#graph .chosen-box") and "Nothing" not in reader.text("#graph .chosen-box")
    reader.page.wait_for_timeout(400)  # two taps, not a double one
    reader.page.touchscreen.tap(x, y)
    reader.settle()
    assert reader.do("() => gradpath.boxes().length") > boxes
    reader.page.get_by_role("link", name="Details").click()
    assert reader.page.locator("#selected").evaluate("(one) => one.getBoundingClientRect().top < innerHeight")


def test_two_fingers_zoom_about_their_middle(report: Report) -> None:  # noqa: F811
    reader = report("dense", width=360, touch=True)
    to_the_graph(reader)
    before = reader.do("() => gradpath.scale()")
    x, y = at(reader, "node")
    reader.fingers(((x - 20, y), (x + 20, y)), ((x - 40, y), (x + 40, y)))
    reader.settle()
    assert abs(reader.do("() => gradpath.scale()") / before - 2) < 0.01
    assert reader.do("() => visualViewport.scale") == 1  # the page itself did not zoom
    after = at(reader, "node")
    left, top = reader.do(SEEN)
    assert abs(after[0] - x) < 3 or left == 0
    assert abs(after[1] - y) < 3 or top == 0


def test_a_held_mouse_moves_the_graph_and_selects_nothing(report: Report) -> None:  # noqa: F811
    reader = report("dense")
    to_the_graph(reader)
    x, y = at(reader, "node")
    reader.page.mouse.move(x, y + 200)
    reader.page.mouse.down()
    reader.page.mouse.move(x, y + 170)
    reader.page.mouse.move(x, y + 120)
    reader.page.mouse.up()
    reader.settle()
    assert reader.do(SEEN)[1] == 80
    assert reader.do("() => gradpath.chosen()") is None
    second = reader.do("() => gradpath.boxes().filter((one) => one.kind === 'node')[3].id")
    reader.page.mouse.click(*at(reader, "node", second))
    reader.settle()
    assert reader.do("() => gradpath.chosen().id") == second


def test_the_overview_leads_to_every_part_of_a_tall_graph(report: Report) -> None:  # noqa: F811
    reader = report("large")
    reader.page.get_by_role("button", name="Unfold all").click()
    to_the_graph(reader)
    box = reader.page.locator(".overview canvas").bounding_box()
    height = reader.do("() => document.querySelector('#graph .canvas').scrollHeight")
    assert height > 10 * box["height"]
    for part in (0.25, 0.5, 0.75):
        reader.page.mouse.click(box["x"] + 5, box["y"] + part * box["height"])
        reader.settle()
        middle = reader.do(SEEN)[1] + box["height"] / 2
        assert abs(middle / height - part) < 0.02
        assert reader.do("() => gradpath.painted()")["boxes"] > 0


def test_a_small_graph_needs_no_overview_and_no_tall_frame(report: Report) -> None:  # noqa: F811
    reader = report("single")
    assert reader.page.locator(".overview").count() == 0
    assert reader.page.locator("#graph .canvas").bounding_box()["height"] < 120


def test_page_down_moves_the_graph_that_has_the_focus(report: Report) -> None:  # noqa: F811
    reader = report("dense")
    reader.page.locator("#graph .canvas").focus()
    reader.press("PageDown")
    reader.page.wait_for_function("() => document.querySelector('#graph .canvas').scrollTop > 200")


def test_the_graph_is_printed_whole_in_the_colours_of_paper(report: Report) -> None:  # noqa: F811
    reader = report("dense", dark=True)
    names = reader.do("() => gradpath.boxes().filter((one) => one.kind === 'node').length")
    reader.page.emulate_media(media="print")
    reader.settle()
    printed = reader.do("() => document.querySelector('.printed').innerHTML")
    assert printed.count("<text") >= names
    assert not re.search("#14171c", printed)
    assert reader.do("() => getComputedStyle(document.querySelector('#graph .beside')).display") == "none"
    assert reader.do("() => document.documentElement.scrollWidth - innerWidth") <= 0
    reader.page.emulate_media(media="screen")
    reader.settle()
    assert reader.do("() => document.querySelector('.printed').innerHTML") == ""


def test_at_rest_a_layer_is_shown_and_nothing_is_selected(report: Report) -> None:  # noqa: F811
    reader = report("residual")
    flow = record("residual")
    known = [one for one in flow.layers if one.weighted and one.log10_gradient_rms is not None]
    smallest = min(known, key=lambda one: one.log10_gradient_rms or 0)
    assert reader.text("#selected .name") == smallest.scope
    assert reader.page.locator("#block svg[role=img]").count() == 1
    assert reader.hash() == "" and reader.do("() => gradpath.chosen()") is None
