"""Each Triton kernel alone: its error against float64 and the bytes a second that it moves. For bench/gpu.py."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradpath.kernels._dense_passes import Affine
from gradpath.nets import TorchPasses

FLOAT32 = 1e-5  # of the largest number
LUCK = 1.5  # half precision: no farther from float64 than plain torch is, but for this factor


def seconds(job: Callable[[], Any], device: torch.device, repeats: int) -> list[float]:
    """Of each of `repeats` calls, after two that do not count. A GPU's by events; 256 MiB are written in between, so
    that nothing is found in its cache."""
    if device.type != "cuda":
        return [_host_seconds(job) for _ in range(repeats)]
    flush = torch.empty(1 << 28, dtype=torch.uint8, device=device)
    found = []
    for turn in range(repeats + 2):
        flush.zero_()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        job()
        end.record()
        end.synchronize()
        if turn >= 2:
            found.append(begin.elapsed_time(end) / 1e3)
    return found


def _host_seconds(job: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    job()
    return time.perf_counter() - begin


def copy_bandwidth(device: torch.device, megabytes: int) -> float:
    """Bytes a second of a copy on the device: read and written ones."""
    source = torch.randint(0, 255, (megabytes << 20,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / statistics.median(seconds(lambda: target.copy_(source), device, 15))


@dataclass
class Row:
    """One kernel, one shape: the fewest bytes that it must move, and how."""

    what: str
    bytes: int
    job: Callable[[], Any]


# ---- norms


def norm_input(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> tuple[nn.BatchNorm2d, list[Tensor]]:
    """A norm, and x, an incoming gradient and a skip of N C H W, channels-last."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(shape[1]).to(device)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    made = (torch.randn(shape, device=device) * 2 + 1 for _ in range(3))
    return norm, [one.to(dtype).contiguous(memory_format=torch.channels_last) for one in made]


@torch.no_grad()
def norm_errors(passes: Any, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> dict[str, float]:
    """Of y, of the gradients and of the running variance, relative to the largest number in float64."""
    norm, (x, grad, skip) = norm_input(shape, dtype, device)
    stats = passes.stats(x, norm)
    y, plain = passes.act(x, norm, stats, add=skip), passes.act(x, norm, stats)
    got = (y, *passes.act_backward(grad, x, norm, stats, add=skip), norm.running_var)
    with torch.enable_grad():
        wide, weight, bias = (t.detach().double().requires_grad_() for t in (x, norm.weight, norm.bias))
        var = torch.ones_like(weight, requires_grad=False)
        affine = F.batch_norm(wide, torch.zeros_like(var), var, weight, bias, True, 0.1, norm.eps)
        found = torch.autograd.grad(affine * (plain > 0), (wide, weight, bias), grad.double())
    right = ((affine + skip.double()).relu(), found[0] + skip.double(), *found[1:], var)
    names = ("y", "grad x", "grad weight", "grad bias", "running var")
    return {name: error(a, b) for name, a, b in zip(names, got, right, strict=True)}


def error(got: Tensor | None, right: Tensor) -> float:
    assert got is not None
    return float((got.double() - right).abs().max() / right.abs().max())


def norm_rows(passes: Any, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Iterator[Row]:
    norm, (x, grad, skip) = norm_input(shape, dtype, device)
    stats, size = passes.stats(x, norm), x.numel() * x.element_size()
    label = f"{'×'.join(map(str, shape))} {str(dtype).removeprefix('torch.')}"
    yield Row(f"norm statistics   {label}", size, lambda: passes.stats(x, norm))
    yield Row(f"norm, ReLU        {label}", 2 * size, lambda: passes.act(x, norm, stats))
    yield Row(f"norm, add, ReLU   {label}", 3 * size, lambda: passes.act(x, norm, stats, add=skip))
    backward = 6 * size  # grad and x twice, the skip's gradient, the result
    yield Row(f"norm backward     {label}", backward, lambda: passes.act_backward(grad, x, norm, stats, add=skip))


# ---- the dense layer's 1×1 convolution


class Product:
    """One 1×1 convolution of a dense layer. x and total are the first columns of wider matrices."""

    def __init__(self, size: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device) -> None:
        torch.manual_seed(0)
        rows, channels, width, outputs = size
        self.x, self.total = (torch.randn(rows, width, device=device).to(dtype)[:, :channels] for _ in range(2))
        self.weight = (torch.randn(outputs, channels, device=device) / channels**0.5).to(dtype)
        self.grad = torch.randn(rows, outputs, device=device).to(dtype)
        self.affine = Affine(*(torch.randn(channels, device=device) for _ in range(4)), True)
        self.vectors = tuple(0.1 * torch.randn(outputs, device=device) for _ in range(3))
        self.out = torch.empty_like(self.grad)

    def forward(self, passes: Any) -> Any:
        return passes.product(self.x, self.affine, self.weight, self.out, True)

    def backward(self, passes: Any, total: Tensor) -> Any:
        return passes.product_backward(self.grad, self.out, self.vectors, self.x, self.affine, self.weight, total, True)

    def errors(self, passes: Any) -> dict[str, float]:
        """Relative to the largest number in float64, of operands rounded as they are."""
        moments, total = self.forward(passes), self.total.clone()
        found = (self.out, *moments, total, *self.backward(passes, total))
        x, middle, scale, bias = (t.double() for t in (self.x, self.affine.center, self.affine.scale, self.affine.bias))
        active = ((x - middle) * scale + bias).relu().to(self.x.dtype).double()
        center, offset, slope = (t.double() for t in self.vectors)
        out = self.out.double()
        incoming = (self.grad.double() - offset - slope * (out - center)).to(self.x.dtype).double()
        g = (incoming @ self.weight.double()) * (active > 0)
        deviation = (out - out.mean(0)).square().sum(0)
        right = (
            active @ self.weight.double().t(), out.mean(0), deviation, self.total.double() + scale * g,
            g.sum(0), (g * (x - middle)).sum(0), incoming.t() @ active,
        )  # fmt: skip
        names = ("product", "mean", "squares", "total", "sum", "centered sum", "grad weight")
        return {name: error(a, b) for name, a, b in zip(names, found, right, strict=True)}

    def rows(self, passes: Any) -> Iterator[Row]:
        size, (rows, channels), outputs = self.x.element_size(), self.x.shape, len(self.weight)
        label = f"{rows}×{channels} → {outputs} {str(self.x.dtype).removeprefix('torch.')}"
        yield Row(f"dense 1×1 forward  {label}", size * rows * (channels + outputs), lambda: self.forward(passes))
        moved = size * rows * (3 * channels + 2 * outputs)
        yield Row(f"dense 1×1 backward {label}", moved, lambda: self.backward(passes, self.total))


def right(found: dict[str, float], reference: dict[str, float] | None, dtype: torch.dtype) -> bool:
    """Whether errors are those of the arithmetic. Half precision: see LUCK; without a reference by its last place."""
    if dtype is torch.float32:
        return all(e <= FLOAT32 for e in found.values())
    if reference is None:
        return all(e <= 4 * torch.finfo(dtype).eps for e in found.values())
    return all(found[name] <= LUCK * reference[name] + FLOAT32 for name in found)


def reference_errors(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> dict[str, float]:
    return norm_errors(TorchPasses(), shape, dtype, device)
