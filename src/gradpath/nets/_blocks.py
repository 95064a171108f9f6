"""The blocks of plain, residual and dense nets, as the papers draw them. No operation is in place: hooks see all.

A plain block is a residual block whose shortcut is None. Convolutions have a bias only where no norm follows them in
the whole net (norm='none'). Where this says norm or ReLU, a specification may have another (`_options`); what it adds
to branch and shortcut is in `StageBlock.merge`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradpath.nets._options import (
    NONLINEARITIES,
    Gate,
    make_conv,
    make_dropout,
    make_norm,
    make_wrap,
    wrap_shortcut,
)
from gradpath.nets._protocol import Block
from gradpath.record import NetSpec

EXPANSION = 4
"""A bottleneck's outer width over its inner width; a dense bottleneck's inner width over the growth rate."""


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
        bare = spec.activation == "pre" or spec.init == "fixup"
        self.norm = nn.Identity() if bare else make_norm(spec, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        return out


def make_shortcut(spec: NetSpec, channels_in: int, channels_out: int, stride: int) -> nn.Module | None:
    """What is added to the branch: identity, zero padding or projection; None in a plain net."""
    if spec.family == "plain":
        return None
    if channels_in == channels_out and stride == 1 and spec.shortcut != "C":
        return wrap_shortcut(spec, nn.Identity())
    kind = PadShortcut if spec.shortcut == "A" else Projection
    return wrap_shortcut(spec, kind(spec, channels_in, channels_out, stride))


class StageBlock(Block):
    """What the blocks of plain and residual nets share.

    `first`: the first block of its stage. `index`: its place among all blocks of the net, for stochastic depth.
    """

    def __init__(
        self, spec: NetSpec, channels_in: int, channels_out: int, stride: int, first: bool, index: int = 0
    ) -> None:
        super().__init__()
        self.channels_in, self.channels_out, self.stride, self.first = channels_in, channels_out, stride, first
        self.nonlinearity = NONLINEARITIES[spec.nonlinearity]
        self.make_branch(spec)
        self.shortcut = make_shortcut(spec, channels_in, channels_out, stride)
        self.dropout = make_dropout(spec)
        self.wrap = make_wrap(spec, index)
        self.gate = None if spec.gate == "none" else Gate(spec, channels_in, channels_out, stride)

    def make_branch(self, spec: NetSpec) -> None:
        """Create the modules of the branch, in the order of the forward pass."""
        raise NotImplementedError

    def branch_convs(self) -> list[nn.Conv2d]:
        """The convolutions of the branch, in the order of the forward pass."""
        return [part for part in self.children() if isinstance(part, nn.Conv2d)]

    @property
    def last_norm(self) -> nn.Module:
        """The norm with the highest number; of a post-activation block the end of its branch."""
        return self.get_submodule(f"norm{len(self.branch_convs())}")

    def between(self, x: Tensor) -> Tensor:
        """Between two convolutions of a basic block: nonlinearity, dropout."""
        x = self.nonlinearity(x)
        return x if self.dropout is None else self.dropout(x)

    def merge(self, out: Tensor, source: Tensor) -> Tensor:
        """The branch's output and the shortcut of `source`, added; the branch alone in a plain net."""
        if self.wrap is not None:
            out = self.wrap(out)
        if self.shortcut is None:
            return out
        side = self.shortcut(source)
        merged: Tensor = out + side if self.gate is None else self.gate(out, side, source)
        return merged


def inner_width(spec: NetSpec, channels_out: int) -> int:
    """Channels inside a bottleneck that gives channels_out."""
    if spec.group_width is None:
        return channels_out // EXPANSION
    return spec.groups * spec.group_width * channels_out // (EXPANSION * spec.width)


