"""Training ResNet-20 at batch 128 on 32×32: our loop against a bare PyTorch loop of the same net.

    python bench/train_step.py [pairs]

A: `gradpath.training`'s loop, augmentation and all, in the precision and layout its probe chose.
B: a ResNet-20 written as people write it (in-place ReLUs, option A by slicing and padding), channels-last, data
   already normalised in memory, no augmentation, no progress, no check of the loss; bfloat16 by autocast where the
   machine computes it in hardware, else float32 (emulated bfloat16 is measured beside it, a few steps only).
Claim: the ratio A / B is at most 1.05.
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from _bare import bare_resnet20
from _common import keep, ratios, seconds

from gradpath.nets import NetSpec, build
from gradpath.record import DataInfo, Recipe
from gradpath.training._data import Images
from gradpath.training._events import ignore
from gradpath.training._loop import Loop
from gradpath.training._machine import Probe, has_bf16

BATCH, STEPS = 128, 4
CPU = torch.device("cpu")


def bare_loop(bf16: bool, images: torch.Tensor, labels: torch.Tensor):
    net = bare_resnet20().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4, nesterov=True)

    def run(steps: int = STEPS) -> None:
        for step in range(steps):
            batch = slice(step * BATCH, (step + 1) * BATCH)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = F.cross_entropy(net(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    torch.manual_seed(0)
    raw = torch.randint(0, 256, (BATCH * STEPS, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(10, (BATCH * STEPS,))
    info = DataInfo(
        name="random", train_images=len(raw), test_images=BATCH, image_size=32, channels=3,
        classes=tuple("0123456789"), mean=(0.5,) * 3, std=(0.29,) * 3,
    )  # fmt: skip
    images = Images(raw, labels, raw[:BATCH], labels[:BATCH], info)
    spec = NetSpec(family="residual", depth=20)
    execution = Probe(CPU, BATCH, limit_seconds=10).choose(spec)
    recipe = Recipe(epochs=1000, batch_size=BATCH, learning_rate=0.01, augment="crop-flip")
    loop = Loop(build(spec), images, recipe, execution, 0, ignore, "ResNet-20")

    def ours() -> None:
        loop.run(limit_steps=loop.outcome.steps + STEPS)

    floats = loop.batches.normalise(raw).contiguous(memory_format=torch.channels_last)
    bf16 = has_bf16(CPU)
    result = ratios(ours, bare_loop(bf16, floats, labels), pairs)
    result |= {
        "batch": BATCH,
        "steps_per_run": STEPS,
        "ours": execution.to_dict(),
        "bare": "bfloat16" if bf16 else "float32",
    }
    if not bf16:
        slow = bare_loop(True, floats, labels)
        slow(1)
        result["bare_bfloat16_emulated_seconds_per_step"] = round(seconds(lambda: slow(1)), 3)
    result["images_per_second"] = [round(BATCH * STEPS / t, 1) for t in result["least_seconds"]]
    keep("train_step", result)


if __name__ == "__main__":
    main()
