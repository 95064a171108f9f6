"""What is no number, what is lost in 16 bits, what never arrived."""

from __future__ import annotations

import math

from gradpath.flow._findings._profile import with_gradient
from gradpath.flow._findings._words import NO_NUMBER, count, factor, percent
from gradpath.record import Finding, Flow, Layer

_LOW = math.log10(2.0**-20)  # a float16 gradient of this RMS has most elements below the smallest subnormal, 2⁻²⁴
_LOST = 0.5
_SMALLEST_NORMAL = {True: 2.0**-1022, False: 2.0**-126}
"""Is the model float64 throughout? → the smallest number with all its digits (bfloat16 ends where float32 ends)."""


def not_finite(flow: Flow) -> list[Finding]:
    """NaN or infinity: at the first layer whose output has one, else at the last whose gradient has one."""
    forward = next((x for x in flow.layers if math.isnan(x.log10_activation_rms)), None)
    backward = [x for x in flow.layers if x.log10_gradient_norm is not None and math.isnan(x.log10_gradient_norm)]
    parameters = [p for p in flow.parameters if p.log10_gradient_norm is not None and math.isnan(p.log10_gradient_norm)]
    if forward is None and not backward and not parameters and math.isfinite(flow.loss):
        return []
    if (broken := broken_parameter(flow)) is not None:
        return [_broken(flow, broken)]
    if forward is not None:
        where, what, why = forward.scope, "output", "overflow, the logarithm of 0 or less, a division by 0 or bad data"
    elif not math.isfinite(flow.loss):
        where, what, why = "", "loss", "the logarithm of 0 or less, overflow or bad targets in the loss function"
    else:
        where = backward[-1].scope if backward else parameters[-1].name
        what, why = "gradient", "an infinite slope: the square root or a norm at 0, or x / x; add a small number inside"
    return [_not_finite(flow, where, what, why, [x.scope for x in backward])]


def broken_parameter(flow: Flow) -> str | None:
    """The first parameter that is itself not finite."""
    return next((parameter.name for parameter in flow.parameters if math.isnan(parameter.log10_norm)), None)


def _broken(flow: Flow, name: str) -> Finding:
    count_broken = sum(math.isnan(parameter.log10_norm) for parameter in flow.parameters)
    return Finding(
        kind="not finite",
        where=name.rpartition(".")[0],
        sentence=f"Not finite: the parameter {name} itself holds NaN or infinity, and everything behind it is lost.",
        evidence=f"loss {flow.loss:.3g}; not finite: {count_broken} of {count(len(flow.parameters), 'parameter')}",
        remedy="Load a checkpoint from before it broke. An earlier update wrote it: lower the learning rate, clip the "
        "gradient, or skip steps whose gradient is not finite; gp.watch tells which layer moves first.",
        severity=NO_NUMBER,
        facts={
            "what": "parameter",
            "name": name,
            "loss": f"{flow.loss:.3g}",
            "count": str(count_broken),
            "of": str(len(flow.parameters)),
        },
    )


def _not_finite(flow: Flow, where: str, what: str, why: str, backward: list[str]) -> Finding:
    before = _before(flow, where) if what == "output" else ""
    place = f"the {what} of {where}" if what == "output" else f"the {what}" + (f" at {where}" if where else "")
    return Finding(
        kind="not finite",
        where=where,
        sentence=f"Not finite: {place} holds NaN or infinity, and everything behind it is lost.",
        evidence=f"loss {flow.loss:.3g}{before}; gradients that are not finite at "
        f"{count(len(backward), 'layer')} of {len(flow.layers)}",
        remedy=f"The usual causes: {why}. In 16 bits: scale the loss, or use bfloat16.",
        severity=NO_NUMBER,
        facts={
            "what": what,
            "name": where,
            "before": _in_front(flow, where) if what == "output" else "",
            "loss": f"{flow.loss:.3g}",
            "count": str(len(backward)),
            "of": str(len(flow.layers)),
        },
    )


def _before(flow: Flow, scope: str) -> str:
    before = _in_front(flow, scope)
    return f"; finite up to {before}" if before else "; it is the first layer: look at the input"


def _in_front(flow: Flow, scope: str) -> str:
    """The layer in front, the last whose output was finite; '' where there is none."""
    names = [layer.scope for layer in flow.layers]
    place = names.index(scope)
    return names[place - 1] if place else ""


