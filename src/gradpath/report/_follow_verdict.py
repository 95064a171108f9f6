"""A watched run in one sentence: what is broken, what grows or shrinks, at which layer, since when; at what cost.

Thresholds: a value has moved when it is `record.MOVED` (3) times its own median over the reports before. A profile
vanishes or explodes over more decades than `gradpath.trace` allows (docs/findings.md): 3, or 2.5 · log10 of the number
of weighted layers, as a watch does not know whether the net is residual. No shapes are known here: so the profile is
the median step from layer to layer, which a down-sampling or a pooled head does not change, times the depth.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from itertools import pairwise

from gradpath import units
from gradpath.record import Move, WatchHeader, WatchReport
from gradpath.record._watch import FEWEST, MOVED
from gradpath.report import _facts as facts
from gradpath.report._grid import shorten
from gradpath.report._say import say

_DECADES, _POWER = 3.0, 2.5
_FEWEST_LAYERS = 4
_LONGEST_NAME = 32


def verdict(header: WatchHeader, reports: Sequence[WatchReport], moved: Sequence[Move]) -> str:
    """One sentence of the newest report; `moved` are its moves (`record.moves`), furthest first."""
    found = _broken(header, reports)
    if not found:
        found = [*_risen_loss(reports), *_moved(header, reports, moved), *_profile(header, reports)][:2]
    text = say("; ", "；").join(found or [_calm(reports)])
    return text[0].upper() + text[1:] + _cost(header, reports[-1])


def _broken(header: WatchHeader, reports: Sequence[WatchReport]) -> list[str]:
    """What is not finite, forward before backward: the rest of the numbers mean nothing then."""
    last = reports[-1]
    for what, values in (("output", last.log10_activation_rms), ("gradient", last.log10_gradient_rms)):
        bad = [i for i, value in enumerate(values) if _is_broken(value)]
        if bad:
            i = bad[0] if what == "output" else bad[-1]  # where it began
            column = _column(reports, i, "activation" if what == "output" else "gradient")
            others = _others(len(bad) - 1, "more layer")
            since, name = _since(reports, map(_is_broken, column)), _name(header, i)
            return [
                say(
                    f"the {what} of {name} is not finite{others}, {since}",
                    f"{name} 的{quantity_zh(what)}非有限{others}，{since}",
                )
            ]
    losses = [(step, not math.isfinite(loss)) for step, loss in _losses(reports)]
    if not (losses and losses[-1][1]):
        return []
    since = _since_step(losses)
    return [say(f"the loss is not finite, {since}", f"损失非有限，{since}")]


def _others(count: int, noun: str) -> str:
    if count < 1:
        return ""
    layers = facts.counted(count, noun)
    return say(f" (and at {layers})", f"（另有{layers}）")


def quantity_zh(name: str) -> str:
    """What a watch measures, in Chinese."""
    return {"output": "输出", "gradient": "梯度", "activation": "激活值"}.get(name, name)


def _risen_loss(reports: Sequence[WatchReport]) -> list[str]:
    losses = [(step, loss) for step, loss in _losses(reports) if math.isfinite(loss)]
    if len(losses) <= FEWEST:
        return []
    median = statistics.median(loss for _, loss in losses[:-1])
    if not 0 < MOVED * median < losses[-1][1]:
        return []
    since = _since_step([(step, loss > MOVED * median) for step, loss in losses])
    times = _two(losses[-1][1] / median)
    return [say(f"the loss has risen to {times} times its median, {since}", f"损失升到其中位数的 {times} 倍，{since}")]


def _moved(header: WatchHeader, reports: Sequence[WatchReport], found: Sequence[Move]) -> list[str]:
    """The layer that is furthest from its own median, and how many others went the same way."""
    if not found or found[0].size <= MOVED:
        return []
    worst = found[0]
    alike = [m for m in found if m.quantity == worst.quantity and m.size > MOVED and (m.ratio > 1) == (worst.ratio > 1)]
    i = next(i for i, layer in enumerate(header.layers) if layer.scope == worst.scope)
    column = _column(reports, i, worst.quantity)
    median = statistics.median(value for value in column[:-1] if value is not None and math.isfinite(value))
    sign, limit = (1 if worst.ratio > 1 else -1), math.log10(MOVED)
    since = _since(reports, (value is not None and sign * (value - median) > limit for value in column))
    others, what, how, name = (
        _others(len(alike) - 1, "other layer"),
        worst.quantity,
        _how(worst.ratio),
        _name(header, i),
    )
    return [say(f"the {what} {how} at {name}{others}, {since}", f"{name} 的{quantity_zh(what)}{how}{others}，{since}")]


def _how(ratio: float) -> str:
    """'has grown 100-fold', 'has shrunk to 0.01 of itself', 'has become exactly 0'."""
    if ratio == 0:
        return say("has become exactly 0", "变为恰好 0")
    size = _two(ratio)
    if ratio > 1:
        return say(f"has grown {size}-fold", f"增大到 {size} 倍")
    return say(f"has shrunk to {size} of itself", f"缩小到原来的 {size}")


def _profile(header: WatchHeader, reports: Sequence[WatchReport]) -> list[str]:
    """Whether the gradient vanishes or explodes on its way from the layer before the head to the stem."""
    places = [i for i, layer in enumerate(header.layers) if layer.weighted]
    reached = [i for i in places if _is_number(reports[-1].log10_gradient_rms[i])]
    decades = _decades(reports[-1], reached)
    if not decades:
        return []
    size = _power(decades)
    shrinks = say(f"shrinks to {size} of itself", f"缩小到原来的 {size}")
    verb = shrinks if decades < 0 else say(f"grows {size}-fold", f"增大到 {size} 倍")
    same = (_decades(report, reached) * decades > 0 for report in reports)
    last, first, since = _name(header, reached[-2]), _name(header, reached[0]), _since(reports, same)
    return [
        say(
            f"the gradient {verb} from {last} back to {first}, {since}", f"梯度从 {last} 往回到 {first} {verb}，{since}"
        )
    ]


def _decades(report: WatchReport, places: Sequence[int]) -> float:
    """From the last layer before the head to the first; 0 where that, or the median step times the depth, is within
    what a healthy net may have, or where they do not agree on a direction."""
    levels = [value for i in places if (value := report.log10_gradient_rms[i]) is not None and math.isfinite(value)]
    if len(levels) < max(_FEWEST_LAYERS, len(places)):
        return 0.0
    typical = statistics.median(front - behind for front, behind in pairwise(levels)) * (len(levels) - 1)
    ends, limit = levels[0] - levels[-2], max(_DECADES, _POWER * math.log10(len(levels)))
    return ends if typical * ends > 0 and min(abs(typical), abs(ends)) > limit else 0.0


def _power(decades: float) -> str:
    return _two(10.0**decades) if abs(decades) < 300 else f"1e{decades:.0f}"


def _two(value: float) -> str:
    """Two digits: '7300', '0.012'."""
    return units.number(float(f"{value:.1e}"), 2)


def _calm(reports: Sequence[WatchReport]) -> str:
    if len(reports) <= FEWEST:
        now, first = len(reports), FEWEST + 1
        return say(
            f"too early to say which layers move: report {now} of the first {first}",
            f"还太早，看不出哪些层在变动：前 {first} 份报告中的第 {now} 份",
        )
    times, before = f"{MOVED:g}", len(reports) - 1
    return say(
        f"calm: every layer is within {times} times its own median of {before} reports",
        f"平静：每一层都在自己 {before} 份报告中位数的 {times} 倍以内",
    )


def _cost(header: WatchHeader, last: WatchReport) -> str:
    """'; overhead 0.4 %', and that it is above what was asked for."""
    if last.overhead is None:
        return ""
    over = header.every is None and last.overhead > header.max_overhead
    cost, most = units.percent(last.overhead), units.percent(header.max_overhead)
    above = say(f", above {most}", f"，超过 {most}") if over else ""
    return say(f"; overhead {cost}{above}", f"；开销 {cost}{above}")


def _column(reports: Sequence[WatchReport], layer: int, quantity: str) -> list[float | None]:
    """One layer's values over all reports."""
    if quantity == "gradient":
        return [report.log10_gradient_rms[layer] for report in reports]
    return [report.log10_activation_rms[layer] for report in reports]


def _losses(reports: Sequence[WatchReport]) -> list[tuple[int, float]]:
    """(step, loss) of every step, oldest first."""
    return [
        (step, loss)
        for report in reports
        for step, loss in enumerate(report.losses, report.step - len(report.losses) + 1)
    ]


def _since(reports: Sequence[WatchReport], holds: Iterable[bool]) -> str:
    return _since_step([(report.step, held) for report, held in zip(reports, holds, strict=True)])


def _since_step(held: Sequence[tuple[int, bool]]) -> str:
    """'since step 9': the first of the unbroken run at the end, the newest included."""
    first = held[-1][0]
    for step, holds in reversed(held[:-1]):
        if not holds:
            break
        first = step
    return say(f"since step {first:,}", f"从第 {first:,} 步起")


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _is_broken(value: float | None) -> bool:
    return value is not None and (math.isnan(value) or value == math.inf)


def _name(header: WatchHeader, i: int) -> str:
    """'blocks.7.conv'; 'layer 36' for a Sequential's bare number."""
    scope = facts.printable(header.layers[i].scope) or header.layers[i].module
    number = say("layer ", "层 ") if scope.replace(".", "").isdigit() else ""
    return number + shorten(scope, _LONGEST_NAME)
