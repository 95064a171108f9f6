"""Training inside a memory: the plan for a step as the loop makes it, and the largest batch that fits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradpath.memory import apply_plan, largest_batch, plan
from gradpath.nets import Network
from gradpath.record import Execution, Plan, Recipe
from gradpath.training._batches import Batches
from gradpath.training._data import Images
from gradpath.training._machine import memory_format

OPTIMIZER = "sgd-momentum"
"""The loop's (see `Recipe`)."""


@dataclass(frozen=True)
class Budget:
    """What training may take on its device."""

    memory: str | int
    """As `gp.plan` takes it: bytes, '4GiB', '80%', 'auto'."""
    largest_batch: bool = False
    """The largest batch that fits, in place of the recipe's."""


def planned(
    net: Network, images: Images, recipe: Recipe, execution: Execution, budget: Budget
) -> tuple[Plan, Recipe, nn.Module]:
    """The plan, the recipe with the batch that it is for, and the module that trains by it.

    The net is moved to the images' device and into the layout that it will be trained in. Raises MemoryBudgetError.
    """
    device, layout = images.train_images.device, memory_format(execution.layout)
    net.to(device).to(memory_format=layout)  # type: ignore[call-overload]
    net.train()
    batches = Batches(images.info, device, layout, seed=0)
    autocast = execution.precision if execution.precision != "float32" else None
    if budget.largest_batch:
        size, found = largest_batch(
            net,
            _batch(images, batches, recipe.batch_size),
            budget.memory,
            criterion=F.cross_entropy,
            optimizer=OPTIMIZER,
            autocast=autocast,
        )
        recipe = replace(recipe, batch_size=min(size, images.info.train_images))
    else:
        batch = _batch(images, batches, recipe.batch_size)
        found = plan(net, batch, budget.memory, criterion=F.cross_entropy, optimizer=OPTIMIZER, autocast=autocast)
    return found, recipe, apply_plan(net, found) if found.segments else net


def _batch(images: Images, batches: Batches, size: int) -> tuple[Tensor, Tensor]:
    """The first images, as a step gets them: N C H W and N."""
    index = torch.arange(min(size, images.info.train_images), device=images.train_images.device)
    return batches.normalise(images.train_images[index]), images.train_labels[index]


def probe_images(found: Plan | None, recipe: Recipe, most: int) -> int:
    """How many images fit a trace, which keeps everything and its gradients: half of what the memory would hold."""
    if found is None or not found.segments:
        return most
    fitting = recipe.batch_size * found.memory_bytes / found.keep_all.total / 2
    return min(max(int(fitting), 2), most)