class PostBlock(StageBlock):
    """conv, norm, ReLU …, conv, norm; add; ReLU (He et al. 2015)."""

    def branch(self, x: Tensor) -> Tensor:
        """F(x), up to the last norm."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.nonlinearity(self.merge(self.branch(x), x))


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
        activated = self.nonlinearity(self.norm1(x))
        return self.merge(self.branch(activated), activated if self.first else x)


class PostBasic(PostBlock):
    """Two 3×3 convolutions."""

    def make_branch(self, spec: NetSpec) -> None:
        self.conv1 = make_conv(spec, self.channels_in, self.channels_out, 3, self.stride)
        self.norm1 = make_norm(spec, self.channels_out)
        self.conv2 = make_conv(spec, self.channels_out, self.channels_out, 3)
        self.norm2 = make_norm(spec, self.channels_out, ends_branch=True)

    def branch(self, x: Tensor) -> Tensor:
        x = self.between(self.norm1(self.conv1(x)))
        out: Tensor = self.norm2(self.conv2(x))
        return out


class PostBottleneck(PostBlock):
    """1×1, 3×3 and 1×1 convolutions; the stride is on the 3×3, or where the specification says."""

    def make_branch(self, spec: NetSpec) -> None:
        inner, early = inner_width(spec, self.channels_out), spec.stride_on == "1x1"
        self.conv1 = make_conv(spec, self.channels_in, inner, 1, self.stride if early else 1)
        self.norm1 = make_norm(spec, inner)
        self.conv2 = make_conv(spec, inner, inner, 3, 1 if early else self.stride, spec.groups)
        self.norm2 = make_norm(spec, inner)
        self.conv3 = make_conv(spec, inner, self.channels_out, 1)
        self.norm3 = make_norm(spec, self.channels_out, ends_branch=True)

    def branch(self, x: Tensor) -> Tensor:
        x = self.nonlinearity(self.norm1(self.conv1(x)))
        x = self.nonlinearity(self.norm2(self.conv2(x)))
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
        x = self.between(self.norm2(self.conv1(activated)))
        out: Tensor = self.conv2(x)
        return out


class PreBottleneck(PreBlock):
    """1×1, 3×3 and 1×1 convolutions; the stride is on the first (He's resnet-1k-layers), or where it is said."""

    def make_branch(self, spec: NetSpec) -> None:
        inner, late = inner_width(spec, self.channels_out), spec.stride_on == "3x3"
        self.norm1 = make_norm(spec, self.channels_in)
        self.conv1 = make_conv(spec, self.channels_in, inner, 1, 1 if late else self.stride)
        self.norm2 = make_norm(spec, inner)
        self.conv2 = make_conv(spec, inner, inner, 3, self.stride if late else 1, spec.groups)
        self.norm3 = make_norm(spec, inner)
        self.conv3 = make_conv(spec, inner, self.channels_out, 1)

    def branch(self, activated: Tensor) -> Tensor:
        x = self.nonlinearity(self.norm2(self.conv1(activated)))
        x = self.nonlinearity(self.norm3(self.conv2(x)))
        out: Tensor = self.conv3(x)
        return out


class DenseLayer(Block):
    """[x, H(x)] with H = norm, ReLU, 3×3 (growth_rate new channels) (Huang et al. 2017); or [H(x), x]."""

    def __init__(self, spec: NetSpec, channels_in: int) -> None:
        super().__init__()
        self.channels_in, self.channels_out = channels_in, channels_in + spec.growth_rate
        self.prepends = spec.concat == "prepend"
        self.nonlinearity = NONLINEARITIES[spec.nonlinearity]
        self.make_layer(spec)
        self.dropout = make_dropout(spec)

    def make_layer(self, spec: NetSpec) -> None:
        """Create the norms and convolutions of H, in the order of the forward pass."""
        self.norm1 = make_norm(spec, self.channels_in)
        self.conv1 = make_conv(spec, self.channels_in, spec.growth_rate, 3)

    @property
    def as_published(self) -> bool:
        """ReLU, no dropout, new channels last: what a fused block computes."""
        return self.nonlinearity is F.relu and self.dropout is None and not self.prepends

    def unit(self, norm: nn.Module, conv: nn.Module, x: Tensor) -> Tensor:
        """norm, ReLU, convolution, dropout."""
        out: Tensor = conv(self.nonlinearity(norm(x)))
        return out if self.dropout is None else self.dropout(out)

    def new_features(self, x: Tensor) -> Tensor:
        """H(x): N C H W → N growth_rate H W."""
        return self.unit(self.norm1, self.conv1, x)

    def forward(self, x: Tensor) -> Tensor:
        new = self.new_features(x)
        return torch.cat([new, x] if self.prepends else [x, new], 1)  # N C+k H W


class DenseBottleneckLayer(DenseLayer):
    """[x, H(x)] with H = norm, ReLU, 1×1 (4·growth_rate), norm, ReLU, 3×3 (growth_rate)."""

    def make_layer(self, spec: NetSpec) -> None:
        inner = EXPANSION * spec.growth_rate
        self.norm1 = make_norm(spec, self.channels_in)
        self.conv1 = make_conv(spec, self.channels_in, inner, 1)
        self.norm2 = make_norm(spec, inner)
        self.conv2 = make_conv(spec, inner, spec.growth_rate, 3)

    def new_features(self, x: Tensor) -> Tensor:
        return self.unit(self.norm2, self.conv2, self.unit(self.norm1, self.conv1, x))


class Transition(Block):
    """Between dense blocks: norm, ReLU, 1×1 to ⌊compression·C⌋ channels, dropout, 2×2 average."""

    def __init__(self, spec: NetSpec, channels_in: int) -> None:
        super().__init__()
        self.channels_in, self.channels_out = channels_in, int(spec.compression * channels_in)
        self.nonlinearity = NONLINEARITIES[spec.nonlinearity]
        self.norm = make_norm(spec, channels_in)
        self.conv = make_conv(spec, channels_in, self.channels_out, 1)
        self.dropout = make_dropout(spec)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv(self.nonlinearity(self.norm(x)))
        out = out if self.dropout is None else self.dropout(out)
        return F.avg_pool2d(out, 2)  # N ⌊θC⌋ H/2 W/2
