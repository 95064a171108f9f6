"""One training step: from (model, batch, criterion or step) to a loss and its backward."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from gradpath.errors import PlanError
from gradpath.memory._running._planned import plain_of

AUTOCAST = {"bfloat16": torch.bfloat16, "bf16": torch.bfloat16, "float16": torch.float16, "fp16": torch.float16}


@dataclass(frozen=True)
class Step:
    """What is run on a batch, with any model of the same kind: a plain one, a planned one.

    `step(model, batch)` if given; with a criterion, `criterion(model(input), target)` of a pair; with neither, the
    output if it is a scalar, its `.loss` or its key "loss", else the sum of what it holds in floating point: memory
    does not depend on what the loss is.
    """

    batch: Any
    criterion: Callable[..., Any] | None = None
    step: Callable[..., Any] | None = None
    autocast: str | None = None

    def loss(self, model: nn.Module) -> Tensor:
        """A scalar with a graph, under no_grad too. Raises PlanError where there is none."""
        with torch.enable_grad(), self._autocast(model):
            found = self._loss(model)
        if not isinstance(found, Tensor) or found.numel() != 1:
            raise PlanError(f"plan: the step gave a {type(found).__name__}, not one number: return a scalar loss")
        if not found.requires_grad:
            raise PlanError("plan: the loss depends on nothing that is trained: are all parameters frozen?")
        return found

    def run(self, model: nn.Module) -> None:
        """Forward and backward."""
        self.loss(model).backward()  # type: ignore[no-untyped-call]

    def forward(self, model: nn.Module) -> Any:
        """The model's output alone, or what `step` returns."""
        with self._autocast(model):
            return self._loss(model) if self.step is not None else call(model, self._inputs(model))

    def _autocast(self, model: nn.Module) -> AbstractContextManager[Any]:
        if self.autocast is None:
            return nullcontext()
        return autocast_of(self.autocast, device_of(model, self.batch))

    @property
    def inputs(self) -> Any:
        """What of the batch is worth a name: without the target of a criterion."""
        return self.batch[0] if self.criterion is not None and isinstance(self.batch, (tuple, list)) else self.batch

    def _loss(self, model: nn.Module) -> Any:
        if self.step is not None:
            found = self.step(model, self.batch)
            return sum(found.values()) if isinstance(found, Mapping) else found
        output = call(model, self._inputs(model))
        if self.criterion is not None:
            return self.criterion(output, self.batch[1])
        return _stand_in(output)

    def _inputs(self, model: nn.Module) -> Any:
        pair = isinstance(self.batch, (tuple, list)) and len(self.batch) == 2
        if self.criterion is not None:
            if not pair:
                raise PlanError("plan: with a criterion the batch must be a pair (input, target)")
            return self.batch[0]
        return self.batch[0] if pair and not _takes(model, len(self.batch)) else self.batch


def _takes(model: nn.Module, inputs: int) -> bool:
    try:
        inspect.signature(plain_of(model).forward).bind(*[None] * inputs)
    except (TypeError, ValueError):
        return False
    return True


def call(model: nn.Module, inputs: Any) -> Any:
    """A mapping is keyword arguments, a tuple or list positional ones."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)


def _stand_in(output: Any) -> Any:
    own = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    if isinstance(own, Tensor):
        return own
    if isinstance(output, Tensor) and output.numel() == 1:
        return output
    tensors = [leaf for leaf in tree_flatten(output)[0] if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    if not tensors:
        raise PlanError(f"plan: the model returns a {type(output).__name__} without numbers: give criterion= or step=")
    return sum(tensor.float().sum() for tensor in tensors)


# ------------------------------------------------------------ batches


def tensors_of(batch: Any) -> list[Tensor]:
    """All tensors of a batch, each storage once."""
    leaves = [leaf for leaf in tree_flatten(_plain(batch))[0] if isinstance(leaf, Tensor)]
    return list({leaf.untyped_storage().data_ptr() or id(leaf): leaf for leaf in leaves}.values())


def _plain(batch: Any) -> Any:
    return dict(batch) if isinstance(batch, Mapping) else batch  # a mapping torch does not know has no leaves


def batch_text(batch: Any) -> str:
    """Shapes of the inputs: '16×3×32×32'; of several, joined by ' + '."""
    return " + ".join("×".join(map(str, tensor.shape)) or "scalar" for tensor in tensors_of(batch))


def batch_size(batch: Any) -> int:
    """Samples in a batch: the first size of its first tensor. Raises PlanError where it has none."""
    for tensor in tensors_of(batch):
        if tensor.dim() and not tensor.shape[0]:
            raise PlanError(f"plan: the batch of {batch_text(batch)} holds no samples: give one or more")
        if tensor.dim():
            return int(tensor.shape[0])
    raise PlanError("plan: the batch holds no tensor with samples: give a tensor, a pair or a mapping of tensors")


def resized(batch: Any, size: int) -> Any:
    """The batch with another number of samples: the same ones, repeated in turn. All else is kept."""
    now = batch_size(batch)
    leaves, structure = tree_flatten(_plain(batch))
    picked = [_resized(leaf, now, size) for leaf in leaves]
    return tree_unflatten(picked, structure)


def _resized(leaf: Any, now: int, size: int) -> Any:
    if not isinstance(leaf, Tensor) or not leaf.dim() or leaf.shape[0] != now:
        return leaf
    index = torch.arange(size, device=leaf.device) % now
    taken = leaf.detach().index_select(0, index)
    if leaf.dim() == 4 and leaf.is_contiguous(memory_format=torch.channels_last):
        taken = taken.contiguous(memory_format=torch.channels_last)
    return taken.requires_grad_(leaf.requires_grad)


# ------------------------------------------------------------ where it runs


def device_of(model: nn.Module, batch: Any) -> torch.device:
    """The device of the parameters, or of the batch. Raises PlanError where there are several."""
    found: Sequence[Tensor] = [*model.parameters(), *model.buffers()] or tensors_of(batch)
    devices = list(dict.fromkeys(tensor.device for tensor in found))
    if len(devices) > 1:
        raise PlanError(f"plan: the model lies on {', '.join(map(str, devices))}: move it to one device")
    return devices[0] if devices else torch.device("cpu")


def autocast_of(name: str, device: torch.device) -> AbstractContextManager[Any]:
    """The autocast context of a name. Raises PlanError for a name that is not known."""
    return torch.autocast(device.type, AUTOCAST[autocast_name(name)])


def autocast_name(name: object) -> str:
    """'bfloat16' of 'bf16' and torch.bfloat16. Raises PlanError for what is not known."""
    found = AUTOCAST.get(str(name).removeprefix("torch."))
    if found is None:
        raise PlanError(f"plan: autocast={name!r} is not known: give bfloat16 or float16")
    return str(found).removeprefix("torch.")
