"""Leave a model as it was found: buffers, flags, gradients and random generators, also when something raises."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from gradpath.memory._state import Snapshot


@contextmanager
def left_as_found(modules: Sequence[nn.Module], device: torch.device) -> Iterator[None]:
    """Inside, the modules may run forward and backward; afterwards nothing of it is seen."""
    inside = list(dict.fromkeys(inner for module in modules for inner in module.modules()))
    gradients = [(p, p.grad) for module in inside for p in module._parameters.values() if p is not None]
    others = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = [] if device.type == "cpu" else [device]
    snapshot = Snapshot(inside)
    versions = [torch.autograd._unsafe_preserve_version_counter(b) for b in snapshot.buffers]  # type: ignore[attr-defined]
    with torch.random.fork_rng(devices, device_type=_with_generator(device)):
        try:
            yield
        finally:
            snapshot.put_back()
            for version in versions:  # nothing has happened, for a backward that may wait for these buffers
                version.__exit__(None, None, None)
            for parameter, gradient in gradients:
                parameter.grad = gradient
            random.setstate(others[0])
            np.random.set_state(others[1])  # noqa: NPY002


def _with_generator(device: torch.device) -> str:
    return "cuda" if device.type == "cpu" else device.type


@contextmanager
def gradients_allocated(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Inside, every trained parameter has a gradient of zeros: a step as memory knows it from the second on.

    Without it, gradients would be allocated during the backward, where the activations go: they would be hidden in
    the peak of the forward's end, until a step that accumulates shows them.
    """
    found: list[tuple[nn.Parameter, Tensor | None]] = [(p, p.grad) for p in parameters if p.requires_grad]
    try:
        for parameter, _ in found:
            parameter.grad = torch.zeros_like(parameter)
        yield
    finally:
        for parameter, gradient in found:
            parameter.grad = gradient
