"""Exact training steps under a memory budget: gp.plan beside torch's checkpoint_sequential and plain autograd.

    python bench/plan.py NET [--batch 16] [--budgets 0.5 0.25 0.05] [--segments 4 28] [--rounds 5] [--backend reference]

Time:   CPU seconds of forward, loss and backward on one thread, float32, channels-last; a round is a step of each
        contender, in turns, and ratios to plain autograd are taken within a round.
Bytes:  largest growth of torch's allocator within the step, from its allocation trace, with the gradients allocated
        before: what parameters, their gradients and buffers do not count in. 100 % is plain autograd's.
        A budget is a fraction of that.
Resident: VmHWM of a fresh process after two steps minus VmHWM before the net was built (Linux), with glibc's malloc
        told to map every large block by itself, so that freed blocks go back.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from _common import high_water_bytes, keep, seconds, spread
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint_sequential

import gradpath as gp
from gradpath.kernels import norm_passes
from gradpath.memory._measuring._peak import growth
from gradpath.record import Plan

CPU = torch.device("cpu")


class Bench:
    """A net, a batch and the plain step."""

    def __init__(self, given: argparse.Namespace) -> None:
        torch.manual_seed(0)
        self.given = given
        self.net, self.size = build(given.net, given.size)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = torch.randn(given.batch, 3, self.size, self.size)
        self.x = x.contiguous(memory_format=torch.channels_last)
        self.y = torch.randint(10, (given.batch,))

    def step(self, call: Callable[[Tensor], Tensor]) -> Tensor:
        """Gradients stay allocated from the first step on."""
        self.net.zero_grad(set_to_none=False)
        loss = F.cross_entropy(call(self.x), self.y)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def peak(self, call: Callable[[Tensor], Tensor]) -> int:
        return growth(lambda: self.step(call), CPU)[1].peak_bytes

    def plan(self, memory: int) -> Plan:
        batch = (self.x, self.y)
        return gp.plan(
            self.net,
            batch,
            memory,
            criterion=F.cross_entropy,
            optimizer="sgd",
            backend=self.given.backend,
            layers=False,
        )


def build(name: str, size: int) -> tuple[nn.Module, int]:
    """A net of ours, or torchvision:NAME."""
    library, _, model = name.rpartition(":")
    if library == "torchvision":
        from gradpath.cli._target import load_target

        return load_target(name).model, size or 224
    return gp.build(model), size or 32


def segments_of(bench: Bench) -> Callable[[int], Callable[[Tensor], Tensor]]:
    """checkpoint_sequential over the same blocks, with stem and head outside."""
    net: Any = bench.net
    if hasattr(net, "blocks"):
        blocks, stem, head = list(net.blocks()), net.stem, net.head
    else:  # torchvision's ResNet
        blocks = [block for name in ("layer1", "layer2", "layer3", "layer4") for block in getattr(net, name)]
        stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        head = nn.Sequential(net.avgpool, nn.Flatten(), net.fc)

    def of(count: int) -> Callable[[Tensor], Tensor]:
        def call(x: Tensor) -> Tensor:
            out: Tensor = head(checkpoint_sequential(blocks, count, stem(x), use_reentrant=False))  # type: ignore[no-untyped-call]
            return out

        return call

    return of


def contenders(bench: Bench, base: int) -> tuple[dict[str, Callable[[Tensor], Tensor]], dict[str, Any]]:
    """Name → forward; and what each plan says."""
    calls: dict[str, Callable[[Tensor], Tensor]] = {"plain": bench.net}
    about: dict[str, Any] = {"plain": {"resident_bytes": resident(bench.given, "plain")}}
    fixed = 2 * size_of(bench.net.parameters()) + size_of(bench.net.buffers()) + size_of([bench.x, bench.y])
    for budget in bench.given.budgets:
        memory = fixed + round(float(budget) * base)
        made = bench.plan(memory)
        name = f"plan {float(budget):.0%}"
        calls[name] = gp.apply_plan(bench.net, made)
        with tempfile.TemporaryDirectory() as folder:
            process = resident(bench.given, str(made.save(Path(folder) / "plan.json")))
        about[name] = {
            "asked_bytes": memory,
            "resident_bytes": process,
            "predicted_bytes": made.predicted.total,
            "measured_bytes": made.measured[-1].peak_bytes if made.measured else None,
            "predicted_time_ratio": round(made.time_ratio, 3),
            "plan_seconds": round(made.plan_seconds, 2),
            "kernels": made.kernels,
            "modes": {mode: made.mode_of_blocks().count(mode) for mode in dict.fromkeys(made.mode_of_blocks())},
        }
    for count in bench.given.segments:
        calls[f"checkpoint_sequential {count}"] = segments_of(bench)(count)
    return calls, about


def size_of(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def rounds_of(bench: Bench, calls: dict[str, Callable[[Tensor], Tensor]]) -> dict[str, Any]:
    """Ratios to plain within each round, after a warm-up of each."""
    for call in calls.values():
        bench.step(call)
    times = [
        {name: seconds(lambda call=call: bench.step(call), time.process_time) for name, call in calls.items()}  # type: ignore[misc]
        for _ in range(bench.given.rounds)
    ]
    return {
        name: spread([found[name] / found["plain"] for found in times])
        | {"least_seconds": round(min(found[name] for found in times), 3)}
        for name in calls
    }


def resident(given: argparse.Namespace, which: str) -> int:
    """VmHWM's growth in a process of its own; `which` is 'plain' or a plan's file."""
    command = [sys.executable, __file__, given.net, "--batch", str(given.batch), "--size", str(given.size)]
    done = subprocess.run(
        [*command, "--backend", given.backend, "--resident", which],
        capture_output=True, text=True, check=True, env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},
    )  # fmt: skip
    return int(json.loads(done.stdout.splitlines()[-1]))


def print_resident(given: argparse.Namespace) -> None:
    F.conv2d(torch.zeros(1, 3, 8, 8), torch.zeros(3, 3, 3, 3))  # what torch loads once
    _ = gp.build, gp.apply_plan, norm_passes()  # and what we do
    before = high_water_bytes()
    bench = Bench(given)
    call = bench.net if given.resident == "plain" else gp.apply_plan(bench.net, gp.read(given.resident))  # type: ignore[arg-type]
    bench.step(call)
    bench.step(call)
    print(high_water_bytes() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("net")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--budgets", nargs="*", default=["0.5", "0.25", "0.05"])
    parser.add_argument("--segments", nargs="*", type=int, default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--resident")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.resident:
        print_resident(given)
        return
    bench = Bench(given)
    bench.step(bench.net)
    base = bench.peak(bench.net)
    calls, about = contenders(bench, base)
    result: dict[str, Any] = {
        "net": given.net, "batch": given.batch, "size": bench.size, "threads_used": 1, "rounds": given.rounds,
        "note": "the machine was shared: CPU seconds; read ratios",
        "plain_peak_bytes": base,
    }  # fmt: skip
    peaks = {name: bench.peak(call) for name, call in calls.items()}
    times = rounds_of(bench, calls)
    result["contenders"] = {
        name: {"peak_bytes": peaks[name], "memory": round(peaks[name] / base, 4), "time": times[name]}
        | about.get(name, {})
        for name in calls
    }
    keep(f"plan_{given.net.replace(':', '_')}_{given.backend}", result)


if __name__ == "__main__":
    main()
