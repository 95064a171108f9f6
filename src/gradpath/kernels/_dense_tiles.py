"""Products of a dense block, tile by tile: norm and ReLU are redone beside each product, and never kept whole.

Matrices are M C: M = N·H·W pixels in channels-last order. A 1×1 convolution is a matrix product of rows, a 3×3 one
takes tiles of whole images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gradpath.kernels._dense_passes import Affine, DensePasses, DenseProducts

CACHE_BYTES = 1 << 21  # of a tile on a CPU: it stays in the cache between a pass and its product
LAUNCH_BYTES = 1 << 28  # of a tile elsewhere: few launches


@dataclass(frozen=True)
class Frame:
    """What all tiles of a block share: the size of the batch, dtypes, and who computes the passes."""

    images: int
    height: int
    width: int
    compute: torch.dtype
    """Of the products' operands and results."""
    stats: torch.dtype
    passes: DensePasses

    @property
    def rows(self) -> int:
        return self.images * self.height * self.width

    def tiles(self, matrix: Tensor, channels: int, whole_images: bool = False) -> Iterator[slice]:
        """Rows of `matrix`, some at a time."""
        unit = self.height * self.width if whole_images else 1
        budget = CACHE_BYTES if matrix.device.type == "cpu" else LAUNCH_BYTES
        step = max(1, budget // (unit * channels * matrix.element_size())) * unit
        for begin in range(0, self.rows, step):
            yield slice(begin, min(begin + step, self.rows))

    def as_images(self, tile: Tensor) -> Tensor:
        """Rows of whole images, contiguous → N C H W, channels-last."""
        return tile.view(-1, self.height, self.width, tile.shape[1]).permute(0, 3, 1, 2)

    def scratch(self, like: Tensor, channels: int, whole_images: bool = False) -> Tensor:
        """An empty matrix for the largest tile, in the dtype of the products."""
        rows = next(self.tiles(like, channels, whole_images))
        return like.new_empty(rows.stop - rows.start, channels, dtype=self.compute)


def columns(images: Tensor) -> Tensor:
    """N C H W → M C; a view where the images are channels-last."""
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])


class Moments:
    """Mean and variance of each channel, gathered over tiles (Chan, Golub, LeVeque 1979): never as E[x²] − E[x]²."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.counts: list[int] = []
        self.means: list[Tensor] = []
        self.squares: list[Tensor] = []

    def add(self, tile: Tensor) -> None:
        self.note(len(tile), *self.frame.passes.moments(tile, self.frame.stats))

    def note(self, count: int, mean: Tensor, squares: Tensor) -> None:
        """Moments of `count` rows, found elsewhere."""
        self.counts.append(count)
        self.means.append(mean)
        self.squares.append(squares)

    def merged(self) -> tuple[Tensor, Tensor]:
        """(mean, biased variance), C each."""
        rows = self.frame.rows
        if len(self.means) == 1:
            return self.means[0], self.squares[0] / rows
        means = torch.stack(self.means)  # T C
        weights = torch.tensor(self.counts, dtype=means.dtype, device=means.device)[:, None] / rows
        mean = (weights * means).sum(0)
        between = (weights * (means - mean).square()).sum(0)
        return mean, torch.stack(self.squares).sum(0).div_(rows).add_(between)


@dataclass(frozen=True)
class Pending:
    """A gradient that still lacks what the batch's statistics take from it. total, x: M C; vectors: C.

    It is total − offset − slope·(x − center): what BatchNorm's gradient subtracts, summed over all norms that read x.
    """

    total: Tensor
    x: Tensor
    center: Tensor
    offset: Tensor
    slope: Tensor

    def rows(self, frame: Frame, rows: slice, out: Tensor) -> Tensor:
        """The gradient of these rows, in `out`."""
        frame.passes.finish(self.total[rows], self.x[rows], self.center, self.offset, self.slope, out)
        return out

    def whole(self, frame: Frame, out: Tensor) -> Tensor:
        """The gradient of all rows, in `out`."""
        for rows in frame.tiles(self.x, self.x.shape[1]):
            self.rows(frame, rows, out[rows])
        return out


@dataclass(frozen=True)
class NormSums:
    """What a norm's gradient needs of all rows: Σ g and Σ g·(x − center), C each."""

    plain: Tensor
    centered: Tensor

    def shifts(self, affine: Affine, rows: int) -> tuple[Tensor, Tensor]:
        """(offset, slope) that the batch's mean and variance take from scale·g."""
        if not affine.uses_batch:
            return torch.zeros_like(self.plain), torch.zeros_like(self.plain)
        scale = affine.scale / rows
        return scale * self.plain, scale * affine.inverse.square() * self.centered

    def gradients(self, affine: Affine) -> tuple[Tensor, Tensor]:
        """Of the norm's weight and bias."""
        return affine.inverse * self.centered, self.plain


