"""Fused blocks in a training run: put in, and told in its record."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from gradpath.kernels import backend_of, fuse
from gradpath.record import Execution, Plan
from gradpath.training._distributed import Team

KEEP = "bottlenecks"
"""What a dense block keeps: more than it must, and is faster so (see `gp.fuse`)."""


def with_fused_blocks(
    net: nn.Module, execution: Execution, backend: str, device: torch.device, team: Team
) -> Execution:
    """Fuse the net's blocks in place; the execution with what they run on, and why: in each process the same.

    backend: as for `gp.fuse`. Raises KernelError for one that there is not.
    """
    net.to(device)  # 'auto' asks where it runs
    chosen = team.first(lambda: _chosen(net, execution, backend))
    if not team.leads:
        fuse_as(net, chosen)
    return chosen


def fuse_as(net: nn.Module, execution: Execution) -> None:
    """Fuse the net's blocks as an execution says. Raises KernelError where this machine cannot."""
    fuse(net, execution.backend, keep=KEEP, say=lambda line: None)


def of_plan(plan: Plan, execution: Execution) -> Execution:
    """The execution with what a plan's blocks run on."""
    return replace(execution, backend="reference" if plan.kernels == "torch" else "compiled")


def _chosen(net: nn.Module, execution: Execution, backend: str) -> Execution:
    lines: list[str] = []
    fuse(net, backend, keep=KEEP, say=lines.append)
    used, said = backend_of(net), lines[0].removeprefix("fuse: ")
    told = used != "reference" or "left alone" in said
    reason = f"{execution.reason}; {said}" if told and said not in execution.reason else execution.reason
    return replace(execution, backend=used, reason=reason)
