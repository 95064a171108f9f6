"""What was measured at single layers, parameters and nonlinearities of a flow; _flow.py says how norms are stored."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradpath.record._base import Record


def from_log10(value: float) -> float:
    """10**value; 0 for -inf (an exact zero), NaN for NaN (not finite)."""
    return 0.0 if value == -math.inf else 10.0**value


@dataclass(frozen=True, kw_only=True)
class Numerics(Record):
    """Elements of a layer's output and of the gradient at it, from a regular sample of both."""

    sampled: int
    """Elements looked at, of each."""
    zero_activations: float
    """Share of exact zeros in the output."""
    zero_gradients: float
    """Share of exact zeros in the gradient; the shares below are of the others."""
    not_finite: float
    """Share of gradients that are infinite or NaN."""
    float16_underflow: float
    """Share of gradients that float16 would round to zero (below 2⁻²⁵) under the loss as it is."""
    bfloat16_underflow: float
    """The same for bfloat16 (below 2⁻¹³⁴)."""


@dataclass(frozen=True, kw_only=True)
class Layer(Record):
    """One call of a module that owns parameters. RMS: root mean square over the elements of its output."""

    scope: str
    """The module's name, as in `model.named_modules()`."""
    call: int
    """0 for the first call of this module in the pass, 1 for the second …"""
    module: str
    """Class name, e.g. 'Conv2d'."""
    weighted: bool
    """A convolution or a linear layer: what depth counts."""
    shape: tuple[int, ...]
    """Shape of the output, batch first."""
    resolution: str
    """Spatial size of the output, e.g. '28x28'; '' where there is none."""
    log10_activation_rms: float
    log10_gradient_rms: float | None
    """Of the gradient of the loss at the output; None where none arrived."""
    log10_gradient_norm: float | None
    log10_parameter_gradient_norm: float | None
    """Of all the module's own parameters together, over all its calls; None where there is no gradient."""
    log10_parameter_norm: float
    numerics: Numerics | None = None
    """None where no gradient arrived, or it was not asked for."""

    @property
    def update_ratio(self) -> float | None:
        """‖∂loss/∂w‖ / ‖w‖: how far one plain SGD step moves the parameters, relative to them, per unit of learning
        rate. None without a gradient, infinite for parameters that are all zero."""
        if self.log10_parameter_gradient_norm is None:
            return None
        if self.log10_parameter_norm == -math.inf:
            return math.inf if self.log10_parameter_gradient_norm > -math.inf else 0.0
        return from_log10(self.log10_parameter_gradient_norm - self.log10_parameter_norm)

    @property
    def gradient_rms(self) -> float | None:
        return None if self.log10_gradient_rms is None else from_log10(self.log10_gradient_rms)

    @property
    def activation_rms(self) -> float:
        return from_log10(self.log10_activation_rms)

    @property
    def gradient_norm(self) -> float | None:
        return None if self.log10_gradient_norm is None else from_log10(self.log10_gradient_norm)


@dataclass(frozen=True, kw_only=True)
class Parameter(Record):
    """One parameter and its gradient."""

    name: str
    shape: tuple[int, ...]
    log10_norm: float
    log10_gradient_norm: float | None
    """None where no gradient arrived: frozen, or not used."""


@dataclass(frozen=True, kw_only=True)
class Nonlinearity(Record):
    """One call of a ReLU, tanh, sigmoid, GELU, SiLU …, seen as an operation. Off: its derivative is below 1 % of its
    largest one (for ReLU: it is 0)."""

    name: str
    """Scope and operation."""
    operation: str
    off_share: float
    """Share of elements that are off, from a regular sample of places."""
    dead_units: float
    """Share of units (channels; features where there are no channels) that are off for every sample and position."""
    units: int | None = None
    """Number of units."""
