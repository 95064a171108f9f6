"""What the rules and the figures look up in a comparison: names, last epochs, the state of a gradient.

Every threshold that turns a number into a word is stated here, once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from gradpath import units
from gradpath.errors import RecordError
from gradpath.record import Comparison, DataInfo, Epoch, Flow, Gain, NetSpec, RunRecord
from gradpath.report._say import MEASURED, language, say

LEARNED_LOSS = 0.95
"""Of the loss of guessing. Batch noise moves an untrained net's mean loss by a percent or two."""
LEARNED_ACCURACY = 2.0
"""Times the accuracy of guessing, in training or on the test images: a mean loss can hide that a net learned late.
Where most images are of one class this passes 1: then half the way from guessing to all right."""
SHORTEST_STEPS = 50
"""Optimiser steps below which two training losses tell nothing about the nets."""
PLAIN_CLAIM_STEPS = 1000
"""Optimiser steps below which a difference in training is told as a beginning: it may be gone later."""
FEW_EPOCHS = 2
"""Up to this many, a longer run shows more than any other change."""
VANISHED = 1e-6
"""Stem over head: below the 7 digits of float32, an update that suits the head does not move the stem."""
EXPLODED = 1e3
"""Stem over head: an update that suits the head throws the stem a thousand times too far."""
CLEAR_NATS, CLEAR_FRACTION = 0.1, 0.1
"""Two training losses differ clearly by more than both of these: below them, another seed may turn the order."""
STEADY = 1.25
"""Stem over head between 1/1.25 and 1.25: the gradient hardly changes on its way."""
TREND = 0.5
"""r² below which a gain per layer is the slope of a line that does not describe the layers."""
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
    """What tables, figures and sentences call a net: its name in the record, and no other."""
    return printable(net.name)


def distinct(comparison: Comparison) -> Comparison:
    """Without nets that repeat an earlier one (same specification, seed and recipe): nothing is told twice."""
    first = {(net.spec, net.seed, net.recipe, net.data): net for net in reversed(comparison.nets)}
    kept = [id(net) for net in first.values()]
    return replace(comparison, nets=tuple(net for net in comparison.nets if id(net) in kept))


def class_shares(data: DataInfo) -> tuple[float, ...]:
    """The fraction of the training images in each class; as many of each where the record does not say."""
    classes = max(len(data.classes), 2)
    return data.class_shares or (1 / classes,) * classes


def guessing_loss(data: DataInfo) -> float:
    """The least cross-entropy without looking at an image, in nats: the entropy of the training labels."""
    return -sum(share * math.log(share) for share in class_shares(data) if share > 0)


def guessing_accuracy(data: DataInfo) -> float:
    """The share of the most frequent class: what always naming it gets right."""
    return max(class_shares(data))


def last_epoch(net: RunRecord) -> Epoch | None:
    """The last finished epoch; None where there is none, or where the net diverged."""
    return None if diverged(net) or not net.epochs else net.epochs[-1]


def diverged(net: RunRecord) -> bool:
    return net.diverged_at_step is not None or any(not math.isfinite(e.train_loss) for e in net.epochs)


def divergence(net: RunRecord) -> str:
    step = net.diverged_at_step
    if step is None:
        return say("diverged", "发散")
    return say(f"diverged at step {step:,}", f"在第 {step:,} 步发散")


def divergence_place(net: RunRecord) -> str:
    """'diverged at step 37: the loss is not finite, first in stages.1.2.norm2 (output not finite)'."""
    if not net.diverged_in:
        return divergence(net)
    place = net.diverged_in
    return divergence(net) + say(f": the loss is not finite, first in {place}", f"：损失变为非有限，最先出现在 {place}")


def outcome(net: RunRecord) -> Outcome:
    """What came of the training."""
    if diverged(net):
        return "diverged"
    if not net.epochs:
        return "unfinished"
    guess = guessing_accuracy(net.data)
    beats_loss = net.epochs[-1].train_loss < LEARNED_LOSS * guessing_loss(net.data)
    accuracy = max(net.epochs[-1].train_accuracy, unseen_accuracy(net.epochs[-1]))
    beats_accuracy = accuracy > min(LEARNED_ACCURACY * guess, (1 + guess) / 2)
    return "learned" if beats_loss or beats_accuracy else "not learned"


def unseen_accuracy(epoch: Epoch) -> float:
    """On the test images where they were looked at, else on those held out to validate; 0 where neither was."""
    return epoch.test_accuracy if epoch.test_accuracy is not None else epoch.validation_accuracy or 0.0


