"""Do my skips do anything? Sixteen residual blocks, written three ways; in one of them a factor is in the wrong place.

gradpath paths examples/skips.py:right
gradpath trace examples/skips.py:wrong
gradpath trace examples/skips.py:none
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """The branch f is norm, linear, ReLU, linear, norm."""

    def __init__(self, width: int, way: str) -> None:
        super().__init__()
        self.way, self.scale = way, 1e-3
        self.f = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.LayerNorm(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "right":
            return x + self.f(x)
        if self.way == "wrong":
            return self.scale * x + self.f(x)  # x + self.scale * f(x) was meant
        return self.f(x)


class Net(nn.Module):
    def __init__(self, way: str, blocks: int = 16, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Linear(32, width)
        self.blocks = nn.Sequential(*(Block(width, way) for _ in range(blocks)))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)))


def _asked(way: str):
    torch.manual_seed(0)
    return Net(way), (torch.randn(128, 32), torch.randint(10, (128,))), F.cross_entropy


def right():
    return _asked("right")


def wrong():
    return _asked("wrong")


def none():
    return _asked("none")
