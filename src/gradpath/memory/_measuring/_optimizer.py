"""What an optimizer keeps: bytes of its state, counted by letting it make one step on tensors without memory."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gradpath.errors import UserError

Make = Callable[[list[nn.Parameter]], Optimizer]

NAMES: dict[str, tuple[type[Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "sgd-momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "nadam": (torch.optim.NAdam, {}),
    "radam": (torch.optim.RAdam, {}),
    "adamax": (torch.optim.Adamax, {}),
    "adagrad": (torch.optim.Adagrad, {}),
    "adadelta": (torch.optim.Adadelta, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
}
NAMES |= {"adafactor": (torch.optim.Adafactor, {})} if hasattr(torch.optim, "Adafactor") else {}  # from torch 2.5 on
"""What `optimizer=` may be, beside an instance: class and settings."""


def optimizer_name(optimizer: str | Optimizer) -> str:
    """How a plan calls it. Raises UserError for a name that is not known."""
    if isinstance(optimizer, Optimizer):
        return type(optimizer).__name__
    name = str(optimizer).strip().lower().replace("_", "-")
    if name not in NAMES:
        raise UserError(f"optimizer={optimizer!r} is not known: give {', '.join(NAMES)}, or a torch.optim.Optimizer")
    return name


def optimizer_bytes(optimizer: str | Optimizer, parameters: Iterable[nn.Parameter]) -> int:
    """Bytes of the optimizer's state once it has made a step: on the parameters' device, scalars included.

    Of an instance: the state that is there, and what its other parameters will get. Of a name: for all `parameters`
    that require a gradient. Raises UserError where it cannot be told.
    """
    if not isinstance(optimizer, Optimizer):
        kind, settings = NAMES[optimizer_name(optimizer)]
        return _state_to_be(lambda ps: kind(ps, **settings), [p for p in parameters if p.requires_grad])
    there = [tensor for state in optimizer.state.values() for tensor in state.values() if isinstance(tensor, Tensor)]
    total = sum(tensor.nbytes for tensor in there)
    for group in optimizer.param_groups:
        waiting = [p for p in group["params"] if p.requires_grad and not optimizer.state.get(p)]
        settings = {key: value for key, value in group.items() if key in optimizer.defaults}
        total += _state_to_be(_maker(type(optimizer), settings), waiting)
    return total


def _maker(kind: type[Optimizer], settings: dict[str, Any]) -> Make:
    known = kind.__init__.__code__.co_varnames  # defaults may hold what is no argument

    def make(parameters: list[nn.Parameter]) -> Optimizer:
        return kind(parameters, **{key: value for key, value in settings.items() if key in known})

    return make


def _state_to_be(make: Make, parameters: list[nn.Parameter]) -> int:
    """Each shape is tried once, on the meta device: no memory and no arithmetic."""
    shapes = Counter((tuple(p.shape), p.dtype) for p in parameters)
    return sum(_state_of_one(make, shape, dtype) * times for (shape, dtype), times in shapes.items())


def _state_of_one(make: Make, shape: tuple[int, ...], dtype: torch.dtype) -> int:
    for device in ("meta", "cpu"):  # an optimizer that reads its gradients cannot run without them
        one = nn.Parameter(torch.zeros(shape, dtype=dtype, device=device))
        one.grad = torch.zeros_like(one)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                optimizer = make([one])
                optimizer.step()
        except (RuntimeError, NotImplementedError, TypeError, AttributeError) as error:
            failure: Exception = error
            continue
        return sum(tensor.nbytes for tensor in optimizer.state[one].values() if isinstance(tensor, Tensor))
    raise UserError(
        f"the optimizer's state cannot be counted before its first step ({failure}): make one step, then plan"
    )
