"""How deep is a ResNet-110? The exact parts of the gradient beside the path-norm mass of Veit et al. 2016.

    python bench/veit.py [--steps 0 300 1200] [--batch 32] [--samples 3] [--net resnet-110] [--data FILE]

Pre-activation, option A, He initialisation, one seed, one batch; and the residual MLP whose mean length is known in
closed form (54 blocks with BatchNorm, width 128). Veit et al. found "almost all of the gradient updates" in paths of
5 to 17 blocks. The two measures have different names because they are different: paths interfere.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import torch
import torch.nn.functional as F
from _common import keep
from _trained import Trainee
from torch import Tensor, nn

import gradpath as gp
from gradpath.record import PathLengths


def mode(values: tuple[float, ...], lengths: tuple[int, ...]) -> int:
    return max(zip(values, lengths, strict=True))[1]


def within(values: tuple[float, ...], lengths: tuple[int, ...], low: int = 5, high: int = 17) -> float:
    return round(sum(v for v, k in zip(values, lengths, strict=True) if low <= k <= high), 4)


def decay(record: PathLengths) -> float:
    """Factor of a single path's norm for each branch more: the least-squares line through its logarithm."""
    n = record.branches
    points = [
        (k, mass * math.log(10) - math.log(math.comb(n, k)))
        for k, mass in zip(record.lengths, record.log10_norms, strict=True)
    ]
    middle = [sum(values) / len(points) for values in zip(*points, strict=True)]
    slope = sum((k - middle[0]) * (y - middle[1]) for k, y in points) / sum((k - middle[0]) ** 2 for k, _ in points)
    return round(math.exp(slope), 4)


def both(net: nn.Module, batch: tuple[Tensor, Tensor], samples: int) -> dict[str, Any]:
    """The exact parts, the mean alone, and the path-norm mass of one net on one batch."""
    exact = gp.paths(net, batch, F.cross_entropy)
    mean = gp.paths(net, batch, F.cross_entropy, method="mean")
    veit = gp.paths(net, batch, F.cross_entropy, method="veit", samples=samples)
    assert exact.shares is not None
    return {
        "exact": {
            "mean": exact.mean_length,
            "deviation": exact.deviation,
            "mode": mode(exact.shares, exact.lengths),
            "share_of_5_to_17": within(exact.shares, exact.lengths),
            "relative_error": exact.relative_error,
        },
        "mean_of_two_extra_passes": {"mean": mean.mean_length, "deviation": mean.deviation},
        "path_norm_mass": {
            "decay_per_block": decay(veit),
            "mode": mode(veit.norm_masses, veit.lengths),
            "central_95_percent": [veit.quantile(0.025), veit.quantile(0.975)],
            "mass_of_5_to_17": within(veit.norm_masses, veit.lengths),
        },
    }


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.BatchNorm1d(width), nn.Linear(width, width, bias=False)
        nn.init.kaiming_normal_(self.linear.weight)

    def forward(self, x: Tensor) -> Tensor:  # N C
        return x + self.linear(F.relu(self.norm(x)))


def residual_mlp(samples: int, blocks: int = 54, width: int = 128) -> dict[str, Any]:
    """The net of the formula: block l hands 1 / (2 + (1 − 1/π)(l − 1)) of the gradient to its branch."""
    torch.manual_seed(0)
    stem, head = nn.Linear(width, width), nn.Linear(width, 10)
    nn.init.orthogonal_(stem.weight)
    net = nn.Sequential(stem, *(Block(width) for _ in range(blocks)), head)
    batch = (torch.randn(256, width), torch.randint(10, (256,)))
    expected = sum(1 / (2 + (1 - 1 / math.pi) * block) for block in range(blocks))
    return {"mean_by_formula": expected, **both(net, batch, samples)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 300, 1200])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--net", default="resnet-110")
    parser.add_argument("--data")
    given = parser.parse_args()
    trainee = Trainee(given.net, given.data, activation="pre")
    batch = trainee.batch(given.batch)
    result: dict[str, Any] = {"net": given.net, "batch": given.batch, "samples": given.samples, "seed": 0}
    result |= {"data": trainee.images.info.name, "residual_mlp": residual_mlp(given.samples)}
    for steps in sorted(given.steps):
        trainee.train_until(steps)
        found = both(trainee.net, batch, given.samples)
        result[f"after {steps} steps"] = {"train_loss": trainee.loss if steps else None, **found}
    keep("veit", result)


if __name__ == "__main__":
    main()
