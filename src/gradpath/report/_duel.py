"""Two nets side by side, judged by training loss after as many epochs as both finished; and which nets make a pair."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from gradpath import units
from gradpath.record import Comparison, NetSpec, RunRecord
from gradpath.report import _facts as facts
from gradpath.report._say import say

State = Literal["a better", "equal", "b better", "neither learned", "too short", "diverged"]


@dataclass(frozen=True)
class Duel:
    """Two nets, what came of it, and how far both had come."""

    a: RunRecord
    b: RunRecord
    state: State
    epochs: int
    """As many as both finished."""
    steps: int
    """Optimiser steps in these epochs."""
    loss_a: float
    loss_b: float
    """Training losses, means over the last of these epochs; infinite where a net diverged."""

    @property
    def early(self) -> bool:
        """Too few steps to say that the difference stays."""
        return self.steps < facts.PLAIN_CLAIM_STEPS

    @property
    def length(self) -> str:
        """'156 steps' of a short run, '10 epochs' of a long one."""
        return facts.counted(self.steps, "step") if self.early else facts.epochs_text(self.epochs)

    @property
    def losses(self) -> tuple[str, str]:
        return facts.loss_text(self.loss_a), facts.loss_text(self.loss_b)


def compare_losses(a: RunRecord, b: RunRecord) -> Duel | None:
    """None where one of the two neither finished an epoch nor diverged."""
    if "unfinished" in (facts.outcome(a), facts.outcome(b)):
        return None
    epochs = min((len(net.epochs) for net in (a, b) if not facts.diverged(net)), default=0)
    steps = min(facts.steps_at(net, epochs) for net in (a, b))
    loss_a, loss_b = (math.inf if facts.diverged(net) else net.epochs[epochs - 1].train_loss for net in (a, b))
    return Duel(a, b, _state(a, b, loss_a, loss_b, steps), epochs, steps, loss_a, loss_b)


def _state(a: RunRecord, b: RunRecord, loss_a: float, loss_b: float, steps: int) -> State:
    if facts.diverged(a) or facts.diverged(b):
        return "diverged"
    if steps < facts.SHORTEST_STEPS:
        return "too short"
    if not any(facts.outcome(net) == "learned" for net in (a, b)):
        return "neither learned"
    if not facts.clearly(loss_a, loss_b):
        return "equal"
    return "b better" if loss_b < loss_a else "a better"


def comparable(a: RunRecord, b: RunRecord) -> bool:
    """Trained alike: the same images, seed and recipe, learning rate included."""
    return (a.recipe, a.seed, a.data) == (b.recipe, b.seed, b.data)


def twin_pairs(comparison: Comparison) -> Iterator[tuple[RunRecord, RunRecord]]:
    """(plain, residual): alike in everything but the skips, trained alike."""
    for residual in facts.select(comparison, "residual"):
        for plain in facts.select(comparison, "plain"):
            same = _without_skips(facts.spec_of(plain)) == _without_skips(facts.spec_of(residual))
            if same and comparable(plain, residual):
                yield plain, residual


def _without_skips(spec: NetSpec) -> NetSpec:
    return replace(spec.plain_twin(), padding="end")


def depth_pairs(comparison: Comparison) -> Iterator[tuple[RunRecord, RunRecord]]:
    """(shallowest, deepest) plain net of each kind: alike in everything but the depth, trained alike."""

    def kind(net: RunRecord) -> str:
        spec = facts.spec_of(net)
        shape = {**vars(_without_skips(spec)), "depth": None, "blocks": ()}
        return repr((shape, net.recipe, net.seed, net.data))

    for _, group in groupby(sorted(facts.select(comparison, "plain"), key=kind), kind):
        nets = list(group)  # still shallowest first: sorting is stable
        if nets[0].depth < nets[-1].depth:
            yield nets[0], nets[-1]


def rates_text(*nets: RunRecord) -> str:
    """'at learning rate 0.05', or 'at learning rates 0.05 and 0.1'."""
    rates = sorted({net.recipe.learning_rate for net in nets})
    numbers = [units.number(rate) for rate in rates]
    return say(
        f"at learning rate{'' if len(rates) == 1 else 's'} {' and '.join(numbers)}",
        f"在学习率 {' 和 '.join(numbers)} 下",
    )
