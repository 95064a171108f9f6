"""What the tests of the fused norm passes share: cases, a float64 oracle, tensors with guarded edges."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradpath.errors import KernelError
from gradpath.kernels import FusedPasses

GUARD = 64  # numbers before and after a guarded tensor


def passes_or_skip() -> FusedPasses:
    """The passes; where this machine cannot have them the test is skipped, or fails under GRADPATH_REQUIRE_COMPILER."""
    try:
        return FusedPasses()
    except KernelError as error:
        skip_without_compiler(error)
        raise


def skip_without_compiler(error: KernelError) -> None:
    if not os.environ.get("GRADPATH_REQUIRE_COMPILER"):
        pytest.skip(str(error))


@dataclass(frozen=True)
class Case:
    """One call of the passes, drawn from a seed."""

    shape: tuple[int, int, int, int]
    dtype: torch.dtype
    relu: bool
    add: bool
    own: bool
    training: bool
    seed: int

    @staticmethod
    def drawn(seed: int) -> Case:
        rng = random.Random(seed)
        size = rng.choice([1, 2, 3, 4, 5, 7, 8, 14, 16, 28, 32, 56])
        channels = rng.choice(
            [1, 2, 3, 5, 7, 8, 12, 15, 16, 17, 24, 31, 32, 36, 40, 48, 64, 65, 100, 128, 255, 257, 513, 2048]
        )
        batch = rng.choice([1, 1, 2, 3, 4, 8, 16])
        while batch > 1 and batch * channels * size * size > 30_000:
            batch //= 2
        while size > 1 and batch * channels * size * size > 30_000:
            size //= 2
        if batch * size * size == 1:
            batch = 2  # a norm in training mode refuses one value in a channel
        width = max(1, size - rng.choice([0, 0, 1]))
        if batch * size * width == 1:
            width = 2
        return Case(
            (batch, channels, size, width),
            rng.choice([torch.float32, torch.bfloat16]),
            *(rng.random() < 0.5 for _ in range(3)),
            rng.random() < 0.8,
            seed,
        )


@dataclass
class Inputs:
    x: Tensor  # N C H W, channels-last
    grad: Tensor
    skip: Tensor
    norm: nn.BatchNorm2d


def inputs(case: Case) -> Inputs:
    """Channels with means up to 5 deviations from 0, some of them constant."""
    source = torch.Generator().manual_seed(case.seed)
    channels = case.shape[1]

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    spread, mean = draw(1, channels, 1, 1).exp(), 5 * draw(1, channels, 1, 1).clamp(-1, 1)
    spread[:, (torch.rand(channels, generator=source) < 0.05)] = 0
    norm = nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1 if case.seed % 3 else None).train(case.training)
    with torch.no_grad():
        norm.weight.copy_(draw(channels))
        norm.bias.copy_(draw(channels))
        norm.running_mean.copy_(draw(channels))
        norm.running_var.copy_(draw(channels).exp())
    made = (
        guarded(values, case.dtype)
        for values in (spread * (draw(*case.shape) + mean), draw(*case.shape), draw(*case.shape))
    )
    return Inputs(*made, norm)


def guarded(values: Tensor, dtype: torch.dtype) -> Tensor:
    """A channels-last copy with NaN before and after it in memory: what reads too far shows."""
    n, c, h, w = values.shape
    memory = torch.full((2 * GUARD + values.numel() + 1,), torch.nan, dtype=dtype)
    view = memory.as_strided((n, c, h, w), (h * w * c, 1, w * c, c), GUARD + 1)  # an odd offset: not aligned either
    view.copy_(values)
    assert view.is_contiguous(memory_format=torch.channels_last)
    return view


class Poison:
    """Stands for torch.empty_like: full of NaN, and what is written beside the tensor is found by `intact`."""

    def __init__(self) -> None:
        self.made: list[tuple[Tensor, int]] = []

    def __call__(self, like: Tensor) -> Tensor:
        memory = torch.full((2 * GUARD + like.numel(),), torch.nan, dtype=like.dtype)
        self.made.append((memory, like.numel()))
        return memory.as_strided(like.shape, like.stride(), GUARD)

    def intact(self) -> bool:
        return all(bool(memory[:GUARD].isnan().all() and memory[GUARD + n :].isnan().all()) for memory, n in self.made)


@dataclass
class Wanted:
    """What float64 gives, and per channel the size of the numbers that each is a sum of."""

    y: Tensor
    y_size: Tensor
    mean: Tensor
    var: Tensor
    grad_x: Tensor
    grad_x_size: Tensor
    grad_weight: Tensor
    grad_weight_size: Tensor
    grad_bias: Tensor
    grad_bias_size: Tensor


def wanted(case: Case, given: Inputs, mask: Tensor | None) -> Wanted:
    """By the definition, with gradients by autograd. mask: where the ReLU passes, N C H W; None without ReLU."""
    norm, over = given.norm, (0, 2, 3)
    x = given.x.double().clone(memory_format=torch.contiguous_format).requires_grad_()
    weight, bias = (v.detach().double().requires_grad_() for v in (norm.weight, norm.bias))
    if case.training:
        mean, var = x.mean(over), x.var(over, unbiased=False)
    else:
        mean, var = norm.running_mean.double(), norm.running_var.double()
    unit = (x - mean[:, None, None]) / (var[:, None, None] + norm.eps).sqrt()
    affine = unit * weight[:, None, None] + bias[:, None, None]
    y = affine + given.skip.double() if case.add else affine
    grad = given.grad.double()
    through = affine if mask is None else affine * mask
    gx, gw, gb = torch.autograd.grad(through, (x, weight, bias), grad)
    # Beside the numbers summed, 1 % of x: 1e-5 of that is what one unit in the last place of x moves.
    invstd, last_place = (var + norm.eps).rsqrt().detach(), 0.01 * x.detach().abs().amax(over)
    scale = weight.detach().abs() * invstd
    skipped = given.skip.double().abs().amax(over) if case.add else 0.0
    spread = (x - mean[:, None, None]).detach().abs().amax(over) + last_place
    weight_size = (grad.abs() * (unit.detach().abs() + (last_place * invstd)[:, None, None])).sum(over)
    return Wanted(
        (y.relu() if case.relu else y).detach(), scale * spread + bias.detach().abs() + skipped,
        mean.detach(), var.detach(),
        gx + given.skip.double() if case.add else gx,
        scale * grad.abs().amax(over) * (1 + last_place * invstd) + skipped,
        gw, weight_size, gb, grad.abs().sum(over),
    )  # fmt: skip


def run(passes: Any, case: Case, given: Inputs) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor], Tensor | None]:
    """(y, gradients, mask). Its ReLU mask is that of the pass without a skip, as in the backward."""
    with torch.no_grad():
        stats = passes.stats(given.x, given.norm)
        y = passes.act(given.x, given.norm, stats, relu=case.relu, add=given.skip if case.add else None)
        mask = passes.act(given.x, given.norm, stats) > 0 if case.relu else None
        grad = given.grad.clone() if case.own else given.grad
        gradients = passes.act_backward(
            grad, given.x, given.norm, stats, relu=case.relu, add=given.skip if case.add else None, own=case.own
        )
    return y, gradients, mask
