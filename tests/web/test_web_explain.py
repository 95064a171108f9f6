"""The explainer in a browser: what it shows, that it does what it says, and that it stays as it was left."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch
from reader import READY, Reader

from gradpath.units import circuit_number

Read = Callable[..., Reader]
FIGURES = ["gate", "plain", "skip", "truck", "norm", "nets", "dense", "real", "gallery", "width", "limit"]
LEAVES = ("x", "w1", "w2", "w3", "w4")


def number(text: str | None) -> str:
    """With the minus sign of a keyboard."""
    return (text or "").replace("−", "-")


def field(reader: Reader, figure: str, name: str) -> Any:
    return reader.page.locator(f"#{figure}").get_by_label(name, exact=True).first


def test_the_parts_stand_in_order_and_contents_leads_to_each(read: Read) -> None:
    reader = read()
    shown = reader.do("() => [...document.querySelectorAll('section.figure')].map((figure) => figure.id)")
    assert [name for name in shown if name in FIGURES] == FIGURES
    links = reader.do("() => [...document.querySelectorAll('nav.contents ol a')].map((link) => link.hash.slice(1))")
    assert len(links) == 7
    for name in links:
        reader.page.click(f'nav.contents a[href="#{name}"]')
        top = reader.do("(id) => Math.abs(document.getElementById(id).getBoundingClientRect().top)", name)
        at_end = reader.do("() => innerHeight + scrollY >= document.documentElement.scrollHeight - 2")
        assert top < 2 or at_end, name
        assert reader.hash() == f"#{name}"


def test_plain_block_by_keys_alone_shows_the_articles_numbers(read: Read) -> None:
    reader = read()
    reader.page.locator("#plain .stepper input[type=range]").focus()
    reader.press("Home")
    row = lambda kind: [reader.look("wires", "plain")[f"z{i}.0"][kind] for i in range(1, 5)]  # noqa: E731
    assert row(1) == [None] * 4
    reader.press(*["ArrowRight"] * 8)
    reader.settle()
    wires = reader.look("wires", "plain")
    assert [*row(0), wires["output"][0]] == ["10", "1", "0.1", "0.01", "0.001"]
    assert [*row(1), wires["output"][1]] == ["0.0001", "0.001", "0.01", "0.1", "1"]
    assert wires["z1.1"][1] == "0.01"


def test_residual_block_by_clicks_alone_shows_each_part(read: Read) -> None:
    reader = read()
    buttons = reader.page.locator("#skip .stepper .buttons").first.locator("button")
    back, forward = buttons.nth(0), buttons.nth(2)
    steps = 0
    while back.is_enabled():
        back.click()
    while forward.is_enabled():
        forward.click()
        steps += 1
    assert steps == 10
    wires = reader.look("wires", "skip")
    over_the_lane, through_the_block, first_weight = wires["h.1"][1], wires["z1.0"][1], wires["z1.1"][1]
    assert (over_the_lane, through_the_block, first_weight) == ("1", "0.0001", "0.01")
    assert "1.0001" in reader.look("sum", "skip")


def by_autograd(values: dict[str, float], skip: bool) -> dict[str, str]:
    """Gradients by torch's autograd in float64, as text."""
    leaves = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in values.items()}
    out = leaves["x"] * leaves["w1"] * leaves["w2"] * leaves["w3"] * leaves["w4"]
    (out + leaves["x"] if skip else out).backward()
    return {name: number(circuit_number(leaf.grad.item())) for name, leaf in leaves.items()}


@pytest.mark.parametrize("figure", [pytest.param("plain", marks=pytest.mark.slow), "skip"])
def test_random_edits_agree_with_autograd(read: Read, figure: str) -> None:
    draw = random.Random(0)
    reader = read()
    values = {"x": 10.0, "w1": 0.1, "w2": 0.1, "w3": 0.1, "w4": 0.1}
    for _ in range(40):
        name = draw.choice(LEAVES)
        values[name] = round(draw.uniform(-3, 3), 2) or 1.0
        reader.enter(field(reader, figure, name), values[name])
        reader.settle()
        wires, wanted = reader.look("wires", figure), by_autograd(values, figure == "skip")
        x = wires["z1.0"][1] if figure == "plain" else re.sub(r"[=∂\s]", "", reader.look("sum", figure))
        shown = {"x": x} | {f"w{i}": wires[f"z{i}.1"][1] for i in range(1, 5)}
        assert {name: number(text) for name, text in shown.items()} == wanted, values


GATES: dict[str, Callable[..., torch.Tensor]] = {
    "add": torch.add, "subtract": torch.sub, "multiply": torch.mul, "divide": torch.div, "max": torch.maximum,
}  # fmt: skip


