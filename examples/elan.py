"""The block of CSPNet, ELAN and YOLOv7: short and long gradient paths side by side, joined by a concatenation.

gradpath paths examples/elan.py:probe --unit layers
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(channels_in: int, channels_out: int, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, size, padding=size // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.SiLU(),
    )


class ELAN(nn.Module):
    """Two 1×1 convolutions split the input; one half goes through `steps` pairs of 3×3; all stages are concatenated."""

    def __init__(self, width: int, steps: int = 2) -> None:
        super().__init__()
        self.short, self.long = conv(width, width // 2, 1), conv(width, width // 2, 1)
        self.steps = nn.ModuleList(
            nn.Sequential(conv(width // 2, width // 2), conv(width // 2, width // 2)) for _ in range(steps)
        )
        self.join = conv((2 + steps) * (width // 2), width, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = [self.short(x), self.long(x)]
        for step in self.steps:
            kept.append(step(kept[-1]))
        return self.join(torch.cat(kept, 1))


class Net(nn.Module):
    def __init__(self, blocks: int = 4, width: int = 32, steps: int = 2) -> None:
        super().__init__()
        self.stem = conv(3, width)
        self.blocks = nn.Sequential(*(ELAN(width, steps) for _ in range(blocks)))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def probe():
    torch.manual_seed(0)
    return Net(), (torch.randn(16, 3, 16, 16), torch.randint(10, (16,))), F.cross_entropy
