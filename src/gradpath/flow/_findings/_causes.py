"""Why a gradient vanishes or explodes, and what cures it: by the theory whose band the measured gain lies in."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from gradpath.record import Expectation, Flow


@dataclass(frozen=True)
class Cause:
    """A cause in words, with its remedy."""

    name: str
    sentence: str
    remedy: str
    cures: tuple[str, ...]


# (beginning of the rule, vanishing or exploding) → why, what to do
_KNOWN: dict[tuple[str, bool], Cause] = {
    ("ReLU", True): Cause(
        "ReLU small",
        "the weights are too small for ReLU, which halves the energy at every layer",
        "Initialise with weight variance 2/n (He), or add skip connections.",
        ("init=he", "skip=every:2", "insert=batchnorm"),
    ),
    ("ReLU", False): Cause(
        "ReLU large",
        "the weights are too large for ReLU: more than 2/n in variance",
        "Initialise with weight variance 2/n (He), or add a norm and skip connections.",
        ("init=he", "insert=layernorm"),
    ),
    ("tanh", True): Cause(
        "tanh small",
        "tanh is in its ordered phase: the weights are too small, or the units saturate",
        "Use an orthogonal initialisation with gain near 1, or ReLU with He initialisation, or skip connections.",
        ("init=orthogonal", "skip=every:2", "insert=batchnorm"),
    ),
    ("tanh", False): Cause(
        "tanh large",
        "tanh is in its chaotic phase: the weights are too large",
        "Use an orthogonal initialisation with gain near 1, or insert LayerNorm.",
        ("init=orthogonal", "insert=layernorm"),
    ),
    ("sigmoid", True): Cause(
        "sigmoid",
        "the sigmoid's derivative is at most 1/4, so each layer keeps at most σ²/16 of the energy",
        "Replace the sigmoid by ReLU with He initialisation, or add skip connections.",
        ("activation=relu", "insert=batchnorm", "skip=every:2"),
    ),
    ("BatchNorm in a plain net", False): Cause(
        "plain BatchNorm",
        "BatchNorm with ReLU and without skip connections multiplies the energy by π/(π−1) at every layer, whatever "
        "the initialisation and the learning rate",
        "Add skip connections; or replace BatchNorm by LayerNorm or by He initialisation without a norm.",
        ("skip=every:2",),
    ),
    ("skips scaled", True): Cause(
        "skips scaled",
        "every skip is scaled by a factor below 1, and the factors multiply",
        "Leave the skips unscaled (factor 1); scale the branches instead.",
        (),
    ),
}
_VANISHING = Cause(
    "unknown",
    "no rule known here gives this gain",
    "Try He initialisation, skip connections or a norm; `gp.whatif` shows what each does to this very model.",
    ("init=he", "skip=every:2", "insert=batchnorm"),
)
_EXPLODING = Cause(
    "unknown exploding",
    "no rule known here gives this gain",
    "Try He initialisation, skip connections or LayerNorm; `gp.whatif` shows what each does to this very model.",
    ("insert=layernorm", "init=he", "skip=every:2"),
)
_UNNORMED_TRUNK = Cause(
    "trunk without norms",
    "this residual net has no norm in its branches, so every block adds the energy of its branch to that of the trunk",
    "Start branches at zero (Fixup, SkipInit, a zero-initialised last layer), or put a norm into every branch.",
    ("insert=batchnorm", "insert=layernorm"),
)


def cause_of(flow: Flow, vanishes: bool) -> tuple[Cause, Expectation | None]:
    """The cause, with the expectation that explains it, if one does."""
    for (rule, direction), cause in _KNOWN.items():
        expected = _together(flow, [e for e in flow.expected if e.rule.startswith(rule)])
        if direction == vanishes and expected is not None and (expected.energy_gain < 1) == vanishes:
            return cause, expected
    norms = sum("Norm" in layer.module for layer in flow.layers)
    if not vanishes and 2 * norms < len(flow.residual_forks):
        return _UNNORMED_TRUNK, None
    return (_VANISHING if vanishes else _EXPLODING), None


def _together(flow: Flow, found: list[Expectation]) -> Expectation | None:
    """What one rule says of all its resolutions (geometric means by their layers), where it explains that."""
    layers = {gain.resolution: gain.layers - 1 for gain in flow.gain_per_layer}
    weights = [layers.get(expected.resolution, 1) for expected in found]
    gains = [gain for e in found for gain in (e.energy_gain, e.measured)]
    if not found or not all(0 < gain < math.inf for gain in gains):
        return None

    def mean(values: list[float]) -> float:
        pairs = zip(weights, values, strict=True)
        return math.exp(sum(weight * math.log(value) for weight, value in pairs) / sum(weights))

    together = replace(
        max(found, key=lambda e: layers.get(e.resolution, 1)),
        energy_gain=mean([e.energy_gain for e in found]),
        measured=mean([e.measured for e in found]),
    )
    return together if together.explains else None
