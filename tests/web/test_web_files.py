"""The page as a file: small, whole, and with nothing in it that could ask for anything else."""

from __future__ import annotations

import gzip
import math
import re
from pathlib import Path
from typing import Any

import pytest

from gradpath.report._explainer import RECORDED, explainer, recorded
from gradpath.report._webpage import asset

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def page() -> str:
    return explainer()


def test_the_page_is_small(page: str) -> None:
    assert len(page.encode()) <= 2**20
    assert sum(len(gzip.compress(asset(f"{name}.js").encode())) for name in ("explain", "report")) <= 200_000
    assert max(len(asset(f"{name}.css").encode()) for name in ("explain", "report")) <= 20_000
    assert (
        sum(len((ROOT / f"src/gradpath/report/assets/explain/{name}.json").read_bytes()) for name in RECORDED)
        <= 150_000
    )


def test_nothing_is_fetched(page: str) -> None:
    """No address where a browser would load it: links to click are made by the script, and are text here."""
    assert re.findall(r"(?:src|href|action)\s*=\s*[\"']?https?:", page) == []
    style = page.split("<style>", 1)[1].split("</style>", 1)[0]
    assert "url(" not in style and "@import" not in style
    assert "default-src 'none'" in page and "connect-src" not in page
    for call in ("fetch(", "XMLHttpRequest", "WebSocket", "sendBeacon", "eval("):
        assert call not in asset("explain.js"), call


def test_both_languages_can_be_asked_for(page: str) -> None:
    assert '<html lang="en">' in page
    assert 'lang="zh" data-language="zh"' in explainer("zh")
    assert "为什么" in explainer("zh").split("</title>")[0]


def test_it_is_cited_as_the_citation_file_says() -> None:
    text = (ROOT / "web/src/explain/Footer.tsx").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    title = re.search(r'title: "gradpath: (.+)"', citation)
    year = re.search(r'date-released: "(\d{4})', citation)
    assert title and year
    assert text.count(f"The gradpath authors ({year[1]}). gradpath {{version}}: {title[1]}.") == 2


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [n for one in value.values() for n in numbers(one)]
    if isinstance(value, list):
        return [n for one in value for n in numbers(one)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


def test_recorded_profiles_agree_with_their_own_summary() -> None:
    """Stem over head is the ratio of the profile's ends; effective depth is the signed mean of the path lengths."""
    runs = recorded("runs")
    assert all(map(math.isfinite, numbers(runs)))
    assert {"date", "machine", "gradpath", "seed", "recipe"} <= set(runs)
    assert {net["family"] for net in runs["nets"]} >= {"plain", "residual"}
    for net in runs["nets"]:
        assert [look["step"] for look in net["looks"]] == sorted({look["step"] for look in net["looks"]})
        for look in net["looks"]:
            ends = look["log10_gradient_norm"]
            assert len(ends) >= net["depth"]
            ratio = 0 if ends[0] is None else 10 ** (ends[0] - ends[-1])  # null: an exact zero has no logarithm
            assert look["stem_over_head"] == pytest.approx(ratio, rel=0.02)
        for paths in net["paths"]:
            assert sum(paths["shares"]) == pytest.approx(1, abs=0.01)
            assert sum(paths["norm_mass"]) == pytest.approx(1, abs=0.01)
            mean = sum(k * share for k, share in zip(paths["lengths"], paths["shares"], strict=True))
            assert mean == pytest.approx(paths["effective_depth"], rel=0.02)


def test_recorded_widths_cost_the_same() -> None:
    widths = recorded("widths")
    for cell in widths["nets"]:
        assert cell["macs"] == pytest.approx(widths["cost"], rel=0.06), cell
        assert len(cell["test_accuracy"]) >= 1


def test_the_gallery_is_the_benchmarks() -> None:
    """Dots and docs/gallery.md show the same numbers."""
    text = (ROOT / "docs/gallery.md").read_text(encoding="utf-8")
    nets = recorded("gallery")["nets"]
    assert len(nets) >= 20
    rows = [row.strip("| ").split(" | ") for row in text.splitlines() if row.count(" | ") == 6]
    said = {name: (int(layers), int(forks), depth) for name, layers, forks, depth, *_ in rows if layers.isdigit()}
    for net in nets:
        layers, forks, depth = said[net["net"]]
        assert (layers, forks) == (net["weighted_layers"], net["residual_forks"])
        shown = None if depth == "–" else [float(part) for part in depth.split(" ± ")]
        assert net["effective_depth"] == (shown and pytest.approx(shown, abs=0.01))
