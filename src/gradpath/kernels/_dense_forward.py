"""The forward of a dense block: each layer reads the first columns of the features and writes the next ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradpath.kernels._dense_form import DenseLayerForm
from gradpath.kernels._dense_tape import Held, Run, Values, norm_stats
from gradpath.kernels._dense_tiles import Moments, columns, convolve, product
from gradpath.nets._norm_passes import running_of, uses_batch


class Forward(Run):
    """Fills `features`. The first time it also takes statistics, moves running ones and draws what dropout keeps."""

    def __init__(
        self, layers: Sequence[DenseLayerForm], values: Sequence[Values], held: Held, features: Tensor, first: bool
    ) -> None:
        super().__init__(layers, values, held, features)
        self.first = first
        self.takes_batch = first and any(uses_batch(layer.norm1) for layer in layers)

    def run(self, x: Tensor, keep_bottlenecks: bool) -> None:
        """x: N C H W."""
        given = self.layers[0].channels_in
        self.features[:, :given] = columns(x)
        moments = self.moments(self.takes_batch)
        if moments is not None:
            for rows in self.frame.tiles(self.features, given):
                moments.add(self.features[rows, :given])
        self.note(0, given, moments)
        self.held.bottlenecks = []
        for index in range(len(self.layers)):
            bottleneck = self.layer(index)
            if keep_bottlenecks:
                self.held.bottlenecks.append(bottleneck)
        if self.first:
            self.move_running()

    def layer(self, index: int) -> Tensor | None:
        """Write a layer's new features; what its 1×1 convolution gave, if it has one."""
        layer = self.layers[index]
        if self.first:
            read = slice(layer.channels_in)
            self.held.norms.append([norm_stats(layer.norm1, self.held.mean[read], self.held.variance[read])])
            self.held.rates.append(layer.drop_rate)
            self.held.kept.append(self.draw(layer.drop_rate, layer.growth))
        bottleneck = self.bottleneck(index) if layer.norm2 is not None else None
        self.new_features(index, self.read_by(layer) if bottleneck is None else bottleneck)
        return bottleneck

    def bottleneck(self, index: int) -> Tensor:
        """norm, ReLU, 1×1: M 4k."""
        layer = self.layers[index]
        norm2 = layer.norm2
        assert norm2 is not None
        moments = self.moments(self.first and uses_batch(norm2))
        out = product(self.frame, self.read_by(layer), self.affine(index, 0), self.matrix(index), moments)
        if self.first:
            empty = out.new_zeros(0, dtype=self.frame.stats)
            self.held.norms[index].append(norm_stats(norm2, *(moments.merged() if moments else (empty, empty))))
        return out

    def new_features(self, index: int, x: Tensor) -> None:
        """(norm, ReLU,) 3×3 and dropout, into the layer's columns."""
        layer = self.layers[index]
        begin, end = layer.channels_in, layer.channels_in + layer.growth
        moments = self.moments(self.takes_batch)
        affine = self.affine(index, len(layer.norms) - 1)
        convolve(self.frame, x, affine, self.kernel(index), self.features[:, begin:end], self.dropout(index), moments)
        self.note(begin, end, moments)

    def draw(self, rate: float, growth: int) -> Tensor | None:
        """Which new features dropout keeps: M k. Drawn as F.dropout draws for a channels-last tensor."""
        if rate == 0:
            return None
        noise = self.features.new_empty(self.frame.rows, growth, dtype=self.frame.compute)
        return noise.bernoulli_(1 - rate).bool()

    def moments(self, needed: bool) -> Moments | None:
        return Moments(self.frame) if needed else None

    def note(self, begin: int, end: int, moments: Moments | None) -> None:
        """Statistics of these columns of the features."""
        if moments is not None:
            self.held.mean[begin:end], self.held.variance[begin:end] = moments.merged()

    def move_running(self) -> None:
        """As each norm would by itself: by its own momentum, with the unbiased variance."""
        unbiased = self.frame.rows / max(1, self.frame.rows - 1)
        old: list[Tensor] = []
        new: list[Tensor] = []
        momenta: list[float] = []
        for layer, found in zip(self.layers, self.held.norms, strict=True):
            for norm, stats in zip(layer.norms, found, strict=True):
                running_mean, running_var, momentum = running_of(norm)
                if running_mean is not None and running_var is not None:
                    old += [running_mean, running_var]
                    new += [stats.mean, stats.variance]
                    momenta += [momentum, momentum]
        if not old:
            return
        scales = [m * (unbiased if i % 2 else 1.0) for i, m in enumerate(momenta)]
        torch._foreach_mul_(old, [1 - m for m in momenta])
        torch._foreach_add_(old, torch._foreach_mul(new, scales))
