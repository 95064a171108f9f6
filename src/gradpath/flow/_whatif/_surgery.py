"""What a copy of the model is changed with, so that names and hooks keep their meaning: a module's call wrapped.

A wrapped module gets a class of its own, as torch's parametrizations do: what comes before and after its call lies
outside its hooks, so that the layers of both flows are the same tensors.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from gradpath.errors import TraceError
from gradpath.flow._asfound import as_found, other_generators_kept
from gradpath.flow._forward import Forward, Place, check_model, forward_pass
from gradpath.flow._tracing import Tracing
from gradpath.record import Flow


@dataclass(frozen=True)
class Question:
    """Everything of a what-if but the model: what is asked of it and of its changed copy alike."""

    batch: Any
    criterion: Callable[..., Any] | None
    step: Callable[..., Any] | None
    at: Place

    def forward(self, model: nn.Module) -> AbstractContextManager[Forward]:
        """One forward pass with its graph."""
        return forward_pass(model, self.batch, self.criterion, self.step, self.at)

    def flow(self, model: nn.Module) -> Flow:
        """The whole record of one pass."""
        with self.forward(model) as forward:
            return Tracing(forward).flow()


def copied(model: nn.Module) -> nn.Module:
    """A copy that shares nothing with the model. Raises TraceError where it cannot be copied."""
    check_model(model)
    try:
        with as_found(model):
            return copy.deepcopy(model)
    except Exception as error:  # a model may hold anything: locks, open files, tensors with a history
        raise TraceError(
            f"the model cannot be copied ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}): "
            "make the change yourself and compare two traces"
        ) from error


@contextmanager
def seeded(model: nn.Module, seed: int = 0) -> Iterator[None]:
    """Random numbers from a seed; the generators are put back at the end."""
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices), other_generators_kept():
        torch.manual_seed(seed)
        yield


def wrap(module: nn.Module, around: Callable[..., Any]) -> None:
    """Make a call of the module `around(call, *args, **kwargs)`, where `call` is what it was before."""
    plain = type(module)

    def __call__(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return around(partial(plain.__call__, self), *args, **kwargs)

    module.__class__ = type(plain.__name__, (plain,), {"__call__": __call__, "__module__": plain.__module__})


@dataclass
class Seen:
    """One call of a module: the first tensor that it got, and what it gave."""

    edge: GradientEdge | None
    """Where the input was made; None where it needs no gradient."""
    shape: tuple[int, ...]
    out_shape: tuple[int, ...] | None = None
    """None where the output is no tensor."""


@contextmanager
def surveyed(model: nn.Module, question: Question) -> Iterator[tuple[Forward, dict[str, list[Seen]]]]:
    """A forward pass with its graph, and all calls of modules whose first argument is a tensor, by name."""
    seen: dict[str, list[Seen]] = defaultdict(list)

    def enter(name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        x = args[0] if args and isinstance(args[0], Tensor) else None
        edge = get_gradient_edge(x) if x is not None and x.requires_grad else None
        seen[name].append(Seen(edge, () if x is None else tuple(x.shape)))

    def leave(name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            seen[name][-1].out_shape = tuple(output.shape)

    with ExitStack() as stack:
        for name, module in model.named_modules():
            stack.callback(module.register_forward_pre_hook(partial(enter, name)).remove)
            stack.callback(module.register_forward_hook(partial(leave, name)).remove)
        yield stack.enter_context(question.forward(model)), seen
