"""The report's own words: kinds of findings in both languages, the finding in one sentence for readers of Chinese."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reader import Reader

import gradpath as gp
from gradpath.record import FINDING_KINDS, Flow
from gradpath.report._report_page import report_page

ROOT = Path(__file__).parents[2]


def test_every_kind_of_finding_has_a_word() -> None:
    source = (ROOT / "web/src/report/kinds.ts").read_text(encoding="utf-8")
    english, chinese, listed = re.split(r"zh: \{|new Set\(", source)
    for kind in FINDING_KINDS:
        assert re.search(rf'"?\b{kind}\b"?: "{kind}"', english), kind
        assert re.search(rf'"?\b{kind}\b"?: "[^"]*[\u4e00-\u9fff]', chinese), kind
        assert f'"{kind}"' in listed, kind


@pytest.fixture(scope="module")
def exploding() -> Flow:
    torch.manual_seed(0)
    found: Flow = gp.trace(gp.build("plain-56"), (torch.randn(4, 3, 32, 32), torch.arange(4)), F.cross_entropy)
    return found


@pytest.fixture
def opened(chromium: Any, tmp_path: Path) -> Callable[..., Reader]:
    def reader(flow: Flow, untold: bool = False) -> Reader:
        file = tmp_path / "report.html"
        page = report_page([flow])
        file.write_text(page.replace('"chinese":', '"none":') if untold else page, encoding="utf-8")
        return Reader(chromium, file.as_uri(), chinese=True)

    return reader


def test_pythons_sentences_are_told_in_the_readers_language(opened: Callable[..., Reader], exploding: Flow) -> None:
    reader = opened(exploding)
    assert reader.do("() => document.querySelector('h1').lang") == "zh-CN" and reader.page.locator(".gist").count() == 0
    assert re.search("[\u4e00-\u9fff]", reader.text("h1")) and exploding.findings[0].where in reader.text("h1")
    assert reader.text("h1") == reader.page.title()
    for place in (".details div:nth-child(2) dd", ".said li"):
        assert re.search("[\u4e00-\u9fff]", reader.text(place)), place
    reader.page.get_by_label("English").check()
    assert reader.text("h1").startswith(exploding.findings[0].sentence[:20])
    assert reader.do("() => document.querySelector('h1').lang") == "en"
    reader.close()


def test_what_has_no_chinese_is_told_in_short(opened: Callable[..., Reader], exploding: Flow) -> None:
    """Records whose sentences are not known: English, marked as that, and one sentence of the page's own."""
    assert exploding.findings[0].kind == "exploding"
    reader = opened(exploding, untold=True)
    said = reader.text(".gist")
    assert "梯度爆炸" in said and exploding.findings[0].where in said and "56 个加权层" in said
    assert reader.do("() => document.querySelector('h1').lang") == "en"
    reader.page.get_by_label("English").check()
    assert reader.page.locator(".gist").count() == 0
    assert reader.problems == []
    reader.close()


def test_a_place_in_the_finding_selects_its_layer(opened: Callable[..., Reader], exploding: Flow) -> None:
    where = exploding.findings[0].where
    reader = opened(exploding)
    reader.page.locator(".details button.link").click()
    reader.settle()
    index = next(i for i, layer in enumerate(exploding.layers) if layer.scope == where)
    assert f"at=l{index}" in reader.hash()
    assert reader.text("#selected .name") == where
    reader.close()
    healthy = opened(replace(exploding, findings=()), untold=True)
    assert "没有发现问题" in healthy.text(".gist")
    healthy.close()
