"""One file that loads nothing, runs nothing, and reads well without colour or eyes."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from invented import comparison, flow, fork, layer, norm_free, plain, residual

from gradpath.errors import UserError
from gradpath.record import Record
from gradpath.report import render
from gradpath.report._figures import LOOKS
from gradpath.report._html import page
from gradpath.report._style import STYLE

EVIL = "</script><img src=x onerror=alert(1)>"
VOID = {"meta", "br", "img", "link", "input", "hr"}
HOSTILE = dataclasses.replace(
    flow(2.0, depth=8, model=EVIL),
    layers=tuple(layer(f"{i}\"'&{EVIL}", -1.0) for i in range(4)),
    forks=(dataclasses.replace(fork(0), name=EVIL),),
    device=EVIL,
)
EDGES = comparison(
    norm_free(diverged=12, name=EVIL), plain(losses=()), residual(gradient=flow(0.0)), norm_free("he", math.nan)
)
PAGES: list[Record] = [comparison(), EDGES, flow(4.2, forks=27, effective_depth=5.31), HOSTILE, comparison(plain(20))]
every_page = pytest.mark.parametrize("record", PAGES, ids=["typical", "edges", "flow", "hostile", "one"])


class Balance(HTMLParser):
    """Checks that every element is closed in order; collects elements, their attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.stack, f"not closed: {self.stack}"

    def handle_starttag(self, tag, attrs) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.stack and self.stack.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data) -> None:
        (self.scripts if self.stack and self.stack[-1] == "script" else self.texts).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.seen if name == tag]


