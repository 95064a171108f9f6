"""Theory of residual trunks: gradient energy at the forks themselves, from block to block."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby, pairwise

from gradpath.flow._layers import resolution
from gradpath.record import Expectation, Flow, Fork
from gradpath.record._side_by_side import forks_side_by_side

_TOLERANCE = 0.12
_FEWEST_FORKS = 4
_IDENTITY_MAPPINGS = "He et al. 2016 (Identity Mappings in Deep Residual Networks), section 3"


def trunks(flow: Flow) -> Iterator[Expectation]:
    """Energy along the residual forks themselves, per block; a run ends where the tensor's shape changes."""
    forks = [f for f in forks_side_by_side(flow) if f.log10_norm is not None and math.isfinite(f.log10_norm)]
    for _, run in groupby(forks, key=lambda fork: (fork.shape, _is_preactivated(fork))):
        blocks = list(run)
        found = _trunk_rule(blocks) if len(blocks) >= _FEWEST_FORKS else None
        if found is not None:
            rule, value, source = found
            yield Expectation(
                resolution=resolution(blocks[0].shape),
                rule=rule,
                energy_gain=value,
                tolerance=_TOLERANCE,
                measured=10 ** (2 * (_log10(blocks[0]) - _log10(blocks[-1])) / (len(blocks) - 1)),
                source=source,
                unit="block",
            )


def _trunk_rule(forks: list[Fork]) -> tuple[str, float, str] | None:
    blocks = forks[:-1]  # the last one's gain reaches beyond the run
    factor = skip_factor(forks)
    if factor is not None and factor < 0.95:
        shares = [fork.skip_share for fork in blocks if fork.skip_share is not None]
        if len(shares) == len(blocks) and min(shares) > 0.5:
            grown = math.exp(-sum(map(math.log, shares)) / len(shares))
            return f"skips scaled by λ = {factor:.3g}, λ² / skip share", factor**2 * grown, _IDENTITY_MAPPINGS
    if all(_is_preactivated(fork) for fork in forks) and (factor is None or factor > 0.95):
        logs = [-math.log(1 - branch_share(number)) for number in range(1, len(forks))]
        value = math.exp(sum(logs) / len(logs))
        return "pre-activation BatchNorm, branch share 1/(2+(1−1/π)(ℓ−1))", value, "derived after De & Smith 2020"
    return None


def branch_share(block: int) -> float:
    """Share of the gradient that comes through the branch of a pre-activation residual block with BatchNorm, at He
    initialisation: 1 / (2 + (1 − 1/π)(ℓ − 1)) for block ℓ = 1, 2, … The trunk's variance grows by one branch a block,
    and BatchNorm divides by it on the way back."""
    return 1 / (2 + (1 - 1 / math.pi) * (block - 1))


def skip_factor(forks: list[Fork]) -> float | None:
    """λ of forks in one chain, where it is the same for all: ratio of the gradient that each skip brings to the
    gradient at the next fork. None where the factors differ by more than 5 %, or the next fork is not the sum itself
    (a ReLU after it, say, also takes its part)."""
    factors = []
    for fork, after in pairwise(forks):
        skips = [edge.log10_norm for edge in fork.edges if edge.kind == "skip" and edge.log10_norm is not None]
        if len(skips) != 1 or not math.isfinite(skips[0]) or not after.name.endswith("Add"):
            return None
        factors.append(skips[0] - _log10(after))
    if not factors or max(factors) - min(factors) > math.log10(1.05):
        return None
    return float(10 ** (sum(factors) / len(factors)))


def _is_preactivated(fork: Fork) -> bool:
    branches = [edge.consumer.rsplit(": ", 1)[-1] for edge in fork.edges if edge.kind == "branch"]
    return bool(branches) and all(name.endswith("BatchNorm") for name in branches)


def _log10(fork: Fork) -> float:
    return math.nan if fork.log10_norm is None else fork.log10_norm
