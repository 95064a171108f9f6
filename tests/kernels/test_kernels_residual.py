"""Fused residual and plain blocks against float64: outputs, gradients, buffers, over random blocks and inputs."""

from __future__ import annotations

import copy

import pytest
import torch
from blocks import NearestTie, differences, drawn, pair, results, worst
from fused import Poison, passes_or_skip
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from gradpath.errors import UserError
from gradpath.kernels import fuse, fused_modules
from gradpath.nets import build

TIE = 3e-6  # of the largest number: a ReLU's input nearer to 0 may get the other mask in float32


def fused(block: nn.Module, backend: str = "compiled") -> nn.Module:
    if backend == "compiled":
        passes_or_skip()
    return fuse(block, backend, say=lambda line: None)


def check(seed: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Float64 to 1e-10, float32 to 1e-5 of the plain block in float64, or to five times what plain float32 is off where
    sums cancel (two values in a channel), three times on batches near it; whether masks could be compared."""
    case = drawn(seed)
    plain, single, x, grad = pair(case, torch.float32)
    reference = copy.deepcopy(single)
    double, single = fused(copy.deepcopy(plain), "torch"), fused(single)
    assert len(fused_modules(double)) == len(fused_modules(single)) == 1
    with NearestTie() as tie:
        right = results(plain, case.x, case.grad)
    assert worst(results(double, case.x, case.grad), right) <= (1e-10, "~"), seed
    poison = Poison()
    with monkeypatch.context() as patched:
        patched.setattr("gradpath.kernels._norm_passes.torch.empty_like", poison)
        torch.set_num_threads(case.threads)
        try:
            found = results(single, x, grad)
        finally:
            torch.set_num_threads(1)
    assert poison.intact(), seed
    if tie.least > TIE:
        allowed = max(1e-5, 5 * worst(results(reference, x, grad), right)[0])
        over = {name: off for name, off in differences(found, right).items() if off > allowed}
        lost = plain_loses(seed) if over else {}
        assert all(off <= 3 * lost[name] for name, off in over.items()), (seed, over, lost)
    return tie.least > TIE


def plain_loses(seed: int) -> dict[str, float]:
    """The most that each result of the plain float32 block is off on 16 batches a few units in the last place from this
    one. On the batch itself it may be lucky: where values cancel, one rounding of a mean decides."""
    random, found = torch.Generator().manual_seed(seed), []
    for _ in range(16):
        case = drawn(seed)
        steps = torch.randint(-4, 5, case.x.shape, generator=random)
        case.x = (case.x.float() * (1 + steps * torch.finfo(torch.float32).eps)).double()
        plain, single, x, grad = pair(case, torch.float32)
        found.append(differences(results(single, x, grad), results(plain, case.x, case.grad)))
    return {name: max(off[name] for off in found) for name in found[0]}


def test_random_blocks_agree_with_float64(monkeypatch):
    compared = [check(seed, monkeypatch) for seed in range(60)]
    assert sum(compared) > 0.9 * len(compared)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(10))
def test_ten_thousand_random_blocks_agree_with_float64(chunk, monkeypatch):
    compared = [check(seed, monkeypatch) for seed in range(1000 + 1000 * chunk, 2000 + 1000 * chunk)]
    assert sum(compared) > 0.9 * len(compared)


@pytest.mark.parametrize("backend", ["torch", "compiled"])
def test_gradients_add_up_and_retained_graphs_give_them_again(backend):
    case = drawn(7)
    plain, other = case.block, fused(copy.deepcopy(case.block), backend)
    right, found = (results(block, case.x, case.grad, twice=True) for block in (plain, other))
    assert worst(found, right) <= (1e-10, "~")
    leaf = case.x.requires_grad_()
    loss = other(leaf).square().sum()
    first, second = (torch.autograd.grad(loss, leaf, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", ["resnet-8", "preresnet-11", "plain-8"])
def test_bfloat16_autocast_is_as_near_to_float64_as_the_plain_net_is(name):
    torch.manual_seed(0)
    exact = build(name, width=16, input_size=8)
    plain, other = copy.deepcopy(exact), fused(copy.deepcopy(exact))
    exact.double()
    x, grads = torch.randn(8, 3, 8, 8), []
    for net in (exact, plain, other):
        with torch.autocast("cpu", torch.bfloat16, enabled=net is not exact):
            net(x.double() if net is exact else x).double().square().mean().backward()
        grads.append(torch.cat([p.grad.double().flatten() for p in net.parameters()]))
        assert all(p.grad.dtype == p.dtype for p in net.parameters())
    assert (grads[2] - grads[0]).norm() <= 1.1 * (grads[1] - grads[0]).norm() < 0.5 * grads[0].norm()
    for name_, buffer in exact.named_buffers():
        assert torch.allclose(other.get_buffer(name_).double(), buffer.double(), rtol=0.02, atol=0.02)


def test_constant_channels_give_no_nan():
    for name in ("resnet-8", "preresnet-11"):
        net = fused(build(name, width=8, input_size=8))
        nn.init.zeros_(net.stem.conv.weight)
        net(torch.randn(2, 3, 8, 8)).square().sum().backward()
        assert all(p.grad.isfinite().all() for p in net.parameters())


def test_the_input_s_gradient_is_not_computed_for_nobody():
    case = drawn(3)
    plain, other = case.block, fused(copy.deepcopy(case.block), "torch")
    for block in (plain, other):
        block(case.x).backward(case.grad)
    for p, q in zip(plain.parameters(), other.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None)
        assert p.grad is None or torch.allclose(p.grad, q.grad, rtol=1e-10, atol=1e-12)


def test_a_second_derivative_is_refused():
    case = drawn(5)
    block, leaf = fused(case.block, "torch"), case.x.requires_grad_()
    with pytest.raises(UserError, match="a fused residual block has no second derivative: call forward and backward"):
        torch.autograd.grad(block(leaf).square().sum(), leaf, create_graph=True)
    with block.plain_view():
        (grad,) = torch.autograd.grad(block(leaf).square().sum(), leaf, create_graph=True)
    assert grad.requires_grad


@pytest.mark.parametrize("wrong", ["output", "parameter"])
def test_writing_to_what_is_kept_is_noticed(wrong):
    block = fused(build("resnet-8", width=4, input_size=8).stages[1][0], "torch")
    out = block(torch.randn(2, 4, 8, 8))
    with torch.no_grad():
        (out if wrong == "output" else block.conv1.weight).mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize(
    ("name", "keep", "most"),
    [("preresnet-bottleneck-20", "features", 0.6), ("resnet-14", "features", 0.8), ("resnet-14", "least", 0.6)],
)
def test_less_is_kept_and_gradients_are_the_same(name, keep, most):
    torch.manual_seed(0)
    net = build(name, width=8, input_size=8).double()
    kept, grads = [], []
    for model in (net, fuse(copy.deepcopy(net), "torch", keep=keep, say=lambda line: None)):
        found: dict[int, int] = {}

        def pack(t: torch.Tensor, found: dict[int, int] = found) -> torch.Tensor:
            found[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        known = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers())}
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            out = model(torch.linspace(-1, 1, 16 * 192).double().sin().reshape(16, 3, 8, 8))
        kept.append(sum(size for place, size in found.items() if place not in known))
        out.square().sum().backward()
        grads.append([p.grad for p in model.parameters()])
    assert kept[1] < most * kept[0]
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


class _StridedWeightGradients(TorchDispatchMode):
    """Counts the weight gradients of strided 1×1 convolutions with few channels that reach oneDNN channels-last."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution_backward.default:
            x, weight, stride, wanted = args[1], args[2], args[4], args[10]
            few = x.shape[1] < 8 and tuple(weight.shape[2:]) == (1, 1) and tuple(stride) != (1, 1)
            self.count += few and wanted[1] and x.stride(1) == 1
        return func(*args, **(kwargs or {}))


def test_what_corrupts_the_heap_in_torch_is_not_called():
    """oneDNN writes past its buffer there (AVX2): a fused block, which is channels-last, must not lead to it."""
    passes_or_skip()
    torch.manual_seed(0)
    block = build("preresnet-8", width=4, input_size=8).stages[1][0]
    x = torch.randn(2, 4, 8, 8)
    block(x).square().sum().backward()
    right = [p.grad.clone() for p in block.parameters()]
    block.zero_grad()
    with _StridedWeightGradients() as seen:
        fused(block)(x).square().sum().backward()
    assert seen.count == 0
    assert all(torch.allclose(p.grad, q, rtol=1e-3, atol=1e-4) for p, q in zip(block.parameters(), right, strict=True))
