"""A thousand layers learn under 2 GiB, with skips, and do not without: a short run of both on Fashion-MNIST.

    python bench/deep_learns.py [--depth 1001] [--batch 32] [--steps 40] [--memory 2GiB]

Pre-activation bottlenecks of the given depth and their plain twin, each trained under a plan of the same memory: SGD
with momentum 0.9 at rate 0.02, one seed, the first images of the training set in order. In the residual net the last
convolution of each block is zero at the start (Goyal et al. 2017 do so with its norm). Losses are means over five
steps; the gradient's profile is that of `gp.trace` before and after training.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
import torch.nn.functional as F
from _common import keep
from torch import Tensor, nn

import gradpath as gp
from gradpath.nets import PreBottleneck
from gradpath.training._batches import Batches
from gradpath.training._data import Images, load_images


class Learner:
    """One net under its plan."""

    def __init__(self, family: str, given: argparse.Namespace, images: Images) -> None:
        torch.manual_seed(0)
        info = images.info
        self.net = gp.build(
            f"preresnet-{given.depth}", family=family, shortcut="B",
            input_channels=info.channels, input_size=info.image_size, classes=len(info.classes),
        )  # fmt: skip
        if family == "residual":
            for block in self.net.blocks():
                assert isinstance(block, PreBottleneck)
                nn.init.zeros_(block.conv3.weight)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.images, self.size = images, given.batch
        self.batches = Batches(info, torch.device("cpu"), torch.channels_last, seed=0)
        self.plan = gp.plan(self.net, self.batch(0), given.memory, criterion=F.cross_entropy, layers=False)
        self.planned = gp.apply_plan(self.net, self.plan)
        self.optimizer = torch.optim.SGD(self.net.parameters(), 0.02, momentum=0.9)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        begin = step * self.size % len(self.images.train_images)
        index = slice(begin, begin + self.size)
        return self.batches.normalise(self.images.train_images[index]), self.images.train_labels[index]

    def step(self, number: int) -> float:
        x, y = self.batch(number)
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.planned(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return float(loss.detach())

    def profile(self) -> dict[str, Any]:
        """On eight images: a trace keeps everything."""
        x, y = self.batch(0)
        flow = gp.trace(self.net, (x[:8], y[:8]), F.cross_entropy, quick=True)
        return {
            "stem_over_head": flow.stem_over_head,
            "gain_per_layer": [gain.energy_gain for gain in flow.gain_per_layer],
        }


def run(family: str, given: argparse.Namespace, images: Images) -> dict[str, Any]:
    learner = Learner(family, given, images)
    before, begin = learner.profile(), time.perf_counter()
    losses = [learner.step(number) for number in range(given.steps)]
    seconds = time.perf_counter() - begin
    fives = [round(sum(losses[i : i + 5]) / 5, 4) for i in range(0, given.steps - 4, 5)]
    plan = learner.plan
    return {
        "mean_loss_of_five_steps": fives,
        "gradient_before": before,
        "gradient_after": learner.profile(),
        "keep_all_bytes": plan.keep_all.total,
        "predicted_bytes": plan.predicted.total,
        "measured_bytes": plan.measured[-1].peak_bytes,
        "seconds_per_step": round(seconds / given.steps, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, default=1001)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--memory", default="2GiB")
    given = parser.parse_args()
    images = load_images(None)
    about = {"depth": given.depth, "batch": given.batch, "memory": given.memory, "data": images.info.name}
    keep("deep_learns", about | {family: run(family, given, images) for family in ("residual", "plain")})


if __name__ == "__main__":
    main()
