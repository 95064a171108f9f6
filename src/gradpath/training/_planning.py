"""Training inside a memory: the plan for a step as the loop makes it, and the largest batch that fits."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradpath import units
from gradpath.errors import MemoryBudgetError
from gradpath.memory import apply_plan, plan
from gradpath.record import Execution, Plan, Recipe, RunRecord
from gradpath.training._batches import Batches
from gradpath.training._data import Images
from gradpath.training._machine import memory_format

OPTIMIZER = "sgd-momentum"
"""The loop's (see `Recipe`)."""
_SLOWDOWN = 1.5
"""A plan that takes more times the time of keeping everything gives way to a batch in parts."""


@dataclass(frozen=True)
class Budget:
    """What training may take on its device."""

    memory: str | int
    """As `gp.plan` takes it: bytes, '4GiB', '80%', 'auto'."""
    largest_batch: bool = False
    """Compute the recipe's batch in as few parts as fit."""


def planned(
    net: nn.Module, images: Images, recipe: Recipe, execution: Execution, budget: Budget, backend: str = "auto"
) -> tuple[Plan, Recipe, nn.Module]:
    """The plan, the recipe with the parts in which it computes a batch, and the module that trains by the plan.

    With `largest_batch` the recipe's batch is computed in as few parts as fit: the update stays that of the whole.
    The net is moved to the images' device and into the layout that it will be trained in. Raises MemoryBudgetError.
    """
    device, layout = images.train_images.device, memory_format(execution.layout)
    net.to(device).to(memory_format=layout)  # type: ignore[call-overload]
    net.train()
    batches = Batches(images.info, device, layout, 0, recipe)
    whole = min(recipe.batch_size, images.info.train_images)
    ask = _Asking(net, images, batches, execution, for_the_step(budget.memory, images), backend)
    try:
        if not budget.largest_batch:
            found = ask.plan(-(-whole // recipe.accumulate))
        else:
            found, parts = ask.fewest_parts(whole)
            recipe = replace(recipe, accumulate=parts)
    except MemoryBudgetError as error:
        raise MemoryBudgetError("; ".join([str(error), *_advice(budget, ask, images)])) from error
    return found, recipe, apply_plan(net, found) if found.segments else net


def _advice(budget: Budget, ask: _Asking, images: Images) -> list[str]:
    found = []
    if not budget.largest_batch:
        found.append("or compute each batch in as few parts as fit: --batch-size auto (largest_batch=True)")
    if ask.memory != budget.memory:
        found.append(f"the images take {units.memory(images.bytes)} of the {budget.memory}, beside the step")
    return found


def by_plan(net: nn.Module, images: Images, record: RunRecord) -> nn.Module:
    """The module that trains by the plan of a record, which was found before; the net itself where it keeps all."""
    net.to(images.train_images.device).to(memory_format=memory_format(record.execution.layout))  # type: ignore[call-overload]
    net.train()
    return apply_plan(net, record.plan) if record.plan is not None and record.plan.segments else net


@dataclass(frozen=True)
class _Asking:
    """What plans are asked for with."""

    net: nn.Module
    images: Images
    batches: Batches
    execution: Execution
    memory: str | int
    backend: str

    def plan(self, size: int) -> Plan:
        return plan(self.net, self._batch(size), self.memory, **self._how())

    def fewest_parts(self, whole: int) -> tuple[Plan, int]:
        """A plan for one of the equal parts of a batch, and the least number of parts for which there is one."""
        low, high, found = 0, 1, self._quick_plan(whole)
        while found is None and high < whole:
            low, high = high, min(2 * high, whole)
            found = self._quick_plan(-(-whole // high))
        if found is None:
            return self.plan(1), whole  # slow, or the error that says what is needed
        while high - low > 1:
            parts = (low + high) // 2
            better = self._quick_plan(-(-whole // parts))
            low, high, found = (parts, high, found) if better is None else (low, parts, better)
        return found, high

    def _quick_plan(self, size: int) -> Plan | None:
        """None where nothing fits, or only what recomputes much."""
        with suppress(MemoryBudgetError):
            found = self.plan(size)
            return found if found.time_ratio <= _SLOWDOWN else None
        return None

    def _how(self) -> dict[str, Any]:
        autocast = self.execution.precision if self.execution.precision != "float32" else None
        return {"criterion": F.cross_entropy, "optimizer": OPTIMIZER, "autocast": autocast, "backend": self.backend}

    def _batch(self, size: int) -> tuple[Tensor, Tensor]:
        return _batch(self.images, self.batches, size)


def for_the_step(memory: str | int, images: Images) -> str | int:
    """What the images, which stay on the device, leave of the memory. Percentages are of the step, and 'auto' is what
    is free beside the images: both as they are. Raises MemoryBudgetError where the images alone take it all."""
    if isinstance(memory, str) and ("%" in memory or memory.strip().lower() == "auto"):
        return memory
    allowed = units.parse_memory(memory)
    left = allowed - images.bytes
    if left <= 0:
        raise MemoryBudgetError(
            f"memory={memory}: the {images.info.train_images:,} training images and the others take "
            f"{units.memory(images.bytes)} on the device: give more memory, or make them smaller"
        )
    return left


def _batch(images: Images, batches: Batches, size: int) -> tuple[Tensor, Tensor]:
    """The first images, as a step gets them: N C H W and N."""
    index = torch.arange(min(size, images.info.train_images), device=images.train_images.device)
    return batches.normalise(images.train_images[index]), images.train_labels[index]


def probe_images(found: Plan | None, recipe: Recipe, most: int) -> int:
    """How many images fit a trace, which keeps everything and its gradients: half of what the memory would hold."""
    if found is None or not found.segments:
        return most
    fitting = recipe.batch_size / recipe.accumulate * found.memory_bytes / found.keep_all.total / 2
    return min(max(int(fitting), 2), most)
