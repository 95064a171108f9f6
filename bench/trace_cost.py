"""What `gp.trace` costs: a trace of ResNet-56 against a plain forward and backward pass of the same net and batch.

    python bench/trace_cost.py [pairs]

Aim: at most 1.5 times at batch 128 (layers, forks with shares, gains and effective depth together).
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from _common import keep, ratios

import gradpath as gp


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    results = {}
    for batch in (128, 64, 32):
        torch.manual_seed(0)
        net = gp.build("resnet-56").to(memory_format=torch.channels_last)
        images = torch.randn(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
        labels = torch.randint(10, (batch,))

        def plain(net=net, images=images, labels=labels) -> None:
            F.cross_entropy(net(images), labels).backward()
            net.zero_grad()

        def traced(net=net, images=images, labels=labels) -> None:
            gp.trace(net, (images, labels), F.cross_entropy)

        results[f"batch_{batch}"] = ratios(traced, plain, pairs)
    keep("trace_cost", results)


if __name__ == "__main__":
    main()
