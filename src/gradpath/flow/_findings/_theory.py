"""What theory says of the gain: closed forms for wide nets at initialisation, beside what was measured.

Far from initialisation, or outside its band, a rule explains nothing: it is then not the cause. The forms hold for
random weights independent of the signal (mean-field theory); finite width adds noise, which the tolerance allows for.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from gradpath.flow._findings._theory_trunks import trunks
from gradpath.flow._layers import resolution
from gradpath.record import Expectation, Flow, Gain, Layer
from gradpath.record._side_by_side import side_by_side

Values = np.ndarray
_CONVOLUTION = 0.12  # the band that gradients of convolutions were measured in, against forms for linear layers
_BATCHNORM_RELU = math.pi / (math.pi - 1)
_FEWEST_LAYERS = 2


def expectations(model: nn.Module, flow: Flow) -> tuple[Expectation, ...]:
    """What theory expects of the gradient energy of each resolution, for the architectures it knows.

    Args:
        model: the traced model; only the kinds and sizes of its modules are read.
        flow: its trace.

    Returns: at most one expectation for the plain layers of a resolution and one for a residual trunk in it: ReLU,
        tanh, sigmoid … χ₁ (Poole et al. 2016; Schoenholz et al. 2017; He et al. 2015), BatchNorm in a plain net
        π/(π−1) (Yang et al. 2019), LayerNorm 1, branch shares of pre-activation residual nets with BatchNorm (De &
        Smith 2020), skips scaled by λ (He et al. 2016).
    """
    modules = dict(model.named_modules())
    return (*_plain(modules, flow), *trunks(flow))


# ---------------------------------------------------------------------------------------------- plain stacks


def _plain(modules: dict[str, nn.Module], flow: Flow) -> Iterator[Expectation]:
    residual = {resolution(fork.shape) for fork in flow.residual_forks}
    once = side_by_side(flow.layers, flow.parallel)
    for gain in flow.gain_per_layer:
        layers = [layer for layer in once if layer.resolution == gain.resolution]
        if gain.resolution not in residual and gain.layers >= _FEWEST_LAYERS:
            found = _plain_rule(modules, flow, [x for x in layers if x.weighted], _norm_between(layers))
            if found is not None:
                rule, value, source, tolerance = found
                yield _expectation(gain, rule, value, source, tolerance)


def _expectation(gain: Gain, rule: str, value: float, source: str, tolerance: float) -> Expectation:
    return Expectation(
        resolution=gain.resolution,
        rule=rule,
        energy_gain=value,
        tolerance=tolerance,
        measured=gain.energy_gain,
        source=source,
    )


Found = tuple[str, float, str, float]
"""Rule, expected energy gain, source, relative tolerance."""


def _plain_rule(modules: dict[str, nn.Module], flow: Flow, layers: list[Layer], norm: str | None) -> Found | None:
    norms = {parameter.name: parameter.log10_norm for parameter in flow.parameters}
    between = layers[1:]  # the first one's weights lie in front of the first output
    weights = [_weights(modules.get(layer.scope), layer, norms) for layer in between]
    found = [weight for weight in weights if weight is not None]
    if len(found) < len(weights):  # an embedding, a recurrence, a transposed convolution: not known here
        return None
    tolerance, activation = _tolerance(found, norm), _activation(modules, flow)
    if norm is not None:
        return None if (known := _NORMALISED.get((norm, activation))) is None else (*known, tolerance)
    if activation not in _CHI:
        return None
    rule, derivative, source = _CHI[activation]
    gains = [
        w.energy * _mean_square(derivative, 10**x.log10_activation_rms) for w, x in zip(found, layers, strict=False)
    ]
    if not all(0 < gain < math.inf for gain in gains):
        return None
    energies = np.cumsum([0.0, *np.log(gains)])  # fitted as the measured ones are: gains may change with depth
    value = math.exp(float(np.polyfit(np.arange(len(energies)), energies, 1)[0]))
    variance = sum(w.variance for w in found) / len(found)
    return f"{rule}, σ² = {variance:.3g}", value, source, tolerance


@dataclass(frozen=True)
class _Weights:
    """What a layer's weights do to energy on the way back, without the activation."""

    energy: float
    """fan_out · mean(w²) · share of a convolution's taps that lie inside of the map."""
    variance: float
    """σ² = fan_in · mean(w²), as initialisations state it."""
    width: int
    convolution: bool


