"""Leave everything as it was found: buffers, random numbers, hooks, also when something raises."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor, nn


@contextmanager
def as_found(model: nn.Module) -> Iterator[None]:
    """Put buffers (BatchNorm's running statistics), modes and random generators (torch's, numpy's, Python's) back
    afterwards.

    Gradients need no care: they are taken with `torch.autograd.grad`, which touches no `.grad`.
    """
    kept = [(m, dict(m._buffers), set(m._non_persistent_buffers_set)) for m in model.modules()]
    values = {b: b.clone() for _, buffers, _ in kept for b in buffers.values() if b is not None}
    modes = {module: module.training for module in model.modules()}
    cuda = sorted({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=cuda), other_generators_kept():
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training
            for module, buffers, hidden in kept:
                module._buffers.clear()
                module._buffers.update(buffers)
                module._non_persistent_buffers_set = hidden
            for buffer, value in values.items():
                _restore(buffer, value)


@contextmanager
def other_generators_kept() -> Iterator[None]:
    """Put Python's and numpy's generators back: models draw from them (Wav2Vec2's masks for one)."""
    kept = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002


def _restore(buffer: Tensor, value: Tensor) -> None:
    """Write a changed buffer back, unnoticed by autograd: a backward pass of the user's may still wait for it."""
    if not torch.equal(buffer, value):
        with torch.no_grad(), torch.autograd._unsafe_preserve_version_counter(buffer):  # type: ignore[attr-defined]
            buffer.copy_(value)


@contextmanager
def plain_view(model: nn.Module) -> Iterator[list[str]]:
    """Enter the `plain_view()` of every module that has one, and run compiled modules eagerly. Yields what was done.

    A module that computes by other means than ordinary autograd operations may have a context manager
    `plain_view()` under which its forward uses ordinary ones, on the same parameters and buffers.
    """
    notes: list[str] = []
    with ExitStack() as stack:
        viewed = []
        for name, module in model.named_modules():
            view = getattr(module, "plain_view", None)
            if callable(view):
                stack.enter_context(view())
                viewed.append(name or type(module).__name__)
        if viewed:
            more = f" and {len(viewed) - 1} more: seen through their" if viewed[1:] else ": seen through its"
            notes.append(f"{viewed[0]}{more} plain_view()")
        if any(_is_compiled(module) for module in model.modules()):
            if hasattr(torch.compiler, "set_stance"):
                stack.enter_context(torch.compiler.set_stance("force_eager"))
                notes.append("compiled modules were run eagerly")
            else:
                notes.append("compiled modules are opaque with this version of torch")
        yield notes


def _is_compiled(module: nn.Module) -> bool:
    return type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None
