"""A plain training loop and a net that will not learn: 20 convolutions, PyTorch's default initialisation, no norm.

gradpath trace examples/plain_loop.py:probe
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

import gradpath as gp


def make_net(depth: int = 20, width: int = 16) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU()]
    for _ in range(depth - 2):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def probe():
    """What `gradpath trace` asks for: the model, one batch, the loss."""
    torch.manual_seed(0)
    return make_net(), (torch.randn(32, 3, 16, 16), torch.randint(10, (32,))), F.cross_entropy


def train(steps: int = 20, folder: str | None = None) -> list[float]:
    """An ordinary loop. The two lines of `gp.watch` are all that was added."""
    net, (images, labels), criterion = probe()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    watch = gp.watch(net, optimizer, folder=folder)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = criterion(net(images), labels)
        loss.backward()
        optimizer.step()
        watch.step(loss)
        losses.append(float(loss.detach()))
    watch.close()
    return losses


if __name__ == "__main__":
    print(gp.render(gp.trace(*probe())))
