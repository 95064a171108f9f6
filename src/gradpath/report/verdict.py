"""Rules from numbers to sentences: what a comparison showed, which need not be what the legend says.

Each rule looks at the whole comparison and yields the findings that it can stand behind, each with its numbers.
RULES is the order in which they are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

from gradpath import units
from gradpath.record import Comparison, RunRecord
from gradpath.report import facts, wording
from gradpath.report.duel import Duel, compare_losses
from gradpath.report.facts import Outcome


@dataclass(frozen=True)
class Finding:
    """One thing that was seen."""

    rule: str
    """The outcome's name, e.g. 'twins: residual better'."""
    sentence: str
    nets: tuple[str, ...]
    """Names of the nets it is about."""


def findings(comparison: Comparison) -> tuple[Finding, ...]:
    """What was seen, in reading order."""
    return tuple(finding for rule in RULES for finding in rule(comparison))


def paragraph(comparison: Comparison) -> str:
    """The findings as one paragraph."""
    return " ".join(finding.sentence for finding in findings(comparison))


def interrupted(comparison: Comparison) -> Iterator[Finding]:
    if not comparison.interrupted:
        return
    cut = [net for net in comparison.nets if net.interrupted or not (net.epochs or facts.diverged(net))]
    names = f" Not finished: {wording.join(map(facts.label, cut))}." if cut else ""
    yield _finding(
        "interrupted",
        f"The comparison was interrupted after {units.seconds(comparison.seconds)}; only what was done is told.{names}",
        *cut,
    )


def nothing_learned(comparison: Comparison) -> Iterator[Finding]:
    nets = [net for net in comparison.nets if facts.outcome(net) != "unfinished"]
    if not nets:
        yield _finding("nothing trained", "No net finished an epoch, so nothing can be said about training.")
    elif not any(facts.outcome(net) == "learned" for net in nets):
        guess = units.number(facts.guessing_loss(comparison))
        yield _finding(
            "nothing learned",
            f"No net learned: none has a training loss clearly below {guess}, that of guessing. "
            "So nothing is said here about depth or skips; train longer.",
            *nets,
        )


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
        who = facts.label(net)
        seen = f"In {who} {wording.journey(facts.initial(net))}, {link} " if fate != "unknown" else f"{who}"
        subject = "the net" if fate != "unknown" else ""
        yield _finding(
            f"norm-free: {fate}, {outcome}", f"{seen}{subject} {wording.what_came(net)}.".replace("  ", " "), net
        )


def initialisation(comparison: Comparison) -> Iterator[Finding]:
    """The same net without norm in two initialisations: does He's alone cure it?"""
    nets = {(n.family, n.depth, n.spec.init): n for n in comparison.nets if n.norm == "none"}
    for (family, depth, init), default in nets.items():
        he = nets.get((family, depth, "he"))
        if init == "he" or he is None:
            continue
        if facts.outcome(default) == "not learned" and facts.outcome(he) == "learned":
            yield _finding(
                "initialisation: cures",
                f"Nothing but the initialisation (and the learning rate that suits it) differs between the two "
                f"{family}-{depth} without norm: He's is enough to make it learn.",
                default,
                he,
            )


def plain_with_norm(comparison: Comparison) -> Iterator[Finding]:
    """The deepest plain net with BatchNorm: do its gradients vanish? (They grow, as a rule.)"""
    net = facts.deepest(facts.select(comparison, "plain", "batch"))
    flow = None if net is None else facts.initial(net)
    if net is None or flow is None or facts.fate(flow) == "unknown":
        return
    fate = facts.fate(flow)
    if fate in ("vanished", "not finite"):
        yield _finding(
            f"plain norm: {fate}", f"Even with BatchNorm, in {facts.label(net)} {wording.journey(flow)}.", net
        )
        return
    ratio = f"stem over head {facts.ratio_text(flow.stem_over_head)}"
    gain = facts.mean_gain(flow)
    verb = "shrink" if (fate == "shrank" if gain is None else gain < 1) else "grow"
    how = f"at initialisation they {verb} going backward ({wording.gains(flow)}{ratio})"
    explode = ", so far that they explode" if fate == "exploded" else ""
    yield _finding(
        f"plain norm: {fate}",
        f"With BatchNorm the gradients of {facts.label(net)} do not vanish: {how}{explode}.",
        net,
    )


