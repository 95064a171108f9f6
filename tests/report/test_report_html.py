"""One file that loads nothing, runs only its own script, and says without it what it has to say."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
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
from gradpath.record import NetSpec, Record, WhatIf, diff
from gradpath.report import render
from gradpath.report._figures import LOOKS
from gradpath.report._html import circuit_page
from gradpath.report._report_page import distinct, report_page
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
WHATIF = WhatIf(change="init=he", sentence="It helps.", before=flow(0.001), after=flow(2.0, depth=20))
PAGES: list[list[Record]] = [
    [comparison()],
    [EDGES],
    [flow(4.2, forks=27, effective_depth=5.31)],
    [HOSTILE],
    [comparison(plain(20))],
    [plain(name=EVIL)],
    [WHATIF],
    [diff(flow(0.001), flow(2.0), name_a=EVIL)],
    [flow(0.001), flow(2.0, depth=20), HOSTILE],
]
NAMES = ["typical", "edges", "flow", "hostile", "one", "run", "whatif", "diff", "several"]
every_page = pytest.mark.parametrize("records", PAGES, ids=NAMES)


class Balance(HTMLParser):
    """Checks that every element is closed in order; collects elements, their attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.run: list[tuple[str | None, str]] = []
        """Scripts and data: type and text of each."""
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.stack, f"not closed: {self.stack}"

    def handle_starttag(self, tag, attrs) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag == "script":
            self.run.append((dict(attrs).get("type"), ""))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.stack and self.stack.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data) -> None:
        if self.stack and self.stack[-1] == "script":
            kind, before = self.run[-1]
            self.run[-1] = (kind, before + data)
        else:
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.seen if name == tag]


@every_page
def test_balanced_and_self_contained(records: list[Record]) -> None:
    parsed = Balance(report_page(records))
    assert not parsed.all("link") and not parsed.all("img") and not parsed.all("iframe")
    assert not any(key.startswith("on") or key in ("src", "href", "action") for _, a in parsed.seen for key in a)
    (policy,) = (m["content"] for m in parsed.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    (script,) = (code for kind, code in parsed.run if kind is None)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None and policy.startswith("default-src 'none'") and f"script-src 'sha256-{digest}'" in policy


@every_page
def test_the_records_are_inside_as_data(records: list[Record]) -> None:
    data = [code for kind, code in Balance(report_page(records)).run if kind == "application/json"]
    assert not set("<>&") & set("".join(data))
    inside = unpacked(data[1])
    assert inside[: len(records)] == [json.loads(record.to_json()) for record in records]
    assert all(record["kind"] == "diff" for record in inside[len(records) :])


def unpacked(text: str) -> list[dict[str, object]]:
    whole = text if text.startswith("[") else gzip.decompress(base64.b64decode(text)).decode()
    found: list[dict[str, object]] = json.loads(whole)
    return found


@every_page
def test_names_are_text(records: list[Record]) -> None:
    parsed = Balance(report_page(records))
    assert "img" not in {tag for tag, _ in parsed.seen}


@every_page
def test_readable_without_a_script(records: list[Record]) -> None:
    parsed = Balance(report_page(records))
    assert parsed.all("html")[0]["lang"] == "en" and len(parsed.all("h1")) == 1 and len(parsed.all("main")) == 1
    ids = [a["id"] for _, a in parsed.seen if "id" in a]
    assert len(ids) == len(set(ids))
    words = "".join(parsed.texts)
    said = json.loads(next(code for kind, code in parsed.run if kind == "application/json"))["spoken"]
    assert all(one["headline"] in words for one in said)
    assert all(text in words for one in said for _, text in [*one["details"], *one["measured"]])
    assert all(fact in words for one in said for fact in [*one["facts"], *one["unseen"], *one["next"]])


def test_the_finding_is_the_heading_and_numbers_are_printed() -> None:
    text = report_page([comparison()])
    heading = "After 2 epochs, plain 56, BatchNorm has a training loss of 1.87; with skips, residual 56 has 0.49"
    assert re.search(rf"<h1>{heading}", text)
    words = "".join(Balance(text).texts)
    assert "1.8e-23" in words and "gradpath compare --minutes 20" in words and "a processor" in words


def test_flows_stand_side_by_side_before_each_alone() -> None:
    flows = [flow(0.001, model="A"), flow(2.0, model="B"), flow(2.0, model="B")]
    said = json.loads(next(code for kind, code in Balance(report_page(flows)).run if kind))["spoken"]
    assert [one["name"] for one in said] == ["", "A", "B (1)", "B (2)"]
    assert [(pair["a"], pair["b"]) for pair in said[0]["pairs"]] == [([0], [1]), ([0], [2])]
    assert said[0]["headline"] == "Gradient at the stem over that at the head: A 0.001, B (1) 2, B (2) 2"
    assert [one["place"] for one in said[1:]] == [[0], [1], [2]]
    assert distinct(["a", "b", "a"]) == ["a (1)", "b", "a (2)"]


def test_nets_of_one_class_are_told_apart_by_their_depth() -> None:
    shallow, deep = flow(0.5, model="Net"), flow(0.5, model="Net")
    deep = dataclasses.replace(deep, layers=deep.layers * 2)
    depth = sum(layer.weighted for layer in shallow.layers)
    said = json.loads(next(code for kind, code in Balance(report_page([shallow, deep])).run if kind))["spoken"]
    assert [one["name"] for one in said[1:]] == [f"Net, {depth} layers", f"Net, {2 * depth} layers"]


def test_before_and_after_and_every_snapshot_are_entries_of_their_own() -> None:
    said = json.loads(next(code for kind, code in Balance(report_page([WHATIF])).run if kind))["spoken"]
    assert [(one["name"], one["place"]) for one in said[1:]] == [
        ("before", [0, "before"]),
        ("after init=he", [0, "after"]),
    ]
    said = json.loads(next(code for kind, code in Balance(report_page([comparison(plain(20))])).run if kind))["spoken"]
    assert said[1]["place"] == [0, "nets", 0, "gradient", "initial"]


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


def test_render_writes_the_page(tmp_path) -> None:
    for record in (EDGES, plain(name=EVIL), WHATIF, diff(flow(0.001), flow(2.0))):
        assert render(record, tmp_path / "x.html").read_text(encoding="utf-8") == report_page([record])
        assert render(record)._repr_mimebundle_()["text/plain"] == str(render(record))


@pytest.mark.parametrize("name", ["plain", "residual", "plain-chain", "truck", "dense"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_circuit_has_a_page(name: str, language: str) -> None:
    record = pytest.importorskip("gradpath.circuits").circuit(name, language=language)
    text = circuit_page(record)
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


def test_kinds_without_a_page_say_so() -> None:
    with pytest.raises(UserError, match="NetSpec has no page"):
        report_page([NetSpec(family="plain", depth=20)])


def test_report_never_imports_torch() -> None:
    code = (
        "import sys, gradpath.report as r, gradpath.report._html, gradpath.report._report_page, gradpath.report._png\n"
        "assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
