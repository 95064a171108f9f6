"""Rules from numbers to sentences: what a comparison showed, which need not be what the legend says.

Each rule looks at the whole comparison and yields the findings that it can stand behind, each with its numbers.
RULES is the order in which they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gradpath import units
from gradpath.record import Comparison
from gradpath.report import _facts as facts
from gradpath.report import _wording as wording
from gradpath.report._finding import Finding, found
from gradpath.report._pairs import degradation, dense, depth_repaired, twins
from gradpath.report._single import best_on_test, effective_depth, initialisation, norm_free, plain_with_norm


def findings(comparison: Comparison) -> tuple[Finding, ...]:
    """What was seen, in reading order."""
    told_once = facts.distinct(comparison)
    return tuple(finding for rule in RULES for finding in rule(told_once))


def paragraph(comparison: Comparison) -> str:
    """The findings as one paragraph."""
    return " ".join(finding.sentence for finding in findings(comparison))


def interrupted(comparison: Comparison) -> Iterator[Finding]:
    if not comparison.interrupted:
        return
    cut = [net for net in comparison.nets if net.interrupted or not (net.epochs or facts.diverged(net))]
    names = f" Not finished: {wording.join(map(facts.label, cut))}." if cut else ""
    yield found(
        "interrupted",
        f"The comparison was interrupted after {units.seconds(comparison.seconds)}; only what was done is told.{names}",
        *cut,
    )


def nothing_learned(comparison: Comparison) -> Iterator[Finding]:
    nets = [net for net in comparison.nets if facts.outcome(net) != "unfinished"]
    if not nets:
        yield found("nothing trained", "No net finished an epoch, so nothing can be said about training.")
    elif facts.everything_diverged(comparison):
        yield found(
            "everything diverged",
            "Everything diverged: the learning rate is too high, or something is wrong with the data. "
            "So nothing is said here about depth or skips.",
            *nets,
        )
    elif not any(facts.outcome(net) == "learned" for net in nets):
        guess = facts.loss_text(facts.guessing_loss(comparison.data))
        yield found(
            "nothing learned",
            f"No net learned: none has a training loss clearly below {guess}, that of guessing. "
            "So nothing is said here about depth or skips; train longer.",
            *nets,
        )


def caveat(comparison: Comparison) -> Iterator[Finding]:
    epochs = max((len(net.epochs) for net in comparison.nets), default=0)
    if epochs:
        seeds = len({net.seed for net in comparison.nets})
        many = "This is one seed" if seeds == 1 else f"These are {seeds} seeds"
        images = facts.counted(comparison.data.train_images, "image")
        yield found("caveat", f"{many}, {facts.epochs_text(epochs)} of {images}: a demonstration, not a benchmark.")


RULES: tuple[Callable[[Comparison], Iterator[Finding]], ...] = (
    interrupted, nothing_learned, norm_free, initialisation, plain_with_norm, degradation, twins, depth_repaired, dense,
    effective_depth, best_on_test, caveat,
)  # fmt: skip
