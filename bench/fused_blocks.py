"""gp.fuse against plain blocks: CPU seconds of a training step, and bytes that the forward keeps for the backward.

    python bench/fused_blocks.py                     # all: writes bench/results/fused_blocks.json (some 10 minutes)
    python bench/fused_blocks.py resnet-110 …        # these settings; the others in the file stay as they are
    PYTHONPATH=FOLDER python bench/fused_blocks.py   # with torchvision in FOLDER; without it its nets are left out

Step:   forward, cross-entropy and backward of a whole net, float32, one thread; CPU seconds of the process, so that
        other programs count only by the caches they take. A round is a step of each contender, in turns.
Speed:  the contender's seconds over the fused net's in the same round: above 1 the fused net is faster.
Kept:   bytes of the storages that the forward saves, parameters, buffers and the batch not counted (of a compiled net
        autograd does not tell).
"""

from __future__ import annotations

import copy
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from _common import RESULTS, keep
from torch import Tensor, nn

from gradpath.kernels import fuse
from gradpath.nets import build

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from sweep.libraries import load_torchvision

ROUNDS = 5
NCHW, INDUCTOR = "eager, NCHW", "torch.compile, channels-last"
SETTINGS: dict[str, tuple[str, int, int, tuple[str, ...]]] = {  # net, batch, side, contenders beside eager
    "resnet-20": ("resnet-20", 128, 32, (NCHW, INDUCTOR)),
    "resnet-110": ("resnet-110", 128, 32, ()),
    "resnet-110, small batch": ("resnet-110", 16, 32, ()),
    "densenet-bc-100-12": ("densenet-bc-100-12", 64, 32, (NCHW,)),
    "resnet50": ("torchvision:resnet50", 8, 224, ()),
    "densenet121": ("torchvision:densenet121", 8, 224, (NCHW,)),
}
Step = Callable[[], float]


def make(name: str) -> nn.Module:
    """A net of ours, or torchvision:NAME. Raises ImportError."""
    torch.manual_seed(0)
    library, _, model = name.rpartition(":")
    if not library:
        return build(name)
    load_torchvision()
    made: nn.Module = getattr(sys.modules["torchvision"].models, model)()
    return made


def contenders(setting: str, told: dict[str, str]) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Each with its batch: N C H W."""
    name, batch, side, also = SETTINGS[setting]
    plain = make(name)
    x = torch.randn(batch, 3, side, side)
    last = x.contiguous(memory_format=torch.channels_last)
    model = copy.deepcopy(plain).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for kept in ["features", "bottlenecks" if "densenet" in name else "least"]:
        yield (
            f"fused, {kept}",
            fuse(copy.deepcopy(model), "compiled", keep=kept, say=lambda line: told.update(fused=line)),
            last,
        )
    yield "eager, channels-last", model, last
    if NCHW in also:
        yield NCHW, plain, x
    if INDUCTOR in also:
        yield INDUCTOR, torch.compile(copy.deepcopy(model)), last  # type: ignore[misc]


def step_of(model: nn.Module, x: Tensor) -> Step:
    target = torch.arange(len(x)) % 10

    def step() -> float:
        model.zero_grad()
        begin = time.process_time()
        F.cross_entropy(model(x), target).backward()  # type: ignore[no-untyped-call]
        return time.process_time() - begin

    return step


def kept_bytes(model: nn.Module, x: Tensor) -> int:
    known = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers(), x)}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = model(x)
    del out
    return sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in known)


def measure(setting: str) -> dict[str, Any]:
    told: dict[str, str] = {}
    found = list(contenders(setting, told))
    rows: dict[str, dict[str, Any]] = {}
    for name, model, x in found:
        rows[name] = {} if name == INDUCTOR else {"kept_bytes": kept_bytes(model, x)}
    steps = {name: step_of(model, x) for name, model, x in found}
    for name, step in steps.items():
        begin = time.perf_counter()
        step()
        if name == INDUCTOR:
            rows[name]["seconds_of_the_first_step"] = round(time.perf_counter() - begin, 1)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            times[name].append(step())
    for name, row in rows.items():
        row["least_cpu_seconds"] = round(min(times[name]), 3)
        for own in (own for own in rows if own.startswith("fused") and own != name):
            ratios = sorted(a / b for a, b in zip(times[name], times[own], strict=True))
            row[f"over {own}"] = [round(f(ratios), 3) for f in (statistics.median, min, max)]
            if "kept_bytes" in row:
                row[f"bytes over {own}"] = round(row["kept_bytes"] / rows[own]["kept_bytes"], 2)
        print(setting, name, row, file=sys.stderr, flush=True)
    name, batch, side, _ = SETTINGS[setting]
    return {"what": f"{name}, batch {batch}, {side}×{side}", "rounds": ROUNDS, **told, "contenders": rows}


def main() -> None:
    torch.set_num_threads(1)
    file = RESULTS / "fused_blocks.json"
    settings = json.loads(file.read_text(encoding="utf-8"))["settings"] if file.exists() else {}
    for setting in sys.argv[1:] or SETTINGS:
        try:
            settings[setting] = measure(setting)
        except ImportError as error:
            print(f"{setting}: left out, {error}", file=sys.stderr)
            continue
        keep(
            "fused_blocks",
            {
                "threads_used": 1,
                "dtype": "float32",
                "cpu_capability": torch.backends.cpu.get_cpu_capability(),
                "note": "the machine was shared with other jobs: read ratios, median, lowest, highest of the rounds; "
                "bfloat16 was not measured: this machine does not compute it in hardware",
                "settings": settings,
            },
        )


if __name__ == "__main__":
    main()
