"""Records as plain text, without colour, never wider than the terminal."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import TypeVar

from rich.cells import cell_len

from gradpath import units
from gradpath.record import Comparison, Flow, Fork, Gain, Layer, RunRecord, Unseen
from gradpath.report import _columns as columns
from gradpath.report import _facts as facts
from gradpath.report._advice import next_steps
from gradpath.report._columns import Column
from gradpath.report._grid import table, wrap
from gradpath.report._headline import flow_headline, headline
from gradpath.report._verdict import paragraph

FOLD = 4
"""Rows shown at either end of a long table."""
WORST = 3
"""Layers named as worst."""
T = TypeVar("T")


def comparison_text(comparison: Comparison, width: int = 80) -> str:
    """One table, what it shows, and what to try next."""
    lines = [*wrap(headline(comparison), width), ""]
    lines += [*wrap(setting(comparison), width), ""]
    if comparison.nets:
        rows, dropped = table(columns.NET_COLUMNS, comparison.nets, width)
        lines += rows
        lines += _notes(comparison.nets, dropped, width)
        lines += ["", *wrap(columns.NET_CAPTION, width), ""]
    lines += wrap(paragraph(comparison), width)
    lines += ["", "What to try next"]
    for step in next_steps(comparison):
        lines += advice_lines(step, width)
    return "\n".join(lines) + "\n"


def advice_lines(step: str, width: int) -> list[str]:
    """A command and its comment as lines that a shell takes as they are: ' \\' goes on, '#' begins every comment."""
    command, _, why = step.partition("  # ")
    if cell_len(f"  {step}") <= width:
        return [f"  {step}"]
    lines = ["  gradpath"]
    for word in map(shlex.quote, shlex.split(command)[1:]):
        if cell_len(lines[-1]) + 1 + cell_len(word) > width - 2:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {word}"
    return lines + [f"    # {line}" for line in wrap(why, width - 6)]


def setting(comparison: Comparison) -> str:
    """On what, how long, on which machine: '6 nets, 2 epochs on 5,000 images of …'."""
    data, machine = comparison.data, comparison.machine
    epochs = max((len(net.epochs) for net in comparison.nets), default=0)
    return (
        f"{facts.counted(len(comparison.nets), 'net')}, {facts.epochs_text(epochs)} on "
        f"{facts.counted(data.train_images, 'image')} of {facts.printable(data.name)} "
        f"({data.test_images:,} more for testing), seed {comparison.seed}; {units.seconds(comparison.seconds)} on "
        f"{facts.printable(machine.device)}, "
        f"{facts.counted(machine.threads, 'thread')}, {comparison.execution.precision}"
    )


def _notes(nets: Sequence[RunRecord], dropped: list[Column[RunRecord]], width: int) -> list[str]:
    """The notes under a table that had no room for them, and the names of the other columns that are missing."""
    heads = [column.head.replace("/ ", "/") for column in dropped if column.key != "note"]
    lines = []
    if any(column.key == "note" for column in dropped):
        notes = [f"{facts.label(net)}: {columns.note(net)}" for net in nets if columns.note(net)]
        lines += [line for note in notes for line in wrap(note, width, indent="  ")]
    if heads:
        lines += wrap(f"(a wider terminal also shows: {', '.join(heads)})", width)
    return ["", *lines] if lines else []


def flow_text(flow: Flow, width: int = 80) -> str:
    """A summary of one traced model: effective depth first, then gains, the worst layers, forks, what was unseen."""
    lines = [*wrap(flow_headline(flow), width), ""]
    for line in flow_facts(flow):
        lines += wrap(line, width, indent="  ")
    lines += _worst(flow.layers, width)
    lines += _forks(flow, width)
    for line in unseen_lines(flow.unseen):
        lines += wrap(line, width, indent="  ")
    return "\n".join(lines) + "\n"


def flow_facts(flow: Flow) -> list[str]:
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
    return lines + [gain_text(gain) for gain in flow.gain_per_layer]


def skip_share_text(flow: Flow) -> str:
    """'skip share 43.4 % (mean over 27 residual forks, mean cancellation 12.0 %)'."""
    forks = facts.counted(len(flow.residual_forks), "residual fork")
    cancellation = facts.percent_text(facts.mean_cancellation(flow))
    return f"skip share {facts.percent_text(flow.skip_share)} (mean over {forks}; mean cancellation {cancellation})"


def gain_text(gain: Gain) -> str:
    """'at 28x28: gradient energy ×1.38 per layer going backward (RMS ×1.17; 19 layers, r² 0.98)'."""
    where, layers = gain.resolution or "no resolution", facts.counted(gain.layers, "layer")
    if not (math.isfinite(gain.energy_gain) and gain.energy_gain >= 0):
        return f"at {where}: gain not finite ({layers})"
    if not facts.trend(gain):
        return f"at {where}: no clear trend ({layers}, r² {facts.ratio_text(gain.r_squared, 2)})"
    fit = "" if gain.r_squared is None else f", r² {facts.ratio_text(gain.r_squared, 2)}"
    return (
        f"at {where}: gradient energy ×{units.number(gain.energy_gain, 3)} per layer "
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
        return ["", f"No residual fork: no way around the layers{others}."]
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


def unseen_lines(unseen: Unseen) -> list[str]:
    """What the trace did not see, a line each; empty where it saw everything."""
    groups = (
        ("modules never called", unseen.modules_not_called),
        ("layers without gradient", unseen.layers_without_gradient),
        ("parameters without gradient", unseen.parameters_without_gradient),
        ("opaque operations", unseen.opaque),
    )
    lines = [f"{title} ({len(names)}): {_few(names)}" for title, names in groups if names]
    lines += [f"note: {facts.printable(note)}" for note in unseen.notes]
    return ["", "Not seen", *lines] if lines else []


def _few(names: tuple[str, ...]) -> str:
    shown = ", ".join(facts.printable(name) for name in names[:FOLD])
    return f"{shown}, … {len(names) - FOLD} more" if len(names) > FOLD else shown


def run_text(run: RunRecord, width: int = 80) -> str:
    """One trained net: what it was, its epochs, its gradient before training."""
    lines = wrap(f"{facts.label(run)}: {run_headline(run)}", width)
    lines += wrap(
        f"{units.count(run.parameters)} parameters, {units.count(run.macs)} MACs an image; batch "
        f"{run.recipe.batch_size}, {facts.learning_rate_text(run)}, {run.recipe.schedule}, seed {run.seed}, "
        f"{facts.counted(run.steps, 'step')} in {run.execution.precision}",
        width,
    )
    if run.epochs:
        lines += ["", *table(columns.EPOCH_COLUMNS, list(enumerate(run.epochs, 1)), width)[0]]
    if run.gradient is not None:
        lines += ["", *wrap(f"At initialisation: {flow_headline(run.gradient.initial)}", width)]
        if run.gradient.final is not None:
            lines += wrap(f"After training: {flow_headline(run.gradient.final)}", width)
    if run.weights is not None:
        lines += ["", *wrap(f"weights: {facts.printable(run.weights)}", width)]
    return "\n".join(lines) + "\n"


def run_headline(run: RunRecord) -> str:
    epoch = facts.last_epoch(run)
    if facts.diverged(run):
        return facts.divergence(run)
    if epoch is None:
        return "no epoch finished"
    stopped = ", interrupted" if run.interrupted else ""
    return (
        f"{units.percent(epoch.test_accuracy)} of the test images right after {facts.epochs_text(len(run.epochs))}"
        f"{stopped} (training loss {facts.loss_text(epoch.train_loss)})"
    )
