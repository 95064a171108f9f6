"""From a target to what can be traced: its weights, its batches, its loss, on one device."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradpath.cli._asked import Asked
from gradpath.cli._target import Target, load_target, users_code
from gradpath.errors import TraceError
from gradpath.nets import load_weights

_SPEC = re.compile(r"(?:(\w+)=)?(\d+(?:[x×]\d+)*)(?::(?:(int)<(\d+)|(float|bool)))?")


@dataclass(frozen=True)
class Input:
    """One random input: '8x3x224x224', '8x128:int<1000', 'input_ids=8x128:int<1000'."""

    shape: tuple[int, ...]
    kind: str = "float"
    high: int = 0
    """Of integers: drawn from 0 … high − 1."""
    name: str | None = None

    def draw(self, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        """Normal numbers of this dtype, integers below `high`, or booleans."""
        if self.kind == "float":
            return torch.randn(self.shape, generator=generator).to(dtype)
        drawn = torch.randint(self.high if self.kind == "int" else 2, self.shape, generator=generator)
        return drawn if self.kind == "int" else drawn.bool()


@dataclass
class Subject:
    """A model with everything that a question about it needs: `trace(model, batch, criterion, step=step)`."""

    model: nn.Module
    batches: list[Any]
    criterion: Callable[..., Any] | None
    step: Callable[..., Any] | None
    at: str | None = None
    name: str | None = None
    """What records call it; None: the model's class."""

    @property
    def batch(self) -> Any:
        return self.batches[0]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed: the loss that stood in for a missing one, known after the first pass."""
        said = self.step.said if isinstance(self.step, StandInLoss) else None
        return (said,) if said else ()


def subject_of(asked: Asked) -> Subject:
    """Load the target, its weights and its batches. Raises TraceError (or another UserError) for what does not fit."""
    inputs = parse_inputs(asked.inputs)
    torch.manual_seed(asked.seed)
    target = load_target(asked.target)
    if asked.checkpoint is not None:
        load_weights(target.model, asked.checkpoint)
    device = _device(asked.device, target)
    if device is not None:
        target.model.to(device)
    batches = [_on(device, batch) for batch in _batches(target, inputs, asked)]
    step = None if target.criterion is not None else StandInLoss(asked.seed)
    return Subject(target.model, batches, target.criterion, step, asked.at, target.name)


def parse_inputs(specs: Sequence[str]) -> tuple[Input, ...]:
    """What --input says. Raises TraceError naming what cannot be read."""
    inputs = tuple(_parse(spec) for spec in specs)
    if len({one.name is None for one in inputs}) > 1:
        raise TraceError("--input: give a name to all inputs (NAME=SHAPE) or to none")
    return inputs


def _parse(spec: str) -> Input:
    match = _SPEC.fullmatch(spec.strip())
    if match is None:
        raise TraceError(
            f"--input {spec!r} is no shape: give sizes joined by x, such as 8x3x224x224, and :int<1000 for tokens"
        )
    name, sizes, integer, high, kind = match.groups()
    shape = tuple(map(int, re.split("[x×]", sizes)))
    if 0 in shape:
        raise TraceError(f"--input {spec!r} holds no number: give sizes from 1 on")
    if integer and int(high) < 1:
        raise TraceError(f"--input {spec!r}: there is no integer from 0 on below {high}")
    return Input(shape, integer or kind or "float", int(high or 0), name)


def _device(name: str | None, target: Target) -> torch.device | None:
    """The device to go to; None to stay: a function's model is where its author put it."""
    if name is None and not target.shapes:
        return None
    from gradpath.training._machine import pick_device

    return pick_device(name)


def _batches(target: Target, inputs: tuple[Input, ...], asked: Asked) -> list[Any]:
    if target.batch is not None and inputs:
        raise TraceError(f"{asked.target} returns a batch of its own: leave out --input, or return the model alone")
    if target.batch is not None and asked.batch_size is not None:
        raise TraceError(
            f"{asked.target} returns a batch of its own: leave out --batch-size, or return the model alone"
        )
    if target.batch is not None:
        return _taken(target.batch, asked)
    drawn = inputs or tuple(Input(shape) for shape in target.shapes)
    if asked.batch_size is not None:
        drawn = tuple(replace(one, shape=(asked.batch_size, *one.shape[1:])) for one in drawn)
    if not drawn:
        raise TraceError(
            f"{asked.target} returns a model without a batch: give --input, such as --input 8x3x224x224, "
            "or return (model, batch)"
        )
    if target.criterion is not None:
        raise TraceError(f"{asked.target} returns a loss without a batch: return (model, (input, target), loss)")
    return list(_drawn(target.model, drawn, asked))


def _drawn(model: nn.Module, inputs: tuple[Input, ...], asked: Asked) -> Iterator[Any]:
    generator = torch.Generator().manual_seed(asked.seed)
    floating = (p for p in model.parameters() if p.is_floating_point())
    like = next(floating, torch.zeros(()))
    for _ in range(asked.batches):
        tensors = [one.draw(generator, like.dtype).to(like.device) for one in inputs]
        if inputs[0].name is not None:
            yield {one.name: tensor for one, tensor in zip(inputs, tensors, strict=True)}
        else:
            yield tensors[0] if len(tensors) == 1 else tuple(tensors)


