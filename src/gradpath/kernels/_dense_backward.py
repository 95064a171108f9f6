"""The backward of a dense block: every norm adds to one gradient matrix; a column is finished once, at its producer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradpath.kernels._dense_form import DenseLayerForm
from gradpath.kernels._dense_passes import Affine
from gradpath.kernels._dense_tape import Held, Run, Values
from gradpath.kernels._dense_tiles import NormSums, Pending, convolve_backward, product, product_backward

Gradients = list[Tensor | None]


class Backward(Run):
    """Layer by layer, last first. `total` (M C, written to) starts as the gradient of the block's output."""

    def __init__(
        self,
        layers: Sequence[DenseLayerForm],
        values: Sequence[Values],
        held: Held,
        features: Tensor,
        total: Tensor,
    ) -> None:
        super().__init__(layers, values, held, features)
        self.total = total
        self.offset = torch.zeros_like(held.mean)
        self.slope = torch.zeros_like(held.mean)

    def layer(self, index: int, needs: Sequence[bool]) -> Gradients:
        """The gradients of a layer's parameters, None where not needed; its columns' gradient is used up."""
        layer = self.layers[index]
        incoming = self.pending(layer.channels_in, layer.channels_in + layer.growth)
        if layer.norm2 is None:
            return self.without_bottleneck(index, incoming, needs)
        return self.with_bottleneck(index, incoming, needs)

    def without_bottleneck(self, index: int, incoming: Pending, needs: Sequence[bool]) -> Gradients:
        read, affine = self.read_by(self.layers[index]), self.affine(index, 0)
        sums, weight = convolve_backward(
            self.frame, incoming, self.dropout(index), read, affine, self.kernel(index),
            self.total[:, : read.shape[1]], accumulate=True, needs_weight=needs[2],
        )  # fmt: skip
        self.shift(sums, affine)
        return self.gradients(index, 0, sums, affine, weight, needs)

    def with_bottleneck(self, index: int, incoming: Pending, needs: Sequence[bool]) -> Gradients:
        read, affine1, affine2 = self.read_by(self.layers[index]), self.affine(index, 0), self.affine(index, 1)
        matrix = self.matrix(index)
        bottleneck = self.held.bottlenecks[index] if self.held.bottlenecks else None
        if bottleneck is None:
            bottleneck = product(self.frame, read, affine1, matrix, None)
        grad = torch.empty_like(bottleneck)
        sums2, weight2 = convolve_backward(
            self.frame, incoming, self.dropout(index), bottleneck, affine2, self.kernel(index),
            grad, accumulate=False, needs_weight=needs[5],
        )  # fmt: skip
        inner = Pending(grad, bottleneck, affine2.center, *sums2.shifts(affine2, self.frame.rows))
        sums1, weight1 = product_backward(
            self.frame, inner, read, affine1, matrix, self.total[:, : read.shape[1]], needs_weight=needs[2]
        )
        self.shift(sums1, affine1)
        return [
            *self.gradients(index, 0, sums1, affine1, weight1, needs),
            *self.gradients(index, 1, sums2, affine2, weight2, needs),
        ]

    def pending(self, begin: int, end: int) -> Pending:
        """The gradient of these columns, of which all consumers are done."""
        mean, offset, slope = (vector[begin:end] for vector in (self.held.mean, self.offset, self.slope))
        return Pending(self.total[:, begin:end], self.features[:, begin:end], mean, offset, slope)

    def shift(self, sums: NormSums, affine: Affine) -> None:
        """What a norm takes from the columns that it read."""
        offset, slope = sums.shifts(affine, self.frame.rows)
        self.offset[: len(offset)] += offset
        self.slope[: len(slope)] += slope

    def gradients(
        self, index: int, step: int, sums: NormSums, affine: Affine, weight: Tensor | None, needs: Sequence[bool]
    ) -> Gradients:
        """Of a norm's weight and bias and of the convolution after it, as the parameters are."""
        found = (*sums.gradients(affine), weight)
        mine = slice(3 * step, 3 * step + 3)
        return [
            g.view_as(p).to(p.dtype) if need and g is not None else None
            for g, p, need in zip(found, self.values[index][mine], needs[mine], strict=True)
        ]

    def input_gradient(self) -> Tensor:
        """N C H W, channels-last."""
        given = self.layers[0].channels_in
        out = self.features.new_empty(self.frame.rows, given)
        return self.frame.as_images(self.pending(0, given).whole(self.frame, out))
