"""The live signal: gradient norm at the stem over that at the head, in the middle of training, for a few steps only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from gradpath.flow._layers import tensors
from gradpath.flow._norms import norm


class StemOverHead:
    """Ratio of gradient norms at the outputs of two modules, for the passes inside `listening()`."""

    def __init__(self, stem: nn.Module, head: nn.Module) -> None:
        self._modules = (stem, head)
        self._norms: dict[int, float] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hooks for one forward and backward pass; gone afterwards."""
        with ExitStack() as stack:
            for place, module in enumerate(self._modules):
                stack.callback(module.register_forward_hook(self._watch(place)).remove)
            yield

    def _watch(self, place: int) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            tensor = next(tensors(output), None)
            if tensor is not None and tensor.requires_grad:
                tensor.register_hook(lambda gradient: self._note(place, gradient))  # type: ignore[no-untyped-call]

        return hook

    def _note(self, place: int, gradient: Tensor) -> None:
        self._norms[place] = norm(gradient)

    @property
    def value(self) -> float | None:
        """Of the last pass; None before one, or where the head received nothing."""
        stem, head = self._norms.get(0), self._norms.get(1)
        return None if stem is None or not head else stem / head
