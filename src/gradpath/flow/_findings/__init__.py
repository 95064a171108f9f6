"""Findings: pure rules from a flow to sentences. Thresholds are ratios; docs/findings.md says where each is from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from gradpath.flow._findings._depth import exploding, starving, vanishing
from gradpath.flow._findings._not_finite import first_not_finite
from gradpath.flow._findings._numbers import (
    broken_parameter,
    float16_underflow,
    float32_underflow,
    no_gradient,
    not_finite,
)
from gradpath.flow._findings._recurrence import over_time
from gradpath.flow._findings._skips import silent_branch, silent_skip
from gradpath.flow._findings._theory import expectations
from gradpath.flow._findings._units import dead_units, norm_eats_signal, saturated_units
from gradpath.record import Finding, Flow

Rule = Callable[[Flow], list[Finding]]

RULES: tuple[Rule, ...] = (
    not_finite,
    no_gradient,
    float32_underflow,
    float16_underflow,
    dead_units,
    saturated_units,
    norm_eats_signal,
    silent_skip,
    silent_branch,
    starving,
    vanishing,
    exploding,
    over_time,
)

KINDS = (
    "not finite",
    "no gradient",
    "float32 underflow",
    "float16 underflow",
    "dead units",
    "saturated units",
    "norm eats the signal",
    "silent skip",
    "silent branch",
    "starving layer",
    "vanishing",
    "exploding",
    "shattered gradients",
)
"""All kinds of findings; the last one only where it is asked for."""

# cause → what follows from it and is not told apart
CONSEQUENCES: dict[str, tuple[str, ...]] = {
    "dead units": ("starving layer", "silent branch", "vanishing"),
    "norm eats the signal": ("starving layer", "vanishing"),
    "float16 underflow": ("starving layer", "vanishing", "silent branch"),
    "float32 underflow": ("float16 underflow", "starving layer", "vanishing", "silent branch", "silent skip"),
    "no gradient": ("starving layer",),
    "saturated units": ("starving layer",),
    "exploding": ("silent skip",),
}


def findings(flow: Flow) -> tuple[Finding, ...]:
    """What is wrong with a flow, worst first; causes without what merely follows from them. Empty when healthy."""
    found = [finding for rule in RULES for finding in rule(flow)]
    told = {finding.kind for finding in found}
    if "not finite" in told:  # no other number can be trusted
        return ranked(finding for finding in found if finding.kind == "not finite")
    hidden = {kind for cause in told for kind in CONSEQUENCES.get(cause, ())}
    return ranked(finding for finding in found if finding.kind not in hidden)


def ranked(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Worst first; those of one severity stay in the order of the rules."""
    return tuple(sorted(found, key=lambda finding: -finding.severity))


def with_findings(model: nn.Module, flow: Flow) -> Flow:
    """The flow with what theory expects of it and what is wrong with it. Reads the model's structure and the record;
    runs nothing."""
    flow = replace(flow, expected=expectations(model, flow))
    return replace(flow, findings=findings(flow))


def over_losses(flows: Sequence[Flow]) -> list[Flow]:
    """Flows of one step, less the findings of layers without a gradient that another of its losses feeds: a GAN's
    generator and its discriminator each have a loss of their own."""
    layers = [layer for flow in flows for layer in flow.layers]
    fed = {layer.scope for layer in layers if layer.log10_gradient_norm is not None}
    kept = (tuple(x for x in flow.findings if x.kind != "no gradient" or x.where not in fed) for flow in flows)
    return [replace(flow, findings=found) for flow, found in zip(flows, kept, strict=True)]


def diagnosed(
    model: nn.Module,
    flow: Flow,
    batch: Any,
    criterion: Callable[..., Any] | None = None,
    step: Callable[..., Any] | None = None,
) -> Flow:
    """A flow with its findings; where something is not finite, the model is run again to name the operation and its
    line."""
    if not flow.findings or flow.findings[0].kind != "not finite" or broken_parameter(flow) is not None:
        return flow
    origin = first_not_finite(model, batch, criterion, step)
    if origin is None:  # it did not happen again: dropout, or another source of chance
        return flow
    first, *others = flow.findings
    told = replace(first, sentence=f"{first.sentence} It begins at {origin}.", facts=first.facts | {"origin": origin})
    return replace(flow, findings=(told, *others))
