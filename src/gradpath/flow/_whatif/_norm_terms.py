"""The input gradient of a norm, term by term.

A norm computes y = γ x̂ + β with x̂ = (x − μ)/σ over sets S of elements that share one mean μ and one deviation σ
(BatchNorm: a channel; LayerNorm: a sample's last dimensions; GroupNorm: a sample's group of channels). Let g = ∂L/∂y
and h = γ g. Of x, y depends directly, through μ and through σ, so the chain rule has three terms:

    ∂L/∂x = (h − mean_S(h) − x̂ · mean_S(h x̂)) / σ

The first is γ g/σ. For the second: ∂x̂/∂μ = −1/σ and ∂μ/∂xᵢ = 1/|S|. For the third: ∂x̂/∂σ = −x̂/σ and
∂σ/∂xᵢ = x̂ᵢ/|S|; there μ counts as constant, as Σ(x − μ) = 0 (Ioffe & Szegedy 2015, section 3; ε is part of σ).
Holding a statistic constant in the backward pass ("detached") drops its term and no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from gradpath.errors import first_line
from gradpath.flow._graph import Node, operation


@dataclass(frozen=True)
class NormTerms:
    """What autograd saved of one norm, in shapes that broadcast: `shape` is the view in which sets are whole dims."""

    x: Tensor
    weight: Tensor | None
    mean: Tensor
    inverse_deviation: Tensor
    dims: tuple[int, ...]
    shape: tuple[int, ...]

    def input_gradient(self, grad: Tensor, mean_term: bool = True, variance_term: bool = True) -> Tensor:
        """∂L/∂x from ∂L/∂y, both in the shape of x; with the terms of both statistics it is autograd's own."""
        grad = grad.to(self.mean.dtype)
        h = (grad if self.weight is None else grad * self.weight).reshape(self.shape)
        terms = h
        if mean_term:
            terms = terms - h.mean(self.dims, keepdim=True)
        if variance_term:
            normed = (self.x.reshape(self.shape) - self.mean) * self.inverse_deviation
            terms = terms - normed * (h * normed).mean(self.dims, keepdim=True)
        return (terms * self.inverse_deviation).reshape(self.x.shape)


def norm_terms(node: Node) -> NormTerms | str | None:
    """The terms of a norm's node; None for other nodes; for a norm that cannot be changed, why."""
    name = operation(node)
    if name not in _READERS:
        return f"{name} is not known term by term" if name in _UNKNOWN else None
    try:
        return _READERS[name](node)
    except (AttributeError, RuntimeError) as error:  # another version of torch; overwritten since
        return f"what autograd saved of it cannot be read ({first_line(error)})"


def _batch(node: Node) -> NormTerms | str:
    if not node._saved_training:
        return "BatchNorm in eval mode has constant statistics"
    x = node._saved_input
    column = (1, x.shape[1], *[1] * (x.dim() - 2))
    mean, inverse, weight = node._saved_result1, node._saved_result2, node._saved_weight
    dims = (0, *range(2, x.dim()))
    weight = None if weight is None else weight.detach().view(column)
    return NormTerms(x.detach(), weight, mean.view(column), inverse.view(column), dims, tuple(x.shape))


def _layer(node: Node) -> NormTerms:
    x, weight = node._saved_input.detach(), node._saved_weight
    dims = tuple(range(-len(node._saved_normalized_shape), 0))
    weight = None if weight is None else weight.detach()
    return NormTerms(x, weight, node._saved_result1, node._saved_result2, dims, tuple(x.shape))


def _group(node: Node) -> NormTerms:
    x, weight = node._saved_input.detach(), node._saved_weight
    sets = (x.shape[0], node._saved_group, 1)
    weight = None if weight is None else weight.detach().view(1, -1, *[1] * (x.dim() - 2))
    mean, inverse = node._saved_result1.view(sets), node._saved_result2.view(sets)
    return NormTerms(x, weight, mean, inverse, (2,), (x.shape[0], node._saved_group, -1))


_UNKNOWN = ("FusedRmsNorm", "BatchNormWithUpdate", "BatchNormImpl")
_READERS: dict[str, Callable[[Node], NormTerms | str]] = {
    "NativeBatchNorm": _batch,
    "CudnnBatchNorm": _batch,
    "MiopenBatchNorm": _batch,
    "NativeLayerNorm": _layer,
    "NativeGroupNorm": _group,
}
