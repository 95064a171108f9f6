"""What is said below a flow's numbers: means over several batches, what was not seen, what was assumed."""

from __future__ import annotations

from collections.abc import Sequence

from gradpath import units
from gradpath.record import Statistic, Unseen
from gradpath.report import _facts as facts
from gradpath.report._say import listed, say

NAMED = 4
"""Names of a group that are told; the others are counted."""


def statistics_lines(statistics: Sequence[Statistic]) -> list[str]:
    """Mean ± standard error over the batches, of what describes the whole net; empty for one batch."""
    whole = [s for s in statistics if not s.name.startswith("log10_gradient_rms of ")]
    if not whole:
        return []
    said = say("; ", "；").join(f"{facts.printable(quantity(s.name))} {mean_text(s)}" for s in whole)
    batches = max(s.n for s in whole)
    return [
        "",
        say(f"Over {batches} batches (mean ± standard error): {said}", f"{batches} 个批次（平均 ± 标准误）：{said}"),
    ]


_QUANTITIES = {
    "loss": "损失", "stem over head": "首尾之比", "skip share": "跳跃占比", "effective depth": "有效深度",
    "log10 stem gradient norm": "首层梯度范数的 log10", "stem gradient norm": "首层的梯度范数",
}  # fmt: skip


def quantity(name: str) -> str:
    """'stem over head' of the field stem_over_head."""
    spaced = name.replace("_", " ")
    if spaced.startswith("gain "):
        place = spaced.removeprefix("gain ").removeprefix("at ")
        return say(spaced, "线性层的增益" if place == "of linear layers" else f"{place} 处的增益")
    return say(spaced, _QUANTITIES.get(spaced, spaced))


def mean_text(statistic: Statistic) -> str:
    """'4.21 ± 0.12'."""
    return f"{units.number(statistic.mean, 3)} ± {units.number(statistic.standard_error, 2)}"


def unseen_lines(unseen: Unseen) -> list[str]:
    """What the trace did not see, a line each; empty where it saw everything."""
    groups = (
        (say("modules never called", "从未调用的模块"), unseen.modules_not_called),
        (say("layers without gradient", "没有梯度的层"), unseen.layers_without_gradient),
        (say("parameters without gradient", "没有梯度的参数"), unseen.parameters_without_gradient),
        (say("opaque operations", "不透明的运算"), unseen.opaque),
    )
    return [
        say(f"{title} ({len(names)}): {_few(names)}", f"{title}（{len(names)}）：{_few(names)}")
        for title, names in groups
        if names
    ]


def note_lines(unseen: Unseen) -> list[str]:
    """What was assumed or done on the way, a line each."""
    return [facts.printable(note) for note in unseen.notes]


def titled(lines: Sequence[str], title: str) -> list[str]:
    """A gap, the title, the lines; nothing where there are none."""
    return ["", title, *lines] if lines else []


def _few(names: tuple[str, ...]) -> str:
    shown, more = listed([facts.printable(name) for name in names[:NAMED]]), len(names) - NAMED
    return say(f"{shown}, … {more} more", f"{shown}，… 还有 {more} 个") if more > 0 else shown
