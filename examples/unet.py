"""A small U-Net: skips that concatenate. What carries the gradient to the first layer, the skips or the bottom?

gradpath trace examples/unet.py:probe
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradpath as gp


def pair(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.BatchNorm2d(channels_out), nn.ReLU(),
        nn.Conv2d(channels_out, channels_out, 3, padding=1), nn.BatchNorm2d(channels_out), nn.ReLU(),
    )  # fmt: skip


class UNet(nn.Module):
    def __init__(self, widths: tuple[int, ...] = (8, 16, 32), classes: int = 2) -> None:
        super().__init__()
        self.down = nn.ModuleList(pair(a, b) for a, b in zip((1, *widths[:-1]), widths, strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in pairwise(widths))
        self.join = nn.ModuleList(pair(2 * a, a) for a in widths[:-1])
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level else x)
            kept.append(x)
        for level in reversed(range(len(self.join))):
            x = self.join[level](torch.cat([kept[level], self.up[level](x)], 1))
        return self.head(x)  # N classes H W


def probe():
    torch.manual_seed(0)
    return UNet(), (torch.randn(4, 1, 32, 32), torch.randint(2, (4, 32, 32))), F.cross_entropy


if __name__ == "__main__":
    flow = gp.trace(*probe())
    for fork in flow.residual_forks:
        print(f"{fork.name}: {', '.join(f'{edge.kind} {edge.share:.0%}' for edge in fork.edges)}")
