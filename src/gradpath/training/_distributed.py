"""One run on several processes, as `torchrun` starts them: each takes its part of every batch, the first one writes.

    torchrun --nproc-per-node 2 -m gradpath train resnet-20

A `Team` is what a process knows of the others. `ALONE` is the team of a process by itself: it does nothing, so that
nobody has to ask whether there are others.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gradpath.errors import UserError

_PATIENCE = timedelta(hours=2)
"""How long a process waits for the others: rank 0 may test and draw alone. torchrun ends them all where one dies."""
T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """The processes of one run, seen from one of them."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def total(self, value: Tensor) -> Tensor:
        """The sum over processes, in a new tensor; the value itself in a process alone."""
        if self.size == 1:
            return value
        value = value.clone()
        dist.all_reduce(value)
        return value

    def any(self, here: bool, device: torch.device) -> bool:
        """Whether it is so in any process."""
        return here if self.size == 1 else bool(self.total(torch.tensor(int(here), device=device)))

    def each(self, value: T) -> list[T]:
        """What every process has, by rank, in all of them."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def first(self, make: Callable[[], T]) -> T:
        """What the first process makes, in all of them; also what it raises."""
        if self.size == 1:
            return make()
        made: list[Any] = [None, None]
        if self.leads:
            try:
                made[0] = make()
            except Exception as error:
                made[1] = error
        dist.broadcast_object_list(made, src=0)
        if made[1] is not None:
            raise made[1]
        return cast("T", made[0])

    def wrapped(self, net: nn.Module, device: torch.device) -> nn.Module:
        """The net as the loop calls it: its gradients are averaged over the processes during the backward pass."""
        if self.size == 1 or not any(parameter.requires_grad for parameter in net.parameters()):
            return net
        return nn.parallel.DistributedDataParallel(net, device_ids=[device.index] if device.type == "cuda" else None)


ALONE = Team()


def is_torchrun() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


@contextmanager
def team_of(device: str | None) -> Iterator[tuple[Team, str | None]]:
    """The team that this process is in, and its own device.

    A group of processes that is there already, made by the user or before, is the team. Else it is made from torchrun's
    variables (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR), and stays until the process ends: a second group at the same
    address may meet what is left of the first, and wait for ever. Without them, and without torch.distributed, the
    process is alone. Raises UserError for a device that processes cannot share.
    """
    if not dist.is_available() or not (dist.is_initialized() or is_torchrun()):
        yield ALONE, device
        return
    where = _own_device(device)
    if not dist.is_initialized():
        kind = torch.device(where).type
        dist.init_process_group("nccl" if kind == "cuda" else "gloo", timeout=_PATIENCE)
        atexit.register(_leave)
    yield Team(dist.get_rank(), dist.get_world_size()), where


def unsynchronised(net: nn.Module) -> AbstractContextManager[None]:
    """DistributedDataParallel exchanges gradients in a batch's last part only."""
    no_sync: Any = getattr(net, "no_sync", nullcontext)
    context: AbstractContextManager[None] = no_sync()
    return context


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _own_device(asked: str | None) -> str:
    """cuda:LOCAL_RANK, or the CPU."""
    local = int(os.environ.get("LOCAL_RANK", "0"))
    name = asked or ("cuda" if torch.cuda.device_count() > local else "cpu")
    if name == "cpu":
        return name
    if name not in ("cuda", f"cuda:{local}"):
        raise UserError(f"device {name}: under torchrun each process has its own: say cuda or cpu")
    if torch.cuda.device_count() <= local:
        raise UserError(f"device cuda: process {local} of this machine has no GPU: it has {torch.cuda.device_count()}")
    torch.cuda.set_device(local)
    return f"cuda:{local}"
