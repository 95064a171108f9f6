"""Fused dense blocks against plain layers: CPU seconds of a training step, and what is kept for the backward.

    python bench/dense_block.py            # all: writes bench/results/dense_block.json (minutes)
    python bench/dense_block.py l16        # one setting; the others in the file stay as they are
    python bench/dense_block.py --bytes    # what is kept, alone

One thread, float32; CPU seconds of the process, so that other programs count only by the caches they take. Methods
alternate; a ratio is of two steps that follow each other.
"""

from __future__ import annotations

import copy
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from _common import RESULTS, keep
from torch import Tensor, nn

from gradpath.errors import KernelError
from gradpath.kernels import fuse
from gradpath.kernels._dense_choose import dense_passes
from gradpath.nets import DenseBottleneckLayer, build
from gradpath.record import NetSpec

PAIRS = 5
SETTINGS: dict[str, tuple[str, int]] = {
    "l16": ("block: batch 16, 24 channels, 32×32, growth rate 12, 16 layers", 16),
    "l48": ("block: batch 8, 64 channels, 32×32, growth rate 12, 48 layers", 8),
    "net": ("DenseNet-BC-100-12, batch 64, 32×32", 64),
}
METHODS = {
    "plain, NCHW": None,
    "plain, channels-last": None,
    "torch, bottlenecks": ("torch", "bottlenecks"),
    "torch, features": ("torch", "features"),
    "fused, bottlenecks": ("compiled", "bottlenecks"),
    "fused, features": ("compiled", "features"),
}


def model_of(setting: str) -> tuple[nn.Module, int]:
    """A net or a block, and the channels that it takes."""
    torch.manual_seed(0)
    if setting == "net":
        return build("densenet-bc-100-12"), 3
    channels, layers = (24, 16) if setting == "l16" else (64, 48)
    spec = NetSpec(family="dense", depth=10, width=channels, growth_rate=12, bottleneck=True)
    return nn.Sequential(*(DenseBottleneckLayer(spec, channels + 12 * i) for i in range(layers))), channels


def prepared(setting: str) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Each method: its model and its batch."""
    plain, channels = model_of(setting)
    batch = torch.randn(SETTINGS[setting][1], channels, 32, 32)
    last = batch.contiguous(memory_format=torch.channels_last)
    for name, how in METHODS.items():
        if name == "plain, NCHW":
            yield name, copy.deepcopy(plain), batch
            continue
        model = copy.deepcopy(plain).to(memory_format=torch.channels_last)
        if how is not None:
            fuse(model, how[0], keep=how[1], say=lambda line: None)
        yield name, model, last


def step_of(model: nn.Module, batch: Tensor) -> Callable[[], float]:
    """Forward and backward; returns its CPU seconds. A block's input needs a gradient, a net's does not."""
    x = batch.detach().requires_grad_(batch.shape[1] > 3)

    def step() -> float:
        begin = time.process_time()
        out = model(x)
        out.backward(torch.ones_like(out))
        x.grad = None
        model.zero_grad()
        return time.process_time() - begin

    return step


def kept_bytes(model: nn.Module, batch: Tensor) -> int:
    """Bytes of the storages that the forward leaves for the backward, parameters and the batch not counted."""
    known = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers(), batch)}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = model(batch)
    del out
    return sum(t.untyped_storage().nbytes() for address, t in kept.items() if address not in known)


def measure(setting: str, only_bytes: bool) -> dict[str, Any]:
    """Of every method: bytes, and unless only those are wanted CPU seconds and ratios to both plain forms."""
    methods = list(prepared(setting))
    rows: dict[str, dict[str, Any]] = {name: {"kept_bytes": kept_bytes(model, x)} for name, model, x in methods}
    if not only_bytes:
        steps = {name: step_of(model, x) for name, model, x in methods}
        for step in steps.values():
            step()
        times: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(PAIRS):
            for name, step in steps.items():
                times[name].append(step())
        for name, row in rows.items():
            row["least_cpu_seconds"] = round(min(times[name]), 4)
            for plain in ("plain, NCHW", "plain, channels-last"):
                found = sorted(a / b for a, b in zip(times[name], times[plain], strict=True))
                row[f"ratio to {plain}"] = [round(f(found), 3) for f in (statistics.median, min, max)]
    tape = rows["plain, channels-last"]["kept_bytes"]
    for row in rows.values():
        row["plain_bytes_over_kept"] = round(tape / row["kept_bytes"], 1)
    return {"what": SETTINGS[setting][0], "pairs": PAIRS, "methods": rows}


def main() -> None:
    torch.set_num_threads(1)
    only_bytes = "--bytes" in sys.argv
    asked = [name for name in SETTINGS if name in sys.argv] or list(SETTINGS)
    try:
        passes = dense_passes("compiled").line
    except KernelError as error:
        sys.exit(str(error))
    file = RESULTS / "dense_block.json"
    old = json.loads(file.read_text(encoding="utf-8"))["settings"] if file.exists() else {}
    found = {name: measure(name, only_bytes) for name in asked}
    if only_bytes:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    settings = {name: found.get(name, old.get(name)) for name in SETTINGS if name in found or name in old}
    keep(
        "dense_block",
        {"threads": 1, "dtype": "float32", "fused": passes, "ratios": "median, lowest, highest", "settings": settings},
    )


if __name__ == "__main__":
    main()
