"""Recurrences: one cell called at every time step. Judged by what a step does to the gradient, not by depth, since all
steps share their weights: a gradient that is lost over time does not starve them, it makes them forget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import takewhile

from gradpath.flow._findings._profile import LAYERS_PER_FORK, Point, Profile, split_at_cliffs
from gradpath.flow._findings._words import factor, layer_name
from gradpath.record import Finding, Flow

_DECADES = 3.0
"""Of the RMS gradient over all time steps; the same as for layers."""
_KEPT = math.log10(2 / 3)
"""Decades per time step: less than two thirds of the RMS is kept. The state of a gated cell whose gates are neutral
keeps a half, σ(0); with a bias of 1 it keeps σ(1) = 0.73."""


@dataclass(frozen=True)
class _Remedy:
    sentence: str
    cures: tuple[str, ...] = ()


_STEPS = "; or let attention, or a loss at every step, reach the early ones"
_VANISHING = {
    "LSTM": _Remedy(
        "Start with the forget gate open: its bias at 1 (Gers et al. 2000; Jozefowicz et al. 2015), or at ln {steps} "
        "for {steps} steps (Tallec & Ollivier 2018); in PyTorch rows H to 2H of bias_ih" + _STEPS + "."
    ),
    "GRU": _Remedy(
        "Start with the update gate on keeping: its bias at 1 to ln {steps} (Tallec & Ollivier 2018); in PyTorch rows "
        "H to 2H of bias_ih" + _STEPS + "."
    ),
    "gated": _Remedy(
        "Start with the gate open that keeps the state (an LSTM's forget gate, a GRU's update gate): its bias at 1 "
        "(Gers et al. 2000; Jozefowicz et al. 2015), or at ln {steps} for {steps} steps (Tallec & Ollivier 2018)"
        + _STEPS
        + "."
    ),
    "RNN": _Remedy(
        "Use a gated cell (LSTM with a forget-gate bias of 1, GRU), or orthogonal recurrent weights with gain near 1 "
        "(nn.init.orthogonal_ of weight_hh)" + _STEPS + "."
    ),
}
_OTHER = _Remedy(
    "Use orthogonal recurrent weights with gain near 1, a gated cell (LSTM with a forget-gate bias of 1, GRU), or a "
    "skip over every step (h + f(h))" + _STEPS + ".",
    ("init=orthogonal",),
)
_GATED = ("LSTM", "GRU", "gated")
_EXPLODING = (
    "Clip the gradient (torch.nn.utils.clip_grad_norm_, Pascanu et al. 2013){gated} start from orthogonal recurrent "
    "weights with gain near 1; or backpropagate through fewer steps (detach the state every so many)."
)


def has_recurrence(flow: Flow) -> bool:
    """Whether most weighted layers are calls of cells; not where normed residual blocks share their weights over
    iterations (ALBERT): these are a trunk."""
    forks, steps = len(flow.residual_forks), flow.repeated
    norms = sum("Norm" in layer.module for layer in flow.layers)
    is_normed_trunk = 2 * norms >= forks > 0 and sum(steps.values()) <= LAYERS_PER_FORK * forks
    return bool(steps) and not is_normed_trunk


def over_time(flow: Flow) -> list[Finding]:
    """The RMS gradient at the cells' outputs shrinks to less than two thirds at every step and by more than three
    decades over all of them, or it grows by more than three decades."""
    if not has_recurrence(flow):
        return []
    found = _profile(flow)
    vanishes = found.decades < -_DECADES and found.slope < _KEPT
    return [_finding(flow, found, vanishes)] if vanishes or found.decades > _DECADES else []


def _profile(flow: Flow) -> Profile:
    """Each cell a piece with an offset of its own, the number of the call its depth."""
    pieces: list[tuple[Point, ...]] = []
    for scope in flow.repeated:
        calls = [x for x in flow.layers if x.scope == scope and x.log10_gradient_rms is not None]
        points = [Point(scope, x.call, x.log10_gradient_rms or 0.0) for x in calls if _is_number(x.log10_gradient_rms)]
        pieces += [tuple(piece) for piece in split_at_cliffs(points) if len(piece) > 1]
    names = list(flow.repeated)
    return Profile(tuple(pieces), max(flow.repeated.values()), (names[0], names[-1]))


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _finding(flow: Flow, found: Profile, vanishes: bool) -> Finding:
    cells = list(flow.repeated)
    cell, kind = _name(flow, cells), _kind(flow, cells)
    change = f"shrinks to {factor(found.decades)} of itself" if vanishes else f"grows {factor(found.decades)}-fold"
    remedy = _VANISHING.get(kind, _OTHER) if vanishes else _exploding(kind)
    return Finding(
        kind="vanishing" if vanishes else "exploding",
        where=cells[0],
        sentence=f"The gradient {'vanishes' if vanishes else 'explodes'} over time: back through the {found.layers} "
        f"time steps of {cell}, it {change}; {_memory(found)}.",
        evidence=f"gradient energy × {10 ** (2 * found.slope):.3g} per time step (RMS × {10**found.slope:.3g}); "
        f"{_length(found)}",
        remedy=remedy.sentence.format(steps=found.layers),
        severity=abs(found.decades) - _DECADES,
        cures=remedy.cures,
        facts={
            "cause": "time",
            "cells": cell,
            "kind": kind,
            "steps": str(found.layers),
            "factor": factor(found.decades),
            "memory": str(_memory_steps(found)),
            "energy": f"{10 ** (2 * found.slope):.3g}",
            "rms": f"{10**found.slope:.3g}",
            "length": f"{math.log10(2) / abs(found.slope):.1f}",
        },
    )


def _memory(found: Profile) -> str:
    steps = _memory_steps(found)
    if found.slope < 0:
        return f"of what lies more than {steps} steps back, less than a thousandth is felt"
    return f"what lies {steps} steps back weighs a thousand times more than the last step"


def _memory_steps(found: Profile) -> int:
    return max(round(_DECADES / abs(found.slope)), 1)


def _length(found: Profile) -> str:
    name = "half-length" if found.slope < 0 else "doubling length"
    return f"{name} {math.log10(2) / abs(found.slope):.1f} time steps"


def _exploding(kind: str) -> _Remedy:
    return _Remedy(_EXPLODING.replace("{gated}", " or" if kind in _GATED else ", use a gated cell, or"))


def _name(flow: Flow, cells: list[str]) -> str:
    """The module that all the layers of a cell lie in; else the first and the last of them."""
    same = takewhile(lambda parts: len(set(parts)) == 1, zip(*(cell.split(".") for cell in cells), strict=False))
    around = ".".join(parts[0] for parts in same)
    if len(cells) == 1 or around:
        return layer_name(flow, around)
    return f"{layer_name(flow, cells[0])} to {layer_name(flow, cells[-1])}"


def _kind(flow: Flow, cells: list[str]) -> str:
    """The kind of cell, where all are of one that is known; 'gated' where its own code multiplies the state by data at
    every step; else ''."""
    modules = {layer.module.removesuffix("Cell") for layer in flow.layers if layer.scope in cells}
    if len(modules) == 1 and modules <= _VANISHING.keys():
        return next(iter(modules))
    adds = [fork for fork in flow.forks if fork.merge == "add" and fork.name.rsplit(": ", 1)[0] not in flow.parallel]
    gated = sum(any(edge.kind == "gated" for edge in fork.edges) for fork in adds)
    return "gated" if 2 * gated >= max(flow.repeated.values()) else ""
