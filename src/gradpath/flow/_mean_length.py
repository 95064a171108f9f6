"""Effective depth: the mean number of branches that the gradient at a tensor has passed, signed and exact.

Scale every branch by z. The gradient at z is Σₖ zᵏ g⁽ᵏ⁾ over path lengths k, so its derivative at z = 1 is Σₖ k g⁽ᵏ⁾:
one more backward pass, that starts at zero and takes in, where a branch returns to its fork, the gradient that
returned there in the first pass. The mean is ⟨Σ k g⁽ᵏ⁾, g⟩ / ‖g‖². Each path of k branches
is counted k times: nothing is approximated. The next pass takes in what returned in this one, and so counts each path
C(k, 2) times (C(k, r) + C(k, r − 1) = C(k + 1, r)): the second moment.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from gradpath.flow._forks import Taps
from gradpath.flow._graph import Use
from gradpath.flow._norms import norm, share


class MeanLength:
    """Keeps what leaves each branch in the first pass; `value` runs the second. One gradient per branch is held, two
    where a third pass is to follow."""

    def __init__(self, uses: list[Use]) -> None:
        self.uses = uses
        self.left: dict[Use, Tensor] = {}

    def attach(self, taps: Taps) -> None:
        for use in self.uses:
            taps.add(use, partial(self._leave, use))

    def _leave(self, use: Use, grad: Tensor) -> None:
        self.left[use] = grad.detach()

    def value(self, loss: Tensor, at: GradientEdge, gradient: Tensor, keep_graph: bool = False) -> float | None:
        """The signed mean length of the gradient at `at`, whose first pass gave `gradient`; None for 0 and NaN.

        The graph is used up unless it is to be kept."""
        size = norm(gradient)
        if not 0 < size < math.inf:
            return None
        return share(self.next_moment(loss, at, keep_graph), gradient, size)

    def next_moment(self, loss: Tensor, at: GradientEdge, keep_graph: bool = False, more: bool = False) -> Tensor:
        """One more pass: Σₖ C(k, r) g⁽ᵏ⁾ in the r-th call. `more`: another call is to follow."""
        taken, self.left = self.left, {}
        taps = Taps()
        for use in taken:
            taps.add(use, partial(self._take_in, taken, use, more))
        with taps.listening():
            (moment,) = torch.autograd.grad(loss, [at], torch.zeros_like(loss), retain_graph=keep_graph)
        return moment

    def _take_in(self, taken: dict[Use, Tensor], use: Use, more: bool, grad: Tensor) -> Tensor:
        if more:
            self.left[use] = grad.detach()
        return grad + taken.pop(use)


def mean_lengths(
    loss: Tensor, at: GradientEdge, counted: Sequence[Iterable[Use]]
) -> tuple[Tensor, list[float | None], float | None]:
    """The gradient at a tensor, its signed mean length for each way of counting, and the deviation for a single way.

    One plain pass and at most one more for each way, or two for a single one. None where the gradient is zero or not
    finite; no deviation where the signed second moment is smaller than the mean's square. The graph is kept.
    """
    meters, taps = [MeanLength(list(uses)) for uses in counted], Taps()
    for meter in meters:
        meter.attach(taps)
    with taps.listening():
        (gradient,) = torch.autograd.grad(loss, [at], retain_graph=True)
    size = norm(gradient)
    if not 0 < size < math.inf:
        return gradient, [None] * len(meters), None
    single = len(meters) == 1
    firsts = [_moment(meter, loss, at, gradient, size, more=single) for meter in meters]
    if not single:
        return gradient, [*firsts], None
    variance = 2 * _moment(meters[0], loss, at, gradient, size) + firsts[0] - firsts[0] ** 2
    return gradient, [*firsts], math.sqrt(variance) if variance >= 0 else None


def _moment(
    meter: MeanLength, loss: Tensor, at: GradientEdge, gradient: Tensor, size: float, more: bool = False
) -> float:
    if not meter.left:  # nothing counted was passed
        return 0.0
    return share(meter.next_moment(loss, at, keep_graph=True, more=more), gradient, size)
