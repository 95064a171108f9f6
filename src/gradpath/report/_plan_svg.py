"""A plan as a standalone SVG: light and dark, no script, nothing to load."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from gradpath.record import Plan
from gradpath.report import _plan_figures as figures
from gradpath.report import _plan_words as words
from gradpath.report._circuit_marks import n, style, text
from gradpath.report._markup import Markup, element
from gradpath.report._plan_figures import CurvePanel, StepPanel, Tick

WIDTH, HEIGHT = 980, 452
_STEP = (86, 96, 470, 250)
"""Left, top, width and height of the first panel's axes; pixels."""
_CURVE = (676, 96, 280, 250)
_TITLE_CHARACTERS = 92
_STRIP = 7
_ONE_LINE = 20
"""Pixels that a line of text needs inside a band."""
_RULES = """
text.title{font-size:17px}
text.panel{font-size:14px;font-weight:600}
text.tick{font-size:11px;fill:var(--pale)}
text.note{font-size:12px}
.paper{paint-order:stroke;stroke:var(--page);stroke-width:4px;stroke-linejoin:round}
rect.value{fill:var(--value)}
path.forward{fill:var(--value);stroke:none}
path.backward{fill:var(--gradient);stroke:none}
rect.always{fill:var(--box);stroke:var(--edge)}
path.peak{fill:var(--ink);stroke:none}
line{stroke:var(--edge)}
line.grid{opacity:.35}
line.budget{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:7 4}
path.curve{stroke:var(--value);stroke-width:2.2}
path.theory{stroke:var(--pale);stroke-width:1.5;stroke-dasharray:2 4}
circle.own{fill:var(--gradient);stroke:var(--page);stroke-width:1.5}
rect.all{fill:var(--ink);stroke:var(--page);stroke-width:1.5}
"""
Box = tuple[float, float, float, float]


def plan_svg(plan: Plan, theme: str = "auto") -> str:
    """Both panels below the headline. `theme` is 'light', 'dark' or 'auto' for the reader's own setting."""
    lines = textwrap.wrap(words.headline(plan), _TITLE_CHARACTERS)[:2]
    return "<svg" + element(
        "svg",
        element("title", words.headline(plan)),
        element("style", style(theme, _RULES)),
        element("rect", class_="page", x=0, y=0, width=WIDTH, height=HEIGHT),
        *(text(20, 30 + 22 * i, line, "title") for i, line in enumerate(lines)),
        *_panels(plan),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        role="img",
    ).removeprefix("<svg")


def _panels(plan: Plan) -> Iterator[Markup]:
    step, curve = figures.step_panel(plan), figures.curve_panel(plan)
    if step is not None:
        yield from _step(step)
    if curve is not None:
        yield from _curve(curve)
    elif step is None:
        yield text(_STEP[0], _STEP[1], "neither moves nor layers are known", "pale")


def _frame(box: Box, title: str) -> Iterator[Markup]:
    left, top, width, height = box
    yield text(left, top - 18, title, "panel")
    yield element("line", x1=n(left), y1=n(top + height), x2=n(left + width), y2=n(top + height))


def _up_ticks(box: Box, ticks: Sequence[Tick]) -> Iterator[Markup]:
    left, top, width, height = box
    for place, said in ticks:
        y = top + height * (1 - place)
        yield element("line", class_="grid", x1=n(left), y1=n(y), x2=n(left + width), y2=n(y))
        yield text(left - 8, y + 4, said, "tick end")


def _step(panel: StepPanel) -> Iterator[Markup]:
    left, top, width, height = _STEP
    step, bottom = panel.step, top + height
    bar = width / len(step.heights)
    yield from _frame(_STEP, figures.STEP_TITLE)
    yield from _up_ticks(_STEP, panel.ticks)
    for look, columns in (("forward", range(step.forward)), ("backward", range(step.forward, len(step.heights)))):
        outline = _outline([panel.height(step.heights[i]) for i in columns], left + bar * columns.start, bar)
        if outline:
            yield element("path", class_=look, d=outline)
    yield from _always(panel)
    yield from _strip(panel, bar)
    yield from _passes(panel, bar)
    if panel.budget is not None:
        y = top + height * (1 - panel.budget)
        yield element("line", class_="budget", x1=n(left), y1=n(y), x2=n(left + width), y2=n(y))
        yield text(left + 6, y - 6, panel.budget_text, "note paper")
    yield from _peak(panel, bar)
    yield text(left + width, bottom + 56, f"{step.moves:,} moves in the order of the step", "tick end")


