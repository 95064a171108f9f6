"""What a reader saves of a figure: all of its drawings in one file, with their headings and keys."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from reader import Reader

Read = Callable[..., Reader]
SVG = "{http://www.w3.org/2000/svg}"
LABELS = "(id) => [...document.querySelectorAll(`#${id} .frame svg[role=img]`)].map((drawing) => drawing.ariaLabel)"
KEYS = "(id) => [...document.querySelectorAll(`#${id} .frame .key li`)].map((item) => item.lastChild.textContent)"


def saved(reader: Reader, figure: str) -> ET.Element:
    with reader.page.expect_download() as download:
        reader.page.locator(f"#{figure} .tools").get_by_text("Save SVG").click()
    return ET.fromstring(Path(download.value.path()).read_text(encoding="utf-8"))


@pytest.mark.parametrize("figure, drawings", [("norm", 2), ("paths", 2), ("nets", 2), ("plain", 1)])
def test_every_drawing_of_a_figure_is_saved_with_its_key(read: Read, figure: str, drawings: int) -> None:
    reader = read()
    picture = saved(reader, figure)
    parts = [part for part in picture if part.tag == f"{SVG}svg" and part.get("role") == "img"]
    labels = reader.do(LABELS, figure)
    assert [part.get("aria-label") for part in parts] == labels
    assert len(parts) == drawings
    written = [text.text for text in picture if text.tag == f"{SVG}text"]
    keys = reader.do(KEYS, figure)
    assert [text for text in written if text in keys] == keys
    ends = [float(part.get("y")) + float(part.get("height")) for part in parts]
    assert all(float(part.get("y")) >= end for part, end in zip(parts[1:], ends, strict=False))
    assert float(picture.get("height")) >= ends[-1]
    assert all(float(part.get("x")) + float(part.get("width")) <= float(picture.get("width")) for part in parts)
