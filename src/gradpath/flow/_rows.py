"""Copies of equally shaped gradients as one matrix, to be reduced at once."""

from __future__ import annotations

from torch import Tensor

from gradpath.flow._norms import memory_order


class Rows:
    """Copies of equally shaped gradients, each a row of one matrix, the dimensions ordered as the first lies in memory.

    Slices that a concatenation sends back would each hold the gradient of all of it."""

    def __init__(self, count: int, first: Tensor) -> None:
        self.shape, order = first.shape, memory_order(first)
        self.values = first.detach().new_empty(count, *(first.shape[d] for d in order))
        back = sorted(range(first.dim()), key=order.__getitem__)
        self._shaped = self.values.permute(0, *(d + 1 for d in back))

    def copy(self, row: int, grad: Tensor) -> Tensor:
        """The copy, in the shape of the gradient."""
        if grad.shape != self.shape:  # a user's own Function may leave it to autograd to sum over what was broadcast
            grad = grad.sum_to_size(self.shape)
        return self._shaped[row].copy_(grad)

    def matrix(self, rows: list[int]) -> Tensor:
        """Rows × elements."""
        matrix = self.values.reshape(len(self.values), -1)
        return matrix if len(rows) == len(matrix) else matrix[rows]
