"""BatchNorm in three passes: its statistics once, its affine map any number of times, its gradient.

    stats = passes.stats(x, norm)                        # the step's forward: running statistics move, once
    y = passes.act(x, norm, stats, add=residual)         # relu(norm(x) + residual): the same bits at every call
    grad_x, grad_weight, grad_bias = passes.act_backward(grad, x, norm, stats)

A block redoes `act` instead of keeping what it returns. This file has the interface and its reference in plain torch;
gradpath.kernels has faster ones. All of it runs without grad mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gradpath.nets._conv_passes import TORCH_CONVS, ConvPasses, cast

NormGradients = tuple[Tensor | None, Tensor | None, Tensor | None]
"""Of the input (N C H W), of the weight (C), of the bias (C); None where it is not asked for."""


class Stats(Protocol):
    """What `stats` found and the other passes need. Opaque to all but the passes that made it; never written to."""

    def tensors(self) -> list[Tensor]:
        """All that it keeps for the backward, for counting: a few vectors of C numbers."""
        ...


class NormPasses(Protocol):
    """The three passes of a BatchNorm2d with weight and bias. x is N C H W, contiguous or channels-last, float32,
    float64, bfloat16 or float16; results have x's dtype and memory format unless stated. Stateless.
    """

    name: str
    """For records: 'torch', or which kernels these are."""
    wants_out: bool
    """Whether `act_backward` is faster with `out`. Where it is not, the caller frees y first."""
    convs: ConvPasses
    """How the convolutions beside these norms are computed."""

    def stats(self, x: Tensor, norm: nn.BatchNorm2d) -> Any:
        """The statistics that normalise x: of the batch in training mode or where there are no running ones
        (`uses_batch`), else copies of the running ones.

        In training mode `running_mean`, `running_var` (with the unbiased variance) and `num_batches_tracked` move as
        in norm(x), by `running_of(norm)`; so it is called once a step for each norm. Always followed by `act` on the
        same x. Raises the ValueError of norm(x) where a channel has one value (`check_batch`).
        """
        ...

    def act(
        self, x: Tensor, norm: nn.BatchNorm2d, stats: Any, *, relu: bool = True, add: Tensor | None = None
    ) -> Tensor:
        """relu(norm(x) + add), in a new tensor; without the ReLU for relu=False. Neither x nor add is written to.

        One arithmetic whatever the step's pass, so that a redo gives the same bits. norm(x) is rounded to x's dtype
        before the sum; `add` (N C H W) may have another dtype than x: the result has the promoted one.
        """
        ...

    def act_backward(
        self,
        grad: Tensor,
        x: Tensor,
        norm: nn.BatchNorm2d,
        stats: Any,
        *,
        out: Tensor | None = None,
        relu: bool = True,
        add: Tensor | None = None,
        own: bool = False,
        needs_input_grad: bool = True,
    ) -> NormGradients:
        """Gradients of y = relu(norm(x)), or of norm(x) for relu=False, from grad = ∂loss/∂y (N C H W, x's dtype).

        out: y, where the caller still has it; the mask is y > 0, taken from act(x) where it is None (relu only).
        add: a tensor of grad's shape and dtype that is added to the gradient of x (what a skip brings); it is rounded
        before the sum. own: grad may be overwritten, and may be returned as the gradient of x; else it is not
        written to. out and add are never written to. Through running statistics (`uses_batch` was false) the gradient
        is that of a fixed affine map. None for the weight or bias where it is frozen (requires_grad is False), None
        for x where needs_input_grad is False (add is then ignored). Gradients of weight and bias have their dtype.
        """
        ...


def uses_batch(norm: nn.BatchNorm2d) -> bool:
    """Whether norm(x) normalises by the batch: in training mode, or where it tracks no running statistics."""
    return norm.training or norm.running_mean is None or norm.running_var is None


def check_gradient(grad: Tensor, x: Tensor, add: Tensor | None) -> None:
    """Raise ValueError where kernels, which see addresses alone, would read past a gradient or what is added to it."""
    if grad.shape != x.shape or (add is not None and add.shape != x.shape):
        raise ValueError(f"a gradient of {tuple(grad.shape)} for an input of {tuple(x.shape)}: give one of its shape")


def check_batch(x: Tensor) -> None:
    """Raise what F.batch_norm raises for a batch with one value in a channel."""
    if x.numel() == x.shape[1]:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {x.shape}")


def running_of(norm: nn.BatchNorm2d) -> tuple[Tensor | None, Tensor | None, float]:
    """(running mean, running variance, momentum) that this batch moves, as nn.BatchNorm2d.forward has it; counts the
    batch. (None, None, 0.0) where nothing moves. momentum None is the cumulative average: 1 / number of batches.
    """
    if not (norm.training and norm.track_running_stats) or norm.running_mean is None:
        return None, None, 0.0
    momentum = norm.momentum
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if momentum is None:
            momentum = 1.0 / float(norm.num_batches_tracked)
    return norm.running_mean, norm.running_var, 0.0 if momentum is None else momentum


@dataclass(slots=True, eq=False)
class TorchStats:
    """The statistics of one norm and one batch, and norm(x) as one affine operation on them.

    From the batch: norm(x) = batch_norm(x; mean, var=1, weight=scale, eps=0) with scale = weight·invstd. The kernel
    then computes what it does in training mode, x·scale + (bias − mean·scale), bit for bit: handing it the variance
    would round 1/√(var+eps) a second time, and flip ReLU masks against plain autograd.
    """

    mean: Tensor
    var: Tensor
    invstd: Tensor | None
    """1/√(batch variance + eps); None where the statistics are running ones."""
    scale: Tensor | None
    """weight·invstd; None where the weight itself is to be used."""
    first: Tensor | None = None
    """norm(x), where finding the statistics has given it; `act` takes it."""

    def tensors(self) -> list[Tensor]:
        return [t for t in (self.mean, self.var, self.invstd, self.scale, self.first) if t is not None]


class TorchPasses:
    """The reference: ATen's own passes. On the CPU values and gradients are those of plain autograd, bit for bit."""

    name = "torch"
    wants_out = True
    convs: ConvPasses = TORCH_CONVS

    def stats(self, x: Tensor, norm: nn.BatchNorm2d) -> TorchStats:
        """See NormPasses."""
        if not uses_batch(norm):
            # Copies: a later forward in training mode moves the running ones before this one's backward.
            assert norm.running_mean is not None and norm.running_var is not None
            return TorchStats(norm.running_mean.clone(), norm.running_var.clone(), None, None)
        check_batch(x)
        mean_run, var_run, momentum = running_of(norm)
        out, mean, invstd = torch.native_batch_norm(
            x, norm.weight, norm.bias, mean_run, var_run, True, momentum, norm.eps
        )
        # Parameters of half precision: the kernel computes scale and shift in float32 all the same.
        dtype = torch.promote_types(invstd.dtype, torch.float32)
        scale = cast(norm.weight, dtype) * cast(invstd, dtype)
        # Other devices have another kernel for training mode: their first pass must be the one of every redo.
        first = out if x.device.type == "cpu" and _dense(x) else None
        return TorchStats(mean, torch.ones_like(scale), invstd, scale, first)

    def act(
        self, x: Tensor, norm: nn.BatchNorm2d, stats: TorchStats, *, relu: bool = True, add: Tensor | None = None
    ) -> Tensor:
        """See NormPasses."""
        out, stats.first = stats.first, None
        if out is None:
            out = _affine(x, norm, stats)
        if add is not None:
            out = out.add_(add) if torch.promote_types(out.dtype, add.dtype) == out.dtype else out + add
        return out.relu_() if relu else out

    def act_backward(
        self,
        grad: Tensor,
        x: Tensor,
        norm: nn.BatchNorm2d,
        stats: TorchStats,
        *,
        out: Tensor | None = None,
        relu: bool = True,
        add: Tensor | None = None,
        own: bool = False,
        needs_input_grad: bool = True,
    ) -> NormGradients:
        """See NormPasses."""
        wanted = [needs_input_grad, norm.weight.requires_grad, norm.bias.requires_grad]
        if not any(wanted):
            return None, None, None
        if relu:
            out = _affine(x, norm, stats) if out is None else out
            grad = _mask(grad, out, own)
            del out
        batch = stats.invstd is not None
        running = (None, None) if batch else (stats.mean, stats.var)
        saved = (stats.mean, stats.invstd) if batch else (None, None)
        found = torch.ops.aten.native_batch_norm_backward(
            grad, x, norm.weight, *running, *saved, batch, norm.eps, wanted
        )
        grad_x, grad_weight, grad_bias = (g if asked else None for g, asked in zip(found, wanted, strict=True))
        if grad_x is not None and add is not None:
            grad_x.add_(add)
        return grad_x, grad_weight, grad_bias


def _affine(x: Tensor, norm: nn.BatchNorm2d, stats: TorchStats) -> Tensor:
    """norm(x) from its statistics: the one operation of every pass. N C H W."""
    if stats.scale is None:
        return torch.batch_norm(x, norm.weight, norm.bias, stats.mean, stats.var, False, 0.0, norm.eps, False)
    dtype = stats.scale.dtype
    bias, mean = cast(norm.bias, dtype), cast(stats.mean, dtype)
    return torch.batch_norm(x, stats.scale, bias, mean, stats.var, False, 0.0, 0.0, False)


def _dense(x: Tensor) -> bool:
    """Whether the CPU's kernel takes x as it lies; for any other layout it has another order of operations."""
    return x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)


def _mask(grad: Tensor, out: Tensor, own: bool) -> Tensor:
    """grad where out > 0, else 0; in place if grad is owned."""
    if own:
        masked: Tensor = torch.ops.aten.threshold_backward.grad_input(grad, out, 0, grad_input=grad)
    else:
        masked = torch.ops.aten.threshold_backward(grad, out, 0)
    return masked