def _always(panel: StepPanel) -> Iterator[Markup]:
    """What no plan changes, as a band at the bottom; its words where it is high enough for them."""
    left, top, width, height = _STEP
    y = top + height * (1 - panel.always)
    yield element("rect", class_="always", x=n(left), y=n(y), width=n(width), height=n(height * panel.always))
    if height * panel.always >= _ONE_LINE:
        yield text(left + 6, y + 14, panel.always_text, "note")


def _outline(heights: Sequence[float], left: float, bar: float) -> str:
    """A closed outline over bars; '' for none."""
    if not heights:
        return ""
    bottom = _STEP[1] + _STEP[3]
    tops = (f"V{n(bottom - _STEP[3] * height)}H{n(left + bar * (i + 1))}" for i, height in enumerate(heights))
    return f"M{n(left)} {n(bottom)}{''.join(tops)}V{n(bottom)}Z"


def _strip(panel: StepPanel, bar: float) -> Iterator[Markup]:
    """Below the axis: where forwards are done again; darker where they are more of the moves."""
    y = _STEP[1] + _STEP[3] + 5
    if not any(panel.step.again):
        return
    for i, share in enumerate(panel.step.again):
        if share:
            x = _STEP[0] + bar * i
            yield element(
                "rect", class_="value", x=n(x), y=n(y), width=n(bar + 0.1), height=_STRIP, opacity=f"{share:.2f}"
            )
    x = _STEP[0] + bar * next(i for i, share in enumerate(panel.step.again) if share)
    yield text(x, y + _STRIP + 14, f"▸ {figures.AGAIN_NOTE}", "tick")


def _passes(panel: StepPanel, bar: float) -> Iterator[Markup]:
    bottom = _STEP[1] + _STEP[3]
    yield text(_STEP[0], bottom + 38, "▸ forward", "value note")
    yield text(_STEP[0] + bar * panel.step.forward, bottom + 38, "◂ backward", "gradient note")


def _peak(panel: StepPanel, bar: float) -> Iterator[Markup]:
    x = _STEP[0] + bar * (panel.step.peak + 0.5)
    y = _STEP[1] + _STEP[3] * (1 - panel.height(max(panel.step.heights)))
    left = panel.step.peak > len(panel.step.heights) / 2
    yield element("path", class_="peak", d=f"M{n(x)} {n(y - 1)}l-5 -8h10Z")
    yield text(x - 10 if left else x + 10, y - 3, panel.peak_text, "note paper end" if left else "note paper")


def _curve(panel: CurvePanel) -> Iterator[Markup]:
    left, top, width, height = _CURVE
    yield from _frame(_CURVE, figures.CURVE_TITLE)
    yield text(left + width, top - 4, figures.TIME_NOTE, "tick end")
    yield from _up_ticks(_CURVE, panel.time_ticks)
    for place, said in panel.memory_ticks:
        yield text(left + width * place, top + height + 18, said, "tick middle")
    yield text(left, top + height + 36, figures.MEMORY_AXIS, "tick")
    if panel.budget is not None:
        x = left + width * panel.budget
        yield element("line", class_="budget", x1=n(x), y1=n(top), x2=n(x), y2=n(top + height))
    if panel.theory:
        yield element("path", class_="theory", d=_path(panel.theory))
    if panel.line:
        yield element("path", class_="curve", d=_path(panel.line))
    yield from _marks(panel)


def _marks(panel: CurvePanel) -> Iterator[Markup]:
    """This plan as a circle, keeping everything as a square; what they are stands below the axis."""
    left, below = _CURVE[0] + 20, _CURVE[1] + _CURVE[3] + 56
    for look, place, said, y in (
        ("all", panel.everything, panel.everything_text, below + 18),
        ("own", panel.own, panel.own_text, below),
    ):
        yield from (_mark(look, *_spot(place)), _mark(look, left - 12, y - 4), text(left, y, said, "note"))
    if panel.theory:
        y = below + 36
        yield element("path", class_="theory", d=f"M{n(left - 20)} {n(y - 4)}h16")
        yield text(left, y, figures.THEORY_NOTE, "note")


def _mark(look: str, x: float, y: float) -> Markup:
    if look == "own":
        return element("circle", class_=look, cx=n(x), cy=n(y), r=6)
    return element("rect", class_=look, x=n(x - 5), y=n(y - 5), width=10, height=10)


def _spot(place: tuple[float, float]) -> tuple[float, float]:
    return _CURVE[0] + _CURVE[2] * place[0], _CURVE[1] + _CURVE[3] * (1 - place[1])


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{n(x)} {n(y)}" for x, y in map(_spot, places))
