"""Colours can be read and told apart: contrast from the style sheet's variables, and forward against backward for those
who see fewer colours (Machado, Oliveira and Fernandes 2009, severity 1; difference by CIEDE2000)."""

from __future__ import annotations

import math
import os
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from gradpath.report import _webpage

TEXT, MARK, DIFFERENT = 4.5, 3.0, 15.0
THEMES = list(product(["light", "dark"], ["green-red", "blue-orange"]))
INKS = ["ink", "pale", "strong", "forward", "backward"]
GROUNDS = ["page", "card", "mark"]
OUTLINE = ("backward", "mark")  # on a marked ground it outlines and is no text
MACHADO = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def sheet() -> str:
    folder = os.environ.get("GRADPATH_ASSETS")
    return (Path(folder) / "report.css").read_text(encoding="utf-8") if folder else _webpage.asset("report.css")


def variables(theme: str, pair: str) -> dict[str, str]:
    """The colours that hold under a theme and a pair: later rules of `:root` win where their attributes match."""
    found: dict[str, str] = {}
    for attributes, body in re.findall(r":root((?:\[[^\]]+\])*)\{([^}]*)\}", re.sub(r"@media print\{.*", "", sheet())):
        wanted = dict(re.findall(r"\[data-(\w+)=\"?([\w-]+)\"?\]", attributes))
        if all({"theme": theme, "pair": pair}.get(name) == value for name, value in wanted.items()):
            found |= dict(re.findall(r"--([\w-]+):\s*(#[0-9a-fA-F]{3,6})", body))
    return found


def linear(colour: str) -> np.ndarray:
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    """WCAG 2: (L₁ + 0.05) / (L₂ + 0.05)."""
    light, dark = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB under D65, from linear sRGB."""
    matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    ratio = np.array(matrix) @ np.clip(rgb, 0, 1) / [0.95047, 1.0, 1.08883]
    x, y, z = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def ciede2000(one: np.ndarray, two: np.ndarray) -> float:
    """Sharma, Wu and Dalal 2005, with unit weights."""
    (l1, a1, b1), (l2, a2, b2) = one, two
    mean = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    g = 0.5 * (1 - math.sqrt(mean**7 / (mean**7 + 25**7)))
    c1, c2 = math.hypot((1 + g) * a1, b1), math.hypot((1 + g) * a2, b2)
    h1, h2 = (math.degrees(math.atan2(b, (1 + g) * a)) % 360 if a or b else 0.0 for a, b in ((a1, b1), (a2, b2)))
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    dl, dc, dh = l2 - l1, c2 - c1, 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2))
    lm, cm = (l1 + l2) / 2, (c1 + c2) / 2
    hm = h1 + h2 if c1 * c2 == 0 else (h1 + turn / 2) % 360
    cos = lambda factor, shift: math.cos(math.radians(factor * hm + shift))  # noqa: E731
    t = 1 - 0.17 * cos(1, -30) + 0.24 * cos(2, 0) + 0.32 * cos(3, 6) - 0.20 * cos(4, -63)
    sl = 1 + 0.015 * (lm - 50) ** 2 / math.sqrt(20 + (lm - 50) ** 2)
    sc, sh = 1 + 0.045 * cm, 1 + 0.015 * cm * t
    rt = -2 * math.sqrt(cm**7 / (cm**7 + 25**7)) * math.sin(math.radians(60 * math.exp(-(((hm - 275) / 25) ** 2))))
    return math.sqrt((dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 + rt * (dc / sc) * (dh / sh))


@pytest.mark.parametrize(
    "one, two, difference",  # of the published test data
    [((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425), ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
     ((50, 2.5, 0), (73, 25, -18), 27.1492), ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441)],
)  # fmt: skip
def test_the_difference_is_ciede2000(one: tuple[float, ...], two: tuple[float, ...], difference: float) -> None:
    assert ciede2000(np.array(one), np.array(two)) == pytest.approx(difference, abs=1e-4)


@pytest.mark.parametrize("theme, pair", THEMES)
def test_text_can_be_read(theme: str, pair: str) -> None:
    colours = variables(theme, pair)
    weak = {(ink, ground): round(contrast(colours[ink], colours[ground]), 2) for ink in INKS for ground in GROUNDS}
    weak[("on-strong", "strong")] = round(contrast(colours["on-strong"], colours["strong"]), 2)
    assert weak.pop(OUTLINE) >= MARK
    assert {key: value for key, value in weak.items() if value < TEXT} == {}


@pytest.mark.parametrize("theme, pair", THEMES)
def test_marks_can_be_seen(theme: str, pair: str) -> None:
    colours = variables(theme, pair)
    marks = ["line", *(name for name in colours if re.fullmatch(r"look\d", name))]
    assert len(marks) == 9
    weak = {name: contrast(colours[name], colours["page"]) for name in marks}
    assert {name: round(value, 2) for name, value in weak.items() if value < MARK} == {}


@pytest.mark.parametrize("vision", MACHADO)
@pytest.mark.parametrize("theme, pair", THEMES)
def test_forward_and_backward_differ_for_every_eye(theme: str, pair: str, vision: str) -> None:
    colours = variables(theme, pair)
    matrix = np.array(MACHADO[vision])
    seen = [lab(matrix @ linear(colours[name])) for name in ("forward", "backward")]
    assert ciede2000(*seen) >= DIFFERENT
