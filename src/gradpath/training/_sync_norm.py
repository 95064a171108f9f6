"""BatchNorm over the batch of all processes. torch's own SyncBatchNorm refuses the CPU; this one runs wherever
torch.distributed does (gloo, nccl), with the parameters, buffers and keys of BatchNorm2d."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gradpath.errors import UserError

_DIMS = (0, 2, 3)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class SyncNorm2d(nn.BatchNorm2d):
    """A BatchNorm2d whose training statistics are those of all processes' images; N may differ between them.

    In eval mode, with one process and in `plain_view()` it is a BatchNorm2d. All processes must call it equally often.
    """

    _plain = False

    def forward(self, x: Tensor) -> Tensor:
        """N C H W → N C H W; N is at least 1 in each process."""
        if self._plain or not self.training or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(x)
        self._check_input_dim(x)
        mean, variance, count = moments(x)
        self._track(mean, variance * (count / (count - 1)))
        normalised: Tensor = _Normalise.apply(x, self.weight, self.bias, mean, (variance + self.eps).rsqrt(), count)  # type: ignore[no-untyped-call]
        return normalised

    @torch.no_grad()
    def _track(self, mean: Tensor, unbiased: Tensor) -> None:
        """Move the running statistics, as BatchNorm2d does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)

    @contextmanager
    def plain_view(self) -> Iterator[None]:
        """A BatchNorm2d of this process's images alone, so that one process can look at the net by itself."""
        before, self._plain = self._plain, True
        try:
            yield
        finally:
            self._plain = before


def synchronise_norms(net: nn.Module) -> int:
    """Make each BatchNorm2d in `net` a SyncNorm2d, in place, its parameters and buffers kept. Returns how many.

    Raises UserError for a net without one, and for other kinds of BatchNorm, which would stay local in silence.
    """
    others = [
        f"{name} is a {type(m).__name__}" for name, m in net.named_modules() if isinstance(m, _NORMS) and not _ours(m)
    ]
    if others:
        raise UserError(f"{others[0]}: only BatchNorm2d can be synchronised; leave out sync_norm")
    places = [(parent, name) for parent in net.modules() for name, child in parent.named_children() if _ours(child)]
    if not places:
        raise UserError("the net has no BatchNorm to synchronise: leave out sync_norm")
    for parent, name in places:
        setattr(parent, name, _synchronised(getattr(parent, name)))
    return len(places)


def _ours(module: nn.Module) -> bool:
    return type(module) in (nn.BatchNorm2d, SyncNorm2d)


def _synchronised(norm: nn.BatchNorm2d) -> SyncNorm2d:
    twin = SyncNorm2d(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats, device="meta")
    twin._parameters.update(norm._parameters)
    twin._buffers.update(norm._buffers)
    return twin.train(norm.training)


@torch.no_grad()
def moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and (biased) variance of each channel (C) over the images of all processes, and how many values each has.

    Each process sums around its own mean, and the parts are put together as by Chan et al. 1979 (updating formulae
    for sample variances): no difference of large sums, so that a mean far from 0 costs no digits.
    """
    channels = x.shape[1]
    variance, mean = torch.var_mean(_wide(x), _DIMS, correction=0)  # C
    count = x.numel() // channels
    own = torch.cat((mean, variance * count, mean.new_tensor([count])))  # 2 C + 1
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, own)
    all_parts = torch.stack(parts)  # processes, 2 C + 1
    means, squares, counts = all_parts[:, :channels], all_parts[:, channels:-1], all_parts[:, -1:]
    total = counts.sum()
    mean = (counts * means).sum(0) / total
    variance = (squares + counts * (means - mean).square()).sum(0) / total
    return mean, variance, total


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


class _Normalise(torch.autograd.Function):
    """(x − mean)·invstd·weight + bias, whose gradient knows that mean and invstd are those of all processes' x.

    ∂x = weight·invstd·(g − Σg/n − x̂·Σ(g·x̂)/n), sums over the images of all processes (Ioffe and Szegedy 2015,
    section 3); the gradients of weight and bias are this process's part, which DistributedDataParallel puts together.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, invstd: Tensor, count: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, invstd, count)
        scale = invstd if weight is None else invstd * weight
        shifted = (_wide(x) - _spread(mean)) * _spread(scale)
        return (shifted if bias is None else shifted + _spread(bias)).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, invstd, count = ctx.saved_tensors
        wide = _wide(grad)
        normalised = (_wide(x) - _spread(mean)) * _spread(invstd)
        grad_bias, grad_weight = wide.sum(_DIMS), (wide * normalised).sum(_DIMS)  # C
        sums = torch.stack((grad_bias, grad_weight))
        dist.all_reduce(sums)
        sums /= count
        scale = invstd if weight is None else invstd * weight
        grad_x = (wide - _spread(sums[0]) - normalised * _spread(sums[1])) * _spread(scale)
        needs = ctx.needs_input_grad
        return grad_x.to(x.dtype), grad_weight if needs[1] else None, grad_bias if needs[2] else None, None, None, None


def _spread(vector: Tensor) -> Tensor:
    """C → 1 C 1 1."""
    return vector.view(1, -1, 1, 1)
