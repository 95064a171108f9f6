"""From one traced pass to its record."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from gradpath.flow._forks import ForkMeter
from gradpath.flow._forward import Forward
from gradpath.flow._gain import fit_gains
from gradpath.flow._layer_records import ParameterNorms, layer_record
from gradpath.flow._layers import Call, autocast_on, own_parameters
from gradpath.flow._names import model_name
from gradpath.flow._parallel import parallel_modules
from gradpath.flow._topology import record_graph
from gradpath.record import Flow, Nonlinearity, Reuse, Unseen
from gradpath.record._side_by_side import side_by_side

Gradients = Mapping[str, Tensor | None]
"""Parameter name → its gradient, None where none arrived."""


def flow_record(
    forward: Forward,
    meter: ForkMeter,
    gradients: Gradients,
    effective_depth: float | None,
    units: tuple[Nonlinearity, ...] = (),
    reuse: tuple[Reuse, ...] = (),
) -> Flow:
    """The record of a pass whose backward has run."""
    norms = ParameterNorms(forward.model, gradients)
    layers = tuple(layer_record(call, norms) for call in forward.meter.calls)
    forks = meter.finish(forward.name)
    weighted = [c for c in forward.meter.calls if c.weighted and c.gradient_norm is not None]
    stem = next((layer for layer in layers if layer.weighted and layer.log10_gradient_norm is not None), None)
    shares = [f.skip_share for f in forks if f.kind == "residual" and f.skip_share is not None]
    graph = record_graph(forward)  # before the notes are read
    parallel = parallel_modules(forward)
    return Flow(
        model=model_name(forward.model),
        mode=_mode(forward.model),
        dtype=_one({str(p.dtype).removeprefix("torch.") for p in forward.model.parameters()}),
        autocast=forward.meter.autocast or autocast_on(forward.loss.device.type),
        device=forward.loss.device.type,
        loss=float(forward.loss.detach()),
        at=forward.at_name,
        stem_over_head=_ratio(weighted),
        log10_stem_gradient_norm=None if stem is None else stem.log10_gradient_norm,
        gain_per_layer=fit_gains(side_by_side(layers, parallel)),
        skip_share=sum(shares) / len(shares) if shares else None,
        effective_depth=effective_depth,
        forks=forks,
        layers=layers,
        unseen=_unseen(forward, gradients),
        parameters=norms.records(),
        nonlinearities=units,
        reuse=reuse,
        graph=graph,
        parallel=parallel,
    )


def _unseen(forward: Forward, gradients: Gradients) -> Unseen:
    return Unseen(
        modules_not_called=tuple(_not_called(forward, gradients)),
        layers_without_gradient=tuple(c.scope for c in forward.meter.calls if c.gradient_norm is None),
        parameters_without_gradient=tuple(name for name, grad in gradients.items() if grad is None),
        opaque=tuple(forward.opaque()),
        notes=tuple(forward.notes),
    )


def _not_called(forward: Forward, gradients: Gradients) -> Iterable[str]:
    """Modules with parameters that were neither called nor read by another module (as attention reads its own)."""
    for name, module in forward.model.named_modules():
        if not name or isinstance(module, ParametrizationList) or forward.meter.seen[name]:
            continue
        own = own_parameters(module)
        read = any(gradients.get(forward.names[p]) is not None for p in own)
        if own and not read and ".parametrizations." not in f".{name}":
            yield name


def _ratio(weighted: list[Call]) -> float | None:
    if not weighted or not weighted[-1].gradient_norm:
        return None
    ratio = (weighted[0].gradient_norm or 0.0) / weighted[-1].gradient_norm
    return ratio if math.isfinite(ratio) else math.nan


def _mode(model: nn.Module) -> Any:
    modes = {module.training for module in model.modules()}
    return "mixed" if len(modes) > 1 else ("train" if modes.pop() else "eval")


def _one(names: Iterable[str]) -> str:
    return "+".join(sorted(names)) or "none"
