"""Rules about two nets: two depths, with and without skips, dense against residual."""

from __future__ import annotations

from collections.abc import Iterator

from gradpath import units
from gradpath.record import Comparison, RunRecord
from gradpath.report import _facts as facts
from gradpath.report import _wording as wording
from gradpath.report._duel import Duel, comparable, compare_losses, depth_pairs, rates_text, twin_pairs
from gradpath.report._finding import Finding, found
from gradpath.report._say import say


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
        broken = _diverged(duel)
        return "diverged", say(
            f"{broken}: degradation cannot be judged at this learning rate.", f"{broken}：在这个学习率下无法评判退化。"
        )
    means = _averages(duel)
    if duel.state == "too short":
        return "too short", say(f"{means}: too short to tell.", f"{means}：太短，无法判断。")
    if duel.state != "b better" and facts.outcome(duel.a) != "learned":
        neither = duel.state == "neither learned"
        which = "neither learned" if neither else "the shallower one did not learn"
        zh = "两者都没有学到东西" if neither else "较浅的那个没有学到东西"
        return which, say(f"{means}: {which}, so degradation cannot be judged.", f"{means}：{zh}，所以无法评判退化。")
    if duel.state == "equal":
        return "not seen", say(
            f"{means}: no degradation is seen at this depth and length.", f"{means}：在这个深度和时长下没有看到退化。"
        )
    if duel.state == "b better":
        return "deeper better", say(
            f"{means}: the deeper net trains better, so no degradation is seen.",
            f"{means}：较深的网络训练得更好，所以没有看到退化。",
        )
    worse = say(
        f"{means}: the deeper net trains worse on the very images it trains on",
        f"{means}：较深的网络在自己的训练图像上反而训练得更差",
    )
    if duel.early:
        return "begins", say(
            f"{worse}, so this is not overfitting; it is how degradation begins, and a longer run shows whether it "
            "stays.",
            f"{worse}，所以这不是过拟合；退化就是这样开始的，更长的运行会显示它是否持续。",
        )
    return "seen", say(f"{worse}, which is degradation, not overfitting.", f"{worse}，这是退化，不是过拟合。")


def twins(comparison: Comparison) -> Iterator[Finding]:
    """Each residual net and the plain net that is the same without the add."""
    mean_is_told = any(True for _ in depth_pairs(comparison))
    for plain, residual in twin_pairs(comparison):
        duel = compare_losses(plain, residual)
        if duel is None:
            continue
        rule, words = _twins(duel)
        told = _diverged(duel) if duel.state == "diverged" else _gets_to(duel, mean_is_told)
        yield found(f"twins: {rule}", say(f"{told}: {words}.", f"{told}：{words}。"), plain, residual)
        yield from _no_shallower(comparison, duel)


def _twins(duel: Duel) -> tuple[str, str]:
    """(outcome, what it means)."""
    alike = duel.a.parameters == duel.b.parameters
    each = _parameters(duel) if alike else ""
    only = say(f"the skips are the only difference between the two{each}", f"跳跃连接是两者唯一的不同{each}")
    better = only if duel.early else say(f"{only}, and they make it train better", f"{only}，而它们使训练更好")
    fails = facts.outcome(duel.b) == "not learned" and duel.state == "a better"
    return {
        "diverged": (
            "diverged",
            say("what skips do cannot be judged at this learning rate", "在这个学习率下无法评判跳跃连接的作用"),
        ),
        "too short": ("too short", say("too short to tell", "太短，无法判断")),
        "neither learned": (
            "neither learned",
            say("neither learned, so this says nothing about skips", "两者都没有学到东西，所以说明不了跳跃连接"),
        ),
        "equal": ("no clear difference", say("no clear difference at this length", "在这个时长下没有明显差别")),
        "b better": ("residual better", better),
        "a better": (
            "residual fails",
            say("here the residual net fails and its plain twin does not", "这里残差网络失败了，而对应的普通网络没有"),
        )
        if fails
        else (
            "plain better",
            say(
                "here the plain net trains better, and the skips did not help",
                "这里普通网络训练得更好，跳跃连接没有帮助",
            ),
        ),
    }[duel.state]


def _no_shallower(comparison: Comparison, duel: Duel) -> Iterator[Finding]:
    shallower = any(n.depth < duel.a.depth and n.norm == duel.a.norm for n in facts.select(comparison, "plain"))
    if duel.state == "b better" and not shallower:
        sentence = say(
            "Whether depth is to blame cannot be told here: no shallower plain net was trained beside it.",
            "这里看不出是否该怪深度：旁边没有训练更浅的普通网络。",
        )
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
    alike = duel.state == "equal"
    words, than, zh = ("as well as", "与", "一样好") if alike else ("better than", "比", "更好")
    (without, skips), deep, flat = duel.losses, residual.depth, shallow.depth
    told = say(
        f"In {duel.length}, {deep} layers with skips train {words} {flat} layers without ({skips} against {without}).",
        f"{duel.length}之内，有跳跃连接的 {deep} 层{than}没有的 {flat} 层训练得{zh}（{skips} 对 {without}）。",
    )
    yield found("depth repaired", told, shallow, residual)