def _taken(batch: Any, asked: Asked) -> list[Any]:
    """The first batches of a loader, or the one batch that there is."""
    if not _is_loader(batch):
        if asked.batches > 1:
            raise TraceError(f"--batches {asked.batches}: {asked.target} returns one batch; return a loader instead")
        return [batch]
    with users_code(f"the loader of {asked.target} raised"):
        found = list(itertools.islice(batch, asked.batches))
    if len(found) < asked.batches:
        raise TraceError(f"--batches {asked.batches}: the loader of {asked.target} has {len(found)}")
    return found


def _is_loader(batch: Any) -> bool:
    """Whether something holds batches rather than being one: any iterable but a tensor, a mapping and a tuple; a list
    where it holds tuples, lists or mappings."""
    if isinstance(batch, (Tensor, Mapping, tuple, str, bytes)) or not hasattr(batch, "__iter__"):
        return False
    return not isinstance(batch, list) or (bool(batch) and isinstance(batch[0], (tuple, list, Mapping)))


def _on(device: torch.device | None, value: Any) -> Any:
    """Tensors in lists, tuples and mappings, on a device."""
    if device is None:
        return value
    if isinstance(value, Mapping) and not hasattr(value, "to"):
        return {key: _on(device, item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        items = [_on(device, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value.to(device) if hasattr(value, "to") else value


class StandInLoss:
    """A step for models that come without a loss; the same random labels at every call. `said`: what it used.

    The model's own loss where its output is one, has `.loss` or a key "loss"; else the cross-entropy with the targets
    in the batch, or with random labels for an N×C output; else the output's mean square.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.said: str | None = None

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        inputs, target = _split(model, batch)
        output = _call(model, inputs)
        own = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
        if own is None and isinstance(output, Tensor) and output.numel() == 1 and target is None:
            own = output
        if isinstance(own, Tensor):
            return own
        tensor = _first_tensor(output)
        if tensor is None:
            raise TraceError(
                f"the model returns a {type(output).__name__} without a tensor or a loss: return (model, batch, loss)"
            )
        return self._against(tensor, target) if target is not None else self._alone(tensor)

    def _against(self, output: Tensor, target: Tensor) -> Tensor:
        """A loss for a pair (input, target) that came without one."""
        if target.is_floating_point() and target.shape == output.shape:
            self.said = "no loss was given: mean squared error with the batch's targets"
            return F.mse_loss(output, target)
        if target.is_floating_point() or output.dim() != target.dim() + 1:
            raise TraceError(
                f"no loss was given, and none fits an output of shape {tuple(output.shape)} and a target of shape "
                f"{tuple(target.shape)}: return (model, batch, loss)"
            )
        self.said = "no loss was given: cross-entropy with the batch's targets"
        return F.cross_entropy(output.float(), target.long())

    def _alone(self, output: Tensor) -> Tensor:
        if output.dim() == 2 and output.shape[1] > 1 and output.is_floating_point():
            generator = torch.Generator().manual_seed(self.seed)
            labels = torch.randint(output.shape[1], (output.shape[0],), generator=generator).to(output.device)
            self.said = f"no loss was given: cross-entropy with random labels in {output.shape[1]} classes"
            return F.cross_entropy(output.float(), labels)
        self.said = f"no loss was given: mean square of the output, of shape {tuple(output.shape)}"
        return output.abs().float().square().mean()


def _call(model: nn.Module, inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def _split(model: nn.Module, batch: Any) -> tuple[Any, Tensor | None]:
    """(input, target) of a pair whose second tensor the model does not take; else (batch, None)."""
    if not (isinstance(batch, (tuple, list)) and len(batch) == 2 and isinstance(batch[1], Tensor)):
        return batch, None
    most, least = _positional(model)
    labels = not batch[1].is_floating_point() and batch[1].dim() <= 1
    if least <= 1 and (most == 1 or labels):
        return batch[0], batch[1]
    return tuple(batch), None


def _positional(model: nn.Module) -> tuple[int, int]:
    """Most and fewest positional arguments that `forward` takes."""
    given = inspect.signature(model.forward).parameters.values()
    names = [p for p in given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    many = any(p.kind is p.VAR_POSITIONAL for p in given)
    return (99 if many else len(names)), sum(p.default is p.empty for p in names)


def _first_tensor(output: Any) -> Tensor | None:
    """The first tensor in an output, its parts in order."""
    waiting = [output]
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, Tensor):
            return value
        if isinstance(value, Mapping):
            waiting[:0] = list(value.values())
        elif isinstance(value, (tuple, list)):
            waiting[:0] = list(value)
        elif hasattr(value, "__dataclass_fields__"):
            waiting[:0] = [getattr(value, name) for name in value.__dataclass_fields__]
    return None
