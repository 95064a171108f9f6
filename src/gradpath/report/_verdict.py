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
from gradpath.report._say import say
from gradpath.report._single import best_on_test, effective_depth, initialisation, norm_free, plain_with_norm


def findings(comparison: Comparison) -> tuple[Finding, ...]:
    """What was seen, in reading order."""
    told_once = facts.distinct(comparison)
    return tuple(finding for rule in RULES for finding in rule(told_once))


def paragraph(comparison: Comparison) -> str:
    """The findings as one paragraph."""
    return say(" ", "").join(finding.sentence for finding in findings(comparison))


def interrupted(comparison: Comparison) -> Iterator[Finding]:
    if not comparison.interrupted:
        return
    cut = [net for net in comparison.nets if net.interrupted or not (net.epochs or facts.diverged(net))]
    who = wording.join(map(facts.label, cut)) if cut else ""
    names, after = who and say(f" Not finished: {who}.", f"未完成：{who}。"), units.seconds(comparison.seconds)
    yield found(
        "interrupted",
        say(
            f"The comparison was interrupted after {after}; only what was done is told.{names}",
            f"比较在 {after}后中断；这里只说已完成的部分。{names}",
        ),
        *cut,
    )


def nothing_learned(comparison: Comparison) -> Iterator[Finding]:
    nets = [net for net in comparison.nets if facts.outcome(net) != "unfinished"]
    if not nets:
        yield found(
            "nothing trained",
            say(
                "No net finished an epoch, so nothing can be said about training.",
                "没有网络完成一轮，所以对训练无话可说。",
            ),
        )
    elif facts.everything_diverged(comparison):
        yield found(
            "everything diverged",
            say(
                "Everything diverged: the learning rate is too high, or something is wrong with the data. "
                "So nothing is said here about depth or skips.",
                "全部发散：学习率太高，或数据有问题。所以这里不谈深度和跳跃连接。",
            ),
            *nets,
        )
    elif not any(facts.outcome(net) == "learned" for net in nets):
        guess = facts.loss_text(facts.guessing_loss(comparison.data))
        yield found(
            "nothing learned",
            say(
                f"No net learned: none has a training loss clearly below {guess}, that of guessing. "
                "So nothing is said here about depth or skips; train longer.",
                f"没有网络学到东西：训练损失都没有明显低于猜测的 {guess}。所以这里不谈深度和跳跃连接；请训练更久。",
            ),
            *nets,
        )


def caveat(comparison: Comparison) -> Iterator[Finding]:
    epochs = max((len(net.epochs) for net in comparison.nets), default=0)
    if epochs:
        seeds = len({net.seed for net in comparison.nets})
        one = say("This is one seed", "这只是一个随机种子")
        many = one if seeds == 1 else say(f"These are {seeds} seeds", f"这是 {seeds} 个随机种子")
        images, trained = facts.counted(comparison.data.train_images, "image"), facts.epochs_text(epochs)
        yield found(
            "caveat",
            say(
                f"{many}, {trained} of {images}: a demonstration, not a benchmark.",
                f"{many}、{images}上的 {trained}：是演示，不是基准测试。",
            ),
        )


RULES: tuple[Callable[[Comparison], Iterator[Finding]], ...] = (
    interrupted, nothing_learned, norm_free, initialisation, plain_with_norm, degradation, twins, depth_repaired, dense,
    effective_depth, best_on_test, caveat,
)  # fmt: skip
