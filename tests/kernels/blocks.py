"""Random residual and plain blocks with inputs, and what float64 says of them: for the tests of fused blocks."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradpath.nets._blocks import PostBasic, PostBottleneck, PreBasic, PreBottleneck
from gradpath.record import NetSpec

KINDS = {
    ("post", False): PostBasic, ("post", True): PostBottleneck, ("pre", False): PreBasic, ("pre", True): PreBottleneck,
}  # fmt: skip


@dataclass
class Drawn:
    """A block in float64 and what goes in: N C H W."""

    block: nn.Module
    x: Tensor
    grad: Tensor
    layout: str
    threads: int


def drawn(seed: int) -> Drawn:
    rng = random.Random(seed)
    torch.manual_seed(seed)
    activation, bottleneck = rng.choice(list(KINDS))
    stride = rng.choice([1, 1, 2])
    channels = rng.choice([1, 3, 8]) * (4 if bottleneck else 1)  # few sizes: each new one costs a convolution 10 ms
    given = channels if rng.random() < 0.7 else channels // 2 or 1
    spec = NetSpec(
        family=rng.choice(["plain", "residual", "residual"]),
        depth=11 if bottleneck else 8,
        bottleneck=bottleneck,
        activation=activation,
        width=16,
        shortcut=rng.choice("ABC" if activation == "post" else "AB"),
    )
    block = KINDS[activation, bottleneck](spec, given, channels, stride, rng.random() < 0.4).double()
    for part in block.modules():
        if isinstance(part, nn.BatchNorm2d):
            _set(part, rng)
        elif isinstance(part, nn.Conv2d):
            part.weight.requires_grad_(rng.random() < 0.8)
    count, height, width = rng.choice([(1, 4, 4), (3, 7, 5), (5, 2, 3)])
    x = torch.randn(count, given, height, width, dtype=torch.float64)
    grad = torch.randn_like(block(x))
    return Drawn(block, x, grad, rng.choice(["channels-last", "contiguous", "sliced"]), 1 + (rng.random() < 0.1))


def _set(norm: nn.BatchNorm2d, rng: random.Random) -> None:
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    nn.init.normal_(norm.bias, 0, 0.3)
    norm.weight.requires_grad_(rng.random() < 0.8), norm.bias.requires_grad_(rng.random() < 0.8)
    norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2)
    norm.momentum = rng.choice([0.1, 0.3, None])
    if rng.random() < 0.1:
        norm.running_mean = norm.running_var = norm.num_batches_tracked = None
        norm.track_running_stats = False
    norm.train(rng.random() < 0.8)


def laid_out(x: Tensor, layout: str) -> Tensor:
    """The same numbers in another layout, NaN around them where it is a slice."""
    if layout == "contiguous":
        return x.contiguous()
    if layout == "channels-last":
        return x.contiguous(memory_format=torch.channels_last)
    wide = x.new_full((len(x), x.shape[1] + 2, x.shape[2] + 1, x.shape[3] + 1), torch.nan)
    wide[:, 1:-1, 1:, 1:] = x
    return wide[:, 1:-1, 1:, 1:]


class NearestTie(TorchFunctionMode):
    """The smallest number that a ReLU saw, in units of the largest: near 0 its mask is a matter of rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.least = 1.0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.relu:
            size = args[0].detach().abs()
            self.least = min(self.least, float(size.min() / size.max().clamp_min(1e-300)))
        return func(*args, **(kwargs or {}))


def results(block: nn.Module, x: Tensor, grad: Tensor, twice: bool = False) -> dict[str, Tensor]:
    """Output, gradients and buffers of one forward and backward, or two whose gradients add up."""
    leaf = x.detach().requires_grad_()
    for _ in range(1 + twice):
        out = block(leaf)
        if out.requires_grad:
            out.backward(grad)
    found = {"output": out.detach(), "input": leaf.grad}
    found |= {f"{name}.grad": p.grad for name, p in block.named_parameters()}
    found |= dict(block.named_buffers())
    return found


def worst(found: dict[str, Tensor], right: dict[str, Tensor]) -> tuple[float, str]:
    """The largest of the `differences`, and whose it is."""
    return max((off, name) for name, off in differences(found, right).items())


def differences(found: dict[str, Tensor], right: dict[str, Tensor]) -> dict[str, float]:
    """Of each tensor: gradients of parameters in units of the largest of them, all else in its own."""
    assert found.keys() == right.keys()
    largest = max((float(t.abs().max()) for n, t in right.items() if n.endswith(".grad") and t is not None), default=1)
    off = {}
    for name, wanted in right.items():
        got = found[name]
        assert (got is None) == (wanted is None), name
        if wanted is None:
            continue
        size = max(largest if name.endswith(".grad") else float(wanted.double().abs().max()), 1e-30)
        difference = float((got.double() - wanted.double()).abs().max()) / size
        off[name] = difference if difference == difference else float("inf")
    return off


def pair(case: Drawn, dtype: torch.dtype) -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """The float64 block, a copy in another dtype, and the inputs for that."""
    block = copy.deepcopy(case.block).to(dtype)
    return case.block, block, laid_out(case.x.to(dtype), case.layout), case.grad.to(dtype)
