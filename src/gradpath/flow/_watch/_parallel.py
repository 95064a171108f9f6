"""Several processes: who writes, what the numbers of one rank mean, and sharded parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gradpath.flow._watch._buffer import Buffers

_RANK_LOCAL = (
    "rank-local: activations and their gradients are of rank 0's own batch; parameter gradients are taken before the "
    "all-reduce"
)
_SHARDED = (
    "FSDP2: parameter gradients are read from the sharded .grad when step() is called (after clipping) and reduced "
    "over all ranks; activations and their gradients are of rank 0's own batch; signals, trace-now and early samples "
    "after a spike are off, since all ranks must sample the same steps"
)
_UNSUPPORTED = "tensor, pipeline and expert parallel are not supported: numbers are of this rank's shard"


def rank_and_world() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def unwrapped(model: nn.Module) -> nn.Module:
    """The user's module inside torch.compile's and DistributedDataParallel's wrappers."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and type(model).__name__ in ("DistributedDataParallel", "DataParallel"):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def is_sharded(model: nn.Module) -> bool:
    """Whether FSDP2 (`fully_shard`) holds this model's parameters."""
    return any(kind.__name__ == "FSDPModule" for module in model.modules() for kind in type(module).__mro__)


def notes(model: nn.Module, world: int) -> tuple[str, ...]:
    """What the numbers mean here."""
    if is_sharded(model):
        return (_SHARDED,)
    if any(hasattr(parameter, "to_local") for parameter in model.parameters()):
        return (_UNSUPPORTED,)
    return (_RANK_LOCAL,) if world > 1 else ()


def put_sharded(buffers: Buffers, parameters: Sequence[nn.Parameter]) -> None:
    """Write the norms of sharded gradients, reduced over the ranks. Every rank must call it at the same step."""
    for index, parameter in enumerate(parameters):
        gradient: Any = parameter.grad
        if gradient is None:
            continue
        norm = torch.linalg.vector_norm(gradient.detach(), dtype=torch.float32)
        buffers.parameters[index].copy_(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)


def agree(period: int, device: torch.device) -> int:
    """The longest period that any rank asks for."""
    if dist.get_world_size() == 1:
        return period
    longest = torch.tensor(period, device=device)
    dist.all_reduce(longest, op=dist.ReduceOp.MAX)
    return int(longest)


def first_device(model: nn.Module) -> torch.device:
    parameter: Tensor | None = next(iter(model.parameters()), None)
    return torch.device("cpu") if parameter is None else parameter.device
