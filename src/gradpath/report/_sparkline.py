"""The depth profile in one line of text: gradient RMS from stem to head, log scale, resolutions marked below."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradpath.record import Layer
from gradpath.report._columns import log10_text
from gradpath.report._grid import wrap
from gradpath.report._say import say

LEVELS = "▁▂▃▄▅▆▇█"
ZERO, BROKEN, UNREACHED = "0", "!", "-"
_MEANING = {ZERO: ("exactly 0", "恰为 0"), BROKEN: ("not finite", "非有限"), UNREACHED: ("no gradient", "无梯度")}
LEAST_DECADES = 1.0
"""The scale covers at least this much, so that a flat profile looks flat."""
MOST_COLUMNS = 100
_FEWEST = 3


def sparkline(layers: Sequence[Layer], width: int) -> list[str]:
    """A title, the line and the resolutions; nothing for fewer than three weighted layers.

    Where there are more layers than columns, a column is the mean of the log10 of its layers.
    """
    shown = [layer for layer in layers if layer.weighted]
    columns = min(width - 2, MOST_COLUMNS, len(shown))
    if columns < _FEWEST:
        return []
    groups = [shown[i * len(shown) // columns : (i + 1) * len(shown) // columns] for i in range(columns)]
    values = [_value([layer.log10_gradient_rms for layer in group]) for group in groups]
    finite = [value for value in values if isinstance(value, float)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    line = "".join(value if isinstance(value, str) else _level(value, low, high) for value in values)
    rows = [line, _ruler([group[0].resolution for group in groups], width - 2)]
    legend = "".join(f"{say(', ', '，')}{sign} {say(*meaning)}" for sign, meaning in _MEANING.items() if sign in line)
    scale = _scale(low, high) if finite else say("no finite value", "没有有限值")
    title = say(f"Gradient RMS, stem to head ({scale}{legend})", f"梯度均方根，从首层到头部（{scale}{legend}）")
    return [*wrap(title, width, indent="  "), *(f"  {row}" for row in rows if row)]


def _scale(low: float, high: float) -> str:
    least, most = log10_text(low, 2), log10_text(high, 2)
    return say(f"{least} to {most}, log scale", f"{least} 到 {most}，对数刻度")


def _value(values: Sequence[float | None]) -> float | str:
    """The mean of log10 values, or the sign of what is no finite value."""
    known = [value for value in values if value is not None]
    if any(math.isnan(value) or value == math.inf for value in known):
        return BROKEN
    finite = [value for value in known if value > -math.inf]
    return sum(finite) / len(finite) if finite else ZERO if known else UNREACHED


def _level(value: float, low: float, high: float) -> str:
    span = max(high - low, LEAST_DECADES)
    middle = (low + high) / 2
    place = (value - middle) / span + 0.5
    return LEVELS[min(int(place * len(LEVELS)), len(LEVELS) - 1)]


def _ruler(resolutions: Sequence[str], width: int) -> str:
    """'|32x32    |16x16   |8x8': a mark where the resolution changes, its name where there is room; '' without any."""
    if not any(resolutions):
        return ""
    starts = [i for i, name in enumerate(resolutions) if i == 0 or name != resolutions[i - 1]]
    ends = [*starts[1:], width]
    marks = []
    for start, end in zip(starts, ends, strict=True):
        name = resolutions[start]
        marks.append(("|" + name if len(name) < end - start - 1 or end == width else "|").ljust(end - start))
    return "".join(marks)[:width].rstrip()
