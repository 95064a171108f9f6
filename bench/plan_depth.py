"""What depth and Python cost in a planned step: seconds per layer from 101 to 10,001 layers, µs of Python per block.

    python bench/plan_depth.py [--depths 101 1001 10001] [--batch 2] [--rounds 5]

Per layer: CPU seconds of forward, loss and backward of pre-activation ResNets, one thread, float32, channels-last, by
plain autograd and by a plan of lean tapes, torch's own norm passes; depths in turns, ratios within a round.
Per block: the executor on blocks that compute nothing (both moves, its node in autograd's graph, the gradients of nine
parameters handed over); and a lean block's step less plain autograd's on one image of 8×8, where work is nearly nil.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import Any

import torch
import torch.nn.functional as F
from _common import keep, ratios, seconds, spread
from torch import Tensor, nn

import gradpath as gp
from gradpath.memory._running._run import Work
from gradpath.record import BACKWARD, Plan, PlanSegment

LONGEST, PARAMETERS, STUBS = 48, 9, 480


def segments(blocks: int, mode: str = "lean") -> tuple[PlanSegment, ...]:
    """All blocks in one mode that keeps inputs."""
    return tuple(
        PlanSegment(
            start=start,
            stop=(stop := min(start + LONGEST, blocks)),
            mode=mode,  # type: ignore[arg-type]
            forward=tuple((block, mode, False) for block in range(start, stop)),
            backward=tuple((block, BACKWARD, False) for block in reversed(range(start, stop))),
        )
        for start in range(0, blocks, LONGEST)
    )


class Nets:
    """A net of some depth, plain and by a plan of lean tapes: one made for a shallow net, stretched over all blocks."""

    def __init__(self, depth: int, batch: int, size: int, pattern: Plan | None = None) -> None:
        torch.manual_seed(0)
        self.depth, self.net = depth, gp.build(f"preresnet-{depth}", input_size=size)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.x = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
        self.y = torch.randint(10, (batch,))
        self.pattern = pattern or self.planned()
        names = tuple(f"stages.{s}.{b}" for s, stage in enumerate(self.net.stages) for b in range(len(stage)))  # type: ignore[arg-type]
        self.blocks = len(names)
        step = dataclasses.replace(self.pattern.predicted, parameters=0)  # of another depth: no warning
        plan = dataclasses.replace(
            self.pattern,
            blocks=names,
            signatures=(0,) * len(names),
            segments=segments(len(names)),
            predicted=step,
        )
        self.lean = gp.apply_plan(self.net, plan)

    def planned(self) -> Plan:
        pair = (self.x, self.y)
        return gp.plan(
            self.net, pair, "100%", criterion=F.cross_entropy, check=False, layers=False, backend="reference"
        )

    def step(self, model: nn.Module) -> None:
        self.net.zero_grad(set_to_none=False)
        F.cross_entropy(model(self.x), self.y).backward()  # type: ignore[no-untyped-call]


def per_layer(depths: list[int], batch: int, rounds: int) -> dict[str, Any]:
    """µs a layer by depth and way; ratios to the first depth within each round."""
    nets = [first := Nets(depths[0], batch, 32)] + [Nets(depth, batch, 32, first.pattern) for depth in depths[1:]]
    found: dict[str, list[list[float]]] = {"plain": [], "lean": []}
    for number in range(rounds + 1):
        for way, times in found.items():
            took = [
                seconds(lambda one=one, way=way: one.step(one.net if way == "plain" else one.lean), time.process_time)  # type: ignore[misc]
                / one.depth
                for one in nets
            ]
            if number:  # the first is not counted: pages are touched, libraries loaded
                times.append(took)
    return {
        way: {
            str(one.depth): {
                "us_per_layer": round(1e6 * min(took[place] for took in times), 1),
                "over_first_depth": spread([took[place] / took[0] for took in times]),
            }
            for place, one in enumerate(nets)
        }
        for way, times in found.items()
    }


class Stub:
    """A block's moves that compute nothing."""

    modes, ends_in_relu = ("lean",), False

    def __init__(self) -> None:
        self.parameters = tuple(nn.Parameter(torch.zeros(1)) for _ in range(PARAMETERS))
        self.grads: list[Tensor | None] = [torch.zeros(1) for _ in self.parameters]

    def new_tape(self) -> list[Any]:
        return []

    def advance(self, x: Tensor, tape: Any, mode: str) -> Tensor:
        return x.detach()

    def backward(self, grad: Tensor, x: Tensor, tape: Any, needs: bool = True) -> tuple[Tensor, list[Tensor | None]]:
        return grad, self.grads


def executor(rounds: int) -> float:
    """µs a block of the executor alone: least of some rounds."""
    stubs: list[Any] = [Stub() for _ in range(STUBS)]
    works = [Work(segment, stubs) for segment in segments(STUBS)]
    x = torch.zeros(1, requires_grad=True)

    def step() -> None:
        out = x
        for work in works:
            out = work(out)
        out.sum().backward()  # type: ignore[no-untyped-call]

    step()
    return 1e6 * min(seconds(step, time.process_time) for _ in range(4 * rounds)) / STUBS


def python(rounds: int) -> dict[str, Any]:
    """Of a net of 1,001 layers on one image of 8×8."""
    nets = Nets(1001, 1, 8)
    found = ratios(lambda: nets.step(nets.lean), lambda: nets.step(nets.net), rounds, time.process_time)
    lean, plain = (1e6 * least / nets.blocks for least in found["least_seconds"])
    return {
        "executor_us_per_block": round(executor(rounds), 1),
        "plain_us_per_block": round(plain, 1),
        "lean_us_per_block": round(lean, 1),
        "lean_over_plain": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depths", nargs="*", type=int, default=[101, 1001, 10001])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    result = {
        "batch": given.batch, "size": 32, "threads_used": 1, "rounds": given.rounds,
        "note": "the machine was shared: CPU seconds; read ratios",
        "python": python(given.rounds),
    }  # fmt: skip
    keep("plan_depth", result | {"per_layer": per_layer(given.depths, given.batch, given.rounds)})


if __name__ == "__main__":
    main()
