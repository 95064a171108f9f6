"""A short trial of a residual block, plain and fused: the faster is what 'auto' gives, and is remembered."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from gradpath.errors import UserError
from gradpath.kernels._build import HERE, cache_folder, cpu_features
from gradpath.kernels._choose import canonical, norm_passes
from gradpath.kernels._norm_passes import SOURCES
from gradpath.kernels._residual_function import residual_block
from gradpath.nets import LeanMoves, NormPasses, TorchPasses, form_of
from gradpath.nets._blocks import PostBasic
from gradpath.record import NetSpec, write_whole

SLOWER = 1.2  # from here on a fused block gives way: below it keeps less, and on a busy machine trials differ by 0.1
ROUNDS = 5
SHAPE = 32, 16, 32, 32  # N C H W
_PASSES = {"compiled": "C++ passes", "torch": "plain torch operations", "triton": "Triton passes"}


class Choice(NamedTuple):
    """What residual blocks run on, and in a few words which that is and why."""

    backend: str
    line: str


def residual_choice(backend: str) -> Choice:
    """'auto' is 'compiled' where that can be had, agrees with plain torch and is not slower in a trial (some 0.1 s,
    once for a machine), else 'reference'. Raises KernelError where what is asked for cannot be had."""
    backend = canonical(backend)
    if backend not in ("auto", "compiled", "triton"):
        return Choice(backend, "plain torch operations")
    chosen = norm_passes(backend)
    if backend == "triton":
        return Choice(backend, "Triton passes")
    if backend == "compiled":
        return Choice(backend, "C++ passes")
    if isinstance(chosen.passes, TorchPasses):
        return Choice("reference", f"as fast plain without C++ passes ({chosen.why})")
    ratio = trial_ratio(torch.get_num_threads())
    if ratio > SLOWER:
        return Choice("reference", f"faster plain on this machine (a fused block took {ratio:.2f} of the time)")
    return Choice("compiled", f"C++ passes ({ratio:.2f} of the plain time in a trial)")


@cache
def trial_ratio(threads: int) -> float:
    """CPU seconds of a fused block's forward and backward over the plain one's; from the cache folder, or measured."""
    sources = [(HERE / name).read_text(encoding="utf-8") for name in SOURCES]
    about = (sources, torch.__version__, "CPU seconds", threads, SHAPE, ROUNDS, *cpu_features())
    name = f"trial-{hashlib.sha256(repr(about).encode()).hexdigest()[:20]}.json"
    with contextlib.suppress(OSError, RuntimeError, ValueError, KeyError, TypeError):
        return float(json.loads((cache_folder() / name).read_text(encoding="utf-8"))["ratio"])
    ratio = measured_ratio(norm_passes("compiled").passes)
    with contextlib.suppress(UserError, OSError, RuntimeError):  # no folder to write to: measured in each process
        write_whole(cache_folder() / name, json.dumps({"ratio": ratio, "threads": threads}).encode())
    return ratio


def measured_ratio(passes: NormPasses) -> float:
    """The least of a few rounds each, in turns."""
    quiet = torch.random.fork_rng(devices=[]), torch.autocast("cpu", enabled=False)
    with quiet[0], quiet[1], torch.inference_mode(False), torch.enable_grad():
        return _ratio(passes)


def _ratio(passes: NormPasses) -> float:
    spec = NetSpec(family="residual", depth=8, width=SHAPE[1])
    block = PostBasic(spec, SHAPE[1], SHAPE[1], 1, False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    form = form_of(block)
    assert form is not None
    moves = LeanMoves(form, passes)
    x = torch.randn(SHAPE).contiguous(memory_format=torch.channels_last).requires_grad_()
    grad = torch.randn(SHAPE).contiguous(memory_format=torch.channels_last)
    inputs = [x, *block.parameters()]

    def seconds(forward: Callable[[Tensor], Tensor]) -> float:
        begin = time.process_time()
        torch.autograd.grad(forward(x), inputs, grad)
        return time.process_time() - begin

    times = [(seconds(lambda x: residual_block(x, moves)), seconds(block)) for _ in range(1 + ROUNDS)][1:]
    return min(fused for fused, _ in times) / min(plain for _, plain in times)
