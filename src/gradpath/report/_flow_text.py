"""A traced model as plain text: over ssh, this screen is the whole product."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.cells import set_cell_size

from gradpath import units
from gradpath.record import Expectation, Finding, Flow, Fork, Gain, Layer, TriedChange
from gradpath.report import _columns as columns
from gradpath.report import _facts as facts
from gradpath.report import _findings_words as findings_words
from gradpath.report._flow_notes import note_lines as note_lines
from gradpath.report._flow_notes import quantity as quantity
from gradpath.report._flow_notes import statistics_lines as statistics_lines
from gradpath.report._flow_notes import titled as titled
from gradpath.report._flow_notes import unseen_lines as unseen_lines
from gradpath.report._grid import table, wrap
from gradpath.report._headline import flow_headline
from gradpath.report._say import listed, say
from gradpath.report._sparkline import sparkline

FOLD = 4
"""Rows shown at either end of a long table."""
WORST = 5
"""Layers named as least fed."""
MORE_FINDINGS = 4
"""Findings told beside the worst one, in a line each."""
_LABEL = 9
"""Cells before the text of a finding's details."""
T = TypeVar("T")


def flow_text(flow: Flow, width: int = 80) -> str:
    """The verdict, where, why, what would cure it; the numbers; the profile over depth; what was not seen."""
    lines = [*verdict_lines(flow, width), *_section(sparkline(flow.layers, width)), ""]
    for line in flow_facts(flow):
        lines += wrap(line, width, indent="  ")
    lines += _worst(flow.layers, width)
    lines += _forks(flow, width)
    for line in (*statistics_lines(flow.statistics), *titled(unseen_lines(flow.unseen), say("Not seen", "没有看到的"))):
        lines += wrap(line, width, indent="  ")
    for line in titled(note_lines(flow.unseen), say("Notes", "备注")):
        lines += wrap(line, width, indent="  ")
    return "\n".join(lines) + "\n"


def _section(lines: Sequence[str]) -> list[str]:
    return ["", *lines] if lines else []


def verdict_lines(flow: Flow, width: int) -> list[str]:
    """The worst finding and its cures, the others in short; effective depth first in what follows."""
    if not flow.findings:
        lines = wrap(verdict(flow), width)
        return lines + [line for what in tried_lines(flow) for line in labelled("tried", what, width)]
    others = flow.findings[1:]
    lines = wrap(verdict(flow), width)
    for what, text in (*details(flow), *(("tried", line) for line in tried_lines(flow))):
        lines += labelled(what, text, width)
    for other in others[:MORE_FINDINGS]:
        lines += wrap(f"{say('Also', '另外：')} {finding_title(other)}", width, indent="  ")
    if len(others) > MORE_FINDINGS:
        rest = others[MORE_FINDINGS:]
        kinds = listed(list(dict.fromkeys(facts.printable(findings_words.kind(finding.kind)) for finding in rest)))
        more = facts.counted(len(rest), "more finding")
        lines += wrap(say(f"… {more} ({kinds})", f"… {more}（{kinds}）"), width)
    return [*lines, "", *wrap(flow_headline(flow), width)]


def verdict(flow: Flow) -> str:
    """The worst finding's sentence; for a healthy model 'No finding.' with the numbers that matter."""
    if flow.findings:
        return facts.printable(findings_words.told(flow.findings[0]).sentence)
    alarming = not flow.was_searched and facts.fate(flow) in ("vanished", "exploded", "not finite")
    net = flow_headline(flow)
    return net if alarming else say(f"No finding. {net}", f"没有发现问题。{net}")


def details(flow: Flow) -> Iterator[tuple[str, str]]:
    """(what, text) of the worst finding: where, why, cure, and the changes worth trying that were not tried."""
    finding, told = flow.findings[0], findings_words.told(flow.findings[0])
    if finding.where:
        yield "where", facts.printable(finding.where)
    if told.evidence:
        yield "why", facts.printable(told.evidence)
    if told.remedy:
        yield "cure", facts.printable(told.remedy)
    done = {what.change for what in flow.tried}
    if untried := [cure for cure in finding.cures if cure not in done]:
        yield "try", " ".join(f"--try {facts.printable(cure)}" for cure in untried)


def tried_lines(flow: Flow) -> Iterator[str]:
    """'init=he: with He initialisation conv1 receives 0.4 instead of 6e-11; no finding is left', and what could not
    be changed: one line for each change that was simulated."""
    for what in flow.tried:
        more = "; ".join(note for note in what.notes if note not in what.sentence)
        sentence = findings_words.change_told(what)
        told = say(
            f"{what.change}: {sentence}{f' ({more})' if more else ''}",
            f"{what.change}：{sentence}{f'（{more}）' if more else ''}",
        )
        yield facts.printable(f"{told}{_left(flow, what)}")


