"""The Triton kernels on a GPU: checked against float64, timed beside eager PyTorch and torch.compile. One command.

    python bench/gpu.py                  # some 8 minutes; writes bench/results/gpu_DEVICE.json, prints one table
    python bench/gpu.py --seconds 120    # what fits into two minutes, the rest is left out by name
    python bench/gpu.py --dry            # tiny shapes, on the CPU in Triton's interpreter: does the script work?

Kernels: error against float64, least bytes over median time, as a share of what the device copies (bytes read and
         written, measured here first). The cache is emptied between calls.
Nets:    training steps (forward, loss, backward, SGD with momentum), bfloat16 by autocast, channels-last, one batch in
         memory. Variants take turns; a ratio is to eager's step of the same turn. `graph`: the step as one CUDA graph
         (gradpath.kernels.StepGraph). ResNet-1001 is compiled block by block: as a whole it takes minutes.
Exit code 1 where a kernel is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if "--dry" in sys.argv:
    os.environ["TRITON_INTERPRET"] = "1"

import torch
from _common import RESULTS
from _gpu_kernels import Product, copy_bandwidth, norm_errors, norm_rows, reference_errors, right, seconds
from _gpu_nets import STEPS, TURNS, Net, Setting, measured

import gradpath
from gradpath.errors import KernelError
from gradpath.kernels._choose import norm_passes
from gradpath.kernels._dense_choose import dense_passes
from gradpath.training._machine import machine

VARIANTS = "eager", "eager graph", "triton", "triton graph", "compile", "compile graph"


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    device: torch.device
    nets: tuple[Net, ...]
    norms: tuple[tuple[int, int, int, int], ...]
    products: tuple[tuple[int, int, int, int], ...]
    """Rows, channels, width of the matrix, outputs."""
    dtypes: tuple[torch.dtype, ...]
    copied_megabytes: int
    repeats: int
    variants: tuple[str, ...]
    turns: int


def full() -> Plan:
    return Plan(
        torch.device("cuda", torch.cuda.current_device()),
        (
            Net("densenet-bc-100-12", (64, 3, 32, 32), targets="triton ≥ 2 × compile"),
            Net("preresnet-1001", (128, 3, 32, 32), True, "triton ≥ 3 × eager, 1.5 × compile"),
            Net("densenet-121", (64, 3, 224, 224), targets="triton ≥ 2 × compile"),
        ),
        ((128, 16, 32, 32), (128, 64, 32, 32), (128, 256, 8, 8), (64, 256, 56, 56)),
        ((65536, 120, 216, 48), (16384, 228, 300, 48), (200704, 160, 256, 128), (50176, 384, 512, 128)),
        (torch.bfloat16, torch.float16, torch.float32),
        1024, 20, VARIANTS, TURNS,
    )  # fmt: skip


def dry() -> Plan:
    nets = Net("densenet-bc-10-4", (2, 3, 8, 8)), Net("preresnet-11", (2, 3, 8, 8), True)
    return Plan(
        torch.device("cpu"), nets, ((2, 5, 4, 4),), ((40, 12, 20, 16),), (torch.float32,), 1, 1, ("eager", "triton"), 1
    )


# ---- kernels


def kernels(plan: Plan, bandwidth: float) -> Iterator[dict[str, Any]]:
    """One line for each kernel and shape."""
    norms, dense = norm_passes("triton").passes, dense_passes("triton").passes
    for dtype in plan.dtypes:
        for shape in plan.norms:
            found, reference = norm_errors(norms, shape, dtype, plan.device), None
            if dtype is not torch.float32:
                reference = reference_errors(shape, dtype, plan.device)
            yield from timed(plan, norm_rows(norms, shape, dtype, plan.device), found, reference, dtype, bandwidth)
        for size in plan.products:
            product = Product(size, dtype, plan.device)
            if dense.takes(product.x, product.weight):  # type: ignore[attr-defined]
                yield from timed(plan, product.rows(dense), product.errors(dense), None, dtype, bandwidth)


def timed(
    plan: Plan, rows: Any, found: dict[str, float], reference: Any, dtype: torch.dtype, bandwidth: float
) -> Iterator[dict[str, Any]]:
    for row in rows:
        median = statistics.median(seconds(row.job, plan.device, plan.repeats))
        yield {
            "what": row.what,
            "microseconds": round(1e6 * median, 1),
            "gigabytes_per_second": round(row.bytes / median / 1e9, 1),
            "share_of_copy": round(row.bytes / median / bandwidth, 3),
            "errors": {name: float(f"{e:.1e}") for name, e in found.items()},
            "right": right(found, reference, dtype),
        }


# ---- the table


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    lines = [
        f"{result['device']}: copies {result['copy_gigabytes_per_second']:.0f} GB/s",
        "",
        f"{'kernel':<52} {'µs':>8} {'GB/s':>7} {'of copy':>8} {'worst error':>12}",
        *map(kernel_line, result["kernels"]),
    ]
    for net in result["nets"]:
        images, _, size, _ = net["batch"]
        lines += ["", f"{net['net']}, batch {images} of {size}×{size}   {net['targets']}"]
        lines.append(f"{'':<16} {'ms a step':>10} {'(lowest, highest)':>20} {'× eager':>8} {'peak MiB':>9}  first")
        lines += [f"{name:<16} {variant_line(row)}" for name, row in net["variants"].items()]
        lines += net["said"]
    return "\n".join([*lines, *result["left_out"]])


def kernel_line(row: dict[str, Any]) -> str:
    return (
        f"{row['what']:<52} {row['microseconds']:>8.1f} {row['gigabytes_per_second']:>7.0f} "
        f"{row['share_of_copy']:>8.0%} {max(row['errors'].values()):>12.1e}{'' if row['right'] else '  WRONG'}"
    )


def variant_line(row: dict[str, Any]) -> str:
    if not row.get("milliseconds"):
        return f"left out: {row.get('left out', 'no time left')}"
    middle, low, high = row["milliseconds"]
    ratio = row["times_eager"][0] if row["times_eager"] else float("nan")
    ends = f"({low:.2f}, {high:.2f})"
    return f"{middle:>10.2f} {ends:>20} {ratio:>8.2f} {row['peak_mebibytes']:>9}  {row['first_steps_seconds']} s"


def run(plan: Plan, limit: float) -> dict[str, Any]:
    """Everything that there is time for."""
    deadline = time.monotonic() + limit
    bandwidth = copy_bandwidth(plan.device, plan.copied_megabytes)
    found = list(kernels(plan, bandwidth))
    nets, left = [], []
    for net in plan.nets:
        if time.monotonic() < deadline - 30 * (plan.device.type == "cuda"):
            nets.append(measured(net, Setting(plan.device, plan.variants, plan.turns, deadline)))
        else:
            left.append(f"{net.name}: left out, no time left of {limit:.0f} s")
    import triton

    about = machine(plan.device)
    return {
        "benchmark": "gpu",
        "device": about.device,
        "machine": about.to_dict(),
        "versions": {
            "gradpath": gradpath.__version__, "torch": torch.__version__, "triton": triton.__version__,
            "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
        },
        "copy_gigabytes_per_second": round(bandwidth / 1e9, 1),
        "steps_of_a_turn": STEPS,
        "kernels": found,
        "nets": nets,
        "left_out": left,
    }  # fmt: skip


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Check and time the Triton kernels on a GPU.")
    parser.add_argument("--dry", action="store_true", help="tiny shapes on the CPU, in Triton's interpreter")
    parser.add_argument("--seconds", type=float, default=480.0, help="stop after some time (default 480)")
    parser.add_argument("--output", type=Path, help="the result's file (default bench/results/gpu_DEVICE.json)")
    asked = parser.parse_args(arguments)
    if not asked.dry and not torch.cuda.is_available():
        print("bench/gpu.py: no CUDA device: try --dry", file=sys.stderr)
        return 2
    try:
        result = run(dry() if asked.dry else full(), asked.seconds)
    except KernelError as problem:
        print(f"bench/gpu.py: {problem}", file=sys.stderr)
        return 1
    file = asked.output or (None if asked.dry else RESULTS / f"gpu_{result['device'].replace(' ', '-').lower()}.json")
    if file is not None:
        file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(table(result))
    return 0 if all(row["right"] for row in result["kernels"]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
