"""Write what the page shows of real networks, and what its arithmetic and its small nets are checked against.

python scripts/write_web_nets.py       # some minutes on one core; after a change of nets/, or of what is drawn

`web/src/generated/nets.json` is shown: traces of networks at initialisation. `web/test/golden/nets.json` is checked:
parameter counts of networks that torch built, and signals and gradients that autograd found.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradpath as gp
from gradpath.nets import Network, parameters, resolve

WEB = Path(__file__).parents[1] / "web"
BLOCKS_PER_STAGE = range(1, 19)
SEEDS = range(3)
BATCH = 16
GROWTH_RATE = 12
LOSS_SCALE = 2.0**80
"""What is shown are ratios; without it the gradient of a plain net of 110 layers underflows in float32."""
DENSE_LAYERS = range(2, 13)
GAIN_NET, GAIN_SEEDS = "plain-56", range(5)
KINDS = ("plain", "norm", "skip")
NORM_CASES = ((1, 50, 1.0), (2, 12, 2.0), (3, 1, 0.3), (4, 25, 4.0))
"""Seed, depth, σ²."""
SMALL_WIDTH, SMALL_BATCH = 64, 32
COUNTS = (1, 3, 7, 9, 16)
WIDTHS = (2, 16, 18, 86)
GROWTHS = (3, 12, 24, 37)


def batch_of(seed: int) -> tuple[Tensor, Tensor]:
    """Images of noise, and labels."""
    torch.manual_seed(seed)
    return torch.randn(BATCH, 3, 32, 32), torch.randint(10, (BATCH,))


def shown() -> dict[str, Any]:
    """What the page shows: means over seeds of networks at initialisation, fed noise."""
    return {
        "about": {"seeds": len(SEEDS), "batch": BATCH, "torch": torch.__version__.split("+")[0]},
        "stacks": [_stack(n) for n in BLOCKS_PER_STAGE],
        "gain": _convolutional_gain(),
        "dense": [_dense(layers) for layers in DENSE_LAYERS],
    }


def _stack(n: int) -> dict[str, Any]:
    """A ResNet of n blocks a stage and its plain twins: log10 of the gradient's norm at each block's input over that
    at the last block's output, and of the ResNet what its skips carry."""
    depth = 6 * n + 2
    nets: dict[str, tuple[str, dict[str, Any]]] = {
        "residual": (f"resnet-{depth}", {}),
        "plain": (f"plain-{depth}", {}),
        "bare": (f"plain-{depth}", {"norm": "none", "init": "default"}),
    }
    profiles = {key: _mean(_profile(name, seed, **fields) for seed in SEEDS) for key, (name, fields) in nets.items()}
    flows = [_trace(f"resnet-{depth}", seed) for seed in SEEDS]
    shares = _mean([1 - _branch_share(fork) for fork in flow.residual_forks] for flow in flows)
    effective = sum(flow.effective_depth or math.nan for flow in flows) / len(flows)
    log10 = {key: _rounded(profile, 2) for key, profile in profiles.items()}
    return {"n": n, "log10": log10, "skip": _rounded(shares, 3), "effective": round(effective, 2)}


def _profile(name: str, seed: int, **fields: Any) -> list[float]:
    images, labels = batch_of(seed)
    net = gp.build(name, **fields)
    inputs = [net.stem(images)]
    for block in net.blocks():
        inputs.append(block(inputs[-1]))
    loss = LOSS_SCALE * F.cross_entropy(net.head(inputs[-1]), labels)
    norms = [gradient.double().norm().log10().item() for gradient in torch.autograd.grad(loss, inputs)]
    return [norm - norms[-1] for norm in norms[:-1]]


def _trace(name: str, seed: int) -> gp.Flow:
    batch = batch_of(seed)
    return gp.trace(gp.build(name), batch, F.cross_entropy)


def _branch_share(fork: Any) -> float:
    return float(sum(edge.share for edge in fork.edges if edge.kind == "branch"))


def _convolutional_gain() -> dict[str, Any]:
    """Gradient energy per layer, going backward, in a plain convolutional net with BatchNorm."""
    gains = [gain.energy_gain for seed in GAIN_SEEDS for gain in _trace(GAIN_NET, seed).gain_per_layer]
    low, high, mean = _rounded((min(gains), max(gains), sum(gains) / len(gains)), 3)
    return {"net": GAIN_NET, "seeds": len(GAIN_SEEDS), "low": low, "high": high, "mean": mean}


def _dense(layers: int) -> dict[str, Any]:
    """The first dense block of a DenseNet-BC: norm of the gradient that each source gets from each consumer."""
    norms = []
    for seed in SEEDS:
        reuse = _trace(f"densenet-bc-{6 * layers + 4}-{GROWTH_RATE}", seed).reuse[0]
        norms.append([value for row in reuse.log10_norms for value in row if value is not None])
    mean = iter(_rounded(_mean(norms), 2))
    width = layers + 1
    return {"layers": layers, "log10": [[next(mean) for _ in range(width - source)] for source in range(width)]}


def _mean(rows: Iterable[list[float]]) -> list[float]:
    return [sum(column) / len(column) for column in zip(*rows, strict=True)]


def _rounded(values: Iterable[float], digits: int) -> list[float]:
    return [round(value, digits) for value in values]


