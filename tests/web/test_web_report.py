"""The report in a browser: views that share what is selected, numbers as they stand in the record, and its limits."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from reader import Reader
from report_pages import Report, record, report, report_file  # noqa: F401
from reports import HOSTILE

LAYER = "stages.1.0.conv2"
PAIRS = """() => Object.fromEntries([...document.querySelectorAll('#selected .pairs > div')].map((one) =>
  [(one.querySelector('dt button') ?? one.querySelector('dt')).textContent, one.querySelector('dd').textContent]))"""
CORNER = """(id) => {
  const one = gradpath.boxes().find((box) => box.kind !== 'node' && box.id === id);
  const [x, y] = gradpath.place(one);
  return [x - one.w / 2 * gradpath.scale(), y - one.h / 2 * gradpath.scale()];
}"""
"""The upper left corner of a group's box, on the screen."""
MOST_BYTES = 4 * 2**20
SHOWN = {
    "a\u202eb\u202dc\u2067d": r"a\u202eb\u202dc\u2067d",
    "first\nsecond\r\n\u2028third\ttab": r"first\nsecond\r\n\u2028third\ttab",
    "nul\u0001bell\u0007escape\u001b[31m": r"nul\x01bell\x07escape\x1b[31m",
    "nul\u0000in\u007fthe\u0085middle": r"nul\x00in\x7fthe\x85middle",
}
"""What does not print, or turns what stands beside it → what the page shows instead."""


def index(name: str, scope: str) -> int:
    return next(i for i, layer in enumerate(record(name).layers) if layer.scope == scope)


def shown(reader: Reader) -> dict[str, Any]:
    """What each view shows as selected."""
    reader.settle()
    found: dict[str, Any] = reader.do(
        """() => {
          const box = gradpath.chosen();
          const text = (one) => document.querySelector(one)?.textContent.trim();
          return { hash: new URLSearchParams(location.hash.slice(1)).get('at'), name: text('#selected .name'),
            row: document.querySelector('#table tr.chosen th')?.title, kind: box?.kind, box: box?.id,
            strip: document.querySelector('#strip .chosen') !== null,
            plot: document.querySelector('#profile .selected') !== null,
            stop: text('#block .chosen .name'), said: text('[aria-live]') };
        }"""
    )
    return found


def node_of(name: str, layer: int) -> int:
    graph = record(name).graph
    assert graph
    return max(i for i, found in enumerate(graph.nodes.layer) if found == layer)


def box(reader: Reader, kind: str, number: int) -> tuple[float, float]:
    """Where a box of the graph is on the screen."""
    x, y = reader.do(
        """([kind, id]) => {
          const isIt = (one) => one.id === id && (one.kind === 'node') === (kind === 'node');
          return gradpath.place(gradpath.boxes().find(isIt));
        }""",
        [kind, number],
    )
    return x, y


def unfold(reader: Reader) -> None:
    reader.page.get_by_role("button", name="Unfold all").click()
    reader.settle()


def everywhere(name: str, scope: str) -> dict[str, Any]:
    layer = index(name, scope)
    graph = {"kind": "node", "box": node_of(name, layer)}
    return {"hash": f"l{layer}", "name": scope, "row": scope, "strip": True, "plot": True} | graph


def test_a_layer_chosen_in_the_strip_is_chosen_everywhere(report: Report) -> None:  # noqa: F811
    reader = report("residual")
    unfold(reader)
    weighted = [layer.scope for layer in record("residual").layers if layer.weighted]
    strip = reader.page.locator("#strip svg[role=img]")
    width = strip.bounding_box()["width"]
    strip.click(position={"x": (weighted.index(LAYER) + 0.5) * width / len(weighted), "y": 10})
    found = shown(reader)
    assert everywhere("residual", LAYER).items() <= found.items()
    assert found["stop"] == "conv2"
    assert LAYER in found["said"]
    reader.press("ArrowRight")
    assert everywhere("residual", weighted[weighted.index(LAYER) + 1]).items() <= shown(reader).items()


def test_a_box_clicked_in_the_graph_is_chosen_everywhere(report: Report) -> None:  # noqa: F811
    reader = report("residual")
    unfold(reader)
    layer = index("residual", "stages.0.0.norm1")
    reader.page.locator("#graph .canvas").scroll_into_view_if_needed()
    reader.page.mouse.click(*box(reader, "node", node_of("residual", layer)))
    found = shown(reader)
    assert found["hash"] == f"n{node_of('residual', layer)}"
    assert found["name"] == "stages.0.0.norm1" and found["stop"] == "norm1"


def test_a_row_of_the_table_and_a_stop_of_the_circuit_are_chosen_everywhere(report: Report) -> None:  # noqa: F811
    reader = report("residual")
    unfold(reader)
    reader.page.locator("#table").get_by_title(LAYER, exact=True).click()
    assert everywhere("residual", LAYER).items() <= shown(reader).items()
    reader.page.locator("#block [data-stop=conv1]").click()
    assert everywhere("residual", "stages.1.0.conv1").items() <= shown(reader).items()


