"""gp.fuse against plain blocks: CPU seconds of a training step, and bytes that the forward keeps for the backward.

    python bench/fused_blocks.py                     # all that lacks rounds, into bench/results/fused_blocks.json
    python bench/fused_blocks.py resnet-110 …        # these settings; the others in the file stay as they are
    python bench/fused_blocks.py --minutes 10 …      # stop after that; the same command goes on where it stopped
    python bench/fused_blocks.py --afresh …          # throw away the rounds of these settings first
    python bench/fused_blocks.py --dry …             # two small images, one round, nothing written: does it run?
    PYTHONPATH=FOLDER python bench/fused_blocks.py   # with torchvision in FOLDER; without it its nets are left out

Step:   forward, cross-entropy and backward of a whole net, one thread; CPU seconds of the process, so that other
        programs count only by the caches they take. A round is a step of each contender, in turns; it is written down
        when it is done. float32; where the machine computes bfloat16 in hardware all but NCHW also under autocast.
Speed:  the contender's seconds over the fused net's in the same round: above 1 the fused net is faster.
Kept:   bytes of the storages that the forward saves, parameters, buffers and the batch not counted (of a compiled net
        autograd does not tell).
Checkpointed layers: what Pleiss et al. (2017) do in PyTorch: concatenation, norm, ReLU and 1×1 convolution of each
        dense layer are not kept but done again in the backward (torch.utils.checkpoint, reentrant), the rest is.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from _checkpointed import with_checkpointed_layers
from _common import RESULTS, keep
from torch import Tensor, nn

from gradpath.kernels import fuse
from gradpath.nets import build
from gradpath.training._machine import has_bf16, machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from sweep.libraries import load_torchvision

ROUNDS = 5
NCHW, INDUCTOR, CHECKPOINTED = "eager, NCHW", "torch.compile, channels-last", "checkpointed layers, channels-last"
SETTINGS: dict[str, tuple[str, int, int, tuple[str, ...]]] = {  # net, batch, side, contenders beside eager
    "resnet-20": ("resnet-20", 128, 32, (NCHW, INDUCTOR)),
    "resnet-110": ("resnet-110", 128, 32, (NCHW,)),
    "resnet-110, small batch": ("resnet-110", 16, 32, ()),
    "densenet-bc-100-12": ("densenet-bc-100-12", 64, 32, (NCHW, CHECKPOINTED)),
    "resnet50": ("torchvision:resnet50", 8, 224, (NCHW,)),
    "densenet121": ("torchvision:densenet121", 8, 224, (NCHW, CHECKPOINTED)),
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


def contenders(setting: str, small: bool, told: dict[str, str]) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Each with its batch: N C H W."""
    name, batch, side, also = SETTINGS[setting]
    plain = make(name)
    x = torch.randn(2, 3, 32, 32) if small else torch.randn(batch, 3, side, side)
    last = x.contiguous(memory_format=torch.channels_last)
    model = copy.deepcopy(plain).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for kept in ["features", "bottlenecks" if "densenet" in name else "least"]:
        fused = fuse(copy.deepcopy(model), "compiled", keep=kept, say=lambda line: told.update(fused=line))
        yield f"fused, {kept}", fused, last
    yield "eager, channels-last", model, last
    if NCHW in also:
        yield NCHW, plain, x
    if CHECKPOINTED in also:
        yield CHECKPOINTED, with_checkpointed_layers(copy.deepcopy(model)), last
    if INDUCTOR in also and not small:
        yield INDUCTOR, torch.compile(copy.deepcopy(model)), last  # type: ignore[misc]


def dtypes() -> list[torch.dtype]:
    """What to measure in: bfloat16 only where the processor multiplies in it."""
    return [torch.float32, *([torch.bfloat16] if has_bf16(torch.device("cpu")) else [])]


def step_of(model: nn.Module, x: Tensor, dtype: torch.dtype) -> Step:
    target = torch.arange(len(x)) % 10

    def step() -> float:
        model.zero_grad()
        begin = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
            out = model(x)
        F.cross_entropy(out.float(), target).backward()  # type: ignore[no-untyped-call]
        return time.process_time() - begin

    return step


def kept_bytes(model: nn.Module, x: Tensor, dtype: torch.dtype) -> int:
    known = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers(), x)}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    autocast = torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), autocast:
        out = model(x)
    del out
    return sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in known)


