"""A traced model as plain text: over ssh, this screen is the whole product."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

from gradpath import units
from gradpath.record import Expectation, Finding, Flow, Fork, Gain, Layer, Statistic, TriedChange, Unseen
from gradpath.report import _columns as columns
from gradpath.report import _facts as facts
from gradpath.report._grid import table, wrap
from gradpath.report._headline import flow_headline
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
    for line in (*statistics_lines(flow.statistics), *titled(unseen_lines(flow.unseen), "Not seen")):
        lines += wrap(line, width, indent="  ")
    for line in titled(note_lines(flow.unseen), "Notes"):
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
    for label, text in (*details(flow), *(("tried", line) for line in tried_lines(flow))):
        lines += labelled(label, text, width)
    for other in others[:MORE_FINDINGS]:
        lines += wrap(f"Also {finding_title(other)}", width, indent="  ")
    if len(others) > MORE_FINDINGS:
        rest = others[MORE_FINDINGS:]
        kinds = ", ".join(dict.fromkeys(facts.printable(finding.kind) for finding in rest))
        lines += wrap(f"… {facts.counted(len(rest), 'more finding')} ({kinds})", width)
    return [*lines, "", *wrap(flow_headline(flow), width)]


def verdict(flow: Flow) -> str:
    """The worst finding's sentence; for a healthy model 'No finding.' with the numbers that matter."""
    if flow.findings:
        return facts.printable(flow.findings[0].sentence)
    alarming = facts.fate(flow) in ("vanished", "exploded", "not finite")  # a record that nobody searched for findings
    return flow_headline(flow) if alarming else f"No finding. {flow_headline(flow)}"


def details(flow: Flow) -> Iterator[tuple[str, str]]:
    """(what, text) of the worst finding: where, why, cure, and the changes worth trying that were not tried."""
    finding = flow.findings[0]
    if finding.where:
        yield "where", facts.printable(finding.where)
    if finding.evidence:
        yield "why", facts.printable(finding.evidence)
    if finding.remedy:
        yield "cure", facts.printable(finding.remedy)
    done = {what.change for what in flow.tried}
    if untried := [cure for cure in finding.cures if cure not in done]:
        yield "try", " ".join(f"--try {facts.printable(cure)}" for cure in untried)


def tried_lines(flow: Flow) -> Iterator[str]:
    """'init=he: with He initialisation conv1 receives 0.4 instead of 6e-11; no finding is left', and what could not
    be changed: one line for each change that was simulated."""
    for what in flow.tried:
        more = "; ".join(note for note in what.notes if note not in what.sentence)
        told = f"{what.change}: {what.sentence}{f' ({more})' if more else ''}"
        yield facts.printable(f"{told}{_left(flow, what)}")


def _left(flow: Flow, what: TriedChange) -> str:
    """Whether the change cures: which findings are left of those that the model has as it is, and which are new."""
    if what.findings is None or not (flow.findings or what.findings):
        return ""
    if not what.findings:
        return "; no finding is left"
    had = {finding.kind for finding in flow.findings}
    left = [kind for kind in dict.fromkeys(what.findings) if kind in had]
    new = [kind for kind in dict.fromkeys(what.findings) if kind not in had]
    return (f"; still {', '.join(left)}" if left else "") + (f"; now {', '.join(new)}" if new else "")


def labelled(label: str, text: str, width: int) -> list[str]:
    """'  where  stem.conv', further lines below the text."""
    first, *others = wrap(text, width - _LABEL)
    return [f"  {label:<{_LABEL - 2}}{first}", *(" " * _LABEL + line for line in others)]


def finding_title(finding: Finding) -> str:
    """'dead units at stages.2: 40 % of the units …'."""
    where = f" at {finding.where}" if finding.where else ""
    return facts.printable(f"{finding.kind}{where}: {finding.sentence}")


def flow_facts(flow: Flow) -> list[str]:
    """The numbers of the whole net, a line each."""
    lines = [
        f"loss {facts.ratio_text(flow.loss, 4)}; mode {flow.mode}, {flow.dtype}, autocast "
        f"{flow.autocast or 'off'}, {facts.printable(flow.device)}",
        f"gradient norm at the stem {columns.log10_text(flow.log10_stem_gradient_norm)}; stem over head "
        f"{facts.ratio_text(flow.stem_over_head)}",
    ]
    if flow.skip_share is not None:
        lines.append(skip_share_text(flow))
    if facts.paths_cancel(flow):
        lines.append("effective depth: paths of opposite sign cancel, so no average is given")
    lines += [gain_text(gain) + _theory(flow, gain) for gain in flow.gain_per_layer]
    return lines + [_block_theory(expected) for expected in flow.expected if expected.unit == "block"]


def _theory(flow: Flow, gain: Gain) -> str:
    """What theory expects of a gain: '; theory expects ×0.167 (ReLU σ²/2)'; '' where it says nothing."""
    for expected in flow.expected:
        if expected.unit == "layer" and expected.resolution == gain.resolution and facts.trend(gain):
            return f"; theory expects {expected_text(expected)}"
    return ""


