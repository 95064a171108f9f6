"""The Triton passes, in Triton's interpreter: against float64, for odd shapes and layouts, and how they are chosen."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import pytest
import torch
from fused import Case as NormCase
from fused import Poison, inputs, run
from test_kernels_dense import Case as DenseCase
from test_kernels_dense import poisoned
from test_kernels_norm import errors
from torch import Tensor

from gradpath.errors import KernelError
from gradpath.kernels import norm_passes
from gradpath.kernels._dense_choose import dense_passes
from gradpath.kernels._dense_passes import Affine
from gradpath.kernels._triton import _choose
from gradpath.nets import TorchPasses

pytest.importorskip("triton", reason="Triton is not installed")
if not _choose.interpreted():
    pytest.skip("no TRITON_INTERPRET=1; on a GPU, bench/gpu.py checks the kernels", allow_module_level=True)

from gradpath.kernels._triton._dense import TritonDensePasses
from gradpath.kernels._triton._norm import TritonPasses, TritonStats

BOUNDS = {torch.float32: 1e-5, torch.float16: 2.0**-9}  # relative to the largest number
HALF, SINGLE = torch.float16, torch.float32
NORMS = [
    NormCase((2, 20, 6, 7), SINGLE, relu=True, add=True, own=False, training=True, seed=1),
    NormCase((3, 5, 10, 10), SINGLE, relu=True, add=False, own=True, training=True, seed=2),  # 5 tiles, 3 programs
    NormCase((4, 130, 3, 2), SINGLE, relu=False, add=True, own=False, training=True, seed=3),  # 2 blocks of columns
    NormCase((1, 33, 9, 8), SINGLE, relu=True, add=True, own=True, training=False, seed=4),
    NormCase((3, 19, 5, 5), HALF, relu=True, add=True, own=False, training=True, seed=5),
    NormCase((5, 1, 9, 8), HALF, relu=True, add=False, own=True, training=True, seed=6),
    NormCase((2, 48, 4, 4), HALF, relu=False, add=False, own=False, training=False, seed=7),
]


@pytest.fixture
def passes() -> TritonPasses:
    return TritonPasses(("cpu",))


@pytest.fixture
def dense() -> TritonDensePasses:
    return TritonDensePasses(("cpu",))


def norm_is_right(passes: TritonPasses, case: NormCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 to 1e-5 of the size of what is summed; half precision no farther from float64 than the reference is, but
    for the luck of a few roundings. What is read or written beside a tensor shows."""
    given, poison = inputs(case), Poison()
    monkeypatch.setattr(passes, "_reference", None)  # nothing is left to plain torch
    with monkeypatch.context() as patched:
        patched.setattr("gradpath.kernels._triton._norm.torch.empty_like", poison)
        found = errors(passes, case, given)
    assert poison.intact()
    bounds = dict.fromkeys(found, BOUNDS[SINGLE])
    if case.dtype is not SINGLE:
        reference = errors(TorchPasses(), case, inputs(case))
        bounds = {name: 1.5 * reference[name] + BOUNDS[SINGLE] for name in found}
    assert all(found[name] <= bounds[name] for name in found), (case, found, bounds)


