"""The one sentence that stands above a page or a picture: what a reader should take away in five seconds."""

from __future__ import annotations

import math

from gradpath import units
from gradpath.record import Comparison, Flow
from gradpath.report import facts
from gradpath.report.duel import Duel, compare_losses


def headline(comparison: Comparison) -> str:
    """The outcome of the main pair (plain against residual of the same depth), or of what else was trained."""
    if not comparison.nets:
        return "No net was trained"
    if not any(facts.outcome(net) == "learned" for net in comparison.nets):
        return "No net learned in this run: train longer before concluding"
    duel = _main_pair(comparison)
    if duel is None:
        return _without_pair(comparison)
    depth, plain = duel.a.depth, duel.a_did.replace("has a training loss of", "trains to a loss of")
    skips = duel.b_did.replace("has a training loss of", "reaches" if "loss" in duel.a_did else "trains to a loss of")
    return {
        "b better": f"{depth} layers deep, the plain net {plain}; with skip connections it {skips}",
        "equal": f"{depth} layers deep, plain and residual train alike in this run",
        "a better": f"{depth} layers deep, the plain net {plain}; in this run the residual one {skips} and is worse",
        "neither learned": f"{depth} layers deep, neither the plain nor the residual net learned in this run",
    }[duel.state]


def _main_pair(comparison: Comparison) -> Duel | None:
    plain = {net.depth: net for net in facts.select(comparison, "plain", "batch")}
    residual = facts.deepest(n for n in facts.select(comparison, "residual", "batch") if n.depth in plain)
    return None if residual is None else compare_losses(plain[residual.depth], residual)


def _without_pair(comparison: Comparison) -> str:
    for net in comparison.nets:
        flow = facts.initial(net)
        if net.norm == "none" and facts.fate(flow) == "vanished" and flow is not None:
            norm = facts.ratio_text(flow.stem_gradient_norm, 2)
            return f"{net.depth} layers without norm: the gradient that reaches the stem is {norm}"
    best = max(
        (n for n in comparison.nets if facts.outcome(n) == "learned"), key=lambda net: net.epochs[-1].test_accuracy
    )
    return f"{facts.label(best)} does best: {units.percent(best.epochs[-1].test_accuracy)} of the test images right"


def flow_headline(flow: Flow) -> str:
    """Effective depth first, where there is one; then how the gradient arrives at the stem."""
    depth = sum(layer.weighted for layer in flow.layers)
    name = facts.printable(flow.model)
    if flow.effective_depth is None or not math.isfinite(flow.effective_depth):
        return f"{name}: {depth} layers deep with no way around them; {arrival(flow)}"
    branches = f"{units.number(flow.effective_depth, 3)} of {len(flow.residual_forks)} branches"
    return f"{name}: {depth} layers, but the gradient passes {branches} on average; {arrival(flow)}"


def arrival(flow: Flow) -> str:
    """'it reaches the stem 3.1 times as large as the head', in the words of `facts.fate`."""
    fate = facts.fate(flow)
    ratio = f"stem over head {facts.ratio_text(flow.stem_over_head, 2)}"
    return {
        "vanished": f"it vanishes ({ratio})",
        "shrank": f"it reaches the stem smaller ({ratio})",
        "grew": f"it does not vanish ({ratio})",
        "exploded": f"it explodes ({ratio})",
        "not finite": "it is not finite",
        "unknown": "none reached both the stem and the head",
    }[fate]
