"""What options put into blocks: norms, nonlinearities, and what a branch or a shortcut passes before the add."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradpath.record import NetSpec
from gradpath.record._net import Nonlinearity

NONLINEARITIES: dict[Nonlinearity, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "leaky-relu": F.leaky_relu,  # slope 0.01
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
}


class Shift(nn.Module):
    """A scalar bias, and for the end of a branch a scalar factor before it: what Fixup has in place of norms."""

    def __init__(self, scaled: bool = False) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1)) if scaled else None
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return (x if self.scale is None else x * self.scale) + self.shift


class ShiftedConv2d(nn.Conv2d):
    """A convolution after a scalar bias: conv(x + shift), zero-padded after it (Zhang et al. 2019, Fixup)."""

    def __init__(self, *args: int, **fields: int | bool) -> None:
        super().__init__(*args, **fields)  # type: ignore[arg-type]
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + self.shift)


class LearnedScale(nn.Module):
    """α·x with a learned scalar that begins at 0 (SkipInit, De and Smith 2020; ReZero, Bachlechner et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class Scale(nn.Module):
    """λ·x with a constant λ."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def extra_repr(self) -> str:
        return f"factor={self.factor:g}"


class StochasticDepth(nn.Module):
    """Drops the branch with chance `rate` in training (Huang et al. 2016). N C H W → N C H W.

    batch: all samples or none, unscaled; in evaluation times 1 − rate. row: each sample by itself, those kept divided
    by 1 − rate; nothing in evaluation. A dropped branch is computed and multiplied by 0, so that the graph, the
    parameters with a gradient and the work are the same in every step and on every rank; its running statistics move.
    """

    def __init__(self, rate: float, per_row: bool) -> None:
        super().__init__()
        self.rate, self.per_row = rate, per_row

    def forward(self, x: Tensor) -> Tensor:
        kept = 1 - self.rate
        if self.per_row:
            return x * x.new_empty(len(x), 1, 1, 1).bernoulli_(kept).div_(kept) if self.training else x
        return x * (x.new_empty(()).bernoulli_(kept) if self.training else kept)

    def extra_repr(self) -> str:
        return f"rate={self.rate:g}, per_row={self.per_row}"


class Gate(nn.Module):
    """Weighs the shortcut by 1 − g, and if exclusive the branch by g (He et al. 2016, section 3.1).

    g = σ(conv(x)) with x the block's input, one value for each element of the output.
    """

    def __init__(self, spec: NetSpec, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.exclusive, self.first_bias = spec.gate == "exclusive", spec.gate_bias
        self.conv = nn.Conv2d(channels_in, channels_out, 1, stride)

    def forward(self, branch: Tensor, shortcut: Tensor, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.conv(x))  # N C H W, as the branch
        return (gate * branch if self.exclusive else branch) + (1 - gate) * shortcut

    def extra_repr(self) -> str:
        return f"exclusive={self.exclusive}"


def make_norm(spec: NetSpec, channels: int, ends_branch: bool = False) -> nn.Module:
    """The norm of a specification, or what stands in its place: the identity, or Fixup's scalars."""
    if spec.init == "fixup":
        return Shift(scaled=ends_branch)
    if spec.norm == "none":
        return nn.Identity()
    if spec.norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(1 if spec.norm == "layer" else norm_groups(channels), channels)


def norm_groups(channels: int) -> int:
    """Groups of a group norm: 32 (Wu and He 2018), or fewer, that they be equal and have two channels at least."""
    return next(groups for groups in range(min(32, max(channels // 2, 1)), 0, -1) if channels % groups == 0)


def make_conv(
    spec: NetSpec, channels_in: int, channels_out: int, size: int, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A size×size convolution that keeps the resolution (divided by its stride)."""
    kind = ShiftedConv2d if spec.init == "fixup" else nn.Conv2d
    bias = spec.norm == "none" and spec.init != "fixup"
    return kind(channels_in, channels_out, size, stride=stride, padding=size // 2, groups=groups, bias=bias)


def make_wrap(spec: NetSpec, index: int) -> nn.Sequential | None:
    """What the index-th branch (from 0) passes before it is added; None in most nets."""
    parts: list[nn.Module] = []
    if spec.init in ("skipinit", "rezero"):
        parts.append(LearnedScale())
    if spec.branch_scale != 1:
        parts.append(Scale(spec.branch_scale))
    if spec.stochastic_depth:
        parts.append(StochasticDepth(drop_rate(spec, index), spec.stochastic_depth_mode == "row"))
    return nn.Sequential(*parts) if parts else None


def drop_rate(spec: NetSpec, index: int) -> float:
    """The rate at which stochastic depth drops the index-th branch, counted from 0."""
    branches = sum(spec.stage_blocks)
    if spec.stochastic_depth_mode == "row":
        return spec.stochastic_depth * index / max(1, branches - 1)
    return spec.stochastic_depth * (index + 1) / branches


def wrap_shortcut(spec: NetSpec, shortcut: nn.Module) -> nn.Module:
    """The shortcut with its constant factor and dropout; itself in most nets."""
    parts: list[nn.Module] = []
    if spec.shortcut_scale != 1:
        parts.append(Scale(spec.shortcut_scale))
    if spec.shortcut_dropout:
        parts.append(nn.Dropout(spec.shortcut_dropout))
    return nn.Sequential(shortcut, *parts) if parts else shortcut


def make_dropout(spec: NetSpec) -> nn.Dropout | None:
    """The dropout between convolutions; None in most nets."""
    return nn.Dropout(spec.dropout) if spec.dropout else None
