"""Training ResNet-20 at batch 128 on 32×32: our loop against a bare PyTorch loop of the same net.

    python bench/train_step.py [pairs]

Ours: `gradpath.training`'s loop, augmentation and all, in the layout its probe chose: with the blocks that
      `gradpath train` takes by itself, the same with `gp.watch`, and with plain blocks (`--backend reference`).
Bare: a ResNet-20 written as people write it (in-place ReLUs, option A by slicing and padding), channels-last, data
      already normalised in memory, no augmentation, no progress, no check of the loss; bfloat16 by autocast where the
      machine computes it in hardware, else float32.
Time: CPU seconds of the process, one thread, so that other programs count only by the caches they take.
Aim:  ours over bare at most 1.05, with the watch 1.06.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from _bare import bare_resnet20
from _common import keep, ratios

from gradpath.flow import watch
from gradpath.kernels import backend_of, fuse
from gradpath.nets import NetSpec, build
from gradpath.record import DataInfo, Recipe
from gradpath.training._backend import KEEP
from gradpath.training._data import Images
from gradpath.training._events import ignore
from gradpath.training._loop import Loop
from gradpath.training._machine import Probe, has_bf16

BATCH, STEPS = 128, 4
CPU = torch.device("cpu")


def bare_loop(bf16: bool, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    net = bare_resnet20().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4, nesterov=True)

    def run() -> None:
        for step in range(STEPS):
            batch = slice(step * BATCH, (step + 1) * BATCH)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = F.cross_entropy(net(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def our_loop(images: Images, backend: str) -> Loop:
    spec = NetSpec(family="residual", depth=20)
    execution = Probe(CPU, BATCH, limit_seconds=10).choose(spec)
    recipe = Recipe(epochs=100_000, batch_size=BATCH, learning_rate=0.01, augment="crop-flip")
    net = fuse(build(spec), backend, keep=KEEP, say=lambda line: None)
    return Loop(net, images, recipe, execution, 0, ignore, "ResNet-20")


def steps_of(loop: Loop) -> Callable[[], None]:
    def run() -> None:
        loop.run(limit_steps=loop.outcome.steps + STEPS)

    return run


def main(pairs: int = 11) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    raw = torch.randint(0, 256, (BATCH * STEPS, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(10, (BATCH * STEPS,))
    info = DataInfo(
        name="random", train_images=len(raw), test_images=BATCH, image_size=32, channels=3,
        classes=tuple("0123456789"), mean=(0.5,) * 3, std=(0.29,) * 3,
    )  # fmt: skip
    images = Images(raw, labels, raw[:BATCH], labels[:BATCH], info)
    loop, watched, plain = (our_loop(images, backend) for backend in ("auto", "auto", "reference"))
    floats = loop.batches.normalise(raw).contiguous(memory_format=torch.channels_last)
    bare = bare_loop(has_bf16(CPU), floats, labels)
    found = {
        name: ratios(steps_of(ours), bare, pairs, time.process_time)
        for name, ours in (("ours", loop), ("plain blocks", plain))
    }
    with watch(watched.net, watched.optimizer) as watched.watcher:
        found["watched"] = ratios(steps_of(watched), bare, pairs, time.process_time)
    about = {
        "batch": BATCH,
        "steps_per_run": STEPS,
        "execution": loop.execution.to_dict(),
        "backend": backend_of(loop.net),
    }
    keep("train_step", {**about, "bare": "bfloat16" if has_bf16(CPU) else "float32", "over_bare": found})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