@every_page
def test_balanced_and_self_contained(record: Record) -> None:
    text = page(record)
    parsed = Balance(text)
    assert not re.search(r"""(?:src|href|action)\s*=\s*["']?\s*(?:https?:)?//|url\(|@import""", text)
    assert not parsed.all("link") and not parsed.all("img") and not parsed.all("iframe")
    (policy,) = (m["content"] for m in parsed.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'") and "script" not in policy
    assert not any(key.startswith("on") for _, attributes in parsed.seen for key in attributes)


@every_page
def test_the_record_is_inside_as_data(record: Record) -> None:
    parsed = Balance(page(record))
    assert [s.get("type") for s in parsed.all("script")] == ["application/json"]
    assert not set("<>&") & set("".join(parsed.scripts))
    assert json.loads("".join(parsed.scripts)) == json.loads(record.to_json())


@every_page
def test_names_are_text(record: Record) -> None:
    parsed = Balance(page(record))
    assert "img" not in {tag for tag, _ in parsed.seen}
    if EVIL in record.to_json():
        assert EVIL in "".join(parsed.texts)


@every_page
def test_readable_by_ear(record: Record) -> None:
    parsed = Balance(page(record))
    assert parsed.all("html")[0]["lang"] == "en" and len(parsed.all("h1")) == 1 and len(parsed.all("main")) == 1
    ids = [a["id"] for _, a in parsed.seen if "id" in a]
    assert len(ids) == len(set(ids))
    images = [a for a in parsed.all("svg") if a.get("role") == "img"]
    assert images and all(set(str(a["aria-labelledby"]).split()) <= set(ids) for a in images)
    assert all(a.get("role") == "img" or a.get("aria-hidden") == "true" for a in parsed.all("svg"))
    assert parsed.all("th") and all(a.get("scope") in ("col", "row") for a in parsed.all("th"))
    assert len(parsed.all("caption")) == len(parsed.all("table"))


def test_the_finding_is_the_heading_and_numbers_are_printed() -> None:
    text = page(comparison())
    assert re.search(
        r"<h1>After 2 epochs, plain 56, BatchNorm has a training loss of 1.87; with skips, residual 56 has 0.49", text
    )
    words = "".join(Balance(text).texts)
    assert "1.8e-23 at the stem" in words and "guessing: 2.30" in words and "gradpath compare --minutes 20" in words


def test_no_nan_reaches_a_coordinate() -> None:
    for record in PAGES:
        for _, attributes in Balance(page(record)).seen:
            for key in ("x", "y", "x1", "y1", "width", "height", "points", "cx", "cy", "d"):
                assert "nan" not in str(attributes.get(key)).lower() and "inf" not in str(attributes.get(key)).lower()


def test_exact_zero_and_not_finite_have_signs_of_their_own() -> None:
    text = page(EDGES)
    assert 'class="hollow"' in text and "○ exactly 0" in text and "✕ not finite" in text
    assert "○ exactly 0" not in page(comparison())


def test_dark_mode_and_contrast() -> None:
    assert "prefers-color-scheme:dark" in STYLE
    for look in LOOKS:
        assert contrast(look.light, "#f6f7f9") >= 3 and contrast(look.dark, "#1c2128") >= 3
    for ink, paper in (("#1b1f24", "#ffffff"), ("#566070", "#f6f7f9"), ("#e8eaed", "#14171c"), ("#a3acb8", "#1c2128")):
        assert ink in STYLE and paper in STYLE and contrast(ink, paper) >= 4.5
    assert len({(look.marker, look.dashes) for look in LOOKS}) == len(LOOKS), "colour is never the only cue"


def contrast(a: str, b: str) -> float:
    """WCAG 2 contrast ratio of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


def test_notebook_frame_is_sandboxed_and_text_is_the_fallback(tmp_path) -> None:
    shown = render(EDGES)
    (frame,) = Balance(shown._repr_html_()).all("iframe")
    assert frame["sandbox"] == "" and frame["srcdoc"] == page(EDGES)
    assert shown._repr_mimebundle_()["text/plain"] == str(shown)
    assert render(EDGES, tmp_path / "x.html").read_text(encoding="utf-8") == page(EDGES)
    assert "<pre>" in render(plain(name=EVIL)).html and EVIL not in render(plain(name=EVIL)).html


@pytest.mark.parametrize("name", ["plain", "residual", "plain-chain", "truck", "dense"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_circuit_has_a_page(name: str, language: str) -> None:
    record = pytest.importorskip("gradpath.circuits").circuit(name, language=language)
    text = page(record)
    parsed = Balance(text)
    assert not re.search(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//|url\(["']?(?!#)|@import""", text)
    words = "".join(parsed.texts)
    assert parsed.all("h1") and record.steps[-1].sentence in words
    assert "dL/d" in words, "with the arithmetic"
    visible = re.sub(r"(?s)<(title|desc|script|style)\b.*?</\1>", "", text)
    assert visible.count(record.title) == 1 and visible.count(html.escape(record.caption[:12])) == 1
    forward, backward = ("Forward", "Backward") if language == "en" else ("前向传播", "反向传播")
    assert f"<h2>{forward}</h2>" in text and f"<h2>{backward}</h2>" in text
    assert ("This file is complete" in words) == (language == "en")


def test_the_pages_style_stays_out_of_a_circuits_figure() -> None:
    rules = re.findall(r"(?m)^([^{}@]+)\{", STYLE)
    assert not [rule for rule in rules if rule.strip().startswith("svg")]
    assert all("chart" in str(a.get("class")) for a in Balance(page(comparison())).all("svg"))


def test_a_narrow_page_begins_with_the_results_and_says_that_the_table_scrolls() -> None:
    heads = re.findall(r"<th scope=\"col\"[^>]*>([^<]*)", page(comparison()))
    assert heads[:4] == ["net", "train loss", "train acc.", "test acc."]
    assert ".minor{display:none}" in STYLE and "scroll sideways" in STYLE


def test_shares_have_their_cancellation_and_the_line_its_label() -> None:
    words = Balance(page(flow(4.2, forks=3, effective_depth=1.2))).texts
    assert words.count("12.0 %") >= 3 and "100 %" in words and "cancels" in words


def test_explode_is_defined_where_it_is_shown() -> None:
    assert "stem over head above 1000" in page(comparison()) and "above 1000 that it explodes" in page(comparison())


def test_kinds_without_a_page_say_so() -> None:
    with pytest.raises(UserError, match="RunRecord has no page"):
        page(plain())


def test_report_never_imports_torch() -> None:
    code = (
        "import sys, gradpath.report as r, gradpath.report._html, gradpath.report._png\n"
        "assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
