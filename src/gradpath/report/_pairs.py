"""Rules about two nets: two depths, with and without skips, dense against residual."""

from __future__ import annotations

from collections.abc import Iterator

from gradpath import units
from gradpath.record import Comparison, RunRecord
from gradpath.report import _facts as facts
from gradpath.report import _wording as wording
from gradpath.report._duel import Duel, comparable, compare_losses, depth_pairs, rates_text, twin_pairs
from gradpath.report._finding import Finding, found


def degradation(comparison: Comparison) -> Iterator[Finding]:
    """Plain nets of one kind at two depths: is the deeper one worse on the training images?"""
    for shallow, deep in depth_pairs(comparison):
        duel = compare_losses(shallow, deep)
        if duel is not None:
            rule, words = _degradation(duel)
            yield found(f"degradation: {rule}", words, shallow, deep)


def _degradation(duel: Duel) -> tuple[str, str]:
    """(outcome, sentence). Degradation is claimed only of a shallower net that learned, and after enough steps."""
    if duel.state == "diverged":
        return "diverged", f"{_diverged(duel)}: degradation cannot be judged at this learning rate."
    if duel.state == "too short":
        return "too short", f"{_averages(duel)}: too short to tell."
    if duel.state != "b better" and facts.outcome(duel.a) != "learned":
        which = "neither learned" if duel.state == "neither learned" else "the shallower one did not learn"
        return which, f"{_averages(duel)}: {which}, so degradation cannot be judged."
    if duel.state == "equal":
        return "not seen", f"{_averages(duel)}: no degradation is seen at this depth and length."
    if duel.state == "b better":
        return "deeper better", f"{_averages(duel)}: the deeper net trains better, so no degradation is seen."
    worse = f"{_averages(duel)}: the deeper net trains worse on the very images it trains on"
    if duel.early:
        return "begins", (
            f"{worse}, so this is not overfitting; it is how degradation begins, and a longer run shows whether it "
            "stays."
        )
    return "seen", f"{worse}, which is degradation, not overfitting."


def twins(comparison: Comparison) -> Iterator[Finding]:
    """Each residual net and the plain net that is the same without the add."""
    mean_is_told = any(True for _ in depth_pairs(comparison))
    for plain, residual in twin_pairs(comparison):
        duel = compare_losses(plain, residual)
        if duel is None:
            continue
        rule, words = _twins(duel)
        told = _diverged(duel) if duel.state == "diverged" else _gets_to(duel, mean_is_told)
        yield found(f"twins: {rule}", f"{told}: {words}.", plain, residual)
        yield from _no_shallower(comparison, duel)


def _twins(duel: Duel) -> tuple[str, str]:
    """(outcome, what it means)."""
    alike = duel.a.parameters == duel.b.parameters
    only = f"the skips are the only difference between the two{_parameters(duel) if alike else ''}"
    better = only if duel.early else f"{only}, and they make it train better"
    fails = facts.outcome(duel.b) == "not learned" and duel.state == "a better"
    return {
        "diverged": ("diverged", "what skips do cannot be judged at this learning rate"),
        "too short": ("too short", "too short to tell"),
        "neither learned": ("neither learned", "neither learned, so this says nothing about skips"),
        "equal": ("no clear difference", "no clear difference at this length"),
        "b better": ("residual better", better),
        "a better": ("residual fails", "here the residual net fails and its plain twin does not")
        if fails
        else ("plain better", "here the plain net trains better, and the skips did not help"),
    }[duel.state]


def _no_shallower(comparison: Comparison, duel: Duel) -> Iterator[Finding]:
    shallower = any(n.depth < duel.a.depth and n.norm == duel.a.norm for n in facts.select(comparison, "plain"))
    if duel.state == "b better" and not shallower:
        sentence = "Whether depth is to blame cannot be told here: no shallower plain net was trained beside it."
        yield found("twins: depth not tested", sentence, duel.a)


