"""Clauses that the rules put together into sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gradpath import units
from gradpath.record import Flow, RunRecord
from gradpath.report import _facts as facts


def join(items: Iterable[str]) -> str:
    """'a', 'a and b', 'a, b and c'; 'a; b; and c' where a comma belongs to a name."""
    *most, last = items
    if len(most) > 1 and any("," in item for item in [*most, last]):
        return f"{'; '.join(most)}; and {last}"
    return f"{', '.join(most)} and {last}" if most else last


def explained(net: RunRecord) -> str:
    """The name and, in brackets, what it does not say: 'plain 56, no norm (PyTorch's default initialisation)'."""
    name, words = facts.label(net), []
    if net.norm == "none":
        words += ["no norm"] * ("no norm" not in name)
        words.append("He's initialisation" if facts.spec_of(net).init == "he" else "PyTorch's default initialisation")
    return f"{name} ({', '.join(words)})" if words else name


def dense_kind(net: RunRecord) -> str:
    """'a DenseNet-BC': a bottleneck before each layer, half the channels kept between blocks."""
    return f"a {facts.spec_of(net).label.rsplit(' ', 1)[0]}"


def change(flow: Flow) -> str:
    """What the gradient does between head and stem, as a verb."""
    fate, ratio = facts.fate(flow), flow.stem_over_head
    if ratio is not None and 1 / facts.STEADY <= ratio <= facts.STEADY:
        return "hardly changes"
    verbs = {"vanished": "vanishes", "shrank": "shrinks", "grew": "grows", "exploded": "explodes"}
    return verbs.get(fate, "is not finite")


def journey(flow: Flow | None) -> str:
    """What became of the gradient between head and stem, at initialisation."""
    fate = facts.fate(flow)
    if flow is None or fate == "unknown":
        return "no gradient was traced"
    if fate == "not finite":
        return "the gradient is not finite already at initialisation"
    if flow.stem_over_head == 0:
        return "the gradient vanishes already at initialisation (at the stem it is exactly 0)"
    norm = facts.ratio_text(flow.stem_gradient_norm, 2)
    ratio = f"{facts.ratio_text(flow.stem_over_head, 2)} times that at the head"
    but = "" if fate in ("vanished", "exploded") else ", but does not vanish,"
    when = "already at initialisation" if fate in ("vanished", "exploded") else "at initialisation"
    return f"the gradient {change(flow)}{but} {when} (its norm at the stem is {norm}, {ratio})"


def what_came(net: RunRecord) -> str:
    """'learned: its training loss is 0.51 after 2 epochs'."""
    outcome = facts.outcome(net)
    epoch = facts.last_epoch(net)
    if outcome == "diverged":
        return f"{facts.divergence(net)} ({facts.learning_rate_text(net)})"
    if epoch is None:
        return "finished no epoch"
    if outcome == "learned":
        return f"learned: its training loss is {facts.loss_text(epoch.train_loss)} after {length(net)}"
    guess = facts.loss_text(facts.guessing_loss(net.data), 3)
    tried = f", even at the best of {len(net.trials)} learning rates" if len(net.trials) > 1 else ""
    loss = facts.loss_text(epoch.train_loss, 3)
    return f"did not learn in {length(net)}{tried}: its training loss is {loss}, and guessing gives {guess}"


def length(net: RunRecord) -> str:
    """How long a net was trained: '156 steps' where these are few, else '10 epochs'."""
    epochs = len(net.epochs)
    steps = facts.steps_at(net, epochs)
    return facts.counted(steps, "step") if steps < facts.PLAIN_CLAIM_STEPS else facts.epochs_text(epochs)


def gains(flow: Flow) -> str:
    """'. Within one resolution, its energy changes by ×1.38 to ×1.45 per layer', or '' where no line describes it."""
    seen = sorted(g.energy_gain for g in flow.gain_per_layer if math.isfinite(g.energy_gain) and facts.trend(g))
    if not seen:
        return ""
    low, high = units.number(seen[0], 3), units.number(seen[-1], 3)
    factor = f"×{low}" if low == high else f"×{low} to ×{high}"
    return f". Within one resolution, its energy changes by {factor} per layer"


_PARTS = {2: "half", 3: "a third", 4: "a quarter", 5: "a fifth", 6: "a sixth", 7: "a seventh", 8: "an eighth",
          9: "a ninth", 10: "a tenth"}  # fmt: skip


def size(net: RunRecord, other: RunRecord) -> str:
    """'109.4 k parameters, about an eighth of those of residual 56'."""
    own, whose = f"{units.count(net.parameters)} parameters", f"those of {facts.label(other)}"
    ratio = other.parameters / max(net.parameters, 1)
    if 0.95 < ratio < 1.05:
        return f"{own}, about as many as {facts.label(other)}"
    if ratio < 1:
        return f"{own}, {units.number(1 / ratio, 2)} times {whose}"
    part = _PARTS.get(round(ratio)) if abs(ratio - round(ratio)) < 0.4 or ratio > 3 else None
    return f"{own}, about {part or f'{100 / ratio:.0f} %'} of {whose}"
