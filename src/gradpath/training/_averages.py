"""Weights that follow those being trained: a moving average, and lookahead's slow weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average of a net's parameters and buffers (Polyak & Juditsky 1992).

    After step t (from 1) it moves by 1 − min(decay, (1 + t) / (10 + t)): early on it forgets the initial weights
    quickly, as TensorFlow's and timm's do. Counters (whole numbers) stay the net's own.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        held = {**dict(net.named_parameters()), **dict(net.named_buffers())}
        self._live = {name: tensor.detach() for name, tensor in held.items() if tensor.is_floating_point()}
        self.values = {name: tensor.clone() for name, tensor in self._live.items()}

    def update(self, step: int) -> None:
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.values.values()), list(self._live.values()), weight)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The averages in the net's place; its own are put back, whatever happens."""
        own = {name: tensor.clone() for name, tensor in self._live.items()}
        try:
            self.copy_to_net()
            yield
        finally:
            for name, tensor in self._live.items():
                tensor.copy_(own[name])

    def copy_to_net(self) -> None:
        for name, tensor in self._live.items():
            tensor.copy_(self.values[name])

    def state(self) -> dict[str, Tensor]:
        return dict(self.values)

    def restore(self, state: dict[str, Tensor]) -> None:
        for name, value in self.values.items():
            value.copy_(state[name])


class Lookahead:
    """Slow weights, towards which the fast ones are pulled every few steps (Zhang et al. 2019, algorithm 1):
    slow ← slow + pull · (fast − slow), fast ← slow. Momentum and BatchNorm's statistics are left alone."""

    def __init__(self, parameters: list[nn.Parameter], pull: float) -> None:
        self._pull = pull
        self._fast = [parameter.detach() for parameter in parameters]
        self.slow = [tensor.clone() for tensor in self._fast]

    def pull(self) -> None:
        torch._foreach_lerp_(self.slow, self._fast, self._pull)
        torch._foreach_copy_(self._fast, self.slow)
