"""What to try next, chosen by what was seen. Only commands that exist."""

from __future__ import annotations

from collections.abc import Callable

from gradpath.record import Comparison
from gradpath.report import facts
from gradpath.report.verdict import Finding, findings

MOST_STEPS = 5
"""More than this is a manual, not advice."""
LONGER_MINUTES = 20.0
"""At least this long for a run that showed too little."""


def next_steps(comparison: Comparison) -> tuple[str, ...]:
    """Shell lines, most useful first: a command, and after '#' what it would show."""
    seen = findings(comparison)
    lines = [line for applies, line in _ADVICE if applies(comparison, seen)]
    return tuple(dict.fromkeys(write(comparison) for write in lines))[:MOST_STEPS]


def _saw(*rules: str) -> Callable[[Comparison, tuple[Finding, ...]], bool]:
    return lambda _, seen: any(finding.rule.startswith(rules) for finding in seen)


def _incomplete(comparison: Comparison, _: tuple[Finding, ...]) -> bool:
    """A quick run: some of the nets that the whole story needs were not trained."""
    families = {(net.family, net.norm) for net in comparison.nets}
    whole = {("plain", "none"), ("plain", "batch"), ("residual", "batch"), ("dense", "batch")}
    return not comparison.interrupted and (not whole <= families or len(facts.select(comparison, "plain", "batch")) < 2)


def _always(comparison: Comparison, seen: tuple[Finding, ...]) -> bool:
    return True


def _shorter(comparison: Comparison) -> str:
    return "gradpath compare --quick  # fewer nets and less time: it finishes"


def _longer(comparison: Comparison) -> str:
    if comparison.minutes is None:
        epochs = 2 * max((net.recipe.epochs for net in comparison.nets), default=1)
        return f"gradpath compare --epochs {epochs}  # twice as long: does the difference become clear?"
    minutes = max(2 * comparison.minutes, LONGER_MINUTES)
    return f"gradpath compare --minutes {minutes:g}  # longer: does the difference become clear?"


def _whole(comparison: Comparison) -> str:
    return "gradpath compare  # all nets: without norm, two depths, residual, dense"


def _deeper(comparison: Comparison) -> str:
    depth = max((net.depth for net in comparison.nets if net.family != "dense"), default=56)
    twice = 2 * (depth - 2) + 2  # 6n + 2 stays 6n + 2
    return f"gradpath compare --depth {twice}  # twice as deep: the plain net should suffer, not the residual"


def _other_seed(comparison: Comparison) -> str:
    return f"gradpath compare --seed {comparison.seed + 1}  # another seed: does it hold?"


def _explain(comparison: Comparison) -> str:
    return "gradpath explain residual  # the same in four numbers: why a skip keeps the gradient alive"


_ADVICE: tuple[tuple[Callable[[Comparison, tuple[Finding, ...]], bool], Callable[[Comparison], str]], ...] = (
    (_saw("interrupted"), _shorter),
    (_saw("nothing", "twins: no clear", "twins: neither", "twins: residual fails", "degradation: neither"), _longer),
    (_incomplete, _whole),
    (_saw("degradation", "twins: residual better", "twins: no clear"), _deeper),
    (_always, _other_seed),
    (_always, _explain),
)
"""(when it applies, what to say), most useful first."""
