"""Two nets side by side, judged by training loss after as many epochs as both finished."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from gradpath import units
from gradpath.record import RunRecord
from gradpath.report import facts

State = Literal["a better", "equal", "b better", "neither learned"]


@dataclass(frozen=True)
class Duel:
    """The state, and the words for what each of the two did."""

    a: RunRecord
    b: RunRecord
    state: State
    after: str
    """'After 2 epochs ', or '' where one of them diverged."""
    a_did: str
    b_did: str
    losses: str
    """'0.49 against 0.51', the second net's first."""


def compare_losses(a: RunRecord, b: RunRecord) -> Duel | None:
    """None where one of the two neither finished an epoch nor diverged."""
    if "unfinished" in (facts.outcome(a), facts.outcome(b)):
        return None
    epochs = min((len(net.epochs) for net in (a, b) if not facts.diverged(net)), default=0)
    loss_a, loss_b = (_loss(net, epochs) for net in (a, b))
    broken = facts.diverged(a) or facts.diverged(b)
    length = facts.epochs_text(epochs)
    return Duel(
        a=a,
        b=b,
        state=_state(a, b, loss_a, loss_b),
        after="" if broken else f"After {length} ",
        a_did=_did(a, loss_a, length if broken else ""),
        b_did=_did(b, loss_b, length if broken else ""),
        losses=f"{units.number(loss_b, 3)} against {units.number(loss_a, 3)}",
    )


def _loss(net: RunRecord, epochs: int) -> float:
    """The training loss of an epoch that both finished; infinite for a net that diverged."""
    return math.inf if facts.diverged(net) else net.epochs[epochs - 1].train_loss


def _state(a: RunRecord, b: RunRecord, loss_a: float, loss_b: float) -> State:
    learned_a, learned_b = (facts.outcome(net) == "learned" for net in (a, b))
    if not (learned_a or learned_b):
        return "neither learned"
    if math.isinf(loss_a) or math.isinf(loss_b):
        return "b better" if math.isinf(loss_a) else "a better"
    if not facts.clearly(loss_a, loss_b):
        return "equal"
    return "b better" if loss_b < loss_a else "a better"


def _did(net: RunRecord, loss: float, length: str) -> str:
    if math.isinf(loss):
        return facts.divergence(net)
    return f"has a training loss of {units.number(loss, 3)}{f' after {length}' if length else ''}"
