"""Rules about one net at a time: its gradient at initialisation, its effective depth, the best on the test images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from gradpath import units
from gradpath.record import Comparison, Flow, RunRecord
from gradpath.report import _facts as facts
from gradpath.report import _wording as wording
from gradpath.report._facts import Outcome
from gradpath.report._finding import Finding, found

_NORM_FREE_LINK: dict[tuple[bool, Outcome], str] = {
    (True, "not learned"): "and",
    (True, "learned"): "and yet",
    (True, "diverged"): "and then",
    (False, "not learned"): "and yet",
    (False, "learned"): "and",
    (False, "diverged"): "and yet",
}
"""(did the gradient vanish or explode, what came of it) → how the two halves of the sentence are joined."""


def norm_free(comparison: Comparison) -> Iterator[Finding]:
    """Nets without norm: did the gradient reach the stem, and did the net learn?"""
    for net in (n for n in comparison.nets if n.norm == "none"):
        fate, outcome = facts.fate(facts.initial(net)), facts.outcome(net)
        lost = fate in ("vanished", "exploded", "not finite")
        link = _NORM_FREE_LINK.get((lost, outcome), "and")
        who, came = wording.explained(net), wording.what_came(net)
        told = f"{who} {came}." if fate == "unknown" else f"In {who} {wording.journey(facts.initial(net))}, {link} "
        yield found(f"norm-free: {fate}, {outcome}", told if fate == "unknown" else f"{told}the net {came}.", net)


def initialisation(comparison: Comparison) -> Iterator[Finding]:
    """The same net without norm in two initialisations: does He's alone cure it?"""
    bare = [net for net in comparison.nets if net.norm == "none"]
    for default in (net for net in bare if facts.spec_of(net).init == "default"):
        spec = replace(facts.spec_of(default), init="he")
        he = next((n for n in bare if n.spec == spec and n.seed == default.seed), None)
        if he is None or facts.outcome(default) != "not learned" or facts.outcome(he) != "learned":
            continue
        rate = "" if default.recipe == he.recipe else " (and the learning rate that suits it)"
        yield found(
            "initialisation: cures",
            f"Nothing but the initialisation{rate} differs between {facts.label(default)} and {facts.label(he)}: He's "
            "is enough to make it learn.",
            default,
            he,
        )


def plain_with_norm(comparison: Comparison) -> Iterator[Finding]:
    """The deepest plain net with BatchNorm: do its gradients vanish? (They grow, as a rule.)

    Verb and fate come from one quantity, stem over head; the gain per layer leaves out the down-samplings.
    """
    net = facts.deepest(facts.select(comparison, "plain", "batch"))
    flow = None if net is None else facts.initial(net)
    if net is None or flow is None or facts.fate(flow) == "unknown":
        return
    fate = facts.fate(flow)
    if fate in ("vanished", "not finite"):
        yield found(f"plain norm: {fate}", f"Even with BatchNorm, in {facts.label(net)} {wording.journey(flow)}.", net)
        return
    ratio = facts.ratio_text(flow.stem_over_head)
    far = f"more than {facts.EXPLODED:.0f}, so it explodes" if fate == "exploded" else f"it {wording.change(flow)}"
    yield found(
        f"plain norm: {fate}",
        f"The gradient of {facts.label(net)} does not vanish: already at initialisation, its norm at the stem is "
        f"{ratio} times that at the head ({far} going backward){wording.gains(flow)}.",
        net,
    )


def effective_depth(comparison: Comparison) -> Iterator[Finding]:
    """Of the deepest residual net; no average where paths cancel."""
    net = facts.deepest(n for n in facts.select(comparison, "residual") if facts.initial(n) is not None)
    flow = None if net is None else facts.initial(net)
    if net is None or flow is None or flow.effective_depth is None:
        return
    depth, branches = facts.effective_depth(flow), len(flow.residual_forks)
    name = facts.label(net)
    if depth is None:
        yield found("effective depth: paths cancel", f"In {name} {CANCEL} at initialisation.", net)
        return
    yield found(
        "effective depth",
        f"{name} is {net.depth} layers deep, but the gradient that reaches its stem passed {units.number(depth, 3)} of "
        f"its {facts.counted(branches, 'branch', 'branches')} on average at initialisation{_later(net)}.",
        net,
    )


CANCEL = "paths of opposite sign cancel, so there is no average number of branches"


def _later(net: RunRecord) -> str:
    final: Flow | None = net.gradient.final if net.gradient else None
    if final is None or final.effective_depth is None:
        return ""
    depth = facts.effective_depth(final)
    return f"; after training {CANCEL}" if depth is None else f" and {units.number(depth, 3)} after training"


def best_on_test(comparison: Comparison) -> Iterator[Finding]:
    """Who gets most test images right, who as many, and who cannot be told from them."""
    nets = [n for n in comparison.nets if facts.outcome(n) == "learned"]
    if not nets:
        return
    ranked = sorted(nets, key=lambda net: -facts.unseen_accuracy(net.epochs[-1]))
    accuracy = facts.unseen_accuracy(ranked[0].epochs[-1])
    best = [n for n in ranked if facts.unseen_accuracy(n.epochs[-1]) == accuracy]
    noise = _test_noise(accuracy, comparison.data.test_images)
    near = [n for n in ranked[len(best) :] if accuracy - facts.unseen_accuracy(n.epochs[-1]) <= noise]
    one = len([n for n in comparison.nets if n.epochs]) == 1
    rule = "test: one net" if one else "test: tied" if near or len(best) > 1 else "test: one best"
    yield found(rule, f"{_best(comparison, best, one)}{_near(near, len(best))}.", *best, *near)


def _best(comparison: Comparison, best: list[RunRecord], one: bool) -> str:
    """'residual 56 is best with 76.9 % of the test images right'; a net that was interrupted is not called best."""
    epoch, names = best[0].epochs[-1], wording.join(map(facts.label, best))
    right = f"{units.percent(epoch.test_accuracy)} of the test images right"
    if one:
        told = f"{names} gets {right}"
    elif comparison.interrupted or any(net.interrupted for net in best):
        told = f"so far {names} {'gets' if len(best) == 1 else 'get'} the most test images right: "
        told += units.percent(epoch.test_accuracy)
    else:
        told = f"{names} {'is' if len(best) == 1 else 'are'} best with {right}"
    if len(best) == 1 and epoch.train_accuracy - facts.unseen_accuracy(epoch) > facts.WORD_GAP:
        told += f" (it fits the training images better: {units.percent(epoch.train_accuracy)})"
    return told


def _near(near: list[RunRecord], best: int) -> str:
    if not near:
        return ""
    be = "is" if len(near) == 1 else "are"
    return f"; {wording.join(map(facts.label, near))} {be} within the noise of {'it' if best == 1 else 'them'}"


def _test_noise(accuracy: float, images: int) -> float:
    """Two standard errors of the difference of two such accuracies; (k+1)/(n+2) keeps it above 0 where all is right."""
    smoothed = (accuracy * images + 1) / (images + 2)
    return 2 * math.sqrt(2 * smoothed * (1 - smoothed) / max(images, 1))
