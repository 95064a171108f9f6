"""Bytes, seconds and slots of every region i … k of super-blocks, as arrays [i, k] over their boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradpath.memory._planning._chain_costs import ChainCosts, Floats, Option

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Region:
    """Regions i … k in one mode, followed by others or closing a table's i … j. Bytes count from boundary i on, its own
    input not included. `backward` lacks what the gradients of parameters of k … j add: it is less those before k."""

    option: Option | None
    """None: the mode that keeps nothing."""
    shift: Ints
    """Slots held once its forward is done, x_k with them."""
    forward: Floats
    """Peak of its forward."""
    backward: Floats
    """Peak of its sweep and backward, the gradient on its way included, less the parameter gradients before k."""
    alone: Floats
    """The same where the region is a segment of its own, or each of its blocks is, if its mode keeps inputs: without
    others' parameter gradients, but with the incoming gradient, held until the segment's backward ends."""
    seconds: Floats
    """Of sweep and backward; infinite where a block has no such mode."""


class Spans:
    """Every region of super-blocks cut at `cuts`, memory in slots of `unit` bytes."""

    def __init__(self, costs: ChainCosts, cuts: Sequence[int], unit: float) -> None:
        self.costs, self.cuts, self.unit = costs, np.array(cuts), unit
        self.x, self.masked = costs.x[self.cuts], costs.masked[self.cuts]
        self.x_slots = np.diff(self.rounded(np.cumsum(self.x)), prepend=0)
        self.gradients = costs.gradients[self.cuts]
        self.gradient_slots = self.rounded(self.gradients)
        self.redo, self.redo_closing = self.span(costs.redo), self.span(costs.redo, closing=True)
        shift = np.broadcast_to(self.x_slots, self.redo.shape)
        bare = self.highest(costs.forward, np.zeros(len(costs) + 1))
        masking = np.broadcast_to(3 * self.masked, bare.shape)  # the boundary and two gradients
        self.bare = Region(None, shift, bare, np.full_like(bare, -np.inf), masking, self.redo)

    def rounded(self, total_bytes: Floats) -> Ints:
        """Running totals in slots: rounded as totals, so that the errors of their differences do not add up."""
        return np.rint(total_bytes / self.unit).astype(np.int64)

    def ceil(self, of_bytes: Floats, slots: int) -> Ints:
        """Slots that hold so many bytes, at most `slots` + 1."""
        needed = np.ceil(of_bytes * (1 / self.unit) - 1e-6)
        return np.minimum(np.maximum(needed, 0, out=needed), slots + 1, out=needed).astype(np.int64)

    def span(self, prefix: Floats, closing: bool = False) -> Floats:
        """What lies between i and k, from sums before each boundary of the chain; closing: without k's last block."""
        ends = prefix[np.maximum(self.cuts - 1, 0)] if closing else prefix[self.cuts]
        between: Floats = ends[None, :] - prefix[self.cuts][:, None]
        return between

    def highest(self, peaks: Floats, zero: Floats, closing: bool = False) -> Floats:
        """Largest peak of the blocks between i and k, above `zero` at i; -inf where there is none."""
        tops = np.maximum.reduceat(peaks, self.cuts[:-1])
        size = len(tops)
        upper = np.arange(size)[None, :] >= np.arange(size + 1)[:, None]
        found = np.full((size + 1, size + 1), -np.inf)
        found[:, 1:] = np.maximum.accumulate(np.where(upper, tops, -np.inf), axis=1)
        if closing:
            peaks = peaks.copy()
            peaks[self.cuts[1:] - 1] = -np.inf
            ends = np.where(upper, np.maximum.reduceat(peaks, self.cuts[:-1]), -np.inf)
            found[:, 1:] = np.maximum(found[:, :-1], ends)
        above: Floats = found - zero[self.cuts][:, None]
        return above

    def region(self, option: Option, closing: bool = False) -> Region:
        """Regions of one mode; closing ones leave their last block to its backward, which keeps nothing."""
        costs = self.costs
        peaks = option.backward - costs.gradients[1:]
        backward, seconds = self.highest(peaks, option.held, closing), self.span(option.seconds, closing)
        alone = self.highest(option.backward, option.held)
        if option.swept:
            rebuilt = self.highest(costs.outputs[:-1] + costs.growth, costs.outputs, closing=True)
            rebuilt += self.span(option.kept, closing) + self.x - self.gradients
            alone = np.maximum(backward, self.highest(peaks, option.held, closing=True) + self.x)
            alone = np.maximum(alone, rebuilt) + self.gradients
            backward, seconds = np.maximum(backward, rebuilt), seconds + self.span(costs.sweep, closing=True)
        masking = self.span(option.kept) + (3 if option.swept else 2) * self.masked
        alone = np.maximum(alone, masking)
        if closing:
            last = np.maximum(self.cuts - 1, 0)
            bare = self.span(option.held, closing=True) + costs.bare_work[last] - self.gradients
            backward, seconds = np.maximum(backward, bare), seconds + costs.bare_seconds[last]
        kept = self.rounded(option.kept[self.cuts])
        shift = kept[None, :] - kept[:, None] + (self.x_slots if option.swept else 0)
        seconds = np.where(self.span(option.missing, closing) > 0, np.inf, seconds)
        return Region(option, shift, self.highest(option.forward, option.kept, closing), backward, alone, seconds)
