"""Clauses that the rules put together into sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gradpath import units
from gradpath.record import Flow, RunRecord
from gradpath.report import _facts as facts
from gradpath.report._say import language, listed, say


def join(items: Iterable[str]) -> str:
    """'a', 'a and b', 'a, b and c'; 'a; b; and c' where a comma belongs to a name."""
    *most, last = items
    if language() == "zh":
        return f"{listed(most)} 和 {last}" if most else last
    if len(most) > 1 and any("," in item for item in [*most, last]):
        return f"{'; '.join(most)}; and {last}"
    return f"{', '.join(most)} and {last}" if most else last


def explained(net: RunRecord) -> str:
    """The name and, in brackets, what it does not say: 'plain 56, no norm (PyTorch's default initialisation)'."""
    name, words = facts.label(net), []
    if net.norm == "none":
        words += [say("no norm", "无归一化")] * ("no norm" not in name)
        is_he = facts.spec_of(net).init == "he"
        default = say("PyTorch's default initialisation", "PyTorch 默认初始化")
        words.append(say("He's initialisation", "He 初始化") if is_he else default)
    return say(f"{name} ({', '.join(words)})", f"{name}（{'、'.join(words)}）") if words else name


def dense_kind(net: RunRecord) -> str:
    """'a DenseNet-BC': a bottleneck before each layer, half the channels kept between blocks."""
    label = facts.spec_of(net).label.rsplit(" ", 1)[0]
    return say(f"a {label}", label)


def change(flow: Flow) -> str:
    """What the gradient does between head and stem, as a verb."""
    if facts.steady(flow):
        return say("hardly changes", "几乎不变")
    verbs = {
        "vanished": ("vanishes", "消失"),
        "shrank": ("shrinks", "缩小"),
        "grew": ("grows", "增大"),
        "exploded": ("explodes", "爆炸"),
    }
    return say(*verbs.get(facts.fate(flow), ("is not finite", "变为非有限")))


def journey(flow: Flow | None) -> str:
    """What became of the gradient between head and stem, at initialisation."""
    fate = facts.fate(flow)
    if flow is None or fate == "unknown":
        return say("no gradient was traced", "没有追踪梯度")
    if fate == "not finite":
        return say("the gradient is not finite already at initialisation", "梯度在初始化时就非有限")
    if flow.stem_over_head == 0:
        return say(
            "the gradient vanishes already at initialisation (at the stem it is exactly 0)",
            "梯度在初始化时就消失了（在首层恰为 0）",
        )
    norm = facts.ratio_text(flow.stem_gradient_norm, 2)
    ratio, lost = facts.ratio_text(flow.stem_over_head, 2), fate in ("vanished", "exploded")
    but = "" if lost else say(", but does not vanish,", "，但没有消失")
    when = say("already at initialisation", "初始化时就已") if lost else say("at initialisation", "初始化时")
    return say(
        f"the gradient {change(flow)}{but} {when} (its norm at the stem is {norm}, {ratio} times that at the head)",
        f"梯度在{when}{change(flow)}{but}（在首层的范数为 {norm}，是头部的 {ratio} 倍）",
    )


def what_came(net: RunRecord) -> str:
    """'learned: its training loss is 0.51 after 2 epochs'."""
    outcome = facts.outcome(net)
    epoch = facts.last_epoch(net)
    if outcome == "diverged":
        rate = facts.learning_rate_text(net)
        return say(f"{facts.divergence(net)} ({rate})", f"{facts.divergence(net)}（{rate}）")
    if epoch is None:
        return say("finished no epoch", "没有完成任何一轮")
    if outcome == "learned":
        reached = facts.loss_text(epoch.train_loss)
        return say(
            f"learned: its training loss is {reached} after {length(net)}",
            f"学到了：{length(net)}之后训练损失为 {reached}",
        )
    guess = facts.loss_text(facts.guessing_loss(net.data), 3)
    rates, loss = len(net.trials), facts.loss_text(epoch.train_loss, 3)
    best = say(f", even at the best of {rates} learning rates", f"（即使用 {rates} 个学习率中最好的）")
    tried = best if rates > 1 else ""
    return say(
        f"did not learn in {length(net)}{tried}: its training loss is {loss}, and guessing gives {guess}",
        f"在 {length(net)}内没有学到东西{tried}：训练损失为 {loss}，而猜测的损失为 {guess}",
    )


def length(net: RunRecord) -> str:
    """How long a net was trained: '156 steps' where these are few, else '10 epochs'."""
    epochs = len(net.epochs)
    steps = facts.steps_at(net, epochs)
    return facts.counted(steps, "step") if steps < facts.PLAIN_CLAIM_STEPS else facts.epochs_text(epochs)


def gains(flow: Flow) -> str:
    """'. Within one resolution, its energy changes by ×1.38 to ×1.45 per layer', or '' where no line describes it."""
    seen = sorted(g.energy_gain for g in flow.gain_per_layer if math.isfinite(g.energy_gain) and facts.trend(g))
    if not seen:
        return ""
    low, high = units.number(seen[0], 3), units.number(seen[-1], 3)
    factor = f"×{low}" if low == high else say(f"×{low} to ×{high}", f"×{low} 到 ×{high}")
    return say(
        f". Within one resolution, its energy changes by {factor} per layer",
        f"。在同一分辨率内，它的能量每层变化 {factor}",
    )


_PARTS = {2: "half", 3: "a third", 4: "a quarter", 5: "a fifth", 6: "a sixth", 7: "a seventh", 8: "an eighth",
          9: "a ninth", 10: "a tenth"}  # fmt: skip
_PARTS_ZH = {2: "一半", 3: "三分之一", 4: "四分之一", 5: "五分之一", 6: "六分之一", 7: "七分之一", 8: "八分之一",
             9: "九分之一", 10: "十分之一"}  # fmt: skip


def size(net: RunRecord, other: RunRecord) -> str:
    """'109.4 k parameters, about an eighth of those of residual 56'."""
    parameters, name = units.count(net.parameters), facts.label(other)
    own, whose = say(f"{parameters} parameters", f"{parameters} 个参数"), say(f"those of {name}", name)
    ratio = other.parameters / max(net.parameters, 1)
    if 0.95 < ratio < 1.05:
        return say(f"{own}, about as many as {name}", f"{own}，与 {name} 差不多")
    if ratio < 1:
        times = units.number(1 / ratio, 2)
        return say(f"{own}, {times} times {whose}", f"{own}，是 {whose} 的 {times} 倍")
    whole, percent = round(ratio), f"{100 / ratio:.0f} %"
    is_part = whole in _PARTS and (abs(ratio - whole) < 0.4 or ratio > 3)
    part = say(_PARTS[whole], _PARTS_ZH[whole]) if is_part else percent
    return say(f"{own}, about {part} of {whose}", f"{own}，约为 {whose} 的 {part}")