def _left(flow: Flow, what: TriedChange) -> str:
    """Whether the change cures: which findings are left of those that the model has as it is, and which are new."""
    if what.findings is None or not (flow.findings or what.findings):
        return ""
    if not what.findings:
        return say("; no finding is left", "；不再有问题")
    had = {finding.kind for finding in flow.findings}
    left = [kind for kind in dict.fromkeys(what.findings) if kind in had]
    new = [kind for kind in dict.fromkeys(what.findings) if kind not in had]
    still, now = (listed([findings_words.kind(kind) for kind in kinds]) for kinds in (left, new))
    return (say(f"; still {still}", f"；仍有{still}") if left else "") + (
        say(f"; now {now}", f"；新出现{now}") if new else ""
    )


_LABELS = {
    "where": "位置", "why": "原因", "cure": "对策", "try": "可试", "tried": "试过", "also": "另外", "net": "网络",
    "plan": "规划", "setting": "设定",
}  # fmt: skip


def label(what: str) -> str:
    """'where', 'why', 'cure' …"""
    return say(what, _LABELS[what])


def labelled(what: str, text: str, width: int) -> list[str]:
    """'  where  stem.conv', further lines below the text."""
    first, *others = wrap(text, width - _LABEL)
    return [f"  {set_cell_size(label(what), _LABEL - 2)}{first}", *(" " * _LABEL + line for line in others)]


def finding_title(finding: Finding) -> str:
    """'dead units at stages.2: 40 % of the units …'."""
    kind, told = findings_words.kind(finding.kind), findings_words.told(finding).sentence
    where = finding.where
    at = say(f"{kind} at {where}", f"{where} 处{kind}") if where else kind
    return facts.printable(say(f"{at}: {told}", f"{at}：{told}"))


def flow_facts(flow: Flow) -> list[str]:
    """The numbers of the whole net, a line each."""
    loss, autocast, device = facts.ratio_text(flow.loss, 4), flow.autocast, facts.printable(flow.device)
    stem, ratio = columns.log10_text(flow.log10_stem_gradient_norm), facts.ratio_text(flow.stem_over_head)
    lines = [
        say(
            f"loss {loss}; mode {flow.mode}, {flow.dtype}, autocast {autocast or 'off'}, {device}",
            f"损失 {loss}；模式 {flow.mode}，{flow.dtype}，autocast {autocast or '关'}，{device}",
        ),
        say(f"gradient norm at the stem {stem}; stem over head {ratio}", f"首层的梯度范数 {stem}；首尾之比 {ratio}"),
    ]
    if flow.skip_share is not None:
        lines.append(skip_share_text(flow))
    if facts.paths_cancel(flow):
        lines.append(
            say(
                "effective depth: paths of opposite sign cancel, so no average is given",
                "有效深度：符号相反的路径相互抵消，所以不给出平均值",
            )
        )
    lines += [gain_text(gain) + _theory(flow, gain) for gain in flow.gain_per_layer]
    return lines + [_block_theory(expected) for expected in flow.expected if expected.unit == "block"]


def _theory(flow: Flow, gain: Gain) -> str:
    """What theory expects of a gain: '; theory expects ×0.167 (ReLU σ²/2)'; '' where it says nothing."""
    for expected in flow.expected:
        if expected.unit == "layer" and expected.resolution == gain.resolution and facts.trend(gain):
            band = expected_text(expected)
            return say(f"; theory expects {band}", f"；理论预期 {band}")
    return ""


def _block_theory(expected: Expectation) -> str:
    """'at 28x28: gradient energy ×1.2 per residual block going backward; theory expects ×1.3 ± 12 % (…)'."""
    where, measured = facts.place(expected.resolution), facts.ratio_text(expected.measured)
    band = expected_text(expected)
    return say(
        f"{where}: gradient energy ×{measured} per residual block going backward; theory expects {band}",
        f"{where}：往回每经过一个残差块，梯度能量 ×{measured}；理论预期 {band}",
    )


def expected_text(expected: Expectation) -> str:
    """'×0.167 ± 12 % (ReLU σ²/2)'."""
    band = f" ± {100 * expected.tolerance:.0f} %" if expected.tolerance else ""
    gain, rule = units.number(expected.energy_gain, 3), facts.printable(expected.rule)
    return say(f"×{gain}{band} ({rule})", f"×{gain}{band}（{rule}）")


