"""What it costs to see every edge: a quick trace (layers and forks) against a plain forward and backward pass.

    python bench/edge_trace.py [pairs]

ResNet-56 at batch 64, our DenseNet-BC-100-12, and torchvision's densenet121 where it is installed, at its own 224 px
and at 64, where a step takes less than half a second and what is done for each of 593 edges shows. Claim: at most 1.35
times. Peak memory is that of a process of its own which runs the job twice. With one thread (OMP_NUM_THREADS=1) CPU
seconds are counted, so that other work on the machine does not show.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from _common import keep, ratios

import gradpath as gp

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from sweep.libraries import load_torchvision


def nets() -> dict[str, tuple[Callable[[], torch.nn.Module], tuple[int, ...], int]]:
    """Name → (model, shape of the input, classes)."""
    found: dict[str, Any] = {
        "resnet-56, 32 px, batch 64": (lambda: gp.build("resnet-56"), (64, 3, 32, 32), 10),
        "densenet-bc-100-12, 32 px, batch 32": (lambda: gp.build("densenet-bc-100-12"), (32, 3, 32, 32), 10),
    }
    try:
        densenet121 = load_torchvision().models.densenet121
    except ImportError as error:
        print(f"densenet-121 left out: {error}", file=sys.stderr)
    else:
        found["densenet-121 (torchvision, a feature list), 224 px, batch 8"] = (densenet121, (8, 3, 224, 224), 1000)
        found["densenet-121 (torchvision, a feature list), 64 px, batch 16"] = (densenet121, (16, 3, 64, 64), 1000)
    return found


def jobs(name: str) -> tuple[Callable[[], None], Callable[[], None]]:
    make, shape, classes = nets()[name]
    torch.manual_seed(0)
    net = make().to(memory_format=torch.channels_last)
    images = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(classes, shape[:1])

    def plain() -> None:
        F.cross_entropy(net(images), labels).backward()
        net.zero_grad()

    def traced() -> None:
        gp.trace(net, (images, labels), F.cross_entropy, quick=True)

    return traced, plain


def _peak(name: str, which: int, answer: Any) -> None:
    for _ in range(2):
        jobs(name)[which]()
    status = Path("/proc/self/status").read_text()
    answer.put(int(status.split("VmHWM:")[1].split()[0]) * 1024)


def peak_bytes(name: str, which: int) -> int:
    """Peak resident memory of a fresh process that runs one of the jobs twice."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=_peak, args=(name, which, answer))
    process.start()
    value: int = answer.get()
    process.join()
    return value


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    results: dict[str, Any] = {"clock": clock.__name__}
    for name in nets():
        results[name] = ratios(*jobs(name), pairs, clock) | {
            "peak_bytes": [peak_bytes(name, which) for which in (0, 1)]
        }
    keep("edge_trace", results)


if __name__ == "__main__":
    main()
