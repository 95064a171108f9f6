"""What the rules and the figures look up in a comparison: names, last epochs, the state of a gradient.

Every threshold that turns a number into a word is stated here, once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from gradpath import units
from gradpath.record import Comparison, Epoch, Flow, RunRecord

LEARNED_LOSS = 0.95
"""Of ln(classes), the loss of guessing. Batch noise moves an untrained net's mean loss by a percent or two."""
LEARNED_ACCURACY = 2.0
"""Times the accuracy of guessing, in training or on the test images: a mean loss can hide that a net learned late."""
VANISHED = 1e-6
"""Stem over head: below the 7 digits of float32, an update that suits the head does not move the stem."""
EXPLODED = 1e3
"""Stem over head: an update that suits the head throws the stem a thousand times too far."""
CLEAR_NATS, CLEAR_FRACTION = 0.1, 0.1
"""Two training losses differ clearly by more than both of these: below them, another seed may turn the order."""
WORD_GAP = 0.05
"""Train minus test accuracy from which a net is said to fit its training images better."""
CANCELLED = 0.99
"""Cancellation above which shares divide by almost nothing, and the word stands in their place."""

Fate = Literal["vanished", "shrank", "grew", "exploded", "not finite", "unknown"]
Outcome = Literal["learned", "not learned", "diverged", "unfinished"]


def printable(text: str) -> str:
    """Untrusted text on one line, without control characters (a net's name may hold anything)."""
    return "".join(c if c.isprintable() else "?" for c in text)


def label(net: RunRecord) -> str:
    """What sentences call a net, from what it is and not from its name: 'plain-56', 'DenseNet-BC 58'."""
    name = net.spec.label if net.family == "dense" else f"{net.family}-{net.depth}"
    if net.norm == "batch":
        return name
    init = "PyTorch's default" if net.spec.init == "default" else "He's"
    return f"{name} without norm ({init} initialisation)"


def guessing_loss(comparison: Comparison) -> float:
    """The cross-entropy of guessing, in nats."""
    return math.log(max(len(comparison.data.classes), 2))


def last_epoch(net: RunRecord) -> Epoch | None:
    """The last finished epoch; None where there is none, or where the net diverged."""
    return None if diverged(net) or not net.epochs else net.epochs[-1]


def diverged(net: RunRecord) -> bool:
    return net.diverged_at_step is not None or any(not math.isfinite(e.train_loss) for e in net.epochs)


def divergence(net: RunRecord) -> str:
    step = net.diverged_at_step
    return "diverged" if step is None else f"diverged at step {step:,}"


def outcome(net: RunRecord) -> Outcome:
    """What came of the training."""
    if diverged(net):
        return "diverged"
    if not net.epochs:
        return "unfinished"
    classes = max(len(net.data.classes), 2)
    beats_loss = net.epochs[-1].train_loss < LEARNED_LOSS * math.log(classes)
    accuracy = max(net.epochs[-1].train_accuracy, net.epochs[-1].test_accuracy)
    beats_accuracy = accuracy > LEARNED_ACCURACY / classes
    return "learned" if beats_loss or beats_accuracy else "not learned"


def initial(net: RunRecord) -> Flow | None:
    """The gradient flow before the first step."""
    return None if net.gradient is None else net.gradient.initial


def fate(flow: Flow | None) -> Fate:
    """What became of the gradient on its way from the head to the stem."""
    if flow is None or flow.stem_over_head is None:
        return "unknown"
    ratio = flow.stem_over_head
    if not math.isfinite(ratio):
        return "not finite"
    if ratio < VANISHED:
        return "vanished"
    if ratio < 1:
        return "shrank"
    return "grew" if ratio <= EXPLODED else "exploded"


def mean_gain(flow: Flow) -> float | None:
    """Energy gain per weighted layer: geometric mean over the resolutions, weighted by their layers."""
    fits = [g for g in flow.gain_per_layer if g.energy_gain > 0 and math.isfinite(g.energy_gain)]
    if not fits:
        return None
    return math.exp(sum(g.layers * math.log(g.energy_gain) for g in fits) / sum(g.layers for g in fits))


def clearly(a: float, b: float) -> bool:
    """Whether two training losses differ by more than another seed would explain."""
    return abs(a - b) > max(CLEAR_NATS, CLEAR_FRACTION * max(a, b))


def deepest(nets: Iterable[RunRecord]) -> RunRecord | None:
    return max(nets, key=lambda net: net.depth, default=None)


def select(comparison: Comparison, family: str, norm: str | None = None) -> list[RunRecord]:
    """The nets of one family (and norm), shallowest first."""
    nets = [n for n in comparison.nets if n.family == family and norm in (None, n.norm)]
    return sorted(nets, key=lambda net: net.depth)


def ratio_text(ratio: float | None, digits: int = 3) -> str:
    """A ratio of norms: a number, 'exactly 0', 'not finite', or '-' where there is none."""
    if ratio is None:
        return "-"
    if not math.isfinite(ratio):
        return "not finite"
    return "exactly 0" if ratio == 0 else units.number(ratio, digits)


def epochs_text(count: int) -> str:
    return f"{count} epoch{'' if count == 1 else 's'}"


def learning_rate_text(net: RunRecord) -> str:
    """'lr 0.005, best of 3' where the learning rate was chosen, else 'lr 0.05'."""
    rate = f"lr {units.number(net.recipe.learning_rate)}"
    return f"{rate}, best of {len(net.trials)} tried" if len(net.trials) > 1 else rate
