"""The blocks of plain, residual and dense nets, as the papers draw them. No operation is in place: hooks see all.

A plain block is a residual block whose shortcut is None. Convolutions have a bias only where no norm follows them in
the whole net (norm='none').
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradpath.nets._protocol import Block
from gradpath.record import NetSpec

EXPANSION = 4
"""A bottleneck's outer width over its inner width; a dense bottleneck's inner width over the growth rate."""


def make_norm(spec: NetSpec, channels: int) -> nn.Module:
    """BatchNorm2d, or the identity for norm='none'."""
    return nn.BatchNorm2d(channels) if spec.norm == "batch" else nn.Identity()


def make_conv(spec: NetSpec, channels_in: int, channels_out: int, size: int, stride: int = 1) -> nn.Conv2d:
    """A size×size convolution that keeps the resolution (divided by its stride)."""
    bias = spec.norm == "none"
    return nn.Conv2d(channels_in, channels_out, size, stride=stride, padding=size // 2, bias=bias)


class PadShortcut(nn.Module):
    """Option A: every stride-th pixel, and zeros for the new channels (He et al. 2015, section 4.2)."""

    def __init__(self, spec: NetSpec, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        new = channels_out - channels_in
        self.stride = stride
        self.before, self.after = (new // 2, new // 2) if spec.padding == "both" else (0, new)

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]  # N C H/stride W/stride
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, zeros_before={self.before}, zeros_after={self.after}"


class Projection(nn.Module):
    """Options B and C: a 1×1 convolution; in post-activation nets with a norm."""

    def __init__(self, spec: NetSpec, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv = make_conv(spec, channels_in, channels_out, 1, stride)
        self.norm = make_norm(spec, channels_out) if spec.activation == "post" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        return out


def make_shortcut(spec: NetSpec, channels_in: int, channels_out: int, stride: int) -> nn.Module | None:
    """What is added to the branch: identity, zero padding or projection; None in a plain net."""
    if spec.family == "plain":
        return None
    if channels_in == channels_out and stride == 1 and spec.shortcut != "C":
        return nn.Identity()
    kind = PadShortcut if spec.shortcut == "A" else Projection
    return kind(spec, channels_in, channels_out, stride)


class StageBlock(Block):
    """What the blocks of plain and residual nets share. `first`: the first block of its stage."""

    def __init__(self, spec: NetSpec, channels_in: int, channels_out: int, stride: int, first: bool) -> None:
        super().__init__()
        self.channels_in, self.channels_out, self.stride, self.first = channels_in, channels_out, stride, first
        self.make_branch(spec)
        self.shortcut = make_shortcut(spec, channels_in, channels_out, stride)

    def make_branch(self, spec: NetSpec) -> None:
        """Create the modules of the branch, in the order of the forward pass."""
        raise NotImplementedError


class PostBlock(StageBlock):
    """conv, norm, ReLU …, conv, norm; add; ReLU (He et al. 2015)."""

    def branch(self, x: Tensor) -> Tensor:
        """F(x), up to the last norm."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        out = self.branch(x)
        return F.relu(out if self.shortcut is None else out + self.shortcut(x))


