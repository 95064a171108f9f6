"""Losses that a gradient scaler has multiplied: `scaler.scale(loss).backward()` in a step of the user's own."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from torch import Tensor

from gradpath.record import Edge, Flow, Fork, Layer, Parameter, Reuse

Measured = TypeVar("Measured", Layer, Fork, Edge, Parameter)


def last_factor(loss: Tensor) -> float | None:
    """The constant that the loss was multiplied by last, as `scaler.scale` does; None where there is none. Asked
    before the backward pass, which frees what the graph holds."""
    node: Any = loss.grad_fn
    if not str(node.name()).startswith("MulBackward"):
        return None
    other = getattr(node, "_saved_other", None)
    if not isinstance(other, Tensor) or other.numel() != 1 or other.requires_grad:
        return None
    return float(other)


def divided(flow: Flow, factor: float) -> Flow:
    """The flow of the loss divided by a factor: its value and all gradients; shares and ratios stay as they are."""
    shift = math.log10(abs(factor))
    stem = flow.log10_stem_gradient_norm
    return replace(
        flow,
        loss=flow.loss / factor,
        log10_stem_gradient_norm=None if stem is None else stem - shift,
        layers=_all(flow.layers, shift),
        forks=tuple(replace(fork, edges=_all(fork.edges, shift)) for fork in _all(flow.forks, shift)),
        parameters=_all(flow.parameters, shift),
        reuse=tuple(_reuse(one, shift) for one in flow.reuse),
    )


_GRADIENTS = ("log10_gradient_norm", "log10_gradient_rms", "log10_parameter_gradient_norm")


def _all(records: tuple[Measured, ...], shift: float) -> tuple[Measured, ...]:
    return tuple(_one(record, shift) for record in records)


def _one(record: Measured, shift: float) -> Measured:
    """Every norm of a gradient less the shift; a fork's and an edge's `log10_norm` is one, a parameter's is not."""
    names = ("log10_norm",) if isinstance(record, (Fork, Edge)) else _GRADIENTS
    values = {name: getattr(record, name, None) for name in names}
    return replace(record, **{name: value - shift for name, value in values.items() if value is not None})


def _reuse(reuse: Reuse, shift: float) -> Reuse:
    rows = (tuple(None if norm is None else norm - shift for norm in row) for row in reuse.log10_norms)
    return replace(reuse, log10_norms=tuple(rows))


@dataclass(frozen=True)
class Scale:
    """What has to be divided out of a record, and what to say of it."""

    factor: float | None = None
    notes: tuple[str, ...] = ()


def scale_in(loss: Tensor, scaler: Any) -> Scale:
    """Whether the loss was scaled: by the given scaler, whose scale is then divided out; without one, by the look of
    it (a power of two from 16 on), and a note says so."""
    last = last_factor(loss)
    if scaler is None:
        is_power = last is not None and last >= 16 and math.frexp(last)[0] == 0.5
        return Scale(notes=(_LOOKS_SCALED.format(last),)) if is_power else Scale()
    if not scaler.is_enabled():
        return Scale()
    scale = float(scaler.get_scale())
    if last is None or not math.isclose(last, scale, rel_tol=1e-6):
        return Scale(notes=(f"the loss was not multiplied by the scale of the given scaler, {scale:g}",))
    return Scale(scale, (_DIVIDED.format(scale),))


_LOOKS_SCALED = (
    "the loss was multiplied by {:g} last: if a gradient scaler did, `with trace(model, scaler=scaler)` divides it out"
)
_DIVIDED = (
    "the gradient scaler's {:g} is divided out of the loss and of gradients; shares of zeros and of what float16 loses "
    "are those of the scaled pass"
)
