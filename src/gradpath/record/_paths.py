"""The gradient at one tensor, split by the length of the paths it took. Definitions: docs/definitions.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from gradpath.record._base import Record
from gradpath.record._layers import from_log10

PathUnit = Literal["branches", "layers", "blocks"]
PathMethod = Literal["exact", "mean", "veit"]


@dataclass(frozen=True, kw_only=True)
class PathsAt(Record):
    """The gradient at the output of one layer by the length of its paths from the loss to there."""

    scope: str
    """The module's name, as in `model.named_modules()`."""
    call: int
    """0 for the first call of this module in the pass, 1 for the second …"""
    lengths: tuple[int, ...]
    shares: tuple[float, ...] | None
    """⟨g⁽ᵏ⁾, g⟩ / ‖g‖² of the gradient here; None where it is zero."""
    log10_norms: tuple[float, ...]

    @property
    def norms(self) -> tuple[float, ...]:
        return tuple(map(from_log10, self.log10_norms))

    @property
    def mean_length(self) -> float | None:
        return _mean(self.lengths, self.shares)


@dataclass(frozen=True, kw_only=True)
class PathLengths(Record, kind="paths"):
    """What the gradient at one tensor owes to the paths of each length (`gp.paths`): g = Σₖ g⁽ᵏ⁾."""

    model: str
    at: str
    """The layer at whose output the gradient is taken."""
    unit: PathUnit
    """What a length counts: branches of residual forks, weighted layers, or calls of the modules named in `block`."""
    block: str | None = None
    """The classes that the caller counts instead of the branches found."""
    method: PathMethod
    """exact: the parts of the gradient. mean: their signed mean length alone. veit: path-norm mass (Veit et al. 2016),
    which is not additive: never compare its numbers with those of the other two."""
    lengths: tuple[int, ...]
    """The lengths that something arrived by, increasing; empty for 'mean'."""
    shares: tuple[float, ...] | None
    """⟨g⁽ᵏ⁾, g⟩ / ‖g‖²: signed, their sum is 1 (less what the tolerance left out). None where g = 0, and for 'mean' and
    'veit'."""
    log10_norms: tuple[float, ...]
    """log10 ‖g⁽ᵏ⁾‖; for 'veit' of the mass: C(n, k) times the mean norm of the sampled paths."""
    mean_length: float | None
    """Σ k · share; None where there are no shares or the gradient is zero."""
    deviation: float | None
    """√(Σ k² · share − mean²); None where the signed second moment is smaller than the mean's square."""
    effective_depth: float | None
    """The mean length in branches (or in the caller's blocks); None where there is no residual fork."""
    relative_error: float | None
    """‖Σₖ g⁽ᵏ⁾ − g‖ / ‖g‖ against autograd's own gradient g; None where g = 0 or nothing was summed."""
    log10_gradient_norm: float
    """log10 ‖g‖."""
    tolerance: float
    """A length does not go on past a mark where it carries less than an eighth of this, relative to the whole gradient
    there; 0: nothing is left out."""
    dropped: int
    """How many gradients (one length at one mark) the tolerance left out; `relative_error` tells what they were worth.
    """
    shortest_path: int | None
    """Fewest weighted layers on a path from the loss to `at`, as in gradient path analysis (Wang et al. 2022)."""
    longest_path: int | None
    """Most weighted layers on such a path."""
    branches: int
    """Branches of residual forks between the loss and `at`; with `block`, marked calls."""
    by_depth: tuple[PathsAt, ...] = ()
    """The same split at the output of each layer, in the order of the calls, where asked for."""
    held_bytes: int = 0
    """The most bytes of gradients held at one time, beside the graph of the forward pass: those held back, and by depth
    one for each layer."""
    samples: int = 0
    """Paths sampled for each length ('veit'), and the seed they were drawn with."""
    seed: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def norms(self) -> tuple[float, ...]:
        return tuple(map(from_log10, self.log10_norms))

    @property
    def gradient_norm(self) -> float:
        return from_log10(self.log10_gradient_norm)

    @property
    def norm_masses(self) -> tuple[float, ...]:
        """‖g⁽ᵏ⁾‖ / Σ‖g⁽ʲ⁾‖, at any scale of the gradient; zeros where all parts are zero."""
        largest = max(self.log10_norms, default=-math.inf)
        if largest == -math.inf:
            return (0.0,) * len(self.log10_norms)
        scaled = [from_log10(value - largest) for value in self.log10_norms]
        return tuple(value / sum(scaled) for value in scaled)

    def quantile(self, q: float) -> int | None:
        """The smallest length that, with all shorter ones, holds at least the part q (0 … 1) of the norm mass.

        None where there are no lengths or the gradient is zero. Raises ValueError for q outside 0 … 1.
        """
        if not 0 <= q <= 1:
            raise ValueError(f"a quantile is between 0 and 1, got {q}")
        masses = self.norm_masses
        for place, (length, mass) in enumerate(zip(self.lengths, masses, strict=True)):
            beyond = math.fsum(masses[place + 1 :])  # from this side nothing is lost to rounding at q = 1
            if mass > 0 and beyond <= (1 - q) * (1 + 1e-12):
                return length
        return None

    def __repr__(self) -> str:
        mean = "-" if self.mean_length is None else f"{self.mean_length:.2f}"
        span = f"{self.lengths[0]} to {self.lengths[-1]}" if self.lengths else "not known"
        return f"PathLengths({self.model} at {self.at}: lengths {span} in {self.unit}, mean {mean}, {self.method})"


def mean_and_deviation(lengths: tuple[int, ...], shares: tuple[float, ...] | None) -> tuple[float | None, float | None]:
    """Σ k · share and √(Σ k² · share − mean²) of signed shares; the second is None where it would be imaginary."""
    mean = _mean(lengths, shares)
    if mean is None or shares is None:
        return None, None
    variance = sum((k - mean) ** 2 * share for k, share in zip(lengths, shares, strict=True))
    return mean, math.sqrt(variance) if variance >= 0 else None


def _mean(lengths: tuple[int, ...], shares: tuple[float, ...] | None) -> float | None:
    if not shares:
        return None
    return math.fsum(k * share for k, share in zip(lengths, shares, strict=True))
