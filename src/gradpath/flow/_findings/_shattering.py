"""Shattered gradients: how alike the gradients of different samples are (Balduzzi et al. 2017)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from gradpath.errors import TraceError
from gradpath.flow._forward import Place, forward_pass
from gradpath.flow._layers import tensors
from gradpath.record import Finding

_SHATTERED = 0.05


def shattering(model: nn.Module, inputs: Any, *, at: Place = None) -> float:
    """Mean cosine between the gradients of two samples: 1 alike, 0 white noise ("shattered").

    The gradient is that of the sum of a sample's outputs with respect to its slice of the tensor at `at`. At
    initialisation it halves with every ReLU layer of a plain net and falls to ¾ with every residual block (independent
    inputs, one layer: measured 0.4995 and 0.746; deeper, inputs become alike and it falls more slowly). BatchNorm in
    training mode ties N samples together: there noise is at −1/(N−1), not at 0.

    Args:
        model: any module; left as found.
        inputs: N samples, batch first: a tensor, a tuple of positional arguments or a mapping of keyword arguments.
        at: as in `trace`: a module, its name or an input that needs a gradient; usually the first layer's output.

    Raises: TraceError for fewer than two samples, or where the gradient is no tensor of one row for each of them.
    """

    def step(model: nn.Module, inputs: Any) -> Tensor:
        return next(tensors(_call(model, inputs))).sum()

    with forward_pass(model, inputs, step=step, at=at) as forward:
        place: Any = forward.at
        (gradient,) = torch.autograd.grad(forward.loss, [place])
    if gradient.dim() < 2 or len(gradient) < 2:
        raise TraceError(
            f"shattering compares samples, but the gradient at {forward.at_name} has the shape "
            f"{tuple(gradient.shape)}: give at least two samples, batch first"
        )
    return mean_cosine(gradient.flatten(1))


def mean_cosine(rows: Tensor) -> float:
    """Mean cosine over all pairs of different rows (N × D): (‖Σ uᵢ‖² − N) / (N(N − 1)) for unit rows. NaN where fewer
    than two rows are neither zero nor infinite."""
    rows = rows.double() if rows.device.type != "mps" else rows
    rows = rows / rows.abs().amax(1, keepdim=True)  # squares stay in range
    rows = rows[rows.isfinite().all(1)]
    units = rows / rows.norm(dim=1, keepdim=True)
    n = len(units)
    return float((units.sum(0).square().sum() - n) / (n * (n - 1))) if n > 1 else math.nan


def shattered(correlation: float) -> list[Finding]:
    """The finding for a measured correlation: noise below 0.05."""
    if not abs(correlation) < _SHATTERED:
        return []
    return [
        Finding(
            kind="shattered gradients",
            where="",
            sentence=f"The gradients are shattered: those of two samples are as unlike as noise (cosine "
            f"{correlation:.3f}), so what one sample teaches the front layers the next one undoes.",
            evidence=f"mean cosine of the samples' gradients {correlation:.3f}; it halves with every plain ReLU layer "
            "and falls to 3/4 with every residual block",
            remedy="Add skip connections.",
            severity=math.log10(_SHATTERED / max(abs(correlation), 1e-4)),
            cures=("skip=every:2",),
            facts={"cosine": f"{correlation:.3f}"},
        )
    ]


def _call(model: nn.Module, inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)
