"""A recurrent net over 60 steps, written out: which time step owns the update, and how far back it reaches.

gradpath trace examples/rnn.py:probe
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradpath as gp


class Recurrent(nn.Module):
    """hₜ = tanh(W [xₜ, hₜ₋₁]); the class is read from the last state."""

    def __init__(self, inputs: int = 4, width: int = 32, classes: int = 5) -> None:
        super().__init__()
        self.width = width
        self.cell, self.head = nn.Linear(inputs + width, width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(x.shape[0], self.width)
        for step in x.unbind(1):  # N inputs
            state = torch.tanh(self.cell(torch.cat([step, state], 1)))
        return self.head(state)


def probe():
    torch.manual_seed(0)
    return Recurrent(), (torch.randn(16, 60, 4), torch.randint(5, (16,))), F.cross_entropy


if __name__ == "__main__":
    flow = gp.trace(*probe())
    for layer in flow.layers[:-1:10]:  # every tenth call of the one cell
        print(f"step {layer.call:2d}: gradient RMS {layer.gradient_rms:.1e}")
