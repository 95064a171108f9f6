"""The one sentence that stands above a page or a picture: what a reader should take away in five seconds."""

from __future__ import annotations

from gradpath import units
from gradpath.record import Comparison, Flow, RunRecord
from gradpath.report import _facts as facts
from gradpath.report import _wording as wording
from gradpath.report._duel import Duel, compare_losses, rates_text, twin_pairs
from gradpath.report._say import say


def headline(comparison: Comparison) -> str:
    """The outcome of the main pair (a residual net and its plain twin), or of what else was trained."""
    if not comparison.nets:
        return say("No net was trained", "没有训练任何网络")
    if facts.everything_diverged(comparison):
        return say(
            "Every net diverged: look at the learning rate and at the data", "所有网络都发散了：检查学习率和数据"
        )
    if not any(facts.outcome(net) == "learned" for net in comparison.nets):
        return say(
            "No net learned in this run: train longer before concluding",
            "这次运行中没有网络学到东西：训练更久再下结论",
        )
    pair = _main_pair(comparison)
    duel = None if pair is None else compare_losses(*pair)
    return _without_pair(comparison) if duel is None else _of_pair(duel)


def _of_pair(duel: Duel) -> str:
    plain, residual = facts.label(duel.a), facts.label(duel.b)
    loss, with_skips = duel.losses
    after = say(f"After {duel.length}", f"{duel.length}之后")
    if duel.state == "diverged":
        broken = [net for net in (duel.a, duel.b) if facts.diverged(net)]
        names = wording.join(f"{facts.label(net)} {facts.divergence(net)}" for net in broken)
        names, rates = f"{names[0].upper()}{names[1:]}", rates_text(*broken)
        return say(f"{names}: skips cannot be judged {rates}", f"{names}：{rates}无法评判跳跃连接")
    steps = facts.counted(duel.steps, "step")
    return {
        "b better": say(
            f"{after}, {plain} has a training loss of {loss}; with skips, {residual} has {with_skips}",
            f"{after}，{plain} 的训练损失为 {loss}；有跳跃连接的 {residual} 为 {with_skips}",
        ),
        "equal": say(
            f"{after}, {plain} and {residual} train alike ({loss} and {with_skips})",
            f"{after}，{plain} 与 {residual} 训练得一样（{loss} 与 {with_skips}）",
        ),
        "a better": say(
            f"{after}, {plain} has a training loss of {loss}; with skips, {residual} is worse: {with_skips}",
            f"{after}，{plain} 的训练损失为 {loss}；有跳跃连接的 {residual} 反而更差：{with_skips}",
        ),
        "neither learned": say(
            f"{after}, neither {plain} nor {residual} has learned", f"{after}，{plain} 与 {residual} 都没有学到东西"
        ),
        "too short": say(
            f"{steps}: too short to tell {plain} from {residual}", f"{steps}：太短，无法区分 {plain} 与 {residual}"
        ),
    }[duel.state]


def _main_pair(comparison: Comparison) -> tuple[RunRecord, RunRecord] | None:
    pairs = [pair for pair in twin_pairs(comparison) if pair[1].norm == "batch"]
    return max(pairs, key=lambda pair: pair[1].depth, default=None)


def _without_pair(comparison: Comparison) -> str:
    for net in comparison.nets:
        flow = facts.initial(net)
        if net.norm == "none" and facts.fate(flow) == "vanished" and flow is not None:
            norm = facts.ratio_text(flow.stem_gradient_norm, 2)
            name = facts.label(net)
            name = f"{name[:1].upper()}{name[1:]}"
            return say(
                f"{name}: at initialisation, the gradient that reaches the stem is {norm}",
                f"{name}：初始化时，到达首层的梯度为 {norm}",
            )
    learned = [n for n in comparison.nets if facts.outcome(n) == "learned"]
    best = max(learned, key=lambda net: facts.unseen_accuracy(net.epochs[-1]))
    right, name, after = units.percent(best.epochs[-1].test_accuracy), facts.label(best), wording.length(best)
    return say(
        f"After {after}, {name} gets {right} of the test images right", f"{after}之后，{name} 答对 {right} 的测试图像"
    )


def flow_headline(flow: Flow) -> str:
    """Effective depth first, where there is one; then how the gradient arrives at the stem."""
    layers = facts.counted(flow.depth, "layer")
    name, forks = facts.printable(flow.model), flow.branches
    depth = facts.effective_depth(flow)
    if depth is not None:
        passed, branches = units.number(depth, 3), facts.counted(forks, "branch", "branches")
        return say(
            f"{name}: {layers}, but the gradient passes {passed} of {branches} on average; {arrival(flow)}",
            f"{name}：{layers}，但梯度平均只经过 {branches}中的 {passed} 个；{arrival(flow)}",
        )
    if facts.paths_cancel(flow):
        return say(
            f"{name}: {layers}; paths cancel, so no average number of branches is given; {arrival(flow)}",
            f"{name}：{layers}；路径相互抵消，所以不给出平均分支数；{arrival(flow)}",
        )
    if flow.repeated:
        return say(
            f"{name}: {layers}, {_repeated(flow)}; {arrival(flow)}",
            f"{name}：{layers}，{_repeated(flow)}；{arrival(flow)}",
        )
    around = facts.counted(forks, "residual fork") if forks else say("with no way around them", "没有绕行的通道")
    return say(
        f"{name}: {layers} deep{',' if forks else ''} {around}; {arrival(flow)}",
        f"{name}：深 {layers}，{around}；{arrival(flow)}",
    )


def _repeated(flow: Flow) -> str:
    """'60 of them calls of cell'."""
    cells, calls = [facts.printable(scope) for scope in flow.repeated], sum(flow.repeated.values())
    named = cells[0] if len(cells) == 1 else say(f"{cells[0]} to {cells[-1]}", f"{cells[0]} 到 {cells[-1]}")
    named = named or say("one module", "同一个模块")
    return say(f"{calls:,} of them calls of {named}", f"其中 {calls:,} 次是对 {named} 的调用")


def arrival(flow: Flow) -> str:
    """'it explodes (stem over head 3100)', in the words of `wording.change`."""
    fate = facts.fate(flow)
    if fate == "unknown":
        return say("none reached both the stem and the head", "没有梯度同时到达首层和头部")
    if fate == "not finite":
        return say("it is not finite", "梯度非有限")
    number, change = facts.ratio_text(flow.stem_over_head, 2), wording.change(flow)
    ratio = say(f"stem over head {number}", f"首尾之比 {number}")
    by_shape = fate in ("shrank", "grew") and not facts.steady(flow)  # two shapes are compared: no judgement
    if not flow.findings and (by_shape or (flow.was_searched and fate in ("vanished", "exploded"))):
        return ratio
    limit = f"{facts.EXPLODED:.0f}"
    above = say(f", above {limit}", f"，超过 {limit}") if fate == "exploded" else ""
    return say(f"the gradient {change} on its way back ({ratio}{above})", f"梯度在往回的途中{change}（{ratio}{above}）")
