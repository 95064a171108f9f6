"""What `gp.watch` costs: ResNet-20, batch 64, segments of training steps with and without it, by turns.

    python bench/watch_cost.py [steps in a segment] [pairs]

Aim: at most 1 % averaged over 200 steps, warm: the watch goes on through all watched segments, as in a long run, and
each begins with the period it has reached. Its own figure (time inside the probes over step time) is kept beside the
measured ratio. Two copies of the net are trained, on the same batch.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from _common import keep, ratios

import gradpath as gp
from gradpath.flow import Watch, watch


def trainer(net: torch.nn.Module, steps: int, watched: Watch | None) -> Callable[[], None]:
    """A segment of plain training steps."""
    torch.manual_seed(1)
    images = torch.randn(64, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (64,))
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)

    def segment() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(images), labels)
            loss.backward()
            optimizer.step()
            if watched is not None:
                watched.step(loss)

    return segment


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    pairs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    torch.manual_seed(0)
    net = gp.build("resnet-20").to(memory_format=torch.channels_last)
    other = copy.deepcopy(net)
    with watch(net) as watched:
        result = ratios(trainer(net, steps, watched), trainer(other, steps, None), pairs)
        report = watched.reports[-1]
        own = {"own_overhead": watched.overhead, "sample_seconds": report.sample_seconds, "period": report.period}
    keep("watch_cost", {"steps": steps, **result, **own})


if __name__ == "__main__":
    main()