def spec_of(net: RunRecord) -> NetSpec:
    """Of a net of a comparison: all of them are gradpath's own."""
    if net.spec is None:
        raise RecordError(f"{label(net)}: a comparison is of nets with a specification, this one has none")
    return net.spec


def everything_diverged(comparison: Comparison) -> bool:
    """No net came through: the learning rate or the data is to blame, and not a net."""
    outcomes = {outcome(net) for net in comparison.nets} - {"unfinished"}
    return outcomes == {"diverged"}


def steps_at(net: RunRecord, epochs: int) -> int:
    """Optimiser steps that a net had made after this many of its epochs."""
    steps = net.steps * epochs // max(len(net.epochs), 1)
    if not net.interrupted:
        return steps
    return min(steps, epochs * math.ceil(net.data.train_images / net.recipe.batch_size))


def initial(net: RunRecord) -> Flow | None:
    """The gradient flow at initialisation."""
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


def steady(flow: Flow) -> bool:
    """Whether the gradient hardly changes between head and stem."""
    return flow.stem_over_head is not None and 1 / STEADY <= flow.stem_over_head <= STEADY


def effective_depth(flow: Flow) -> float | None:
    """The average number of branches passed; None where there is none, or where paths cancel and it means nothing."""
    depth = flow.effective_depth
    if depth is None or not math.isfinite(depth) or not 0 <= depth <= len(flow.residual_forks):
        return None
    return depth


def paths_cancel(flow: Flow) -> bool:
    """The signed mean over the paths lies outside the net: large contributions of opposite sign."""
    return flow.effective_depth is not None and effective_depth(flow) is None


def mean_cancellation(flow: Flow) -> float | None:
    """Mean over the residual forks that have one."""
    known = [
        f.cancellation for f in flow.residual_forks if f.cancellation is not None and math.isfinite(f.cancellation)
    ]
    return sum(known) / len(known) if known else None


def trend(gain: Gain) -> bool:
    """Whether the layers follow the line that the gain is the slope of."""
    return gain.r_squared is None or gain.r_squared >= TREND


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


def percent_text(fraction: float | None) -> str:
    """'43.4 %', 'not finite', or '-' where there is none."""
    if fraction is not None and not math.isfinite(fraction):
        return say("not finite", "非有限")
    return units.percent(fraction)


def ratio_text(ratio: float | None, digits: int = 3) -> str:
    """A ratio of norms: a number, 'exactly 0', 'not finite', or '-' where there is none."""
    if ratio is None:
        return "-"
    if not math.isfinite(ratio):
        return say("not finite", "非有限")
    return say("exactly 0", "恰为 0") if ratio == 0 else units.number(ratio, digits)


def counted(count: int, word: str, plural: str = "") -> str:
    """'1 epoch', '2 epochs', '2 branches'; '2 轮'."""
    if language() == "zh":
        return f"{count:,} {MEASURED.get(word, word)}"
    return f"{count:,} {word if count == 1 else plural or word + 's'}"


def epochs_text(count: int) -> str:
    return counted(count, "epoch")


def loss_text(loss: float | None, decimals: int = 2) -> str:
    """A loss with fixed decimals, so that a column of them lines up: 1.20, 2.30; more where it is small."""
    if loss is None or not math.isfinite(loss) or abs(loss) >= 1000:
        return ratio_text(loss)
    return f"{loss:.{decimals if loss >= 0.1 or loss == 0 else 4}f}"


def recipe_prefix(net: RunRecord) -> str:
    """'recipe wrn, ' where one was asked for by name."""
    name = net.recipe.name
    return "" if name in ("", "default") else say(f"recipe {name}, ", f"配方 {name}，")


def learning_rate_text(net: RunRecord) -> str:
    """'lr 0.005, best of 3' where the learning rate was chosen, else 'lr 0.05'."""
    number = units.number(net.recipe.learning_rate)
    rate, tried = say(f"lr {number}", f"学习率 {number}"), len(net.trials)
    return say(f"{rate}, best of {tried} tried", f"{rate}（{tried} 个中最好的）") if tried > 1 else rate


def place(resolution: str) -> str:
    """'at 28x28'; 'at length 32' for sequences; 'linear layers' where outputs have no extent."""
    if not resolution:
        return say("linear layers", "线性层")
    if "x" in resolution:
        return say(f"at {resolution}", f"在 {resolution} 处")
    return say(f"at length {resolution}", f"在长度 {resolution} 处")
