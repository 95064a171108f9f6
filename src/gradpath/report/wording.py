"""Clauses that the rules put together into sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gradpath import units
from gradpath.record import Flow, RunRecord
from gradpath.report import facts
from gradpath.report.facts import Fate


def join(items: Iterable[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    *most, last = items
    return f"{', '.join(most)} and {last}" if most else last


def journey(flow: Flow | None) -> str:
    """What became of the gradient between head and stem, at initialisation."""
    fate: Fate = facts.fate(flow)
    if flow is None or fate == "unknown":
        return "no gradient was traced"
    if fate == "not finite":
        return "the gradient is not finite before the first step"
    if flow.stem_over_head == 0:
        return "the gradient vanishes before the first step (at the stem it is exactly 0)"
    norm = facts.ratio_text(flow.stem_gradient_norm, 2)
    ratio = f"{facts.ratio_text(flow.stem_over_head, 2)} times that at the head"
    verb = {"vanished": "vanishes", "exploded": "explodes", "shrank": "shrinks, but does not vanish,"}.get(
        fate, "does not vanish"
    )
    return f"the gradient {verb} before the first step (its norm at the stem is {norm}, {ratio})"


def what_came(net: RunRecord) -> str:
    """'learned: its training loss is 0.51 after 2 epochs'."""
    outcome = facts.outcome(net)
    epoch = facts.last_epoch(net)
    if outcome == "diverged":
        return f"{facts.divergence(net)} ({facts.learning_rate_text(net)})"
    if epoch is None:
        return "finished no epoch"
    loss, after = units.number(epoch.train_loss, 4), facts.epochs_text(len(net.epochs))
    if outcome == "learned":
        return f"learned: its training loss is {loss} after {after}"
    guess = units.number(math.log(max(len(net.data.classes), 2)))
    tried = f", even at the best of {len(net.trials)} learning rates" if len(net.trials) > 1 else ""
    return f"did not learn{tried}: its training loss is {loss} after {after}, and guessing gives {guess}"


def gains(flow: Flow) -> str:
    """'×1.38 to ×1.45 in energy per layer, ', or '' where no line was fitted."""
    gains = sorted(g.energy_gain for g in flow.gain_per_layer if math.isfinite(g.energy_gain))
    if not gains:
        return ""
    low, high = units.number(gains[0], 3), units.number(gains[-1], 3)
    return f"×{low} in energy per layer, " if low == high else f"×{low} to ×{high} in energy per layer, "


def size(net: RunRecord, other: RunRecord) -> str:
    """'with 109.4 k parameters, 7.8 times fewer'."""
    own = f"with {units.count(net.parameters)} parameters"
    if net.parameters == other.parameters:
        return f"{own}, as many"
    few, many = sorted((net.parameters, other.parameters))
    return f"{own}, {units.number(many / few, 2)} times {'fewer' if net.parameters == few else 'as many'}"
