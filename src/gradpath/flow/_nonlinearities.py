"""Dead and saturated units: how much of each ReLU, tanh, sigmoid … is off, read from what autograd saved.

A regular sample of positions tells how much is off. It also shows nearly every unit to be alive; only those that it
does not are looked at everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from gradpath.flow._forward import Forward
from gradpath.flow._graph import Node, operation
from gradpath.record import Nonlinearity

_OFF = 0.01  # of the largest derivative
_TANH = math.sqrt(1 - _OFF)  # |tanh x| above which 1 − tanh² is below 1 %
_SIGMOID = math.sqrt(1 - _OFF) / 2  # |σ(x) − ½| above which σ(1 − σ) is below 1 % of ¼

# operation → what autograd saved of it → not zero where it is on: where its derivative is not below 1 % of its largest
_RULES: dict[str, tuple[str, Callable[[Tensor, Node], Tensor]]] = {
    "Relu": ("_saved_result", lambda y, _: y),
    "Tanh": ("_saved_result", lambda y, _: ~(y.abs() > _TANH)),
    "Sigmoid": ("_saved_result", lambda y, _: ~((y - 0.5).abs() > _SIGMOID)),
    "Hardtanh": ("_saved_self", lambda x, node: F.hardtanh(x, node._saved_min_val, node._saved_max_val) == x),
    "Gelu": ("_saved_self", lambda x, _: ~(x < -3.0)),
    "Silu": ("_saved_self", lambda x, _: ~(x < -7.5)),
    "Elu": ("_saved_self", lambda x, _: ~(x < math.log(_OFF))),
    "Softplus": ("_saved_self", lambda x, _: ~(x < math.log(_OFF))),
}

_SAMPLE, _LEAST_POSITIONS = 8192, 32


def nonlinearities(forward: Forward) -> tuple[Nonlinearity, ...]:
    """In the order of the forward pass. What was overwritten since (an in-place operation) is left out."""
    nodes = [node for node in reversed(forward.graph.nodes) if operation(node) in _RULES]
    found = (_record(node, forward.name(node)) for node in nodes if node in forward.graph.activations)
    return tuple(record for record in found if record is not None)


def _record(node: Node, name: str) -> Nonlinearity | None:
    kind = operation(node)
    attribute, rule = _RULES[kind]
    try:
        saved = getattr(node, attribute).detach()
    except (AttributeError, RuntimeError):  # another version of torch; overwritten or freed
        return None
    if not saved.numel() or saved.is_complex():  # the rules know the real line
        return None
    saved = saved.reshape(-1) if not saved.dim() else saved
    unit = _unit_dimension(node, saved.dim())
    with torch.no_grad():
        part = _sample(saved, unit)
        counts = _count_on(rule(part, node), unit)
        off_share = 1 - int(counts.sum()) / part.numel()
        silent = (counts == 0).nonzero().flatten()
        if silent.numel() and part.numel() < saved.numel():
            silent = silent[_count_on(rule(saved.index_select(unit, silent), node), unit) == 0]
    units = counts.numel()
    return Nonlinearity(name=name, operation=kind, off_share=off_share, dead_units=silent.numel() / units, units=units)


def _count_on(on: Tensor, unit: int) -> Tensor:
    """For each unit the number of elements that are not zero."""
    others = [d for d in range(on.dim()) if d != unit]
    return (on != 0).sum(others) if others else (on != 0).long()


def _sample(values: Tensor, unit: int) -> Tensor:
    """All units at every n-th place of each other dimension: about 8,192 elements, at least 32 places where there are
    as many. n is odd, so that it meets both kinds of places behind an up-sampling."""
    places = max(_SAMPLE // values.shape[unit], _LEAST_POSITIONS)
    others = [size for d, size in enumerate(values.shape) if d != unit]
    step = 1
    while math.prod(-(-size // step) for size in others) > places:
        step += 2 + step // 16 * 2
    return values[tuple(slice(None, None, 1 if d == unit else step) for d in range(values.dim()))]


_CHANNELS_FIRST = ("Convolution", "MkldnnConvolution", "NativeBatchNorm", "CudnnBatchNorm", "NativeGroupNorm")
_FEATURES_LAST = ("Addmm", "Mm", "Bmm", "Linear", "NativeLayerNorm", "FusedRmsNorm", "Embedding")
_FAR = 8


def _unit_dimension(node: Node, dimensions: int) -> int:
    """Where the units are: dimension 1 behind a convolution (N C L, N C H W), the last one behind a linear layer
    (N C, N T C, N H W C). Read off the nearest such operation that the input comes from."""
    for _ in range(_FAR):
        node = next((source for source, _ in node.next_functions if source is not None), None)
        if node is None:
            break
        if operation(node) in _CHANNELS_FIRST:
            return min(1, dimensions - 1)
        if operation(node) in _FEATURES_LAST:
            return dimensions - 1
    return 1 if dimensions > 3 else dimensions - 1
