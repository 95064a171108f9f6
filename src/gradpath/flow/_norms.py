"""Norms and inner products that neither underflow nor overflow, cheap enough for every layer of a model.

A plain-56's stem gradient of 7e-24 squares to 0 in float32, so sums are taken in float64. Converting whole tensors
costs eight times a float32 norm on a CPU; so rows of 4,096 elements are reduced in float32 and their results summed
in float64 (relative error about 1e-7), and only tensors whose squares could leave float32's range are converted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_ROW, _PIECE = 4096, 131072
_SAFE = (1e-10, 1e15)  # norms within: no row that matters has squares outside float32's range
_SAFE_64 = (1e-140, 1e140)  # the same for float64


def log10(value: float) -> float:
    """log10 of a norm: -inf for an exact zero, NaN for anything not finite."""
    if not math.isfinite(value):
        return math.nan
    return math.log10(value) if value > 0 else -math.inf


def norm(tensor: Tensor) -> float:
    """‖tensor‖₂ as a Python float; inf or NaN only where the tensor holds such elements."""
    values = flat(tensor.detach())
    if _by_rows(values):
        value = _norm_by_rows(values)
        if _SAFE[0] < value < _SAFE[1]:
            return value
    wide, factor = _wide(values)
    return float(torch.linalg.vector_norm(wide)) * factor


def norms(tensors: Iterable[Tensor]) -> list[float]:
    """‖·‖₂ of each tensor: for many small ones (parameters), with one wait for the device instead of one for each."""
    found = [tensor.detach() for tensor in tensors]
    if not found or not all(tensor.is_floating_point() and _has_float64(tensor) for tensor in found):
        return [norm(tensor) for tensor in found]
    whole = [tensor.to_dense() if tensor.is_sparse else tensor for tensor in found]
    wide = [torch.linalg.vector_norm(tensor, dtype=torch.float64).to(whole[0].device) for tensor in whole]
    values = torch.stack(wide).tolist()
    return [v if _SAFE_64[0] < v < _SAFE_64[1] else norm(t) for v, t in zip(values, found, strict=True)]


def rms(tensor: Tensor) -> float:
    """Root mean square over all elements; 0 for an empty tensor."""
    return norm(tensor) / math.sqrt(tensor.numel()) if tensor.numel() else 0.0


def share(part: Tensor, whole: Tensor, size: float) -> float:
    """⟨part, whole⟩ / ‖whole‖² of two tensors of one shape, summed in float64; `size` is ‖whole‖."""
    if part.stride() != whole.stride():
        part, whole = part.contiguous(), whole.contiguous()
    part, whole = flat(part.detach()), flat(whole.detach())
    if _by_rows(part) and _by_rows(whole) and _SAFE[0] < size < _SAFE[1]:
        return _dot_by_pieces(part, whole) / size / size
    (part, part_factor), (whole, whole_factor) = _wide(part), _wide(whole)
    return float(torch.dot(part, whole)) * (part_factor / size) * (whole_factor / size)


def dense(tensor: Tensor) -> Tensor:
    """The tensor without gaps or overlaps in memory: itself, or a copy in the same order (a slice of a concatenation's
    gradient), so that later sums read it once and in a row."""
    tensor = tensor.to_dense() if tensor.is_sparse else tensor.detach()
    reach = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor if reach == tensor.numel() else tensor.clone()


def sum_and_shares(parts: Sequence[Tensor]) -> tuple[list[float], float, list[float]] | None:
    """Of several dense tensors of one shape and layout: their norms, that of their sum, and ⟨part, sum⟩ / ‖sum‖².

    All at once, by rows of 4,096 elements as in `norm`; None where that would not be exact enough."""
    first = parts[0]
    if not _by_rows(first) or any(p.dtype != first.dtype or p.stride() != first.stride() for p in parts):
        return None
    flats = [flat(part) for part in parts]
    stack = torch.stack([F.pad(values, (0, -values.numel() % _ROW)) for values in flats]).view(len(parts), -1, _ROW)
    whole = stack.sum(0)  # rows 4096
    sizes = torch.linalg.vector_norm(torch.linalg.vector_norm(stack, dim=2).double(), dim=1).tolist()
    size = norm(whole)
    if not all(_SAFE[0] < value < _SAFE[1] for value in (*sizes, size)):
        return None
    overlaps = torch.linalg.vecdot(stack, whole).sum(1, dtype=torch.float64).tolist()
    return sizes, size, [overlap / size / size for overlap in overlaps]


def _by_rows(values: Tensor) -> bool:
    return values.dtype == torch.float32 and values.numel() > _ROW and _has_float64(values)


def _norm_by_rows(values: Tensor) -> float:
    whole = values.numel() // _ROW * _ROW
    rows = torch.linalg.vector_norm(values[:whole].view(-1, _ROW), dim=1)
    value = float(torch.linalg.vector_norm(rows, dtype=torch.float64))
    return value if whole == values.numel() else math.hypot(value, float(values[whole:].double().norm()))


def _dot_by_pieces(a: Tensor, b: Tensor) -> float:
    """Inner products of pieces in float32, summed in float64; unlike a product by rows it needs no memory."""
    pieces = zip(torch.split(a, _PIECE), torch.split(b, _PIECE), strict=True)
    return float(torch.stack([torch.dot(x, y) for x, y in pieces]).double().sum())


def _wide(values: Tensor) -> tuple[Tensor, float]:
    """The tensor with its squares in range, and the factor taken out for that: float64 holds the squares of all
    narrower types; float64 itself, and devices without it, are scaled by the largest element."""
    if values.dtype != torch.float64 and _has_float64(values):
        return values.double(), 1.0
    largest = float(values.abs().max()) if values.numel() else 0.0
    return (values / largest, largest) if 0 < largest < math.inf else (values, 1.0)


def _has_float64(tensor: Tensor) -> bool:
    return tensor.device.type != "mps"


def flat(tensor: Tensor) -> Tensor:
    """The elements in the order they lie in memory: no copy for any dense layout, channels-last included."""
    if tensor.is_sparse:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    tensor = tensor.resolve_neg()
    if tensor.is_contiguous():
        return tensor.view(-1)
    strides = tensor.stride()
    order = sorted(range(tensor.dim()), key=lambda d: -strides[d])
    return tensor.permute(order).reshape(-1)
