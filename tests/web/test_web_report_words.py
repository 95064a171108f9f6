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
def opened(chromium: Any, tmp_path: Path) -> Callable[[Flow], Reader]:
    def reader(flow: Flow) -> Reader:
        file = tmp_path / "report.html"
        file.write_text(report_page([flow]), encoding="utf-8")
        return Reader(chromium, file.as_uri(), chinese=True)

    return reader


def test_the_finding_is_said_in_chinese(opened: Callable[[Flow], Reader], exploding: Flow) -> None:
    assert exploding.findings[0].kind == "exploding"
    reader = opened(exploding)
    said = reader.text(".gist")
    assert "梯度爆炸" in said and exploding.findings[0].where in said and "56 个加权层" in said
    assert reader.do("() => document.querySelector('h1').lang") == "en"
    reader.page.get_by_label("English").check()
    assert reader.page.locator(".gist").count() == 0
    assert reader.problems == []
    reader.close()


def test_a_place_in_the_finding_selects_its_layer(opened: Callable[[Flow], Reader], exploding: Flow) -> None:
    where = exploding.findings[0].where
    reader = opened(exploding)
    reader.page.locator(".details button.link").click()
    reader.settle()
    index = next(i for i, layer in enumerate(exploding.layers) if layer.scope == where)
    assert f"at=l{index}" in reader.hash()
    assert reader.text("#selected .name") == where
    reader.close()
    healthy = opened(replace(exploding, findings=()))
    assert "没有发现问题" in healthy.text(".gist")
    healthy.close()