class PreBlock(StageBlock):
    """norm, ReLU, conv …; add (He et al. 2016).

    The first block of a stage feeds its shortcut from its first norm and ReLU, the others from their input: in the
    paper so in the first block of the net ("before splitting into two paths"), in its code in each stage's first.
    """

    norm1: nn.Module

    def branch(self, activated: Tensor) -> Tensor:
        """F, from the first convolution on."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.norm1(x))
        out = self.branch(activated)
        return out if self.shortcut is None else out + self.shortcut(activated if self.first else x)


class PostBasic(PostBlock):
    """Two 3×3 convolutions."""

    def make_branch(self, spec: NetSpec) -> None:
        self.conv1 = make_conv(spec, self.channels_in, self.channels_out, 3, self.stride)
        self.norm1 = make_norm(spec, self.channels_out)
        self.conv2 = make_conv(spec, self.channels_out, self.channels_out, 3)
        self.norm2 = make_norm(spec, self.channels_out)

    def branch(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.conv1(x)))
        out: Tensor = self.norm2(self.conv2(x))
        return out


class PostBottleneck(PostBlock):
    """1×1, 3×3 and 1×1 convolutions; the stride is on the 3×3."""

    def make_branch(self, spec: NetSpec) -> None:
        inner = self.channels_out // EXPANSION
        self.conv1 = make_conv(spec, self.channels_in, inner, 1)
        self.norm1 = make_norm(spec, inner)
        self.conv2 = make_conv(spec, inner, inner, 3, self.stride)
        self.norm2 = make_norm(spec, inner)
        self.conv3 = make_conv(spec, inner, self.channels_out, 1)
        self.norm3 = make_norm(spec, self.channels_out)

    def branch(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        out: Tensor = self.norm3(self.conv3(x))
        return out


class PreBasic(PreBlock):
    """Two 3×3 convolutions."""

    def make_branch(self, spec: NetSpec) -> None:
        self.norm1 = make_norm(spec, self.channels_in)
        self.conv1 = make_conv(spec, self.channels_in, self.channels_out, 3, self.stride)
        self.norm2 = make_norm(spec, self.channels_out)
        self.conv2 = make_conv(spec, self.channels_out, self.channels_out, 3)

    def branch(self, activated: Tensor) -> Tensor:
        x = F.relu(self.norm2(self.conv1(activated)))
        out: Tensor = self.conv2(x)
        return out


class PreBottleneck(PreBlock):
    """1×1, 3×3 and 1×1 convolutions; the stride is on the first (He's resnet-1k-layers)."""

    def make_branch(self, spec: NetSpec) -> None:
        inner = self.channels_out // EXPANSION
        self.norm1 = make_norm(spec, self.channels_in)
        self.conv1 = make_conv(spec, self.channels_in, inner, 1, self.stride)
        self.norm2 = make_norm(spec, inner)
        self.conv2 = make_conv(spec, inner, inner, 3)
        self.norm3 = make_norm(spec, inner)
        self.conv3 = make_conv(spec, inner, self.channels_out, 1)

    def branch(self, activated: Tensor) -> Tensor:
        x = F.relu(self.norm2(self.conv1(activated)))
        x = F.relu(self.norm3(self.conv2(x)))
        out: Tensor = self.conv3(x)
        return out


class DenseLayer(Block):
    """[x, H(x)] with H = norm, ReLU, 3×3 (growth_rate new channels, appended last) (Huang et al. 2017)."""

    def __init__(self, spec: NetSpec, channels_in: int) -> None:
        super().__init__()
        self.channels_in, self.channels_out = channels_in, channels_in + spec.growth_rate
        self.norm1 = make_norm(spec, channels_in)
        self.conv1 = make_conv(spec, channels_in, spec.growth_rate, 3)

    def new_features(self, x: Tensor) -> Tensor:
        """H(x): N C H W → N growth_rate H W."""
        out: Tensor = self.conv1(F.relu(self.norm1(x)))
        return out

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.new_features(x)], 1)  # N C+k H W


class DenseBottleneckLayer(DenseLayer):
    """[x, H(x)] with H = norm, ReLU, 1×1 (4·growth_rate), norm, ReLU, 3×3 (growth_rate)."""

    def __init__(self, spec: NetSpec, channels_in: int) -> None:
        Block.__init__(self)
        inner = EXPANSION * spec.growth_rate
        self.channels_in, self.channels_out = channels_in, channels_in + spec.growth_rate
        self.norm1 = make_norm(spec, channels_in)
        self.conv1 = make_conv(spec, channels_in, inner, 1)
        self.norm2 = make_norm(spec, inner)
        self.conv2 = make_conv(spec, inner, spec.growth_rate, 3)

    def new_features(self, x: Tensor) -> Tensor:
        x = self.conv1(F.relu(self.norm1(x)))
        out: Tensor = self.conv2(F.relu(self.norm2(x)))
        return out


class Transition(Block):
    """Between dense blocks: norm, ReLU, 1×1 to ⌊compression·C⌋ channels, 2×2 average."""

    def __init__(self, spec: NetSpec, channels_in: int) -> None:
        super().__init__()
        self.channels_in, self.channels_out = channels_in, int(spec.compression * channels_in)
        self.norm = make_norm(spec, channels_in)
        self.conv = make_conv(spec, channels_in, self.channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)  # N ⌊θC⌋ H/2 W/2