def rounds_of(setting: str, row: dict[str, Any], asked: argparse.Namespace, write: Callable[[], None]) -> None:
    """Adds rounds to a setting's row until it has enough or time is up."""
    rows: dict[str, dict[str, Any]] = row["contenders"]
    told: dict[str, str] = {}
    steps: dict[str, Step] = {}
    for name, model, x in contenders(setting, asked.dry, told):
        for dtype in dtypes() if name != NCHW else [torch.float32]:
            full = name if dtype is torch.float32 else f"{name}, bfloat16"
            own = rows.setdefault(full, {"cpu_seconds": []})
            if name != INDUCTOR and "kept_bytes" not in own:
                own["kept_bytes"] = kept_bytes(model, x, dtype)
            steps[full] = step_of(model, x, dtype)
    row.update(told)
    for name, step in steps.items():  # warm
        begin = time.perf_counter()
        step()
        if name.startswith(INDUCTOR):
            rows[name].setdefault("seconds_of_the_first_step", round(time.perf_counter() - begin, 1))
    while row["rounds"] < (1 if asked.dry else ROUNDS) and time.monotonic() < asked.until:
        found = {name: step() for name, step in steps.items()}
        for name, seconds in found.items():
            rows[name]["cpu_seconds"].append(round(seconds, 4))
        row["rounds"] += 1
        print(
            f"{setting}: round {row['rounds']}", {k: round(v, 2) for k, v in found.items()}, file=sys.stderr, flush=True
        )
        summarise(rows)
        write()


def summarise(rows: dict[str, dict[str, Any]]) -> None:
    """Of each contender against each fused net: speed as [median, lowest, highest] over the rounds, and bytes."""
    for name, row in rows.items():
        row["least_cpu_seconds"] = min(row["cpu_seconds"])
        for own, fused in ((own, rows[own]) for own in rows if own.startswith("fused") and own != name):
            ratios = sorted(a / b for a, b in zip(row["cpu_seconds"], fused["cpu_seconds"], strict=True))
            row[f"over {own}"] = [round(f(ratios), 3) for f in (statistics.median, min, max)]
            if "kept_bytes" in row:
                row[f"bytes over {own}"] = round(row["kept_bytes"] / fused["kept_bytes"], 2)


def kept_results() -> dict[str, Any]:
    """The settings in the file; none where it is of another machine or torch."""
    file = RESULTS / "fused_blocks.json"
    if not file.exists():
        return {}
    whole = json.loads(file.read_text(encoding="utf-8"))
    here = machine(torch.device("cpu")).to_dict()
    same = all(whole["machine"][key] == here[key] for key in ("processor", "cpu_features", "torch"))
    settings: dict[str, Any] = whole["settings"] if same else {}
    return settings


def started(setting: str, settings: dict[str, Any], afresh: bool) -> dict[str, Any]:
    """A setting's row with the rounds that it has; without any where they are not kept one by one."""
    old: dict[str, Any] = settings.get(setting, {})
    if not afresh and old and all("cpu_seconds" in row for row in old["contenders"].values()):
        return old
    name, batch, side, _ = SETTINGS[setting]
    return {"what": f"{name}, batch {batch}, {side}×{side}", "rounds": 0, "contenders": {}}


def write(settings: dict[str, Any]) -> None:
    about = {
        "threads_used": 1,
        "dtypes": [str(dtype).removeprefix("torch.") for dtype in dtypes()],
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "note": "the machine was shared with other jobs: read ratios, median, lowest, highest of the rounds"
        + ("" if torch.bfloat16 in dtypes() else "; bfloat16 was not measured: not in this machine's hardware"),
    }
    with redirect_stdout(io.StringIO()):  # after every round: only the file
        keep("fused_blocks", {**about, "settings": settings})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", metavar="SETTING", help=", ".join(SETTINGS))
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--afresh", action="store_true")
    parser.add_argument("--dry", action="store_true")
    asked = parser.parse_args()
    unknown = set(asked.settings) - set(SETTINGS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: unknown, choose from {', '.join(SETTINGS)}")
    asked.until = time.monotonic() + 60 * asked.minutes
    return asked


def main() -> None:
    torch.set_num_threads(1)
    asked, settings = arguments(), kept_results()
    for setting in asked.settings or SETTINGS:
        row = started(setting, settings, asked.afresh or asked.dry)
        if row["rounds"] >= ROUNDS or time.monotonic() > asked.until:
            continue

        def note(setting: str = setting, row: dict[str, Any] = row) -> None:
            settings[setting] = row
            if not asked.dry:
                write(settings)

        try:
            rounds_of(setting, row, asked, note)
        except ImportError as error:
            print(f"{setting}: left out, {error}", file=sys.stderr)
    if asked.dry:
        print(json.dumps(settings, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