def float16_underflow(flow: Flow) -> list[Finding]:
    """In float16 alone: a layer's gradient is so small that most of its elements have become zero."""
    if flow.autocast != "float16" and "float16" not in flow.dtype.replace("bfloat16", "").split("+"):
        return []
    found = [layer for layer in flow.layers if _underflows(layer)]
    levels = [x.log10_gradient_rms for x in found if x.log10_gradient_rms is not None]
    some = any(level > -math.inf for level in levels)
    if not some and len(found) < len(flow.layers):  # all zeros somewhere: a zero-initialised branch is like that
        return []
    worst = max(found, key=_zeros)
    level = worst.log10_gradient_rms if worst.log10_gradient_rms is not None else 0.0
    scale = 2 ** max(math.ceil((-3 - level) * math.log2(10)), 1)
    return [
        Finding(
            kind="float16 underflow",
            where=worst.scope,
            sentence=f"float16 loses the gradient: at {worst.scope} {percent(_zeros(worst))} of its elements have "
            "become zero, because float16 has no numbers below 6e-8.",
            evidence=f"gradient RMS {factor(level)} at {worst.scope}; {len(found)} of "
            f"{count(len(flow.layers), 'layer')} below 1e-6",
            remedy=f"Multiply the loss by about {scale:.3g} before the backward pass and divide the gradients by it "
            "after (torch.amp.GradScaler does both), or use bfloat16.",
            severity=-level - 6 if level > -math.inf else NO_NUMBER,
            facts={
                "layer": worst.scope,
                "zeros": percent(_zeros(worst)),
                "rms": factor(level),
                "count": str(len(found)),
                "of": str(len(flow.layers)),
                "scale": f"{scale:.3g}",
            },
        )
    ]


def _underflows(layer: Layer) -> bool:
    level = layer.log10_gradient_rms
    return level is not None and level < _LOW and _zeros(layer) > _LOST


def _zeros(layer: Layer) -> float:
    """Share of exact zeros in the gradient."""
    return 0.0 if layer.numerics is None else layer.numerics.zero_gradients


def float32_underflow(flow: Flow) -> list[Finding]:
    """The loss, or its gradient at the last weighted layer, is below the smallest normal number: digits are lost at
    once, and what comes further back is zero. A loss of exactly 0 is none: the model may fit."""
    limit = _SMALLEST_NORMAL[flow.dtype == "float64"]
    head = next((x.log10_gradient_rms for x in reversed(flow.layers) if x.weighted and x.log10_gradient_rms), None)
    lost = head is not None and -math.inf < head < math.log10(limit)
    if not (0 < abs(flow.loss) < limit or lost):
        return []
    level = head if head is not None and math.isfinite(head) else math.log10(abs(flow.loss))
    zeros = sum(x.log10_gradient_norm == -math.inf for x in flow.layers)
    name = "float64" if flow.dtype == "float64" else "float32"
    what = f"the loss is {flow.loss:.3g}" if abs(flow.loss) < limit else f"its gradient at the head is {factor(level)}"
    return [
        Finding(
            kind="float32 underflow",
            where="",
            sentence=f"The loss is too small for {name}: {what}, below its smallest normal number ({limit:.2g}), so "
            "digits are lost at once and little or nothing arrives further back.",
            evidence=f"loss {flow.loss:.3g}; gradient RMS at the last weighted layer "
            f"{'none' if head is None else factor(head)}; exactly 0 at {zeros} of {count(len(flow.layers), 'layer')}",
            remedy=f"Scale the loss up, by about 1e{max(math.ceil(-level), 1)}, or leave out the factor that makes it "
            "small; compute likelihoods as logarithms (log_softmax, logsumexp), not as products.",
            severity=math.log10(limit) - level if level < math.log10(limit) else 1.0,
            facts={
                "format": name,
                "what": "loss" if abs(flow.loss) < limit else "gradient",
                "value": f"{flow.loss:.3g}" if abs(flow.loss) < limit else factor(level),
                "limit": f"{limit:.2g}",
                "loss": f"{flow.loss:.3g}",
                "head": "none" if head is None else factor(head),
                "zeros": str(zeros),
                "of": str(len(flow.layers)),
                "scale": f"1e{max(math.ceil(-level), 1)}",
            },
        )
    ]


def no_gradient(flow: Flow) -> list[Finding]:
    """The first layers want gradients and receive none, while later ones do: something is detached between them. A
    head whose output is not used comes later, and is no finding."""
    weighted = [layer for layer in flow.layers if layer.weighted]
    fed = {layer.scope for layer, _ in with_gradient(flow)}
    missing = {name.rpartition(".")[0] for name in flow.unseen.parameters_without_gradient}
    first = next((i for i, layer in enumerate(weighted) if layer.scope in fed), None)
    starved = [layer.scope for layer in weighted[:first] if layer.scope in missing]
    if not first or len(starved) < first:
        return []
    behind = weighted[first].scope
    return [
        Finding(
            kind="no gradient",
            where=starved[-1],
            sentence=f"{starved[0]}{' to ' + starved[-1] if len(starved) > 1 else ''} never learn: their parameters "
            f"want a gradient, and none arrives from {behind}.",
            evidence=f"{count(len(starved), 'weighted layer')} in front without a gradient, "
            f"{len(weighted) - first} behind",
            remedy=f"Look for detach(), torch.no_grad(), .item() or .data between {starved[-1]} and {behind}; if it "
            "is meant, freeze them with requires_grad_(False).",
            severity=NO_NUMBER,
            facts={
                "first": starved[0],
                "last": starved[-1],
                "behind": behind,
                "in_front": str(len(starved)),
                "after": str(len(weighted) - first),
            },
        )
    ]
