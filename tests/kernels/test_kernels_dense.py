"""The dense block against plain layers in float64: values, every gradient, every buffer."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from gradpath.errors import KernelError
from gradpath.kernels._build import library
from gradpath.kernels._dense_choose import dense_passes
from gradpath.kernels._dense_compiled import SOURCE
from gradpath.kernels._dense_form import block_form
from gradpath.kernels._dense_function import KEEPS, dense_block
from gradpath.nets import DenseBottleneckLayer, DenseLayer
from gradpath.record import NetSpec

FLOAT32, FLOAT64 = 1e-5, 1e-10
GROWTHS = (1, 3, 5, 12, 24, 32, 40, 48)
CASES = 500


@dataclass
class Case:
    """A random block with its batch; every choice follows from the seed."""

    seed: int
    dtype: torch.dtype = torch.float64
    backend: str = "torch"

    def __post_init__(self) -> None:
        self.random = torch.Generator().manual_seed(self.seed)
        torch.manual_seed(self.seed)
        large = self.draw(0, 40) == 0
        self.bottleneck, self.keep = self.draw(0, 3) > 0, tuple(KEEPS)[self.draw(0, 2)]
        growth = GROWTHS[self.draw(0, 3 if large else len(GROWTHS))]
        given = self.draw(1, 8 if large else 30)
        height, width = (self.draw(20, 57), self.draw(20, 57)) if large else (self.draw(1, 9), self.draw(1, 9))
        images = self.draw(1, 4) if height * width > 1 else self.draw(2, 5)
        kind = DenseBottleneckLayer if self.bottleneck else DenseLayer
        spec = NetSpec(family="dense", depth=10, width=given, growth_rate=growth, bottleneck=self.bottleneck)
        self.layers = nn.Sequential(*(kind(spec, given + i * growth) for i in range(self.draw(1, 3 if large else 4))))
        for norm in self.norms():
            self.disturb(norm)
        for parameter in self.layers.parameters():
            parameter.requires_grad_(self.draw(0, 8) > 0)
        self.layers.to(self.dtype)
        self.x = self.strided(images, given, height, width)
        self.needs_x = self.draw(0, 4) > 0
        self.grad = self.strided(images, self.layers[-1].channels_out, height, width)

    def draw(self, low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=self.random))

    def norms(self) -> list[nn.BatchNorm2d]:
        return [module for module in self.layers.modules() if isinstance(module, nn.BatchNorm2d)]

    def disturb(self, norm: nn.BatchNorm2d) -> None:
        """Settings that foreign weights may have, each norm its own."""
        nn.init.uniform_(norm.weight, -1.5, 1.5)
        nn.init.normal_(norm.bias, 0, 0.4)
        nn.init.normal_(norm.running_mean, 0, 0.3)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        norm.num_batches_tracked += self.draw(0, 3)
        norm.eps = (1e-5, 1e-3, 0.1)[self.draw(0, 3)]
        norm.momentum = (0.1, 0.5, None)[self.draw(0, 3)]
        norm.train(self.draw(0, 6) > 0)

    def strided(self, images: int, channels: int, height: int, width: int) -> Tensor:
        """Values in one of several memory layouts, means far from 0."""
        mean = 3 * torch.randn(1, channels, 1, 1)
        values = (torch.randn(images, channels, height, width) + mean).to(self.dtype)
        layout = self.draw(0, 4)
        if layout == 0:
            return values
        if layout == 1:
            return values.contiguous(memory_format=torch.channels_last)
        if layout == 2:
            return values.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
        room = torch.full((images, 2 * channels, height + 1, width), 9.0, dtype=self.dtype)
        room[:, ::2, 1:] = values
        return room[:, ::2, 1:]

    def plain(self, dtype: torch.dtype) -> list[Tensor]:
        layers = copy.deepcopy(self.layers).to(dtype)
        return results(layers, self.x.to(dtype), self.grad.to(dtype), self.needs_x, layers)

    def fused(self) -> list[Tensor]:
        layers = copy.deepcopy(self.layers)
        passes = dense_passes(self.backend).passes
        return results(
            layers, self.x, self.grad, self.needs_x, lambda x: dense_block(x, block_form(layers), passes, self.keep)
        )

    def check(self) -> None:
        exact, mine = self.plain(torch.float64), self.fused()
        plain = self.plain(torch.float32) if self.dtype is torch.float32 else exact
        bound = FLOAT64 if self.dtype is torch.float64 else FLOAT32
        assert len(exact) == len(mine) == len(plain)
        buffers = len(list(self.layers.buffers()))
        sizes = [float(tensor.abs().max()) for tensor in exact]
        groups = sizes[:1], sizes[1:-buffers], sizes[-buffers:]  # output, gradients, buffers: each by its largest
        scales = [max(group) for group in groups for _ in group]
        for i, (wanted, got, usual, scale) in enumerate(zip(exact, mine, plain, scales, strict=True)):
            assert got.isfinite().all() and got.shape == wanted.shape
            # Where float32 itself loses more (a few pixels: what BatchNorm subtracts cancels), as little as it loses
            lost = distance(usual, wanted)
            if distance(got, wanted) > bound * scale + 3 * lost and self.dtype is torch.float32:
                lost = max(lost, self.plain_loses(i))
            allowed = bound * scale + 3 * lost
            assert distance(got, wanted) <= allowed, (self, i, distance(got, wanted), allowed)

    def plain_loses(self, index: int) -> float:
        """The most that a result of the plain float32 layers is off on 16 batches a few units in the last place from
        this one. On the batch itself they may be lucky: where values cancel, one rounding of a mean decides."""
        random, found = torch.Generator().manual_seed(self.seed), []
        for _ in range(16):
            steps = torch.randint(-4, 5, self.x.shape, generator=random)
            near = copy.copy(self)
            near.x = self.x * (1 + steps * torch.finfo(torch.float32).eps)
            found.append(distance(near.plain(torch.float32)[index], near.plain(torch.float64)[index]))
        return max(found)


def results(layers: nn.Module, x: Tensor, grad: Tensor, needs_x: bool, forward) -> list[Tensor]:
    """Output, gradients, buffers."""
    x = x.detach().requires_grad_(needs_x)
    before = x.detach().clone(), grad.clone()
    out = forward(x)
    if out.requires_grad:
        out.backward(grad)
    assert torch.equal(x.detach(), before[0]) and torch.equal(grad, before[1])
    gradients = [tensor.grad for tensor in (x, *layers.parameters()) if tensor.grad is not None]
    return [out.detach(), *gradients, *(buffer for buffer in layers.buffers())]


def distance(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).abs().max())


@contextmanager
def poisoned() -> Iterator[None]:
    """Fresh memory is full of NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    try:
        assert torch.empty(3).isnan().all()
        yield
    finally:
        torch.use_deterministic_algorithms(False)


