"""Effective depth: the mean number of branches that the gradient at a tensor has passed, signed and exact.

Scale every branch by z. The gradient at z is Σₖ zᵏ g⁽ᵏ⁾ over path lengths k, so its derivative at z = 1 is Σₖ k g⁽ᵏ⁾:
one more backward pass, that starts at zero and takes in, at the end of every branch, the gradient that entered it in
the first pass. The mean is ⟨Σ k g⁽ᵏ⁾, g⟩ / ‖g‖². (Each path of k branches is counted k times: no approximation.)
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from gradpath.flow._forks import Taps
from gradpath.flow._graph import Graph, Made, Use
from gradpath.flow._norms import dot, norm


class MeanLength:
    """Keeps what enters each branch in the first pass; `value` runs the second."""

    def __init__(self, graph: Graph, ends: set[Made]) -> None:
        self.uses = [use for end in ends for use in graph.uses[end]]
        self.entered: dict[Use, Tensor] = {}

    def attach(self, taps: Taps) -> None:
        for use in self.uses:
            taps.add(use, partial(self._enter, use))

    def _enter(self, use: Use, grad: Tensor) -> None:
        self.entered[use] = grad.detach()

    def value(self, loss: Tensor, edge: Any, gradient: Tensor) -> float | None:
        """The signed mean length of the gradient at `edge` (a GradientEdge), whose first pass gave `gradient`."""
        size = norm(gradient)
        if not size > 0:
            return None
        taps = Taps()
        for use, grad in self.entered.items():
            taps.add(use, partial(torch.add, grad))
        with taps.listening():
            (weighted,) = torch.autograd.grad(loss, [edge], torch.zeros_like(loss), retain_graph=True)
        self.entered.clear()
        return dot(weighted, gradient) / size / size
