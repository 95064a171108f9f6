"""ResNet-110 at batch 64, block by block: all kept, torch's checkpoint, ours.

    python bench/checkpoint.py [rounds]

Time: forward, backward and nothing else, one thread, float32; a round is a step of each kind, and ratios are taken
      within a round.
Bytes kept: of the tensors that autograd saves, each storage once, without the net's and the batch; of a checkpointed
      block the input and, with ours, the copies of its buffers.
Peak: VmHWM of a fresh process after two steps minus VmHWM before the net was built (Linux); once as glibc's malloc has
      it, whose heap the blocks kept between freed ones leave with holes, and once with every large block mapped alone.
Claims: ours keeps at most 1 % more bytes than torch's, takes at most 10 % more time (median), and its BatchNorm counts
      one batch a step.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from _common import high_water_bytes, keep, seconds, spread
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as torch_checkpoint

from gradpath.memory import checkpoint
from gradpath.memory._reachable import modules_of
from gradpath.memory._state import Snapshot
from gradpath.nets import Network, build

BATCH = 64
KINDS: dict[str, Callable[..., Any]] = {
    "all kept": lambda block, x: block(x),
    "torch": lambda block, x: torch_checkpoint(block, x, use_reentrant=False),
    "gradpath": checkpoint,
}

AGAINST = [("torch", "all kept"), ("gradpath", "all kept"), ("gradpath", "torch")]


class Step:
    """One forward and one backward pass of a net of its own."""

    def __init__(self, kind: str) -> None:
        torch.manual_seed(0)
        self.net, self.call = build("resnet-110"), KINDS[kind]
        self.x, self.y = torch.randn(BATCH, 3, 32, 32), torch.randint(10, (BATCH,))

    def loss(self) -> Tensor:
        x = self.net.stem(self.x)
        for block in self.net.blocks():
            x = self.call(block, x)
        return F.cross_entropy(self.net.head(x), self.y)

    def __call__(self) -> None:
        self.net.zero_grad()
        self.loss().backward()


def bytes_kept(kind: str) -> int:
    """Of saved tensors outside recomputed blocks, inputs of recomputed blocks, and copies of buffers."""
    step = Step(kind)
    known = {t.untyped_storage().data_ptr() for t in (*step.net.parameters(), *step.net.buffers(), step.x)}
    kept: dict[int, Tensor] = {}  # the tensors too: an address is one tensor's for as long as it is held

    def note(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in known:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    call = step.call

    def noting_inputs(block: nn.Module, x: Tensor) -> Tensor:
        note(x)
        return call(block, x)

    if kind != "all kept":
        step.call = noting_inputs
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        step.loss()
    return sum(t.untyped_storage().nbytes() for t in kept.values()) + (_copies(step.net) if kind == "gradpath" else 0)


def _copies(net: Network) -> int:
    return sum(value.nbytes for block in net.blocks() for value in Snapshot(modules_of(block)).values)


def fresh_peak(kind: str, **environment: str) -> int:
    """In a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--peak", kind],
        capture_output=True, text=True, check=True, env=os.environ | environment,
    )  # fmt: skip
    return int(json.loads(done.stdout))


def print_peak(kind: str) -> None:
    torch.nn.functional.conv2d(torch.zeros(1, 3, 8, 8), torch.zeros(3, 3, 3, 3))  # what torch loads once
    before = high_water_bytes()
    step = Step(kind)
    step()
    step()
    print(high_water_bytes() - before)


def batches_counted(kind: str) -> int:
    step = Step(kind)
    step()
    return int(next(b for n, b in step.net.named_buffers() if "stages" in n and n.endswith("num_batches_tracked")))


def rounds_of(count: int) -> dict[str, Any]:
    """Ratios of step times within each of so many rounds, after a warm-up of each kind."""
    steps = {kind: Step(kind) for kind in KINDS}
    for step in steps.values():
        step()
    times = [{kind: seconds(step) for kind, step in steps.items()} for _ in range(count)]
    return {f"{a} / {b}": spread([t[a] / t[b] for t in times]) for a, b in AGAINST} | {
        "least_seconds": {kind: round(min(t[kind] for t in times), 3) for kind in KINDS}
    }


def main() -> None:
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--peak"]:
        print_peak(sys.argv[2])
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    keep(
        "checkpoint",
        {
            "net": "resnet-110, a checkpoint around each of its 54 blocks",
            "batch": BATCH,
            "threads_used": 1,
            "note": "the machine was shared with other jobs: read ratios within rounds, not seconds",
            "bytes_kept": {kind: bytes_kept(kind) for kind in KINDS},
            "peak_bytes_of_a_fresh_process": {kind: fresh_peak(kind) for kind in KINDS},
            "peak_bytes_without_heap_fragmentation": {
                kind: fresh_peak(kind, MALLOC_MMAP_THRESHOLD_="65536") for kind in KINDS
            },
            "batches_counted_by_batch_norm_after_one_step": {kind: batches_counted(kind) for kind in KINDS},
            "rounds": count,
            "time": rounds_of(count),
        },
    )


if __name__ == "__main__":
    main()