def product(frame: Frame, x: Tensor, affine: Affine, weight: Tensor, moments: Moments | None) -> Tensor:
    """relu(affine(x)) · weightᵀ: M C and K C → M K."""
    out = x.new_empty(frame.rows, len(weight), dtype=frame.compute)
    passes = frame.passes
    if isinstance(passes, DenseProducts) and passes.takes(x, weight):
        found = passes.product(x, affine, weight, out, moments is not None)
        if moments is not None and found is not None:
            moments.note(frame.rows, *found)
        return out
    scratch = frame.scratch(x, x.shape[1])
    for rows in frame.tiles(x, x.shape[1]):
        activated = scratch[: rows.stop - rows.start]
        frame.passes.activate(x[rows], affine, activated)
        torch.mm(activated, weight.t(), out=out[rows])
        if moments is not None:
            moments.add(out[rows])
    return out


def product_backward(
    frame: Frame, grad: Pending, x: Tensor, affine: Affine, weight: Tensor, total: Tensor, needs_weight: bool
) -> tuple[NormSums, Tensor | None]:
    """Adds scale·g to `total` (M C), g being the gradient before the ReLU; with its sums and the weight's gradient.

    grad is of `product`'s result, M K; it is used up.
    """
    passes = frame.passes
    if isinstance(passes, DenseProducts) and passes.takes(x, weight):
        vectors = grad.center, grad.offset, grad.slope
        plain, centered, of_weight = passes.product_backward(
            grad.total, grad.x, vectors, x, affine, weight, total, needs_weight
        )
        return NormSums(plain, centered), of_weight
    grad_weight = torch.zeros_like(weight, dtype=frame.stats) if needs_weight else None
    activated, grad_activated = (frame.scratch(x, x.shape[1]) for _ in range(2))
    sums = []
    for rows in frame.tiles(x, x.shape[1]):
        count = rows.stop - rows.start
        grad_out = grad.rows(frame, rows, grad.total[rows])
        frame.passes.activate(x[rows], affine, activated[:count])
        if grad_weight is not None:
            _add_product(grad_weight, grad_out.t(), activated[:count])
        torch.mm(grad_out, weight, out=grad_activated[:count])
        sums.append(frame.passes.mask(grad_activated[:count], activated[:count], x[rows], affine, total[rows], True))
    return _summed(sums), grad_weight


def convolve(
    frame: Frame, x: Tensor, affine: Affine, weight: Tensor, out: Tensor, kept: Tensor | None, moments: Moments | None
) -> None:
    """out = relu(affine(x)) convolved with weight (K C 3 3), times `kept` (dropout): M C → M K."""
    scratch = frame.scratch(x, x.shape[1], whole_images=True)
    for rows in frame.tiles(x, x.shape[1], whole_images=True):
        activated = scratch[: rows.stop - rows.start]
        frame.passes.activate(x[rows], affine, activated)
        new = columns(frame.passes.convolve(frame.as_images(activated), weight))
        out[rows] = new if kept is None else new * kept[rows]
        if moments is not None:
            moments.add(new if kept is None and new.dtype == out.dtype else out[rows])


def convolve_backward(
    frame: Frame,
    grad: Pending,
    kept: Tensor | None,
    x: Tensor,
    affine: Affine,
    weight: Tensor,
    total: Tensor,
    accumulate: bool,
    needs_weight: bool,
) -> tuple[NormSums, Tensor | None]:
    """As `product_backward`, for `convolve`; total (M C) is written to or, with `accumulate`, added to."""
    grad_weight = torch.zeros_like(weight, dtype=frame.stats) if needs_weight else None
    activated = frame.scratch(x, x.shape[1], whole_images=True)
    incoming = activated.new_empty(len(activated), len(weight))
    sums = []
    for rows in frame.tiles(x, x.shape[1], whole_images=True):
        count = rows.stop - rows.start
        grad_out = grad.rows(frame, rows, incoming[:count])
        if kept is not None:
            grad_out.mul_(kept[rows])
        frame.passes.activate(x[rows], affine, activated[:count])
        images = frame.as_images(activated[:count])
        grad_images, tile_weight = frame.passes.convolve_backward(
            frame.as_images(grad_out), images, weight, needs_weight
        )
        if grad_weight is not None and tile_weight is not None:
            grad_weight += tile_weight
        sums.append(
            frame.passes.mask(columns(grad_images), activated[:count], x[rows], affine, total[rows], accumulate)
        )
    return _summed(sums), grad_weight


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


def _summed(tiles: list[tuple[Tensor, Tensor]]) -> NormSums:
    plain, centered = zip(*tiles, strict=True)
    return NormSums(torch.stack(plain).sum(0), torch.stack(centered).sum(0))