def test_what_is_chosen_and_open_is_in_the_address(report: Report) -> None:  # noqa: F811
    reader = report("residual", f"#at=l{index('residual', LAYER)}")
    unfold(reader)
    before = shown(reader)
    reader.reload()
    assert shown(reader) | {"said": ""} == before | {"said": ""}
    area = reader.page.locator("#graph .canvas").bounding_box()
    y = box(reader, "node", before["box"])[1]
    assert area["y"] < y < area["y"] + area["height"], "it is not in view"


def test_the_worst_layer_is_found_with_the_keyboard_alone(report: Report) -> None:  # noqa: F811
    reader = report("plain")
    layers = [layer for layer in record("plain").layers if layer.weighted]
    worst = min(layers, key=lambda layer: layer.log10_gradient_rms or 0.0)
    for _ in range(60):
        reader.press("Tab")
        if reader.do("() => document.activeElement.matches('#graph .canvas')"):
            break
    reader.press("s")
    assert shown(reader)["name"] == worst.scope


def test_arrows_enter_and_backspace_walk_the_graph(report: Report) -> None:  # noqa: F811
    reader = report("residual")
    reader.page.get_by_role("button", name="Fold all", exact=True).click()
    reader.page.locator("#graph .canvas").focus()
    reader.press("ArrowDown", "ArrowDown")
    closed = shown(reader)
    assert closed["kind"] == "closed"
    reader.press("Enter")
    assert shown(reader)["kind"] in ("open", "prototype")
    reader.press("ArrowDown", "Backspace")
    assert shown(reader)["box"] == closed["box"]
    assert shown(reader)["kind"] == "closed"


def test_a_group_stays_in_its_place_when_it_is_opened(report: Report) -> None:  # noqa: F811
    reader = report("large", height=700)
    reader.page.locator("#graph .canvas").scroll_into_view_if_needed()
    reader.do("() => { document.querySelector('#graph .canvas').scrollTop = 400; }")
    reader.settle()
    group = reader.do(
        """() => {
          const area = document.querySelector('#graph .canvas').getBoundingClientRect();
          return gradpath.boxes().find((box) => box.kind === 'closed' && gradpath.place(box)[1] > area.top + 100)?.id;
        }"""
    )
    before = reader.do(CORNER, group)
    x, y = before
    reader.page.mouse.click(x + 8, y + 12)
    reader.settle()
    after = reader.do(CORNER, group)
    assert (
        reader.do("(id) => gradpath.boxes().find((box) => box.kind !== 'node' && box.id === id).kind", group)
        != "closed"
    )
    assert after == pytest.approx(before, abs=2)


def test_search_and_sort(report: Report) -> None:  # noqa: F811
    reader = report("residual")
    reader.press("/")
    reader.page.keyboard.type("norm1")
    reader.settle()
    names = reader.page.locator("#table tbody th").all_inner_texts()
    assert names == [layer.scope for layer in record("residual").layers if layer.scope.endswith("norm1")]
    reader.page.locator("#table input").fill("")
    reader.page.get_by_role("button", name="Sort by gradient RMS").click()
    names = reader.page.locator("#table tbody th").all_inner_texts()
    assert names == [
        one.scope for one in sorted(record("residual").layers, key=lambda one: one.log10_gradient_rms or 0.0)
    ]
    assert reader.page.locator("#table th[aria-sort=ascending]").count() == 1


def test_a_definition_is_one_key_away(report: Report) -> None:  # noqa: F811
    reader = report("residual")
    term = reader.page.locator(".big-numbers .term button").first
    term.focus()
    assert reader.page.locator(".definition.open").first.is_visible()
    assert len(reader.text(".definition.open")) > 20
    reader.press("Escape")
    assert reader.page.locator(".definition.open").count() == 0


def digits(value: float | None, count: int) -> str:
    return "-" if value is None else f"{10.0**value:.{count - 1}e}"


def as_digits(text: str, count: int) -> str:
    return f"{float(text.replace('−', '-')):.{count - 1}e}"


def test_twenty_layers_have_the_record_s_numbers_in_every_view(report: Report) -> None:  # noqa: F811
    reader = report("dense")
    layers = record("dense").layers
    for i in random.Random(0).sample(range(len(layers)), 20):
        reader.do("(i) => { location.hash = `#at=l${i}`; }", i)
        reader.settle()
        layer = layers[i]
        told = reader.do(PAIRS)
        wanted = {
            "gradient (RMS)": layer.log10_gradient_rms,
            "gradient (norm)": layer.log10_gradient_norm,
            "activation (RMS)": layer.log10_activation_rms,
        }
        assert {label: as_digits(told[label], 4) for label in wanted} == {
            label: digits(value, 4) for label, value in wanted.items()
        }
        reader.page.locator("#table input").fill(layer.scope)
        cells = (
            reader.page.locator("#table tbody tr", has=reader.page.get_by_title(layer.scope, exact=True))
            .first.locator("td")
            .all_inner_texts()
        )
        row = [layer.log10_gradient_rms, layer.log10_activation_rms, layer.log10_parameter_gradient_norm]
        assert [as_digits(cell, 3) for cell in cells[2:5]] == [digits(value, 3) for value in row]
        assert cells[:2] == [layer.module, "×".join(map(str, layer.shape))]


