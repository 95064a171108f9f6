"""What operations give and look at, by shapes alone.

torch can say it too, on the meta device, but by Python that takes seconds to import and milliseconds to run; a net of
1,202 layers is to be described at once. Operations that are not here are left to torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Shape = tuple[int, ...]
Arguments = tuple[Any, ...]

POOLS = {"max_pool2d_with_indices": "max", "avg_pool2d": "mean"}
NORMS = ("native_batch_norm", "_batch_norm_with_update", "_native_batch_norm_legit", "cudnn_batch_norm",
         "native_group_norm")  # fmt: skip
_ELEMENTWISE = set("add sub mul div relu leaky_relu gelu silu tanh sigmoid rsub neg clone empty_like".split())


def window(name: str, args: Arguments) -> tuple[int, int, int]:
    """Size, stride and dilation of what an operation looks at: of a convolution, a pool; (1, 1, 1) of others."""
    if name == "convolution":  # input, weight, bias, stride, padding, dilation, transposed, output padding, groups
        return args[1].shape[2], args[3][0], args[5][0]
    if name in POOLS:  # input, size, stride, padding
        return args[1][0], (args[2] if len(args) > 2 and args[2] else args[1])[0], 1
    return 1, 1, 1


def outputs(name: str, args: Arguments) -> Tensor | tuple[Tensor, ...] | None:
    """Empty tensors as the operation would give, on the meta device; None for operations that are not known here."""
    if name.endswith("_"):  # in place
        given: Tensor = args[0]
        return given
    if name in _SHAPES:
        return _empty(_SHAPES[name](name, args))
    if name in _ELEMENTWISE:
        return _empty(_broadcast([arg.shape for arg in args if isinstance(arg, Tensor)]))
    if name in NORMS:
        return _norm(name, args)
    if name == "max_pool2d_with_indices":
        shape = _slid(name, args)
        return _empty(shape), _empty(shape, torch.int64)
    if name == "native_dropout":
        return _empty(args[0].shape), _empty(args[0].shape, torch.bool)
    return None


def _empty(shape: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
    return torch.empty(tuple(shape), dtype=dtype, device="meta")


def _slid(name: str, args: Arguments) -> Shape:
    """Of a convolution or pool: N C H W."""
    size, stride, dilation = window(name, args)
    padding = args[4][0] if name == "convolution" else args[3][0] if len(args) > 3 else 0
    sides = ((side + 2 * padding - dilation * (size - 1) - 1) // stride + 1 for side in args[0].shape[2:])
    return args[0].shape[0], args[1].shape[0] if name == "convolution" else args[0].shape[1], *sides


def _joined(name: str, args: Arguments) -> Shape:
    shapes = [tensor.shape for tensor in args[0]]
    dim = args[1] if len(args) > 1 else 0
    joined = list(shapes[0])
    joined[dim] = sum(shape[dim] for shape in shapes)
    return tuple(joined)


def _mean(name: str, args: Arguments) -> Shape:
    shape, dims = args[0].shape, {dim % args[0].dim() for dim in args[1]}
    kept = len(args) > 2 and args[2]
    return tuple(1 if dim in dims else side for dim, side in enumerate(shape) if kept or dim not in dims)


def _padded(name: str, args: Arguments) -> Shape:
    """Of constant padding, given for the last dimension first: before and after."""
    shape, padding = list(args[0].shape), args[1]
    for index in range(len(padding) // 2):
        shape[-1 - index] += padding[2 * index] + padding[2 * index + 1]
    return tuple(shape)


def _product(name: str, args: Arguments) -> Shape:
    return args[-2].shape[0], args[-1].shape[1]


_SHAPES: dict[str, Callable[[str, Arguments], Shape]] = {
    "convolution": _slid,
    "avg_pool2d": _slid,
    "cat": _joined,
    "mean": _mean,
    "constant_pad_nd": _padded,
    "addmm": _product,
    "mm": _product,
}


def _norm(name: str, args: Arguments) -> tuple[Tensor, ...]:
    """The output and the statistics: of a batch one for all images, of groups one for each image and group."""
    statistic = (args[3], args[6]) if name == "native_group_norm" else (1,)  # N, groups
    count = 3 if name == "_batch_norm_with_update" else 2
    return (_empty(args[0].shape), *(_empty(statistic) for _ in range(count)))


def _broadcast(shapes: Sequence[Sequence[int]]) -> Shape:
    longest = max(map(len, shapes))
    aligned = [(1,) * (longest - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(max(sides) if 0 not in sides else 0 for sides in zip(*aligned, strict=True))


def macs(name: str, args: Arguments, out: Tensor) -> int:
    """Of one image: every weight of a convolution is used once for each output pixel."""
    if name == "convolution":
        return int(args[1].numel() * math.prod(out.shape[2:]))
    return int(args[-1].numel()) if name in ("addmm", "mm") else 0
