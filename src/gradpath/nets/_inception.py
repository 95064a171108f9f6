"""A block in the manner of GoogLeNet, to set its width and parameters beside those of residual and dense blocks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradpath.errors import SpecError
from gradpath.nets._options import NONLINEARITIES, make_conv, make_norm
from gradpath.nets._protocol import Block
from gradpath.record import NetSpec

SHARES = {"1x1": 4, "3x3": 8, "5x5": 2, "pool": 2}
"""Channels that each branch gives, in sixteenths of the block's: 64, 128, 32 and 32 of 256 in inception (3a) of
GoogLeNet (Szegedy et al. 2015, table 1)."""
REDUCED = {"3x3": 6, "5x5": 1}
"""Channels of the 1×1 before the large convolution, in sixteenths of the block's: 96 and 16 of 256."""


class ConvUnit(nn.Module):
    """Convolution, norm, ReLU."""

    def __init__(self, spec: NetSpec, channels_in: int, channels_out: int, size: int) -> None:
        super().__init__()
        self.conv = make_conv(spec, channels_in, channels_out, size)
        self.norm = make_norm(spec, channels_out)
        self.nonlinearity = NONLINEARITIES[spec.nonlinearity]

    def forward(self, x: Tensor) -> Tensor:
        return self.nonlinearity(self.norm(self.conv(x)))


class InceptionBlock(Block):
    """Four branches side by side, concatenated: 1×1; 1×1, 3×3; 1×1, 5×5; 3×3 max-pooling, 1×1.

    N C H W → N C' H W, in GoogLeNet's proportions, with a norm after each convolution (its later version; Ioffe and
    Szegedy 2015). C' must be a multiple of 16. Of the specification it takes the norm and the nonlinearity.
    Raises SpecError.
    """

    def __init__(self, spec: NetSpec, channels_in: int, channels_out: int) -> None:
        super().__init__()
        if channels_out % 16:
            near = max(16, round(channels_out / 16) * 16)
            raise SpecError(f"an Inception block's channels are a multiple of 16, got {channels_out}: give {near}")
        self.channels_in, self.channels_out = channels_in, channels_out
        part = channels_out // 16
        self.one = ConvUnit(spec, channels_in, SHARES["1x1"] * part, 1)
        self.three = nn.Sequential(
            ConvUnit(spec, channels_in, REDUCED["3x3"] * part, 1),
            ConvUnit(spec, REDUCED["3x3"] * part, SHARES["3x3"] * part, 3),
        )
        self.five = nn.Sequential(
            ConvUnit(spec, channels_in, REDUCED["5x5"] * part, 1),
            ConvUnit(spec, REDUCED["5x5"] * part, SHARES["5x5"] * part, 5),
        )
        self.pool = ConvUnit(spec, channels_in, SHARES["pool"] * part, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.max_pool2d(x, 3, 1, padding=1)
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(pooled)], 1)  # N C' H W