@pytest.mark.parametrize("case", NORMS, ids=str)
def test_norm_passes_agree_with_float64(passes, case, monkeypatch):
    norm_is_right(passes, case, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_more_norm_passes_agree_with_float64(passes, seed, monkeypatch):
    case = NormCase.drawn(seed)
    batch, channels, height, width = case.shape
    shape = (min(batch, 3), channels, min(height, 8), min(width, 8))
    if shape[0] * shape[2] * shape[3] > 1:
        dtype = (torch.float32, torch.float16)[seed % 2]  # the interpreter rounds bfloat16 toward zero
        norm_is_right(passes, replace(case, shape=shape, dtype=dtype), monkeypatch)


@dataclass
class Product:
    """A 1×1 convolution with its norms: x and total are columns of wider matrices."""

    rows: int
    channels: int
    width: int
    outputs: int
    dtype: torch.dtype

    def __post_init__(self) -> None:
        self.random = torch.Generator().manual_seed(self.rows)
        self.x, self.total = (self.draw(self.rows, self.width)[:, : self.channels] for _ in range(2))
        self.weight, self.grad = self.draw(self.outputs, self.channels), self.draw(self.rows, self.outputs)
        center, scale, bias = (self.draw(self.channels).float() for _ in range(3))
        self.affine = Affine(center, scale, bias, self.draw(self.channels).float().abs() + 0.5, True)
        self.vectors = tuple(self.draw(self.outputs).float() for _ in range(3))

    def draw(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.random).to(self.dtype)

    def run(self, passes: TritonDensePasses, needs_weight: bool = True) -> dict[str, Tensor | None]:
        out, total = torch.empty(self.rows, self.outputs, dtype=self.dtype), self.total.clone()
        wide = torch.full((self.rows, self.width), torch.nan, dtype=self.dtype)
        wide[:, : self.channels] = self.total
        assert passes.takes(self.x, self.weight)
        mean, squares = passes.product(self.x, self.affine, self.weight, out, True) or (None, None)
        again = torch.empty_like(out)
        assert passes.product(self.x, self.affine, self.weight, again, False) is None
        assert torch.equal(out, again)
        total = wide[:, : self.channels]
        plain, centered, weight = passes.product_backward(
            self.grad, out, self.vectors, self.x, self.affine, self.weight, total, needs_weight
        )
        assert wide[:, self.channels :].isnan().all()
        names = ("out", "mean", "squares", "total", "plain", "centered", "weight")
        return dict(zip(names, (out, mean, squares, total, plain, centered, weight), strict=True))

    def wanted(self, out: Tensor) -> dict[str, Tensor]:
        """In float64. What the backward reads is the product as it was stored, and so are the mask and the moments."""
        x, total, weight, grad = (t.double() for t in (self.x, self.total, self.weight, self.grad))
        middle, scale, bias = (t.double() for t in (self.affine.center, self.affine.scale, self.affine.bias))
        center, offset, slope = (t.double() for t in self.vectors)
        active = ((x - middle) * scale + bias).relu().to(self.dtype).double()
        incoming = (grad - offset - slope * (out.double() - center)).to(self.dtype).double()
        g = (incoming @ weight) * (active > 0)
        return {
            "out": active @ weight.t(),
            "mean": out.double().mean(0),
            "squares": (out.double() - out.double().mean(0)).square().sum(0),
            "total": total + scale * g,
            "plain": g.sum(0),
            "centered": (g * (x - middle)).sum(0),
            "weight": incoming.t() @ active,
        }


def product_is_right(case: Product, passes: TritonDensePasses) -> None:
    with poisoned():
        found = case.run(passes)
    assert isinstance(found["out"], Tensor)
    wanted = case.wanted(found["out"])
    for name, right in wanted.items():
        got = found[name]
        assert got is not None and got.isfinite().all(), name
        assert float((got.double() - right).abs().max() / right.abs().max()) <= BOUNDS[case.dtype], (case, name)


PRODUCTS = [
    Product(70, 20, 24, 12, SINGLE),
    Product(110, 37, 41, 5, SINGLE),  # 4 blocks of rows for 2 programs, odd sizes
    Product(17, 16, 16, 48, SINGLE),
    Product(40, 3, 5, 17, HALF),
    Product(70, 36, 48, 24, HALF),
]


@pytest.mark.parametrize("case", PRODUCTS, ids=str)
def test_products_and_their_gradients_agree_with_float64(dense, case):
    product_is_right(case, dense)


@pytest.mark.slow
@pytest.mark.parametrize("case", [Product(65, 96, 128, 130, HALF), Product(50, 30, 60, 192, HALF)], ids=str)
def test_wide_products_agree_with_float64(dense, case):
    product_is_right(case, dense)


def test_a_frozen_weight_costs_no_gradient_and_changes_nothing_else(dense):
    case = PRODUCTS[3]
    full, frozen = case.run(dense), case.run(dense, needs_weight=False)
    assert frozen.pop("weight") is None
    for name, tensor in frozen.items():
        assert torch.equal(tensor, full[name]), name


def test_results_are_the_same_bits_at_every_run(passes, dense):
    first, second = (PRODUCTS[3].run(dense) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    a, b = (run(passes, NORMS[4], inputs(NORMS[4])) for _ in range(2))
    assert torch.equal(a[0], b[0]) and all(torch.equal(*pair) for pair in zip(a[1], b[1], strict=True))


def test_a_dense_block_agrees_with_plain_layers_in_float64():
    DenseCase(4, torch.float32, "triton").check()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2, 3, 5, 6, 7, 9])
