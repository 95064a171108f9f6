"""The page's charts: inline SVG of 320 units, so that text keeps its size from a telephone to a desk."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradpath import units
from gradpath.report import _facts as facts
from gradpath.report import _figures as figures
from gradpath.report._figures import ForkBar, Line, Row
from gradpath.report._grid import shorten
from gradpath.report._markup import Markup, element, joined

WIDTH = 320
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 36
"""Margins of the profile: tick labels left, names of the places below."""
PLOT_HEIGHT = 210
ROW_HEIGHT, BAR_TOP = 40, 28
LONGEST_NAME, LONGEST_FORK = 26, 19


def chart(identity: str, title: str, description: str, height: float, *parts: object) -> Markup:
    """An image with a name and a description for those who do not see it."""
    return element(
        "svg",
        element("title", title, id=f"{identity}-title"),
        element("desc", description, id=f"{identity}-desc"),
        *parts,
        viewBox=f"0 0 {WIDTH} {_n(height)}",
        role="img",
        class_="chart",
        aria_labelledby=f"{identity}-title {identity}-desc",
    )


def profile(shown: Sequence[Line], identity: str = "profile") -> Markup:
    """log10 gradient norm over the place in the net, stem left, head right."""
    scale = figures.log_axis(shown)
    parts: list[Markup] = []
    for tick in scale.ticks:
        y = _y(scale.place(tick))
        parts.append(_rule(LEFT, y, WIDTH - RIGHT, y, "grid"))
        parts.append(_label(LEFT - 6, y + 4, f"1e{tick}" if tick else "1", "end"))
    for place, word, anchor in ((0.0, "stem", "start"), (0.5, "middle", "middle"), (1.0, "head", "end")):
        parts.append(_label(_x(place), TOP + PLOT_HEIGHT + 18, word, anchor))
    parts += [_line(line, scale) for line in shown]
    lowest = figures.vanishing(shown)
    if lowest is not None:
        place, value = lowest.points[0]
        x, y = _x(place) + 14, _y(scale.place(value))
        parts.append(_label(x, y + 6, f"{lowest.arrives} at the stem", "start", "value"))
    told = "; ".join(f"{line.name}: {line.arrives} at the stem" for line in shown)
    description = f"{figures.PROFILE_AXIS}, from the stem to the head. {told}."
    return chart(identity, figures.PROFILE_TITLE, description, TOP + PLOT_HEIGHT + BOTTOM, *parts)


def _line(line: Line, scale: figures.Axis) -> Markup:
    spots = [(_x(place), _y(scale.place(value))) for place, value in line.points]
    way = " ".join(f"{_n(x)},{_n(y)}" for x, y in spots)
    dashes = " ".join(_n(d * 2) for d in line.look.dashes) or None
    every = max(len(spots) // 7, 1)
    return element(
        "g",
        element("polyline", points=way, class_="line", stroke_dasharray=dashes),
        *(sign(line.look.marker, x, y, 4) for x, y in spots[::every]),
        *(element("circle", cx=_n(_x(p)), cy=_n(_y(0)), r=4, class_="hollow") for p in line.zeros),
        *(sign("x", _x(p), _y(1), 4) for p in line.broken),
        class_=f"net{line.look.index}",
    )


def losses(rows: Sequence[Row], guess: float) -> Markup:
    """Training loss of each net, with the loss of guessing as a dashed line."""
    limit = 1.1 * max([guess, *(row.losses[-1] for row in rows if row.losses)]) or 1.0
    bars = [(row, row.losses[-1] / limit if row.losses else None, row.loss_text) for row in rows]
    return _bars("losses", figures.LOSS_TITLE, bars, guess / limit, f"guessing: {facts.loss_text(guess)}")


def accuracies(rows: Sequence[Row], guess: float) -> Markup:
    """Fraction of the test images that each net gets right."""
    bars = [(row, row.accuracy, row.accuracy_text) for row in rows]
    return _bars("accuracies", figures.ACCURACY_TITLE, bars, guess, f"guessing: {units.percent(guess)}")


def _bars(
    identity: str, title: str, bars: Sequence[tuple[Row, float | None, str]], guess: float, guess_text: str
) -> Markup:
    """Name and value over each bar: there is room for both at any width."""
    height = ROW_HEIGHT * len(bars) + 34
    parts: list[Markup] = []
    for i, (row, length, text) in enumerate(bars):
        top = i * ROW_HEIGHT
        end = (WIDTH - 24) * min(length or 0, 1)
        bar = [] if length is None else [element("rect", x=8, y=top + BAR_TOP - 4, width=_n(end), height=8, rx=2)]
        mark = sign(row.look.marker, 8 + end, top + BAR_TOP, 6)
        parts.append(element("g", *bar, mark, class_=f"net{row.look.index}"))
        parts.append(_label(8, top + 14, shorten(row.name, LONGEST_NAME), "start", "name"))
        parts.append(_label(WIDTH - 8, top + 14, text, "end", "value"))
        x = 8 + (WIDTH - 24) * guess
        parts.append(_rule(x, top + BAR_TOP - 7, x, top + BAR_TOP + 8, "guess"))
    anchor = "start" if guess < 0.2 else "end" if guess > 0.8 else "middle"
    parts.append(_label(x, height - 16, guess_text, anchor))
    told = "; ".join(f"{row.name}: {text}" for row, _, text in bars)
    return chart(identity, title, f"{told}. {guess_text}.", height, *parts)


def shares(bars: Sequence[ForkBar]) -> Markup:
    """Share of each residual fork's gradient that takes the skip; the scale ends at 100 % or at the largest share."""
    row, names = 18, 118
    low = min([0.0, *(bar.share for bar in bars if bar.share is not None)])
    high = max([1.0, *(bar.share for bar in bars if bar.share is not None)])
    room = WIDTH - names - 104

    def place(value: float) -> float:
        return names + room * (value - low) / (high - low)

    parts: list[Markup] = []
    for i, bar in enumerate(bars):
        y = i * row + 6
        parts.append(_label(names - 6, y + 10, shorten(bar.name, LONGEST_FORK), "end", "small"))
        if bar.share is not None:
            x, end = sorted((place(0), place(bar.share)))
            parts.append(element("rect", x=_n(x), y=y, width=_n(end - x), height=12, class_="share"))
        parts.append(_label(WIDTH - 50, y + 10, bar.text, "end", "small"))
        parts.append(_label(WIDTH - 4, y + 10, bar.cancellation, "end", "small"))
    bottom = row * len(bars) + 8
    height = bottom + 18
    parts += [_rule(place(0), 2, place(0), bottom, "axis"), _rule(place(1), 2, place(1), bottom, "guess")]
    parts.append(_label(place(1), bottom + 13, "100 %", "middle", "small"))
    parts.append(_label(WIDTH - 50, bottom + 13, "share", "end", "small"))
    parts.append(_label(WIDTH - 4, bottom + 13, "cancels", "end", "small"))
    told = "; ".join(f"{bar.name}: {bar.text}, cancellation {bar.cancellation}" for bar in bars)
    return chart("shares", figures.SHARE_TITLE, f"{figures.SHARE_NOTE}. {told}.", height, *parts)


