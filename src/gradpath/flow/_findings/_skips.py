"""Skips and branches that carry nothing."""

from __future__ import annotations

import math
from itertools import zip_longest

from gradpath.flow._findings._depth import opens_later
from gradpath.flow._findings._words import NO_NUMBER, count, factor
from gradpath.record import Edge, Finding, Flow, Fork

_SILENT = -2.0


def silent_skip(flow: Flow) -> list[Finding]:
    """A skip brings back less than a hundredth of the gradient of its fork, and of that at the next fork where shapes
    agree: it is the skip that is weak, not a branch that is strong."""
    forks = flow.residual_forks
    found = []
    for fork, after in zip_longest(forks, forks[1:]):
        carried = _skip_decades(fork, after)
        if carried is not None and carried < _SILENT:
            found.append((carried, fork))
    if not found:
        return []
    carried, worst = min(found, key=lambda case: round(case[0], 2))  # of equal ones the first, whatever the rounding
    return [
        Finding(
            kind="silent skip",
            where=_scope(worst),
            sentence=f"The skip around {_scope(worst) or worst.name} carries nothing: only {factor(carried)} of the "
            "gradient comes back through it, so the net is as deep as a plain one there.",
            evidence=f"{len(found)} of {count(len(forks), 'residual fork')} with less than 1 % through the skip",
            remedy="Leave the skip an identity: no factor below 1, no norm or activation on it.",
            severity=_SILENT - max(carried, _SILENT - NO_NUMBER),
            facts={
                "name": _scope(worst) or worst.name,
                "passes": factor(carried),
                "count": str(len(found)),
                "of": str(len(forks)),
            },
        )
    ]


def _skip_decades(fork: Fork, after: Fork | None) -> float | None:
    """log10 of what the skips of a fork bring back: the larger of the ratios to the branches and to the next fork."""
    skips = [e.log10_norm for e in fork.edges if e.kind in ("skip", "projection") and e.log10_norm is not None]
    masses = [e.norm_mass for e in fork.edges if e.kind in ("skip", "projection") and e.norm_mass is not None]
    if fork.merge != "add" or not skips or not masses or not any(map(math.isfinite, skips)):
        return None
    mass = math.log10(sum(masses)) if sum(masses) else -math.inf
    if after is None or after.shape != fork.shape or after.log10_norm is None or not math.isfinite(after.log10_norm):
        return mass
    return max(mass, max(skips) - after.log10_norm)


def silent_branch(flow: Flow) -> list[Finding]:
    """No parameter on a branch receives any gradient, though its fork does. A branch that starts at zero is another
    matter: its last layer does receive one, and opens it."""
    if not any(p.log10_gradient_norm == -math.inf for p in flow.parameters) or opens_later(flow):
        return []
    silent = _silent_modules(flow)
    found = [
        (fork, scope)
        for fork in flow.residual_forks
        if fork.log10_norm is not None and math.isfinite(fork.log10_norm)
        for scope in sorted({_parent(edge) for edge in fork.edges if edge.kind == "branch"} & silent)
    ]
    if not found:
        return []
    fork, scope = found[0]
    return [
        Finding(
            kind="silent branch",
            where=scope,
            sentence=f"The branch {scope} is silent: the gradient passes by on the skip, and none of its parameters "
            "receives any.",
            evidence=f"all parameters of {scope} have a gradient of exactly 0, the fork {fork.name} has not; "
            f"{count(len(found), 'branch').replace('branchs', 'branches')} of this kind",
            remedy=f"Look at what multiplies the output of {scope} (a fixed factor of 0), and at dead units inside.",
            severity=1.0,
            facts={"branch": scope, "fork": fork.name, "count": str(len(found))},
        )
    ]


def _silent_modules(flow: Flow) -> set[str]:
    """Names of modules that hold parameters, all of whose gradients are exactly 0."""
    silent: set[str] = set()
    fed: set[str] = set()
    for parameter in flow.parameters:
        parts = parameter.name.split(".")[:-1]
        modules = {".".join(parts[: i + 1]) for i in range(len(parts))}
        (silent if parameter.log10_gradient_norm == -math.inf else fed).update(modules)
    return silent - fed


def _parent(edge: Edge) -> str:
    """The module that holds the first operation of a branch."""
    return edge.consumer.rsplit(": ", 1)[0].rpartition(".")[0] if ": " in edge.consumer else ""


def _scope(fork: Fork) -> str:
    branch = next((edge for edge in fork.edges if edge.kind == "branch"), None)
    return (branch and _parent(branch)) or (fork.name.rsplit(": ", 1)[0] if ": " in fork.name else "")
