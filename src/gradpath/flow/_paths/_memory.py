"""What exact paths hold beside the graph of the forward pass, and whether there is room for it.

A sweep needs what the one before it held back and holds back what the next one needs: two gradients for each marked
tensor, however many lengths there are. So nothing has to be split into windows of lengths.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradpath import units
from gradpath.errors import TraceError
from gradpath.flow._graph import ACCUMULATE, Made

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def bytes_of(made: Made) -> int:
    """Bytes of the gradient at a tensor of the graph; 0 where this version of torch does not tell."""
    node, output = made
    if node.name() == ACCUMULATE:
        return int(node.variable.numel() * node.variable.element_size())
    metadata = getattr(node, "_input_metadata", None)
    return math.prod(metadata[output].shape) * metadata[output].dtype.itemsize if metadata else 0


def most_held_bytes(marked: Iterable[Made]) -> int:
    """The most that sweeps hold back at one time: two gradients for each marked tensor."""
    return 2 * sum(map(bytes_of, marked))


def free_bytes(device: torch.device) -> int | None:
    """Memory that can still be taken on a device; None where that is not known.

    On a CPU what Linux calls available, within the limit of the control group (a container's); on CUDA what the driver
    and torch's own cache have left.
    """
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    if device.type != "cpu":
        return None
    known = [value for value in (_available(), _left_in_group()) if value is not None]
    return min(known, default=None)


def _available() -> int | None:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _left_in_group() -> int | None:
    """Version 2 of control groups, as seen from inside a container; pages of files there can be taken back."""
    try:
        limit, used = (
            (_CGROUP / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current")
        )
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines())
    except OSError:
        return None
    return None if limit == "max" else max(int(limit) - int(used) + int(stat.get("inactive_file", 0)), 0)


def check_room(needed_bytes: int, device: torch.device, batch: Any) -> None:
    """Raises TraceError where the gradients held would not fit, with the largest batch that does."""
    free = free_bytes(device)
    if free is None or needed_bytes <= free:
        return
    raise TraceError(
        f"exact paths would hold {units.memory(needed_bytes)} of gradients beside the graph, and "
        f"{units.memory(free)} are free: {_smaller(batch, free / needed_bytes)}, or method='mean', which holds half"
    )


def _smaller(batch: Any, factor: float) -> str:
    """What is held grows with the batch, and so does the graph: what fits beside this graph fits beside a smaller."""
    size = _samples(batch)
    fits = math.floor(size * factor)
    return f"give a batch of {fits} (this one: {size})" if fits else "give a smaller input"


def _samples(batch: Any) -> int:
    """First dimension of the first tensor in a batch that has one; 0 where there is none."""
    stack = [batch]
    while stack:
        value = stack.pop()
        if isinstance(value, Tensor) and value.dim():
            return len(value)
        if isinstance(value, (tuple, list, Mapping)):
            stack.extend(reversed(list(value.values() if isinstance(value, Mapping) else value)))
    return 0