_DEGRADATION = {
    "a better": ("degradation: seen", "the deeper net is worse on the very images it trains on, which is degradation, "
                 "not overfitting"),
    "equal": ("degradation: not seen", "no degradation is seen at this depth and length"),
    "b better": ("degradation: deeper better", "the deeper net trains better, so no degradation is seen"),
    "neither learned": ("degradation: neither learned", "neither learned, so degradation cannot be judged"),
}  # fmt: skip


def degradation(comparison: Comparison) -> Iterator[Finding]:
    """Plain nets of one kind at two depths: is the deeper one worse on the training images?"""

    def kind(net: RunRecord) -> tuple[str, str]:
        return net.norm, net.spec.init

    plain = facts.select(comparison, "plain")
    for _, group in groupby(sorted(plain, key=kind), kind):
        nets = sorted(group, key=lambda net: net.depth)
        duel = compare_losses(nets[0], nets[-1]) if nets[0].depth < nets[-1].depth else None
        if duel is not None:
            rule, words = _DEGRADATION[duel.state]
            yield _finding(rule, f"{_told(duel)}: {words}.", duel.a, duel.b)


_TWINS = {
    "a better": ("twins: plain better", "here the plain net trains better, and the skips did not help"),
    "equal": ("twins: no clear difference", "no clear difference at this length"),
    "b better": ("twins: residual better", "the skips make the difference"),
    "neither learned": ("twins: neither learned", "neither learned, so this says nothing about skips"),
}


def twins(comparison: Comparison) -> Iterator[Finding]:
    """Each residual net and the plain net that is the same without the add."""
    plain = {(n.depth, n.norm, n.spec.init, n.spec.width): n for n in facts.select(comparison, "plain")}
    for residual in facts.select(comparison, "residual"):
        twin = plain.get((residual.depth, residual.norm, residual.spec.init, residual.spec.width))
        duel = None if twin is None else compare_losses(twin, residual)
        if duel is None:
            continue
        rule, words = _TWINS[duel.state]
        if facts.outcome(residual) in ("diverged", "not learned") and duel.state == "a better":
            rule, words = "twins: residual fails", "here the residual net fails and its plain twin does not"
        same = duel.a.parameters == duel.b.parameters
        aside = f", its twin with skips{f' and as many parameters ({units.count(duel.b.parameters)})' if same else ''},"
        yield _finding(rule, f"{_told(duel, aside)}: {words}.", duel.a, duel.b)
        yield from _no_shallower(comparison, duel)


def _no_shallower(comparison: Comparison, duel: Duel) -> Iterator[Finding]:
    shallower = any(n.depth < duel.a.depth and n.norm == duel.a.norm for n in facts.select(comparison, "plain"))
    if duel.state == "b better" and not shallower:
        sentence = "Whether depth is to blame cannot be told here: no shallower plain net was trained beside it."
        yield _finding("twins: depth not tested", sentence, duel.a)


def depth_repaired(comparison: Comparison) -> Iterator[Finding]:
    """A deep residual net against the shallow plain net: does depth still cost anything?"""
    residual = facts.deepest(facts.select(comparison, "residual", "batch"))
    shallow = next(iter(facts.select(comparison, "plain", "batch")), None)
    if residual is None or shallow is None or shallow.depth >= residual.depth:
        return
    duel = compare_losses(shallow, residual)
    if duel is None or duel.state not in ("equal", "b better"):
        return
    words = "as well as" if duel.state == "equal" else "better than"
    yield _finding(
        "depth repaired",
        f"With skips {residual.depth} layers train {words} {shallow.depth} layers without ({duel.losses}).",
        shallow,
        residual,
    )


_DENSE = {
    "a better": ("dense: residual better", "it trains less well here"),
    "equal": ("dense: no clear difference", "no clear difference in training loss"),
    "b better": ("dense: better", "it trains better"),
    "neither learned": ("dense: neither learned", "neither learned"),
}