def skip_share_text(flow: Flow) -> str:
    """'skip share 43.4 % (mean over 27 residual forks, mean cancellation 12.0 %)'."""
    forks = facts.counted(len(flow.residual_forks), "residual fork")
    cancellation = facts.percent_text(facts.mean_cancellation(flow))
    share = facts.percent_text(flow.skip_share)
    return say(
        f"skip share {share} (mean over {forks}; mean cancellation {cancellation})",
        f"跳跃占比 {share}（{forks}的平均；平均抵消程度 {cancellation}）",
    )


def gain_text(gain: Gain) -> str:
    """'at 28x28: gradient energy ×1.38 per layer going backward (RMS ×1.17; 19 layers, r² 0.98)'."""
    where, layers = facts.place(gain.resolution), facts.counted(gain.layers, "layer")
    if not (math.isfinite(gain.energy_gain) and gain.energy_gain >= 0):
        return say(f"{where}: gain not finite ({layers})", f"{where}：增益非有限（{layers}）")
    r_squared = "" if gain.r_squared is None else f"r² {facts.ratio_text(gain.r_squared, 2)}"
    if not facts.trend(gain):
        return say(
            f"{where}: no clear trend ({layers}, {r_squared})", f"{where}：没有明显趋势（{layers}，{r_squared}）"
        )
    fit = r_squared and say(f", {r_squared}", f"，{r_squared}")
    energy, rms = units.number(gain.energy_gain, 3), units.number(gain.rms_gain, 3)
    return say(
        f"{where}: gradient energy ×{energy} per layer going backward (RMS ×{rms}; {layers}{fit})",
        f"{where}：往回每经过一层，梯度能量 ×{energy}（均方根 ×{rms}；{layers}{fit}）",
    )


def worst_layers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The weighted layers that need looking at: first those whose gradient is not finite, then the smallest RMS."""
    reached = [x for x in layers if x.weighted and x.log10_gradient_rms is not None]

    def health(layer: Layer) -> tuple[bool, float]:
        value = layer.log10_gradient_rms
        return (False, 0.0) if value is None or math.isnan(value) else (True, value)

    return tuple(sorted(reached, key=health)[:WORST])


def _worst(layers: Sequence[Layer], width: int) -> list[str]:
    worst = worst_layers(layers)
    if not worst:
        return []
    return ["", least_title(), *table(columns.LAYER_COLUMNS, worst, width)[0]]


def least_title() -> str:
    """Of the table of layers."""
    return say("Layers that the least gradient reaches", "得到梯度最少的层")


def folded(rows: Sequence[T]) -> tuple[Sequence[T], int, Sequence[T]]:
    """The first rows, how many are left out in the middle, and the last rows."""
    hidden = len(rows) - 2 * FOLD
    return (rows, 0, ()) if hidden <= 1 else (rows[:FOLD], hidden, rows[-FOLD:])


def _forks(flow: Flow, width: int) -> list[str]:
    residual: Sequence[Fork] = flow.residual_forks
    others = fork_census(flow)
    if not residual:
        none = say(
            f"No residual fork: no way around the layers{others}.", f"没有残差分叉：没有绕过各层的通道{others}。"
        )
        return ["", *wrap(none, width)]
    first, hidden, last = folded(residual)
    lines, _ = table(columns.FORK_COLUMNS, [*first, *last], width)
    if hidden:
        at = len(lines) - len(last)
        lines = [*lines[:at], say(f"… {hidden} more", f"… 还有 {hidden} 个"), *lines[at:]]
    title = say(
        f"Residual forks, stem first: share of the gradient that comes back over the skip, and cancellation{others}",
        f"残差分叉，从首层开始：经跳跃连接返回的梯度占比，以及抵消程度{others}",
    )
    return ["", *wrap(title, width), *lines]


def fork_census(flow: Flow) -> str:
    """' (also 2 inner, 1 shared)': forks that do not count in path lengths."""
    kinds = [fork.kind for fork in flow.forks]
    counts = [(kinds.count(kind), kind) for kind in ("inner", "shared", "other") if kind in kinds]
    if not counts:
        return ""
    one = sum(count for count, _ in counts) == 1
    named = listed([say(f"{count} {kind}", f"{count} 个{_FORKS[kind]}") for count, kind in counts])
    return say(f" (not counted: {named} fork{'' if one else 's'})", f"（未计入：{named}分叉）")


_FORKS = {"inner": "内部", "shared": "共享", "other": "其他"}
