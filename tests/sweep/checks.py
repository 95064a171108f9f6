"""What must hold for a trace of any model, whatever it is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gradpath as gp
from gradpath.flow import paths

_SEED = 1
_GRAD = torch.autograd.grad
PASSES = 40
"""Path lengths are taken where they need no more backward passes than about half of this."""


def seed() -> None:
    """Wav2Vec2 draws its masks from numpy."""
    torch.manual_seed(_SEED)
    np.random.seed(_SEED)  # noqa: NPY002


def image_step(model: nn.Module, images: Tensor) -> Tensor:
    """A loss that every output takes part in."""
    return sum(t.float().square().mean() for t in leaves(model(images)) if t.requires_grad)


@torch.no_grad()
def awake(model: nn.Module) -> nn.Module:
    """Gives weights that start at zero (a head, the last norm of a branch) a value: else nothing flows there."""
    for name, parameter in model.named_parameters():
        if name.endswith(("weight", "gain")) and not parameter.any():
            torch.nn.init.normal_(parameter, 0.5 if parameter.dim() == 1 else 0.0, 0.02)
    return model


def leaves(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    else:
        for value in output.values() if isinstance(output, dict) else output:
            yield from leaves(value)


@contextmanager
def kept_gradients() -> Iterator[list[tuple[Tensor | None, ...]]]:
    """What `torch.autograd.grad` returned, call by call."""
    found: list[tuple[Tensor | None, ...]] = []

    def keep(*args: Any, **options: Any) -> Any:
        found.append(_GRAD(*args, **options))
        return found[-1]

    with patch("torch.autograd.grad", keep):
        yield found


def fingerprint(model: nn.Module) -> tuple[Any, ...]:
    hooks = [
        len(h)
        for m in model.modules()
        for h in (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks, m._backward_pre_hooks)
    ]
    return [m.training for m in model.modules()], hooks, torch.get_rng_state().tolist()


def check_trace(model: nn.Module, batch: Any, step: Callable[..., Tensor], forks: int | None) -> gp.record.Flow:
    """Trace the model and hold the record against autograd's own run; `forks`: the number of residual forks."""
    step(model, batch)  # some libraries set hooks of their own in the first forward pass
    state = {name: value.clone() for name, value in model.state_dict().items()}
    seed()
    before = fingerprint(model)
    with kept_gradients() as found:
        flow = gp.trace(model, batch, step=step)
    assert fingerprint(model) == before
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    _check_gradients(model, batch, step, found[0])
    _check_record(flow, forks)
    return flow


def _check_gradients(model: nn.Module, batch: Any, step: Callable[..., Tensor], traced: tuple[Any, ...]) -> None:
    seed()
    parameters = [p for p in model.parameters() if p.requires_grad]
    plain = _GRAD(step(model, batch), parameters, allow_unused=True)
    for ours, theirs in zip(traced[: len(parameters)], plain, strict=True):
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)


def _check_record(flow: gp.record.Flow, forks: int | None) -> None:
    assert flow.layers
    assert any(layer.log10_gradient_norm is not None for layer in flow.layers)
    for fork in flow.forks:
        if fork.norm and math.isfinite(fork.norm):
            assert sum(edge.share for edge in fork.edges) == pytest.approx(1, abs=1e-4), fork.name
    assert forks in (None, len(flow.residual_forks))
    assert (flow.effective_depth is not None) == bool(flow.residual_forks)
    assert flow.effective_depth is None or math.isfinite(flow.effective_depth)


def check_paths(model: nn.Module, batch: Any, step: Callable[..., Tensor], flow: gp.record.Flow) -> None:
    """The parts by path length sum to autograd's gradient, and their mean is the trace's effective depth."""
    if not 0 < len(flow.residual_forks) <= PASSES:
        return
    seed()
    lengths = paths(model, batch, step=step)
    assert lengths.relative_error <= 1e-4
    assert sum(lengths.shares) == pytest.approx(1, abs=1e-3)
    assert lengths.effective_depth == pytest.approx(flow.effective_depth, rel=1e-3, abs=1e-3)
