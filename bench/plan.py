"""Exact training steps under a memory budget: gp.plan beside torch's checkpoint_sequential and plain autograd.

    python bench/plan.py NET [--batch 16] [--budgets 0.5 0.25 0.05] [--segments 4 28] [--rounds 5] [--backend reference]
                         [--minutes 10] [--work build/bench]

What was measured is written to the folder --work as it comes. After --minutes the run ends at the next measurement,
with exit code 3; the same command goes on from there. The result is written anew after every round.

Time:   CPU seconds of forward, loss and backward on one thread, float32, channels-last; a round is a step of each
        contender, in turns, and ratios to plain autograd are taken within a round.
Bytes:  largest growth of torch's allocator within the step, from its allocation trace, with the gradients allocated
        before: what parameters, their gradients and buffers do not count in. 100 % is plain autograd's.
        A budget is a fraction of that.
Resident: VmHWM of a fresh process after two steps minus VmHWM before the net was built (Linux), with glibc's malloc
        told to map every large block by itself, so that freed blocks go back.
Autocast to bfloat16 is not measured: without such arithmetic in hardware its time would say nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
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
from gradpath.record import Plan, write_whole

CPU = torch.device("cpu")
Call = Callable[[Tensor], Tensor]


class Progress:
    """What was measured already, by name: on disk after every measurement, taken from there by the same command."""

    def __init__(self, given: argparse.Namespace) -> None:
        asked = {
            key: value for key, value in vars(given).items() if key not in ("work", "minutes", "rounds", "resident")
        }
        self.folder = given.work / result_name(given)
        self.file, self.end = self.folder / "measured.json", time.monotonic() + 60 * given.minutes
        self.known: dict[str, Any] = {"asked": json.loads(json.dumps(asked, default=str))}
        if self.file.exists():
            found = json.loads(self.file.read_text(encoding="utf-8"))
            self.known = found if found["asked"] == self.known["asked"] else self.known

    def once(self, name: str, measure: Callable[[], Any]) -> Any:
        """The measurement of this name: of an earlier run, or made now. Raises SystemExit when the minutes are over."""
        if name not in self.known:
            if time.monotonic() > self.end:
                print(f"stopped before {name!r}: run the same command again to go on", file=sys.stderr)
                raise SystemExit(3)
            took = seconds(lambda: self.known.update({name: measure()}))
            print(f"{name}: {took:.0f} s", file=sys.stderr)
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.file, json.dumps(self.known, indent=1).encode())
        return self.known[name]


def result_name(given: argparse.Namespace) -> str:
    return f"plan_{given.net.replace(':', '_')}_{given.backend}"


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
        self.warm = False

    def step(self, call: Call) -> Tensor:
        """Gradients stay allocated from the first step on."""
        self.net.zero_grad(set_to_none=False)
        loss = F.cross_entropy(call(self.x), self.y)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def peak(self, call: Call) -> int:
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


def segments_of(bench: Bench) -> Callable[[int], Call]:
    """checkpoint_sequential over the same blocks, with stem and head outside."""
    net: Any = bench.net
    if hasattr(net, "blocks"):
        blocks, stem, head = list(net.blocks()), net.stem, net.head
    else:  # torchvision's ResNet
        blocks = [block for name in ("layer1", "layer2", "layer3", "layer4") for block in getattr(net, name)]
        stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        head = nn.Sequential(net.avgpool, nn.Flatten(), net.fc)

    def of(count: int) -> Call:
        def call(x: Tensor) -> Tensor:
            out: Tensor = head(checkpoint_sequential(blocks, count, stem(x), use_reentrant=False))  # type: ignore[no-untyped-call]
            return out

        return call

    return of


def contenders(bench: Bench, done: Progress, base: int) -> tuple[dict[str, Call], dict[str, Any]]:
    """Name → forward; and what each plan says."""
    calls: dict[str, Call] = {"plain": bench.net}
    about = {"plain": {"resident_bytes": done.once("resident plain", lambda: resident(bench.given, "plain"))}}
    fixed = 2 * size_of(bench.net.parameters()) + size_of(bench.net.buffers()) + size_of([bench.x, bench.y])
    for budget in bench.given.budgets:
        name, memory = f"plan {float(budget):.0%}", fixed + round(float(budget) * base)
        file = done.folder / f"{name}.json"
        done.once(name, lambda memory=memory, file=file: bench.plan(memory).save(file).name)  # type: ignore[misc]
        made = gp.read(file)
        assert isinstance(made, Plan)
        calls[name] = gp.apply_plan(bench.net, made)
        process = done.once(f"resident {name}", lambda file=file: resident(bench.given, str(file)))  # type: ignore[misc]
        about[name] = {"asked_bytes": memory, "resident_bytes": process, **told(made)}
    for count in bench.given.segments:
        calls[f"checkpoint_sequential {count}"] = segments_of(bench)(count)
    return calls, about


def told(made: Plan) -> dict[str, Any]:
    """What a plan says of itself."""
    modes = made.mode_of_blocks()
    return {
        "predicted_bytes": made.predicted.total,
        "measured_bytes": made.measured[-1].peak_bytes if made.measured else None,
        "predicted_time_ratio": round(made.time_ratio, 3),
        "plan_seconds": round(made.plan_seconds, 2),
        "kernels": made.kernels,
        "modes": {mode: modes.count(mode) for mode in dict.fromkeys(modes)},
    }


def size_of(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def a_round(bench: Bench, calls: dict[str, Call]) -> dict[str, float]:
    """Seconds of a step of each, after a first one of each that is not counted in this process."""
    if not bench.warm:
        for call in calls.values():
            bench.step(call)
        bench.warm = True
    return {name: seconds(lambda call=call: bench.step(call), time.process_time) for name, call in calls.items()}  # type: ignore[misc]


def ratios_of(times: list[dict[str, float]]) -> dict[str, Any]:
    """Ratios to plain within each round."""
    return {
        name: spread([found[name] / found["plain"] for found in times])
        | {"least_seconds": round(min(found[name] for found in times), 3)}
        for name in times[0]
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
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--work", type=Path, default=Path("build/bench"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.resident:
        print_resident(given)
        return
    done = Progress(given)
    bench = Bench(given)
    base = done.once("peak plain", lambda: (bench.step(bench.net), bench.peak(bench.net))[1])
    calls, about = contenders(bench, done, base)
    peaks = {name: done.once(f"peak {name}", lambda call=call: bench.peak(call)) for name, call in calls.items()}  # type: ignore[misc]
    times: list[dict[str, float]] = []
    for number in range(1, given.rounds + 1):
        times.append(done.once(f"round {number}", lambda: a_round(bench, calls)))
        write(bench, base, peaks, ratios_of(times), about, len(times))


def write(
    bench: Bench, base: int, peaks: dict[str, int], times: dict[str, Any], about: dict[str, Any], rounds: int
) -> None:
    result = {
        "net": bench.given.net, "batch": bench.given.batch, "size": bench.size, "threads_used": 1, "rounds": rounds,
        "note": "the machine was shared: CPU seconds; read ratios",
        "plain_peak_bytes": base,
        "contenders": {
            name: {"peak_bytes": peak, "memory": round(peak / base, 4), "time": times[name]} | about.get(name, {})
            for name, peak in peaks.items()
        },
    }  # fmt: skip
    keep(result_name(bench.given), result)


if __name__ == "__main__":
    main()