def test_more_dense_blocks_agree_with_plain_layers_in_float64(seed):
    DenseCase(seed, torch.float32, "triton").check()


def test_statistics_do_not_cancel_where_the_mean_is_large(passes, dense):
    x = 1000 + torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    mean, squares = dense.moments(x, torch.float32)
    right = x.double().var(0, unbiased=False)
    assert float((mean.double() - x.double().mean(0)).abs().max()) < 1e-3
    assert float((squares.double() / 300 / right - 1).abs().max()) < 1e-4


def test_nan_is_not_hidden_by_the_relu(passes):
    given = inputs(NORMS[0])
    given.x[0, 3, 0, 0] = torch.nan
    y, (grad_x, grad_weight, _), _ = run(passes, NORMS[0], given)
    assert y[:, 3].isnan().all() and grad_x[:, 3].isnan().all() and grad_weight[3].isnan()
    assert y[:, :3].isfinite().all() and grad_x[:, 4:].isfinite().all()


def test_what_the_kernels_do_not_take_goes_to_plain_torch(passes, dense):
    given = inputs(NORMS[0])
    for x in (given.x.double(), given.x.contiguous(), given.x[:0]):
        norm = inputs(NORMS[0]).norm.to(x.dtype).eval()
        assert not isinstance(passes.stats(x, norm), TritonStats)
    narrow, wide = torch.ones(64, 20), torch.ones(65, 20)
    assert dense.takes(narrow, narrow) and dense.takes(narrow, wide.half())
    assert not dense.takes(narrow, wide) and not dense.takes(narrow.double(), narrow.double())
    assert not dense.takes(narrow, torch.ones(20, 64).t()) and not dense.takes(narrow.t(), narrow)
    assert not TritonDensePasses(("cuda",)).takes(narrow, narrow)


def test_triton_has_to_be_asked_for():
    assert norm_passes("auto").passes.name != "Triton" and dense_passes("auto").passes.name != "Triton"
    assert isinstance(norm_passes("triton").passes, TritonPasses)


def test_passes_that_disagree_or_fail_are_refused_in_one_line(passes, monkeypatch):
    def off(*arguments: object, **settings: object) -> Tensor:
        return TorchPasses().act(*arguments, **settings) + 1e-4

    monkeypatch.setattr(passes, "stats", TorchPasses().stats)
    monkeypatch.setattr(passes, "act_backward", TorchPasses().act_backward)
    monkeypatch.setattr(passes, "act", off)
    for error in ("differs from plain torch by", "ZeroDivisionError"):
        with pytest.raises(KernelError, match=error) as raised:
            _choose._check(torch.device("cpu"), _choose._norm_results, passes, TorchPasses())
        assert "\n" not in str(raised.value)
        monkeypatch.setattr(passes, "act", lambda *a, **k: 1 / 0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_triton_is_refused_in_one_line(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with pytest.raises(KernelError, match=r"^Triton kernels: no CUDA device") as raised:
        _choose._device()
    assert "\n" not in str(raised.value)
    assert os.environ["TRITON_INTERPRET"] == "0"