@pytest.mark.parametrize(
    "gate", [gate if gate in ("multiply", "max") else pytest.param(gate, marks=pytest.mark.slow) for gate in GATES]
)
def test_random_edits_of_one_gate_agree_with_autograd(read: Read, gate: str) -> None:
    draw = random.Random(1)
    reader = read()
    reader.page.locator("#gate select").first.select_option(gate)
    for _ in range(8):
        x, y, upstream = draw.choice([-3, -1.5, 0.5, 2.25]), draw.choice([-2, 0.75, 4]), draw.choice([-2, 0.5, 3])
        for label, value in {"x": x, "y": y, "dL/dz": upstream}.items():
            reader.enter(field(reader, "gate", label), value)
        reader.settle()
        leaves = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (x, y)]
        GATES[gate](*leaves).backward(torch.tensor(upstream, dtype=torch.float64))
        shown = number(reader.text("#gate .frame"))
        for leaf in leaves:
            assert f"= {number(circuit_number(leaf.grad.item()))}" in shown, (gate, x, y, upstream, shown)


HOSTILE = ["abc", "", "NaN", "1e999", "9" * 400, "<img src=x onerror=alert(1)>", "−3", "0", "1e308", "-1e-320", "0x10",
           "1,5", "\u202e12", " ", "__proto__", "1e5000"]  # fmt: skip


def test_hostile_values_break_nothing(read: Read) -> None:
    reader = read()
    assert reader.look("type", HOSTILE) >= 10
    assert reader.do("() => document.querySelectorAll('img').length") == 0
    assert reader.text("h1")
    for figure in ("gate", "plain", "skip"):
        reader.page.locator(f"#{figure} .tools button").first.click()
        assert f"{figure}." not in reader.hash()
    assert reader.look("wires", "plain")["z1.0"] == ["10", "0.0001"]


@pytest.mark.parametrize(
    "anchor",
    [
        "#plain&plain.set=x:__proto__,w1:",
        "#lang=<script>&theme=x&size=%E0%A4%A",
        "#real&real.moment=1e9&real.hidden=0,1,x,99",
        "#sheet&sheet.number=-5",
        "#plain&plain.step=-3&plain.set=constructor:1",
        "#%&&&==&a=b=c",
    ],
)
def test_hostile_urls_open_the_page(read: Read, anchor: str) -> None:
    assert read(anchor).text("h1")


def test_stepping_back_undoes_stepping_forward(read: Read) -> None:
    reader = read()
    slider = reader.page.locator("#skip .stepper input[type=range]").first
    steps = int(slider.get_attribute("max"))
    slider.focus()
    reader.press("Home")

    def drawn() -> str:
        reader.settle()
        return str(reader.do("() => document.querySelector('#skip svg.circuit').outerHTML"))

    way = [drawn()]
    for _ in range(steps):
        reader.press("ArrowRight")
        way.append(drawn())
    assert len(set(way)) == steps + 1
    for seen in reversed(way[:-1]):
        reader.press("ArrowLeft")
        assert drawn() == seen


def test_reload_restores_what_was_changed(read: Read) -> None:
    reader = read()
    reader.enter(field(reader, "plain", "x"), 3)
    reader.page.locator("#plain .stepper input[type=range]").focus()
    reader.press("ArrowLeft")
    reader.page.locator("#real .controls input[type=range]").focus()
    reader.press("ArrowRight")
    reader.page.get_by_label("中文").check()
    reader.settle()
    state = "() => [document.querySelector('main').innerText, location.hash, document.title]"
    seen = reader.do(state)
    assert {"plain.set=x:3", "real.moment=1", "lang=zh"} <= set(seen[1].lstrip("#").split("&"))
    reader.reload()
    assert reader.do(state) == seen


def test_a_link_within_the_page_keeps_what_was_changed(read: Read) -> None:
    reader = read("#plain.set=x:3&lang=zh")
    reader.page.click('nav.contents a[href="#truck"]')
    assert reader.hash() == "#truck&plain.set=x:3&lang=zh"
    reader.page.click('nav.contents a[href="#sheet"]')
    reader.page.click('.sheet a[href="#gate"]')
    assert reader.hash() == "#gate&plain.set=x:3&lang=zh"