def dense(comparison: Comparison) -> Iterator[Finding]:
    """Dense against residual: training loss, and parameters."""
    residual = facts.deepest(facts.select(comparison, "residual", "batch"))
    for net in facts.select(comparison, "dense"):
        duel = None if residual is None else compare_losses(residual, net)
        if residual is None or duel is None:
            if facts.outcome(net) != "unfinished":
                yield _finding(
                    f"dense alone: {facts.outcome(net)}", f"{facts.label(net)} {wording.what_came(net)}.", net
                )
            continue
        rule, words = _DENSE[duel.state]
        yield _finding(rule, f"{_told(duel, f', {wording.size(net, residual)},')}: {words}.", residual, net)


def effective_depth(comparison: Comparison) -> Iterator[Finding]:
    net = facts.deepest(n for n in facts.select(comparison, "residual") if facts.initial(n) is not None)
    flow = None if net is None else facts.initial(net)
    if net is None or flow is None or flow.effective_depth is None or not math.isfinite(flow.effective_depth):
        return
    final = net.gradient.final if net.gradient else None
    later = ""
    if final is not None and final.effective_depth is not None and math.isfinite(final.effective_depth):
        later = f" before training and {units.number(final.effective_depth, 3)} after it"
    yield _finding(
        "effective depth",
        f"{facts.label(net)} is {net.depth} layers deep, but the gradient that "
        f"reaches its stem passed {units.number(flow.effective_depth, 3)} of its {len(flow.residual_forks)} branches "
        f"on average{later}.",
        net,
    )


def best_on_test(comparison: Comparison) -> Iterator[Finding]:
    nets = [n for n in comparison.nets if facts.outcome(n) == "learned"]
    if not nets:
        return
    ranked = sorted(nets, key=lambda net: -net.epochs[-1].test_accuracy)
    best, accuracy = ranked[0], ranked[0].epochs[-1].test_accuracy
    tied = [n for n in ranked[1:] if accuracy - n.epochs[-1].test_accuracy < _test_noise(best, accuracy)]
    rule, also = "test: one best", ""
    if tied:
        rule, also = (
            "test: tied",
            f"; {wording.join(map(facts.label, tied))} within the noise of {best.data.test_images:,} images",
        )
    gap = best.epochs[-1].train_accuracy - accuracy
    fits = f" (it fits the training images better: {units.percent(accuracy + gap)})" if gap > facts.WORD_GAP else ""
    sentence = f"On the test images {facts.label(best)} is best with {units.percent(accuracy)} right{fits}{also}."
    yield _finding(rule, sentence, best, *tied)


def _test_noise(net: RunRecord, accuracy: float) -> float:
    """Two standard errors of the difference of two such accuracies on this many test images."""
    return 2 * math.sqrt(2 * accuracy * (1 - accuracy) / max(net.data.test_images, 1))


def caveat(comparison: Comparison) -> Iterator[Finding]:
    epochs = max((len(net.epochs) for net in comparison.nets), default=0)
    if epochs:
        images = f"{comparison.data.train_images:,} images"
        length = facts.epochs_text(epochs)
        yield _finding("caveat", f"This is one seed, {length} of {images}: a demonstration, not a benchmark.")


RULES: tuple[Callable[[Comparison], Iterator[Finding]], ...] = (
    interrupted, nothing_learned, norm_free, initialisation, plain_with_norm, degradation, twins, depth_repaired, dense,
    effective_depth, best_on_test, caveat,
)  # fmt: skip


def _finding(rule: str, sentence: str, *nets: RunRecord) -> Finding:
    return Finding(rule, sentence[0].upper() + sentence[1:], tuple(net.name for net in nets))


def _told(duel: Duel, aside: str = "") -> str:
    """'After 2 epochs plain-20 has a training loss of 0.51 and plain-56 1.87'."""
    return f"{duel.after}{facts.label(duel.a)} {duel.a_did} and {facts.label(duel.b)}{aside} {duel.b_did}"
