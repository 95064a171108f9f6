"""Training steps of whole nets: eager, on the Triton kernels, compiled, each also as a CUDA graph. For bench/gpu.py."""

from __future__ import annotations

import contextlib
import copy
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradpath.kernels import fuse
from gradpath.kernels._step_graph import StepGraph
from gradpath.nets import build

TURNS, STEPS = 7, 4  # a turn is STEPS steps of one variant
WARM_UP = 5
LONGEST_COMPILE = 150.0
HALF = torch.bfloat16
Step = Callable[..., Tensor]


@dataclass(frozen=True)
class Net:
    """A net and its batch; whether to compile it block by block, and what its block of target ratios says."""

    name: str
    batch: tuple[int, int, int, int]
    by_block: bool = False
    targets: str = ""


@dataclass(frozen=True)
class Setting:
    """Where nets are measured, in which variants, how often, and until when (time.monotonic)."""

    device: torch.device
    variants: tuple[str, ...]
    turns: int
    deadline: float


def step_of(model: nn.Module, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """One training step of a model; its loss."""
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, foreach=True)

    def step(images: Tensor, labels: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, HALF, enabled=device.type == "cuda"):
            loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def variant(name: str, net: Net, plain: nn.Module, device: torch.device, said: list[str]) -> Step:
    """A step of one variant: eager, triton or compile; with `graph` as one CUDA graph."""
    model = copy.deepcopy(plain)
    if name.startswith("triton"):
        fuse(model, "triton", say=lambda line: said.append(line) if line not in said else None)
    if name.startswith("compile"):
        for part in model.blocks() if net.by_block else [model]:  # type: ignore[operator]
            part.compile()
    step = step_of(model, device)
    return StepGraph(step, say=lambda line: said.append(f"{name}: {line}")) if name.endswith("graph") else step


@contextlib.contextmanager
def at_most(limit: float) -> Iterator[None]:
    """Raises TimeoutError in the main thread after so many seconds."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"not ready after {limit:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(1.0, limit))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def measured(net: Net, setting: Setting) -> dict[str, Any]:
    """Step times of a net's variants, and what each said or why it is left out."""
    torch.manual_seed(0)
    plain = build(net.name, input_size=net.batch[2]).to(setting.device, memory_format=torch.channels_last)
    images = torch.randn(net.batch, device=setting.device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (net.batch[0],), device=setting.device)
    ready: dict[str, Step] = {}
    rows: dict[str, dict[str, Any]] = {name: {} for name in setting.variants}
    said: list[str] = []
    for name in setting.variants:
        try:
            with at_most(min(LONGEST_COMPILE, setting.deadline - time.monotonic())):
                rows[name] = prepared(variant(name, net, plain, setting.device, said), images, labels)
                ready[name] = rows[name].pop("step")
        except Exception as problem:  # one variant's failure is a line of the table
            rows[name] = {"left out": f"{type(problem).__name__}: {str(problem).splitlines()[0][:120]}"}
    for name, found in in_turns(ready, setting, images, labels).items():
        rows[name] |= found
    return {"net": net.name, "batch": list(net.batch), "targets": net.targets, "said": said, "variants": rows}


def prepared(step: Step, images: Tensor, labels: Tensor) -> dict[str, Any]:
    """The step after its first calls: how long they took, their losses, the most memory beside what was held before."""
    begin, held = time.monotonic(), 0
    if images.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
    losses = [float(step(images, labels)) for _ in range(WARM_UP if images.is_cuda else 1)]
    peak = torch.cuda.max_memory_allocated() if images.is_cuda else 0
    about = {"first_steps_seconds": round(time.monotonic() - begin, 1), "losses": [round(x, 4) for x in losses]}
    return about | {"peak_mebibytes": (peak - held) >> 20, "step": step}


def in_turns(ready: dict[str, Step], setting: Setting, images: Tensor, labels: Tensor) -> dict[str, dict[str, Any]]:
    """Milliseconds of a step, and the ratio of eager's time to it: median, lowest, highest."""
    times: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(setting.turns):
        if time.monotonic() > setting.deadline:
            break
        for name, step in ready.items():
            times[name].append(turn(step, setting.device, images, labels))
    found: dict[str, dict[str, Any]] = {}
    for name, mine in times.items():
        ratios = sorted(a / b for a, b in zip(times.get("eager", []), mine, strict=False))
        found[name] = {
            "turns": len(mine),
            "milliseconds": spread([1e3 * s for s in mine]),
            "times_eager": spread(ratios),
        }
    return found


def turn(step: Step, device: torch.device, images: Tensor, labels: Tensor) -> float:
    """Seconds a step, over STEPS of them."""
    if device.type != "cuda":
        begin = time.perf_counter()
        step(images, labels)
        return time.perf_counter() - begin
    begin_event, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin_event.record()
    for _ in range(STEPS):
        step(images, labels)
    end.record()
    end.synchronize()
    return begin_event.elapsed_time(end) / 1e3 / STEPS


def spread(found: list[float]) -> list[float]:
    """Median, lowest, highest."""
    return [round(f(found), 3) for f in (statistics.median, min, max)] if found else []
