"""A dense layer's 1×1 convolution with its norms in C++: float64, thread counts, guarded memory, what torch keeps."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
import torch
from fused import Poison, skip_without_compiler
from torch import Tensor

from gradpath.errors import KernelError
from gradpath.kernels._dense_compiled import CompiledDensePasses
from gradpath.kernels._dense_passes import Affine, DenseProducts
from gradpath.kernels._products import Products

BOUND = 1e-5  # of the size of the numbers summed, per column
GUARD = 64


@pytest.fixture
def products() -> Products:
    try:
        return Products()
    except KernelError as error:
        skip_without_compiler(error)
        raise


def inside(values: Tensor, gap: int) -> Tensor:
    """A float32 copy as the first columns of wider rows, all other memory full of NaN."""
    rows, columns = values.shape
    memory = torch.full((2 * GUARD + rows * (columns + gap) + 1,), torch.nan)
    view = memory.as_strided((rows, columns), (columns + gap, 1), GUARD + 1)  # not aligned
    view.copy_(values)
    return view


@dataclass
class Given:
    x: Tensor  # M C, rows `gap` numbers apart, as all but grad and product
    total: Tensor
    affine: Affine
    weight: Tensor  # K C
    grad: Tensor  # M K
    product: Tensor
    vectors: tuple[Tensor, Tensor, Tensor]  # center, offset, slope: K each


def drawn(seed: int) -> Given:
    rng, source = random.Random(seed), torch.Generator().manual_seed(seed)
    rows = rng.choice([1, 2, 5, 6, 7, 23, 24, 25, 49, 95, 96, 97, 193, 392, 1000, 3000])
    channels = rng.choice([1, 3, 4, 7, 8, 9, 12, 15, 16, 17, 24, 31, 36, 48, 63, 64, 120, 128, 204, 256, 500])
    outputs = rng.choice([8, 12, 13, 16, 17, 24, 31, 32, 48, 50, 64, 96, 128, 160])
    while rows * channels * outputs > 3_000_000:
        rows = max(1, rows // 3)
    gap = rng.choice([0, 0, 1, 5, 64])

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    center, scale, bias = 3 * draw(channels), draw(channels), draw(channels)
    inverse = draw(channels).exp()
    weight = draw(outputs, channels).float()
    if seed % 3 == 0:
        weight = weight.t().contiguous().t()
    if seed % 3 == 1:
        weight = torch.stack([weight, torch.full_like(weight, torch.nan)], 2)[:, :, 0]
    vectors = draw(outputs).float(), draw(outputs).float(), 0.1 * draw(outputs).float()
    return Given(
        inside(draw(rows, channels) + center, gap), inside(draw(rows, channels), gap),
        Affine(*(v.float() for v in (center, scale, bias, inverse)), True), weight,
        inside(draw(rows, outputs), 0), inside(draw(rows, outputs) + 2, 0), vectors,
    )  # fmt: skip


def found(products: Products, given: Given) -> dict[str, Tensor]:
    out, total = inside(torch.full_like(given.grad, torch.nan), 0), inside(given.total, given.total.stride(0) % 7)
    moments = products.product(given.x, given.affine, given.weight, out, True)
    assert moments is not None
    sums = products.product_backward(
        given.grad, given.product, given.vectors, given.x, given.affine, given.weight, total, True
    )
    for tensor in (out, total):
        memory = tensor.as_strided((tensor.storage_offset(),), (1,), 0)
        assert memory.isnan().all(), "written before the matrix"
        end = tensor.storage_offset() + (tensor.shape[0] - 1) * tensor.stride(0) + tensor.shape[1]
        assert tensor.as_strided((GUARD,), (1,), end).isnan().all(), "written behind the matrix"
    names = ("out", "mean", "squares", "plain", "centered", "weight", "total")
    return dict(zip(names, (out, *moments, *sums, total), strict=True))


def by_float64(given: Given, out: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """What is right, with the size of the numbers each is a sum of. out: as found, whose moments are asked for."""
    x, weight, affine = given.x.double(), given.weight.double(), given.affine
    center, scale, bias = (v.double() for v in (affine.center, affine.scale, affine.bias))
    d = given.x.sub(affine.center)  # the mask is that of float32
    passes = torch.addcmul(affine.bias.double(), d.double(), scale) > 0
    z = (x - center) * scale + bias
    act, act_size = z.relu(), ((x.abs() + center.abs()) * scale.abs() + bias.abs()).amax(0)
    of_center, offset, slope = (v.double() for v in given.vectors)
    g = given.grad.double() - offset - slope * (given.product.double() - of_center)
    h = torch.where(passes, g @ weight, 0.0)
    g_size = (given.grad.double().abs() + offset.abs() + (slope * given.product.double()).abs()).amax(0)
    g_size += (slope * of_center).abs()
    h_size = g_size @ weight.abs()
    out64 = out.double()
    mean, rows = out64.mean(0), len(x)
    squares = (out64 - mean).square().sum(0)
    return {
        "out": (act @ weight.t(), (weight.abs() * act_size).sum(1)),
        "mean": (mean, out64.abs().amax(0)),
        "squares": (squares, squares + 1e-9 * rows * mean.square()),
        "plain": (h.sum(0), rows**0.5 * h_size),
        "centered": ((h * (x - center)).sum(0), rows**0.5 * h_size * (x - center).abs().amax(0)),
        "weight": (g.t() @ act, g_size[:, None] * act_size * rows**0.5),
        "total": (given.total.double() + scale * h, given.total.double().abs().amax(0) + scale.abs() * h_size),
    }


def right(products: Products, seed: int) -> None:
    given = drawn(seed)
    kept = [t.clone() for t in (given.x, given.grad, given.product)]
    assert products.takes(given.x, given.weight)
    results = found(products, given)
    for name, (wanted, size) in by_float64(given, results["out"]).items():
        error = ((results[name].double() - wanted).abs() / size.clamp_min(1e-30)).max()
        assert error <= BOUND, (seed, name, float(error), given.x.shape, given.weight.shape)
    for before, after in zip(kept, (given.x, given.grad, given.product), strict=True):
        assert torch.equal(before, after), (seed, "an input was written to")


def poisoned(monkeypatch: pytest.MonkeyPatch) -> Poison:
    """What the products allocate is full of NaN and guarded."""
    poison, empty = Poison(), torch.empty

    def new_empty(like: Tensor, *shape: int | torch.Size) -> Tensor:
        return poison(empty(*shape, dtype=like.dtype))

    monkeypatch.setattr(Tensor, "new_empty", new_empty)
    return poison


@pytest.mark.parametrize("first", range(0, 150, 50))
def test_random_sizes_agree_with_float64(products, monkeypatch, first):
    poison = poisoned(monkeypatch)
    for seed in range(first, first + 50):
        right(products, seed)
    assert len(poison.made) == 50 * 6
    assert poison.intact()


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 11_000, 1000))
def test_many_random_sizes_agree_with_float64(products, monkeypatch, first):
    for seed in range(first, first + 1000):
        poison = poisoned(monkeypatch)
        right(products, seed)
        assert poison.intact()
        monkeypatch.undo()


@pytest.mark.parametrize("seed", range(20))
def test_results_do_not_depend_on_the_number_of_threads(products, seed):
    given, before = drawn(seed), torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(found(products, given))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(other[name], one) for name, one in results[0].items())


def test_moments_far_from_zero_keep_their_digits(products):
    """A column of mean 1e4 and deviation 1: E[x²] − E[x]² would have none right in float32."""
    x, zeros = torch.randn(5000, 8), torch.zeros(8)
    x[:, 0] = 1e4 / 3 + torch.rand(5000)
    affine = Affine(zeros, torch.ones(8), zeros, torch.ones(8), True)
    out = torch.empty(5000, 8)
    mean, squares = products.product(x, affine, torch.eye(8), out, True)
    exact = out.double()
    torch.testing.assert_close(mean.double(), exact.mean(0), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(squares.double(), exact.var(0, unbiased=False) * 5000, rtol=1e-5, atol=0)


def test_a_gradient_of_the_weight_that_nobody_asked_for(products):
    given = drawn(4)
    totals = [given.total.clone() for _ in range(2)]
    with_weight, without = (
        products.product_backward(
            given.grad, given.product, given.vectors, given.x, given.affine, given.weight, total, wanted
        )
        for total, wanted in zip(totals, (True, False), strict=True)
    )
    assert with_weight[2] is not None and without[2] is None
    assert torch.equal(*totals)
    assert torch.equal(with_weight[0], without[0]) and torch.equal(with_weight[1], without[1])


def test_what_is_not_a_number_stays_in_its_row(products):
    given = drawn(26)
    given.x[1, 0] = torch.nan
    out = torch.empty_like(given.grad)
    products.product(given.x, given.affine, given.weight, out, False)
    bad = out.isnan().any(1)
    assert bad[1] and bad.sum() == 1


LEFT = {
    "float64": (torch.randn(9, 12).double(), torch.randn(24, 12).double()),
    "bfloat16": (torch.randn(9, 12).bfloat16(), torch.randn(24, 12).bfloat16()),
    "columns apart": (torch.randn(12, 9).t(), torch.randn(24, 12)),
    "no rows": (torch.randn(0, 12), torch.randn(24, 12)),
    "few outputs": (torch.randn(9, 12), torch.randn(4, 12)),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_does_not_fit_is_left_alone(products, name):
    assert not products.takes(*LEFT[name])


def test_the_compiled_passes_offer_them(products):
    passes = CompiledDensePasses()
    assert isinstance(passes, DenseProducts)
    assert passes.takes(torch.randn(9, 12), torch.randn(24, 12))


def test_without_them_the_tiles_remain(monkeypatch):
    monkeypatch.setattr("gradpath.kernels._dense_compiled.available", lambda kind: None)
    try:
        passes = CompiledDensePasses()
    except KernelError as error:
        skip_without_compiler(error)
        return
    assert not passes.takes(torch.randn(9, 12), torch.randn(24, 12))