def depth_repaired(comparison: Comparison) -> Iterator[Finding]:
    """A deep residual net against the shallow plain net: does depth still cost anything?"""
    residual = facts.deepest(facts.select(comparison, "residual", "batch"))
    shallow = next(iter(facts.select(comparison, "plain", "batch")), None)
    if residual is None or shallow is None or shallow.depth >= residual.depth or not comparable(shallow, residual):
        return
    duel = compare_losses(shallow, residual)
    if duel is None or duel.state not in ("equal", "b better") or facts.outcome(residual) != "learned":
        return
    words = "as well as" if duel.state == "equal" else "better than"
    without, skips = duel.losses
    yield found(
        "depth repaired",
        f"In {duel.length}, {residual.depth} layers with skips train {words} {shallow.depth} layers without ({skips} "
        f"against {without}).",
        shallow,
        residual,
    )


_DENSE = {
    "diverged": ("diverged", "the two cannot be judged at this learning rate"),
    "too short": ("too short", "too short to tell"),
    "a better": ("residual better", "the dense net trains less well here"),
    "equal": ("no clear difference", "no clear difference in training loss"),
    "b better": ("better", "the dense net trains better"),
    "neither learned": ("neither learned", "neither learned"),
}


def dense(comparison: Comparison) -> Iterator[Finding]:
    """Dense against residual: training loss, and parameters."""
    residual = facts.deepest(facts.select(comparison, "residual", "batch"))
    for net in facts.select(comparison, "dense"):
        pair = residual is not None and comparable(residual, net)
        duel = compare_losses(residual, net) if pair and residual is not None else None
        if duel is not None:
            rule, words = _DENSE[duel.state]
            yield found(f"dense: {rule}", f"{_told_dense(duel)}: {words}.", duel.a, net)
        elif facts.outcome(net) != "unfinished":
            sentence = f"{facts.label(net)} ({wording.dense_kind(net)}) {wording.what_came(net)}."
            yield found(f"dense alone: {facts.outcome(net)}", sentence, net)


def _told_dense(duel: Duel) -> str:
    kind = f"{wording.dense_kind(duel.b)} with {wording.size(duel.b, duel.a)}"
    if duel.state == "diverged":
        return f"{_diverged(duel)} ({facts.label(duel.b)}: {kind})"
    other, own = duel.losses
    return (
        f"In {duel.length} {facts.label(duel.b)} ({kind}) gets to a training loss of {own}, {facts.label(duel.a)} to "
        f"{other}"
    )


def _averages(duel: Duel) -> str:
    """'Over epoch 1 (156 steps) plain 20, BatchNorm averages a training loss of 1.31 and plain 56, BatchNorm 2.19'."""
    a, b = duel.losses
    when = f"Over epoch {duel.epochs} ({facts.counted(duel.steps, 'step')})"
    return f"{when} {facts.label(duel.a)} averages a training loss of {a} and {facts.label(duel.b)} {b}"


def _gets_to(duel: Duel, mean_is_told: bool) -> str:
    """What plain and residual came to, at which learning rate."""
    a, b = duel.losses
    mean = "" if mean_is_told else f" (mean over epoch {duel.epochs})"
    rate = units.number(duel.a.recipe.learning_rate)
    return (
        f"In {duel.length} at the same learning rate, {rate}, {facts.label(duel.b)} gets to a training loss of "
        f"{b}{mean}, its plain twin, {facts.label(duel.a)}, to {a}"
    )


def _parameters(duel: Duel) -> str:
    return f" ({units.count(duel.b.parameters)} parameters each)"


def _diverged(duel: Duel) -> str:
    """'Plain 56, BatchNorm diverged at step 31 at learning rate 0.05 and residual 56 did not'."""
    broken = [net for net in (duel.a, duel.b) if facts.diverged(net)]
    if len(broken) == 2:
        told = " and ".join(f"{facts.label(net)} {facts.divergence(net)}" for net in broken)
        return f"{told}, {rates_text(*broken)}"
    other: RunRecord = duel.b if broken[0] is duel.a else duel.a
    return (
        f"{facts.label(broken[0])} {facts.divergence(broken[0])} {rates_text(*broken)} and {facts.label(other)} did not"
    )
