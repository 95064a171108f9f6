"""The one sentence that stands above a page or a picture: what a reader should take away in five seconds."""

from __future__ import annotations

from gradpath import units
from gradpath.record import Comparison, Flow, RunRecord
from gradpath.report import _facts as facts
from gradpath.report import _wording as wording
from gradpath.report._duel import Duel, compare_losses, rates_text, twin_pairs


def headline(comparison: Comparison) -> str:
    """The outcome of the main pair (a residual net and its plain twin), or of what else was trained."""
    if not comparison.nets:
        return "No net was trained"
    if facts.everything_diverged(comparison):
        return "Every net diverged: look at the learning rate and at the data"
    if not any(facts.outcome(net) == "learned" for net in comparison.nets):
        return "No net learned in this run: train longer before concluding"
    pair = _main_pair(comparison)
    duel = None if pair is None else compare_losses(*pair)
    return _without_pair(comparison) if duel is None else _of_pair(duel)


def _of_pair(duel: Duel) -> str:
    plain, residual = facts.label(duel.a), facts.label(duel.b)
    loss, with_skips = duel.losses
    after = f"After {duel.length}"
    if duel.state == "diverged":
        broken = [net for net in (duel.a, duel.b) if facts.diverged(net)]
        names = wording.join(f"{facts.label(net)} {facts.divergence(net)}" for net in broken)
        return f"{names[0].upper()}{names[1:]}: skips cannot be judged {rates_text(*broken)}"
    return {
        "b better": f"{after}, {plain} has a training loss of {loss}; with skips, {residual} has {with_skips}",
        "equal": f"{after}, {plain} and {residual} train alike ({loss} and {with_skips})",
        "a better": f"{after}, {plain} has a training loss of {loss}; with skips, {residual} is worse: {with_skips}",
        "neither learned": f"{after}, neither {plain} nor {residual} has learned",
        "too short": f"{facts.counted(duel.steps, 'step')}: too short to tell {plain} from {residual}",
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
            return f"{name[:1].upper()}{name[1:]}: at initialisation, the gradient that reaches the stem is {norm}"
    learned = [n for n in comparison.nets if facts.outcome(n) == "learned"]
    best = max(learned, key=lambda net: facts.unseen_accuracy(net.epochs[-1]))
    right = f"{units.percent(best.epochs[-1].test_accuracy)} of the test images right"
    return f"After {wording.length(best)}, {facts.label(best)} gets {right}"


def flow_headline(flow: Flow) -> str:
    """Effective depth first, where there is one; then how the gradient arrives at the stem."""
    layers = facts.counted(sum(layer.weighted for layer in flow.layers), "layer")
    name, forks = facts.printable(flow.model), len(flow.residual_forks)
    depth = facts.effective_depth(flow)
    if depth is not None:
        branches = f"{units.number(depth, 3)} of {facts.counted(forks, 'branch', 'branches')}"
        return f"{name}: {layers}, but the gradient passes {branches} on average; {arrival(flow)}"
    if facts.paths_cancel(flow):
        return f"{name}: {layers}; paths cancel, so no average number of branches is given; {arrival(flow)}"
    if flow.repeated:
        return f"{name}: {layers}, {_repeated(flow)}; {arrival(flow)}"
    around = "with no way around them" if not forks else f"{facts.counted(forks, 'residual fork')}"
    return f"{name}: {layers} deep{',' if forks else ''} {around}; {arrival(flow)}"


def _repeated(flow: Flow) -> str:
    """'60 of them calls of cell'."""
    cells, calls = [facts.printable(scope) for scope in flow.repeated], sum(flow.repeated.values())
    named = cells[0] if len(cells) == 1 else f"{cells[0]} to {cells[-1]}"
    return f"{calls:,} of them calls of {named or 'one module'}"


def arrival(flow: Flow) -> str:
    """'it explodes (stem over head 3100)', in the words of `wording.change`."""
    fate = facts.fate(flow)
    if fate == "unknown":
        return "none reached both the stem and the head"
    if fate == "not finite":
        return "it is not finite"
    ratio = f"stem over head {facts.ratio_text(flow.stem_over_head, 2)}"
    if not flow.findings and wording.change(flow) in ("shrinks", "grows"):  # two shapes are compared: no judgement
        return ratio
    above = f", above {facts.EXPLODED:.0f}" if fate == "exploded" else ""
    return f"the gradient {wording.change(flow)} on its way back ({ratio}{above})"