def golden() -> dict[str, Any]:
    """What the page's arithmetic has to give."""
    return {
        "norm": [_small_net(kind, *case) for kind in KINDS for case in NORM_CASES],
        "normals": list(_normals(6, _uniform(1))),
        "resnet": [[n, w, parameters(resolve(f"resnet-{6 * n + 2}", width=w))] for n in COUNTS for w in WIDTHS],
        "blocks": {"resnet": _block_counts("resnet-20", width=24), "dense": _block_counts("densenet-bc-40-12")},
        "dense": [[n, k, *_dense_counts(n, k)] for n in COUNTS for k in GROWTHS],
        "preactivation1001": parameters(resolve("preresnet-1001")),
        "inception": [[n, w, parameters(_inception_net(n, w))] for n in COUNTS for w in WIDTHS],
    }


def _dense_counts(n: int, growth_rate: int) -> tuple[int, int]:
    """Parameters, and the channels of the last block's output."""
    with torch.device("meta"):
        net = gp.build(f"densenet-bc-{6 * n + 4}-{growth_rate}", init="default")
    return parameters(net), net.head.linear.in_features


def _block_counts(name: str, **fields: Any) -> list[list[int]]:
    """By stage: parameters of each block, a transition among them."""
    net: Network = gp.build(name, **fields)
    stages = [list(cast("nn.Sequential", stage)) for stage in net.stages]
    return [[parameters(block) for block in stage] for stage in stages]


class _Inception(nn.Module):
    """The module of GoogLeNet's inception (3a), in its proportions, with norms (Szegedy et al. 2015, Table 1)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        one, reduced3, three, reduced5, five = (max(1, channels_out * part // 256) for part in (64, 96, 128, 16, 32))
        pooled = max(1, channels_out - one - three - five)
        self.one = _conv(channels_in, one, 1)
        self.three = nn.Sequential(_conv(channels_in, reduced3, 1), _conv(reduced3, three, 3))
        self.five = nn.Sequential(_conv(channels_in, reduced5, 1), _conv(reduced5, five, 5))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), _conv(channels_in, pooled, 1))


def _conv(channels_in: int, channels_out: int, size: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, size, bias=False), nn.BatchNorm2d(channels_out))


def _inception_net(n: int, width: int) -> nn.Module:
    """Stem, three stages of n modules with width, 2·width and 4·width channels, head: counted, never run."""
    widths = [width] + [width * 2**stage for stage in range(3) for _ in range(n)]
    with torch.device("meta"):
        modules = [_Inception(a, b) for a, b in pairwise(widths)]
        return nn.Sequential(_conv(3, width, 3), *modules, nn.Linear(4 * width, 10))


def _uniform(seed: int) -> Iterator[float]:
    """mulberry32, as the page draws."""
    state = seed
    while True:
        state = (state + 0x6D2B79F5) & 0xFFFFFFFF
        mixed = (state ^ state >> 15) * (1 | state) & 0xFFFFFFFF
        mixed = (mixed + ((mixed ^ mixed >> 7) * (61 | mixed) & 0xFFFFFFFF) & 0xFFFFFFFF) ^ mixed
        yield (mixed ^ mixed >> 14) / 2**32


def _normals(count: int, uniform: Iterator[float]) -> Iterator[float]:
    for _ in range(count // 2):
        radius, angle = math.sqrt(-2 * math.log(1 - next(uniform))), 2 * math.pi * next(uniform)
        yield from (radius * math.cos(angle), radius * math.sin(angle))


def _small_net(kind: str, seed: int, depth: int, sigma2: float) -> dict[str, Any]:
    """log10 RMS of activations and of their gradients, by autograd and torch's own batch_norm, in float64."""
    uniform = _uniform(seed)
    signal, upstream = _drawn(uniform, SMALL_BATCH).requires_grad_(), _drawn(uniform, SMALL_BATCH)
    weights = (math.sqrt(sigma2 / SMALL_WIDTH) * _drawn(uniform, SMALL_WIDTH) for _ in range(depth))
    activations = list(accumulate(weights, _SMALL_LAYERS[kind], initial=signal))[1:]
    gradients = torch.autograd.grad((activations[-1] * upstream).sum(), activations)
    profile = {"forward": [*map(_log10_rms, activations)], "backward": [*map(_log10_rms, gradients)]}
    return {"kind": kind, "seed": seed, "depth": depth, "sigma2": sigma2, **profile}


def _drawn(uniform: Iterator[float], rows: int) -> Tensor:
    numbers = list(_normals(rows * SMALL_WIDTH, uniform))
    return torch.tensor(numbers, dtype=torch.float64).view(rows, SMALL_WIDTH)


def _norm(x: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, training=True)


_SMALL_LAYERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "plain": lambda a, w: F.relu(F.linear(a, w)),
    "norm": lambda a, w: F.relu(_norm(F.linear(a, w))),
    "skip": lambda a, w: a + F.linear(F.relu(_norm(a)), w),
}


def _log10_rms(x: Tensor) -> float:
    return x.detach().square().mean().sqrt().log10().item()


def main() -> None:
    """Both files, in the form in which they are committed."""
    torch.set_num_threads(1)
    for path, content in (("test/golden/nets.json", golden()), ("src/generated/nets.json", shown())):
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        (WEB / path).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
