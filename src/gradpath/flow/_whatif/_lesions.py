"""Changes to the backward pass alone: hooks on autograd's nodes that hand on another gradient than they got.

The forward pass, its graph and its loss stay as they are, so before and after differ by the change and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gradpath.flow._forks import ForkPlan
from gradpath.flow._forward import Forward
from gradpath.flow._graph import Node, Use
from gradpath.flow._whatif._changes import TERMS, Asked, Done, counted
from gradpath.flow._whatif._norm_terms import norm_terms

Grads = tuple[Tensor | None, ...]
Lesion = Callable[[Grads, Grads], Any]
"""A hook: (gradients of a node's inputs, of its outputs) → those to hand on instead, or None."""


@contextmanager
def lesioned(forward: Forward, asked: Asked) -> Iterator[Done]:
    """Change the backward passes inside the block."""
    lesions, done = _norms(forward, asked) if asked.change.key == "norm" else _edges(forward, asked)
    with ExitStack() as stack:
        for node, lesion in lesions.items():
            stack.callback(node.register_hook(lesion).remove)
        yield done


def _edges(forward: Forward, asked: Asked) -> tuple[dict[Node, Lesion], Done]:
    words, factor = list(asked.words), 0.0
    if asked.change.key == "scale":
        if len(words) < 2:
            raise asked.error("the factor is missing")
        factor = asked.number(words.pop(), "the factor")
    what = words.pop(0) if words[0] in ("skips", "branches") else "skips"
    if len(words) > 1:
        raise asked.error(f"too many parts: {':'.join(words)!r}")
    scope = asked.module(words[0], dict(forward.model.named_modules())) if words else None
    uses, notes = _chosen(forward, what, scope)
    slots: dict[Node, list[int]] = {}
    for node, slot in uses:
        slots.setdefault(node, []).append(slot)
    return {node: partial(_scale, found, factor) for node, found in slots.items()}, Done(len(uses), notes)


def _scale(slots: list[int], factor: float, grads: Grads, _: Grads) -> Grads:
    """Never in place: an add hands the same storage to both its inputs. A zero is made, not multiplied: 0 · inf."""
    changed = list(grads)
    for slot in slots:
        grad = changed[slot]
        if grad is not None:
            changed[slot] = grad * factor if factor else torch.zeros_like(grad)
    return tuple(changed)


def _chosen(forward: Forward, what: str, scope: str | None) -> tuple[list[Use], tuple[str, ...]]:
    """The edges of residual forks that are meant, and what to say of them."""
    kinds = ("skip", "projection") if what == "skips" else ("branch",)
    plans = [plan for plan in forward.plans if plan.kind == "residual"]
    if not plans:
        return [], ("the model has no residual fork",)
    if scope is not None:
        plans = _around(forward, plans, scope)
        if not plans:
            return [], (f"no residual fork lies around or in {scope}",)
    found = [
        (use, kind, plan)
        for plan in plans
        for use, kind in zip(plan.uses, plan.kinds, strict=True)
        if kind in kinds and (kind != "branch" or scope is None or _passes(forward, plan, use, scope))
    ]
    projections = sum(kind == "projection" for _, kind, _ in found)
    note = f"{counted(len(found), 'edge')} of {counted(len(plans), 'residual fork')}"
    note += f", {counted(projections, 'projection')} among them" if projections else ""
    return [use for use, _, _ in found], (
        note if found else f"none of {counted(len(plans), 'residual fork')} has {what}",
    )


def _around(forward: Forward, plans: list[ForkPlan], scope: str) -> list[ForkPlan]:
    """The forks that a consumer in the module, or a merge there, belongs to; else those whose routes pass it."""
    near = [p for p in plans if any(_within(forward, n, scope) for n in (p.meeting, *(node for node, _ in p.uses)))]
    return near or [plan for plan in plans if any(_passes(forward, plan, use, scope) for use in plan.uses)]


def _passes(forward: Forward, plan: ForkPlan, use: Use, scope: str) -> bool:
    """Whether the route over an edge, up to the merge, passes an operation of the module, the merge included."""
    route = forward.graph.route([use[0]], plan.meeting)
    return _within(forward, plan.meeting, scope) or any(_within(forward, node, scope) for node in route)


def _within(forward: Forward, node: Node, scope: str) -> bool:
    return f"{forward.meter.scopes.of(node)}.".startswith(f"{scope}.")


def _norms(forward: Forward, asked: Asked) -> tuple[dict[Node, Lesion], Done]:
    word = asked.word_of(TERMS)
    found = {node: terms for node in forward.graph.nodes if (terms := norm_terms(node)) is not None}
    lesions: dict[Node, Lesion] = {
        node: partial(_without, terms.input_gradient, word == "variance", word == "mean")
        for node, terms in found.items()
        if not isinstance(terms, str)
    }
    reasons = Counter(terms for terms in found.values() if isinstance(terms, str))
    notes = [f"{counted(count, 'norm')} unchanged: {reason}" for reason, count in reasons.items()]
    if lesions:
        notes.insert(0, f"{counted(len(lesions), 'norm')} changed")
    return lesions, Done(len(lesions), tuple(notes) or ("the model has no BatchNorm, LayerNorm or GroupNorm",))


def _without(
    gradient: Callable[[Tensor, bool, bool], Tensor], mean: bool, variance: bool, grads: Grads, outs: Grads
) -> Grads | None:
    if grads[0] is None or outs[0] is None:
        return None
    return gradient(outs[0], mean, variance).to(grads[0].dtype), *grads[1:]