def _weights(module: nn.Module | None, layer: Layer, norms: dict[str, float]) -> _Weights | None:
    log10_norm = norms.get(f"{layer.scope}.weight")
    if log10_norm is None or not isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return None
    square = 10 ** (2 * log10_norm) / module.weight.numel()
    if isinstance(module, nn.Linear):
        return _Weights(square * module.out_features, square * module.in_features, module.in_features, False)
    taps = math.prod(module.kernel_size)
    inside = math.prod(
        taps_inside(size, kernel, _padding(module, axis), module.dilation[axis])
        for axis, (size, kernel) in enumerate(zip(layer.shape[2:], module.kernel_size, strict=False))
    )
    fan_in, fan_out = (channels * taps // module.groups for channels in (module.in_channels, module.out_channels))
    strides = math.prod(module.stride)
    return _Weights(square * fan_out * inside / strides, square * fan_in, module.in_channels, True)


def _padding(module: nn.Conv1d | nn.Conv2d | nn.Conv3d, axis: int) -> int:
    if module.padding == "same":
        return module.dilation[axis] * (module.kernel_size[axis] - 1) // 2
    return 0 if isinstance(module.padding, str) else module.padding[axis]


def taps_inside(size: int, kernel: int, padding: int, dilation: int = 1) -> float:
    """Mean share of a convolution's taps that see the map and not its zero padding, along one axis of `size` outputs
    at stride 1: a gradient at the border comes from fewer positions. 3 taps on 32 positions: 94 / 96."""
    inputs = size + dilation * (kernel - 1) - 2 * padding
    first = np.arange(size)[:, None] + dilation * np.arange(kernel)[None, :] - padding
    return float(((first >= 0) & (first < inputs)).mean())


def _tolerance(weights: list[_Weights], norm: str | None) -> float:
    """Relative. Linear layers: ln ‖g‖² does a random walk with steps of variance 5/n (Hanin & Nica 2018); a line fitted
    to one of L steps has a slope of variance 1.2 · (5/n) / L. Two standard deviations, and 2 % for the fit.
    Convolutions: their band, and without a norm half of that variance, by which the mean of ln ‖g‖² lies below the
    logarithm of the mean: 16 channels measure × 0.137 where the form for wide nets says × 0.159."""
    if any(weight.convolution for weight in weights):
        narrow = sum(2.5 / weight.width for weight in weights) / len(weights)
        return _CONVOLUTION + (narrow if norm is None else 0.0)
    noise = sum(5 / weight.width for weight in weights) / len(weights)
    return 0.02 + 2 * math.sqrt(1.2 * noise / len(weights))


def _norm_between(layers: list[Layer]) -> str | None:
    """'batch' or 'layer' where every weighted layer has such a norm, None without norms, '?' for any other mixture."""
    norms = Counter(_norm_kind(layer.module) for layer in layers if not layer.weighted and "Norm" in layer.module)
    weighted = sum(layer.weighted for layer in layers)
    if not norms:
        return None
    ((kind, count), *others) = norms.most_common()
    return kind if not others and count >= weighted - 1 else "?"


def _norm_kind(module: str) -> str:
    if module.startswith(("BatchNorm", "SyncBatchNorm")):
        return "batch"
    return "layer" if module.startswith(("LayerNorm", "RMSNorm")) else "?"


def _activation(modules: dict[str, nn.Module], flow: Flow) -> str | None:
    """The one activation of the net, as autograd names its operation; None without any, '?' for several, or where
    activations were not looked at (a quick trace) and are no modules."""
    names = {unit.operation for unit in flow.nonlinearities}
    names |= {name for module in modules.values() if (name := _OPERATIONS.get(type(module).__name__))}
    if not names and all(layer.numerics is None for layer in flow.layers):
        return "?"
    return next(iter(names), None) if len(names) < 2 else "?"


_OPERATIONS = {"ReLU": "Relu", "Tanh": "Tanh", "Sigmoid": "Sigmoid", "GELU": "Gelu", "SiLU": "Silu", "ELU": "Elu"}

# ------------------------------------------------------------------------------------------------- the table

_NODES = np.linspace(-8, 8, 4001)  # fine enough for a step of width 1 under a normal of RMS 100
_NODE_WEIGHTS = np.exp(-(_NODES**2) / 2)


def _mean_square(derivative: Callable[[Values], Values], rms: float) -> float:
    """E[φ′(h)²] for h normal with mean 0 and the measured RMS of the layer's output: the measured fixed point."""
    if not math.isfinite(rms):
        return math.nan
    squares = derivative(_NODES * rms) ** 2
    return float((_NODE_WEIGHTS * squares).sum() / _NODE_WEIGHTS.sum())


def _sigmoid(x: Values) -> Values:
    return 0.5 * (1 + np.tanh(x / 2))


def _normal(x: Values) -> tuple[Values, Values]:
    """Density and distribution of the standard normal."""
    cumulative = 0.5 * (1 + torch.special.erf(torch.from_numpy(x / math.sqrt(2))).numpy())
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi), cumulative


def _gelu(x: Values) -> Values:
    density, cumulative = _normal(x)
    return np.asarray(cumulative + x * density)


_HE = "He et al. 2015 (Delving Deep into Rectifiers), equation 14"
_MEAN_FIELD = "Poole et al. 2016; Schoenholz et al. 2017 (Deep Information Propagation), equation for χ₁"

_CHI: dict[str | None, tuple[str, Callable[[Values], Values], str]] = {
    "Relu": ("ReLU σ²/2", lambda x: (x > 0) + math.sqrt(0.5) * (x == 0), _HE),  # a node at 0 counts half
    "Tanh": ("tanh χ₁", lambda x: 1 - np.tanh(x) ** 2, _MEAN_FIELD),
    "Sigmoid": ("sigmoid χ₁ ≤ σ²/16", lambda x: _sigmoid(x) * _sigmoid(-x), _MEAN_FIELD),
    "Gelu": ("GELU χ₁", _gelu, _MEAN_FIELD),
    "Silu": ("SiLU χ₁", lambda x: _sigmoid(x) * (1 + x * _sigmoid(-x)), _MEAN_FIELD),
    "Elu": ("ELU χ₁", lambda x: np.where(x > 0, 1.0, np.exp(np.minimum(x, 0))), _MEAN_FIELD),
}
_NORMALISED: dict[tuple[str | None, str | None], tuple[str, float, str]] = {
    ("batch", "Relu"): (
        "BatchNorm in a plain net π/(π−1)",
        _BATCHNORM_RELU,
        "Yang et al. 2019 (A Mean Field Theory of Batch Normalization)",
    ),
    ("batch", None): ("BatchNorm without activation 1", 1.0, "Yang et al. 2019; measured 1.009 at width 512"),
    ("layer", "Relu"): ("LayerNorm in a plain net 1", 1.0, "the norm undoes σ²/2; measured 1.005 at width 512"),
}
