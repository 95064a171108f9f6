"""What an optimizer takes: bytes of its state, counted by letting it make one step on tensors without memory; and what
its step needs while it runs, measured on a few small parameters."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gradpath.errors import UserError
from gradpath.memory._measuring._peak import growth

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


@dataclass(frozen=True)
class Update:
    """What an optimizer's step needs while it runs, when activations are gone: in a net of many parameters and a small
    batch it may be the peak of the whole training step."""

    times: float
    """So many times the bytes of what it works on at once."""
    all_at_once: bool
    """Whether that is all parameters (torch's foreach, the default on CUDA) or one after the other, the largest too."""
    largest_bytes: int
    """Of a trained parameter."""
    beside_bytes: int = 0
    """Numbers of its own, whatever the parameters."""

    def bytes_of(self, trained_bytes: int) -> int:
        """Of a net with so many bytes of trained parameters."""
        return round(self.times * (trained_bytes if self.all_at_once else self.largest_bytes)) + self.beside_bytes


SIDE, FEW = 64, 4
"""Parameters of 64×64 numbers, 4 of them, stand for all."""


def optimizer_update(optimizer: str | Optimizer, parameters: Iterable[nn.Parameter], device: torch.device) -> Update:
    """Measured on `device`, whose defaults decide how the step runs. Of a name: with weight decay, where it has it."""
    trained = [p for p in parameters if p.requires_grad]
    dtype = trained[0].dtype if trained else torch.get_default_dtype()
    largest = max((p.nbytes for p in trained), default=0)
    found = [_update_of(make, dtype, device, largest) for make in _makers(optimizer)]
    return max(found, key=lambda one: one.bytes_of(sum(p.nbytes for p in trained)))


def _makers(optimizer: str | Optimizer) -> Iterator[Make]:
    """One for each group of parameters."""
    if isinstance(optimizer, Optimizer):
        for group in optimizer.param_groups:
            yield _maker(type(optimizer), {key: value for key, value in group.items() if key in optimizer.defaults})
    else:
        kind, settings = NAMES[optimizer_name(optimizer)]
        yield _maker(kind, settings | {"weight_decay": 1e-4})


def _update_of(make: Make, dtype: torch.dtype, device: torch.device, largest_bytes: int) -> Update:
    """From the growth of a step on two and on four parameters; as large as all of them where such an optimizer cannot
    be tried."""
    try:
        (two, _), (four, beside) = (_growth(make, count, dtype, device) for count in (FEW // 2, FEW))
    except (RuntimeError, NotImplementedError, TypeError, AttributeError, ValueError):
        return Update(1.0, True, largest_bytes)
    all_at_once = four > 1.5 * two
    return Update(four / FEW if all_at_once else four, all_at_once, largest_bytes, beside)


def _growth(make: Make, count: int, dtype: torch.dtype, device: torch.device) -> tuple[int, int]:
    """Of the second step, when the state is there: in parameters, and the bytes beside."""
    some = [nn.Parameter(torch.zeros(SIDE, SIDE, dtype=dtype, device=device)) for _ in range(count)]
    for one in some:
        one.grad = torch.zeros_like(one)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = make(some)
        optimizer.step()
        span = growth(optimizer.step, device)[1]
    return divmod(span.peak_bytes, some[0].nbytes)


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