_DENSE = {
    "diverged": ("diverged", "the two cannot be judged at this learning rate", "在这个学习率下无法评判两者"),
    "too short": ("too short", "too short to tell", "太短，无法判断"),
    "a better": ("residual better", "the dense net trains less well here", "密集网络在这里训练得较差"),
    "equal": ("no clear difference", "no clear difference in training loss", "训练损失没有明显差别"),
    "b better": ("better", "the dense net trains better", "密集网络训练得更好"),
    "neither learned": ("neither learned", "neither learned", "两者都没有学到东西"),
}


def dense(comparison: Comparison) -> Iterator[Finding]:
    """Dense against residual: training loss, and parameters."""
    residual = facts.deepest(facts.select(comparison, "residual", "batch"))
    for net in facts.select(comparison, "dense"):
        pair = residual is not None and comparable(residual, net)
        duel = compare_losses(residual, net) if pair and residual is not None else None
        if duel is not None:
            (rule, words, zh), told = _DENSE[duel.state], _told_dense(duel)
            yield found(f"dense: {rule}", say(f"{told}: {words}.", f"{told}：{zh}。"), duel.a, net)
        elif facts.outcome(net) != "unfinished":
            name, kind, came = facts.label(net), wording.dense_kind(net), wording.what_came(net)
            sentence = say(f"{name} ({kind}) {came}.", f"{name}（{kind}）{came}。")
            yield found(f"dense alone: {facts.outcome(net)}", sentence, net)


def _told_dense(duel: Duel) -> str:
    a, b, (other, own) = facts.label(duel.a), facts.label(duel.b), duel.losses
    dense, size = wording.dense_kind(duel.b), wording.size(duel.b, duel.a)
    kind = say(f"{dense} with {size}", f"{dense}，{size}")
    if duel.state == "diverged":
        return say(f"{_diverged(duel)} ({b}: {kind})", f"{_diverged(duel)}（{b}：{kind}）")
    return say(
        f"In {duel.length} {b} ({kind}) gets to a training loss of {own}, {a} to {other}",
        f"{duel.length}之内，{b}（{kind}）的训练损失达到 {own}，{a} 达到 {other}",
    )


def _averages(duel: Duel) -> str:
    """'Over epoch 1 (156 steps) plain 20, BatchNorm averages a training loss of 1.31 and plain 56, BatchNorm 2.19'."""
    (a, b), one, other = duel.losses, facts.label(duel.a), facts.label(duel.b)
    epoch, steps = duel.epochs, facts.counted(duel.steps, "step")
    return say(
        f"Over epoch {epoch} ({steps}) {one} averages a training loss of {a} and {other} {b}",
        f"第 {epoch} 轮（{steps}）中，{one} 的平均训练损失为 {a}，{other} 为 {b}",
    )


def _gets_to(duel: Duel, mean_is_told: bool) -> str:
    """What plain and residual came to, at which learning rate."""
    (a, b), plain, residual = duel.losses, facts.label(duel.a), facts.label(duel.b)
    mean = "" if mean_is_told else say(f" (mean over epoch {duel.epochs})", f"（第 {duel.epochs} 轮的平均）")
    rate = units.number(duel.a.recipe.learning_rate)
    return say(
        f"In {duel.length} at the same learning rate, {rate}, {residual} gets to a training loss of {b}{mean}, its "
        f"plain twin, {plain}, to {a}",
        f"{duel.length}之内，学习率同为 {rate}，{residual} 的训练损失达到 {b}{mean}，对应的普通网络 {plain} 达到 {a}",
    )


def _parameters(duel: Duel) -> str:
    parameters = units.count(duel.b.parameters)
    return say(f" ({parameters} parameters each)", f"（各有 {parameters} 个参数）")


def _diverged(duel: Duel) -> str:
    """'Plain 56, BatchNorm diverged at step 31 at learning rate 0.05 and residual 56 did not'."""
    broken = [net for net in (duel.a, duel.b) if facts.diverged(net)]
    if len(broken) == 2:
        told = say(" and ", "，").join(f"{facts.label(net)} {facts.divergence(net)}" for net in broken)
        rates = rates_text(*broken)
        return say(f"{told}, {rates}", f"{told}，都{rates}")
    other: RunRecord = duel.b if broken[0] is duel.a else duel.a
    one, came, rates = facts.label(broken[0]), facts.divergence(broken[0]), rates_text(*broken)
    return say(
        f"{one} {came} {rates} and {facts.label(other)} did not", f"{one} {rates}{came}，而 {facts.label(other)} 没有"
    )
