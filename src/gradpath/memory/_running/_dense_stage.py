"""A dense block and what follows it, as one block of a plan: its features are kept once, not once a layer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gradpath.kernels import DenseMoves, dense_moves, is_our_layer, library_layers
from gradpath.memory._running._module_moves import ModuleMoves, ModuleTape


class DenseStageMoves:
    """The moves of a dense block with the modules behind it, such as a transition (`gradpath.nets.Moves`).

    Behind a dense block its features would be kept twice, by its tape and as the next block's input: as one block they
    are not. The modules behind keep autograd's graph in mode full, else nothing: their input is among the features.
    """

    modes = DenseMoves.modes
    ends_in_relu = False

    def __init__(self, dense: DenseMoves, behind: Sequence[nn.Module]) -> None:
        self.dense, self.behind = dense, ModuleMoves(behind)
        self.parameters = (*dense.parameters, *self.behind.parameters)

    def new_tape(self) -> StageTape:
        return StageTape(self)

    def advance(self, x: Tensor, tape: StageTape, mode: str) -> Tensor:
        features = self.dense.advance(x, tape.dense, mode)
        return self.behind.advance(features, tape.behind, mode) if self.behind.modules else features

    def backward(
        self, grad: Tensor, x: Tensor, tape: StageTape, needs_input_grad: bool = True
    ) -> tuple[Tensor | None, list[Tensor | None]]:
        features = tape.features()
        if features is None:
            features = self.dense.advance(x, tape.dense, "lean")
        grads: list[Tensor | None] = []
        if self.behind.modules:
            inner, grads = self.behind.backward(grad, features, tape.behind)
            grad = torch.zeros_like(features) if inner is None else inner
        del features
        grad_x, found = self.dense.backward(grad, x, tape.dense, needs_input_grad)
        return grad_x, [*found, *grads]


class StageTape:
    """The tape of the dense block and that of what follows it."""

    __slots__ = ("behind", "dense")

    def __init__(self, moves: DenseStageMoves) -> None:
        self.dense = moves.dense.new_tape()
        self.behind: ModuleTape = moves.behind.new_tape()

    def features(self) -> Tensor | None:
        return None if self.dense.held is None else self.dense.held.features

    def tensors(self) -> list[Tensor]:
        return [*self.dense.tensors(), *self.behind.tensors()]


def dense_stage(block: Sequence[nn.Module], backend: str = "auto") -> DenseStageMoves | None:
    """The moves of a block that begins with layers of a dense block of ours, or with the dense block of a library, of
    known arithmetic; None of any other."""
    size = dense_size(block)
    dense = dense_moves(block[:size], backend) if size else None
    return None if dense is None else DenseStageMoves(dense, block[size:])


def dense_size(modules: Sequence[nn.Module]) -> int:
    """How many of the modules, from the first on, seem to make one dense block. A lone layer makes none."""
    ours = sum(1 for _ in itertools.takewhile(is_our_layer, modules))
    return ours if ours > 1 else int(bool(modules) and bool(library_layers(modules[0])))