def saved(reader: Reader, view: str) -> ElementTree.Element:
    with reader.page.expect_download() as download:
        reader.page.locator(f"{view} button", has_text="Save SVG").last.click()
    return ElementTree.fromstring(Path(download.value.path()).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["residual", "hostile", "odd"])
def test_saved_drawings_are_whole(report: Report, name: str) -> None:  # noqa: F811
    reader = report(name, "#at=l2")
    unfold(reader)
    graph = saved(reader, "#graph")
    texts = ["".join(one.itertext()) for one in graph.iter("{http://www.w3.org/2000/svg}text")]
    if name == "residual":
        assert {"conv1", "norm2", "linear"} <= set(texts)
        assert len(texts) > 40
    for view in ("#strip", "#profile", "#block"):
        assert saved(reader, view).get("viewBox")


def test_a_saved_image_is_one(report: Report) -> None:  # noqa: F811
    reader = report("residual")
    with reader.page.expect_download() as download:
        reader.page.locator("#graph button", has_text="Save PNG").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_language_and_theme_change_everything_at_once(report: Report) -> None:  # noqa: F811
    reader = report("residual", "#at=l4")
    painted = "() => document.querySelector('#graph canvas').toDataURL()"
    light = reader.do(painted)
    reader.do("() => { location.hash = '#at=l4&theme=dark&lang=zh'; }")
    reader.settle()
    assert reader.do(painted) != light
    assert reader.do("() => document.documentElement.dataset.theme") == "dark"
    headings = reader.page.locator("section.panel h2").all_inner_texts()
    assert headings and all(any("\u4e00" <= sign <= "\u9fff" for sign in heading) for heading in headings)


def test_three_thousand_nodes_fit_in_a_file_and_in_a_frame(
    report: Report,  # noqa: F811
    report_file: Callable[[str], Path],  # noqa: F811
) -> None:
    graph = record("large").graph
    assert graph and len(graph) >= 3000 and len(graph.edges.source) >= 12_000
    assert report_file("large").stat().st_size <= MOST_BYTES
    reader = report("large")
    unfold(reader)
    assert reader.do("() => gradpath.boxes().length") >= 3000
    for scroll in (0, 50_000, 200_000):
        reader.do("(top) => { document.querySelector('#graph .canvas').scrollTop = top; }", scroll)
        reader.settle()
        painted = reader.do("() => gradpath.painted()")
        assert 0 < painted["boxes"] <= 120 and 0 < painted["strokes"] <= 80 and painted["texts"] <= 400
    assert reader.do("() => document.querySelectorAll('#table tbody tr').length") <= 40


def test_what_has_no_number_says_so(report: Report) -> None:  # noqa: F811
    reader = report("odd")
    told = []
    for i in range(7):
        reader.do("(i) => { location.hash = `#at=l${i}`; }", i)
        reader.settle()
        told.append(reader.text("#selected .pairs > div:nth-child(3) dd"))
    assert told == ["0.001", "not finite", "not finite", "exactly 0", "no gradient", "3.162e−4001", "0.01"]
    assert reader.do("() => [...document.querySelectorAll('#strip svg[role=img] rect[fill^=url]')].length") == 3


def test_hostile_names_are_only_names(report: Report) -> None:  # noqa: F811
    reader = report("hostile", "#at=l2", width=360)
    assert "caught" not in reader.page.title().replace("document.title='caught'", "")
    rows = reader.do("() => [...document.querySelectorAll('#table tbody th')].map((one) => one.title)")
    assert {SHOWN.get(name, name) for name in HOSTILE.values()} <= set(rows)
    assert reader.do("() => document.documentElement.scrollWidth") <= 360
    assert reader.page.locator("#selected").bounding_box()["height"] < 1600


def test_a_thousand_layers_without_a_graph(report: Report) -> None:  # noqa: F811
    reader = report("deep", "#at=l600")
    assert reader.page.locator("#graph").count() == 0
    assert reader.do("() => document.querySelectorAll('#strip svg[role=img] > rect:not(.chosen)').length") == 1200
    assert math.isclose(float(reader.text("#selected .pairs > div:nth-child(3) dd")), 1e-3)
    reader.page.locator("#strip [tabindex='0']").focus()
    reader.press("End")
    assert reader.text("#selected .name") == "stages.11.1199"


def test_a_net_of_one_layer(report: Report) -> None:  # noqa: F811
    reader = report("single", "#at=l0")
    assert reader.text("#selected .name") == "only"
    assert reader.do("() => gradpath.boxes().length") == 1