def key(rows: Sequence[Row] | Sequence[Line]) -> Markup:
    """A list of the nets with the line and the sign that each has in the charts."""
    return element("ul", *(element("li", _sample(row), row.name) for row in rows), class_="key")


def _sample(row: Row | Line) -> Markup:
    dashes = " ".join(_n(d * 2) for d in row.look.dashes) or None
    stroke = element("polyline", points="1,8 39,8", class_="line", stroke_dasharray=dashes)
    body = element("g", stroke, sign(row.look.marker, 20, 8, 5), class_=f"net{row.look.index}")
    return element("svg", body, viewBox="0 0 40 16", width=40, height=16, class_="chart", aria_hidden="true")


_CORNERS = {"^": (3, -90.0), "v": (3, 90.0), "D": (4, -90.0), "s": (4, -45.0), "p": (5, -90.0)}
"""Sign → (corners, direction of the first in degrees)."""


def sign(marker: str, x: float, y: float, radius: float) -> Markup:
    """One of matplotlib's signs: o s D ^ v p, and the crosses X and P (filled) and x."""
    if marker in _CORNERS:
        corners, turn = _CORNERS[marker]
        angles = (math.radians(turn + 360 * i / corners) for i in range(corners))
        spots = [(x + 1.25 * radius * math.cos(a), y + 1.25 * radius * math.sin(a)) for a in angles]
        return element("polygon", points=" ".join(f"{_n(a)},{_n(b)}" for a, b in spots))
    if marker == "o":
        return element("circle", cx=_n(x), cy=_n(y), r=_n(radius))
    arms = ((1, 1), (1, -1)) if marker in "xX" else ((1, 0), (0, 1))
    strokes = (_rule(x - radius * a, y - radius * b, x + radius * a, y + radius * b, "cross") for a, b in arms)
    return joined(*strokes)


def _x(place: float) -> float:
    return LEFT + 8 + place * (WIDTH - LEFT - RIGHT - 16)


def _y(place: float) -> float:
    return TOP + (1 - place) * PLOT_HEIGHT


def _n(value: float) -> str:
    """A coordinate: two decimals are finer than any screen."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _rule(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return element("line", x1=_n(x1), y1=_n(y1), x2=_n(x2), y2=_n(y2), class_=kind)


def _label(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> Markup:
    return element("text", text, x=_n(x), y=_n(y), text_anchor=anchor, class_=kind)
