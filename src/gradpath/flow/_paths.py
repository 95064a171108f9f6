"""Effective depth: the mean number of branches that the gradient at a tensor has passed, signed and exact.

Scale every branch by z. The gradient at z is Σₖ zᵏ g⁽ᵏ⁾ over path lengths k, so its derivative at z = 1 is Σₖ k g⁽ᵏ⁾:
one more backward pass, that starts at zero and takes in, where a branch returns to its fork, the gradient that
returned there in the first pass. The mean is ⟨Σ k g⁽ᵏ⁾, g⟩ / ‖g‖². Each path of k branches
is counted k times: nothing is approximated.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from gradpath.flow._forks import Taps
from gradpath.flow._graph import Use
from gradpath.flow._norms import norm, share


class MeanLength:
    """Keeps what leaves each branch in the first pass; `value` runs the second."""

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
        taps = Taps()
        for use in self.left:
            taps.add(use, partial(self._take_in, use))
        with taps.listening():
            (weighted,) = torch.autograd.grad(loss, [at], torch.zeros_like(loss), retain_graph=keep_graph)
        self.left.clear()  # those that the pass did not reach
        return share(weighted, gradient, size)

    def _take_in(self, use: Use, grad: Tensor) -> Tensor:
        return grad + self.left.pop(use)
