"""A dense block as one: a buffer whose prefix is each layer's input, statistics once a channel, one norm gradient.

Layer i of a dense block reads all channels before its own. Here they lie in one channels-last matrix, features, M C:
layer i reads its first columns and writes the next ones, so nothing is ever concatenated. A column's batch statistics
are taken when it is written and serve every norm that reads it. In the backward pass each norm adds scale·g to its
columns of one gradient matrix, and a column is finished once, when its producer is reached (Pending):

    ∂loss/∂x = Σᵢ scaleᵢ·gᵢ − Σᵢ scaleᵢ·mean(gᵢ) − (x − mean)·Σᵢ scaleᵢ·inverseᵢ²·mean(gᵢ·(x − mean))

over the consumers i of the column: the sum of BatchNorm's input gradients (Ioffe and Szegedy 2015, section 3), whose
means are the gradients of bias and weight, and so are at hand. Consumers may differ in weight, eps and momentum.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from gradpath.kernels._dense_backward import Backward, Gradients
from gradpath.kernels._dense_choose import dense_passes
from gradpath.kernels._dense_form import DenseLayerForm, block_form, is_our_layer, library_layers
from gradpath.kernels._dense_forward import Forward
from gradpath.kernels._dense_passes import DensePasses
from gradpath.kernels._dense_tape import DenseTape, Held
from gradpath.kernels._dense_tiles import Frame, columns
from gradpath.nets._norm_passes import check_batch, uses_batch

_T = TypeVar("_T")


class DenseMoves:
    """The moves of a dense block (gradpath.nets.Moves). x: N C H W of any strides; results are channels-last.

    Modes: full keeps features and bottleneck outputs (5k numbers a pixel and layer), lean the features alone (k);
    input and none keep statistics, and the backward starts by a redo from x.

    values: used in place of the parameters, in their order: what they were at the forward.
    """

    modes = ("full", "lean", "input", "none")
    ends_in_relu = False

    def __init__(
        self, layers: Sequence[DenseLayerForm], passes: DensePasses, values: Sequence[Tensor] | None = None
    ) -> None:
        self.layers, self.passes = tuple(layers), passes
        self.parameters = tuple(cast("nn.Parameter", p) for layer in layers for p in layer.parameters)
        self.values = self._by_layer(self.parameters if values is None else values)
        self.channels_out = layers[-1].channels_in + layers[-1].growth

    def new_tape(self) -> DenseTape:
        return DenseTape()

    @torch.no_grad()
    def advance(self, x: Tensor, tape: DenseTape, mode: str) -> Tensor:
        """N C H W → N C+Lk H W: x and what each layer adds to it. Raises BatchNorm's ValueError for one pixel."""
        first = tape.held is None
        held = tape.held = self._start(x) if tape.held is None else tape.held
        with torch.autocast(x.device.type, enabled=False):
            out = channels_last(x, self.channels_out, torch.promote_types(x.dtype, held.frame.compute))
            Forward(self.layers, self.values, held, out, first).run(x, keep_bottlenecks=mode == "full")
        held.features = out if mode in ("full", "lean") else None
        return out

    @torch.no_grad()
    def backward(
        self,
        grad: Tensor,
        x: Tensor | None,
        tape: DenseTape,
        needs_input_grad: bool = True,
        needs: Sequence[bool] | None = None,
    ) -> tuple[Tensor | None, Gradients]:
        """(gradient of x, N C H W channels-last, gradient of each parameter); x is read where features are not kept.

        needs: which parameters' gradients are asked for; of those that are not frozen by default.
        """
        held = tape.held
        if held is None or (held.features is None and x is None):
            raise RuntimeError("a dense block's backward needs a tape that was filled, and x where it has no features")
        if held.features is None and x is not None:
            self.advance(x, tape, "lean")
        assert held.features is not None
        asked = self._by_layer([p.requires_grad for p in self.parameters] if needs is None else needs)
        with torch.autocast(grad.device.type, enabled=False):
            total = channels_last(grad, self.channels_out, held.features.dtype).copy_(grad)
            run = Backward(self.layers, self.values, held, held.features, columns(total))
            grads = [run.layer(index, asked[index]) for index in reversed(range(len(self.layers)))]
            grad_x = run.input_gradient() if needs_input_grad else None
        return grad_x, [grad for layer in reversed(grads) for grad in layer]

    def _start(self, x: Tensor) -> Held:
        if any(uses_batch(norm) for layer in self.layers for norm in layer.norms):
            check_batch(x)
        compute = compute_dtype(x, self.values[0][2])
        stats = statistics_dtype(x.dtype, compute)
        frame = Frame(len(x), x.shape[2], x.shape[3], compute, stats, self.passes)
        mean, variance = x.new_zeros(2, self.channels_out, dtype=stats)
        return Held(frame, mean, variance)

    def _by_layer(self, flat: Sequence[_T]) -> list[tuple[_T, ...]]:
        """One value for each parameter, by layer."""
        values = iter(flat)
        return [tuple(islice(values, len(layer.parameters))) for layer in self.layers]


def dense_moves(modules: Sequence[nn.Module], backend: str = "auto") -> DenseMoves | None:
    """The moves of modules that run one after the other, where they are the layers of one dense block of ours, or
    the one dense block of torchvision or timm, fused or not; else None."""
    known = bool(modules) and all(is_our_layer(module) for module in modules)
    layers = list(modules) if known else library_layers(modules[0]) if len(modules) == 1 else []
    form = block_form(layers)
    return None if isinstance(form, str) else DenseMoves(form, dense_passes(backend).passes)


def compute_dtype(x: Tensor, weight: Tensor) -> torch.dtype:
    """What a convolution computes in: the weight's dtype, or autocast's inside autocast, which leaves float64 alone."""
    if weight.dtype is torch.float64 or not torch.is_autocast_enabled(x.device.type):
        return weight.dtype
    return torch.get_autocast_dtype(x.device.type)


def statistics_dtype(features: torch.dtype, compute: torch.dtype) -> torch.dtype:
    """Of means, variances and their sums: float32, or float64 for float64 features."""
    return torch.promote_types(torch.promote_types(features, compute), torch.float32)


def channels_last(like: Tensor, channels: int, dtype: torch.dtype) -> Tensor:
    """Room for N channels H W."""
    size = (len(like), channels, *like.shape[2:])
    return torch.empty(size, dtype=dtype, device=like.device, memory_format=torch.channels_last)