@pytest.mark.parametrize("height", [700, pytest.param(1400, marks=pytest.mark.slow)])
def test_page_keys_step_through_all_figures_and_back(read: Read, height: int) -> None:
    reader = read(height=height)
    figures = reader.do("() => [...document.querySelectorAll('section.figure')].map((figure) => figure.id)")
    way: dict[str, list[str]] = {"PageDown": [], "PageUp": []}
    hidden: dict[str, float] = {}
    for key, last in (("PageDown", figures[-1]), ("PageUp", figures[0])):
        while way[key][-1:] != [last] and len(way[key]) < 100:
            reader.press(key)
            way[key].append(reader.do("() => document.activeElement.id"))
            if key == "PageDown":
                below = reader.do("() => document.activeElement.getBoundingClientRect().bottom - innerHeight")
                hidden[way[key][-1]] = below
    passed = {key: [one for one, _ in groupby(seen)] for key, seen in way.items()}
    assert passed == {"PageDown": figures, "PageUp": figures[-2::-1]}
    assert all(below < 0.15 * height for figure, below in hidden.items() if figure != figures[-1]), hidden


def test_nothing_moves_before_it_is_asked_to(read: Read) -> None:
    assert read(still=False).look("moves", 30) == [0, 0]


@pytest.mark.parametrize("figure", ["plain", "truck"])
def test_reduced_motion_jumps(read: Read, figure: str) -> None:
    """While it plays, a figure is what it was or the next step, and nothing is between."""
    reader = read()
    play = reader.page.locator(f"#{figure} .stepper button.primary").first
    play.click()
    assert reader.look("moves", 20)[1] == 0
    play.click()


def test_chinese_is_complete(read: Read) -> None:
    """No sentence of English is left, and the page says which language it is in."""
    reader = read("#lang=zh")
    reader.look("unfold")
    assert reader.do("() => document.documentElement.lang") == "zh-CN"
    assert "为什么" in reader.do("() => document.title")
    assert [text for text in reader.look("english") if "The gradpath authors" not in text] == []
    assert reader.do("() => { location.hash = '#lang=en'; }") is None
    reader.page.wait_for_selector("html[lang=en]")
    assert len(reader.look("english")) > 30


def test_display_settings_are_kept_in_the_url(read: Read) -> None:
    reader = read()
    reader.page.locator(".settings summary").click()
    reader.page.locator(".settings").get_by_label("dark", exact=True).check()
    reader.page.locator(".settings").get_by_label("Large type").check()
    reader.settle()
    look = reader.do("() => ({ ...document.documentElement.dataset })")
    assert (look["theme"], look["size"]) == ("dark", "large")
    assert reader.do("() => getComputedStyle(document.documentElement).fontSize") == "24px"
    assert reader.hash() == "#theme=dark&size=large"


@pytest.mark.parametrize("kind, start", [("SVG", b"<svg"), ("PNG", b"\x89PNG")])
def test_pictures_are_saved_as_files(read: Read, kind: str, start: bytes) -> None:
    reader = read()
    with reader.page.expect_download() as download:
        reader.page.locator("#real .tools").get_by_text(f"Save {kind}").click()
    assert Path(download.value.path()).read_bytes().startswith(start)


def test_in_a_sandboxed_frame_it_works_without_storage(chromium: Any, build: Path) -> None:
    page = (build / "explain.html").read_text(encoding="utf-8").replace("&", "&amp;").replace('"', "&quot;")
    frame = f'<iframe sandbox="allow-scripts" width="900" height="700" srcdoc="{page}"></iframe>'
    host = build / "host.html"
    host.write_text(f"<!doctype html><html data-ready>{frame}", encoding="utf-8")
    reader = Reader(chromium, host.as_uri())
    try:
        inner = reader.page.frame_locator("iframe")
        inner.locator(READY).wait_for(state="attached")
        inner.get_by_label("中文").check()
        inner.locator("h1").get_by_text("为什么").wait_for()
        inner.locator('nav.contents a[href="#plain"]').click()
        reader.enter(inner.locator("#plain").get_by_label("x", exact=True).first, 5)
        inner.locator("#plain svg.circuit").get_by_text("5 ▸").first.wait_for()
        assert reader.problems == []
        assert reader.requests <= {reader.file}
    finally:
        reader.close()


def test_sheet_prints_questions_and_answers_on_pages_of_their_own(read: Read) -> None:
    reader = read("#sheet&sheet.number=12")
    first = reader.look("answers")
    blanks = reader.page.locator(".sheet section:not(.answers) li .blank").count()
    assert len(first) == blanks >= 20
    reader.page.emulate_media(media="print")
    assert reader.do("() => getComputedStyle(document.querySelector('.answers')).breakBefore") == "page"
    assert not reader.page.locator(".sheet .controls").is_visible()
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", reader.page.pdf(format="A4"))) <= 4
    reader.page.emulate_media(media="screen")
    reader.enter(reader.page.locator(".sheet .controls input[type=text]"), 13)
    reader.settle()
    assert reader.look("answers") != first
    assert reader.hash() == "#sheet&sheet.number=13"
    reader.reload()
    assert reader.look("answers") != first
