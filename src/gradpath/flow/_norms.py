"""Norms and inner products that neither underflow nor overflow, cheap enough for every layer of a model.

A plain-56's stem gradient of 7e-24 squares to 0 in float32, so sums are taken in float64. Converting whole tensors
costs eight times a float32 norm on a CPU; so rows of 4,096 elements are reduced in float32 and their results summed
in float64 (relative error about 1e-7), and only tensors whose squares could leave float32's range are converted. On a
CPU the rows are left to numpy's BLAS, which is as fast as memory is read (2**20 elements in 0.07 ms where they lie in
the cache, 0.24 where they do not; `vector_norm` takes 0.25 and 0.35).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

_NARROW = (torch.float32, torch.bfloat16, torch.float16)  # float64 holds their squares
_ROW = 4096
_MANY = 16384  # elements: for fewer, rows take longer than the conversion that they save
_SAFE = (1e-10, 1e15)  # norms within: no row that matters has squares outside float32's range
_SAFE_64 = (1e-140, 1e140)  # the same for float64


def log10(value: float) -> float:
    """log10 of a norm: -inf for an exact zero, NaN for anything not finite."""
    if not math.isfinite(value):
        return math.nan
    return math.log10(value) if value > 0 else -math.inf


def norm(tensor: Tensor) -> float:
    """‖tensor‖₂ as a Python float; inf or NaN only where the tensor holds such elements."""
    tensor = tensor.detach()
    if tensor.dtype in _NARROW and not tensor.is_sparse and _has_float64(tensor):
        value = _norm_by_rows(flat(tensor)) if _by_rows(tensor) else 0.0
        return value if _SAFE[0] < value < _SAFE[1] else _norm_in_float64(tensor)
    wide, factor = _wide(flat(tensor))
    return float(torch.linalg.vector_norm(wide)) * factor


def norms(tensors: Iterable[Tensor]) -> list[float]:
    """‖·‖₂ of each tensor: for many small ones (parameters), with one wait for the device instead of one for each."""
    found = [tensor.detach() for tensor in tensors]
    if not any(tensor.is_cuda for tensor in found):  # no wait to be saved
        return [norm(tensor) for tensor in found]
    if not all(tensor.is_floating_point() and _has_float64(tensor) for tensor in found):
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
        return float(_inner(part, whole)) / size / size
    (part, part_factor), (whole, whole_factor) = _wide(part), _wide(whole)
    return float(torch.dot(part, whole)) * (part_factor / size) * (whole_factor / size)


def dense(tensor: Tensor) -> Tensor:
    """The tensor without gaps or overlaps in memory: itself, or a copy in the same order (a slice of a concatenation's
    gradient), so that later sums read it once and in a row."""
    tensor = tensor.to_dense() if tensor.is_sparse else tensor.detach()
    reach = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor if reach == tensor.numel() else tensor.clone()


def sum_and_shares(parts: Tensor) -> tuple[list[float], float, list[float]] | None:
    """Of several vectors (parts × elements): their norms, that of their sum, and ⟨part, sum⟩ / ‖sum‖².

    All at once, by rows of 4,096 elements as in `norm`; None where that would not be exact enough."""
    if parts.dtype != torch.float32 or not _has_float64(parts):
        return None
    parts = parts.double() if parts.shape[1] <= _MANY else parts
    whole = parts.sum(0)
    squares = [*_inner(parts, parts).tolist(), float(_inner(whole, whole))]
    if not all(_SAFE[0] < value < _SAFE[1] for value in map(math.sqrt, squares)):
        return None
    *sizes, size = map(math.sqrt, squares)
    return sizes, size, [overlap / size / size for overlap in _inner(parts, whole).tolist()]


def _by_rows(values: Tensor) -> bool:
    return values.dtype == torch.float32 and values.numel() > _MANY and _has_float64(values)


def _norm_by_rows(values: Tensor) -> float:
    return math.sqrt(float(_inner(values, values)))


def _norm_in_float64(values: Tensor) -> float:
    return float(torch.linalg.vector_norm(values, dtype=torch.float64))


def _inner(a: Tensor, b: Tensor) -> Any:
    """⟨a, b⟩ along the last dimension (others broadcast): rows of 4,096 in the tensors' own type, summed in float64."""
    whole = a.shape[-1] // _ROW * _ROW
    if a.device.type == "cpu" and type(a) is Tensor and type(b) is Tensor:
        with np.errstate(all="ignore"):
            return _inner_by_blas(a.numpy(), b.numpy(), whole)
    rows = [values[..., :whole].reshape(*values.shape[:-1], -1, _ROW) for values in (a, b)]
    return torch.linalg.vecdot(*rows).sum(-1, dtype=torch.float64) + torch.linalg.vecdot(a[..., whole:], b[..., whole:])


def _inner_by_blas(a: np.ndarray, b: np.ndarray, whole: int) -> Any:
    """Products of rows and columns, each of which is one of BLAS's inner products."""
    rows = a[..., :whole].reshape(*a.shape[:-1], -1, 1, _ROW)
    columns = b[..., :whole].reshape(*b.shape[:-1], -1, _ROW, 1)
    products = np.matmul(rows, columns)[..., 0, 0]
    total = products.sum(-1, dtype=np.float64)
    if whole < a.shape[-1]:
        total = total + np.matmul(a[..., None, whole:], b[..., whole:, None])[..., 0, 0]
    return total


def _wide(values: Tensor) -> tuple[Tensor, float]:
    """The tensor with its squares in range, and the factor taken out for that: float64 holds the squares of all
    narrower types; float64 itself, and devices without it, are scaled by the largest element."""
    if values.dtype != torch.float64 and _has_float64(values):
        return values.double(), 1.0
    largest = float(values.abs().max()) if values.numel() else 0.0
    return (values / largest, largest) if 0 < largest < math.inf else (values, 1.0)


def _has_float64(tensor: Tensor) -> bool:
    return not tensor.is_mps


def flat(tensor: Tensor) -> Tensor:
    """The elements in the order they lie in memory: no copy for any dense layout, channels-last included."""
    if tensor.is_sparse:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    tensor = tensor.resolve_neg()
    if tensor.is_contiguous():
        return tensor.view(-1)
    return tensor.permute(memory_order(tensor)).reshape(-1)


def memory_order(tensor: Tensor) -> list[int]:
    """The dimensions, from the outermost in memory to the innermost."""
    strides = tensor.stride()
    return sorted(range(tensor.dim()), key=lambda d: -strides[d])