KINDS = [(torch.float64, "torch"), (torch.float32, "torch"), (torch.float32, "compiled")]


@pytest.mark.parametrize(("dtype", "backend"), KINDS)
def test_random_blocks_agree_with_float64(dtype, backend):
    need(backend)
    with poisoned():
        for seed in range(CASES // 3):
            Case(seed, dtype, backend).check()


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "backend"), KINDS)
def test_many_random_blocks_agree_with_float64(dtype, backend):
    need(backend)
    for seed in range(CASES, CASES + 3333):
        Case(seed, dtype, backend).check()


@pytest.mark.parametrize("backend", ["torch", "compiled"])
def test_bfloat16_is_as_near_to_float64_as_plain_layers_are(backend):
    need(backend)
    mine, plain = (sum(errors) for errors in zip(*(bfloat16_errors(seed, backend) for seed in range(30)), strict=True))
    assert mine <= 1.05 * plain < 30


def bfloat16_errors(seed: int, backend: str) -> tuple[float, float]:
    """Relative errors of all results of one block under autocast: fused, plain."""
    case = Case(seed, torch.float32, backend)
    exact, x, grad = case.plain(torch.float64), case.x.bfloat16(), case.grad.bfloat16()
    passes, found = dense_passes(backend).passes, []
    for fused in (True, False):
        layers = copy.deepcopy(case.layers)
        with torch.autocast("cpu", torch.bfloat16):
            got = results(
                layers, x, grad, case.needs_x,
                (lambda x: dense_block(x, block_form(layers), passes, case.keep)) if fused else layers,  # noqa: B023
            )  # fmt: skip
        assert [t.dtype for t in got] == [t.dtype for t in (found[0] if found else got)]
        found.append(got)
    return tuple(
        sum(float((a.double() - b).norm()) for a, b in zip(got, exact, strict=True))
        / sum(float(b.double().norm()) for b in exact)
        for got in found
    )


def need(backend: str) -> None:
    """Skip, with the reason, where nothing can be compiled. Passes that are compiled and differ are an error."""
    try:
        library(SOURCE)
    except KernelError as error:
        if backend == "compiled":
            pytest.skip(str(error))
    dense_passes(backend)


def test_the_check_can_fail():
    case = Case(3)
    case.layers[0].norm1.eps += 1e-6
    wrong = case.fused()
    case.layers[0].norm1.eps -= 1e-6
    case.fused = lambda: wrong
    with pytest.raises(AssertionError):
        case.check()
