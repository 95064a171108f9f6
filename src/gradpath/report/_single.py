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
from gradpath.report._say import say

_NORM_FREE_LINK: dict[tuple[bool, Outcome], tuple[str, str]] = {
    (True, "not learned"): ("and", ""),
    (True, "learned"): ("and yet", "然而"),
    (True, "diverged"): ("and then", "随后"),
    (False, "not learned"): ("and yet", "然而"),
    (False, "learned"): ("and", ""),
    (False, "diverged"): ("and yet", "然而"),
}
"""(did the gradient vanish or explode, what came of it) → how the two halves of the sentence are joined."""


def norm_free(comparison: Comparison) -> Iterator[Finding]:
    """Nets without norm: did the gradient reach the stem, and did the net learn?"""
    for net in (n for n in comparison.nets if n.norm == "none"):
        fate, outcome = facts.fate(facts.initial(net)), facts.outcome(net)
        lost = fate in ("vanished", "exploded", "not finite")
        link, linked = _NORM_FREE_LINK.get((lost, outcome), ("and", ""))
        who, came, way = wording.explained(net), wording.what_came(net), wording.journey(facts.initial(net))
        if fate == "unknown":
            told = say(f"{who} {came}.", f"{who} {came}。")
        else:
            told = say(f"In {who} {way}, {link} the net {came}.", f"在 {who} 中，{way}，{linked}网络{came}。")
        yield found(f"norm-free: {fate}, {outcome}", told, net)


def initialisation(comparison: Comparison) -> Iterator[Finding]:
    """The same net without norm in two initialisations: does He's alone cure it?"""
    bare = [net for net in comparison.nets if net.norm == "none"]
    for default in (net for net in bare if facts.spec_of(net).init == "default"):
        spec = replace(facts.spec_of(default), init="he")
        he = next((n for n in bare if n.spec == spec and n.seed == default.seed), None)
        if he is None or facts.outcome(default) != "not learned" or facts.outcome(he) != "learned":
            continue
        too = say(" (and the learning rate that suits it)", "（以及与之相配的学习率）")
        rate, a, b = "" if default.recipe == he.recipe else too, facts.label(default), facts.label(he)
        yield found(
            "initialisation: cures",
            say(
                f"Nothing but the initialisation{rate} differs between {a} and {b}: He's is enough to make it learn.",
                f"{a} 与 {b} 只有初始化{rate}不同：He 初始化就足以让它学会。",
            ),
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
        name, way = facts.label(net), wording.journey(flow)
        told = say(f"Even with BatchNorm, in {name} {way}.", f"即使有 BatchNorm，在 {name} 中{way}。")
        yield found(f"plain norm: {fate}", told, net)
        return
    ratio = facts.ratio_text(flow.stem_over_head)
    limit, change, name, gains = f"{facts.EXPLODED:.0f}", wording.change(flow), facts.label(net), wording.gains(flow)
    beyond = say(f"more than {limit}, so it explodes", f"超过 {limit}，所以爆炸")
    far = beyond if fate == "exploded" else say(f"it {change}", change)
    told = say(
        f"The gradient of {name} does not vanish: already at initialisation, its norm at the stem is {ratio} times "
        f"that at the head ({far} going backward){gains}.",
        f"{name} 的梯度没有消失：初始化时，它在首层的范数就是头部的 {ratio} 倍（往回{far}）{gains}。",
    )
    yield found(f"plain norm: {fate}", told, net)


def effective_depth(comparison: Comparison) -> Iterator[Finding]:
    """Of the deepest residual net; no average where paths cancel."""
    net = facts.deepest(n for n in facts.select(comparison, "residual") if facts.initial(n) is not None)
    flow = None if net is None else facts.initial(net)
    if net is None or flow is None or flow.effective_depth is None:
        return
    depth, branches = facts.effective_depth(flow), len(flow.residual_forks)
    name = facts.label(net)
    if depth is None:
        told = say(f"In {name} {_cancel()} at initialisation.", f"初始化时，在 {name} 中{_cancel()}。")
        yield found("effective depth: paths cancel", told, net)
        return
    passed, whole = units.number(depth, 3), facts.counted(branches, "branch", "branches")
    told = say(
        f"{name} is {net.depth} layers deep, but the gradient that reaches its stem passed {passed} of its {whole} on "
        f"average at initialisation{_later(net)}.",
        f"{name} 深 {net.depth} 层，但初始化时到达首层的梯度平均只经过了 {whole}中的 {passed} 个{_later(net)}。",
    )
    yield found("effective depth", told, net)


def _cancel() -> str:
    return say(
        "paths of opposite sign cancel, so there is no average number of branches",
        "符号相反的路径相互抵消，所以没有平均分支数",
    )


def _later(net: RunRecord) -> str:
    final: Flow | None = net.gradient.final if net.gradient else None
    if final is None or final.effective_depth is None:
        return ""
    depth = facts.effective_depth(final)
    if depth is None:
        return say(f"; after training {_cancel()}", f"；训练后{_cancel()}")
    passed = units.number(depth, 3)
    return say(f" and {passed} after training", f"，训练后为 {passed} 个")


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
    told = f"{_best(comparison, best, one)}{_near(near, len(best))}"
    yield found(rule, say(f"{told}.", f"{told}。"), *best, *near)


def _best(comparison: Comparison, best: list[RunRecord], one: bool) -> str:
    """'residual 56 is best with 76.9 % of the test images right'; a net that was interrupted is not called best."""
    epoch, names = best[0].epochs[-1], wording.join(map(facts.label, best))
    right, is_one = units.percent(epoch.test_accuracy), len(best) == 1
    if one:
        told = say(f"{names} gets {right} of the test images right", f"{names} 答对 {right} 的测试图像")
    elif comparison.interrupted or any(net.interrupted for net in best):
        get = "gets" if is_one else "get"
        told = say(
            f"so far {names} {get} the most test images right: {right}", f"目前 {names} 答对的测试图像最多：{right}"
        )
    else:
        be = "is" if is_one else "are"
        told = say(f"{names} {be} best with {right} of the test images right", f"{names} 最好，答对 {right} 的测试图像")
    if is_one and epoch.train_accuracy - facts.unseen_accuracy(epoch) > facts.WORD_GAP:
        fits = units.percent(epoch.train_accuracy)
        told += say(f" (it fits the training images better: {fits})", f"（它对训练图像拟合得更好：{fits}）")
    return told


def _near(near: list[RunRecord], best: int) -> str:
    if not near:
        return ""
    be, names, whom = (
        "is" if len(near) == 1 else "are",
        wording.join(map(facts.label, near)),
        "it" if best == 1 else "them",
    )
    return say(f"; {names} {be} within the noise of {whom}", f"；{names} 与之相差在噪声之内")


def _test_noise(accuracy: float, images: int) -> float:
    """Two standard errors of the difference of two such accuracies; (k+1)/(n+2) keeps it above 0 where all is right."""
    smoothed = (accuracy * images + 1) / (images + 2)
    return 2 * math.sqrt(2 * smoothed * (1 - smoothed) / max(images, 1))