def _block_theory(expected: Expectation) -> str:
    """'at 28x28: gradient energy ×1.2 per residual block going backward; theory expects ×1.3 ± 12 % (…)'."""
    measured = facts.ratio_text(expected.measured)
    return (
        f"{facts.place(expected.resolution)}: gradient energy ×{measured} per residual block going backward; "
        f"theory expects {expected_text(expected)}"
    )


def expected_text(expected: Expectation) -> str:
    """'×0.167 ± 12 % (ReLU σ²/2)'."""
    band = f" ± {100 * expected.tolerance:.0f} %" if expected.tolerance else ""
    return f"×{units.number(expected.energy_gain, 3)}{band} ({facts.printable(expected.rule)})"


def skip_share_text(flow: Flow) -> str:
    """'skip share 43.4 % (mean over 27 residual forks, mean cancellation 12.0 %)'."""
    forks = facts.counted(len(flow.residual_forks), "residual fork")
    cancellation = facts.percent_text(facts.mean_cancellation(flow))
    return f"skip share {facts.percent_text(flow.skip_share)} (mean over {forks}; mean cancellation {cancellation})"


def gain_text(gain: Gain) -> str:
    """'at 28x28: gradient energy ×1.38 per layer going backward (RMS ×1.17; 19 layers, r² 0.98)'."""
    where, layers = facts.place(gain.resolution), facts.counted(gain.layers, "layer")
    if not (math.isfinite(gain.energy_gain) and gain.energy_gain >= 0):
        return f"{where}: gain not finite ({layers})"
    if not facts.trend(gain):
        return f"{where}: no clear trend ({layers}, r² {facts.ratio_text(gain.r_squared, 2)})"
    fit = "" if gain.r_squared is None else f", r² {facts.ratio_text(gain.r_squared, 2)}"
    return (
        f"{where}: gradient energy ×{units.number(gain.energy_gain, 3)} per layer "
        f"going backward (RMS ×{units.number(gain.rms_gain, 3)}; {layers}{fit})"
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
    return ["", "Layers that the least gradient reaches", *table(columns.LAYER_COLUMNS, worst, width)[0]]


def folded(rows: Sequence[T]) -> tuple[Sequence[T], int, Sequence[T]]:
    """The first rows, how many are left out in the middle, and the last rows."""
    hidden = len(rows) - 2 * FOLD
    return (rows, 0, ()) if hidden <= 1 else (rows[:FOLD], hidden, rows[-FOLD:])


def _forks(flow: Flow, width: int) -> list[str]:
    residual: Sequence[Fork] = flow.residual_forks
    others = fork_census(flow)
    if not residual:
        return ["", *wrap(f"No residual fork: no way around the layers{others}.", width)]
    first, hidden, last = folded(residual)
    lines, _ = table(columns.FORK_COLUMNS, [*first, *last], width)
    if hidden:
        at = len(lines) - len(last)
        lines = [*lines[:at], f"… {hidden} more", *lines[at:]]
    title = f"Residual forks, stem first: share of the gradient that comes back over the skip, and cancellation{others}"
    return ["", *wrap(title, width), *lines]


def fork_census(flow: Flow) -> str:
    """' (also 2 inner, 1 shared)': forks that do not count in path lengths."""
    kinds = [fork.kind for fork in flow.forks]
    named = [f"{kinds.count(kind)} {kind}" for kind in ("inner", "shared", "other") if kind in kinds]
    one = sum(kind != "residual" for kind in kinds) == 1
    return f" (not counted: {', '.join(named)} fork{'' if one else 's'})" if named else ""


def statistics_lines(statistics: Sequence[Statistic]) -> list[str]:
    """Mean ± standard error over the batches, of what describes the whole net; empty for one batch."""
    whole = [s for s in statistics if not s.name.startswith("log10_gradient_rms of ")]
    if not whole:
        return []
    said = "; ".join(f"{facts.printable(s.name.replace('_', ' '))} {mean_text(s)}" for s in whole)
    return ["", f"Over {max(s.n for s in whole)} batches (mean ± standard error): {said}"]


def mean_text(statistic: Statistic) -> str:
    """'4.21 ± 0.12'."""
    return f"{units.number(statistic.mean, 3)} ± {units.number(statistic.standard_error, 2)}"


def unseen_lines(unseen: Unseen) -> list[str]:
    """What the trace did not see, a line each; empty where it saw everything."""
    groups = (
        ("modules never called", unseen.modules_not_called),
        ("layers without gradient", unseen.layers_without_gradient),
        ("parameters without gradient", unseen.parameters_without_gradient),
        ("opaque operations", unseen.opaque),
    )
    return [f"{title} ({len(names)}): {_few(names)}" for title, names in groups if names]


def note_lines(unseen: Unseen) -> list[str]:
    """What was assumed or done on the way, a line each."""
    return [facts.printable(note) for note in unseen.notes]


def titled(lines: Sequence[str], title: str) -> list[str]:
    """A gap, the title, the lines; nothing where there are none."""
    return ["", title, *lines] if lines else []


def _few(names: tuple[str, ...]) -> str:
    shown = ", ".join(facts.printable(name) for name in names[:FOLD])
    return f"{shown}, … {len(names) - FOLD} more" if len(names) > FOLD else shown
