"""Norms against float64, where float32 would lose everything or overflow, in every layout."""

from __future__ import annotations

import math

import pytest
import torch

from gradpath.flow._norms import dense, log10, norm, norms, rms, share, sum_and_shares
from gradpath.flow._rows import Rows

LARGE, SMALL = (8, 16, 17, 31), (3, 5)


@pytest.mark.parametrize("shape", [LARGE, SMALL, (4096,), (16384,), (16385,), (20480,), ()])
@pytest.mark.parametrize("scale", [1.0, 1e-24, 1e-40, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_norms_and_products_at_any_scale(shape, scale, dtype):
    torch.manual_seed(0)
    a, b = ((torch.randn(shape, dtype=torch.float64) * scale).to(dtype) for _ in range(2))
    exact = float((a.double() / scale).norm()) * scale
    assert norm(a) == pytest.approx(exact, rel=1e-6)
    assert rms(a) == pytest.approx(exact / math.sqrt(a.numel()), rel=1e-6)
    wide = b.double() / scale
    expected = float(((a.double() / scale) * wide).sum() / (wide * wide).sum())
    if norm(b):
        assert share(a, b, norm(b)) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert norms([a, b]) == pytest.approx([exact, norm(b)], rel=1e-6)


def test_a_float64_whose_square_underflows():
    tiny = torch.full((5,), 1e-200, dtype=torch.float64)
    assert share(3 * tiny, tiny, norm(tiny)) == pytest.approx(3, rel=1e-12)
    assert norm(tiny) == pytest.approx(math.sqrt(5) * 1e-200, rel=1e-12)
    huge = torch.full((5,), 1e200, dtype=torch.float64)
    assert norm(huge) == pytest.approx(math.sqrt(5) * 1e200, rel=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_layouts_may_differ_between_the_factors(layout):
    torch.manual_seed(0)
    a = torch.randn(LARGE).contiguous(memory_format=layout)
    b = torch.randn(LARGE)
    exact = float((a.double() * b.double()).sum() / (b.double() * b.double()).sum())
    if norm(b):
        assert share(a, b, norm(b)) == pytest.approx(exact, rel=1e-5)
    assert share(a.transpose(2, 3), b.transpose(2, 3), norm(b)) == pytest.approx(exact, rel=1e-5)
    assert norm(a[:, ::2]) == pytest.approx(float(a[:, ::2].double().norm()), rel=1e-6)
    expanded = torch.randn(1, 5).expand(7, 5)
    assert norm(expanded) == pytest.approx(float(expanded.double().norm()), rel=1e-6)


def test_conjugate_and_sparse_tensors_are_read():
    values = torch.randn(4, dtype=torch.complex64)
    assert norm(values.conj()) == pytest.approx(float(values.abs().square().sum().sqrt()), rel=1e-6)
    assert norm(torch.eye(3).to_sparse()) == pytest.approx(3**0.5, rel=1e-6)


def test_what_is_zero_or_not_finite_says_so():
    for count in (3, 10_000):
        values = torch.zeros(count)
        assert norm(values) == 0.0
        assert log10(norm(values)) == -math.inf
        values[1] = math.inf
        assert norm(values) == math.inf
        values[1] = math.nan
        assert math.isnan(norm(values))
        assert math.isnan(log10(norm(values)))
    assert norm(torch.zeros(0)) == 0.0
    assert rms(torch.zeros(0)) == 0.0
    assert math.isnan(log10(math.inf))


@pytest.mark.parametrize("shape", [(3, 5), (2, 8, 40, 40), (7, 4097)])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize("layout", ["contiguous", "slices", "channels last"])
def test_many_edges_at_once_are_what_they_are_singly(shape, scale, layout):
    torch.manual_seed(0)
    parts = [torch.randn(shape) * scale * k for k in (1.0, 2.0, -0.5)]
    if layout == "slices":
        parts = [torch.cat([p, p], 1)[:, : shape[1]] for p in parts]
    elif layout == "channels last" and len(shape) == 4:
        parts = [p.contiguous(memory_format=torch.channels_last) for p in parts]
    rows = Rows(len(parts), parts[0])
    copies = [rows.copy(i, part) for i, part in enumerate(parts)]
    assert all(torch.equal(copy, part) for copy, part in zip(copies, parts, strict=True))
    found = sum_and_shares(rows.matrix([0, 1, 2]))
    whole = sum(part.double() for part in parts)
    if scale != 1.0:
        assert found is None  # taken singly, scaled or in float64
        return
    sizes, size, shares = found
    assert sizes == pytest.approx([float(p.double().norm()) for p in parts], rel=1e-6)
    assert size == pytest.approx(float(whole.norm()), rel=1e-6)
    expected = [float((p.double() * whole).sum() / whole.square().sum()) for p in parts]
    assert shares == pytest.approx(expected, abs=2e-6)


def test_dense_copies_only_what_has_gaps():
    whole = torch.randn(2, 8, 4, 4)
    last = whole.contiguous(memory_format=torch.channels_last)
    assert dense(whole).data_ptr() == whole.data_ptr()
    assert dense(last).data_ptr() == last.data_ptr()
    part = dense(last[:, 2:5])
    assert part.stride() == (48, 1, 12, 3)  # channels last, without the gaps
    assert torch.equal(part, last[:, 2:5])
    assert dense(torch.ones(1).expand(5)).stride() == (1,)


@pytest.mark.parametrize("size", [16_385, 20_480, 40_000])
def test_without_numpy_the_sums_are_the_same(size):
    class Own(torch.Tensor):
        """What numpy is not asked for: a tensor of another class, or on another device."""

    torch.manual_seed(0)
    parts = torch.randn(3, size)
    own = parts.as_subclass(Own)
    assert norm(own[0]) == pytest.approx(norm(parts[0]), rel=1e-6)
    assert share(own[0], own[1], norm(parts[1])) == pytest.approx(share(parts[0], parts[1], norm(parts[1])), abs=1e-6)
    for found, expected in zip(sum_and_shares(own), sum_and_shares(parts), strict=True):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)
