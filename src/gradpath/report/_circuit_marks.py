"""What a circuit's SVG is made of: texts, boxes, wires. Pixels; y grows downward."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from gradpath.report._markup import Markup, element

Point = tuple[float, float]
Spot = tuple[float, float, float, float]
BOX_HEIGHT = 44
_CORNER = 8
_HEAD = {"right": ((-8, -4.5), (-8, 4.5)), "left": ((8, -4.5), (8, 4.5)), "down": ((-4.5, -8), (4.5, -8))}
_HEAD["up"] = ((-4.5, 8), (4.5, 8))

COLOURS = {
    "light": {
        "page": "#ffffff",
        "ink": "#1b1f24",
        "pale": "#566070",
        "box": "#f6f7f9",
        "edge": "#8a94a3",
        "value": "#006D5B",
        "gradient": "#B8321A",
    },
    "dark": {
        "page": "#14171c",
        "ink": "#e8eaed",
        "pale": "#a3acb8",
        "box": "#1f252d",
        "edge": "#6b7686",
        "value": "#2EE6B0",
        "gradient": "#F0603A",
    },
}
THEMES = ("auto", *COLOURS)
_RULES = """
text{font-family:system-ui,"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif;
font-size:13px;fill:var(--ink)}
text.title{font-size:20px;font-weight:600}
text.pale{fill:var(--pale)}
text.name{font-size:11px;fill:var(--pale)}
text.glyph{font-size:17px;font-weight:600}
text.grid{font-size:15px}
text.value{fill:var(--value)}
text.gradient{fill:var(--gradient)}
text.sum{font-weight:700}
text.value,text.gradient{font-variant-numeric:tabular-nums}
.middle{text-anchor:middle}
.end{text-anchor:end}
.page{fill:var(--page)}
.box{fill:var(--box);stroke:var(--edge)}
path{fill:none;stroke-width:1.8}
path.value{stroke:var(--value)}
path.gradient{stroke:var(--gradient);stroke-dasharray:5 4}
path.thin{stroke:var(--value);stroke-width:1;opacity:.35}
polygon.value,circle.value{fill:var(--value)}
polygon.gradient,circle.gradient{fill:var(--gradient)}
"""


def style(theme: str, more: str = "") -> Markup:
    """The style sheet, with `more` rules. 'auto' follows the reader's setting; 'light' and 'dark' have their colours
    written out, because rasterisers know neither variables nor media queries."""
    if theme != "auto":
        return Markup(re.sub(r"var\(--(\w+)\)", lambda name: COLOURS[theme][name[1]], _RULES + more))
    light, dark = (";".join(f"--{name}:{colour}" for name, colour in found.items()) for found in COLOURS.values())
    return Markup(f"\nsvg{{{light}}}\n@media (prefers-color-scheme:dark){{\nsvg{{{dark}}}}}{_RULES}{more}")


class Cue(NamedTuple):
    """What has to have happened before a mark is seen."""

    what: Literal["value", "sent", "sum"]
    """The value of `node` is known; `node` has sent its gradients back; all gradients have reached `node`."""
    node: str


class Mark(NamedTuple):
    """Something drawn; without a cue it is there from the beginning."""

    markup: Markup
    cue: Cue | None = None


def n(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def text(x: float, y: float, content: str, look: str = "") -> Markup:
    """A line of text; `look` names classes of the style."""
    return element("text", content, x=n(x), y=n(y), class_=look or None)


def text_width(content: str, size: float = 13) -> float:
    """A generous guess: no font is known here."""
    return sum(size if ord(c) > 0x2E80 else 0.6 * size for c in content)


def frame(x: float, y: float, width: float, height: float) -> Markup:
    """A rectangle around (x, y)."""
    corner = {"x": n(x - width / 2), "y": n(y - height / 2), "width": n(width), "height": n(height)}
    return element("rect", class_="box", rx="8", **corner)


def box(x: float, y: float, width: float, glyph: str, name: str = "", height: float = BOX_HEIGHT) -> list[Markup]:
    """A box around (x, y) with its sign and, for a gate, its name below the sign."""
    marks = [frame(x, y, width, height), text(x, y + (1 if name else 6), glyph, "glyph middle")]
    return [*marks, text(x, y + 16, name, "name middle")] if name else marks


def course(points: Sequence[Point]) -> str:
    """Straight lines through the points, with rounded corners, as path data."""
    parts = [f"M{n(points[0][0])} {n(points[0][1])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        (x1, y1), (x2, y2) = _toward(corner, before), _toward(corner, after)
        parts.append(f"L{n(x1)} {n(y1)}Q{n(corner[0])} {n(corner[1])} {n(x2)} {n(y2)}")
    parts.append(f"L{n(points[-1][0])} {n(points[-1][1])}")
    return "".join(parts)


def path(points: Sequence[Point], look: str) -> Markup:
    """Straight lines through the points, with rounded corners."""
    return element("path", class_=look, d=course(points))


def _toward(corner: Point, other: Point) -> Point:
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = abs(dx) + abs(dy)  # the lines are horizontal or vertical
    part = min(_CORNER, length / 2) / length if length else 0
    return corner[0] + part * dx, corner[1] + part * dy


def head(x: float, y: float, direction: str, look: str) -> Markup:
    """An arrow head with its tip at (x, y)."""
    corners = [(0.0, 0.0), *_HEAD[direction]]
    return element("polygon", class_=look, points=" ".join(f"{n(x + dx)},{n(y + dy)}" for dx, dy in corners))


def dot(x: float, y: float, look: str) -> Markup:
    """Where wires are joined; wires that only cross have none."""
    return element("circle", class_=look, cx=n(x), cy=n(y), r="3.6")
