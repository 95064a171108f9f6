"""What `paths` is asked, and what it cannot be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import nn

from gradpath.errors import TraceError
from gradpath.record import PathMethod


@dataclass(frozen=True)
class Question:
    """What was asked, as given."""

    unit: str | None
    method: str
    tolerance: float
    by_depth: bool
    block: tuple[type, ...]
    samples: int
    seed: int

    def check(self) -> None:
        """Raises TraceError for what does not exist or does not go together."""
        if self.unit not in (None, "branches", "layers"):
            raise TraceError(f"unit={self.unit!r} is no unit of length: give 'branches' or 'layers'")
        if self.method not in get_args(PathMethod):
            raise TraceError(f"method={self.method!r} is no method: give {', '.join(map(repr, get_args(PathMethod)))}")
        if not 0 <= self.tolerance < 1:
            raise TraceError(f"tolerance={self.tolerance} is no part of a gradient: give 0 (nothing left out) or 1e-4")
        if self.samples < 1:
            raise TraceError(f"samples={self.samples}: sample at least one path of each length")
        if self.block and self.unit == "layers":
            raise TraceError("block= says what a length counts, and so does unit='layers': give one of them")
        if self.method == "veit" and (self.block or self.unit == "layers"):
            raise TraceError("method='veit' counts the branches found: leave unit and block as they are")
        if self.by_depth and self.method != "exact":
            raise TraceError(f"by_depth=True needs method='exact', not {self.method!r}")
        if self.method == "exact" and torch.__version__ < "2.5":  # as versions; before, no pass could start inside
            raise TraceError(f"method='exact' needs torch 2.5 or newer, this is {torch.__version__}: use method='mean'")


def classes(block: Any) -> tuple[type, ...]:
    """The classes that `block=` names. Raises TraceError for what is none."""
    given = () if block is None else (block if isinstance(block, tuple) else (block,))
    for one in given:
        if not (isinstance(one, type) and issubclass(one, nn.Module)):
            raise TraceError(f"block={one!r} is no module class: give the class itself, or a tuple of classes")
    return given


def unwrapped(model: Any) -> tuple[Any, list[str]]:
    """The model inside a data-parallel wrapper, with a note that says so."""
    if isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
        note = f"{type(model).__name__} was unwrapped: this is the gradient of one process, before any reduction"
        return model.module, [note]
    return model, []


def refuse_shards(model: Any) -> None:
    """FSDP2 (`fully_shard`) makes parameters DTensors. Told by name: the class has moved between versions of torch."""
    if not isinstance(model, nn.Module):
        return
    for name, parameter in model.named_parameters():
        if any(cls.__name__ == "DTensor" for cls in type(parameter).__mro__):
            raise TraceError(
                f"{name} is sharded (a DTensor, as fully_shard of FSDP2 makes it): paths need the whole model on one "
                "device; ask before it is sharded, or ask gradpath.trace"
            )
